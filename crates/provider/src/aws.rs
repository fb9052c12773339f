//! Terraform for AWS.

use serde_json::{Value, json};

use crate::bill::{Item, Layer};
use crate::boot;
use crate::firewall::{Flow, Side};
use crate::layout::{Check, Door, Entry, Layout, Machine, PLAIN_PORT, TLS_PORT};
use crate::name::{AWS, AWS_BALANCER, BUCKET, legal};
use crate::stack::{Origin, Sheet, Stack, at, literal};

/// Reads `io1`, `gp2` and so on nowhere: the price of the catalogue is that of `gp3`.
const DISK: &str = "gp3";
/// Versions of objects that were replaced are kept so long: long enough to notice a wrong upload.
const OLD_VERSIONS_DAYS: u32 = 30;
/// TLS 1.2 and 1.3 with ciphers that keep what was said secret later, too.
pub(crate) const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";
/// All addresses.
const ANY: &str = "0.0.0.0/0";
/// An answer of these is one of a front; `whole` checks want an answer of the application.
pub(crate) const ANSWERS: (&str, &str) = ("200-399", "200-499");

pub(crate) fn stack(layout: &Layout<'_>) -> Stack {
    let mut stack = Stack {
        required: json!({ "aws": { "source": "hashicorp/aws", "version": "~> 6.0" } }),
        provider: json!({ "aws": { "region": layout.plan.region, "default_tags": [{ "tags": tags(layout) }] } }),
        ..Stack::default()
    };
    variables(layout, &mut stack);
    stack.locals.insert("boot".to_owned(), json!(literal(&boot::common())));
    network(layout, &mut stack);
    ways_out(layout, &mut stack);
    groups(layout, &mut stack);
    storage(layout, &mut stack);
    role(layout, &mut stack);
    for machine in &layout.machines {
        self::machine(layout, machine, &mut stack);
    }
    if let Some(entry) = &layout.entry {
        self::entry(layout, entry, &mut stack);
    }
    stack.outputs.insert(
        "release_bucket".to_owned(),
        output("what machines fetch at their start", at("aws_s3_bucket", "release", "bucket")),
    );
    stack.upload =
        boot::upload(layout, boot::TERRAFORM_BUCKET, "aws s3 cp --only-show-errors - \"s3://$bucket/$1\"");
    stack
}

pub(crate) fn output(about: &str, value: String) -> Value {
    json!({ "description": about, "value": value })
}

fn tags(layout: &Layout<'_>) -> Value {
    json!({ "evenkeel-app": layout.plan.app.as_str() })
}

fn variables(layout: &Layout<'_>, stack: &mut Stack) {
    stack.variable("image", IMAGE, None);
    stack.validate("image", "^ami-[0-9a-f]+$", "an image's id begins with ami-");
    stack.variable("bucket_suffix", SUFFIX, None);
    stack.validate("bucket_suffix", "^[a-z0-9]{4,16}$", SUFFIX_RULE);
    if layout.entry.as_ref().is_some_and(|entry| entry.layer == Layer::Application) {
        stack.variable(
            "certificate",
            "ARN of the certificate (ACM, of this region) that the entry shows to clients",
            None,
        );
        stack.validate("certificate", "^arn:aws[a-z-]*:acm:", "a certificate's ARN begins with arn:aws:acm:");
    }
}

const IMAGE: &str = "the machines' image, Debian 12 for x86-64: aws ssm get-parameter --name /aws/service/debian/release/12/latest/amd64 \
     --query Parameter.Value --output text";
/// Names of buckets are everybody's: without something of one's own they are taken, or can be guessed and taken first.
pub(crate) const SUFFIX: &str =
    "4 to 16 letters and digits of your own, which make the names of buckets yours alone";
pub(crate) const SUFFIX_RULE: &str = "4 to 16 of a-z and 0-9";

fn named(layout: &Layout<'_>, part: &str) -> Value {
    json!({ "Name": legal(&[layout.plan.app.as_str(), part], AWS) })
}

