//! Years of a plan: what of it the keepers' real rules can play, and whether what was played is what was computed.
//!
//! The availability model is played by [`plan::chance`], the rules of a database's keepers by [`drill::simulate`]. The
//! second knows zones, machines and takeovers alone, so it is held against the same model restricted to these.

use database::sim::Pace;
use drill::simulate::{Failing, Simulated, Simulation};
use plan::Outage;
use plan::chance::{Answer, Application, Cause, Exactness, Group, Played, Takeover};

/// Further apart than this many standard deviations is no chance: once in 16,000 runs.
pub const SIGMAS_MAX: f64 = 4.0;

/// Waits for a repair that must be expected among the years that are played. They are few and long, takeovers many and short:
/// with fewer than this the spread says nothing.
const WAITS_MIN: f64 = 30.0;

/// Stretches, each at least a year, that a spread is taken from at least.
const STRETCHES_MIN: u32 = 20;

/// Most skewness that the downtime of all years may have for its spread to say something: as of 70 outages of one kind.
const SKEW_MAX: f64 = 0.5;

/// With so many times the years that are needed the spread that was seen is taken as it is.
const SETTLED: f64 = 16.0;

/// A spread of so many times what is expected at most is itself no agreement: one endless outage would excuse itself.
const SPREAD_MAX: f64 = 2.0;

const HOURS_YEAR: f64 = 8_766.0;

/// What was computed beside what was played.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Unavailability, in 0..=1.
    pub computed: f64,
    pub played: f64,
    /// Standard deviation of `played`.
    pub deviation: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// Whether two figures are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Within [`SIGMAS_MAX`].
    Agree,
    /// Played is better than computed, and computed is a bound that is never too low.
    Safe,
    /// Beyond it.
    Disagree,
    /// Nobody can tell: about so many years are needed.
    TooFew(f64),
}

/// Databases that are alike, to be played by their keepers' rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Their names.
    pub names: Vec<String>,
    /// One of them.
    pub group: Group,
    /// What is played.
    pub simulation: Simulation,
    /// The model of what is played, with takeovers as planned.
    pub model: Application,
}

/// What the keepers' rules made of a [`Case`].
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub compared: Compared,
    /// Unavailability by the model with takeovers as planned.
    pub as_planned: f64,
    /// Parts of `compared.computed`: another node takes over; a repair is waited for.
    pub computed: [f64; 2],
    /// Takeovers; `None` when there was none.
    pub takeovers: Option<Takeovers>,
}

/// How long takeovers took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Takeovers {
    pub count: usize,
    pub mean: f64,
    /// Standard deviation of `mean`.
    pub deviation: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub longest: f64,
    /// Mean that the plan takes for granted.
    pub planned: f64,
}

impl Takeovers {
    /// They take longer than the plan takes for granted.
    pub fn is_slow(&self) -> bool {
        self.mean - self.planned > SIGMAS_MAX * self.deviation
    }

    fn of(lengths_ms: &[u64], planned: f64) -> Option<Takeovers> {
        let mut sorted = lengths_ms.to_vec();
        sorted.sort_unstable();
        let longest = *sorted.last()? as f64 / 1e3;
        let count = sorted.len();
        let mean = sorted.iter().sum::<u64>() as f64 / count as f64 / 1e3;
        let spread: f64 = sorted.iter().map(|ms| (*ms as f64 / 1e3 - mean).powi(2)).sum();
        let at = |percent: usize| sorted[(count * percent / 100).min(count - 1)] as f64 / 1e3;
        let deviation = spread.sqrt() / count as f64;
        Some(Takeovers { count, mean, deviation, p50: at(50), p90: at(90), p99: at(99), longest, planned })
    }
}

impl Compared {
    /// How far apart they are in standard deviations; positive: played is worse. `None`: the spread is not known.
    pub fn sigmas(&self) -> Option<f64> {
        let apart = self.played - self.computed;
        match self.verdict {
            Verdict::TooFew(_) => None,
            _ if apart == 0.0 => Some(0.0),
            _ => Some(apart / self.deviation),
        }
    }

    fn new(computed: f64, played: f64, deviation: f64, bound: bool) -> Compared {
        let apart = played - computed;
        let verdict = match apart.abs() <= SIGMAS_MAX * deviation {
            true => Verdict::Agree,
            false if bound && apart < 0.0 => Verdict::Safe,
            false => Verdict::Disagree,
        };
        Compared { computed, played, deviation, verdict }
    }
}

/// What years of one kind or another had.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// In 0..=1.
    pub unavailability: f64,
    /// Standard deviation of that, from how stretches of the years differ.
    pub deviation: f64,
    /// How many.
    pub years: u32,
}

