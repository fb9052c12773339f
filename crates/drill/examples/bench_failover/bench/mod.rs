//! evenkeel and Patroni side by side: the same fault on the host of the primary, measured by the same clients.
//!
//! Every system has three hosts of its own, each a network namespace with a PostgreSQL server, what manages it, and a
//! member of etcd. They run side by side, those that are not measured without load, and take turns: the same fault on
//! each, then the next one. A turn that was interrupted is not in the journal and is made again.

mod etcd;
pub mod journal;
mod patroni;
pub mod plan;
mod python;
mod rest;
mod system;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use drill::database::{Action, Handle, History, Load, Options, Via, Workload, judge, read_final};
use world::{Chance, Stop};

use crate::soak::lab;
use journal::{FORMAT_VERSION, Journal, Line, StartLine, TurnLine};
use plan::{Fault, System, Turn};
use system::Running;

/// Load before the fault, at the least.
const CALM: Duration = Duration::from_secs(3);
/// Spread over this on top of it: the peer's loop, by default 10 s, must not keep step with ours.
const SPREAD_MS: f64 = 10_000.0;
/// An acknowledgement later than this after the fault was made cannot have been on its way then, on a busy machine either.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// Writes are back by then, or it is healed without.
const BACK: Duration = Duration::from_secs(120);
/// From then until what was frozen or cut off comes back, and from when all is whole until the clients stop.
const SETTLE: Duration = Duration::from_secs(3);
/// Whole again by then, or the system is made anew.
const WHOLE: Duration = Duration::from_secs(240);
/// What has to hold for so long before it counts as whole.
const STEADY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What goes wrong in the bench itself is tried again, so often in all.
const TRIES: u32 = 3;
/// Acknowledgements after which clients are at home, and the least that a calm must bring.
const AT_HOME: u64 = 100;
/// Tables are made, and read at the end, by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an application waits for an answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// What a client on the old primary's host waits: its session is to outlast the fault.
const DIRECT_DEADLINE: Duration = Duration::from_secs(180);
/// Clients on the primary's host that go past every front.
const DIRECT: Load = Load { clients: 2, rate_per_s: 40.0 };

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Bench {
    /// How often each fault is made on each system.
    pub runs: u64,
    /// What is broken.
    pub faults: Vec<Fault>,
    /// Who is measured.
    pub systems: Vec<System>,
    /// The peer replicates synchronously.
    pub sync: bool,
    /// Fixes when faults come, and what clients do.
    pub seed: u64,
    /// Where lines are appended.
    pub journal: Option<PathBuf>,
    /// What stands in the journal already.
    pub done: BTreeSet<Turn>,
}

/// Runs until every turn was taken, or `stop` is requested.
///
/// # Errors
/// When something of the bench itself does not work: a program is missing, the journal cannot be written, a system does
/// not come up.
pub async fn run(bench: &Bench, stop: &Stop) -> Result<Vec<Line>> {
    if let Some(missing) = lab::missing() {
        bail!(missing);
    }
    let mut journal = Journal::open(bench.journal.as_deref())?;
    let mut lines = vec![Line::Start(StartLine {
        format_version: FORMAT_VERSION,
        unix_ms: unix_ms(),
        seed: bench.seed,
        faults: bench.faults.clone(),
        systems: bench.systems.clone(),
        sync: bench.sync,
        versions: versions::all(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
    })];
    journal.add(&lines[0])?;
    let turns = plan::turns(bench.runs, &bench.faults, &bench.systems);
    let turns: Vec<Turn> = turns.into_iter().filter(|turn| !bench.done.contains(turn)).collect();
    let mut all = BTreeMap::new();
    for (at, turn) in turns.iter().enumerate() {
        let Some(line) = patiently(bench, *turn, &mut all, stop).await? else { break };
        say(&line, at + 1, turns.len());
        if line.rejoin_ms.is_none() {
            all.remove(&turn.system);
        }
        journal.add(&Line::Turn(line.clone()))?;
        lines.push(Line::Turn(line));
    }
    Ok(lines)
}

type All = BTreeMap<System, Running>;

/// One turn; what goes wrong in the bench itself is tried again on hosts that are made anew. `None`: interrupted.
async fn patiently(bench: &Bench, turn: Turn, all: &mut All, stop: &Stop) -> Result<Option<TurnLine>> {
    let mut tries = 0;
    loop {
        let taken = async {
            start_all(bench, all, stop).await?;
            match all.get(&turn.system) {
                Some(running) if !stop.is_requested() => take(bench, turn, running, stop).await,
                _ => Ok(None),
            }
        };
        let taken = taken.await;
        tries += 1;
        match taken {
            Err(error) if tries < TRIES && !stop.is_requested() => {
                eprintln!("{} of {}: {error:#}; once more", turn.fault.name(), turn.system.title());
                all.remove(&turn.system);
            }
            taken => return taken,
        }
    }
}

/// All of them before the first turn, so that every turn has the same beside it.
async fn start_all(bench: &Bench, all: &mut All, stop: &Stop) -> Result<()> {
    for system in &bench.systems {
        if !all.contains_key(system) && !stop.is_requested() {
            eprintln!("starting {}", system.title());
            let started = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                started = Running::start(*system, bench.sync) => started,
            };
            all.insert(*system, started?);
        }
    }
    Ok(())
}

