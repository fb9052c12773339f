//! The drills on the real thing: green on every fault. The figures are measured by `cargo xtask bench drills`; here
//! only what must hold on any machine is asserted.

use std::time::Duration;

use serde_json::Value;

use crate::site::{SHOP, Site, last_json, root};

/// A short event, so that all faults together stay within the test budget.
const SHORT: &[&str] = &["--duration", "8", "--rate", "200"];

#[track_caller]
fn drill(site: &Site, words: &[&str]) -> Value {
    let mut all = vec!["--json", "drill"];
    all.extend_from_slice(words);
    all.extend_from_slice(SHORT);
    let output = site.expect(0, &all);
    let verdict = last_json(&output);
    assert_eq!(verdict["kind"], "verdict");
    assert_eq!(
        verdict["failed"], verdict["unsavable"],
        "a request was lost that could be saved: {verdict:#}"
    );
    assert_eq!(verdict["double_effects"], 0, "{verdict:#}");
    assert_eq!(verdict["lost_writes"], 0, "{verdict:#}");
    assert_eq!(verdict["objectives_met"], true, "{verdict:#}");
    assert!(verdict["requests"].as_u64().unwrap() > 1_000, "{verdict:#}");
    assert!(verdict["acked_writes"].as_u64().unwrap() > 200, "{verdict:#}");
    // What was broken is whole again, not only passed by.
    site.until("everything healthy and spread again", Duration::from_secs(60), |status| {
        let units = status["units"].as_array().unwrap();
        let count =
            |zone: &str| units.iter().filter(|unit| unit["zone"] == zone && unit["healthy"] == true).count();
        ["a", "b", "c"].iter().all(|zone| count(zone) == 3)
    });
    verdict
}

#[test]
fn a_killed_or_frozen_replica_is_not_noticed() {
    let site = Site::new("process", SHOP);
    site.up(&[]);
    drill(&site, &["process"]);
    drill(&site, &["process", "--fault", "freeze"]);
}

#[test]
fn a_killed_or_frozen_front_is_not_noticed() {
    let site = Site::new("front", SHOP);
    site.up(&[]);
    drill(&site, &["front", "edge-b"]);
    drill(&site, &["front", "--fault", "freeze"]);
}

#[test]
fn a_killed_or_frozen_zone_is_not_noticed_and_the_count_is_full_again() {
    let site = Site::new("zone", SHOP);
    site.up(&[]);
    let verdict = drill(&site, &["zone", "b"]);
    assert!(verdict["full_count_ms"].as_f64().is_some(), "{verdict:#}");
    let verdict = drill(&site, &["zone", "a", "--fault", "freeze"]);
    assert!(verdict["full_count_ms"].as_f64().is_some(), "{verdict:#}");
}

#[test]
fn a_cut_off_zone_is_not_noticed() {
    if !root("a_cut_off_zone_is_not_noticed") {
        return;
    }
    let site = Site::new("cut", SHOP);
    site.up(&["--isolate"]);
    drill(&site, &["zone", "c", "--fault", "cut"]);
}

#[test]
fn a_cut_that_cannot_be_made_is_reported_as_not_run() {
    let site = Site::new("nocut", SHOP);
    site.up(&[]);
    let output = site.expect(1, &["--json", "drill", "zone", "b", "--fault", "cut"]);
    let verdict = last_json(&output);
    assert!(verdict["not_run"].as_str().unwrap().contains("--isolate"), "{verdict:#}");
    assert_eq!(verdict["objectives_met"], Value::Null, "what was not run was not passed");
}
