//! What to do with each unit of a zone, decided purely: events and wishes in, actions out, each action one effect.
//!
//! The order that matters is here: a unit is started only when nothing of its last run is left, a drained unit is
//! asked to end only after the fronts have let go of it, and what is not wanted ends before it is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Moment, Phase, Probe, UnitName, UnitRecord, UnitState, Want};

/// Crashes in a row that are answered by a start at once; a process that died is most often well the second time.
pub const FREE_RESTARTS: u32 = 3;
/// A healthy run of this length ends a row of crashes, in milliseconds.
pub const STEADY_MS: u64 = 60_000;
/// The first wait between a crash and the next start, in milliseconds; it doubles with each further crash.
pub const BACKOFF_FIRST_MS: u64 = 1_000;
/// The longest wait between a crash and the next start, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 30_000;
/// Crashes in a row of a unit that was never healthy after which it counts as failed.
pub const CRASHES_TO_FAIL: u32 = 5;
/// A draining unit runs on at least this long, so that every front has seen that it drains, in milliseconds.
pub const DRAIN_SETTLE_MS: u64 = 1_000;
/// A unit that was asked to end has at least this long before it is killed, in milliseconds.
pub const GRACE_MIN_MS: u64 = 2_000;
/// A running process that has not been well for this long is taken for frozen and killed, in milliseconds.
pub const FROZEN_MS: u64 = 30_000;
/// A kill whose effect is not seen is repeated after this long, in milliseconds.
pub const KILL_AGAIN_MS: u64 = 1_000;
/// A step that comes this long after the one before says that the agent itself stood still, in milliseconds.
pub const LATE_STEP_MS: u64 = 1_000;
/// Time between two probes of a unit that has not been well yet, in milliseconds: readiness is seen this fast.
pub const PROBE_STARTING_MS: u64 = 100;
/// The shortest time between two probes, in milliseconds, whatever the file says.
pub const PROBE_MIN_MS: u64 = 50;
/// An answer that is this much later than its timeout is not waited for, in milliseconds.
pub const PROBE_LOST_MS: u64 = 2_000;
/// A unit whose probe is `Running` is well after this long: what ends sooner never ran, in milliseconds.
pub const RUNNING_WELL_MS: u64 = 1_000;

/// Why a unit changes its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The wait after a crash is over.
    Retry,
    /// A probe was answered well.
    Healthy,
    /// `retries` probes in a row failed.
    Unhealthy,
    /// The process ended unasked, or could not be started.
    Crashed,
    /// Start timeout, or too many crashes before it was ever healthy.
    GaveUp,
    /// The record says [`Want::Drain`].
    DrainWanted,
    /// The fronts hold no more requests of it, or the drain took too long.
    DrainedOut,
    /// The record says [`Want::Run`].
    RunWanted,
    /// The record is gone or describes another version.
    Withdrawn,
    /// Nothing of it runs any more, as asked.
    Ended,
}

/// One row of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The phase before.
    pub from: Phase,
    /// What happened.
    pub cause: Cause,
    /// The phase after.
    pub to: Phase,
    /// The reason, for people.
    pub why: &'static str,
}

const fn row(from: Phase, cause: Cause, to: Phase, why: &'static str) -> Move {
    Move { from, cause, to, why }
}

