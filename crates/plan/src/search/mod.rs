//! The exact search: the cheapest layout that keeps every objective, and the proof that nothing is cheaper.
//!
//! The space is `docs/reference/plan-space.md`: a region and a number of zones (a topology), for each service a machine
//! type and a number of spare replicas, for each database and cache a machine type. A topology is searched for each way to pay for its
//! ways out ([`nat`]), and left when its bound of cost is not below the best plan so far or when even its safest choices are
//! not available enough; else it is branched and bounded. All bounds are optimistic, so nothing cheaper is overlooked. Then
//! [`together`] looks whether one machine a zone that holds everything is cheaper.

mod branch;
mod choice;
mod frame;
mod market;
mod nat;
mod rival;
mod together;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{App, Layout, Money, Service};

use crate::PlanError;
use crate::cache;
use crate::catalog::Machine;
use crate::chance::Assumptions;
use crate::database::{self, Spread};
use crate::odds::Odds;
use crate::proof::{Closed, Nat, Topology};
use crate::size::{Need, Request, Survive};

pub(crate) use choice::Choice;
pub(crate) use market::{DISK_GB, Market, machine_month, slots, speed};
pub(crate) use nat::used as ways_out;
pub use rival::{Rivals, rivals};
pub(crate) use together::disk_gb as shared_disk_gb;
pub(crate) use traffic::{Paid, Use};

use branch::EQUAL;
use choice::{Kind, Layouts, Least, Place, choices, held_back, is_sized, keep_undominated, kinds, least};
use frame::{Base, Bound, Frame};

/// Work before the search stops and says how far from the optimum it may be, in multiplications: some tenths of a second.
const WORK_MAX: u64 = 300_000_000;

/// One whole plan.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) market: Market<'a>,
    pub(crate) zones: u32,
    pub(crate) layout: Layout,
    /// In the order of the file.
    pub(crate) choices: Vec<Choice<'a>>,
    /// Machines of the databases in the order of the file; `None`: this machine.
    pub(crate) databases: Vec<Option<&'a Machine>>,
    /// Machines of the caches likewise.
    pub(crate) caches: Vec<Option<&'a Machine>>,
    /// Of the services, databases and caches together.
    pub(crate) machines: u32,
    /// What is paid whatever runs, without the ways out.
    pub(crate) uses: Rc<[Use]>,
    pub(crate) cost: Money,
    /// Unavailability.
    pub(crate) down: f64,
}

impl Candidate<'_> {
    /// How its replicas and nodes are spread.
    pub(crate) fn spread(&self) -> Spread {
        Spread { zones: self.zones, layout: self.layout }
    }

    /// The one machine type that holds everything, where one machine a zone does.
    pub(crate) fn shared(&self) -> Option<&Machine> {
        self.choices.first().and_then(|choice| choice.machine).filter(|_| !self.layout.is_apart())
    }
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
    /// What costs more is not looked at.
    ceiling: Option<Money>,
}

impl Effort {
    /// Of two searches for the same plan.
    pub(crate) fn joined(self, other: Effort) -> Effort {
        Effort {
            evaluated: self.evaluated.saturating_add(other.evaluated),
            pruned: self.pruned.saturating_add(other.pruned),
            open: self.open.into_iter().chain(other.open).min(),
            ..self
        }
    }

    /// For a search beside the main one, which may take a fraction of its work.
    pub(crate) fn aside() -> Effort {
        Effort { work: WORK_MAX / 8 * 7, ..Effort::default() }
    }

    /// The same for a search in which only plans up to this cost count.
    pub(crate) fn up_to(self, ceiling: Option<Money>) -> Effort {
        Effort { ceiling, ..self }
    }

    /// Whether everything that costs at least `bound`, in millionths of a dollar, costs too much.
    fn is_above(&self, bound: f64) -> bool {
        self.ceiling.is_some_and(|ceiling| bound > ceiling.0 as f64 + 0.5)
    }

