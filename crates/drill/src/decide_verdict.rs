//! From everything measured to a [`Verdict`]: which objectives held, one sentence for each that did not.

use model::{Fault, FaultTarget, Objectives, Verdict};

use crate::decide_judge::unsavable;
use crate::decide_measure::{
    Silence, calm_latencies_ms, longest_silence, quantile, read_latencies_ms, rto_ms, short_latencies_ms,
};
use crate::decide_record::{FaultFacts, Kind, Record};

/// The 99th percentile of the short requests over the event may be this long ...
pub const P99_EVENT_MS: f64 = 1000.0;
/// ... where it is shorter than this in calm: a machine that is slow without a fault says nothing about one.
pub const P99_CALM_MS: f64 = 50.0;

/// What the journals say about the writes of this run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Ids that were acknowledged and are in no journal.
    pub lost: Vec<String>,
    /// Ids that were carried out more than once, acknowledged or not.
    pub doubled: Vec<String>,
}

/// Everything a verdict is made from.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// What was broken.
    pub fault: Fault,
    /// Which one, for people.
    pub target: &'a str,
    /// Unix time of the fault in milliseconds.
    pub at_ms: u64,
    /// What was hit, and when.
    pub facts: &'a FaultFacts,
    /// Every request of the run, in the order of their ends.
    pub records: &'a [Record],
    /// End of the event (before healing), in microseconds since the load started.
    pub event_end_us: u64,
    /// End of the whole run.
    pub end_us: u64,
    /// From the journals; `None` when there were none to read.
    pub effects: Option<&'a Effects>,
    /// From the fault until the full count was back; `None` when it was not watched or did not come back.
    pub full_count_ms: Option<f64>,
    /// Why the safety limit stopped the run.
    pub aborted: Option<String>,
    /// What the user promised.
    pub objectives: &'a Objectives,
}

/// The verdict. `ids` turns a place in the schedule into the unique id of the request.
#[must_use]
pub fn verdict(measured: &Measured<'_>, ids: impl Fn(u64) -> String) -> Verdict {
    let records = measured.records;
    let at = measured.facts.at_us;
    let failures = || records.iter().filter(|r| r.failure().is_some());
    let excused: Vec<&Record> = failures().filter(|r| unsavable(r, measured.facts).is_some()).collect();
    let failed = failures().count() as u64;
    let calm = longest_silence(records, 0, at);
    let event = longest_silence(records, at, measured.end_us);
    let short = short_latencies_ms(records, at, measured.event_end_us);
    let acked = records.iter().filter(|r| r.kind == Kind::Write && r.failure().is_none()).count() as u64;
    let last_failure = failures().map(|r| r.end_us).max();

    let mut verdict = Verdict {
        fault: measured.fault,
        target: measured.target.to_owned(),
        at_ms: measured.at_ms,
        not_run: None,
        aborted: measured.aborted.clone(),
        requests: Some(records.len() as u64),
        failed: Some(failed),
        unsavable: Some(excused.len() as u64),
        unsavable_ids: excused.iter().map(|r| ids(r.seq)).collect(),
        second_front: None,
        double_effects: measured.effects.map(|e| e.doubled.len() as u64),
        failed_after_ms: Some(last_failure.map_or(0.0, |end| end.saturating_sub(at) as f64 / 1000.0)),
        p50_ms: quantile(&short, 0.5),
        p99_ms: quantile(&short, 0.99),
        max_ms: short.last().copied(),
        calm_p99_ms: quantile(&calm_latencies_ms(records, at), 0.99),
        rto_ms: Some(rto_ms(calm, event, at)),
        full_count_ms: measured.full_count_ms,
        acked_writes: Some(acked),
        lost_writes: measured.effects.map(|e| e.lost.len() as u64),
        // Nothing of this version reads back what it wrote; not measured is never 0.
        stale_reads: None,
        objectives_met: None,
        missed: Vec::new(),
    };
    judge(&mut verdict, measured, event);
    verdict
}

/// The verdict about a fault that could not be carried out: nothing was measured and nothing passed.
#[must_use]
pub fn not_run(fault: Fault, target: &str, at_ms: u64, why: String) -> Verdict {
    Verdict {
        fault,
        target: target.to_owned(),
        at_ms,
        not_run: Some(why),
        aborted: None,
        requests: None,
        failed: None,
        unsavable: None,
        unsavable_ids: Vec::new(),
        second_front: None,
        double_effects: None,
        failed_after_ms: None,
        p50_ms: None,
        p99_ms: None,
        max_ms: None,
        calm_p99_ms: None,
        rto_ms: None,
        full_count_ms: None,
        acked_writes: None,
        lost_writes: None,
        stale_reads: None,
        objectives_met: None,
        missed: Vec::new(),
    }
}

