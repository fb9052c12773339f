//! The agent of one zone: holds the zone's lease, runs its units and its front, and leads when it is its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::database::path::{DataReport, DataSnapshot};
use anyhow::Context;
use engine::local::LocalZones;
use engine::{Engine, EngineOptions, Shim};
use model::{
    AgentRecord, DatabaseName, DatabaseUrl, FrontReport, FrontSnapshot, Moment, UnitName, UnitRecord,
    ZoneName,
};
use store::{Store, Txn};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use world::{Clock, Limits, Stop, Tasks};

use super::coordination::StoreAddress;
use super::keepers::{self, Board};
use super::mirror::{self, Mirror};
use super::publish::{self, Link};
use super::site::Site;
use super::{breaks, console, data, database, fronts, identity, member, release, report, snapshot};

/// Units that use a database wait this long after the agent's start for another zone's address, so that their second
/// way to the database is in their environment. A zone that is away longer is done without.
const OTHER_ZONE_MS: u64 = 3_000;
/// `down` and a host that shuts down do not wait longer for open requests, whatever `drain` says.
const DRAIN_MAX_MS: u64 = 60_000;
/// Ending units gracefully may take their drain time; this much more for the agent's own tasks.
const SHUTDOWN_MARGIN_MS: u64 = 3_000;

/// Everything an agent must know at its start.
#[derive(Clone, Debug)]
pub struct Options {
    pub zone: ZoneName,
    pub store: StoreAddress,
    pub token: Option<PathBuf>,
    pub store_tls: Option<PathBuf>,
    pub console_token: PathBuf,
    pub address: IpAddr,
    pub base: PathBuf,
    pub dir: PathBuf,
    pub identity: PathBuf,
    pub databases: PathBuf,
    pub local: Option<PathBuf>,
    /// What applications and databases say to each other crosses no network, or one that nobody else can read.
    pub trusted_network: bool,
    pub sabotage: snapshot::Sabotage,
}

/// The handles that the agent's tasks share.
#[derive(Clone)]
struct Agent {
    options: Arc<Options>,
    /// This program's file as it was called at the start: after an upgrade in place the kernel calls it deleted.
    program: Arc<Path>,
    clock: Clock,
    store: Store,
    mirror: watch::Receiver<Arc<Mirror>>,
    engine: Arc<Engine>,
    board: watch::Receiver<Board>,
    stop: Stop,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When its folder, sockets or tokens cannot be had.
pub async fn run(options: Options) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.dir)
        .with_context(|| format!("cannot make `{}`", options.dir.display()))?;
    let _lock = super::lock(&options.dir.join("lock"))?.with_context(|| {
        format!("another agent runs zone `{}` from `{}`", options.zone, options.dir.display())
    })?;
    let access = options.store.access(options.token.as_deref(), options.store_tls.as_deref())?;
    let console_token =
        std::fs::read_to_string(&options.console_token).context("cannot read the console's token")?;
    let socket = publish::bind(&options.dir.join("front.sock"))?;
    let data_socket = publish::bind(&options.dir.join("data.sock"))?;
    let console_listener =
        tokio::net::TcpListener::bind((options.address, 0)).await.context("no port for the console")?;

    let program: Arc<Path> = std::env::current_exe().context("cannot find this program's own file")?.into();
    let clock = Clock::real();
    // The engine outlives the other tasks: units end when nobody hands it new wishes. Databases end last: units use them
    // until they have drained.
    let (tasks, engine_tasks, keeper_tasks) = (Tasks::new(), Tasks::new(), Tasks::new());
    let store = access.open()?;
    let engine = Engine::start(engine_options(&options, &program)?, clock.clone(), &engine_tasks)
        .context("the engine cannot start")?;
    let engine = Arc::new(engine);
    let (mirror_out, mirror) = watch::channel(Arc::new(Mirror::default()));
    let (board_out, board) = watch::channel(Board::default());
    let options = Arc::new(options);
    let agent = Agent { options, program, clock, store, mirror, engine, board, stop: tasks.stop() };

    tasks.spawn("mirror", mirror::follow(agent.store.clone(), mirror_out, tasks.stop()));
    let (told, told_states) = watch::channel(false);
    start_member(&agent, &tasks, console_listener.local_addr()?, told_states);
    start_front(&agent, &tasks, socket)?;
    start_data(&agent, &tasks, data_socket)?;
    start_keepers(&agent, &keeper_tasks, board_out);
    start_console(&agent, &tasks, console_listener, console_token.trim().to_owned());
    start_breaks(&agent, &tasks);
    tasks.spawn("units", carry_out(agent.clone()));
    tasks.spawn("states", write_states(agent.clone(), told));
    tracing::info!(zone = %agent.options.zone, pid = std::process::id(), "agent started");

    wait_for_end().await?;
    let drain_ms = longest_drain_ms(&agent.mirror.borrow()) + SHUTDOWN_MARGIN_MS;
    let mut late = tasks.shutdown(Limits::default()).await;
    let Agent { engine, .. } = agent;
    if let Some(engine) = Arc::into_inner(engine) {
        let left = engine.shutdown(Duration::from_millis(drain_ms)).await;
        late.extend(left.iter().map(ToString::to_string));
    }
    late.extend(engine_tasks.shutdown(Limits::default()).await);
    let grace_ms = keepers::STOP_MS + keepers::AFTER_PRIMARY_MS + SHUTDOWN_MARGIN_MS;
    late.extend(keeper_tasks.shutdown(Limits { grace_ms, ..Limits::default() }).await);
    if !late.is_empty() {
        tracing::warn!(?late, "did not stop in time");
    }
    Ok(())
}

