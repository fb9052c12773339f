//! Lease mode against time: two nodes whose clocks run at different speeds, whose keepers, servers and machines stand
//! still, whose answers come late. The rules, the memories and the servers are those of the product and of [`World`];
//! only here there is a clock, because only here something rests on one.
//!
//! In a third of the schedules the file is changed meanwhile, from a quorum to a lease or back: each keeper starts again at a
//! time of its own, and goes by the new mode from then on.
//!
//! What must hold at every moment, under [`Assumed`]: once a newer reign has served, nobody acknowledges in an older one;
//! what a takeover loses was acknowledged in the last [`LEASE_LOSS_MS`] before the old primary's end; everything else is in
//! every later primary. When faults stop, the database comes back by itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use world::Chance;

use super::disk::Entry;
use super::world::{Budget, Keeper, Move, World};
use crate::decide_lease::{Relief, relief};
use crate::{
    Action, Alone, Docs, Flaw, Kept, LEASE_FENCE_MS, LEASE_LOSS_MS, LEASE_STALL_MS, LeaseMemory, Memory,
    Peer, Server, View, choose_with,
};
use model::{Mode, Moment, NodeId, Record, Term};

/// One step of time, in milliseconds; the watchdog looks as often.
const STEP_MS: u64 = 25;
/// A keeper looks this often.
const LOOK_MS: u64 = 100;
/// How long things go wrong.
const DISASTERS_MS: u64 = 40_000;
/// How long a database may take to come back in peace.
const PEACE_MS: u64 = 60_000;
/// A primary takes a standby for streaming so long after it fell silent.
const SENDER_TIMEOUT_MS: u64 = 5_000;
/// A keeper ends a primary's server that has not answered for so long.
const NO_ANSWER_MS: u64 = 1_200;
/// What a keeper that has ended had sent arrives within this, if ever.
const STRAY_MS: u64 = 2_000;
/// How much of a schedule is told.
const TOLD: usize = 60;

/// What the argument takes for granted of machines.
#[derive(Clone, Copy, Debug)]
pub struct Assumed {
    /// A clock's speed is off by at most so many thousandths.
    pub drift_permille: u64,
    /// A machine as a whole, its watchdog with it, stands still for at most so long.
    pub machine_ms: u64,
}

/// As the page of decisions says.
pub const ASSUMED: Assumed = Assumed { drift_permille: 5, machine_ms: LEASE_STALL_MS };

/// What a schedule showed when nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseOutcome {
    /// Writes that were acknowledged.
    pub acked: usize,
    /// Of which were lost, as stated.
    pub lost: usize,
    /// How often a standby took over.
    pub take_overs: u32,
    /// The last term.
    pub term: Term,
}

/// What was wrong.
#[derive(Clone, Debug)]
pub struct LeaseFailure {
    /// The seed that shows it again.
    pub seed: u64,
    /// What does not hold.
    pub what: &'static str,
    /// The last of what happened.
    pub told: Vec<String>,
}

impl fmt::Display for LeaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lease, seed {}: {}", self.seed, self.what)?;
        self.told.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// An action under way, and what it was decided on.
struct Pending {
    action: Action,
    at: u64,
    answer_at: u64,
    sent: Moment,
    done: bool,
    lease: u64,
}

/// When a write was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    at: u64,
    by: NodeId,
    /// The same time without what the machine has stood still until then.
    lived: u64,
}

/// A node's clock, what it knows, and what holds it up.
struct Site {
    offset: u64,
    /// So many thousandths quicker or slower.
    drift: i64,
    keeper_until: u64,
    machine_until: u64,
    /// So long the machine has stood still in all.
    stood: u64,
    server_until: u64,
    server_since: u64,
    store_until: u64,
    stale_until: u64,
    slow_until: u64,
    next_look: u64,
    memory: Memory,
    lease: LeaseMemory,
    record: Option<Kept<Record>>,
    docs: Docs,
    lease_revision: u64,
    pending: Option<Pending>,
    /// What an earlier keeper has sent to the store, and is still on its way.
    stray: Option<Pending>,
    /// The record's revision on which this keeper's last write of another quorum was based; `None`: it has just started.
    sent: Option<u64>,
    /// As this keeper reads the file.
    mode: Mode,
    /// When it starts again with another.
    changes: Option<(u64, Mode)>,
    /// Until when the watchdog lets an open server live, by the node's own clock.
    watchdog: Option<Moment>,
    peer: Peer,
    says: Option<Term>,
    contact: u64,
}