fn network(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    sheet.free(
        "aws_vpc",
        "main",
        json!({ "cidr_block": "10.0.0.0/16", "enable_dns_support": true, "enable_dns_hostnames": true, "tags": named(layout, "") }),
    );
    // Nothing of ours is in it; what somebody starts by hand is not reachable by accident.
    sheet.free("aws_default_security_group", "none", json!({ "vpc_id": at("aws_vpc", "main", "id") }));
    for zone in &layout.zones {
        let letter = zone.letter;
        sheet.free(
            "aws_subnet",
            &format!("hosts_{letter}"),
            json!({
                "vpc_id": at("aws_vpc", "main", "id"),
                "availability_zone": zone.id,
                "cidr_block": zone.hosts,
                "map_public_ip_on_launch": false,
                "tags": named(layout, &format!("hosts-{letter}")),
            }),
        );
        let table = format!("hosts_{letter}");
        sheet.free(
            "aws_route_table",
            &table,
            json!({ "vpc_id": at("aws_vpc", "main", "id"), "tags": named(layout, &format!("hosts-{letter}")) }),
        );
        sheet.free(
            "aws_route_table_association",
            &table,
            json!({
                "subnet_id": at("aws_subnet", &table, "id"),
                "route_table_id": at("aws_route_table", &table, "id"),
            }),
        );
    }
    let tables: Vec<String> = layout
        .zones
        .iter()
        .map(|zone| at("aws_route_table", &format!("hosts_{}", zone.letter), "id"))
        .collect();
    sheet.free(
        "aws_vpc_endpoint",
        "s3",
        json!({
            "vpc_id": at("aws_vpc", "main", "id"),
            "service_name": format!("com.amazonaws.{}.s3", layout.plan.region),
            "vpc_endpoint_type": "Gateway",
            "route_table_ids": tables,
            "tags": named(layout, "s3"),
        }),
    );
}

/// What the balancer and the NAT need of the internet. Without either there is no way in or out.
fn ways_out(layout: &Layout<'_>, stack: &mut Stack) {
    if layout.entry.is_none() && !layout.needs_nat() {
        return;
    }
    let mut sheet = stack.sheet("network");
    sheet.free(
        "aws_internet_gateway",
        "main",
        json!({ "vpc_id": at("aws_vpc", "main", "id"), "tags": named(layout, "") }),
    );
    sheet.free(
        "aws_route_table",
        "edge",
        json!({ "vpc_id": at("aws_vpc", "main", "id"), "tags": named(layout, "edge") }),
    );
    sheet.free(
        "aws_route",
        "edge",
        json!({
            "route_table_id": at("aws_route_table", "edge", "id"),
            "destination_cidr_block": ANY,
            "gateway_id": at("aws_internet_gateway", "main", "id"),
        }),
    );
    for zone in &layout.zones {
        let edge = format!("edge_{}", zone.letter);
        sheet.free(
            "aws_subnet",
            &edge,
            json!({
                "vpc_id": at("aws_vpc", "main", "id"),
                "availability_zone": zone.id,
                "cidr_block": zone.edge,
                "map_public_ip_on_launch": false,
                "tags": named(layout, &format!("edge-{}", zone.letter)),
            }),
        );
        sheet.free(
            "aws_route_table_association",
            &edge,
            json!({
                "subnet_id": at("aws_subnet", &edge, "id"),
                "route_table_id": at("aws_route_table", "edge", "id"),
            }),
        );
        if layout.needs_nat() {
            nat(layout, zone.letter, &mut sheet);
        }
    }
}

/// One a zone: what another zone's loss takes away must not be the way out of this one.
fn nat(layout: &Layout<'_>, letter: char, sheet: &mut Sheet<'_>) {
    let nat = format!("nat_{letter}");
    let tags = named(layout, &format!("nat-{letter}"));
    sheet.add(
        "aws_eip",
        &nat,
        layout.paid(&Item::Addresses, "a public address for the NAT"),
        json!({ "domain": "vpc", "tags": tags }),
    );
    sheet.add(
        "aws_nat_gateway",
        &nat,
        layout.paid(
            &Item::Nat,
            "a NAT gateway, so that machines without an address of their own can install packages",
        ),
        json!({
            "allocation_id": at("aws_eip", &nat, "id"),
            "subnet_id": at("aws_subnet", &format!("edge_{letter}"), "id"),
            "tags": tags,
            "depends_on": ["aws_internet_gateway.main"],
        }),
    );
    sheet.free(
        "aws_route",
        &nat,
        json!({
            "route_table_id": at("aws_route_table", &format!("hosts_{letter}"), "id"),
            "destination_cidr_block": ANY,
            "nat_gateway_id": at("aws_nat_gateway", &nat, "id"),
        }),
    );
}

/// The group of a side.
pub(crate) fn group(side: Side) -> &'static str {
    match side {
        Side::Entry => "entry",
        Side::Hosts => "hosts",
        Side::Store => "store",
    }
}

