//! Drills that must go red: the product is broken on purpose, and the drill must say so with exit code 4.

use crate::site::{SHOP, Site, last_json};

/// Longer than the 10 s after which a caller gives up.
const LONG: &[&str] = &["--duration", "13", "--abort-percent", "100"];

#[track_caller]
fn red(site: &Site, words: &[&str]) -> serde_json::Value {
    let mut all = vec!["--json", "drill"];
    all.extend_from_slice(words);
    all.extend_from_slice(LONG);
    let verdict = last_json(&site.expect(4, &all));
    assert_eq!(verdict["objectives_met"], false, "{verdict:#}");
    verdict
}

#[test]
fn without_health_checks_a_frozen_replica_is_seen() {
    let site = Site::new("nohealth", SHOP);
    site.up(&["--break-health"]);
    let verdict = red(&site, &["process", "--fault", "freeze"]);
    assert!(verdict["failed"].as_u64() > verdict["unsavable"].as_u64(), "{verdict:#}");
}

#[test]
fn with_one_zone_its_loss_is_seen() {
    let site = Site::new("onezone", &SHOP.replace("zones: 3", "zones: 1"));
    site.up(&[]);
    let verdict = red(&site, &["zone", "a"]);
    assert!(verdict["failed"].as_u64() > verdict["unsavable"].as_u64(), "{verdict:#}");
}

#[test]
fn a_retry_of_what_may_have_been_carried_out_is_seen_as_a_double_effect() {
    // Orders take 200 ms to be answered after they were carried out, so that some are open whenever a replica dies.
    let file = SHOP.replace("zones: 3", "zones: 1").replace("replicas: 6", "replicas: 2");
    let site = Site::new(
        "double",
        &file.replace("\"--journal\"", "\"--slots\", \"100\", \"--service-time\", \"200ms\", \"--journal\""),
    );
    site.up(&["--break-retries"]);
    let verdict = red(&site, &["process", "--rate", "300"]);
    assert!(verdict["double_effects"].as_u64() > Some(0), "{verdict:#}");
}

#[test]
fn a_drill_stops_at_its_limit_and_heals() {
    let site = Site::new("abort", &SHOP.replace("zones: 3", "zones: 1"));
    site.up(&[]);
    let output = site.expect(
        5,
        &["--json", "drill", "zone", "a", "--duration", "15", "--rate", "100", "--abort-percent", "10"],
    );
    assert!(last_json(&output)["aborted"].is_string());
    site.until("the zone is back", std::time::Duration::from_secs(20), |status| {
        crate::site::healthy(status) == 6
    });
}
