//! The exact search: the cheapest layout that keeps every objective, with bounds that are never too high.
//!
//! A candidate is a region, a number of zones, and for each service a machine type and a number of spare
//! replicas; databases have as many nodes as the file says, on the cheapest machines. Branch and bound over the services: a branch is left when its cheapest completion costs more
//! than the best plan so far, or when its safest completion is not available enough. Both bounds are
//! optimistic, so nothing cheaper is overlooked.

use std::collections::BTreeMap;

use model::{App, Money, PlannedService, Service};

use crate::availability::{Downtime, Priors, Tier, Together, downtime, together};
use crate::catalog::{HOURS_MONTH, Machine, MachineType, RegionOffer, Unit};
use crate::database::{self, Holding};
use crate::size::{Request, Size, Survive};

/// Spare replicas of a service that are tried beyond its reserve. A fifth one buys less than a second a year.
const SPARE_MAX: u32 = 4;

/// Work before the search stops and says how far from the optimum it may be, in sums over one service and one
/// set of zones: some tenths of a second.
const WORK_MAX: u64 = 20_000_000;

/// GB of disk of each machine: system, logs, the order journal.
pub(crate) const DISK_GB: f64 = 20.0;

/// Unavailability below which two plans count as equal: one part in 10^9, as the model is tested.
const EQUAL: f64 = 1e-9;

/// Where a plan may be: a region of a provider, or this machine.
#[derive(Clone, Copy)]
pub(crate) enum Market<'a> {
    Local,
    Cloud(&'a RegionOffer),
}

/// One way to run one service.
#[derive(Clone)]
pub(crate) struct Choice<'a> {
    /// `None`: this machine.
    pub(crate) machine: Option<&'a Machine>,
    pub(crate) machines: u32,
    pub(crate) size: Size,
    /// What it costs a month; on this machine a millionth of a dollar a replica, so that fewest wins.
    cost: Money,
    fails: Together,
}

/// One whole plan.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) market: Market<'a>,
    pub(crate) zones: u32,
    pub(crate) choices: Vec<Choice<'a>>,
    /// In the order of the file.
    pub(crate) databases: Vec<Holding<'a>>,
    pub(crate) cost: Money,
    pub(crate) down: Downtime,
}

/// What a candidate must keep.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Most unavailability; `None`: any.
    pub(crate) down: Option<f64>,
    pub(crate) survive: Survive,
    /// Also take services that `scale.max` keeps too small.
    pub(crate) forbidden: bool,
}

/// Counts for the certificate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effort {
    pub(crate) evaluated: u64,
    pub(crate) pruned: u64,
    /// Cheapest bound of what was given up unseen at [`WORK_MAX`].
    pub(crate) open: Option<Money>,
    /// See [`WORK_MAX`].
    work: u64,
}

/// Everything that stays the same during a search.
pub(crate) struct Space<'a> {
    pub(crate) app: &'a App,
    pub(crate) request: &'a Request,
    pub(crate) markets: Vec<Market<'a>>,
    pub(crate) priors: Priors,
}

/// A region and a number of zones, with the ways to run each service that nothing else beats.
struct Group<'a> {
    market: Market<'a>,
    zones: u32,
    /// Balancer and databases.
    fixed: Money,
    options: Vec<Vec<Choice<'a>>>,
    databases: Vec<Holding<'a>>,
    /// `rest[i]`: least cost of services `i` and on.
    rest: Vec<Money>,
    /// `best[i]`: the least failure of service `i` in each set of zones, over all its options.
    best: Vec<Together>,
}

impl Market<'_> {
    pub(crate) fn zones(&self, asked: u8) -> std::ops::RangeInclusive<u32> {
        match self {
            Market::Local => u32::from(asked)..=u32::from(asked),
            Market::Cloud(offer) => 1..=u32::from(asked.min(offer.zones)),
        }
    }

    /// What is paid whatever runs.
    pub(crate) fn fixed(&self, app: &App) -> Money {
        let Market::Cloud(offer) = self else { return Money(0) };
        let fixed = offer.unit(Unit::BalancerMonth).into_iter().map(|price| Money::from_usd(price.usd));
        let by_use = offer.unit(Unit::BalancerUnitMonth).into_iter();
        let by_use = by_use.map(|price| Money::from_usd(price.usd * balancer_units(app)));
        fixed.chain(by_use).sum()
    }
}

