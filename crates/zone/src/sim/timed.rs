//! The replicas of one service under the real rules in virtual time: what zones and machines that fail once in months
//! cost, over thousands of years.
//!
//! Nothing happens between two failures, so time jumps. After one, the leader decides whenever something has changed and
//! whenever time alone may change its mind. A zone that fails takes its agent with it, and the leader, if that was there; the
//! others notice when its lease ends. A machine that fails leaves its agent, which waits for it.
//!
//! A replica counts while it is ready on a machine with room for it: a plan may buy no machine that has room for what a lost zone
//! had, and the rules start it all the same.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Moment, Phase, Plan, Rollout, RolloutPhase, ServiceName, UnitName, UnitRecord, UnitState, Want, ZoneName,
};

use super::plans;
use crate::{Action, GATHER_MS, Kept, Memory, RENEW_MS, SETTLE_MS, TTL_MS, View, ZoneView, decide};

/// A new service has all its replicas by then.
const FORMED_MS: u64 = 3_600_000;
/// Decisions at one moment. More is a mistake of the rules.
const ROUNDS_MAX: u32 = 10_000;

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From a wish until the replica is ready.
    pub start: u64,
    /// From a wish until the replica has ended.
    pub drain: u64,
}

impl Default for Pace {
    /// As in the simulation of faults: what a small program takes.
    fn default() -> Pace {
        Pace { start: 2_000, drain: 1_000 }
    }
}

/// Time in which fewer replicas counted than are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it began, in milliseconds since the start.
    pub from_ms: u64,
    /// How long it was, in milliseconds.
    pub ms: u64,
    /// The part of it in which there was room for enough, and the replicas were not there yet.
    pub late_ms: u64,
}

/// Where a replica is.
struct Process {
    zone: usize,
    /// The machine that has room for it; `None`: none has.
    machine: Option<usize>,
    due: Option<(u64, Phase)>,
}

struct Machine {
    zone: usize,
    /// Replicas that it has room for.
    room: u32,
    up: bool,
}

struct Zone {
    name: ZoneName,
    up: bool,
    /// When the lease of its lost agent ends.
    ends: Option<u64>,
}

/// [`decide`], or a broken copy of it in a test.
type Rules = fn(&View, &mut Memory, Moment) -> Vec<Action>;

/// One service whose replicas are placed by the rules of the product.
pub struct Timed {
    rules: Rules,
    view: View,
    memory: Memory,
    pace: Pace,
    needed: u32,
    zones: Vec<Zone>,
    machines: Vec<Machine>,
    processes: BTreeMap<UnitName, Process>,
    /// The zone whose agent leads.
    leader: Option<usize>,
    now: u64,
    /// Moments at which time alone may change a decision.
    wakes: BTreeSet<u64>,
    gap: Option<Gap>,
    /// Since when the gap is a late one.
    late_since: Option<u64>,
    gaps: Vec<Gap>,
    looks: u64,
    revision: u64,
}

impl Timed {
    /// `rooms[zone]` are the replicas that each machine of a zone has room for; `replicas` run there and have nothing to do, at 0
    /// ms. With fewer than `needed` the service is down. `None`: there is no zone, or its name would be none.
    #[must_use]
    pub fn new(rooms: &[Vec<u32>], replicas: u32, needed: u32, pace: Pace) -> Option<Timed> {
        let name = |index: usize| ZoneName::new(&format!("zone-{index}")).ok();
        let names: Vec<ZoneName> = (0..rooms.len()).map_while(name).collect();
        let plan = plans::one(&names, replicas).filter(|_| replicas > 0 && names.len() == rooms.len())?;
        let zones = names.into_iter().map(|name| Zone { name, up: true, ends: None }).collect();
        let machines = rooms
            .iter()
            .enumerate()
            .flat_map(|(zone, rooms)| rooms.iter().map(move |&room| Machine { zone, room, up: true }));
        let mut timed = Timed {
            rules: decide,
            view: View::default(),
            memory: Memory::default(),
            pace,
            needed,
            zones,
            machines: machines.collect(),
            processes: BTreeMap::new(),
            leader: None,
            now: 0,
            wakes: BTreeSet::new(),
            gap: None,
            late_since: None,
            gaps: Vec::new(),
            looks: 0,
            revision: 0,
        };
        timed.begin(plan);
        Some(timed)
    }

