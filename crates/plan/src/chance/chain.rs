//! A finite Markov chain in continuous time, found by following moves from a first state.

use std::collections::BTreeMap;

use super::{ChanceError, PerHour};

/// Most states of a chain: the size up to which a joint chain is worth its fraction of a second.
pub const STATES_MAX: usize = 1 << 17;

/// A chain over states `0..len()`. Rates are per hour; no state leads to itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Where the moves of a state begin in `to` and `rate`; one longer than there are states.
    begin: Vec<usize>,
    to: Vec<u32>,
    rate: Vec<f64>,
    /// Sum of the rates out of each state.
    exit: Vec<f64>,
}

/// A chain with the states that its numbers stand for.
#[derive(Clone, Debug)]
pub struct Explored<S> {
    /// The chain.
    pub chain: Chain,
    /// The states in the order in which they were found; the first is the start.
    pub states: Vec<S>,
    number: BTreeMap<S, u32>,
}

impl<S: Copy + Ord> Explored<S> {
    /// The number of a state that was found.
    #[must_use]
    pub fn number(&self, state: &S) -> Option<usize> {
        self.number.get(state).map(|&number| number as usize)
    }

    /// Which states `holds` is true for.
    #[must_use]
    pub fn which(&self, holds: impl Fn(&S) -> bool) -> Vec<bool> {
        self.states.iter().map(holds).collect()
    }
}

/// Follows `moves` from `start` to every state that can be reached. Moves to the same state add up; those that change
/// nothing or never happen are left out.
///
/// # Errors
/// [`ChanceError::TooLarge`] beyond `states_max` states.
pub fn explore<S: Copy + Ord>(
    start: S,
    states_max: usize,
    mut moves: impl FnMut(S, &mut dyn FnMut(S, PerHour)),
) -> Result<Explored<S>, ChanceError> {
    let mut states = vec![start];
    let mut number = BTreeMap::from([(start, 0)]);
    let mut chain = Chain { begin: vec![0], to: Vec::new(), rate: Vec::new(), exit: Vec::new() };
    let mut row: Vec<(u32, f64)> = Vec::new();
    let mut at = 0;
    while at < states.len() {
        row.clear();
        moves(states[at], &mut |next, rate| {
            if rate == PerHour::NEVER {
                return;
            }
            let fresh = states.len() as u32;
            let to = *number.entry(next).or_insert_with(|| {
                states.push(next);
                fresh
            });
            if to as usize != at {
                row.push((to, rate.get()));
            }
        });
        if states.len() > states_max {
            return Err(ChanceError::TooLarge {
                what: "a chain".to_owned(),
                limit: format!("{states_max} states"),
                way_out: "take parts apart that share little, or use fewer nodes or stages",
            });
        }
        chain.push(&mut row);
        at += 1;
    }
    Ok(Explored { chain, states, number })
}

impl Chain {
    fn push(&mut self, row: &mut [(u32, f64)]) {
        row.sort_by_key(|&(to, _)| to);
        let begin = self.to.len();
        for &(to, rate) in row.iter() {
            match self.to[begin..].last() {
                Some(&last) if last == to => {
                    let same = self.rate.len() - 1;
                    self.rate[same] += rate;
                }
                _ => {
                    self.to.push(to);
                    self.rate.push(rate);
                }
            }
        }
        self.begin.push(self.to.len());
        self.exit.push(self.rate[begin..].iter().sum());
    }

