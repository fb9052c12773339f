//! The search against trying everything, and what must hold of any two plans.

use std::collections::BTreeMap;

use model::{
    App, Availability, Bytes, Cache, CacheLoss, CacheName, Database, DatabaseName, Duration, Latency, Layout,
    Load, MilliCpu, Money, Placement, Rate, Region, Scope, Service, Users, WhenAlone,
};

use super::together::tests as together;
use super::{Effort, Limits};
use crate::catalog::{Catalog, Coordinates, Machine, Price, RegionOffer, Unit};
use crate::chance::{
    Application, Assumptions, Common, Dice, Fleet, Group, Level, Machines, Stateful, Takeover,
};
use crate::compose::bill;
use crate::ground::Ground;
use crate::proof::{Closed, Nat, Topology};
use crate::size::Survive;
use crate::tests::{cloud, few, service};
use crate::{Options, Terms, certified, to_json, verify};

/// A random application that is small enough to try everything.
pub(crate) struct Case {
    pub(crate) app: App,
    pub(crate) catalog: Catalog,
}

pub(crate) fn one_of<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    of[dice.below(of.len() as u64) as usize]
}

pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::from_seed(seed);
    let mut app = cloud();
    app.objectives.budget = None;
    app.placement = Placement {
        providers: vec!["aws".into(), "gcp".into(), "alicloud".into()],
        regions: if dice.below(2) == 0 { vec![] } else { vec![Region("eu-central".into())] },
        zones: 1 + dice.below(3) as u8,
        machines: Some(model::Sharing::Any),
        residency: vec![],
        users: vec![],
    };
    // From far too strict to no matter: minutes a year.
    let minutes = [80.0, 90.0, 110.0, 200.0, 400.0, 800.0, 3_000.0, 20_000.0];
    let minutes = one_of(&mut dice, &minutes) * (1.0 + 0.5 * dice.unit());
    let unavailability = minutes / (8_766.0 * 60.0);
    app.objectives.availability = (dice.below(8) != 0).then_some(Availability { unavailability });
    app.objectives.survive = match dice.below(6) {
        0 => vec![Scope::Node],
        1 => vec![Scope::Zone],
        _ => vec![],
    };
    if dice.below(5) == 0 {
        app.objectives.rto.zone = Some(Duration(60_000));
    }
    let services = 1 + dice.below(2 + u64::from(app.placement.zones < 3));
    app.services = (0..services).map(|index| random_service(&mut dice, index)).collect();
    app.ingress[0].to = app.services[0].name.clone();
    app.databases = (0..dice.below(3).saturating_sub(1)).map(|_| random_database(&mut dice)).collect();
    if dice.below(4) == 0 {
        // Far worse machines, so that spare replicas and their places matter.
        app.assume =
            BTreeMap::from([("machine_failure.per_year".into(), 40.0), ("zone_outage.hours".into(), 1.0)]);
    }
    let types = 2 + dice.below(3);
    let dropped: Vec<u64> = (0..40).map(|_| dice.below(8)).collect();
    let names: Vec<String> = {
        let mut names: Vec<String> = few()
            .regions
            .iter()
            .flat_map(|offer| &offer.machines)
            .map(|machine| machine.name.to_string())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let kept = |name: &str| {
        names.iter().position(|known| known == name).is_some_and(|at| dropped[at % dropped.len()] < types)
    };
    let mut catalog = few().clone().only(|_, machine| kept(&machine.name));
    random_ways_out(&mut dice, &mut catalog);
    app.placement.providers = catalog.providers().into_iter().map(str::to_owned).collect();
    app.caches = (0..dice.below(3).saturating_sub(1)).map(|_| random_cache(&mut dice)).collect();
    Case { app, catalog }
}

/// As a bill calls what each machine pays for the way out.
const BEHIND: &str = "machine behind the NAT gateway";

