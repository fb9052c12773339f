//! The verifier: is a plan really the cheapest? It trusts nothing of the search and shares none of its code.
//!
//! Promise: a plan is accepted only when every topology of the space, listed anew from the file and the catalogue, is
//! shown to hold nothing cheaper, by bounds that are computed anew, and when the plan costs and keeps what it says. What is
//! shared is named here: `model`, the catalogue's reader, the priors, and of the availability model the chain of the
//! databases ([`crate::chance::Stateful`], [`crate::chance::Group`]), which has tests and a simulation of its own. So are names and
//! words, of which no price and no choice depends: zones, nodes, versions, and the sentences about what is missed.
//!
//! Entry point: [`verify`].

mod bill;
mod cover;
mod derived;
mod near;
mod network;
mod plan;
mod rules;
mod space;
mod standbys;
mod together;

use std::borrow::Cow;

use model::{App, Layout, Sharing};
use serde_json::Value;

use crate::catalog::{Catalog, RegionOffer, is_date};
use crate::certain::Certain;
use crate::proof::{Nat, Proof, SPACE, Topology, fingerprint};
use crate::{Options, Terms};
use cover::Cover;
use rules::Rules;

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Refused {
    /// Which part of the plan or its certificate.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// What was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The plan keeps every objective; else there is none that does, and size and bill of the one that is stored are not checked.
    pub found: bool,
    /// Regions and numbers of zones, each with its proof.
    pub topologies: usize,
    /// Branches that were bounded anew.
    pub branches: usize,
    /// How much cheaper a plan could still be, as a share of the price; 0: none is cheaper.
    pub gap: f64,
    /// The sentence of the plan that says this, which is as true as the rest.
    pub certain: String,
    /// The terms that the certificate states, on which this holds.
    pub terms: Terms,
}

fn refuse(place: impl Into<String>, why: impl Into<String>) -> Refused {
    Refused { place: place.into(), why: why.into() }
}

/// Relative difference that rounding may make between two ways to compute the same.
const ROUNDING: f64 = 1e-9;

/// Costs are whole millionths of a dollar: what costs more than this less than the plan costs no less.
const ALMOST_ONE: f64 = 0.9;

/// Where a plan may be, listed anew.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// `None`: this machine.
    offer: Option<&'a RegionOffer>,
    zones: u32,
    layout: Layout,
    /// How its NAT gateways are paid for.
    nat: Nat,
}

/// Checks that `stored`, what `plan --json` or `plan -o` wrote, is the cheapest plan for `app` over the catalogue of
/// `options`.
///
/// # Errors
/// [`Refused`] with the first thing that is not as it says.
pub fn verify(app: &App, options: &Options, stored: &Value) -> Result<Verified, Refused> {
    let proof = stored.get("certificate").and_then(|certificate| certificate.get("proof"));
    let proof = proof.ok_or_else(|| {
        refuse("the plan", "it has no certificate with a proof; `evenkeel plan -o PLAN` writes one")
    })?;
    considered(app, options, stored)?;
    let proof: Proof = serde_json::from_value(proof.clone())
        .map_err(|error| refuse("the certificate", format!("it cannot be read: {error}")))?;
    head(app, options, &proof)?;
    let catalog = priced(&options.catalog, proof.terms.pessimistic.as_deref())?;
    let ways = standbys::ways(app, &proof)?;
    let all =
        ways.iter().map(|way| Part::new(way, &proof, options, &catalog)).collect::<Result<Vec<_>, _>>()?;
    let (rules, places) = (&all[0].rules, &all[0].places);
    stands(places, &proof, stored)?;
    let best = plan::incumbent(rules, &catalog, &proof)?;
    plan::stored(rules, &proof, best.as_ref(), stored)?;
    derived::derived(rules, &proof, best.as_ref(), stored)?;
    near::told(app, offered(places, stored), rules.assumed("detour.times"), stored)?;
    let cost = proof.incumbent.as_ref().map(|incumbent| incumbent.micro_usd);
    let Covered { open, branches } = covered(&all, cost)?;
    let gap = match (cost, open) {
        (Some(cost), Some(open)) if cost > 0 => ((cost as f64 - open) / cost as f64).max(0.0),
        _ => 0.0,
    };
    let bought = places.iter().any(|place| place.offer.is_some());
    let certain = Certain {
        found: proof.incumbent.is_some(),
        gap: if proof.incumbent.is_some() { gap } else { f64::from(u8::from(open.is_some())) },
        catalog: bought.then_some((&options.catalog, &proof.catalogue)),
        terms: &proof.terms,
        assumptions: proof.assumptions.len(),
    };
    let found = certain.found;
    let certain = derived::certain(&certain, stored)?;
    Ok(Verified { found, topologies: proof.places(), branches, gap, certain, terms: proof.terms })
}

