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
/// Our bug.
pub const BUG: u8 = 70;

/// An error with the way out.
#[derive(Debug)]
pub struct Hinted {
    /// What is wrong, and where.
    pub text: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Hinted {}

/// An error that says what to do about it.
pub fn hinted(text: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { text: text.into(), hint: hint.into() }.into()
}

/// Tells a person about `error` on standard error and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    say::talk(format_args!("error: {error}"));
    for cause in error.chain().skip(1) {
        say::talk(format_args!("  because {cause}"));
    }
    if let Some(hinted) = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()) {
        say::talk(format_args!("hint: {}", hinted.hint));
    }
    ExitCode::from(ERROR)
}
