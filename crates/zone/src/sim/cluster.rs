//! Zones, agents, leaders and faults as small state machines.

use std::collections::{BTreeMap, VecDeque};

use model::{
    Moment, Phase, Rollout, RolloutPhase, ServiceName, UnitName, UnitRecord, UnitState, Want, ZoneName,
};
use world::Chance;

use crate::{Action, Kept, Memory, View, guards};

use super::oracle::Oracle;
use super::plans::{self, START_TIMEOUT_MS};
use super::store::{Lease, Store, TTL_MS};
use super::{Decide, Report, STEP_MS};

/// Lines of the trace that are kept for a report.
const LOG_MAX: usize = 80;

/// The leader's own step-down comes this much before its lease ends.
const MARGIN_MS: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Up,
    /// Nothing runs.
    Dead,
    /// Everything stands still and is still there.
    Frozen,
    /// Runs, and reaches neither the store nor anybody else.
    Cut,
}

#[derive(Clone, Debug)]
struct Process {
    service: ServiceName,
    version: u64,
    phase: Phase,
    /// When the phase ends by itself; `None`: never.
    until: Option<Moment>,
    /// Milliseconds it has run without becoming ready.
    late_ms: u64,
}

struct Zone {
    name: ZoneName,
    status: Status,
    until: Moment,
    processes: BTreeMap<UnitName, Process>,
    /// [`Store::units_modified`] when the agent last read its records.
    records_at: Option<u64>,
}

struct Leader {
    zone: usize,
    token: u64,
    expires: Moment,
    memory: Memory,
    view: View,
    view_at: Moment,
    view_revision: u64,
    /// Keys this batch has written, with their new revisions.
    written: BTreeMap<String, u64>,
    batch: VecDeque<Action>,
}

pub(super) struct Cluster {
    pub(super) now: Moment,
    pub(super) store: Store,
    pub(super) log: VecDeque<String>,
    pub(super) acted_at: Option<Moment>,
    chance: Chance,
    names: Vec<ZoneName>,
    zones: Vec<Zone>,
    leaders: Vec<Leader>,
    oracle: Oracle,
    faulty: bool,
    store_back: Moment,
    healing_at: Moment,
    plan_at: Moment,
    plans: u64,
    trace: u64,
    counts: Report,
    /// Counts what changed outside the store; with its revision it tells whether there is anything new to judge.
    changes: u64,
    judged: (u64, u64),
}

impl Cluster {
    pub(super) fn new(mut chance: Chance) -> Cluster {
        let count = 2 + chance.below(3) as usize;
        let names: Vec<ZoneName> =
            ["a", "b", "c", "d"].iter().take(count).filter_map(|name| ZoneName::new(name).ok()).collect();
        let zone = |name: &ZoneName| Zone {
            name: name.clone(),
            status: Status::Dead,
            until: Moment(0),
            processes: BTreeMap::new(),
            records_at: None,
        };
        let mut zones: Vec<Zone> = names.iter().map(zone).collect();
        for zone in &mut zones {
            zone.until = Moment(chance.below(1_000));
        }
        let counts = Report { trace: 0, actions: 0, faults: 0, reached: 0, rolled_back: 0, healed_ms: 0 };
        let mut cluster = Cluster {
            now: Moment(0),
            store: Store { up: true, ..Store::default() },
            log: VecDeque::new(),
            acted_at: None,
            chance,
            names,
            zones,
            leaders: Vec::new(),
            oracle: Oracle::default(),
            faulty: true,
            store_back: Moment(0),
            healing_at: Moment(0),
            plan_at: Moment(20_000),
            plans: 1,
            trace: 0xcbf2_9ce4_8422_2325,
            counts,
            changes: 0,
            judged: (0, 0),
        };
        if let Some(plan) = plans::first(&cluster.names, &mut cluster.chance) {
            cluster.apply(plan);
        }
        cluster
    }

