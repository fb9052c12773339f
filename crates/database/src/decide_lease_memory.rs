//! What a node's own clock says of the lease. The only clock in the whole argument: it must not stand still while the
//! machine sleeps, and two of them may differ in speed by [`LEASE_DRIFT_PERCENT`].
//!
//! The primary counts from the moment *before* a renewal was sent, and only when it is certain that it was written. The
//! standby counts from the moment *after* it saw the newest one. So whatever happens between them, the primary's time is
//! over first, by a third of [`LEASE_TTL_MS`] and [`MARGIN_MS`].

use std::collections::VecDeque;

use model::{Lsn, Moment, NodeId, Nodes, Term};

use crate::decide_flaw::Flaw;
use crate::decide_view::{Server, Tenure, View};

/// How long a lease lasts for those who watch it. Three renewals may fail in a row, and a store that elects a leader of
/// its own does not end it.
pub const LEASE_TTL_MS: u64 = 5_000;
/// The primary's server is ended so long after the last renewal was sent.
pub const LEASE_FENCE_MS: u64 = LEASE_TTL_MS * 2 / 3;
/// Beyond the lease, for clocks of different speed and for a fence that comes late.
const MARGIN_MS: u64 = 1_000;
/// A standby takes over so long after it saw the last renewal.
pub const LEASE_TAKE_OVER_MS: u64 = LEASE_TTL_MS + MARGIN_MS;
/// Time between two renewals.
pub const LEASE_RENEW_MS: u64 = 500;
/// Two clocks may differ by this: 100 s of one are 99 to 101 s of the other. A quartz is a thousand times better.
pub const LEASE_DRIFT_PERCENT: u64 = 1;
/// Time without writes when the primary's machine is lost: the lease, the election and the promotion.
pub const LEASE_RTO_MS: u64 = 10_000;
/// A standby that has all that was written so long ago is close enough to stand in.
pub const LEASE_CLOSE_MS: u64 = 1_000;
/// One that lacks what was written so long ago is not any more.
pub const LEASE_BEHIND_MS: u64 = 2_000;
/// A machine as a whole, its watchdog with it, stands still for at most so long and then goes on.
pub const LEASE_STALL_MS: u64 = 2_000;
/// Writes of at most so long before its end are lost with a primary. It does not renew its lease while a standby is named
/// that is behind, but may stand still before it sees that, for as long as its lease, which counts from before the look that
/// it rests on; its machine may stand still just before the watchdog ends it, and let the one commit through that was under
/// way; and half a second for the kill.
pub const LEASE_LOSS_MS: u64 = LEASE_BEHIND_MS + LEASE_FENCE_MS + LEASE_STALL_MS + 500;

// What plans and status say is true.
const _: () = assert!(matches!(model::Mode::Lease.rpo_ms(), Some(stated) if LEASE_LOSS_MS <= stated));
const _: () = assert!(matches!(model::Mode::Lease.rto_ms(), Some(LEASE_RTO_MS)));

/// Lost with the keeper. A new one waits a whole lease before it takes over, and asks for its own again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseMemory {
    /// Revision of the lease and the record's term as last seen, and when that was first seen.
    seen: Option<(u64, Term, Moment)>,
    /// The own lease: in which term, and until when.
    until: Option<(Term, Moment)>,
    /// It was last asked for.
    asked: Option<Moment>,
    /// On a primary: how far its log reached when each look began, the newest last, none older than [`LEASE_BEHIND_MS`].
    reached: VecDeque<(Moment, Lsn)>,
}

impl LeaseMemory {
    /// As [`LeaseMemory::judge_look`], of a look that took no time.
    pub fn judge(&mut self, view: &View, revision: u64, now: Moment, flaw: Flaw) -> Tenure {
        self.judge_look(view, revision, (now, now), flaw)
    }

    /// What time says at `now`, with the lease's document at `revision`; 0: there is none. The look at the server began at
    /// `looked`. What it said counts from then: the answer may have lain there while this process stood still.
    pub fn judge_look(
        &mut self,
        view: &View,
        revision: u64,
        (looked, now): (Moment, Moment),
        flaw: Flaw,
    ) -> Tenure {
        let term = view.record.as_ref().map_or(0, |kept| kept.value.term);
        let since = match self.seen {
            Some((known, in_term, at)) if (known, in_term) == (revision, term) => at,
            _ => now,
        };
        self.seen = Some((revision, term, since));
        let own = self.until.filter(|(of, _)| *of == term).map(|(_, until)| until);
        let (close, behind) = self.watch(view, term, (looked, now));
        let wait_ms = if flaw == Flaw::TakeOverEarly { LEASE_FENCE_MS / 2 } else { LEASE_TAKE_OVER_MS };
        Tenure {
            held: own.is_some_and(|until| now < until),
            // A new keeper does not know until when. It asks; meanwhile the watchdog does know.
            lost: own.map_or(now.ms_since(since) >= LEASE_FENCE_MS, |until| now >= until),
            due: self.asked.is_none_or(|asked| now.ms_since(asked) >= LEASE_RENEW_MS),
            close,
            behind,
            over: (now.ms_since(since) >= wait_ms).then_some(revision),
        }
    }

    /// Who is close behind, and who is not. A keeper that has not looked for long enough asks for all that it knows of.
    fn watch(&mut self, view: &View, term: Term, (looked, now): (Moment, Moment)) -> (Nodes, Nodes) {
        let (flush, senders) = match &view.server {
            Server::Primary { flush, senders, .. } if view.durable.reign == term => (*flush, senders),
            // A look that failed.
            Server::Busy => return (Nodes::NONE, Nodes::NONE),
            _ => {
                self.reached.clear();
                return (Nodes::NONE, Nodes::NONE);
            }
        };
        self.reached.push_back((looked, flush));
        // None that is older, or a keeper that stood still would go by what was written before that for as long again.
        while self.reached.front().is_some_and(|(at, _)| now.ms_since(*at) > LEASE_BEHIND_MS) {
            self.reached.pop_front();
        }
        let then = |ms: u64| {
            let old = self.reached.iter().rev().find(|(at, _)| now.ms_since(*at) >= ms);
            old.or(self.reached.front()).map_or(flush, |(_, lsn)| *lsn)
        };
        let has = |node: NodeId, lsn: Lsn| {
            senders.get(&node).is_some_and(|sender| sender.term == term && sender.flush >= lsn)
        };
        let (soon, late) = (then(LEASE_CLOSE_MS), then(LEASE_BEHIND_MS));
        let others = view.nodes.without(view.me);
        let close = others.iter().filter(|node| has(*node, soon)).collect();
        (close, others.iter().filter(|node| !has(*node, late)).collect())
    }

    /// A renewal is about to be sent, on a look that began at `now` or then.
    pub fn asks(&mut self, now: Moment) {
        self.asked = Some(now);
    }

    /// The renewal that was sent at `sent`, or rests on a look that began then, is certain to have been written; until when it
    /// holds.
    pub fn has(&mut self, term: Term, sent: Moment) -> Moment {
        let until = sent.plus(LEASE_FENCE_MS);
        let longer = self.until.filter(|(of, known)| *of == term && *known >= until);
        self.until = longer.or(Some((term, until)));
        longer.map_or(until, |(_, known)| known)
    }
}

#[cfg(test)]
#[path = "decide_lease_memory_tests.rs"]
mod tests;
