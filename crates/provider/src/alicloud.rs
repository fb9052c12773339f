//! Terraform for Alibaba Cloud.

use serde_json::{Value, json};

use crate::aws::{SUFFIX, SUFFIX_RULE, buckets, machine_groups, output};
use crate::bill::{Item, Layer};
use crate::boot;
use crate::firewall::{Flow, Side};
use crate::layout::{Check, Entry, Layout, Machine, PLAIN_PORT, TLS_PORT};
use crate::name::{ALICLOUD, BUCKET, label, legal};
use crate::stack::{Origin, Sheet, Stack, at, literal};

/// Disks of the type that every family of the catalogue takes.
const DISK: &str = "cloud_essd";
const OLD_VERSIONS_DAYS: u32 = 30;
const ANY: &str = "0.0.0.0/0";
/// Smallest data disk that can be bought, in GB.
const DATA_GB_MIN: u32 = 20;
/// Before the rules that let nothing through.
const ALLOW: u32 = 1;
const DENY: u32 = 100;

pub(crate) fn stack(layout: &Layout<'_>) -> Stack {
    let mut stack = Stack {
        required: json!({ "alicloud": { "source": "aliyun/alicloud", "version": "~> 1.246" } }),
        provider: json!({ "alicloud": { "region": layout.plan.region } }),
        ..Stack::default()
    };
    stack.variable("image", IMAGE, None);
    stack.variable("bucket_suffix", SUFFIX, None);
    stack.validate("bucket_suffix", "^[a-z0-9]{4,16}$", SUFFIX_RULE);
    stack.locals.insert("boot".to_owned(), json!(literal(&boot::common())));
    network(layout, &mut stack);
    groups(layout, &mut stack);
    storage(layout, &mut stack);
    role(layout, &mut stack);
    for machine in &layout.machines {
        self::machine(layout, machine, &mut stack);
    }
    if let Some(entry) = &layout.entry {
        match entry.layer {
            Layer::Application => {
                stack.variable("certificate", "id of the certificate that the entry shows to clients", None);
                self::entry(layout, entry, &mut stack);
            }
            Layer::Network => stack.not_made.push((
                entry.line,
                "of Alibaba Cloud's balancers this version makes the one that passes requests on".to_owned(),
            )),
        }
    }
    stack.outputs.insert(
        "release_bucket".to_owned(),
        output("what machines fetch at their start", at("alicloud_oss_bucket", "release", "id")),
    );
    stack.upload = boot::upload(layout, boot::TERRAFORM_BUCKET, "ossutil cp --force - \"oss://$bucket/$1\"");
    stack
}

const IMAGE: &str = "the machines' image, Debian 12 for x86-64: aliyun ecs DescribeImages --ImageOwnerAlias system --OSType linux \
     --ImageName 'debian_12*'";

fn named(layout: &Layout<'_>, part: &str) -> String {
    legal(&[layout.plan.app.as_str(), part], ALICLOUD)
}

fn tags(layout: &Layout<'_>) -> Value {
    json!({ "evenkeel-app": layout.plan.app.as_str() })
}

fn network(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    let vpc = at("alicloud_vpc", "main", "id");
    sheet.free(
        "alicloud_vpc",
        "main",
        json!({ "vpc_name": named(layout, ""), "cidr_block": "10.0.0.0/16", "tags": tags(layout) }),
    );
    let has_edge = layout.entry.is_some() || layout.needs_nat();
    for zone in &layout.zones {
        let mut sides = vec![("hosts", &zone.hosts)];
        if has_edge {
            sides.push(("edge", &zone.edge));
        }
        for (side, block) in sides {
            sheet.free(
                "alicloud_vswitch",
                &format!("{side}_{}", zone.letter),
                json!({
                    "vpc_id": vpc,
                    "zone_id": zone.id,
                    "cidr_block": block,
                    "vswitch_name": named(layout, &format!("{side}-{}", zone.letter)),
                    "tags": tags(layout),
                }),
            );
        }
    }
    if layout.needs_nat() {
        nat(layout, &mut sheet);
    }
}

