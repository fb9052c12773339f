//! The state machine both implementations share. Pure: what happens follows from the requests, their order and the
//! moments handed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use model::Moment;
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// Counts the changes of the whole store. An empty store is at 1, as etcd's is, so that 0 can say "absent".
pub type Revision = u64;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Most comparisons, and most changes, of one transaction; etcd's default.
pub const TXN_OPS_MAX: usize = 128;
/// Most bytes of keys and values a transaction may write.
pub const TXN_BYTES_MAX: usize = 512 * 1024;
/// Most bytes of keys and values in the store. Three zones of 100 units take well under one of these 32 MiB.
pub const STORE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most leases at one time; an agent holds two.
pub const LEASES_MAX: usize = 4096;
/// Most keys under one lease, so that its end still fits one message to each watch.
pub const LEASE_KEYS_MAX: usize = 1024;
/// Shortest time to live of a lease in milliseconds.
pub const TTL_MIN_MS: u64 = 50;
/// Longest time to live of a lease in milliseconds: a day.
pub const TTL_MAX_MS: u64 = 86_400_000;
/// Changes a watch can look back on: minutes of a busy control plane, which writes tens of keys a second.
pub const HISTORY_EVENTS: usize = 4096;
/// Bytes of keys and values those changes may hold; what is older goes first.
pub const HISTORY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Changes and bytes after which an answer to a watch is sent; a transaction is never split.
const POLL_EVENTS: usize = 512;
const POLL_BYTES: usize = 256 * 1024;
/// What an entry costs beside its key and value, roughly.
const ENTRY_BYTES: usize = 64;

/// A lease: keys put under it go when it is not kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// A key, its value and its history in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value; JSON by custom, any bytes by right.
    #[serde(with = "crate::wire::value")]
    pub value: Vec<u8>,
    /// The revision that created it.
    pub created: Revision,
    /// The revision that last put it.
    pub modified: Revision,
    /// The lease it goes with.
    pub lease: Option<LeaseId>,
}

/// A condition of a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The key was last put at exactly this revision.
    Modified {
        /// The key.
        key: String,
        /// The revision; 0: the key is absent.
        revision: Revision,
    },
}

/// A change of a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Sets a key. Without a lease it leaves the lease it was under.
    Put {
        /// The key.
        key: String,
        /// The value.
        #[serde(with = "crate::wire::value")]
        value: Vec<u8>,
        /// Goes with this lease.
        lease: Option<LeaseId>,
    },
    /// Removes a key; an absent one stays absent and is no change.
    Delete {
        /// The key.
        key: String,
    },
}

impl Op {
    fn key(&self) -> &str {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// Changes that happen together, at one revision, when every condition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// All must hold.
    pub compare: Vec<Compare>,
    /// Carried out as a whole; no key twice.
    pub then: Vec<Op>,
}

/// What became of a [`Txn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnReply {
    /// The conditions held and the changes were made.
    pub done: bool,
    /// The store's revision afterwards: that of the changes, when there were any.
    pub revision: Revision,
}

/// A change, as a watch sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A key was set; the revision is `modified`.
    Put(Entry),
    /// A key went, by a delete or with its lease.
    Delete {
        /// The key.
        key: String,
        /// The revision of its going.
        revision: Revision,
    },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Event::Put(entry) => &entry.key,
            Event::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put(entry) => entry.modified,
            Event::Delete { revision, .. } => *revision,
        }
    }
}

/// What can be asked. A poll is one step of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Get {
        key: String,
    },
    Range {
        prefix: String,
    },
    Txn(Txn),
    Grant {
        ttl_ms: u64,
    },
    KeepAlive {
        lease: LeaseId,
    },
    Revoke {
        lease: LeaseId,
    },
    /// Changes from revision `from` on (0: from now on), waiting up to `wait_ms` for one.
    Poll {
        prefix: String,
        from: Revision,
        wait_ms: u64,
    },
    /// Shows that the peer lives.
    Ping,
}

impl Request {
    /// A read may be repeated whatever became of it.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Request::Get { .. } | Request::Range { .. } | Request::Poll { .. } | Request::Ping)
    }
}

/// An [`Event`] that shares its entry with the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Put(Arc<Entry>),
    Delete { key: String, revision: Revision },
}

impl Change {
    fn revision(&self) -> Revision {
        match self {
            Change::Put(entry) => entry.modified,
            Change::Delete { revision, .. } => *revision,
        }
    }

