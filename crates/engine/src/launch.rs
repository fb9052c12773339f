//! One process of a unit: brought up through the shim, watched to its end, and ended with all it started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::{DatabaseName, DatabaseUrl, Probe, Run, UnitRecord, Values, Variable};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use crate::local::{UnitCgroup, ZoneCgroup};
use crate::process::{MARKER, ProcessId, boot_id, sweep};
use crate::record::{ProcessRecord, RECORD_FORMAT, unit_folder};
use crate::shim::{CANNOT, Launch, READY};
use crate::{log, marker};

/// How long the shim may take for each of its answers, in milliseconds: a machine under load starts slowly.
const SHIM_ANSWER_MS: u64 = 10_000;
/// Most bytes of an answer of the shim.
const SHIM_ANSWER_MAX: u64 = 4_096;
/// How long the kernel may take to end what is left of a unit, in milliseconds, before that is told.
const SWEEP_TELL_MS: u64 = 10_000;
/// Time between two looks whether all of a unit has ended, in milliseconds.
const SWEEP_LOOK_MS: u64 = 5;
/// Variables of the agent's environment that units get too.
const KEPT: &[&str] = &["PATH", "HOME", "LANG"];
/// Where programs are looked up when the agent has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the hidden command is run: usually this program itself with `unit-shim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment; units do not get it.
    pub environment: Vec<(String, String)>,
}

/// What is brought up.
pub(crate) struct Order {
    pub record: UnitRecord,
    /// Where it listens; `None` when it has no port.
    pub address: Option<SocketAddr>,
    pub zone_address: IpAddr,
    pub state: PathBuf,
    pub base: PathBuf,
    pub cgroup: Option<ZoneCgroup>,
    pub shim: Shim,
    /// The address of each database; secret, and handed over in the environment of the process alone.
    pub urls: BTreeMap<DatabaseName, DatabaseUrl>,
}

/// A process that runs, and the means to end it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub record: ProcessRecord,
    pub cgroup: Option<UnitCgroup>,
    marker: String,
    oom_before: u64,
}

/// A handle with what its watcher needs.
pub(crate) struct Live {
    pub handle: Handle,
    pidfd: OwnedFd,
    /// `None` for an adopted process, which is not a child of this one.
    child: Option<Child>,
}

/// Whether the unit listens on a port that evenkeel chooses.
pub(crate) fn has_port(record: &UnitRecord) -> bool {
    let service = &record.service;
    let command: &[_] = match &service.run {
        Run::Command(parts) => parts,
        Run::Image(_) => &[],
    };
    service.healthcheck.probe != Probe::Running
        || command.iter().chain(service.environment.values()).any(|text| text.uses(Variable::Port))
}

