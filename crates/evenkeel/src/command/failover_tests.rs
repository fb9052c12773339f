use store::Faults;
use world::{Clock, Limits, Tasks};

use super::*;
use crate::wire::fixture::{database, picture, record};

const KEY: &str = "databases/db/record";

/// What `evenkeel failover db` with `--to` comes to when the keepers write `then`, one record after the other, once they
/// have seen what it asks for.
async fn play(to: Option<&str>, then: &'static [(u64, &'static [&'static str])]) -> Result<(), String> {
    let (store, _simulated) = Store::simulated(1, Clock::real(), Faults::default());
    let first = record(4, &["serving", "1"]);
    let revision = store.put(KEY, serde_json::to_vec(&first).unwrap()).await.unwrap();
    let mut mirror = picture("plan 1; db at 1 term 4 serving 1; keeper db-1 is open 2=0 3=9");
    let docs = mirror.databases.pop_first().unwrap().1;
    let planned = database("db");
    let order = handover::order(&planned, &docs, to).unwrap();
    let tasks = Tasks::new();
    let keepers = store.clone();
    let mut watch = store.watch(KEY, revision + 1).await.unwrap();
    tasks.spawn("keepers", async move {
        let asked = watch.next().await.unwrap();
        let Some(Event::Put(entry)) = asked.first() else { panic!("{asked:?}") };
        let asked: Record = serde_json::from_slice(&entry.value).unwrap();
        assert_eq!((asked.term, &asked.quorums), (4, &first.quorums), "nothing else was changed");
        for (term, phase) in then {
            keepers.put(KEY, serde_json::to_vec(&record(*term, phase)).unwrap()).await.unwrap();
        }
    });
    let args = FailoverArgs { database: "db".to_owned(), to: to.map(str::to_owned) };
    let told = hand_over(&args, &store, &planned, &order, revision, false).await;
    assert_eq!(tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    told.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_another_node_serves() {
    let calm: &[(u64, &[&str])] = &[(5, &["electing"]), (5, &["promoting", "2"]), (5, &["serving", "2"])];
    assert_eq!(play(None, calm).await, Ok(()));
    assert_eq!(play(Some("b"), calm).await, Ok(()));
    let asked = play(Some("c"), calm).await;
    assert_eq!(asked, Err("`db-2` took over in term 5, not `db-3`: it had what `db-3` lacked".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_handover_that_was_called_off_or_never_ends_is_no_success() {
    let off = play(None, &[(4, &["serving", "1"])]).await;
    assert_eq!(
        off,
        Err("`db-1` called the handover off: `db-2` did not catch up and answer in time".to_owned())
    );
    let stuck = play(None, &[(5, &["electing"])]).await;
    assert_eq!(stuck, Err("`db` does not serve after 30 s".to_owned()));
}

#[tokio::test]
async fn what_changed_meanwhile_is_not_written_over() {
    let (store, _simulated) = Store::simulated(1, Clock::real(), Faults::default());
    let old = store.put(KEY, serde_json::to_vec(&record(4, &["serving", "1"])).unwrap()).await.unwrap();
    let newer = serde_json::to_vec(&record(5, &["serving", "2"])).unwrap();
    store.put(KEY, newer.clone()).await.unwrap();
    let docs = picture("plan 1; db at 1 term 4 serving 1").databases.pop_first().unwrap().1;
    let order = handover::order(&database("db"), &docs, None).unwrap();
    let args = FailoverArgs { database: "db".to_owned(), to: None };
    let told = hand_over(&args, &store, &database("db"), &order, old, false).await.unwrap_err();
    assert_eq!(told.to_string(), "`db` has changed in this moment; nothing was asked for");
    assert_eq!(store.get(KEY).await.unwrap().unwrap().value, newer);
}
