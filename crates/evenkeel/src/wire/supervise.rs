//! What `up` keeps going on one machine: the store and one agent per emulated zone, as systemd would on hosts.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use engine::EngineError;
use engine::local::{self, LocalOptions, LocalZones};
use model::{Moment, Plan, ZoneAddress, ZoneName};
use store::Store;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use world::{Clock, Restart};

use crate::exit::{Hinted, hinted, last_told};

use super::identity;
use super::logs;
use super::place;
use super::rollout::{self, Applied};
use super::site::{RunRecord, Site};
use super::slots::{self, Ground};
use super::snapshot::Sabotage;

/// The store opens its file and listens well within this time, or something is wrong with it.
const STORE_START: Duration = Duration::from_secs(10);
/// A killed process is gone within this time unless a disk holds it up.
const STORE_END: Duration = Duration::from_secs(5);
/// Time between two looks at children.
const LOOK: Duration = Duration::from_millis(100);
/// Agents end their units within the drain time and then their databases; after this they are ended the hard way.
const STOP_LIMIT: Duration = Duration::from_secs(110);
/// A child that crashes again and again is started again after up to 5 s.
const RESTART: Restart = Restart { at_once: 3, first_ms: 200, cap_ms: 5_000, good_run_ms: 10_000 };
/// A supervisor that starts this soon after `status` or another look at the folder's lock waits for the look to end.
const LOCK_WAIT: Duration = Duration::from_millis(300);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub plan: Plan,
    pub base: PathBuf,
    pub isolate: bool,
    pub sabotage: Sabotage,
}

/// The store and agents of one run.
pub struct Supervisor {
    site: Site,
    options: Options,
    zones: LocalZones,
    store: SocketAddr,
    program: PathBuf,
    clock: Clock,
    children: BTreeMap<String, Kept>,
    /// No killed run left anything here that may still listen.
    fresh: bool,
    _lock: File,
}

/// One child and its history.
struct Kept {
    child: Option<Child>,
    crashes: u32,
    started: Moment,
    again: Moment,
}

impl Kept {
    /// It ended, or could not be started.
    fn failed(&mut self, now: Moment) {
        self.child = None;
        self.crashes = self.crashes.saturating_add(1);
        self.again = now.plus(RESTART.wait_ms(self.crashes));
    }
}

/// Whether a run on this machine has left something to be cleared away.
pub fn left(site: &Site) -> bool {
    let zones = match LocalZones::load(site.root()) {
        Err(EngineError::File { cause, .. }) => cause.kind() != std::io::ErrorKind::NotFound,
        _ => true,
    };
    zones || site.store_process().is_some()
}

