use std::time::{Duration, Instant};

use database::keeper::ServerState;
use model::{NodeId, ReignPhase};
use rustix::process::Signal;

use super::site::{PATIENCE, Site};

/// Rows that were acknowledged, one statement each.
pub async fn write(site: &Site, from: i32, to: i32) {
    let client = site.client_soon().await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)").await.unwrap();
    for id in from..to {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
    }
}

#[track_caller]
pub fn is(count: i64, wanted: i64) {
    assert_eq!(count, wanted, "acknowledged rows are gone, or others have come");
}

pub async fn count(site: &Site) -> i64 {
    site.client_soon().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_followed_by_another_that_has_every_acknowledged_write() {
    let Some(site) = Site::three("a killed primary").await else { return };
    write(&site, 0, 50).await;
    let (first, _) = site.primary().unwrap();
    let killed = Instant::now();
    site.signal_server(first, Signal::KILL);
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    write(&site, 50, 51).await;
    println!("killed: first write after {:?}", killed.elapsed());
    is(count(&site).await, 51);
    site.calm().await;
    println!("killed: whole again after {:?}", killed.elapsed());
    // The old primary came back as a standby that counts; it may be the next one.
    let (second, _) = site.primary().unwrap();
    site.signal_server(second, Signal::KILL);
    site.until("a third reign", |site| site.primary().is_some_and(|(now, _)| now != second)).await;
    is(count(&site).await, 51);
    site.calm().await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_server_is_frozen_is_ended_and_followed() {
    let Some(site) = Site::three("a frozen primary").await else { return };
    write(&site, 0, 20).await;
    let (first, _) = site.primary().unwrap();
    let stuck = site.client(first).await.unwrap();
    let frozen = Instant::now();
    site.freeze_server(first);
    // It lies in the frozen server's socket from now on.
    let sent = tokio::spawn(async move { stuck.execute("INSERT INTO t VALUES (99)", &[]).await });
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    write(&site, 20, 21).await;
    println!("frozen: first write after {:?}", frozen.elapsed());
    let told = tokio::time::timeout(Duration::from_secs(2), sent).await;
    assert!(
        matches!(told, Ok(Ok(Err(_)))),
        "the old primary acknowledged, or its session was left open: {told:?}"
    );
    is(count(&site).await, 21);
    site.calm().await;
    println!("frozen: whole again after {:?}", frozen.elapsed());
    is(count(&site).await, 21);
    site.end().await;
}

/// A whole node stood still, and is a primary of the past when it goes on: its server first, and then its keeper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_wakes_behind_its_successor_answers_and_acknowledges_nothing() {
    let Some(site) = Site::three_apart("a node that stood still").await else { return };
    write(&site, 0, 20).await;
    let (first, _) = site.primary().unwrap();
    let server = site.server_pid(first);
    let (stuck, asked) = (site.client(first).await.unwrap(), site.client(first).await.unwrap());
    site.freeze_server(first);
    site.freeze_keeper(first);
    // On its way when the server wakes.
    let early = tokio::spawn(async move { stuck.execute("INSERT INTO t VALUES (98)", &[]).await });
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    write(&site, 20, 21).await;

    site.thaw_server(first);
    let fresh = site.client(first).await.unwrap();
    let late = tokio::spawn(async move { fresh.execute("INSERT INTO t VALUES (99)", &[]).await });
    let waits =
        "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'";
    let began = Instant::now();
    while site.ask(first, waits).await != "2" {
        assert!(!early.is_finished() && !late.is_finished(), "the old primary acknowledged");
        assert!(began.elapsed() < PATIENCE, "it writes nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It does answer, and what it has is what it had.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rows: i64 = asked.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 20, "what nobody else has is shown, or what was written elsewhere");
    assert!(!early.is_finished() && !late.is_finished(), "the old primary acknowledged");
    assert_eq!(site.status(first).server_pid, Some(server as u32), "its keeper did not stand still");

    site.thaw_keeper(first);
    for insert in [early, late] {
        let told = tokio::time::timeout(PATIENCE, insert).await.expect("nobody ends it").unwrap();
        assert!(told.is_err(), "the old primary acknowledged: {told:?}");
    }
    site.calm().await;
    assert_ne!(site.primary().unwrap().0, first);
    is(count(&site).await, 21);
    site.end().await;
}

/// The old primary would feed whoever comes late in its term, with the log of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_comes_back_without_a_slot_of_its_term() {
    let Some(site) = Site::three("slots of an old primary").await else { return };
    write(&site, 0, 5).await;
    let (first, record) = site.primary().unwrap();
    let server = site.server_pid(first);
    assert_eq!(site.slots(first, Some(record.term)), 2);
    site.signal_server(first, Signal::KILL);
    site.until("it is back", |site| {
        let back = site.running(first).is_some_and(|now| now != server);
        assert!(!back || site.slots(first, Some(record.term)) == 0, "it came back with slots of its term");
        back && site.is_calm()
    })
    .await;
    is(count(&site).await, 5);
    site.end().await;
}

/// A standby with less of them stands still in its replay; one that won so never came to the end of its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_on_one_node_are_had_by_the_others_too_and_break_no_failover() {
    let Some(mut site) = Site::three("more connections").await else { return };
    write(&site, 0, 5).await;
    let (_, record) = site.primary().unwrap();
    let more = record.current().unwrap().members.iter().next().unwrap();
    site.superuser(more, "ALTER SYSTEM SET max_connections = 300").await;
    site.superuser(more, "ALTER SYSTEM SET max_prepared_transactions = 5").await;
    site.stop(more).await;
    site.start(more);
    site.calm().await;
    site.hand_over(more).await;
    site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == more)).await;
    write(&site, 5, 10).await;
    // At once: the others may not have come to it in their replay.
    let killed = Instant::now();
    site.signal_server(more, Signal::KILL);
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != more)).await;
    write(&site, 10, 15).await;
    println!(
        "MEASURED killed with more connections than its standbys: first write after {:?}",
        killed.elapsed()
    );
    site.calm().await;
    for node in [1, 2, 3].map(NodeId) {
        assert_eq!(site.ask(node, "SHOW max_connections").await, "300", "node {node}");
        assert_eq!(site.ask(node, "SHOW max_prepared_transactions").await, "5", "node {node}");
    }
    is(count(&site).await, 15);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_crashes_takes_its_server_over_again_and_nobody_notices() {
    let Some(mut site) = Site::three("a crashed keeper").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    let pid = site.server_pid(primary);
    let client = site.client(primary).await.unwrap();
    site.crash_keeper(primary);
    client.execute("INSERT INTO t VALUES (100)", &[]).await.unwrap();
    site.start(primary);
    site.calm().await;
    assert_eq!(site.server_pid(primary), pid, "the server was started again");
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    client.execute("INSERT INTO t VALUES (101)", &[]).await.unwrap();
    is(count(&site).await, 7);
    site.end().await;
}

