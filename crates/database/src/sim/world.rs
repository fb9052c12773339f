//! The whole: what there is, what may happen, what must hold.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::{Disk, Entry, State};
use crate::{
    Action, Alone, Docs, Durable, Flaw, Judgement, Kept, Sender, Server, Sync, Upstream, View, choose_with,
};
use model::{Lsn, Mode, NodeId, Nodes, Quorum, Record, ReignPhase as Phase, Term};

/// How far half a record reaches, measured in whole ones.
const TORN: u16 = 3;

/// A running server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// It writes.
    pub primary: bool,
    /// Whom its receiver is connected to; it may stay so for a while after the settings changed.
    pub receiving: Option<Upstream>,
    /// Quorums that some of its processes may still go by, beside the one of the settings.
    pub stale_sync: BTreeSet<Option<Quorum>>,
    /// Records whose clients wait.
    pub waiting: Vec<Entry>,
    /// What standbys have told to have on disk, and under which term's name.
    pub told: BTreeMap<NodeId, (Term, u16)>,
    /// The same, on its way.
    pub underway: BTreeMap<NodeId, (Term, u16)>,
    /// It has made a checkpoint since it was promoted.
    pub checkpointed: bool,
    /// What was on a primary's disk when its quorum was confirmed.
    pub from: Option<u16>,
    /// What it has received ends in half a record; the newest reign whose log that was. A start forgets it, and so does
    /// the next record from wherever.
    pub torn: Option<Term>,
}

/// A keeper that has decided and not yet acted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keeper {
    /// What it is about to do.
    pub pending: Option<Action>,
    /// Something it compares with has changed since it looked.
    pub stale: bool,
    /// The record as it last saw it.
    pub seen: Option<Record>,
    /// The record on which a write of another quorum was based, whatever became of it.
    pub based: Option<Record>,
    /// A copy from a witness came to nothing, and nothing was told since.
    pub unfetched: bool,
    /// What it sent to the store and has heard nothing of: it may still arrive, whatever the keeper does meanwhile.
    pub flight: Option<Flight>,
}

/// A write of the record or of a document on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flight {
    /// What is written.
    pub action: Action,
    /// Something it compares with has changed since: it will be refused.
    pub stale: bool,
}

/// Which nodes there are, as a keeper reads it when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plan {
    /// All of them.
    pub nodes: Nodes,
    /// Those of them without data.
    pub witnesses: Nodes,
}

impl Plan {
    /// `copies` nodes with data, and one more after them where there is a `witness`.
    #[must_use]
    pub fn of(copies: u8, witness: bool) -> Plan {
        let nodes = (1..=copies + u8::from(witness)).map(NodeId).collect();
        Plan { nodes, witnesses: witness.then_some(NodeId(copies + 1)).into_iter().collect() }
    }
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The keeper's own file.
    pub durable: Durable,
    /// Its process.
    pub keeper: Keeper,
    /// The data.
    pub disk: Disk,
    /// The server, when it runs.
    pub run: Option<Run>,
    /// What its keeper goes by. Where the node is not in it, there is neither keeper nor server.
    pub plan: Plan,
}

/// How much may still happen. Exhaustive exploration needs small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget {
    /// Records that clients write.
    pub writes: u16,
    /// Servers that die.
    pub kills: u16,
    /// Actions that are carried out late, or never.
    pub delays: u16,
    /// Looks at a record that has changed meanwhile.
    pub stale_looks: u16,
    /// Copies and rewinds that break off.
    pub breaks: u16,
    /// Times a standby is taken for missing.
    pub misses: u16,
    /// Disks that are lost for good, with all that is on them.
    pub losses: u16,
    /// Records of which only a part arrives.
    pub tears: u16,
    /// Switches that somebody wants.
    pub wants: u16,
    /// Writes that are given up and arrive all the same, late.
    pub flights: u16,
    /// New plans.
    pub plans: u16,
    /// The highest term.
    pub terms: Term,
}

