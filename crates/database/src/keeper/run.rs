//! The loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::{Moment, NodeId, Nodes, Record, ReignPhase};
use store::Store;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use world::{Clock, Spawner, Stop, Tasks};

use super::carry::{self, Finished, Work};
use super::complaint::{Complaint, with_causes};
use super::disk::Disk;
use super::error::KeeperError;
use super::file::Own;
use super::lease::{self, Tenancy};
use super::local::Local;
use super::options::KeeperOptions;
use super::shared::{self, Keys, Shared};
use super::status::KeeperStatus;
use super::vigil::Vigil;
use super::warn::Warnings;
use super::watchdog::boot_time;
use super::witness;
use crate::decide_lease::Relief;
use crate::instance::{Running, Settings, StopHow};
use crate::peers::{self, PeerAddress, Peers, PeersOptions};
use crate::{Action, Alone, Judgement, SUSPECT_MS, Server, View, choose};

/// Time between two looks in calm, in milliseconds: a standby's lag and a primary's standbys are as old as this.
const CALM_MS: u64 = 100;
/// The same while there is no primary that serves: each look may be the one that is waited for.
const URGENT_MS: u64 = 10;
/// Rounds without a pause; more is a mistake of the rules and must not keep the processor.
const ROUNDS_MAX: u32 = 100;
/// What a keeper wrote must be seen before it decides again, but a store that fell silent is not waited for.
const SEEN_MS: u64 = 1_000;
/// After a failed action the next try waits this long, in milliseconds.
const FAILED_MS: u64 = 100;
/// The same after the store has failed, which took its own time already: the moment it has a leader again counts.
const STORE_FAILED_MS: u64 = 20;
/// A look at a standby that waits for its primary's end.
const OUTLAST_LOOK: Duration = Duration::from_millis(400);
/// Between two checkpoints of a standby, in milliseconds: the record it waits for may be on its way.
const SETTLE_MS: u64 = 1_000;
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(30);

/// A running keeper.
pub struct KeeperHandle {
    status: watch::Receiver<Arc<KeeperStatus>>,
    tasks: Tasks,
    done: mpsc::Receiver<()>,
    end: Arc<End>,
}

/// How a keeper is to end.
#[derive(Debug, Default)]
struct End {
    /// The server ends with it.
    orderly: AtomicBool,
    /// A standby's server ends after its primary's, but waits no longer than this.
    after_primary_ms: AtomicU64,
}

impl KeeperHandle {
    /// What it says of its node.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Arc<KeeperStatus>> {
        self.status.clone()
    }

    /// Ends the loop, then the server, in order. A keeper that is dropped instead leaves the server running, for the
    /// next keeper to take over.
    pub async fn stop(mut self) {
        self.end.orderly.store(true, Ordering::Relaxed);
        let waits_ms = self.end.after_primary_ms.load(Ordering::Relaxed);
        let grace_ms = 40_000 + waits_ms;
        let _ = self.tasks.shutdown(world::Limits { grace_ms, ..world::Limits::default() }).await;
        let _ = self.done.recv().await;
    }

    /// As [`KeeperHandle::stop`], where all nodes of the database end: a standby's server ends after its primary's, which
    /// so leaves nothing behind that no standby has, and starts again without being rewound. One whose primary goes on
    /// waits `within_ms`.
    pub async fn stop_after_primary(self, within_ms: u64) {
        self.end.after_primary_ms.store(within_ms, Ordering::Relaxed);
        self.stop().await;
    }
}