    fn key(&self) -> &str {
        match self {
            Change::Put(entry) => &entry.key,
            Change::Delete { key, .. } => key,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Change::Put(entry) => size(&entry.key, entry.value.len()),
            Change::Delete { key, .. } => size(key, 0),
        }
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Event {
        match change {
            Change::Put(entry) => Event::Put(Arc::unwrap_or_clone(entry)),
            Change::Delete { key, revision } => Event::Delete { key, revision },
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Entry(Option<Arc<Entry>>),
    Entries {
        entries: Vec<Arc<Entry>>,
        revision: Revision,
    },
    Txn(TxnReply),
    Granted {
        lease: LeaseId,
    },
    /// Whether the lease was there.
    Lease {
        alive: bool,
    },
    /// `next` is where the watch goes on.
    Events {
        events: Vec<Change>,
        next: Revision,
    },
    Pong,
    Refused(Refusal),
}

/// What must be on the disk before the reply may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put(Arc<Entry>),
    Delete(String),
    Lease { id: LeaseId, ttl_ms: u64 },
    LeaseGone(LeaseId),
}

/// How far a watch can look back; [`HISTORY_EVENTS`] but for tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Default for History {
    fn default() -> History {
        History { events: HISTORY_EVENTS, bytes: HISTORY_BYTES_MAX }
    }
}

/// The part of the state that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) revision: Revision,
    pub(crate) next_lease: u64,
    pub(crate) entries: Vec<Entry>,
    /// Lease and its time to live in milliseconds.
    pub(crate) leases: Vec<(LeaseId, u64)>,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept { revision: 1, next_lease: 1, entries: Vec::new(), leases: Vec::new() }
    }
}

#[derive(Clone, Debug)]
struct Lease {
    ttl_ms: u64,
    deadline: Moment,
    keys: BTreeSet<String>,
}

/// The store's state.
#[derive(Debug)]
pub(crate) struct Kv {
    revision: Revision,
    /// Never handed out twice, also over restarts: a late holder must not keep another's lease alive.
    next_lease: u64,
    entries: BTreeMap<String, Arc<Entry>>,
    bytes: usize,
    leases: BTreeMap<LeaseId, Lease>,
    history: VecDeque<Change>,
    history_bytes: usize,
    history_limit: History,
    /// Changes before this revision are no longer in `history`.
    oldest: Revision,
}

impl Kv {
    /// Nothing yet.
    pub(crate) fn empty(history_limit: History) -> Kv {
        let Kept { revision, next_lease, .. } = Kept::default();
        Kv {
            revision,
            next_lease,
            entries: BTreeMap::new(),
            bytes: 0,
            leases: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            history_limit,
            oldest: revision,
        }
    }

    /// Takes up what was kept. Leases start afresh: their holders could not renew them meanwhile.
    ///
    /// # Errors
    /// A sentence when `kept` contradicts itself, which no write of ours does.
    pub(crate) fn new(kept: Kept, history_limit: History, now: Moment) -> Result<Kv, String> {
        let mut kv = Kv::empty(history_limit);
        if kept.revision > kv.revision {
            kv.oldest = kept.revision.saturating_add(1);
        }
        kv.revision = kept.revision;
        kv.next_lease = kept.next_lease;
        for (id, ttl_ms) in kept.leases {
            if id.0 >= kv.next_lease {
                return Err(format!("lease {} is newer than the count of leases", id.0));
            }
            kv.leases.insert(id, Lease { ttl_ms, deadline: now.plus(ttl_ms), keys: BTreeSet::new() });
        }
        for entry in kept.entries {
            if entry.modified > kv.revision || entry.created > entry.modified {
                return Err(format!("`{}` is newer than the store", entry.key));
            }
            if let Some(id) = entry.lease {
                let lease = kv.leases.get_mut(&id);
                let lease = lease.ok_or_else(|| format!("`{}` is under a lease that is gone", entry.key))?;
                lease.keys.insert(entry.key.clone());
            }
            kv.bytes += size(&entry.key, entry.value.len());
            kv.entries.insert(entry.key.clone(), Arc::new(entry));
        }
        Ok(kv)
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn next_lease(&self) -> u64 {
        self.next_lease
    }

    /// When the next lease ends, unless kept alive.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.leases.values().map(|lease| lease.deadline).min()
    }

    /// Carries out one request. The writes must be durable before the reply is sent; a keep-alive has none.
    pub(crate) fn apply(&mut self, request: &Request, now: Moment) -> (Reply, Vec<Write>) {
        let mut writes = Vec::new();
        let reply = match request {
            Request::Get { key } => Ok(Reply::Entry(self.entries.get(key).cloned())),
            Request::Range { prefix } => Ok(self.range(prefix)),
            Request::Txn(txn) => self.txn(txn, &mut writes),
            Request::Grant { ttl_ms } => self.grant(*ttl_ms, now, &mut writes),
            Request::KeepAlive { lease } => Ok(Reply::Lease { alive: self.keep_alive(*lease, now) }),
            Request::Revoke { lease } => Ok(Reply::Lease { alive: self.revoke(*lease, &mut writes) }),
            Request::Poll { prefix, from, .. } => self.poll(prefix, *from),
            Request::Ping => Ok(Reply::Pong),
        };
        (reply.unwrap_or_else(Reply::Refused), writes)
    }

