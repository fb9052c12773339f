//! A chain up to a moment: where it is then, whether it has been somewhere, what it has earned on the way.
//!
//! Uniformization (Jensen, 1953): the chain is looked at at the ticks of a Poisson process that is faster than all its
//! moves, so that everything is a mixture of powers of one stochastic matrix with Poisson weights. All terms are positive;
//! what is cut off of the two ends of the weights bounds the error.

use super::{Chain, ChanceError};

/// Weight that is cut off at each end of the Poisson weights.
const CUT: f64 = 1e-18;

/// Most ticks that are followed: some seconds of work for a large chain.
const TICKS_MAX: f64 = 4e6;

/// A value with a bound of what was cut off: the true one is in `value..=value + error`, rounding aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The sum of what was not cut off.
    pub value: f64,
    /// The most that the rest can add.
    pub error: f64,
}

/// Where a chain is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Then {
    /// Probability of each state.
    pub probability: Vec<f64>,
    /// The most that all of them together may be too low by.
    pub error: f64,
}

/// Poisson weights of `mean`, from tick `first` on; they add up to 1 minus less than two cuts.
pub(crate) struct Weights {
    pub(crate) first: usize,
    pub(crate) weight: Vec<f64>,
    pub(crate) error: f64,
}

impl Weights {
    /// # Errors
    /// [`ChanceError::TooLarge`] for more ticks than are followed.
    pub(crate) fn new(mean: f64) -> Result<Weights, ChanceError> {
        if !(0.0..=TICKS_MAX).contains(&mean) {
            return Err(ChanceError::TooLarge {
                what: format!("{mean:.3e} ticks of uniformization"),
                limit: format!("{TICKS_MAX:.0} ticks"),
                way_out: "ask for a shorter time, or use fewer stages",
            });
        }
        // Relative to the largest weight, outwards from it, so that nothing overflows at any mean (Fox and Glynn,
        // "Computing Poisson probabilities", 1988). The tails fall faster than geometrically there.
        let mode = mean.floor();
        let mut below = Vec::new();
        let (mut term, mut tick) = (1.0, mode);
        while tick > 0.0 {
            term *= tick / mean;
            tick -= 1.0;
            if term < CUT {
                break;
            }
            below.push(term);
        }
        let first = mode as usize - below.len();
        let mut weight: Vec<f64> = below.into_iter().rev().collect();
        weight.push(1.0);
        let (mut term, mut tick) = (1.0, mode);
        loop {
            tick += 1.0;
            term *= mean / tick;
            if term < CUT {
                break;
            }
            weight.push(term);
        }
        // Smallest first, so that they are not lost in the large ones.
        let mut sorted = weight.clone();
        sorted.sort_by(f64::total_cmp);
        let sum: f64 = sorted.iter().sum();
        weight.iter_mut().for_each(|weight| *weight /= sum);
        // The term before each cut was at least CUT, and each one beyond is smaller by a factor that only falls; with
        // the mode's width of about sqrt(mean) this is a generous bound.
        let error = 4.0 * CUT * (mean.sqrt() + 4.0) / sum;
        Ok(Weights { first, weight, error })
    }

    fn last(&self) -> usize {
        self.first + self.weight.len() - 1
    }

    /// The weight of `tick`.
    pub(crate) fn at(&self, tick: usize) -> f64 {
        tick.checked_sub(self.first).and_then(|index| self.weight.get(index)).copied().unwrap_or(0.0)
    }
}

/// The chain seen at ticks.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    /// Ticks in an hour.
    pub(crate) per_hour: f64,
    /// Probability of being in the same state at the next tick.
    same: Vec<f64>,
    /// Whence a state is entered at a tick, and with which probability: from `begin[s]` to `begin[s + 1]`.
    begin: Vec<usize>,
    enters: Vec<(u32, f64)>,
}

impl Ticks {
    /// `stays`: states in which the chain stays once it is there.
    pub(crate) fn new(chain: &Chain, stays: Option<&[bool]>) -> Ticks {
        // A little faster than the fastest, so that every state may also stay, which damps swinging.
        let per_hour = chain.fastest() * 1.02;
        let moving = |state: usize| stays.is_none_or(|stays| !stays[state]);
        let into = chain.reversed();
        let (mut same, mut begin, mut enters) = (Vec::new(), vec![0], Vec::new());
        for state in 0..chain.len() {
            let leaves = moving(state) && per_hour > 0.0;
            same.push(if leaves { (per_hour - chain.exit(state)) / per_hour } else { 1.0 });
            let moves = into.moves(state).filter(|&(from, _)| moving(from));
            enters.extend(moves.map(|(from, rate)| (from as u32, rate / per_hour)));
            begin.push(enters.len());
        }
        Ticks { per_hour, same, begin, enters }
    }

