//! The process that ends a primary's server when the time of its lease is over, whatever became of the keeper.
//!
//! A keeper may be frozen, hang at its disk or be gone; the server would go on acknowledging. So the time is kept by a
//! process that does nothing else: it has no thread of the keeper's, opens no file and waits for no disk. It ends the
//! server by SIGKILL, as an orderly stop waits for one; and itself when the server has ended.
//!
//! It is told of each renewal by a line on its standard input, until when, and answers with the same line: a renewal
//! counts when the watchdog knows of it. When the keeper is gone the last word stands. The next keeper starts its own and
//! ends this one, which it finds by its arguments.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::ProcessId;
use model::Moment;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::error::KeeperError;

/// The hidden command: `evenkeel keeper-watchdog PID STARTED`.
pub const WATCHDOG: &str = "keeper-watchdog";
/// It looks at least this often whether the server has ended, and at the clock, which goes on while the machine sleeps.
const LOOK: Duration = Duration::from_millis(50);
/// Time for the processes of a server to vanish between two looks for more.
const KILL_AGAIN: Duration = Duration::from_millis(2);
/// Looks for more; one that is still there then waits for its disk, and answers nobody when it returns.
const KILLS_MAX: u32 = 100;
/// It answers within this, or is none: less than it takes to the next renewal but one.
const ANSWER: Duration = Duration::from_millis(800);
/// The same of one that has just been started, on a machine that is busy.
const FIRST_ANSWER: Duration = Duration::from_millis(2_500);

