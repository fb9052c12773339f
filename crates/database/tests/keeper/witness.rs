//! Two nodes with data and a witness, which holds the log alone.

use std::time::{Duration, Instant};

use database::keeper::ServerState;
use model::{Holding, NodeId};
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
    site.end().await;
}
