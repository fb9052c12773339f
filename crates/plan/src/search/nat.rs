//! What the ways out of a network cost: the gateways, or each machine behind the one gateway, whichever is less.
//!
//! So the price of a plan is no sum over its parts, as the search and its bounds need it. But it is the lesser of two prices
//! that are: one with the gateways in what is paid whatever runs, one with a share in the price of every machine. A topology is
//! searched for each of the two with bounds that hold there, and the cheaper of both finds is the cheapest plan: at either
//! price no plan costs less than it does at the lesser one, and at one of them it costs just that.
//!
//! The lesser one is also what the provider charges, but for a gateway with exactly as many machines as its table goes up to:
//! for 32 machines Google's has 0.0448 USD an hour, more than the 0.044 from the 33rd on that it calls the highest price.

use model::Money;

use super::market::Market;
use super::traffic::{Paid, Use};
use crate::catalog::{RegionOffer, Unit};
use crate::proof::Nat;

/// NAT gateways over so many zones, as the files of `export` make them: one a zone on AWS, else one.
pub(crate) fn gateways(provider: &str, zones: u32) -> u32 {
    if provider == "aws" { zones } else { 1 }
}

/// The price of a machine behind the gateway; `None`: none is sold like that. With several gateways each would have a lesser
/// price of its own, which no provider asks for.
fn of_machine(offer: &RegionOffer, zones: u32) -> Option<Money> {
    let price = offer.unit(Unit::NatMachineMonth).filter(|_| gateways(&offer.provider, zones) == 1)?;
    // Rounded for one machine, so that the shares of services and databases add up to the line of the bill.
    Some(Money::from_usd(price.usd))
}

/// The ways in which gateways can be paid for over so many zones.
pub(crate) fn ways(market: Market<'_>, zones: u32) -> impl Iterator<Item = Nat> {
    let (by_gateway, by_machine) = match market {
        Market::Local => (true, false),
        Market::Cloud(offer) => {
            let by_machine = of_machine(offer, zones).is_some();
            (offer.unit(Unit::NatMonth).is_some() || !by_machine, by_machine)
        }
    };
    [(Nat::Gateway, by_gateway), (Nat::Machine, by_machine)]
        .into_iter()
        .filter_map(|(nat, is)| is.then_some(nat))
}

/// What each machine pays.
pub(crate) fn each(market: Market<'_>, zones: u32, nat: Nat) -> Money {
    match (market, nat) {
        (Market::Cloud(offer), Nat::Machine) => of_machine(offer, zones).unwrap_or(Money(0)),
        (Market::Local, _) | (_, Nat::Gateway) => Money(0),
    }
}

/// What is paid whatever runs.
pub(crate) fn whole(market: Market<'_>, zones: u32, nat: Nat) -> Money {
    match (market, nat) {
        (Market::Cloud(offer), Nat::Gateway) => {
            let gateways = f64::from(gateways(&offer.provider, zones));
            offer.unit(Unit::NatMonth).map_or(Money(0), |price| Money::from_usd(price.usd * gateways))
        }
        (Market::Local, _) | (_, Nat::Machine) => Money(0),
    }
}

/// What so many machines behind it cost in one of the ways.
pub(crate) fn cost(market: Market<'_>, zones: u32, nat: Nat, machines: u32) -> Money {
    whole(market, zones, nat) + Money(each(market, zones, nat).0.saturating_mul(i64::from(machines)))
}

/// The way in which they cost less; where both cost the same, by the gateway.
pub(crate) fn least(market: Market<'_>, zones: u32, machines: u32) -> Nat {
    ways(market, zones).min_by_key(|nat| cost(market, zones, *nat, machines)).unwrap_or(Nat::Gateway)
}

/// Whether another way than this costs no more for `few` to `many` machines, however many there are; not both ways at once.
pub(crate) fn is_beaten(market: Market<'_>, zones: u32, nat: Nat, (few, many): (u32, u32)) -> bool {
    // Between few and many the machines cost more with each, and the gateway costs the same.
    ways(market, zones).any(|other| match (nat, other) {
        (Nat::Gateway, Nat::Machine) => cost(market, zones, other, many) < cost(market, zones, nat, many),
        (Nat::Machine, Nat::Gateway) => cost(market, zones, other, few) <= cost(market, zones, nat, few),
        (Nat::Gateway, Nat::Gateway) | (Nat::Machine, Nat::Machine) => false,
    })
}

/// The line of the bill for so many machines; `None`: the catalogue has no price, or this is no cloud.
pub(crate) fn used(market: Market<'_>, zones: u32, machines: u32) -> Option<Use> {
    let Market::Cloud(offer) = market else { return None };
    let (unit, quantity) = match least(market, zones, machines) {
        Nat::Gateway => (Unit::NatMonth, gateways(&offer.provider, zones)),
        Nat::Machine => (Unit::NatMachineMonth, machines),
    };
    offer.unit(unit).map(|_| Use { paid: Paid::Unit(unit), quantity: f64::from(quantity) })
}

#[cfg(test)]
#[path = "nat_tests.rs"]
mod tests;
