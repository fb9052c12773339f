use std::collections::BTreeSet;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::wire::fixture::picture;

const RUNS: &str = "plan 1; agent a; agent b; unit web-1 in a; unit web-2 in b; unit web-3 in b; \
    front a serves 9; front b serves 9; front c serves 9";

/// What `evenkeel drill` with these words breaks.
fn chosen(story: &str, words: &str) -> Result<String, String> {
    let words = ["evenkeel", "drill"].into_iter().chain(words.split_whitespace());
    let Command::Drill(args) = Cli::try_parse_from(words).unwrap().command else { panic!("no drill") };
    match choose(&args, &picture(story), target(args.fault)) {
        Ok(Victim::Zone(zone)) => Ok(format!("zone {zone}")),
        Ok(Victim::Unit(unit, zone)) => Ok(format!("{unit} in {zone}")),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn check(words: &str, expected: &str) {
    assert_eq!(chosen(RUNS, words).unwrap_or_else(|error| error), expected, "{words}");
}

#[test]
fn what_was_named_is_broken_and_nothing_else() {
    check("zone b", "zone b");
    check("process web-2", "web-2 in b");
    check("front edge-a", "edge-a in a");
    check("zone c", "there is no zone `c`");
    check("zone web-1", "there is no zone `web-1`");
    check("process edge-a", "there is no process `edge-a`");
    check("process web", "there is no process `web`");
    check("front a", "there is no front `a`");
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    let words = Cli::try_parse_from(["evenkeel", "drill", "process", "web-9"]).unwrap();
    let Command::Drill(args) = words.command else { panic!("no drill") };
    let error = choose(&args, &picture(RUNS), FaultTarget::Process).unwrap_err();
    let hinted = error.downcast_ref::<crate::exit::Hinted>().unwrap();
    assert_eq!(hinted.hint, "there are: web-1, web-2, web-3");
}

#[test]
fn the_same_seed_breaks_the_same_and_every_one_has_its_seed() {
    let by_seed = |seed: u64| chosen(RUNS, &format!("process --seed {seed}")).unwrap();
    assert!((0..50).all(|seed| by_seed(seed) == by_seed(seed)));
    let reached: BTreeSet<String> = (0..50).map(by_seed).collect();
    assert_eq!(reached, ["web-1 in a", "web-2 in b", "web-3 in b"].map(str::to_owned).into());
}

#[test]
fn a_front_of_a_dead_zone_cannot_be_broken_any_more() {
    check("front edge-c", "there is no front `edge-c`");
    let reached: BTreeSet<_> = (0..50).map(|seed| chosen(RUNS, &format!("front --seed {seed}"))).collect();
    assert!(!reached.contains(&Ok("edge-c in c".to_owned())), "{reached:?}");
}

#[test]
fn a_replica_of_a_dead_zone_cannot_be_broken_any_more() {
    let story = format!("{RUNS}; unit web-9 in c");
    assert_eq!(chosen(&story, "process web-9"), Err("there is no process `web-9`".to_owned()));
}

#[test]
fn with_nothing_to_break_nothing_is_broken() {
    let told = chosen("plan 1", "zone");
    assert_eq!(told, Err("there is no zone to break; `evenkeel status` shows what runs".to_owned()));
}

#[test]
fn load_goes_to_the_fronts_that_live() {
    let ports: Vec<String> = fronts(&picture(RUNS)).iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["127.0.1.1:8080", "127.0.2.1:8080"]);
    assert!(fronts(&picture("agent a; front a is closed")).is_empty());
}
