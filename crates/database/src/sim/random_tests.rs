use super::random::{Failure, Outcome, random, random_replanned, random_with_witness};
use crate::{FLAWS, Flaw};

/// Plays `count` seeds, or as many as `EVENKEEL_SEEDS` says.
fn play(count: u64, nodes: u8) {
    play_with(count, nodes, random);
}

type Play = fn(u64, u8, Flaw) -> Result<Outcome, Box<Failure>>;

fn play_with(count: u64, nodes: u8, random: Play) {
    let more = std::env::var("EVENKEEL_SEEDS").ok().and_then(|text| text.parse().ok());
    let seeds = 0..more.unwrap_or(count);
    let mut acked = 0;
    let mut terms = 0;
    let mut stuck = 0;
    for seed in seeds {
        match random(seed, nodes, Flaw::None) {
            Ok(outcome) => {
                acked += outcome.acked;
                terms += outcome.term;
                stuck += u64::from(outcome.stuck);
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{nodes} nodes: {acked} acknowledged, {terms} terms, {stuck} wait for a disk that is lost");
}

#[test]
fn three_nodes_lose_nothing_and_come_back() {
    play(2_000, 3);
}

#[test]
fn four_nodes_lose_nothing_and_come_back() {
    play(1_000, 4);
}

#[test]
fn five_nodes_lose_nothing_and_come_back() {
    play(300, 5);
}

/// Two standbys become four and four two, one of them a witness, while keepers hold different plans.
#[test]
fn nodes_that_join_and_leave_lose_nothing_and_those_of_the_plan_come_back() {
    play_with(500, 5, |seed, _, flaw| random_replanned(seed, flaw));
}

#[test]
fn two_nodes_lose_nothing_and_come_back() {
    play(1_000, 2);
}

#[test]
fn two_nodes_and_a_witness_lose_nothing_and_come_back() {
    play_with(2_000, 3, random_with_witness);
}

#[test]
fn three_nodes_and_a_witness_lose_nothing_and_come_back() {
    play_with(500, 4, random_with_witness);
}

/// The seed of 2026-11-30 is 1137; another rule moves it.
#[test]
fn whoever_goes_by_the_log_of_its_other_kind_is_noticed() {
    let found = (0..20_000).find_map(|seed| random_replanned(seed, Flaw::KeepOtherLog).err());
    println!("{}", found.expect("nobody noticed"));
}

#[test]
#[ignore = "minutes"]
fn whoever_keeps_slots_of_a_node_that_left_is_noticed() {
    let found = (0..400_000).find_map(|seed| random_replanned(seed, Flaw::KeepSlots).err());
    println!("{}", found.expect("nobody noticed"));
}

#[test]
fn every_wrong_belief_is_noticed() {
    let mut unnoticed = Vec::new();
    for flaw in FLAWS {
        let of_a_witness = matches!(
            flaw,
            Flaw::ElectWitness | Flaw::PromoteUnfetched | Flaw::FetchAnyhow | Flaw::FetchForeign
        );
        let play: Play = if of_a_witness { random_with_witness } else { random };
        let found = (0..200_000_u64).find_map(|seed| play(seed, 3 + (seed % 2) as u8, *flaw).err());
        match found {
            Some(failure) => println!("{flaw:?}: seed {}: {}", failure.seed, failure.what),
            None => unnoticed.push(*flaw),
        }
    }
    assert!(unnoticed.is_empty(), "nobody noticed {unnoticed:?}");
}
