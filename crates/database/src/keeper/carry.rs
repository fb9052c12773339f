//! Carries out one action. What it did is what the next look finds, so a failure here is told and nothing more.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{NODES_MAX, NodeId, Quorum, Term};

use super::error::KeeperError;
use super::file::Own;
use super::local::Local;
use super::shared::{self, Keys};
use super::witness;
use crate::instance::{DbState, Instance, InstanceError, Rewound, StopHow, aside};
use crate::shelf::Lack;
use crate::{Action, Durable, Upstream};

/// SQL that answers from memory.
pub(super) const QUICK: Duration = Duration::from_millis(1_000);
/// A promotion is a signal and one record; replaying what is left can take longer, and is then asked for again.
const PROMOTE: Duration = Duration::from_millis(3_000);
/// A standby that stops cleanly writes down how far it is.
pub(super) const STOP: Duration = Duration::from_secs(20);
/// A copy of a large database takes hours; it is bounded so that one that hangs is begun again.
const COPY: Duration = Duration::from_secs(24 * 3_600);
/// A checkpoint is as slow as the disk.
const CHECKPOINT: Duration = Duration::from_secs(600);

/// Work that goes on beside the loop.
pub(super) enum Work {
    Init,
    Clone { from: Upstream },
    Rewind { from: Upstream },
    Checkpoint,
    Fetch { lack: Lack, key: Vec<u8>, into: PathBuf },
}

impl Work {
    pub fn name(&self) -> &'static str {
        match self {
            Work::Init => "init",
            Work::Clone { .. } => "copy",
            Work::Rewind { .. } => "rewind",
            Work::Checkpoint => "checkpoint",
            Work::Fetch { .. } => "fetch",
        }
    }
}

/// What came of [`Work`].
#[derive(Debug)]
pub(super) struct Finished {
    pub name: &'static str,
    /// The data is a copy of that term's primary now.
    pub fresh: Option<Term>,
    /// The data may be another than it was.
    pub touched: bool,
    pub failed: Option<KeeperError>,
}

impl Local {
    /// Carries out an action on this node; `Some`: it is long, and goes on beside the loop.
    pub async fn carry(&mut self, action: &Action) -> Result<Option<Work>, KeeperError> {
        if let Some(witness) = self.witness.take() {
            let (witness, done) = self.carry_on_shelf(witness, action).await;
            self.witness = Some(witness);
            return done.map(|()| None);
        }
        match action {
            Action::Init => return Ok(Some(Work::Init)),
            Action::Checkpoint => return Ok(Some(Work::Checkpoint)),
            Action::Clone(from) => {
                self.may_copy()?;
                self.end().await?;
                return Ok(Some(Work::Clone { from: *from }));
            }
            Action::Rewind(from) => return Ok(Some(Work::Rewind { from: *from })),
            Action::Persist(durable) => self.persist(*durable).await?,
            Action::Fence => self.end().await?,
            Action::Start => self.start().await?,
            Action::Point(upstream) => self.point(*upstream).await?,
            Action::Forget(durable) => self.forget(*durable).await?,
            Action::SetSync(quorum) => self.set_sync(*quorum).await?,
            Action::ConfirmSync => self.confirm_sync().await?,
            Action::Promote => self.promote().await?,
            Action::Open => self.set_open(true).await?,
            Action::Close => self.close().await?,
            Action::Fetch { node, term, upto } => {
                let lack = self.lack(*node, *term, *upto);
                if lack.is_err() {
                    self.fetch_failed();
                }
                return lack.map(Some);
            }
            // A witness's alone.
            Action::Anew(_) => {}
            // The store's, not this node's.
            Action::Write { .. } | Action::Report { .. } | Action::TakeOver { .. } | Action::Renew { .. } => {
            }
        }
        Ok(None)
    }

