use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::{Rollout, UnitState};
use world::Chance;

use super::*;
use crate::{Kept, ZoneView};

/// A store in memory and a script of what happens to it, one word and its arguments at a time:
/// `plan 2 web x3 v8 [n1]` applies a plan (`n1`: one may be missing), `ready`, `ready web-4`, `fail web-4`,
/// `stop`: agents speak, `kill c` and `back c`: a zone's lease, `5s`: time passes, `new leader`.
/// After each step the decider runs until it has nothing more to do, and what it did is printed.
struct Stage {
    view: View,
    memory: Memory,
    now: Moment,
    modified: u64,
    out: String,
}

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

impl Stage {
    fn new() -> Stage {
        let zones = ["a", "b", "c"].map(|name| ZoneView { zone: zone(name), alive: true }).to_vec();
        let view = View { zones, ..View::default() };
        Stage { view, memory: Memory::default(), now: Moment(0), modified: 0, out: String::new() }
    }

    fn plan(&mut self, words: &[&str]) {
        let mut plan = crate::sim::first_plan(&["a", "b", "c"].map(zone), &mut Chance::from_seed(1));
        let number = |prefix: &str| {
            words.iter().find_map(|word| word.strip_prefix(prefix)).and_then(|text| text.parse::<u32>().ok())
        };
        plan.number = model::PlanNumber(words[0].parse().unwrap());
        plan.services.truncate(1);
        plan.services[0].service.name = ServiceName::new(words[1]).unwrap();
        plan.services[0].replicas = number("x").unwrap();
        plan.services[0].version = number("v").unwrap().into();
        plan.services[0].service.deploy.max_unavailable = number("n").unwrap_or(0);
        if let Some(zones) = words.iter().find_map(|word| word.strip_prefix("in:")) {
            plan.zones = zones.split('+').map(zone).collect();
        }
        let good = self.view.rollout.as_ref().and_then(|kept| kept.value.good.clone());
        self.modified += 1;
        let value = Rollout { plan, good, phase: RolloutPhase::Rolling };
        self.view.rollout = Some(Kept { value, modified: self.modified });
    }

    fn say(&mut self, phase: Phase, only: Option<&str>) {
        for record in self.view.units.iter().map(|kept| &kept.value) {
            let drained = record.want == Want::Drain;
            if only.is_some_and(|only| only != record.name.as_str()) || drained != (phase == Phase::Stopped) {
                continue;
            }
            let alive = self.view.alive(&record.zone);
            self.view.states.retain(|state| state.name != record.name || !alive);
            if alive {
                self.view.states.push(UnitState {
                    name: record.name.clone(),
                    zone: record.zone.clone(),
                    service: record.service.name.clone(),
                    version: record.version,
                    phase,
                    address: None,
                    pid: None,
                    restarts: 0,
                    detail: "exit status 1".to_owned(),
                });
            }
        }
    }

