use std::collections::BTreeSet;
use std::fmt::Write;

use expect_test::expect_file;

use super::RULES;
use crate::sim::{Budget, Move, World};
use crate::{Alone, Step, step};
use model::{Lsn, NodeId, Nodes, Position, Quorum, Record, Reign, ReignPhase};

/// The page of rules is made from the table.
#[test]
fn the_page_of_rules_is_the_table() {
    let mut page = String::from(
        "# The rules of a keeper\n\nMade from `database::RULES` by its tests. Every keeper asks them in this order; the first \
         that has something to do does it.\n\n| rule | why |\n|---|---|\n",
    );
    for rule in RULES {
        writeln!(page, "| {} | {} |", rule.name, rule.why).unwrap();
    }
    expect_file!["../../../docs/reference/keeper-rules.md"].assert_eq(&page);
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len(), "a name is used twice");
}

fn nodes(numbers: &[u8]) -> Nodes {
    numbers.iter().copied().map(NodeId).collect()
}

/// Every quorum a change passes through keeps the promise: what the record names asks of an election at least what the
/// server goes by, before and after each half of a step.
#[test]
fn no_step_of_a_quorum_lets_the_server_run_ahead_of_the_record() {
    let sets: Vec<Nodes> =
        (0..16_u8).map(|bits| (2..=5).filter(|n| bits >> (n - 2) & 1 == 1).map(NodeId).collect()).collect();
    let asks_as_much = |one: &Quorum, other: &Quorum| {
        sets.iter().all(|heard| !one.is_settled_by(*heard) || other.is_settled_by(*heard))
    };
    for (from, to) in sets.iter().flat_map(|from| sets.iter().map(move |to| (*from, *to))) {
        for (alone, need) in
            [(Alone::Block, from.len().div_ceil(2)), (Alone::Degrade, from.len().div_ceil(2))]
        {
            let mut now = Quorum { primary: NodeId(1), term: 1, members: from, need };
            let mut steps = 0;
            while let Some(Step { to: next, record_first }) = step(&now, to, alone) {
                assert!(next.members.len() >= next.need, "{next:?} can never be met");
                assert!(
                    record_first || asks_as_much(&now, &next),
                    "{now:?} -> {next:?}: the server runs ahead"
                );
                assert!(
                    !record_first || asks_as_much(&next, &now),
                    "{now:?} -> {next:?}: the record runs behind"
                );
                now = next;
                steps += 1;
                assert!(steps < 20, "no end");
            }
            let stays = to.is_empty() && alone == Alone::Block;
            assert_eq!(now.members, if stays { from } else { to }, "{from:?} {to:?} {alone:?}");
        }
    }
}

#[test]
fn blocked_writes_wait_for_those_that_count() {
    let now = Quorum { primary: NodeId(1), term: 1, members: nodes(&[2]), need: 1 };
    assert_eq!(step(&now, Nodes::NONE, Alone::Block), None);
    let degraded = step(&now, Nodes::NONE, Alone::Degrade).unwrap();
    assert_eq!(degraded, Step { to: Quorum { members: Nodes::NONE, need: 0, ..now }, record_first: true });
    let again = step(&degraded.to, now.members, Alone::Degrade).unwrap();
    assert_eq!(again, Step { to: now, record_first: false }, "nobody is named while nobody is awaited");
}

/// A smaller set of those that are gone would have to come to hold what was acknowledged, which it never does: the number
/// that is awaited goes first.
#[test]
fn standbys_that_die_at_the_same_moment_do_not_leave_a_quorum_that_is_never_met() {
    let all_of_three = Quorum { primary: NodeId(1), term: 1, members: nodes(&[2, 3]), need: 1 };
    let alone = step(&all_of_three, Nodes::NONE, Alone::Degrade).unwrap();
    let nobody = Quorum { members: Nodes::NONE, need: 0, ..all_of_three };
    assert_eq!(alone, Step { to: nobody, record_first: true });
    let all_of_five = Quorum { members: nodes(&[2, 3, 4, 5]), need: 2, ..all_of_three };
    let one_left = step(&all_of_five, nodes(&[2]), Alone::Block).unwrap();
    assert_eq!(one_left, Step { to: Quorum { need: 1, ..all_of_five }, record_first: true });
    // Another one that came is counted in before anybody is counted out.
    let replaced = step(&all_of_three, nodes(&[4]), Alone::Block).unwrap();
    assert_eq!(
        replaced,
        Step { to: Quorum { members: nodes(&[2, 3, 4]), ..all_of_three }, record_first: true }
    );
}

