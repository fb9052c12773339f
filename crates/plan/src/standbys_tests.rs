use expect_test::expect;
use model::{App, Money, Scope};
use serde_json::{Value, json};

use super::*;
use crate::chance::Dice;
use crate::search::tests::{Case, case, one_of, random_database, try_everything};
use crate::tests::{options, small_shop};
use crate::{Planned, certified, certified_on, relaxed, to_json, verify};

/// The file with its databases' standbys left open.
fn open(mut app: App) -> App {
    app.databases.iter_mut().for_each(|database| (database.auto, database.witness) = (true, false));
    app
}

/// What trying everything finds with so many standbys, where that misses nothing.
fn with(case: &Case, standbys: u8) -> Option<Money> {
    let mut app = case.app.clone();
    app.databases.iter_mut().for_each(|one| (one.auto, one.standbys) = (false, standbys));
    let case = Case { app, catalog: case.catalog.clone() };
    let options = Options { catalog: case.catalog.clone(), provider: None };
    let feasible = certified(&case.app, &options).is_ok_and(|planned| planned.plan.feasible);
    feasible.then(|| try_everything(&case)).flatten()
}

#[test]
fn the_cheapest_of_all_numbers_of_standbys_is_what_trying_everything_finds() {
    let (mut compared, mut none, mut counts) = (0, 0, std::collections::BTreeMap::new());
    for seed in 0..70 {
        let mut case = case(seed + 5_000);
        let mut dice = Dice::from_seed(seed);
        case.app.databases = vec![random_database(&mut dice)];
        case.app = open(case.app);
        if dice.below(2) == 0 {
            case.app.objectives.rpo.node = Some(model::Duration(one_of(&mut dice, &[0, 9_000])));
        }
        let least = STANDBYS.into_iter().filter_map(|standbys| with(&case, standbys)).min();
        let options = Options { catalog: case.catalog.clone(), provider: None };
        let Ok(planned) = certified(&case.app, &options) else {
            assert_eq!(least, None, "seed {seed}");
            continue;
        };
        compared += 1;
        let found = planned.proof.incumbent.as_ref().filter(|_| planned.plan.feasible);
        assert_eq!(found.map(|one| Money(one.micro_usd)), least, "seed {seed}: {:?}", planned.plan.missed);
        none += u32::from(least.is_none());
        assert_eq!(planned.proof.others.len(), STANDBYS.len() - 1, "seed {seed}");
        if least.is_some() {
            *counts.entry(planned.proof.standbys[0].standbys).or_insert(0) += 1;
        }
        let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
        let verified = verify(&case.app, &options, &stored);
        verified.unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
        // What it says it counted is a plan of its own, the same one.
        let mut counted = case.app.clone();
        counted.databases[0] = planned.plan.databases[0].database.clone();
        let again = certified(&counted, &options).unwrap();
        assert_eq!(again.plan.usd_month, planned.plan.usd_month, "seed {seed}");
        assert_eq!(again.plan.missed, planned.plan.missed, "seed {seed}");
    }
    assert!(compared >= 50 && (5..45).contains(&none), "{compared} compared, {none} impossible: {counts:?}");
    assert!(counts.len() >= 3, "{counts:?}");
}

/// As if each were the only choice: two databases are counted together.
#[test]
fn two_databases_are_counted_together() {
    let mut app = open(small_shop());
    let mut other = app.databases[0].clone();
    other.name = model::DatabaseName::new("log").unwrap();
    app.databases.push(other);
    app.objectives.rpo.node = Some(model::Duration(0));
    let planned = certified(&app, &options()).unwrap();
    assert_eq!(planned.proof.others.len(), 15);
    let counted = planned.proof.standbys.iter().map(|one| (one.database.as_str(), one.standbys));
    assert_eq!(counted.collect::<Vec<_>>(), [("db", 2), ("log", 2)]);
    let stored = to_json(&planned.plan, Some(&planned.proof), 0.0);
    verify(&app, &options(), &stored).unwrap();
    let told: Vec<&String> =
        planned.plan.why.iter().filter(|why| why.starts_with("`standbys: auto`")).collect();
    assert_eq!(told.len(), 2);
    let named = |name: &str| {
        let name = model::DatabaseName::new(name).unwrap();
        model::Database { name, ..app.databases[0].clone() }
    };
    app.databases = ["a", "b", "c", "d"].map(named).to_vec();
    let refused = certified(&app, &options()).unwrap_err().to_string();
    expect!["4 databases have `standbys: auto` or `run_by: auto`; a plan leaves that open for at most 3; write what the others have"]
        .assert_eq(&refused);
}

#[test]
fn a_plan_says_what_other_numbers_would_mean() {
    let told = |app: &App| {
        let plan = certified(app, &options()).unwrap().plan;
        let why = plan.why.iter().find(|why| why.starts_with("`standbys: auto`"));
        format!("{} {:.2}: {}", plan.databases[0].database.standbys, plan.usd_month.usd(), why.unwrap())
    };
    let mut app = open(small_shop());
    expect!["1 361.49: `standbys: auto` of `db` is 1 standby here: with none `survive: [zone]` is missed; with 2 the cheapest costs 534.11 USD/month; with 4 the cheapest costs 885.04 USD/month"].assert_eq(&told(&app));
    app.objectives.rpo.zone = Some(model::Duration(0));
    expect!["2 534.11: `standbys: auto` of `db` is 2 standbys here: with none `survive: [zone]` is missed; with 1 `rpo: { zone: 0s }` is missed; with 4 the cheapest costs 885.04 USD/month"].assert_eq(&told(&app));
    app.objectives.survive = vec![Scope::Node];
    (app.objectives.survive_nothing, app.objectives.availability) = (true, "99%".parse().ok());
    app.objectives.rpo.zone = None;
    app.objectives.survive.clear();
    expect!["0 188.35: `standbys: auto` of `db` is no standby here: with 1 the cheapest costs 335.71 USD/month; with 2 the cheapest costs 355.62 USD/month; with 4 the cheapest costs 553.63 USD/month"].assert_eq(&told(&app));
    app.placement.providers.clear();
    app.placement.regions.clear();
    expect!["0 0.00: `standbys: auto` of `db` is no standby here: with 1 everything is kept, too; with 2 everything is kept, too; with 4 everything is kept, too"].assert_eq(&told(&app));
}