/// Mostly other prices of ways out: from such as matter to nothing to such as decide, and reached by a few machines.
fn random_ways_out(dice: &mut Dice, catalog: &mut Catalog) {
    for offer in &mut catalog.regions {
        if dice.below(4) == 0 {
            continue;
        }
        let of = |usd: f64| Price { usd, ..offer.unit(Unit::NatMonth).unwrap().clone() };
        let mut machine = of(one_of(dice, &[0.0, 0.333_333_4, 8.0, 45.0, 90.0]) * (1.0 + dice.unit()));
        let gateway = of(one_of(dice, &[0.0, 5.0, 60.0, 300.0]) * (1.0 + dice.unit()));
        machine.item = BEHIND.into();
        offer.units.insert(Unit::NatMachineMonth, machine);
        offer.units.insert(Unit::NatMonth, gateway);
        match dice.below(8) {
            0 => drop(offer.units.remove(&Unit::NatMonth)),
            1 => drop(offer.units.remove(&Unit::NatMachineMonth)),
            _ => {}
        }
    }
}

fn random_service(dice: &mut Dice, index: u64) -> Service {
    let mut one = service(&format!("s{}", 9 - index), 10.0 + 900.0 * dice.unit());
    one.resources.memory = Bytes((1 + dice.below(9)) << 29);
    one.resources.cpus = MilliCpu(one_of(dice, &[500, 1_000, 2_000]));
    one.scale.min = 1 + dice.below(3) as u32;
    one.scale.max = one_of(dice, &[4, 9, 40, 40]).max(one.scale.min);
    one.scale.target = (dice.below(4) == 0).then_some(Rate(120.0));
    if dice.below(3) == 0 {
        let response = one_of(dice, &[None, Some(Bytes(300)), Some(Bytes(60_000)), Some(Bytes(900_000))]);
        one.load = one.load.map(|load| Load { response, ..load });
    }
    if dice.below(6) == 0 {
        one.load = None;
    } else if dice.below(3) == 0 {
        one.load = one.load.map(|load| Load { mean: Some(Rate(load.peak.0 * 4.0)), ..load });
    }
    one
}

pub(crate) fn random_cache(dice: &mut Dice) -> Cache {
    Cache {
        name: CacheName::new("cache").unwrap(),
        engine: "redis:7".into(),
        memory: one_of(dice, &[Bytes(1 << 29), Bytes(5 << 30), Bytes(20 << 30)]),
        shards: 1 + dice.below(2) as u8,
        replicas: dice.below(3) as u8,
        loss: one_of(dice, &[CacheLoss::Outage, CacheLoss::Outage, CacheLoss::Tolerated]),
    }
}

/// Nodes of all caches.
pub(super) fn cached(app: &App) -> usize {
    app.caches.iter().map(|one| usize::from(one.shards) * (1 + usize::from(one.replicas))).sum()
}

pub(crate) fn random_database(dice: &mut Dice) -> Database {
    let standbys = dice.below(4) as u8;
    Database {
        name: DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "50G".parse().unwrap(),
        standbys,
        auto: false,
        managed: model::Managed::No,
        witness: standbys == 1 && dice.below(2) == 0,
        writes: Some(Rate(one_of(dice, &[50.0, 800.0, 1_800.0]))),
        when_alone: WhenAlone::Block,
    }
}

/// Replicas on each machine of each zone.
pub(super) fn spread(replicas: u32, zones: u32, room: u32) -> Vec<Vec<u32>> {
    let share = |zone: u32| replicas / zones + u32::from(zone < replicas % zones);
    let machines = |share: u32| {
        let count = share.div_ceil(room);
        (0..count).map(|machine| share / count + u32::from(machine < share % count)).collect()
    };
    (0..zones).map(|zone| machines(share(zone))).collect()
}

/// Whether the peak is carried after the loss of any zone or any machine.
pub(super) fn outlives(layout: &[Vec<u32>], needed: u32, zone: bool, node: bool) -> bool {
    let all: u32 = layout.iter().flatten().sum();
    let zones = layout.iter().all(|zone| all - zone.iter().sum::<u32>() >= needed);
    let machines = layout.iter().flatten().all(|machine| all - machine >= needed);
    (!zone || zones) && (!node || machines)
}

