//! Everything that can be lost or bent is lost or bent on purpose, and must be seen.

use std::time::Duration;

use drill::database::{Load, Options, Via};

use crate::rig::{Server, acked, present, seen, start, target, writers_only};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_vanish_behind_its_back_are_lost_writes_by_their_ids() {
    if !present("rows_that_vanish_behind_its_back") {
        return;
    }
    let server = Server::primary(&[]);
    let handle = start(Options::new(server.target())).await;
    acked(&handle, 200).await;
    let history = handle.stop().await;
    let gone = server
        .sql("DELETE FROM drill_register WHERE id IN (SELECT id FROM drill_register LIMIT 3) RETURNING id");
    let gone: Vec<i64> = gone.await.iter().map(|id| id.parse().unwrap()).collect();
    server.sql("UPDATE drill_bank SET balance = balance + 1 WHERE account = 3").await;
    server.sql("UPDATE drill_list SET v = v[2:] WHERE key = (SELECT key FROM drill_list WHERE v <> '{}' LIMIT 1)").await;
    let (judgement, _) = server.judge(&history).await;
    let mut lost = judgement.registers.as_ref().unwrap().lost.clone();
    lost.first.sort_unstable();
    let mut expected = gone.clone();
    expected.sort_unstable();
    assert_eq!((lost.count, lost.first), (3, expected));
    for needle in ["3 acknowledged writes are lost", "sums of the bank are wrong", "append lost"] {
        assert!(
            judgement.problems.iter().any(|p| p.contains(needle)),
            "`{needle}`: {:#?}",
            judgement.problems
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_put_in_while_it_runs_is_seen_by_the_readers() {
    if !present("money_put_in_while_it_runs") {
        return;
    }
    let server = Server::primary(&[]);
    let bank = Load { clients: 2, rate_per_s: 100.0 };
    let quiet = Options {
        registers: Load::NONE,
        sessions: Load::NONE,
        lists: Load::NONE,
        ..Options::new(server.target())
    };
    let handle = start(Options { bank, ..quiet }).await;
    acked(&handle, 20).await;
    server.sql("UPDATE drill_bank SET balance = balance + 7 WHERE account = 0").await;
    acked(&handle, 60).await;
    server.sql("UPDATE drill_bank SET balance = balance - 7 WHERE account = 0").await;
    let history = handle.stop().await;
    let (judgement, _) = server.judge(&history).await;
    let wrong = judgement.bank.unwrap().wrong;
    assert!(wrong.count > 0 && wrong.first[0].contains("hold 20007, not 20000"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_did_not_wait_for_the_disk_are_lost_with_the_server() {
    if !present("commits_that_did_not_wait_for_the_disk") {
        return;
    }
    // WAL leaves the server's own memory by whole pages of 8 kB, some 60 of these commits: a kill loses what the last
    // page held. Only when it had just been written is there nothing to lose, so there is another try.
    let mut server = Server::primary(&["synchronous_commit = off", "wal_writer_delay = 10s"]);
    for _ in 0..5 {
        let handle = start(writers_only(server.target())).await;
        acked(&handle, 150).await;
        handle.mark_fault();
        server.kill_all();
        server.start();
        acked(&handle, 50).await;
        let history = handle.stop().await;
        let (judgement, _) = server.judge(&history).await;
        let lost = judgement.registers.as_ref().unwrap().lost.count;
        eprintln!("synchronous_commit = off, kill -9: {lost} acknowledged writes lost");
        if lost > 0 {
            assert!(
                judgement.problems[0].contains("acknowledged writes are lost"),
                "{:?}",
                judgement.problems
            );
            return;
        }
    }
    panic!("five kills without a loss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_goes_on_after_its_standby_was_promoted_loses_what_it_acknowledges() {
    if !present("a_primary_that_goes_on_after_its_standby_was_promoted") {
        return;
    }
    let primary = Server::primary(&[]);
    let standby = primary.standby();
    let handle = start(Options::new(primary.target())).await;
    let via = handle.write_directly(&primary.target(), Load { clients: 2, rate_per_s: 100.0 }).unwrap();
    assert_eq!(via, Via::Direct(0));
    acked(&handle, 200).await;
    handle.mark_fault();
    assert_eq!(standby.sql("SELECT pg_promote()").await, ["t"]);
    acked(&handle, 200).await;
    let history = handle.stop().await;
    let (judgement, _) = standby.judge(&history).await;
    let (registers, lists) = (judgement.registers.as_ref().unwrap(), judgement.lists.as_ref().unwrap());
    eprintln!("async promotion: {registers:?}, {} appends lost", lists.appends_lost);
    assert!(registers.lost.count > 0 && lists.appends_lost > 0, "{:#?}", judgement.problems);
    assert!(registers.direct.lost > 0 && registers.direct.acked_after_fault >= registers.direct.lost);
    // Against the old primary the same history is clean: what is wrong is what survived.
    let (judgement, _) = primary.judge(&history).await;
    assert!(judgement.is_clean(), "{:#?}", judgement.problems);
}

/// What an asynchronous failover loses is what only the old primary has; the checker must come to the same number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_failover_loses_exactly_what_its_standby_never_had() {
    if !present("an_asynchronous_failover_loses_exactly_what_its_standby_never_had") {
        return;
    }
    let mut primary = Server::primary(&[]);
    let standby = primary.standby();
    let handle = start(Options::new(target(&[primary.address, standby.address]))).await;
    acked(&handle, 100).await;
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''").await;
    standby.sql("SELECT pg_reload_conf()").await;
    standby.until("SELECT count(*) = 0 FROM pg_stat_wal_receiver").await;
    acked(&handle, 200).await;
    handle.mark_fault();
    primary.kill_all();
    assert_eq!(standby.sql("SELECT pg_promote()").await, ["t"]);
    acked(&handle, 100).await;
    let history = handle.stop().await;
    let (judgement, survived) = standby.judge(&history).await;
    primary.start();
    let old: Vec<i64> =
        primary.sql("SELECT id FROM drill_register").await.iter().map(|id| id.parse().unwrap()).collect();
    let gone: Vec<i64> = old.into_iter().filter(|id| !survived.registers.contains(id)).collect();
    let registers = judgement.registers.unwrap();
    let (lost, only_old) = (registers.lost.count, gone.len() as u64);
    eprintln!(
        "asynchronous failover: {only_old} rows only on the old primary, {lost} acknowledged writes lost"
    );
    assert!(lost > 0 && registers.lost.first.iter().all(|id| gone.contains(id)), "{registers:?}");
    // Who wrote them was told so, but for those that were open when the server died.
    assert!(lost <= only_old && only_old <= lost + registers.unknown, "{only_old}: {registers:?}");
    let says = format!("{lost} acknowledged writes are lost");
    assert!(judgement.problems[0].starts_with(&says), "{:?}", judgement.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_read_from_a_standby_that_lags_read_behind_their_writes() {
    if !present("sessions_that_read_from_a_standby_that_lags") {
        return;
    }
    let primary = Server::primary(&[]);
    let standby = primary.standby();
    let options = Options { read_target: Some(standby.target()), ..Options::new(primary.target()) };
    drill::database::Workload::prepare(&options, crate::rig::PATIENCE).await.unwrap();
    standby.until("SELECT to_regclass('drill_session') IS NOT NULL").await;
    standby.sql("SELECT pg_wal_replay_pause()").await;
    let handle = drill::database::Workload::start(options).unwrap();
    acked(&handle, 300).await;
    let history = handle.stop().await;
    standby.sql("SELECT pg_wal_replay_resume()").await;
    let (judgement, _) = primary.judge(&history).await;
    let sessions = judgement.sessions.unwrap();
    assert!(sessions.stale.count > 0 && sessions.backwards.is_empty(), "{sessions:?}");
    assert!(
        judgement.problems.iter().all(|p| p.contains("miss a write of their own session")),
        "{:?}",
        judgement.problems
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_standbys_that_was_cancelled_is_a_false_acknowledgement() {
    if !present("a_wait_for_standbys_that_was_cancelled") {
        return;
    }
    let server = Server::primary(&[]);
    let options = Options { deadline: Duration::from_secs(60), ..writers_only(server.target()) };
    let handle = start(options).await;
    acked(&handle, 50).await;
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    server.sql("SELECT pg_reload_conf()").await;
    let waiting = "FROM pg_stat_activity WHERE application_name = 'drill' AND wait_event = 'SyncRep'";
    server.until(&format!("SELECT count(*) = 8 {waiting}")).await;
    server.sql(&format!("SELECT pg_cancel_backend(pid) {waiting}")).await;
    seen(&handle, |glance| glance.false_acks >= 8).await;
    server.sql("ALTER SYSTEM RESET synchronous_standby_names").await;
    server.sql("SELECT pg_reload_conf()").await;
    acked(&handle, 20).await;
    let history = handle.stop().await;
    let (judgement, _) = server.judge(&history).await;
    assert!(judgement.false_acks >= 8, "{}", judgement.false_acks);
    let registers = judgement.registers.unwrap();
    // They are there this time, on the one server: unknown, present, and not counted as acknowledged.
    assert!(registers.unknown_present >= judgement.false_acks && registers.lost.is_empty(), "{registers:?}");
    assert!(judgement.problems[0].contains("waited for no standby"), "{:?}", judgement.problems);
}
