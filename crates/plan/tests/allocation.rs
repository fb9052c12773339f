//! Published instances of redundancy allocation: the ideas of the planner's search (keep what nothing dominates, add up
//! along a budget) against optima that others certified, and the model's diagrams as the judge of a design.

use plan::chance::{ChanceError, Diagram, Formula};

/// Reliability, cost and weight of one component of a kind.
type Kind = (f64, usize, usize);

/// Fourteen subsystems in series; of each, any mixture of its kinds in parallel. Fyffe, Hines and Lee, "System reliability
/// allocation and a computational algorithm", IEEE Trans. Reliability 17(2), 1968, as varied by Nakagawa and Miyazaki,
/// 1981, and with mixtures by Coit and Smith, IEEE Trans. Reliability 45(1), 1996.
const SUBSYSTEMS: &[&[Kind]] = &[
    &[(0.90, 1, 3), (0.93, 1, 4), (0.91, 2, 2), (0.95, 2, 5)],
    &[(0.95, 2, 8), (0.94, 1, 10), (0.93, 1, 9)],
    &[(0.85, 2, 7), (0.90, 3, 5), (0.87, 1, 6), (0.92, 4, 4)],
    &[(0.83, 3, 5), (0.87, 4, 6), (0.85, 5, 4)],
    &[(0.94, 2, 4), (0.93, 2, 3), (0.95, 3, 5)],
    &[(0.99, 3, 5), (0.98, 3, 4), (0.97, 2, 5), (0.96, 2, 4)],
    &[(0.91, 4, 7), (0.92, 4, 8), (0.94, 5, 9)],
    &[(0.81, 3, 4), (0.90, 5, 7), (0.91, 6, 6)],
    &[(0.97, 2, 8), (0.99, 3, 9), (0.96, 4, 7), (0.91, 3, 8)],
    &[(0.83, 4, 6), (0.85, 4, 5), (0.90, 5, 6)],
    &[(0.94, 3, 5), (0.95, 4, 6), (0.96, 5, 6)],
    &[(0.79, 2, 4), (0.82, 3, 5), (0.85, 4, 6), (0.90, 5, 7)],
    &[(0.98, 2, 5), (0.99, 3, 5), (0.97, 2, 6)],
    &[(0.90, 4, 6), (0.92, 4, 7), (0.95, 5, 6), (0.99, 6, 9)],
];

const COST: usize = 130;
const WEIGHT: usize = 191;
const COMPONENTS_MAX: usize = 8;

/// Every mixture of one subsystem that nothing dominates: cost, weight, probability that all fail.
fn mixtures(kinds: &[Kind]) -> Vec<(usize, usize, f64)> {
    let mut all = vec![(0, 0, 1.0, 0)];
    for &(reliability, cost, weight) in kinds {
        let mut next = Vec::new();
        for &(c, w, fails, count) in &all {
            for more in 0..=COMPONENTS_MAX - count {
                let fails = fails * (1.0 - reliability).powi(more as i32);
                next.push((c + more * cost, w + more * weight, fails, count + more));
            }
        }
        all = next;
    }
    all.retain(|&(c, w, _, count)| count > 0 && c <= COST && w <= WEIGHT);
    let mut kept: Vec<(usize, usize, f64)> = Vec::new();
    all.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    for (c, w, fails, _) in all {
        if !kept.iter().any(|k| k.0 <= c && k.1 <= w && k.2 <= fails) {
            kept.push((c, w, fails));
        }
    }
    kept
}

/// The best reliability for each weight up to 191 at a cost of at most 130.
fn best_by_weight() -> Vec<f64> {
    let place = |cost: usize, weight: usize| cost * (WEIGHT + 1) + weight;
    let mut best = vec![1.0; (COST + 1) * (WEIGHT + 1)];
    for kinds in SUBSYSTEMS {
        let mixtures = mixtures(kinds);
        let mut next = vec![0.0_f64; best.len()];
        for cost in 0..=COST {
            for weight in 0..=WEIGHT {
                let fit = mixtures.iter().filter(|(c, w, _)| *c <= cost && *w <= weight);
                let with = fit.map(|&(c, w, fails)| best[place(cost - c, weight - w)] * (1.0 - fails));
                next[place(cost, weight)] = with.fold(0.0, f64::max);
            }
        }
        best = next;
    }
    (0..=WEIGHT).map(|weight| best[place(COST, weight)]).collect()
}

