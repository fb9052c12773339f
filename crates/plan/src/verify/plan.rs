//! Whether the plan itself is what the certificate says: in the space, at that price, that available, with that bill.

use model::{Layout, Money};
use serde_json::Value;

use super::bill::billed;
use super::network::ways_to_pay;
use super::rules::Rules;
use super::space::{Way, fixed, holds_cache, holds_node, ways};
use super::together::{self, Shared};
use super::{ALMOST_ONE, Place, ROUNDING, Refused, refuse};
use crate::catalog::{Catalog, Machine, RegionOffer};
use crate::chance::Outage;
use crate::proof::{Incumbent, Nat, Proof};

/// Cents may be rounded away in a sum of lines that were each rounded.
pub(super) const ROUNDED_USD: f64 = 1e-5;

/// What the certificate says is cheapest, found anew in the catalogue.
pub(super) struct Best<'a> {
    place: Place<'a>,
    services: Vec<Way<'a>>,
    databases: Vec<Option<&'a Machine>>,
    caches: Vec<Option<&'a Machine>>,
    /// The one machine of each zone, where it holds everything.
    shared: Option<&'a Machine>,
    /// Millionths of a dollar.
    cost: i64,
    unavailability: f64,
}

/// Finds the incumbent in the space and computes its price and availability.
pub(super) fn incumbent<'a>(
    rules: &Rules<'_>,
    catalog: &'a Catalog,
    proof: &Proof,
) -> Result<Option<Best<'a>>, Refused> {
    let Some(claimed) = &proof.incumbent else { return Ok(None) };
    let wrong = |why: String| refuse("the plan", why);
    let place =
        place(catalog, claimed).ok_or_else(|| wrong("its region is not in the catalogue".to_owned()))?;
    let app = rules.app;
    if claimed.services.len() != app.services.len() || claimed.databases.len() != app.databases.len() {
        return Err(wrong("it has other services or databases than the file".to_owned()));
    }
    if claimed.caches.len() != app.caches.len() {
        return Err(wrong("it has other caches than the file".to_owned()));
    }
    let mut databases_of = app.databases.iter().zip(&claimed.databases);
    if databases_of.any(|(database, machine)| database.own_nodes() == 0 && machine.is_some()) {
        return Err(wrong("it has a machine for a database that the provider runs".to_owned()));
    }
    let broken = |error: crate::chance::ChanceError| wrong(error.to_string());
    let (cost, services, databases, caches, shared) = match place.layout {
        Layout::Apart => {
            let (cost, services) = priced(rules, place, claimed)?;
            (cost, services, databases(rules, &place, claimed)?, caches(rules, &place, claimed)?, None)
        }
        Layout::Together => {
            let Shared { machine, services, cost } = together::incumbent(rules, &place, claimed)?;
            let databases =
                app.databases.iter().map(|one| (one.own_nodes() > 0).then_some(machine)).collect();
            (cost, services, databases, vec![Some(machine); app.caches.len()], Some(machine))
        }
    };
    let machine = match shared {
        // It fails as the machine of its zone.
        Some(_) => Outage { per_year: 0.0, hours: 0.0 },
        None => rules.machine().map_err(broken)?,
    };
    let mut whole = rules.bare(place.zones, place.layout).map_err(broken)?;
    let fleets = app.services.iter().zip(&services);
    let fleets =
        fleets.map(|(service, way)| rules.fleet(service, way.size, (place.zones, way.room), machine));
    whole.fleets = fleets.collect();
    let stateful = rules.stateful(place.zones, place.layout).map_err(broken)?;
    let answer = whole.given(&stateful).map_err(broken)?;
    let unavailability = answer.total.get();
    let best = Best { place, services, databases, caches, shared, cost, unavailability };
    best.is_as(claimed)?;
    if let Some(asked) = app.objectives.availability
        && best.unavailability > asked.unavailability * (1.0 + 2.0 * ROUNDING)
    {
        return Err(wrong(format!("it is down {:e} of the time, more than was asked", best.unavailability)));
    }
    Ok(Some(best))
}