/// Fills `missed` and `objectives_met`. An effect count that was not measured leaves the whole unmeasured, unless
/// something else already failed: what nobody looked at has not passed.
fn judge(verdict: &mut Verdict, measured: &Measured<'_>, event: Silence) {
    let mut missed = Vec::new();
    if let Some(why) = &verdict.aborted {
        missed.push(format!("stopped by its safety limit: {why}"));
    }
    let savable = verdict.failed.unwrap_or(0) - verdict.unsavable.unwrap_or(0);
    if savable > 0 {
        let first = first_savable(measured).unwrap_or_default();
        missed.push(format!("{savable} {} that could have been saved failed: {first}", requests(savable)));
    }
    if let Some(lost) = verdict.lost_writes.filter(|n| *n > 0) {
        missed
            .push(format!("{lost} acknowledged {} lost", if lost == 1 { "write is" } else { "writes are" }));
    }
    if let Some(doubled) = verdict.double_effects.filter(|n| *n > 0) {
        let writes = if doubled == 1 { "write was" } else { "writes were" };
        missed.push(format!("{doubled} {writes} carried out more than once"));
    }
    missed.extend(slow_in_calm(verdict, measured));
    missed.extend(slow(verdict, measured));
    missed.extend(unrecovered(verdict, measured, event));
    missed.extend(orders_stopped(measured));
    verdict.objectives_met = match (missed.is_empty(), measured.effects) {
        (false, _) => Some(false),
        (true, Some(_)) => Some(true),
        (true, None) => None,
    };
    verdict.missed = missed;
}

/// What is known of the first failure that counts.
fn first_savable(measured: &Measured<'_>) -> Option<String> {
    let first = measured.records.iter().filter(|r| r.failure().is_some());
    let first = first.filter(|r| unsavable(r, measured.facts).is_none()).min_by_key(|r| r.due_us)?;
    let ms = (first.due_us as f64 - measured.facts.at_us as f64) / 1000.0;
    let what = match first.kind {
        Kind::Read => "a read",
        Kind::Write => "an order",
        Kind::Slow => "a slow read",
    };
    let when = if ms < 0.0 { "before" } else { "after" };
    Some(format!("{what} due {:.1} ms {when} the fault, {}", ms.abs(), first.failure()?.why))
}

fn requests(count: u64) -> &'static str {
    if count == 1 { "request" } else { "requests" }
}

/// The time to an answer that the file promises, before the fault: what that costs is judged by itself.
fn slow_in_calm(verdict: &Verdict, measured: &Measured<'_>) -> Option<String> {
    let (limit, calm) = (measured.objectives.latency.as_ref()?.p99.0, verdict.calm_p99_ms?);
    (calm > limit as f64).then(|| {
        format!(
            "p99 of the short requests before the fault was {calm:.1} ms; `latency.p99` allows {limit} ms"
        )
    })
}

/// Orders that wait for another primary are slow by nature: then reads alone are judged, and orders by how long none went
/// through.
fn slow(verdict: &Verdict, measured: &Measured<'_>) -> Option<String> {
    let (calm, mut event, mut whose) = (verdict.calm_p99_ms?, verdict.p99_ms?, "short requests");
    if measured.facts.primary {
        let reads = read_latencies_ms(measured.records, measured.facts.at_us, measured.event_end_us);
        (event, whose) = (quantile(&reads, 0.99)?, "reads");
    }
    (calm < P99_CALM_MS && event > P99_EVENT_MS).then(|| {
        format!("p99 of the {whose} over the event was {event:.0} ms; it may be {P99_EVENT_MS:.0} ms")
    })
}

/// The recovery time of orders, where the primary of their database was hit.
fn orders_stopped(measured: &Measured<'_>) -> Option<String> {
    if !measured.facts.primary {
        return None;
    }
    let Some(again) = measured.facts.orders_again_us else {
        return Some("no order went through any more".to_owned());
    };
    let ms = again.saturating_sub(measured.facts.at_us) / 1000;
    let (limit, scope) = promised(measured)?;
    (ms > limit).then(|| format!("orders went through again after {ms} ms; `rto.{scope}` allows {limit} ms"))
}

