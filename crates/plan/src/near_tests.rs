use model::{App, Duration, Latency, Users};
use serde_json::{Value, json};

use super::*;
use crate::chance::Level;
use crate::tests::{cloud, few};
use crate::{Options, Planned, Terms, certified, certified_on, plan, to_json, verify};

const FRANKFURT: (&str, f64, f64) = ("Frankfurt", 50.12, 8.68);
const SINGAPORE: (&str, f64, f64) = ("Singapore", 1.29, 103.85);

fn options() -> Options {
    Options { catalog: few().clone(), provider: None }
}

fn users(of: &[((&str, f64, f64), f64)]) -> Vec<Users> {
    let one = |&((place, north, east), share): &((&str, f64, f64), f64)| Users {
        place: place.to_owned(),
        north,
        east,
        share,
    };
    of.iter().map(one).collect()
}

/// Anywhere, with `p99` for users there.
fn asking(p99: Option<u64>, users: Vec<Users>) -> App {
    let mut app = cloud();
    app.placement.regions.clear();
    app.objectives.budget = None;
    app.placement.users = users;
    let service = app.services[0].name.clone();
    app.objectives.latency = p99.map(|ms| Latency { service, p99: Duration(ms), load: None });
    app
}

fn stored(app: &App, terms: &Terms) -> Value {
    let Planned { plan, proof } = certified_on(app, &options(), terms).unwrap();
    to_json(&plan, Some(&proof), 0.0)
}

