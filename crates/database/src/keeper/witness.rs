//! The keeper of a witness: no server, but a receiver; and how a node with data takes from one what it lacks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Lsn, NodeId, Nodes, Position, Term};
use tokio::sync::watch;
use tokio::time::Instant;
use world::Spawner;

use super::carry::Work;
use super::error::KeeperError;
use super::local::Local;
use super::options::KeeperOptions;
use super::stranding::STRANDED;
use crate::instance::{self, Acks, Received, Role, Running, Settings, aside};
use crate::shelf::{self, Giver, Lack, Offer};
use crate::{Action, Server, Sync, Upstream};

/// A receiver that ended is started again after so long, in milliseconds: as often as PostgreSQL starts its own.
const RECEIVE_AGAIN: Duration = Duration::from_millis(100);
/// One that has run for so long was fed.
const FED: Duration = Duration::from_secs(1);
/// Between two looks whether anything whole has come, and whether there is more than is kept.
const SHELF_LOOK: Duration = Duration::from_secs(1);
/// In an orderly end, between two looks whether the primary has ended the connection.
const ENDS_LOOK: Duration = Duration::from_millis(10);

impl KeeperOptions {
    /// The nodes that hold the log and no data.
    #[must_use]
    pub fn witnesses(&self) -> Nodes {
        self.database.database.witness_number().map(NodeId).into_iter().collect()
    }

    /// Whether this node is one of them.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.witnesses().has(self.node)
    }
}

/// What a witness has in place of a server.
pub(super) struct Witness {
    /// As a server runs: this keeper was told to start it.
    started: bool,
    /// Nothing is received, for sure.
    cut: bool,
    /// What was received, once nothing is.
    log: Option<Received>,
    /// Where the log begins; `None` while nothing whole has come.
    begins: Option<Lsn>,
    /// When the receiver was started, and when the next one may be.
    since: Instant,
    not_before: Instant,
    next_look: Instant,
    /// Since when receivers end as soon as they are started.
    unfed: Option<Instant>,
    /// What others may take.
    offer: watch::Sender<Option<Offer>>,
}

impl Witness {
    /// Of a keeper that has just started; with a receiver of an earlier keeper, which goes on.
    pub fn new(adopted: bool) -> Witness {
        let now = Instant::now();
        Witness {
            started: adopted,
            cut: false,
            log: None,
            begins: None,
            since: now,
            not_before: now,
            next_look: now,
            unfed: None,
            offer: watch::Sender::new(None),
        }
    }

    /// Nothing is given any more, and what was found of the log may be otherwise.
    fn withdraw(&mut self) {
        self.offer.send_replace(None);
        self.log = None;
    }
}

impl Local {
    /// Of a node that had data and is a witness now, or the other way round: ends what is left running of it, which would
    /// acknowledge beside this keeper, and forgets what it held.
    pub async fn turn(&mut self) -> Result<(), KeeperError> {
        let is_witness = self.options.is_witness();
        if !self.own.is_other(is_witness) {
            return Ok(());
        }
        tracing::warn!(node = %self.options.unit(), is_witness, "it was of the other kind; its log is made anew");
        self.instance.kill().await?;
        self.instance.stop_receiving().await?;
        self.forget_server();
        if let Some(witness) = &mut self.witness {
            witness.started = false;
        }
        self.save(|own| own.become_kind(is_witness)).await
    }

    /// Where this node's log begins, as [`model::NodeDoc::from`] has it.
    pub fn begins(&self) -> Lsn {
        let begins = |witness: &Witness| witness.begins.unwrap_or(Lsn(u64::MAX));
        self.witness.as_ref().map_or(Lsn(0), begins)
    }

    /// Where a witness's log ends, once that is certain.
    pub fn witnessed(&self) -> Option<Lsn> {
        Some(self.witness.as_ref()?.log?.end)
    }

    /// Has the log of a witness given to who lacks it; nothing on a node with data.
    pub fn serve_shelf(&self, tasks: &Spawner) {
        let Some(witness) = &self.witness else { return };
        let Some(place) = self.options.places.get(&self.options.node) else { return };
        let giver = Giver {
            me: self.options.node,
            known: self.options.places.keys().copied().collect(),
            key: self.options.peers_key.clone(),
            instance: self.instance.clone(),
            offer: witness.offer.subscribe(),
        };
        tasks.spawn("shelf", shelf::serve(place.server, giver, tasks.clone()));
    }

    /// A witness as the rules see it: as a server that replays.
    pub async fn look_at_shelf(&mut self, mut witness: Witness) -> (Witness, Result<Server, KeeperError>) {
        let looked = self.shelf(&mut witness).await;
        (witness, looked)
    }