/// Ends a child that did not come to run, whatever happens on the way.
struct Held(Option<Child>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Both fail only when it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Brings a unit up; on an error, said for people, nothing of it runs. Blocks for some milliseconds.
pub(crate) fn launch(order: &Order) -> Result<Live, String> {
    let folder = unit_folder(&order.state, &order.record.name);
    let data = folder.join("data");
    private_folder(&folder)
        .and_then(|()| private_folder(&data))
        .map_err(|error| format!("cannot create the folder `{}`: {error}", data.display()))?;
    let cgroup = match &order.cgroup {
        Some(zone) => Some(
            zone.unit(&order.record.name, &order.record.service.resources).map_err(|error| chain(&error))?,
        ),
        None => None,
    };
    let marker = marker(&order.state, &order.record.name);
    let mut launch = describe(order, &data, &marker)?;
    launch.join = cgroup.as_ref().map(UnitCgroup::procs_files).unwrap_or_default();
    let oom_before = cgroup.as_ref().map_or(0, UnitCgroup::oom_kills);
    let (mut held, socket) = spawn_shim(&order.shim, &folder.join("log"), &marker)?;
    let pid = held.0.as_ref().map_or(0, Child::id);
    let mut answers = BufReader::new(&socket);
    hand_over(&socket, &mut answers, &launch)?;

    let process = ProcessId::of(pid).ok_or("it ended before it was started")?;
    let pidfd = open_pidfd(process).ok_or("it ended before it was started")?;
    let record = ProcessRecord {
        format: RECORD_FORMAT,
        process,
        boot: boot_id(),
        address: order.address,
        unit: order.record.clone(),
        ready: false,
    };
    record.write(&order.state).map_err(|error| format!("cannot write down its process: {error}"))?;
    (&socket).write_all(b"go\n").map_err(|error| format!("it ended before it was started: {error}"))?;
    // The end of the socket says that the program runs: `exec` closes the shim's side.
    if let Some(says) = answer(&mut answers).unwrap_or_else(Some) {
        drop(held);
        clear_leftovers(&order.state, &order.record.name, order.cgroup.as_ref());
        return Err(says);
    }
    let handle = Handle { record, cgroup, marker, oom_before };
    Ok(Live { handle, pidfd, child: held.0.take() })
}

/// Takes over a process that an earlier engine started; `None` when it has ended meanwhile.
pub(crate) fn adopt(record: &ProcessRecord, state: &Path, zone: Option<&ZoneCgroup>) -> Option<Live> {
    let pidfd = open_pidfd(record.process)?;
    // Looked at after the opening: a descriptor of a later process with the same number is let go.
    if !record.alive() {
        return None;
    }
    let cgroup = zone.map(|zone| zone.existing(&record.unit.name));
    let oom_before = cgroup.as_ref().map_or(0, UnitCgroup::oom_kills);
    let marker = marker(state, &record.unit.name);
    let handle = Handle { record: record.clone(), cgroup, marker, oom_before };
    Some(Live { handle, pidfd, child: None })
}

/// A descriptor that becomes readable when the process ends; also of a child that has ended and was not reaped.
fn open_pidfd(process: ProcessId) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(process.pid).ok()?)?, PidfdFlags::NONBLOCK).ok()
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn describe(order: &Order, data: &Path, marker: &str) -> Result<Launch, String> {
    let service = &order.record.service;
    let Run::Command(parts) = &service.run else {
        return Err("images are not run on this machine; give the service a `command`".to_owned());
    };
    let data = data.to_str().ok_or("the path of the state folder is not valid UTF-8")?;
    let values = Values {
        port: order.address.map_or(0, |address| address.port()),
        address: order.zone_address,
        zone: order.record.zone.as_str(),
        unit: order.record.name.as_str(),
        data,
        urls: &order.urls,
    };
    if let Some(database) = parts.iter().find_map(|part| part.urls().next()) {
        // Every user of the machine can read the arguments of a process. `spec` says so first, with its place.
        return Err(format!("`${{{database}.url}}` holds a password and stands in its `command`"));
    }
    let words: Vec<String> = parts
        .iter()
        .map(|part| part.render(&values))
        .collect::<Result<_, _>>()
        .map_err(|no| no.to_string())?;
    let mut words = words.into_iter();
    let program = words.next().filter(|word| !word.is_empty()).ok_or("its `command` is empty")?;
    let kept = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut environment: BTreeMap<String, String> = kept.collect();
    environment.entry("PATH".to_owned()).or_insert_with(|| PATH_DEFAULT.to_owned());
    for (name, value) in &service.environment {
        let value = value.render(&values).map_err(|no| no.to_string())?;
        environment.insert(name.clone(), value);
    }
    environment.insert(MARKER.to_owned(), marker.to_owned());
    let arguments: Vec<String> = words.collect();
    let texts = environment.iter().flat_map(|(name, value)| [name, value]).chain(&arguments);
    if texts.chain([&program]).any(|text| text.contains('\0')) {
        return Err("its `command` or `environment` holds a null byte".to_owned());
    }
    if environment.keys().any(|name| name.is_empty() || name.contains('=')) {
        return Err("its `environment` holds a name that is empty or has a `=`".to_owned());
    }
    let program = find(&program, &order.base, environment.get("PATH").map_or("", String::as_str))?;
    Ok(Launch { program, arguments, environment, folder: order.base.clone(), join: Vec::new() })
}

/// The path of the program: from the folder of the user's file when it holds a `/`, else from the `PATH`.
fn find(program: &str, base: &Path, path: &str) -> Result<String, String> {
    let runs = |file: &Path| {
        fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    let text = |file: PathBuf| {
        file.into_os_string().into_string().map_err(|_| format!("the path of `{program}` is not valid UTF-8"))
    };
    if program.contains('/') {
        let file = base.join(program);
        if runs(&file) {
            return text(file);
        }
        let what = if file.exists() { "cannot be executed" } else { "does not exist" };
        return Err(format!("`{}` {what}", file.display()));
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    match folders.map(|folder| Path::new(folder).join(program)).find(|file| runs(file)) {
        Some(file) => text(file),
        None => Err(format!("`{program}` is not found in the `PATH`")),
    }
}

fn spawn_shim(shim: &Shim, log: &Path, marker: &str) -> Result<(Held, UnixStream), String> {
    let cannot = |error: std::io::Error| format!("cannot start it: {error}");
    let output: File = log::open(log).map_err(|error| format!("cannot open its log: {error}"))?;
    let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
    let timeout = Some(Duration::from_millis(SHIM_ANSWER_MS));
    ours.set_read_timeout(timeout).and_then(|()| ours.set_write_timeout(timeout)).map_err(cannot)?;
    let child = Command::new(&shim.program)
        .args(&shim.arguments)
        .env_clear()
        .envs(shim.environment.iter().map(|(name, value)| (name, value)))
        .env(MARKER, marker)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(output.try_clone().map_err(cannot)?))
        .stderr(Stdio::from(output))
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", shim.program.display()))?;
    Ok((Held(Some(child)), ours))
}

/// Tells the shim what to run and waits until it is in its session and cgroups.
fn hand_over(mut socket: &UnixStream, answers: &mut impl BufRead, launch: &Launch) -> Result<(), String> {
    let mut line = serde_json::to_vec(launch).map_err(|error| format!("cannot describe it: {error}"))?;
    line.push(b'\n');
    // A shim that refuses may end before it has read all; its reason is in the answer.
    let sent = socket.write_all(&line);
    match answer(answers)? {
        Some(says) if says == READY => {
            sent.map_err(|error| format!("cannot tell the shim what to run: {error}"))
        }
        Some(says) => Err(says),
        None => Err("its shim ended without an answer".to_owned()),
    }
}

/// The next answer of the shim; `None` at its end.
fn answer(answers: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = String::new();
    match answers.take(SHIM_ANSWER_MAX).read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => {
            let line = line.trim_end();
            Ok(Some(line.strip_prefix(CANNOT).map_or(line.to_owned(), |why| format!("cannot {why}"))))
        }
        // Closed with unread data in it: the other side is gone, which is all that was asked.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(format!("its shim does not answer: {error}")),
    }
}