/// What the file promises of this fault, in milliseconds.
fn promised(measured: &Measured<'_>) -> Option<(u64, &'static str)> {
    let rto = measured.objectives.rto;
    match (measured.fault.target, rto.node) {
        (FaultTarget::Process | FaultTarget::Front | FaultTarget::Primary, Some(node)) => {
            Some((node.0, "node"))
        }
        _ => Some((rto.zone?.0, "zone")),
    }
}

/// The recovery time objective: of the zone for a zone, of the node for a replica or a front, of the zone where
/// only that is promised.
fn unrecovered(verdict: &Verdict, measured: &Measured<'_>, event: Silence) -> Option<String> {
    let rto = verdict.rto_ms?;
    if event.open && rto > 0.0 {
        return Some(format!("no request succeeded any more: {rto:.0} ms without success at the end"));
    }
    let (limit, scope) = promised(measured)?;
    (rto > limit as f64)
        .then(|| format!("service was back after {rto:.0} ms; `rto.{scope}` allows {limit} ms"))
}

#[cfg(test)]
mod tests {
    use model::{Duration, FaultKind};

    use super::*;
    use crate::decide_record::{Failure, Outcome};

    const AT: u64 = 5_000_000;

    fn calm_run() -> Vec<Record> {
        let kind = |n: u64| if n.is_multiple_of(5) { Kind::Write } else { Kind::Read };
        let due = |n: u64| n * 10_000;
        let ok = |n| Record {
            seq: n,
            kind: kind(n),
            due_us: due(n),
            end_us: due(n) + 2_000,
            outcome: Outcome::Expected,
        };
        (0..2_000).map(ok).collect()
    }

    fn judged(records: &[Record], effects: Option<&Effects>, objectives: &Objectives) -> Verdict {
        judged_with(records, effects, objectives, FaultFacts::default())
    }

    fn judged_with(
        records: &[Record],
        effects: Option<&Effects>,
        objectives: &Objectives,
        facts: FaultFacts,
    ) -> Verdict {
        let units = ["web-2".to_owned()].into();
        let facts = FaultFacts { at_us: AT, fronts: [1].into(), units, ..facts };
        let measured = Measured {
            fault: Fault { target: FaultTarget::Zone, kind: FaultKind::Kill },
            target: "b",
            at_ms: 1_700_000_000_000,
            facts: &facts,
            records,
            event_end_us: 19_000_000,
            end_us: 20_000_000,
            effects,
            full_count_ms: Some(2_100.0),
            aborted: None,
            objectives,
        };
        verdict(&measured, |seq| format!("id-{seq}"))
    }

    fn fail(records: &mut [Record], seq: u64, end_us: u64, edit: impl FnOnce(&mut Failure)) {
        let record = records.iter_mut().find(|r| r.seq == seq).unwrap();
        let mut failure = Failure { front: Some(1), sent_us: Some(record.due_us), ..Failure::default() };
        edit(&mut failure);
        record.end_us = end_us;
        record.outcome = Outcome::Failed(failure);
    }

    #[test]
    fn an_event_without_a_savable_failure_meets_the_objectives() {
        let mut records = calm_run();
        fail(&mut records, 500, AT + 9_000, |f| f.body_sent = true);
        let verdict = judged(&records, Some(&Effects::default()), &Objectives::default());
        assert_eq!((verdict.failed, verdict.unsavable), (Some(1), Some(1)));
        assert_eq!(verdict.unsavable_ids, ["id-500"]);
        assert_eq!(verdict.failed_after_ms, Some(9.0));
        assert_eq!(verdict.rto_ms, Some(0.0));
        assert_eq!((verdict.objectives_met, verdict.missed), (Some(true), vec![]));
    }

    #[test]
    fn one_post_that_fails_two_seconds_after_the_fault_turns_it_red() {
        let mut records = calm_run();
        fail(&mut records, 700, AT + 2_300_000, |f| f.body_sent = true);
        let verdict = judged(&records, Some(&Effects::default()), &Objectives::default());
        assert_eq!((verdict.failed, verdict.unsavable), (Some(1), Some(0)));
        assert_eq!(verdict.objectives_met, Some(false));
        let missed = "1 request that could have been saved failed: an order due";
        assert!(verdict.missed[0].starts_with(missed), "{:?}", verdict.missed);
    }