/// Capacity units of a load balancer: one for each 1,000 requests/s on average, at least one.
pub(crate) fn balancer_units(app: &App) -> f64 {
    let mean = |service: &Service| {
        let entered = app.ingress.iter().any(|entry| entry.to == service.name);
        let load = service.load.filter(|_| entered);
        load.map_or(0.0, |load| load.mean.map_or(load.peak.0 / 3.0, |mean| mean.0))
    };
    (app.services.iter().map(mean).sum::<f64>() / 1_000.0).ceil().max(1.0)
}

/// A machine of `kind` for a month.
pub(crate) fn machine_month(kind: &Machine) -> f64 {
    kind.price.usd * HOURS_MONTH
}

/// `replicas` over `zones` zones, the first ones fuller.
pub(crate) fn shares(replicas: u32, zones: u32) -> impl Iterator<Item = u32> {
    (0..zones).map(move |zone| replicas / zones + u32::from(zone < replicas % zones))
}

/// How many replicas of `service` fit on one machine.
pub(crate) fn slots(service: &Service, kind: &MachineType) -> u32 {
    let by_cpu = kind.vcpu.saturating_mul(1000) / service.resources.cpus.0.max(1);
    let by_memory = kind.mem_gib * f64::from(1u32 << 30) / service.resources.memory.0.max(1) as f64;
    by_cpu.min(by_memory.floor().min(f64::from(u32::MAX)) as u32)
}

