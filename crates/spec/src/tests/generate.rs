//! Random files that are right, made from the table of fields, and ways to write them down.

use serde_json::{Map, Value, json};

use crate::field::{Field, Format, Kind, Presence, Shape};
use crate::table;

/// SplitMix64: the same seed gives the same files.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn within(&mut self, min: u64, max: u64) -> u64 {
        min + self.next() % (max - min + 1)
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A file that must be accepted, as JSON.
pub(super) fn file(dice: &mut Dice) -> Value {
    let mut root = shape(&table::ROOT, dice);
    agree(&mut root, dice);
    root
}

fn shape(shape: &Shape, dice: &mut Dice) -> Value {
    let chosen = (!shape.one_of.is_empty()).then(|| *dice.pick(shape.one_of));
    let mut out = Map::new();
    for field in shape.fields {
        let is_there = match chosen {
            Some(name) if shape.one_of.contains(&field.name) => field.name == name,
            _ => matches!(field.presence, Presence::Required) || dice.below(3) == 0,
        };
        if is_there {
            out.insert(field.name.to_owned(), value(field, dice));
        }
    }
    Value::Object(out)
}

fn value(field: &Field, dice: &mut Dice) -> Value {
    match field.kind {
        Kind::Table(of) => shape(of, dice),
        Kind::Map(of) => {
            let count = dice.below(3).max(of.min).min(of.max);
            (0..count)
                .map(|n| (format!("{}{n}", dice.pick(&["a", "web", "db"])), value(&of.item, dice)))
                .collect()
        }
        Kind::List(of) => {
            let count = dice.below(3).max(of.min).min(of.max);
            let mut items: Vec<Value> = Vec::new();
            while items.len() < count {
                let item = value(&of.item, dice);
                if !of.unique || !items.contains(&item) {
                    items.push(item);
                }
            }
            Value::Array(items)
        }
        Kind::Bool => json!(dice.below(2) == 0),
        Kind::Integer { min, max } => json!(dice.within(min as u64, max as u64)),
        Kind::Count { min, max, word } => match dice.below(4) {
            0 => json!(word),
            _ => json!(dice.within(min as u64, max as u64)),
        },
        Kind::Number { min, max } => {
            let step = dice.below(101) as f64 / 100.0;
            json!(((min + (max - min) * step) * 1_000.0).round() / 1_000.0)
        }
        Kind::Bytes { min, max } => {
            let (unit, spellings): (u64, &[&str]) = *dice.pick(&[
                (1, &["b", "B"] as &[&str]),
                (1 << 20, &["M", "m", "MB", "MiB", " mib"]),
                (1 << 30, &["G", "g", "GiB", " gb"]),
            ]);
            let unit = if unit > max { 1 } else { unit };
            let spelling = if unit == 1 { "B" } else { *dice.pick(spellings) };
            json!(format!("{}{spelling}", dice.within(min.div_ceil(unit), max / unit)))
        }
        Kind::Duration { min, max } => {
            let (unit, spellings): (u64, &[&str]) = *dice.pick(&[
                (1, &["ms", " ms"] as &[&str]),
                (1_000, &["s", " s"]),
                (60_000, &["m", "min", " min"]),
                (3_600_000, &["h"]),
            ]);
            let (unit, spelling) = if unit > max { (1, "ms") } else { (unit, *dice.pick(spellings)) };
            json!(format!("{}{spelling}", dice.within(min.div_ceil(unit), max / unit)))
        }
        Kind::Rate { min, max } => {
            let spelling = *dice.pick(&["rps", " rps", "/s", ".5/s"]);
            json!(format!("{}{spelling}", dice.within(min.ceil() as u64, max as u64 - 1)))
        }
        Kind::PerYear => json!(format!("{}/year", dice.below(100))),
        Kind::Availability => json!(format!("{}.{}%", dice.below(100), dice.below(1_000))),
        Kind::Percent => json!(format!("{}%", dice.below(101))),
        Kind::Money => json!(format!("{}{}USD/month", dice.within(1, 99_999), dice.pick(&[" ", "", ".50 "]))),
        Kind::Word(words) => json!(*dice.pick(words.words)),
        Kind::Name | Kind::ServiceRef => json!("web0"),
        Kind::Text(format) => json!(text(format, dice)),
        Kind::Template { .. } => json!(*dice.pick(&[
            "bin/x",
            "${port}",
            "a $$ ${zone}",
            "",
            " x: y ",
            "#",
            "\"'\\",
            "ü\n\tb",
            "- [",
            "${data}/x"
        ])),
        Kind::Listen => json!(format!("{}:{}", dice.pick(&["", "0.0.0.0"]), dice.within(1, 65_535))),
        Kind::Any => json!({ "what": ["ever", 1, true] }),
    }
}

/// A text of the form, by its pattern.
fn text(format: &Format, dice: &mut Dice) -> &'static str {
    const SAMPLES: &[&str] = &[
        "eu-central",
        "us-east-1",
        "EU",
        "DE",
        "Frankfurt",
        "São Paulo",
        "ghcr.io/acme/shop:1.8.2",
        "nginx",
        "/",
        "/healthz?x=1",
        "shop.example.com",
        "localhost",
        "0 7 * * mon-fri",
        "*/5 0-6 1,2 * *",
        "Europe/Berlin",
        "UTC",
        "Etc/GMT+1",
        "postgres:15",
        "redis:7",
        "valkey:8",
        "web0",
        "PATH_1",
    ];
    let good: Vec<&str> = SAMPLES.iter().copied().filter(|text| format.accepts(text)).collect();
    assert!(!good.is_empty(), "no sample of {}", format.what);
    dice.pick::<&str>(&good)
}