fn longest_drain_ms(picture: &Mirror) -> u64 {
    let drains = picture.units.values().map(|(unit, _)| unit.service.deploy.drain.0);
    drains.max().unwrap_or(0).min(DRAIN_MAX_MS)
}

/// Enters the emulated zone, if this is one, and tells the engine where it works.
fn engine_options(options: &Options, program: &Path) -> anyhow::Result<EngineOptions> {
    let mut cgroup = None;
    if let Some(state) = &options.local {
        let zones = LocalZones::load(state).context("cannot read the emulated zones")?;
        zones.enter(&options.zone).context("cannot enter the emulated zone")?;
        cgroup = Some(zones.zone(&options.zone)?.cgroup.clone());
    }
    Ok(EngineOptions {
        zone: options.zone.clone(),
        address: options.address,
        state_dir: options.dir.clone(),
        cgroup,
        base_dir: options.base.clone(),
        shim: Shim {
            program: program.to_path_buf(),
            arguments: vec!["unit-shim".to_owned()],
            environment: Vec::new(),
        },
    })
}

async fn wait_for_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn start_member(agent: &Agent, tasks: &Tasks, console: SocketAddr, mut told_states: watch::Receiver<bool>) {
    let record = AgentRecord {
        zone: agent.options.zone.clone(),
        pid: std::process::id(),
        incarnation: agent.clock.unix_ms(),
        address: agent.options.address,
        console: Some(console),
    };
    let (store, stop) = (agent.store.clone(), tasks.stop());
    tasks.spawn("member", async move {
        // What the store says of this zone's units is from before. A leader that saw the lease first would take it
        // for the truth, and units that ended meanwhile for ready.
        tokio::select! {
            biased;
            () = stop.requested() => return,
            _ = told_states.wait_for(|told| *told) => {}
        }
        member::stay(store, Arc::new(record), stop).await;
    });
    let (standing, _) = watch::channel(zone::Standing::default());
    let options = zone::LeadOptions { zone: agent.options.zone.clone(), pid: std::process::id() };
    tasks
        .spawn("lead", zone::lead(options, agent.store.clone(), agent.clock.clone(), tasks.stop(), standing));
}

fn start_front(agent: &Agent, tasks: &Tasks, socket: tokio::net::UnixListener) -> anyhow::Result<()> {
    let front = fronts::name(fronts::EDGE, &agent.options.zone).context("the zone's name is too long")?;
    let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
    let (link_out, link) = watch::channel(Link::default());
    tasks.spawn("snapshots", make_snapshots(agent.clone(), snapshots));
    tasks.spawn("front link", publish::serve(socket, latest, link_out, agent.clock.clone(), tasks.stop()));
    let (engine, clock) = (agent.engine.clone(), agent.clock.clone());
    tasks.spawn("front watch", fronts::watch(engine, front, link.clone(), clock, tasks.stop()));
    tasks.spawn("front record", write_front(agent.clone(), link));
    Ok(())
}