/// Starts the keeper of one node.
///
/// # Errors
/// [`KeeperError`] when its folder, file or PostgreSQL cannot be had.
pub fn start(options: KeeperOptions, store: Store, clock: Clock) -> Result<KeeperHandle, KeeperError> {
    let tasks = Tasks::new();
    let peers = peers::start(peers_of(&options)?, &tasks.spawner(), clock.clone())?;
    let keys = Keys::new(options.name());
    let alone = match options.database.database.when_alone {
        model::WhenAlone::Block => Alone::Block,
        model::WhenAlone::Degrade => Alone::Degrade,
    };
    let tenancy = Tenancy::new(options.database.mode, options.watchdog.clone());
    let vigil = Vigil::new(Disk::watch(&options.dir));
    let local = Local::open(options)?;
    local.serve_shelf(&tasks.spawner());
    let (instance, unit) = (local.instance.clone(), local.options.unit());
    // Aside: of a large database it takes minutes.
    tasks.spawn("replaced data", async move {
        if let Err(error) = instance.clear_replaced().await {
            tracing::warn!(node = %unit, error = &error as &dyn std::error::Error, "data that a copy has replaced stays");
        }
    });
    let (shared_out, shared) = watch::channel(Arc::new(Shared::default()));
    tasks.spawn(
        "record",
        shared::follow(store.clone(), keys.clone(), clock.clone(), shared_out, tasks.stop()),
    );
    let (status_out, status) = watch::channel(Arc::new(KeeperStatus::default()));
    let (finished_out, finished) = mpsc::channel(4);
    let (done_out, done) = mpsc::channel(1);
    let end = Arc::new(End::default());
    let keeper = Keeper {
        end: end.clone(),
        local,
        alone,
        tenancy,
        store,
        keys,
        clock,
        peers,
        shared,
        vigil,
        warnings: Warnings::default(),
        status: status_out,
        rule: String::new(),
        complaint: Complaint::default(),
        in_vain: None,
        finished_out,
        finished,
        spawner: tasks.spawner(),
        stop: tasks.stop(),
        checkpointing: false,
        sent: None,
        settled: None,
    };
    tasks.spawn("keeper", async move {
        keeper.run().await;
        drop(done_out);
    });
    Ok(KeeperHandle { status, tasks, done, end })
}

fn peers_of(options: &KeeperOptions) -> Result<PeersOptions, KeeperError> {
    let me = options.places.get(&options.node).ok_or(KeeperError::NoPlace(options.node))?;
    let others = options.places.iter().filter(|(node, _)| **node != options.node);
    let address = |place: &super::NodePlace| PeerAddress { keeper: place.keeper, server: place.server };
    Ok(PeersOptions {
        me: options.node,
        listen: me.keeper,
        others: others.map(|(node, place)| (*node, address(place))).collect(),
        key: options.peers_key.clone(),
    })
}

struct Keeper {
    end: Arc<End>,
    local: Local,
    alone: Alone,
    tenancy: Tenancy,
    store: Store,
    keys: Keys,
    clock: Clock,
    peers: Peers,
    shared: watch::Receiver<Arc<Shared>>,
    vigil: Vigil,
    warnings: Warnings,
    status: watch::Sender<Arc<KeeperStatus>>,
    rule: String,
    complaint: Complaint,
    /// What was last tried and has not come to anything: told of once.
    in_vain: Option<Action>,
    finished_out: mpsc::Sender<Finished>,
    finished: mpsc::Receiver<Finished>,
    spawner: Spawner,
    stop: Stop,
    checkpointing: bool,
    /// The record's revision on which the last write of another quorum was based; `None`: no record was seen yet. What a keeper
    /// before this one sent may still arrive.
    sent: Option<u64>,
    /// The last checkpoint as a standby.
    settled: Option<Moment>,
}

/// What a round came to.
enum Round {
    /// Something was done: look again at once.
    Acted,
    /// Nothing to do.
    Calm,
    /// It failed: look again in a moment.
    Failed,
    /// The store failed.
    StoreFailed,
}

impl Keeper {
    async fn run(mut self) {
        self.tenancy.adopt(&mut self.local).await;
        let mut rounds = 0;
        while !self.stop.is_requested() {
            let round = match self.next_round().await {
                Ok(round) => round,
                Err(error) => {
                    self.tell_failure(&error);
                    if matches!(error, KeeperError::Store(_)) { Round::StoreFailed } else { Round::Failed }
                }
            };
            rounds = if matches!(round, Round::Acted) { rounds + 1 } else { 0 };
            let wait_ms = match round {
                Round::Acted if rounds < ROUNDS_MAX => continue,
                Round::Acted | Round::Failed => FAILED_MS,
                Round::StoreFailed => STORE_FAILED_MS,
                Round::Calm if self.urgent() => URGENT_MS,
                Round::Calm => CALM_MS,
            };
            self.wait(wait_ms).await;
        }
        if self.end.orderly.load(Ordering::Relaxed) {
            self.finish_server().await;
        }
    }

