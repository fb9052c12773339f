//! Numbers from records: percentiles, the longest time without success, the abort limit, the timeline.

use crate::decide_record::{Kind, Record};

/// A time without success is one only when it is this many times as long as the longest one in calm ...
pub const SILENCE_FACTOR: u64 = 3;
/// ... and at least this long: below it, the scheduler of a busy machine makes gaps of its own.
pub const SILENCE_FLOOR_US: u64 = 250_000;
/// One column of the timeline.
pub const SLICE_US: u64 = 250_000;
/// The abort limit looks at what ended within this time.
pub const ABORT_WINDOW_US: u64 = 2_000_000;
/// The abort limit looks only this long after the fault: failing over takes its time.
pub const ABORT_AFTER_US: u64 = 3_000_000;

/// The `q` quantile (0..=1) of `sorted` by nearest rank: a value that was measured, never one between two.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(last)).copied()
}

/// Answer times in milliseconds, ascending, of the short requests that were open at some time in `from..to`:
/// those that a fault at `from` caught in flight belong to the event too. Failed ones count with the time it
/// took to fail.
#[must_use]
pub fn short_latencies_ms(records: &[Record], from_us: u64, to_us: u64) -> Vec<f64> {
    sorted_short(records, |r| r.end_us >= from_us && r.due_us < to_us)
}

/// Answer times in milliseconds, ascending, of the short requests that were over before the fault at `at`. One that
/// was in flight then is the event's: a few of them would make calm look slow, and a slow calm is not judged.
#[must_use]
pub fn calm_latencies_ms(records: &[Record], at_us: u64) -> Vec<f64> {
    sorted_short(records, |r| r.end_us < at_us)
}

/// As [`short_latencies_ms`], of the short reads alone.
#[must_use]
pub fn read_latencies_ms(records: &[Record], from_us: u64, to_us: u64) -> Vec<f64> {
    sorted_short(records, |r| r.kind == Kind::Read && r.end_us >= from_us && r.due_us < to_us)
}