    /// Ends the leases whose time is over, each at a revision of its own.
    pub(crate) fn expire(&mut self, now: Moment) -> Vec<Write> {
        let over: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| lease.deadline <= now).map(|(id, _)| *id).collect();
        let mut writes = Vec::new();
        for id in over {
            self.revoke(id, &mut writes);
        }
        writes
    }

    /// Gives every lease `ms` more, after a time in which the store could not hear its holders.
    pub(crate) fn postpone(&mut self, ms: u64) {
        for lease in self.leases.values_mut() {
            lease.deadline = lease.deadline.plus(ms);
        }
    }

    fn range(&self, prefix: &str) -> Reply {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let tail = self.entries.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        Reply::Entries { entries: tail.map(|(_, entry)| entry.clone()).collect(), revision: self.revision }
    }

    fn txn(&mut self, txn: &Txn, writes: &mut Vec<Write>) -> Result<Reply, Refusal> {
        check_txn(txn)?;
        let holds = txn.compare.iter().all(|Compare::Modified { key, revision }| {
            self.entries.get(key).map_or(0, |entry| entry.modified) == *revision
        });
        if !holds {
            return Ok(Reply::Txn(TxnReply { done: false, revision: self.revision }));
        }
        self.check_room(txn)?;
        let revision = self.revision + 1;
        for op in &txn.then {
            match op {
                Op::Put { key, value, lease } => {
                    let created = self.entries.get(key).map_or(revision, |old| old.created);
                    let (key, value, lease) = (key.clone(), value.clone(), *lease);
                    self.put(Entry { key, value, created, modified: revision, lease }, writes);
                }
                Op::Delete { key } => self.remove(key, revision, writes),
            }
        }
        // A delete of an absent key is no change, so it takes no revision, as in etcd.
        if !writes.is_empty() {
            self.revision = revision;
        }
        self.forget();
        Ok(Reply::Txn(TxnReply { done: true, revision: self.revision }))
    }

    /// Refuses before anything is changed what cannot be carried out as a whole.
    fn check_room(&self, txn: &Txn) -> Result<(), Refusal> {
        let (mut bytes, mut grows) = (self.bytes, false);
        let mut under: BTreeMap<LeaseId, usize> = BTreeMap::new();
        for op in &txn.then {
            let old = self.entries.get(op.key());
            bytes -= old.map_or(0, |old| size(&old.key, old.value.len()));
            let Op::Put { key, value, lease } = op else { continue };
            bytes += size(key, value.len());
            grows = true;
            if let Some(id) = lease {
                let held = &self.leases.get(id).ok_or(Refusal::NoLease { lease: id.0 })?.keys;
                *under.entry(*id).or_insert(held.len()) += usize::from(!held.contains(key));
            }
        }
        if grows {
            bounds("bytes in the store", bytes, 0, STORE_BYTES_MAX)?;
        }
        under.values().try_for_each(|keys| bounds("keys under one lease", *keys, 0, LEASE_KEYS_MAX))
    }

    fn put(&mut self, entry: Entry, writes: &mut Vec<Write>) {
        let entry = Arc::new(entry);
        self.bytes += size(&entry.key, entry.value.len());
        if let Some(old) = self.entries.insert(entry.key.clone(), entry.clone()) {
            self.bytes -= size(&old.key, old.value.len());
            self.detach(&old);
        }
        if let Some(lease) = entry.lease.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.insert(entry.key.clone());
        }
        writes.push(Write::Put(entry.clone()));
        self.remember(Change::Put(entry));
    }

    fn remove(&mut self, key: &str, revision: Revision, writes: &mut Vec<Write>) {
        let Some(old) = self.entries.remove(key) else { return };
        self.bytes -= size(key, old.value.len());
        self.detach(&old);
        writes.push(Write::Delete(key.to_owned()));
        self.remember(Change::Delete { key: key.to_owned(), revision });
    }

    fn detach(&mut self, old: &Entry) {
        if let Some(lease) = old.lease.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.remove(&old.key);
        }
    }

    fn grant(&mut self, ttl_ms: u64, now: Moment, writes: &mut Vec<Write>) -> Result<Reply, Refusal> {
        check_ttl(ttl_ms)?;
        bounds("leases in the store", self.leases.len() + 1, 0, LEASES_MAX)?;
        let id = LeaseId(self.next_lease);
        self.next_lease += 1;
        self.leases.insert(id, Lease { ttl_ms, deadline: now.plus(ttl_ms), keys: BTreeSet::new() });
        writes.push(Write::Lease { id, ttl_ms });
        Ok(Reply::Granted { lease: id })
    }

    fn keep_alive(&mut self, id: LeaseId, now: Moment) -> bool {
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        lease.deadline = lease.deadline.max(now.plus(lease.ttl_ms));
        true
    }

    fn revoke(&mut self, id: LeaseId, writes: &mut Vec<Write>) -> bool {
        let Some(lease) = self.leases.remove(&id) else { return false };
        let revision = self.revision + 1;
        for key in &lease.keys {
            self.remove(key, revision, writes);
        }
        if !lease.keys.is_empty() {
            self.revision = revision;
        }
        self.forget();
        writes.push(Write::LeaseGone(id));
        true
    }

    /// The changes under `prefix` from revision `from` on, whole transactions only.
    fn poll(&self, prefix: &str, from: Revision) -> Result<Reply, Refusal> {
        if from == 0 {
            return Ok(Reply::Events { events: Vec::new(), next: self.revision + 1 });
        }
        if from < self.oldest {
            return Err(Refusal::Compacted { oldest: self.oldest });
        }
        let start = self.history.partition_point(|change| change.revision() < from);
        let mut events: Vec<Change> = Vec::new();
        let mut bytes = 0;
        for change in self.history.iter().skip(start) {
            let new_txn = events.last().is_some_and(|last| last.revision() != change.revision());
            if new_txn && (events.len() >= POLL_EVENTS || bytes >= POLL_BYTES) {
                return Ok(Reply::Events { events, next: change.revision() });
            }
            if change.key().starts_with(prefix) {
                bytes += change.bytes();
                events.push(change.clone());
            }
        }
        Ok(Reply::Events { events, next: from.max(self.revision + 1) })
    }

    fn remember(&mut self, change: Change) {
        self.history_bytes += change.bytes();
        self.history.push_back(change);
    }

    /// Drops the oldest changes, whole transactions at a time.
    fn forget(&mut self) {
        while self.history.len() > self.history_limit.events || self.history_bytes > self.history_limit.bytes
        {
            let Some(gone) = self.history.pop_front() else { return };
            self.history_bytes -= gone.bytes();
            self.oldest = gone.revision() + 1;
            while self.history.front().is_some_and(|next| next.revision() < self.oldest) {
                self.history_bytes -= self.history.pop_front().map_or(0, |change| change.bytes());
            }
        }
    }

    /// What must be found again after a restart.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            revision: self.revision,
            next_lease: self.next_lease,
            entries: self.entries.values().map(|entry| Entry::clone(entry)).collect(),
            leases: self.leases.iter().map(|(id, lease)| (*id, lease.ttl_ms)).collect(),
        }
    }
}

