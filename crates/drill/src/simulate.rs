//! Years of failures against the product's real decide code, in virtual time.
//!
//! Zones and machines fail and are repaired at random, and the keepers of a database decide as they do in production
//! (`database::sim::Timed`): who is suspected, elected, promoted, awaited. So what the availability model of a plan
//! assumes of a failover is held against the code that makes it. The same seed gives the same years.
//!
//! So are the replicas of a service, which the leader of the agents places (`zone::sim::Timed`): [`Service`].
//!
//! Deliberately absent: failures that a machine survives (a killed server, a cut link), which a real drill makes.

mod service;

use ::database::sim::{Gap, Pace, Timed};
use model::NodeId;
use world::Chance;

pub use service::{Placed, Placing, Service};

/// Hours of a year, as the planner counts them.
const HOURS_YEAR: f64 = 8_766.0;
const MS_HOUR: f64 = 3_600_000.0;
/// Stretches into which a run is cut for its error.
const BATCHES: u32 = 50;
/// Most zones and most nodes.
const COUNT_MAX: u8 = 7;
/// Longest run.
pub const YEARS_MAX: u32 = 1_000_000;
/// Failures and repairs of one step of a run: some hundredths of a second.
const STEP_EVENTS: u32 = 1_000;

/// How often something fails and how long it is away: exponential, both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failing {
    /// Failures in a year of operation.
    pub per_year: f64,
    /// Mean hours until it is repaired.
    pub hours: f64,
}

/// A database and what it runs on. Node `i` is in zone `i % zones`.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Zones, alike and independent.
    pub zones: u8,
    /// One zone.
    pub zone: Failing,
    /// Nodes of the database, a witness included; three or more, as two have no quorum.
    pub nodes: u8,
    /// The last one is a witness.
    pub witness: bool,
    /// One node's machine.
    pub node: Failing,
    /// How long the keepers' actions take.
    pub pace: Pace,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Years that were played.
    pub years: u32,
    /// Share of time in which no write could be acknowledged.
    pub unavailability: f64,
    /// Standard deviation of that as an estimate, from how stretches of the run differ.
    pub deviation: f64,
    /// The part of `unavailability` that another node ended by becoming primary.
    pub taking: Share,
    /// The rest of it: in `waits`.
    pub waiting: Share,
    /// Lengths of the gaps that another node ended by becoming primary, in milliseconds, in order of time.
    pub takeovers_ms: Vec<u64>,
    /// All others: a node that came back may have been waited for, or the run ended before it was over.
    pub waits: u64,
    /// Failures and repairs.
    pub events: u64,
    /// Runs through the keepers' rules.
    pub looks: u64,
}

/// A share of time, in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Of all time that was played.
    pub of_time: f64,
    /// Standard deviation of that as an estimate, from how stretches of the run differ.
    pub deviation: f64,
}

/// A run that is played step by step, so that whoever waits for it can be told how far it is, and can end it.
pub struct Simulating {
    years: u32,
    end_ms: f64,
    /// Of the last event.
    now_ms: f64,
    chance: Chance,
    timed: Timed,
    zones: Vec<Part>,
    nodes: Vec<Part>,
    gaps: Vec<Gap>,
    events: u64,
}

/// A number that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}; it must be {rule}")]
pub struct SimulateError {
    /// Which.
    pub what: &'static str,
    /// What it is.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

/// Something that fails: a zone, or a node's machine.
struct Part {
    up: bool,
    next_ms: f64,
    failing: Failing,
}

impl Failing {
    fn check(self, what: &'static str) -> Result<(), SimulateError> {
        let rate = self.per_year.is_finite() && (0.0..=100_000.0).contains(&self.per_year);
        let time = self.hours.is_finite() && (0.001..=HOURS_YEAR).contains(&self.hours);
        let value = format!("{} failures a year of {} h", self.per_year, self.hours);
        let rule = "0 to 100,000 failures a year, each of 0.001 h to a year";
        if rate && time { Ok(()) } else { Err(SimulateError { what, value, rule }) }
    }
}

impl Part {
    fn new(failing: Failing, chance: &mut Chance) -> Part {
        let mut part = Part { up: false, next_ms: 0.0, failing };
        part.turn(chance);
        part
    }

    /// From up to down or back, and when it next turns.
    fn turn(&mut self, chance: &mut Chance) {
        self.up = !self.up;
        let mean_h = match (self.up, self.failing.per_year > 0.0) {
            (true, true) => HOURS_YEAR / self.failing.per_year,
            (true, false) => f64::INFINITY,
            (false, _) => self.failing.hours,
        };
        // In (0, 1], so the logarithm is finite.
        self.next_ms += -(1.0 - chance.unit()).ln() * mean_h * MS_HOUR;
    }
}

impl Simulation {
    /// Refuses what cannot be played.
    ///
    /// # Errors
    /// [`SimulateError`] with the number that makes no sense.
    pub fn check(&self) -> Result<(), SimulateError> {
        let count = |what, value: u8, from: u8, rule| match (from..=COUNT_MAX).contains(&value) {
            true => Ok(()),
            false => Err(SimulateError { what, value: value.to_string(), rule }),
        };
        count("the number of zones", self.zones, 1, "1 to 7")?;
        count("the number of nodes", self.nodes, 3, "3 to 7: fewer have no quorum to simulate")?;
        self.zone.check("a zone")?;
        self.node.check("a node")
    }

