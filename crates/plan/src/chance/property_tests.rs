//! What must hold for every application, whatever its numbers.

use super::whole::tests::random;
use super::*;

fn down(app: &Application) -> f64 {
    app.availability().unwrap().total.get()
}

/// Every random application with what `change` makes of it, unless it makes nothing.
fn each(change: impl Fn(&mut Application) -> bool, compare: impl Fn(f64, f64) -> bool) {
    let mut compared = 0;
    for seed in 0..80 {
        let app = random(seed);
        let mut other = app.clone();
        if change(&mut other) {
            let (before, after) = (down(&app), down(&other));
            assert!(compare(before, after), "seed {seed}: {before:e} became {after:e}\n{other:#?}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "only {compared} were compared");
}

/// Rounding may not decide.
fn no_worse(before: f64, after: f64) -> bool {
    after <= before * (1.0 + 1e-11)
}

fn no_better(before: f64, after: f64) -> bool {
    no_worse(after, before)
}

#[test]
fn one_more_machine_is_never_worse() {
    each(
        |app| {
            app.fleets[0].machines[0].count += 1;
            true
        },
        no_worse,
    );
}

#[test]
fn needing_one_more_replica_is_never_better() {
    each(
        |app| {
            let fleet = &mut app.fleets[0];
            fleet.needed += 1;
            u64::from(fleet.needed) <= fleet.machines.iter().map(|m| u64::from(m.count * m.carries)).sum()
        },
        no_better,
    );
}

#[test]
fn one_more_copy_is_never_worse_when_it_can_take_over() {
    each(
        |app| {
            let group = app.groups.first_mut();
            let Some(group) = group.filter(|group| group.needed == 1 && group.takeover.is_some()) else {
                return false;
            };
            group.nodes += 1;
            true
        },
        no_worse,
    );
}

#[test]
fn whatever_fails_more_often_or_longer_is_never_better() {
    let worse = |outage: &mut Outage| {
        outage.per_year *= 1.5;
        outage.hours *= 1.2;
    };
    each(
        |app| {
            worse(&mut app.zone);
            true
        },
        no_better,
    );
    each(
        |app| {
            worse(&mut app.fleets[0].machine);
            true
        },
        no_better,
    );
    each(|app| app.groups.first_mut().map(|group| worse(&mut group.node)).is_some(), no_better);
    each(|app| app.shared.first_mut().map(|shared| worse(&mut shared.outage)).is_some(), no_better);
    each(|app| app.pools.first_mut().map(|pool| worse(&mut pool.outage)).is_some(), no_better);
}

#[test]
fn a_slower_takeover_is_never_better() {
    each(
        |app| {
            let takeover = app.groups.first_mut().and_then(|group| group.takeover.as_mut());
            takeover.map(|takeover| takeover.seconds *= 1.3).is_some()
        },
        no_better,
    );
}

#[test]
fn the_order_of_parts_does_not_matter() {
    each(
        |app| {
            app.groups.reverse();
            app.fleets.reverse();
            app.shared.reverse();
            app.fleets.iter_mut().for_each(|fleet| fleet.machines.reverse());
            true
        },
        |before, after| (after / before - 1.0).abs() < 1e-10,
    );
}

#[test]
fn a_part_more_is_never_better() {
    each(
        |app| {
            app.fleets.push(app.fleets[0].clone());
            true
        },
        no_better,
    );
}

/// Every absurd number is refused with its place, and nothing panics or hangs.
#[test]
fn bad_input_is_refused_by_every_entry() {
    type Change = fn(&mut Application);
    let changes: &[(Change, &str)] = &[
        (|a| a.zones = 0, "the number of zones is 0; it must be from 1 to 9"),
        (|a| a.zones = 200, "the number of zones is 200; it must be from 1 to 9"),
        (
            |a| a.zone.per_year = f64::NAN,
            "how often a zone fails is NaN/year; it must be a finite rate from 0",
        ),
        (|a| a.zone.hours = -1.0, "the repair of a zone is -1 hours; it must be from 0 to 100 years"),
        (|a| a.groups[0].nodes = 0, "the nodes of `db` is 0; it must be from 1 to 7"),
        (|a| a.groups[0].nodes = 8, "the nodes of `db` is 8; it must be from 1 to 7"),
        (|a| a.groups[0].witnesses = 2, "the witnesses of `db` is 2; it must be fewer than its nodes"),
        (
            |a| a.groups[0].needed = 3,
            "the nodes that `db` needs is 3; it must be from 1 to as many as it has",
        ),
        (
            |a| a.groups[0].takeover = Some(Takeover { seconds: 0.0, stages: 1 }),
            "the takeover of `db` is 0 s; it must be more than 0 and at most a week",
        ),
        (
            |a| a.groups[0].takeover = Some(Takeover { seconds: 1.0, stages: 0 }),
            "the stages of a takeover of `db` is 0; it must be from 1 to 64",
        ),
        (|a| a.fleets[0].needed = 0, "what `web` needs is 0; it must be at least one replica"),
        (
            |a| a.fleets[0].needed = 7,
            "what `web` needs is 7 of 6 replicas; it must be no more than there are",
        ),
        (
            |a| a.fleets[0].machines[0].count = u32::MAX,
            "the size of `web` is 4294967299; it must be at most 10,000",
        ),
        (
            |a| a.fleets[0].machines[0].zone = 3,
            "a zone of `web` is 3; it must be less than the number of zones",
        ),
        (
            |a| a.fleets[0].machines[0].pool = Some(0),
            "a pool of `web` is 0; it must be less than the number of pools",
        ),
        (
            |a| a.shared[0].outage.hours = f64::INFINITY,
            "the repair of `bad deploys` is inf hours; it must be from 0 to 100 years",
        ),
        (|a| a.fleets = vec![a.fleets[0].clone(); 65], "the number of fleets is 65; it must be at most 64"),
    ];
    for (change, expected) in changes {
        let mut app = whole::tests::golden(3, 2, 2, &[2, 2, 2], 4);
        change(&mut app);
        let refused = [
            app.availability().map(drop),
            Stateful::new(&app).map(drop),
            Outages::new(&app).map(drop),
            simulate(&app, 1, 10, &[]).map(drop),
        ];
        for answer in refused {
            assert_eq!(answer.unwrap_err().to_string(), *expected);
        }
    }
}

#[test]
fn the_largest_that_is_accepted_is_answered() {
    let node = Outage { per_year: 4.0, hours: 0.5 };
    let takeover = Takeover { seconds: 2.0, stages: 3 };
    let group = |index| Group::quorum(&format!("db-{index}"), 5, 0, node, takeover);
    let app = Application {
        zones: 9,
        zone: Outage { per_year: 0.2, hours: 4.0 },
        host: None,
        groups: (0..20).map(group).collect(),
        fleets: vec![Fleet::spread("web", 9_000, &[1_100; 9], node)],
        pools: vec![],
        shared: vec![],
    };
    let answer = app.availability().unwrap();
    assert!(matches!(answer.exactness, Exactness::SafeBound { .. }));
    assert!(answer.total.get() > 0.0 && answer.total.get() < 1e-2, "{answer:?}");
    // Seven nodes in as many zones fit, with takeovers that take nearly always the same time they do not.
    let mut app =
        Application { groups: vec![Group::quorum("db", 7, 0, node, takeover)], fleets: vec![], ..app };
    assert!(app.availability().is_ok());
    app.groups[0].takeover = Some(Takeover { seconds: 2.0, stages: 64 });
    let error = app.availability().unwrap_err().to_string();
    assert_eq!(
        error,
        "a chain would need more than 131072 states; take parts apart that share little, or use fewer nodes or stages"
    );
}