fn sorted_short(records: &[Record], wanted: impl Fn(&Record) -> bool) -> Vec<f64> {
    let short = records.iter().filter(|r| r.kind.is_short() && wanted(r));
    let mut all: Vec<f64> = short.map(Record::latency_ms).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The longest time without success that ended in `from..=to` or lasted until `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Its length in microseconds.
    pub length_us: u64,
    /// When it ended, in microseconds since the load started.
    pub end_us: u64,
    /// No success came before `to`.
    pub open: bool,
}

/// See [`Silence`]. It may have begun before `from`, with the last success before it.
#[must_use]
pub fn longest_silence(records: &[Record], from_us: u64, to_us: u64) -> Silence {
    let mut ends: Vec<u64> =
        records.iter().filter(|r| r.failure().is_none() && r.end_us <= to_us).map(|r| r.end_us).collect();
    ends.sort_unstable();
    let first = ends.partition_point(|end| *end < from_us);
    let mut last = if first > 0 { ends[first - 1] } else { from_us };
    let mut longest = Silence::default();
    for end in &ends[first..] {
        if end - last > longest.length_us {
            longest = Silence { length_us: end - last, end_us: *end, open: false };
        }
        last = *end;
    }
    let tail = to_us.saturating_sub(last);
    if tail > longest.length_us {
        longest = Silence { length_us: tail, end_us: to_us, open: true };
    }
    longest
}

/// `rto_ms`: from the fault to the end of the longest time without success; 0 when no time without success after
/// the fault stands out from calm, that is, is longer than [`SILENCE_FACTOR`] times the longest one of the calm
/// phase and than [`SILENCE_FLOOR_US`]. Without that rule the number would be the moment of the longest of
/// thousands of equal gaps: noise.
#[must_use]
pub fn rto_ms(calm: Silence, event: Silence, at_us: u64) -> f64 {
    let limit = (calm.length_us * SILENCE_FACTOR).max(SILENCE_FLOOR_US);
    if event.length_us > limit { event.end_us.saturating_sub(at_us) as f64 / 1000.0 } else { 0.0 }
}

/// The share of failing requests now, in 0..=1: of those that ended within [`ABORT_WINDOW_US`], and of the short
/// ones that have been open for longer than that, which count as failing: with everything frozen nothing ends.
/// `None` while fewer than 20 say anything.
#[must_use]
pub fn failing_share(
    records: &[Record],
    open: impl Iterator<Item = (u64, Kind)>,
    now_us: u64,
) -> Option<f64> {
    let since = now_us.saturating_sub(ABORT_WINDOW_US);
    let (mut all, mut bad) = (0u32, 0u32);
    // Newest last: records are kept in the order of their ends.
    for record in records.iter().rev().take_while(|r| r.end_us >= since) {
        all += 1;
        bad += u32::from(record.failure().is_some());
    }
    let overdue = open.filter(|(due, kind)| kind.is_short() && *due < since).count() as u32;
    let (all, bad) = (all + overdue, bad + overdue);
    (all >= 20).then(|| f64::from(bad) / f64::from(all))
}

/// One column of the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Requests that ended as expected.
    pub ok: u32,
    /// Requests that failed.
    pub failed: u32,
    /// The slowest short request that ended here, in milliseconds; 0 when none did.
    pub worst_ms: f64,
}

/// What ended when, in columns of [`SLICE_US`], from the start of the load.
#[must_use]
pub fn timeline(records: &[Record], to_us: u64) -> Vec<Slice> {
    // An hour at four columns a second; a longer drill loses its tail from the picture, not from the numbers.
    const SLICES_MAX: u64 = 14_400;
    let count = to_us.div_ceil(SLICE_US).min(SLICES_MAX) as usize;
    let mut slices = vec![Slice::default(); count];
    for record in records {
        let Some(slice) = slices.get_mut((record.end_us / SLICE_US) as usize) else { continue };
        if record.failure().is_some() {
            slice.failed += 1;
        } else {
            slice.ok += 1;
        }
        if record.kind.is_short() {
            slice.worst_ms = slice.worst_ms.max(record.latency_ms());
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide_record::{Failure, Outcome};

    fn record(due_ms: u64, end_ms: u64, ok: bool) -> Record {
        let outcome = if ok { Outcome::Expected } else { Outcome::Failed(Failure::default()) };
        Record { seq: due_ms, kind: Kind::Read, due_us: due_ms * 1000, end_us: end_ms * 1000, outcome }
    }

    fn every(step_ms: usize, from_ms: u64, to_ms: u64, ok: bool) -> Vec<Record> {
        (from_ms..to_ms).step_by(step_ms).map(|at| record(at, at + 1, ok)).collect()
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.99), None);
    }

    #[test]
    fn a_second_without_success_is_the_recovery_time_and_ordinary_gaps_are_not() {
        let mut records = every(10, 0, 5_000, true);
        let calm = longest_silence(&records, 0, 5_000_000);
        records.extend(every(10, 5_000, 20_000, true));
        assert_eq!(rto_ms(calm, longest_silence(&records, 5_000_000, 20_000_000), 5_000_000), 0.0);

        records.retain(|r| r.due_us < 5_200_000 || r.due_us >= 6_200_000);
        let silence = longest_silence(&records, 5_000_000, 20_000_000);
        assert_eq!((silence.length_us, silence.open), (1_010_000, false));
        assert_eq!(rto_ms(calm, silence, 5_000_000), 1_201.0);
    }

    #[test]
    fn a_service_that_never_comes_back_has_a_recovery_time_until_the_end() {
        let mut records = every(10, 0, 5_000, true);
        records.extend(every(10, 5_000, 9_000, false));
        let silence = longest_silence(&records, 5_000_000, 9_000_000);
        assert!(silence.open);
        assert_eq!(rto_ms(longest_silence(&records, 0, 4_990_000), silence, 5_000_000), 4_000.0);
    }

    #[test]
    fn requests_caught_in_flight_by_the_fault_belong_to_the_event() {
        let records = [record(4_900, 5_700, true), record(4_000, 4_001, true), record(6_000, 6_002, true)];
        assert_eq!(short_latencies_ms(&records, 5_000_000, 20_000_000), [2.0, 800.0]);
        // They do not make calm look slow, which would leave the event unjudged.
        assert_eq!(calm_latencies_ms(&records, 5_000_000), [1.0]);
    }

    #[test]
    fn the_abort_limit_sees_failures_and_requests_that_hang_without_an_end() {
        let mut records = every(10, 0, 8_000, true);
        assert_eq!(failing_share(&records, std::iter::empty(), 8_000_000), Some(0.0));
        records.extend(every(10, 8_000, 9_000, false));
        let share = failing_share(&records, std::iter::empty(), 9_000_000).unwrap();
        assert!((0.45..0.55).contains(&share), "{share}");
        // Nothing ends any more: the records are old, 400 short requests hang.
        let hanging = (0..400).map(|n| (9_000_000 + n * 2_500, Kind::Write));
        assert_eq!(failing_share(&records, hanging, 13_000_000), Some(1.0));
        assert_eq!(failing_share(&[], std::iter::empty(), 13_000_000), None);
    }

    #[test]
    fn the_timeline_counts_each_request_where_it_ended() {
        let records =
            [record(0, 10, true), record(0, 260, true), record(240, 270, false), record(0, 9_000, true)];
        let slices = timeline(&records, 500_000);
        assert_eq!(slices[0], Slice { ok: 1, failed: 0, worst_ms: 10.0 });
        assert_eq!(slices[1], Slice { ok: 1, failed: 1, worst_ms: 260.0 });
        assert_eq!(slices.len(), 2);
    }
}
