//! Reader and schema agree: what the table makes is accepted by both, and what the reader accepts the schema accepts.

use serde_json::{Value, json};

use super::generate::{Dice, file, yaml};
use crate::tree::{self, Node, ScalarKind};
use crate::{Severity, read, render, schema};

const FILES: u64 = 700;

#[test]
fn every_file_made_from_the_table_is_accepted_and_lowered() {
    let schema = schema();
    for seed in 0..FILES {
        let mut dice = Dice(seed);
        let value = file(&mut dice);
        let text = if seed % 3 == 0 { value.to_string() } else { yaml(&value, &mut dice) };
        let reading = read(&text, "evenkeel.yaml");
        let drawn = render(&reading.findings, &text, "evenkeel.yaml", false);
        assert!(reading.app.is_some(), "seed {seed}\n{text}\n{drawn}");
        assert!(reading.findings.iter().all(|finding| finding.severity != Severity::Error));
        assert_eq!(
            as_json(&tree::parse(&text, &mut crate::finding::Found::default()).unwrap()),
            value,
            "seed {seed}\n{text}"
        );
        assert_eq!(Walker(&schema).refuses(&value), None, "seed {seed}\n{text}");
    }
}

#[test]
fn what_the_reader_accepts_the_schema_accepts() {
    let schema = schema();
    let (mut accepted, mut refused_by_both, mut refused_by_reader) = (0, 0, 0);
    for seed in 0..3 * FILES {
        let mut dice = Dice(seed ^ 0x5eed);
        let mut value = file(&mut dice);
        super::fuzz::mutate(&mut value, &mut dice);
        let text = value.to_string();
        let reading = read(&text, "evenkeel.yaml");
        let refusal = Walker(&schema).refuses(&value);
        match (reading.app.is_some(), refusal) {
            (true, None) => accepted += 1,
            (true, Some(why)) => {
                panic!("seed {seed}: the schema refuses what the reader accepts: {why}\n{text}")
            }
            (false, Some(_)) => refused_by_both += 1,
            (false, None) => refused_by_reader += 1,
        }
    }
    // Enough of each, or the comparison says little; bounds of quantities and cross-field rules are the reader's.
    assert!(accepted > 200, "{accepted}");
    assert!(refused_by_both > 700, "{refused_by_both}");
    assert!(refused_by_reader < 500, "{refused_by_reader}");
}

#[test]
fn the_schema_refuses_what_an_editor_should_underline() {
    let schema = schema();
    let good = json!({ "name": "shop", "services": { "web": { "command": ["a"] } } });
    assert_eq!(Walker(&schema).refuses(&good), None);
    for (pointer, value) in [
        ("/name", json!("My Shop")),
        ("/services/web/comand", json!(["a"])),
        ("/services/web/image", json!("nginx")),
        ("/services/web/command", json!("a")),
        ("/services/web/replicas", json!(0)),
        ("/objectives", json!({ "availability": "99.95" })),
        ("/placement", json!({ "providers": ["azure"] })),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        assert!(Walker(&schema).refuses(&bad).is_some(), "{pointer}");
    }
}

/// The tree as JSON, by the core schema.
fn as_json(node: &Node) -> Value {
    match &node.value {
        tree::Value::Scalar(scalar) => match scalar.kind() {
            ScalarKind::Null => Value::Null,
            ScalarKind::Boolean(value) => json!(value),
            ScalarKind::Integer | ScalarKind::Float => serde_json::from_str(&scalar.text).unwrap(),
            ScalarKind::Text => json!(scalar.text),
        },
        tree::Value::List(items) => items.iter().map(as_json).collect(),
        tree::Value::Table(table) => {
            table.entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.value))).collect()
        }
        tree::Value::Broken => Value::Null,
    }
}

/// As much of JSON Schema as ours uses; an unknown keyword is a failure.
struct Walker<'s>(&'s Value);

