//! Waits of code that is not async: each for an event that the kernel reports, never for time to pass.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::process::ProcessId;

/// Waits until the descriptor reports one of `events`, at most until `until`.
fn reported(fd: &impl AsFd, events: PollFlags, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    // An interrupted wait is a short one; every caller looks for itself what has become of it.
    let _ = poll(&mut [PollFd::new(fd, events)], Some(&left));
}

/// Waits until all of `processes` have ended, at most `most_ms` milliseconds in all.
pub(crate) fn ended(processes: &[ProcessId], most_ms: u64) {
    let until = Instant::now() + Duration::from_millis(most_ms);
    for process in processes {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        let Some(fd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { continue };
        // Looked at after the opening: a later process with the same number is not waited for.
        if process.alive() {
            reported(&fd, PollFlags::IN, until);
        }
    }
}

/// Waits until `cgroup.events` of a version 2 folder holds `line`, at most `most_ms` milliseconds; a folder that is
/// gone is not waited for.
pub(crate) fn cgroup_says(folder: &Path, line: &str, most_ms: u64) {
    let until = Instant::now() + Duration::from_millis(most_ms);
    let Ok(mut file) = File::open(folder.join("cgroup.events")) else { return };
    while Instant::now() < until {
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
        if read.is_err() || text.lines().any(|one| one == line) {
            return;
        }
        // The kernel reports a change of the file as an exceptional condition (cgroups(7)).
        reported(&file, PollFlags::PRI, until);
    }
}
