//! A database that is broken again and again under load, and judged.
//!
//! Three keepers with real PostgreSQL servers and a data front each, on loopback, in this process; a store beside them.
//! Or three hosts in network namespaces, each with a member of etcd and the product's own agent; with a lease two of them
//! have the data.
//! Faults come one after another in an order that a seed fixes, each once the database is whole again. They come in
//! rounds: of each round the workload's history is held against what survived, and only a round that was judged is in
//! the journal.

pub mod backing;
mod breakage;
pub mod calm;
pub mod etcd;
pub mod ground;
pub mod hosts;
pub mod journal;
#[path = "../../lab/mod.rs"]
pub mod lab;
pub mod loss;
mod nemesis;
mod nemesis_disk;
pub mod outcome;
pub mod plan;
pub mod process;
pub mod site;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use drill::database::{
    Action, FinalState, Handle, History, Judgement, Load, Options, Outcome, Via, Workload, judge, read_final,
};
use model::NodeId;
use world::Stop;

use backing::Which;
use ground::{Ground, Where};
use journal::{FORMAT_VERSION, FaultLine, Journal, Line, RoundLine};
use nemesis::Done;
use outcome::Double;
use plan::{Fault, Kind};

pub use etcd::installed as etcd_installed;
pub use nemesis_disk::small_disks_possible;

/// Whole again by then, or the soak ends: far beyond any figure that is promised.
const WHOLE: Duration = Duration::from_secs(90);
/// Before the first fault of a round and between faults, so that there is a calm to compare with.
const PAUSE: Duration = Duration::from_millis(700);
/// A client beside a server waits so long for an answer: longer than any freeze lasts, so that a session with a commit under way is
/// there when the server wakes.
const BESIDE: Duration = Duration::from_secs(70);
/// Tables are made, and read at the end, by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Faults in all, those of an earlier run included.
    pub faults: u64,
    /// The first fault of this run.
    pub from: u64,
    /// Fixes order and times.
    pub seed: u64,
    /// Which faults.
    pub kinds: Vec<Kind>,
    /// Where.
    pub place: Where,
    /// Beside the primary, on loopback.
    pub standbys: u8,
    /// On which store; on hosts it is etcd.
    pub store: Which,
    /// Faults of one round.
    pub round: u64,
    /// Where lines are appended.
    pub journal: Option<PathBuf>,
    /// What may take long does.
    pub long: bool,
    /// The product is broken on purpose before each fault: the soak must turn red.
    pub broken: bool,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// What was written to the journal.
    pub lines: Vec<Line>,
    /// The database did not become whole again: what its keepers said, and where its logs are.
    pub stuck: Option<String>,
}

/// Runs until all faults are made, `stop` is requested, or the database stays broken.
///
/// # Errors
/// When something of the soak itself does not work: a program is missing, the journal cannot be written.
pub async fn run(soak: &Soak, stop: &Stop) -> Result<Ended> {
    let mut ended = Ended::default();
    let mut journal = begin(soak, &mut ended)?;
    let small_disks = soak.kinds.iter().any(|kind| kind.needs_disks());
    let mut site = Ground::start(soak, small_disks).await?;
    let mut next = soak.from;
    while next < soak.faults && !stop.is_requested() && ended.stuck.is_none() {
        let last = (next + soak.round.max(1)).min(soak.faults);
        let round = Round::play(soak, &mut site, next..last, stop).await?;
        next += round.faults.len().max(1) as u64;
        for line in round.faults {
            add(&mut journal, &mut ended, Line::Fault(line))?;
        }
        add(&mut journal, &mut ended, Line::Round(round.line))?;
        ended.stuck = round.stuck;
    }
    if ended.stuck.is_none() {
        site.end().await;
    }
    Ok(ended)
}

