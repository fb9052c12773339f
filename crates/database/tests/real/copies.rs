//! Copies of data: base backups, rewinds, and what is left when they are interrupted.

use std::time::{Duration, Instant};

use database::instance::{Acks, Class, DbState, Half, InstanceError, Rewound, Role, Settings};
use engine::ProcessId;
use rustix::process::Signal;

use crate::rig::*;

/// Kills `program` as soon as it works on the folder of `node`.
async fn kill_program(node: &Node, program: &str) {
    let folder = node.options().dir.to_str().unwrap().to_owned();
    let begin = Instant::now();
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            let is_it = line.split('\0').next().is_some_and(|word| word.ends_with(&format!("/{program}")));
            if is_it && line.contains(&folder) {
                ProcessId::of(pid).unwrap().signal(Signal::KILL);
                return;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "{program} never ran");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn standby_of(node: &Node, name: &str) -> Settings {
    Settings { role: Role::Standby { upstream: Some(node.upstream(name)) }, acks: Acks::Never, open: true }
}

/// `a` was the primary and has a commit that nobody else has; `b` is promoted in its place.
async fn forked(place: &std::sync::Arc<Place>) -> (Node, Node) {
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(any_one(&["b-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();
    b.revoke(&run_b).await;
    let (insert, _) = pending(&a, 2).await;
    a.kill().await.unwrap();
    assert!(insert.await.unwrap().is_err());
    b.change(&run_b, &primary(Acks::NotAwaited, true));
    b.until_acks(&Acks::NotAwaited).await;
    b.promote(PATIENCE).await.unwrap();
    b.checkpoint(PATIENCE).await.unwrap();
    order(&b.client().await, 3).await.unwrap();
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_with_commits_of_its_own_is_rewound_and_follows() {
    let Some(place) = Place::new("rewind") else { return };
    let (a, b) = forked(&place).await;
    let control = a.control().await.unwrap();
    assert_eq!((control.state, control.standby), (DbState::InProduction, false));
    let begin = Instant::now();
    assert_eq!(a.rewind(&b.upstream("a-2"), PATIENCE).await.unwrap(), Rewound::Done);
    println!("MEASURED rewind after a crash: {:?}", begin.elapsed());
    let run_a = a.follow(&b, "a-2").await;
    a.until("it has all", |_| a.orders() == "1,3").await;
    stop_fast(&run_a).await;
    let control = a.control().await.unwrap();
    assert_eq!((control.state, control.standby), (DbState::ShutDownInRecovery, true));
    assert!(!a.wal_end().await.unwrap().exact);
    // A source that cannot be reached has touched nothing.
    b.kill().await.unwrap();
    let error = a.rewind(&b.upstream("a-2"), PATIENCE).await.unwrap_err();
    assert_eq!((error.class(), a.half().unwrap()), (Class::Transient, None), "{error:?}");
    a.start().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_made_never_starts_and_a_clone_mends_it() {
    let Some(place) = Place::new("half made") else { return };
    let (a, b) = forked(&place).await;
    let source = b.upstream("a-2");
    let (rewound, ()) = tokio::join!(a.rewind(&source, PATIENCE), kill_program(&a, "pg_rewind"));
    assert!(matches!(rewound.unwrap(), Rewound::NeedsClone(_)));
    assert_eq!(a.half().unwrap(), Some(Half::Rewind));
    let refused = a.start().unwrap_err();
    assert!(matches!(refused, InstanceError::HalfMade { half: Half::Rewind, .. }), "{refused:?}");
    assert!(matches!(a.rewind(&source, PATIENCE).await, Err(InstanceError::HalfMade { .. })));
    // What pg_rewind had started may still be at work.
    a.kill().await.unwrap();

    a.configure(&standby_of(&b, "a-2")).unwrap();
    let (cloned, ()) = tokio::join!(a.clone_from(&source, true, PATIENCE), kill_program(&a, "pg_basebackup"));
    cloned.unwrap_err();
    assert_eq!(a.half().unwrap(), Some(Half::Clone));
    assert!(matches!(a.start(), Err(InstanceError::HalfMade { half: Half::Clone, .. })));
    a.kill().await.unwrap();

    let begin = Instant::now();
    a.clone_from(&source, true, PATIENCE).await.unwrap();
    println!("MEASURED clone: {:?}", begin.elapsed());
    assert_eq!(a.half().unwrap(), None);
    assert!(a.options().dir.join("data.old/PG_VERSION").exists(), "the old data is kept for salvage");
    // As it is after a crash in the midst of its removal.
    a.clear_replaced().await.unwrap();
    assert!(!a.options().dir.join("data.old").exists(), "it stays for ever");
    assert!(!a.options().dir.join("conf/passfile.tool").exists());
    let _a = a.follow(&b, "a-2").await;
    a.until("it has all", |_| a.orders() == "1,3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_cluster_is_refused_and_the_own_data_stays() {
    let Some(place) = Place::new("another cluster") else { return };
    let (a, b) = (place.node("a"), place.empty("b"));
    b.init().await.unwrap();
    assert!(matches!(b.init().await, Err(InstanceError::Unable { .. })));
    let run_a = a.start_primary(Acks::NotAwaited).await;
    b.start_primary(Acks::NotAwaited).await;
    stop_fast(&run_a).await;
    let before = a.control().await.unwrap();
    assert!(before.checksums && before.clean());
    assert!(a.wal_end().await.unwrap().exact);
    let error = a.clone_from(&b.upstream("a-1"), false, PATIENCE).await.unwrap_err();
    assert!(matches!(error, InstanceError::Foreign { .. }), "{error:?}");
    assert_eq!(a.control().await.unwrap().system_identifier, before.system_identifier);
    // Put there by hand it does not start either.
    let c = place.empty("c");
    copy(a.data(), c.data());
    c.configure(&primary(Acks::NotAwaited, true)).unwrap();
    let run_c = c.start().unwrap();
    c.until("it runs", |_| true).await;
    stop_fast(&run_c).await;
    std::fs::remove_dir_all(c.data()).unwrap();
    b.kill().await.unwrap();
    // Nor is a log read in pieces that it does not have.
    let first = std::fs::read_dir(b.data().join("pg_wal"))
        .unwrap()
        .flatten()
        .find(|file| file.file_name().len() == 24);
    let first = first.unwrap().path();
    let bytes = std::fs::metadata(&first).unwrap().len();
    let set_len =
        |bytes| std::fs::OpenOptions::new().write(true).open(&first).unwrap().set_len(bytes).unwrap();
    set_len(16 << 20);
    let refused = b.start().unwrap_err().to_string();
    assert!(refused.contains("in segments of 16777216 bytes instead of 4194304"), "{refused}");
    set_len(bytes);
    copy(b.data(), c.data());
    assert!(matches!(c.start(), Err(InstanceError::Foreign { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_standby_must_stop_cleanly_before_it_is_rewound() {
    let Some(place) = Place::new("crashed standby") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(Acks::NotAwaited).await;
    b.follow(&a, "b-1").await;
    b.kill().await.unwrap();
    assert_eq!(b.control().await.unwrap().state, DbState::InArchiveRecovery);
    assert_eq!(b.rewind(&a.upstream("b-1"), PATIENCE).await.unwrap(), Rewound::NeedsCleanStop);
    assert_eq!(b.half().unwrap(), None);
    let role = Role::Standby { upstream: None };
    let run_b = b.start_with(Settings { role, acks: Acks::Never, open: false }).await;
    stop_fast(&run_b).await;
    assert_eq!(b.rewind(&a.upstream("b-1"), PATIENCE).await.unwrap(), Rewound::Done);
}

/// A receiver begins a new timeline at the beginning of its segment, in a file of its own. Killed there, the newer file holds
/// less than the older one, and is the one that a start reads.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_not_hidden_by_a_timeline_only_begun() {
    let Some(place) = Place::new("begun timeline") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let run_a = a.start_primary(any_one(&["b-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    let client = a.shop().await;
    a.sql("postgres", "SELECT pg_switch_wal()");
    let rows = "INSERT INTO orders SELECT generate_series(1, 2000)";
    assert_eq!(client.execute(rows, &[]).await.unwrap(), 2000);
    let count = "SELECT count(*) FROM orders";
    while b.sql("shop", count) != "2000" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let segment = a.sql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())");
    b.revoke(&run_b).await;
    b.kill().await.unwrap();
    assert_eq!(b.begun_timeline().await.unwrap(), None);
    drop(run_a);
    a.kill().await.unwrap();

    // The same node reigns once more, in timeline 2.
    let nobody = Settings { role: Role::Standby { upstream: None }, acks: Acks::Never, open: true };
    let _a = a.start_with(nobody.clone()).await;
    a.promote(PATIENCE).await.unwrap();
    let newer = format!("00000002{}", &segment[8..]);
    let part = std::fs::read(a.data().join("pg_wal").join(&newer)).unwrap();
    let mut begun = vec![0; part.len()];
    begun[..8192].copy_from_slice(&part[..8192]);
    let history = std::fs::read(a.data().join("pg_wal/00000002.history")).unwrap();
    for (name, bytes) in [(newer.as_str(), &begun), ("00000002.history", &history)] {
        let path = b.data().join("pg_wal").join(name);
        std::fs::write(&path, bytes).unwrap();
        let (user, group) = b.options().user.unzip();
        std::os::unix::fs::chown(&path, user, group).unwrap();
    }
    assert_eq!(b.begun_timeline().await.unwrap(), Some(2));

    // The belief.
    let _b = b.start_with(nobody.clone()).await;
    b.until("it has replayed what it sees", |seen| seen.replay_waits).await;
    let seen = b.sql("shop", "SELECT count(*) FROM pg_class WHERE relname = 'orders'");
    assert!(
        seen == "0" || b.sql("shop", count) != "2000",
        "PostgreSQL reads the older file where it has more"
    );
    b.kill().await.unwrap();

    b.drop_timelines(b.begun_timeline().await.unwrap().unwrap()).unwrap();
    assert_eq!(b.begun_timeline().await.unwrap(), None);
    let _b = b.start_with(nobody).await;
    b.until("it has replayed all", |seen| seen.replay_waits).await;
    assert_eq!(b.sql("shop", count), "2000");
}
