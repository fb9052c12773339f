//! Certificates that were tampered with are refused, each for what was done to it.

use model::{App, Database, DatabaseName, Rate, Region, WhenAlone};
use serde_json::{Value, json};

use super::*;
use crate::tests::{cloud, few, service};
use crate::{Planned, certified, to_json};

fn app() -> App {
    let mut app = cloud();
    app.placement.regions.clear();
    // What shares machines has tests of its own.
    app.placement.machines = Some(model::Sharing::Apart);
    app.objectives.budget = None;
    app.objectives.availability = Some(model::Availability { unavailability: 104.0 / (8_766.0 * 60.0) });
    app.objectives.survive = vec![model::Scope::Node];
    // The databases keep it over three zones only.
    app.objectives.rto.zone = Some(model::Duration(60_000));
    // Bad machines, so that spare ones are needed and the price of time matters.
    app.assume.insert("machine_failure.per_year".into(), 12.0);
    app.services = vec![service("web", 400.0), service("api", 900.0), service("jobs", 100.0)];
    // Little traffic, so that machines decide.
    for load in app.services.iter_mut().filter_map(|service| service.load.as_mut()) {
        load.response = Some(model::Bytes(100));
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
    to_json(&plan, Some(&proof), 1.0)
}

fn topologies(stored: &mut Value) -> &mut Vec<Value> {
    stored["certificate"]["proof"]["topologies"].as_array_mut().unwrap()
}

/// The first topology that was closed like that.
#[track_caller]
fn closed<'v>(stored: &'v mut Value, how: &str) -> &'v mut Value {
    let found = topologies(stored).iter_mut().find(|topology| topology["closed"] == how);
    found.unwrap_or_else(|| panic!("no topology is closed by `{how}`"))
}

/// The topology of the plan itself.
fn own(stored: &mut Value) -> &mut Value {
    let (provider, region) = (stored["provider"].clone(), stored["region"].clone());
    let zones = stored["zones"].as_array().unwrap().len();
    let mine = |topology: &&mut Value| {
        topology["provider"] == provider && topology["region"] == region && topology["zones"] == zones
    };
    topologies(stored).iter_mut().find(mine).unwrap()
}

/// A topology that was closed by a bound with a price of time, or else by the plain one.
fn bounded(stored: &mut Value, with_price: bool) -> &mut Value {
    let is = |topology: &&mut Value| {
        topology["closed"] == "bound" && (topology["multiplier"].as_f64().unwrap() > 0.0) == with_price
    };
    topologies(stored).iter_mut().find(is).expect("there is one")
}

fn close_as(topology: &mut Value, how: Value) {
    let mut new = json!({ "provider": topology["provider"], "region": topology["region"],
        "zones": topology["zones"], "nat": topology["nat"] });
    new.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    *topology = new;
}

fn scale(value: &mut Value, by: f64) {
    *value = json!(value.as_f64().unwrap() * by);
}

/// Moves a dollar from one line of the bill to another, so that the sum stays.
fn moved(stored: &mut Value, from: &str, to: &str) {
    for (item, usd) in [(from, -1.0), (to, 1.0)] {
        let mut lines = stored["lines"].as_array_mut().unwrap().iter_mut();
        let line = lines.find(|line| line["item"] == item).unwrap_or_else(|| panic!("no `{item}`"));
        let quantity = line["quantity"].as_f64().unwrap() + usd / line["unit_usd"].as_f64().unwrap();
        line["quantity"] = json!(quantity);
        line["usd_month"] = json!(quantity * line["unit_usd"].as_f64().unwrap());
    }
}

type Change = fn(&mut Value);

