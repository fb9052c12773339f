//! The agent's part of a drill over hosts: breaks a database's node of this zone when the drill orders it through the store,
//! says so, and undoes it when its time is over or the order is gone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::HostCut;
use engine::local::{ProcessId, signal_tree};
use model::{FaultKind, FaultOrder, FaultReport, FaultState, ZoneName, keys};
use rustix::process::Signal;
use store::{Entry, Event, Store, StoreError, Watch};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use world::Stop;

use super::keepers::Board;
use super::mirror::Mirror;

/// Nothing stays broken for longer, whatever an order says.
pub const HELD_MAX_MS: u64 = 600_000;
/// A host that is cut off heals by itself so much later than its agent means to.
const UNDO_EXTRA_MS: u64 = 5_000;
/// Between two tries to follow a store that does not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// An answer of the store is waited for so long: what is broken must be mended in time.
const ANSWER: Duration = Duration::from_secs(2);

/// What the agent's tasks share with this one.
pub struct Scene {
    pub zone: ZoneName,
    pub address: IpAddr,
    /// Members of the store.
    pub members: Vec<IpAddr>,
    pub store: Store,
    pub board: watch::Receiver<Board>,
    pub mirror: watch::Receiver<Arc<Mirror>>,
}

/// Something that is broken.
enum Broken {
    /// Its server was killed: its keeper starts it again.
    Killed,
    Frozen(ProcessId),
    Cut(HostCut),
}

impl Broken {
    fn mend(&self) {
        match self {
            Broken::Killed => {}
            Broken::Frozen(process) => signal_tree(*process, Signal::CONT),
            Broken::Cut(cut) => {
                if let Err(error) = cut.heal() {
                    tracing::warn!(%error, "the host is connected again some seconds later, by itself");
                }
            }
        }
    }
}

/// Obeys orders that are given from now on, until `stop`. One from before this agent's start is none of its.
pub async fn serve(scene: Scene, stop: Stop) {
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
        let held = Duration::from_millis(order.held_ms.min(HELD_MAX_MS));
        tracing::warn!(zone = %self.zone, unit = %order.unit, kind = ?order.kind, ?held, "a drill breaks it");
        let until = Instant::now() + held;
        let said = |state| FaultReport { number: order.number, state };
        // Nobody would hear of a cut after it.
        if order.kind == FaultKind::Cut {
            self.report(&said(FaultState::Broken)).await;
        }
        let broken = match self.strike(&order, held) {
            Ok(broken) => broken,
            Err(why) => return self.report(&said(FaultState::Refused { why })).await,
        };
        if order.kind != FaultKind::Cut {
            self.report(&said(FaultState::Broken)).await;
        }
        self.hold(watch, until, stop).await;
        broken.mend();
        tracing::info!(zone = %self.zone, unit = %order.unit, "mended");
        self.report(&said(FaultState::Mended)).await;
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

    fn strike(&self, order: &FaultOrder, held: Duration) -> Result<Broken, String> {
        let board = self.board.borrow().clone();
        let node = board.iter().find(|(node, _)| node.to_string() == order.unit.as_str());
        let (_, status) = node.ok_or_else(|| format!("`{}` is not in zone {}", order.unit, self.zone))?;
        let process = status.server_pid.and_then(ProcessId::of);
        let process = process.ok_or_else(|| format!("the server of `{}` does not run", order.unit))?;
        match order.kind {
            FaultKind::Kill => {
                process.signal(Signal::KILL);
                Ok(Broken::Killed)
            }
            FaultKind::Freeze => {
                signal_tree(process, Signal::STOP);
                Ok(Broken::Frozen(process))
            }
            FaultKind::Cut => {
                let held_ms = u64::try_from(held.as_millis()).unwrap_or(HELD_MAX_MS) + UNDO_EXTRA_MS;
                let (others, ports) = self.ways();
                let cut = HostCut::make(order.number, &others, &ports, held_ms);
                cut.map(Broken::Cut).map_err(|error| error.to_string())
            }
        }
    }

    /// The other zones and the store's members, and the ports at which clients reach this zone.
    fn ways(&self) -> (Vec<IpAddr>, Vec<u16>) {
        let picture = self.mirror.borrow().clone();
        let mut others: Vec<IpAddr> = picture.zones.values().chain(&self.members).copied().collect();
        others.retain(|address| *address != self.address);
        others.sort_unstable();
        others.dedup();
        let fronts = picture.fronts.get(&self.zone).into_iter().flat_map(|front| &front.listen);
        let data = picture.data_fronts.get(&self.zone).into_iter().flat_map(|front| &front.listen);
        let mut ports: Vec<u16> = fronts.chain(data).map(std::net::SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        (others, ports)
    }

    async fn report(&self, report: &FaultReport) {
        let key = format!("{}{}", keys::FAULT_REPORTS, self.zone);
        let Ok(value) = serde_json::to_vec(report) else { return };
        // The drill waits for it, and says what it could not learn.
        match timeout(ANSWER, self.store.put(&key, value)).await {
            Ok(Ok(_)) => {}
            other => tracing::debug!(?other, "the drill is not told"),
        }
    }
}
