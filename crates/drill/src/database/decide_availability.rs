//! How long nobody could write, and how long a write took. Only register writes on the applications' way count: each
//! is one statement, sent at a fixed rate.

use super::decide_history::{Action, History, Operation, Via};
use crate::decide_measure::quantile;

/// A time without acknowledged writes after the fault is its effect only when it is this many times as long as the
/// longest one before it; else it is the schedule's own gap.
pub const GAP_FACTOR: u64 = 2;
/// One that is longer than this, in microseconds, is the fault's effect whatever the calm was like: a machine that stalled before
/// it must not hide an outage from its own verdict.
pub const GAP_ALWAYS_US: u64 = 1_000_000;

/// What callers felt.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AvailabilityReport {
    /// Acknowledged writes.
    pub acked: u64,
    /// The longest time without an acknowledged write, over the whole history, the tail included.
    pub longest_gap: Gap,
    /// The longest before the fault; `None` without a fault, or with fewer than two writes before it.
    pub calm_gap: Option<Gap>,
    /// From the fault to the next acknowledged write, in milliseconds. It may be one that was in flight when the fault
    /// was made. `None`: no fault, or no write after it.
    pub next_ack_ms: Option<f64>,
    /// From the fault to the end of the longest time without acknowledged writes after it, in milliseconds; where no
    /// such time stands out ([`GAP_FACTOR`], [`GAP_ALWAYS_US`]) the same as `next_ack_ms`. `None`: no fault, or it never ended.
    pub rto_ms: Option<f64>,
    /// The writes did not come back before the history's end.
    pub never_recovered: bool,
    /// Answer time of acknowledged writes from their place in the schedule, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// The slowest.
    pub max_ms: Option<f64>,
}

/// A time without acknowledged writes, in microseconds since the workload started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// Its begin: the start, the fault, or an acknowledgement.
    pub from_us: u64,
    /// Its end: an acknowledgement, or the history's end.
    pub to_us: u64,
}

impl Gap {
    fn length_us(self) -> u64 {
        self.to_us.saturating_sub(self.from_us)
    }
}

/// Measures; `None` when the history has no register writes on the applications' way.
#[must_use]
pub fn check_availability(history: &History) -> Option<AvailabilityReport> {
    let is_write = |o: &&Operation| o.via == Via::Front && matches!(o.action, Action::Register { .. });
    let writes: Vec<&Operation> = history.operations.iter().filter(is_write).collect();
    if writes.is_empty() {
        return None;
    }
    let acked: Vec<(u64, &Operation)> =
        writes.into_iter().filter(|o| o.is_ok()).filter_map(|o| Some((o.ended_us?, o))).collect();
    let mut ends: Vec<u64> = acked.iter().map(|(end, _)| *end).collect();
    ends.sort_unstable();
    let mut took: Vec<f64> =
        acked.iter().map(|(end, o)| end.saturating_sub(o.due_us) as f64 / 1000.0).collect();
    took.sort_by(f64::total_cmp);
    let end_us = history.ended_us.max(ends.last().copied().unwrap_or_default());
    let mut report = AvailabilityReport {
        acked: ends.len() as u64,
        longest_gap: longest(0, &ends, Some(end_us)),
        p50_ms: quantile(&took, 0.5),
        p99_ms: quantile(&took, 0.99),
        max_ms: took.last().copied(),
        ..AvailabilityReport::default()
    };
    if let Some(at) = history.fault_at_us {
        around_fault(&mut report, at, &ends, end_us);
    }
    Some(report)
}

