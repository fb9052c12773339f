//! From the snapshot of the agent to what the threads use. Endpoints are kept by unit, services by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{FrontSnapshot, Probe, RetryPolicy, ServiceName, UnitName};
use net::Endpoint;
use net::decide_health::Settings;

use crate::metrics::ServiceStats;

/// Everything the threads serve from; immutable.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Of the snapshot it was made from.
    pub revision: u64,
    /// What to answer at each address.
    pub routes: BTreeMap<SocketAddr, Vec<Route>>,
    /// The services.
    pub pools: Vec<CompiledPool>,
}

/// A route with its pool found.
#[derive(Clone, Debug)]
pub struct Route {
    /// Lower-case host without port; `None` matches all.
    pub host: Option<String>,
    /// Position in [`Compiled::pools`]; `None` for a service without endpoints in the snapshot.
    pub pool: Option<usize>,
}

/// A service and its endpoints.
#[derive(Debug)]
pub struct CompiledPool {
    /// Its name.
    pub service: ServiceName,
    /// Its endpoints, each with whether it is in the front's own zone.
    pub targets: Vec<(Arc<Endpoint>, bool)>,
    /// How requests are retried.
    pub retry: RetryPolicy,
    /// What proves life.
    pub probe: Probe,
    /// How long a connection may take to open, in milliseconds.
    pub connect_ms: u64,
    /// How its endpoints are watched.
    pub settings: Settings,
    /// Its counters.
    pub stats: Arc<ServiceStats>,
}

impl Compiled {
    /// The first route that matches `host` at `listener`.
    #[must_use]
    pub fn route(&self, listener: SocketAddr, host: &str) -> Option<&Route> {
        let host = without_port(host);
        let routes = self.routes.get(&listener)?;
        let matches = |route: &&Route| route.host.as_deref().is_none_or(|h| h.eq_ignore_ascii_case(host));
        routes.iter().find(matches)
    }
}

fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    // `shop.example.com.` is the same host, written as a rooted name.
    name.strip_suffix('.').unwrap_or(name)
}

/// What outlives snapshots.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: BTreeMap<UnitName, Arc<Endpoint>>,
    /// The service of each of `endpoints`.
    service_of: BTreeMap<UnitName, ServiceName>,
    /// Endpoints that left the snapshot and still hold requests, with their services.
    retired: Vec<(ServiceName, Arc<Endpoint>)>,
    /// Counters of every service seen so far.
    pub services: BTreeMap<ServiceName, Arc<ServiceStats>>,
}

impl Registry {
    /// Compiles a snapshot for so many threads, keeping what is known of units that stay.
    pub fn compile(&mut self, snapshot: &FrontSnapshot, threads: usize) -> Compiled {
        let mut old = std::mem::take(&mut self.endpoints);
        let pools: Vec<CompiledPool> =
            snapshot.pools.iter().map(|pool| self.pool(pool, snapshot, &mut old, threads)).collect();
        for (unit, gone) in old {
            // Its open requests finish; its idle connections go with the threads' own lists.
            gone.set_draining(true);
            self.retired.extend(self.service_of.remove(&unit).map(|service| (service, gone)));
        }
        self.forget_finished();
        let find = |service: &ServiceName| pools.iter().position(|pool| pool.service == *service);
        let route = |route: &model::Route| Route { host: route.host.clone(), pool: find(&route.to) };
        let routes = snapshot
            .listeners
            .iter()
            .map(|listener| (listener.address, listener.routes.iter().map(route).collect()))
            .collect();
        Compiled { revision: snapshot.revision, routes, pools }
    }

    fn pool(
        &mut self,
        pool: &model::Pool,
        snapshot: &FrontSnapshot,
        old: &mut BTreeMap<UnitName, Arc<Endpoint>>,
        threads: usize,
    ) -> CompiledPool {
        let stats =
            self.services.entry(pool.service.clone()).or_insert_with(|| Arc::new(ServiceStats::new(threads)));
        let stats = Arc::clone(stats);
        let mut targets = Vec::new();
        for wanted in &pool.endpoints {
            let endpoint = match old.remove(&wanted.unit) {
                Some(known) if known.address() == wanted.address && *known.zone() == wanted.zone => known,
                moved => {
                    // The same unit at another address is another process.
                    self.retired.extend(moved.map(|old| (pool.service.clone(), old)));
                    let new = Endpoint::new(wanted.unit.clone(), wanted.zone.clone(), wanted.address);
                    Arc::new(new)
                }
            };
            endpoint.set_draining(wanted.draining);
            self.endpoints.insert(wanted.unit.clone(), Arc::clone(&endpoint));
            self.service_of.insert(wanted.unit.clone(), pool.service.clone());
            let own = snapshot.zone.as_ref().is_none_or(|zone| *zone == wanted.zone);
            targets.push((endpoint, own));
        }
        CompiledPool {
            service: pool.service.clone(),
            targets,
            retry: pool.retry,
            probe: pool.probe.clone(),
            connect_ms: pool.timeout.0.max(1),
            settings: Settings {
                interval_ms: pool.interval.0.max(1),
                timeout_ms: pool.timeout.0.max(1),
                retries: pool.retries.max(1),
            },
            stats,
        }
    }