const CHANGES: &[(&str, Change)] = &[
    ("a region dropped", |stored| {
        let region = own(stored)["region"].clone();
        topologies(stored).retain(|topology| topology["region"] != region);
    }),
    ("another region dropped", |stored| {
        let region = own(stored)["region"].clone();
        let other =
            topologies(stored).iter().find(|topology| topology["region"] != region).unwrap()["region"]
                .clone();
        topologies(stored).retain(|topology| topology["region"] != other);
    }),
    ("a number of zones dropped", |stored| drop(topologies(stored).remove(1))),
    ("all topologies dropped", |stored| topologies(stored).clear()),
    ("a topology twice", |stored| {
        let first = topologies(stored)[0].clone();
        topologies(stored).push(first);
    }),
    ("a region that nobody sells", |stored| {
        let mut first = topologies(stored)[0].clone();
        first["region"] = json!("moon-1");
        topologies(stored).push(first);
    }),
    ("a line that buys machines of another type", |stored| {
        stored["lines"][0]["buys"]["kind"] = json!("m6i.metal");
    }),
    ("a line that buys for another part", |stored| stored["lines"][0]["buys"]["parts"] = json!(["db"])),
    ("a line that does not say what it buys", |stored| {
        stored["lines"].as_array_mut().unwrap().last_mut().unwrap()["buys"] = json!(null);
    }),
    ("a bound raised", |stored| scale(&mut bounded(stored, false)["usd_month"], 1.01)),
    ("a bound with a price of time raised", |stored| scale(&mut bounded(stored, true)["usd_month"], 1.001)),
    ("a bound below the plan", |stored| bounded(stored, false)["usd_month"] = json!(1.0)),
    ("a price of time that proves less", |stored| scale(&mut bounded(stored, true)["multiplier"], 1e-3)),
    ("a price of time that proves nothing", |stored| scale(&mut bounded(stored, true)["multiplier"], 1e6)),
    ("a price of time below nothing", |stored| scale(&mut bounded(stored, true)["multiplier"], -1.0)),
    ("no price of time", |stored| bounded(stored, true)["multiplier"] = json!(null)),
    ("a search called a bound", |stored| {
        let usd = stored["usd_month"].clone();
        close_as(own(stored), json!({ "closed": "bound", "usd_month": usd, "multiplier": 0.0 }));
    }),
    ("a search without its price of time", |stored| own(stored)["multiplier"] = json!(0.0)),
    ("a search without branches", |stored| own(stored)["tree"] = json!([0])),
    ("a search whose branches were not written", |stored| own(stored)["tree"] = json!(null)),
    ("branches cut off", |stored| drop(own(stored)["tree"].as_array_mut().unwrap().pop())),
    ("branches after the last", |stored| own(stored)["tree"].as_array_mut().unwrap().push(json!(0))),
    ("a branch that is no branch", |stored| own(stored)["tree"][0] = json!("closed")),
    ("a choice on a machine that does not exist", |stored| own(stored)["tree"][1][0] = json!("m99.large")),
    ("a choice with too few replicas", |stored| own(stored)["tree"][1][1] = json!(1)),
    ("a choice with a dominated type", |stored| {
        // As many vCPUs, more memory, a higher price.
        own(stored)["tree"][1][0] = json!("ecs.r7.large");
    }),
    ("an order without a service", |stored| drop(own(stored)["order"].as_array_mut().unwrap().pop())),
    ("an order with a service twice", |stored| own(stored)["order"][0] = own(stored)["order"][1].clone()),
    ("zones that are said to be too few", |stored| close_as(own(stored), json!({ "closed": "zones" }))),
    ("zones that are too few and called dear", |stored| {
        close_as(closed(stored, "zones"), json!({ "closed": "bound", "usd_month": 1e6, "multiplier": 0.0 }));
    }),
    ("a machine that is said to be missing", |stored| {
        close_as(own(stored), json!({ "closed": "no_machine", "part": "web" }));
    }),
    ("a machine for a part that is not there", |stored| {
        close_as(own(stored), json!({ "closed": "no_machine", "part": "www" }));
    }),
    ("another way to pay for a NAT that is paid in one", |stored| {
        close_as(own(stored), json!({ "closed": "other_way" }));
    }),
    ("a limit that forbids nothing", |stored| {
        close_as(own(stored), json!({ "closed": "scale_max", "service": "web" }));
    }),
    ("a place that is said to be too often down", |stored| {
        close_as(own(stored), json!({ "closed": "unavailable", "best": 0.5 }));
    }),
    ("a lower price", |stored| {
        let micro = stored["certificate"]["proof"]["incumbent"]["micro_usd"].as_i64().unwrap();
        stored["certificate"]["proof"]["incumbent"]["micro_usd"] = json!(micro - 1_000_000);
    }),
    ("another machine", |stored| {
        stored["certificate"]["proof"]["incumbent"]["services"][0][0] = json!("ecs.r7.large");
    }),
    ("fewer replicas", |stored| {
        let replicas = stored["certificate"]["proof"]["incumbent"]["services"][1][1].as_u64().unwrap();
        stored["certificate"]["proof"]["incumbent"]["services"][1][1] = json!(replicas - 1);
    }),
    ("another machine for the database", |stored| {
        stored["certificate"]["proof"]["incumbent"]["databases"][0] = json!("ecs.r7.xlarge");
    }),
    ("no machine for the database", |stored| {
        stored["certificate"]["proof"]["incumbent"]["databases"] = json!([]);
    }),
    ("a better availability", |stored| {
        scale(&mut stored["certificate"]["proof"]["incumbent"]["unavailability"], 0.99);
    }),
    ("no plan", |stored| stored["certificate"]["proof"]["incumbent"] = json!(null)),
    ("a plan elsewhere", |stored| {
        stored["certificate"]["proof"]["incumbent"]["region"] = json!("us-east4");
    }),
    ("another catalogue", |stored| stored["certificate"]["proof"]["catalogue"] = json!("0123456789abcdef")),
    ("another space", |stored| stored["certificate"]["proof"]["space"] = json!(0)),
    ("another objective", |stored| scale(&mut stored["certificate"]["proof"]["asked"], 2.0)),
    ("no objective", |stored| stored["certificate"]["proof"]["asked"] = json!(null)),
    ("no proof", |stored| stored["certificate"]["proof"] = json!(null)),
    ("the price of the plan", |stored| scale(&mut stored["usd_month"], 0.9)),
    ("the availability of the plan", |stored| scale(&mut stored["unavailability"], 0.9)),
    ("the region of the plan", |stored| stored["region"] = json!("us-east4")),
    ("the zones of the plan", |stored| drop(stored["zones"].as_array_mut().unwrap().pop())),
    ("the replicas of the plan", |stored| stored["services"][0]["replicas"] = json!(99)),
    ("the nodes of the plan", |stored| drop(stored["databases"][0]["nodes"].as_array_mut().unwrap().pop())),
    ("the price of a line", |stored| scale(&mut stored["lines"][0]["unit_usd"], 0.5)),
    ("the price of a line with its sum", |stored| {
        for field in ["unit_usd", "usd_month"] {
            scale(&mut stored["lines"][0][field], 0.5);
        }
    }),
    ("a price moved from one line to another", |stored| {
        let (first, second) =
            (stored["lines"][0]["quantity"].as_f64().unwrap(), stored["lines"][1]["quantity"].as_f64());
        for (line, quantity, usd) in [(0, first, -1.0), (1, second.unwrap(), 1.0)] {
            let unit = stored["lines"][line]["unit_usd"].as_f64().unwrap() + usd / quantity;
            stored["lines"][line]["unit_usd"] = json!(unit);
            stored["lines"][line]["usd_month"] = json!(unit * quantity);
        }
    }),
    ("fewer NAT gateways", |stored| moved(stored, "NAT gateway", "public address")),
    ("less traffic between zones", |stored| {
        // What a disk has is in the sum alone.
        moved(stored, "GB between zones for db", "GB of disk for db");
    }),
    ("more units of the balancer", |stored| moved(stored, "public address", "load balancer capacity unit")),
    ("a line left out", |stored| drop(stored["lines"].as_array_mut().unwrap().remove(0))),
    ("another date of a price", |stored| stored["lines"][0]["date"] = json!("2026-11-01")),
    ("another source of a price", |stored| stored["lines"][0]["source"] = json!("the provider's own page")),
    ("a mark that nothing starts a line taken away", |stored| {
        stored["lines"][0].as_object_mut().unwrap().remove("not_applied");
    }),
    ("a mark that nothing starts a line put there", |stored| {
        let lines = stored["lines"].as_array_mut().unwrap();
        let line = lines.iter_mut().find(|line| line["not_applied"].is_null()).unwrap();
        line["not_applied"] = json!("nobody knows");
    }),
    ("a line of something that costs nothing", |stored| {
        let mut line = stored["lines"][0].clone();
        (line["item"], line["quantity"], line["usd_month"]) =
            (json!("support around the clock"), json!(0.0), json!(0.0));
        stored["lines"].as_array_mut().unwrap().push(line);
    }),
    ("a line twice, once for nothing", |stored| {
        let mut line = stored["lines"][0].clone();
        (line["quantity"], line["usd_month"]) = (json!(0.0), json!(0.0));
        stored["lines"].as_array_mut().unwrap().push(line);
    }),
    ("how certain it is", |stored| {
        let said = stored["certain"].as_str().unwrap().replace("the cheapest", "the very cheapest");
        stored["certain"] = json!(said);
    }),
    ("certain over other prices", |stored| {
        let own = stored["certificate"]["proof"]["catalogue"].as_str().unwrap();
        let said = stored["certain"].as_str().unwrap().replace(own, "0123456789abcdef");
        stored["certain"] = json!(said);
    }),
    ("nothing said of how certain it is", |stored| stored["certain"] = json!(null)),
    ("a gap that is not there", |stored| stored["certificate"]["gap"] = json!(0.1)),
    ("the verdict", |stored| stored["feasible"] = json!(false)),
    ("the version of the form", |stored| stored["format_version"] = json!(2)),
    ("another kind of object", |stored| stored["kind"] = json!("what_if")),
    ("another application", |stored| stored["app"] = json!("store")),
    ("a plan that calls itself robust", |stored| stored["robust"] = json!(true)),
    ("the minutes down a year", |stored| scale(&mut stored["downtime_min_year"], 0.5)),
    ("no minutes down a year", |stored| stored["downtime_min_year"] = json!(null)),
    ("what is missed", |stored| stored["missed"] = json!(["the budget is 1.00 USD/month"])),
    ("nothing said of what is missed", |stored| stored["missed"] = json!(null)),
    ("the name of a zone", |stored| stored["zones"][0] = json!("eu-central-1z")),
    ("the version of a service", |stored| stored["services"][0]["version"] = json!("0123456789abcdef")),
    ("the name of a database", |stored| stored["databases"][0]["name"] = json!("store")),
    ("the engine of a database", |stored| stored["databases"][0]["engine"] = json!("postgres:16")),
    ("the mode of a database", |stored| stored["databases"][0]["mode"] = json!("lease")),
    ("the storage of a database", |stored| stored["databases"][0]["storage_bytes"] = json!(1)),
    ("the version of a database", |stored| stored["databases"][0]["version"] = json!("0123456789abcdef")),
    ("a node in another zone", |stored| {
        stored["databases"][0]["nodes"][0]["zone"] = stored["zones"][1].clone();
    }),
    ("a database left out", |stored| stored["databases"] = json!([])),
];

