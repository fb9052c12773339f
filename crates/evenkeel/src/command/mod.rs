//! One file per subcommand.

mod catalog;
mod check;
mod down;
mod drill;
mod drill_primary;
mod export;
mod export_cloud;
mod failover;
mod logs;
mod plan;
mod seen;
mod serve;
mod simulate;
mod simulate_text;
mod status;
mod table;
mod up;
mod what_if;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::cli::{Cli, Command};
use crate::wire::site::Site;

/// Runs one command.
///
/// # Errors
/// What a person must be told; the exit code is then 1.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let site = Site::at(&cli.state)?;
    match cli.command {
        Command::Check(file) => check::run(&file.file, &site, cli.json),
        Command::Explain { code } => check::explain(&code, cli.json),
        Command::Plan(args) => plan::run(&args, &site, cli.json),
        Command::Simulate(args) => simulate::run(&args, &site, cli.json),
        Command::Catalog(action) => catalog::run(&action, &site, cli.json),
        Command::Up(args) => up::run(&args, &site, cli.json),
        Command::Supervise(args) => up::supervise(&args, &site),
        Command::Status(args) => status::run(&args, &site, cli.json),
        Command::Logs(args) => logs::run(&args, &site),
        Command::Drill(args) => drill::run(&args, &site, cli.json),
        Command::Failover(args) => failover::run(&args, &site, cli.json),
        Command::Down(args) => down::run(&args, &site),
        Command::Export(what) => export::run(&what, &site, cli.json),
        Command::Agent(args) => serve::agent(args, &site),
        Command::Front(args) => serve::front(&args),
        Command::StoreServer(args) => serve::store(args),
        Command::KeeperWatchdog(args) => Ok(database::keeper::watchdog_main(args.pid, args.started)),
        Command::UnitShim => Ok(engine::shim_main(std::iter::empty::<String>())),
    }
}

/// Runs `work` on this thread alone: commands and agents wait, they do not compute.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let done = runtime.block_on(work);
    // A thread that waits for a disk that hangs, or for a name, holds up nobody's end.
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

/// So long what runs aside may go on at the end.
const LEFT_BEHIND: Duration = Duration::from_secs(1);
