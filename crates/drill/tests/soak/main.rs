//! The soak of the database in short: that it stays green on the product, and turns red when the product is broken.

#[path = "../../examples/soak_database/soak/mod.rs"]
mod soak;

mod lease;
mod resume;

use drill::database::{Action, History, Operation, Outcome, Via};
use soak::backing::Which;
use soak::ground::Where;
use soak::journal::{FaultLine, Line, RoundLine, Table, read};
use soak::outcome::{self, Double};
use soak::plan::{Fault, HOST_KINDS, KINDS, Kind};
use soak::{Ended, Soak, run};
use world::Stop;

/// Each soak wants the machine for itself: one beside another is measured under a load that nobody chose.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Whether PostgreSQL is here; says so when it is not.
fn present(test: &str) -> bool {
    let Err(why) = soak::site::system() else { return true };
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test}: {why:#}");
    eprintln!("SKIPPED {test}: {why:#}");
    false
}

/// etcd where it is installed: then the store elects, too.
fn store() -> Which {
    let installed = soak::etcd_installed();
    assert!(installed || std::env::var("EVENKEEL_REQUIRE").as_deref() != Ok("all"), "etcd is not installed");
    if installed { Which::Etcd } else { Which::Embedded }
}

async fn play(faults: u64, seed: u64, kinds: Vec<Kind>, broken: bool) -> Ended {
    play_at(Where::Loopback, faults, seed, kinds, broken).await
}

async fn play_at(place: Where, faults: u64, seed: u64, kinds: Vec<Kind>, broken: bool) -> Ended {
    let _machine = MACHINE.lock().await;
    let (from, round, journal, long) = (0, 20, None, false);
    let soak =
        Soak { faults, from, seed, kinds, place, standbys: 2, store: store(), round, journal, long, broken };
    let (_stopper, stop) = Stop::pair();
    let ended = run(&soak, &stop).await.unwrap_or_else(|error| panic!("{error:#}"));
    eprint!("{}", Table::of(&ended.lines).render());
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_of_every_kind_loses_nothing_and_heals() {
    if !present("one_fault_of_every_kind_loses_nothing_and_heals") {
        return;
    }
    let kinds: Vec<Kind> =
        Kind::all(Where::Loopback).into_iter().filter(|kind| !kind.needs_disks()).collect();
    let count = kinds.len();
    // With those on hosts and beside a witness there are more; those of disks have a test of their own.
    assert!(count >= 16, "{kinds:?}");
    let ended = play(count as u64, 3, kinds, false).await;
    assert_eq!(ended.stuck, None);
    let table = Table::of(&ended.lines);
    assert_eq!(table.faults(), count);
    assert_eq!(table.broken(), Vec::<String>::new());
    for line in &ended.lines {
        if let Line::Round(round) = line {
            assert!(round.acked > 500 && round.acked_directly > 50, "too little was tried: {round:?}");
            assert_eq!((round.lost, round.false_acks), (0, 0));
        }
    }
}

/// Two copies and a witness, by the kinds that are made there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_and_a_witness_lose_nothing_and_heal() {
    if !present("two_copies_and_a_witness_lose_nothing_and_heal") {
        return;
    }
    let ended = play_at(Where::Witness, 10, 5, Kind::all(Where::Witness), false).await;
    assert_eq!(ended.stuck, None);
    let table = Table::of(&ended.lines);
    assert_eq!((table.faults(), table.broken()), (10, Vec::<String>::new()));
}

