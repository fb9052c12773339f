use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use engine::{Engine, EngineError};
use model::{DatabaseName, DatabaseUrl, Phase, Template, Want};
use rustix::process::Signal;
use world::{Clock, Tasks};

use crate::rig::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_comes_up_with_what_it_was_promised_and_nothing_of_the_agents() {
    let (place, tasks) = (Place::new("up"), Tasks::new());
    let engine = place.engine(&tasks);
    let script = "env > ${data}/env; readlink /proc/$$$$/fd/0 > ${data}/stdin; pwd > ${data}/pwd; echo out; \
                  echo err >&2; exec \"$$HELPER\" serve ${address}:${port} ${data}/sick";
    let mut record = serving("web-1");
    record.service.run =
        model::Run::Command(["/bin/sh", "-c", script].iter().map(|w| Template::parse(w).unwrap()).collect());
    record.service.environment.insert("HELPER".to_owned(), Template::plain(HELPER));
    record.service.environment.insert("WHERE".to_owned(), Template::parse("${zone}/${unit}").unwrap());
    engine.want(vec![record]);
    let state = ready(&engine, "web-1").await;

    let address = state.address.unwrap();
    assert_eq!(address.ip(), place.address);
    assert!((20_000..30_000).contains(&address.port()));
    assert!(answers(address));
    let names: BTreeSet<String> = place
        .read("web-1", "data/env")
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .collect();
    let allowed = ["EVENKEEL_UNIT", "HELPER", "HOME", "LANG", "PATH", "PWD", "WHERE", "_", "SHLVL", "OLDPWD"];
    let allowed: BTreeSet<String> = allowed.map(str::to_owned).into();
    assert!(names.is_subset(&allowed), "{names:?}");
    assert!(place.read("web-1", "data/env").contains("WHERE=a/web-1\n"));
    assert_eq!(place.read("web-1", "data/stdin").trim(), "/dev/null");
    assert_eq!(place.read("web-1", "data/pwd").trim(), place.folder.to_str().unwrap());
    assert_eq!(place.read("web-1", "log"), "out\nerr\n");
    for secret in ["log", "record.json"] {
        let mode = place.unit_file("web-1", secret).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let pid = state.pid.unwrap();
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(pid.cast_signed())).unwrap();
    assert_eq!(session.as_raw_nonzero().get().cast_unsigned(), pid, "Ctrl-C on the terminal would end it");
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), engine::shim::UNIT_OOM_SCORE.to_string(), "a database would be ended before it");
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
    assert!(engine::ProcessId::of(pid).is_none());
    assert!(!place.unit_file("web-1", "record.json").exists());
    assert!(place.unit_file("web-1", "data/env").exists(), "data outlives the unit");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_database_reaches_the_environment_and_nothing_that_others_can_read() {
    let (place, tasks) = (Place::new("url"), Tasks::new());
    let engine = place.engine(&tasks);
    let mut record = running("web-1", &["sleep", "600"]);
    record.service.environment.insert("DATABASE_URL".to_owned(), Template::parse("${db.url}").unwrap());
    engine.want(vec![record]);
    let state = until(&engine, "web-1", |state| state.restarts > 0).await;
    assert_eq!(state.detail, "the address of database `db` is not known");

    let db = DatabaseName::new("db").unwrap();
    let url = DatabaseUrl::new("shop", "hunter2", "127.0.0.1:5432".parse().unwrap(), None, &db, false);
    engine.know(BTreeMap::from([(db, url.clone())]));
    let state = until(&engine, "web-1", |state| state.phase == Phase::Ready).await;
    let pid = state.pid.unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.contains(url.expose()));
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    for (what, text) in [
        ("arguments", arguments),
        ("log", place.read("web-1", "log")),
        ("record", place.read("web-1", "record.json")),
        ("states", format!("{:?}", engine.states().borrow())),
    ] {
        assert!(!text.contains("hunter2"), "{what}: {text}");
    }
    let in_arguments = running("web-2", &["echo", "${db.url}"]);
    engine.want(vec![in_arguments]);
    let state = until(&engine, "web-2", |state| state.restarts > 0).await;
    assert_eq!(state.detail, "`${db.url}` holds a password and stands in its `command`");
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_crashes_is_restarted_at_once_three_times_and_then_waits() {
    let (place, tasks) = (Place::new("loop"), Tasks::new());
    let engine = place.engine(&tasks);
    engine.want(vec![script("web-1", "echo run; exit 3")]);
    let state = until(&engine, "web-1", |state| state.phase == Phase::Backoff && state.restarts == 3).await;
    assert_eq!(state.detail, "ended with exit status 3");
    assert_eq!(place.read("web-1", "log"), "run\n".repeat(4));
    let failed = until(&engine, "web-1", |state| state.phase == Phase::Failed).await;
    assert_eq!(failed.restarts, 4);
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let (place, tasks) = (Place::new("refused"), Tasks::new());
    let engine = place.engine(&tasks);
    std::fs::write(place.folder.join("text"), "no program").unwrap();
    std::fs::write(place.folder.join("broken"), "#!/no/interpreter\n").unwrap();
    std::fs::set_permissions(place.folder.join("broken"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut image = running("web-6", &["x"]);
    image.service.run = model::Run::Image("ghcr.io/acme/shop:1".to_owned());
    engine.want(vec![
        running("web-1", &["bin/none"]),
        running("web-2", &["no-such-program"]),
        running("web-3", &["./text"]),
        running("web-4", &["./broken"]),
        running("web-5", &[]),
        image,
        running("web-7", &["/bin/sh", "a\0b"]),
    ]);
    for (name, says) in [
        ("web-1", "bin/none` does not exist"),
        ("web-2", "`no-such-program` is not found in the `PATH`"),
        ("web-3", "text` cannot be executed"),
        ("web-4", "cannot run `"),
        ("web-5", "its `command` is empty"),
        ("web-6", "images are not run on this machine"),
        ("web-7", "null byte"),
    ] {
        let state = until(&engine, name, |state| state.phase == Phase::Backoff).await;
        assert!(state.detail.contains(says), "{name}: {}", state.detail);
        assert_eq!(state.pid, None);
    }
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_stops_answering_is_unready_and_recovers_without_a_restart() {
    let (place, tasks) = (Place::new("sick"), Tasks::new());
    let engine = place.engine(&tasks);
    engine.want(vec![serving("web-1")]);
    let before = ready(&engine, "web-1").await;
    std::fs::write(place.unit_file("web-1", "data/sick"), "").unwrap();
    let sick = until(&engine, "web-1", |state| state.phase == Phase::Unready).await;
    assert_eq!(sick.detail, "probe: `/healthz` answered 503");
    std::fs::remove_file(place.unit_file("web-1", "data/sick")).unwrap();
    let after = ready(&engine, "web-1").await;
    assert_eq!((after.pid, after.restarts, after.detail.as_str()), (before.pid, 0, ""));
    // Killed from outside, it comes back on the same port.
    process(after.pid.unwrap()).signal(Signal::KILL);
    let again = until(&engine, "web-1", |state| state.phase == Phase::Ready && state.pid != before.pid).await;
    assert_eq!((again.address, again.restarts), (before.address, 1));
    // A probe may have met nobody meanwhile.
    assert!(again.detail.starts_with("ended by signal 9"), "{}", again.detail);
    engine.kill(&unit("web-1"), "the front is silent");
    until(&engine, "web-1", |state| state.phase == Phase::Ready && state.restarts == 2).await;
    assert_eq!(engine.shutdown(Duration::from_secs(5)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_unit_serves_until_the_fronts_have_let_go() {
    let (place, tasks) = (Place::new("drain"), Tasks::new());
    let engine = place.engine(&tasks);
    let record = serving("web-1");
    engine.want(vec![record.clone()]);
    let before = ready(&engine, "web-1").await;
    engine.want(vec![draining(&record)]);
    until(&engine, "web-1", |state| state.phase == Phase::Draining).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(answers(before.address.unwrap()), "a front still holds a request of it");
    engine.release([unit("web-1")].into());
    let after = until(&engine, "web-1", |state| state.phase == Phase::Stopped).await;
    assert_eq!((after.pid, after.restarts), (None, 0));
    engine.want(Vec::new());
    eventually("the state is gone", || state(&engine, "web-1").is_none()).await;
    engine.detach().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_ignores_being_asked_is_killed_with_all_it_started() {
    let (place, tasks) = (Place::new("deaf"), Tasks::new());
    let engine = place.engine(&tasks);
    // One child in the group, one in a session of its own whose parent is gone: both must go.
    let stubborn = "trap '' TERM; sleep 9999 & echo $! >> children; \
                    (setsid sh -c 'echo $$ >> children; exec sleep 9999' &) ; while :; do sleep 1; done";
    engine.want(vec![script("web-1", stubborn)]);
    ready(&engine, "web-1").await;
    let children = place.folder.join("children");
    eventually("two children", || pids(&children).len() == 2).await;
    let main = state(&engine, "web-1").unwrap().pid.unwrap();
    let all: Vec<_> = pids(&children).into_iter().chain([main]).map(process).collect();
    assert!(all.iter().all(|id| id.alive()));
    assert_eq!(engine.shutdown(Duration::from_millis(300)).await, []);
    assert!(all.iter().all(|id| !id.alive()), "left over: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crashed_unit_left_is_ended_before_it_is_started_again() {
    let (place, tasks) = (Place::new("leftover"), Tasks::new());
    let engine = place.engine(&tasks);
    let leaving = "echo run >> runs; (setsid sh -c 'echo $$ >> children; exec sleep 9999' &); sleep 0.2; \
                   if [ $(wc -l < runs) -lt 2 ]; then exit 1; fi; while :; do sleep 1; done";
    engine.want(vec![script("web-1", leaving)]);
    until(&engine, "web-1", |state| state.phase == Phase::Ready && state.restarts == 1).await;
    let children = pids(&place.folder.join("children"));
    assert_eq!(children.len(), 2);
    assert!(
        engine::ProcessId::of(children[0]).is_none(),
        "the first run's child lives beside the second run"
    );
    assert!(engine::ProcessId::of(children[1]).is_some());
    assert_eq!(engine.shutdown(Duration::from_secs(3)).await, []);
    assert!(engine::ProcessId::of(children[1]).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_takes_the_name_only_after_the_old_one_has_ended() {
    let (place, tasks) = (Place::new("version"), Tasks::new());
    let engine = place.engine(&tasks);
    let old = script(
        "web-1",
        "trap 'echo old-end >> order; exit 0' TERM; echo old >> order; while :; do sleep 0.1; done",
    );
    engine.want(vec![old.clone()]);
    ready(&engine, "web-1").await;
    let mut new = script("web-1", "echo new >> order; while :; do sleep 1; done");
    new.version = 2;
    engine.want(vec![new]);
    until(&engine, "web-1", |state| state.version == 2 && state.phase == Phase::Ready).await;
    let order = std::fs::read_to_string(place.folder.join("order")).unwrap();
    assert_eq!(order, "old\nold-end\nnew\n");
    assert_eq!(engine.shutdown(Duration::from_secs(3)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_turned_while_its_unit_writes() {
    let (place, tasks) = (Place::new("chatty"), Tasks::new());
    let engine = place.engine(&tasks);
    // 9 MiB, then a line a moment later.
    let chatty = "head -c 9437184 /dev/zero | tr '\\0' x; sleep 2.5; echo after; while :; do sleep 1; done";
    engine.want(vec![script("web-1", chatty)]);
    eventually("the log is turned", || place.unit_file("web-1", "log.1").exists()).await;
    eventually("the unit writes on", || place.read("web-1", "log").ends_with("after\n")).await;
    assert!(place.read("web-1", "log").len() < 2 * 1024 * 1024);
    assert_eq!(place.unit_file("web-1", "log.1").metadata().unwrap().len(), 8 * 1024 * 1024);
    assert_eq!(engine.shutdown(Duration::from_secs(3)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_has_no_file_of_whoever_started_the_agent() {
    let (place, tasks) = (Place::new("inherited"), Tasks::new());
    let ours = std::fs::File::create(place.folder.join("of-the-terminal")).unwrap();
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
    let engine = place.engine(&tasks);
    let list = "readlink /proc/$$/fd/* > list; echo > listed; while :; do sleep 1; done";
    engine.want(vec![script("web-1", list)]);
    eventually("it listed what it has", || place.folder.join("listed").exists()).await;
    let has = std::fs::read_to_string(place.folder.join("list")).unwrap();
    assert!(has.contains("/dev/null") && has.contains("web-1/log"), "{has}");
    assert!(!has.contains("of-the-terminal"), "{has}");
    assert_eq!(engine.shutdown(Duration::from_secs(3)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_for_a_zone_is_refused() {
    let (place, tasks) = (Place::new("second"), Tasks::new());
    let first = place.engine(&tasks);
    let second = Engine::start(place.options(None), Clock::real(), &tasks);
    assert!(matches!(second, Err(EngineError::Busy { .. })), "{second:?}");
    first.detach().await;
    place.engine(&tasks).detach().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_other_zones_are_not_carried_out() {
    let (place, tasks) = (Place::new("other"), Tasks::new());
    let engine = place.engine(&tasks);
    let mut other = script("web-2", "sleep 9999");
    other.zone = zone("b");
    let stopped = draining(&script("web-3", "sleep 9999"));
    engine.want(vec![other, stopped]);
    let state = until(&engine, "web-3", |state| state.phase == Phase::Stopped).await;
    assert_eq!((state.pid, Want::Drain), (None, Want::Drain));
    assert_eq!(engine.states().borrow().len(), 1);
    assert_eq!(engine.shutdown(Duration::from_secs(1)).await, []);
}
