//! `cargo xtask soak`: the long forms of tests, for a night.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};

use crate::install;
use crate::run::{cargo, run, say};

/// Becomes the soak `arguments` begin with, in release; what follows goes to it. `--help` lists what it takes.
///
/// # Errors
/// When there is no such soak, or installing or starting fails; else it does not return.
pub fn soak(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("`soak` needs a name\nhint: `cargo xtask soak database --help`");
    };
    if name != "database" {
        bail!("`{name}` is no soak\nhint: there is `database`");
    }
    install::ensure(&[install::RUN, install::TEST])?;
    if rest.iter().any(|word| word == "--hosts" || word == "--lease") {
        // The agents that run on them.
        run(cargo(&["build", "--release", "--package", "evenkeel"]))?;
    }
    let mut command = cargo(&["run", "--release", "--package", "drill", "--example", "soak_database", "--"]);
    command.args(rest);
    say("cargo run --release --package drill --example soak_database");
    // In place of this process, so that signals and the exit code are the soak's own.
    let error = command.exec();
    Err(error).context("cannot start cargo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_that_does_not_exist_is_refused() {
        let says = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            soak(&words).unwrap_err().to_string()
        };
        assert!(says(&[]).contains("needs a name"));
        assert!(says(&["cache"]).starts_with("`cache` is no soak"));
    }
}
