//! No standby is left: what happens to writes, and who is told.

use std::time::{Duration, Instant};

use database::keeper::Note;
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

/// Their connections look as ever; PostgreSQL gives one up after 5 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_both_standbys_stand_still_somebody_is_told_within_five_seconds_too() {
    let Some(site) = Site::three("standbys that stand still").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    let standbys = site.others(primary);
    // A keeper that itself stood still counts anew, so one try of three may be late on a machine that is busy.
    let mut told = Vec::new();
    while told.len() < 3 && !told.iter().any(|after| *after < TOLD_WITHIN) {
        standbys.iter().for_each(|standby| site.freeze_server(*standby));
        let froze = Instant::now();
        site.until("a warning", |site| site.warnings(primary) == [WarningKind::NoStandby]).await;
        told.push(froze.elapsed());
        standbys.iter().for_each(|standby| site.thaw_server(*standby));
        site.until("no warning", |site| site.warnings(primary).is_empty()).await;
    }
    println!("MEASURED standbys frozen: told after {told:?}");
    assert!(told.iter().any(|after| *after < TOLD_WITHIN), "told after {told:?}");
    write(&site, 5, 8).await;
    site.calm().await;
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");
    is(count(&site).await, 8);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_degrade_writes_go_on_when_both_standbys_stand_still() {
    let Some(site) = Site::three_that("degrade, frozen", WhenAlone::Degrade).await else { return };
    write(&site, 0, 5).await;
    let (primary, _) = site.primary().unwrap();
    let standbys = site.others(primary);
    standbys.iter().for_each(|standby| site.freeze_server(*standby));
    let froze = Instant::now();
    write(&site, 5, 6).await;
    println!("MEASURED degrade, standbys frozen: first write alone after {:?}", froze.elapsed());
    assert!(froze.elapsed() < TOLD_WITHIN + Duration::from_secs(2), "after {:?}", froze.elapsed());
    standbys.iter().for_each(|standby| site.thaw_server(*standby));
    site.calm().await;
    is(count(&site).await, 6);
    site.end().await;
}

/// Somebody with all rights sets, behind the keeper's back, that no commit waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sets_that_nobody_is_awaited_is_put_right_and_who_sets_it_for_a_role_is_told_of() {
    let Some(site) = Site::three("settings behind the back").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    let client = site.client(primary).await.unwrap();
    site.superuser(primary, "ALTER SYSTEM SET synchronous_standby_names = ''").await;
    site.superuser(primary, "SELECT pg_reload_conf()").await;
    let set = Instant::now();
    // The file is taken away once a session of the keeper's has gone by it, and then the quorum is confirmed anew: only
    // then every process goes by it.
    let read = |site: &Site, file: &str| std::fs::read_to_string(site.folder(primary).join(file)).unwrap();
    site.until("the setting is gone", |site| {
        !read(site, "data/postgresql.auto.conf").contains("synchronous_standby_names")
    })
    .await;
    site.until("commits wait again", |site| {
        let own: serde_json::Value = serde_json::from_str(&read(site, "keeper.json")).unwrap();
        own["replaced"].as_array().unwrap().is_empty()
    })
    .await;
    assert!(set.elapsed() < TOLD_WITHIN, "put right after {:?}", set.elapsed());
    println!("MEASURED settings of somebody else: put right after {:?}", set.elapsed());
    let standbys = site.others(primary);
    standbys.iter().for_each(|standby| site.freeze_server(*standby));
    let insert = tokio::spawn(async move { client.execute("INSERT INTO t VALUES (5)", &[]).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!insert.is_finished(), "acknowledged with nobody else having it");
    standbys.iter().for_each(|standby| site.thaw_server(*standby));
    insert.await.unwrap().unwrap();
    site.calm().await;
    assert_eq!(site.primary().unwrap().1.term, before.term, "a needless election");

    let told =
        |site: &Site| site.status(primary).notes.iter().any(|note| matches!(note, Note::Lowered { .. }));
    assert!(!told(&site));
    site.superuser(primary, "ALTER ROLE shop SET synchronous_commit = off").await;
    site.until("a note", told).await;
    let note = site.status(primary).notes[0].to_string();
    assert!(note.contains("role `shop`") && note.contains("`off`"), "{note}");
    site.superuser(primary, "ALTER ROLE shop RESET synchronous_commit").await;
    site.until("no note", |site| !told(site)).await;
    is(count(&site).await, 6);
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
