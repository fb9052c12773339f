//! A keeper whose peer has no keeper left, only a real PostgreSQL: alive, frozen, alive again, killed.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

#[allow(dead_code, reason = "shared with the tests of the data front")]
#[path = "../path/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "shared with the tests of the data front")]
#[path = "../path/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use database::Peer;
use database::peers::{PeerAddress, Peers, PeersOptions, start};
use model::NodeId;
use rustix::process::Signal;
use support::{PATIENCE, free_address};
use world::{Clock, Tasks};

const B: NodeId = NodeId(2);
/// Longer than a question to a server may take, and the pause before the next.
const WINDOW: Duration = Duration::from_millis(1_300);

async fn until(peers: &mut Peers, what: &str, wish: impl Fn(&Peer) -> bool) -> Duration {
    let began = Instant::now();
    while !wish(&peers.seen()[&B]) {
        assert!(began.elapsed() < PATIENCE, "never {what}: {:?}", peers.seen());
        let _ = tokio::time::timeout(Duration::from_millis(5), peers.changed()).await;
    }
    began.elapsed()
}

async fn heard_again(peers: &mut Peers, times: usize) {
    for _ in 0..times {
        let last = peers.seen()[&B].server_heard;
        until(peers, "heard again", |peer| peer.server_heard > last).await;
    }
}

#[tokio::test]
async fn a_postgresql_without_a_keeper_is_heard_frozen_it_is_silent_and_killed_it_is_refused() {
    if !postgres::there("a_postgresql_without_a_keeper") {
        return;
    }
    let server = postgres::Server::start("peers").await;
    let at = PeerAddress { keeper: free_address(), server: server.address };
    let others = BTreeMap::from([(B, at)]);
    let options = PeersOptions { me: NodeId(1), listen: free_address(), others, key: vec![7; 32] };
    let tasks = Tasks::new();
    let mut peers = start(options, &tasks.spawner(), Clock::real()).unwrap();
    heard_again(&mut peers, 5).await;
    server.signal(Signal::STOP);
    // What it answered before may still arrive.
    let frozen = Clock::real().now();
    tokio::time::sleep(WINDOW).await;
    let peer = peers.seen()[&B];
    assert!(peer.server_heard.unwrap().ms_since(frozen) < 100, "a frozen postmaster was heard: {peer:?}");
    assert!(!peer.refused);
    server.signal(Signal::CONT);
    heard_again(&mut peers, 3).await;
    let killed = Instant::now();
    drop(server);
    let cleanup = killed.elapsed();
    let refused = until(&mut peers, "refused", |peer| peer.refused).await;
    eprintln!("refused {refused:?} after the kill, which took {cleanup:?}");
    assert_eq!(peers.seen()[&B].heard, None);
}
