//! What was measured, as JSON lines that are appended to, and the table made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::plan::{Fault, System, Turn};

/// Raised when older readers would misread what is written.
pub const FORMAT_VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A bench begins, or goes on.
    Start(StartLine),
    /// A fault was made on a system, and what it kept was judged.
    Turn(TurnLine),
}

/// With what is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartLine {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Unix time in milliseconds.
    pub unix_ms: u64,
    /// Of the clients.
    pub seed: u64,
    /// What is broken.
    pub faults: Vec<Fault>,
    /// Who is measured.
    pub systems: Vec<System>,
    /// The peer replicates synchronously.
    pub sync: bool,
    /// What the programs call themselves, by their names.
    pub versions: BTreeMap<String, String>,
    /// Cores of the machine.
    pub cpus: usize,
}

/// One fault on one system. Times in milliseconds; `None`: it never came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnLine {
    /// Which.
    #[serde(flatten)]
    pub turn: Turn,
    /// Unix time of the fault.
    pub unix_ms: u64,
    /// The host that was hit.
    pub host: String,
    /// The host of the primary when all was whole again.
    pub host_after: Option<String>,
    /// The longest time without an acknowledged write until all was whole again, counted from the fault at the earliest.
    pub gap_ms: Option<f64>,
    /// From the fault to the next acknowledged write; it may have been in flight.
    pub next_ack_ms: Option<f64>,
    /// How long the host was frozen or cut off by our hand.
    pub away_ms: Option<f64>,
    /// From when the last thing of ours was taken back until a primary served and both others streamed.
    pub rejoin_ms: Option<f64>,
    /// Acknowledged register writes, all of them.
    pub acked: u64,
    /// Acknowledged on the applications' way, and gone: register writes and appends to lists.
    pub lost: u64,
    /// Acknowledged after the fault by the host that was hit, to a client on that host.
    pub old_acked: u64,
    /// Of what that host acknowledged to clients on it, what is gone.
    pub old_erased: u64,
    /// Answers of success that waited for no standby, and said so in a warning.
    pub false_acks: u64,
    /// What the checkers say, one sentence for each.
    pub problems: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
    /// Processes that wanted to run at its end, averaged over a minute.
    pub load_average: f64,
}

/// Appends lines; each is handed to the kernel before the bench goes on.
pub struct Journal(Option<File>);

impl Journal {
    /// Appends to `path`; `None`: nowhere.
    pub fn open(path: Option<&Path>) -> Result<Journal> {
        let Some(path) = path else { return Ok(Journal(None)) };
        let file = File::options().append(true).create(true).open(path);
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

/// Reads a journal. A last line that was cut off is left out, and its measurement is made again.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut lines = Vec::new();
    for text in BufReader::new(file).lines() {
        lines.extend(serde_json::from_str::<Line>(&text?).ok());
    }
    let starts = matches!(lines.first(), Some(Line::Start(start)) if start.format_version == FORMAT_VERSION);
    ensure!(starts, "`{}` is no journal of this bench", path.display());
    Ok(lines)
}

/// What was measured already.
pub fn done(lines: &[Line]) -> BTreeSet<Turn> {
    let turns = lines.iter().filter_map(|line| match line {
        Line::Turn(line) => Some(line.turn),
        Line::Start(_) => None,
    });
    turns.collect()
}

/// What all lines come to.
pub struct Table<'a> {
    start: &'a StartLine,
    turns: BTreeMap<Turn, &'a TurnLine>,
}

