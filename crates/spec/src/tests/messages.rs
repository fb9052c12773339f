//! What a person reads, for each mistake a person makes: the form of the file and its keys. Values: `values.rs`.

use expect_test::{Expect, expect};

use crate::{Severity, read, render};

/// Reads and draws as for a file; an empty line between two findings.
#[track_caller]
pub(super) fn check(text: &str, expected: Expect) {
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
fn machines_are_apart_or_together_or_whatever_is_cheapest() {
    let text =
        |value: &str| format!("name: s\nservices: {{ web: {{ command: [a] }} }}\nplacement: {{ {value} }}\n");
    for (value, machines) in [
        ("zones: 3", model::Sharing::Together),
        ("zones: 9", model::Sharing::Together),
        ("machines: any", model::Sharing::Any),
        ("machines: apart", model::Sharing::Apart),
        ("machines: together", model::Sharing::Together),
    ] {
        assert_eq!(read(&text(value), "evenkeel.yaml").app.unwrap().sharing(), machines, "{value}");
    }
    let app = |text: &str| read(text, "evenkeel.yaml").app.unwrap();
    let many = ["a", "b", "c", "d", "e"].map(|name| format!("  {name}: {{ command: [x] }}\n")).concat();
    assert_eq!(app(&format!("name: s\nservices:\n{many}")).sharing(), model::Sharing::Any);
    // One machine in one zone cannot be survived.
    let alone = format!("{}objectives: {{ survive: [node] }}\n", text("zones: 1"));
    assert_eq!(app(&alone).sharing(), model::Sharing::Any);
    check(
        &text("machines: shared"),
        expect![[r#"
            error[E0105]: `machines` must be `any`, `apart` or `together`, not `shared`
             --> evenkeel.yaml:3:24
            3 | placement: { machines: shared }
              |                        ^^^^^^
            hint: did you mean `together`?
        "#]],
    );
    check(
        &text("machines: 3"),
        expect![[r#"
            error[E0105]: `machines` must be `any`, `apart` or `together`, not `3`
             --> evenkeel.yaml:3:24
            3 | placement: { machines: 3 }
              |                        ^
        "#]],
    );
    check(
        &text("machine: apart"),
        expect![[r#"
        error[E0101]: unknown key `machine` in `placement`
         --> evenkeel.yaml:3:14
        3 | placement: { machine: apart }
          |              ^^^^^^^
        hint: did you mean `machines`?
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
            note[N0401]: `reads` is accepted, not run by this version
             --> evenkeel.yaml:3:55
            3 | databases: { db: { engine: postgres:15, storage: 10G, reads: { split: yes } } }
              |                                                       ^^^^^

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
            note[N0401]: `reads` is accepted, not run by this version
             --> evenkeel.yaml:3:55
            3 | databases: { db: { engine: postgres:15, storage: 10G, reads: { split: "true" } } }
              |                                                       ^^^^^

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
    check(
        r"name: shop
services: { web: { command: [a], resources: { cpus: 500m } } }",
        expect![[r#"
    error[E0103]: `cpus` must be a number, not `500m`
     --> evenkeel.yaml:2:53
    2 | services: { web: { command: [a], resources: { cpus: 500m } } }
      |                                                     ^^^^
    hint: in CPUs: `0.5`
"#]],
    );
}
