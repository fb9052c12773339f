use std::collections::BTreeMap;

use super::step;
use crate::sim::{Budget, World};
use crate::{Action, Alone, Durable, Flaw, Judgement, Kept, Server, Sync, Tenure, View, choose};
use model::{Holding, Lsn, Mode, NodeDoc, NodeId, Nodes, Quorum, Record, ReignPhase};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn nodes(those: &[NodeId]) -> Nodes {
    those.iter().copied().collect()
}

/// A is the primary of term 4 under a lease, of three nodes, and `need` of `members` are in the record.
fn scene(members: &[NodeId], need: u32) -> View {
    let mut view = World::new(3, Alone::Block, Budget::NOTHING, Flaw::None).view_of(A);
    let quorum = Quorum { primary: A, term: 4, members: nodes(members), need };
    let phase = ReignPhase::Serving { primary: A, handover: None };
    let record =
        Record { term: 4, phase, quorums: vec![quorum], history: Vec::new(), unrest: BTreeMap::new() };
    view.mode = Mode::Lease;
    view.durable = Durable { promised: 4, lineage: 4, reign: 4 };
    view.record = Some(Kept { value: record, revision: 8 });
    let told = NodeDoc {
        promised: 4,
        end: None,
        holding: Holding::Log,
        primary_of: 4,
        rewindable: true,
        from: Lsn(0),
    };
    view.docs = [(A, Kept { value: told, revision: 3 })].into_iter().collect();
    view.server = Server::Primary {
        sync: Sync { set: Some(quorum), in_force: true, from: None, unsure: false },
        open: true,
        flush: Lsn(10),
        fork: Lsn(1),
        senders: BTreeMap::new(),
        checkpointed: true,
    };
    view
}

fn unsure(mut view: View) -> View {
    let Server::Primary { sync, .. } = &mut view.server else { panic!() };
    sync.unsure = true;
    view
}

fn switching_to(mut view: View, heir: NodeId) -> View {
    let handover = Some(heir);
    view.record.as_mut().unwrap().value.phase = ReignPhase::Serving { primary: A, handover };
    view
}

fn closed(mut view: View) -> View {
    let Server::Primary { open, .. } = &mut view.server else { panic!() };
    *open = false;
    view
}

/// What A does while those of `behind` are; whether a renewal is `due`.
fn does(view: &View, due: bool, behind: &[NodeId]) -> String {
    let lease = Tenure { held: true, due, behind: nodes(behind), ..Tenure::default() };
    let before = &view.record.as_ref().unwrap().value;
    match choose(view, &Judgement { lease, ..Judgement::default() }) {
        None => "nothing".to_owned(),
        Some((rule, Action::Write { record, revision: 8, .. })) if *record == *before => {
            format!("{rule}: the record as it is")
        }
        Some((rule, Action::Write { record, revision: 8, .. })) => {
            let quorum = record.current().unwrap();
            let members: Vec<u8> = quorum.members.iter().map(|node| node.0).collect();
            let switches = matches!(record.phase, ReignPhase::Serving { handover: Some(_), .. });
            format!("{rule}: {} of {members:?}, switches: {switches}", quorum.need)
        }
        Some((rule, Action::Renew { record: 8, .. })) => format!("{rule}: the lease"),
        Some((rule, action)) => format!("{rule}: {action:?}"),
    }
}

#[test]
fn a_standby_that_is_far_behind_is_taken_out_before_the_lease_is_renewed() {
    assert_eq!(does(&scene(&[B], 0), true, &[]), "renew: the lease");
    assert_eq!(does(&scene(&[B], 0), true, &[B]), "quorum: 0 of [], switches: false");
    assert_eq!(does(&scene(&[], 0), true, &[B]), "renew: the lease");
}

/// The store was away when B was to be named, and B's machine then. The write arrives when A's machine is lost, minutes later: B
/// would take over with what it had before all of that.
#[test]
fn a_lease_is_not_renewed_while_a_write_may_arrive_that_names_one_far_behind() {
    assert_eq!(does(&unsure(scene(&[], 0)), true, &[B]), "renew: the record as it is");
    assert_eq!(does(&unsure(scene(&[C], 0)), true, &[B]), "renew: the record as it is");
    assert_eq!(does(&unsure(scene(&[B, C], 1)), true, &[B]), "renew: the record as it is");
    assert_eq!(
        does(&unsure(switching_to(closed(scene(&[C], 0)), C)), true, &[B]),
        "renew: the record as it is"
    );
    assert_eq!(does(&unsure(scene(&[], 0)), true, &[]), "renew: the lease");
    assert_eq!(does(&unsure(scene(&[B], 0)), true, &[B]), "quorum: 0 of [], switches: false");
}

/// It would go on under its lease for as long as the switch may last, 5 s.
#[test]
fn a_switch_is_called_off_when_who_may_stand_in_falls_behind_an_open_server() {
    let switching = switching_to(scene(&[B], 0), B);
    for due in [true, false] {
        assert_eq!(does(&switching, due, &[B]), "hand over: 0 of [2], switches: false");
    }
    assert_eq!(does(&switching, false, &[]), "hand over: Close");
    // From then on nothing is acknowledged that it could lack.
    assert_eq!(does(&closed(switching.clone()), true, &[B]), "renew: the lease");
    assert_eq!(does(&closed(switching), false, &[B]), "nothing");
}

/// A primary that awaits its standbys asks for a lease whoever lags: nobody stands in for it yet. Refused, it would be ended 3.3 s
/// after the keeper's start.
#[test]
fn from_a_quorum_to_a_lease_one_that_lags_costs_no_outage_and_is_not_named() {
    let both = scene(&[B, C], 1);
    assert_eq!(does(&both, true, &[B]), "renew: the lease");
    assert_eq!(does(&scene(&[B], 1), true, &[B]), "renew: the lease");
    assert_eq!(does(&both, false, &[B]), "quorum: 0 of [3], switches: false");
    assert_eq!(does(&scene(&[B], 1), false, &[B]), "quorum: 0 of [], switches: false");
    assert_eq!(does(&both, false, &[]), "quorum: 0 of [2, 3], switches: false");
}

/// Until the last step nobody stands in, and a smaller set might not hold what was acknowledged.
#[test]
fn of_several_awaited_one_less_is_awaited_with_the_same_members() {
    let two = Quorum { primary: A, term: 4, members: nodes(&[B, C]), need: 2 };
    let Some(one) = step(&two, nodes(&[C])) else { panic!() };
    assert_eq!((one.to.members, one.to.need), (two.members, 1));
    let Some(none) = step(&one.to, nodes(&[C])) else { panic!() };
    assert_eq!((none.to.members, none.to.need), (nodes(&[C]), 0));
}
