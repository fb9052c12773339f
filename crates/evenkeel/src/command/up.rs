//! `evenkeel up`: the application on this machine, in emulated zones.

use std::io::IsTerminal;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use database::instance::{find_bin, system_user};
use model::{App, Plan, RolloutPhase, Status, UnitStatus};
use tokio::signal::unix::{SignalKind, signal};
use world::Clock;

use crate::cli::UpArgs;
use crate::exit::{self, hinted};
use crate::say;
use crate::wire::coordination::StoreAddress;
use crate::wire::database::SLOTS;
use crate::wire::hosts::Hosts;
use crate::wire::mirror::Mirror;
use crate::wire::rollout::{self, Applied};
use crate::wire::site::Site;
use crate::wire::slots::{self, Ground};
use crate::wire::snapshot::Sabotage;
use crate::wire::supervise::{self, Options, Supervisor};
use crate::wire::{identity, keepers, logs};

use super::status::{Look, console_links, to_json};
use super::{block_on, check, plan, table};

/// Time between two frames of the live table.
const FRAME: Duration = Duration::from_millis(500);
/// Below the live table of whoever started it.
const FOOTER: &str = "Ctrl-C stops everything; try `evenkeel drill zone b` in another terminal";
/// Below the live table of whoever only changed it.
const LEAVES: &str = "it was started elsewhere: Ctrl-C leaves it running, `evenkeel down` stops it";
/// How long `--detach` waits for the plan to be reached.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Starts the application, or changes a running one.
pub fn run(args: &UpArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (plan, options) = prepare(args, site)?;
    if !plan.feasible {
        for missed in &plan.missed {
            say::talk(format_args!("error: {missed}"));
        }
        say::talk("hint: `evenkeel plan` shows what would meet the objectives");
        return Ok(ExitCode::from(exit::INFEASIBLE));
    }
    if let Some(store) = &args.store {
        return block_on(hand_out(site, plan, store, args));
    }
    if let Some(hosts) = Hosts::read(site)? {
        let text = format!("what is put up from `{}` runs on other hosts", site.root().display());
        let hint =
            format!("change it with `--store {}`, or name another folder with `--state DIR`", hosts.store);
        return Err(hinted(text, hint));
    }
    if site.is_running()? {
        return block_on(change(site, plan, args, (json, began)));
    }
    if args.detach {
        let began_ms = Clock::real().unix_ms();
        start_detached(args, site)?;
        return block_on(wait_until_reached(site, (json, began), began_ms));
    }
    block_on(foreground(site, options, (json, began)))
}

/// `evenkeel supervise`: what `up --detach` leaves behind.
pub fn supervise(args: &UpArgs, site: &Site) -> anyhow::Result<ExitCode> {
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .try_init();
    let (_, options) = prepare(args, site)?;
    // A session of its own: closing the terminal must not end it. Fails only for a group's leader, which has one.
    let _ = rustix::process::setsid();
    block_on(async {
        let (mut supervisor, _) = Supervisor::start(site.clone(), options).await?;
        let watched = supervisor.watch(asked_to_end()?).await;
        supervisor.stop(false).await;
        watched
    })?;
    Ok(ExitCode::SUCCESS)
}

fn prepare(args: &UpArgs, site: &Site) -> anyhow::Result<(Plan, Options)> {
    let (mut app, reading, base) = check::app(&args.file.file, site)?;
    if !spec::Parts::BUILT.databases {
        // `check` has said that they are not run; a plan in force must not hold what nobody runs.
        app.databases.clear();
    }
    if !reading.not_run.is_empty() {
        let hint = "a part of an application is never started; `evenkeel check` shows every place";
        return Err(hinted(reading.not_run.join("\nerror: "), hint));
    }
    if args.store.is_none() {
        check_programs(&app, &base)?;
        check_postgres(&app)?;
    }
    check_slots(&app)?;
    plan::evenkeels_own(&mut app)?;
    plan::count_standbys(&mut app, site)?;
    let plan = plan::make_local(&app)?;
    let sabotage = Sabotage { no_health: args.break_health, unsafe_retries: args.break_retries };
    Ok((plan.clone(), Options { plan, base, isolate: args.isolate, sabotage }))
}

