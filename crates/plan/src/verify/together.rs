//! One machine in each zone that holds everything of it, counted anew: which types hold what, and how often too little is up.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::{App, Database, Layout, Money, Scope, Service, Sharing};

use super::network::{network, ways_out, ways_to_pay};
use super::rules::{Rules, Size};
use super::space::{DISK_GB, GIB, HOURS, Way, disk_usd, of_cache};
use super::{Place, ROUNDING, Refused, refuse};
use crate::catalog::{Machine, RegionOffer};
use crate::chance::{ChanceError, series};
use crate::proof::{Incumbent, Nat};
use crate::search_space::{REFERENCE_COREMARK, TOGETHER_SERVICES_MAX, TOGETHER_ZONES_MAX};

/// Of a vCPU or a GiB: what fills a machine to the last of it fits.
const FULL: f64 = 1e-9;

/// Room for replicas: no service has more.
const ROOM: u32 = 1_000;

/// Whether the file lets services and databases share machines over so many zones. One part alone has nothing to share with, and
/// does so only where that is asked.
pub(super) fn is_open(app: &App, zones: u32) -> bool {
    let own = app.databases.iter().filter(|database| database.own_nodes() > 0).count();
    let alone = app.services.len() + own + app.caches.len() < 2;
    let asked = app.sharing() == Sharing::Together;
    (asked || !alone)
        && app.sharing() != Sharing::Apart
        && app.services.len() <= TOGETHER_SERVICES_MAX
        && zones <= TOGETHER_ZONES_MAX
}

/// How a NAT for one machine a zone is paid for: by these machines only where that costs less.
pub(super) fn pays(offer: &RegionOffer, zones: u32) -> Nat {
    let costs = |nat: Nat| {
        let (whole, each) = ways_out(&Place { offer: Some(offer), zones, layout: Layout::Together, nat });
        whole + each * i64::from(zones)
    };
    match ways_to_pay(offer, zones).as_slice() {
        [one] => *one,
        _ if costs(Nat::Machine) < costs(Nat::Gateway) => Nat::Machine,
        _ => Nat::Gateway,
    }
}

/// GB of all disks.
pub(super) fn disk_gb(app: &App, zones: u32) -> f64 {
    let data = |database: &Database| database.storage.0 as f64 / GIB * f64::from(database.own_nodes());
    app.databases.iter().map(data).sum::<f64>() + DISK_GB * f64::from(zones)
}

/// What a place costs whichever type its machines are of, in millionths of a dollar a month.
fn fixed(rules: &Rules<'_>, place: &Place<'_>, offer: &RegionOffer) -> Option<i64> {
    let zones = place.zones;
    let (gateways, each) = ways_out(place);
    let lines =
        network(rules, place).iter().map(|line| Money::from_usd(line.quantity * line.usd).0).sum::<i64>();
    let disks = Money::from_usd(disk_gb(rules.app, zones) * disk_usd(offer)).0;
    let managed = rules.app.databases.iter().filter(|database| database.own_nodes() == 0);
    let managed: Option<i64> = managed.map(|database| super::space::managed(offer, database)).sum();
    Some(disks + lines + gateways + each * i64::from(zones) + managed?)
}

/// What its machines cost on top.
fn bought(machine: &Machine, zones: u32) -> i64 {
    Money::from_usd(machine.price.usd * HOURS * f64::from(zones)).0
}

/// Whether a machine of this type holds what each of the zones has: these replicas, and nodes of the databases in turn.
fn holds(app: &App, machine: &Machine, zones: u32, sizes: &[Size]) -> bool {
    let speed = machine.performance.low / f64::from(machine.vcpu.max(1)) / REFERENCE_COREMARK;
    (0..zones).all(|zone| {
        let in_zone = |count: u32| (0..count).filter(|one| one % zones == zone).count() as f64;
        let (mut cpus, mut gib) = (0.0, 0.0);
        for (service, size) in app.services.iter().zip(sizes) {
            let replicas = in_zone(size.replicas);
            cpus += replicas * (f64::from(service.resources.cpus.0) / 1_000.0);
            gib += replicas * (service.resources.memory.0 as f64 / GIB);
        }
        for database in &app.databases {
            let nodes = in_zone(u32::from(database.own_nodes()));
            let needs = database.writes.map_or(0.0, |writes| writes.0) / 500.0;
            cpus += nodes * f64::max(2.0, needs / speed);
            gib += nodes * 4.0 * (needs * (1.0 - 1e-12)).ceil().max(2.0);
        }
        for cache in &app.caches {
            let nodes = in_zone(u32::from(cache.replicas) + 1) * f64::from(cache.shards);
            let (each_cpus, each_gib) = of_cache(cache);
            (cpus, gib) = (cpus + nodes * each_cpus, gib + nodes * each_gib);
        }
        cpus <= f64::from(machine.vcpu) + FULL && gib <= machine.mem_gib + FULL
    })
}

