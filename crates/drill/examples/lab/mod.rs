//! Hosts on one machine: a network namespace and a control group each, on one switch, beside the machine itself, from
//! which clients look at them. For soaks and measurements that need links which can be cut.
//!
//! Promise: what a host runs dies, stands still and is cut off as a whole; what the machine's own namespace runs never
//! is. Dropped, nothing of it is left; what a killed run left is cleaned away when the next lab is made.
//!
//! Namespaces, links, rules and control groups are those of `up --isolate` ([`engine::local`]); here is only what
//! several programs beside each other need on top. Needs root, `iproute2` and `nftables`: [`missing`] says what is
//! not there.
//!
//! Deliberately absent: clocks of their own.

// Each program that includes it uses its part of it.
#![allow(dead_code)]

pub mod slow;
mod within;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use database::instance::system_user;
use engine::EngineError;
use engine::local::{self, LocalOptions, LocalZone, LocalZones, ProcessId, Way};
use model::ZoneName;
use rustix::process::Signal;

/// What every folder of a lab begins with, so that those of dead runs are found.
const FOLDER: &str = "evenkeel-lab-";
/// Networks that are tried: `10.N.0.0/16`, beginning at one that the process's number chooses.
const NETWORKS: std::ops::Range<u8> = 120..250;
/// What was killed is gone by then.
const GONE: Duration = Duration::from_secs(10);

/// Which packets of a host are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All.
    Both,
    /// Those to it: it speaks and hears nothing.
    In,
    /// Those from it: it hears and nobody hears it.
    Out,
}

/// A program to be run in a host.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<OsString>,
    user: Option<String>,
    environment: BTreeMap<OsString, OsString>,
    folder: Option<PathBuf>,
    log: String,
}

impl Program {
    /// `words` are the program and its arguments; both its outputs are appended to `log` in the host's folder.
    pub fn new<W: Into<OsString>>(log: &str, words: impl IntoIterator<Item = W>) -> Program {
        Program {
            words: words.into_iter().map(Into::into).collect(),
            user: None,
            environment: BTreeMap::new(),
            folder: None,
            log: log.to_owned(),
        }
    }

    /// As this system user and its groups, instead of root.
    pub fn user(mut self, name: &str) -> Program {
        self.user = Some(name.to_owned());
        self
    }

    /// With this in its environment, beside what this process has.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// In this working folder, instead of this process's.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Program {
        self.folder = Some(folder.into());
        self
    }
}

/// The hosts.
pub struct Lab {
    zones: LocalZones,
    folder: PathBuf,
    keep: bool,
    children: Mutex<Vec<Child>>,
    tasks: world::Tasks,
}

/// What is missing to make a lab here; `None`: nothing.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("hosts in network namespaces need root".to_owned());
    }
    let absent = ["ip", "nft", "nsenter", "setpriv"].into_iter().find(|program| {
        let looked =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        looked.is_err()
    });
    absent.map(|program| format!("`{program}` is not installed"))
}

