//! Every choice in a topology, listed anew: all machine types, all sizes, with what they cost and how they fail.

use std::collections::BTreeMap;

use model::{Cache, Money, Service};

use super::Place;
use super::network::{network, ways_out};
use super::rules::{Rules, Size, layout};
use crate::catalog::{Machine, Price, RegionOffer, Unit};
use crate::search_space::{CACHE_CPUS, CACHE_FILL};

/// Hours of a month on a bill.
pub(super) const HOURS: f64 = 730.0;
/// GB of disk of each machine beside its data.
pub(super) const DISK_GB: f64 = 20.0;
/// Bytes of a GiB.
pub(super) const GIB: f64 = 1_073_741_824.0;

/// One way to run one service.
#[derive(Clone, Debug)]
pub(super) struct Way<'a> {
    pub(super) machine: Option<&'a Machine>,
    pub(super) size: Size,
    /// Replicas that a machine holds.
    pub(super) room: u32,
    /// What is bought for it; none on this machine.
    pub(super) machines: u32,
    /// Millionths of a dollar a month; on this machine replicas.
    pub(super) cost: i64,
}

/// Replicas of `service` that a machine holds.
fn room(service: &Service, machine: &Machine) -> u32 {
    let cpus = u64::from(machine.vcpu) * 1_000 / u64::from(service.resources.cpus.0.max(1));
    let memory = (machine.mem_gib * GIB / service.resources.memory.0.max(1) as f64).floor();
    cpus.min(memory as u64).min(u64::from(u32::MAX)) as u32
}

/// Whether a machine holds one replica of `service`.
pub(super) fn holds(service: &Service, machine: &Machine) -> bool {
    room(service, machine) > 0
}

pub(super) fn disk_usd(offer: &RegionOffer) -> f64 {
    offer.unit(Unit::DiskGbMonth).map_or(0.0, |price| price.usd)
}

/// So many machines with their disks for a month.
fn bill(offer: &RegionOffer, machine: &Machine, machines: u32) -> i64 {
    let count = f64::from(machines);
    let disks = Money::from_usd(disk_usd(offer) * (DISK_GB * count));
    Money::from_usd(machine.price.usd * HOURS * count).0 + disks.0
}

/// All ways to run `service`.
pub(super) fn ways<'a>(rules: &Rules<'_>, place: &Place<'a>, service: &Service) -> Vec<Way<'a>> {
    let zones = place.zones;
    let mut all = Vec::new();
    let Some(offer) = place.offer else {
        let sizes = rules.sizes(service, None, zones, 1);
        let local = |&(size, _): &(Size, u32)| Way {
            machine: None,
            size,
            room: 1,
            machines: 0,
            cost: i64::from(size.replicas),
        };
        return sizes.iter().map(local).collect();
    };
    let (_, of_machine) = ways_out(place);
    for machine in offer.usable() {
        let room = room(service, machine);
        for &(size, machines) in &*rules.sizes(service, Some(machine), zones, room) {
            let cost = bill(offer, machine, machines) + of_machine.saturating_mul(i64::from(machines));
            all.push(Way { machine: Some(machine), size, room, machines, cost });
        }
    }
    all
}

/// What a node of a cache takes: vCPUs, and GiB.
pub(super) fn of_cache(cache: &Cache) -> (f64, f64) {
    (CACHE_CPUS, cache.memory.0 as f64 / (CACHE_FILL * GIB))
}

/// Whether a machine holds a node of a cache.
pub(super) fn holds_cache(cache: &Cache, machine: &Machine) -> bool {
    let (cpus, gib) = of_cache(cache);
    f64::from(machine.vcpu) >= cpus && machine.mem_gib >= gib * (1.0 - 1e-12)
}

/// The network, the databases and the caches, each on the cheapest machine that holds a node; `None`: none holds one.
pub(super) fn fixed(rules: &Rules<'_>, place: &Place<'_>) -> Option<i64> {
    let Some(offer) = place.offer else {
        // Nobody runs a database for us on this machine.
        return rules.app.databases.iter().all(|one| one.mode() != model::Mode::Managed).then_some(0);
    };
    let (mut sum, of_machine) = ways_out(place);
    for database in &rules.app.databases {
        if database.mode() == model::Mode::Managed {
            sum += managed(offer, database)?;
            continue;
        }
        let nodes = u32::from(database.nodes());
        sum += of_machine.saturating_mul(i64::from(nodes));
        let machines = offer.usable().filter(|machine| holds_node(database, machine));
        let cheapest =
            machines.map(|machine| Money::from_usd(machine.price.usd * HOURS * f64::from(nodes)).0).min()?;
        sum += cheapest + node_disks(offer, database);
    }
    for cache in &rules.app.caches {
        let nodes = u32::from(cache.shards) * (u32::from(cache.replicas) + 1);
        sum += of_machine.saturating_mul(i64::from(nodes));
        let machines = offer.usable().filter(|machine| holds_cache(cache, machine));
        sum += machines.map(|machine| bill(offer, machine, nodes)).min()?;
    }
    for line in network(rules, place) {
        sum += Money::from_usd(line.quantity * line.usd).0;
    }
    Some(sum)
}

