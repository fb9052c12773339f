//! How many replicas each service needs: at peak, and with the reserve for what must be survived.

use std::collections::BTreeSet;

use model::{App, Rate, Scope, Service};

use crate::search_space::RPS_PER_CPU;
use crate::{PlanError, REPLICAS_MAX, SERVICES_MAX, Terms, ZONES_MAX};

/// Availability from which losing a zone must not be an outage unless the file says otherwise: one zone
/// outage of 4 h in 5 years alone costs 0.009 %, and no repair is faster than spare replicas.
const SURVIVE_ZONE_FROM: f64 = 1e-3;

/// Whether a reserve for the loss of a zone is kept though the file does not say what to survive.
pub(crate) fn reserves_by_default(app: &App) -> bool {
    let asked = app.objectives.availability.map(|asked| asked.unavailability);
    asked.is_some_and(|down| down <= SURVIVE_ZONE_FROM * (1.0 + 1e-9))
        && app.placement.zones > 1
        && app.objectives.survive.is_empty()
        && !app.objectives.survive_nothing
}

/// Refuses numbers no plan can be made from. `spec` has checked the file, but a plan can be asked for by
/// anybody who holds an [`App`].
pub(crate) fn check(app: &App) -> Result<(), PlanError> {
    let absurd = |what: String, rule| Err(PlanError::Absurd { what, rule });
    if app.services.is_empty() || app.services.len() > SERVICES_MAX {
        return absurd(format!("the app has {} services", app.services.len()), "it must have 1 to 64");
    }
    let zones = app.placement.zones;
    if !(1..=ZONES_MAX).contains(&zones) {
        return absurd(format!("`placement.zones` is {zones}"), "it must be from 1 to 9");
    }
    if let Some(asked) = app.objectives.availability
        && !(asked.unavailability > 0.0 && asked.unavailability <= 1.0)
    {
        return absurd("`objectives.availability` is no share of the year".into(), "it must be below 100%");
    }
    if app.objectives.budget.is_some_and(|budget| budget.0 < 0) {
        return absurd("`objectives.budget` is negative".into(), "it must be at least 0 USD/month");
    }
    let mut names = BTreeSet::new();
    for service in &app.services {
        if !names.insert(&service.name) {
            return absurd(format!("service `{}` is there twice", service.name), "names must differ");
        }
        check_service(service)?;
    }
    crate::near::check(app)?;
    crate::database::check(app)?;
    crate::cache::check(app)
}

fn check_service(service: &Service) -> Result<(), PlanError> {
    let name = &service.name;
    let absurd = |what: String, rule| Err(PlanError::Absurd { what, rule });
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if let Some(peak) = service.load.map(|load| load.peak.0)
        && !(peak.is_finite() && peak >= 0.0)
    {
        return absurd(format!("`load.peak` of `{name}` is {peak}"), "it must be a finite rate from 0");
    }
    if let Some(mean) = service.load.and_then(|load| load.mean).map(|mean| mean.0)
        && !(mean.is_finite() && mean >= 0.0)
    {
        return absurd(format!("`load.mean` of `{name}` is {mean}"), "it must be a finite rate from 0");
    }
    if let Some(rate) = service.rps_per_cpu.filter(|rate| !positive(*rate)) {
        return absurd(format!("`capacity.rps_per_cpu` of `{name}` is {rate}"), "it must be above 0");
    }
    if let Some(Rate(rate)) = service.scale.target.filter(|target| !positive(target.0)) {
        return absurd(format!("`scale.target` of `{name}` is {rate}"), "it must be above 0");
    }
    if service.resources.cpus.0 == 0 {
        return absurd(format!("`resources.cpus` of `{name}` is 0"), "it must be above 0");
    }
    let (min, max) = (service.scale.min, service.scale.max);
    if min == 0 || max < min {
        return absurd(format!("`scale` of `{name}` is {min} to {max}"), "it must be 1 <= min <= max");
    }
    if min > REPLICAS_MAX {
        return absurd(format!("`scale.min` of `{name}` is {min}"), "at most 1000 replicas are planned");
    }
    Ok(())
}

/// What one service asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Need {
    /// `None`: the file does not say, and `scale.min` is taken to be enough.
    load: Option<Carried>,
    min: u32,
    /// Most replicas.
    pub(crate) max: u32,
}

/// A load and what one replica takes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Carried {
    /// Requests/s.
    peak: f64,
    /// Requests/s of one replica on CPUs of the speed 1.
    each: f64,
    /// `scale.target` is meant, so a faster CPU does not make it more.
    is_target: bool,
}

/// Replicas that carry the peak on one kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peak {
    /// What `scale.min` leaves.
    Unsaid,
    /// So many.
    Replicas(u32),
}

/// What all services ask for, and what was assumed on the way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// In the order of the file.
    pub(crate) needs: Vec<Need>,
    /// Losing any zone must leave enough for the peak.
    pub(crate) survive_zone: bool,
    /// Losing any machine must.
    pub(crate) survive_node: bool,
    /// Sentences for [`model::Plan::assumed`].
    pub(crate) assumed: Vec<String>,
}