#[test]
fn a_certificate_as_it_was_made_is_accepted() {
    let app = app();
    let mut whole = stored(&app);
    let verified = verify(&app, &options(), &whole).unwrap();
    assert!(verified.gap == 0.0 && verified.topologies >= 12 && verified.branches >= 10, "{verified:?}");
    // It goes through a file.
    let text = serde_json::to_string_pretty(&whole).unwrap();
    assert_eq!(verify(&app, &options(), &serde_json::from_str(&text).unwrap()), Ok(verified));
    // Every way to close a topology that the tampering needs is there.
    for how in ["bound", "searched", "zones"] {
        closed(&mut whole, how);
    }
    assert!(own(&mut whole)["tree"].as_array().unwrap().len() >= 3, "{}", own(&mut whole)["tree"]);
}

/// One function says it: on the terminal, on the page, to programs, and of a certificate that was checked.
#[test]
fn how_certain_a_plan_is_stands_everywhere_in_the_same_words() {
    let app = app();
    let explained = crate::explain(&app, &options(), &Terms::default(), "2026-11-29").unwrap();
    let (plan, proof) = (&explained.planned.plan, &explained.planned.proof);
    let certain = &plan.certain;
    for part in
        ["the cheapest over this catalogue (prices of 2024-", "these assumptions (", "this space (version "]
    {
        assert!(certain.contains(part), "{certain}");
    }
    assert!(certain.contains(&proof.catalogue) && certain.ends_with(": gap 0"), "{certain}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = crate::render(plan, &crate::Relaxed::default(), 80, false);
    assert!(words(&text).contains(certain.as_str()), "{text}");
    assert!(crate::html(&explained, "2026-11-29").contains(certain.as_str()));
    let json = to_json(plan, Some(proof), 1.0);
    assert_eq!(json["certain"], json!(certain));
    assert_eq!(&verify(&app, &options(), &json).unwrap().certain, certain);
    // Over other prices and on other terms it is another sentence.
    let (dear, terms) =
        (Options { catalog: Catalog::shipped(), ..options() }, Terms::pessimistic("2026-11-29"));
    let robust = crate::certified_on(&app, &dear, &terms).unwrap().plan.certain;
    assert!(robust.contains("each at its bad end") && !robust.contains(&proof.catalogue), "{robust}");
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
            Err(refused) => reasons.push(format!("{what}: {refused}")),
        }
    }
    assert!(reasons.len() >= 20);
    expect_test::expect![[r#"
        a region dropped: the certificate: alicloud ap-southeast-1 with 1 zone is left out
        another region dropped: the certificate: alicloud eu-central-1 with 1 zone is left out
        a number of zones dropped: the certificate: alicloud ap-southeast-1 with 2 zones is left out
        all topologies dropped: the certificate: alicloud ap-southeast-1 with 1 zone is left out
        a topology twice: the certificate: alicloud ap-southeast-1 with 1 zone is there twice
        a region that nobody sells: the certificate: alicloud moon-1 with 1 zone is not in the space
        a line that buys machines of another type: the line `ecs.c7.large for web`: what it buys is {"kind":"m6i.metal","parts":["web"],"what":"machines"}, and {"kind":"ecs.c7.large","parts":["web"],"what":"machines"} is what follows
        a line that buys for another part: the line `ecs.c7.large for web`: what it buys is {"kind":"ecs.c7.large","parts":["db"],"what":"machines"}, and {"kind":"ecs.c7.large","parts":["web"],"what":"machines"} is what follows
        a line that does not say what it buys: the line `GB between zones for db`: what it buys is null, and {"what":"between"} is what follows
        a bound raised: aws ap-southeast-1 with 3 zones: its bound is 1779.786448 USD/month, and 1762.1648 is what follows
        a bound with a price of time raised: gcp asia-southeast1 with 3 zones, NAT paid by the machine: its bound is 1217.6052599208087 USD/month, and 1216.388871049759 is what follows
        a bound below the plan: aws ap-southeast-1 with 3 zones: its bound of 1 USD/month is below the plan, so something cheaper may be there
        a price of time that proves less: gcp asia-southeast1 with 3 zones, NAT paid by the machine: its bound is 1216.388871049759 USD/month, and 1060.6504718436533 is what follows
        a price of time that proves nothing: gcp asia-southeast1 with 3 zones, NAT paid by the machine: its bound is 1216.388871049759 USD/month, and 1060.18178 is what follows
        a price of time below nothing: gcp asia-southeast1 with 3 zones, NAT paid by the machine: -878957527083.3347 is no price of a share of time
        no price of time: the certificate: it cannot be read: invalid type: null, expected f64
        a search called a bound: alicloud ap-southeast-1 with 3 zones: its bound is 1062.36467 USD/month, and 940.32788 is what follows
        a search without its price of time: alicloud ap-southeast-1 with 3 zones: 8 replicas on ecs.c7.large are left out, and no bound shows that nothing cheaper is there
        a search without branches: alicloud ap-southeast-1 with 3 zones: 7 replicas on ecs.c7.large are left out, and no bound shows that nothing cheaper is there
        a search whose branches were not written: alicloud ap-southeast-1 with 3 zones: its branches were too many to be written down
        branches cut off: alicloud ap-southeast-1 with 3 zones: its branches end too early
        branches after the last: alicloud ap-southeast-1 with 3 zones: branches follow after the last one
        a branch that is no branch: the certificate: it cannot be read: data did not match any variant of untagged enum Step
        a choice on a machine that does not exist: alicloud ap-southeast-1 with 3 zones: 7 replicas on m99.large are not in the space
        a choice with too few replicas: alicloud ap-southeast-1 with 3 zones: 1 replicas on ecs.c7.large are not in the space
        a choice with a dominated type: alicloud ap-southeast-1 with 3 zones: 7 replicas on ecs.c7.large are left out, and no bound shows that nothing cheaper is there
        an order without a service: alicloud ap-southeast-1 with 3 zones: its order does not name each service once
        an order with a service twice: alicloud ap-southeast-1 with 3 zones: its order does not name each service once
        zones that are said to be too few: alicloud ap-southeast-1 with 3 zones: so many zones keep what was asked of the loss of one
        zones that are too few and called dear: alicloud ap-southeast-1 with 1 zone: it does not keep what was asked of the loss of a zone
        a machine that is said to be missing: alicloud ap-southeast-1 with 3 zones: it has a machine for `web`
        a machine for a part that is not there: alicloud ap-southeast-1 with 3 zones: there is no `www` in the file
        another way to pay for a NAT that is paid in one: alicloud ap-southeast-1 with 3 zones: there is one way to pay for its NAT
        a limit that forbids nothing: alicloud ap-southeast-1 with 3 zones: `scale.max` of `web` allows a size
        a place that is said to be too often down: alicloud ap-southeast-1 with 3 zones: its safest choices are available enough
        a lower price: the plan: it costs 1062.36 USD/month, not 1061.36
        another machine: the plan: it costs 1186.28 USD/month, not 1062.36
        fewer replicas: the plan: it is down 4.36457264247437e-4 of the time, not 1.742000037489015e-4
        another machine for the database: the bill: `ecs.r7.xlarge for db` is missing
        no machine for the database: the plan: it has other services or databases than the file
        a better availability: the plan: it is down 1.742000037489015e-4 of the time, not 1.7245800371141248e-4
        no plan: `feasible`: nothing keeps every objective, says the certificate
        a plan elsewhere: the plan: it is in alicloud us-east4, which the file does not allow
        another catalogue: the certificate: it was made with catalogue 0123456789abcdef, this is 9aa71b602f52f7bb
        another space: the certificate: it is for version 0 of the space, this one checks 8
        another objective: the certificate: it is for another availability than the file asks
        no objective: the certificate: it is for another availability than the file asks
        no proof: the certificate: it cannot be read: invalid type: null, expected struct Proof
        the price of the plan: `usd_month`: it is 956.128203, and 1062.36467 is what follows
        the availability of the plan: `unavailability`: it is 0.00015678000337401136, and 0.0001742000037489015 is what follows
        the region of the plan: the plan: it is in alicloud us-east4, which the file does not allow
        the zones of the plan: `zones`: the certificate is about 3 of them
        the replicas of the plan: service `web`: it has another size than in the certificate
        the nodes of the plan: database `db`: it has another number of nodes than the file
        the price of a line: the line `ecs.c7.large for web`: it is 224.87796, and 112.43898 is what follows
        the price of a line with its sum: the bill: it is 949.92569, and 1062.36467 is what follows
        a price moved from one line to another: the line `ecs.c7.large for web`: it is 55.96949, and 56.21949 is what follows
        fewer NAT gateways: the line `NAT gateway`: it is 0.969558599695586, and 1 is what follows
        less traffic between zones: the line `GB of disk for db`: it is 220.41666666666666, and 210 is what follows
        more units of the balancer: the line `load balancer capacity unit`: it is 1.1712328767123288, and 1 is what follows
        a line left out: the bill: it is 837.4867099999999, and 1062.36467 is what follows
        another date of a price: the line `ecs.c7.large for web`: its `date` is "2026-11-01", and "2024-10-09" is what follows
        another source of a price: the line `ecs.c7.large for web`: its `source` is "the provider's own page", and "cloudpilot-ai/priceserver:pkg/client/builtin-data/alibabacloud_price.json; CNY at 7.1" is what follows
        a mark that nothing starts a line taken away: the line `ecs.c7.large for web`: its `not_applied` is null, and "4 of 4 run nothing: this version runs one agent a zone, on the machine with the first database's disk or the first machine, and all of the zone with it" is what follows
        a mark that nothing starts a line put there: the line `ecs.g7.large for db`: its `not_applied` is "nobody knows", and null is what follows
        a line of something that costs nothing: the bill: nothing in the plan costs "support around the clock"
        a line twice, once for nothing: the bill: `ecs.c7.large for web` is there twice
        how certain it is: `certain`: it is "the very cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these assumptions (26 of them) and this space (version 8): gap 0", and "the cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these assumptions (26 of them) and this space (version 8): gap 0" is what follows
        certain over other prices: `certain`: it is "the cheapest over this catalogue (prices of 2024-02 to 2026-08; 0123456789abcdef), these assumptions (26 of them) and this space (version 8): gap 0", and "the cheapest over this catalogue (prices of 2024-02 to 2026-08; 9aa71b602f52f7bb), these assumptions (26 of them) and this space (version 8): gap 0" is what follows
        nothing said of how certain it is: `certain`: it is missing
        a gap that is not there: `gap`: it is 0.1, and 0 is what follows
        the verdict: `feasible`: the objectives and the plan do not agree with it
        the version of the form: `format_version`: it is 2, and 1 is what follows
        another kind of object: `kind`: it is "what_if", and "plan" is what follows
        another application: `app`: it is "store", and "shop" is what follows
        a plan that calls itself robust: `robust`: it is true, and false is what follows
        the minutes down a year: `downtime_min_year`: it is 45.811116985886116, and 91.62223397177223 is what follows
        no minutes down a year: `downtime_min_year`: it is missing
        what is missed: `missed`: it is ["the budget is 1.00 USD/month"], and [] is what follows
        nothing said of what is missed: `missed`: it is missing
        the name of a zone: `zones`: it is ["eu-central-1z","ap-southeast-1b","ap-southeast-1c"], and ["ap-southeast-1a","ap-southeast-1b","ap-southeast-1c"] is what follows
        the version of a service: `version` of service `web`: it is "0123456789abcdef", and "d25a6b30b8848440" is what follows
        the name of a database: `name` of database `db`: it is "store", and "db" is what follows
        the engine of a database: `engine` of database `db`: it is "postgres:16", and "postgres:15" is what follows
        the mode of a database: `mode` of database `db`: it is "lease", and "quorum" is what follows
        the storage of a database: `storage_bytes` of database `db`: it is 1, and 53687091200 is what follows
        the version of a database: `version` of database `db`: it is "0123456789abcdef", and "628f67baf92ae793" is what follows
        a node in another zone: `nodes` of database `db`: it is [{"name":"db-1","zone":"ap-southeast-1b"},{"name":"db-2","zone":"ap-southeast-1b"},{"name":"db-3","zone":"ap-southeast-1c"}], and [{"name":"db-1","zone":"ap-southeast-1a"},{"name":"db-2","zone":"ap-southeast-1b"},{"name":"db-3","zone":"ap-southeast-1c"}] is what follows
        a database left out: `databases`: it has other databases than the file"#]].assert_eq(&reasons.join("\n"));
}

#[test]
fn what_is_impossible_is_proved_too_and_the_proof_can_be_refused() {
    let mut app = app();
    app.objectives.availability = "99.9999%".parse().ok();
    let whole = stored(&app);
    assert_eq!(whole["feasible"], false);
    assert_eq!(verify(&app, &options(), &whole).map(|verified| verified.gap), Ok(0.0));
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed);
        verify(&app, &options(), &changed).unwrap_err().to_string()
    };
    let better = refused(&|stored| scale(&mut closed(stored, "unavailable")["best"], 0.9));
    assert!(better.contains("its safest choices are down"), "{better}");
    let feasible = refused(&|stored| stored["feasible"] = json!(true));
    assert!(feasible.starts_with("`feasible`: nothing keeps every objective"), "{feasible}");
    let bound = refused(&|stored| {
        close_as(
            closed(stored, "unavailable"),
            json!({ "closed": "bound", "usd_month": 1e9, "multiplier": 0.0 }),
        );
    });
    assert!(bound.contains("its bound is 1000000000 USD/month"), "{bound}");
}