struct Play {
    seed: u64,
    flaw: Flaw,
    assumed: Assumed,
    chance: Chance,
    world: World,
    /// How it ends up.
    last_mode: Mode,
    now: u64,
    revision: u64,
    record_revision: u64,
    doc_revisions: BTreeMap<NodeId, u64>,
    lease_revision: u64,
    sites: Vec<Site>,
    link_until: u64,
    acked_at: BTreeMap<Entry, Told>,
    lost: usize,
    take_overs: u32,
    writing: bool,
    told: VecDeque<String>,
}

/// Plays the schedule of `seed` under `assumed`.
///
/// # Errors
/// The first thing that does not hold.
pub fn lease(seed: u64, flaw: Flaw, assumed: Assumed) -> Result<LeaseOutcome, Box<LeaseFailure>> {
    let mut play = Play::new(seed, flaw, assumed);
    play.run(PEACE_MS, false)?;
    play.writing = true;
    play.change();
    play.run(DISASTERS_MS, true)?;
    play.heal();
    play.run(PEACE_MS, false)?;
    let term = play.world.record.as_ref().map_or(0, |record| record.term);
    Ok(LeaseOutcome { acked: play.acked_at.len(), lost: play.lost, take_overs: play.take_overs, term })
}

impl Play {
    fn new(seed: u64, flaw: Flaw, assumed: Assumed) -> Play {
        let mut chance = Chance::from_seed(seed);
        let budget = Budget { writes: u16::MAX, kills: u16::MAX, terms: u64::MAX, ..Budget::NOTHING };
        let mut world = World::new(2, Alone::Degrade, budget, flaw);
        let changes = [Flaw::None, Flaw::ExchangeUnseen].contains(&flaw) && chance.chance(0.3);
        let (first, last_mode) = match changes.then(|| chance.chance(0.5)) {
            None => (Mode::Lease, Mode::Lease),
            Some(true) => (Mode::Quorum, Mode::Lease),
            Some(false) => (Mode::Lease, Mode::Quorum),
        };
        world.unrest_max = u32::MAX;
        let site = |chance: &mut Chance| Site {
            offset: chance.below(1_000_000),
            drift: chance.below(2 * assumed.drift_permille + 1) as i64 - assumed.drift_permille as i64,
            keeper_until: 0,
            machine_until: 0,
            stood: 0,
            server_until: 0,
            server_since: 0,
            store_until: 0,
            stale_until: 0,
            slow_until: 0,
            next_look: chance.below(LOOK_MS),
            memory: Memory::default(),
            lease: LeaseMemory::default(),
            record: None,
            docs: Docs::new(),
            lease_revision: 0,
            pending: None,
            stray: None,
            sent: None,
            mode: first,
            changes: None,
            watchdog: None,
            peer: Peer::default(),
            says: None,
            contact: 0,
        };
        let sites = vec![site(&mut chance), site(&mut chance)];
        Play {
            seed,
            flaw,
            assumed,
            chance,
            world,
            last_mode,
            now: 0,
            revision: 1,
            record_revision: 0,
            doc_revisions: BTreeMap::new(),
            lease_revision: 0,
            sites,
            link_until: 0,
            acked_at: BTreeMap::new(),
            lost: 0,
            take_overs: 0,
            writing: false,
            told: VecDeque::new(),
        }
    }

    /// Draws when each keeper starts again with the file as it will be.
    fn change(&mut self) {
        for site in self.sites.iter_mut().filter(|site| site.mode != self.last_mode) {
            site.changes = Some((self.now + self.chance.below(DISASTERS_MS), self.last_mode));
        }
    }

    /// A keeper starts again if it is time to.
    fn start_again(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.world.node(id);
        // Without an answer awaited: nobody could tell of a primary that is open under a lease how long it has been.
        let unawaited = node.disk.sync.is_some_and(|quorum| quorum.need == 0);
        let leased = node.disk.open && unawaited && node.run.as_ref().is_some_and(|run| run.primary);
        let site = self.site(id);
        let Some((_, mode)) = site.changes.take_if(|(at, _)| now >= *at) else { return };
        self.let_stray(id);
        let site = self.site(id);
        (site.mode, site.sent) = (mode, None);
        (site.memory, site.lease, site.pending) = Default::default();
        let watched = site.watchdog.is_some();
        self.tell(format!("{id} starts again: {mode:?}"));
        if mode == Mode::Lease && leased && !watched {
            self.kill(id);
        }
    }

