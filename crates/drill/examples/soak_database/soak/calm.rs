//! A database that nobody breaks, on a machine that is kept busy: how often it fails over all the same.
//!
//! As many burners as there are processors take them all; meanwhile whatever belongs to the database stands still for up
//! to half a second, one after another, at random: a server with all its processes, one process of a server, a member of
//! the store, and this process, in which the keepers, the fronts and the clients are; on hosts instead of it an agent, which
//! has one keeper, and a front. A term that begins is a false failover. Only seconds in which the processors were taken count.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use drill::database::{Options, Workload, judge, read_final};
use model::NodeId;
use rustix::process::Signal;
use world::{Chance, Stop, Stopper, Tasks};

use super::ground::Ground;
use super::journal::{CalmLine, Line};
use super::process::Process;
use super::{Ended, PATIENCE, Soak, front_gap_ms, load_average};

/// Time between two judgements.
const ROUND: Duration = Duration::from_secs(120);
/// A pause, from and to, in milliseconds: the longest that the issue allows without a failover.
const PAUSE_MS: (u64, u64) = (50, 500);
/// Between two pauses, from and to, in milliseconds.
const BETWEEN_MS: (u64, u64) = (100, 900);
/// Between two looks at the term.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at what there is to pause.
const AIM: Duration = Duration::from_millis(500);
/// A second counts when at most this share of the processors' time was idle.
const IDLE_MAX: f64 = 0.05;
/// And the whole counts when this share of its seconds did.
const LOADED_MIN: f64 = 0.95;
/// So much of a command line says which program it is.
const TITLE: usize = 60;
/// Pauses that a new term is told with.
const TOLD: usize = 4;

/// Processes that do nothing, as fast as they can. Dropped, they are ended.
struct Burners(Vec<Child>);

impl Burners {
    fn start(count: usize) -> Result<Burners> {
        let mut burners = Burners(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            burners.0.push(command.spawn().context("cannot start `setpriv`")?);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Idle and all ticks of all processors since the machine's start (proc(5), `/proc/stat`). What waits for a disk is idle.
fn ticks() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1);
    // Guest time is in user time already.
    let ticks: Vec<u64> = fields.take(8).map(|field| field.parse().unwrap_or_default()).collect();
    Some((ticks.get(3)? + ticks.get(4)?, ticks.iter().sum()))
}

/// Counts the time in which the processors were taken.
struct Meter {
    last: Option<(u64, u64)>,
    at: Instant,
    loaded: Duration,
    idle: f64,
    looks: u32,
}

impl Meter {
    fn start() -> Meter {
        Meter { last: ticks(), at: Instant::now(), loaded: Duration::ZERO, idle: 0.0, looks: 0 }
    }

    fn look(&mut self) {
        if self.at.elapsed() >= Duration::from_secs(1) {
            self.count();
        }
    }

    /// Counts what has passed since the last look; also at the end, or a part of a second would count as idle.
    fn count(&mut self) {
        let passed = self.at.elapsed();
        let now = ticks();
        if let (Some((idle_before, all_before)), Some((idle, all))) = (self.last, now) {
            let share = (idle - idle_before) as f64 / (all - all_before).max(1) as f64;
            self.idle += share;
            self.looks += 1;
            if share <= IDLE_MAX {
                self.loaded += passed;
            }
        }
        (self.last, self.at) = (now, Instant::now());
    }

