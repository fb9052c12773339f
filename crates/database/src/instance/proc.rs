//! Which processes work on a data folder, whoever started them: found by their command line, by their parent, and by
//! the folder they work in. No record of ours is needed, so none can be stale.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
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
    /// Whose it is: its real and its effective user.
    users: (u32, u32),
    words: Vec<String>,
}

fn seen(pid: u32) -> Option<Seen> {
    let id = ProcessId::of(pid)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in field 2 may hold brackets and spaces; the parent is the second field behind it (proc(5)).
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut users = users.split_ascii_whitespace().map_while(|user| user.parse().ok());
    let users = (users.next()?, users.next()?);
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Some(Seen { id, parent, users, words })
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

/// Whose processes may work on a data folder: ours, those of whom it belongs to, and the system's. Another user can give a process any
/// name and any arguments, and we could not even end it.
fn owners(data: &Path) -> Vec<u32> {
    let owner = |path: &Path| fs::metadata(path).ok().map(|about| about.uid());
    let folders = [Some(data), data.parent()].into_iter().flatten().filter_map(owner);
    folders.chain([0, rustix::process::geteuid().as_raw()]).collect()
}

/// Every process that works on `data`.
pub(super) fn workers(data: &Path) -> Workers {
    let (mut every, owners, name) = (every(), owners(data), data.to_string_lossy());
    every.retain(|one| owners.contains(&one.users.0) && owners.contains(&one.users.1));
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// A user that owns nothing.
    const NOBODY: u32 = 65_534;

    #[test]
    fn a_process_of_another_user_is_no_server_whatever_it_is_called() {
        let folder = std::env::temp_dir().join(format!("evenkeel-proc-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let named = |user: Option<u32>| {
            let mut command = Command::new("sh");
            command.arg0("postgres").args(["-c", "read nothing"]).arg(&folder).stdin(Stdio::piped());
            user.into_iter().for_each(|user| {
                command.uid(user);
            });
            command.spawn().unwrap()
        };
        let mut all = vec![named(None)];
        if rustix::process::geteuid().is_root() {
            all.insert(0, named(Some(NOBODY)));
        }
        let own = all.last().unwrap().id();
        let found = |pid: u32| workers(&folder).all.iter().any(|process| process.pid == pid);
        while !found(own) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(workers(&folder).postmaster.map(|process| process.pid), Some(own));
        for child in &mut all {
            assert_eq!(found(child.id()), child.id() == own);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