    /// A keeper ends with a write under way: it may arrive all the same.
    fn let_stray(&mut self, id: NodeId) {
        let at = self.now + self.chance.below(STRAY_MS);
        let site = self.site(id);
        let sent =
            site.pending.take().filter(|sent| !sent.done && matches!(sent.action, Action::Write { .. }));
        site.stray = sent.map(|sent| Pending { at, ..sent }).or(site.stray.take());
    }

    fn stray(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let now = self.now;
        match self.site(id).stray.take_if(|stray| now >= stray.at) {
            Some(stray) if self.holds(&stray) => {
                self.tell(format!("what an earlier keeper of {id} has sent arrives"));
                self.effect(id, &stray)
            }
            _ => Ok(()),
        }
    }

    /// The watchdog of an earlier keeper goes when nobody takes over by a lease any more; `Some`: what is written before.
    fn relieve(&mut self, id: NodeId, view: &View) -> Option<Action> {
        self.site(id).watchdog?;
        match relief(view) {
            Relief::Stays => None,
            Relief::After(action) => Some(action),
            Relief::Goes => {
                self.site(id).watchdog = None;
                None
            }
        }
    }

    fn site(&mut self, id: NodeId) -> &mut Site {
        &mut self.sites[usize::from(id.0) - 1]
    }

    fn other(id: NodeId) -> NodeId {
        NodeId(3 - id.0)
    }

    /// What the clock of `id` shows.
    fn clock(&self, id: NodeId) -> Moment {
        let site = &self.sites[usize::from(id.0) - 1];
        Moment(site.offset + self.now * (1_000_i64 + site.drift) as u64 / 1_000)
    }

    fn tell(&mut self, line: String) {
        self.told.push_back(format!("{} ms: {line}", self.now));
        if self.told.len() > TOLD {
            self.told.pop_front();
        }
    }

    fn fail(&self, what: &'static str) -> Box<LeaseFailure> {
        Box::new(LeaseFailure { seed: self.seed, what, told: self.told.iter().cloned().collect() })
    }

    /// Lets `ms` pass; in peace only until all is calm.
    fn run(&mut self, ms: u64, disasters: bool) -> Result<(), Box<LeaseFailure>> {
        let until = self.now + ms;
        while self.now < until {
            self.now += STEP_MS;
            if disasters && self.chance.chance(0.02) {
                self.disaster();
            }
            for id in [NodeId(1), NodeId(2)] {
                let (now, site) = (self.now, self.site(id));
                site.stood += if now < site.machine_until { STEP_MS } else { 0 };
                self.serve(id)?;
                self.stream(id)?;
                self.watchdog(id);
                self.stray(id)?;
                self.keeper(id)?;
            }
            if !disasters && self.world.is_calm() && self.is_whole() {
                return Ok(());
            }
        }
        if disasters { Ok(()) } else { Err(self.fail("the database does not come back")) }
    }

    /// The standby may stand in for the primary.
    fn is_whole(&self) -> bool {
        let quorum = self.world.record.as_ref().and_then(Record::current);
        quorum.is_some_and(|quorum| !quorum.members.is_empty())
    }

    fn heal(&mut self) {
        self.writing = false;
        self.link_until = 0;
        for site in &mut self.sites {
            (site.keeper_until, site.machine_until, site.server_until) = (0, 0, 0);
            (site.store_until, site.stale_until, site.slow_until) = (0, 0, 0);
            site.changes = site.changes.map(|(_, mode)| (0, mode));
        }
        self.tell("peace".to_owned());
    }