/// Ways hosts are lost that no loopback shows, with etcd's leader and without, through the product's own agents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_cut_off_or_lost_takes_nothing_with_it() {
    if let Some(why) = soak::hosts::missing() {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{why}");
        eprintln!("SKIPPED a_host_that_is_cut_off_or_lost_takes_nothing_with_it: {why}");
        return;
    }
    let delays = soak::lab::slow::possible();
    if !delays {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "the kernel has no `macvtap`");
        eprintln!("SKIPPED host-delay: the kernel has no `macvtap`");
    }
    let mut kinds = vec![
        Kind::HostCut,
        Kind::HostKill,
        Kind::HostKillStandbyFreeze,
        Kind::TwoHostsCut,
        Kind::HostCutIn,
        Kind::DataCut,
        Kind::HostDelay,
        Kind::AgentKill,
    ];
    kinds.retain(|kind| delays || !kind.needs_delays());
    let count = kinds.len() as u64;
    // Away for longer than a primary may be silent, and no longer than a test should take.
    let long =
        |seed: &u64| (0..count).all(|at| (2_500..4_500).contains(&Fault::at(*seed, at, &kinds).away_ms));
    let seed = (1..1_000_000).find(long).unwrap();
    let ended = play_at(Where::Hosts, count, seed, kinds, false).await;
    let table = Table::of(&ended.lines);
    assert_eq!(ended.stuck, None);
    assert_eq!((table.faults() as u64, table.broken()), (count, Vec::new()));
    for line in &ended.lines {
        if let Line::Fault(fault) = line {
            // Where each is alone nobody can take over, and a host that is late or without its agent goes on.
            let stays = ["two-hosts-cut", "host-delay", "agent-kill"];
            let stays = stays.iter().any(|kind| fault.kind.starts_with(kind));
            assert!(stays || fault.term_after > fault.term_before, "nobody took over: {fault:?}");
            assert!(fault.double.is_none_or(|double| double.alone_ms > 2_000.0), "{fault:?}");
        }
    }
}

/// Nothing is lost in this, as the primary stays: only who was told of success while it was alone shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_primary_acknowledges_alone_turns_the_soak_red_also_when_nothing_is_lost() {
    if let Some(why) = soak::hosts::missing() {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{why}");
        eprintln!(
            "SKIPPED what_a_primary_acknowledges_alone_turns_the_soak_red_also_when_nothing_is_lost: {why}"
        );
        return;
    }
    let kinds = vec![Kind::TwoHostsCut];
    let short = |seed: &u64| (1_500..2_000).contains(&Fault::at(*seed, 0, &kinds).away_ms);
    let ended = play_at(Where::Hosts, 1, (1..10_000).find(short).unwrap(), kinds, true).await;
    let Line::Fault(fault) = &ended.lines[1] else { panic!("no fault: {:?}", ended.lines) };
    assert!(fault.double.is_some_and(|double| double.acked_alone > 0), "{fault:?}");
    let broken = Table::of(&ended.lines).broken();
    assert!(broken.iter().any(|line| line.contains("in which one copy was left")), "{broken:?}");
}

/// The nodes come back by themselves once there is room: it is the soak that waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_runs_full_loses_nothing_and_heals_when_there_is_room() {
    const NAME: &str = "a_disk_that_runs_full_loses_nothing_and_heals_when_there_is_room";
    if !present(NAME) {
        return;
    }
    if !soak::small_disks_possible() {
        let required = std::env::var("EVENKEEL_REQUIRE").as_deref() == Ok("all");
        assert!(!required, "only root, allowed to mount, can make small disks");
        eprintln!("SKIPPED {NAME}: only root, allowed to mount, can make small disks");
        return;
    }
    let ended = play(2, 1, vec![Kind::PrimaryDiskFull, Kind::StandbyDiskFull], false).await;
    assert_eq!(ended.stuck, None);
    let table = Table::of(&ended.lines);
    assert_eq!((table.faults(), table.broken()), (2, Vec::<String>::new()));
}

/// So few seconds say nothing of false failovers: they show that the measurement measures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calm_takes_the_processors_and_pauses_what_belongs_to_the_database() {
    if !present("a_calm_takes_the_processors_and_pauses_what_belongs_to_the_database") {
        return;
    }
    let (faults, from, seed, kinds, round) = (0, 0, 1, Vec::new(), 20);
    let (place, journal, long, broken) = (Where::Loopback, None, false, false);
    let soak =
        Soak { faults, from, seed, kinds, place, standbys: 2, store: store(), round, journal, long, broken };
    let (_stopper, stop) = Stop::pair();
    let _machine = MACHINE.lock().await;
    let ended = soak::calm::run(&soak, 15, &stop).await.unwrap_or_else(|error| panic!("{error:#}"));
    let Some(Line::Calm(calm)) = ended.lines.last() else { panic!("nothing came of it: {:?}", ended.lines) };
    eprintln!("{calm}");
    assert!(calm.pauses >= 2 && calm.loaded_seconds > 4.0 && calm.acked > 50, "{calm:?}");
    assert_eq!((calm.lost, calm.problems.len()), (0, 0));
}

