//! One thread of a front: its own runtime, sockets, idle connections and buffers. It meets the other threads in
//! atomics and in the snapshot it copies when that has changed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use model::{Moment, ServiceName, UnitName};
use net::listener::AcceptErrors;
use net::{Endpoint, IdlePool, Random};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::alarm::Alarms;
use crate::decide_retry::Budget;
use crate::h1::buffer::Buffers;
use crate::limits::{SETTLE_MS, STALL_MS};
use crate::log::Log;
use crate::path::connection;
use crate::shared::{Order, Shared};
use crate::snapshot::Compiled;

/// Time between two looks at deadlines, orders and a new snapshot.
const TICK: Duration = Duration::from_millis(10);
/// Old idle connections are closed so often, in ticks.
const SWEEP_TICKS: u64 = 50;

/// An endpoint with the idle connections of this thread.
#[derive(Debug)]
pub(crate) struct Target {
    pub endpoint: Arc<Endpoint>,
    pub idle: RefCell<IdlePool>,
}

/// What this thread keeps of one pool; outlives snapshots.
#[derive(Default)]
pub(crate) struct PoolMemory {
    pub budget: RefCell<Budget>,
}

/// A pool of the snapshot with this thread's own parts.
pub(crate) struct LocalPool {
    /// Each with whether it is in the front's own zone.
    pub targets: Vec<(Rc<Target>, bool)>,
    pub memory: Rc<PoolMemory>,
}

/// A snapshot as this thread uses it. A request keeps the one it began with.
pub(crate) struct View {
    pub compiled: Arc<Compiled>,
    pub pools: Vec<LocalPool>,
}

pub(crate) struct Worker {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub alarms: Rc<Alarms>,
    pub buffers: Buffers,
    pub random: RefCell<Random>,
    pub log: RefCell<Log>,
    now: Cell<Moment>,
    /// What is known of the replicas counts as old until then.
    settled: Cell<Moment>,
    view: RefCell<Rc<View>>,
    version: Cell<u64>,
    targets: RefCell<BTreeMap<UnitName, Rc<Target>>>,
    memories: RefCell<BTreeMap<ServiceName, Rc<PoolMemory>>>,
    listeners: RefCell<BTreeMap<SocketAddr, Rc<Notify>>>,
    open: Cell<usize>,
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>, log: Log) -> Worker {
        let now = shared.origin.now();
        Worker {
            index,
            alarms: Rc::default(),
            buffers: Buffers::default(),
            random: RefCell::new(Random::from_os()),
            log: RefCell::new(log),
            now: Cell::new(now),
            settled: Cell::new(now),
            view: RefCell::new(Rc::new(View { compiled: Arc::default(), pools: Vec::new() })),
            version: Cell::new(0),
            targets: RefCell::default(),
            memories: RefCell::default(),
            listeners: RefCell::default(),
            open: Cell::new(0),
            shared,
        }
    }

    /// The clock, exact. Everything that only needs 10 ms uses [`Worker::coarse_now`].
    pub fn now_us(&self) -> u64 {
        let us = self.shared.origin.now_us();
        let now = Moment(us / 1000);
        if now.ms_since(self.now.replace(now)) >= STALL_MS {
            self.settled.set(now.plus(SETTLE_MS));
        }
        us
    }

    /// Waits until what is known of the replicas can be believed, as this thread stood still a moment ago: after a zone was
    /// stopped and goes on, the snapshot from before names replicas that others have replaced, and a replica in this zone
    /// has connections to a database whose primary is elsewhere by now.
    pub async fn settle(&self) {
        let rest = self.settled.get().ms_since(self.now.get());
        if rest > 0 {
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }

    /// The clock, exact, in milliseconds.
    pub fn now(&self) -> Moment {
        Moment(self.now_us() / 1000)
    }

    /// The clock as of the last tick or exact look.
    pub fn coarse_now(&self) -> Moment {
        self.now.get()
    }

    pub fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// The newest snapshot.
    pub fn view(&self) -> Rc<View> {
        if self.shared.version.load(Acquire) != self.version.get() {
            self.renew_view();
        }
        Rc::clone(&self.view.borrow())
    }

    fn renew_view(&self) {
        let (version, compiled) = self.shared.newest();
        let mut old = self.targets.borrow_mut();
        let mut targets = BTreeMap::new();
        let mut memories = self.memories.borrow_mut();
        let pools = compiled.pools.iter().map(|pool| {
            let local = pool.targets.iter().map(|(endpoint, own)| {
                let known = old.remove(endpoint.unit()).filter(|t| Arc::ptr_eq(&t.endpoint, endpoint));
                let new = || Rc::new(Target { endpoint: Arc::clone(endpoint), idle: RefCell::default() });
                let target = known.unwrap_or_else(new);
                targets.insert(endpoint.unit().clone(), Rc::clone(&target));
                (target, *own)
            });
            let targets = local.collect();
            LocalPool { targets, memory: Rc::clone(memories.entry(pool.service.clone()).or_default()) }
        });
        let pools = pools.collect();
        *old = targets;
        memories.retain(|service, _| compiled.pools.iter().any(|pool| pool.service == *service));
        let revision = compiled.revision;
        *self.view.borrow_mut() = Rc::new(View { compiled, pools });
        self.version.set(version);
        drop((old, memories));
        // A draining endpoint may now close: our idle connections must not keep it.
        self.sweep();
        self.shared.applied[self.index].store(revision, Release);
    }

    fn sweep(&self) {
        for target in self.targets.borrow().values() {
            let mut idle = target.idle.borrow_mut();
            if target.endpoint.is_draining() {
                idle.clear();
            } else {
                idle.sweep(target.endpoint.generation(), self.coarse_now());
            }
        }
    }

    fn obey(self: &Rc<Self>) {
        for order in self.shared.take_orders(self.index) {
            match order {
                Order::Listen(address, socket) => match TcpListener::from_std(socket) {
                    Ok(listener) => {
                        let stop = Rc::new(Notify::new());
                        self.listeners.borrow_mut().insert(address, Rc::clone(&stop));
                        spawn_here(accept(Rc::clone(self), listener, address, stop));
                    }
                    Err(error) => {
                        tracing::error!(%address, error = &error as &dyn std::error::Error, "lost a listener");
                    }
                },
                Order::Close(address) => {
                    if let Some(stop) = self.listeners.borrow_mut().remove(&address) {
                        stop.notify_one();
                    }
                }
            }
        }
    }
}

