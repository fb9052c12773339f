//! What the threads of one front share.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use net::{Drain, Origin};

use crate::Tuning;
use crate::metrics::Totals;
use crate::snapshot::Compiled;

/// What a thread is told to do at its next tick.
pub(crate) enum Order {
    /// Accept on this socket of this address.
    Listen(SocketAddr, TcpListener),
    /// Stop accepting at this address.
    Close(SocketAddr),
}

/// Orders for one thread, with a flag that is looked at without the lock.
#[derive(Default)]
struct Inbox {
    any: AtomicBool,
    orders: Mutex<Vec<Order>>,
}

pub(crate) struct Shared {
    pub origin: Origin,
    pub tuning: Tuning,
    pub drain: Drain,
    pub totals: Arc<Totals>,
    /// Raised with every change of an endpoint's standing.
    pub epoch: Arc<AtomicU64>,
    /// Open client connections.
    pub open: AtomicUsize,
    /// Raised with every snapshot.
    pub version: AtomicU64,
    /// The revision each thread serves from.
    pub applied: Vec<AtomicU64>,
    newest: Mutex<(u64, Arc<Compiled>)>,
    inboxes: Vec<Inbox>,
}

/// Locks; a thread that panicked while it held the lock left whole values behind, because each is set in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(threads: usize, tuning: Tuning) -> Shared {
        Shared {
            origin: Origin::new(),
            tuning,
            drain: Drain::default(),
            totals: Arc::default(),
            epoch: Arc::default(),
            open: AtomicUsize::new(0),
            version: AtomicU64::new(0),
            applied: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            newest: Mutex::default(),
            inboxes: (0..threads).map(|_| Inbox::default()).collect(),
        }
    }

    pub fn threads(&self) -> usize {
        self.inboxes.len()
    }

    /// Replaces the snapshot; threads take it with their next request or tick.
    pub fn publish(&self, compiled: Arc<Compiled>) {
        let mut newest = lock(&self.newest);
        newest.0 += 1;
        newest.1 = compiled;
        self.version.store(newest.0, Release);
    }

    pub fn newest(&self) -> (u64, Arc<Compiled>) {
        let newest = lock(&self.newest);
        (newest.0, Arc::clone(&newest.1))
    }

    pub fn order(&self, thread: usize, order: Order) {
        let inbox = &self.inboxes[thread];
        lock(&inbox.orders).push(order);
        inbox.any.store(true, Release);
    }

    pub fn take_orders(&self, thread: usize) -> Vec<Order> {
        let inbox = &self.inboxes[thread];
        if !inbox.any.load(Acquire) || !inbox.any.swap(false, AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&inbox.orders))
    }

    /// The oldest revision any thread still begins requests with.
    pub fn applied(&self) -> u64 {
        self.applied.iter().map(|applied| applied.load(Acquire)).min().unwrap_or(0)
    }
}
