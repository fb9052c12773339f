//! Plans to export. Their bills are written here, so that a better search changes no test of the files.

use std::collections::BTreeSet;

use model::{Buys, Money, Plan, PlanLine, ZoneName};
use provider::{Export, Options, Ports};
use serde_json::Value;

/// A service and a database.
pub const FILE: &str = include_str!("../../testdata/shop.yaml");

/// What is bought: the item and how many.
pub type Bill<'b> = &'b [(&'b str, f64)];

pub const AWS: Bill<'_> = &[
    ("c6i.xlarge for web", 3.0),
    ("c6i.xlarge for db", 3.0),
    ("GB of disk for web", 60.0),
    ("GB of disk for db", 90.0),
    ("application load balancer", 1.0),
    ("load balancer capacity unit", 1.0),
    ("NAT gateway", 3.0),
    ("public address", 6.0),
    ("GB of traffic to the internet", 700.0),
    ("GB between zones for db", 500.0),
];
pub const GCP: Bill<'_> = &[
    ("n4-standard-2 for web", 3.0),
    ("n4-standard-2 for db", 3.0),
    ("GB of disk for web", 60.0),
    ("GB of disk for db", 90.0),
    ("forwarding rule", 1.0),
    ("GB of forwarding rule traffic", 700.0),
    ("machine behind the NAT gateway", 6.0),
    ("public address", 1.0),
    ("GB of traffic to the internet", 700.0),
    ("GB between zones for db", 500.0),
];
pub const ALICLOUD: Bill<'_> = &[
    ("ecs.c7.xlarge for web", 3.0),
    ("ecs.g7.large for db", 3.0),
    ("GB of disk for web", 60.0),
    ("GB of disk for db", 90.0),
    ("application load balancer", 1.0),
    ("load balancer capacity unit", 1.0),
    ("NAT gateway", 1.0),
    ("public address", 4.0),
    ("GB of traffic to the internet", 700.0),
    ("GB between zones for db", 500.0),
];