    async fn shelf(&mut self, witness: &mut Witness) -> Result<Server, KeeperError> {
        if self.own.making {
            return Ok(Server::Half);
        }
        if !self.instance.shelf().exists() {
            return Ok(Server::Empty);
        }
        let (upstream, fresh) = (self.own.upstream(), self.own.fresh);
        if !witness.started {
            return Ok(Server::Stopped { upstream, fresh });
        }
        let sync = Sync::default();
        if let Some(upstream) = upstream {
            // There is no way to one that has left the plan.
            let there = self.options.places.contains_key(&upstream.node);
            let receiving = there && self.receive(witness, upstream).await?;
            self.keep_shelf(witness).await?;
            return Ok(Server::Standby { upstream: Some(upstream), receiving, end: None, sync });
        }
        if !witness.cut {
            self.stop_receiving(witness).await?;
        }
        let log = match witness.log {
            Some(log) => log,
            None => match self.received().await? {
                Some(log) => log,
                // Begun anew, and its primary went before anything came.
                None if fresh.is_some() => return Ok(Server::Empty),
                None => {
                    let why = format!("no whole record can be read in `{}`", self.instance.shelf().display());
                    return Err(KeeperError::NotNow(why));
                }
            },
        };
        self.whole(witness, log.from).await?;
        witness.log = Some(log);
        let offer = Offer { term: self.own.durable().promised, log };
        witness.offer.send_if_modified(|last| last.replace(offer) != Some(offer));
        Ok(Server::Standby { upstream: None, receiving: false, end: Some(log.end), sync })
    }

    /// Something whole has been received: from now on it is a log like any other.
    async fn whole(&mut self, witness: &mut Witness, from: Lsn) -> Result<(), KeeperError> {
        witness.begins = Some(from);
        self.save(|own| own.fresh = None).await
    }

    /// Reads up to two segments, which takes a tenth of a second.
    async fn received(&self) -> Result<Option<Received>, KeeperError> {
        let instance = self.instance.clone();
        Ok(aside(move || instance.received()).await?)
    }

    async fn stop_receiving(&mut self, witness: &mut Witness) -> Result<(), KeeperError> {
        self.instance.stop_receiving().await?;
        if let Some(running) = self.running.take() {
            running.exited().await;
        }
        (witness.cut, witness.unfed) = (true, None);
        Ok(())
    }

    /// Sees to it that something receives; whether it does.
    async fn receive(&mut self, witness: &mut Witness, upstream: Upstream) -> Result<bool, KeeperError> {
        let now = Instant::now();
        if let Some(running) = &self.running {
            if running.alive() {
                if now.duration_since(witness.since) >= FED {
                    witness.unfed = None;
                }
                return Ok(true);
            }
            running.exited().await;
            let fed = now.duration_since(witness.since) >= FED;
            self.running = None;
            witness.not_before = if fed { now } else { now + RECEIVE_AGAIN };
            witness.unfed = if fed { None } else { witness.unfed.or(Some(now)) };
            if witness.unfed.is_some_and(|since| now.duration_since(since) >= STRANDED)
                && self.stranded != Some(upstream.term)
                && self.instance.receiver_is_refused()
            {
                let node = self.options.node;
                tracing::warn!(%node, term = upstream.term, "its primary has no longer the log it needs; it begins anew");
                self.stranded = Some(upstream.term);
            }
        }
        if now < witness.not_before {
            return Ok(false);
        }
        witness.not_before = now + RECEIVE_AGAIN;
        self.room()?;
        let role = Role::Standby { upstream: None };
        self.configure(Settings { role, acks: Acks::Never, open: false }).await?;
        let source = self.source(upstream)?;
        self.running = Some(self.instance.receive(&source)?);
        (witness.cut, witness.since) = (false, now);
        Ok(true)
    }

    /// Looks where the log begins, and throws away what is more than a primary would keep for a standby: one that is so
    /// far behind is copied anew anyway.
    async fn keep_shelf(&mut self, witness: &mut Witness) -> Result<(), KeeperError> {
        let now = Instant::now();
        if now < witness.next_look {
            return Ok(());
        }
        witness.next_look = now + SHELF_LOOK;
        if self.own.fresh.is_some() || witness.begins.is_none() {
            let Some(log) = self.received().await? else { return Ok(()) };
            return self.whole(witness, log.from).await;
        }
        let keep = u64::from(self.instance.options().tuning.slot_keep_mib) << 20;
        let instance = self.instance.clone();
        witness.begins =
            aside(move || instance.trim_shelf(keep).and_then(|()| instance.shelf_begins())).await?;
        Ok(())
    }