    /// Promotes, and makes sure of the quorum meanwhile: both take a while and neither waits for the other. What is not
    /// certain by then is asked again before the reign serves. A change from no quorum at all waits for two checkpoints, and
    /// those for the promotion.
    async fn promote(&mut self) -> Result<(), KeeperError> {
        let instance = self.instance.clone();
        let promotion = instance.promote(PROMOTE);
        if self.in_force || self.own.replaced.contains(&0) {
            return Ok(promotion.await?);
        }
        let (promoted, confirmed) = tokio::join!(promotion, self.confirm_sync());
        if let Err(error) = confirmed {
            tracing::debug!(node = %self.options.unit(), error = &error as &dyn std::error::Error, "asking again whether the quorum is in force");
        }
        Ok(promoted?)
    }

    /// Lets nobody in, ends who is there, and puts what they wrote on the disk. When that fails it is open again, so that it is
    /// done again: what sessions leave behind would reach one standby and not the heir.
    async fn close(&mut self) -> Result<(), KeeperError> {
        self.set_open(false).await?;
        let ended = async {
            self.instance.terminate_clients(QUICK).await?;
            self.instance.settle_log(QUICK).await
        };
        let ended = ended.await;
        if ended.is_err() {
            self.set_open(true).await?;
        }
        Ok(ended?)
    }

    async fn set_open(&mut self, open: bool) -> Result<(), KeeperError> {
        self.save_and_apply(|own| own.open = open).await
    }

    /// Starts the server as a standby, closed, without a slot through which anybody could be fed.
    async fn start(&mut self) -> Result<(), KeeperError> {
        if let Some((until, says)) = &self.not_before
            && tokio::time::Instant::now() < *until
        {
            return Err(KeeperError::NotNow(format!("PostgreSQL does not start: {says}")));
        }
        self.not_before = None;
        if self.own.upstream().is_some() {
            self.room()?;
        }
        self.forget_server();
        // One that was killed while it began to receive a timeline would not see what it has acknowledged before.
        while self.own.fresh.is_none()
            && let Some(timeline) = self.instance.begun_timeline().await?
        {
            tracing::info!(node = %self.options.unit(), timeline, "a timeline that was only begun is removed");
            self.drop_timelines(timeline).await?;
        }
        // Before the start, or a crash between the two would take a log that goes on for the copy it once was. Whose log
        // it is has been written down before. Commits wait for nobody's acknowledgement until there is a quorum: a server
        // that starts with "none is awaited" learns late that one is.
        self.save(|own| {
            (own.open, own.slots, own.fresh, own.quorum, own.leased) = (false, 0, None, None, false);
            own.replaced.clear();
        })
        .await?;
        let slots = self.instance.data().join("pg_replslot");
        let instance = self.instance.clone();
        let emptied = aside(move || {
            let _lock = instance;
            let unreadable = |cause| InstanceError::File { what: "empty", path: slots.clone(), cause };
            for slot in fs::read_dir(&slots).map_err(unreadable)?.filter_map(Result::ok) {
                fs::remove_dir_all(slot.path()).map_err(unreadable)?;
            }
            Ok::<(), InstanceError>(())
        });
        emptied.await?;
        self.apply().await?;
        let instance = self.instance.clone();
        self.running = Some(aside(move || instance.start()).await?);
        self.swept = false;
        Ok(())
    }

    async fn drop_timelines(&self, timeline: u32) -> Result<(), InstanceError> {
        let instance = self.instance.clone();
        aside(move || instance.drop_timelines(timeline)).await
    }

    /// Names the upstream. Nobody is fed by a node that is fed in another term: its slots go first.
    async fn point(&mut self, upstream: Option<Upstream>) -> Result<(), KeeperError> {
        if upstream.is_some() && self.running.is_some() && self.own.slots != 0 {
            self.drop_slots(self.own.slots).await?;
            self.save(|own| own.slots = 0).await?;
        }
        if upstream.is_some() {
            self.room()?;
            self.note_received().await;
        }
        self.save_and_apply(|own| own.set_upstream(upstream)).await?;
        match upstream {
            None => self.end_receiver().await,
            Some(_) => self.forget_fetched().await,
        }
        Ok(())
    }

