//! How often the application goes down, and for how long: distributions, not means.
//!
//! An outage begins with a move from a state that serves to one that does not. From there its length has a phase-type
//! distribution: the time in which the chain stays among the states that do not serve. Common causes that take the whole
//! down are exponential and come on top; that they may overlap with other outages is left out of their lengths, which is
//! of the order of the unavailability itself.

use super::joint::{Joint, Parts, Step};
use super::part::Application;
use super::stateful::QUICK_MAX;
use super::transient::{Ticks, Weights};
use super::unit::HOURS_YEAR;
use super::{ChanceError, Rates, STATES_MAX};

/// With whose loss an outage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// A node of a group or a machine of a fleet.
    Node,
    /// A zone.
    Zone,
    /// A spot pool.
    Pool,
    /// One of [`Application::shared`], by its place.
    Shared(usize),
}

/// How outages were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// From one chain with everything in it but the common causes.
    Exact {
        /// Its states.
        states: usize,
    },
    /// Groups and fleets each by themselves: one loss that takes down several is counted for each, so that there are
    /// never fewer outages than are counted here.
    Apart {
        /// How many chains there are.
        chains: usize,
    },
}

/// Outages of one kind.
#[derive(Clone, Debug)]
struct Source {
    trigger: Trigger,
    per_year: f64,
    length: Length,
}

#[derive(Clone, Debug)]
enum Length {
    /// Exponential with this mean, in hours.
    Exponential { hours: f64 },
    /// Begins in these states of a chain of [`Outages`].
    Phases { chain: usize, begin: Vec<f64> },
}

/// The outages of an application.
#[derive(Clone, Debug)]
pub struct Outages {
    sources: Vec<Source>,
    /// Chains among the states that do not serve.
    down: Vec<Ticks>,
    /// By group: how often in a year another node becomes primary.
    takeovers: Vec<f64>,
    /// How they were counted.
    pub counting: Counting,
}

/// Outages that are longer than was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Longer {
    /// How many in a year.
    pub per_year: f64,
    /// Which share of all that were asked about.
    pub share: f64,
    /// Probability of at least one in a year, taking them to come independently of each other, as rare ones do.
    pub in_a_year: f64,
}

/// Probability of at least one event in a year when there are `per_year` on average, independently.
#[must_use]
pub fn in_a_year(per_year: f64) -> f64 {
    -(-per_year).exp_m1()
}

impl Outages {
    /// Counts the outages of `app`.
    ///
    /// # Errors
    /// [`ChanceError`] for bad input, and when a single group or fleet has too many states.
    pub fn new(app: &Application) -> Result<Outages, ChanceError> {
        Outages::within(app, STATES_MAX)
    }

    /// As [`Outages::new`], but in one chain only up to as many states as are counted in some hundredths of a second.
    ///
    /// # Errors
    /// As [`Outages::new`].
    pub fn quick(app: &Application) -> Result<Outages, ChanceError> {
        Outages::within(app, QUICK_MAX)
    }

    fn within(app: &Application, states_max: usize) -> Result<Outages, ChanceError> {
        app.check()?;
        let (groups, fleets) = (app.groups.iter().collect::<Vec<_>>(), app.fleets.iter().collect::<Vec<_>>());
        let counting = Counting::Exact { states: 1 };
        let mut all = Outages { sources: vec![], down: vec![], takeovers: vec![0.0; groups.len()], counting };
        match Parts::new(app, groups.clone(), fleets.clone(), &app.pools)
            .and_then(|parts| solved(parts, states_max))
        {
            Ok(joint) => {
                all.counting = Counting::Exact { states: joint.time.len() };
                all.add(&joint, 0);
            }
            Err(ChanceError::TooLarge { .. }) => {
                match Parts::new(app, groups.clone(), vec![], &[]).and_then(|parts| solved(parts, states_max))
                {
                    Ok(joint) => all.add(&joint, 0),
                    Err(ChanceError::TooLarge { .. }) if groups.len() > 1 => {
                        for (index, group) in groups.into_iter().enumerate() {
                            all.add(&Joint::new(Parts::new(app, vec![group], vec![], &[])?)?, index);
                        }
                    }
                    Err(error) => return Err(error),
                }
                for fleet in fleets {
                    all.add(&Joint::new(Parts::new(app, vec![], vec![fleet], &app.pools)?)?, 0);
                }
                all.counting = Counting::Apart { chains: all.down.len() };
            }
            Err(error) => return Err(error),
        }
        all.share(app)?;
        Ok(all)
    }

