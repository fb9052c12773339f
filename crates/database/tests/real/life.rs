//! One server's life: who holds it, how it is found again, how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use database::instance::{Acks, Class, Instance, InstanceError, SlotName, StopHow};
use engine::ProcessId;
use model::UnitName;
use rustix::process::Signal;

use crate::rig::*;

/// Names the folder whose server a child process starts before it ends.
const STARTS: &str = "EVENKEEL_TEST_STARTS";

/// Not a test: the keeper that starts a server and is gone. Without its variable it does nothing.
#[tokio::test]
async fn child() {
    let Some(text) = std::env::var_os(STARTS) else { return };
    let text = text.into_string().unwrap();
    let (dir, address) = text.split_once('@').unwrap();
    let place = Place::new("child").unwrap();
    let mut options = place.options("a");
    (options.dir, options.listen) = (PathBuf::from(dir), address.parse().unwrap());
    let instance = Instance::open(options).unwrap();
    instance.configure(&primary(Acks::NotAwaited, true)).unwrap();
    println!("\nstarted {}", instance.start().unwrap().process().pid);
}

/// What still runs with the folder in its command line or as its place of work.
fn left(node: &Node) -> usize {
    let data = node.data();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let works = |path: PathBuf| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == data);
    entries.filter(|entry| works(entry.path())).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_its_keeper_is_found_again_and_killed_without_a_rest() {
    let Some(place) = Place::new("adopt") else { return };
    let made = place.node("a");
    let (options, dir) = (made.options().clone(), made.options().dir.clone());
    assert!(made.adopt().is_none());
    let busy = Instance::open(options.clone()).unwrap_err();
    assert!(matches!(busy, InstanceError::Busy { .. }), "{busy:?}");
    drop(made);
    let started = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::child", "--nocapture"])
        .env(STARTS, format!("{}@{}", dir.display(), options.listen))
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(started.stdout).unwrap();
    let pid: u32 = text.lines().find_map(|line| line.strip_prefix("started ")).unwrap().parse().unwrap();

    let other = database::instance::Options { node: UnitName::new("b").unwrap(), ..options.clone() };
    assert!(matches!(Instance::open(other), Err(InstanceError::Foreign { .. })));
    let a = Node { instance: Instance::open(options).unwrap().into(), _place: place };
    let running = a.adopt().unwrap();
    assert_eq!(running.process().pid, pid);
    a.until("it answers", |_| true).await;
    assert!(matches!(a.start(), Err(InstanceError::StillRuns { .. })));
    // A session that computes does not notice that its postmaster is gone; it must go too.
    let client = a.client().await;
    let busy = tokio::spawn(async move {
        client.batch_execute("SELECT count(*) FROM generate_series(1, 1000000000000)").await
    });
    a.until("the session is there", |seen| seen.clients == 1).await;
    println!("MEASURED resident memory of an idle server: {} KiB", running.rss_bytes(&a) / 1024);
    assert!(left(&a) > 5);
    let begin = Instant::now();
    running.process().signal(Signal::KILL);
    let exit = running.exited().await;
    println!("MEASURED the end of a killed postmaster is seen after {:?}", begin.elapsed());
    assert_eq!(exit.code, None, "how is not known of one that another has started");
    assert!(matches!(a.start(), Err(InstanceError::StillRuns { .. })), "its session still computes");
    a.kill().await.unwrap();
    assert_eq!(left(&a), 0);
    assert!(busy.await.unwrap().is_err());
    assert!(a.adopt().is_none());
    a.kill().await.unwrap();
}

/// It is told to others: what users typed stands in the same file, and PostgreSQL does not say that it starts before it has
/// read its settings.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_server_does_not_start_is_told_without_what_the_one_before_has_said() {
    let Some(place) = Place::new("says") else { return };
    let a = place.node("a");
    a.start_primary(Acks::NotAwaited).await;
    a.client().await.batch_execute("ALTER ROLE nobody_at_all PASSWORD 'hunter2'").await.unwrap_err();
    a.kill().await.unwrap();
    assert!(fs::read_to_string(a.options().dir.join("log")).unwrap().contains("hunter2"));
    let settings = a.data().join("postgresql.auto.conf");
    fs::write(&settings, "no_such_setting = 1\n").unwrap();
    let exit = tokio::time::timeout(PATIENCE, a.start().unwrap().exited()).await.unwrap();
    assert!(exit.says.contains("no_such_setting") && !exit.says.contains("hunter2"), "{}", exit.says);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_killed_backend_ends_the_server_instead_of_a_recovery_in_place() {
    let Some(place) = Place::new("killed backend") else { return };
    let a = place.node("a");
    let running = a.start_primary(Acks::Never).await;
    let client = a.client().await;
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
    let begin = Instant::now();
    ProcessId::of(pid.cast_unsigned()).unwrap().signal(Signal::KILL);
    let exit = tokio::time::timeout(PATIENCE, running.exited()).await.unwrap();
    println!("MEASURED from a killed backend to the end of the server: {:?}", begin.elapsed());
    assert_eq!((exit.code, exit.signal), (Some(1), None));
    assert!(exit.says.contains("restart_after_crash"), "{}", exit.says);
    assert_eq!(left(&a), 0);
    assert_eq!(a.observe(Duration::from_secs(2)).await.unwrap_err().class(), Class::Transient);
}

