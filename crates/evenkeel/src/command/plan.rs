//! `evenkeel plan`.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use model::{App, Managed, Plan};
use plan::{Explained, PlanError, Planned, Relaxed, Speed, Terms};

use crate::cli::PlanArgs;
use crate::exit::{self, Hinted, hinted};
use crate::say;
use crate::wire::hosts::{self, Hosts};
use crate::wire::mirror::Mirror;
use crate::wire::prices;
use crate::wire::rollout;
use crate::wire::site::{Site, write_whole};

use super::{block_on, check, seen, what_if};

/// Shows the plan, and against a running system the difference.
pub fn run(args: &PlanArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let (mut app, reading, _) = check::app(&args.file.file, site)?;
    seen::learn(&mut app, &args.drills)?;
    let started = Instant::now();
    let options = options(&app, args.provider.as_deref(), site)?;
    let today = prices::date(SystemTime::now());
    let terms = if args.robust { Terms::pessimistic(&today) } else { Terms::default() };
    if let Some(path) = &args.verify {
        return verify(&app, &options, path, args.robust, json);
    }
    if !(args.what_if.is_empty() && args.without.is_empty()) {
        return what_if::run(&app, &options, &terms, args, json);
    }
    let mut planned = if args.why || args.html.is_some() {
        Made::Explained(plan::explain(&app, &options, &terms, &today).map_err(no_plan)?)
    } else {
        let (planned, speeds) = match json {
            true => (plan::certified_on(&app, &options, &terms).map_err(no_plan)?, Vec::new()),
            false => plan::with_speeds(&app, &options, &terms).map_err(no_plan)?,
        };
        let relaxed = would_do(&app, &options, &terms, &planned.plan)?;
        Made::Plain { planned, speeds, relaxed }
    };
    let solve_ms = started.elapsed().as_secs_f64() * 1e3;
    let running = running(site)?;
    let plan = &mut planned.planned().plan;
    plan.assumed.extend(reading.defaults);
    plan.parent = running.as_ref().map(|old| old.number);
    write(args, &planned, &today, solve_ms)?;
    show(args, &planned, running.as_ref(), solve_ms, json)?;
    let plan = &planned.parts().0.plan;
    if !plan.feasible {
        return Ok(ExitCode::from(exit::INFEASIBLE));
    }
    let pending = running.is_none_or(|old| !rollout::same(&old, plan));
    Ok(if pending && args.detailed_exitcode { ExitCode::from(exit::PENDING) } else { ExitCode::SUCCESS })
}

/// What would do when `plan` misses an objective.
pub fn would_do(app: &App, options: &plan::Options, terms: &Terms, plan: &Plan) -> anyhow::Result<Relaxed> {
    if plan.feasible {
        return Ok(Relaxed::default());
    }
    plan::relaxed(app, options, terms).map_err(no_plan)
}

/// A plan, with its reasons when somebody asked for them.
enum Made {
    Plain { planned: Planned, speeds: Vec<Speed>, relaxed: Relaxed },
    Explained(Explained),
}

impl Made {
    fn planned(&mut self) -> &mut Planned {
        match self {
            Made::Plain { planned, .. } => planned,
            Made::Explained(explained) => &mut explained.planned,
        }
    }

    fn parts(&self) -> (&Planned, Option<&Explained>) {
        match self {
            Made::Plain { planned, .. } => (planned, None),
            Made::Explained(explained) => (&explained.planned, Some(explained)),
        }
    }

    /// What would be the cheapest if machines that nobody measured are faster.
    fn speeds(&self) -> &[Speed] {
        match self {
            Made::Plain { speeds, .. } => speeds,
            Made::Explained(explained) => &explained.reasons.speeds,
        }
    }

    /// What would do for what is missed.
    fn relaxed(&self) -> &Relaxed {
        match self {
            Made::Plain { relaxed, .. } => relaxed,
            Made::Explained(explained) => &explained.relaxed,
        }
    }

    fn json(&self, solve_ms: f64) -> anyhow::Result<serde_json::Value> {
        let (planned, explained) = self.parts();
        let mut json = plan::to_json(&planned.plan, Some(&planned.proof), solve_ms);
        json["relaxed"] = serde_json::to_value(self.relaxed())?;
        if let Some(explained) = explained {
            json["reasons"] = serde_json::to_value(&explained.reasons)?;
        }
        Ok(json)
    }
}

