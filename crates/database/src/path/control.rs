//! Applies snapshots: opens and closes listeners, opens, holds and ends by [`Standing`]. On a thread of its own, so that
//! a busy front still hears of a switch at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use world::{Stop, Stopper};

use super::decide::{Sessions, Standing};
use super::open::{Door, Gate};
use super::snapshot::{DataSnapshot, Served};
use super::worker::Worker;

/// An address that could not be had is tried again after this long, in milliseconds.
const LISTEN_AGAIN_MS: u64 = 250;

/// What reports say of the snapshot in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    pub revision: u64,
    pub listen: Vec<SocketAddr>,
    pub refused: BTreeMap<SocketAddr, String>,
}

/// Locks; whoever panicked while it held the lock left a whole value behind, because it is set in one step.
pub(crate) fn lock(applied: &Mutex<Applied>) -> MutexGuard<'_, Applied> {
    applied.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database that is served.
struct Database {
    standing: Standing,
    gate: watch::Sender<Gate>,
    door: Arc<Door>,
    /// Ends the sessions of the primary in force; dropped with it, and with the database.
    sessions: Stopper,
    /// Where it is to be found.
    listen: SocketAddr,
    /// Its open listener, closed by being dropped.
    listener: Option<(SocketAddr, Stopper)>,
}

/// The loop that applies snapshots.
pub(crate) struct Control {
    workers: Vec<Worker>,
    applied: Arc<Mutex<Applied>>,
    databases: BTreeMap<String, Database>,
    revision: u64,
    refused: BTreeMap<SocketAddr, String>,
}

impl Control {
    pub fn new(workers: Vec<Worker>, applied: Arc<Mutex<Applied>>) -> Control {
        Control { workers, applied, databases: BTreeMap::new(), revision: 0, refused: BTreeMap::new() }
    }

    /// The thread's main function. With `drain` it closes the listeners; with `cut` it ends every session and returns.
    pub fn run(
        mut self,
        runtime: &Runtime,
        snapshots: watch::Receiver<Arc<DataSnapshot>>,
        drain: &Stop,
        cut: &Stop,
    ) {
        runtime.block_on(async {
            self.follow(snapshots, drain).await;
            for database in self.databases.values_mut() {
                database.listener = None;
            }
            self.tell();
            cut.requested().await;
        });
    }

    async fn follow(&mut self, mut snapshots: watch::Receiver<Arc<DataSnapshot>>, drain: &Stop) {
        snapshots.mark_changed();
        loop {
            let again = Duration::from_millis(LISTEN_AGAIN_MS);
            tokio::select! {
                biased;
                () = drain.requested() => return,
                next = next(&mut snapshots) => self.apply(&next),
                () = tokio::time::sleep(again), if !self.refused.is_empty() => self.listen(),
            }
            self.tell();
        }
    }

    fn apply(&mut self, snapshot: &DataSnapshot) {
        if snapshot.revision < self.revision {
            return;
        }
        self.revision = snapshot.revision;
        let names: BTreeSet<&str> = snapshot.databases.iter().map(|served| served.name.as_str()).collect();
        // Dropped: listener, gate and sessions end.
        self.databases.retain(|name, _| names.contains(name.as_str()));
        for served in &snapshot.databases {
            match self.databases.get_mut(&served.name) {
                Some(database) => database.apply(served),
                None => {
                    self.databases.insert(served.name.clone(), Database::new(served));
                }
            }
        }
        self.listen();
    }

    /// Opens what is not open.
    fn listen(&mut self) {
        self.refused.clear();
        let wanting = self.databases.values_mut().filter(|database| database.listener.is_none());
        for database in wanting {
            match database.open(&self.workers) {
                Ok(stopper) => database.listener = Some((database.listen, stopper)),
                Err(error) => {
                    self.refused.insert(database.listen, error.to_string());
                }
            }
        }
    }

    fn tell(&self) {
        let open = self.databases.values().filter_map(|database| database.listener.as_ref());
        *lock(&self.applied) = Applied {
            revision: self.revision,
            listen: open.map(|(address, _)| *address).collect(),
            refused: self.refused.clone(),
        };
    }
}

impl Database {
    fn new(served: &Served) -> Database {
        let (standing, _) = Standing::default().step(served.term, served.primary, served.hold);
        let (sessions, over) = Stop::pair();
        let (gate, seen) = watch::channel(Gate { open: standing.open, over });
        let door = Arc::new(Door::new(served.name.clone(), seen));
        Database { standing, gate, door, sessions, listen: served.listen, listener: None }
    }

    fn apply(&mut self, served: &Served) {
        let (standing, sessions) = self.standing.step(served.term, served.primary, served.hold);
        if standing != self.standing {
            let name = &served.name;
            tracing::info!(database = %name, term = standing.term, primary = ?standing.open, ?sessions, "switched");
        }
        let ended = (sessions == Sessions::End).then(Stop::pair);
        if standing.open != self.standing.open || ended.is_some() {
            let over = ended.as_ref().map(|(_, over)| over.clone());
            let over = over.unwrap_or_else(|| self.sessions.stop());
            // The gate first: whoever is ended and comes back at once must not meet the old one.
            self.gate.send_replace(Gate { open: standing.open, over });
        }
        if let Some((stopper, _)) = ended {
            std::mem::replace(&mut self.sessions, stopper).request();
        }
        self.standing = standing;
        self.listen = served.listen;
        // A listener that moves is opened anew.
        self.listener = self.listener.take().filter(|(address, _)| *address == served.listen);
    }

    /// Opens the listener on every thread.
    fn open(&self, workers: &[Worker]) -> std::io::Result<Stopper> {
        let sockets = net::listener::open(self.listen, workers.len())?;
        let (stopper, stop) = Stop::pair();
        for (worker, socket) in workers.iter().zip(sockets) {
            worker.accept(socket, self.listen, Arc::clone(&self.door), stop.clone())?;
        }
        Ok(stopper)
    }
}

/// The next snapshot. When the agent's side is gone there is none, and the last one stays in force.
async fn next(snapshots: &mut watch::Receiver<Arc<DataSnapshot>>) -> Arc<DataSnapshot> {
    if snapshots.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    Arc::clone(&snapshots.borrow_and_update())
}
