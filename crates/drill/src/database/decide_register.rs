//! The append-only set: what was acknowledged is there, what surely failed is not.

use std::collections::BTreeMap;

use super::decide_history::{Action, History, Listed, Operation, Via};

/// The judgement of the append-only set. An id counts once, by the best its writers were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RegisterReport {
    /// Ids that somebody tried to write.
    pub attempted: u64,
    /// Acknowledged ones.
    pub acked: u64,
    /// Those that surely failed.
    pub failed: u64,
    /// Those nobody knows about.
    pub unknown: u64,
    /// Of the unknown ones, how many are there.
    pub unknown_present: u64,
    /// Acknowledged and not there: the worst there is.
    pub lost: Listed<i64>,
    /// There although they surely failed.
    pub unexpected: Listed<i64>,
    /// There although nobody tried to write them, or there more than once.
    pub foreign: Listed<i64>,
    /// Of the ids that were written past the router.
    pub direct: DirectReport,
    /// Of the ids acknowledged only for clients that read no warnings, those that are not there.
    pub false_acks_lost: Listed<i64>,
}

/// What a node acknowledged to clients that went past the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DirectReport {
    /// Acknowledged ids.
    pub acked: u64,
    /// Of these, acknowledged after the fault. That alone is legal: what counts is whether they survived.
    pub acked_after_fault: u64,
    /// Acknowledged and not there: the node was a primary no longer and did not know. Also in
    /// [`RegisterReport::lost`].
    pub lost: u64,
}

/// Worst first, so that the greatest of several is what the id's writers know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Failed,
    Unknown,
    Acked,
}

struct Tried<'a> {
    known: Known,
    by: &'a Operation,
}

/// Compares every id of the history with the surviving table; `None` when the history has none.
#[must_use]
pub fn check_registers(history: &History, present: &[i64]) -> Option<RegisterReport> {
    let mut tried: BTreeMap<i64, Tried<'_>> = BTreeMap::new();
    for by in &history.operations {
        let Action::Register { id } = by.action else { continue };
        let known = match (by.is_ok(), by.is_failed()) {
            (true, _) => Known::Acked,
            (_, true) => Known::Failed,
            _ => Known::Unknown,
        };
        let best = tried.entry(id).or_insert(Tried { known, by });
        if known > best.known {
            *best = Tried { known, by };
        }
    }
    if tried.is_empty() {
        return None;
    }
    let mut present = present.to_vec();
    present.sort_unstable();
    let mut report = RegisterReport { attempted: tried.len() as u64, ..RegisterReport::default() };
    for pair in present.windows(2).filter(|pair| pair[0] == pair[1]) {
        report.foreign.add(|| pair[0]);
    }
    present.dedup();
    for id in present.iter().filter(|id| !tried.contains_key(id)) {
        report.foreign.add(|| *id);
    }
    for (id, one) in &tried {
        count(&mut report, *id, one, present.binary_search(id).is_ok(), history.fault_at_us);
    }
    Some(report)
}

fn count(report: &mut RegisterReport, id: i64, one: &Tried<'_>, is_present: bool, fault_at_us: Option<u64>) {
    match one.known {
        Known::Acked => {
            report.acked += 1;
            if !is_present {
                report.lost.add(|| id);
            }
            if one.by.via != Via::Front {
                report.direct.acked += 1;
                report.direct.acked_after_fault +=
                    u64::from(fault_at_us.is_some_and(|at| one.by.ended_us.is_some_and(|end| end > at)));
                report.direct.lost += u64::from(!is_present);
            }
        }
        Known::Failed => {
            report.failed += 1;
            if is_present {
                report.unexpected.add(|| id);
            }
        }
        Known::Unknown => {
            report.unknown += 1;
            report.unknown_present += u64::from(is_present);
            if one.by.is_false_ack() && !is_present {
                report.false_acks_lost.add(|| id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide_history::Outcome;
    use super::*;

    fn write(id: i64, outcome: Outcome, via: Via) -> Operation {
        let ended_us = Some(id as u64 * 10);
        Operation {
            client: 0,
            via,
            due_us: 0,
            invoked_us: 0,
            ended_us,
            action: Action::Register { id },
            outcome,
        }
    }

    #[test]
    fn an_acknowledged_id_must_be_there_and_a_failed_one_must_not() {
        let failed = || Outcome::Failed { why: "40001".into() };
        let unknown = |false_ack| Outcome::Unknown { why: String::new(), false_ack };
        let operations = vec![
            write(1, Outcome::Ok, Via::Front),
            write(2, Outcome::Ok, Via::Front),
            write(3, failed(), Via::Front),
            write(4, failed(), Via::Front),
            write(5, unknown(false), Via::Front),
            write(6, unknown(false), Via::Front),
            write(7, unknown(true), Via::Front),
            write(8, Outcome::Ok, Via::Direct(0)),
            write(9, Outcome::Ok, Via::Direct(0)),
            write(3, failed(), Via::Front),
        ];
        let history = History { operations, fault_at_us: Some(85), ..History::default() };
        let report = check_registers(&history, &[9, 1, 4, 5, 77, 1]).unwrap();
        let listed = |first: &[i64]| Listed { count: first.len() as u64, first: first.to_vec() };
        assert_eq!(
            report,
            RegisterReport {
                attempted: 9,
                acked: 4,
                failed: 2,
                unknown: 3,
                unknown_present: 1,
                lost: listed(&[2, 8]),
                unexpected: listed(&[4]),
                foreign: listed(&[1, 77]),
                direct: DirectReport { acked: 2, acked_after_fault: 1, lost: 1 },
                false_acks_lost: listed(&[7]),
            }
        );
    }

    #[test]
    fn a_history_without_writes_proves_nothing() {
        assert_eq!(check_registers(&History::default(), &[]), None);
    }

    #[test]
    fn the_list_of_a_great_loss_is_short_and_its_count_whole() {
        let operations = (0..500).map(|id| write(id, Outcome::Ok, Via::Front)).collect();
        let report = check_registers(&History { operations, ..History::default() }, &[]).unwrap();
        assert_eq!((report.lost.count, report.lost.first.len()), (500, 20));
    }
}
