//! The simulated store: typed documents, one revision, leases, guarded transactions.

use std::collections::BTreeMap;

use model::{Moment, Rollout, ServiceName, UnitName, UnitRecord, UnitState, Want, ZoneName, keys};

use crate::{Action, Guard, Kept, View, ZoneView};

/// As the agents' and the leader's leases in production.
pub(super) const TTL_MS: u64 = 1_500;

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) expires: Moment,
    pub(super) revision: u64,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) up: bool,
    pub(super) revision: u64,
    pub(super) rollout: Option<Kept<Rollout>>,
    pub(super) units: BTreeMap<UnitName, Kept<UnitRecord>>,
    /// The last change of any unit's record: what an agent watches.
    pub(super) units_modified: u64,
    pub(super) states: BTreeMap<UnitName, UnitState>,
    pub(super) counters: BTreeMap<ServiceName, Kept<u64>>,
    pub(super) agents: BTreeMap<ZoneName, Lease>,
    pub(super) leader: Option<(ZoneName, Lease)>,
}

impl Store {
    pub(super) fn bump(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    pub(super) fn view(&self, zones: &[ZoneName]) -> View {
        let alive = |zone: &ZoneName| ZoneView { zone: zone.clone(), alive: self.agents.contains_key(zone) };
        View {
            rollout: self.rollout.clone(),
            zones: zones.iter().map(alive).collect(),
            units: self.units.values().cloned().collect(),
            states: self.states.values().cloned().collect(),
            fronts: Vec::new(),
            counters: self.counters.clone(),
        }
    }

    /// Lets leases end. While the store is away nothing ends; afterwards every lease gets a whole new term.
    pub(super) fn expire(&mut self, now: Moment) {
        if !self.up {
            return;
        }
        let before = self.agents.len();
        self.agents.retain(|_, lease| lease.expires > now);
        if self.agents.len() != before {
            self.bump();
        }
        if self.leader.as_ref().is_some_and(|(_, lease)| lease.expires <= now) {
            self.leader = None;
            self.bump();
        }
    }

    pub(super) fn recover(&mut self, now: Moment) {
        self.up = true;
        let leases = self.agents.values_mut().chain(self.leader.as_mut().map(|(_, lease)| lease));
        for lease in leases {
            lease.expires = now.plus(TTL_MS);
        }
    }

    fn revision_of(&self, key: &str) -> u64 {
        let named = |prefix: &str| key.strip_prefix(prefix).map(str::to_owned);
        if key == keys::ROLLOUT {
            return self.rollout.as_ref().map_or(0, |kept| kept.modified);
        }
        if let Some(name) = named(keys::UNITS) {
            return self.units.iter().find(|(unit, _)| unit.as_str() == name).map_or(0, |(_, k)| k.modified);
        }
        if let Some(name) = named(keys::COUNTERS) {
            return self.counters.iter().find(|(s, _)| s.as_str() == name).map_or(0, |(_, k)| k.modified);
        }
        if let Some(name) = named(keys::AGENTS) {
            return self.agents.iter().find(|(zone, _)| zone.as_str() == name).map_or(0, |(_, l)| l.revision);
        }
        0
    }

    /// One transaction of the leader whose record has the revision `token`; the new revision when it was done.
    pub(super) fn carry_out(&mut self, action: &Action, guards: &[Guard], token: u64) -> Option<u64> {
        let leads = self.leader.as_ref().is_some_and(|(_, lease)| lease.revision == token);
        if !leads || guards.iter().any(|guard| self.revision_of(&guard.key) != guard.revision) {
            return None;
        }
        let modified = self.bump();
        if !matches!(action, Action::SetRollout { .. }) {
            self.units_modified = modified;
        }
        match action {
            Action::Assign { unit, counter } => {
                self.counters.insert(unit.service.name.clone(), Kept { value: *counter, modified });
                self.units.insert(unit.name.clone(), Kept { value: (**unit).clone(), modified });
            }
            Action::Drain { unit } => {
                if let Some(kept) = self.units.get_mut(unit) {
                    kept.value.want = Want::Drain;
                    kept.modified = modified;
                }
            }
            Action::Remove { unit } => {
                self.units.remove(unit);
            }
            Action::SetRollout { rollout } => {
                self.rollout = Some(Kept { value: (**rollout).clone(), modified });
            }
        }
        Some(modified)
    }
}
