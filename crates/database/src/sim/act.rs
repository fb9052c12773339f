//! What moves and actions do to a world.

use super::disk::{Disk, Entry, State};
use super::world::{Flight, Keeper, Move, Node, Run, World};
use crate::{Action, Durable, Flaw, Judgement, Upstream};
use model::{Lsn, NodeId, Nodes, Quorum, Record, ReignPhase as Phase, Term};

impl World {
    /// The world after `change`.
    pub fn apply(&mut self, change: Move) {
        match change {
            Move::Act(id) | Move::Suspect(id) | Move::CallOff(id) | Move::Hurry(id) => {
                self.look(id, true, self.judged(change, id), true);
            }
            Move::Want(id) => self.want(id),
            Move::Miss(id) if self.missing.has(id) => self.missing = self.missing.without(id),
            Move::Miss(id) => {
                self.budget.misses = self.budget.misses.saturating_sub(1);
                self.missing = self.missing.with(id);
            }
            Move::Look(id) => {
                self.budget.delays -= 1;
                self.look(id, true, self.judgement(id), false);
            }
            Move::LookBack(id) => {
                self.budget.stale_looks -= 1;
                self.look(id, false, self.judgement(id), true);
            }
            Move::Do(id) => self.act(id, false),
            Move::Rest(id) => {
                let before = self.record.as_ref().map_or(0, Record::unrest);
                self.look(id, true, self.judged(change, id), true);
                let after = self.record.as_ref().map_or(0, Record::unrest);
                self.unasked = self.unasked.saturating_sub(u32::from(after < before));
            }
            Move::Drop(_) | Move::Send(_) | Move::Land(_) => self.mail(change),
            Move::Feed(id) => self.feed(id),
            Move::Tear(id) => {
                self.budget.tears -= 1;
                let node = self.node_mut(id);
                if let Some(run) = &mut node.run {
                    run.torn = Some(node.durable.lineage);
                }
            }
            Move::Quit(id) => {
                if let Some(run) = &mut self.node_mut(id).run {
                    run.receiving = None;
                }
            }
            Move::Hear(id, other) => {
                if let Some(run) = &mut self.node_mut(id).run
                    && let Some(underway) = run.underway.get(&other)
                {
                    run.told.insert(other, *underway);
                }
            }
            Move::Write(id) => self.write(id),
            Move::Kill(id) => {
                self.budget.kills -= 1;
                self.node_mut(id).run = None;
                self.gone(id);
            }
            Move::Lose(id) => self.lose(id),
            Move::Break(id) => {
                self.budget.breaks -= 1;
                self.look(id, true, self.judgement(id), false);
                self.act(id, true);
            }
            Move::Plan(plan) => {
                self.budget.plans = self.budget.plans.saturating_sub(1);
                self.plan = plan;
            }
            Move::Reread(id) => self.reread(id),
        }
        self.acknowledge();
    }

    /// The disk of `id` is lost. What its keeper has sent may still arrive.
    fn lose(&mut self, id: NodeId) {
        self.budget.losses -= 1;
        let node = self.node_mut(id);
        let (flight, plan) = (node.keeper.flight.take(), node.plan);
        let keeper = Keeper { flight, ..Keeper::default() };
        *node = Node { keeper, plan, ..Node::default() };
        self.gone(id);
    }

    /// The keeper of `id` starts again with the newest plan. What it has sent may still arrive.
    fn reread(&mut self, id: NodeId) {
        let (plan, record) = (self.plan, self.record.clone());
        let turns = plan.nodes.has(id) && plan.witnesses.has(id) != self.witnesses.has(id);
        let node = self.node_mut(id);
        let flight = node.keeper.flight.take();
        node.keeper = Keeper { based: record, flight, ..Keeper::default() };
        node.plan = plan;
        // It is not known to a new keeper whether all processes go by the quorum of the settings.
        if let Some(run) = &mut node.run {
            run.stale_sync.insert(node.disk.sync);
            run.from = None;
        }
        if turns || !plan.nodes.has(id) {
            self.end(id);
        }
        if turns {
            self.turn(id);
        }
    }

    /// A node with data becomes a witness, or the other way round. What it held as one is nothing to the other: it is as one
    /// whose copy broke off.
    fn turn(&mut self, id: NodeId) {
        let witness = !self.witnesses.has(id);
        self.witnesses = if witness { self.witnesses.with(id) } else { self.witnesses.without(id) };
        // A new node's first plan may be either.
        if self.node(id).disk == Disk::default() && self.node(id).durable == Durable::default() {
            return;
        }
        self.turned = self.turned.with(id);
        let before = std::mem::take(&mut self.node_mut(id).disk);
        let (upstream, fresh) = (before.upstream, before.fresh);
        let old = self.left.insert(id, before);
        self.node_mut(id).disk = match old.filter(|_| self.flaw == Flaw::KeepOtherLog) {
            Some(old) => Disk { upstream, fresh, ..old },
            None if self.flaw == Flaw::KeepOtherLog => Disk::default(),
            None => Disk { state: State::Half, ..Disk::default() },
        };
    }

