//! How far users are from a region, and which regions are too far for the latency that is asked.
//!
//! Only what no program can be faster than is looked at: one round trip, as light in glass on the great circle with an assumed
//! detour. What the application itself takes is measured by a drill.

use model::{App, RoundTrip};

use crate::PlanError;
use crate::catalog::{Coordinates, RegionOffer, round_trip_min_ms};
use crate::chance::Assumptions;

/// The assumption of how many times longer a way is.
pub(crate) const DETOUR: &str = "detour.times";

/// One in so many users may be farther than the 99th percentile of the answer time allows.
const FAR_ONE_IN: u64 = 100;

/// Of a comparison with `p99`: rounding must not decide.
const SLACK: f64 = 1e-9;

/// Most places of users.
const PLACES_MAX: usize = 50;

/// The round trip of each place of users to a region, the place with most users first.
pub(crate) fn round_trips(app: &App, offer: &RegionOffer, assumptions: &Assumptions) -> Vec<RoundTrip> {
    let detour = assumptions.get(DETOUR).map_or(1.0, |prior| prior.mid);
    let trip = |users: &model::Users| {
        let at = Coordinates { north: users.north, east: users.east };
        let ms = round_trip_min_ms(at, offer.at) * detour;
        RoundTrip { place: users.place.clone(), share: users.share, ms }
    };
    let mut all: Vec<RoundTrip> = app.placement.users.iter().map(trip).collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.place.cmp(&b.place)));
    all
}

/// The longest answer time that a region must not already miss by its distance; `None`: nothing is asked of who is known to be
/// somewhere. Users reach the services of `ingress` alone.
pub(crate) fn asked_ms(app: &App) -> Option<f64> {
    let latency = app.objectives.latency.as_ref().filter(|_| !app.placement.users.is_empty())?;
    let reached = app.ingress.iter().any(|ingress| ingress.to == latency.service);
    reached.then_some(latency.p99.0 as f64)
}

/// The shortest time that no more than one in a hundred of the users needs longer for one round trip to a region than.
pub(crate) fn within_ms(app: &App, offer: &RegionOffer, assumptions: &Assumptions) -> f64 {
    let mut trips = round_trips(app, offer, assumptions);
    trips.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let total: u64 = trips.iter().map(|trip| parts(trip.share)).sum();
    let mut farther = 0;
    for trip in &trips {
        farther += parts(trip.share);
        if farther * FAR_ONE_IN > total {
            return trip.ms;
        }
    }
    0.0
}

/// Whether the distance alone leaves time for an answer.
pub(crate) fn reaches(app: &App, offer: &RegionOffer, assumptions: &Assumptions) -> bool {
    asked_ms(app).is_none_or(|most| within_ms(app, offer, assumptions) <= most * (1.0 + SLACK))
}

/// Millionths, so that sums are exact in any order.
fn parts(share: f64) -> u64 {
    (share * 1e6).round() as u64
}

/// Refuses users that nothing can be computed from. `spec` has checked the file, but a plan can be asked for by anybody.
pub(crate) fn check(app: &App) -> Result<(), PlanError> {
    let users = &app.placement.users;
    let absurd = |what: String, rule| Err(PlanError::Absurd { what, rule });
    if users.len() > PLACES_MAX {
        return absurd(format!("`placement.users` has {} places", users.len()), "it may have 50");
    }
    for one in users {
        let place = &one.place;
        if !(one.share > 0.0 && one.share <= 1.0) {
            let what = format!("`share` of users in `{place}` is {}", one.share);
            return absurd(what, "it must be above 0 and at most 100%");
        }
        if !(one.north.abs() <= 90.0 && one.east.abs() <= 180.0) {
            let what = format!("`{place}` is at {} {}", one.north, one.east);
            return absurd(what, "degrees north are -90 to 90, degrees east -180 to 180");
        }
    }
    let sum: f64 = users.iter().map(|one| one.share).sum();
    if !users.is_empty() && (sum - 1.0).abs() > 0.01 + 1e-9 {
        return absurd(format!("the shares of users come to {sum}"), "they must come to 1, by 0.01");
    }
    Ok(())
}

#[cfg(test)]
#[path = "near_tests.rs"]
mod tests;