/// Every task of a thread ends with it: the thread waits for its connections, and what is left is dropped.
fn spawn_here(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// The thread's main function.
pub(crate) fn run(index: usize, shared: Arc<Shared>, log: Log) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a front thread cannot start");
            return;
        }
    };
    let local = LocalSet::new();
    let worker = Rc::new(Worker::new(index, shared, log));
    local.block_on(&runtime, tick(worker));
}

async fn tick(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut epoch = 0;
    let mut drained = false;
    let mut ticks = 0_u64;
    loop {
        interval.tick().await;
        ticks += 1;
        worker.now_us();
        worker.obey();
        drop(worker.view());
        let drain = &worker.shared.drain;
        let newest = worker.shared.epoch.load(Relaxed);
        let begins = drain.has_begun() && !drained;
        worker.alarms.ring(
            worker.coarse_now(),
            newest != epoch,
            drain.has_begun(),
            begins || drain.is_over(),
        );
        epoch = newest;
        worker.log.borrow_mut().tick(worker.coarse_now());
        if ticks.is_multiple_of(SWEEP_TICKS) {
            worker.sweep();
        }
        if begins {
            drained = true;
            for stop in std::mem::take(&mut *worker.listeners.borrow_mut()).into_values() {
                stop.notify_one();
            }
        } else if drained && (worker.open.get() == 0 || drain.is_over()) {
            return;
        }
    }
}

/// Accepts until told to stop; then takes what already waits in the queue, which closing would reset.
async fn accept(worker: Rc<Worker>, listener: TcpListener, address: SocketAddr, stop: Rc<Notify>) {
    let mut errors = AcceptErrors::default();
    loop {
        while worker.shared.open.load(Relaxed) >= worker.shared.tuning.limits.connections {
            tokio::time::sleep(TICK).await;
        }
        let accepted = tokio::select! {
            biased;
            () = stop.notified() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                errors.accepted();
                begin(&worker, stream, peer, address);
            }
            Err(error) => {
                worker.shared.totals.accept_errors.fetch_add(1, Relaxed);
                let pause = errors.pause(&error);
                if !pause.is_zero() {
                    tracing::warn!(%address, error = &error as &dyn std::error::Error, "cannot accept");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    while let Some(Ok((stream, peer))) = try_accept(&listener).await {
        begin(&worker, stream, peer, address);
    }
}

/// One connection that already waits.
async fn try_accept(listener: &TcpListener) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match listener.poll_accept(context) {
            std::task::Poll::Ready(accepted) => Some(accepted),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

fn begin(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, address: SocketAddr) {
    worker.shared.totals.connections.fetch_add(1, Relaxed);
    let open = Open::new(Rc::clone(worker));
    spawn_here(async move { connection::serve(&open.0, stream, peer, address).await });
}

/// An open client connection; counted until dropped.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: Rc<Worker>) -> Open {
        worker.open.set(worker.open.get() + 1);
        worker.shared.open.fetch_add(1, Relaxed);
        Open(worker)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.shared.open.fetch_sub(1, Relaxed);
    }
}