    /// What a keeper sends to the store is lost, or on its way, or there.
    fn mail(&mut self, change: Move) {
        match change {
            Move::Drop(id) => {
                let Keeper { seen, flight, based, .. } = self.node(id).keeper.clone();
                let based = if self.comes_to_nothing(id) { based } else { self.record.clone() };
                self.node_mut(id).keeper = Keeper { seen, based, flight, ..Keeper::default() };
            }
            Move::Send(id) => {
                self.budget.flights -= 1;
                self.look(id, true, self.judgement(id), false);
                self.base(id);
                let keeper = &mut self.node_mut(id).keeper;
                keeper.flight = keeper.pending.take().map(|action| Flight { action, stale: false });
            }
            Move::Land(id) => {
                if let Some(Flight { action, stale }) = self.node_mut(id).keeper.flight.take()
                    && (!stale || self.flaw == Flaw::BlindWrite)
                {
                    self.store(id, action);
                }
            }
            _ => {}
        }
    }

    /// What the keeper of `id` makes of time in `change`.
    pub(super) fn judged(&self, change: Move, id: NodeId) -> Judgement {
        let usual = self.judgement(id);
        match change {
            Move::Suspect(_) => Judgement { suspects: true, ..usual },
            Move::CallOff(_) => Judgement { handover_late: true, ..usual },
            Move::Hurry(_) => Judgement { patience_over: false, ..usual },
            Move::Rest(_) => Judgement { rested: true, ..usual },
            _ => usual,
        }
    }

    fn want(&mut self, id: NodeId) {
        self.budget.wants -= 1;
        if let Some(Record { phase: Phase::Serving { handover, .. }, .. }) = &mut self.record {
            *handover = Some(id);
        }
        self.written();
    }

    fn look(&mut self, id: NodeId, fresh: bool, judgement: Judgement, at_once: bool) {
        let pending = self.decide(id, fresh, &judgement);
        let stale = !fresh;
        let seen = if fresh { self.record.clone() } else { self.node(id).keeper.seen.clone() };
        let Keeper { unfetched, based, flight, .. } = self.node(id).keeper.clone();
        self.node_mut(id).keeper = Keeper { pending, stale, seen, unfetched, based, flight };
        if at_once {
            self.act(id, false);
        }
    }

    fn write(&mut self, id: NodeId) {
        self.budget.writes -= 1;
        let term = self.node(id).durable.reign;
        let entry = Entry { term, number: self.next_number(term) };
        let node = self.node_mut(id);
        node.disk.log.push(entry);
        if let Some(run) = &mut node.run {
            run.waiting.push(entry);
        }
    }

    fn feed(&mut self, id: NodeId) {
        let node = self.node(id);
        let connected = node.run.as_ref().and_then(|run| run.receiving);
        let Some(from) = connected.or(node.disk.upstream) else { return };
        let source = self.node(from.node).disk.clone();
        let mut disk = node.disk.clone();
        self.fault = self.fault.or(disk.feed(&source));
        let end = disk.end();
        let node = self.node_mut(id);
        node.disk = disk;
        if let Some(run) = &mut node.run {
            run.receiving = Some(from);
            run.torn = None;
        }
        if let Some(theirs) = &mut self.node_mut(from.node).run {
            theirs.underway.insert(id, (from.term, end));
        }
    }

    /// The server of `id` is gone: nobody is connected to it any more.
    fn gone(&mut self, id: NodeId) {
        self.cut_off_from(id, Nodes::NONE);
    }

    /// Nobody but `these` is connected to the server of `id` any more.
    fn cut_off_from(&mut self, id: NodeId, these: Nodes) {
        for (node, other) in self.nodes.iter_mut().zip(1..) {
            if let Some(run) = node.run.as_mut().filter(|_| !these.has(NodeId(other))) {
                run.receiving = run.receiving.filter(|from| from.node != id);
            }
        }
    }

