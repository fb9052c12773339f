use super::*;

/// As many as take a few seconds without optimisation.
const SEEDS: u64 = 2_000;

#[track_caller]
fn play(seed: u64) -> Report {
    match run(seed, &Options::default(), &mut crate::decide) {
        Ok(report) => report,
        Err(broken) => panic!(
            "seed {} at {} ms: {}\n{}",
            broken.seed,
            broken.at.0,
            broken.what,
            broken.before.join("\n")
        ),
    }
}

#[test]
fn thousands_of_disasters_break_no_promise() {
    let (mut actions, mut faults, mut reached, mut rolled_back, mut slowest) = (0, 0, 0, 0, 0);
    for seed in 0..SEEDS {
        let report = play(seed);
        actions += report.actions;
        faults += report.faults;
        reached += report.reached;
        rolled_back += report.rolled_back;
        slowest = slowest.max(report.healed_ms);
    }
    println!(
        "{SEEDS} seeds: {faults} faults, {actions} actions, {reached} reached, {rolled_back} rolled back, slowest healing {slowest} ms"
    );
    assert!(
        faults > SEEDS && rolled_back > SEEDS / 10 && reached > SEEDS,
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