    /// Lets go of retired endpoints that hold nothing any more.
    pub fn forget_finished(&mut self) {
        self.retired.retain(|(_, endpoint)| endpoint.in_flight() > 0);
    }

    /// Endpoints of a service that left the snapshot and still hold requests. They must be watched on: a unit whose
    /// zone fell silent leaves the snapshot before its silence is proven, and what it holds would wait for ever.
    pub fn retired<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Arc<Endpoint>> {
        let of_service = self.retired.iter().filter(move |(owner, _)| owner == service);
        of_service
            .map(|(_, endpoint)| endpoint)
            .filter(|endpoint| !self.endpoints.contains_key(endpoint.unit()))
    }

    /// Endpoints in the snapshot.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// Requests that draining units still hold.
    #[must_use]
    pub fn busy(&self) -> BTreeMap<UnitName, u32> {
        let mut busy = BTreeMap::new();
        let draining = self.endpoints.values().filter(|endpoint| endpoint.is_draining());
        for endpoint in draining.chain(self.retired.iter().map(|(_, endpoint)| endpoint)) {
            if endpoint.in_flight() > 0 {
                *busy.entry(endpoint.unit().clone()).or_insert(0) += endpoint.in_flight();
            }
        }
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Duration, Listener, ZoneName};
    use net::Use;

    fn snapshot(units: &[(&str, u16, bool)]) -> FrontSnapshot {
        let service = ServiceName::new("web").unwrap();
        let endpoint = |(unit, port, draining): &(&str, u16, bool)| model::Endpoint {
            unit: UnitName::new(unit).unwrap(),
            zone: ZoneName::new("a").unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], *port)),
            draining: *draining,
        };
        FrontSnapshot {
            revision: 1,
            zone: None,
            listeners: vec![Listener {
                address: "127.0.0.1:1".parse().unwrap(),
                routes: vec![
                    model::Route { host: Some("shop.example.com".to_owned()), to: service.clone() },
                    model::Route { host: Some("x".to_owned()), to: ServiceName::new("other").unwrap() },
                ],
            }],
            pools: vec![model::Pool {
                service,
                endpoints: units.iter().map(endpoint).collect(),
                probe: Probe::Tcp,
                interval: Duration(1000),
                timeout: Duration(500),
                retries: 2,
                retry: RetryPolicy {
                    attempts: 3,
                    budget: 0.2,
                    attempt_timeout: Duration(1000),
                    retry_unsafe: false,
                },
            }],
        }
    }

    #[test]
    fn what_is_known_of_an_endpoint_survives_a_change() {
        let mut registry = Registry::default();
        let first = registry.compile(&snapshot(&[("web-1", 1, false), ("web-2", 2, false)]), 1);
        let second = registry.compile(&snapshot(&[("web-2", 2, true), ("web-1", 9, false)]), 1);
        assert!(Arc::ptr_eq(&first.pools[0].targets[1].0, &second.pools[0].targets[0].0));
        assert!(first.pools[0].targets[1].0.is_draining());
        assert!(
            !Arc::ptr_eq(&first.pools[0].targets[0].0, &second.pools[0].targets[1].0),
            "another address is another process"
        );
    }

    #[test]
    fn a_unit_that_left_is_busy_until_its_last_request_is_over() {
        let mut registry = Registry::default();
        let first = registry.compile(&snapshot(&[("web-1", 1, false)]), 1);
        let open = Use::new(&first.pools[0].targets[0].0);
        assert!(registry.busy().is_empty());
        registry.compile(&snapshot(&[]), 1);
        assert_eq!(registry.busy().into_values().collect::<Vec<_>>(), [1]);
        drop(open);
        assert!(registry.busy().is_empty());
    }

    #[test]
    fn a_host_finds_its_service_in_any_case_with_or_without_port() {
        let compiled = Registry::default().compile(&snapshot(&[("web-1", 1, false)]), 1);
        let at = "127.0.0.1:1".parse().unwrap();
        for host in ["shop.example.com", "Shop.Example.com:8080", "shop.example.com."] {
            assert_eq!(compiled.route(at, host).map(|route| route.pool), Some(Some(0)), "{host}");
        }
        for host in ["example.com", "", "shop.example.com.evil", "[::1]:80"] {
            assert!(compiled.route(at, host).is_none(), "{host}");
        }
        assert_eq!(compiled.route(at, "x").map(|route| route.pool), Some(None), "known, without endpoints");
        assert!(compiled.route("127.0.0.1:2".parse().unwrap(), "shop.example.com").is_none());
    }
}
