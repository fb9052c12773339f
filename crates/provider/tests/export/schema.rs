//! Every resource, attribute and reference against what the providers publish (`testdata/README.md`).

use serde_json::{Map, Value, json};

use super::fixture::{document, expressions, references, resources, terraform, texts, variants};

/// Words of Terraform's own that may stand in every resource.
const OWN: &[&str] = &["depends_on", "lifecycle"];

fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    for text in [
        include_str!("../../testdata/aws.json"),
        include_str!("../../testdata/google.json"),
        include_str!("../../testdata/alicloud.json"),
    ] {
        all.extend(serde_json::from_str::<Map<String, Value>>(text).unwrap());
    }
    all
}

/// Everything wrong with `document`, one sentence each.
fn problems(document: &Value) -> Vec<String> {
    let schemas = schemas();
    let mut found = Vec::new();
    for (kind, name, body) in resources(document) {
        match schemas.get(kind) {
            Some(schema) => block(&format!("{kind}.{name}"), body, schema, true, &mut found),
            None => found.push(format!("{kind}: no such resource")),
        }
    }
    unresolved(document, &schemas, &mut found);
    found
}

fn block(path: &str, body: &Value, schema: &Value, is_top: bool, found: &mut Vec<String>) {
    let Some(body) = body.as_object() else { return found.push(format!("{path}: no block")) };
    for (key, value) in body.iter().filter(|(key, _)| !(is_top && OWN.contains(&key.as_str()))) {
        let at = format!("{path}.{key}");
        match &schema[key] {
            Value::String(kind) => attribute(&at, value, kind, found),
            inner @ Value::Object(_) => {
                let all: Vec<&Value> = value.as_array().map_or(vec![value], |all| all.iter().collect());
                let many = inner["_"].as_str().is_some_and(|flags| flags.contains('*'));
                if all.len() > 1 && !many {
                    found.push(format!("{at}: stands more than once"));
                }
                all.iter().for_each(|one| block(&at, one, inner, false, found));
            }
            _ => found.push(format!("{at}: no such attribute")),
        }
    }
    let required =
        |about: &Value| about.as_str().or(about["_"].as_str()).is_some_and(|flags| flags.starts_with('!'));
    for (key, about) in schema.as_object().unwrap() {
        if key != "_" && required(about) && !body.contains_key(key) {
            found.push(format!("{path}.{key}: required, and not there"));
        }
    }
}

fn attribute(at: &str, value: &Value, kind: &str, found: &mut Vec<String>) {
    if kind.starts_with('=') {
        return found.push(format!("{at}: computed, and set"));
    }
    // A reference alone has the type of what it refers to, which is a text where we use one.
    let is_text = |value: &Value| value.is_string();
    let right = match kind.trim_start_matches('!') {
        "string" => is_text(value),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.as_array().is_some_and(|all| all.iter().all(is_text)),
        "map" => value.as_object().is_some_and(|all| all.values().all(is_text)),
        other => panic!("testdata has the type {other}"),
    };
    if !right {
        found.push(format!("{at}: {value} is no {kind}"));
    }
}

fn unresolved(document: &Value, schemas: &Map<String, Value>, found: &mut Vec<String>) {
    let mut all = Vec::new();
    texts(document, &mut all);
    for reference in all.iter().flat_map(|text| expressions(text)).flat_map(references) {
        let parts: Vec<&str> = reference.split('.').collect();
        let there = match parts[..] {
            ["var", name] => document["variable"][name].is_object(),
            ["local", name] => document["locals"][name].is_string(),
            [kind, name, attribute] => {
                let value = schemas.get(kind).map_or(&Value::Null, |schema| &schema[attribute]);
                document["resource"][kind][name].is_object() && value.is_string()
            }
            _ => false,
        };
        if !there {
            found.push(format!("{reference}: refers to nothing"));
        }
    }
    for (kind, name, body) in resources(document) {
        for needed in body["depends_on"].as_array().into_iter().flatten() {
            let (other, of) = needed.as_str().unwrap().split_once('.').unwrap();
            if !document["resource"][other][of].is_object() {
                found.push(format!("{kind}.{name} depends on {needed}, which is not there"));
            }
        }
        for ignored in body["lifecycle"]["ignore_changes"].as_array().into_iter().flatten() {
            let first = ignored.as_str().unwrap().split(['.', '[']).next().unwrap();
            if body[first].is_null() {
                found.push(format!("{kind}.{name} ignores changes of `{first}`, which it does not set"));
            }
        }
    }
}

