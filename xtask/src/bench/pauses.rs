//! `bench pauses`: replicas near their capacity that stop for 300 ms now and then, as a busy host makes them. None of
//! them is ill, so none may be ejected or restarted.
//!
//! Each of the six replicas serves one request at a time and works 40 ms for it: 25 requests a second, 150 all
//! together; 120 are sent. So the replicas are near their end while the machine's two cores are far from it, and what
//! is seen is the health checks, not the scheduler.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Options;
use super::load::{Load, Mix};
use super::machine::{self, Busy};
use super::report::{Report, Row};
use super::site::{self, Picture, Site};
use crate::run::say;

/// 10 minutes.
const SECONDS: u64 = 600;
/// One request at a time, 40 ms each; see the module.
const EDITS: &[(&str, &str)] = &[("\"32\"", "\"1\""), ("- 5ms", "- 40ms")];
const REPLICAS: usize = 6;
/// 80 % of `REPLICAS / 40 ms`. None of the slow requests: each would hold its replica for 1.2 s.
const MIX: Mix = Mix { rate: 120.0, writes: 4, slow: 0 };
/// How long a replica is stopped, in seconds as `sleep` takes them.
const PAUSE: &str = "0.3";
/// Between two pauses lie from 50 to 350 ms: about two pauses a second, one at a time.
const GAP_MIN_MS: u64 = 50;
const GAP_SPREAD_MS: u64 = 300;
const SEED: u64 = 0x5eed_0001;
/// Everything is in place within this.
const WHOLE_LIMIT: Duration = Duration::from_secs(60);
/// Time between two lines of progress.
const TELL: Duration = Duration::from_secs(30);

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    pauses: usize,
    ejections: usize,
    restarts: usize,
    failed: usize,
    lost: usize,
    double: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    busy: f64,
}

/// Measures; see the module.
pub(super) fn pauses(options: &Options, report: &mut Report) -> Result<()> {
    options.choose(&["pauses"])?;
    site::build()?;
    let mut rounds = Vec::new();
    for round in 0..options.rounds.unwrap_or(1) {
        let seed = SEED + round as u64;
        let seconds = options.seconds.unwrap_or(SECONDS);
        rounds.push(site::with(EDITS, &[], options.keep, |site| measure(site, seconds, seed))?);
    }
    judge(&rounds, report);
    Ok(())
}

fn measure(site: &Site, seconds: u64, seed: u64) -> Result<Counted> {
    let before = site.whole(REPLICAS, WHOLE_LIMIT)?;
    // Whatever was ejected while it started is not counted.
    let calm: usize = ejections(site, &before)?.values().map(Vec::len).sum();
    let victims: Vec<u32> = before.replicas().filter_map(|unit| unit.pid).collect();
    ensure!(victims.len() == REPLICAS, "the process of a replica is not known: {before:?}");
    let load = Load::start(&before.entries, MIX)?;
    let busy = Busy::now();
    let mut counted = Counted::default();
    let mut chance = Chance(seed);
    let (started, mut told) = (Instant::now(), Instant::now());
    while started.elapsed() < Duration::from_secs(seconds) {
        pause(site, victims[chance.below(REPLICAS as u64) as usize])?;
        counted.pauses += 1;
        std::thread::sleep(Duration::from_millis(GAP_MIN_MS + chance.below(GAP_SPREAD_MS)));
        if told.elapsed() >= TELL {
            told = Instant::now();
            let now: usize = ejections(site, &before)?.values().map(Vec::len).sum();
            say(&format!(
                "{:.0} s: {} pauses, {} ejections, machine {:.0} % busy, load {}",
                started.elapsed().as_secs_f64(),
                counted.pauses,
                now.saturating_sub(calm),
                busy.percent_since(),
                machine::load_average()
            ));
        }
    }
    counted.busy = busy.percent_since();
    let seen = load.finish();
    let figures = seen.figures(Duration::ZERO, Duration::MAX);
    counted.failed = figures.failed;
    (counted.p50_ms, counted.p99_ms, counted.max_ms) = (figures.p50_ms, figures.p99_ms, figures.max_ms);
    (counted.lost, counted.double) = seen.effects(&site.state())?;
    for failure in seen.failures() {
        say(&format!("  {failure}"));
    }
    let after = site.picture()?;
    for (front, lines) in ejections(site, &before)? {
        counted.ejections += lines.len();
        lines.iter().for_each(|line| say(&format!("  {front}: {line}")));
    }
    counted.ejections = counted.ejections.saturating_sub(calm);
    counted.restarts = replaced(&before, &after);
    Ok(counted)
}

