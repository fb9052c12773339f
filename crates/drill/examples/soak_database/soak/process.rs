//! Signals to servers that this soak started, by their process ids.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process, known by when it started, so that a number that was given out again is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    /// Clock ticks since the machine's start (proc(5), field 22).
    started: u64,
}

impl Process {
    /// The process that has this number now; `None`: nobody has, or it has ended and was not fetched yet.
    pub fn of(pid: i32) -> Option<Process> {
        let (state, fields) = stat(pid)?;
        (state != "Z").then_some(())?;
        Some(Process { pid, started: fields.get(18)?.parse().ok()? })
    }

    /// The process of `program` that works on `folder`.
    pub fn find(program: &str, folder: &str) -> Option<Process> {
        let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let named = numbers.filter_map(Process::of).filter(|process| {
            let title = process.title();
            title.split(' ').next().is_some_and(|word| word.ends_with(&format!("/{program}")))
                && title.contains(folder)
        });
        // Those it forks have greater numbers.
        named.min_by_key(|process| process.pid)
    }

    /// Whether it runs, or stands still.
    pub fn lives(self) -> bool {
        Process::of(self.pid) == Some(self)
    }

    /// Signals it, if it is still there.
    pub fn signal(self, signal: Signal) {
        if self.lives()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// What it calls itself.
    pub fn title(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// Its children now.
    pub fn children(self) -> Vec<Process> {
        let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let own = |pid: &i32| stat(*pid).is_some_and(|(_, fields)| fields[0] == self.pid.to_string());
        numbers.filter(own).filter_map(Process::of).collect()
    }

    /// Signals it and then its children, and answers with all of them. The first process stands still or is gone by
    /// then, so it makes no new ones.
    pub fn signal_all(self, signal: Signal) -> Vec<Process> {
        let before = self.children();
        self.signal(signal);
        let mut all = vec![self];
        all.extend(before);
        all.extend(self.children().into_iter().filter(|child| !all.contains(child)).collect::<Vec<_>>());
        all[1..].iter().for_each(|child| child.signal(signal));
        all
    }
}

/// State, and the fields from the parent's number (field 4) on.
fn stat(pid: i32) -> Option<(String, Vec<String>)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned);
    let state = fields.next()?;
    let rest: Vec<String> = fields.collect();
    (!rest.is_empty()).then_some((state, rest))
}
