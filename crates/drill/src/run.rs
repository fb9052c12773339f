//! The course of a drill: calm, fault, event, heal, settle, verdict.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Verdict;
use tokio::time::{sleep, timeout};
use world::Chance;

use crate::breaking::{Break, BreakError, Injected};
use crate::client::id;
use crate::database::read_orders;
use crate::decide_count::Before;
use crate::decide_judge::{orders_again_us, unsavable};
use crate::decide_measure::{ABORT_AFTER_US, Slice, timeline};
use crate::decide_record::{FaultFacts, Kind, Record};
use crate::decide_verdict::{Measured, not_run, verdict};
use crate::entry::{Entry, PROBE_TIMEOUT};
use crate::error::DrillError;
use crate::journal::Executions;
use crate::load::{Load, Seen};
use crate::options::Options;

/// The course of a drill looks around this often.
const TURN: Duration = Duration::from_millis(50);
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Healing is tried this often before the drill gives up and says so.
const HEAL_TRIES: u32 = 3;
/// Wait between two tries.
const HEAL_PAUSE: Duration = Duration::from_millis(200);
/// A `heal` that has not come back by then counts as failed.
const HEAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Orders are read from the application's database within this time.
const ORDERS_WITHIN: Duration = Duration::from_secs(20);
/// Before the load, each front is asked this often until it answers well.
const HELLO_TRIES: u32 = 3;

/// Where a drill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Load, nothing broken.
    Calm,
    /// Broken.
    Event,
    /// Being healed.
    Heal,
    /// Healed, still under load.
    Settle,
    /// The load has stopped; open requests and journals.
    Count,
}

/// Told while a drill runs, about four times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub stage: Stage,
    /// Since the load started, in milliseconds.
    pub since_start_ms: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Of these failed.
    pub failed: u64,
    /// Requests that are open now.
    pub open: u64,
}

/// A verdict with the evidence behind it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// Every failed request, in the order of their ends.
    pub failures: Vec<Failed>,
    /// Ids of acknowledged writes that are in no journal.
    pub lost_ids: Vec<String>,
    /// Ids of writes that were carried out more than once.
    pub doubled_ids: Vec<String>,
    /// From the fault until orders went through again, where it hit their database's primary.
    pub orders_again_ms: Option<f64>,
    /// Orders whose outcome the application did not know.
    pub unknown: Unknown,
    /// What ended when, in columns of 250 ms from the start of the load.
    pub timeline: Vec<Slice>,
    /// The fault, in milliseconds since the load started.
    pub fault_at_ms: f64,
    /// Healed, in milliseconds since the load started.
    pub healed_at_ms: f64,
    /// Idempotent requests that were sent to a second front.
    pub second_front: u64,
    /// Times a front was passed over with nothing carried out.
    pub passed_over: u64,
    /// Journals that were read.
    pub journals: usize,
    /// Lines in them that are no journal lines.
    pub damaged_lines: u64,
    /// CPU time of the load generator in milliseconds.
    pub load_cpu_ms: Option<f64>,
    /// 99th percentile of how late the load generator sent, in milliseconds; part of every answer time.
    pub load_late_p99_ms: Option<f64>,
}

/// Orders whose callers were told that their outcome is unknown, looked up after the drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// How many.
    pub orders: u64,
    /// Of these: carried out.
    pub done: u64,
}

/// One failed request.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// Its unique id.
    pub id: String,
    /// What it was for.
    pub kind: Kind,
    /// Its place in the schedule in milliseconds from the fault; below 0 is before it.
    pub due_ms: f64,
    /// What its caller saw.
    pub why: String,
    /// Why nobody could have saved it; `None`: it could have been saved.
    pub excuse: Option<&'static str>,
}

/// Runs a drill and gives its verdict alone. See [`run_report`].
///
/// # Errors
/// As [`run_report`].
pub async fn run(
    options: Options,
    fault: impl Break,
    progress: impl FnMut(Progress) + Send,
) -> Result<Verdict, DrillError> {
    Ok(run_report(options, fault, progress).await?.verdict)
}

