//! Where the database is: in this process on loopback, or on hosts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use drill::database::Target;
use model::{NodeId, Record, ReignPhase};

use super::Soak;
use super::hosts::Hosts;
use super::site::Site;

/// Where nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Keepers in this process, three where nothing else is asked for.
    Loopback,
    /// The same, and one of the three nodes is a witness.
    Witness,
    /// An agent on each of three hosts.
    Hosts,
    /// The same, and the node of one of them is a witness.
    HostsWitness,
    /// The same, and two of the three hosts have the data, under a lease.
    Lease,
}

/// The database that is broken. Dropped, nothing of it is left but, where asked for, its folder.
pub enum Ground {
    /// See [`Site`].
    Loopback(Box<Site>),
    /// See [`Hosts`].
    Hosts(Box<Hosts>),
}

impl Ground {
    /// Nodes that serve, with all standbys streaming. On loopback `small_disks` gives each a small disk of its own.
    pub async fn start(soak: &Soak, small_disks: bool) -> Result<Ground> {
        let store = soak.store;
        let site = |nodes, witness| Site::start(store, small_disks, nodes, witness);
        Ok(match soak.place {
            Where::Loopback => Ground::Loopback(Box::new(site(soak.standbys + 1, false).await?)),
            Where::Witness => Ground::Loopback(Box::new(site(3, true).await?)),
            Where::Hosts | Where::HostsWitness | Where::Lease => {
                Ground::Hosts(Box::new(Hosts::start(soak.place).await?))
            }
        })
    }

    /// Leaves the folder behind, with all logs.
    pub fn keep(&mut self) -> &Path {
        match self {
            Ground::Loopback(site) => site.keep(),
            Ground::Hosts(hosts) => {
                hosts.lab.keep();
                hosts.lab.folder()
            }
        }
    }

    /// The newest record that is known.
    pub fn record(&self) -> Option<Record> {
        match self {
            Ground::Loopback(site) => site.record(),
            Ground::Hosts(hosts) => hosts.record(),
        }
    }

    /// The primary that serves, and its term.
    pub fn primary(&self) -> Option<(NodeId, u64)> {
        let record = self.record()?;
        match record.phase {
            ReignPhase::Serving { primary, .. } => Some((primary, record.term)),
            _ => None,
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        match self {
            Ground::Loopback(site) => site.nodes(),
            Ground::Hosts(hosts) => hosts.nodes(),
        }
    }

    /// Waits until all is whole and stays so; the answer is since when it is. `None`: not within `bound`.
    pub async fn calm(&self, bound: Duration) -> Option<Instant> {
        match self {
            Ground::Loopback(site) => site.calm(bound).await,
            Ground::Hosts(hosts) => hosts.calm(bound).await,
        }
    }

    /// Where applications go: the front of each zone.
    pub fn target(&self) -> Target {
        match self {
            Ground::Loopback(site) => site.target(),
            Ground::Hosts(hosts) => hosts.target(),
        }
    }

    /// Straight to a node, also while it is cut off.
    pub fn straight(&self, node: NodeId) -> Target {
        match self {
            Ground::Loopback(site) => site.straight(node),
            Ground::Hosts(hosts) => hosts.straight(node),
        }
    }

    /// Straight to all nodes.
    pub fn servers(&self) -> Target {
        match self {
            Ground::Loopback(site) => site.servers(),
            Ground::Hosts(hosts) => hosts.servers(),
        }
    }

    /// Breaks the product: the application waits for no standby.
    pub fn break_sync(&self, primary: NodeId) -> Result<()> {
        match self {
            Ground::Loopback(site) => site.break_sync(primary),
            Ground::Hosts(hosts) => hosts.break_sync(primary),
        }
    }

    /// Bytes of log of the node that has most of it.
    pub fn log_bytes(&self) -> u64 {
        match self {
            Ground::Loopback(site) => site.log_bytes(),
            Ground::Hosts(hosts) => hosts.log_bytes(),
        }
    }

    /// What every keeper says, for a person.
    pub fn tell(&self) -> String {
        match self {
            Ground::Loopback(site) => site.tell(),
            Ground::Hosts(hosts) => hosts.tell(),
        }
    }

    /// Ends everything; on loopback in order.
    pub async fn end(self) {
        if let Ground::Loopback(site) = self {
            site.end().await;
        }
    }
}
