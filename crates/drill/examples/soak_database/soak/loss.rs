//! What a database under a lease may lose, and that it lets no two primaries acknowledge at once
//! (`docs/decisions/0007-lease-mode.md`).

use std::collections::BTreeSet;

use database::{LEASE_FENCE_MS, LEASE_STALL_MS};
use drill::database::{Action, FinalState, History, Judgement, Operation, Via, judge_but};
use model::Mode;

/// A primary that is cut off, or whose agent is gone, is ended within this, in microseconds: its watchdog counts from before,
/// and may stand still just then.
const ENDED_US: u64 = (LEASE_FENCE_MS + LEASE_STALL_MS) * 1_000;
/// What else was under way when a primary ended was answered within this, in microseconds. The next one acknowledges
/// nothing for 2.5 s.
const LAST_US: u64 = 500_000;

/// A fault after which another node took over, in microseconds of the workload: when it came, and when all was whole again.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    /// When it came.
    pub at_us: u64,
    /// All was whole again; `u64::MAX`: it never was.
    pub until_us: u64,
}

/// Judges, and forgives what is stated: writes of the last 8 s before the end of a primary that was followed.
pub fn judge(history: &History, survived: &FinalState, takeovers: &[Takeover]) -> Judgement {
    let there: BTreeSet<i64> = survived.registers.iter().copied().collect();
    let survives = |id: &i64| there.contains(id);
    let acked = history.operations.iter().filter_map(|operation| match operation.action {
        Action::Register { id } if operation.is_ok() => Some((operation, survives(&id))),
        _ => None,
    });
    let (kept, gone): (Vec<_>, Vec<_>) = acked.partition(|(_, survives)| *survives);
    let (kept, gone) = (operations(kept), operations(gone));
    let rpo_us = Mode::Lease.rpo_ms().unwrap_or_default() * 1_000;
    let windows: Vec<(u64, u64)> = takeovers
        .iter()
        .map(|takeover| {
            let lost = gone.iter().filter_map(|operation| takeover.holds(operation));
            // It acknowledges for a while: it ended with the last of what is gone.
            let end = lost.filter(|ended| ended - takeover.at_us <= ENDED_US).max();
            let end = end.unwrap_or(takeover.at_us);
            (end.saturating_sub(rpo_us), end + LAST_US)
        })
        .collect();
    let mut judgement = judge_but(history, survived, |operation| {
        let ended = operation.ended_us.unwrap_or(u64::MAX);
        windows.iter().any(|(from, to)| (*from..=*to).contains(&ended))
    });
    for takeover in takeovers {
        judgement.problems.extend(takeover.two_primaries(&kept, &gone));
    }
    judgement
}

fn operations(all: Vec<(&Operation, bool)>) -> Vec<&Operation> {
    all.into_iter().map(|(operation, _)| operation).collect()
}

impl Takeover {
    /// When it ended, if it did in the course of this.
    fn holds(&self, operation: &Operation) -> Option<u64> {
        operation.ended_us.filter(|ended| (self.at_us..=self.until_us).contains(ended))
    }

    /// Whether the old primary acknowledged what was sent once the other one had acknowledged: told by clients that each
    /// speak to one node.
    fn two_primaries(&self, kept: &[&Operation], gone: &[&Operation]) -> Option<String> {
        let direct = |operation: &&&Operation| matches!(operation.via, Via::Direct(_));
        let late = gone.iter().filter(direct).filter(|late| {
            let before = |by: &&Operation| self.holds(by).is_some_and(|ended| ended < late.invoked_us);
            let other = kept.iter().filter(direct).filter(|by| by.via != late.via);
            self.holds(late).is_some() && other.copied().any(|by| before(&by))
        });
        let count = late.count();
        (count > 0)
            .then(|| format!("{count} writes were acknowledged by a primary that another one had followed"))
    }
}
