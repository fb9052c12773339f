//! Whether a topology's entry in the certificate shows that nothing in it is cheaper than the plan.
//!
//! The bounds are those that `docs/reference/plan-space.md` defines, computed from choices listed anew. A claim is refused
//! when its own figures do not follow, even if it could be shown in another way.

use model::{Layout, Scope};

use super::network::{ways_out, ways_to_pay};
use super::rules::Rules;
use super::space::{Shapes, Way, fixed, holds, holds_cache, holds_node, ways};
use super::together::Counted;
use super::{ALMOST_ONE, Place, ROUNDING};
use crate::chance::{Stateful, series};
use crate::proof::{Closed, Leaf, Nat, Step};

/// Relative slack for figures that two ways of adding give.
const TIGHT: f64 = 1e-10;

/// What is known while the topologies are checked, one after the other.
pub(super) struct Cover<'r, 'a> {
    rules: &'r Rules<'a>,
    /// Of the plan, in millionths of a dollar; `None`: the certificate says that there is none.
    cost: Option<i64>,
    /// Fewest objectives that databases miss in any topology.
    fewest: usize,
    shapes: Shapes,
    counted: Counted,
    /// Branches that were bounded.
    pub(super) branches: usize,
    /// Least bound of what nobody looked at, in millionths of a dollar.
    pub(super) open: Option<f64>,
}

/// A topology with every choice in it.
struct Frame<'p> {
    fixed: f64,
    /// By service: everything there is, with its failures by set of zones.
    all: Vec<Vec<(Way<'p>, Vec<f64>)>>,
    /// Of these the places of those that nothing beats.
    kept: Vec<Vec<usize>>,
    up: Vec<f64>,
    groups: f64,
    shared: f64,
    /// What services may take of the time.
    room: Option<f64>,
}

fn together(one: f64, other: f64) -> f64 {
    one + other - one * other
}

impl<'r, 'a> Cover<'r, 'a> {
    pub(super) fn new(rules: &'r Rules<'a>, cost: Option<i64>, fewest: usize) -> Cover<'r, 'a> {
        let (shapes, counted) = (Shapes::default(), Counted::default());
        Cover { rules, cost, fewest, shapes, counted, branches: 0, open: None }
    }

    /// Checks one topology.
    pub(super) fn check(&mut self, place: &Place<'_>, closed: &Closed) -> Result<(), String> {
        if place.layout == Layout::Together {
            return match closed {
                Closed::Zones => self.zones(place),
                Closed::Types { tried } => {
                    self.allowed(place)?;
                    self.branches += self.counted.check(self.rules, place, self.cost, *tried)?;
                    Ok(())
                }
                _ => Err("one machine a zone is closed by the types that were tried".to_owned()),
            };
        }
        match closed {
            Closed::Types { .. } => Err("no type is tried for everything there".to_owned()),
            Closed::Zones => self.zones(place),
            Closed::NoMachine { part } => self.no_machine(place, part),
            Closed::ScaleMax { service } => self.scale_max(place, service),
            Closed::OtherWay => self.other_way(place),
            Closed::Unavailable { best } => self.unavailable(place, *best),
            Closed::Bound { usd_month, multiplier } => self.bound(place, *usd_month, *multiplier),
            Closed::Searched { multiplier, order, tree } => {
                self.searched(place, *multiplier, order, tree.as_deref())
            }
        }
    }

    fn zones(&self, place: &Place<'_>) -> Result<(), String> {
        let (zones, layout) = (place.zones, place.layout);
        let machine = layout == Layout::Together && self.rules.survives(Scope::Node);
        let one = zones == 1 && (self.rules.zone || machine);
        if one || self.rules.misses(zones, layout) > self.fewest {
            return Ok(());
        }
        Err("so many zones keep what was asked of the loss of one".to_owned())
    }

    /// A topology that is closed for another reason must at least be one with this many zones.
    fn allowed(&self, place: &Place<'_>) -> Result<(), String> {
        match self.zones(place) {
            Err(_) => Ok(()),
            Ok(()) => Err("it does not keep what was asked of the loss of a zone".to_owned()),
        }
    }

