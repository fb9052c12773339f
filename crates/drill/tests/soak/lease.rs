//! What is held against a database under a lease, and against one whose agent was killed: by histories and journals.

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

use drill::database::{Action, FinalState, History, Operation, Outcome, Via};

use crate::soak::ground::Where;
use crate::soak::journal::{FaultLine, Line, RoundLine, Table};
use crate::soak::loss::{Takeover, judge};
use crate::soak::plan::Kind;

const SECOND: u64 = 1_000_000;
const AT: u64 = 20 * SECOND;

fn write(via: Via, id: i64, invoked_us: u64) -> Operation {
    Operation {
        client: 0,
        via,
        due_us: invoked_us,
        invoked_us,
        ended_us: Some(invoked_us + 2_000),
        action: Action::Register { id },
        outcome: Outcome::Ok,
    }
}

/// A primary writes through the front ten times a second until it is cut off, and on for its own host for 3 s; the other
/// one from 7 s after the cut on. `lost` are gone.
fn check(lost: std::ops::RangeInclusive<i64>, taken_over: bool, more: &[Operation], expected: &[&str]) {
    let tenth = SECOND / 10;
    let mut operations: Vec<Operation> = (0..200).map(|n| write(Via::Front, n, n as u64 * tenth)).collect();
    operations.extend((0..30).map(|n| write(Via::Direct(0), 200 + n, AT + n as u64 * tenth)));
    operations.extend((0..50).map(|n| write(Via::Direct(1), 300 + n, AT + 7 * SECOND + n as u64 * tenth)));
    operations.extend_from_slice(more);
    let registers = operations.iter().filter_map(|operation| match operation.action {
        Action::Register { id } if !lost.contains(&id) && id < 1_000 => Some(id),
        _ => None,
    });
    let survived = FinalState { registers: registers.collect(), ..FinalState::default() };
    let takeover = Takeover { at_us: AT, until_us: AT + 15 * SECOND };
    let takeovers: &[Takeover] = if taken_over { &[takeover] } else { &[] };
    let judgement = judge(&History { operations, ..History::default() }, &survived, takeovers);
    let told: Vec<String> =
        judgement.problems.iter().map(|told| told.split(", ids").next().unwrap().to_owned()).collect();
    assert_eq!(told, expected);
    let gone = lost.clone().count()
        + more.iter().filter(|more| !matches!(more.action, Action::Register { id } if id < 1_000)).count();
    assert_eq!(judgement.registers.unwrap().lost.count, gone as u64, "what is forgiven is counted");
}

#[test]
fn nothing_is_broken_under_a_lease_that_it_assumes() {
    let kinds = Kind::all(Where::Lease);
    assert!(kinds.iter().all(|kind| Kind::all(Where::Hosts).contains(kind)), "{kinds:?}");
    for assumed in [Kind::StoreAway, Kind::HostFreeze, Kind::TwoHostsCut, Kind::HostKillStandbyFreeze] {
        assert!(!kinds.contains(&assumed), "{assumed:?}");
    }
}

#[test]
fn beside_a_witness_nothing_takes_two_hosts() {
    let kinds = Kind::all(Where::HostsWitness);
    assert!(kinds.iter().all(|kind| Kind::all(Where::Hosts).contains(kind)), "{kinds:?}");
    for two in [Kind::TwoHostsCut, Kind::HostKillStandbyFreeze] {
        assert!(!kinds.contains(&two), "{two:?}: neither two copies nor a copy and the log are left");
    }
}

#[test]
fn what_a_lease_states_is_forgiven_and_counted_and_nothing_else() {
    // It ended 2.9 s after the cut: what was acknowledged from 5.1 s before the cut on may be gone.
    check(150..=229, true, &[], &[]);
    check(140..=229, true, &[], &["9 acknowledged writes are lost"]);
    // Nobody followed it: it has what it acknowledged.
    check(229..=229, false, &[], &["1 acknowledged writes are lost"]);
    // So long after the fault nobody's end is the old primary's: by what survives, two acknowledged in turn.
    let turns = "10 writes were acknowledged by a primary that another one had followed";
    check(340..=349, true, &[], &["10 acknowledged writes are lost", turns]);
}

#[test]
fn a_primary_that_acknowledges_when_the_other_one_has_is_found() {
    let early = write(Via::Direct(1), 900, AT + 2 * SECOND);
    let wrong = "writes were acknowledged by a primary that another one had followed";
    check(200..=229, true, &[early], &[&format!("9 {wrong}")]);
    let late = write(Via::Direct(0), 1_000, AT + 7 * SECOND + 3_000);
    let lost = "1 acknowledged writes are lost";
    check(200..=229, true, std::slice::from_ref(&late), &[lost, &format!("1 {wrong}")]);
    // It was sent before, so it may have been carried out before.
    let sent_before = Operation { invoked_us: AT + 7 * SECOND + 1_000, ..late };
    check(200..=229, true, &[sent_before], &[lost]);
}

#[test]
fn who_notices_that_an_agent_or_the_store_was_away_turns_the_soak_red() {
    let broken = |place: &str, kind: &str, away_ms: u64, failed: u64, term_after: u64| {
        let start = format!(
            r#"{{"line":"start","format_version":1,"unix_ms":1,"seed":1,"kinds":[],"place":"{place}","store":"etcd","cpus":2}}"#
        );
        let (kind, whole_ms) = (kind.to_owned(), Some(100.0));
        let fault =
            FaultLine { kind, away_ms, failed, term_before: 3, term_after, whole_ms, ..FaultLine::default() };
        let round = Line::Round(RoundLine { faults: 1, ..RoundLine::default() });
        Table::of(&[serde_json::from_str(&start).unwrap(), Line::Fault(fault), round]).broken()
    };
    let none = Vec::<String>::new();
    assert_eq!(broken("hosts", "agent-kill", 9_000, 0, 3), none);
    assert_eq!(
        broken("hosts", "agent-kill", 9_000, 1, 3),
        ["without its agent, fault 0: 1 writes failed and 0 terms began"]
    );
    assert_eq!(broken("hosts", "agent-kill+leader", 500, 0, 4).len(), 1);
    assert_eq!(broken("hosts", "store-away+leader", 6_000, 0, 4).len(), 1);
    assert_eq!(broken("hosts", "primary-kill", 0, 7, 4), none);
    // Nobody renews its lease meanwhile: only another agent that is there soon.
    assert_eq!(broken("lease", "agent-kill", 500, 0, 4).len(), 1);
    assert_eq!(broken("lease", "agent-kill", 9_000, 7, 4), none);
}