    fn disaster(&mut self) {
        let id = NodeId(1 + self.chance.below(2) as u8);
        let (short, long) =
            (self.now + 200 + self.chance.below(2_000), self.now + 500 + self.chance.below(15_000));
        let machine = self.now + self.chance.below(self.assumed.machine_ms + 1);
        let kind = self.chance.below(9);
        let site = self.site(id);
        match kind {
            0 => self.kill(id),
            1 => site.keeper_until = long,
            2 => site.machine_until = machine,
            3 => site.store_until = long,
            4 => site.stale_until = long,
            5 => site.slow_until = long,
            6 => self.link_until = long,
            7 => site.server_until = short,
            _ => {
                // The machine crashes: everything but its disk is gone for a while.
                self.let_stray(id);
                let site = self.site(id);
                (site.memory, site.lease, site.watchdog, site.pending) = Default::default();
                site.sent = None;
                site.keeper_until = long;
                self.kill(id);
            }
        }
        let what = ["kill", "keeper", "machine", "store", "stale", "slow", "link", "server", "crash"];
        self.tell(format!("{} of {id} until {short}, {long} or {machine}", what[kind as usize]));
    }

    fn kill(&mut self, id: NodeId) {
        if self.world.node(id).run.is_some() {
            self.world.apply(Move::Kill(id));
        }
    }

    fn is_linked(&self) -> bool {
        self.now >= self.link_until && self.sites.iter().all(|site| self.now >= site.machine_until)
    }

    fn server_stands(&self, id: NodeId) -> bool {
        let site = &self.sites[usize::from(id.0) - 1];
        self.now < site.server_until || self.now < site.machine_until
    }

    /// Clients write wherever they are let in, also the moment after a server wakes.
    fn serve(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let stands = self.server_stands(id);
        let now = self.now;
        let site = self.site(id);
        if !stands {
            site.server_since = now;
        }
        let node = self.world.node(id);
        let writes = node.disk.open && node.run.as_ref().is_some_and(|run| run.primary);
        if stands || !writes || !self.writing || !self.chance.chance(0.2) {
            return Ok(());
        }
        self.world.apply(Move::Write(id));
        self.check(id)
    }

    /// What was acknowledged just now, and all that must hold.
    fn check(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let served =
            |record: &Record| record.history.iter().filter(|reign| reign.served).map(|r| r.term).max();
        let newest = self.world.record.as_ref().and_then(served).unwrap_or(0);
        let fresh: Vec<Entry> =
            self.world.acked.iter().filter(|entry| !self.acked_at.contains_key(entry)).copied().collect();
        for entry in fresh {
            let lived = self.now - self.site(id).stood;
            self.acked_at.insert(entry, Told { at: self.now, by: id, lived });
            if entry.term < newest {
                self.tell(format!("{id} acknowledges {entry:?}"));
                return Err(self.fail("an old primary acknowledged after a newer one had served"));
            }
        }
        self.world.broken().map_or(Ok(()), |what| Err(self.fail(what)))
    }

    /// A receiver takes what there is.
    fn stream(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let other = Play::other(id);
        let ends = |run: &super::Run, world: &World| {
            run.receiving.is_some() && run.receiving != world.node(id).disk.upstream
        };
        if self.world.node(id).run.as_ref().is_some_and(|run| ends(run, &self.world))
            && !self.server_stands(id)
        {
            self.world.apply(Move::Quit(id));
        }
        if !self.is_linked() || self.server_stands(id) || self.server_stands(other) {
            return Ok(());
        }
        for _ in 0..4 {
            if !self.world.feeds(id) {
                break;
            }
            self.world.apply(Move::Feed(id));
            self.world.apply(Move::Hear(other, id));
        }
        if self.world.node(id).run.as_ref().is_some_and(|run| run.receiving.is_some()) {
            let now = self.now;
            self.site(id).contact = now;
        }
        self.check(id)
    }

    /// A process of its own: what it needs to know was given to it before. It ends a primary whose time is over whether or
    /// not clients may come in: a keeper that wakes may be about to let them in.
    fn watchdog(&mut self, id: NodeId) {
        let primary = self.world.node(id).run.as_ref().is_some_and(|run| run.primary);
        let (now, clock, flaw) = (self.now, self.clock(id), self.flaw);
        let site = self.site(id);
        if !primary {
            site.watchdog = None;
        } else if site.watchdog.is_some_and(|until| clock >= until)
            && now >= site.machine_until
            && flaw != Flaw::LeaseUnwatched
        {
            self.tell(format!("the watchdog ends the server of {id}"));
            self.kill(id);
        }
    }

