use super::*;

/// Plays `answers` of one port, each with its moment, and tells at which of `looks` it refuses.
#[track_caller]
fn check(answers: &[(u64, Answer)], looks: &[(u64, bool)]) {
    for &(at, expected) in looks {
        let mut door = Door::default();
        for &(moment, answer) in answers.iter().filter(|(moment, _)| *moment <= at) {
            door.answered(answer, Moment(moment));
        }
        assert_eq!(door.refuses(Moment(at)), expected, "at {at} ms");
    }
}

use Answer::{Accepted, Nothing, Refused};

#[test]
fn one_refusal_may_be_a_process_that_is_being_replaced() {
    check(&[(1_000, Refused)], &[(1_000, false), (1_100, false)]);
    check(&[(1_000, Refused), (1_049, Refused)], &[(1_049, false)]);
    check(&[(1_000, Refused), (1_025, Refused), (1_050, Refused)], &[(1_025, false), (1_050, true)]);
}

#[test]
fn whoever_answers_again_is_there_at_once() {
    check(
        &[(0, Refused), (60, Refused), (85, Accepted), (110, Refused)],
        &[(60, true), (85, false), (110, false)],
    );
}

#[test]
fn a_host_that_stops_answering_no_longer_says_anything() {
    check(
        &[(0, Refused), (60, Refused), (560, Nothing)],
        &[(60, true), (410, true), (411, false), (560, false)],
    );
    check(&[(0, Nothing), (500, Nothing), (1_000, Nothing)], &[(1_000, false)]);
    check(&[(0, Refused), (30, Nothing), (60, Refused)], &[(60, false)]);
}

#[test]
fn refusals_before_and_after_a_stall_of_this_process_are_not_one_answer() {
    check(&[(0, Refused), (351, Refused), (401, Refused)], &[(351, false), (401, true)]);
    check(&[(0, Refused), (60, Refused)], &[(60, true), (9_000, false)]);
}

#[test]
fn a_peer_that_is_heard_is_not_refused() {
    let mut door = Door::default();
    door.answered(Refused, Moment(0));
    door.answered(Refused, Moment(60));
    door.heard();
    assert!(!door.refuses(Moment(60)));
}

#[test]
fn a_port_is_asked_quickly_for_half_a_second_after_a_change_and_never_in_bursts() {
    let mut door = Door::default();
    let mut asked = Vec::new();
    let mut now = Moment(10_000);
    door.hurry(now);
    while now < Moment(11_000) {
        asked.push(now.0 - 10_000);
        door.answered(Refused, now);
        now = door.next(now, now);
    }
    let expected: Vec<u64> = (0..20).map(|n| n * 25).chain((5..10).map(|n| n * 100)).collect();
    assert_eq!(asked, expected);
    // An asker that stood still for a minute is late once.
    let late = door.next(Moment(11_000), Moment(71_000));
    assert_eq!(late, Moment(11_100));
    door.answered(Accepted, Moment(71_000));
    assert_eq!(door.next(Moment(71_000), Moment(71_000)), Moment(71_025));
}
