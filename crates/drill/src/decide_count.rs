//! When the full count is back: as many healthy replicas as before the fault, not counting those it hit.

use std::collections::BTreeMap;

use model::{ServiceName, Status, UnitName};

/// Role of a replica in [`model::UnitStatus::role`]; fronts are not counted.
const REPLICA: &str = "replica";

/// The count before the fault, and who was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    healthy: BTreeMap<ServiceName, usize>,
    /// The very processes that were hit. A status that has not noticed the fault yet still calls them healthy; a
    /// replica started again under the same name has another process.
    hit: BTreeMap<UnitName, Option<u32>>,
}

impl Before {
    /// Counts in the last status before the fault.
    #[must_use]
    pub fn new(status: &Status, victims: &[UnitName]) -> Before {
        let mut before = Before::default();
        for unit in status.units.iter().filter(|u| u.role == REPLICA) {
            if unit.healthy {
                *before.healthy.entry(unit.service.clone()).or_default() += 1;
            }
            if victims.contains(&unit.name) {
                before.hit.insert(unit.name.clone(), unit.pid);
            }
        }
        before
    }

    /// Are there as many healthy replicas of every service again, without those that were hit?
    #[must_use]
    pub fn is_back(&self, now: &Status) -> bool {
        let mut healthy: BTreeMap<&ServiceName, usize> = BTreeMap::new();
        for unit in now.units.iter().filter(|u| u.role == REPLICA && u.healthy) {
            if self.hit.get(&unit.name) != Some(&unit.pid) {
                *healthy.entry(&unit.service).or_default() += 1;
            }
        }
        self.healthy.iter().all(|(service, count)| healthy.get(service).copied().unwrap_or(0) >= *count)
    }
}

#[cfg(test)]
mod tests {
    use model::{Phase, UnitStatus, ZoneName};

    use super::*;

    fn status(units: &[(&str, u32, bool)]) -> Status {
        let unit = |(name, pid, healthy): &(&str, u32, bool)| UnitStatus {
            name: UnitName::new(name).unwrap(),
            zone: ZoneName::new("a").unwrap(),
            service: ServiceName::new("web").unwrap(),
            state: Phase::Ready,
            role: if name.starts_with("edge") { "front" } else { "replica" }.to_owned(),
            healthy: *healthy,
            restarts: 0,
            address: None,
            pid: Some(*pid),
            detail: String::new(),
        };
        Status { units: units.iter().map(unit).collect(), ..Status::default() }
    }

    #[test]
    fn a_status_that_has_not_noticed_yet_is_not_recovery() {
        let calm = status(&[("web-1", 10, true), ("web-2", 20, true), ("edge-a", 5, true)]);
        let before = Before::new(&calm, &[UnitName::new("web-2").unwrap()]);
        assert!(!before.is_back(&calm));
        // Replaced by another unit, or started again in place.
        assert!(before.is_back(&status(&[("web-1", 10, true), ("web-3", 30, true)])));
        assert!(before.is_back(&status(&[("web-1", 10, true), ("web-2", 21, true)])));
        // The replacement starts; the frozen one has not been noticed.
        assert!(!before.is_back(&status(&[("web-1", 10, true), ("web-2", 20, true), ("web-3", 30, false)])));
        assert!(!before.is_back(&status(&[("web-1", 10, true), ("edge-a", 6, true)])));
    }
}