/// The space of the file with one number of standbys for each database.
struct Part<'a> {
    rules: Rules<'a>,
    places: Vec<Place<'a>>,
    topologies: &'a [Topology],
}

impl<'a> Part<'a> {
    fn new(
        way: &'a standbys::Way<'_>,
        proof: &Proof,
        options: &Options,
        catalog: &'a Catalog,
    ) -> Result<Part<'a>, Refused> {
        let rules = Rules::new(&way.app, proof)?;
        let places = places(&way.app, options, catalog, rules.assumed("detour.times"))?;
        listed(&places, way.topologies)?;
        Ok(Part { rules, places, topologies: way.topologies })
    }
}

/// What was looked at of all topologies.
struct Covered {
    /// Cheapest bound of what nobody looked at, in millionths of a dollar.
    open: Option<f64>,
    branches: usize,
}

/// That nothing in any topology is cheaper than `cost`.
fn covered(all: &[Part<'_>], cost: Option<i64>) -> Result<Covered, Refused> {
    let misses = |part: &Part<'_>| {
        let each = part.places.iter().map(|place| part.rules.misses(place.zones, place.layout));
        each.min()
    };
    // What cannot be had anywhere misses nothing and is no way.
    let is_had = |part: &&Part<'_>| {
        let mut databases = part.rules.app.databases.iter();
        let caches = &part.rules.app.caches;
        databases.all(|one| part.places.iter().any(|place| space::is_had(place, one)))
            && caches.iter().all(|one| part.places.iter().any(|place| space::keeps(place, one)))
    };
    let fewest = all.iter().filter(is_had).filter_map(misses).min();
    let fewest = fewest.or_else(|| all.iter().filter_map(misses).min()).unwrap_or(0);
    let mut covered = Covered { open: None, branches: 0 };
    for part in all {
        let mut cover = Cover::new(&part.rules, cost, fewest);
        for place in &part.places {
            let topology = part.topologies.iter().find(|topology| topology.place() == named(place));
            let topology = topology.ok_or_else(|| refuse(label(place), "the certificate leaves it out"))?;
            cover.check(place, &topology.closed).map_err(|why| refuse(label(place), why))?;
        }
        covered.open = covered.open.into_iter().chain(cover.open).min_by(f64::total_cmp);
        covered.branches += cover.branches;
    }
    Ok(covered)
}

/// That the plan is for a provider that the file and the flags consider: another one has other prices, too.
fn considered(app: &App, options: &Options, stored: &Value) -> Result<(), Refused> {
    let given = |only: &String| vec![only.clone()];
    let mut names = options.provider.as_ref().map_or_else(|| app.placement.providers.clone(), given);
    if names.is_empty() {
        names.push("local".to_owned());
    }
    match stored.get("provider").and_then(Value::as_str) {
        Some(theirs) if !names.iter().any(|name| name == theirs) => {
            let why = format!(
                "it is for `{theirs}`, and the file with these options is for {}; try `--provider {theirs}`",
                names.join(", ")
            );
            Err(refuse("the plan", why))
        }
        _ => Ok(()),
    }
}