impl<'a> Space<'a> {
    /// The cheapest candidate within `limits`; the safest of equally cheap ones.
    pub(crate) fn cheapest(&self, limits: Limits, effort: &mut Effort) -> Option<Candidate<'a>> {
        let mut groups = self.groups(limits, effort);
        groups.sort_by_key(|group| group.fixed + group.rest[0]);
        let mut best = None;
        for group in &groups {
            let mut branch = Branch { space: self, group, limits, best: best.take(), picks: Vec::new() };
            branch.begin(effort);
            branch.go(group.fixed, effort);
            best = branch.best;
        }
        best
    }

    /// The safest and the cheapest candidate of each region and number of zones: what is left to offer when
    /// nothing keeps every objective.
    pub(crate) fn corners(&self, limits: Limits, effort: &mut Effort) -> Vec<Candidate<'a>> {
        let mut found = Vec::new();
        for group in self.groups(limits, effort) {
            let expected = |choice: &Choice<'_>| self.expected(choice, group.zones);
            let safest = group.options.iter().map(|all| {
                all.iter().min_by(|a, b| expected(a).total_cmp(&expected(b)).then(a.cost.cmp(&b.cost)))
            });
            let cheapest = group.options.iter().map(|all| all.iter().min_by_key(|choice| choice.cost));
            for picks in [safest.collect::<Option<Vec<_>>>(), cheapest.collect()].into_iter().flatten() {
                effort.evaluated += 1;
                found.push(self.candidate(&group, &picks));
            }
        }
        found
    }

    fn expected(&self, choice: &Choice<'_>, zones: u32) -> f64 {
        downtime(std::iter::once(&choice.fails), zones as usize, &self.priors, 0.0).total()
    }

    /// The whole with these services.
    fn down<'s>(
        &self,
        group: &'s Group<'a>,
        services: impl Iterator<Item = &'s Together> + Clone,
    ) -> Downtime {
        let databases = group.databases.iter().map(|holding| &holding.fails);
        let failovers = database::failovers(&self.app.databases, &self.priors);
        downtime(services.chain(databases), group.zones as usize, &self.priors, failovers)
    }

    fn candidate(&self, group: &Group<'a>, picks: &[&Choice<'a>]) -> Candidate<'a> {
        Candidate {
            market: group.market,
            zones: group.zones,
            choices: picks.iter().map(|&choice| choice.clone()).collect(),
            databases: group.databases.clone(),
            cost: group.fixed + picks.iter().map(|choice| choice.cost).sum(),
            down: self.down(group, picks.iter().map(|choice| &choice.fails)),
        }
    }

    fn groups(&self, limits: Limits, effort: &mut Effort) -> Vec<Group<'a>> {
        let mut groups = Vec::new();
        let databases = &self.app.databases;
        let zones_of = |market: &Market<'a>| market.zones(self.app.placement.zones);
        // Only when there is such a place at all; else the nearest to what was asked is still to be found.
        let spread = limits.survive == Survive::Zone
            && self.markets.iter().flat_map(zones_of).any(|zones| database::outlives_zone(databases, zones));
        for &market in &self.markets {
            for zones in zones_of(&market) {
                if spread && !database::outlives_zone(databases, zones) {
                    continue;
                }
                let group = self.group(market, zones, limits, effort);
                groups.extend(group.filter(|group| group.options.iter().all(|all| !all.is_empty())));
            }
        }
        groups
    }

    fn group(
        &self,
        market: Market<'a>,
        zones: u32,
        limits: Limits,
        effort: &mut Effort,
    ) -> Option<Group<'a>> {
        if zones == 1 && limits.survive == Survive::Zone && !limits.forbidden {
            return None;
        }
        let databases = self.holdings(market, zones)?;
        let mut options = Vec::new();
        for index in 0..self.app.services.len() {
            let mut all = self.choices(market, zones, index, limits);
            let before = all.len();
            keep_undominated(&mut all);
            effort.pruned = effort.pruned.saturating_add((before - all.len()) as u64);
            options.push(all);
        }
        let mut rest = vec![Money(0)];
        for all in options.iter().rev() {
            let least = all.iter().map(|choice| choice.cost).min()?;
            rest.push(least + rest[rest.len() - 1]);
        }
        rest.reverse();
        let best = options.iter().map(|all| safest_of_each(all)).collect();
        let held = databases.iter().zip(&self.app.databases).filter_map(|(holding, database)| {
            holding.machine.map(|machine| database::cost(database, machine, market))
        });
        let fixed = market.fixed(self.app) + held.sum();
        Some(Group { market, zones, fixed, options, databases, rest, best })
    }

    /// How the databases run there; `None` when the market has no machine for one of them.
    fn holdings(&self, market: Market<'a>, zones: u32) -> Option<Vec<Holding<'a>>> {
        let hold = |database| {
            let machine = database::machine(database, market);
            let is_held = machine.is_some() || matches!(market, Market::Local);
            is_held.then(|| Holding { machine, fails: database::fails(database, zones, &self.priors) })
        };
        self.app.databases.iter().map(hold).collect()
    }

    fn choices(&self, market: Market<'a>, zones: u32, index: usize, limits: Limits) -> Vec<Choice<'a>> {
        let service = &self.app.services[index];
        let kinds: Vec<(Option<&'a Machine>, u32)> = match market {
            Market::Local => vec![(None, 1)],
            Market::Cloud(offer) => cheapest_of_each(offer, service),
        };
        let mut all = Vec::new();
        for (machine, slots) in kinds.into_iter().filter(|(_, slots)| *slots > 0) {
            for spare in 0..=SPARE_MAX {
                let size = self.request.needs[index].size(zones, spare, limits.survive, slots);
                let enough = size.base <= size.replicas || limits.forbidden;
                // `scale.max` may make a larger spare the same as a smaller one.
                if enough && all.last().is_none_or(|last: &Choice<'_>| last.size != size || spare == 0) {
                    all.push(self.choice(machine, slots, size, zones));
                }
            }
        }
        all
    }

    fn choice(&self, machine: Option<&'a Machine>, slots: u32, size: Size, zones: u32) -> Choice<'a> {
        let on_machines =
            |share: u32| shares(share, share.div_ceil(slots).max(1)).filter(|&on| on > 0).collect();
        let tier =
            Tier { zones: shares(size.replicas, zones).map(on_machines).collect(), needed: size.needed };
        let machines = tier.zones.iter().map(|zone| zone.len() as u32).sum();
        let cost = match machine {
            // Each line of the bill is rounded as it is printed, so that the lines add up to the sum.
            Some(kind) => {
                Money::from_usd(machine_month(kind) * f64::from(machines)) + self.disks(kind, machines)
            }
            None => Money(i64::from(size.replicas)),
        };
        Choice { machine, machines, size, cost, fails: together(&tier, self.priors.node.unavailability()) }
    }

    fn disks(&self, kind: &Machine, machines: u32) -> Money {
        let sells = |offer: &&RegionOffer| offer.machines.iter().any(|sold| std::ptr::eq(sold, kind));
        let offers = self.markets.iter().filter_map(|market| match market {
            Market::Cloud(offer) => Some(*offer),
            Market::Local => None,
        });
        let disk = offers.into_iter().find(sells).and_then(|offer| offer.unit(Unit::DiskGbMonth));
        disk.map_or(Money(0), |price| Money::from_usd(price.usd * DISK_GB * f64::from(machines)))
    }
}

/// Of the machines that hold equally many replicas the cheapest: the others differ in nothing that is searched for. The first by
/// name of equally cheap ones.
fn cheapest_of_each<'a>(offer: &'a RegionOffer, service: &Service) -> Vec<(Option<&'a Machine>, u32)> {
    let mut cheapest: BTreeMap<u32, &Machine> = BTreeMap::new();
    for kind in offer.usable() {
        let best = cheapest.entry(slots(service, kind)).or_insert(kind);
        if kind.price.usd < best.price.usd {
            *best = kind;
        }
    }
    cheapest.into_iter().map(|(slots, kind)| (Some(kind), slots)).collect()
}

/// Keeps the choices that no other one beats in price and in every set of zones.
fn keep_undominated(all: &mut Vec<Choice<'_>>) {
    all.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.fails.fails[0].total_cmp(&b.fails.fails[0])));
    let mut kept: Vec<Choice<'_>> = Vec::new();
    for choice in std::mem::take(all) {
        let beaten = |other: &Choice<'_>| {
            other.fails.fails.iter().zip(&choice.fails.fails).all(|(theirs, ours)| theirs <= ours)
        };
        if !kept.iter().any(beaten) {
            kept.push(choice);
        }
    }
    *all = kept;
}