/// Whether a cache can be had there.
pub(super) fn keeps(place: &Place<'_>, cache: &Cache) -> bool {
    place.offer.is_none_or(|offer| offer.usable().any(|machine| holds_cache(cache, machine)))
}

/// Whether a database can be had there.
pub(super) fn is_had(place: &Place<'_>, database: &model::Database) -> bool {
    match place.offer {
        None => database.own_nodes() > 0,
        Some(offer) if database.own_nodes() == 0 => managed(offer, database).is_some(),
        Some(offer) => offer.usable().any(|machine| holds_node(database, machine)),
    }
}

/// What a provider counts of a database that it runs, for both of its nodes: what it is, how much, USD a month for one.
pub(super) fn counted<'a>(
    offer: &'a RegionOffer,
    database: &model::Database,
) -> Option<[(Unit, f64, f64, &'a Price); 3]> {
    let writes = database.writes.map_or(0.0, |writes| writes.0);
    let cpus = 2.0 * (writes / 500.0 * (1.0 - 1e-12)).ceil().max(2.0);
    if cpus > 2.0 * crate::search_space::MANAGED_VCPUS_MAX {
        return None;
    }
    let gb = 2.0 * database.storage.0 as f64 / GIB;
    let line = |unit: Unit, amount: f64, hours: f64| {
        let price = offer.unit(unit)?;
        Some((unit, amount, price.usd * hours, price))
    };
    Some([
        line(Unit::DatabaseVcpuHour, cpus, HOURS)?,
        line(Unit::DatabaseGibMonth, cpus * 4.0, 1.0)?,
        line(Unit::DatabaseDiskGbMonth, gb, 1.0)?,
    ])
}

/// The same in millionths of a dollar; `None`: nobody runs it there.
pub(super) fn managed(offer: &RegionOffer, database: &model::Database) -> Option<i64> {
    let lines = counted(offer, database)?;
    Some(lines.iter().map(|(_, amount, usd, _)| Money::from_usd(amount * usd).0).sum())
}

/// Disks of the nodes of a database for a month.
fn node_disks(offer: &RegionOffer, database: &model::Database) -> i64 {
    let gb = database.storage.0 as f64 / GIB + DISK_GB;
    Money::from_usd(disk_usd(offer) * (gb * f64::from(database.nodes()))).0
}

/// Whether a machine holds a node: 4 GiB for each CPU that its writes need, at least two, and the speed of these.
pub(super) fn holds_node(database: &model::Database, machine: &Machine) -> bool {
    let cpus = database.writes.map_or(0.0, |writes| writes.0) / 500.0;
    let whole = (cpus * (1.0 - 1e-12)).ceil().max(2.0);
    let fast = machine.performance.low >= cpus * crate::search_space::REFERENCE_COREMARK;
    machine.vcpu >= 2 && fast && machine.mem_gib >= whole * 4.0 * (1.0 - 1e-12)
}

/// Probability of too few replicas for each set of living zones, computed for each set by itself.
pub(super) fn fails(size: Size, zones: u32, room: u32, down: f64) -> Vec<f64> {
    let layout = layout(size.replicas, zones, room);
    let of = |set: usize| {
        let living = layout.iter().enumerate().filter(|(zone, _)| set >> zone & 1 == 1);
        let machines: Vec<u32> = living.flat_map(|(_, on)| on.iter().copied()).collect();
        // up[n]: probability that n replicas are up; from `needed` on it does not matter how many.
        let needed = size.needed as usize;
        let mut up = vec![0.0; needed + 1];
        up[0] = 1.0;
        for carries in machines {
            let before = std::mem::replace(&mut up, vec![0.0; needed + 1]);
            for (count, share) in before.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
                up[count] += share * down;
                up[(count + carries as usize).min(needed)] += share * (1.0 - down);
            }
        }
        up[..needed].iter().sum()
    };
    (0..1_usize << zones).map(of).collect()
}

/// [`fails`], each shape once.
#[derive(Default)]
pub(super) struct Shapes {
    known: BTreeMap<(Size, u32, u32), Vec<f64>>,
}

impl Shapes {
    pub(super) fn fails(&mut self, way: &Way<'_>, zones: u32, down: f64) -> Vec<f64> {
        let room = way.room.min(way.size.replicas);
        let shape = (way.size, zones, room);
        self.known.entry(shape).or_insert_with(|| fails(way.size, zones, room, down)).clone()
    }
}
