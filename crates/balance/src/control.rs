//! The thread that applies snapshots, opens and closes listeners, and watches endpoints. Apart from the threads that
//! carry requests, so that a busy front still probes in time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use model::{FrontReport, FrontSnapshot};
use net::health::{self, Watcher};
use tokio::sync::watch;

use crate::metrics::{self, EndpointLine};
use crate::shared::{Order, Shared, lock};
use crate::snapshot::{Compiled, Registry};

/// A listener that could not be opened is tried again so often, in ticks of 10 ms.
const RETRY_TICKS: u64 = 25;

/// What the control thread knows, read by reports.
#[derive(Default)]
pub(crate) struct State {
    registry: Registry,
    compiled: Arc<Compiled>,
    listen: BTreeSet<SocketAddr>,
    refused: BTreeMap<SocketAddr, String>,
}

impl State {
    pub fn report(&mut self, shared: &Shared) -> FrontReport {
        self.registry.forget_finished();
        let ejected = self.registry.endpoints().filter(|endpoint| endpoint.standing().is_ejected());
        FrontReport {
            applied: shared.applied(),
            listen: self.listen.iter().copied().collect(),
            refused: self.refused.iter().map(|(address, why)| (*address, why.clone())).collect(),
            busy: self.registry.busy(),
            ejected: ejected.map(|endpoint| endpoint.unit().clone()).collect(),
            counters: self
                .registry
                .services
                .iter()
                .map(|(service, stats)| (service.clone(), stats.counters()))
                .collect(),
        }
    }

    pub fn metrics(&self, shared: &Shared) -> String {
        let mut lines = Vec::new();
        for pool in &self.compiled.pools {
            lines.extend(pool.targets.iter().map(|(endpoint, _)| EndpointLine {
                service: pool.service.clone(),
                unit: endpoint.unit().to_string(),
                up: !endpoint.standing().is_ejected() && !endpoint.is_draining(),
                in_flight: endpoint.in_flight(),
            }));
        }
        let open = shared.open.load(std::sync::atomic::Ordering::Relaxed);
        metrics::text(&self.registry.services, &shared.totals, open, &lines)
    }

    /// Makes `snapshot` the one that is served from.
    fn apply(&mut self, snapshot: &FrontSnapshot, shared: &Shared, watcher: &mut Watcher) {
        let compiled = Arc::new(self.registry.compile(snapshot, shared.threads()));
        let registry = &self.registry;
        let pools = compiled.pools.iter().map(|pool| health::Pool {
            service: pool.service.clone(),
            endpoints: {
                let targets = pool.targets.iter().map(|(endpoint, _)| endpoint);
                targets.chain(registry.retired(&pool.service)).cloned().collect()
            },
            probe: pool.probe.clone(),
            settings: pool.settings,
            ejections: Arc::clone(&pool.stats.ejections),
        });
        watcher.set_pools(pools.collect());
        self.compiled = Arc::clone(&compiled);
        // Before its listeners open: a request never meets the routes of an older snapshot.
        shared.publish(compiled);
        self.listen(shared);
    }

    /// Opens what is new, closes what is gone, leaves the rest alone.
    fn listen(&mut self, shared: &Shared) {
        let wanted = &self.compiled.routes;
        let gone: Vec<SocketAddr> =
            self.listen.iter().filter(|address| !wanted.contains_key(address)).copied().collect();
        for address in gone {
            self.listen.remove(&address);
            for thread in 0..shared.threads() {
                shared.order(thread, Order::Close(address));
            }
        }
        self.refused.clear();
        for address in wanted.keys() {
            if self.listen.contains(address) {
                continue;
            }
            match net::listener::open(*address, shared.threads()) {
                Ok(sockets) => {
                    for (thread, socket) in sockets.into_iter().enumerate() {
                        shared.order(thread, Order::Listen(*address, socket));
                    }
                    self.listen.insert(*address);
                }
                Err(error) => {
                    self.refused.insert(*address, error.to_string());
                }
            }
        }
    }
}

/// The thread's main function; ends when the front's drain is over.
pub(crate) fn run(
    shared: &Arc<Shared>,
    state: &Arc<Mutex<State>>,
    snapshots: watch::Receiver<Arc<FrontSnapshot>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the front's control thread cannot start"
            );
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, tick(shared, state, snapshots));
}

async fn tick(
    shared: &Arc<Shared>,
    state: &Mutex<State>,
    mut snapshots: watch::Receiver<Arc<FrontSnapshot>>,
) {
    let mut watcher = Watcher::new(shared.origin, Arc::clone(&shared.epoch));
    let mut interval = tokio::time::interval(health::TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    snapshots.mark_changed();
    let mut ticks = 0_u64;
    while !shared.drain.is_over() {
        interval.tick().await;
        ticks += 1;
        // An error says that the agent's side is gone; the last snapshot stays.
        if snapshots.has_changed().unwrap_or(false) && !shared.drain.has_begun() {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let mut state = lock(state);
            if snapshot.revision >= state.compiled.revision {
                state.apply(&snapshot, shared, &mut watcher);
            }
        }
        if ticks.is_multiple_of(RETRY_TICKS) && !shared.drain.has_begun() {
            let mut state = lock(state);
            if !state.refused.is_empty() {
                state.listen(shared);
            }
        }
        watcher.tick();
    }
}
