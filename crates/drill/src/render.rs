//! A verdict as scripts and people read it.

use model::Verdict;
use serde_json::{Value, json};

/// The verdict as the JSON object that `drill --json` ends with: the fields that DESIGN promises, and every other
/// field of [`Verdict`]. What was not measured is `null`.
#[must_use]
pub fn to_json(verdict: &Verdict) -> Value {
    // A struct of numbers and texts always becomes an object; a value that somehow does not is passed on as it is.
    let mut value = serde_json::to_value(verdict).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("kind".to_owned(), json!("verdict"));
        fields.insert("format_version".to_owned(), json!(1));
    }
    value
}

/// What the command `drill` ends with: 0 the objectives held, 4 one was missed, 5 the safety limit stopped it, 1 not
/// run or not measured.
#[must_use]
pub fn exit_code(verdict: &Verdict) -> u8 {
    match (&verdict.aborted, verdict.objectives_met) {
        (Some(_), _) => 5,
        (None, Some(true)) => 0,
        (None, Some(false)) => 4,
        (None, None) => 1,
    }
}

/// The report for a terminal.
#[must_use]
pub fn render(report: &crate::Report, _colour: bool) -> String {
    format!("{}\n", report.verdict.fault)
}