#[test]
fn every_resource_attribute_and_reference_of_every_export_exists() {
    for (name, plan, options) in variants() {
        let export = provider::terraform(&plan, &options).unwrap();
        assert_eq!(problems(&document(&export)), [""; 0], "{name}");
    }
}

#[test]
fn the_folder_says_what_the_one_document_says() {
    for (name, plan, options) in variants() {
        let export = provider::terraform(&plan, &options).unwrap();
        let mut together = json!({});
        for text in export.files.iter().filter(|(file, _)| file.ends_with(".tf.json")).map(|(_, text)| text) {
            for (key, value) in serde_json::from_str::<Map<String, Value>>(text).unwrap() {
                if key != "resource" {
                    together[key] = value;
                    continue;
                }
                for (kind, all) in value.as_object().unwrap() {
                    assert!(together["resource"][kind].is_null(), "{name}: {kind} in two files");
                    together["resource"][kind] = all.clone();
                }
            }
        }
        assert_eq!(together["resource"], document(&export)["resource"], "{name}");
        assert_eq!(together["variable"], document(&export)["variable"], "{name}");
    }
}

/// The checks themselves: `change` breaks a good document, and they say `expected`.
#[track_caller]
fn check(provider: &str, change: impl Fn(&mut Value), expected: &str) {
    let mut document = document(&terraform(&super::fixture::plan(provider)));
    change(&mut document);
    assert_eq!(problems(&document).first().map(String::as_str), Some(expected));
}

#[test]
fn a_name_that_does_not_exist_a_wrong_type_and_a_reference_to_nothing_are_found() {
    check("aws", |all| all["resource"]["aws_vpcs"] = json!({ "main": {} }), "aws_vpcs: no such resource");
    let vpc = |key: &'static str, value: Value| {
        move |all: &mut Value| all["resource"]["aws_vpc"]["main"][key] = value.clone()
    };
    check("aws", vpc("cidr_blok", json!("10.0.0.0/16")), "aws_vpc.main.cidr_blok: no such attribute");
    check("aws", vpc("cidr_block", json!(10)), "aws_vpc.main.cidr_block: 10 is no string");
    check("aws", vpc("cidr_block", json!("${var.block}")), "var.block: refers to nothing");
    check("aws", vpc("cidr_block", json!("${aws_subnet.main.id}")), "aws_subnet.main.id: refers to nothing");
    check("aws", vpc("cidr_block", json!("${aws_vpc.main.idd}")), "aws_vpc.main.idd: refers to nothing");
    check(
        "aws",
        vpc("depends_on", json!(["aws_vpc.x"])),
        "aws_vpc.main depends on \"aws_vpc.x\", which is not there",
    );
    check(
        "aws",
        vpc("lifecycle", json!({ "ignore_changes": ["ami"] })),
        "aws_vpc.main ignores changes of `ami`, which it does not set",
    );
    let lb = |all: &mut Value| all["resource"]["aws_lb"]["entry"]["arn"] = json!("x");
    check("aws", lb, "aws_lb.entry.arn: computed, and set");
    let subnet = |all: &mut Value| {
        all["resource"]["aws_subnet"]["hosts_a"].as_object_mut().unwrap().remove("vpc_id");
    };
    check("aws", subnet, "aws_subnet.hosts_a.vpc_id: required, and not there");
    let disk = |all: &mut Value| {
        all["resource"]["google_compute_instance"]["db_a1"]["boot_disk"]["initialize_params"]["sise"] =
            json!(1);
    };
    check("gcp", disk, "google_compute_instance.db_a1.boot_disk.initialize_params.sise: no such attribute");
    let twice = |all: &mut Value| {
        all["resource"]["alicloud_alb_load_balancer"]["entry"]["load_balancer_billing_config"] =
            json!([{ "pay_type": "PayAsYouGo" }, { "pay_type": "PayAsYouGo" }]);
    };
    check(
        "alicloud",
        twice,
        "alicloud_alb_load_balancer.entry.load_balancer_billing_config: stands more than once",
    );
}
