//! What every implementation of the store must do, as checks that name the rule they saw broken. The embedded store, the
//! simulated one and etcd pass them.
//!
//! Times are few hundred milliseconds of [`Factory::pass_ms`], which may be real ones: every bound leaves a slow machine
//! room.

use std::fmt::Debug;
use std::future::Future;

use crate::{
    Class, Compare, Entry, Event, LeaseId, Op, Refusal, Revision, Store, StoreError, TTL_MIN_MS, Txn,
    TxnReply,
};

/// Makes stores to be checked.
pub trait Factory: Sync {
    /// A handle on an empty store of its own.
    fn open(&self) -> impl Future<Output = Store> + Send;

    /// Lets time pass for the store: at least `ms` milliseconds.
    fn pass_ms(&self, ms: u64) -> impl Future<Output = ()> + Send;

    /// How much longer than asked for a lease of up to a second may live unattended, in milliseconds: 0, but for etcd.
    fn lease_late_ms(&self) -> u64 {
        0
    }

    /// Makes `store` drop its history up to now, so that a watch from before is too late.
    fn forget(&self, store: &Store) -> impl Future<Output = ()> + Send;

    /// Two handles on one empty store: a sound one and one that loses every reply. `None`: cannot be made here, and
    /// [`unknown_outcome`] does not count as passed.
    fn open_lossy(&self) -> impl Future<Output = Option<(Store, Store)>> + Send;
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Broken {
    /// What every store must do.
    pub rule: String,
    /// What this one did.
    pub detail: String,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        Broken { rule: "a sound store answers".to_owned(), detail: error.to_string() }
    }
}

/// The outcome of one check; `None`: could not be run.
pub type Outcome = Option<Result<(), Broken>>;

/// Runs every check, each on a store of its own.
pub async fn all(factory: &impl Factory) -> Vec<(&'static str, Outcome)> {
    vec![
        ("put_get_delete", Some(put_get_delete(factory).await)),
        ("transactions", Some(transactions(factory).await)),
        ("refusals", Some(refusals(factory).await)),
        ("prefixes", Some(prefixes(factory).await)),
        ("lease_expiry", Some(lease_expiry(factory).await)),
        ("lease_keep_alive", Some(lease_keep_alive(factory).await)),
        ("lease_and_keys", Some(lease_and_keys(factory).await)),
        ("watch_order", Some(watch_order(factory).await)),
        ("watch_from_the_past", Some(watch_from_the_past(factory).await)),
        ("watch_compacted", Some(watch_compacted(factory).await)),
        ("one_winner", Some(one_winner(factory).await)),
        ("unknown_outcome", unknown_outcome(factory).await),
    ]
}

fn same<T: PartialEq + Debug>(rule: &str, got: T, want: T) -> Result<(), Broken> {
    if got == want {
        return Ok(());
    }
    Err(Broken { rule: rule.to_owned(), detail: format!("got {got:?}, want {want:?}") })
}

fn holds(rule: &str, yes: bool, seen: impl Debug) -> Result<(), Broken> {
    if yes { Ok(()) } else { Err(Broken { rule: rule.to_owned(), detail: format!("{seen:?}") }) }
}

fn put(key: &str, value: &str, lease: Option<LeaseId>) -> Op {
    Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), lease }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

fn at(key: &str, revision: Revision) -> Compare {
    Compare::Modified { key: key.to_owned(), revision }
}