/// Writes the files that were asked for.
fn write(args: &PlanArgs, made: &Made, today: &str, solve_ms: f64) -> anyhow::Result<()> {
    if let Some(path) = &args.output {
        replaceable(path)?;
        let json = serde_json::to_vec_pretty(&made.json(solve_ms)?)?;
        write_whole(path, &json).with_context(|| unwritten("plan"))?;
        say::talk(format_args!("wrote the plan and its certificate to `{}`", path.display()));
    }
    if let (Some(path), (_, Some(explained))) = (&args.html, made.parts()) {
        write_whole(path, plan::html(explained, today).as_bytes()).with_context(|| unwritten("page"))?;
        say::talk(format_args!("wrote the page to `{}`", path.display()));
    }
    Ok(())
}

fn unwritten(what: &str) -> Hinted {
    Hinted::new(
        format!("the {what} was not written"),
        "name a file in a folder that is there, may be written to and has room",
    )
}

/// No plan is longer, in bytes.
const PLAN_BYTES_MAX: u64 = 64 << 20;

fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    if file.take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > PLAN_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {PLAN_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// That nothing but an earlier plan is overwritten.
fn replaceable(path: &Path) -> anyhow::Result<()> {
    if !path.is_file() {
        // Nothing is there, or what cannot be written to and says so.
        return Ok(());
    }
    let there = bounded(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let old: Option<serde_json::Value> = serde_json::from_slice(&there).ok();
    if there.is_empty() || old.is_some_and(|old| old["kind"] == "plan") {
        return Ok(());
    }
    let text = format!("`{}` is no plan, and would be overwritten", path.display());
    Err(hinted(text, "name another file with `-o`, or remove that one first"))
}

/// Prints the plan, and against a running system the difference.
fn show(
    args: &PlanArgs,
    made: &Made,
    running: Option<&Plan>,
    solve_ms: f64,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        say::data(format_args!("{}\n", made.json(solve_ms)?))?;
        return Ok(());
    }
    let (planned, explained) = made.parts();
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    say::data(plan::render(&planned.plan, made.relaxed(), width(), colour))?;
    if let Some(faster) = plan::faster(planned, made.speeds()) {
        say::data(format_args!("\n{faster}\n"))?;
    }
    if let Some(explained) = explained.filter(|_| args.why) {
        say::data(plan::reasons(explained, width(), colour))?;
    }
    if let Some(old) = running {
        say::data(format_args!("\n{}", plan::diff(old, &planned.plan)))?;
    }
    Ok(())
}

/// The prices of the binary, or those that were laid over them.
fn options(app: &App, provider: Option<&str>, site: &Site) -> anyhow::Result<plan::Options> {
    let catalog = prices::catalog_for(app, provider, site)?;
    Ok(plan::Options { catalog, provider: provider.map(str::to_owned) })
}

/// Checks the certificate of a stored plan, without the search that made it.
fn verify(
    app: &App,
    options: &plan::Options,
    path: &Path,
    robust: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let bytes = bounded(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let stored: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
        let hint = "`evenkeel plan -o PLAN` writes one with its certificate";
        hinted(format!("`{}` is no plan: {error}", path.display()), hint)
    })?;
    let outcome = plan::verify(app, options, &stored).and_then(|shown| {
        if robust && shown.terms.pessimistic.is_none() {
            let (place, why) =
                ("its terms".to_owned(), "it is not for the bad end of every assumption".to_owned());
            return Err(plan::Refused { place, why });
        }
        Ok(shown)
    });
    if json {
        say::data(format_args!("{}\n", verified_json(&outcome)))?;
    } else {
        let text = match &outcome {
            Ok(shown) => verified_text(shown),
            Err(refused) => {
                let assumed = app.seen.is_empty() && refused.place.starts_with("the assumption");
                let hint = "hint: a plan that was made with `--drills` is verified with the same files\n";
                format!("not verified: {refused}\n{}", if assumed { hint } else { "" })
            }
        };
        say::data(text)?;
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::MISSED) })
}

fn verified_text(shown: &plan::Verified) -> String {
    let terms = match &shown.terms.pessimistic {
        Some(today) => format!(
            "  at the bad end of every assumption, with the prices that are old on {today} at their upper end\n"
        ),
        None => String::new(),
    };
    let not = if shown.found { "its sentences are" } else { "its sentences, its size and its bill are" };
    format!(
        "verified: {}\n{terms}  {not} not checked; {} regions and numbers of zones, {} branches bounded anew; what the space is: \
         docs/reference/plan-space.md\n",
        shown.certain, shown.topologies, shown.branches
    )
}

