use super::super::Dice;
use super::super::groups::{Sharing, expand};
use super::super::{series, too_few};
use super::*;

#[track_caller]
fn close(value: f64, expected: f64, within: f64) {
    assert!((value - expected).abs() <= within, "{value} is not {expected}");
}

fn event(event: Event) -> Formula {
    Formula::Event(event)
}

fn probability(formula: &Formula, p: &[f64]) -> f64 {
    Diagram::new(formula).unwrap().probability(p).unwrap()
}

/// Three trains of a valve and a pump each; all must fail. Valves and pumps are two common-cause groups of three.
fn trains(sharing: &Sharing) -> (Formula, Vec<f64>) {
    let valves = expand(3, 0.1, sharing, 0).unwrap();
    let pumps = expand(3, 0.1, sharing, valves.probability.len()).unwrap();
    let train = |(valve, pump): (Formula, Formula)| Formula::Any(vec![valve, pump]);
    let all = valves.members.into_iter().zip(pumps.members).map(train).collect();
    (Formula::All(all), [valves.probability, pumps.probability].concat())
}

/// SCRAM's three-train system, as its newest tests/bench_core_tests.cc expects it, exactly and not by rare events, to the
/// printed 1e-5; beta to ten digits. (Older versions of that file have 0.01631 and 0.03093: three terms of a sum, and
/// alpha factors of staggered testing.)
#[test]
fn common_causes_give_the_published_values() {
    let top = |sharing: Sharing| {
        let (formula, p) = trains(&sharing);
        probability(&formula, &p)
    };
    close(top(Sharing::Beta(0.2)), 0.043_080_373_1, 5e-11);
    close(top(Sharing::Greek(vec![0.2, 0.1])), 0.016_30, 1e-5);
    close(top(Sharing::Alpha(vec![0.7, 0.2, 0.1])), 0.052_98, 1e-5);
    // Taken to be independent it looks six times better.
    close(top(Sharing::Beta(0.0)), 0.006_859, 1e-15);
    // Letters of which only the last sets go on are the beta factor.
    close(top(Sharing::Greek(vec![0.2, 1.0])), 0.043_080_373_1, 5e-11);
}

/// The probability by going through every combination of events.
fn brute(formula: &Formula, p: &[f64]) -> f64 {
    fn holds(formula: &Formula, set: usize) -> bool {
        let count = |parts: &[Formula]| parts.iter().filter(|part| holds(part, set)).count();
        match formula {
            Formula::Event(event) => set >> event & 1 == 1,
            Formula::All(parts) => count(parts) == parts.len(),
            Formula::Any(parts) => count(parts) > 0,
            Formula::AtLeast(least, parts) => count(parts) >= *least,
            Formula::Not(part) => !holds(part, set),
        }
    }
    let weight = |set: usize| -> f64 {
        p.iter().enumerate().map(|(i, p)| if set >> i & 1 == 1 { *p } else { 1.0 - p }).product()
    };
    (0..1 << p.len()).filter(|&set| holds(formula, set)).map(weight).sum()
}

fn random(dice: &mut Dice, depth: u32) -> Formula {
    if depth == 0 || dice.below(5) == 0 {
        return event(dice.below(9) as usize);
    }
    let count = 1 + dice.below(4) as usize;
    let parts: Vec<Formula> = (0..count).map(|_| random(dice, depth - 1)).collect();
    match dice.below(4) {
        0 => Formula::All(parts),
        1 => Formula::Any(parts),
        2 => Formula::AtLeast(dice.below(count as u64 + 2) as usize, parts),
        _ => Formula::Not(Box::new(Formula::All(parts))),
    }
}

#[test]
fn diagrams_equal_the_sum_over_every_combination() {
    for seed in 0..300 {
        let mut dice = Dice::from_seed(seed);
        let formula = random(&mut dice, 4);
        let p: Vec<f64> = (0..9).map(|_| dice.unit()).collect();
        let diagram = Diagram::new(&formula).unwrap();
        close(diagram.probability(&p).unwrap(), brute(&formula, &p), 1e-13);
        let fixed = |value| {
            let mut p = p.clone();
            p[4] = value;
            brute(&formula, &p)
        };
        close(diagram.importance(&p, 4).unwrap(), fixed(1.0) - fixed(0.0), 1e-13);
    }
}