    #[test]
    fn lost_and_doubled_writes_turn_it_red() {
        let effects = Effects { lost: vec!["id-5".into()], doubled: vec!["id-10".into(), "id-15".into()] };
        let verdict = judged(&calm_run(), Some(&effects), &Objectives::default());
        assert_eq!(verdict.objectives_met, Some(false));
        assert_eq!(
            verdict.missed,
            ["1 acknowledged write is lost", "2 writes were carried out more than once"]
        );
    }

    #[test]
    fn effects_that_nobody_counted_have_not_passed() {
        let verdict = judged(&calm_run(), None, &Objectives::default());
        assert_eq!((verdict.double_effects, verdict.lost_writes), (None, None));
        assert_eq!(verdict.objectives_met, None);
    }

    #[test]
    fn a_slow_event_is_red_only_where_calm_is_fast() {
        let slow_down = |records: &mut Vec<Record>, from: u64, by: u64| {
            records
                .iter_mut()
                .filter(|r| r.due_us >= from && r.due_us < AT + 2_000_000)
                .for_each(|r| r.end_us += by);
        };
        let mut records = calm_run();
        slow_down(&mut records, AT, 1_500_000);
        let verdict = judged(&records, Some(&Effects::default()), &Objectives::default());
        assert_eq!(
            verdict.missed,
            ["p99 of the short requests over the event was 1502 ms; it may be 1000 ms"]
        );
        let mut slow_anyway = calm_run();
        slow_down(&mut slow_anyway, 0, 1_500_000);
        assert_eq!(judged(&slow_anyway, Some(&Effects::default()), &Objectives::default()).missed, [""; 0]);
    }

    #[test]
    fn the_promised_time_to_an_answer_is_judged_in_calm() {
        let records = calm_run();
        let missed = |p99: u64| {
            let service = model::ServiceName::new("web").unwrap();
            let latency = Some(model::Latency { service, p99: Duration(p99), load: None });
            let objectives = Objectives { latency, ..Objectives::default() };
            judged(&records, Some(&Effects::default()), &objectives).missed
        };
        assert_eq!(missed(2), [""; 0]);
        assert_eq!(
            missed(1),
            ["p99 of the short requests before the fault was 2.0 ms; `latency.p99` allows 1 ms"]
        );
    }

    #[test]
    fn orders_that_wait_for_another_primary_are_judged_by_how_long_none_went_through() {
        let mut records = calm_run();
        let waits = |r: &&mut Record| r.kind == Kind::Write && (AT..AT + 2_500_000).contains(&r.due_us);
        records.iter_mut().filter(waits).for_each(|r| r.end_us = r.end_us.max(AT + 2_500_000));
        let mut objectives = Objectives::default();
        let facts =
            FaultFacts { primary: true, orders_again_us: Some(AT + 2_500_000), ..FaultFacts::default() };
        let missed = |objectives: &Objectives, facts: &FaultFacts| {
            judged_with(&records, Some(&Effects::default()), objectives, facts.clone()).missed
        };
        assert_eq!(missed(&objectives, &facts), [""; 0]);
        objectives.rto.zone = Some(Duration(2_000));
        assert_eq!(
            missed(&objectives, &facts),
            ["orders went through again after 2500 ms; `rto.zone` allows 2000 ms"]
        );
        let never = FaultFacts { orders_again_us: None, ..facts.clone() };
        assert_eq!(missed(&Objectives::default(), &never), ["no order went through any more"]);
        // Nobody hit a primary: slow orders are slow.
        let other = FaultFacts { primary: false, ..facts };
        assert_eq!(missed(&Objectives::default(), &other).len(), 1);
    }

    #[test]
    fn the_recovery_time_is_held_against_the_promise() {
        let mut records = calm_run();
        records.retain(|r| r.due_us < AT || r.due_us >= AT + 2_000_000);
        let mut objectives = Objectives::default();
        let met = judged(&records, Some(&Effects::default()), &objectives);
        assert_eq!((met.rto_ms, met.objectives_met), (Some(2_002.0), Some(true)));
        objectives.rto.zone = Some(Duration(1_000));
        let missed = judged(&records, Some(&Effects::default()), &objectives);
        assert_eq!(missed.missed, ["service was back after 2002 ms; `rto.zone` allows 1000 ms"]);
    }
}