/// Every way a unit may change its phase. What is not here does not happen.
pub const MOVES: &[Move] = &[
    row(Phase::Starting, Cause::Healthy, Phase::Ready, "it answers"),
    row(Phase::Starting, Cause::Crashed, Phase::Backoff, "it ended before it answered"),
    row(
        Phase::Starting,
        Cause::GaveUp,
        Phase::Failed,
        "it did not answer in time or never lived long enough",
    ),
    row(Phase::Starting, Cause::DrainWanted, Phase::Draining, "a front may have seen it already"),
    row(Phase::Starting, Cause::Withdrawn, Phase::Stopping, "nobody wants it any more"),
    row(Phase::Ready, Cause::Unhealthy, Phase::Unready, "it stopped answering"),
    row(Phase::Ready, Cause::Crashed, Phase::Backoff, "it ended unasked"),
    row(Phase::Ready, Cause::DrainWanted, Phase::Draining, "open requests are finished first"),
    row(Phase::Ready, Cause::Withdrawn, Phase::Stopping, "nobody wants it any more"),
    row(Phase::Unready, Cause::Healthy, Phase::Ready, "it answers again"),
    row(Phase::Unready, Cause::Crashed, Phase::Backoff, "it ended unasked or was killed as frozen"),
    row(Phase::Unready, Cause::DrainWanted, Phase::Draining, "open requests are finished first"),
    row(Phase::Unready, Cause::Withdrawn, Phase::Stopping, "nobody wants it any more"),
    row(Phase::Backoff, Cause::Retry, Phase::Starting, "the wait is over"),
    row(Phase::Backoff, Cause::DrainWanted, Phase::Draining, "it is not started again"),
    row(Phase::Backoff, Cause::Withdrawn, Phase::Stopping, "it is not started again"),
    row(Phase::Failed, Cause::Retry, Phase::Failed, "it is tried again, and people still see that it failed"),
    row(Phase::Failed, Cause::Healthy, Phase::Ready, "it answers after all"),
    row(Phase::Failed, Cause::Crashed, Phase::Failed, "it ended again"),
    row(Phase::Failed, Cause::GaveUp, Phase::Failed, "it did not answer again"),
    row(Phase::Failed, Cause::DrainWanted, Phase::Draining, "it may hold requests all the same"),
    row(Phase::Failed, Cause::Withdrawn, Phase::Stopping, "nobody wants it any more"),
    row(Phase::Draining, Cause::DrainedOut, Phase::Stopping, "no front holds a request of it"),
    row(Phase::Draining, Cause::RunWanted, Phase::Unready, "it is wanted again and must answer first"),
    row(Phase::Draining, Cause::Withdrawn, Phase::Stopping, "it is ended now"),
    row(Phase::Draining, Cause::Ended, Phase::Stopped, "it ended by itself"),
    row(Phase::Stopping, Cause::Ended, Phase::Stopped, "nothing of it runs"),
    row(Phase::Stopped, Cause::RunWanted, Phase::Starting, "it is wanted again"),
];

/// What the engine saw. `run` numbers the starts of one unit, so that old news is known as such.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A process that an earlier engine recorded is still alive; reported before the first step.
    Found {
        /// What it was started from.
        record: Box<UnitRecord>,
        /// It had been healthy.
        ready: bool,
    },
    /// [`Action::Start`] was carried out.
    Started {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
    },
    /// [`Action::Start`] failed and left nothing behind.
    Refused {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
        /// Why, for people.
        why: String,
    },
    /// The process and everything it started have ended.
    Exited {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
        /// How, for people.
        how: String,
    },
    /// [`Action::Probe`] has an answer.
    Probed {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
        /// See [`Action::Probe`].
        number: u64,
        /// Why it is not well, for people.
        answer: Result<(), String>,
    },
    /// Somebody who knows better (the agent, of a front that stopped reporting) wants it killed and restarted.
    KillAsked {
        /// The unit.
        unit: UnitName,
        /// Why, for people.
        why: String,
    },
}

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start it; answered by [`Event::Started`] or [`Event::Refused`].
    Start {
        /// What to start.
        record: Box<UnitRecord>,
        /// Its run.
        run: u64,
    },
    /// Watch the found process as this run; answered by [`Event::Exited`] when it ends.
    Adopt {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
    },
    /// Ask the process to end (`SIGTERM`).
    Terminate {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
    },
    /// End the process and all it started (`SIGKILL`).
    Kill {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
    },
    /// Remove what was written down about it; nothing of it runs.
    Forget {
        /// The unit.
        unit: UnitName,
    },
    /// Ask it whether it is well; answered by [`Event::Probed`].
    Probe {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: u64,
        /// Tells this probe from others of the run.
        number: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// Nothing of the unit runs.
    None,
    /// A start is being carried out.
    Launching,
    /// It runs.
    Up,
}

