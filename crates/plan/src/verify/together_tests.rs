//! Certificates of plans with one machine a zone that were tampered with are refused, each for what was done to it.

use model::{App, Database, DatabaseName, Rate, WhenAlone};
use serde_json::{Value, json};

use super::super::*;
use crate::tests::{cloud, few, service};
use crate::{Planned, certified, to_json};

fn app() -> App {
    let mut app = cloud();
    app.placement.regions.clear();
    app.objectives.budget = None;
    app.objectives.availability = Some(model::Availability { unavailability: 130.0 / (8_766.0 * 60.0) });
    app.services = vec![service("web", 120.0), service("api", 60.0)];
    for one in &mut app.services {
        one.resources.cpus = model::MilliCpu(500);
    }
    app.databases = vec![Database {
        name: DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "50G".parse().unwrap(),
        standbys: 2,
        auto: false,
        managed: model::Managed::No,
        witness: false,
        writes: Some(Rate(10.0)),
        when_alone: WhenAlone::Block,
    }];
    app
}

fn options() -> Options {
    Options { catalog: few().clone(), provider: None }
}

fn stored(app: &App) -> Value {
    let Planned { plan, proof } = certified(app, &options()).unwrap();
    assert_eq!(
        plan.layout,
        Layout::Together,
        "{}",
        crate::render(&plan, &crate::Relaxed::default(), 100, false)
    );
    to_json(&plan, Some(&proof), 1.0)
}

fn proof(stored: &mut Value) -> &mut Value {
    &mut stored["certificate"]["proof"]
}

fn topologies(stored: &mut Value) -> &mut Vec<Value> {
    proof(stored)["topologies"].as_array_mut().unwrap()
}

fn is_together(topology: &Value) -> bool {
    topology["layout"] == "together"
}

/// The first topology with one machine a zone that was closed like that.
#[track_caller]
fn closed<'v>(stored: &'v mut Value, how: &str) -> &'v mut Value {
    let is = |topology: &&mut Value| is_together(topology) && topology["closed"] == how;
    topologies(stored).iter_mut().find(is).unwrap_or_else(|| panic!("none is closed by `{how}`"))
}

/// The topology of the plan itself.
fn own(stored: &mut Value) -> &mut Value {
    let (region, zones) = (stored["region"].clone(), stored["zones"].as_array().unwrap().len());
    let is = |topology: &&mut Value| {
        is_together(topology) && topology["region"] == region && topology["zones"] == zones
    };
    topologies(stored).iter_mut().find(is).unwrap()
}

fn tried(topology: &mut Value, by: i64) {
    topology["tried"] = json!(topology["tried"].as_i64().unwrap() + by);
}

fn close_as(topology: &mut Value, how: Value) {
    let mut new = json!({ "provider": topology["provider"], "region": topology["region"],
        "zones": topology["zones"], "layout": topology["layout"], "nat": topology["nat"] });
    new.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    *topology = new;
}

/// Says of the plan and of its certificate that everything is on another type, with its price.
fn retyped(stored: &mut Value, name: &str, parts: &[&str]) {
    let incumbent = &mut proof(stored)["incumbent"];
    for part in parts {
        match *part {
            "db" => incumbent["databases"][0] = json!(name),
            "web" => incumbent["services"][0][0] = json!(name),
            _ => incumbent["services"][1][0] = json!(name),
        }
    }
}

fn resized(stored: &mut Value, service: usize, by: i64) {
    let replicas = &mut proof(stored)["incumbent"]["services"][service][1];
    *replicas = json!(replicas.as_i64().unwrap() + by);
    let now = replicas.clone();
    stored["services"][service]["replicas"] = now;
}

type Change = fn(&mut Value);

