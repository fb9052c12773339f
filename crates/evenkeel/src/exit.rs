//! Exit codes (see `docs/reference/commands.md`) and how an error is told to a person.

use std::fmt;
use std::process::ExitCode;

use crate::say;

/// The user's file, flags, or environment.
pub const ERROR: u8 = 1;
/// Changes are pending; only with `--detailed-exitcode`.
pub const PENDING: u8 = 2;
/// No architecture meets the objectives or the budget.
pub const INFEASIBLE: u8 = 3;
/// An objective was missed, or what was claimed is not shown.
pub const MISSED: u8 = 4;
/// Our bug.
pub const BUG: u8 = 70;

/// Every code that scripts may rely on, for `evenkeel --help` and the reference page.
pub const CODES: &str = "\
Exit codes:
  0   done
  1   an error in the file, the flags or the environment
  2   changes are pending; only with `--detailed-exitcode`
  3   no architecture meets the objectives or the budget; `plan` says why, and what would have to give
  4   an objective was missed, or what a plan claims is not shown
  5   a drill was stopped by its safety limit
  70  a bug in evenkeel";

/// An error with the way out.
#[derive(Debug)]
pub struct Hinted {
    /// What is wrong, and where.
    pub text: String,
    /// What to do about it.
    pub hint: String,
    /// What the command ends with.
    pub code: u8,
}

impl Hinted {
    /// An error, or the context of one, that says what to do about it.
    pub fn new(text: impl Into<String>, hint: impl Into<String>) -> Hinted {
        Hinted { text: text.into(), hint: hint.into(), code: ERROR }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Hinted {}

/// An error that says what to do about it.
pub fn hinted(text: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted::new(text, hint).into()
}

/// Tells a person about `error` on standard error and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    say::part(text(error));
    ExitCode::from(hinted_in(error).map_or(ERROR, |hinted| hinted.code))
}

/// The way out that `error` knows. As the context of another error it is found by the first way only, as a cause by the second
/// only.
fn hinted_in(error: &anyhow::Error) -> Option<&Hinted> {
    let hinted = error.downcast_ref::<Hinted>();
    hinted.or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// The error, what caused it, and the way out. A cause that says what was said already is left out.
fn text(error: &anyhow::Error) -> String {
    let mut last = error.to_string();
    let mut text = format!("error: {last}\n");
    for cause in error.chain().skip(1) {
        let next = cause.to_string();
        if next != last {
            text.push_str(&format!("  because {next}\n"));
        }
        last = next;
    }
    if let Some(hinted) = hinted_in(error) {
        text.push_str(&format!("hint: {}\n", hinted.hint));
    }
    text
}

/// The last error in the log of another process of ours, as [`report`] has told it there.
pub fn last_told(log: &str) -> Option<anyhow::Error> {
    let start = log.rfind("\nerror: ").map(|at| at + 1).or(log.starts_with("error: ").then_some(0))?;
    let mut lines = log[start..].lines();
    let mut text = lines.next()?.trim_start_matches("error: ").to_owned();
    let mut hint = None;
    for line in lines {
        if let Some(why) = line.strip_prefix("  because ") {
            text = format!("{text}: {why}");
        }
        hint = hint.or(line.strip_prefix("hint: "));
    }
    Some(match hint {
        Some(hint) => hinted(text, hint),
        None => anyhow::Error::msg(text),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[track_caller]
    fn check(error: anyhow::Error, told: &str) {
        assert_eq!(text(&error), told);
    }

    fn cause() -> anyhow::Error {
        anyhow::Error::new(std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    #[test]
    fn whoever_meets_an_error_is_told_the_way_out_wherever_it_was_known() {
        check(hinted("no", "do"), "error: no\nhint: do\n");
        check(hinted("no", "do").context("outer"), "error: outer\n  because no\nhint: do\n");
        let inner = cause().context(Hinted::new("no", "do"));
        check(inner, "error: no\n  because entity not found\nhint: do\n");
        let outer = Err::<(), _>(cause().context(Hinted::new("no", "do"))).context("outer").unwrap_err();
        check(outer, "error: outer\n  because no\n  because entity not found\nhint: do\n");
    }

    #[test]
    fn why_a_child_did_not_start_is_told_by_whoever_started_it() {
        let log =
            "2026 INFO x\nerror: old\nhint: old\nerror: no store\n  because a\n  because b\nhint: move it\n";
        check(last_told(log).unwrap(), "error: no store: a: b\nhint: move it\n");
        check(last_told("error: x").unwrap(), "error: x\n");
        assert!(last_told("INFO error: told in passing\n").is_none());
    }

    #[test]
    fn what_was_said_is_not_said_again_as_its_own_cause() {
        check(cause().context("entity not found"), "error: entity not found\n");
    }
}