/// One for the region: it moves to another zone by itself (Alibaba Cloud, "Internet NAT gateway").
fn nat(layout: &Layout<'_>, sheet: &mut Sheet<'_>) {
    let Some(first) = layout.zones.first() else { return };
    sheet.add(
        "alicloud_nat_gateway",
        "main",
        layout.paid(
            &Item::Nat,
            "a NAT gateway, so that machines without an address of their own can install packages",
        ),
        json!({
            "vpc_id": at("alicloud_vpc", "main", "id"),
            "vswitch_id": at("alicloud_vswitch", &format!("edge_{}", first.letter), "id"),
            "nat_gateway_name": named(layout, "nat"),
            "nat_type": "Enhanced",
            "payment_type": "PayAsYouGo",
            "internet_charge_type": "PayByLcu",
            "tags": tags(layout),
        }),
    );
    sheet.add(
        "alicloud_eip_address",
        "nat",
        layout.paid(&Item::Addresses, "a public address for the NAT, and what goes through it"),
        json!({
            "address_name": named(layout, "nat"),
            "payment_type": "PayAsYouGo",
            "internet_charge_type": "PayByTraffic",
            "bandwidth": "100",
            "tags": tags(layout),
        }),
    );
    sheet.free(
        "alicloud_eip_association",
        "nat",
        json!({
            "allocation_id": at("alicloud_eip_address", "nat", "id"),
            "instance_id": at("alicloud_nat_gateway", "main", "id"),
            "instance_type": "Nat",
        }),
    );
    for zone in &layout.zones {
        let hosts = format!("hosts_{}", zone.letter);
        sheet.free(
            "alicloud_snat_entry",
            &hosts,
            json!({
                "snat_table_id": at("alicloud_nat_gateway", "main", "snat_table_ids"),
                "source_vswitch_id": at("alicloud_vswitch", &hosts, "id"),
                "snat_ip": at("alicloud_eip_address", "nat", "ip_address"),
                "depends_on": ["alicloud_eip_association.nat"],
            }),
        );
    }
}

fn groups(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    let mut all = vec![("hosts", "machines with an agent"), ("store", "members of the store")];
    if layout.machines.iter().any(|machine| !machine.agent) {
        all.push(("idle", "machines that run nothing: no way in or out"));
    }
    for (group, about) in all {
        sheet.free(
            "alicloud_security_group",
            group,
            json!({
                "security_group_name": named(layout, group),
                "description": about,
                "vpc_id": at("alicloud_vpc", "main", "id"),
                // Members of one group are no friends either: what they may is among the rules.
                "inner_access_policy": "Drop",
                "tags": tags(layout),
            }),
        );
        // Without a rule everything may leave here.
        rule(
            &mut sheet,
            &format!("{group}_nothing_else"),
            group,
            "egress",
            "1/65535",
            json!({
                "cidr_ip": ANY,
                "ip_protocol": "all",
                "port_range": "-1/-1",
                "policy": "drop",
                "priority": DENY,
                "description": "nothing else leaves a machine",
            }),
        );
    }
    for flow in &layout.flows {
        ways(layout, flow, &mut sheet);
    }
    let out = match layout.needs_nat() {
        true => vec![(PLAIN_PORT, ANY), (TLS_PORT, ANY)],
        // The storage's own addresses within the region (Alibaba Cloud, "OSS endpoints: internal").
        false => vec![(TLS_PORT, "100.64.0.0/10")],
    };
    for (port, to) in out {
        rule(
            &mut sheet,
            &format!("out_{port}"),
            "hosts",
            "egress",
            &range((port, port)),
            json!({
                "cidr_ip": to,
                "description": "packages, the private bucket, and services that the application calls",
            }),
        );
    }
}

fn range((first, last): (u16, u16)) -> String {
    format!("{first}/{last}")
}

/// Both ends of one way. The balancer comes from addresses of the edge.
fn ways(layout: &Layout<'_>, flow: &Flow, sheet: &mut Sheet<'_>) {
    let (from, to) = (group(flow.from), group(flow.to));
    let Some(to) = to else { return };
    let ports = range(flow.ports);
    let Some(from) = from else {
        for zone in &layout.zones {
            let name = format!("{}_{}_{}", flow.name, flow.ports.0, zone.letter);
            rule(
                sheet,
                &name,
                to,
                "ingress",
                &ports,
                json!({ "cidr_ip": zone.edge, "description": flow.why }),
            );
        }
        return;
    };
    let side = |group: &str| json!({ "source_security_group_id": at("alicloud_security_group", group, "id"), "description": flow.why });
    rule(sheet, &format!("{}_in", flow.name), to, "ingress", &ports, side(from));
    // A way out names addresses here: those of the zones.
    for zone in &layout.zones {
        let name = format!("{}_out_{}", flow.name, zone.letter);
        rule(sheet, &name, from, "egress", &ports, json!({ "cidr_ip": zone.hosts, "description": flow.why }));
    }
}

