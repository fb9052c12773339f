//! No standby is left: what happens to writes, and who is told.

use std::time::{Duration, Instant};

use model::{WarningKind, WhenAlone};

use super::failover::{count, is, write};
use super::site::Site;

/// Whoever runs it must know within this.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_last_standby_dies_writes_wait_and_somebody_is_told_within_five_seconds() {
    let Some(mut site) = Site::three("the last standby").await else { return };
    write(&site, 0, 5).await;
    let (primary, _) = site.primary().unwrap();
    assert_eq!(site.warnings(primary), []);
    let standbys = site.others(primary);
    let client = site.client(primary).await.unwrap();
    site.kill(standbys[0]);
    site.kill(standbys[1]);
    let died = Instant::now();
    site.until("a warning", |site| site.warnings(primary) == [WarningKind::NoStandby]).await;
    println!("no standby: told after {:?}", died.elapsed());
    assert!(died.elapsed() < TOLD_WITHIN, "told after {:?}", died.elapsed());
    let told = site.status(primary).warnings[0].clone();
    assert_eq!(told.database.as_str(), "db");
    assert!(told.hint.contains("`db-2`") && told.hint.contains("`db-3`"), "{told:?}");
    let insert = client.execute("INSERT INTO t VALUES (50)", &[]);
    let waits = tokio::time::timeout(Duration::from_secs(3), insert).await;
    assert!(waits.is_err(), "acknowledged with nobody else having it: {waits:?}");
    // A keeper that was away tells it again, and the one that comes back ends it.
    site.crash_keeper(primary);
    site.start(primary);
    site.until("the warning again", |site| site.warnings(primary) == [WarningKind::NoStandby]).await;
    site.start(standbys[0]);
    write(&site, 6, 7).await;
    site.until("no warning", |site| site.warnings(primary).is_empty()).await;
    site.start(standbys[1]);
    site.calm().await;
    assert_eq!(site.primary().unwrap().0, primary, "a needless election");
    is(count(&site).await, 7);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_degrade_writes_go_on_alone_the_loss_is_stated_and_the_quorum_comes_back() {
    let Some(mut site) = Site::three_that("degrade", WhenAlone::Degrade).await else { return };
    write(&site, 0, 5).await;
    let (primary, record) = site.primary().unwrap();
    assert_eq!(record.current().unwrap().need, 1);
    let standbys = site.others(primary);
    site.kill(standbys[0]);
    site.kill(standbys[1]);
    let died = Instant::now();
    write(&site, 5, 6).await;
    println!("degrade: first write alone after {:?}", died.elapsed());
    site.until("a warning", |site| site.warnings(primary) == [WarningKind::Unprotected]).await;
    assert!(died.elapsed() < TOLD_WITHIN, "told after {:?}", died.elapsed());
    write(&site, 6, 10).await;
    site.until("the loss", |site| site.status(primary).only_here_bytes.is_some_and(|bytes| bytes > 0)).await;
    assert_eq!(site.primary().unwrap().1.current().unwrap().need, 0);
    site.start(standbys[0]);
    site.until("a standby that counts", |site| {
        let (_, record) = site.primary().unwrap();
        record.current().is_some_and(|quorum| quorum.need == 1 && quorum.members.has(standbys[0]))
    })
    .await;
    site.until("no warning", |site| site.warnings(primary).is_empty()).await;
    assert_eq!(site.status(primary).only_here_bytes, None);
    // Two disks again: the other node has all of it.
    site.kill(primary);
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != primary)).await;
    is(count(&site).await, 10);
    site.start(primary);
    site.start(standbys[1]);
    site.calm().await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_alone_is_not_lost_when_an_older_standby_comes_back_first() {
    let Some(mut site) = Site::three_that("degrade, then dead", WhenAlone::Degrade).await else { return };
    write(&site, 0, 5).await;
    let (primary, _) = site.primary().unwrap();
    let standbys = site.others(primary);
    site.kill(standbys[0]);
    site.kill(standbys[1]);
    write(&site, 5, 10).await;
    site.kill(primary);
    site.start(standbys[0]);
    site.start(standbys[1]);
    // Both agree that it is gone, and both know that they lack what it acknowledged.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(site.primary().is_none_or(|(now, _)| now == primary), "one that lacks writes took over");
    site.start(primary);
    site.calm().await;
    is(count(&site).await, 10);
    site.end().await;
}