fn safest_of_each(all: &[Choice<'_>]) -> Together {
    let sets = all.first().map_or(0, |choice| choice.fails.fails.len());
    let least = |set: usize| all.iter().map(|choice| choice.fails.fails[set]).fold(1.0, f64::min);
    Together { fails: (0..sets).map(least).collect() }
}

struct Branch<'s, 'a> {
    space: &'s Space<'a>,
    group: &'s Group<'a>,
    limits: Limits,
    best: Option<Candidate<'a>>,
    picks: Vec<usize>,
}

impl Branch<'_, '_> {
    /// A first plan to compare with: the safest, made cheaper service by service while it stays available enough.
    fn begin(&mut self, effort: &mut Effort) {
        let expected = |choice: &Choice<'_>| self.space.expected(choice, self.group.zones);
        let safest = self.group.options.iter().map(|all| {
            (0..all.len()).min_by(|&a, &b| expected(&all[a]).total_cmp(&expected(&all[b]))).unwrap_or(0)
        });
        self.picks = safest.collect();
        for service in 0..self.picks.len() {
            let kept = self.picks[service];
            // Options are ordered by price, so the first that is enough is the cheapest.
            for option in 0..kept {
                self.picks[service] = option;
                effort.evaluated += 1;
                if self.reachable() {
                    break;
                }
                self.picks[service] = kept;
            }
        }
        self.judge();
        self.picks.clear();
    }

    /// Completes `picks`, which cost `cost` so far, in every way that can still be the best.
    fn go(&mut self, cost: Money, effort: &mut Effort) {
        let depth = self.picks.len();
        let below: u64 =
            self.group.options[depth..].iter().fold(1, |n, all| n.saturating_mul(all.len() as u64));
        let bound = cost + self.group.rest[depth];
        if self.best.as_ref().is_some_and(|best| bound > best.cost) {
            effort.pruned = effort.pruned.saturating_add(below);
            return;
        }
        if effort.work >= WORK_MAX {
            effort.pruned = effort.pruned.saturating_add(below);
            effort.open = Some(effort.open.map_or(bound, |open| open.min(bound)));
            return;
        }
        effort.work += (self.group.options.len() << self.group.zones) as u64;
        if !self.reachable() {
            effort.pruned = effort.pruned.saturating_add(below);
            return;
        }
        if depth == self.group.options.len() {
            effort.evaluated += 1;
            return self.judge();
        }
        for index in 0..self.group.options[depth].len() {
            let cost = cost + self.group.options[depth][index].cost;
            self.picks.push(index);
            self.go(cost, effort);
            self.picks.pop();
        }
    }

    /// Whether even the safest completion is available enough.
    fn reachable(&self) -> bool {
        let Some(limit) = self.limits.down else { return true };
        let chosen = self.picks.iter().zip(&self.group.options).map(|(&pick, all)| &all[pick].fails);
        let rest = self.group.best[self.picks.len()..].iter();
        self.space.down(self.group, chosen.chain(rest)).total() <= limit
    }

    fn judge(&mut self) {
        let picks: Vec<_> =
            self.picks.iter().zip(&self.group.options).map(|(&pick, all)| &all[pick]).collect();
        let candidate = self.space.candidate(self.group, &picks);
        let total = candidate.down.total();
        let better = self.best.as_ref().is_none_or(|best| {
            let safer = total < best.down.total() * (1.0 - EQUAL);
            candidate.cost < best.cost || (candidate.cost == best.cost && safer)
        });
        if better && self.limits.down.is_none_or(|limit| total <= limit) {
            self.best = Some(candidate);
        }
    }
}

impl Choice<'_> {
    /// What the engine is told.
    pub(crate) fn planned(&self, service: &Service) -> PlannedService {
        PlannedService {
            service: service.clone(),
            replicas: self.size.replicas,
            version: crate::version(service),
            needed_at_peak: self.size.needed,
        }
    }
}
