//! The faults of a drill on one machine: `engine::local` breaks, `drill` measures.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ::database::keeper::node_of;
use drill::{Break, BreakError, Injected};
use engine::EngineError;
use engine::local::{self, LocalZones};
use model::{DatabaseName, Fault, FaultKind, FaultTarget, UnitName, ZoneName};
use tokio::sync::watch;
use world::Clock;

use super::database;
use super::mirror::Mirror;

/// A zone is held down at most this much longer than the drill means to: should the drill be killed, its mark ends
/// with its process, and should that be missed, with this.
const HELD_DOWN_EXTRA_MS: u64 = 60_000;

/// What is broken.
#[derive(Clone, Debug, PartialEq)]
pub enum Victim {
    /// A whole zone.
    Zone(ZoneName),
    /// A replica or a front, and its zone.
    Unit(UnitName, ZoneName),
}

/// One fault on one machine.
pub struct LocalFault {
    pub fault: Fault,
    pub victim: Victim,
    pub zones: LocalZones,
    pub state: PathBuf,
    pub mirror: watch::Receiver<Arc<Mirror>>,
    /// The database that keeps the application's orders.
    pub orders: Option<DatabaseName>,
    /// How long the drill means to keep it broken.
    pub event_ms: u64,
}

fn wrap(what: &str, error: EngineError) -> BreakError {
    BreakError { what: what.to_owned(), cause: Some(Box::new(error)) }
}

impl LocalFault {
    fn zone(&self) -> &ZoneName {
        match &self.victim {
            Victim::Zone(zone) | Victim::Unit(_, zone) => zone,
        }
    }

    /// Everything the fault takes with it, from the newest picture.
    fn victims(&self) -> (Vec<UnitName>, Vec<SocketAddr>) {
        let picture = self.mirror.borrow().clone();
        let listens =
            || picture.fronts.get(self.zone()).map(|front| front.listen.clone()).unwrap_or_default();
        match &self.victim {
            Victim::Zone(zone) => {
                let units = picture.units.values().filter(|(unit, _)| unit.zone == *zone);
                (units.map(|(unit, _)| unit.name.clone()).collect(), listens())
            }
            Victim::Unit(_, _) if self.fault.target == FaultTarget::Front => (Vec::new(), listens()),
            Victim::Unit(unit, _) => (vec![unit.clone()], Vec::new()),
        }
    }

    /// Whether the primary of the orders' database is in a zone that breaks, by the newest picture.
    fn hits_primary(&self) -> bool {
        let (Victim::Zone(zone), Some(name)) = (&self.victim, &self.orders) else { return false };
        let picture = self.mirror.borrow().clone();
        let docs = picture.databases.get(name).and_then(|docs| docs.record.as_ref());
        let Some(primary) = docs.and_then(|(record, _)| record.primary()) else { return false };
        let planned = database::plan(&picture).map(|plan| plan.databases.as_slice()).unwrap_or_default();
        let planned = planned.iter().filter(|planned| planned.database.name == *name);
        let mut nodes = planned.flat_map(|planned| &planned.nodes);
        nodes.any(|node| node_of(&node.name) == Some(primary) && node.zone == *zone)
    }

    fn break_it(&self) -> Result<(), EngineError> {
        match (&self.victim, self.fault.kind) {
            (Victim::Zone(zone), FaultKind::Kill) => {
                let held = self.event_ms + HELD_DOWN_EXTRA_MS;
                local::mark_down(&self.state, zone, Clock::real().unix_ms(), held)?;
                self.zones.kill_zone(zone)
            }
            (Victim::Zone(zone), FaultKind::Freeze) => self.zones.freeze_zone(zone),
            (Victim::Zone(zone), FaultKind::Cut) => self.zones.cut_zone(zone),
            (Victim::Unit(unit, _), FaultKind::Freeze) => self.zones.freeze_unit(unit),
            (Victim::Unit(unit, _), FaultKind::Kill | FaultKind::Cut) => self.zones.kill_unit(unit),
        }
    }

    fn mend(&self) -> Result<(), EngineError> {
        match (&self.victim, self.fault.kind) {
            (Victim::Zone(zone), FaultKind::Kill) => local::clear_down(&self.state, zone),
            (Victim::Zone(zone), FaultKind::Freeze) => self.zones.thaw_zone(zone),
            (Victim::Zone(zone), FaultKind::Cut) => self.zones.heal_zone(zone),
            (Victim::Unit(unit, _), FaultKind::Freeze) => match self.zones.thaw_unit(unit) {
                // Its agent has ended it and started another: nothing is frozen any more.
                Err(EngineError::Unable { .. }) => Ok(()),
                other => other,
            },
            (Victim::Unit(_, _), FaultKind::Kill | FaultKind::Cut) => Ok(()),
        }
    }
}

impl Break for LocalFault {
    fn fault(&self) -> Fault {
        self.fault
    }

    fn target(&self) -> String {
        match &self.victim {
            Victim::Zone(zone) => zone.to_string(),
            Victim::Unit(unit, _) => unit.to_string(),
        }
    }

    fn impossible(&self) -> Option<String> {
        if self.fault.kind != FaultKind::Cut {
            return None;
        }
        if self.fault.target != FaultTarget::Zone {
            return Some("only a zone can be cut off: replicas and fronts share its network".to_owned());
        }
        let why = "the zones share this machine's network: start with `evenkeel up --isolate` as root to cut one off";
        self.zones.wiring.is_none().then(|| why.to_owned())
    }

    async fn inject(&mut self) -> Result<Injected, BreakError> {
        let (units, fronts) = self.victims();
        let primary = self.hits_primary();
        let at = Instant::now();
        self.break_it().map_err(|error| wrap("the fault was not carried out", error))?;
        Ok(Injected { units, primary, fronts, at })
    }

    async fn heal(&mut self) -> Result<(), BreakError> {
        self.mend().map_err(|error| wrap("the fault was not undone", error))
    }
}
