//! What is open to whom, and what is kept from whom: read from the exported rules, not from what made them.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::Value;

use super::fixture::{document, plan, resources, terraform, texts, variants};

const ANY: &str = "0.0.0.0/0";

fn group(value: &Value) -> &str {
    value.as_str().unwrap().trim_start_matches("${aws_security_group.").trim_end_matches(".id}")
}

/// Who reaches whom at which ports by AWS's rules: both ends must agree.
fn aws_ways() -> String {
    let document = document(&terraform(&plan("aws")));
    let mut ways = [BTreeSet::new(), BTreeSet::new()];
    for (kind, _, rule) in resources(&document) {
        let (side, from, to) = match kind {
            "aws_vpc_security_group_ingress_rule" => (0, "referenced_security_group_id", "security_group_id"),
            "aws_vpc_security_group_egress_rule" => (1, "security_group_id", "referenced_security_group_id"),
            _ => continue,
        };
        let name = |key: &str| match &rule[key] {
            Value::Null => rule["cidr_ipv4"].as_str().unwrap_or("the bucket"),
            other => group(other),
        };
        assert_eq!(rule["ip_protocol"], "tcp");
        ways[side].insert(format!(
            "{} -> {} {}-{}\n",
            name(from),
            name(to),
            rule["from_port"],
            rule["to_port"]
        ));
    }
    let inside = |side: &BTreeSet<String>| -> BTreeSet<String> {
        side.iter().filter(|way| !way.contains(ANY) && !way.contains("bucket")).cloned().collect()
    };
    assert_eq!(inside(&ways[0]), inside(&ways[1]), "one end of a way is missing");
    ways[0].union(&ways[1]).cloned().collect()
}

#[track_caller]
fn check(found: &str, expected: Expect) {
    expected.assert_eq(found);
}