#[derive(Clone, Debug)]
struct Unit {
    record: Arc<UnitRecord>,
    phase: Phase,
    process: Process,
    run: u64,
    started: Moment,
    drain_from: Moment,
    retry_at: Moment,
    /// Not well since then although it runs.
    suspect: Option<Moment>,
    /// When it is killed, once it was asked to end.
    kill_at: Option<Moment>,
    run_healthy: bool,
    ever_healthy: bool,
    crashes: u32,
    restarts: u32,
    failures: u32,
    probe_due: Moment,
    probe_number: u64,
    probe_open: Option<(u64, Moment)>,
    /// Its record is gone, and it drains only until fronts have seen that.
    withdrawn: bool,
    exit: String,
    complaint: String,
}

/// The memory of the decisions for one zone.
#[derive(Clone, Debug, Default)]
pub struct Decider {
    units: BTreeMap<UnitName, Unit>,
    last: Option<Moment>,
    closing: Option<u64>,
}

impl Unit {
    fn new(record: Arc<UnitRecord>, run: u64, now: Moment) -> Unit {
        Unit {
            phase: if record.want == Want::Run { Phase::Starting } else { Phase::Stopped },
            record,
            process: Process::None,
            run,
            started: now,
            drain_from: now,
            retry_at: now,
            suspect: None,
            kill_at: None,
            run_healthy: false,
            ever_healthy: false,
            crashes: 0,
            restarts: 0,
            failures: 0,
            probe_due: now,
            probe_number: 0,
            probe_open: None,
            withdrawn: false,
            exit: String::new(),
            complaint: String::new(),
        }
    }

    /// Goes to the phase the table names; `false` when it names none.
    fn go(&mut self, cause: Cause) -> bool {
        let found = MOVES.iter().find(|row| row.from == self.phase && row.cause == cause);
        if let Some(row) = found {
            self.phase = row.to;
        }
        found.is_some()
    }

    fn begin_run(&mut self, now: Moment) {
        self.started = now;
        self.probe_due = now;
        self.probe_open = None;
        self.failures = 0;
        self.run_healthy = false;
        self.suspect = None;
        self.kill_at = None;
        self.complaint.clear();
    }

    fn crashed(&mut self, why: String, now: Moment) {
        if self.run_healthy && now.ms_since(self.started) >= STEADY_MS {
            self.crashes = 0;
        }
        self.process = Process::None;
        self.probe_open = None;
        self.suspect = None;
        self.exit = if self.complaint.is_empty() { why } else { format!("{why} ({})", self.complaint) };
        if matches!(self.phase, Phase::Draining | Phase::Stopping) {
            self.go(Cause::Ended);
            return;
        }
        self.crashes = self.crashes.saturating_add(1);
        self.retry_at = now.plus(backoff_ms(self.crashes));
        let given_up = !self.ever_healthy && self.crashes >= CRASHES_TO_FAIL;
        if !(given_up && self.go(Cause::GaveUp)) {
            self.go(Cause::Crashed);
        }
    }

    fn well(&mut self) {
        self.failures = 0;
        self.complaint.clear();
        if matches!(self.phase, Phase::Starting | Phase::Ready | Phase::Unready | Phase::Failed) {
            self.run_healthy = true;
            self.ever_healthy = true;
            self.suspect = None;
            self.go(Cause::Healthy);
        }
    }

    fn unwell(&mut self, why: String, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        self.complaint = why;
        if self.failures >= self.record.service.healthcheck.retries.max(1) && self.go(Cause::Unhealthy) {
            self.suspect = Some(now);
        }
    }

    /// The agent stood still for `gap_ms`: what it did not see in that time says nothing about the unit.
    fn excuse(&mut self, gap_ms: u64, now: Moment) {
        self.failures = 0;
        self.probe_open = None;
        self.probe_due = now;
        self.suspect = self.suspect.map(|_| now);
        self.kill_at = self.kill_at.map(|at| at.plus(gap_ms));
        if !self.run_healthy {
            self.started = self.started.plus(gap_ms);
        }
    }