    /// `times` branches below which the first `depth` services are chosen were closed.
    fn prune(&mut self, frame: &Frame<'_, '_>, depth: usize, times: usize) {
        let each =
            frame.options[depth..].iter().fold(times as u64, |n, all| n.saturating_mul(all.len() as u64));
        self.pruned = self.pruned.saturating_add(each);
    }
}

/// Everything that stays the same during a search.
pub(crate) struct Space<'a> {
    pub(crate) app: &'a App,
    pub(crate) request: &'a Request,
    pub(crate) markets: Vec<Market<'a>>,
    pub(crate) assumptions: Assumptions,
    odds: Rc<BTreeMap<Spread, Odds>>,
    /// Services in the order of branching: by name, so that the order of the file changes nothing.
    pub(crate) order: Vec<usize>,
    /// By market, by service in the order of branching.
    kinds: Vec<Vec<Rc<[Kind<'a>]>>>,
    layouts: Rc<Layouts>,
    /// Where the databases miss fewest objectives: none, if that can be had.
    fitting: Vec<Spread>,
    picks: together::Picks,
}

/// What a search found.
pub(crate) struct Found<'a> {
    pub(crate) best: Option<Candidate<'a>>,
    /// What the cheapest costs whose services and databases have machines of their own.
    pub(crate) apart: Option<Money>,
    /// Every topology, and why nothing in it is cheaper.
    pub(crate) topologies: Vec<Topology>,
}

/// A topology before it is prepared.
struct Draft<'a> {
    market: usize,
    base: Base<'a>,
    /// No candidate costs less.
    least: Money,
}

/// What [`Draft`]s of one topology share.
#[derive(Clone)]
struct Common<'a> {
    base: Base<'a>,
    /// By service in the order of branching.
    leasts: Vec<Least>,
}

