//! The side-by-side measurement of failover: `cargo xtask bench failover --runs 20`. See [`HELP`].

mod bench;
#[path = "../soak_database/soak/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench takes the soak's hosts, not its faults")]
mod soak;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bench::journal::{self, Line, Table};
use bench::plan::{FAULTS, SETTINGS, System, choose};
use bench::{Bench, run};
use tokio::signal::unix::{SignalKind, signal};
use world::{Stop, Tasks};

const HELP: &str = "\
cargo xtask bench failover [OPTIONS]   evenkeel beside Patroni, etcd and HAProxy: the same fault on the primary's host,
                                       one system after the other, under the load of the same clients

  --runs N            so often each fault on each system (default 20)
  --faults A,B        of kill, freeze, cut, switchover (default: all)
  --settings A,B      Patroni's: of default, aggressive (default: both)
  --sync | --async    how Patroni replicates (default: synchronously); ours loses nothing in either case
  --without-evenkeel  only Patroni
  --seed S            fixes when faults come and what clients do (default 1)
  --journal FILE      appends what was measured, as JSON lines
  --resume FILE       goes on with a journal's bench where it stopped, in the same journal
  --table FILE        only shows the table of a journal

It needs root (network namespaces). Ends with 0; 4 when evenkeel lost a write or did not become whole again; 1 on an
error of the bench itself. SIGINT and SIGTERM end it at once: the turn under way is made again by `--resume`.";

/// What the command line asks for.
struct Wanted {
    bench: Bench,
    table: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(wanted) = parse(&arguments)? else {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(path) = &wanted.table {
        return Ok(finish(&journal::read(path)?));
    }
    let (stopper, stop) = Stop::pair();
    let tasks = Tasks::new();
    let (mut end, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tasks.spawn("signals", async move {
        tokio::select! {
            biased;
            _ = end.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("ending; `--resume` goes on with the turn under way");
        stopper.request();
    });
    let lines = run(&wanted.bench, &stop).await?;
    Ok(match &wanted.bench.journal {
        Some(path) => finish(&journal::read(path)?),
        None => finish(&lines),
    })
}

/// Shows the table; the exit code.
fn finish(lines: &[Line]) -> ExitCode {
    let Some(table) = Table::of(lines) else { return ExitCode::SUCCESS };
    print!("{}", table.render());
    let broken = table.broken();
    broken.iter().for_each(|line| println!("BROKEN {line}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(4) }
}

/// `None`: help is wanted.
fn parse(arguments: &[String]) -> Result<Option<Wanted>> {
    let every = |names: &[&str]| names.join(",");
    let mut faults = every(&FAULTS.iter().map(|(_, name)| *name).collect::<Vec<_>>());
    let mut settings = every(&SETTINGS.iter().map(|(_, name)| *name).collect::<Vec<_>>());
    let (mut runs, mut seed, mut sync, mut ours) = (20, 1, true, true);
    let (mut journal, mut resumed, mut table) = (None, None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--runs" => runs = value()?.parse().context("`--runs` needs a number")?,
            "--seed" => seed = value()?.parse().context("`--seed` needs a number")?,
            "--faults" => faults.clone_from(value()?),
            "--settings" => settings.clone_from(value()?),
            "--sync" => sync = true,
            "--async" => sync = false,
            "--without-evenkeel" => ours = false,
            "--journal" => journal = Some(PathBuf::from(value()?)),
            "--resume" => resumed = Some(PathBuf::from(value()?)),
            "--table" => table = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(None),
            other => bail!("`{other}` is no option\nhint: `--help` lists them"),
        }
    }
    let mut systems = choose(SETTINGS, &settings)?;
    if ours {
        systems.insert(0, System::Evenkeel);
    }
    let faults = choose(FAULTS, &faults)?;
    if let Some(path) = journal.as_ref().filter(|path| path.exists()) {
        let path = path.display();
        bail!("`{path}` is there already\nhint: `--resume {path}` goes on with it");
    }
    let mut bench = Bench { runs, faults, systems, sync, seed, journal, done: BTreeSet::new() };
    if let Some(path) = resumed {
        resume(&mut bench, path)?;
    }
    Ok(Some(Wanted { bench, table }))
}

/// Takes everything but the number of runs from a journal, and what it has already.
fn resume(bench: &mut Bench, path: PathBuf) -> Result<()> {
    let lines = journal::read(&path)?;
    let Some(Line::Start(start)) = lines.first() else { bail!("the journal has no start") };
    (bench.seed, bench.sync) = (start.seed, start.sync);
    (bench.faults, bench.systems) = (start.faults.clone(), start.systems.clone());
    bench.done = journal::done(&lines);
    bench.journal = Some(path);
    Ok(())
}
