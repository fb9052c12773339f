//! A client of a database that writes numbers, each once, and knows what it was told of each.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::site::{Site, text, unit};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(50);

/// A client, on the way applications go.
pub struct Inside {
    /// Up to the statement.
    words: Vec<String>,
    password: String,
}

/// One write: when it was sent and when its answer was there, by Unix time in milliseconds, and whether it was
/// acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    pub id: u64,
    pub sent_ms: u64,
    pub ended_ms: u64,
    pub acked: bool,
}

impl Inside {
    /// Through the front of `zone`, from within its network. What is not answered within `patience_s` has failed.
    #[track_caller]
    pub fn of_zone(site: &Site, status: &Value, zone: &str, patience_s: u32) -> Inside {
        let zones = status["zones"].as_array().unwrap();
        let place = zones.iter().position(|known| known["zone"] == zone).unwrap();
        let entries = status["databases"][0]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), zones.len(), "not every front listens: {status:#}");
        let entry = entries[place].as_str().unwrap();
        let front = unit(status, &format!("data-{zone}")).unwrap();
        let secrets = identity::Secrets::open(&site.state().join("identity")).unwrap();
        let password = secrets.get("db.application").unwrap().unwrap().expose().to_string();
        let (host, port) = entry.rsplit_once(':').unwrap();
        let to = format!("host={host} port={port} user=shop dbname=shop connect_timeout={patience_s}");
        let patience = patience_s.to_string();
        let mut words = Vec::new();
        // Only root goes into another network, and without it there is none.
        if rustix::process::geteuid().is_root() {
            words.extend(
                ["nsenter", &format!("--net=/proc/{}/ns/net", front["pid"]), "--"].map(str::to_owned),
            );
        }
        words.extend(
            ["timeout", &patience, "/usr/lib/postgresql/15/bin/psql", "-XAtqd", &to].map(str::to_owned),
        );
        Inside { words, password }
    }

    /// What a statement gave; `None`: it failed, or not in time.
    pub fn run(&self, sql: &str) -> Option<String> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(["-c", sql]).env("PGPASSWORD", &self.password);
        let output = command.stdin(Stdio::null()).output().unwrap();
        output.status.success().then(|| text(&output.stdout))
    }

    /// A new table for [`Inside::write`].
    #[track_caller]
    pub fn table(&self, table: &str) {
        self.run(&format!("CREATE TABLE {table} (id bigint PRIMARY KEY)")).unwrap();
    }

    /// Writes `first` and on to `table`, until `stop`.
    pub fn write(&self, table: &str, first: u64, stop: &AtomicBool) -> Vec<Write> {
        let mut writes = Vec::new();
        for id in first.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let sent_ms = unix_ms();
            let acked = self.run(&format!("INSERT INTO {table} VALUES ({id})")).is_some();
            writes.push(Write { id, sent_ms, ended_ms: unix_ms(), acked });
            std::thread::sleep(PAUSE);
        }
        writes
    }

    /// What is in `table`.
    #[track_caller]
    pub fn ids(&self, table: &str) -> Vec<u64> {
        let rows = self.run(&format!("SELECT id FROM {table}")).unwrap();
        rows.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Dropped, writers end, also when a test gives up in their midst.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The zone of a node of the database.
#[track_caller]
pub fn zone_of<'a>(status: &'a Value, node: &str) -> &'a str {
    unit(status, node).unwrap()["zone"].as_str().unwrap()
}

/// The primary's name.
#[track_caller]
pub fn primary_of(status: &Value) -> &str {
    status["databases"][0]["primary"].as_str().unwrap()
}
