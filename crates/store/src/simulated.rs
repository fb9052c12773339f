//! The same state machine in memory, behind a link that fails on command: what an agent under test talks to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Moment;
use tokio::sync::watch;
use world::{Chance, Clock};

use crate::kv::{History, Kv, Reply, Request};
use crate::{Class, Revision, Store, StoreError};

/// How long a simulated client waits for an answer that does not come, in milliseconds; as the real one.
const TIMEOUT_MS: u64 = 400;
/// What an error names as the address.
const ADDRESS: &str = "simulated";

/// What goes wrong on a link. All zero: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Probability that a request is lost on its way: not carried out, and the client cannot know.
    pub lost_request: f64,
    /// Probability that a reply is lost on its way: carried out, and the client cannot know.
    pub lost_reply: f64,
    /// Each way of a request takes from the first to the second of these, in milliseconds.
    pub delay_ms: (u64, u64),
    /// From the first up to the second moment of the clock the store cannot be reached, and the client knows it.
    pub unavailable: Vec<(Moment, Moment)>,
}

/// A store in memory. Deterministic: the same seed, clock and order of calls give the same run.
#[derive(Clone, Debug)]
pub struct SimulatedStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kv: Mutex<Kv>,
    clock: Clock,
    chance: Mutex<Chance>,
    /// The newest revision; wakes those who wait for a change.
    revision: watch::Sender<Revision>,
    cut: watch::Sender<bool>,
}

impl SimulatedStore {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64, clock: Clock) -> SimulatedStore {
        SimulatedStore::with_history(seed, clock, History::default())
    }

    pub(crate) fn with_history(seed: u64, clock: Clock, history: History) -> SimulatedStore {
        let kv = Kv::empty(history);
        let revision = watch::Sender::new(kv.revision());
        let (kv, chance) = (Mutex::new(kv), Mutex::new(Chance::from_seed(seed)));
        let shared = Shared { kv, clock, chance, revision, cut: watch::Sender::new(false) };
        SimulatedStore { shared: Arc::new(shared) }
    }

    /// A further handle, with a link and faults of its own.
    #[must_use]
    pub fn link(&self, faults: Faults) -> Store {
        let chance = Mutex::new(lock(&self.shared.chance).split());
        Store::linked(Link { shared: self.shared.clone(), faults: Mutex::new(faults), chance })
    }

    /// Replaces the faults of `store`'s link, for it and its clones; `false`: it is not a simulated store.
    pub fn set_faults(&self, store: &Store, faults: Faults) -> bool {
        store.link().is_some_and(|link| {
            *lock(&link.faults) = faults;
            true
        })
    }

    /// From now on no request and no reply gets through on any link; clients time out. `false` heals it.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.send_replace(cut);
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.shared.revision.borrow()
    }
}

/// One client's way to a simulated store.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    faults: Mutex<Faults>,
    chance: Mutex<Chance>,
}

/// What this request meets, drawn before it starts so that the draws follow the order of the calls.
struct Fate {
    lost_request: bool,
    lost_reply: bool,
    there_ms: u64,
    back_ms: u64,
}

impl Link {
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let shared = &self.shared;
        let began = shared.clock.now();
        if self.unavailable(began) {
            let why = "connection refused".to_owned();
            return Err(StoreError::Unreachable { address: ADDRESS.to_owned(), why });
        }
        let fate = self.fate();
        let limit_ms = match &request {
            Request::Poll { wait_ms, .. } => TIMEOUT_MS + wait_ms,
            _ => TIMEOUT_MS,
        };
        let deadline = began.plus(limit_ms);
        let read = request.is_read();
        let exchange = async {
            shared.clock.sleep_ms(fate.there_ms).await;
            if fate.lost_request || *shared.cut.borrow() {
                std::future::pending::<()>().await;
            }
            let reply = shared.answer(&request).await;
            shared.clock.sleep_ms(fate.back_ms).await;
            if fate.lost_reply || *shared.cut.borrow() {
                std::future::pending::<()>().await;
            }
            reply
        };
        tokio::select! {
            biased;
            reply = exchange => Ok(reply),
            () = shared.clock.sleep_until(deadline) => {
                let class = if read { Class::Transient } else { Class::Unknown };
                let why = format!("nothing within {limit_ms} ms");
                Err(StoreError::NoAnswer { address: ADDRESS.to_owned(), why, class })
            }
        }
    }

    fn unavailable(&self, now: Moment) -> bool {
        lock(&self.faults).unavailable.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    fn fate(&self) -> Fate {
        let faults = lock(&self.faults);
        let mut chance = lock(&self.chance);
        let (least, most) = faults.delay_ms;
        let spread = most.saturating_sub(least).saturating_add(1);
        Fate {
            lost_request: chance.chance(faults.lost_request),
            lost_reply: chance.chance(faults.lost_reply),
            there_ms: least + chance.below(spread),
            back_ms: least + chance.below(spread),
        }
    }
}

impl Shared {
    async fn answer(&self, request: &Request) -> Reply {
        let (mut reply, mut next_expiry) = self.apply(request);
        let Request::Poll { prefix, wait_ms, .. } = request else { return reply };
        let until = self.clock.now().plus(*wait_ms);
        loop {
            let next = match reply {
                Reply::Events { events, next } if events.is_empty() && self.clock.now() < until => next,
                reply => return reply,
            };
            let mut revision = self.revision.subscribe();
            let turn = next_expiry.map_or(until, |expiry| expiry.min(until));
            tokio::select! {
                biased;
                // The sender lives as long as this store.
                _ = revision.wait_for(|revision| *revision >= next) => {}
                () = self.clock.sleep_until(turn) => {}
            }
            (reply, next_expiry) =
                self.apply(&Request::Poll { prefix: prefix.clone(), from: next, wait_ms: *wait_ms });
        }
    }

    /// There is no thread that ends leases: they end before anybody could see that they should have.
    fn apply(&self, request: &Request) -> (Reply, Option<Moment>) {
        let now = self.clock.now();
        let mut kv = lock(&self.kv);
        kv.expire(now);
        let (reply, _) = kv.apply(request, now);
        self.revision
            .send_if_modified(|revision| std::mem::replace(revision, kv.revision()) != kv.revision());
        (reply, kv.next_deadline())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "simulated_tests.rs"]
mod tests;
