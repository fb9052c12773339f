//! Breaking and healing: each fault is one step as seen from outside, and each can be undone by [`heal_all`].

use std::path::Path;

use model::{UnitName, ZoneName};
use rustix::process::Signal;

use super::{LocalZone, LocalZones, Way, cgroup, clear_down};
use crate::process::{self, ProcessId};
use crate::record::{self, ProcessRecord, unit_folder};
use crate::{EngineError, marker, wait};

/// Rounds of signalling processes one by one; each catches what the one before had forked.
const ROUNDS: u32 = 10;

/// Signals `root` and every process that came of it; twice, for what is forked in between.
pub fn signal_tree(root: ProcessId, signal: Signal) {
    for _ in 0..2 {
        process::with_descendants(root).into_iter().for_each(|process| process.signal(signal));
    }
}

impl LocalZones {
    /// Ends every process of the zone (agent, fronts, units) at once. Unless a mark says otherwise
    /// ([`super::mark_down`]) the supervisor starts it again.
    ///
    /// # Errors
    /// [`EngineError`] when there is no such zone or the kernel refuses.
    pub fn kill_zone(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let zone = self.zone(zone)?;
        match &zone.cgroup.v2 {
            Some(folder) => cgroup::kill(folder)?,
            None => zone.signal_all(Signal::KILL),
        }
        Ok(())
    }

    /// Stops every process of the zone; its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// [`EngineError`] when there is no such zone or the kernel refuses.
    pub fn freeze_zone(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let zone = self.zone(zone)?;
        match &zone.cgroup.v2 {
            Some(folder) => cgroup::freeze(folder, true),
            None => {
                zone.signal_all(Signal::STOP);
                Ok(())
            }
        }
    }

    /// Lets the zone go on after [`LocalZones::freeze_zone`].
    ///
    /// # Errors
    /// [`EngineError`] when there is no such zone or the kernel refuses.
    pub fn thaw_zone(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let zone = self.zone(zone)?;
        if let Some(folder) = &zone.cgroup.v2 {
            cgroup::freeze(folder, false)?;
            for child in cgroup::children(folder) {
                cgroup::freeze(&child, false)?;
            }
        } else {
            zone.signal_all(Signal::CONT);
        }
        Ok(())
    }

    /// Drops every packet from and to the zone; packets inside it go on.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when the zones are not isolated.
    pub fn cut_zone(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let index = self.index(zone)?;
        match &self.wiring {
            Some(wiring) => wiring.cut(index),
            None => Err(shared(zone)),
        }
    }

    /// Drops every packet to the zone, or every packet from it, until [`LocalZones::heal_links`].
    ///
    /// # Errors
    /// As [`LocalZones::cut_zone`].
    pub fn cut_zone_one_way(&self, zone: &ZoneName, way: Way) -> Result<(), EngineError> {
        let index = self.index(zone)?;
        self.wiring.as_ref().ok_or_else(|| shared(zone))?.cut_one_way(index, way)
    }

    /// Drops every packet from one zone to another until [`LocalZones::heal_links`]; the way back is another cut.
    ///
    /// # Errors
    /// As [`LocalZones::cut_zone`].
    pub fn cut_link(&self, from: &ZoneName, to: &ZoneName) -> Result<(), EngineError> {
        let (zone, wiring) = (from, self.wiring.as_ref());
        let (from, to) = (self.index(from)?, self.index(to)?);
        wiring.ok_or_else(|| shared(zone))?.cut_link(from, to)
    }

    /// Lets all packets of all zones through again.
    ///
    /// # Errors
    /// [`EngineError`] when the rules cannot be changed.
    pub fn heal_links(&self) -> Result<(), EngineError> {
        self.wiring.as_ref().map_or(Ok(()), super::Wiring::heal_all)
    }

    /// Lets the zone's packets through again.
    ///
    /// # Errors
    /// [`EngineError`] when there is no such zone or the rules cannot be changed.
    pub fn heal_zone(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let index = self.index(zone)?;
        self.wiring.as_ref().map_or(Ok(()), |wiring| wiring.heal(index))
    }

    /// Kills one unit or front and all it started.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when no such unit runs.
    pub fn kill_unit(&self, unit: &UnitName) -> Result<(), EngineError> {
        let (zone, record) = self.unit(unit)?;
        if !zone.cgroup.existing(unit).kill()? {
            process::sweep(&marker(&zone.state, unit), Some(record.process));
        }
        Ok(())
    }

    /// Stops one unit or front and all it started; its sockets stay open.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when no such unit runs.
    pub fn freeze_unit(&self, unit: &UnitName) -> Result<(), EngineError> {
        self.hold_unit(unit, true)
    }