/// What an objective would have to become is what the planner itself says of the changed file.
#[test]
fn what_would_do_leaves_the_standbys_open_too() {
    let mut app = open(small_shop());
    app.objectives.rpo.zone = Some(model::Duration(0));
    let cost = certified(&app, &options()).unwrap().plan.usd_month;
    app.objectives.budget = Some(Money(cost.0 - 1_000_000));
    let terms = Terms::default();
    let ways = relaxed(&app, &options(), &terms).unwrap().ways;
    assert!(ways.len() >= 2, "{ways:?}");
    for way in ways {
        let (mut changed, mut options, mut terms) = (app.clone(), options(), terms.clone());
        for given in &way.changes {
            given
                .what_if
                .parse::<crate::Change>()
                .unwrap()
                .make(&mut changed, &mut options, &mut terms)
                .unwrap();
        }
        let plan = certified_on(&changed, &options, &terms).unwrap().plan;
        assert!(plan.feasible, "{:?}", plan.missed);
        assert!((plan.usd_month.usd() - way.usd_month).abs() < 1e-6, "{way:?}: {}", plan.usd_month.usd());
    }
}

#[test]
fn a_change_leaves_them_open_or_says_a_number() {
    let changed = |app: &App, text: &str| {
        let (mut app, mut options, mut terms) = (app.clone(), options(), Terms::default());
        text.parse::<crate::Change>().unwrap().make(&mut app, &mut options, &mut terms).unwrap();
        (app.databases[0].auto, app.databases[0].standbys)
    };
    assert_eq!(changed(&small_shop(), "standbys auto"), (true, 2));
    assert_eq!(changed(&open(small_shop()), "standbys db 1"), (false, 1));
    let wrong = "standbys most".parse::<crate::Change>().unwrap_err().to_string();
    expect!["`standbys most`: `most` is wrong; expected a plain number, or `auto`"].assert_eq(&wrong);
}

type Tampering = fn(&mut Value);

const TAMPERED: &[(&str, Tampering)] = &[
    ("another way dropped", |proof| drop(proof["others"].as_array_mut().unwrap().pop())),
    ("all other ways dropped", |proof| proof["others"] = json!([])),
    ("a way twice", |proof| {
        let first = proof["others"][0].clone();
        proof["others"].as_array_mut().unwrap().push(first);
    }),
    ("the plan's own way among the others", |proof| {
        proof["others"][0]["standbys"] = proof["standbys"].clone();
    }),
    ("a number that is not in the space", |proof| proof["others"][0]["standbys"][0]["standbys"] = json!(3)),
    ("the numbers of two ways swapped", |proof| {
        let (own, other) = (proof["standbys"].clone(), proof["others"][1]["standbys"].clone());
        (proof["standbys"], proof["others"][1]["standbys"]) = (other, own);
    }),
    ("another database", |proof| proof["standbys"][0]["database"] = json!("other")),
    ("no number", |proof| proof["standbys"] = json!([])),
    ("a topology of another way dropped", |proof| {
        drop(proof["others"][2]["topologies"].as_array_mut().unwrap().pop());
    }),
    ("bounds of another way raised", |proof| {
        for other in proof["others"].as_array_mut().unwrap() {
            for topology in other["topologies"].as_array_mut().unwrap() {
                if topology["closed"] == "bound" {
                    topology["usd_month"] = json!(topology["usd_month"].as_f64().unwrap() * 1.01 + 1.0);
                }
            }
        }
    }),
    ("another way said to miss what it keeps", |proof| {
        for other in proof["others"].as_array_mut().unwrap() {
            for topology in other["topologies"].as_array_mut().unwrap() {
                let place = ["provider", "region", "zones", "layout", "nat"];
                let kept = place.map(|key| (key.to_owned(), topology[key].clone()));
                let kept = kept.into_iter().filter(|(_, value)| !value.is_null());
                *topology = Value::Object(kept.collect());
                topology["closed"] = json!("zones");
            }
        }
    }),
];

#[test]
fn a_certificate_that_leaves_a_way_out_or_says_too_much_of_one_is_refused() {
    let mut app = open(small_shop());
    app.placement.machines = Some(model::Sharing::Apart);
    let Planned { plan, proof } = certified(&app, &options()).unwrap();
    let stored = to_json(&plan, Some(&proof), 0.0);
    verify(&app, &options(), &stored).unwrap();
    for (what, tamper) in TAMPERED {
        let mut bad = stored.clone();
        let before = bad["certificate"]["proof"].clone();
        tamper(&mut bad["certificate"]["proof"]);
        assert_ne!(before, bad["certificate"]["proof"], "{what} changes nothing");
        assert!(verify(&app, &options(), &bad).is_err(), "{what} was accepted");
    }
    // A plan for a file that says a number is none for one that leaves it open, and the other way round.
    let mut said = app.clone();
    said.databases[0] = plan.databases[0].database.clone();
    assert!(verify(&said, &options(), &stored).is_err());
    let Planned { plan, proof } = certified(&said, &options()).unwrap();
    assert!(verify(&app, &options(), &to_json(&plan, Some(&proof), 0.0)).is_err());
}
