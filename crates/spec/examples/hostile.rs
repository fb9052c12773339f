//! How long hostile files of 1 MiB take to be read and answered, the slowest first:
//! `cargo run --release -p spec --example hostile`.

use std::time::{Duration, Instant};

fn main() {
    let mut slowest: Vec<(Duration, String, String)> = Vec::new();
    for unit in UNITS {
        for prefix in PREFIXES {
            let mut text = (*prefix).to_owned();
            text.push_str(&unit.repeat((spec::FILE_MAX - prefix.len()) / unit.len()));
            let started = Instant::now();
            let reading = spec::read(&text, "hostile.yaml");
            let drawn = spec::render(&reading.findings, &text, "hostile.yaml", true);
            let taken = started.elapsed();
            let first = reading.findings.first().map_or("", |finding| finding.code);
            slowest.push((
                taken,
                format!("{prefix:?} + {unit:?}.."),
                format!("{first}, {} bytes", drawn.len()),
            ));
        }
    }
    slowest.sort_by(|left, right| right.cmp(left));
    println!("{} files of 1 MiB", slowest.len());
    for (taken, name, answer) in slowest.iter().take(15) {
        println!("{:>8.1} ms  {name:<40} {answer}", taken.as_secs_f64() * 1e3);
    }
}

const PREFIXES: &[&str] = &[
    "",
    "a: ",
    "a:\n  ",
    "[",
    "{a: ",
    "\"",
    "'",
    "a: |\n ",
    "a: >\n ",
    "- ",
    "? ",
    "# ",
    "name: x\nservices: {",
    "name: x\nservices:\n a:\n  command: [\"",
];

#[rustfmt::skip]
const UNITS: &[&str] = &[
    "#", "# c\n", " # c\n", "\n", " \n", " ", "\t", "a", "a ", "a:", "a: ", "a\n", "a\n\n", " a\n", ": ", ":\n", "- \n", "-\n", "\"", "'", "''",
    "\\", "\\n", "|\n", ">\n", "&a ", "*a ", "!a ", "!!str ", "%", "%Y\n", "---\n", "...\n", "--- a\n", "<<: ", ",", "[,", "a,", "}", "]",
    "[", "{", "[{a: ", "? a\n", "?\n", "\u{feff}", "\r", "\r\n", "\u{e9}", "\u{2028}", "{}\n", "[]\n", "[],", "{},", "&a [*a]\n", "a: &a [*a]\n", "\"\\\n",
    "a #", "-- ", "? - ", "[a, ", "- - a\n", "- a\n", "a: |\n b\n", "`", "@", "${", "${x}", "$ ", "${db.url}", "x: {", "a: b, ", "'a': b, ",
    "\"a\": b\n", "ab: [c, d]\n",
];
