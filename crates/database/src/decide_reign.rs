//! A primary's time, from the first data directory to the handover.

use std::collections::BTreeMap;

use crate::decide_flaw::Flaw;
use crate::decide_lease as lease;
use crate::decide_quorum::{Step, first, holds, step};
use crate::decide_scene::Scene;
use crate::decide_unrest::unasked_election;
use crate::decide_view::Durable;
use crate::decide_view::{Action, Alone, Sender, Server, Sync};
use crate::decide_witness::{bridges, with_data};
use model::{Holding, Lsn, NodeDoc, NodeId, Nodes, Quorum, Record, Reign, ReignPhase as Phase};

/// Nothing was ever written: the first node of the plan makes the data, and then the first record.
pub(crate) fn found(scene: &Scene<'_>) -> Option<Action> {
    let view = scene.view;
    if view.record.is_some() || !view.docs.is_empty() || view.nodes.iter().next() != Some(view.me) {
        return None;
    }
    match view.server {
        Server::Empty => Some(Action::Init),
        // Data that has seen a term belongs to a cluster whose store is lost: nobody may begin anew with it.
        Server::Stopped { upstream: None, fresh: None } if view.durable == Durable::default() => {
            let (term, primary) = (1, view.me);
            let reign = Reign { term, node: primary, base: 0, fork: Lsn(0), served: false };
            let quorum = match scene.leased() {
                true => lease::first(primary, term),
                false => first(primary, term, Nodes::NONE, view.nodes.without(primary)),
            };
            let phase = Phase::Promoting { primary };
            let (quorums, history, unrest) = (vec![quorum], vec![reign], BTreeMap::new());
            scene.write(Record { term, phase, quorums, history, unrest }, Nodes::NONE)
        }
        _ => None,
    }
}

/// A server that writes and is not the primary of the newest term ends at once.
pub(crate) fn fence(scene: &Scene<'_>) -> Option<Action> {
    let Server::Primary { .. } = scene.view.server else { return None };
    let right = scene.is_primary() && scene.view.durable.reign == scene.term();
    (!right && !scene.has(Flaw::ReportUnfenced)).then_some(Action::Fence)
}

/// Where a winner writes down its reign: from then on its log may grow in this term.
pub(crate) fn take_the_term(scene: &Scene<'_>) -> Option<Action> {
    let term = scene.term();
    if !scene.is_primary() || scene.serving() || scene.view.durable.reign == term {
        return None;
    }
    match &scene.view.server {
        Server::Stopped { upstream: Some(_), .. } | Server::Standby { upstream: Some(_), .. } => {
            Some(Action::Point(None))
        }
        Server::Stopped { upstream: None, fresh: None } => Some(Action::Start),
        Server::Standby { receiving: false, end: Some(end), .. } => {
            // It had told of half a record, or was crowned for what it had told before it had more. Its timeline will leave
            // the one before at the last whole record, and by nothing but this is it known later who has a piece of it.
            let mut record = scene.record()?.clone();
            let own = scene.own_position(*end)?;
            let told = record.history.iter_mut().find(|reign| reign.term == term && reign.base != 0);
            if let Some(reign) = told.filter(|reign| (reign.base, reign.fork) != (own.term, own.lsn)) {
                (reign.base, reign.fork) = (own.term, own.lsn);
                return scene.write(record, Nodes::NONE);
            }
            Some(Action::Persist(Durable { promised: term, lineage: term, reign: term }))
        }
        _ => None,
    }
}

/// A winner's server gets the quorum, and rises. Whether every process goes by it is asked before it serves: until then
/// nobody is let in, so nothing is committed.
pub(crate) fn rise(scene: &Scene<'_>) -> Option<Action> {
    if !scene.is_primary() || scene.serving() || scene.view.durable.reign != scene.term() {
        return None;
    }
    let quorum = scene.record()?.current()?;
    let Server::Standby { sync, .. } = &scene.view.server else { return None };
    if scene.has(Flaw::PromoteBeforeSync) {
        return Some(Action::Promote);
    }
    Some(if sync.set == Some(*quorum) { Action::Promote } else { Action::SetSync(*quorum) })
}

/// The next action until `quorum` is in force; `None`: it is. What the server goes by may be in the record already, unseen: then
/// another must not take its place. So the record is written as it is first, which only the one that is seen allows.
fn settle_sync(scene: &Scene<'_>, sync: &Sync, quorum: &Quorum) -> Option<Action> {
    if sync.set != Some(*quorum) {
        let sent = sync.unsure && sync.set.is_some_and(|set| set.term == quorum.term);
        if sent && !scene.has(Flaw::ExchangeUnseen) {
            return scene.write(scene.record()?.clone(), Nodes::NONE);
        }
        return Some(Action::SetSync(*quorum));
    }
    (!sync.in_force && !scene.has(Flaw::SyncUnconfirmed)).then_some(Action::ConfirmSync)
}