fn all_of(then: Vec<Op>) -> Txn {
    Txn { compare: Vec::new(), then }
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

fn told(events: &[Event]) -> Vec<(&str, Revision)> {
    events.iter().map(|event| (event.key(), event.revision())).collect()
}

/// A value comes back as it was put, with the revisions of its making and its last change.
pub async fn put_get_delete(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    same("an absent key has no entry", store.get("k").await?, None)?;
    let first = store.put("k", "one").await?;
    let second = store.put("k", [0xff_u8, 0, 0x7f]).await?;
    holds("each change has the next revision", second == first + 1 && first > 1, (first, second))?;
    let want = Entry {
        key: "k".to_owned(),
        value: vec![0xff, 0, 0x7f],
        created: first,
        modified: second,
        lease: None,
    };
    same("an entry knows its making and its last change", store.get("k").await?, Some(want))?;
    same("a delete is a change", store.delete("k").await?, second + 1)?;
    same("a deleted key is absent", store.get("k").await?, None)?;
    same("deleting an absent key is no change", store.delete("k").await?, second + 1)?;
    let again = store.put("k", "").await?;
    let entry = store.get("k").await?;
    let made = entry.map(|entry| (entry.created, entry.value));
    same("a key made again is new", made, Some((again, Vec::new())))
}

/// A transaction happens as a whole, at one revision, when all its conditions hold; else not at all.
pub async fn transactions(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let create =
        Txn { compare: vec![at("a", 0), at("b", 0)], then: vec![put("a", "1", None), put("b", "1", None)] };
    let made = store.txn(create.clone()).await?;
    holds("absent keys compare equal to 0", made.done, made)?;
    let (entries, revision) = store.range("").await?;
    let modified: Vec<Revision> = entries.iter().map(|entry| entry.modified).collect();
    same("one transaction is one revision", modified, vec![made.revision; 2])?;
    same("a range tells the revision it is of", revision, made.revision)?;
    let refused = TxnReply { done: false, revision };
    same("a condition that fails stops the whole", store.txn(create).await?, refused)?;
    let mixed = Txn { compare: vec![at("a", made.revision), at("b", 1)], then: vec![put("a", "2", None)] };
    same("every condition counts", store.txn(mixed).await?, refused)?;
    let swap = Txn { compare: vec![at("a", made.revision)], then: vec![delete("a"), put("c", "3", None)] };
    let swapped = store.txn(swap).await?;
    same("a change is at the next revision", swapped, TxnReply { done: true, revision: revision + 1 })?;
    same("deletes and puts happen together", keys(&store.range("").await?.0), vec!["b", "c"])?;
    let nothing = Txn { compare: vec![at("c", swapped.revision)], then: Vec::new() };
    same("a transaction of conditions alone changes nothing", store.txn(nothing).await?, swapped)
}

/// What cannot be carried out as a whole is refused for good and changes nothing.
pub async fn refusals(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let (_, before) = store.range("").await?;
    let no_lease = all_of(vec![put("a", "1", None), put("b", "1", Some(LeaseId(999_999)))]);
    let twice = all_of(vec![put("a", "1", None), delete("a")]);
    let no_key = all_of(vec![put("", "1", None)]);
    let too_many = all_of((0..=crate::TXN_OPS_MAX).map(|n| put(&format!("k{n}"), "", None)).collect());
    let too_long = all_of(vec![put("a", &"x".repeat(crate::TXN_BYTES_MAX), None)]);
    for txn in [no_lease, twice, no_key, too_many, too_long] {
        let class = store.txn(txn).await.map_err(|error| error.class());
        same("what can never be done is refused for good", class, Err(Class::Permanent))?;
    }
    let short = store.grant(TTL_MIN_MS - 1).await.map_err(|error| error.class());
    same("a time to live has bounds", short, Err(Class::Permanent))?;
    let (entries, after) = store.range("").await?;
    same("what was refused changed nothing", (entries, after), (Vec::new(), before))
}

/// A prefix is compared byte by byte: `a/` holds `a/b` and neither `a` nor `a0`.
pub async fn prefixes(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    for key in ["a", "a/", "a/b", "a/\u{10ffff}", "a0", "b", "é", "\u{10ffff}"] {
        store.put(key, key).await?;
    }
    let of = async |prefix: &str| store.range(prefix).await.map(|(entries, _)| entries);
    same("`/` comes before `0`", keys(&of("a/").await?), vec!["a/", "a/b", "a/\u{10ffff}"])?;
    same("a prefix is no folder", keys(&of("a").await?), vec!["a", "a/", "a/b", "a/\u{10ffff}", "a0"])?;
    same("the last of all prefixes has an end", keys(&of("\u{10ffff}").await?), vec!["\u{10ffff}"])?;
    same("an empty prefix is everything", of("").await?.len(), 8)?;
    same("an unknown prefix is empty", of("c").await?.len(), 0)?;
    let mut watch = store.watch("a/", 0).await?;
    store.put("a0", "").await?;
    let seen = store.put("a/c", "").await?;
    same("a watch keeps to its prefix", told(&watch.next().await?), vec![("a/c", seen)])
}

/// A lease that is not kept alive ends with its keys, no sooner than its time, and the watch shows it.
pub async fn lease_expiry(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let lease = store.grant(400).await?;
    let under = store.txn(all_of(vec![put("x", "", Some(lease)), put("y", "", Some(lease))])).await?;
    let free = store.put("z", "").await?;
    let mut watch = store.watch("", free + 1).await?;
    let entry = store.get("x").await?;
    same("an entry names its lease", entry.and_then(|entry| entry.lease), Some(lease))?;
    factory.pass_ms(700 + factory.lease_late_ms()).await;
    let gone = watch.next().await?;
    same("keys go with their lease, at one revision", told(&gone), vec![("x", free + 1), ("y", free + 1)])?;
    holds("an end is a delete", gone.iter().all(|event| matches!(event, Event::Delete { .. })), &gone)?;
    same("other keys stay", keys(&store.range("").await?.0), vec!["z"])?;
    same("an ended lease cannot be kept alive", store.keep_alive(lease).await?, false)?;
    let late = store.txn(all_of(vec![put("x", "", Some(lease))])).await;
    let refused = matches!(late, Err(StoreError::Refused(Refusal::NoLease { .. })));
    holds("nothing can be put under an ended lease", refused, late)?;
    let new = store.grant(400).await?;
    holds("a lease is never handed out twice", new != lease && under.done, new)
}

/// Kept alive, a lease lives on; left alone, it ends.
pub async fn lease_keep_alive(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let lease = store.grant(1_000).await?;
    store.txn(all_of(vec![put("x", "", Some(lease))])).await?;
    let (_, before) = store.range("").await?;
    for _ in 0..8 {
        factory.pass_ms(250).await;
        same("a kept lease lives", store.keep_alive(lease).await?, true)?;
    }
    let (entries, after) = store.range("").await?;
    same("keeping alive is no change", (keys(&entries), after), (vec!["x"], before))?;
    factory.pass_ms(1_600 + factory.lease_late_ms()).await;
    same("a lease left alone ends", store.get("x").await?, None)
}

/// A key goes with its newest lease only; a lease can be given up.
pub async fn lease_and_keys(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let (one, two) = (store.grant(60_000).await?, store.grant(60_000).await?);
    store
        .txn(all_of(vec![
            put("moved", "", Some(one)),
            put("freed", "", Some(one)),
            put("kept", "", Some(one)),
        ]))
        .await?;
    store.txn(all_of(vec![put("moved", "", Some(two)), put("freed", "", None)])).await?;
    same("a lease can be given up", store.revoke(one).await?, true)?;
    same("only its own keys go", keys(&store.range("").await?.0), vec!["freed", "moved"])?;
    same("a lease is given up once", store.revoke(one).await?, false)?;
    store.delete("moved").await?;
    let (_, before) = store.range("").await?;
    same("a lease without keys can be given up", store.revoke(two).await?, true)?;
    same("its end is no change then", store.range("").await?.1, before)
}

/// A watch shows every change under its prefix once, in order, whole transactions at a time.
pub async fn watch_order(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let mut watch = store.watch("k", 0).await?;
    let mut want = Vec::new();
    for n in 0..20 {
        let txn = all_of(vec![put("k1", &n.to_string(), None), put("other", "", None), put("k2", "", None)]);
        let revision = store.txn(txn).await?.revision;
        want.extend([("k1".to_owned(), revision), ("k2".to_owned(), revision)]);
    }
    let last = store.delete("k1").await?;
    want.push(("k1".to_owned(), last));
    let mut got: Vec<(String, Revision)> = Vec::new();
    while got.len() < want.len() {
        let events = watch.next().await?;
        let whole = events.last().is_some_and(|event| event.revision() == last || event.key() == "k2");
        holds("a transaction is not split, and no answer is empty", whole, &events)?;
        got.extend(events.iter().map(|event| (event.key().to_owned(), event.revision())));
    }
    same("every change once and in order", got, want)
}

/// A watch from a known revision shows what happened since, and one from the future waits.
pub async fn watch_from_the_past(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let first = store.put("k", "1").await?;
    let (_, known) = store.range("").await?;
    let second = store.put("k", "2").await?;
    let third = store.delete("k").await?;
    let mut watch = store.watch("", known + 1).await?;
    same(
        "a watch starts with what was missed",
        told(&watch.next().await?),
        vec![("k", second), ("k", third)],
    )?;
    let mut whole = store.watch("", first).await?;
    let events = whole.next().await?;
    same("the start is included", events.first().map(Event::revision), Some(first))?;
    let mut future = store.watch("", third + 2).await?;
    store.put("k", "4").await?;
    let fifth = store.put("k", "5").await?;
    same(
        "a watch from the future leaves out what comes before",
        told(&future.next().await?),
        vec![("k", fifth)],
    )?;
    let slow = store.watch("", 0).await?.position();
    same("a watch from now starts after the newest change", slow, fifth + 1)
}

/// A watch from before the store's memory says so, at the start and on the way.
pub async fn watch_compacted(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let first = store.put("k", "1").await?;
    let mut behind = store.watch("k", 0).await?;
    factory.forget(&store).await;
    let late = store.watch("k", first).await;
    let compacted = matches!(&late, Err(error) if error.is_compacted() && error.class() == Class::Permanent);
    holds("a watch from a forgotten revision is refused", compacted, late.map(|watch| watch.position()))?;
    let told = behind.next().await;
    let compacted = matches!(&told, Err(error) if error.is_compacted());
    holds("a watch that fell behind is told", compacted, told)?;
    let (_, revision) = store.range("").await?;
    let mut again = store.watch("k", revision + 1).await?;
    store.put("k", "3").await?;
    same("a new watch from a fresh range works", again.next().await?.len(), 1)
}

/// Of many who create one key at the same time, one wins.
pub async fn one_winner(factory: &impl Factory) -> Result<(), Broken> {
    let store = factory.open().await;
    let run = |name: &'static str| {
        let store = store.clone();
        let txn = Txn { compare: vec![at("leader", 0)], then: vec![put("leader", name, None)] };
        async move { store.txn(txn).await.map(|reply| (name, reply.done)) }
    };
    let runs = tokio::join!(run("a"), run("b"), run("c"), run("d"));
    let runs = [runs.0?, runs.1?, runs.2?, runs.3?];
    let winners: Vec<&str> = runs.iter().filter(|(_, done)| *done).map(|(name, _)| *name).collect();
    let leader = store.get("leader").await?.map(|entry| entry.value);
    let value = winners.first().map(|name| name.as_bytes().to_vec());
    holds("exactly one wins", winners.len() == 1, &winners)?;
    same("the winner's value stands", leader, value)
}

