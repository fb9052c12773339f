//! The store on a real etcd of three members that are killed, frozen and cut off.

// Helpers of a test; an error in them is its failure.
#![allow(clippy::unwrap_used)]

mod cluster;
mod relay;
mod secure;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cluster::{Cluster, ELECTION_MS, MEMBERS, installed};
use relay::Relay;
use store::conformance::{self, Factory};
use store::{Class, Compare, EtcdLogin, EtcdOptions, Event, LeaseId, Op, Revision, Store, Txn, Watch};
use tokio::time::{sleep, timeout};
use world::Tasks;

/// The members of `cluster`, beginning with `first`, and a part of its own.
fn options(cluster: &Cluster, first: usize, prefix: &str) -> EtcdOptions {
    let hosts: Vec<String> =
        (0..MEMBERS).map(|n| cluster.client((first + n) % MEMBERS).to_string()).collect();
    EtcdOptions::parse(&format!("etcd://{}/{prefix}", hosts.join(","))).unwrap()
}

fn open(cluster: &Cluster, first: usize) -> Store {
    Store::etcd(options(cluster, first, "test")).unwrap()
}

fn put(key: &str, value: &str, lease: Option<LeaseId>) -> Op {
    Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), lease }
}

/// Creates a key that must not be there; `None`: not carried out, or unknown and then seen not to be.
async fn create(store: &Store, key: &str) -> Option<Revision> {
    let absent = Compare::Modified { key: key.to_owned(), revision: 0 };
    let txn = Txn { compare: vec![absent], then: vec![put(key, "", None)] };
    match store.txn(txn).await {
        Ok(reply) => {
            assert!(reply.done, "`{key}` was there before it was made: something was done twice");
            Some(reply.revision)
        }
        Err(error) => {
            assert_ne!(error.class(), Class::Permanent, "{error}");
            None
        }
    }
}

struct Etcd {
    cluster: Cluster,
    count: AtomicU32,
    relays: Mutex<Vec<(Store, Relay)>>,
    tasks: Tasks,
}

impl Etcd {
    /// A store whose every connection goes through a relay.
    async fn behind_relay(&self, prefix: &str) -> (Store, Relay) {
        let relay = Relay::start(self.cluster.client(0), &self.tasks).await;
        let options = EtcdOptions::parse(&format!("etcd://{}/{prefix}", relay.address())).unwrap();
        (Store::etcd(options).unwrap(), relay)
    }