    fn keeper(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let (now, linked) = (self.now, self.is_linked());
        let clock = self.clock(id);
        let other = Play::other(id);
        let theirs = &self.sites[usize::from(other.0) - 1];
        let (awake, says) = (now >= theirs.keeper_until, theirs.says);
        let their_server = self.world.node(other).run.is_some() && !self.server_stands(other);
        let site = self.site(id);
        if now < site.keeper_until || now < site.machine_until {
            return Ok(());
        }
        if linked && awake {
            (site.peer.heard, site.peer.suspects) = (Some(clock), says);
        }
        if linked && their_server {
            site.peer.server_heard = Some(clock);
        }
        if site.changes.is_some() {
            self.start_again(id);
        }
        let site = self.site(id);
        if site.pending.is_some() {
            return self.carry(id);
        }
        if now >= site.next_look {
            site.next_look = now + LOOK_MS;
            self.look(id);
        }
        Ok(())
    }

    fn view(&mut self, id: NodeId) -> View {
        let (now, revision) = (self.now, self.record_revision);
        let mut view = self.world.view_of(id);
        let record = self.world.record.clone().map(|value| Kept { value, revision });
        let docs = self.world.docs.iter().map(|(node, doc)| {
            (*node, Kept { value: *doc, revision: self.doc_revisions.get(node).copied().unwrap_or(0) })
        });
        let docs: Docs = docs.collect();
        let lease = self.lease_revision;
        let contact = self.sites[usize::from(Play::other(id).0) - 1].contact;
        let stands = self.server_stands(id);
        let site = self.site(id);
        view.mode = site.mode;
        if now >= site.store_until && now >= site.stale_until {
            (site.record, site.docs, site.lease_revision) = (record, docs, lease);
        }
        (view.record, view.docs) = (site.record.clone(), site.docs.clone());
        if let (Server::Primary { sync, .. }, Some(record)) = (&mut view.server, &view.record) {
            sync.unsure = *site.sent.get_or_insert(record.revision) >= record.revision;
        }
        if let Server::Primary { senders, .. } = &mut view.server
            && now > contact + SENDER_TIMEOUT_MS
        {
            senders.clear();
        }
        if stands && self.world.node(id).run.is_some() {
            view.server = Server::Busy;
        }
        view
    }

    fn look(&mut self, id: NodeId) {
        let (now, clock) = (self.now, self.clock(id));
        let stood = now.saturating_sub(self.site(id).server_since) >= NO_ANSWER_MS;
        if stood && self.world.node(id).run.as_ref().is_some_and(|run| run.primary) {
            self.tell(format!("{id} ends its server, which does not answer"));
            self.kill(id);
            self.site(id).server_until = now;
        }
        let view = self.view(id);
        let relief = (view.mode == Mode::Quorum).then(|| self.relieve(id, &view)).flatten();
        let flaw = self.flaw;
        let (one, two) = (5 + self.chance.below(30), 5 + self.chance.below(30));
        // Half of them come just before the time is over: that shows a lease which is counted from its answer.
        let late = match self.chance.chance(0.5) {
            true => LEASE_FENCE_MS - 1_000 + self.chance.below(800),
            false => self.chance.below(6_000),
        };
        let other = Play::other(id);
        let site = self.site(id);
        if site.record.is_none() && now < site.store_until.max(site.stale_until) {
            return;
        }
        let peers = BTreeMap::from([(other, site.peer)]);
        let mut judgement = site.memory.judge(&view, &peers, clock);
        if view.mode == Mode::Lease {
            judgement.lease = site.lease.judge(&view, site.lease_revision, clock, flaw);
        }
        let term = view.record.as_ref().map(|kept| kept.value.term);
        site.says = term.filter(|_| judgement.suspects);
        let relief = relief.map(|action| ("relieve", action));
        let Some((rule, action)) = relief.or_else(|| choose_with(&view, &judgement, flaw)) else { return };
        if let Action::Renew { .. } = action {
            site.lease.asks(clock);
        }
        if let (Action::Write { record, revision, .. }, Some(now)) = (&action, &view.record)
            && record.current() != now.value.current()
        {
            self.site(id).sent = Some(*revision);
        }
        let site = self.site(id);
        let at = now + one;
        let answer_at = at + two + if now < site.slow_until { late } else { 0 };
        let lease = site.lease_revision;
        if rule != "renew" {
            let term = term.unwrap_or(0);
            self.tell(format!("{id} in term {term}: {rule}"));
        }
        self.site(id).pending = Some(Pending { action, at, answer_at, sent: clock, done: false, lease });
    }