    /// Adds what a chain says; `first`: the place of its first group in the application.
    fn add(&mut self, joint: &Joint<'_>, first: usize) {
        let serves = joint.found.which(|&code| joint.parts.up(code));
        let fails: Vec<bool> = serves.iter().map(|serves| !serves).collect();
        let (inside, kept) = joint.found.chain.within(&fails);
        let mut place = vec![0; serves.len()];
        for (new, &old) in kept.iter().enumerate() {
            place[old] = new;
        }
        let triggers = [Trigger::Node, Trigger::Zone, Trigger::Pool];
        let mut begins = vec![vec![0.0; kept.len()]; triggers.len()];
        for (number, (code, time)) in joint.states().enumerate() {
            joint.parts.moves(code, &mut |step, next, rate| {
                let flow = time * rate.get();
                if let Step::Taken(group) = step {
                    self.takeovers[first + group] += flow * HOURS_YEAR;
                }
                if !serves[number] || flow == 0.0 {
                    return;
                }
                let Some(next) = joint.found.number(&next).filter(|&next| fails[next]) else { return };
                let of = match step {
                    Step::Zone => 1,
                    Step::Pool => 2,
                    _ => 0,
                };
                begins[of][place[next]] += flow;
            });
        }
        let chain = self.down.len();
        for (trigger, mut begin) in triggers.into_iter().zip(begins) {
            let flow: f64 = begin.iter().sum();
            if flow > 0.0 {
                begin.iter_mut().for_each(|share| *share /= flow);
                let length = Length::Phases { chain, begin };
                self.sources.push(Source { trigger, per_year: flow * HOURS_YEAR, length });
            }
        }
        self.down.push(Ticks::new(&inside, None));
    }

    /// Adds the common causes: everything that is independent counts only while the rest serves.
    fn share(&mut self, app: &Application) -> Result<(), ChanceError> {
        let rates = app.shared.iter().map(|cause| Rates::of(cause.outage, &cause.name));
        let rates = rates.collect::<Result<Vec<_>, _>>()?;
        let all_up: f64 = rates.iter().map(|rates| rates.up()).product();
        self.sources.iter_mut().for_each(|source| source.per_year *= all_up);
        if rates.iter().all(|rates| rates.frequency().get() == 0.0) {
            return Ok(());
        }
        let serves = (1.0 - app.availability()?.application.get()).max(0.0);
        for (index, cause) in rates.iter().enumerate() {
            let per_year = cause.fails.per_year() * all_up * serves;
            if per_year > 0.0 {
                let length = Length::Exponential { hours: 1.0 / cause.mends.get() };
                self.sources.push(Source { trigger: Trigger::Shared(index), per_year, length });
            }
        }
        Ok(())
    }

    /// How many there are in a year.
    #[must_use]
    pub fn per_year(&self) -> f64 {
        self.sources.iter().map(|source| source.per_year).sum()
    }

    /// How often in a year another node of a group becomes primary; 0 for a group that there is not.
    #[must_use]
    pub fn takeovers_per_year(&self, group: usize) -> f64 {
        self.takeovers.get(group).copied().unwrap_or(0.0)
    }

    /// Those that last longer than `hours`.
    ///
    /// # Errors
    /// [`ChanceError`] for a time that is none, or too long for the stages of a takeover.
    pub fn longer(&self, hours: f64) -> Result<Longer, ChanceError> {
        self.longer_after(|_| true, hours)
    }

    /// Those that begin with a loss that `counts`, and last longer than `hours`.
    ///
    /// # Errors
    /// As [`Outages::longer`].
    pub fn longer_after(&self, counts: impl Fn(Trigger) -> bool, hours: f64) -> Result<Longer, ChanceError> {
        if !(hours.is_finite() && hours >= 0.0) {
            let value = format!("{hours} hours");
            return Err(ChanceError::absurd("the length of an outage", value, "finite and from 0"));
        }
        let (mut all, mut longer) = (0.0, 0.0);
        for source in self.sources.iter().filter(|source| counts(source.trigger)) {
            all += source.per_year;
            longer += source.per_year * self.tail(&source.length, hours)?;
        }
        let share = if all > 0.0 { longer / all } else { 0.0 };
        Ok(Longer { per_year: longer, share, in_a_year: in_a_year(longer) })
    }

    /// Probability of lasting longer than `hours`.
    fn tail(&self, length: &Length, hours: f64) -> Result<f64, ChanceError> {
        match length {
            Length::Exponential { hours: mean } => Ok((-hours / mean).exp()),
            Length::Phases { chain, begin } => {
                let ticks = &self.down[*chain];
                let weights = Weights::new(ticks.per_hour * hours)?;
                let (mut now, mut next) = (begin.clone(), vec![0.0; begin.len()]);
                let mut tail = 0.0;
                for tick in 0..weights.first + weights.weight.len() {
                    let left: f64 = now.iter().sum();
                    tail += weights.at(tick) * left;
                    // What is left only shrinks: beyond this it adds nothing to a sum of at least a rate a year.
                    if left < 1e-30 {
                        break;
                    }
                    ticks.step(&now, &mut next);
                    std::mem::swap(&mut now, &mut next);
                }
                Ok(tail)
            }
        }
    }
}

/// The chain of `parts`, unless it is too large; a single part has nothing to be taken apart into.
fn solved(parts: Parts<'_>, states_max: usize) -> Result<Joint<'_>, ChanceError> {
    let small = parts.size() <= states_max as f64 || parts.count() < 2;
    if small { Joint::new(parts) } else { Err(parts.too_large()) }
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
