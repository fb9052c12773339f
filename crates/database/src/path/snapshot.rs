//! What the data front gets from its agent and tells it: JSON lines over a Unix socket.

use std::net::SocketAddr;

use model::ZoneName;
use serde::{Deserialize, Serialize};

/// Everything the data front serves from; immutable, replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSnapshot {
    /// Grows with every change. A front ignores a snapshot older than its own.
    pub revision: u64,
    /// The front's own zone; named in what clients get to read.
    pub zone: Option<ZoneName>,
    /// The databases, each with a name of its own.
    pub databases: Vec<Served>,
}

/// One database as the front serves it. One that leaves the snapshot is served no more: its sessions are ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its name in the user's file.
    pub name: String,
    /// Where clients connect: an address of the front's own zone.
    pub listen: SocketAddr,
    /// Where the primary listens. `None`: there is none now, or nobody knows; new connections are held.
    pub primary: Option<SocketAddr>,
    /// The keeper's term in which that is the primary. When it grows, every session of an earlier term is ended.
    pub term: u64,
    /// New connections are held although there is a primary: a planned switch is under way. Sessions go on.
    pub hold: bool,
}

/// What the data front tells its agent, every 100 ms; silence is how the agent sees that it is frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// [`DataSnapshot::revision`] of the snapshot in force.
    pub applied: u64,
    /// Addresses that are listened on.
    pub listen: Vec<SocketAddr>,
    /// Addresses that could not be had, with the reason; tried again every 250 ms.
    pub refused: Vec<(SocketAddr, String)>,
    /// Client connections that are open now, the held ones included.
    pub connections: u64,
    /// Client connections that wait for a primary now.
    pub held: u64,
    /// Sessions that were ended because their primary was replaced or their database removed, since the front started.
    pub ended_by_switch: u64,
}