    /// With replay behind, the startup process would notice late that there is no upstream any more.
    async fn end_receiver(&self) {
        if self.running.is_some()
            && let Ok(seen) = self.instance.observe(QUICK).await
            && let Some(receiver) = &seen.receiver
        {
            self.instance.end_receiver(receiver);
        }
    }

    /// One write of the file for all that follows from it: each sync of a busy disk is felt in a failover.
    async fn persist(&mut self, durable: Durable) -> Result<(), KeeperError> {
        let before = self.own.durable();
        let promises = durable.promised > before.promised;
        let leaves = promises && self.own.upstream().is_some();
        let change = |own: &mut Own| {
            own.set_durable(durable);
            if promises {
                own.set_upstream(None);
            }
            // The slots of its reign are made next.
            if durable.reign > before.reign && own.slots == 0 {
                own.slots = durable.reign;
            }
        };
        if leaves {
            self.save_and_apply(change).await?;
            self.end_receiver().await;
            return Ok(());
        }
        self.save(change).await
    }

    pub fn others(&self) -> Vec<NodeId> {
        self.options.places.keys().copied().filter(|node| *node != self.options.node).collect()
    }

    /// Also those of nodes that have left the plan: the keeper of one may not know it yet, and what it would get from here on is
    /// another term's log.
    async fn drop_slots(&self, term: Term) -> Result<(), KeeperError> {
        let all: Vec<NodeId> =
            (1..=NODES_MAX).map(NodeId).filter(|node| *node != self.options.node).collect();
        let names: Result<Vec<_>, _> = all.iter().map(|node| self.standby_name(*node, term)).collect();
        self.instance.terminate_walsenders(&names?, QUICK).await?;
        for node in all {
            let name = self.slot_name(node, term)?;
            let there = self
                .last
                .as_ref()
                .is_none_or(|seen| seen.slots.iter().any(|slot| slot.name == name.as_str()));
            if there || self.options.places.contains_key(&node) {
                self.instance.drop_slot(&name, QUICK).await?;
            }
        }
        Ok(())
    }

    /// The slots of the quorum's term, of all nodes, before the checkpoint that a promotion makes: what those need who must
    /// rewind lies before it. And then the quorum.
    async fn set_sync(&mut self, quorum: Quorum) -> Result<(), KeeperError> {
        if self.own.slots != quorum.term {
            if self.own.slots != 0 {
                self.drop_slots(self.own.slots).await?;
            }
            self.save(|own| own.slots = quorum.term).await?;
        }
        if let Some(prepared) = self.prepared.take() {
            prepared.wait(quorum.term).await;
        }
        let before = self.own.quorum;
        if before.is_none_or(|before| before.term != quorum.term) {
            for node in self.others() {
                let made = self.instance.create_slot(&self.slot_name(node, quorum.term)?, QUICK).await;
                if let Err(error) = made {
                    // There may be none left: the next try has those that nobody needs.
                    self.make_room(quorum.term).await?;
                    return Err(error.into());
                }
            }
        }
        self.give(quorum).await
    }

    /// Ends the server and removes the files of timelines that its log has not reached.
    async fn forget(&mut self, durable: Durable) -> Result<(), KeeperError> {
        // Only a standby that stopped in order has written down which timeline it is in; what is behind it would go too.
        if let Some(running) = self.running.clone() {
            running.stop(StopHow::Fast, STOP).await?;
        }
        self.end().await?;
        let control = self.instance.control().await?;
        if control.state != DbState::ShutDownInRecovery {
            return Err(KeeperError::NotNow(
                "the server did not stop in order; starting it again".to_owned(),
            ));
        }
        let reached = control.timeline.max(control.min_recovery_timeline);
        self.drop_timelines(reached.saturating_add(1)).await?;
        self.save(|own| own.set_durable(durable)).await
    }
}

