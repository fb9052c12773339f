use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use model::Moment;

use super::{Memory, Peer};
use crate::{Alone, Docs, Durable, Kept, Sender, Server, Sync, View};
use model::{Lsn, NodeId, Nodes, Quorum, Record, ReignPhase as Phase};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// Three nodes, of which 1 reigns in term 4.
fn view(me: NodeId, phase: Phase, streaming: &[NodeId]) -> View {
    let members = [B, C].into_iter().collect();
    let quorum = Quorum { primary: A, term: 4, members, need: 1 };
    let record =
        Record { term: 4, phase, quorums: vec![quorum], history: Vec::new(), unrest: BTreeMap::new() };
    let sender = Sender { term: 4, flush: Lsn(9) };
    let server = Server::Primary {
        sync: Sync::default(),
        open: true,
        flush: Lsn(9),
        fork: Lsn(1),
        senders: streaming.iter().map(|node| (*node, sender)).collect(),
        checkpointed: true,
    };
    View {
        me,
        nodes: [A, B, C].into_iter().collect(),
        witnesses: Nodes::NONE,
        from: Lsn(0),
        alone: Alone::Block,
        mode: model::Mode::Quorum,
        unrest_max: crate::UNREST_MAX,
        record: Some(Kept { value: record, revision: 1 }),
        docs: Docs::new(),
        durable: Durable { promised: 4, lineage: 4, reign: if me == A { 4 } else { 0 } },
        server: if me == A { server } else { Server::Busy },
        stranded: false,
        unfetched: false,
    }
}

const SERVING: Phase = Phase::Serving { primary: A, handover: None };

/// Plays a timeline of node 2: `900 tick` lets it look, `300 hear` has the primary's keeper heard, `400 answer` its
/// server, `500 refuse` its host refuse, `600 agree` node 3 say that it suspects too, `650 give-up` the primary say that it
/// can write nothing, `700 wait` that it runs and waits. One line for each change.
#[track_caller]
fn check(timeline: &str, expected: Expect) {
    let (mut memory, mut peers) = (Memory::default(), BTreeMap::<NodeId, Peer>::new());
    let mut told = String::new();
    let mut before = (false, Nodes::NONE);
    for line in timeline.split(", ") {
        let (at, what) = line.split_once(' ').unwrap();
        let now = Moment(at.parse().unwrap());
        let primary = peers.entry(A).or_default();
        match what {
            "hear" => primary.heard = Some(now),
            "answer" => primary.server_heard = Some(now),
            "refuse" => primary.refused = true,
            "give-up" => (primary.heard, primary.suspects) = (Some(now), Some(4)),
            "agree" => {
                peers.insert(C, Peer { heard: Some(now), suspects: Some(4), ..Peer::default() });
            }
            "tick" => {}
            "wait" => {
                memory.runs(now);
                continue;
            }
            other => panic!("`{other}` is nothing that happens"),
        }
        let judged = memory.judge(&view(B, SERVING, &[]), &peers, now);
        let next = (judged.suspects, judged.agree);
        if next != before {
            let agree: Vec<u8> = judged.agree.iter().map(|node| node.0).collect();
            told.push_str(&format!("{at}: suspects {}, agree {agree:?}\n", judged.suspects));
        }
        before = next;
    }
    expected.assert_eq(&told);
}

/// A tick each 100 ms from `from` to `to`.
fn ticks(from: u64, to: u64) -> String {
    (from..=to).step_by(100).map(|at| format!("{at} tick")).collect::<Vec<_>>().join(", ")
}

