//! The local server as the rules see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Lsn, Mode, NODES_MAX, NodeId, Quorum, Term};
use tokio::time::Instant;

use super::error::KeeperError;
use super::file::{KeeperFile, Own};
use super::note::{self, Note};
use super::options::{KeeperOptions, NodePlace, node_of};
use super::replies::Replies;
use super::slots::Prepared;
use super::status::{KeeperStatus, ServerState, Standing};
use super::witness::Witness;
use crate::instance::{
    self, Acks, Instance, InstanceError, Observation, Options, Role, Running, Settings, SlotName,
    StandbyName, Tuning, aside, find_bin,
};
use crate::{Sender, Server, Sync, Upstream};

/// A look that takes longer has failed.
const LOOK: Duration = Duration::from_millis(400);
/// The look after one that failed. It asks over the connection of that one and over a new one, for which a server that has
/// just woken on a busy machine needs more than [`LOOK`] to start a process: three looks of 0.4 s ended a primary that had
/// paused for 0.44 s (soak `--calm`, minute 53).
const LOOK_AGAIN: Duration = Duration::from_millis(800);
/// A primary that has answered before and has not for so long, in two looks or more, is ended.
const SILENT: Duration = Duration::from_millis(1_200);
/// See [`SILENT`].
const LOOKS_MAX: u32 = 2;
/// After a start that came to nothing.
const START_AGAIN: Duration = Duration::from_secs(1);
/// After a copy that came to nothing.
const COPY_AGAIN: Duration = Duration::from_secs(1);
/// A server that does not answer and follows nobody is asked so often whether it lacks log that nobody gives it, and one whose
/// replay is paused whether it lacks settings.
const LACKS: Duration = Duration::from_secs(1);
/// A quorum is confirmed over a new connection.
const CONFIRM: Duration = Duration::from_millis(1_000);
/// Looks whether the postmaster, which was told to a moment ago, has read its settings.
const READ_LOOKS: u32 = 10;
/// Looks whether connections that were told to end have done so, and the pause between two.
const RENEW_LOOKS: u32 = 50;
/// See [`RENEW_LOOKS`].
const RENEW_PAUSE: Duration = Duration::from_millis(5);
/// A session reads new settings a moment after the postmaster has. What is still otherwise then, somebody else has set.
const READ_WITHIN: Duration = Duration::from_millis(300);

/// The node's server, its settings and the keeper's file.
pub(super) struct Local {
    pub options: KeeperOptions,
    pub instance: Arc<Instance>,
    pub own: Own,
    pub file: KeeperFile,
    pub running: Option<Running>,
    /// Nothing is left of the server that ran last, its sessions included.
    pub swept: bool,
    /// Long work is under way.
    pub busy: Option<&'static str>,
    /// The quorum of the settings is in force; what came before it may be until then.
    pub in_force: bool,
    /// What a primary had on its disk when that was first seen.
    in_force_from: Option<Lsn>,
    /// The settings on the disk, or those that the server has loaded, may not be what `own` says.
    unapplied: bool,
    /// What the server had received when it was last told of its upstream; `None`: not known.
    joined_at: Option<Option<Lsn>>,
    /// The record says that this node is about to be promoted.
    pub wins: bool,
    /// Looks in a row that failed, of a server that has answered since its start.
    failed_looks: u32,
    /// When the first of these began.
    silent_since: Instant,
    answered: bool,
    pub last: Option<Observation>,
    fork: Option<(u32, model::Lsn)>,
    /// The last start came to nothing, for this reason; the next one waits.
    pub not_before: Option<(Instant, String)>,
    /// The last copy came to nothing, for this reason; the next one waits.
    no_copy_before: Option<(Instant, String)>,
    /// After a copy from a witness that came to nothing.
    no_fetch_before: Option<Instant>,
    /// The slots of a reign that may be won.
    pub prepared: Option<Prepared>,
    /// Since when nobody uses a slot.
    pub slots_away: BTreeMap<String, Instant>,
    replies: Replies,
    /// For how long the disk has taken nothing, when it hangs.
    pub hangs: Option<Duration>,
    /// The log of that timeline, up to there, hides nothing.
    looked_through: Option<(u32, Option<Lsn>)>,
    /// The last time that a server which does not answer was asked whether it lacks log.
    asked_for_log: Option<Instant>,
    /// The last time that a server whose replay is paused was asked whether it lacks settings.
    asked_for_settings: Option<Instant>,
    /// Since when the server awaits others than those that were confirmed.
    awaits_others: Option<Instant>,
    /// Nothing is received from the primary of this term, since when.
    pub unfed: Option<(Term, Instant)>,
    /// The primary of this term has no longer the log that is needed next.
    pub stranded: Option<Term>,
    /// The record counts on the log that is here.
    pub counts: bool,
    /// Of a witness, in place of a server.
    pub witness: Option<Witness>,
}

