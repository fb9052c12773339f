//! Branch and bound over the services of one topology, writing down what was looked at and why the rest was not.

use model::Money;

use super::frame::{Bound, Frame};
use super::{Candidate, Effort, WORK_MAX};
use crate::proof::{Leaf, Step};

/// Steps of one topology that are written down; beyond that the search goes on and the proof says that it has no tree.
const STEPS_MAX: usize = 100_000;

/// Partial choices that are looked into only because they may be as cheap and safer.
const TIES_MAX: u32 = 2_000;

/// Unavailability below which two plans count as equal: one part in 10^9, as the model is tested.
pub(super) const EQUAL: f64 = 1e-9;

/// Half of the smallest amount: costs are whole millionths, bounds are not.
const HALF: f64 = 0.5;

pub(super) struct Branch<'f, 'a, 's> {
    frame: &'f Frame<'a, 's>,
    best: Option<Candidate<'a>>,
    ties: u32,
    picks: Vec<usize>,
    steps: Option<Vec<Step>>,
}

/// What became of a topology.
pub(super) struct Branched<'a> {
    pub(super) best: Option<Candidate<'a>>,
    /// `None`: more than are written down.
    pub(super) steps: Option<Vec<Step>>,
}

/// Searches the whole of `frame` for something better than `best`.
pub(super) fn branch<'a>(
    frame: &Frame<'a, '_>,
    best: Option<Candidate<'a>>,
    effort: &mut Effort,
) -> Branched<'a> {
    let mut branch = Branch { frame, best, ties: TIES_MAX, picks: Vec::new(), steps: Some(Vec::new()) };
    branch.begin(effort);
    let fixed = frame.base.fixed.0 as f64;
    branch.go((fixed, fixed), &frame.nothing(), effort);
    Branched { best: branch.best, steps: branch.steps }
}

impl<'a> Branch<'_, 'a, '_> {
    /// A first plan to compare with: what the bound would choose at a rising price of downtime until that is available
    /// enough, then made cheaper service by service.
    fn begin(&mut self, effort: &mut Effort) {
        let found = [1.0, 1.1, 2.0, 10.0, 1e3, 1e6].into_iter().find_map(|times| {
            let picks = self.frame.priced_picks(times);
            effort.evaluated += 1;
            self.enough(&picks).then_some(picks)
        });
        let Some(mut picks) = found else { return };
        for service in 0..picks.len() {
            let kept = picks[service];
            // Options are ordered by price, so the first that is enough is the cheapest.
            for option in 0..kept {
                picks[service] = option;
                effort.evaluated += 1;
                if self.enough(&picks) {
                    break;
                }
                picks[service] = kept;
            }
        }
        self.picks = picks;
        let fails = self.fails();
        self.judge(&fails);
        self.picks.clear();
    }

    fn enough(&self, picks: &[usize]) -> bool {
        let Some(room) = self.frame.room else { return true };
        let chosen = picks.iter().zip(&self.frame.options).map(|(&pick, options)| &options[pick]);
        let fails = chosen.fold(self.frame.nothing(), |fails, choice| self.frame.joined(&fails, choice));
        self.frame.least_down(picks.len(), &fails) <= room
    }

    fn fails(&self) -> Vec<f64> {
        let chosen = self.picks.iter().zip(&self.frame.options).map(|(&pick, options)| &options[pick]);
        chosen.fold(self.frame.nothing(), |fails, choice| self.frame.joined(&fails, choice))
    }

    /// Completes `picks`, which cost `cost` so far and `priced` with their time, in every way that can still be the best.
    fn go(&mut self, (cost, priced): (f64, f64), fails: &[f64], effort: &mut Effort) {
        let (frame, depth) = (self.frame, self.picks.len());
        if effort.work >= WORK_MAX {
            let bound =
                Money(frame.least_cost(depth, cost).max(frame.quick_bound(depth, priced)).floor() as i64);
            effort.open = Some(effort.open.map_or(bound, |open| open.min(bound)));
            return self.step(Step::Leaf(Leaf::Open));
        }
        let split = self.steps.as_ref().map(Vec::len);
        self.step(Step::Split(0));
        let mut split_into = 0;
        for (number, &(price, index)) in frame.priced[depth].iter().enumerate() {
            let priced = priced + price;
            let best = self.best.as_ref().map_or(f64::INFINITY, |best| best.cost.0 as f64);
            if frame.quick_bound(depth + 1, priced) >= best + HALF {
                // The others are priced higher still.
                effort.prune(frame, depth + 1, frame.priced[depth].len() - number);
                break;
            }
            let choice = &frame.options[depth][index];
            let cost = cost + choice.cost.0 as f64;
            let joined = frame.joined(fails, choice);
            effort.work += frame.work(depth + 1);
            self.picks.push(index);
            if !self.open(cost, &joined) {
                effort.prune(frame, depth + 1, 1);
            } else if depth + 1 == frame.options.len() {
                effort.evaluated += 1;
                self.judge(&joined);
            } else {
                let machine = choice.machine.map(|machine| machine.name.to_string());
                self.step(Step::Pick(machine, choice.size.replicas));
                split_into += 1;
                self.go((cost, priced), &joined, effort);
            }
            self.picks.pop();
        }
        if let (Some(steps), Some(at)) = (&mut self.steps, split) {
            steps[at] = Step::Split(split_into);
        }
    }

    /// Whether something below `picks` can still be the best.
    fn open(&mut self, cost: f64, fails: &[f64]) -> bool {
        let depth = self.picks.len();
        match self.frame.bound(depth, cost, fails) {
            Bound::Unavailable(_) => false,
            Bound::Cost(bound) => self.worth(bound, depth, fails),
        }
    }

    fn step(&mut self, step: Step) {
        let Some(steps) = &mut self.steps else { return };
        steps.push(step);
        if steps.len() > STEPS_MAX {
            self.steps = None;
        }
    }

    /// Whether something that costs at least `bound` can still be the best: cheaper, or as cheap and safer.
    fn worth(&mut self, bound: f64, depth: usize, fails: &[f64]) -> bool {
        let Some(best) = &self.best else { return true };
        let cost = best.cost.0 as f64;
        if bound <= cost - HALF {
            return true;
        }
        let least = self.frame.odds.total(self.frame.least_down(depth, fails));
        if bound >= cost + HALF || least >= best.down * (1.0 - EQUAL) || self.ties == 0 {
            return false;
        }
        self.ties -= 1;
        true
    }

    fn judge(&mut self, fails: &[f64]) {
        let frame = self.frame;
        let fleets = frame.least_down(frame.options.len(), fails);
        if frame.room.is_some_and(|room| fleets > room) {
            return;
        }
        let chosen = self.picks.iter().zip(&frame.options).map(|(&pick, options)| &options[pick]);
        let cost = frame.base.fixed + chosen.clone().map(|choice| choice.cost).sum();
        let down = frame.odds.total(fleets);
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| cost < best.cost || (cost == best.cost && down < best.down * (1.0 - EQUAL)));
        if better {
            self.best = Some(frame.candidate(chosen.cloned().collect(), cost, down));
        }
    }
}