/// That the proof is about this file, this catalogue and this space.
fn head(app: &App, options: &Options, proof: &Proof) -> Result<(), Refused> {
    if proof.space != SPACE {
        let why = format!("it is for version {} of the space, this one checks {SPACE}", proof.space);
        return Err(refuse("the certificate", why));
    }
    let own = fingerprint(&options.catalog);
    if proof.catalogue != own {
        let why = format!("it was made with catalogue {}, this is {own}", proof.catalogue);
        return Err(refuse("the certificate", why));
    }
    let asked = app.objectives.availability.map(|asked| asked.unavailability);
    let same = match (proof.asked, asked) {
        (Some(theirs), Some(ours)) => (theirs - ours).abs() <= ROUNDING * ours,
        (theirs, ours) => theirs.is_none() && ours.is_none(),
    };
    if same {
        Ok(())
    } else {
        Err(refuse("the certificate", "it is for another availability than the file asks"))
    }
}

/// The prices of the space: with a pessimistic date each at the upper end of what its age and its source leave open.
fn priced<'c>(catalog: &'c Catalog, today: Option<&str>) -> Result<Cow<'c, Catalog>, Refused> {
    let Some(today) = today else { return Ok(Cow::Borrowed(catalog)) };
    if !is_date(today) {
        return Err(refuse("the certificate", "its terms have no date"));
    }
    let mut dear = catalog.clone();
    for offer in &mut dear.regions {
        let machines = offer.machines.iter_mut().map(|machine| &mut machine.price);
        for price in machines.chain(offer.units.values_mut()) {
            price.usd *= price.source.band(today).high;
        }
    }
    Ok(Cow::Owned(dear))
}

/// Every topology of the space: each allowed region with each number of zones, each layout, and each way to pay for its NAT gateways.
fn places<'a>(
    app: &App,
    options: &Options,
    catalog: &'a Catalog,
    detour: f64,
) -> Result<Vec<Place<'a>>, Refused> {
    let asked = app.placement.zones;
    let names: Vec<&str> = match &options.provider {
        Some(only) => vec![only.as_str()],
        None => app.placement.providers.iter().map(String::as_str).collect(),
    };
    if names.is_empty() || names == ["local"] {
        let (zones, layout) = (u32::from(asked), Layout::Apart);
        return Ok(vec![Place { offer: None, zones, layout, nat: Nat::Gateway }]);
    }
    let home = app.placement.regions.first();
    let mut places = Vec::new();
    for offer in &catalog.regions {
        let here = match home {
            Some(home) => offer.is(home),
            None => offer.closed.is_none(),
        };
        let fit = lawful(app, offer) && near::is_near(app, offer, detour);
        if here && fit && names.contains(&offer.provider.as_str()) {
            for zones in (1..=asked.min(offer.zones)).map(u32::from) {
                let ways = network::ways_to_pay(offer, zones).into_iter();
                let of = |layout: Layout, nat: Nat| Place { offer: Some(offer), zones, layout, nat };
                let apart = app.sharing() != Sharing::Together;
                places.extend(ways.filter(|_| apart).map(|nat| of(Layout::Apart, nat)));
                let shared = together::is_open(app, zones);
                places.extend(shared.then(|| of(Layout::Together, together::pays(offer, zones))));
            }
        }
    }
    if places.is_empty() {
        Err(refuse(
            "the file",
            "the catalogue has none of its regions, or its `residency` or `latency` leaves them out",
        ))
    } else {
        Ok(places)
    }
}

/// Whether the file lets data be kept in a region: everywhere when it does not say where.
fn lawful(app: &App, offer: &RegionOffer) -> bool {
    let mut allowed = app.placement.residency.iter().map(String::as_str).peekable();
    allowed.peek().is_none() || allowed.any(|code| [&*offer.residency, &*offer.country].contains(&code))
}