/// A new session needs a process of the postmaster's, which on a busy machine takes longer than a primary may be silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stood_still_answers_on_the_session_that_was_there_and_nothing_old() {
    let Some(place) = Place::new("stood still") else { return };
    let a = place.node("a");
    let running = a.start_primary(Acks::NotAwaited).await;
    let client = a.shop().await;
    let before = a.until("it answers", |_| true).await;
    for id in 1..=2 {
        a.freeze();
        for _ in 0..2 {
            assert!(matches!(a.observe(Duration::from_millis(100)).await, Err(InstanceError::Late { .. })));
        }
        a.thaw();
        running.process().signal(Signal::STOP);
        order(&client, id).await.unwrap();
        let seen = a.observe(Duration::from_secs(2)).await;
        running.process().signal(Signal::CONT);
        let seen = seen.expect("nobody else can be asked");
        assert!(seen.flushed > before.flushed, "what was asked before the write is not answered again");
    }
    // What is written waits for no late answer.
    a.freeze();
    assert!(a.observe(Duration::from_millis(100)).await.is_err());
    a.thaw();
    a.settle_log(PATIENCE).await.unwrap();
    assert!(!a.observe(Duration::from_secs(2)).await.unwrap().in_recovery);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_made_started_and_stopped_in_the_time_a_failover_has() {
    let Some(place) = Place::new("times") else { return };
    let (a, b) = (place.empty("a"), place.empty("b"));
    let mut begin = Instant::now();
    let mut lap = |what: &str| {
        println!("MEASURED {what}: {:?}", begin.elapsed());
        begin = Instant::now();
    };
    a.init().await.unwrap();
    lap("init");
    let running = a.start_primary(Acks::NotAwaited).await;
    lap("start of a primary after a clean stop, until observed");
    for _ in 0..200 {
        a.observe(PATIENCE).await.unwrap();
    }
    lap("200 observations");
    a.confirm_sync(&Acks::NotAwaited, PATIENCE).await.unwrap();
    lap("confirmation of the sync set");
    stop_fast(&running).await;
    lap("fast stop");
    let running = a.start_primary(Acks::NotAwaited).await;
    lap("start");
    running.stop(StopHow::Immediate, PATIENCE).await.unwrap();
    lap("immediate stop");
    let running = a.start_primary(Acks::NotAwaited).await;
    lap("start after an immediate stop");
    let slot = SlotName::new("b_1").unwrap();
    for _ in 0..2 {
        a.create_slot(&slot, PATIENCE).await.unwrap();
    }
    let mut upstream = a.upstream("b-1");
    upstream.slot = Some(slot.clone());
    b.configure(&primary(Acks::Never, true)).unwrap();
    lap("slot and settings");
    b.clone_from(&upstream, false, PATIENCE).await.unwrap();
    lap("clone");
    let run_b = b.follow(&a, "b-1").await;
    lap("start of a standby, until it receives");
    let seen = a.until("it streams", |seen| !seen.senders.is_empty()).await;
    assert_eq!(
        (seen.senders[0].user.as_str(), seen.senders[0].name.as_str()),
        ("evenkeel_replication", "b-1")
    );
    lap("-");
    b.revoke(&run_b).await;
    lap("revocation, until the receiver is gone and all is replayed");
    b.create_slot(&slot, PATIENCE).await.unwrap();
    b.promote(PATIENCE).await.unwrap();
    lap("promotion");
    for _ in 0..2 {
        b.drop_slot(&slot, PATIENCE).await.unwrap();
    }
    drop(running);
    // Only a restart changes where it listens; and what was running keeps its settings until then.
    assert!(!b.configure(&primary(Acks::Never, true)).unwrap().restart);
    let standby = database::instance::Role::Standby { upstream: None };
    let settings = database::instance::Settings { role: standby, acks: Acks::Never, open: false };
    assert!(
        b.configure(&settings).unwrap().restart,
        "a running primary becomes a standby by a restart alone"
    );
    assert!(!b.is_standby(), "a running primary was marked as a standby");
    b.kill().await.unwrap();
    b.configure(&settings).unwrap();
    assert!(b.is_standby(), "what does not run is not marked as a standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_command_line_no_log_and_no_file_that_others_can_read() {
    let Some(place) = Place::new("secrets") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(Acks::NotAwaited).await;
    let _b = b.follow(&a, "b-1").await;
    for node in [&a, &b] {
        let conf = node.options().dir.join("conf");
        for entry in fs::read_dir(&conf).unwrap().flatten() {
            let (path, mode) = (entry.path(), entry.metadata().unwrap().permissions().mode());
            assert_eq!(mode & 0o027, 0, "{} is open to others: {mode:o}", path.display());
            let holds = fs::read_to_string(&path).unwrap().contains("secret");
            assert!(!holds || (path.ends_with("passfile") && mode & 0o077 == 0), "{}", path.display());
        }
        for folder in [node.options().dir.as_path(), node.data(), node.sockets()] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o027, 0, "{}", folder.display());
        }
        let log = fs::read_to_string(node.options().dir.join("log")).unwrap();
        assert!(!log.contains("secret"), "{log}");
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(REPLICATION_PASSWORD));
    }
    assert!(!format!("{:?}", a.options()).contains("secret'"), "{:?}", a.options());
    let shadow = a.sql("postgres", "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'");
    assert_eq!(shadow, "3");
    assert_eq!(
        a.sql(
            "postgres",
            "SELECT count(*) FROM pg_authid WHERE rolname = 'evenkeel' AND rolpassword IS NULL"
        ),
        "1"
    );
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_a_socket_gets_one_elsewhere() {
    let Some(place) = Place::new("long path") else { return };
    let mut options = place.options("a");
    options.dir = place.folder.join("long".repeat(20)).join("a");
    fs::create_dir_all(options.dir.parent().unwrap()).unwrap();
    let a = Node { instance: Instance::open(options).unwrap().into(), _place: place.clone() };
    assert!(a.sockets().as_os_str().len() < 60, "{}", a.sockets().display());
    assert_eq!(fs::metadata(a.sockets()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::remove_dir(a.sockets()).unwrap();
}