impl Lab {
    /// Makes hosts of these names (`a`, `b-1`), up to nine.
    ///
    /// # Errors
    /// When [`missing`] names something, or no network is free.
    pub fn make(hosts: &[&str]) -> Result<Lab> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        if let Some(missing) = missing() {
            bail!(missing);
        }
        clean();
        let process = std::process::id();
        let folder =
            std::env::temp_dir().join(format!("{FOLDER}{process}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder)?;
        // Other users' programs have their folders in it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let names = hosts.iter().map(|host| ZoneName::new(host)).collect::<Result<Vec<_>, _>>()?;
        let zones = create(&folder, names, process).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let folder = zones.state.clone();
        for zone in &zones.zones {
            fs::set_permissions(&zone.state, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Lab { zones, folder, keep: false, children: Mutex::default(), tasks: world::Tasks::new() })
    }

    /// Everything of it that is a file lies here.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The host's own folder, for logs and data. Everybody may look into it.
    pub fn home(&self, host: &str) -> PathBuf {
        self.folder.join("zones").join(host)
    }

    /// Leaves the folder behind.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// The host's address.
    ///
    /// # Errors
    /// When there is no such host; so with everything else that takes one.
    pub fn address(&self, host: &str) -> Result<IpAddr> {
        Ok(self.host(host)?.address)
    }

    /// This machine's address as hosts see it. Never cut off.
    pub fn outside(&self) -> IpAddr {
        self.zones.machine_address()
    }

    /// What the names of its namespaces and links begin with.
    pub fn prefix(&self) -> String {
        self.zones.wiring.as_ref().map_or_else(String::new, |wiring| wiring.prefix.clone())
    }

    fn host(&self, host: &str) -> Result<&LocalZone> {
        Ok(self.zones.zone(&ZoneName::new(host)?)?)
    }

    /// Starts a program in the host; its process number. It ends with the host, with the lab, or by
    /// [`Lab::signal`].
    pub fn spawn(&self, host: &str, program: &Program) -> Result<u32> {
        let zone = self.host(host)?;
        let log = self.home(host).join(format!("{}.log", program.log));
        let log = File::options().append(true).create(true).open(&log)?;
        // Into the control group before anything else, so that nothing it starts is left out.
        let mut command = Command::new("sh");
        command.args(["-c", r#"[ -z "$0" ] || echo $$ > "$0"; exec "$@""#]);
        command.arg(zone.cgroup.procs_file().unwrap_or_default());
        command.args(self.zones.prefix(Some(&zone.zone))?);
        if let Some(user) = &program.user {
            let (user, group) = system_user(user).with_context(|| format!("there is no user `{user}`"))?;
            let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
            command.args(["setpriv", &user, &group, "--init-groups", "--"]);
        }
        command.args(&program.words).envs(&program.environment);
        if let Some(folder) = &program.folder {
            command.current_dir(folder);
        }
        // In a group of its own: a Ctrl-C is for whoever made the lab.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child =
            command.spawn().with_context(|| format!("cannot run {:?} in host {host}", program.words))?;
        let number = child.id();
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Ok(number)
    }

    /// Runs a program in the host to its end; what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ask(&self, host: &str, words: &[&str]) -> Result<String> {
        let mut all = self.zones.prefix(Some(&self.host(host)?.zone))?;
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let output = Command::new(&all[0]).args(&all[1..]).stdin(Stdio::null()).output()?;
        ensure!(
            output.status.success(),
            "`{}`: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether a program that was started here still runs; it is fetched when it does not.
    pub fn lives(&self, number: u32) -> bool {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = children.iter_mut().find(|child| child.id() == number);
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Signals a program that was started here, alone.
    pub fn signal(&self, number: u32, signal: Signal) {
        if self.lives(number)
            && let Some(process) = ProcessId::of(number)
        {
            process.signal(signal);
        }
    }

    /// Everything of the host is gone, at once: as when its power fails. Its network and its disk stay.
    pub fn kill(&self, host: &str) -> Result<()> {
        let zone = self.host(host)?;
        self.zones.kill_zone(&zone.zone)?;
        let end = Instant::now() + GONE;
        loop {
            let left = processes(zone);
            left.iter().for_each(|process| process.signal(Signal::KILL));
            self.fetch();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{} processes of host {host} do not end", left.len());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Everything of the host stands still; its sockets stay open.
    pub fn freeze(&self, host: &str) -> Result<()> {
        self.hold(host, true)
    }

    /// Everything of the host goes on.
    pub fn thaw(&self, host: &str) -> Result<()> {
        self.hold(host, false)
    }

    fn hold(&self, host: &str, hold: bool) -> Result<()> {
        let zone = self.host(host)?;
        if zone.cgroup.v2.is_some() {
            match hold {
                true => self.zones.freeze_zone(&zone.zone)?,
                false => self.zones.thaw_zone(&zone.zone)?,
            }
            return Ok(());
        }
        // Twice, for what was forked in between.
        let signal = if hold { Signal::STOP } else { Signal::CONT };
        (0..2).flat_map(|_| processes(zone)).for_each(|process| process.signal(signal));
        Ok(())
    }

    /// Drops packets of the host from and to everybody, this machine included. Inside of it nothing changes.
    pub fn cut(&self, host: &str, cut: Cut) -> Result<()> {
        let zone = &self.host(host)?.zone;
        match cut {
            Cut::Both => self.zones.cut_zone(zone)?,
            Cut::In => self.zones.cut_zone_one_way(zone, Way::In)?,
            Cut::Out => self.zones.cut_zone_one_way(zone, Way::Out)?,
        }
        Ok(())
    }

    /// Drops packets from one host to another; with `both`, also the way back.
    pub fn cut_between(&self, from: &str, to: &str, both: bool) -> Result<()> {
        let (from, to) = (&self.host(from)?.zone, &self.host(to)?.zone);
        self.zones.cut_link(from, to)?;
        if both {
            self.zones.cut_link(to, from)?;
        }
        Ok(())
    }

    /// All packets of all hosts pass again.
    pub fn heal(&self) -> Result<()> {
        Ok(self.zones.heal_links()?)
    }

    /// Every packet to the host and from it comes late, or never, until [`slow::Slow::end`]. Must be called within a tokio
    /// runtime.
    pub fn slow(&self, host: &str, how: slow::Slowness) -> Result<slow::Slow> {
        let zone = &self.host(host)?.zone;
        let place = self.zones.zones.iter().position(|one| one.zone == *zone).context("no such host")?;
        let wiring = self.zones.wiring.as_ref().context("the hosts have no switch")?;
        // As `engine::local` calls the port.
        slow::Slow::begin(wiring.switch(), format!("p{}", place + 1), how)
    }

    /// A disk of its own for the host, of so many bytes; it is at the folder that comes back.
    pub fn disk(&self, host: &str, bytes: u64) -> Result<PathBuf> {
        let place = self.home(host).join("disk");
        fs::create_dir_all(&place)?;
        let size = format!("size={bytes},mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "evenkeel-lab"]).arg(&place).output()?;
        ensure!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr).trim());
        Ok(place)
    }

    /// An address of this machine that leads to `to` as somebody inside the host reaches it, also while the host is cut
    /// off. Must be called within a tokio runtime.
    pub fn way_in(&self, host: &str, to: SocketAddr) -> Result<SocketAddr> {
        let namespace = self.host(host)?.namespace.clone().context("the host has no namespace")?;
        within::relay(&self.tasks, namespace, to)
    }

    /// Fetches what has ended.
    fn fetch(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let hosts: Vec<String> = self.zones.zones.iter().map(|zone| zone.zone.to_string()).collect();
        let killed: Vec<Result<()>> = hosts.iter().map(|host| self.kill(host)).collect();
        let removed = self.zones.remove();
        for error in killed.iter().filter_map(|killed| killed.as_ref().err()) {
            eprintln!("{error:#}");
        }
        if let Err(error) = removed {
            eprintln!("not all of the lab is gone: {error}");
        }
        unmount(&self.folder);
        if !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The hosts in the first network that is free here.
fn create(folder: &Path, names: Vec<ZoneName>, process: u32) -> Result<LocalZones> {
    let count = u32::from(NETWORKS.end - NETWORKS.start);
    let mut last = None;
    for try_ in 0..4 {
        let network = NETWORKS.start + ((process + try_ * 37) % count) as u8;
        let options =
            LocalOptions { network: [10, network], ..LocalOptions::new(folder, names.clone(), true) };
        match LocalZones::create(&options) {
            Ok(zones) => return Ok(zones),
            Err(error @ EngineError::Unable { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no network"), Into::into))
}

/// Everything that runs in the host, found by its network.
fn processes(zone: &LocalZone) -> Vec<ProcessId> {
    let Some(name) = &zone.namespace else { return Vec::new() };
    let Ok(about) = fs::metadata(Path::new("/run/netns").join(name)) else { return Vec::new() };
    let own = PathBuf::from(format!("net:[{}]", about.ino()));
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let here = |number: &u32| fs::read_link(format!("/proc/{number}/ns/net")).is_ok_and(|net| net == own);
    numbers.filter(here).filter_map(ProcessId::of).collect()
}

/// Removes what labs left whose process is gone.
fn clean() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let left = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER));
    for folder in left.map(|entry| entry.path()) {
        // One that cannot be read was left on purpose, or is just being made.
        let Ok(zones) = LocalZones::load(&folder) else { continue };
        if zones.supervisor.alive() {
            continue;
        }
        zones.zones.iter().flat_map(processes).for_each(|process| process.signal(Signal::KILL));
        let removed = local::heal_all(&folder).and_then(|()| zones.remove());
        unmount(&folder);
        if removed.is_ok() {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// Takes the disks below `folder` away.
fn unmount(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for place in places.filter(|place| Path::new(place).starts_with(folder)) {
        let _ = Command::new("umount").args(["--lazy", place]).status();
    }
}
