//! Databases in a plan: layout, price, availability, and what is said about them.

use expect_test::expect;
use model::{
    Database, DatabaseName, Duration, Mode, PerScope, Plan, PlannedDatabase, Rate, Scope, WhenAlone,
};

use crate::tests::{cloud, made, page, shop, small_shop};
use crate::{Options, PlanError, diff, plan, to_json};

fn db(standbys: u8) -> Database {
    Database {
        name: DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "100G".parse().unwrap(),
        standbys,
        auto: false,
        managed: model::Managed::No,
        writes: Some(Rate(50.0)),
        witness: false,
        when_alone: WhenAlone::Block,
    }
}

fn with(mut app: model::App, standbys: u8) -> model::App {
    app.databases = vec![db(standbys)];
    app
}

fn nodes(plan: &Plan) -> String {
    let node = |node: &model::PlannedNode| format!("{} {}", node.name, node.zone);
    plan.databases[0].nodes.iter().map(node).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_plan_for_this_machine_shows_the_database_with_nodes_and_zones() {
    page(
        &made(&with(shop(), 2)),
        expect![[r#"
            plan for shop: this machine, zones a b c
                                     planned       asked
              USD/month                 0.00           -
              availability           99.983%     99.950%
              downtime min/year         86.0       263.0
              objectives met             yes
              - the fewest replicas over these assumptions (26 of them) and this space (version 8): gap 0

            services
              web  5 replicas, 3 at peak  (a 2, b 2, c 1)

            databases
              db  postgres:15, 3 nodes, quorum  (db-1 in a, db-2 in b, db-3 in c)

            bill, USD a month
                    0.00  5 x replica of web on this machine at 0.00
              - price: this machine is not billed
                    0.00  3 x node of db on this machine at 0.00
              - price: this machine is not billed
                    0.00  in all

            downtime, minutes a year
                   40.0  bad deploys
                   30.0  loss of the region
                   15.6  human error
                    0.2  loss of zones
                    0.1  failovers of `db`
                    0.1  loss of nodes of `db`
                 8.8e-5  loss of machines of `web`

            data lost, times a year
                5.4e-12  `db`  (in 5.4e-10 % of years)
              - everything, with the disks of all 3 copies before one is copied anew

            why
              - 3 of the 5 replicas of `web` carry the peak; the rest is reserve
              - `db` acknowledges a write when 2 of its 3 nodes have it: losing any 1 loses nothing and stops
                writes for about 2 s, losing 2 stops them
              - most downtime comes from bad deploys: 40.0 of 86.0 minutes a year
              - no machine or zone buys that off; fewer or shorter bad deploys do

            not taken
              - next smaller: it breaks the reserve for a loss (this machine, 3 zones: web x4, db x3; 0.00
                USD/month, 99.974%)

            assumed
              - `survive` was left out: with 99.9% or more over several zones, losing any one of them at peak
                load must not need new replicas
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
              - availability is that of the same layout with each zone a data centre and each replica a machine;
                this run on one machine is not highly available
        "#]],
    );
}

#[test]
fn a_plan_for_a_cloud_pays_for_the_machines_and_disks_of_the_database() {
    let plan = made(&with(cloud(), 2));
    let lines = plan
        .lines
        .iter()
        .map(|line| format!("{} x {} at {:.2}: {}", line.quantity, line.item, line.unit_usd, line.usd_month));
    expect![[r#"
        3 x n4-standard-4 for web and db at 156.26: 468.77
        360 x GB of disk for web and db at 0.10: 34.27
        1 x forwarding rule at 7.30: 7.30
        350.4 x GB of forwarding rule traffic at 0.01: 2.80
        3 x machine behind the NAT gateway at 1.02: 3.07
        1 x public address at 3.65: 3.65
        350.4 x GB of traffic to the internet at 0.12: 42.05
        1284.8 x GB between zones for db at 0.01: 12.85"#]]
    .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_database_decides_where_it_is_cheapest_too() {
    // Not Alibaba Cloud: where no place has three zones, two of them are offered, which is cheaper and less.
    for standbys in 0..=Database::STANDBYS_MAX {
        let plan = made(&with(cloud(), standbys));
        for provider in ["aws", "gcp"] {
            let mut other = with(cloud(), standbys);
            other.placement.providers = vec![provider.into()];
            let other = made(&other);
            assert!(!other.feasible || plan.usd_month <= other.usd_month, "{standbys} {provider}");
        }
    }
}

#[test]
fn the_first_node_is_in_the_first_zone_and_more_standbys_rename_none() {
    let mut before = String::new();
    for standbys in 0..=Database::STANDBYS_MAX {
        let plan = made(&with(shop(), standbys));
        let now = nodes(&plan);
        assert!(now.starts_with(&before), "{before} -> {now}");
        let each = plan
            .zones
            .iter()
            .map(|zone| plan.databases[0].nodes.iter().filter(|node| node.zone == *zone).count());
        let each: Vec<usize> = each.collect();
        assert!(each.iter().max().unwrap() - each.iter().min().unwrap() <= 1, "{each:?}");
        before = now;
    }
    assert_eq!(before, "db-1 a, db-2 b, db-3 c, db-4 a, db-5 b");
}

#[test]
fn equal_descriptions_have_equal_versions() {
    let version = |database: &Database| crate::database_version(database);
    assert_eq!(version(&db(2)), version(&db(2)));
    assert_ne!(version(&db(2)), version(&db(3)));
    assert_ne!(version(&db(2)), version(&Database { when_alone: WhenAlone::Degrade, ..db(2) }));
    // Nodes keep their version over a new binary of evenkeel, so this number may not change.
    expect!["3f583b1dda8cb165"].assert_eq(&format!("{:016x}", version(&db(2))));
}

/// Unavailability of the database beside what the shop has without it, in minutes a year.
fn minutes(standbys: u8, zones: u8) -> f64 {
    let mut app = shop();
    app.placement.zones = zones;
    app.objectives.availability = None;
    // One of six replicas is enough, so that what is seen is the database.
    app.services[0].load = Some(model::Load { peak: Rate(1.0), mean: None, response: None });
    app.services[0].scale.min = 6;
    let without = made(&app).availability.downtime_min_year();
    made(&with(app, standbys)).availability.downtime_min_year() - without
}

#[test]
fn three_nodes_over_three_zones_cost_seconds_and_one_node_hours() {
    // One node: down by itself (4/year of 30 min) and with its zone (0.2/year of 4 h).
    let expected = (4.0 * 0.5 + 0.2 * 4.0) * 60.0;
    assert!((minutes(0, 3) - expected).abs() < 0.5, "{}", minutes(0, 3));
    // Three: a failover of 2 s whenever the primary's machine or zone fails, and two losses at once.
    let failovers = (4.0 + 0.2) * 2.0 / 60.0;
    let three = minutes(2, 3);
    assert!(three > failovers && three < failovers + 0.4, "{three}");
    // Two zones: the one with two nodes takes the majority with it.
    assert!((minutes(2, 2) - 0.2 * 4.0 * 60.0).abs() < 1.0, "{}", minutes(2, 2));
    assert!(minutes(4, 3) < minutes(2, 3));
    // Four nodes need three: safer than none, no better than three.
    assert!(minutes(3, 3) > minutes(2, 3));
}

#[test]
fn when_alone_block_is_counted_and_degrade_is_counted_no_better() {
    let mut app = with(shop(), 2);
    let block = made(&app);
    app.databases[0].when_alone = WhenAlone::Degrade;
    let degrade = made(&app);
    assert_eq!(block.availability, degrade.availability);
    expect!["`when_alone: degrade` of `db` is counted like `block`: whether the node that is left may go on depends on which one it is; what it acknowledges alone is lost with it"].assert_eq(degrade.assumed.iter().find(|line| line.contains("degrade")).unwrap());
}

fn missed(standbys: u8, zones: u8, change: impl Fn(&mut model::Objectives)) -> String {
    let mut app = with(shop(), standbys);
    app.placement.zones = zones;
    app.objectives.availability = None;
    change(&mut app.objectives);
    made(&app).missed.join("\n")
}

#[test]
fn a_quorum_over_three_zones_keeps_what_is_asked_of_a_node_and_a_zone() {
    let all = |objectives: &mut model::Objectives| {
        objectives.survive = vec![Scope::Node, Scope::Zone];
        objectives.rpo = PerScope { node: Some(Duration(0)), zone: Some(Duration(0)), region: None };
        objectives.rto =
            PerScope { node: Some(Duration(10_000)), zone: Some(Duration(60_000)), region: None };
    };
    assert_eq!(missed(2, 3, all), "");
    assert_eq!(missed(4, 3, all), "");
    expect![[r#"
        `survive: [node]` was asked, and `db` has one node: nothing takes over (write `standbys: 2`)
        `rto: { node: 10s }` was asked, and for `db` it is repaired in about 30m
        `rpo: { node: 0s }` was asked, and `db` may lose more: it has one node and no copy
        `survive: [zone]` was asked, and `db` has one node: nothing takes over (write `standbys: 2`)
        `rto: { zone: 1m }` was asked, and for `db` it is repaired in about 4h
        `rpo: { zone: 0s }` was asked, and `db` may lose more: it has one node and no copy"#]]
    .assert_eq(&missed(0, 3, all));
    expect![[r#"
        `rpo: { node: 0s }` was asked, and `db` may lose more: no write waits for its one standby, so up to 8s of them are lost with the primary (write `standbys: 2`)
        `rpo: { zone: 0s }` was asked, and `db` may lose more: no write waits for its one standby, so up to 8s of them are lost with the primary (write `standbys: 2`)"#]].assert_eq(&missed(1, 3, all));
    // What a lease does lose may be little enough.
    let some = |objectives: &mut model::Objectives| {
        objectives.rpo = PerScope { node: Some(Duration(8_000)), zone: Some(Duration(60_000)), region: None };
        objectives.rto =
            PerScope { node: Some(Duration(10_000)), zone: Some(Duration(60_000)), region: None };
    };
    assert_eq!(missed(1, 3, some), "");
    expect![[r#"
        `rto: { zone: 1m }` was asked, and for `db` it is repaired in about 4h
        `rpo: { zone: 1m }` was asked, and `db` may lose more: both of its nodes are in one zone"#]]
    .assert_eq(&missed(1, 1, some));
    expect![[r#"
        `survive: [zone]` was asked, and too many of the 3 nodes of `db` are in one of 2 zones (write `standbys: 2` and `zones: 3`)
        `rto: { zone: 1m }` was asked, and for `db` it is repaired in about 4h
        `rpo: { zone: 0s }` was asked, and `db` may lose more: a majority of its nodes is in one zone"#]].assert_eq(&missed(2, 2, all));
    // Four nodes: two of them in one zone leave two of the three that a write needs, but lose none.
    expect![[r#"
        `survive: [zone]` was asked, and too many of the 4 nodes of `db` are in one of 3 zones (write `standbys: 2` and `zones: 3`)
        `rto: { zone: 1m }` was asked, and for `db` it is repaired in about 4h"#]].assert_eq(&missed(3, 3, all));
}

#[test]
fn a_failover_faster_than_it_is_is_not_promised() {
    expect!["`rto: { zone: 1500ms }` was asked, and for `db` another node takes over in about 2s"]
        .assert_eq(&missed(2, 3, |objectives| objectives.rto.zone = Some(Duration(1_500))));
}

#[test]
fn a_database_alone_makes_no_plan_impossible_that_did_not_ask_for_it() {
    // `survive` is only a default here, and one zone of two cannot be outlived by a majority.
    let mut app = with(shop(), 2);
    app.placement.zones = 2;
    let plan = made(&app);
    assert!(plan.feasible, "{:?}", plan.missed);
    expect!["`db` acknowledges a write when 2 of its 3 nodes have it: losing any 1 loses nothing and stops writes for about 2 s, losing 2 stops them, and so does losing the zone with most of them"].assert_eq(plan.why.iter().find(|line| line.contains("`db`")).unwrap());
}

#[test]
fn a_cloud_with_too_few_zones_is_passed_over_for_one_with_three() {
    // The catalogue counts two zones for Alibaba Cloud.
    let mut app = with(cloud(), 2);
    assert_eq!(made(&app).zones.len(), 3, "by default too");
    app.objectives.survive = vec![Scope::Zone];
    app.objectives.budget = None;
    app.placement.providers = vec!["alicloud".into(), "aws".into()];
    let plan = made(&app);
    assert!(plan.feasible && plan.provider == "aws" && plan.zones.len() == 3, "{:?}", plan.missed);
    app.placement.providers = vec!["alicloud".into()];
    expect!["`survive: [zone]` was asked, and too many of the 3 nodes of `db` are in one of 2 zones (write `standbys: 2` and `zones: 3`)"].assert_eq(&made(&app).missed.join("\n"));
}

#[test]
fn two_copies_and_a_witness_lose_nothing_and_outlive_a_zone() {
    let mut app = with(shop(), 1);
    app.databases[0].witness = true;
    app.objectives.rpo = PerScope { node: Some(Duration(0)), zone: Some(Duration(0)), ..PerScope::default() };
    let plan = made(&app);
    assert!(plan.feasible, "{:?}", plan.missed);
    assert_eq!((plan.databases[0].mode, nodes(&plan).as_str()), (Mode::Quorum, "db-1 a, db-2 b, db-3 c"));
    assert_eq!(plan.databases[0].database.witness_number(), Some(3));
    expect!["`db` acknowledges a write when 2 of its 3 nodes have it, two copies of the data and a witness, which holds the log alone and never becomes primary: losing any 1 loses nothing, and losing the primary stops writes for about 2 s; losing 2 stops them"].assert_eq(plan.why.iter().find(|line| line.contains("`db`")).unwrap());
    let page = crate::render(&plan, &crate::Relaxed::default(), 100, false);
    assert!(
        page.contains("db  postgres:15, 2 copies and a witness, quorum  (db-1 in a, db-2 in b, db-3 in c)"),
        "{page}"
    );
    // A plan of an earlier version names none, and keeps its number.
    let three = serde_json::to_value(db(2)).unwrap();
    assert_eq!(three.get("witness"), None);
    assert_eq!(serde_json::from_value::<Database>(three).unwrap(), db(2));
    app.databases[0].standbys = 2;
    let refused = crate::plan(&app, &Options::default()).unwrap_err().to_string();
    expect!["`db` has a witness beside 2 standbys; a witness is the third vote of two copies: `standbys: 1`"]
        .assert_eq(&refused);
}

#[test]
fn two_nodes_are_planned_and_their_loss_is_said() {
    let plan = made(&with(shop(), 1));
    assert_eq!(plan.databases[0].mode, Mode::Lease);
    expect!["`db` has one standby, which follows behind: when the machine of its primary is lost, the standby takes over within 10s and at most the last 8s of writes are lost (RPO > 0); `witness: true` or `standbys: 2` loses nothing and takes over in about 2 s"].assert_eq(plan.why.iter().find(|line| line.contains("`db`")).unwrap());
    let page = crate::render(&plan, &crate::Relaxed::default(), 100, false);
    assert!(page.contains("db  postgres:15, 2 nodes, lease, RPO 8s  (db-1 in a, db-2 in b)"), "{page}");
    let single = made(&with(shop(), 0));
    expect![
        "`db` has one node: nothing takes over, and what is lost with its disk is lost; `standbys: 2` goes on"
    ]
    .assert_eq(single.why.iter().find(|line| line.contains("`db`")).unwrap());
}

#[test]
fn what_changes_about_a_database_is_shown() {
    let (none, three) = (made(&shop()), made(&with(shop(), 2)));
    expect![[r#"
        + db: postgres:15, 3 nodes, quorum
          USD/month: 0.00 -> 0.00 (+0.00)
          availability: 99.983% -> 99.983%
          downtime min/year: 85.7 -> 86.0
          objectives: met -> met
    "#]]
    .assert_eq(&diff(&none, &three));
    expect![[r#"
        ~ db: postgres:15, 3 nodes, quorum -> postgres:15, 5 nodes, quorum
          USD/month: 0.00 -> 0.00 (+0.00)
          availability: 99.983% -> 99.983%
          downtime min/year: 86.0 -> 85.9
          objectives: met -> met
    "#]]
    .assert_eq(&diff(&three, &made(&with(shop(), 4))));
    let mut app = with(shop(), 2);
    app.databases[0].storage = "200G".parse().unwrap();
    assert!(diff(&three, &made(&app)).contains("~ db: storage 100G -> 200G\n"));
}

#[test]
fn databases_that_make_no_sense_are_refused_by_name() {
    let check = |change: &dyn Fn(&mut model::App), expect: expect_test::Expect| {
        let mut app = with(cloud(), 2);
        change(&mut app);
        expect.assert_eq(&plan(&app, &Options::default()).unwrap_err().to_string());
    };
    check(
        &|app| app.databases = vec![db(2), db(0)],
        expect!["`db` is there twice; names of services and databases must differ"],
    );
    check(
        &|app| app.databases[0].name = DatabaseName::new("web").unwrap(),
        expect!["`web` is there twice; names of services and databases must differ"],
    );
    check(
        &|app| app.databases[0].name = DatabaseName::new(&"x".repeat(62)).unwrap(),
        expect![
            "the name of database `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is too long; it may have 61 letters"
        ],
    );
    check(&|app| app.databases[0].standbys = 5, expect!["`standbys` of `db` is 5; at most 4 are planned"]);
    check(
        &|app| app.databases[0].writes = Some(Rate(f64::NAN)),
        expect!["`writes` of `db` is NaNrps; it must be a finite rate from 0"],
    );
    check(
        &|app| app.databases[0].writes = Some(Rate(1e7)),
        expect!["no machine type in the catalogue holds a node of database `db` with 10000000rps of writes"],
    );
    let mut app = with(cloud(), 2);
    app.databases[0].writes = Some(Rate(1e7));
    let error = plan(&app, &Options::default()).unwrap_err();
    assert!(matches!(error, PlanError::DatabaseTooLarge { .. }));
}

#[test]
fn programs_get_nodes_zones_and_mode() {
    let json = to_json(&made(&with(shop(), 2)), None, 0.0);
    let database = &json["databases"][0];
    assert_eq!(database["mode"], "quorum");
    assert_eq!(database["nodes"][2], serde_json::json!({ "name": "db-3", "zone": "c" }));
    assert_eq!(database["engine"], "postgres:15");
    assert_eq!(to_json(&made(&shop()), None, 0.0)["databases"], serde_json::json!([]));
}

#[test]
fn a_plan_stored_before_there_were_databases_still_loads() {
    let mut stored = serde_json::to_value(made(&shop())).unwrap();
    stored.as_object_mut().unwrap().remove("databases").expect("it is written");
    let plan: Plan = serde_json::from_value(stored).unwrap();
    assert_eq!(plan.databases, Vec::<PlannedDatabase>::new());
}

#[test]
fn copies_on_the_same_machine_are_said_to_be_worth_nothing() {
    let told = |zones: u8, standbys: u8, machines: model::Sharing| {
        let mut app = with(small_shop(), standbys);
        (app.placement.zones, app.placement.machines) = (zones, Some(machines));
        app.objectives.availability = None;
        app.objectives.survive = if zones > 1 { vec![Scope::Zone] } else { vec![] };
        let why = made(&app).why;
        why.into_iter().any(|why| why.contains("all 3 are on the one machine, and are lost with it"))
    };
    assert!(told(1, 2, model::Sharing::Together));
    assert!(!told(1, 0, model::Sharing::Together));
    assert!(!told(1, 2, model::Sharing::Apart));
    assert!(!told(3, 2, model::Sharing::Together));
}