#[test]
fn a_dearer_plan_is_refused_even_when_it_agrees_with_itself() {
    let app = app();
    let whole = stored(&app);
    // The best of one provider, with the best of another in the catalogue.
    let other = if whole["provider"] == "aws" { "gcp" } else { "aws" };
    let only = Options { provider: Some(other.into()), ..options() };
    let Planned { plan, proof } = certified(&app, &only).unwrap();
    let mut dear = to_json(&plan, Some(&proof), 1.0);
    assert!(verify(&app, &only, &dear).is_ok());
    let refused = verify(&app, &options(), &dear).unwrap_err().to_string();
    assert!(refused.contains("is left out"), "{refused}");
    for topology in stored(&app)["certificate"]["proof"]["topologies"].as_array().unwrap() {
        if topology["provider"] != other {
            topologies(&mut dear).push(topology.clone());
        }
    }
    let refused = verify(&app, &options(), &dear).unwrap_err().to_string();
    assert!(refused.contains("cheaper"), "{refused}");
}

/// A plan that is the cheapest and misses something must say what.
#[test]
fn a_plan_over_its_budget_must_admit_it_in_its_own_words() {
    let mut app = app();
    app.objectives.budget = Some(model::Money::from_usd(10.0));
    let whole = stored(&app);
    assert!(whole["feasible"] == false && whole["certificate"]["proof"]["incumbent"].is_object());
    verify(&app, &options(), &whole).unwrap();
    for missed in [json!([]), json!(["the budget is 10.00 USD/month, and this costs 10.01, 0.01 more"])] {
        let mut changed = whole.clone();
        changed["missed"] = missed;
        assert_eq!(verify(&app, &options(), &changed).unwrap_err().place, "`missed`");
    }
    // Where nothing keeps every objective there is nothing to compute it from, but something must be said.
    app.objectives.availability = "99.9999%".parse().ok();
    let mut whole = stored(&app);
    verify(&app, &options(), &whole).unwrap();
    whole["missed"] = json!([]);
    assert_eq!(verify(&app, &options(), &whole).unwrap_err().place, "`missed`");
}

