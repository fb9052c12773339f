//! Room on the disks: what is kept, what is given up, and what happens when nothing can be written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use database::keeper::{Note, ServerState};
use model::{NodeId, ReignPhase};
use rustix::process::Signal;

use super::failover::{count, is, write};
use super::site::{PATIENCE, Site};

/// Switches, one as soon as the one before is over.
const SWITCHES: usize = 10;
/// Segments of log that a node may have after them: what is kept for standbys, twice, and those in use.
const SEGMENTS: usize = 18;
/// Slots that a node may have at any time: of its own reign, of the newest election, and of one before.
const SLOTS: usize = 6;

fn standbys(site: &Site) -> Vec<NodeId> {
    let (primary, _) = site.primary().unwrap();
    [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != primary).collect()
}

/// Each switch begins a timeline with a file of its own, and a rewind copies all of them: it took 14 s after 78.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quick_switches_do_not_pile_up_log() {
    let Some(site) = Site::three("log of many switches").await else { return };
    let slots = |site: &Site, node| site.slots(node, None);
    let mut most = Vec::new();
    for _ in 0..SWITCHES {
        let to = standbys(&site)[0];
        site.hand_over(to).await;
        site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == to)).await;
        site.calm().await;
        most.push([1, 2, 3].map(|node| site.segments(NodeId(node))).into_iter().max().unwrap());
        let held = [1, 2, 3].map(|node| slots(&site, NodeId(node)));
        assert!(held.iter().all(|held| *held <= SLOTS), "slots of the nodes: {held:?}");
    }
    // The node that has won none of these elections, and made slots ahead for each.
    let spared = standbys(&site)[1];
    site.hand_over(spared).await;
    site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == spared)).await;
    site.calm().await;
    let bounded = |site: &Site| (1..=3).all(|node| site.segments(NodeId(node)) <= SEGMENTS);
    site.until("little log on every node", bounded).await;
    println!("segments on the node that has most of them, after each switch: {most:?}");
    // What a standby made for a reign that another node won holds log for nobody.
    let (primary, _) = site.primary().unwrap();
    let used = |site: &Site| {
        slots(site, primary) == 2 && standbys(site).into_iter().all(|standby| slots(site, standby) == 0)
    };
    site.until("no slots that nobody uses", used).await;
    site.end().await;
}

/// The keepers of a zone share a thread with its agent. A pipe that nobody reads stands for the disk.
#[tokio::test]
async fn a_keeper_that_waits_for_its_disk_holds_up_nobody_else() {
    const HANGS: Duration = Duration::from_secs(60);
    const LOOKS: Duration = Duration::from_millis(2_500);
    let Some(mut site) = Site::three("a keeper that waits for its disk").await else { return };
    write(&site, 0, 5).await;
    let (primary, heir) = (site.primary().unwrap().0, standbys(&site)[0]);
    let pipe = site.folder(primary).join("keeper.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reads = std::thread::spawn(move || {
        // Until the refusals below are told.
        std::thread::park_timeout(HANGS);
        // A pipe cannot be synced: the write fails, and the next one is to a file again.
        let reader = fs::File::open(&pipe);
        fs::remove_file(&pipe).unwrap();
        std::thread::park_timeout(Duration::from_secs(1));
        drop(reader);
    });
    let began = Instant::now();
    site.hand_over(heir).await;
    let mut longest = Duration::ZERO;
    while began.elapsed() < LOOKS {
        let before = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        longest = longest.max(before.elapsed());
    }
    println!("MEASURED the thread of a keeper whose disk hangs stood still for {longest:?} at most");
    assert!(longest < LOOKS, "{longest:?}");
    assert_eq!(site.primary().unwrap().0, primary, "it did not wait");
    // One that is let go meanwhile: what it was about to write is not read before, nor written over.
    site.crash_keeper(primary);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let refused = site.try_start(primary).unwrap_err().to_string();
        assert!(refused.contains("another keeper"), "{refused}");
    }
    reads.thread().unpark();
    tokio::task::spawn_blocking(|| reads.join().unwrap()).await.unwrap();
    site.start(primary);
    let wanted = |site: &Site| match site.primary().map(|(_, record)| record.phase) {
        Some(ReignPhase::Serving { handover, .. }) => handover.is_some(),
        _ => true,
    };
    site.until("the switch is over, whatever came of it", |site| !wanted(site)).await;
    site.calm().await;
    is(count(&site).await, 5);
    site.end().await;
}

