use plan::chance::{Application, Group, Takeover};

use super::*;

/// Fails so often that a thousand years say something.
fn harsh() -> Simulation {
    Simulation {
        zones: 3,
        zone: Failing { per_year: 4.0, hours: 6.0 },
        nodes: 3,
        witness: false,
        node: Failing { per_year: 12.0, hours: 3.0 },
        pace: Pace::default(),
    }
}

/// The same for the model, with a takeover that takes as long as the code's.
fn modelled(simulation: &Simulation, seconds: f64) -> f64 {
    let outage = |failing: Failing| plan::Outage { per_year: failing.per_year, hours: failing.hours };
    let takeover = Takeover { seconds, stages: 16 };
    let (nodes, witnesses) = (simulation.nodes, u8::from(simulation.witness));
    let app = Application {
        zones: simulation.zones,
        zone: outage(simulation.zone),
        host: None,
        groups: vec![Group::quorum("db", nodes, witnesses, outage(simulation.node), takeover)],
        fleets: Vec::new(),
        pools: Vec::new(),
        shared: Vec::new(),
    };
    app.availability().unwrap().total.get()
}

fn mean_s(takeovers_ms: &[u64]) -> f64 {
    takeovers_ms.iter().sum::<u64>() as f64 / takeovers_ms.len() as f64 / 1e3
}

/// The years of a simulation beside the model, whose takeovers take as long as the code's in other years.
fn beside(name: &str, simulation: &Simulation, years: u32) -> (Simulated, f64) {
    let played = simulation.run(11, years).unwrap();
    let other = simulation.run(12, 100).unwrap();
    let takeover = mean_s(&other.takeovers_ms);
    let expected = modelled(simulation, takeover);
    let (share, looks) = (played.unavailability, played.looks);
    let sigmas = (share - expected) / played.deviation;
    println!(
        "{name}: {share:.3e}, expected {expected:.3e}, {sigmas:.2} sigmas; {takeover:.2} s, {looks} looks"
    );
    assert!(played.deviation < expected / 8.0, "{name}: too few years to say anything");
    (played, expected)
}

#[test]
fn the_decision_code_and_the_availability_model_agree() {
    let quiet = Simulation { zone: Failing { per_year: 0.5, hours: 0.001 }, ..harsh() };
    let witness = Simulation { witness: true, ..harsh() };
    for (name, simulation) in [("three", harsh()), ("calm zones", quiet), ("a witness", witness)] {
        let (played, expected) = beside(name, &simulation, 500);
        assert!((played.unavailability - expected).abs() < 4.0 * played.deviation, "{name}");
    }
}

/// The model waits for three of five. The keepers let the quorum follow who is there, so what fails one after the other
/// leaves two that serve: the model is on the safe side.
#[test]
fn with_five_nodes_the_model_is_never_too_low() {
    let (played, expected) = beside("five", &Simulation { nodes: 5, ..harsh() }, 1_500);
    assert!(played.unavailability < expected, "{played:?}");
}

#[test]
fn a_failover_takes_what_its_silence_and_its_steps_take() {
    let played = harsh().run(3, 300).unwrap();
    let mut takeovers = played.takeovers_ms.clone();
    takeovers.sort_unstable();
    let median = takeovers[takeovers.len() / 2];
    assert!(
        takeovers.len() > 1_000 && (1_200..2_500).contains(&median),
        "{median} ms of {}",
        takeovers.len()
    );
    assert_eq!(harsh().run(3, 300).unwrap(), played, "the same seed, the same years");
}

#[test]
fn an_outage_that_outlasts_the_run_counts_and_a_long_one_is_in_all_of_its_stretches() {
    let gap = |from_ms, ms| Gap { from_ms, ms, moved: false, helped: false };
    let (mean, deviation) = share(&[gap(0, 1_000)], 1_000.0);
    assert!((mean - 1.0).abs() < 1e-12 && deviation < 1e-12, "{mean} {deviation}");
    let (half, deviation) = share(&[gap(500, 500)], 1_000.0);
    assert!((half - 0.5).abs() < 1e-12 && deviation > 0.05, "{half} {deviation}");
    // All machines fail within days, and are away for months.
    let gone = Failing { per_year: 1_000.0, hours: 8_000.0 };
    let played = Simulation { node: gone, ..harsh() }.run(1, 1).unwrap();
    assert!(played.unavailability > 0.9, "{played:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |simulation: Simulation| simulation.run(1, 1).unwrap_err().to_string();
    let nan = Failing { per_year: f64::NAN, hours: 1.0 };
    assert!(refused(Simulation { node: nan, ..harsh() }).starts_with("a node is NaN failures"));
    assert!(refused(Simulation { zones: 0, ..harsh() }).contains("it must be 1 to 7"));
    assert!(refused(Simulation { nodes: 2, ..harsh() }).contains("no quorum"));
    assert!(harsh().run(1, 0).is_err() && harsh().run(1, 1_000_001).is_err());
    let never = Simulation { node: Failing { per_year: 0.0, hours: 1.0 }, ..harsh() };
    assert!(never.run(1, 10).is_ok());
}
