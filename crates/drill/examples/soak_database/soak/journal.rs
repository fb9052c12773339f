//! What happened, as JSON lines that are appended to, and the table made of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use database::LEASE_RTO_MS;
use serde::{Deserialize, Serialize};

use super::outcome::{self, Double};
use super::plan::Kind;

/// Raised when older readers would misread what is written.
pub const FORMAT_VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A run begins, or goes on.
    Start {
        format_version: u32,
        unix_ms: u64,
        seed: u64,
        kinds: Vec<String>,
        #[serde(default)]
        place: String,
        store: String,
        cpus: usize,
        /// The store is away for as long as promised.
        #[serde(default)]
        long: bool,
        #[serde(default = "two")]
        standbys: u8,
    },
    /// A fault of a round that was judged.
    Fault(FaultLine),
    /// A round was judged: what its clients saw against what survived.
    Round(RoundLine),
    /// A while in which nothing was broken was judged.
    Calm(CalmLine),
}

/// Of journals of before there could be more.
fn two() -> u8 {
    2
}

/// One fault and what it did. Times in milliseconds; `None`: it never came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultLine {
    /// Place in the seed's sequence.
    pub index: u64,
    /// Which.
    pub kind: String,
    /// How long something was frozen or away by our hand.
    pub away_ms: u64,
    /// The node that was hit, where it was one.
    pub node: Option<u8>,
    /// Term before.
    pub term_before: u64,
    /// Term once whole again.
    pub term_after: u64,
    /// From the fault to the next acknowledged write through the fronts; it may have been in flight.
    pub next_ack_ms: Option<f64>,
    /// The longest time without an acknowledged write through the fronts until the next fault, counted from this one; in journals
    /// before 2026-12 until whole again.
    pub gap_ms: Option<f64>,
    /// From the fault until every node serves or streams and counts again.
    pub whole_ms: Option<f64>,
    /// The same from when the last thing of ours was back.
    pub rejoin_ms: Option<f64>,
    /// Most log that a node had once whole again, in MiB.
    #[serde(default)]
    pub log_mib: Option<f64>,
    /// Writes through the fronts that ended before the next fault and were not acknowledged.
    #[serde(default)]
    pub failed: u64,
    /// Writes acknowledged around it that are gone.
    pub lost: u64,
    /// Answers of success around it that waited for no standby.
    pub false_acks: u64,
    /// What a double fault did beside; of others, and of journals before it was judged, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub double: Option<Double>,
}

impl FaultLine {
    /// Whether a term began.
    fn moved(&self) -> bool {
        self.term_after > self.term_before
    }
}

/// One judged round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundLine {
    /// Its first fault's place in the sequence.
    pub first: u64,
    /// Its faults.
    pub faults: u64,
    /// How long it took in seconds.
    pub seconds: f64,
    /// Acknowledged register writes.
    pub acked: u64,
    /// Of these, those that went straight to a node.
    pub acked_directly: u64,
    /// Those nobody knows about.
    pub unknown: u64,
    /// Acknowledged writes that are gone: registers and appends to lists.
    pub lost: u64,
    /// Answers of success that waited for no standby.
    pub false_acks: u64,
    /// What the checkers say, one sentence for each.
    pub problems: Vec<String>,
    /// Processes that wanted to run at its end, averaged over a minute.
    pub load_average: String,
}

/// A while in which nothing was broken, on a busy machine with short pauses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalmLine {
    /// How long it was, in seconds.
    pub seconds: f64,
    /// Of these, those in which the processors were taken.
    pub loaded_seconds: f64,
    /// How much of the processors' time nobody wanted.
    pub idle_percent: f64,
    /// Pauses made.
    pub pauses: u64,
    /// The longest, as it came to be on the busy machine, in milliseconds.
    pub longest_pause_ms: u64,
    /// Terms that began: false failovers.
    pub terms: u64,
    /// Each, with the pauses before it.
    pub events: Vec<String>,
    /// The longest time without an acknowledged write through the fronts, in milliseconds.
    pub gap_ms: Option<f64>,
    /// Acknowledged register writes.
    pub acked: u64,
    /// Acknowledged writes that are gone.
    pub lost: u64,
    /// Answers of success that waited for no standby.
    pub false_acks: u64,
    /// What the checkers say, one sentence for each.
    pub problems: Vec<String>,
    /// Processes that wanted to run at its end, averaged over a minute.
    pub load_average: String,
}

