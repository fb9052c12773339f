//! The parts with state: for each set of living zones, the share of time in which they all serve.
//!
//! Groups are coupled in two ways: they stand in the same zones now, and they have lived through the same losses of
//! zones. A joint chain counts both exactly. Where it would be too large the second is left out: given the living zones,
//! groups are taken to be independent. That can only make the answer worse, as what is well goes together (association
//! of monotone systems; Esary, Proschan and Walkup, 1967): by 0.3 to 0.5 % where both were computed. Where one machine of each zone
//! holds everything, it is given which of these live, too.

use super::joint::{Health, Joint, Parts};
use super::part::{Application, Group};
use super::{ChanceError, Rates, STATES_MAX};

/// States, the stages of takeovers not counted, that [`Stateful::quick`] still solves jointly.
pub(crate) const QUICK_MAX: usize = 1 << 13;

/// How an unavailability was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// From one joint chain, or with nothing that has a memory.
    Exact {
        /// States of the chain.
        states: usize,
    },
    /// A bound that is never too low: groups were taken to be independent given the living zones.
    SafeBound {
        /// States of the largest of their chains.
        states: usize,
    },
}

/// Shares of time of the parts with state. Each list is indexed by the set of living zones, bit `i` = zone `i`; with one machine a
/// zone by the set of living zones and machines, bit `2 i` = zone `i`, bit `2 i + 1` = its machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Stateful {
    /// Zones live as in the index, and every group serves.
    pub up: Vec<f64>,
    /// By group: it waits for a repair, and none before it does.
    pub waiting: Vec<Vec<f64>>,
    /// By group: another of its nodes is taking over, none waits, and none before it is being taken over.
    pub taking: Vec<Vec<f64>>,
    /// How this was computed.
    pub exactness: Exactness,
}

/// Probability of each set of `zones` living zones, and of their one machines.
pub(crate) fn sets(zones: u8, zone: Rates, host: Option<Rates>) -> Vec<f64> {
    if let Some(host) = host {
        let each = [
            zone.down() * host.down(),
            zone.up() * host.down(),
            zone.down() * host.up(),
            zone.up() * host.up(),
        ];
        let more = |all: Vec<f64>| -> Vec<f64> {
            each.iter().flat_map(|one| all.iter().map(move |share| share * one)).collect()
        };
        return (0..zones).fold(vec![1.0], |all, _| more(all));
    }
    let one = |set: usize| {
        let up = set.count_ones() as i32;
        zone.up().powi(up) * zone.down().powi(i32::from(zones) - up)
    };
    (0..1 << zones).map(one).collect()
}

impl Stateful {
    /// Shares for the groups of `app`; without any, every set of zones serves.
    ///
    /// # Errors
    /// [`ChanceError::TooLarge`] when even a single group has too many states.
    pub fn new(app: &Application) -> Result<Stateful, ChanceError> {
        Stateful::within(app, STATES_MAX)
    }

    /// As [`Stateful::new`], but exact only for as many states as are solved in some hundredths of a second; beyond that
    /// the bound.
    ///
    /// # Errors
    /// As [`Stateful::new`].
    pub fn quick(app: &Application) -> Result<Stateful, ChanceError> {
        Stateful::within(app, QUICK_MAX)
    }

    fn within(app: &Application, states_max: usize) -> Result<Stateful, ChanceError> {
        app.check()?;
        let joint = Parts::new(app, app.groups.iter().collect(), Vec::new(), &[]).and_then(|parts| {
            let apart = app.groups.len() > 1 && parts.size() > states_max as f64;
            if apart { Err(parts.too_large()) } else { Joint::new(parts) }
        });
        match joint {
            Ok(joint) => Stateful::of(&joint).widened(app),
            Err(ChanceError::TooLarge { .. }) if app.groups.len() > 1 => Stateful::apart(app),
            Err(error) => Err(error),
        }
    }

    /// The bound, even where a joint chain would do.
    ///
    /// # Errors
    /// As [`Stateful::new`].
    pub fn apart(app: &Application) -> Result<Stateful, ChanceError> {
        app.check()?;
        let alone = |group: &Group| {
            let joint = Joint::new(Parts::new(app, vec![group], Vec::new(), &[])?)?;
            Stateful::of(&joint).widened(app)
        };
        let parts = app.groups.iter().map(alone).collect::<Result<Vec<_>, _>>()?;
        let sets = sets(app.zones, Rates::of(app.zone, "a zone")?, app.host_rates()?);
        let largest = parts.iter().map(|part| match part.exactness {
            Exactness::Exact { states } | Exactness::SafeBound { states } => states,
        });
        let exactness = Exactness::SafeBound { states: largest.max().unwrap_or(1) };
        let mut all = Stateful { up: sets.clone(), waiting: Vec::new(), taking: Vec::new(), exactness };
        for part in &parts {
            // Given the zones: what was up and is not with this group is blamed on it.
            let given = |share: &[f64]| -> Vec<f64> {
                let each = share.iter().zip(&all.up).zip(&sets);
                each.map(|((share, up), set)| if *set > 0.0 { share / set * up } else { 0.0 }).collect()
            };
            let (up, waiting, taking) = (given(&part.up), given(&part.waiting[0]), given(&part.taking[0]));
            all.up = up;
            all.waiting.push(waiting);
            all.taking.push(taking);
        }
        Ok(all)
    }

    fn of(joint: &Joint<'_>) -> Stateful {
        let (sets, groups) = (joint.parts.sets(), joint.parts.groups());
        let none = vec![vec![0.0; sets]; groups];
        let exactness = Exactness::Exact { states: joint.time.len() };
        let mut all = Stateful { up: vec![0.0; sets], waiting: none.clone(), taking: none, exactness };
        for (code, time) in joint.states() {
            let set = joint.parts.living(code);
            match joint.parts.blamed(code) {
                None => all.up[set] += time,
                Some((group, Health::Waiting)) => all.waiting[group][set] += time,
                Some((group, _)) => all.taking[group][set] += time,
            }
        }
        all
    }

    /// From the zones that groups are in to all of `app`: the others are independent of everything here.
    fn widened(self, app: &Application) -> Result<Stateful, ChanceError> {
        let inner = self.up.len();
        let others = app.zones - (inner.trailing_zeros() / app.width()) as u8;
        let sets = sets(others, Rates::of(app.zone, "a zone")?, app.host_rates()?);
        let wide = |share: Vec<f64>| -> Vec<f64> {
            sets.iter().flat_map(|set| share.iter().map(move |share| share * set)).collect()
        };
        Ok(Stateful {
            up: wide(self.up),
            waiting: self.waiting.into_iter().map(wide).collect(),
            taking: self.taking.into_iter().map(wide).collect(),
            exactness: self.exactness,
        })
    }

    /// Share of time in which not every group serves.
    #[must_use]
    pub fn unavailability(&self) -> f64 {
        self.waiting.iter().chain(&self.taking).flatten().sum()
    }
}
