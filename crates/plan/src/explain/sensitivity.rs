//! Each assumption at both ends of its band: what becomes of the plan, and whether another would be the cheapest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::{App, Cache, Mode};
use serde::Serialize;

use super::{Cheapest, cheapest};
use crate::PlanError;
use crate::catalog::{Band, Catalog, MachineType, Source, Unit};
use crate::chance::Prior;
use crate::compose::{self, Best, SLACK};
use crate::ground::Ground;
use crate::near;
use crate::search::{Candidate, Market};

/// One assumption at both ends of its band.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Its name, such as `zone_outage.hours`; of prices the source.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// Of the values: `per year`, `hours`, `s`, or `times the price`.
    pub unit: String,
    /// What the plan was made with.
    pub value: f64,
    /// At the good end.
    pub low: End,
    /// At the bad end.
    pub high: End,
}

/// One end of a band.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// The value there.
    pub value: f64,
    /// Expected minutes of downtime a year of the plan as it is.
    pub min_year: f64,
    /// What the plan as it is costs, US dollars a month.
    pub usd_month: f64,
    /// The plan as it is still keeps the availability and the budget that were asked.
    pub kept: bool,
    /// The cheapest plan there; `None`: none keeps every objective.
    pub cheapest: Option<Cheapest>,
}

/// What if machine types that nobody measured are as fast as this level of others with their CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// `mid` or `high`; plans are made with `low`.
    pub level: &'static str,
    /// The cheapest plan then.
    pub cheapest: Option<Cheapest>,
}

impl Speed {
    /// The cheapest plan when it is cheaper than one for `own` US dollars a month by more than rounding.
    pub(crate) fn cheaper(&self, own: f64) -> Option<&Cheapest> {
        self.cheapest.as_ref().filter(|other| !other.same && own - other.usd_month >= 0.005)
    }
}

impl Sensitivity {
    /// How far the downtime moves between the ends, minutes a year.
    #[must_use]
    pub fn swing(&self) -> f64 {
        (self.high.min_year - self.low.min_year).abs()
    }
}

/// Assumptions that the availability of `app` hangs on.
fn counts(app: &App, prior: &Prior) -> bool {
    let used = |mode: Mode| app.databases.iter().any(|database| database.mode() == mode);
    match prior.name.split('.').next().unwrap_or_default() {
        "zone_outage" | "machine_failure" | "deploy_failures" | "region_outage" | "human_error" => true,
        "database_node" => !app.databases.is_empty(),
        "cache_node" => app.caches.iter().any(Cache::is_needed),
        "takeover_cache" => app.caches.iter().any(|cache| cache.is_needed() && cache.replicas > 0),
        // What is sent costs, where something is paid.
        "response" if !app.placement.providers.is_empty() => {
            app.services.iter().any(|service| service.load.is_some_and(|load| load.response.is_none()))
        }
        "write" if !app.placement.providers.is_empty() => {
            app.databases.iter().any(|database| database.own_nodes() > 1 && database.writes.is_some())
        }
        "detour" => near::asked_ms(app).is_some() && !app.placement.providers.is_empty(),
        "takeover_quorum" => used(Mode::Quorum),
        "takeover_lease" => used(Mode::Lease),
        "takeover_managed" => used(Mode::Managed),
        _ => false,
    }
}

/// Every assumption with a band, the one that moves the downtime most first.
pub(super) fn assumptions(ground: &Ground<'_>, best: &Best<'_>) -> Result<Vec<Sensitivity>, PlanError> {
    let mut all = Vec::new();
    let banded = |prior: &&Prior| prior.low < prior.high && counts(ground.app, prior);
    for prior in ground.assumptions.all().iter().filter(banded) {
        let at = |value: f64| -> Result<End, PlanError> {
            let mut changed = ground.assumptions.clone();
            changed.set(prior.name, value)?;
            let ground = ground.assuming(changed);
            if prior.name == near::DETOUR {
                return detoured(&ground, best, value);
            }
            let space = ground.space()?;
            let odds = space.odds(best.chosen.spread());
            let down = match compose::modelled(ground.app, odds, &best.chosen) {
                Some(whole) => odds.answer(&whole)?.total.get(),
                None => 1.0,
            };
            let uses = best.chosen.market.uses(ground.app, best.chosen.zones, &ground.assumptions);
            let usd = compose::bill(ground.app, &Candidate { uses, ..best.chosen.clone() }).usd();
            Ok(end(&ground, best, (value, down, usd), cheapest(&space, best.limits, best)))
        };
        let (name, what, unit) = (prior.name.to_owned(), prior.what.to_owned(), prior.unit.to_string());
        let (low, high) = (at(prior.low)?, at(prior.high)?);
        all.push(Sensitivity { name, what, unit, value: prior.mid, low, high });
    }
    all.sort_by(|a, b| b.swing().total_cmp(&a.swing()).then_with(|| a.name.cmp(&b.name)));
    Ok(all)
}

