//! What the network of a topology costs, computed anew: the entry, ways out, addresses, traffic.

use model::{Buys, Layout, Money};

use super::Place;
use super::bill::Line;
use super::rules::Rules;
use crate::catalog::{RegionOffer, Unit};
use crate::proof::Nat;
use crate::search::Paid;

/// Seconds of a month on a bill.
const SECONDS: f64 = 730.0 * 3_600.0;

/// Gateways of a region: one in each zone on AWS, else one for all.
fn gateways(offer: &RegionOffer, zones: u32) -> u32 {
    match offer.provider.as_str() {
        "aws" => zones,
        _ => 1,
    }
}

/// In how many ways the gateways can be paid for.
pub(super) fn ways_to_pay(offer: &RegionOffer, zones: u32) -> Vec<Nat> {
    let by_machine = offer.unit(Unit::NatMachineMonth).is_some() && gateways(offer, zones) == 1;
    match (by_machine, offer.unit(Unit::NatMonth)) {
        (true, Some(_)) => vec![Nat::Gateway, Nat::Machine],
        (true, None) => vec![Nat::Machine],
        (false, _) => vec![Nat::Gateway],
    }
}

/// What a place pays for its ways out, in millionths of a dollar: whatever runs, and for each machine.
pub(super) fn ways_out(place: &Place<'_>) -> (i64, i64) {
    let Some(offer) = place.offer else { return (0, 0) };
    let of = |unit: Unit, times: u32| {
        offer.unit(unit).map_or(0, |price| Money::from_usd(price.usd * f64::from(times)).0)
    };
    match place.nat {
        Nat::Gateway => (of(Unit::NatMonth, gateways(offer, place.zones)), 0),
        Nat::Machine => (0, of(Unit::NatMachineMonth, 1)),
    }
}

/// The line of a bill for so many machines: by the machine only where that costs less.
pub(super) fn way_out(rules: &Rules<'_>, offer: &RegionOffer, zones: u32, machines: u32) -> Option<Line> {
    let costs = |nat: Nat| {
        let (whole, each) = ways_out(&Place { offer: Some(offer), zones, layout: Layout::Apart, nat });
        whole.saturating_add(each.saturating_mul(i64::from(machines)))
    };
    let ways = ways_to_pay(offer, zones);
    let dear =
        ways.contains(&Nat::Gateway) && (ways.len() == 1 || costs(Nat::Gateway) <= costs(Nat::Machine));
    let (unit, count) = match dear {
        true => (Unit::NatMonth, gateways(offer, zones)),
        false => (Unit::NatMachineMonth, machines),
    };
    let price = offer.unit(unit)?;
    let usd = if dear { price.usd } else { Money::from_usd(price.usd).usd() };
    let told = (Paid::Unit(unit).item(rules.app, price), Buys::Nat);
    Some(Line::new(told, f64::from(count), usd, price))
}

/// Every line of the network but that of its ways out; none on this machine.
pub(super) fn network(rules: &Rules<'_>, place: &Place<'_>) -> Vec<Line> {
    let (Some(offer), zones) = (place.offer, f64::from(place.zones)) else { return Vec::new() };
    let app = rules.app;
    let (mut requests, mut out, mut all) = (0.0, 0.0, 0.0);
    for service in &app.services {
        let Some(load) = service.load else { continue };
        let rate = load.mean.map_or(load.peak.0 / 3.0, |mean| mean.0);
        let each = match load.response {
            Some(bytes) => bytes.0 as f64,
            None => rules.assumed("response.kilobytes") * 1e3,
        };
        let gb = rate * each * SECONDS / 1e9;
        all += gb;
        if app.ingress.iter().any(|entry| entry.to == service.name) {
            requests += rate;
            out += gb;
        }
    }
    let mut lines = Lines { rules, offer, all: Vec::new() };
    lines.unit(Unit::BalancerMonth, 1.0);
    lines.unit(Unit::BalancerUnitMonth, f64::max(requests / 1_000.0, out / 730.0).ceil().max(1.0));
    lines.unit(Unit::BalancerGb, out);
    let nats = f64::from(gateways(offer, place.zones));
    let fronts = if offer.provider == "gcp" || app.ingress.is_empty() { 0.0 } else { zones };
    lines.unit(Unit::AddressMonth, nats + fronts);
    lines.internet(out);
    for (at, database) in app.databases.iter().enumerate() {
        let nodes = f64::from(database.own_nodes());
        let in_first = (nodes / zones).ceil();
        let written = database.writes.map_or(0.0, |writes| writes.0);
        let copied = rules.assumed("write.kilobytes") * 1e3 * written * SECONDS / 1e9 * (nodes - in_first);
        let entering = offer.unit(Unit::TrafficZoneInGb).map_or(0.0, |price| price.usd);
        let gb = all * ((zones - 1.0) / zones) + copied;
        if let Some(leaving) = offer.unit(Unit::TrafficZoneOutGb) {
            let told = (Paid::Between(at).item(app, leaving), Buys::Between);
            lines.all.push(Line::new(told, gb, leaving.usd + entering, leaving));
        }
    }
    lines.caches(all * ((zones - 1.0) / zones));
    lines.all.retain(|line| line.quantity > 0.0);
    lines.all
}

struct Lines<'l, 'r> {
    rules: &'l Rules<'r>,
    offer: &'l RegionOffer,
    all: Vec<Line>,
}

impl Lines<'_, '_> {
    /// As much between zones for each cache as for a database that is not written to.
    fn caches(&mut self, gb: f64) {
        let Some(leaving) = self.offer.unit(Unit::TrafficZoneOutGb) else { return };
        let entering = self.offer.unit(Unit::TrafficZoneInGb).map_or(0.0, |price| price.usd);
        for at in 0..self.rules.app.caches.len() {
            let told = (Paid::BetweenCache(at).item(self.rules.app, leaving), Buys::Between);
            self.all.push(Line::new(told, gb, leaving.usd + entering, leaving));
        }
    }

    fn unit(&mut self, unit: Unit, quantity: f64) {
        if let Some(price) = self.offer.unit(unit) {
            let told = (Paid::Unit(unit).item(self.rules.app, price), Paid::Unit(unit).buys(price));
            self.all.push(Line::new(told, quantity, price.usd, price));
        }
    }

    /// From the dearest amount down: what is beyond it, and then the rest.
    fn internet(&mut self, gb: f64) {
        let mut rest = gb;
        for (from, unit) in [
            (150_000.0, Unit::TrafficInternetGb150tb),
            (50_000.0, Unit::TrafficInternetGb50tb),
            (10_000.0, Unit::TrafficInternetGb10tb),
            (0.0, Unit::TrafficInternetGb),
        ] {
            if self.offer.unit(unit).is_some() && rest > from {
                self.unit(unit, rest - from);
                rest = from;
            }
        }
    }
}