    pub(super) fn report(&self) -> Report {
        Report { trace: self.trace, ..self.counts }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>7} {}", self.now.0, line());
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    fn apply(&mut self, plan: model::Plan) {
        let good = self.store.rollout.as_ref().and_then(|kept| kept.value.good.clone());
        let services: Vec<String> = plan
            .services
            .iter()
            .map(|p| {
                let bad = if plans::bad(p.version) { " bad" } else { "" };
                let spare = p.service.deploy.max_unavailable;
                format!("{} x{} v{}{bad} unavailable {spare}", p.service.name, p.replicas, p.version)
            })
            .collect();
        let zones: Vec<&str> = plan.zones.iter().map(|zone| zone.as_str()).collect();
        let line = format!("apply plan {} on {}: {}", plan.number.0, zones.join(" "), services.join(", "));
        let modified = self.store.bump();
        let value = Rollout { plan, good, phase: RolloutPhase::Rolling };
        self.store.rollout = Some(Kept { value, modified });
        self.note(|| line);
    }

    /// Replicas that really serve: ready, in a zone that is up, and meant to run.
    fn serving(&self) -> BTreeMap<ServiceName, usize> {
        let mut serving = BTreeMap::new();
        for zone in self.zones.iter().filter(|zone| zone.status == Status::Up) {
            for (name, process) in zone.processes.iter().filter(|(_, p)| p.phase == Phase::Ready) {
                if self.store.units.get(name).is_some_and(|kept| kept.value.want == Want::Run) {
                    *serving.entry(process.service.clone()).or_default() += 1;
                }
            }
        }
        serving
    }

    fn promised(&self) -> BTreeMap<ServiceName, usize> {
        let services = self.store.rollout.iter().flat_map(|kept| &kept.value.plan.services);
        let floor =
            |p: &model::PlannedService| p.replicas.saturating_sub(p.service.deploy.max_unavailable) as usize;
        services.map(|planned| (planned.service.name.clone(), floor(planned))).collect()
    }

    fn faulted(&mut self, hit: Option<&ServiceName>) {
        self.changes += 1;
        self.oracle.fault(&self.serving(), hit, self.now);
    }

    /// Draws the faults and the new plans of one step.
    pub(super) fn disturb(&mut self) {
        if self.chance.chance(0.012) {
            let zone = self.chance.below(self.zones.len() as u64) as usize;
            if self.zones[zone].status == Status::Up {
                let status = [Status::Dead, Status::Frozen, Status::Cut][self.chance.below(3) as usize];
                let long = if self.chance.chance(0.3) { 1_400 } else { 15_000 };
                let back = self.now.plus(200 + self.chance.below(long));
                self.strike(zone, status, back);
            }
        }
        if self.chance.chance(0.002) && self.store.up {
            self.store.up = false;
            self.store_back = self.now.plus(300 + self.chance.below(8_000));
            self.counts.faults += 1;
            self.note(|| "store away".to_owned());
            self.faulted(None);
        }
        if self.chance.chance(0.005) && self.store.up && self.store.leader.take().is_some() {
            self.store.bump();
            self.counts.faults += 1;
            self.note(|| "leader deposed".to_owned());
        }
        if self.chance.chance(0.01) {
            self.crash();
        }
        if self.now >= self.plan_at && self.store.up {
            self.plan_at = self.now.plus(4_000 + self.chance.below(24_000));
            self.plans += 1;
            if let Some(from) = self.store.rollout.as_ref().map(|kept| kept.value.plan.clone()) {
                let plan = plans::next(&from, self.plans, &self.names, &mut self.chance);
                self.apply(plan);
            }
        }
    }

    fn strike(&mut self, index: usize, status: Status, back: Moment) {
        let zone = &mut self.zones[index];
        zone.status = status;
        zone.until = back;
        if status == Status::Dead {
            zone.processes.clear();
            zone.records_at = None;
            self.leaders.retain(|leader| leader.zone != index);
        }
        self.counts.faults += 1;
        let name = self.names[index].clone();
        self.note(|| format!("zone {name} {status:?} until {}", back.0));
        self.faulted(None);
    }

