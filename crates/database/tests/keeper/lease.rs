//! Two nodes under a lease, with the watchdog as a process of its own.

use std::fs;
use std::time::{Duration, Instant};

use database::keeper::{ServerState, WATCHDOG};
use database::{LEASE_FENCE_MS, LEASE_RTO_MS, LEASE_STALL_MS, LEASE_TAKE_OVER_MS};
use model::{NodeId, Nodes, WarningKind};
use rustix::process::{Pid, Signal, kill_process};

use super::failover::{count, is, write};
use super::site::Site;

/// A server is ended within this after its last renewal, told here on a machine that is busy.
const ENDED_WITHIN: Duration = Duration::from_millis(LEASE_FENCE_MS + 2 * LEASE_STALL_MS);
/// What is stated holds for machines that have a processor free; here there may be none.
const BUSY_RTO: Duration = Duration::from_millis(2 * LEASE_RTO_MS);

/// Watchdogs of the server with this number.
fn watchdogs(server: i32) -> usize {
    watchdogs_of(server).len()
}

fn watchdogs_of(server: i32) -> Vec<i32> {
    let wanted = [WATCHDOG.to_owned(), server.to_string()];
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).skip(1).take(2);
        words.eq(wanted.iter().map(|word| word.as_bytes()))
    };
    pids.filter(is_one).collect()
}

