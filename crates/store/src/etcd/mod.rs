//! The store on etcd, through its HTTP/JSON gateway: no gRPC, no protocol buffers, and one HTTP client that the
//! workspace has anyway.
//!
//! Promise: a write is sent to one member at a time and to another only when not a byte of it was sent before, or
//! etcd said that it did not carry it out; so it is done at most once, and an answer that got lost is
//! [`Class::Unknown`]. Reads, grants (under an id of our choice) and keep-alives may be carried out twice without
//! harm; these are sent to further members while the first is silent. Reads are linearizable.
//!
//! Measured with three members of 3.4.23 on loopback, two busy cores, election timeout 500 ms: a put takes 1.7 ms and
//! a get 0.84 ms at the median (embedded: 0.37 and 0.09); after the leader was killed or frozen the first write
//! succeeds within 0.53 to 0.92 s (40 tries). `cargo test -p store --release --test etcd measure -- --ignored
//! --nocapture` prints it.
//!
//! Deliberately absent: discovery by DNS records, and compaction.

mod follow;
mod gateway;
mod http;
mod login;
mod members;
mod options;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout_at};
use world::Tasks;

pub(crate) use follow::Follower;
use gateway::{
    Answer, Fault, GrantAnswer, KeepAliveAnswer, RangeAnswer, RevokeAnswer, StatusAnswer, TxnAnswer,
};
use members::{Members, Trouble};
pub use options::{Endpoint, EtcdLogin, EtcdOptions};
pub use tls::EtcdTls;

use crate::kv::{Reply, Request};
use crate::{Class, Entry, LeaseId, Refusal, Revision, STORE_BYTES_MAX, StoreError, Txn, TxnReply, token};

const RANGE: &str = "/v3/kv/range";
const TXN: &str = "/v3/kv/txn";
const GRANT: &str = "/v3/lease/grant";
const KEEP_ALIVE: &str = "/v3/lease/keepalive";
const REVOKE: &str = "/v3/lease/revoke";
const WATCH: &str = "/v3/watch";
const STATUS: &str = "/v3/maintenance/status";

/// Requests under way at one time; further ones wait within their time-out. Bounds connections and memory.
const CALLS_MAX: usize = 16;
/// Keys of a page at first; halved when an answer is too long for the gateway, whose bound in etcd 3.4 is 4 MiB.
const PAGE_KEYS: u32 = 1_024;
/// A range whose revision is compacted while its pages are read starts again this often.
const RANGE_TRIES: u32 = 3;
/// Before a request that failed at every member goes round again, in milliseconds.
const ROUND_MS: u64 = 20;

/// A handle on etcd.
pub(crate) struct Etcd {
    members: Arc<Members>,
    calls: tokio::sync::Semaphore,
    /// Ends probes and connections with the last handle.
    _tasks: Tasks,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.members.order().into_iter().map(|at| self.members.name(at)).collect();
        f.debug_struct("Etcd").field("members", &names).finish_non_exhaustive()
    }
}

impl Etcd {
    pub(crate) fn start(options: EtcdOptions) -> Result<Etcd, StoreError> {
        options.check_all()?;
        let tasks = Tasks::new();
        let members = Arc::new(Members::new(options, tasks.spawner()));
        for index in 0..members.all.len() {
            let name = format!("store/etcd {}", members.name(index));
            tasks.spawn(name, members::look_after(members.clone(), index, tasks.stop()));
        }
        tasks.spawn("store/etcd login", login::stay(members.clone(), tasks.stop()));
        Ok(Etcd { members, calls: tokio::sync::Semaphore::new(CALLS_MAX), _tasks: tasks })
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let end = Instant::now() + self.members.timeout;
        let Ok(Ok(_permit)) = timeout_at(end, self.calls.acquire()).await else {
            return Err(StoreError::Refused(Refusal::Busy));
        };
        match request {
            Request::Get { key } => self.get(&key, end).await,
            Request::Range { prefix } => self.range(&prefix).await,
            Request::Txn(txn) => self.txn(&txn, end).await,
            Request::Grant { ttl_ms } => self.grant(ttl_ms, end).await,
            Request::KeepAlive { lease } => self.keep_alive(lease, end).await,
            Request::Revoke { lease } => self.revoke(lease, end).await,
            // Watches have a way of their own, and nobody asks for the other.
            Request::Poll { .. } | Request::Ping => Ok(Reply::Pong),
        }
    }

    /// What is wrong with it as a member says, with the way out; whoever does not answer, or may not tell, complains of
    /// nothing.
    pub(crate) async fn complaint(&self) -> Option<String> {
        let end = Instant::now() + self.members.timeout;
        self.logged_in(end).await.ok()?;
        // Each once: a proxy in between may let through nothing of the kind.
        for index in self.members.order() {
            if let Ok(answer) =
                self.attempt::<StatusAnswer>(index, STATUS, &Bytes::from_static(b"{}"), end).await
            {
                return answer.complaint();
            }
        }
        None
    }

