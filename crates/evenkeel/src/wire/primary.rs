//! The faults of a drill that strike a database's primary: its server alone, or with `cut` its zone's network.

use std::sync::Arc;
use std::time::Instant;

use drill::{Break, BreakError, Injected};
use engine::local::{LocalZones, ProcessId, signal_tree};
use model::{DatabaseName, Fault, FaultKind, Status, UnitName, ZoneName};
use rustix::process::Signal;
use tokio::sync::watch;

/// One fault of one database.
pub struct PrimaryFault {
    pub fault: Fault,
    pub database: DatabaseName,
    pub zones: LocalZones,
    pub status: watch::Receiver<Arc<Status>>,
    /// What was struck: to be healed, and to be named when somebody else is primary.
    struck: Option<(ProcessId, Primary)>,
}

/// A primary as the picture has it.
pub struct Primary {
    pub unit: UnitName,
    pub zone: ZoneName,
    process: Option<ProcessId>,
}

/// The primary of `database` now.
pub fn primary_of(status: &Status, database: &DatabaseName) -> Option<Primary> {
    let database = status.databases.iter().find(|known| known.name == *database)?;
    let name = database.primary.clone()?;
    let unit = status.units.iter().find(|unit| unit.name == name)?;
    Some(Primary { unit: name, zone: unit.zone.clone(), process: unit.pid.and_then(ProcessId::of) })
}

impl PrimaryFault {
    pub fn new(
        fault: Fault,
        database: DatabaseName,
        zones: LocalZones,
        status: watch::Receiver<Arc<Status>>,
    ) -> PrimaryFault {
        PrimaryFault { fault, database, zones, status, struck: None }
    }

    fn primary(&self) -> Option<Primary> {
        primary_of(&self.status.borrow(), &self.database)
    }

    fn mend(&self) -> Result<(), BreakError> {
        let Some((process, Primary { zone, .. })) = &self.struck else { return Ok(()) };
        match self.fault.kind {
            FaultKind::Kill => Ok(()),
            FaultKind::Freeze => {
                signal_tree(*process, Signal::CONT);
                Ok(())
            }
            FaultKind::Cut => self.zones.heal_zone(zone).map_err(|error| BreakError {
                what: format!("zone {zone} was not connected again"),
                cause: Some(Box::new(error)),
            }),
        }
    }
}

impl Break for PrimaryFault {
    fn fault(&self) -> Fault {
        self.fault
    }

    fn target(&self) -> String {
        let struck = self.struck.as_ref().map(|(_, primary)| primary.unit.to_string());
        let now = || self.primary().map(|primary| primary.unit.to_string());
        struck.or_else(now).unwrap_or_else(|| self.database.to_string())
    }

    fn impossible(&self) -> Option<String> {
        let why = "the zones share this machine's network: start with `evenkeel up --isolate` as root to cut one off";
        (self.fault.kind == FaultKind::Cut && self.zones.wiring.is_none()).then(|| why.to_owned())
    }

    async fn inject(&mut self) -> Result<Injected, BreakError> {
        let primary = self.primary().ok_or_else(|| BreakError::new("there is no primary to strike"))?;
        let gone = || BreakError::new(format!("the server of {} does not run", primary.unit));
        let process = primary.process.ok_or_else(gone)?;
        let (unit, zone) = (primary.unit.clone(), primary.zone.clone());
        self.struck = Some((process, primary));
        let at = Instant::now();
        match self.fault.kind {
            FaultKind::Kill => process.signal(Signal::KILL),
            FaultKind::Freeze => signal_tree(process, Signal::STOP),
            FaultKind::Cut => self.zones.cut_zone(&zone).map_err(|error| BreakError {
                what: format!("zone {zone} was not cut off"),
                cause: Some(Box::new(error)),
            })?,
        }
        Ok(Injected { units: vec![unit], primary: true, fronts: Vec::new(), at })
    }

    async fn heal(&mut self) -> Result<(), BreakError> {
        self.mend()
    }
}
