//! The record and the documents in the store: a copy kept up by a watch, and guarded writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{NodeDoc, NodeId, Record};
use serde::de::DeserializeOwned;
use store::{Compare, Entry, Event, Op, Revision, Store, StoreError, Txn};
use tokio::sync::watch;
use tracing::{debug, warn};
use world::{Clock, Stop};

use crate::{Docs, Kept, Upstream};

/// Wait between two tries to read a store that does not answer, in milliseconds.
const RETRY_MS: u64 = 50;

/// 2^53 - 1: a term each millisecond for longer than anything lasts (RFC 8259, section 6).
const TERM_MAX: model::Term = (1 << 53) - 1;

/// Where a database's documents are.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Those of the database `name`.
    #[must_use]
    pub fn new(name: &model::DatabaseName) -> Keys {
        Keys { prefix: format!("databases/{name}/") }
    }

    /// Of all of them.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Of the record.
    #[must_use]
    pub fn record(&self) -> String {
        format!("{}record", self.prefix)
    }

    /// Of the lease, in lease mode.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("{}lease", self.prefix)
    }

    /// Of a node's document.
    #[must_use]
    pub fn node(&self, node: NodeId) -> String {
        format!("{}nodes/{node}", self.prefix)
    }
}

/// What the store held at `revision`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    pub revision: Revision,
    pub record: Option<Kept<Record>>,
    pub docs: Docs,
    /// Revision of the lease's document; 0: there is none. What is in it is for people.
    pub lease: Revision,
    /// The record cannot be read: another version wrote it. Nothing is decided then.
    pub unread: Option<String>,
}

impl Shared {
    fn of(keys: &Keys, entries: &BTreeMap<String, Entry>, revision: Revision) -> Shared {
        let mut shared = Shared { revision, ..Shared::default() };
        let nodes = format!("{}nodes/", keys.prefix);
        for (key, entry) in entries {
            if *key == keys.record() {
                shared.record = shared.read(entry);
                if let Some(why) = shared.record.as_ref().and_then(|record| impossible(&record.value)) {
                    shared.record = None;
                    shared.unread = Some(format!("`{key}` cannot be true: {why}"));
                }
            } else if *key == keys.lease() {
                shared.lease = entry.modified;
            } else if let Some(number) = key.strip_prefix(&nodes) {
                // One that cannot be read tells nothing, so its node is not heard. The node writes it again.
                let value = serde_json::from_slice::<NodeDoc>(&entry.value).unwrap_or_default();
                let node = number.parse().ok().map(NodeId);
                shared.docs.extend(node.map(|node| (node, Kept { value, revision: entry.modified })));
            }
        }
        shared
    }

    fn read<T: DeserializeOwned>(&mut self, entry: &Entry) -> Option<Kept<T>> {
        match serde_json::from_slice(&entry.value) {
            Ok(value) => Some(Kept { value, revision: entry.modified }),
            Err(error) => {
                self.unread = Some(format!("`{}` cannot be read: {error}", entry.key));
                None
            }
        }
    }
}

/// What no keeper would write. A number beyond what JSON can hold for sure leaves no next term either.
fn impossible(record: &Record) -> Option<String> {
    let term = record.term;
    if !(1..=TERM_MAX).contains(&term) {
        return Some(format!("its term is {term}"));
    }
    let later = record.quorums.iter().map(|quorum| quorum.term);
    let later = later.chain(record.history.iter().map(|reign| reign.term)).find(|other| *other > term);
    if let Some(later) = later {
        return Some(format!("it is of term {term} and knows of term {later}"));
    }
    let reigns = record.primary().is_some();
    (reigns && record.current().is_none()).then(|| format!("term {term} has a primary and no quorum"))
}

/// Keeps `out` up to date until `stop`. While the store is away the last copy stays.
pub(super) async fn follow(
    store: Store,
    keys: Keys,
    clock: Clock,
    out: watch::Sender<Arc<Shared>>,
    stop: Stop,
) {
    loop {
        let outcome = tokio::select! {
            biased;
            () = stop.requested() => return,
            outcome = follow_once(&store, &keys, &out) => outcome,
        };
        if let Err(error) = outcome {
            debug!(prefix = keys.prefix, %error, "the store does not answer; keeping the last copy");
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = clock.sleep_ms(RETRY_MS) => {}
        }
    }
}

async fn follow_once(store: &Store, keys: &Keys, out: &watch::Sender<Arc<Shared>>) -> Result<(), StoreError> {
    let (entries, mut revision) = store.range(&keys.prefix).await?;
    let mut entries: BTreeMap<String, Entry> =
        entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    publish(out, Shared::of(keys, &entries, revision));
    let mut watch = store.watch(&keys.prefix, revision + 1).await?;
    loop {
        for event in watch.next().await? {
            revision = revision.max(event.revision());
            match event {
                Event::Put(entry) => drop(entries.insert(entry.key.clone(), entry)),
                Event::Delete { key, .. } => drop(entries.remove(&key)),
            }
        }
        publish(out, Shared::of(keys, &entries, revision));
    }
}

