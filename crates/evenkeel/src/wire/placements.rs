//! Years of a plan's services: what of them the rules that place replicas can play, and whether what was played is what was
//! computed. As [`super::years`] does for databases.

use drill::simulate::{Failing, Placed, Service};
use plan::Outage;
use plan::chance::{Application, Fleet};

use super::years::{self, Compared};

/// Services that are alike, to be played by the rules that place them.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Their names.
    pub names: Vec<String>,
    /// What is played.
    pub service: Service,
    /// The model of what is played.
    pub model: Application,
    /// A zone has room for more than the plan puts there, so the rules can only do better than the model, which moves nothing.
    roomy: bool,
}

/// What of `model` the rules can play, equal services together, and a sentence for each that they cannot.
pub fn placements(model: &Application) -> (Vec<Placement>, Vec<String>) {
    let (mut placements, mut not): (Vec<Placement>, Vec<String>) = (Vec::new(), Vec::new());
    for fleet in &model.fleets {
        match lower(model, fleet) {
            Ok(placement) => match placements.iter_mut().find(|other| other.service == placement.service) {
                Some(other) => other.names.extend(placement.names),
                None => placements.push(placement),
            },
            Err(why) => not.push(format!("`{}` by the rules that place it: {why}", fleet.name)),
        }
    }
    (placements, not)
}

/// # Errors
/// Why it cannot be played, for people.
fn lower(model: &Application, fleet: &Fleet) -> Result<Placement, String> {
    if fleet.machines.iter().any(|machines| machines.pool.is_some()) {
        return Err("it has spot machines, which are taken back together".to_owned());
    }
    if model.host.is_some() && fleet.machine.per_year > 0.0 {
        return Err("its machines fail beside the one that its zone has, which no plan of this version has"
            .to_owned());
    }
    let failing = |outage: Outage| Failing { per_year: outage.per_year, hours: outage.hours };
    let of = |zone: u8| -> Vec<u32> {
        let here = fleet.machines.iter().filter(|machines| machines.zone == zone);
        here.flat_map(|machines| (0..machines.count.min(1_000)).map(|_| machines.carries)).collect()
    };
    let zones: Vec<Vec<u32>> = (0..model.zones).map(of).collect();
    let in_zone = |rooms: &Vec<u32>| rooms.iter().fold(0_u32, |all, room| all.saturating_add(*room));
    let replicas = zones.iter().map(in_zone).fold(0_u32, u32::saturating_add);
    // Whichever zone has one replica more, the rules leave it there: each zone has room for as many as the fullest, on its own machines.
    let fullest = zones.iter().map(in_zone).max().unwrap_or(0);
    let roomy = zones.iter().any(|rooms| in_zone(rooms) < fullest);
    let widened = |mut rooms: Vec<u32>| {
        let more = fullest - in_zone(&rooms);
        match rooms.last_mut() {
            _ if model.host.is_some() => rooms = vec![fullest],
            Some(last) => *last += more,
            None => rooms.push(more),
        }
        rooms
    };
    let service = Service {
        rooms: zones.into_iter().map(widened).collect(),
        replicas,
        needed: fleet.needed,
        zone: failing(model.zone),
        host: model.host.map(failing),
        // Of no account beside the one of the zone.
        machine: if model.host.is_some() {
            Failing { per_year: 0.0, hours: 1.0 }
        } else {
            failing(fleet.machine)
        },
        pace: zone::sim::Pace::default(),
    };
    service.check().map_err(|error| error.to_string())?;
    let model = Application {
        zones: model.zones,
        zone: model.zone,
        host: model.host,
        groups: Vec::new(),
        fleets: vec![fleet.clone()],
        pools: Vec::new(),
        shared: Vec::new(),
    };
    Ok(Placement { names: vec![fleet.name.clone()], service, model, roomy })
}

impl Placement {
    /// Holds the years that the rules played against the model of the same zones and machines.
    ///
    /// # Errors
    /// When that cannot be computed.
    pub fn judge(&self, played: &Placed) -> anyhow::Result<Compared> {
        let answer = self.model.availability()?;
        let seen = years::Seen {
            unavailability: played.unavailability,
            deviation: played.deviation,
            years: played.years,
        };
        Ok(years::beside(&self.model, &answer, seen, self.roomy))
    }
}

#[cfg(test)]
#[path = "placements_tests.rs"]
mod tests;