impl Walker<'_> {
    /// The first reason to refuse `value`.
    fn refuses(&self, value: &Value) -> Option<String> {
        let rules = self.0.as_object().unwrap();
        rules.iter().find_map(|(keyword, rule)| {
            let why = self.breaks(keyword, rule, value)?;
            Some(format!("{keyword} {rule}: {why}").chars().take(300).collect())
        })
    }

    fn breaks(&self, keyword: &str, rule: &Value, value: &Value) -> Option<String> {
        let fails = |good: bool| (!good).then(|| value.to_string());
        let number = || value.as_f64();
        let length = value.as_str().map(|text| text.chars().count() as u64);
        match keyword {
            "$schema" | "title" | "description" | "default" => None,
            "type" => fails(match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => number().is_some_and(|n| n.fract() == 0.0),
                "number" => value.is_number(),
                other => panic!("unknown type {other}"),
            }),
            "enum" => fails(rule.as_array().unwrap().contains(value)),
            "minimum" => fails(number().is_none_or(|n| n >= rule.as_f64().unwrap())),
            "maximum" => fails(number().is_none_or(|n| n <= rule.as_f64().unwrap())),
            "maxLength" => fails(length.is_none_or(|length| length <= rule.as_u64().unwrap())),
            "pattern" => {
                fails(value.as_str().is_none_or(|text| pattern::matches(rule.as_str().unwrap(), text)))
            }
            "minItems" => {
                fails(value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()))
            }
            "maxItems" => {
                fails(value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()))
            }
            "uniqueItems" => fails(value.as_array().is_none_or(|items| {
                rule == false || items.iter().enumerate().all(|(n, item)| !items[..n].contains(item))
            })),
            "minProperties" => {
                fails(value.as_object().is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()))
            }
            "maxProperties" => {
                fails(value.as_object().is_none_or(|map| map.len() as u64 <= rule.as_u64().unwrap()))
            }
            "required" => fails(value.as_object().is_none_or(|map| {
                rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
            })),
            "oneOf" => fails(
                rule.as_array()
                    .unwrap()
                    .iter()
                    .filter(|choice| Walker(choice).refuses(value).is_none())
                    .count()
                    == 1,
            ),
            "items" => value.as_array()?.iter().find_map(|item| Walker(rule).refuses(item)),
            "propertyNames" => value.as_object()?.keys().find_map(|key| Walker(rule).refuses(&json!(key))),
            "properties" => {
                value.as_object()?.iter().find_map(|(key, value)| Walker(rule.get(key)?).refuses(value))
            }
            "additionalProperties" => value.as_object()?.iter().find_map(|(key, value)| {
                let known = self.0.get("properties").is_some_and(|known| known.get(key).is_some());
                match rule {
                    Value::Bool(false) if !known => Some(key.clone()),
                    Value::Object(_) if !known => Walker(rule).refuses(value),
                    _ => None,
                }
            }),
            other => panic!("unknown keyword {other}"),
        }
    }
}

/// The part of ECMA 262 patterns that the schema uses: classes, groups, `|`, `?`, `*`, `+`, `{m,n}`, `^` and `$` around
/// the whole. Backtracking, for texts of a test.
mod pattern {
    enum Part {
        Class { negated: bool, ranges: Vec<(char, char)> },
        Group(Vec<Vec<(Part, usize, usize)>>),
    }

    type Sequence = Vec<(Part, usize, usize)>;

    pub(super) fn matches(pattern: &str, text: &str) -> bool {
        let inner =
            pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect("whole-text pattern");
        let chars: Vec<char> = inner.chars().collect();
        let mut at = 0;
        let choices = alternatives(&chars, &mut at);
        assert_eq!(at, chars.len(), "{pattern}");
        let text: Vec<char> = text.chars().collect();
        choices.iter().any(|choice| sequence(choice, &text, 0, &mut |end| end == text.len()))
    }