/// A program that is not there is told about before anything is started, not by a unit that crashes.
fn check_programs(app: &App, base: &std::path::Path) -> anyhow::Result<()> {
    for service in &app.services {
        let model::Run::Command(words) = &service.run else { continue };
        let Some(program) = words.first().map(ToString::to_string) else { continue };
        if program.contains('/') && !base.join(&program).exists() {
            let text = format!(
                "service `{}`: there is no program `{program}` below `{}`",
                service.name,
                base.display()
            );
            return Err(hinted(
                text,
                "build it first, or correct `command:`; its path counts from the file's folder",
            ));
        }
    }
    Ok(())
}

/// The line that brings PostgreSQL on Debian. Its own service is of no use here, and no cluster is made for it.
const INSTALL: &str = "sudo apt-get update && sudo apt-get install -y --no-install-recommends postgresql-15";

fn check_slots(app: &App) -> anyhow::Result<()> {
    if app.databases.len() > usize::from(SLOTS) {
        let text = format!("{} databases are more than {SLOTS}", app.databases.len());
        return Err(hinted(text, "one machine has ports for so many; make two files of it"));
    }
    Ok(())
}

/// As [`check_programs`], for what databases need.
fn check_postgres(app: &App) -> anyhow::Result<()> {
    for database in &app.databases {
        if let Err(error) = find_bin(u32::from(database.postgres)) {
            let text =
                format!("database `{}`: PostgreSQL {} cannot be run", database.name, database.postgres);
            let install = INSTALL.replace("15", &database.postgres.to_string());
            return Err(anyhow::Error::new(error).context(exit::Hinted::new(text, install)));
        }
    }
    let root = rustix::process::geteuid().is_root();
    if root && !app.databases.is_empty() && system_user(keepers::SYSTEM_USER).is_none() {
        let text = format!(
            "PostgreSQL does not run as root, and there is no system user `{}` for it",
            keepers::SYSTEM_USER
        );
        return Err(hinted(text, format!("Debian's package makes one: {INSTALL}; or start as another user")));
    }
    Ok(())
}

