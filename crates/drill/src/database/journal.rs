//! The history on disk, written as it happens, so that a drill whose own process died can be judged later.
//!
//! JSON lines. The first is the header; then each operation has a line when it starts and one when it ends. Every line
//! is handed to the kernel before the operation goes on, so it survives the death of the process (not of the
//! machine, which is not what is drilled). An operation without its second line may have happened: unknown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::error;

use super::decide_history::{Action, History, Isolation, Operation, Outcome, Via};
use super::error::WorkloadError;

/// Raised when older readers would misread what is written.
const FORMAT_VERSION: u32 = 1;
/// Longest line in bytes; a longer one is damage.
const LINE_MAX: u64 = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    Start { format_version: u32, started_unix_ms: u64, isolation: Isolation, bank_total: i64 },
    Invoked { seq: u64, client: u32, via: Via, due_us: u64, at_us: u64, action: Action },
    Ended { seq: u64, at_us: u64, action: Action, outcome: Outcome },
    Fault { at_us: u64 },
    Stop { at_us: u64, missed_slots: u64 },
}

/// A journal that is being written; without a file it takes every line and keeps none.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<(File, PathBuf)>,
}

impl Journal {
    /// A new file, readable by its owner alone; one that exists is refused.
    pub(super) fn create(path: Option<&Path>, header: &History) -> Result<Journal, WorkloadError> {
        let Some(path) = path else { return Ok(Journal { file: None }) };
        let wrong = |cause| WorkloadError::Journal { path: path.to_owned(), cause };
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(path).map_err(wrong)?;
        let first = Line::Start {
            format_version: FORMAT_VERSION,
            started_unix_ms: header.started_unix_ms,
            isolation: header.isolation,
            bank_total: header.bank_total,
        };
        write(&mut file, &first).map_err(wrong)?;
        Ok(Journal { file: Some((file, path.to_owned())) })
    }

    /// Writes one line. Where that fails the journal ends, once and loudly; the history in memory is whole.
    pub(super) fn add(&mut self, line: &Line) {
        let Some((file, path)) = &mut self.file else { return };
        if let Err(cause) = write(file, line) {
            error!(path = %path.display(), error = &cause as &dyn std::error::Error, "journal ends here");
            self.file = None;
        }
    }
}

/// One system call a line.
fn write(file: &mut File, line: &Line) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

/// Reads a history back from its journal, also from one whose writer died. Operations that have no end are unknown;
/// a line that was cut off, or is damaged, is counted and passed over.
///
/// # Errors
/// When the file cannot be read or does not begin as a journal of this version.
pub fn rebuild(path: &Path) -> Result<History, WorkloadError> {
    let wrong = |cause| WorkloadError::Journal { path: path.to_owned(), cause };
    let mut reader = BufReader::new(File::open(path).map_err(wrong)?);
    let (mut line, mut history, mut begun) = (Vec::new(), History::default(), false);
    let mut operations: BTreeMap<u64, Operation> = BTreeMap::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(wrong)? == 0 {
            break;
        }
        let read = serde_json::from_slice::<Line>(&line).ok().filter(|_| line.ends_with(b"\n"));
        match read {
            Some(Line::Start { format_version: FORMAT_VERSION, started_unix_ms, isolation, bank_total }) => {
                begun = true;
                history = History { started_unix_ms, isolation, bank_total, ..history };
            }
            _ if !begun => return Err(WorkloadError::NotAJournal { path: path.to_owned() }),
            Some(line) => {
                if !take(&mut history, &mut operations, line) {
                    history.damaged_lines += 1;
                }
            }
            None => history.damaged_lines += 1,
        }
    }
    if !begun {
        return Err(WorkloadError::NotAJournal { path: path.to_owned() });
    }
    history.operations = operations.into_values().collect();
    Ok(history)
}

/// Takes in one line; `false` when it fits nothing that came before.
fn take(history: &mut History, operations: &mut BTreeMap<u64, Operation>, line: Line) -> bool {
    let now = match line {
        Line::Start { .. } => return false,
        Line::Invoked { seq, client, via, due_us, at_us, action } => {
            let outcome = still_open();
            operations.insert(
                seq,
                Operation { client, via, due_us, invoked_us: at_us, ended_us: None, action, outcome },
            );
            at_us
        }
        Line::Ended { seq, at_us, action, outcome } => {
            let Some(operation) = operations.get_mut(&seq) else { return false };
            (operation.ended_us, operation.action, operation.outcome) = (Some(at_us), action, outcome);
            at_us
        }
        Line::Fault { at_us } => {
            history.fault_at_us = Some(at_us);
            at_us
        }
        Line::Stop { at_us, missed_slots } => {
            history.missed_slots = missed_slots;
            at_us
        }
    };
    history.ended_us = history.ended_us.max(now);
    true
}

/// The outcome of an operation nobody saw the end of.
pub(super) fn still_open() -> Outcome {
    Outcome::Unknown { why: "never ended".to_owned(), false_ack: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("drill-history-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn invoked(seq: u64, id: i64) -> Line {
        Line::Invoked {
            seq,
            client: 1,
            via: Via::Direct(2),
            due_us: 5,
            at_us: 6,
            action: Action::Register { id },
        }
    }

    #[test]
    fn a_writer_that_died_leaves_what_it_knew_and_open_operations_are_unknown() {
        let path = scratch("died");
        let header = History { started_unix_ms: 9, bank_total: 70, ..History::default() };
        let mut journal = Journal::create(Some(&path), &header).unwrap();
        journal.add(&invoked(0, 100));
        journal.add(&invoked(1, 101));
        journal.add(&Line::Fault { at_us: 8 });
        journal.add(&Line::Ended {
            seq: 0,
            at_us: 9,
            action: Action::Register { id: 100 },
            outcome: Outcome::Ok,
        });
        drop(journal);
        File::options().append(true).open(&path).unwrap().write_all(b"{\"line\":\"ended\",\"se").unwrap();
        let history = rebuild(&path).unwrap();
        let again = Journal::create(Some(&path), &header);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(again, Err(WorkloadError::Journal { .. })), "an older history was overwritten");
        assert_eq!((history.started_unix_ms, history.bank_total, history.damaged_lines), (9, 70, 1));
        assert_eq!((history.fault_at_us, history.ended_us), (Some(8), 9));
        let ends: Vec<_> = history.operations.iter().map(|o| (o.ended_us, o.outcome.clone())).collect();
        assert_eq!(ends, [(Some(9), Outcome::Ok), (None, still_open())]);
    }

    #[test]
    fn another_file_is_no_journal() {
        let path = scratch("other");
        let bytes = b"{\"line\":\"start\",\"format_version\":99,\"started_unix_ms\":1,\"isolation\":\"serializable\",\"bank_total\":1}\n";
        for bytes in [&b""[..], b"hello\n", bytes] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(rebuild(&path), Err(WorkloadError::NotAJournal { .. })));
        }
        std::fs::remove_file(&path).unwrap();
    }
}
