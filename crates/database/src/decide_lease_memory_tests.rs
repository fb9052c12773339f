use expect_test::{Expect, expect};

use super::{
    LEASE_BEHIND_MS, LEASE_DRIFT_PERCENT, LEASE_FENCE_MS, LEASE_LOSS_MS, LEASE_STALL_MS, LEASE_TAKE_OVER_MS,
    LEASE_TTL_MS, LeaseMemory, MARGIN_MS,
};
use crate::sim::{Budget, World};
use crate::{Alone, Durable, Flaw, Kept, Sender, Server, Sync, View};
use model::{Lsn, Moment, NodeId, Nodes, Record, ReignPhase};

/// What is left of the sum for the kill.
const KILL_MS: u64 = 500;

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

/// The primary of term 4 with its log at `flush`, and node 2 at `standby`.
fn reigning(flush: u64, standby: u64) -> View {
    let mut view = view(4);
    view.durable = Durable { promised: 4, lineage: 4, reign: 4 };
    let senders = [(NodeId(2), Sender { term: 4, flush: Lsn(standby) })].into_iter().collect();
    view.server = Server::Primary {
        sync: Sync::default(),
        open: true,
        flush: Lsn(flush),
        fork: Lsn(1),
        senders,
        checkpointed: true,
    };
    view
}

/// Who is behind by a look that began at `looked` and is judged at `now`, with both logs as they were said to be.
fn behind(memory: &mut LeaseMemory, (looked, now): (u64, u64), (flush, standby): (u64, u64)) -> Nodes {
    memory.judge_look(&reigning(flush, standby), 1, (Moment(looked), Moment(now)), Flaw::None).behind
}

/// The server's answer lay in the socket while the keeper stood still: it says how far the log was before that, not now.
#[test]
fn what_a_server_said_before_its_keeper_stood_still_is_no_measure_after_it() {
    let mut memory = LeaseMemory::default();
    behind(&mut memory, (500, 3_200), (10, 10));
    assert_eq!(behind(&mut memory, (3_210, 3_210), (50, 10)), Nodes::NONE.with(NodeId(2)));
}

/// The sum of the page: whoever may stand in for a primary has all but the writes of the time that is stated before its end,
/// however long the keeper stood still between a look's question and its answer. A log that grows by one each millisecond, and a
/// standby that gets nothing any more.
#[test]
fn under_a_lease_nobody_is_named_that_lacks_more_than_is_stated() {
    let mut renewed = 0;
    for (first, second) in
        (0..6_000).step_by(150).flat_map(|one| (0..6_000).step_by(150).map(move |two| (one, two)))
    {
        let (mut memory, mut looked, falls_behind) = (LeaseMemory::default(), 10_000, 10_100);
        for late in [0, first, 0, second, 0, 0] {
            let now = looked + late;
            if behind(&mut memory, (looked, now), (looked, falls_behind.min(looked))).is_empty() {
                renewed += 1;
                let until = memory.has(4, Moment(looked)).0;
                let end = until + LEASE_STALL_MS + KILL_MS;
                assert!(
                    end - falls_behind.min(end) <= LEASE_LOSS_MS,
                    "looks {first} and {second} ms late: {end}"
                );
            }
            looked = now + 100;
        }
    }
    assert!(renewed > 0);
    assert_eq!(LEASE_BEHIND_MS + LEASE_FENCE_MS + LEASE_STALL_MS + KILL_MS, LEASE_LOSS_MS);
}
