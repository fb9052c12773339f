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
mod reference;
mod render;
mod schema;
mod suggest;
mod table;
mod tree;
mod value;

pub use codes::{codes, explain};
pub use finding::{Finding, SHOWN_MAX, Severity, Span};
pub use reference::reference;
pub use render::{Lines, Place, render};
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
    let mut found = Found::default();
    let mut lowered = lower::Lowered::default();
    if let Some(root) = tree::parse(text, &mut found) {
        if let Some(checked) = check::file(&root, &mut found) {
            lowered = lower::lower(&checked, &mut found);
        }
    }
    let findings = found.finish();
    Reading { app: lowered.app, findings, not_run: lowered.not_run, defaults: lowered.defaults }
}

/// Reads a file as it comes from the disk. Also gives the text that the findings' places refer to; where bytes are no
/// UTF-8, it holds `U+FFFD` instead.
#[must_use]
pub fn read_bytes(bytes: &[u8], origin: &str) -> (String, Reading) {
    let fail = |text: String, code: &'static codes::Code, span: Span, message: String, hint: &str| {
        let mut found = Found::default();
        found.error(code, span, message).hint(hint);
        (text, Reading { findings: found.finish(), ..Reading::default() })
    };
    if bytes.len() > FILE_MAX {
        let message = format!("the file has {} bytes; it may have {FILE_MAX} (1 MiB)", bytes.len());
        return fail(String::new(), &codes::TOO_LARGE, Span::default(), message, "is this the right file?");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = "the file is UTF-16, not UTF-8".to_owned();
        return fail(String::new(), &codes::ENCODING, Span::default(), message, "save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), read(text, origin)),
        Err(error) => {
            let at = error.valid_up_to();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let message = format!("byte 0x{:02X} is not UTF-8 here", bytes.get(at).copied().unwrap_or(0));
            // One replacement character has three bytes, and the text before it is unchanged.
            fail(text, &codes::ENCODING, Span::new(at, at + 3), message, "save the file as UTF-8")
        }
    }
}
