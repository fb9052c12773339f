//! What a keeper is made of.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{DatabaseName, NodeId, PlannedDatabase, UnitName, ZoneName};

use crate::instance::{Secrets, TlsFiles};

/// Where a data node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Its unit, `db-2` for `NodeId(2)`.
    pub unit: UnitName,
    /// Its zone.
    pub zone: ZoneName,
    /// Where its PostgreSQL listens.
    pub server: SocketAddr,
    /// Where its keeper listens for the others.
    pub keeper: SocketAddr,
}

/// Everything a keeper must know at its start.
#[derive(Clone)]
pub struct KeeperOptions {
    /// The database.
    pub database: PlannedDatabase,
    /// The application, after which the role and the PostgreSQL database are named.
    pub application: model::AppName,
    /// This node.
    pub node: NodeId,
    /// Every node of the plan, this one included.
    pub places: BTreeMap<NodeId, NodePlace>,
    /// The node's own folder: the instance and the keeper's file.
    pub dir: PathBuf,
    /// As whom PostgreSQL runs: needed by root, else `None`.
    pub user: Option<(u32, u32)>,
    /// Certificates; `None`: connections between nodes are not encrypted, as on one machine's loopback.
    pub tls: Option<TlsFiles>,
    /// The passwords, the same on all nodes.
    pub secrets: Secrets,
    /// What keepers show each other that they belong together; the same on all nodes. At least 32 random bytes.
    pub peers_key: Vec<u8>,
    /// So many points of unrest end failovers that nobody asked for: [`crate::UNREST_MAX`], but for who breaks a database
    /// on purpose again and again.
    pub unrest_max: u32,
    /// The program that knows the hidden command [`super::WATCHDOG`]: evenkeel itself. Used in lease mode alone.
    pub watchdog: PathBuf,
}

impl std::fmt::Debug for KeeperOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = self.unit();
        f.debug_struct("KeeperOptions").field("unit", &unit).field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl KeeperOptions {
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &DatabaseName {
        &self.database.database.name
    }

    /// The node's unit, as logs have it: `db-2`.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("{}-{}", self.name(), self.node)
    }
}

/// The node of a unit `db-2`.
#[must_use]
pub fn node_of(unit: &UnitName) -> Option<NodeId> {
    let (_, number) = unit.as_str().rsplit_once('-')?;
    number.parse().ok().filter(|number| (1..=model::NODES_MAX).contains(number)).map(NodeId)
}
