use model::{App, Bytes, Cache, CacheLoss, CacheName, Duration, Layout, Scope, Sharing};
use serde_json::{Value, json};

use super::*;
use crate::change::tests::shop_with_a_database;
use crate::tests::{few, made, options, shop};
use crate::{Options, Relaxed, Terms, certified, explain, html, render, to_json, verify};

pub(crate) fn cache(memory: &str, shards: u8, replicas: u8) -> Cache {
    let (name, engine) = (CacheName::new("cache").unwrap(), "redis:7".to_owned());
    Cache { name, engine, memory: memory.parse().unwrap(), shards, replicas, loss: CacheLoss::Outage }
}

/// The shop with a database and a cache.
fn cached(shards: u8, replicas: u8) -> App {
    let mut app = shop_with_a_database();
    app.objectives.budget = None;
    app.caches = vec![cache("2G", shards, replicas)];
    app
}

fn apart(app: &mut App) {
    app.placement.machines = Some(Sharing::Apart);
}

#[test]
fn a_node_takes_its_memory_and_what_is_not_keys() {
    let market = few();
    let offer = market.regions.iter().find(|offer| offer.provider == "aws").unwrap();
    let held = |memory: &str| {
        let machine = machine(&cache(memory, 1, 0), Market::Cloud(offer));
        machine.map(|machine| (machine.mem_gib, machine.vcpu))
    };
    for (memory, gib) in [("1G", 4.0 / 3.0), ("6G", 8.0), ("12G", 16.0), ("13G", 52.0 / 3.0)] {
        assert_eq!(takes_of(&cache(memory, 1, 0)), (1.0, gib));
        assert!(held(memory).unwrap().0 >= gib * (1.0 - 1e-12), "{memory}");
    }
    assert_eq!(held("4T"), None);
    assert!(is_held(Market::Local, None));
}

#[test]
fn nodes_of_every_shard_stand_in_the_zones_in_turn() {
    let check = |shards, replicas, zones, most| {
        assert_eq!(
            in_fullest_zone(&cache("1G", shards, replicas), zones),
            most,
            "{shards} {replicas} {zones}"
        );
    };
    check(1, 0, 3, 1);
    check(1, 1, 3, 1);
    check(1, 3, 3, 2);
    check(4, 2, 3, 4);
    check(4, 2, 1, 12);
}

