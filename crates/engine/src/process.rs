//! What `/proc` says about processes. A process is named by its number **and** its start time, so that a number
//! that was given to somebody else later is never signalled.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// The environment variable by which a process that left its group and its parents is still known as a unit's.
pub const MARKER: &str = "EVENKEEL_UNIT";

/// Most bytes of a file in `/proc` that are read.
const PROC_FILE_MAX: u64 = 256 * 1024;
/// Rounds of ending what is left of a unit without a cgroup; each round catches what the one before had forked.
const SWEEP_ROUNDS: u32 = 10;

/// How long killed processes may take to end, in milliseconds; one in an uninterruptible wait is not waited for.
pub(crate) const KILLED_MS: u64 = 100;

/// One process, past or present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine's start: field 22 of `/proc/PID/stat` (proc(5)).
    pub started: u64,
}

/// A line of `/proc/PID/stat`, as far as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: u32,
    group: u32,
    session: u32,
    started: u64,
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(PROC_FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The command in field 2 may hold spaces and brackets, so the fields are counted from its last bracket.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let small = |at: usize| number(at).and_then(|value| u32::try_from(value).ok());
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        parent: small(1)?,
        group: small(2)?,
        session: small(3)?,
        started: number(19)?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&read(&format!("/proc/{pid}/stat")).ok()?)
}

impl Stat {
    /// A zombie has ended; only its parent has not looked yet.
    fn runs(self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

impl ProcessId {
    /// The process that has this number now; `None` when there is none or it has ended.
    #[must_use]
    pub fn of(pid: u32) -> Option<ProcessId> {
        stat(pid).filter(|stat| stat.runs()).map(|stat| ProcessId { pid, started: stat.started })
    }

    /// This process.
    #[must_use]
    pub fn own() -> Option<ProcessId> {
        ProcessId::of(std::process::id())
    }

    /// Whether exactly this process still runs.
    #[must_use]
    pub fn alive(self) -> bool {
        ProcessId::of(self.pid) == Some(self)
    }

    /// Memory held in RAM, in bytes; `None` when it has ended.
    #[must_use]
    pub fn rss_bytes(self) -> Option<u64> {
        if !self.alive() {
            return None;
        }
        let text = read(&format!("/proc/{}/statm", self.pid)).ok()?;
        let pages: u64 = std::str::from_utf8(&text).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages.saturating_mul(rustix::param::page_size() as u64))
    }

    /// Whether it is stopped (`SIGSTOP`); `None` when it has ended.
    #[must_use]
    pub fn stopped(self) -> Option<bool> {
        let stat = stat(self.pid).filter(|stat| stat.runs() && stat.started == self.started)?;
        Some(matches!(stat.state, b'T' | b't'))
    }

    /// Sends `signal` to the process alone, if it still is this one.
    pub fn signal(self, signal: Signal) {
        if self.alive()
            && let Some(pid) = pid(self.pid)
        {
            // It may end between the look and the signal; then there is nothing left to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends `signal` to the process and its group, if it still is this one. A zombie's number is still its own.
    pub fn signal_group(self, signal: Signal) {
        let same = stat(self.pid).is_some_and(|stat| stat.started == self.started);
        if let (true, Some(pid)) = (same, pid(self.pid)) {
            if stat(self.pid).is_some_and(|stat| stat.group == self.pid) {
                let _ = kill_process_group(pid, signal);
            } else {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

fn pid(raw: u32) -> Option<Pid> {
    // 1 is the machine's init and 0 "my own group": neither is ever a unit.
    Pid::from_raw(i32::try_from(raw).ok()?).filter(|_| raw > 1)
}

fn every_pid() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether the environment of `pid` holds `MARKER=value`.
fn marked(pid: u32, marker: &str) -> bool {
    let wanted = format!("{MARKER}={marker}");
    let environment = read(&format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
}

/// Every running process of a unit that can be found without a cgroup: those that carry its marker, and those of
/// the session `leader` began while that number is still its own. Not found: a process that left the session *and*
/// overwrote its environment.
#[must_use]
pub fn of_unit(marker: &str, leader: Option<ProcessId>) -> Vec<ProcessId> {
    // A zombie leader still owns its number; after that only the marker tells, as the number may be somebody else's.
    let owned = leader.filter(|id| stat(id.pid).is_some_and(|stat| stat.started == id.started));
    let own = std::process::id();
    let mut found = Vec::new();
    for pid in every_pid() {
        let Some(stat) = stat(pid).filter(|stat| stat.runs() && pid != own) else { continue };
        let in_session =
            owned.is_some_and(|id| stat.session == id.pid || stat.group == id.pid || pid == id.pid);
        if in_session || marked(pid, marker) {
            found.push(ProcessId { pid, started: stat.started });
        }
    }
    found
}

/// `root` and everything it started, as far as the parents are still there.
#[must_use]
pub fn with_descendants(root: ProcessId) -> Vec<ProcessId> {
    if !root.alive() {
        return Vec::new();
    }
    let all: Vec<(u32, Stat)> = every_pid()
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid).filter(|stat| stat.runs())?)))
        .collect();
    let mut found = vec![root];
    let mut known = BTreeSet::from([root.pid]);
    let mut grew = true;
    while grew {
        grew = false;
        for (pid, stat) in &all {
            if known.contains(&stat.parent) && known.insert(*pid) {
                found.push(ProcessId { pid: *pid, started: stat.started });
                grew = true;
            }
        }
    }
    found
}

/// Kills every process of a unit without the help of a cgroup; returns how many were still there at the end.
pub fn sweep(marker: &str, leader: Option<ProcessId>) -> usize {
    for _ in 0..SWEEP_ROUNDS {
        let left = of_unit(marker, leader);
        if left.is_empty() {
            return 0;
        }
        left.iter().for_each(|id| id.signal(Signal::KILL));
        crate::wait::ended(&left, KILLED_MS);
    }
    of_unit(marker, leader).len()
}

/// Names this boot of the machine: process numbers of another boot mean nothing.
#[must_use]
pub fn boot_id() -> String {
    let text = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = b"42 (a) R 1) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200 18446744073709551615";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.group, stat.started), (b'S', 7, 42, 98765));
        for bad in [&b""[..], b")", b"1 (x)", b"1 (x) S", b"1 (x) S a b c"] {
            assert_eq!(parse_stat(bad), None);
        }
    }

    #[test]
    fn a_number_given_to_somebody_else_is_not_the_recorded_process() {
        let own = ProcessId::own().unwrap();
        assert!(own.alive());
        assert!(own.rss_bytes().unwrap() > 0);
        let older = ProcessId { started: own.started - 1, ..own };
        assert!(!older.alive());
        // Were the start time not looked at, this would end the test.
        older.signal(Signal::KILL);
        older.signal_group(Signal::KILL);
        assert_eq!(older.rss_bytes(), None);
    }

    #[test]
    fn init_and_the_own_group_are_never_signalled() {
        assert_eq!((pid(0), pid(1)), (None, None));
        assert!(pid(u32::MAX).is_none());
    }
}
