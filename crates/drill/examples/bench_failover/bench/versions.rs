//! What the programs that are measured call themselves.

use std::collections::BTreeMap;
use std::process::Command;

use super::python::PATRONI;

/// By name; a program that is missing is left out.
pub fn all() -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("Patroni".to_owned(), PATRONI.to_owned())]);
    let ask = [
        ("PostgreSQL", "/usr/lib/postgresql/15/bin/postgres", "--version"),
        ("HAProxy", "haproxy", "-v"),
        ("etcd", "etcd", "--version"),
    ];
    for (name, program, flag) in ask {
        let output = Command::new(program).arg(flag).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        if let Some(version) = text.ok().as_deref().and_then(version) {
            found.insert(name.to_owned(), version);
        }
    }
    found
}

/// The first word that begins with a digit, without what the distribution adds.
fn version(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let word = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(word.split(['-', '+']).next().unwrap_or(word).to_owned())
}
