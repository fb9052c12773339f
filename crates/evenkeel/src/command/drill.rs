//! `evenkeel drill`: breaks something on purpose and measures what callers saw.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use drill::{DrillError, Options, Progress, Stage};
use engine::local::LocalZones;
use model::{Fault, FaultKind, FaultTarget, Objectives, Status, UnitName, Verdict, ZoneName, keys};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use world::{Chance, Clock, Limits, Tasks};

use crate::cli::{DrillArgs, Kind, Target};
use crate::exit::hinted;
use crate::say;
use crate::wire::console;
use crate::wire::fault::{LocalFault, Victim};
use crate::wire::hosts::{self, Hosts};
use crate::wire::kept;
use crate::wire::mirror::{self, Mirror};
use crate::wire::site::Site;

use super::{block_on, drill_primary};

/// The first picture comes at once, or the store is gone.
const PICTURE_LIMIT: Duration = Duration::from_secs(5);

/// See [`DrillArgs::abort_percent`].
const ABORT_PERCENT: u32 = 20;

/// Runs one drill and exits with what it found: 0, 4 (an objective was missed) or 5 (stopped by its limit).
pub fn run(args: &DrillArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    block_on(async {
        let over_hosts = Hosts::read(site)?.is_some();
        if over_hosts && args.fault != Target::Primary {
            let text = "over hosts only the primary of a database can be drilled in this version";
            return Err(hinted(
                text,
                "`evenkeel drill primary`; of zones, fronts and replicas on one machine: `evenkeel up` there",
            ));
        }
        if args.fault == Target::Primary && args.abort_percent.is_some() {
            let text = "`drill primary` has no limit that stops it, so `--abort-percent` says nothing";
            return Err(hinted(text, "leave it out; `--duration` says how long it measures"));
        }
        let store = hosts::connect(site)?;
        let tasks = Tasks::new();
        let outcome = measure(args, site, json, &store, &tasks).await;
        tasks.shutdown(Limits::default()).await;
        outcome
    })
}

async fn measure(
    args: &DrillArgs,
    site: &Site,
    json: bool,
    store: &Store,
    tasks: &Tasks,
) -> anyhow::Result<ExitCode> {
    let (out, mut mirror) = watch::channel(Arc::new(Mirror::default()));
    tasks.spawn("mirror", mirror::follow(store.clone(), out, tasks.stop()));
    let first = tokio::time::timeout(PICTURE_LIMIT, mirror.wait_for(|picture| picture.revision > 0)).await;
    let picture = first.ok().and_then(Result::ok).with_context(|| hosts::silent(site))?.clone();
    let (status_out, status) = watch::channel(Arc::new(Status::default()));
    tasks.spawn("status", console::follow(mirror.clone(), status_out, Clock::real(), tasks.stop()));

    let fault = Fault { target: target(args.fault), kind: kind(args.kind) };
    if fault.target == FaultTarget::Primary {
        let stop = ask_to_stop(tasks)?;
        let scene =
            drill_primary::Scene { args, site, fault, picture: &picture, store: store.clone(), status, stop };
        let verdict = drill_primary::run(scene, |progress| tell(&progress)).await?;
        return finish(store, json, &verdict, || drill::render_database(&verdict, colour())).await;
    }
    let victim = choose(args, &picture, fault.target)?;
    let event_ms = args.duration * 1_000;
    let zones =
        LocalZones::load(site.root()).context("drills break emulated zones, and there are none here")?;
    let state = site.root().to_path_buf();
    let (orders, target) = drill_primary::orders(&picture, site)?.unzip();
    let local = LocalFault { fault, victim, zones, state, mirror, orders, event_ms };

    let mut options = Options::new(fronts(&picture), ask_to_stop(tasks)?);
    options.host = host(&picture);
    options.rate_rps = f64::from(args.rate);
    options.seed = args.seed;
    options.event_ms = event_ms;
    options.abort_share = f64::from(args.abort_percent.unwrap_or(ABORT_PERCENT)) / 100.0;
    options.journals = vec![site.root().to_path_buf()];
    options.orders = target;
    options.objectives = objectives(&picture, options.rate_rps);
    options.status = Some(status);

    let report = drill::run_report(options, local, |progress| tell(&progress)).await.map_err(explain)?;
    finish(store, json, &report.verdict, || drill::render(&report, colour())).await
}

fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Keeps the verdict, shows it, and gives the exit code it stands for.
async fn finish(
    store: &Store,
    json: bool,
    verdict: &Verdict,
    render: impl FnOnce() -> String,
) -> anyhow::Result<ExitCode> {
    if std::io::stderr().is_terminal() {
        say::talk("");
    }
    keep(store, verdict).await;
    if json {
        say::data(format_args!("{}\n", drill::to_json(verdict)))?;
    } else {
        say::data(render())?;
    }
    Ok(ExitCode::from(drill::exit_code(verdict)))
}

fn target(target: Target) -> FaultTarget {
    match target {
        Target::Process => FaultTarget::Process,
        Target::Zone => FaultTarget::Zone,
        Target::Front => FaultTarget::Front,
        Target::Primary => FaultTarget::Primary,
    }
}

fn kind(kind: Kind) -> FaultKind {
    match kind {
        Kind::Kill => FaultKind::Kill,
        Kind::Freeze => FaultKind::Freeze,
        Kind::Cut => FaultKind::Cut,
    }
}

