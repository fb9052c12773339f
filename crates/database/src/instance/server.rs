//! The server as processes: start, find again, stop, kill.

use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::ProcessId;
use rustix::process::Signal;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout, timeout_at};

use super::program::last_words;
use super::settings::PINNED;
use super::{Class, Instance, InstanceError, STANDBY_SIGNAL, control, files, proc};

/// Bytes of the end of the log that are looked at after an end.
const LOG_TAIL: u64 = 4 * 1024;
/// How long killed processes may take to be gone; one in an uninterruptible wait takes as long as its disk.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks for what a kill has left.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// Sessions are cut, standbys get all WAL, a checkpoint is written. Waits for standbys: bound it.
    Fast,
    /// As a crash, but orderly: no checkpoint, recovery at the next start.
    Immediate,
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its status; `None` for one that an earlier keeper had started.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The end of what it has written to its log; of one that an earlier keeper had started, from then on.
    pub says: String,
}

/// A server's first process. Dropping it leaves the server running.
#[derive(Clone, Debug)]
pub struct Running {
    process: ProcessId,
    ended: Option<Arc<AsyncFd<OwnedFd>>>,
    child: Option<Arc<Mutex<Child>>>,
    log: std::path::PathBuf,
    /// What stands in the log before this, others have said.
    said_before: u64,
}

impl Running {
    pub(super) fn new(
        process: ProcessId,
        child: Option<Arc<Mutex<Child>>>,
        (log, said_before): (std::path::PathBuf, u64),
    ) -> Running {
        let ended = proc::watch(process).map(Arc::new);
        Running { process, ended, child, log, said_before }
    }

    /// The postmaster.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Whether it still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.process.alive()
    }

    /// Memory of all its processes, in bytes; pages that they share count for each.
    #[must_use]
    pub fn rss_bytes(&self, instance: &Instance) -> u64 {
        proc::workers(instance.data()).all.iter().filter_map(|process| process.rss_bytes()).sum()
    }

    /// Waits for the end of the postmaster, milliseconds after it by a pidfd. Its other processes may still be there
    /// when it was killed: [`Instance::kill`] ends them. Cancel-safe.
    pub async fn exited(&self) -> Exit {
        if let Some(fd) = &self.ended {
            // An error cannot be told from an end; the look below tells them apart.
            let _ = fd.readable().await;
        }
        while self.process.alive() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let status = self.reap();
        let says = tail(&self.log, self.said_before);
        Exit { code: status.and_then(|s| s.code()), signal: status.and_then(|s| s.signal()), says }
    }

    fn reap(&self) -> Option<ExitStatus> {
        let child = self.child.as_ref()?;
        child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// [`InstanceError::Late`] (unknown: it goes on stopping).
    pub async fn stop(&self, how: StopHow, within: Duration) -> Result<Exit, InstanceError> {
        // `pg_ctl stop -m fast` sends SIGINT, `-m immediate` SIGQUIT (documentation, 19.5).
        self.process.signal(match how {
            StopHow::Fast => Signal::INT,
            StopHow::Immediate => Signal::QUIT,
        });
        timeout(within, self.exited()).await.map_err(|_| InstanceError::Late {
            what: "stop PostgreSQL",
            within_ms: millis(within),
            class: Class::Unknown,
        })
    }

    /// Has it read its files of settings again. Done when a **new** connection shows it: [`Instance::confirm_sync`].
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
    }
}

pub(super) fn millis(within: Duration) -> u64 {
    u64::try_from(within.as_millis()).unwrap_or(u64::MAX)
}

/// How much stands in a log.
pub(super) fn log_bytes(log: &std::path::Path) -> u64 {
    std::fs::metadata(log).map_or(0, |about| about.len())
}

/// The end of the log, of what was written behind `from`. An earlier server's statements that failed stand before it, with
/// what users typed; why a server does not start is told to others.
fn tail(log: &std::path::Path, from: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL).max(from)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    last_words(&read().unwrap_or_default(), &[])
}

/// What a standby's log says when its primary has removed the log it needs next, or has given up its slot (`walsender.c` and `slot.c`
/// of PostgreSQL 15, told by `libpqwalreceiver.c`). Each line begins with names that whoever connects may choose, of 63 bytes each
/// at most, and these are longer in one piece: nobody without a key can say them here.
const REFUSED: &[&str] = &[
    "could not receive data from WAL stream: ERROR:  requested WAL segment ",
    "could not start WAL streaming: ERROR:  can no longer get changes from replication slot ",
];
/// The same of a receiver without a server, in whose log nobody else writes.
const RECEIVER_REFUSED: &[&str] =
    &["has already been removed", "can no longer get changes from replication slot"];
