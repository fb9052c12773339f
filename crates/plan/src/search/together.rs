//! The layout `together`: one machine in each zone, all of one type, which holds every replica and node of its zone.
//!
//! What it costs follows from the type alone, so the types are walked from the cheapest: the first that holds everything and
//! keeps the objectives is the cheapest of a topology. Spare replicas cost nothing while they fit, so that of each type the
//! sizes count that are down least, of equal ones those with the fewest replicas.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use model::{App, Layout, Money, Sharing};

use super::branch::EQUAL;
use super::market::{DISK_GB, Market, machine_month, speed};
use super::{Candidate, Choice, Effort, Found, Limits, Space, Use, nat};
use crate::cache;
use crate::catalog::Machine;
use crate::database::{self, Spread};
use crate::proof::{Closed, Topology};
use crate::search_space::{SPARE_MAX, TOGETHER_SERVICES_MAX, TOGETHER_ZONES_MAX};
use crate::size::{Peak, Size, Survive};

/// Of a vCPU or a GiB: a sum of fractions that fills a machine to the last of it fits.
const FULL: f64 = 1e-9;

/// Whether `app` may stand like that in `market` over so many zones. With one part, unless it is asked for, nothing shares.
pub(super) fn is_open(app: &App, market: Market<'_>, zones: u32) -> bool {
    let own = app.databases.iter().filter(|database| database.own_nodes() > 0).count();
    let (services, parts) = (app.services.len(), app.services.len() + own + app.caches.len());
    let asked = match app.sharing() {
        Sharing::Apart => false,
        Sharing::Any => parts > 1,
        Sharing::Together => true,
    };
    asked
        && services <= TOGETHER_SERVICES_MAX
        && zones <= TOGETHER_ZONES_MAX
        && matches!(market, Market::Cloud(_))
}

/// Whether anything but that may be planned in `market`.
pub(super) fn apart_is_open(app: &App, market: Market<'_>) -> bool {
    app.sharing() != Sharing::Together || matches!(market, Market::Local)
}

/// GB of the disks of all machines: what every machine has, and the data of every node.
pub(crate) fn disk_gb(app: &App, zones: u32) -> f64 {
    let data =
        app.databases.iter().map(|database| database::data_gb(database) * f64::from(database.own_nodes()));
    DISK_GB * f64::from(zones) + data.sum::<f64>()
}

/// Whether so many vCPUs and GiB are in the room that there is. Rounding must not decide.
fn fits((cpus, gib): (f64, f64), room: (f64, f64)) -> bool {
    cpus <= room.0 + FULL && gib <= room.1 + FULL
}

/// Sizes of all services with what they take of the time.
pub(super) struct Pick {
    fleets: f64,
    sizes: Vec<Size>,
}

impl Pick {
    fn replicas(&self) -> u32 {
        self.sizes.iter().map(|size| size.replicas).sum()
    }

    /// Whether a machine that holds `other` holds this.
    fn is_within(&self, other: &Pick) -> bool {
        self.sizes.iter().zip(&other.sizes).all(|(own, theirs)| own.replicas <= theirs.replicas)
    }
}

/// Zones, whether a loss is survived, and what each service needs at peak.
type Asked = (u32, bool, Vec<Peak>);

/// Sizes that were weighed already: types of equal speed ask for the same.
#[derive(Default)]
pub(super) struct Picks {
    known: RefCell<BTreeMap<Asked, Rc<[Pick]>>>,
}

/// A topology whose machines hold everything.
struct Site<'a> {
    market: Market<'a>,
    zones: u32,
    survive: Survive,
    uses: Rc<[Use]>,
    /// What replicas of the fullest zone take at least: vCPUs, and GiB of memory.
    least: (f64, f64),
    /// What is paid whichever type it is.
    fixed: Money,
}

/// The sets of living zones in which too few of `size` are up, a bit each.
fn fails(size: Size, zones: u32) -> u64 {
    let on = |zone: u32| size.replicas / zones + u32::from(zone < size.replicas % zones);
    let up = |set: u32| (0..zones).filter(|zone| set >> zone & 1 == 1).map(on).sum::<u32>();
    (0..1_u32 << zones).filter(|&set| up(set) < size.needed).fold(0, |sets, set| sets | 1 << set)
}

impl<'a> Site<'a> {
    /// What it costs on machines of `kind`.
    fn cost(&self, kind: &Machine) -> Money {
        self.fixed + Money::from_usd(machine_month(kind) * f64::from(self.zones))
    }

    /// How many types cost less than `cost`.
    fn cheaper(&self, cost: Option<Money>) -> u32 {
        let Market::Cloud(offer) = self.market else { return 0 };
        let is_cheaper = |kind: &&Machine| cost.is_none_or(|cost| self.cost(kind) < cost);
        offer.usable().filter(is_cheaper).count() as u32
    }

    /// Types that are sold there and cost at most `most`, the cheapest first.
    fn kinds(&self, most: Option<Money>) -> Vec<(Money, &'a Machine)> {
        let Market::Cloud(offer) = self.market else { return Vec::new() };
        let priced = offer.usable().map(|kind| (self.cost(kind), kind));
        let mut kinds: Vec<_> = priced.filter(|(cost, _)| most.is_none_or(|most| *cost <= most)).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
        kinds
    }
}

