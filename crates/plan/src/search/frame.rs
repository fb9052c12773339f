//! One topology, a region and a number of zones: its choices, and bounds on what any completion of a partial choice costs
//! and how available it can be.
//!
//! A partial choice has fixed the first services. Let `F(m)` be the probability that one of these has too few replicas
//! when the zones `m` live, `up(m)` the share of time of `m`, and `room` what the services may take altogether. A
//! completion with probabilities `f_s(m)` for the other services takes
//! `sum up(m) (F(m) + (1 - F(m)) G(m))` with `G(m) = 1 - product (1 - f_s(m))`.
//!
//! Two bounds on `G`, both proved:
//! - `G(m)` is at least what the smallest `f_s(m)` of each service gives: it grows with each of them.
//! - `G(m) >= c(m) sum f_s(m)` with `c(m) = Gmax(m) / sum max f_s(m)`, `Gmax` being `G` of the largest ones. Proof:
//!   `G - c sum f` is linear in each `f_s`, so its minimum over the box is in a corner, where each `f_s` is 0 or largest.
//!   Adding a service to a corner adds `(1 - G) max f_s` to `G`, a share `1 - G` of what it adds to the sum, and that share
//!   only falls; so `G / sum` is smallest in the corner where all are largest, where it is `c`.
//!
//! The second is a sum over services, so a multiplier `l >= 0` (Lagrange; the price of unavailability) bounds the cost:
//! `cost + sum over services of min (cost_s + l sum up (1 - F) c f_s) - l (room - sum up F)`, for whatever is chosen.
//! It is never too high, whatever `l` is; a good `l` makes it high. The bound with nothing chosen holds for every
//! completion, too, with what was chosen in the place of each minimum.

use std::rc::Rc;

use model::{Layout, Money};

use super::choice::Choice;
use super::market::Market;
use super::traffic::Use;
use super::{Candidate, nat};
use crate::catalog::Machine;
use crate::odds::Odds;
use crate::proof::Nat;

/// What a topology has whatever is chosen in it.
#[derive(Clone)]
pub(crate) struct Base<'a> {
    pub(crate) market: Market<'a>,
    pub(crate) zones: u32,
    /// How the ways out are paid for.
    pub(crate) nat: Nat,
    /// What the network, the databases and the caches cost.
    pub(crate) fixed: Money,
    pub(crate) databases: Vec<Option<&'a Machine>>,
    pub(crate) caches: Vec<Option<&'a Machine>>,
    /// Nodes of all databases and caches: a machine each.
    pub(crate) nodes: u32,
    /// What is paid whatever runs, without the ways out.
    pub(crate) uses: Rc<[Use]>,
}

/// A topology with the choices that nothing beats.
pub(crate) struct Frame<'a, 's> {
    pub(crate) base: Base<'a>,
    pub(crate) odds: &'s Odds,
    /// Which service of the file is branched on first, second, ..
    pub(crate) order: Vec<usize>,
    /// By service in that order, the cheapest first.
    pub(crate) options: Vec<Vec<Choice<'a>>>,
    /// By service and option, the lowest first: its cost with what it takes of the time priced in, and its place.
    pub(crate) priced: Vec<Vec<(f64, usize)>>,
    /// `rest_priced[d]`: least of these for the services from the `d`-th on.
    rest_priced: Vec<f64>,
    /// Most that the services may take of the time; `None`: any.
    pub(crate) room: Option<f64>,
    /// Price of a share of time, in millionths of a dollar a month.
    pub(crate) multiplier: f64,
    /// `rest[d]`: least cost of the services from the `d`-th on.
    rest: Vec<f64>,
    /// `sure[d][m]`: the first bound on `G(m)` for the services from the `d`-th on.
    sure: Vec<Vec<f64>>,
    /// `share[d][m]`: `c(m)` for the services from the `d`-th on.
    share: Vec<Vec<f64>>,
}

/// What is known of all completions of a partial choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// None is available enough: each takes at least this share of the time of the services.
    Unavailable(f64),
    /// Each costs at least this, in millionths of a dollar.
    Cost(f64),
}

/// Relative slack for rounding when a bound on the unavailability is compared with the room.
const ROUNDING: f64 = 1e-10;

fn join(one: f64, other: f64) -> f64 {
    one + other - one * other
}