    fn begin(&mut self, plan: Plan) {
        let rollout = Rollout { plan, good: None, phase: RolloutPhase::Rolling };
        self.view.rollout = Some(Kept { value: rollout, modified: 1 });
        self.view.zones =
            self.zones.iter().map(|zone| ZoneView { zone: zone.name.clone(), alive: true }).collect();
        self.advance(FORMED_MS);
        let begun = self.now;
        self.now = 0;
        // Nothing is due any more; only what was waited for remains, and it is over.
        debug_assert!(self.processes.values().all(|process| process.due.is_none()), "not formed at {begun}");
        self.memory = Memory::default();
        self.wakes.clear();
        (self.gap, self.late_since) = (None, None);
        self.gaps.clear();
        self.leader = None;
        self.settle();
    }

    /// What has been noticed since it was last asked.
    pub fn gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// The one that is not over.
    #[must_use]
    pub fn unfinished(&self) -> Option<Gap> {
        self.gap.map(|gap| self.closed(gap))
    }

    /// Decisions so far.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Replicas that count now.
    #[must_use]
    pub fn serving(&self) -> u32 {
        let ready = |name: &UnitName| {
            let state = self.view.states.iter().find(|state| state.name == *name);
            state.is_some_and(|state| state.phase == Phase::Ready)
        };
        let counts = |(name, process): &(&UnitName, &Process)| {
            let there = process.machine.is_some_and(|machine| self.machines[machine].up);
            there && self.zones[process.zone].up && ready(name)
        };
        self.processes.iter().filter(counts).count() as u32
    }

    /// Replicas that could count if those of lost zones were all where there is room. Those of a lost machine wait for it.
    fn possible(&self) -> u32 {
        let there = |machine: &&Machine| machine.up && self.zones[machine.zone].up;
        let room =
            self.machines.iter().filter(there).fold(0_u32, |all, machine| all.saturating_add(machine.room));
        let waits = |process: &&Process| {
            self.zones[process.zone].up && process.machine.is_some_and(|machine| !self.machines[machine].up)
        };
        let replicas = self.processes.len() - self.processes.values().filter(waits).count();
        room.min(replicas as u32)
    }

    /// A zone is gone, agent, machines and all. `false`: it was already, or there is no such zone.
    pub fn fail_zone(&mut self, index: usize, chance: &mut world::Chance) -> bool {
        let Some(zone) = self.zones.get_mut(index).filter(|zone| zone.up) else { return false };
        zone.up = false;
        // Its last renewal was up to one interval ago.
        zone.ends = Some(self.now + TTL_MS - chance.below(RENEW_MS));
        self.processes
            .values_mut()
            .filter(|process| process.zone == index)
            .for_each(|process| process.due = None);
        self.settle();
        true
    }