#[test]
fn a_certificate_that_looked_at_one_way_to_pay_for_ways_out_alone_is_refused() {
    let (app, only) = (app(), Options { provider: Some("gcp".into()), ..options() });
    let Planned { plan, proof } = certified(&app, &only).unwrap();
    let whole = to_json(&plan, Some(&proof), 1.0);
    let shown = verify(&app, &only, &whole).unwrap();
    assert_eq!(topologies(&mut whole.clone()).len(), 2 * shown.topologies);
    let changes: &[(&str, Change)] = &[
        ("no machine pays", |stored| topologies(stored).retain(|one| one["nat"] == "gateway")),
        ("no gateway is paid for", |stored| topologies(stored).retain(|one| one["nat"] == "machine")),
        ("nothing is said of it", |stored| {
            topologies(stored).iter_mut().for_each(|one| drop(one.as_object_mut().unwrap().remove("nat")));
        }),
        ("another way", |stored| topologies(stored)[0]["nat"] = json!("address")),
        ("the two exchanged", |stored| {
            let other = |one: &Value| if one["nat"] == "machine" { "gateway" } else { "machine" };
            topologies(stored).iter_mut().for_each(|one| one["nat"] = json!(other(one)));
        }),
        ("the machines said to cost no less", |stored| {
            let machines = topologies(stored).iter_mut().filter(|one| one["nat"] == "machine");
            machines.for_each(|one| close_as(one, json!({ "closed": "other_way" })));
        }),
        ("fewer machines behind it", |stored| {
            moved(stored, "machine behind the NAT gateway", "public address");
        }),
    ];
    let mut reasons = Vec::new();
    for (what, change) in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        assert_ne!(changed, whole, "{what}");
        reasons.push(format!("{what}: {}", verify(&app, &only, &changed).unwrap_err()));
    }
    // The gateway at its own price, in the bill and in all that is said of it.
    let mut changed = whole;
    let lines = changed["lines"].as_array_mut().unwrap();
    let line = lines.iter_mut().find(|line| line["item"] == "machine behind the NAT gateway").unwrap();
    let usd = plan.usd_month.usd() - line["usd_month"].as_f64().unwrap() + 32.12;
    line["item"] = json!("NAT gateway");
    (line["quantity"], line["unit_usd"], line["usd_month"]) = (json!(1.0), json!(32.12), json!(32.12));
    changed["usd_month"] = json!(usd);
    reasons.push(format!("paid by the gateway in the bill: {}", verify(&app, &only, &changed).unwrap_err()));
    changed["certificate"]["proof"]["incumbent"]["micro_usd"] = json!((usd * 1e6).round() as i64);
    reasons.push(format!("and in the certificate: {}", verify(&app, &only, &changed).unwrap_err()));
    expect_test::expect![[r#"
        no machine pays: the certificate: gcp asia-southeast1 with 1 zone, NAT paid by the machine is left out
        no gateway is paid for: the certificate: gcp asia-southeast1 with 1 zone is left out
        nothing is said of it: the certificate: gcp asia-southeast1 with 1 zone is there twice
        another way: the certificate: it cannot be read: unknown variant `address`, expected `gateway` or `machine`
        the two exchanged: gcp asia-southeast1 with 3 zones, NAT paid by the machine: with 11 to 20 machines the other way to pay for its NAT may cost more
        the machines said to cost no less: gcp asia-southeast1 with 1 zone, NAT paid by the machine: with 9 to 19 machines the other way to pay for its NAT may cost more
        fewer machines behind it: the line `machine behind the NAT gateway`: it is 14.021526418786692, and 15 is what follows
        paid by the gateway in the bill: `usd_month`: it is 1079.64012, and 1062.85012 is what follows
        and in the certificate: the plan: it costs 1062.85 USD/month, not 1079.64"#]].assert_eq(&reasons.join("\n"));
}

#[test]
fn another_file_or_another_catalogue_is_another_certificate() {
    let mut app = app();
    let mut whole = stored(&app);
    let mut dearer = options();
    dearer.catalog.regions[0].machines[0].price.usd *= 1.01;
    let refused = verify(&app, &dearer, &whole).unwrap_err().to_string();
    assert!(refused.starts_with("the certificate: it was made with catalogue"), "{refused}");
    // Everything cheaper by half: the fingerprint alone is not what protects.
    for offer in &mut dearer.catalog.regions {
        offer.machines.iter_mut().for_each(|machine| machine.price.usd *= 0.5);
    }
    whole["certificate"]["proof"]["catalogue"] = json!(crate::proof::fingerprint(&dearer.catalog));
    let refused = verify(&app, &dearer, &whole).unwrap_err().to_string();
    assert!(refused.starts_with("the plan: it costs"), "{refused}");
    whole = stored(&app);
    app.services[0].load = app.services[0].load.map(|load| model::Load { peak: Rate(4_000.0), ..load });
    assert!(verify(&app, &options(), &whole).is_err());
    app = super::tests::app();
    app.placement.regions = vec![Region("eu-central".into())];
    assert!(verify(&app, &options(), &whole).unwrap_err().to_string().contains("is not in the space"));
}

#[test]
fn a_plan_for_this_machine_has_a_certificate_too() {
    let mut app = crate::tests::shop();
    let whole = stored(&app);
    assert_eq!(verify(&app, &options(), &whole).map(|verified| verified.topologies), Ok(1));
    app.services[0].scale.min = 9;
    assert!(verify(&app, &options(), &whole).is_err());
}