    /// Follows the wish: `None` is a unit that should not be, with the grace it has left. With `settle` one that may
    /// be serving runs on until fronts have seen it: a zone that comes back from a cut or a freeze finds its records
    /// gone, while its own front has sent to these units a moment ago.
    fn follow(&mut self, want: Option<&Want>, settle: bool, now: Moment) {
        self.withdrawn &= want.is_none();
        match want {
            Some(Want::Run) => {
                let wanted_again = self.phase == Phase::Stopped
                    || (self.phase == Phase::Draining && self.process == Process::Up);
                if wanted_again && self.go(Cause::RunWanted) {
                    self.suspect = (self.process == Process::Up).then_some(now);
                    self.probe_due = now;
                }
            }
            Some(Want::Drain) => {
                if self.go(Cause::DrainWanted) {
                    self.drain_from = now;
                }
            }
            None if settle && matches!(self.phase, Phase::Ready | Phase::Unready | Phase::Failed) => {
                self.withdrawn = self.go(Cause::DrainWanted);
                self.drain_from = now;
            }
            None if settle && self.withdrawn && self.phase == Phase::Draining => {}
            None => {
                self.go(Cause::Withdrawn);
            }
        }
        if self.process == Process::None {
            self.go(Cause::Ended);
        }
    }

    fn act(&mut self, released: bool, quick_ms: u64, now: Moment, actions: &mut Vec<Action>) {
        match (self.process, self.phase) {
            (Process::None, Phase::Starting) => self.start(now, actions),
            (Process::None, Phase::Backoff | Phase::Failed) if now >= self.retry_at => {
                self.go(Cause::Retry);
                self.restarts = self.restarts.saturating_add(1);
                self.start(now, actions);
            }
            (Process::Up, Phase::Starting | Phase::Ready | Phase::Unready | Phase::Failed) => {
                self.watch(now, actions);
            }
            (Process::Up, Phase::Draining) => {
                let drained_ms = now.ms_since(self.drain_from);
                let most_ms = self.record.service.deploy.drain.0.max(DRAIN_SETTLE_MS);
                let let_go = (released || self.withdrawn) && drained_ms >= DRAIN_SETTLE_MS;
                if (let_go || drained_ms >= most_ms) && self.go(Cause::DrainedOut) {
                    let left_ms = self.record.service.deploy.drain.0.saturating_sub(drained_ms);
                    let grace_ms = if self.withdrawn { quick_ms } else { left_ms.max(GRACE_MIN_MS) };
                    self.end(grace_ms, now, actions);
                }
            }
            (Process::Up, Phase::Stopping) => self.end(quick_ms, now, actions),
            _ => {}
        }
    }

    fn start(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.run += 1;
        self.process = Process::Launching;
        self.begin_run(now);
        actions.push(Action::Start { record: Box::new(UnitRecord::clone(&self.record)), run: self.run });
    }

    /// Asks it to end, and kills it when the grace given at the first call is over.
    fn end(&mut self, grace_ms: u64, now: Moment, actions: &mut Vec<Action>) {
        let (unit, run) = (self.record.name.clone(), self.run);
        match self.kill_at {
            None => {
                self.kill_at = Some(now.plus(grace_ms));
                actions.push(Action::Terminate { unit, run });
            }
            Some(at) if now >= at => {
                self.kill_at = Some(now.plus(KILL_AGAIN_MS));
                actions.push(Action::Kill { unit, run });
            }
            Some(_) => {}
        }
    }