/// Makes what the hosts share, and the plan the wanted one. Their agents were started there, or will be.
async fn hand_out(site: &Site, plan: Plan, store: &StoreAddress, args: &UpArgs) -> anyhow::Result<ExitCode> {
    if site.is_running()? || supervise::left(site) {
        let text = format!("a run on this machine goes on from `{}`", site.root().display());
        return Err(hinted(text, "stop it with `evenkeel down`, or name another folder with `--state DIR`"));
    }
    let token = args.token.as_ref().map(std::path::absolute).transpose()?;
    let tls = args.store_tls.as_ref().map(std::path::absolute).transpose()?;
    let hosts = Hosts { store: store.to_string(), token, tls };
    let store = hosts.open()?;
    site.create()?;
    identity::make(&site.identity_dir(), &plan, std::time::SystemTime::now())?;
    let zones = plan.zones.clone();
    let applied = rollout::apply(&store, plan).await?;
    hosts.write(site)?;
    match applied {
        Applied::Same(number) => say::talk(format_args!("plan #{} is in force already", number.0)),
        Applied::New(number) => say::talk(format_args!("plan #{} applied", number.0)),
    }
    let mirror = Mirror::once(&store).await?;
    let identity = site.identity_dir();
    let tls = if hosts.tls.is_some() { " --store-tls DIR" } else { "" };
    for zone in zones.iter().filter(|zone| !mirror.agents.contains_key(*zone)) {
        say::talk(format_args!("no agent runs zone `{zone}` yet"));
        say::talk(format_args!(
            "hint: on its host, with a copy of `{}` in its state folder: evenkeel agent --zone {zone} --store {}{tls}",
            identity.display(),
            hosts.store
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(
    site: &Site,
    plan: Plan,
    args: &UpArgs,
    (json, began): (bool, Instant),
) -> anyhow::Result<ExitCode> {
    let (record, store) = site.connect()?;
    if args.isolate != record.isolate {
        let hint = "stop it with `evenkeel down` first";
        return Err(hinted("`--isolate` cannot be changed while it runs", hint));
    }
    let zones: Vec<_> = record.zones.iter().map(|zone| zone.zone.clone()).collect();
    if plan.zones != zones {
        let text = format!("it runs in {} zones and the file now asks for {}", zones.len(), plan.zones.len());
        return Err(hinted(
            text,
            "emulated zones are made at the start: `evenkeel down`, then `evenkeel up`",
        ));
    }
    identity::make(&site.identity_dir(), &plan, std::time::SystemTime::now())?;
    let ground = Ground { zones: &record.zones, shared: !record.isolate, fresh: false };
    slots::settle(&store, &plan, ground).await?;
    match rollout::apply(&store, plan).await? {
        Applied::Same(number) => say::talk(format_args!("plan #{} is in force already", number.0)),
        Applied::New(number) => say::talk(format_args!("plan #{} applied", number.0)),
    }
    if args.detach || !std::io::stdout().is_terminal() {
        return wait_until_reached(site, (json, began), 0).await;
    }
    say::talk(LEAVES);
    let mut look = Look::new(store);
    tokio::select! {
        biased;
        () = asked_to_end()? => {}
        shown = show(&mut look, site, (json, began), LEAVES) => shown?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn foreground(
    site: &Site,
    options: Options,
    (json, began): (bool, Instant),
) -> anyhow::Result<ExitCode> {
    let (app, zones) = (&options.plan.app, options.plan.zones.len());
    say::talk(format_args!("starting {app} in {zones} zones on this machine ..."));
    let (mut supervisor, _) = Supervisor::start(site.clone(), options).await?;
    let mut look = Look::new(supervisor.store()?);
    let end = asked_to_end()?;
    let watched = {
        let shown = async {
            // A table that cannot be shown is no reason to stop what runs.
            let _ = show(&mut look, site, (json, began), FOOTER).await;
            std::future::pending::<()>().await;
        };
        supervisor
            .watch(async {
                tokio::select! {
                    biased;
                    () = end => {}
                    () = shown => {}
                }
            })
            .await
    };
    say::talk("\nstopping; Ctrl-C again stops at once ...");
    let again = asked_to_end()?;
    let hard = tokio::select! {
        biased;
        () = again => true,
        () = supervisor.stop(false) => false,
    };
    if hard {
        supervisor.stop(true).await;
    }
    watched?;
    say::talk(format_args!("stopped; data is kept in `{}`", site.root().display()));
    Ok(ExitCode::SUCCESS)
}

/// Done at SIGINT, SIGTERM or SIGHUP.
fn asked_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// The live table on a terminal; else a line whenever the rollout goes on. Ends when nobody reads it any more.
async fn show(
    look: &mut Look,
    site: &Site,
    (json, began): (bool, Instant),
    footer: &str,
) -> anyhow::Result<()> {
    let screen = std::io::stdout().is_terminal() && !json;
    let (mut last, mut whole) = (String::new(), None);
    loop {
        if let Ok(status) = look.once().await {
            if whole.is_none() && ready(&status) {
                whole = Some(began.elapsed());
            }
            let links = console_links(&look.mirror, site);
            let mut text = String::new();
            if screen {
                let table = table::render(&status, &links, std::env::var_os("NO_COLOR").is_none());
                let after = whole.map_or(String::new(), |after| format!("whole{}\n", took(after)));
                text = format!("\x1b[H\x1b[J{table}\n{after}{footer}\n");
            } else {
                let line = if json { to_json(&status).to_string() } else { summary(&status) };
                if line != last && (!json || moved(&status, &last)) {
                    text = format!("{line}\n");
                    if let Some(after) = whole.filter(|_| !json && ready(&status)) {
                        text = format!("{line}{}\n", took(after));
                        text.push_str(&announcement(&status, &links));
                    }
                    last = line;
                }
            }
            if !say::data(text)? {
                return Ok(());
            }
        }
        tokio::time::sleep(FRAME).await;
    }
}

/// Whether a JSON line would say more than a later time.
fn moved(status: &Status, last: &str) -> bool {
    let Ok(last) = serde_json::from_str::<Status>(last) else { return true };
    last.rollout != status.rollout || last.units != status.units || last.zones != status.zones
}

fn summary(status: &Status) -> String {
    let healthy = status.units.iter().filter(|unit| unit.healthy).count();
    format!("plan #{} {}: {healthy} of {} units healthy", status.plan.0, status.rollout, status.units.len())
}

/// ` after 6.4 s`
fn took(time: Duration) -> String {
    format!(" after {:.1} s", time.as_secs_f64())
}

fn ready(status: &Status) -> bool {
    let units = !status.units.is_empty() && status.units.iter().all(|unit| unit.healthy);
    status.rollout == "reached" && units && status.databases.iter().all(|database| database.healthy)
}

fn announcement(status: &Status, links: &[String]) -> String {
    let entries = status.entries.iter().map(|entry| format!("  http://{entry}/\n"));
    let console = links.first().map(|link| format!("console: {link}\n"));
    entries.chain(console).collect()
}

fn start_detached(args: &UpArgs, site: &Site) -> anyhow::Result<()> {
    site.create()?;
    let log = logs::open(&site.supervisor_log())?;
    // What earlier runs wrote there says nothing about this one.
    let before = usize::try_from(log.metadata()?.len())?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("--state").arg(site.root()).arg("supervise").arg(&args.file.file);
    for (flag, set) in [
        ("--isolate", args.isolate),
        ("--break-health", args.break_health),
        ("--break-retries", args.break_retries),
    ] {
        if set {
            command.arg(flag);
        }
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("cannot start")?;
    let started = Instant::now();
    // Its own record: one that a killed run left names another process.
    while site.read_run().ok().flatten().is_none_or(|record| record.pid != child.id()) {
        if let Some(status) = child.try_wait()? {
            let log = site.supervisor_log();
            let written = std::fs::read(&log).unwrap_or_default();
            let written = String::from_utf8_lossy(written.get(before..).unwrap_or_default());
            return Err(exit::last_told(&written).unwrap_or_else(|| {
                hinted(format!("the supervisor ended ({status})"), format!("its log is `{}`", log.display()))
            }));
        }
        anyhow::ensure!(started.elapsed() < READY_LIMIT, "the supervisor did not start in time");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until all is well, as agents say that started at `since_ms` (Unix time) or later. What those of a killed run
/// wrote stays in the store until their leases end, and says nothing about now.
async fn wait_until_reached(
    site: &Site,
    (json, began): (bool, Instant),
    since_ms: u64,
) -> anyhow::Result<ExitCode> {
    let (_, store) = site.connect()?;
    let mut look = Look::new(store);
    let started = Instant::now();
    let (mut last, mut missed) = (String::new(), String::new());
    while started.elapsed() < READY_LIMIT {
        if let Ok(status) = look.once().await {
            let fresh = look.mirror.agents.values().all(|agent| agent.incarnation >= since_ms);
            if fresh && ready(&status) {
                let links = console_links(&look.mirror, site);
                if json {
                    say::data(format_args!("{}\n", to_json(&status)))?;
                } else {
                    let (line, after) = (summary(&status), took(began.elapsed()));
                    say::data(format_args!("{line}{after}\n{}", announcement(&status, &links)))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            if let Some(why) = rolled_back(&look.mirror) {
                return Err(hinted(
                    why,
                    "correct the file and run `evenkeel up` again; `evenkeel logs` shows what units print",
                ));
            }
            // What a front cannot have will not come by waiting: it is told at once.
            let alive = |unit: &&UnitStatus| look.mirror.agents.contains_key(&unit.zone);
            let fronts = status.units.iter().filter(|unit| unit.role == "front").filter(alive);
            let fronts: Vec<&UnitStatus> = fronts.collect();
            let line = format!("{}{}", summary(&status), missing(&fronts));
            if fresh && line != last {
                say::talk(&line);
                last = line;
            }
            missed = missing(&status.units.iter().collect::<Vec<_>>());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(hinted(
        format!("not everything became healthy in time{missed}"),
        "`evenkeel status` and `evenkeel logs` show what is missing",
    ))
}

/// What is known of those that are not well, a line each.
fn missing(units: &[&UnitStatus]) -> String {
    let troubled = units.iter().filter(|unit| !unit.healthy && !unit.detail.is_empty());
    troubled.map(|unit| format!("\n  {}: {}", unit.name, unit.detail)).collect()
}

fn rolled_back(mirror: &Mirror) -> Option<String> {
    match &mirror.rollout.as_ref()?.0.phase {
        RolloutPhase::RolledBack { failed, why } => {
            Some(format!("plan #{} did not become healthy and was rolled back: {why}", failed.0))
        }
        _ => None,
    }
}