impl Budget {
    /// Nothing but what keepers and servers do by themselves.
    pub const NOTHING: Budget = Budget {
        writes: 0,
        kills: 0,
        delays: 0,
        stale_looks: 0,
        breaks: 0,
        misses: 0,
        losses: 0,
        tears: 0,
        wants: 0,
        flights: 0,
        plans: 0,
        terms: 0,
    };
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Move {
    /// A keeper looks and acts at once.
    Act(NodeId),
    /// The same, and it takes the primary for dead.
    Suspect(NodeId),
    /// Somebody wants this node to be the primary.
    Want(NodeId),
    /// A primary looks and acts, and takes a wanted switch for late.
    CallOff(NodeId),
    /// A keeper looks before others had the time to come forward, and acts.
    Hurry(NodeId),
    /// From now on primaries take this node for missing, or no longer do.
    Miss(NodeId),
    /// A keeper looks, decides, and stands still.
    Look(NodeId),
    /// A keeper decides by the record it saw last time, or by one from before the last change of terms: a store that was
    /// restored, a stale read after a start.
    LookBack(NodeId),
    /// Time passes without a failover, and then a keeper looks and acts.
    Rest(NodeId),
    /// It acts on what it decided.
    Do(NodeId),
    /// It crashes before it acts, or what it sent is lost.
    Drop(NodeId),
    /// A keeper looks, sends a write to the store, hears nothing of it and goes on.
    Send(NodeId),
    /// What it sent arrives.
    Land(NodeId),
    /// The server's receiver connects, or the next record arrives.
    Feed(NodeId),
    /// A part of the next record arrives: a large one, that reaches further than several others.
    Tear(NodeId),
    /// The receiver of a server that should receive nothing more ends.
    Quit(NodeId),
    /// The first learns how far the second is.
    Hear(NodeId, NodeId),
    /// A client writes.
    Write(NodeId),
    /// The server dies with all its processes.
    Kill(NodeId),
    /// A copy or rewind breaks off halfway.
    Break(NodeId),
    /// The disk is lost.
    Lose(NodeId),
    /// From now on there shall be other nodes.
    Plan(Plan),
    /// A keeper starts again with the newest plan, or is no longer needed and ends with its server.
    Reread(NodeId),
}

/// Whether an action may come to half of its end.
pub(super) fn breaks_off(action: &Action) -> bool {
    matches!(action, Action::Clone(_) | Action::Rewind(_) | Action::Fetch { .. } | Action::Anew(_))
}

/// A store, nodes, clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    /// The shared record.
    pub record: Option<Record>,
    /// The record before the last change of its term.
    pub past: Option<Record>,
    /// Who is taken for missing.
    pub missing: Nodes,
    /// What keepers told.
    pub docs: BTreeMap<NodeId, model::NodeDoc>,
    /// `NodeId(1)` first.
    pub nodes: Vec<Node>,
    /// Those of them without data.
    pub witnesses: Nodes,
    /// The newest plan; each keeper goes by the one that it has read.
    pub plan: Plan,
    /// Nodes that had data and became witnesses, or the other way round: what they held before counts no more.
    pub turned: Nodes,
    /// What lies on their disks since.
    pub left: BTreeMap<NodeId, Disk>,
    /// What clients were told to be done.
    pub acked: BTreeSet<Entry>,
    /// Who acknowledged in each term.
    pub ackers: BTreeSet<(Term, NodeId)>,
    /// What may still happen.
    pub budget: Budget,
    /// The file's `when_alone`.
    pub alone: Alone,
    /// How commits are kept.
    pub mode: Mode,
    /// Points of unrest that end unasked failovers.
    pub unrest_max: u32,
    /// Failovers that nobody asked for, less those that were forgiven.
    pub unasked: u32,
    /// The belief that is broken.
    pub flaw: Flaw,
    /// What no check of a state alone would see.
    pub fault: Option<&'static str>,
}

impl World {
    /// Nothing yet on `nodes` nodes.
    #[must_use]
    pub fn new(nodes: u8, alone: Alone, budget: Budget, flaw: Flaw) -> World {
        let plan = Plan::of(nodes, false);
        World {
            record: None,
            past: None,
            missing: Nodes::NONE,
            docs: BTreeMap::new(),
            nodes: vec![Node { plan, ..Node::default() }; usize::from(nodes)],
            witnesses: Nodes::NONE,
            plan,
            turned: Nodes::NONE,
            left: BTreeMap::new(),
            acked: BTreeSet::new(),
            ackers: BTreeSet::new(),
            budget,
            alone,
            mode: Mode::Quorum,
            unrest_max: crate::UNREST_MAX,
            unasked: 0,
            flaw,
            fault: None,
        }
    }

