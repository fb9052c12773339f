use plan::chance::{Common, Machines};

use super::*;
use crate::wire::years::Verdict;

fn outage(per_year: f64, hours: f64) -> Outage {
    Outage { per_year, hours }
}

/// Three zones that fail so often that some hundred years say something.
fn harsh(host: Option<Outage>, fleets: Vec<Fleet>) -> Application {
    let pools = vec![Common { name: "spot".to_owned(), outage: outage(1.0, 1.0) }];
    Application {
        zones: 3,
        zone: outage(8.0, 12.0),
        host,
        groups: Vec::new(),
        fleets,
        pools,
        shared: Vec::new(),
    }
}

fn spread(name: &str, needed: u32, counts: &[u32]) -> Fleet {
    Fleet::spread(name, needed, counts, outage(12.0, 3.0))
}

#[test]
fn services_that_are_alike_are_played_once_and_others_say_why_not() {
    let mut spot = spread("spot", 2, &[1, 1, 1]);
    spot.machines[0].pool = Some(0);
    let many = spread("many", 2, &[50, 50, 50]);
    let fleets =
        vec![spread("web", 4, &[2, 2, 2]), spot, spread("api", 4, &[2, 2, 2]), many, spread("one", 1, &[1])];
    let (found, not) = placements(&harsh(None, fleets));
    let names: Vec<_> = found.iter().map(|case| (case.names.join(" "), case.roomy)).collect();
    assert_eq!(names, [("web api".to_owned(), false), ("one".to_owned(), true)]);
    assert_eq!(found[1].service.rooms, [[1], [1], [1]]);
    let on = |(zone, count)| Machines { zone, count, carries: 2, pool: None };
    let uneven = Fleet { machines: [(0, 2), (1, 2), (2, 1)].map(on).into(), ..spread("web", 4, &[1]) };
    let (uneven, _) = placements(&harsh(None, vec![uneven]));
    assert_eq!(uneven[0].service.rooms, [vec![2, 2], vec![2, 2], vec![4]], "no machine that is not bought");
    let says = [
        "`spot` by the rules that place it: it has spot",
        "`many` by the rules that place it: the number of",
    ];
    assert_eq!(not.len(), says.len());
    for (sentence, says) in not.iter().zip(says) {
        assert!(sentence.starts_with(says), "{sentence}");
    }
}

/// With one machine a zone all replicas of the zone are on it, whatever the plan calls machines of the service.
#[test]
fn what_is_played_is_held_against_the_model_and_one_that_is_off_is_seen() {
    let on = |zone| Machines { zone, count: 1, carries: 2, pool: None };
    // What fails is the machine of the zone.
    let machine = outage(0.0, 0.0);
    let fleet = Fleet { machines: (0..3).map(on).collect(), machine, ..spread("web", 4, &[2]) };
    let case = placements(&harsh(Some(outage(12.0, 3.0)), vec![fleet])).0.remove(0);
    let played = case.service.run(5, 150).unwrap();
    let verdict = |case: &Placement| case.judge(&played).unwrap().verdict;
    assert_eq!(verdict(&case), Verdict::Agree);
    let mut off = case.clone();
    off.model.zone.hours *= 2.0;
    assert_eq!(verdict(&off), Verdict::Disagree);
    off.roomy = true;
    assert_eq!(verdict(&off), Verdict::Safe, "a bound may be too high");
    off.model.zone.hours /= 100.0;
    assert_eq!(verdict(&off), Verdict::Disagree, "and not too low");
    let both = Fleet { machine: outage(1.0, 1.0), ..case.model.fleets[0].clone() };
    let (none, not) = placements(&Application { fleets: vec![both], ..case.model.clone() });
    assert!(none.is_empty() && not[0].contains("fail beside"), "{not:?}");
    let brief = case.service.run(5, 1).unwrap();
    assert!(matches!(case.judge(&brief).unwrap().verdict, Verdict::TooFew(_)));
}
