//! What a keeper remembers between two decisions, and what it makes of the time that passed.

use std::collections::BTreeMap;

use model::Moment;

use crate::decide_unrest::FORGIVE_MS;
use crate::decide_view::{Judgement, Server, Tenure, View};
use model::{NodeId, Nodes, Record, ReignPhase as Phase, Term};

/// A primary of which nothing was heard for this long is taken for dead. A process that pauses for 500 ms at random, on a
/// machine with no core free, must stay below it.
pub const SUSPECT_MS: u64 = 1_200;
/// So long after its keeper was last heard a server's sign of life counts: whoever answers in its place needs no key. An agent that is
/// updated is back by then, and a server whose keeper is gone is nobody's after it.
pub const UNKEPT_MS: u64 = 60_000;
/// A keeper speaks this often.
pub const BEAT_MS: u64 = 100;
/// What a peer said of the primary counts this long.
const OPINION_MS: u64 = 600;
/// An own step that comes this late says that this process stood still: whatever was silent meanwhile may have spoken.
const STALL_MS: u64 = 350;
/// An election without a winner among the standbys takes the old primary again after this long.
pub const PATIENCE_MS: u64 = 1_500;
/// A handover whose heir is not up to date by then is called off.
pub const HANDOVER_MS: u64 = 5_000;
/// A standby streams this long before it counts.
pub const STEADY_MS: u64 = 300;
/// A standby that is gone this long counts no more: less than clients wait for a commit, more than a restart takes.
pub const MISSING_MS: u64 = 1_500;
/// A promotion that has not come to serve by then is tried again with whoever is there.
pub const STUCK_MS: u64 = 15_000;

/// What is known of another node's keeper and server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its keeper was last heard.
    pub heard: Option<Moment>,
    /// Its server, or whoever has its address, last answered a connection. Asked only while the keeper is silent.
    pub server_heard: Option<Moment>,
    /// Its host answers and says that neither keeper nor server is there.
    pub refused: bool,
    /// The term whose primary it takes for dead; of that primary: that it can write nothing any more.
    pub suspects: Option<Term>,
}

/// Soft timing, lost with the keeper. A new one starts empty: it then waits a little longer, and does nothing else
/// differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    last: Option<Moment>,
    /// Silence is counted from here at the earliest.
    awake: Moment,
    /// The newest term and phase, and when they were first seen.
    phase: Option<(Term, Phase, Moment)>,
    /// The newest term with its points of unrest, and when they were first seen.
    unrest: Option<(Term, u32, Moment)>,
    /// Since when each standby has been streaming.
    there: BTreeMap<NodeId, Moment>,
    /// Since when each has not.
    gone: BTreeMap<NodeId, Moment>,
}

impl Memory {
    /// The process runs at `now`. To be said while it waits for something, such as a store that does not answer: a
    /// wait would else be taken for a stall of its own, and whoever is silent would have to be so all over again.
    pub fn runs(&mut self, now: Moment) {
        if self.last.is_none_or(|last| now.ms_since(last) > STALL_MS) {
            self.awake = now;
            // Nobody was looked at meanwhile, so nobody was seen missing.
            self.gone.clear();
        }
        self.last = Some(now);
    }

    /// What time says of `view` at `now`.
    pub fn judge(&mut self, view: &View, peers: &BTreeMap<NodeId, Peer>, now: Moment) -> Judgement {
        self.runs(now);
        let Some(record) = view.record.as_ref().map(|kept| &kept.value) else { return Judgement::default() };
        let since = self.phase_since(record, now);
        self.watch_standbys(view, record.term, now);
        let stuck = matches!(record.phase, Phase::Promoting { .. }) && since >= STUCK_MS;
        let suspects =
            stuck || record.primary().is_some_and(|primary| self.lost(primary, record, view.me, peers, now));
        let recent = |at: Moment| now.ms_since(at) < OPINION_MS;
        let alike = |node: &NodeId| {
            let peer = peers.get(node).copied().unwrap_or_default();
            // One that is stuck together with the others needs nobody's opinion, only their presence.
            let agrees = peer.suspects == Some(record.term) && record.primary() != Some(*node);
            peer.heard.is_some_and(recent) && (stuck || agrees)
        };
        let others: Nodes = view.nodes.iter().filter(alike).collect();
        Judgement {
            suspects,
            agree: others.with(view.me),
            patience_over: since >= PATIENCE_MS,
            handover_late: since >= HANDOVER_MS,
            steady: lasting(&self.there, STEADY_MS, now),
            missing: lasting(&self.gone, MISSING_MS, now),
            rested: self.rested(record, now),
            lease: Tenure::default(),
        }
    }

    fn rested(&mut self, record: &Record, now: Moment) -> bool {
        let seen = (record.term, record.unrest());
        let since = match self.unrest {
            Some((term, points, at)) if (term, points) == seen => at,
            _ => now,
        };
        self.unrest = Some((seen.0, seen.1, since));
        now.ms_since(since) >= FORGIVE_MS
    }

    fn phase_since(&mut self, record: &Record, now: Moment) -> u64 {
        match self.phase {
            Some((term, phase, at)) if (term, phase) == (record.term, record.phase) => now.ms_since(at),
            _ => {
                self.phase = Some((record.term, record.phase, now));
                0
            }
        }
    }

    /// Whether the primary of `record` is silent, refuses, or says itself that it is as good as dead.
    fn lost(
        &self,
        primary: NodeId,
        record: &Record,
        me: NodeId,
        peers: &BTreeMap<NodeId, Peer>,
        now: Moment,
    ) -> bool {
        let peer = peers.get(&primary).copied().unwrap_or_default();
        // What it told to be chosen, and has written since, were signs of life, too.
        let wrote = self.phase.map(|(_, _, since)| since).unwrap_or_default();
        let kept = peer.heard.unwrap_or_default().max(self.awake).max(wrote);
        let server = peer.server_heard.unwrap_or_default().min(kept.plus(UNKEPT_MS));
        let heard = kept.max(server);
        let gives_up = peer.suspects == Some(record.term);
        let silent = now.ms_since(heard) >= silence_max(record);
        primary != me && (peer.refused || gives_up || silent)
    }

    fn watch_standbys(&mut self, view: &View, term: Term, now: Moment) {
        let Server::Primary { senders, .. } = &view.server else {
            self.there.clear();
            self.gone.clear();
            return;
        };
        for node in view.nodes.iter() {
            let streams = senders.get(&node).is_some_and(|sender| sender.term == term);
            let (into, from) =
                if streams { (&mut self.there, &mut self.gone) } else { (&mut self.gone, &mut self.there) };
            from.remove(&node);
            into.entry(node).or_insert(now);
        }
    }
}

/// A primary may be silent for so long. One that is to serve has twice the time of the last that came to nothing: an old primary that
/// reaches the store and nobody else, and has all that was acknowledged, ends one after the other else, where machines are slow.
fn silence_max(record: &Record) -> u64 {
    let unserved = record.history.iter().rev().take_while(|reign| !reign.served).count();
    let doubled = SUSPECT_MS << unserved.saturating_sub(1).min(8);
    doubled.min(STUCK_MS)
}

fn lasting(since: &BTreeMap<NodeId, Moment>, ms: u64, now: Moment) -> Nodes {
    since.iter().filter(|(_, at)| now.ms_since(**at) >= ms).map(|(node, _)| *node).collect()
}

#[cfg(test)]
#[path = "decide_memory_tests.rs"]
mod tests;