impl std::fmt::Display for CalmLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0} s in calm, {:.0} of them with less than 5% idle ({:.1}% in all, load {}): {} pauses, the longest {} ms; \
             {} terms began; longest write gap {:.0} ms; {} writes acknowledged, {} lost",
            self.seconds,
            self.loaded_seconds,
            self.idle_percent,
            self.load_average,
            self.pauses,
            self.longest_pause_ms,
            self.terms,
            self.gap_ms.unwrap_or(f64::NAN),
            self.acked,
            self.lost
        )
    }
}

impl CalmLine {
    /// All of `lines` as one.
    fn sum(lines: &[CalmLine]) -> CalmLine {
        let mut all = CalmLine::default();
        for line in lines {
            // Weighted by time.
            let seconds = all.seconds + line.seconds;
            let idle = all.idle_percent * all.seconds + line.idle_percent * line.seconds;
            all.idle_percent = idle / seconds.max(f64::MIN_POSITIVE);
            all.seconds = seconds;
            all.loaded_seconds += line.loaded_seconds;
            all.pauses += line.pauses;
            all.longest_pause_ms = all.longest_pause_ms.max(line.longest_pause_ms);
            all.terms += line.terms;
            let longest = all.gap_ms.unwrap_or_default().max(line.gap_ms.unwrap_or_default());
            all.gap_ms = Some(longest);
            all.acked += line.acked;
            all.lost += line.lost;
            all.false_acks += line.false_acks;
            all.load_average = line.load_average.clone();
        }
        all
    }
}

/// Appends lines; each is handed to the kernel before the soak goes on.
pub struct Journal(Option<File>);

impl Journal {
    /// Appends to `path`, readable by its owner alone; `None`: nowhere.
    pub fn open(path: Option<&Path>) -> Result<Journal> {
        let Some(path) = path else { return Ok(Journal(None)) };
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.append(true).create(true).open(path);
        Ok(Journal(Some(file.with_context(|| format!("cannot write `{}`", path.display()))?)))
    }

    /// Adds one line.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        file.write_all(&bytes).context("cannot write the journal")
    }
}

/// Reads a journal. A last line that was cut off is left out.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut lines = Vec::new();
    for text in BufReader::new(file).lines() {
        lines.extend(serde_json::from_str::<Line>(&text?).ok());
    }
    let starts = matches!(lines.first(), Some(Line::Start { format_version, .. }) if *format_version == FORMAT_VERSION);
    ensure!(starts, "`{}` is no journal of a soak", path.display());
    Ok(lines)
}

/// Behind the kind of a fault that also hit the store's leader.
pub const WITH_LEADER: &str = "+leader";

/// What is promised on three members of etcd, in milliseconds: kind, median, 99th percentile of the write gap.
const LIMITS: &[(&str, Option<f64>, f64)] = &[
    ("primary-kill", Some(500.0), 1_500.0),
    ("primary-kill+store-freeze", Some(500.0), 1_500.0),
    ("primary-freeze", None, 2_500.0),
    ("node-freeze", None, 2_500.0),
    ("switchover", None, 500.0),
    ("host-kill", None, 1_500.0),
    ("host-freeze", None, 2_500.0),
    ("host-cut", None, 2_500.0),
    ("host-cut-in", None, 2_500.0),
    ("host-cut-out", None, 2_500.0),
    ("data-cut", None, 2_500.0),
    ("agent-kill", None, 500.0),
];
/// A primary under a lease goes on without its agent for 2.8 s. Another agent that is started by then, in milliseconds,
/// renews its lease in time.
const LEASE_AGENT_MS: u64 = 1_000;
/// No node has more log than this, in MiB: what is kept for standbys, and what a rewind must copy.
const LOG_MIB: f64 = 400.0;
/// Everybody is back by then, in milliseconds.
const REJOIN_MS: f64 = 10_000.0;

/// What all lines come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// On three members of etcd, for which alone figures are promised.
    etcd: bool,
    /// Two nodes, for which other figures are promised.
    lease: bool,
    kinds: BTreeMap<String, Vec<FaultLine>>,
    /// Terms that began between two faults.
    between: Vec<String>,
    rounds: Vec<RoundLine>,
    calm: Vec<CalmLine>,
}

impl Table {
    /// Of a journal.
    pub fn of(lines: &[Line]) -> Table {
        let mut table = Table::default();
        let mut judged: Vec<&FaultLine> = Vec::new();
        for line in lines {
            match line {
                // Whoever goes on makes the faults again whose round was not written.
                Line::Start { store, place, .. } => {
                    (table.etcd, table.lease) = (store == "etcd", place == "lease");
                    judged.clear();
                }
                Line::Fault(fault) => judged.push(fault),
                Line::Round(round) => {
                    table.between.extend(judged.windows(2).filter_map(|two| between(two[0], two[1])));
                    for fault in judged.drain(..) {
                        table.kinds.entry(fault.kind.clone()).or_default().push(fault.clone());
                    }
                    table.rounds.push(round.clone());
                }
                Line::Calm(calm) => table.calm.push(calm.clone()),
            }
        }
        table
    }