impl Local {
    /// Takes the node's folder; a server that still runs is taken over.
    pub fn open(options: KeeperOptions) -> Result<Local, KeeperError> {
        let place = options.places.get(&options.node).ok_or(KeeperError::NoPlace(options.node))?;
        let mut instance = Instance::open(Options {
            node: place.unit.clone(),
            bin: find_bin(u32::from(options.database.database.postgres))?,
            dir: options.dir.clone(),
            listen: place.server,
            user: options.user,
            tls: options.tls.clone(),
            application: options.application.clone(),
            secrets: options.secrets.clone(),
            tuning: Tuning::default(),
        })?;
        if let Some(total) = instance.total_bytes() {
            instance.set_tuning(Tuning::for_disk(total));
        }
        let file = KeeperFile::new(&options.dir);
        let mut own = file.load(instance.was_started()).map_err(|cause| KeeperError::File {
            what: "read",
            path: file.path().to_path_buf(),
            cause,
        })?;
        let is_witness = options.is_witness();
        if !own.is_other(is_witness) {
            own.become_kind(is_witness);
        }
        let running = if is_witness { instance.adopt_receiver() } else { instance.adopt() };
        let goes_on = running.is_some() && own.upstream().is_some();
        Ok(Local {
            instance: Arc::new(instance),
            answered: running.is_some(),
            running,
            swept: false,
            options,
            own,
            file,
            busy: None,
            in_force: false,
            in_force_from: None,
            // A keeper that crashed may have saved its file and not yet written the settings.
            unapplied: true,
            joined_at: None,
            wins: false,
            failed_looks: 0,
            silent_since: Instant::now(),
            last: None,
            fork: None,
            not_before: None,
            no_copy_before: None,
            no_fetch_before: None,
            prepared: None,
            slots_away: BTreeMap::new(),
            replies: Replies::default(),
            hangs: None,
            looked_through: None,
            asked_for_log: None,
            asked_for_settings: None,
            awaits_others: None,
            unfed: None,
            stranded: None,
            counts: false,
            witness: is_witness.then(|| Witness::new(goes_on)),
        })
    }

    /// Changes the keeper's file; the change is on the disk when this returns. A disk that hangs holds up nobody else.
    pub async fn save(&mut self, change: impl FnOnce(&mut Own)) -> Result<(), KeeperError> {
        let mut next = self.own.clone();
        change(&mut next);
        if next != self.own {
            let (file, own, instance) = (self.file.clone(), next.clone(), self.instance.clone());
            // With the folder's lock: should this keeper be let go meanwhile, the next one does not read what is about to
            // change, nor is what it writes overwritten.
            let saved = aside(move || {
                let saved = file.save(&own);
                drop(instance);
                saved
            });
            saved.await.map_err(|cause| self.unsaved(cause))?;
            self.own = next;
        }
        Ok(())
    }

    /// Writes settings, as [`Instance::configure`].
    pub async fn configure(&self, settings: Settings) -> Result<(), InstanceError> {
        let instance = self.instance.clone();
        aside(move || instance.configure(&settings)).await.map(drop)
    }

    /// The place of another node.
    pub fn place(&self, node: NodeId) -> Result<&NodePlace, KeeperError> {
        self.options.places.get(&node).ok_or(KeeperError::NoPlace(node))
    }