/// One turn; `None`: it was interrupted.
async fn take(bench: &Bench, turn: Turn, running: &Running, stop: &Stop) -> Result<Option<TurnLine>> {
    let began = Instant::now();
    let Some((host, _)) = whole(running, stop, || true).await else {
        let says = running.tell().await;
        ensure!(stop.is_requested(), "it is not whole\n{says}");
        return Ok(None);
    };
    // The same for every system.
    let mut chance = Chance::from_seed(bench.seed ^ (turn.run << 8) ^ turn.fault as u64);
    let seed = chance.next_u64();
    let options = Options { seed, spread: true, deadline: DEADLINE, ..Options::new(running.target()?) };
    Workload::prepare(&options, PATIENCE).await.context("no tables can be made")?;
    let load = Workload::start(options)?;
    load.write_patiently(&running.straight(host)?, DIRECT, DIRECT_DEADLINE)?;
    let calm = CALM + Duration::from_millis((chance.unit() * SPREAD_MS) as u64);
    if !calmly(&load, calm, stop).await {
        ensure!(stop.is_requested(), "it takes no writes in calm: {:?}", load.glance());
        return Ok(None);
    }
    let unix = unix_ms();
    let made = make(turn.fault, host, running, &load, stop).await;
    // Whatever happened, nothing stays frozen or cut off.
    running.heal(host)?;
    let made = Made { healed_us: load.now_us(), ..made? };
    let since = (Instant::now(), load.now_us());
    let found = whole(running, stop, || is_back(&load, &made)).await;
    if stop.is_requested() {
        return Ok(None);
    }
    if found.is_none() {
        let says = running.tell().await;
        eprintln!("not whole again:\n{says}");
    }
    pause(SETTLE, stop).await;
    let us = |at: Instant| since.1 + at.saturating_duration_since(since.0).as_micros() as u64;
    let history = load.stop().await;
    let line = measured(turn, host, &made, found.map(|(_, at)| us(at)), &history);
    let line = TurnLine { unix_ms: unix, host_after: found.map(|(host, _)| host.to_owned()), ..line };
    let line = judged(line, &history, running, began).await?;
    let problems = made.refused.into_iter().chain(line.problems).collect();
    Ok(Some(TurnLine { problems, ..line }))
}

/// Waits until clients are at home, and then for `calm`. `false`: writes do not flow, or `stop` was requested.
async fn calmly(load: &Handle, calm: Duration, stop: &Stop) -> bool {
    let began = Instant::now();
    while load.glance().acked < AT_HOME && began.elapsed() < PATIENCE && !stop.is_requested() {
        pause(LOOK_EVERY, stop).await;
    }
    let before = load.glance().acked;
    pause(calm, stop).await;
    !stop.is_requested() && before >= AT_HOME && load.glance().acked >= before + AT_HOME
}

/// A fault that was made. Times in microseconds of the workload.
struct Made {
    /// Just before its first effect.
    at_us: u64,
    /// When it had its whole effect.
    done_us: u64,
    /// When the last thing of ours was taken back.
    healed_us: u64,
    /// Why a switch was not made.
    refused: Option<String>,
}

/// Makes the fault; one that lasts stays until somebody else has served for a while.
async fn make(fault: Fault, host: &str, running: &Running, load: &Handle, stop: &Stop) -> Result<Made> {
    let at_us = load.mark_fault();
    let mut refused = None;
    match fault {
        Fault::Kill => running.kill(host)?,
        Fault::Freeze => running.freeze(host)?,
        Fault::Cut => running.cut(host)?,
        Fault::Switchover => {
            refused = running.switch(host).await.err().map(|error| format!("{error:#}"));
        }
    }
    let done_us = if fault.lasts() { load.now_us() } else { at_us };
    let made = Made { at_us, done_us, healed_us: at_us, refused };
    let began = Instant::now();
    while fault.lasts() && began.elapsed() < BACK && !stop.is_requested() {
        if is_back(load, &made) {
            pause(SETTLE, stop).await;
            break;
        }
        pause(LOOK_EVERY, stop).await;
    }
    Ok(made)
}

/// Writes are acknowledged that cannot have been on their way when the fault came.
fn is_back(load: &Handle, made: &Made) -> bool {
    load.glance().last_ack_us.is_some_and(|at_us| at_us > made.later_us())
}