    fn no_machine(&self, place: &Place<'_>, part: &str) -> Result<(), String> {
        let app = self.rules.app;
        let managed = app.databases.iter().find(|one| one.own_nodes() == 0 && one.name.as_str() == part);
        if let Some(database) = managed {
            let sold = place.offer.is_some_and(|offer| super::space::managed(offer, database).is_some());
            return if sold { Err(format!("`{part}` is run there")) } else { Ok(()) };
        }
        let Some(offer) = place.offer else { return Err("this machine holds everything".to_owned()) };
        let held = if let Some(service) = app.services.iter().find(|service| service.name.as_str() == part) {
            offer
                .usable()
                .any(|machine| holds(service, machine) && self.rules.carries(service, Some(machine)))
        } else if let Some(database) = app.databases.iter().find(|database| database.name.as_str() == part) {
            offer.usable().any(|machine| holds_node(database, machine))
        } else if let Some(cache) = app.caches.iter().find(|cache| cache.name.as_str() == part) {
            offer.usable().any(|machine| holds_cache(cache, machine))
        } else {
            return Err(format!("there is no `{part}` in the file"));
        };
        if held { Err(format!("it has a machine for `{part}`")) } else { Ok(()) }
    }

    fn scale_max(&self, place: &Place<'_>, name: &str) -> Result<(), String> {
        let service = self.rules.app.services.iter().find(|service| service.name.as_str() == name);
        let service = service.ok_or_else(|| format!("there is no service `{name}` in the file"))?;
        if ways(self.rules, place, service).is_empty() {
            return Ok(());
        }
        Err(format!("`scale.max` of `{name}` allows a size"))
    }

    /// That the other way to pay for NAT gateways costs no more for any number of machines that there may be, at one end or the
    /// other less, so that nobody says it of both.
    fn other_way(&self, place: &Place<'_>) -> Result<(), String> {
        let Some(offer) = place.offer.filter(|offer| ways_to_pay(offer, place.zones).len() == 2) else {
            return Err("there is one way to pay for its NAT".to_owned());
        };
        let app = self.rules.app;
        let cached = app.caches.iter().map(|one| u32::from(one.shards) * (u32::from(one.replicas) + 1));
        let nodes: u32 = app.databases.iter().map(|one| u32::from(one.own_nodes())).chain(cached).sum();
        let (mut fewest, mut most) = (nodes, nodes);
        for service in &self.rules.app.services {
            let all = ways(self.rules, place, service).into_iter().map(|way| way.machines);
            let (least, greatest) = all.fold((u32::MAX, 0), |(a, b), one| (a.min(one), b.max(one)));
            (fewest, most) = (fewest.saturating_add(least), most.saturating_add(greatest));
        }
        let (gateway, _) = ways_out(&Place { offer: Some(offer), nat: Nat::Gateway, ..*place });
        let (_, each) = ways_out(&Place { offer: Some(offer), nat: Nat::Machine, ..*place });
        let beaten = match place.nat {
            Nat::Gateway => each.saturating_mul(i64::from(most)) < gateway,
            Nat::Machine => each.saturating_mul(i64::from(fewest)) >= gateway,
        };
        if beaten {
            return Ok(());
        }
        Err(format!("with {fewest} to {most} machines the other way to pay for its NAT may cost more"))
    }

    fn unavailable(&mut self, place: &Place<'_>, best: f64) -> Result<(), String> {
        let frame = self.frame(place)?;
        let least = frame.least_down(0, &frame.nothing());
        if !frame.too_much(least) {
            return Err("its safest choices are available enough".to_owned());
        }
        let own = series(&[frame.shared, frame.groups + least]);
        if (best - own).abs() <= ROUNDING * own {
            return Ok(());
        }
        Err(format!("its safest choices are down {own:e} of the time, not {best:e}"))
    }

    /// That a bound of cost holds and is not below the plan.
    fn bound(&mut self, place: &Place<'_>, usd_month: f64, multiplier: f64) -> Result<(), String> {
        let own = if multiplier == 0.0 {
            self.allowed(place)?;
            self.least_cost(place)?
        } else {
            price_of_time(multiplier)?;
            let frame = self.frame(place)?;
            frame.least_cost(0, frame.fixed, &frame.nothing(), multiplier)
        };
        self.branches += 1;
        // A claim that is too high is refused, a lower one is only less than could be said.
        let claimed = usd_month * 1e6;
        if claimed.is_nan() || claimed > own + 1.0 + ROUNDING * own.abs() {
            return Err(format!("its bound is {usd_month} USD/month, and {} is what follows", own / 1e6));
        }
        self.no_less(claimed.min(own)).ok_or_else(|| {
            format!("its bound of {usd_month} USD/month is below the plan, so something cheaper may be there")
        })
    }

