//! Terraform for Google Cloud.

use serde_json::{Value, json};

use crate::aws::{SUFFIX, SUFFIX_RULE, buckets, output};
use crate::bill::{Item, Layer};
use crate::boot;
use crate::firewall::{Flow, Side};
use crate::layout::{Check, Entry, Layout, Machine, PLAIN_PORT, TLS_PORT};
use crate::name::{BUCKET, GCP, GCP_ACCOUNT, label, legal};
use crate::stack::{Origin, Sheet, Stack, at, literal};

/// The kind of disk: balanced, for families that take no other, Hyperdisk.
const DISK: &str = "pd-balanced";
const HYPERDISK: &str = "hyperdisk-balanced";
/// Families that take Hyperdisk alone (Google Cloud, "machine families", disk types).
const HYPERDISK_ONLY: &[&str] = &["n4", "n4d", "c4", "c4a", "c4d"];
const OLD_VERSIONS_DAYS: u32 = 30;
const ANY: &str = "0.0.0.0/0";
/// Where health checks of passthrough load balancers come from (Google Cloud, "firewall rules for health checks").
const PROBES: &[&str] = &["35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"];
/// Ports that a forwarding rule takes by number.
const PORTS_MAX: usize = 5;
/// Before the rule that lets nothing out.
const ALLOW: u32 = 1_000;
const DENY: u32 = 65_000;

pub(crate) fn stack(layout: &Layout<'_>) -> Stack {
    let mut stack = Stack {
        required: json!({ "google": { "source": "hashicorp/google", "version": "~> 6.50" } }),
        provider: json!({ "google": { "project": "${var.project}", "region": layout.plan.region } }),
        ..Stack::default()
    };
    stack.variable("project", "the project that everything is made in", None);
    stack.variable("image", "the machines' image, Debian 12 for x86-64", Some("debian-cloud/debian-12"));
    stack.variable("bucket_suffix", SUFFIX, None);
    stack.validate("bucket_suffix", "^[a-z0-9]{4,16}$", SUFFIX_RULE);
    stack.locals.insert("boot".to_owned(), json!(literal(&boot::common())));
    network(layout, &mut stack);
    firewalls(layout, &mut stack);
    storage(layout, &mut stack);
    account(layout, &mut stack);
    for machine in &layout.machines {
        self::machine(layout, machine, &mut stack);
    }
    if let Some(entry) = &layout.entry {
        match entry.layer {
            Layer::Network => self::entry(layout, entry, &mut stack),
            Layer::Application => stack.not_made.push((
                entry.line,
                "of Google Cloud's balancers this version makes the one that passes connections on"
                    .to_owned(),
            )),
        }
    }
    stack.outputs.insert(
        "release_bucket".to_owned(),
        output("what machines fetch at their start", at("google_storage_bucket", "release", "name")),
    );
    stack.upload =
        boot::upload(layout, boot::TERRAFORM_BUCKET, "gcloud storage cp --quiet - \"gs://$bucket/$1\"");
    stack
}

fn named(layout: &Layout<'_>, part: &str) -> String {
    legal(&[layout.plan.app.as_str(), part], GCP)
}

/// A value of a label: up to 63 of `a-z 0-9 - _`, as an application's name is.
fn labels(layout: &Layout<'_>) -> Value {
    json!({ "evenkeel-app": layout.plan.app.as_str() })
}

