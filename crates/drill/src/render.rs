//! A verdict as scripts and people read it.

use std::fmt::{self, Write as _};

use model::Verdict;
use serde_json::{Value, json};

use crate::decide_measure::{SLICE_US, Slice};
use crate::decide_record::Kind;
use crate::decide_verdict::P99_CALM_MS;
use crate::run::{Failed, Report, Unknown};

/// Widest timeline in columns; longer drills get wider slices.
const COLUMNS_MAX: usize = 92;
/// Requests and ids listed of each sort.
const LISTED_MAX: usize = 8;
/// Heights of a column.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Upper ends of the first seven heights of the answer times, in milliseconds; the last is the limit of the event.
const STEPS_MS: [f64; 7] = [10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// The verdict as the JSON object that `drill --json` ends with: the fields that scripts may rely on, and every
/// other field of [`Verdict`] beside them. What was not measured is `null`.
#[must_use]
pub fn to_json(verdict: &Verdict) -> Value {
    // A struct of numbers and texts always becomes an object; a value that somehow does not is passed on as it is.
    let mut value = serde_json::to_value(verdict).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("kind".to_owned(), json!("verdict"));
        fields.insert("format_version".to_owned(), json!(1));
    }
    value
}

/// What the command `drill` ends with: 0 the objectives held, 4 one was missed, 5 the safety limit stopped it, 1 not
/// run or not measured.
#[must_use]
pub fn exit_code(verdict: &Verdict) -> u8 {
    match (&verdict.aborted, verdict.objectives_met) {
        (Some(_), _) => 5,
        (None, Some(true)) => 0,
        (None, Some(false)) => 4,
        (None, None) => 1,
    }
}

/// The report for a terminal: the verdict, the numbers, a small picture of the time, and what went wrong. The
/// meaning never rests on the colour.
#[must_use]
pub fn render(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    // Writing into a `String` cannot fail.
    let _ = write_report(&mut out, report, colour);
    out
}

/// The verdict of a database drill for a terminal.
#[must_use]
pub fn render_database(verdict: &Verdict, colour: bool) -> String {
    let mut out = String::new();
    // Writing into a `String` cannot fail.
    let _ = write_database(&mut out, verdict, colour);
    out
}

fn write_database(out: &mut String, v: &Verdict, colour: bool) -> fmt::Result {
    writeln!(out, "{} {}: {}", v.fault, v.target, headline(v, colour))?;
    if let Some(why) = &v.not_run {
        return writeln!(out, "  {why}");
    }
    writeln!(
        out,
        "  {} statements, {} went wrong, {} of these on their way when it struck",
        count(v.requests),
        count(v.failed),
        count(v.unsavable)
    )?;
    writeln!(
        out,
        "  {} acknowledged writes, {} lost; {} stale reads",
        count(v.acked_writes),
        count(v.lost_writes),
        count(v.stale_reads)
    )?;
    writeln!(out, "  writes: p50 {}, p99 {}, slowest {}", ms(v.p50_ms), ms(v.p99_ms), ms(v.max_ms))?;
    writeln!(
        out,
        "  without an acknowledged write (rto): {}; every node well again after {}",
        ms(v.rto_ms),
        ms(v.full_count_ms)
    )?;
    v.missed.iter().try_for_each(|missed| writeln!(out, "missed: {missed}"))
}

fn write_report(out: &mut String, report: &Report, colour: bool) -> fmt::Result {
    let verdict = &report.verdict;
    writeln!(out, "{} {}: {}", verdict.fault, verdict.target, headline(verdict, colour))?;
    if let Some(why) = &verdict.not_run {
        return writeln!(out, "  {why}");
    }
    numbers(out, report)?;
    picture(out, report)?;
    for missed in &verdict.missed {
        writeln!(out, "missed: {missed}")?;
    }
    let savable: Vec<&Failed> = report.failures.iter().filter(|f| f.excuse.is_none()).collect();
    let excused: Vec<&Failed> = report.failures.iter().filter(|f| f.excuse.is_some()).collect();
    failures(out, "failed, could have been saved", &savable)?;
    failures(out, "failed, nobody could have saved them", &excused)?;
    ids(out, "acknowledged and lost", &report.lost_ids)?;
    ids(out, "carried out more than once", &report.doubled_ids)?;
    if report.damaged_lines > 0 {
        writeln!(out, "{} journal lines could not be read", report.damaged_lines)?;
    }
    Ok(())
}

