//! The verdict of a database drill.

use model::{Fault, Objectives, Verdict};

use super::decide_history::{Action, History, Operation, Via};
use super::decide_judgement::Judgement;
use crate::decide_verdict::not_run;

/// What a drill knows beside its history.
pub(super) struct Course<'a> {
    pub fault: Fault,
    pub target: &'a str,
    /// Unix time of the fault in milliseconds.
    pub at_ms: u64,
    /// From the fault until every node was well again; `None`: not watched, or it did not come to that.
    pub whole_ms: Option<f64>,
    pub objectives: &'a Objectives,
}

/// Single statements on the applications' way. Transactions that conflict fail without any fault.
fn counts(operation: &Operation) -> bool {
    let single = matches!(
        operation.action,
        Action::Register { .. } | Action::SessionWrite { .. } | Action::SessionRead { .. }
    );
    operation.via == Via::Front && single
}

/// The verdict: anything lost, stale or wrongly acknowledged is a miss, whatever was promised.
pub(super) fn verdict(course: &Course<'_>, history: &History, judgement: &Judgement) -> Verdict {
    let at_us = history.fault_at_us.unwrap_or_default();
    let front = || history.operations.iter().filter(|operation| counts(operation));
    let wrong: Vec<&Operation> = front().filter(|operation| !operation.is_ok()).collect();
    // It was on its way when the fault struck, and nobody may send a write twice.
    let underway = |operation: &&&Operation| {
        operation.invoked_us <= at_us && operation.ended_us.is_none_or(|ended| ended >= at_us)
    };
    let last = wrong.iter().filter_map(|operation| operation.ended_us).max();
    let availability = judgement.availability.as_ref();
    let registers = judgement.registers.as_ref();
    let stale = judgement.sessions.as_ref().map(|sessions| sessions.stale.count + sessions.backwards.count);
    let mut verdict = Verdict {
        not_run: None,
        requests: Some(front().count() as u64),
        failed: Some(wrong.len() as u64),
        unsavable: Some(wrong.iter().filter(underway).count() as u64),
        failed_after_ms: last.map(|last| last.saturating_sub(at_us) as f64 / 1_000.0),
        p50_ms: availability.and_then(|report| report.p50_ms),
        p99_ms: availability.and_then(|report| report.p99_ms),
        max_ms: availability.and_then(|report| report.max_ms),
        rto_ms: availability.and_then(|report| report.rto_ms),
        full_count_ms: course.whole_ms,
        acked_writes: registers.map(|report| report.acked),
        lost_writes: registers.map(|report| report.lost.count),
        stale_reads: stale,
        ..not_run(course.fault, course.target, course.at_ms, String::new())
    };
    verdict.missed = judgement.problems.clone();
    if availability.is_some_and(|report| report.never_recovered) {
        verdict.missed.push("writes did not come back".to_owned());
    }
    let limit = course.objectives.rto.node.or(course.objectives.rto.zone);
    if let (Some(limit), Some(rto)) = (limit, verdict.rto_ms)
        && rto > limit.0 as f64
    {
        verdict.missed.push(format!("writes were back after {rto:.0} ms; `rto` allows {} ms", limit.0));
    }
    verdict.objectives_met = Some(verdict.missed.is_empty());
    verdict
}

#[cfg(test)]
mod tests {
    use model::{Duration, FaultKind, FaultTarget};

    use super::super::decide_history::{FinalState, Outcome};
    use super::super::decide_loss::judge_within;
    use super::*;

    const AT: u64 = 1_000_000;

    /// A write each 10 ms, of which those due in `gap` are unknown.
    fn history(gap: std::ops::Range<u64>) -> History {
        let write = |id: u64| {
            let due = id * 10_000;
            let lost = gap.contains(&due);
            Operation {
                client: 0,
                via: Via::Front,
                due_us: due,
                invoked_us: due,
                ended_us: Some(due + 2_000),
                action: Action::Register { id: id as i64 },
                outcome: if lost {
                    Outcome::Unknown { why: "broken".to_owned(), false_ack: false }
                } else {
                    Outcome::Ok
                },
            }
        };
        History {
            fault_at_us: Some(AT),
            ended_us: 3_000_000,
            operations: (0..300).map(write).collect(),
            ..History::default()
        }
    }

    fn judged(history: &History, survived: Vec<i64>, rto_ms: u64) -> Verdict {
        judged_within(history, survived, rto_ms, 0)
    }

    fn judged_within(history: &History, survived: Vec<i64>, rto_ms: u64, rpo_ms: u64) -> Verdict {
        let fault = Fault { target: FaultTarget::Primary, kind: FaultKind::Kill };
        let mut objectives = Objectives::default();
        objectives.rto.node = Some(Duration(rto_ms));
        let survived = FinalState { registers: survived, ..FinalState::default() };
        let course = Course { fault, target: "db-1", at_ms: 7, whole_ms: None, objectives: &objectives };
        verdict(&course, history, &judge_within(history, &survived, rpo_ms))
    }

    #[test]
    fn what_was_lost_turns_it_red_and_what_was_underway_does_not() {
        let history = history(AT..AT + 400_000);
        let whole = judged(&history, (0..300).collect(), 1_000);
        assert_eq!((whole.lost_writes, whole.objectives_met), (Some(0), Some(true)), "{whole:?}");
        assert!(whole.rto_ms.is_some_and(|rto| (380.0..450.0).contains(&rto)), "{whole:?}");
        let red = judged(&history, (1..300).collect(), 1_000);
        assert_eq!((red.lost_writes, red.objectives_met), (Some(1), Some(false)));
        // What a lease states that it may lose is forgiven, an older write is not.
        let last = |first: i64| (0..first).chain(100..300).collect::<Vec<i64>>();
        let stated = judged_within(&history, last(60), 1_000, 500);
        assert_eq!((stated.lost_writes, stated.objectives_met), (Some(40), Some(true)), "{stated:?}");
        let older = judged_within(&history, last(40), 1_000, 500);
        assert_eq!((older.lost_writes, older.objectives_met), (Some(60), Some(false)), "{older:?}");
        assert_eq!(judged(&history, last(60), 1_000).objectives_met, Some(false));
        let slow = judged(&history, (0..300).collect(), 300);
        assert_eq!(slow.objectives_met, Some(false), "{slow:?}");
        assert!(slow.missed[0].contains("`rto` allows 300 ms"), "{slow:?}");
    }
}
