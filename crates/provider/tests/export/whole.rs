//! Everything that is paid for is made, or named.

use expect_test::expect;
use model::{Layout, Plan};
use provider::Export;

use super::fixture::{AWS, CLOUDS, FILE, document, options, plan, plan_of, resources, terraform, variants};

/// One line each: the line of the bill, how many resources it became, and what is not applied.
fn told(export: &Export) -> String {
    let lines = export.lines.iter().map(|line| {
        let not = line.not_applied.as_ref().map(|why| format!("; not applied: {why}")).unwrap_or_default();
        let made = if line.resources.is_empty() { "nothing".to_owned() } else { line.resources.join(" ") };
        format!("{}: {made}{not}\n", line.item)
    });
    let extra = export
        .extra
        .iter()
        .map(|extra| format!("beyond the bill, {}: {}\n", extra.what, extra.resources.join(" ")));
    let notes = export.notes.iter().map(|note| format!("note: {note}\n"));
    lines.chain(extra).chain(notes).collect()
}

#[test]
fn each_line_of_the_bill_is_made_or_is_said_to_be_not_applied() {
    expect![[r#"
        c6i.xlarge for web: aws_instance.web_a1 aws_instance.web_b1 aws_instance.web_c1; not applied: 3 of 3 run nothing (web-a1, web-b1, web-c1): this version runs one agent a zone, on the machine with the database's disk or the first; the zone's replicas run there too
        c6i.xlarge for db: aws_instance.db_a1 aws_instance.db_b1 aws_instance.db_c1
        GB of disk for web: aws_instance.web_a1 aws_instance.web_b1 aws_instance.web_c1
        GB of disk for db: aws_ebs_volume.db_a1 aws_ebs_volume.db_b1 aws_ebs_volume.db_c1 aws_instance.db_a1 aws_instance.db_b1 aws_instance.db_c1
        application load balancer: aws_lb.entry
        load balancer capacity unit: aws_lb.entry
        NAT gateway: aws_nat_gateway.nat_a aws_nat_gateway.nat_b aws_nat_gateway.nat_c
        public address: aws_eip.nat_a aws_eip.nat_b aws_eip.nat_c aws_lb.entry
        GB of traffic to the internet: aws_lb.entry
        GB between zones for db: nothing
        beyond the bill, a bucket for programs and secrets that machines fetch at their start: aws_s3_bucket.release
        beyond the bill, a bucket for backups of databases, which this version does not write yet: aws_s3_bucket.backup
        note: 3.00 USD a month of the bill are machines that run nothing in this version: all of a zone runs on one machine, which carries what one carries, so the plan's peak and objectives are not kept
        note: agents are called a b c: the file that is handed out must say `zones: 3` in `placement`
        note: nobody can log in to a machine: no port is open for it, and its role may read one bucket and nothing else; a way in is yours to add, in a file of your own
        note: machines that already run take no changed file and no new program in this version: replace them one at a time
        note: fronts of this version have no rate limit and no web application firewall: whatever the internet sends gets through
        note: this version writes no backups: the bucket for them stays empty
    "#]]
    .assert_eq(&told(&terraform(&plan("aws"))));
}

/// What is bought when one machine a zone holds everything.
const TOGETHER: [(&str, f64); 7] = [
    ("m7i.xlarge for web and db", 3.0),
    ("GB of disk for web and db", 90.0),
    ("application load balancer", 1.0),
    ("load balancer capacity unit", 1.0),
    ("NAT gateway", 3.0),
    ("public address", 6.0),
    ("GB of traffic to the internet", 700.0),
];

#[test]
fn one_machine_a_zone_that_holds_everything_is_used_whole() {
    let (provider, region, zones, _) = CLOUDS[0];
    let mut plan = plan_of(FILE, provider, region, zones, &TOGETHER);
    plan.layout = Layout::Together;
    let export = terraform(&plan);
    expect![[r#"
        m7i.xlarge for web and db: aws_instance.web_db_a1 aws_instance.web_db_b1 aws_instance.web_db_c1
        GB of disk for web and db: aws_ebs_volume.web_db_a1 aws_ebs_volume.web_db_b1 aws_ebs_volume.web_db_c1 aws_instance.web_db_a1 aws_instance.web_db_b1 aws_instance.web_db_c1
        application load balancer: aws_lb.entry
        load balancer capacity unit: aws_lb.entry
        NAT gateway: aws_nat_gateway.nat_a aws_nat_gateway.nat_b aws_nat_gateway.nat_c
        public address: aws_eip.nat_a aws_eip.nat_b aws_eip.nat_c aws_lb.entry
        GB of traffic to the internet: aws_lb.entry
        beyond the bill, a bucket for programs and secrets that machines fetch at their start: aws_s3_bucket.release
        beyond the bill, a bucket for backups of databases, which this version does not write yet: aws_s3_bucket.backup
        note: agents are called a b c: the file that is handed out must say `zones: 3` in `placement`
        note: nobody can log in to a machine: no port is open for it, and its role may read one bucket and nothing else; a way in is yours to add, in a file of your own
        note: machines that already run take no changed file and no new program in this version: replace them one at a time
        note: fronts of this version have no rate limit and no web application firewall: whatever the internet sends gets through
        note: this version writes no backups: the bucket for them stays empty
    "#]].assert_eq(&told(&export));
    let document = document(&export);
    let mut disks: Vec<String> = resources(&document)
        .iter()
        .filter(|(kind, ..)| *kind == "aws_instance" || *kind == "aws_ebs_volume")
        .map(|(kind, name, body)| {
            format!("{kind} {name} {}{}", body["size"], body["root_block_device"]["volume_size"])
        })
        .collect();
    disks.sort();
    let expected: Vec<String> = ["a1", "b1", "c1"]
        .iter()
        .map(|at| format!("aws_ebs_volume web_db_{at} 10null"))
        .chain(["a1", "b1", "c1"].iter().map(|at| format!("aws_instance web_db_{at} null20")))
        .collect();
    assert_eq!(disks, expected);
}

/// Five nodes over three zones: the first two hold two each, and their machines have room for both.
#[test]
fn a_machine_that_holds_two_nodes_has_room_for_the_data_of_both() {
    let (provider, region, zones, _) = CLOUDS[0];
    let text = FILE.replace("standbys: 2", "standbys: 4");
    let bill = [("m7i.2xlarge for web and db", 3.0), ("GB of disk for web and db", 110.0)];
    let mut plan = plan_of(&text, provider, region, zones, &bill);
    plan.layout = Layout::Together;
    let document = document(&terraform(&plan));
    let mut sizes: Vec<String> = resources(&document)
        .iter()
        .filter(|(kind, ..)| *kind == "aws_ebs_volume")
        .map(|(_, name, body)| format!("{name} {}", body["size"]))
        .collect();
    sizes.sort();
    assert_eq!(sizes, ["web_db_a1 20", "web_db_b1 20", "web_db_c1 10"]);
}

/// The plan marks lines by rules of its own; the files show whether it is right.
#[test]
fn the_plan_marks_as_not_applied_what_the_files_do_not_make() {
    let api = FILE
        .replace("databases:", "  api: { command: [\"bin/api\"], scale: { min: 7, max: 9 } }\ndatabases:");
    let without = FILE.replace("databases:\n  db: { engine: postgres:15, storage: 10G, standbys: 2 }\n", "");
    let shut = FILE.replace("ingress:\n  - { listen: \"0.0.0.0:8080\", to: web }\n", "ingress: []\n");
    let (mut marked, mut plain) = (0, 0);
    let on = |machines: &'static str| {
        move |text: &&str| text.replace("zones: 3", &format!("zones: 3, machines: {machines}"))
    };
    let cached =
        format!("{FILE}caches: {{ cache: {{ engine: redis:7, memory: 2G, shards: 2, replicas: 1 }} }}\n");
    let texts = [FILE, &api, &without, &shut, &cached];
    let others: Vec<String> = texts.iter().map(on("apart")).chain(texts.iter().map(on("any"))).collect();
    for text in texts.into_iter().chain(others.iter().map(String::as_str)) {
        for provider in ["aws", "gcp", "alicloud"] {
            // Two zones do not keep the loss of one with three nodes of a database.
            for zones in if text.contains("databases:") { 3..=3 } else { 2..=3 } {
                let text = text.replace("zones: 3", &format!("zones: {zones}"));
                let app = spec::read(&text, "evenkeel.yaml").app.unwrap();
                let bought =
                    plan::Options { provider: Some(provider.to_owned()), ..plan::Options::default() };
                let plan = plan::plan(&app, &bought).unwrap();
                let mut exports = vec![provider::terraform(&plan, &options()).unwrap()];
                if provider == "aws" {
                    exports.push(provider::cloudformation(&plan, &options()).unwrap());
                }
                for (line, made) in exports.iter().flat_map(|export| plan.lines.iter().zip(&export.lines)) {
                    assert_eq!(
                        (&line.item, line.not_applied.is_some()),
                        (&made.item, made.not_applied.is_some()),
                        "{provider}, {zones} zones: {:?} {:?}\n{text}",
                        line.not_applied,
                        made.not_applied
                    );
                    marked += usize::from(line.not_applied.is_some());
                    plain += usize::from(line.not_applied.is_none());
                }
            }
        }
    }
    assert!(marked > 30 && plain > 120, "{marked} of {}", marked + plain);
}

#[test]
fn a_line_that_nobody_understands_is_named_and_no_resource_is_made_for_nothing() {
    let mut bill = AWS.to_vec();
    bill.extend([
        ("managed database vCPU for db", 6.0),
        ("cache.m6g.large for cache", 2.0),
        ("c6i.large for nobody", 1.0),
    ]);
    let (provider, region, zones, _) = CLOUDS[0];
    let export = terraform(&plan_of(FILE, provider, region, zones, &bill));
    let not: Vec<_> = export.lines[AWS.len()..]
        .iter()
        .map(|line| (line.resources.len(), line.not_applied.as_deref()))
        .collect();
    assert_eq!(not, [(0, Some("this version makes nothing of it")); 3]);
    assert_eq!(document(&export), document(&terraform(&plan("aws"))));
}

#[test]
fn every_resource_is_of_a_line_or_free_or_said_to_cost_beyond_the_bill() {
    // What costs by being there, whatever it is used for.
    let costs = [
        "_instance",
        "_volume",
        "_disk",
        "aws_lb",
        "_load_balancer",
        "_nat_gateway",
        "_router_nat",
        "_eip",
        "_eip_address",
        "_compute_address",
        "forwarding_rule",
        "_bucket",
    ];
    for (name, plan, options) in variants() {
        let export = provider::terraform(&plan, &options).unwrap();
        let lines = export.lines.iter().flat_map(|line| &line.resources);
        let named: Vec<&String> =
            lines.chain(export.extra.iter().flat_map(|extra| &extra.resources)).collect();
        for (kind, resource, _) in resources(&document(&export)) {
            let id = format!("{kind}.{resource}");
            assert!(named.contains(&&id) || !costs.iter().any(|word| kind.ends_with(word)), "{name}: {id}");
        }
    }
}

/// Machines by zone: those that the plan counts, where it counts them.
fn zones_of(plan: &Plan) -> Vec<String> {
    let document = document(&terraform(plan));
    let mut found: Vec<String> = resources(&document)
        .iter()
        .filter(|(kind, ..)| *kind == "aws_instance")
        .map(|(_, name, body)| format!("{name} {}", body["private_ip"].as_str().unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn machines_stand_where_the_plan_counts_them_each_with_an_address_of_its_own() {
    assert_eq!(
        zones_of(&plan("aws")),
        [
            "db_a1 10.0.0.11",
            "db_b1 10.0.16.11",
            "db_c1 10.0.32.11",
            "web_a1 10.0.0.10",
            "web_b1 10.0.16.10",
            "web_c1 10.0.32.10"
        ]
    );
    let (provider, region, zones, _) = CLOUDS[0];
    // The first zones are fuller, as with replicas.
    let bill = [("c6i.large for web", 5.0), ("GB of disk for web", 100.0)];
    let places = zones_of(&plan_of(FILE, provider, region, zones, &bill)).join(" ");
    assert_eq!(
        places,
        "web_a1 10.0.0.10 web_a2 10.0.0.11 web_b1 10.0.16.10 web_b2 10.0.16.11 web_c1 10.0.32.10"
    );
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for (name, plan, options) in variants() {
        assert_eq!(provider::terraform(&plan, &options), provider::terraform(&plan, &options), "{name}");
    }
}

#[test]
fn what_the_planner_buys_today_is_understood_in_every_cloud() {
    let file =
        FILE.replace("{ zones: 3 }", "{ zones: 3, providers: [aws, gcp, alicloud], regions: [REGION] }");
    for (provider, region, zones, _) in CLOUDS {
        let app = spec::read(&file.replace("REGION", region), "evenkeel.yaml").app.unwrap();
        let options_of =
            plan::Options { catalog: plan::Catalog::shipped(), provider: Some(provider.to_owned()) };
        let plan = plan::plan(&app, &options_of).unwrap();
        let export = provider::terraform(&plan, &options()).unwrap();
        for line in &export.lines {
            let idle = line.not_applied.as_deref().is_none_or(|why| why.contains("run nothing"));
            // What machines send each other has no resource of its own.
            let sent = line.item.starts_with("GB between zones for ");
            assert!(idle && line.resources.is_empty() == sent, "{provider} {region} {zones:?}: {line:?}");
        }
    }
}

#[test]
fn a_program_that_machines_do_not_get_is_told_of() {
    let (provider, region, zones, bill) = CLOUDS[0];
    for (program, told) in [
        ("../bin/web", "`web` cannot start: `../bin/web` is outside of the file's folder"),
        ("bin/../../web", "`web` cannot start: `bin/../../web` is outside of the file's folder"),
        ("/opt/web", "`web` is started by `/opt/web`: that must be on the machines' image"),
        ("bin/../web", ""),
        ("web", ""),
    ] {
        let text = FILE.replacen("\"bin/shop\"", &format!("\"{program}\""), 1);
        let export = terraform(&plan_of(&text, provider, region, zones, bill));
        let notes = self::told(&export);
        let is_told = notes.lines().any(|line| line.trim_start().starts_with(&format!("note: {told}")));
        assert_eq!(is_told && !told.is_empty(), !told.is_empty(), "{program}: {notes}");
        assert!(!told.is_empty() || !notes.contains("`web` "), "{program}: {notes}");
    }
}

#[test]
fn what_a_cache_would_be_on_is_told_and_no_machine_is_made_for_it() {
    let text = format!("{FILE}caches: {{ cache: {{ engine: redis:7, memory: 2G, replicas: 1 }} }}\n");
    let (provider, region, zones, bill) = CLOUDS[0];
    let bill: Vec<(&str, f64)> =
        bill.iter().copied().chain([("m7i.large for cache", 2.0), ("GB of disk for cache", 40.0)]).collect();
    let mut plan = plan_of(&text, provider, region, zones, &bill);
    let export = terraform(&plan);
    assert_eq!(document(&export), document(&terraform(&self::plan("aws"))));
    let told = self::told(&export);
    let note = "note: cache `cache` is planned and not run by this version: no machine is made for it";
    assert!(told.contains(note), "{told}");
    plan.layout = Layout::Together;
    assert!(self::told(&terraform(&plan)).contains("the machines have room for it; run it beside"));
}