#[test]
fn the_thirty_three_instances_have_the_published_optima() {
    let best = best_by_weight();
    for (weight, published) in [(191, 0.986_81), (175, 0.975_71), (159, 0.954_56)] {
        assert_eq!((best[weight] * 1e5).round() / 1e5, published, "W = {weight}: {}", best[weight]);
    }
    let instances: Vec<String> = (159..=191).rev().map(|w| format!("{w} {:.5}", best[w])).collect();
    assert_eq!(instances.len(), 33);
    assert!(best[159..].is_sorted_by(|a, b| a < b), "{instances:?}");
}

/// Two resources, so many of each kind in each of five places of a bridge.
struct Bridge {
    budget: [f64; 2],
    reliability: [[f64; 2]; 5],
    resource: [[[f64; 2]; 5]; 2],
}

/// INFORMSJoC/2024.0842, data/H_2_4_Gamma_0_1.0/rrap_ns5_nh2_m2_seed1 and seed2.
const BRIDGES: [(Bridge, f64); 2] = [
    (
        Bridge {
            budget: [27.0, 29.0],
            reliability: [[0.75, 0.71], [0.76, 0.72], [0.66, 0.74], [0.64, 0.73], [0.66, 0.65]],
            resource: [
                [[3.86, 3.28], [4.62, 3.81], [2.96, 3.98], [2.9, 3.47], [3.08, 2.23]],
                [[3.77, 3.73], [3.87, 3.33], [3.05, 4.2], [2.9, 3.96], [2.76, 2.85]],
            ],
        },
        0.969_804_274_4,
    ),
    (
        Bridge {
            budget: [31.0, 29.0],
            reliability: [[0.66, 0.77], [0.7, 0.77], [0.75, 0.72], [0.73, 0.63], [0.68, 0.72]],
            resource: [
                [[3.16, 3.95], [3.4, 3.97], [4.01, 3.23], [3.66, 2.6], [3.48, 3.72]],
                [[2.47, 4.86], [3.13, 4.32], [4.5, 3.47], [4.11, 2.09], [3.4, 3.76]],
            ],
        },
        0.985_675_936_7,
    ),
];

/// The bridge fails: places 1 2 and 3 4 are its arms, 5 joins their middles.
fn bridge_fails() -> Result<Diagram, ChanceError> {
    let fails = |place: usize| Formula::Event(place - 1);
    let both = |a, b| Formula::All(vec![fails(a), fails(b)]);
    let around = |a, b, c| Formula::All(vec![fails(a), fails(b), fails(c)]);
    let cuts = vec![both(1, 3), both(2, 4), around(1, 5, 4), around(3, 5, 2)];
    Diagram::new(&Formula::Any(cuts))
}

impl Bridge {
    /// The best of all designs, and the probabilities with which its places fail.
    fn best(&self, diagram: &Diagram) -> f64 {
        let mut found = f64::INFINITY;
        self.extend(diagram, &mut Vec::new(), self.budget, &mut found);
        1.0 - found
    }

    fn extend(&self, diagram: &Diagram, fails: &mut Vec<f64>, left: [f64; 2], found: &mut f64) {
        let place = fails.len();
        if place == 5 {
            *found = found.min(diagram.probability(fails).unwrap_or(f64::NAN));
            return;
        }
        // Whatever is chosen, the later places need at least their cheapest.
        let later = |r: usize| -> f64 {
            self.resource[r][place + 1..].iter().map(|kinds| kinds[0].min(kinds[1])).sum()
        };
        let open = [left[0] - later(0) + 1e-9, left[1] - later(1) + 1e-9];
        for first in 0..8_i32 {
            for second in i32::from(first == 0)..8 {
                let used = [0, 1].map(|r: usize| {
                    let [a, b] = self.resource[r][place];
                    f64::from(first) * a + f64::from(second) * b
                });
                if used[0] > open[0] || used[1] > open[1] {
                    break;
                }
                let [a, b] = self.reliability[place];
                fails.push((1.0 - a).powi(first) * (1.0 - b).powi(second));
                self.extend(diagram, fails, [left[0] - used[0], left[1] - used[1]], found);
                fails.pop();
            }
        }
    }
}

#[test]
fn bridges_have_the_certified_optima() {
    let diagram = bridge_fails().unwrap();
    for (bridge, certified) in BRIDGES {
        let best = bridge.best(&diagram);
        assert!((best - certified).abs() < 5e-11, "{best} is not {certified}");
    }
}
