use expect_test::{Expect, expect};
use model::{Database, DatabaseName, Duration, Load, Rate, WhenAlone};

use super::*;
use crate::tests::{cloud, few, options, service};
use crate::{certified_on, diff, plan};

pub(crate) fn shop_with_a_database() -> App {
    let mut app = cloud();
    app.services.push(service("api", 150.0));
    app.objectives.survive = vec![Scope::Zone];
    app.objectives.rto.zone = Some(Duration(60_000));
    app.databases = vec![Database {
        name: DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "50G".parse().unwrap(),
        standbys: 2,
        auto: false,
        managed: model::Managed::No,
        witness: false,
        writes: Some(Rate(80.0)),
        when_alone: WhenAlone::Block,
    }];
    app
}

fn made(app: &App, changes: &[Change]) -> Result<(App, Options, Terms), ChangeError> {
    let (mut app, mut options, mut terms) = (app.clone(), options(), Terms::default());
    for change in changes {
        change.make(&mut app, &mut options, &mut terms)?;
    }
    Ok((app, options, terms))
}

/// The difference that changes make to the plan.
#[track_caller]
fn check(changes: &[Change], expect: Expect) {
    let before = shop_with_a_database();
    let (app, changed, terms) = made(&before, changes).unwrap();
    let after = certified_on(&app, &changed, &terms).unwrap().plan;
    expect.assert_eq(&diff(&plan(&before, &options()).unwrap(), &after));
}

/// Two places, and coordinates.
fn find(name: &str) -> Result<(f64, f64), String> {
    let degrees: Vec<f64> = name.split([' ', ',']).filter_map(|part| part.parse().ok()).collect();
    match (name, &degrees[..]) {
        ("Frankfurt", _) => Ok((50.12, 8.68)),
        ("New York" | "New York, US", _) => Ok((40.71, -74.01)),
        (_, &[north, east]) => Ok((north, east)),
        _ => Err("a place that is known".to_owned()),
    }
}

fn what_if(text: &str) -> Vec<Change> {
    changes(text, &find).unwrap()
}

