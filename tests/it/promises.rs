//! What `docs/` promises of a database that runs, each held against one that does. They need a whole one, and leave it
//! so.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use engine::local::{clear_down, mark_down};
use model::ZoneName;
use serde_json::Value;

use crate::database::whole;
use crate::inside::{Ending, Inside, primary_of, unix_ms, zone_of};
use crate::lasting::{kill, pid_of};
use crate::site::{Site, text, unit};

/// Somebody must know within this that no standby is left (`docs/databases.md`).
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// An agent is away for so long: more than a primary may be silent (1.2 s), and than a zone lives without its agent.
const AGENT_AWAY: Duration = Duration::from_secs(3);

/// Agents that are gone, and that nobody starts again until it is dropped.
struct Away<'a> {
    site: &'a Site,
    zones: Vec<ZoneName>,
}

impl Away<'_> {
    /// kill -9 of the agents of `zones`, and of nothing else.
    fn begin<'a>(site: &'a Site, zones: &[&str]) -> Away<'a> {
        let zones: Vec<ZoneName> = zones.iter().map(|zone| ZoneName::new(zone).unwrap()).collect();
        for zone in &zones {
            mark_down(&site.state(), zone, unix_ms(), 120_000).unwrap();
            kill(&agent_of(site, zone.as_str()).into());
        }
        Away { site, zones }
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let cleared = self.zones.iter().map(|zone| clear_down(&self.site.state(), zone));
        let cleared: Vec<_> = cleared.collect();
        assert!(cleared.iter().all(Result::is_ok) || std::thread::panicking(), "{cleared:?}");
    }
}

fn agent_of(site: &Site, zone: &str) -> i64 {
    pid_of(site, &[" agent ", &format!("--zone {zone} ")])
}

/// Code of `docs/databases.md`: the block that begins with `first`.
fn documented(first: &str) -> &'static str {
    let blocks = include_str!("../../docs/databases.md").split("```");
    let mut shown = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    shown.find(|block| block.starts_with(first)).unwrap_or_else(|| panic!("no block begins with `{first}`"))
}