fn groups(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    let mut all = vec![("hosts", "machines with an agent"), ("store", "members of the store")];
    if layout.entry.is_some() {
        all.push(("entry", "the balancer, which alone is open to the world"));
    }
    if layout.machines.iter().any(|machine| !machine.agent) {
        all.push(("idle", "machines that run nothing: no way in or out"));
    }
    for (group, about) in all {
        sheet.free(
            "aws_security_group",
            group,
            json!({
                "name": legal(&[layout.plan.app.as_str(), group], AWS),
                "description": about,
                "vpc_id": at("aws_vpc", "main", "id"),
                "tags": named(layout, group),
            }),
        );
    }
    for flow in &layout.flows {
        rules(flow, &mut sheet);
    }
    ways_to_the_world(layout, &mut sheet);
}

/// Both ends of one way: out of the one group and into the other.
fn rules(flow: &Flow, sheet: &mut Sheet<'_>) {
    let (from, to) = (group(flow.from), group(flow.to));
    let id = |group: &str| at("aws_security_group", group, "id");
    let mut rule = json!({ "ip_protocol": "tcp", "from_port": flow.ports.0, "to_port": flow.ports.1, "description": flow.why });
    let name = match flow.from {
        Side::Entry => format!("{}_{}", flow.name, flow.ports.0),
        _ => flow.name.to_owned(),
    };
    rule["security_group_id"] = json!(id(to));
    rule["referenced_security_group_id"] = json!(id(from));
    sheet.free("aws_vpc_security_group_ingress_rule", &name, rule.clone());
    rule["security_group_id"] = json!(id(from));
    rule["referenced_security_group_id"] = json!(id(to));
    sheet.free("aws_vpc_security_group_egress_rule", &name, rule);
}

/// Ports of the balancer that everybody reaches.
pub(crate) fn open_ports(entry: &Entry) -> Vec<u16> {
    let mut ports: Vec<u16> = entry.doors.iter().map(|door| door.listen).collect();
    if entry.layer == Layer::Application {
        ports.push(PLAIN_PORT);
    }
    ports
}

fn ways_to_the_world(layout: &Layout<'_>, sheet: &mut Sheet<'_>) {
    for port in layout.entry.iter().flat_map(open_ports) {
        sheet.free(
            "aws_vpc_security_group_ingress_rule",
            &format!("world_{port}"),
            json!({
                "security_group_id": at("aws_security_group", "entry", "id"),
                "ip_protocol": "tcp",
                "from_port": port,
                "to_port": port,
                "cidr_ipv4": ANY,
                "description": "clients",
            }),
        );
    }
    let out = |port: u16, why: &str| {
        json!({
            "security_group_id": at("aws_security_group", "hosts", "id"),
            "ip_protocol": "tcp",
            "from_port": port,
            "to_port": port,
            "description": why,
        })
    };
    let mut bucket = out(TLS_PORT, "the private bucket");
    bucket["prefix_list_id"] = json!(at("aws_vpc_endpoint", "s3", "prefix_list_id"));
    sheet.free("aws_vpc_security_group_egress_rule", "bucket", bucket);
    if layout.needs_nat() {
        for port in [PLAIN_PORT, TLS_PORT] {
            let mut rule = out(port, "Debian's packages, and services that the application calls");
            rule["cidr_ipv4"] = json!(ANY);
            sheet.free("aws_vpc_security_group_egress_rule", &format!("out_{port}"), rule);
        }
    }
}

/// Buckets with what each is for: releases always, backups when there is a database.
pub(crate) fn buckets(layout: &Layout<'_>) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("release", "a bucket for programs and secrets that machines fetch at their start")];
    if !layout.plan.databases.is_empty() {
        all.push(("backup", "a bucket for backups of databases, which this version does not write yet"));
    }
    all
}