    /// Lets a unit go on after [`LocalZones::freeze_unit`], also one that was killed meanwhile and is just being
    /// started again.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when no such unit runs.
    pub fn thaw_unit(&self, unit: &UnitName) -> Result<(), EngineError> {
        let folders = self.zones.iter().filter_map(|zone| zone.cgroup.existing(unit).v2);
        let thawed: Vec<Result<(), EngineError>> =
            folders.map(|folder| cgroup::freeze(&folder, false)).collect();
        if thawed.is_empty() { self.hold_unit(unit, false) } else { thawed.into_iter().collect() }
    }

    fn hold_unit(&self, unit: &UnitName, hold: bool) -> Result<(), EngineError> {
        let (zone, record) = self.unit(unit)?;
        if let Some(folder) = zone.cgroup.existing(unit).v2 {
            return cgroup::freeze(&folder, hold);
        }
        let marker = marker(&zone.state, unit);
        let signal = if hold { Signal::STOP } else { Signal::CONT };
        repeat(signal, || process::of_unit(&marker, Some(record.process)));
        Ok(())
    }

    fn unit(&self, unit: &UnitName) -> Result<(&LocalZone, ProcessRecord), EngineError> {
        self.zones.iter().find_map(|zone| Some((zone, zone.unit(unit)?))).ok_or_else(|| EngineError::Unable {
            what: format!("no unit `{unit}` runs"),
            hint: "`evenkeel status` lists the units".to_owned(),
        })
    }

    fn index(&self, zone: &ZoneName) -> Result<usize, EngineError> {
        self.zone(zone)?;
        Ok(self.zones.iter().position(|known| known.zone == *zone).unwrap_or_default())
    }
}

fn shared(zone: &ZoneName) -> EngineError {
    EngineError::Unable {
        what: format!("zone `{zone}` cannot be cut off: the zones share one loopback network"),
        hint: "start the run as root with `evenkeel up --isolate`".to_owned(),
    }
}

impl LocalZone {
    /// Every process of the zone that is known by record, group, parent or marker.
    fn processes(&self) -> Vec<ProcessId> {
        let mut found = self.agent().map(process::with_descendants).unwrap_or_default();
        let (records, _) = record::read_all(&self.state).unwrap_or_default();
        for record in records {
            let leader = record.alive().then_some(record.process);
            found.extend(process::of_unit(&marker(&self.state, &record.unit.name), leader));
        }
        found.extend(self.servers().into_iter().flat_map(process::with_descendants));
        let own = std::process::id();
        found.retain(|id| id.pid != own);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn signal_all(&self, signal: Signal) {
        repeat(signal, || self.processes());
    }
}

/// Sends `signal` to all that `list` finds, until it has reached all of them.
fn repeat(signal: Signal, list: impl Fn() -> Vec<ProcessId>) {
    let reached = |id: &ProcessId| match signal {
        Signal::STOP => id.stopped() != Some(false),
        Signal::CONT => id.stopped() != Some(true),
        _ => !id.alive(),
    };
    for _ in 0..ROUNDS {
        let left: Vec<ProcessId> = list().into_iter().filter(|id| !reached(id)).collect();
        if left.is_empty() {
            return;
        }
        left.iter().for_each(|id| id.signal(signal));
        if signal == Signal::KILL {
            wait::ended(&left, process::KILLED_MS);
        }
    }
}

/// Undoes every fault of the run with this state folder: cuts, freezes and down-marks. Does no harm when there is
/// nothing to undo; what was killed is started again by its supervisor, not by this.
///
/// # Errors
/// The first thing that could not be undone; the rest is undone all the same.
pub fn heal_all(state: &Path) -> Result<(), EngineError> {
    if !state.join(super::LOCAL_FILE).exists() {
        return Ok(());
    }
    let zones = LocalZones::load(state)?;
    let mut results = Vec::new();
    if let Some(wiring) = zones.wiring.as_ref().filter(|wiring| wiring.exists()) {
        results.push(wiring.heal_all());
    }
    for zone in &zones.zones {
        results.push(zones.thaw_zone(&zone.zone));
        results.push(clear_down(&zones.state, &zone.zone));
    }
    results.into_iter().collect()
}

/// The folder of a unit, for those who read what it wrote (`data/orders.journal`).
impl LocalZone {
    /// The data folder of a unit of this zone, whether it runs or not.
    #[must_use]
    pub fn data_folder(&self, unit: &UnitName) -> std::path::PathBuf {
        unit_folder(&self.state, unit).join("data")
    }
}
