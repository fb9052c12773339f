//! One system that runs, ours or the peer, and what can be done to it.

use std::time::Duration;

use anyhow::{Context, Result};
use drill::database::Target;
use model::{NodeId, ReignPhase};
use rustix::process::Signal;

use super::patroni::Cluster;
use super::plan::System;
use crate::soak::ground::Where;
use crate::soak::hosts::Hosts;
use crate::soak::lab::{Cut, Lab};
use crate::soak::site::NODES;

/// Longer than what [`Hosts::calm`] wants to see.
const LOOK: Duration = Duration::from_millis(600);

/// Three hosts with a database on them. Dropped, nothing of it is left.
pub enum Running {
    /// Ours.
    Evenkeel(Box<Hosts>),
    /// The peer.
    Patroni(Box<Cluster>),
}

impl Running {
    /// Starts it. Whether the peer replicates synchronously is `sync`'s; ours always does.
    pub async fn start(system: System, sync: bool) -> Result<Running> {
        Ok(match system {
            System::Evenkeel => Running::Evenkeel(Box::new(Hosts::start(Where::Hosts).await?)),
            System::PatroniDefault | System::PatroniAggressive => {
                Running::Patroni(Box::new(Cluster::start(system, sync).await?))
            }
        })
    }

    /// The host of the primary, when it serves and both others stream from it.
    pub async fn whole(&self) -> Option<&'static str> {
        match self {
            Running::Evenkeel(hosts) => {
                hosts.calm(LOOK).await?;
                hosts.host(primary(hosts)?).ok()
            }
            Running::Patroni(cluster) => cluster.whole().await,
        }
    }

    /// Where applications go.
    pub fn target(&self) -> Result<Target> {
        match self {
            Running::Evenkeel(hosts) => Ok(hosts.target()),
            Running::Patroni(cluster) => cluster.target(),
        }
    }

    /// Straight to the server of a host, from within it.
    pub fn straight(&self, host: &str) -> Result<Target> {
        match self {
            Running::Evenkeel(hosts) => Ok(hosts.straight(node(hosts, host)?)),
            Running::Patroni(cluster) => cluster.straight(host),
        }
    }

    fn lab(&self) -> &Lab {
        match self {
            Running::Evenkeel(hosts) => &hosts.lab,
            Running::Patroni(cluster) => &cluster.lab,
        }
    }

    /// kill -9 of the first process of a host's server.
    pub fn kill(&self, host: &str) -> Result<()> {
        let server = match self {
            Running::Evenkeel(hosts) => hosts.server(node(hosts, host)?),
            Running::Patroni(cluster) => cluster.server(host),
        };
        server.with_context(|| format!("no server runs on host {host}"))?.signal(Signal::KILL);
        Ok(())
    }

    /// Everything on a host stands still until [`Running::heal`].
    pub fn freeze(&self, host: &str) -> Result<()> {
        self.lab().freeze(host)
    }

    /// Drops every packet from and to a host until [`Running::heal`].
    pub fn cut(&self, host: &str) -> Result<()> {
        self.lab().cut(host, Cut::Both)
    }

    /// Takes back what was done to a host, also where nothing was.
    pub fn heal(&self, host: &str) -> Result<()> {
        self.lab().thaw(host)?;
        self.lab().heal()
    }

    /// Asks for a switch away from the primary's host.
    pub async fn switch(&self, host: &str) -> Result<()> {
        match self {
            Running::Evenkeel(hosts) => {
                let now = node(hosts, host)?;
                let next = NODES.into_iter().find(|node| *node != now).context("no other node")?;
                hosts.hand_over(next).await
            }
            Running::Patroni(cluster) => cluster.switch(host).await,
        }
    }

    /// What it says of itself, for a person.
    pub async fn tell(&self) -> String {
        match self {
            Running::Evenkeel(hosts) => hosts.tell(),
            Running::Patroni(cluster) => cluster.tell().await,
        }
    }
}

fn primary(hosts: &Hosts) -> Option<NodeId> {
    match hosts.record()?.phase {
        ReignPhase::Serving { primary, .. } => Some(primary),
        _ => None,
    }
}

fn node(hosts: &Hosts, host: &str) -> Result<NodeId> {
    let here = |node: &NodeId| hosts.host(*node).is_ok_and(|one| one == host);
    NODES.into_iter().find(here).with_context(|| format!("host {host} has no node"))
}
