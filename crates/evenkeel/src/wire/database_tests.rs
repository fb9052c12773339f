use std::sync::Arc;

use database::keeper::KeeperStatus;
use expect_test::{Expect, expect};

use super::super::fixture::{data_node, ip, picture, record, zone};
use super::*;

/// What the data front of zone a serves, a line a database.
#[track_caller]
fn check_served(story: &str, own: &[(&str, u64, Record)], expect: Expect) {
    let status = |revision: &u64, record: &Record| {
        Arc::new(KeeperStatus {
            record: Some(record.clone()),
            revision: *revision,
            ..KeeperStatus::default()
        })
    };
    let board: Board =
        own.iter().map(|(node, revision, record)| (data_node(node), status(revision, record))).collect();
    let told = match served(&picture(story), &board, &zone("a"), ip("a")) {
        None => "nothing".to_owned(),
        Some(snapshot) => {
            let one = |one: &Served| {
                let primary = one.primary.map_or("none".to_owned(), |primary| primary.to_string());
                let hold = if one.hold { " hold" } else { "" };
                format!("\n{} {} -> {primary} term {}{hold}", one.name, one.listen, one.term)
            };
            let lines: String = snapshot.databases.iter().map(one).collect();
            format!("revision {}{lines}", snapshot.revision)
        }
    };
    expect.assert_eq(&told);
}

const KNOWN: &str = "plan 1; database db; zone a; zone b; zone c";

