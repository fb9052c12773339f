//! `evenkeel plan --what-if CHANGE --without NAME`: the plan of a changed file beside that of the file.

use std::cell::LazyCell;
use std::process::ExitCode;

use anyhow::Context;
use model::{App, Plan};
use plan::{Change, Relaxed, Terms};

use crate::cli::PlanArgs;
use crate::exit::{self, hinted};
use crate::say;
use crate::wire::prices;

use super::plan::{no_plan, would_do};

/// Prints what changes from the plan of `app` to that of the changed one.
///
/// # Errors
/// A change that is none or cannot be made, or one with which there is no plan.
pub fn run(
    app: &App,
    options: &plan::Options,
    terms: &Terms,
    args: &PlanArgs,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let changes = changes(args)?;
    let before = plan::certified_on(app, options, terms).map_err(no_plan)?.plan;
    let (mut changed, mut options, mut terms) = (app.clone(), options.clone(), terms.clone());
    for change in &changes {
        change.make(&mut changed, &mut options, &mut terms)?;
    }
    let words = words(&changes);
    let after = plan::certified_on(&changed, &options, &terms).map_err(no_plan);
    let after = after.with_context(|| format!("there is no plan with `{words}`"))?.plan;
    let relaxed = would_do(&changed, &options, &terms, &after)?;
    if json {
        say::data(format_args!("{}\n", told(&changes, (&before, &after), &relaxed)?))?;
    } else {
        let difference = plan::diff(&before, &after);
        let made = plan::Made { without: &args.without, what_if: &args.what_if };
        let would_do = plan::would_do(&relaxed, &after, &made, super::plan::width());
        say::data(format_args!("what if: {words}\n\n{difference}{would_do}"))?;
    }
    Ok(if after.feasible { ExitCode::SUCCESS } else { ExitCode::from(exit::INFEASIBLE) })
}

/// What is left out first, then the other changes in their order.
fn changes(args: &PlanArgs) -> anyhow::Result<Vec<Change>> {
    let mut all: Vec<Change> = args.without.iter().map(|name| Change::without(name)).collect();
    // Read when a change says where users are.
    let known = LazyCell::new(prices::places);
    let find = |name: &str| spec::find_place(name, &known).map_err(no_place);
    for text in &args.what_if {
        all.extend(plan::changes(text, &find).map_err(|error| {
            hinted(error.to_string(), "write for example `--what-if \"load x2, availability 99.99%\"`")
        })?);
    }
    Ok(all)
}

/// What would be right where no place is known; `near` is spelt nearly so.
fn no_place(near: Option<&str>) -> String {
    let by_hand = "degrees north and east such as `50.1 8.7`";
    match near {
        Some(near) => format!("a place that is known, such as `{near}`, or {by_hand}"),
        None => format!("a large city, a capital or a country, in English, or {by_hand}"),
    }
}

fn words(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn told(
    changes: &[Change],
    (before, after): (&Plan, &Plan),
    relaxed: &Relaxed,
) -> anyhow::Result<serde_json::Value> {
    let whole = |plan: &Plan| plan::to_json(plan, None, 0.0);
    let mut changed = whole(after);
    changed["relaxed"] = serde_json::to_value(relaxed)?;
    Ok(serde_json::json!({
        "kind": "what_if",
        "format_version": 1,
        "changes": changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "usd_month_more": after.usd_month.usd() - before.usd_month.usd(),
        "downtime_min_year_more": after.availability.downtime_min_year() - before.availability.downtime_min_year(),
        "before": whole(before),
        "after": changed,
    }))
}
