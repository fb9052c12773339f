//! How far users are, written anew: which regions have enough of them near, and what a plan says of them.

use model::App;
use serde_json::Value;

use super::plan::near;
use super::{ROUNDING, Refused, refuse};
use crate::catalog::{Coordinates, RegionOffer, round_trip_min_ms};

/// Millionths of all users in a place, and their round trip in ms.
fn ways(app: &App, offer: &RegionOffer, detour: f64) -> Vec<(u64, f64)> {
    let way = |users: &model::Users| {
        let from = Coordinates { north: users.north, east: users.east };
        ((users.share * 1e6).round() as u64, round_trip_min_ms(from, offer.at) * detour)
    };
    app.placement.users.iter().map(way).collect()
}

/// Whether 99 of 100 users are so near that one round trip is within `latency.p99`, where that is asked of a service that they reach.
pub(super) fn is_near(app: &App, offer: &RegionOffer, detour: f64) -> bool {
    let Some(latency) = &app.objectives.latency else { return true };
    if !app.ingress.iter().any(|entry| entry.to == latency.service) {
        return true;
    }
    let most = latency.p99.0 as f64 * (1.0 + ROUNDING);
    let (mut inside, mut all) = (0, 0);
    for (share, ms) in ways(app, offer, detour) {
        all += share;
        inside += if ms <= most { share } else { 0 };
    }
    inside * 100 >= all * 99
}

/// That the plan says how far each place is, and of no other; `offer`: where it is, `None` for this machine.
pub(super) fn told(
    app: &App,
    offer: Option<&RegionOffer>,
    detour: f64,
    stored: &Value,
) -> Result<(), Refused> {
    let place = "`round_trips`";
    let said = stored["round_trips"].as_array().cloned().unwrap_or_default();
    let own = offer.map_or_else(Vec::new, |offer| ways(app, offer, detour));
    if said.len() != own.len() {
        return Err(refuse(place, format!("it has {} places, and the file has {}", said.len(), own.len())));
    }
    let mut left: Vec<_> = app.placement.users.iter().zip(own).collect();
    for trip in &said {
        let is = |users: &model::Users| {
            trip["place"].as_str() == Some(&users.place) && trip["share"].as_f64() == Some(users.share)
        };
        let Some(at) = left.iter().position(|(users, _)| is(users)) else {
            return Err(refuse(
                place,
                format!("{} with {} are not in the file", trip["place"], trip["share"]),
            ));
        };
        let (_, (_, ms)) = left.swap_remove(at);
        near(place, trip["ms"].as_f64(), ms, ROUNDING * ms)?;
    }
    Ok(())
}
