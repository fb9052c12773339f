use super::super::whole::tests::{golden, random};
use super::super::{Common, Counting, Exactness, Outage, Outages, Takeover, Trigger};
use super::*;

/// Hours of the lengths that are compared.
const LENGTHS: [f64; 2] = [60.0 / 3_600.0, 1.0];

#[track_caller]
fn within_four_deviations(what: &str, seen: f64, deviation: f64, exact: f64) {
    // Where next to nothing was seen the spread says little: then as of so many rare events.
    let distance = (seen - exact).abs() / deviation.max(1e-300);
    assert!(distance <= 4.0, "{what}: {seen:e} was played, {exact:e} computed: {distance:.1} deviations");
}

#[track_caller]
fn check(name: &str, app: &Application, seed: u64, years: u32, outages: bool) {
    let answer = app.availability().unwrap();
    assert!(matches!(answer.exactness, Exactness::Exact { .. }), "{name}");
    let played = simulate(app, seed, years, &LENGTHS).unwrap();
    within_four_deviations(name, played.unavailability, played.deviation, answer.total.get());
    if !outages {
        return;
    }
    let outages = Outages::new(app).unwrap();
    let Counting::Exact { states } = outages.counting else { return };
    let counted = f64::from(years);
    let of = |hours| outages.longer(hours).unwrap().per_year * counted;
    within_four_deviations(name, played.outages as f64, played.deviations[0], of(0.0));
    // An outage that a common cause prolongs is longer than either: that is left out of lengths, so they are compared
    // where nothing takes the whole down at once.
    if app.shared.is_empty() && states < 4_000 {
        for (index, hours) in LENGTHS.into_iter().enumerate() {
            let seen = played.longer[index] as f64;
            let deviation = played.deviations[index + 1].max(of(hours).sqrt());
            within_four_deviations(name, seen, deviation, of(hours));
        }
    }
}

#[test]
fn playing_agrees_with_the_exact_answer_on_many_architectures() {
    for seed in 0..60 {
        check(&format!("seed {seed}"), &random(seed), 1_000 + seed, 20_000, seed % 3 == 0);
    }
}

#[test]
fn playing_agrees_with_the_golden_values() {
    for (index, app) in [
        golden(1, 1, 1, &[3], 2),
        golden(2, 2, 1, &[2, 2], 2),
        golden(3, 2, 2, &[2, 2, 2], 4),
        golden(3, 2, 2, &[2, 2, 2], 5),
    ]
    .into_iter()
    .enumerate()
    {
        check(&format!("golden {index}"), &app, index as u64, 30_000, true);
        let alone = Application { shared: vec![], ..app };
        check(&format!("golden {index} alone"), &alone, index as u64, 30_000, true);
    }
}

/// What would be seen if the comparison could not go red.
#[test]
fn a_model_that_is_a_little_off_is_noticed() {
    let mut app = golden(3, 2, 2, &[2, 2, 2], 4);
    app.shared.clear();
    let exact = app.availability().unwrap().application.get();
    app.groups[0].takeover = Some(Takeover { seconds: 38.0, stages: 1 });
    let played = simulate(&app, 3, 60_000, &[]).unwrap();
    assert!((played.unavailability - exact).abs() > 4.0 * played.deviation, "{played:?} {exact}");
}

#[test]
fn regular_takeovers_are_played_as_they_are_computed() {
    for stages in [1, 3, 64] {
        let mut app = golden(3, 2, 2, &[], 0);
        app.shared.clear();
        app.groups[0].takeover = Some(Takeover { seconds: 50.0, stages });
        app.groups[1].takeover = Some(Takeover { seconds: 15.0, stages: 3 });
        check(&format!("{stages} stages"), &app, 9, 50_000, true);
    }
}

#[test]
fn a_seed_repeats_and_bad_input_is_refused() {
    let app = golden(2, 2, 1, &[2, 2], 2);
    let play = |seed| simulate(&app, seed, 1_000, &LENGTHS).unwrap();
    assert_eq!(play(5), play(5));
    assert_ne!(play(5).events, play(6).events);
    assert!(simulate(&app, 1, 0, &[]).is_err() && simulate(&app, 1, 1, &[f64::NAN]).is_err());
    let mut huge = app.clone();
    huge.fleets[0].machines[0].count = 9_990;
    assert!(simulate(&huge, 1, 1, &[]).is_ok());
    let never = Outage { per_year: 0.0, hours: 0.0 };
    let mut calm = app.clone();
    calm.shared = vec![Common { name: "x".into(), outage: never }];
    (calm.zone, calm.groups[0].node, calm.groups[1].node, calm.fleets[0].machine) =
        (never, never, never, never);
    let played = simulate(&calm, 1, 1_000, &[]).unwrap();
    assert_eq!((played.events, played.outages, played.unavailability), (0, 0, 0.0));
    let outages = Outages::new(&calm).unwrap();
    assert_eq!(outages.longer_after(|trigger| trigger == Trigger::Zone, 0.0).unwrap().per_year, 0.0);
}

#[test]
fn what_was_played_is_blamed_as_what_is_computed() {
    let mut apps: Vec<Application> = (0..12).map(random).collect();
    apps.push(golden(3, 2, 2, &[2, 2, 2], 5));
    for (index, app) in apps.iter().enumerate() {
        let answer = app.availability().unwrap();
        let played = simulate(app, 70 + index as u64, 20_000, &[]).unwrap();
        let sum: f64 = played.causes.iter().map(|(_, share, _)| share.get()).sum();
        assert!((sum / played.unavailability - 1.0).abs() < 1e-9, "{index}: {sum} is not the whole");
        for (cause, share, deviation) in &played.causes {
            let exact = answer.causes.iter().find(|(other, _)| other == cause);
            let exact = exact.map_or(0.0, |(_, share)| share.get());
            // Seen seldom: the spread says too little.
            if share.get() > 0.0 && deviation / share.get() < 0.1 {
                within_four_deviations(&format!("{index} {cause:?}"), share.get(), *deviation, exact);
            } else {
                assert!((share.get() - exact).abs() < 0.01 * answer.total.get(), "{index} {cause:?}");
            }
        }
        let known = |cause| played.causes.iter().any(|(other, _, _)| other == cause);
        assert!(answer.causes.iter().all(|(cause, _)| known(cause)), "{index}");
    }
}

#[test]
fn a_run_in_steps_is_the_same_run_and_says_how_far_it_is() {
    let app = golden(3, 2, 2, &[2, 2, 2], 4);
    for years in [1, 3, 250, 30_001] {
        let mut playing = Playing::new(&app, 4, years, &LENGTHS).unwrap();
        assert_eq!(playing.years(), 0);
        let mut last = 0;
        while playing.step() {
            assert!((last + 1..=last + 100).contains(&playing.years()), "{} after {last}", playing.years());
            last = playing.years();
        }
        assert_eq!((playing.years(), playing.seen().years), (years, years));
        assert_eq!(playing.seen(), simulate(&app, 4, years, &LENGTHS).unwrap());
    }
}