/// Everything a service can be run as in a region over some zones: price and fleet.
fn ways(app: &App, offer: &RegionOffer, service: &Service, zones: u32) -> Vec<(Money, Fleet)> {
    let survive = &app.objectives.survive;
    let strict = app.objectives.availability.is_some_and(|asked| asked.unavailability <= 1e-3);
    let zone = survive.contains(&Scope::Zone) || (strict && survive.is_empty() && app.placement.zones > 1);
    let node = survive.contains(&Scope::Node) && !zone;
    if zone && zones == 1 {
        return vec![];
    }
    let assumptions = crate::Terms::default().assumptions(app).unwrap();
    let machine = assumptions.outage("machine_failure", Level::Mid).unwrap();
    let mut all = Vec::new();
    for kind in offer.usable() {
        let memory = kind.mem_gib * f64::from(1 << 30) / service.resources.memory.0 as f64;
        let room = (kind.vcpu * 1_000 / service.resources.cpus.0).min(memory as u32);
        if room == 0 {
            continue;
        }
        let speed = kind.performance.low / f64::from(kind.vcpu) / 17_065.0;
        let cpus = f64::from(service.resources.cpus.0) / 1_000.0;
        let each = service.scale.target.map_or(150.0 * cpus * speed, |target| target.0 * speed.min(1.0));
        let (min, max) = (service.scale.min, service.scale.max);
        let needed = match service.load {
            Some(load) => ((load.peak.0 / each) * (1.0 - 1e-12)).ceil().max(1.0) as u32,
            // The most that is left after any loss, of the smallest scale.
            None => {
                (1..=min).rev().find(|&n| outlives(&spread(min, zones, room), n, zone, node)).unwrap_or(1)
            }
        };
        let base =
            (needed.max(min)..).find(|&n| outlives(&spread(n, zones, room), needed, zone, node)).unwrap();
        for replicas in base..=(base + 4).min(max) {
            let layout = spread(replicas, zones, room);
            let machines = layout.iter().map(Vec::len).sum::<usize>() as f64;
            let cost = Money::from_usd(machines * (kind.price.usd * 730.0)) + disk(offer, 20.0 * machines);
            let on = (0..).zip(&layout).flat_map(|(zone, on)| {
                on.iter().map(move |&carries| Machines { zone, count: 1, carries, pool: None })
            });
            all.push((
                cost,
                Fleet { name: service.name.to_string(), needed, machines: on.collect(), machine },
            ));
        }
    }
    all
}

pub(super) fn disk(offer: &RegionOffer, gb: f64) -> Money {
    Money::from_usd(gb * offer.unit(Unit::DiskGbMonth).unwrap().usd)
}

/// GB a month of answers of services that `counts`.
fn answers(app: &App, counts: impl Fn(&Service) -> bool) -> f64 {
    let kb = crate::Terms::default().assumptions(app).unwrap().at("response.kilobytes", Level::Mid).unwrap();
    let gb = |service: &Service| {
        let load = service.load?;
        let mean = load.mean.map_or(load.peak.0 / 3.0, |mean| mean.0);
        Some(mean * load.response.map_or(kb * 1e3, |size| size.0 as f64) * 2_628_000.0 / 1e9)
    };
    app.services.iter().filter(|service| counts(service)).filter_map(gb).sum()
}

/// What is paid for the ways out of so many machines: of a gateway that can be paid for in two ways the lesser price.
pub(super) fn ways_out(offer: &RegionOffer, zones: u32, machines: usize) -> Money {
    let gateways = if offer.provider == "aws" { i64::from(zones) } else { 1 };
    let price = |unit| offer.unit(unit).map(|price| Money::from_usd(price.usd).0);
    let by_gateway = offer.unit(Unit::NatMonth).map(|price| Money::from_usd(price.usd * gateways as f64).0);
    let by_machine = price(Unit::NatMachineMonth).filter(|_| gateways == 1);
    let by_machine = by_machine.map(|each| each * machines as i64);
    Money(by_gateway.into_iter().chain(by_machine).min().unwrap_or(0))
}