    fn prefix(&self) -> String {
        format!("check{}", self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Factory for Etcd {
    async fn open(&self) -> Store {
        let (store, relay) = self.behind_relay(&self.prefix()).await;
        self.relays.lock().unwrap().push((store.clone(), relay));
        store
    }

    async fn pass_ms(&self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
    }

    /// The floor of 1 s, the round of 500 ms in which ends are looked for, and room.
    fn lease_late_ms(&self) -> u64 {
        1_300
    }

    /// etcd's watch is told everything as it happens, so it can only fall behind while it is cut off.
    async fn forget(&self, store: &Store) {
        let relay = self.relays.lock().unwrap().last().unwrap().1.clone();
        relay.cut(true);
        // Longer than a request may take: nothing of before is under way.
        sleep(Duration::from_millis(500)).await;
        relay.cut(false);
        while store.put("k", "again").await.is_err() {}
        relay.cut(true);
        // A change that the watch does not see, then its compaction.
        let direct = self.cluster.ask(0, "POST", "/v3/kv/put", r#"{"key":"YQ==","value":"YQ=="}"#);
        assert!(direct.unwrap().contains("revision"));
        self.cluster.compact();
        relay.cut(false);
        while store.get("k").await.is_err() {}
    }

    async fn open_lossy(&self) -> Option<(Store, Store)> {
        let prefix = self.prefix();
        let sound = Store::etcd(options(&self.cluster, 0, &prefix)).unwrap();
        let (lossy, relay) = self.behind_relay(&prefix).await;
        relay.swallow_replies();
        Some((sound, lossy))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_conforms() {
    if !installed("etcd_conforms") {
        return;
    }
    let relays = Mutex::default();
    let factory = Etcd { cluster: Cluster::start(), count: AtomicU32::new(0), relays, tasks: Tasks::new() };
    for (name, outcome) in conformance::all(&factory).await {
        assert_eq!(outcome, Some(Ok(())), "{name}, see {}", factory.cluster.folder().display());
    }
}

/// How long until a write succeeds, counted from now.
async fn until_written(store: &Store, name: &str) -> Duration {
    let began = Instant::now();
    for n in 0.. {
        if create(store, &format!("{name}/{n}")).await.is_some() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no write since {:?}", began.elapsed());
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_follower_costs_one_time_out_at_the_most() {
    if !installed("a_frozen_follower_costs_one_time_out_at_the_most") {
        return;
    }
    let cluster = Cluster::start();
    let follower = cluster.follower();
    // The frozen one is the one preferred.
    let store = open(&cluster, follower);
    store.put("before", "").await.unwrap();
    cluster.freeze(follower);
    let began = Instant::now();
    // A read goes on elsewhere by itself.
    assert!(store.get("before").await.unwrap().is_some());
    let read = began.elapsed();
    let written = until_written(&store, "after").await;
    println!("frozen follower: read after {read:?}, then written after {written:?}");
    assert!(read + written < Duration::from_millis(1_000), "{read:?}, {written:?}");
    // Passed over from then on, and taken up again when it answers.
    let began = Instant::now();
    for n in 0..20 {
        store.put(format!("on/{n}"), "").await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    cluster.thaw(follower);
    // A write that is with the frozen one cannot be sent again: it is unknown, and the next one succeeds.
    let other = open(&cluster, follower);
    other.put("thawed", "").await.unwrap();
    cluster.freeze(follower);
    let written = until_written(&other, "again").await;
    println!("frozen follower: written after {written:?} without a read before");
    assert!(written < Duration::from_millis(1_000), "{written:?}");
    cluster.thaw(follower);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_leaves_a_frozen_member_though_nothing_else_is_asked_of_it() {
    if !installed("a_watch_leaves_a_frozen_member_though_nothing_else_is_asked_of_it") {
        return;
    }
    let cluster = Cluster::start();
    let follower = cluster.follower();
    let mut watch = open(&cluster, follower).watch("", 0).await.unwrap();
    let writer = open(&cluster, cluster.leader());
    cluster.freeze(follower);
    let began = Instant::now();
    let made = writer.put("k", "").await.unwrap();
    let seen = timeout(Duration::from_secs(5), watch.next()).await.expect("the watch hangs").unwrap();
    println!("watch on a frozen follower: told after {:?}", began.elapsed());
    assert_eq!(seen.iter().map(Event::revision).collect::<Vec<_>>(), [made]);
    cluster.thaw(follower);
}

/// The member carried it out and its connection broke before it could say so. Sent to another member, the same
/// request would meet its own effect: a creation that was done would be told as not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_lost_is_not_sent_to_another_member() {
    if !installed("a_write_whose_answer_was_lost_is_not_sent_to_another_member") {
        return;
    }
    let (cluster, tasks) = (Cluster::start(), Tasks::new());
    let relay = Relay::start(cluster.client(0), &tasks).await;
    let members = format!("etcd://{},{}/test", relay.address(), cluster.client(1));
    let store = Store::etcd(EtcdOptions::parse(&members).unwrap()).unwrap();
    store.put("before", "").await.unwrap();
    relay.hang_up_on_replies();
    let began = Instant::now();
    assert_eq!(create(&store, "k").await, None, "its answer cannot have come");
    // Told at once, and the next request goes elsewhere at once.
    let entry = store.get("k").await.unwrap().expect("it was carried out");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(entry.created, entry.modified);
    // A grant is: it has a name, so that a second one is seen to be the same.
    let lease = store.grant(60_000).await.unwrap();
    assert!(store.keep_alive(lease).await.unwrap());
}

/// Counts on while members are lost; every number it saw acknowledged must be there once, in order.
struct Counter {
    store: Store,
    acknowledged: Vec<(String, Revision)>,
    maybe: Vec<String>,
    next: u32,
}

impl Counter {
    fn new(store: Store) -> Counter {
        Counter { store, acknowledged: Vec::new(), maybe: Vec::new(), next: 0 }
    }

    async fn count_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let key = format!("n/{:06}", self.next);
            self.next += 1;
            match create(&self.store, &key).await {
                Some(revision) => self.acknowledged.push((key, revision)),
                None => self.maybe.push(key),
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Compares with what a watch from before saw.
    async fn check(&self, watch: &mut Watch) {
        let last = self.store.put("n/end", "").await.unwrap();
        let mut seen: Vec<(String, Revision)> = Vec::new();
        while seen.last().is_none_or(|(_, revision)| *revision < last) {
            let events = timeout(Duration::from_secs(10), watch.next()).await;
            let events = events.unwrap_or_else(|_| panic!("the watch stopped at {:?}", seen.last()));
            seen.extend(events.unwrap().iter().map(|event| (event.key().to_owned(), event.revision())));
        }
        seen.pop();
        assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "out of order or twice: {seen:?}");
        let mut of_them = seen.iter();
        for made in &self.acknowledged {
            assert!(of_them.any(|event| event == made), "the watch missed {made:?}");
        }
        let known = |key: &String| {
            self.maybe.contains(key) || self.acknowledged.iter().any(|(acknowledged, _)| acknowledged == key)
        };
        assert!(seen.iter().all(|(key, _)| known(key)), "{seen:?}");
        let (entries, _) = self.store.range("n/0").await.unwrap();
        // Made once, and never again.
        assert!(entries.iter().all(|entry| entry.created == entry.modified));
        let mut there: Vec<(String, Revision)> =
            entries.into_iter().map(|entry| (entry.key, entry.modified)).collect();
        // What was sent to a frozen leader can be carried out long after its caller gave up.
        there.sort_by_key(|(_, revision)| *revision);
        assert_eq!(there, seen);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_killed_and_frozen_under_writes_and_a_watch_misses_and_doubles_nothing() {
    if !installed("members_are_killed_and_frozen_under_writes_and_a_watch_misses_and_doubles_nothing") {
        return;
    }
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let mut counter = Counter::new(open(&cluster, leader));
    let mut watch = counter.store.watch("n/", 0).await.unwrap();
    for kill in [true, false, true, false] {
        let leader = cluster.leader();
        counter.count_for(Duration::from_millis(300)).await;
        let before = counter.acknowledged.len();
        if kill {
            cluster.kill(leader);
        } else {
            cluster.freeze(leader);
        }
        let gone = Instant::now();
        while counter.acknowledged.len() == before {
            counter.count_for(Duration::from_millis(1)).await;
            assert!(gone.elapsed() < Duration::from_secs(10), "no write without the leader");
        }
        println!("leader {}: written after {:?}", if kill { "killed" } else { "frozen" }, gone.elapsed());
        counter.count_for(Duration::from_millis(500)).await;
        if kill {
            cluster.run(leader);
        } else {
            cluster.thaw(leader);
        }
        counter.count_for(Duration::from_millis(500)).await;
        cluster.wait_up();
    }
    println!("{} acknowledged, {} unknown or not done", counter.acknowledged.len(), counter.maybe.len());
    counter.check(&mut watch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_away_goes_on_where_it_was() {
    if !installed("a_cluster_that_was_away_goes_on_where_it_was") {
        return;
    }
    let mut cluster = Cluster::start();
    let store = open(&cluster, 0);
    let lease = store.grant(3_000).await.unwrap();
    let then = vec![put("leased", "", Some(lease))];
    let made = store.txn(Txn { compare: vec![], then }).await.unwrap();
    let mut watch = store.watch("", made.revision).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 1);
    (0..MEMBERS).for_each(|index| cluster.kill(index));
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(3) {
        let error = store.get("leased").await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        let error = store.put("lost", "").await.unwrap_err();
        // The first may have been under way.
        assert!(away.elapsed() < Duration::from_secs(1) || error.class() == Class::Transient, "{error}");
        assert!(timeout(Duration::from_millis(50), watch.next()).await.is_err());
    }
    (0..MEMBERS).for_each(|index| cluster.run(index));
    let back = until_written(&store, "back").await;
    println!("cluster back: written after {back:?}");
    // The lease lives its whole time again, though it was silent for longer than that.
    assert!(store.keep_alive(lease).await.unwrap());
    let mut seen: Vec<Event> = Vec::new();
    while !seen.iter().any(|event| matches!(event, Event::Delete { .. })) {
        let more = timeout(Duration::from_secs(12), watch.next()).await;
        seen.extend(more.expect("the lease does not end").unwrap());
    }
    let keys: Vec<&str> = seen.iter().map(Event::key).collect();
    assert!(keys.first().is_some_and(|key| key.starts_with("back/")), "{keys:?}");
    assert_eq!(keys.last(), Some(&"leased"), "{keys:?}");
    assert!(!store.keep_alive(lease).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applications_on_one_etcd_do_not_see_each_other() {
    if !installed("two_applications_on_one_etcd_do_not_see_each_other") {
        return;
    }
    let cluster = Cluster::start();
    let store = |prefix: &str| Store::etcd(options(&cluster, 0, prefix)).unwrap();
    // Neighbours in the order of the keys, one the other's beginning.
    let (shop, shop2) = (store("shop"), store("shop2"));
    let mut watch = shop.watch("", 0).await.unwrap();
    let first = shop2.put("key", "theirs").await.unwrap();
    assert!(create(&shop, "key").await.is_some());
    assert_eq!(shop2.get("key").await.unwrap().unwrap().value, b"theirs");
    let (entries, _) = shop.range("").await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.value.as_slice()).collect::<Vec<_>>(), [b""]);
    let events = watch.next().await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].revision() > first);
}

/// Answers beyond the 4 MiB that etcd's gateway takes at once, ten times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_data_is_read_and_watched_in_pieces() {
    if !installed("much_data_is_read_and_watched_in_pieces") {
        return;
    }
    const COUNT: usize = 45;
    let cluster = Cluster::start();
    let mut slow = options(&cluster, 0, "much");
    slow.timeout_ms = 10_000;
    let store = Store::etcd(slow).unwrap();
    let value = vec![0xa5; 500 * 1024];
    let start = store.range("").await.unwrap().1 + 1;
    for n in 0..COUNT {
        store.put(format!("big/{n:03}"), value.clone()).await.unwrap();
    }
    for n in 0..3_000 / 100 {
        let then = (0..100).map(|m| put(&format!("small/{n:03}/{m:03}"), "", None)).collect();
        store.txn(Txn { compare: vec![], then }).await.unwrap();
    }
    let (entries, revision) = store.range("").await.unwrap();
    assert_eq!(entries.len(), COUNT + 3_000);
    assert!(entries.windows(2).all(|pair| pair[0].key < pair[1].key));
    let mut watch = store.watch("", start).await.unwrap();
    let mut seen = 0;
    while watch.position() <= revision {
        seen += timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap().len();
    }
    assert_eq!(seen, COUNT + 3_000);
}

/// A watch of etcd 3.4 that starts at the compacted revision is told nothing of the deletes of that revision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_the_very_compacted_revision_is_refused() {
    if !installed("a_watch_from_the_very_compacted_revision_is_refused") {
        return;
    }
    let cluster = Cluster::start();
    let store = open(&cluster, 0);
    store.put("k", "").await.unwrap();
    let deleted = store.delete("k").await.unwrap();
    assert_eq!(cluster.compact(), deleted);
    let late = store.watch("", deleted).await;
    assert!(late.as_ref().is_err_and(store::StoreError::is_compacted), "{late:?}");
    let error = late.unwrap_err().to_string();
    assert!(error.contains(&format!("before revision {}", deleted + 1)), "{error}");
    assert_eq!(store.watch("", deleted + 1).await.unwrap().position(), deleted + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_full_is_told_of_though_it_answers() {
    if !installed("an_etcd_that_is_full_is_told_of_though_it_answers") {
        return;
    }
    let cluster = Cluster::start();
    let store = open(&cluster, 0);
    store.put("k", "").await.unwrap();
    assert_eq!(store.complaint().await, None);
    // What a member does that cannot write any more; filling 2 GB would take minutes.
    let alarm = |action: &str| {
        let body = format!(r#"{{"action":"{action}","alarm":"NOSPACE","memberID":"1"}}"#);
        let answer = cluster.ask(1, "POST", "/v3/maintenance/alarm", &body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    alarm("ACTIVATE");
    let told = until_some(&store).await;
    assert!(told.starts_with("etcd takes no write") && told.contains("\nhint: "), "{told}");
    let refused = store.put("k", "more").await.unwrap_err().to_string();
    assert!(refused.contains("its file has reached its quota"), "{refused}");
    assert_eq!(store.get("k").await.unwrap().unwrap().value, b"", "reads go on");
    alarm("DEACTIVATE");
    patient(&store).await.unwrap();
}

/// Every member hears of an alarm a moment after the one that raised it.
async fn until_some(store: &Store) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(told) = store.complaint().await {
            return told;
        }
        assert!(Instant::now() < end, "nothing is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_needed_where_etcd_asks_for_one() {
    if !installed("a_login_is_needed_where_etcd_asks_for_one") {
        return;
    }
    let mut cluster = Cluster::start();
    let login = |password: &str| EtcdLogin { user: "root".to_owned(), password: password.to_owned() };
    let plain = options(&cluster, 0, "test");
    let with = |login| Store::etcd(EtcdOptions { login, ..plain.clone() }).unwrap();
    for (path, body) in [
        ("/v3/auth/user/add", r#"{"name":"root","password":"hunter2"}"#),
        ("/v3/auth/role/add", r#"{"name":"root"}"#),
        ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("/v3/auth/enable", "{}"),
    ] {
        let answer = cluster.ask(0, "POST", path, body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let store = with(Some(login("hunter2")));
    let made = patient(&store).await.unwrap();
    let mut watch = store.watch("k", made).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 1);
    let lease = store.grant(5_000).await.unwrap();
    assert!(store.keep_alive(lease).await.unwrap() && store.revoke(lease).await.unwrap());
    for stranger in [with(None), with(Some(login("guess")))] {
        let error = patient(&stranger).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent, "{error}");
        assert!(!error.to_string().contains("guess"), "{error}");
    }
    assert_eq!(store.get("k").await.unwrap().unwrap().modified, made);
    // Members that start again know no token of before.
    (0..MEMBERS).for_each(|index| cluster.kill(index));
    (0..MEMBERS).for_each(|index| cluster.run(index));
    cluster.wait_up();
    let again = patient(&store).await.unwrap();
    let seen = timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap();
    assert_eq!(seen.iter().map(Event::revision).collect::<Vec<_>>(), [again]);
}

/// A write that is given the time etcd takes to check a password.
async fn patient(store: &Store) -> Result<Revision, store::StoreError> {
    loop {
        match store.put("k", "").await {
            Err(error) if error.class() == Class::Transient => {}
            done => return done,
        }
    }
}

/// Two lists of members put together by mistake are no store: what one acknowledged the other never heard of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_another_cluster_are_not_believed() {
    if !installed("members_of_another_cluster_are_not_believed") {
        return;
    }
    let (mut one, other) = (Cluster::start(), Cluster::start());
    let mixed = format!("etcd://{},{}", one.client(0), other.client(0));
    let store = Store::etcd(EtcdOptions::parse(&mixed).unwrap()).unwrap();
    store.put("k", "").await.unwrap();
    one.kill(0);
    for _ in 0..3 {
        assert!(store.put("k", "").await.is_err());
        assert!(store.get("k").await.is_err());
    }
}

/// Prints; judges nothing. `cargo test -p store --release --test etcd -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: prints latencies and the time without a leader"]
async fn measure() {
    const CALLS: usize = 500;
    let mut cluster = Cluster::start();
    let folder = std::env::temp_dir().join(format!("evenkeel-measure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let token = store::Token::create(&folder.join("token")).unwrap();
    let (stopper, stop) = world::Stop::pair();
    let (bound, is_bound) = tokio::sync::oneshot::channel();
    let mut serve =
        store::ServeOptions::new("127.0.0.1:0".parse().unwrap(), folder.join("db"), token.clone());
    serve.bound = Some(bound);
    let tasks = Tasks::new();
    tasks.spawn("store", async move { store::serve(serve, stop).await.unwrap() });
    let embedded = Store::connect(is_bound.await.unwrap(), token);
    let leader = cluster.leader();
    let stores = [
        ("embedded", embedded),
        ("etcd, leader", open(&cluster, leader)),
        ("etcd, follower", open(&cluster, cluster.follower())),
    ];
    for (name, store) in &stores {
        let (mut puts, mut gets) = (Vec::new(), Vec::new());
        for n in 0..CALLS {
            let began = Instant::now();
            store.put(format!("k{}", n % 10), "value").await.unwrap();
            puts.push(began.elapsed());
            let began = Instant::now();
            store.get("k0").await.unwrap();
            gets.push(began.elapsed());
        }
        for (what, mut times) in [("put", puts), ("get", gets)] {
            times.sort();
            println!("{name}: {what} median {:?}, p99 {:?}", times[CALLS / 2], times[CALLS * 99 / 100]);
        }
    }
    stopper.request();
    std::fs::remove_dir_all(folder).unwrap();
    for kill in [true, false] {
        for preferred in ["the leader", "a follower"] {
            let mut times = Vec::new();
            for n in 0..10 {
                cluster.wait_up();
                let leader = cluster.leader();
                let first = if preferred == "the leader" { leader } else { cluster.follower() };
                let store = open(&cluster, first);
                // An agent's store always has a watch.
                let watch = store.watch("", 0).await.unwrap();
                store.put("before", "").await.unwrap();
                if kill {
                    cluster.kill(leader);
                } else {
                    cluster.freeze(leader);
                }
                times.push(until_written(&store, &format!("{kill}{preferred}{n}")).await.as_millis());
                drop(watch);
                if kill {
                    cluster.run(leader);
                } else {
                    cluster.thaw(leader);
                }
                sleep(Duration::from_millis(2 * ELECTION_MS)).await;
            }
            let verb = if kill { "killed" } else { "frozen" };
            println!("leader {verb}, {preferred} preferred: first write after {times:?} ms");
        }
    }
}
