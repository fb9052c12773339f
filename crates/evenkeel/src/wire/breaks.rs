//! The agent's part of a drill over hosts: breaks a database's primary in this zone when the drill orders it through the
//! store, says so, and mends it when its time is over or the order is gone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use database::keeper::ServerState;
use engine::HostCut;
use engine::local::{ProcessId, signal_tree};
use model::{FaultKind, FaultOrder, FaultReport, FaultState, ZoneName, keys};
use rustix::process::Signal;
use store::{Entry, Event, Store, StoreError, Watch};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use world::Stop;

use super::coordination::StoreAddress;
use super::keepers::Board;
use super::mirror::Mirror;

/// Nothing stays broken for longer, whatever an order says.
pub const HELD_MAX_MS: u64 = 600_000;
/// Between two tries to follow a store that does not answer, and to tell it something.
const AGAIN: Duration = Duration::from_millis(200);
/// The drill does not wait longer for the word that something is broken.
const TOLD_BROKEN: Duration = Duration::from_secs(3);
/// A host that was cut off finds its store again within this.
const TOLD_MENDED: Duration = Duration::from_secs(30);

/// What the agent's tasks share with this one.
pub struct Scene {
    pub zone: ZoneName,
    pub address: IpAddr,
    pub members: StoreAddress,
    pub store: Store,
    pub board: watch::Receiver<Board>,
    pub mirror: watch::Receiver<Arc<Mirror>>,
}

/// What is about to be broken, or is.
#[derive(Clone)]
enum Strike {
    Kill(ProcessId),
    Freeze(ProcessId),
    Cut(HostCut),
}