#[test]
fn a_front_leads_to_the_primary_that_serves_and_holds_while_there_is_none() {
    let at = |record: &str| format!("{KNOWN}; db at 40 {record}");
    check_served(
        &at("term 4 serving 2"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4"#]],
    );
    check_served(
        &at("term 4 serving 2 to 1"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4"#]],
    );
    check_served(
        &at("term 4 closing 2 to 1"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4 hold"#]],
    );
    check_served(
        &at("term 5 electing"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> none term 5"#]],
    );
    check_served(
        &at("term 5 promoting 1"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> none term 5"#]],
    );
    check_served(
        KNOWN,
        &[],
        expect![[r#"
            revision 1
            db 127.0.1.1:6432 -> none term 0"#]],
    );
}

#[test]
fn a_primary_that_lets_nobody_in_yet_is_not_shown_to_clients() {
    let closed = || {
        expect![[r#"
        revision 40
        db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4 hold"#]]
    };
    let open = || {
        expect![[r#"
        revision 40
        db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4"#]]
    };
    let story = |keeper: &str| format!("{KNOWN}; db at 40 term 4 serving 2; keeper db-2 is {keeper}");
    check_served(&story("fenced"), &[], closed());
    check_served(&story("standby"), &[], closed());
    check_served(&story("open"), &[], open());
    // What it was in the term before: a keeper that has promised an older term has not opened in this one.
    check_served(
        &story("open").replace("term 4", "term 5"),
        &[],
        expect![[r#"
        revision 40
        db 127.0.1.1:6432 -> 127.0.2.1:15434 term 5 hold"#]],
    );
    // The primary's own keeper has just started and said nothing.
    check_served(
        &format!("{KNOWN}; db at 40 term 4 serving 2"),
        &[("db-2", 40, record(4, &["serving", "2"]))],
        open(),
    );
}

#[test]
fn whoever_knows_more_is_believed_the_zones_own_keeper_or_the_store() {
    let story = format!("{KNOWN}; db at 40 term 4 serving 2");
    check_served(
        &story,
        &[("db-1", 41, record(5, &["electing"]))],
        expect![[r#"
            revision 41
            db 127.0.1.1:6432 -> none term 5"#]],
    );
    // A keeper that was cut off from the store.
    check_served(
        &story,
        &[("db-1", 39, record(3, &["serving", "1"]))],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> 127.0.2.1:15434 term 4"#]],
    );
}

#[test]
fn a_front_keeps_what_it_has_before_anything_is_known() {
    check_served("agent a", &[], expect!["nothing"]);
    // The primary's zone has never said where it is.
    check_served(
        "plan 1; database db; zone a; db at 40 term 4 serving 2",
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> none term 4"#]],
    );
}

#[test]
fn a_second_database_has_ports_of_its_own_everywhere() {
    check_served(
        &format!("{KNOWN}; database other; db at 40 term 4 serving 1; other at 39 term 9 serving 3"),
        &[],
        expect![[r#"
            revision 40
            db 127.0.1.1:6432 -> 127.0.1.1:15433 term 4
            other 127.0.1.1:6433 -> 127.0.3.1:15535 term 9"#]],
    );
}

#[test]
fn a_database_stays_at_the_ports_that_were_chosen_for_it() {
    check_served(
        "plan 1; database other; database db; slot db 0; slot other 4; zone a; zone b; zone c; db at 40 term 4 serving 1",
        &[],
        expect![[r#"
            revision 40
            other 127.0.1.1:6436 -> none term 0
            db 127.0.1.1:6432 -> 127.0.1.1:15433 term 4"#]],
    );
}

#[test]
fn no_two_things_of_a_zone_share_a_port_whatever_the_plan() {
    let mut ports = Vec::new();
    for slot in 0..SLOTS {
        ports.push(front_address(ip("a"), slot).port());
        for node in (1..=model::NODES_MAX).map(NodeId) {
            ports.extend([port(SERVER_PORT, slot, node), port(KEEPER_PORT, slot, node)]);
        }
    }
    let all = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), all);
    assert!(ports.iter().all(|port| *port < 20_000), "those of units begin there");
}

/// The nodes of zone b, `?` when the others are not known.
#[track_caller]
fn check_wanted(story: &str, expected: Option<&[&str]>) {
    let told = wanted(&picture(story), &zone("b")).map(|wanted| {
        let one = |(node, wanted): (&DataNode, &Option<Wanted>)| match wanted {
            Some(wanted) => format!("{node} of {}", wanted.places.len()),
            None => format!("{node} ?"),
        };
        wanted.iter().map(one).collect::<Vec<_>>()
    });
    let expected = expected.map(|nodes| nodes.iter().map(|node| (*node).to_owned()).collect::<Vec<_>>());
    assert_eq!(told, expected, "{story}");
}

#[test]
fn a_zone_runs_its_own_nodes_once_all_zones_are_known() {
    check_wanted(KNOWN, Some(&["db-2 of 3"]));
    check_wanted("plan 1; database db; zone b; zone c", Some(&["db-2 ?"]));
    check_wanted("plan 1; zone a", Some(&[]));
    check_wanted("zone a", Some(&[]));
}

#[test]
fn a_store_that_has_not_answered_removes_no_database() {
    assert_eq!(wanted(&Mirror::default(), &zone("b")), None);
    let mut mirror = picture(KNOWN);
    mirror.rollout = None;
    let unread = super::super::mirror::Unread { revision: 1, error: "another version".to_owned() };
    mirror.unread.insert(model::keys::ROLLOUT.to_owned(), unread);
    assert_eq!(wanted(&mirror, &zone("b")), None, "a plan that cannot be read is not an empty one");
}

#[test]
fn only_what_a_server_is_made_of_stops_it() {
    let mirror = picture(KNOWN);
    let all = wanted(&mirror, &zone("a")).unwrap();
    let before = all[&data_node("db-1")].clone().unwrap();
    let check = |expected: Change, change: fn(&mut Wanted)| {
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(before.change(&after, NodeId(1)), expected);
    };
    check(Change::Nothing, |_| {});
    check(Change::Nothing, |wanted| wanted.database.database.writes = Some(model::Rate(9.0)));
    check(Change::Keeper, |wanted| wanted.database.database.when_alone = model::WhenAlone::Degrade);
    check(Change::Keeper, |wanted| drop(wanted.places.remove(&NodeId(3))));
    check(Change::Server, |wanted| wanted.database.database.postgres = 16);
    check(Change::Server, |wanted| wanted.places.get_mut(&NodeId(1)).unwrap().server.set_port(1));
    check(Change::Keeper, |wanted| wanted.places.get_mut(&NodeId(2)).unwrap().server.set_port(1));
    // The one that becomes the witness has a server to end, the others learn of it.
    let mut after = before.clone();
    (after.database.database.standbys, after.database.database.witness) = (1, true);
    assert_eq!(before.change(&after, NodeId(1)), Change::Keeper);
    assert_eq!(before.change(&after, NodeId(3)), Change::Server);
    assert_eq!(after.change(&before, NodeId(3)), Change::Server);
}

#[track_caller]
fn check_url(story: &str, own: &str, patient: bool, expected: Option<&str>) {
    let urls = urls(&picture(story), (&zone(own), ip(own)), (patient, false), |_| Some("pw".to_owned()));
    let told =
        urls.map(|urls| urls.values().map(|url| url.expose().to_owned()).collect::<Vec<_>>().join(" "));
    assert_eq!(told.as_deref(), expected, "{story}");
}

#[test]
fn units_get_their_own_zones_front_first_and_the_next_zones_second() {
    let options = "target_session_attrs=any&connect_timeout=2";
    let url = |hosts: &str| format!("postgres://shop:pw@{hosts}/shop?{options}");
    check_url(KNOWN, "a", true, Some(&url("127.0.1.1:6432,127.0.2.1:6432")));
    check_url(KNOWN, "c", true, Some(&url("127.0.3.1:6432,127.0.1.1:6432")));
    check_url("plan 1; database db; zone c", "a", true, Some(&url("127.0.1.1:6432,127.0.3.1:6432")));
    let alone = "plan 1; database db; zone a";
    check_url(alone, "a", true, None);
    check_url(alone, "a", false, Some(&url("127.0.1.1:6432")));
    check_url("plan 1", "a", true, Some(""));
    check_url("agent a", "a", true, Some(""));
}

#[test]
fn a_password_that_is_missing_starts_no_unit_with_half_an_address() {
    assert_eq!(urls(&picture(KNOWN), (&zone("a"), ip("a")), (false, false), |_| None), None);
}

#[test]
fn between_hosts_an_address_asks_for_tls() {
    let urls = urls(&picture(KNOWN), (&zone("a"), ip("a")), (true, true), |_| Some("pw".to_owned())).unwrap();
    assert!(urls.values().all(|url| url.expose().ends_with("&sslmode=require")), "no TLS is asked for");
    assert!(!urls.is_empty());
}
