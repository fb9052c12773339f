//! What the machine itself was doing, said beside every figure: one that was measured on a busy machine is worth
//! less.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

/// Clock ticks of `/proc` a second; 100 on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// CPU time of the whole machine up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    busy: u64,
    all: u64,
}

impl Busy {
    pub(super) fn now() -> Busy {
        Busy::of(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn of(stat: &str) -> Busy {
        let line = stat.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; guest time is within user time.
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).filter_map(|n| n.parse().ok()).collect();
        let all: u64 = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Busy { busy: all - idle, all }
    }

    /// Share of the machine that was in use since then, in percent.
    pub(super) fn percent_since(self) -> f64 {
        self.percent_until(Busy::now())
    }

    fn percent_until(self, now: Busy) -> f64 {
        let all = now.all.saturating_sub(self.all).max(1);
        100.0 * now.busy.saturating_sub(self.busy) as f64 / all as f64
    }
}

/// Memory of one process in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// Everything mapped and present, shared pages counted whole.
    pub(super) rss: u64,
    /// Shared pages counted by their share.
    pub(super) pss: u64,
}

/// Memory of a process now.
///
/// # Errors
/// When the process is gone, or belongs to someone else.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("no memory of process {pid}"))?;
    memory_of(&text).with_context(|| format!("no memory of process {pid} in:\n{text}"))
}

fn memory_of(rollup: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some(Memory { rss: field("Rss:")?, pss: field("Pss:")? })
}

/// CPU time of processes up to a moment.
#[derive(Debug)]
pub(super) struct Cpu {
    at: Instant,
    seconds: Vec<(u32, f64)>,
}

impl Cpu {
    pub(super) fn now(pids: &[u32]) -> Cpu {
        Cpu {
            at: Instant::now(),
            seconds: pids.iter().filter_map(|pid| Some((*pid, cpu_s(*pid)?))).collect(),
        }
    }

    /// CPU time of these processes since then, in percent of one core.
    pub(super) fn percent_since(&self) -> f64 {
        let wall = self.at.elapsed().as_secs_f64().max(1e-3);
        let used = self.seconds.iter().filter_map(|(pid, before)| Some(cpu_s(*pid)? - before));
        100.0 * used.sum::<f64>() / wall
    }
}

fn cpu_s(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; user and system time are the 12th and 13th after it.
    let fields = stat.rsplit_once(") ")?.1;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    Some(ticks.iter().sum::<u64>() as f64 / TICKS)
}

/// Processes that wanted to run, averaged over the last minute.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_not_being_busy() {
        let before = Busy::of("cpu  100 0 50 800 50 0 0 0 9 9\ncpu0 1 1");
        let after = Busy::of("cpu  120 0 60 850 70 0 0 0 9 9\ncpu0 1 1");
        assert_eq!(before.percent_until(after), 30.0);
    }

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let text = "5581-7ffd ---p 00000000 00:00 0   [rollup]\nRss:               12345 kB\nPss:                2345 kB\nPss_Dirty:  1 kB\n";
        assert_eq!(memory_of(text), Some(Memory { rss: 12345 * 1024, pss: 2345 * 1024 }));
        assert_eq!(memory_of("Rss: 1 kB"), None);
        assert!(memory(std::process::id()).unwrap().rss > 0);
    }

    #[test]
    fn a_process_that_works_uses_cpu_time() {
        let cpu = Cpu::now(&[std::process::id()]);
        let started = Instant::now();
        while started.elapsed().as_millis() < 100 {
            std::hint::black_box(started.elapsed());
        }
        assert!(cpu.percent_since() > 0.0);
    }
}