    fn crash(&mut self) {
        let zone = self.chance.below(self.zones.len() as u64) as usize;
        let wait = 200 + self.chance.below(2_800);
        let until = Some(self.now.plus(wait));
        let count = self.zones[zone].processes.len() as u64;
        let victim = self.chance.below(count) as usize;
        if self.zones[zone].status != Status::Up {
            return;
        }
        let Some((name, process)) = self.zones[zone].processes.iter_mut().nth(victim) else { return };
        if process.phase == Phase::Ready {
            process.phase = Phase::Backoff;
            process.until = until;
            process.late_ms = 0;
            let (name, service) = (name.clone(), process.service.clone());
            self.counts.faults += 1;
            self.note(|| format!("{name} crashes"));
            self.faulted(Some(&service));
        }
    }

    /// The faults end: the store comes back, and every zone but perhaps one that stays dead until [`Self::revive`].
    pub(super) fn heal(&mut self) {
        self.faulty = false;
        self.healing_at = self.now;
        self.note(|| "faults end".to_owned());
        self.store_back = self.now;
        for zone in &mut self.zones {
            zone.until = self.now;
        }
        let planned = self.store.rollout.as_ref().map_or(0, |kept| kept.value.plan.zones.len());
        if planned > 1 && self.chance.chance(0.5) {
            let zone = self.chance.below(self.zones.len() as u64) as usize;
            self.strike(zone, Status::Dead, Moment(u64::MAX));
        }
    }

    /// The last zone comes back; `false` when none was missing.
    pub(super) fn revive(&mut self) -> bool {
        let mut missing = false;
        self.healing_at = self.now;
        for zone in self.zones.iter_mut().filter(|zone| zone.status != Status::Up) {
            zone.until = self.now;
            missing = true;
        }
        missing
    }

    pub(super) fn step(&mut self, decide: &mut Decide<'_>) -> Result<(), String> {
        self.now = self.now.plus(STEP_MS);
        if !self.store.up && self.now >= self.store_back {
            self.store.recover(self.now);
            self.note(|| "store back".to_owned());
            self.faulted(None);
        }
        self.store.expire(self.now);
        let mut order: Vec<usize> = (0..=self.zones.len()).collect();
        self.chance.shuffle(&mut order);
        for actor in order {
            if actor < self.zones.len() {
                self.agent(actor)?;
            } else {
                self.lead(decide)?;
            }
        }
        if self.judged != (self.store.revision, self.changes) {
            self.judged = (self.store.revision, self.changes);
            self.check(self.now)?;
        }
        Ok(())
    }

    fn check(&mut self, seen_at: Moment) -> Result<(), String> {
        let (promised, serving) = (self.promised(), self.serving());
        self.oracle.capacity(&promised, &serving, seen_at)
    }

    fn agent(&mut self, index: usize) -> Result<(), String> {
        let zone = &mut self.zones[index];
        if zone.status != Status::Up && self.now >= zone.until {
            zone.status = Status::Up;
            let name = zone.name.clone();
            self.note(|| format!("zone {name} back"));
            self.faulted(None);
        }
        let zone = &mut self.zones[index];
        if matches!(zone.status, Status::Dead | Status::Frozen) {
            return Ok(());
        }
        let reaches = zone.status == Status::Up && self.store.up;
        if reaches {
            self.read_records(index)?;
        }
        self.run_processes(index);
        if reaches {
            self.write_states(index);
            let zone = &self.zones[index];
            let expires = self.now.plus(TTL_MS);
            match self.store.agents.get_mut(&zone.name) {
                // A renewal changes no revision.
                Some(lease) => {
                    if self.chance.chance(0.25) || lease.expires.ms_since(self.now) < TTL_MS / 2 {
                        lease.expires = expires;
                    }
                }
                None => {
                    let revision = self.store.bump();
                    self.store.agents.insert(self.zones[index].name.clone(), Lease { expires, revision });
                    self.oracle.returned = self.now;
                }
            }
        }
        Ok(())
    }