    fn watch(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let health = self.record.service.healthcheck.clone();
        if self.phase == Phase::Starting && now.ms_since(self.started) >= health.start_timeout.0 {
            self.go(Cause::GaveUp);
        }
        if self.phase == Phase::Failed && self.suspect.is_none() {
            self.suspect = Some(now);
        }
        if self.suspect.is_some_and(|since| now.ms_since(since) >= FROZEN_MS) {
            // From now on as if it had been killed in this step; the next kill follows when this one had no effect.
            self.suspect = Some(Moment(now.plus(KILL_AGAIN_MS).0.saturating_sub(FROZEN_MS)));
            actions.push(Action::Kill { unit: self.record.name.clone(), run: self.run });
            return;
        }
        if health.probe == Probe::Running {
            if now.ms_since(self.started) >= RUNNING_WELL_MS {
                self.well();
            }
            return;
        }
        if self.probe_open.is_some_and(|(_, at)| now.ms_since(at) >= health.timeout.0 + PROBE_LOST_MS) {
            self.probe_open = None;
        }
        if self.probe_open.is_none() && now >= self.probe_due {
            let calm_ms = health.interval.0.max(PROBE_MIN_MS);
            let wait_ms = if self.run_healthy { calm_ms } else { calm_ms.min(PROBE_STARTING_MS) };
            self.probe_due = now.plus(wait_ms);
            self.probe_number += 1;
            self.probe_open = Some((self.probe_number, now));
            let unit = self.record.name.clone();
            actions.push(Action::Probe { unit, run: self.run, number: self.probe_number });
        }
    }
}

/// The wait before the start that follows the `crashes`-th crash in a row, in milliseconds.
#[must_use]
pub fn backoff_ms(crashes: u32) -> u64 {
    match crashes.checked_sub(FREE_RESTARTS + 1) {
        None => 0,
        Some(doublings) => (BACKOFF_FIRST_MS << doublings.min(16)).min(BACKOFF_MAX_MS),
    }
}

impl Decider {
    /// One step: what happened since the last one, what is wanted, which draining units no front holds requests of,
    /// and the moment of the step. The actions are to be carried out in their order.
    pub fn step(
        &mut self,
        events: &[Event],
        wanted: &BTreeMap<UnitName, UnitRecord>,
        released: &BTreeSet<UnitName>,
        now: Moment,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let gap_ms = self.last.map_or(0, |last| now.ms_since(last));
        self.last = Some(now);
        if gap_ms >= LATE_STEP_MS {
            self.units.values_mut().for_each(|unit| unit.excuse(gap_ms, now));
        }
        for event in events {
            self.hear(event, now, &mut actions);
        }
        if self.closing.is_none() {
            for (name, record) in wanted {
                self.admit(name, record, now);
            }
        }
        let names: Vec<UnitName> = self.units.keys().cloned().collect();
        for name in names {
            self.turn(&name, wanted.get(&name), released.contains(&name), now, &mut actions);
        }
        actions
    }

    /// From now on nothing is wanted; each unit has `grace_ms` to end before it is killed.
    pub fn close(&mut self, grace_ms: u64) {
        self.closing = Some(grace_ms);
    }

    /// What each unit is, in the order of their names; `place` adds what only the engine knows: address and process.
    pub fn states(
        &self,
        mut place: impl FnMut(&UnitName) -> (Option<std::net::SocketAddr>, Option<u32>),
    ) -> Vec<UnitState> {
        let state = |(name, unit): (&UnitName, &Unit)| {
            let (address, pid) = place(name);
            UnitState {
                name: name.clone(),
                zone: unit.record.zone.clone(),
                service: unit.record.service.name.clone(),
                version: unit.record.version,
                phase: unit.phase,
                address,
                pid: pid.filter(|_| unit.process == Process::Up),
                restarts: unit.restarts,
                detail: if unit.complaint.is_empty() { unit.exit.clone() } else { unit.complaint.clone() },
            }
        };
        self.units.iter().map(state).collect()
    }

    /// The record the unit's present process was started from.
    #[must_use]
    pub fn record(&self, unit: &UnitName) -> Option<&UnitRecord> {
        self.units.get(unit).map(|unit| unit.record.as_ref())
    }