/// A promise is what others go by: one that is not on the disk would be broken by the next crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_cannot_be_written_is_not_told() {
    let Some(site) = Site::three("a keeper that cannot write").await else { return };
    let (primary, before) = site.primary().unwrap();
    let hindered = standbys(&site)[0];
    // Where the keeper drafts its file: it fails as it does on a full disk, for root too.
    let draft = site.folder(hindered).join("keeper.new");
    fs::create_dir(&draft).unwrap();
    site.signal_server(primary, Signal::KILL);
    site.until("its complaint", |site| {
        let status = site.status(hindered);
        let newer = status.record.as_ref().is_some_and(|record| record.term > before.term);
        newer && status.detail.contains("keeper.json` cannot be written")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(site.status(hindered).promised, before.term);
    assert_eq!(site.doc(hindered).await.promised, before.term, "it told what it had not written");
    // By itself, once it can.
    fs::remove_dir(&draft).unwrap();
    site.until("another primary", |site| site.primary().is_some_and(|(_, now)| now.term > before.term)).await;
    site.calm().await;
    assert_eq!(site.status(hindered).detail, "");
    site.end().await;
}

/// Its slot was given up, or it was away for longer than log is kept without one. It would ask for it for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_whose_log_is_gone_at_the_primary_is_copied_anew() {
    let Some(mut site) = Site::three("a stranded standby").await else { return };
    let (primary, record) = site.primary().unwrap();
    let stranded = standbys(&site)[0];
    let client = site.client(primary).await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    site.stop(stranded).await;
    site.until("a quorum without it", |site| {
        site.primary().is_some_and(|(_, record)| !record.current().unwrap().members.has(stranded))
    })
    .await;
    let slot = format!("db_{stranded}_t{}", record.term);
    // More than is kept without a slot.
    for id in 0..24 {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
        site.superuser(primary, "SELECT pg_switch_wal()").await;
    }
    let forget = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_flush_lsn())");
    site.superuser(primary, &forget).await;
    site.superuser(primary, "CHECKPOINT").await;
    site.start(stranded);
    site.calm().await;
    assert_eq!(site.primary().unwrap().1.term, record.term, "nobody else had to notice");
    let behind = |site: &Site| site.status(primary).standbys.iter().any(|standby| standby.lag_bytes > 0);
    site.until("everybody to have everything", |site| !behind(site)).await;
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 24);
    site.end().await;
}

/// Longer than somebody is let be away without being told of.
const AWAY: Duration = Duration::from_secs(60);

/// A disk is not filled for the sake of a standby that is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_was_given_up_is_told_of_and_made_anew() {
    let Some(mut site) = Site::three("a slot that is given up").await else { return };
    write(&site, 0, 5).await;
    let (primary, record) = site.primary().unwrap();
    let away = standbys(&site)[0];
    let slot = format!("db_{away}_t{}", record.term);
    let copy = |site: &Site| fs::metadata(site.folder(away).join("data")).unwrap().ino();
    let before = copy(&site);
    site.stop(away).await;
    let left = Instant::now();
    site.until("a quorum without it", |site| {
        site.primary().is_some_and(|(_, record)| !record.current().unwrap().members.has(away))
    })
    .await;
    tokio::time::sleep(AWAY.saturating_sub(left.elapsed())).await;
    let is_away = |note: &Note| matches!(note, Note::SlotAway { slot: name, .. } if *name == slot);
    site.until("it is told that nobody comes", |site| site.status(primary).notes.iter().any(is_away)).await;

    // The keeper writes its own number with the next change of a setting, of which there is none now.
    site.superuser(primary, "ALTER SYSTEM SET max_slot_wal_keep_size = '8MB'").await;
    site.superuser(primary, "SELECT pg_reload_conf()").await;
    let client = site.client(primary).await.unwrap();
    for id in 5..30 {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
        site.superuser(primary, "SELECT pg_switch_wal()").await;
    }
    site.superuser(primary, "CHECKPOINT").await;
    let state = format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(site.ask(primary, &state).await, "lost");
    let lost = Note::SlotLost { slot: slot.clone() };
    let told = |site: &Site| site.status(primary).notes.contains(&lost);
    site.until("it is told that it is lost", |site| {
        told(site) && !site.status(primary).notes.iter().any(is_away)
    })
    .await;
    // Nobody is there for whom it would be made anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(site.ask(primary, &state).await, "lost");

    site.start(away);
    site.calm().await;
    assert_ne!(copy(&site), before, "it cannot have gone on with the data it had");
    assert_ne!(site.ask(primary, &state).await, "lost");
    site.until("nothing to tell of it", |site| {
        !told(site) && !site.status(primary).notes.iter().any(is_away)
    })
    .await;
    assert_eq!(site.primary().unwrap().1.term, record.term, "nobody else had to notice");
    is(count(&site).await, 30);
    site.end().await;
}

