//! What a person reads, for each mistake a person makes: values, and what fields say about each other.

use expect_test::expect;

use super::messages::check;

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
            hint: `check` and `plan` go on, `up` refuses; to run it now, let the program read it from a file of its own

            note[N0401]: `caches` is planned and priced, not run by this version
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

#[test]
fn priors_reach_the_plan_by_their_names_and_in_its_units() {
    let reading = crate::read(
        "name: shop\nservices: { web: { command: [a] } }\nassume:\n  deploy_failures: 6/year\n  deploy_repair: 30m\n  \
         zone_outage: { per_year: 0.5, hours: 6 }\n  machine_failure: { hours: 0.5 }\n  takeover_quorum: 1500ms\n",
        "evenkeel.yaml",
    );
    let app = reading.app.expect("it has no mistake");
    let priors: Vec<String> = app.assume.iter().map(|(name, value)| format!("{name} {value}")).collect();
    expect![[r"
        deploy_failures.hours 0.5
        deploy_failures.per_year 6
        machine_failure.hours 0.5
        takeover_quorum.seconds 1.5
        zone_outage.hours 6
        zone_outage.per_year 0.5"]]
    .assert_eq(&priors.join("\n"));
}
