//! Which processes work on a data folder, whoever started them: found by their command line, by their parent, and by
//! the folder they work in. No record of ours is needed, so none can be stale.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::ProcessId;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Programs that write to a data folder named in their arguments.
const PROGRAMS: &[&str] = &["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_receivewal"];

/// One process as `/proc` shows it.
struct Seen {
    id: ProcessId,
    parent: u32,
    words: Vec<String>,
}

fn seen(pid: u32) -> Option<Seen> {
    let id = ProcessId::of(pid)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in field 2 may hold brackets and spaces; the parent is the second field behind it (proc(5)).
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Some(Seen { id, parent, words })
}

fn every() -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid > 1 && *pid != own).filter_map(seen).collect()
}

impl Seen {
    fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }

    /// Whether an argument is `folder`, or `--option=folder`.
    fn names(&self, folder: &str) -> bool {
        let value = |word: &str| word == folder || word.split_once('=').is_some_and(|(_, v)| v == folder);
        PROGRAMS.contains(&self.program()) && self.words.iter().skip(1).any(|word| value(word))
    }

    /// A backend names itself `postgres: <cluster>: ..` and works in the data folder. The link is not readable for
    /// every observer; then the parent tells, or nothing does.
    fn works_in(&self, folder: &Path) -> bool {
        self.words.first().is_some_and(|word| word.starts_with("postgres"))
            && fs::read_link(format!("/proc/{}/cwd", self.id.pid)).is_ok_and(|cwd| cwd == folder)
    }

    fn single_user(&self) -> bool {
        self.words.iter().any(|word| word == "--single" || word == "--boot")
    }
}

/// What works on one data folder.
#[derive(Debug, Default)]
pub(super) struct Workers {
    /// The server's first process.
    pub postmaster: Option<ProcessId>,
    /// All, the postmaster included.
    pub all: Vec<ProcessId>,
}

/// Every process that works on `data`.
pub(super) fn workers(data: &Path) -> Workers {
    let (every, name) = (every(), data.to_string_lossy());
    let mut known: BTreeSet<u32> = BTreeSet::new();
    let mut servers: Vec<&Seen> = Vec::new();
    for one in &every {
        if one.names(&name) {
            if one.program() == "postgres" && !one.single_user() {
                servers.push(one);
            }
            known.insert(one.id.pid);
        } else if one.works_in(data) {
            known.insert(one.id.pid);
        }
    }
    // A child that has not named itself yet carries its parent's command line.
    let numbers: BTreeSet<u32> = servers.iter().map(|one| one.id.pid).collect();
    let postmaster = servers.iter().find(|one| !numbers.contains(&one.parent)).map(|one| one.id);
    let mut grew = true;
    while grew {
        grew = false;
        for one in &every {
            grew |= known.contains(&one.parent) && known.insert(one.id.pid);
        }
    }
    let all = every.iter().filter(|one| known.contains(&one.id.pid)).map(|one| one.id).collect();
    Workers { postmaster, all }
}

/// A descriptor that becomes readable when the process ends; `None` when it has.
pub(super) fn watch(process: ProcessId) -> Option<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw)?;
    let fd = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    // Looked at after the opening: a later process with the same number is not waited for.
    if !process.alive() {
        return None;
    }
    waiter(fd).ok()
}

/// The constructors that are not deprecated are `unsafe`, for sources that may exchange their descriptor; an
/// [`OwnedFd`] cannot.
#[expect(deprecated, reason = "the other constructors are unsafe, which is forbidden here and not needed")]
fn waiter(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// Waits until the process has ended.
pub(super) async fn ended(process: ProcessId) {
    if let Some(fd) = watch(process) {
        // An error cannot be told from an end; whoever asks looks again.
        let _ = fd.readable().await;
    }
}