fn network(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    sheet.free(
        "google_compute_network",
        "main",
        json!({ "name": named(layout, ""), "auto_create_subnetworks": false, "delete_default_routes_on_create": false }),
    );
    // Subnets are of the region here; one a zone keeps the addresses of zones apart.
    for zone in &layout.zones {
        sheet.free(
            "google_compute_subnetwork",
            &format!("hosts_{}", zone.letter),
            json!({
                "name": named(layout, &format!("hosts-{}", zone.letter)),
                "network": at("google_compute_network", "main", "id"),
                "region": layout.plan.region,
                "ip_cidr_range": zone.hosts,
                "private_ip_google_access": true,
                "log_config": { "aggregation_interval": "INTERVAL_10_MIN", "flow_sampling": 0.1, "metadata": "INCLUDE_ALL_METADATA" },
            }),
        );
    }
    if !layout.needs_nat() {
        return;
    }
    sheet.free(
        "google_compute_router",
        "main",
        json!({
            "name": named(layout, ""),
            "network": at("google_compute_network", "main", "id"),
            "region": layout.plan.region,
        }),
    );
    sheet.add(
        "google_compute_router_nat",
        "main",
        layout
            .paid(&Item::Nat, "a NAT, so that machines without an address of their own can install packages"),
        json!({
            "name": named(layout, "nat"),
            "router": at("google_compute_router", "main", "name"),
            "region": layout.plan.region,
            "nat_ip_allocate_option": "AUTO_ONLY",
            "source_subnetwork_ip_ranges_to_nat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
            "log_config": { "enable": true, "filter": "ERRORS_ONLY" },
        }),
    );
}

/// The tag of a side's machines within the application's own network.
fn tag(side: Side) -> &'static str {
    match side {
        Side::Store => "evenkeel-store",
        _ => "evenkeel-host",
    }
}

fn tags(machine: &Machine) -> Vec<&'static str> {
    match (machine.agent, machine.store) {
        (true, true) => vec![tag(Side::Hosts), tag(Side::Store)],
        (true, false) => vec![tag(Side::Hosts)],
        (false, _) => vec!["evenkeel-idle"],
    }
}

fn ports(flow: &Flow) -> Value {
    let text = match flow.ports {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    json!([{ "protocol": "tcp", "ports": [text] }])
}

fn firewalls(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    for flow in layout.flows.iter().filter(|flow| flow.from != Side::Entry) {
        both_ends(layout, flow, &mut sheet);
    }
    // The balancer passes connections on as they are, so clients' own addresses arrive at the machines.
    let doors: Vec<u16> =
        layout.entry.iter().flat_map(|entry| entry.doors.iter().map(|door| door.front)).collect();
    if !doors.is_empty() {
        let doors: Vec<String> = doors.iter().map(u16::to_string).collect();
        for (name, from, why) in [
            ("clients", vec![ANY], "clients, through the balancer"),
            ("probes", PROBES.to_vec(), "the balancer's health checks"),
        ] {
            rule(
                layout,
                &mut sheet,
                name,
                json!({
                    "description": why,
                    "direction": "INGRESS",
                    "source_ranges": from,
                    "target_tags": [tag(Side::Hosts)],
                    "allow": [{ "protocol": "tcp", "ports": doors }],
                }),
            );
        }
    }
    // Without a NAT an address outside leads to Google's services alone (`private_ip_google_access`).
    let mut out =
        vec![("tls", TLS_PORT, "the private bucket; with a NAT also services that the application calls")];
    if layout.needs_nat() {
        out.push(("plain", PLAIN_PORT, "Debian's packages"));
    }
    for (name, port, why) in out {
        rule(
            layout,
            &mut sheet,
            &format!("out-{name}"),
            json!({
                "description": why,
                "direction": "EGRESS",
                "priority": ALLOW,
                "destination_ranges": [ANY],
                "target_tags": [tag(Side::Hosts)],
                "allow": [{ "protocol": "tcp", "ports": [port.to_string()] }],
            }),
        );
    }
    rule(
        layout,
        &mut sheet,
        "out-nothing-else",
        json!({
            "description": "nothing else leaves a machine",
            "direction": "EGRESS",
            "priority": DENY,
            "destination_ranges": [ANY],
            "deny": [{ "protocol": "all" }],
        }),
    );
}

/// Into the one side by its tag; out of the other by the addresses of zones, since a way out knows no tags.
fn both_ends(layout: &Layout<'_>, flow: &Flow, sheet: &mut Sheet<'_>) {
    let zones: Vec<&str> = layout.zones.iter().map(|zone| zone.hosts.as_str()).collect();
    rule(
        layout,
        sheet,
        &format!("{}-in", flow.name),
        json!({
            "description": flow.why,
            "direction": "INGRESS",
            "source_tags": [tag(flow.from)],
            "target_tags": [tag(flow.to)],
            "allow": ports(flow),
        }),
    );
    rule(
        layout,
        sheet,
        &format!("{}-out", flow.name),
        json!({
            "description": flow.why,
            "direction": "EGRESS",
            "priority": ALLOW,
            "destination_ranges": zones,
            "target_tags": [tag(flow.from)],
            "allow": ports(flow),
        }),
    );
}

fn rule(layout: &Layout<'_>, sheet: &mut Sheet<'_>, name: &str, mut body: Value) {
    body["name"] = json!(named(layout, name));
    body["network"] = json!(at("google_compute_network", "main", "id"));
    sheet.free("google_compute_firewall", &label(name), body);
}

fn storage(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("storage");
    for (bucket, about) in buckets(layout) {
        let name = legal(&[layout.plan.app.as_str(), bucket], BUCKET);
        // Encrypted as everything there is; the key is Google's.
        sheet.add(
            "google_storage_bucket",
            bucket,
            Origin::Extra(about.to_owned()),
            json!({
                "name": format!("{name}-${{var.bucket_suffix}}"),
                "location": layout.plan.region,
                "uniform_bucket_level_access": true,
                "public_access_prevention": "enforced",
                "versioning": { "enabled": true },
                "lifecycle_rule": [{
                    "action": { "type": "Delete" },
                    "condition": { "days_since_noncurrent_time": OLD_VERSIONS_DAYS, "with_state": "ARCHIVED" },
                }],
                "labels": labels(layout),
                "lifecycle": { "prevent_destroy": true },
            }),
        );
    }
}

fn account(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("machines");
    sheet.free(
        "google_service_account",
        "host",
        json!({
            "account_id": legal(&[layout.plan.app.as_str(), "host"], GCP_ACCOUNT),
            "display_name": format!("machines of {}", layout.plan.app),
        }),
    );
    sheet.free(
        "google_storage_bucket_iam_member",
        "host",
        json!({
            "bucket": at("google_storage_bucket", "release", "name"),
            "role": "roles/storage.objectViewer",
            "member": format!("serviceAccount:{}", at("google_service_account", "host", "email")),
        }),
    );
}

fn disk_kind(machine: &str) -> &'static str {
    let family = machine.split('-').next().unwrap_or(machine);
    if HYPERDISK_ONLY.contains(&family) { HYPERDISK } else { DISK }
}

