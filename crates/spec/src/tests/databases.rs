//! `databases`: what a person reads, in a version that runs them and in one that does not.

use expect_test::{Expect, expect};

use crate::parts::Parts;
use crate::{Reading, read_as, reference, render, schema};

const RUN: Parts = Parts { databases: true };
const NOT_RUN: Parts = Parts { databases: false };

#[track_caller]
fn check(parts: Parts, text: &str, expected: Expect) -> Reading {
    let reading = read_as(text, parts, &Vec::new, &Vec::new);
    let mut told = render(&reading.findings, text, "evenkeel.yaml", false);
    for why in &reading.not_run {
        told += &format!("up refuses: {why}\n");
    }
    expected.assert_eq(&told);
    reading
}

const SHOP: &str = "name: shop
services: { web: { command: [a, \"${port}\"], environment: { DATABASE_URL: \"${db.url}\" } } }
databases: { db: { engine: postgres:15 } }
";

#[test]
fn a_service_with_a_database_is_run_once_databases_are() {
    let reading = check(RUN, SHOP, expect![""]);
    let app = reading.app.expect("no error");
    let urls: Vec<_> = app.services[0].environment["DATABASE_URL"].urls().collect();
    assert_eq!(urls, [&app.databases[0].name]);
    expect!["`databases.db`: storage 10G (room to begin with), standbys 2 (the fewest that lose no acknowledged write and go on after the loss of a node), run_by evenkeel (what this version starts), when_alone block (what is acknowledged is never lost)"]
        .assert_eq(reading.defaults.iter().find(|line| line.contains("databases")).unwrap());
}

#[test]
fn until_then_the_service_is_refused_and_the_plan_has_the_database() {
    let reading = check(
        NOT_RUN,
        SHOP,
        expect![[r#"
            warning[W0302]: `${db.url}` is not run by this version
             --> evenkeel.yaml:2:75
            2 | …b: { command: [a, "${port}"], environment: { DATABASE_URL: "${db.url}" } } }
              |                                                              ^^^^^^^^^
            hint: `check` and `plan` go on, `up` refuses; to run it now, write the address of your own server here

            note[N0401]: `databases` is accepted, not run by this version
             --> evenkeel.yaml:3:1
            3 | databases: { db: { engine: postgres:15 } }
              | ^^^^^^^^^
            up refuses: service `web` uses `${db.url}`, which this version does not provide; hint: write the address of your own server into its `command:` or `environment:`
        "#]],
    );
    assert_eq!(reading.app, read_as(SHOP, RUN, &Vec::new, &Vec::new).app);
}

/// The other tests of this module hold in either version, this one in the one that is built.
#[test]
fn the_reference_and_the_schema_say_what_is_built() {
    assert_eq!(reference().contains("*Not run.* Databases, by name."), !Parts::BUILT.databases);
    let says = schema()["properties"]["databases"]["description"].to_string();
    assert_eq!(says.contains("not run by this version"), !Parts::BUILT.databases);
}

#[test]
fn reads_and_backups_are_said_to_come_later() {
    check(
        RUN,
        "name: shop
services: { web: { command: [a] } }
databases: { db: { engine: postgres:15, reads: { split: true }, backup: { full: 24h } } }
",
        expect![[r#"
            note[N0401]: `reads` is accepted, not run by this version
             --> evenkeel.yaml:3:41
            3 | databases: { db: { engine: postgres:15, reads: { split: true }, backup: { full: 24h } } }
              |                                         ^^^^^

            note[N0401]: `backup` is accepted, not run by this version
             --> evenkeel.yaml:3:65
            3 | …bases: { db: { engine: postgres:15, reads: { split: true }, backup: { full: 24h } } }
              |                                                              ^^^^^^
        "#]],
    );
}

#[test]
fn a_password_does_not_land_in_the_list_of_processes() {
    for parts in [RUN, NOT_RUN] {
        let reading = read_as(&SHOP.replace("a, ", "a, \"--db=${db.url}\", "), parts, &Vec::new, &Vec::new);
        assert!(reading.app.is_none());
    }
    check(
        RUN,
        &SHOP.replace("a, ", "a, \"--db=${db.url}\", "),
        expect![[r#"
        error[E0208]: `${db.url}` holds a password, and every user can read the arguments of a program
         --> evenkeel.yaml:2:39
        2 | services: { web: { command: [a, "--db=${db.url}", "${port}"], environment: { DATABASE_URL: "${db.u…
          |                                       ^^^^^^^^^
        hint: give it through the environment: `environment: { DATABASE_URL: "${db.url}" }`
    "#]],
    );
}

#[test]
fn what_a_cache_is_and_what_it_cannot_be() {
    const PLAIN: &str = "name: shop\nservices: { web: { command: [a, \"${port}\"] } }\n";
    let caches = |text: &str| crate::read(&format!("{PLAIN}caches: {{ {text} }}\n"), "evenkeel.yaml");
    let app = caches("sessions: { engine: valkey:8, memory: 6G, loss: degraded, standbys: 2 }").app;
    assert!(app.is_none(), "`degraded` and `standbys` are told what they are called here");
    let app = caches("sessions: { engine: valkey:8, memory: 6G, loss: tolerated, replicas: 2, shards: 4 }");
    let app = app.app.expect("no error");
    let cache = &app.caches[0];
    assert_eq!((cache.shards, cache.replicas, cache.nodes(), cache.is_needed()), (4, 2, 12, false));
    let defaults = caches("c: { engine: redis:7, memory: 1G }");
    let said = "`caches.c`: shards 1 (one holds all keys), replicas 0 (what is in a cache can be made again), loss outage (whether the \
                application answers without it is not known)";
    assert!(defaults.defaults.iter().any(|line| line == said), "{:?}", defaults.defaults);
    assert!(defaults.app.expect("no error").caches[0].is_needed());
    for (text, code) in [
        ("web: { engine: redis:7, memory: 1G }", "E0210"),
        ("secret: { engine: redis:7, memory: 1G }", "E0210"),
        ("c: { engine: redis:7, memory: 1G, replicas: 6 }", "E0107"),
        ("c: { engine: redis:7, memory: 1G, shards: 0 }", "E0107"),
        ("c: { engine: redis:7, memory: 1K }", "E0107"),
        ("c: { engine: redis:7, memory: 1G, loss: maybe }", "E0105"),
        ("c: { engine: redis:7 }", "E0102"),
    ] {
        let reading = caches(text);
        assert!(reading.app.is_none(), "{text}");
        let codes: Vec<&str> = reading.findings.iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&code), "{text}: {codes:?}");
    }
}

#[test]
fn the_address_of_a_cache_stays_for_later_beside_that_of_a_database() {
    let text = SHOP.replace("${db.url}", "x ${db.url} ${cache.url} ${secret.url}")
        + "caches: { cache: { engine: redis:7, memory: 1G } }\n";
    let app = check(RUN, &text, expect![[r#"
        warning[W0302]: `${cache.url}` is not run by this version
         --> evenkeel.yaml:2:87
        2 | …: [a, "${port}"], environment: { DATABASE_URL: "x ${db.url} ${cache.url} ${secret.url}" } } }
          |                                                              ^^^^^^^^^^^^
        hint: `check` and `plan` go on, `up` refuses; to run it now, write the address of your own server here

        warning[W0302]: `${secret.url}` is not run by this version
         --> evenkeel.yaml:2:100
        2 | …}"], environment: { DATABASE_URL: "x ${db.url} ${cache.url} ${secret.url}" } } }
          |                                                              ^^^^^^^^^^^^^
        hint: `check` and `plan` go on, `up` refuses; to run it now, let the program read it from a file of its own

        note[N0401]: `caches` is planned and priced, not run by this version
         --> evenkeel.yaml:4:1
        4 | caches: { cache: { engine: redis:7, memory: 1G } }
          | ^^^^^^
        up refuses: service `web` uses `${cache.url}`, which this version does not provide; hint: write the address of your own server into its `command:` or `environment:`
        up refuses: service `web` uses `${secret.url}`, which this version does not provide; hint: let its program read it from a file of its own
    "#]]).app.expect("no error");
    let value = &app.services[0].environment["DATABASE_URL"];
    assert_eq!(value.pieces.len(), 3, "{value:?}");
    assert_eq!(value.to_string(), "x ${db.url} $${cache.url} $${secret.url}");
}

#[test]
fn few_or_many_standbys_are_answered_with_what_they_mean() {
    let file = |rest: &str| SHOP.replace("postgres:15", &format!("postgres:15, {rest}"));
    check(
        RUN,
        &file("standbys: 5"),
        expect![[r#"
        error[E0107]: `standbys` is 5; it must be from 0 to 4
         --> evenkeel.yaml:3:51
        3 | databases: { db: { engine: postgres:15, standbys: 5 } }
          |                                                   ^
        hint: `standbys: 2` goes on after the loss of any node, 4 after any two; more make each write slower
    "#]],
    );
    let one = check(
        RUN,
        &file("standbys: 1"),
        expect![[r#"
            warning[W0304]: `db` has one standby: up to 8s of acknowledged writes are lost with its primary, and the standby takes over within 10s
             --> evenkeel.yaml:3:41
            3 | databases: { db: { engine: postgres:15, standbys: 1 } }
              |                                         ^^^^^^^^
            hint: `witness: true` beside it, or `standbys: 2`, loses nothing and takes over in about 2s; `standbys: 0` runs one node
        "#]],
    );
    assert!(one.app.is_some() && one.not_run.is_empty(), "it is run");
    check(
        RUN,
        &file("standbys: 1, when_alone: block"),
        expect![[r#"
            warning[W0304]: `db` has one standby: up to 8s of acknowledged writes are lost with its primary, and the standby takes over within 10s
             --> evenkeel.yaml:3:41
            3 | databases: { db: { engine: postgres:15, standbys: 1, when_alone: block } }
              |                                         ^^^^^^^^
            hint: `witness: true` beside it, or `standbys: 2`, loses nothing and takes over in about 2s; `standbys: 0` runs one node

            warning[W0305]: `db` has one standby, for which no write waits, so none waits without it either
             --> evenkeel.yaml:3:54
            3 | databases: { db: { engine: postgres:15, standbys: 1, when_alone: block } }
              |                                                      ^^^^^^^^^^
            hint: write `standbys: 2`, or remove `when_alone`
        "#]],
    );
    check(RUN, &file("standbys: 0"), expect![""]);
    let auto = check(RUN, &file("standbys: auto"), expect![""]);
    assert!(auto.app.unwrap().databases[0].auto, "it is left to the plan");
    check(
        RUN,
        &file("standbys: Auto"),
        expect![[r#"
        error[E0103]: `standbys` must be a whole number or `auto`, not a text
         --> evenkeel.yaml:3:51
        3 | databases: { db: { engine: postgres:15, standbys: Auto } }
          |                                                   ^^^^
    "#]],
    );
    check(
        RUN,
        &file("standbys: 0, when_alone: block"),
        expect![[r#"
        warning[W0305]: `db` has no standby, so it is always alone, and takes writes all the same
         --> evenkeel.yaml:3:54
        3 | databases: { db: { engine: postgres:15, standbys: 0, when_alone: block } }
          |                                                      ^^^^^^^^^^
        hint: write `standbys: 2`, or remove `when_alone`
    "#]],
    );
    check(RUN, &file("standbys: 0, when_alone: degrade"), expect![""]);
    check(
        RUN,
        &file("standbys: two"),
        expect![[r#"
            error[E0103]: `standbys` must be a whole number or `auto`, not a text
             --> evenkeel.yaml:3:51
            3 | databases: { db: { engine: postgres:15, standbys: two } }
              |                                                   ^^^
        "#]],
    );
}

#[test]
fn another_engine_or_version_is_refused() {
    check(
        RUN,
        &SHOP.replace("postgres:15", "postgres:17"),
        expect![[r#"
        error[E0209]: PostgreSQL 17 is not run by this version, only 15
         --> evenkeel.yaml:3:28
        3 | databases: { db: { engine: postgres:17 } }
          |                            ^^^^^^^^^^^
        hint: write `postgres:15`
    "#]],
    );
    check(
        RUN,
        &SHOP.replace("postgres:15", "mysql:8"),
        expect![[r#"
            error[E0106]: `mysql:8` is not a database engine with its major version, such as `postgres:15`
             --> evenkeel.yaml:3:28
            3 | databases: { db: { engine: mysql:8 } }
              |                            ^^^^^^^
            hint: write `postgres:15`; a database of another kind is yours to run, and its address goes into `environment`
        "#]],
    );
}

#[test]
fn a_name_means_one_thing() {
    check(
        RUN,
        r#"name: shop
services: { web: { command: [a] } }
databases: { web: { engine: postgres:15 }, cache: { engine: postgres:15 }, secret: { engine: postgres:15 }, Db: { engine: postgres:15 } }
caches: { cache: { engine: redis:7, memory: 1G } }
"#,
        expect![[r#"
            error[E0210]: `web` cannot be the name of a database: a service has it, and both would have a `web-1`
             --> evenkeel.yaml:3:14
            3 | databases: { web: { engine: postgres:15 }, cache: { engine: postgres:15 }…
              |              ^^^
            hint: name it `web-db`

            error[E0210]: `cache` cannot be the name of a database: a cache has it, and `${NAME.url}` can mean only one of them
             --> evenkeel.yaml:3:44
            3 | databases: { web: { engine: postgres:15 }, cache: { engine: postgres:15 }, secret: { engine: postgres:1…
              |                                            ^^^^^
            hint: name it `cache-db`

            error[E0210]: `secret` cannot be the name of a database: `${secret.url}` is a secret of the name `url`
             --> evenkeel.yaml:3:76
            3 | …b: { engine: postgres:15 }, cache: { engine: postgres:15 }, secret: { engine: postgres:15 }, Db: { engine: postgres:15 }…
              |                                                              ^^^^^^
            hint: name it `secret-db`

            error[E0106]: `Db` is not a name: lower-case letters, digits and `-`, at most 61, beginning and ending with a letter or digit
             --> evenkeel.yaml:3:109
            3 | …: { engine: postgres:15 }, secret: { engine: postgres:15 }, Db: { engine: postgres:15 } }
              |                                                              ^^
            hint: write `db`

            note[N0401]: `caches` is planned and priced, not run by this version
             --> evenkeel.yaml:4:1
            4 | caches: { cache: { engine: redis:7, memory: 1G } }
              | ^^^^^^
        "#]],
    );
    let long = "x".repeat(62);
    check(
        RUN,
        &format!(
            "name: s\nservices: {{ a: {{ command: [a] }} }}\ndatabases: {{ {long}: {{ engine: postgres:15 }} }}\n"
        ),
        expect![[r#"
            error[E0106]: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not a name: lower-case letters, digits and `-`, at most 61, beginning and ending with a letter or digit
             --> evenkeel.yaml:3:14
            3 | databases: { xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
              |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn a_database_that_the_provider_runs_has_no_nodes_to_speak_of_and_is_not_run() {
    let file = |nodes: &str| {
        format!(
            "name: shop\nservices: {{ web: {{ command: [a] }} }}\ndatabases: {{ db: {{ engine: postgres:15, {nodes} }} }}\n"
        )
    };
    let of = |nodes: &str| crate::read(&file(nodes), "evenkeel.yaml");
    for (nodes, managed) in [
        ("run_by: provider", model::Managed::Yes),
        ("run_by: auto, standbys: 2", model::Managed::Auto),
        ("run_by: evenkeel, standbys: auto", model::Managed::No),
    ] {
        assert_eq!(of(nodes).app.unwrap().databases[0].managed, managed, "{nodes}");
    }
    assert!(of("run_by: auto").not_run.is_empty());
    expect![
        "database `db` is the provider's (`run_by: provider`), which this version plans and does not run"
    ]
    .assert_eq(&of("run_by: provider").not_run.join("\n"));
    check(
        RUN,
        &file("run_by: provider"),
        expect![[r#"
        note[N0401]: `db` is planned and priced, not run by this version
         --> evenkeel.yaml:3:41
        3 | databases: { db: { engine: postgres:15, run_by: provider } }
          |                                         ^^^^^^
        up refuses: database `db` is the provider's (`run_by: provider`), which this version plans and does not run
    "#]],
    );
    check(
        RUN,
        &file("run_by: provider, standbys: 2"),
        expect![[r#"
        error[E0216]: `standbys` of `db` is about nodes of evenkeel's own, and `run_by: provider` has none
         --> evenkeel.yaml:3:59
        3 | databases: { db: { engine: postgres:15, run_by: provider, standbys: 2 } }
          |                                                           ^^^^^^^^
        hint: remove it: a provider's database has one copy in another zone; or write `run_by: auto`
    "#]],
    );
    let one_zone = |run_by: &str| format!("placement: {{ zones: 1 }}\n{}", file(run_by));
    check(
        RUN,
        &one_zone("run_by: provider"),
        expect![[r#"
        error[E0216]: `db` has its copy in another zone (`run_by: provider`), and `zones` is 1
         --> evenkeel.yaml:4:41
        4 | databases: { db: { engine: postgres:15, run_by: provider } }
          |                                         ^^^^^^
        hint: write `placement: { zones: 2 }` or more, or `run_by: evenkeel`
    "#]],
    );
    check(RUN, &one_zone("run_by: auto, standbys: 2"), expect![[""]]);
    check(
        RUN,
        &file("run_by: managed"),
        expect![[r#"
        error[E0105]: `run_by` must be `evenkeel`, `provider` or `auto`, not `managed`
         --> evenkeel.yaml:3:49
        3 | databases: { db: { engine: postgres:15, run_by: managed } }
          |                                                 ^^^^^^^
        hint: did you mean `provider`?
    "#]],
    );
}

#[test]
fn a_witness_goes_with_two_copies() {
    let file = |nodes: &str| {
        format!(
            "name: shop\nservices: {{ web: {{ command: [a] }} }}\ndatabases: {{ db: {{ engine: postgres:15, {nodes} }} }}\n"
        )
    };
    check(RUN, &file("standbys: 1, witness: true"), expect![[""]]);
    check(RUN, &file("standbys: 2, witness: false"), expect![[""]]);
    check(
        RUN,
        &file("witness: true"),
        expect![[r#"
        error[E0211]: `witness: true` of `db` goes with `standbys: 1`, and it is 2 (left out)
         --> evenkeel.yaml:3:41
        3 | databases: { db: { engine: postgres:15, witness: true } }
          |                                         ^^^^^^^
        hint: write `standbys: 1` for two copies and the witness, or remove `witness`: `standbys: 2` are three copies
    "#]],
    );
    check(
        RUN,
        &file("standbys: 0, witness: true"),
        expect![[r#"
        error[E0211]: `witness: true` of `db` goes with `standbys: 1`, and it is 0
         --> evenkeel.yaml:3:54
        3 | databases: { db: { engine: postgres:15, standbys: 0, witness: true } }
          |                                                      ^^^^^^^
        hint: write `standbys: 1` for two copies and the witness, or remove `witness`: `standbys: 2` are three copies
    "#]],
    );
    check(
        RUN,
        &file("standbys: auto, witness: true"),
        expect![[r#"
        error[E0211]: `witness: true` of `db` goes with `standbys: 1`, and it is auto
         --> evenkeel.yaml:3:57
        3 | databases: { db: { engine: postgres:15, standbys: auto, witness: true } }
          |                                                         ^^^^^^^
        hint: write `standbys: 1` for two copies and the witness, or remove `witness`: `standbys: 2` are three copies
    "#]],
    );
    check(
        RUN,
        &file("witness: 1"),
        expect![[r#"
        error[E0103]: `witness` must be `true` or `false`, not a number
         --> evenkeel.yaml:3:50
        3 | databases: { db: { engine: postgres:15, witness: 1 } }
          |                                                  ^
    "#]],
    );
}

#[test]
fn keys_of_other_tools_are_answered_with_ours() {
    check(
        RUN,
        "name: shop
services: { web: { command: [a] } }
databases: { db: { engine: postgres:15, password: x, nodes: 3, when_alone: async } }
",
        expect![[r#"
            error[E0112]: `password` is no key of `databases.db`; it belongs to other tools
             --> evenkeel.yaml:3:41
            3 | databases: { db: { engine: postgres:15, password: x, nodes: 3, when_alone: async } }
              |                                         ^^^^^^^^
            hint: evenkeel makes the password: services get it in `${NAME.url}`

            error[E0101]: unknown key `nodes` in `databases.db`
             --> evenkeel.yaml:3:54
            3 | databases: { db: { engine: postgres:15, password: x, nodes: 3, when_alone: async } }
              |                                                      ^^^^^
            hint: did you mean `standbys`?

            error[E0105]: `when_alone` must be `block` or `degrade`, not `async`
             --> evenkeel.yaml:3:76
            3 | …: { engine: postgres:15, password: x, nodes: 3, when_alone: async } }
              |                                                              ^^^^^
            hint: did you mean `degrade`?
        "#]],
    );
}
