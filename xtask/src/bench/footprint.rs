//! `bench footprint`: what evenkeel itself costs. Memory and CPU time of its processes, idle and under load, and how
//! long `check` and `plan` take.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Options;
use super::load::{Load, Mix};
use super::machine::{self, Busy, Cpu};
use super::report::{Report, Row};
use super::site::{self, Site};
use crate::run::say;

/// How long it idles, and how long it is loaded.
const SECONDS: u64 = 10;
const MIX: Mix = Mix { rate: 400.0, writes: 4, slow: 1 };
/// Calls of `check` and of `plan`.
const CALLS: usize = 5;
/// Resident memory of an idle agent; decimal, the stricter reading.
const AGENT_MAX_MB: f64 = 30.0;
/// Resident memory of an idle front.
const FRONT_MAX_MB: f64 = 20.0;
/// Everything is in place within this.
const WHOLE_LIMIT: Duration = Duration::from_secs(60);
const MB: f64 = 1e6;

/// A kind of process and how its command line is known.
const PROCESSES: &[(&str, &str)] = &[
    ("agent", " agent --zone "),
    ("front", " front --socket "),
    ("store", " store-server "),
    ("supervisor", " supervise "),
];

/// Measures; see the module.
pub(super) fn footprint(options: &Options, report: &mut Report) -> Result<()> {
    options.choose(&["footprint"])?;
    site::build()?;
    let time = Duration::from_secs(options.seconds.unwrap_or(SECONDS));
    site::with(&[], &[], options.keep, |site| {
        let picture = site.whole(site.picture()?.replicas().count(), WHOLE_LIMIT)?;
        say(&format!("idle for {} s", time.as_secs()));
        std::thread::sleep(time);
        measure(site, "idle", time, report)?;
        let load = Load::start(&picture.entries, MIX)?;
        measure(site, "400 rps", time, report)?;
        let seen = load.finish().figures(Duration::ZERO, Duration::MAX);
        report.goal("400 rps", "failed = 0", Some(seen.failed as f64), 0.0);
        for command in ["check", "plan"] {
            report.row(Row::of("commands", command, "ms", calls(site, command)?));
        }
        Ok(())
    })
}

fn measure(site: &Site, case: &str, time: Duration, report: &mut Report) -> Result<()> {
    let groups: Vec<(&str, Vec<u32>)> =
        PROCESSES.iter().map(|(name, mark)| (*name, site.processes(mark))).collect();
    let all: Vec<u32> = groups.iter().flat_map(|(_, pids)| pids.clone()).collect();
    let counters: Vec<Cpu> = groups.iter().map(|(_, pids)| Cpu::now(pids)).collect();
    let (whole, busy) = (Cpu::now(&all), Busy::now());
    std::thread::sleep(time);
    let whole = whole.percent_since();
    for ((name, pids), cpu) in groups.iter().zip(counters) {
        ensure!(!pids.is_empty(), "there is no process of kind `{name}`");
        let percent = cpu.percent_since() / pids.len() as f64;
        let memory = pids.iter().map(|pid| machine::memory(*pid)).collect::<Result<Vec<_>>>()?;
        let rss: Vec<f64> = memory.iter().map(|one| one.rss as f64 / MB).collect();
        let pss: Vec<f64> = memory.iter().map(|one| one.pss as f64 / MB).collect();
        let limit = match *name {
            "agent" => Some(AGENT_MAX_MB),
            "front" => Some(FRONT_MAX_MB),
            _ => None,
        };
        if let Some(limit) = limit.filter(|_| case == "idle") {
            let worst = rss.iter().copied().reduce(f64::max);
            report.goal(case, &format!("resident memory of each {name} <= {limit} MB"), worst, limit);
        }
        report.row(Row::of(case, &format!("{name} Rss"), "MB", rss));
        report.row(Row::of(case, &format!("{name} Pss"), "MB", pss));
        report.row(Row::of(case, &format!("{name} CPU"), "% of a core, each", vec![percent]));
    }
    report.row(Row::of(case, "evenkeel CPU", "% of a core, all", vec![whole]));
    report.row(Row::of(case, "machine busy", "% of all cores", vec![busy.percent_since()]));
    Ok(())
}

/// Wall time of a command, in milliseconds.
fn calls(site: &Site, command: &str) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let started = Instant::now();
        let output = site.output(&[command])?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(
            output.status.success(),
            "`evenkeel {command}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(took)
}