/// A place as the model sees it.
struct Odds {
    /// By set of zones that live with their machine: the share of time in which all databases serve, too.
    up: Vec<f64>,
    groups: f64,
    shared: f64,
    /// What services may take of the time.
    room: Option<f64>,
}

impl Odds {
    fn new(rules: &Rules<'_>, zones: u32) -> Result<Odds, ChanceError> {
        let stateful = rules.stateful(zones, Layout::Together)?;
        let bare = rules.bare(zones, Layout::Together)?;
        let down: Vec<f64> = bare.shared.iter().map(|common| common.outage.unavailability()).collect();
        let (shared, groups) = (series(&down), stateful.unavailability());
        let mut up = vec![0.0; 1 << zones];
        for (set, share) in stateful.up.iter().enumerate() {
            // Two bits a zone: itself and its machine.
            let living = (0..zones).filter(|zone| set >> (2 * zone) & 3 == 3).map(|zone| 1 << zone);
            up[living.sum::<usize>()] += share;
        }
        let asked = rules.app.objectives.availability.map(|asked| asked.unavailability * (1.0 + ROUNDING));
        let room = asked.map(|asked| (asked - shared) / (1.0 - shared) - groups);
        Ok(Odds { up, groups, shared, room })
    }

    /// Share of time in which databases serve and one of these has too few replicas.
    fn takes(&self, sizes: &[Size]) -> f64 {
        let zones = self.up.len().trailing_zeros();
        let lives = |set: usize, replica: u32| set >> (replica % zones) & 1 == 1;
        let few = |set: usize, size: &Size| {
            ((0..size.replicas).filter(|&replica| lives(set, replica)).count() as u32) < size.needed
        };
        let fails = |set: &usize| sizes.iter().any(|size| few(*set, size));
        (0..self.up.len()).filter(fails).map(|set| self.up[set]).sum()
    }

    fn too_much(&self, share: f64) -> bool {
        self.room.is_some_and(|room| share > room - 1e-10 * room.abs())
    }
}

/// Sizes of all services, in the order of the file.
type Sizes = Vec<Size>;

/// What each service needs at peak, as [`Rules::peak`] has it.
type Peaks = Vec<Option<Option<u32>>>;