impl<'a, 's> Frame<'a, 's> {
    /// Prepares a topology. Every service has an option.
    pub(crate) fn new(
        base: Base<'a>,
        odds: &'s Odds,
        options: Vec<(usize, Vec<Choice<'a>>)>,
        room: Option<f64>,
    ) -> Frame<'a, 's> {
        let (order, options) = options.into_iter().unzip();
        let mut frame = Frame {
            base,
            odds,
            order,
            options,
            priced: vec![],
            rest_priced: vec![],
            room,
            multiplier: 0.0,
            rest: vec![],
            sure: vec![],
            share: vec![],
        };
        frame.prepare();
        frame.multiplier = frame.best_multiplier();
        frame.sort();
        frame
    }

    /// Puts the services first whose best choice is furthest ahead: a branch that leaves it is soon too dear.
    fn sort(&mut self) {
        let priced = self.price();
        let ahead = |all: &Vec<(f64, usize)>| all.get(1).map_or(f64::INFINITY, |second| second.0 - all[0].0);
        let mut places: Vec<usize> = (0..priced.len()).collect();
        places.sort_by(|&a, &b| ahead(&priced[b]).total_cmp(&ahead(&priced[a])));
        self.order = places.iter().map(|&place| self.order[place]).collect();
        self.options = places.iter().map(|&place| std::mem::take(&mut self.options[place])).collect();
        self.prepare();
        self.priced = self.price();
        let least = self.priced.iter().rev().map(|all| all.first().map_or(f64::INFINITY, |first| first.0));
        self.rest_priced = vec![0.0];
        for least in least {
            self.rest_priced.push(least + self.rest_priced[self.rest_priced.len() - 1]);
        }
        self.rest_priced.reverse();
    }

    /// Every option with its time priced by the multiplier, as in the bound of the whole topology.
    fn price(&self) -> Vec<Vec<(f64, usize)>> {
        let up = self.odds.up().iter().zip(&self.share[0]);
        let weights: Vec<f64> = up.map(|(up, share)| self.multiplier * up * share).collect();
        let of = |options: &Vec<Choice<'_>>| {
            let each = options.iter().enumerate();
            let mut all: Vec<(f64, usize)> = each
                .map(|(place, choice)| (choice.cost.0 as f64 + dot(&weights, &choice.fails), place))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all
        };
        self.options.iter().map(of).collect()
    }

    /// The bound of the whole topology for those completions whose first `depth` services have `priced` together: one
    /// addition, where [`Frame::bound`] looks at every option that is left.
    pub(crate) fn quick_bound(&self, depth: usize, priced: f64) -> f64 {
        let room = self.room.filter(|_| self.multiplier > 0.0).unwrap_or(0.0);
        priced + self.rest_priced[depth] - self.multiplier * room
    }

    fn prepare(&mut self) {
        let sets = 1 << self.base.zones;
        (self.rest, self.sure, self.share) = (vec![0.0], vec![vec![0.0; sets]], vec![]);
        let (mut sum, mut all) = (vec![0.0; sets], vec![0.0; sets]);
        for options in self.options.iter().rev() {
            let least = options.iter().map(|choice| choice.cost.0 as f64).fold(f64::INFINITY, f64::min);
            self.rest.push(least + self.rest[self.rest.len() - 1]);
            let mut sure = self.sure[self.sure.len() - 1].clone();
            let mut share = vec![1.0; sets];
            for set in 0..sets {
                let each = options.iter().map(|choice| choice.fails[set]);
                sure[set] = join(sure[set], each.clone().fold(1.0, f64::min));
                let most = each.fold(0.0, f64::max);
                (sum[set], all[set]) = (sum[set] + most, join(all[set], most));
                // One service alone is its own sum; above that, rounding must not make the bound too high.
                share[set] = if sum[set] > most { all[set] / sum[set] * (1.0 - ROUNDING) } else { 1.0 };
            }
            self.sure.push(sure);
            self.share.push(share);
        }
        self.rest.reverse();
        self.sure.reverse();
        self.share.reverse();
    }

    /// Least share of the time that every completion takes.
    pub(crate) fn least_down(&self, depth: usize, fails: &[f64]) -> f64 {
        let sets = self.odds.up().iter().zip(fails).zip(&self.sure[depth]);
        sets.map(|((up, fails), sure)| up * join(*fails, *sure)).sum()
    }

    /// Least cost of every completion, without looking at how available it is.
    pub(crate) fn least_cost(&self, depth: usize, cost: f64) -> f64 {
        cost + self.rest[depth]
    }

    /// What is known of all completions of the first `depth` services at `cost` with `fails` for each set of zones.
    pub(crate) fn bound(&self, depth: usize, cost: f64, fails: &[f64]) -> Bound {
        let Some(room) = self.room else { return Bound::Cost(self.least_cost(depth, cost)) };
        let least = self.least_down(depth, fails);
        if least > room * (1.0 + ROUNDING) {
            return Bound::Unavailable(least);
        }
        let plain = self.least_cost(depth, cost);
        if self.multiplier == 0.0 || depth == self.options.len() {
            return Bound::Cost(plain);
        }
        Bound::Cost(plain.max(self.lagrange(depth, cost, fails, room, self.multiplier)))
    }