    /// Whether the present run of the unit has been healthy.
    #[must_use]
    pub fn was_healthy(&self, unit: &UnitName) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.run_healthy)
    }

    /// Units of which something runs or is being started.
    #[must_use]
    pub fn running(&self) -> Vec<UnitName> {
        let up = self.units.iter().filter(|(_, unit)| unit.process != Process::None);
        up.map(|(name, _)| name.clone()).collect()
    }

    fn hear(&mut self, event: &Event, now: Moment, actions: &mut Vec<Action>) {
        match event {
            Event::Found { record, ready } => self.found(record, *ready, now, actions),
            Event::Started { unit, run } => {
                if let Some(unit) = self.of_run(unit, *run) {
                    unit.process = Process::Up;
                    unit.started = now;
                    unit.probe_due = now;
                }
            }
            Event::Refused { unit, run, why: how } | Event::Exited { unit, run, how } => {
                if let Some(unit) = self.of_run(unit, *run) {
                    unit.crashed(how.clone(), now);
                }
            }
            Event::Probed { unit, run, number, answer } => {
                if let Some(unit) = self.of_run(unit, *run)
                    && unit.probe_open.is_some_and(|(open, _)| open == *number)
                {
                    unit.probe_open = None;
                    match answer {
                        Ok(()) => unit.well(),
                        Err(why) => unit.unwell(why.clone(), now),
                    }
                }
            }
            Event::KillAsked { unit: name, why } => {
                if let Some(unit) = self.units.get_mut(name)
                    && unit.process == Process::Up
                {
                    unit.complaint = why.clone();
                    actions.push(Action::Kill { unit: name.clone(), run: unit.run });
                }
            }
        }
    }

    fn of_run(&mut self, unit: &UnitName, run: u64) -> Option<&mut Unit> {
        self.units.get_mut(unit).filter(|unit| unit.run == run && unit.process != Process::None)
    }

    /// A found process is adopted whether it is wanted or not: what is not wanted must be watched to its end too.
    fn found(&mut self, record: &UnitRecord, ready: bool, now: Moment, actions: &mut Vec<Action>) {
        if self.units.contains_key(&record.name) {
            return;
        }
        let mut unit = Unit::new(Arc::new(record.clone()), 1, now);
        unit.phase = if ready { Phase::Ready } else { Phase::Starting };
        unit.process = Process::Up;
        unit.run_healthy = ready;
        unit.ever_healthy = ready;
        actions.push(Action::Adopt { unit: record.name.clone(), run: 1 });
        self.units.insert(record.name.clone(), unit);
    }

    /// Takes up what is wanted and not known, and the new version of what has ended.
    fn admit(&mut self, name: &UnitName, record: &UnitRecord, now: Moment) {
        match self.units.get_mut(name) {
            None => {
                self.units.insert(name.clone(), Unit::new(Arc::new(record.clone()), 0, now));
            }
            Some(unit) if unit.record.version == record.version => {
                if *unit.record != *record {
                    unit.record = Arc::new(record.clone());
                }
            }
            Some(unit) if unit.process == Process::None => {
                // The runs go on counting, so that news of the old version is never taken for news of the new one.
                *unit = Unit::new(Arc::new(record.clone()), unit.run, now);
            }
            Some(_) => {}
        }
    }

    fn turn(
        &mut self,
        name: &UnitName,
        wanted: Option<&UnitRecord>,
        released: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let closing = self.closing;
        let Some(unit) = self.units.get_mut(name) else { return };
        let settle = closing.is_none() && wanted.is_none();
        let wanted = wanted.filter(|record| closing.is_none() && record.version == unit.record.version);
        unit.follow(wanted.map(|record| &record.want), settle, now);
        if wanted.is_none() && unit.process == Process::None {
            self.units.remove(name);
            actions.push(Action::Forget { unit: name.clone() });
            return;
        }
        let quick_ms = closing.unwrap_or(GRACE_MIN_MS);
        if wanted.is_none() {
            // It may have been stopping already, with the longer grace of a drain.
            unit.kill_at = unit.kill_at.map(|at| at.min(now.plus(quick_ms)));
        }
        unit.act(released, quick_ms, now, actions);
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