/// Elections that fail one after the other must not make the next one impossible.
#[test]
fn the_log_that_must_be_settled_is_known_after_a_hundred_reigns_that_came_to_nothing() {
    let reign = |term: u64, served| Reign { term, node: NodeId(1), base: 1, fork: Lsn(50), served };
    let mut record = Record {
        term: 100,
        phase: ReignPhase::Promoting { primary: NodeId(2) },
        quorums: vec![Quorum { primary: NodeId(1), term: 2, members: nodes(&[2, 3]), need: 1 }],
        history: (1..=100).map(|term| reign(term, term <= 2)).collect(),
        unrest: Default::default(),
    };
    record.history[0].base = 0;
    let world = crate::sim::World::new(3, Alone::Block, crate::sim::Budget::NOTHING, crate::Flaw::None);
    let mut view = world.view_of(NodeId(3));
    view.durable.promised = 100;
    view.record = Some(crate::Kept { value: record, revision: 7 });
    let judgement = crate::Judgement { suspects: true, agree: nodes(&[1, 2, 3]), ..Default::default() };
    let Some((_, crate::Action::Write { record, .. })) = super::choose(&view, &judgement) else { panic!() };
    assert_eq!((record.term, record.history.len()), (101, 64), "it does not grow without end");
    // A node that was away, or holds more than all others, was last fed in term 2.
    let place = crate::position(&record, 2, Lsn(60));
    assert_eq!(place, Some(Position { term: 2, lsn: Lsn(60) }));
}

/// Somebody empties the store, or it is restored from nothing: that ends no server.
#[test]
fn without_a_record_a_primary_goes_on() {
    let mut world = crate::sim::calm(World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    (world.record, world.docs) = (None, Default::default());
    for node in [1, 2, 3].map(NodeId) {
        assert_eq!(super::choose(&world.view_of(node), &crate::Judgement::default()), None, "{node}");
    }
}

#[test]
fn a_record_from_the_past_moves_nobody() {
    let world = crate::sim::World::new(3, Alone::Block, crate::sim::Budget::NOTHING, crate::Flaw::None);
    let mut view = world.view_of(NodeId(1));
    assert!(super::choose(&view, &crate::Judgement::default()).is_some(), "an empty node begins");
    view.record = Some(crate::Kept {
        value: model::Record {
            term: 3,
            phase: model::ReignPhase::Serving { primary: NodeId(2), handover: None },
            quorums: Vec::new(),
            history: Vec::new(),
            unrest: Default::default(),
        },
        revision: 7,
    });
    view.durable.promised = 4;
    assert_eq!(super::choose(&view, &crate::Judgement::default()), None);
}

/// What was received may end in half a record, and the promotion leaves the old timeline before it. A fork beyond that
/// would call records of a reign that came to nothing a part of the reign before.
#[test]
fn a_winner_that_had_told_of_half_a_record_corrects_where_its_reign_begins() {
    let reign = |term, base, fork, served| Reign { term, node: NodeId(2), base, fork: Lsn(fork), served };
    let quorum = |term, members| Quorum { primary: NodeId(2), term, members: nodes(members), need: 1 };
    let record = Record {
        term: 5,
        phase: ReignPhase::Promoting { primary: NodeId(1) },
        quorums: vec![quorum(4, &[1, 3]), Quorum { primary: NodeId(1), ..quorum(5, &[3]) }],
        history: vec![reign(4, 0, 0, true), Reign { node: NodeId(1), ..reign(5, 4, 50, false) }],
        unrest: std::collections::BTreeMap::new(),
    };
    let world = crate::sim::World::new(3, Alone::Block, crate::sim::Budget::NOTHING, crate::Flaw::None);
    let mut view = world.view_of(NodeId(1));
    view.durable = crate::Durable { promised: 5, lineage: 4, reign: 0 };
    let mut choose_at = |end| {
        let (sync, upstream) = (crate::Sync::default(), None);
        view.server = crate::Server::Standby { upstream, receiving: false, end: Some(Lsn(end)), sync };
        view.record = Some(crate::Kept { value: record.clone(), revision: 7 });
        super::choose(&view, &crate::Judgement::default()).unwrap()
    };
    let ("take the term", crate::Action::Write { record: corrected, .. }) = choose_at(44) else { panic!() };
    assert_eq!(corrected.reign(5).unwrap().fork, Lsn(44));
    assert!(matches!(choose_at(50), (_, crate::Action::Persist(own)) if own.reign == 5));
}

/// Two nodes and a witness in calm, as `node` sees it.
fn beside_a_witness(node: u8) -> crate::View {
    let start = World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None).with_witness();
    crate::sim::calm(start).view_of(NodeId(node))
}

