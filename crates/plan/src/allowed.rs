//! Which regions a plan may take: those of the allowed providers that the file names, or does not leave out.

use std::collections::BTreeSet;

use model::{App, Duration, Sharing};

use crate::PlanError;
use crate::catalog::{Catalog, RegionOffer};
use crate::chance::Assumptions;
use crate::near;
use crate::search::Market;
use crate::search_space::TOGETHER_SERVICES_MAX;

/// Chooses where the app may go: this machine, or regions of the catalogue.
///
/// # Errors
/// An unknown region, an empty catalogue, or a file that leaves out every region.
pub(crate) fn markets<'a>(
    app: &App,
    catalog: &'a Catalog,
    provider: Option<&str>,
    assumptions: &Assumptions,
) -> Result<Vec<Market<'a>>, PlanError> {
    let asked = asked(app, provider);
    if is_local(&asked) {
        return Ok(vec![Market::Local]);
    }
    let services = app.services.len();
    if app.sharing() == Sharing::Together && services > TOGETHER_SERVICES_MAX {
        let why =
            format!("that is for at most {TOGETHER_SERVICES_MAX} services, and the file has {services}");
        return Err(PlanError::Together { why });
    }
    if catalog.regions.is_empty() {
        return Err(PlanError::EmptyCatalogue);
    }
    let here = here(app, catalog, &asked)?;
    let inside: Vec<&RegionOffer> = here.iter().copied().filter(|offer| resides(app, offer)).collect();
    if inside.is_empty() && !here.is_empty() {
        return Err(nowhere(app, catalog, &asked, &here));
    }
    let reached = |offer: &&&RegionOffer| near::reaches(app, offer, assumptions);
    let reached: Vec<Market<'a>> = inside.iter().filter(reached).map(|offer| Market::Cloud(offer)).collect();
    match (reached.is_empty(), nearest(app, &inside, assumptions)) {
        (true, Some((nearest, needed))) => {
            let p99 = app.objectives.latency.as_ref().map_or_else(String::new, |asked| asked.p99.to_string());
            Err(PlanError::TooFar { asked: asked.join(", "), p99, nearest, needed })
        }
        _ => Ok(reached),
    }
}

/// Whether every provider that is asked is one of the whole `catalog`: of a part of it, one without a region there would be unknown.
///
/// # Errors
/// [`PlanError::UnknownProvider`]; [`PlanError::EmptyCatalogue`].
pub(crate) fn known(app: &App, catalog: &Catalog, provider: Option<&str>) -> Result<(), PlanError> {
    let asked = asked(app, provider);
    if is_local(&asked) {
        return Ok(());
    }
    let known = catalog.providers();
    if known.is_empty() {
        return Err(PlanError::EmptyCatalogue);
    }
    match asked.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let known = format!("local {}", known.join(" "));
            Err(PlanError::UnknownProvider { name: (*name).to_owned(), known })
        }
        None => Ok(()),
    }
}

fn asked<'a>(app: &'a App, provider: Option<&'a str>) -> Vec<&'a str> {
    match provider {
        Some(only) => vec![only],
        None => app.placement.providers.iter().map(String::as_str).collect(),
    }
}

fn is_local(asked: &[&str]) -> bool {
    asked.is_empty() || asked == ["local"]
}

/// Regions of the providers that are asked: those that the file means, or all that are open.
fn here<'a>(app: &App, catalog: &'a Catalog, asked: &[&str]) -> Result<Vec<&'a RegionOffer>, PlanError> {
    let offers = catalog.regions.iter().filter(|offer| asked.contains(&offer.provider.as_str()));
    let home = app.placement.regions.first();
    let is_meant = |offer: &&RegionOffer| home.map_or(offer.closed.is_none(), |home| offer.is(home));
    let here: Vec<&RegionOffer> = offers.clone().filter(is_meant).collect();
    let Some(home) = home.filter(|_| here.is_empty()) else { return Ok(here) };
    let mut places: Vec<&str> = offers.map(|offer| offer.place.as_str()).collect();
    places.sort_unstable();
    places.dedup();
    let elsewhere = catalog.regions.iter().filter(|offer| offer.is(home));
    let mut elsewhere: Vec<&str> = elsewhere.map(|offer| offer.provider.as_str()).collect();
    elsewhere.dedup();
    let (region, known, elsewhere) = (home.0.clone(), places.join(" "), elsewhere.join(" "));
    Err(PlanError::UnknownRegion { region, known, elsewhere })
}

/// Whether data in a region is under a law, or in a country, that the file allows.
fn resides(app: &App, offer: &RegionOffer) -> bool {
    let allowed = &app.placement.residency;
    allowed.is_empty() || allowed.iter().any(|code| *code == offer.residency || *code == offer.country)
}

/// The region with the shortest way to its users, and the least `p99` that lets it in.
fn nearest(app: &App, inside: &[&RegionOffer], assumptions: &Assumptions) -> Option<(String, String)> {
    let ways = inside.iter().map(|offer| (near::within_ms(app, offer, assumptions), offer));
    let (ms, offer) = ways.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((format!("{} {}", offer.provider, offer.region), Duration(ms.ceil() as u64).to_string()))
}

/// That the residency leaves out every region that is `here`, with what would let one in.
fn nowhere(app: &App, catalog: &Catalog, asked: &[&str], here: &[&RegionOffer]) -> PlanError {
    let listed = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let home = app.placement.regions.first();
    let meant = |offer: &&RegionOffer| home.is_none_or(|home| offer.is(home)) && resides(app, offer);
    let inside = || catalog.regions.iter().filter(meant);
    let is_asked = |offer: &&RegionOffer| asked.contains(&offer.provider.as_str());
    let others = inside().filter(|offer| offer.closed.is_none() && !is_asked(offer));
    let closed = inside().filter(|offer| offer.closed.is_some() && is_asked(offer));
    PlanError::Residency {
        residency: app.placement.residency.join(", "),
        asked: asked.join(", "),
        laws: listed(here.iter().map(|offer| offer.residency.as_str()).collect()),
        others: listed(others.map(|offer| offer.provider.as_str()).collect()),
        closed: listed(closed.map(|offer| offer.region.as_str()).collect()),
    }
}

#[cfg(test)]
#[path = "allowed_tests.rs"]
mod tests;