/// What is paid for the network over so many zones, without the ways out.
pub(super) fn network(app: &App, offer: &RegionOffer, zones: u32) -> Money {
    let mean = app.services.iter().find(|service| service.name == app.ingress[0].to).unwrap().load;
    let mean = mean.map_or(0.0, |load| load.mean.map_or(load.peak.0 / 3.0, |mean| mean.0));
    let out = answers(app, |service| service.name == app.ingress[0].to);
    let n = f64::from(zones);
    let addresses = match offer.provider.as_str() {
        "aws" => n + n,
        "gcp" => 1.0,
        _ => 1.0 + n,
    };
    let mut lines = vec![
        (Unit::BalancerMonth, 1.0),
        (Unit::BalancerUnitMonth, (mean / 1e3).max(out / 730.0).ceil().max(1.0)),
        (Unit::BalancerGb, out),
        (Unit::AddressMonth, addresses),
    ];
    // Every TB at the price that is known for it, or else for less: what one price is for is one line.
    let steps = [
        (Unit::TrafficInternetGb, 0.0),
        (Unit::TrafficInternetGb10tb, 1e4),
        (Unit::TrafficInternetGb50tb, 5e4),
        (Unit::TrafficInternetGb150tb, 1.5e5),
    ];
    let known: Vec<_> = steps.into_iter().filter(|(unit, _)| offer.unit(*unit).is_some()).collect();
    for (at, &(unit, from)) in known.iter().enumerate() {
        let to = known.get(at + 1).map_or(f64::INFINITY, |next| next.1);
        lines.push((unit, (out.min(to) - from).max(0.0)));
    }
    let price = |unit| offer.unit(unit).map_or(0.0, |price| price.usd);
    let mut sum: Money = lines.into_iter().map(|(unit, count)| Money::from_usd(price(unit) * count)).sum();
    let kb = crate::Terms::default().assumptions(app).unwrap().at("write.kilobytes", Level::Mid).unwrap();
    for database in &app.databases {
        let nodes = u32::from(database.own_nodes());
        // Node `i` stands in zone `i` modulo the number of zones, the primary in the first.
        let apart = (0..nodes).filter(|node| node % zones != 0).count() as f64;
        let log = kb * 1e3 * database.writes.map_or(0.0, |writes| writes.0) * 2_628_000.0 / 1e9;
        let gb = answers(app, |_| true) * ((n - 1.0) / n) + log * apart;
        let usd = price(Unit::TrafficZoneOutGb) + price(Unit::TrafficZoneInGb);
        sum = sum + Money::from_usd(usd * gb);
    }
    for _ in &app.caches {
        let usd = price(Unit::TrafficZoneOutGb) + price(Unit::TrafficZoneInGb);
        sum = sum + Money::from_usd(usd * (answers(app, |_| true) * ((n - 1.0) / n)));
    }
    sum
}

/// The network and databases, every machine tried.
fn fixed(app: &App, offer: &RegionOffer, zones: u32) -> Option<Money> {
    let mut sum = network(app, offer, zones);
    for database in &app.databases {
        let cpus = (database.writes?.0 / 500.0).max(2.0);
        if database.managed == model::Managed::Yes {
            if cpus > 64.0 {
                return None;
            }
            sum = sum + managed(offer, cpus.ceil());
            continue;
        }
        let nodes = f64::from(database.nodes());
        let holds = |kind: &&Machine| {
            kind.vcpu >= 2
                && kind.performance.low >= database.writes.unwrap().0 / 500.0 * 17_065.0
                && kind.mem_gib >= 4.0 * cpus.ceil()
        };
        let all = offer.usable().filter(holds).map(|kind| Money::from_usd(kind.price.usd * 730.0 * nodes));
        sum = sum + all.min()? + disk(offer, (50.0 + 20.0) * nodes);
    }
    if let Some(cache) = app.caches.first() {
        let nodes = cached(app) as f64;
        let gib = cache.memory.0 as f64 / f64::from(1_u32 << 30) / 0.75;
        let all = offer.usable().filter(|kind| kind.mem_gib >= gib);
        let all = all.map(|kind| Money::from_usd(kind.price.usd * 730.0 * nodes));
        sum = sum + all.min()? + disk(offer, 20.0 * nodes);
    }
    Some(sum)
}

/// A provider's two nodes of 50 GB.
pub(crate) fn managed(offer: &RegionOffer, cpus: f64) -> Money {
    let usd = |unit: Unit| offer.unit(unit).unwrap().usd;
    Money::from_usd(usd(Unit::DatabaseVcpuHour) * 730.0 * (2.0 * cpus))
        + Money::from_usd(usd(Unit::DatabaseGibMonth) * (8.0 * cpus))
        + Money::from_usd(usd(Unit::DatabaseDiskGbMonth) * 100.0)
}