/// All ways to size the services on machines of one speed.
fn combinations(rules: &Rules<'_>, machine: &Machine, zones: u32) -> Vec<Sizes> {
    let mut all: Vec<Sizes> = vec![Vec::new()];
    for service in &rules.app.services {
        let sizes = rules.sizes(service, Some(machine), zones, ROOM);
        let with = |known: &Sizes| -> Vec<Sizes> {
            sizes.iter().map(|(size, _)| known.iter().copied().chain([*size]).collect()).collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

fn is_within(few: &Sizes, many: &Sizes) -> bool {
    few.iter().zip(many).all(|(few, many)| few.replicas <= many.replicas)
}

/// What was counted already: types that need equally many replicas at peak are alike.
#[derive(Default)]
pub(super) struct Counted {
    odds: BTreeMap<u32, Rc<Odds>>,
    /// By zones and needed replicas: the smallest sizes that are available enough.
    enough: BTreeMap<(u32, Peaks), Rc<[Sizes]>>,
}

impl Counted {
    fn odds(&mut self, rules: &Rules<'_>, zones: u32) -> Result<Rc<Odds>, String> {
        if let Some(known) = self.odds.get(&zones) {
            return Ok(Rc::clone(known));
        }
        let odds = Rc::new(Odds::new(rules, zones).map_err(|error| error.to_string())?);
        self.odds.insert(zones, Rc::clone(&odds));
        Ok(odds)
    }

    fn enough(&mut self, rules: &Rules<'_>, machine: &Machine, zones: u32) -> Result<Rc<[Sizes]>, String> {
        let odds = self.odds(rules, zones)?;
        let peak = |service: &Service| rules.peak(service, Some(machine));
        let key = (zones, rules.app.services.iter().map(peak).collect());
        let least = || {
            let mut kept: Vec<Sizes> = Vec::new();
            for sizes in combinations(rules, machine, zones) {
                if !odds.too_much(odds.takes(&sizes)) && !kept.iter().any(|few| is_within(few, &sizes)) {
                    kept.retain(|many| !is_within(&sizes, many));
                    kept.push(sizes);
                }
            }
            Rc::from(kept)
        };
        Ok(Rc::clone(self.enough.entry(key).or_insert_with(least)))
    }

    /// That no type that would be cheaper than `cost` holds everything and is available enough, and that these are so many.
    pub(super) fn check(
        &mut self,
        rules: &Rules<'_>,
        place: &Place<'_>,
        cost: Option<i64>,
        tried: u32,
    ) -> Result<usize, String> {
        let offer = place.offer.ok_or("nothing is bought on this machine")?;
        let fixed = fixed(rules, place, offer).ok_or("nobody runs its databases there")?;
        let mut cheaper = 0;
        for machine in offer.usable() {
            let own = fixed + bought(machine, place.zones);
            if cost.is_some_and(|cost| own >= cost) {
                continue;
            }
            cheaper += 1;
            let enough = self.enough(rules, machine, place.zones)?;
            if enough.iter().any(|sizes| holds(rules.app, machine, place.zones, sizes)) {
                let (kind, usd) = (&machine.name, own as f64 / 1e6);
                return Err(format!("one {kind} a zone holds everything for {usd} USD/month"));
            }
        }
        if cheaper == tried as usize {
            return Ok(cheaper);
        }
        Err(format!("{cheaper} types would be cheaper than the plan, not {tried}"))
    }
}

/// The cheapest plan, counted anew.
pub(super) struct Shared<'a> {
    pub(super) machine: &'a Machine,
    pub(super) services: Vec<Way<'a>>,
    /// Millionths of a dollar.
    pub(super) cost: i64,
}

/// What the certificate says of a plan on one machine a zone: that they are large enough, and that no other sizes that they hold are
/// down less, or as little with fewer replicas.
pub(super) fn incumbent<'a>(
    rules: &Rules<'_>,
    place: &Place<'a>,
    claimed: &Incumbent,
) -> Result<Shared<'a>, Refused> {
    let wrong = |why: String| refuse("the plan", why);
    let offer = place.offer.ok_or_else(|| wrong("nothing is bought on this machine".to_owned()))?;
    if !is_open(rules.app, place.zones) {
        return Err(wrong("its services and databases may not share machines".to_owned()));
    }
    if place.zones == 1 && (rules.zone || rules.survives(Scope::Node)) {
        return Err(wrong("with its one machine everything is lost".to_owned()));
    }
    let own = claimed.databases.iter().zip(&rules.app.databases).filter(|(_, one)| one.own_nodes() > 0);
    let parts = claimed.services.iter().map(|(name, _)| name).chain(own.map(|(name, _)| name));
    let mut names = parts.chain(&claimed.caches);
    let first = claimed.services.first().and_then(|(name, _)| name.as_ref());
    let machine = first.filter(|first| names.all(|name| name.as_ref() == Some(*first)));
    let machine = machine.and_then(|name| offer.usable().find(|machine| *machine.name == **name));
    let machine =
        machine.ok_or_else(|| wrong("its machines are not all of one type that is sold there".to_owned()))?;
    let replicas: Vec<u32> = claimed.services.iter().map(|(_, replicas)| *replicas).collect();
    let all = combinations(rules, machine, place.zones);
    let own = all.iter().find(|sizes| sizes.iter().map(|size| size.replicas).eq(replicas.iter().copied()));
    let own = own.ok_or_else(|| wrong(format!("{replicas:?} replicas are not in the space")))?;
    if !holds(rules.app, machine, place.zones, own) {
        return Err(wrong(format!("a {} does not hold what a zone has", machine.name)));
    }
    let odds = Odds::new(rules, place.zones).map_err(|error| wrong(error.to_string()))?;
    let total = |sizes: &Sizes| series(&[odds.shared, odds.groups + odds.takes(sizes)]);
    let count = |sizes: &Sizes| sizes.iter().map(|size| size.replicas).sum::<u32>();
    let (down, many) = (total(own), count(own));
    for other in all.iter().filter(|sizes| holds(rules.app, machine, place.zones, sizes)) {
        let theirs = total(other);
        if theirs < down * (1.0 - ROUNDING) || (theirs <= down * (1.0 + ROUNDING) && count(other) < many) {
            return Err(wrong(
                "its machines hold other sizes that are down less, or as little with fewer replicas"
                    .to_owned(),
            ));
        }
    }
    let way = |size: &Size| Way { machine: Some(machine), size: *size, room: ROOM, machines: 0, cost: 0 };
    let services = own.iter().map(way).collect();
    let fixed =
        fixed(rules, place, offer).ok_or_else(|| wrong("nobody runs its databases there".to_owned()))?;
    let cost = fixed + bought(machine, place.zones);
    Ok(Shared { machine, services, cost })
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
