//! What stands where, for a picture.

use model::App;

use crate::compose::Best;

/// A zone and its machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The zone.
    pub zone: String,
    /// What stands in it: services in the order of the file, then databases.
    pub machines: Vec<Part>,
    /// All of it is on one machine; else each part is one.
    pub shared: bool,
}

/// One machine, or what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The provider's type; `None`: a process on this machine.
    pub machine: Option<String>,
    /// The service or database.
    pub of: String,
    /// Replicas of the service on it; of a database 1.
    pub replicas: u32,
    /// The node of a database, such as `db-1`.
    pub node: Option<String>,
    /// The node holds the log alone.
    pub witness: bool,
}

pub(super) fn places(app: &App, best: &Best<'_>) -> Vec<Placed> {
    let (plan, chosen) = (&best.planned.plan, &best.chosen);
    let shared = chosen.shared().is_some();
    let empty = |zone: &model::ZoneName| Placed { zone: zone.to_string(), machines: Vec::new(), shared };
    let mut all: Vec<Placed> = plan.zones.iter().map(empty).collect();
    for (choice, service) in chosen.choices.iter().zip(&app.services) {
        for (zone, on) in all.iter_mut().zip(choice.spread(chosen.zones)) {
            zone.machines.extend(on.into_iter().map(|replicas| Part {
                machine: choice.machine.map(|machine| machine.name.to_string()),
                of: service.name.to_string(),
                replicas,
                node: None,
                witness: false,
            }));
        }
    }
    for (planned, machine) in plan.databases.iter().zip(&chosen.databases) {
        let last = planned.nodes.len().saturating_sub(1);
        for (number, node) in planned.nodes.iter().enumerate() {
            let Some(zone) = all.iter_mut().find(|zone| zone.zone == node.zone.as_str()) else { continue };
            zone.machines.push(Part {
                machine: machine.map(|machine| machine.name.to_string()),
                of: planned.database.name.to_string(),
                replicas: 1,
                node: Some(node.name.to_string()),
                witness: planned.database.witness && number == last,
            });
        }
    }
    all
}