/// Opens the journal and writes its first line.
fn begin(soak: &Soak, ended: &mut Ended) -> Result<Journal> {
    let mut journal = Journal::open(soak.journal.as_deref())?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = Line::Start {
        format_version: FORMAT_VERSION,
        unix_ms: since_epoch.as_millis() as u64,
        seed: soak.seed,
        kinds: soak.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
        place: format!("{:?}", soak.place).to_lowercase(),
        store: format!("{:?}", soak.store).to_lowercase(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        long: soak.long,
        standbys: soak.standbys,
    };
    add(&mut journal, ended, start)?;
    Ok(journal)
}

fn add(journal: &mut Journal, ended: &mut Ended, line: Line) -> Result<()> {
    journal.add(&line)?;
    ended.lines.push(line);
    Ok(())
}

/// A round that was judged.
struct Round {
    faults: Vec<FaultLine>,
    line: RoundLine,
    stuck: Option<String>,
}

/// A fault that was made, before its round is judged.
struct Made {
    kind: Kind,
    line: FaultLine,
    done: Done,
    whole_us: Option<u64>,
    /// When the next fault came; `None`: it was the last of its round.
    next_us: Option<u64>,
}

impl Round {
    async fn play(
        soak: &Soak,
        site: &mut Ground,
        indexes: std::ops::Range<u64>,
        stop: &Stop,
    ) -> Result<Round> {
        let began = Instant::now();
        let first = indexes.start;
        let options = Options { seed: soak.seed ^ first, spread: true, ..Options::new(site.target()) };
        Workload::prepare(&options, PATIENCE).await.context("no tables can be made")?;
        let load = Workload::start(options)?;
        for node in site.nodes() {
            load.write_patiently(&site.straight(node), Load { clients: 1, rate_per_s: 20.0 }, BESIDE)?;
        }
        let (mut made, mut stuck) = (Vec::new(), None);
        for index in indexes {
            tokio::time::sleep(PAUSE).await;
            let mut fault = Fault::at(soak.seed, index, &soak.kinds);
            if soak.long && fault.kind == Kind::StoreAway {
                fault.away_ms *= 10;
            }
            let one = Made::make(soak, site, &load, fault).await?;
            let whole = one.whole_us.is_some();
            if let Some(last) = made.last_mut() {
                let last: &mut Made = last;
                last.next_us = Some(one.done.at_us);
            }
            made.push(one);
            if !whole {
                let folder = site.keep().display().to_string();
                stuck = Some(format!("{}the logs are in {folder}", site.tell()));
            }
            if !whole || stop.is_requested() {
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
        let history = load.stop().await;
        let mut survived = read_final(&site.servers(), PATIENCE).await;
        if stuck.is_some() && survived.is_err() {
            // Nothing can be held against a database that answers nobody.
            survived = Ok(FinalState::default());
        }
        let survived = survived.context("what survived cannot be read")?;
        let judgement = tokio::task::block_in_place(|| match soak.place {
            Where::Lease => loss::judge(&history, &survived, &takeovers(&made)),
            _ => judge(&history, &survived),
        });
        let acks = front_acks(&history);
        let mut faults: Vec<FaultLine> = made.iter().map(|one| one.measured(&acks)).collect();
        for (one, line) in made.iter().zip(&mut faults) {
            line.failed = one.failed(&history);
            line.double = one.double(&history);
        }
        blame(&history, &survived, &made, &mut faults);
        let line = round_line(first, faults.len() as u64, began.elapsed(), &judgement);
        for problem in &line.problems {
            eprintln!("PROBLEM {problem}");
        }
        Ok(Round { faults, line, stuck })
    }
}

impl Made {
    async fn make(soak: &Soak, site: &mut Ground, load: &Handle, fault: Fault) -> Result<Made> {
        let (primary, term_before) = sitting(site).await?;
        if soak.broken {
            site.break_sync(primary)?;
            tokio::time::sleep(PAUSE).await;
        }
        let done = nemesis::make(site, load, fault).await?;
        let (now, now_us) = (Instant::now(), load.now_us());
        let mut whole_us = None;
        while now.elapsed() < WHOLE && whole_us.is_none() {
            let since = site.calm(WHOLE).await;
            // The clients must have noticed too.
            let acked = load.glance().last_ack_us.is_some_and(|at_us| at_us > done.at_us);
            let us = |at: Instant| now_us + at.saturating_duration_since(now).as_micros() as u64;
            whole_us = since.filter(|_| acked).map(us);
        }
        let line = FaultLine {
            index: fault.index,
            kind: format!("{}{}", fault.kind.name(), if done.leader { journal::WITH_LEADER } else { "" }),
            away_ms: fault.away_ms,
            node: done.node.map(|node| node.0),
            term_before,
            term_after: site.record().map_or(0, |record| record.term),
            whole_ms: whole_us.map(|us| ms(us.saturating_sub(done.at_us))),
            rejoin_ms: whole_us.map(|us| ms(us.saturating_sub(done.healed_us))),
            log_mib: Some(site.log_bytes() as f64 / f64::from(1 << 20)),
            ..FaultLine::default()
        };
        eprintln!(
            "{:>5} {:<32} node {} term {} -> {}, whole after {:.0} ms",
            line.index,
            line.kind,
            line.node.map_or_else(|| "-".to_owned(), |node| node.to_string()),
            line.term_before,
            line.term_after,
            line.whole_ms.unwrap_or(f64::NAN),
        );
        Ok(Made { kind: fault.kind, line, done, whole_us, next_us: None })
    }

    /// With what its clients felt. `acks` are the times of acknowledgements, in their order.
    fn measured(&self, acks: &[u64]) -> FaultLine {
        let at_us = self.done.at_us;
        let after = &acks[acks.partition_point(|ack| *ack <= at_us)..];
        let until_us = self.ended_us();
        let mut longest = None;
        let mut last = at_us;
        for ack in after {
            // What lies behind the next fault is the next one's.
            longest = longest.max(Some((*ack).min(until_us).saturating_sub(last)));
            if *ack >= until_us {
                break;
            }
            last = *ack;
        }
        FaultLine {
            next_ack_ms: after.first().map(|ack| ms(ack - at_us)),
            gap_ms: longest.map(ms),
            ..self.line.clone()
        }
    }

    /// Writes through the fronts that ended before the next fault and were not acknowledged; says why they were not.
    fn failed(&self, history: &History) -> u64 {
        let during = |at_us: u64| at_us > self.done.at_us && at_us <= self.ended_us();
        let mut reasons = BTreeMap::<String, u64>::new();
        for o in &history.operations {
            let write = o.via == Via::Front && matches!(o.action, Action::Register { .. });
            if !write || !o.ended_us.is_some_and(during) {
                continue;
            }
            match &o.outcome {
                Outcome::Ok => {}
                Outcome::Failed { why } => *reasons.entry(format!("failed: {why}")).or_default() += 1,
                Outcome::Unknown { why, .. } => *reasons.entry(format!("unknown: {why}")).or_default() += 1,
            }
        }
        if !reasons.is_empty() {
            let told: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
            eprintln!(
                "{:>5} {:<32} writes not acknowledged: {}",
                self.line.index,
                self.line.kind,
                told.join("; ")
            );
        }
        reasons.values().sum()
    }

    /// What is judged of a double fault beside what is judged of each.
    fn double(&self, history: &History) -> Option<Double> {
        outcome::expected(self.kind)?;
        let enough_us = self.done.enough_us.unwrap_or(self.done.healed_us);
        Some(Double::of(history, self.done.alone_us, enough_us))
    }

    /// What a fault began may go on after all was whole for a moment: everything until the next one is its own.
    fn ended_us(&self) -> u64 {
        self.next_us.unwrap_or(u64::MAX)
    }
}

/// The faults after which a database under a lease may have lost something: where a server alone was killed, or somebody
/// asked for a switch, nothing is lost.
fn takeovers(made: &[Made]) -> Vec<loss::Takeover> {
    let orderly = |kind| matches!(kind, Kind::PrimaryKill | Kind::Switchover);
    let taken = made.iter().filter(|one| one.line.term_after > one.line.term_before && !orderly(one.kind));
    let until_us = |one: &Made| one.whole_us.unwrap_or(u64::MAX);
    taken.map(|one| loss::Takeover { at_us: one.done.at_us, until_us: until_us(one) }).collect()
}

/// Who is primary. What a short fault began may go on after all was whole for a moment: then its end is waited for.
async fn sitting(site: &Ground) -> Result<(NodeId, u64)> {
    if site.primary().is_none() {
        eprintln!("      an election goes on before the next fault; waiting for its end");
        site.calm(WHOLE).await;
    }
    site.primary().context("there is no primary to begin with")
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// When register writes through the fronts were acknowledged, in their order.
fn front_acks(history: &History) -> Vec<u64> {
    let write = |o: &&drill::database::Operation| {
        o.via == Via::Front && o.is_ok() && matches!(o.action, Action::Register { .. })
    };
    let mut acks: Vec<u64> = history.operations.iter().filter(write).filter_map(|o| o.ended_us).collect();
    acks.sort_unstable();
    acks
}

/// The longest time without an acknowledged write through the fronts, in milliseconds; `None`: there were not two.
fn front_gap_ms(history: &History) -> Option<f64> {
    front_acks(history).windows(2).map(|pair| pair[1] - pair[0]).max().map(ms)
}

/// Processes that want to run, averaged over a minute.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Charges each lost write and each false acknowledgement to the fault during which it was acknowledged, or the next
/// one: a write that was acknowledged in a calm is lost by what comes after.
fn blame(history: &History, survived: &FinalState, made: &[Made], faults: &mut [FaultLine]) {
    let there: std::collections::BTreeSet<i64> = survived.registers.iter().copied().collect();
    for operation in &history.operations {
        let gone = matches!(operation.action, Action::Register { id } if !there.contains(&id));
        let (lost, false_ack) = (gone && operation.is_ok(), operation.is_false_ack());
        let at_us = operation.ended_us.unwrap_or_default();
        let during = made.iter().position(|one| at_us <= one.ended_us());
        if let Some(fault) = faults.get_mut(during.unwrap_or(made.len().saturating_sub(1))) {
            fault.lost += u64::from(lost);
            fault.false_acks += u64::from(false_ack);
        }
    }
}

fn round_line(first: u64, faults: u64, took: Duration, judgement: &Judgement) -> RoundLine {
    let registers = judgement.registers.clone().unwrap_or_default();
    let appends_lost = judgement.lists.as_ref().map_or(0, |lists| lists.appends_lost);
    RoundLine {
        first,
        faults,
        seconds: took.as_secs_f64(),
        acked: registers.acked,
        acked_directly: registers.direct.acked,
        unknown: registers.unknown,
        lost: registers.lost.count + appends_lost,
        false_acks: judgement.false_acks,
        problems: judgement.problems.clone(),
        load_average: load_average(),
    }
}
