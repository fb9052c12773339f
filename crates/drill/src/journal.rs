//! The order journals: what the application really carried out, written by it before it answered.
//!
//! One line for each execution, `{"id":"..","at_ms":..,"unit":".."}`. An id in two lines, of one journal or of two,
//! was carried out twice; an acknowledged id in none is lost. An application that keeps its orders in a database is
//! asked there, with the same evidence: [`read_orders`](crate::database::read_orders).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::decide_verdict::Effects;
use crate::error::DrillError;

/// The journal's name in a replica's data folder.
pub const JOURNAL_NAME: &str = "orders.journal";
/// Longest line in bytes; a longer one is damage.
const LINE_MAX: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Line {
    id: String,
}

/// How often each id was carried out, over all journals, or as a database has it
/// ([`read_orders`](crate::database::read_orders)).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Executions {
    counts: BTreeMap<String, u32>,
    /// Journals read; 0 where a database was.
    pub journals: usize,
    /// Lines or rows that are none: the id in one, if it was acknowledged, counts as lost.
    pub damaged: u64,
}

impl Executions {
    /// Reads every journal under `roots`, keeping ids that start with `prefix` (those of this run).
    pub(crate) fn read(roots: &[PathBuf], prefix: &str) -> Result<Executions, DrillError> {
        let mut found = Executions::default();
        for journal in journals_under(roots)? {
            let open = File::open(&journal).and_then(|file| found.add(file, prefix));
            open.map_err(|cause| DrillError::Journal { path: journal, cause })?;
            found.journals += 1;
        }
        Ok(found)
    }

    fn add(&mut self, source: impl Read, prefix: &str) -> io::Result<()> {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            // A line without its end was cut off by the death of its writer: it had not been acknowledged, or the
            // acknowledgement came too early, and then the id counts as lost.
            match serde_json::from_slice::<Line>(&line) {
                Ok(entry) if line.ends_with(b"\n") => {
                    if entry.id.starts_with(prefix) {
                        *self.counts.entry(entry.id).or_default() += 1;
                    }
                }
                _ => self.damaged += 1,
            }
        }
    }

    /// Takes in that `id` was carried out so often; 0 times is damage.
    pub(crate) fn count(&mut self, id: String, times: u32) {
        match times {
            0 => self.damaged += 1,
            times => *self.counts.entry(id).or_default() += times,
        }
    }

    /// How often `id` was carried out.
    #[must_use]
    pub fn times(&self, id: &str) -> u32 {
        self.counts.get(id).copied().unwrap_or(0)
    }

    /// Compares with what was acknowledged. Ids that were carried out once and never acknowledged are fine: their
    /// callers were told of a failure.
    #[must_use]
    pub fn compare(&self, acked: impl Iterator<Item = String>) -> Effects {
        let lost = acked.filter(|id| !self.counts.contains_key(id)).collect();
        let doubled = self.counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id.clone()).collect();
        Effects { lost, doubled }
    }
}

/// Journals of `roots`: `R/orders.journal` and `R/zones/*/units/*/data/orders.journal`, in a fixed order, each
/// once. A folder that is not there holds none.
fn journals_under(roots: &[PathBuf]) -> Result<Vec<PathBuf>, DrillError> {
    let mut found = Vec::new();
    for root in roots {
        found.push(root.join(JOURNAL_NAME));
        for zone in folders(&root.join("zones"))? {
            for unit in folders(&zone.join("units"))? {
                found.push(unit.join("data").join(JOURNAL_NAME));
            }
        }
    }
    found.retain(|path| path.is_file());
    // The same journal by two ways would make every effect a double one.
    let mut real: Vec<PathBuf> = Vec::new();
    for path in found {
        let real_path = path.canonicalize().map_err(|cause| DrillError::Journal { path, cause })?;
        real.push(real_path);
    }
    real.sort();
    real.dedup();
    Ok(real)
}

fn folders(of: &Path) -> Result<Vec<PathBuf>, DrillError> {
    let wrong = |cause| DrillError::Journal { path: of.to_owned(), cause };
    let entries = match std::fs::read_dir(of) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(wrong(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executions(text: &str) -> Executions {
        let mut found = Executions::default();
        found.add(text.as_bytes(), "r1-").unwrap();
        found
    }

    fn ids(all: &[&str]) -> impl Iterator<Item = String> {
        all.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn acknowledged_ids_in_no_journal_are_lost_and_ids_in_two_lines_are_doubled() {
        let found = executions(
            "{\"id\":\"r1-1\",\"at_ms\":1,\"unit\":\"web-1\"}\n{\"id\":\"r1-2\"}\n{\"id\":\"r1-2\"}\n{\"id\":\"r1-9\"}\n",
        );
        let effects = found.compare(ids(&["r1-1", "r1-2", "r1-3"]));
        assert_eq!(effects, Effects { lost: vec!["r1-3".into()], doubled: vec!["r1-2".into()] });
    }

    #[test]
    fn orders_of_earlier_runs_do_not_count() {
        let found = executions("{\"id\":\"r0-1\"}\n{\"id\":\"r0-1\"}\n{\"id\":\"r1-1\"}\n");
        assert_eq!(found.compare(ids(&["r1-1"])), Effects::default());
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_execution() {
        let long = format!("{{\"id\":\"{}\"}}\n", "x".repeat(LINE_MAX as usize));
        for (text, damaged) in
            [("{\"id\":\"r1-1\"}", 1), ("{\"id\":\"r1-", 1), ("\0\0\0\n{\"id\":7}\n", 2), (&long, 2)]
        {
            let found = executions(text);
            assert_eq!((found.counts.len(), found.damaged), (0, damaged), "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn journals_of_every_zone_and_unit_are_found_once() {
        let root = std::env::temp_dir().join(format!("drill-journals-{}", std::process::id()));
        for (zone, unit, id) in [("a", "web-1", "r1-1"), ("b", "web-2", "r1-2"), ("b", "web-7", "r1-7")] {
            let data = root.join("zones").join(zone).join("units").join(unit).join("data");
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join(JOURNAL_NAME), format!("{{\"id\":\"{id}\"}}\n")).unwrap();
        }
        std::fs::create_dir_all(root.join("zones/c/units/edge-c")).unwrap();
        let direct = root.join("zones/a/units/web-1/data");
        let found = Executions::read(&[root.clone(), direct, root.join("nothing")], "r1-").unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.journals, 3);
        assert_eq!(found.compare(ids(&["r1-1", "r1-2", "r1-7"])), Effects::default());
    }
}
