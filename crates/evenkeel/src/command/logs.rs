//! `evenkeel logs`: what units printed, from their files; works while nothing runs too.
//!
//! A data node has two logs, PostgreSQL's own and what its keeper says in the log of the zone's agent. Both carry the time
//! in every line, so they are merged by it, and those of a database's nodes too. What other units print is theirs: it need
//! not have a time, and is shown unit after unit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use model::ZoneName;

use crate::cli::LogsArgs;
use crate::exit::hinted;
use crate::say;
use crate::wire::hosts::Hosts;
use crate::wire::place;
use crate::wire::site::Site;

/// The end of a log that is looked through for its last lines.
const TAIL_MAX: u64 = 1 << 20;
/// Time between two looks with `--follow`.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes of `2026-11-28 16:41:09.123`, with which PostgreSQL (`log_line_prefix`) and agents begin a line, both in UTC.
const TIME_BYTES: usize = 23;

/// A file with lines of a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    unit: String,
    path: PathBuf,
    /// Of the lines only those of this node's keeper.
    keeper: bool,
    /// Its lines begin with the time.
    timed: bool,
}

/// Lines of one unit, in order.
#[derive(Debug)]
struct Told {
    unit: String,
    timed: bool,
    lines: Vec<Vec<u8>>,
}

/// Prints the newest lines, then with `--follow` what is added.
pub fn run(args: &LogsArgs, site: &Site) -> anyhow::Result<ExitCode> {
    let wanted = args.unit.as_deref();
    let mut at: BTreeMap<Source, u64> = BTreeMap::new();
    let found = sources(site, wanted)?;
    let over_hosts = Hosts::read(site)?.is_some() && !site.is_running()?;
    if over_hosts && !found.is_empty() {
        say::talk("these are of this machine alone; `evenkeel logs` on the other hosts shows theirs");
    }
    if found.is_empty() {
        let hint = match (over_hosts, wanted) {
            (true, _) => "`evenkeel logs` on its host, from the folder in which the agent was started",
            (false, Some(_)) => "`evenkeel status` lists the units",
            (false, None) => "start them with `evenkeel up`",
        };
        let who = wanted.map_or_else(|| "no unit".to_owned(), |unit| format!("no unit `{unit}`"));
        let place = if over_hosts { " on this machine" } else { "" };
        if !args.follow {
            return Err(hinted(format!("{who} has printed anything{place}"), hint));
        }
        say::talk(format_args!("{who} has printed anything{place} yet: waiting for it ({hint})"));
    }
    let mut told = Vec::new();
    for source in found {
        let (lines, end) = tail(&source, args.lines)?;
        told.push(Told { unit: source.unit.clone(), timed: source.timed, lines });
        at.insert(source, end);
    }
    if !show(merged(told, args.lines), wanted)? || !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::park_timeout(LOOK);
        let mut told = Vec::new();
        for source in sources(site, wanted)? {
            let from = at.get(&source).copied().unwrap_or(0);
            let (lines, end) = added(&source, from)?;
            told.push(Told { unit: source.unit.clone(), timed: source.timed, lines });
            at.insert(source, end);
        }
        if !show(merged(told, usize::MAX), wanted)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether `unit` is the one asked for, or one of the service or database asked for.
fn is_wanted(unit: &str, wanted: Option<&str>) -> bool {
    let of = |name: &str| unit.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    wanted.is_none_or(|name| unit == name || of(name).is_some_and(|rest| !rest.contains('-')))
}

/// The logs of each unit, or of those asked for, by unit.
fn sources(site: &Site, wanted: Option<&str>) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for zone in entries(&site.zones_dir()) {
        for folder in entries(&zone.join("units")) {
            let (unit, path) = (name(&folder), folder.join("log"));
            if is_wanted(&unit, wanted) && path.is_file() {
                found.push(Source { unit, path, keeper: false, timed: false });
            }
        }
        let Ok(known) = ZoneName::new(&name(&zone)) else { continue };
        let Some(databases) = place::known(site, &known)? else { continue };
        for folder in entries(&databases) {
            let (unit, path) = (name(&folder), folder.join("log"));
            if !is_wanted(&unit, wanted) {
                continue;
            }
            let agent =
                Source { unit: unit.clone(), path: zone.join("agent.log"), keeper: true, timed: true };
            let server = Source { unit, path, keeper: false, timed: true };
            found.extend([server, agent].into_iter().filter(|source| source.path.is_file()));
        }
    }
    found.sort();
    Ok(found)
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

impl Source {
    /// The lines of `text` that are this unit's.
    fn lines(&self, text: &[u8]) -> Vec<Vec<u8>> {
        let mark = format!("node={}", self.unit);
        let own = |line: &&[u8]| !self.keeper || has_word(line, mark.as_bytes());
        text.split_inclusive(|byte| *byte == b'\n').filter(own).map(<[u8]>::to_vec).collect()
    }
}

fn has_word(line: &[u8], word: &[u8]) -> bool {
    line.split(|byte| byte.is_ascii_whitespace()).any(|found| found == word)
}

/// The last `lines` lines and where they end.
fn tail(source: &Source, lines: usize) -> anyhow::Result<(Vec<Vec<u8>>, u64)> {
    let mut file = File::open(&source.path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut text)?;
    let mut found = source.lines(&text);
    let over = found.len().saturating_sub(lines);
    Ok((found.split_off(over), length))
}

/// What was added since `from`; a log that became shorter was rotated and is read from its start.
fn added(source: &Source, from: u64) -> anyhow::Result<(Vec<Vec<u8>>, u64)> {
    let Ok(mut file) = File::open(&source.path) else { return Ok((Vec::new(), 0)) };
    let length = file.metadata()?.len();
    let from = if length < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut text)?;
    if source.timed && !text.ends_with(b"\n") {
        // Half a line has no time yet, or not the word that makes it this node's: the rest is about to come.
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    }
    let end = from + text.len() as u64;
    Ok((source.lines(&text), end))
}