    /// What a node is called. One that has left the plan has a name, too: quorums and slots of before tell of it.
    fn unit(&self, node: NodeId) -> Result<String, KeeperError> {
        if let Some(place) = self.options.places.get(&node) {
            return Ok(place.unit.to_string());
        }
        let own = self.place(self.options.node)?.unit.as_str();
        let database = own.rsplit_once('-').map_or(own, |(database, _)| database);
        Ok(format!("{database}-{node}"))
    }

    /// As whom this node streams in `term`.
    pub fn standby_name(&self, node: NodeId, term: Term) -> Result<StandbyName, KeeperError> {
        let name = format!("{}-t{term}", self.unit(node)?);
        StandbyName::new(&name).map_err(|_| KeeperError::Name(name))
    }

    /// The slot of `node` at the primary of `term`.
    pub fn slot_name(&self, node: NodeId, term: Term) -> Result<SlotName, KeeperError> {
        let name = format!("{}-t{term}", self.unit(node)?).replace('-', "_");
        SlotName::new(&name).map_err(|_| KeeperError::Name(name))
    }

    /// How this node reaches `upstream`.
    pub fn source(&self, upstream: Upstream) -> Result<instance::Upstream, KeeperError> {
        Ok(instance::Upstream {
            address: self.place(upstream.node)?.server,
            name: self.standby_name(self.options.node, upstream.term)?,
            slot: Some(self.slot_name(self.options.node, upstream.term)?),
        })
    }

    /// PostgreSQL's words for `quorum`.
    pub fn acks(&self, quorum: Option<&Quorum>) -> Result<Acks, KeeperError> {
        let Some(quorum) = quorum else { return Ok(Acks::Never) };
        if quorum.need == 0 {
            return Ok(Acks::NotAwaited);
        }
        let names: Result<_, _> =
            quorum.members.iter().map(|node| self.standby_name(node, quorum.term)).collect();
        Ok(Acks::AnyOf { need: quorum.need, names: names? })
    }

    /// Writes the settings that the keeper's file stands for, and has a running server load them. When it fails, nothing
    /// is decided before it has been done: the file says what must be so, not that it is.
    pub async fn apply(&mut self) -> Result<(), KeeperError> {
        self.save_and_apply(|_| ()).await
    }

    /// [`Local::save`], then [`Local::apply`]. In one piece of work: a failover waits for four of these, and each time that it
    /// waits for a thread it waits for a processor too.
    pub async fn save_and_apply(&mut self, change: impl FnOnce(&mut Own)) -> Result<(), KeeperError> {
        let mut next = self.own.clone();
        change(&mut next);
        self.unapplied = true;
        let settings = self.settings(&next)?;
        let (file, instance) = (self.file.clone(), self.instance.clone());
        let own = (next != self.own).then(|| next.clone());
        let (saved, applied) = aside(move || {
            if let Some(Err(error)) = own.map(|own| file.save(&own)) {
                return (Err(error), Ok(()));
            }
            (Ok(()), instance.configure(&settings).map(drop))
        })
        .await;
        saved.map_err(|cause| self.unsaved(cause))?;
        self.own = next;
        applied?;
        if let Some(running) = &self.running {
            running.reload();
        }
        self.unapplied = false;
        Ok(())
    }

    fn unsaved(&self, cause: std::io::Error) -> KeeperError {
        KeeperError::File { what: "written", path: self.file.path().to_path_buf(), cause }
    }

    /// What `own` stands for.
    fn settings(&self, own: &Own) -> Result<Settings, KeeperError> {
        // One that has left the plan feeds nobody: there is no way to it.
        let upstream = own.upstream().filter(|upstream| self.options.places.contains_key(&upstream.node));
        let upstream = upstream.map(|upstream| self.source(upstream)).transpose()?;
        let writes = self.last.as_ref().is_some_and(|seen| !seen.in_recovery);
        let role = match writes && self.running.is_some() {
            true => Role::Primary,
            false => Role::Standby { upstream },
        };
        Ok(Settings { role, acks: self.acks(own.quorum.as_ref())?, open: own.open })
    }

