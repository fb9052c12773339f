use expect_test::{Expect, expect};
use model::{Fault, FaultKind, FaultTarget, Verdict};

use super::super::super::wire::fixture::{picture, unit};
use super::super::super::wire::picture;
use super::*;

/// What `status` prints after `story`, changed by `change`.
#[track_caller]
fn check(story: &str, change: impl FnOnce(&mut Status), expect: Expect) {
    let mut status = picture::build(&picture(story), Some(399.7), 1);
    change(&mut status);
    let text = render(&status, &["http://127.0.1.1:1/?token=x".to_owned()], false);
    assert!(text.lines().all(|line| !line.ends_with(' ')), "no blank ends a line:\n{text}");
    assert!(!text.contains('\u{1b}'), "colour was not asked for");
    expect.assert_eq(&text);
}

const CALM: &str = "plan 1; leader b; agent a; agent b; agent c; unit web-1 in a; unit web-2 in b; unit web-3 in c; \
    unit web-4 in a; web-1 in a is ready; web-2 in b is ready; web-3 in c is ready; web-4 in a is ready; \
    edge-a in a is ready; edge-b in b is ready; edge-c in c is ready; front a counts 1000 0; front b counts 1000 1; \
    front c serves 9";

#[test]
fn calm_fits_on_one_screen() {
    check(
        CALM,
        |status| status.objectives.availability_percent = Some(99.95),
        expect![[r#"
        shop  plan #1  reached   (one machine: not HA)
        availability 99.950% (objective 99.950%)   requests 2000 (400/s)   errors 1
          http://127.0.1.1:8080/
          http://127.0.2.1:8080/
          http://127.0.3.1:8080/

                  zone a (up)             zone b (up, leads)      zone c (up)
        edge      ● edge-a ready          ● edge-b ready          ● edge-c ready
        web       ● web-1 ready           ● web-2 ready           ● web-3 ready
                  ● web-4 ready

        console: http://127.0.1.1:1/?token=x
    "#]],
    );
}

const DATA: &str = "plan 1; database db; zone a; zone b; zone c; agent a; agent b; agent c; db at 40 term 4 serving 1; \
    keeper db-1 is open 2=0 3=0; keeper db-2 is streaming; keeper db-3 is streaming; data-a in a is ready; \
    data front a listens";

#[test]
fn a_database_without_a_standby_is_warned_of_above_everything_else() {
    let warn = |status: &mut Status| {
        status.databases[0].only_here_bytes = Some(3 * 1024);
        status.at_ms = 20_000;
        status.warnings.push(model::Warning {
            kind: model::WarningKind::Unprotected,
            database: model::DatabaseName::new("db").unwrap(),
            since_ms: 8_000,
            what: "no standby is left, and writes go on".to_owned(),
            means: "what is acknowledged now is on one disk alone".to_owned(),
            hint: "bring back `db-2` or `db-3`".to_owned(),
        });
    };
    check(
        DATA,
        warn,
        expect![[r#"
            shop  plan #1  reached   (one machine: not HA)
            availability - (objective -)   requests 0 (400/s)   errors 0
            db: serving, quorum, term 4, primary db-1; a write is acknowledged once 1 of db-2, db-3 has it; 3K of the log are on its disk alone
              db at 127.0.1.1:6432
            warning: db: no standby is left, and writes go on, since 12 s
              what is acknowledged now is on one disk alone
              hint: bring back `db-2` or `db-3`

                      zone a (up)             zone b (up)             zone c (up)
            data      ● data-a ready
            db        ● db-1 primary          ● db-2 standby          ● db-3 standby
              db-1: term 4
              db-2: term 4, votes, lag 0B
              db-3: term 4, votes, lag 0B

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
}

#[test]
fn a_store_that_is_full_is_warned_of() {
    let complaint = "etcd takes no write: its file has reached its quota\nhint: empty it";
    let mut status = picture::build(&picture(CALM), None, 1);
    status.store = Some(complaint.to_owned());
    let told = "warning: store: etcd takes no write: its file has reached its quota\n  hint: empty it\n";
    assert!(render(&status, &[], false).contains(told), "{}", render(&status, &[], false));
    status.store = None;
    assert!(!render(&status, &[], false).contains("warning"));
}

#[test]
fn of_a_database_one_sees_who_writes_and_who_must_have_a_write() {
    check(
        DATA,
        |_| {},
        expect![[r#"
            shop  plan #1  reached   (one machine: not HA)
            availability - (objective -)   requests 0 (400/s)   errors 0
            db: serving, quorum, term 4, primary db-1; a write is acknowledged once 1 of db-2, db-3 has it
              db at 127.0.1.1:6432

                      zone a (up)             zone b (up)             zone c (up)
            data      ● data-a ready
            db        ● db-1 primary          ● db-2 standby          ● db-3 standby
              db-1: term 4
              db-2: term 4, votes, lag 0B
              db-3: term 4, votes, lag 0B

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
    check(
        &DATA
            .replace("term 4 serving 1", "term 5 electing")
            .replace("keeper db-3 is streaming", "keeper db-3 is standby"),
        |_| {},
        expect![[r#"
            shop  plan #1  reached   (one machine: not HA)
            availability - (objective -)   requests 0 (400/s)   errors 0
            db: electing, quorum, term 5, no primary
              db at 127.0.1.1:6432

                      zone a (up)             zone b (up)             zone c (up)
            data      ● data-a ready
            db        ○ db-1 unready          ● db-2 standby          ○ db-3 unready
              db-1: term 4, primary no more
              db-2: term 4
              db-3: term 4, receives nothing

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
}

#[test]
fn a_lost_zone_is_seen_without_colour() {
    check(
        "plan 1; leader b; agent a; agent b; unit web-1 in a; unit web-2 in b; unit web-3 in c; \
         web-1 in a is ready; web-2 in b is unready; web-3 in c is ready; edge-c in c is ready; front c serves 9",
        |status| status.units[1].restarts = 3,
        expect![[r#"
            shop  plan #1  reached   (one machine: not HA)
            availability - (objective -)   requests 0 (400/s)   errors 0

                      zone a (up)             zone b (up, leads)      zone c (SILENT)
            edge                                                      ○ edge-c ready
            web       ● web-1 ready           ○ web-2 unready ↻3      ○ web-3 ready
              web-3: its zone does not answer
              edge-c: its zone does not answer

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
}

#[test]
fn before_anything_runs_there_is_nothing_to_be_misread() {
    check(
        "",
        |_| {},
        expect![[r#"
            no plan is applied


            console: http://127.0.1.1:1/?token=x
        "#]],
    );
    check(
        "agent a",
        |_| {},
        expect![[r#"
            no plan is applied
                      zone a (up)

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
}

#[test]
fn a_long_name_does_not_push_its_zone_out_of_its_column() {
    check(
        "plan 1; agent a; agent b; unit web-1 in a; unit web-2 in b; web-1 in a is ready; web-2 in b is draining",
        |status| {
            status.zones.truncate(2);
            for one in &mut status.units {
                one.restarts = 4_000_000_000;
                one.service = model::ServiceName::new(&"s".repeat(63)).unwrap();
            }
            status.units[0].name = unit(&"n".repeat(63));
        },
        expect![[r#"
            shop  plan #1  reached   (one machine: not HA)
            availability - (objective -)   requests 0 (400/s)   errors 0

                      zone a (up)             zone b (up)
            ssssssss… ● nnnnnnnnnnnnnnnnnnn…  ○ web-2 draining ↻400…

            console: http://127.0.1.1:1/?token=x
        "#]],
    );
}

fn drill(change: impl FnOnce(&mut Verdict)) -> String {
    let mut verdict =
        crate::wire::fixture::verdict(Fault { target: FaultTarget::Zone, kind: FaultKind::Kill }, "b");
    change(&mut verdict);
    let status = Status { drills: vec![verdict], ..Status::default() };
    let text = render(&status, &[], false);
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_drill_that_was_not_run_is_not_called_passed() {
    assert_eq!(drill(|v| v.objectives_met = Some(true)), "last drill: zone/kill b: objectives met");
    let not_run = drill(|v| {
        v.not_run = Some("no root".to_owned());
        v.objectives_met = Some(true);
    });
    assert_eq!(not_run, "last drill: zone/kill b: not run: no root");
    let missed = drill(|v| {
        v.objectives_met = Some(false);
        v.missed = vec!["3 requests failed".to_owned(), "rto is 9 s".to_owned()];
    });
    assert_eq!(missed, "last drill: zone/kill b: objectives missed: 3 requests failed; rto is 9 s");
    assert_eq!(drill(|_| {}), "last drill: zone/kill b: no verdict");
}

#[test]
fn colour_adds_to_the_words_and_changes_no_width() {
    let status = picture::build(&picture(CALM), None, 1);
    let plain = render(&status, &[], false);
    let coloured = render(&status, &[], true);
    assert!(coloured.contains("\u{1b}[32m"));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find('\u{1b}') {
        bare.push_str(&rest[..at]);
        rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
    }
    bare.push_str(rest);
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&bare), trimmed(&plain));
}

#[test]
fn what_the_loss_of_a_primary_costs_is_said_where_its_standby_is_not_waited_for() {
    let mut database = model::DatabaseStatus {
        name: model::DatabaseName::new("db").unwrap(),
        entries: Vec::new(),
        mode: model::Mode::Lease,
        term: 2,
        phase: "serving".to_owned(),
        primary: model::UnitName::new("db-1").ok(),
        members: model::UnitName::new("db-2").into_iter().collect(),
        need: 0,
        rto_ms: Some(10_000),
        rpo_ms: Some(8_000),
        only_here_bytes: None,
        healthy: true,
    };
    expect!["db: serving, lease, term 2, primary db-1; when its primary is lost, db-2 takes over within 10s without at most the last 8s of writes"]
        .assert_eq(&database_line(&database));
    (database.members, database.rto_ms, database.rpo_ms) = (Vec::new(), None, None);
    expect!["db: serving, lease, term 2, primary db-1"].assert_eq(&database_line(&database));
}
