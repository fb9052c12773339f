use model::{Availability, Plan, Rate};

use super::*;
use crate::change::tests::shop_with_a_database;
use crate::tests::{few, options};
use crate::{Options, Planned, certified, to_json, verify};

fn google() -> &'static RegionOffer {
    few().regions.iter().find(|offer| offer.provider == "gcp").unwrap()
}

/// Six machines: 6 x 0.0014 USD x 730 h. The price of the gateway, 0.044 USD x 730 h, is the highest there is, also where the
/// table of the provider would come to 0.0448 USD an hour.
#[test]
fn cloud_nat_costs_what_its_machines_come_to_by_hand_and_never_more_than_the_gateway() {
    let market = Market::Cloud(google());
    let usd = |machines: u32| cost(market, 3, least(market, 3, machines), machines);
    for (machines, by_hand) in
        [(0, 0.0), (1, 1.022), (6, 6.132), (14, 14.308), (31, 31.682), (32, 32.12), (33, 32.12), (500, 32.12)]
    {
        assert_eq!(usd(machines), Money::from_usd(by_hand), "{machines} machines");
    }
}

/// The plan for Google Cloud of a shop whose web is asked for so much, and what it pays for its ways out.
fn paid(rps: f64) -> (Plan, u32, (f64, f64)) {
    let mut app = shop_with_a_database();
    app.objectives.budget = None;
    app.placement.machines = Some(model::Sharing::Apart);
    // Without bad deploys nearly everything is available enough, and with little traffic machines decide.
    app.objectives.availability = Some(Availability { unavailability: 0.01 });
    let web = app.services[0].load.as_mut().unwrap();
    (web.peak, web.response) = (Rate(rps), Some(model::Bytes(100)));
    app.services[0].scale.max = 999;
    let only = Options { provider: Some("gcp".to_owned()), ..options() };
    let Planned { plan, proof } = certified(&app, &only).unwrap();
    verify(&app, &only, &to_json(&plan, Some(&proof), 0.0)).unwrap();
    let machines = plan.lines.iter().filter(|line| line.item.contains("-standard-"));
    let machines = machines.map(|line| line.quantity as u32).sum();
    let way_out = plan.lines.iter().find(|line| line.item.contains("NAT gateway")).unwrap();
    let of = (way_out.quantity, way_out.usd_month.usd());
    (plan, machines, of)
}

#[test]
fn a_bill_has_the_machines_behind_the_gateway_until_the_gateway_costs_less() {
    let (plan, machines, way_out) = paid(100.0);
    assert!((4..=31).contains(&machines), "{machines}");
    assert_eq!(way_out, (f64::from(machines), f64::from(machines) * 1_022.0 / 1_000.0));
    let line = plan.lines.iter().find(|line| line.item == "machine behind the NAT gateway").unwrap();
    assert!(line.source.starts_with("https://cloud.google.com/nat/pricing") && line.date == "2024-02");
    let (plan, machines, way_out) = paid(20_000.0);
    assert!(machines >= 33, "{machines}");
    assert_eq!(way_out, (1.0, 32.12));
    assert!(plan.lines.iter().all(|line| !line.item.contains("behind")));
}

/// As an update of the catalogue may leave it.
#[test]
fn a_price_that_is_not_there_is_not_paid() {
    let paid = |units: &[Unit], provider: &str| {
        let mut offer = google().clone();
        provider.clone_into(&mut offer.provider);
        offer.units.retain(|unit, _| units.contains(unit));
        let used = used(Market::Cloud(&offer), 3, 6);
        used.map(|one| (one.paid, one.quantity))
    };
    let (gateway, machine) = (Unit::NatMonth, Unit::NatMachineMonth);
    assert_eq!(paid(&[], "gcp"), None);
    assert_eq!(paid(&[gateway], "gcp"), Some((Paid::Unit(gateway), 1.0)));
    assert_eq!(paid(&[machine], "gcp"), Some((Paid::Unit(machine), 6.0)));
    assert_eq!(paid(&[gateway, machine], "gcp"), Some((Paid::Unit(machine), 6.0)));
    // Three gateways: each would have a lesser price of its own.
    assert_eq!(paid(&[gateway, machine], "aws"), Some((Paid::Unit(gateway), 3.0)));
    assert_eq!(paid(&[machine], "aws"), None);
    assert_eq!(used(Market::Local, 3, 6), None);
}