/// A service's size in one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Replicas that run.
    pub(crate) replicas: u32,
    /// Of which must be up at peak.
    pub(crate) needed: u32,
    /// Replicas without spare ones; more than `replicas` when `scale.max` forbids them.
    pub(crate) base: u32,
}

impl Request {
    /// What every layout must survive.
    pub(crate) fn survive(&self) -> Survive {
        match (self.survive_zone, self.survive_node) {
            (true, _) => Survive::Zone,
            (false, true) => Survive::Node,
            (false, false) => Survive::Nothing,
        }
    }

    pub(crate) fn new(app: &App, terms: &Terms) -> Result<Request, PlanError> {
        let by_default = reserves_by_default(app) && !terms.unreserved;
        let mut assumed = Vec::new();
        if by_default {
            assumed.push(
                "`survive` was left out: with 99.9% or more over several zones, losing any one of them at peak \
                 load must not need new replicas"
                    .to_owned(),
            );
        }
        let survive_zone = by_default || app.objectives.survive.contains(&Scope::Zone);
        let survive_node = app.objectives.survive.contains(&Scope::Node);
        let mut needs = Vec::new();
        for service in &app.services {
            needs.push(need(service, &mut assumed)?);
        }
        Ok(Request { needs, survive_zone, survive_node, assumed })
    }
}

fn need(service: &Service, assumed: &mut Vec<String>) -> Result<Need, PlanError> {
    let name = &service.name;
    let cpus = f64::from(service.resources.cpus.0) / 1000.0;
    let carries = match (service.scale.target, service.rps_per_cpu) {
        (Some(target), _) => target.0,
        (None, Some(rate)) => rate * cpus,
        (None, None) => {
            if service.load.is_some() {
                assumed.push(format!(
                    "`capacity` of `{name}` was left out: {RPS_PER_CPU} requests/s for each CPU; a load test tells the truth"
                ));
            }
            RPS_PER_CPU * cpus
        }
    };
    if service.load.is_none() {
        assumed.push(format!(
            "`load` of `{name}` was left out: what `scale.min` leaves after a loss that must be survived is taken to carry it"
        ));
    }
    let is_target = service.scale.target.is_some();
    let load = service.load.map(|load| Carried { peak: load.peak.0, each: carries, is_target });
    let need = Need { load, min: service.scale.min, max: service.scale.max.min(REPLICAS_MAX) };
    match (need.peak(1.0), service.load) {
        (None, Some(load)) => {
            Err(PlanError::TooMuch { service: name.to_string(), peak: load.peak.to_string(), each: carries })
        }
        _ => Ok(need),
    }
}

impl Need {
    /// Replicas that carry the peak on CPUs of `speed` (1: the reference); `None`: more than are planned.
    pub(crate) fn peak(&self, speed: f64) -> Option<Peak> {
        let Some(load) = self.load else { return Some(Peak::Unsaid) };
        let each = load.each * if load.is_target { speed.min(1.0) } else { speed };
        // The small margin keeps 400 / 133.33.. from becoming 4 by rounding.
        let count = (load.peak / each * (1.0 - 1e-12)).ceil().max(1.0);
        (count <= f64::from(REPLICAS_MAX)).then_some(Peak::Replicas(count as u32))
    }

    /// Replicas over `zones` zones on machines with room for `slots`, with `spare` beyond what the peak and the reserve
    /// ask for.
    ///
    /// Static stability: after losing the fullest zone, or the fullest machine, what is needed at peak still runs. One
    /// replica more never leaves fewer after the loss, so spare ones keep what the reserve gives.
    pub(crate) fn size(&self, peak: Peak, zones: u32, spare: u32, survive: Survive, slots: u32) -> Size {
        let lost = |replicas: u32| match survive {
            Survive::Nothing => 0,
            Survive::Node => fullest_machine(replicas, zones, slots),
            Survive::Zone => replicas.div_ceil(zones),
        };
        // With one zone nothing is left of it; then the objective is missed, whatever the count.
        let survivable = zones > 1 || survive != Survive::Zone;
        let needed = match peak {
            Peak::Replicas(needed) => needed,
            Peak::Unsaid if survivable => (self.min - lost(self.min)).max(1),
            Peak::Unsaid => self.min,
        };
        let mut base = needed.max(self.min);
        while survivable && base - lost(base) < needed {
            base += 1;
        }
        Size { replicas: base.saturating_add(spare).min(self.max), needed, base }
    }
}

/// `replicas` over `zones` zones, the first ones fuller.
pub(crate) fn shares(replicas: u32, zones: u32) -> impl Iterator<Item = u32> {
    (0..zones).map(move |zone| replicas / zones + u32::from(zone < replicas % zones))
}

/// Replicas on the machine that has most, when each zone spreads its share over as few machines as hold it.
fn fullest_machine(replicas: u32, zones: u32, slots: u32) -> u32 {
    let of = |share: u32| share.div_ceil(share.div_ceil(slots).max(1));
    shares(replicas, zones).map(of).max().unwrap_or(0)
}

/// What a layout is sized to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survive {
    Nothing,
    Node,
    Zone,
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