    /// Carries out an action on a witness.
    pub async fn carry_on_shelf(
        &mut self,
        mut witness: Witness,
        action: &Action,
    ) -> (Witness, Result<(), KeeperError>) {
        let done = self.carry_witness(&mut witness, action).await;
        (witness, done)
    }

    async fn carry_witness(&mut self, witness: &mut Witness, action: &Action) -> Result<(), KeeperError> {
        // Before anything is changed.
        witness.withdraw();
        match action {
            // As a node with data: whoever promises another term names no upstream any more.
            Action::Persist(durable) if durable.promised > self.own.durable().promised => {
                self.stop_receiving(witness).await?;
                self.save(|own| {
                    own.set_durable(*durable);
                    own.set_upstream(None);
                })
                .await?;
            }
            Action::Persist(durable) => self.save(|own| own.set_durable(*durable)).await?,
            Action::Start => witness.started = true,
            Action::Point(upstream) => {
                // A receiver is never older than the file: the next keeper goes by that.
                self.stop_receiving(witness).await?;
                self.save(|own| own.set_upstream(*upstream)).await?;
            }
            Action::Fence => self.stop_receiving(witness).await?,
            Action::Anew(from) => {
                self.room()?;
                self.stop_receiving(witness).await?;
                self.instance.renew_slot(&self.source(*from)?).await?;
                self.save(|own| (own.making, own.fresh) = (true, Some(from.term))).await?;
                self.instance.clear_shelf().await?;
                self.save(|own| {
                    own.making = false;
                    own.set_upstream(None);
                })
                .await?;
                (witness.started, witness.begins) = (false, None);
                self.joins_anew();
            }
            other => {
                // No rule comes to this: they are about servers.
                return Err(KeeperError::NotNow(format!("a witness does not {other:?}")));
            }
        }
        Ok(())
    }

    /// Removes what was taken from a witness and never laid in: the node follows a primary that gives it all.
    pub async fn forget_fetched(&self) {
        let into = self.fetched();
        let removed = aside(move || if into.exists() { std::fs::remove_dir_all(into) } else { Ok(()) }).await;
        if let Err(error) = removed {
            tracing::warn!(node = %self.options.unit(), %error, "what was taken from a witness cannot be removed");
        }
    }

    fn fetched(&self) -> PathBuf {
        self.options.dir.join("fetched")
    }

    /// What is to be taken from the witness `node`.
    pub fn lack(&self, node: NodeId, term: Term, upto: Position) -> Result<Work, KeeperError> {
        let Some(from) = self.has_up_to() else {
            return Err(KeeperError::NotNow("where the own log ends is not known".to_owned()));
        };
        self.room()?;
        let (me, at, upto) = (self.options.node, self.place(node)?.server, upto.lsn);
        let lack = Lack { me, node, at, term, from, upto };
        Ok(Work::Fetch { lack, key: self.options.peers_key.clone(), into: self.fetched() })
    }
}

/// Takes what is lacking, and lays it in when all of it is there: until then the server goes on. In the order of the log,
/// each file as a whole, so that wherever it is broken off the data has a beginning of the same log.
pub(super) async fn fetch(
    instance: &Arc<instance::Instance>,
    (lack, key, into): (Lack, Vec<u8>, PathBuf),
    running: Option<Running>,
    touched: &mut bool,
) -> Result<(), KeeperError> {
    let (folder, names) = shelf::take(&lack, &key, &into).await?;
    *touched = true;
    if let Some(running) = running {
        running.stop(instance::StopHow::Fast, super::carry::STOP).await?;
    }
    instance.kill().await?;
    let instance = instance.clone();
    let laid = aside(move || {
        for name in names {
            let path = folder.join(&name);
            let unreadable =
                |cause| instance::InstanceError::File { what: "read", path: path.clone(), cause };
            let mut file = std::fs::File::open(&path).map_err(unreadable)?;
            instance.lay_in(&name, &mut file, lack.upto)?;
        }
        let unremovable = |cause| instance::InstanceError::File { what: "remove", path: into.clone(), cause };
        std::fs::remove_dir_all(&into).map_err(unremovable)
    });
    Ok(laid.await?)
}

/// An orderly end of a witness whose primary ends too: that sends all it has, and ends the connection then.
pub(super) async fn outlast(running: &Running, deadline: Instant) {
    while running.alive() && Instant::now() < deadline {
        tokio::time::sleep(ENDS_LOOK).await;
    }
}