/// As it was made from a server that was reached by its address: whether that one was the primary of its term all the
/// time. A server that was ended and started again as a standby of a newer term would have let itself be copied, too, and
/// that term's log would be taken for the older one's. Only a newer record lets it start again, so none was written.
pub(super) async fn check_source(
    finished: &mut Finished,
    from: Option<Upstream>,
    store: &store::Store,
    keys: &Keys,
    clock: &world::Clock,
    stop: &world::Stop,
) {
    let Some(from) = from.filter(|_| finished.fresh.is_some()) else { return };
    if shared::reigns(store, keys, clock, stop, from).await {
        return;
    }
    let why =
        format!("node {} is the primary of term {} no more: what it gave is not used", from.node, from.term);
    (finished.fresh, finished.touched, finished.failed) = (None, true, Some(KeeperError::NotNow(why)));
}

/// Does `work` on `instance`; `source` is where it copies from.
pub(super) async fn work(
    instance: &Arc<Instance>,
    work: Work,
    source: Option<crate::instance::Upstream>,
    running: Option<crate::instance::Running>,
) -> Finished {
    let name = work.name();
    let (mut fresh, mut laid_in) = (None, false);
    let done: Result<(), KeeperError> = async {
        match (work, source) {
            (Work::Init, _) => instance.init().await?,
            (Work::Checkpoint, _) => {
                instance.checkpoint(CHECKPOINT).await?;
                instance.trim_log(CHECKPOINT).await?;
            }
            (Work::Clone { from }, Some(source)) => {
                Instance::clone_from(instance, &source, false, COPY).await?;
                fresh = Some(from.term);
            }
            (Work::Rewind { from }, Some(source)) => {
                if let Some(running) = running {
                    running.stop(StopHow::Fast, STOP).await?;
                    instance.kill().await?;
                }
                match instance.rewind(&source, COPY).await? {
                    Rewound::Done => fresh = Some(from.term),
                    other => return Err(KeeperError::NotNow(format!("a rewind is not possible: {other:?}"))),
                }
            }
            (Work::Clone { .. } | Work::Rewind { .. }, None) => {}
            (Work::Fetch { lack, key, into }, _) => {
                witness::fetch(instance, (lack, key, into), running, &mut laid_in).await?;
            }
        }
        Ok(())
    }
    .await;
    // A copy may have failed when the new data was there already.
    let touched = match name {
        "fetch" => laid_in,
        "rewind" => !matches!(instance.half(), Ok(None)) || fresh.is_some(),
        _ => true,
    };
    Finished { name, fresh, touched, failed: done.err() }
}

#[cfg(test)]
mod tests {
    use model::{DatabaseName, Record};
    use store::{Faults, Op, Store, Txn};
    use world::{Clock, Stop};

    use super::*;

    /// It was ended and started again as a standby of the next term, whose log it gave for that of the older one.
    #[tokio::test]
    async fn what_was_copied_from_a_primary_of_the_past_is_not_used() {
        let (store, _) = Store::simulated(1, Clock::real(), Faults::default());
        let keys = Keys::new(&DatabaseName::new("db").unwrap());
        let (_stopper, stop) = Stop::pair();
        let from = Upstream { node: NodeId(2), term: 4 };
        for (term, primary, used) in [(4, 2, true), (5, 2, false), (4, 3, false)] {
            let phase = model::ReignPhase::Serving { primary: NodeId(primary), handover: None };
            let record = Record {
                term,
                phase,
                quorums: Vec::new(),
                history: Vec::new(),
                unrest: std::collections::BTreeMap::new(),
            };
            let (key, value) = (keys.record(), serde_json::to_vec(&record).unwrap());
            let then = vec![Op::Put { key, value, lease: None }];
            store.txn(Txn { compare: Vec::new(), then }).await.unwrap();
            let mut finished = Finished { name: "rewind", fresh: Some(4), touched: true, failed: None };
            check_source(&mut finished, Some(from), &store, &keys, &Clock::real(), &stop).await;
            assert_eq!(finished.fresh.is_some(), used, "term {term} of node {primary}");
            assert!(finished.touched, "it would count as the log it was");
        }
    }
}
