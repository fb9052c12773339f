//! What the leader sees and what it may do.

use std::collections::BTreeMap;

use model::{FrontRecord, Rollout, ServiceName, UnitName, UnitRecord, UnitState, ZoneName, keys};

/// A document of the store with the revision of its last change.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    /// The document.
    pub value: T,
    /// Store revision at which it was last written; what an action on it is guarded with.
    pub modified: u64,
}

/// Whether a zone's agent holds its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneView {
    /// The zone.
    pub zone: ZoneName,
    /// Its lease is there. The lease's time to live is the whole detection; nothing is added to it.
    pub alive: bool,
}

/// The store at one revision, as far as placement needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What is to be reached; `None` while nothing was ever applied.
    pub rollout: Option<Kept<Rollout>>,
    /// Every zone that is known; a zone that is absent here is not alive.
    pub zones: Vec<ZoneView>,
    /// What every unit should be.
    pub units: Vec<Kept<UnitRecord>>,
    /// What every unit is, as far as its agent has said. States without a record are ignored.
    pub states: Vec<UnitState>,
    /// The fronts; each belongs to its agent, so none is ever moved from here.
    pub fronts: Vec<FrontRecord>,
    /// The next unit number of each service. Absent: 1.
    pub counters: BTreeMap<ServiceName, Kept<u64>>,
}

/// One effect: exactly one transaction of the store, guarded by [`guards`] and by the leader's record.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the record of a new unit and move its service's counter on.
    Assign {
        /// The new unit.
        unit: Box<UnitRecord>,
        /// The service's counter afterwards: the first number that is still free.
        counter: u64,
    },
    /// Set a unit's `want` to [`model::Want::Drain`].
    Drain {
        /// The unit.
        unit: UnitName,
    },
    /// Delete a unit's record: it has stopped, or its zone is lost.
    Remove {
        /// The unit.
        unit: UnitName,
    },
    /// Write where the rollout stands.
    SetRollout {
        /// The whole document.
        rollout: Box<Rollout>,
    },
}

/// A key that must not have changed since the view. Revision 0: it must be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The store's key.
    pub key: String,
    /// Its last change as the view has it.
    pub revision: u64,
}

/// What an action depends on, beside the leader's own record.
///
/// Every action holds for one rollout only, so a plan that is applied meanwhile stops the rest of a batch.
/// A unit of a lost zone is removed only while the zone's agent is still absent: if it has come back, its
/// units run and must be drained instead of being cut off.
#[must_use]
pub fn guards(action: &Action, view: &View) -> Vec<Guard> {
    let rollout = view.rollout.as_ref().map_or(0, |kept| kept.modified);
    let mut guards = vec![Guard { key: keys::ROLLOUT.to_owned(), revision: rollout }];
    match action {
        Action::Assign { unit, .. } => {
            let counter = view.counters.get(&unit.service.name).map_or(0, |kept| kept.modified);
            guards.push(Guard { key: format!("{}{}", keys::UNITS, unit.name), revision: 0 });
            guards.push(Guard { key: format!("{}{}", keys::COUNTERS, unit.service.name), revision: counter });
        }
        Action::Drain { unit } | Action::Remove { unit } => {
            let known = view.units.iter().find(|kept| kept.value.name == *unit);
            let revision = known.map_or(0, |kept| kept.modified);
            guards.push(Guard { key: format!("{}{unit}", keys::UNITS), revision });
            let zone = known.map(|kept| &kept.value.zone).filter(|zone| !view.alive(zone));
            if let (Action::Remove { .. }, Some(zone)) = (action, zone) {
                guards.push(Guard { key: format!("{}{zone}", keys::AGENTS), revision: 0 });
            }
        }
        Action::SetRollout { .. } => {}
    }
    guards
}

impl View {
    /// Whether the agent of `zone` holds its lease.
    #[must_use]
    pub fn alive(&self, zone: &ZoneName) -> bool {
        self.zones.iter().any(|seen| seen.alive && seen.zone == *zone)
    }
}
