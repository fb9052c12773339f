//! A node whose primary has no longer the log that it needs: it is copied anew, unless the record counts on what it has.

use std::time::Duration;

use model::{NodeId, Record, ReignPhase as Phase, Term};
use tokio::time::Instant;

use super::local::Local;

/// So long after the last thing was received the server's log is asked why: what it says of an earlier primary is past.
pub(super) const STRANDED: Duration = Duration::from_secs(2);

impl Local {
    /// Nothing but the log of the server says that its primary refuses it. Two lines in a row, and no newer one, as the
    /// receiver tries fifty times a second.
    pub(super) fn watch_stranding(&mut self, fed: bool) {
        let Some(upstream) = self.own.upstream().filter(|_| !fed) else {
            self.unfed = None;
            return;
        };
        let (term, since) = *self.unfed.get_or_insert((upstream.term, Instant::now()));
        if term != upstream.term {
            self.unfed = None;
            return;
        }
        let waits = since.elapsed() < STRANDED || self.stranded == Some(term);
        if waits || !self.instance.log_is_refused() {
            return;
        }
        let node = self.options.node;
        tracing::warn!(%node, term, "its primary has no longer the log it needs; it must be copied anew");
        self.stranded = Some(upstream.term);
    }

    /// The data is a new copy.
    pub fn joins_anew(&mut self) {
        self.stranded = None;
    }

    /// Whether the primary of `term` has no longer the log that is needed next.
    pub fn is_stranded(&self, term: Option<Term>) -> bool {
        self.stranded.is_some() && self.stranded == term
    }

    /// Remembers whether the record counts on the log that is here.
    pub fn note_counts(&mut self, record: Option<&Record>) {
        self.counts = record.is_some_and(|record| counts(record, self.options.node));
    }
}

/// Whether `record` counts on what `node` has. While a winner is still being promoted it has all of what those of its own quorum had,
/// and may be waiting for just this one.
fn counts(record: &Record, node: NodeId) -> bool {
    let promoting = matches!(record.phase, Phase::Promoting { .. });
    let awaited = promoting && record.current().is_some_and(|quorum| quorum.members.has(node));
    record.counts(node) && !awaited
}