    /// Whether what costs at least `bound` costs no less than the plan.
    fn no_less(&self, bound: f64) -> Option<()> {
        (bound > self.cost? as f64 - ALMOST_ONE).then_some(())
    }

    /// The cheapest of everything, however available.
    fn least_cost(&self, place: &Place<'_>) -> Result<f64, String> {
        let mut sum = fixed(self.rules, place).ok_or("it has no machine for a database")?;
        for service in &self.rules.app.services {
            let least = ways(self.rules, place, service).iter().map(|way| way.cost).min();
            sum += least.ok_or_else(|| format!("nothing there runs `{}`", service.name))?;
        }
        Ok(sum as f64)
    }

    fn searched(
        &mut self,
        place: &Place<'_>,
        multiplier: f64,
        order: &[String],
        tree: Option<&[Step]>,
    ) -> Result<(), String> {
        price_of_time(multiplier)?;
        let frame = self.frame_in(place, order)?;
        let tree = tree.ok_or("its branches were too many to be written down")?;
        let mut steps = tree.iter();
        let walk = Walk::new(&frame, multiplier);
        let nothing = Chosen { depth: 0, cost: frame.fixed, priced: frame.fixed, fails: frame.nothing() };
        walk.down(self, &mut steps, &nothing)?;
        if steps.next().is_some() { Err("branches follow after the last one".to_owned()) } else { Ok(()) }
    }

    /// Lists a topology anew, its services in the order of the file.
    fn frame<'p>(&mut self, place: &Place<'p>) -> Result<Frame<'p>, String> {
        let order: Vec<String> =
            self.rules.app.services.iter().map(|service| service.name.to_string()).collect();
        self.frame_in(place, &order)
    }

    /// Lists a topology anew, its services in this order.
    fn frame_in<'p>(&mut self, place: &Place<'p>, order: &[String]) -> Result<Frame<'p>, String> {
        self.allowed(place)?;
        let (app, zones) = (self.rules.app, place.zones);
        let broken = |error: crate::chance::ChanceError| error.to_string();
        let stateful: Stateful = self.rules.stateful(zones, Layout::Apart).map_err(broken)?;
        let bare = self.rules.bare(zones, Layout::Apart).map_err(broken)?;
        let shared: Vec<f64> = bare.shared.iter().map(|common| common.outage.unavailability()).collect();
        let (shared, groups) = (series(&shared), stateful.unavailability());
        let asked = app.objectives.availability.map(|asked| asked.unavailability * (1.0 + ROUNDING));
        let room = asked.map(|asked| (asked - shared) / (1.0 - shared) - groups);
        let down = self.rules.machine().map_err(broken)?.unavailability();
        let fixed = fixed(self.rules, place).ok_or("it has no machine for a database")? as f64;
        let mut names: Vec<&str> = order.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if order.len() != app.services.len() || names.len() != order.len() {
            return Err("its order does not name each service once".to_owned());
        }
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        for name in order {
            let service = app.services.iter().find(|service| service.name.as_str() == name);
            let service = service.ok_or_else(|| format!("there is no service `{name}` in the file"))?;
            let listed: Vec<(Way<'p>, Vec<f64>)> = ways(self.rules, place, service)
                .into_iter()
                .map(|way| {
                    let fails = self.shapes.fails(&way, zones, down);
                    (way, fails)
                })
                .collect();
            if listed.is_empty() {
                return Err(format!("nothing there runs `{}`", service.name));
            }
            kept.push(unbeaten(&listed));
            all.push(listed);
        }
        Ok(Frame { fixed, all, kept, up: stateful.up, groups, shared, room })
    }
}