fn kill_watchdogs(server: i32) {
    for pid in watchdogs_of(server) {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

/// Whether a process with this number runs.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z')
}

async fn end(site: Site, servers: &[i32]) {
    let nodes = site.others(NodeId(0));
    let last: Vec<i32> = nodes.iter().filter_map(|node| site.running(*node)).collect();
    site.end().await;
    for pid in servers.iter().chain(&last) {
        assert!(!runs(*pid), "server {pid} is left");
        assert_eq!(watchdogs(*pid), 0, "the watchdog of {pid} is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_primary_s_whole_node_dies_its_standby_takes_over_and_the_old_one_comes_back_as_that() {
    let Some(mut site) = Site::two("a dead node under a lease").await else { return };
    write(&site, 0, 20).await;
    let (first, record) = site.primary().unwrap();
    let server = site.server_pid(first);
    assert_eq!(record.current().unwrap().need, 0, "a commit waits for the only standby");
    assert_eq!(watchdogs(server), 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.kill(first);
    let killed = Instant::now();
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    assert!(killed.elapsed() >= Duration::from_millis(LEASE_FENCE_MS), "nobody waited for the lease");
    write(&site, 20, 21).await;
    println!("lease, killed node: first write after {:?}", killed.elapsed());
    assert!(killed.elapsed() < BUSY_RTO, "{:?}", killed.elapsed());
    let second = site.others(first)[0];
    site.until("a warning", |site| site.warnings(second) == [WarningKind::Unprotected]).await;
    is(count(&site).await, 21);
    site.start(first);
    site.calm().await;
    println!("lease, killed node: whole again after {:?}", killed.elapsed());
    assert_eq!(site.primary().unwrap().0, second, "the old primary took over without need");
    site.until("no warning", |site| site.warnings(second).is_empty()).await;
    is(count(&site).await, 21);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_ended_before_anybody_takes_over_and_acknowledges_nothing_when_it_wakes() {
    let Some(site) = Site::two("a frozen node under a lease").await else { return };
    write(&site, 0, 20).await;
    let (first, _) = site.primary().unwrap();
    let server = site.server_pid(first);
    let second = site.others(first)[0];
    let stuck = site.client(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A keeper that does nothing any more, and one that is gone, are the same to everybody else.
    let frozen = Instant::now();
    site.freeze_server(first);
    site.freeze_keeper(first);
    let ended = site.until("the server's end", |_| !runs(server)).await;
    println!("lease, frozen: ended after {ended:?}");
    assert!(ended < ENDED_WITHIN, "{ended:?}");
    assert_eq!(
        site.status(second).record.as_ref().unwrap().primary(),
        Some(first),
        "taken over before its end"
    );
    let takes_over = |site: &Site| site.status(second).server == ServerState::Open;
    site.until("another primary", takes_over).await;
    write(&site, 20, 21).await;
    println!("lease, frozen: first write after {:?}", frozen.elapsed());
    assert!(frozen.elapsed() < BUSY_RTO, "{:?}", frozen.elapsed());
    site.thaw_keeper(first);
    let late =
        tokio::time::timeout(Duration::from_secs(2), stuck.execute("INSERT INTO t VALUES (99)", &[])).await;
    assert!(!matches!(late, Ok(Ok(_))), "the old primary acknowledged");
    site.calm().await;
    assert_eq!(site.primary().unwrap().0, second);
    is(count(&site).await, 21);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_for_longer_than_its_lease_a_primary_ends_and_serves_again_when_it_is_back() {
    let Some(site) = Site::two("a lease without a store").await else { return };
    write(&site, 0, 20).await;
    let (first, _) = site.primary().unwrap();
    let server = site.server_pid(first);
    let client = site.client(first).await.unwrap();
    site.store_away(true);
    // Under the lease it has, it goes on.
    client.execute("INSERT INTO t VALUES (20)", &[]).await.unwrap();
    let ended = site.until("the server's end", |_| !runs(server)).await;
    println!("lease, no store: ended after {ended:?}");
    assert!(ended < ENDED_WITHIN, "{ended:?}");
    tokio::time::sleep(Duration::from_millis(LEASE_TAKE_OVER_MS + 1_000)).await;
    for node in [1, 2].map(NodeId) {
        assert!(site.client(node).await.is_err(), "{node} lets clients in without a lease");
    }
    site.store_away(false);
    let back = Instant::now();
    write(&site, 21, 22).await;
    println!("lease, no store: first write {:?} after it was back", back.elapsed());
    is(count(&site).await, 22);
    site.calm().await;
    is(count(&site).await, 22);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_standby_a_primary_goes_on_says_so_and_is_waited_for_when_it_dies_too() {
    let Some(mut site) = Site::two("a lease without a standby").await else { return };
    write(&site, 0, 5).await;
    let (first, _) = site.primary().unwrap();
    let second = site.others(first)[0];
    site.kill(second);
    let died = Instant::now();
    write(&site, 5, 10).await;
    site.until("a warning", |site| site.warnings(first) == [WarningKind::Unprotected]).await;
    println!("lease, no standby: told after {:?}", died.elapsed());
    assert!(died.elapsed() < Duration::from_secs(5), "told after {:?}", died.elapsed());
    let alone = |site: &Site| {
        let (_, record) = site.primary().unwrap();
        record.current().is_some_and(|quorum| quorum.members.is_empty())
    };
    site.until("nobody stands in", alone).await;
    write(&site, 10, 15).await;
    let server = site.server_pid(first);
    site.kill(first);
    site.start(second);
    // It lacks what the other one acknowledged alone, and knows it.
    tokio::time::sleep(Duration::from_millis(LEASE_TAKE_OVER_MS + 2_000)).await;
    assert_ne!(site.status(second).server, ServerState::Open, "one that lacks writes took over");
    site.start(first);
    site.calm().await;
    is(count(&site).await, 15);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_crashes_leaves_its_watchdog_and_the_next_one_goes_on_under_the_same_lease() {
    let Some(mut site) = Site::two("a crashed keeper under a lease").await else { return };
    write(&site, 0, 5).await;
    let (first, before) = site.primary().unwrap();
    let server = site.server_pid(first);
    let client = site.client(first).await.unwrap();
    site.crash_keeper(first);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(watchdogs(server), 1, "nobody would end it");
    site.start(first);
    // Longer than the lease that the first one had.
    tokio::time::sleep(Duration::from_millis(LEASE_FENCE_MS + 500)).await;
    client.execute("INSERT INTO t VALUES (5)", &[]).await.unwrap();
    assert_eq!(watchdogs(server), 1);
    site.calm().await;
    assert_eq!(site.server_pid(first), server, "the server was started again");
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    is(count(&site).await, 6);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_lost_its_keeper_and_its_watchdog_is_ended_by_the_next_keeper() {
    let Some(mut site) = Site::two("nobody watches").await else { return };
    write(&site, 0, 5).await;
    let (first, _) = site.primary().unwrap();
    let server = site.server_pid(first);
    site.crash_keeper(first);
    kill_watchdogs(server);
    assert!(runs(server));
    site.start(first);
    site.until("its end", |_| !runs(server)).await;
    site.calm().await;
    is(count(&site).await, 5);
    end(site, &[server]).await;
}

/// Another may have taken over meanwhile, whatever the plan says now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn such_a_server_is_ended_also_by_a_keeper_that_goes_by_a_quorum() {
    let Some(mut site) = Site::two("nobody watches, and a quorum").await else { return };
    write(&site, 0, 5).await;
    let (first, _) = site.primary().unwrap();
    let server = site.server_pid(first);
    site.crash_keeper(first);
    kill_watchdogs(server);
    assert!(runs(server));
    site.grow();
    site.until("its end", |_| !runs(server)).await;
    site.calm().await;
    is(count(&site).await, 5);
    end(site, &[server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_standby_a_primary_goes_on_under_a_quorum_and_is_watched_no_more() {
    let Some(mut site) = Site::two("from a lease to a quorum").await else { return };
    write(&site, 0, 5).await;
    let (first, before) = site.primary().unwrap();
    let server = site.server_pid(first);
    let client = site.client(first).await.unwrap();
    site.grow();
    client.execute("INSERT INTO t VALUES (5)", &[]).await.unwrap();
    site.until("nobody watches", |_| watchdogs(server) == 0).await;
    site.calm().await;
    let (now, record) = site.primary().unwrap();
    assert_eq!((now, record.term), (first, before.term), "a needless election");
    assert_eq!(record.current().unwrap().need, 1);
    client.execute("INSERT INTO t VALUES (6)", &[]).await.unwrap();
    is(count(&site).await, 7);
    site.kill(first);
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    is(count(&site).await, 7);
    end(site, &[server]).await;
}

/// From a quorum back to a lease. What the keepers' files and the record tell of the node that left names no place any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_second_standby_a_database_goes_on_under_a_lease_whichever_node_left() {
    for primary_leaves in [false, true] {
        let Some(mut site) = Site::three("from a quorum to a lease").await else { return };
        write(&site, 0, 5).await;
        let (first, _) = site.primary().unwrap();
        let other = site.others(first)[0];
        let leaves = if primary_leaves { first } else { other };
        site.shrink(leaves).await;
        let alone = |site: &Site| {
            site.primary().is_some_and(|(now, record)| {
                let quorum = *record.current().unwrap();
                let standby = site.others(now)[0];
                now != leaves && quorum.need == 0 && quorum.members == Nodes::NONE.with(standby)
            })
        };
        site.until("a lease, and a standby that may stand in", alone).await;
        site.calm().await;
        write(&site, 5, 8).await;
        is(count(&site).await, 8);
        let (now, _) = site.primary().unwrap();
        assert_eq!(now == first, !primary_leaves);
        let unit = format!("_{leaves}_t");
        let slots = || fs::read_dir(site.folder(now).join("data/pg_replslot")).unwrap().flatten();
        let kept = |slot: fs::DirEntry| slot.file_name().to_string_lossy().contains(&unit);
        site.until("no slot of who left", |_| !slots().any(kept)).await;
        let server = site.server_pid(now);
        end(site, &[server]).await;
    }
}