/// Ctrl-C heals first; a second one is the shell's.
fn ask_to_stop(tasks: &Tasks) -> anyhow::Result<world::Stop> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let (stopper, stop) = world::Stop::pair();
    let end = tasks.stop();
    tasks.spawn("signals", async move {
        tokio::select! {
            biased;
            () = end.requested() => {}
            _ = interrupt.recv() => stopper.request(),
            _ = terminate.recv() => stopper.request(),
        }
        // Dropping the stopper would ask for a stop: it is kept until the drill is over.
        end.requested().await;
    });
    Ok(stop)
}

fn fronts(picture: &Mirror) -> Vec<std::net::SocketAddr> {
    let alive = picture.fronts.values().filter(|front| picture.agents.contains_key(&front.zone));
    alive.filter_map(|front| front.listen.first().copied()).collect()
}

/// What the file promises of what the drill asks: that is the service of the first entry, and a time to its answers no more than
/// the load that they are promised at.
fn objectives(picture: &Mirror, rate: f64) -> Objectives {
    let Some((rollout, _)) = &picture.rollout else { return Objectives::default() };
    let mut objectives = rollout.plan.objectives.clone();
    let entry = rollout.plan.ingress.first();
    let asked = |latency: &model::Latency| {
        entry.is_some_and(|entry| entry.to == latency.service)
            && latency.load.is_none_or(|load| rate <= load.0)
    };
    objectives.latency = objectives.latency.filter(asked);
    objectives
}

/// The host of the first entry, so that its route is taken.
fn host(picture: &Mirror) -> Option<String> {
    let (rollout, _) = picture.rollout.as_ref()?;
    rollout.plan.ingress.first()?.host.clone()
}

/// The named victim, or one that the seed chooses.
fn choose(args: &DrillArgs, picture: &Mirror, target: FaultTarget) -> anyhow::Result<Victim> {
    // What is in a silent zone is broken already.
    let alive = |zone: &ZoneName| picture.agents.contains_key(zone);
    let candidates: Vec<Victim> = match target {
        FaultTarget::Zone => picture.agents.keys().cloned().map(Victim::Zone).collect(),
        FaultTarget::Process => {
            let units = picture.units.values().map(|(unit, _)| unit).filter(|unit| alive(&unit.zone));
            units.map(|unit| Victim::Unit(unit.name.clone(), unit.zone.clone())).collect()
        }
        // Its own course: `drill_primary`.
        FaultTarget::Primary => Vec::new(),
        FaultTarget::Front => picture.fronts.keys().filter(|zone| alive(zone)).filter_map(front_of).collect(),
    };
    let name = |victim: &Victim| match victim {
        Victim::Zone(zone) => zone.to_string(),
        Victim::Unit(unit, _) => unit.to_string(),
    };
    let names = || candidates.iter().map(name).collect::<Vec<_>>().join(", ");
    match &args.target {
        Some(wanted) => candidates.iter().find(|victim| name(victim) == *wanted).cloned().ok_or_else(|| {
            let hint = match names() {
                names if names.is_empty() => "`evenkeel status` shows what runs".to_owned(),
                names => format!("there are: {names}"),
            };
            hinted(format!("there is no {target} `{wanted}`"), hint)
        }),
        None => {
            anyhow::ensure!(
                !candidates.is_empty(),
                "there is no {target} to break; `evenkeel status` shows what runs"
            );
            let at = Chance::from_seed(args.seed).below(candidates.len() as u64);
            Ok(candidates[at as usize].clone())
        }
    }
}

fn front_of(zone: &ZoneName) -> Option<Victim> {
    let name = UnitName::new(&format!("edge-{zone}")).ok()?;
    Some(Victim::Unit(name, zone.clone()))
}

fn explain(error: DrillError) -> anyhow::Error {
    let hint = match &error {
        DrillError::NotCalm { .. } | DrillError::FrontSilent { .. } => {
            "a drill measures an application that answers `GET /products`, `GET /slow?ms=1200` and `POST /orders` as \
             `examples/shop` does; look at it with `evenkeel status`"
        }
        DrillError::NotHealed(_) => "`evenkeel down` and `evenkeel up` start afresh; data stays",
        _ => return error.into(),
    };
    let text = error.to_string();
    anyhow::Error::new(error).context(crate::exit::Hinted::new(text, hint))
}

/// One line that is drawn again and again on a terminal, nothing elsewhere.
fn tell(progress: &Progress) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let stage = match progress.stage {
        Stage::Calm => "calm",
        Stage::Event => "BROKEN",
        Stage::Heal => "healing",
        Stage::Settle => "healed",
        Stage::Count => "counting",
    };
    let seconds = progress.since_start_ms as f64 / 1_000.0;
    say::part(format_args!(
        "\r\x1b[K{seconds:5.1} s  {stage:<8}  {} requests, {} failed, {} open",
        progress.requests, progress.failed, progress.open
    ));
}

/// Verdicts are kept for `status` and the console; that the store is gone makes none untrue.
async fn keep(store: &Store, verdict: &Verdict) {
    let Ok(value) = serde_json::to_vec(verdict) else { return };
    let key = format!("{}{:015}", keys::VERDICTS, verdict.at_ms);
    if let Err(error) = store.put(&key, value).await {
        say::talk(format_args!("warning: the verdict was not kept: {error}"));
        return;
    }
    kept::prune(store, keys::VERDICTS, kept::VERDICTS, &[key]).await;
}

#[cfg(test)]
#[path = "drill_tests.rs"]
mod tests;
