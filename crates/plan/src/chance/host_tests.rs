//! One machine a zone that holds everything: against other ways to compute it, and played.

use super::whole::tests::{golden, random};
use super::*;

const NEVER: Outage = Outage { per_year: 0.0, hours: 0.0 };

#[track_caller]
fn close(value: f64, expected: f64, relative: f64) {
    let error = (value / expected - 1.0).abs();
    assert!(error <= relative, "{value:e} is not {expected:e} (relative error {error:e})");
}

fn down(app: &Application) -> f64 {
    app.availability().unwrap().total.get()
}

/// A random application with one machine a zone; half of them with machines below it that fail by themselves.
fn hosted(seed: u64) -> Application {
    let mut app = random(seed);
    let mut dice = Dice::from_seed(seed + 1_000_000);
    let hours = [0.5, 4.0, 12.0][dice.below(3) as usize];
    app.host = Some(Outage { per_year: 20.0 * (0.05 + dice.unit()), hours });
    app.groups.truncate(1);
    if dice.below(2) == 0 {
        app.fleets.iter_mut().for_each(|fleet| fleet.machine = NEVER);
    }
    app
}

#[test]
fn a_machine_that_never_fails_changes_nothing() {
    for seed in 0..40 {
        let app = Application { host: Some(NEVER), ..hosted(seed) };
        close(down(&app), down(&Application { host: None, ..app.clone() }), 1e-12);
    }
}

/// In one zone with one of everything all of it must be up, and the machine counts once for all that is on it.
#[test]
fn one_of_everything_is_up_when_its_zone_its_machine_and_its_node_are() {
    let outage = |per_year, hours| Outage { per_year, hours };
    let (zone, host, node) = (outage(2.0, 4.0), outage(6.0, 3.0), outage(4.0, 0.5));
    let fleet = |name: &str| Fleet::spread(name, 1, &[1], NEVER);
    let mut app = Application {
        zones: 1,
        zone,
        host: Some(host),
        groups: vec![Group::single("db", node)],
        fleets: vec![fleet("web"), fleet("api")],
        pools: vec![],
        shared: vec![],
    };
    let up = |outage: Outage| 1.0 - outage.unavailability();
    close(down(&app), 1.0 - up(zone) * up(host) * up(node), 1e-12);
    let causes: Vec<(Cause, f64)> =
        app.availability().unwrap().causes.into_iter().map(|(cause, share)| (cause, share.get())).collect();
    let of = |wanted: Cause| causes.iter().find(|(cause, _)| *cause == wanted).unwrap().1;
    close(of(Cause::Zones), zone.unavailability(), 1e-12);
    close(of(Cause::Hosts), up(zone) * host.unavailability(), 1e-12);
    close(of(Cause::Nodes(0)), up(zone) * up(host) * node.unavailability(), 1e-12);
    assert_eq!((causes.len(), app.cause(&Cause::Hosts).as_str()), (3, "loss of machines"));
    // Machines of their own for each of the three fail three times as often.
    app.host = None;
    app.fleets.iter_mut().for_each(|fleet| fleet.machine = host);
    close(down(&app), 1.0 - up(zone) * up(host) * up(host) * up(node), 1e-12);
}

/// Where nothing but the machine fails, it is the node: what is known of nodes holds of it.
#[test]
fn a_machine_with_one_node_that_does_not_fail_alone_is_that_node() {
    for nodes in 1..=3 {
        let mut apart = golden(3, nodes, 1, &[], 0);
        apart.groups.truncate(1);
        let node = std::mem::replace(&mut apart.groups[0].node, NEVER);
        let shared = Application { host: Some(node), ..apart.clone() };
        apart.groups[0].node = node;
        close(down(&shared), down(&apart), 1e-10);
        let (one, other) = (Outages::new(&shared).unwrap(), Outages::new(&apart).unwrap());
        close(one.longer(0.02).unwrap().per_year, other.longer(0.02).unwrap().per_year, 1e-9);
        close(one.takeovers_per_year(0) + 1.0, other.takeovers_per_year(0) + 1.0, 1e-9);
    }
}

