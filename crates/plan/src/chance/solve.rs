//! The long run of a chain: which share of time it spends in each state.
//!
//! Both methods only ever add, multiply and divide positive numbers, so a probability of 1e-12 is as exact, relatively,
//! as one near 1. That is what makes unavailabilities trustworthy that are far below the rounding of an availability.

use super::{Chain, ChanceError};

/// Up to so many states elimination is quicker than sweeps, in the chains of databases and caches.
const ELIMINATE_MAX: usize = 128;

/// Up to so many states elimination is the way out when sweeps do not settle: 30 MB and a few seconds.
const RESCUE_MAX: usize = 2_000;

/// Sweeps before the iteration is given up.
const SWEEPS_MAX: usize = 20_000;

/// Estimated relative error at which the iteration ends.
const SETTLED: f64 = 1e-13;

/// Share of time in each state, from an eliminating or an iterating method, whichever is quicker for the size.
///
/// # Errors
/// [`ChanceError::NoReturn`] when the long run depends on chance; [`ChanceError::Unsettled`] when neither method ends.
pub fn stationary(chain: &Chain) -> Result<Vec<f64>, ChanceError> {
    stationary_from(chain, None)
}

/// As [`stationary`], beginning at a guess where that helps.
pub(crate) fn stationary_from(chain: &Chain, guess: Option<Vec<f64>>) -> Result<Vec<f64>, ChanceError> {
    if chain.len() <= ELIMINATE_MAX {
        return eliminate(chain);
    }
    match sweep(chain, guess) {
        Err(ChanceError::Unsettled { .. }) if chain.len() <= RESCUE_MAX => eliminate(chain),
        found => found,
    }
}

/// Elimination without subtraction: Grassmann, Taksar and Heyman, "Regenerative analysis and steady state distributions
/// for Markov chains", Operations Research 33(5), 1985. Needs a table of all pairs of states.
///
/// # Errors
/// [`ChanceError::NoReturn`]; [`ChanceError::TooLarge`] beyond 2,000 states.
pub fn eliminate(chain: &Chain) -> Result<Vec<f64>, ChanceError> {
    returns(chain)?;
    let states = chain.len();
    if states > RESCUE_MAX {
        return Err(ChanceError::TooLarge {
            what: "elimination".to_owned(),
            limit: format!("{RESCUE_MAX} states"),
            way_out: "iterate instead",
        });
    }
    let mut table = vec![0.0; states * states];
    for state in 0..states {
        for (to, rate) in chain.moves(state) {
            table[state * states + to] = rate;
        }
    }
    for last in (1..states).rev() {
        let (above, own) = table.split_at_mut(last * states);
        let own = &own[..last];
        // Never 0: the state leads back to the first one, and those in between are gone.
        let exit: f64 = own.iter().sum();
        for row in above.chunks_exact_mut(states) {
            if row[last] == 0.0 {
                continue;
            }
            row[last] /= exit;
            let share = row[last];
            // A state's own entry is filled, too, and never read.
            for (cell, rate) in row[..last].iter_mut().zip(own) {
                *cell += share * rate;
            }
        }
    }
    let mut time = vec![1.0];
    for state in 1..states {
        time.push((0..state).map(|from| time[from] * table[from * states + state]).sum());
    }
    Ok(normal(time))
}