/// The published composites: AWS, "Availability and Beyond"; Azure Architecture Center; Azure modern web app pattern.
#[test]
fn composites_are_the_published_ones() {
    // Series and spares, by diagram as by formula.
    let p = [5e-4, 1e-4, 1e-3];
    let serial = Formula::Any(vec![event(0), event(1)]);
    close(probability(&serial, &p), 1.0 - 0.999_400_05, 1e-12);
    let queue = Formula::Any(vec![event(0), Formula::All(vec![event(1), event(2)])]);
    close(1.0 - probability(&queue, &p), 0.999_499_9, 1e-7);
    let five = Formula::AtLeast(3, (0..5).map(event).collect());
    let down = probability(&five, &[0.01; 5]);
    close(down, too_few(3, 5, 0.01), 1e-18);
    close(1.0 - down, 0.999_990_1, 1e-7);
    // Small ones stay exact.
    let tiny = Formula::AtLeast(3, (0..3).map(event).collect());
    assert!((probability(&tiny, &[1e-30; 3]) / 1e-90 - 1.0).abs() < 1e-12);
    // Everything global, and two regions of which one suffices.
    let global = [1e-4, 1e-4, 1e-4, 0.0, 1e-4, 1e-4, 1e-6];
    close(1.0 - series(&global), 0.999_499_10, 5e-9);
    let regional = [5e-4, 1e-4, 5e-4, 1e-4, 5e-4, 1e-4, 1e-3, 1e-4, 5e-5, 1e-4, 1e-3, 1e-4, 1e-3, 1e-4, 1e-3];
    let region = |first: usize| Formula::Any((first..first + 15).map(event).collect());
    let both = Formula::All(vec![region(7), region(22)]);
    let total = Formula::Any((0..7).map(event).chain([both.clone()]).collect());
    let p = [&global[..], &regional, &regional].concat();
    close(1.0 - probability(&region(7), &p), 0.993_767_09, 5e-9);
    close(1.0 - probability(&both, &p), 0.999_961_15, 5e-9);
    close(1.0 - probability(&total, &p), 0.999_460_27, 5e-9);
    // AWS Reliability Pillar: downtime of a year of 365 days, cut off to hours or minutes.
    let minutes = |percent: f64| (1.0 - percent / 100.0) * 365.0 * 24.0 * 60.0;
    for (percent, published) in
        [(99.0, 87.0 * 60.0), (99.9, 525.0), (99.95, 262.0), (99.99, 52.0), (99.999, 5.0)]
    {
        let unit = if percent == 99.0 { 60.0 } else { 1.0 };
        close((minutes(percent) / unit + 1e-9).floor() * unit, published, 0.0);
    }
}

#[test]
fn an_event_in_several_places_counts_once() {
    // Two services that share a queue: not the product of theirs.
    let service = |own| Formula::Any(vec![event(own), event(2)]);
    let both_down = Formula::All(vec![service(0), service(1)]);
    close(probability(&both_down, &[0.01, 0.01, 0.001]), 0.001 + 0.999 * 1e-4, 1e-15);
    assert_eq!(Diagram::new(&both_down).unwrap().size(), 3);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let p = |p: &[f64]| Diagram::new(&event(1)).unwrap().probability(p);
    assert!(p(&[0.1]).is_err() && p(&[0.1, f64::NAN]).is_err() && p(&[0.1, 1.5]).is_err());
    let deep = (0..10_000).fold(event(0), |inner, _| Formula::Not(Box::new(inner)));
    assert!(matches!(Diagram::new(&deep), Err(ChanceError::TooLarge { .. })));
    // Pairs far apart in the order: 2^n nodes.
    let far = Formula::Any((0..24).map(|i| Formula::All(vec![event(i), event(24 + i)])).collect());
    assert!(matches!(Diagram::new(&far), Err(ChanceError::TooLarge { .. })));
    let group = |members, q, sharing: Sharing| expand(members, q, &sharing, 0).is_err();
    assert!(group(1, 0.1, Sharing::Beta(0.1)) && group(99, 0.1, Sharing::Beta(0.1)));
    assert!(group(3, f64::NAN, Sharing::Beta(0.1)) && group(3, 0.1, Sharing::Beta(-0.1)));
    assert!(group(3, 0.1, Sharing::Greek(vec![0.1])) && group(2, 0.1, Sharing::Alpha(vec![0.5, 0.6])));
}
