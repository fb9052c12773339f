//! Why this plan: how much it hangs on each assumption, what a more available one costs, what each objective costs.
//!
//! Everything here is searched anew, each answer as exactly as the plan itself, so it takes some tenths of a second and
//! is done only for those who ask.

mod frontier;
mod ladder;
mod place;
mod relax;
mod sensitivity;
mod text;
mod worth;

use model::App;
use serde::Serialize;

use crate::compose::{self, Best, name};
use crate::ground::Ground;
use crate::proof::Incumbent;
use crate::search::{Candidate, Effort, Limits, Space};
use crate::standbys::{Settled, settle};
use crate::{Options, PlanError, Planned, Terms};

pub use frontier::{Frontier, Rung};
pub use place::{Part, Placed};
pub use relax::{Given, Relaxation, Relaxed, relaxed};
pub use sensitivity::{End, Sensitivity, Speed};
pub use text::Made;
pub(crate) use text::ways;
pub use text::{faster, reasons, would_do};
pub use worth::Worth;

/// A plan and what is to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The plan with its proof.
    pub planned: Planned,
    /// What stands where, one entry a zone.
    pub places: Vec<Placed>,
    /// The rest.
    pub reasons: Reasons,
    /// What would do when an objective is missed.
    pub relaxed: Relaxed,
}

/// What a plan hangs on, and what others would cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reasons {
    /// Each assumption at both ends of its band, the one that moves the downtime most first.
    pub assumptions: Vec<Sensitivity>,
    /// The prices of each source that is old or assumed at both ends of its band.
    pub prices: Vec<Sensitivity>,
    /// What if machine types that nobody measured are as fast as others with their CPU.
    pub speeds: Vec<Speed>,
    /// The cheapest plan for each of a ladder of availabilities.
    pub frontier: Frontier,
    /// What each objective costs.
    pub worth: Vec<Worth>,
}

/// The cheapest plan of a search beside the main one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cheapest {
    /// What it is.
    pub name: String,
    /// US dollars a month.
    pub usd_month: f64,
    /// Share of the time, in 0..1.
    pub unavailability: f64,
    /// It is the plan itself: same place, machines and sizes.
    pub same: bool,
    /// Nothing is cheaper; else the search was cut short.
    pub exact: bool,
}

/// Plans `app` and explains the plan. `today`, such as `2026-11-29`, is what prices are old or new on.
///
/// # Errors
/// As [`crate::plan`].
pub fn explain(app: &App, options: &Options, terms: &Terms, today: &str) -> Result<Explained, PlanError> {
    let Settled { app: settled, beside } = settle(app, options, terms)?;
    let ground = Ground::new(&settled, options, terms)?;
    let space = ground.space()?;
    let best = compose::best(&ground, &space, &options.catalog, beside)?;
    let reasons = Reasons {
        assumptions: sensitivity::assumptions(&ground, &best)?,
        prices: sensitivity::prices(&ground, &best, today)?,
        speeds: sensitivity::speeds(&ground, &best)?,
        frontier: frontier::frontier(&space, &best),
        worth: worth::worth(&ground, &space, app, &best)?,
    };
    let places = place::places(&settled, &best);
    let relaxed = match best.planned.plan.feasible {
        true => Relaxed::default(),
        false => relax::missing(&ground, &space, app)?,
    };
    Ok(Explained { planned: best.planned, places, reasons, relaxed })
}

/// As [`crate::certified_on`], with what would be the cheapest if machines that nobody measured are faster than they are
/// taken to be: two more searches. None for a plan that misses an objective.
///
/// # Errors
/// As [`crate::plan`].
pub fn with_speeds(app: &App, options: &Options, terms: &Terms) -> Result<(Planned, Vec<Speed>), PlanError> {
    let Settled { app, beside } = settle(app, options, terms)?;
    let ground = Ground::new(&app, options, terms)?;
    let best = compose::best(&ground, &ground.space()?, &options.catalog, beside)?;
    let speeds = if best.planned.plan.feasible { sensitivity::speeds(&ground, &best)? } else { Vec::new() };
    Ok((best.planned, speeds))
}

/// The cheapest of `space`, compared with the plan.
fn cheapest(space: &Space<'_>, limits: Limits, best: &Best<'_>) -> Option<Cheapest> {
    let mut effort = Effort::aside();
    let found = space.cheapest(limits, &mut effort).best?;
    Some(Cheapest {
        name: name(space.app, &found),
        usd_month: compose::bill(space.app, &found).usd(),
        unavailability: found.down,
        same: same(&found, &best.chosen),
        exact: effort.open.is_none(),
    })
}

/// Whether two plans stand in the same place on the same machines.
fn same(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let shape = |candidate: &Candidate<'_>| Incumbent {
        micro_usd: 0,
        unavailability: 0.0,
        ..compose::incumbent(candidate)
    };
    shape(one) == shape(other)
}

#[cfg(test)]
mod tests;
