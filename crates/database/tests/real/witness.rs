//! What a witness rests on: `pg_receivewal` acknowledges what it has synced, and its files say where they end.

use std::net::SocketAddr;
use std::path::PathBuf;

use database::instance::{Acks, Lsn, Observation, Received, Role, Running, Settings, SlotName, Upstream};
use database::shelf::{self, Giver, Lack, Offer, ShelfError};
use model::{NodeId, Nodes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use world::{Limits, Tasks};

use crate::rig::*;

/// Receives as `name` from `from`, which has its slot.
async fn receive(witness: &Node, from: &Node, name: &str) -> Running {
    let upstream = from.upstream(name);
    let role = Role::Standby { upstream: None };
    witness.configure(&Settings { role, acks: Acks::Never, open: false }).unwrap();
    let running = witness.receive(&upstream).unwrap();
    from.until("a witness streams", |seen| {
        seen.senders.iter().any(|sender| sender.name == name && sender.state == "streaming")
    })
    .await;
    running
}

fn flushed(node: &Node) -> Lsn {
    node.sql("postgres", "SELECT pg_current_wal_flush_lsn()").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_acknowledges_what_it_holds_and_nothing_once_it_is_gone() {
    let Some(place) = Place::new("a witness acknowledges") else { return };
    let (a, w) = (place.node("a"), place.empty("w"));
    let _a = a.start_primary(any_one(&["w-1"])).await;
    let receiver = receive(&w, &a, "w-1").await;
    let client = a.shop().await;
    for id in 1..20 {
        order(&client, id).await.unwrap();
        let held = w.received().unwrap().unwrap();
        assert!(held.from < held.end);
    }
    let all = flushed(&a);
    a.until("the witness has it all", |seen| {
        seen.senders.iter().any(|sender| sender.flushed.is_some_and(|flush| flush >= all))
    })
    .await;
    assert!(w.received().unwrap().unwrap().end >= all, "it acknowledged what its files do not hold");

    w.stop_receiving().await.unwrap();
    receiver.exited().await;
    let before = w.received().unwrap().unwrap();
    let (mut insert, _) = pending(&a, 20).await;
    not_acknowledged(&mut insert).await;
    assert_eq!(w.received().unwrap().unwrap(), before, "something still writes");

    // As one that was killed while it made its next file leaves it: no receiver goes on behind such a file.
    std::fs::write(w.shelf().join("0000000100000000000000FF.partial"), [0; 4096]).unwrap();
    // It goes on where it was, and what waited is acknowledged.
    let receiver = receive(&w, &a, "w-1").await;
    tokio::time::timeout(PATIENCE, insert).await.unwrap().unwrap().unwrap();
    w.stop_receiving().await.unwrap();
    receiver.exited().await;
    assert!(w.received().unwrap().unwrap().end > before.end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_follows_the_next_timeline_from_the_primary_of_it() {
    let Some(place) = Place::new("a witness and a new timeline") else { return };
    let (a, b, w) = (place.node("a"), place.node("b"), place.empty("w"));
    let run_a = a.start_primary(any_one(&["b-1", "w-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    let receiver = receive(&w, &a, "w-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();
    drop(client);
    stop_fast(&run_a).await;
    receiver.exited().await;
    let before = w.received().unwrap().unwrap();
    let standby = b.revoke(&run_b).await;
    assert_eq!(standby.received, Some(before.end), "both have all that a primary that stopped in order sent");

    b.change(&run_b, &primary(any_one(&["w-2"]), true));
    b.promote(PATIENCE).await.unwrap();
    let receiver = receive(&w, &b, "w-2").await;
    tokio::time::timeout(PATIENCE, async { order(&b.client().await, 2).await }).await.unwrap().unwrap();
    w.stop_receiving().await.unwrap();
    receiver.exited().await;
    let after = w.received().unwrap().unwrap();
    assert_eq!((before.timeline, after.timeline), (1, 2));
    assert!(after.end > before.end && after.from == before.from, "{before:?} {after:?}");
    assert!(w.shelf().join("00000002.history").exists());

    // As one that was killed early on in the new timeline leaves it: its file is written from the segment's beginning.
    let file = std::fs::read_dir(w.shelf()).unwrap().flatten().map(|entry| entry.path());
    let file = file.filter(|path| path.to_string_lossy().contains("/wal/000000020")).max().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8_192..].fill(0);
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(w.received().unwrap().unwrap(), before, "what was acknowledged in the old one is not told");
    let given = w.shelved(before.end, before.timeline).unwrap();
    let names: Vec<_> = given.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
    assert!(names.iter().all(|name| name.starts_with("00000001")) && !names.is_empty(), "{names:?}");
}

/// A way to `to` on which more strangers come there than may, in the midst of the first connection.
async fn crowded(to: SocketAddr) -> SocketAddr {
    const OPENED_BYTES: usize = 100;
    const STRANGERS: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (taker, giver) = (listener.accept().await.unwrap().0, TcpStream::connect(to).await.unwrap());
        let ((mut asks, mut takes), (mut gives, mut hears)) = (taker.into_split(), giver.into_split());
        let asked = tokio::spawn(async move { tokio::io::copy(&mut asks, &mut hears).await });
        let (mut part, mut passed) = (vec![0; 4_096], 0);
        while passed <= OPENED_BYTES {
            let read = gives.read(&mut part).await.unwrap();
            takes.write_all(&part[..read]).await.unwrap();
            passed += read;
        }
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            strangers.push(TcpStream::connect(to).await.unwrap());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let _ = tokio::io::copy(&mut gives, &mut takes).await;
        let _ = asked.await;
    });
    at
}

/// Takes over the wire, after all who may not have tried, and while strangers crowd the witness.
async fn taken(
    place: &Place,
    to: &Node,
    witness: &Node,
    from: Lsn,
    told: Received,
) -> (PathBuf, Vec<String>) {
    let tasks = Tasks::new();
    let (offers, offer) = watch::channel(None);
    let at = place.options("shelf").listen;
    let known = Nodes::NONE.with(NodeId(2));
    let instance = witness.instance.clone();
    let giver = Giver { me: NodeId(3), known, key: vec![7; 32], instance, offer };
    tasks.spawn("shelf", shelf::serve(at, giver, tasks.spawner()));
    let lack = Lack { me: NodeId(2), node: NodeId(3), at, term: 2, from, upto: told.end };
    let into = to.data().parent().unwrap().join("fetched");
    let take = async |lack: Lack, key: u8| shelf::take(&lack, &[key; 32], &into).await;
    let refused = async |lack: Lack, words: &str| {
        let error = take(lack, 7).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    // It listens as soon as its task runs.
    while TcpStream::connect(at).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    refused(lack.clone(), "is not cut off").await;
    offers.send_replace(Some(Offer { term: 2, log: told }));
    refused(Lack { term: 1, ..lack.clone() }, "term 2, not in term 1").await;
    refused(Lack { upto: Lsn(told.end.0 - 8), ..lack.clone() }, "its log ends at").await;
    refused(Lack { from: Lsn(told.from.0 - 8), ..lack.clone() }, "its log begins at").await;
    assert!(matches!(
        take(lack.clone(), 8).await,
        Err(ShelfError::Broken { .. } | ShelfError::Stranger { .. })
    ));
    assert!(take(Lack { me: NodeId(4), ..lack.clone() }, 7).await.is_err());
    let taken = take(Lack { at: crowded(at).await, ..lack }, 7).await.unwrap();
    tasks.shutdown(Limits::default()).await;
    taken
}

/// A keeper makes the slots that its server lacks within milliseconds, also one that a witness has just dropped. And one that
/// somebody still streams through holds old log, so it must not be taken for a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_begins_anew_whoever_makes_it() {
    let Some(place) = Place::new("a slot begins anew") else { return };
    let (a, w) = (place.node("a"), place.empty("w"));
    let _a = a.start_primary(Acks::NotAwaited).await;
    let slot = SlotName::new("w_1_t1").unwrap();
    let source = Upstream { slot: Some(slot.clone()), ..a.upstream("w-1") };
    w.configure(&Settings { role: Role::Standby { upstream: None }, acks: Acks::Never, open: false })
        .unwrap();
    w.renew_slot(&source).await.expect("there was none");
    let make = async {
        loop {
            a.create_slot(&slot, PATIENCE).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let lsn = |sql: &str| a.sql("postgres", sql).trim().parse::<Lsn>();
    let renew = async {
        for _ in 0..5 {
            a.sql("postgres", "CREATE TABLE IF NOT EXISTS t (); SELECT pg_switch_wal()");
            a.sql("postgres", "CHECKPOINT");
            let kept = lsn("SELECT redo_lsn FROM pg_control_checkpoint()").unwrap();
            w.renew_slot(&source).await.unwrap();
            // Until somebody streams, one that the witness made holds nothing.
            let begins = lsn("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'w_1_t1'");
            assert!(
                begins.is_err() || begins.as_ref().is_ok_and(|begins| *begins >= kept),
                "{begins:?}, {kept}"
            );
        }
    };
    tokio::select! { () = make => unreachable!(), () = renew => {} }

    let receiver = w.receive(&source).unwrap();
    a.until("the witness streams", |seen| seen.senders.iter().any(|sender| sender.state == "streaming"))
        .await;
    let error = w.renew_slot(&source).await.unwrap_err();
    assert!(error.to_string().contains("is active"), "{error}");
    w.stop_receiving().await.unwrap();
    receiver.exited().await;
}

/// The standby was frozen while the witness acknowledged, and the primary is gone for good. All that was acknowledged is on
/// a node that cannot serve it, and has to be on one that can before anybody is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_from_a_witness_what_it_has_missed_and_nothing_more() {
    let Some(place) = Place::new("a standby takes from a witness") else { return };
    let (a, b, w) = (place.node("a"), place.node("b"), place.empty("w"));
    let _a = a.start_primary(any_one(&["b-1", "w-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    let receiver = receive(&w, &a, "w-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();
    b.freeze();
    // What the primary sent to a frozen standby waits in its socket, and would be had after the thaw.
    a.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'b-1'",
    );
    for id in 2..10 {
        order(&client, id).await.unwrap();
    }
    // What is missed spans files.
    a.sql("postgres", "SELECT pg_switch_wal()");
    for id in 10..20 {
        order(&client, id).await.unwrap();
    }
    a.kill().await.unwrap();
    w.stop_receiving().await.unwrap();
    receiver.exited().await;
    let told = w.received().unwrap().unwrap();
    b.thaw();
    let own = b.revoke(&run_b).await.replayed.unwrap();
    assert!(own < told.end, "the standby has missed nothing");

    let (folder, names) = taken(&place, &b, &w, own, told).await;
    stop_fast(&run_b).await;
    b.kill().await.unwrap();
    for name in names {
        let mut file = std::fs::File::open(folder.join(&name)).unwrap();
        b.lay_in(&name, &mut file, told.end).unwrap();
    }
    let run_b = b.start().unwrap();
    let all_of_it = |seen: &Observation| seen.replay_waits && seen.replayed >= Some(told.end);
    b.until("it has replayed what it has", all_of_it).await;
    let seen = b.until("it goes on waiting", |seen| seen.replay_waits).await;
    assert_eq!(seen.replayed, Some(told.end));
    b.change(&run_b, &primary(Acks::NotAwaited, true));
    b.promote(PATIENCE).await.unwrap();
    let all: Vec<String> = (1..20).map(|id| id.to_string()).collect();
    assert_eq!(b.orders(), all.join(","));
}
