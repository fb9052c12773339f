//! `evenkeel plan`.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use model::{App, Plan};

use crate::cli::PlanArgs;
use crate::exit::{self, hinted};
use crate::say;
use crate::wire::hosts::{self, Hosts};
use crate::wire::mirror::Mirror;
use crate::wire::prices;
use crate::wire::rollout;
use crate::wire::site::{Site, write_whole};

use super::{block_on, check};

/// Shows the plan, and against a running system the difference.
pub fn run(args: &PlanArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let (app, reading, _) = check::app(&args.file.file)?;
    let started = Instant::now();
    let options = options(&app, args.provider.as_deref(), site)?;
    if let Some(path) = &args.verify {
        return verify(&app, &options, path, json);
    }
    let plan::Planned { mut plan, proof } = plan::certified(&app, &options)?;
    plan.assumed.extend(reading.defaults);
    let solve_ms = started.elapsed().as_secs_f64() * 1e3;
    let running = running(site)?;
    if let Some(old) = &running {
        plan.parent = Some(old.number);
    }
    let as_json = plan::to_json(&plan, Some(&proof), solve_ms);
    if let Some(path) = &args.output {
        write_whole(path, &serde_json::to_vec_pretty(&as_json)?).context("the plan was not written")?;
    }
    let pending = match &running {
        Some(old) => !rollout::same(old, &plan),
        None => true,
    };
    if json {
        say::data(format_args!("{as_json}\n"))?;
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        say::data(plan::render(&plan, width(), colour))?;
        if let Some(old) = &running {
            say::data(format_args!("\n{}", plan::diff(old, &plan)))?;
        }
    }
    if !plan.feasible {
        return Ok(ExitCode::from(exit::INFEASIBLE));
    }
    Ok(if pending && args.detailed_exitcode { ExitCode::from(exit::PENDING) } else { ExitCode::SUCCESS })
}

/// The prices of the binary, or those that were laid over them.
fn options(app: &App, provider: Option<&str>, site: &Site) -> anyhow::Result<plan::Options> {
    let catalog = prices::catalog_for(app, provider, site)?;
    Ok(plan::Options { catalog, provider: provider.map(str::to_owned) })
}

/// Checks the certificate of a stored plan, without the search that made it.
fn verify(app: &App, options: &plan::Options, path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let stored: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
        let hint = "`evenkeel plan -o PLAN` writes one with its certificate";
        hinted(format!("`{}` is no plan: {error}", path.display()), hint)
    })?;
    let outcome = plan::verify(app, options, &stored);
    if json {
        say::data(format_args!("{}\n", verified_json(&outcome)))?;
    } else {
        let text = match &outcome {
            Ok(shown) => verified_text(shown),
            Err(refused) => format!("not verified: {refused}\n"),
        };
        say::data(text)?;
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::MISSED) })
}

fn verified_text(shown: &plan::Verified) -> String {
    let cheapest = match shown.gap {
        0.0 => "nothing in the space is cheaper".to_owned(),
        gap => format!("something up to {:.2}% cheaper may exist", gap * 100.0),
    };
    format!(
        "verified: {cheapest}\n  {} regions and numbers of zones, {} branches bounded anew; what the space is: \
         docs/reference/plan-space.md\n",
        shown.topologies, shown.branches
    )
}

fn verified_json(outcome: &Result<plan::Verified, plan::Refused>) -> serde_json::Value {
    let kind = "verify";
    match outcome {
        Ok(shown) => serde_json::json!({
            "kind": kind, "format_version": 1, "verified": true, "gap": shown.gap,
            "topologies": shown.topologies, "branches": shown.branches, "place": null, "why": null,
        }),
        Err(refused) => serde_json::json!({
            "kind": kind, "format_version": 1, "verified": false, "gap": null,
            "topologies": null, "branches": null, "place": refused.place, "why": refused.why,
        }),
    }
}

/// The plan of `app` for one provider, or the cheapest of those of the file.
pub fn make(app: &App, provider: Option<&str>, site: &Site) -> anyhow::Result<Plan> {
    Ok(plan::plan(app, &options(app, provider, site)?)?)
}

/// The plan for `app` on this machine, whatever providers it names: `up` emulates their zones.
pub fn make_local(app: &App) -> anyhow::Result<Plan> {
    let mut app = app.clone();
    app.placement.providers.clear();
    app.placement.regions.clear();
    // Nothing is bought for this machine.
    let options = plan::Options { catalog: plan::Catalog::default(), provider: None };
    Ok(plan::plan(&app, &options)?)
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
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(100).min(120)
}