/// A line, after its time.
type TimedLine = (Vec<u8>, Vec<u8>);

/// All lines in the order in which they are shown, at most `lines` of each unit: those with a time by it, after the others.
fn merged(told: Vec<Told>, lines: usize) -> Vec<(String, Vec<u8>)> {
    let mut shown = Vec::new();
    let mut timed: BTreeMap<String, Vec<TimedLine>> = BTreeMap::new();
    for Told { unit, timed: has_time, lines } in told {
        if !has_time {
            shown.extend(lines.into_iter().map(|line| (unit.clone(), line)));
            continue;
        }
        let of_unit = timed.entry(unit).or_default();
        let mut last = Vec::new();
        for line in lines {
            // What goes on in the next line has no time of its own: it stays where the first one is.
            last = time(&line).unwrap_or(last);
            of_unit.push((last.clone(), line));
        }
    }
    let mut all = Vec::new();
    for (unit, mut of_unit) in timed {
        of_unit.sort_by(|one, other| one.0.cmp(&other.0));
        let over = of_unit.len().saturating_sub(lines);
        all.extend(of_unit.drain(over..).map(|(time, line)| (time, unit.clone(), line)));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    shown.extend(all.into_iter().map(|(_, unit, line)| (unit, line)));
    shown
}

/// The time with which `line` begins, to be compared with others.
fn time(line: &[u8]) -> Option<Vec<u8>> {
    let mut time = line.get(..TIME_BYTES)?.to_vec();
    let shape = b"dddd-dd-dd dd:dd:dd.ddd";
    time[10] = if time[10] == b'T' { b' ' } else { time[10] };
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    time.iter().zip(shape).all(fits).then_some(time)
}

/// `false`: nobody reads any more.
fn show(lines: Vec<(String, Vec<u8>)>, wanted: Option<&str>) -> anyhow::Result<bool> {
    let mut out = Vec::new();
    for (unit, line) in lines {
        if wanted != Some(&unit) {
            out.extend_from_slice(format!("{unit:<12} | ").as_bytes());
        }
        out.extend_from_slice(&line);
    }
    say::bytes(&out)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