/// What can be said about a transaction without the state.
pub(crate) fn check_txn(txn: &Txn) -> Result<(), Refusal> {
    bounds("comparisons in a transaction", txn.compare.len(), 0, TXN_OPS_MAX)?;
    bounds("changes in a transaction", txn.then.len(), 0, TXN_OPS_MAX)?;
    let compared = txn.compare.iter().map(|Compare::Modified { key, .. }| key.as_str());
    compared.chain(txn.then.iter().map(Op::key)).try_for_each(check_key)?;
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    for op in &txn.then {
        if !seen.insert(op.key()) {
            return Err(Refusal::Duplicate { key: op.key().to_owned() });
        }
        if let Op::Put { key, value, .. } = op {
            bytes += key.len() + value.len();
        }
    }
    bounds("bytes in a transaction", bytes, 0, TXN_BYTES_MAX)
}

pub(crate) fn check_key(key: &str) -> Result<(), Refusal> {
    bounds("bytes in a key", key.len(), 1, KEY_BYTES_MAX)
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Refusal> {
    bounds("bytes in a prefix", prefix.len(), 0, KEY_BYTES_MAX)
}

pub(crate) fn check_ttl(ttl_ms: u64) -> Result<(), Refusal> {
    if (TTL_MIN_MS..=TTL_MAX_MS).contains(&ttl_ms) {
        return Ok(());
    }
    Err(Refusal::Bounds {
        what: "time to live in milliseconds".to_owned(),
        value: ttl_ms,
        least: TTL_MIN_MS,
        most: TTL_MAX_MS,
    })
}

fn bounds(what: &str, value: usize, least: usize, most: usize) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Refusal::Bounds {
        what: what.to_owned(),
        value: value as u64,
        least: least as u64,
        most: most as u64,
    })
}

fn size(key: &str, value_bytes: usize) -> usize {
    key.len() + value_bytes + ENTRY_BYTES
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
