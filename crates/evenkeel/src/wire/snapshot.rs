//! From the store's picture to what one front serves from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::{
    Duration, Endpoint, FrontSnapshot, Listener, Phase, Pool, Probe, RetryPolicy, Route, Run, Service,
    ServiceName, UnitRecord, UnitState, Variable, Want, ZoneName,
};

use super::mirror::Mirror;

/// Attempts in all. Two other zones are left after a zone loss, so a third attempt can still find one.
const ATTEMPTS: u32 = 3;
/// Retries may add a fifth to the load: enough to carry a lost zone's open requests, too little for a storm.
const RETRY_BUDGET: f64 = 0.2;
/// Longer than any request an application should need; silence is found by probes long before.
const ATTEMPT_TIMEOUT: Duration = Duration(30_000);

/// What a drill breaks in the product itself, to see the drill go red.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sabotage {
    /// Endpoints are never probed.
    pub no_health: bool,
    /// Requests that may have been carried out are retried.
    pub unsafe_retries: bool,
}

/// The snapshot for the front of `zone`, listening on `address`. Before the first rollout it listens on nothing.
pub fn build(mirror: &Mirror, zone: &ZoneName, address: IpAddr, sabotage: Sabotage) -> FrontSnapshot {
    let mut snapshot =
        FrontSnapshot { revision: mirror.revision, zone: Some(zone.clone()), ..FrontSnapshot::default() };
    let Some((rollout, _)) = &mirror.rollout else { return snapshot };
    for ingress in &rollout.plan.ingress {
        let ip = if ingress.any_address { any(address) } else { address };
        let listen = SocketAddr::new(own_unless_alone(ip, address), ingress.port);
        let route = Route { host: ingress.host.clone(), to: ingress.to.clone() };
        match snapshot.listeners.iter_mut().find(|listener| listener.address == listen) {
            Some(listener) => listener.routes.push(route),
            None => snapshot.listeners.push(Listener { address: listen, routes: vec![route] }),
        }
    }
    for listener in &mut snapshot.listeners {
        listener.routes.sort_by_key(|route| route.host.is_none());
    }
    for planned in &rollout.plan.services {
        if has_port(&planned.service) {
            snapshot.pools.push(pool(mirror, &planned.service, sabotage));
        }
    }
    snapshot
}

/// `0.0.0.0` in the family of `address`.
fn any(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Emulated zones share one machine, and only one front could have `0.0.0.0`: there each keeps to its own.
fn own_unless_alone(ip: IpAddr, own: IpAddr) -> IpAddr {
    if own.is_loopback() { own } else { ip }
}

fn pool(mirror: &Mirror, service: &Service, sabotage: Sabotage) -> Pool {
    let check = &service.healthcheck;
    let endpoints = mirror.units.values().filter_map(|(unit, _)| {
        let state = mirror.states.get(&unit.name)?;
        endpoint(unit, state, &service.name)
    });
    Pool {
        service: service.name.clone(),
        endpoints: endpoints.collect(),
        probe: if sabotage.no_health { Probe::Running } else { check.probe.clone() },
        interval: check.interval,
        timeout: check.timeout,
        retries: if sabotage.no_health { u32::MAX } else { check.retries },
        retry: RetryPolicy {
            attempts: ATTEMPTS,
            budget: RETRY_BUDGET,
            attempt_timeout: ATTEMPT_TIMEOUT,
            retry_unsafe: sabotage.unsafe_retries,
        },
    }
}

/// A unit that was healthy once is an endpoint until its record goes, whatever its agent thinks of it now: the
/// front's own probes are nearer to the truth, and the agent may be gone.
fn endpoint(unit: &UnitRecord, state: &UnitState, service: &ServiceName) -> Option<Endpoint> {
    let serves = matches!(state.phase, Phase::Ready | Phase::Unready | Phase::Draining);
    if unit.service.name != *service || !serves || state.zone != unit.zone {
        return None;
    }
    Some(Endpoint {
        unit: unit.name.clone(),
        zone: unit.zone.clone(),
        address: state.address?,
        draining: unit.want == Want::Drain || state.phase == Phase::Draining,
    })
}

/// Whether a service listens: its health check asks the network, or its command names the port.
pub fn has_port(service: &Service) -> bool {
    let names_port = match &service.run {
        Run::Command(words) => words.iter().any(|word| word.uses(Variable::Port)),
        Run::Image(_) => true,
    };
    names_port || service.environment.values().any(|value| value.uses(Variable::Port))
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
