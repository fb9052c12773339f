use std::time::Instant;

use ::database::keeper::KeeperStatus;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use world::{Limits, Tasks};

use super::super::fixture::{data_node, ip, picture, record, zone};
use super::super::publish;
use super::*;

/// Rounds that are measured. The middle one counts: a busy machine may hold up any single one.
const ROUNDS: u64 = 40;
/// A client that waits for the new primary waits for this too.
const WITHIN: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_keepers_news_reach_the_data_front_at_once() {
    let path = std::env::temp_dir().join(format!("ek-data-news-{}.sock", std::process::id()));
    let listener = publish::bind(&path).unwrap();
    let known = picture("plan 1; database db; zone a; zone b; zone c; db at 40 term 1 serving 1");
    let (_mirror, mirror) = watch::channel(Arc::new(known));
    let (board_out, board) = watch::channel(Board::default());
    let (out, latest) = watch::channel(Arc::new(DataSnapshot::default()));
    let (link, _reports) = watch::channel(Link::<DataReport>::default());
    let data = Data { zone: zone("a"), address: ip("a"), mirror, board };
    let tasks = Tasks::new();
    tasks.spawn("snapshots", snapshots(data, out, tasks.stop()));
    tasks.spawn("link", publish::serve(listener, latest, link, Clock::real(), tasks.stop()));

    let mut front = BufReader::new(UnixStream::connect(&path).await.unwrap()).lines();
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let record = record(round + 2, &["serving", if round % 2 == 0 { "2" } else { "1" }]);
        let status = KeeperStatus { record: Some(record), revision: 41 + round, ..KeeperStatus::default() };
        let began = Instant::now();
        board_out.send_modify(|board| drop(board.insert(data_node("db-1"), Arc::new(status))));
        loop {
            let line = front.next_line().await.unwrap().unwrap();
            let snapshot: DataSnapshot = serde_json::from_str(&line).unwrap();
            if snapshot.databases.first().is_some_and(|one| one.term == round + 2) {
                assert_eq!(snapshot.revision, 41 + round);
                break;
            }
        }
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let middle = took[took.len() / 2];
    let _ = std::fs::remove_file(&path);
    assert_eq!(tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    crate::say::talk(format_args!(
        "from the keeper to the front's socket: {middle:?}, at most {:?}",
        took.last()
    ));
    assert!(middle < WITHIN, "{middle:?}");
}
