//! The house rules a machine can keep.
//!
//! Promise: every finding names the place, the rule, why the rule is there and the way out; the same tree gives
//! the same findings in the same order. Works on text, so it also judges code that does not compile yet.
//!
//! Deliberately absent: what `rustfmt`, `clippy` and the compiler already see.

mod bans;
mod decide;
mod layers;
pub mod lex;
mod repository;
mod sizes;
pub mod tree;

pub use repository::{LOCKED_MAX, TREE_BYTES_MAX, locked_packages};

use std::fmt;
use std::path::Path;

use anyhow::Result;
use tree::Tree;

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong and why the rule is there.
    pub why: String,
    /// What to do instead.
    pub way_out: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}; {}", self.path, self.line, self.rule, self.why, self.way_out)
    }
}

/// Collects what the rules find.
#[derive(Debug, Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, path: &str, line: usize, rule: &'static str, why: impl Into<String>, way_out: &str) {
        let (path, why, way_out) = (path.to_owned(), why.into(), way_out.to_owned());
        self.0.push(Finding { path, line, rule, why, way_out });
    }
}

/// Judges the tree below `root`. No findings: it is tidy.
///
/// # Errors
/// A folder that cannot be listed.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut found = Found::default();
    layers::check(&tree, &mut found);
    sizes::check(&tree, &mut found);
    decide::check(&tree, &mut found);
    bans::check(&tree, &mut found);
    repository::check(&tree, &mut found);
    found.0.sort();
    found.0.dedup();
    Ok(found.0)
}
