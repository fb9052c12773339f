//! From the store's picture to what `status` and the console show.

use std::net::SocketAddr;

use model::{
    FaultTarget, ObjectiveStatus, Phase, RolloutPhase, Status, UnitRecord, UnitState, UnitStatus, Verdict,
    Want, ZoneName, ZoneStatus,
};

use super::mirror::Mirror;
use super::{fronts, picture_data};

/// How many drills are shown.
const DRILLS_MAX: usize = 20;

/// The picture at `unix_ms`. `rps` is measured by the caller from two pictures.
pub fn build(mirror: &Mirror, rps: Option<f64>, unix_ms: u64) -> Status {
    let mut status = Status { at_ms: unix_ms, ..Status::default() };
    status.leader = mirror.leader.as_ref().map(|leader| leader.zone.clone());
    status.drills = mirror.verdicts.values().rev().take(DRILLS_MAX).cloned().collect();
    let mut zones: Vec<ZoneName> = mirror.agents.keys().cloned().collect();
    if let Some((rollout, _)) = &mirror.rollout {
        status.app = rollout.plan.app.to_string();
        status.plan = rollout.plan.number;
        status.rollout = phase_text(&rollout.phase);
        status.highly_available = rollout.plan.provider != "local";
        zones.extend(rollout.plan.zones.iter().cloned());
    }
    zones.extend(mirror.units.values().map(|(unit, _)| unit.zone.clone()));
    zones.sort();
    zones.dedup();
    status.zones = zones.iter().map(|zone| zone_status(mirror, zone)).collect();
    status.entries = entries(mirror);
    status.units = mirror.units.values().map(|(unit, _)| unit_status(mirror, unit)).collect();
    let known = |state: &&UnitState| !mirror.units.contains_key(&state.name);
    for state in mirror.states.values().filter(known) {
        if [fronts::EDGE, fronts::DATA].contains(&state.service.as_str()) {
            status.units.push(front_status(mirror, state));
        }
    }
    status.units.extend(picture_data::units(mirror));
    status.databases = picture_data::databases(mirror);
    status.warnings = picture_data::warnings(mirror);
    status.objectives = objectives(mirror, rps);
    status
}

fn phase_text(phase: &RolloutPhase) -> String {
    match phase {
        RolloutPhase::Rolling => "rolling".to_owned(),
        RolloutPhase::Reached => "reached".to_owned(),
        RolloutPhase::RollingBack { failed, why } => format!("rolling back from plan #{}: {why}", failed.0),
        RolloutPhase::RolledBack { failed, why } => format!("rolled back from plan #{}: {why}", failed.0),
    }
}

fn zone_status(mirror: &Mirror, zone: &ZoneName) -> ZoneStatus {
    ZoneStatus {
        zone: zone.clone(),
        alive: mirror.agents.contains_key(zone),
        front: mirror.fronts.get(zone).and_then(|front| front.listen.first().copied()),
    }
}

fn entries(mirror: &Mirror) -> Vec<SocketAddr> {
    let alive = mirror.fronts.values().filter(|front| mirror.agents.contains_key(&front.zone));
    alive.flat_map(|front| front.listen.iter().copied()).collect()
}

fn unit_status(mirror: &Mirror, unit: &UnitRecord) -> UnitStatus {
    let alive = mirror.agents.contains_key(&unit.zone);
    let state = mirror.states.get(&unit.name);
    let phase = state.map_or(Phase::Starting, |state| state.phase);
    let detail = match (alive, state) {
        (false, _) => "its zone does not answer".to_owned(),
        (true, Some(state)) => state.detail.clone(),
        (true, None) => "assigned".to_owned(),
    };
    UnitStatus {
        name: unit.name.clone(),
        zone: unit.zone.clone(),
        service: unit.service.name.clone(),
        state: phase,
        role: "replica".to_owned(),
        healthy: alive && phase == Phase::Ready && unit.want == Want::Run,
        restarts: state.map_or(0, |state| state.restarts),
        address: state.and_then(|state| state.address),
        pid: state.and_then(|state| state.pid),
        detail,
    }
}

/// Where a front listens, and where it cannot.
type Told<'a> = (&'a [SocketAddr], &'a [(SocketAddr, String)]);

/// A front, which is well when it listens wherever the plan says; nowhere, when nothing comes in from outside.
fn front_status(mirror: &Mirror, state: &UnitState) -> UnitStatus {
    let data = state.service.as_str() == fronts::DATA;
    let told: Option<Told<'_>> = if data {
        mirror.data_fronts.get(&state.zone).map(|front| (&*front.listen, &*front.refused))
    } else {
        mirror.fronts.get(&state.zone).map(|front| (&*front.listen, &*front.refused))
    };
    let plan = mirror.rollout.as_ref().map(|(rollout, _)| &rollout.plan);
    let idle = !data && told.is_some() && plan.is_some_and(|plan| plan.ingress.is_empty());
    let (listen, refused) = told.unwrap_or_default();
    let alive = mirror.agents.contains_key(&state.zone);
    let detail = match (alive, refused.first()) {
        (false, _) => "its zone does not answer".to_owned(),
        (true, Some((address, why))) => format!("cannot listen on {address}: {why}"),
        (true, None) => state.detail.clone(),
    };
    UnitStatus {
        name: state.name.clone(),
        zone: state.zone.clone(),
        service: state.service.clone(),
        state: state.phase,
        role: "front".to_owned(),
        healthy: alive && state.phase == Phase::Ready && (idle || !listen.is_empty()) && refused.is_empty(),
        restarts: state.restarts,
        address: listen.first().copied(),
        pid: state.pid,
        detail,
    }
}

/// Requests and errors over all fronts since they started.
pub fn totals(mirror: &Mirror) -> (u64, u64) {
    let counters = mirror.fronts.values().flat_map(|front| front.counters.values());
    counters.fold((0, 0), |(requests, errors), one| (requests + one.requests, errors + one.errors))
}

fn objectives(mirror: &Mirror, rps: Option<f64>) -> ObjectiveStatus {
    let (requests, errors) = totals(mirror);
    let counters = mirror.fronts.values().flat_map(|front| front.counters.values());
    let ejections = counters.map(|one| one.ejections).sum();
    let measured = (requests > 0).then(|| 100.0 * (1.0 - errors as f64 / requests as f64));
    let mut found = ObjectiveStatus {
        measured_percent: measured,
        requests,
        errors,
        ejections,
        rps,
        ..ObjectiveStatus::default()
    };
    if let Some((rollout, _)) = &mirror.rollout {
        let asked = &rollout.plan.objectives;
        found.availability_percent = asked.availability.map(|wanted| 100.0 * (1.0 - wanted.unavailability));
        found.rto_zone_ms = asked.rto.zone.map(|duration| duration.0);
        found.budget_usd_month = asked.budget.map(model::Money::usd);
        found.planned_usd_month = Some(rollout.plan.usd_month.usd());
    }
    let worst = mirror.verdicts.values().filter(|verdict| verdict.fault.target == FaultTarget::Zone);
    let worst = worst
        .filter_map(measured_rto)
        .fold(None, |worst: Option<f64>, ms| Some(worst.map_or(ms, |w| w.max(ms))));
    found.measured_rto_zone_ms = worst.map(|ms| ms.ceil() as u64);
    found
}

fn measured_rto(verdict: &Verdict) -> Option<f64> {
    verdict.rto_ms
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
