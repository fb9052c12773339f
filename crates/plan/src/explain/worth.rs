//! What each objective costs: the cheapest plan that keeps all others.

use model::{App, Scope};
use serde::Serialize;

use super::ladder::has_state;
use super::{Cheapest, cheapest};
use crate::PlanError;
use crate::compose::{self, Best};
use crate::ground::Ground;
use crate::search::{Limits, Space};
use crate::size::Survive;
use crate::standbys::each;

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
    app: &App,
    best: &Best<'_>,
) -> Result<Vec<Worth>, PlanError> {
    let limits = best.limits;
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
        let mut free = app.clone();
        free.objectives.availability = None;
        // With it goes the reserve that it means where `survive` is left out.
        let own = compose::limits(&ground.asking(&free, &ground.terms)?).survive;
        let with = if own == limits.survive { "" } else { ", with the reserve that it means" };
        add(format!("availability: {asked}{with}"), without((ground, space), &free, own, best)?);
    }
    let reserve = match limits.survive {
        Survive::Zone => Some("the reserve for a zone"),
        Survive::Node => Some("the reserve for a machine"),
        Survive::Nothing => None,
    };
    if let Some(reserve) = reserve {
        let bare = compose::without_reserve(app);
        add(reserve.to_owned(), without((ground, space), &bare, Survive::Nothing, best)?);
    }
    for (objective, app) in relaxed(app) {
        // What is kept in reserve stays, whatever it follows from.
        match without((ground, space), &app, limits.survive, best) {
            // Without the region that the file names, nothing may be left: others there are closed.
            Err(error) if error.is_infeasible() => {}
            found => add(objective, found?),
        }
    }
    Ok(all)
}

/// The cheapest plan of a file that asks for less, with this kept in reserve.
fn without(
    (ground, space): (&Ground<'_>, &Space<'_>),
    app: &App,
    survive: Survive,
    best: &Best<'_>,
) -> Result<Option<Cheapest>, PlanError> {
    let mut least: Option<Cheapest> = None;
    each((ground, space), app, |own, space| {
        let found = cheapest(space, Limits { survive, ..compose::limits(own) }, best);
        let less = |found: &Cheapest| least.as_ref().is_none_or(|least| found.usd_month < least.usd_month);
        if let Some(found) = found.filter(less) {
            least = Some(found);
        }
    })?;
    Ok(least)
}

/// The file without each recovery objective, without its region, and without its residency.
fn relaxed(app: &App) -> Vec<(String, App)> {
    let mut all = Vec::new();
    for scope in [Scope::Node, Scope::Zone].into_iter().filter(|_| has_state(app)) {
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