fn headline(verdict: &Verdict, colour: bool) -> String {
    let (text, code) = match (&verdict.not_run, &verdict.aborted, verdict.objectives_met) {
        (Some(_), ..) => ("not run", "33"),
        (_, Some(_), _) => ("stopped by its safety limit", "31"),
        (_, _, Some(true)) => ("objectives met", "32"),
        (_, _, Some(false)) => ("objectives missed", "31"),
        (_, _, None) => ("not passed: effects were not counted", "33"),
    };
    if colour { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn numbers(out: &mut String, report: &Report) -> fmt::Result {
    let v = &report.verdict;
    writeln!(
        out,
        "  {} requests, {} failed, {} of these unsavable; {} sent to a second front",
        count(v.requests),
        count(v.failed),
        count(v.unsavable),
        report.second_front
    )?;
    writeln!(
        out,
        "  {} acknowledged writes, {} lost, {} carried out more than once",
        count(v.acked_writes),
        count(v.lost_writes),
        count(v.double_effects)
    )?;
    if let Some(again) = report.orders_again_ms {
        writeln!(
            out,
            "  the primary of the orders was hit; they went through again after {}",
            ms(Some(again))
        )?;
    }
    let Unknown { orders, done } = report.unknown;
    if orders > 0 {
        let s = if orders == 1 { "" } else { "s" };
        writeln!(out, "  {orders} order{s} of unknown outcome, looked up afterwards: {done} carried out")?;
    }
    let judged =
        if v.calm_p99_ms.is_some_and(|calm| calm >= P99_CALM_MS) { ", too slow to judge" } else { "" };
    writeln!(
        out,
        "  short requests: p50 {}, p99 {}, slowest {}; p99 in calm {}{judged}",
        ms(v.p50_ms),
        ms(v.p99_ms),
        ms(v.max_ms),
        ms(v.calm_p99_ms)
    )?;
    writeln!(
        out,
        "  without success (rto): {}; last failure after {}; full count after {}",
        ms(v.rto_ms),
        ms(v.failed_after_ms),
        ms(v.full_count_ms)
    )
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| "(not measured)".to_owned(), |n| n.to_string())
}

fn ms(value: Option<f64>) -> String {
    match value {
        None => "(not measured)".to_owned(),
        Some(ms) if ms >= 100.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

/// Three rows over time: successes, failures, the slowest short request of each column.
fn picture(out: &mut String, report: &Report) -> fmt::Result {
    if report.timeline.is_empty() {
        return Ok(());
    }
    let merged = report.timeline.len().div_ceil(COLUMNS_MAX);
    let columns: Vec<Slice> = report.timeline.chunks(merged).map(merge).collect();
    let slice_ms = SLICE_US as f64 / 1000.0 * merged as f64;
    let most = columns.iter().map(|c| c.ok).max().unwrap_or(0).max(1);
    let bar = |c: &Slice| if c.ok == 0 { ' ' } else { BARS[(c.ok * 7 / most) as usize] };
    let failed = |c: &Slice| match c.failed {
        0 => '.',
        n @ 1..=9 => char::from_digit(n, 10).unwrap_or('#'),
        _ => '#',
    };
    let worst = |c: &Slice| match STEPS_MS.iter().position(|step| c.worst_ms <= *step) {
        _ if c.worst_ms == 0.0 => ' ',
        Some(step) => BARS[step],
        None => BARS[7],
    };
    writeln!(out)?;
    writeln!(out, "  ok      {}", columns.iter().map(bar).collect::<String>().trim_end())?;
    writeln!(out, "  failed  {}", columns.iter().map(failed).collect::<String>())?;
    writeln!(out, "  slowest {}", columns.iter().map(worst).collect::<String>().trim_end())?;
    let at = |ms: f64| ((ms / slice_ms) as usize).min(columns.len().saturating_sub(1));
    let (fault, healed) = (at(report.fault_at_ms), at(report.healed_at_ms));
    let mut marks = format!("{}^ fault", " ".repeat(fault));
    if healed > fault + "^ fault".len() {
        let gap = healed - marks.chars().count();
        let _ = write!(marks, "{}^ healed", " ".repeat(gap));
    }
    writeln!(out, "          {marks}")?;
    writeln!(
        out,
        "  a column is {slice_ms:.0} ms; slowest: ▁ 10 ms ▂ 25 ▃ 50 ▄ 100 ▅ 250 ▆ 500 ▇ 1000 █ more"
    )?;
    writeln!(out)
}

fn merge(slices: &[Slice]) -> Slice {
    let add = |sum: Slice, next: &Slice| Slice {
        ok: sum.ok + next.ok,
        failed: sum.failed + next.failed,
        worst_ms: sum.worst_ms.max(next.worst_ms),
    };
    slices.iter().fold(Slice::default(), add)
}

fn failures(out: &mut String, title: &str, list: &[&Failed]) -> fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title} ({}):", list.len())?;
    for failed in list.iter().take(LISTED_MAX) {
        let method = if failed.kind == Kind::Write { "POST" } else { "GET" };
        let excuse = failed.excuse.map(|e| format!("; {e}")).unwrap_or_default();
        writeln!(out, "  {} {method} at {:+.0} ms: {}{excuse}", failed.id, failed.due_ms, failed.why)?;
    }
    more(out, list.len())
}

fn ids(out: &mut String, title: &str, list: &[String]) -> fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title} ({}):", list.len())?;
    for id in list.iter().take(LISTED_MAX) {
        writeln!(out, "  {id}")?;
    }
    more(out, list.len())
}