/// The model of the databases alone.
pub(super) fn bare(app: &App, assumptions: &Assumptions, zones: u32) -> Application {
    let outage = |kind| assumptions.outage(kind, Level::Mid).unwrap();
    let shared = ["deploy_failures", "region_outage", "human_error"]
        .map(|kind| Common { name: kind.into(), outage: outage(kind) });
    let groups =
        app.databases.iter().map(|database| Group::assumed(database, assumptions, Level::Mid).unwrap());
    let needed = app.caches.iter().filter(|one| one.loss == CacheLoss::Outage);
    let seconds = assumptions.at("takeover_cache.seconds", Level::Mid).unwrap();
    let shard = |one: &Cache| match one.replicas {
        0 => Group::single("cache", outage("cache_node")),
        more => Group::copies("cache", 1 + more, outage("cache_node"), Takeover { seconds, stages: 3 }),
    };
    let shards = needed.flat_map(|one| vec![shard(one); usize::from(one.shards)]);
    let groups = groups.chain(shards);
    Application {
        zones: zones as u8,
        zone: outage("zone_outage"),
        host: None,
        groups: groups.collect(),
        fleets: vec![],
        pools: vec![],
        shared: shared.to_vec(),
    }
}

/// Whether the laws of the file, and the distance of its users, let an app be there.
pub(super) fn is_allowed(app: &App, offer: &RegionOffer) -> bool {
    let residency = &app.placement.residency;
    let lawful =
        residency.is_empty() || residency.contains(&offer.residency) || residency.contains(&offer.country);
    let far = |users: &&Users| {
        let at = Coordinates { north: users.north, east: users.east };
        let p99 = app.objectives.latency.as_ref().map_or(f64::INFINITY, |latency| latency.p99.0 as f64);
        at.distance_km(offer.at) / 100.0 * 2.0 > p99
    };
    lawful && app.placement.users.iter().filter(far).map(|users| users.share).sum::<f64>() <= 0.01
}

/// Every choice in every topology, each with the whole availability model.
pub(crate) fn try_everything(case: &Case) -> Option<Money> {
    let app = &case.app;
    let assumptions = crate::Terms::default().assumptions(app).unwrap();
    let request = crate::size::Request::new(app, &crate::Terms::default()).unwrap();
    let home = app.placement.regions.first();
    let here = |offer: &&RegionOffer| home.is_none_or(|home| offer.place == home.0) && is_allowed(app, offer);
    let places: Vec<(&RegionOffer, u32)> = case
        .catalog
        .regions
        .iter()
        .filter(here)
        .flat_map(|offer| {
            (1..=app.placement.zones.min(offer.zones)).map(move |zones| (offer, u32::from(zones)))
        })
        .collect();
    let misses = |zones, layout| {
        crate::database::misses(app, &request, crate::database::Spread { zones, layout }, &assumptions)
    };
    let fewest = places.iter().map(|(_, zones)| misses(*zones, Layout::Apart)).min()?;
    let shared = places.iter().filter(|(_, zones)| misses(*zones, Layout::Together) == fewest);
    let mut cheapest: Option<Money> =
        shared.filter_map(|(offer, zones)| together::cheapest(app, offer, *zones, &assumptions)).min();
    for (offer, zones) in places.into_iter().filter(|(_, zones)| misses(*zones, Layout::Apart) == fewest) {
        let mut whole = bare(app, &assumptions, zones);
        let stateful = Stateful::new(&whole).unwrap();
        let Some(fixed) = fixed(app, offer, zones) else { continue };
        let all: Vec<Vec<(Money, Fleet)>> =
            app.services.iter().map(|service| ways(app, offer, service, zones)).collect();
        let combinations: usize = all.iter().map(Vec::len).product();
        for number in 0..combinations {
            let mut rest = number;
            let mut cost = fixed;
            let mut machines = usize::from(app.databases.iter().map(Database::own_nodes).sum::<u8>());
            machines += cached(app);
            whole.fleets.clear();
            for ways in &all {
                let (price, fleet) = &ways[rest % ways.len()];
                rest /= ways.len();
                cost = cost + *price;
                machines += fleet.machines.len();
                whole.fleets.push(fleet.clone());
            }
            cost = cost + ways_out(offer, zones, machines);
            if cheapest.is_some_and(|known| cost >= known) {
                continue;
            }
            let down = whole.given(&stateful).unwrap().total.get();
            if app.objectives.availability.is_none_or(|asked| down <= asked.unavailability * (1.0 + 1e-9)) {
                cheapest = Some(cost);
            }
        }
    }
    cheapest
}