const CHANGES: &[(&str, Change)] = &[
    ("every entry of one machine a zone dropped", |stored| {
        topologies(stored).retain(|one| !is_together(one))
    }),
    ("one of them dropped", |stored| {
        let at = topologies(stored).iter().position(is_together).unwrap();
        topologies(stored).remove(at);
    }),
    ("the plan's own dropped", |stored| {
        let gone = own(stored).clone();
        topologies(stored).retain(|one| *one != gone);
    }),
    ("an entry twice", |stored| {
        let twice = own(stored).clone();
        topologies(stored).push(twice);
    }),
    ("an entry for four zones", |stored| {
        let mut more = own(stored).clone();
        more["zones"] = json!(4);
        topologies(stored).push(more);
    }),
    ("an entry that calls itself apart", |stored| own(stored)["layout"] = json!("apart")),
    ("a layout that nobody knows", |stored| own(stored)["layout"] = json!("stacked")),
    ("one type fewer tried", |stored| tried(closed(stored, "types"), -1)),
    ("one type more tried", |stored| tried(closed(stored, "types"), 1)),
    ("none tried", |stored| own(stored)["tried"] = json!(0)),
    ("zones that are said to be too few", |stored| close_as(own(stored), json!({ "closed": "zones" }))),
    ("zones that are too few and said to be tried", |stored| {
        close_as(closed(stored, "zones"), json!({ "closed": "types", "tried": 0 }));
    }),
    ("a bound instead of types", |stored| {
        close_as(own(stored), json!({ "closed": "bound", "usd_month": 1e6, "multiplier": 0.0 }));
    }),
    ("too often down instead of types", |stored| {
        close_as(own(stored), json!({ "closed": "unavailable", "best": 0.5 }));
    }),
    ("types tried for machines of their own", |stored| {
        let apart = topologies(stored).iter_mut().find(|one| !is_together(one)).unwrap();
        apart["layout"] = json!("apart");
        close_as(apart, json!({ "closed": "types", "tried": 0 }));
    }),
    ("the NAT paid in another way", |stored| {
        let topology = own(stored);
        topology["nat"] = json!(if topology["nat"] == "machine" { "gateway" } else { "machine" });
    }),
    ("a plan on machines of their own", |stored| {
        proof(stored)["incumbent"]["layout"] = json!("apart");
        stored["layout"] = json!("apart");
    }),
    ("a certificate for machines of their own", |stored| {
        proof(stored)["incumbent"]["layout"] = json!("apart")
    }),
    ("a page that says machines of their own", |stored| stored["layout"] = json!("apart")),
    ("a page that says nothing of it", |stored| stored["layout"] = json!(null)),
    ("a larger type", |stored| retyped(stored, "c3-standard-8", &["web", "api", "db"])),
    ("a type that holds less", |stored| retyped(stored, "n4-standard-2", &["web", "api", "db"])),
    ("a type that nobody sells", |stored| retyped(stored, "m99.large", &["web", "api", "db"])),
    ("another type for the database alone", |stored| retyped(stored, "c3-standard-8", &["db"])),
    ("no type for a service", |stored| proof(stored)["incumbent"]["services"][0][0] = json!(null)),
    ("a replica fewer", |stored| resized(stored, 0, -1)),
    ("a replica more", |stored| resized(stored, 1, 1)),
    ("many replicas more", |stored| resized(stored, 0, 50)),
    ("a zone fewer", |stored| {
        proof(stored)["incumbent"]["zones"] = json!(2);
        stored["zones"].as_array_mut().unwrap().pop();
    }),
    ("zones that the file does not allow", |stored| proof(stored)["incumbent"]["zones"] = json!(9)),
    ("a lower price", |stored| {
        let micro = proof(stored)["incumbent"]["micro_usd"].as_i64().unwrap();
        proof(stored)["incumbent"]["micro_usd"] = json!(micro - 1_000_000);
    }),
    ("a better availability", |stored| {
        let down = proof(stored)["incumbent"]["unavailability"].as_f64().unwrap();
        proof(stored)["incumbent"]["unavailability"] = json!(down * 0.99);
    }),
    ("a machine more on the bill", |stored| {
        let line = &mut stored["lines"][0];
        let (unit, quantity) = (line["unit_usd"].as_f64().unwrap(), line["quantity"].as_f64().unwrap());
        line["quantity"] = json!(quantity + 1.0);
        line["unit_usd"] = json!(unit * quantity / (quantity + 1.0));
    }),
    ("a bill that forgets what the machines hold", |stored| {
        let item = stored["lines"][0]["item"].as_str().unwrap().replace(" and db", "");
        stored["lines"][0]["item"] = json!(item);
    }),
    ("smaller disks", |stored| {
        let line = &mut stored["lines"][1];
        assert!(line["item"].as_str().unwrap().starts_with("GB of "), "{line}");
        for (field, by) in [("quantity", 0.5), ("unit_usd", 2.0)] {
            line[field] = json!(line[field].as_f64().unwrap() * by);
        }
    }),
    ("another space", |stored| proof(stored)["space"] = json!(3)),
];

#[test]
fn a_certificate_as_it_was_made_is_accepted() {
    let app = app();
    let mut whole = stored(&app);
    let verified = verify(&app, &options(), &whole).unwrap();
    assert!(verified.gap == 0.0 && verified.branches >= 10, "{verified:?}");
    let text = serde_json::to_string_pretty(&whole).unwrap();
    assert_eq!(verify(&app, &options(), &serde_json::from_str(&text).unwrap()), Ok(verified));
    for how in ["types", "zones"] {
        closed(&mut whole, how);
    }
    // With machines of their own asked for it is another file.
    let mut own = app.clone();
    own.placement.machines = Some(model::Sharing::Apart);
    let refused = verify(&own, &options(), &whole).unwrap_err();
    assert!(refused.why.contains("is not in the space"), "{refused}");
}

