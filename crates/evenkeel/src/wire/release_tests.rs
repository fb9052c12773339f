use super::super::fixture::{picture, zone};
use super::*;

/// The units of zone a that may end now, in one line.
#[track_caller]
fn check(story: &str, expected: &str) {
    let names: Vec<String> = released(&picture(story), &zone("a")).iter().map(ToString::to_string).collect();
    assert_eq!(names.join(" "), expected, "{story}");
}

#[test]
fn a_replica_that_still_answers_a_request_is_not_ended_under_it() {
    let drain = "agent a; agent b; unit web-1 in a drains since 7; front a serves 9; ";
    check(&format!("{drain} front b serves 9 holds web-1"), "");
    check(&format!("{drain} front b serves 9 holds web-2"), "web-1");
    check(&format!("{drain} front b serves 9"), "web-1");
}

#[test]
fn a_front_that_has_not_heard_of_the_drain_may_still_send() {
    let drain = "agent a; agent b; unit web-1 in a drains since 7; front a serves 9; ";
    check(&format!("{drain} front b serves 6"), "");
    check(&format!("{drain} front b serves 7"), "web-1");
    // The own zone's front is no better than another's.
    check("agent a; agent b; unit web-1 in a drains since 7; front a serves 6; front b serves 9", "");
}

#[test]
fn a_rollout_does_not_hang_on_a_dead_zone() {
    check("agent a; unit web-1 in a drains since 7; front a serves 9; front b serves 1 holds web-1", "web-1");
}

#[test]
fn a_zone_whose_front_never_reported_is_not_waited_for() {
    check("agent a; agent b; unit web-1 in a drains since 7; front a serves 9", "web-1");
}

#[test]
fn each_drain_is_waited_for_on_its_own_and_by_its_own_zone() {
    let story = "agent a; front a serves 8; unit web-1 in a; unit web-2 in a drains since 7; \
        unit web-3 in a drains since 9; unit web-4 in b drains since 7";
    check(story, "web-2");
}