/// A primary's server, as the rules of a reign need it.
pub(crate) struct Throne<'a> {
    pub(crate) sync: &'a Sync,
    pub(crate) open: bool,
    pub(crate) flush: Lsn,
    fork: Lsn,
    senders: &'a BTreeMap<NodeId, Sender>,
    checkpointed: bool,
}

impl Throne<'_> {
    /// What `node` has on disk, streaming in this `term`.
    fn flushed(&self, node: NodeId, term: u64) -> Option<Lsn> {
        self.senders.get(&node).filter(|sender| sender.term == term).map(|sender| sender.flush)
    }

    fn is_held_by(&self, quorum: &Quorum) -> bool {
        holds(quorum, self.flush, |node| self.flushed(node, quorum.term))
    }

    /// Whether `quorum`, which is in force, has everything that another one may have acknowledged. Under a steady load its
    /// members never have all that is on the primary's disk at that moment.
    fn is_taken_over_by(&self, quorum: &Quorum) -> bool {
        let upto = self.sync.from.map_or(self.flush, |from| from.min(self.flush));
        holds(quorum, upto, |node| self.flushed(node, quorum.term))
    }
}

/// The server, when this node's reign is that of the record.
pub(crate) fn throne<'a>(scene: &Scene<'a>) -> Option<Throne<'a>> {
    let reigns = scene.is_primary() && scene.view.durable.reign == scene.term();
    match &scene.view.server {
        Server::Primary { sync, open, flush, fork, senders, checkpointed } if reigns => Some(Throne {
            sync,
            open: *open,
            flush: *flush,
            fork: *fork,
            senders,
            checkpointed: *checkpointed,
        }),
        _ => None,
    }
}

/// A primary tells that it can be copied from. Before it serves only when that lasts: then it may be waiting for one that
/// must copy first, and else its first clients would be waiting for this write.
pub(crate) fn show(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    if !scene.serving() && !scene.judgement.patience_over {
        return None;
    }
    let term = scene.term();
    scene.report(NodeDoc {
        promised: term,
        end: None,
        holding: Holding::Log,
        primary_of: term,
        rewindable: throne.checkpointed,
        from: Lsn(0),
    })
}

/// A winner that nobody follows: where the file says so it goes on alone, once they have been missing for long. The older
/// quorums were settled when it won, so it has all that was acknowledged.
pub(crate) fn go_alone(scene: &Scene<'_>) -> Option<Action> {
    throne(scene)?;
    let record = scene.record()?;
    let quorum = record.current()?;
    let others = scene.view.nodes.without(scene.me());
    let alone = others.minus(scene.judgement.missing).is_empty();
    // Where there is no other node in the plan, none is waited for.
    let single = others.is_empty();
    // The very first one has time: nobody has written anything that waits for it.
    let first = record.reign(record.term).is_none_or(|reign| reign.base == 0);
    let waits = !single && (first || scene.view.alone != Alone::Degrade);
    if waits || scene.serving() || quorum.need == 0 || !alone {
        return None;
    }
    let mut next = record.clone();
    next.quorums.retain(|other| other.term != record.term);
    next.quorums.push(Quorum { members: Nodes::NONE, need: 0, ..*quorum });
    scene.write(next, Nodes::NONE)
}

/// The new reign serves when its quorum holds all that came before: the older quorums are settled then.
pub(crate) fn serve(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    let record = scene.record()?;
    let Phase::Promoting { primary } = record.phase else { return None };
    let quorum = *record.current()?;
    if !scene.has(Flaw::PromoteBeforeSync)
        && let Some(action) = settle_sync(scene, throne.sync, &quorum)
    {
        return Some(action);
    }
    if !throne.is_held_by(&quorum) && !scene.has(Flaw::ServeUnsettled) {
        return None;
    }
    let mut next = record.clone();
    next.phase = Phase::Serving { primary, handover: None };
    next.quorums = vec![quorum];
    for reign in next.history.iter_mut().filter(|reign| reign.term == record.term) {
        // The first reign has no log before it.
        reign.fork = if reign.base == 0 { reign.fork } else { throne.fork };
        reign.served = true;
    }
    scene.write(next, Nodes::NONE)
}

/// A primary whose server ended is one no more: what it held open is lost anyway, and somebody else is up sooner. It
/// never starts again in the same term, since records that no standby has would become visible.
pub(crate) fn give_up(scene: &Scene<'_>) -> Option<Action> {
    if !scene.is_primary() || scene.view.durable.reign != scene.term() {
        return None;
    }
    match scene.view.server {
        Server::Primary { .. } | Server::Busy => None,
        // Not risen yet.
        Server::Standby { .. } if !scene.serving() => None,
        _ => unasked_election(scene),
    }
}

