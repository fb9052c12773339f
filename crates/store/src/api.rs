use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use world::Clock;

use crate::client::Client;
use crate::etcd::{Etcd, EtcdOptions, Follower};
use crate::kv::{self, Reply, Request};
use crate::simulated::Link;
use crate::{
    Class, Entry, Event, Faults, LeaseId, Op, Refusal, Revision, SimulatedStore, StoreError, Token, Txn,
    TxnReply,
};

/// One step of a watch waits this long at the store for a change, in milliseconds; also how often a silent watch
/// learns that history has moved on.
const POLL_WAIT_MS: u64 = 2_000;
/// Waits between two tries of a watch that cannot reach the store, in milliseconds: first and longest.
const WATCH_RETRY_MS: (u64, u64) = (20, 250);

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// A request without an answer by then has failed, in milliseconds. Two of these fit into the 1500 ms an agent's
    /// lease lives; etcd's write gap was measured as twice this.
    pub timeout_ms: u64,
}

impl Default for ClientOptions {
    /// 400 ms.
    fn default() -> ClientOptions {
        ClientOptions { timeout_ms: 400 }
    }
}

/// A handle on a store; clones share one connection.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Client(Arc<Client>),
    Etcd(Arc<Etcd>),
    Simulated(Arc<Link>),
}

impl Store {
    /// A store that [`crate::serve`] serves. Returns at once and connects behind the scenes, again after each loss;
    /// must be called within a tokio runtime.
    #[must_use]
    pub fn connect(address: SocketAddr, token: Token) -> Store {
        Store::connect_with(address, token, ClientOptions::default())
    }

    /// As [`Store::connect`].
    #[must_use]
    pub fn connect_with(address: SocketAddr, token: Token, options: ClientOptions) -> Store {
        Store { backend: Backend::Client(Arc::new(Client::start(address, token, options))) }
    }

    /// A part of an etcd cluster (proven on 3.4.23), over plain HTTP: keys and a login go in the clear, so the network
    /// between must be a trusted one. Returns at once and connects when needed; must be called within a tokio runtime.
    ///
    /// A frozen, cut or lost member is passed over after a third of the time-out; only requests that were with it may
    /// fail. While etcd chooses a leader (its election timeout, and as much again at the worst) requests fail as
    /// [`Class::Transient`] when they could not be sent, and as [`Class::Unknown`] when they were under way. A write
    /// sent to a frozen leader may still be carried out when it thaws.
    ///
    /// What differs: bounds on the whole store, on leases and on keys of one lease are etcd's own, and a range of more
    /// than [`crate::STORE_BYTES_MAX`] is refused; [`Store::grant`] says what becomes of a time to live. History goes
    /// back to etcd's last compaction, which its operator must have set (`--auto-compaction-retention`): without, its
    /// file grows to its quota, and then it takes no write. Members of two clusters are not mixed up; after a
    /// restoration of etcd as a new cluster its clients start anew.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the options name no member, one twice, a prefix that cannot be one, or a time-out
    /// out of bounds.
    pub fn etcd(options: EtcdOptions) -> Result<Store, StoreError> {
        Ok(Store { backend: Backend::Etcd(Arc::new(Etcd::start(options)?)) })
    }

    /// A store in memory behind a link with `faults`; the same seed gives the same run. The [`SimulatedStore`] breaks
    /// it and makes further handles.
    #[must_use]
    pub fn simulated(seed: u64, clock: Clock, faults: Faults) -> (Store, SimulatedStore) {
        let simulated = SimulatedStore::new(seed, clock);
        (simulated.link(faults), simulated)
    }

    pub(crate) fn linked(link: Link) -> Store {
        Store { backend: Backend::Simulated(Arc::new(link)) }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.backend {
            Backend::Simulated(link) => Some(link),
            Backend::Client(_) | Backend::Etcd(_) => None,
        }
    }

    /// What is wrong with the store although it answers, for people, with the way out: etcd is full, or will be, as nobody
    /// compacts it, or has raised another alarm. `None` also where that cannot be known.
    pub async fn complaint(&self) -> Option<String> {
        match &self.backend {
            Backend::Etcd(etcd) => etcd.complaint().await,
            Backend::Client(_) | Backend::Simulated(_) => None,
        }
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// [`StoreError`]; never [`Class::Unknown`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        kv::check_key(key).map_err(StoreError::Refused)?;
        match self.call(Request::Get { key: key.to_owned() }).await? {
            Reply::Entry(entry) => Ok(entry.map(Arc::unwrap_or_clone)),
            other => Err(unexpected(&other)),
        }
    }

