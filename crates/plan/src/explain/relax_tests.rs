use expect_test::{Expect, expect};
use model::{App, Availability, Duration, Money, Scope};

use super::*;
use crate::change::tests::shop_with_a_database;
use crate::search::tests::case;
use crate::tests::{cloud, options, service, shop};
use crate::{Change, Made, certified_on, would_do};

/// The plan that `--what-if` makes of a file, by the whole search.
fn planned(app: &App, options: &Options, changes: &[&str]) -> model::Plan {
    let (mut app, mut options, mut terms) = (app.clone(), options.clone(), Terms::default());
    for text in changes {
        text.parse::<Change>().unwrap().make(&mut app, &mut options, &mut terms).unwrap();
    }
    certified_on(&app, &options, &terms).unwrap().plan
}

/// One written step tighter; `None`: that is what the file says.
fn tighter(given: &Given, usd_month: f64) -> Option<String> {
    let becomes = given.becomes.as_deref();
    Some(match (given.objective.as_str(), becomes) {
        ("budget", _) => {
            let cents = (Money::from_usd(usd_month).0 as u64).div_ceil(10_000) - 1;
            format!("budget {}.{:02}", cents / 100, cents % 100)
        }
        ("availability", Some(percent)) => {
            let down = percent.parse::<Availability>().unwrap().unavailability;
            let exponent = down.log10().floor();
            let digits = (down / 10_f64.powf(exponent - 1.0)).round();
            let down = (digits - if digits == 10.0 { 0.1 } else { 1.0 }) * 10_f64.powf(exponent - 1.0);
            format!("availability {:.12}%", 100.0 - 100.0 * down)
        }
        ("availability", None) => "availability 1%".to_owned(),
        ("survive", Some("[]")) => "survive node".to_owned(),
        ("survive", Some("[node]")) => "survive zone".to_owned(),
        ("survive", _) => return None,
        (count @ ("scale.max" | "standbys" | "replicas" | "zones"), Some(most)) => {
            let of = given.of.as_deref().unwrap_or_default();
            format!("{count} {of} {}", most.parse::<u32>().unwrap() - 1)
        }
        (recovery, value) => {
            let value = value.map_or(Duration(u64::from(u32::MAX)), |value| {
                Duration(value.parse::<Duration>().unwrap().0 - 1)
            });
            format!("{} {}ms", recovery.replace('.', " "), value.0)
        }
    })
}

/// Each relaxation fits at its price, and with less in any part of it nothing does.
fn each_is_the_least(app: &App, options: &Options, name: &str) -> Vec<Relaxation> {
    let found = relaxed(app, options, &Terms::default()).unwrap();
    assert!(!found.cut, "{name}");
    let all = found.ways;
    for one in &all {
        let changes: Vec<&str> = one.changes.iter().map(|given| given.what_if.as_str()).collect();
        let plan = planned(app, options, &changes);
        assert!(plan.feasible, "{name}: {changes:?}: {:?}", plan.missed);
        assert!(one.exact, "{name}: {changes:?}");
        assert!((plan.usd_month.usd() - one.usd_month).abs() < 1e-9, "{name}: {one:?}: {}", plan.usd_month);
        let down = plan.availability.unavailability;
        assert!((down / one.unavailability - 1.0).abs() < 1e-6, "{name}: {one:?}: {down:e}");
        for at in 0..changes.len() {
            let (mut others, left_out) = (changes.clone(), changes[at]);
            others.remove(at);
            let needed = !planned(app, options, &others).feasible;
            assert!(needed, "{name}: {left_out} is not needed, others do: {one:?}");
            let Some(less) = tighter(&one.changes[at], one.usd_month) else { continue };
            let mut changes = changes.clone();
            changes[at] = &less;
            let plan = planned(app, options, &changes);
            assert!(!plan.feasible, "{name}: {changes:?} would do, too, beside {one:?}");
        }
    }
    all
}