/// Clears away what a run left whose supervisor was killed: its processes, control groups, namespaces. `true` when
/// there was something.
///
/// # Errors
/// When something cannot be ended, or the supervisor is alive after all.
pub fn clear_away(site: &Site) -> anyhow::Result<bool> {
    let store = end_store(site)?;
    let zones = match LocalZones::load(site.root()) {
        Ok(zones) => {
            local::heal_all(site.root()).context("cannot heal what a drill had broken")?;
            zones.remove().context("cannot clear away what an earlier run left")?;
            true
        }
        // Nothing was made, or it was cleared away before.
        Err(EngineError::File { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            let hint =
                "end what still runs of it by hand (`ps` shows the folder's name), then remove that file";
            return Err(error).context(Hinted::new("cannot tell what an earlier run left", hint));
        }
    };
    site.remove_run();
    Ok(store || zones)
}

/// Ends the store of a run whose supervisor was killed: it holds the store's file.
fn end_store(site: &Site) -> anyhow::Result<bool> {
    let Some(store) = site.store_process() else { return Ok(false) };
    store.signal(rustix::process::Signal::KILL);
    let started = std::time::Instant::now();
    while store.alive() {
        anyhow::ensure!(started.elapsed() < STORE_END, "process {}, a store, cannot be ended", store.pid);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(true)
}

impl Supervisor {
    /// Starts everything; units follow as the agents see the plan.
    ///
    /// # Errors
    /// When another supervisor holds the folder, or zones, store or agents cannot be started.
    pub async fn start(site: Site, options: Options) -> anyhow::Result<(Supervisor, Applied)> {
        site.create()?;
        let lock = take(&site).await?;
        let lock = lock
            .ok_or_else(|| hinted("another `evenkeel up` runs here", "look at it with `evenkeel status`"))?;
        super::sign(&lock).with_context(|| format!("cannot write `{}`", site.lock_path().display()))?;
        end_store(&site)?;
        site.remove_run();
        remove_ending(&site);
        // Made afresh at each start: store and agents are new too, and a damaged one is replaced without a word.
        site.remove_token()?;
        store::Token::create(&site.store_token()).context("cannot make the store's token")?;
        site.make_console_token()?;
        identity::make(&site.identity_dir(), &options.plan, std::time::SystemTime::now())?;
        let local = LocalOptions::new(site.root(), options.plan.zones.clone(), options.isolate);
        // An orderly end takes this file away.
        let fresh = LocalZones::load(site.root()).is_err();
        let zones = LocalZones::create(&local).context("cannot make the emulated zones")?;
        let mut supervisor = Supervisor {
            zones,
            store: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            program: std::env::current_exe().context("cannot find this program's own file")?,
            clock: Clock::real(),
            children: BTreeMap::new(),
            fresh,
            _lock: lock,
            site,
            options,
        };
        let applied = match supervisor.begin().await {
            Ok(applied) => applied,
            Err(error) => {
                supervisor.stop(true).await;
                return Err(error);
            }
        };
        Ok((supervisor, applied))
    }

    async fn begin(&mut self) -> anyhow::Result<Applied> {
        self.store = SocketAddr::new(self.zones.store_address(), 0);
        // What earlier runs wrote there says nothing about this one; a log that is started afresh holds nothing.
        let before = std::fs::metadata(self.log_path("store")).map_or(0, |log| log.len());
        let before = if before > logs::BYTES_MAX { 0 } else { usize::try_from(before)? };
        let mut child = self.spawn("store")?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe from the store")?).lines();
        let line = tokio::time::timeout(STORE_START, lines.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten();
        let address = line.and_then(|line| line.parse().ok());
        self.store = address.ok_or_else(|| {
            let log = self.log_path("store");
            let told = std::fs::read(&log).unwrap_or_default();
            let told = String::from_utf8_lossy(told.get(before..).unwrap_or_default()).into_owned();
            let silent = || hinted("the store did not start", format!("its log is `{}`", log.display()));
            last_told(&told).unwrap_or_else(silent)
        })?;
        self.keep("store", child);
        let token = store::Token::load(&self.site.store_token())?;
        let store = Store::connect(self.store, token);
        let zones: Vec<ZoneAddress> = self.zones.zones.iter().map(address_of).collect();
        let ground = Ground { zones: &zones, shared: !self.options.isolate, fresh: self.fresh };
        slots::settle(&store, &self.options.plan, ground).await?;
        let applied = rollout::apply(&store, self.options.plan.clone()).await?;
        self.site.write_run(&RunRecord {
            pid: std::process::id(),
            isolate: self.options.isolate,
            zones,
            store: self.store,
            base: self.options.base.clone(),
        })?;
        for zone in self.options.plan.zones.clone() {
            let child = self.spawn(zone.as_str())?;
            self.keep(zone.as_str(), child);
        }
        Ok(applied)
    }

    /// The store, for whoever wants to look.
    ///
    /// # Errors
    /// When its token cannot be read.
    pub fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::connect(self.store, store::Token::load(&self.site.store_token())?))
    }

    fn keep(&mut self, name: &str, child: Child) {
        let now = self.clock.now();
        let crashes = self.children.get(name).map_or(0, |kept| kept.crashes);
        self.children.insert(name.to_owned(), Kept { child: Some(child), crashes, started: now, again: now });
    }

    fn log_path(&self, name: &str) -> PathBuf {
        match ZoneName::new(name) {
            Ok(zone) if name != "store" => self.site.zone_dir(&zone).join("agent.log"),
            _ => self.site.root().join("store").join("log"),
        }
    }

    fn spawn(&self, name: &str) -> anyhow::Result<Child> {
        let log = logs::open(&self.log_path(name))?;
        let mut words: Vec<String> = Vec::new();
        let zone = if name == "store" { None } else { Some(ZoneName::new(name)?) };
        words.extend(self.zones.prefix(zone.as_ref())?);
        words.push(text(&self.program)?);
        match &zone {
            None => words.extend(self.store_words()?),
            Some(zone) => words.extend(self.agent_words(zone)?),
        }
        let mut command = std::process::Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stderr(log);
        command.stdout(if zone.is_none() { Stdio::piped() } else { Stdio::null() });
        // A process group of its own: Ctrl-C at the terminal is for the supervisor alone, which then ends the others
        // in order.
        command.process_group(0);
        Command::from(command).spawn().with_context(|| format!("cannot start `{}`", words.join(" ")))
    }

    fn store_words(&self) -> anyhow::Result<Vec<String>> {
        Ok(vec![
            "store-server".to_owned(),
            "--listen".to_owned(),
            self.store.to_string(),
            "--dir".to_owned(),
            text(&self.site.store_dir())?,
            "--token".to_owned(),
            text(&self.site.store_token())?,
        ])
    }

    fn agent_words(&self, zone: &ZoneName) -> anyhow::Result<Vec<String>> {
        let local = self.zones.zone(zone)?;
        let mut words = vec!["agent".to_owned()];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("zone", zone.to_string());
        option("store", self.store.to_string());
        option("token", text(&self.site.store_token())?);
        option("console-token", text(&self.site.console_token())?);
        option("address", local.address.to_string());
        option("base", text(&self.options.base)?);
        option("dir", text(&local.state)?);
        option("local", text(self.site.root())?);
        option("identity", text(&self.site.identity_dir())?);
        option("databases", text(&place::of(&self.site, zone)?)?);
        if self.options.sabotage.no_health {
            words.push("--break-health".to_owned());
        }
        if self.options.sabotage.unsafe_retries {
            words.push("--break-retries".to_owned());
        }
        Ok(words)
    }

    /// Starts again what ended unasked, until `end` is done.
    ///
    /// One that cannot be started (no memory, no process number, the program's file exchanged at this moment) is tried
    /// again like one that crashed: what runs beside it serves on, so that is no reason to end it.
    ///
    /// # Errors
    /// When a child cannot be asked whether it runs.
    pub async fn watch(&mut self, end: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look()?;
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let names: Vec<String> = self.children.keys().cloned().collect();
        let own = names.iter().map(|name| self.log_path(name));
        own.chain([self.site.supervisor_log()]).for_each(|log| logs::turn(&log));
        for name in names {
            let Some(kept) = self.children.get_mut(&name) else { continue };
            if let Some(child) = &mut kept.child
                && let Some(status) = child.try_wait()?
            {
                if now.ms_since(kept.started) >= RESTART.good_run_ms {
                    kept.crashes = 0;
                }
                kept.failed(now);
                tracing::warn!(child = %name, %status, crashes = kept.crashes, "ended unasked");
            }
            let due = kept.child.is_none() && kept.again <= now;
            let held = ZoneName::new(&name)
                .is_ok_and(|zone| local::down(self.site.root(), &zone, self.clock.unix_ms()).is_some());
            if !due || held {
                continue;
            }
            match self.spawn(&name) {
                Ok(child) => self.keep(&name, child),
                Err(error) => {
                    tracing::error!(child = %name, error = format!("{error:#}"), "cannot be started; trying again");
                    if let Some(kept) = self.children.get_mut(&name) {
                        kept.failed(now);
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends agents, then the store, then everything that is left; `at_once` without waiting.
    pub async fn stop(&mut self, at_once: bool) {
        let store = self.children.remove("store");
        for zone in &self.options.plan.zones {
            let _ = local::clear_down(self.site.root(), zone);
        }
        // Without it agents end all the same: a database's next start takes a little longer.
        let _ = File::create(Site::ending_in(self.site.root()));
        let signal = if at_once { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
        for kept in self.children.values() {
            send(kept, signal);
        }
        let children: Vec<Kept> = std::mem::take(&mut self.children).into_values().collect();
        let ended = async {
            for kept in children {
                if let Some(mut child) = kept.child {
                    let _ = child.wait().await;
                }
            }
        };
        if tokio::time::timeout(STOP_LIMIT, ended).await.is_err() {
            tracing::warn!("agents did not stop in time; ending them");
        }
        if let Some(mut store) = store {
            send(&store, rustix::process::Signal::TERM);
            if let Some(child) = &mut store.child {
                let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
                let _ = child.start_kill();
            }
        }
        if let Err(error) = clear_away(&self.site) {
            tracing::warn!(%error, "something is left; `evenkeel down` tries again");
        }
        remove_ending(&self.site);
    }
}

fn remove_ending(site: &Site) {
    let _ = std::fs::remove_file(Site::ending_in(site.root()));
}

/// The folder's lock. Whoever only looks holds it for a moment too, so one refusal is no answer yet.
async fn take(site: &Site) -> anyhow::Result<Option<File>> {
    let started = std::time::Instant::now();
    loop {
        let lock = super::lock(&site.lock_path())?;
        if lock.is_some() || started.elapsed() >= LOCK_WAIT {
            return Ok(lock);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn address_of(zone: &local::LocalZone) -> ZoneAddress {
    ZoneAddress { zone: zone.zone.clone(), address: zone.address }
}

fn send(kept: &Kept, signal: rustix::process::Signal) {
    let pid = kept.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("`{}` is not valid UTF-8", path.display()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
