//! What goes on when evenkeel's own processes end: nothing on the data path, and never two copies.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{SHOP, Site, healthy, unit};

/// kill -9.
pub fn kill(pid: &Value) {
    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// The process of this run with these words in its command line.
pub fn pid_of(site: &Site, words: &[&str]) -> i64 {
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(site.state().to_str().unwrap()) && words.iter().all(|word| line.contains(word)) {
            return entry.file_name().to_str().unwrap().parse().unwrap();
        }
    }
    panic!("no process with {words:?}");
}

#[test]
fn a_killed_agent_leaves_its_units_and_front_and_takes_them_up_again() {
    let site = Site::new("agent", SHOP);
    site.up(&[]);
    let before = site.status();
    kill(&pid_of(&site, &[" agent ", "--zone a "]).into());
    for entry in site.entries() {
        TcpStream::connect(entry).unwrap();
    }
    let after = site.until("all healthy again", Duration::from_secs(20), |status| {
        healthy(status) == 6 && status["zones"].as_array().unwrap().iter().all(|zone| zone["alive"] == true)
    });
    for name in ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "edge-a"] {
        assert_eq!(
            unit(&before, name).map(|unit| &unit["pid"]),
            unit(&after, name).map(|unit| &unit["pid"]),
            "{name} was started again"
        );
    }
}

#[test]
fn a_killed_store_stops_decisions_and_nothing_else() {
    let site = Site::new("store", SHOP);
    site.up(&[]);
    let before = site.status();
    let entries = site.entries();
    kill(&pid_of(&site, &[" store-server "]).into());
    for entry in entries {
        TcpStream::connect(entry).unwrap();
    }
    std::thread::sleep(Duration::from_secs(3));
    let after = site.until("decisions again", Duration::from_secs(20), |status| {
        healthy(status) == 6 && status["leader"].is_string()
    });
    for name in ["web-1", "web-6", "edge-b"] {
        assert_eq!(unit(&before, name).unwrap()["pid"], unit(&after, name).unwrap()["pid"], "{name}");
    }
}

#[test]
fn a_killed_supervisor_leaves_nothing_that_down_cannot_end() {
    let site = Site::new("supervisor", SHOP);
    site.up(&[]);
    kill(&pid_of(&site, &[" supervise "]).into());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!site.processes().is_empty(), "agents outlive their supervisor");
    site.expect(0, &["down"]);
    assert!(site.processes().is_empty(), "{:#?}", site.processes());
}