    /// A quorum is given to the server: not in force before it is confirmed. What may be in force until then is kept on
    /// the disk, because the next keeper has to know it too.
    pub async fn give(&mut self, quorum: Quorum) -> Result<(), KeeperError> {
        (self.in_force, self.in_force_from) = (false, None);
        let by_lease = self.options.database.mode == Mode::Lease;
        self.save_and_apply(|own| {
            own.leased = quorum.need == 0 && (by_lease || own.leased);
            let before = own.quorum.replace(quorum);
            own.replaced.extend(before.map(|before| before.need));
        })
        .await
    }

    /// Makes sure that every process goes by the quorum in the settings; walsenders that may not are ended.
    pub async fn confirm_sync(&mut self) -> Result<(), KeeperError> {
        let wanted = self.acks(self.own.quorum.as_ref())?;
        let mut check = self.instance.confirm_sync(&wanted, CONFIRM).await?;
        for _ in 0..READ_LOOKS {
            if check.in_force {
                break;
            }
            tokio::time::sleep(RENEW_PAUSE).await;
            check = self.instance.confirm_sync(&wanted, CONFIRM).await?;
        }
        if !check.in_force {
            // A reload that was lost with an earlier keeper is never seen otherwise.
            self.apply().await?;
            return Err(KeeperError::NotNow("PostgreSQL has not read its settings yet".to_owned()));
        }
        let now = self.own.quorum.map(|quorum| quorum.need);
        let same_need = self.own.replaced.iter().all(|need| Some(*need) == now);
        if !check.strangers.is_empty() || !same_need {
            self.renew_walsenders().await?;
        }
        if !check.strangers.is_empty() {
            return Err(KeeperError::NotNow(format!("{} may still acknowledge", check.strangers.join(", "))));
        }
        if self.own.replaced.contains(&0) && now != Some(0) {
            // Whether commits wait at all is told to backends by the checkpointer, which reads its settings before a
            // checkpoint; the second one begins after the first has ended.
            for _ in 0..2 {
                self.instance.checkpoint(Duration::from_secs(60)).await?;
            }
        }
        self.save(|own| own.replaced.clear()).await?;
        self.in_force = true;
        Ok(())
    }

    /// Ends those that stream and returns when all of them are gone: one that was signalled may yet let a commit go by
    /// what it had read before. They come back within 0.1 s and know the new settings from their start.
    async fn renew_walsenders(&self) -> Result<(), KeeperError> {
        let mut names = Vec::new();
        // Nodes that have left the plan may be streaming, too.
        for node in (1..=NODES_MAX).map(NodeId).filter(|node| *node != self.options.node) {
            names.extend(self.own.quorum.map(|quorum| self.standby_name(node, quorum.term)).transpose()?);
        }
        // Not those of a copy under way: they acknowledge nothing, and may go on for hours.
        let counts = |name: &str| names.iter().any(|known| known.as_str() == name);
        let running = |seen: Observation| -> BTreeSet<(u32, u64)> {
            let counting = seen.senders.iter().filter(|sender| counts(&sender.name));
            counting.map(|sender| (sender.pid, sender.since_unix_ms)).collect()
        };
        let old = running(self.instance.observe(CONFIRM).await?);
        self.instance.terminate_walsenders(&names, CONFIRM).await?;
        for _ in 0..RENEW_LOOKS {
            if running(self.instance.observe(CONFIRM).await?).is_disjoint(&old) {
                return Ok(());
            }
            tokio::time::sleep(RENEW_PAUSE).await;
        }
        Err(KeeperError::NotNow("a connection to a standby does not end".to_owned()))
    }