/// The places of ways that no other beats in cost and for every set of zones; of equal ones the first.
fn unbeaten(ways: &[(Way<'_>, Vec<f64>)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ways.len()).collect();
    let weight = |at: usize| ways[at].1.iter().sum::<f64>();
    order.sort_by(|&a, &b| ways[a].0.cost.cmp(&ways[b].0.cost).then(weight(a).total_cmp(&weight(b))));
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        if !kept.iter().any(|&other| covers(&ways[other], &ways[at])) {
            kept.push(at);
        }
    }
    kept
}

/// Whether `one` costs no more than `other` and fails no more often, whichever zones live.
fn covers(one: &(Way<'_>, Vec<f64>), other: &(Way<'_>, Vec<f64>)) -> bool {
    // Equal layouts may be added up in another order.
    let no_more = |(ours, theirs): (&f64, &f64)| *ours <= *theirs * (1.0 + TIGHT);
    one.0.cost <= other.0.cost && one.1.iter().zip(&other.1).all(no_more)
}

fn price_of_time(multiplier: f64) -> Result<(), String> {
    if multiplier.is_finite() && multiplier >= 0.0 {
        return Ok(());
    }
    Err(format!("{multiplier} is no price of a share of time"))
}

impl Frame<'_> {
    fn nothing(&self) -> Vec<f64> {
        vec![0.0; self.up.len()]
    }

    fn too_much(&self, share: f64) -> bool {
        self.room.is_some_and(|room| share > room - TIGHT * room.abs())
    }

    /// The failures of the kept ways of a service for one set of zones.
    fn each(&self, service: usize, set: usize) -> impl Iterator<Item = f64> + '_ {
        self.kept[service].iter().map(move |&at| self.all[service][at].1[set])
    }

    /// Least share of time that services take when those from `depth` on are as safe as any of their ways in each set of
    /// zones.
    fn least_down(&self, depth: usize, fails: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (set, up) in self.up.iter().enumerate() {
            let safest = (depth..self.kept.len()).map(|service| self.each(service, set).fold(1.0, f64::min));
            sum += up * safest.fold(fails[set], together);
        }
        sum
    }

    /// The price of a failure of a service from `depth` on in each set of zones, and the share of time that those before
    /// it take.
    fn weights(&self, depth: usize, fails: &[f64], multiplier: f64) -> (Vec<f64>, f64) {
        let services = depth..self.kept.len();
        let (mut weights, mut used) = (self.nothing(), 0.0);
        for (set, up) in self.up.iter().enumerate() {
            let most = services.clone().map(|service| self.each(service, set).fold(0.0, f64::max));
            let (sum, all) = most.fold((0.0, 0.0), |(sum, all), most| (sum + most, together(all, most)));
            let share = if sum > 0.0 { (all / sum).min(1.0) * (1.0 - TIGHT) } else { 1.0 };
            weights[set] = multiplier * up * (1.0 - fails[set]) * share;
            used += up * fails[set];
        }
        (weights, used)
    }

    /// Least cost of any completion that is available enough, by the price `multiplier` of a share of time.
    fn least_cost(&self, depth: usize, cost: f64, fails: &[f64], multiplier: f64) -> f64 {
        let services = depth..self.kept.len();
        let cheapest = |service: usize| {
            self.kept[service]
                .iter()
                .map(|&at| self.all[service][at].0.cost as f64)
                .fold(f64::INFINITY, f64::min)
        };
        let plain = cost + services.clone().map(cheapest).sum::<f64>();
        let Some(room) = self.room.filter(|_| multiplier > 0.0 && !services.is_empty()) else { return plain };
        let (weights, used) = self.weights(depth, fails, multiplier);
        let priced = |(way, fails): &(Way<'_>, Vec<f64>)| {
            way.cost as f64 + weights.iter().zip(fails).map(|(weight, fails)| weight * fails).sum::<f64>()
        };
        let least = |service: usize| {
            self.kept[service].iter().map(|&at| priced(&self.all[service][at])).fold(f64::INFINITY, f64::min)
        };
        plain.max(cost + services.map(least).sum::<f64>() - multiplier * (room - used))
    }
}

/// The first services of a topology with a choice each.
struct Chosen {
    depth: usize,
    cost: f64,
    /// Their cost with what they take of the time priced in.
    priced: f64,
    fails: Vec<f64>,
}

/// A walk through the branches of one topology.
struct Walk<'f, 'p> {
    frame: &'f Frame<'p>,
    multiplier: f64,
    /// Price of failing, by set of zones, with nothing chosen.
    weights: Vec<f64>,
    /// Least priced cost of the services from each on.
    rest: Vec<f64>,
}