    /// Faults in it.
    pub fn faults(&self) -> usize {
        self.kinds.values().map(Vec::len).sum()
    }

    /// What was promised without any figure, and not kept: one sentence each.
    pub fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> = self.rounds.iter().flat_map(|round| round.problems.clone()).collect();
        broken.extend(self.calm.iter().flat_map(|calm| calm.problems.clone()));
        for fault in self.kinds.values().flatten().filter(|fault| fault.whole_ms.is_none()) {
            broken.push(format!("not whole again after fault {}, {}", fault.index, fault.kind));
        }
        for fault in self.kinds.values().flatten() {
            let bare = fault.kind.strip_suffix(WITH_LEADER).unwrap_or(&fault.kind);
            let expected = Kind::of(bare).ok().and_then(outcome::expected);
            let Some((double, expected)) = fault.double.zip(expected) else { continue };
            let wrong = double.judge(expected, fault.rejoin_ms);
            broken
                .extend(wrong.iter().map(|wrong| format!("fault {}, {}: {wrong}", fault.index, fault.kind)));
        }
        for fault in self.kinds.values().flatten().filter(|fault| always_moves(&fault.kind) && !fault.moved())
        {
            broken.push(format!(
                "fault {}, {}: no term began, so that nothing was broken",
                fault.index, fault.kind
            ));
        }
        for fault in self.kinds.values().flatten() {
            let Some(without) = self.goes_on_without(fault) else { continue };
            let (failed, began) = (fault.failed, fault.term_after.saturating_sub(fault.term_before));
            if failed > 0 || began > 0 {
                let index = fault.index;
                broken.push(format!(
                    "without {without}, fault {index}: {failed} writes failed and {began} terms began"
                ));
            }
        }
        broken
    }

    /// What was away in a fault that no client may notice.
    fn goes_on_without(&self, fault: &FaultLine) -> Option<&'static str> {
        match fault.kind.strip_suffix(WITH_LEADER).unwrap_or(&fault.kind) {
            "store-away" => Some("the store"),
            // Nobody else renews a lease.
            "agent-kill" if !self.lease || fault.away_ms <= LEASE_AGENT_MS => Some("its agent"),
            _ => None,
        }
    }

    /// Promised figures that were missed: one sentence each.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        missed.extend(self.calm.iter().flat_map(|calm| &calm.events).map(|event| format!("calm: {event}")));
        missed.extend(self.between.iter().cloned());
        if self.lease {
            for kind in self.kinds.keys() {
                let longest = self.sorted(kind, |fault| fault.gap_ms).last().copied();
                if let Some(gap) = longest.filter(|gap| *gap > LEASE_RTO_MS as f64) {
                    missed.push(format!("{kind}: {gap:.0} ms without a write, above {LEASE_RTO_MS} ms"));
                }
            }
        }
        if !self.etcd || self.lease {
            return missed;
        }
        for kind in self.kinds.keys() {
            let bare = kind.strip_suffix(WITH_LEADER).unwrap_or(kind);
            let Some((_, p50, p99)) = LIMITS.iter().find(|(limited, ..)| *limited == bare) else { continue };
            let gaps = self.gaps(kind);
            for (name, share, limit) in [("p50", 0.5, *p50), ("p99", 0.99, Some(*p99))] {
                if let (Some(found), Some(limit)) = (quantile(&gaps, share), limit)
                    && found > limit
                {
                    missed
                        .push(format!("{kind}: {name} of the write gap is {found:.0} ms, above {limit} ms"));
                }
            }
        }
        for kind in self.kinds.keys() {
            if let Some(longest) = self.sorted(kind, |fault| fault.rejoin_ms).last()
                && *longest > REJOIN_MS
            {
                missed.push(format!("{kind}: whole again after {longest:.0} ms, above {REJOIN_MS} ms"));
            }
            if let Some(most) = self.sorted(kind, |fault| fault.log_mib).last()
                && *most > LOG_MIB
            {
                missed.push(format!("{kind}: a node has {most:.0} MiB of log, above {LOG_MIB} MiB"));
            }
        }
        missed
    }

    /// Write gaps, of those faults alone that began a term where some did: one that is too short for a failover says nothing of how
    /// long these take.
    fn gaps(&self, kind: &str) -> Vec<f64> {
        let some = self.kinds.get(kind).into_iter().flatten().any(FaultLine::moved);
        self.sorted(kind, |fault| fault.gap_ms.filter(|_| fault.moved() || !some))
    }

    fn sorted(&self, kind: &str, value: impl Fn(&FaultLine) -> Option<f64>) -> Vec<f64> {
        let mut all: Vec<f64> = self.kinds.get(kind).into_iter().flatten().filter_map(value).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// For people.
    pub fn render(&self) -> String {
        let calm = match self.calm.is_empty() {
            true => String::new(),
            false => format!("{}\n", CalmLine::sum(&self.calm)),
        };
        if self.rounds.is_empty() && !calm.is_empty() {
            return calm;
        }
        let mut text = format!(
            "{:<32} {:>4} {:>5} {:>8} {:>8} {:>8} {:>10} {:>10} {:>7} {:>6} {:>5} {:>6}\n",
            "milliseconds",
            "n",
            "terms",
            "gap p50",
            "p99",
            "max",
            "rejoin p50",
            "max",
            "log MiB",
            "failed",
            "lost",
            "false"
        );
        for (kind, faults) in &self.kinds {
            let gaps = self.gaps(kind);
            let rejoins = self.sorted(kind, |fault| fault.rejoin_ms);
            let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
            text.push_str(&format!(
                "{kind:<32} {:>4} {:>5} {:>8} {:>8} {:>8} {:>10} {:>10} {:>7} {:>6} {:>5} {:>6}\n",
                faults.len(),
                faults.iter().filter(|fault| fault.moved()).count(),
                show(quantile(&gaps, 0.5)),
                show(quantile(&gaps, 0.99)),
                show(gaps.last().copied()),
                show(quantile(&rejoins, 0.5)),
                show(rejoins.last().copied()),
                show(self.sorted(kind, |fault| fault.log_mib).last().copied()),
                faults.iter().map(|fault| fault.failed).sum::<u64>(),
                faults.iter().map(|fault| fault.lost).sum::<u64>(),
                faults.iter().map(|fault| fault.false_acks).sum::<u64>(),
            ));
        }
        let sum = |value: fn(&RoundLine) -> u64| self.rounds.iter().map(value).sum::<u64>();
        text.push_str(&format!(
            "{} faults in {} judged rounds: {} writes acknowledged ({} past the fronts), {} unknown, {} lost, {} false \
             acknowledgements, {} violations\n",
            self.faults(),
            self.rounds.len(),
            sum(|round| round.acked),
            sum(|round| round.acked_directly),
            sum(|round| round.unknown),
            sum(|round| round.lost),
            sum(|round| round.false_acks),
            sum(|round| round.problems.len() as u64),
        ));
        text + &self.doubles() + &calm
    }

    /// The double faults for people; nothing when there are none.
    fn doubles(&self) -> String {
        let mut text = String::new();
        for (kind, faults) in &self.kinds {
            let doubles: Vec<Double> = faults.iter().filter_map(|fault| fault.double).collect();
            let sorted = |value: fn(&Double) -> Option<f64>| {
                let mut all: Vec<f64> = doubles.iter().filter_map(value).collect();
                all.sort_by(f64::total_cmp);
                all
            };
            let back = sorted(|double| double.writes_ms);
            let (Some(median), Some(most)) = (quantile(&back, 0.5), back.last()) else { continue };
            let alone = sorted(|double| Some(double.alone_ms));
            text.push_str(&format!(
                "{kind}: writes back {median:.0} ms (at most {most:.0}) after enough was there"
            ));
            if let Some(longest) = alone.last().filter(|ms| **ms > 0.0) {
                let acked: u64 = doubles.iter().map(|double| double.acked_alone).sum();
                text.push_str(&format!("; {acked} acknowledged in up to {longest:.0} ms with one copy left"));
            }
            text.push('\n');
        }
        text
    }
}

/// Whether every fault of this kind ends a term.
fn always_moves(kind: &str) -> bool {
    matches!(kind.strip_suffix(WITH_LEADER).unwrap_or(kind), "primary-kill" | "host-kill" | "switchover")
}

/// A term that began after a fault was over and before the next one; `None`: none did.
fn between(fault: &FaultLine, next: &FaultLine) -> Option<String> {
    (next.index == fault.index + 1 && next.term_before != fault.term_after).then(|| {
        format!(
            "{} -> {} after fault {}, {}, once all was whole",
            fault.term_after, next.term_before, fault.index, fault.kind
        )
    })
}

/// The nearest rank; of few values the 99th percentile is the largest.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}
