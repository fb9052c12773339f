//! `evenkeel simulate`: years of a plan, played by the availability model and by the real rules of keepers and leaders.

use std::fmt::Display;
use std::future::Future;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use drill::simulate::{Placed, Simulated};
use plan::Playable;
use plan::chance::{Application, Played, Playing};

use crate::cli::SimulateArgs;
use crate::exit::{self, hinted};
use crate::say;
use crate::wire::placements::{self, Placement};
use crate::wire::prices;
use crate::wire::site::Site;
use crate::wire::years::{self, Case, Compared, Outcome};

use super::{block_on, check, simulate_text};

/// Largest plan that is read: those of 20 services in every region have 4 MB.
const READ_MAX: u64 = 64 << 20;

/// What is looked at to tell a plan from a file of an application.
const HEAD: u64 = 4 << 10;

/// Failures and repairs that are played when nobody says how many years: about 5 s of the model and 6 s of the rules.
const MODEL_EVENTS: f64 = 2.5e7;
const RULES_EVENTS: f64 = 3.0e5;

/// And never more than this: each is kept until the end.
const RULES_EVENTS_MAX: f64 = 5.0e7;

/// Years of the model when nobody says how many, if that is not too much to wait for.
const YEARS: u32 = 100_000;

/// The rules are played for so many times fewer years: a decision costs more than a draw. The model beside them, whose
/// spread counts, is played for that many times as many as they.
pub(super) const FEWER: u32 = 10;

/// The rules are not played for fewer years than this when more are asked of the model.
const RULES_YEARS_MIN: u32 = 1_000;

/// Replicas of a service whose events take about as long as those of a database.
const FEW_REPLICAS: f64 = 8.0;

/// Between two lines about how far it is.
const TELL: Duration = Duration::from_millis(100);

/// Everything that is shown.
pub struct Report {
    pub subject: Playable,
    pub seed: u64,
    pub played: Played,
    pub compared: Compared,
    pub took: Duration,
    pub decisions: Vec<Decisions>,
    pub placements: Vec<Placements>,
    /// What was not played, one sentence each.
    pub not_played: Vec<String>,
}

/// Databases that are alike, by their keepers' rules.
pub struct Decisions {
    pub case: Case,
    pub played: Simulated,
    pub outcome: Outcome,
    pub took: Duration,
}

/// Services that are alike, by the rules that place their replicas.
pub struct Placements {
    pub case: Placement,
    pub played: Placed,
    pub compared: Compared,
    pub took: Duration,
}

impl Report {
    /// Nothing that was claimed is shown to be wrong.
    pub fn agrees(&self) -> bool {
        let compared = self.decisions.iter().map(|decisions| &decisions.outcome.compared);
        let compared = compared.chain(self.placements.iter().map(|placements| &placements.compared));
        let slow = |decisions: &Decisions| decisions.outcome.takeovers.is_some_and(|all| all.is_slow());
        let apart = |compared: &Compared| compared.verdict == years::Verdict::Disagree;
        !compared.chain([&self.compared]).any(apart) && !self.decisions.iter().any(slow)
    }
}

/// Plays, shows, and exits with 4 when the years contradict the plan.
pub fn run(args: &SimulateArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let subject = subject(&args.plan, site)?;
    let report = block_on(async {
        let mut watch = Watch::new();
        let report = play(subject, args, &mut watch).await;
        watch.clear();
        report
    })?;
    match json {
        true => say::data(format_args!("{}\n", simulate_text::json(&report)))?,
        false => say::data(simulate_text::text(&report))?,
    };
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::from(exit::MISSED) })
}

/// A stored plan, or the file of an application, which is planned.
fn subject(path: &Path, site: &Site) -> anyhow::Result<Playable> {
    let shown = path.display();
    if let Some(stored) = stored(path)? {
        return Playable::read(&stored)
            .map_err(|error| hinted(format!("`{shown}` cannot be played: {error}"), way_out(&error)));
    }
    let (app, ..) = check::app(path, site)?;
    let options = plan::Options { catalog: prices::catalog_for(&app, None, site)?, provider: None };
    let planned = plan::certified(&app, &options).map_err(super::plan::no_plan)?;
    Playable::of(&planned)
        .map_err(|error| hinted(format!("the plan of `{shown}` cannot be played: {error}"), way_out(&error)))
}

fn way_out(error: &plan::StoredError) -> &'static str {
    match error {
        plan::StoredError::NeverUp => {
            "raise its `scale.max`; `evenkeel plan` says how many replicas it needs"
        }
        plan::StoredError::Later { .. } => {
            "play it with the evenkeel that wrote it, or make it anew: `evenkeel plan -o PLAN`"
        }
        _ => "make it anew: `evenkeel plan -o PLAN`; or name the application's file",
    }
}

/// The JSON of a stored plan; `None`: it is a file of an application.
fn stored(path: &Path) -> anyhow::Result<Option<serde_json::Value>> {
    let named = path.extension().is_some_and(|extension| extension == "json");
    // Whoever reads the application's file has better words for one that cannot be opened, and what is no file at all, such
    // as a pipe, can be read only once.
    if !named && !path.is_file() {
        return Ok(None);
    }
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(None) };
    let mut bytes = Vec::new();
    let cannot = || format!("cannot read `{}`", path.display());
    file.by_ref().take(HEAD).read_to_end(&mut bytes).with_context(cannot)?;
    if !named && bytes.trim_ascii_start().first() != Some(&b'{') {
        return Ok(None);
    }
    file.take(READ_MAX + 1).read_to_end(&mut bytes).with_context(cannot)?;
    anyhow::ensure!(bytes.len() as u64 <= READ_MAX, "`{}` has more than {READ_MAX} bytes", path.display());
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        // The file of an application may be written as JSON too.
        Ok(value) if !named && value.get("kind").is_none() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let hint = "`evenkeel plan -o PLAN` writes one; an application's file is named `.yaml`";
            Err(hinted(format!("`{}` is no plan: {error}", path.display()), hint))
        }
    }
}