impl<'a> Space<'a> {
    /// Topologies in which everything may share a machine a zone.
    fn shared(&self) -> impl Iterator<Item = (Market<'a>, u32)> + '_ {
        let each = self.topologies().map(|(at, zones)| (self.markets[at], zones));
        each.filter(|(market, zones)| is_open(self.app, *market, *zones))
    }

    /// `None`: so many zones do not keep what was asked of a loss.
    fn site(&self, market: Market<'a>, zones: u32, limits: Limits) -> Option<Site<'a>> {
        let spread = Spread { zones, layout: Layout::Together };
        let survivable = zones > 1 || limits.survive == Survive::Nothing;
        if !survivable || !self.fitting.contains(&spread) {
            return None;
        }
        let uses = market.uses(self.app, zones, &self.assumptions);
        let ways_out = nat::cost(market, zones, nat::least(market, zones, zones), zones);
        let disks = market.disks(disk_gb(self.app, zones), 1);
        let managed = self.app.databases.iter().filter(|database| database.own_nodes() == 0);
        let managed: Option<Money> = managed.map(|database| database::managed_month(database, market)).sum();
        let fixed = market.fixed(&uses) + ways_out + disks + managed?;
        // The machine that holds most is the only one of its zone.
        let survive = if limits.survive == Survive::Nothing { Survive::Nothing } else { Survive::Zone };
        let least = self.taken(zones, self.app.services.iter().map(|service| service.scale.min));
        Some(Site { market, zones, survive, uses, least, fixed })
    }

    /// Goes on from what was found with machines of their own for each service and database; that stays where it costs no more.
    pub(super) fn together(&self, limits: Limits, found: &mut Found<'a>, effort: &mut Effort) {
        found.apart = found.best.as_ref().map(|best| best.cost);
        if limits.forbidden {
            return;
        }
        let mut sites = Vec::new();
        for (market, zones) in self.shared() {
            let site = self.site(market, zones, limits);
            let best = found.best.as_ref();
            let one_less = Layout::Together != best.map_or(Layout::Together, |best| best.layout);
            let most = best.map(|best| Money(best.cost.0 - i64::from(one_less)));
            let most = most.into_iter().chain(effort.ceiling).min();
            let cheapest = site.as_ref().and_then(|site| self.first(site, limits, most, effort));
            let better = |new: &Candidate<'a>| {
                found.best.as_ref().is_none_or(|best| {
                    new.cost < best.cost || (new.cost == best.cost && new.down < best.down * (1.0 - EQUAL))
                })
            };
            if let Some(new) = cheapest.filter(better) {
                found.best = Some(new);
            }
            sites.push((market, zones, site));
        }
        let cost = found.best.as_ref().map(|best| best.cost);
        for (market, zones, site) in sites {
            let closed = match site {
                None => Closed::Zones,
                Some(site) => Closed::Types { tried: site.cheaper(cost) },
            };
            let (provider, region) = (market.provider().to_owned(), market.region().to_owned());
            let nat = nat::least(market, zones, zones);
            let layout = Layout::Together;
            found.topologies.push(Topology { provider, region, zones, layout, nat, closed });
        }
    }

    /// The cheapest of a topology that keeps the objectives, if it costs at most `most`.
    fn first(
        &self,
        site: &Site<'a>,
        limits: Limits,
        most: Option<Money>,
        effort: &mut Effort,
    ) -> Option<Candidate<'a>> {
        let kinds = site.kinds(most);
        let (mut tried, count) = (0, kinds.len());
        let first = kinds.into_iter().find_map(|(cost, kind)| {
            tried += 1;
            let candidate = self.on(site, kind, cost)?;
            limits.down.is_none_or(|limit| candidate.down <= limit).then_some(candidate)
        });
        effort.evaluated = effort.evaluated.saturating_add(tried as u64);
        effort.pruned = effort.pruned.saturating_add((count - tried) as u64);
        first
    }

