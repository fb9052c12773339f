//! What a person must be told now. An alarm begins when it is certain and ends when what it tells of has ended, so that a
//! keeper which stood still for a moment does not take it back.

use std::collections::BTreeSet;

use crate::decide_unrest::is_spent;
use crate::decide_view::{Judgement, Server, View};
use model::{Lsn, Moment, Nodes, Record, ReignPhase as Phase, WarningKind};

/// A database without a primary for so long is more than a switch, in milliseconds. With the time that it takes to
/// suspect one it stays below the 5 s within which somebody must know.
pub const NO_PRIMARY_MS: u64 = 3_000;

/// The alarms of one node, from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// No standby is left, since the log ended here.
    alone: Option<Lsn>,
    /// There is no primary that serves, since then.
    headless: Option<Moment>,
}

/// Nodes of which one at least must come back before anybody can be elected: what is heard may lack what was
/// acknowledged. Nobody: those that are here are enough.
#[must_use]
pub fn awaited(record: &Record, here: Nodes) -> Nodes {
    let open = record.quorums.iter().filter(|quorum| !quorum.is_settled_by(here));
    open.flat_map(|quorum| quorum.members.with(quorum.primary).minus(here).iter()).collect()
}

impl Alarms {
    /// What to tell at `now`.
    pub fn judge(&mut self, view: &View, judgement: &Judgement, now: Moment) -> BTreeSet<WarningKind> {
        let mut kinds = BTreeSet::new();
        let Some(record) = view.record.as_ref().map(|kept| &kept.value) else { return kinds };
        if is_spent(record, view.unrest_max) {
            kinds.insert(WarningKind::Restless);
        }
        // Before the first one has served, nodes are being filled: that takes as long as it takes.
        let born = record.history.iter().any(|reign| reign.served);
        let headed = !born || (matches!(record.phase, Phase::Serving { .. }) && !judgement.suspects);
        self.headless = (!headed).then(|| self.headless.unwrap_or(now));
        if self.headless.is_some_and(|since| now.ms_since(since) >= NO_PRIMARY_MS) {
            kinds.insert(WarningKind::NoPrimary);
        }
        self.look(view, judgement);
        if self.alone.is_some() {
            let awaited = record.current().is_some_and(|quorum| quorum.need > 0);
            kinds.insert(if awaited { WarningKind::NoStandby } else { WarningKind::Unprotected });
        }
        kinds
    }

    /// How much of the log of `view` was written since nobody else receives it, in bytes; `None`: somebody does.
    #[must_use]
    pub fn only_here(&self, view: &View) -> Option<u64> {
        let Server::Primary { flush, .. } = &view.server else { return None };
        self.alone.map(|since| flush.0.saturating_sub(since.0))
    }

    fn look(&mut self, view: &View, judgement: &Judgement) {
        let Some(record) = view.record.as_ref().map(|kept| &kept.value) else { return };
        let serves = matches!(record.phase, Phase::Serving { primary, .. } if primary == view.me);
        let others = view.nodes.without(view.me);
        let Server::Primary { senders, flush, .. } = &view.server else {
            // A look may fail; that brings no standby back.
            self.alone = self.alone.filter(|_| serves && matches!(view.server, Server::Busy));
            return;
        };
        let streams = |node: &model::NodeId| senders.get(node).is_some_and(|s| s.term == record.term);
        if !serves || others.iter().any(|node| streams(&node)) {
            self.alone = None;
        } else if !others.is_empty() && others.minus(judgement.missing).is_empty() {
            self.alone = self.alone.or(Some(*flush));
        }
    }
}

#[cfg(test)]
#[path = "decide_alarm_tests.rs"]
mod tests;