/// The model's years beside its exact answer.
pub fn compare(model: &Application, answer: &Answer, played: &Played) -> Compared {
    let bound = matches!(answer.exactness, Exactness::SafeBound { .. });
    let Played { unavailability, deviation, years, .. } = *played;
    beside(model, answer, Seen { unavailability, deviation, years }, bound)
}

/// Years of whatever plays `model` beside its exact answer, which is a `bound` that is never too low or is not.
pub fn beside(model: &Application, answer: &Answer, seen: Seen, bound: bool) -> Compared {
    let (expected, years) = (Expected::of(model, answer), f64::from(seen.years));
    // Years that happen to have few long outages differ little from each other too: they would take themselves for exact.
    let least = if years < expected.years * SETTLED { expected.deviation(years) } else { 0.0 };
    let deviation = seen.deviation.max(least).min(SPREAD_MAX * expected.deviation(years));
    let mut compared = Compared::new(answer.total.get(), seen.unavailability, deviation, bound);
    if years < expected.years {
        compared.verdict = Verdict::TooFew(expected.years);
    }
    compared
}

/// How the downtime of years is expected to vary: outages are taken to be exponential with the longest mean that their cause can
/// have, so it varies no more than this, and fewer years would do.
struct Expected {
    /// Years after which that is nearly a normal distribution.
    years: f64,
    /// Of the downtime of an hour, in hours squared.
    variance: f64,
}

impl Expected {
    fn of(model: &Application, answer: &Answer) -> Expected {
        let moment = |power: i32| -> f64 {
            answer.causes.iter().map(|(cause, share)| share.get() * longest(model, cause).powi(power)).sum()
        };
        // Of exponential outages in one hour: variance 2 and third moment 6 times the share of time and the mean and its square.
        let (variance, third) = (2.0 * moment(1), 6.0 * moment(2));
        let skew =
            if variance > 0.0 { (third / SKEW_MAX).powi(2) / variance.powi(3) / HOURS_YEAR } else { 0.0 };
        Expected { years: skew.max(f64::from(STRETCHES_MIN)), variance }
    }

    /// Standard deviation of the unavailability of so many years.
    fn deviation(&self, years: f64) -> f64 {
        (self.variance / (years * HOURS_YEAR)).sqrt()
    }
}

/// Longest mean of an outage by `cause`, in hours.
fn longest(model: &Application, cause: &Cause) -> f64 {
    let group = |index: usize| model.groups.get(index);
    match *cause {
        Cause::Shared(index) => model.shared.get(index).map_or(0.0, |shared| shared.outage.hours),
        Cause::Zones => model.zone.hours,
        Cause::Hosts => model.host.map_or(0.0, |host| host.hours),
        Cause::Pools => model.pools.iter().map(|pool| pool.outage.hours).fold(0.0, f64::max),
        Cause::Nodes(index) => group(index).map_or(0.0, |group| group.node.hours),
        Cause::Machines(index) => model.fleets.get(index).map_or(0.0, |fleet| fleet.machine.hours),
        Cause::Takeover(index) => {
            group(index).and_then(|group| group.takeover).map_or(0.0, |takeover| takeover.seconds / 3_600.0)
        }
    }
}

/// Failures and repairs of `model` in a year, about.
pub fn events(model: &Application) -> f64 {
    let groups = model.groups.iter().map(|group| f64::from(group.nodes) * group.node.per_year);
    let machines =
        |fleet: &plan::chance::Fleet| fleet.machines.iter().map(|kind| f64::from(kind.count)).sum::<f64>();
    let fleets = model.fleets.iter().map(|fleet| machines(fleet) * fleet.machine.per_year);
    let common = model.pools.iter().chain(&model.shared).map(|common| common.outage.per_year);
    let hosts = model.host.map_or(0.0, |host| host.per_year);
    let zones = f64::from(model.zones) * (model.zone.per_year + hosts);
    2.0 * (zones + groups.chain(fleets).chain(common).sum::<f64>())
}

/// What of `model` the keepers' rules can play, equal databases together, and a sentence for each that they cannot.
pub fn cases(model: &Application) -> (Vec<Case>, Vec<String>) {
    let (mut cases, mut not): (Vec<Case>, Vec<String>) = (Vec::new(), Vec::new());
    for group in &model.groups {
        match lower(model, group) {
            Ok(case) => match cases.iter_mut().find(|other| other.is_like(&case)) {
                Some(other) => other.names.extend(case.names),
                None => cases.push(case),
            },
            Err(why) => not.push(format!("`{}` by its keepers' rules: {why}", group.name)),
        }
    }
    (cases, not)
}

