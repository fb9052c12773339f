//! What each line of a plan's bill buys. A line that is not understood is no error: it is kept, and said to be not made.

use std::collections::BTreeSet;

use model::{Buys, Plan, PlanLine};

/// What one line buys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// Machines of one type, for these services and databases.
    Machines { kind: String, parts: Vec<String>, count: u32 },
    /// Disks of all machines of these parts together, in GB.
    Disk { parts: Vec<String>, gb: u32 },
    /// The balancer at the entry.
    Entry(Layer),
    /// What is paid for the use of the balancer.
    EntryUse,
    /// NAT gateways, paid by the piece or by the machine behind them.
    Nat,
    /// Public addresses: of NAT gateways, and of the balancer where they cost.
    Addresses,
    /// What is paid for answers to the internet, which go through the entry.
    Answers,
    /// What is paid for traffic between zones, which nothing of its own makes.
    Between,
    /// Nothing that this version makes.
    Other,
}

/// What a balancer understands of what it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Connections.
    Network,
    /// Requests.
    Application,
}

/// What `line` buys for `plan`.
pub(crate) fn read(plan: &Plan, line: &PlanLine) -> Item {
    match &line.buys {
        Buys::ApplicationBalancer => Item::Entry(Layer::Application),
        Buys::NetworkBalancer => Item::Entry(Layer::Network),
        Buys::BalancerUse => Item::EntryUse,
        Buys::Nat => Item::Nat,
        Buys::Addresses => Item::Addresses,
        Buys::Between => Item::Between,
        Buys::Answers => Item::Answers,
        // A plan with one is not exported.
        Buys::Here { .. } | Buys::Managed { .. } | Buys::Unknown => Item::Other,
        Buys::Machines { kind, parts } => match whole(line.quantity).filter(|_| are_known(plan, parts)) {
            Some(count) if is_type(kind) => {
                Item::Machines { kind: kind.clone(), parts: parts.clone(), count }
            }
            _ => Item::Other,
        },
        Buys::Disks { parts } => match whole(line.quantity).filter(|_| are_known(plan, parts)) {
            Some(gb) => Item::Disk { parts: parts.clone(), gb },
            None => Item::Other,
        },
    }
}

/// A part that is not in the plan is nobody's machine; one that is in a line twice would be counted twice.
fn are_known(plan: &Plan, parts: &[String]) -> bool {
    let distinct: BTreeSet<&str> = parts.iter().map(String::as_str).collect();
    !parts.is_empty() && distinct.len() == parts.len() && distinct.is_subset(&known(plan))
}

/// Whether it looks like a machine type of a provider: it is written into files.
fn is_type(kind: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    !kind.is_empty() && kind.bytes().all(plain)
}

fn known(plan: &Plan) -> BTreeSet<&str> {
    let services = plan.services.iter().map(|planned| planned.service.name.as_str());
    let databases = plan.databases.iter().map(|planned| planned.database.name.as_str());
    services.chain(databases).chain(plan.caches.iter().map(|cache| cache.name.as_str())).collect()
}

/// A positive whole count; what is bought by the piece comes in no other.
fn whole(quantity: f64) -> Option<u32> {
    let is_count = quantity.is_finite() && quantity >= 1.0 && quantity <= f64::from(u32::MAX);
    // Disks are counted in GB, of which a database may take a part: then the next whole one is bought.
    is_count.then(|| (quantity - 1e-9).ceil() as u32)
}
