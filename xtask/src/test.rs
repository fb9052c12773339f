//! `cargo xtask test` and `ci`.

use anyhow::Result;

use crate::install;
use crate::run::{cargo, run, say};

/// Installs what is missing and runs every test. With `CI=true` formatting and lints come first, so that the command
/// of the README is the whole gate. `arguments` go to `cargo test`, but for `--no-install`.
///
/// # Errors
/// The first step that fails.
pub fn test(arguments: &[String]) -> Result<()> {
    let (own, rest): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| *argument == "--no-install");
    if own.is_empty() {
        install::ensure(&[install::RUN, install::TEST])?;
    }
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        lint()?;
    }
    // Tests of the whole start these programs; `cargo test` alone would not build them.
    run(cargo(&["build", "--workspace", "--bins"]))?;
    let required = std::env::var("EVENKEEL_REQUIRE").unwrap_or_default();
    match required.as_str() {
        "" => {
            say("a test whose program is missing says so and is skipped; EVENKEEL_REQUIRE=all makes it fail")
        }
        value => say(&format!("EVENKEEL_REQUIRE={value}: a missing program fails its test")),
    }
    // One red crate does not hide what is red in the next.
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(rest);
    run(command)
}

fn lint() -> Result<()> {
    run(cargo(&["fmt", "--all", "--check"]))?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// What a change must pass: `test` with formatting, lints, and every program required. The drills are among the tests
/// (`tests/it`).
///
/// # Errors
/// The first step that fails.
pub fn ci() -> Result<()> {
    let mut whole = cargo(&["run", "--quiet", "--package", "xtask", "--", "test"]);
    whole.env("CI", "true").env("EVENKEEL_REQUIRE", "all");
    run(whole)
}