/// Provider, region, zones and bill of the three clouds.
pub const CLOUDS: [(&str, &str, &[&str], Bill<'_>); 3] = [
    ("aws", "eu-central-1", &["eu-central-1a", "eu-central-1b", "eu-central-1c"], AWS),
    ("gcp", "europe-west3", &["europe-west3-a", "europe-west3-b", "europe-west3-c"], GCP),
    ("alicloud", "ap-southeast-1", &["ap-southeast-1a", "ap-southeast-1b", "ap-southeast-1c"], ALICLOUD),
];

pub fn options() -> Options {
    let ports = Ports { units: (20_000, 29_999), data_front: 6432, server: 15432, keeper: 16432, each: 100 };
    let (file, state, version) = ("evenkeel.yaml".to_owned(), "../.evenkeel".to_owned(), "0.1.0".to_owned());
    Options { ports, prepared_image: false, file, state, version }
}

/// What the words of a bill stand for.
pub fn buys(item: &str) -> Buys {
    let parts =
        |whom: &str| whom.split(" and ").flat_map(|part| part.split(", ")).map(str::to_owned).collect();
    match item {
        "application load balancer" => Buys::ApplicationBalancer,
        "network load balancer" | "forwarding rule" => Buys::NetworkBalancer,
        "load balancer capacity unit" => Buys::BalancerUse,
        "NAT gateway" | "machine behind the NAT gateway" => Buys::Nat,
        "public address" => Buys::Addresses,
        _ if item.starts_with("GB between zones for ") => Buys::Between,
        _ => match item.rsplit_once(" for ") {
            Some((disk, whom)) if disk.starts_with("GB of ") => Buys::Disks { parts: parts(whom) },
            Some((kind, whom)) => Buys::Machines { kind: kind.to_owned(), parts: parts(whom) },
            None if item.starts_with("GB of ") => Buys::Answers,
            None => Buys::Unknown,
        },
    }
}

/// `text` planned for this machine, and moved to a cloud.
pub fn plan_of(text: &str, provider: &str, region: &str, zones: &[&str], bill: Bill<'_>) -> Plan {
    let reading = spec::read(text, "evenkeel.yaml");
    let mut app = reading.app.unwrap_or_else(|| panic!("{:?}", reading.findings));
    app.placement.zones = zones.len() as u8;
    let local = plan::Options { catalog: plan::Catalog::default(), provider: None };
    let mut plan = plan::plan(&app, &local).unwrap();
    let names: Vec<ZoneName> = zones.iter().map(|zone| ZoneName::new(zone).unwrap()).collect();
    for (index, node) in plan.databases.iter_mut().flat_map(|planned| planned.nodes.iter_mut().enumerate()) {
        node.zone = names[index % names.len()].clone();
    }
    plan.zones = names;
    (plan.provider, plan.region) = (provider.to_owned(), region.to_owned());
    let line = |(item, quantity): &(&str, f64)| PlanLine {
        item: (*item).to_owned(),
        buys: buys(item),
        quantity: *quantity,
        unit_usd: 1.0,
        usd_month: Money::from_usd(*quantity),
        source: "a list".to_owned(),
        date: "2026-01-01".to_owned(),
        not_applied: None,
    };
    plan.lines = bill.iter().map(line).collect();
    plan.usd_month = plan.lines.iter().map(|line| line.usd_month).sum();
    (plan.feasible, plan.missed) = (true, Vec::new());
    plan
}

/// The shop in a cloud.
pub fn plan(provider: &str) -> Plan {
    let (provider, region, zones, bill) = *CLOUDS.iter().find(|cloud| cloud.0 == provider).unwrap();
    plan_of(FILE, provider, region, zones, bill)
}

/// Plans that differ in what the files hold: with what they are called for people.
pub fn variants() -> Vec<(String, Plan, Options)> {
    let mut all = Vec::new();
    let without = FILE.replace("databases:\n  db: { engine: postgres:15, storage: 10G, standbys: 2 }\n", "");
    let named = FILE.replace("name: shop", &format!("name: 0{}", "x".repeat(62)));
    let hosts = FILE.replace("0.0.0.0:8080\", to", "0.0.0.0:8080\", host: shop.example.com, to");
    let ports = format!("{FILE}  - {{ listen: \"0.0.0.0:9090\", to: web }}\n");
    for (provider, region, zones, bill) in CLOUDS {
        let no_db: Vec<_> = bill.iter().copied().filter(|(item, _)| !item.ends_with(" for db")).collect();
        let inner: Vec<_> = bill.iter().copied().filter(|(item, _)| item.contains(" for ")).collect();
        let mut add = |name: &str, text: &str, zones: &[&str], bill: Bill<'_>, prepared_image| {
            let options = Options { prepared_image, ..options() };
            all.push((format!("{provider} {name}"), plan_of(text, provider, region, zones, bill), options));
        };
        add("three zones", FILE, zones, bill, false);
        add("prepared image", FILE, zones, bill, true);
        add("no database", &without, zones, &no_db, false);
        add("no entry", FILE, zones, &inner, false);
        add("a prepared image and no entry", FILE, zones, &inner, true);
        add("two zones", FILE, &zones[..2], bill, false);
        // Alibaba Cloud has no entry for one zone, see `refused.rs`.
        let one = if provider == "alicloud" { &inner } else { bill };
        add("one zone", FILE, &zones[..1], one, false);
        add("a long name that begins with a digit", &named, zones, bill, false);
        add("an entry for one host", &hosts, zones, bill, false);
        add("two ports", &ports, zones, bill, false);
        let mut many = no_db.clone();
        many[0].1 = 60.0;
        many[1].1 = 1_200.0;
        add("sixty machines", &without, zones, &many, false);
    }
    let network: Vec<_> = AWS
        .iter()
        .map(|&(item, count)| (if item.starts_with("app") { "network load balancer" } else { item }, count))
        .collect();
    let (provider, region, zones, _) = CLOUDS[0];
    all.push((
        "aws network balancer".to_owned(),
        plan_of(FILE, provider, region, zones, &network),
        options(),
    ));
    all
}

pub fn terraform(plan: &Plan) -> Export {
    provider::terraform(plan, &options()).unwrap()
}

/// The one document with everything in it.
pub fn document(export: &Export) -> Value {
    serde_json::from_str(&export.whole).unwrap()
}

/// Every resource as its type, its name and its body.
pub fn resources(document: &Value) -> Vec<(&str, &str, &Value)> {
    let kinds = document["resource"].as_object().unwrap();
    kinds
        .iter()
        .flat_map(|(kind, all)| {
            let all = all.as_object().unwrap();
            all.iter().map(|(name, body)| (kind.as_str(), name.as_str(), body))
        })
        .collect()
}

/// Every text in `value`.
pub fn texts<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(all) => all.iter().for_each(|one| texts(one, into)),
        Value::Object(all) => all.values().for_each(|one| texts(one, into)),
        _ => {}
    }
}

/// What stands in `${..}` in `text`, in order; `$${` is none.
pub fn expressions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let literal = rest[..at].ends_with('$');
        rest = &rest[at + 2..];
        if !literal {
            let end = end(rest).unwrap_or_else(|| panic!("`${{{rest}` does not end"));
            found.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
    found
}

/// Where an expression ends: at the `}` that is in no quotes.
fn end(expression: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, letter) in expression.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// `aws_vpc.main.id` and `var.image` of an expression: dotted names outside of quotes that are no function's.
pub fn references(expression: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (index, part) in expression.split('"').enumerate() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        for word in part.split(|c| !is_name(c)).filter(|_| index % 2 == 0) {
            if word.contains('.') && !word.starts_with(|c: char| c.is_ascii_digit()) {
                all.insert(word.to_owned());
            }
        }
    }
    all
}