fn machine(layout: &Layout<'_>, machine: &Machine, stack: &mut Stack) {
    let zone = &layout.zones[machine.zone];
    let name = named(layout, &machine.name);
    let bucket = at("google_storage_bucket", "release", "name");
    let head = boot::head(layout, machine, &bucket, "default");
    let kind = disk_kind(&machine.kind);
    let mut body = json!({
        "name": name,
        "machine_type": machine.kind,
        "zone": zone.id,
        "tags": tags(machine),
        "labels": labels(layout),
        "boot_disk": {
            "auto_delete": true,
            "initialize_params": { "image": "${var.image}", "size": machine.root_gb, "type": kind },
        },
        "network_interface": [{
            "subnetwork": at("google_compute_subnetwork", &format!("hosts_{}", zone.letter), "id"),
            "network_ip": machine.address.to_string(),
        }],
        "service_account": {
            "email": at("google_service_account", "host", "email"),
            "scopes": ["https://www.googleapis.com/auth/devstorage.read_only"],
        },
        "shielded_instance_config": { "enable_secure_boot": true, "enable_vtpm": true, "enable_integrity_monitoring": true },
        // Nobody comes in by a key of the project; access is by the project's own means, such as IAP and OS Login.
        "metadata": {
            "block-project-ssh-keys": "true",
            "enable-oslogin": "true",
            "serial-port-enable": "false",
            "startup-script": format!("{head}${{local.boot}}"),
        },
        "lifecycle": { "ignore_changes": ["boot_disk[0].initialize_params[0].image", "metadata[\"startup-script\"]"] },
    });
    let mut sheet = stack.sheet("machines");
    if let Some(gb) = machine.data_gb {
        let origin = machine.disk_line.map_or(Origin::Extra("a disk for databases".to_owned()), Origin::Line);
        sheet.add(
            "google_compute_disk",
            &machine.label,
            origin,
            json!({
                "name": named(layout, &format!("{}-data", machine.name)),
                "zone": zone.id,
                "type": kind,
                "size": gb,
                "labels": labels(layout),
                "lifecycle": { "prevent_destroy": true },
            }),
        );
        let source = at("google_compute_disk", &machine.label, "id");
        body["attached_disk"] = json!([{ "source": source, "device_name": "data" }]);
    }
    sheet.add("google_compute_instance", &machine.label, Origin::Line(machine.line), body);
}

