//! One world for many that cannot be told apart from here on.
//!
//! Each reduction has its argument beside it, and all of them hold only while nobody decides by a record of long ago, no
//! record arrives in parts and commits are kept by a quorum: [`World::settle`] refuses budgets with `stale_looks` or
//! `tears`, and lease mode.

use super::world::{Keeper, Node, World, compares, is_promise};
use crate::decide_unrest::{FLAP_POINTS, SHY_POINTS};
use crate::{Action, Flaw, UNREST_MAX, holds};
use model::{Lsn, Mode, NodeId, Nodes, Term};

impl World {
    /// Brings a world into its canonical form. What may happen to it and what it shows to be broken is what may happen to
    /// the original and what that shows, but for steps that change nothing else.
    pub(super) fn settle(&mut self) {
        assert_eq!((self.budget.stale_looks, self.budget.tears), (0, 0), "memory of old records counts then");
        assert_eq!(
            (self.mode, self.unrest_max),
            (Mode::Quorum, UNREST_MAX),
            "other arguments would be needed"
        );
        // Only a stale look reads them.
        self.past = None;
        for id in self.ids().iter() {
            self.node_mut(id).keeper.seen = None;
            self.forget_pending(id);
            self.promise_at_once(id);
            let term = self.record.as_ref().map_or(0, |record| record.term);
            self.node_mut(id).forget_old(term);
        }
        self.forget_from();
        self.forget_based();
        self.forget_missing();
        self.forget_unrest();
    }

    /// What a write was based on is asked while the record is still that, and of nobody but its primary: by then, or
    /// later, when that goes by a quorum of its term and is about to go by another.
    fn forget_based(&mut self) {
        let primary = self.record.as_ref().and_then(model::Record::primary);
        for id in self.ids().iter() {
            if Some(id) != primary || self.node(id).keeper.based != self.record {
                self.node_mut(id).keeper.based = None;
            }
        }
    }

    /// Since when a quorum is in force is asked by the primary of the newest term alone, and only whether its members have all
    /// that was there: once they have, they do for as long as that quorum is set, as what they have told only grows.
    fn forget_from(&mut self) {
        let term = self.record.as_ref().map_or(0, |record| record.term);
        for node in &mut self.nodes {
            let Some(run) = &mut node.run else { continue };
            let Some((quorum, from)) = node.disk.sync.zip(run.from) else { continue };
            let told = |id| run.told.get(&id).filter(|(told, _)| *told == term);
            let held = holds(&quorum, Lsn(from.into()), |id| told(id).map(|(_, at)| Lsn(u64::from(*at))));
            run.from = match quorum.term == term {
                true if held => Some(0),
                true => run.from,
                false => None,
            };
        }
    }

    /// Points of unrest are read for two things: whether a node has so many that others are preferred, and whether all have
    /// so many that nothing is done unasked. Where no more terms may come than it takes to get to the smaller of both, they
    /// are nothing but a trace. The count beside them is for a check that could not fail then.
    fn forget_unrest(&mut self) {
        let most = u64::from(FLAP_POINTS) * self.budget.terms.saturating_sub(1);
        if most >= u64::from(SHY_POINTS.min(UNREST_MAX)) {
            return;
        }
        self.unasked = 0;
        if let Some(record) = &mut self.record {
            record.unrest.clear();
        }
        for node in &mut self.nodes {
            let Keeper { pending, flight, based, .. } = &mut node.keeper;
            based.iter_mut().for_each(|record| record.unrest.clear());
            for action in pending.iter_mut().chain(flight.iter_mut().map(|flight| &mut flight.action)) {
                if let Action::Write { record, .. } = action {
                    record.unrest.clear();
                }
            }
        }
    }

    /// What comes to nothing is nothing pending.
    fn forget_pending(&mut self, id: NodeId) {
        let nothing = self.comes_to_nothing(id);
        let blind = self.flaw == Flaw::BlindWrite;
        let keeper = &mut self.node_mut(id).keeper;
        if nothing {
            keeper.pending = None;
        }
        keeper.stale &= keeper.pending.as_ref().is_some_and(compares);
        keeper.flight.take_if(|flight| flight.stale && !blind);
    }

    /// A node that has to promise a term does nothing else before, except to end a primary; nobody but its own keeper
    /// reads what it has promised, and there only whether that is less than the record's term. So the promise changes
    /// places with whatever else happens: with what arrives, with a crash (the file survives it), and with a record of a
    /// later term, which it then promises instead. A crash before it is a crash after it, and a promise that is late is
    /// a keeper that stands still after it.
    ///
    /// Not so of a node that names an upstream, which it leaves with its promise; nor of a witness, which gives what it holds
    /// to nobody any more once it has promised a later term.
    fn promise_at_once(&mut self, id: NodeId) {
        let term = self.record.as_ref().map_or(0, |record| record.term);
        let node = self.node(id);
        let leaves = node.disk.upstream.is_some() || self.witnesses.has(id);
        if node.keeper.pending.is_some() || node.durable.promised >= term || leaves {
            return;
        }
        let durable = node.durable;
        if let Some(Action::Persist(next)) = self.decide(id, true, &self.judgement(id))
            && is_promise(&durable, &next)
        {
            self.node_mut(id).durable = next;
        }
    }

    /// Who is missing matters to nobody but a primary that serves, and that asks only after standbys. So it is forgotten of
    /// the first primary, which was none before, and of the last, which is none again: what it was before, or would be
    /// after, is not lost.
    fn forget_missing(&mut self) {
        let first = self.record.as_ref().is_none_or(|record| record.history.len() <= 1);
        let last = self.record.as_ref().is_some_and(|record| record.term >= self.budget.terms);
        if !first && !last {
            return;
        }
        if let Some(primary) = self.record.as_ref().and_then(model::Record::primary) {
            self.missing = self.missing.without(primary);
        }
    }
}

impl Node {
    /// Whose acknowledgements this node's server may still go by, when the newest term is `term`.
    fn terms(&self, term: Term) -> Vec<Term> {
        let run = self.run.as_ref();
        let stale = run.into_iter().flat_map(|run| run.stale_sync.iter().flatten());
        let late = match &self.keeper.pending {
            Some(Action::SetSync(quorum)) => Some(quorum),
            _ => None,
        };
        let quorums = self.disk.sync.iter().chain(stale).chain(late);
        quorums.map(|quorum| quorum.term).chain([term]).collect()
    }

    /// What standbys have told in terms that nobody counts any more is forgotten: terms only rise, and a quorum of an
    /// older one is set only by an action that was decided then. What is on its way replaces what was told, so it goes
    /// only together with that. (Who has forgotten may be told again; the result is forgotten again.)
    ///
    /// Whether applications may connect is read of a primary alone, and it is closed before it is one.
    fn forget_old(&mut self, term: Term) {
        let terms = self.terms(term);
        if !self.run.as_ref().is_some_and(|run| run.primary) {
            self.disk.open = false;
        }
        let Some(run) = &mut self.run else { return };
        let old = |told: Option<&(Term, u16)>| told.is_none_or(|(term, _)| !terms.contains(term));
        let both: Nodes = run.told.keys().chain(run.underway.keys()).copied().collect();
        for id in both.iter().filter(|id| old(run.told.get(id))).collect::<Vec<_>>() {
            run.told.remove(&id);
            if old(run.underway.get(&id)) {
                run.underway.remove(&id);
            }
        }
    }
}