fn storage(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("storage");
    for (bucket, about) in buckets(layout) {
        let name = legal(&[layout.plan.app.as_str(), bucket], BUCKET);
        sheet.add(
            "aws_s3_bucket",
            bucket,
            Origin::Extra(about.to_owned()),
            json!({ "bucket": format!("{name}-${{var.bucket_suffix}}"), "lifecycle": { "prevent_destroy": true } }),
        );
        let id = at("aws_s3_bucket", bucket, "id");
        sheet.free(
            "aws_s3_bucket_versioning",
            bucket,
            json!({ "bucket": id, "versioning_configuration": { "status": "Enabled" } }),
        );
        // The key of the account that AWS keeps for S3: encrypted, and free of charge.
        sheet.free(
            "aws_s3_bucket_server_side_encryption_configuration",
            bucket,
            json!({
                "bucket": id,
                "rule": [{
                    "bucket_key_enabled": true,
                    "apply_server_side_encryption_by_default": { "sse_algorithm": "aws:kms" },
                }],
            }),
        );
        sheet.free(
            "aws_s3_bucket_public_access_block",
            bucket,
            json!({
                "bucket": id,
                "block_public_acls": true,
                "block_public_policy": true,
                "ignore_public_acls": true,
                "restrict_public_buckets": true,
            }),
        );
        sheet.free(
            "aws_s3_bucket_lifecycle_configuration",
            bucket,
            json!({
                "bucket": id,
                "rule": [{
                    "id": "old-versions",
                    "status": "Enabled",
                    "filter": [{ "prefix": "" }],
                    "noncurrent_version_expiration": [{ "noncurrent_days": OLD_VERSIONS_DAYS }],
                    "abort_incomplete_multipart_upload": [{ "days_after_initiation": 1 }],
                }],
                "depends_on": [format!("aws_s3_bucket_versioning.{bucket}")],
            }),
        );
        let policy = tls_only(arn_of(bucket)).to_string();
        sheet.free("aws_s3_bucket_policy", bucket, json!({ "bucket": id, "policy": policy }));
    }
}

/// Nobody reads or writes without TLS. `arn`: the bucket's, with what is appended to it.
pub(crate) fn tls_only(arn: impl Fn(&str) -> Value) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn(""), arn("/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    })
}

/// Whoever is a machine of EC2.
pub(crate) fn machines_trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "ec2.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    })
}

/// Reads the two objects, and nothing else. `arn`: as of [`tls_only`].
pub(crate) fn may_fetch(arn: impl Fn(&str) -> Value) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [arn("/identity.tar.gz"), arn("/release.tar.gz")],
        }],
    })
}

/// What [`tls_only`] and [`may_fetch`] append to, in Terraform's words.
fn arn_of(bucket: &'static str) -> impl Fn(&str) -> Value {
    move |end| json!(format!("{}{end}", at("aws_s3_bucket", bucket, "arn")))
}

fn role(layout: &Layout<'_>, stack: &mut Stack) {
    let name = legal(&[layout.plan.app.as_str(), "host"], AWS);
    let mut sheet = stack.sheet("machines");
    sheet.free(
        "aws_iam_role",
        "host",
        json!({ "name": name, "assume_role_policy": machines_trust().to_string() }),
    );
    let policy = may_fetch(arn_of("release")).to_string();
    sheet.free(
        "aws_iam_role_policy",
        "host",
        json!({ "name": "fetch", "role": at("aws_iam_role", "host", "id"), "policy": policy }),
    );
    sheet.free(
        "aws_iam_instance_profile",
        "host",
        json!({ "name": name, "role": at("aws_iam_role", "host", "name") }),
    );
}

fn machine(layout: &Layout<'_>, machine: &Machine, stack: &mut Stack) {
    let zone = &layout.zones[machine.zone];
    let groups: Vec<String> =
        machine_groups(machine).into_iter().map(|group| at("aws_security_group", group, "id")).collect();
    let bucket = at("aws_s3_bucket", "release", "bucket");
    let head = boot::head(layout, machine, &bucket, &at("aws_iam_role", "host", "name"));
    let mut sheet = stack.sheet("machines");
    sheet.add(
        "aws_instance",
        &machine.label,
        Origin::Line(machine.line),
        json!({
            "ami": "${var.image}",
            "instance_type": machine.kind,
            "subnet_id": at("aws_subnet", &format!("hosts_{}", zone.letter), "id"),
            "private_ip": machine.address.to_string(),
            "associate_public_ip_address": false,
            "vpc_security_group_ids": groups,
            "iam_instance_profile": at("aws_iam_instance_profile", "host", "name"),
            "ebs_optimized": true,
            "monitoring": true,
            "metadata_options": { "http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1 },
            "root_block_device": { "encrypted": true, "volume_type": DISK, "volume_size": machine.root_gb },
            "user_data": format!("{head}${{local.boot}}"),
            "tags": named(layout, &machine.name),
            // A new image or script would stop all machines at once; they are renewed one at a time with `-replace`.
            "lifecycle": { "ignore_changes": ["ami", "user_data"] },
        }),
    );
    let Some(gb) = machine.data_gb else { return };
    let origin = machine.disk_line.map_or(Origin::Extra("a disk for databases".to_owned()), Origin::Line);
    sheet.add(
        "aws_ebs_volume",
        &machine.label,
        origin,
        json!({
            "availability_zone": zone.id,
            "encrypted": true,
            "type": DISK,
            "size": gb,
            "tags": named(layout, &machine.name),
            "lifecycle": { "prevent_destroy": true },
        }),
    );
    sheet.free(
        "aws_volume_attachment",
        &machine.label,
        json!({
            "device_name": "/dev/sdf",
            "volume_id": at("aws_ebs_volume", &machine.label, "id"),
            "instance_id": at("aws_instance", &machine.label, "id"),
            "stop_instance_before_detaching": true,
        }),
    );
}

/// The groups that a machine is in.
pub(crate) fn machine_groups(machine: &Machine) -> Vec<&'static str> {
    match (machine.agent, machine.store) {
        (true, true) => vec!["hosts", "store"],
        (true, false) => vec!["hosts"],
        (false, _) => vec!["idle"],
    }
}

