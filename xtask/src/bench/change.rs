//! `bench change`: what callers see while the file is changed under load.
//!
//! An open-loop load goes on over all fronts while `evenkeel up --detach` applies one changed file after the other:
//! another environment and another memory limit replace every replica, another count adds and removes some.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Options;
use super::load::{Load, Mix, Seen};
use super::machine::{self, Busy};
use super::report::{Report, Row};
use super::site::{self, Picture, Site};
use crate::run::say;

const ROUNDS: usize = 1;
/// Calm before the first change and after each, when nothing is given.
const SECONDS: u64 = 5;
const MIX: Mix = Mix { rate: 400.0, writes: 4, slow: 1 };
/// A change is carried out within this: six replicas, one after the other, each with a request of 1.2 s to finish.
const LIMIT: Duration = Duration::from_secs(180);

/// One changed file.
struct Step {
    case: &'static str,
    edits: &'static [(&'static str, &'static str)],
    /// Every replica is another process afterwards.
    replaces: bool,
    replicas: usize,
}

const ENVIRONMENT: (&str, &str) =
    ("    healthcheck:", "    environment: { CHANGED: \"1\" }\n    healthcheck:");
const MEMORY: (&str, &str) = ("memory: 256M", "memory: 250M");
const MORE: (&str, &str) = ("min: 6, max: 9", "min: 8, max: 9");

/// Each goes on from the one before.
const STEPS: &[Step] = &[
    Step { case: "environment", edits: &[ENVIRONMENT], replaces: true, replicas: 6 },
    Step { case: "memory", edits: &[ENVIRONMENT, MEMORY], replaces: true, replicas: 6 },
    Step { case: "count up", edits: &[ENVIRONMENT, MEMORY, MORE], replaces: false, replicas: 8 },
    Step { case: "count down", edits: &[ENVIRONMENT, MEMORY], replaces: false, replicas: 6 },
];

/// One step as it went.
struct Done {
    from: Duration,
    to: Duration,
    took: Duration,
}

/// Measures every step; see the module.
pub(super) fn change(options: &Options, report: &mut Report) -> Result<()> {
    let cases: Vec<&str> = STEPS.iter().map(|step| step.case).collect();
    let chosen = options.choose(&cases)?;
    ensure!(chosen.len() == cases.len(), "each change goes on from the one before: all of them or none");
    site::build()?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        rounds.push(site::with(&[], &[], options.keep, |site| round(site, options))?);
    }
    judge(&rounds, report);
    Ok(())
}

/// What one round has seen: the time of each step, all requests, lost and double orders.
struct Round {
    steps: Vec<Done>,
    seen: Seen,
    lost: usize,
    double: usize,
}

fn round(site: &Site, options: &Options) -> Result<Round> {
    let calm = Duration::from_secs(options.seconds.unwrap_or(SECONDS));
    let mut picture = site.whole(site.picture()?.replicas().count(), LIMIT)?;
    let load = Load::start(&picture.entries, MIX)?;
    let busy = Busy::now();
    std::thread::sleep(calm);
    let mut steps = Vec::new();
    for step in STEPS {
        let (from, started) = (load.now(), Instant::now());
        site.write(step.edits)?;
        site.up(&[])?;
        let next = site.whole(step.replicas, LIMIT)?;
        let took = started.elapsed();
        carried_out(step, &picture, &next)?;
        picture = next;
        std::thread::sleep(calm);
        steps.push(Done { from, to: load.now(), took });
        say(&format!("{} carried out in {:.1} s", step.case, took.as_secs_f64()));
    }
    let seen = load.finish();
    let all = seen.figures(Duration::ZERO, Duration::MAX);
    say(&format!(
        "{} requests, {} failed; the client itself was late by {:.1} ms (p99); machine {:.0} % busy, load {}",
        all.requests,
        all.failed,
        all.late_ms.unwrap_or_default(),
        busy.percent_since(),
        machine::load_average()
    ));
    for failure in seen.failures() {
        say(&format!("  {failure}"));
    }
    let (lost, double) = seen.effects(&site.state())?;
    Ok(Round { steps, seen, lost, double })
}

/// A change that was not made must not count as one that nobody noticed.
fn carried_out(step: &Step, before: &Picture, after: &Picture) -> Result<()> {
    let pids = |picture: &Picture| picture.replicas().filter_map(|unit| unit.pid).collect::<BTreeSet<u32>>();
    let (old, new) = (pids(before), pids(after));
    let kept = old.intersection(&new).count();
    if step.replaces {
        ensure!(kept == 0, "`{}` has left {kept} replicas as they were", step.case);
    } else {
        let wanted = old.len().min(new.len());
        ensure!(kept == wanted, "`{}` has kept {kept} replicas, not {wanted}", step.case);
    }
    Ok(())
}

fn judge(rounds: &[Round], report: &mut Report) {
    for (index, step) in STEPS.iter().enumerate() {
        let figures: Vec<_> = rounds
            .iter()
            .map(|round| round.seen.figures(round.steps[index].from, round.steps[index].to))
            .collect();
        let mut row =
            |subject: &str, unit, values: Vec<f64>| report.row(Row::of(step.case, subject, unit, values));
        row("requests", "requests", figures.iter().map(|f| f.requests as f64).collect());
        row("failed", "requests", figures.iter().map(|f| f.failed as f64).collect());
        row("p50", "ms", figures.iter().filter_map(|f| f.p50_ms).collect());
        row("p99", "ms", figures.iter().filter_map(|f| f.p99_ms).collect());
        row("max", "ms", figures.iter().filter_map(|f| f.max_ms).collect());
        row("took", "s", rounds.iter().map(|round| round.steps[index].took.as_secs_f64()).collect());
        let failed = figures.iter().map(|f| f.failed as f64).reduce(f64::max);
        report.goal(step.case, "failed = 0", failed, 0.0);
    }
    let most = |pick: fn(&Round) -> usize| rounds.iter().map(|round| pick(round) as f64).reduce(f64::max);
    report.goal("change", "lost writes = 0", most(|round| round.lost), 0.0);
    report.goal("change", "double effects = 0", most(|round| round.double), 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::site::Unit;

    fn picture(pids: &[u32]) -> Picture {
        let unit = |pid: &u32| Unit {
            name: format!("web-{pid}"),
            zone: "a".to_owned(),
            pid: Some(*pid),
            healthy: true,
            front: false,
            restarts: 0,
        };
        Picture { units: pids.iter().map(unit).collect(), ..Picture::default() }
    }

    #[test]
    fn a_change_that_was_not_made_is_no_success() {
        let replace = &STEPS[0];
        carried_out(replace, &picture(&[1, 2]), &picture(&[3, 4])).unwrap();
        assert!(carried_out(replace, &picture(&[1, 2]), &picture(&[2, 4])).is_err());
        let up = &STEPS[2];
        carried_out(up, &picture(&[1, 2]), &picture(&[1, 2, 3])).unwrap();
        assert!(
            carried_out(up, &picture(&[1, 2]), &picture(&[1, 4, 3])).is_err(),
            "one was replaced for nothing"
        );
        let down = &STEPS[3];
        carried_out(down, &picture(&[1, 2, 3]), &picture(&[1, 3])).unwrap();
    }
}