/// That the plan, and what the certificate calls the cheapest, stand in a place of the space: no bound of another place says
/// anything of them.
fn stands(places: &[Place<'_>], proof: &Proof, stored: &Value) -> Result<(), Refused> {
    let is = |provider: Option<&str>, region: Option<&str>| {
        places.iter().map(named).any(|place| (Some(place.0), Some(place.1)) == (provider, region))
    };
    let cheapest = proof.incumbent.as_ref();
    let (theirs, own) = (|field: &str| stored[field].as_str(), |one: &str| one.to_owned());
    if let Some(one) = cheapest {
        let of = |place: &Place<'_>| {
            let (provider, region, zones, layout, _) = named(place);
            (provider, region, zones, layout) == (&*one.provider, &*one.region, one.zones, one.layout)
        };
        let here = is(Some(&one.provider), Some(&one.region));
        if here && !places.iter().any(of) {
            let why = "the file does not allow so many zones, or that what is in one shares its machine";
            return Err(refuse("the plan", why));
        }
    }
    let elsewhere = cheapest.filter(|one| !is(Some(&one.provider), Some(&one.region)));
    let elsewhere = elsewhere.map(|one| (own(&one.provider), own(&one.region)));
    let wrong = elsewhere.or_else(|| {
        let (provider, region) = (theirs("provider"), theirs("region"));
        (!is(provider, region)).then(|| (own(provider.unwrap_or("none")), own(region.unwrap_or("none"))))
    });
    match wrong {
        Some((provider, region)) => {
            let why = format!("it is in {provider} {region}, which the file does not allow");
            Err(refuse("the plan", why))
        }
        None => Ok(()),
    }
}

/// Where the plan is, which has been shown to be a place of the space; `None`: this machine.
fn offered<'a>(places: &[Place<'a>], stored: &Value) -> Option<&'a RegionOffer> {
    let of = |field: &str| stored[field].as_str();
    let mut offers = places.iter().filter_map(|place| place.offer);
    offers.find(|offer| (of("provider"), of("region")) == (Some(&*offer.provider), Some(&*offer.region)))
}

/// As a certificate names a place.
type Named<'n> = (&'n str, &'n str, u32, Layout, Nat);

fn named<'a>(place: &Place<'a>) -> Named<'a> {
    match place.offer {
        None => ("local", "local", place.zones, place.layout, place.nat),
        Some(offer) => (&offer.provider, &offer.region, place.zones, place.layout, place.nat),
    }
}

fn label(place: &Place<'_>) -> String {
    spelt(&named(place))
}

fn spelt((provider, region, zones, layout, nat): &Named<'_>) -> String {
    let counted = if *zones == 1 { "zone" } else { "zones" };
    let paid = match nat {
        Nat::Gateway => "",
        Nat::Machine => ", NAT paid by the machine",
    };
    let held = match layout {
        Layout::Apart => "",
        Layout::Together => ", one machine each",
    };
    format!("{provider} {region} with {zones} {counted}{held}{paid}")
}

/// That the certificate lists each topology once, and nothing else.
fn listed(places: &[Place<'_>], topologies: &[Topology]) -> Result<(), Refused> {
    let mut listed: Vec<Named<'_>> = topologies.iter().map(Topology::place).collect();
    listed.sort_unstable();
    if let Some(twice) = listed.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(refuse("the certificate", format!("{} is there twice", spelt(&twice[0]))));
    }
    let mut own: Vec<Named<'_>> = places.iter().map(named).collect();
    own.sort_unstable();
    if let Some(left_out) = own.iter().find(|place| listed.binary_search(place).is_err()) {
        return Err(refuse("the certificate", format!("{} is left out", spelt(left_out))));
    }
    if let Some(foreign) = listed.iter().find(|place| own.binary_search(place).is_err()) {
        return Err(refuse("the certificate", format!("{} is not in the space", spelt(foreign))));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
