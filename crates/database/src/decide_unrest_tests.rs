use super::{FAULT_POINTS, FLAP_POINTS, UNREST_MAX, is_spent};
use crate::sim::{Budget, World, calm};
use crate::{Action, Alone, Flaw, Judgement, Kept, choose};
use model::{NodeId, Nodes, Record, ReignPhase};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// What node 2 decides of `world` when everybody takes the primary for dead.
fn decided(world: &World, rested: bool) -> Option<Record> {
    let judgement = Judgement { suspects: true, agree: world.ids(), rested, ..Judgement::default() };
    match choose(&world.view_of(B), &judgement) {
        Some((_, Action::Write { record, .. })) => Some(*record),
        _ => None,
    }
}

fn serving(primary: NodeId) -> ReignPhase {
    ReignPhase::Serving { primary, handover: None }
}

#[test]
fn a_reign_that_was_of_use_costs_little_and_a_flap_much() {
    let mut world = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None));
    assert_eq!(decided(&world, false).unwrap().unrest, [(A, FAULT_POINTS)].into());
    let record = world.record.as_mut().unwrap();
    record.quorums[0].members = Nodes::NONE.with(B);
    assert_eq!(decided(&world, false).unwrap().unrest, [(A, FLAP_POINTS)].into());
}

#[test]
fn ten_flaps_in_a_row_are_the_last_until_one_is_forgiven() {
    let mut world = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None));
    let mut failovers = 0;
    while let Some(next) = decided(&world, false) {
        failovers += 1;
        // The next primary opens, and fails before anybody has come back.
        let quorums = world.record.as_ref().unwrap().quorums.clone();
        let mut record = Record { phase: serving(A), quorums, ..next };
        record.quorums[0].term = record.term;
        record.quorums[0].members = Nodes::NONE.with(B);
        record.term = 1;
        record.quorums[0].term = 1;
        world.record = Some(record);
        assert!(failovers < 100, "no end");
    }
    // The first one ended a reign that was of use.
    assert_eq!(failovers, 1 + (UNREST_MAX - FAULT_POINTS).div_ceil(FLAP_POINTS));
    assert!(is_spent(world.record.as_ref().unwrap(), UNREST_MAX));
    let before = world.record.as_ref().unwrap().unrest();
    let forgiven = decided(&world, true).unwrap();
    assert_eq!((forgiven.term, forgiven.unrest()), (1, before - 1), "a point less, and no election with it");
}

#[test]
fn one_that_fails_each_time_is_primary_only_when_nobody_else_can() {
    let world = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None));
    let mut record = decided(&world, false).unwrap();
    record.unrest = [(B, 2 * FLAP_POINTS)].into();
    let mut view = world.view_of(NodeId(3));
    view.durable.promised = record.term;
    view.server = crate::Server::Busy;
    let end = |longer: u64| {
        let lsn = model::Lsn(view_end(&world) + longer);
        let doc = model::NodeDoc {
            promised: record.term,
            end: Some(model::Position { term: 1, lsn }),
            holding: model::Holding::Log,
            ..model::NodeDoc::default()
        };
        Kept { value: doc, revision: 1 }
    };
    view.docs = [(B, end(1)), (NodeId(3), end(1))].into();
    view.record = Some(Kept { value: record.clone(), revision: 1 });
    let winner = |view: &crate::View| match choose(view, &Judgement::default()) {
        Some((_, Action::Write { record, .. })) => record.primary(),
        other => panic!("{other:?}"),
    };
    assert_eq!(winner(&view), Some(NodeId(3)));
    let back = [(A, end(1)), (B, end(1))].into();
    let others = std::mem::replace(&mut view.docs, back);
    assert_eq!(winner(&view), Some(A), "the last primary is there again with everything");
    let mut both = record.clone();
    both.unrest.insert(A, 2 * FLAP_POINTS);
    view.record = Some(Kept { value: both, revision: 1 });
    assert_eq!(winner(&view), Some(B), "the last primary fails each time, too: not the same one again");
    record.unrest.clear();
    view.record = Some(Kept { value: record, revision: 1 });
    assert_eq!(winner(&view), Some(B), "anybody else first");
    view.docs = others;
    assert_eq!(winner(&view), Some(B), "of equal ones the first");
}

fn view_end(world: &World) -> u64 {
    u64::from(world.nodes[1].disk.end())
}
