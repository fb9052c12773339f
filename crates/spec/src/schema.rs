//! The table of fields as JSON Schema, draft 2020-12, for editors. Accepts whatever the reader accepts.

use serde_json::{Map, Value, json};

use crate::field::{Field, Format, Kind, Presence, Shape};
use crate::parts::Parts;
use crate::table;

/// `12`, `12.5`: as the quantities of `model` read a number.
const NUMBER: &str = "[0-9]+(\\.[0-9]+)?";

/// The schema of the file.
#[must_use]
pub fn schema() -> Value {
    let mut root = shape(&table::ROOT);
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("evenkeel.yaml"));
    Value::Object(root)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shape(shape: &Shape) -> Map<String, Value> {
    let properties: Map<String, Value> =
        shape.fields.iter().map(|row| (row.name.to_owned(), Value::Object(field(row)))).collect();
    let required: Vec<&str> = shape
        .fields
        .iter()
        .filter(|row| matches!(row.presence, Presence::Required))
        .map(|row| row.name)
        .collect();
    let mut out =
        object(json!({ "type": "object", "additionalProperties": false, "properties": properties }));
    if !required.is_empty() {
        out.insert("required".to_owned(), json!(required));
    }
    if !shape.one_of.is_empty() {
        let choices: Vec<Value> = shape.one_of.iter().map(|name| json!({ "required": [name] })).collect();
        out.insert("oneOf".to_owned(), json!(choices));
    }
    out
}

fn field(row: &Field) -> Map<String, Value> {
    let mut out = kind(&row.kind);
    let mut description = row.help.to_owned();
    if !row.status.runs(Parts::BUILT) {
        description.push_str(" (Accepted, not run by this version.)");
    }
    if let Presence::Derived(how) = row.presence {
        description.push_str(&format!(" Left out: {how}."));
    }
    if !description.is_empty() {
        out.insert("description".to_owned(), json!(description));
    }
    if let Presence::Fixed(value, _) = row.presence {
        let default = match row.kind {
            Kind::List(_) => json!([]),
            Kind::Integer { .. } | Kind::Count { .. } | Kind::Number { .. } => {
                serde_json::from_str(value).unwrap_or_else(|_| json!(value))
            }
            _ => json!(value),
        };
        out.insert("default".to_owned(), default);
    }
    out
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let pattern = |pattern: String| json!({ "type": "string", "pattern": pattern });
    object(match kind {
        Kind::Table(of) => return shape(of),
        Kind::Map(of) => json!({
            "type": "object",
            "propertyNames": text(of.key),
            "additionalProperties": field(&of.item),
            "minProperties": of.min,
            "maxProperties": of.max,
        }),
        Kind::List(of) => json!({
            "type": "array",
            "items": field(&of.item),
            "minItems": of.min,
            "maxItems": of.max,
            "uniqueItems": of.unique,
        }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Count { min, max, word } => {
            json!({ "oneOf": [{ "type": "integer", "minimum": min, "maximum": max }, { "enum": [word] }] })
        }
        Kind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Bytes { .. } => pattern(format!("^{NUMBER}\\s*([bB]|[kKmMgGtT]([iI]?[bB])?)$")),
        Kind::Duration { .. } => pattern(format!("^{NUMBER}\\s*(ms|s|m|min|h|d)$")),
        Kind::Rate { .. } => pattern(format!("^{NUMBER}\\s*(rps|/s|/min|/m)$")),
        Kind::PerYear => pattern(format!("^{NUMBER}/year$")),
        Kind::Availability | Kind::Percent => pattern(format!("^{NUMBER}\\s*%$")),
        Kind::Money => pattern(format!("^{NUMBER}\\s*USD/month$")),
        Kind::Word(of) => json!({ "enum": of.words }),
        Kind::Name | Kind::ServiceRef => text(&table::NAME),
        Kind::Text(format) => text(format),
        Kind::Template { max } => json!({ "type": "string", "maxLength": max }),
        Kind::Listen => pattern("^(0\\.0\\.0\\.0)?:[1-9][0-9]{0,4}$".to_owned()),
        Kind::Any => json!({}),
    })
}

fn text(format: &Format) -> Value {
    json!({ "type": "string", "pattern": format.pattern, "maxLength": format.max })
}