impl Table<'_> {
    /// Of a journal; `None`: it has no start. A measurement that stands there twice counts once.
    pub fn of(lines: &[Line]) -> Option<Table<'_>> {
        let Some(Line::Start(start)) = lines.first() else { return None };
        let turns = lines.iter().filter_map(|line| match line {
            Line::Turn(line) => Some((line.turn, line)),
            Line::Start(_) => None,
        });
        Some(Table { start, turns: turns.collect() })
    }

    fn lines(&self, fault: Fault, system: System) -> impl Iterator<Item = &TurnLine> {
        let all = self.turns.values().copied();
        all.filter(move |line| line.turn.fault == fault && line.turn.system == system)
    }

    /// What ours must never do, one sentence each. What the peer does is a measurement.
    pub fn broken(&self) -> Vec<String> {
        let ours = self.turns.values().filter(|line| line.turn.system == System::Evenkeel);
        let mut broken = Vec::new();
        for line in ours {
            let name = format!("run {} of {}", line.turn.run + 1, line.turn.fault.name());
            broken.extend(line.problems.iter().map(|problem| format!("{name}: {problem}")));
            if line.rejoin_ms.is_none() {
                broken.push(format!("{name}: not whole again"));
            }
        }
        broken
    }

    /// For a README: what ran where, and a table of Markdown.
    pub fn render(&self) -> String {
        let start = self.start;
        let loads: Vec<f64> = sorted(self.turns.values().map(|line| line.load_average));
        let range = |all: &[f64]| match all {
            [low, .., high] => format!("{low:.1}..{high:.1}"),
            [one] => format!("{one:.1}"),
            [] => "?".to_owned(),
        };
        let versions: Vec<String> =
            start.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let mut text = format!(
            "`cargo xtask bench failover`, {}, {} cores, load {}, {}. The peer replicates {}.\n\n",
            date(start.unix_ms),
            start.cpus,
            range(&loads),
            versions.join(", "),
            if start.sync {
                "synchronously (`synchronous_mode: true`)"
            } else {
                "asynchronously, its default"
            },
        );
        text.push_str(
            "| fault | system | n | median s | max s | times ours (range) | rejoin median s | max s | lost | erased |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for fault in &start.faults {
            for system in &start.systems {
                text.push_str(&self.row(*fault, *system));
            }
        }
        text.push_str(
            "\nSeconds without an acknowledged write. lost: acknowledged on the applications' way, and gone. erased: \
             acknowledged to a client on the old primary's host, and gone.\n",
        );
        text
    }

    fn row(&self, fault: Fault, system: System) -> String {
        let gaps = sorted(self.lines(fault, system).filter_map(|line| line.gap_ms));
        let rejoins = sorted(self.lines(fault, system).filter_map(|line| line.rejoin_ms));
        let count = self.lines(fault, system).count();
        let never = count - gaps.len();
        let sum = |value: fn(&TurnLine) -> u64| self.lines(fault, system).map(value).sum::<u64>();
        let n = if never == 0 { count.to_string() } else { format!("{count} ({never} never came back)") };
        let max = |all: &[f64]| all.last().copied();
        format!(
            "| {} | {} | {n} | {} | {} | {} | {} | {} | {} | {} |\n",
            fault.name(),
            system.title(),
            seconds(median(&gaps)),
            seconds(max(&gaps)),
            self.times_ours(fault, system),
            seconds(median(&rejoins)),
            seconds(max(&rejoins)),
            sum(|line| line.lost),
            sum(|line| line.old_erased),
        )
    }

    /// How many times as long as ours in the same run: median, and the range of the runs.
    fn times_ours(&self, fault: Fault, system: System) -> String {
        if system == System::Evenkeel {
            return "1".to_owned();
        }
        let ratio = |line: &TurnLine| {
            let ours = self.turns.get(&Turn { system: System::Evenkeel, ..line.turn })?;
            Some(line.gap_ms? / ours.gap_ms?)
        };
        let ratios = sorted(self.lines(fault, system).filter_map(ratio));
        match (median(&ratios), ratios.first(), ratios.last()) {
            (Some(median), Some(low), Some(high)) => {
                format!("{} ({}..{})", short(median), short(*low), short(*high))
            }
            _ => "-".to_owned(),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0),
    }
}

fn seconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.2}", ms / 1_000.0))
}

fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// The day, in UTC.
fn date(unix_ms: u64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp((unix_ms / 1_000) as i64);
    moment.map_or_else(|_| "?".to_owned(), |moment| moment.date().to_string())
}