/// The front for databases, and what is told of it and of the zone's data nodes.
fn start_data(agent: &Agent, tasks: &Tasks, socket: tokio::net::UnixListener) -> anyhow::Result<()> {
    let front = fronts::name(fronts::DATA, &agent.options.zone).context("the zone's name is too long")?;
    let (snapshots, latest) = watch::channel(Arc::new(DataSnapshot::default()));
    let (link_out, link) = watch::channel(Link::<DataReport>::default());
    let (engine, store, clock) = (agent.engine.clone(), agent.store.clone(), agent.clock.clone());
    let data = data::Data {
        zone: agent.options.zone.clone(),
        address: agent.options.address,
        mirror: agent.mirror.clone(),
        board: agent.board.clone(),
    };
    tasks.spawn("data snapshots", data::snapshots(data.clone(), snapshots, tasks.stop()));
    tasks.spawn("data link", publish::serve(socket, latest, link_out, clock.clone(), tasks.stop()));
    tasks.spawn("data record", data::write(data, link.clone(), store, clock.clone(), tasks.stop()));
    tasks.spawn("data watch", fronts::watch(engine, front, link, clock, tasks.stop()));
    Ok(())
}

fn start_keepers(agent: &Agent, tasks: &Tasks, board: watch::Sender<Board>) {
    let options = keepers::Options {
        zone: agent.options.zone.clone(),
        address: agent.options.address,
        dir: agent.options.dir.clone(),
        databases: agent.options.databases.clone(),
        identity: agent.options.identity.clone(),
        ending: agent.options.local.as_deref().map(Site::ending_in),
        trusted_network: agent.options.trusted_network,
        program: agent.program.clone(),
    };
    let (store, clock, mirror) = (agent.store.clone(), agent.clock.clone(), agent.mirror.clone());
    let own = (tasks.spawner(), tasks.stop());
    tasks.spawn("keepers", keepers::run(options, store, clock, mirror, board, own));
}

fn start_console(agent: &Agent, tasks: &Tasks, listener: tokio::net::TcpListener, token: String) {
    let (out, status) = watch::channel(Arc::new(model::Status::default()));
    tasks.spawn("picture", console::follow(agent.mirror.clone(), out, agent.clock.clone(), tasks.stop()));
    let stop = tasks.stop();
    tasks.spawn("console", async move {
        ::console::serve(listener, status, token, stop).await;
    });
}

/// On one machine the drill itself breaks things.
fn start_breaks(agent: &Agent, tasks: &Tasks) {
    if agent.options.local.is_some() {
        return;
    }
    let scene = breaks::Scene {
        owner: breaks::owner(&agent.options.dir),
        zone: agent.options.zone.clone(),
        address: agent.options.address,
        members: agent.options.store.clone(),
        store: agent.store.clone(),
        board: agent.board.clone(),
        mirror: agent.mirror.clone(),
    };
    tasks.spawn("breaks", breaks::serve(scene, tasks.stop()));
}

impl Agent {
    /// Waits until the picture changes, `ms` at the longest; `false` when it is time to stop.
    async fn next_picture(&mut self, ms: u64) -> bool {
        tokio::select! {
            biased;
            () = self.stop.requested() => false,
            changed = self.mirror.changed() => changed.is_ok(),
            () = tokio::time::sleep(Duration::from_millis(ms)) => true,
        }
    }

    fn picture(&mut self) -> Arc<Mirror> {
        self.mirror.borrow_and_update().clone()
    }
}

/// The store's wishes for this zone go to the engine. Before the first picture nothing is wished for: units that
/// an earlier agent left running go on.
async fn carry_out(mut agent: Agent) {
    let began = agent.clock.now();
    let (mut last, mut known) = (None, None);
    let mut passwords = BTreeMap::new();
    while agent.next_picture(1_000).await {
        let picture = agent.picture();
        if picture.revision == 0 {
            continue;
        }
        let patient = agent.clock.now().ms_since(began) < OTHER_ZONE_MS;
        // A unit that is started without them is refused and counts as crashed: rather a moment later.
        let Some(urls) = urls(&agent, &picture, patient, &mut passwords) else { continue };
        if known.as_ref() != Some(&urls) {
            agent.engine.know(urls.clone());
            known = Some(urls);
        }
        let next = Some(wishes(&agent, &picture));
        if next != last {
            if let Some((wanted, released)) = next.clone() {
                agent.engine.want(wanted);
                agent.engine.release(released);
            }
            last = next;
        }
    }
}

