//! What a person reads, for each mistake a person makes.

use expect_test::{Expect, expect};

use crate::{Severity, read, render};

/// Reads and draws as for a file; an empty line between two findings.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let reading = read(text, "evenkeel.yaml");
    let is_wrong = reading.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(reading.app.is_none(), is_wrong, "an application exactly when there is no error");
    let drawn = render(&reading.findings, text, "evenkeel.yaml", false);
    let seen = |c: char| c == '\n' || !crate::finding::is_hidden(c);
    assert!(drawn.chars().all(seen), "{drawn:?}");
    expected.assert_eq(&drawn);
}

#[test]
fn names_of_the_application_and_its_services_are_dns_labels() {
    check(
        r"name: My Shop
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0106]: `My Shop` is not a name: lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit
     --> evenkeel.yaml:1:7
    1 | name: My Shop
      |       ^^^^^^^
    hint: write `my-shop`
"#]],
    );
    check(
        r"name: shop
services: { Web_1: { command: [a] } }",
        expect![[r#"
    error[E0106]: `Web_1` is not a name: lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit
     --> evenkeel.yaml:2:13
    2 | services: { Web_1: { command: [a] } }
      |             ^^^^^
    hint: write `web-1`
"#]],
    );
}

#[test]
fn the_whole_file_must_be_a_table_with_name_and_services() {
    check(
        "",
        expect![[r#"
        error[E0011]: the file is empty
         --> evenkeel.yaml:1:1
        1 |
          | ^
        hint: the smallest file: `name: shop` and `services: { web: { command: ["bin/shop"] } }`
    "#]],
    );
    check(
        r"# nothing here
",
        expect![[r#"
    error[E0011]: the file is empty
     --> evenkeel.yaml:1:1
    1 | # nothing here
      | ^
    hint: the smallest file: `name: shop` and `services: { web: { command: ["bin/shop"] } }`
"#]],
    );
    check(
        r"- name: shop
",
        expect![[r#"
    error[E0011]: the file must be a table of keys, beginning with `name:` and `services:`
     --> evenkeel.yaml:1:1
    1 | - name: shop
      | ^^^^^^^^^^^^
    hint: a key is written `name: shop`
"#]],
    );
    check(
        r"shop
",
        expect![[r#"
    error[E0011]: the file must be a table of keys, beginning with `name:` and `services:`
     --> evenkeel.yaml:1:1
    1 | shop
      | ^^^^
    hint: a key is written `name: shop`
"#]],
    );
    check(
        "services: { web: { command: [a] } }",
        expect![[r#"
        error[E0102]: the file has no `name`
         --> evenkeel.yaml:1:1
        1 | services: { web: { command: [a] } }
          | ^^^^^^^^
        hint: add `name:`, a name
    "#]],
    );
    check(
        r"name: shop
",
        expect![[r#"
    error[E0102]: the file has no `services`
     --> evenkeel.yaml:1:1
    1 | name: shop
      | ^^^^
    hint: add `services:`, a table of names
"#]],
    );
    check(
        r"name: shop
services:
",
        expect![[r#"
            error[E0111]: `services` has no value
             --> evenkeel.yaml:2:1
            2 | services:
              | ^^^^^^^^
            hint: write `services:` and below it one table a service, by its name
        "#]],
    );
    check(
        r"name: shop
services: {}
",
        expect![[r#"
    error[E0107]: `services` is empty; it needs at least 1 entry
     --> evenkeel.yaml:2:1
    2 | services: {}
      | ^^^^^^^^
"#]],
    );
}

#[test]
fn yaml_mistakes_are_told_in_words_and_alone() {
    check(
        "name: shop\nservices:\n  web:\n\tcommand: [a]\n",
        expect![[r#"
        error[E0001]: a tab cannot be used here
         --> evenkeel.yaml:4:2
        4 |  command: [a]
          |  ^
        hint: indent with spaces
    "#]],
    );
    check(
        r#"name: "shop
services: { web: { command: [a] } }
"#,
        expect![[r#"
    error[E0001]: a quote is never closed
     --> evenkeel.yaml:1:7
    1 | name: "shop
      |       ^
    hint: close it with the same kind of quote
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a } }
",
        expect![[r#"
            error[E0001]: the bracket that opens here is closed by one of another kind
             --> evenkeel.yaml:2:29
            2 | services: { web: { command: [a } }
              |                             ^
        "#]],
    );
    check(
        r"name: shop
services: { web: { command: [a]
",
        expect![[r#"
    error[E0001]: a `{` is never closed
     --> evenkeel.yaml:2:18
    2 | services: { web: { command: [a]
      |                  ^
    hint: close the table with `}`
"#]],
    );
    check(
        r"name: shop: x
ports: [1]
",
        expect![[r#"
    error[E0001]: a `:` cannot stand here
     --> evenkeel.yaml:1:11
    1 | name: shop: x
      |           ^
    hint: put a text that holds `: ` in quotes; begin each key on its own line
"#]],
    );
    check(
        r"name: shop
services:
  web:
    command: [a]
   scale: 1
",
        expect![[r#"
    error[E0001]: this line does not fit those around it
     --> evenkeel.yaml:5:4
    5 |    scale: 1
      |    ^
    hint: keys of one table begin in the same column
"#]],
    );
    check(
        r"name: @shop
",
        expect![[r#"
    error[E0001]: a value cannot begin with this character
     --> evenkeel.yaml:1:7
    1 | name: @shop
      |       ^
    hint: put the value in quotes
"#]],
    );
    check(
        r"name: shop
services
  web: 1
",
        expect![[r#"
    error[E0001]: a `:` is missing after this key
     --> evenkeel.yaml:2:1
    2 | services
      | ^
    hint: a key is written `name: value`, with a space behind the `:`
"#]],
    );
}

#[test]
fn what_this_file_does_not_use_of_yaml_is_named() {
    check(
        r"name: &n shop
services: { web: { command: [*n] } }",
        expect![[r#"
    error[E0005]: the anchor `&n` is not used here
     --> evenkeel.yaml:1:7
    1 | name: &n shop
      |       ^^
    hint: write the value where it belongs; a text that begins with `&` goes in quotes

    error[E0005]: the alias `*n` is not used here
     --> evenkeel.yaml:2:30
    2 | services: { web: { command: [*n] } }
      |                              ^^
    hint: write the value where it belongs; a text that begins with `*` goes in quotes
"#]],
    );
    check(
        r"name: !!str shop
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0006]: the tag `!!str` is not used here
     --> evenkeel.yaml:1:7
    1 | name: !!str shop
      |       ^^^^^
    hint: leave it out; a number that is meant as text goes in quotes, as does a text that begins with `!`
"#]],
    );
    check(
        r"name: shop
services:
  web: { <<: *base, command: [a] }
",
        expect![[r#"
    error[E0008]: merge keys are not used here
     --> evenkeel.yaml:3:10
    3 |   web: { <<: *base, command: [a] }
      |          ^^
    hint: write the keys out where they belong

    error[E0005]: the alias `*base` is not used here
     --> evenkeel.yaml:3:14
    3 |   web: { <<: *base, command: [a] }
      |              ^^^^^
    hint: write the value where it belongs; a text that begins with `*` goes in quotes
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a] } }
---
name: other
",
        expect![[r#"
    error[E0007]: a second document begins here
     --> evenkeel.yaml:3:1
    3 | ---
      | ^^^
    hint: a file is one document; put a second application in a file of its own
"#]],
    );
    check(
        r"%YAML 1.1
---
name: shop
",
        expect![[r#"
    error[E0007]: directives are not used here
     --> evenkeel.yaml:1:1
    1 | %YAML 1.1
      | ^
    hint: remove this line; the file is YAML 1.2
"#]],
    );
    check(
        r"name: shop
name: store
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0009]: the key `name` is given twice
     --> evenkeel.yaml:2:1
    2 | name: store
      | ^^^^
    hint: remove one of them
"#]],
    );
    check(
        r"name: shop
8080: x
? [a]
: y
true: z
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0010]: a key must be a text; this is a number
     --> evenkeel.yaml:2:1
    2 | 8080: x
      | ^^^^
    hint: put it in quotes if it is meant as a name: "8080"

    error[E0010]: a key must be a text; this is a list or a table
     --> evenkeel.yaml:3:3
    3 | ? [a]
      |   ^
    hint: a text that begins with `{` or `[` goes in quotes

    error[E0010]: a key must be a text; this is a boolean
     --> evenkeel.yaml:5:1
    5 | true: z
      | ^^^^
    hint: put it in quotes if it is meant as a name: "true"
"#]],
    );
    check(
        "name: sh\\x00\u{1}op\n",
        expect![[r#"
        error[E0002]: the character U+0001 is not allowed in YAML
         --> evenkeel.yaml:1:13
        1 | name: sh\x00�op
          |             ^
        hint: save the file as plain UTF-8 text; in double quotes such a character can be written as `\u0007`
    "#]],
    );
}

#[test]
fn unknown_keys_get_the_nearest_one() {
    check(
        r"name: shop
services:
  web:
    comand: [a]
    env: { A: b }
    healthCheck: {}
",
        expect![[r#"
            error[E0101]: unknown key `comand` in `services.web`
             --> evenkeel.yaml:4:5
            4 |     comand: [a]
              |     ^^^^^^
            hint: did you mean `command`?

            error[E0101]: unknown key `env` in `services.web`
             --> evenkeel.yaml:5:5
            5 |     env: { A: b }
              |     ^^^
            hint: did you mean `environment`?

            error[E0101]: unknown key `healthCheck` in `services.web`
             --> evenkeel.yaml:6:5
            6 |     healthCheck: {}
              |     ^^^^^^^^^^^
            hint: did you mean `healthcheck`?
        "#]],
    );
    check(
        r"name: shop
budget: 900 USD/month
services: { web: { command: [a], survive: [zone] } }",
        expect![[r#"
    error[E0101]: unknown key `budget` in the file
     --> evenkeel.yaml:2:1
    2 | budget: 900 USD/month
      | ^^^^^^
    hint: there is `objectives.budget`

    error[E0101]: unknown key `survive` in `services.web`
     --> evenkeel.yaml:3:34
    3 | services: { web: { command: [a], survive: [zone] } }
      |                                  ^^^^^^^
    hint: there is `objectives.survive`
"#]],
    );
    check(
        r"name: shop
foo: 1
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0101]: unknown key `foo` in the file
     --> evenkeel.yaml:2:1
    2 | foo: 1
      | ^^^
    hint: known here: `name`, `objectives`, `placement`, `services`, `databases`, `caches`, `jobs`, `volumes`, `assume`, `ingress`, `security` and `alerts`
"#]],
    );
    check(
        r"name: shop
objectives: { slo: 99.9% }
objectivse: {}
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0101]: unknown key `slo` in `objectives`
     --> evenkeel.yaml:2:15
    2 | objectives: { slo: 99.9% }
      |               ^^^
    hint: did you mean `availability`?

    error[E0101]: unknown key `objectivse` in the file
     --> evenkeel.yaml:3:1
    3 | objectivse: {}
      | ^^^^^^^^^^
    hint: did you mean `objectives`? it is there already
"#]],
    );
}

#[test]
fn compose_words_get_what_takes_their_place() {
    check(
        r"name: shop
version: '3'
services:
  web:
    command: [a]
    build: .
    ports: ['80:80']
    depends_on: [db]
    restart: always
    deploy: { replicas: 3 }
    healthcheck: { test: [CMD, curl] }
",
        expect![[r#"
    error[E0112]: `version` is no key of the file; it belongs to other tools
     --> evenkeel.yaml:2:1
    2 | version: '3'
      | ^^^^^^^
    hint: remove it: there is one version of this file

    error[E0112]: `build` is no key of `services.web`; it belongs to other tools
     --> evenkeel.yaml:6:5
    6 |     build: .
      |     ^^^^^
    hint: evenkeel builds nothing: name the built program in `command`, or an image in `image`

    error[E0112]: `ports` is no key of `services.web`; it belongs to other tools
     --> evenkeel.yaml:7:5
    7 |     ports: ['80:80']
      |     ^^^^^
    hint: evenkeel chooses the port: use `${port}` in `command`; requests come in through `ingress`

    error[E0112]: `depends_on` is no key of `services.web`; it belongs to other tools
     --> evenkeel.yaml:8:5
    8 |     depends_on: [db]
      |     ^^^^^^^^^^
    hint: remove it: a service must start without the others and retry; `jobs` run before a rollout

    error[E0112]: `restart` is no key of `services.web`; it belongs to other tools
     --> evenkeel.yaml:9:5
    9 |     restart: always
      |     ^^^^^^^
    hint: remove it: a replica that ends is always started again

    error[E0112]: `replicas` is no key of `services.web.deploy`; it belongs to other tools
      --> evenkeel.yaml:10:15
    10 |     deploy: { replicas: 3 }
       |               ^^^^^^^^
    hint: it is `replicas: N` of the service, without `deploy`

    error[E0112]: `test` is no key of `services.web.healthcheck`; it belongs to other tools
      --> evenkeel.yaml:11:20
    11 |     healthcheck: { test: [CMD, curl] }
       |                    ^^^^
    hint: commands are not run as probes: use `http: /healthz`, or leave it out for a TCP connection
"#]],
    );
}

#[test]
fn on_off_yes_no_are_never_guessed() {
    check(
        r#"name: shop
on: x
services: { web: { command: [a], environment: { NO: norway, "ON": ontario } } }"#,
        expect![[r#"
    error[E0108]: unknown key `on` in the file; many YAML readers take it for a boolean
     --> evenkeel.yaml:2:1
    2 | on: x
      | ^^
    hint: known here: `name`, `objectives`, `placement`, `services`, `databases`, `caches`, `jobs`, `volumes`, `assume`, `ingress`, `security` and `alerts`

    error[E0108]: the key `NO` is a boolean for many YAML readers
     --> evenkeel.yaml:3:49
    3 | services: { web: { command: [a], environment: { NO: norway, "ON": ontario } } }
      |                                                 ^^
    hint: put it in quotes: "NO"
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a] } }
databases: { db: { engine: postgres:15, storage: 10G, reads: { split: yes } } }",
        expect![[r#"
    note[N0401]: `databases` is accepted, not run by this version
     --> evenkeel.yaml:3:1
    3 | databases: { db: { engine: postgres:15, storage: 10G, reads:…
      | ^^^^^^^^^

    error[E0108]: `yes` is no boolean in YAML 1.2
     --> evenkeel.yaml:3:71
    3 | … { db: { engine: postgres:15, storage: 10G, reads: { split: yes } } }
      |                                                              ^^^
    hint: write `true`
"#]],
    );
    check(
        r#"name: shop
services: { web: { command: [a] } }
databases: { db: { engine: postgres:15, storage: 10G, reads: { split: "true" } } }"#,
        expect![[r#"
    note[N0401]: `databases` is accepted, not run by this version
     --> evenkeel.yaml:3:1
    3 | databases: { db: { engine: postgres:15, storage: 10G, reads:…
      | ^^^^^^^^^

    error[E0103]: `split` must be `true` or `false`, not a text
     --> evenkeel.yaml:3:71
    3 | … { db: { engine: postgres:15, storage: 10G, reads: { split: "true" } } }
      |                                                              ^^^^^^
    hint: remove the quotes
"#]],
    );
    check(
        "name: shop\nservices: { web: { command: [a], environment: { C: ${unit} } } }\n",
        expect![[r#"
        error[E0001]: a `,` or `}` is missing before this
         --> evenkeel.yaml:2:53
        2 | services: { web: { command: [a], environment: { C: ${unit} } } }
          |                                                     ^
        hint: between brackets, a text with `{`, `}`, `[`, `]` or `,` goes in quotes
    "#]],
    );
}

#[test]
fn numbers_and_texts_are_not_mixed_up() {
    check(
        r"name: 5
services: { web: { command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }",
        expect![[r#"
            error[E0103]: `name` must be a name, not a number
             --> evenkeel.yaml:1:7
            1 | name: 5
              |       ^
            hint: put it in quotes: "5"

            error[E0103]: an entry of `services.web.command` must be a text, not a number
             --> evenkeel.yaml:2:37
            2 | services: { web: { command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }
              |                                     ^
            hint: put it in quotes: "5"

            error[E0103]: `N` must be a text, not a number
             --> evenkeel.yaml:2:59
            2 | services: { web: { command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }
              |                                                           ^
            hint: put it in quotes: "4"

            error[E0103]: `T` must be a text, not a boolean
             --> evenkeel.yaml:2:65
            2 | …ices: { web: { command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }
              |                                                              ^^^^
            hint: put it in quotes: "true"

            error[E0111]: `E` has no value
             --> evenkeel.yaml:2:72
            2 | … web: { command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }
              |                                                              ^
            hint: write `""` for an empty text; variables of your shell are not read

            error[E0103]: `F` must be a text, not a number
             --> evenkeel.yaml:2:79
            2 | … command: [sleep, 5], environment: { N: 4, T: true, E: , F: 1.5 } } }
              |                                                              ^^^
            hint: put it in quotes: "1.5"
        "#]],
    );
    check(
        r#"name: shop
services: { web: { command: [a], replicas: "3" } }"#,
        expect![[r#"
    error[E0103]: `replicas` must be a whole number, not a text
     --> evenkeel.yaml:2:44
    2 | services: { web: { command: [a], replicas: "3" } }
      |                                            ^^^
    hint: remove the quotes
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a], replicas: three } }",
        expect![[r#"
    error[E0103]: `replicas` must be a whole number, not a text
     --> evenkeel.yaml:2:44
    2 | services: { web: { command: [a], replicas: three } }
      |                                            ^^^^^
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a], replicas: 1.5, resources: { cpus: 2 cores } } }",
        expect![[r#"
    error[E0103]: `replicas` must be a whole number, not `1.5`
     --> evenkeel.yaml:2:44
    2 | services: { web: { command: [a], replicas: 1.5, resources: { cpus: 2 cores } } }
      |                                            ^^^

    error[E0103]: `cpus` must be a number, not `2 cores`
     --> evenkeel.yaml:2:68
    2 | …s: { web: { command: [a], replicas: 1.5, resources: { cpus: 2 cores } } }
      |                                                              ^^^^^^^
    hint: without a unit: `2`
"#]],
    );
}

#[test]
fn numbers_are_plain_decimals() {
    check(
        r"name: shop
placement: { zones: 0x3 }
services: { web: { command: [a], scale: { min: 010, max: 1_0 }, healthcheck: { retries: +3 }, resources: { cpus: .5 } } }",
        expect![[r#"
            error[E0109]: `0x3` is a form of number that readers disagree about
             --> evenkeel.yaml:2:21
            2 | placement: { zones: 0x3 }
              |                     ^^^
            hint: write `3`

            error[E0109]: `010` is a form of number that readers disagree about
             --> evenkeel.yaml:3:48
            3 | services: { web: { command: [a], scale: { min: 010, max: 1_0 }, healthcheck: { retries: +3 }, resources: { …
              |                                                ^^^
            hint: write `10`

            error[E0109]: `1_0` is a form of number that readers disagree about
             --> evenkeel.yaml:3:58
            3 | services: { web: { command: [a], scale: { min: 010, max: 1_0 }, healthcheck: { retries: +3 }, resources: { cpus: .5 }…
              |                                                          ^^^
            hint: write `10`

            error[E0109]: `+3` is a form of number that readers disagree about
             --> evenkeel.yaml:3:89
            3 | …[a], scale: { min: 010, max: 1_0 }, healthcheck: { retries: +3 }, resources: { cpus: .5 } } }
              |                                                              ^^
            hint: write `3`

            error[E0109]: `.5` is a form of number that readers disagree about
             --> evenkeel.yaml:3:114
            3 | …ax: 1_0 }, healthcheck: { retries: +3 }, resources: { cpus: .5 } } }
              |                                                              ^^
            hint: write `0.5`
        "#]],
    );
}

#[test]
fn a_command_is_a_list() {
    check(
        r"name: shop
services: { web: { command: bin/shop --port 80 } }",
        expect![[r#"
    error[E0103]: `command` must be a list, not a text
     --> evenkeel.yaml:2:29
    2 | services: { web: { command: bin/shop --port 80 } }
      |                             ^^^^^^^^^^^^^^^^^^
    hint: no shell takes it apart: write `command: ["bin/shop", "--port", "80"]`
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [] } }",
        expect![[r#"
    error[E0107]: `services.web.command` is empty; it needs at least 1 entry
     --> evenkeel.yaml:2:20
    2 | services: { web: { command: [] } }
      |                    ^^^^^^^
"#]],
    );
    check(
        r#"name: shop
services: { web: { command: [""] } }"#,
        expect![[r#"
    error[E0106]: the program of `command` is empty
     --> evenkeel.yaml:2:30
    2 | services: { web: { command: [""] } }
      |                              ^^
    hint: its first entry is the program: `command: ["bin/shop"]`
"#]],
    );
    check(
        r"name: shop
services: { web: { command: { a: b } } }",
        expect![[r#"
    error[E0103]: `command` must be a list, not a table
     --> evenkeel.yaml:2:20
    2 | services: { web: { command: { a: b } } }
      |                    ^^^^^^^
"#]],
    );
    check(
        r"name: shop
services: { web: {} }",
        expect![[r#"
    error[E0202]: `services.web` needs `command` or `image`
     --> evenkeel.yaml:2:13
    2 | services: { web: {} }
      |             ^^^
    hint: `command: ["bin/shop", "--port", "${port}"]` starts a program of this machine
"#]],
    );
    check(
        r"name: shop
services: { web: { image: a, command: [b] } }",
        expect![[r#"
    error[E0202]: `services.web` takes only one of `command` or `image`
     --> evenkeel.yaml:2:30
    2 | services: { web: { image: a, command: [b] } }
      |                              ^^^^^^^
    hint: `command: ["bin/shop", "--port", "${port}"]` starts a program of this machine
"#]],
    );
    check(
        r"name: shop
services: [web]",
        expect![[r#"
    error[E0103]: `services` must be a table of names, not a list
     --> evenkeel.yaml:2:1
    2 | services: [web]
      | ^^^^^^^^
    hint: write `services:` and below it one table a service, by its name
"#]],
    );
    check(
        r"name: shop
services: { web: bin/shop }",
        expect![[r#"
    error[E0103]: `web` must be a table of keys, not a text
     --> evenkeel.yaml:2:18
    2 | services: { web: bin/shop }
      |                  ^^^^^^^^
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a], environment: [A=b] } }",
        expect![[r#"
    error[E0103]: `environment` must be a table of names, not a list
     --> evenkeel.yaml:2:34
    2 | services: { web: { command: [a], environment: [A=b] } }
      |                                  ^^^^^^^^^^^
    hint: write a table: `environment: { KEY: "value" }`
"#]],
    );
}

#[test]
fn quantities_carry_their_unit() {
    check(
        r"name: shop
objectives:
  availability: 99.95
  budget: 900
  latency: { service: web, p99: 300, load: 400 }
  rto: { zone: 1 minute }
services: { web: { command: [a], resources: { memory: 512 } } }",
        expect![[r#"
    error[E0104]: `availability` must be a percentage from 0% to below 100%, such as `99.95%`, not `99.95`
     --> evenkeel.yaml:3:17
    3 |   availability: 99.95
      |                 ^^^^^
    hint: with its unit: `99.95%`

    error[E0104]: `budget` must be an amount such as `900 USD/month`, not `900`
     --> evenkeel.yaml:4:11
    4 |   budget: 900
      |           ^^^
    hint: with its unit: `900 USD/month`

    error[E0104]: `p99` must be a duration with its unit, such as `500ms`, `10s` or `5m`, not `300`
     --> evenkeel.yaml:5:33
    5 |   latency: { service: web, p99: 300, load: 400 }
      |                                 ^^^
    hint: with its unit: `300ms` or `300s`

    error[E0104]: `load` must be a rate such as `400rps` or `50/s`, not `400`
     --> evenkeel.yaml:5:44
    5 |   latency: { service: web, p99: 300, load: 400 }
      |                                            ^^^
    hint: with its unit: `400rps`

    error[E0104]: `zone` must be a duration with its unit, such as `500ms`, `10s` or `5m`, not `1 minute`
     --> evenkeel.yaml:6:16
    6 |   rto: { zone: 1 minute }
      |                ^^^^^^^^

    error[E0104]: `memory` must be a size such as `512M` or `100G`, not `512`
     --> evenkeel.yaml:7:55
    7 | services: { web: { command: [a], resources: { memory: 512 } } }
      |                                                       ^^^
    hint: with its unit: `512M`
"#]],
    );
    check(
        r"name: shop
objectives: { availability: 100%, budget: 900 EUR/month, rto: 60s }
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0104]: `availability` must be a percentage from 0% to below 100%, such as `99.95%`, not `100%`
     --> evenkeel.yaml:2:29
    2 | objectives: { availability: 100%, budget: 900 EUR/month, rto: 60s }
      |                             ^^^^
    hint: nothing is always there; `99.99%` is 53 minutes of downtime a year

    error[E0104]: `budget` must be an amount such as `900 USD/month`, not `900 EUR/month`
     --> evenkeel.yaml:2:43
    2 | objectives: { availability: 100%, budget: 900 EUR/month, rto: 60s }
      |                                           ^^^^^^^^^^^^^
    hint: prices are in US dollars: write the amount in `USD/month`

    error[E0103]: `rto` must be a table of keys, not a text
     --> evenkeel.yaml:2:63
    2 | …jectives: { availability: 100%, budget: 900 EUR/month, rto: 60s }
      |                                                              ^^^
    hint: write it per scope: `rto: { zone: 60s }`
"#]],
    );
    check(
        r"name: shop
objectives: { budget: 0 USD/month, rto: { zone: -5s } }
services: { web: { command: [a], resources: { memory: 1e9 } } }",
        expect![[r#"
    error[E0107]: `budget` is 0; it must be more than 0
     --> evenkeel.yaml:2:23
    2 | objectives: { budget: 0 USD/month, rto: { zone: -5s } }
      |                       ^^^^^^^^^^^

    error[E0104]: `zone` must be a duration with its unit, such as `500ms`, `10s` or `5m`, not `-5s`
     --> evenkeel.yaml:2:49
    2 | objectives: { budget: 0 USD/month, rto: { zone: -5s } }
      |                                                 ^^^

    error[E0104]: `memory` must be a size such as `512M` or `100G`, not `1e9`
     --> evenkeel.yaml:3:55
    3 | services: { web: { command: [a], resources: { memory: 1e9 } } }
      |                                                       ^^^
"#]],
    );
}

#[test]
fn values_have_bounds() {
    check(
        r"name: shop
placement: { zones: 12 }
services:
  web:
    command: [a]
    replicas: 0
    resources: { cpus: 0, memory: 1K }
    deploy: { drain: 2h }
    healthcheck: { retries: 0, timeout: 0s }
",
        expect![[r#"
    error[E0107]: `zones` is 12; it must be from 1 to 9
     --> evenkeel.yaml:2:21
    2 | placement: { zones: 12 }
      |                     ^^

    error[E0107]: `replicas` is 0; it must be from 1 to 99
     --> evenkeel.yaml:6:15
    6 |     replicas: 0
      |               ^

    error[E0107]: `cpus` is 0; it must be from 0.01 to 256
     --> evenkeel.yaml:7:24
    7 |     resources: { cpus: 0, memory: 1K }
      |                        ^

    error[E0107]: `memory` is 1K; it must be from 4M to 4T
     --> evenkeel.yaml:7:35
    7 |     resources: { cpus: 0, memory: 1K }
      |                                   ^^

    error[E0107]: `drain` is 2h; it must be from 0s to 1h
     --> evenkeel.yaml:8:22
    8 |     deploy: { drain: 2h }
      |                      ^^

    error[E0107]: `retries` is 0; it must be from 1 to 20
     --> evenkeel.yaml:9:29
    9 |     healthcheck: { retries: 0, timeout: 0s }
      |                             ^

    error[E0107]: `timeout` is 0s; it must be from 10ms to 10m
     --> evenkeel.yaml:9:41
    9 |     healthcheck: { retries: 0, timeout: 0s }
      |                                         ^^
"#]],
    );
    check(
        r"name: shop
services: { web: { command: [a], replicas: -1 } }",
        expect![[r#"
    error[E0107]: `replicas` is -1; it must be from 1 to 99
     --> evenkeel.yaml:2:44
    2 | services: { web: { command: [a], replicas: -1 } }
      |                                            ^^
"#]],
    );
}

#[test]
fn words_are_one_of_those_known() {
    check(
        r"name: shop
placement: { providers: [aws, google, aws] }
objectives: { survive: [zones, az, disk] }
services: { web: { command: [a], deploy: { strategy: Rolling } } }",
        expect![[r#"
    error[E0105]: an entry of `placement.providers` must be `aws`, `gcp` or `alicloud`, not `google`
     --> evenkeel.yaml:2:31
    2 | placement: { providers: [aws, google, aws] }
      |                               ^^^^^^
    hint: did you mean `gcp`?

    error[E0113]: `aws` stands twice in `placement.providers`
     --> evenkeel.yaml:2:39
    2 | placement: { providers: [aws, google, aws] }
      |                                       ^^^
    hint: remove one of them

    error[E0105]: an entry of `objectives.survive` must be `node`, `zone` or `region`, not `zones`
     --> evenkeel.yaml:3:25
    3 | objectives: { survive: [zones, az, disk] }
      |                         ^^^^^
    hint: did you mean `zone`?

    error[E0105]: an entry of `objectives.survive` must be `node`, `zone` or `region`, not `az`
     --> evenkeel.yaml:3:32
    3 | objectives: { survive: [zones, az, disk] }
      |                                ^^
    hint: did you mean `zone`?

    error[E0105]: an entry of `objectives.survive` must be `node`, `zone` or `region`, not `disk`
     --> evenkeel.yaml:3:36
    3 | objectives: { survive: [zones, az, disk] }
      |                                    ^^^^

    error[E0105]: `strategy` must be `rolling`, not `Rolling`
     --> evenkeel.yaml:4:54
    4 | services: { web: { command: [a], deploy: { strategy: Rolling } } }
      |                                                      ^^^^^^^
    hint: did you mean `rolling`?
"#]],
    );
    check(
        r"name: shop
placement: { providers: aws, regions: [EU] }
services: { web: { command: [a] } }",
        expect![[r#"
    error[E0103]: `providers` must be a list, not a text
     --> evenkeel.yaml:2:25
    2 | placement: { providers: aws, regions: [EU] }
      |                         ^^^
    hint: write it as a list: `providers: [aws]`

    error[E0106]: `EU` is not a region such as `eu-central`, or a provider's own id
     --> evenkeel.yaml:2:40
    2 | placement: { providers: aws, regions: [EU] }
      |                                        ^^
    hint: write `eu`
"#]],
    );
}

#[test]
fn names_that_nothing_has_are_found() {
    check(
        r#"name: shop
objectives: { latency: { service: wbe, p99: 300ms } }
services: { web: { command: [a, "${port}", "${bd.url}"] } }
databases: { db: { engine: postgres:15, storage: 1G } }
jobs: { migrate: { command: [a], before: api } }
ingress: [{ to: shop }]"#,
        expect![[r#"
    error[E0201]: there is no service `wbe`
     --> evenkeel.yaml:2:35
    2 | objectives: { latency: { service: wbe, p99: 300ms } }
      |                                   ^^^
    hint: did you mean `web`?

    error[E0201]: there is no database or cache `bd`
     --> evenkeel.yaml:3:45
    3 | services: { web: { command: [a, "${port}", "${bd.url}"] } }
      |                                             ^^^^^^^^^
    hint: did you mean `${db.url}`?

    note[N0401]: `databases` is accepted, not run by this version
     --> evenkeel.yaml:4:1
    4 | databases: { db: { engine: postgres:15, storage: 1G } }
      | ^^^^^^^^^

    note[N0401]: `jobs` is accepted, not run by this version
     --> evenkeel.yaml:5:1
    5 | jobs: { migrate: { command: [a], before: api } }
      | ^^^^

    error[E0201]: there is no service `api`
     --> evenkeel.yaml:5:42
    5 | jobs: { migrate: { command: [a], before: api } }
      |                                          ^^^
    hint: `services` has `web`

    error[E0201]: there is no service `shop`
     --> evenkeel.yaml:6:17
    6 | ingress: [{ to: shop }]
      |                 ^^^^
    hint: `services` has `web`
"#]],
    );
    check(
        r#"name: shop
objectives: { latency: { service: web } }
services: { web: { command: [a, "${port}"] } }
ingress: [{ listen: ":80" }]"#,
        expect![[r#"
    error[E0102]: `objectives.latency` has no `p99`
     --> evenkeel.yaml:2:15
    2 | objectives: { latency: { service: web } }
      |               ^^^^^^^
    hint: add `p99:`, a duration with its unit, such as `500ms`, `10s` or `5m`

    error[E0102]: an entry of `ingress` has no `to`
     --> evenkeel.yaml:4:11
    4 | ingress: [{ listen: ":80" }]
      |           ^^^^^^^^^^^^^^^^^
    hint: add `to:`, the name of a service
"#]],
    );
}

#[test]
fn holes_are_checked_where_they_stand() {
    check(
        r#"name: shop
services:
  web:
    command: ["$HOME/x", "${prt}", '${port', "a$$b"]
    environment: { A: "x ${HOST:-y}", B: "\t${zone} ${nope}", C: "${unit}" }
"#,
        expect![[r#"
            error[E0110]: `$` must begin `${name}`
             --> evenkeel.yaml:4:16
            4 |     command: ["$HOME/x", "${prt}", '${port', "a$$b"]
              |                ^
            hint: write `$$` for a plain `$`; variables of your shell are not read

            error[E0110]: `${prt}` is not a variable
             --> evenkeel.yaml:4:27
            4 |     command: ["$HOME/x", "${prt}", '${port', "a$$b"]
              |                           ^^^^^^
            hint: did you mean `${port}`?

            error[E0110]: `${` is never closed
             --> evenkeel.yaml:4:37
            4 |     command: ["$HOME/x", "${prt}", '${port', "a$$b"]
              |                                     ^^^^^^
            hint: close it with `}`, or write `$$` for a plain `$`

            error[E0110]: `${HOST:-y}` is not a variable
             --> evenkeel.yaml:5:26
            5 |     environment: { A: "x ${HOST:-y}", B: "\t${zone} ${nope}", C: "${unit}" }
              |                          ^^^^^^^^^^
            hint: variables of your shell are not read; a secret is `${secret.NAME}`, a plain `$` is `$$`

            error[E0110]: `${nope}` is not a variable
             --> evenkeel.yaml:5:42
            5 |     environment: { A: "x ${HOST:-y}", B: "\t${zone} ${nope}", C: "${unit}" }
              |                                          ^^^^^^^^^^^^^^^^^^^
            hint: known: `${port}`, `${address}`, `${zone}`, `${unit}`, `${data}`, `${NAME.url}` of a database or cache, `${secret.NAME}`
        "#]],
    );
}

#[test]
fn what_fields_say_about_each_other_is_checked() {
    check(
        r#"name: shop
objectives: { survive: [zone] }
placement: { zones: 1 }
services:
  web:
    command: [a, "${port}"]
    scale: { min: 5, max: 3 }
    load: { peak: 10rps, mean: 20rps }
  api:
    command: [a, "${port}"]
    replicas: 2
    scale: { max: 4 }
    deploy: { max_unavailable: 2 }
  one:
    command: [a]
    deploy: { max_unavailable: 1 }
    resources: { cpus: 0.1234 }
"#,
        expect![[r#"
    error[E0207]: losing a zone cannot be survived with `zones: 1`
     --> evenkeel.yaml:2:25
    2 | objectives: { survive: [zone] }
      |                         ^^^^
    hint: write `placement: { zones: 3 }`, or take `zone` out of `survive`

    error[E0203]: `min` is 5, more than `max`, which is 3
     --> evenkeel.yaml:7:19
    7 |     scale: { min: 5, max: 3 }
      |                   ^
    hint: swap them, or raise `max`

    error[E0203]: `mean` is 20rps, more than `peak`, which is 10rps
     --> evenkeel.yaml:8:32
    8 |     load: { peak: 10rps, mean: 20rps }
      |                                ^^^^^
    hint: `peak` is the most that must be carried, `mean` the average of a month

    error[E0203]: `replicas` and `scale` both say how many replicas there are
      --> evenkeel.yaml:11:5
    11 |     replicas: 2
       |     ^^^^^^^^
    hint: `replicas: N` is short for `scale: { min: N, max: N }`; keep one of them

    error[E0204]: `max_unavailable` is 2, but there may be only 2 replicas
      --> evenkeel.yaml:13:32
    13 |     deploy: { max_unavailable: 2 }
       |                                ^
    hint: write 0: a successor is healthy before a replica goes

    error[E0204]: `max_unavailable` is 1, but there may be only 1 replica
      --> evenkeel.yaml:16:32
    16 |     deploy: { max_unavailable: 1 }
       |                                ^
    hint: write 0: a successor is healthy before a replica goes

    error[E0107]: `cpus` has more than three decimals
      --> evenkeel.yaml:17:24
    17 |     resources: { cpus: 0.1234 }
       |                        ^^^^^^
    hint: write `0.25`
"#]],
    );
    check(
        r#"name: shop
services:
  web:
    command: [a, "${port}"]
    healthcheck: { http: /, interval: 1s, timeout: 2s, start_timeout: 1s }
"#,
        expect![[r#"
    warning[W0301]: `timeout` (2s) is longer than `interval` (1s)
     --> evenkeel.yaml:5:43
    5 |     healthcheck: { http: /, interval: 1s, timeout: 2s, start_timeout: 1s }
      |                                           ^^^^^^^
    hint: the next probe waits for the one before; make `timeout` the shorter one

    warning[W0301]: `start_timeout` (1s) is shorter than one probe (`timeout`: 2s)
     --> evenkeel.yaml:5:56
    5 |     healthcheck: { http: /, interval: 1s, timeout: 2s, start_timeout: 1s }
      |                                                        ^^^^^^^^^^^^^
    hint: give a replica the time of some probes to start
"#]],
    );
    check(
        r"name: shop
services:
  web:
    command: [a]
    healthcheck: { http: healthz }
  api:
    command: [a]
    healthcheck: { http: /healthz }
ingress: [{ to: web }]",
        expect![[r#"
    error[E0106]: `healthz` is not a path that begins with `/`, such as `/healthz`
     --> evenkeel.yaml:5:26
    5 |     healthcheck: { http: healthz }
      |                          ^^^^^^^
    hint: write `/healthz`

    error[E0206]: an HTTP health check needs a service that uses `${port}`
     --> evenkeel.yaml:8:26
    8 |     healthcheck: { http: /healthz }
      |                          ^^^^^^^^
    hint: tell it its port: `command: ["bin/shop", "--port", "${port}"]`, or remove `http`

    error[E0206]: `web` cannot get requests: it uses `${port}` nowhere
     --> evenkeel.yaml:9:17
    9 | ingress: [{ to: web }]
      |                 ^^^
    hint: tell it its port: `command: ["bin/shop", "--port", "${port}"]`
"#]],
    );
}

#[test]
fn two_ingress_entries_never_want_the_same_requests() {
    check(
        r#"name: shop
services: { web: { command: ["${port}"] } }
ingress:
  - { to: web }
  - { to: web, listen: ":8080" }
  - { to: web, host: A.example.com }
  - { to: web, host: a.example.com }
  - { to: web, host: b.example.com, listen: "0.0.0.0:8080" }
"#,
        expect![[r#"
    error[E0205]: port 8080 already has an entry without `host`
     --> evenkeel.yaml:5:24
    5 |   - { to: web, listen: ":8080" }
      |                        ^^^^^^^
    hint: name the `host` of each entry but one

    error[E0205]: port 8080 already has an entry for `a.example.com`
     --> evenkeel.yaml:7:22
    7 |   - { to: web, host: a.example.com }
      |                      ^^^^^^^^^^^^^
    hint: remove one of them

    error[E0205]: port 8080 is listened on in two ways, `:8080` and `0.0.0.0:8080`
     --> evenkeel.yaml:8:45
    8 |   - { to: web, host: b.example.com, listen: "0.0.0.0:8080" }
      |                                             ^^^^^^^^^^^^^^
    hint: write the same address in all entries of one port
"#]],
    );
    check(
        r#"name: shop
services: { web: { command: ["${port}"] } }
ingress:
  - { to: web, listen: 8080 }
  - { to: web, listen: "127.0.0.1:80" }
  - { to: web, listen: ":0" }
  - { to: web, listen: ":70000" }
  - { to: web, listen: ":81", host: "*.example.com:81" }
"#,
        expect![[r#"
    error[E0106]: `listen` must be an address to listen on: `:8080`, or `0.0.0.0:8080` for every address of the machine, not `8080`
     --> evenkeel.yaml:4:24
    4 |   - { to: web, listen: 8080 }
      |                        ^^^^
    hint: write `":8080"` for the zone's own address

    error[E0106]: `listen` must be an address to listen on: `:8080`, or `0.0.0.0:8080` for every address of the machine, not `127.0.0.1:80`
     --> evenkeel.yaml:5:24
    5 |   - { to: web, listen: "127.0.0.1:80" }
      |                        ^^^^^^^^^^^^^^
    hint: write `":80"` for the zone's own address

    error[E0107]: `0` is not a port; it must be from 1 to 65535
     --> evenkeel.yaml:6:24
    6 |   - { to: web, listen: ":0" }
      |                        ^^^^

    error[E0107]: `70000` is not a port; it must be from 1 to 65535
     --> evenkeel.yaml:7:24
    7 |   - { to: web, listen: ":70000" }
      |                        ^^^^^^^^

    error[E0106]: `*.example.com:81` is not a host name such as `shop.example.com`, without a port and without `*`
     --> evenkeel.yaml:8:37
    8 |   - { to: web, listen: ":81", host: "*.example.com:81" }
      |                                     ^^^^^^^^^^^^^^^^^^
"#]],
    );
}

#[test]
fn what_this_version_does_not_run_is_said() {
    check(
        r#"name: shop
services:
  web: { image: "ghcr.io/acme/shop:1.8.2" }
  api: { command: [a, "${cache.url}"], environment: { K: "${secret.KEY}" } }
caches: { cache: { engine: redis:7, memory: 1G } }
"#,
        expect![[r#"
            warning[W0303]: `web` runs an image, which this version does not start
             --> evenkeel.yaml:3:10
            3 |   web: { image: "ghcr.io/acme/shop:1.8.2" }
              |          ^^^^^
            hint: `check` and `plan` go on; `up` refuses: `command:` starts a program of this machine

            warning[W0302]: `${cache.url}` is not run by this version
             --> evenkeel.yaml:4:24
            4 |   api: { command: [a, "${cache.url}"], environment: { K: "${secret.KEY}" } }
              |                        ^^^^^^^^^^^^
            hint: `check` and `plan` go on, `up` refuses; to run it now, write the address of your own server here

            warning[W0302]: `${secret.KEY}` is not run by this version
             --> evenkeel.yaml:4:59
            4 |   api: { command: [a, "${cache.url}"], environment: { K: "${secret.KEY}" } }
              |                                                           ^^^^^^^^^^^^^
            hint: `check` and `plan` go on, `up` refuses; to run it now, write the address of your own server here

            note[N0401]: `caches` is accepted, not run by this version
             --> evenkeel.yaml:5:1
            5 | caches: { cache: { engine: redis:7, memory: 1G } }
              | ^^^^^^
        "#]],
    );
    check(
        r"name: shop
services: { web: { command: [a] } }
assume: { zone_outages: 4/year, deploy_failures: 4 }
security: { waf: { mode: audit, paranoia: 7 } }
volumes: { data: {} }
",
        expect![[r#"
    note[N0401]: `assume` is accepted, not run by this version
     --> evenkeel.yaml:3:1
    3 | assume: { zone_outages: 4/year, deploy_failures: 4 }
      | ^^^^^^

    error[E0101]: unknown key `zone_outages` in `assume`
     --> evenkeel.yaml:3:11
    3 | assume: { zone_outages: 4/year, deploy_failures: 4 }
      |           ^^^^^^^^^^^^
    hint: did you mean `zone_outage`?

    error[E0104]: `deploy_failures` must be a count in a year such as `4/year`, not `4`
     --> evenkeel.yaml:3:50
    3 | assume: { zone_outages: 4/year, deploy_failures: 4 }
      |                                                  ^
    hint: with its unit: `4/year`

    note[N0401]: `security` is accepted, not run by this version
     --> evenkeel.yaml:4:1
    4 | security: { waf: { mode: audit, paranoia: 7 } }
      | ^^^^^^^^

    error[E0105]: `mode` must be `block` or `detect`, not `audit`
     --> evenkeel.yaml:4:26
    4 | security: { waf: { mode: audit, paranoia: 7 } }
      |                          ^^^^^

    error[E0107]: `paranoia` is 7; it must be from 1 to 4
     --> evenkeel.yaml:4:43
    4 | security: { waf: { mode: audit, paranoia: 7 } }
      |                                           ^

    note[N0401]: `volumes` is accepted, not run by this version
     --> evenkeel.yaml:5:1
    5 | volumes: { data: {} }
      | ^^^^^^^
"#]],
    );
}

#[test]
fn no_control_character_of_the_file_reaches_the_terminal() {
    check(
        r#"name: "\e[31mred\u202e"
services: { web: { command: [a] } }"#,
        expect![[r#"
    error[E0106]: `\u{1b}[31mred\u{202e}` is not a name: lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit
     --> evenkeel.yaml:1:7
    1 | name: "\e[31mred\u202e"
      |       ^^^^^^^^^^^^^^^^^
"#]],
    );
    check(
        "\u{feff}name: a\u{202e}b\r\nservices: { web: { command: [a] } }\r\n",
        expect![[r#"
        error[E0106]: `a\u{202e}b` is not a name: lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit
         --> evenkeel.yaml:1:7
        1 | name: a�b
          |       ^^^
    "#]],
    );
    check(
        r#"name: shop # long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long 
services: { xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: { command: [a], environment: { A: "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy${z}wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww" } } }"#,
        expect![[r#"
    error[E0110]: `${z}` is not a variable
     --> evenkeel.yaml:2:180
    2 | …yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy${z}wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww…
      |                                                              ^^^^
    hint: known: `${port}`, `${address}`, `${zone}`, `${unit}`, `${data}`, `${NAME.url}` of a database or cache, `${secret.NAME}`
"#]],
    );
}
