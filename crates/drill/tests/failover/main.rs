//! The failover bench without its hosts: the order of its turns, and the table that is made of a journal.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "only what needs no hosts is tested here")]

#[path = "../../examples/bench_failover/bench/mod.rs"]
mod bench;
#[path = "../../examples/soak_database/soak/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench takes the soak's hosts, not its faults")]
mod soak;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bench::journal::{Table, done, read};
use bench::plan::{FAULTS, Fault, SETTINGS, System, Turn, choose, turns};

const BOTH: [System; 2] = [System::Evenkeel, System::PatroniDefault];

#[test]
fn systems_take_turns_at_the_same_fault_and_every_run_has_all_of_them() {
    let all = turns(2, &[Fault::Kill, Fault::Cut], &BOTH);
    let names: Vec<String> =
        all.iter().map(|turn| format!("{} {} {:?}", turn.run, turn.fault.name(), turn.system)).collect();
    expect_test::expect![[r#"
        0 kill Evenkeel
        0 kill PatroniDefault
        0 cut Evenkeel
        0 cut PatroniDefault
        1 kill Evenkeel
        1 kill PatroniDefault
        1 cut Evenkeel
        1 cut PatroniDefault"#]]
    .assert_eq(&names.join("\n"));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn names_that_do_not_exist_are_refused_with_those_that_do() {
    assert_eq!(choose(FAULTS, "cut,kill").unwrap(), [Fault::Kill, Fault::Cut]);
    assert_eq!(choose(SETTINGS, "aggressive").unwrap(), [System::PatroniAggressive]);
    let error = choose(FAULTS, "kill,burn").unwrap_err().to_string();
    assert!(error.starts_with("`burn` is not known") && error.contains("switchover"), "{error}");
    assert!(choose(FAULTS, "").is_err());
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("evenkeel-failover-{name}-{}.jsonl", std::process::id()))
}

fn turn(run: u64, system: &str, gap_ms: &str, lost: u64, erased: u64) -> String {
    let problems = if lost > 0 { format!("\"{lost} acknowledged writes are lost\"") } else { String::new() };
    let whole = if gap_ms == "null" { "null" } else { "2000.0" };
    format!(
        "{{\"line\":\"turn\",\"run\":{run},\"fault\":\"cut\",\"system\":\"{system}\",\"unix_ms\":2,\"host\":\"a\",\"host_after\":\"b\",\
         \"gap_ms\":{gap_ms},\"next_ack_ms\":1.0,\"away_ms\":9.0,\"rejoin_ms\":{whole},\"acked\":900,\"lost\":{lost},\
         \"old_acked\":{erased},\"old_erased\":{erased},\"false_acks\":0,\"problems\":[{problems}],\"seconds\":50.0,\
         \"load_average\":{run}.5}}\n"
    )
}

#[test]
fn a_table_is_made_again_from_a_journal_whose_writer_died() {
    let path = scratch("table");
    let mut text = r#"{"line":"start","format_version":1,"unix_ms":1795824000000,"seed":1,"faults":["cut"],"systems":["evenkeel","patroni_default"],"sync":false,"versions":{"Patroni":"4.1.5"},"cpus":2}"#.to_owned();
    text.push('\n');
    for (run, ours, theirs) in [(0, "1000.0", "30000.0"), (1, "2000.0", "31000.0"), (2, "1200.0", "null")] {
        text.push_str(&turn(run, "evenkeel", ours, 0, 0));
        text.push_str(&turn(run, "patroni_default", theirs, run, 100));
    }
    text.push_str("{\"line\":\"turn\",\"run\":3,\"fau");
    std::fs::write(&path, text).unwrap();
    let lines = read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let table = Table::of(&lines).unwrap();
    expect_test::expect![[r#"
        `cargo xtask bench failover`, 2026-11-28, 2 cores, load 0.5..2.5, Patroni 4.1.5. The peer replicates asynchronously, its default.

        | fault | system | n | median s | max s | times ours (range) | rejoin median s | max s | lost | erased |
        |---|---|---|---|---|---|---|---|---|---|
        | cut | evenkeel | 3 | 1.20 | 2.00 | 1 | 2.00 | 2.00 | 0 | 0 |
        | cut | Patroni, default | 3 (1 never came back) | 30.50 | 31.00 | 23 (16..30) | 2.00 | 2.00 | 3 | 300 |

        Seconds without an acknowledged write. lost: acknowledged on the applications' way, and gone. erased: acknowledged to a client on the old primary's host, and gone.
    "#]]
    .assert_eq(&table.render());
    assert_eq!(table.broken(), Vec::<String>::new(), "what the peer loses breaks no promise of ours");
    let next = Turn { run: 2, fault: Fault::Cut, system: System::PatroniDefault };
    assert!(done(&lines).contains(&next) && done(&lines).len() == 6);
}

#[test]
fn a_write_that_ours_loses_turns_the_bench_red() {
    let path = scratch("red");
    let start = r#"{"line":"start","format_version":1,"unix_ms":1,"seed":1,"faults":["cut"],"systems":["evenkeel"],"sync":true,"versions":{},"cpus":2}"#;
    let text =
        format!("{start}\n{}{}", turn(0, "evenkeel", "1000.0", 1, 0), turn(1, "evenkeel", "null", 0, 0));
    std::fs::write(&path, text).unwrap();
    let lines = read(&path).unwrap();
    std::fs::write(&path, "hello\n").unwrap();
    assert!(read(&path).is_err());
    std::fs::remove_file(&path).unwrap();
    let broken = Table::of(&lines).unwrap().broken();
    assert_eq!(broken, ["run 1 of cut: 1 acknowledged writes are lost", "run 2 of cut: not whole again"]);
}