    fn idle_percent(&self) -> f64 {
        100.0 * self.idle / f64::from(self.looks.max(1))
    }
}

/// Runs for `seconds`, or until `stop` is requested.
///
/// # Errors
/// When something of the soak itself does not work, and when the processors were not taken: then nothing was measured.
pub async fn run(soak: &Soak, seconds: u64, stop: &Stop) -> Result<Ended> {
    let mut ended = Ended::default();
    let mut journal = super::begin(soak, &mut ended)?;
    let mut site = Ground::start(soak, false).await?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut round, mut term) = (0, site.record().map_or(0, |record| record.term));
    let (mut wanted, mut loaded) = (seconds as f64, 0.0);
    while wanted > 0.5 && !stop.is_requested() {
        let burners = Burners::start(cpus)?;
        let length = ROUND.min(Duration::from_secs_f64(wanted));
        let line = play(&mut site, (soak.seed.wrapping_add(round), &mut term), length, stop).await?;
        drop(burners);
        round += 1;
        wanted -= line.seconds;
        loaded += line.loaded_seconds;
        eprintln!("{line}");
        super::add(&mut journal, &mut ended, Line::Calm(line))?;
    }
    site.end().await;
    let took = seconds as f64 - wanted;
    if loaded < took * LOADED_MIN {
        bail!(
            "the processors were taken for {loaded:.0} of {took:.0} s only, so nothing was measured\nhint: on a machine \
             whose other work is paused or limited, end that first"
        );
    }
    Ok(ended)
}

/// `term` is that of the last round: what one of its last pauses brought counts, too.
async fn play(
    site: &mut Ground,
    (seed, term): (u64, &mut u64),
    length: Duration,
    stop: &Stop,
) -> Result<CalmLine> {
    let options = Options { seed, spread: true, ..Options::new(site.target()) };
    Workload::prepare(&options, PATIENCE).await.context("no tables can be made")?;
    let load = Workload::start(options)?;
    let began = Instant::now();
    let pauser = Pauser::start(site, seed);
    let (mut meter, mut events) = (Meter::start(), Vec::new());
    let (first, mut aimed) = (*term, Instant::now());
    while began.elapsed() < length && !stop.is_requested() {
        tokio::time::sleep(LOOK).await;
        meter.look();
        let record = site.record();
        let now = record.as_ref().map_or(*term, |record| record.term);
        if now != *term {
            let primary = record.and_then(|record| record.primary()).map_or(0, |node| node.0);
            let event = format!(
                "term {term} -> {now} of node {primary} at {:.1} s after {}",
                began.elapsed().as_secs_f64(),
                pauser.last()
            );
            eprintln!("FALSE {event}");
            events.push(event);
            *term = now;
        }
        // Looking for processes takes a processor from those that are measured.
        if aimed.elapsed() >= AIM {
            pauser.aim(site);
            aimed = Instant::now();
        }
    }
    meter.count();
    let seconds = began.elapsed().as_secs_f64();
    let (pauses, longest_pause_ms) = pauser.end().await;
    let history = load.stop().await;
    let survived = read_final(&site.servers(), PATIENCE).await.context("what survived cannot be read")?;
    let last = site.record().map_or(*term, |record| record.term);
    if last != *term {
        events.push(format!("term {term} -> {last} after the last pause of a round"));
        *term = last;
    }
    let judgement = tokio::task::block_in_place(|| judge(&history, &survived));
    let line = super::round_line(0, 0, began.elapsed(), &judgement);
    Ok(CalmLine {
        seconds,
        loaded_seconds: meter.loaded.as_secs_f64().min(seconds),
        idle_percent: meter.idle_percent(),
        pauses,
        longest_pause_ms,
        terms: *term - first,
        events,
        gap_ms: front_gap_ms(&history),
        acked: line.acked,
        lost: line.lost,
        false_acks: line.false_acks,
        problems: line.problems,
        load_average: load_average(),
    })
}

/// Pauses what belongs to the database, one after another.
struct Pauser {
    tasks: Tasks,
    stopper: Stopper,
    shared: Arc<Told>,
}

/// What the pauser and the loop tell each other.
#[derive(Default)]
struct Told {
    /// In this process.
    keepers_here: bool,
    aims: std::sync::Mutex<Vec<Aim>>,
    last: std::sync::Mutex<Vec<(Instant, String, u64)>>,
    count: AtomicU64,
    longest_ms: AtomicU64,
}

/// Something that can be paused.
#[derive(Clone, Copy, Debug)]
enum Aim {
    Server(u8, Process),
    Program(Process),
}