#[test]
fn only_what_must_get_through_does() {
    check(
        &aws_ways(),
        expect![[r#"
            0.0.0.0/0 -> entry 443-443
            0.0.0.0/0 -> entry 80-80
            entry -> hosts 8080-8080
            hosts -> 0.0.0.0/0 443-443
            hosts -> 0.0.0.0/0 80-80
            hosts -> hosts 15433-15435
            hosts -> hosts 16433-16435
            hosts -> hosts 20000-29999
            hosts -> hosts 6432-6432
            hosts -> store 2379-2379
            hosts -> the bucket 443-443
            store -> store 2380-2380
        "#]],
    );
}

#[test]
fn the_entry_alone_is_open_to_the_world() {
    for (name, plan, options) in variants() {
        let document = document(&provider::terraform(&plan, &options).unwrap());
        for (kind, rule, body) in resources(&document) {
            let at = format!("{name}: {kind}.{rule}");
            match kind {
                "aws_vpc_security_group_ingress_rule" if body["cidr_ipv4"] == ANY => {
                    assert_eq!(group(&body["security_group_id"]), "entry", "{at}");
                }
                "google_compute_firewall" if body["direction"] == "INGRESS" => {
                    let open = body["source_ranges"]
                        .as_array()
                        .is_some_and(|from| from.iter().any(|one| one == ANY));
                    // The balancer passes connections on as they are: the machines' port is the entry's.
                    let ports = body["allow"][0]["ports"].as_array().unwrap();
                    assert!(!open || ports.iter().all(|port| port == "8080" || port == "9090"), "{at}");
                }
                "alicloud_security_group_rule" if body["type"] == "ingress" => {
                    assert_ne!(body["cidr_ip"], ANY, "{at}");
                }
                "aws_security_group" => {
                    assert!(body["ingress"].is_null() && body["egress"].is_null(), "{at}")
                }
                "alicloud_security_group" => assert_eq!(body["inner_access_policy"], "Drop", "{at}"),
                _ => {}
            }
        }
    }
}

#[test]
fn no_machine_has_a_public_address_and_each_asks_for_a_token_before_it_tells_its_keys() {
    for (name, plan, options) in variants() {
        let document = document(&provider::terraform(&plan, &options).unwrap());
        for (kind, machine, body) in resources(&document) {
            let at = format!("{name}: {kind}.{machine}");
            match kind {
                "aws_instance" => {
                    assert_eq!(body["associate_public_ip_address"], false, "{at}");
                    assert_eq!(body["metadata_options"]["http_tokens"], "required", "{at}");
                    assert_eq!(body["root_block_device"]["encrypted"], true, "{at}");
                }
                "alicloud_instance" => {
                    assert_eq!(body["internet_max_bandwidth_out"], 0, "{at}");
                    assert_eq!(body["http_tokens"], "required", "{at}");
                    assert_eq!(body["system_disk_encrypted"], true, "{at}");
                }
                "google_compute_instance" => {
                    assert!(body["network_interface"][0]["access_config"].is_null(), "{at}");
                    assert_eq!(body["shielded_instance_config"]["enable_secure_boot"], true, "{at}");
                }
                "aws_ebs_volume" | "alicloud_ecs_disk" => assert_eq!(body["encrypted"], true, "{at}"),
                _ => {}
            }
        }
    }
}

#[test]
fn buckets_keep_versions_are_encrypted_and_nobody_elses() {
    let of = |provider: &str| document(&terraform(&plan(provider)))["resource"].clone();
    let (aws, gcp, alicloud) = (of("aws"), of("gcp"), of("alicloud"));
    for bucket in ["release", "backup"] {
        assert_eq!(aws["aws_s3_bucket_versioning"][bucket]["versioning_configuration"]["status"], "Enabled");
        let block = aws["aws_s3_bucket_public_access_block"][bucket].as_object().unwrap();
        assert_eq!(block.values().filter(|value| **value == true).count(), 4);
        let encryption = &aws["aws_s3_bucket_server_side_encryption_configuration"][bucket]["rule"][0];
        assert_eq!(encryption["apply_server_side_encryption_by_default"]["sse_algorithm"], "aws:kms");
        assert_eq!(gcp["google_storage_bucket"][bucket]["public_access_prevention"], "enforced");
        assert_eq!(gcp["google_storage_bucket"][bucket]["versioning"]["enabled"], true);
        assert_eq!(alicloud["alicloud_oss_bucket_public_access_block"][bucket]["block_public_access"], true);
        assert_eq!(alicloud["alicloud_oss_bucket"][bucket]["versioning"]["status"], "Enabled");
        assert_eq!(
            alicloud["alicloud_oss_bucket"][bucket]["server_side_encryption_rule"]["sse_algorithm"],
            "KMS"
        );
        assert_eq!(alicloud["alicloud_oss_bucket_acl"][bucket]["acl"], "private");
    }
}

#[test]
fn a_machine_may_read_two_objects_and_nothing_else() {
    let aws = document(&terraform(&plan("aws")));
    let policy = aws["resource"]["aws_iam_role_policy"]["host"]["policy"].as_str().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let may = &policy["Statement"].as_array().unwrap()[..];
    assert_eq!(may.len(), 1);
    assert_eq!((&may[0]["Action"], &may[0]["Effect"]), (&"s3:GetObject".into(), &"Allow".into()));
    let on: Vec<&str> =
        may[0]["Resource"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(
        on,
        ["${aws_s3_bucket.release.arn}/identity.tar.gz", "${aws_s3_bucket.release.arn}/release.tar.gz"]
    );
}

#[test]
fn nothing_that_is_exported_takes_or_holds_a_secret() {
    for (name, plan, options) in variants() {
        let document = document(&provider::terraform(&plan, &options).unwrap());
        let mut all = Vec::new();
        texts(&document, &mut all);
        for word in ["BEGIN ", "PRIVATE KEY", "password", "secret_string", "secret_data"] {
            assert!(all.iter().all(|text| !text.contains(word)), "{name}: {word}");
        }
        // A variable would end in Terraform's state.
        for variable in document["variable"].as_object().unwrap().keys() {
            assert!(
                ["image", "bucket_suffix", "certificate", "project"].contains(&variable.as_str()),
                "{variable}"
            );
        }
    }
}
