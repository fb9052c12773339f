//! What is paid for the network of a region but its ways out ([`super::nat`]): the entry, addresses, and traffic.
//!
//! None of it depends on which machines are bought: it follows from the file, the provider and the number of zones, so it is a
//! part of what a topology costs whatever is chosen in it, and of every bound.

use model::{App, Buys, Load, Money, Service};

use super::nat::gateways;
use crate::catalog::{HOURS_MONTH, Price, RegionOffer, Unit};
use crate::chance::{Assumptions, Level};

/// Bytes of a GB of traffic.
const GB: f64 = 1e9;
/// Bytes of a kB.
const KB: f64 = 1e3;
/// Where the prices of traffic to the internet change, in GB a month.
const TIERS: [(f64, Unit); 4] = [
    (0.0, Unit::TrafficInternetGb),
    (10_000.0, Unit::TrafficInternetGb10tb),
    (50_000.0, Unit::TrafficInternetGb50tb),
    (150_000.0, Unit::TrafficInternetGb150tb),
];

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paid {
    /// A unit of the catalogue.
    Unit(Unit),
    /// GB that leave one zone and enter another for a database, by its place in the file.
    Between(usize),
    /// The same for a cache.
    BetweenCache(usize),
}

/// How much of it in a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Use {
    pub(crate) paid: Paid,
    pub(crate) quantity: f64,
}

impl Paid {
    /// USD for one, and where that was read; `None`: the catalogue has no price there.
    pub(crate) fn price(self, offer: &RegionOffer) -> Option<(f64, &Price)> {
        match self {
            // As each machine pays it: the shares of services and databases add up to the line.
            Paid::Unit(unit @ Unit::NatMachineMonth) => {
                offer.unit(unit).map(|price| (Money::from_usd(price.usd).usd(), price))
            }
            Paid::Unit(unit) => offer.unit(unit).map(|price| (price.usd, price)),
            Paid::Between(_) | Paid::BetweenCache(_) => {
                let out = offer.unit(Unit::TrafficZoneOutGb)?;
                Some((out.usd + offer.unit(Unit::TrafficZoneInGb).map_or(0.0, |price| price.usd), out))
            }
        }
    }

    /// What that is, for programs.
    pub(crate) fn buys(self, price: &Price) -> Buys {
        match self {
            Paid::Between(_) | Paid::BetweenCache(_) => Buys::Between,
            // The two kinds have one price a provider, and the name says which it is.
            Paid::Unit(Unit::BalancerMonth) => match &*price.item {
                "network load balancer" | "forwarding rule" => Buys::NetworkBalancer,
                _ => Buys::ApplicationBalancer,
            },
            Paid::Unit(Unit::BalancerUnitMonth) => Buys::BalancerUse,
            Paid::Unit(Unit::NatMonth | Unit::NatMachineMonth) => Buys::Nat,
            Paid::Unit(Unit::AddressMonth) => Buys::Addresses,
            Paid::Unit(_) => Buys::Answers,
        }
    }

    /// As it stands on the bill.
    pub(crate) fn item(self, app: &App, price: &Price) -> String {
        let name = &price.item;
        match self {
            Paid::Unit(Unit::BalancerGb | Unit::TrafficInternetGb) => format!("GB of {name}"),
            Paid::Unit(Unit::TrafficInternetGb10tb) => format!("GB of {name} beyond 10 TB"),
            Paid::Unit(Unit::TrafficInternetGb50tb) => format!("GB of {name} beyond 50 TB"),
            Paid::Unit(Unit::TrafficInternetGb150tb) => format!("GB of {name} beyond 150 TB"),
            Paid::Unit(_) => name.to_string(),
            Paid::Between(database) => format!("GB between zones for {}", app.databases[database].name),
            Paid::BetweenCache(cache) => format!("GB between zones for {}", app.caches[cache].name),
        }
    }
}

/// Requests/s on average.
fn mean(load: Load) -> f64 {
    load.mean.map_or(load.peak.0 / 3.0, |mean| mean.0)
}

fn kilobytes(assumptions: &Assumptions, name: &str) -> f64 {
    // The names are those of the table, which a test reads.
    assumptions.at(name, Level::Mid).unwrap_or(0.0)
}

/// GB in a month that a service answers with.
fn answered(service: &Service, assumptions: &Assumptions) -> f64 {
    let Some(load) = service.load else { return 0.0 };
    let bytes =
        load.response.map_or_else(|| kilobytes(assumptions, "response.kilobytes") * KB, |size| size.0 as f64);
    mean(load) * bytes * (HOURS_MONTH * 3_600.0) / GB
}

/// Everything that is paid for whatever runs, with amounts above 0 only.
pub(crate) fn uses(app: &App, offer: &RegionOffer, zones: u32, assumptions: &Assumptions) -> Vec<Use> {
    let entered = |service: &&Service| app.ingress.iter().any(|entry| entry.to == service.name);
    let requests: f64 =
        app.services.iter().filter(entered).filter_map(|service| service.load).map(mean).sum();
    let answers: f64 =
        app.services.iter().filter(entered).map(|service| answered(service, assumptions)).sum();
    // A unit is 1,000 requests/s or a GB an hour, whichever is more.
    let units = (requests / 1_000.0).max(answers / HOURS_MONTH).ceil().max(1.0);
    let addresses = addresses(&offer.provider, zones, !app.ingress.is_empty());
    let mut all = vec![
        (Paid::Unit(Unit::BalancerMonth), 1.0),
        (Paid::Unit(Unit::BalancerUnitMonth), units),
        (Paid::Unit(Unit::BalancerGb), answers),
        (Paid::Unit(Unit::AddressMonth), f64::from(addresses)),
    ];
    all.extend(to_the_internet(offer, answers));
    let asked: f64 = app.services.iter().map(|service| answered(service, assumptions)).sum();
    let elsewhere = f64::from(zones - 1) / f64::from(zones);
    for (at, database) in app.databases.iter().enumerate() {
        let nodes = u32::from(database.own_nodes());
        let apart = f64::from(nodes - nodes.div_ceil(zones));
        let written = database.writes.map_or(0.0, |writes| writes.0);
        let log = kilobytes(assumptions, "write.kilobytes") * KB * written * (HOURS_MONTH * 3_600.0) / GB;
        all.push((Paid::Between(at), asked * elsewhere + log * apart));
    }
    // What is copied to replicas is not known.
    all.extend((0..app.caches.len()).map(|at| (Paid::BetweenCache(at), asked * elsewhere)));
    all.retain(|(paid, quantity)| *quantity > 0.0 && paid.price(offer).is_some());
    all.into_iter().map(|(paid, quantity)| Use { paid, quantity }).collect()
}

/// Public addresses: one a NAT gateway; the balancers of AWS and Alibaba Cloud have one in each zone, that of Google Cloud has
/// one that costs nothing.
fn addresses(provider: &str, zones: u32, entered: bool) -> u32 {
    let of_entry = if entered && provider != "gcp" { zones } else { 0 };
    gateways(provider, zones) + of_entry
}

/// The GB at each price. Where the catalogue has none of its own for what is beyond some amount, the one below goes on.
fn to_the_internet(offer: &RegionOffer, gb: f64) -> Vec<(Paid, f64)> {
    let priced: Vec<(f64, Unit)> =
        TIERS.into_iter().filter(|(_, unit)| offer.unit(*unit).is_some()).collect();
    let upper = priced.iter().skip(1).map(|(from, _)| *from).chain([f64::INFINITY]);
    priced.iter().zip(upper).map(|(&(from, unit), to)| (Paid::Unit(unit), gb.min(to) - from)).collect()
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