#[test]
fn silence_of_the_primary_is_suspicious_after_its_time_and_not_before() {
    check(
        &format!("0 hear, {}", ticks(100, 2_000)),
        expect![[r#"
            0: suspects false, agree [2]
            1200: suspects true, agree [2]
        "#]],
    );
}

/// What answers at a dead host's address needs no key for it.
#[test]
fn a_server_without_its_keeper_is_believed_for_a_minute() {
    let answers = |from: u64, to: u64| {
        let each = (from..=to).step_by(100).map(|at| format!("{at} answer, {at} tick"));
        each.collect::<Vec<_>>().join(", ")
    };
    check(
        &format!("0 hear, {}", answers(100, 70_000)),
        expect![[r#"
            0: suspects false, agree [2]
            61200: suspects true, agree [2]
        "#]],
    );
    check(
        &format!("0 hear, {}, 30000 hear, {}", answers(100, 30_000), answers(30_100, 90_000)),
        expect![[r#"
            0: suspects false, agree [2]
        "#]],
    );
}

#[test]
fn a_keeper_that_stood_still_itself_counts_silence_anew() {
    check(
        &format!("0 hear, 100 tick, 1500 tick, {}, {}", ticks(1_600, 2_600), ticks(2_700, 2_800)),
        expect![[r#"
            0: suspects false, agree [2]
            2700: suspects true, agree [2]
        "#]],
    );
}

/// etcd's leader was on the host that was cut off: writes wait for the next one, and each would cost 1.2 s more.
#[test]
fn a_keeper_that_waits_for_a_store_without_a_leader_did_not_stand_still() {
    check(
        &format!("0 hear, {}, 1250 wait, 1350 wait, 1500 wait, 1700 tick", ticks(100, 1_100)),
        expect![[r#"
            0: suspects false, agree [2]
            1700: suspects true, agree [2]
        "#]],
    );
}

#[test]
fn a_primary_whose_keeper_alone_is_gone_lives_as_long_as_its_server_answers() {
    check(
        &format!("0 hear, {}, 1000 answer, {}", ticks(100, 900), ticks(1_100, 2_300)),
        expect![[r#"
            0: suspects false, agree [2]
            2200: suspects true, agree [2]
        "#]],
    );
}

#[test]
fn a_host_that_refuses_is_believed_at_once() {
    check(
        "0 hear, 100 tick, 200 refuse, 250 agree",
        expect![[r#"
            0: suspects false, agree [2]
            200: suspects true, agree [2]
            250: suspects true, agree [2, 3]
        "#]],
    );
}

#[test]
fn a_primary_that_gives_up_is_believed_and_is_nobody_to_agree_with() {
    check(
        "0 hear, 100 tick, 200 give-up, 250 agree, 300 hear",
        expect![[r#"
            0: suspects false, agree [2]
            200: suspects true, agree [2]
            250: suspects true, agree [2, 3]
        "#]],
    );
}

#[test]
fn what_a_peer_said_long_ago_is_no_agreement() {
    check(
        &format!("0 hear, 100 agree, {}", ticks(200, 800)),
        expect![[r#"
            0: suspects false, agree [2]
            100: suspects false, agree [2, 3]
            700: suspects false, agree [2]
        "#]],
    );
}

#[test]
fn a_standby_counts_as_missing_after_its_time_and_as_steady_after_another() {
    let mut memory = Memory::default();
    let peers = BTreeMap::new();
    let mut judge = |streaming: &[NodeId], at: u64| {
        let judged = memory.judge(&view(A, SERVING, streaming), &peers, Moment(at));
        (judged.steady, judged.missing)
    };
    let only = |node: NodeId| Nodes::NONE.with(node);
    for at in (0..=300).step_by(100) {
        judge(&[B, C], at);
    }
    assert_eq!(judge(&[B, C], 400), (only(B).with(C), Nodes::NONE));
    for at in (500..=1_900).step_by(100) {
        assert_eq!(judge(&[B], at).1.without(A), Nodes::NONE, "at {at}");
    }
    assert_eq!(judge(&[B], 2_000), (only(B), only(A).with(C)));
    // It stood still for 3 s: nobody was seen missing meanwhile.
    assert_eq!(judge(&[B], 5_000), (only(B), Nodes::NONE));
}

#[test]
fn a_handover_and_an_election_have_their_time() {
    let mut memory = Memory::default();
    let handover = Phase::Serving { primary: A, handover: Some(B) };
    let mut judge = |phase, at| memory.judge(&view(A, phase, &[]), &BTreeMap::new(), Moment(at));
    assert!(!judge(handover, 0).handover_late);
    assert!(!judge(handover, 4_999).handover_late);
    assert!(judge(handover, 5_000).handover_late);
    let election = Phase::Electing { preferred: None };
    assert!(!judge(election, 5_100).patience_over);
    assert!(judge(election, 6_600).patience_over);
}
