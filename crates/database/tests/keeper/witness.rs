//! Two nodes with data and a witness, which holds the log alone.

use std::time::{Duration, Instant};

use model::{Lsn, NodeId};
use rustix::process::Signal;

use super::failover::{count, is, write};
use super::site::{Site, WITNESS};

/// The primary, and the other node with data.
fn pair(site: &Site) -> (NodeId, NodeId) {
    let (primary, _) = site.primary().unwrap();
    assert_ne!(primary, WITNESS);
    (primary, NodeId(3 - primary.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_of_two_copies_and_a_witness_is_followed_by_the_other_copy() {
    let Some(site) = Site::witnessed("a killed primary beside a witness").await else { return };
    write(&site, 0, 50).await;
    let receiver = site.server_pid(WITNESS);
    for reign in 0..3 {
        let (first, second) = pair(&site);
        let killed = Instant::now();
        site.signal_server(first, Signal::KILL);
        site.until("the other copy", |site| site.primary().is_some_and(|(now, _)| now == second)).await;
        write(&site, 50 + reign, 51 + reign).await;
        println!("killed: first write after {:?}", killed.elapsed());
        is(count(&site).await, i64::from(51 + reign));
        site.calm().await;
        println!("killed: whole again after {:?}", killed.elapsed());
    }
    assert_ne!(site.server_pid(WITNESS), receiver, "it receives from the new primary under a new name");
    assert!(!site.folder(WITNESS).join("data").exists(), "a witness has no data");
    site.end_clean().await;
}

async fn counts(site: &Site, node: NodeId, counts: bool) {
    let what = format!("node {node} counts: {counts}");
    site.until(&what, |site| {
        let record = site.primary().map(|(_, record)| record);
        record.is_some_and(|record| record.current().unwrap().members.has(node) == counts)
    })
    .await;
}

/// Lets the standby miss what comes: what was sent to a frozen one would wait in its socket, and be had after the thaw.
async fn freeze(site: &Site, standby: NodeId) {
    let (primary, record) = site.primary().unwrap();
    site.freeze_server(standby);
    let name = format!("db-{standby}-t{}", record.term);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name =";
    site.superuser(primary, &format!("{end} '{name}'")).await;
}

/// All that was acknowledged is on a node that cannot serve it, and the primary does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_witness_has_is_on_the_standby_before_that_is_promoted() {
    let Some(mut site) = Site::witnessed("what only the witness has").await else { return };
    write(&site, 0, 10).await;
    let (primary, standby) = pair(&site);
    freeze(&site, standby).await;
    write(&site, 10, 60).await;
    // It spans files.
    site.superuser(primary, "SELECT pg_switch_wal()").await;
    write(&site, 60, 100).await;
    site.kill(primary);
    let killed = Instant::now();
    site.thaw_server(standby);
    site.until("the standby", |site| site.primary().is_some_and(|(now, _)| now == standby)).await;
    println!("fetched: serves after {:?}", killed.elapsed());
    write(&site, 100, 101).await;
    is(count(&site).await, 101);
    assert!(!site.folder(standby).join("fetched").exists(), "what was taken lies twice");
    site.start(primary);
    site.calm().await;
    println!("fetched: whole again after {:?}", killed.elapsed());
    is(count(&site).await, 101);
    // The old primary has it too, by the new one.
    site.hand_over(primary).await;
    site.until("the switch", |site| site.primary().is_some_and(|(now, _)| now == primary)).await;
    is(count(&site).await, 101);
    site.calm().await;
    site.end_clean().await;
}

/// A witness that is away: its keeper too, so nobody gives. Nothing is promoted without what only that one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lacks_writes_waits_for_the_witness_that_has_them() {
    let Some(mut site) = Site::witnessed("a standby waits for the witness").await else { return };
    write(&site, 0, 10).await;
    let (primary, standby) = pair(&site);
    freeze(&site, standby).await;
    write(&site, 10, 30).await;
    site.kill(WITNESS);
    site.kill(primary);
    site.thaw_server(standby);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(site.primary().is_none_or(|(now, _)| now == primary), "one that lacks writes took over");
    site.start(WITNESS);
    site.until("the standby", |site| site.primary().is_some_and(|(now, _)| now == standby)).await;
    is(count(&site).await, 30);
    site.start(primary);
    site.calm().await;
    is(count(&site).await, 30);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_witness_writes_go_on_by_the_standby() {
    let Some(mut site) = Site::witnessed("a killed witness").await else { return };
    write(&site, 0, 5).await;
    let (primary, standby) = pair(&site);
    let killed = Instant::now();
    site.kill(WITNESS);
    write(&site, 5, 25).await;
    println!("witness killed: 20 writes within {:?}", killed.elapsed());
    counts(&site, WITNESS, false).await;
    write(&site, 25, 30).await;
    // And a failover is made without it.
    site.signal_server(primary, Signal::KILL);
    site.until("the standby", |site| site.primary().is_some_and(|(now, _)| now == standby)).await;
    is(count(&site).await, 30);
    write(&site, 30, 35).await;
    // It comes back to another primary than it knew.
    site.start(WITNESS);
    site.calm().await;
    let (now, record) = site.primary().unwrap();
    assert_eq!(now, standby);
    // It streams, and counts, before it has told the store.
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while site.doc(WITNESS).await.promised != record.term {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it never told that it had promised the term");
    // Its acknowledgement counts there.
    freeze(&site, primary).await;
    write(&site, 35, 40).await;
    site.thaw_server(primary);
    site.calm().await;
    is(count(&site).await, 40);
    site.end_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_standby_writes_go_on_by_the_witness() {
    let Some(mut site) = Site::witnessed("a killed standby").await else { return };
    write(&site, 0, 5).await;
    let (primary, standby) = pair(&site);
    let killed = Instant::now();
    site.kill(standby);
    write(&site, 5, 25).await;
    println!("standby killed: 20 writes within {:?}", killed.elapsed());
    counts(&site, standby, false).await;
    write(&site, 25, 30).await;
    assert_eq!(site.primary().unwrap().0, primary);
    site.start(standby);
    site.calm().await;
    // And back: it is the next primary.
    site.signal_server(primary, Signal::KILL);
    site.until("the standby", |site| site.primary().is_some_and(|(now, _)| now == standby)).await;
    is(count(&site).await, 30);
    site.calm().await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_of_a_witness_that_crashes_takes_its_receiver_over() {
    let Some(mut site) = Site::witnessed("a crashed keeper of a witness").await else { return };
    write(&site, 0, 5).await;
    let (_, before) = site.primary().unwrap();
    let receiver = site.server_pid(WITNESS);
    site.crash_keeper(WITNESS);
    write(&site, 5, 10).await;
    site.start(WITNESS);
    site.calm().await;
    assert_eq!(site.server_pid(WITNESS), receiver, "the receiver was started again");
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    is(count(&site).await, 10);
    site.end_clean().await;
}

/// It was away for longer than log is kept for it. What it holds can never go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_whose_log_is_gone_at_the_primary_begins_anew() {
    let Some(mut site) = Site::witnessed("a stranded witness").await else { return };
    write(&site, 0, 5).await;
    let (primary, record) = site.primary().unwrap();
    // It looks once a second whether anything whole has come, and counts by the term's first quorum before that.
    let (mut before, asked) = (Lsn(u64::MAX), Instant::now());
    while before == Lsn(u64::MAX) {
        assert!(asked.elapsed() < Duration::from_secs(30), "nothing whole has come");
        tokio::time::sleep(Duration::from_millis(20)).await;
        before = site.doc(WITNESS).await.from;
    }
    site.stop(WITNESS).await;
    counts(&site, WITNESS, false).await;
    let slot = format!("db_{WITNESS}_t{}", record.term);
    // More than is kept without a slot.
    for id in 5..29 {
        write(&site, id, id + 1).await;
        site.superuser(primary, "SELECT pg_switch_wal()").await;
    }
    let forget = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_flush_lsn())");
    site.superuser(primary, &forget).await;
    site.superuser(primary, "CHECKPOINT").await;
    site.start(WITNESS);
    site.calm().await;
    assert_eq!(site.primary().unwrap().1.term, record.term, "nobody else had to notice");
    let from = site.doc(WITNESS).await.from;
    assert!(from > before, "what it held, from {before}, did not reach the rest, from {from}");
    // It is of use again.
    let (_, standby) = pair(&site);
    freeze(&site, standby).await;
    write(&site, 29, 42).await;
    site.kill(primary);
    site.thaw_server(standby);
    site.until("the standby", |site| site.primary().is_some_and(|(now, _)| now == standby)).await;
    is(count(&site).await, 42);
    site.start(primary);
    site.calm().await;
    site.end().await;
}

/// Asked for as the heir, it is refused by the rules, whoever wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_never_becomes_primary() {
    let Some(site) = Site::witnessed("a witness as heir").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    site.hand_over(WITNESS).await;
    site.until("the order to be taken back", |site| {
        site.primary().is_some_and(|(_, record)| {
            matches!(record.phase, model::ReignPhase::Serving { handover: None, .. })
        })
    })
    .await;
    assert_eq!(site.primary().unwrap().0, primary);
    assert_eq!(site.primary().unwrap().1.term, before.term);
    is(count(&site).await, 5);
    site.end().await;
}
