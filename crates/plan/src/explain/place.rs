//! What stands where, for a picture.

use model::{App, Mode};

use crate::compose::Best;

/// A zone and its machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The zone.
    pub zone: String,
    /// What stands in it: services in the order of the file, then databases, then caches.
    pub machines: Vec<Part>,
    /// All of it is on one machine; else each part is one.
    pub shared: bool,
}

/// One machine, or what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The provider's type; `None`: a process on this machine, or a server that is the provider's own.
    pub machine: Option<String>,
    /// The service, database or cache.
    pub of: String,
    /// Replicas of the service on it; of a database or cache 1.
    pub replicas: u32,
    /// The node of a database or cache, such as `db-1`, or `cache-2.1` of its second shard; of one that the provider runs `db primary` and `db copy`.
    pub node: Option<String>,
    /// The node holds the log alone.
    pub witness: bool,
    /// The provider runs it, on no machine of the plan.
    pub managed: bool,
    /// This version starts nothing on it.
    pub idle: bool,
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
                idle: false,
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
                    idle: true,
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
                idle: false,
            });
        }
    }
    if !shared && plan.provider != "local" {
        all.iter_mut().for_each(one_agent);
    }
    cached(app, best, &mut all);
    all
}

/// Caches: node by node into the zones in turn, each shard anew.
fn cached(app: &App, best: &Best<'_>, all: &mut [Placed]) {
    for (cache, machine) in app.caches.iter().zip(&best.chosen.caches) {
        for shard in 1..=cache.shards {
            for (copy, at) in (1..=cache.copies()).zip((0..all.len()).cycle()) {
                let number = if cache.shards == 1 { format!("{copy}") } else { format!("{shard}.{copy}") };
                all[at].machines.push(Part {
                    machine: machine.map(|machine| machine.name.to_string()),
                    of: cache.name.to_string(),
                    replicas: 1,
                    node: Some(format!("{}-{number}", cache.name)),
                    witness: false,
                    managed: false,
                    idle: true,
                });
            }
        }
    }
}

/// In a zone with several machines one has an agent, and starts everything of the zone: that with the first node of a database,
/// else the first.
fn one_agent(zone: &mut Placed) {
    let own = |part: &Part| !part.managed;
    let with_node = zone.machines.iter().position(|part| own(part) && part.node.is_some());
    let agent = with_node.or_else(|| zone.machines.iter().position(own));
    for (at, part) in zone.machines.iter_mut().enumerate().filter(|(_, part)| !part.managed) {
        part.idle = Some(at) != agent;
    }
}