impl Strike {
    fn make(&self) -> Result<(), String> {
        match self {
            Strike::Kill(process) => process.signal(Signal::KILL),
            Strike::Freeze(process) => signal_tree(*process, Signal::STOP),
            Strike::Cut(cut) => cut.make().map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    fn mend(&self) {
        match self {
            // Its keeper starts it again.
            Strike::Kill(_) => {}
            Strike::Freeze(process) => signal_tree(*process, Signal::CONT),
            Strike::Cut(cut) => {
                if let Err(error) = cut.heal() {
                    tracing::warn!(%error, "the host is connected again when the time of the cut is over");
                }
            }
        }
    }
}

/// Looks at processes and runs programs: the keepers of the zone share the agent's thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// Obeys orders that are given from now on, until `stop`. One from before this agent's start is none of its.
pub async fn serve(scene: Scene, stop: Stop) {
    let _ = aside(HostCut::heal_all).await;
    while !stop.is_requested() {
        if let Err(error) = scene.follow(&stop).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "orders of drills cannot be followed");
        }
        tokio::select! {
            biased;
            () = stop.requested() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

impl Scene {
    fn key(&self) -> String {
        format!("{}{}", keys::FAULTS, self.zone)
    }

    async fn follow(&self, stop: &Stop) -> Result<(), StoreError> {
        let key = self.key();
        let mut watch = self.store.watch(&key, 0).await?;
        loop {
            let events = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                events = watch.next() => events?,
            };
            // Only the newest counts, and only if it is still there: a late one is of a drill that has ended.
            let newest = events.into_iter().rfind(|event| event.key() == key);
            if let Some(Event::Put(entry)) = newest
                && self.store.get(&key).await?.is_some_and(|now| now.modified == entry.modified)
            {
                self.obey(&entry, &mut watch, stop).await;
            }
        }
    }

    async fn obey(&self, entry: &Entry, watch: &mut Watch, stop: &Stop) {
        let Ok(order) = serde_json::from_slice::<FaultOrder>(&entry.value) else {
            tracing::warn!(zone = %self.zone, "a drill's order cannot be read: another version has given it");
            return;
        };
        tracing::warn!(zone = %self.zone, unit = %order.unit, kind = ?order.kind, "a drill breaks it");
        let number = order.number;
        let said = |state| FaultReport { number, state };
        let (strike, began) = match self.strike(&order, stop).await {
            Ok(broken) => broken,
            Err(why) => {
                tracing::warn!(zone = %self.zone, why, "it was not broken");
                self.report(&said(FaultState::Refused { why }), TOLD_BROKEN, stop).await;
                return;
            }
        };
        self.hold(watch, began + held(&order), stop).await;
        let mend = strike.clone();
        if let Err(error) = aside(move || mend.mend()).await {
            tracing::warn!(error, "it was not mended");
        }
        let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(zone = %self.zone, unit = %order.unit, after_ms, "mended");
        self.report(&said(FaultState::Mended { after_ms }), TOLD_MENDED, stop).await;
    }

    /// Breaks it, and says so: of a cut right before, when all that could be in its way was looked at, as nobody would hear
    /// of it after. What nobody hears of is not cut.
    async fn strike(&self, order: &FaultOrder, stop: &Stop) -> Result<(Strike, Instant), String> {
        let strike = self.look(order).await?;
        let report = FaultReport { number: order.number, state: FaultState::Broken };
        if order.kind == FaultKind::Cut && !self.report(&report, TOLD_BROKEN, stop).await {
            return Err("the store does not answer".to_owned());
        }
        let (made, began) = (strike.clone(), Instant::now());
        aside(move || made.make()).await.and_then(|made| made)?;
        if order.kind != FaultKind::Cut {
            self.report(&report, TOLD_BROKEN, stop).await;
        }
        Ok((strike, began))
    }

    /// What the order comes to, before anything is done.
    async fn look(&self, order: &FaultOrder) -> Result<Strike, String> {
        let board = self.board.borrow().clone();
        let node = board.iter().find(|(node, _)| node.to_string() == order.unit.as_str());
        let (_, status) = node.ok_or_else(|| format!("`{}` is not in zone {}", order.unit, self.zone))?;
        if status.server != ServerState::Open {
            return Err(format!("`{}` is no primary that serves any more", order.unit));
        }
        let process = status.server_pid.and_then(ProcessId::of).filter(|process| is_server(*process));
        let process = process.ok_or_else(|| format!("the server of `{}` does not run", order.unit))?;
        match order.kind {
            FaultKind::Kill => Ok(Strike::Kill(process)),
            FaultKind::Freeze => Ok(Strike::Freeze(process)),
            FaultKind::Cut => {
                let (others, ports) = self.ways().await?;
                let held_ms = order.held_ms.min(HELD_MAX_MS);
                let number = order.number;
                let cut = aside(move || HostCut::plan(number, &others, &ports, held_ms)).await?;
                cut.map(Strike::Cut).map_err(|error| error.to_string())
            }
        }
    }

    /// The other zones and the store's members, and the ports at which clients reach this zone.
    async fn ways(&self) -> Result<(Vec<IpAddr>, Vec<u16>), String> {
        let picture = self.mirror.borrow().clone();
        let mut others: Vec<IpAddr> = picture.zones.values().copied().collect();
        // A member of this host's own may be named by its loopback.
        others.extend(self.members.resolve().await?.into_iter().filter(|member| !member.is_loopback()));
        others.retain(|address| *address != self.address);
        others.sort_unstable();
        others.dedup();
        let fronts = picture.fronts.get(&self.zone).into_iter().flat_map(|front| &front.listen);
        let data = picture.data_fronts.get(&self.zone).into_iter().flat_map(|front| &front.listen);
        let mut ports: Vec<u16> = fronts.chain(data).map(std::net::SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        Ok((others, ports))
    }

    /// Until the order is gone, its time is over, or this agent ends.
    async fn hold(&self, watch: &mut Watch, until: Instant, stop: &Stop) {
        let key = self.key();
        loop {
            let gone = async {
                match watch.next().await {
                    Ok(events) => events.iter().any(|event| event.key() == key),
                    // Whether the order is still there cannot be known: its time counts.
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = sleep_until(until) => return,
                gone = gone => if gone { return },
            }
        }
    }

    /// Tells the drill, again and again until the store has it; whether it has.
    async fn report(&self, report: &FaultReport, within: Duration, stop: &Stop) -> bool {
        let key = format!("{}{}", keys::FAULT_REPORTS, self.zone);
        let Ok(value) = serde_json::to_vec(report) else { return false };
        let until = Instant::now() + within;
        loop {
            match self.store.put(&key, value.clone()).await {
                Ok(_) => return true,
                Err(error) => tracing::debug!(%error, "the drill is not told"),
            }
            if stop.is_requested() || Instant::now() + AGAIN >= until {
                return false;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn held(order: &FaultOrder) -> Duration {
    Duration::from_millis(order.held_ms.min(HELD_MAX_MS))
}

/// The number of a server that has ended may be somebody else's.
fn is_server(process: ProcessId) -> bool {
    std::fs::read_to_string(format!("/proc/{}/comm", process.pid)).is_ok_and(|name| name.trim() == "postgres")
}

#[cfg(test)]
#[path = "breaks_tests.rs"]
mod tests;