    /// From one tick to the next.
    pub(crate) fn step(&self, now: &[f64], next: &mut [f64]) {
        for (state, place) in next.iter_mut().enumerate() {
            let enters = &self.enters[self.begin[state]..self.begin[state + 1]];
            let comes: f64 = enters.iter().map(|&(from, share)| now[from as usize] * share).sum();
            *place = now[state] * self.same[state] + comes;
        }
    }

    /// Calls `each` with every tick's number and probabilities, from 0 to `last`.
    fn walk(&self, start: &[f64], last: usize, mut each: impl FnMut(usize, &[f64])) {
        let (mut now, mut next) = (start.to_vec(), vec![0.0; start.len()]);
        for tick in 0..=last {
            each(tick, &now);
            if tick < last {
                self.step(&now, &mut next);
                std::mem::swap(&mut now, &mut next);
            }
        }
    }
}

/// Probability of each state after `hours`, from the probabilities `start`.
///
/// # Errors
/// [`ChanceError::Absurd`] for a `start` that is no distribution over the states or a time that is none;
/// [`ChanceError::TooLarge`] for a time so long that the long run is meant.
pub fn after(chain: &Chain, start: &[f64], hours: f64) -> Result<Then, ChanceError> {
    distribution_after(chain, None, start, hours)
}

fn distribution_after(
    chain: &Chain,
    stays: Option<&[bool]>,
    start: &[f64],
    hours: f64,
) -> Result<Then, ChanceError> {
    check(chain, start, hours)?;
    let ticks = Ticks::new(chain, stays);
    let weights = Weights::new(ticks.per_hour * hours)?;
    let mut probability = vec![0.0; chain.len()];
    ticks.walk(start, weights.last(), |tick, now| {
        let weight = weights.at(tick);
        if weight > 0.0 {
            probability.iter_mut().zip(now).for_each(|(sum, share)| *sum += weight * share);
        }
    });
    Ok(Then { probability, error: weights.error })
}

/// Probability of having been in a `target` state within `hours`; those that `start` there have been.
///
/// # Errors
/// As [`after`], and for a `target` of another length.
pub fn reach(chain: &Chain, start: &[f64], target: &[bool], hours: f64) -> Result<Bounded, ChanceError> {
    same(chain, target.len(), "the target")?;
    let then = distribution_after(chain, Some(target), start, hours)?;
    let value = then.probability.iter().zip(target).filter(|(_, target)| **target).map(|(p, _)| p).sum();
    Ok(Bounded { value, error: then.error })
}

/// What is earned in `hours` when each hour in a state earns `per_hour` of it. With the rates of some of a state's
/// moves, it is the expected number of these moves.
///
/// # Errors
/// As [`after`], and for a `per_hour` of another length or with a negative entry.
pub fn earned(chain: &Chain, start: &[f64], per_hour: &[f64], hours: f64) -> Result<Bounded, ChanceError> {
    check(chain, start, hours)?;
    same(chain, per_hour.len(), "what is earned")?;
    if let Some(bad) = per_hour.iter().find(|earned| !(earned.is_finite() && **earned >= 0.0)) {
        return Err(ChanceError::absurd("what a state earns", bad, "a finite number from 0"));
    }
    let ticks = Ticks::new(chain, None);
    if ticks.per_hour == 0.0 {
        let value = hours * start.iter().zip(per_hour).map(|(share, earned)| share * earned).sum::<f64>();
        return Ok(Bounded { value, error: 0.0 });
    }
    let weights = Weights::new(ticks.per_hour * hours)?;
    // The time between tick k and the next, up to `hours`, is on average P(more than k ticks) / rate.
    let mut later = vec![0.0; weights.last() + 1];
    let mut tail = 0.0;
    for tick in (0..weights.last()).rev() {
        tail += weights.at(tick + 1);
        later[tick] = tail;
    }
    let mut value = 0.0;
    ticks.walk(start, weights.last(), |tick, now| {
        let rate: f64 = now.iter().zip(per_hour).map(|(share, earned)| share * earned).sum();
        value += later[tick] * rate / ticks.per_hour;
    });
    let most = per_hour.iter().copied().fold(0.0, f64::max);
    Ok(Bounded { value, error: weights.error * most * hours })
}

fn same(chain: &Chain, len: usize, what: &str) -> Result<(), ChanceError> {
    if len == chain.len() {
        return Ok(());
    }
    Err(ChanceError::absurd(format!("the length of {what}"), len, "one entry for each state"))
}

fn check(chain: &Chain, start: &[f64], hours: f64) -> Result<(), ChanceError> {
    same(chain, start.len(), "the start")?;
    let sum: f64 = start.iter().sum();
    if !((sum - 1.0).abs() < 1e-9 && start.iter().all(|share| *share >= 0.0)) {
        return Err(ChanceError::absurd("the sum of the start", sum, "1, of shares from 0"));
    }
    if !(hours.is_finite() && hours >= 0.0) {
        return Err(ChanceError::absurd("a time", format!("{hours} hours"), "finite and from 0"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "transient_tests.rs"]
mod tests;
