use model::{Bytes, Money, Plan, Rate};

use crate::change::tests::shop_with_a_database;
use crate::tests::options;
use crate::{Options, Terms, certified_on};

/// The plan for one provider of a shop whose web answers 1,000/s with so many bytes, and whose api nobody calls.
fn plan(provider: &str, bytes: Option<u64>, terms: &Terms) -> Plan {
    let mut app = shop_with_a_database();
    app.objectives.budget = None;
    let web = app.services[0].load.as_mut().unwrap();
    (web.mean, web.response) = (Some(Rate(1_000.0)), bytes.map(Bytes));
    app.services[1].load = None;
    let only = Options { provider: Some(provider.to_owned()), ..options() };
    certified_on(&app, &only, terms).unwrap().plan
}

fn quantity(plan: &Plan, item: &str) -> f64 {
    plan.lines.iter().filter(|line| line.item == item).map(|line| line.quantity).sum()
}

/// A month has 2,628,000 s: 1,000 answers/s of 1 kB are 2,628 GB, 80 writes/s of 4 kB are 840.96 GB for each standby.
#[test]
fn traffic_and_ways_out_are_those_of_a_bill_by_hand() {
    for (provider, addresses) in [("aws", 6.0), ("gcp", 1.0)] {
        let plan = plan(provider, Some(1_000), &Terms::default());
        assert_eq!(plan.zones.len(), 3, "{provider}");
        let close = |item: &str, by_hand: f64| {
            let own = quantity(&plan, item);
            assert!((own - by_hand).abs() < 1e-6 * by_hand, "{provider} {item}: {own}, by hand {by_hand}");
        };
        let bought =
            |line: &&model::PlanLine| ["web", "api", "db"].iter().any(|part| line.item.ends_with(part));
        let machines = plan.lines.iter().filter(bought).filter(|line| !line.item.starts_with("GB "));
        match provider {
            "aws" => close("NAT gateway", 3.0),
            _ => close("machine behind the NAT gateway", machines.map(|line| line.quantity).sum()),
        }
        close("public address", addresses);
        close("GB of traffic to the internet", 2_628.0);
        close("GB between zones for db", 2_628.0 * 2.0 / 3.0 + 2.0 * 840.96);
        // 3.6 GB an hour is more than 1,000 requests/s.
        close(
            if provider == "aws" { "load balancer capacity unit" } else { "GB of forwarding rule traffic" },
            if provider == "aws" { 4.0 } else { 2_628.0 },
        );
    }
    // 26 TB: what is beyond 10 TB has a price of its own on AWS.
    let much = plan("aws", Some(10_000), &Terms::default());
    assert_eq!(quantity(&much, "GB of traffic to the internet"), 10_000.0);
    assert!((quantity(&much, "GB of traffic to the internet beyond 10 TB") - 16_280.0).abs() < 1e-6);
}

#[test]
fn an_answer_that_nobody_measured_has_its_band_and_the_bad_end_is_dearer() {
    let expected = plan("aws", None, &Terms::default());
    assert!(
        expected.assumed.iter().any(|line| line.starts_with("an answer has 18 kB (2 to 37; HTTP Archive"))
    );
    let gb = |plan: &Plan| {
        let lines = plan.lines.iter().filter(|line| line.item.contains("traffic to the internet"));
        lines.map(|line| line.quantity).sum::<f64>()
    };
    assert!((gb(&expected) - 18.0 * 2_628.0).abs() < 1e-3, "{}", gb(&expected));
    let robust = plan("aws", None, &Terms::pessimistic("2026-11-29"));
    assert!((gb(&robust) - 37.0 * 2_628.0).abs() < 1e-3, "{}", gb(&robust));
    assert!(robust.usd_month > expected.usd_month && expected.usd_month > Money::from_usd(3_000.0));
}