    /// Everything on machines of `kind`, as available as it can be; `None`: they do not hold it.
    fn on(&self, site: &Site<'a>, kind: &'a Machine, cost: Money) -> Option<Candidate<'a>> {
        let (zones, layout) = (site.zones, Layout::Together);
        let room = self.room(site, kind);
        // Most types that are cheaper are too small for anything: no need to size it for them.
        if !fits(site.least, room) {
            return None;
        }
        let picks = self.picks(site, kind)?;
        let pick = picks.iter().find(|pick| {
            let replicas = pick.sizes.iter().map(|size| size.replicas);
            fits(self.taken(zones, replicas), room)
        })?;
        let choices = pick.sizes.iter().map(|&size| Choice::shared(kind, size));
        Some(Candidate {
            market: site.market,
            zones,
            layout,
            choices: choices.collect(),
            databases: self.app.databases.iter().map(|one| (one.own_nodes() > 0).then_some(kind)).collect(),
            caches: vec![Some(kind); self.app.caches.len()],
            machines: zones,
            uses: Rc::clone(&site.uses),
            cost,
            down: self.odds(Spread { zones, layout }).total(pick.fleets),
        })
    }

    /// What a machine of the fullest zone, the first, has for replicas: vCPUs, and GiB of memory.
    fn room(&self, site: &Site<'_>, kind: &Machine) -> (f64, f64) {
        let mut room = (f64::from(kind.vcpu), kind.mem_gib);
        for database in &self.app.databases {
            let nodes = f64::from(u32::from(database.own_nodes()).div_ceil(site.zones));
            let (cpus, gib) = database::takes_of(database, speed(kind));
            room = (room.0 - nodes * cpus, room.1 - nodes * gib);
        }
        for one in &self.app.caches {
            let nodes = f64::from(cache::in_fullest_zone(one, site.zones));
            let (cpus, gib) = cache::takes_of(one);
            room = (room.0 - nodes * cpus, room.1 - nodes * gib);
        }
        room
    }

    /// What the fullest zone takes with so many replicas of each service: vCPUs, and GiB of memory.
    fn taken(&self, zones: u32, replicas: impl Iterator<Item = u32>) -> (f64, f64) {
        let (mut milli, mut bytes) = (0, 0);
        for (service, replicas) in self.app.services.iter().zip(replicas) {
            let on = u64::from(replicas.div_ceil(zones));
            milli += on * u64::from(service.resources.cpus.0);
            bytes += on.saturating_mul(service.resources.memory.0);
        }
        (milli as f64 / 1e3, bytes as f64 / f64::from(1_u32 << 30))
    }

    /// Sizes that may be the best of a type, the best first; `None`: it is too slow for a service at any size that is allowed.
    fn picks(&self, site: &Site<'_>, kind: &Machine) -> Option<Rc<[Pick]>> {
        let each = self.request.needs.iter().map(|need| need.peak(speed(kind)));
        let peaks: Vec<Peak> = each.collect::<Option<_>>()?;
        let asked = (site.zones, site.survive == Survive::Zone, peaks);
        let mut known = self.picks.known.borrow_mut();
        if let Some(picks) = known.get(&asked) {
            return Some(Rc::clone(picks)).filter(|picks| !picks.is_empty());
        }
        let picks: Rc<[Pick]> = self.weighed(site, &asked.2).into();
        known.insert(asked, Rc::clone(&picks));
        Some(picks).filter(|picks| !picks.is_empty())
    }

    fn weighed(&self, site: &Site<'_>, peaks: &[Peak]) -> Vec<Pick> {
        let (zones, layout) = (site.zones, Layout::Together);
        let of = |(need, peak): (&crate::size::Need, &Peak)| {
            let size = |spare| need.size(*peak, zones, spare, site.survive, u32::MAX);
            let all = (0..=SPARE_MAX).map(size).filter(|size| size.base <= size.replicas);
            let mut all: Vec<(Size, u64)> = all.map(|size| (size, fails(size, zones))).collect();
            all.dedup();
            all
        };
        let each: Vec<Vec<(Size, u64)>> = self.request.needs.iter().zip(peaks).map(of).collect();
        let up = self.odds(Spread { zones, layout }).up_by_zones();
        let takes = |sets: u64| -> f64 {
            up.iter().enumerate().filter(|(set, _)| sets >> set & 1 == 1).map(|(_, up)| up).sum()
        };
        let mut all = vec![(Vec::new(), 0)];
        for sizes in &each {
            let with = |(known, sets): &(Vec<Size>, u64)| {
                let more = sizes.iter().map(|(size, fails)| {
                    let mut sizes = known.clone();
                    sizes.push(*size);
                    (sizes, sets | fails)
                });
                more.collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        let mut all: Vec<Pick> =
            all.into_iter().map(|(sizes, sets)| Pick { fleets: takes(sets), sizes }).collect();
        all.sort_by(|a, b| a.fleets.total_cmp(&b.fleets).then_with(|| a.replicas().cmp(&b.replicas())));
        // Of what comes later nothing is taken that holds more than something before it.
        let mut kept: Vec<Pick> = Vec::new();
        for pick in all {
            if !kept.iter().any(|better| better.is_within(&pick)) {
                kept.push(pick);
            }
        }
        kept
    }

    /// The safest and the cheapest of each topology.
    pub(super) fn shared_corners(&self, limits: Limits, effort: &mut Effort, found: &mut Vec<Candidate<'a>>) {
        if limits.forbidden {
            return;
        }
        for (market, zones) in self.shared() {
            let Some(site) = self.site(market, zones, limits) else { continue };
            let all = site.kinds(None).into_iter().filter_map(|(cost, kind)| self.on(&site, kind, cost));
            let mut all = all.inspect(|_| effort.evaluated += 1);
            let Some(cheapest) = all.next() else { continue };
            let by_down =
                |a: &Candidate<'_>, b: &Candidate<'_>| a.down.total_cmp(&b.down).then(a.cost.cmp(&b.cost));
            found.extend(all.chain([cheapest.clone()]).min_by(by_down));
            found.push(cheapest);
        }
    }
}

#[cfg(test)]
#[path = "together_tests.rs"]
pub(super) mod tests;
