//! The loop: observes, lets [`crate::decide`] decide, carries out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{DatabaseName, DatabaseUrl, Moment, UnitName, UnitRecord, UnitState, ZoneName};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};
use world::{Clock, Spawner, Stop, Stopper, Tasks};

use crate::decide::{Action, Decider, Event};
use crate::launch::{self, Handle, Live, Order};
use crate::local::ZoneCgroup;
use crate::record::{self, ProcessRecord};
use crate::{EngineError, Shim, log, port, probe};

/// Time between two steps in calm, in milliseconds; events are answered at once.
const TICK_MS: u64 = 50;
/// Time between two looks at the size of the logs, in milliseconds.
const LOGS_MS: u64 = 1_000;
/// Reports on their way to the loop; their senders wait when there are more.
const REPORTS_MAX: usize = 1_024;
/// What a shutdown takes beyond its deadline before it gives up, in milliseconds: killing and cleaning up.
const SHUTDOWN_EXTRA_MS: u64 = 5_000;

/// What one engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The zone; records of other zones are not carried out.
    pub zone: ZoneName,
    /// Units of the zone listen here.
    pub address: IpAddr,
    /// Folder of the zone's state; made when it is not there.
    pub state_dir: PathBuf,
    /// The zone's cgroups; `None`: no limits, and units are ended one process at a time.
    pub cgroup: Option<ZoneCgroup>,
    /// Folder of the user's file: the working folder of units, and where programs with a `/` are looked up.
    pub base_dir: PathBuf,
    /// The hidden command.
    pub shim: Shim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Detach,
    Shutdown { grace_ms: u64 },
}

#[derive(Debug, Default)]
struct Inputs {
    wanted: Option<BTreeMap<UnitName, UnitRecord>>,
    urls: BTreeMap<DatabaseName, DatabaseUrl>,
    released: BTreeSet<UnitName>,
    kills: Vec<(UnitName, String)>,
    end: Option<End>,
}

#[derive(Debug, Default)]
struct Desk {
    inputs: Mutex<Inputs>,
    changed: Notify,
}

impl Desk {
    fn inputs(&self) -> MutexGuard<'_, Inputs> {
        // Whoever panicked held it for one assignment; what is in it is whole.
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inputs)) {
        change(&mut self.inputs());
        self.changed.notify_one();
    }
}

/// Runs the units of one zone. Dropped, it leaves them running, as [`Engine::detach`] does.
#[derive(Debug)]
pub struct Engine {
    desk: Arc<Desk>,
    states: watch::Receiver<Vec<UnitState>>,
    ended: watch::Receiver<Option<Vec<UnitName>>>,
}

enum Report {
    Event(Event),
    Launched { unit: UnitName, run: u64, result: Result<Box<Live>, String> },
}

/// A process of a unit, as the loop knows it.
struct Running {
    run: u64,
    handle: Handle,
}

struct Driver {
    options: EngineOptions,
    clock: Clock,
    spawner: Spawner,
    desk: Arc<Desk>,
    reports: mpsc::Sender<Report>,
    /// Ends the tasks of this engine with the loop.
    stopper: Stopper,
    decider: Decider,
    wanted: BTreeMap<UnitName, UnitRecord>,
    found: BTreeMap<UnitName, ProcessRecord>,
    running: BTreeMap<UnitName, Running>,
    ports: BTreeMap<UnitName, SocketAddr>,
    /// Seen in the loop itself, heard in the next step.
    events: Vec<Event>,
    logs_due: Moment,
    states: watch::Sender<Vec<UnitState>>,
    /// Held until the last launch is over: no other engine may read the records before that.
    lock: Arc<File>,
}

