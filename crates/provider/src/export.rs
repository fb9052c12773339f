//! What an export is: files, and what is to be known about them.

use std::collections::BTreeMap;

use crate::name::sum;

/// The files and what they make.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Each file's name and text.
    pub files: BTreeMap<String, String>,
    /// Everything in one document, for whoever wants no folder: Terraform JSON or a template.
    pub whole: String,
    /// Each line of the plan's bill.
    pub lines: Vec<LineMade>,
    /// What is made and costs, and is on no line.
    pub extra: Vec<Extra>,
    /// More to know, for people.
    pub notes: Vec<String>,
}

/// What became of one line of the bill.
#[derive(Clone, Debug, PartialEq)]
pub struct LineMade {
    /// The line, as in the plan.
    pub item: String,
    /// Its price for a month.
    pub usd_month: f64,
    /// What is made of it, `aws_instance.web_a1`.
    pub resources: Vec<String>,
    /// Why it, or a part of it, is not applied by evenkeel.
    pub not_applied: Option<String>,
}

/// What costs beyond the bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// What, for people.
    pub what: String,
    /// What is made, `aws_nat_gateway.nat_a`.
    pub resources: Vec<String>,
}

/// A sum over a file, which tells one that was changed by hand from one that was not. No defence against malice.
#[must_use]
pub fn check_sum(text: &str) -> String {
    format!("{:016x}", sum(text))
}
