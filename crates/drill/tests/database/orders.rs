//! Orders that an application keeps in a database are counted as those in its journals are.

use std::time::Duration;

use drill::Effects;
use drill::database::{WorkloadError, read_orders};
use tokio::time::Instant;

use crate::rig::{PATIENCE, Server, present, target};

const TABLE: &str = "CREATE TABLE orders (id text PRIMARY KEY, unit text, at timestamptz DEFAULT now(), times integer DEFAULT 1)";

fn ids(all: &[&str]) -> impl Iterator<Item = String> {
    all.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().into_iter()
}

#[tokio::test]
async fn lost_and_double_orders_are_seen_and_those_of_other_runs_are_not() {
    if !present("lost_and_double_orders") {
        return;
    }
    let server = Server::primary(&[]);
    server.sql(TABLE).await;
    server
        .sql("INSERT INTO orders (id) VALUES ('r1-1'), ('r1-2'), ('r1-9'), ('r0-1'), ('R1-1'), ('r11')")
        .await;
    server.sql("INSERT INTO orders (id, times) VALUES ('r0-2', 2), ('r1-5', 0), ('r1-6', NULL)").await;
    server
        .sql("INSERT INTO orders VALUES ('r1-2') ON CONFLICT (id) DO UPDATE SET times = orders.times + 1")
        .await;
    let found = read_orders(&server.target(), "r1-", PATIENCE).await.unwrap();
    assert_eq!(
        [found.times("r1-1"), found.times("r1-2"), found.times("r0-1"), found.times("r11")],
        [1, 2, 0, 0]
    );
    assert_eq!((found.damaged, found.journals), (2, 0));
    let effects = found.compare(ids(&["r1-1", "r1-2", "r1-3", "r1-5"]));
    assert_eq!(effects, Effects { lost: vec!["r1-3".into(), "r1-5".into()], doubled: vec!["r1-2".into()] });
    // A prefix is a text, whatever is in it.
    for (prefix, times) in [("r0-", 1), ("", 1), ("r0_", 0), ("%", 0), ("\\", 0), ("' OR '1' = '1", 0)] {
        let found = read_orders(&server.target(), prefix, PATIENCE).await.unwrap();
        assert_eq!(found.times("r0-1"), times, "{prefix}");
    }
}

#[tokio::test]
async fn a_standby_that_lags_is_not_asked() {
    if !present("a_standby_that_lags") {
        return;
    }
    let server = Server::primary(&[]);
    server.sql(TABLE).await;
    let standby = server.standby();
    standby.until("SELECT to_regclass('orders') IS NOT NULL").await;
    standby.sql("SELECT pg_wal_replay_pause()").await;
    standby.until("SELECT pg_get_wal_replay_pause_state() = 'paused'").await;
    server.sql("INSERT INTO orders (id) VALUES ('r1-1')").await;
    let both = target(&[standby.address, server.address]);
    let found = read_orders(&both, "r1-", PATIENCE).await.unwrap();
    assert_eq!(found.compare(ids(&["r1-1"])), Effects::default());
    let alone = read_orders(&standby.target(), "r1-", Duration::from_millis(300)).await;
    assert!(
        matches!(&alone, Err(WorkloadError::Unreachable { why, .. }) if why == "a standby answered"),
        "{alone:?}"
    );
}

#[tokio::test]
async fn a_database_without_the_table_is_an_error_and_not_a_loss_of_everything() {
    if !present("a_database_without_the_table") {
        return;
    }
    let server = Server::primary(&[]);
    let begin = Instant::now();
    let found = read_orders(&server.target(), "r1-", Duration::from_millis(1_500)).await;
    assert!(matches!(&found, Err(WorkloadError::Refused { why, .. }) if why == "42P01"), "{found:?}");
    // It was asked again: just after a failover a server may not be what it will be.
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
}
