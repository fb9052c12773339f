use super::super::{Application, Common, Fleet, HOURS_YEAR, Machines, Outage};
use super::*;

#[track_caller]
fn close(value: f64, expected: f64, relative: f64) {
    let error = (value - expected).abs() / expected.abs();
    assert!(error <= relative, "{value:e} is not {expected:e} (relative error {error:e})");
}

/// AWS Reliability Pillar, page "Availability".
#[test]
fn repair_time_and_hard_dependencies_give_the_published_figures() {
    let outage = Outage { per_year: HOURS_YEAR / (150.0 * 24.0), hours: 1.0 };
    close(1.0 - outage.unavailability(), 0.999_722_3, 1e-7);
    close(1.0 - series(&[1e-4, 1e-4, 1e-4]), 0.999_700_03, 1e-8);
    close(too_few(1, 2, 1e-3), 1e-6, 1e-12);
}

/// AWS whitepaper "Availability and Beyond": the approximation says 0.99999, the exact answer is 0.9999901.
#[test]
fn redundancy_is_the_exact_binomial_and_not_its_first_term() {
    close(too_few(1, 2, 0.01), 1e-4, 1e-12);
    close(too_few(3, 5, 0.01), 9.8506e-6, 1e-4);
    let exact = 10.0 * 0.01f64.powi(3) * 0.99f64.powi(2) + 5.0 * 0.01f64.powi(4) * 0.99 + 0.01f64.powi(5);
    close(too_few(3, 5, 0.01), exact, 1e-12);
}

/// Azure Architecture Center, composite SLA.
#[test]
fn parts_in_series_multiply() {
    close(1.0 - series(&[5e-4, 1e-4]), 0.999_400_05, 1e-10);
    close(1.0 - series(&[5e-4, 1e-4 * 1e-3]), 0.999_499_9, 1e-9);
}

/// Azure modern web app pattern, single region and regional.
#[test]
fn a_long_chain_of_services_gives_the_published_sum() {
    let single = [1e-4, 1e-4, 5e-4, 5e-4, 5e-4, 1e-3, 1e-3, 5e-5, 1e-3, 1e-4, 1e-3, 1e-3];
    close(1.0 - series(&single), 0.993_170_53, 1e-8);
    let regional = [5e-4, 1e-4, 5e-4, 1e-4, 5e-4, 1e-4, 1e-3, 1e-4, 5e-5, 1e-4, 1e-3, 1e-4, 1e-3, 1e-4, 1e-3];
    close(1.0 - series(&regional), 0.993_767_09, 1e-8);
    let two_regions = series(&regional).powi(2);
    close(1.0 - two_regions, 0.999_961_15, 1e-8);
}

/// Zones and machines, far worse than real ones or as they are.
struct World {
    zone: Outage,
    node: Outage,
}

const REAL: World =
    World { zone: Outage { per_year: 0.2, hours: 4.0 }, node: Outage { per_year: 0.56, hours: 4.0 } };
const BAD: World =
    World { zone: Outage { per_year: 200.0, hours: 4.0 }, node: Outage { per_year: 500.0, hours: 2.0 } };

/// Every zone and every machine up or down, one state after the other.
fn brute(tiers: &[Tier], zones: usize, world: &World) -> f64 {
    let (zone_down, node_down) = (world.zone.unavailability(), world.node.unavailability());
    let machines: Vec<(usize, usize, u32)> = tiers
        .iter()
        .enumerate()
        .flat_map(|(tier, all)| {
            all.zones
                .iter()
                .enumerate()
                .flat_map(move |(zone, on)| on.iter().map(move |&carried| (tier, zone, carried)))
        })
        .collect();
    let mut down = 0.0;
    for zone_mask in 0..1u32 << zones {
        let mut of_zones = 1.0;
        for zone in 0..zones {
            of_zones *= if zone_mask >> zone & 1 == 1 { 1.0 - zone_down } else { zone_down };
        }
        for node_mask in 0..1u32 << machines.len() {
            let mut probability = of_zones;
            let mut up = vec![0; tiers.len()];
            for (index, &(tier, zone, carried)) in machines.iter().enumerate() {
                let lives = node_mask >> index & 1 == 1;
                probability *= if lives { 1.0 - node_down } else { node_down };
                if lives && zone_mask >> zone & 1 == 1 {
                    up[tier] += carried;
                }
            }
            if tiers.iter().zip(&up).any(|(tier, up)| *up < tier.needed) {
                down += probability;
            }
        }
    }
    down
}

/// The same by the model, without a region or deploys.
fn modelled(tiers: &[Tier], zones: usize, world: &World) -> f64 {
    let fleet = |tier: &Tier| {
        let kinds = (0..).zip(&tier.zones).flat_map(|(zone, on)| {
            on.iter().map(move |&carries| Machines { zone, count: 1, carries, pool: None })
        });
        Fleet { name: "web".into(), needed: tier.needed, machines: kinds.collect(), machine: world.node }
    };
    let shared: Vec<Common> = vec![];
    let fleets = tiers.iter().map(fleet).collect();
    let app = Application {
        zones: zones as u8,
        zone: world.zone,
        host: None,
        groups: vec![],
        fleets,
        pools: vec![],
        shared,
    };
    app.availability().unwrap().total.get()
}

#[test]
fn the_formula_equals_the_sum_over_every_state() {
    let tier =
        |zones: &[&[u32]], needed| Tier { zones: zones.iter().map(|zone| zone.to_vec()).collect(), needed };
    let cases = [
        vec![tier(&[&[1, 1, 1]], 2)],
        vec![tier(&[&[1, 1], &[1, 1]], 2)],
        vec![tier(&[&[1, 1], &[1, 1], &[1, 1]], 4)],
        vec![tier(&[&[1, 1], &[1, 1], &[1, 1]], 5)],
        vec![tier(&[&[3, 2], &[3], &[2]], 5)],
        vec![tier(&[&[1, 1], &[1], &[1]], 2), tier(&[&[2], &[2], &[1]], 3)],
        vec![tier(&[&[1], &[1], &[1]], 1), tier(&[&[1], &[1], &[]], 1), tier(&[&[4], &[], &[]], 2)],
        vec![tier(&[&[1], &[1], &[1], &[1]], 3), tier(&[&[2, 2], &[3], &[3], &[3]], 7)],
    ];
    for world in [BAD, REAL] {
        for tiers in &cases {
            let zones = tiers[0].zones.len();
            close(modelled(tiers, zones, &world), brute(tiers, zones, &world), 1e-9);
        }
    }
}

/// Losing one zone of three must not be an outage: asking for five of six instead of four makes it one, and
/// the golden cases put the price of that at 41 times the downtime.
#[test]
fn without_a_reserve_for_a_zone_the_downtime_is_a_multiple() {
    let share = |needed| modelled(&[Tier { zones: vec![vec![1, 1]; 3], needed }], 3, &REAL);
    assert!(share(5) > 40.0 * share(4));
}

#[test]
fn services_in_the_same_zones_fail_together_and_are_not_multiplied() {
    let world = World { node: Outage { per_year: 0.0, hours: 0.0 }, ..REAL };
    let tier = Tier { zones: vec![vec![1], vec![1]], needed: 2 };
    let (one, three) = (vec![tier.clone()], vec![tier.clone(), tier.clone(), tier]);
    close(modelled(&three, 2, &world), modelled(&one, 2, &world), 1e-12);
}