/// It was away for so long that its primary threw away what it needs next: it would ask for that for ever.
#[test]
fn a_stranded_witness_begins_anew_when_nobody_counts_on_it() {
    let mut view = beside_a_witness(3);
    let choose = |view: &crate::View| super::choose(view, &crate::Judgement::default());
    assert_eq!(choose(&view), None);
    view.stranded = true;
    assert_eq!(choose(&view), Some(("leave the old", crate::Action::Point(None))));
    let (sync, upstream) = (crate::Sync::default(), None);
    view.server = crate::Server::Standby { upstream, receiving: false, end: Some(Lsn(2)), sync };
    assert_eq!(choose(&view), None, "it may be the only one that has what was acknowledged");
    view.record.as_mut().unwrap().value.quorums[0].members = nodes(&[2]);
    let Some(("anew", crate::Action::Report { doc, .. })) = choose(&view) else { panic!() };
    view.docs.get_mut(&NodeId(3)).unwrap().value = doc;
    assert!(matches!(choose(&view), Some(("anew", crate::Action::Anew(_)))));
}

/// A lease is for who can serve; no rule depends on the plan never giving one to a database with a witness. Nor is one over
/// that was never asked for: where commits are awaited, what was acknowledged may be on another member.
#[test]
fn neither_a_witness_nor_a_member_of_a_quorum_takes_over_a_lease() {
    for (node, need, takes) in [(2, 0, true), (3, 0, false), (2, 1, false)] {
        let mut view = beside_a_witness(node);
        view.mode = model::Mode::Lease;
        view.record.as_mut().unwrap().value.quorums[0].need = need;
        let over = crate::Tenure { over: Some(1), ..Default::default() };
        let judgement = crate::Judgement { lease: over, ..Default::default() };
        let chosen = super::choose(&view, &judgement);
        assert_eq!(matches!(chosen, Some(("take over", _))), takes, "node {node}, need {need}: {chosen:?}");
    }
}

