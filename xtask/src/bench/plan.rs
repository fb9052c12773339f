//! `bench plan`: what the planner's search takes and saves. The measurement is an example of `plan`, with no clients and no
//! processes; here is only its start.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, say};

/// Becomes the measurement, in release; it takes no options.
///
/// # Errors
/// When there are options, or starting fails; else it does not return.
pub(super) fn plan(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`bench plan` takes no options");
    let words = ["run", "--release", "--package", "plan", "--example", "bench_search"];
    say(&format!("cargo {}", words.join(" ")));
    // In place of this process, so that signals and the exit code are the measurement's own.
    let error = cargo(&words).exec();
    Err(error).context("cannot start cargo")
}