    /// All node numbers.
    pub fn ids(&self) -> Nodes {
        (1..=self.nodes.len() as u8).map(NodeId).collect()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id.0) - 1]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[usize::from(id.0) - 1]
    }

    /// The number of the next record of the reign `term`: one that no record has which anybody still holds, waits for or
    /// was told of. Worlds that hold the same thing are the same then, however many records came to nothing before.
    pub(super) fn next_number(&self, term: Term) -> u16 {
        let waiting = |node: &Node| node.run.as_ref().map_or(&[][..], |run| &run.waiting).to_vec();
        let held = self.nodes.iter().flat_map(|node| node.disk.log.iter().copied().chain(waiting(node)));
        let of_term = held.chain(self.acked.iter().copied()).filter(|entry| entry.term == term);
        of_term.map(|entry| entry.number).max().unwrap_or(0) + 1
    }

    /// What `id` is about to copy from, if its server is there and reigns in that term.
    pub(super) fn source(&self, from: Upstream) -> Option<&Node> {
        let node = self.node(from.node);
        let reigns = node.durable.reign == from.term && node.run.as_ref().is_some_and(|run| run.primary);
        reigns.then_some(node)
    }

    /// What the keeper of `id` sees now.
    #[must_use]
    pub fn view_of(&self, id: NodeId) -> View {
        self.view(id, &self.record)
    }

    fn view(&self, id: NodeId, record: &Option<Record>) -> View {
        let mut server = self.server(id);
        if let Server::Primary { sync, .. } = &mut server {
            sync.unsure = record.is_some() && self.node(id).keeper.based == *record;
        }
        let docs: Docs =
            self.docs.iter().map(|(node, doc)| (*node, Kept { value: *doc, revision: 1 })).collect();
        let Plan { nodes, witnesses } = self.node(id).plan;
        View {
            me: id,
            nodes,
            witnesses,
            from: self.begin_of(id),
            alone: self.alone,
            mode: self.mode,
            unrest_max: self.unrest_max,
            record: record.clone().map(|value| Kept { value, revision: 1 }),
            docs,
            durable: self.node(id).durable,
            server,
            stranded: false,
            unfetched: self.node(id).keeper.unfetched,
        }
    }

    /// Where the log of `id` begins.
    fn begin_of(&self, id: NodeId) -> Lsn {
        let disk = &self.node(id).disk;
        let none = self.witnesses.has(id) && disk.state != State::Whole;
        Lsn(if none { u64::MAX } else { u64::from(disk.from) })
    }

    /// The last of the nodes is a witness.
    #[must_use]
    pub fn with_witness(self) -> World {
        let copies = self.nodes.len() as u8 - 1;
        self.planned(Plan::of(copies, true))
    }

    /// All keepers go by `plan`, from the beginning.
    #[must_use]
    pub fn planned(mut self, plan: Plan) -> World {
        (self.plan, self.witnesses) = (plan, plan.witnesses);
        self.nodes.iter_mut().for_each(|node| node.plan = plan);
        self
    }

    /// Whether there is a keeper of `id`.
    pub(super) fn is_here(&self, id: NodeId) -> bool {
        self.node(id).plan.nodes.has(id)
    }

    /// Whether an election would wait for somebody who can tell nothing: a node that has left, or whose log is gone.
    pub(super) fn awaits_absent(&self) -> bool {
        let Some(record) = &self.record else { return false };
        let whole = |id: &NodeId| self.node(*id).disk.state == State::Whole;
        let able = self.plan.nodes.iter().filter(whole).collect();
        let promoting = matches!(record.phase, Phase::Promoting { .. });
        // A reign that never served has acknowledged nothing.
        let counts = |quorum: &&Quorum| !(promoting && quorum.term == record.term);
        record.quorums.iter().filter(counts).any(|quorum| !quorum.is_settled_by(able))
    }

    /// By how much half a record seems to reach further. Within one reign it is no further than the whole record.
    fn torn(&self, id: NodeId) -> u16 {
        let Node { durable, run, .. } = self.node(id);
        let of = run.as_ref().and_then(|run| run.torn).filter(|of| *of != durable.lineage);
        if of.is_some() && self.flaw == Flaw::CountTorn { TORN } else { 0 }
    }

    fn server(&self, id: NodeId) -> Server {
        let Node { disk, run, .. } = self.node(id);
        match (disk.state, run) {
            (State::Empty, _) => Server::Empty,
            (State::Half, _) => Server::Half,
            (State::Whole, None) => Server::Stopped { upstream: disk.upstream, fresh: disk.fresh },
            (State::Whole, Some(run)) => {
                let from = run.from.map(|from| Lsn(u64::from(from)));
                let in_force = run.stale_sync.is_empty();
                let sync = Sync { set: disk.sync, in_force, from, unsure: false };
                if !run.primary {
                    let end = Some(Lsn(u64::from(disk.end() + self.torn(id))));
                    let receiving = run.receiving.is_some();
                    return Server::Standby { upstream: disk.upstream, receiving, end, sync };
                }
                let sender = |(term, at): &(Term, u16)| Sender { term: *term, flush: Lsn(u64::from(*at)) };
                Server::Primary {
                    sync,
                    open: disk.open,
                    flush: Lsn(u64::from(disk.end())),
                    fork: Lsn(u64::from(disk.fork())),
                    senders: run.told.iter().map(|(node, told)| (*node, sender(told))).collect(),
                    checkpointed: run.checkpointed,
                }
            }
        }
    }

    /// What `id` would decide now.
    pub fn decide(&self, id: NodeId, fresh: bool, judgement: &Judgement) -> Option<Action> {
        let seen = &self.node(id).keeper.seen;
        let record = match fresh {
            true => &self.record,
            false if *seen == self.record => &self.past,
            false => seen,
        };
        choose_with(&self.view(id, record), judgement, self.flaw).map(|(_, action)| action)
    }

    /// Everything of `id` that others could see of its being there: who streams under the term of its reign.
    pub fn judgement(&self, id: NodeId) -> Judgement {
        let term = self.record.as_ref().map_or(0, |record| record.term);
        let Node { run, plan, .. } = self.node(id);
        let known = |nodes: Nodes| nodes.minus(nodes.minus(plan.nodes));
        let steady = run
            .as_ref()
            .map(|run| run.told.iter().filter(|(_, told)| told.0 == term).map(|(node, _)| *node).collect());
        Judgement {
            suspects: false,
            agree: plan.nodes,
            patience_over: true,
            handover_late: false,
            steady: known(steady.unwrap_or(Nodes::NONE).minus(self.missing)),
            missing: known(self.missing),
            rested: false,
            lease: crate::Tenure::default(),
        }
    }

    /// All that may happen next.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for id in self.ids().iter() {
            self.moves_of_keeper(id, &mut moves);
            self.moves_of_server(id, &mut moves);
        }
        moves
    }

    pub(super) fn moves_of_keeper(&self, id: NodeId, moves: &mut Vec<Move>) {
        let node = self.node(id);
        if self.may_want(id) {
            moves.push(Move::Want(id));
        }
        if node.keeper.flight.is_some() {
            moves.push(Move::Land(id));
        }
        if node.plan != self.plan {
            moves.push(Move::Reread(id));
        }
        if !self.is_here(id) {
            return;
        }
        if node.keeper.pending.is_some() {
            moves.extend([Move::Do(id), Move::Drop(id)]);
            return;
        }
        let judgement = self.judgement(id);
        if let Some(action) = self.decide(id, true, &judgement) {
            moves.push(Move::Act(id));
            if self.may_send(id, &action) {
                moves.push(Move::Send(id));
            }
            if self.budget.delays > 0 {
                moves.push(Move::Look(id));
            }
            if self.budget.breaks > 0 && breaks_off(&action) {
                moves.push(Move::Break(id));
            }
        }
        if self.may_call_off(id) {
            moves.push(Move::CallOff(id));
        }
        let record = self.record.as_ref();
        let term = record.map_or(0, |record| record.term);
        let led = record.and_then(Record::primary).is_some_and(|primary| primary != id);
        if self.budget.losses > 0 {
            moves.push(Move::Lose(id));
        }
        if led && term < self.budget.terms {
            moves.push(Move::Suspect(id));
        }
        if self.budget.misses > 0 || self.missing.has(id) {
            moves.push(Move::Miss(id));
        }
        if self.budget.stale_looks > 0 && self.past.is_some() {
            moves.push(Move::LookBack(id));
        }
    }

    /// Whether `id` may do `action` by a write that is given up and not yet there. One on its way is enough.
    pub(super) fn may_send(&self, id: NodeId, action: &Action) -> bool {
        let writes = matches!(action, Action::Write { .. } | Action::Report { .. });
        self.budget.flights > 0 && writes && self.node(id).keeper.flight.is_none()
    }

    /// Whether what `id` has decided changes nothing when it is carried out: a write that will be refused, or a promise, as
    /// `promise_at_once` has it. Until then its keeper stands still, which one without anything pending may do as
    /// well.
    pub(super) fn comes_to_nothing(&self, id: NodeId) -> bool {
        let Node { keeper, durable, disk, .. } = self.node(id);
        let leaves = self.witnesses.has(id) || disk.upstream.is_some();
        keeper.pending.as_ref().is_some_and(|pending| match pending {
            Action::Persist(next) => is_promise(durable, next) && !leaves,
            other => compares(other) && keeper.stale && self.flaw != Flaw::BlindWrite,
        })
    }

    /// Whether somebody may ask for a switch to `id`: there is a primary, another one, and no switch under way.
    pub(super) fn may_want(&self, id: NodeId) -> bool {
        let phase = self.record.as_ref().map(|record| record.phase);
        let serves = matches!(phase, Some(Phase::Serving { primary, handover: None }) if primary != id);
        self.budget.wants > 0 && serves
    }

    /// Whether `id` is a primary that has been asked for a switch.
    pub(super) fn may_call_off(&self, id: NodeId) -> bool {
        let phase = self.record.as_ref().map(|record| record.phase);
        matches!(phase, Some(Phase::Serving { primary, handover: Some(_) }) if primary == id)
    }

    pub(super) fn moves_of_server(&self, id: NodeId, moves: &mut Vec<Move>) {
        let node = self.node(id);
        let Some(run) = &node.run else { return };
        if self.budget.kills > 0 {
            moves.push(Move::Kill(id));
        }
        if run.receiving.is_some() && run.receiving != node.disk.upstream {
            moves.push(Move::Quit(id));
        }
        if self.feeds(id) {
            moves.push(Move::Feed(id));
            if self.tears(id) {
                moves.push(Move::Tear(id));
            }
        }
        for (other, underway) in &run.underway {
            if run.told.get(other) != Some(underway) {
                moves.push(Move::Hear(id, *other));
            }
        }
        if self.budget.writes > 0 && run.primary && node.disk.open {
            moves.push(Move::Write(id));
        }
    }

    /// Whether something would arrive at `id`: a connection, or a record.
    pub(super) fn feeds(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let Some(run) = node.run.as_ref().filter(|run| !run.primary) else { return false };
        // A receiver that is to end may take what still comes.
        let Some(from) = run.receiving.or(node.disk.upstream) else { return false };
        let source = self.node(from.node);
        // Any running server feeds, also one that is primary no more, but only through the slot of that term.
        let Some(theirs) = &source.run else { return false };
        let known = theirs.underway.get(&id) == Some(&(from.term, node.disk.end()));
        let more = node.disk.end() < source.disk.end();
        from.node != id
            && !self.witnesses.has(from.node)
            && (source.disk.slots == from.term || source.disk.lent.get(&id) == Some(&from.term))
            && node.disk.is_fed_by(&source.disk)
            && (more || !known || run.receiving.is_none())
    }

    /// Whether a part of a record may arrive at `id`.
    pub(super) fn tears(&self, id: NodeId) -> bool {
        let connected = self.node(id).run.as_ref().is_some_and(|run| run.receiving.is_some());
        self.budget.tears > 0 && connected && self.feeds(id)
    }

    /// What of all that must always hold does not.
    pub fn broken(&self) -> Option<&'static str> {
        if let Some(fault) = self.fault {
            return Some(fault);
        }
        if self.unasked > self.unrest_max {
            return Some("more failovers in a row than are made unasked");
        }
        // By an older plan it may have been one with data.
        let always = self.witnesses.minus(self.turned);
        if self.record.as_ref().and_then(Record::primary).is_some_and(|primary| always.has(primary)) {
            return Some("a node without data was chosen");
        }
        let mut terms = BTreeSet::new();
        if !self.ackers.iter().all(|(term, _)| terms.insert(*term)) {
            return Some("two nodes acknowledged in one term");
        }
        if let Some(Record { term, phase: Phase::Serving { primary, .. }, .. }) = &self.record
            && let Some(node) = self.source(Upstream { node: *primary, term: *term })
            && !self.acked.iter().all(|entry| node.disk.log.contains(entry))
        {
            return Some("an acknowledged write is not in the primary that serves");
        }
        None
    }

    /// Served, open, everybody streaming: nothing left to do.
    pub fn is_calm(&self) -> bool {
        let Some(record) = &self.record else { return false };
        let Phase::Serving { primary, .. } = record.phase else { return false };
        let node = self.node(primary);
        let serves = node.disk.open && node.run.as_ref().is_some_and(|run| run.primary);
        let upstream = Upstream { node: primary, term: record.term };
        let read = self.nodes.iter().all(|node| node.plan == self.plan);
        serves
            && read
            && self.plan.nodes.without(primary).iter().all(|id| {
                let other = self.node(id);
                let streams = other.run.as_ref().is_some_and(|run| run.receiving == Some(upstream));
                streams && other.disk.log == node.disk.log
            })
    }
}

/// Whether it is refused when what it rests on has changed meanwhile.
pub(super) fn compares(action: &Action) -> bool {
    matches!(action, Action::Write { .. } | Action::Report { .. })
}

/// Whether `next` is `durable` with another promise and nothing else.
pub(super) fn is_promise(durable: &Durable, next: &Durable) -> bool {
    *next == Durable { promised: next.promised, ..*durable }
}
