//! The hidden command `evenkeel unit-shim`: a process that exists, is recorded, and runs nothing until it is told to.
//!
//! The agent starts it with one end of a socket pair (a pipe will do) as its standard input and writes the
//! [`Launch`] as one line of JSON. The shim begins a session of its own, joins its cgroups and answers `ready`. Only
//! when the record of its process is on disk does the agent write `go`; then the shim becomes the unit's program. If
//! the agent dies before that, the shim reads the end of its input and exits without a word. So there is no moment
//! at which a crash of the agent leaves an unrecorded process of a unit.
//!
//! Nothing secret is in the arguments, which every user of the machine can read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

/// What the shim is to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program: a path, or a name that is looked up in the `PATH` of `environment`.
    pub program: String,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Files `cgroup.procs` of the cgroups to join.
    pub join: Vec<PathBuf>,
}

/// Most bytes of a [`Launch`] as JSON.
pub const LAUNCH_MAX: u64 = 4 * 1024 * 1024;
/// What the shim answers when it is ready to go.
pub const READY: &str = "ready";
/// How the shim begins the line that says why it cannot.
pub const CANNOT: &str = "cannot ";
/// `oom_score_adj` of units, -1,000 to 1,000.
pub const UNIT_OOM_SCORE: i32 = 500;
/// The exit code of a shim that was not told to go.
const NOT_TOLD: u8 = 0;
/// The exit code of a shim whose program cannot be run; as a shell's.
const NOT_RUN: u8 = 127;

/// Runs the shim on the standard input of this process. Returns only when nothing was started: 0 when it was not
/// told to go, 127 when the program cannot be run. The arguments of the command are not looked at.
#[must_use]
pub fn shim_main(_arguments: impl IntoIterator) -> ExitCode {
    // From here on the agent's end of the pair is held by a descriptor that `exec` closes: its end of file tells the
    // agent that the program runs.
    let agent = match rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3) {
        Ok(fd) => File::from(fd),
        Err(error) => return refuse(None, &format!("use its standard input: {error}")),
    };
    let mut lines = BufReader::new(&agent);
    let launch = match read_launch(&mut lines) {
        Ok(Some(launch)) => launch,
        Ok(None) => return ExitCode::from(NOT_TOLD),
        Err(error) => return refuse(Some(&agent), &format!("understand what to run: {error}")),
    };
    // A session of its own: the terminal's Ctrl-C is for `evenkeel up`, which ends units in order.
    if let Err(error) = rustix::process::setsid() {
        return refuse(Some(&agent), &format!("begin a session: {error}"));
    }
    for cgroup in &launch.join {
        if let Err(error) = std::fs::write(cgroup, std::process::id().to_string()) {
            return refuse(Some(&agent), &format!("join the cgroup `{}`: {error}", cgroup.display()));
        }
    }
    go_first();
    // On a plain pipe nobody reads the answer, so a failed write is no failure; silence from then on would be seen.
    let _ = (&agent).write_all(format!("{READY}\n").as_bytes());
    let mut word = String::new();
    let told = lines.take(16).read_line(&mut word).is_ok_and(|_| word == "go\n");
    if !told {
        return ExitCode::from(NOT_TOLD);
    }
    close_others(&agent);
    let error = become_program(&launch);
    refuse(Some(&agent), &format!("run `{}`: {error}", launch.program))
}

fn read_launch(lines: &mut impl BufRead) -> io::Result<Option<Launch>> {
    let mut line = Vec::new();
    lines.take(LAUNCH_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Of everything on a machine that runs out of memory, the kernel ends units first: they hold no data and are started again,
/// while a database would recover, an agent would take its zone with it, and a store its vote. Half of the machine's memory
/// counts as much as this, so that a small unit goes before a large database. Where there is no such file nothing changes.
fn go_first() {
    let file = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if now.is_some_and(|now| now < UNIT_OOM_SCORE) {
        // Raising it needs no privilege.
        let _ = std::fs::write(file, UNIT_OOM_SCORE.to_string());
    }
}

/// Closes what the agent, or whoever started it, left open to its children: a unit has no business with it. Nothing
/// in this process uses any of it; the end of the agent's pair is closed by `exec`.
fn close_others(agent: &File) {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let numbers: Vec<RawFd> = numbers.filter(|number| *number > 2 && *number != agent.as_raw_fd()).collect();
    for number in numbers {
        // The one that listed them is closed already.
        let _ = nix::unistd::close(number);
    }
}

fn become_program(launch: &Launch) -> io::Error {
    let silent = match File::open("/dev/null") {
        Ok(file) => file,
        Err(error) => return error,
    };
    if let Err(error) = rustix::stdio::dup2_stdin(&silent) {
        return error.into();
    }
    if let Err(error) = std::env::set_current_dir(&launch.folder) {
        return io::Error::new(error.kind(), format!("cannot enter `{}`: {error}", launch.folder.display()));
    }
    Command::new(&launch.program).args(&launch.arguments).env_clear().envs(&launch.environment).exec()
}

fn refuse(agent: Option<&File>, why: &str) -> ExitCode {
    let line = format!("{CANNOT}{}\n", why.replace('\n', " "));
    if let Some(mut agent) = agent {
        let _ = agent.write_all(line.as_bytes());
    }
    // The standard error of the shim is the unit's log.
    let _ = io::stderr().write_all(format!("evenkeel: {line}").as_bytes());
    ExitCode::from(NOT_RUN)
}
