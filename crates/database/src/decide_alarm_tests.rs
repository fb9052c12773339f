use std::collections::BTreeSet;

use super::{Alarms, awaited};
use crate::sim::{Budget, World, calm};
use crate::{Alone, Flaw, Judgement, Server, View};
use model::{Moment, NodeId, Nodes, WarningKind};

fn nodes(numbers: &[u8]) -> Nodes {
    numbers.iter().copied().map(NodeId).collect()
}

/// A primary that serves, and what it sees when `gone` stream no more.
fn primary(gone: &[u8]) -> View {
    let world = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None));
    let primary = world.record.as_ref().unwrap().primary().unwrap();
    let mut view = world.view_of(primary);
    if let Server::Primary { senders, .. } = &mut view.server {
        senders.retain(|node, _| !gone.contains(&node.0));
    }
    view
}

fn missing(numbers: &[u8]) -> Judgement {
    Judgement { missing: nodes(numbers), ..Judgement::default() }
}

fn only(kind: WarningKind) -> BTreeSet<WarningKind> {
    [kind].into()
}

#[test]
fn one_standby_that_is_left_is_no_alarm_and_none_is_one() {
    let mut alarms = Alarms::default();
    assert_eq!(alarms.judge(&primary(&[2]), &missing(&[2]), Moment(0)), BTreeSet::new());
    assert_eq!(alarms.judge(&primary(&[2, 3]), &missing(&[2]), Moment(0)), BTreeSet::new());
    let alone = primary(&[2, 3]);
    assert_eq!(alarms.judge(&alone, &missing(&[2, 3]), Moment(0)), only(WarningKind::NoStandby));
    // Its keeper stood still, so nobody counts as missing for a while; and then a look failed.
    assert_eq!(alarms.judge(&alone, &missing(&[]), Moment(0)), only(WarningKind::NoStandby));
    let busy = View { server: Server::Busy, ..alone.clone() };
    assert_eq!(alarms.judge(&busy, &missing(&[]), Moment(0)), only(WarningKind::NoStandby));
    assert_eq!(alarms.judge(&primary(&[2]), &missing(&[]), Moment(0)), BTreeSet::new());
}

#[test]
fn what_is_written_alone_is_counted_from_where_the_last_standby_left() {
    let (mut alarms, mut alone) = (Alarms::default(), primary(&[2, 3]));
    assert_eq!(alarms.only_here(&alone), None);
    alone.record.as_mut().unwrap().value.quorums[0].need = 0;
    assert_eq!(alarms.judge(&alone, &missing(&[2, 3]), Moment(0)), only(WarningKind::Unprotected));
    assert_eq!(alarms.only_here(&alone), Some(0));
    if let Server::Primary { flush, .. } = &mut alone.server {
        flush.0 += 700;
    }
    assert_eq!(alarms.only_here(&alone), Some(700));
}

#[test]
fn a_switch_is_no_alarm_and_a_primary_that_nobody_can_follow_is() {
    let mut alarms = Alarms::default();
    let world = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None));
    let view = world.view_of(NodeId(2));
    let gone = Judgement { suspects: true, ..Judgement::default() };
    assert_eq!(alarms.judge(&view, &gone, Moment(0)), BTreeSet::new());
    assert_eq!(alarms.judge(&view, &gone, Moment(2_900)), BTreeSet::new());
    assert_eq!(alarms.judge(&view, &gone, Moment(3_000)), only(WarningKind::NoPrimary));
    assert_eq!(alarms.judge(&view, &Judgement::default(), Moment(3_100)), BTreeSet::new());
}

#[test]
fn a_database_that_is_being_made_has_no_primary_and_that_is_no_alarm() {
    let mut alarms = Alarms::default();
    let mut view = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None)).view_of(NodeId(2));
    let record = &mut view.record.as_mut().unwrap().value;
    record.phase = model::ReignPhase::Promoting { primary: NodeId(1) };
    record.history[0].served = false;
    assert_eq!(alarms.judge(&view, &Judgement::default(), Moment(0)), BTreeSet::new());
    assert_eq!(alarms.judge(&view, &Judgement::default(), Moment(60_000)), BTreeSet::new());
}

#[test]
fn who_must_come_back_is_named() {
    let mut record = calm(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None)).record.unwrap();
    assert_eq!(awaited(&record, nodes(&[2, 3])), Nodes::NONE);
    assert_eq!(awaited(&record, nodes(&[2])), nodes(&[1, 3]));
    record.quorums[0].need = 0;
    record.quorums[0].members = Nodes::NONE;
    assert_eq!(awaited(&record, nodes(&[2, 3])), nodes(&[1]));
}
