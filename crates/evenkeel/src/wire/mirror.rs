//! A copy of the store's keys in memory: every reader of one process looks at the same picture, and goes on
//! looking at the last one while the store is gone (static stability).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use database::keeper::KeeperStatus;
use model::{
    AgentRecord, DataFrontRecord, DatabaseName, FrontRecord, LeaderRecord, NodeId, Record, Rollout, UnitName,
    UnitRecord, UnitState, Verdict, ZoneAddress, ZoneName, keys,
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
    /// Where zones are, those whose agent is away included.
    pub zones: BTreeMap<ZoneName, IpAddr>,
    /// What fronts for databases do.
    pub data_fronts: BTreeMap<ZoneName, DataFrontRecord>,
    /// What keepers have written.
    pub databases: BTreeMap<DatabaseName, DatabaseDocs>,
    /// What the ports of databases follow from.
    pub slots: BTreeMap<DatabaseName, u8>,
    /// Drill results, oldest first.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Documents that cannot be read, by key: another version may have written them, and they are left out.
    pub unread: BTreeMap<String, Unread>,
}

/// What is known of one database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseDocs {
    /// Its record and the revision that made it so.
    pub record: Option<(Record, Revision)>,
    /// What the keepers say of their nodes.
    pub statuses: BTreeMap<NodeId, KeeperStatus>,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Of the document.
    pub revision: Revision,
    /// Why.
    pub error: String,
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

    fn read<T: DeserializeOwned>(&mut self, entry: &Entry) -> Option<T> {
        let error = match serde_json::from_slice(&entry.value) {
            Ok(value) => return Some(value),
            Err(error) => error.to_string(),
        };
        self.unread.insert(entry.key.clone(), Unread { revision: entry.modified, error });
        None
    }

    fn put(&mut self, entry: &Entry) {
        let key = entry.key.as_str();
        if key == keys::ROLLOUT {
            self.rollout = self.read(entry).map(|rollout| (rollout, entry.modified));
        } else if key == keys::LEADER {
            self.leader = self.read(entry);
        } else if key.starts_with(keys::AGENTS) {
            let agent = self.read::<AgentRecord>(entry);
            self.agents.extend(agent.map(|agent| (agent.zone.clone(), agent)));
        } else if key.starts_with(keys::UNITS) {
            let unit = self.read::<UnitRecord>(entry);
            self.units.extend(unit.map(|unit| (unit.name.clone(), (unit, entry.modified))));
        } else if key.starts_with(keys::STATES) {
            let state = self.read::<UnitState>(entry);
            self.states.extend(state.map(|state| (state.name.clone(), state)));
        } else if key.starts_with(keys::FRONTS) {
            let front = self.read::<FrontRecord>(entry);
            self.fronts.extend(front.map(|front| (front.zone.clone(), front)));
        } else if key.starts_with(keys::ZONES) {
            let zone = self.read::<ZoneAddress>(entry);
            self.zones.extend(zone.map(|zone| (zone.zone, zone.address)));
        } else if key.starts_with(keys::DATA_FRONTS) {
            let front = self.read::<DataFrontRecord>(entry);
            self.data_fronts.extend(front.map(|front| (front.zone.clone(), front)));
        } else if let Some(name) = key.strip_prefix(keys::PORTS) {
            let slot = DatabaseName::new(name).ok().zip(self.read::<u8>(entry));
            self.slots.extend(slot);
        } else if let Some(key) = key.strip_prefix(keys::DATABASES) {
            self.put_database(key, entry);
        } else if let Some(number) = key.strip_prefix(keys::VERDICTS) {
            let verdict = self.read::<Verdict>(entry);
            self.verdicts.extend(verdict.map(|verdict| (number.to_owned(), verdict)));
        }
    }

    /// `db/record`, `db/status/2`; what keepers tell each other alone is passed over.
    fn put_database(&mut self, key: &str, entry: &Entry) {
        let Some((name, rest)) = key.split_once('/') else { return };
        let Ok(name) = DatabaseName::new(name) else { return };
        if rest == "record" {
            let record = self.read::<Record>(entry).map(|record| (record, entry.modified));
            self.databases.entry(name).or_default().record = record;
        } else if let Some(node) = rest.strip_prefix("status/").and_then(|number| number.parse().ok()) {
            let status = self.read::<KeeperStatus>(entry);
            self.databases
                .entry(name)
                .or_default()
                .statuses
                .extend(status.map(|status| (NodeId(node), status)));
        }
    }

    /// What cannot be read here and was not told about with `before`, key by key.
    fn news(&self, before: &Mirror) -> Vec<(&String, &Unread)> {
        let known = |key: &String| before.unread.get(key).map(|unread| unread.revision);
        self.unread.iter().filter(|(key, unread)| known(key) != Some(unread.revision)).collect()
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
    publish(out, Mirror::of(&entries, revision));
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
        publish(out, Mirror::of(&entries, at));
    }
}

/// Makes `next` the picture. What it cannot read is told about once, not at every other key's change.
fn publish(out: &watch::Sender<Arc<Mirror>>, next: Mirror) {
    for (key, Unread { revision, error }) in next.news(&out.borrow()) {
        tracing::warn!(key, revision, error, "document in the store cannot be read; leaving it out");
    }
    out.send_replace(Arc::new(next));
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
