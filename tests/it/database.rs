//! A database of three nodes as a user has it.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

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

#[test]
fn a_database_outlives_its_primary_and_moves_where_it_is_wanted() {
    if !postgres("a database of three nodes") {
        return;
    }
    let _ = program("shop");
    let site = Site::new("database", WITH_DATABASE);
    site.up(&[]);
    site.until("a whole database", Duration::from_secs(60), whole);

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

    // The zone with the primary, and the orders of the shop: what was on its way there is looked up afterwards.
    let status = site.status();
    let primary = status["databases"][0]["primary"].as_str().unwrap();
    let zone = unit(&status, primary).unwrap()["zone"].as_str().unwrap().to_owned();
    let output = site.expect(0, &["--json", "drill", "zone", &zone, "--duration", "5", "--rate", "100"]);
    let verdict = last_json(&output);
    assert_eq!(verdict["failed"], verdict["unsavable"], "{verdict:#}");
    assert_eq!((&verdict["lost_writes"], &verdict["double_effects"]), (&0.into(), &0.into()), "{verdict:#}");
    let moved = site.until("a whole database again", Duration::from_secs(90), whole);
    assert_ne!(moved["databases"][0]["primary"], status["databases"][0]["primary"], "nothing was broken");

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
    // Cut off, it is ended by its own clock alone.
    let (isolated, faults): (&[&str], _) = match root("a two-node database whose primary is cut off") {
        true => (&["--isolate"], ["kill", "freeze", "cut"].as_slice()),
        false => (&[], ["kill", "freeze"].as_slice()),
    };
    site.up(isolated);
    site.until("a database of two nodes", Duration::from_secs(60), doubled);
    for how in faults {
        let words = ["--json", "drill", "primary", "--fault", how, "--duration", "8", "--rate", "60"];
        let verdict = last_json(&site.expect(0, &words));
        assert_eq!(verdict["fault"], format!("primary/{how}"), "{verdict:#}");
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        site.until("a database of two nodes again", Duration::from_secs(90), doubled);
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

#[test]
fn two_copies_and_a_witness_lose_nothing() {
    if !postgres("a database with a witness") {
        return;
    }
    let _ = program("shop");
    let site = Site::new("witness", &WITH_DATABASE.replace("standbys: 2", "standbys: 1, witness: true"));
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
    site.expect(0, &["down", "--delete-data"]);
}

/// A client in the network of a zone that writes numbers, each once, on the way applications there go.
struct Inside {
    /// `nsenter` and `psql`, up to the statement.
    words: Vec<String>,
    password: String,
}

/// One write of a client: when it was sent, by Unix time in milliseconds, and whether it was acknowledged.
type Write = (u64, bool);

impl Inside {
    /// In the network of the process `pid`, through the front at `entry`.
    fn new(site: &Site, pid: &Value, entry: &str) -> Inside {
        let secrets = identity::Secrets::open(&site.state().join("identity")).unwrap();
        let password = secrets.get("db.application").unwrap().unwrap().expose().to_string();
        let (host, port) = entry.rsplit_once(':').unwrap();
        let place = format!("host={host} port={port} user=shop dbname=shop connect_timeout=1");
        let network = format!("--net=/proc/{pid}/ns/net");
        let words =
            ["nsenter", &network, "--", "timeout", "1", "/usr/lib/postgresql/15/bin/psql", "-XAtqd", &place];
        Inside { words: words.map(str::to_owned).to_vec(), password }
    }

    /// What a statement gave; `None`: it failed, or not within a second.
    fn run(&self, sql: &str) -> Option<String> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(["-c", sql]).env("PGPASSWORD", &self.password);
        let output = command.stdin(Stdio::null()).output().unwrap();
        output.status.success().then(|| text(&output.stdout))
    }

    /// Writes 0, 1, 2 and on until `stop`.
    fn write(&self, stop: &AtomicBool) -> Vec<Write> {
        let mut writes = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
            let acked = self.run(&format!("INSERT INTO inside VALUES ({})", writes.len())).is_some();
            writes.push((at_ms, acked));
            std::thread::sleep(Duration::from_millis(20));
        }
        writes
    }
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
    let database = &status["databases"][0];
    let struck = database["primary"].as_str().unwrap();
    let primary = unit(&status, struck).unwrap();
    let entries = database["entries"].as_array().unwrap();
    let zone = status["zones"].as_array().unwrap().iter().position(|zone| zone["zone"] == primary["zone"]);
    let front = unit(&status, &format!("data-{}", primary["zone"].as_str().unwrap())).unwrap();
    let inside = Inside::new(&site, &front["pid"], entries[zone.unwrap()].as_str().unwrap());
    inside.run("CREATE TABLE inside (id int PRIMARY KEY)").unwrap();

    let stop = AtomicBool::new(false);
    let (verdict, writes) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| inside.write(&stop));
        let duration = (EVENT_MS / 1_000).to_string();
        let words =
            ["--json", "drill", "primary", "db", "--fault", "cut", "--duration", &duration, "--rate", "60"];
        let output = site.run(&words);
        stop.store(true, Ordering::Relaxed);
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
    let tried = writes.iter().filter(|(sent_ms, _)| cut.contains(sent_ms));
    let acked = tried.clone().filter(|(_, acked)| *acked).count();
    assert!(tried.count() >= 3, "nothing was tried: {writes:?} {cut:?}");
    assert_eq!(acked, 0, "the primary that is cut off acknowledged: {writes:?} {cut:?}");
    assert!(writes.iter().any(|(sent_ms, acked)| *acked && *sent_ms < at_ms), "{writes:?}");
    let moved = site.until("a whole database again", Duration::from_secs(60), whole);
    assert_ne!(moved["databases"][0]["primary"], struck, "nobody took over");
    let survived = inside.run("SELECT id FROM inside").unwrap();
    let survived: Vec<usize> = survived.lines().map(|line| line.parse().unwrap()).collect();
    for (id, _) in writes.iter().enumerate().filter(|(_, (_, acked))| *acked) {
        assert!(survived.contains(&id), "{id} was acknowledged and is gone");
    }
    site.expect(0, &["down", "--delete-data"]);
}
