use plan::chance::{Fleet, simulate};

use super::*;

fn outage(per_year: f64, hours: f64) -> Outage {
    Outage { per_year, hours }
}

fn takeover(seconds: f64) -> Takeover {
    Takeover { seconds, stages: 3 }
}

/// Fails so often that some hundred years say something.
fn harsh(groups: Vec<Group>) -> Application {
    Application {
        zones: 3,
        zone: outage(4.0, 6.0),
        host: None,
        groups,
        fleets: vec![Fleet::spread("web", 2, &[1, 1, 1], outage(12.0, 3.0))],
        pools: Vec::new(),
        shared: vec![plan::chance::Common { name: "bad deploys".into(), outage: outage(4.0, 0.1) }],
    }
}

fn quorum(name: &str, nodes: u8, witnesses: u8) -> Group {
    Group::quorum(name, nodes, witnesses, outage(12.0, 3.0), takeover(2.0))
}

#[test]
fn what_is_played_is_what_was_planned() {
    let app = harsh(vec![quorum("db", 3, 1)]);
    let (cases, not) = cases(&app);
    assert_eq!(not, [""; 0]);
    let failing = |per_year, hours| Failing { per_year, hours };
    let simulation = Simulation {
        zones: 3,
        zone: failing(4.0, 6.0),
        nodes: 3,
        witness: true,
        node: failing(12.0, 3.0),
        pace: Pace::default(),
    };
    assert_eq!(cases[0].simulation, simulation);
    let Application { fleets, pools, shared, groups, .. } = &cases[0].model;
    assert!(fleets.is_empty() && pools.is_empty() && shared.is_empty() && *groups == app.groups);
}

/// Node `i` stands in zone `i % zones`: more zones than nodes are empty, and fewer are shared.
#[test]
fn zones_without_a_node_are_left_out_and_shared_ones_are_kept() {
    for (zones, nodes, played) in [(9, 5, 5), (9, 3, 3), (2, 3, 2), (1, 3, 1), (4, 5, 4)] {
        let app = Application { zones, ..harsh(vec![quorum("db", nodes, 0)]) };
        let case = cases(&app).0.remove(0);
        assert_eq!((case.simulation.zones, case.model.zones), (played, played));
        let whole = Application { fleets: Vec::new(), shared: Vec::new(), ..app };
        let (whole, part) = (whole.availability().unwrap().total, case.model.availability().unwrap().total);
        assert!((whole.get() / part.get() - 1.0).abs() < 1e-9, "{zones} {nodes}");
    }
}

#[test]
fn databases_that_are_alike_are_played_once_and_others_say_why_not() {
    let other = Group::quorum("big", 5, 0, outage(12.0, 3.0), takeover(2.0));
    let strange = Group { needed: 2, ..quorum("strange", 5, 0) };
    let fleeting = Group { node: outage(1.0, 1e-6), ..quorum("fleeting", 3, 0) };
    let lease = Group::copies("lease", 2, outage(1.0, 1.0), takeover(10.0));
    let single = Group::single("single", outage(1.0, 1.0));
    let groups = vec![quorum("db", 3, 0), lease, quorum("log", 3, 0), other, single, strange, fleeting];
    let (cases, not) = cases(&harsh(groups));
    let names: Vec<_> = cases.iter().map(|case| case.names.join(" ")).collect();
    assert_eq!(names, ["db log", "big"]);
    let says = ["`lease` by its keepers' rules: it has a lease", "`single`", "`strange`", "`fleeting`"];
    assert_eq!(not.len(), says.len());
    for (sentence, says) in not.iter().zip(says) {
        assert!(sentence.starts_with(says), "{sentence}");
    }
    assert!(not[3].contains("0.001 h"), "{}", not[3]);
    assert_eq!(
        beyond(&harsh(Vec::new())).unwrap(),
        "what nobody decides about: bad deploys; the model alone has them"
    );
}

/// Plays `years` of a case, as the command does.
fn outcome(case: &Case, years: u32) -> Outcome {
    let played = case.simulation.run(5, years).unwrap();
    let same = case.with(&played);
    let answer = same.availability().unwrap();
    let reference = simulate(&same, 6, years * 10, &[Case::wait_hours(&same)]).unwrap();
    case.judge(&played, &answer, &reference).unwrap()
}

fn case(group: Group) -> Case {
    cases(&harsh(vec![group])).0.remove(0)
}

