//! Whole files: the design's example, the smallest one, and what every default becomes.

use expect_test::{Expect, expect};

use crate::{Finding, Severity, read, read_bytes};

const DESIGN: &str = include_str!("design.yaml");

fn told(findings: &[Finding]) -> String {
    let line = |f: &Finding| format!("{} {} {}: {}", f.code, f.severity.word(), f.place.line, f.message);
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_of_the_design_has_notes_only_but_for_the_stores_it_uses() {
    let reading = read(DESIGN, "evenkeel.yaml");
    expect![[r#"
        N0401 note 15: `region_strategy` is accepted, not run by this version
        W0302 warning 21: `${cache.url}` is not run by this version
        N0401 note 28: `schedule` is accepted, not run by this version
        N0401 note 38: `reads` is accepted, not run by this version
        N0401 note 39: `backup` is accepted, not run by this version
        N0401 note 40: `caches` is planned and priced, not run by this version
        N0401 note 42: `jobs` is accepted, not run by this version
        N0401 note 44: `volumes` is accepted, not run by this version
        N0401 note 47: `tls` is accepted, not run by this version
        N0401 note 48: `security` is accepted, not run by this version
        N0401 note 51: `alerts` is accepted, not run by this version"#]]
    .assert_eq(&told(&reading.findings));
    assert!(reading.findings.iter().all(|finding| finding.severity != Severity::Error));
    expect!["service `web` uses `${cache.url}`, which this version does not provide; hint: write the address of your own server into its `command:` or `environment:`"].assert_eq(&reading.not_run.join("\n"));
    expect![[r#"
        `services.web.healthcheck`: start_timeout 30s (most programs start in less)
        `databases.db`: run_by evenkeel (what this version starts)
        `caches.cache`: loss outage (whether the application answers without it is not known)"#]]
    .assert_eq(&reading.defaults.join("\n"));
    expect![[r#"
        App {
            name: AppName(
                "webshop",
            ),
            objectives: Objectives {
                availability: Some(
                    Availability {
                        unavailability: 0.0004999999999999716,
                    },
                ),
                latency: Some(
                    Latency {
                        service: ServiceName(
                            "web",
                        ),
                        p99: Duration(
                            300,
                        ),
                        load: Some(
                            Rate(
                                400.0,
                            ),
                        ),
                    },
                ),
                survive: [
                    Zone,
                ],
                survive_nothing: false,
                rto: PerScope {
                    node: Some(
                        Duration(
                            10000,
                        ),
                    ),
                    zone: Some(
                        Duration(
                            60000,
                        ),
                    ),
                    region: Some(
                        Duration(
                            1800000,
                        ),
                    ),
                },
                rpo: PerScope {
                    node: Some(
                        Duration(
                            0,
                        ),
                    ),
                    zone: Some(
                        Duration(
                            0,
                        ),
                    ),
                    region: Some(
                        Duration(
                            60000,
                        ),
                    ),
                },
                budget: Some(
                    Money(
                        900000000,
                    ),
                ),
            },
            placement: Placement {
                providers: [
                    "aws",
                    "gcp",
                    "alicloud",
                ],
                regions: [
                    Region(
                        "eu-central",
                    ),
                    Region(
                        "eu-west",
                    ),
                ],
                zones: 3,
                machines: None,
                residency: [
                    "EU",
                ],
                users: [],
            },
            services: [
                Service {
                    name: ServiceName(
                        "web",
                    ),
                    run: Command(
                        [
                            Template {
                                pieces: [
                                    Text(
                                        "bin/shop",
                                    ),
                                ],
                            },
                            Template {
                                pieces: [
                                    Text(
                                        "--port",
                                    ),
                                ],
                            },
                            Template {
                                pieces: [
                                    Variable(
                                        Port,
                                    ),
                                ],
                            },
                        ],
                    ),
                    environment: {
                        "CACHE_URL": Template {
                            pieces: [
                                Text(
                                    "${cache.url}",
                                ),
                            ],
                        },
                        "DATABASE_URL": Template {
                            pieces: [
                                Url(
                                    DatabaseName(
                                        "db",
                                    ),
                                ),
                            ],
                        },
                    },
                    healthcheck: Healthcheck {
                        probe: Http(
                            "/healthz",
                        ),
                        interval: Duration(
                            1000,
                        ),
                        timeout: Duration(
                            500,
                        ),
                        retries: 2,
                        start_timeout: Duration(
                            30000,
                        ),
                    },
                    resources: Resources {
                        cpus: MilliCpu(
                            1000,
                        ),
                        memory: Bytes(
                            536870912,
                        ),
                    },
                    scale: Scale {
                        min: 3,
                        max: 18,
                        target: Some(
                            Rate(
                                150.0,
                            ),
                        ),
                    },
                    load: Some(
                        Load {
                            peak: Rate(
                                400.0,
                            ),
                            mean: Some(
                                Rate(
                                    120.0,
                                ),
                            ),
                            response: None,
                        },
                    ),
                    rps_per_cpu: Some(
                        150.0,
                    ),
                    deploy: Deploy {
                        max_unavailable: 0,
                        drain: Duration(
                            30000,
                        ),
                    },
                },
            ],
            databases: [
                Database {
                    name: DatabaseName(
                        "db",
                    ),
                    postgres: 15,
                    storage: Bytes(
                        107374182400,
                    ),
                    standbys: 2,
                    auto: false,
                    witness: false,
                    managed: No,
                    writes: Some(
                        Rate(
                            50.0,
                        ),
                    ),
                    when_alone: Block,
                },
            ],
            caches: [
                Cache {
                    name: CacheName(
                        "cache",
                    ),
                    engine: "redis:7",
                    memory: Bytes(
                        2147483648,
                    ),
                    shards: 1,
                    replicas: 1,
                    loss: Outage,
                },
            ],
            ingress: [
                Ingress {
                    port: 8080,
                    any_address: true,
                    host: Some(
                        "shop.example.com",
                    ),
                    to: ServiceName(
                        "web",
                    ),
                },
            ],
            assume: {
                "deploy_failures.per_year": 4.0,
                "zone_outage.hours": 4.0,
                "zone_outage.per_year": 0.2,
            },
            seen: {},
        }
    "#]]
    .assert_debug_eq(&reading.app.expect("no error"));
}

#[test]
fn the_example_without_its_stores_is_run() {
    let text = DESIGN.replace("${db.url}", "postgres://127.0.0.1/shop").replace("${cache.url}", "");
    let reading = read(&text, "evenkeel.yaml");
    assert!(
        reading.findings.iter().all(|finding| finding.severity == Severity::Note),
        "{}",
        told(&reading.findings)
    );
    assert!(reading.not_run.is_empty() && reading.app.is_some());
}

#[track_caller]
fn defaults(text: &str, expected: Expect) {
    let reading = read(text, "evenkeel.yaml");
    let Some(app) = reading.app else { panic!("{}", told(&reading.findings)) };
    let mut out = reading.defaults.join("\n") + "\n";
    for service in &app.services {
        let (scale, check) = (service.scale, &service.healthcheck);
        out += &format!(
            "{}: {} to {}, {:?} every {}\n",
            service.name, scale.min, scale.max, check.probe, check.interval
        );
    }
    for ingress in &app.ingress {
        out += &format!(
            "{} any {} host {:?} -> {}\n",
            ingress.port, ingress.any_address, ingress.host, ingress.to
        );
    }
    expected.assert_eq(&out);
}

#[test]
fn every_default_is_said_with_its_reason() {
    defaults(
        "name: shop\nservices: { web: { command: [a, \"${port}\"] } }",
        expect![[r#"
            `placement`: no providers (this machine unless `--provider` names one), no regions (any region will do), zones 3 (at most; a majority is left when any one is lost)
            `services.web.healthcheck`: interval 1s (a replica that hangs is known in about two seconds), timeout 500ms (half of the default interval), retries 2 (one slow answer harms nobody), start_timeout 30s (most programs start in less)
            `services.web.healthcheck.http`: none (a TCP connection to `${port}` is enough, also to a process that stands still)
            `services.web.resources`: cpus 1 (enough for a small web program), memory 512M (enough for a small web program)
            `services.web.scale.min`: 2 (`ingress` reaches it, so one replica in each of two zones)
            `services.web.scale.max`: 4 (twice `min`, so that a doubled load is carried)
            `services.web.deploy`: strategy rolling (the only way), max_unavailable 0 (a successor is healthy before a replica goes), drain 30s (most requests are over by then)
            `ingress`: `:8080` to `web` (the first service that can be reached, on each zone's own address)
            web: 2 to 4, Tcp every 1s
            8080 any false host None -> web
        "#]],
    );
}

#[test]
fn defaults_follow_what_the_file_says() {
    const REST: &str = "resources: { cpus: 0.25, memory: 64M }, deploy: { strategy: rolling, max_unavailable: 0, drain: 5s }, \
        healthcheck: { interval: 1s, timeout: 1s, retries: 1, start_timeout: 9s }";
    let services = format!(
        "services:\n  worker: {{ command: [a], {REST} }}\n  web: {{ command: [a], environment: {{ PORT: \"${{port}}\" }}, {REST} }}\n  \
         api: {{ command: [\"${{port}}\"], replicas: 5, {REST} }}\n  one: {{ image: nginx, scale: {{ max: 1 }}, {REST} }}\n  \
         big: {{ command: [a], scale: {{ min: 60 }}, {REST} }}\n"
    );
    let placement = "placement: { providers: [], regions: [], zones: 1 }";
    defaults(
        &format!("name: s\n{placement}\n{services}"),
        expect![[r#"
            `services.worker.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.worker.scale.min`: 1 (`ingress` does not reach it)
            `services.worker.scale.max`: 2 (twice `min`, so that a doubled load is carried)
            `services.web.healthcheck.http`: none (a TCP connection to `${port}` is enough, also to a process that stands still)
            `services.web.scale.min`: 1 (there is one zone)
            `services.web.scale.max`: 2 (twice `min`, so that a doubled load is carried)
            `services.api.healthcheck.http`: none (a TCP connection to `${port}` is enough, also to a process that stands still)
            `services.one.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.one.scale.min`: 1 (`ingress` does not reach it)
            `services.big.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.big.scale.max`: 99 (twice `min`, so that a doubled load is carried)
            `ingress`: `:8080` to `web` (the first service that can be reached, on each zone's own address)
            worker: 1 to 2, Running every 1s
            web: 1 to 2, Tcp every 1s
            api: 5 to 5, Tcp every 1s
            one: 1 to 1, Running every 1s
            big: 60 to 99, Running every 1s
            8080 any false host None -> web
        "#]],
    );
    let ingress = "ingress: [{ to: api, listen: \"0.0.0.0:80\" }, { to: web, host: WWW.Example.com, listen: \"0.0.0.0:80\" }, { to: one }]";
    defaults(
        &format!("name: s\nplacement: {{ providers: [aws], regions: [eu-west] }}\n{services}{ingress}"),
        expect![[r#"
            `placement`: zones 3 (at most; a majority is left when any one is lost)
            `services.worker.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.worker.scale.min`: 1 (`ingress` does not reach it)
            `services.worker.scale.max`: 2 (twice `min`, so that a doubled load is carried)
            `services.web.healthcheck.http`: none (a TCP connection to `${port}` is enough, also to a process that stands still)
            `services.web.scale.min`: 2 (`ingress` reaches it, so one replica in each of two zones)
            `services.web.scale.max`: 4 (twice `min`, so that a doubled load is carried)
            `services.api.healthcheck.http`: none (a TCP connection to `${port}` is enough, also to a process that stands still)
            `services.one.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.one.scale.min`: 1 (no more than `max`)
            `services.big.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.big.scale.max`: 99 (twice `min`, so that a doubled load is carried)
            `ingress[]`: listen :8080 (the zone's own address, so that zones of one machine do not collide)
            worker: 1 to 2, Running every 1s
            web: 2 to 4, Tcp every 1s
            api: 5 to 5, Tcp every 1s
            one: 1 to 1, Running every 1s
            big: 60 to 99, Running every 1s
            80 any true host None -> api
            80 any true host Some("www.example.com") -> web
            8080 any false host None -> one
        "#]],
    );
    defaults(
        "name: s\nservices: { web: { command: [a] } }\ningress: []",
        expect![[r#"
            `placement`: no providers (this machine unless `--provider` names one), no regions (any region will do), zones 3 (at most; a majority is left when any one is lost)
            `services.web.healthcheck`: interval 1s (a replica that hangs is known in about two seconds), timeout 500ms (half of the default interval), retries 2 (one slow answer harms nobody), start_timeout 30s (most programs start in less)
            `services.web.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)
            `services.web.resources`: cpus 1 (enough for a small web program), memory 512M (enough for a small web program)
            `services.web.scale.min`: 1 (`ingress` does not reach it)
            `services.web.scale.max`: 2 (twice `min`, so that a doubled load is carried)
            `services.web.deploy`: strategy rolling (the only way), max_unavailable 0 (a successor is healthy before a replica goes), drain 30s (most requests are over by then)
            web: 1 to 2, Running every 1s
        "#]],
    );
}

#[test]
fn nothing_that_is_to_be_survived_is_not_the_same_as_nothing_said() {
    let objectives = |text: &str| {
        let text = format!("name: x\nobjectives: {{ {text} }}\nservices: {{ web: {{ command: [a] }} }}\n");
        read(&text, "evenkeel.yaml").app.unwrap().objectives
    };
    for (text, nothing) in
        [("survive: []", true), ("survive: [node]", false), ("availability: 99.95%", false)]
    {
        assert_eq!(objectives(text).survive_nothing, nothing, "{text}");
    }
}

#[test]
fn line_ends_marks_and_encodings_do_not_matter_or_are_said() {
    let plain = read(DESIGN, "a");
    let crlf = read(&DESIGN.replace('\n', "\r\n"), "a");
    let marked = read(&format!("\u{feff}{DESIGN}"), "a");
    let cr = read(&DESIGN.replace('\n', "\r"), "a");
    for other in [&crlf, &marked, &cr] {
        assert_eq!(plain.app, other.app);
        assert_eq!(told(&plain.findings), told(&other.findings));
    }
    let said = |bytes: &[u8]| told(&read_bytes(bytes, "a", &Vec::new, &Vec::new).findings);
    expect!["E0002 error 3: byte 0xE9 is not UTF-8 here"]
        .assert_eq(&said(b"name: shop\nservices:\n  caf\xe9: {}\n"));
    expect!["E0002 error 1: the file is UTF-16, not UTF-8"].assert_eq(&said(b"\xff\xfen\0a\0m\0e\0"));
    expect!["E0002 error 1: the character U+0000 is not allowed in YAML"].assert_eq(&said(b"name: sh\0op"));
    expect!["E0001 error 2: this is not YAML: a BOM must not appear inside a document"]
        .assert_eq(&said(b"\xef\xbb\xbfname: shop\n\xef\xbb\xbfservices: 1"));
}

#[test]
fn json_is_yaml_too() {
    let reading =
        read(r#"{"name":"shop","services":{"web":{"command":["a","\u00e9\/"],"replicas":3}}}"#, "a");
    let app = reading.app.expect("no error");
    assert_eq!((app.services[0].scale.min, app.services[0].scale.max), (3, 3));
    let model::Run::Command(words) = &app.services[0].run else { panic!("a command") };
    assert_eq!(words[1].to_string(), "é/");
}

#[test]
fn for_programs_a_reading_is_one_object() {
    let reading = read("name: shop\nservices: { web: { image: nginx, replicas: 0 } }", "a");
    expect![[r#"
        {
          "defaults": [
            "`placement`: no providers (this machine unless `--provider` names one), no regions (any region will do), zones 3 (at most; a majority is left when any one is lost)",
            "`services.web.healthcheck`: interval 1s (a replica that hangs is known in about two seconds), timeout 500ms (half of the default interval), retries 2 (one slow answer harms nobody), start_timeout 30s (most programs start in less)",
            "`services.web.healthcheck.http`: none (no `${port}` is used, so a replica that runs is well)",
            "`services.web.resources`: cpus 1 (enough for a small web program), memory 512M (enough for a small web program)",
            "`services.web.deploy`: strategy rolling (the only way), max_unavailable 0 (a successor is healthy before a replica goes), drain 30s (most requests are over by then)",
            "`ingress`: `:8080` to `web` (the first service that can be reached, on each zone's own address)"
          ],
          "findings": [
            {
              "code": "W0303",
              "column": 20,
              "end": 35,
              "hint": "`check` and `plan` go on; `up` refuses: `command:` starts a program of this machine",
              "line": 2,
              "message": "`web` runs an image, which this version does not start",
              "severity": "warning",
              "start": 30
            },
            {
              "code": "E0107",
              "column": 44,
              "end": 55,
              "hint": null,
              "line": 2,
              "message": "`replicas` is 0; it must be from 1 to 99",
              "severity": "error",
              "start": 54
            }
          ],
          "format_version": 1,
          "kind": "check",
          "not_run": [
            "service `web` runs an image, which this version does not start; hint: give a program of this machine with `command:`"
          ],
          "valid": false
        }"#]].assert_eq(&format!("{:#}", crate::to_json(&reading)));
}