/// What is missed by a cache of so many replicas, with each objective asked.
#[track_caller]
fn misses(replicas: u8, zones: u32, layout: Layout, edit: impl FnOnce(&mut App), expected: &[&str]) {
    let mut app = cached(1, replicas);
    app.objectives.rto = model::PerScope::default();
    app.objectives.rpo = model::PerScope::default();
    app.objectives.survive.clear();
    edit(&mut app);
    let assumptions = Terms::default().assumptions(&app).unwrap();
    let all = missed(&app, Spread { zones, layout }, &assumptions);
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for (said, expected) in all.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn what_a_cache_misses_depends_on_its_copies_and_where_they_are() {
    let zone = |app: &mut App| app.objectives.survive = vec![Scope::Zone];
    let node = |app: &mut App| app.objectives.survive = vec![Scope::Node];
    misses(0, 3, Layout::Apart, zone, &["`survive: [zone]` was asked, and `cache` has one copy"]);
    misses(0, 3, Layout::Apart, node, &["`survive: [node]` was asked, and `cache` has one copy"]);
    misses(1, 3, Layout::Apart, zone, &[]);
    misses(1, 1, Layout::Apart, node, &[]);
    misses(
        1,
        1,
        Layout::Together,
        node,
        &["`survive: [node]` was asked, and all copies of `cache` are lost"],
    );
    // Of one zone this is said of the whole.
    misses(1, 1, Layout::Apart, zone, &[]);
    let rto = |ms: u64| {
        move |app: &mut App| {
            app.objectives.rto.node = Some(Duration(ms));
            app.objectives.rto.zone = Some(Duration(ms));
        }
    };
    let [by_node, by_zone] =
        ["node", "zone"].map(|word| format!("`rto: {{ {word}: 10s }}` was asked, and for `cache`"));
    misses(1, 3, Layout::Apart, rto(10_000), &[&by_node, &by_zone]);
    misses(1, 3, Layout::Apart, rto(15_000), &[]);
    misses(
        0,
        3,
        Layout::Apart,
        rto(600_000),
        &["`rto: { zone: 10m }` was asked, and for `cache` it is repaired"],
    );
    let tolerated = |app: &mut App| {
        rto(1)(app);
        app.objectives.survive = vec![Scope::Zone, Scope::Node];
        app.caches[0].loss = CacheLoss::Tolerated;
    };
    misses(0, 3, Layout::Apart, tolerated, &[]);
}

#[test]
fn each_shard_of_a_cache_that_is_needed_is_a_group() {
    let mut app = cached(1, 1);
    app.assume = [
        ("cache_node.per_year", 8_766.0 / 2_160.0),
        ("cache_node.hours", 1.0 / 6.0),
        ("takeover_cache.seconds", 15.0),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let assumptions = Terms::default().assumptions(&app).unwrap();
    let [group] = groups(&app, &assumptions, Level::Mid).unwrap().try_into().unwrap();
    assert_eq!((group.nodes, group.needed, group.witnesses), (2, 1, 0));
    assert_eq!(group.takeover.map(|takeover| takeover.seconds), Some(15.0));
    app.caches[0].replicas = 0;
    let [group] = groups(&app, &assumptions, Level::Mid).unwrap().try_into().unwrap();
    assert_eq!((group.nodes, group.takeover), (1, None));
    app.caches[0].shards = 3;
    assert_eq!(groups(&app, &assumptions, Level::Mid).unwrap().len(), 3);
    app.caches[0].loss = CacheLoss::Tolerated;
    assert!(groups(&app, &assumptions, Level::Mid).unwrap().is_empty());
}

#[test]
fn a_cache_costs_and_is_down_what_its_nodes_do() {
    let without = made(&shop_with_a_database());
    for layout in [Sharing::Apart, Sharing::Together] {
        let mut last = f64::INFINITY;
        for replicas in [0, 1] {
            let mut app = cached(1, replicas);
            app.objectives.survive_nothing = true;
            app.objectives.survive.clear();
            app.objectives.rto = model::PerScope::default();
            app.objectives.availability = None;
            app.placement.machines = Some(layout);
            let plan = made(&app);
            assert!(plan.feasible, "{:?}", plan.missed);
            let down = plan.availability.unavailability;
            assert!(down < last, "a replica that makes it worse");
            last = down;
            assert_eq!(plan.caches, app.caches);
        }
    }
    let mut app = cached(1, 0);
    app.caches[0].loss = CacheLoss::Tolerated;
    app.objectives.budget = without.objectives.budget;
    apart(&mut app);
    let tolerated = made(&app);
    let cost = |item: &str| {
        tolerated.lines.iter().find(|line| line.item.starts_with(item) && line.item.ends_with("for cache"))
    };
    assert!(cost("GB of disk").is_some(), "{:?}", tolerated.lines);
    assert!(!tolerated.causes.iter().any(|cause| cause.name.contains("cache")), "{:?}", tolerated.causes);
}

#[test]
fn a_cache_shows_wherever_a_plan_does() {
    let mut app = cached(2, 1);
    apart(&mut app);
    app.objectives.rto = model::PerScope::default();
    let explained = explain(&app, &options(), &Terms::default(), "2026-12-01").unwrap();
    let plan = &explained.planned.plan;
    let page = render(plan, &Relaxed::default(), 300, false);
    for said in [
        "caches, planned and not run\n  cache  redis:7, 2 shards of 2G, 2 copies of each\n",
        "`cache` has 2 copies of each shard: when the primary is lost, another takes over; without it the application is down",
        "a node of a cache fails 4/year",
        "a replica of a cache serves after 15 s",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
    assert!(html(&explained, "2026-12-01").contains("cache-2.1"), "the picture has every node");
    let json = to_json(plan, Some(&explained.planned.proof), 0.0);
    let told = json!([{ "name": "cache", "engine": "redis:7", "memory_bytes": 2_147_483_648_u64, "shards": 2,
        "replicas": 1, "nodes": 4, "loss": "outage" }]);
    assert_eq!(json["caches"], told);
    let here = made(&{
        let mut app = shop();
        app.caches = vec![cache("2G", 1, 1)];
        app
    });
    let line = here.lines.iter().find(|line| line.item == "node of cache on this machine").unwrap();
    assert_eq!((line.quantity, line.not_applied.is_some()), (2.0, true));
}

#[test]
fn a_cache_that_keeps_nothing_is_told_what_would_do() {
    let mut app = cached(1, 0);
    app.objectives.rto = model::PerScope::default();
    app.objectives.rpo = model::PerScope::default();
    app.objectives.survive = vec![Scope::Zone];
    let explained = explain(&app, &options(), &Terms::default(), "2026-12-01").unwrap();
    assert!(!explained.planned.plan.feasible);
    let ways = &explained.relaxed.ways;
    let each = ways.iter().map(|way| way.changes.iter().map(|given| given.what_if.clone()).collect());
    let all: Vec<Vec<String>> = each.collect();
    assert!(all.contains(&vec!["replicas cache 1".to_owned()]), "{all:?}");
}

#[test]
fn absurd_caches_are_refused() {
    let check = |edit: fn(&mut App), says: &str| {
        let mut app = cached(1, 1);
        edit(&mut app);
        let error = certified(&app, &options()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    check(|app| app.caches[0].shards = 0, "`shards` of `cache` is 0");
    check(|app| app.caches[0].replicas = 6, "`replicas` of `cache` is 6");
    check(|app| app.caches[0].memory = Bytes(0), "`memory` of `cache` is 0");
    check(|app| app.caches[0].shards = 41, "the caches have 41 shards");
    check(|app| app.caches.push(app.caches[0].clone()), "`cache` is there twice");
    check(|app| app.caches[0].name = CacheName::new("db").unwrap(), "`db` is there twice");
    check(|app| app.caches = vec![cache("1G", 1, 0); 21], "the app has 21 caches");
    check(
        |app| {
            app.caches[0].memory = Bytes(1 << 45);
            app.placement.machines = Some(Sharing::Apart);
        },
        "holds a node of cache `cache` with `memory: 32T`",
    );
}

type Change = (&'static str, fn(&mut Value));

/// The line of the bill that ends with these words.
fn line<'v>(stored: &'v mut Value, item: &str) -> &'v mut Value {
    let mut lines = stored["lines"].as_array_mut().unwrap().iter_mut();
    lines.find(|line| line["item"].as_str().unwrap().ends_with(item)).unwrap()
}

const CHANGES: &[Change] = &[
    ("no caches", |stored| drop(stored.as_object_mut().unwrap().remove("caches"))),
    ("fewer copies", |stored| stored["caches"][0]["replicas"] = json!(0)),
    ("less memory", |stored| stored["caches"][0]["memory_bytes"] = json!(1)),
    ("a loss that is tolerated", |stored| stored["caches"][0]["loss"] = json!("tolerated")),
    ("another cache", |stored| stored["caches"][0]["name"] = json!("other")),
    ("another machine for the cache", |stored| {
        stored["certificate"]["proof"]["incumbent"]["caches"][0] = json!("r7.huge");
    }),
    ("no machine for the cache", |stored| {
        stored["certificate"]["proof"]["incumbent"]["caches"] = json!([]);
    }),
    ("a machine for the cache that is none", |stored| {
        stored["certificate"]["proof"]["incumbent"]["caches"][0] = json!(null);
    }),
    ("a space without caches", |stored| stored["certificate"]["proof"]["space"] = json!(7)),
    ("a takeover that is quicker", |stored| {
        let all = stored["certificate"]["proof"]["assumptions"].as_array_mut().unwrap();
        let one = all.iter_mut().find(|one| one["name"] == "takeover_cache.seconds").unwrap();
        one["value"] = json!(1.0);
    }),
];

const BILLED: &[Change] = &[
    ("fewer nodes on the bill", |stored| line(stored, "for cache")["quantity"] = json!(1.0)),
    ("a mark taken away", |stored| line(stored, "for cache")["not_applied"] = json!(null)),
    ("a mark of its disks taken away", |stored| line(stored, "disk for cache")["not_applied"] = json!(null)),
    ("less between zones", |stored| line(stored, "zones for cache")["quantity"] = json!(1.0)),
];

const SHARED: &[Change] = &[("a mark taken away", |stored| stored["lines"][0]["not_applied"] = json!(null))];

#[test]
fn every_certificate_whose_caches_were_tampered_with_is_refused() {
    for (sharing, more) in [(Sharing::Apart, BILLED), (Sharing::Together, SHARED)] {
        let mut app = cached(1, 1);
        app.placement.machines = Some(sharing);
        app.objectives.rto = model::PerScope::default();
        let options = Options { catalog: few().clone(), provider: None };
        let planned = certified(&app, &options).unwrap();
        assert!(planned.plan.feasible, "{:?}", planned.plan.missed);
        let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
        verify(&app, &options, &stored).unwrap();
        for (what, change) in CHANGES.iter().chain(more) {
            let mut other = stored.clone();
            change(&mut other);
            assert_ne!(other, stored, "{what}");
            assert!(verify(&app, &options, &other).is_err(), "{what}");
        }
        // Another cache in the file is another plan.
        for edit in [
            (|app: &mut App| app.caches[0].replicas = 2) as fn(&mut App),
            |app| app.caches[0].loss = CacheLoss::Tolerated,
            |app| app.caches[0].memory = Bytes(40 << 30),
            |app| app.caches.clear(),
        ] {
            let mut other = app.clone();
            edit(&mut other);
            assert!(verify(&other, &options, &stored).is_err());
        }
    }
}

#[test]
fn the_picture_tells_what_this_version_leaves_idle() {
    for (sharing, idle, said) in
        [(Sharing::Apart, "machine idle", "left idle"), (Sharing::Together, "not run", "not run")]
    {
        let mut app = cached(1, 1);
        app.placement.machines = Some(sharing);
        app.objectives.rto = model::PerScope::default();
        let explained = explain(&app, &options(), &Terms::default(), "2026-12-01").unwrap();
        let parts: Vec<_> = explained.places.iter().flat_map(|zone| &zone.machines).collect();
        let working: Vec<&str> =
            parts.iter().filter(|part| !part.idle).map(|part| part.of.as_str()).collect();
        // Apart: one agent a zone, beside the first database's disk.
        match sharing {
            Sharing::Apart => assert_eq!(working, ["db"; 3]),
            _ => assert_eq!(parts.len() - working.len(), 2, "two copies of a cache"),
        }
        let page = html(&explained, "2026-12-01");
        assert!(page.contains(idle) && page.contains(said), "{sharing:?}");
    }
}