/// Runs a drill: load over all fronts, the fault in the midst of it, healing, and a judgement from what callers saw
/// and what the journals say.
///
/// Whatever happens after the fault, it is healed: at the end, at the safety limit, when asked to stop. A fault that
/// cannot be carried out here gives a verdict with `not_run`. The future must be polled to its end; dropped
/// half-way it leaves broken what it broke. Must be polled within a tokio runtime.
///
/// # Errors
/// [`DrillError`] when there is no verdict: bad options, an application that is not calm before the fault, a
/// failure to break or heal, a request to stop, an unreadable journal.
pub async fn run_report(
    options: Options,
    mut fault: impl Break,
    progress: impl FnMut(Progress) + Send,
) -> Result<Report, DrillError> {
    options.check()?;
    if let Some(why) = fault.impossible() {
        return Ok(Report::without(not_run(fault.fault(), &fault.target(), unix_ms(), why)));
    }
    greet(&options).await?;
    let prefix = format!("drill-{:x}-{:x}", unix_ms(), Chance::from_os().below(1 << 24));
    let load = Load::start(&options, &prefix)?;
    let mut course = Course { options: &options, load: &load, progress, told: None, full_count_ms: None };
    let outcome = course.run(&mut fault).await;
    let (full_count_ms, mut progress) = (course.full_count_ms, course.progress);
    let glance = load.glance();
    progress(Progress {
        stage: Stage::Count,
        since_start_ms: load.now_us() / 1000,
        requests: glance.ended,
        failed: glance.failed,
        open: glance.open,
    });
    // The load is ended in any case, so that no thread outlives the drill.
    let seen = load.finish().await;
    let broken = outcome?;
    let executions = executions(&options, &prefix).await?;
    judged(&options, &fault, &prefix, broken, full_count_ms, (seen?, executions))
}

/// What the application has carried out, by its database or its journals; `None`: nobody can say.
async fn executions(options: &Options, prefix: &str) -> Result<Option<Executions>, DrillError> {
    if let Some(target) = &options.orders {
        let read = read_orders(target, prefix, ORDERS_WITHIN).await;
        return Ok(Some(read.map_err(DrillError::Orders)?));
    }
    if options.journals.is_empty() {
        return Ok(None);
    }
    Executions::read(&options.journals, prefix).map(Some)
}

/// What the course of a drill leaves for its judgement.
#[derive(Debug)]
struct Broken {
    facts: FaultFacts,
    at_ms: u64,
    event_end_us: u64,
    healed_us: u64,
    end_us: u64,
    aborted: Option<String>,
}

/// Why a phase ended early.
enum Early {
    Abort(String),
    Interrupted,
}

struct Course<'a, P> {
    options: &'a Options,
    load: &'a Load,
    progress: P,
    told: Option<Instant>,
    full_count_ms: Option<f64>,
}

