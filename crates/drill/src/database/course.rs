//! A drill of a database: load through its fronts, the fault in the midst of it, healing, and a verdict from what the
//! clients were told and what survived.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{DatabaseName, Objectives, Status, Verdict};
use tokio::sync::watch;
use tokio::time::sleep;
use world::Stop;

use super::decide_course::{Course, verdict};
use super::decide_judgement::Judgement;
use super::decide_loss::judge_within;
use super::workload::{Handle, Options, Workload, read_final};
use crate::breaking::Break;
use crate::decide_verdict::not_run;
use crate::error::DrillError;
use crate::run::{Progress, Stage, heal, unix_ms};

/// The course looks around this often.
const TURN: Duration = Duration::from_millis(20);
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// The tables are made, and what survived is read, within this time, or the database is not well.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long a drill without a verdict tries to take its tables away.
const LEAVING: Duration = Duration::from_secs(5);

/// How a database is drilled.
#[derive(Clone, Debug)]
pub struct DatabaseDrill {
    /// The load, and where it goes.
    pub workload: Options,
    /// Load before the fault, in milliseconds.
    pub calm_ms: u64,
    /// From the fault to healing, in milliseconds.
    pub event_ms: u64,
    /// Load after healing, in milliseconds: an old primary that wakes up must acknowledge nothing.
    pub settle_ms: u64,
    /// What the user promised.
    pub objectives: Objectives,
    /// Writes of at most so long before the end of a primary may be lost, in milliseconds: what the database states.
    pub rpo_ms: u64,
    /// The cluster's status as it changes, and whose nodes to watch: when all are there again.
    pub status: Option<(DatabaseName, watch::Receiver<Arc<Status>>)>,
    /// Asks the drill to heal and stop (Ctrl-C).
    pub stop: Stop,
}

/// Runs the drill. Whatever happens after the fault, it is healed.
///
/// # Errors
/// [`DrillError`] when there is no verdict.
pub async fn run_database(
    drill: DatabaseDrill,
    mut fault: impl Break,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(Verdict, Judgement), DrillError> {
    if let Some(why) = fault.impossible() {
        return Ok((not_run(fault.fault(), &fault.target(), unix_ms(), why), Judgement::default()));
    }
    Workload::prepare(&drill.workload, PATIENCE).await?;
    let handle = Workload::start(drill.workload.clone())?;
    let mut watch = Watch {
        drill: &drill,
        handle: &handle,
        progress: &mut progress,
        told: None,
        felt: false,
        whole_ms: None,
    };
    let outcome = watch.course(&mut fault).await;
    let whole_ms = watch.whole_ms;
    let history = handle.stop().await;
    let course = match outcome {
        Ok(course) => course,
        Err(error) => {
            // It may be a database that answers nobody, and somebody who waits for the end.
            let _ = Workload::remove(&drill.workload, LEAVING).await;
            return Err(error);
        }
    };
    let survived = read_final(&drill.workload.target, PATIENCE).await?;
    Workload::remove(&drill.workload, PATIENCE).await?;
    let judgement = judge_within(&history, &survived, drill.rpo_ms);
    let course = Course {
        target: &fault.target(),
        fault: fault.fault(),
        at_ms: course,
        whole_ms,
        objectives: &drill.objectives,
    };
    Ok((verdict(&course, &history, &judgement), judgement))
}

struct Watch<'a, P> {
    drill: &'a DatabaseDrill,
    handle: &'a Handle,
    progress: &'a mut P,
    told: Option<Instant>,
    /// The loss was seen in the status: before that everything would still look whole.
    felt: bool,
    whole_ms: Option<f64>,
}

impl<P: FnMut(Progress) + Send> Watch<'_, P> {
    /// Calm, fault, event, heal, settle; the answer is the fault's Unix time in milliseconds.
    async fn course(&mut self, fault: &mut impl Break) -> Result<u64, DrillError> {
        self.phase(Stage::Calm, self.drill.calm_ms).await?;
        let glance = self.handle.glance();
        // Conflicts of serializable transactions fail in calm too; nothing may be unknown then.
        if glance.acked == 0 || glance.unknown > 0 {
            return Err(DrillError::NotCalm {
                failed: glance.unknown,
                requests: glance.acked + glance.failed + glance.unknown,
                first: "the database refused, or did not answer in time".to_owned(),
            });
        }
        let at_ms = unix_ms();
        self.handle.mark_fault();
        if let Err(error) = fault.inject().await {
            // It may be half done.
            heal(fault).await?;
            return Err(DrillError::Break(error));
        }
        let event = self.phase(Stage::Event, self.drill.event_ms).await;
        self.tell(Stage::Heal);
        heal(fault).await?;
        event?;
        self.phase(Stage::Settle, self.drill.settle_ms).await?;
        Ok(at_ms)
    }

    async fn phase(&mut self, stage: Stage, ms: u64) -> Result<(), DrillError> {
        let end = Instant::now() + Duration::from_millis(ms);
        let began = Instant::now();
        while Instant::now() < end {
            self.tell(stage);
            tokio::select! {
                biased;
                () = self.drill.stop.requested() => return Err(DrillError::Interrupted),
                () = sleep(TURN) => {}
            }
            if stage == Stage::Event && self.whole_ms.is_none() {
                let whole = self.is_whole();
                self.felt |= !whole;
                self.whole_ms = (whole && self.felt).then(|| began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let Some((name, status)) = &self.drill.status else { return false };
        let status = status.borrow();
        let well = status.databases.iter().any(|database| database.name == *name && database.healthy);
        let mut nodes = status.units.iter().filter(|unit| unit.service.as_str() == name.as_str()).peekable();
        well && nodes.peek().is_some() && nodes.all(|unit| unit.healthy)
    }

    fn tell(&mut self, stage: Stage) {
        if stage != Stage::Heal && self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let glance = self.handle.glance();
        let failed = glance.failed + glance.unknown;
        (self.progress)(Progress {
            stage,
            since_start_ms: self.handle.now_us() / 1_000,
            requests: glance.acked + failed,
            failed,
            open: glance.open,
        });
    }
}
