use expect_test::{Expect, expect};
use model::{Fault, FaultKind, PlanNumber};

use super::super::fixture::{picture, unit, zone};
use super::*;

fn told(status: &Status) -> String {
    let mut lines = vec![format!("{} #{} {}", status.app, status.plan.0, status.rollout)];
    for zone in &status.zones {
        let front = zone.front.map_or("no front".to_owned(), |front| front.to_string());
        lines.push(format!("{} {} {front}", zone.zone, if zone.alive { "up" } else { "silent" }));
    }
    for unit in &status.units {
        let healthy = if unit.healthy { "healthy" } else { "unhealthy" };
        let line =
            format!("{} {} {} {:?} {healthy} {}", unit.role, unit.name, unit.zone, unit.state, unit.detail);
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

#[track_caller]
fn check(story: &str, expect: Expect) {
    expect.assert_eq(&told(&build(&picture(story), None, 1)));
}

#[test]
fn fronts_are_shown_beside_the_replicas_they_send_to() {
    check(
        "plan 1; agent a; unit web-1 in a; web-1 in a is ready; edge-a in a is ready; front a serves 9",
        expect![[r#"
            shop #1 reached
            a up 127.0.1.1:8080
            b silent no front
            c silent no front
            replica web-1 a Ready healthy
            front edge-a a Ready healthy"#]],
    );
}

#[test]
fn a_front_that_runs_but_could_not_listen_is_not_well() {
    let ready = "agent a; edge-a in a is ready";
    for story in [format!("{ready}; front a serves 9; front a is closed"), ready.to_owned()] {
        let status = build(&picture(&story), None, 1);
        assert!(!status.units[0].healthy && status.entries.is_empty(), "{story}");
    }
}

/// An application of workers and a database alone: `up` must not wait for a front that has nothing to do.
#[test]
fn a_front_that_nothing_comes_in_through_is_well_without_listening() {
    let story = "plan 1; agent a; edge-a in a is ready; front a serves 9; front a is closed";
    let mut mirror = picture(story);
    assert!(!build(&mirror, None, 1).units[0].healthy);
    let (rollout, _) = mirror.rollout.as_mut().unwrap();
    rollout.plan.ingress.clear();
    assert!(build(&mirror, None, 1).units[0].healthy);
    mirror.fronts.clear();
    assert!(!build(&mirror, None, 1).units[0].healthy, "it never said a word");
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let story = "agent a; edge-a in a is ready; front a serves 9; front a is refused 80";
    let front = &build(&picture(story), None, 1).units[0];
    assert_eq!(
        (front.healthy, front.detail.as_str()),
        (false, "cannot listen on 127.0.1.1:80: address already in use")
    );
}

#[test]
fn what_a_silent_zone_said_last_is_not_taken_for_now() {
    check(
        "plan 1; agent a; unit web-1 in a; unit web-2 in b; web-1 in a is ready; web-2 in b is ready; \
         edge-b in b is ready; front b serves 9",
        expect![[r#"
            shop #1 reached
            a up no front
            b silent 127.0.2.1:8080
            c silent no front
            replica web-1 a Ready healthy
            replica web-2 b Ready unhealthy its zone does not answer
            front edge-b b Ready unhealthy its zone does not answer"#]],
    );
    assert!(
        build(&picture("front b serves 9"), None, 1).entries.is_empty(),
        "nobody is sent to a dead front"
    );
}

#[test]
fn a_replica_is_healthy_only_while_it_may_get_requests() {
    check(
        "agent a; unit web-1 in a; unit web-2 in a drains since 7; unit web-3 in a; \
         web-2 in a is ready; web-3 in a is unready",
        expect![[r#"
             #0 
            a up no front
            replica web-1 a Starting unhealthy assigned
            replica web-2 a Ready unhealthy
            replica web-3 a Unready unhealthy"#]],
    );
}

#[test]
fn what_was_not_measured_is_not_called_zero() {
    let nothing = build(&picture("plan 1; agent a; front a serves 9"), None, 1).objectives;
    assert_eq!((nothing.measured_percent, nothing.rps, nothing.measured_rto_zone_ms), (None, None, None));
    assert_eq!((nothing.availability_percent, nothing.budget_usd_month), (None, None));
    let before = build(&picture("agent a"), None, 1).objectives;
    assert_eq!(before.planned_usd_month, None, "no plan has no price; a free one has");
    assert_eq!(nothing.planned_usd_month, Some(0.0));
}

#[test]
fn availability_counts_every_front_dead_ones_too() {
    let story = "plan 1; agent a; front a counts 900 0; front b counts 100 10";
    let status = build(&picture(story), Some(12.5), 1);
    let measured = status.objectives;
    assert_eq!((measured.requests, measured.errors, measured.rps), (1000, 10, Some(12.5)));
    assert!((measured.measured_percent.unwrap() - 99.0).abs() < 1e-9);
}

fn verdict(target: FaultTarget, rto_ms: Option<f64>) -> Verdict {
    let fault = Fault { target, kind: FaultKind::Kill };
    Verdict { rto_ms, ..super::super::fixture::verdict(fault, "b") }
}

#[test]
fn the_worst_zone_drill_is_what_was_proven_and_one_not_run_proves_nothing() {
    let mut mirror = picture("plan 1");
    let mut add = |key: &str, target, rto| {
        mirror.verdicts.insert(key.to_owned(), verdict(target, rto));
        build(&mirror, None, 1).objectives.measured_rto_zone_ms
    };
    assert_eq!(add("1", FaultTarget::Zone, None), None);
    assert_eq!(add("2", FaultTarget::Front, Some(9_000.0)), None);
    assert_eq!(add("3", FaultTarget::Zone, Some(300.2)), Some(301), "never rounded in one's favour");
    assert_eq!(add("4", FaultTarget::Zone, Some(10.0)), Some(301));
}

#[test]
fn the_newest_drills_come_first_and_are_not_too_many() {
    let mut mirror = picture("plan 1");
    for n in 0..30_u32 {
        let one = Verdict { at_ms: n.into(), ..verdict(FaultTarget::Zone, None) };
        mirror.verdicts.insert(format!("{n:015}"), one);
    }
    let shown: Vec<u64> = build(&mirror, None, 1).drills.iter().map(|drill| drill.at_ms).collect();
    assert_eq!(shown, (10..30).rev().collect::<Vec<u64>>());
}

#[test]
fn a_rollback_says_which_plan_failed_and_why() {
    let mut mirror = picture("plan 1; leader b");
    let why = "`web-3` did not become healthy".to_owned();
    mirror.rollout.as_mut().unwrap().0.phase = RolloutPhase::RolledBack { failed: PlanNumber(2), why };
    let status = build(&mirror, None, 1);
    assert_eq!(status.rollout, "rolled back from plan #2: `web-3` did not become healthy");
    assert_eq!((status.leader, status.highly_available), (Some(zone("b")), false));
}

#[test]
fn a_zone_that_the_plan_left_is_shown_until_its_last_unit_is_gone() {
    let mut mirror = picture("plan 1; agent a; unit web-9 in d; agent e");
    mirror.rollout.as_mut().unwrap().0.plan.zones = vec![zone("a")];
    let zones: Vec<String> = build(&mirror, None, 1).zones.iter().map(|zone| zone.zone.to_string()).collect();
    assert_eq!(zones, ["a", "d", "e"]);
    assert!(mirror.units.contains_key(&unit("web-9")));
}

#[test]
fn a_data_front_that_cannot_have_its_port_is_not_well() {
    let mut mirror = picture("plan 1; agent a; data front a listens; data-a in a is ready");
    let state = mirror.states.values().next().unwrap().clone();
    assert!(front_status(&mirror, &state).healthy);
    let known = mirror.data_fronts.values_mut().next().unwrap();
    known.refused = vec![(known.listen.remove(0), "address already in use".to_owned())];
    let told = front_status(&mirror, &state);
    assert_eq!(
        (told.healthy, told.detail.as_str()),
        (false, "cannot listen on 127.0.1.1:6432: address already in use")
    );
}