    /// Clients are told as soon as any process of the server may tell them.
    fn acknowledge(&mut self) {
        for id in self.ids().iter() {
            let node = self.node(id);
            let Some(run) = node.run.as_ref().filter(|run| run.primary) else { continue };
            let candidates: Vec<Option<Quorum>> =
                run.stale_sync.iter().copied().chain([node.disk.sync]).collect();
            let place = |entry: &Entry| node.disk.log.iter().position(|other| other == entry);
            let held = |quorum: &Quorum, place: usize| {
                let has = |member: &NodeId| {
                    let told = run.told.get(member);
                    told.is_some_and(|(term, end)| *term == quorum.term && usize::from(*end) > place)
                };
                quorum.members.iter().filter(has).count() as u64 >= u64::from(quorum.need)
            };
            let enough = |entry: &Entry| {
                let Some(place) = place(entry) else { return false };
                candidates.iter().any(|sync| sync.is_none_or(|quorum| held(&quorum, place)))
            };
            let done: Vec<Entry> = run.waiting.iter().copied().filter(enough).collect();
            for entry in done {
                self.acked.insert(entry);
                self.ackers.insert((entry.term, id));
                if let Some(run) = &mut self.node_mut(id).run {
                    run.waiting.retain(|other| *other != entry);
                }
            }
        }
    }

    /// What the keeper of `id` is about to write is based on the record as it saw it.
    fn base(&mut self, id: NodeId) {
        let Keeper { pending, stale, seen, .. } = &self.node(id).keeper;
        let stale = *stale && self.flaw != Flaw::BlindWrite;
        let (Some(Action::Write { record, .. }), Some(now)) = (pending, &self.record) else { return };
        let same = record.current() == now.current();
        let based = if stale { seen.clone() } else { self.record.clone() };
        // Written as it is: what was sent before finds another revision.
        if !(same && stale) {
            self.node_mut(id).keeper.based = if same { None } else { based };
        }
    }

    /// Carries out what `id` has decided; `half`: a copy breaks off.
    fn act(&mut self, id: NodeId, half: bool) {
        self.base(id);
        let keeper = &mut self.node_mut(id).keeper;
        let (pending, stale) = (keeper.pending.take(), std::mem::take(&mut keeper.stale));
        let stale = stale && self.flaw != Flaw::BlindWrite;
        match pending {
            None => {}
            Some(action @ (Action::Write { .. } | Action::TakeOver { .. } | Action::Report { .. }))
                if !stale =>
            {
                self.store(id, action);
            }
            Some(action) => self.act_here(id, action, half),
        }
    }

    /// What the keeper of `id` wrote is in the store.
    fn store(&mut self, id: NodeId, action: Action) {
        match action {
            Action::Write { record, .. } | Action::TakeOver { record, .. } => {
                self.count(&record);
                let before = self.record.replace(*record);
                if before.as_ref().map(|record| record.term) != self.record.as_ref().map(|record| record.term)
                {
                    self.past = before;
                }
                self.written();
            }
            Action::Report { doc, .. } => {
                self.docs.insert(id, doc);
                let rests = |action: &Action| match action {
                    Action::Write { unchanged, .. } => unchanged.contains_key(&id),
                    _ => false,
                };
                for node in &mut self.nodes {
                    let Keeper { pending, stale, unfetched, flight, .. } = &mut node.keeper;
                    *unfetched = false;
                    *stale |= pending.as_ref().is_some_and(rests);
                    flight.iter_mut().for_each(|flight| flight.stale |= rests(&flight.action));
                }
                // Its own document is at another revision now.
                let Keeper { pending, stale, flight, .. } = &mut self.node_mut(id).keeper;
                *stale |= matches!(pending, Some(Action::Report { .. }));
                flight
                    .iter_mut()
                    .for_each(|flight| flight.stale |= matches!(flight.action, Action::Report { .. }));
            }
            _ => {}
        }
    }

    /// The record has changed: what was decided by the one before is stale.
    fn written(&mut self) {
        for node in &mut self.nodes {
            let Keeper { pending, stale, unfetched, flight, .. } = &mut node.keeper;
            *stale = pending.is_some();
            *unfetched = false;
            flight.iter_mut().for_each(|flight| flight.stale = true);
        }
    }

    /// Counts a failover that nobody asked for, by what happens and not by what the record says of it.
    fn count(&mut self, next: &Record) {
        let Some(record) = &self.record else { return };
        let asked = matches!(record.phase, Phase::Serving { handover: Some(_), .. });
        if next.term > record.term && !asked {
            self.unasked += 1;
        }
    }

