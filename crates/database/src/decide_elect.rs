//! The end of a term: everybody cuts itself off, tells where its log ends, and the log that must have everything wins.

use crate::decide_flaw::Flaw;
use crate::decide_lease as lease;
use crate::decide_position::is_prefix;
use crate::decide_quorum::first;
use crate::decide_scene::Scene;
use crate::decide_unrest::{is_shy, unasked_election};
use crate::decide_view::Durable;
use crate::decide_view::{Action, Server};
use crate::decide_witness::{could_fetch, with_data};
use model::{Holding, Lsn, NodeDoc, NodeId, Nodes, Position, Record, Reign, ReignPhase as Phase};

/// A term this node has not promised yet is written down, synced.
pub(crate) fn promise(scene: &Scene<'_>) -> Option<Action> {
    let durable = scene.view.durable;
    if durable.promised >= scene.term() || scene.has(Flaw::PromiseUnsynced) {
        return None;
    }
    Some(Action::Persist(Durable { promised: scene.term(), ..durable }))
}

/// The settings of a server name no upstream while there is no primary.
pub(crate) fn cut_off(scene: &Scene<'_>) -> Option<Action> {
    if !scene.electing() {
        return None;
    }
    match &scene.view.server {
        Server::Standby { upstream: Some(_), .. } | Server::Stopped { upstream: Some(_), .. } => {
            Some(Action::Point(None))
        }
        _ => None,
    }
}

/// What does not run is started; it replays what it has and stays a standby. A fresh copy is a beginning of the log it was
/// copied from, and counts as that.
pub(crate) fn replay(scene: &Scene<'_>) -> Option<Action> {
    let durable = scene.view.durable;
    match scene.view.server {
        _ if !scene.electing() => None,
        Server::Stopped { upstream: None, fresh: None } => Some(Action::Start),
        Server::Stopped { fresh: Some(of), .. } if (durable.lineage, durable.reign) != (of, 0) => {
            Some(Action::Persist(Durable { lineage: of, reign: 0, ..durable }))
        }
        Server::Stopped { upstream: None, fresh: Some(_) } => Some(Action::Start),
        _ => None,
    }
}

/// Where this node's own log ends, when nothing is added to it any more in this election.
fn own_end(scene: &Scene<'_>) -> Option<Position> {
    if !scene.electing() {
        return None;
    }
    let end = match &scene.view.server {
        Server::Empty | Server::Half if scene.has(Flaw::CountEmpty) => Lsn(0),
        Server::Standby { receiving: false, end: Some(end), .. } => *end,
        Server::Standby { end: Some(end), .. } if scene.has(Flaw::ReportReceiving) => *end,
        Server::Primary { flush, .. } if scene.has(Flaw::ReportUnfenced) => *flush,
        _ => return None,
    };
    scene.own_position(end)
}

/// The end of a log that nothing is added to any more.
pub(crate) fn tell_the_end(scene: &Scene<'_>) -> Option<Action> {
    let doc = NodeDoc {
        promised: scene.term(),
        end: Some(own_end(scene)?),
        holding: Holding::Log,
        primary_of: 0,
        rewindable: false,
        from: scene.view.from,
    };
    scene.report(doc)
}

/// Whether the reports of `heard` settle every quorum of the record.
fn settles(scene: &Scene<'_>, record: &Record, heard: Nodes) -> bool {
    if scene.has(Flaw::ElectByOne) {
        return !heard.is_empty();
    }
    record.quorums.iter().all(|quorum| quorum.is_settled_by(heard))
}

/// A log wins if it is the furthest of some reports that settle every quorum: then it has all that was acknowledged.
pub(crate) fn may_win(scene: &Scene<'_>, record: &Record, node: NodeId) -> bool {
    let Some(own) = scene.end_of(node) else { return false };
    let behind = |other: &NodeId| scene.end_of(*other).is_some_and(|end| !ahead(scene, end, own));
    settles(scene, record, scene.heard().iter().filter(behind).collect())
}