impl<'a> Space<'a> {
    /// Prepares the search.
    ///
    /// # Errors
    /// [`PlanError::Model`] when an assumption cannot be computed with.
    pub(crate) fn new(
        app: &'a App,
        request: &'a Request,
        markets: Vec<Market<'a>>,
        assumptions: Assumptions,
    ) -> Result<Space<'a>, PlanError> {
        let mut odds = BTreeMap::new();
        for spread in spreads(app, &markets) {
            odds.insert(spread, Odds::new(app, &assumptions, spread)?);
        }
        let mut order: Vec<usize> = (0..app.services.len()).collect();
        order.sort_by(|&a, &b| app.services[a].name.cmp(&app.services[b].name));
        let of = |market: Market<'a>| {
            let each = order.iter().map(|&index| (&app.services[index], &request.needs[index]));
            each.map(|(service, need)| kinds(market, service, need).into()).collect()
        };
        let kinds = markets.iter().map(|&market| of(market)).collect();
        let (odds, layouts) = (Rc::new(odds), Rc::new(Layouts::default()));
        let fitting = fitting(app, request, allowed(app, &markets, &odds), &assumptions);
        let picks = together::Picks::default();
        Ok(Space { app, request, markets, assumptions, odds, order, kinds, layouts, fitting, picks })
    }

    /// The same for a file with other objectives, or another `scale.max`, without computing again what these do not change;
    /// `None`: the file differs in more than that.
    pub(crate) fn asking<'n>(&self, app: &'n App, request: &'n Request) -> Option<Space<'n>>
    where
        'a: 'n,
    {
        let places = |app: &'n App| (&app.placement, &app.objectives.latency, &app.ingress);
        let parts = |app: &'n App| app.services.iter().map(|service| (&service.name, service.resources));
        let known = |app: &'n App| (&app.databases, &app.caches, &app.assume, &app.seen);
        let same = places(self.app) == places(app) && known(self.app) == known(app);
        let same = same && self.app.sharing() == app.sharing();
        if !(same && parts(self.app).eq(parts(app))) {
            return None;
        }
        let of = |(&market, all): (&Market<'a>, &Vec<Rc<[Kind<'a>]>>)| -> Vec<Rc<[Kind<'n>]>> {
            let each = all.iter().zip(&self.order).map(|(known, &index)| {
                let need = &request.needs[index];
                match *need == self.request.needs[index] {
                    true => Rc::clone(known),
                    false => kinds(market, &app.services[index], need).into(),
                }
            });
            each.collect()
        };
        Some(Space {
            app,
            request,
            markets: self.markets.clone(),
            assumptions: self.assumptions.clone(),
            odds: Rc::clone(&self.odds),
            order: self.order.clone(),
            kinds: self.markets.iter().zip(&self.kinds).map(of).collect(),
            layouts: Rc::clone(&self.layouts),
            fitting: fitting(app, request, allowed(app, &self.markets, &self.odds), &self.assumptions),
            picks: together::Picks::default(),
        })
    }

    /// The model for so many zones of one of the markets.
    pub(crate) fn odds(&self, spread: Spread) -> &Odds {
        &self.odds[&spread]
    }

    /// Objectives that the databases miss where they miss fewest.
    pub(crate) fn fewest_misses(&self) -> usize {
        let misses = |spread: &Spread| database::misses(self.app, self.request, *spread, &self.assumptions);
        self.fitting.iter().map(misses).min().unwrap_or(usize::MAX)
    }

    /// Whether each database and each cache can be had anywhere.
    pub(crate) fn holds_stores(&self) -> bool {
        let had = |database: &model::Database| {
            self.markets.iter().any(|&at| database::is_held(database, at, database::machine(database, at)))
        };
        let cached =
            |one: &model::Cache| self.markets.iter().any(|&at| cache::is_held(at, cache::machine(one, at)));
        self.app.databases.iter().all(had) && self.app.caches.iter().all(cached)
    }

    /// Keeps everything in which databases miss no more than that, and nothing else.
    pub(crate) fn must_miss_no_more_than(&mut self, fewest: usize) {
        let misses = |spread: &Spread| database::misses(self.app, self.request, *spread, &self.assumptions);
        self.fitting = allowed(self.app, &self.markets, &self.odds);
        let kept: Vec<Spread> = self.fitting.iter().copied().filter(|one| misses(one) <= fewest).collect();
        self.fitting = kept;
    }

    /// One of the spreads in which the databases miss fewest objectives, with the most zones.
    pub(crate) fn fitting(&self) -> Option<Spread> {
        self.fitting.last().copied()
    }

    /// The cheapest candidate within `limits`; the safest of equally cheap topologies.
    pub(crate) fn cheapest(&self, limits: Limits, effort: &mut Effort) -> Found<'a> {
        self.cheaper_than(None, limits, effort)
    }

    /// The same, where a plan of another space is to be beaten.
    pub(crate) fn cheaper_than(
        &self,
        best: Option<Candidate<'a>>,
        limits: Limits,
        effort: &mut Effort,
    ) -> Found<'a> {
        let mut found = Found { best, apart: None, topologies: Vec::new() };
        let mut drafts = Vec::new();
        for (market, zones) in self.apart() {
            for (nat, draft) in self.drafts((market, zones), limits) {
                match draft {
                    Ok(draft) => drafts.push(draft),
                    Err(closed) => found.close((self.markets[market], zones, nat), closed),
                }
            }
        }
        drafts.sort_by_key(|draft| (draft.least, draft.market, draft.base.zones, draft.base.nat));
        for draft in drafts {
            let at = (draft.base.market, draft.base.zones, draft.base.nat);
            let too_dear = found.best.as_ref().is_some_and(|best| draft.least > best.cost);
            if too_dear || effort.is_above(draft.least.0 as f64) {
                let bound = Closed::Bound { usd_month: draft.least.usd(), multiplier: 0.0 };
                found.close(at, bound);
                continue;
            }
            match self.frame(draft, limits, effort) {
                Err(closed) => found.close(at, closed),
                Ok(frame) => found.search(&frame, &self.app.services, effort),
            }
        }
        self.together(limits, &mut found, effort);
        found.topologies.sort_by(|a, b| a.place().cmp(&b.place()));
        found
    }

    /// The safest and the cheapest candidate of each topology: what is left to offer when nothing keeps every objective.
    pub(crate) fn corners(&self, limits: Limits, effort: &mut Effort) -> Vec<Candidate<'a>> {
        let mut found = Vec::new();
        let any = Limits { down: None, ..limits };
        // Where `scale.max` keeps everything away, what is nearest may stand in any way.
        let apart = self.apart().filter(|_| !limits.forbidden);
        let topologies = apart.chain(self.topologies().filter(|_| limits.forbidden));
        let drafts = topologies.flat_map(|topology| self.drafts(topology, any));
        for draft in drafts.filter_map(|(_, draft)| draft.ok()) {
            let Ok(frame) = self.frame(draft, any, effort) else { continue };
            let up = frame.odds.up();
            let down = |choice: &Choice<'_>| -> f64 {
                up.iter().zip(choice.fails.iter()).map(|(up, fails)| up * fails).sum()
            };
            let safest = frame
                .options
                .iter()
                .map(|all| all.iter().min_by(|a, b| down(a).total_cmp(&down(b)).then(a.cost.cmp(&b.cost))));
            let cheapest = frame.options.iter().map(|all| all.iter().min_by_key(|choice| choice.cost));
            for picks in [safest.collect::<Option<Vec<_>>>(), cheapest.collect()].into_iter().flatten() {
                effort.evaluated += 1;
                let fails = picks.iter().fold(frame.nothing(), |fails, choice| frame.joined(&fails, choice));
                let total = frame.odds.total(frame.least_down(picks.len(), &fails));
                let cost = frame.base.fixed + picks.iter().map(|choice| choice.cost).sum();
                found.push(frame.candidate(picks.into_iter().cloned().collect(), cost, total));
            }
        }
        self.shared_corners(any, effort, &mut found);
        found
    }

    /// Whether `scale.max` of a service, by its place in the file, keeps any size of it away.
    pub(crate) fn held_back(&self, service: usize, limits: Limits) -> bool {
        self.sized(service).any(|(kinds, need, zones)| held_back(kinds, need, zones, limits))
    }

    /// Whether `scale.max` of a service, by its place in the file, keeps all sizes of it away.
    pub(crate) fn is_too_small(&self, service: usize, limits: Limits) -> bool {
        !self.sized(service).any(|(kinds, need, zones)| is_sized(kinds, need, zones, limits))
    }

    /// What a service can be run on in each topology.
    fn sized(&self, service: usize) -> impl Iterator<Item = (&[Kind<'a>], &Need, u32)> {
        let place = self.order.iter().position(|&index| index == service);
        let of = move |(market, zones): (usize, u32)| {
            Some((&*self.kinds[market][place?], &self.request.needs[service], zones))
        };
        self.topologies().filter_map(of)
    }

    /// Regions with numbers of zones.
    pub(crate) fn topologies(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let zones = |market: &Market<'a>| market.zones(self.app.placement.zones);
        self.markets
            .iter()
            .enumerate()
            .flat_map(move |(at, market)| zones(market).map(move |zones| (at, zones)))
    }

    /// Those in which machines need not be shared.
    fn apart(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.topologies().filter(|(market, _)| together::apart_is_open(self.app, self.markets[*market]))
    }

    /// Whether the databases miss as few objectives so as they can. Where they must not be so at all, and it is only looked for what
    /// is nearest, as few as with any number of zones.
    fn is_fitting(&self, spread: Spread) -> bool {
        let allowed = self.markets.iter().any(|market| together::apart_is_open(self.app, *market));
        if allowed || !spread.layout.is_apart() {
            return self.fitting.contains(&spread);
        }
        let misses = |spread: &Spread| database::misses(self.app, self.request, *spread, &self.assumptions);
        let least = self.odds.keys().filter(|other| other.layout.is_apart()).map(misses).min();
        least == Some(misses(&spread))
    }

    fn place(&self, market: Market<'a>, zones: u32, nat: Nat) -> Place<'a, '_> {
        let (machine, way_out) = (self.odds(apart(zones)).machine, nat::each(market, zones, nat));
        Place { market, zones, machine, way_out, layouts: &self.layouts }
    }

    /// For each way to pay for its ways out what a topology costs at least, or why there is nothing to be looked for.
    fn drafts(
        &self,
        (at, zones): (usize, u32),
        limits: Limits,
    ) -> impl Iterator<Item = (Nat, Result<Draft<'a>, Closed>)> {
        let (market, common) = (self.markets[at], self.common(at, zones, limits));
        nat::ways(market, zones).map(move |nat| {
            let draft = common.clone().and_then(|Common { mut base, leasts }| {
                let sum = leasts.iter().fold((base.nodes, base.nodes), |sum, least| {
                    (sum.0 + least.machines.0, sum.1 + least.machines.1)
                });
                if nat::is_beaten(market, zones, nat, sum) {
                    return Err(Closed::OtherWay);
                }
                base.nat = nat;
                base.fixed = base.fixed + nat::cost(market, zones, nat, base.nodes);
                let least = base.fixed + leasts.iter().map(|least| least.cost(nat)).sum();
                Ok(Draft { market: at, base, least })
            });
            (nat, draft)
        })
    }

    /// What a topology has however its ways out are paid for, which are left out.
    fn common(&self, at: usize, zones: u32, limits: Limits) -> Result<Common<'a>, Closed> {
        let market = self.markets[at];
        let no_zone = zones == 1 && limits.survive == Survive::Zone && !limits.forbidden;
        if no_zone || !self.is_fitting(apart(zones)) {
            return Err(Closed::Zones);
        }
        let uses = market.uses(self.app, zones, &self.assumptions);
        let (mut fixed, mut databases, mut nodes) = (market.fixed(&uses), Vec::new(), 0);
        for database in &self.app.databases {
            let machine = database::machine(database, market);
            if !database::is_held(database, market, machine) {
                return Err(Closed::NoMachine { part: database.name.to_string() });
            }
            fixed = fixed + market.held(database, machine);
            databases.push(machine);
            nodes += u32::from(database.own_nodes());
        }
        let mut caches = Vec::new();
        for one in &self.app.caches {
            let machine = cache::machine(one, market);
            if !cache::is_held(market, machine) {
                return Err(Closed::NoMachine { part: one.name.to_string() });
            }
            fixed = fixed + market.cached(one, machine);
            caches.push(machine);
            nodes += one.nodes();
        }
        let mut leasts = Vec::new();
        for (kinds, &index) in self.kinds[at].iter().zip(&self.order) {
            let name = || self.app.services[index].name.to_string();
            if kinds.is_empty() {
                return Err(Closed::NoMachine { part: name() });
            }
            let least =
                least(self.place(market, zones, Nat::Machine), kinds, &self.request.needs[index], limits);
            leasts.push(least.ok_or_else(|| Closed::ScaleMax { service: name() })?);
        }
        let base = Base { market, zones, nat: Nat::Gateway, fixed, databases, caches, nodes, uses };
        Ok(Common { base, leasts })
    }

    /// Prepares a topology, or says why nothing in it is available enough.
    fn frame(&self, draft: Draft<'a>, limits: Limits, effort: &mut Effort) -> Result<Frame<'a, '_>, Closed> {
        let Base { market, zones, nat, .. } = draft.base;
        let odds = self.odds(apart(zones));
        let room = limits.down.map(|down| odds.room(down));
        let mut options = Vec::new();
        for (kinds, &index) in self.kinds[draft.market].iter().zip(&self.order) {
            let mut all = choices(self.place(market, zones, nat), kinds, &self.request.needs[index], limits);
            let before = all.len();
            keep_undominated(&mut all);
            effort.pruned = effort.pruned.saturating_add((before - all.len()) as u64);
            options.push((index, all));
        }
        let frame = Frame::new(draft.base, odds, options, room);
        match frame.bound(0, frame.base.fixed.0 as f64, &frame.nothing()) {
            Bound::Unavailable(least) => Err(Closed::Unavailable { best: odds.total(least) }),
            Bound::Cost(_) => Ok(frame),
        }
    }
}

