//! The leader's copy of the store, kept up by a watch; documents are parsed once, when they change.

use std::collections::BTreeMap;

use model::{FrontRecord, Rollout, ServiceName, UnitRecord, UnitState, ZoneName, keys};
use serde::de::DeserializeOwned;
use store::{Entry, Event, Revision};
use tracing::warn;

use crate::{Kept, View, ZoneView};

#[derive(Debug, Default)]
pub(crate) struct Mirror {
    rollout: Option<Kept<Rollout>>,
    agents: BTreeMap<String, ZoneName>,
    units: BTreeMap<String, Kept<UnitRecord>>,
    states: BTreeMap<String, UnitState>,
    fronts: BTreeMap<String, FrontRecord>,
    counters: BTreeMap<String, (ServiceName, Kept<u64>)>,
    /// Revision of the leader's record; 0: nobody leads.
    pub(crate) leader: Revision,
}

impl Mirror {
    pub(crate) fn new(entries: Vec<Entry>) -> Mirror {
        let mut mirror = Mirror::default();
        for entry in entries {
            mirror.put(&entry);
        }
        mirror
    }

    /// Takes changes over; whether any of them can change a decision.
    pub(crate) fn apply(&mut self, events: &[Event]) -> bool {
        let mut matters = false;
        for event in events {
            matters |= match event {
                Event::Put(entry) => self.put(entry),
                Event::Delete { key, .. } => self.delete(key),
            };
        }
        matters
    }

    fn put(&mut self, entry: &Entry) -> bool {
        let key = entry.key.as_str();
        let modified = entry.modified;
        if key == keys::LEADER {
            self.leader = modified;
        } else if key == keys::ROLLOUT {
            self.rollout = parse(entry).map(|value| Kept { value, modified });
        } else if let Some(zone) = key.strip_prefix(keys::AGENTS) {
            // The lease alone says that the zone lives, whatever the record holds.
            if let Ok(zone) = ZoneName::new(zone) {
                self.agents.insert(key.to_owned(), zone);
            }
        } else if key.starts_with(keys::UNITS) {
            set(&mut self.units, key, parse(entry).map(|value| Kept { value, modified }));
        } else if key.starts_with(keys::STATES) {
            set(&mut self.states, key, parse(entry));
        } else if key.starts_with(keys::FRONTS) {
            set(&mut self.fronts, key, parse(entry));
            return false;
        } else if let Some(service) = key.strip_prefix(keys::COUNTERS) {
            let service = ServiceName::new(service).ok();
            let counter =
                service.zip(parse(entry)).map(|(service, value)| (service, Kept { value, modified }));
            set(&mut self.counters, key, counter);
        } else {
            return false;
        }
        true
    }

    fn delete(&mut self, key: &str) -> bool {
        if key == keys::LEADER {
            self.leader = 0;
        } else if key == keys::ROLLOUT {
            self.rollout = None;
        } else {
            return self.agents.remove(key).is_some()
                | self.units.remove(key).is_some()
                | self.states.remove(key).is_some()
                | self.counters.remove(key).is_some();
        }
        true
    }

    pub(crate) fn view(&self) -> View {
        let alive = |zone: &ZoneName| ZoneView { zone: zone.clone(), alive: true };
        View {
            rollout: self.rollout.clone(),
            zones: self.agents.values().map(alive).collect(),
            units: self.units.values().cloned().collect(),
            states: self.states.values().cloned().collect(),
            fronts: self.fronts.values().cloned().collect(),
            counters: self.counters.values().cloned().collect(),
        }
    }
}

fn set<T>(map: &mut BTreeMap<String, T>, key: &str, value: Option<T>) {
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
}

/// A document that cannot be read counts as absent: a newer version may have written it, and guessing at it could
/// end a unit.
fn parse<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    serde_json::from_slice(&entry.value)
        .inspect_err(|error| warn!(key = %entry.key, %error, "document in the store cannot be read; ignored"))
        .ok()
}
