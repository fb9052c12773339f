//! `evenkeel catalog`: what plans are priced with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use model::Region;
use plan::{Band, Catalog, Machine, RegionOffer, Source, age_band};
use serde_json::{Value, json};

use crate::cli::{CatalogAction, CatalogListArgs};
use crate::exit::hinted;
use crate::say;
use crate::wire::prices;
use crate::wire::site::Site;

/// Lists what is there, or lays a file over it.
pub fn run(action: &CatalogAction, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let today = prices::date(SystemTime::now());
    match action {
        CatalogAction::List(args) => {
            let catalog = prices::catalog(site)?;
            let view = View::new(&catalog, args, today)?;
            match json {
                true => say::data(format_args!("{}\n", view.json()))?,
                false => say::data(view.text())?,
            };
        }
        CatalogAction::Update(args) => {
            let catalog = prices::update(site, &args.from)?;
            let view = View::new(&catalog, &CatalogListArgs { provider: None, region: None }, today)?;
            match json {
                true => say::data(format_args!("{}\n", view.json()))?,
                false => say::data(view.text())?,
            };
            say::talk(format_args!(
                "plans with `--state {}` use these prices; remove `{}` to go back",
                site.root().display(),
                site.catalog_path().display()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is shown of a catalogue.
struct View<'c> {
    catalog: &'c Catalog,
    offers: Vec<&'c RegionOffer>,
    /// A region was named, so its machines are listed, too.
    is_one: bool,
    today: String,
}

/// What a provider sells, in numbers.
#[derive(Default)]
struct Count<'c> {
    regions: usize,
    types: BTreeSet<&'c str>,
    offers: usize,
    usable: usize,
    spot: usize,
    dates: BTreeSet<&'c str>,
}

impl<'c> View<'c> {
    fn new(catalog: &'c Catalog, args: &CatalogListArgs, today: String) -> anyhow::Result<View<'c>> {
        if let Some(name) = &args.provider
            && !catalog.providers().contains(&name.as_str())
        {
            let known = catalog.providers().join(" ");
            return Err(hinted(
                format!("no provider `{name}` in the catalogue"),
                format!("known are {known}"),
            ));
        }
        let region = args.region.clone().map(Region);
        let wanted = |offer: &&RegionOffer| {
            let provider = args.provider.as_ref().is_none_or(|name| *name == offer.provider);
            provider && region.as_ref().is_none_or(|region| offer.is(region) || offer.place == region.0)
        };
        let offers: Vec<&RegionOffer> = catalog.regions.iter().filter(wanted).collect();
        if offers.is_empty() {
            let name = args.region.as_deref().unwrap_or_default();
            let places: BTreeSet<&str> = catalog.regions.iter().map(|offer| offer.place.as_str()).collect();
            let places = places.into_iter().collect::<Vec<_>>().join(" ");
            return Err(hinted(
                format!("no machine prices for region `{name}`"),
                format!("a provider's id, or one of {places}"),
            ));
        }
        Ok(View { catalog, offers, is_one: region.is_some(), today })
    }

    fn counts(&self) -> BTreeMap<&'c str, Count<'c>> {
        let mut counts: BTreeMap<&str, Count<'_>> = BTreeMap::new();
        for offer in &self.offers {
            let count = counts.entry(&offer.provider).or_default();
            count.regions += 1;
            count.offers += offer.machines.len();
            count.usable += offer.usable().count();
            for machine in &offer.machines {
                count.types.insert(&machine.name);
                count.spot += usize::from(machine.spot.is_some());
                count.dates.insert(&machine.price.source.date);
            }
        }
        counts
    }

    /// Sources of the prices that are shown, and how many lead to each.
    fn sources(&self) -> Vec<(&'c Source, usize)> {
        let mut sources: BTreeMap<&Source, usize> = BTreeMap::new();
        for offer in &self.offers {
            let machines = offer.machines.iter().chain(&offer.caches);
            let machines = machines.flat_map(|machine| {
                [Some(&machine.price.source), machine.spot.as_ref().map(|spot| &spot.source)]
            });
            let others = offer.units.values().map(|price| &price.source);
            for source in machines.flatten().chain(others) {
                *sources.entry(source).or_default() += 1;
            }
        }
        sources.into_iter().collect()
    }

    fn text(&self) -> String {
        let mut out = match &self.catalog.updated {
            Some(date) => format!("prices of this version with an update of {date} over them"),
            None => "prices of this version".to_owned(),
        };
        out.push_str("; USD, list prices without tax; a month has 730 h\n\n");
        let _ = writeln!(out, "provider  regions  types  offers  planned with  on spot  oldest      newest");
        for (provider, count) in self.counts() {
            let (oldest, newest) = (count.dates.first(), count.dates.last());
            let _ = writeln!(
                out,
                "{provider:<8}  {:>7}  {:>5}  {:>6}  {:>12}  {:>7}  {:<10}  {}",
                count.regions,
                count.types.len(),
                count.offers,
                count.usable,
                count.spot,
                oldest.unwrap_or(&"-"),
                newest.unwrap_or(&"-")
            );
        }
        let _ = writeln!(out, "\nprovider  region                   place         zones  offers  where");
        for offer in &self.offers {
            let closed = offer.closed.as_ref().map_or(String::new(), |why| format!("; left out: {why}"));
            let RegionOffer { provider, region, place, zones, name, machines, .. } = offer;
            let _ = writeln!(
                out,
                "{provider:<8}  {region:<23}  {place:<12}  {zones:>5}  {:>6}  {name}{closed}",
                machines.len()
            );
        }
        if self.is_one {
            self.machines(&mut out);
        }
        out.push_str("\nsources\n");
        for (source, count) in self.sources() {
            let band = source.band(&self.today);
            let old = match band == Band::EXACT {
                true => String::new(),
                false => format!("; may be {:.2} to {:.2} times as much", band.low, band.high),
            };
            let _ = writeln!(out, "  {:<10}  {count:>6}  {}{old}", source.date, source.document);
        }
        out
    }

    fn machines(&self, out: &mut String) {
        for offer in &self.offers {
            let _ = writeln!(out, "\n{} {}", offer.provider, offer.region);
            let _ = writeln!(
                out,
                "  type                           vCPU      GiB     USD/h      spot    CoreMark  kind"
            );
            for machine in &offer.machines {
                let spot = machine.spot.as_ref().map_or("-".to_owned(), |spot| format!("{:.4}", spot.usd));
                let speed = machine.performance;
                let about = if speed.measured { ' ' } else { '~' };
                let _ = writeln!(
                    out,
                    "  {:<28}  {:>5}  {:>7}  {:>8.4}  {spot:>8}  {about}{:>9.0}  {} {}",
                    machine.name,
                    machine.vcpu,
                    machine.mem_gib,
                    machine.price.usd,
                    if speed.measured { speed.mid } else { speed.low },
                    machine.class.name(),
                    machine.architecture.name()
                );
            }
        }
    }

    fn json(&self) -> Value {
        let providers: Vec<Value> = self
            .counts()
            .into_iter()
            .map(|(provider, count)| {
                json!({
                    "provider": provider, "regions": count.regions, "types": count.types.len(),
                    "offers": count.offers, "usable": count.usable, "spot": count.spot,
                    "oldest": count.dates.first(), "newest": count.dates.last(),
                })
            })
            .collect();
        let regions: Vec<Value> = self.offers.iter().map(|offer| self.region(offer)).collect();
        let sources: Vec<Value> = self
            .sources()
            .into_iter()
            .map(|(source, count)| {
                let (band, age) = (source.band(&self.today), age_band(&source.date, &self.today));
                json!({
                    "id": source.id, "date": source.date, "assumed": source.assumed, "document": source.document,
                    "prices": count, "old": age.is_some(), "low": band.low, "high": band.high,
                })
            })
            .collect();
        json!({
            "kind": "catalog", "format_version": 1, "updated": self.catalog.updated, "currency": "USD",
            "hours_month": 730, "providers": providers, "regions": regions, "sources": sources,
        })
    }

    fn region(&self, offer: &RegionOffer) -> Value {
        let machine = |machine: &Machine| {
            let speed = machine.performance;
            json!({
                "type": &*machine.name, "vcpu": machine.vcpu, "mem_gib": machine.mem_gib,
                "usd_hour": machine.price.usd, "usd_hour_spot": machine.spot.as_ref().map(|spot| spot.usd),
                "architecture": machine.architecture.name(), "class": machine.class.name(),
                "coremark": { "low": speed.low, "mid": speed.mid, "high": speed.high, "measured": speed.measured },
                "source": machine.price.source.id,
            })
        };
        let mut value = json!({
            "provider": offer.provider, "region": offer.region, "place": offer.place, "name": offer.name,
            "country": offer.country, "residency": offer.residency, "zones": offer.zones,
            "zones_source": offer.zones_source.document, "north": offer.at.north, "east": offer.at.east,
            "closed": offer.closed, "offers": offer.machines.len(),
        });
        if self.is_one {
            value["machines"] = offer.machines.iter().map(machine).collect();
            let unit = |(unit, price): (&plan::Unit, &plan::Price)| json!({ "unit": unit.name(), "usd": price.usd, "source": price.source.id });
            value["units"] = offer.units.iter().map(unit).collect();
        }
        value
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
