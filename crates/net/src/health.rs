//! Carries out what [`crate::decide_health`] decides, for all pools of one front, on one thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use model::{Probe, ServiceName, UnitName};
use tokio::task::JoinSet;

use crate::decide_health::{Action, Guard, Outcome, Seen, Settings, Standing};
use crate::{Endpoint, Origin, probe};

/// Time between two calls of [`Watcher::tick`].
pub const TICK: Duration = Duration::from_millis(10);

/// A pool as the watcher needs it.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its service.
    pub service: ServiceName,
    /// Its endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What is asked.
    pub probe: Probe,
    /// How it is watched.
    pub settings: Settings,
    /// Counts its ejections.
    pub ejections: Arc<AtomicU64>,
}

struct Watched {
    pool: Pool,
    probe: Arc<Probe>,
    guard: Guard,
}

struct Ended {
    service: ServiceName,
    unit: UnitName,
    number: u64,
    outcome: Outcome,
}

/// Watches every endpoint of a front.
pub struct Watcher {
    origin: Origin,
    /// Raised with every change of a standing, so that threads look again.
    epoch: Arc<AtomicU64>,
    pools: BTreeMap<ServiceName, Watched>,
    probes: JoinSet<Ended>,
}

impl Watcher {
    /// Watches nobody yet. `epoch` is raised with every change.
    #[must_use]
    pub fn new(origin: Origin, epoch: Arc<AtomicU64>) -> Watcher {
        Watcher { origin, epoch, pools: BTreeMap::new(), probes: JoinSet::new() }
    }

    /// Replaces the pools; what is known about an endpoint stays while it is the same object. Of a pool that is asked
    /// nothing ([`Probe::Running`]) nothing is known, and everybody is well.
    pub fn set_pools(&mut self, pools: Vec<Pool>) {
        let mut old = std::mem::take(&mut self.pools);
        for pool in pools {
            if pool.probe == Probe::Running {
                pool.endpoints.iter().for_each(|one| one.stand(Standing::Well));
                continue;
            }
            let before = old.remove(&pool.service);
            let known: Vec<Arc<Endpoint>> =
                before.as_ref().map(|watched| watched.pool.endpoints.clone()).unwrap_or_default();
            let mut guard = before.map_or_else(|| Guard::new(pool.settings), |watched| watched.guard);
            guard.set_settings(pool.settings);
            let members: Vec<(UnitName, bool)> = pool
                .endpoints
                .iter()
                .map(|one| (one.unit().clone(), !known.iter().any(|other| Arc::ptr_eq(one, other))))
                .collect();
            guard.set_members(&members, self.origin.now());
            let probe = Arc::new(pool.probe.clone());
            self.pools.insert(pool.service.clone(), Watched { pool, probe, guard });
        }
    }

    /// Looks at everything and starts what is due; call it every [`TICK`], inside a `LocalSet`.
    pub fn tick(&mut self) {
        let now = self.origin.now();
        let mut probes = Vec::new();
        for watched in self.pools.values_mut() {
            let seen: Vec<Seen> = watched.pool.endpoints.iter().map(|one| one.seen()).collect();
            let actions = watched.guard.tick(&seen, now);
            carry_out(watched, actions, &self.epoch, &mut probes);
        }
        // After the ticks: a late one must drop its suspicions before it hears of timeouts from the same stall.
        while let Some(joined) = self.probes.try_join_next() {
            let Ok(ended) = joined else { continue };
            let Some(watched) = self.pools.get_mut(&ended.service) else { continue };
            let member = watched.pool.endpoints.iter().position(|one| *one.unit() == ended.unit);
            let Some(member) = member else { continue };
            let actions = watched.guard.probed(member, ended.number, ended.outcome, now);
            carry_out(watched, actions, &self.epoch, &mut probes);
        }
        for probe in probes {
            self.spawn_probe(probe);
        }
    }

    fn spawn_probe(&mut self, due: Due) {
        let origin = self.origin;
        self.probes.spawn_local(async move {
            let outcome = probe::ask(&due.endpoint, &due.probe, due.timeout, origin).await;
            Ended { service: due.service, unit: due.endpoint.unit().clone(), number: due.number, outcome }
        });
    }
}

struct Due {
    service: ServiceName,
    endpoint: Arc<Endpoint>,
    probe: Arc<Probe>,
    timeout: Duration,
    number: u64,
}

fn carry_out(watched: &Watched, actions: Vec<Action>, epoch: &AtomicU64, probes: &mut Vec<Due>) {
    for action in actions {
        match action {
            Action::Probe { member, number } => probes.push(Due {
                service: watched.pool.service.clone(),
                endpoint: Arc::clone(&watched.pool.endpoints[member]),
                probe: Arc::clone(&watched.probe),
                timeout: Duration::from_millis(watched.pool.settings.timeout_ms),
                number,
            }),
            Action::Doubt { member } => {
                watched.pool.endpoints[member].doubt();
                epoch.fetch_add(1, Relaxed);
            }
            Action::Stand { member, standing, why } => {
                let endpoint = &watched.pool.endpoints[member];
                let before = endpoint.standing();
                if standing.is_ejected() && !before.is_ejected() {
                    watched.pool.ejections.fetch_add(1, Relaxed);
                    tracing::warn!(unit = %endpoint.unit(), why, "endpoint ejected");
                } else if before.is_ejected() && !standing.is_ejected() {
                    tracing::info!(unit = %endpoint.unit(), "endpoint readmitted");
                }
                endpoint.stand(standing);
                epoch.fetch_add(1, Relaxed);
            }
        }
    }
}
