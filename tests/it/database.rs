//! A database of three nodes as a user has it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::inside::{Ending, Inside, Write, primary_of, zone_of};
use crate::promises;
use crate::site::{Site, last_json, program, root, text, unit};

const WITH_DATABASE: &str = "name: shop
objectives: { rto: { node: 60s, zone: 60s }, rpo: { node: 0s } }
placement: { zones: 3 }
services:
  web:
    command: [\"@shop@\", \"--address\", \"${address}\", \"--port\", \"${port}\"]
    environment: { DATABASE_URL: \"${db.url}\" }
    healthcheck: { http: /healthz, interval: 1s, timeout: 500ms, retries: 2, start_timeout: 10s }
    resources: { cpus: 1, memory: 128M }
    replicas: 3
databases:
  db: { engine: postgres:15, standbys: 2 }
ingress:
  - { listen: \"@port@\", to: web }
";

/// Whether PostgreSQL is here; otherwise says so, and fails where everything is required.
pub fn postgres(test: &str) -> bool {
    let there = std::path::Path::new("/usr/lib/postgresql/15/bin/postgres").exists();
    if !there {
        eprintln!("SKIPPED {test}: Debian's `postgresql-15` is not here");
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test} needs PostgreSQL 15");
    }
    there
}

/// Every node of the database is well.
pub fn whole(status: &serde_json::Value) -> bool {
    let database = &status["databases"][0];
    let nodes = ["db-1", "db-2", "db-3"];
    database["healthy"] == true
        && nodes.iter().all(|name| unit(status, name).is_some_and(|unit| unit["healthy"] == true))
}

/// The zone with the primary, and the orders of the shop: what was on its way there is looked up afterwards.
fn zone_drills(site: &Site) {
    for how in ["kill", "freeze"] {
        let status = site.until("a whole database", Duration::from_secs(90), whole);
        let zone = zone_of(&status, primary_of(&status));
        let words = ["--json", "drill", "zone", zone, "--fault", how, "--duration", "5", "--rate", "100"];
        let verdict = last_json(&site.expect(0, &words));
        assert_eq!(verdict["fault"], format!("zone/{how}"), "{verdict:#}");
        assert_eq!(verdict["objectives_met"], true, "{verdict:#}");
        assert_eq!(verdict["failed"], verdict["unsavable"], "{verdict:#}");
        assert_eq!(
            (&verdict["lost_writes"], &verdict["double_effects"]),
            (&0.into(), &0.into()),
            "{verdict:#}"
        );
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        let moved = site.until("a whole database again", Duration::from_secs(90), whole);
        assert_ne!(primary_of(&moved), primary_of(&status), "nothing was broken");
    }
}

#[test]
fn a_database_outlives_its_primary_and_moves_where_it_is_wanted() {
    if !postgres("a database of three nodes") {
        return;
    }
    let _ = program("shop");
    let site = Site::new("database", WITH_DATABASE);
    site.up(&[]);
    site.until("a whole database", Duration::from_secs(60), whole);
    promises::a_dump_brings_back_what_was_dropped_by_the_commands_of_the_documentation(&site);
    promises::a_primary_whose_agent_is_killed_serves_on_and_is_taken_over(&site);

    for how in ["kill", "freeze"] {
        let words = ["--json", "drill", "primary", "--fault", how, "--duration", "8", "--rate", "60"];
        let struck = site.status()["databases"][0]["primary"].clone();
        let output = site.expect(0, &words);
        let verdict = last_json(&output);
        assert_eq!(verdict["fault"], format!("primary/{how}"), "{verdict:#}");
        assert_eq!(verdict["target"], struck, "{verdict:#}");
        assert_eq!(verdict["lost_writes"], 0, "{verdict:#}");
        assert_eq!(verdict["stale_reads"], 0, "{verdict:#}");
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        assert!(verdict["rto_ms"].as_f64().is_some_and(|rto| rto > 0.0), "nothing was broken: {verdict:#}");
        site.until("a whole database again", Duration::from_secs(90), whole);
    }

    zone_drills(&site);
    promises::a_primary_that_is_left_alone_says_so_within_five_seconds_and_loses_nothing(&site);

    let before = site.status()["databases"][0].clone();
    let from = before["primary"].as_str().unwrap().to_owned();
    let to = ["db-1", "db-2", "db-3"].into_iter().find(|name| *name != from).unwrap();
    site.expect(0, &["failover", "db", "--to", to]);
    let after =
        site.until("the heir", Duration::from_secs(30), |status| status["databases"][0]["primary"] == to);
    assert!(after["databases"][0]["term"].as_u64() > before["term"].as_u64());
    site.expect(1, &["failover", "no-such"]);
    site.expect(1, &["drill", "primary", "no-such"]);

    let told = text(&site.expect(0, &["logs", "db", "-n", "20000"]).stdout);
    for (unit, words) in [("db-1", "LOG:"), ("db-2", "LOG:"), ("db-3", "LOG:"), ("db-1", "keeper started")] {
        let line = |line: &str| line.starts_with(unit) && line.contains(words);
        assert!(told.lines().any(line), "`{words}` of {unit} is not in\n{told}");
    }
    let units = told.lines().filter_map(|line| line.split_whitespace().next());
    assert!(
        units.collect::<Vec<_>>().windows(2).filter(|two| two[0] != two[1]).count() > 2,
        "by time, not by node"
    );
    site.expect(0, &["down"]);

    // Started again with another database above it in the file: the same ports.
    let entries = after["databases"][0]["entries"].clone();
    let second =
        WITH_DATABASE.replace("databases:\n", "databases:\n  audit: { engine: postgres:15, standbys: 2 }\n");
    site.write(&second);
    site.up(&[]);
    let status = site.status();
    let db = status["databases"].as_array().unwrap().iter().find(|one| one["name"] == "db").unwrap();
    assert_eq!(db["entries"], entries, "{status:#}");
    site.expect(0, &["down", "--delete-data"]);
}

/// The database and its two nodes are well, and one may stand in for the other.
fn doubled(status: &serde_json::Value) -> bool {
    let database = &status["databases"][0];
    let well = |name: &str| unit(status, name).is_some_and(|unit| unit["healthy"] == true);
    database["healthy"] == true && database["rpo_ms"] == 8_000 && well("db-1") && well("db-2")
}

#[test]
fn a_database_with_one_standby_says_what_that_may_cost_and_is_taken_over_by_it() {
    if !postgres("a database of two nodes") {
        return;
    }
    let _ = program("shop");
    let two = WITH_DATABASE.replace("standbys: 2", "standbys: 1");
    let site = Site::new("lease", &two);
    let refused = site.run(&["up", "--detach"]);
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.contains("(write `standbys: 2`)"), "{told}");
    site.write(&two.replace("rpo: { node: 0s }", "rpo: { node: 8s }"));
    let isolated: &[&str] = match root("a two-node database whose primary is cut off") {
        true => &["--isolate"],
        false => &[],
    };
    site.up(isolated);
    site.until("a database of two nodes", Duration::from_secs(60), doubled);
    for how in ["kill", "freeze"] {
        let words = ["--json", "drill", "primary", "--fault", how, "--duration", "8", "--rate", "60"];
        let verdict = last_json(&site.expect(0, &words));
        assert_eq!(verdict["fault"], format!("primary/{how}"), "{verdict:#}");
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        site.until("a database of two nodes again", Duration::from_secs(90), doubled);
    }
    if !isolated.is_empty() {
        cut_off_under_a_lease(&site);
    }
    // More nodes and back, while it serves.
    let term = site.status()["databases"][0]["term"].clone();
    site.write(WITH_DATABASE);
    site.up(isolated);
    site.until("a whole database", Duration::from_secs(90), whole);
    site.write(&two.replace("rpo: { node: 0s }", "rpo: { node: 8s }"));
    site.up(isolated);
    let after = site.until("a database of two nodes", Duration::from_secs(60), doubled);
    assert_eq!(after["databases"][0]["term"], term, "a needless failover");
    site.expect(0, &["down", "--delete-data"]);
}

/// Cut off, a primary is ended by its own clock alone. Until then it acknowledges to clients of its own zone, who lose as
/// much as is stated; from the other one's first acknowledgement on, nothing.
fn cut_off_under_a_lease(site: &Site) {
    const EVENT_MS: u64 = 13_000;
    const RPO_MS: u64 = 8_000;
    let status = site.until("a database of two nodes", Duration::from_secs(90), doubled);
    let struck = primary_of(&status);
    let heir = ["db-1", "db-2"].into_iter().find(|name| *name != struck).unwrap();
    let [inside, beside] =
        [struck, heir].map(|node| Inside::of_zone(site, &status, zone_of(&status, node), 1));
    inside.table("cut");
    let stop = AtomicBool::new(false);
    let (verdict, within, outside) = std::thread::scope(|scope| {
        let within = scope.spawn(|| inside.write("cut", 0, &stop));
        let outside = scope.spawn(|| beside.write("cut", 1_000_000, &stop));
        let duration = (EVENT_MS / 1_000).to_string();
        let words = ["--json", "drill", "primary", "--fault", "cut", "--duration", &duration, "--rate", "60"];
        let ending = Ending(&stop);
        let output = site.run(&words);
        drop(ending);
        assert_eq!(output.status.code(), Some(0), "the objectives were missed");
        (last_json(&output), within.join().unwrap(), outside.join().unwrap())
    });
    assert_eq!(
        (&verdict["fault"], &verdict["target"]),
        (&"primary/cut".into(), &struck.into()),
        "{verdict:#}"
    );
    assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");

    let at_ms = verdict["at_ms"].as_u64().unwrap();
    // Sent after the cut, and ended before it did.
    let cut = |write: &&Write| write.sent_ms > at_ms + 1_000 && write.ended_ms < at_ms + EVENT_MS;
    let acked =
        |writes: &[Write]| writes.iter().filter(cut).filter(|write| write.acked).copied().collect::<Vec<_>>();
    let (by_old, by_heir) = (acked(&within), acked(&outside));
    let served_ms = by_heir.first().unwrap_or_else(|| panic!("nobody took over: {outside:?}")).ended_ms;
    let ended_ms = by_old.last().unwrap_or_else(|| panic!("it was not cut off alone: {within:?}")).ended_ms;
    println!(
        "MEASURED lease, cut off: acknowledged to its own zone until {} ms after the cut, the other one from {} ms on",
        ended_ms - at_ms,
        served_ms - at_ms
    );
    assert!(ended_ms < served_ms, "two primaries acknowledged: {by_old:?} {by_heir:?}");
    let tried = within.iter().filter(cut).filter(|write| write.sent_ms > served_ms).count();
    assert!(tried >= 2, "nothing was tried once the other one served: {within:?}");

    let moved = site.until("a database of two nodes again", Duration::from_secs(90), doubled);
    assert_eq!(primary_of(&moved), heir, "nobody took over");
    let survived = beside.ids("cut");
    let gone = |write: &&Write| write.acked && !survived.contains(&write.id);
    for write in within.iter().chain(&outside).filter(gone) {
        let stated = write.ended_ms <= ended_ms && write.ended_ms + RPO_MS >= ended_ms;
        assert!(stated, "lost, and not in the last {RPO_MS} ms before {ended_ms}: {write:?}");
    }
    let lost = within.iter().filter(gone).count();
    assert!(lost > 0, "nothing was at stake: {by_old:?}");
    beside.run("DROP TABLE cut").unwrap();
}

#[test]
fn two_copies_and_a_witness_lose_nothing() {
    if !postgres("a database with a witness") {
        return;
    }
    let _ = program("shop");
    let witnessed = WITH_DATABASE.replace("standbys: 2", "standbys: 1, witness: true");
    let site = Site::new("witness", &witnessed);
    site.up(&[]);
    let status = site.until("a whole database", Duration::from_secs(60), whole);
    assert_eq!(unit(&status, "db-3").unwrap()["role"], "witness", "{status:#}");
    for how in ["kill", "freeze"] {
        let words = ["--json", "drill", "primary", "--fault", how, "--duration", "8", "--rate", "60"];
        let struck = site.status()["databases"][0]["primary"].clone();
        let verdict = last_json(&site.expect(0, &words));
        assert_eq!((&verdict["target"], &verdict["lost_writes"]), (&struck, &0.into()), "{verdict:#}");
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        let moved = site.until("a whole database again", Duration::from_secs(90), whole);
        assert_ne!(moved["databases"][0]["primary"], struck, "nothing was broken");
    }
    site.expect(1, &["failover", "db", "--to", "db-3"]);
    promises::a_witness_becomes_a_standby_and_one_again(&site, &witnessed, WITH_DATABASE);
    site.expect(0, &["down", "--delete-data"]);
}

/// Nobody but a client in the same zone can tell what a primary does that is cut off.
#[test]
fn a_primary_that_is_cut_off_acknowledges_nothing_and_is_followed_in_time() {
    const NAME: &str = "a_primary_that_is_cut_off_acknowledges_nothing_and_is_followed_in_time";
    const EVENT_MS: u64 = 7_000;
    if !postgres(NAME) || !root(NAME) {
        return;
    }
    let site = Site::new("cut-primary", &WITH_DATABASE.replace("rto: { node: 60s", "rto: { node: 10s"));
    site.up(&["--isolate"]);
    let status = site.until("a whole database", Duration::from_secs(60), whole);
    let struck = primary_of(&status);
    let inside = Inside::of_zone(&site, &status, zone_of(&status, struck), 1);
    inside.table("inside");

    let stop = AtomicBool::new(false);
    let (verdict, writes) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| inside.write("inside", 0, &stop));
        let duration = (EVENT_MS / 1_000).to_string();
        let words =
            ["--json", "drill", "primary", "db", "--fault", "cut", "--duration", &duration, "--rate", "60"];
        let ending = Ending(&stop);
        let output = site.run(&words);
        drop(ending);
        assert_eq!(output.status.code(), Some(0), "the objectives were missed");
        (last_json(&output), writer.join().unwrap())
    });
    assert_eq!(
        (&verdict["fault"], &verdict["target"]),
        (&"primary/cut".into(), &struck.into()),
        "{verdict:#}"
    );
    assert_eq!((&verdict["lost_writes"], &verdict["stale_reads"]), (&0.into(), &0.into()), "{verdict:#}");
    assert_eq!(verdict["objectives_met"], true, "{verdict:#}");
    assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
    let rto_ms = verdict["rto_ms"].as_f64().unwrap();
    assert!(rto_ms > 500.0 && rto_ms < 10_000.0, "{verdict:#}");

    // Sent after the cut, and given up before it ended.
    let at_ms = verdict["at_ms"].as_u64().unwrap();
    let cut = (at_ms + 1_000)..(at_ms + EVENT_MS - 1_500);
    let tried = writes.iter().filter(|write| cut.contains(&write.sent_ms));
    let acked = tried.clone().filter(|write| write.acked).count();
    assert!(tried.count() >= 3, "nothing was tried: {writes:?} {cut:?}");
    assert_eq!(acked, 0, "the primary that is cut off acknowledged: {writes:?} {cut:?}");
    assert!(writes.iter().any(|write| write.acked && write.sent_ms < at_ms), "{writes:?}");
    let moved = site.until("a whole database again", Duration::from_secs(60), whole);
    assert_ne!(moved["databases"][0]["primary"], struck, "nobody took over");
    let survived = inside.ids("inside");
    for write in writes.iter().filter(|write| write.acked) {
        assert!(survived.contains(&write.id), "{write:?} was acknowledged and is gone");
    }
    site.expect(0, &["down", "--delete-data"]);
}