fn group(side: Side) -> Option<&'static str> {
    match side {
        Side::Hosts => Some("hosts"),
        Side::Store => Some("store"),
        Side::Entry => None,
    }
}

fn rule(sheet: &mut Sheet<'_>, name: &str, group: &str, direction: &str, ports: &str, more: Value) {
    let mut body = json!({
        "security_group_id": at("alicloud_security_group", group, "id"),
        "type": direction,
        "ip_protocol": "tcp",
        "port_range": ports,
        "policy": "accept",
        "priority": ALLOW,
        "nic_type": "intranet",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    sheet.free("alicloud_security_group_rule", name, body);
}

fn storage(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("storage");
    for (bucket, about) in buckets(layout) {
        let name = legal(&[layout.plan.app.as_str(), bucket], BUCKET);
        sheet.add(
            "alicloud_oss_bucket",
            bucket,
            Origin::Extra(about.to_owned()),
            json!({
                "bucket": format!("{name}-${{var.bucket_suffix}}"),
                "redundancy_type": "ZRS",
                "versioning": { "status": "Enabled" },
                "server_side_encryption_rule": { "sse_algorithm": "KMS" },
                "lifecycle_rule": [{
                    "id": "old-versions",
                    "prefix": "",
                    "enabled": true,
                    "noncurrent_version_expiration": [{ "days": OLD_VERSIONS_DAYS }],
                    "abort_multipart_upload": [{ "days": 1 }],
                }],
                "tags": tags(layout),
                "lifecycle": { "prevent_destroy": true },
            }),
        );
        let id = at("alicloud_oss_bucket", bucket, "id");
        sheet.free("alicloud_oss_bucket_acl", bucket, json!({ "bucket": id, "acl": "private" }));
        sheet.free(
            "alicloud_oss_bucket_public_access_block",
            bucket,
            json!({ "bucket": id, "block_public_access": true }),
        );
        sheet.free(
            "alicloud_oss_bucket_https_config",
            bucket,
            json!({ "bucket": id, "enable": true, "tls_versions": ["TLSv1.2", "TLSv1.3"] }),
        );
    }
}

fn role(layout: &Layout<'_>, stack: &mut Stack) {
    let name = named(layout, "host");
    let trust = json!({
        "Version": "1",
        "Statement": [{ "Action": "sts:AssumeRole", "Effect": "Allow", "Principal": { "Service": ["ecs.aliyuncs.com"] } }],
    });
    let arn = |object: &str| format!("acs:oss:*:*:{}/{object}", at("alicloud_oss_bucket", "release", "id"));
    let fetch = json!({
        "Version": "1",
        "Statement": [{ "Effect": "Allow", "Action": ["oss:GetObject"], "Resource": [arn("identity.tar.gz"), arn("release.tar.gz")] }],
    });
    let mut sheet = stack.sheet("machines");
    sheet.free(
        "alicloud_ram_role",
        "host",
        json!({ "name": name, "document": trust.to_string(), "description": "machines of evenkeel" }),
    );
    sheet.free(
        "alicloud_ram_policy",
        "fetch",
        json!({ "policy_name": named(layout, "fetch"), "policy_document": fetch.to_string() }),
    );
    sheet.free(
        "alicloud_ram_role_policy_attachment",
        "fetch",
        json!({
            "policy_name": at("alicloud_ram_policy", "fetch", "policy_name"),
            "policy_type": "Custom",
            "role_name": at("alicloud_ram_role", "host", "name"),
        }),
    );
}

fn machine(layout: &Layout<'_>, machine: &Machine, stack: &mut Stack) {
    let zone = &layout.zones[machine.zone];
    let groups: Vec<String> =
        machine_groups(machine).into_iter().map(|group| at("alicloud_security_group", group, "id")).collect();
    // The disk's size tells it from the system's, so the script is told what is really bought.
    let bought = Machine { data_gb: machine.data_gb.map(|gb| gb.max(DATA_GB_MIN)), ..machine.clone() };
    let bucket = at("alicloud_oss_bucket", "release", "id");
    let head = boot::head(layout, &bought, &bucket, &at("alicloud_ram_role", "host", "name"));
    let mut sheet = stack.sheet("machines");
    sheet.add(
        "alicloud_instance",
        &machine.label,
        Origin::Line(machine.line),
        json!({
            "instance_name": named(layout, &machine.name),
            "image_id": "${var.image}",
            "instance_type": machine.kind,
            "instance_charge_type": "PostPaid",
            "vswitch_id": at("alicloud_vswitch", &format!("hosts_{}", zone.letter), "id"),
            "private_ip": machine.address.to_string(),
            "internet_max_bandwidth_out": 0,
            "security_groups": groups,
            "role_name": at("alicloud_ram_role", "host", "name"),
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "system_disk_category": DISK,
            "system_disk_size": machine.root_gb,
            "system_disk_encrypted": true,
            "security_enhancement_strategy": "Active",
            "user_data": format!("{head}${{local.boot}}"),
            "tags": tags(layout),
            "lifecycle": { "ignore_changes": ["image_id", "user_data"] },
        }),
    );
    let Some(gb) = bought.data_gb else { return };
    let origin = machine.disk_line.map_or(Origin::Extra("a disk for databases".to_owned()), Origin::Line);
    sheet.add(
        "alicloud_ecs_disk",
        &machine.label,
        origin,
        json!({
            "disk_name": named(layout, &format!("{}-data", machine.name)),
            "zone_id": zone.id,
            "category": DISK,
            "size": gb,
            "encrypted": true,
            "delete_with_instance": false,
            "tags": tags(layout),
            "lifecycle": { "prevent_destroy": true },
        }),
    );
    sheet.free(
        "alicloud_ecs_disk_attachment",
        &machine.label,
        json!({
            "disk_id": at("alicloud_ecs_disk", &machine.label, "id"),
            "instance_id": at("alicloud_instance", &machine.label, "id"),
        }),
    );
}

fn entry(layout: &Layout<'_>, entry: &Entry, stack: &mut Stack) {
    let zones = layout.zones.iter().map(|zone| {
        json!({ "zone_id": zone.id, "vswitch_id": at("alicloud_vswitch", &format!("edge_{}", zone.letter), "id") })
    });
    let mut sheet = stack.sheet("entry");
    sheet.add(
        "alicloud_alb_load_balancer",
        "entry",
        Origin::Line(entry.line),
        json!({
            "load_balancer_name": named(layout, "entry"),
            "load_balancer_edition": "Standard",
            "address_type": "Internet",
            "address_allocated_mode": "Fixed",
            "vpc_id": at("alicloud_vpc", "main", "id"),
            "load_balancer_billing_config": { "pay_type": "PayAsYouGo" },
            "deletion_protection_enabled": true,
            "zone_mappings": zones.collect::<Vec<_>>(),
            "tags": tags(layout),
        }),
    );
    for door in &entry.doors {
        let name = label(&format!("front-{}", door.front));
        let servers = layout.hosts().map(|host| {
            let id = at("alicloud_instance", &host.label, "id");
            json!({ "server_id": id, "server_type": "Ecs", "port": door.front, "weight": 100 })
        });
        sheet.free(
            "alicloud_alb_server_group",
            &name,
            json!({
                "server_group_name": named(layout, &format!("front-{}", door.front)),
                "vpc_id": at("alicloud_vpc", "main", "id"),
                "protocol": "HTTP",
                "health_check_config": health(&door.check),
                "sticky_session_config": { "sticky_session_enabled": false },
                "servers": servers.collect::<Vec<_>>(),
                "tags": tags(layout),
            }),
        );
        let group = at("alicloud_alb_server_group", &name, "id");
        sheet.free(
            "alicloud_alb_listener",
            &format!("door_{}", door.listen),
            json!({
                "load_balancer_id": at("alicloud_alb_load_balancer", "entry", "id"),
                "listener_port": door.listen,
                "listener_protocol": "HTTPS",
                "security_policy_id": "tls_cipher_policy_1_2_strict",
                "certificates": { "certificate_id": "${var.certificate}" },
                "default_actions": [{
                    "type": "ForwardGroup",
                    "forward_group_config": { "server_group_tuples": [{ "server_group_id": group }] },
                }],
            }),
        );
    }
    stack.outputs.insert(
        "entry".to_owned(),
        output(
            "the name that your domain's CNAME points to",
            at("alicloud_alb_load_balancer", "entry", "dns_name"),
        ),
    );
}

fn health(check: &Check) -> Value {
    let mut body = json!({
        "health_check_enabled": true,
        "health_check_protocol": "HTTP",
        "health_check_method": "GET",
        "health_check_path": check.path,
        "health_check_interval": 2,
        "health_check_timeout": 1,
        "healthy_threshold": 2,
        "unhealthy_threshold": 2,
        "health_check_codes": if check.whole { vec!["http_2xx", "http_3xx"] } else { vec!["http_2xx", "http_3xx", "http_4xx"] },
    });
    if let Some(host) = &check.host {
        body["health_check_host"] = json!(host);
    }
    body
}