impl Engine {
    /// Starts the engine of a zone: takes over the processes that an earlier one recorded, and ends what is left of
    /// units whose process is gone. Until the first [`Engine::want`] the taken over units are what is wanted.
    ///
    /// # Errors
    /// [`EngineError::Busy`] while another engine works in the same folder; [`EngineError::File`] when the folder
    /// cannot be used.
    pub fn start(options: EngineOptions, clock: Clock, tasks: &Tasks) -> Result<Engine, EngineError> {
        let mut options = options;
        fs::create_dir_all(&options.state_dir).map_err(EngineError::file("create", &options.state_dir))?;
        // The path is part of what marks processes as this engine's, so each spelling of it must be the same.
        options.state_dir =
            fs::canonicalize(&options.state_dir).map_err(EngineError::file("read", &options.state_dir))?;
        let lock = Arc::new(lock(&options.state_dir)?);
        let found = look(&options)?;
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let (states, states_seen) = watch::channel(Vec::new());
        let (ended, ended_seen) = watch::channel(None);
        let (stopper, _) = Stop::pair();
        let desk = Arc::new(Desk::default());
        let driver = Driver {
            spawner: tasks.spawner(),
            desk: desk.clone(),
            reports,
            stopper,
            decider: Decider::default(),
            wanted: found.alive.iter().map(|(name, record)| (name.clone(), record.unit.clone())).collect(),
            events: found
                .alive
                .values()
                .map(|record| Event::Found { record: Box::new(record.unit.clone()), ready: record.ready })
                .collect(),
            found: found.alive,
            running: BTreeMap::new(),
            ports: found.ports,
            logs_due: clock.now(),
            states,
            lock,
            options,
            clock,
        };
        let stop = tasks.stop();
        tasks.spawn(format!("engine/{}", driver.options.zone), driver.run(inbox, ended, stop));
        Ok(Engine { desk, states: states_seen, ended: ended_seen })
    }

    /// Says what the zone's units should be, as a whole; records of other zones are passed over.
    pub fn want(&self, units: Vec<UnitRecord>) {
        let wanted = units.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
        self.desk.change(|inputs| inputs.wanted = Some(wanted));
    }

    /// Says where the databases are, as a whole. It holds for units that are started from now on; those that run keep
    /// what they were started with. To be said before the units that use them are wanted: a start without it is
    /// refused, and tried again like a crash.
    pub fn know(&self, urls: BTreeMap<DatabaseName, DatabaseUrl>) {
        self.desk.change(|inputs| inputs.urls = urls);
    }

    /// Says of which units no front holds requests, as a whole: draining ones among them may end.
    pub fn release(&self, units: BTreeSet<UnitName>) {
        self.desk.change(|inputs| inputs.released = units);
    }

    /// Kills a unit because of `why`; it is started again like one that crashed.
    pub fn kill(&self, unit: &UnitName, why: &str) {
        let entry = (unit.clone(), why.to_owned());
        self.desk.change(|inputs| {
            if !inputs.kills.contains(&entry) {
                inputs.kills.push(entry);
            }
        });
    }

    /// What the units are; changes are seen by the receiver.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Vec<UnitState>> {
        self.states.clone()
    }

    /// Ends all units in order, in parallel: asks each to end, kills what still runs after `deadline`, and returns
    /// the names of those that did not even end then. To be called before the shutdown of the tasks.
    pub async fn shutdown(self, deadline: Duration) -> Vec<UnitName> {
        let grace_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.desk.change(|inputs| inputs.end = Some(End::Shutdown { grace_ms }));
        self.wait_for_end().await
    }

    /// Ends the engine and leaves the units running, for an agent that is started anew. Returns when nothing of
    /// the engine is left, so that the next one can begin.
    pub async fn detach(self) {
        self.desk.change(|inputs| inputs.end = Some(End::Detach));
        self.wait_for_end().await;
    }

    async fn wait_for_end(&self) -> Vec<UnitName> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(names) => names.clone().unwrap_or_default(),
            // The loop was aborted with its tasks: what ran then runs on.
            Err(_) => {
                let states = self.states.borrow();
                states.iter().filter(|state| state.pid.is_some()).map(|state| state.name.clone()).collect()
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.desk.change(|inputs| {
            inputs.end.get_or_insert(End::Detach);
        });
    }
}

fn lock(state: &Path) -> Result<File, EngineError> {
    let path = state.join("engine.lock");
    let file = log::open(&path).map_err(EngineError::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(EngineError::Busy { path: state.to_owned() }),
        Err(fs::TryLockError::Error(cause)) => Err(EngineError::File { what: "lock", path, cause }),
    }
}

