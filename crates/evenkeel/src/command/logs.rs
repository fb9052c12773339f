//! `evenkeel logs`: what units printed, from their files; works while nothing runs too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::LogsArgs;
use crate::exit::hinted;
use crate::say;
use crate::wire::site::Site;

/// The end of a log that is looked through for its last lines.
const TAIL_MAX: u64 = 1 << 20;
/// Time between two looks with `--follow`.
const LOOK: Duration = Duration::from_millis(200);

/// Prints the newest lines, then with `--follow` what is added.
pub fn run(args: &LogsArgs, site: &Site) -> anyhow::Result<ExitCode> {
    let mut at: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let found = files(site, args.unit.as_deref())?;
    if found.is_empty() && !args.follow {
        return Err(match &args.unit {
            Some(unit) => {
                hinted(format!("no unit `{unit}` has printed anything"), "`evenkeel status` lists the units")
            }
            None => hinted("no unit has printed anything", "start them with `evenkeel up`"),
        });
    }
    let many = args.unit.is_none();
    for (unit, path) in &found {
        let (text, end) = tail(path, args.lines)?;
        if !show(unit, &text, many)? {
            return Ok(ExitCode::SUCCESS);
        }
        at.insert(path.clone(), end);
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::park_timeout(LOOK);
        for (unit, path) in files(site, args.unit.as_deref())? {
            let from = at.get(&path).copied().unwrap_or(0);
            let (text, end) = added(&path, from)?;
            if !show(&unit, &text, many)? {
                return Ok(ExitCode::SUCCESS);
            }
            at.insert(path, end);
        }
    }
}

/// The log of each unit, or of the one asked for.
fn files(site: &Site, unit: Option<&str>) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for zone in entries(&site.zones_dir()) {
        for folder in entries(&zone.join("units")) {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let log = folder.join("log");
            if unit.is_none_or(|wanted| wanted == name) && log.is_file() {
                found.push((name, log));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// The last `lines` lines and where they end.
fn tail(path: &Path, lines: usize) -> anyhow::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX)))?;
    let mut text = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut text)?;
    let ended = text.last() == Some(&b'\n');
    let breaks = text.iter().rposition_nth(b'\n', lines.saturating_add(usize::from(ended)));
    let from = if lines == 0 { text.len() } else { breaks.map_or(0, |at| at + 1) };
    Ok((text.split_off(from), length))
}

/// The position of the `n`th match from the end.
trait PositionFromEnd {
    fn rposition_nth(self, byte: u8, n: usize) -> Option<usize>;
}

impl<'a, I: DoubleEndedIterator<Item = &'a u8> + ExactSizeIterator> PositionFromEnd for I {
    fn rposition_nth(self, byte: u8, n: usize) -> Option<usize> {
        let matches = self.enumerate().rev().filter(|(_, found)| **found == byte);
        matches.map(|(at, _)| at).nth(n.checked_sub(1)?)
    }
}

/// What was added since `from`; a log that became shorter was rotated and is read from its start.
fn added(path: &Path, from: u64) -> anyhow::Result<(Vec<u8>, u64)> {
    let Ok(mut file) = File::open(path) else { return Ok((Vec::new(), 0)) };
    let length = file.metadata()?.len();
    let from = if length < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut text)?;
    let end = from + text.len() as u64;
    Ok((text, end))
}

/// `false`: nobody reads any more.
fn show(unit: &str, text: &[u8], prefix: bool) -> anyhow::Result<bool> {
    let mut out = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if prefix {
            out.extend_from_slice(format!("{unit:<12} | ").as_bytes());
        }
        out.extend_from_slice(line);
    }
    say::bytes(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: usize, expected: &str) {
        let path =
            std::env::temp_dir().join(format!("evenkeel-logs-{}-{lines}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).unwrap();
        let (found, end) = tail(&path, lines).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((String::from_utf8(found).unwrap().as_str(), end), (expected, text.len() as u64));
    }

    #[test]
    fn the_last_lines_are_whole_lines() {
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\n", 5, "a\n");
        check("", 5, "");
        check("a\nb\n", 0, "");
        check("a\nb\n", usize::MAX, "a\nb\n");
    }
}