    fn lagrange(&self, depth: usize, cost: f64, fails: &[f64], room: f64, multiplier: f64) -> f64 {
        let up = self.odds.up();
        let used: f64 = up.iter().zip(fails).map(|(up, fails)| up * fails).sum();
        let weigh = |((up, fails), share): ((&f64, &f64), &f64)| multiplier * up * (1.0 - fails) * share;
        let weights: Vec<f64> = up.iter().zip(fails).zip(&self.share[depth]).map(weigh).collect();
        let priced = |choice: &Choice<'_>| choice.cost.0 as f64 + dot(&weights, &choice.fails);
        let least = |options: &Vec<Choice<'_>>| options.iter().map(priced).fold(f64::INFINITY, f64::min);
        cost + self.options[depth..].iter().map(least).sum::<f64>() - multiplier * (room - used)
    }

    /// The multiplier that makes the bound of the whole topology highest; the bound is concave in it.
    fn best_multiplier(&self) -> f64 {
        let Some(room) = self.room.filter(|room| *room > 0.0) else { return 0.0 };
        let weights: Vec<f64> =
            self.odds.up().iter().zip(&self.share[0]).map(|(up, share)| up * share).collect();
        let priced = |choice: &Choice<'_>| (choice.cost.0 as f64, dot(&weights, &choice.fails));
        let points: Vec<Vec<(f64, f64)>> =
            self.options.iter().map(|options| options.iter().map(priced).collect()).collect();
        // What the best choices at this price take: falls as the price rises.
        let takes = |price: f64| -> f64 {
            let best = |points: &Vec<(f64, f64)>| {
                let by_price = |a: &&(f64, f64), b: &&(f64, f64)| {
                    (a.0 + price * a.1).total_cmp(&(b.0 + price * b.1)).then(a.1.total_cmp(&b.1))
                };
                points.iter().min_by(by_price).map_or(0.0, |point| point.1)
            };
            points.iter().map(best).sum()
        };
        if takes(0.0) <= room {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        while takes(high) > room && high < 1e30 {
            (low, high) = (high, high * 16.0);
        }
        for _ in 0..60 {
            let middle = if low == 0.0 { high / 16.0 } else { (low * high).sqrt() };
            if takes(middle) > room {
                low = middle
            } else {
                high = middle
            }
            if high <= low * (1.0 + 1e-9) {
                break;
            }
        }
        if high < 1e30 { high } else { 0.0 }
    }

    /// The choices that are best at `multiplier` times the best multiplier: what the bound would choose.
    pub(crate) fn priced_picks(&self, times: f64) -> Vec<usize> {
        // Without a multiplier nothing is known of the price of downtime: from nothing to more than any machine costs.
        let price = if self.multiplier > 0.0 { self.multiplier * times } else { 1e12 * (times - 1.0) };
        let weights: Vec<f64> = self.odds.up().iter().map(|up| up * price).collect();
        let priced = |choice: &Choice<'_>| choice.cost.0 as f64 + dot(&weights, &choice.fails);
        let best = |options: &Vec<Choice<'_>>| {
            let all = 0..options.len();
            all.min_by(|&a, &b| priced(&options[a]).total_cmp(&priced(&options[b]))).unwrap_or(0)
        };
        self.options.iter().map(best).collect()
    }

    /// The plan of these choices, which are in the order of branching. `cost` is what it costs as the ways out are paid for here;
    /// the plan pays for them as it is less.
    pub(crate) fn candidate(&self, chosen: Vec<Choice<'a>>, cost: Money, down: f64) -> Candidate<'a> {
        let mut placed: Vec<(usize, Choice<'a>)> = self.order.iter().copied().zip(chosen).collect();
        placed.sort_by_key(|(service, _)| *service);
        let choices: Vec<Choice<'a>> = placed.into_iter().map(|(_, choice)| choice).collect();
        let Base { market, zones, nat, databases, caches, nodes, uses, .. } = self.base.clone();
        let machines = nodes + choices.iter().map(|choice| choice.machines).sum::<u32>();
        let paid = |nat| nat::cost(market, zones, nat, machines).0;
        let less = paid(nat).saturating_sub(paid(nat::least(market, zones, machines)));
        let cost = Money(cost.0.saturating_sub(less));
        let layout = Layout::Apart;
        Candidate { market, zones, layout, choices, databases, caches, machines, uses, cost, down }
    }

    /// `fails` with one more service.
    pub(crate) fn joined(&self, fails: &[f64], choice: &Choice<'_>) -> Vec<f64> {
        fails.iter().zip(choice.fails.iter()).map(|(one, other)| join(*one, *other)).collect()
    }

    /// Nothing chosen yet.
    pub(crate) fn nothing(&self) -> Vec<f64> {
        vec![0.0; 1 << self.base.zones]
    }

    /// How much work a bound is, in multiplications.
    pub(crate) fn work(&self, depth: usize) -> u64 {
        let options: usize = self.options[depth..].iter().map(Vec::len).sum();
        ((options + 2) << self.base.zones) as u64
    }
}

fn dot(weights: &[f64], fails: &[f64]) -> f64 {
    weights.iter().zip(fails).map(|(weight, fails)| weight * fails).sum()
}