/// With another detour other regions are near enough, perhaps not the plan's, and nothing else changes.
fn detoured(ground: &Ground<'_>, best: &Best<'_>, value: f64) -> Result<End, PlanError> {
    let cheapest = match ground.space() {
        Ok(space) => cheapest(&space, best.limits, best),
        Err(error) if error.is_infeasible() => None,
        Err(error) => return Err(error),
    };
    let usd = compose::bill(ground.app, &best.chosen).usd();
    let end = end(ground, best, (value, best.chosen.down, usd), cheapest);
    let near = match best.chosen.market {
        Market::Cloud(offer) => near::reaches(ground.app, offer, &ground.assumptions),
        Market::Local => true,
    };
    Ok(End { kept: end.kept && near, ..end })
}

fn end(
    ground: &Ground<'_>,
    best: &Best<'_>,
    (value, down, usd_month): (f64, f64, f64),
    cheapest: Option<Cheapest>,
) -> End {
    let available = best.limits.down.is_none_or(|limit| down <= limit * (1.0 + SLACK));
    let affordable = ground.app.objectives.budget.is_none_or(|budget| usd_month <= budget.usd() + 5e-7);
    let min_year = model::Availability { unavailability: down }.downtime_min_year();
    End { value, min_year, usd_month, kept: available && affordable, cheapest }
}

/// The sources of what is planned with in these markets, each once.
fn sources(catalog: &Catalog) -> Vec<Arc<Source>> {
    let planned = [
        Unit::DiskGbMonth,
        Unit::BalancerMonth,
        Unit::BalancerUnitMonth,
        Unit::BalancerGb,
        Unit::NatMachineMonth,
        Unit::NatMonth,
        Unit::AddressMonth,
        Unit::TrafficInternetGb,
        Unit::TrafficInternetGb10tb,
        Unit::TrafficInternetGb50tb,
        Unit::TrafficInternetGb150tb,
        Unit::TrafficZoneOutGb,
        Unit::TrafficZoneInGb,
    ];
    let mut all: BTreeMap<&str, &Arc<Source>> = BTreeMap::new();
    for offer in &catalog.regions {
        let units = planned.iter().filter_map(|unit| offer.unit(*unit));
        for price in offer.machines.iter().map(|machine| &machine.price).chain(units) {
            all.insert(&price.source.id, &price.source);
        }
    }
    all.into_values().cloned().collect()
}

/// The prices of each source that is old on `today`, or assumed.
pub(super) fn prices(
    ground: &Ground<'_>,
    best: &Best<'_>,
    today: &str,
) -> Result<Vec<Sensitivity>, PlanError> {
    let mut all = Vec::new();
    let sold = ground.sold()?;
    for source in sources(&sold) {
        let band = source.band(today);
        if band == Band::EXACT {
            continue;
        }
        // Pessimistic terms have raised it already.
        let raised = if ground.terms.pessimistic.is_some() { band.high } else { 1.0 };
        let at = |value: f64| -> Result<End, PlanError> {
            let mut changed = sold.clone();
            changed.reprice(|price| {
                if price.source.id == source.id {
                    price.usd *= value / raised;
                }
            });
            let ground = ground.selling(Cow::Owned(changed));
            let usd = compose::resold(&best.chosen, &ground.catalog);
            let usd = usd.map_or(0.0, |chosen| compose::bill(ground.app, &chosen).usd());
            Ok(end(
                &ground,
                best,
                (value, best.chosen.down, usd),
                cheapest(&ground.space()?, best.limits, best),
            ))
        };
        let (low, high) = (at(band.low)?, at(band.high)?);
        let kind = if source.assumed { "assumed" } else { "read" };
        let what =
            format!("prices {kind} {}, {}", source.date, source.document.trim_start_matches("assumed: "));
        let (name, unit) = (source.id.clone(), "times the price".to_owned());
        all.push(Sensitivity { name, what, unit, value: raised, low, high });
    }
    let swing = |row: &Sensitivity| (row.high.usd_month - row.low.usd_month).abs();
    all.sort_by(|a, b| swing(b).total_cmp(&swing(a)).then_with(|| a.name.cmp(&b.name)));
    Ok(all)
}

/// The cheapest plans when types without a measured figure are as fast as the middle, and the best, of their CPU.
pub(super) fn speeds(ground: &Ground<'_>, best: &Best<'_>) -> Result<Vec<Speed>, PlanError> {
    let sold = ground.sold()?;
    let unmeasured = |kind: &MachineType| !kind.performance.measured;
    let mut usable = sold.regions.iter().flat_map(|offer| offer.usable());
    if !usable.any(|machine| unmeasured(machine)) {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for level in ["mid", "high"] {
        let mut changed = sold.clone();
        let mut known: BTreeMap<Arc<str>, Arc<MachineType>> = BTreeMap::new();
        let machines = changed.regions.iter_mut().flat_map(|offer| &mut offer.machines);
        for machine in machines.filter(|machine| unmeasured(machine)) {
            let faster = known.entry(Arc::clone(&machine.name)).or_insert_with(|| {
                let mut kind = (*machine.kind).clone();
                let figures = kind.performance;
                kind.performance.low = if level == "mid" { figures.mid } else { figures.high };
                Arc::new(kind)
            });
            machine.kind = Arc::clone(faster);
        }
        let ground = ground.selling(Cow::Owned(changed));
        all.push(Speed { level, cheapest: cheapest(&ground.space()?, best.limits, best) });
    }
    Ok(all)
}