/// What can be paused now, beside this process.
fn aims(ground: &Ground) -> Vec<Aim> {
    let servers = |server: &dyn Fn(NodeId) -> Option<Process>| -> Vec<Aim> {
        ground.nodes().into_iter().filter_map(|node| Some(Aim::Server(node.0, server(node)?))).collect()
    };
    let (mut all, others) = match ground {
        Ground::Loopback(site) => (servers(&|node| site.server(node)), site.backing.processes()),
        Ground::Hosts(hosts) => (servers(&|node| hosts.server(node)), hosts.programs()),
    };
    all.extend(others.into_iter().map(Aim::Program));
    all
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Pauser {
    fn start(site: &Ground, seed: u64) -> Pauser {
        let keepers_here = matches!(site, Ground::Loopback(_));
        let (tasks, shared) = (Tasks::new(), Arc::new(Told { keepers_here, ..Told::default() }));
        let (stopper, stop) = Stop::pair();
        let pauser = Pauser { tasks, stopper, shared: shared.clone() };
        pauser.aim(site);
        pauser.tasks.spawn("pauses", async move {
            let mut chance = Chance::from_seed(seed);
            while !stop.is_requested() {
                tokio::time::sleep(between(BETWEEN_MS, &mut chance)).await;
                shared.pause(&mut chance).await;
            }
        });
        pauser
    }

    /// Says what is there now.
    fn aim(&self, site: &Ground) {
        *lock(&self.shared.aims) = aims(site);
    }

    /// The last pauses, for a person.
    fn last(&self) -> String {
        let told = |(at, what, ms): &(Instant, String, u64)| {
            format!("{what} {ms} ms ending {:.1} s ago", at.elapsed().as_secs_f64())
        };
        let last = lock(&self.shared.last);
        last.iter().rev().map(told).collect::<Vec<_>>().join(", ")
    }

    async fn end(self) -> (u64, u64) {
        self.stopper.request();
        drop(self.tasks.shutdown(world::Limits::default()).await);
        (self.shared.count.load(Ordering::Relaxed), self.shared.longest_ms.load(Ordering::Relaxed))
    }
}

fn between((from, to): (u64, u64), chance: &mut Chance) -> Duration {
    Duration::from_millis(from + chance.next_u64() % (to - from + 1))
}

impl Told {
    async fn pause(&self, chance: &mut Chance) {
        let (length, pick) = (between(PAUSE_MS, chance), chance.next_u64());
        let aims = lock(&self.aims).clone();
        let Some(aim) = aims.get((pick >> 8) as usize % aims.len().max(1)).copied() else { return };
        let began = Instant::now();
        let what = match (pick % 8, aim) {
            (0, _) if self.keepers_here => pause_this(length).await,
            (1, Aim::Server(node, server)) => {
                let children = server.children();
                let one =
                    children.get((pick >> 16) as usize % children.len().max(1)).copied().unwrap_or(server);
                let title = one.title();
                one.signal(Signal::STOP);
                tokio::time::sleep(length).await;
                one.signal(Signal::CONT);
                format!("`{}` of node {node}", title.trim())
            }
            (_, Aim::Server(node, server)) => {
                let frozen = server.signal_all(Signal::STOP);
                tokio::time::sleep(length).await;
                frozen.iter().rev().for_each(|process| process.signal(Signal::CONT));
                format!("the server of node {node}")
            }
            (_, Aim::Program(program)) => {
                let title = program.title();
                program.signal(Signal::STOP);
                tokio::time::sleep(length).await;
                program.signal(Signal::CONT);
                format!("`{}`", title.chars().take(TITLE).collect::<String>().trim())
            }
        };
        let ms = began.elapsed().as_millis() as u64;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.longest_ms.fetch_max(ms, Ordering::Relaxed);
        let mut last = lock(&self.last);
        last.push((Instant::now(), what, ms));
        let excess = last.len().saturating_sub(TOLD);
        last.drain(..excess);
    }
}

/// This process stands still: all keepers, fronts and clients at once.
async fn pause_this(length: Duration) -> String {
    let script = format!("kill -STOP $PPID; sleep {:.3}; kill -CONT $PPID", length.as_secs_f64());
    let mut command = tokio::process::Command::new("sh");
    let _ = command.args(["-c", &script]).stdin(Stdio::null()).status().await;
    "this process, with all keepers".to_owned()
}