/// The units of this zone, its fronts among them, and which of them no front holds any more.
fn wishes(agent: &Agent, picture: &Mirror) -> (Vec<UnitRecord>, BTreeSet<UnitName>) {
    let Options { zone, dir, .. } = &*agent.options;
    let mine = picture.units.values().map(|(unit, _)| unit).filter(|unit| unit.zone == *zone);
    let mut wanted: Vec<UnitRecord> = mine.cloned().collect();
    wanted.extend(fronts::edge(zone, &agent.program, dir));
    if database::plan(picture).is_some_and(|plan| !plan.databases.is_empty()) {
        wanted.extend(fronts::data(zone, &agent.program, dir));
    }
    (wanted, release::released(picture, zone))
}

/// What `${db.url}` becomes here; `None`: not all of it is known yet. Passwords are read once.
fn urls(
    agent: &Agent,
    picture: &Mirror,
    patient: bool,
    passwords: &mut BTreeMap<DatabaseName, String>,
) -> Option<BTreeMap<DatabaseName, DatabaseUrl>> {
    let planned = database::plan(picture).map(|plan| plan.databases.as_slice()).unwrap_or_default();
    for name in planned.iter().map(|planned| &planned.database.name) {
        if passwords.contains_key(name) {
            continue;
        }
        match identity::application_password(&agent.options.identity, name) {
            Ok(password) => drop(passwords.insert(name.clone(), password)),
            Err(error) => {
                // The keeper's trouble too, which tells it aloud; here it would be told at each picture.
                tracing::debug!(database = %name, error = format!("{error:#}"), "units wait for its password");
                return None;
            }
        }
    }
    let own = (&agent.options.zone, agent.options.address);
    let how = (patient, !agent.options.trusted_network);
    database::urls(picture, own, how, |name| passwords.get(name).cloned())
}

async fn make_snapshots(mut agent: Agent, out: watch::Sender<Arc<FrontSnapshot>>) {
    while agent.next_picture(1_000).await {
        let picture = agent.picture();
        let next =
            snapshot::build(&picture, &agent.options.zone, agent.options.address, agent.options.sabotage);
        out.send_if_modified(|last| {
            let newer = **last != next;
            *last = Arc::new(next);
            newer
        });
    }
}

async fn write_front(mut agent: Agent, link: watch::Receiver<Link<FrontReport>>) {
    let mut written = Moment::default();
    let mut seen = 0;
    while agent.next_picture(fronts::LOOK_MS).await {
        let picture = agent.picture();
        let now = agent.clock.now();
        // Its own last write must be in the picture before the next one is judged.
        if picture.revision == 0 || (picture.revision < seen && now.ms_since(written) < report::COUNTERS_MS) {
            continue;
        }
        let link = link.borrow().clone();
        if link.heard.is_none() {
            continue;
        }
        let record = report::front(&agent.options.zone, &link.report);
        if !report::front_due(&picture, &record, now.ms_since(written)) {
            continue;
        }
        let Ok(value) = serde_json::to_vec(&record) else { continue };
        let key = format!("{}{}", model::keys::FRONTS, agent.options.zone);
        let put = store::Op::Put { key, value, lease: None };
        if let Ok(reply) = agent.store.txn(Txn { compare: Vec::new(), then: vec![put] }).await {
            seen = reply.revision;
            written = now;
        }
    }
}

/// Keeps the store's states of this zone equal to the engine's; `told` once they were equal for the first time.
async fn write_states(mut agent: Agent, told: watch::Sender<bool>) {
    let mut states = agent.engine.states();
    let mut seen = 0;
    let mut written = Moment::default();
    loop {
        let more = tokio::select! {
            biased;
            () = agent.stop.requested() => false,
            changed = states.changed() => changed.is_ok(),
            changed = agent.mirror.changed() => changed.is_ok(),
            () = tokio::time::sleep(Duration::from_millis(1_000)) => true,
        };
        if !more {
            return;
        }
        let picture = agent.picture();
        let now = agent.clock.now();
        if picture.revision == 0 || (picture.revision < seen && now.ms_since(written) < 1_000) {
            continue;
        }
        let current = states.borrow_and_update().clone();
        let then = report::states(&picture, &agent.options.zone, &current);
        if then.is_empty() {
            told.send_replace(true);
            continue;
        }
        if let Ok(reply) = agent.store.txn(Txn { compare: Vec::new(), then }).await {
            seen = reply.revision;
            written = now;
        }
    }
}