    /// The server now.
    pub async fn look(&mut self) -> Result<Server, KeeperError> {
        if self.busy.is_some() {
            return Ok(Server::Busy);
        }
        if let Some(witness) = self.witness.take() {
            let (witness, looked) = self.look_at_shelf(witness).await;
            self.witness = Some(witness);
            return looked;
        }
        // A copy that had ended when the keeper crashed is nobody's log before the keeper's file says whose.
        if self.own.making || self.instance.half()?.is_some() {
            return Ok(Server::Half);
        }
        if !self.instance.data().join("PG_VERSION").exists() {
            return Ok(Server::Empty);
        }
        if self.running.as_ref().is_none_or(|running| !running.alive()) {
            self.bury().await;
            // Sessions outlive a first process that was killed, until their statement ends, and commit where nobody is
            // awaited.
            if !self.swept {
                self.instance.kill().await?;
                self.swept = true;
            }
            return Ok(Server::Stopped { upstream: self.own.upstream(), fresh: self.own.fresh });
        }
        if self.unapplied {
            self.apply().await?;
        }
        let within = if self.failed_looks == 0 { LOOK } else { LOOK_AGAIN };
        let began = Instant::now();
        match self.instance.observe(within).await {
            Ok(seen) => {
                (self.failed_looks, self.answered) = (0, true);
                self.cut(&seen);
                if let Some(why) = self.must_start_again(&seen).await? {
                    tracing::info!(node = %self.options.unit(), why, "starting again");
                    self.end().await?;
                    return Ok(Server::Stopped { upstream: self.own.upstream(), fresh: self.own.fresh });
                }
                self.replies.look(&seen.senders, Instant::now());
                self.watch_awaited(&seen).await?;
                let server = self.server_of(&seen)?;
                self.watch_slots(&seen);
                let streams = seen.receiver.as_ref().is_some_and(|receiver| receiver.status == "streaming");
                self.watch_stranding(!seen.in_recovery || streams);
                self.last = Some(seen);
                Ok(server)
            }
            Err(error) => self.no_answer(error, began).await,
        }
    }