    /// Plays `years` from `seed`.
    ///
    /// # Errors
    /// [`SimulateError`] for numbers that make no sense, and for no years or more than a million.
    pub fn run(&self, seed: u64, years: u32) -> Result<Simulated, SimulateError> {
        let mut run = self.start(seed, years)?;
        while run.step() {}
        Ok(run.seen())
    }

    /// As [`Simulation::run`], with nothing played yet.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn start(&self, seed: u64, years: u32) -> Result<Simulating, SimulateError> {
        self.check()?;
        if !(1..=YEARS_MAX).contains(&years) {
            let value = years.to_string();
            return Err(SimulateError { what: "the years to play", value, rule: "1 to 1,000,000" });
        }
        let mut chance = Chance::from_seed(seed);
        let timed = Timed::new(self.nodes, self.witness, self.pace, chance.next_u64());
        let zones = (0..self.zones).map(|_| Part::new(self.zone, &mut chance)).collect();
        let nodes = (0..self.nodes).map(|_| Part::new(self.node, &mut chance)).collect();
        let end_ms = f64::from(years) * HOURS_YEAR * MS_HOUR;
        let (now_ms, gaps, events) = (0.0, Vec::new(), 0);
        Ok(Simulating { years, end_ms, now_ms, chance, timed, zones, nodes, gaps, events })
    }
}

impl Simulating {
    /// Plays up to a thousand failures and repairs. `false`: the years are over.
    pub fn step(&mut self) -> bool {
        (0..STEP_EVENTS).all(|_| self.event())
    }

    /// Years that were played.
    #[must_use]
    pub fn years(&self) -> u32 {
        (self.now_ms / MS_HOUR / HOURS_YEAR) as u32
    }

    /// The next failure or repair; `false`: it comes after the end.
    fn event(&mut self) -> bool {
        let parts = self.zones.iter_mut().chain(&mut self.nodes);
        let next = parts.enumerate().min_by(|a, b| a.1.next_ms.total_cmp(&b.1.next_ms));
        let Some((index, part)) = next else { return false };
        self.now_ms = part.next_ms.min(self.end_ms);
        self.timed.advance(self.now_ms as u64);
        if part.next_ms >= self.end_ms {
            return false;
        }
        part.turn(&mut self.chance);
        self.events += 1;
        let zone = self.zones.len();
        for (node, machine) in self.nodes.iter().enumerate() {
            let concerned = if index < zone { node % zone == index } else { node == index - zone };
            if concerned {
                let id = NodeId(node as u8 + 1);
                let usable = machine.up && self.zones[node % zone].up;
                if usable { self.timed.repair(id) } else { self.timed.fail(id) }
            }
        }
        self.gaps.extend(self.timed.gaps());
        true
    }

    /// What was seen, when the years are over.
    #[must_use]
    pub fn seen(mut self) -> Simulated {
        self.gaps.extend(self.timed.gaps());
        self.gaps.extend(self.timed.unfinished());
        let (taking, waiting): (Vec<Gap>, Vec<Gap>) =
            self.gaps.iter().partition(|gap| gap.moved && !gap.helped);
        let (unavailability, deviation) = share(&self.gaps, self.end_ms);
        let part = |gaps: &[Gap]| {
            let (of_time, deviation) = share(gaps, self.end_ms);
            Share { of_time, deviation }
        };
        Simulated {
            years: self.years,
            unavailability,
            deviation,
            taking: part(&taking),
            waiting: part(&waiting),
            takeovers_ms: taking.iter().map(|gap| gap.ms).collect(),
            waits: waiting.len() as u64,
            events: self.events,
            looks: self.timed.looks(),
        }
    }
}

/// The share of `end_ms` that `gaps` take, and how far that is from certain.
fn share(gaps: &[Gap], end_ms: f64) -> (f64, f64) {
    share_of(gaps.iter().map(|gap| (gap.from_ms, gap.ms)), end_ms)
}

/// The same of moments and lengths, in milliseconds.
fn share_of(gaps: impl Iterator<Item = (u64, u64)> + Clone, end_ms: f64) -> (f64, f64) {
    let batch_ms = end_ms / f64::from(BATCHES);
    let shares: Vec<f64> = (0..BATCHES)
        .map(|batch| {
            let (from, to) = (f64::from(batch) * batch_ms, f64::from(batch + 1) * batch_ms);
            let within = |(begins, ms): (u64, u64)| {
                let (begins, ends) = (begins as f64, (begins + ms) as f64);
                (ends.min(to) - begins.max(from)).max(0.0)
            };
            gaps.clone().map(within).sum::<f64>() / batch_ms
        })
        .collect();
    let mean = shares.iter().sum::<f64>() / f64::from(BATCHES);
    let spread: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
    (mean, (spread / f64::from(BATCHES - 1) / f64::from(BATCHES)).sqrt())
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