impl<P: FnMut(Progress) + Send> Course<'_, P> {
    async fn run(&mut self, fault: &mut impl Break) -> Result<Broken, DrillError> {
        self.calm().await?;
        let status = self.options.status.as_ref().map(|status| status.borrow().clone());
        let at_ms = unix_ms();
        let injected = match fault.inject().await {
            Ok(injected) => injected,
            Err(error) => {
                // It may be half done.
                heal(fault).await?;
                return Err(DrillError::Break(error));
            }
        };
        let facts = self.facts(&injected);
        let before = status.map(|status| Before::new(&status, &injected.units));
        let event = self.event(&facts, before.as_ref()).await;
        let event_end_us = self.load.now_us();
        self.tell(Stage::Heal);
        heal(fault).await?;
        let healed_us = self.load.now_us();
        let aborted = match event {
            Ok(()) => {
                self.settle().await?;
                None
            }
            Err(Early::Abort(why)) => Some(why),
            Err(Early::Interrupted) => return Err(DrillError::Interrupted),
        };
        Ok(Broken { facts, at_ms, event_end_us, healed_us, end_us: self.load.now_us(), aborted })
    }

    async fn calm(&mut self) -> Result<(), DrillError> {
        let end = Instant::now() + Duration::from_millis(self.options.calm_ms);
        while Instant::now() < end {
            self.turn(Stage::Calm).await.map_err(|()| DrillError::Interrupted)?;
            self.still_calm()?;
        }
        if self.load.glance().ended == 0 {
            return Err(DrillError::NotCalm {
                failed: 0,
                requests: 0,
                first: "no request was answered".to_owned(),
            });
        }
        self.still_calm()
    }

    fn still_calm(&self) -> Result<(), DrillError> {
        let glance = self.load.glance();
        match self.load.first_failure() {
            Some(first) if glance.failed > 0 => {
                Err(DrillError::NotCalm { failed: glance.failed, requests: glance.ended, first })
            }
            _ => Ok(()),
        }
    }

    fn facts(&self, injected: &Injected) -> FaultFacts {
        let hit = |(index, front)| injected.fronts.contains(front).then_some(index);
        FaultFacts {
            at_us: self.load.us_of(injected.at),
            fronts: self.options.fronts.iter().enumerate().filter_map(hit).collect(),
            units: injected.units.iter().map(|unit| unit.as_str().to_owned()).collect(),
            primary: injected.primary,
            orders_again_us: None,
        }
    }

    async fn event(&mut self, facts: &FaultFacts, before: Option<&Before>) -> Result<(), Early> {
        let end_us = facts.at_us + self.options.event_ms * 1000;
        while self.load.now_us() < end_us {
            self.turn(Stage::Event).await.map_err(|()| Early::Interrupted)?;
            self.count(facts.at_us, before);
            let late = self.load.now_us().saturating_sub(facts.at_us) >= ABORT_AFTER_US;
            match self.load.failing_share().filter(|share| late && *share > self.options.abort_share) {
                None => {}
                Some(share) => {
                    let (share, limit) = (share * 100.0, self.options.abort_share * 100.0);
                    let text = format!("{share:.0} % of the requests failed; the limit is {limit:.0} %");
                    return Err(Early::Abort(text));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, at_us: u64, before: Option<&Before>) {
        let (Some(status), Some(before), None) = (&self.options.status, before, self.full_count_ms) else {
            return;
        };
        if before.is_back(&status.borrow()) {
            self.full_count_ms = Some(self.load.now_us().saturating_sub(at_us) as f64 / 1000.0);
        }
    }

    async fn settle(&mut self) -> Result<(), DrillError> {
        let end = Instant::now() + Duration::from_millis(self.options.settle_ms);
        while Instant::now() < end {
            self.turn(Stage::Settle).await.map_err(|()| DrillError::Interrupted)?;
        }
        Ok(())
    }

    /// Waits for one turn; an error when asked to stop.
    async fn turn(&mut self, stage: Stage) -> Result<(), ()> {
        self.tell(stage);
        tokio::select! {
            biased;
            () = self.options.stop.requested() => Err(()),
            () = sleep(TURN) => Ok(()),
        }
    }

    fn tell(&mut self, stage: Stage) {
        if stage != Stage::Heal && self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let glance = self.load.glance();
        let since_start_ms = self.load.now_us() / 1000;
        let (requests, failed, open) = (glance.ended, glance.failed, glance.open);
        (self.progress)(Progress { stage, since_start_ms, requests, failed, open });
    }
}

/// Every front must answer before a drill starts: a front that is down already is not this drill's finding.
async fn greet(options: &Options) -> Result<(), DrillError> {
    let path = &options.paths.probe;
    let entry = Entry::new(&options.fronts, options.host.as_deref(), path);
    for front in &entry.fronts {
        let mut last = Ok(());
        for _ in 0..HELLO_TRIES {
            last = front.probe().await;
            if last.is_ok() {
                break;
            }
            sleep(PROBE_TIMEOUT).await;
        }
        last.map_err(|why| DrillError::FrontSilent { front: front.address, path: path.clone(), why })?;
    }
    Ok(())
}

/// Heals, however often it takes within reason.
pub(crate) async fn heal(fault: &mut impl Break) -> Result<(), DrillError> {
    let mut last = BreakError::new("healing was not tried");
    for _ in 0..HEAL_TRIES {
        match timeout(HEAL_TIMEOUT, fault.heal()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => last = error,
            Err(_) => last = BreakError::new(format!("no end within {} s", HEAL_TIMEOUT.as_secs())),
        }
        tracing::warn!(error = &last as &dyn std::error::Error, "healing failed; trying again");
        sleep(HEAL_PAUSE).await;
    }
    Err(DrillError::NotHealed(last))
}

fn judged(
    options: &Options,
    fault: &impl Break,
    prefix: &str,
    mut broken: Broken,
    full_count_ms: Option<f64>,
    (seen, executions): (Seen, Option<Executions>),
) -> Result<Report, DrillError> {
    let (at_us, again) = (broken.facts.at_us, orders_again_us(&seen.records, broken.facts.at_us));
    broken.facts.orders_again_us = again;
    let hit = again.filter(|_| broken.facts.primary);
    let orders_again_ms = hit.map(|again| again.saturating_sub(at_us) as f64 / 1000.0);
    let (mut effects, mut journals, mut damaged_lines, mut unknown) = (None, 0, 0, Unknown::default());
    if let Some(executions) = executions {
        let written = |r: &&Record| r.kind == Kind::Write && r.failure().is_none();
        let acked = seen.records.iter().filter(written).map(|r| id(prefix, r.seq));
        (journals, damaged_lines) = (executions.journals, executions.damaged);
        effects = Some(executions.compare(acked));
        for record in seen.records.iter().filter(|r| r.failure().is_some_and(|f| f.outcome_unknown)) {
            unknown.orders += 1;
            unknown.done += u64::from(executions.times(&id(prefix, record.seq)) > 0);
        }
    }
    let verdict = verdict(
        &Measured {
            fault: fault.fault(),
            target: &fault.target(),
            at_ms: broken.at_ms,
            facts: &broken.facts,
            records: &seen.records,
            event_end_us: broken.event_end_us,
            end_us: broken.end_us,
            effects: effects.as_ref(),
            full_count_ms,
            aborted: broken.aborted,
            objectives: &options.objectives,
        },
        |seq| id(prefix, seq),
    );
    let effects = effects.unwrap_or_default();
    let failed = |r: &Record| {
        Some(Failed {
            id: id(prefix, r.seq),
            kind: r.kind,
            due_ms: (r.due_us as f64 - broken.facts.at_us as f64) / 1000.0,
            why: r.failure()?.why.clone(),
            excuse: unsavable(r, &broken.facts),
        })
    };
    let late = seen.late_us.get(seen.late_us.len().saturating_sub(1) * 99 / 100);
    let verdict = Verdict { second_front: Some(seen.second_front), ..verdict };
    Ok(Report {
        verdict,
        failures: seen.records.iter().filter_map(failed).collect(),
        lost_ids: effects.lost,
        doubled_ids: effects.doubled,
        orders_again_ms,
        unknown,
        timeline: timeline(&seen.records, broken.end_us),
        fault_at_ms: broken.facts.at_us as f64 / 1000.0,
        healed_at_ms: broken.healed_us as f64 / 1000.0,
        second_front: seen.second_front,
        passed_over: seen.passed_over,
        journals,
        damaged_lines,
        load_cpu_ms: seen.cpu_us.map(|us| us as f64 / 1000.0),
        load_late_p99_ms: late.map(|us| *us as f64 / 1000.0),
    })
}

impl Report {
    pub(crate) fn without(verdict: Verdict) -> Report {
        Report {
            verdict,
            failures: Vec::new(),
            lost_ids: Vec::new(),
            doubled_ids: Vec::new(),
            orders_again_ms: None,
            unknown: Unknown::default(),
            timeline: Vec::new(),
            fault_at_ms: 0.0,
            healed_at_ms: 0.0,
            second_front: 0,
            passed_over: 0,
            journals: 0,
            damaged_lines: 0,
            load_cpu_ms: None,
            load_late_p99_ms: None,
        }
    }
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