    /// The agent reads what its zone should run, starts what is missing and ends what has no record.
    fn read_records(&mut self, index: usize) -> Result<(), String> {
        if self.zones[index].records_at == Some(self.store.units_modified) {
            return Ok(());
        }
        let name = self.zones[index].name.clone();
        let records: BTreeMap<UnitName, UnitRecord> = self
            .store
            .units
            .iter()
            .filter(|(_, kept)| kept.value.zone == name)
            .map(|(unit, kept)| (unit.clone(), kept.value.clone()))
            .collect();
        for (unit, record) in &records {
            if self.zones[index].processes.contains_key(unit) {
                self.drain(index, record);
                continue;
            }
            let elsewhere = self.zones.iter().find(|zone| zone.processes.contains_key(unit));
            if let Some(zone) = elsewhere {
                return Err(format!("{unit} runs in zone {} and is started in zone {name}", zone.name));
            }
            let process = self.started(record);
            self.zones[index].processes.insert(unit.clone(), process);
            self.drain(index, record);
        }
        let gone: Vec<UnitName> =
            self.zones[index].processes.keys().filter(|unit| !records.contains_key(*unit)).cloned().collect();
        for unit in gone {
            self.zones[index].processes.remove(&unit);
            self.store.states.remove(&unit);
            self.store.bump();
        }
        self.zones[index].records_at = Some(self.store.units_modified);
        Ok(())
    }

    fn started(&mut self, record: &UnitRecord) -> Process {
        let slow = self.faulty && self.chance.chance(0.02);
        let takes = if slow { 4_000 + self.chance.below(20_000) } else { 300 + self.chance.below(1_200) };
        let until = (!plans::bad(record.version)).then(|| self.now.plus(takes));
        Process {
            service: record.service.name.clone(),
            version: record.version,
            phase: Phase::Starting,
            until,
            late_ms: 0,
        }
    }

    fn drain(&mut self, index: usize, record: &UnitRecord) {
        let takes = 200 + self.chance.below(1_800);
        if let Some(process) = self.zones[index].processes.get_mut(&record.name)
            && record.want == Want::Drain
            && !matches!(process.phase, Phase::Draining | Phase::Stopped)
        {
            process.phase = Phase::Draining;
            process.until = Some(self.now.plus(takes));
        }
    }

    fn run_processes(&mut self, index: usize) {
        let now = self.now;
        let restart = now.plus(300 + self.chance.below(1_200));
        for process in self.zones[index].processes.values_mut() {
            let was = process.phase;
            let due = process.until.is_some_and(|until| now >= until);
            process.phase = match process.phase {
                Phase::Starting | Phase::Failed if due => Phase::Ready,
                Phase::Starting => {
                    process.late_ms += STEP_MS;
                    if process.late_ms >= START_TIMEOUT_MS {
                        self.oracle.guilty.insert(process.version);
                        Phase::Failed
                    } else {
                        Phase::Starting
                    }
                }
                Phase::Backoff if due => {
                    process.until = (!plans::bad(process.version)).then_some(restart);
                    Phase::Starting
                }
                Phase::Draining if due => Phase::Stopped,
                same => same,
            };
            self.changes += u64::from(process.phase != was);
        }
    }

    fn write_states(&mut self, index: usize) {
        let zone = &self.zones[index];
        let mut changed = false;
        for (unit, process) in &zone.processes {
            let known = self.store.states.get(unit);
            if known.is_some_and(|state| state.phase == process.phase) {
                continue;
            }
            changed = true;
            let state = UnitState {
                name: unit.clone(),
                zone: zone.name.clone(),
                service: process.service.clone(),
                version: process.version,
                phase: process.phase,
                address: None,
                pid: None,
                restarts: 0,
                detail: String::new(),
            };
            self.store.states.insert(unit.clone(), state);
        }
        if changed {
            self.store.bump();
        }
    }

