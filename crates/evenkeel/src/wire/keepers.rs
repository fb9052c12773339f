//! Runs the keepers of a zone: one for each data node that the plan gives it, started once, started again when it ends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use database::instance::{TlsFiles, system_user};
use database::keeper::{self, KeeperHandle, KeeperOptions, KeeperStatus};
use engine::local::{ProcessId, note_servers};
use model::{Moment, ZoneName};
use store::Store;
use tokio::sync::watch;
use world::{Clock, Limits, Spawner, Stop, Tasks};

use crate::exit::hinted;

use super::database::{Change, DataNode, Wanted, wanted};
use super::identity;
use super::logs;
use super::mirror::Mirror;
use super::place;

/// Time between two looks when nothing changes.
const LOOK_MS: u64 = 500;
/// Wait before a keeper that could not be started, or has ended, is tried again: the one before may still be ending.
const AGAIN_MS: u64 = 1_000;
/// The same for one that takes over from a keeper that was just let go: it is gone as soon as its tasks have ended.
const REPLACE_MS: u64 = 100;
/// For so long what such a one still holds is no news: the node's status stays what the one before has said.
const ENDING_MS: u64 = 2_000;
/// Time between two looks at the zone's certificate.
const CERTIFICATE_MS: u64 = 3_600_000;
/// An orderly stop of a server may take half a minute, when a checkpoint is large.
pub const STOP_MS: u64 = 35_000;
/// Where the whole run ends, a standby waits for its primary's end, which first waits for the primary's units, this long at
/// the most.
pub const AFTER_PRIMARY_MS: u64 = 5_000;
/// The system user that PostgreSQL runs as when everything else runs as root. Debian's package makes it.
pub const SYSTEM_USER: &str = "postgres";

/// What the keepers of this zone say, by node. A node that is here and has no keeper yet says why.
pub type Board = BTreeMap<DataNode, Arc<KeeperStatus>>;

/// Where and for whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The zone.
    pub zone: ZoneName,
    /// Its address.
    pub address: IpAddr,
    /// The zone's own folder: its certificate, and the note of its servers.
    pub dir: PathBuf,
    /// Below it lies each node's data.
    pub databases: PathBuf,
    /// The run's identity.
    pub identity: PathBuf,
    /// A file that is there while the whole run ends, all zones together.
    pub ending: Option<PathBuf>,
    /// See [`super::agent::Options::trusted_network`].
    pub trusted_network: bool,
    /// This program's own file.
    pub program: Arc<Path>,
}

/// A node's keeper, or the wait for one.
struct Kept {
    wanted: Wanted,
    keeper: Option<KeeperHandle>,
    due: Due,
}

/// When the next keeper of a node is tried.
#[derive(Clone, Copy)]
struct Due {
    again: Moment,
    /// Until then the keeper before may still be ending, and hold the folder and the address of the next one.
    ending: Moment,
}

impl Due {
    fn at(again: Moment) -> Due {
        Due { again, ending: Moment::default() }
    }

    /// As the one of now is let go, whose server goes on.
    fn taking_over(now: Moment) -> Due {
        Due { again: now.plus(REPLACE_MS), ending: now.plus(ENDING_MS) }
    }

    /// It could not be started: when it is tried again, and whether that is to be told.
    fn put_off(self, now: Moment) -> (Due, bool) {
        let told = now >= self.ending;
        let again = now.plus(if told { AGAIN_MS } else { REPLACE_MS });
        (Due { again, ..self }, told)
    }

    fn is_soon(self, now: Moment) -> bool {
        self.again < self.ending && now < self.ending
    }
}

struct Keepers {
    options: Options,
    store: Store,
    clock: Clock,
    spawner: Spawner,
    board: watch::Sender<Board>,
    kept: BTreeMap<DataNode, Kept>,
    /// Keepers that end: each stops its server, beside the others.
    ending: Tasks,
    noted: Vec<u32>,
    certificate_due: Moment,
}