    /// Why a standby has to start again, if it has.
    async fn must_start_again(&mut self, seen: &Observation) -> Result<Option<&'static str>, KeeperError> {
        if self.is_torn(seen) {
            return Ok(Some("what was received ends in the middle of a record"));
        }
        if self.hides_log(seen).await? {
            return Ok(Some("what was received is of a timeline only begun"));
        }
        let lacks = self.lacks_settings(seen).await?;
        Ok(lacks.then_some("its primary has more of a setting than it was started with"))
    }

    /// Whether its replay stands still until it is started with as much of something as its primary has. Somebody may also
    /// have paused it, for long.
    async fn lacks_settings(&mut self, seen: &Observation) -> Result<bool, KeeperError> {
        let now = Instant::now();
        let asked = self.asked_for_settings.filter(|asked| now.duration_since(*asked) < LACKS);
        if !seen.replay_paused || asked.is_some() {
            return Ok(false);
        }
        self.asked_for_settings = Some(now);
        Ok(self.instance.lacks_settings(LOOK_AGAIN).await?)
    }

    /// Ends a receiver that should not be: the startup process, busy with replay, would do it late.
    fn cut(&self, seen: &Observation) {
        if seen.in_recovery
            && self.own.upstream().is_none()
            && let Some(receiver) = &seen.receiver
        {
            self.instance.end_receiver(receiver);
        }
    }

    /// Whether what was received may end in half a record of an older reign than the last one that was joined. As a part
    /// of a log it is nothing: the new primary has written other records there. But it reaches as far as they do, and
    /// would count as one of them. A start finds the last whole record.
    ///
    /// That is certain when replay waits for more; until then it may only be behind.
    fn is_torn(&self, seen: &Observation) -> bool {
        self.may_be_torn(seen) && self.replay_waits(seen)
    }

    fn is_cut_off(&self, seen: &Observation) -> bool {
        seen.in_recovery && self.own.upstream().is_none() && seen.receiver.is_none()
    }

    fn may_be_torn(&self, seen: &Observation) -> bool {
        let nothing_new = self.joined_at.is_none_or(|then| then == seen.received);
        self.is_cut_off(seen) && nothing_new && seen.received > seen.replayed
    }

    /// Replay may go on between the two questions of one look, so the look before must have found it waiting already.
    fn replay_waits(&self, seen: &Observation) -> bool {
        let waited = self.last.as_ref().is_some_and(|last| last.in_recovery && last.replay_waits);
        seen.replay_waits && waited
    }

    /// Whether it has begun to receive a timeline and has less of that than of the one before. What is replayed is right, but the
    /// next start, and a promotion too, would read the newer files and not see the rest of the older ones: a start removes them.
    async fn hides_log(&mut self, seen: &Observation) -> Result<bool, KeeperError> {
        let now = (seen.timeline, seen.received);
        let begun = self.is_cut_off(seen) && seen.timeline > seen.checkpoint_timeline;
        if !begun || self.looked_through == Some(now) {
            return Ok(false);
        }
        if self.instance.begun_timeline().await?.is_some() {
            return Ok(true);
        }
        self.looked_through = Some(now);
        Ok(false)
    }

    /// The upstream is about to become another: what has been received until now is not from there.
    pub async fn note_received(&mut self) {
        self.joined_at = match &self.running {
            Some(_) => self.instance.observe(LOOK).await.ok().map(|seen| seen.received),
            None => Some(None),
        };
    }

    /// A server has ended. One that never answered is not started again at once.
    async fn bury(&mut self) {
        if let Some(running) = &self.running
            && !self.answered
        {
            let says = running.exited().await.says;
            self.not_before = Some((Instant::now() + START_AGAIN, says));
        }
        self.forget_server();
    }

    async fn no_answer(&mut self, error: InstanceError, began: Instant) -> Result<Server, KeeperError> {
        tracing::debug!(error = &error as &dyn std::error::Error, "PostgreSQL does not answer");
        // Whoever fills it up ends nobody.
        if self.failed_looks == 0 || error.is_full() {
            (self.failed_looks, self.silent_since) = (0, began);
        }
        self.failed_looks += u32::from(self.answered);
        // A keeper that took over a server which has never answered it goes by the mark of a standby.
        let standby = self.instance.is_standby();
        let writes = self.last.as_ref().map_or(!standby, |seen| !seen.in_recovery);
        let silent = self.silent_since.elapsed() >= SILENT;
        if self.failed_looks >= LOOKS_MAX && silent && writes {
            tracing::warn!(node = %self.options.unit(), "a primary does not answer; ending it");
            self.end().await?;
            return Ok(Server::Stopped { upstream: self.own.upstream(), fresh: self.own.fresh });
        }
        // After a rewind data is whole only with log that the primary still has to give. It may have let go of it; then
        // what is here is no log that could be told of, but half of something.
        if standby && self.last.is_none() {
            self.watch_stranding(false);
            let upstream = self.own.upstream().map(|upstream| upstream.term);
            // What counts is thrown away for no word of a log.
            let refused = self.is_stranded(upstream) && !self.counts;
            if refused || self.lacks_log().await? {
                self.end().await?;
                self.save(|own| own.making = true).await?;
                return Ok(Server::Half);
            }
        }
        Ok(Server::Busy)
    }

    /// Whether a server that follows nobody, and has not answered since it began, never will.
    async fn lacks_log(&mut self) -> Result<bool, KeeperError> {
        let now = Instant::now();
        let asked = self.asked_for_log.filter(|asked| now.duration_since(*asked) < LACKS);
        if self.own.upstream().is_some() || asked.is_some() {
            return Ok(false);
        }
        let first = self.asked_for_log.replace(now).is_none();
        // It may be about to answer.
        Ok(!first && self.instance.lacks_log().await?)
    }

    /// Ends the server with all its processes.
    pub async fn end(&mut self) -> Result<(), KeeperError> {
        self.instance.kill().await?;
        self.forget_server();
        Ok(())
    }

    pub fn forget_server(&mut self) {
        self.running = None;
        self.last = None;
        self.fork = None;
        (self.failed_looks, self.answered) = (0, false);
        (self.in_force, self.in_force_from) = (false, None);
        // What was made ahead is in the server that is gone, or is removed before the next one starts.
        self.prepared = None;
        self.unfed = None;
        // The next one has received nothing yet.
        self.joined_at = Some(None);
        (self.looked_through, self.asked_for_log, self.asked_for_settings) = (None, None, None);
    }

    fn server_of(&mut self, seen: &Observation) -> Result<Server, KeeperError> {
        if self.in_force && !seen.in_recovery && self.in_force_from.is_none() {
            self.in_force_from = seen.flushed;
        }
        let (set, in_force) = (self.own.quorum, self.in_force);
        let sync = Sync { set, in_force, from: self.in_force_from, unsure: false };
        if seen.in_recovery {
            let receiving = seen.receiver.is_some();
            let upstream = self.own.upstream();
            // What was received since the start is known at once; before that, only what replay has found.
            let replayed = self.replay_waits(seen);
            // A winner's timeline will begin behind its last whole record: where that is, replay alone finds.
            let whole = !self.wins || seen.received <= seen.replayed || replayed;
            let known = (seen.received.is_some() || replayed) && whole && !self.may_be_torn(seen);
            let settled = !receiving && upstream.is_none() && known;
            let end = if self.wins { seen.replayed } else { seen.has_up_to() };
            let end = end.filter(|_| settled);
            return Ok(Server::Standby { upstream, receiving, end, sync });
        }
        let fork = self.fork_of(seen.timeline)?;
        Ok(Server::Primary {
            sync,
            open: self.own.open,
            flush: seen.flushed.unwrap_or_default(),
            fork,
            senders: self.senders(seen),
            checkpointed: seen.checkpoint_timeline == seen.timeline,
        })
    }

    fn fork_of(&mut self, timeline: u32) -> Result<model::Lsn, KeeperError> {
        if let Some((known, fork)) = self.fork
            && known == timeline
        {
            return Ok(fork);
        }
        let history = self.instance.timeline_history(timeline)?;
        let fork = history.last().map_or(model::Lsn(0), |fork| fork.at);
        self.fork = Some((timeline, fork));
        Ok(fork)
    }

    fn senders(&self, seen: &Observation) -> BTreeMap<NodeId, Sender> {
        let named = |sender: &instance::Sender| {
            let (unit, term) = sender.name.rsplit_once("-t")?;
            let node = node_of(&model::UnitName::new(unit).ok()?)?;
            let known = self.options.places.get(&node).is_some_and(|place| place.unit.as_str() == unit);
            let streams = known && sender.state == "streaming" && self.replies.answers(sender);
            streams.then_some((node, Sender { term: term.parse().ok()?, flush: sender.flushed? }))
        };
        seen.senders.iter().filter_map(named).collect()
    }

    /// Somebody may have changed behind the keeper's back whom commits wait for: then the quorum is not in force until it is
    /// confirmed again, which writes the settings anew.
    async fn watch_awaited(&mut self, seen: &Observation) -> Result<(), KeeperError> {
        let confirmed = self.in_force && !seen.in_recovery;
        if !confirmed || seen.awaits == self.acks(self.own.quorum.as_ref())?.value() {
            self.awaits_others = None;
            return Ok(());
        }
        let now = Instant::now();
        if now.duration_since(*self.awaits_others.get_or_insert(now)) < READ_WITHIN {
            return Ok(());
        }
        let node = self.options.unit();
        tracing::warn!(%node, awaits = %seen.awaits, "somebody else changed whom commits wait for; mending it");
        (self.in_force, self.in_force_from, self.awaits_others) = (false, None, None);
        // Whether commits wait at all is confirmed in another way.
        self.save_and_apply(|own| own.replaced.extend([0])).await
    }

    fn watch_slots(&mut self, seen: &Observation) {
        let away = |name: &str| seen.slots.iter().any(|slot| slot.name == name && !slot.active);
        self.slots_away.retain(|name, _| away(name));
        for slot in seen.slots.iter().filter(|slot| !slot.active) {
            self.slots_away.entry(slot.name.clone()).or_insert_with(Instant::now);
        }
    }

    /// What somebody should see to. In steps, so that it is not news with every look.
    fn notes(&self) -> Vec<Note> {
        let (free, total) = (self.instance.free_bytes(), self.instance.total_bytes());
        let mut notes = Vec::new();
        notes.extend(free.zip(total).and_then(|(free, total)| note::of_disk(free, total)));
        // In steps, as all of them.
        let seconds = self.hangs.map(|hangs| hangs.as_secs() / 10 * 10);
        notes.extend(seconds.map(|seconds| Note::DiskHangs { seconds }));
        let Some(seen) = &self.last else { return notes };
        // Standbys have the same catalogs: said once.
        notes.extend(seen.lowered.iter().filter(|_| !seen.in_recovery).map(Note::lowered));
        for slot in &seen.slots {
            if slot.lost {
                notes.push(Note::SlotLost { slot: slot.name.clone() });
                continue;
            }
            let since = self.slots_away.get(&slot.name);
            let away_ms = since.map_or(0, |since| since.elapsed().as_secs() / 10 * 10_000);
            if away_ms >= note::AWAY_MS {
                let kept =
                    seen.flushed.zip(slot.restart).map_or(0, |(end, from)| end.0.saturating_sub(from.0));
                let kept_bytes = kept >> 24 << 24;
                notes.push(Note::SlotAway { slot: slot.name.clone(), away_ms, kept_bytes });
            }
        }
        notes
    }

    /// A copy came to nothing; the next one waits. Each has its source make a checkpoint, and on a disk that is too small
    /// it fails only when the disk is full.
    pub fn copy_failed(&mut self, why: String) {
        self.no_copy_before = Some((Instant::now() + COPY_AGAIN, why));
    }

    /// What a witness has did not come; the next try waits, and the own end is told meanwhile.
    pub fn fetch_failed(&mut self) {
        self.no_fetch_before = Some(Instant::now() + COPY_AGAIN);
    }

    /// Whether that was a moment ago.
    pub fn is_unfetched(&self) -> bool {
        self.no_fetch_before.is_some_and(|until| Instant::now() < until)
    }

    /// Whether a copy may begin.
    pub fn may_copy(&self) -> Result<(), KeeperError> {
        match &self.no_copy_before {
            Some((until, why)) if Instant::now() < *until => Err(KeeperError::NotNow(why.clone())),
            // Otherwise what is there now makes room, if it must.
            _ if !self.instance.data().exists() => self.room(),
            _ => Ok(()),
        }
    }

    /// Whether the disk has room for what a standby receives.
    pub fn room(&self) -> Result<(), KeeperError> {
        match self.instance.free_bytes() {
            Some(free) if free < note::ROOM => Err(KeeperError::NotNow(format!(
                "less than {} are free: nothing is received before there is room",
                model::Bytes(note::ROOM)
            ))),
            _ => Ok(()),
        }
    }

    /// Where the own log ends, as far as the last look knows.
    pub fn has_up_to(&self) -> Option<Lsn> {
        self.last.as_ref().and_then(Observation::has_up_to)
    }

    /// The last checkpoint is of a timeline that is over: everything since is still kept.
    pub fn checkpoint_is_old(&self) -> bool {
        self.last.as_ref().is_some_and(|seen| seen.checkpoint_timeline < seen.timeline)
    }

    /// Fills in what the server is.
    pub fn tell(&self, server: &Server, status: &mut KeeperStatus) {
        status.promised = self.own.durable().promised;
        status.server_pid = self.running.as_ref().map(|running| running.process().pid);
        status.end = self.has_up_to().or(self.witnessed());
        status.standbys.clear();
        status.notes = self.notes();
        status.server = match server {
            Server::Empty => ServerState::Empty,
            Server::Half => ServerState::Making,
            Server::Busy if self.busy.is_some_and(|work| work != "checkpoint") => ServerState::Making,
            Server::Busy => ServerState::Starting,
            Server::Stopped { .. } => ServerState::Stopped,
            Server::Standby { upstream: Some(_), receiving: true, .. } => ServerState::Streaming,
            Server::Standby { .. } => ServerState::Standby,
            Server::Primary { open: true, .. } => ServerState::Open,
            Server::Primary { .. } => ServerState::Fenced,
        };
        let Server::Primary { flush, senders, .. } = server else { return };
        let members = self.own.quorum.map(|quorum| quorum.members).unwrap_or_default();
        status.standbys = senders
            .iter()
            .map(|(node, sender)| Standing {
                node: *node,
                lag_bytes: flush.0.saturating_sub(sender.flush.0),
                counts: members.has(*node),
            })
            .collect();
    }
}
