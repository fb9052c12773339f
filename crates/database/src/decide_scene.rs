//! A view with what every rule asks of it.

use crate::decide_flaw::Flaw;
use crate::decide_position::position;
use crate::decide_view::Kept;
use crate::decide_view::{Action, Judgement, View};
use model::{Mode, NodeDoc, NodeId, Nodes, Position, Record, ReignPhase as Phase, Term};

/// How many reigns the record remembers. A node that was away for more of them is copied anew.
const HISTORY_MAX: usize = 64;

/// Forgets the oldest reigns, but none whose quorum must still be settled: without it those that have its log could not
/// say where they stand, and elections that failed often enough would make the next one impossible.
pub(crate) fn prune(record: &mut Record) {
    let mut excess = record.history.len().saturating_sub(HISTORY_MAX);
    let Record { quorums, history, .. } = record;
    history.retain(|reign| {
        let needed = quorums.iter().any(|quorum| quorum.term == reign.term);
        let stays = needed || excess == 0;
        excess -= usize::from(!stays);
        stays
    });
}

/// What the rules work on.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub(crate) view: &'a View,
    pub(crate) judgement: &'a Judgement,
    pub(crate) flaw: Flaw,
    /// Where the own log ends for good in this term, told or not.
    own_end: Option<Position>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(view: &'a View, judgement: &'a Judgement, flaw: Flaw) -> Scene<'a> {
        Scene { view, judgement, flaw, own_end: None }
    }

    /// The same, counting an own end that is not told yet.
    pub(crate) fn with_own_end(&self, end: Position) -> Scene<'a> {
        Scene { own_end: Some(end), ..*self }
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    pub(crate) fn me(&self) -> NodeId {
        self.view.me
    }

    /// The shared record.
    pub(crate) fn record(&self) -> Option<&'a Record> {
        self.view.record.as_ref().map(|kept| &kept.value)
    }

    /// The newest term; 0 before the first.
    pub(crate) fn term(&self) -> Term {
        self.record().map_or(0, |record| record.term)
    }

    /// This node's own document.
    pub(crate) fn doc(&self) -> NodeDoc {
        self.doc_of(self.me())
    }

    pub(crate) fn doc_of(&self, node: NodeId) -> NodeDoc {
        self.view.docs.get(&node).map(|kept| kept.value).unwrap_or_default()
    }

    /// This node is the record's primary.
    pub(crate) fn is_primary(&self) -> bool {
        self.record().and_then(Record::primary) == Some(self.me())
    }

    /// The record is in an election.
    pub(crate) fn electing(&self) -> bool {
        self.record().is_some_and(|record| matches!(record.phase, Phase::Electing { .. }))
    }

    /// The record's primary, when that is another node.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.record().and_then(Record::primary).filter(|primary| *primary != self.me())
    }

    /// Clients are served.
    pub(crate) fn serving(&self) -> bool {
        self.record().is_some_and(|record| matches!(record.phase, Phase::Serving { .. }))
    }

    /// Where the log of `node` ends for good in this term, as it has told.
    pub(crate) fn end_of(&self, node: NodeId) -> Option<Position> {
        if node == self.me() && self.own_end.is_some() {
            return self.own_end;
        }
        let doc = self.doc_of(node);
        let counts = doc.promised == self.term() || self.has(Flaw::OldReports);
        doc.end.filter(|_| counts)
    }

    /// Nodes that have told the end of their log in this term.
    pub(crate) fn heard(&self) -> Nodes {
        self.view.nodes.iter().filter(|node| self.end_of(*node).is_some()).collect()
    }

    /// The position of this node's log if it ends at `end`.
    pub(crate) fn own_position(&self, end: model::Lsn) -> Option<Position> {
        let lineage = self.view.durable.lineage;
        if self.has(Flaw::LineageAlone) {
            return Some(Position { term: lineage, lsn: end });
        }
        position(self.record()?, lineage, end)
    }

    /// Writes the record, resting on the documents of `nodes`.
    pub(crate) fn write(&self, mut record: Record, nodes: Nodes) -> Option<Action> {
        let kept = self.view.record.as_ref();
        prune(&mut record);
        let revision_of =
            |node: NodeId| self.view.docs.get(&node).map_or(0, |kept: &Kept<NodeDoc>| kept.revision);
        let unchanged = nodes.iter().map(|node| (node, revision_of(node))).collect();
        Some(Action::Write {
            record: Box::new(record),
            revision: kept.map_or(0, |kept| kept.revision),
            unchanged,
        })
    }

    /// The record is kept by a lease.
    pub(crate) fn leased(&self) -> bool {
        self.view.mode == Mode::Lease
    }

    /// Writes the record with an election of the next term.
    pub(crate) fn election(&self, preferred: Option<NodeId>) -> Option<Action> {
        self.write(self.next_term(preferred)?, Nodes::NONE)
    }

    /// The record with an election of the next term.
    pub(crate) fn next_term(&self, preferred: Option<NodeId>) -> Option<Record> {
        let record = self.record()?;
        let term = record.term.checked_add(1)?;
        let mut next = Record { term, phase: Phase::Electing { preferred }, ..record.clone() };
        if let Phase::Promoting { .. } = record.phase {
            // A reign that never came to serve let no client in, so it has acknowledged nothing.
            next.quorums.retain(|quorum| quorum.term != record.term);
        }
        Some(next)
    }

    /// Tells `doc`, unless it is told already.
    pub(crate) fn report(&self, doc: NodeDoc) -> Option<Action> {
        let known = self.view.docs.get(&self.me());
        let own = known.map_or(0, |kept| kept.revision);
        let record = self.view.record.as_ref().map_or(0, |kept| kept.revision);
        (known.map(|kept| kept.value) != Some(doc)).then_some(Action::Report { doc, record, own })
    }
}
