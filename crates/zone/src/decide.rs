//! Where every replica should be. Pure: the same view, memory and moment give the same actions.

use std::collections::{BTreeMap, BTreeSet};

use model::{Moment, Phase, Plan, Rollout, RolloutPhase, ServiceName, UnitName, UnitRecord, Want, ZoneName};

use crate::decide_service::{Scene, Unit, service_actions, unit_number};
use crate::decide_view::{Action, View};

/// A zone must be back this long before replicas are moved into it: a zone that flaps must not pull
/// replicas to and fro. Replacing what is missing never waits for it.
pub const SETTLE_MS: u64 = 10_000;

/// A new leader that sees not one ready unit takes this for a cold start and waits this long for zones it
/// has not yet seen, instead of putting their replicas elsewhere. Agents of one machine come up within
/// about half a second of each other.
pub const GATHER_MS: u64 = 2_000;

/// A unit of a new version that is not ready within this many of its `start_timeout`s has failed, even when
/// its agent does not say so. The agent itself says so after one; the second is for an agent that is slow.
pub const PATIENCE: u64 = 2;

/// Soft timing that is lost with the leader. A new leader starts with an empty one: it then waits a little
/// longer before moving or giving up, and does nothing else differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The first decision.
    began: Option<Moment>,
    /// The first decision saw no ready unit, and not every zone has come yet.
    cold: bool,
    /// Since when each living zone has been seen alive without a gap.
    alive_since: BTreeMap<ZoneName, Moment>,
    /// Since when each unit that should run has been seen not ready.
    unready_since: BTreeMap<UnitName, Moment>,
}

/// What the leader should do now: at most one step a unit, in the order in which it should be done.
///
/// Carrying out a prefix of the answer, or some of it twice, does no harm: the next decision starts from
/// what the store then holds. An empty answer is the calm state. When no zone of the plan lives, nothing is
/// decided at all: what runs keeps running.
pub fn decide(view: &View, memory: &mut Memory, now: Moment) -> Vec<Action> {
    let Some(rollout) = view.rollout.as_ref().map(|kept| &kept.value) else { return Vec::new() };
    memory.observe(view, &rollout.plan.zones, now);
    let living: BTreeSet<&ZoneName> = view.zones.iter().filter(|z| z.alive).map(|z| &z.zone).collect();
    let scene = Scene::new(rollout, &living, |zone| memory.settled(zone, now), memory.cold);
    if !scene.anywhere_to_run() {
        return Vec::new();
    }
    let services = by_service(view, &rollout.plan, &scene);
    if let Some(why) = failure(rollout, &services, memory, now) {
        return vec![roll_back(rollout, why)];
    }
    let mut actions = Vec::new();
    let mut settled = true;
    for planned in &rollout.plan.services {
        let empty = Units::default();
        let units = services.get(&planned.service.name).unwrap_or(&empty);
        let counter = view.counters.get(&planned.service.name).map_or(1, |kept| kept.value);
        let next = counter.max(units.highest + 1);
        service_actions(&scene, rollout, planned, &units.run, units.draining, next, &mut actions);
        let changed = rollout.good.as_ref().and_then(|good| good.service(&planned.service.name));
        let changed = changed.is_none_or(|good| good.version != planned.version);
        settled &= !changed || complete(planned.replicas, &units.run);
    }
    // What the new plan no longer has goes last, when the rest of it is known to work: until then the old
    // plan may be needed again.
    if settled || rollout.phase != RolloutPhase::Rolling {
        drain_dropped(&rollout.plan, &services, &mut actions);
    }
    // Replacements come before removals: a crash between the two leaves too much written, never too little.
    remove_gone(view, &scene, &mut actions);
    if let Some(reached) = reached(rollout, &services) {
        actions.push(Action::SetRollout { rollout: Box::new(reached) });
    }
    actions
}

impl Memory {
    fn observe(&mut self, view: &View, wanted: &[ZoneName], now: Moment) {
        let living: BTreeSet<&ZoneName> = view.zones.iter().filter(|z| z.alive).map(|z| &z.zone).collect();
        let ready: BTreeSet<&UnitName> =
            view.states.iter().filter(|s| s.phase == Phase::Ready).map(|s| &s.name).collect();
        let began = *self.began.get_or_insert_with(|| {
            self.cold = !view
                .units
                .iter()
                .any(|kept| living.contains(&kept.value.zone) && ready.contains(&kept.value.name));
            now
        });
        self.cold &= now.ms_since(began) < GATHER_MS && !wanted.iter().all(|zone| living.contains(zone));
        self.alive_since.retain(|zone, _| living.contains(zone));
        for zone in living.iter().copied() {
            if !self.alive_since.contains_key(zone) {
                self.alive_since.insert(zone.clone(), now);
            }
        }
        let mut unready = BTreeMap::new();
        for unit in view.units.iter().map(|kept| &kept.value) {
            // A unit of a zone that is gone is not late: its time starts again when the zone is back.
            if unit.want == Want::Run && living.contains(&unit.zone) && !ready.contains(&unit.name) {
                let since = self.unready_since.get(&unit.name).copied().unwrap_or(now);
                unready.insert(unit.name.clone(), since);
            }
        }
        self.unready_since = unready;
    }

