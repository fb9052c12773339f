//! Each anomaly by hand, and the sentence it gets.

use expect_test::{Expect, expect};

use super::super::decide_history::{Outcome, Via};
use super::*;

/// One transaction a line: its session, `ok`, `no` (surely failed) or `??`, then steps: `x<1` appends, `x=1,2` reads.
/// A last line `end x=1,2 y=` is what survived; without it, every list is as its longest read or append order says.
fn history(text: &str, isolation: Isolation) -> (History, FinalState) {
    let mut survived = FinalState::default();
    let mut operations = Vec::new();
    let key = |word: &str| i64::from(word.as_bytes()[0]) - i64::from(b'a');
    let list = |word: &str| -> Vec<i64> { word.split(',').filter_map(|v| v.parse().ok()).collect() };
    for (at, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        if first == "end" {
            survived.lists = words.map(|word| (key(word), list(&word[2..]))).collect();
            continue;
        }
        let outcome = match words.next().unwrap() {
            "ok" => Outcome::Ok,
            "no" => Outcome::Failed { why: "40001".into() },
            _ => Outcome::Unknown { why: "late".into(), false_ack: false },
        };
        let step = |word: &str| match &word[1..2] {
            "<" => Step::Append { key: key(word), value: word[2..].parse().unwrap() },
            _ => Step::Read { key: key(word), list: Some(list(&word[2..])) },
        };
        let (invoked_us, steps) = (at as u64 * 1000, words.map(step).collect());
        operations.push(Operation {
            client: first.parse().unwrap(),
            via: Via::Front,
            due_us: invoked_us,
            invoked_us,
            ended_us: Some(invoked_us + 10),
            action: Action::Transaction { steps },
            outcome,
        });
    }
    (History { operations, isolation, ..History::default() }, survived)
}

