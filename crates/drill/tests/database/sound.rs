//! Nothing is lost, so nothing is said.

use std::time::{Duration, Instant};

use drill::database::{
    AnomalyKind, History, Isolation, Load, Options, Outcome, Target, Workload, judge, read_final, rebuild,
};

use rustix::process::Signal;

use crate::rig::{PATIENCE, Server, acked, present, seen, start, target, writers_only};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workload_on_a_sound_server_is_clean_at_every_isolation_level() {
    if !present("every_workload_on_a_sound_server_is_clean") {
        return;
    }
    let server = Server::primary(&[]);
    for isolation in [Isolation::Serializable, Isolation::RepeatableRead, Isolation::ReadCommitted] {
        let options = Options {
            isolation,
            lists: Load { clients: 8, rate_per_s: 150.0 },
            ..Options::new(server.target())
        };
        let handle = start(options).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let history = handle.stop().await;
        let (judgement, _) = server.judge(&history).await;
        assert!(judgement.is_clean(), "{isolation:?}: {:#?}", judgement.problems);
        let (registers, lists) = (judgement.registers.unwrap(), judgement.lists.unwrap());
        let (bank, sessions) = (judgement.bank.unwrap(), judgement.sessions.unwrap());
        eprintln!(
            "{isolation:?}: registers {}, lists {} ok {} failed, bank {} reads, sessions {} reads, {:?}, {} slots missed",
            registers.acked,
            lists.acked,
            lists.failed,
            bank.reads,
            sessions.reads,
            judgement.availability.unwrap(),
            history.missed_slots,
        );
        assert!(registers.acked > 50 && lists.acked > 50, "too little was tried to prove anything");
        assert!(bank.reads > 10 && sessions.reads > 20, "too little was tried to prove anything");
        assert_eq!(registers.unknown, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_comes_back_loses_nothing_and_the_gap_is_measured() {
    if !present("a_killed_server_that_comes_back_loses_nothing") {
        return;
    }
    let mut server = Server::primary(&[]);
    let journal = std::env::temp_dir().join(format!("drill-sound-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&journal);
    let handle = start(Options { journal: Some(journal.clone()), ..Options::new(server.target()) }).await;
    acked(&handle, 100).await;
    handle.mark_fault();
    server.kill_all();
    server.start();
    acked(&handle, 100).await;
    let history = handle.stop().await;
    let (judgement, survived) = server.judge(&history).await;
    assert!(judgement.is_clean(), "{:#?}", judgement.problems);
    let availability = judgement.availability.clone().unwrap();
    let (rto_ms, next_ms) = (availability.rto_ms.unwrap(), availability.next_ack_ms.unwrap());
    assert!(rto_ms >= next_ms && rto_ms > 20.0, "{availability:?}");
    // Refused connections are certain failures; only what was under way when it died may be unknown.
    let failed = history.operations.iter().filter(|o| o.is_failed()).count();
    let unknown = history.operations.iter().filter(|o| matches!(o.outcome, Outcome::Unknown { .. })).count();
    assert!(failed > 0 && unknown <= 18, "{failed} failed, {unknown} unknown");

    let rebuilt = rebuild(&journal).unwrap();
    std::fs::remove_file(&journal).unwrap();
    assert_eq!(rebuilt.operations, history.operations);
    assert_eq!(judge(&rebuilt, &survived).registers, judgement.registers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_are_given_a_standby_first_find_the_primary() {
    if !present("writers_that_are_given_a_standby_first_find_the_primary") {
        return;
    }
    let primary = Server::primary(&[]);
    let standby = primary.standby();
    Workload::prepare(&writers_only(primary.target()), PATIENCE).await.unwrap();
    standby.until("SELECT to_regclass('drill_session') IS NOT NULL").await;
    let both = target(&[standby.address, primary.address]);
    let handle = Workload::start(writers_only(both.clone())).unwrap();
    acked(&handle, 100).await;
    let history = handle.stop().await;
    let refused = Outcome::Failed { why: "25006".into() };
    let refused = history.operations.iter().filter(|o| o.outcome == refused).count();
    assert!(
        (8..=16).contains(&refused),
        "each client is refused by the standby and stays with the primary: {refused}"
    );
    let survived = read_final(&both, PATIENCE).await.unwrap();
    assert!(judge(&history, &survived).is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_given_up_on_and_what_it_commits_late_is_held_against_nobody() {
    if !present("a_frozen_server_is_given_up_on") {
        return;
    }
    let server = Server::primary(&[]);
    let deadline = Duration::from_millis(400);
    let handle = start(Options { deadline, ..Options::new(server.target()) }).await;
    acked(&handle, 100).await;
    handle.mark_fault();
    server.signal_all(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.signal_all(Signal::CONT);
    acked(&handle, 100).await;
    let history = handle.stop().await;
    let (judgement, _) = server.judge(&history).await;
    assert!(judgement.is_clean(), "{:#?}", judgement.problems);
    let rto_ms = judgement.availability.unwrap().rto_ms.unwrap();
    assert!(rto_ms > 1_400.0, "{rto_ms}");
    let late = |o: &&drill::database::Operation| match &o.outcome {
        Outcome::Unknown { why, .. } | Outcome::Failed { why } => why == "no answer in time",
        Outcome::Ok => false,
    };
    assert!(history.operations.iter().filter(late).count() >= 8, "nobody gave up");
    let registers = judgement.registers.unwrap();
    assert!(registers.unknown > 0, "what had been sent and not answered is unknown: {registers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_server_that_is_frozen() {
    if !present("a_stop_does_not_wait_for_a_server_that_is_frozen") {
        return;
    }
    let server = Server::primary(&[]);
    let handle =
        start(Options { deadline: Duration::from_millis(500), ..Options::new(server.target()) }).await;
    acked(&handle, 20).await;
    server.signal_all(Signal::STOP);
    let began = Instant::now();
    let history = handle.stop().await;
    let took = began.elapsed();
    server.signal_all(Signal::CONT);
    assert!(took < Duration::from_millis(2_600), "{took:?}");
    assert!(server.judge(&history).await.0.is_clean());
}

/// Snapshot isolation allows write skew, and a database that says it is serializable and gives that is caught.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_are_isolated_less_than_was_asked_are_caught() {
    if !present("transactions_that_are_isolated_less_than_was_asked") {
        return;
    }
    let server = Server::primary(&[]);
    let cases = [
        (Isolation::RepeatableRead, [AnomalyKind::G2, AnomalyKind::G2]),
        (Isolation::ReadCommitted, [AnomalyKind::GSingle, AnomalyKind::Fuzzy]),
    ];
    for (given, expected) in cases {
        let lists = Load { clients: 12, rate_per_s: 1_200.0 };
        let quiet = Options { registers: Load::NONE, bank: Load::NONE, ..Options::new(server.target()) };
        let quiet = Options { sessions: Load::NONE, lists, isolation: given, ..quiet };
        let mut rounds = 0;
        loop {
            let handle = start(Options { seed: rounds, ..quiet.clone() }).await;
            acked(&handle, 1_500).await;
            let history = handle.stop().await;
            let (judgement, survived) = server.judge(&history).await;
            assert!(judgement.is_clean(), "{given:?}: {:#?}", judgement.problems);
            let asked = History { isolation: Isolation::Serializable, ..history };
            let counts = judge(&asked, &survived).lists.unwrap().counts;
            eprintln!("{given:?} taken for serializable: {counts:?}");
            if expected.iter().any(|kind| counts.contains_key(kind)) {
                break;
            }
            rounds += 1;
            assert!(rounds < 10, "transactions never met");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_the_door_and_is_written_nowhere() {
    if !present("a_password_opens_the_door") {
        return;
    }
    let server = Server::primary(&[]);
    server.sql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'open-sesame'").await;
    server.let_in("host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n").await;
    let journal = std::env::temp_dir().join(format!("drill-password-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&journal);
    let with = |word: &str| Target { user: "app".into(), password: Some(word.to_owned()), ..server.target() };
    let options = Options { journal: Some(journal.clone()), ..Options::new(with("open-sesame")) };
    assert!(!format!("{options:?}").contains("sesame"));
    let handle = start(options).await;
    acked(&handle, 20).await;
    let history = handle.stop().await;
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::remove_file(&journal).unwrap();
    assert!(!text.contains("sesame"), "the password is in the journal");
    assert!(server.judge(&history).await.0.is_clean());
    // A wrong one is refused before anything is sent: a certain failure, and nothing is proven.
    let registers = Load { clients: 2, rate_per_s: 40.0 };
    let handle = Workload::start(Options { registers, ..writers_only(with("wrong")) }).unwrap();
    seen(&handle, |glance| glance.failed >= 20).await;
    let refused = handle.stop().await;
    assert!(refused.operations.iter().all(drill::database::Operation::is_failed));
    let is_refused = |o: &&drill::database::Operation| o.outcome == Outcome::Failed { why: "28P01".into() };
    let count = refused.operations.iter().filter(is_refused).count();
    // A busy machine may not answer in time, now and then.
    assert!(count * 2 > refused.operations.len(), "{:?}", refused.operations);
    let survived = read_final(&with("open-sesame"), PATIENCE).await.unwrap();
    assert_eq!(judge(&refused, &survived).problems[0], "nothing was acknowledged, so nothing is proven");
}
