//! What a double fault may do, written down before it is made (`docs/drills.md` has it for people), and held against
//! what it did.

use drill::database::{Action, History, Operation, Step, Via};
use serde::{Deserialize, Serialize};

use super::plan::Kind;

/// What is expected of a double fault. Nothing is lost, whatever else: that is asked of every fault.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Which.
    pub kind: Kind,
    /// Writes are acknowledged again by then, in milliseconds, from when enough of what was broken is back. Until then
    /// they may wait.
    pub writes_ms: f64,
    /// Every node serves or streams, and counts, by then, from when the last of it is back.
    pub whole_ms: f64,
}

const fn row(kind: Kind, writes_ms: f64, whole_ms: f64) -> Expected {
    Expected { kind, writes_ms, whole_ms }
}

/// All double faults. Enough is back: for `primary-kill+..` when what stood still wakes; for those of the form
/// `kill-in-..` with the second kill; when all servers were killed, at once, as their keepers start them; on hosts with
/// the first host that is back. Five seconds are what a client waits that hears nothing; bounds of a busy machine.
pub const EXPECTED: &[Expected] = &[
    row(Kind::PrimaryKillStandbyFreeze, 10_000.0, 30_000.0),
    row(Kind::PrimaryKillStoreFreeze, 10_000.0, 30_000.0),
    row(Kind::PrimaryKillInRejoin, 10_000.0, 30_000.0),
    row(Kind::StandbysFreezeAllKill, 10_000.0, 30_000.0),
    row(Kind::KillInCopy, 10_000.0, 30_000.0),
    row(Kind::KillInRewind, 10_000.0, 30_000.0),
    row(Kind::HostKillStandbyFreeze, 15_000.0, 30_000.0),
    row(Kind::TwoHostsCut, 15_000.0, 30_000.0),
];

/// What is expected of a kind; `None`: it is no double fault.
pub fn expected(kind: Kind) -> Option<&'static Expected> {
    EXPECTED.iter().find(|expected| expected.kind == kind)
}

/// What a double fault did, as far as its outcome is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Double {
    /// For so long fewer than two copies of the log could take anything, so nothing may be acknowledged. 0: never.
    pub alone_ms: f64,
    /// Writes that were begun in that time and acknowledged in it, by the fronts or past them.
    pub acked_alone: u64,
    /// From when enough was back to the next acknowledged write through the fronts; `None`: it never came.
    pub writes_ms: Option<f64>,
}

impl Double {
    /// Of a fault in whose course nothing could be acknowledged from and to `alone_us`, and for which enough was back at
    /// `enough_us`. All in microseconds of the workload.
    pub fn of(history: &History, alone_us: Option<(u64, u64)>, enough_us: u64) -> Double {
        let (from, to) = alone_us.unwrap_or_default();
        let within = |o: &&Operation| {
            o.invoked_us > from
                && o.ended_us.is_some_and(|ended| ended < to)
                && o.is_ok()
                && writes(&o.action)
        };
        let acks = history
            .operations
            .iter()
            .filter(|o| o.via == Via::Front && o.is_ok() && matches!(o.action, Action::Register { .. }));
        let next = acks.filter_map(|o| o.ended_us).filter(|ended| *ended >= enough_us).min();
        Double {
            alone_ms: super::ms(to.saturating_sub(from)),
            acked_alone: history.operations.iter().filter(within).count() as u64,
            writes_ms: next.map(|ended| super::ms(ended - enough_us)),
        }
    }

    /// What was not as expected: one sentence each. `whole_ms` is from when the last thing of ours was back.
    pub fn judge(&self, expected: &Expected, whole_ms: Option<f64>) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.acked_alone > 0 {
            let (count, ms) = (self.acked_alone, self.alone_ms);
            wrong.push(format!(
                "{count} writes were acknowledged within {ms:.0} ms in which one copy was left"
            ));
        }
        match self.writes_ms {
            None => wrong.push("writes never came back".to_owned()),
            Some(ms) if ms > expected.writes_ms => {
                let limit = expected.writes_ms;
                wrong.push(format!("writes came back {ms:.0} ms after enough was there, above {limit} ms"));
            }
            Some(_) => {}
        }
        if let Some(ms) = whole_ms.filter(|ms| *ms > expected.whole_ms) {
            wrong
                .push(format!("whole {ms:.0} ms after everything was there, above {} ms", expected.whole_ms));
        }
        wrong
    }
}

/// Whether an acknowledgement of it promises that something stays.
fn writes(action: &Action) -> bool {
    match action {
        Action::Register { .. } | Action::Transfer { .. } | Action::SessionWrite { .. } => true,
        Action::Transaction { steps } => steps.iter().any(|step| matches!(step, Step::Append { .. })),
        Action::Bank { .. } | Action::SessionRead { .. } => false,
    }
}