fn entry(layout: &Layout<'_>, entry: &Entry, stack: &mut Stack) {
    let region = &layout.plan.region;
    let mut sheet = stack.sheet("entry");
    for zone in &layout.zones {
        let hosts = layout.hosts().filter(|host| layout.zones[host.zone].id == zone.id);
        let hosts: Vec<String> =
            hosts.map(|host| at("google_compute_instance", &host.label, "self_link")).collect();
        sheet.free(
            "google_compute_instance_group",
            &format!("hosts_{}", zone.letter),
            json!({ "name": named(layout, &format!("hosts-{}", zone.letter)), "zone": zone.id, "instances": hosts }),
        );
    }
    sheet.add(
        "google_compute_address",
        "entry",
        Origin::Line(entry.line),
        json!({ "name": named(layout, "entry"), "region": region, "address_type": "EXTERNAL" }),
    );
    // One check for all ports: a front serves all of them or none.
    if let Some(door) = entry.doors.first() {
        sheet.free("google_compute_region_health_check", "front", health(layout, door.front, &door.check));
    }
    let groups = layout.zones.iter().map(|zone| {
        let group = at("google_compute_instance_group", &format!("hosts_{}", zone.letter), "id");
        json!({ "group": group, "balancing_mode": "CONNECTION" })
    });
    sheet.free(
        "google_compute_region_backend_service",
        "front",
        json!({
            "name": named(layout, "front"),
            "region": region,
            "protocol": "TCP",
            "load_balancing_scheme": "EXTERNAL",
            "health_checks": [at("google_compute_region_health_check", "front", "id")],
            "connection_draining_timeout_sec": 30,
            "backend": groups.collect::<Vec<_>>(),
        }),
    );
    let ports: Vec<String> = entry.doors.iter().map(|door| door.listen.to_string()).collect();
    let mut rule = json!({
        "name": named(layout, "entry"),
        "region": region,
        "ip_protocol": "TCP",
        "load_balancing_scheme": "EXTERNAL",
        "ip_address": at("google_compute_address", "entry", "address"),
        "backend_service": at("google_compute_region_backend_service", "front", "id"),
    });
    // More than it takes by number: then all, of which the firewall lets these through.
    match ports.len() > PORTS_MAX {
        true => rule["all_ports"] = json!(true),
        false => rule["ports"] = json!(ports),
    }
    sheet.add("google_compute_forwarding_rule", "entry", Origin::Line(entry.line), rule);
    stack.outputs.insert(
        "entry".to_owned(),
        output("the address that your domain points to", at("google_compute_address", "entry", "address")),
    );
}

fn health(layout: &Layout<'_>, port: u16, check: &Check) -> Value {
    let mut body = json!({
        "name": named(layout, "front"),
        "region": layout.plan.region,
        "check_interval_sec": 5,
        "timeout_sec": 2,
        "healthy_threshold": 2,
        "unhealthy_threshold": 2,
    });
    if check.whole {
        let mut http = json!({ "port": port, "request_path": check.path });
        if let Some(host) = &check.host {
            http["host"] = json!(host);
        }
        body["http_health_check"] = http;
    } else {
        body["tcp_health_check"] = json!({ "port": port });
    }
    body
}