#[test]
fn every_certificate_that_was_tampered_with_is_refused() {
    let app = app();
    let whole = stored(&app);
    let mut reasons = Vec::new();
    for (what, change) in CHANGES {
        let mut changed = whole.clone();
        change(&mut changed);
        assert_ne!(changed, whole, "{what}");
        match verify(&app, &options(), &changed) {
            Ok(verified) => panic!("{what}: accepted, {verified:?}"),
            Err(refused) => reasons.push(format!("{what}: {refused}\n")),
        }
    }
    expect_test::expect![[r#"
        every entry of one machine a zone dropped: the certificate: alicloud ap-southeast-1 with 1 zone, one machine each is left out
        one of them dropped: the certificate: alicloud ap-southeast-1 with 1 zone, one machine each is left out
        the plan's own dropped: the certificate: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine is left out
        an entry twice: the certificate: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine is there twice
        an entry for four zones: the certificate: gcp us-east4 with 4 zones, one machine each, NAT paid by the machine is not in the space
        an entry that calls itself apart: the certificate: gcp us-east4 with 3 zones, NAT paid by the machine is there twice
        a layout that nobody knows: the certificate: it cannot be read: unknown variant `stacked`, expected `apart` or `together`
        one type fewer tried: alicloud ap-southeast-1 with 3 zones, one machine each: 3 types would be cheaper than the plan, not 2
        one type more tried: alicloud ap-southeast-1 with 3 zones, one machine each: 3 types would be cheaper than the plan, not 4
        none tried: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine: 3 types would be cheaper than the plan, not 0
        zones that are said to be too few: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine: so many zones keep what was asked of the loss of one
        zones that are too few and said to be tried: alicloud ap-southeast-1 with 1 zone, one machine each: it does not keep what was asked of the loss of a zone
        a bound instead of types: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine: one machine a zone is closed by the types that were tried
        too often down instead of types: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine: one machine a zone is closed by the types that were tried
        types tried for machines of their own: alicloud ap-southeast-1 with 1 zone: no type is tried for everything there
        the NAT paid in another way: the certificate: gcp us-east4 with 3 zones, one machine each, NAT paid by the machine is left out
        a plan on machines of their own: the plan: it costs 921.28 USD/month, not 444.69
        a certificate for machines of their own: the plan: it costs 921.28 USD/month, not 444.69
        a page that says machines of their own: `layout`: it is another than in the certificate
        a page that says nothing of it: `layout`: it is another than in the certificate
        a larger type: the plan: it costs 930.47 USD/month, not 444.69
        a type that holds less: the plan: a n4-standard-2 does not hold what a zone has
        a type that nobody sells: the plan: its machines are not all of one type that is sold there
        another type for the database alone: the plan: its machines are not all of one type that is sold there
        no type for a service: the plan: its machines are not all of one type that is sold there
        a replica fewer: the plan: [2, 2] replicas are not in the space
        a replica more: the plan: its machines hold other sizes that are down less, or as little with fewer replicas
        many replicas more: the plan: [53, 2] replicas are not in the space
        a zone fewer: the plan: [3, 2] replicas are not in the space
        zones that the file does not allow: the plan: the file does not allow so many zones, or that what is in one shares its machine
        a lower price: the plan: it costs 444.69 USD/month, not 443.69
        a better availability: the plan: it is down 1.6402326898012668e-4 of the time, not 1.6238303629032542e-4
        a machine more on the bill: the line `n4-standard-4 for web, api and db`: it is 4, and 3 is what follows
        a bill that forgets what the machines hold: the bill: `n4-standard-4 for web, api and db` is missing
        smaller disks: the line `GB of disk for web, api and db`: it is 105, and 210 is what follows
        another space: the certificate: it is for version 3 of the space, this one checks 8
    "#]].assert_eq(&reasons.concat());
}

/// Had the plan cost more, the type that it stands on would have been overlooked: that is noticed wherever the plan stands.
#[test]
fn a_cheaper_type_that_was_overlooked_is_found() {
    let app = app();
    let whole = stored(&app);
    let proof: Proof = serde_json::from_value(whole["certificate"]["proof"].clone()).unwrap();
    let rules = Rules::new(&app, &proof).unwrap();
    let (catalog, cost) = (few(), proof.incumbent.as_ref().unwrap().micro_usd);
    let places = places(&app, &options(), catalog, 2.0).unwrap();
    let own = places.iter().find(|place| {
        place.layout == Layout::Together && named(place).1 == whole["region"] && place.zones == 3
    });
    let (own, mut counted) = (own.unwrap(), super::Counted::default());
    let offer = own.offer.unwrap();
    let fixed = super::fixed(&rules, own, offer).unwrap();
    let costs = |kind: &crate::Machine| fixed + super::bought(kind, own.zones);
    let cheaper = |than: i64| offer.usable().filter(|kind| costs(kind) < than).count() as u32;
    assert_eq!(counted.check(&rules, own, Some(cost), cheaper(cost)), Ok(cheaper(cost) as usize));
    let overlooked = counted.check(&rules, own, Some(cost + 1), cheaper(cost + 1)).unwrap_err();
    assert!(overlooked.contains("a zone holds everything for 444.69"), "{overlooked}");
    let unplanned = counted.check(&rules, own, None, offer.usable().count() as u32).unwrap_err();
    assert!(unplanned.contains("a zone holds everything"), "{unplanned}");
}
