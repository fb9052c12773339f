use expect_test::{Expect, expect};
use model::{App, Region};
use serde_json::{Value, json};

use crate::tests::{cloud, few};
use crate::{Catalog, Options, PlanError, Planned, Terms, certified, certified_on, plan, to_json, verify};

fn options() -> Options {
    Options { catalog: few().clone(), provider: None }
}

/// Anywhere, so that the cheapest is in Asia.
fn anywhere() -> App {
    let mut app = cloud();
    app.placement.regions.clear();
    app.objectives.budget = None;
    app
}

fn residing(codes: &[&str]) -> App {
    let mut app = anywhere();
    app.placement.residency = codes.iter().map(|code| (*code).to_owned()).collect();
    app
}

fn stored(app: &App) -> Value {
    let Planned { plan, proof } = certified(app, &options()).unwrap();
    to_json(&plan, Some(&proof), 0.0)
}

#[test]
fn a_plan_takes_no_region_outside_of_the_residency_and_pays_for_that() {
    let free = plan(&anywhere(), &options()).unwrap();
    let law = |plan: &model::Plan| {
        let is = |offer: &&crate::RegionOffer| offer.provider == plan.provider && offer.region == plan.region;
        few().regions.iter().find(is).unwrap().residency.clone()
    };
    assert_ne!(law(&free), "EU");
    for (codes, expected) in [(&["EU"][..], "EU"), (&["DE"], "EU"), (&["US", "CH"], "US")] {
        let kept = plan(&residing(codes), &options()).unwrap();
        assert_eq!(law(&kept), expected);
        assert!(kept.usd_month >= free.usd_month, "{} < {}", kept.usd_month, free.usd_month);
        let robust = certified_on(&residing(codes), &options(), &Terms::pessimistic("2026-11-29")).unwrap();
        assert!(robust.plan.usd_month >= kept.usd_month);
        verify(&residing(codes), &options(), &stored(&residing(codes))).unwrap();
    }
    // `GB` is the country, `UK` its law.
    let shipped = Options::default();
    for code in ["GB", "UK"] {
        let kept = plan(&residing(&[code]), &shipped).unwrap();
        assert!(
            ["eu-west-2", "europe-west2", "eu-west-1"].contains(&kept.region.as_str()),
            "{}",
            kept.region
        );
    }
    // The order says nothing.
    assert_eq!(
        plan(&residing(&["EU", "US"]), &options()).unwrap(),
        plan(&residing(&["US", "EU"]), &options()).unwrap()
    );
}

#[test]
fn a_certificate_for_a_plan_outside_of_the_residency_is_refused() {
    let own = residing(&["EU"]);
    let whole = stored(&own);
    verify(&own, &options(), &whole).unwrap();
    let refused = |changed: &Value| verify(&own, &options(), changed).unwrap_err().to_string();
    // A plan of the file without it.
    let free = stored(&anywhere());
    let told = refused(&free);
    assert!(told.ends_with("is not in the space"), "{told}");
    // What is cheaper elsewhere, with the proof that nothing inside is: every bound holds.
    let mut changed = free.clone();
    let inside = whole["certificate"]["proof"]["topologies"].clone();
    changed["certificate"]["proof"]["topologies"] = inside;
    let told = refused(&changed);
    assert!(told.contains("which the file does not allow"), "{told}");
    // A place outside as that of the plan alone.
    let mut changed = whole.clone();
    changed["region"] = free["region"].clone();
    changed["provider"] = free["provider"].clone();
    let told = refused(&changed);
    assert!(told.contains("which the file does not allow"), "{told}");
    // One region inside left out.
    let mut changed = whole;
    let topologies = changed["certificate"]["proof"]["topologies"].as_array_mut().unwrap();
    topologies.retain(|topology| topology["provider"] != json!("gcp"));
    let told = refused(&changed);
    assert!(told.contains("is left out"), "{told}");
}

/// Where nothing keeps every objective there is no cheapest plan, and the nearest one is inside, too.
#[test]
fn the_nearest_to_what_is_impossible_is_inside_too() {
    let mut app = residing(&["EU"]);
    app.objectives.availability = "99.9999%".parse().ok();
    let mut whole = stored(&app);
    assert_eq!(whole["feasible"], false);
    verify(&app, &options(), &whole).unwrap();
    whole["region"] = json!("us-east4");
    whole["provider"] = json!("gcp");
    let told = verify(&app, &options(), &whole).unwrap_err().to_string();
    assert_eq!(told, "the plan: it is in gcp us-east4, which the file does not allow");
}