    /// How many states there are; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.exit.len()
    }

    /// How many pairs of states one of which leads to the other in one move.
    #[must_use]
    pub fn transitions(&self) -> usize {
        self.to.len()
    }

    /// The moves out of `state`: where to, and how often in an hour.
    pub fn moves(&self, state: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.begin[state]..self.begin[state + 1];
        self.to[range.clone()].iter().map(|&to| to as usize).zip(self.rate[range].iter().copied())
    }

    /// Moves out of `state` in an hour.
    #[must_use]
    pub fn exit(&self, state: usize) -> f64 {
        self.exit[state]
    }

    /// The largest of all `exit`s.
    #[must_use]
    pub fn fastest(&self) -> f64 {
        self.exit.iter().copied().fold(0.0, f64::max)
    }

    /// The same chain with every move turned round: whence, and how often.
    pub(crate) fn reversed(&self) -> Chain {
        let states = self.len();
        let mut begin = vec![0; states + 1];
        for &to in &self.to {
            begin[to as usize + 1] += 1;
        }
        for state in 0..states {
            begin[state + 1] += begin[state];
        }
        let mut free = begin.clone();
        let (mut to, mut rate) = (vec![0; self.to.len()], vec![0.0; self.to.len()]);
        for state in 0..states {
            for (target, speed) in self.moves(state) {
                let place = free[target];
                free[target] += 1;
                to[place] = state as u32;
                rate[place] = speed;
            }
        }
        let exit = (0..states).map(|state| rate[begin[state]..begin[state + 1]].iter().sum()).collect();
        Chain { begin, to, rate, exit }
    }

    /// A state that does not lead back to the first one, if there is any.
    pub(crate) fn astray(&self) -> Option<usize> {
        let back = self.reversed();
        let mut seen = vec![false; self.len()];
        seen[0] = true;
        let mut open = vec![0];
        while let Some(state) = open.pop() {
            for (from, _) in back.moves(state) {
                if !seen[from] {
                    seen[from] = true;
                    open.push(from);
                }
            }
        }
        seen.iter().position(|&seen| !seen)
    }

    /// The chain inside `inside` alone: its states are renumbered in order, the rest is gone, and what leads there
    /// still counts as leaving. Also the old number of each state.
    pub(crate) fn within(&self, inside: &[bool]) -> (Chain, Vec<usize>) {
        let kept: Vec<usize> = (0..self.len()).filter(|&state| inside[state]).collect();
        let mut new = vec![0_u32; self.len()];
        for (number, &state) in kept.iter().enumerate() {
            new[state] = number as u32;
        }
        let mut part = Chain { begin: vec![0], to: Vec::new(), rate: Vec::new(), exit: Vec::new() };
        for &state in &kept {
            for (to, rate) in self.moves(state).filter(|&(to, _)| inside[to]) {
                part.to.push(new[to]);
                part.rate.push(rate);
            }
            part.begin.push(part.to.len());
            part.exit.push(self.exit[state]);
        }
        (part, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_hour(value: f64) -> PerHour {
        PerHour::new(value).unwrap()
    }

    #[test]
    fn moves_to_the_same_state_add_up_and_idle_ones_are_left_out() {
        let found = explore(7_u8, 10, |state, go| match state {
            7 => {
                go(9, per_hour(1.0));
                go(7, per_hour(5.0));
                go(9, per_hour(2.0));
                go(3, PerHour::NEVER);
            }
            _ => go(7, per_hour(4.0)),
        })
        .unwrap();
        assert_eq!(found.states, [7, 9]);
        assert_eq!(found.chain.moves(0).collect::<Vec<_>>(), [(1, 3.0)]);
        assert_eq!((found.chain.transitions(), found.chain.exit(0), found.chain.fastest()), (2, 3.0, 4.0));
        assert_eq!(found.number(&3), None);
    }

    #[test]
    fn a_chain_without_end_is_an_error_and_no_hang() {
        let error = explore(0_u64, 1_000, |state, go| go(state + 1, per_hour(1.0))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a chain would need more than 1000 states; take parts apart that share little, or use fewer nodes or stages"
        );
    }

    #[test]
    fn a_trap_is_found() {
        let found = explore(0_u8, 9, |state, go| {
            if state == 0 {
                go(1, per_hour(1.0));
                go(2, per_hour(1.0));
            } else if state == 1 {
                go(0, per_hour(1.0));
            }
        });
        assert_eq!(found.unwrap().chain.astray(), Some(2));
    }
}