#[test]
fn the_rules_and_the_model_agree_and_a_model_that_is_off_does_not() {
    for witnesses in [0, 1] {
        let outcome = outcome(&case(quorum("db", 3, witnesses)), 300);
        assert_eq!(outcome.compared.verdict, Verdict::Agree, "{outcome:?}");
        let takeovers = outcome.takeovers.unwrap();
        assert!(takeovers.count > 1_000 && !takeovers.is_slow(), "{takeovers:?}");
        let ordered = [takeovers.p50, takeovers.p90, takeovers.p99, takeovers.longest];
        assert!(ordered.is_sorted() && (1.0..2.0).contains(&takeovers.mean), "{takeovers:?}");
        assert!(outcome.as_planned > outcome.compared.computed, "takeovers are quicker than planned");
    }
    let mut off = case(quorum("db", 3, 0));
    off.simulation.node.hours *= 3.0;
    let outcome = outcome(&off, 300);
    assert_eq!(outcome.compared.verdict, Verdict::Disagree, "{outcome:?}");
}

#[test]
fn takeovers_that_take_longer_than_planned_are_noticed() {
    let hasty = Group { takeover: Some(takeover(1.0)), ..quorum("db", 3, 0) };
    assert!(outcome(&case(hasty), 100).takeovers.unwrap().is_slow());
}

/// The model waits for three of five; the keepers let the quorum follow who is there.
#[test]
fn five_nodes_do_better_than_the_model_and_that_is_no_contradiction() {
    let outcome = outcome(&case(quorum("db", 5, 0)), 300);
    assert!(outcome.compared.played < outcome.compared.computed, "{outcome:?}");
    assert_ne!(outcome.compared.verdict, Verdict::Disagree, "{outcome:?}");
}

#[test]
fn few_waits_say_nothing_and_how_many_years_would() {
    let calm = Group { node: outage(4.0, 0.5), ..quorum("db", 3, 0) };
    let app = Application { zone: outage(0.2, 4.0), ..harsh(vec![calm]) };
    let outcome = outcome(&cases(&app).0.remove(0), 500);
    let Verdict::TooFew(years) = outcome.compared.verdict else { panic!("{outcome:?}") };
    // Two of three are lost together 0.008 times a year: twice 1.56e-7 and 1.25e-7 of the time, for a quarter and half an
    // hour.
    assert!((2_000.0..8_000.0).contains(&years), "{years}");
    assert_eq!(outcome.compared.sigmas(), None);
}

#[test]
fn four_deviations_are_the_limit_and_a_bound_may_be_beaten() {
    let verdict = |played, bound| Compared::new(100.0, played, 1.0, bound).verdict;
    assert_eq!([verdict(103.9, false), verdict(96.1, false)], [Verdict::Agree; 2]);
    assert_eq!([verdict(104.1, false), verdict(95.9, false)], [Verdict::Disagree; 2]);
    assert_eq!([verdict(104.1, true), verdict(95.9, true)], [Verdict::Disagree, Verdict::Safe]);
    assert_eq!(Compared::new(0.0, 0.0, 0.0, false).sigmas(), Some(0.0));
    assert_eq!(Compared::new(0.0, 1e-9, 0.0, false).verdict, Verdict::Disagree);
}

#[test]
fn the_models_years_are_held_against_its_answer_and_a_few_are_not() {
    let app = harsh(vec![quorum("db", 3, 0)]);
    let answer = app.availability().unwrap();
    let verdict = |years| compare(&app, &answer, &simulate(&app, 1, years, &[]).unwrap()).verdict;
    assert_eq!(verdict(5_000), Verdict::Agree);
    let Verdict::TooFew(needed) = verdict(1) else { panic!("one year cannot tell") };
    assert!((20.0..1_000.0).contains(&needed), "{needed}");
    let mut worse = app.clone();
    worse.fleets[0].machine.per_year *= 1.2;
    let played = simulate(&worse, 1, 5_000, &[]).unwrap();
    assert_eq!(compare(&app, &answer, &played).verdict, Verdict::Disagree);
}

/// The guard asks for enough: with as few years as it lets pass, a chance result is not called a contradiction.
#[test]
fn no_seed_of_the_fewest_years_contradicts_a_model_that_is_right() {
    let rare = plan::chance::Common { name: "region".into(), outage: outage(0.1, 5.0) };
    let mut app = harsh(vec![Group { node: outage(4.0, 0.5), ..quorum("db", 3, 0) }]);
    app.zone = outage(0.2, 4.0);
    app.fleets.clear();
    app.shared.push(rare);
    let answer = app.availability().unwrap();
    let years = Expected::of(&app, &answer).years.ceil() as u32;
    for seed in 0..400 {
        let played = simulate(&app, seed, years, &[]).unwrap();
        assert_eq!(compare(&app, &answer, &played).verdict, Verdict::Agree, "seed {seed}, {years} years");
    }
}
