use expect_test::expect;

use super::*;

fn facts(tls: bool) -> Facts<'static> {
    Facts {
        node: "b",
        listen: "127.0.2.1:5432".parse().unwrap(),
        sockets: "/s/run",
        conf: "/s/it's",
        tls,
        tls_applications: tls,
        database: "shop",
        application: "shop",
        os_user: "root",
        tuning: Tuning::default(),
    }
}

fn standby(upstream: bool, open: bool) -> Settings {
    let upstream = upstream.then(|| Upstream {
        address: "127.0.1.1:5432".parse().unwrap(),
        name: StandbyName::new("b-3").unwrap(),
        slot: Some(SlotName::new("b_3").unwrap()),
    });
    Settings { role: Role::Standby { upstream }, acks: Acks::Never, open }
}

#[test]
fn a_fenced_server_lets_in_standbys_and_the_keeper_alone() {
    expect![[r#"
        # Written by evenkeel; changes are overwritten.
        local all evenkeel peer map=keeper
        local all all reject
        host replication evenkeel_replication all scram-sha-256
        host replication all all reject
        host postgres evenkeel_rewind all scram-sha-256
        host all evenkeel,evenkeel_replication,evenkeel_rewind all reject
        host all all all reject
    "#]]
    .assert_eq(&hba(&facts(false), &standby(true, false)));
    assert!(
        hba(&facts(false), &standby(true, true)).contains("\nhost \"shop\" \"shop\" all scram-sha-256\n")
    );
}

#[test]
fn with_tls_nobody_comes_in_without_it_and_nodes_show_a_certificate() {
    let text = hba(&facts(true), &standby(true, true));
    for line in text.lines().filter(|line| line.starts_with("host ")) {
        assert!(line.ends_with("reject"), "{line}");
    }
    assert!(text.contains("hostssl replication evenkeel_replication all scram-sha-256 clientcert=verify-ca"));
}

#[test]
fn on_one_machine_applications_may_come_in_clear_and_nodes_still_not() {
    let text = hba(&Facts { tls_applications: false, ..facts(true) }, &standby(true, true));
    assert!(text.contains("\nhost \"shop\" \"shop\" all scram-sha-256\n"), "{text}");
    assert!(text.contains("\nhostssl replication "), "{text}");
}

#[test]
fn a_revoked_standby_has_no_upstream_and_one_that_has_says_its_name_of_this_term() {
    let line = |settings: &Settings| -> String {
        let text = conf(&facts(false), settings);
        text.lines().find(|line| line.starts_with("primary_conninfo")).unwrap().to_owned()
    };
    assert_eq!(line(&standby(false, true)), "primary_conninfo = ''");
    expect![[r#"
        primary_conninfo = 'host=127.0.1.1 port=5432 user=evenkeel_replication passfile=''/s/it\\''s/passfile'' connect_timeout=2 keepalives_idle=2 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=5000 sslmode=disable application_name=b-3'"#]]
    .assert_eq(&line(&standby(true, true)));
}

#[test]
fn the_set_that_is_waited_for_is_never_empty_by_accident() {
    let names = |names: &[&str]| names.iter().map(|name| StandbyName::new(name).unwrap()).collect();
    let any = |need, list: &[&str]| Acks::AnyOf { need, names: names(list) };
    assert_eq!(any(1, &["b-1", "c-1"]).value(), "ANY 1 (\"b-1\",\"c-1\")");
    assert_eq!(any(0, &["b-1"]).value(), "ANY 1 (\"b-1\")");
    assert_eq!(any(1, &[]).value(), Acks::Never.value());
    assert_ne!(Acks::Never.value(), "");
    assert!(StandbyName::new(NOBODY).is_err(), "a standby could take the name of nobody");
    assert!(any(1, &["b-1"]).counts("B-1"), "PostgreSQL compares without regard to case");
}

#[test]
fn what_a_person_set_by_alter_system_stays_unless_safety_rests_on_it() {
    let text = "# do not edit\nwork_mem = '8MB'\nsynchronous_standby_names = ''\nPORT='1'\nssl=off\nssl_ciphers = 'x'\n";
    assert_eq!(without_ours(text), "# do not edit\nwork_mem = '8MB'\nssl_ciphers = 'x'\n");
}

#[test]
fn a_password_keeps_its_colons_apart_from_the_files_own() {
    let line = passline("[::1]:5432".parse().unwrap(), "replication", "u", "a:b\\c");
    assert_eq!(line, "\\:\\:1:5432:replication:u:a\\:b\\\\c\n");
}
