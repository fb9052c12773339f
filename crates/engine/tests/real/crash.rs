//! The agent crashes, at any moment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::ProcessId;
use engine::record::ProcessRecord;
use model::Phase;
use rustix::process::Signal;
use world::Tasks;

use crate::rig::*;

/// A shim that is handed what to run and answers `ready`.
fn held_shim(place: &Place) -> (Child, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let child = Command::new(HELPER)
        .arg("unit-shim")
        .env_clear()
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let launch = engine::shim::Launch {
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), "echo ran > ran; exec sleep 9999".to_owned()],
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        folder: place.folder.clone(),
        join: Vec::new(),
    };
    let line = serde_json::to_string(&launch).unwrap();
    (&ours).write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut ready = String::new();
    BufReader::new(&ours).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    (child, ours)
}

#[test]
fn a_shim_whose_agent_dies_before_the_go_runs_nothing() {
    let place = Place::new("held");
    let (mut child, socket) = held_shim(&place);
    drop(socket);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!place.folder.join("ran").exists());

    // Told to go it runs, so the test above could have failed.
    let (mut child, mut socket) = held_shim(&place);
    socket.write_all(b"go\n").unwrap();
    let mut end = String::new();
    assert_eq!(BufReader::new(&socket).read_line(&mut end).unwrap(), 0, "exec closes the shim's end");
    for _ in 0..200 {
        if place.folder.join("ran").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(place.folder.join("ran").exists());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_shim_that_hears_nonsense_runs_nothing() {
    let place = Place::new("nonsense");
    for (input, code) in [(&b""[..], 0), (b"{", 127), (b"{}\ngo\n", 127), (b"\xff\n", 127), (b"\n", 127)] {
        let mut child = Command::new(HELPER)
            .arg("unit-shim")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(input);
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{}", input.escape_ascii());
    }
    for word in ["stop\n", "go", "gogo\n", "\n"] {
        let (mut child, mut socket) = held_shim(&place);
        socket.write_all(word.as_bytes()).unwrap();
        drop(socket);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{word:?}");
    }
    assert!(!place.folder.join("ran").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_takes_over_what_runs_without_a_gap() {
    let (place, tasks) = (Place::new("adopt"), Tasks::new());
    let engine = place.engine(&tasks);
    engine.want(vec![serving("web-1"), serving("web-2")]);
    let before = ready(&engine, "web-1").await;
    let unwanted = ready(&engine, "web-2").await;
    engine.detach().await;
    assert!(answers(before.address.unwrap()), "units outlive their agent");

    let engine = place.engine(&tasks);
    let seen = until(&engine, "web-1", |_| true).await;
    assert_eq!((seen.phase, seen.pid, seen.address), (Phase::Ready, before.pid, before.address));
    // Before anything is said to be wanted, what runs is looked after; then what is not wanted is ended.
    assert!(ProcessId::of(unwanted.pid.unwrap()).is_some());
    engine.want(vec![serving("web-1")]);
    eventually("web-2 is gone", || state(&engine, "web-2").is_none()).await;
    assert!(ProcessId::of(unwanted.pid.unwrap()).is_none());
    assert_eq!(state(&engine, "web-1").unwrap().restarts, 0);

    // The end of a process that is no child of this agent is seen too.
    process(before.pid.unwrap()).signal(Signal::KILL);
    let again = until(&engine, "web-1", |state| state.phase == Phase::Ready && state.restarts == 1).await;
    assert_eq!(again.address, before.address);
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_number_now_belongs_to_somebody_else_harms_nobody() {
    let (place, tasks) = (Place::new("reuse"), Tasks::new());
    let mut stranger = Command::new("sleep").arg("9999").spawn().unwrap();
    let now = process(stranger.id());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let write = |process: ProcessId, boot: &str| {
        let record = serving("web-1");
        fs::create_dir_all(place.unit_file("web-1", "")).unwrap();
        ProcessRecord { format: 1, process, boot: boot.to_owned(), address: None, unit: record, ready: true }
            .write(&place.folder.join("zone"))
            .unwrap();
    };
    for (process, boot) in
        [(ProcessId { started: now.started + 1, ..now }, boot.as_str()), (now, "another boot of the machine")]
    {
        write(process, boot);
        let engine = place.engine(&tasks);
        engine.want(vec![serving("web-1")]);
        let state = ready(&engine, "web-1").await;
        assert_ne!(state.pid, Some(now.pid));
        assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
        assert!(now.alive(), "a stranger was ended");
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_costs_a_restart_and_no_second_copy() {
    let (place, tasks) = (Place::new("garbage"), Tasks::new());
    let engine = place.engine(&tasks);
    engine.want(vec![serving("web-1")]);
    let before = ready(&engine, "web-1").await;
    engine.detach().await;
    let path = place.unit_file("web-1", "record.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fs::create_dir_all(place.folder.join("zone/units/NOT A NAME")).unwrap();
    fs::write(place.folder.join("zone/units/NOT A NAME/record.json"), b"\xff").unwrap();

    let engine = place.engine(&tasks);
    assert!(ProcessId::of(before.pid.unwrap()).is_none(), "nobody would watch it");
    engine.want(vec![serving("web-1")]);
    let after = ready(&engine, "web-1").await;
    assert_ne!(after.pid, before.pid);
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

/// Processes whose command line holds `token`.
fn holding(token: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Not the agent itself, whose arguments name the same folder.
        !line.windows(6).any(|w| w == b"\0agent") && line.windows(token.len()).any(|w| w == token.as_bytes())
    })
    .filter(|pid| ProcessId::of(*pid).is_some())
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_at_any_moment_leaves_no_copy_behind() {
    const ROUNDS: u64 = 14;
    let (place, tasks) = (Place::new("killed"), Tasks::new());
    let token = format!("{}/zone/units", place.folder.display());
    let names = ["web-1", "web-2", "web-3"];
    let units: Vec<_> = names.iter().map(|name| serving(name)).collect();
    let file = place.folder.join("units.json");
    fs::write(&file, serde_json::to_vec(&units).unwrap()).unwrap();
    for round in 0..ROUNDS {
        let mut agent = Command::new(HELPER)
            .args(["agent", "a", &place.address.to_string()])
            .arg(place.folder.join("zone"))
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // From its first word on it starts units, for some milliseconds: each round kills it a little later.
        let mut line = String::new();
        BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        tokio::time::sleep(Duration::from_millis(round * 3)).await;
        agent.kill().unwrap();
        agent.wait().unwrap();
        assert!(holding(&token).len() <= names.len(), "round {round}: {:?}", holding(&token));
        if round % 3 == 2 {
            // Let the next one begin from nothing.
            let engine = place.engine(&tasks);
            engine.want(Vec::new());
            assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
            assert!(holding(&token).is_empty(), "round {round}");
        }
    }
    let engine = place.engine(&tasks);
    engine.want(units);
    for name in names {
        ready(&engine, name).await;
    }
    assert_eq!(holding(&token).len(), names.len());
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
    assert!(holding(&token).is_empty());
}
