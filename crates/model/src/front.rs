//! What a front needs to serve, and what it tells its agent. Goes over the agent's Unix socket as JSON lines.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Duration, Probe, ServiceName, UnitName, ZoneName};

/// Everything a front serves from; immutable, replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrontSnapshot {
    /// Store revision it was made from. A front ignores a snapshot older than its own.
    pub revision: u64,
    /// The front's own zone; endpoints of the same zone are taken first.
    pub zone: Option<ZoneName>,
    /// Where to listen and what to answer there.
    pub listeners: Vec<Listener>,
    /// The services behind the routes.
    pub pools: Vec<Pool>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Bound with `SO_REUSEPORT` among the threads of one front only.
    pub address: SocketAddr,
    /// First match wins; the entry without a host comes last.
    pub routes: Vec<Route>,
}

/// Which requests go to which service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Lower-case host without port; `None` matches every host.
    pub host: Option<String>,
    /// The service that answers.
    pub to: ServiceName,
}

/// The replicas of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The service.
    pub service: ServiceName,
    /// Its replicas in all zones.
    pub endpoints: Vec<Endpoint>,
    /// What the front's own active probes ask.
    pub probe: Probe,
    /// Time between two probes of one endpoint in calm.
    pub interval: Duration,
    /// A probe without an answer by then has failed.
    pub timeout: Duration,
    /// Failed probes in a row that eject an endpoint.
    pub retries: u32,
    /// How requests are retried.
    pub retry: RetryPolicy,
}

/// One replica as a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its identity: state kept about it survives a change of the snapshot.
    pub unit: UnitName,
    /// Its zone.
    pub zone: ZoneName,
    /// Where it listens.
    pub address: SocketAddr,
    /// Gets no new requests; open ones finish.
    pub draining: bool,
}

/// When a failed attempt is tried again on another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Retries may add at most this share to the requests of the last seconds, in 0..1.
    pub budget: f64,
    /// An attempt whose answer has not begun by then is given up.
    pub attempt_timeout: Duration,
    /// Also retry requests that may have been carried out. Breaks the promise on double effects: it exists so
    /// that a drill can show that it goes red.
    pub retry_unsafe: bool,
}

/// Requests of one service since the front started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCounters {
    /// Requests answered, however.
    pub requests: u64,
    /// Answered by the front itself with 502, 503 or 504, or by the service with 5xx.
    pub errors: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Endpoints taken out after failing.
    pub ejections: u64,
}

/// What a front tells its agent, every 100 ms; silence is how the agent sees that it is frozen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrontReport {
    /// [`FrontSnapshot::revision`] of the snapshot in use on every worker.
    pub applied: u64,
    /// Addresses that are listened on.
    pub listen: Vec<SocketAddr>,
    /// Listeners that could not be opened, with the reason.
    pub refused: Vec<(SocketAddr, String)>,
    /// Draining endpoints that still hold requests, and how many.
    pub busy: BTreeMap<UnitName, u32>,
    /// Endpoints now ejected.
    pub ejected: Vec<UnitName>,
    /// Requests so far, by service.
    pub counters: BTreeMap<ServiceName, ServiceCounters>,
}