/// Machines of their own for each service and database.
fn apart(zones: u32) -> Spread {
    Spread { zones, layout: Layout::Apart }
}

/// Every number of zones with every layout that is planned for.
fn spreads(app: &App, markets: &[Market<'_>]) -> BTreeSet<Spread> {
    let zones = |market: &Market<'_>| market.zones(app.placement.zones);
    let each = markets.iter().flat_map(|market| zones(market).map(move |zones| (*market, zones)));
    let together = |(market, zones): (Market<'_>, u32)| {
        let is_open = together::is_open(app, market, zones);
        is_open.then_some(Spread { zones, layout: Layout::Together })
    };
    each.flat_map(|place| [Some(apart(place.1)), together(place)]).flatten().collect()
}

/// Those that a plan may have.
fn allowed(app: &App, markets: &[Market<'_>], odds: &BTreeMap<Spread, Odds>) -> Vec<Spread> {
    let apart = markets.iter().any(|market| together::apart_is_open(app, *market));
    odds.keys().copied().filter(|spread| apart || !spread.layout.is_apart()).collect()
}

/// Those of `all` in which the databases miss fewest objectives.
fn fitting(app: &App, request: &Request, mut all: Vec<Spread>, assumptions: &Assumptions) -> Vec<Spread> {
    let misses = |spread: Spread| database::misses(app, request, spread, assumptions);
    let fewest = all.iter().map(|&spread| misses(spread)).min();
    all.retain(|&spread| Some(misses(spread)) == fewest);
    all
}

impl<'a> Found<'a> {
    fn close(&mut self, (market, zones, nat): (Market<'_>, u32, Nat), closed: Closed) {
        let (provider, region) = (market.provider().to_owned(), market.region().to_owned());
        self.topologies.push(Topology { provider, region, zones, layout: Layout::Apart, nat, closed });
    }

    /// Searches one topology, unless its bound shows that nothing in it is cheaper, or as cheap and safer.
    fn search(&mut self, frame: &Frame<'a, '_>, names: &[Service], effort: &mut Effort) {
        let (multiplier, base) = (frame.multiplier, &frame.base);
        let at = (base.market, base.zones, base.nat);
        if let Bound::Cost(bound) = frame.bound(0, base.fixed.0 as f64, &frame.nothing()) {
            let safest = frame.odds.total(frame.least_down(0, &frame.nothing()));
            let beaten = self.best.as_ref().is_some_and(|best| {
                let cost = best.cost.0 as f64;
                bound > cost + 0.5 || (bound > cost - 0.5 && safest >= best.down * (1.0 - EQUAL))
            });
            if beaten || effort.is_above(bound) {
                let usd_month = bound / 1e6;
                return self.close(at, Closed::Bound { usd_month, multiplier });
            }
        }
        let branched = branch::branch(frame, self.best.take(), effort);
        self.best = branched.best;
        let order = frame.order.iter().map(|&index| names[index].name.to_string()).collect();
        let closed = Closed::Searched { multiplier, order, tree: branched.steps };
        self.close(at, closed);
    }
}

#[cfg(test)]
pub(crate) mod tests;