/// What it costs as its ways out are paid for cheapest, in millionths of a dollar, and how its services run.
fn priced<'a>(
    rules: &Rules<'_>,
    place: Place<'a>,
    claimed: &Incumbent,
) -> Result<(i64, Vec<Way<'a>>), Refused> {
    let wrong = |why: String| refuse("the plan", why);
    let mut least: Option<(i64, Vec<Way<'a>>)> = None;
    for nat in place.offer.map_or_else(|| vec![place.nat], |offer| ways_to_pay(offer, place.zones)) {
        let place = Place { nat, ..place };
        let mut cost =
            fixed(rules, &place).ok_or_else(|| wrong("nothing there holds its databases".to_owned()))?;
        let mut services = Vec::new();
        for (service, (machine, replicas)) in rules.app.services.iter().zip(&claimed.services) {
            let mut all = ways(rules, &place, service).into_iter();
            let way = all.find(|way| {
                way.machine.map(|machine| &*machine.name) == machine.as_deref()
                    && way.size.replicas == *replicas
            });
            let way = way.ok_or_else(|| {
                wrong(format!(
                    "{replicas} replicas of `{}` on {machine:?} are not in the space",
                    service.name
                ))
            })?;
            cost += way.cost;
            services.push(way);
        }
        if least.as_ref().is_none_or(|(known, _)| cost < *known) {
            least = Some((cost, services));
        }
    }
    least.ok_or_else(|| wrong("nothing is known of what its ways out cost".to_owned()))
}

fn place<'a>(catalog: &'a Catalog, claimed: &Incumbent) -> Option<Place<'a>> {
    let (zones, layout, nat) = (claimed.zones, claimed.layout, Nat::Gateway);
    if claimed.provider == "local" {
        return Some(Place { offer: None, zones, layout, nat });
    }
    let is = |offer: &&RegionOffer| offer.provider == claimed.provider && offer.region == claimed.region;
    catalog.regions.iter().find(is).map(|offer| {
        let nat = if layout == Layout::Together { together::pays(offer, zones) } else { nat };
        Place { offer: Some(offer), zones, layout, nat }
    })
}

/// The machines of the databases: each must be large enough, and none cheaper.
fn databases<'a>(
    rules: &Rules<'_>,
    place: &Place<'a>,
    claimed: &Incumbent,
) -> Result<Vec<Option<&'a Machine>>, Refused> {
    let mut found = Vec::new();
    for (database, name) in rules.app.databases.iter().zip(&claimed.databases) {
        let wrong = |why| refuse(format!("database `{}`", database.name), why);
        if database.own_nodes() == 0 {
            found.push(None);
            continue;
        }
        let (Some(offer), Some(name)) = (place.offer, name) else {
            if place.offer.is_none() && name.is_none() {
                found.push(None);
                continue;
            }
            return Err(wrong("it has a machine where none is bought, or none where one is"));
        };
        let machine = offer.usable().find(|machine| *machine.name == **name);
        let machine = machine.filter(|machine| holds_node(database, machine));
        found.push(Some(machine.ok_or_else(|| wrong("its machine is too small, or not sold there"))?));
    }
    Ok(found)
}

/// The machines of the caches likewise.
fn caches<'a>(
    rules: &Rules<'_>,
    place: &Place<'a>,
    claimed: &Incumbent,
) -> Result<Vec<Option<&'a Machine>>, Refused> {
    let each = rules.app.caches.iter().zip(&claimed.caches).map(|(cache, name)| {
        let wrong = |why| refuse(format!("cache `{}`", cache.name), why);
        match (place.offer, name) {
            (None, None) => Ok(None),
            (Some(offer), Some(name)) => {
                let machine = offer.usable().find(|machine| *machine.name == **name);
                let machine = machine.filter(|machine| holds_cache(cache, machine));
                machine.map(Some).ok_or_else(|| wrong("its machine is too small, or not sold there"))
            }
            _ => Err(wrong("it has a machine where none is bought, or none where one is")),
        }
    });
    each.collect()
}

impl<'a> Best<'a> {
    /// The region; `None`: this machine.
    pub(super) fn offer(&self) -> Option<&'a RegionOffer> {
        self.place.offer
    }

    pub(super) fn zones(&self) -> u32 {
        self.place.zones
    }

    pub(super) fn layout(&self) -> Layout {
        self.place.layout
    }

    pub(super) fn place(&self) -> &Place<'a> {
        &self.place
    }

    pub(super) fn services(&self) -> &[Way<'a>] {
        &self.services
    }

    pub(super) fn databases(&self) -> &[Option<&'a Machine>] {
        &self.databases
    }

    pub(super) fn caches(&self) -> &[Option<&'a Machine>] {
        &self.caches
    }

    /// The one machine of each zone, where it holds everything.
    pub(super) fn shared(&self) -> Option<&'a Machine> {
        self.shared
    }

    fn is_as(&self, claimed: &Incumbent) -> Result<(), Refused> {
        if (self.cost - claimed.micro_usd).abs() as f64 > ALMOST_ONE {
            let why = format!("it costs {} USD/month, not {}", Money(self.cost), Money(claimed.micro_usd));
            return Err(refuse("the plan", why));
        }
        if (self.unavailability - claimed.unavailability).abs() > ROUNDING * self.unavailability {
            let why =
                format!("it is down {:e} of the time, not {:e}", self.unavailability, claimed.unavailability);
            return Err(refuse("the plan", why));
        }
        Ok(())
    }
}