fn report(text: &str) -> ListReport {
    let (history, survived) = history(text, Isolation::Serializable);
    check_lists(&history, &survived).unwrap()
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let lines = report(text).anomalies.into_iter().map(|a| format!("{:?}: {}\n", a.kind, a.explanation));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_sound_history_has_nothing_to_say() {
    check(
        "1 ok a<1 b<1
         2 ok a=1 a<2 a=1,2
         3 no a<9
         3 ?? b<7
         1 ok a=1,2 b=1,7
         end a=1,2 b=1,7",
        expect![[""]],
    );
    assert_eq!(check_lists(&History::default(), &FinalState::default()), None);
}

#[test]
fn g0_writes_over_each_other_in_both_orders() {
    check(
        "1 ok a<1 b<1
         2 ok a<2 b<2
         end a=1,2 b=2,1",
        expect![[r#"
            G0: T0 (client 1, 0.000 s): 0 << 1, 1 << 1
            T1 (client 2, 0.001 s): 0 << 2, 1 << 2
              T0 before T1: T1 appended 2 to list 0 after it (ww)
              T1 before T0: T0 appended 1 to list 1 after it (ww)
        "#]],
    );
}

#[test]
fn g1a_reads_what_failed() {
    check(
        "1 no a<1
         2 ok a=1
         end a=",
        expect![[r#"
            G1a: value 1 is in list 0, and T0 (client 1, 0.000 s), which appended it, surely failed
        "#]],
    );
}

#[test]
fn g1b_reads_the_middle_of_a_transaction() {
    check(
        "1 ok a<1 a<2
         2 ok a=1
         end a=1,2",
        expect![[r#"
            G1b: T1 (client 2, 0.001 s) read list 0 up to 1, from the middle of T0 (client 1, 0.000 s)
            GSingle: T1 (client 2, 0.001 s): 0 = [1]
            T0 (client 1, 0.000 s): 0 << 1, 0 << 2
              T1 before T0: T1 read list 0 without T0's 2 (rw)
              T0 before T1: T1 read its 1 in list 0 (wr)
        "#]],
    );
}

#[test]
fn g1c_two_transactions_read_each_other() {
    check(
        "1 ok a<1 b=2
         2 ok b<2 a=1
         end a=1 b=2",
        expect![[r#"
            G1c: T0 (client 1, 0.000 s): 0 << 1, 1 = [2]
            T1 (client 2, 0.001 s): 1 << 2, 0 = [1]
              T0 before T1: T1 read its 1 in list 0 (wr)
              T1 before T0: T0 read its 2 in list 1 (wr)
        "#]],
    );
}

#[test]
fn g_single_reads_one_list_before_and_one_after_a_transaction() {
    check(
        "1 ok a<1 b<1
         2 ok a=1 b=
         end a=1 b=1",
        expect![[r#"
            GSingle: T1 (client 2, 0.001 s): 0 = [1], 1 = []
            T0 (client 1, 0.000 s): 0 << 1, 1 << 1
              T1 before T0: T1 read list 1 without T0's 1 (rw)
              T0 before T1: T1 read its 1 in list 0 (wr)
        "#]],
    );
}

#[test]
fn g2_two_transactions_miss_each_other() {
    check(
        "1 ok a= b<1
         2 ok b= a<1
         end a=1 b=1",
        expect![[r#"
            G2: T0 (client 1, 0.000 s): 0 = [], 1 << 1
            T1 (client 2, 0.001 s): 1 = [], 0 << 1
              T0 before T1: T0 read list 0 without T1's 1 (rw)
              T1 before T0: T1 read list 1 without T0's 1 (rw)
        "#]],
    );
}

#[test]
fn a_stale_read_is_a_cycle_through_its_session() {
    check(
        "1 ok a<1
         1 ok a=
         end a=1",
        expect![[r#"
            GSingle: T1 (client 1, 0.001 s): 0 = []
            T0 (client 1, 0.000 s): 0 << 1
              T1 before T0: T1 read list 0 without T0's 1 (rw)
              T0 before T1: it had ended, in the same session
        "#]],
    );
}

#[test]
fn an_acknowledged_append_that_is_gone() {
    check(
        "1 ok a<1
         2 ok a=1
         3 ok a<2
         end a=1",
        expect![[r#"
            LostAppend: T2 (client 3, 0.002 s) appended 2 to list 0 and was acknowledged; the list does not hold it
        "#]],
    );
}

#[test]
fn two_primaries_fork_a_list() {
    check(
        "1 ok a<1
         2 ok a<2 a=1,2
         3 ok a<3 a=1,3
         end a=1,3",
        expect![[r#"
            IncompatibleOrder: T1 (client 2, 0.001 s) read list 0 as [1, 2]; another read is [1, 3]
            LostAppend: T1 (client 2, 0.001 s) appended 2 to list 0 and was acknowledged; the list does not hold it
        "#]],
    );
}

#[test]
fn values_twice_and_from_nowhere() {
    check(
        "1 ok a<1
         2 ok a=1,1
         3 ok b=5
         end a=1,1 b=5",
        expect![[r#"
            Duplicate: value 1 is twice in list 0: [1, 1]
            FromNowhere: value 5 is in list 1, and nobody tried to append it
        "#]],
    );
}

#[test]
fn a_transaction_reads_its_own_append_and_the_same_twice() {
    check(
        "1 ok a<1 a=
         2 ok b<2
         3 ok b= b=2
         end a=1 b=2",
        expect![[r#"
            Internal: T0 (client 1, 0.000 s) appended [1] to list 0 and then read []
            Fuzzy: T2 (client 3, 0.002 s) read list 1 as [] and then as [2]
            GSingle: T2 (client 3, 0.002 s): 1 = [], 1 = [2]
            T1 (client 2, 0.001 s): 1 << 2
              T2 before T1: T2 read list 1 without T1's 2 (rw)
              T1 before T2: T2 read its 2 in list 1 (wr)
        "#]],
    );
}

#[test]
fn an_unknown_append_may_come_late_and_a_longer_cycle_is_found_through_it() {
    // T1 is unknown and is seen, so it took place; T2 and T0 are on both sides of it.
    check(
        "1 ok a<1 c=
         2 ?? a<2 b<2
         3 ok b=2 c<3
         end a=2,1 b=2 c=3",
        expect![[""]],
    );
    check(
        "1 ok a=3 b<1
         2 ?? b<2 c<2
         3 ok c=2 a<3
         end a=3 b=1,2 c=2",
        expect![[r#"
            G1c: T0 (client 1, 0.000 s): 0 = [3], 1 << 1
            T1 (client 2, 0.001 s): 1 << 2, 2 << 2
            T2 (client 3, 0.002 s): 2 = [2], 0 << 3
              T0 before T1: T1 appended 2 to list 1 after it (ww)
              T1 before T2: T2 read its 2 in list 2 (wr)
              T2 before T0: T0 read its 3 in list 0 (wr)
        "#]],
    );
}

#[test]
fn what_an_isolation_level_allows_is_told_and_not_held_against_it() {
    let skew = "1 ok a= b<1
                2 ok b= a<1
                end a=1 b=1";
    let torn = "1 ok a<1 b<1
                2 ok a=1 b=
                end a=1 b=1";
    let forbidden = |text, isolation| {
        let (history, survived) = history(text, isolation);
        let report = check_lists(&history, &survived).unwrap();
        assert_eq!(report.anomalies.len(), 1);
        (report.forbidden(isolation), report.anomalies[0].is_forbidden)
    };
    assert_eq!(forbidden(skew, Isolation::Serializable), (1, true));
    assert_eq!(forbidden(skew, Isolation::RepeatableRead), (0, false));
    assert_eq!(forbidden(torn, Isolation::RepeatableRead), (1, true));
    assert_eq!(forbidden(torn, Isolation::ReadCommitted), (0, false));
}
