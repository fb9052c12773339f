use super::super::{PerHour, explore};
use super::*;

#[track_caller]
fn close(value: f64, expected: f64, relative: f64) {
    let error = (value / expected - 1.0).abs();
    assert!(error <= relative, "{value:e} is not {expected:e} (relative error {error:e})");
}

fn flip(fails: f64, mends: f64) -> Chain {
    let rates = [PerHour::new(fails).unwrap(), PerHour::new(mends).unwrap()];
    explore(0_usize, 2, |state, go| go(1 - state, rates[state])).unwrap().chain
}

#[test]
fn two_states_follow_the_formula_at_every_time() {
    let (fails, mends) = (1.0 / 720.0, 12.0);
    let chain = flip(fails, mends);
    for hours in [0.0, 1e-6, 0.01, 0.3, 5.0, 400.0] {
        let sum: f64 = fails + mends;
        let down = fails / sum * -(-sum * hours).exp_m1();
        let then = after(&chain, &[1.0, 0.0], hours).unwrap();
        // Each tick rounds once or twice.
        assert!((then.probability[1] - down).abs() <= 1e-11 * down, "{hours} h");
        let reached = reach(&chain, &[1.0, 0.0], &[false, true], hours).unwrap();
        let once = -(-fails * hours).exp_m1();
        assert!((reached.value - once).abs() <= 1e-11 * once, "{hours} h: {}", reached.value);
        // Time that was spent down.
        let spent = earned(&chain, &[1.0, 0.0], &[0.0, 1.0], hours).unwrap().value;
        let exact = fails / sum * (hours + (-sum * hours).exp_m1() / sum);
        assert!((spent - exact).abs() <= 1e-9 * exact + 1e-18, "{hours} h: {spent:e} {exact:e}");
    }
}

#[test]
fn weights_are_poisson_at_small_and_large_means() {
    for mean in [0.0, 0.5, 3.0, 700.0, 1e6] {
        let weights = Weights::new(mean).unwrap();
        close(weights.weight.iter().sum(), 1.0, 1e-12);
        let average: f64 =
            weights.weight.iter().enumerate().map(|(i, w)| (weights.first + i) as f64 * w).sum();
        assert!((average - mean).abs() <= 1e-10 * mean.max(1.0), "{mean}: {average}");
        assert!(weights.error < 1e-14);
    }
}

#[test]
fn times_and_starts_that_are_none_are_refused() {
    let chain = flip(1.0, 1.0);
    assert!(after(&chain, &[1.0, 0.0], f64::NAN).is_err());
    assert!(after(&chain, &[1.0, 0.0], -1.0).is_err());
    assert!(after(&chain, &[1.0], 1.0).is_err());
    assert!(after(&chain, &[0.5, 0.6], 1.0).is_err());
    assert!(earned(&chain, &[1.0, 0.0], &[f64::NAN, 0.0], 1.0).is_err());
    assert!(reach(&chain, &[1.0, 0.0], &[true], 1.0).is_err());
    let long = after(&chain, &[1.0, 0.0], 1e12).unwrap_err();
    assert!(matches!(long, ChanceError::TooLarge { .. }), "{long}");
}

/// The cluster of workstations of Haverkort, Hermanns and Katoen, "On the use of model checking techniques for
/// dependability evaluation", SRDS 2000, with two workstations on each side.
mod cluster {
    use super::super::super::solve;
    use super::*;

    const SIDE: u8 = 2;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct State {
        /// Workstations that work, left and right.
        stations: [u8; 2],
        /// Left switch, right switch, backbone.
        lines: [bool; 3],
        /// What is being repaired: 0 and 1 a workstation, 2 to 4 a line. One repair unit for all.
        repairing: Option<u8>,
    }

    const START: State = State { stations: [SIDE; 2], lines: [true; 3], repairing: None };