    fn step(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["plan", ref rest @ ..] => self.plan(rest),
            ["ready"] => self.say(Phase::Ready, None),
            ["ready", unit] => self.say(Phase::Ready, Some(unit)),
            ["fail", unit] => self.say(Phase::Failed, Some(unit)),
            ["stop"] => self.say(Phase::Stopped, None),
            ["kill", "all"] => self.view.zones.clear(),
            ["kill", name] => self.view.zones.retain(|seen| seen.zone != zone(name)),
            ["back", name] => self.view.zones.push(ZoneView { zone: zone(name), alive: true }),
            ["new", "leader"] => self.memory = Memory::default(),
            [time] => self.now = self.now.plus(time.parse::<model::Duration>().unwrap().0),
            _ => panic!("`{text}`"),
        }
        let _ = write!(self.out, "{text}:");
        for round in 0.. {
            assert!(round < 20, "never comes to rest\n{}", self.out);
            let mut again = self.memory.clone();
            let actions = decide(&self.view, &mut self.memory, self.now);
            assert_eq!(
                actions,
                decide(&self.view, &mut again, self.now),
                "decided differently the second time"
            );
            if actions.is_empty() {
                break;
            }
            let _ = write!(self.out, "{}", if round == 0 { "" } else { ";" });
            for action in actions {
                self.carry_out(action);
            }
        }
        self.out.push('\n');
    }

    fn carry_out(&mut self, action: Action) {
        self.modified += 1;
        let modified = self.modified;
        match action {
            Action::Assign { unit, counter } => {
                let _ = write!(self.out, " start {}/{} v{}", unit.name, unit.zone, unit.version);
                self.view.counters.insert(unit.service.name.clone(), Kept { value: counter, modified });
                self.view.units.push(Kept { value: *unit, modified });
            }
            Action::Drain { unit } => {
                let _ = write!(self.out, " drain {unit}");
                let known = self.view.units.iter_mut().find(|kept| kept.value.name == unit).unwrap();
                known.value.want = Want::Drain;
            }
            Action::Remove { unit } => {
                let _ = write!(self.out, " remove {unit}");
                self.view.units.retain(|kept| kept.value.name != unit);
            }
            Action::SetRollout { rollout } => {
                let _ = write!(self.out, " [{} {:?}]", rollout.plan.number.0, rollout.phase);
                self.view.rollout = Some(Kept { value: *rollout, modified });
            }
        }
    }
}

#[track_caller]
fn check(script: &str, expect: Expect) {
    let mut stage = Stage::new();
    script.split(',').map(str::trim).for_each(|step| stage.step(step));
    expect.assert_eq(&stage.out);
}