/// Keeps the keepers of a zone as the plan wants them until `stop`, then stops their servers in order.
pub async fn run(
    options: Options,
    store: Store,
    clock: Clock,
    mut mirror: watch::Receiver<Arc<Mirror>>,
    board: watch::Sender<Board>,
    tasks: (Spawner, Stop),
) {
    let (spawner, stop) = tasks;
    let mut statuses = board.subscribe();
    let mut keepers = Keepers {
        options,
        store,
        clock,
        spawner,
        board,
        kept: BTreeMap::new(),
        ending: Tasks::new(),
        noted: Vec::new(),
        certificate_due: Moment::default(),
    };
    loop {
        let pause = Duration::from_millis(keepers.pause_ms());
        tokio::select! {
            biased;
            () = stop.requested() => break,
            changed = mirror.changed() => {
                if changed.is_err() {
                    // The picture will not change any more: this agent is ending.
                    stop.requested().await;
                    break;
                }
            }
            _ = statuses.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
        let picture = mirror.borrow_and_update().clone();
        if let Some(wanted) = wanted(&picture, &keepers.options.zone) {
            keepers.reconcile(wanted);
        }
        let board = statuses.borrow_and_update().clone();
        keepers.note(&board, &stop).await;
        keepers.turn_logs(&stop).await;
    }
    keepers.end().await;
}

impl Keepers {
    /// Until the next look: one that takes over is not left waiting.
    fn pause_ms(&self) -> u64 {
        let now = self.clock.now();
        let taking_over = self.kept.values().any(|kept| kept.keeper.is_none() && kept.due.is_soon(now));
        if taking_over { REPLACE_MS } else { LOOK_MS }
    }

    fn reconcile(&mut self, wanted: BTreeMap<DataNode, Option<Wanted>>) {
        let gone: Vec<DataNode> =
            self.kept.keys().filter(|node| !wanted.contains_key(node)).cloned().collect();
        for node in gone {
            tracing::info!(%node, "no longer planned; stopping its server, its data stays");
            self.take_away(&node);
        }
        let now = self.clock.now();
        let renewed = now >= self.certificate_due && !wanted.is_empty() && self.certificate(now);
        for (node, next) in wanted {
            // Where the others are is not known yet: what runs goes on.
            let Some(next) = next else { continue };
            if let Some(kept) = self.kept.get_mut(&node) {
                let change = kept.wanted.change(&next, node.node);
                kept.wanted = next;
                let ended = kept.keeper.as_ref().is_some_and(|k| k.status().has_changed().is_err());
                if ended {
                    tracing::error!(%node, "its keeper ended unasked; starting another");
                }
                match change {
                    Change::Server => self.take_down(&node, now),
                    Change::Keeper => self.set(&node, None, Due::taking_over(now)),
                    Change::Nothing if ended => self.set(&node, None, Due::at(now.plus(AGAIN_MS))),
                    Change::Nothing if renewed => self.set(&node, None, Due::taking_over(now)),
                    Change::Nothing => {}
                }
            } else {
                self.board.send_modify(|board| drop(board.insert(node.clone(), Arc::default())));
                self.kept.insert(node.clone(), Kept { wanted: next, keeper: None, due: Due::at(now) });
            }
            self.start_if_due(&node, now);
        }
    }

    fn start_if_due(&mut self, node: &DataNode, now: Moment) {
        let Some(kept) = self.kept.get(node) else { return };
        // One that still stops its server holds the node's folder.
        let ending = || self.ending.names().contains(&stop_of(node));
        if kept.keeper.is_some() || now < kept.due.again || ending() {
            return;
        }
        let started = self
            .keeper_options(node, &kept.wanted)
            .and_then(|options| Ok(keeper::start(options, self.store.clone(), self.clock.clone())?));
        match started {
            Ok(keeper) => {
                tracing::info!(%node, "keeper started");
                let follow = forward(node.clone(), keeper.status(), self.board.clone());
                self.spawner.spawn(format!("status of {node}"), follow);
                self.set(node, Some(keeper), Due::at(now));
            }
            Err(error) => {
                let (due, told) = kept.due.put_off(now);
                self.set(node, None, due);
                if !told {
                    return;
                }
                let text = format!("{error:#}");
                let known = self.board.borrow().get(node).is_some_and(|status| status.detail == text);
                if !known {
                    tracing::error!(%node, error = text, "keeper cannot be started; trying again");
                    let status = KeeperStatus { detail: text, ..KeeperStatus::default() };
                    self.board.send_modify(|board| drop(board.insert(node.clone(), Arc::new(status))));
                }
            }
        }
    }

    fn set(&mut self, node: &DataNode, keeper: Option<KeeperHandle>, due: Due) {
        if let Some(kept) = self.kept.get_mut(node) {
            kept.keeper = keeper;
            kept.due = due;
        }
    }

    fn keeper_options(&self, node: &DataNode, wanted: &Wanted) -> anyhow::Result<KeeperOptions> {
        let Options { zone, address, dir, databases, identity, trusted_network, .. } = &self.options;
        let user = if rustix::process::geteuid().is_root() {
            Some(system_user(SYSTEM_USER).ok_or_else(|| {
                let text =
                    format!("PostgreSQL does not run as root, and there is no system user `{SYSTEM_USER}`");
                hinted(text, "Debian's package `postgresql-15` makes it")
            })?)
        } else {
            None
        };
        place::make(databases).with_context(|| format!("cannot make `{}`", databases.display()))?;
        let secrets = identity::database(identity, &node.database)?;
        let (tls, _) = identity::node(identity, (zone, *address), &dir.join("node"), self.wall())?;
        Ok(KeeperOptions {
            database: wanted.database.clone(),
            application: wanted.application.clone(),
            node: node.node,
            places: wanted.places.clone(),
            dir: databases.join(node.to_string()),
            user,
            tls: Some(TlsFiles { applications: !trusted_network, ..tls }),
            secrets: secrets.secrets,
            peers_key: secrets.peers_key,
            unrest_max: database::UNREST_MAX,
            watchdog: self.options.program.to_path_buf(),
        })
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.unix_ms())
    }

    /// Looks whether the zone's certificate must be renewed; `true` when it was, and keepers have to read it.
    fn certificate(&mut self, now: Moment) -> bool {
        self.certificate_due = now.plus(CERTIFICATE_MS);
        let Options { zone, address, dir, identity, .. } = &self.options;
        match identity::node(identity, (zone, *address), &dir.join("node"), self.wall()) {
            Ok((_, renewed)) => renewed,
            Err(error) => {
                // A third of its life is left; whoever starts a keeper is told as well.
                tracing::error!(%zone, error = format!("{error:#}"), "no certificate for this zone's data nodes");
                false
            }
        }
    }

    /// Ends the keeper and its server; another one follows.
    fn take_down(&mut self, node: &DataNode, now: Moment) {
        let Some(kept) = self.kept.get_mut(node) else { return };
        kept.due = Due::at(now);
        if let Some(keeper) = kept.keeper.take() {
            self.ending.spawn(stop_of(node), keeper.stop());
        }
    }

    /// Ends the keeper and its server together with all others of its database.
    fn take_down_last(&mut self, node: &DataNode) {
        if let Some(keeper) = self.kept.get_mut(node).and_then(|kept| kept.keeper.take()) {
            self.ending.spawn(stop_of(node), keeper.stop_after_primary(AFTER_PRIMARY_MS));
        }
    }

    /// Ends the keeper and its server for good.
    fn take_away(&mut self, node: &DataNode) {
        self.take_down(node, Moment::default());
        self.kept.remove(node);
        self.board.send_modify(|board| drop(board.remove(node)));
    }

    /// Keeps what PostgreSQL prints within bounds, as logs of our own.
    async fn turn_logs(&self, stop: &Stop) {
        let folder = |node: &DataNode| self.options.databases.join(node.to_string()).join("log");
        let folders: Vec<PathBuf> = self.kept.keys().map(folder).collect();
        aside(stop, move || folders.iter().for_each(|folder| logs::turn(folder))).await;
    }

    /// Writes down which servers run, for whoever has to find them without their agent.
    async fn note(&mut self, board: &Board, stop: &Stop) {
        let mut pids: Vec<u32> = board.values().filter_map(|status| status.server_pid).collect();
        pids.sort_unstable();
        if pids == self.noted {
            return;
        }
        let servers: Vec<ProcessId> = pids.iter().filter_map(|pid| ProcessId::of(*pid)).collect();
        let dir = self.options.dir.clone();
        match aside(stop, move || note_servers(&dir, &servers)).await {
            Some(Ok(())) => self.noted = pids,
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "servers are not noted");
            }
            None => {}
        }
    }

    async fn end(mut self) {
        let nodes: Vec<DataNode> = self.kept.keys().cloned().collect();
        let all = self.options.ending.as_ref().is_some_and(|file| file.exists());
        for node in nodes {
            if all {
                self.take_down_last(&node);
            } else {
                self.take_down(&node, Moment::default());
            }
        }
        let grace_ms = STOP_MS + if all { AFTER_PRIMARY_MS } else { 0 };
        self.ending.shutdown(Limits { grace_ms, ..Limits::default() }).await;
    }
}

/// Waits for a disk without the thread that all keepers of the zone share; `None`: this ends meanwhile.
async fn aside<T: Send + 'static>(stop: &Stop, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.requested() => None,
        done = tokio::task::spawn_blocking(work) => done.ok(),
    }
}

/// The name of the task that stops a node's server.
fn stop_of(node: &DataNode) -> String {
    format!("stop of {node}")
}

/// Carries what one keeper says to the board, at once, until the keeper ends.
async fn forward(
    node: DataNode,
    mut status: watch::Receiver<Arc<KeeperStatus>>,
    board: watch::Sender<Board>,
) {
    status.mark_changed();
    while status.changed().await.is_ok() {
        let next = status.borrow_and_update().clone();
        board.send_if_modified(|board| match board.get_mut(&node) {
            Some(known) => {
                let newer = *known != next;
                *known = next;
                newer
            }
            // No longer planned: what it says while it ends is for nobody.
            None => false,
        });
    }
}

#[cfg(test)]
#[path = "keepers_tests.rs"]
mod tests;