    /// It is there again, with an empty memory.
    pub fn repair_zone(&mut self, index: usize) -> bool {
        let Some(zone) = self.zones.get_mut(index).filter(|zone| !zone.up) else { return false };
        (zone.up, zone.ends) = (true, None);
        self.view.zones[index].alive = true;
        if self.leader == Some(index) {
            self.leader = None;
        }
        self.wakes.extend([self.now + SETTLE_MS, self.now + GATHER_MS]);
        let here = self.processes.iter().filter(|(_, process)| process.zone == index);
        for name in here.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.again(&name);
        }
        self.fill_rooms();
        self.settle();
        true
    }

    /// A machine of a zone, counted through all zones, is gone; its agent is not.
    pub fn fail_machine(&mut self, index: usize) -> bool {
        let Some(machine) = self.machines.get_mut(index).filter(|machine| machine.up) else { return false };
        machine.up = false;
        for name in self.on(index) {
            let ends = self.processes.get_mut(&name).and_then(|process| process.due.take());
            // What was to end has ended.
            let ending = ends.is_some_and(|(_, phase)| phase == Phase::Stopped);
            self.phase(&name, if ending { Phase::Stopped } else { Phase::Backoff });
        }
        self.settle();
        true
    }

    /// It is there again.
    pub fn repair_machine(&mut self, index: usize) -> bool {
        let Some(machine) = self.machines.get_mut(index).filter(|machine| !machine.up) else { return false };
        machine.up = true;
        for name in self.on(index) {
            self.again(&name);
        }
        // What stood there may have gone elsewhere meanwhile.
        self.fill_rooms();
        self.settle();
        true
    }

    /// What was there when its zone or machine was lost begins anew, or is over if it was to end.
    fn again(&mut self, name: &UnitName) {
        let known = self.view.units.iter().find(|kept| kept.value.name == *name);
        match known.map(|kept| kept.value.want) {
            Some(Want::Drain) => self.phase(name, Phase::Stopped),
            _ => self.starts(name),
        }
    }

    fn on(&self, machine: usize) -> Vec<UnitName> {
        let here = self.processes.iter().filter(|(_, process)| process.machine == Some(machine));
        here.map(|(name, _)| name.clone()).collect()
    }

    /// A process begins, and is ready a little later if its zone and machine are there.
    fn starts(&mut self, name: &UnitName) {
        self.phase(name, Phase::Starting);
        let at = self.now + self.pace.start;
        let Some(process) = self.processes.get_mut(name) else { return };
        let up = process.machine.is_none_or(|machine| self.machines[machine].up);
        process.due = (up && self.zones[process.zone].up).then_some((at, Phase::Ready));
    }

    fn phase(&mut self, name: &UnitName, phase: Phase) {
        if let Some(state) = self.view.states.iter_mut().find(|state| state.name == *name) {
            state.phase = phase;
        }
    }

    /// Plays until `to`, in milliseconds since the start.
    pub fn advance(&mut self, to: u64) {
        self.settle();
        while let Some(next) = self.next().filter(|next| *next <= to) {
            self.now = next;
            self.finish();
            self.settle();
        }
        self.now = self.now.max(to);
        self.count();
    }

    fn next(&self) -> Option<u64> {
        let due = self.processes.values().filter_map(|process| process.due).map(|(at, _)| at);
        let ends = self.zones.iter().filter_map(|zone| zone.ends);
        let wakes = self.wakes.range(self.now + 1..).next().copied();
        due.chain(ends).chain(wakes).min()
    }

    /// Whatever is due by now.
    fn finish(&mut self) {
        let now = self.now;
        self.wakes.retain(|at| *at > now);
        for index in 0..self.zones.len() {
            if self.zones[index].ends.is_some_and(|at| at <= now) {
                self.zones[index].ends = None;
                self.view.zones[index].alive = false;
                if self.leader == Some(index) {
                    self.leader = None;
                }
            }
        }
        let due = self.processes.iter().filter_map(|(name, process)| Some((name, process.due?)));
        let due: Vec<(UnitName, Phase)> =
            due.filter(|(_, (at, _))| *at <= now).map(|(name, (_, phase))| (name.clone(), phase)).collect();
        for (name, phase) in due {
            self.phase(&name, phase);
            if let Some(process) = self.processes.get_mut(&name) {
                process.due = None;
            }
        }
    }

    /// The leader decides until there is nothing new at this moment.
    fn settle(&mut self) {
        if self.leader.is_none() {
            self.leader = self.zones.iter().position(|zone| zone.up);
            self.memory = Memory::default();
            self.wakes.extend([self.now + SETTLE_MS, self.now + GATHER_MS]);
        }
        // One that is gone decides no more, and nobody does before its lease has ended.
        if self.leader.is_some_and(|leader| self.zones[leader].up) {
            for _ in 0..ROUNDS_MAX {
                let actions = (self.rules)(&self.view, &mut self.memory, Moment(self.now));
                self.looks += 1;
                if actions.is_empty() {
                    break;
                }
                actions.into_iter().for_each(|action| self.carry_out(action));
            }
        }
        self.count();
    }

    fn carry_out(&mut self, action: Action) {
        self.revision += 1;
        let modified = self.revision;
        match action {
            Action::Assign { unit, counter } => {
                let service = unit.service.name.clone();
                self.view.counters.insert(service.clone(), Kept { value: counter, modified });
                self.place(&unit, service);
                let name = unit.name.clone();
                self.view.units.push(Kept { value: *unit, modified });
                self.starts(&name);
            }
            Action::Drain { unit } => {
                let at = self.now + self.pace.drain;
                let known = self.view.units.iter_mut().find(|kept| kept.value.name == unit);
                if let Some(kept) = known {
                    kept.value.want = Want::Drain;
                }
                self.phase(&unit, Phase::Draining);
                if let Some(process) = self.processes.get_mut(&unit) {
                    process.due = Some((at, Phase::Stopped));
                }
            }
            Action::Remove { unit } => {
                self.view.units.retain(|kept| kept.value.name != unit);
                self.view.states.retain(|state| state.name != unit);
                self.processes.remove(&unit);
                self.fill_rooms();
            }
            Action::SetRollout { rollout } => {
                self.view.rollout = Some(Kept { value: *rollout, modified });
            }
        }
    }

    fn place(&mut self, unit: &UnitRecord, service: ServiceName) {
        let Some(zone) = self.zones.iter().position(|zone| zone.name == unit.zone) else { return };
        let machine = self.free(zone);
        self.processes.insert(unit.name.clone(), Process { zone, machine, due: None });
        self.view.states.push(UnitState {
            name: unit.name.clone(),
            zone: unit.zone.clone(),
            service,
            version: unit.version,
            phase: Phase::Starting,
            address: None,
            pid: None,
            restarts: 0,
            detail: String::new(),
        });
    }

    /// A machine of `zone` with room: one that is there rather than one that is not.
    fn free(&self, zone: usize) -> Option<usize> {
        let taken = |index: usize| {
            self.processes.values().filter(|process| process.machine == Some(index)).count() as u32
        };
        let all = self.machines.iter().enumerate();
        let free = all.filter(|(index, machine)| machine.zone == zone && taken(*index) < machine.room);
        free.min_by_key(|(_, machine)| !machine.up).map(|(index, _)| index)
    }

    /// Replicas without room get what has become free.
    fn fill_rooms(&mut self) {
        let without = self.processes.iter().filter(|(_, process)| process.machine.is_none());
        let without: Vec<(UnitName, usize)> =
            without.map(|(name, process)| (name.clone(), process.zone)).collect();
        for (name, zone) in without {
            let machine = self.free(zone).filter(|machine| self.machines[*machine].up);
            if let Some(process) = self.processes.get_mut(&name) {
                process.machine = machine;
            }
        }
    }

    fn closed(&self, gap: Gap) -> Gap {
        let late_ms = gap.late_ms + self.late_since.map_or(0, |since| self.now - since);
        Gap { ms: self.now - gap.from_ms, late_ms, ..gap }
    }

    /// Opens and closes the gap.
    fn count(&mut self) {
        let enough = self.serving() >= self.needed;
        let late = !enough && self.possible() >= self.needed;
        if let Some(since) = self.late_since.take_if(|_| !late)
            && let Some(gap) = &mut self.gap
        {
            gap.late_ms += self.now - since;
        }
        match (enough, self.gap) {
            (true, Some(gap)) => {
                let gap = self.closed(gap);
                self.gap = None;
                self.gaps.extend(Some(gap).filter(|gap| gap.ms > 0));
            }
            (false, None) => self.gap = Some(Gap { from_ms: self.now, ms: 0, late_ms: 0 }),
            _ => {}
        }
        if late && self.late_since.is_none() {
            self.late_since = Some(self.now);
        }
    }
}

#[cfg(test)]
#[path = "timed_tests.rs"]
mod tests;