struct Found {
    alive: BTreeMap<UnitName, ProcessRecord>,
    ports: BTreeMap<UnitName, SocketAddr>,
}

/// Reads what earlier engines wrote down. Units whose process is gone, or whose record cannot be read, are cleared.
fn look(options: &EngineOptions) -> Result<Found, EngineError> {
    let state = &options.state_dir;
    let (records, unreadable) = record::read_all(state).map_err(EngineError::file("read", state))?;
    let mut found = Found { alive: BTreeMap::new(), ports: BTreeMap::new() };
    for record in records {
        let name = record.unit.name.clone();
        if let Some(address) = record.address {
            found.ports.insert(name.clone(), address);
        }
        if record.alive() {
            found.alive.insert(name, record);
        } else {
            launch::clear_leftovers(state, &name, options.cgroup.as_ref());
            record::remove(state, &name).map_err(EngineError::file("remove", state))?;
        }
    }
    for (path, why) in unreadable {
        warn!(path = %path.display(), why, "a record of a process cannot be read; ending what it may describe");
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| UnitName::new(name).ok()) {
            launch::clear_leftovers(state, &name, options.cgroup.as_ref());
        }
        fs::rename(&path, path.with_extension("unreadable")).map_err(EngineError::file("rename", &path))?;
    }
    Ok(found)
}