/// A switch need not wait for the other standby then, and the heir wins with its own word, in the write that tells it.
#[test]
fn before_a_wanted_switch_closes_only_the_heir_counts() {
    let mut world = crate::sim::calm(World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    let primary = world.record.as_ref().and_then(Record::primary).unwrap();
    let [heir, other] = [1, 2, 3].map(NodeId).into_iter().filter(|id| *id != primary).collect::<Vec<_>>()[..]
    else {
        panic!()
    };
    let term = world.record.as_ref().unwrap().term;
    world.budget = Budget { wants: 1, terms: term + 1, ..Budget::NOTHING };
    world.apply(Move::Want(heir));
    for act in ["SetSync", "ConfirmSync", "Write", "Close", "Write"] {
        let (rule, action) = super::choose(&world.view_of(primary), &world.judgement(primary)).unwrap();
        assert!(rule == "hand over" && format!("{action:?}").starts_with(act), "{act}: {rule}, {action:?}");
        if action == crate::Action::Close {
            let current = *world.record.as_ref().unwrap().current().unwrap();
            assert_eq!((current.members, current.need), (Nodes::NONE.with(heir), 1), "the record");
            assert_eq!(world.nodes[usize::from(primary.0) - 1].disk.sync, Some(current), "the server");
        }
        world.apply(Move::Act(primary));
    }
    let promised = |world: &World, node| world.docs.get(&node).map(|doc| doc.promised);
    for rule in ["promise", "elect"] {
        let chosen = super::choose(&world.view_of(heir), &world.judgement(heir)).unwrap();
        assert_eq!(chosen.0, rule, "{chosen:?}");
        world.apply(Move::Act(heir));
        if rule == "promise" {
            world.apply(Move::Quit(heir));
        }
    }
    assert_eq!(world.record.as_ref().and_then(Record::primary), Some(heir));
    assert!(
        promised(&world, heir) <= Some(term) && promised(&world, other) <= Some(term),
        "{:?}",
        world.docs
    );
}

/// Another node may be about to crown it for the end that it told, in a write that is under way: its reign would begin before
/// what it copies now, and those records would be taken for the reign's.
#[test]
fn what_was_told_is_taken_back_before_more_is_copied_from_a_witness() {
    let mut view = beside_a_witness(2);
    let kept = view.record.as_mut().unwrap();
    kept.value.term = 2;
    kept.value.phase = ReignPhase::Electing { preferred: None };
    view.durable.promised = 2;
    let (sync, upstream) = (crate::Sync::default(), None);
    view.server = crate::Server::Standby { upstream, receiving: false, end: Some(Lsn(3)), sync };
    let told = |node: u8, view: &mut crate::View, end| {
        let doc = &mut view.docs.get_mut(&NodeId(node)).unwrap().value;
        (doc.promised, doc.end) = (2, Some(Position { term: 1, lsn: Lsn(end) }));
    };
    told(2, &mut view, 3);
    told(3, &mut view, 9);
    view.docs.get_mut(&NodeId(3)).unwrap().value.from = Lsn(0);
    let choose = |view: &crate::View| super::choose(view, &crate::Judgement::default());
    let Some(("fetch", crate::Action::Report { doc, .. })) = choose(&view) else {
        panic!("{:?}", choose(&view))
    };
    assert_eq!((doc.promised, doc.end), (2, None));
    view.docs.get_mut(&NodeId(2)).unwrap().value = doc;
    assert!(matches!(choose(&view), Some(("fetch", crate::Action::Fetch { .. }))), "{:?}", choose(&view));
}

/// Its log went another way than the witness's: it cannot copy, so it tells where it ends, once.
#[test]
fn a_node_that_cannot_copy_from_a_witness_tells_its_end_and_is_quiet() {
    let mut view = beside_a_witness(2);
    let kept = view.record.as_mut().unwrap();
    let reign = |term, base, fork, served| Reign { term, node: NodeId(1), base, fork: Lsn(fork), served };
    kept.value.term = 3;
    kept.value.phase = ReignPhase::Electing { preferred: None };
    kept.value.history = vec![reign(1, 0, 0, true), reign(2, 1, 5, true)];
    kept.value.quorums = vec![Quorum { primary: NodeId(1), term: 2, members: nodes(&[3]), need: 1 }];
    view.durable = crate::Durable { promised: 3, lineage: 1, reign: 0 };
    let (sync, upstream) = (crate::Sync::default(), None);
    view.server = crate::Server::Standby { upstream, receiving: false, end: Some(Lsn(8)), sync };
    let doc = &mut view.docs.get_mut(&NodeId(3)).unwrap().value;
    (doc.promised, doc.from, doc.end) = (3, Lsn(0), Some(Position { term: 2, lsn: Lsn(9) }));
    let choose = |view: &crate::View| super::choose(view, &crate::Judgement::default());
    let Some(("tell the end", crate::Action::Report { doc, .. })) = choose(&view) else {
        panic!("{:?}", choose(&view))
    };
    view.docs.get_mut(&NodeId(2)).unwrap().value = doc;
    assert_eq!(choose(&view), None);
}

/// A winner that has heard nobody waits for whoever comes first: the others may be away for long.
#[test]
fn the_first_quorum_of_a_winner_that_heard_nobody_asks_for_one() {
    let quorum = crate::first(NodeId(1), 7, Nodes::NONE, nodes(&[2, 3, 4, 5]));
    assert_eq!((quorum.members, quorum.need), (nodes(&[2, 3, 4, 5]), 1));
    assert_eq!(crate::first(NodeId(1), 7, nodes(&[3, 4, 5]), nodes(&[2, 3, 4, 5])).need, 2);
    assert_eq!(crate::first(NodeId(1), 7, Nodes::NONE, Nodes::NONE).need, 0, "the only node there is");
}

/// Under a steady load no standby ever has all that is on the primary's disk at that moment; the quorum of a wanted switch, or of a
/// node that is gone, would never come.
#[test]
fn a_smaller_quorum_takes_over_what_was_there_when_it_came_into_force() {
    let world = crate::sim::calm(World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    let primary = world.record.as_ref().and_then(Record::primary).unwrap();
    let mut view = world.view_of(primary);
    let now = *view.record.as_ref().unwrap().value.current().unwrap();
    let left = now.members.iter().next().unwrap();
    let judgement = crate::Judgement {
        steady: Nodes::NONE.with(left),
        missing: now.members.without(left),
        ..crate::Judgement::default()
    };
    let mut choose = |from: Option<u64>| {
        let crate::Server::Primary { sync, flush, senders, .. } = &mut view.server else { panic!() };
        let to = Quorum { members: Nodes::NONE.with(left), ..now };
        *sync = crate::Sync { set: Some(to), in_force: true, from: from.map(Lsn), unsure: false };
        *flush = Lsn(90);
        senders.get_mut(&left).unwrap().flush = Lsn(80);
        super::choose(&view, &judgement).map(|(rule, _)| rule)
    };
    assert_eq!(choose(Some(75)), Some("quorum"));
    assert_eq!(choose(Some(85)), None);
    assert_eq!(choose(None), None, "nobody knows what came before");
}

/// While a database changes from a quorum to a lease, commits are awaited until there is a lease, and a clock that ends the server.
#[test]
fn commits_go_unawaited_only_under_a_lease_that_is_held() {
    let world = crate::sim::calm(World::new(2, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    let primary = world.record.as_ref().and_then(Record::primary).unwrap();
    let mut view = world.view_of(primary);
    view.mode = model::Mode::Lease;
    assert_eq!(view.record.as_ref().unwrap().value.current().unwrap().need, 1);
    let choose = |held| {
        let lease = crate::Tenure { held, ..Default::default() };
        super::choose(&view, &crate::Judgement { lease, ..Default::default() })
    };
    assert_eq!(choose(false), None);
    let Some(("quorum", crate::Action::Write { record, .. })) = choose(true) else {
        panic!("{:?}", choose(true))
    };
    assert_eq!(record.current().unwrap().need, 0);
}

/// A record that asks less may have been written with nothing heard of it; the server must not go by another quorum before that is
/// certain, or writes are acknowledged that the next election does not ask for.
#[test]
fn a_quorum_that_may_be_in_the_record_is_not_exchanged_for_another() {
    let world = crate::sim::calm(World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    let primary = world.record.as_ref().and_then(Record::primary).unwrap();
    let mut view = world.view_of(primary);
    let kept = view.record.clone().unwrap().value;
    let now = *kept.current().unwrap();
    let smaller = Quorum { members: Nodes::NONE.with(now.members.iter().next().unwrap()), ..now };
    let judgement = crate::Judgement { steady: now.members, ..crate::Judgement::default() };
    let mut choose = |unsure| {
        let crate::Server::Primary { sync, .. } = &mut view.server else { panic!() };
        *sync = crate::Sync { set: Some(smaller), in_force: true, from: None, unsure };
        super::choose(&view, &judgement).unwrap().1
    };
    assert!(matches!(choose(true), crate::Action::Write { record, .. } if *record == kept), "as it is");
    assert_eq!(choose(false), crate::Action::SetSync(now));
}

/// The winner is gone before it served, and a follower with it. The old primary has everything: nobody else is waited for.
#[test]
fn a_winner_that_never_served_is_not_waited_for() {
    let mut view = World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None).view_of(NodeId(1));
    let quorum = |primary, term, members| Quorum { primary, term, members: nodes(members), need: 1 };
    let quorums = vec![quorum(NodeId(1), 3, &[2, 3]), quorum(NodeId(2), 4, &[1, 3])];
    let mut record = Record { quorums, ..serving(awaiting_nobody(&[])) };
    record.phase = ReignPhase::Promoting { primary: NodeId(2) };
    view.durable.promised = 4;
    view.record = Some(crate::Kept { value: record.clone(), revision: 8 });
    let judgement = crate::Judgement { suspects: true, agree: nodes(&[1]), ..crate::Judgement::default() };
    let Some(("suspect", crate::Action::Write { record: next, .. })) = super::choose(&view, &judgement)
    else {
        panic!("{:?}", super::choose(&view, &judgement))
    };
    assert_eq!((next.term, next.quorums), (5, vec![quorum(NodeId(1), 3, &[2, 3])]));
    record.phase = ReignPhase::Serving { primary: NodeId(2), handover: None };
    view.record = Some(crate::Kept { value: record, revision: 9 });
    assert_ne!(
        super::choose(&view, &judgement).map(|(rule, _)| rule),
        Some("suspect"),
        "it may have acknowledged"
    );
}

/// The standbys have left the plan: no name is waited for that will never stream again, whatever the file says of one that is away.
#[test]
fn a_primary_that_is_alone_in_the_plan_waits_for_nobody() {
    let world = crate::sim::calm(World::new(3, Alone::Block, Budget::NOTHING, crate::Flaw::None));
    let primary = world.record.as_ref().and_then(Record::primary).unwrap();
    let mut view = world.view_of(primary);
    let judgement = crate::Judgement { missing: view.nodes.without(primary), ..crate::Judgement::default() };
    assert_eq!(super::choose(&view, &judgement), None, "those of the plan are waited for");
    view.nodes = Nodes::NONE.with(primary);
    let Some((_, crate::Action::Write { record, .. })) = super::choose(&view, &judgement) else { panic!() };
    assert_eq!((record.current().unwrap().members, record.current().unwrap().need), (Nodes::NONE, 0));
    // Nor does a winner that has not served yet: nobody is left to call for another election.
    view.record.as_mut().unwrap().value.phase = ReignPhase::Promoting { primary };
    let Some(("go alone", crate::Action::Write { record, .. })) = super::choose(&view, &judgement) else {
        panic!("{:?}", super::choose(&view, &judgement))
    };
    assert_eq!((record.current().unwrap().members, record.current().unwrap().need), (Nodes::NONE, 0));
}

/// The record of a lease names who may stand in. Before commits wait, which may take long, nobody may.
#[test]
fn from_a_lease_to_a_quorum_nobody_is_named_first() {
    let lease = Quorum { primary: NodeId(1), term: 3, members: nodes(&[2]), need: 0 };
    let nobody = Quorum { members: Nodes::NONE, ..lease };
    for (wanted, alone) in
        [(nodes(&[2]), Alone::Block), (Nodes::NONE, Alone::Block), (nodes(&[2]), Alone::Degrade)]
    {
        assert_eq!(step(&lease, wanted, alone), Some(Step { to: nobody, record_first: true }));
    }
    let waits = Quorum { members: nodes(&[2]), need: 1, ..lease };
    assert_eq!(step(&nobody, nodes(&[2]), Alone::Block), Some(Step { to: waits, record_first: false }));
}

fn awaiting_nobody(members: &[u8]) -> Quorum {
    Quorum { primary: NodeId(1), term: 4, members: nodes(members), need: 0 }
}

fn serving(quorum: Quorum) -> Record {
    let phase = ReignPhase::Serving { primary: NodeId(1), handover: None };
    Record { term: 4, phase, quorums: vec![quorum], history: Vec::new(), unrest: Default::default() }
}

fn open_primary(unsure: bool) -> crate::Server {
    crate::Server::Primary {
        sync: crate::Sync { set: Some(awaiting_nobody(&[])), in_force: true, from: None, unsure },
        open: true,
        flush: Lsn(10),
        fork: Lsn(1),
        senders: Default::default(),
        checkpointed: true,
    }
}

/// A primary that nobody stands in for, and that knows what it wrote.
pub(crate) fn relieved() -> crate::View {
    let mut view = World::new(2, Alone::Block, Budget::NOTHING, crate::Flaw::None).view_of(NodeId(1));
    view.durable = crate::Durable { promised: 4, lineage: 4, reign: 4 };
    view.record = Some(crate::Kept { value: serving(awaiting_nobody(&[])), revision: 8 });
    view.server = open_primary(false);
    view
}

/// It may name a standby that was close behind when it was sent. Were the lease to go on meanwhile, that one could take over
/// without anything that was acknowledged since.
#[test]
fn a_lease_goes_on_only_when_no_record_of_who_stands_in_is_on_its_way() {
    let mut view = relieved();
    view.mode = model::Mode::Lease;
    let behind = model::Nodes::NONE.with(NodeId(2));
    let lease = crate::Tenure { held: true, due: true, behind, ..Default::default() };
    let judgement = crate::Judgement { lease, ..Default::default() };
    view.server = open_primary(true);
    let Some(("renew", crate::Action::Write { record, revision, unchanged })) =
        super::choose(&view, &judgement)
    else {
        panic!("{:?}", super::choose(&view, &judgement))
    };
    assert_eq!((*record, revision, unchanged.len()), (serving(awaiting_nobody(&[])), 8, 0), "as it is");
    view.server = open_primary(false);
    assert!(matches!(super::choose(&view, &judgement), Some(("renew", crate::Action::Renew { .. }))));
}

/// An earlier keeper, of lease mode, may have sent that node 2 stands in from now on. Taken for relieved by the record before
/// that, a primary would acknowledge alone, unwatched, and node 2 beside it.
#[test]
fn a_watchdog_goes_when_nothing_on_its_way_names_somebody_who_stands_in() {
    use crate::decide_lease::{Relief, relief};
    let record = |members: &[u8]| serving(awaiting_nobody(members));
    let mut view = relieved();
    view.server = open_primary(true);
    let Relief::After(crate::Action::Write { record: written, revision, unchanged }) = relief(&view) else {
        panic!("{:?}", relief(&view));
    };
    assert_eq!((*written, revision, unchanged.len()), (record(&[]), 8, 0));
    view.server = open_primary(false);
    assert_eq!(relief(&view), Relief::Goes);
    view.record = Some(crate::Kept { value: record(&[2]), revision: 9 });
    assert_eq!(relief(&view), Relief::Stays);
    view.record = Some(crate::Kept { value: record(&[]), revision: 9 });
    view.server = crate::Server::Busy;
    assert_eq!(relief(&view), Relief::Stays, "what was sent is not known");
    view.server = open_primary(false);
    view.durable.promised = 5;
    assert_eq!(relief(&view), Relief::Stays, "the record is from the past");
}
