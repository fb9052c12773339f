//! A soak of the database: `cargo xtask soak database --faults 300 --seed 1`. See [`HELP`].

mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use soak::backing::Which;
use soak::ground::Where;
use soak::journal::{self, Line, Table};
use soak::plan::{HOST_KINDS, KINDS, Kind};
use soak::{Soak, run};
use tokio::signal::unix::{SignalKind, signal};
use world::{Stop, Tasks};

const HELP: &str = "\
soak_database [OPTIONS]   breaks a database again and again under load, and judges it

  --faults N              so many faults in all (default 20)
  --seed S                fixes their order and times (default 1)
  --hosts                 on three hosts in network namespaces (as root): on each a member of etcd and `evenkeel agent`
  --lease                 on such hosts, two of which have the data, under a lease: what it states that it may lose is
                          allowed, and counted
  --standbys N            2 to 4 beside the primary, in place of 2
  --witness               two nodes with data and a witness, in place of three; also with `--hosts`
  --kinds A,B             only these; `--kinds list` lists them (default: all that can be made there)
  --store etcd|embedded   under the keepers (default: three members of etcd where it is installed)
  --round N               faults between two judgements (default 20)
  --journal FILE          appends what happened, as JSON lines
  --resume FILE           goes on with the journal's sequence where it stopped, in the same journal
  --table FILE            only shows the table of a journal
  --long                  the store is away for 60 s, not for 6
  --strict                ends with 4 also when a figure was missed
  --calm SECONDS          breaks nothing: burners take every processor, whatever belongs to the database stands still for
                          up to 0.5 s at random, and terms that begin are counted as false failovers; on loopback the
                          keepers together, with `--hosts` each agent alone
  --break-sync            breaks the product on purpose, to see the soak turn red

Ends with 0; 4 when anything was lost or wrong, or the database did not become whole again; 1 on an error of the soak
itself. SIGTERM and SIGINT end it after the fault under way, and what was done is judged. EVENKEEL_LOG=FILE keeps what
the keepers log.";

/// Says that this process has mounts of its own already.
const OWN_MOUNTS: &str = "EVENKEEL_SOAK_OWN_MOUNTS";

/// What the command line asks for.
enum Asked {
    /// A soak, or its table.
    Run(Box<Wanted>),
    /// Only to be told this.
    Text(String),
}

/// A soak, or its table.
struct Wanted {
    soak: Soak,
    table: Option<PathBuf>,
    calm: Option<u64>,
    strict: bool,
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
    let wanted = match parse(&arguments)? {
        Asked::Run(wanted) => wanted,
        Asked::Text(text) => {
            println!("{text}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if wanted.table.is_none()
        && wanted.calm.is_none()
        && wanted.soak.kinds.iter().any(|kind| kind.needs_disks())
    {
        in_own_mounts()?;
    }
    log_to_file()?;
    if let Some(path) = &wanted.table {
        return Ok(finish(&journal::read(path)?, None, wanted.strict));
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
        eprintln!("ending after the fault under way");
        stopper.request();
    });
    let ended = match wanted.calm {
        Some(seconds) => soak::calm::run(&wanted.soak, seconds, &stop).await?,
        None => run(&wanted.soak, &stop).await?,
    };
    let lines = match &wanted.soak.journal {
        Some(path) => journal::read(path)?,
        None => ended.lines,
    };
    Ok(finish(&lines, ended.stuck.as_deref(), wanted.strict))
}

/// Goes on in mounts of its own, where small disks of nodes can be made that are gone with it, however it ends.
fn in_own_mounts() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can give nodes small disks\nhint: `--kinds` without those of full disks");
    }
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return Ok(());
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(std::env::current_exe()?);
    let error = std::os::unix::process::CommandExt::exec(
        command.args(std::env::args_os().skip(1)).env(OWN_MOUNTS, "1"),
    );
    Err(error).context("cannot start `unshare`")
}

/// Shows the table; the exit code.
fn finish(lines: &[Line], stuck: Option<&str>, strict: bool) -> ExitCode {
    let table = Table::of(lines);
    print!("{}", table.render());
    let (broken, missed) = (table.broken(), table.missed());
    broken.iter().for_each(|line| println!("BROKEN {line}"));
    missed.iter().for_each(|line| println!("MISSED {line}"));
    if let Some(stuck) = stuck {
        eprintln!("{stuck}");
    }
    match broken.is_empty() && stuck.is_none() && (missed.is_empty() || !strict) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(4),
    }
}