/// What is not named does not do, however much it gives.
fn nothing_is_left_out(app: &App, options: &Options, all: &[Relaxation], name: &str) {
    let alone: Vec<&str> = all
        .iter()
        .filter(|one| one.changes.len() == 1)
        .map(|one| one.changes[0].what_if.rsplit_once(' ').unwrap().0)
        .collect();
    let scales = app.services.iter().map(|service| format!("scale.max {} 1000", service.name));
    let texts = ["availability none", "budget none", "survive nothing", "rto node none", "rto zone none"];
    let texts = texts.into_iter().chain(["rpo node none", "rpo zone none"]).map(str::to_owned);
    let more = (1..3).flat_map(|count| {
        let standbys = app.databases.iter().filter(move |database| database.standbys < count);
        let standbys = standbys.map(move |database| format!("standbys {} {count}", database.name));
        let zones = (app.placement.zones <= count).then(|| format!("zones {}", count + 1));
        standbys.chain(zones)
    });
    let bare = app.caches.iter().filter(|cache| cache.is_needed() && cache.replicas == 0);
    let more = more.chain(bare.map(|cache| format!("replicas {} 1", cache.name)));
    for text in texts.chain(scales).chain(more) {
        let named = alone.contains(&text.rsplit_once(' ').unwrap().0);
        assert!(named || !planned(app, options, &[&text]).feasible, "{name}: {text} would do, too");
    }
}

#[test]
fn each_relaxation_is_the_least_that_does_and_none_is_left_out() {
    let (mut infeasible, mut alone, mut together, mut kinds) = (0, 0, 0, std::collections::BTreeMap::new());
    for seed in 0..40 {
        let plain = case(seed);
        let options = Options { catalog: plain.catalog, provider: None };
        let Ok(plan) = crate::plan(&plain.app, &options) else { continue };
        let usd = plan.usd_month.usd();
        let mut variants = vec![("plain", plain.app.clone())];
        let mut vary = |name: &'static str, change: &dyn Fn(&mut App)| {
            let mut app = plain.app.clone();
            change(&mut app);
            variants.push((name, app));
        };
        vary("too dear", &|app| app.objectives.budget = Some(Money::from_usd(usd * 0.9)));
        vary("far too dear and too available", &|app| {
            app.objectives.budget = Some(Money::from_usd(usd * 0.1));
            app.objectives.availability = "99.9999%".parse().ok();
        });
        vary("too small", &|app| {
            app.services.iter_mut().for_each(|service| service.scale.max = service.scale.min);
            app.objectives.budget = (seed % 2 == 0).then_some(Money::from_usd(usd * 1.05));
        });
        vary("too quick", &|app| {
            app.objectives.rto.node = Some(Duration(1_000));
            app.objectives.rpo.zone = Some(Duration(0));
            app.objectives.survive = vec![Scope::Zone, Scope::Node];
        });
        vary("elsewhere", &|app| app.objectives.survive.push(Scope::Region));
        for (name, app) in variants {
            let name = format!("seed {seed}, {name}");
            let Ok(plan) = crate::plan(&app, &options) else { continue };
            let all = each_is_the_least(&app, &options, &name);
            assert_eq!(plan.feasible, all.is_empty(), "{name}: {:?}", plan.missed);
            if plan.feasible {
                continue;
            }
            nothing_is_left_out(&app, &options, &all, &name);
            infeasible += 1;
            let one = all.iter().all(|one| one.changes.len() == 1);
            (alone, together) = (alone + u32::from(one), together + u32::from(!one));
            for given in all.iter().flat_map(|one| &one.changes) {
                *kinds.entry(given.objective.clone()).or_insert(0) += 1;
            }
        }
    }
    assert!(infeasible > 100 && alone > 50 && together > 20, "{infeasible} {alone} {together} {kinds:?}");
    assert!(kinds.len() >= 9, "{kinds:?}");
}

#[track_caller]
fn check(app: &App, expect: Expect) {
    let plan = crate::plan(app, &options()).unwrap();
    let all = relaxed(app, &options(), &Terms::default()).unwrap();
    expect.assert_eq(&would_do(&all, &plan, &Made::default(), 100));
}