impl Driver {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Report>,
        ended: watch::Sender<Option<Vec<UnitName>>>,
        stop: Stop,
    ) {
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let desk = self.desk.clone();
        let mut closing: Option<Moment> = None;
        loop {
            let report = tokio::select! {
                biased;
                () = stop.requested() => break,
                () = desk.changed.notified() => None,
                report = inbox.recv() => report,
                _ = tick.tick() => None,
            };
            report.into_iter().for_each(|report| self.hear(report));
            while let Ok(report) = inbox.try_recv() {
                self.hear(report);
            }
            match self.take_inputs() {
                Some(End::Detach) => break,
                Some(End::Shutdown { grace_ms }) if closing.is_none() => {
                    self.decider.close(grace_ms);
                    closing = Some(self.clock.now().plus(grace_ms.saturating_add(SHUTDOWN_EXTRA_MS)));
                }
                Some(End::Shutdown { .. }) | None => {}
            }
            self.step();
            let over = closing.is_some_and(|until| self.clock.now() >= until);
            if closing.is_some() && (self.decider.running().is_empty() || over) {
                break;
            }
        }
        let left = if closing.is_some() { self.decider.running() } else { Vec::new() };
        self.finish().await;
        ended.send_replace(Some(left));
    }

    /// Ends the tasks of this engine and waits for launches that are under way: each ends up recorded, or gone.
    async fn finish(self) {
        self.stopper.request();
        let lock = self.lock.clone();
        drop(self);
        while Arc::strong_count(&lock) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn take_inputs(&mut self) -> Option<End> {
        let mut inputs = self.desk.inputs();
        if let Some(wanted) = inputs.wanted.take() {
            self.wanted = wanted;
            self.wanted.retain(|_, record| record.zone == self.options.zone);
        }
        for (unit, why) in std::mem::take(&mut inputs.kills) {
            self.events.push(Event::KillAsked { unit, why });
        }
        inputs.end
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Event(event) => {
                if let Event::Exited { unit, run, .. } = &event
                    && self.running.get(unit).is_some_and(|running| running.run == *run)
                {
                    self.running.remove(unit);
                }
                self.events.push(event);
            }
            Report::Launched { unit, run, result } => match result {
                Ok(live) => {
                    self.events.push(Event::Started { unit, run });
                    self.attend(*live, run);
                }
                Err(why) => self.events.push(Event::Refused { unit, run, why }),
            },
        }
    }

    fn step(&mut self) {
        loop {
            let events = std::mem::take(&mut self.events);
            for event in &events {
                tell(event);
            }
            let now = self.clock.now();
            let actions = {
                let inputs = self.desk.inputs();
                self.decider.step(&events, &self.wanted, &inputs.released, now)
            };
            for action in actions {
                self.carry_out(action);
            }
            // What was refused on the spot is decided on the spot; a start is never among it twice in one moment, as
            // launches report through the inbox.
            if self.events.is_empty() {
                break;
            }
        }
        self.mark_ready();
        self.publish();
        if self.clock.now() >= self.logs_due {
            self.logs_due = self.clock.now().plus(LOGS_MS);
            self.turn_logs();
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start { record, run } => self.start(*record, run),
            Action::Adopt { unit, run } => self.adopt(unit, run),
            Action::Terminate { unit, run } => {
                if let Some(running) = self.of_run(&unit, run) {
                    running.handle.terminate();
                }
            }
            Action::Kill { unit, run } => {
                if let Some(running) = self.of_run(&unit, run) {
                    warn!(%unit, "killing it");
                    running.handle.kill();
                }
            }
            Action::Forget { unit } => self.forget(&unit),
            Action::Probe { unit, run, number } => self.probe(unit, run, number),
        }
    }

    fn of_run(&self, unit: &UnitName, run: u64) -> Option<&Running> {
        self.running.get(unit).filter(|running| running.run == run)
    }

    /// Runs a task of this engine that ends in a report.
    fn attend_to(&self, name: String, work: impl Future<Output = Report> + Send + 'static) {
        let (reports, stop) = (self.reports.clone(), self.stopper.stop());
        self.spawner.spawn(name, async move {
            tokio::select! {
                biased;
                () = stop.requested() => {}
                report = work => {
                    // An error says that the loop has ended; then nobody asks.
                    let _ = reports.send(report).await;
                }
            }
        });
    }

    fn name(&self, what: &str, unit: &UnitName) -> String {
        format!("engine/{}/{what}/{unit}", self.options.zone)
    }

    fn start(&mut self, record: UnitRecord, run: u64) {
        let unit = record.name.clone();
        let address = match self.place(&record) {
            Ok(address) => address,
            Err(why) => {
                self.events.push(Event::Refused { unit, run, why });
                return;
            }
        };
        let order = Order {
            record,
            address,
            zone_address: self.options.address,
            state: self.options.state_dir.clone(),
            base: self.options.base_dir.clone(),
            cgroup: self.options.cgroup.clone(),
            shim: self.options.shim.clone(),
            urls: self.desk.inputs().urls.clone(),
        };
        let lock = self.lock.clone();
        let name = self.name("start", &unit);
        self.attend_to(name, async move {
            let work = tokio::task::spawn_blocking(move || {
                let result = launch::launch(&order);
                drop(lock);
                result
            });
            let result = match work.await {
                Ok(result) => result.map(Box::new),
                Err(error) => Err(format!("cannot start it: {error}")),
            };
            Report::Launched { unit, run, result }
        });
    }

    /// The address of the unit, with the port it had before if nobody took it.
    fn place(&mut self, record: &UnitRecord) -> Result<Option<SocketAddr>, String> {
        if !launch::has_port(record) {
            self.ports.remove(&record.name);
            return Ok(None);
        }
        let before = self.ports.remove(&record.name).map(|address| address.port());
        let taken: BTreeSet<u16> = self.ports.values().map(SocketAddr::port).collect();
        let chosen = port::choose(self.options.address, &record.name, before, &taken)
            .ok_or_else(|| format!("no port is free on {}", self.options.address))?;
        self.ports.insert(record.name.clone(), chosen);
        Ok(Some(chosen))
    }

    fn adopt(&mut self, unit: UnitName, run: u64) {
        let record = self.found.remove(&unit);
        let live = record
            .and_then(|record| launch::adopt(&record, &self.options.state_dir, self.options.cgroup.as_ref()));
        match live {
            Some(live) => {
                info!(%unit, pid = live.handle.record.process.pid, "goes on under this agent");
                self.attend(live, run);
            }
            None => {
                launch::clear_leftovers(&self.options.state_dir, &unit, self.options.cgroup.as_ref());
                self.events.push(Event::Exited { unit, run, how: "ended while no agent watched".to_owned() });
            }
        }
    }

    fn attend(&mut self, live: Live, run: u64) {
        let unit = live.handle.record.unit.name.clone();
        self.running.insert(unit.clone(), Running { run, handle: live.handle.clone() });
        let name = self.name("watch", &unit);
        self.attend_to(name, async move {
            let how = live.watch().await;
            Report::Event(Event::Exited { unit, run, how })
        });
    }

    fn probe(&mut self, unit: UnitName, run: u64, number: u64) {
        let Some(record) = self.decider.record(&unit) else { return };
        let (health, address) = (record.service.healthcheck.clone(), self.ports.get(&unit).copied());
        let name = self.name("probe", &unit);
        self.attend_to(name, async move {
            let answer = probe::ask(address, &health).await;
            Report::Event(Event::Probed { unit, run, number, answer })
        });
    }

    fn forget(&mut self, unit: &UnitName) {
        info!(%unit, "nothing of it is left");
        self.ports.remove(unit);
        let removed = record::remove(&self.options.state_dir, unit);
        // Also one that is being started, or is to be: it has a log, and no record yet.
        let known = |name: &str| UnitName::new(name).is_ok_and(|unit| self.decider.record(&unit).is_some());
        let lives = |name: &str| known(name) || self.running.keys().any(|unit| unit.as_str() == name);
        let pruned = record::prune(&self.options.state_dir, lives, record::ENDED_MAX);
        let emptied = self.options.cgroup.as_ref().map_or(Ok(()), |zone| zone.existing(unit).remove());
        for result in [removed, pruned, emptied] {
            if let Err(error) = result {
                // A stale record names a process that has ended, an empty cgroup holds none: both do no harm.
                warn!(%unit, error = &error as &dyn std::error::Error, "cannot clean up after it");
            }
        }
    }

    /// Writes down which processes have been healthy. Not synced: it matters only while the machine is up.
    fn mark_ready(&mut self) {
        for (unit, running) in &mut self.running {
            if running.handle.record.ready || !self.decider.was_healthy(unit) {
                continue;
            }
            running.handle.record.ready = true;
            if let Err(error) = running.handle.record.write_quick(&self.options.state_dir) {
                warn!(%unit, error = &error as &dyn std::error::Error, "cannot write down that it is healthy");
            }
        }
    }

    fn publish(&mut self) {
        let states = self.decider.states(|unit| {
            let pid = self.running.get(unit).map(|running| running.handle.record.process.pid);
            (self.ports.get(unit).copied(), pid)
        });
        self.states.send_if_modified(|now| {
            let changed = *now != states;
            if changed {
                *now = states;
            }
            changed
        });
    }

    fn turn_logs(&self) {
        let folders: Vec<PathBuf> =
            self.running.keys().map(|unit| record::unit_folder(&self.options.state_dir, unit)).collect();
        let lock = self.lock.clone();
        let stop = self.stopper.stop();
        self.spawner.spawn(format!("engine/{}/logs", self.options.zone), async move {
            let work = tokio::task::spawn_blocking(move || {
                let turned: Vec<io::Result<bool>> =
                    folders.iter().map(|folder| log::rotate(&folder.join("log"), log::LOG_MAX)).collect();
                drop(lock);
                turned.into_iter().filter_map(Result::err).next()
            });
            tokio::select! {
                biased;
                () = stop.requested() => {}
                failed = work => {
                    if let Ok(Some(error)) = failed {
                        warn!(error = &error as &dyn std::error::Error, "cannot turn a log");
                    }
                }
            }
        });
    }
}

fn tell(event: &Event) {
    match event {
        Event::Exited { unit, run, how } => info!(%unit, run, how, "its process ended"),
        Event::Refused { unit, run, why } => warn!(%unit, run, why, "it cannot be started"),
        Event::Started { unit, run } => info!(%unit, run, "its process runs"),
        Event::KillAsked { unit, why } => warn!(%unit, why, "asked to kill it"),
        Event::Found { .. } | Event::Probed { .. } => {}
    }
}