/// It was taken from a primary that had come further than the log that it has, and that primary is gone: PostgreSQL lets
/// nobody in and waits for ever. Such data is nothing, and is copied anew as soon as there is a primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_can_never_be_whole_is_copied_anew() {
    let Some(mut site) = Site::three("a standby without the end of its log").await else { return };
    let (primary, _) = site.primary().unwrap();
    let lacking = standbys(&site)[1];
    let fill = "CREATE TABLE fill AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    site.client_soon().await.batch_execute(fill).await.unwrap();
    site.calm().await;
    // The table waited for one standby of the two.
    let end = site.ask(primary, "SELECT pg_current_wal_lsn()::text").await;
    let came = format!("SELECT (pg_last_wal_replay_lsn() >= '{end}')::text");
    let began = Instant::now();
    while site.ask(lacking, &came).await != "true" {
        assert!(began.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A standby that stops in order writes down how far it has come. Then the last of its log goes.
    site.stop(lacking).await;
    let folder = site.folder(lacking).join("data/pg_wal");
    let files = fs::read_dir(&folder).unwrap().flatten().map(|file| file.path());
    let mut segments: Vec<_> = files.filter(|path| path.file_name().unwrap().len() == 24).collect();
    segments.sort();
    // In the middle of what was written to the table. Behind the primary's current one lie those that are made ahead.
    let current = site.ask(primary, "SELECT pg_walfile_name(pg_current_wal_lsn() - 8 * 1024 * 1024)").await;
    for path in segments.iter().filter(|path| path.file_name().unwrap().to_str().unwrap() >= current.as_str())
    {
        fs::remove_file(path).unwrap();
    }
    site.kill(primary);
    site.start(lacking);
    let empty = |site: &Site| site.status(lacking).server == ServerState::Making;
    site.until("its data counts as nothing", empty).await;
    site.start(primary);
    let wanted = |site: &Site| match site.primary().map(|(_, record)| record.phase) {
        Some(ReignPhase::Serving { handover, .. }) => handover.is_some(),
        _ => true,
    };
    site.until("the switch is over, whatever came of it", |site| !wanted(site)).await;
    site.calm().await;
    site.end().await;
}

/// Longer than keepers take a disk for one that is busy.
const HANGS_WITHIN: Duration = Duration::from_secs(15);

/// Everything else about it answers: the server is asked for what is in memory, and the beats go out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_disk_hangs_gives_up_and_comes_back() {
    let Some(site) = Site::three("a disk that hangs").await else { return };
    write(&site, 0, 5).await;
    let (primary, before) = site.primary().unwrap();
    // Who opens a pipe for writing waits until somebody reads, as long as it takes.
    let probe = site.folder(primary).join("disk.probe");
    assert!(probe.exists(), "nobody tries the disk");
    fs::remove_file(&probe).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &probe, rustix::fs::Mode::RWXU).unwrap();
    let hung = Instant::now();
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != primary)).await;
    println!("MEASURED a disk that hangs: another primary after {:?}", hung.elapsed());
    assert!(hung.elapsed() < HANGS_WITHIN, "another primary after {:?}", hung.elapsed());
    write(&site, 5, 10).await;
    let (_, after) = site.primary().unwrap();
    assert_eq!(after.term, before.term + 1);
    let status = site.status(primary);
    assert!(status.notes.iter().any(|note| matches!(note, Note::DiskHangs { .. })), "{status:?}");
    assert_eq!(status.promised, before.term, "it wrote to a disk that hangs");
    let reader = std::thread::spawn({
        let probe = probe.clone();
        move || fs::read(probe)
    });
    site.until("no note", |site| site.status(primary).notes.is_empty()).await;
    fs::remove_file(&probe).unwrap();
    reader.join().unwrap().unwrap();
    site.calm().await;
    is(count(&site).await, 10);
    site.end().await;
}