fn verified_json(outcome: &Result<plan::Verified, plan::Refused>) -> serde_json::Value {
    let kind = "verify";
    match outcome {
        Ok(shown) => serde_json::json!({
            "kind": kind, "format_version": 1, "verified": true, "gap": shown.gap, "certain": shown.certain,
            "topologies": shown.topologies, "branches": shown.branches, "robust": shown.terms.pessimistic.is_some(),
            "place": null, "why": null,
        }),
        Err(refused) => serde_json::json!({
            "kind": kind, "format_version": 1, "verified": false, "gap": null, "certain": null,
            "topologies": null, "branches": null, "robust": null, "place": refused.place, "why": refused.why,
        }),
    }
}

/// The plan of `app` for one provider, or the cheapest of those of the file.
pub fn make(app: &App, provider: Option<&str>, site: &Site) -> anyhow::Result<Plan> {
    plan::plan(app, &options(app, provider, site)?).map_err(no_plan)
}

/// Databases are evenkeel's own where that is left open, which is said. One that is to be a provider's is not made, and what uses it
/// would not start.
pub fn evenkeels_own(app: &mut App) -> anyhow::Result<()> {
    for database in &mut app.databases {
        let name = &database.name;
        match database.managed {
            Managed::No => {}
            Managed::Yes => {
                let text = format!("this version makes no database that a provider runs, as `{name}` is");
                return Err(hinted(
                    text,
                    "write `run_by: evenkeel` for one of evenkeel's own; `evenkeel plan` prices both",
                ));
            }
            Managed::Auto => say::talk(format_args!(
                "note: `{name}` is one of evenkeel's own here, whatever `evenkeel plan` finds cheaper: this version makes no other"
            )),
        }
        database.managed = Managed::No;
    }
    Ok(())
}

/// Counts the standbys of databases with `standbys: auto`: those of the plan for the providers of the file, whose zones `up` emulates.
/// A database that runs keeps what it has: a newer list of prices takes no copy of anybody's data away.
pub fn count_standbys(app: &mut App, site: &Site) -> anyhow::Result<()> {
    if !app.databases.iter().any(|database| database.auto) {
        return Ok(());
    }
    let (running, fresh) = (running(site)?, make(app, None, site)?);
    for database in app.databases.iter_mut().filter(|database| database.auto) {
        let of = |plan: &Plan| plan.database(&database.name).map(|planned| planned.database.clone());
        let (kept, planned) = (running.as_ref().and_then(of), of(&fresh));
        if let (Some(kept), Some(planned)) = (&kept, &planned)
            && kept.standbys != planned.standbys
        {
            say::talk(format_args!(
                "note: `{name}` keeps the {} standbys that it has; `standbys: auto` would begin with {} today, so write                  `standbys: {}` to change it",
                kept.standbys,
                planned.standbys,
                planned.standbys,
                name = database.name
            ));
        }
        if let Some(counted) = kept.or(planned) {
            database.standbys = counted.standbys;
            database.witness = counted.witness;
        }
        database.auto = false;
    }
    Ok(())
}

/// The plan for `app` on this machine, whatever providers it names: `up` emulates their zones.
pub fn make_local(app: &App) -> anyhow::Result<Plan> {
    let mut app = app.clone();
    app.placement.providers.clear();
    app.placement.regions.clear();
    // Nothing is bought for this machine.
    let options = plan::Options { catalog: plan::Catalog::default(), provider: None };
    plan::plan(&app, &options).map_err(no_plan)
}

/// Why there is no plan, with the way out.
pub fn no_plan(error: PlanError) -> anyhow::Error {
    let code = if error.is_infeasible() { exit::INFEASIBLE } else { exit::ERROR };
    match error.hint() {
        Some(hint) => Hinted { code, ..Hinted::new(error.to_string(), hint) }.into(),
        None => error.into(),
    }
}

fn running(site: &Site) -> anyhow::Result<Option<Plan>> {
    if Hosts::read(site)?.is_none() && !site.is_running()? {
        return Ok(None);
    }
    let mirror = block_on(async {
        let store = hosts::connect(site)?;
        Mirror::once(&store).await.context("the running system does not answer")
    })?;
    Ok(mirror.rollout.map(|(rollout, _)| rollout.plan))
}

/// Columns of the terminal; without one, what fits into a mail.
pub fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(100).min(120)
}