/// Also the connections that PostgreSQL keeps for the keeper are taken, as by a flood of those that have not said yet who they
/// are: a primary that says so lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_full_is_not_ended() {
    let Some(mut site) = Site::three("a primary that is full").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    let pid = site.server_pid(primary);
    site.crash_keeper(primary);
    let mut crowd = Vec::new();
    let full = loop {
        match site.try_privileged(primary).await {
            Ok(client) => crowd.push(client),
            Err(error) => break error,
        }
        assert!(crowd.len() < 200, "it takes everybody");
    };
    assert_eq!(full.code(), Some(&tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS), "{full}");
    site.start(primary);
    // Twice what ends a primary that is silent.
    tokio::time::sleep(Duration::from_secs(4)).await;
    crowd[0].batch_execute("CREATE TABLE crowded ()").await.unwrap();
    drop(crowd);
    site.calm().await;
    assert_eq!(site.server_pid(primary), pid, "it was ended");
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    is(count(&site).await, 5);
    site.end().await;
}

/// The file said "cut off" while the settings still named the primary: the node took that for a fact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_crashed_between_its_file_and_the_settings_makes_up_for_it() {
    let Some(mut site) = Site::three("a crash before the settings").await else { return };
    write(&site, 0, 5).await;
    let (primary, record) = site.primary().unwrap();
    let standby = record.current().unwrap().members.iter().next().unwrap();
    site.crash_keeper(standby);
    site.change_file(standby, |file| file["upstream"] = serde_json::Value::Null);
    site.start(standby);
    site.calm().await;
    assert_eq!(site.primary().unwrap().0, primary);
    is(count(&site).await, 5);
    site.end().await;
}

