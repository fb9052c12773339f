//! A changed file is applied as a difference; one that does not work is taken back.

use std::time::Duration;

use crate::site::{SHOP, Site, healthy, text, unit};

#[test]
fn a_change_replaces_every_replica_and_a_change_of_count_only_adds() {
    let site = Site::new("change", SHOP);
    site.up(&[]);
    let before = site.status();
    site.write(&SHOP.replace("replicas: 6", "replicas: 7"));
    site.up(&[]);
    let more = site.status();
    assert_eq!(healthy(&more), 7, "{more:#}");
    for name in ["web-1", "web-6"] {
        assert_eq!(
            unit(&before, name).unwrap()["pid"],
            unit(&more, name).unwrap()["pid"],
            "{name} was replaced"
        );
    }
    site.write(&SHOP.replace("128M", "129M"));
    site.up(&[]);
    let replaced = site.until("six new replicas", Duration::from_secs(30), |status| healthy(status) == 6);
    for old in more["units"].as_array().unwrap().iter().filter(|unit| unit["role"] == "replica") {
        assert!(unit(&replaced, old["name"].as_str().unwrap()).is_none(), "{} is still there", old["name"]);
    }
}

#[test]
fn a_version_that_does_not_become_healthy_is_rolled_back() {
    let site = Site::new("rollback", SHOP);
    site.up(&[]);
    let before = site.status();
    site.write(
        &SHOP.replace("http: /healthz", "http: /nowhere").replace("start_timeout: 10s", "start_timeout: 2s"),
    );
    let output = site.expect(1, &["up", "--detach"]);
    assert!(text(&output.stderr).contains("rolled back"), "{}", text(&output.stderr));
    let after = site.until("the old version, whole", Duration::from_secs(30), |status| healthy(status) == 6);
    for old in before["units"].as_array().unwrap().iter().filter(|unit| unit["role"] == "replica") {
        let name = old["name"].as_str().unwrap();
        assert_eq!(unit(&after, name).map(|unit| &unit["pid"]), Some(&old["pid"]), "{name} was touched");
    }
}