impl<'f, 'p> Walk<'f, 'p> {
    fn new(frame: &'f Frame<'p>, multiplier: f64) -> Walk<'f, 'p> {
        let (weights, _) = frame.weights(0, &frame.nothing(), multiplier);
        let mut walk = Walk { frame, multiplier, weights, rest: vec![0.0] };
        for service in (0..frame.kept.len()).rev() {
            let prices = frame.kept[service].iter().map(|&at| walk.price(&frame.all[service][at]));
            let least = prices.fold(f64::INFINITY, f64::min);
            walk.rest.push(least + walk.rest[walk.rest.len() - 1]);
        }
        walk.rest.reverse();
        walk
    }

    fn price(&self, (way, fails): &(Way<'_>, Vec<f64>)) -> f64 {
        way.cost as f64 + self.weights.iter().zip(fails).map(|(weight, fails)| weight * fails).sum::<f64>()
    }

    fn with(&self, chosen: &Chosen, at: usize) -> Chosen {
        let next = &self.frame.all[chosen.depth][at];
        Chosen {
            depth: chosen.depth + 1,
            cost: chosen.cost + next.0.cost as f64,
            priced: chosen.priced + self.price(next),
            fails: chosen.fails.iter().zip(&next.1).map(|(a, b)| together(*a, *b)).collect(),
        }
    }

    /// Least cost of what is below, by all bounds that there are.
    fn bound(&self, chosen: &Chosen) -> f64 {
        let room = self.frame.room.filter(|_| self.multiplier > 0.0).unwrap_or(0.0);
        let whole = chosen.priced + self.rest[chosen.depth] - self.multiplier * room;
        whole.max(self.frame.least_cost(chosen.depth, chosen.cost, &chosen.fails, self.multiplier))
    }

    /// Checks the next branch.
    fn down(
        &self,
        cover: &mut Cover<'_, '_>,
        steps: &mut std::slice::Iter<'_, Step>,
        chosen: &Chosen,
    ) -> Result<(), String> {
        match steps.next() {
            None => Err("its branches end too early".to_owned()),
            Some(Step::Pick(..)) => Err("a choice stands where a branch should".to_owned()),
            Some(Step::Leaf(Leaf::Open)) => {
                let bound = self.bound(chosen);
                cover.open = Some(cover.open.map_or(bound, |open| open.min(bound)));
                Ok(())
            }
            Some(Step::Split(_)) if chosen.depth == self.frame.all.len() => {
                Err("it branches where everything is chosen".to_owned())
            }
            Some(Step::Split(count)) => {
                let mut picks = Vec::new();
                for _ in 0..*count {
                    let Some(Step::Pick(machine, replicas)) = steps.next() else {
                        return Err("a choice is missing".to_owned());
                    };
                    let at = self.find(chosen.depth, machine.as_deref(), *replicas)?;
                    self.down(cover, steps, &self.with(chosen, at))?;
                    picks.push(at);
                }
                self.complete(cover, chosen, &picks)
            }
        }
    }

    fn find(&self, depth: usize, machine: Option<&str>, replicas: u32) -> Result<usize, String> {
        let is = |(way, _): &(Way<'_>, Vec<f64>)| {
            way.machine.map(|machine| &*machine.name) == machine && way.size.replicas == replicas
        };
        let found = self.frame.all[depth].iter().position(is);
        found.ok_or_else(|| {
            format!("{replicas} replicas on {} are not in the space", machine.unwrap_or("this machine"))
        })
    }

    /// That every way of a service that nothing beats is among the picks, no better than one of them, or closed by a
    /// bound.
    fn complete(&self, cover: &mut Cover<'_, '_>, chosen: &Chosen, picks: &[usize]) -> Result<(), String> {
        let all = &self.frame.all[chosen.depth];
        for &at in &self.frame.kept[chosen.depth] {
            if picks.iter().any(|&pick| covers(&all[pick], &all[at])) {
                continue;
            }
            cover.branches += 1;
            let next = self.with(chosen, at);
            let too_dear = cover.no_less(self.bound(&next)).is_some();
            if !too_dear && !self.frame.too_much(self.frame.least_down(next.depth, &next.fails)) {
                let (way, _) = &all[at];
                let on = way.machine.map_or("this machine", |machine| &machine.name);
                return Err(format!(
                    "{} replicas on {on} are left out, and no bound shows that nothing cheaper is there",
                    way.size.replicas
                ));
            }
        }
        Ok(())
    }
}