    fn settled(&self, zone: &ZoneName, now: Moment) -> bool {
        self.alive_since.get(zone).is_some_and(|since| now.ms_since(*since) >= SETTLE_MS)
    }
}

/// The units of one service.
#[derive(Default)]
struct Units<'a> {
    /// Those that should run and whose zone is alive or awaited.
    run: Vec<Unit<'a>>,
    /// How many in living zones were told to drain and have not yet stopped.
    draining: usize,
    /// The highest number in use, whatever the unit does.
    highest: u64,
}

fn by_service<'a>(view: &'a View, plan: &Plan, scene: &Scene<'_>) -> BTreeMap<&'a ServiceName, Units<'a>> {
    let states: BTreeMap<&UnitName, _> = view.states.iter().map(|state| (&state.name, state)).collect();
    let mut services: BTreeMap<&ServiceName, Units<'_>> = BTreeMap::new();
    for record in view.units.iter().map(|kept| &kept.value) {
        let units = services.entry(&record.service.name).or_default();
        units.highest = units.highest.max(unit_number(&record.name));
        if !scene.here(&record.zone) {
            continue;
        }
        let state = states.get(&record.name).copied();
        match record.want {
            Want::Run => {
                let version = plan.service(&record.service.name).map(|planned| planned.version);
                units.run.push(scene.unit(record, state, version));
            }
            Want::Drain if state.is_none_or(|s| s.phase != Phase::Stopped) => units.draining += 1,
            Want::Drain => {}
        }
    }
    services
}

/// Whether exactly the wanted units of the wanted version run, all ready.
fn complete(replicas: u32, units: &[Unit<'_>]) -> bool {
    units.len() == replicas as usize && units.iter().all(|unit| unit.right && unit.ready)
}

/// Why the new plan must be taken back, if it must.
///
/// Only units of a version the last good plan did not have can condemn it, and only in living zones: a zone
/// that dies in the middle of a change says nothing about the change.
fn failure(
    rollout: &Rollout,
    services: &BTreeMap<&ServiceName, Units<'_>>,
    memory: &Memory,
    now: Moment,
) -> Option<String> {
    let good = rollout.good.as_ref()?;
    if rollout.phase != RolloutPhase::Rolling {
        return None;
    }
    for planned in &rollout.plan.services {
        if good.service(&planned.service.name).is_some_and(|old| old.version == planned.version) {
            continue;
        }
        let units = services.get(&planned.service.name).map_or(&[][..], |units| &units.run);
        for unit in units.iter().filter(|unit| unit.record.version == planned.version && !unit.ready) {
            let UnitRecord { name, zone, .. } = unit.record;
            if unit.failed {
                let detail = if unit.detail.is_empty() { "no detail" } else { unit.detail };
                return Some(format!("unit `{name}` failed in zone {zone}: {detail}"));
            }
            let limit_ms = planned.service.healthcheck.start_timeout.0.saturating_mul(PATIENCE);
            let since = memory.unready_since.get(name).copied().unwrap_or(now);
            if now.ms_since(since) > limit_ms {
                let limit = model::Duration(limit_ms);
                return Some(format!("unit `{name}` in zone {zone} was not ready within {limit}"));
            }
        }
    }
    None
}

fn roll_back(rollout: &Rollout, why: String) -> Action {
    let good = rollout.good.clone();
    let plan = good.clone().unwrap_or_else(|| rollout.plan.clone());
    let phase = RolloutPhase::RollingBack { failed: rollout.plan.number, why };
    Action::SetRollout { rollout: Box::new(Rollout { plan, good, phase }) }
}

/// The next phase when everything is as planned.
fn reached(rollout: &Rollout, services: &BTreeMap<&ServiceName, Units<'_>>) -> Option<Rollout> {
    let phase = match &rollout.phase {
        RolloutPhase::Rolling => RolloutPhase::Reached,
        RolloutPhase::RollingBack { failed, why } => {
            RolloutPhase::RolledBack { failed: *failed, why: why.clone() }
        }
        RolloutPhase::Reached | RolloutPhase::RolledBack { .. } => return None,
    };
    let plan = &rollout.plan;
    let all = plan.services.iter().all(|planned| {
        let units = services.get(&planned.service.name).map_or(&[][..], |units| &units.run);
        complete(planned.replicas, units)
    });
    let nothing_else =
        services.iter().all(|(name, units)| units.run.is_empty() || plan.service(name).is_some());
    (all && nothing_else).then(|| Rollout { plan: plan.clone(), good: Some(plan.clone()), phase })
}

fn drain_dropped(plan: &Plan, services: &BTreeMap<&ServiceName, Units<'_>>, actions: &mut Vec<Action>) {
    for (name, units) in services {
        if plan.service(name).is_none() {
            actions.extend(units.run.iter().map(|unit| Action::Drain { unit: unit.record.name.clone() }));
        }
    }
}

/// Records that stand for nothing any more: drained units that have stopped, and all units of lost zones.
fn remove_gone(view: &View, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    let stopped: BTreeSet<&UnitName> =
        view.states.iter().filter(|state| state.phase == Phase::Stopped).map(|state| &state.name).collect();
    for record in view.units.iter().map(|kept| &kept.value) {
        let done = record.want == Want::Drain && stopped.contains(&record.name);
        if done || !scene.here(&record.zone) {
            actions.push(Action::Remove { unit: record.name.clone() });
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
