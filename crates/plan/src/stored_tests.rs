use model::{App, Database, DatabaseName, WhenAlone};
use serde_json::{Value, json};

use super::*;
use crate::tests::{cloud, few, shop};
use crate::{Options, certified, to_json};

fn with_database(mut app: App) -> App {
    app.databases = vec![Database {
        name: DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: "10G".parse().unwrap(),
        standbys: 2,
        auto: false,
        managed: model::Managed::No,
        witness: false,
        writes: None,
        when_alone: WhenAlone::Block,
    }];
    app
}

fn planned(app: &App) -> Planned {
    certified(app, &Options { catalog: few().clone(), provider: None }).unwrap()
}

fn stored(planned: &Planned) -> Value {
    let text = to_json(&planned.plan, Some(&planned.proof), 1.0).to_string();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_plan_is_the_same_to_play_when_it_was_stored() {
    for app in [shop(), with_database(shop()), with_database(cloud())] {
        let planned = planned(&app);
        let playable = Playable::of(&planned).unwrap();
        assert_eq!(Playable::read(&stored(&planned)), Ok(playable.clone()));
        assert_eq!(playable.answer.total.get(), planned.plan.availability.unavailability);
        let causes: Vec<&str> = planned.plan.causes.iter().map(|cause| cause.name.as_str()).collect();
        let own: Vec<String> = playable.answer.causes.iter().map(|(c, _)| playable.model.cause(c)).collect();
        assert_eq!(causes, own);
    }
}

#[test]
fn a_service_that_is_never_up_is_nothing_to_play() {
    let mut app = shop();
    app.services[0].scale.max = 1;
    let planned = planned(&app);
    assert_eq!(Playable::of(&planned), Err(StoredError::NeverUp));
    assert_eq!(Playable::read(&stored(&planned)), Err(StoredError::NeverUp));
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), says: &str) {
    let mut stored = stored(&planned(&with_database(shop())));
    change(&mut stored);
    let error = Playable::read(&stored).unwrap_err().to_string();
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn what_is_no_plan_or_was_changed_says_where() {
    check(|plan| *plan = json!([1]), "it is no JSON object");
    check(|plan| *plan = json!({}), "it is no plan: it has no `kind`");
    check(|plan| plan["kind"] = "ver\u{1b}dict".into(), "it is a `ver?dict`, no plan");
    check(|plan| plan["format_version"] = 2.into(), "its `format_version` is 2, and this evenkeel reads 1");
    check(|plan| plan["format_version"] = "1".into(), "format_version: it must be 1");
    check(|plan| plan["unavailability"] = Value::Null, "unavailability: it must be a number");
    check(|plan| plan["region"] = 1.into(), "region: it must be a text");
    check(|plan| plan["certificate"]["proof"] = Value::Null, "it has no model at `certificate.proof.model`");
    check(|plan| plan["certificate"]["proof"]["model"] = Value::Null, "it has no model");
    check(|plan| plan["certificate"]["proof"]["model"]["zones"] = 300.into(), "certificate.proof.model: inv");
    let model = |place: &'static str, value: f64| {
        move |plan: &mut Value| {
            *plan["certificate"]["proof"]["model"].pointer_mut(place).unwrap() = value.into()
        }
    };
    check(model("/zone/per_year", -1.0), "`certificate.proof.model`: how often a zone fails is -1/year");
    check(model("/zone/per_year", 0.3), "it states an unavailability of ");
    let kind = "/fleets/0/machines/0";
    let huge = json!({ "zone": 0, "count": u32::MAX, "carries": u32::MAX, "pool": null });
    check(
        |plan| {
            *plan["certificate"]["proof"]["model"].pointer_mut(kind).unwrap() = huge.clone();
            plan["certificate"]["proof"]["model"]["fleets"][0]["machines"][1] = huge;
        },
        "`certificate.proof.model`: the size of `web` is",
    );
}

#[test]
fn names_cannot_paint_a_terminal() {
    let mut stored = stored(&planned(&with_database(shop())));
    stored["certificate"]["proof"]["model"]["groups"][0]["name"] = "d\u{1b}[31mb\n".into();
    assert_eq!(Playable::read(&stored).unwrap().model.groups[0].name, "d?[31mb?");
}
