//! `bench drills`: every fault, round after round, judged against what was promised.
//!
//! The victim's zone changes from round to round: the one that was broken least often, and among those the one whose
//! agent leads, which is the worst to lose. A round begins when everything is healthy and evenly spread again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Options;
use super::machine::{self, Busy};
use super::report::{Report, Row};
use super::site::{self, Picture, STEADY, Site};
use crate::install;
use crate::run::say;

const ROUNDS: usize = 3;
/// Length of the event when none is given.
const SECONDS: u64 = 15;
/// What every drill is run with.
const RATE: &str = "400";
/// Everything is in place again within this after a drill.
const HEAL_LIMIT: Duration = Duration::from_secs(120);
/// p99 over the event stays at or below this.
const P99_MAX_MS: f64 = 1_000.0;
/// Only then are the requests the short ones that were promised something.
const CALM_P99_MAX_MS: f64 = 50.0;
/// The full count is back within this after the loss of a zone.
const FULL_COUNT_MAX_MS: f64 = 5_000.0;

const CASES: &[&str] =
    &["zone/kill", "zone/freeze", "process/kill", "process/freeze", "front/kill", "front/freeze", "zone/cut"];

/// Fields of a verdict that are shown, and their units.
const FIELDS: &[(&str, &str, &str)] = &[
    ("unsavable", "unsavable", "requests"),
    ("double effects", "double_effects", "orders"),
    ("lost writes", "lost_writes", "orders"),
    ("calm p99", "calm_p99_ms", "ms"),
    ("p50", "p50_ms", "ms"),
    ("p99", "p99_ms", "ms"),
    ("max", "max_ms", "ms"),
    ("rto", "rto_ms", "ms"),
    ("full count", "full_count_ms", "ms"),
    ("second front", "second_front", "requests"),
];

/// Measures every case; see the module. Each case has a run of its own, so that one which does not heal spoils no
/// other.
pub(super) fn drills(options: &Options, report: &mut Report) -> Result<()> {
    let chosen = options.choose(CASES)?;
    site::build()?;
    let wanted = options.rounds.unwrap_or(ROUNDS);
    for case in chosen {
        let cut = case.ends_with("/cut");
        if cut && !install::is_root() {
            say("a cut needs network namespaces, and those need root: not run");
            judge(case, &Measured::default(), None, report);
            continue;
        }
        let flags: &[&str] = if cut { &["--isolate"] } else { &[] };
        let mut measured = Measured::default();
        let outcome =
            site::with(&[], flags, options.keep, |site| rounds(site, case, wanted, options, &mut measured));
        if let Err(error) = outcome {
            say(&format!("{case}: {error:#}"));
        }
        judge(case, &measured, Some(wanted), report);
    }
    Ok(())
}

/// What the rounds of one case gave, also when one of them could not be brought to its end.
#[derive(Debug, Default)]
struct Measured {
    verdicts: Vec<Value>,
    /// From the end of each drill until everything was healthy and evenly spread, in seconds.
    whole_s: Vec<f64>,
}

fn rounds(site: &Site, case: &str, wanted: usize, options: &Options, measured: &mut Measured) -> Result<()> {
    let replicas = site.picture()?.replicas().count();
    let mut picture = site.whole(replicas, HEAL_LIMIT)?;
    let mut broken = Vec::new();
    for round in 0..wanted {
        let zone = zone_of(&picture, &broken)?;
        let victim = victim(case, &zone, &picture)?;
        broken.push(zone);
        let seconds = options.seconds.unwrap_or(SECONDS);
        measured.verdicts.push(drill(site, case, round, &victim, seconds)?);
        let ended = Instant::now();
        picture = site.whole(replicas, HEAL_LIMIT)?;
        // It was so all the while that it had to stay so.
        measured.whole_s.push(ended.elapsed().saturating_sub(STEADY).as_secs_f64());
    }
    Ok(())
}

/// The zone that this round breaks, or breaks something in; see the module.
fn zone_of(round: &Picture, broken: &[String]) -> Result<String> {
    let times = |zone: &str| broken.iter().filter(|one| *one == zone).count();
    let leads = |zone: &str| round.leader.as_deref() == Some(zone);
    let zones = round.zones.iter().map(|(zone, _)| zone);
    zones.min_by_key(|zone| (times(zone), !leads(zone))).cloned().context("there is no zone to break")
}

/// What is broken in the zone.
fn victim(case: &str, zone: &str, picture: &Picture) -> Result<String> {
    if case.starts_with("zone") {
        return Ok(zone.to_owned());
    }
    let front = case.starts_with("front");
    let mut units = picture.units.iter().filter(|unit| unit.zone == zone && unit.front == front);
    Ok(units.next().with_context(|| format!("nothing to break in zone `{zone}`"))?.name.clone())
}

fn drill(site: &Site, case: &str, round: usize, victim: &str, seconds: u64) -> Result<Value> {
    let (target, kind) = case.split_once('/').context("a case is written `zone/kill`")?;
    let (seconds, seed) = (seconds.to_string(), (round + 1).to_string());
    let words = [
        "--json",
        "drill",
        target,
        victim,
        "--fault",
        kind,
        "--rate",
        RATE,
        "--duration",
        &seconds,
        "--seed",
        &seed,
    ];
    let busy = Busy::now();
    let output = site.command(&words).stderr(Stdio::inherit()).output().context("cannot start a drill")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    let verdict: Value = serde_json::from_str(line).with_context(|| {
        format!("`evenkeel {}` ended with {} and no verdict", words.join(" "), output.status)
    })?;
    let show = |name: &str| number(&verdict, name).map_or("-".to_owned(), |value| format!("{value:.0}"));
    say(&format!(
        "{case} of {victim}, round {}: {} requests, {} failed, {} unsavable, p99 {} ms, max {} ms, full count {} ms; machine {:.0} % busy, load {}",
        round + 1,
        show("requests"),
        show("failed"),
        show("unsavable"),
        show("p99_ms"),
        show("max_ms"),
        show("full_count_ms"),
        busy.percent_since(),
        machine::load_average(),
    ));
    for why in verdict["missed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("  missed: {why}"));
    }
    for why in ["aborted", "not_run"].iter().filter_map(|name| verdict[*name].as_str()) {
        say(&format!("  {why}"));
    }
    // A verdict without numbers has measured nothing, whatever it would say.
    ensure!(verdict["kind"] == "verdict", "`evenkeel drill` printed no verdict: {line}");
    Ok(verdict)
}