/// A write whose reply is lost is reported as unknown, may have been done, and is not done twice when tried again with
/// a condition. A read whose reply is lost may be repeated.
pub async fn unknown_outcome(factory: &impl Factory) -> Outcome {
    let (sound, lossy) = factory.open_lossy().await?;
    Some(unknown_between(factory, &sound, &lossy).await)
}

async fn unknown_between(factory: &impl Factory, sound: &Store, lossy: &Store) -> Result<(), Broken> {
    let create = Txn { compare: vec![at("k", 0)], then: vec![put("k", "mine", None)] };
    let lost = lossy.txn(create.clone()).await.map_err(|error| error.class());
    same("a write without a reply is unknown", lost, Err(Class::Unknown))?;
    let read = lossy.get("k").await.map_err(|error| error.class());
    same("a read without a reply is harmless", read, Err(Class::Transient))?;
    let mut seen = sound.get("k").await?;
    for _ in 0..20 {
        if seen.is_some() {
            break;
        }
        factory.pass_ms(50).await;
        seen = sound.get("k").await?;
    }
    let Some(entry) = seen else {
        return holds("this handle loses replies only", false, "the write did not arrive");
    };
    same("a condition keeps it from being done twice", sound.txn(create).await?.done, false)?;
    same("the first effect stands", sound.get("k").await?, Some(entry))
}
