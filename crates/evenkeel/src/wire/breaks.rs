//! The agent's part of a drill over hosts: breaks a database's primary in this zone when the drill orders it through the
//! store, says so, and mends it when its time is over or the order is gone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use database::keeper::ServerState;
use engine::HostCut;
use engine::local::{ProcessId, signal_tree};
use model::{FaultKind, FaultOrder, FaultReport, FaultState, ZoneName, keys};
use rustix::process::Signal;
use store::{Compare, Entry, Op, Revision, Store, StoreError, Txn, Watch};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
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
/// The names of the store's members lead to addresses within this.
const RESOLVED: Duration = Duration::from_secs(2);
/// A host that was cut off finds its store again within this.
const TOLD_MENDED: Duration = Duration::from_secs(30);

/// What the agent's tasks share with this one.
pub struct Scene {
    /// Tells this agent from others of its host.
    pub owner: u64,
    pub zone: ZoneName,
    pub address: IpAddr,
    pub members: StoreAddress,
    pub store: Store,
    pub board: watch::Receiver<Board>,
    pub mirror: watch::Receiver<Arc<Mirror>>,
}

/// By its folder, of which an agent has one for itself.
pub fn owner(dir: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()).hash(&mut hasher);
    hasher.finish()
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

    /// `Err`: it was not broken for as long as it should have been.
    fn mend(&self) -> Result<(), String> {
        match self {
            // Its keeper starts it again.
            Strike::Kill(_) => {}
            Strike::Freeze(process) => signal_tree(*process, Signal::CONT),
            Strike::Cut(cut) => match cut.heal() {
                Ok(true) => {}
                Ok(false) => {
                    return Err("somebody has taken the rules of the cut out of the kernel".to_owned());
                }
                Err(error) => {
                    tracing::warn!(%error, "the host is connected again when the time of the cut is over");
                }
            },
        }
        Ok(())
    }
}

/// Looks at processes and runs programs: the keepers of the zone share the agent's thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// Obeys orders that are given from now on, until `stop`. One from before this agent's start is none of its.
pub async fn serve(scene: Scene, stop: Stop) {
    let owner = scene.owner;
    let _ = aside(move || HostCut::heal_all(owner)).await;
    let mut seen = None;
    while !stop.is_requested() {
        if let Err(error) = scene.follow(&mut seen, &stop).await {
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

    /// Obeys what is newer than `seen`; `None`: than what is there now.
    async fn follow(&self, seen: &mut Option<Revision>, stop: &Stop) -> Result<(), StoreError> {
        let key = self.key();
        let known = match *seen {
            Some(known) => known,
            None => self.store.get(&key).await?.map_or(0, |entry| entry.modified),
        };
        let mut newest = *seen.insert(known);
        let mut watch = self.store.watch(&key, 0).await?;
        loop {
            // Only the newest counts, and only if it is still there: a late one is of a drill that has ended. Also what came while
            // nobody listened, or while the store did not answer.
            if let Some(entry) = self.store.get(&key).await?.filter(|entry| entry.modified > newest) {
                newest = *seen.insert(entry.modified);
                self.obey(&entry, &mut watch, stop).await;
            }
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                events = watch.next() => drop(events?),
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
        let (strike, began) = match self.strike(&order, entry.modified, stop).await {
            Ok(broken) => broken,
            Err(why) => {
                tracing::warn!(zone = %self.zone, why, "it was not broken");
                self.report(&said(FaultState::Refused { why }), TOLD_BROKEN, stop).await;
                return;
            }
        };
        self.hold(watch, began + held(&order), stop).await;
        let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let state = match aside(move || strike.mend()).await.and_then(|mended| mended) {
            Ok(()) => FaultState::Mended { after_ms },
            Err(why) => FaultState::Refused { why },
        };
        tracing::info!(zone = %self.zone, unit = %order.unit, after_ms, ?state, "mended");
        self.report(&said(state), TOLD_MENDED, stop).await;
    }

    /// Breaks it, and says so: of a cut right before, when all that could be in its way was looked at, as nobody would hear
    /// of it after. What nobody hears of is not cut.
    async fn strike(
        &self,
        order: &FaultOrder,
        given: Revision,
        stop: &Stop,
    ) -> Result<(Strike, Instant), String> {
        let strike = self.look(order).await?;
        let report = FaultReport { number: order.number, state: FaultState::Broken };
        if order.kind == FaultKind::Cut {
            self.announce(&report, given).await?;
        }
        let made = strike.clone();
        aside(move || made.make()).await.and_then(|made| made)?;
        let began = Instant::now();
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
                let named = (self.owner, order.number);
                let cut = aside(move || HostCut::plan(named, &others, &ports, held_ms)).await?;
                cut.map(Strike::Cut).map_err(|error| error.to_string())
            }
        }
    }

    /// The other zones and the store's members, and the ports at which clients reach this zone.
    async fn ways(&self) -> Result<(Vec<IpAddr>, Vec<u16>), String> {
        let picture = self.mirror.borrow().clone();
        let mut others: Vec<IpAddr> = picture.zones.values().copied().collect();
        // A member of this host's own may be named by its loopback.
        let members = timeout(RESOLVED, self.members.resolve()).await;
        let members =
            members.map_err(|_| "the names of the store's members lead nowhere in time".to_owned())??;
        others.extend(members.into_iter().filter(|member| !member.is_loopback()));
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

    /// Tells the drill, if its order of the revision `given` is still there: what was looked at may have taken its time.
    async fn announce(&self, report: &FaultReport, given: Revision) -> Result<(), String> {
        let value = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        let key = format!("{}{}", keys::FAULT_REPORTS, self.zone);
        let compare = vec![Compare::Modified { key: self.key(), revision: given }];
        let then = vec![Op::Put { key, value, lease: None }];
        match self.store.txn(Txn { compare, then }).await {
            Ok(reply) if reply.done => Ok(()),
            Ok(_) => Err("its drill has ended".to_owned()),
            Err(error) => Err(format!("the store does not answer: {error}")),
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
