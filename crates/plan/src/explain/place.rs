//! What stands where, for a picture.

use model::{App, Mode};

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
    /// The provider's type; `None`: a process on this machine, or a server that is the provider's own.
    pub machine: Option<String>,
    /// The service or database.
    pub of: String,
    /// Replicas of the service on it; of a database 1.
    pub replicas: u32,
    /// The node of a database, such as `db-1`; of one that the provider runs `db primary` and `db copy`.
    pub node: Option<String>,
    /// The node holds the log alone.
    pub witness: bool,
    /// The provider runs it, on no machine of the plan.
    pub managed: bool,
}

/// The nodes of a database that the provider runs, each in a zone of its own.
const MANAGED: [&str; 2] = ["primary", "copy"];

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
                managed: false,
            }));
        }
    }
    for (planned, machine) in plan.databases.iter().zip(&chosen.databases) {
        if planned.database.mode() == Mode::Managed {
            for (zone, role) in all.iter_mut().zip(MANAGED) {
                let of = planned.database.name.to_string();
                let node = Some(format!("{of} {role}"));
                zone.machines.push(Part {
                    machine: None,
                    of,
                    replicas: 1,
                    node,
                    witness: false,
                    managed: true,
                });
            }
            continue;
        }
        let last = planned.nodes.len().saturating_sub(1);
        for (number, node) in planned.nodes.iter().enumerate() {
            let Some(zone) = all.iter_mut().find(|zone| zone.zone == node.zone.as_str()) else { continue };
            zone.machines.push(Part {
                machine: machine.map(|machine| machine.name.to_string()),
                of: planned.database.name.to_string(),
                replicas: 1,
                node: Some(node.name.to_string()),
                witness: planned.database.witness && number == last,
                managed: false,
            });
        }
    }
    all
}