    /// Whether a write to the store finds what it compares with.
    fn holds(&self, pending: &Pending) -> bool {
        match &pending.action {
            Action::Write { revision, unchanged, .. } => {
                let known = |node: &NodeId| self.doc_revisions.get(node).copied().unwrap_or(0);
                *revision == self.record_revision
                    && unchanged.iter().all(|(node, revision)| known(node) == *revision)
            }
            Action::TakeOver { revision, lease, .. } => {
                let blind = self.flaw == Flaw::TakeOverBlind;
                *revision == self.record_revision && (blind || *lease == self.lease_revision)
            }
            Action::Report { record, .. } => *record == self.record_revision,
            Action::Renew { record, .. } => *record == self.record_revision,
            _ => true,
        }
    }

    fn carry(&mut self, id: NodeId) -> Result<(), Box<LeaseFailure>> {
        let (now, clock) = (self.now, self.clock(id));
        let cut = now < self.site(id).store_until;
        let Some(mut pending) = self.site(id).pending.take() else { return Ok(()) };
        if !pending.done && now >= pending.at {
            pending.done = true;
            let to_store = matches!(
                pending.action,
                Action::Write { .. } | Action::TakeOver { .. } | Action::Report { .. } | Action::Renew { .. }
            );
            let copies = matches!(pending.action, Action::Clone(_) | Action::Rewind(_));
            let runs = matches!(pending.action, Action::Persist(_) | Action::Fence | Action::Init);
            let fails = (to_store && (cut || !self.holds(&pending)))
                || (copies && !self.is_linked())
                || (!to_store && !runs && self.server_stands(id));
            if fails {
                return Ok(());
            }
            self.effect(id, &pending)?;
        }
        if let (true, Action::Renew { lease, .. }) = (pending.done, &pending.action) {
            if now < pending.answer_at {
                self.site(id).pending = Some(pending);
                return Ok(());
            }
            let sent = if self.flaw == Flaw::LeaseFromAnswer { clock } else { pending.sent };
            let term = lease.term;
            let site = self.site(id);
            site.watchdog = Some(site.lease.has(term, sent));
            return Ok(());
        }
        if !pending.done {
            self.site(id).pending = Some(pending);
        }
        Ok(())
    }

    fn effect(&mut self, id: NodeId, pending: &Pending) -> Result<(), Box<LeaseFailure>> {
        if let Action::Renew { .. } = &pending.action {
            self.revision += 1;
            self.lease_revision = self.revision;
            return Ok(());
        }
        let take_over = matches!(pending.action, Action::TakeOver { .. });
        if take_over {
            self.take_over(id, pending.lease)?;
        }
        let action = Some(pending.action.clone());
        self.world.node_mut(id).keeper = Keeper { pending: action, ..Keeper::default() };
        self.world.apply(Move::Do(id));
        self.revision += 1;
        match pending.action {
            Action::Write { .. } | Action::TakeOver { .. } => self.record_revision = self.revision,
            Action::Report { .. } => drop(self.doc_revisions.insert(id, self.revision)),
            _ => {}
        }
        self.check(id)
    }

    /// What the old primary alone has may be lost from here on, if it is as little as is stated.
    fn take_over(&mut self, id: NodeId, lease: u64) -> Result<(), Box<LeaseFailure>> {
        self.take_overs += 1;
        let log = &self.world.node(id).disk.log;
        let missing: Vec<Entry> =
            self.world.acked.iter().filter(|entry| !log.contains(entry)).copied().collect();
        let last = self.acked_at.values().max().copied();
        let count = missing.len();
        self.tell(format!("{id} takes over from lease {lease}; {count} acknowledged writes may be lost"));
        for entry in missing {
            // While the machine of the one that acknowledged stood still, nobody else acknowledged anything.
            let age =
                last.zip(self.acked_at.get(&entry)).map_or(0, |(last, told)| match last.by == told.by {
                    true => last.lived.saturating_sub(told.lived) + LEASE_STALL_MS,
                    false => last.at.saturating_sub(told.at),
                });
            if age > LEASE_LOSS_MS {
                return Err(self.fail("a write is lost that is older than the loss that is stated"));
            }
            self.world.acked.remove(&entry);
            self.lost += 1;
        }
        Ok(())
    }
}
