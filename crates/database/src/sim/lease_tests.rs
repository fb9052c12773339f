use super::lease::{ASSUMED, Assumed, lease};
use crate::{Flaw, LEASE_FLAWS};

fn seeds(count: u64) -> std::ops::Range<u64> {
    let more = std::env::var("EVENKEEL_SEEDS").ok().and_then(|text| text.parse().ok());
    0..more.unwrap_or(count)
}

#[test]
fn two_nodes_with_a_lease_never_acknowledge_at_once_and_lose_no_more_than_is_stated() {
    let (mut acked, mut lost, mut take_overs) = (0, 0, 0);
    for seed in seeds(300) {
        match lease(seed, Flaw::None, ASSUMED) {
            Ok(outcome) => {
                acked += outcome.acked;
                lost += outcome.lost;
                take_overs += outcome.take_overs;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("lease: {acked} acknowledged, {lost} lost as stated, {take_overs} takeovers");
    assert!(take_overs > 0 && lost > 0, "nothing happened that could have gone wrong");
}

#[test]
fn every_wrong_belief_about_a_lease_is_noticed() {
    let mut unnoticed = Vec::new();
    for flaw in LEASE_FLAWS {
        match (0..20_000).find_map(|seed| lease(seed, *flaw, ASSUMED).err()) {
            Some(failure) => println!("{flaw:?}: seed {}: {}", failure.seed, failure.what),
            None => unnoticed.push(*flaw),
        }
    }
    assert!(unnoticed.is_empty(), "nobody noticed {unnoticed:?}");
}

/// The assumptions are needed: with either of them broken, what they are for is broken too.
#[test]
fn without_what_is_assumed_of_machines_the_checks_see_it() {
    for broken in [Assumed { drift_permille: 900, ..ASSUMED }, Assumed { machine_ms: 12_000, ..ASSUMED }] {
        let mut failures = (0..20_000).filter_map(|seed| lease(seed, Flaw::None, broken).err());
        let two = "an old primary acknowledged after a newer one had served";
        let found = failures.find(|failure| failure.what == two);
        let failure = found.unwrap_or_else(|| panic!("nobody noticed {broken:?}"));
        println!("{broken:?}: seed {}: {}", failure.seed, failure.what);
    }
}
