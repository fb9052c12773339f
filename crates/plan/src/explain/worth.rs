//! What each objective costs: the cheapest plan that keeps all others.

use model::{App, Scope};
use serde::Serialize;

use super::{Cheapest, cheapest};
use crate::PlanError;
use crate::compose::{self, Best};
use crate::ground::Ground;
use crate::search::{Limits, Space};
use crate::size::Survive;

/// The plan without one objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worth {
    /// The objective, as in the file.
    pub objective: String,
    /// What it costs, US dollars a month: the plan less the cheapest without it.
    pub usd_month: f64,
    /// The cheapest without it.
    pub without: Cheapest,
}

pub(super) fn worth(
    ground: &Ground<'_>,
    space: &Space<'_>,
    best: &Best<'_>,
) -> Result<Vec<Worth>, PlanError> {
    let (app, limits) = (ground.app, best.limits);
    let mut all = Vec::new();
    if !best.planned.plan.feasible {
        return Ok(all);
    }
    let mut add = |objective: String, without: Option<Cheapest>| {
        let Some(without) = without else { return };
        let usd_month = best.planned.plan.usd_month.usd() - without.usd_month;
        all.push(Worth { objective, usd_month, without });
    };
    if let Some(asked) = app.objectives.availability {
        let free = Limits { down: None, ..limits };
        add(format!("availability: {asked}"), cheapest(space, free, best));
    }
    let reserve = match limits.survive {
        Survive::Zone => Some("the reserve for a zone"),
        Survive::Node => Some("the reserve for a machine"),
        Survive::Nothing => None,
    };
    if let Some(reserve) = reserve {
        let none = Limits { survive: Survive::Nothing, ..limits };
        add(reserve.to_owned(), cheapest(space, none, best));
    }
    for (objective, app) in relaxed(app) {
        let other = ground.asking(&app, &ground.terms)?;
        let space = match other.space() {
            // Without the region that the file names, nothing may be left: others there are closed.
            Err(error) if error.is_infeasible() => continue,
            space => space?,
        };
        // What is kept in reserve stays, whatever it follows from.
        let found = cheapest(&space, Limits { survive: limits.survive, ..compose::limits(&other) }, best);
        add(objective, found);
    }
    Ok(all)
}

/// The file without each recovery objective, without its region, and without its residency.
fn relaxed(app: &App) -> Vec<(String, App)> {
    let mut all = Vec::new();
    for scope in [Scope::Node, Scope::Zone].into_iter().filter(|_| !app.databases.is_empty()) {
        let word = if scope == Scope::Zone { "zone" } else { "node" };
        for key in ["rto", "rpo"] {
            let mut other = app.clone();
            let per = if key == "rto" { &mut other.objectives.rto } else { &mut other.objectives.rpo };
            let asked = if scope == Scope::Zone { per.zone.take() } else { per.node.take() };
            all.extend(asked.map(|asked| (format!("{key}: {{ {word}: {asked} }}"), other)));
        }
    }
    if let (Some(home), false) = (app.placement.regions.first(), app.placement.providers.is_empty()) {
        let mut other = app.clone();
        other.placement.regions.clear();
        all.push((format!("regions: [{}]", home.0), other));
    }
    let residency = &app.placement.residency;
    if !residency.is_empty() && !app.placement.providers.is_empty() {
        let mut other = app.clone();
        other.placement.residency.clear();
        all.push((format!("residency: [{}]", residency.join(", ")), other));
    }
    all
}