/// A wanted switch: first only the heir counts, so that its own word is enough to win. Then no new work comes in, the heir
/// gets the last of it, and the term ends.
pub(crate) fn hand_over(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    let record = scene.record()?;
    let Phase::Serving { primary, handover: Some(heir) } = record.phase else { return None };
    let now = record.current()?;
    // One that does not count may be about to throw its log away.
    let counts = scene.leased() || now.members.has(heir);
    let pointless = heir == primary || !with_data(scene, scene.view.nodes).has(heir) || !counts;
    // Nor is a lease renewed while who may stand in falls behind an open server, so that one would end instead.
    let lags = throne.open && lease::names_one_behind(scene);
    if pointless || lags || scene.judgement.missing.has(heir) || scene.judgement.handover_late {
        let phase = Phase::Serving { primary, handover: None };
        return scene.write(Record { phase, ..record.clone() }, Nodes::NONE);
    }
    if !scene.leased() {
        // Whoever does not stream is waited for; in the end the switch is called off.
        throne.flushed(heir, record.term)?;
        if let Some(step) = step(now, Nodes::NONE.with(heir), Alone::Block) {
            return change(scene, &throne, step);
        }
    }
    if throne.open {
        return Some(Action::Close);
    }
    let ready = throne.flushed(heir, record.term).is_some_and(|flush| flush >= throne.flush);
    ready.then(|| scene.election(Some(heir))).flatten()
}

/// Keeps the quorum in step with the standbys that are there.
pub(crate) fn quorum(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    let record = scene.record()?;
    let Phase::Serving { handover: None, .. } = record.phase else { return None };
    let now = record.current()?;
    let holding = |node: &NodeId| scene.doc_of(*node).holding == Holding::Log;
    let fit = scene.judgement.steady.iter().filter(|node| throne.flushed(*node, record.term).is_some());
    let flushed = |node: NodeId| throne.flushed(node, record.term);
    // Neither who is missing nor who has left the plan.
    let staying = now.members.minus(scene.judgement.missing).minus(now.members.minus(scene.view.nodes));
    let present =
        fit.filter(holding).fold(staying, |those, node| match bridges(scene, node, those, flushed) {
            true => those.with(node),
            false => those,
        });
    let joining = present.minus(staying);
    // Where there is no other node in the plan, none is waited for.
    let single = scene.view.nodes.without(scene.me()).is_empty();
    let alone = if single { Alone::Degrade } else { scene.view.alone };
    let next_step = match scene.leased() {
        // Commits go on being awaited until there is a lease, and a watchdog that counts it.
        true if now.need > 0 && !scene.judgement.lease.held => None,
        true => lease::step(now, lease::wanted(scene, staying, joining)),
        false => step(now, present, alone),
    };
    let Some(step) = next_step else {
        return settle_sync(scene, throne.sync, now);
    };
    change(scene, &throne, step)
}

/// One step of the quorum, in the order that is safe.
fn change(scene: &Scene<'_>, throne: &Throne<'_>, step: Step) -> Option<Action> {
    let record = scene.record()?;
    let now = record.current()?;
    let mut next = record.clone();
    next.quorums = vec![step.to];
    // A node about to throw its log away has said so first; then this write is refused.
    let joins = step.to.members.minus(now.members);
    if step.record_first {
        if scene.has(Flaw::GrowServerFirst) && throne.sync.set != Some(step.to) {
            return Some(Action::SetSync(step.to));
        }
        return scene.write(next, joins);
    }
    if scene.has(Flaw::ShrinkRecordFirst) {
        return scene.write(next, joins);
    }
    if let Some(action) = settle_sync(scene, throne.sync, &step.to) {
        return Some(action);
    }
    let settled = throne.is_taken_over_by(&step.to) || scene.has(Flaw::ShrinkUnsettled);
    settled.then(|| scene.write(next, joins)).flatten()
}

/// Clients come in when the record says so and the quorum is in force.
pub(crate) fn open(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    let record = scene.record()?;
    let early = scene.has(Flaw::OpenEarly) && !scene.serving();
    if !early && !matches!(record.phase, Phase::Serving { handover: None, .. }) {
        return None;
    }
    let lax = scene.has(Flaw::PromoteBeforeSync) || scene.has(Flaw::SyncUnconfirmed);
    let sound = throne.sync.in_force && throne.sync.set.is_some_and(|set| set.term == record.term);
    (!throne.open && (sound || lax) && lease::may_open(scene)).then_some(Action::Open)
}

/// Until then `pg_rewind` would take the old timeline for the primary's. A promotion does not wait for the disk, unless it
/// lasts: then it may be waiting for one that must rewind.
pub(crate) fn checkpoint(scene: &Scene<'_>) -> Option<Action> {
    let throne = throne(scene)?;
    let due = scene.serving() || scene.judgement.patience_over;
    (due && !throne.checkpointed).then_some(Action::Checkpoint)
}
