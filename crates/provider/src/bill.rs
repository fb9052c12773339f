//! What each line of a plan's bill buys. A line that is not understood is no error: it is kept, and said to be not made.

use std::collections::BTreeSet;

use model::{Plan, PlanLine};

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
    let item = line.item.as_str();
    match item {
        "application load balancer" => return Item::Entry(Layer::Application),
        "network load balancer" | "forwarding rule" => return Item::Entry(Layer::Network),
        "load balancer capacity unit" => return Item::EntryUse,
        "NAT gateway" | "machine behind the NAT gateway" => return Item::Nat,
        "public address" => return Item::Addresses,
        _ if item.starts_with("GB between zones for ") => return Item::Between,
        // Whom a disk is for is always said.
        _ if item.starts_with("GB of ") && !item.contains(" for ") => return Item::Answers,
        _ => {}
    }
    let Some((what, whom)) = item.rsplit_once(" for ") else { return Item::Other };
    let parts: Vec<String> = whom
        .split([',', '+'])
        .flat_map(|part| part.split(" and "))
        .map(str::trim)
        .map(str::to_owned)
        .collect();
    let known = known(plan);
    // A part that is not in the plan is nobody's machine; one that is in a line twice would be counted twice.
    let distinct: BTreeSet<&str> = parts.iter().map(String::as_str).collect();
    if distinct.len() != parts.len() || !distinct.is_subset(&known) {
        return Item::Other;
    }
    let Some(count) = whole(line.quantity) else { return Item::Other };
    if what.starts_with("GB of ") {
        return Item::Disk { parts, gb: count };
    }
    let is_type = !what.is_empty()
        && what.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
    if is_type { Item::Machines { kind: what.to_owned(), parts, count } } else { Item::Other }
}

fn known(plan: &Plan) -> BTreeSet<&str> {
    let services = plan.services.iter().map(|planned| planned.service.name.as_str());
    services.chain(plan.databases.iter().map(|planned| planned.database.name.as_str())).collect()
}

/// A positive whole count; what is bought by the piece comes in no other.
fn whole(quantity: f64) -> Option<u32> {
    let is_count = quantity.is_finite() && quantity >= 1.0 && quantity <= f64::from(u32::MAX);
    // Disks are counted in GB, of which a database may take a part: then the next whole one is bought.
    is_count.then(|| (quantity - 1e-9).ceil() as u32)
}
