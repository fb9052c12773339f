//! A standby's way to its primary.

use crate::decide_flaw::Flaw;
use crate::decide_position::{Kinship, kinship};
use crate::decide_scene::Scene;
use crate::decide_view::Durable;
use crate::decide_view::{Action, Server, Upstream};
use model::{Holding, NodeDoc};

/// Whom this node should receive from.
fn upstream(scene: &Scene<'_>) -> Option<Upstream> {
    scene.leader().map(|node| Upstream { node, term: scene.term() })
}

/// How the own log relates to the primary's; `None` while its end is not known.
fn kin(scene: &Scene<'_>) -> Option<Kinship> {
    let Server::Standby { upstream: None, receiving: false, end: Some(end), .. } = scene.view.server else {
        return None;
    };
    let kin = kinship(scene.record()?, &scene.view.durable, end);
    Some(match kin {
        // Its log may well be a beginning of the primary's, and can still not be continued.
        Kinship::Prefix if scene.view.stranded => Kinship::Foreign,
        _ if scene.has(Flaw::FollowBlindly) => Kinship::Prefix,
        Kinship::PrefixOfOrphan if scene.has(Flaw::KeepOrphan) => Kinship::Prefix,
        Kinship::Foreign if scene.has(Flaw::RewindForeign) => Kinship::Diverged,
        kin => kin,
    })
}

/// The document of a node that holds a log.
pub(crate) fn holding(scene: &Scene<'_>, holding: Holding) -> NodeDoc {
    let from = scene.view.from;
    NodeDoc { promised: scene.term(), end: None, holding, primary_of: 0, rewindable: false, from }
}

/// What still names an older primary, or one that cannot feed it, is cut off; what does not run is started, to learn where its log ends.
pub(crate) fn leave(scene: &Scene<'_>) -> Option<Action> {
    let wanted = upstream(scene)?;
    match &scene.view.server {
        Server::Standby { upstream: Some(old), .. }
        | Server::Stopped { upstream: Some(old), fresh: None }
            if *old != wanted || scene.view.stranded =>
        {
            Some(Action::Point(None))
        }
        Server::Stopped { fresh: None, .. } => Some(Action::Start),
        _ => None,
    }
}

/// A log that is a beginning of the primary's, or a fresh copy of it, is joined to it: first written down, then told,
/// then done.
pub(crate) fn join(scene: &Scene<'_>) -> Option<Action> {
    let wanted = upstream(scene)?;
    let term = scene.term();
    let durable = scene.view.durable;
    let own = match &scene.view.server {
        Server::Stopped { fresh: Some(of), .. } if *of == term => {
            Durable { lineage: term, reign: 0, ..durable }
        }
        Server::Standby { .. } if kin(scene)? == Kinship::Prefix => Durable { lineage: term, ..durable },
        _ => return None,
    };
    if own != durable {
        return Some(Action::Persist(own));
    }
    if scene.doc().holding != Holding::Log {
        return scene.report(holding(scene, Holding::Log));
    }
    match &scene.view.server {
        Server::Stopped { upstream, .. } if *upstream == Some(wanted) => Some(Action::Start),
        _ => Some(Action::Point(Some(wanted))),
    }
}

/// Removes a timeline that came to nothing, and goes back to the lineage before it.
pub(crate) fn forget(scene: &Scene<'_>) -> Option<Action> {
    upstream(scene)?;
    let before = scene.record()?.reign(scene.view.durable.lineage)?.base;
    let data = !scene.view.witnesses.has(scene.me());
    let orphan = data && kin(scene)? == Kinship::PrefixOfOrphan;
    orphan.then_some(Action::Forget(Durable { lineage: before, ..scene.view.durable }))
}

/// A log with records of its own is made again, when nobody counts on it and everybody knows before it begins. While the
/// winner is still being promoted, one of its own quorum may be made again too: the winner has all of what it had, and
/// may be waiting for just this node.
pub(crate) fn remake(scene: &Scene<'_>) -> Option<Action> {
    let source = upstream(scene)?;
    let record = scene.record()?;
    let kin = kin(scene)?;
    if scene.view.witnesses.has(scene.me()) {
        return None;
    }
    if !matches!(kin, Kinship::Diverged | Kinship::Foreign) {
        return None;
    }
    let awaited = !scene.serving() && record.current().is_some_and(|quorum| quorum.members.has(scene.me()));
    if record.counts(scene.me()) && !awaited {
        return None;
    }
    let primary = scene.doc_of(source.node);
    let ready = primary.primary_of == source.term && (primary.rewindable || kin == Kinship::Foreign);
    if !ready {
        return None;
    }
    if scene.doc().holding != Holding::Remaking {
        return scene.report(holding(scene, Holding::Remaking));
    }
    Some(if kin == Kinship::Diverged { Action::Rewind(source) } else { Action::Clone(source) })
}

/// Nothing, half of something, or a copy of somebody who is no longer primary: copied anew.
pub(crate) fn fill(scene: &Scene<'_>) -> Option<Action> {
    let source = upstream(scene)?;
    let junk = match &scene.view.server {
        Server::Empty | Server::Half => true,
        Server::Stopped { fresh: Some(of), .. } => *of != source.term,
        _ => false,
    };
    let data = !scene.view.witnesses.has(scene.me());
    (junk && data && scene.doc_of(source.node).primary_of == source.term).then_some(Action::Clone(source))
}

/// The others learn what this node holds.
pub(crate) fn tell(scene: &Scene<'_>) -> Option<Action> {
    let wanted = upstream(scene)?;
    match &scene.view.server {
        Server::Standby { upstream, .. } if *upstream == Some(wanted) => {
            scene.report(holding(scene, Holding::Log))
        }
        Server::Empty if scene.doc() == NodeDoc::default() => scene.report(holding(scene, Holding::Empty)),
        _ => None,
    }
}