/// The clock of the lease: it does not stand still while the machine sleeps, and all processes see the same.
#[must_use]
pub(super) fn boot_time() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Moment(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

/// A keeper's end of a watchdog. Dropping it leaves the process: the last word stands.
#[derive(Debug)]
pub(super) struct Watchdog {
    server: ProcessId,
    child: Child,
    input: ChildStdin,
    output: tokio::io::BufReader<ChildStdout>,
    answered: bool,
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> KeeperError {
    move |error| KeeperError::NotNow(format!("the watchdog of the lease {what}: {error}"))
}

impl Watchdog {
    /// Starts one for `server`. It ends nothing before it is told until when.
    pub fn start(program: &Path, server: ProcessId) -> Result<Watchdog, KeeperError> {
        let mut command = Command::new(program);
        command
            .arg(WATCHDOG)
            .args([server.pid.to_string(), server.started.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Away from the terminal's Ctrl-C, which is for `evenkeel up`.
            .process_group(0);
        let mut child = command.spawn().map_err(failed("does not start"))?;
        let missing = || KeeperError::NotNow("the watchdog of the lease has no pipes".to_owned());
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = tokio::io::BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Watchdog { server, child, input, output, answered: false })
    }

    /// Whose.
    pub fn server(&self) -> ProcessId {
        self.server
    }

    /// Its own number; `None` when it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets the server live until then; done when the watchdog has said that it knows.
    pub async fn extend(&mut self, until: Moment) -> Result<(), KeeperError> {
        let told = async {
            let line = format!("{}\n", until.0);
            self.input.write_all(line.as_bytes()).await?;
            self.input.flush().await?;
            let mut answer = String::new();
            while answer != line {
                answer.clear();
                if self.output.read_line(&mut answer).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
            }
            Ok(())
        };
        let within = if self.answered { ANSWER } else { FIRST_ANSWER };
        match tokio::time::timeout(within, told).await {
            Ok(told) => {
                self.answered = true;
                told.map_err(failed("does not answer"))
            }
            Err(_) => Err(failed("does not answer")(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// Ends it.
    pub async fn dismiss(mut self) {
        // An error means that it has ended.
        let _ = self.child.kill().await;
    }
}

/// Watchdogs of `server`, whoever started them: by their arguments, so no record of ours can be stale.
pub(super) fn watchdogs(server: ProcessId) -> Vec<ProcessId> {
    let wanted = [WATCHDOG.to_owned(), server.pid.to_string(), server.started.to_string()];
    let is_one = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).skip(1).take(wanted.len());
        words.eq(wanted.iter().map(|word| word.as_bytes()))
    };
    pids().filter(is_one).filter_map(ProcessId::of).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What the hidden command [`WATCHDOG`] does, with the number and the start of the server's first process.
#[must_use]
pub fn watchdog_main(pid: u32, started: u64) -> ExitCode {
    let server = ProcessId { pid, started };
    // Best effort: without the right to it, a page of this program may have to come from a disk that hangs.
    let all = rustix::mm::MlockAllFlags::CURRENT | rustix::mm::MlockAllFlags::FUTURE;
    let _ = rustix::mm::mlockall(all | rustix::mm::MlockAllFlags::ONFAULT);
    let (until, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (told, keeper) = (until.clone(), gone.clone());
    std::thread::spawn(move || {
        listen(&told);
        keeper.store(true, Ordering::SeqCst);
    });
    // Its sessions work there, too. One that was killed alone leaves them behind, and with nobody awaited they go on committing.
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
    let mut alive_at = boot_time();
    while server.alive() {
        alive_at = boot_time();
        let (until, now) = (until.load(Ordering::SeqCst), boot_time().0);
        if until == 0 && gone.load(Ordering::SeqCst) {
            return ExitCode::SUCCESS;
        }
        if until != 0 && now >= until {
            end(server, folder.as_deref(), alive_at);
            let _ = writeln!(
                std::io::stderr(),
                "watchdog: the lease of the server {pid} is over since {} ms; it was ended",
                now - until
            );
            return ExitCode::SUCCESS;
        }
        let left = if until == 0 { LOOK } else { Duration::from_millis(until - now) };
        // A process of its own: there is no runtime here whose timer could be used, and nobody who asks it to stop.
        std::thread::park_timeout(left.min(LOOK));
    }
    if until.load(Ordering::SeqCst) != 0
        && let Some(folder) = folder
    {
        end_orphans(&folder, alive_at);
    }
    ExitCode::SUCCESS
}

/// Ends what works in `folder` and was started before `alive_at`: not what a keeper has started there since.
fn end_orphans(folder: &Path, alive_at: Moment) {
    for pid in pids() {
        let works = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        // Counted in ticks of 10 ms (proc(5); 100 a second on every Linux that PostgreSQL runs on).
        if works
            && let Some(process) = ProcessId::of(pid).filter(|process| process.started * 10 <= alive_at.0)
            && std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.trim() == "postgres")
        {
            process.signal(Signal::KILL);
        }
    }
}

/// Takes in until when, and says that it has, for as long as there is a keeper.
fn listen(until: &AtomicU64) {
    for line in BufReader::new(std::io::stdin()).lines() {
        let Ok(line) = line else { return };
        if let Ok(moment) = line.trim().parse() {
            until.fetch_max(moment, Ordering::SeqCst);
            // A keeper that does not hear it does not count on it.
            let mut output = std::io::stdout();
            let _ = writeln!(output, "{line}").and_then(|()| output.flush());
        }
    }
}

/// Ends all processes of a server, which works in `folder` and ran at `alive_at`.
fn end(server: ProcessId, folder: Option<&Path>, alive_at: Moment) {
    // Stopped first it forks nothing more, and what it had is found by its parent; a killed one is no parent any more.
    server.signal(Signal::STOP);
    for _ in 0..KILLS_MAX {
        let left: Vec<ProcessId> =
            pids().filter(|child| parent(*child) == Some(server.pid)).filter_map(ProcessId::of).collect();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|child| child.signal(Signal::KILL));
        std::thread::park_timeout(KILL_AGAIN);
    }
    server.signal(Signal::KILL);
    // Its first process may have been killed alone since `alive_at`: then what it had has another parent already.
    if let Some(folder) = folder {
        end_orphans(folder, alive_at);
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in field 2 may hold brackets and spaces; the parent is the second field behind it (proc(5)).
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_lease_moves_on() {
        let before = boot_time();
        std::thread::sleep(Duration::from_millis(20));
        assert!(boot_time().ms_since(before) >= 20);
    }

    /// Its sessions commit where nobody is awaited, and are no children of it any more.
    #[test]
    fn of_a_server_whose_first_process_was_killed_just_before_its_time_was_over_nothing_is_left() {
        let folder = std::env::temp_dir().join(format!("ek-watchdog-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = std::fs::canonicalize(&folder).unwrap();
        // Called so, it is one of PostgreSQL's to whoever asks.
        std::os::unix::fs::symlink("/bin/sleep", folder.join("postgres")).unwrap();
        let sleep = |called: &Path| {
            let mut command = std::process::Command::new(called);
            command.arg("60").current_dir(&folder).spawn().unwrap()
        };
        let mut first = sleep(Path::new("/bin/sleep"));
        let (mut session, mut other) = (sleep(&folder.join("postgres")), sleep(Path::new("/bin/sleep")));
        let server = ProcessId::of(first.id()).unwrap();
        // Until it is that program it is still this one.
        let called = || std::fs::read_to_string(format!("/proc/{}/comm", session.id())).unwrap_or_default();
        while called().trim() != "postgres" {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(20));
        let alive_at = boot_time();
        first.kill().unwrap();
        first.wait().unwrap();
        end(server, Some(&folder), alive_at);
        let began = std::time::Instant::now();
        let mut ended = None;
        while ended.is_none() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
            ended = session.try_wait().unwrap();
        }
        let others = other.try_wait().unwrap();
        for mut left in [session, other] {
            let _ = left.kill();
            let _ = left.wait();
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(ended.is_some(), "a session is left");
        assert!(others.is_none(), "who is none of the server's was ended");
    }
}
