use model::{Phase, RolloutPhase, UnitName};

use super::*;

/// As many as take some seconds on two cores without optimisation. `EVENKEEL_SEEDS` asks for more.
const SEEDS: u64 = 1_200;

/// Each mutant must be found within so many seeds.
const MUTANT_SEEDS: u64 = 60;

#[track_caller]
fn play(seed: u64) -> Report {
    match run(seed, &Options::default(), &mut crate::decide) {
        Ok(report) => report,
        Err(broken) => {
            let before = broken.before.join("\n");
            panic!("seed {} at {} ms: {}\n{before}", broken.seed, broken.at.0, broken.what)
        }
    }
}

#[test]
fn thousands_of_disasters_break_no_promise() {
    let seeds = std::env::var("EVENKEEL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let half = |from: u64| (from..seeds).step_by(2).map(play).collect::<Vec<_>>();
    let reports = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        let mut reports = half(0);
        reports.extend(odd.join().unwrap());
        reports
    });
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let slowest = reports.iter().map(|report| report.healed_ms).max();
    let (faults, actions) = (sum(|r| r.faults), sum(|r| r.actions));
    let (reached, rolled_back) = (sum(|r| r.reached), sum(|r| r.rolled_back));
    println!(
        "{seeds} seeds: {faults} faults, {actions} actions, {reached} rollouts reached, {rolled_back} rolled back, \
         slowest healing {slowest:?} ms"
    );
    assert!(
        faults > seeds && rolled_back > seeds / 10 && reached > seeds,
        "the runs must be worth something"
    );
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 0..20 {
        assert_eq!(play(seed), play(seed));
    }
    assert_ne!(play(1).trace, play(2).trace);
}

/// Plays seeds until the oracle sees that `decide` is broken, in one of the ways the mutant is known to break it.
#[track_caller]
fn found(mutant: &mut Decide<'_>, expected: &[&str]) {
    for seed in 0..MUTANT_SEEDS {
        if let Err(broken) = run(seed, &Options::default(), mutant) {
            let known = expected.iter().any(|part| broken.what.contains(part));
            assert!(known, "seed {seed}: found as `{}`\n{}", broken.what, broken.before.join("\n"));
            return;
        }
    }
    panic!("{MUTANT_SEEDS} seeds did not show the mutant");
}

#[test]
fn a_decider_that_drains_before_the_successor_is_ready_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut view = view.clone();
        for state in view.states.iter_mut().filter(|state| state.phase == Phase::Starting) {
            state.phase = Phase::Ready;
        }
        crate::decide(&view, memory, now)
    };
    found(mutant, &["by hand"]);
}

#[test]
fn a_decider_that_uses_a_name_again_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut actions = crate::decide(view, memory, now);
        for action in &mut actions {
            if let Action::Assign { unit, .. } = action {
                let name = |n: u64| UnitName::new(&format!("{}-{n}", unit.service.name)).unwrap();
                let free = |name: &UnitName| view.units.iter().all(|kept| kept.value.name != *name);
                unit.name = (1..).map(name).find(free).unwrap();
            }
        }
        actions
    };
    found(mutant, &["used twice", "started in zone"]);
}

#[test]
fn a_decider_that_does_not_see_a_lost_zone_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut view = view.clone();
        view.zones.iter_mut().for_each(|zone| zone.alive = true);
        crate::decide(&view, memory, now)
    };
    found(mutant, &["not in place"]);
}

#[test]
fn a_decider_that_never_removes_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut actions = crate::decide(view, memory, now);
        actions.retain(|action| !matches!(action, Action::Remove { .. }));
        actions
    };
    found(mutant, &["not in place", "wanted at once"]);
}

#[test]
fn a_decider_that_never_rolls_back_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut view = view.clone();
        view.states.iter_mut().filter(|s| s.phase == Phase::Failed).for_each(|s| s.phase = Phase::Starting);
        crate::decide(&view, memory, Moment(now.0 / 1_000))
    };
    found(mutant, &["not in place"]);
}

#[test]
fn a_decider_that_blames_a_version_for_a_lost_zone_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let lost = view.zones.iter().any(|zone| !zone.alive);
        let rollout = view.rollout.as_ref().map(|kept| kept.value.clone());
        match rollout {
            Some(mut rollout) if lost && rollout.phase == RolloutPhase::Rolling && rollout.good.is_some() => {
                let phase = RolloutPhase::RollingBack { failed: rollout.plan.number, why: "lost".to_owned() };
                rollout.plan = rollout.good.clone().unwrap();
                vec![Action::SetRollout { rollout: Box::new(model::Rollout { phase, ..rollout }) }]
            }
            _ => crate::decide(view, memory, now),
        }
    };
    found(mutant, &["without a failure"]);
}

#[test]
fn a_decider_that_starts_two_for_one_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut actions = Vec::new();
        for action in crate::decide(view, memory, now) {
            let twin = match &action {
                Action::Assign { unit, counter } => {
                    let mut twin = unit.clone();
                    twin.name = UnitName::new(&format!("{}-{}", unit.service.name, counter + 1_000)).unwrap();
                    Some(Action::Assign { unit: twin, counter: *counter })
                }
                _ => None,
            };
            actions.push(action);
            actions.extend(twin);
        }
        actions
    };
    found(mutant, &["wanted at once", "used twice"]);
}

#[test]
fn a_decider_that_puts_everything_into_one_zone_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut actions = crate::decide(view, memory, now);
        for action in &mut actions {
            if let (Action::Assign { unit, .. }, Some(zone)) = (action, view.zones.iter().find(|z| z.alive)) {
                unit.zone = zone.zone.clone();
            }
        }
        actions
    };
    found(mutant, &["not in place", "is not as planned"]);
}

#[test]
fn a_decider_that_cuts_off_instead_of_draining_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let actions = crate::decide(view, memory, now);
        let cut = |action| match action {
            Action::Drain { unit } => Action::Remove { unit },
            other => other,
        };
        actions.into_iter().map(cut).collect()
    };
    found(mutant, &["without draining"]);
}

#[test]
fn a_decider_that_declares_victory_early_is_found() {
    let mutant = &mut |view: &View, memory: &mut Memory, now: Moment| {
        let mut actions = crate::decide(view, memory, now);
        if let Some(kept) = &view.rollout
            && kept.value.phase == RolloutPhase::Rolling
        {
            let good = Some(kept.value.plan.clone());
            let rollout = model::Rollout { good, phase: RolloutPhase::Reached, ..kept.value.clone() };
            actions.push(Action::SetRollout { rollout: Box::new(rollout) });
        }
        actions
    };
    found(mutant, &["counts as reached"]);
}