/// Checks what is stored beside the certificate: place, size, price, bill and verdict.
pub(super) fn stored(
    rules: &Rules<'_>,
    proof: &Proof,
    best: Option<&Best<'_>>,
    stored: &Value,
) -> Result<(), Refused> {
    let feasible = stored["feasible"].as_bool();
    let Some(best) = best else {
        return match feasible {
            Some(false) => Ok(()),
            _ => Err(refuse("`feasible`", "nothing keeps every objective, says the certificate")),
        };
    };
    let Some(claimed) = &proof.incumbent else { return Ok(()) };
    for (field, own) in [("provider", &claimed.provider), ("region", &claimed.region)] {
        if stored[field].as_str() != Some(own) {
            return Err(refuse(format!("`{field}`"), format!("the certificate is about `{own}`")));
        }
    }
    if stored["zones"].as_array().map(Vec::len) != Some(claimed.zones as usize) {
        return Err(refuse("`zones`", format!("the certificate is about {} of them", claimed.zones)));
    }
    let layout = serde_json::from_value::<Layout>(stored["layout"].clone());
    if layout.ok() != Some(claimed.layout) {
        return Err(refuse("`layout`", "it is another than in the certificate"));
    }
    sized(rules, best, stored)?;
    let usd = if best.place.offer.is_some() { best.cost as f64 / 1e6 } else { 0.0 };
    near("`usd_month`", stored["usd_month"].as_f64(), usd, ROUNDED_USD)?;
    let down = best.unavailability;
    near("`unavailability`", stored["unavailability"].as_f64(), down, ROUNDING * down)?;
    billed((rules, &proof.terms), best, stored, usd)?;
    let budget = rules.app.objectives.budget;
    let dear = budget.is_some_and(|budget| usd > budget.usd() + ROUNDED_USD);
    let missed = rules.misses_asked(best.place.zones, best.place.layout) > 0;
    let region = rules.app.objectives.survive.contains(&model::Scope::Region);
    if feasible != Some(!(dear || missed || region)) {
        return Err(refuse("`feasible`", "the objectives and the plan do not agree with it"));
    }
    Ok(())
}

pub(super) fn near(place: &str, value: Option<f64>, own: f64, within: f64) -> Result<(), Refused> {
    match value {
        Some(value) if (value - own).abs() <= within => Ok(()),
        Some(value) => Err(refuse(place, format!("it is {value}, and {own} is what follows"))),
        None => Err(refuse(place, "it is missing")),
    }
}

/// Replicas of each service and nodes of each database.
fn sized(rules: &Rules<'_>, best: &Best<'_>, stored: &Value) -> Result<(), Refused> {
    let listed = |field: &str| stored[field].as_array().cloned().unwrap_or_default();
    let services = listed("services");
    if services.len() != best.services.len() {
        return Err(refuse("`services`", "it has other services than the file"));
    }
    for ((stored, way), service) in services.iter().zip(&best.services).zip(&rules.app.services) {
        let same = stored["name"].as_str() == Some(service.name.as_str())
            && stored["replicas"].as_u64() == Some(u64::from(way.size.replicas))
            && stored["needed_at_peak"].as_u64() == Some(u64::from(way.size.needed));
        if !same {
            let why = "it has another size than in the certificate";
            return Err(refuse(format!("service `{}`", service.name), why));
        }
    }
    for (stored, database) in listed("databases").iter().zip(&rules.app.databases) {
        let nodes = stored["nodes"].as_array().map(Vec::len);
        if nodes != Some(usize::from(database.own_nodes())) {
            let why = "it has another number of nodes than the file";
            return Err(refuse(format!("database `{}`", database.name), why));
        }
    }
    Ok(())
}