    /// Somebody leads, or tries to.
    fn lead(&mut self, decide: &mut Decide<'_>) -> Result<(), String> {
        self.campaign();
        let mut leaders = std::mem::take(&mut self.leaders);
        for leader in &mut leaders {
            if self.zones[leader.zone].status != Status::Up || !self.store.up {
                continue;
            }
            self.act(leader, decide)?;
        }
        // A leader that was frozen has acted once before it looked at its clock: the store must refuse it.
        let now = self.now;
        leaders.retain(|leader| now.plus(MARGIN_MS) < leader.expires);
        self.leaders = leaders;
        Ok(())
    }

    fn campaign(&mut self) {
        if self.store.leader.is_some() || !self.store.up {
            return;
        }
        let candidates: Vec<usize> = (0..self.zones.len())
            .filter(|&zone| {
                self.zones[zone].status == Status::Up
                    && self.store.agents.contains_key(&self.zones[zone].name)
            })
            .collect();
        let pick = self.chance.below(candidates.len() as u64) as usize;
        let Some(&zone) = candidates.get(pick) else { return };
        if !self.chance.chance(0.4) {
            return;
        }
        let revision = self.store.bump();
        let expires = self.now.plus(TTL_MS);
        let name = self.names[zone].clone();
        self.store.leader = Some((name.clone(), Lease { expires, revision }));
        self.leaders.push(Leader {
            zone,
            token: revision,
            expires,
            memory: Memory::default(),
            view: View::default(),
            view_at: self.now,
            view_revision: 0,
            written: BTreeMap::new(),
            batch: VecDeque::new(),
        });
        self.note(|| format!("zone {name} leads"));
    }

    fn act(&mut self, leader: &mut Leader, decide: &mut Decide<'_>) -> Result<(), String> {
        if let Some((_, lease)) = &mut self.store.leader
            && lease.revision == leader.token
        {
            lease.expires = self.now.plus(TTL_MS);
            leader.expires = lease.expires;
        }
        let idle = self.now.ms_since(leader.view_at) >= 1_000;
        if leader.batch.is_empty() && (leader.view_revision != self.store.revision || idle) {
            leader.view = self.store.view(&self.names);
            leader.view_at = self.now;
            leader.view_revision = self.store.revision;
            leader.written.clear();
            let again = self.chance.chance(0.05).then(|| leader.memory.clone());
            leader.batch = decide(&leader.view, &mut leader.memory, self.now).into();
            if let Some(mut memory) = again
                && leader.batch != decide(&leader.view, &mut memory, self.now)
            {
                return Err("the same view was decided differently the second time".to_owned());
            }
        }
        for _ in 0..=self.chance.below(6) {
            let Some(action) = leader.batch.pop_front() else { break };
            if !self.carry_out(leader, &action)? {
                leader.batch.clear();
                leader.view_revision = 0;
            }
        }
        Ok(())
    }

    /// One action; `false` when the rest of the batch must not follow.
    fn carry_out(&mut self, leader: &mut Leader, action: &Action) -> Result<bool, String> {
        let mut guarded = guards(action, &leader.view);
        for guard in &mut guarded {
            if let Some(revision) = leader.written.get(&guard.key) {
                guard.revision = *revision;
            }
        }
        let lost = self.faulty && self.chance.chance(0.03);
        if lost && self.chance.chance(0.5) {
            self.note(|| format!("lost, not done: {}", brief(action)));
            return Ok(false);
        }
        let cut_off = self.cut_off(action);
        let done = self.store.carry_out(action, &guarded, leader.token);
        self.note(|| format!("{}: {}", if done.is_some() { "done" } else { "refused" }, brief(action)));
        let Some(revision) = done else { return Ok(false) };
        if let Some(unit) = cut_off {
            return Err(format!("{unit} was serving in a living zone and was cut off without draining"));
        }
        self.counts.actions += 1;
        self.acted_at = Some(self.now);
        for guard in guarded {
            let touched = match action {
                Action::SetRollout { .. } => true,
                Action::Assign { .. } => guard.key != model::keys::ROLLOUT,
                Action::Drain { .. } | Action::Remove { .. } => guard.key.starts_with(model::keys::UNITS),
            };
            if touched {
                leader.written.insert(guard.key, revision);
            }
        }
        if let Action::SetRollout { rollout } = action {
            self.counts.reached += u64::from(rollout.phase == RolloutPhase::Reached);
            self.counts.rolled_back += u64::from(matches!(rollout.phase, RolloutPhase::RolledBack { .. }));
        }
        let mut oracle = std::mem::take(&mut self.oracle);
        let judged = oracle.action(self, action, leader.view_at);
        self.oracle = oracle;
        judged?;
        self.check(leader.view_at)?;
        Ok(!lost)
    }