fn number(verdict: &Value, field: &str) -> Option<f64> {
    verdict[field].as_f64()
}

/// Failed requests that could have been saved.
fn saveable(verdict: &Value) -> Option<f64> {
    Some(number(verdict, "failed")? - number(verdict, "unsavable")?)
}

/// The worst of the rounds; `None` as soon as one of them has not measured it.
fn worst(verdicts: &[Value], figure: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
    let all: Option<Vec<f64>> = verdicts.iter().map(figure).collect();
    all?.into_iter().reduce(f64::max)
}

/// `wanted`: how many rounds there should be; `None` when the case was not run.
fn judge(case: &str, measured: &Measured, wanted: Option<usize>, report: &mut Report) {
    let verdicts = measured.verdicts.as_slice();
    let failed = verdicts.iter().filter_map(saveable).collect();
    report.row(Row::of(case, "failed - unsavable", "requests", failed));
    for (subject, field, unit) in FIELDS {
        let values = verdicts.iter().filter_map(|verdict| number(verdict, field)).collect();
        report.row(Row::of(case, subject, unit, values));
    }
    report.row(Row::of(case, "whole again", "s", measured.whole_s.clone()));
    let missing = wanted.map(|wanted| wanted.saturating_sub(measured.whole_s.len()) as f64);
    report.goal(case, "rounds that did not run or heal = 0", missing, 0.0);
    let of = |field: &'static str| worst(verdicts, |verdict| number(verdict, field));
    let aborted = worst(verdicts, |verdict| Some(f64::from(u8::from(verdict["aborted"].is_string()))));
    report.goal(case, "rounds stopped by the safety limit = 0", aborted, 0.0);
    report.goal(case, "failed - unsavable = 0", worst(verdicts, saveable), 0.0);
    report.goal(case, "double effects = 0", of("double_effects"), 0.0);
    report.goal(case, "lost writes = 0", of("lost_writes"), 0.0);
    report.goal(case, "p99 in calm < 50 ms", of("calm_p99_ms"), CALM_P99_MAX_MS);
    report.goal(case, "p99 over the event <= 1000 ms", of("p99_ms"), P99_MAX_MS);
    if case.starts_with("zone") {
        report.goal(case, "full count back <= 5000 ms", of("full_count_ms"), FULL_COUNT_MAX_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::site::Unit;
    use serde_json::json;

    fn picture() -> Picture {
        let unit = |name: &str, zone: &str, front| Unit {
            name: name.to_owned(),
            zone: zone.to_owned(),
            pid: None,
            healthy: true,
            front,
            restarts: 0,
        };
        let units = [("web-1", "a", false), ("web-2", "b", false), ("web-3", "c", false)];
        let fronts = [("edge-a", "a", true), ("edge-b", "b", true), ("edge-c", "c", true)];
        Picture {
            leader: Some("b".to_owned()),
            zones: ["a", "b", "c"].map(|zone| (zone.to_owned(), true)).to_vec(),
            units: units.iter().chain(&fronts).map(|(name, zone, front)| unit(name, zone, *front)).collect(),
            ..Picture::default()
        }
    }

    #[test]
    fn the_leading_zone_is_broken_first_and_none_twice_before_all() {
        let mut picture = picture();
        let mut broken: Vec<String> = Vec::new();
        for leader in ["b", "a", "a", "c"] {
            picture.leader = Some(leader.to_owned());
            broken.push(zone_of(&picture, &broken).unwrap());
        }
        assert_eq!(broken, ["b", "a", "c", "c"]);
        let of = |case: &str| victim(case, "b", &picture).unwrap();
        assert_eq!([of("zone/kill"), of("front/kill"), of("process/freeze")], ["b", "edge-b", "web-2"]);
    }

    fn verdict(failed: u64) -> Value {
        json!({"kind": "verdict", "failed": failed, "unsavable": 1, "double_effects": 0, "lost_writes": 0,
            "calm_p99_ms": 12.0, "p99_ms": 90.5, "full_count_ms": 2000.0, "aborted": null})
    }

    #[test]
    fn one_bad_round_of_three_misses_the_goal() {
        let judged = |failed: [u64; 3], healed: usize| {
            let mut report = Report::new(true);
            let verdicts = failed.map(verdict).to_vec();
            judge("zone/kill", &Measured { verdicts, whole_s: vec![1.0; healed] }, Some(3), &mut report);
            report.finish().map_err(|error| error.to_string())
        };
        assert_eq!(judged([1, 1, 1], 3), Ok(()));
        assert_eq!(judged([1, 2, 1], 3), Err("one goal of 8 was missed".to_owned()));
        assert_eq!(judged([1, 1, 1], 2), Err("one goal of 8 was missed".to_owned()), "one did not heal");
    }

    #[test]
    fn a_round_that_measured_nothing_is_no_pass() {
        assert_eq!(worst(&[verdict(1), json!({"failed": null})], saveable), None);
        assert_eq!(worst(&[], saveable), None);
    }
}