/// Sweeps over the balance of each state in turn (Gauss and Seidel) until the changes that are still to come, estimated
/// from how they shrink, are below one part in 10^13 of every probability. `guess`: where to begin; any positive numbers.
///
/// # Errors
/// [`ChanceError::NoReturn`], [`ChanceError::Unsettled`].
pub fn sweep(chain: &Chain, guess: Option<Vec<f64>>) -> Result<Vec<f64>, ChanceError> {
    returns(chain)?;
    let states = chain.len();
    let into = chain.reversed();
    let usable = |guess: &Vec<f64>| guess.len() == states && guess.iter().all(|&g| g > 0.0 && g.is_finite());
    let mut time = guess.filter(usable).unwrap_or_else(|| vec![1.0 / states as f64; states]);
    if states == 1 {
        return Ok(vec![1.0]);
    }
    let (mut before, mut error) = (f64::INFINITY, f64::INFINITY);
    // How much a sweep leaves of the change of the one before; the larger of the last two, as it may swing.
    let mut kept = [1.0, 1.0];
    for _ in 0..SWEEPS_MAX {
        let mut change = 0.0_f64;
        for state in 0..states {
            let flow: f64 = into.moves(state).map(|(from, rate)| time[from] * rate).sum();
            let new = flow / chain.exit(state);
            change = change.max((new - time[state]).abs() / new);
            time[state] = new;
        }
        kept = [kept[1], (change / before).min(1.0)];
        before = change;
        let slow = kept[0].max(kept[1]);
        error = if slow < 1.0 { change * slow / (1.0 - slow) } else { f64::INFINITY };
        // Below a few roundings a change says nothing more.
        if error < SETTLED || change < 2e-15 {
            return Ok(normal(time));
        }
    }
    Err(ChanceError::Unsettled { states, sweeps: SWEEPS_MAX, error })
}

fn returns(chain: &Chain) -> Result<(), ChanceError> {
    chain.astray().map_or(Ok(()), |state| Err(ChanceError::NoReturn { state }))
}

fn normal(mut time: Vec<f64>) -> Vec<f64> {
    let sum: f64 = time.iter().sum();
    time.iter_mut().for_each(|share| *share /= sum);
    time
}

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::super::{PerHour, explore};
    use super::*;

    /// A ring with chords: it always returns, and rates differ by ten orders of magnitude.
    fn random(seed: u64, states: u64) -> Chain {
        let mut dice = Dice::from_seed(seed);
        let mut edges = vec![Vec::new(); states as usize];
        for state in 0..states {
            let mut rate = || 10_f64.powf(dice.unit() * 10.0 - 6.0);
            edges[state as usize].push(((state + 1) % states, rate()));
        }
        for _ in 0..3 * states {
            let (from, to) = (dice.below(states), dice.below(states));
            edges[from as usize].push((to, 10_f64.powf(dice.unit() * 10.0 - 6.0)));
        }
        let moves = |state: u64, go: &mut dyn FnMut(u64, PerHour)| {
            edges[state as usize].iter().for_each(|&(to, rate)| go(to, PerHour::new(rate).unwrap()));
        };
        explore(0, 1_000, moves).unwrap().chain
    }

    #[test]
    fn both_methods_agree_on_every_single_probability() {
        for seed in 0..30 {
            let chain = random(seed, 5 + seed * 7);
            let (exact, swept) = (eliminate(&chain).unwrap(), sweep(&chain, None));
            let Ok(swept) = swept else { continue };
            for (state, (a, b)) in exact.iter().zip(&swept).enumerate() {
                assert!((a / b - 1.0).abs() < 1e-11, "seed {seed}, state {state}: {a:e} and {b:e}");
            }
        }
    }

    #[test]
    fn flow_into_each_state_is_flow_out_of_it() {
        for seed in 0..20 {
            let chain = random(seed, 40);
            let time = stationary(&chain).unwrap();
            let mut flow = vec![0.0; chain.len()];
            for (state, share) in time.iter().enumerate() {
                chain.moves(state).for_each(|(to, rate)| flow[to] += share * rate);
            }
            for (state, flow) in flow.iter().enumerate() {
                assert!((flow / (time[state] * chain.exit(state)) - 1.0).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn a_chain_that_does_not_return_has_no_long_run() {
        let moves = |state: u8, go: &mut dyn FnMut(u8, PerHour)| {
            if state < 3 {
                go(state + 1, PerHour::new(1.0).unwrap());
            }
        };
        let chain = explore(0, 9, moves).unwrap().chain;
        for answer in [eliminate(&chain), sweep(&chain, None), stationary(&chain)] {
            assert_eq!(answer, Err(ChanceError::NoReturn { state: 1 }));
        }
        let one = explore(0_u8, 9, |_, _| ()).unwrap().chain;
        assert_eq!(stationary(&one), Ok(vec![1.0]));
        assert_eq!(sweep(&one, None), Ok(vec![1.0]));
    }
}