fn entry(layout: &Layout<'_>, entry: &Entry, stack: &mut Stack) {
    let edges: Vec<String> =
        layout.zones.iter().map(|zone| at("aws_subnet", &format!("edge_{}", zone.letter), "id")).collect();
    let is_application = entry.layer == Layer::Application;
    let mut balancer = json!({
        "name": legal(&[layout.plan.app.as_str(), "entry"], AWS_BALANCER),
        "load_balancer_type": if is_application { "application" } else { "network" },
        "internal": false,
        "subnets": edges,
        "security_groups": [at("aws_security_group", "entry", "id")],
        "enable_cross_zone_load_balancing": true,
        "enable_deletion_protection": true,
    });
    if is_application {
        balancer["drop_invalid_header_fields"] = json!(true);
        balancer["desync_mitigation_mode"] = json!("strictest");
    }
    let mut sheet = stack.sheet("entry");
    sheet.add("aws_lb", "entry", Origin::Line(entry.line), balancer);
    for door in &entry.doors {
        self::door(layout, door, is_application, &mut sheet);
    }
    if is_application {
        sheet.free(
            "aws_lb_listener",
            &format!("door_{PLAIN_PORT}"),
            json!({
                "load_balancer_arn": at("aws_lb", "entry", "arn"),
                "port": PLAIN_PORT,
                "protocol": "HTTP",
                "default_action": [{
                    "type": "redirect",
                    "redirect": { "port": TLS_PORT.to_string(), "protocol": "HTTPS", "status_code": "HTTP_301" },
                }],
            }),
        );
    }
    stack.outputs.insert(
        "entry".to_owned(),
        output("the name that your domain's CNAME points to", at("aws_lb", "entry", "dns_name")),
    );
}

/// One port of the balancer, with the fronts behind it.
fn door(layout: &Layout<'_>, door: &Door, is_application: bool, sheet: &mut Sheet<'_>) {
    let name = format!("front_{}", door.front);
    let protocol = if is_application { "HTTP" } else { "TCP" };
    sheet.free(
        "aws_lb_target_group",
        &name,
        json!({
            "name": legal(&[layout.plan.app.as_str(), &door.front.to_string()], AWS_BALANCER),
            "port": door.front,
            "protocol": protocol,
            "target_type": "instance",
            "vpc_id": at("aws_vpc", "main", "id"),
            "deregistration_delay": "30",
            "health_check": health(&door.check),
        }),
    );
    for host in layout.hosts() {
        sheet.free(
            "aws_lb_target_group_attachment",
            &format!("{name}_{}", host.label),
            json!({
                "target_group_arn": at("aws_lb_target_group", &name, "arn"),
                "target_id": at("aws_instance", &host.label, "id"),
                "port": door.front,
            }),
        );
    }
    let mut listener = json!({
        "load_balancer_arn": at("aws_lb", "entry", "arn"),
        "port": door.listen,
        "protocol": if is_application { "HTTPS" } else { "TCP" },
        "default_action": [{ "type": "forward", "target_group_arn": at("aws_lb_target_group", &name, "arn") }],
    });
    if is_application {
        listener["certificate_arn"] = json!("${var.certificate}");
        listener["ssl_policy"] = json!(TLS_POLICY);
    }
    sheet.free("aws_lb_listener", &format!("door_{}", door.listen), listener);
}

/// Every 10 s, out after two misses and in again after two answers: the least that AWS takes for both kinds.
fn health(check: &Check) -> Value {
    json!({
        "protocol": "HTTP",
        "path": check.path,
        "port": "traffic-port",
        "matcher": matcher(check),
        "interval": 10,
        "timeout": 5,
        "healthy_threshold": 2,
        "unhealthy_threshold": 2,
    })
}

/// The balancer of AWS names no host of its own: where every entry wants one, any answer of a front will do.
pub(crate) fn matcher(check: &Check) -> &'static str {
    if check.whole && check.host.is_none() { ANSWERS.0 } else { ANSWERS.1 }
}