/// The first line of a server.
const STARTS: &str = "LOG:  starting PostgreSQL";
/// Lines at the end of the log in which it stands twice.
const REFUSED_LINES: usize = 12;

fn say_twice(log: &str, refused: &[&str]) -> bool {
    // What an earlier server said is past.
    let own = log.lines().rev().take_while(|line| !line.contains(STARTS));
    let last = own.take(REFUSED_LINES);
    last.filter(|line| refused.iter().any(|words| line.contains(words))).count() >= 2
}

impl Instance {
    /// Whether the last lines of the server's log say that its primary has no longer what it needs.
    #[must_use]
    pub fn log_is_refused(&self) -> bool {
        self.last_lines_say(REFUSED)
    }

    /// The same of the receiver of a witness.
    #[must_use]
    pub fn receiver_is_refused(&self) -> bool {
        self.last_lines_say(RECEIVER_REFUSED)
    }

    fn last_lines_say(&self, refused: &[&str]) -> bool {
        say_twice(&tail(&self.dir.join("log"), 0), refused)
    }

    /// Starts the server, in a process group of its own, and returns when its first process runs; it is ready when
    /// [`Instance::observe`] says something. It outlives the keeper.
    ///
    /// # Errors
    /// [`InstanceError::HalfMade`]; [`InstanceError::Foreign`] when the data is another cluster's;
    /// [`InstanceError::StillRuns`] while a process of an earlier server is there; [`InstanceError::Program`] when it
    /// ends at once, or the data is damaged; [`InstanceError::File`].
    pub fn start(&self) -> Result<Running, InstanceError> {
        if let Some(half) = self.half()? {
            return Err(InstanceError::HalfMade { path: self.dir.clone(), half });
        }
        self.check_identity(control::system_identifier(self.data())?)?;
        self.check_segments()?;
        self.must_be_stopped(self.data())?;
        self.bury()?;
        self.clear_auto_conf(self.data())?;
        let beyond = self.beyond_files()?;
        self.note_start()?;
        let log = self.dir.join("log");
        let output = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(InstanceError::file("open", &log))?;
        let errors = output.try_clone().map_err(InstanceError::file("open", &log))?;
        let mut command = Command::new(self.options().bin.join("postgres"));
        command.arg("-D").arg(self.data());
        for (name, file) in
            [("config_file", "evenkeel.conf"), ("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")]
        {
            command.arg("-c").arg(format!("{name}={}/{file}", self.conf_text));
        }
        for (name, value) in PINNED {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in beyond {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
            .env_clear()
            .env("PATH", &self.options().bin)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors))
            .process_group(0);
        if let Some((uid, gid)) = self.options().user {
            // With the user its other groups go too (`CommandExt::uid`).
            command.uid(uid).gid(gid);
        }
        let said_before = log_bytes(&log);
        let mut child =
            command.spawn().map_err(InstanceError::file("run", self.options().bin.join("postgres")))?;
        match ProcessId::of(child.id()) {
            Some(process) => {
                let child = Arc::new(Mutex::new(child));
                *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child.clone());
                Ok(Running::new(process, Some(child), (log, said_before)))
            }
            None => {
                let status = child.wait().map_err(InstanceError::file("run", &log))?;
                let how = format!("ended at once ({status})");
                Err(InstanceError::Program {
                    program: "postgres",
                    how,
                    says: tail(&log, said_before),
                    class: Class::Permanent,
                })
            }
        }
    }

    /// Takes note of the end of a server. PostgreSQL asks whether a process with the number in `postmaster.pid` exists,
    /// and one that ended does until its parent has looked: ours if we are that, or else a first process of the
    /// machine that does not look, as in some containers; then the file goes, and that of the socket.
    pub(super) fn bury(&self) -> Result<(), InstanceError> {
        if let Some(child) = &*self.child.lock().unwrap_or_else(PoisonError::into_inner) {
            // An error means that somebody else has looked.
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        }
        let port = self.options().listen.port();
        for path in [self.data().join("postmaster.pid"), self.sockets().join(format!(".s.PGSQL.{port}.lock"))]
        {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
            let ended = |pid: u32| {
                std::path::Path::new(&format!("/proc/{pid}")).exists() && ProcessId::of(pid).is_none()
            };
            if pid.is_some_and(ended) {
                files::remove(&path).map_err(InstanceError::file("remove", path))?;
            }
        }
        Ok(())
    }

    /// The server that already runs on the data, if there is one: an earlier keeper's. It is known by its command
    /// line and parent, not by a number in a file, so a number that was given to somebody else is never taken for it.
    #[must_use]
    pub fn adopt(&self) -> Option<Running> {
        let process = proc::workers(self.data()).postmaster?;
        let log = self.dir.join("log");
        let said_before = log_bytes(&log);
        Some(Running::new(process, None, (log, said_before)))
    }

    /// Whether the server would start as a standby.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.data().join(STANDBY_SIGNAL).exists()
    }

    /// Kills whatever works on the data and returns when nothing of it is left, backends included: those of a killed
    /// postmaster go on until they notice. Done at once when there is nothing.
    ///
    /// # Errors
    /// [`InstanceError::Late`] (unknown) when something does not end: it waits for its disk.
    pub async fn kill(&self) -> Result<(), InstanceError> {
        let until = Instant::now() + KILLED_WITHIN;
        let mut known: Vec<ProcessId> = Vec::new();
        loop {
            // Stopped first, it cannot fork behind our back; what it had is then found by its parent.
            if let Some(postmaster) = proc::workers(self.data()).postmaster {
                postmaster.signal(Signal::STOP);
                known.push(postmaster);
            }
            known.extend(proc::workers(self.data()).all);
            known.extend(proc::workers(&self.dir.join("data.new")).all);
            known.retain(|process| process.alive());
            if known.is_empty() {
                break;
            }
            known.iter().for_each(|process| process.signal(Signal::KILL));
            for process in &known {
                // Whether it has ended is looked at again above.
                let _ = timeout_at(until, proc::ended(*process)).await;
            }
            if Instant::now() >= until {
                return Err(InstanceError::Late {
                    what: "end all processes of PostgreSQL",
                    within_ms: millis(KILLED_WITHIN),
                    class: Class::Unknown,
                });
            }
            tokio::task::yield_now().await;
        }
        self.session.lock().await.take();
        self.bury()
    }

    /// Ends the receiver of a standby without asking the startup process, which may be busy for long: behind a paused
    /// replay a removed upstream is only noticed when replay goes on. [`Instance::configure`] has taken the password
    /// away before, so a receiver that is started once more is refused.
    pub fn end_receiver(&self, receiver: &super::Receiver) {
        let known = proc::workers(self.data()).all.into_iter().find(|process| process.pid == receiver.pid);
        if let Some(process) = known {
            process.signal(Signal::TERM);
        }
    }

    /// Stops all processes of the server where they are, as a frozen machine would. For drills and tests.
    pub fn freeze(&self) {
        // The postmaster first, then what it had; twice, for what it forked in between.
        for _ in 0..2 {
            let workers = proc::workers(self.data());
            workers.postmaster.iter().chain(&workers.all).for_each(|process| process.signal(Signal::STOP));
        }
    }

    /// Undoes [`Instance::freeze`].
    pub fn thaw(&self) {
        proc::workers(self.data()).all.iter().for_each(|process| process.signal(Signal::CONT));
    }

    /// Removes the folder with all its data. The caller has made sure that nothing runs.
    ///
    /// # Errors
    /// [`InstanceError::StillRuns`]; [`InstanceError::File`].
    pub fn destroy(self) -> Result<(), InstanceError> {
        self.must_be_stopped(self.data())?;
        if !self.sockets.starts_with(&self.dir) {
            files::remove_tree(&self.sockets).map_err(InstanceError::file("remove", &self.sockets))?;
        }
        files::remove_tree(&self.dir).map_err(InstanceError::file("remove", &self.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of PostgreSQL 15.18; names are those that somebody without a key has asked for.
    #[test]
    fn a_name_in_the_log_is_no_word_of_the_primary() {
        let line =
            |from: &str, text: &str| format!("2026-11-30 20:00:00.000 UTC [71] {from}FATAL:  {text}\n");
        let removed = "could not receive data from WAL stream: ERROR:  requested WAL segment \
                       000000010000000000000005 has already been removed";
        let given_up =
            "could not start WAL streaming: ERROR:  can no longer get changes from replication slot \"b-1\"";
        for text in [removed, given_up] {
            assert!(say_twice(&line("", text).repeat(2), REFUSED), "{text}");
            assert!(!say_twice(&line("", text), REFUSED), "once may be of a moment ago");
            let again = format!("{}{STARTS}\n{}", line("", text).repeat(2), line("", text));
            assert!(!say_twice(&again, REFUSED), "an earlier server said so");
        }
        let starting = "the database system is starting up";
        for words in [removed, given_up, "has already been removed"] {
            let (user, database) = (words.get(..63).unwrap_or(words), words.get(63..).unwrap_or(words));
            let forged = line(&format!("{user}@{database} "), starting).repeat(9);
            assert!(!say_twice(&forged, REFUSED), "{forged}");
        }
    }
}