fn around_fault(report: &mut AvailabilityReport, at: u64, ends: &[u64], end_us: u64) {
    let (before, after) = ends.split_at(ends.partition_point(|end| *end <= at));
    if let [first, rest @ ..] = before
        && !rest.is_empty()
    {
        report.calm_gap = Some(longest(*first, rest, None));
    }
    let since = |end: u64| (end - at) as f64 / 1000.0;
    report.next_ack_ms = after.first().map(|end| since(*end));
    let event = longest(at, after, Some(end_us));
    let calm_us = report.calm_gap.map_or(0, Gap::length_us);
    if after.is_empty() {
        report.never_recovered = true;
    } else if event.length_us() <= (calm_us * GAP_FACTOR).min(GAP_ALWAYS_US) {
        report.rto_ms = report.next_ack_ms;
    } else if after.contains(&event.to_us) {
        report.rto_ms = Some(since(event.to_us));
    } else {
        report.never_recovered = true;
    }
}

/// The longest gap between `from`, each of `ends` and `to`.
fn longest(from: u64, ends: &[u64], to: Option<u64>) -> Gap {
    let mut found = Gap { from_us: from, to_us: from };
    let mut last = from;
    for end in ends.iter().copied().chain(to) {
        let gap = Gap { from_us: last, to_us: end };
        if gap.length_us() > found.length_us() {
            found = gap;
        }
        last = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::decide_history::Outcome;
    use super::*;

    fn judge(acks_ms: &[u64], fault_ms: Option<u64>, end_ms: u64) -> AvailabilityReport {
        let write = |end: &u64| Operation {
            client: 0,
            via: Via::Front,
            due_us: end * 1000 - 2000,
            invoked_us: end * 1000 - 1000,
            ended_us: Some(end * 1000),
            action: Action::Register { id: *end as i64 },
            outcome: Outcome::Ok,
        };
        let operations = acks_ms.iter().map(write).collect();
        let fault_at_us = fault_ms.map(|at| at * 1000);
        check_availability(&History {
            operations,
            fault_at_us,
            ended_us: end_ms * 1000,
            ..History::default()
        })
        .unwrap()
    }

    #[test]
    fn the_gap_is_counted_from_the_fault_to_the_writes_that_came_back() {
        // 10 ms apart; the fault at 101; one that was in flight at 102; then nothing until 900.
        let mut acks: Vec<u64> = (1..=10).map(|i| i * 10).collect();
        acks.push(102);
        acks.extend((90..120).map(|i| i * 10));
        let report = judge(&acks, Some(101), 1200);
        assert_eq!((report.next_ack_ms, report.rto_ms), (Some(1.0), Some(799.0)));
        assert_eq!(report.longest_gap, Gap { from_us: 102_000, to_us: 900_000 });
        assert_eq!(report.calm_gap.unwrap().length_us(), 10_000);
        assert_eq!((report.p50_ms, report.max_ms, report.never_recovered), (Some(2.0), Some(2.0), false));
    }

    #[test]
    fn a_fault_nobody_felt_has_the_time_to_the_next_write() {
        let acks: Vec<u64> = (1..=100).map(|i| i * 10).collect();
        assert_eq!(judge(&acks, Some(501), 1000).rto_ms, Some(9.0));
        assert_eq!(judge(&acks, None, 1000).rto_ms, None);
    }

    #[test]
    fn a_machine_that_stalled_in_calm_hides_no_outage() {
        // Nothing for 1.8 s in calm; the fault at 3,000 ms; one write that was in flight; then nothing for 3.3 s.
        let mut acks: Vec<u64> = (1..=100).map(|i| i * 10).collect();
        acks.extend((280..=300).map(|i| i * 10));
        acks.push(3_018);
        acks.extend((632..700).map(|i| i * 10));
        let report = judge(&acks, Some(3_000), 7_000);
        assert_eq!((report.next_ack_ms, report.rto_ms), (Some(18.0), Some(3_320.0)));
    }

    #[test]
    fn writes_that_never_come_back_have_no_recovery_time() {
        for acks in [vec![10, 20, 30], vec![10, 20, 30, 32]] {
            let report = judge(&acks, Some(31), 5000);
            assert_eq!((report.rto_ms, report.never_recovered), (None, true));
            assert_eq!(report.longest_gap.to_us, 5_000_000);
        }
        assert_eq!(check_availability(&History::default()), None);
    }
}