/// What nobody decides about, in one sentence.
pub fn beyond(model: &Application) -> Option<String> {
    let shared: Vec<String> = model.shared.iter().map(|common| common.name.clone()).collect();
    (!shared.is_empty())
        .then(|| format!("what nobody decides about: {}; the model alone has them", shared.join(", ")))
}

/// One database for the simulation of keepers.
///
/// # Errors
/// Why that cannot play it, for people.
fn lower(model: &Application, group: &Group) -> Result<Case, String> {
    if group.takeover.is_none() {
        return Err("it has one node, nothing takes over, and nothing is decided".to_owned());
    }
    if group.needed == 1 {
        return Err(
            "it has a lease, is a cache or a provider's, and this version plays quorums alone".to_owned()
        );
    }
    if group.needed != group.nodes / 2 + 1 || group.witnesses > 1 {
        return Err(format!(
            "it needs {} of {} nodes, {} of them witnesses, which no keeper does",
            group.needed, group.nodes, group.witnesses
        ));
    }
    let failing = |outage: Outage| Failing { per_year: outage.per_year, hours: outage.hours };
    // Zones without a node change nothing: zones are independent, and node `i` stands in zone `i % zones`.
    let zones = model.zones.min(group.nodes);
    let simulation = Simulation {
        zones,
        zone: failing(model.zone),
        nodes: group.nodes,
        witness: group.witnesses == 1,
        node: failing(group.node),
        pace: Pace::default(),
    };
    simulation.check().map_err(|error| error.to_string())?;
    let model = Application {
        zones,
        zone: model.zone,
        host: None,
        groups: vec![group.clone()],
        fleets: Vec::new(),
        pools: Vec::new(),
        shared: Vec::new(),
    };
    Ok(Case { names: vec![group.name.clone()], group: group.clone(), simulation, model })
}

impl Case {
    fn is_like(&self, other: &Case) -> bool {
        let named = |case: &Case| Group { name: String::new(), ..case.group.clone() };
        self.simulation == other.simulation && named(self) == named(other)
    }

    /// The model with takeovers that take as long as those that were played: what is left is whether it counts and adds them up
    /// as they come.
    pub fn with(&self, played: &Simulated) -> Application {
        let mut model = self.model.clone();
        let takeovers = Takeovers::of(&played.takeovers_ms, 0.0);
        for group in &mut model.groups {
            let seconds = takeovers.map(|takeovers| takeovers.mean).filter(|mean| *mean > 0.0);
            let asked = group
                .takeover
                .map(|planned| Takeover { seconds: seconds.unwrap_or(planned.seconds), ..planned });
            group.takeover = asked;
        }
        model
    }

    /// Outages longer than so many hours are waits for a repair, and no takeovers.
    pub fn wait_hours(model: &Application) -> f64 {
        let seconds = model.groups.iter().filter_map(|group| group.takeover).map(|takeover| takeover.seconds);
        seconds.fold(6.0, f64::max) * 10.0 / 3_600.0
    }

    /// Holds the years that the keepers' rules played against `answer`, that of [`Case::with`], and against many more years of
    /// that model (`reference`, with its outages of more than [`Case::wait_hours`]), which know the spread better.
    ///
    /// # Errors
    /// When the planned model cannot be computed.
    pub fn judge(&self, played: &Simulated, answer: &Answer, reference: &Played) -> anyhow::Result<Outcome> {
        let takeover = |(cause, _): &&(Cause, _)| matches!(cause, Cause::Takeover(_));
        let taking = answer.causes.iter().find(takeover).map_or(0.0, |(_, share)| share.get());
        let computed = answer.total.get();
        let times = f64::from(reference.years) / f64::from(played.years.max(1));
        let deviation = played.deviation.max(reference.deviation * times.sqrt());
        // With five nodes the keepers let the quorum follow who is there, and the model waits for three of five.
        let bound = self.group.nodes > 3;
        let mut compared = Compared::new(computed, played.unavailability, deviation, bound);
        let waits = reference.longer.first().map_or(0.0, |longer| *longer as f64) / times;
        if waits < WAITS_MIN && computed > 0.0 {
            compared.verdict = Verdict::TooFew(f64::from(played.years) * WAITS_MIN / waits);
        }
        let planned = self.group.takeover.map_or(0.0, |takeover| takeover.seconds);
        Ok(Outcome {
            compared,
            as_planned: self.model.availability()?.total.get(),
            computed: [taking, computed - taking],
            takeovers: Takeovers::of(&played.takeovers_ms, planned),
        })
    }
}

#[cfg(test)]
#[path = "years_tests.rs"]
mod tests;
