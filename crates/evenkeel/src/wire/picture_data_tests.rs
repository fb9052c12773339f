use expect_test::{Expect, expect};

use super::super::fixture::picture;
use super::*;
use model::WarningKind;

#[track_caller]
fn check(story: &str, expect: Expect) {
    let mirror = picture(&format!("plan 1; database db; zone a; zone b; zone c; {story}"));
    let mut lines = Vec::new();
    for one in databases(&mirror) {
        let members: Vec<&str> = one.members.iter().map(UnitName::as_str).collect();
        let primary = one.primary.as_ref().map_or("none", UnitName::as_str);
        let well = if one.healthy { "healthy" } else { "unhealthy" };
        let (phase, term, need) = (&one.phase, one.term, one.need);
        lines.push(format!("{} {phase} {term} {primary}, {need} of {members:?}, {well}", one.name));
    }
    for one in units(&mirror) {
        let well = if one.healthy { "healthy" } else { "unhealthy" };
        let at = one.address.map_or(String::new(), |at| format!(" at {at}"));
        let (role, state) = (&one.role, one.state);
        lines.push(format!("{} {role} {state:?} {well}{at}: {}", one.name, one.detail));
    }
    expect.assert_eq(&lines.join("\n"));
}

const CALM: &str = "agent a; agent b; agent c; db at 40 term 4 serving 1; keeper db-1 is open 2=0 3=2048; \
                    keeper db-2 is streaming; keeper db-3 is streaming";

#[test]
fn in_calm_everybody_sees_who_writes_who_votes_and_who_is_behind() {
    check(
        CALM,
        expect![[r#"
            db serving 4 db-1, 1 of ["db-2", "db-3"], healthy
            db-1 primary Ready healthy at 127.0.1.1:15433: term 4
            db-2 standby Ready healthy at 127.0.2.1:15434: term 4, votes, lag 0B
            db-3 standby Ready healthy at 127.0.3.1:15435: term 4, votes, lag 2K"#]],
    );
}

#[test]
fn a_witness_is_called_one() {
    let mut mirror = picture(&format!("plan 1; database db; zone a; zone b; zone c; {CALM}"));
    let (rollout, _) = mirror.rollout.as_mut().unwrap();
    let database = &mut rollout.plan.databases[0].database;
    (database.standbys, database.witness) = (1, true);
    let roles: Vec<String> = units(&mirror).iter().map(|one| format!("{} {}", one.name, one.role)).collect();
    assert_eq!(roles, ["db-1 primary", "db-2 standby", "db-3 witness"]);
}

#[test]
fn a_primary_whose_zone_is_silent_is_not_said_to_serve() {
    check(
        &CALM.replace("agent a;", ""),
        expect![[r#"
            db serving 4 db-1, 1 of ["db-2", "db-3"], unhealthy
            db-1 primary Ready unhealthy at 127.0.1.1:15433: its zone does not answer
            db-2 standby Ready healthy at 127.0.2.1:15434: term 4, votes
            db-3 standby Ready healthy at 127.0.3.1:15435: term 4, votes"#]],
    );
}

#[test]
fn without_a_standby_that_must_have_a_write_none_is_acknowledged_and_that_is_said() {
    check(
        "agent a; agent b; db at 40 term 4 serving 1; keeper db-1 is open; keeper db-2 is standby; \
         keeper db-3 is streaming",
        expect![[r#"
            db serving 4 db-1, 1 of ["db-2", "db-3"], unhealthy
            db-1 primary Ready healthy at 127.0.1.1:15433: term 4
            db-2 standby Unready unhealthy at 127.0.2.1:15434: term 4, votes, receives nothing
            db-3 standby Ready unhealthy at 127.0.3.1:15435: its zone does not answer"#]],
    );
}

#[test]
fn at_the_first_start_nothing_is_claimed() {
    check(
        "agent a; agent b; agent c; keeper db-1 is making",
        expect![[r#"
            db starting 0 none, 0 of [], unhealthy
            db-1 standby Starting unhealthy at 127.0.1.1:15433: term 4, its data is being made
            db-2 standby Starting unhealthy at 127.0.2.1:15434: its keeper has not said anything yet
            db-3 standby Starting unhealthy at 127.0.3.1:15435: its keeper has not said anything yet"#]],
    );
}

fn warning(kind: WarningKind, since_ms: u64) -> Warning {
    let text = |part: &str| format!("{kind:?}: {part}");
    let database = model::DatabaseName::new("db").unwrap();
    Warning { kind, database, since_ms, what: text("what"), means: text("means"), hint: text("hint") }
}

#[test]
fn what_several_nodes_warn_of_is_said_once_and_what_a_silent_zone_said_not_at_all() {
    let mut mirror =
        picture(&format!("plan 1; database db; zone a; zone b; zone c; {CALM}").replace("agent c;", ""));
    let docs = mirror.databases.values_mut().next().unwrap();
    let told = [
        (1, WarningKind::Restless, 900),
        (1, WarningKind::Unprotected, 700),
        (2, WarningKind::Restless, 800),
        (3, WarningKind::NoPrimary, 100),
    ];
    for (node, kind, since_ms) in told {
        docs.statuses.get_mut(&NodeId(node)).unwrap().warnings.push(warning(kind, since_ms));
    }
    docs.statuses.get_mut(&NodeId(1)).unwrap().only_here_bytes = Some(2_048);
    let all: Vec<_> = warnings(&mirror).iter().map(|one| (one.kind, one.since_ms)).collect();
    assert_eq!(all, [(WarningKind::Unprotected, 700), (WarningKind::Restless, 800)]);
    assert_eq!(databases(&mirror)[0].only_here_bytes, Some(2_048));
}

#[test]
fn between_two_primaries_there_is_none() {
    for (phase, told) in [("electing", "electing"), ("promoting 2", "promoting")] {
        let mirror = picture(&format!("plan 1; database db; db at 40 term 5 {phase}"));
        let one = &databases(&mirror)[0];
        assert_eq!((one.phase.as_str(), one.healthy, one.term), (told, false, 5));
    }
    let over = picture("plan 1; database db; db at 40 term 5 serving 1 to 2");
    assert_eq!(databases(&over)[0].phase, "handing over");
}