#[test]
fn caches_change_like_anything_else() {
    let mut app = shop_with_a_database();
    app.caches = vec![crate::cache::tests::cache("2G", 1, 0)];
    let check = |text: &str, expected: &dyn Fn(&App) -> bool| {
        let (app, ..) = made(&app, &what_if(text)).unwrap();
        assert!(expected(&app), "{text}: {:?}", app.caches);
    };
    check("replicas 1", &|app| app.caches[0].replicas == 1);
    check("replicas cache 2", &|app| app.caches[0].replicas == 2);
    check("memory x2", &|app| app.caches[0].memory == Bytes(4 << 30));
    check("memory cache 8G", &|app| app.caches[0].memory == Bytes(8 << 30));
    check("loss cache tolerated", &|app| !app.caches[0].is_needed());
    check("loss tolerated, loss outage", &|app| app.caches[0].is_needed());
    check("assume takeover_cache 5s", &|app| app.assume["takeover_cache.seconds"] == 5.0);
    let without: Vec<Change> = vec![Change::without("cache")];
    assert!(made(&app, &without).unwrap().0.caches.is_empty());
    for (text, says) in [
        ("replicas other 1", "there is no cache `other` with `replicas` in the file"),
        ("loss cache maybe", "`outage` or `tolerated`"),
        ("replicas cache x2", "`x2`"),
    ] {
        let error = changes(text, &find).and_then(|all| made(&app, &all).map(drop)).unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    let none = made(&shop_with_a_database(), &what_if("replicas 1")).unwrap_err();
    assert!(none.to_string().contains("no cache of the file says its `replicas`"), "{none}");
    // More of one than can be planned is told by the planner.
    let (many, options, terms) = made(&app, &what_if("replicas 9")).unwrap();
    let error = certified_on(&many, &options, &terms).unwrap_err();
    assert!(error.to_string().contains("at most 5 are planned"), "{error}");
}

#[test]
fn a_change_shows_what_starts_ends_and_costs() {
    check(
        &what_if("load x2"),
        expect![[r#"
            ~ api: 2 -> 6 replicas, 1 -> 2 needed at peak
            ~ web: 5 -> 8 replicas, 3 -> 5 needed at peak
            ~ db: writes 80rps -> 160rps
            ~ 2003 -> 4006 x GB between zones for db: 20.03 -> 40.06 USD/month (+20.03)
            ~ 40 -> 60 x GB of disk for api: 3.81 -> 5.71 USD/month (+1.90)
            ~ 60 -> 100 x GB of disk for web: 5.71 -> 9.52 USD/month (+3.81)
            ~ 350 -> 701 x GB of forwarding rule traffic: 2.80 -> 5.61 USD/month (+2.80)
            ~ 350 -> 701 x GB of traffic to the internet: 42.05 -> 84.10 USD/month (+42.05)
            ~ 8 -> 11 x machine behind the NAT gateway: 8.18 -> 11.24 USD/month (+3.07)
            ~ 2 -> 3 x n4-standard-2 for api: 156.26 -> 234.39 USD/month (+78.13)
            ~ 3 -> 5 x n4-standard-2 for web: 234.39 -> 390.64 USD/month (+156.26)
              USD/month: 738.55 -> 1046.60 (+308.05)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 86.1
              objectives: met -> missed
                - the budget is 900.00 USD/month, and this costs 1046.60, 146.60 more
        "#]],
    );
    check(
        &what_if("load api 1200rps, availability 99.9%"),
        expect![[r#"
            ~ api: 2 -> 11 replicas, 1 -> 7 needed at peak
            ~ 2003 -> 2616 x GB between zones for db: 20.03 -> 26.16 USD/month (+6.13)
            ~ 40 -> 60 x GB of disk for api: 3.81 -> 5.71 USD/month (+1.90)
            ~ 8 -> 9 x machine behind the NAT gateway: 8.18 -> 9.20 USD/month (+1.02)
            - 2 x n4-standard-2 for api: 156.26 USD/month
            + 3 x n4-standard-4 for api: 468.77 USD/month
              USD/month: 738.55 -> 1060.13 (+321.57)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 86.2
              objectives: met -> missed
                - the budget is 900.00 USD/month, and this costs 1060.13, 160.13 more
        "#]],
    );
    check(
        &what_if("prices gcp +50%"),
        expect![[r#"
            ~ place: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c -> aws eu-central-1, zones eu-central-1a eu-central-1b eu-central-1c
            ~ machines: each service and database has its own -> one a zone holds everything
            ~ db: nodes stand elsewhere
            ~ 2003 x GB between zones for db: 20.03 -> 40.06 USD/month (+20.03)
            - 40 x GB of disk for api: 3.81 USD/month
            - 210 x GB of disk for db: 19.99 USD/month
            - 60 x GB of disk for web: 5.71 USD/month
            + 210 x GB of disk for web, api and db: 19.99 USD/month
            - 350 x GB of forwarding rule traffic: 2.80 USD/month
            ~ 350 x GB of traffic to the internet: 42.05 -> 31.54 USD/month (-10.51)
            + 3 x NAT gateway: 98.55 USD/month
            + 1 x application load balancer: 16.43 USD/month
            + 3 x c6i.2xlarge for web, api and db: 849.72 USD/month
            - 1 x forwarding rule: 7.30 USD/month
            + 1 x load balancer capacity unit: 5.84 USD/month
            - 8 x machine behind the NAT gateway: 8.18 USD/month
            - 2 x n4-standard-2 for api: 156.26 USD/month
            - 3 x n4-standard-2 for db: 234.39 USD/month
            - 3 x n4-standard-2 for web: 234.39 USD/month
            ~ 1 -> 6 x public address: 3.65 -> 21.90 USD/month (+18.25)
              USD/month: 738.55 -> 1084.03 (+345.48)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 86.3
              objectives: met -> missed
                - the budget is 900.00 USD/month, and this costs 1084.03, 184.03 more
        "#]],
    );
    check(
        &what_if("standbys 0"),
        expect![[r#"
            ~ place: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c -> alicloud eu-central-1, zones eu-central-1a eu-central-1b
            ~ api: 2 -> 4 replicas, 1 -> 2 needed at peak
            ~ web: 5 -> 6 replicas
            ~ db: postgres:15, 3 nodes, quorum -> postgres:15, 1 node, no failover
            ~ 2003 -> 241 x GB between zones for db: 20.03 -> 4.82 USD/month (-15.21)
            ~ 210 -> 70 x GB of disk for db: 19.99 -> 6.66 USD/month (-13.33)
            ~ 60 -> 40 x GB of disk for web: 5.71 -> 3.81 USD/month (-1.90)
            - 350 x GB of forwarding rule traffic: 2.80 USD/month
            ~ 350 x GB of traffic to the internet: 42.05 -> 43.10 USD/month (+1.05)
            + 1 x NAT gateway: 32.85 USD/month
            + 1 x application load balancer: 16.43 USD/month
            + 2 x ecs.c7.large for api: 111.27 USD/month
            + 2 x ecs.c7.xlarge for web: 222.73 USD/month
            + 1 x ecs.g7.large for db: 65.98 USD/month
            - 1 x forwarding rule: 7.30 USD/month
            + 1 x load balancer capacity unit: 5.84 USD/month
            - 8 x machine behind the NAT gateway: 8.18 USD/month
            - 2 x n4-standard-2 for api: 156.26 USD/month
            - 3 x n4-standard-2 for db: 234.39 USD/month
            - 3 x n4-standard-2 for web: 234.39 USD/month
            ~ 1 -> 3 x public address: 3.65 -> 10.95 USD/month (+7.30)
              USD/month: 738.55 -> 528.25 (-210.31)
              availability: 99.983% -> 99.951%
              downtime min/year: 86.1 -> 253.6
              objectives: met -> missed
                - `survive: [zone]` was asked, and `db` has one node: nothing takes over (write `standbys: 2`)
                - `rto: { zone: 1m }` was asked, and for `db` it is repaired in about 4h
        "#]],
    );
    check(
        &what_if("storage x10, budget 100"),
        expect![[r#"
            ~ db: storage 50G -> 500G
            ~ 210 -> 1560 x GB of disk for db: 19.99 -> 148.51 USD/month (+128.52)
              USD/month: 738.55 -> 867.07 (+128.52)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 86.1
              objectives: met -> missed
                - the budget is 100.00 USD/month, and this costs 867.07, 767.07 more
        "#]],
    );
    check(
        &[Change::without("zone")],
        expect![[r#"
            ~ place: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c -> alicloud eu-central-1, zones eu-central-1a
            ~ api: 2 -> 4 replicas, 1 -> 2 needed at peak
            ~ db: nodes in 3 -> 1 zones
            - 2003 x GB between zones for db: 20.03 USD/month
            - 350 x GB of forwarding rule traffic: 2.80 USD/month
            ~ 350 x GB of traffic to the internet: 42.05 -> 43.10 USD/month (+1.05)
            + 1 x NAT gateway: 32.85 USD/month
            + 1 x application load balancer: 16.43 USD/month
            + 2 x ecs.c7.large for api: 111.27 USD/month
            + 3 x ecs.c7.large for web: 166.91 USD/month
            + 3 x ecs.g7.large for db: 197.93 USD/month
            - 1 x forwarding rule: 7.30 USD/month
            + 1 x load balancer capacity unit: 5.84 USD/month
            - 8 x machine behind the NAT gateway: 8.18 USD/month
            - 2 x n4-standard-2 for api: 156.26 USD/month
            - 3 x n4-standard-2 for db: 234.39 USD/month
            - 3 x n4-standard-2 for web: 234.39 USD/month
            ~ 1 -> 2 x public address: 3.65 -> 7.30 USD/month (+3.65)
              USD/month: 738.55 -> 611.14 (-127.41)
              availability: 99.983% -> 99.974%
              downtime min/year: 86.1 -> 133.9
              objectives: met -> met
        "#]],
    );
    check(
        &[Change::without("api")],
        expect![[r#"
            ~ machines: each service and database has its own -> one a zone holds everything
            - api: 2 replicas
            ~ 2003 -> 1916 x GB between zones for db: 20.03 -> 19.16 USD/month (-0.88)
            - 40 x GB of disk for api: 3.81 USD/month
            - 210 x GB of disk for db: 19.99 USD/month
            - 60 x GB of disk for web: 5.71 USD/month
            + 210 x GB of disk for web and db: 19.99 USD/month
            ~ 8 -> 3 x machine behind the NAT gateway: 8.18 -> 3.07 USD/month (-5.11)
            - 2 x n4-standard-2 for api: 156.26 USD/month
            - 3 x n4-standard-2 for db: 234.39 USD/month
            - 3 x n4-standard-2 for web: 234.39 USD/month
            + 3 x n4-standard-4 for web and db: 468.77 USD/month
              USD/month: 738.55 -> 566.79 (-171.76)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 86.3
              objectives: met -> met
        "#]],
    );
    check(
        &[Change::without("db")],
        expect![[r#"
            ~ place: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c -> gcp europe-west3, zones europe-west3-a europe-west3-b
            ~ machines: each service and database has its own -> one a zone holds everything
            ~ web: 5 -> 6 replicas
            - db: postgres:15, 3 nodes, quorum
            - 2003 x GB between zones for db: 20.03 USD/month
            - 40 x GB of disk for api: 3.81 USD/month
            - 210 x GB of disk for db: 19.99 USD/month
            - 60 x GB of disk for web: 5.71 USD/month
            + 40 x GB of disk for web and api: 3.81 USD/month
            ~ 8 -> 2 x machine behind the NAT gateway: 8.18 -> 2.04 USD/month (-6.13)
            - 2 x n4-standard-2 for api: 156.26 USD/month
            - 3 x n4-standard-2 for db: 234.39 USD/month
            - 3 x n4-standard-2 for web: 234.39 USD/month
            + 2 x n4-standard-4 for web and api: 312.52 USD/month
              USD/month: 738.55 -> 374.17 (-364.38)
              availability: 99.983% -> 99.983%
              downtime min/year: 86.1 -> 85.7
              objectives: met -> met
        "#]],
    );
}

#[test]
fn a_change_by_nothing_changes_nothing() {
    for text in [
        "load x1",
        "load api x1",
        "load web 400rps",
        "writes +0%",
        "prices x1",
        "standbys 2",
        "storage db 50G",
        "zones 3",
    ] {
        check(
            &what_if(text),
            expect![[r#"
            no changes
        "#]],
        );
    }
}

#[test]
fn a_loss_that_need_not_be_survived_leaves_nothing_of_what_it_asked_for() {
    let (app, _, terms) = made(&shop_with_a_database(), &[Change::without("zone")]).unwrap();
    assert!(app.objectives.survive.is_empty() && app.objectives.rto.zone.is_none() && terms.unreserved);
    // By default, with 99.9 % and more, there is a reserve for a zone as if it had been asked for.
    let by_default = made(&cloud(), &[Change::without("zone")]).unwrap();
    let less = certified_on(&by_default.0, &by_default.1, &by_default.2).unwrap().plan;
    assert!(less.feasible && less.usd_month < plan(&cloud(), &options()).unwrap().usd_month);
    let mut node = cloud();
    node.objectives.rto.node = Some(Duration(10_000));
    let (app, _, terms) = made(&node, &[Change::without("node")]).unwrap();
    assert!(app.objectives.rto.node.is_none() && !terms.unreserved, "the reserve for a zone stays");
}

#[test]
fn load_keeps_the_share_of_its_mean_and_takes_the_writes_along() {
    let mut app = shop_with_a_database();
    app.services[0].load = Some(Load { peak: Rate(400.0), mean: Some(Rate(120.0)), response: None });
    let load = |text: &str| {
        let (app, ..) = made(&app, &what_if(text)).unwrap();
        (app.services[0].load.unwrap(), app.services[1].load.unwrap().peak, app.databases[0].writes.unwrap())
    };
    let mean = |peak, mean| Load { peak: Rate(peak), mean: Some(Rate(mean)), response: None };
    assert_eq!(load("load x2"), (mean(800.0, 240.0), Rate(300.0), Rate(160.0)));
    assert_eq!(load("load web 200rps"), (mean(200.0, 60.0), Rate(150.0), Rate(80.0)));
    assert_eq!(load("writes db 40/s"), (mean(400.0, 120.0), Rate(150.0), Rate(40.0)));
}

#[test]
fn where_data_and_users_may_be_is_changed_whole() {
    let mut app = shop_with_a_database();
    app.placement.residency = vec!["US".into()];
    let placed = |text: &str| made(&app, &what_if(text)).unwrap().0.placement;
    assert_eq!(placed("residency EU CH").residency, ["EU", "CH"]);
    assert_eq!(placed("residency EU, CH, load x2").residency, ["EU", "CH"]);
    assert!(placed("residency any").residency.is_empty());
    let users = |text: &str| {
        let one = |users: Users| (users.place, users.north, users.share);
        placed(text).users.into_iter().map(one).collect::<Vec<_>>()
    };
    let of = |place: &str, north: f64, share: f64| (place.to_owned(), north, share);
    let three = [of("Frankfurt", 50.12, 0.7), of("New York, US", 40.71, 0.2), of("1.5, 9", 1.5, 0.1)];
    assert_eq!(users("users Frankfurt 70%, New York, US 20%, 1.5, 9 10%, load x2"), three);
    assert_eq!(users("users New York 50% Frankfurt 50%").len(), 2);
    assert_eq!(users("users New York"), [of("New York", 40.71, 1.0)]);
    // Thirds.
    assert_eq!(users("users Frankfurt 33% New York 33% 1 2 33%").len(), 3);
    assert!(users("users none").is_empty());
    let several = what_if("users Frankfurt 70%, New York 30%, residency EU, US, rpo zone 0s");
    assert_eq!(
        several.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        "users Frankfurt 70%, New York 30%; residency EU, US; rpo zone 0s"
    );
    let mut here = Options { catalog: crate::Catalog::default(), provider: None };
    for text in ["residency EU", "users Frankfurt"] {
        let error = what_if(text)[0].make(&mut app.clone(), &mut here, &mut Terms::default()).unwrap_err();
        assert!(error.to_string().contains("where this machine is, is not known"), "{error}");
    }
}

#[test]
fn what_another_residency_and_other_users_cost_is_told_with_their_round_trips() {
    let mut app = cloud();
    app.placement.regions.clear();
    app.objectives.budget = None;
    app.objectives.availability = "99.9%".parse().ok();
    let (service, p99) = (app.services[0].name.clone(), Duration(50));
    app.objectives.latency = Some(model::Latency { service, p99, load: None });
    let told = |changes: &str| {
        let (changed, options, terms) = made(&app, &what_if(changes)).unwrap();
        let before = plan(&app, &options).unwrap();
        diff(&before, &certified_on(&changed, &options, &terms).unwrap().plan)
    };
    expect![[r#"
        ~ place: gcp us-east4, zones us-east4-a us-east4-b us-east4-c -> gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c
        ~ 60 x GB of disk for web: 4.80 -> 5.71 USD/month (+0.91)
        ~ 3 x n4-standard-2 for web: 198.63 -> 234.39 USD/month (+35.75)
          USD/month: 262.30 -> 298.97 (+36.67)
          availability: 99.983% -> 99.983%
          downtime min/year: 85.8 -> 85.8
          objectives: met -> met
    "#]].assert_eq(&told("residency EU"));
    expect![[r#"
        + users in Frankfurt: 1%, round trip 131 ms
        + users in New York: 99%, round trip 7 ms
          USD/month: 262.30 -> 262.30 (+0.00)
          availability: 99.983% -> 99.983%
          downtime min/year: 85.8 -> 85.8
          objectives: met -> met
    "#]]
    .assert_eq(&told("users New York 99%, Frankfurt 1%"));
    assert_eq!(told("users none, residency any"), "no changes\n");
    // What leaves out everything says what would not, as for a file.
    let (changed, options, _) = made(&app, &what_if("users Frankfurt 50% New York 50%")).unwrap();
    assert!(plan(&changed, &options).unwrap_err().hint().unwrap().contains("p99: "));
}

#[test]
fn what_is_no_change_is_refused_with_what_would_be_one() {
    let refused = |text: &str| {
        let error =
            changes(text, &find).and_then(|changes| made(&shop_with_a_database(), &changes).map(drop));
        error.unwrap_err().to_string()
    };
    expect![[r#"
        `faster` is no change that is known; there are
          load [SERVICE] x2            `load` of every service (and `writes` of every database), or of one
          load SERVICE 800rps          `load.peak`; the mean keeps its share of it
          writes [DATABASE] x2         `writes` of every database, or of one; also `writes DATABASE 200/s`
          storage [DATABASE] x2        `storage`; also `storage DATABASE 200G`
          prices [PROVIDER] +20%       every price of the catalogue, or those of one provider
          availability 99.99%          `objectives.availability`, or `availability none`
          budget 500                   `objectives.budget` in USD/month, or `budget none`
          survive zone                 `objectives.survive`: `zone`, `node`, `zone node` or `nothing`
          rto zone 30s                 `objectives.rto` of a `node`, `zone` or `region`, or `none`; `rpo` likewise
          scale.max [SERVICE] 12       `scale.max` of every service, or of one
          standbys [DATABASE] 1        `standbys` of every database, or of one; `auto`: those of the cheapest plan
          replicas [CACHE] 1           `replicas` of every cache, or of one; also `memory [CACHE] x2` or `4G`
          loss [CACHE] tolerated       `loss` of every cache, or of one; also `outage`
          run_by [DATABASE] provider   `run_by` of every database, or of one; also `evenkeel` or `auto`
          zones 2                      `placement.zones`
          machines apart               `placement.machines`: `apart`, `together` or `any`
          residency EU CH              `placement.residency`: laws or countries, or `residency any`
          users Paris 70% Oslo 30%     `placement.users`: places with their shares, or `users none`
          assume zone_outage.hours 12  one of `assume:`, also as the file has it: `assume deploy_repair 3m`"#]].assert_eq(&refused("faster"));
    let texts = [
        "load 2x",
        "load x0",
        "load x-1",
        "load xNaN",
        "load x1e9",
        "load web 5",
        "load www x2",
        "load",
        "load a b c",
        "availability 100%",
        "availability 99.99",
        "budget -1",
        "budget inf",
        "survive region",
        "rto zone",
        "rto continent 5s",
        "rpo zone 5",
        "standbys two",
        "standbys main 2",
        "zones -1",
        "prices +20",
        "prices azure x2",
        "assume zone_outage.hours NaN",
        "assume deploy_repair often",
        "assume deploy_failures 4/day",
        "residency",
        "residency eu",
        "residency EU, XX",
        "residency any EU",
        "residency none",
        "users",
        "users Frankfort",
        "users Frankfurt 70%",
        "users Frankfurt 70%, New York",
        "users Frankfurt 70% 30%",
        "users Frankfurt 0%, New York 100%",
        "users Frankfurt 70%, New York 3e1%",
        "users none 100%",
        "users 50.1 8.7 60%, laod x2",
        "",
    ];
    let told = texts.map(|text| refused(text).lines().next().unwrap_or_default().to_owned() + "\n");
    expect![[r#"
        `load 2x`: `2x` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load x0`: `x0` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load x-1`: `x-1` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load xNaN`: `xNaN` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load x1e9`: `x1e9` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load web 5`: `5` is wrong; expected a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or a rate such as `800rps`
        `load www x2`: there is no service `www` with `load` in the file
        `load` is no change that is known; there are
        `load a b c` is no change that is known; there are
        `availability 100%`: `100%` is wrong; expected a percentage from 0% to below 100%, such as `99.95%`, or `none`
        `availability 99.99`: `99.99` is wrong; expected a percentage from 0% to below 100%, such as `99.95%`, or `none`
        `budget -1`: `-1` is wrong; expected USD a month from 0, or `none`
        `budget inf`: `inf` is wrong; expected USD a month from 0, or `none`
        `survive region`: `region` is wrong; expected `zone`, `node` or `nothing`
        `rto zone` is no change that is known; there are
        `rto continent 5s`: `continent` is wrong; expected `node`, `zone` or `region`
        `rpo zone 5`: `5` is wrong; expected a duration with its unit, such as `500ms`, `10s`, `5m`, `12h` or `30d`, or `none`
        `standbys two`: `two` is wrong; expected a plain number, or `auto`
        `standbys main 2`: there is no database `main` with `standbys` in the file
        `zones -1`: `-1` is wrong; expected a plain number
        `prices +20`: `+20` is wrong; expected a factor above 0 such as `x2`, `x0.5`, `+20%` or `-10%`
        `prices azure x2`: the catalogue has no provider `azure`
        `assume zone_outage.hours NaN`: `NaN` is wrong; expected a plain number of hours, or a duration such as `3m`
        `assume deploy_repair often`: `often` is wrong; expected a plain number of hours, or a duration such as `3m`
        `assume deploy_failures 4/day`: `4/day` is wrong; expected a plain number, or `4/year`
        `residency` is no change that is known; there are
        `residency eu`: `eu` is wrong; expected `EU`
        `residency EU, XX`: `XX` is wrong; expected `any`, or a law or country that has a region: AE AU BH BR CA CH CN DE ES EU IL IN JP MX MY NZ SG TH TW US
        `residency any EU`: `any` is wrong; expected laws and countries, or `any` alone
        `residency none`: `none` is wrong; expected `any`, or a law or country that has a region: AE AU BH BR CA CH CN DE ES EU IL IN JP MX MY NZ SG TH TW US
        `users` is no change that is known; there are
        `users Frankfort`: `Frankfort` is wrong; expected a place that is known
        `users Frankfurt 70%`: `70%` is wrong; expected shares that come to 100% together
        `users Frankfurt 70%, New York`: `New York` is wrong; expected the share of the users after the place, such as `30%`
        `users Frankfurt 70% 30%`: `30%` is wrong; expected a place before its share, such as `Paris 70%`
        `users Frankfurt 0%, New York 100%`: `0%` is wrong; expected a share above 0% and at most 100%
        `users Frankfurt 70%, New York 3e1%`: `3e1%` is wrong; expected a share above 0% and at most 100%
        `users none 100%`: `none` is wrong; expected a place that is known
        `users 50.1 8.7 60%, laod x2`: `laod x2` is wrong; expected the share of the users after the place, such as `30%`
        `` is no change that is known; there are
    "#]].assert_eq(&told.concat());
    let without =
        |name: &str| made(&shop_with_a_database(), &[Change::without(name)]).unwrap_err().to_string();
    expect![[r#"
        `without www`: there is no service, database or cache `www` in the file; there are `web`, `api`, `db`, and `zone` and `node` leave out what their loss asks for
        `without node`: nothing in the file asks that the loss of a node is survived
    "#]].assert_eq(&format!("{}\n{}\n", without("www"), without("node")));
    assert!(
        made(&cloud(), &[Change::without("web")])
            .unwrap_err()
            .to_string()
            .ends_with("the only service of the file")
    );
    assert!(
        made(&cloud(), &what_if("standbys 1")).unwrap_err().to_string().contains("no database of the file")
    );
}

#[test]
fn every_form_that_is_told_about_is_one() {
    for (form, what) in FORMS {
        let named = form.replace("SERVICE", "web").replace("DATABASE", "db").replace("PROVIDER", "aws");
        let all: Vec<&str> = form.split(' ').filter(|word| !word.starts_with('[')).collect();
        for text in [named.replace(['[', ']'], ""), all.join(" ").replace("SERVICE", "web")] {
            changes(&text, &|_| Ok((1.0, 2.0))).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        assert!(!what.is_empty());
    }
}

#[test]
fn prices_of_a_provider_are_changed_and_no_others() {
    let mut changed = options();
    what_if("prices gcp x2")[0].make(&mut cloud(), &mut changed, &mut Terms::default()).unwrap();
    for (one, other) in few().regions.iter().zip(&changed.catalog.regions) {
        let factor = if one.provider == "gcp" { 2.0 } else { 1.0 };
        assert_eq!(one.machines[0].price.usd * factor, other.machines[0].price.usd);
        assert!(one.units.iter().all(|(unit, price)| price.usd * factor == other.units[unit].usd));
    }
}

/// What `--why` and the page print can be said in the file and to `--what-if`.
#[test]
fn an_assumption_may_be_written_as_the_file_has_it() {
    let assumed = |text: &str| {
        let (mut app, mut options, mut terms) = (cloud(), Options::default(), Terms::default());
        text.parse::<Change>().unwrap().make(&mut app, &mut options, &mut terms).unwrap();
        let set: Vec<String> = app.assume.iter().map(|(name, value)| format!("{name} {value}")).collect();
        set.join(", ")
    };
    let texts = [
        "assume deploy_repair 3m",
        "assume deploy_failures.hours 0.05",
        "assume deploy_failures 6/year",
        "assume zone_outage.per_year 0.5",
        "assume zone_outage.hours 30m",
        "assume takeover_quorum 1500ms",
        "assume takeover_lease 9",
        "assume write 2K",
        "assume response 12.5",
        "assume detour 1.5",
    ];
    expect![[r#"
        deploy_failures.hours 0.05
        deploy_failures.hours 0.05
        deploy_failures.per_year 6
        zone_outage.per_year 0.5
        zone_outage.hours 0.5
        takeover_quorum.seconds 1.5
        takeover_lease.seconds 9
        write.kilobytes 2.048
        response.kilobytes 12.5
        detour.times 1.5"#]]
    .assert_eq(&texts.map(assumed).join("\n"));
}