fn random_users(dice: &mut Dice) -> Vec<Users> {
    let count = 1 + dice.below(4);
    let one = |index| Users {
        place: format!("p{index}"),
        north: 140.0 * dice.unit() - 70.0,
        east: 360.0 * dice.unit() - 180.0,
        share: 1.0 / count as f64,
    };
    (0..count).map(one).collect()
}

#[test]
fn what_the_file_leaves_out_is_neither_found_nor_proved_of() {
    let laws = [&["EU"][..], &["DE", "US"], &["SG"], &["US", "SG"], &["CH"]];
    let (mut nowhere, mut compared) = (0, 0);
    for seed in 0..60 {
        let mut dice = Dice::from_seed(seed);
        let mut case = case(seed + 1_000);
        case.app.placement.regions.clear();
        case.app.placement.residency =
            one_of(&mut dice, &laws).iter().map(|code| (*code).to_owned()).collect();
        if dice.below(2) == 0 {
            case.app.placement.residency.clear();
        }
        if dice.below(2) == 0 {
            case.app.placement.users = random_users(&mut dice);
            let service = case.app.ingress[0].to.clone();
            let p99 = Duration(40 + dice.below(260));
            case.app.objectives.latency = Some(Latency { service, p99, load: None });
        }
        let options = Options { catalog: case.catalog.clone(), provider: None };
        let everything = try_everything(&case);
        let planned = match certified(&case.app, &options) {
            Ok(planned) => planned,
            Err(error) => {
                assert_eq!(everything, None, "seed {seed}: {error}");
                nowhere += u32::from(error.is_infeasible());
                continue;
            }
        };
        compared += 1;
        let found = planned.proof.incumbent.as_ref().map(|incumbent| Money(incumbent.micro_usd));
        assert_eq!(found, everything, "seed {seed}: {:?}", planned.plan.missed);
        let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
        verify(&case.app, &options, &stored).unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
    }
    assert!(compared >= 30 && nowhere >= 5, "{compared} compared, {nowhere} without a region");
}

/// Whether ways out could be paid for by gateway and by machine there.
fn pays_in_two_ways(case: &Case, plan: &model::Plan) -> bool {
    let is = |offer: &&RegionOffer| (&offer.provider, &offer.region) == (&plan.provider, &plan.region);
    let offer = case.catalog.regions.iter().find(is).unwrap();
    let one = offer.provider != "aws" || plan.zones.len() == 1;
    one && [Unit::NatMonth, Unit::NatMachineMonth].iter().all(|unit| offer.unit(*unit).is_some())
}

/// Whether another plan would be the cheapest if only gateways were paid for.
fn would_differ_by_the_gateway(case: &Case, plan: &model::Plan) -> bool {
    let mut catalog = case.catalog.clone();
    for offer in catalog.regions.iter_mut().filter(|offer| offer.unit(Unit::NatMonth).is_some()) {
        offer.units.remove(&Unit::NatMachineMonth);
    }
    let other = certified(&case.app, &Options { catalog, provider: None }).unwrap().plan;
    let replicas = |plan: &model::Plan| plan.services.iter().map(|one| one.replicas).collect::<Vec<_>>();
    let of = |plan: &model::Plan| (plan.region.clone(), plan.zones.clone(), replicas(plan));
    of(&other) != of(plan)
}

