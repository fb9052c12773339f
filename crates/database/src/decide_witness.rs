//! A witness: a node that receives the log, syncs what it acknowledges, and can never be primary.
//!
//! It has no data, so a log that it holds begins somewhere: its document says where ([`model::NodeDoc::from`]). In an
//! election it cuts itself off and tells its end as a standby does, and settles quorums as one. When its log is the
//! furthest, a node with data fetches the end of it first, and wins then with what is its own.

use crate::decide_flaw::Flaw;
use crate::decide_position::{Kinship, kinship_to};
use crate::decide_scene::Scene;
use crate::decide_view::{Action, Durable, Server, Upstream};
use model::{Holding, Lsn, NodeId, Nodes, Position, Record};

/// Those of `nodes` that can be primary.
pub(crate) fn with_data(scene: &Scene<'_>, nodes: Nodes) -> Nodes {
    if scene.has(Flaw::ElectWitness) { nodes } else { nodes.minus(scene.view.witnesses) }
}

/// The witness with the furthest log that holds all that was acknowledged, if this node's own log, which ends at `own`, is
/// a beginning of it that reaches as far as to where the witness's begins.
fn ahead(scene: &Scene<'_>, record: &Record, own: Position) -> Option<(NodeId, Position)> {
    let able = |node: &NodeId| crate::decide_elect::may_win(scene, record, *node);
    let told = |node: NodeId| Some((node, scene.end_of(node)?));
    let (node, end) =
        scene.view.witnesses.iter().filter(able).filter_map(told).max_by_key(|(_, end)| *end)?;
    let begins = if scene.has(Flaw::FetchAnyhow) { Lsn(0) } else { scene.doc_of(node).from };
    (end > own && begins <= own.lsn).then_some((node, end))
}

/// What the witness has and this node has not is copied, up to where the witness's log ended in this term. Before that it
/// is written down that the log may be one of that reign, and what was told of the own end is taken back: whoever is about
/// to crown this node for that would have its reign begin before what was copied.
pub(crate) fn fetch(scene: &Scene<'_>) -> Option<Action> {
    let record = scene.record()?;
    let durable = scene.view.durable;
    let reigns = durable.reign == scene.term();
    if !scene.electing() || reigns || scene.view.unfetched || scene.view.witnesses.has(scene.me()) {
        return None;
    }
    let Server::Standby { upstream: None, receiving: false, end: Some(end), .. } = scene.view.server else {
        return None;
    };
    let own = scene.own_position(end)?;
    let (node, upto) = ahead(&scene.with_own_end(own), record, own)?;
    let kin = kinship_to(record, &durable, end, upto.term);
    let kin = if scene.has(Flaw::FetchForeign) { Kinship::Prefix } else { kin };
    if matches!(kin, Kinship::Diverged | Kinship::Foreign) {
        return None;
    }
    if let Some(report) = scene.report(crate::decide_follow::holding(scene, Holding::Log)) {
        return Some(report);
    }
    if kin == Kinship::PrefixOfOrphan {
        let lineage = record.reign(durable.lineage)?.base;
        return Some(Action::Forget(Durable { lineage, ..durable }));
    }
    if durable.lineage != upto.term {
        return Some(Action::Persist(Durable { lineage: upto.term, ..durable }));
    }
    Some(Action::Fetch { node, term: scene.term(), upto })
}

/// Whether `node` may be crowned for what it could fetch: the mistake of [`Flaw::PromoteUnfetched`].
pub(crate) fn could_fetch(scene: &Scene<'_>, record: &Record, node: NodeId) -> bool {
    let flawed = scene.has(Flaw::PromoteUnfetched) && !scene.view.witnesses.has(node);
    flawed && scene.end_of(node).is_some_and(|own| ahead(scene, record, own).is_some())
}

/// Whether `node` may come to count beside `members`: a witness that begins behind what a member has, or the other way
/// round, could not help it when the primary is gone.
pub(crate) fn bridges(
    scene: &Scene<'_>,
    node: NodeId,
    members: Nodes,
    flushed: impl Fn(NodeId) -> Option<Lsn>,
) -> bool {
    let witnesses = scene.view.witnesses;
    let reaches = |data: NodeId, witness: NodeId| {
        flushed(data).is_some_and(|flush| flush >= scene.doc_of(witness).from)
    };
    members.without(node).iter().all(|member| match (witnesses.has(node), witnesses.has(member)) {
        (true, false) => reaches(member, node),
        (false, true) => reaches(node, member),
        _ => true,
    })
}

/// A witness whose log cannot go on with the primary's, or that has none, begins anew where the primary is now. Nobody
/// may count on what it throws away, and everybody knows before it does.
pub(crate) fn anew(scene: &Scene<'_>) -> Option<Action> {
    let source = scene.leader().map(|node| Upstream { node, term: scene.term() })?;
    if !scene.view.witnesses.has(scene.me()) || scene.doc_of(source.node).primary_of != source.term {
        return None;
    }
    let record = scene.record()?;
    let empty = match &scene.view.server {
        Server::Empty | Server::Half => true,
        Server::Stopped { fresh: Some(of), .. } if *of != source.term => true,
        Server::Standby { upstream: None, receiving: false, end: Some(end), .. } => {
            let kin = kinship_to(record, &scene.view.durable, *end, record.term);
            // It may well be a beginning of the primary's, whose next part is there no more.
            if kin == Kinship::Prefix && !scene.view.stranded {
                return None;
            }
            false
        }
        _ => return None,
    };
    let awaited = !scene.serving() && record.current().is_some_and(|quorum| quorum.members.has(scene.me()));
    if !empty && record.counts(scene.me()) && !awaited {
        return None;
    }
    if !empty && scene.doc().holding != Holding::Remaking {
        return scene.report(crate::decide_follow::holding(scene, Holding::Remaking));
    }
    Some(Action::Anew(source))
}
