//! Cost against availability: the cheapest plan for each of a ladder of availabilities.

use model::Availability;
use serde::Serialize;

use crate::compose::{Best, SLACK, bill, is_local, name, usd_per_avoided_min};
use crate::search::{Effort, Limits, Space};
use crate::size::Survive;

/// Unavailability of the first rung: 99 %.
const FIRST: f64 = 1e-2;

/// Most rungs of one ladder.
const RUNGS_MAX: u32 = 24;

/// The last rung is this share above the least unavailability that can be had.
const NEAR: f64 = 1e-4;

/// Ladders from 99 % to what can be had.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frontier {
    /// With the reserve that the plan keeps, the cheapest first.
    pub kept: Vec<Rung>,
    /// Without any reserve for a loss; empty when the plan keeps none.
    pub bare: Vec<Rung>,
    /// Least unavailability that any plan of the space has, with the reserve.
    pub least: Option<f64>,
    /// `USD/month`; on this machine `replicas`.
    pub unit: &'static str,
}

/// The cheapest plan that is this available.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rung {
    /// Most unavailability that was allowed, in 0..1.
    pub asked: f64,
    /// What it has.
    pub unavailability: f64,
    /// In the unit of the frontier.
    pub cost: f64,
    /// USD for each minute of downtime that it avoids beside the rung below: twelve times what it costs more a month over the
    /// minutes it is down less a year. `None`: it is the first, or nothing is paid.
    pub usd_per_avoided_min: Option<f64>,
    /// What it is.
    pub name: String,
    /// Nothing cheaper is this available; else the search was cut short.
    pub exact: bool,
}

pub(super) fn frontier(space: &Space<'_>, best: &Best<'_>) -> Frontier {
    let (kept, least) = ladder(space, best.limits);
    let nothing = Limits { survive: Survive::Nothing, ..best.limits };
    let bare = if best.limits.survive == Survive::Nothing { Vec::new() } else { ladder(space, nothing).0 };
    let unit = if is_local(&best.chosen) { "replicas" } else { "USD/month" };
    Frontier { kept, bare, least, unit }
}

/// From 99 % halfway to the best again and again: where the shared causes leave little to buy, equal steps of nines would
/// have one rung.
fn ladder(space: &Space<'_>, limits: Limits) -> (Vec<Rung>, Option<f64>) {
    let corners = space.corners(limits, &mut Effort::aside());
    let Some(least) = corners.iter().map(|corner| corner.down).min_by(f64::total_cmp) else {
        return (Vec::new(), None);
    };
    let mut rungs: Vec<Rung> = Vec::new();
    for step in 0..RUNGS_MAX {
        let asked = least + (FIRST - least).max(least * NEAR) * 0.5_f64.powi(step as i32);
        // The cheapest for less that is this available, too, is the cheapest for this.
        let had = rungs.last().is_some_and(|last| last.unavailability <= asked);
        if !had && !climb(space, Limits { down: Some(asked * (1.0 + SLACK)), ..limits }, &mut rungs) {
            break;
        }
        if asked - least <= least * NEAR {
            break;
        }
    }
    (rungs, Some(least))
}

fn climb(space: &Space<'_>, limits: Limits, rungs: &mut Vec<Rung>) -> bool {
    let mut effort = Effort::aside();
    let Some(found) = space.cheapest(limits, &mut effort).best else { return false };
    let cost = if is_local(&found) { found.cost.0 as f64 } else { bill(space.app, &found).usd() };
    let asked = limits.down.unwrap_or(1.0);
    let min_year = |unavailability| Availability { unavailability }.downtime_min_year();
    let below = rungs.last().filter(|_| !is_local(&found));
    let usd_per_avoided_min = below.and_then(|below| {
        usd_per_avoided_min(cost - below.cost, min_year(below.unavailability) - min_year(found.down))
    });
    let (unavailability, name, exact) = (found.down, name(space.app, &found), effort.open.is_none());
    rungs.push(Rung { asked, unavailability, cost, usd_per_avoided_min, name, exact });
    true
}