    fn urgent(&self) -> bool {
        let shared = self.shared.borrow();
        let phase = shared.record.as_ref().map(|kept| kept.value.phase);
        !matches!(phase, None | Some(ReignPhase::Serving { handover: None, .. })) || shared.docs.len() < 2
    }

    /// Waits until something may have changed.
    async fn wait(&mut self, ms: u64) {
        let running = self.local.running.as_ref();
        let exited = async {
            match running {
                Some(running) => drop(running.exited().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.requested() => {}
            () = exited => {}
            finished = self.finished.recv() => {
                if let Some(finished) = finished {
                    self.finish(finished).await;
                }
            }
            changed = self.shared.changed() => {
                if changed.is_err() {
                    self.clock.sleep_ms(ms).await;
                }
            }
            () = self.peers.changed() => {}
            () = self.clock.sleep_ms(ms) => {}
        }
    }

    async fn finish(&mut self, finished: Finished) {
        info!(node = %self.local.options.unit(), work = finished.name, failed = ?finished.failed.as_ref().map(ToString::to_string), "work ended");
        if finished.name == "checkpoint" {
            self.checkpointing = false;
        } else {
            self.local.busy = None;
            self.local.forget_server();
            if finished.name == "fetch" {
                if finished.failed.is_some() {
                    self.local.fetch_failed();
                }
                // Until all is there the server goes on.
                self.local.running = self.local.instance.adopt();
            }
        }
        if let Some(term) = finished.fresh {
            self.local.joins_anew();
            let saved = self.save(|own| {
                (own.fresh, own.making) = (Some(term), false);
                own.set_upstream(None);
            });
            if let Err(error) = saved.await {
                self.tell_failure(&error);
            }
        }
        // Nothing was touched: the log is what it was.
        if finished.failed.is_some()
            && !finished.touched
            && let Err(error) = self.save(|own| own.making = false).await
        {
            self.tell_failure(&error);
        }
        match &finished.failed {
            Some(error) => {
                if finished.name == "copy" {
                    self.local.copy_failed(with_causes(error));
                }
                self.tell_failure(error);
            }
            None => self.complaint.past(),
        }
    }

    async fn save(&mut self, change: impl FnOnce(&mut Own)) -> Result<(), KeeperError> {
        self.vigil.attend((&self.clock, &self.peers), self.local.save(change)).await
    }

    fn tell_failure(&mut self, error: &KeeperError) {
        if self.complaint.tell(error) {
            warn!(node = %self.local.options.unit(), error = error as &dyn std::error::Error, "an effect failed; looking again");
        }
    }

    /// Before anything that may fail or wait: whoever ends what is left of a server may be waiting for the very disk.
    fn watch_disk(&mut self) {
        let shared = self.shared.borrow();
        let record = shared.record.as_ref().map(|kept| &kept.value);
        let own = record.filter(|record| record.primary() == Some(self.local.options.node));
        self.vigil.reigns = own.map(|record| record.term);
        drop(shared);
        if let Some(term) = self.vigil.look() {
            self.peers.say(Some(term));
        }
    }

    /// Nothing is looked at before what an earlier keeper has left of a node of the other kind is gone.
    async fn next_round(&mut self) -> Result<Round, KeeperError> {
        self.watch_disk();
        self.vigil.attend((&self.clock, &self.peers), self.local.turn()).await?;
        self.round().await
    }

    async fn round(&mut self) -> Result<Round, KeeperError> {
        while let Ok(finished) = self.finished.try_recv() {
            self.finish(finished).await;
        }
        let looked = boot_time();
        self.local.note_counts(self.shared.borrow().record.as_ref().map(|kept| &kept.value));
        let server = self.vigil.attend((&self.clock, &self.peers), self.local.look()).await?;
        let shared = self.shared.borrow_and_update().clone();
        let server = self.with_sent(server, shared.record.as_ref());
        let phase = shared.record.as_ref().map(|kept| kept.value.phase);
        let wins = phase == Some(ReignPhase::Promoting { primary: self.local.options.node });
        let unexpected = wins && !self.local.wins;
        self.local.wins = wins;
        if unexpected {
            // A winner's log is looked at more closely.
            return Ok(Round::Acted);
        }
        let view = View {
            me: self.local.options.node,
            nodes: self.local.options.places.keys().copied().collect::<Nodes>(),
            witnesses: self.local.options.witnesses(),
            from: self.local.begins(),
            alone: self.alone,
            mode: self.tenancy.mode(),
            unrest_max: self.local.options.unrest_max,
            record: shared.record.clone(),
            docs: shared.docs.clone(),
            durable: self.local.own.durable(),
            unfetched: self.local.is_unfetched(),
            stranded: self.local.is_stranded(shared.record.as_ref().map(|kept| kept.value.term)),
            server,
        };
        let now: Moment = self.clock.now();
        let seen: BTreeMap<NodeId, crate::Peer> = self.peers.seen();
        let mut judgement = self.vigil.memory.judge(&view, &seen, now);
        judgement.lease = self.tenancy.judge(&view, shared.lease, looked);
        if self.say(shared.record.as_ref().map(|kept| &kept.value), judgement.suspects) {
            self.publish(&view, &judgement, &shared);
            return Ok(Round::Calm);
        }
        // Before the first picture of the store nothing is known, not even that there is no record.
        let known = shared.revision > 0 && shared.unread.is_none();
        self.prepare_for_handover(&view)?;
        let relief = self.relieve(&view).await?.map(|action| ("relieve", action));
        let chosen = known.then(|| relief.or_else(|| choose(&view, &judgement))).flatten();
        self.publish(&view, &judgement, &shared);
        let Some((rule, action)) = chosen else {
            self.tidy_up(&view, &seen, now).await?;
            return Ok(Round::Calm);
        };
        if self.checkpointing && action == Action::Checkpoint {
            return Ok(Round::Calm);
        }
        // A renewal twice a second is no news, and the same tried again is none either.
        if !matches!(action, Action::Renew { .. }) && self.in_vain.as_ref() != Some(&action) {
            info!(node = %self.local.options.unit(), rule, ?action, "acts");
            rule.clone_into(&mut self.rule);
        }
        self.in_vain = Some(action.clone());
        self.act(action, looked).await
    }

    /// No rule has anything to do: what is in nobody's way now.
    async fn tidy_up(
        &mut self,
        view: &View,
        seen: &BTreeMap<NodeId, crate::Peer>,
        now: Moment,
    ) -> Result<(), KeeperError> {
        // Whatever is tried after this is news again, and what the store did not do need not be done any more.
        self.in_vain = None;
        self.complaint.store_answered();
        self.settle_log(view).await?;
        let recent = |peer: &crate::Peer| peer.heard.is_some_and(|at| now.ms_since(at) < SUSPECT_MS);
        let there = seen.iter().filter(|(_, peer)| recent(peer)).map(|(node, _)| *node).collect();
        self.local.mend_slots(there, view.durable.reign).await?;
        if matches!(view.record.as_ref().map(|kept| kept.value.phase), Some(ReignPhase::Serving { .. })) {
            self.local.drop_unused().await?;
        }
        Ok(())
    }

    /// Lets the watchdogs of lease mode go; `Some`: what must be done before. Them first: they are told of no renewal any more, and
    /// a disk may be slow. The file then, or the next keeper would end a server that nobody need watch.
    async fn relieve(&mut self, view: &View) -> Result<Option<Action>, KeeperError> {
        match self.tenancy.relieve(view, self.local.own.leased) {
            Relief::Stays => Ok(None),
            Relief::After(action) => Ok(Some(action)),
            Relief::Goes => {
                self.tenancy.let_go();
                self.save(|own| own.leased = false).await?;
                Ok(None)
            }
        }
    }

    /// Says to the others whether it takes the primary for dead; whether its own disk hangs. Whoever cannot write would stand
    /// still in the midst of an effect, with the whole process, and as a primary nothing will be committed by it: it says so,
    /// and the others need no silence to take it for dead.
    fn say(&mut self, record: Option<&Record>, suspects: bool) -> bool {
        let gives_up = self.vigil.look();
        self.local.hangs = self.vigil.hangs();
        let hangs = self.local.hangs.is_some();
        // A standby that cannot write tells no end either: an election must not be begun for its sake.
        self.peers.say(gives_up.or(record.map(|record| record.term).filter(|_| suspects && !hangs)));
        hangs
    }

    /// The heir of a wanted switch knows its term before it begins.
    fn prepare_for_handover(&mut self, view: &View) -> Result<(), KeeperError> {
        let heir = Some(self.local.options.node);
        match &view.record {
            Some(kept) if matches!(kept.value.phase, ReignPhase::Serving { handover, .. } if handover == heir) => {
                self.local.prepare_slots(kept.value.term + 1, &self.spawner)
            }
            _ => Ok(()),
        }
    }

    /// The server, with whether a record of another quorum than that of `record` may be written already.
    fn with_sent(&mut self, mut server: Server, record: Option<&crate::Kept<Record>>) -> Server {
        if let (Server::Primary { sync, .. }, Some(record)) = (&mut server, record) {
            sync.unsure = *self.sent.get_or_insert(record.revision) >= record.revision;
        }
        server
    }

    /// A standby makes a checkpoint once in each term, when its primary has. From its last one on it keeps the log, and
    /// its slots would begin there if it were the next primary: then that is what a rewind from it copies.
    async fn settle_log(&mut self, view: &View) -> Result<(), KeeperError> {
        let Server::Standby { upstream: Some(from), receiving: true, .. } = view.server else {
            return Ok(());
        };
        let source = view.docs.get(&from.node).map(|kept| kept.value).unwrap_or_default();
        let due = source.rewindable && source.primary_of == from.term && self.local.checkpoint_is_old();
        let early = self.settled.is_some_and(|at| self.clock.now().ms_since(at) < SETTLE_MS);
        if !due || early || self.checkpointing {
            return Ok(());
        }
        self.settled = Some(self.clock.now());
        self.begin(Work::Checkpoint).await
    }

    /// Carries out `action`, which was chosen on a look that began at `looked`.
    async fn act(&mut self, action: Action, looked: Moment) -> Result<Round, KeeperError> {
        let written = match &action {
            Action::Write { record, revision, unchanged } => {
                let now = self.shared.borrow().record.clone();
                if now.is_none_or(|now| now.value.current() != record.current()) {
                    self.sent = Some(*revision);
                }
                let write = shared::write(&self.store, &self.keys, record, *revision, unchanged);
                self.vigil.attend((&self.clock, &self.peers), write).await?
            }
            Action::TakeOver { record, revision, lease } => {
                let write = lease::take_over((&self.store, &self.keys), record, (*revision, *lease));
                self.vigil.attend((&self.clock, &self.peers), write).await?
            }
            Action::Renew { lease, record } => {
                let server = self.local.running.as_ref().map(Running::process);
                let renew = self.tenancy.renew((&self.store, &self.keys), (lease, *record), looked, server);
                if !self.vigil.attend((&self.clock, &self.peers), renew).await? {
                    self.wait(URGENT_MS).await;
                }
                self.complaint.store_answered();
                return Ok(Round::Acted);
            }
            Action::Report { doc, record, own } => {
                let node = self.local.options.node;
                let report = shared::report(&self.store, &self.keys, node, doc, (*record, *own));
                self.vigil.attend((&self.clock, &self.peers), report).await?
            }
            _ => {
                if action != Action::Fence {
                    self.vigil.may_write()?;
                }
                let promised = self.local.own.durable().promised;
                let work = self.vigil.attend((&self.clock, &self.peers), self.local.carry(&action)).await?;
                if let Action::Persist(durable) = &action
                    && durable.promised > promised
                {
                    self.local.prepare_slots(durable.promised, &self.spawner)?;
                }
                match work {
                    Some(work) => self.begin(work).await?,
                    // What had failed before is past.
                    None => self.complaint.past(),
                }
                self.in_vain = None;
                return Ok(Round::Acted);
            }
        };
        self.complaint.store_answered();
        match written {
            Some(revision) => {
                self.in_vain = None;
                // What was sent on an older record is dead, and a picture that is older than this does not show it.
                if matches!(action, Action::Write { .. }) {
                    self.sent = Some(revision.saturating_sub(1));
                }
                self.see(revision).await;
            }
            // Somebody was faster: what they wrote is about to come.
            None => self.wait(URGENT_MS).await,
        }
        Ok(Round::Acted)
    }

    /// Waits until the own write is in the copy.
    async fn see(&mut self, revision: u64) {
        let seen = self.shared.wait_for(|shared| shared.revision >= revision);
        let seen = tokio::time::timeout(Duration::from_millis(SEEN_MS), seen);
        let _ = self.vigil.attend((&self.clock, &self.peers), seen).await;
    }

    async fn begin(&mut self, work: Work) -> Result<(), KeeperError> {
        let from = match &work {
            Work::Clone { from } | Work::Rewind { from } => Some(*from),
            Work::Init | Work::Checkpoint | Work::Fetch { .. } => None,
        };
        let source = from.map(|from| self.local.source(from)).transpose()?;
        let name = work.name();
        // What may fail comes before anything counts as under way: nobody else ends it.
        if let Work::Init | Work::Clone { .. } = work {
            let role = crate::instance::Role::Standby { upstream: None };
            let acks = crate::instance::Acks::Never;
            let written = self.local.configure(Settings { role, acks, open: false });
            self.vigil.attend((&self.clock, &self.peers), written).await?;
        }
        if source.is_some() {
            self.save(|own| own.making = true).await?;
        }
        let running = match work {
            Work::Checkpoint => {
                self.checkpointing = true;
                None
            }
            _ => {
                self.local.busy = Some(name);
                self.local.running.take()
            }
        };
        let (instance, out) = (self.local.instance.clone(), self.finished_out.clone());
        let (store, keys, clock, stop) =
            (self.store.clone(), self.keys.clone(), self.clock.clone(), self.stop.clone());
        self.spawner.spawn(format!("database {name}"), async move {
            let mut finished = carry::work(&instance, work, source, running).await;
            carry::check_source(&mut finished, from, &store, &keys, &clock, &stop).await;
            // The loop that wants to know may have ended.
            let _ = out.send(finished).await;
        });
        Ok(())
    }

    fn publish(&mut self, view: &View, judgement: &Judgement, shared: &Shared) {
        let now = (self.clock.now(), self.clock.unix_ms());
        let warnings = self.warnings.look(view, judgement, &self.local.options, now);
        let mut next = KeeperStatus {
            record: shared.record.as_ref().map(|kept| kept.value.clone()),
            revision: shared.record.as_ref().map_or(0, |kept| kept.revision),
            rule: self.rule.clone(),
            detail: shared.unread.clone().unwrap_or_else(|| self.complaint.text().to_owned()),
            warnings,
            only_here_bytes: self.warnings.only_here(view),
            ..KeeperStatus::default()
        };
        self.local.tell(&view.server, &mut next);
        if let Some(record) = &view.record
            && record.value.term < view.durable.promised
        {
            next.detail = format!(
                "the store's record is of term {}, and this node has promised term {}: nothing is done by an older one",
                record.value.term, view.durable.promised
            );
        }
        if self.lost(view) {
            next.detail = "the store knows nothing of this data; nothing is done with it".to_owned();
        }
        self.status.send_if_modified(|last| {
            let newer = **last != next;
            *last = Arc::new(next);
            newer
        });
    }

    /// There is data of an earlier cluster, and a store without a record of it.
    fn lost(&self, view: &View) -> bool {
        let data = !matches!(view.server, Server::Empty);
        view.record.is_none() && data && view.durable.promised > 0
    }

    /// Waits until nothing is received any more. PostgreSQL ends the connection to a standby when that has all of what it
    /// has, the last record included (section 19.5 of version 15).
    async fn outlast_primary(&self, running: &Running) {
        let within = Duration::from_millis(self.end.after_primary_ms.load(Ordering::Relaxed));
        let deadline = tokio::time::Instant::now() + within;
        if self.local.witness.is_some() {
            return witness::outlast(running, deadline).await;
        }
        while tokio::time::Instant::now() < deadline {
            let seen = self.local.instance.observe(OUTLAST_LOOK).await;
            if !seen.is_ok_and(|seen| seen.in_recovery && seen.receiver.is_some()) {
                return;
            }
            self.clock.sleep_ms(URGENT_MS).await;
        }
    }

    /// An orderly end of the node.
    async fn finish_server(mut self) {
        let Some(running) = self.local.running.take() else { return };
        self.outlast_primary(&running).await;
        let stopped = running.stop(StopHow::Fast, STOP).await;
        if let Err(error) = stopped {
            warn!(node = %self.local.options.unit(), error = &error as &dyn std::error::Error, "PostgreSQL does not stop in order; ending it");
            let _ = self.local.instance.kill().await;
        }
        self.tenancy.end().await;
    }
}