#[test]
fn the_search_finds_what_trying_everything_finds_and_the_verifier_agrees() {
    let (mut tight, mut impossible, mut compared) = (0, 0, 0);
    let (mut by_machine, mut by_gateway, mut decided) = (0, 0, 0);
    let mut beaten = BTreeMap::new();
    for seed in 0..260 {
        let case = case(seed);
        let options = Options { catalog: case.catalog.clone(), provider: None };
        let planned = match certified(&case.app, &options) {
            Ok(planned) => planned,
            // Nothing in a reduced catalogue may hold a part.
            Err(error) => {
                assert_eq!(try_everything(&case), None, "seed {seed}: {error}");
                continue;
            }
        };
        compared += 1;
        let found = planned.proof.incumbent.as_ref().map(|incumbent| Money(incumbent.micro_usd));
        assert_eq!(found, try_everything(&case), "seed {seed}: {:?}", planned.plan.missed);
        assert_eq!(planned.plan.certificate.gap, 0.0, "seed {seed}");
        let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
        match verify(&case.app, &options, &stored) {
            Ok(verified) => {
                assert_eq!((verified.gap, verified.topologies), (0.0, planned.proof.places()))
            }
            Err(refused) => panic!("seed {seed}: {refused}"),
        }
        impossible += u32::from(found.is_none());
        let spare = |planned: &&model::PlannedService| planned.replicas > planned.needed_at_peak;
        tight += u32::from(planned.plan.services.iter().any(|service| spare(&service)));
        let other_way = |one: &&Topology| one.closed == Closed::OtherWay;
        for topology in planned.proof.topologies.iter().filter(other_way) {
            *beaten.entry(topology.nat).or_insert(0) += 1;
        }
        if found.is_some() && pays_in_two_ways(&case, &planned.plan) {
            let is = |line: &model::PlanLine| line.item == BEHIND;
            *(if planned.plan.lines.iter().any(is) { &mut by_machine } else { &mut by_gateway }) += 1;
            decided += u32::from(would_differ_by_the_gateway(&case, &planned.plan));
        }
    }
    assert!(
        by_machine >= 40 && by_gateway >= 40 && decided >= 20,
        "of two ways to pay {by_machine} by machine and {by_gateway} by gateway; {decided} are other plans for it"
    );
    assert!(beaten[&Nat::Machine] > 100 && beaten[&Nat::Gateway] > 100, "not searched: {beaten:?}");
    assert!(compared >= 200, "only {compared} were compared");
    assert!(tight > 50 && (10..150).contains(&impossible), "{tight} with a reserve, {impossible} impossible");
}

/// What is offered when nothing keeps every objective is found without a search, and pays for its ways out as it is less, too.
#[test]
fn every_plan_that_is_weighed_costs_what_its_bill_comes_to() {
    let (mut settled, limits) = (0, Limits { down: None, survive: Survive::Nothing, forbidden: false });
    for seed in 0..40 {
        let case = case(seed);
        let options = Options { catalog: case.catalog.clone(), provider: None };
        let ground = Ground::new(&case.app, &options, &Terms::default()).unwrap();
        let Ok(space) = ground.space() else { continue };
        for candidate in space.corners(limits, &mut Effort::default()) {
            assert_eq!(candidate.cost, bill(&case.app, &candidate), "seed {seed}");
            settled += 1;
        }
    }
    assert!(settled > 100, "{settled}");
}

#[test]
fn twenty_services_are_planned_exactly() {
    let mut app = cloud();
    app.placement.regions = vec![Region("europe-west3".into())];
    app.objectives.budget = None;
    app.services = (0..20)
        .map(|index| {
            let mut one = service(&format!("s{index}"), 40.0 + 97.0 * f64::from(index));
            one.resources.memory = Bytes((1 + index as u64 % 5) << 29);
            one
        })
        .collect();
    app.ingress[0].to = app.services[0].name.clone();
    for minutes in [88.0, 90.0, 95.0, 120.0, 600.0] {
        app.objectives.availability = Some(Availability { unavailability: minutes / (8_766.0 * 60.0) });
        let options = Options::default();
        let planned = certified(&app, &options).unwrap();
        assert_eq!(planned.plan.certificate.gap, 0.0, "{minutes}: {:?}", planned.plan.certificate);
        let verified = verify(&app, &options, &to_json(&planned.plan, Some(&planned.proof), 0.0));
        assert_eq!(verified.map(|verified| verified.gap), Ok(0.0), "{minutes}");
    }
}
