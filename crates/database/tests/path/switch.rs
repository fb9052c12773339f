//! Sessions and new connections while the primary changes.

use std::time::{Duration, Instant};

use database::path::{Limits, Served};
use rustix::process::Signal;
use tokio_postgres::error::SqlState;

use crate::postgres::{Server, connect, psql, reached, there};
use crate::support::{Rig, free_address, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_passes_as_it_is_with_cancel_copy_and_the_servers_last_words() {
    if !there("a_session_passes_as_it_is") {
        return;
    }
    let server = Server::start("plain").await;
    let rig = Rig::start(Some(server.address), Limits::default()).await;
    let client = soon(connect(rig.address)).await.unwrap();
    assert_eq!(reached(&client).await.unwrap(), server.address.port());
    let wide = client.query_one("SELECT repeat('x', 20000000)", &[]).await.unwrap();
    assert_eq!(wide.get::<_, &str>(0).len(), 20_000_000);

    // Cancelled by a connection of its own, which goes the same way.
    let cancel = client.cancel_token();
    let (slept, cancelled) = tokio::join!(client.batch_execute("SELECT pg_sleep(60)"), async {
        let other = connect(server.address).await.unwrap();
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        while other.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        cancel.cancel_query(tokio_postgres::NoTls).await
    });
    cancelled.unwrap();
    assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));

    // The server ends the session: the client still reads why.
    let ended = client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
    assert_eq!(ended.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    rig.until("closed", |report| report.connections == 0).await;
    assert_eq!(rig.front.report().ended_by_switch, 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_during_a_planned_switch_waits_and_sees_no_error() {
    if !there("a_client_that_comes_during_a_planned_switch") {
        return;
    }
    let server = Server::start("hold").await;
    let mut rig = Rig::start(Some(server.address), Limits::default()).await;
    let old = soon(connect(rig.address)).await.unwrap();
    rig.push(|served| served.hold = true).await;
    let at = rig.address;
    let new = tokio::spawn(async move { connect(at).await });
    rig.until("held", |report| report.held == 1).await;
    assert_eq!(reached(&old).await.unwrap(), server.address.port(), "a session goes on while others wait");
    assert!(!new.is_finished());
    rig.push(|served| served.hold = false).await;
    let new = soon(new).await.unwrap().unwrap();
    assert_eq!(reached(&new).await.unwrap(), server.address.port());
    assert_eq!(reached(&old).await.unwrap(), server.address.port());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_not_held_for_ever_and_reads_why_however_it_began() {
    if !there("a_client_is_not_held_for_ever") {
        return;
    }
    let server = Server::start("late").await;
    let limits = Limits { hold_ms: 300, ..Limits::default() };
    let rig = Rig::start(Some(free_address()), limits).await;
    let begin = Instant::now();
    let error = soon(connect(rig.address)).await.unwrap_err();
    let took = begin.elapsed().as_millis();
    assert_eq!(error.code(), Some(&SqlState::CANNOT_CONNECT_NOW));
    assert!((300..2_000).contains(&took), "held for {took} ms");

    // `prefer` asks for encryption first; it is the default of libpq and of whatever is built on it.
    for mode in ["prefer", "disable"] {
        let words = format!("host=127.0.0.1 port={} sslmode={mode}", rig.address.port());
        let (good, said) = psql(&words, "SELECT 1");
        assert!(!good && said.contains("database \"db\" has no primary that answers"), "{mode}: {said}");
        assert!(said.contains("connect again in a moment"), "{mode}: {said}");
    }
    let words = format!("host=127.0.0.1 port={} sslmode=require", rig.address.port());
    let (good, said) = psql(&words, "SELECT 1");
    assert!(!good && said.contains("server does not support SSL"), "{said}");
    // Whoever knows a second front goes on to it.
    let ports = format!("{},{}", rig.address.port(), server.address.port());
    let two = psql(&format!("host=127.0.0.1,127.0.0.1 port={ports}"), "SELECT 1");
    assert_eq!(two, (true, "1".to_owned()));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_killed_primary_old_sessions_end_and_new_ones_wait_for_the_next() {
    if !there("after_a_killed_primary") {
        return;
    }
    let (first, second) = tokio::join!(Server::start("first"), Server::start("second"));
    let mut rig = Rig::start(Some(first.address), Limits::default()).await;
    let old = soon(connect(rig.address)).await.unwrap();
    assert_eq!(reached(&old).await.unwrap(), first.address.port());
    first.signal(Signal::KILL);
    let at = rig.address;
    let new = tokio::spawn(async move { connect(at).await });
    // Nobody has said anything yet: it is held because the primary refuses.
    rig.until("held", |report| report.held == 1).await;
    let next = second.address;
    rig.push(|served| (served.term, served.primary) = (2, Some(next))).await;
    let new = soon(new).await.unwrap().unwrap();
    assert_eq!(reached(&new).await.unwrap(), second.address.port());
    assert!(soon(reached(&old)).await.is_err());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_a_frozen_primary_has_accepted_is_led_to_the_next_without_an_error() {
    if !there("a_client_that_a_frozen_primary_has_accepted") {
        return;
    }
    let (frozen, next) = tokio::join!(Server::start("accepts"), Server::start("answers"));
    let mut rig = Rig::start(Some(frozen.address), Limits::default()).await;
    frozen.signal(Signal::STOP);
    let at = rig.address;
    let comers = (0..20).map(|_| tokio::spawn(async move { connect(at).await }));
    let comers: Vec<_> = comers.collect();
    rig.until("all accepted", |report| (report.connections, report.held) == (20, 0)).await;
    let address = next.address;
    rig.push(|served| (served.term, served.primary) = (2, Some(address))).await;
    for comer in comers {
        let session = soon(comer).await.unwrap().unwrap();
        assert_eq!(reached(&session).await.unwrap(), next.address.port());
    }
    assert_eq!(rig.front.report().ended_by_switch, 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_a_frozen_primary_will_never_answer_ends_with_the_new_term() {
    if !there("a_query_that_a_frozen_primary_will_never_answer") {
        return;
    }
    let (frozen, next) = tokio::join!(Server::start("frozen"), Server::start("next"));
    let mut rig = Rig::start(Some(frozen.address), Limits::default()).await;
    let old = soon(connect(rig.address)).await.unwrap();
    frozen.signal(Signal::STOP);
    let waiting = tokio::spawn(async move { reached(&old).await });
    let (term, address) = (2, next.address);
    let begin = Instant::now();
    rig.push(|served| (served.term, served.primary) = (term, Some(address))).await;
    assert!(soon(waiting).await.unwrap().is_err());
    let ended = begin.elapsed();
    assert!(ended < Duration::from_millis(500), "the client learnt of it after {ended:?}");
    let new = soon(connect(rig.address)).await.unwrap();
    assert_eq!(reached(&new).await.unwrap(), next.address.port());
    println!("a blocked query ended {ended:?} after the snapshot");
    assert_eq!(rig.front.report().ended_by_switch, 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_snapshot_or_term_changes_nothing_and_without_its_agent_the_front_serves_on() {
    if !there("an_older_snapshot_or_term_changes_nothing") {
        return;
    }
    let server = Server::start("static").await;
    let mut rig = Rig::start(Some(server.address), Limits::default()).await;
    rig.push(|served| served.term = 5).await;
    let session = soon(connect(rig.address)).await.unwrap();
    let dead = free_address();
    rig.send(1, Served { term: 6, primary: Some(dead), ..rig.served() });
    // Newer by its number, older by its term.
    rig.push(|served| (served.term, served.primary) = (4, Some(dead))).await;
    assert_eq!(reached(&session).await.unwrap(), server.address.port());
    assert_eq!(rig.front.report().ended_by_switch, 0);
    rig.agent_dies();
    let new = soon(connect(rig.address)).await.unwrap();
    assert_eq!(reached(&new).await.unwrap(), server.address.port());
    assert_eq!(reached(&session).await.unwrap(), server.address.port());
    rig.end().await;
}
