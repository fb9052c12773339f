use super::super::fixture::{database as planned, picture};
use super::*;

fn docs(story: &str) -> DatabaseDocs {
    let mirror = picture(&format!("plan 1; {story}"));
    mirror.databases.values().next().cloned().unwrap_or_default()
}

/// Who hands over to whom, or why nobody does, with the way out.
#[track_caller]
fn check(story: &str, to: Option<&str>, expected: &str) {
    let told = match order(&planned("db"), &docs(story), to) {
        Ok(order) => {
            let phase = ReignPhase::Serving { primary: order.from, handover: Some(order.to) };
            assert_eq!(order.record.phase, phase, "nothing else is asked for");
            format!("{} to {} in term {}", order.from, order.to, order.term)
        }
        Err(Refused { why, hint }) => format!("{why} / {hint}"),
    };
    assert_eq!(told, expected, "{story}");
}

const SERVING: &str = "db at 40 term 4 serving 1; keeper db-1 is open 2=900 3=0";

#[test]
fn without_a_wish_the_standby_that_is_the_least_behind_takes_over() {
    check(SERVING, None, "1 to 3 in term 4");
    check("db at 40 term 4 serving 1; keeper db-1 is open 2=0 3=0", None, "1 to 2 in term 4");
    // One that the primary says nothing of may be anywhere.
    check("db at 40 term 4 serving 1; keeper db-1 is open 3=99", None, "1 to 3 in term 4");
    check("db at 40 term 4 serving 1", None, "1 to 2 in term 4");
}

#[test]
fn a_zone_or_a_node_can_be_asked_for_and_nothing_that_may_lack_writes() {
    check(SERVING, Some("b"), "1 to 2 in term 4");
    check(SERVING, Some("db-3"), "1 to 3 in term 4");
    check(SERVING, Some("a"), "`db-1` is the primary already / it can go to: db-2, db-3");
    check(SERVING, Some("d"), "`db` has no node `d`, and none in a zone `d` / it can go to: db-2, db-3");
    let mut one = docs(SERVING);
    let (record, _) = one.record.as_mut().unwrap();
    record.quorums[0].members = [NodeId(3)].into_iter().collect();
    let refused = order(&planned("db"), &one, Some("b")).unwrap_err();
    assert_eq!(
        (refused.why.as_str(), refused.hint.as_str()),
        (
            "`db-2` does not count: it may lack writes that were acknowledged, so it cannot take over",
            "it can go to: db-3"
        )
    );
    record_without_members(&mut one);
    let refused = order(&planned("db"), &one, None).unwrap_err();
    assert_eq!(refused.why, "`db` has no standby that could take over");
}

#[test]
fn a_witness_is_never_asked_to_take_over() {
    let mut database = planned("db");
    (database.database.standbys, database.database.witness) = (1, true);
    // It is the least behind.
    let docs = docs(SERVING);
    assert_eq!(order(&database, &docs, None).unwrap().to, NodeId(2));
    for to in ["c", "db-3"] {
        let refused = order(&database, &docs, Some(to)).unwrap_err();
        assert_eq!(refused.why, "`db-3` is the witness: it holds the log and no data");
        assert_eq!(refused.hint, "it can go to: db-2");
    }
}

/// After too many failovers in a row nothing goes on unasked; whoever asks forgives them, whatever has become of the
/// primary meanwhile.
#[test]
fn a_person_who_asks_forgives_what_was_too_much() {
    let restless = |story: &str| {
        let mut docs = docs(story);
        docs.record.as_mut().unwrap().0.unrest = [(NodeId(1), UNREST_MAX)].into();
        docs
    };
    let asked = order(&planned("db"), &restless(SERVING), None).unwrap();
    assert!(asked.record.unrest.is_empty());
    // It failed while it was promoted: an election follows by itself as soon as it may.
    let stuck = restless("db at 40 term 4 promoting 1");
    let asked = order(&planned("db"), &stuck, None).unwrap();
    assert_eq!((asked.from, asked.record.phase), (NodeId(1), ReignPhase::Promoting { primary: NodeId(1) }));
    assert!(asked.record.unrest.is_empty());
    let quiet = order(&planned("db"), &docs("db at 40 term 4 promoting 1"), None).unwrap_err();
    assert_eq!(quiet.why, "`db` has no primary now");
}

fn record_without_members(docs: &mut DatabaseDocs) {
    docs.record.as_mut().unwrap().0.quorums[0].members = model::Nodes::NONE;
}

#[test]
fn there_must_be_a_primary_that_can_hand_over() {
    let status = "`evenkeel status` shows how far it is";
    check("agent a", None, &format!("`db` has no primary yet / it is being started; {status}"));
    for phase in ["electing", "promoting 2"] {
        let expected = format!("`db` has no primary now / it gets one without being asked; {status}");
        check(&format!("db at 40 term 4 {phase}"), None, &expected);
    }
    check(
        "db at 40 term 4 serving 1 to 3",
        Some("b"),
        "`db` is being handed over to `db-3` already / wait for it: it is done or called off within seconds",
    );
}

#[test]
fn whoever_waits_hears_each_step_and_the_end() {
    let order = order(&planned("db"), &docs(SERVING), Some("b")).unwrap();
    let hear = |phase: &str| {
        let record = docs(&format!("db at 41 {phase}")).record.unwrap().0;
        match news(&planned("db"), &order, &record) {
            News::Under(line) => line,
            News::Done(node, term) => format!("done {node} {term}"),
            News::CalledOff => "called off".to_owned(),
        }
    };
    assert_eq!(hear("term 4 serving 1 to 2"), "writes wait for `db-2` alone");
    assert_eq!(hear("term 4 closing 1 to 2"), "`db-1` ends its sessions");
    assert_eq!(hear("term 5 electing"), "term 5: every node reports how far its log reaches");
    assert_eq!(hear("term 5 promoting 2"), "term 5: `db-2` is being promoted");
    assert_eq!(hear("term 5 serving 2"), "done 2 5");
    assert_eq!(hear("term 4 serving 1"), "called off");
    // It won the election that its own handover had begun.
    assert_eq!(hear("term 6 serving 1"), "done 1 6");
}

#[test]
fn a_database_is_called_by_its_name_and_the_others_are_named() {
    let mirror = picture("plan 1; database db; database other");
    assert!(database(&mirror, "db").is_ok());
    assert_eq!(database(&mirror, "x").unwrap_err().hint, "there are: db, other");
    let hint = database(&picture("plan 1"), "db").unwrap_err().hint;
    assert!(hint.starts_with("the plan in force has no databases"), "{hint}");
}