fn more(out: &mut String, count: usize) -> fmt::Result {
    if count > LISTED_MAX { writeln!(out, "  and {} more", count - LISTED_MAX) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::{Fault, FaultKind, FaultTarget};

    use super::*;
    use crate::decide_verdict::not_run;

    fn report() -> Report {
        let fault = Fault { target: FaultTarget::Zone, kind: FaultKind::Kill };
        let verdict = Verdict {
            not_run: None,
            requests: Some(9_200),
            failed: Some(2),
            unsavable: Some(2),
            unsavable_ids: vec!["drill-1-7".into(), "drill-1-9".into()],
            second_front: None,
            double_effects: Some(0),
            failed_after_ms: Some(31.25),
            p50_ms: Some(1.94),
            p99_ms: Some(36.5),
            max_ms: Some(411.2),
            calm_p99_ms: Some(6.04),
            rto_ms: Some(0.0),
            full_count_ms: Some(2104.0),
            acked_writes: Some(1_838),
            lost_writes: Some(0),
            objectives_met: Some(true),
            ..not_run(fault, "b", 1_700_000_000_000, String::new())
        };
        let slice = |n: usize| Slice {
            ok: if n == 20 { 70 } else { 100 },
            failed: if n == 20 { 2 } else { 0 },
            worst_ms: if n == 20 { 411.2 } else { 6.0 },
        };
        let excuse = Some("its body had been sent to a front that was hit");
        let failed = |id: &str, due_ms: f64| Failed {
            id: id.to_owned(),
            kind: Kind::Write,
            due_ms,
            why: "the connection ended before the answer".to_owned(),
            excuse,
        };
        Report {
            failures: vec![failed("drill-1-7", -6.0), failed("drill-1-9", -1.2)],
            timeline: (0..92).map(slice).collect(),
            fault_at_ms: 5_003.0,
            healed_at_ms: 20_010.0,
            second_front: 41,
            journals: 7,
            ..Report::without(verdict)
        }
    }

    #[track_caller]
    fn check(report: &Report, expect: Expect) {
        expect.assert_eq(&render(report, false));
    }

    #[test]
    fn a_zone_that_was_lost_without_harm() {
        check(
            &report(),
            expect![[r#"
            zone/kill b: objectives met
              9200 requests, 2 failed, 2 of these unsavable; 41 sent to a second front
              1838 acknowledged writes, 0 lost, 0 carried out more than once
              short requests: p50 1.9 ms, p99 36.5 ms, slowest 411 ms; p99 in calm 6.0 ms
              without success (rto): 0.0 ms; last failure after 31.2 ms; full count after 2104 ms

              ok      ████████████████████▅███████████████████████████████████████████████████████████████████████
              failed  ....................2.......................................................................
              slowest ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▆▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
                                          ^ fault                                                     ^ healed
              a column is 250 ms; slowest: ▁ 10 ms ▂ 25 ▃ 50 ▄ 100 ▅ 250 ▆ 500 ▇ 1000 █ more

            failed, nobody could have saved them (2):
              drill-1-7 POST at -6 ms: the connection ended before the answer; its body had been sent to a front that was hit
              drill-1-9 POST at -1 ms: the connection ended before the answer; its body had been sent to a front that was hit
        "#]],
        );
    }

    #[test]
    fn orders_whose_outcome_nobody_knew_were_looked_up() {
        let mut report = report();
        (report.orders_again_ms, report.unknown) = (Some(1_720.0), Unknown { orders: 3, done: 2 });
        let text = render(&report, false);
        let line = |start: &str| text.lines().any(|line| line == format!("  {start}"));
        assert!(line("the primary of the orders was hit; they went through again after 1720 ms"), "{text}");
        assert!(line("3 orders of unknown outcome, looked up afterwards: 2 carried out"), "{text}");
    }

    #[test]
    fn a_missed_objective_says_what_and_which() {
        let mut report = report();
        let verdict = &mut report.verdict;
        verdict.objectives_met = Some(false);
        (verdict.unsavable, verdict.double_effects) = (Some(1), Some(1));
        verdict.missed = vec![
            "1 request that could have been saved failed".into(),
            "1 write was carried out more than once".into(),
        ];
        report.failures[1].excuse = None;
        report.doubled_ids = vec!["drill-1-9".into()];
        report.timeline.truncate(6);
        (report.fault_at_ms, report.healed_at_ms) = (500.0, 1_400.0);
        check(
            &report,
            expect![[r#"
            zone/kill b: objectives missed
              9200 requests, 2 failed, 1 of these unsavable; 41 sent to a second front
              1838 acknowledged writes, 0 lost, 1 carried out more than once
              short requests: p50 1.9 ms, p99 36.5 ms, slowest 411 ms; p99 in calm 6.0 ms
              without success (rto): 0.0 ms; last failure after 31.2 ms; full count after 2104 ms

              ok      ██████
              failed  ......
              slowest ▁▁▁▁▁▁
                        ^ fault
              a column is 250 ms; slowest: ▁ 10 ms ▂ 25 ▃ 50 ▄ 100 ▅ 250 ▆ 500 ▇ 1000 █ more

            missed: 1 request that could have been saved failed
            missed: 1 write was carried out more than once
            failed, could have been saved (1):
              drill-1-9 POST at -1 ms: the connection ended before the answer
            failed, nobody could have saved them (1):
              drill-1-7 POST at -6 ms: the connection ended before the answer; its body had been sent to a front that was hit
            carried out more than once (1):
              drill-1-9
        "#]],
        );
    }

    #[test]
    fn what_was_not_run_or_not_measured_has_not_passed() {
        let fault = Fault { target: FaultTarget::Zone, kind: FaultKind::Cut };
        let why = "a cut needs root: packets are dropped between network namespaces".to_owned();
        let verdict = not_run(fault, "b", 1_700_000_000_000, why);
        assert_eq!(exit_code(&verdict), 1);
        check(
            &Report::without(verdict),
            expect![[r#"
            zone/cut b: not run
              a cut needs root: packets are dropped between network namespaces
        "#]],
        );

        let mut unmeasured = report();
        unmeasured.verdict.objectives_met = None;
        (unmeasured.verdict.lost_writes, unmeasured.verdict.double_effects) = (None, None);
        unmeasured.verdict.full_count_ms = None;
        unmeasured.timeline.clear();
        unmeasured.failures.clear();
        unmeasured.verdict.calm_p99_ms = Some(71.0);
        assert_eq!(exit_code(&unmeasured.verdict), 1);
        check(
            &unmeasured,
            expect![[r#"
                zone/kill b: not passed: effects were not counted
                  9200 requests, 2 failed, 2 of these unsavable; 41 sent to a second front
                  1838 acknowledged writes, (not measured) lost, (not measured) carried out more than once
                  short requests: p50 1.9 ms, p99 36.5 ms, slowest 411 ms; p99 in calm 71.0 ms, too slow to judge
                  without success (rto): 0.0 ms; last failure after 31.2 ms; full count after (not measured)
            "#]],
        );
    }

    #[test]
    fn scripts_find_every_promised_field_and_null_for_what_was_not_measured() {
        let value = to_json(&report().verdict);
        let promised = "kind fault requests failed unsavable double_effects failed_after_ms p50_ms p99_ms max_ms rto_ms \
                        acked_writes lost_writes stale_reads objectives_met format_version";
        for field in promised.split_whitespace() {
            assert!(value.get(field).is_some(), "{field}");
        }
        assert_eq!(value["kind"], "verdict");
        assert_eq!(value["fault"], "zone/kill");
        assert_eq!(value["stale_reads"], Value::Null);
    }

    #[test]
    fn the_exit_code_tells_a_missed_objective_from_a_stopped_drill() {
        let mut verdict = report().verdict;
        assert_eq!(exit_code(&verdict), 0);
        verdict.objectives_met = Some(false);
        assert_eq!(exit_code(&verdict), 4);
        verdict.aborted = Some("34 % of the requests failed; the limit is 20 %".into());
        assert_eq!(exit_code(&verdict), 5);
    }

    #[test]
    fn an_hour_of_drill_still_fits_the_terminal() {
        let mut report = report();
        report.timeline = vec![Slice { ok: 5, failed: 0, worst_ms: 2.0 }; 14_400];
        (report.fault_at_ms, report.healed_at_ms) = (60_000.0, 3_600_000.0);
        let text = render(&report, false);
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}