    fn alternatives(chars: &[char], at: &mut usize) -> Vec<Sequence> {
        let mut choices = vec![Vec::new()];
        while *at < chars.len() && chars[*at] != ')' {
            if chars[*at] == '|' {
                *at += 1;
                choices.push(Vec::new());
                continue;
            }
            let part = part(chars, at);
            let (least, most) = counts(chars, at);
            choices.last_mut().unwrap().push((part, least, most));
        }
        choices
    }

    fn part(chars: &[char], at: &mut usize) -> Part {
        let c = chars[*at];
        *at += 1;
        match c {
            '(' => {
                let choices = alternatives(chars, at);
                *at += 1;
                Part::Group(choices)
            }
            '[' => {
                let negated = chars[*at] == '^';
                *at += usize::from(negated);
                let mut ranges = Vec::new();
                while chars[*at] != ']' {
                    let low = literal(chars, at);
                    let high = if chars[*at] == '-' && chars[*at + 1] != ']' {
                        *at += 1;
                        literal(chars, at)
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                *at += 1;
                Part::Class { negated, ranges }
            }
            '\\' if chars[*at] == 's' => {
                *at += 1;
                Part::Class { negated: false, ranges: vec![(' ', ' '), ('\t', '\r'), ('\u{a0}', '\u{a0}')] }
            }
            _ => {
                *at -= 1;
                let c = literal(chars, at);
                Part::Class { negated: false, ranges: vec![(c, c)] }
            }
        }
    }

    fn literal(chars: &[char], at: &mut usize) -> char {
        let c = chars[*at];
        *at += 1;
        if c != '\\' {
            return c;
        }
        let escaped = chars[*at];
        *at += 1;
        if escaped != 'u' {
            return escaped;
        }
        let digits: String = chars[*at..*at + 4].iter().collect();
        *at += 4;
        char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
    }

    fn counts(chars: &[char], at: &mut usize) -> (usize, usize) {
        let (counts, width) = match chars.get(*at) {
            Some('?') => ((0, 1), 1),
            Some('*') => ((0, usize::MAX), 1),
            Some('+') => ((1, usize::MAX), 1),
            Some('{') => {
                let end = chars[*at..].iter().position(|c| *c == '}').unwrap();
                let inner: String = chars[*at + 1..*at + end].iter().collect();
                let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
                ((least.parse().unwrap(), most.parse().unwrap()), end + 1)
            }
            _ => ((1, 1), 0),
        };
        *at += width;
        counts
    }

    fn sequence(
        parts: &[(Part, usize, usize)],
        text: &[char],
        at: usize,
        then: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        match parts.split_first() {
            None => then(at),
            Some(((part, least, most), rest)) => {
                repeat(part, *least, *most, text, at, &mut |end| sequence(rest, text, end, then))
            }
        }
    }

    fn repeat(
        part: &Part,
        least: usize,
        most: usize,
        text: &[char],
        at: usize,
        then: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        if most > 0 {
            let more = &mut |end: usize| {
                end > at && repeat(part, least.saturating_sub(1), most.saturating_sub(1), text, end, then)
            };
            let matched = match part {
                Part::Class { negated, ranges } => {
                    text.get(at)
                        .is_some_and(|c| ranges.iter().any(|(low, high)| low <= c && c <= high) != *negated)
                        && more(at + 1)
                }
                Part::Group(choices) => choices.iter().any(|choice| sequence(choice, text, at, more)),
            };
            if matched {
                return true;
            }
        }
        least == 0 && then(at)
    }

    #[test]
    fn the_matcher_matches() {
        assert!(matches("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "web-1"));
        assert!(!matches("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "web-"));
        assert!(matches("^[0-9]+(\\.[0-9]+)?\\s*(ms|s|m)$", "1.5 ms"));
        assert!(!matches("^[0-9]+(\\.[0-9]+)?\\s*(ms|s|m)$", "1.ms"));
        assert!(!matches("^[^\\u0000-\\u001f]+$", "a\nb"));
    }
}