fn publish(out: &watch::Sender<Arc<Shared>>, next: Shared) {
    if let Some(why) = &next.unread
        && out.borrow().unread.as_ref() != Some(why)
    {
        warn!(why, "a document of another version: nothing is decided until it is gone");
    }
    out.send_if_modified(|last| {
        let newer = **last != next;
        *last = Arc::new(next);
        newer
    });
}

/// Whether `from` is, by the newest record, still the primary of its term. Waits for a store that is away; `false` when
/// `stop` is requested meanwhile.
pub(super) async fn reigns(store: &Store, keys: &Keys, clock: &Clock, stop: &Stop, from: Upstream) -> bool {
    let reigns = async {
        loop {
            match store.get(&keys.record()).await {
                Ok(entry) => {
                    let record = entry.and_then(|entry| serde_json::from_slice::<Record>(&entry.value).ok());
                    return record
                        .is_some_and(|now| now.term == from.term && now.primary() == Some(from.node));
                }
                Err(error) => debug!(%error, "the store does not answer; asking again"),
            }
            clock.sleep_ms(RETRY_MS).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => false,
        answer = reigns => answer,
    }
}

/// Writes `record` if nothing it rests on has changed; the revision it got, `None`: something had.
pub(super) async fn write(
    store: &Store,
    keys: &Keys,
    record: &Record,
    revision: Revision,
    unchanged: &BTreeMap<NodeId, u64>,
) -> Result<Option<Revision>, StoreError> {
    let mut compare = vec![Compare::Modified { key: keys.record(), revision }];
    compare.extend(
        unchanged
            .iter()
            .map(|(node, revision)| Compare::Modified { key: keys.node(*node), revision: *revision }),
    );
    put(store, keys.record(), record, compare).await
}

/// Writes the own document if the record is still at `revision`, and the document at that of `own`: one that was sent before
/// and was late would undo it.
pub(super) async fn report(
    store: &Store,
    keys: &Keys,
    node: NodeId,
    doc: &NodeDoc,
    (revision, own): (Revision, Revision),
) -> Result<Option<Revision>, StoreError> {
    let compare = vec![
        Compare::Modified { key: keys.record(), revision },
        Compare::Modified { key: keys.node(node), revision: own },
    ];
    put(store, keys.node(node), doc, compare).await
}

/// Writes `document` if all of `compare` holds; the revision it got.
pub(super) async fn put<T: serde::Serialize>(
    store: &Store,
    key: String,
    document: &T,
    compare: Vec<Compare>,
) -> Result<Option<Revision>, StoreError> {
    // The documents have string keys and no failing serialisers.
    let value = serde_json::to_vec(document).unwrap_or_default();
    let reply = store.txn(Txn { compare, then: vec![Op::Put { key, value, lease: None }] }).await?;
    Ok(reply.done.then_some(reply.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: String, value: &str) -> (String, Entry) {
        (key.clone(), Entry { key, value: value.as_bytes().to_vec(), created: 1, modified: 7, lease: None })
    }

    #[test]
    fn a_damaged_document_silences_its_node_alone_and_a_damaged_record_everybody() {
        let keys = Keys::new(&model::DatabaseName::new("db").unwrap());
        let good = serde_json::to_string(&NodeDoc { promised: 4, ..NodeDoc::default() }).unwrap();
        let node = |number: u8, value: &str| entry(keys.node(NodeId(number)), value);
        let shared = Shared::of(&keys, &[node(1, &good), node(2, "{")].into(), 9);
        assert_eq!(shared.unread, None);
        assert_eq!(shared.docs[&NodeId(1)].value.promised, 4);
        assert_eq!(shared.docs[&NodeId(2)], Kept { value: NodeDoc::default(), revision: 7 });
        let shared = Shared::of(&keys, &[entry(keys.record(), "{\"term\":1"), node(1, &good)].into(), 9);
        assert!(shared.unread.is_some() && shared.record.is_none());
    }

    /// `term + 1` of such a record would be term 0, or one that every node promises for ever.
    #[test]
    fn a_record_that_no_keeper_wrote_is_named_and_nothing_is_decided_by_it() {
        let keys = Keys::new(&model::DatabaseName::new("db").unwrap());
        let why = |record: &str| Shared::of(&keys, &[entry(keys.record(), record)].into(), 9).unread;
        let serving = |term: u64, quorum: u64| {
            let (members, reign) = ("[2,3]", r#"{"term":1,"node":1,"base":0,"fork":"0/0","served":true}"#);
            let record = format!(
                r#"{{"term":{term},"phase":"serving","primary":1,"handover":null,
                "quorums":[{{"primary":1,"term":{quorum},"members":{members},"need":1}}],"history":[{reign}]}}"#
            );
            why(&record)
        };
        assert_eq!(serving(1, 1), None);
        assert_eq!(
            serving(u64::MAX, 1).unwrap(),
            "`databases/db/record` cannot be true: its term is 18446744073709551615"
        );
        assert!(serving(0, 0).unwrap().ends_with("its term is 0"));
        assert!(serving(3, 4).unwrap().ends_with("it is of term 3 and knows of term 4"));
        assert!(serving(3, 2).unwrap().ends_with("term 3 has a primary and no quorum"));
    }
}