    /// The unit that `action` would end although it serves and its agent is there.
    fn cut_off(&self, action: &Action) -> Option<UnitName> {
        let Action::Remove { unit } = action else { return None };
        let zone = &self.store.units.get(unit)?.value.zone;
        let zone = self.zones.iter().find(|known| known.name == *zone && known.status == Status::Up)?;
        let phase = zone.processes.get(unit)?.phase;
        let known = self.store.agents.contains_key(&zone.name);
        (known && phase == Phase::Ready).then(|| unit.clone())
    }

    /// What is not yet as it should be in the end; `None`: everything is in place.
    pub(super) fn unfinished(&self) -> Option<String> {
        let rollout = &self.store.rollout.as_ref()?.value;
        let plan = &rollout.plan;
        let believed =
            |zone: &&Zone| self.store.agents.contains_key(&zone.name) != (zone.status == Status::Up);
        if let Some(zone) = self.zones.iter().find(believed) {
            return Some(format!("the store does not yet know that zone {} is {:?}", zone.name, zone.status));
        }
        // A first plan that cannot work has nothing to go back to: it stays, and only must not churn.
        let hopeless = rollout.good.is_none() && plan.services.iter().any(|p| plans::bad(p.version));
        if hopeless {
            let quiet = self.now.ms_since(self.healing_at.max(self.acted_at.unwrap_or_default())) > 45_000;
            return (!quiet).then(|| "a first plan that cannot work is still being changed".to_owned());
        }
        if !matches!(rollout.phase, RolloutPhase::Reached | RolloutPhase::RolledBack { .. }) {
            return Some(format!("plan {} is {:?}", plan.number.0, rollout.phase));
        }
        for planned in &plan.services {
            let up = |name: &&ZoneName| self.zones.iter().any(|z| z.name == **name && z.status == Status::Up);
            let mut held: BTreeMap<&ZoneName, usize> =
                plan.zones.iter().filter(up).map(|zone| (zone, 0)).collect();
            for record in self.store.units.values().map(|kept| &kept.value) {
                if record.service.name != planned.service.name {
                    continue;
                }
                let zone = self.zones.iter().find(|zone| zone.name == record.zone);
                let process = zone.and_then(|zone| zone.processes.get(&record.name));
                let well = process.is_some_and(|p| p.phase == Phase::Ready && p.version == planned.version);
                match held.get_mut(&record.zone) {
                    Some(count) if well && record.want == Want::Run => *count += 1,
                    _ => return Some(format!("{} in zone {} is not as planned", record.name, record.zone)),
                }
            }
            let count: usize = held.values().sum();
            let (most, least) = (held.values().max(), held.values().min());
            if count != planned.replicas as usize || most > least.map(|least| least + 1).as_ref() {
                return Some(format!(
                    "{} is spread {held:?} instead of {}",
                    planned.service.name, planned.replicas
                ));
            }
        }
        let strange = self.store.units.values().find(|kept| plan.service(&kept.value.service.name).is_none());
        strange.map(|kept| format!("{} belongs to no planned service", kept.value.name))
    }
}

fn brief(action: &Action) -> String {
    match action {
        Action::Assign { unit, .. } => format!("start {} v{} in {}", unit.name, unit.version, unit.zone),
        Action::Drain { unit } => format!("drain {unit}"),
        Action::Remove { unit } => format!("remove {unit}"),
        Action::SetRollout { rollout } => format!("plan {} is {:?}", rollout.plan.number.0, rollout.phase),
    }
}