    impl State {
        fn minimum(&self) -> bool {
            let least = 3 * SIDE / 4;
            let [left, right] = self.stations;
            let [to_left, to_right, backbone] = self.lines;
            (left >= least && to_left)
                || (right >= least && to_right)
                || (left + right >= least && to_left && to_right && backbone)
        }

        fn repairs_per_hour(&self) -> f64 {
            self.repairing.map_or(0.0, |what| [2.0, 2.0, 0.25, 0.25, 0.125][what as usize])
        }

        fn moves(self, go: &mut dyn FnMut(State, PerHour)) {
            let mut go = |state, rate| go(state, PerHour::new(rate).unwrap());
            for side in 0..2_u8 {
                let at = side as usize;
                let mut less = self;
                if self.stations[at] > 0 {
                    less.stations[at] -= 1;
                    go(less, f64::from(self.stations[at]) / 500.0);
                }
                if self.stations[at] < SIDE && self.repairing.is_none() {
                    go(State { repairing: Some(side), ..self }, 10.0);
                }
                if self.repairing == Some(side) {
                    let mut more = State { repairing: None, ..self };
                    more.stations[at] += 1;
                    go(more, 2.0);
                }
            }
            for line in 0..3_u8 {
                let at = line as usize;
                let mut other = self;
                other.lines[at] = !self.lines[at];
                if self.lines[at] {
                    go(other, [1.0 / 4_000.0, 1.0 / 4_000.0, 1.0 / 5_000.0][at]);
                } else if self.repairing.is_none() {
                    go(State { repairing: Some(line + 2), ..self }, 10.0);
                }
                if self.repairing == Some(line + 2) {
                    other.repairing = None;
                    go(other, self.repairs_per_hour());
                }
            }
        }
    }

    fn cluster() -> (Chain, Vec<bool>, Vec<f64>, Vec<f64>) {
        let found = explore(START, 1_000, State::moves).unwrap();
        let fails = found.which(|state| !state.minimum());
        let repairs = found.states.iter().map(State::repairs_per_hour).collect();
        let mut start = vec![0.0; found.chain.len()];
        start[0] = 1.0;
        (found.chain, fails, repairs, start)
    }

    fn of(time: &[f64], fails: &[bool]) -> f64 {
        time.iter().zip(fails).filter(|(_, fails)| **fails).map(|(time, _)| time).sum()
    }

    #[test]
    fn it_has_the_published_size() {
        let (chain, ..) = cluster();
        assert_eq!((chain.len(), chain.transitions()), (276, 1_120));
    }

    #[test]
    fn its_long_run_is_the_one_of_direct_elimination() {
        let (chain, fails, ..) = cluster();
        let direct = of(&solve::eliminate(&chain).unwrap(), &fails);
        let swept = of(&solve::sweep(&chain, None).unwrap(), &fails);
        close(swept, direct, 1e-11);
        // 0.999997660176636 by sparse LU elsewhere, which has that many digits of the availability.
        assert!((direct - (1.0 - 0.999_997_660_176_636)).abs() < 1e-12, "{direct:e}");
        close(direct, 2.339_823e-6, 1e-6);
    }

    /// Storm 1.x, `CtmcCslModelCheckerTest`.
    #[test]
    fn its_first_hours_are_the_published_ones() {
        let (chain, fails, repairs, start) = cluster();
        let within = reach(&chain, &start, &fails, 100.0).unwrap();
        close(within.value, 5.546_125_470_441_908_5e-5, 1e-12);
        assert!(within.error < 1e-15);
        let then = after(&chain, &start, 100.0).unwrap();
        close(of(&then.probability, &fails), 2.339_787_354_834_341_5e-6, 1e-9);
        let later = reach(&chain, &then.probability, &fails, 1_900.0).unwrap();
        close(later.value, 0.001_105_335_651_670_241, 1e-9);
        close(earned(&chain, &start, &repairs, 100.0).unwrap().value, 0.860_281_505_796_750_3, 1e-9);
    }
}
