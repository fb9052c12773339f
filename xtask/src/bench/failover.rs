//! `bench failover`: evenkeel beside Patroni, etcd and HAProxy on hosts of their own. The measurement is an example of
//! `drill`, whose clients and checkers it uses; here is only its start.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::install;
use crate::run::{cargo, run, say};

/// Becomes the measurement, in release; its options are its own, `--help` lists them.
///
/// # Errors
/// When installing, building or starting fails; else it does not return.
pub(super) fn failover(arguments: &[String]) -> Result<()> {
    if !arguments.iter().any(|word| matches!(word.as_str(), "--help" | "-h" | "--table")) {
        install::ensure(&[install::RUN, install::TEST, install::FAILOVER])?;
        run(cargo(&["build", "--release", "--package", "evenkeel"]))?;
    }
    let mut command = cargo(&["run", "--release", "--package", "drill", "--example", "bench_failover", "--"]);
    command.args(arguments);
    say("cargo run --release --package drill --example bench_failover");
    // In place of this process, so that signals and the exit code are the measurement's own.
    let error = command.exec();
    Err(error).context("cannot start cargo")
}
