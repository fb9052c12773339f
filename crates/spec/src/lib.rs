//! The user's file -> [`model::App`], with every mistake at once.
//!
//! Promise: [`read`] never panics, never hangs, and ignores nothing silently. Each mistake has a place, a code with a
//! page ([`explain`]) and, where the way out is known, a hint. One table of fields drives what is accepted, the JSON
//! Schema ([`schema`]) and the reference page ([`reference`]), so the three cannot disagree.
//!
//! Deliberately absent: files and terminals (the caller reads and prints), overlays, and any reading of the
//! environment: the same text means the same everywhere.
//!
//! The way of a file: text -> `tree` (YAML, spans) -> `check` (the table: kinds, units, bounds, names of keys) ->
//! `lower` (defaults, references, what fields say about each other) -> [`model::App`].

mod check;
mod codes;
mod field;
mod finding;
mod hole;
mod lower;
mod parts;
mod place;
mod reference;
mod region;
mod render;
mod schema;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use codes::{codes, explain};
pub use finding::{Finding, SHOWN_MAX, Severity, Span};
pub use parts::Parts;
pub use place::{Lines, Place};
pub use reference::reference;
pub use region::{KnownPlace, KnownRegion, Places, Regions, find_place};
pub use render::render;
pub use schema::schema;
pub use tree::{DEPTH_MAX, FILE_MAX, VALUES_MAX};

use finding::Found;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The application; `None` when there is an error among the findings.
    pub app: Option<model::App>,
    /// Everything to tell, in the order of the file.
    pub findings: Vec<Finding>,
    /// Why `up` must not start this application, one sentence each with the way out. Empty: it may.
    pub not_run: Vec<String>,
    /// Every default that was used, with its reason, one line each.
    pub defaults: Vec<String>,
}

impl Reading {
    /// Whether the file cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Reads a file. `origin` is its name for people; it is not opened, and today not looked at.
///
/// Bounded by [`FILE_MAX`], [`DEPTH_MAX`] and [`VALUES_MAX`]; time grows with the length of `text`.
#[must_use]
pub fn read(text: &str, origin: &str) -> Reading {
    let _ = origin;
    read_as(text, Parts::BUILT, &Vec::new, &Vec::new)
}

/// Reads a file as a version that runs `parts` does.
#[must_use]
pub(crate) fn read_as(text: &str, parts: Parts, regions: &Regions<'_>, places: &Places<'_>) -> Reading {
    let mut found = Found::default();
    let mut lowered = lower::Lowered::default();
    if let Some(root) = tree::parse(text, &mut found)
        && let Some(checked) = check::file(&root, parts, &mut found)
    {
        lowered = lower::lower(&checked, parts, (regions, places), &mut found);
    }
    let findings = found.finish(text);
    Reading { app: lowered.app, findings, not_run: lowered.not_run, defaults: lowered.defaults }
}

/// Reads a file as it comes from the disk. The places of the findings refer to [`String::from_utf8_lossy`] of `bytes`.
///
/// `regions` is asked once, and only when the file names one or says where data may be kept: to know them means to read a
/// catalogue of prices. `places` is asked once, and only when the file says by name where its users are.
#[must_use]
pub fn read_bytes(bytes: &[u8], origin: &str, regions: &Regions<'_>, places: &Places<'_>) -> Reading {
    let _ = origin;
    let fail = |code: &'static codes::Code, at: usize, message: String, hint: &str| {
        // What stands before the place is UTF-8, so the place is the same in the text with replaced characters.
        let text = String::from_utf8_lossy(bytes.get(..at).unwrap_or(bytes));
        let mut found = Found::default();
        found.error(code, Span::new(at, at), message).hint(hint);
        Reading { findings: found.finish(&text), ..Reading::default() }
    };
    if bytes.len() > FILE_MAX {
        return fail(&codes::TOO_LARGE, 0, tree::too_large(bytes.len()), "is this the right file?");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return fail(&codes::ENCODING, 0, "the file is UTF-16, not UTF-8".to_owned(), "save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => read_as(text, Parts::BUILT, regions, places),
        Err(error) => {
            let at = error.valid_up_to();
            let message = format!("byte 0x{:02X} is not UTF-8 here", bytes.get(at).copied().unwrap_or(0));
            fail(&codes::ENCODING, at, message, "save the file as UTF-8")
        }
    }
}

/// What became of a file, for programs: one object with `kind`, `format_version`, `valid`, `findings`, `not_run` and
/// `defaults`. Lines and columns count from 1, `start` and `end` are byte offsets.
#[must_use]
pub fn to_json(reading: &Reading) -> serde_json::Value {
    let findings: Vec<serde_json::Value> = reading
        .findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "code": finding.code,
                "severity": finding.severity.word(),
                "line": finding.place.line,
                "column": finding.place.column,
                "start": finding.span.start,
                "end": finding.span.end,
                "message": finding.message,
                "hint": finding.hint,
            })
        })
        .collect();
    serde_json::json!({
        "kind": "check",
        "format_version": 1,
        "valid": reading.app.is_some(),
        "findings": findings,
        "not_run": reading.not_run,
        "defaults": reading.defaults,
    })
}