#[track_caller]
fn nowhere(app: &App, options: &Options, expected: Expect) {
    let error = plan(app, options).unwrap_err();
    assert!(matches!(error, PlanError::Residency { .. }) && error.is_infeasible(), "{error}");
    expected.assert_eq(&format!("{error}\n{}", error.hint().unwrap()));
}

#[test]
fn a_residency_that_leaves_nothing_says_what_it_left_out_and_the_way_out() {
    nowhere(
        &residing(&["CH"]),
        &options(),
        expect![[r#"
            `placement.residency: [CH]` leaves out every region of aws, gcp, alicloud that may be planned; there the law is that of EU, SG, US
            add one of EU, SG, US to `residency`, or allow other regions or providers; `evenkeel catalog list` shows where the regions are"#]],
    );
    let shipped = Options::default();
    let mut app = residing(&["AE"]);
    app.placement.providers = vec!["gcp".into()];
    nowhere(
        &app,
        &shipped,
        expect![[r#"
            `placement.residency: [AE]` leaves out every region of gcp that may be planned; there the law is that of AU, BR, CA, CH, CL, EU, HK, ID, IL, IN, JP, KR, MX, QA, SG, TH, TW, UK, US, ZA
            alicloud would do: add it to `providers`; or add one of AU, BR, CA, CH, CL, EU, HK, ID, IL, IN, JP, KR, MX, QA, SG, TH, TW, UK, US, ZA to `residency`"#]],
    );
    app = residing(&["CN"]);
    app.placement.providers = vec!["alicloud".into()];
    nowhere(
        &app,
        &shipped,
        expect![[r#"
            `placement.residency: [CN]` leaves out every region of alicloud that may be planned; there the law is that of AE, EU, HK, ID, JP, KR, MY, PH, SG, TH, UK, US
            a region there is planned only when `placement.regions` names its id: cn-beijing, cn-chengdu, cn-fuzhou, cn-guangzhou, cn-hangzhou, cn-heyuan, cn-huhehaote, cn-nanjing, cn-qingdao, cn-shanghai, cn-shenzhen, cn-wuhan-lr, cn-wulanchabu, cn-zhangjiakou"#]],
    );
    // Named by its id it is planned.
    app.placement.regions = vec![Region("cn-beijing".into())];
    assert_eq!(plan(&app, &shipped).unwrap().region, "cn-beijing");
    // What its reasons leave out is not searched.
    crate::explain(&app, &shipped, &Terms::default(), "2026-11-29").unwrap();
    app.placement.residency = vec!["SG".into()];
    nowhere(
        &app,
        &shipped,
        expect![[r#"
            `placement.residency: [SG]` leaves out every region of alicloud that may be planned; there the law is that of CN
            add one of CN to `residency`, or allow other regions or providers; `evenkeel catalog list` shows where the regions are"#]],
    );
}

#[test]
fn what_the_residency_costs_is_among_the_reasons() {
    let explained = crate::explain(&residing(&["EU"]), &options(), &Terms::default(), "2026-11-29").unwrap();
    let worth = explained.reasons.worth.iter().find(|worth| worth.objective == "residency: [EU]").unwrap();
    assert!(worth.usd_month > 0.0, "{worth:?}");
}

#[test]
fn this_machine_is_planned_for_wherever_it_is_and_the_plan_says_so() {
    let mut app = crate::tests::shop();
    app.placement.residency = vec!["CH".into()];
    let none = Options { catalog: Catalog::default(), provider: None };
    let plan = plan(&app, &none).unwrap();
    assert!(
        plan.assumed.iter().any(|said| said.starts_with("`residency` is not looked at")),
        "{:?}",
        plan.assumed
    );
}

/// What was stored before there was the key.
#[test]
fn an_application_without_a_residency_is_written_and_read_as_before() {
    let app = anywhere();
    let text = serde_json::to_string(&app).unwrap();
    assert!(!text.contains("residency"), "{text}");
    assert_eq!(serde_json::from_str::<App>(&text).unwrap(), app);
}

/// The cheapest plans on other speeds are searched over the regions that are allowed, and two providers have none of them.
#[test]
fn a_provider_without_an_allowed_region_is_no_unknown_one() {
    for codes in [&["CH"][..], &["FR"]] {
        let mut app = residing(codes);
        app.placement.providers = ["aws", "gcp", "alicloud"].map(str::to_owned).to_vec();
        let explained = crate::explain(&app, &Options::default(), &Terms::default(), "2026-12-01").unwrap();
        assert!(explained.planned.plan.feasible && !explained.reasons.speeds.is_empty(), "{codes:?}");
    }
    let options = Options { provider: Some("aws-2".to_owned()), ..Options::default() };
    assert!(matches!(plan(&anywhere(), &options), Err(PlanError::UnknownProvider { .. })));
}