    async fn get(&self, key: &str, end: Instant) -> Result<Reply, StoreError> {
        let part = &self.members.part;
        let body = Bytes::from(gateway::get(part, key));
        let answer: RangeAnswer = self.repeat(RANGE, body, end, true).await.map_err(Failed::plain)?.0;
        let entry = self.entries(answer)?.into_iter().next();
        Ok(Reply::Entry(entry.map(Arc::new)))
    }

    fn entries(&self, answer: RangeAnswer) -> Result<Vec<Entry>, StoreError> {
        answer.entries(&self.members.part).map_err(|why| StoreError::NoAnswer {
            address: "etcd".to_owned(),
            why,
            class: Class::Transient,
        })
    }

    /// All pages at one revision; each has a time-out of its own.
    async fn range(&self, prefix: &str) -> Result<Reply, StoreError> {
        let mut tries = 1;
        loop {
            match self.pages(prefix).await {
                Err(Failed { fault: Some(Fault::Compacted), .. }) if tries < RANGE_TRIES => tries += 1,
                Ok((entries, revision)) => {
                    let entries = entries.into_iter().map(Arc::new).collect();
                    return Ok(Reply::Entries { entries, revision });
                }
                Err(failed) => return Err(failed.plain()),
            }
        }
    }

    async fn pages(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), Failed> {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut revision, mut limit, mut bytes) = (0, PAGE_KEYS, 0);
        loop {
            let after = entries.last().map(|entry| entry.key.as_str());
            let body = Bytes::from(gateway::page(&self.members.part, prefix, after, limit, revision));
            let end = Instant::now() + self.members.timeout;
            let answer: RangeAnswer = match self.repeat(RANGE, body, end, true).await {
                Ok((answer, _)) => answer,
                Err(Failed { fault: Some(Fault::TooLong), .. }) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(failed) => return Err(failed),
            };
            if revision == 0 {
                revision = answer.header.revision.0;
            }
            let more = answer.more;
            let page = self.entries(answer).map_err(Failed::from)?;
            let moved = page.last().map(|last| &last.key) > entries.last().map(|last| &last.key);
            bytes += page.iter().map(|entry| entry.key.len() + entry.value.len()).sum::<usize>();
            entries.extend(page);
            if bytes > STORE_BYTES_MAX {
                return Err(too_much(bytes).into());
            }
            if !more {
                return Ok((entries, revision));
            }
            if !moved {
                // It would go on for ever. A page of foreign keys alone also ends here: nobody but us writes here.
                return Err(StoreError::Refused(Refusal::Garbled).into());
            }
        }
    }

    async fn txn(&self, txn: &Txn, end: Instant) -> Result<Reply, StoreError> {
        let body = Bytes::from(gateway::txn(&self.members.part, txn));
        match self.once::<TxnAnswer>(TXN, body, end).await {
            Ok(answer) => {
                let reply = TxnReply { done: answer.succeeded, revision: answer.header.revision.0 };
                Ok(Reply::Txn(reply))
            }
            Err(Failed { fault: Some(Fault::NoLease), .. }) => {
                // etcd does not say which; there is one, but for a txn that nobody writes.
                let lease = txn.then.iter().find_map(|op| match op {
                    crate::Op::Put { lease, .. } => lease.map(|lease| lease.0),
                    crate::Op::Delete { .. } => None,
                });
                Ok(Reply::Refused(Refusal::NoLease { lease: lease.unwrap_or(0) }))
            }
            Err(failed) => Err(failed.plain()),
        }
    }

    /// The id is ours, by chance: so a grant can be sent again, and a second one says that there is such a lease.
    async fn grant(&self, ttl_ms: u64, end: Instant) -> Result<Reply, StoreError> {
        loop {
            let random: [u8; 8] = token::random().map_err(|why| StoreError::Unreachable {
                address: "etcd".to_owned(),
                why: format!("no random numbers: {why}"),
            })?;
            // etcd's ids are positive.
            let lease = LeaseId((u64::from_le_bytes(random) >> 1).max(1));
            let body = Bytes::from(gateway::grant(lease, ttl_ms));
            match self.repeat::<GrantAnswer>(GRANT, body, end, false).await {
                Ok((answer, _)) if answer.id.0 == lease.0 => {
                    tracing::debug!(ttl_ms, ttl_s = answer.ttl_s.0, "lease granted");
                    return Ok(Reply::Granted { lease });
                }
                Ok((answer, _)) => return Ok(Reply::Granted { lease: LeaseId(answer.id.0) }),
                Err(Failed { fault: Some(Fault::LeaseExists), tries: 2.., .. }) => {
                    return Ok(Reply::Granted { lease });
                }
                // Somebody else's, by one chance in 2^63 for each lease there is.
                Err(Failed { fault: Some(Fault::LeaseExists), .. }) => {}
                Err(failed) => return Err(failed.plain()),
            }
        }
    }

    async fn keep_alive(&self, lease: LeaseId, end: Instant) -> Result<Reply, StoreError> {
        let body = Bytes::from(gateway::lease(lease));
        let kept = self.repeat::<KeepAliveAnswer>(KEEP_ALIVE, body.clone(), end, false).await;
        if kept.map_err(Failed::plain)?.0.alive() {
            return Ok(Reply::Lease { alive: true });
        }
        // etcd 3.4's new leader answers before it has carried out all that its predecessor had acknowledged, and may
        // not know a lease yet. Once a read has been answered in its term, it does.
        let read = Bytes::from(gateway::probe(&self.members.part, 0));
        self.repeat::<RangeAnswer>(RANGE, read, end, true).await.map_err(Failed::plain)?;
        let kept = self.repeat::<KeepAliveAnswer>(KEEP_ALIVE, body, end, false).await;
        Ok(Reply::Lease { alive: kept.map_err(Failed::plain)?.0.alive() })
    }

    async fn revoke(&self, lease: LeaseId, end: Instant) -> Result<Reply, StoreError> {
        let body = Bytes::from(gateway::lease(lease));
        match self.once::<RevokeAnswer>(REVOKE, body, end).await {
            Ok(_) => Ok(Reply::Lease { alive: true }),
            Err(Failed { fault: Some(Fault::NoLease), .. }) => Ok(Reply::Lease { alive: false }),
            Err(failed) => Err(failed.plain()),
        }
    }

    /// Sends a request that must not be carried out twice: to the first sound member, and to another only when it
    /// was surely not carried out. While no member is sound it waits, unsent.
    async fn once<A: Answer>(&self, path: &'static str, body: Bytes, end: Instant) -> Result<A, Failed> {
        let members = &self.members;
        let mut logins = 0;
        // Sent with too little time for an answer it would only be unknown.
        let start_by = end - members.patience();
        loop {
            self.logged_in(start_by).await?;
            let Some(index) = members.sound_by(start_by).await else {
                return Err(members.unreachable().into());
            };
            let trouble = match self.attempt(index, path, &body, end).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::NotSent(why) | Trouble::Fault(Fault::NotHere(why)) => members.suspect(index, &why),
                Trouble::Fault(Fault::NoLogin) if logins < 2 => logins += 1,
                trouble => return Err(self.failed(index, trouble, Class::Unknown)),
            }
        }
    }

    async fn logged_in(&self, end: Instant) -> Result<(), Failed> {
        let ready = self.members.login.ready_by(end).await;
        ready.map_err(|trouble| self.failed(0, trouble, Class::Transient))
    }

    /// One try at one member until `end`. After the members' patience it is suspected, for the sake of other
    /// requests; this one waits on, unless nothing of it was sent.
    async fn attempt<A: Answer>(
        &self,
        index: usize,
        path: &'static str,
        body: &Bytes,
        end: Instant,
    ) -> Result<A, Trouble> {
        let members = &self.members;
        let sent = AtomicBool::new(false);
        let mut ask = std::pin::pin!(members.ask(index, path, body, &sent));
        let soon = Instant::now() + members.patience();
        if let Ok(answer) = timeout_at(soon.min(end), ask.as_mut()).await {
            return answer;
        }
        members.suspect(index, "it does not answer");
        if !sent.load(Ordering::Acquire) {
            return Err(Trouble::NotSent("no connection in time".to_owned()));
        }
        let late = timeout_at(end, ask).await;
        late.unwrap_or_else(|_| {
            Err(Trouble::Lost(format!("nothing within {} ms", members.timeout.as_millis())))
        })
    }

    /// Sends a request that does no harm when carried out twice: to one member after the other, the next when one
    /// fails or keeps silent, and takes the first answer. Tells how many were asked.
    async fn repeat<A: Answer>(
        &self,
        path: &'static str,
        body: Bytes,
        end: Instant,
        read: bool,
    ) -> Result<(A, u32), Failed> {
        let members = &self.members;
        self.logged_in(end).await?;
        let mut running = FuturesUnordered::new();
        let (mut round, mut next_at) = (members.order().into_iter(), Instant::now());
        let mut tries = 0;
        let mut last: Option<(usize, Trouble)> = None;
        let mut perhaps_done = false;
        loop {
            let now = Instant::now();
            if now >= next_at {
                next_at = now + members.patience();
                match round.next() {
                    // Not more at one time than there are members: silence must not cost ever more memory.
                    Some(index) if running.len() < members.all.len() => {
                        tries += 1;
                        let body = body.clone();
                        running.push(async move { (index, self.attempt(index, path, &body, end).await) });
                    }
                    Some(_) => {}
                    None => {
                        round = members.order().into_iter();
                        next_at = now + Duration::from_millis(ROUND_MS);
                    }
                }
            }
            let ended = tokio::select! {
                biased;
                Some(ended) = running.next() => ended,
                () = sleep_until(next_at.min(end)) => {
                    if Instant::now() < end {
                        continue;
                    }
                    break;
                }
            };
            match ended {
                (_, Ok(answer)) => return Ok((answer, tries)),
                (index, Err(trouble)) if is_final(&trouble) => {
                    return Err(Failed { tries, ..self.failed(index, trouble, Class::Transient) });
                }
                (index, Err(trouble)) => {
                    if trouble != Trouble::Fault(Fault::NoLogin) {
                        members.suspect(index, &trouble.to_string());
                    }
                    perhaps_done |= !matches!(
                        trouble,
                        Trouble::NotSent(_) | Trouble::Fault(Fault::NotHere(_) | Fault::NoLogin)
                    );
                    last = Some((index, trouble));
                    next_at = Instant::now();
                }
            }
        }
        let class = match read || (!perhaps_done && running.is_empty()) {
            true => Class::Transient,
            false => Class::Unknown,
        };
        let silence = || Trouble::Lost(format!("nothing within {} ms", members.timeout.as_millis()));
        let (index, trouble) = last.unwrap_or_else(|| (0, silence()));
        Err(Failed { tries, ..self.failed(index, trouble, class) })
    }

    /// The error for the caller. `lost` is what it may conclude when the answer got lost.
    fn failed(&self, index: usize, trouble: Trouble, lost: Class) -> Failed {
        let address = self.members.name(index);
        let plain = match &trouble {
            Trouble::NotSent(why) => StoreError::Unreachable { address, why: why.clone() },
            Trouble::Lost(why) | Trouble::Foreign(why) | Trouble::Fault(Fault::Unclear(why)) => {
                StoreError::NoAnswer { address, why: why.clone(), class: lost }
            }
            Trouble::Fault(Fault::Busy) => StoreError::Refused(Refusal::Busy),
            Trouble::Fault(Fault::Never(why)) => {
                StoreError::Declined { address, why: why.clone(), class: Class::Permanent }
            }
            Trouble::Fault(Fault::NotNow(why) | Fault::NotHere(why)) => {
                StoreError::Declined { address, why: why.clone(), class: Class::Transient }
            }
            Trouble::Fault(Fault::NoLogin) => StoreError::Declined {
                address,
                why: "it does not take our login".to_owned(),
                class: Class::Transient,
            },
            // A read's; no other answer is long.
            Trouble::Fault(Fault::TooLong) if lost == Class::Transient => too_much(http::ANSWER_BYTES_MAX),
            Trouble::Fault(Fault::TooLong) => {
                StoreError::NoAnswer { address, why: "an endless answer".to_owned(), class: lost }
            }
            // The callers that can meet these know them.
            Trouble::Fault(Fault::NoLease | Fault::LeaseExists | Fault::Compacted | Fault::Future) => {
                StoreError::Refused(Refusal::Garbled)
            }
        };
        let fault = match trouble {
            Trouble::Fault(fault) => Some(fault),
            _ => None,
        };
        Failed { fault, plain, tries: 0 }
    }
}

/// A request that was not answered as it should be.
struct Failed {
    /// What etcd said, if it did.
    fault: Option<Fault>,
    plain: StoreError,
    /// Members asked.
    tries: u32,
}

impl Failed {
    fn plain(self) -> StoreError {
        self.plain
    }
}

impl From<StoreError> for Failed {
    fn from(plain: StoreError) -> Failed {
        Failed { fault: None, plain, tries: 0 }
    }
}

/// Whether another member would say the same.
fn is_final(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::NotSent(_) | Trouble::Lost(_) | Trouble::Foreign(_) => false,
        Trouble::Fault(fault) => !matches!(fault, Fault::NoLogin | Fault::NotHere(_) | Fault::Unclear(_)),
    }
}

/// The answer is more than a store may hold.
fn too_much(bytes: usize) -> StoreError {
    StoreError::Refused(Refusal::Bounds {
        what: "bytes in a range".to_owned(),
        value: bytes as u64,
        least: 0,
        most: STORE_BYTES_MAX as u64,
    })
}