/// The commands stand there for a run in `.evenkeel` on this machine, as this is one: not a letter is changed.
pub fn a_dump_brings_back_what_was_dropped_by_the_commands_of_the_documentation(site: &Site) {
    let folder = site.file().parent().unwrap().to_owned();
    symlink("state", folder.join(".evenkeel")).unwrap();
    let (connect, copy) = (documented("export PGPASSWORD"), documented("pg_dump"));
    let [dump, restore] = copy.lines().collect::<Vec<_>>()[..] else { panic!("two commands: {copy}") };
    let told = |words: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-euc", &format!("{connect}{words}\n")]).current_dir(&folder).stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{words}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    let sums = r#"psql "$DB" -XAtc "SELECT count(*), sum(id), max(word) FROM kept""#;
    let made = "CREATE TABLE kept (id int PRIMARY KEY, word text UNIQUE); INSERT INTO kept SELECT n, md5(n::text) FROM \
                generate_series(1, 5000) n";
    told(&format!(r#"psql "$DB" -XAtqc "{made}""#));
    let before = told(sums);
    assert!(before.starts_with("5000|12502500|"), "{before}");
    told(dump);
    told(r#"psql "$DB" -XAtqc "DROP TABLE kept; CREATE TABLE kept (another int)""#);
    told(restore);
    assert_eq!(told(sums), before);
    let front =
        told(r#"psql "$DB" -XAtc "SELECT count(*) FROM pg_constraint WHERE conrelid = 'kept'::regclass""#);
    assert_eq!(front, "2\n", "its keys are gone");
    told(r#"psql "$DB" -XAtqc "DROP TABLE kept""#);
    fs::remove_file(folder.join(".evenkeel")).unwrap();
}

/// kill -9 of the agent in whose zone the primary is (`docs/hosts.md`: what it runs goes on meanwhile, and is taken over).
pub fn a_primary_whose_agent_is_killed_serves_on_and_is_taken_over(site: &Site) {
    let before = site.until("a whole database", Duration::from_secs(90), whole);
    let primary = primary_of(&before);
    let zone = zone_of(&before, primary);
    let mut zones = before["zones"].as_array().unwrap().iter().map(|known| known["zone"].as_str().unwrap());
    let other = zones.find(|known| *known != zone).unwrap();
    let (own, beside) = (Inside::of_zone(site, &before, zone, 5), Inside::of_zone(site, &before, other, 5));
    own.table("agentless");
    let agent = agent_of(site, zone);
    let stop = AtomicBool::new(false);
    let (writes, back_ms) = std::thread::scope(|scope| {
        let through_own = scope.spawn(|| own.write("agentless", 0, &stop));
        let through_other = scope.spawn(|| beside.write("agentless", 1_000_000, &stop));
        let ending = Ending(&stop);
        let away = Away::begin(site, &[zone]);
        std::thread::sleep(AGENT_AWAY);
        drop(away);
        let back_ms = unix_ms();
        site.until("its zone again", Duration::from_secs(30), |status| {
            let alive = |known: &Value| known["zone"] == zone && known["alive"] == true;
            status["zones"].as_array().unwrap().iter().any(alive) && whole(status)
        });
        // The new one has had time for a mistake.
        std::thread::sleep(Duration::from_secs(2));
        drop(ending);
        ([through_own.join().unwrap(), through_other.join().unwrap()], back_ms)
    });
    let after = site.until("a whole database", Duration::from_secs(30), whole);
    assert_ne!(agent_of(site, zone), agent, "its agent was not killed");
    let of = |status: &Value| {
        let database = &status["databases"][0];
        (database["primary"].clone(), database["term"].clone(), unit(status, primary).unwrap()["pid"].clone())
    };
    assert_eq!(of(&before), of(&after), "the primary was started again, or followed");
    let there = own.ids("agentless");
    for (front, writes) in writes.iter().enumerate() {
        let during = writes.iter().filter(|write| write.sent_ms < back_ms).count();
        assert!(during >= 5 && writes.len() >= during + 5, "front {front}: {during} of {}", writes.len());
        for write in writes {
            assert!(write.acked && there.contains(&write.id), "front {front}: {write:?} of {writes:?}");
            assert!(write.ended_ms - write.sent_ms < 3_000, "front {front}: {write:?} waited");
        }
    }
    own.run("DROP TABLE agentless").unwrap();
}

/// Both standbys' servers are killed, and nobody is there to start them again: writes wait, and somebody is told.
pub fn a_primary_that_is_left_alone_says_so_within_five_seconds_and_loses_nothing(site: &Site) {
    let calm = |status: &Value| whole(status) && status["warnings"].as_array().unwrap().is_empty();
    let before = site.until("a whole database", Duration::from_secs(90), calm);
    let primary = primary_of(&before);
    let standbys: Vec<&Value> = ["db-1", "db-2", "db-3"]
        .into_iter()
        .filter(|name| *name != primary)
        .map(|name| unit(&before, name).unwrap())
        .collect();
    let client = Inside::of_zone(site, &before, zone_of(&before, primary), 60);
    client.table("alone");
    client.run("INSERT INTO alone VALUES (0)").unwrap();
    let zones: Vec<&str> = standbys.iter().map(|unit| unit["zone"].as_str().unwrap()).collect();
    let away = Away::begin(site, &zones);
    standbys.iter().for_each(|standby| kill(&standby["pid"]));
    let died = Instant::now();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| client.run("INSERT INTO alone VALUES (1)"));
        let told = |status: &Value| {
            let mut warnings = status["warnings"].as_array().unwrap().iter();
            warnings.any(|told| told["kind"] == "no_standby" && told["database"] == "db")
        };
        site.until("a warning", TOLD_WITHIN, told);
        let told_after = died.elapsed();
        println!("MEASURED no standby: `evenkeel status` says so after {told_after:?}");
        assert!(told_after < TOLD_WITHIN, "told after {told_after:?}");
        std::thread::sleep(Duration::from_secs(7).saturating_sub(died.elapsed()));
        assert!(!waits.is_finished(), "acknowledged with nobody else having it");
        assert!(told(&site.status()), "the warning is gone, and the standbys are not back");
        drop(away);
        assert_eq!(
            waits.join().unwrap(),
            Some(String::new()),
            "a standby is back, and the write was not acknowledged"
        );
    });
    let after = site.until("no warning", Duration::from_secs(90), calm);
    assert_eq!(before["databases"][0]["term"], after["databases"][0]["term"], "a needless failover");
    assert_eq!(client.ids("alone"), [0, 1]);
    client.run("DROP TABLE alone").unwrap();
}

/// A switch to `node`, once it counts: that it is well is known a little before.
fn moves(site: &Site, node: &str) {
    let began = Instant::now();
    while !site.run(&["failover", "db", "--to", node]).status.success() {
        assert!(began.elapsed() < Duration::from_secs(30), "`{node}` never counted");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A third node that is a witness comes to hold data, is primary with all that was acknowledged, and is a witness again: while
/// an application writes.
pub fn a_witness_becomes_a_standby_and_one_again(site: &Site, witnessed: &str, standbys: &str) {
    let before = site.until("a whole database", Duration::from_secs(90), whole);
    let client = Inside::of_zone(site, &before, zone_of(&before, "db-3"), 15);
    client.table("kinds");
    let stop = AtomicBool::new(false);
    let role = |status: &Value| unit(status, "db-3").unwrap()["role"].as_str().unwrap().to_owned();
    let writes = std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.write("kinds", 0, &stop));
        let ending = Ending(&stop);
        site.write(standbys);
        site.up(&[]);
        site.until("a third node with data", Duration::from_secs(90), |status| {
            whole(status) && role(status) == "standby"
        });
        moves(site, "db-3");
        site.until("a whole database", Duration::from_secs(90), whole);
        moves(site, "db-1");
        site.write(witnessed);
        site.up(&[]);
        site.until("a witness again", Duration::from_secs(90), |status| {
            whole(status) && role(status) == "witness"
        });
        drop(ending);
        writer.join().unwrap()
    });
    let there = client.ids("kinds");
    let failed: Vec<_> = writes.iter().filter(|write| !write.acked).collect();
    assert!(writes.len() >= 10, "{} writes in all", writes.len());
    assert!(failed.len() <= 2, "one at most is in flight at each switch: {failed:?}");
    for write in writes.iter().filter(|write| write.acked) {
        assert!(there.contains(&write.id), "acknowledged and gone: {write:?}");
    }
    client.run("DROP TABLE kinds").unwrap();
}