impl Made {
    fn later_us(&self) -> u64 {
        self.done_us + ON_ITS_WAY.as_micros() as u64
    }
}

/// Waits until a primary serves and both others stream, steadily, and `also` holds: its host, and since when. `None`: not
/// within [`WHOLE`], or `stop` was requested.
async fn whole(running: &Running, stop: &Stop, also: impl Fn() -> bool) -> Option<(&'static str, Instant)> {
    let began = Instant::now();
    let mut since: Option<(&'static str, Instant)> = None;
    while began.elapsed() < WHOLE && !stop.is_requested() {
        let now = running.whole().await.filter(|_| also());
        since = match (now, since) {
            (Some(host), Some((before, at))) if host == before => Some((host, at)),
            (Some(host), _) => Some((host, Instant::now())),
            (None, _) => None,
        };
        if since.is_some_and(|(_, at)| at.elapsed() >= STEADY) {
            return since;
        }
        pause(LOOK_EVERY, stop).await;
    }
    None
}

/// What the clients felt.
fn measured(turn: Turn, host: &str, made: &Made, whole_us: Option<u64>, history: &History) -> TurnLine {
    let acks = front_acks(history);
    let after = &acks[acks.partition_point(|ack| *ack <= made.at_us)..];
    let until_us = whole_us.unwrap_or(u64::MAX);
    let (mut longest, mut last) = (None, made.at_us);
    for ack in after {
        longest = longest.max(Some(ack - last));
        if *ack >= until_us {
            break;
        }
        last = *ack;
    }
    let is_back = after.last().is_some_and(|ack| *ack > made.later_us());
    TurnLine {
        turn,
        unix_ms: 0,
        host: host.to_owned(),
        host_after: None,
        gap_ms: longest.filter(|_| is_back).map(ms),
        next_ack_ms: after.first().map(|ack| ms(ack - made.at_us)),
        away_ms: turn.fault.lasts().then(|| ms(made.healed_us - made.at_us)),
        rejoin_ms: whole_us.map(|us| ms(us.saturating_sub(made.healed_us))),
        acked: 0,
        lost: 0,
        old_acked: 0,
        old_erased: 0,
        false_acks: 0,
        problems: Vec::new(),
        seconds: 0.0,
        load_average: 0.0,
    }
}

/// With what survived.
async fn judged(line: TurnLine, history: &History, running: &Running, began: Instant) -> Result<TurnLine> {
    let survived = read_final(&running.target()?, PATIENCE).await;
    let load_average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let line = TurnLine {
        load_average: load_average
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0),
        ..line
    };
    let survived = match survived {
        Ok(survived) => survived,
        // Nothing can be held against a database that answers nobody but that.
        Err(error) => {
            let problems = vec![format!("nobody answers: {error}")];
            return Ok(TurnLine { problems, seconds: began.elapsed().as_secs_f64(), ..line });
        }
    };
    let judgement = tokio::task::block_in_place(|| judge(history, &survived));
    let registers = judgement.registers.unwrap_or_default();
    let appends_lost = judgement.lists.as_ref().map_or(0, |lists| lists.appends_lost);
    Ok(TurnLine {
        acked: registers.acked,
        lost: registers.lost.count - registers.direct.lost + appends_lost,
        old_acked: registers.direct.acked_after_fault,
        old_erased: registers.direct.lost,
        false_acks: judgement.false_acks,
        problems: judgement.problems,
        seconds: began.elapsed().as_secs_f64(),
        ..line
    })
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// When register writes on the applications' way were acknowledged, in their order.
fn front_acks(history: &History) -> Vec<u64> {
    let write = |o: &&drill::database::Operation| {
        o.via == Via::Front && o.is_ok() && matches!(o.action, Action::Register { .. })
    };
    let mut acks: Vec<u64> = history.operations.iter().filter(write).filter_map(|o| o.ended_us).collect();
    acks.sort_unstable();
    acks
}

fn say(line: &TurnLine, number: usize, of: usize) {
    let show = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms"));
    eprintln!(
        "{number}/{of} {:<10} {:<19} host {}: no write for {}, whole {} after healing; {} acknowledged, {} lost; the old \
         primary acknowledged {} and {} of its own are gone; {:.0} s, load {}",
        line.turn.fault.name(),
        line.turn.system.title(),
        line.host,
        show(line.gap_ms),
        show(line.rejoin_ms),
        line.acked,
        line.lost,
        line.old_acked,
        line.old_erased,
        line.seconds,
        line.load_average,
    );
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Waits, or until `stop` is requested.
async fn pause(time: Duration, stop: &Stop) {
    tokio::select! {
        biased;
        () = stop.requested() => {}
        () = tokio::time::sleep(time) => {}
    }
}
