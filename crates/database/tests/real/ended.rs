//! Commits that wait for standbys which are gone: nothing that ends the wait is told as success, but for a cancel.

use database::instance::{Acks, Role, Settings, StopHow};

use crate::rig::*;

/// How a session comes to its end while its commit waits.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// Somebody ends it.
    Session,
    /// The keeper ends all of them, before a wanted switch.
    Door,
    /// The server is stopped.
    Stop(StopHow),
}

/// Commits in each way that a client has, one row each from `first` on; all of them wait for standbys. By what the protocol says,
/// a statement outside of a transaction is done before its commit is: only that the server is ready again says that.
async fn commits(
    node: &Node,
    first: u32,
) -> Vec<(&'static str, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>)> {
    let (extended, simple, transaction) = (node.client().await, node.client().await, node.client().await);
    let insert = |id: u32| format!("INSERT INTO orders VALUES ({id})");
    let (second, third) = (insert(first + 1), insert(first + 2));
    let ways = vec![
        ("a statement", tokio::spawn(async move { order(&extended, first).await.map(drop) })),
        ("a simple query", tokio::spawn(async move { simple.batch_execute(&second).await })),
        (
            "a transaction",
            tokio::spawn(async move {
                transaction.batch_execute("BEGIN").await?;
                transaction.execute(&third, &[]).await?;
                transaction.execute("COMMIT", &[]).await.map(drop)
            }),
        ),
    ];
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let wanted = ways.len().to_string();
    node.until("all of them wait", |_| node.sql("postgres", waits) == wanted).await;
    ways
}

/// What the closing of the door, a wanted switch and the simulation (`Action::Close`) rest on.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_in_its_commit_wait_is_not_told_success() {
    let Some(place) = Place::new("ended in its commit wait") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let acks = any_one(&["b-1"]);
    let mut run_a = a.start_primary(acks.clone()).await;
    b.follow(&a, "b-1").await;
    drop(a.shop().await);
    b.kill().await.unwrap();
    let ends = [Ended::Session, Ended::Door, Ended::Stop(StopHow::Fast), Ended::Stop(StopHow::Immediate)];
    let mut written = Vec::new();
    for (round, how) in (0..).step_by(3).zip(ends) {
        let waiting = commits(&a, round).await;
        match how {
            Ended::Session => {
                let all =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
                a.sql("postgres", all);
            }
            Ended::Door => assert!(a.terminate_clients(PATIENCE).await.unwrap() >= 3),
            Ended::Stop(how) => {
                run_a.stop(how, PATIENCE).await.unwrap();
            }
        }
        for (way, commit) in waiting {
            let told = tokio::time::timeout(PATIENCE, commit).await.unwrap().unwrap();
            assert!(told.is_err(), "{way} was told success, ended by {how:?}");
        }
        if matches!(how, Ended::Stop(_)) {
            a.kill().await.unwrap();
            run_a = a.start_primary(acks.clone()).await;
        }
        // They are on the disk all the same: it is the answer alone that is missing.
        written.extend((round..round + 3).map(|id| id.to_string()));
        assert_eq!(a.orders(), written.join(","), "{how:?}");
    }
}

/// It ends statements, and a cancel in a commit's wait would look like success.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_for_statements_does_not_end_the_wait_of_a_commit() {
    let Some(place) = Place::new("statement timeout") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(any_one(&["b-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    drop(a.shop().await);
    a.sql("postgres", "SET synchronous_commit = local; ALTER ROLE shop SET statement_timeout = '100ms'");
    let slow = a.client().await.batch_execute("SELECT pg_sleep(60)").await.unwrap_err();
    assert!(slow.as_db_error().unwrap().message().contains("statement timeout"), "{slow}");
    b.revoke(&run_b).await;
    let waiting = commits(&a, 0).await;
    tokio::time::sleep(WATCHED).await;
    for (way, commit) in &waiting {
        assert!(!commit.is_finished(), "{way} was ended by the time limit");
    }
    let role = Role::Standby { upstream: Some(a.upstream("b-1")) };
    b.change(&run_b, &Settings { role, acks: Acks::Never, open: true });
    for (way, commit) in waiting {
        let told = tokio::time::timeout(PATIENCE, commit).await.unwrap().unwrap();
        assert!(told.is_ok(), "{way}: {told:?}");
    }
    b.until("it has all", |_| b.orders() == "0,1,2").await;
}