/// The copy had ended and nobody had written down yet whose it is: it is made again, not taken for the old log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_keeper_crashed_before_it_said_whose_it_is_is_made_again() {
    let Some(mut site) = Site::three("a crash behind a copy").await else { return };
    write(&site, 0, 5).await;
    let (_, record) = site.primary().unwrap();
    let standby = record.current().unwrap().members.iter().next().unwrap();
    let pid = site.server_pid(standby);
    site.crash_keeper(standby);
    site.change_file(standby, |file| file["making"] = true.into());
    site.start(standby);
    site.until("a new copy", |site| {
        let now = site.status(standby).server_pid;
        now.is_some_and(|now| now as i32 != pid)
    })
    .await;
    site.calm().await;
    is(count(&site).await, 5);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_writes_go_on() {
    let Some(site) = Site::three("a store that is away").await else { return };
    write(&site, 0, 5).await;
    let (_, before) = site.primary().unwrap();
    let client = site.client_soon().await;
    site.store_away(true);
    let away = Instant::now();
    let mut id = 100;
    while away.elapsed() < Duration::from_secs(4) {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
        id += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.store_away(false);
    site.calm().await;
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wanted_switch_loses_nothing_and_goes_where_it_was_wanted() {
    let Some(site) = Site::three("a wanted switch").await else { return };
    write(&site, 0, 20).await;
    for _ in 0..3 {
        let (from, record) = site.primary().unwrap();
        let to = record.current().unwrap().members.iter().last().unwrap();
        let asked = Instant::now();
        site.hand_over(to).await;
        site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == to)).await;
        let client = site.client_soon().await;
        client
            .execute(&format!("INSERT INTO t VALUES ({})", 1_000 + site.primary().unwrap().1.term), &[])
            .await
            .unwrap();
        println!("switch {from} -> {to}: first write after {:?}", asked.elapsed());
        site.calm().await;
    }
    is(count(&site).await, 23);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_dies_is_counted_out_and_in_again() {
    let Some(mut site) = Site::three("a dead standby").await else { return };
    write(&site, 0, 5).await;
    let (primary, record) = site.primary().unwrap();
    let lost = record.current().unwrap().members.iter().next().unwrap();
    site.stop(lost).await;
    site.until("a quorum without it", |site| {
        let (_, record) = site.primary().unwrap();
        !record.current().unwrap().members.has(lost)
    })
    .await;
    write(&site, 5, 10).await;
    // Its disk is lost too: it comes back empty and is copied.
    site.lose_disk(lost);
    site.start(lost);
    site.calm().await;
    assert_eq!(site.primary().unwrap().0, primary);
    is(count(&site).await, 10);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_standby_left_a_write_waits_and_is_never_half_true() {
    let Some(mut site) = Site::three("no standby left").await else { return };
    write(&site, 0, 5).await;
    let (primary, _) = site.primary().unwrap();
    let standbys: Vec<NodeId> = [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != primary).collect();
    for standby in &standbys {
        site.stop(*standby).await;
    }
    let client = site.client(primary).await.unwrap();
    let waits =
        tokio::time::timeout(Duration::from_secs(3), client.execute("INSERT INTO t VALUES (50)", &[]));
    assert!(waits.await.is_err(), "acknowledged with nobody else having it");
    // One comes back: what waited is true then, and the next write goes through.
    site.start(standbys[0]);
    write(&site, 6, 7).await;
    assert!(matches!(site.primary().unwrap().1.phase, ReignPhase::Serving { .. }));
    site.start(standbys[1]);
    site.calm().await;
    site.end().await;
}

/// The primary's last record, that of its end, was on no standby's disk: each start of a whole run began with a rewind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_together_starts_again_without_a_node_being_made_again() {
    let Some(mut site) = Site::three("an orderly end").await else { return };
    for round in 0..3 {
        write(&site, round * 10, round * 10 + 10).await;
        let stopped = Instant::now();
        site.stop_all().await;
        println!("all nodes ended within {:?}", stopped.elapsed());
        let started = Instant::now();
        (1..=3).for_each(|node| site.start(NodeId(node)));
        site.until("a calm cluster", |site| {
            for node in (1..=3).map(NodeId) {
                let status = site.status(node);
                assert_ne!(status.server, ServerState::Making, "{node} is made again: {status:#?}");
            }
            site.is_calm()
        })
        .await;
        println!("whole again after {:?}", started.elapsed());
    }
    is(count(&site).await, 30);
    site.end().await;
}

/// A statement that only computes does not look whether the first process is still there: it would go on, and commit, beside
/// the next primary, and no server could start on its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_outlives_its_server_is_ended_by_the_keeper() {
    let Some(site) = Site::three("an orphan").await else { return };
    let (first, _) = site.primary().unwrap();
    let client = site.client(first).await.unwrap();
    let session: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let busy =
        tokio::spawn(async move { client.batch_execute("DO $$ BEGIN LOOP NULL; END LOOP; END $$").await });
    let runs = || {
        std::fs::read_to_string(format!("/proc/{session}/comm")).is_ok_and(|name| name.trim() == "postgres")
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(runs() && !busy.is_finished(), "it does not compute");
    site.signal_server(first, Signal::KILL);
    site.until("the end of its session", |_| !runs()).await;
    assert!(busy.await.unwrap().is_err());
    site.calm().await;
    site.end().await;
}