#[test]
fn replicas_are_spread_evenly_and_the_plan_is_reached_when_all_are_ready() {
    check(
        "plan 1 web x5 v1, ready web-1, ready, 60s",
        expect![[r#"
        plan 1 web x5 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1 start web-4/a v1 start web-5/b v1
        ready web-1:
        ready: [1 Reached]
        60s:
    "#]],
    );
}

#[test]
fn a_lost_zone_is_replaced_at_once_and_refilled_only_after_it_has_settled() {
    check(
        "plan 1 web x6 v1, ready, kill c, ready, back c, 9s, 1s, ready, stop, ready, stop",
        expect![[r#"
        plan 1 web x6 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1 start web-4/a v1 start web-5/b v1 start web-6/c v1
        ready: [1 Reached]
        kill c: start web-7/a v1 start web-8/b v1 remove web-3 remove web-6
        ready:
        back c:
        9s:
        1s: start web-9/c v1
        ready: drain web-8
        stop: start web-10/c v1 remove web-8
        ready: drain web-7
        stop: remove web-7
    "#]],
    );
}

#[test]
fn a_zone_that_flaps_pulls_nothing() {
    check(
        "plan 1 web x3 v1, ready, kill b, ready, back b, 8s, kill b, back b, 8s, 3s",
        expect![[r#"
        plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
        ready: [1 Reached]
        kill b: start web-4/a v1 remove web-2
        ready:
        back b:
        8s:
        kill b:
        back b:
        8s:
        3s: start web-5/b v1
    "#]],
    );
}

#[test]
fn a_new_version_starts_before_an_old_one_ends() {
    check(
        "plan 1 web x3 v1, ready, plan 2 web x3 v2, 5s, ready web-4, stop, ready, stop, ready, stop",
        expect![[r#"
            plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
            ready: [1 Reached]
            plan 2 web x3 v2: start web-4/a v2
            5s:
            ready web-4: drain web-1
            stop: start web-5/b v2 remove web-1
            ready: drain web-2
            stop: start web-6/c v2 remove web-2
            ready: drain web-3; [2 Reached]
            stop: remove web-3
        "#]],
    );
}

#[test]
fn one_that_may_be_missing_goes_first_and_only_one() {
    check(
        "plan 1 web x3 v1 n1, ready, plan 2 web x3 v2 n1, 5s, stop, ready, stop, ready, stop, ready",
        expect![[r#"
            plan 1 web x3 v1 n1: start web-1/a v1 start web-2/b v1 start web-3/c v1
            ready: [1 Reached]
            plan 2 web x3 v2 n1: drain web-1; start web-4/a v2
            5s:
            stop: remove web-1
            ready: drain web-2; start web-5/b v2
            stop: remove web-2
            ready: drain web-3; start web-6/c v2
            stop: remove web-3
            ready: [2 Reached]
        "#]],
    );
}

#[test]
fn a_version_that_fails_is_taken_back() {
    check(
        "plan 1 web x3 v1, ready, plan 2 web x3 v2, ready web-4, stop, fail web-5, stop, ready, stop",
        expect![[r#"
            plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
            ready: [1 Reached]
            plan 2 web x3 v2: start web-4/a v2
            ready web-4: drain web-1
            stop: start web-5/b v2 remove web-1
            fail web-5: [1 RollingBack { failed: PlanNumber(2), why: "unit `web-5` failed in zone b: exit status 1" }]; drain web-5
            stop: start web-6/a v1 remove web-5
            ready: drain web-4; [1 RolledBack { failed: PlanNumber(2), why: "unit `web-5` failed in zone b: exit status 1" }]
            stop: remove web-4
        "#]],
    );
}

#[test]
fn a_version_that_never_gets_ready_is_taken_back_even_when_nobody_calls_it_failed() {
    check(
        "plan 1 web x2 v1, ready, plan 2 web x2 v2, 20s, 1s, stop",
        expect![[r#"
        plan 1 web x2 v1: start web-1/a v1 start web-2/b v1
        ready: [1 Reached]
        plan 2 web x2 v2: start web-3/a v2
        20s:
        1s: [1 RollingBack { failed: PlanNumber(2), why: "unit `web-3` in zone a was not ready within 20s" }]; drain web-3; [1 RolledBack { failed: PlanNumber(2), why: "unit `web-3` in zone a was not ready within 20s" }]
        stop: remove web-3
    "#]],
    );
}

#[test]
fn a_zone_lost_in_the_middle_of_a_change_condemns_nothing_and_comes_back_in_the_good_version() {
    check(
        "plan 1 web x6 v1, ready, plan 2 web x6 v2, kill a, 60s, ready, back a, ready",
        expect![[r#"
        plan 1 web x6 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1 start web-4/a v1 start web-5/b v1 start web-6/c v1
        ready: [1 Reached]
        plan 2 web x6 v2: start web-7/a v2
        kill a: start web-8/b v1 start web-9/c v1 remove web-1 remove web-4 remove web-7; start web-10/b v2
        60s: [1 RollingBack { failed: PlanNumber(2), why: "unit `web-10` in zone b was not ready within 20s" }]
        ready: drain web-10; [1 RolledBack { failed: PlanNumber(2), why: "unit `web-10` in zone b was not ready within 20s" }]
        back a:
        ready:
    "#]],
    );
}

#[test]
fn a_first_version_that_fails_has_nothing_to_go_back_to() {
    check(
        "plan 1 web x2 v1, fail web-1, fail web-2, 60s, ready",
        expect![[r#"
        plan 1 web x2 v1: start web-1/a v1 start web-2/b v1
        fail web-1:
        fail web-2:
        60s:
        ready: [1 Reached]
    "#]],
    );
}

#[test]
fn with_no_zone_alive_nothing_is_touched() {
    check(
        "plan 1 web x3 v1, ready, kill all, 60s, plan 2 web x9 v2",
        expect![[r#"
        plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
        ready: [1 Reached]
        kill all:
        60s:
        plan 2 web x9 v2:
    "#]],
    );
}

#[test]
fn a_new_leader_forgets_how_long_and_nothing_else() {
    check(
        "plan 1 web x3 v1, ready, kill c, ready, back c, 9s, new leader, 9s, 1s",
        expect![[r#"
        plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
        ready: [1 Reached]
        kill c: start web-4/a v1 remove web-3
        ready:
        back c:
        9s:
        new leader:
        9s:
        1s: start web-5/c v1
    "#]],
    );
}

#[test]
fn a_leader_of_the_first_zone_up_waits_for_the_others_before_it_fills_its_own() {
    check(
        "kill b, kill c, plan 1 web x3 v1, 1s, back b, ready, 1s",
        expect![[r#"
            kill b:
            kill c:
            plan 1 web x3 v1: start web-1/a v1
            1s:
            back b: start web-2/b v1
            ready:
            1s: start web-3/a v1
        "#]],
    );
}

#[test]
fn a_leader_that_takes_over_from_a_lost_zone_does_not_wait() {
    check(
        "plan 1 web x3 v1, ready, new leader, kill a, kill b",
        expect![[r#"
        plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
        ready: [1 Reached]
        new leader:
        kill a: start web-4/b v1 remove web-1
        kill b: start web-5/c v1 start web-6/c v1 remove web-2 remove web-4
    "#]],
    );
}

#[test]
fn a_smaller_plan_drains_where_most_are_and_a_larger_one_starts_where_fewest_are() {
    check(
        "plan 1 web x6 v1, ready, plan 2 web x4 v1, stop, plan 3 web x5 v1, ready",
        expect![[r#"
        plan 1 web x6 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1 start web-4/a v1 start web-5/b v1 start web-6/c v1
        ready: [1 Reached]
        plan 2 web x4 v1: drain web-6 drain web-5; [2 Reached]
        stop: remove web-5 remove web-6
        plan 3 web x5 v1: start web-7/b v1
        ready: [3 Reached]
    "#]],
    );
}

#[test]
fn a_service_that_is_no_longer_planned_ends_when_the_rest_works() {
    check(
        "plan 1 web x2 v1, ready, plan 2 api x2 v1, ready, stop",
        expect![[r#"
        plan 1 web x2 v1: start web-1/a v1 start web-2/b v1
        ready: [1 Reached]
        plan 2 api x2 v1: start api-1/a v1 start api-2/b v1
        ready: drain web-1 drain web-2; [2 Reached]
        stop: remove web-1 remove web-2
    "#]],
    );
}

#[test]
fn a_zone_that_is_no_longer_planned_is_left_one_unit_at_a_time() {
    check(
        "plan 1 web x3 v1, ready, plan 2 web x3 v1 in:a+b, ready, stop",
        expect![[r#"
        plan 1 web x3 v1: start web-1/a v1 start web-2/b v1 start web-3/c v1
        ready: [1 Reached]
        plan 2 web x3 v1 in:a+b: start web-4/a v1
        ready: drain web-3; [2 Reached]
        stop: remove web-3
    "#]],
    );
}

#[test]
fn a_name_is_not_used_again_even_when_its_counter_is_lost() {
    let mut stage = Stage::new();
    stage.step("plan 1 web x3 v1");
    stage.view.counters.clear();
    stage.step("kill c");
    assert!(stage.out.contains("start web-4/a"), "{}", stage.out);
}

#[test]
fn a_name_that_would_be_too_long_starts_nothing_and_ends_nothing() {
    let mut stage = Stage::new();
    stage.step(&format!("plan 1 {} x3 v1", "y".repeat(62)));
    assert!(stage.view.units.is_empty(), "{}", stage.out);
}

/// Prints, asserts nothing: the figure to reach is 10 ms for 3 zones of 100 units.
#[test]
fn three_zones_of_a_hundred_units_are_decided_quickly() {
    let mut stage = Stage::new();
    stage.step("plan 1 web x300 v1");
    stage.step("ready");
    for (name, script) in [("calm", ""), ("zone lost", "kill c")] {
        if !script.is_empty() {
            stage.view.zones.pop();
        }
        let began = std::time::Instant::now();
        let actions = decide(&stage.view, &mut stage.memory.clone(), stage.now).len();
        println!("{name}: {actions} actions in {:?}", began.elapsed());
    }
}