fn ahead(scene: &Scene<'_>, one: Position, other: Position) -> bool {
    if scene.has(Flaw::LengthAlone) { one.lsn > other.lsn } else { one > other }
}

/// Whoever sees that there is a winner says so. Its own end it need not have told: the write rests on the revision of its
/// document, and a winner whose log ends elsewhere by then corrects the record before it promotes.
pub(crate) fn elect(scene: &Scene<'_>) -> Option<Action> {
    let scene = &match own_end(scene) {
        Some(end) => scene.with_own_end(end),
        None => *scene,
    };
    let record = scene.record()?;
    let Phase::Electing { preferred } = record.phase else { return None };
    let wins = |node: &NodeId| may_win(scene, record, *node) || could_fetch(scene, record, *node);
    let able: Nodes = with_data(scene, scene.heard()).iter().filter(wins).collect();
    let last = record.quorums.last().map(|quorum| quorum.primary);
    // The last primary's server has just died, or was just ended for its slowness: anybody else first.
    // Under a lease it may be the only one that has everything, and is as quick to start again.
    let others = last.filter(|_| !scene.leased()).map_or(able, |last| able.without(last));
    let wish = preferred.filter(|node| able.has(*node));
    if preferred.is_some() && wish.is_none() && !scene.judgement.patience_over {
        return None;
    }
    // Whoever fails each time it is primary comes last, where all that are able have everything; else the furthest.
    let shy = |node: NodeId| !scene.leased() && is_shy(record, node);
    // The last primary, when it is there again with everything and is none of those, comes before them.
    let fresh = last.is_some_and(|last| able.has(last) && !shy(last));
    let others = if fresh && !others.is_empty() && others.iter().all(shy) { able } else { others };
    let rank =
        |node: &NodeId| (!shy(*node), scene.end_of(*node), Some(*node) != last, std::cmp::Reverse(*node));
    let furthest = |nodes: Nodes| nodes.iter().max_by_key(rank);
    let fallback = || scene.judgement.patience_over.then(|| furthest(able)).flatten();
    let winner = wish.or_else(|| furthest(others)).or_else(fallback)?;
    scene.write(crowned(scene, record, winner)?, scene.heard())
}

/// The record in which `winner` is being promoted.
fn crowned(scene: &Scene<'_>, record: &Record, winner: NodeId) -> Option<Record> {
    let end = scene.end_of(winner)?;
    let rest = scene.heard().without(winner);
    // One that must rewind or copy first cannot acknowledge for seconds; whoever else comes meanwhile may.
    let follows = |node: &NodeId| scene.end_of(*node).is_some_and(|other| is_prefix(record, other, end));
    let followers = rest.iter().filter(follows).collect();
    let quorum = match scene.leased() {
        true => lease::first(winner, record.term),
        false => first(winner, record.term, followers, scene.view.nodes.without(winner)),
    };
    let mut next = record.clone();
    next.phase = Phase::Promoting { primary: winner };
    if scene.has(Flaw::ForgetOldQuorum) {
        next.quorums.clear();
    }
    next.quorums.push(quorum);
    next.history.push(Reign {
        term: record.term,
        node: winner,
        base: end.term,
        fork: end.lsn,
        served: false,
    });
    Some(next)
}

/// A primary that is gone is followed by an election, if it can succeed: a needless one costs a switch, a hopeless one
/// the primary.
pub(crate) fn suspect(scene: &Scene<'_>) -> Option<Action> {
    scene.leader()?;
    let agree = scene.judgement.agree;
    // By what the election will ask: a winner that never served has acknowledged nothing, and is not waited for.
    let winnable = settles(scene, &scene.next_term(None)?, agree) && !with_data(scene, agree).is_empty();
    let alone = scene.judgement.suspects && winnable;
    alone.then(|| unasked_election(scene)).flatten()
}
