//! The whole application: how long it is down in a year, and by what.

use super::part::{Application, Fleet};
use super::stateful::{Exactness, Stateful};
use super::tier::{Tier, series, together};
use super::{ChanceError, Rates, Unavailability};

/// What downtime is blamed on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// One of [`Application::shared`], by its place. Of several at once the first is blamed.
    Shared(usize),
    /// Something is too little while at least one zone is down.
    Zones,
    /// The one machine of a zone is gone while all zones live.
    Hosts,
    /// A fleet has too few machines while all zones live and a spot pool is gone.
    Pools,
    /// A group waits for the repair of a node, all zones alive.
    Nodes(usize),
    /// Another node of a group is taking over.
    Takeover(usize),
    /// A fleet has too few machines, all zones and pools alive.
    Machines(usize),
}

/// How available an application is.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The whole.
    pub total: Unavailability,
    /// Without the common causes that take everything down.
    pub application: Unavailability,
    /// What each cause takes of `total`, largest first; they add up to it. Causes that take nothing are left out.
    pub causes: Vec<(Cause, Unavailability)>,
    /// How exact this is.
    pub exactness: Exactness,
}

/// Sums by cause.
struct Blame<'a> {
    app: &'a Application,
    zones: f64,
    hosts: f64,
    pools: f64,
    nodes: Vec<f64>,
    takeovers: Vec<f64>,
    machines: Vec<f64>,
}

impl Application {
    /// What a cause is called.
    #[must_use]
    pub fn cause(&self, cause: &Cause) -> String {
        let group = |index: usize| self.groups.get(index).map_or("", |group| group.name.as_str());
        match *cause {
            Cause::Shared(index) => {
                self.shared.get(index).map_or_else(String::new, |shared| shared.name.clone())
            }
            Cause::Zones => "loss of zones".to_owned(),
            Cause::Hosts => "loss of machines".to_owned(),
            Cause::Pools => "loss of spot pools".to_owned(),
            Cause::Nodes(index) => format!("loss of nodes of `{}`", group(index)),
            Cause::Takeover(index) => format!("failovers of `{}`", group(index)),
            Cause::Machines(index) => {
                let fleet = self.fleets.get(index).map_or("", |fleet| fleet.name.as_str());
                format!("loss of machines of `{fleet}`")
            }
        }
    }

    /// How available it is: parts with state by [`Stateful`], those without given the living zones and pools, common
    /// causes in series. Only failures are added up, so that no digit of a small number is lost.
    ///
    /// # Errors
    /// [`ChanceError`] for bad input and for more states than are computed.
    pub fn availability(&self) -> Result<Answer, ChanceError> {
        self.given(&Stateful::new(self)?)
    }

    /// As [`Application::availability`], when the parts with state are known already: they are the same for every
    /// choice of fleets.
    ///
    /// # Errors
    /// As [`Application::availability`].
    pub fn given(&self, stateful: &Stateful) -> Result<Answer, ChanceError> {
        self.check()?;
        let groups = self.groups.len();
        if stateful.up.len() != 1 << (u32::from(self.zones) * self.width())
            || stateful.waiting.len() != groups
        {
            let value = format!("{} sets of zones, {} groups", stateful.up.len(), stateful.waiting.len());
            return Err(ChanceError::absurd(
                "the shares of the parts with state",
                value,
                "of this application",
            ));
        }
        let mut blame = Blame::new(self);
        blame.groups(stateful);
        blame.fleets(stateful)?;
        blame.answer(stateful.exactness)
    }
}

