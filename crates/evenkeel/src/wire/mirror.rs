//! A copy of the store's keys in memory: every reader of one process looks at the same picture, and goes on
//! looking at the last one while the store is gone (static stability).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    AgentRecord, FrontRecord, LeaderRecord, Rollout, UnitName, UnitRecord, UnitState, Verdict, ZoneName, keys,
};
use serde::de::DeserializeOwned;
use store::{Entry, Event, Revision, Store, StoreError};
use tokio::sync::watch;

/// Wait between two tries to read a store that does not answer.
const RETRY_MS: u64 = 200;

/// Every key at one revision, read into its type.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// The store's revision of this picture; 0 before the first.
    pub revision: Revision,
    /// The rollout and its revision.
    pub rollout: Option<(Rollout, Revision)>,
    /// Who leads.
    pub leader: Option<LeaderRecord>,
    /// Agents whose lease lives.
    pub agents: BTreeMap<ZoneName, AgentRecord>,
    /// What units should be, with the revision that made them so.
    pub units: BTreeMap<UnitName, (UnitRecord, Revision)>,
    /// What units are.
    pub states: BTreeMap<UnitName, UnitState>,
    /// What fronts do.
    pub fronts: BTreeMap<ZoneName, FrontRecord>,
    /// Drill results, oldest first.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// A document that cannot be read is left out and told about once: another version may have written it.
fn read<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    match serde_json::from_slice(&entry.value) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(key = %entry.key, %error, "document in the store cannot be read; leaving it out");
            None
        }
    }
}

impl Mirror {
    /// Makes the picture of `entries`.
    pub fn of(entries: &BTreeMap<String, Entry>, revision: Revision) -> Mirror {
        let mut mirror = Mirror { revision, ..Mirror::default() };
        for entry in entries.values() {
            mirror.put(entry);
        }
        mirror
    }

    fn put(&mut self, entry: &Entry) {
        let key = entry.key.as_str();
        if key == keys::ROLLOUT {
            self.rollout = read(entry).map(|rollout| (rollout, entry.modified));
        } else if key == keys::LEADER {
            self.leader = read(entry);
        } else if key.starts_with(keys::AGENTS) {
            self.agents.extend(read::<AgentRecord>(entry).map(|agent| (agent.zone.clone(), agent)));
        } else if key.starts_with(keys::UNITS) {
            let unit = read::<UnitRecord>(entry);
            self.units.extend(unit.map(|unit| (unit.name.clone(), (unit, entry.modified))));
        } else if key.starts_with(keys::STATES) {
            self.states.extend(read::<UnitState>(entry).map(|state| (state.name.clone(), state)));
        } else if key.starts_with(keys::FRONTS) {
            self.fronts.extend(read::<FrontRecord>(entry).map(|front| (front.zone.clone(), front)));
        } else if let Some(number) = key.strip_prefix(keys::VERDICTS) {
            self.verdicts.extend(read::<Verdict>(entry).map(|verdict| (number.to_owned(), verdict)));
        }
    }

    /// One picture, read now.
    ///
    /// # Errors
    /// As [`Store::range`].
    pub async fn once(store: &Store) -> Result<Mirror, StoreError> {
        let (entries, revision) = store.range("").await?;
        let entries = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        Ok(Mirror::of(&entries, revision))
    }
}

/// Keeps `out` up to date until `stop`. A lost or compacted watch starts again from a fresh range.
pub async fn follow(store: Store, out: watch::Sender<Arc<Mirror>>, stop: world::Stop) {
    while !stop.is_requested() {
        let outcome = tokio::select! {
            biased;
            () = stop.requested() => return,
            outcome = follow_once(&store, &out) => outcome,
        };
        if let Err(error) = outcome {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the store does not answer; keeping the last picture"
            );
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(std::time::Duration::from_millis(RETRY_MS)) => {}
        }
    }
}

async fn follow_once(store: &Store, out: &watch::Sender<Arc<Mirror>>) -> Result<(), StoreError> {
    let (entries, revision) = store.range("").await?;
    let mut entries: BTreeMap<String, Entry> =
        entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    out.send_replace(Arc::new(Mirror::of(&entries, revision)));
    let mut watch = store.watch("", revision + 1).await?;
    let mut at = revision;
    loop {
        for event in watch.next().await? {
            match event {
                Event::Put(entry) => {
                    at = at.max(entry.modified);
                    entries.insert(entry.key.clone(), entry);
                }
                Event::Delete { key, revision } => {
                    at = at.max(revision);
                    entries.remove(&key);
                }
            }
        }
        out.send_replace(Arc::new(Mirror::of(&entries, at)));
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
