//! Seeded mutations of right files: whatever comes out, reading and drawing end without a panic, places are inside
//! the file, and an application comes exactly when there is no error. A failure prints its seed.

use serde_json::{Value, json};

use super::generate::{Dice, file, yaml};
use crate::{Reading, Severity, read_bytes, render, to_json};

const BYTE_CASES: u64 = 14_000;
const TREE_CASES: u64 = 8_000;

/// What must hold for any input.
fn holds(bytes: &[u8], seed: u64) -> Reading {
    let reading = read_bytes(bytes, "evenkeel.yaml", &Vec::new, &Vec::new);
    let text = String::from_utf8_lossy(bytes);
    let errors = reading.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    assert_eq!(reading.app.is_none(), errors > 0, "seed {seed}\n{text}");
    for finding in &reading.findings {
        assert!(
            finding.span.start <= finding.span.end && finding.span.end <= text.len(),
            "seed {seed}: {finding:?}"
        );
        assert!(finding.place.line >= 1 && finding.place.column >= 1, "seed {seed}: {finding:?}");
        assert!(!finding.message.contains(char::is_control), "seed {seed}: {finding:?}");
        assert!(crate::explain(finding.code).is_some());
    }
    for line in reading.not_run.iter().chain(&reading.defaults) {
        assert!(!line.contains(char::is_control), "seed {seed}: {line:?}");
    }
    // Drawing is most of the time of a case; each kind of finding is drawn thousands of times all the same.
    if !seed.is_multiple_of(4) {
        return reading;
    }
    let drawn = render(&reading.findings, &text, "evenkeel.yaml", seed.is_multiple_of(8));
    assert!(
        !drawn.contains(|c: char| c.is_control() && c != '\n' && c != '\u{1b}'),
        "seed {seed}: {drawn:?}"
    );
    assert!(seed.is_multiple_of(8) || !drawn.contains('\u{1b}'), "seed {seed}: {drawn:?}");
    assert_eq!(to_json(&reading)["findings"].as_array().unwrap().len(), reading.findings.len());
    reading
}

#[test]
fn no_change_of_bytes_is_too_much() {
    const PIECES: &[&str] = &[
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\t",
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "&a ",
        "*a",
        "!t ",
        "|\n",
        ">\n",
        "? ",
        "---\n",
        "...\n",
        "%",
        "<<: ",
        "\0",
        "\u{feff}",
        "\u{202e}",
        "é",
        "${",
        "}",
        "$",
        "0x1",
        "1e9",
        ".inf",
        "yes",
        "null",
        "~",
        "\r",
        "\r\n",
        "\u{85}",
        "\\",
        "\\u",
        "\u{1b}[31m",
        "-",
        ":",
    ];
    let mut accepted = 0;
    for seed in 0..BYTE_CASES {
        let mut dice = Dice(seed);
        let value = file(&mut dice);
        let mut bytes = yaml(&value, &mut dice).into_bytes();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            let end = (at + dice.below(12)).min(bytes.len());
            match dice.below(6) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] = dice.next() as u8,
                3 => {
                    let copied = bytes[at..end].to_vec();
                    let to = dice.below(bytes.len() + 1);
                    bytes.splice(to..to, copied);
                }
                _ => drop(bytes.splice(at..at, dice.pick(PIECES).bytes())),
            }
        }
        accepted += u64::from(holds(&bytes, seed).app.is_some());
    }
    // Mutations that leave the file right reach the far end of the reader.
    assert!(accepted > BYTE_CASES / 50, "{accepted}");
}

#[test]
fn no_change_of_the_tree_is_too_much() {
    for seed in 0..TREE_CASES {
        let mut dice = Dice(seed ^ 0x7ee5);
        let mut value = file(&mut dice);
        for _ in 0..=dice.below(3) {
            mutate(&mut value, &mut dice);
        }
        let text = yaml(&value, &mut dice);
        holds(text.as_bytes(), seed);
    }
}

/// Changes one random place of the tree.
pub(super) fn mutate(root: &mut Value, dice: &mut Dice) {
    let mut places = Vec::new();
    pointers(root, String::new(), &mut places);
    let place = dice.pick(&places).clone();
    let other = root.pointer(dice.pick::<String>(&places)).cloned().unwrap_or(Value::Null);
    let Some(target) = root.pointer_mut(&place) else { return };
    match dice.below(5) {
        0 => *target = other,
        1 => *target = scalar(dice),
        2 => {
            if let Some(map) = target.as_object_mut()
                && let Some(key) = map.keys().nth(dice.below(map.len())).cloned()
            {
                let value = map.remove(&key).unwrap_or(Value::Null);
                let renamed = match dice.below(4) {
                    0 => return,
                    1 => format!("{key}s"),
                    2 => key.chars().rev().collect(),
                    _ => (*dice.pick(&["on", "<<", "ports", "min", "", "A B", "\u{1b}"])).to_owned(),
                };
                map.insert(renamed, value);
            }
        }
        3 => {
            if let Some(items) = target.as_array_mut() {
                let copied = items.clone();
                items.extend(copied);
                items.push(scalar(dice));
            }
        }
        _ => {
            if let Some(text) = target.as_str() {
                *target = json!(text.chars().skip(1).collect::<String>());
            } else if let Some(number) = target.as_f64() {
                *target = json!(number * 10.0 - 1.0);
            }
        }
    }
}

fn scalar(dice: &mut Dice) -> Value {
    let texts = [
        "",
        "x",
        "5",
        "60s",
        "512M",
        "10rps",
        "yes",
        "${nope}",
        "a b",
        "/",
        "web0",
        "99.9%",
        "1 USD/month",
        ":80",
        "\u{0}",
        "ü\n",
    ];
    match dice.below(6) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!(dice.below(200)),
        3 => json!(dice.below(2_000) as f64 / 8.0 - 20.0),
        _ => json!(*dice.pick(&texts)),
    }
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                pointers(value, format!("{at}/{n}"), out);
            }
        }
        _ => {}
    }
    out.push(at);
}
