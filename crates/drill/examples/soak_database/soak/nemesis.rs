//! Makes one fault, and takes back what does not heal by itself.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use drill::database::Handle;
use model::NodeId;
use rustix::process::Signal;

use super::breakage;
use super::ground::Ground;
use super::plan::{Fault, Kind};
use super::process::Process;
use super::site::Site;

/// The next primary is there by then, or the second half of a double fault is left out.
const NEXT_PRIMARY: Duration = Duration::from_secs(20);
/// A server that wakes has this long until its keeper wakes too, in milliseconds at the most: it is what an old
/// primary has to acknowledge in.
const BEHIND_MS: u64 = 500;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// When, in microseconds of the workload: just before the first effect.
    pub at_us: u64,
    /// When the last thing of ours was back.
    pub healed_us: u64,
    /// The node that was hit.
    pub node: Option<NodeId>,
    /// The store's leader was on its host.
    pub leader: bool,
    /// From and to: fewer than two nodes with data could take anything. Of a double fault.
    pub alone_us: Option<(u64, u64)>,
    /// Since then enough is back for writes; `None`: since `healed_us`. Of a double fault.
    pub enough_us: Option<u64>,
}

/// One fault on its way.
pub(super) struct Hit<'a> {
    pub(super) site: &'a mut Site,
    load: &'a Handle,
    pub(super) fault: Fault,
    pub(super) primary: NodeId,
    at_us: Option<u64>,
    alone_us: Option<(u64, u64)>,
    pub(super) enough_us: Option<u64>,
}

/// Makes the fault.
///
/// # Errors
/// When there was nothing to break, or what is to be started again does not start.
pub async fn make(ground: &mut Ground, load: &Handle, fault: Fault) -> Result<Done> {
    let (primary, _) = ground.primary().context("there is no primary to begin with")?;
    let site = match ground {
        Ground::Loopback(site) => site,
        Ground::Hosts(hosts) => return breakage::make(hosts, load, fault, primary).await,
    };
    let mut hit = Hit { site, load, fault, primary, at_us: None, alone_us: None, enough_us: None };
    let node = hit.make().await?;
    let healed_us = load.now_us();
    let (at_us, alone_us, enough_us) = (hit.at_us.unwrap_or(healed_us), hit.alone_us, hit.enough_us);
    Ok(Done { at_us, healed_us, node, leader: false, alone_us, enough_us })
}