#[test]
fn what_would_do_reads_well() {
    let with = |app: App, change: &dyn Fn(&mut App)| {
        let mut app = app;
        change(&mut app);
        app
    };
    let budget = |usd: f64| Some(Money::from_usd(usd));
    check(
        &with(cloud(), &|app| app.objectives.budget = budget(240.0)),
        expect![[r#"

            what would do, each alone
              - `availability: 99.89%` instead of 99.950% (214.99 USD/month, 99.949%)
              - `budget: 299 USD/month` instead of 240.00 USD/month (298.97 USD/month, 99.983%)
              - `--what-if "availability 99.89%"` shows what changes with the first of these
        "#]],
    );
    check(
        &with(cloud(), &|app| app.objectives.availability = "99.99%".parse().ok()),
        expect![[r#"

            what would do, each alone
              - `availability: 99.983%` instead of 99.990% (298.97 USD/month, 99.983%)
              - `--what-if "availability 99.983%"` shows what changes with this
        "#]],
    );
    check(
        &with(shop(), &|app| app.services[0].scale.max = 4),
        expect![[r#"

        what would do, each alone
          - `availability: 99.89%` instead of 99.950% (99.974%)
          - `survive: [node]` instead of [zone], which 99.9% and more mean when it is left out (99.974%)
          - `scale.max: 5` of `web` instead of 4 (99.983%)
          - `--what-if "availability 99.89%"` shows what changes with the first of these
    "#]],
    );
    check(
        &with(shop_with_a_database(), &|app| {
            app.objectives.rto.zone = Some(Duration(1_000));
        }),
        expect![[r#"

            what would do, each alone
              - `rto: { zone: 2s }` instead of 1s (738.55 USD/month, 99.983%)
              - `--what-if "rto zone 2s"` shows what changes with this
        "#]],
    );
    check(
        &with(shop_with_a_database(), &|app| {
            app.databases[0].standbys = 1;
            app.objectives.survive = vec![];
            app.objectives.rpo.node = Some(Duration(0));
        }),
        expect![[r#"

            what would do, each alone
              - `rpo: { node: 8s }` instead of 0s (589.59 USD/month, 99.983%)
              - `standbys: 2` of `db` instead of 1 (738.55 USD/month, 99.983%)
              - `--what-if "rpo node 8s"` shows what changes with the first of these
        "#]],
    );
    check(
        &with(cloud(), &|app| {
            app.objectives.availability = "99.9999%".parse().ok();
            app.objectives.budget = budget(100.0);
        }),
        expect![[r#"

            what would do together, as nothing does alone
              - `availability: 99.983%` instead of 99.99990%, and `budget: 299 USD/month` instead of 100.00
                USD/month (298.97 USD/month, 99.983%)
              - `--what-if "availability 99.983%, budget 299"` shows what changes with this
        "#]],
    );
    check(
        &with(cloud(), &|app| {
            app.services.push(service("api", 100.0));
            app.services.iter_mut().for_each(|service| service.scale.max = 1);
            app.objectives.budget = budget(50.0);
        }),
        expect![[r#"

            what would do together, as nothing does alone
              - `budget: 627 USD/month` instead of 50.00 USD/month, and `scale.max: 3` of `web` instead of 1,
                and `scale.max: 2` of `api` instead of 1 (626.07 USD/month, 99.983%)
              - `availability: 99.89%` instead of 99.950%, and `budget: 245 USD/month` instead of 50.00
                USD/month, and `scale.max: 2` of `web` instead of 1 (244.56 USD/month, 99.949%)
              - `--what-if "budget 627, scale.max web 3, scale.max api 2"` shows what changes with the first of
                these
        "#]],
    );
    // Nothing is missed, and nothing is said.
    check(&cloud(), expect![[""]]);
}

#[test]
fn what_was_not_tried_to_the_end_is_told_as_such() {
    let mut app = cloud();
    app.objectives.availability = "99.99%".parse().ok();
    let (options, terms) = (options(), Terms::default());
    let ground = Ground::new(&app, &options, &terms).unwrap();
    let space = ground.space().unwrap();
    let mut trials = Trials { left: 2, ..Trials::new(&ground, &space) };
    let asked = Asked { app: app.clone(), terms };
    let found = trials.tightest(&Objective::Availability, &asked).unwrap().unwrap();
    assert!(!found.sure && trials.cut);
    let given = Objective::Availability.given(&asked, &found.rung);
    let cut = Relaxed { ways: vec![Relaxation::of(vec![given], &found.fit, found.sure)], cut: trials.cut };
    let told = would_do(&cut, &crate::plan(&app, &options).unwrap(), &Made::default(), 200);
    assert!(told.contains("; less may do\n") && told.contains("not everything was tried"), "{told}");
}

/// Of so many it is told what one plan takes, which does and need not be the least.
#[test]
fn many_that_have_to_give_together_are_told_from_one_plan() {
    let mut app = cloud();
    app.services =
        (0..30).map(|index| service(&format!("s{index}"), 400.0 + 10.0 * f64::from(index))).collect();
    app.services.iter_mut().for_each(|service| service.scale.max = 2);
    let found = relaxed(&app, &options(), &Terms::default()).unwrap();
    assert!(!found.ways.is_empty() && !found.cut, "{found:?}");
    for way in &found.ways {
        assert!(way.changes.len() > 25 && !way.exact, "{way:?}");
        let changes: Vec<&str> = way.changes.iter().map(|given| given.what_if.as_str()).collect();
        let plan = planned(&app, &options(), &changes);
        assert!(plan.feasible && (plan.usd_month.usd() - way.usd_month).abs() < 1e-9, "{:?}", plan.missed);
    }
}