impl<'a> Blame<'a> {
    fn new(app: &'a Application) -> Blame<'a> {
        let (groups, fleets) = (app.groups.len(), app.fleets.len());
        Blame {
            app,
            zones: 0.0,
            hosts: 0.0,
            pools: 0.0,
            nodes: vec![0.0; groups],
            takeovers: vec![0.0; groups],
            machines: vec![0.0; fleets],
        }
    }

    fn groups(&mut self, stateful: &Stateful) {
        for (group, waiting) in stateful.waiting.iter().enumerate() {
            let (all, fewer) = waiting.split_last().unwrap_or((&0.0, &[]));
            self.nodes[group] += all;
            for (set, share) in fewer.iter().enumerate() {
                *(if self.app.all_zones(set) { &mut self.hosts } else { &mut self.zones }) += share;
            }
        }
        for (group, taking) in stateful.taking.iter().enumerate() {
            self.takeovers[group] += taking.iter().sum::<f64>();
        }
    }

    fn fleets(&mut self, stateful: &Stateful) -> Result<(), ChanceError> {
        let pools = self.app.pools.iter().map(|pool| Rates::of(pool.outage, &pool.name));
        let pools = pools.collect::<Result<Vec<_>, _>>()?;
        let everything = stateful.up.len() - 1;
        for living in 0..1_usize << pools.len() {
            let up = |pool: usize| living >> pool & 1 == 1;
            let shares =
                pools.iter().enumerate().map(|(i, pool)| if up(i) { pool.up() } else { pool.down() });
            let share: f64 = shares.product();
            if share == 0.0 {
                continue;
            }
            let fails = self.app.fleets.iter().map(|fleet| too_few(fleet, self.app.zones, &up));
            let fails = fails.collect::<Result<Vec<_>, _>>()?;
            for (set, serves) in stateful.up.iter().enumerate() {
                let mut left = share * serves;
                let (reached, all_zones) = (self.app.reached(set), self.app.all_zones(set));
                for (fleet, fails) in fails.iter().enumerate() {
                    let part = left * fails[reached];
                    left -= part;
                    let pooled = || self.app.fleets[fleet].machines.iter().filter_map(|kind| kind.pool);
                    match set == everything {
                        false if all_zones => self.hosts += part,
                        false => self.zones += part,
                        true if pooled().any(|pool| !up(pool)) => self.pools += part,
                        true => self.machines[fleet] += part,
                    }
                }
            }
        }
        Ok(())
    }

    fn answer(self, exactness: Exactness) -> Result<Answer, ChanceError> {
        let numbered = |make: fn(usize) -> Cause, shares: Vec<f64>| {
            shares.into_iter().enumerate().map(move |(index, share)| (make(index), share))
        };
        let mut own =
            vec![(Cause::Zones, self.zones), (Cause::Hosts, self.hosts), (Cause::Pools, self.pools)];
        own.extend(numbered(Cause::Nodes, self.nodes));
        own.extend(numbered(Cause::Takeover, self.takeovers));
        own.extend(numbered(Cause::Machines, self.machines));
        let application = own.iter().map(|(_, share)| share).sum::<f64>();
        let shared = self.app.shared.iter().map(|cause| Rates::of(cause.outage, &cause.name));
        let shared = shared.collect::<Result<Vec<_>, _>>()?;
        let mut rest = 1.0;
        let mut causes = Vec::new();
        for (index, rates) in shared.iter().enumerate() {
            causes.push((Cause::Shared(index), rest * rates.down()));
            rest *= rates.up();
        }
        causes.extend(own.into_iter().map(|(cause, share)| (cause, rest * share)));
        causes.retain(|(_, share)| *share > 0.0);
        causes.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let down: Vec<f64> = shared.iter().map(|rates| rates.down()).chain([application]).collect();
        Ok(Answer {
            total: Unavailability::of(series(&down)),
            application: Unavailability::of(application),
            causes: causes.into_iter().map(|(cause, share)| (cause, Unavailability::of(share))).collect(),
            exactness,
        })
    }
}

/// Probability that `fleet` has too few replicas, by the set of living zones; pools live as `up` says.
fn too_few(fleet: &Fleet, zones: u8, up: &dyn Fn(usize) -> bool) -> Result<Vec<f64>, ChanceError> {
    let mut tier = Tier { zones: vec![Vec::new(); usize::from(zones)], needed: fleet.needed };
    for kind in fleet.machines.iter().filter(|kind| kind.pool.is_none_or(up)) {
        let machines = &mut tier.zones[usize::from(kind.zone)];
        machines.extend(std::iter::repeat_n(kind.carries, kind.count as usize));
    }
    Ok(together(&tier, Rates::of(fleet.machine, &fleet.name)?.down()).fails)
}

#[cfg(test)]
#[path = "whole_tests.rs"]
pub(crate) mod tests;