/// Stops a replica and lets it go on. The shell does both, so that nobody stays stopped should we be killed.
fn pause(site: &Site, pid: u32) -> Result<()> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = String::from_utf8_lossy(&words).contains(&site.state().display().to_string());
    // A replica that was restarted has left its number to anybody; that it is gone is counted at the end.
    if !ours {
        return Ok(());
    }
    let script = format!("kill -STOP {pid} && sleep {PAUSE}; kill -CONT {pid}");
    Command::new("sh").args(["-c", &script]).status().context("cannot start `sh`")?;
    Ok(())
}

/// What the fronts have logged about ejections. Their counters are in the store and in no command's output.
fn ejections(site: &Site, picture: &Picture) -> Result<BTreeMap<String, Vec<String>>> {
    let fronts = picture.units.iter().filter(|unit| unit.front);
    fronts.map(|front| Ok((front.name.clone(), site.log_lines(&front.name, "endpoint ejected")?))).collect()
}

/// Units that are another process than before, restarted or replaced.
fn replaced(before: &Picture, after: &Picture) -> usize {
    let same = |unit: &&super::site::Unit| {
        after
            .units
            .iter()
            .any(|now| now.name == unit.name && now.pid == unit.pid && now.restarts == unit.restarts)
    };
    before.units.iter().filter(|unit| !same(unit)).count()
}

fn judge(rounds: &[Counted], report: &mut Report) {
    let case = "pauses";
    type Figure = fn(&Counted) -> Option<f64>;
    let counts: [(&str, &str, Figure); 8] = [
        ("pauses", "times", |round| Some(round.pauses as f64)),
        ("wrong ejections", "times", |round| Some(round.ejections as f64)),
        ("restarts", "units", |round| Some(round.restarts as f64)),
        ("failed", "requests", |round| Some(round.failed as f64)),
        ("p50", "ms", |round| round.p50_ms),
        ("p99", "ms", |round| round.p99_ms),
        ("max", "ms", |round| round.max_ms),
        ("machine busy", "%", |round| Some(round.busy)),
    ];
    for (subject, unit, figure) in counts {
        report.row(Row::of(case, subject, unit, rounds.iter().filter_map(figure).collect()));
    }
    let most = |pick: fn(&Counted) -> usize| rounds.iter().map(|round| pick(round) as f64).reduce(f64::max);
    report.goal(case, "wrong ejections = 0", most(|round| round.ejections), 0.0);
    report.goal(case, "restarts = 0", most(|round| round.restarts), 0.0);
    report.goal(case, "failed = 0", most(|round| round.failed), 0.0);
    report.goal(case, "lost writes = 0", most(|round| round.lost), 0.0);
    report.goal(case, "double effects = 0", most(|round| round.double), 0.0);
}

/// xorshift64*: the same seed pauses the same replicas in the same order.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::site::Unit;

    #[test]
    fn every_replica_gets_its_pauses() {
        let mut chance = Chance(SEED);
        let mut seen = [0; REPLICAS];
        (0..600).for_each(|_| seen[chance.below(REPLICAS as u64) as usize] += 1);
        assert!(seen.iter().all(|count| (60..=140).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_replica_that_was_restarted_or_replaced_is_counted() {
        let unit = |name: &str, pid, restarts| Unit {
            name: name.to_owned(),
            zone: "a".to_owned(),
            pid: Some(pid),
            healthy: true,
            front: false,
            restarts,
        };
        let of = |units: Vec<Unit>| Picture { units, ..Picture::default() };
        let before = of(vec![unit("web-1", 1, 0), unit("web-2", 2, 0), unit("web-3", 3, 0)]);
        assert_eq!(replaced(&before, &before), 0);
        let after = of(vec![unit("web-1", 1, 0), unit("web-2", 9, 1), unit("web-4", 4, 0)]);
        assert_eq!(replaced(&before, &after), 2);
    }
}