    /// Every entry whose key starts with `prefix`, in the order of the keys, and the revision they are of: a watch
    /// from that plus one misses nothing.
    ///
    /// # Errors
    /// [`StoreError`]; never [`Class::Unknown`].
    pub async fn range(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), StoreError> {
        kv::check_prefix(prefix).map_err(StoreError::Refused)?;
        match self.call(Request::Range { prefix: prefix.to_owned() }).await? {
            Reply::Entries { entries, revision } => {
                Ok((entries.into_iter().map(Arc::unwrap_or_clone).collect(), revision))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Carries out `txn` as a whole when its conditions hold.
    ///
    /// # Errors
    /// [`StoreError`]; with [`Class::Unknown`] it may have been done.
    pub async fn txn(&self, txn: Txn) -> Result<TxnReply, StoreError> {
        kv::check_txn(&txn).map_err(StoreError::Refused)?;
        match self.call(Request::Txn(txn)).await? {
            Reply::Txn(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets `key`, whatever it was; the answer is the change's revision.
    ///
    /// # Errors
    /// As [`Store::txn`].
    pub async fn put(
        &self,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> Result<Revision, StoreError> {
        let put = Op::Put { key: key.into(), value: value.into(), lease: None };
        Ok(self.txn(Txn { compare: Vec::new(), then: vec![put] }).await?.revision)
    }

    /// Removes `key`, if it is there; the answer is the store's revision afterwards.
    ///
    /// # Errors
    /// As [`Store::txn`].
    pub async fn delete(&self, key: impl Into<String>) -> Result<Revision, StoreError> {
        let delete = Op::Delete { key: key.into() };
        Ok(self.txn(Txn { compare: Vec::new(), then: vec![delete] }).await?.revision)
    }

    /// A new lease that ends `ttl_ms` after it was last kept alive, and not before.
    ///
    /// On etcd it may live longer. etcd counts whole seconds, so the time is rounded up to one; then it lives no
    /// shorter than one and a half election timeouts, rounded up again (1 s for a timeout up to 666 ms; 2 s for its
    /// default of 1 s). Ended leases are looked for each 500 ms, and a new leader of etcd, or a restarted cluster, lets
    /// every lease live its whole time again. An agent's 1500 ms so become 2 s, and up to 2.5 s until others see it.
    ///
    /// # Errors
    /// [`StoreError`]; with [`Class::Unknown`] there may be a lease nobody knows, which ends by itself.
    pub async fn grant(&self, ttl_ms: u64) -> Result<LeaseId, StoreError> {
        kv::check_ttl(ttl_ms).map_err(StoreError::Refused)?;
        match self.call(Request::Grant { ttl_ms }).await? {
            Reply::Granted { lease } => Ok(lease),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets `lease` live its whole time again; `false`: it is gone, and its keys with it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_alive(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.lease(Request::KeepAlive { lease }).await
    }

    /// Ends `lease` and removes its keys, at one revision; `false`: it was gone already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.lease(Request::Revoke { lease }).await
    }

    async fn lease(&self, request: Request) -> Result<bool, StoreError> {
        match self.call(request).await? {
            Reply::Lease { alive } => Ok(alive),
            other => Err(unexpected(&other)),
        }
    }

    /// Follows the keys that start with `prefix` through every change from revision `from` on; 0: from now on. A
    /// revision to come is waited for.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::is_compacted`] when `from` is too old.
    pub async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, StoreError> {
        kv::check_prefix(prefix).map_err(StoreError::Refused)?;
        let follower = match &self.backend {
            Backend::Etcd(etcd) => Some(Follower::new(etcd.clone(), prefix)),
            Backend::Client(_) | Backend::Simulated(_) => None,
        };
        let (store, prefix) = (self.clone(), prefix.to_owned());
        let mut watch = Watch { store, prefix, next: from, first: Vec::new(), follower };
        watch.first = watch.step(0).await?;
        Ok(watch)
    }

    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let reply = match &self.backend {
            Backend::Client(client) => client.call(request).await?,
            Backend::Etcd(etcd) => etcd.call(request).await?,
            Backend::Simulated(link) => link.call(request).await?,
        };
        match reply {
            Reply::Refused(refusal) => Err(StoreError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    async fn pause(&self, ms: u64) {
        match &self.backend {
            Backend::Client(_) | Backend::Etcd(_) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Backend::Simulated(link) => link.clock().sleep_ms(ms).await,
        }
    }
}

/// The changes under a prefix, in order, none left out and none twice.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    prefix: String,
    next: Revision,
    first: Vec<Event>,
    /// etcd's stream of changes; the other stores are asked step by step.
    follower: Option<Follower>,
}

impl Watch {
    /// Waits for the next changes; whole transactions, never empty. While the store cannot be reached it waits on and
    /// then goes on where it was. Cancel-safe: a dropped wait loses nothing.
    ///
    /// # Errors
    /// [`StoreError::is_compacted`] when the store no longer knows what happened meanwhile: range again and start a
    /// new watch. Other permanent errors as they are.
    pub async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        let mut retry_ms = WATCH_RETRY_MS.0;
        loop {
            if !self.first.is_empty() {
                return Ok(std::mem::take(&mut self.first));
            }
            match self.step(POLL_WAIT_MS).await {
                Ok(events) => {
                    self.first = events;
                    retry_ms = WATCH_RETRY_MS.0;
                }
                Err(error) if error.class() == Class::Permanent => return Err(error),
                Err(error) => {
                    debug!(prefix = %self.prefix, from = self.next, %error, "watch interrupted");
                    self.store.pause(retry_ms).await;
                    retry_ms = (retry_ms * 2).min(WATCH_RETRY_MS.1);
                }
            }
        }
    }

    /// Every change below this revision has been handed out.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.first.first().map_or(self.next, Event::revision)
    }

    async fn step(&mut self, wait_ms: u64) -> Result<Vec<Event>, StoreError> {
        if let Some(follower) = &mut self.follower {
            let (events, next) = follower.step(self.next, wait_ms).await?;
            self.next = next;
            return Ok(events);
        }
        let poll = Request::Poll { prefix: self.prefix.clone(), from: self.next, wait_ms };
        match self.store.call(poll).await? {
            Reply::Events { events, next } => {
                self.next = next;
                Ok(events.into_iter().map(Event::from).collect())
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// A reply of the wrong kind: the peer is not the store it says it is.
fn unexpected(reply: &Reply) -> StoreError {
    debug!(?reply, "unexpected reply");
    StoreError::Refused(Refusal::Garbled)
}