/// The application waits for no standby and nobody prevents it: what it acknowledged while they stood still must be missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_waits_for_nobody_turns_the_soak_red() {
    if !present("a_primary_that_waits_for_nobody_turns_the_soak_red") {
        return;
    }
    let ended = play(1, 1, vec![Kind::StandbysFreezeAllKill], true).await;
    let Some(Line::Round(round)) = ended.lines.last() else { panic!("no round: {:?}", ended.lines) };
    assert!(round.lost > 0, "nothing was lost: {round:?}");
    assert!(round.problems.iter().any(|problem| problem.contains("acknowledged writes are lost")));
    let Line::Fault(fault) = &ended.lines[1] else { panic!("no fault: {:?}", ended.lines) };
    assert!(fault.lost > 0, "the fault is not charged with it: {fault:?}");
    assert!(!Table::of(&ended.lines).broken().is_empty());
}

#[test]
fn the_same_seed_makes_the_same_faults_and_every_kind_comes_as_often() {
    let kinds: Vec<Kind> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let of =
        |seed| (0..kinds.len() as u64 * 10).map(|index| Fault::at(seed, index, &kinds)).collect::<Vec<_>>();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    for (kind, name) in KINDS.iter().chain(HOST_KINDS) {
        assert_eq!((Kind::of(name).unwrap(), kind.name()), (*kind, *name));
    }
    for kind in &kinds {
        assert_eq!(of(7).iter().filter(|fault| fault.kind == *kind).count(), 10, "{kind:?}");
    }
    let freezes: Vec<u64> =
        of(7).iter().filter(|fault| fault.kind == Kind::PrimaryFreeze).map(|fault| fault.away_ms).collect();
    assert!(freezes.iter().all(|ms| (200..20_000).contains(ms)), "{freezes:?}");
    assert!(freezes.iter().any(|ms| *ms < 1_000) && freezes.iter().any(|ms| *ms > 3_000), "{freezes:?}");
}

