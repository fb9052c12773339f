//! A database whose writes do not wait for a standby (a lease between two nodes) states how much it may lose: what was
//! acknowledged in the last moments of a primary. That much is forgiven, and nothing else.

use super::decide_history::{Action, FinalState, History, Operation, Outcome, Via};
use super::decide_judgement::{Judgement, judge};

/// As [`judge`], where the last `rpo_ms` before the end of the primary that was hit may be gone. What is forgiven still
/// counts as lost in the report of the registers.
pub(super) fn judge_within(history: &History, survived: &FinalState, rpo_ms: u64) -> Judgement {
    let strict = judge(history, survived);
    let Some(at) = history.fault_at_us.filter(|_| rpo_ms > 0 && !strict.problems.is_empty()) else {
        return strict;
    };
    // A primary that is cut off acknowledges for a while after the fault: it ended with the last of what is gone.
    let lost = |operation: &&Operation| match operation.action {
        Action::Register { id } => operation.is_ok() && !survived.registers.contains(&id),
        _ => false,
    };
    let gone = history.operations.iter().filter(lost).filter_map(|operation| operation.ended_us);
    let end = gone.max().unwrap_or(at).max(at);
    let from = end.saturating_sub(rpo_ms.saturating_mul(1_000));
    let last = |operation: &Operation| operation.ended_us.is_some_and(|ended| (from..=end).contains(&ended));
    judge_but(history, survived, |operation| operation.via == Via::Front && last(operation))
}

/// As [`judge`], where what was acknowledged and is `forgiven` may be gone, or not. It still counts as lost in the report of
/// the registers.
#[must_use]
pub fn judge_but(
    history: &History,
    survived: &FinalState,
    forgiven: impl Fn(&Operation) -> bool,
) -> Judgement {
    let mut forgiving = history.clone();
    for operation in &mut forgiving.operations {
        if operation.is_ok() && forgiven(operation) {
            let why = "acknowledged in the last moments of a primary".to_owned();
            operation.outcome = Outcome::Unknown { why, false_ack: false };
        }
    }
    let Judgement { registers, availability, .. } = judge(history, survived);
    Judgement { registers, availability, ..judge(&forgiving, survived) }
}
