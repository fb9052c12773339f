//! Objectives that a plan misses by its place, its price and what has state, one sentence each.
//!
//! The sentences are apart from the search, so that the verifier can say what a stored plan must admit.

use model::{App, Money, Scope};

use crate::chance::Assumptions;
use crate::database::Spread;
use crate::{cache, database};

/// By the zones: losing one is to be survived though there is no other; losing a region cannot be.
pub(crate) fn by_zones(app: &App, reserve_for_zone: bool, zones: u32) -> Vec<String> {
    let mut missed = Vec::new();
    if reserve_for_zone && zones == 1 {
        missed.push("`survive: [zone]` was asked, and there is one zone".to_owned());
    }
    if app.objectives.survive.contains(&Scope::Region) {
        missed.push("`survive: [region]` was asked, and this version plans one region".to_owned());
    }
    missed
}

/// By the price.
pub(crate) fn by_price(app: &App, usd: Money) -> Option<String> {
    let budget = app.objectives.budget.filter(|budget| usd > *budget)?;
    let over = Money(usd.0 - budget.0);
    Some(format!("the budget is {budget} USD/month, and this costs {usd}, {over} more"))
}

/// What databases, and caches that are needed, miss when a machine or a zone is lost.
pub(crate) fn by_losses(app: &App, spread: Spread, assumptions: &Assumptions) -> Vec<String> {
    let mut missed = database::missed(app, spread, assumptions);
    missed.extend(cache::missed(app, spread, assumptions));
    missed
}
