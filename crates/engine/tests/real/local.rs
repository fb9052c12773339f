//! Zones of one machine: limits, faults, namespaces.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::local::{LocalOptions, LocalZones, Through, down, heal_all, mark_down, note_servers};
use engine::{Engine, EngineError, ProcessId};
use model::{Bytes, MilliCpu, Phase};
use world::{Clock, Tasks};

use crate::rig::*;

fn options(place: &Place, isolate: bool) -> LocalOptions {
    LocalOptions::new(place.folder.join("run"), vec![zone("a"), zone("b")], isolate)
}

/// As on a machine where no cgroup may be used.
fn plain(place: &Place) -> LocalOptions {
    LocalOptions { cgroup_root: place.folder.join("no-cgroups"), ..options(place, false) }
}

/// An engine for zone `a`, on an address of its own so that tests do not meet on 127.0.1.1.
fn engine_of(place: &Place, zones: &LocalZones, tasks: &Tasks) -> Engine {
    let zone = &zones.zones[0];
    let mut options = place.options(Some(zone.cgroup.clone()));
    options.state_dir = zone.state.clone();
    Engine::start(options, Clock::real(), tasks).unwrap()
}

fn no_cgroups_left(zones: &LocalZones) {
    for cgroup in [Some(&zones.zones[0].cgroup)].into_iter().flatten() {
        let v1 = [&cgroup.cpu, &cgroup.memory].into_iter().filter_map(|through| match through {
            Through::V1(folder) => Some(folder.clone()),
            _ => None,
        });
        for folder in cgroup.v2.iter().cloned().chain(v1) {
            assert!(!folder.parent().unwrap().exists(), "{} is left", folder.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_applied_and_a_hog_is_named_as_such() {
    if !root_for("limits by cgroup") {
        return;
    }
    let (place, tasks) = (Place::new("limits"), Tasks::new());
    let zones = LocalZones::create(&options(&place, false)).unwrap();
    println!("{}", zones.describe().join("\n"));
    let engine = engine_of(&place, &zones, &tasks);
    let mut hog = running("hog-1", &[HELPER, "hog", "400"]);
    hog.service.resources.memory = Bytes(48 << 20);
    let mut calm = running("calm-1", &["sleep", "9999"]);
    calm.service.resources.cpus = MilliCpu(250);
    engine.want(vec![hog, calm]);
    let starved = until(&engine, "hog-1", |state| !state.detail.is_empty()).await;
    assert_eq!(starved.detail, "killed by the kernel: it wanted more memory than its 48M");
    assert!(!place.folder.join("run/zones/a/units/hog-1/log").metadata().is_ok_and(|about| about.len() > 0));
    ready(&engine, "calm-1").await;
    match &zones.zones[0].cgroup.cpu {
        Through::V1(folder) => {
            let quota = fs::read_to_string(folder.join("calm-1/cpu.cfs_quota_us")).unwrap();
            assert_eq!(quota.trim(), "25000");
        }
        Through::V2 => {
            let folder = zones.zones[0].cgroup.v2.clone().unwrap();
            let quota = fs::read_to_string(folder.join("calm-1/cpu.max")).unwrap();
            assert_eq!(quota.trim(), "25000 100000");
        }
        Through::Nothing => panic!("no CPU limit as root: {:?}", zones.describe()),
    }
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
    zones.remove().unwrap();
    no_cgroups_left(&zones);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_unit_gets_no_more_than_its_share() {
    if !root_for("CPU share by cgroup") {
        return;
    }
    let (place, tasks) = (Place::new("share"), Tasks::new());
    let zones = LocalZones::create(&options(&place, false)).unwrap();
    let engine = engine_of(&place, &zones, &tasks);
    let mut busy = script("busy-1", "while :; do :; done");
    busy.service.resources.cpus = MilliCpu(200);
    engine.want(vec![busy]);
    let pid = ready(&engine, "busy-1").await.pid.unwrap();
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, begin) = (ticks(), std::time::Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used_s = (ticks() - before) as f64 / 100.0;
    let share = used_s / begin.elapsed().as_secs_f64();
    // An upper bound alone: a busy machine may give less, never more.
    assert!(share < 0.4, "it used {share:.2} of a CPU with a limit of 0.2");
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
    zones.remove().unwrap();
}

/// Kills, freezes and thaws a zone and a unit; the same with cgroups and without.
async fn break_and_heal(place: &Place, options: &LocalOptions) {
    let tasks = Tasks::new();
    let zones = LocalZones::create(options).unwrap();
    let engine = engine_of(place, &zones, &tasks);
    let with_child = "(setsid sh -c 'echo $$ > child; exec sleep 9999' &); while :; do sleep 0.05; done";
    engine.want(vec![serving("web-1"), serving("web-2"), script("work-1", with_child)]);
    let web1 = ready(&engine, "web-1").await;
    let web2 = ready(&engine, "web-2").await.address.unwrap();
    let work = process(ready(&engine, "work-1").await.pid.unwrap());
    let address = web1.address.unwrap();
    let child = process(pids(&place.folder.join("child"))[0]);

    zones.freeze_unit(&unit("web-1")).unwrap();
    assert!(!answers(address) && answers(web2), "only the frozen one is silent");
    until(&engine, "web-1", |state| state.phase == Phase::Unready).await;
    zones.thaw_unit(&unit("web-1")).unwrap();
    assert!(answers(address));
    let healed = ready(&engine, "web-1").await;
    assert_eq!(healed.pid, web1.pid, "frozen and thawed, not restarted");

    zones.kill_unit(&unit("web-1")).unwrap();
    until(&engine, "web-1", |state| state.phase == Phase::Ready && state.restarts == 1).await;
    let missing = zones.kill_unit(&unit("web-9")).unwrap_err();
    assert!(missing.to_string().contains("no unit `web-9` runs"), "{missing}");

    zones.freeze_zone(&zone("a")).unwrap();
    assert!(!answers(address) && !answers(web2));
    heal_all(&zones.state).unwrap();
    heal_all(&zones.state).unwrap();
    assert!(answers(address) && answers(web2));

    // The agent is gone first, as in a drill; here it is in this process, which must live on.
    engine.detach().await;
    zones.freeze_zone(&zone("a")).unwrap();
    zones.kill_zone(&zone("a")).unwrap();
    // The child too: what a unit started dies with its zone.
    let dead = || !answers(address) && !answers(web2) && !work.alive() && !child.alive();
    eventually("the zone is dead", dead).await;
    zones.remove().unwrap();
    zones.remove().unwrap();
    no_cgroups_left(&zones);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_killed_and_frozen_by_its_cgroup() {
    if !root_for("faults by cgroup") {
        return;
    }
    let place = Place::new("cgroup");
    let zones = LocalZones::create(&options(&place, false)).unwrap();
    assert!(zones.zones[0].cgroup.v2.is_some(), "no cgroup version 2 as root: {:?}", zones.describe());
    break_and_heal(&place, &options(&place, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_killed_and_frozen_process_by_process_where_there_are_no_cgroups() {
    let place = Place::new("plain");
    break_and_heal(&place, &plain(&place)).await;
}

#[test]
fn a_server_that_outlived_its_agent_is_ended_with_its_zone_where_there_are_no_cgroups() {
    let place = Place::new("servers");
    let zones = LocalZones::create(&plain(&place)).unwrap();
    let mut server = Command::new("sleep").arg("9999").spawn().unwrap();
    let mut stranger = Command::new("sleep").arg("9999").spawn().unwrap();
    let gone = ProcessId { started: 1, ..process(stranger.id()) };
    fs::create_dir_all(&zones.zones[0].state).unwrap();
    note_servers(&zones.zones[0].state, &[process(server.id()), gone]).unwrap();
    zones.kill_zone(&zone("b")).unwrap();
    assert!(process(server.id()).alive(), "another zone's is left alone");
    zones.kill_zone(&zone("a")).unwrap();
    let ended = server.wait().unwrap();
    let untouched = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    zones.remove().unwrap();
    assert!(!ended.success(), "{ended}");
    assert!(untouched, "it merely got the number of a server that has ended");
}

#[test]
fn a_cut_that_cannot_be_done_says_why_and_the_way_out() {
    let place = Place::new("uncut");
    let zones = LocalZones::create(&plain(&place)).unwrap();
    let refused = zones.cut_zone(&zone("a")).unwrap_err().to_string();
    assert!(refused.contains("share one loopback network"), "{refused}");
    assert!(refused.contains("hint: start the run as root with `evenkeel up --isolate`"), "{refused}");
    assert!(zones.cut_zone(&zone("x")).unwrap_err().to_string().contains("the zones are `a`, `b`"));
    let many = (0..12).map(|at| zone(&format!("z{at}"))).collect();
    let many = LocalZones::create(&LocalOptions::new(place.folder.join("many"), many, false)).unwrap_err();
    assert!(many.to_string().contains("12 zones cannot be emulated"), "{many}");
    zones.remove().unwrap();
}

#[test]
fn a_run_that_is_alive_is_not_taken_over_and_a_dead_one_is_cleaned() {
    let place = Place::new("taken");
    let zones = LocalZones::create(&plain(&place)).unwrap();
    let mut other = Command::new("sleep").arg("9999").spawn().unwrap();
    let file = zones.state.join("local.json");
    let mut as_other = zones.clone();
    as_other.supervisor = process(other.id());
    fs::write(&file, serde_json::to_vec(&as_other).unwrap()).unwrap();
    let busy = LocalZones::create(&plain(&place));
    assert!(matches!(busy, Err(EngineError::Busy { .. })), "{busy:?}");

    mark_down(&zones.state, &zone("b"), 1_000_000, 5_000).unwrap();
    assert!(down(&zones.state, &zone("b"), 1_000_000).is_some());
    other.kill().unwrap();
    other.wait().unwrap();
    let again = LocalZones::create(&plain(&place)).unwrap();
    assert_eq!(down(&zones.state, &zone("b"), 1_000_000), None, "a mark of the dead run is cleared");
    again.remove().unwrap();
    assert!(!file.exists());
    fs::create_dir_all(&zones.state).unwrap();
    fs::write(&file, b"{\"format\":9").unwrap();
    assert!(LocalZones::load(&zones.state).unwrap_err().to_string().contains("local.json"));
}

/// A server in the network of a zone, ended with the test.
struct Inside(Child);

impl Inside {
    fn serve(zones: &LocalZones, at: usize) -> (Inside, SocketAddr) {
        let zone = &zones.zones[at];
        let address = SocketAddr::new(zone.address, 8_080);
        let mut words = zones.prefix(Some(&zone.zone)).unwrap();
        words.extend([HELPER, "serve", &address.to_string(), "/none"].map(str::to_owned));
        let child = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().unwrap();
        (Inside(child), address)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn named(folder: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(folder)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn of_two_runs_that_start_at_once_on_one_network_one_is_refused() {
    if !root_for("network namespaces") {
        return;
    }
    let place = Place::new("at-once");
    let start = |at: u32| {
        let state = place.folder.join(format!("run{at}"));
        LocalZones::create(&LocalOptions { state, network: [10, 79], ..options(&place, true) })
    };
    for round in 0..3 {
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| start(2 * round));
            [start(2 * round + 1), other.join().unwrap()]
        });
        let (made, refused): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
        made.iter().flatten().for_each(|zones| zones.remove().unwrap());
        let refused: Vec<_> = refused.into_iter().map(|one| one.unwrap_err().to_string()).collect();
        assert!(
            made.len() == 1 && refused[0].contains("10.79.0.0/16 of isolated zones is in use"),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_zone_is_cut_off_and_healed_and_leaves_nothing() {
    if !root_for("network namespaces") {
        return;
    }
    let place = Place::new("isolated");
    // Another network than `evenkeel up` uses, which may run on this machine now.
    let options = LocalOptions { network: [10, 78], ..options(&place, true) };
    let zones = LocalZones::create(&options).unwrap();
    let prefix = zones.wiring.clone().unwrap().prefix;
    let (a, at_a) = Inside::serve(&zones, 0);
    let (_b, at_b) = Inside::serve(&zones, 1);
    assert_eq!((at_a.ip().to_string(), at_b.ip().to_string()), ("10.78.1.1".into(), "10.78.2.1".into()));
    assert_eq!(zones.store_address().to_string(), "10.78.0.10");
    eventually("both zones answer", || answers(at_a) && answers(at_b)).await;

    zones.cut_zone(&zone("a")).unwrap();
    zones.cut_zone(&zone("a")).unwrap();
    assert!(!answers(at_a) && answers(at_b), "one zone is cut off, the other is not");
    zones.heal_zone(&zone("a")).unwrap();
    zones.heal_zone(&zone("a")).unwrap();
    assert!(answers(at_a));
    zones.cut_zone(&zone("b")).unwrap();
    assert!(!answers(at_b));
    heal_all(&zones.state).unwrap();
    assert!(answers(at_b));

    // Another run on the same network is told so, and what it had begun is gone.
    let second = Place::new("conflict");
    let refused = LocalZones::create(&LocalOptions { state: second.folder.join("run"), ..options.clone() });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("10.78.0.0/16 of isolated zones is in use"), "{refused}");
    let left = engine::local::run_id(&second.folder.join("run"));
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpu"] {
        assert!(!Path::new(root).join(format!("evenkeel-{left}")).exists(), "{root}");
    }
    assert!(named("/run/netns", &format!("ek-{left}-")).is_empty());

    // The supervisor crashes: the next start cleans its set and makes a new one.
    let mut dead = zones.clone();
    dead.supervisor = ProcessId { started: 1, ..dead.supervisor };
    fs::write(zones.state.join("local.json"), serde_json::to_vec(&dead).unwrap()).unwrap();
    drop(a);
    let again = LocalZones::create(&options).unwrap();
    assert_eq!(named("/run/netns", &prefix).len(), 4);
    let (_a, at_a) = Inside::serve(&again, 0);
    eventually("the new zone answers", || answers(at_a)).await;

    again.remove().unwrap();
    assert_eq!(named("/run/netns", "ek-").iter().filter(|name| name.starts_with(&prefix)).count(), 0);
    assert!(named("/sys/class/net", &prefix).is_empty());
    assert!(!zones.state.join("local.json").exists());
}
