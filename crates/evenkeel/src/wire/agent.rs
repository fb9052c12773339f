//! The agent of one zone: holds the zone's lease, runs its units and its front, and leads when it is its turn.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::local::LocalZones;
use engine::{Engine, EngineOptions, Shim};
use model::{
    AgentRecord, Bytes, Deploy, FrontReport, FrontSnapshot, Healthcheck, MilliCpu, Moment, Probe, Resources,
    Run, Scale, Service, ServiceName, Template, UnitName, UnitRecord, Want, ZoneName,
};
use store::{Store, Txn};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use world::{Clock, Limits, Stop, Tasks};

use super::coordination::StoreAddress;
use super::mirror::{self, Mirror};
use super::publish::{self, Link};
use super::{console, member, release, report, snapshot};

/// Time between two looks at the front's silence.
const LOOK_MS: u64 = 100;
/// A front that never reported this long after its process started is as good as frozen.
const FIRST_REPORT_MS: u64 = 5_000;
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
    pub console_token: PathBuf,
    pub address: IpAddr,
    pub base: PathBuf,
    pub dir: PathBuf,
    pub local: Option<PathBuf>,
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
    front: UnitName,
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
    let access = options.store.access(options.token.as_deref())?;
    let console_token =
        std::fs::read_to_string(&options.console_token).context("cannot read the console's token")?;
    let socket = publish::bind(&options.dir.join("front.sock"))?;
    let console_listener =
        tokio::net::TcpListener::bind((options.address, 0)).await.context("no port for the console")?;

    let program: Arc<Path> = std::env::current_exe().context("cannot find this program's own file")?.into();
    let clock = Clock::real();
    // The engine outlives the other tasks: units end last, when nobody hands it new wishes.
    let (tasks, engine_tasks) = (Tasks::new(), Tasks::new());
    let store = access.open()?;
    let engine = Engine::start(engine_options(&options, &program)?, clock.clone(), &engine_tasks)
        .context("the engine cannot start")?;
    let engine = Arc::new(engine);
    let (mirror_out, mirror) = watch::channel(Arc::new(Mirror::default()));
    let front = UnitName::new(&format!("edge-{}", options.zone))?;
    let options = Arc::new(options);
    let agent = Agent { options, program, clock, store, mirror, engine, front, stop: tasks.stop() };

    tasks.spawn("mirror", mirror::follow(agent.store.clone(), mirror_out, tasks.stop()));
    let (told, told_states) = watch::channel(false);
    start_member(&agent, &tasks, console_listener.local_addr()?, told_states);
    start_front(&agent, &tasks, socket);
    start_console(&agent, &tasks, console_listener, console_token.trim().to_owned());
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

fn start_front(agent: &Agent, tasks: &Tasks, socket: tokio::net::UnixListener) {
    let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
    let (link_out, link) = watch::channel(Link::default());
    tasks.spawn("snapshots", make_snapshots(agent.clone(), snapshots));
    tasks.spawn("front link", publish::serve(socket, latest, link_out, agent.clock.clone(), tasks.stop()));
    tasks.spawn("front watch", watch_front(agent.clone(), link.clone()));
    tasks.spawn("front record", write_front(agent.clone(), link));
}

fn start_console(agent: &Agent, tasks: &Tasks, listener: tokio::net::TcpListener, token: String) {
    let (out, status) = watch::channel(Arc::new(model::Status::default()));
    tasks.spawn("picture", console::follow(agent.mirror.clone(), out, agent.clock.clone(), tasks.stop()));
    let stop = tasks.stop();
    tasks.spawn("console", async move {
        ::console::serve(listener, status, token, stop).await;
    });
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
    let mut last = None;
    while agent.next_picture(1_000).await {
        let picture = agent.picture();
        if picture.revision == 0 {
            continue;
        }
        let mine =
            picture.units.values().map(|(unit, _)| unit).filter(|unit| unit.zone == agent.options.zone);
        let mut wanted: Vec<UnitRecord> = mine.cloned().collect();
        wanted.extend(front_unit(&agent));
        let released: BTreeSet<UnitName> = release::released(&picture, &agent.options.zone);
        let next = Some((wanted, released));
        if next != last {
            if let Some((wanted, released)) = next.clone() {
                agent.engine.want(wanted);
                agent.engine.release(released);
            }
            last = next;
        }
    }
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

/// A frozen front is ended; the engine starts another at once. A late look of the agent's own proves nothing about
/// the front: it was the agent that was stopped, so it only starts the watch afresh.
async fn watch_front(agent: Agent, link: watch::Receiver<Link<FrontReport>>) {
    let states = agent.engine.states();
    let mut looked = agent.clock.now();
    let mut since: Option<(u32, Moment)> = None;
    loop {
        tokio::select! {
            biased;
            () = agent.stop.requested() => return,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
        let now = agent.clock.now();
        let stalled = now.ms_since(looked) > 3 * LOOK_MS;
        looked = now;
        let pid = states.borrow().iter().find(|state| state.name == agent.front).and_then(|state| state.pid);
        let Some(pid) = pid else { continue };
        if stalled || since.is_none_or(|(known, _)| known != pid) {
            since = Some((pid, now));
        }
        let watched_ms = since.map_or(0, |(_, start)| now.ms_since(start));
        let heard = link.borrow().heard;
        let silent = match heard {
            Some(at) => now.ms_since(at).min(watched_ms) > publish::SILENCE_MS,
            None => watched_ms > FIRST_REPORT_MS,
        };
        if silent {
            tracing::warn!(front = %agent.front, pid, "front does not report; ending it");
            agent.engine.kill(&agent.front, "did not report");
            since = None;
        }
    }
}

async fn write_front(mut agent: Agent, link: watch::Receiver<Link<FrontReport>>) {
    let mut written = Moment::default();
    let mut seen = 0;
    while agent.next_picture(LOOK_MS).await {
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

/// The front as a unit of this zone: the agent's own program, supervised like any other unit.
fn front_unit(agent: &Agent) -> Option<UnitRecord> {
    let socket = agent.options.dir.join("front.sock");
    let log = agent.options.dir.join("access.log");
    let words =
        [agent.program.to_str()?, "front", "--socket", socket.to_str()?, "--access-log", log.to_str()?];
    Some(UnitRecord {
        name: agent.front.clone(),
        zone: agent.options.zone.clone(),
        service: Service {
            name: ServiceName::new("edge").ok()?,
            run: Run::Command(words.iter().map(|word| Template::plain(word)).collect()),
            environment: std::collections::BTreeMap::new(),
            healthcheck: Healthcheck {
                probe: Probe::Running,
                interval: model::Duration(1_000),
                timeout: model::Duration(500),
                retries: 2,
                start_timeout: model::Duration(10_000),
            },
            // The data path must not be throttled by a limit of ours; memory is bounded by the front's own limits.
            resources: Resources { cpus: MilliCpu(64_000), memory: Bytes(512 << 20) },
            scale: Scale { min: 1, max: 1, target: None },
            load: None,
            rps_per_cpu: None,
            deploy: Deploy { max_unavailable: 0, drain: model::Duration(6_000) },
        },
        version: 1,
        want: Want::Run,
    })
}
