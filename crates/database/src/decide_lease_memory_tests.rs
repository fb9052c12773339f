use expect_test::{Expect, expect};

use super::{LEASE_DRIFT_PERCENT, LEASE_FENCE_MS, LEASE_TAKE_OVER_MS, LEASE_TTL_MS, LeaseMemory, MARGIN_MS};
use crate::sim::{Budget, World};
use crate::{Alone, Flaw, Kept, View};
use model::{Moment, Record, ReignPhase};

fn view(term: u64) -> View {
    let mut view = World::new(2, Alone::Block, Budget::NOTHING, Flaw::None).view_of(model::NodeId(1));
    let phase = ReignPhase::Electing { preferred: None };
    let record = Record { term, phase, quorums: Vec::new(), history: Vec::new(), unrest: Default::default() };
    view.record = Some(Kept { value: record, revision: 1 });
    view
}

/// `0 see 7`: a look with the lease at revision 7, in term 4; `0 term 5`: from now on in that term; `10 sent 5`: a renewal
/// that was sent at 5 is known to be written.
#[track_caller]
fn check(timeline: &str, expected: Expect) {
    let (mut memory, mut term, mut revision, mut told) = (LeaseMemory::default(), 4, 0, String::new());
    for line in timeline.split(", ") {
        let words: Vec<&str> = line.split(' ').collect();
        let (at, value) = (Moment(words[0].parse().unwrap()), words[2].parse().unwrap());
        match words[1] {
            "see" => revision = value,
            "term" => term = value,
            "sent" => drop(memory.has(term, Moment(value))),
            other => panic!("`{other}` is nothing that happens"),
        }
        let tenure = memory.judge(&view(term), revision, at, Flaw::None);
        let (held, lost, over) = (tenure.held, tenure.lost, tenure.over);
        told.push_str(&format!("{}: held {held}, lost {lost}, over {over:?}\n", at.0));
    }
    expected.assert_eq(&told);
}

#[test]
fn the_own_lease_counts_from_when_it_was_sent_for_and_another_s_from_when_it_was_seen() {
    check(
        "1000 see 7, 3000 sent 2500, 5832 see 8, 5833 see 8, 6999 see 8, 11831 see 8, 11832 see 8",
        expect![[r#"
            1000: held false, lost false, over None
            3000: held true, lost false, over None
            5832: held true, lost false, over None
            5833: held false, lost true, over None
            6999: held false, lost true, over None
            11831: held false, lost true, over None
            11832: held false, lost true, over Some(8)
        "#]],
    );
}

#[test]
fn a_new_term_is_a_new_lease_and_its_winner_has_time_to_ask_for_it() {
    check(
        "0 see 7, 100 sent 0, 200 term 5, 6199 see 7, 6200 see 7",
        expect![[r#"
            0: held false, lost false, over None
            100: held true, lost false, over None
            200: held false, lost false, over None
            6199: held false, lost true, over None
            6200: held false, lost true, over Some(7)
        "#]],
    );
}

/// The arithmetic of the argument: with clocks as different as is allowed, the primary's time is over first, and what is
/// left for a fence that comes late is what the page says.
#[test]
fn the_primary_s_time_is_over_before_anybody_takes_over() {
    assert_eq!(LEASE_TTL_MS + MARGIN_MS, LEASE_TAKE_OVER_MS);
    let slowest_fence = LEASE_FENCE_MS * (100 + LEASE_DRIFT_PERCENT) / 100 + 1;
    let quickest_take_over = LEASE_TAKE_OVER_MS * (100 - LEASE_DRIFT_PERCENT) / 100;
    let left = quickest_take_over - slowest_fence;
    assert!(left >= 2_500, "a fence may be {left} ms late");
}