async fn play(subject: Playable, args: &SimulateArgs, watch: &mut Watch) -> anyhow::Result<Report> {
    let (cases, mut not_played) = years::cases(&subject.model);
    let (services, not_placed) = placements::placements(&subject.model);
    not_played.extend(not_placed.into_iter().chain(years::beyond(&subject.model)));
    let (model_years, rules_years) = how_many(args.years, &subject.model, &cases, &services);
    let started = Instant::now();
    let played = model(&subject.model, args.seed, model_years, &[], "the model", watch).await?;
    let took = started.elapsed();
    let compared = years::compare(&subject.model, &subject.answer, &played);
    let mut decisions = Vec::new();
    for case in cases {
        let started = Instant::now();
        let about = format!("the rules of {}", simulate_text::names(&case.names));
        let mut run = case.simulation.start(args.seed, rules_years)?;
        while run.step() {
            watch.look(&about, run.years(), rules_years).await?;
        }
        let (played, took) = (run.seen(), started.elapsed());
        let same = case.with(&played);
        let (answer, waits) = (same.availability()?, [Case::wait_hours(&same)]);
        // Another seed than the model's own years, so that the two are no witnesses of each other.
        let (seed, years) = (args.seed.wrapping_add(1), rules_years.saturating_mul(FEWER));
        let reference =
            model(&same, seed, years, &waits, &format!("the model beside {about}"), watch).await?;
        let outcome = case.judge(&played, &answer, &reference)?;
        decisions.push(Decisions { case, played, outcome, took });
    }
    let mut placements = Vec::new();
    for case in services {
        let started = Instant::now();
        let about = format!("the rules that place {}", simulate_text::names(&case.names));
        let mut run = case.service.start(args.seed, rules_years)?;
        while run.step() {
            watch.look(&about, run.years(), rules_years).await?;
        }
        let (played, took) = (run.seen(), started.elapsed());
        let compared = case.judge(&played)?;
        placements.push(Placements { case, played, compared, took });
    }
    let seed = args.seed;
    Ok(Report { subject, seed, played, compared, took, decisions, placements, not_played })
}

/// Years of the model, and of the rules for each case.
fn how_many(asked: Option<u32>, subject: &Application, cases: &[Case], services: &[Placement]) -> (u32, u32) {
    let within = |events: f64, a_year: f64| round(events / a_year.max(1e-9));
    // A decision about a service looks at each of its replicas, and so does each of their changes.
    let size = |case: &Placement| (f64::from(case.service.replicas) / FEW_REPLICAS).powi(2).max(1.0);
    let placed = services.iter().map(|case| years::events(&case.model) * size(case));
    let rules_a_year: f64 = cases.iter().map(|case| years::events(&case.model)).chain(placed).sum();
    let longest = drill::simulate::YEARS_MAX;
    match asked {
        Some(years) => {
            let rules = (years / FEWER).max(years.min(RULES_YEARS_MIN));
            (years, rules.min(within(RULES_EVENTS_MAX, rules_a_year)).min(longest))
        }
        None => {
            let model = YEARS.min(within(MODEL_EVENTS, years::events(subject)));
            (model, model.min(within(RULES_EVENTS, rules_a_year)))
        }
    }
}

/// 1, 2 or 5 times a power of ten, at most `years`; at least 1.
fn round(years: f64) -> u32 {
    let years = years.clamp(1.0, 1e9);
    let power = 10_f64.powf(years.log10().floor());
    let times = [5.0, 2.0].into_iter().find(|times| times * power <= years).unwrap_or(1.0);
    (times * power) as u32
}

async fn model(
    app: &Application,
    seed: u64,
    years: u32,
    lengths: &[f64],
    about: &str,
    watch: &mut Watch,
) -> anyhow::Result<Played> {
    let mut playing = Playing::new(app, seed, years, lengths)?;
    while playing.step() {
        watch.look(about, playing.years(), years).await?;
    }
    Ok(playing.seen())
}

/// Looks up from the work: tells how far it is, and whether somebody wants it to end.
struct Watch {
    stop: Pin<Box<dyn Future<Output = std::io::Result<()>>>>,
    terminal: bool,
    last: Instant,
    shown: bool,
}

impl Watch {
    fn new() -> Watch {
        let terminal = std::io::stderr().is_terminal();
        Watch { stop: Box::pin(tokio::signal::ctrl_c()), terminal, last: Instant::now(), shown: false }
    }

    /// # Errors
    /// After Ctrl-C.
    async fn look(&mut self, about: impl Display, year: u32, years: u32) -> anyhow::Result<()> {
        if self.last.elapsed() < TELL {
            return Ok(());
        }
        self.last = Instant::now();
        let far =
            format!("{about}: {} of {} years", simulate_text::grouped(year), simulate_text::grouped(years));
        if self.terminal {
            say::part(format_args!("\r\x1b[K{far}"));
            self.shown = true;
        }
        tokio::select! {
            biased;
            pressed = &mut self.stop => {
                pressed.context("cannot wait for Ctrl-C")?;
                self.clear();
                Err(hinted(format!("stopped by Ctrl-C, {far}"), "`--years N` with fewer ends sooner"))
            }
            () = tokio::task::yield_now() => Ok(()),
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            say::part("\r\x1b[K");
        }
    }
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