    fn act_here(&mut self, id: NodeId, action: Action, half: bool) {
        let node = self.node_mut(id);
        match action {
            Action::Init => {
                node.disk.state = State::Whole;
                node.disk.timelines.push((1, 0));
                node.disk.files.insert(1, 0);
            }
            Action::Persist(durable) => {
                if durable.promised > node.durable.promised {
                    node.disk.upstream = None;
                }
                node.durable = durable;
            }
            Action::Start if node.disk.state == State::Whole => {
                node.disk.fresh = None;
                node.disk.open = false;
                node.disk.lent.clear();
                node.run.get_or_insert_with(Run::default);
            }
            Action::Point(upstream) => {
                node.disk.upstream = upstream;
                if upstream.is_some() {
                    self.drop_slots(id, 0);
                }
            }
            Action::SetSync(quorum) => {
                let before = node.disk.sync.replace(quorum);
                self.drop_slots(id, quorum.term);
                let node = self.node_mut(id);
                if let Some(run) = &mut node.run {
                    run.stale_sync.insert(before);
                    run.from = None;
                }
            }
            Action::ConfirmSync => {
                let end = node.disk.end();
                if let Some(run) = &mut node.run {
                    run.stale_sync.clear();
                    run.from = run.primary.then_some(end);
                }
            }
            Action::Promote => self.promote(id),
            Action::Open | Action::Close => {
                node.disk.open = action == Action::Open;
                if let (Some(run), Action::Close) = (&mut node.run, &action) {
                    run.waiting.clear();
                }
            }
            Action::Checkpoint => {
                if let Some(run) = &mut node.run {
                    run.checkpointed = true;
                }
            }
            Action::Fence => self.end(id),
            Action::Forget(durable) => {
                self.end(id);
                let node = self.node_mut(id);
                node.disk.forget();
                node.durable = durable;
            }
            Action::Fetch { node, term, upto } => self.fetch(id, node, (term, upto.lsn), half),
            Action::Clone(from) | Action::Rewind(from) | Action::Anew(from) => {
                self.remake(id, from, &action, half)
            }
            // A write that comes here is stale, so refused. The lease is a matter of time, of which there is none here.
            _ => {}
        }
    }

    /// The slots of `id` are of `term` from now on, and nobody is fed through older ones.
    fn drop_slots(&mut self, id: NodeId, term: Term) {
        let (before, ids) = (self.node(id).disk.slots, self.ids());
        let left =
            if self.flaw == Flaw::KeepSlots { ids.minus(self.node(id).plan.nodes) } else { Nodes::NONE };
        let disk = &mut self.node_mut(id).disk;
        disk.slots = term;
        if before != term && before != 0 {
            disk.lent.extend(left.iter().map(|other| (other, before)));
        }
        if term == 0 {
            self.cut_off_from(id, left);
        }
    }

    /// The data, or a witness's log, comes from another node; from one that is not there nothing does.
    fn remake(&mut self, id: NodeId, from: Upstream, action: &Action, half: bool) {
        let Some(source) = self.source(from).map(|node| node.disk.clone()) else { return };
        self.end(id);
        let disk = &mut self.node_mut(id).disk;
        match action {
            Action::Anew(_) if half => *disk = Disk::default(),
            _ if half => disk.state = State::Half,
            Action::Anew(_) => disk.begin(&source, from.term),
            Action::Clone(_) => disk.copy(&source, from.term),
            _ => disk.rewind(&source, from.term),
        }
    }

    /// A witness gives its log to those of its own term alone, while it is cut off, and what is no more there it cannot
    /// give.
    fn fetch(&mut self, id: NodeId, from: NodeId, (term, upto): (Term, Lsn), half: bool) {
        let witness = self.node(from).clone();
        self.end(id);
        let mut disk = self.node(id).disk.clone();
        let begins = witness.disk.from <= disk.end() || self.flaw == Flaw::FetchAnyhow;
        let still = witness.durable.promised == term && witness.disk.upstream.is_none();
        if !still || witness.disk.fresh.is_some() || witness.disk.state != State::Whole || !begins {
            self.node_mut(id).keeper.unfetched = true;
            return;
        }
        let upto = u16::try_from(upto.0).unwrap_or(u16::MAX);
        let upto = if half { upto.min(disk.end() + 1) } else { upto };
        self.fault = self.fault.or(disk.fetch(&witness.disk, upto));
        self.node_mut(id).disk = disk;
    }

    fn promote(&mut self, id: NodeId) {
        let reign = self.node(id).durable.reign;
        let number = self.next_number(reign);
        // There is nothing to promote.
        let witness = self.witnesses.has(id);
        let node = self.node_mut(id);
        let Some(run) = node.run.as_mut().filter(|run| !run.primary && !witness) else { return };
        run.primary = true;
        run.receiving = None;
        run.torn = None;
        node.disk.open = false;
        node.disk.promote(reign, number);
    }

    pub(super) fn end(&mut self, id: NodeId) {
        self.node_mut(id).run = None;
        self.gone(id);
    }
}