/// Makes fields agree with each other, as `lower` asks.
fn agree(root: &mut Value, dice: &mut Dice) {
    let services = root["services"].as_object_mut().expect("services are required");
    let first = services.values().next().cloned().unwrap_or_else(|| json!({ "command": ["a"] }));
    services.insert("web0".to_owned(), first);
    for service in services.values_mut() {
        service_agrees(service, dice);
    }
    let survives_zone = root
        .pointer("/objectives/survive")
        .and_then(Value::as_array)
        .is_some_and(|all| all.contains(&json!("zone")));
    if let Some(zones) = root.pointer_mut("/placement/zones").filter(|zones| survives_zone && **zones == 1) {
        *zones = json!(2);
    }
    if let Some(users) = root.pointer_mut("/placement/users").and_then(Value::as_array_mut) {
        let share = format!("{}%", 100.0 / users.len() as f64);
        users.iter_mut().for_each(|one| one["share"] = json!(share));
    }
    if let Some(databases) = root.get_mut("databases").and_then(Value::as_object_mut) {
        *databases =
            std::mem::take(databases).into_iter().map(|(name, of)| (format!("p-{name}"), of)).collect();
        for database in databases.values_mut().filter(|of| of["witness"] == true) {
            database["standbys"] = json!(1);
        }
        for database in databases.values_mut().filter(|of| of["run_by"] == "provider") {
            let Some(keys) = database.as_object_mut() else { continue };
            keys.retain(|key, _| !["standbys", "witness", "when_alone"].contains(&key.as_str()));
        }
    }
    if let Some(caches) = root.get_mut("caches").and_then(Value::as_object_mut) {
        *caches = std::mem::take(caches).into_iter().map(|(name, of)| (format!("c-{name}"), of)).collect();
    }
    let mut ports = std::collections::BTreeSet::new();
    let entries = root.get_mut("ingress").and_then(Value::as_array_mut);
    for (n, entry) in entries.into_iter().flatten().enumerate() {
        let listen = entry.get("listen").and_then(Value::as_str).unwrap_or(":8080");
        if !ports.insert(listen.rsplit(':').next().unwrap_or("").to_owned()) {
            entry["listen"] = json!(format!(":{}", 20_000 + n));
        }
    }
}

fn service_agrees(service: &mut Value, dice: &mut Dice) {
    let service = service.as_object_mut().expect("a service is a table");
    if service.contains_key("command") {
        service.insert("command".to_owned(), json!(["bin/x", "--port", "${port}"]));
    }
    if let Some(environment) = service.get_mut("environment").and_then(Value::as_object_mut) {
        let named: Map<String, Value> =
            environment.iter().map(|(key, value)| (key.to_uppercase(), value.clone())).collect();
        *environment = named;
    }
    let mut least = 1;
    if service.contains_key("replicas") {
        service.remove("scale");
        least = service["replicas"].as_u64().unwrap_or(1);
    } else if let Some(scale) = service.get_mut("scale").and_then(Value::as_object_mut) {
        let min = dice.within(1, 40);
        if scale.contains_key("min") {
            scale.insert("min".to_owned(), json!(min));
            least = min;
        }
        if scale.contains_key("max") {
            scale.insert("max".to_owned(), json!(least + dice.within(0, 40)));
        }
    }
    if let Some(deploy) = service.get_mut("deploy").and_then(Value::as_object_mut)
        && deploy.contains_key("max_unavailable")
    {
        deploy.insert("max_unavailable".to_owned(), json!(dice.within(0, least - 1)));
    }
    if let Some(load) = service.get_mut("load").and_then(Value::as_object_mut)
        && load.contains_key("mean")
    {
        load.insert("mean".to_owned(), json!("1/s"));
    }
}

/// The same value as YAML, in a random mixture of styles.
pub(super) fn yaml(value: &Value, dice: &mut Dice) -> String {
    let mut out = String::new();
    block(value, 0, dice, &mut out);
    out
}

fn block(value: &Value, indent: usize, dice: &mut Dice, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() && dice.below(4) > 0 => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(key, dice)));
                below(value, indent, dice, out);
            }
        }
        Value::Array(items) if !items.is_empty() && dice.below(3) > 0 => {
            for item in items {
                out.push_str(&format!("{pad}-"));
                below(item, indent, dice, out);
            }
        }
        other => out.push_str(&format!("{pad}{}\n", flow(other, dice))),
    }
}

/// What stands behind a key or `-`.
fn below(value: &Value, indent: usize, dice: &mut Dice, out: &mut String) {
    if matches!(value, Value::Object(_) | Value::Array(_)) {
        out.push_str(if dice.below(3) == 0 { "   # a comment\n" } else { "\n" });
        block(value, indent + 1 + dice.below(3), dice, out);
    } else {
        out.push_str(&format!(" {}\n", flow(value, dice)));
    }
}

fn flow(value: &Value, dice: &mut Dice) -> String {
    match value {
        Value::String(text) => scalar(text, dice),
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key, dice), flow(value, dice)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, dice)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Plain when that is safe, else quoted one way or the other.
fn scalar(text: &str, dice: &mut Dice) -> String {
    let is_safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._%- ".contains(c))
        && !text.ends_with(' ')
        && crate::tree::core_schema(text) == crate::tree::ScalarKind::Text
        && !crate::check::is_yes_no(text);
    let is_quantity = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic() || c == '%')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "./% ".contains(c));
    match dice.below(3) {
        0 if is_safe || is_quantity => text.to_owned(),
        1 if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
        _ => json!(text).to_string(),
    }
}