#[test]
fn a_table_is_made_again_from_a_journal_whose_writer_died() {
    let path = std::env::temp_dir().join(format!("evenkeel-soak-table-{}.jsonl", std::process::id()));
    let text = r#"{"line":"start","format_version":1,"unix_ms":1,"seed":1,"kinds":["switchover"],"store":"etcd","cpus":2}
{"line":"fault","index":0,"kind":"switchover","away_ms":0,"node":2,"term_before":1,"term_after":2,"next_ack_ms":5.0,"gap_ms":200.0,"whole_ms":900.0,"rejoin_ms":900.0,"log_mib":208.0,"failed":3,"lost":0,"false_acks":0}
{"line":"fault","index":1,"kind":"switchover","away_ms":0,"node":2,"term_before":2,"term_after":3,"next_ack_ms":5.0,"gap_ms":700.0,"whole_ms":null,"rejoin_ms":null,"lost":1,"false_acks":2}
{"line":"round","first":0,"faults":2,"seconds":9.5,"acked":100,"acked_directly":9,"unknown":3,"lost":1,"false_acks":2,"problems":["1 acknowledged writes are lost, ids [7]"],"load_average":"1.00"}
{"line":"fault","index":2,"kind":"switchover","away_ms":0,"node":2,"term_before":3,"term_after":4,"gap_ms":9000.0,"whole_ms":900.0,"rejoin_ms":900.0,"lost":5,"false_acks":0}
{"line":"fault","index":3,"ki"#;
    std::fs::write(&path, text).unwrap();
    let lines = read(&path).unwrap();
    // Whoever goes on makes the third fault again, as its round was not written; then it counts once.
    let again = [&lines[..], &lines[..1], &lines[1..2], &lines[3..4]].concat();
    assert_eq!((Table::of(&lines).faults(), Table::of(&again).faults()), (2, 3));
    let table = Table::of(&lines);
    std::fs::remove_file(&path).unwrap();
    expect_test::expect![[r#"
        milliseconds                        n terms  gap p50      p99      max rejoin p50        max log MiB failed  lost  false
        switchover                          2     2      200      700      700        900        900     208      3     1      2
        2 faults in 1 judged rounds: 100 writes acknowledged (9 past the fronts), 3 unknown, 1 lost, 2 false acknowledgements, 1 violations
    "#]]
    .assert_eq(&table.render());
    assert_eq!(table.missed(), ["switchover: p99 of the write gap is 700 ms, above 500 ms"]);
    assert_eq!(
        table.broken(),
        ["1 acknowledged writes are lost, ids [7]", "not whole again after fault 1, switchover"]
    );
    std::fs::write(&path, "hello\n").unwrap();
    assert!(read(&path).is_err());
    std::fs::remove_file(&path).unwrap();
}

/// A freeze of half a second is no failover, a kill without a new term killed nobody, and a term between two faults is told.
#[test]
fn what_began_no_term_is_no_failover() {
    let fault = |index: u64, kind: &str, terms: (u64, u64), gap_ms: f64| {
        Line::Fault(FaultLine {
            index,
            kind: kind.to_owned(),
            term_before: terms.0,
            term_after: terms.1,
            gap_ms: Some(gap_ms),
            whole_ms: Some(900.0),
            rejoin_ms: Some(900.0),
            ..FaultLine::default()
        })
    };
    let lines = [
        fault(0, "host-freeze", (1, 1), 400.0),
        fault(1, "host-freeze", (1, 2), 1_500.0),
        fault(2, "primary-kill", (3, 3), 10.0),
        Line::Round(RoundLine { faults: 3, ..RoundLine::default() }),
    ];
    let table = Table::of(&lines);
    let rendered = table.render();
    let row = rendered.lines().find(|line| line.starts_with("host-freeze")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[1..5], ["2", "1", "1500", "1500"], "{row}");
    assert_eq!(table.broken(), ["fault 2, primary-kill: no term began, so that nothing was broken"]);
    assert_eq!(table.missed(), ["2 -> 3 after fault 1, host-freeze, once all was whole"]);
}

/// By a history of two writers, one of whom was told of success while one copy was left.
#[test]
fn a_double_fault_is_held_against_what_is_expected_of_it() {
    let write = |via, invoked_us, ended_us| Operation {
        client: 0,
        via,
        due_us: invoked_us,
        invoked_us,
        ended_us: Some(ended_us),
        action: Action::Register { id: invoked_us as i64 },
        outcome: Outcome::Ok,
    };
    // Alone from 10 to 20 ms. The first was on its way before, the second ended after, the third has no excuse.
    let (on_its_way, after) = (write(Via::Front, 9_000, 12_000), write(Via::Front, 15_000, 24_000));
    let alone = write(Via::Direct(1), 11_000, 19_000);
    let of = |operations: Vec<Operation>| {
        Double::of(&History { operations, ..History::default() }, Some((10_000, 20_000)), 20_000)
    };
    let expected = outcome::expected(Kind::TwoHostsCut).unwrap();
    let sound = of(vec![on_its_way.clone(), after.clone()]);
    assert_eq!((sound.alone_ms, sound.acked_alone, sound.writes_ms), (10.0, 0, Some(4.0)));
    assert_eq!(sound.judge(expected, Some(100.0)), Vec::<String>::new());
    let wrong = of(vec![on_its_way, alone]);
    let late = Double { writes_ms: Some(expected.writes_ms + 1.0), ..sound };
    expect_test::expect![[r#"
        1 writes were acknowledged within 10 ms in which one copy was left
        writes never came back
        writes came back 15001 ms after enough was there, above 15000 ms
        whole 30001 ms after everything was there, above 30000 ms
    "#]]
    .assert_eq(
        &[wrong.judge(expected, None), late.judge(expected, Some(30_001.0))]
            .concat()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
}

#[test]
fn what_is_expected_of_each_double_fault_stands_in_the_documentation() {
    let text = include_str!("../../../../docs/drills.md");
    let double = |name: &str| name.contains('+') || name.contains("-in-") || name.starts_with("two-");
    for (kind, name) in KINDS.iter().chain(HOST_KINDS) {
        let expected = outcome::expected(*kind);
        assert_eq!(expected.is_some(), double(name), "{name}");
        let Some(expected) = expected else { continue };
        let row = text.lines().rfind(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("`{name}` is not in docs/drills.md"));
        for ms in [expected.writes_ms, expected.whole_ms] {
            assert!(row.contains(&format!("| {} s", ms / 1_000.0)), "{ms} ms is not in: {row}");
        }
    }
}