impl Hit<'_> {
    /// The node that was hit, where it was one.
    async fn make(&mut self) -> Result<Option<NodeId>> {
        let (primary, away) = (self.primary, Duration::from_millis(self.fault.away_ms));
        let standby = self.fault.choose(&self.standbys()).context("no standby")?;
        match self.fault.kind {
            Kind::PrimaryKill => self.kill(primary)?,
            Kind::PrimaryKillStoreFreeze => self.kill_beside_the_store(away).await?,
            Kind::PrimaryFreeze => {
                let frozen = self.freeze(primary)?;
                tokio::time::sleep(away).await;
                thaw(&frozen);
            }
            Kind::BackendKill => self.kill_backend()?,
            Kind::KeeperCrash => return self.crash_keeper(away).await.map(Some),
            Kind::StandbyKill => {
                self.kill(standby)?;
                return Ok(Some(standby));
            }
            Kind::Switchover => {
                self.mark();
                self.site.hand_over(standby).await?;
                return Ok(Some(standby));
            }
            Kind::NodeKill => {
                self.mark();
                self.kill_node(primary);
                tokio::time::sleep(away).await;
                self.site.start_node(primary).await?;
            }
            Kind::NodeFreeze => self.freeze_node(away).await?,
            Kind::StoreFreeze => {
                self.mark();
                self.site.backing.away(away, || ()).await?;
                return Ok(None);
            }
            Kind::PrimaryKillStandbyFreeze => {
                let frozen = self.freeze(standby)?;
                self.kill(primary)?;
                tokio::time::sleep(away).await;
                thaw(&frozen);
            }
            Kind::PrimaryKillInRejoin => {
                self.kill(primary)?;
                if let Some(next) = self.site.successor(primary, NEXT_PRIMARY).await {
                    self.kill(next)?;
                }
            }
            Kind::StandbysFreezeAllKill => self.kill_all(away).await?,
            Kind::PrimaryDiskFull => self.fill_disk(primary, away).await?,
            Kind::StandbyDiskFull => {
                self.fill_disk(standby, away).await?;
                return Ok(Some(standby));
            }
            Kind::KillInCopy => {
                self.kill_in_copy(standby).await?;
                return Ok(Some(standby));
            }
            Kind::KillInRewind => self.kill_in_rewind(away).await?,
            Kind::StoreAway => {
                self.mark();
                self.site.backing.all_away(away, self.fault.pick.is_multiple_of(2)).await?;
                return Ok(None);
            }
            _ => bail!("`{}` needs hosts\nhint: `--hosts`", self.fault.kind.name()),
        }
        Ok(Some(primary))
    }

    async fn kill_beside_the_store(&mut self, away: Duration) -> Result<()> {
        let server = self.site.server(self.primary).context("the primary does not run")?;
        let (load, mut at_us) = (self.load, None);
        let kill = || {
            at_us = Some(load.now_us());
            server.signal(Signal::KILL);
        };
        self.site.backing.away(away, kill).await?;
        self.at_us = at_us;
        Ok(())
    }

    async fn crash_keeper(&mut self, away: Duration) -> Result<NodeId> {
        let node = self.fault.choose(&self.site.nodes()).context("no node")?;
        self.mark();
        self.site.crash_keeper(node);
        tokio::time::sleep(away).await;
        self.site.start_keeper(node).await?;
        Ok(node)
    }

    async fn freeze_node(&mut self, away: Duration) -> Result<()> {
        let frozen = self.freeze(self.primary)?;
        self.site.crash_keeper(self.primary);
        tokio::time::sleep(away).await;
        thaw(&frozen);
        tokio::time::sleep(Duration::from_millis(self.fault.pick % BEHIND_MS)).await;
        self.site.start_keeper(self.primary).await
    }

    pub(super) async fn kill_all(&mut self, away: Duration) -> Result<()> {
        let mut frozen = Vec::new();
        for node in self.standbys() {
            frozen.extend(self.freeze(node)?);
        }
        let from_us = self.load.now_us();
        tokio::time::sleep(away).await;
        self.alone_us = Some((from_us, self.load.now_us()));
        self.kill_node(self.primary);
        // Not woken: what the primary had sent them is in their sockets, and they would still take it.
        frozen.iter().for_each(|process| process.signal(Signal::KILL));
        self.enough_us = Some(self.load.now_us());
        let _ = self.site.successor(self.primary, NEXT_PRIMARY).await;
        self.site.start_node(self.primary).await
    }

    pub(super) fn standbys(&self) -> Vec<NodeId> {
        let data = |node: &NodeId| *node != self.primary && self.site.witness() != Some(*node);
        self.site.nodes().into_iter().filter(data).collect()
    }

    /// The first effect comes now.
    pub(super) fn mark(&mut self) {
        self.at_us = self.at_us.or(Some(self.load.now_us()));
    }

    fn kill(&mut self, node: NodeId) -> Result<()> {
        let server = self.site.server(node).context("the server does not run")?;
        self.mark();
        server.signal(Signal::KILL);
        Ok(())
    }

    fn freeze(&mut self, node: NodeId) -> Result<Vec<Process>> {
        let server = self.site.server(node).context("the server does not run")?;
        self.mark();
        Ok(server.signal_all(Signal::STOP))
    }

    fn kill_backend(&mut self) -> Result<()> {
        let server = self.site.server(self.primary).context("the primary does not run")?;
        let sessions: Vec<Process> =
            server.children().into_iter().filter(|child| child.title().contains(" shop shop ")).collect();
        let session = self.fault.choose(&sessions).context("nobody is connected")?;
        self.mark();
        session.signal(Signal::KILL);
        Ok(())
    }

    /// Everything of a node at once.
    pub(super) fn kill_node(&mut self, node: NodeId) {
        self.site.crash_keeper(node);
        if let Some(server) = self.site.server(node) {
            server.signal_all(Signal::KILL);
        }
        self.site.crash_front(node);
    }
}

fn thaw(frozen: &[Process]) {
    // Children first: a first process that wakes alone might find them all standing still.
    frozen.iter().rev().for_each(|process| process.signal(Signal::CONT));
}