fn regions(stored: &Value) -> Vec<String> {
    let topologies = stored["certificate"]["proof"]["topologies"].as_array().unwrap();
    let mut all: Vec<String> =
        topologies.iter().map(|topology| topology["region"].as_str().unwrap().to_owned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn a_region_whose_way_alone_takes_too_long_for_more_than_one_in_a_hundred_is_left_out() {
    let plain = Terms::default();
    let of = |p99: u64, far: f64| {
        let app = asking(Some(p99), users(&[(FRANKFURT, 1.0 - far), (SINGAPORE, far)]));
        let whole = stored(&app, &plain);
        verify(&app, &options(), &whole).unwrap();
        regions(&whole)
    };
    // Frankfurt and Singapore are 10,270 km apart: 103 ms in glass, 205 ms with the detour.
    assert_eq!(of(150, 0.01), ["eu-central-1", "europe-west3", "us-east-1", "us-east4"]);
    assert_eq!(of(50, 0.01), ["eu-central-1", "europe-west3"]);
    assert_eq!(of(50, 0.0100004), ["eu-central-1", "europe-west3"]);
    let app = asking(Some(50), users(&[(FRANKFURT, 0.989), (SINGAPORE, 0.011)]));
    let error = plan(&app, &options()).unwrap_err();
    assert!(error.is_infeasible(), "{error}");
    let told = format!("{error}; {}", error.hint().unwrap());
    expect_test::expect!["from every region of aws, gcp, alicloud that may be planned, one round trip alone takes longer than `p99: 50ms` for more than 1% of the users; nearest is alicloud ap-southeast-1, for which `p99: 206ms` would do; or allow other regions, or say under `assume:` what `detour` the way really makes"].assert_eq(&told);
    // What it says would do does.
    let needed: u64 = told.split("`p99: ").nth(2).unwrap().split("ms").next().unwrap().parse().unwrap();
    let with = |p99| plan(&asking(Some(p99), app.placement.users.clone()), &options());
    assert!(with(needed).is_ok() && with(needed - 1).is_err());
}

#[test]
fn a_shorter_time_never_makes_a_plan_cheaper_and_neither_do_robust_terms() {
    let all = users(&[(FRANKFURT, 0.7), (SINGAPORE, 0.3)]);
    let robust = Terms::pessimistic("2026-11-29");
    let mut dearest = 0;
    for p99 in [10_000, 400, 330, 260, 210, 206] {
        let app = asking(Some(p99), all.clone());
        let found = plan(&app, &options()).unwrap();
        assert!(found.usd_month.0 >= dearest, "{p99} ms: {}", found.usd_month);
        dearest = found.usd_month.0;
        match certified_on(&app, &options(), &robust) {
            Ok(other) => assert!(other.plan.usd_month >= found.usd_month),
            Err(error) => assert!(error.is_infeasible() && p99 < 309, "{p99} ms: {error}"),
        }
    }
    // The high end of the detour is what robust terms take.
    let whole = stored(&asking(Some(400), all.clone()), &robust);
    assert!(regions(&whole).iter().all(|region| !region.starts_with("us-")), "{:?}", regions(&whole));
    verify(&asking(Some(400), all.clone()), &options(), &whole).unwrap();
    // Who knows better says so.
    let mut app = asking(Some(206), all);
    app.assume.insert(DETOUR.into(), 1.0);
    assert_eq!(regions(&stored(&app, &Terms::default())).len(), 6);
    app.assume.insert(DETOUR.into(), 0.5);
    let error = plan(&app, &options()).unwrap_err().to_string();
    assert!(error.contains("`detour.times` is 0.5 times; it must be a number from 1"), "{error}");
}

#[test]
fn the_order_of_users_changes_nothing_and_without_a_latency_they_are_told_alone() {
    let pairs = [(FRANKFURT, 0.7), (SINGAPORE, 0.2), (("50 8", 50.0, 8.0), 0.1)];
    let mut turned = pairs;
    turned.reverse();
    let of = |pairs: &[_]| stored(&asking(Some(300), users(pairs)), &Terms::default());
    assert_eq!(of(&pairs), of(&turned));
    let told = stored(&asking(None, users(&pairs)), &Terms::default());
    let free = stored(&asking(None, vec![]), &Terms::default());
    assert_eq!(regions(&told), regions(&free));
    assert_eq!(told["usd_month"], free["usd_month"]);
    let places: Vec<&str> =
        told["round_trips"].as_array().unwrap().iter().map(|trip| trip["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["Frankfurt", "Singapore", "50 8"]);
    // A file without the key has a certificate as before.
    assert!(free["round_trips"].is_null() && !free.to_string().contains("detour"));
    let slow = stored(&asking(Some(1), vec![]), &Terms::default());
    assert_eq!(regions(&slow), regions(&free));
    // Users reach what `ingress` names, and nothing else.
    let mut app = asking(Some(1), users(&pairs));
    app.services.push(crate::tests::service("api", 50.0));
    app.objectives.latency.as_mut().unwrap().service = app.services[1].name.clone();
    let whole = stored(&app, &Terms::default());
    verify(&app, &options(), &whole).unwrap();
    assert!(whole["assumed"].to_string().contains("`api` is none of them"), "{}", whole["assumed"]);
}

#[test]
fn a_certificate_for_a_region_that_is_too_far_or_with_other_ways_is_refused() {
    let near = asking(Some(50), users(&[(FRANKFURT, 1.0)]));
    let whole = stored(&near, &Terms::default());
    verify(&near, &options(), &whole).unwrap();
    let refused = |changed: &Value| verify(&near, &options(), changed).unwrap_err().to_string();
    let far = stored(&asking(Some(5_000), users(&[(FRANKFURT, 1.0)])), &Terms::default());
    assert_ne!(far["region"], whole["region"]);
    assert!(refused(&far).ends_with("is not in the space"), "{}", refused(&far));
    let mut changed = far.clone();
    changed["certificate"]["proof"]["topologies"] = whole["certificate"]["proof"]["topologies"].clone();
    assert!(refused(&changed).contains("which the file does not allow"), "{}", refused(&changed));
    for (change, told) in [
        (json!([]), "`round_trips`: it has 0 places, and the file has 1"),
        (json!([{ "place": "Frankfurt", "share": 1.0, "ms": 1e-3 }]), "`round_trips`: it is 0.001, and"),
        (json!([{ "place": "Frankfurt", "share": 0.5, "ms": 1.0 }]), "are not in the file"),
    ] {
        let mut changed = whole.clone();
        changed["round_trips"] = change;
        assert!(refused(&changed).contains(told), "{}", refused(&changed));
    }
}

#[test]
fn the_round_trips_are_told_everywhere_and_hang_on_the_detour() {
    let app = asking(Some(400), users(&[(FRANKFURT, 0.7), (SINGAPORE, 0.3)]));
    let explained = crate::explain(&app, &options(), &Terms::default(), "2026-11-29").unwrap();
    let plan = &explained.planned.plan;
    let text = crate::render(plan, &crate::Relaxed::default(), 100, false);
    assert!(text.contains("round trips of users, ms\n") && text.contains("Frankfurt  (70%)"), "{text}");
    assert!(text.contains("light in glass") && text.contains("a drill judges it"), "{text}");
    assert!(crate::html(&explained, "2026-11-29").contains("<td>Singapore</td>"));
    let row = explained.reasons.assumptions.iter().find(|row| row.name == DETOUR).unwrap();
    assert!(row.low.kept && row.low.cheapest.is_some(), "{row:?}");
    assert_eq!((row.low.value, row.value, row.high.value), (1.0, 2.0, 3.0));
    let assumptions = Terms::default().assumptions(&app).unwrap();
    let detour = assumptions.at(DETOUR, Level::Mid).unwrap();
    let sum: f64 = plan.round_trips.iter().map(|trip| trip.ms).sum();
    // The region is on the way between the two, or beside it.
    assert!(sum >= detour * 102.6, "{sum}");
}

#[test]
fn users_that_make_no_sense_are_refused() {
    for (share, north) in
        [(0.0, 1.0), (f64::NAN, 1.0), (-0.5, 1.0), (1.5, 1.0), (0.5, 1.0), (1.0, 91.0), (1.0, f64::NAN)]
    {
        let app = asking(Some(100), users(&[(("x", north, 1.0), share)]));
        assert!(matches!(certified(&app, &options()), Err(PlanError::Absurd { .. })), "{share} {north}");
    }
    let many = |count: usize| asking(None, users(&vec![(FRANKFURT, 1.0 / count as f64); count]));
    assert!(plan(&many(50), &options()).is_ok());
    assert!(plan(&many(51), &options()).is_err());
}