impl Handle {
    /// Asks the process and its group to end.
    pub(crate) fn terminate(&self) {
        self.record.process.signal_group(Signal::TERM);
    }

    /// Kills the process and all that can be reached at once; its watcher ends the rest.
    pub(crate) fn kill(&self) {
        if !self.kill_cgroup() {
            self.record.process.signal_group(Signal::KILL);
        }
    }

    fn kill_cgroup(&self) -> bool {
        match self.cgroup.as_ref().map(UnitCgroup::kill) {
            Some(Ok(done)) => done,
            Some(Err(error)) => {
                warn!(unit = %self.record.unit.name, error = chain(&error), "cannot kill by cgroup");
                false
            }
            None => false,
        }
    }

    /// Ends what the unit started and left behind. Returns when nothing is left, however long that takes: a second
    /// copy beside it would be worse than none.
    async fn clear(&self) {
        let mut waited_ms = 0;
        loop {
            let left = if self.kill_cgroup() {
                self.cgroup.as_ref().is_some_and(UnitCgroup::populated)
            } else {
                let (marker, leader) = (self.marker.clone(), self.record.process);
                tokio::task::spawn_blocking(move || sweep(&marker, Some(leader)) > 0).await.unwrap_or(true)
            };
            if !left {
                return;
            }
            if waited_ms == SWEEP_TELL_MS {
                warn!(unit = %self.record.unit.name, "processes it started do not end; it is not started again");
            }
            waited_ms += SWEEP_LOOK_MS;
            tokio::time::sleep(Duration::from_millis(SWEEP_LOOK_MS)).await;
        }
    }
}

/// The constructors that are not deprecated are `unsafe`, for sources that may exchange their descriptor. An
/// [`OwnedFd`] cannot, so the safe one asks nothing that is not given.
#[expect(deprecated, reason = "the other constructors are unsafe, which is forbidden here and not needed")]
fn waiter(pidfd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

impl Live {
    /// Waits until the process has ended, ends what it left, and says how it ended.
    pub(crate) async fn watch(self) -> String {
        let Live { handle, pidfd, child } = self;
        match waiter(pidfd) {
            Ok(pidfd) => {
                // An error here cannot be told from an end; the look below tells them apart.
                let _ = pidfd.readable().await;
            }
            Err(error) => {
                warn!(unit = %handle.record.unit.name, %error, "cannot wait for its end; looking instead")
            }
        }
        while handle.record.process.alive() {
            tokio::time::sleep(Duration::from_millis(SWEEP_LOOK_MS)).await;
        }
        // Before the child is reaped: until then its number, and with it its group and session, is nobody else's.
        handle.clear().await;
        let status = child.map(|mut child| child.wait());
        let starved = handle.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > handle.oom_before);
        if starved {
            let limit = handle.record.unit.service.resources.memory;
            return format!("killed by the kernel: it wanted more memory than its {limit}");
        }
        match status {
            Some(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit status {code}"),
                (None, Some(signal)) => format!("ended by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            Some(Err(_)) | None => "ended; how is not known, as an earlier agent had started it".to_owned(),
        }
    }
}

/// Ends what a unit left whose process is gone. Blocks for some milliseconds.
pub(crate) fn clear_leftovers(state: &Path, unit: &model::UnitName, zone: Option<&ZoneCgroup>) {
    if let Some(cgroup) = zone.map(|zone| zone.existing(unit))
        && let Err(error) = cgroup.kill()
    {
        warn!(%unit, error = chain(&error), "cannot kill by cgroup");
    }
    let left = sweep(&marker(state, unit), None);
    if left > 0 {
        warn!(%unit, left, "processes of an earlier run do not end");
    }
}
