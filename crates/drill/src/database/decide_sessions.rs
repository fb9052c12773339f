//! Sessions: a session reads what it wrote, and never reads an older state than it has read before, whichever replica
//! answers (Terry et al., "Session guarantees for weakly consistent replicated data", 1994).

use std::collections::{BTreeMap, BTreeSet};

use super::decide_history::{Action, History, Listed, Operation};

/// The judgement of the sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionReport {
    /// Acknowledged writes.
    pub writes_acked: u64,
    /// Reads that brought something back.
    pub reads: u64,
    /// Reads that miss an acknowledged write of the same session (read your writes), one sentence each.
    pub stale: Listed<String>,
    /// Reads that are older than an earlier read of the same session (monotonic reads).
    pub backwards: Listed<String>,
    /// Reads of a version that surely failed, or that nobody had tried to write.
    pub unwritten: Listed<String>,
}

#[derive(Default)]
struct Session {
    acked: i64,
    /// The highest version read, by session.
    seen: BTreeMap<usize, i64>,
}

/// What every session tried to write.
#[derive(Default)]
struct Tried {
    highest: BTreeMap<usize, i64>,
    failed: BTreeSet<(usize, i64)>,
}

/// Walks through every session; `None` when the history has none.
#[must_use]
pub fn check_sessions(history: &History) -> Option<SessionReport> {
    let mut tried = Tried::default();
    let mut ordered: Vec<(&Operation, u32)> = Vec::new();
    for operation in &history.operations {
        match operation.action {
            Action::SessionWrite { session, version } => {
                let highest = tried.highest.entry(session as usize).or_default();
                *highest = version.max(*highest);
                if operation.is_failed() {
                    tried.failed.insert((session as usize, version));
                }
                ordered.push((operation, session));
            }
            Action::SessionRead { session, .. } => ordered.push((operation, session)),
            _ => {}
        }
    }
    if ordered.is_empty() {
        return None;
    }
    ordered.sort_by_key(|(operation, session)| (*session, operation.invoked_us));
    let mut report = SessionReport::default();
    let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
    for (operation, number) in ordered.into_iter().filter(|(operation, _)| operation.is_ok()) {
        let session = sessions.entry(number).or_default();
        match &operation.action {
            Action::SessionWrite { version, .. } => {
                report.writes_acked += 1;
                session.acked = session.acked.max(*version);
            }
            Action::SessionRead { versions: Some(versions), .. } => {
                report.reads += 1;
                read(&mut report, session, number as usize, versions, &tried, operation.invoked_us);
            }
            _ => {}
        }
    }
    Some(report)
}

fn read(
    report: &mut SessionReport,
    session: &mut Session,
    own: usize,
    versions: &[i64],
    tried: &Tried,
    at_us: u64,
) {
    let at_s = at_us as f64 / 1e6;
    let mine = versions.get(own).copied().unwrap_or_default();
    if mine < session.acked {
        let acked = session.acked;
        report.stale.add(|| {
            format!("session {own} at {at_s:.3} s read its version {mine}; its {acked} had been acknowledged")
        });
    }
    for (other, version) in versions.iter().copied().enumerate() {
        let highest = tried.highest.get(&other).copied().unwrap_or_default();
        if version > highest || tried.failed.contains(&(other, version)) {
            let what = if version > highest { "nobody wrote" } else { "surely failed" };
            report.unwritten.add(|| {
                format!("session {own} at {at_s:.3} s read version {version} of {other}, which {what}")
            });
        }
        let seen = session.seen.entry(other).or_insert(version);
        if version < *seen {
            report.backwards.add(|| {
                format!(
                    "session {own} at {at_s:.3} s read version {version} of {other} after its version {seen}"
                )
            });
        }
        *seen = version.max(*seen);
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide_history::{Outcome, Via};
    use super::*;

    /// `w0=3` session 0 writes 3, acknowledged; `f0=3` surely failed; `u0=3` unknown; `r0=1,2` session 0 reads 1 and 2.
    fn check(text: &str) -> [u64; 3] {
        let operation = |(at, word): (usize, &str)| {
            let (who, what) = word.split_once('=').unwrap();
            let session = who[1..].parse().unwrap();
            let versions = || what.split(',').map(|v| v.parse().unwrap()).collect();
            let (action, outcome) = match &who[..1] {
                "r" => (Action::SessionRead { session, versions: Some(versions()) }, Outcome::Ok),
                kind => {
                    let outcome = match kind {
                        "w" => Outcome::Ok,
                        "f" => Outcome::Failed { why: String::new() },
                        _ => Outcome::Unknown { why: String::new(), false_ack: false },
                    };
                    (Action::SessionWrite { session, version: what.parse().unwrap() }, outcome)
                }
            };
            let at = at as u64;
            Operation {
                client: session,
                via: Via::Front,
                due_us: at,
                invoked_us: at,
                ended_us: Some(at),
                action,
                outcome,
            }
        };
        let operations = text.split_whitespace().enumerate().map(operation).collect();
        let report = check_sessions(&History { operations, ..History::default() }).unwrap();
        [report.stale.count, report.backwards.count, report.unwritten.count]
    }

    #[test]
    fn a_session_reads_what_it_wrote_and_never_goes_back() {
        assert_eq!(check("w0=1 r0=1,0 w1=1 r0=1,1 w0=2 r0=2,1 r1=1,1"), [0, 0, 0]);
        assert_eq!(check("w0=1 u0=2 r0=1,0 r0=2,0 f0=3 w0=4 r0=4,0"), [0, 0, 0], "unknown may come later");
        assert_eq!(check("w0=1 r0=0,0"), [1, 0, 0], "its own write is missing");
        assert_eq!(check("w0=1 w0=2 r0=1,0"), [1, 0, 0], "its last write is missing");
        assert_eq!(check("w1=5 r0=0,5 r0=0,4"), [0, 1, 0], "another's row goes back");
        assert_eq!(check("w0=1 w0=2 r0=2,0 r0=1,0"), [1, 1, 0], "its own row goes back");
        assert_eq!(check("f0=1 r0=1,0"), [0, 0, 1], "what failed is there");
        assert_eq!(check("w0=1 r0=7,0"), [0, 0, 1], "out of nowhere");
        assert_eq!(check("r0=0,0 w1=1 r0=0,0"), [0, 0, 0], "another session's write may be late");
    }
}