fn parse(arguments: &[String]) -> Result<Asked> {
    let store = if soak::etcd_installed() { Which::Etcd } else { Which::Embedded };
    let mut soak = Soak {
        faults: 20,
        from: 0,
        seed: 1,
        kinds: Vec::new(),
        place: Where::Loopback,
        standbys: 2,
        store,
        round: 20,
        journal: None,
        long: false,
        broken: false,
    };
    let (mut table, mut calm, mut strict, mut list) = (None, None, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--faults" => soak.faults = value()?.parse().context("`--faults` needs a number")?,
            "--seed" => soak.seed = value()?.parse().context("`--seed` needs a number")?,
            "--round" => soak.round = value()?.parse().context("`--round` needs a number")?,
            "--kinds" => match value()?.as_str() {
                "list" => list = true,
                names => soak.kinds = kinds_of(names)?,
            },
            // Either way round.
            "--hosts" if soak.place == Where::Lease => {}
            "--hosts" if soak.place == Where::Witness => soak.place = Where::HostsWitness,
            "--hosts" => soak.place = Where::Hosts,
            "--lease" => soak.place = Where::Lease,
            "--standbys" => soak.standbys = value()?.parse().context("`--standbys` needs a number")?,
            "--witness" if soak.place == Where::Hosts => soak.place = Where::HostsWitness,
            "--witness" => soak.place = Where::Witness,
            "--store" => soak.store = store_of(value()?)?,
            "--journal" => soak.journal = Some(value()?.into()),
            "--resume" => resume(&mut soak, value()?.into())?,
            "--table" => table = Some(value()?.into()),
            // Nothing but the figure is asked for.
            "--calm" => {
                let seconds = value()?.parse().context("`--calm` needs a number of seconds")?;
                (calm, strict) = (Some(seconds), true);
            }
            "--long" => soak.long = true,
            "--strict" => strict = true,
            "--break-sync" => soak.broken = true,
            "--help" | "-h" => return Ok(Asked::Text(HELP.to_owned())),
            other => bail!("`{other}` is no option\nhint: `--help` lists them"),
        }
    }
    if list {
        return Ok(Asked::Text(listed()));
    }
    if soak.kinds.is_empty() && table.is_none() && calm.is_none() {
        soak.kinds = every(soak.place);
    }
    check(&mut soak, calm.is_some())?;
    Ok(Asked::Run(Box::new(Wanted { soak, table, calm, strict })))
}

/// Whether all of it goes together.
fn check(soak: &mut Soak, calm: bool) -> Result<()> {
    if let Some(kind) = soak.kinds.iter().find(|kind| !Kind::all(soak.place).contains(kind)) {
        bail!(
            "`{}` cannot be made there\nhint: `--hosts`, `--lease` or `--witness`, or without it",
            kind.name()
        );
    }
    if soak.place == Where::Lease {
        soak.standbys = 1;
    } else if !(2..=4).contains(&soak.standbys) || (soak.standbys > 2 && soak.place != Where::Loopback) {
        bail!("there are 2 to 4 standbys on loopback, and 2 on hosts\nhint: `--standbys 3`");
    }
    if matches!(soak.place, Where::Hosts | Where::HostsWitness | Where::Lease) && soak.store != Which::Etcd {
        bail!("hosts meet in an etcd\nhint: without `--store`; etcd must be installed");
    }
    if calm && matches!(soak.place, Where::Witness | Where::HostsWitness | Where::Lease) {
        bail!("a calm is of three nodes with data\nhint: `--calm` without `--witness` or `--lease`");
    }
    Ok(())
}

/// Every kind, and with which options it can be made.
fn listed() -> String {
    let places = [
        (Where::Loopback, "alone"),
        (Where::Witness, "--witness"),
        (Where::Hosts, "--hosts"),
        (Where::HostsWitness, "--hosts --witness"),
        (Where::Lease, "--lease"),
    ];
    let line = |(kind, name): &(Kind, &str)| {
        let able = places.iter().filter(|(place, _)| Kind::all(*place).contains(kind));
        let able: Vec<&str> = able.map(|(_, option)| *option).collect();
        format!("{name:<32} {}", able.join(", "))
    };
    let lines: Vec<String> = KINDS.iter().chain(HOST_KINDS).map(line).collect();
    lines.join("\n")
}

/// Every kind that can be made there, by this user.
fn every(place: Where) -> Vec<Kind> {
    let disks = place == Where::Loopback && soak::small_disks_possible();
    let delays = place == Where::Hosts && soak::lab::slow::possible();
    let possible = |kind: &Kind| (disks || !kind.needs_disks()) && (delays || !kind.needs_delays());
    Kind::all(place).into_iter().filter(possible).collect()
}

fn kinds_of(names: &str) -> Result<Vec<Kind>> {
    names.split(',').map(Kind::of).collect()
}

fn store_of(name: &str) -> Result<Which> {
    match name {
        "etcd" => Ok(Which::Etcd),
        "embedded" => Ok(Which::Embedded),
        other => bail!("`{other}` is no store\nhint: there are `etcd` and `embedded`"),
    }
}

/// Takes seed, kinds and place from a journal.
fn resume(soak: &mut Soak, path: PathBuf) -> Result<()> {
    let lines = journal::read(&path)?;
    let Some(Line::Start { seed, kinds, place, store, long, standbys, .. }) = lines.first() else {
        bail!("the journal has no start")
    };
    (soak.seed, soak.kinds, soak.store) = (*seed, kinds_of(&kinds.join(","))?, store_of(store)?);
    (soak.long, soak.standbys) = (soak.long | *long, *standbys);
    soak.place = match place.as_str() {
        "hosts" => Where::Hosts,
        "hostswitness" => Where::HostsWitness,
        "lease" => Where::Lease,
        "witness" => Where::Witness,
        _ => Where::Loopback,
    };
    let last = lines.iter().filter_map(|line| match line {
        Line::Round(round) => Some(round.first + round.faults),
        _ => None,
    });
    soak.from = last.max().unwrap_or_default();
    soak.journal = Some(path);
    Ok(())
}

fn log_to_file() -> Result<()> {
    let Some(path) = std::env::var_os("EVENKEEL_LOG") else { return Ok(()) };
    let file = std::fs::File::options().append(true).create(true).open(&path);
    let file = file.with_context(|| format!("cannot write `{}`", PathBuf::from(path).display()))?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}
