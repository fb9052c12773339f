//! Two nodes that cannot outvote each other: commits are not awaited, and the right to acknowledge is a lease.
//!
//! Everything else is as with a quorum: the record, the terms, the reports, the election, the way back. A quorum of lease
//! mode needs nobody (`need` 0), so an election must hear its primary; its members are those that were so close behind
//! that they may stand in for it when its lease is over. Why and what it costs: `docs/decisions/0007-lease-mode.md`.

use std::collections::BTreeMap;

use crate::decide_flaw::Flaw;
use crate::decide_quorum::Step;
use crate::decide_reign::throne;
use crate::decide_scene::{Scene, prune};
use crate::decide_unrest::unasked;
use crate::decide_view::{Action, Durable, Kept, Server, View};
use model::{Lease, NodeId, Nodes, Quorum, Record, ReignPhase as Phase, Term};

/// The quorum of a new reign: nobody is awaited, and nobody stands in before it is seen to be close behind.
pub(crate) fn first(primary: NodeId, term: Term) -> Quorum {
    Quorum { primary, term, members: Nodes::NONE, need: 0 }
}

/// The next step from `now` towards the members `wanted`, of whom none is awaited. A smaller need asks more of an
/// election, and so does a member less where a member may stand in: always the record first.
pub(crate) fn step(now: &Quorum, wanted: Nodes) -> Option<Step> {
    let to = |members, need| Some(Step { to: Quorum { members, need, ..*now }, record_first: true });
    match now.need {
        0 => {}
        // From then on a member stands in, and a quorum's may be as far behind as it likes.
        1 => return to(now.members.minus(now.members.minus(wanted)), 0),
        need => return to(now.members, need - 1),
    }
    if let Some(node) = now.members.minus(wanted).iter().next() {
        return to(now.members.without(node), 0);
    }
    wanted.minus(now.members).iter().next().and_then(|node| to(now.members.with(node), 0))
}

/// Who may stand in from now on: those that are close behind; not those that lack what was written long ago.
pub(crate) fn wanted(scene: &Scene<'_>, now: Nodes, fit: Nodes) -> Nodes {
    let lease = &scene.judgement.lease;
    let joining = fit.minus(fit.minus(lease.close));
    now.minus(lease.behind).iter().chain(joining.iter()).collect()
}

/// A server that lets clients in without a lease ends at once: not in order, which waits for its disk.
pub(crate) fn let_go(scene: &Scene<'_>) -> Option<Action> {
    let open = matches!(scene.view.server, Server::Primary { open: true, .. });
    (scene.leased() && open && scene.judgement.lease.lost).then_some(Action::Fence)
}

/// Whether one is named that is far behind: it would take over with less than is stated. Where commits are awaited nobody
/// stands in, so who counts there is not named by it.
pub(crate) fn names_one_behind(scene: &Scene<'_>) -> bool {
    let current = scene.record().and_then(Record::current).filter(|now| scene.leased() && now.need == 0);
    current.is_some_and(|now| now.members.minus(scene.judgement.lease.behind) != now.members)
}

/// A primary asks for its lease in time, from before it opens. It does not go on under it while one is named that is far
/// behind: that one is taken out first, and a switch to it called off. Nor while one that is far behind may come to be named by
/// what was sent and may still arrive: the record is written first, as it is, which nothing sent before outlives.
pub(crate) fn renew(scene: &Scene<'_>) -> Option<Action> {
    if !scene.leased() || !scene.judgement.lease.due {
        return None;
    }
    let throne = throne(scene)?;
    let record = scene.record()?;
    if let Phase::Serving { handover, .. } = record.phase {
        if names_one_behind(scene) && (handover.is_none() || throne.open) {
            return None;
        }
        let others = scene.view.nodes.without(scene.me());
        if throne.sync.unsure && others.minus(scene.judgement.lease.behind) != others {
            return scene.write(record.clone(), Nodes::NONE);
        }
    }
    let lease = Lease { term: scene.term(), node: scene.me(), flush: throne.flush };
    let record = scene.view.record.as_ref().map_or(0, |kept| kept.revision);
    Some(Action::Renew { lease, record })
}

/// Whether clients may come in, as far as the lease goes.
pub(crate) fn may_open(scene: &Scene<'_>) -> bool {
    !scene.leased() || scene.judgement.lease.held
}

/// A standby that was close behind stands in for a primary whose lease is over: from now on the old one cannot renew it,
/// and its server has been ended by its own clock. Whichever of the two comes forward first may be elected, the old one
/// because it has everything, this one because nobody can say that it has less than what was stated.
pub(crate) fn take_over(scene: &Scene<'_>) -> Option<Action> {
    let lease = scene.judgement.lease.over.filter(|_| scene.leased())?;
    let record = scene.record()?;
    let me = scene.me();
    // A winner that is still being promoted has acknowledged nothing.
    let mut next: Record = unasked(scene)?;
    let open: Vec<&Quorum> =
        next.quorums.iter().filter(|quorum| !quorum.is_settled_by(Nodes::NONE.with(me))).collect();
    // Where commits are awaited no lease was ever asked for, so that none is over says nothing: what one acknowledged is
    // on some of its members, and this may be another. So it is while a database changes between its modes.
    let stands_in = |quorum: &&Quorum| quorum.need == 0 && quorum.members.has(me);
    let able = open.iter().all(stands_in) || scene.has(Flaw::TakeOverAnybody);
    // What it can settle by itself needs no lease to be over, but a winner that never came to serve does.
    let promoting = matches!(record.phase, Phase::Promoting { primary } if primary != me);
    let standby = matches!(scene.view.server, Server::Standby { .. } | Server::Stopped { .. });
    // A witness could stand in for nobody: it serves nothing.
    if !able || !standby || (open.is_empty() && !promoting) || scene.view.witnesses.has(me) {
        return None;
    }
    if let Some(last) = open.last() {
        let members = Nodes::NONE.with(last.primary);
        next.quorums = vec![Quorum { primary: me, term: last.term, members, need: 1 }];
    }
    prune(&mut next);
    let revision = scene.view.record.as_ref().map_or(0, |kept| kept.revision);
    Some(Action::TakeOver { record: Box::new(next), revision, lease })
}

/// What becomes of a watchdog that an earlier keeper has left, once commits are awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    /// It stays: somebody may take over by a lease, or nothing is known.
    Stays,
    /// This is written first, the record as it is: what that keeper sent may still arrive, and name somebody who stands in.
    After(Action),
    /// Nobody takes over by a lease any more.
    Goes,
}

/// A server that has come under a quorum needs no lease, but not before the record lets nobody take over by one, and nothing
/// on its way can put another in its place.
pub(crate) fn relief(view: &View) -> Relief {
    let (Some(Kept { value: record, revision }), Server::Primary { sync, .. }) = (&view.record, &view.server)
    else {
        return Relief::Stays;
    };
    let Durable { promised, reign, .. } = view.durable;
    let current = record.current().filter(|quorum| {
        quorum.primary == view.me && [reign, promised, record.term].iter().all(|term| *term == quorum.term)
    });
    if current.is_none_or(|quorum| quorum.need == 0 && !quorum.members.is_empty()) {
        return Relief::Stays;
    }
    if !sync.unsure {
        return Relief::Goes;
    }
    let (record, revision) = (Box::new(record.clone()), *revision);
    Relief::After(Action::Write { record, revision, unchanged: BTreeMap::new() })
}

#[cfg(test)]
#[path = "decide_lease_tests.rs"]
mod tests;