/// Replicas without state: every set of zones and machines, one after the other.
#[test]
fn fleets_are_down_as_often_as_all_states_together_say() {
    let mut compared = 0;
    for seed in 0..60 {
        let app = Application { groups: vec![], shared: vec![], pools: vec![], ..hosted(seed) };
        if app.fleets.iter().any(|fleet| fleet.machine != NEVER) {
            continue;
        }
        let (zone, host) = (app.zone.unavailability(), app.host.unwrap().unavailability());
        let mut sum = 0.0;
        for state in 0..1_usize << (2 * app.zones) {
            let is = |bit: u8| state >> bit & 1 == 1;
            let share = |up: bool, down: f64| if up { 1.0 - down } else { down };
            let weight: f64 =
                (0..app.zones).map(|i| share(is(i), zone) * share(is(app.zones + i), host)).product();
            let few = |fleet: &Fleet| {
                let living = fleet.machines.iter().filter(|kind| is(kind.zone) && is(app.zones + kind.zone));
                living.map(|kind| kind.count * kind.carries).sum::<u32>() < fleet.needed
            };
            sum += if app.fleets.iter().any(few) { weight } else { 0.0 };
        }
        let app = Application {
            fleets: app
                .fleets
                .iter()
                .cloned()
                .map(|mut fleet| {
                    fleet.machines.iter_mut().for_each(|kind| kind.pool = None);
                    fleet
                })
                .collect(),
            ..app
        };
        close(down(&app), sum, 1e-10);
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}

/// A lease over two zones and a service beside it, as a chain that is written down here once more.
#[test]
fn a_chain_that_is_written_anew_says_the_same() {
    let outage = |per_year, hours| Outage { per_year, hours };
    let (zone, host, node) = (outage(3.0, 6.0), outage(9.0, 3.0), outage(20.0, 0.5));
    let takeover = Takeover { seconds: 600.0, stages: 1 };
    for needed in 1..=2 {
        let app = Application {
            zones: 2,
            zone,
            host: Some(host),
            groups: vec![Group::copies("db", 2, node, takeover)],
            fleets: vec![Fleet::spread("web", needed, &[1, 1], NEVER)],
            pools: vec![],
            shared: vec![],
        };
        // Zones, machines and nodes of both sides, then the primary.
        let usable = |state: u8, side: u8| [0, 2, 4].iter().all(|part| state >> (part + side) & 1 == 1);
        let moves = |state: u8, go: &mut dyn FnMut(u8, PerHour)| {
            for bit in 0..6_u8 {
                let outage = [zone, host, node][usize::from(bit / 2)];
                let rate =
                    if state >> bit & 1 == 1 { outage.per_year / HOURS_YEAR } else { 1.0 / outage.hours };
                go(state ^ 1 << bit, PerHour::new(rate).unwrap());
            }
            let primary = state >> 6;
            if !usable(state, primary) && usable(state, 1 - primary) {
                go(state ^ 1 << 6, PerHour::new(6.0).unwrap());
            }
        };
        let found = explore(0b11_1111_u8, 128, moves).unwrap();
        let time = stationary(&found.chain).unwrap();
        let lives = |state: u8, side: u8| [0, 2].iter().all(|part| state >> (part + side) & 1 == 1);
        let is_down = |state: u8| {
            let up = (0..2).filter(|&side| lives(state, side)).count() as u32;
            !usable(state, state >> 6) || up < needed
        };
        let own: f64 =
            found.states.iter().zip(&time).filter(|(state, _)| is_down(**state)).map(|(_, time)| time).sum();
        close(down(&app), own, 1e-9);
    }
}

#[test]
fn playing_agrees_with_what_is_computed() {
    for seed in 0..30 {
        let app = hosted(seed);
        let played = simulate(&app, 7_000 + seed, 20_000, &[0.1, 1.0]).unwrap();
        let answer = app.availability().unwrap();
        let within = |what: &str, seen: f64, deviation: f64, exact: f64| {
            let far = (seen - exact).abs() / deviation.max(1e-300);
            assert!(
                far <= 4.0,
                "seed {seed}, {what}: {seen:e} was played, {exact:e} computed: {far:.1} deviations"
            );
        };
        within("down", played.unavailability, played.deviation, answer.total.get());
        for (cause, share, deviation) in &played.causes {
            let exact = answer.causes.iter().find(|(other, _)| other == cause);
            let exact = exact.map_or(0.0, |(_, share)| share.get());
            if share.get() > 0.0 && deviation / share.get() < 0.1 {
                within(&format!("{cause:?}"), share.get(), *deviation, exact);
            } else {
                assert!((share.get() - exact).abs() < 0.01 * answer.total.get(), "seed {seed}, {cause:?}");
            }
        }
        let outages = Outages::quick(&app).unwrap();
        if matches!(outages.counting, Counting::Exact { .. }) && app.shared.is_empty() {
            for (index, hours) in [0.0, 0.1, 1.0].into_iter().enumerate() {
                let exact = outages.longer(hours).unwrap().per_year * 20_000.0;
                let seen = if index == 0 { played.outages } else { played.longer[index - 1] } as f64;
                within("outages", seen, played.deviations[index].max(exact.sqrt()), exact);
            }
        }
    }
}

#[test]
fn a_machine_that_fails_more_often_or_longer_is_never_better() {
    for seed in 0..60 {
        let app = hosted(seed);
        let mut worse = app.clone();
        worse.host = app.host.map(|host| Outage { per_year: host.per_year * 1.5, hours: host.hours * 1.2 });
        let none = Application { host: None, ..app.clone() };
        assert!(down(&worse) >= down(&app) * (1.0 - 1e-11), "seed {seed}");
        assert!(down(&app) >= down(&none) * (1.0 - 1e-11), "seed {seed}");
    }
}

/// Databases one by one are never better than in one chain.
#[test]
fn databases_apart_are_a_bound_given_which_machines_live_too() {
    let mut compared = 0;
    for seed in 0..60 {
        let mut app = hosted(seed);
        if app.groups.is_empty() {
            continue;
        }
        app.zones = app.zones.min(2);
        app.fleets.clear();
        app.pools.clear();
        app.groups[0].takeover = app.groups[0].takeover.map(|takeover| Takeover { stages: 1, ..takeover });
        let mut twin = app.groups[0].clone();
        twin.name = "twin".into();
        app.groups.push(twin);
        let (exact, bound) = (Stateful::new(&app).unwrap(), Stateful::apart(&app).unwrap());
        let (exact, bound) = (app.given(&exact).unwrap(), app.given(&bound).unwrap());
        let over = bound.application.get() / exact.application.get() - 1.0;
        assert!((-1e-10..0.3).contains(&over), "seed {seed}: {over:e}");
        compared += 1;
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn more_zones_than_sets_are_looked_at_for_are_refused() {
    let app = Application { host: Some(NEVER), ..golden(3, 1, 1, &[1, 1, 1], 1) };
    assert!(app.availability().is_ok());
    let many = Application { zones: 7, ..app.clone() };
    assert_eq!(
        many.availability().unwrap_err().to_string(),
        "the number of zones with one machine each is 7; it must be from 1 to 6"
    );
    let bad = Application { host: Some(Outage { per_year: -1.0, hours: 1.0 }), ..app };
    assert!(bad.availability().is_err() && simulate(&bad, 1, 1, &[]).is_err());
}
