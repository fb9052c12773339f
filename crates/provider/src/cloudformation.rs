//! A CloudFormation template for AWS: what [`crate::aws`] makes, in CloudFormation's words.

use serde_json::{Map, Value, json};

use crate::aws::{
    self, buckets, group, machine_groups, machines_trust, matcher, may_fetch, open_ports, tls_only,
};
use crate::bill::{Item, Layer};
use crate::boot;
use crate::firewall::{Flow, Side};
use crate::layout::{Entry, Layout, Machine, PLAIN_PORT, TLS_PORT};
use crate::name::{AWS, AWS_BALANCER, BUCKET, camel, legal};
use crate::stack::{Origin, Sheet, Stack};

const DISK: &str = "gp3";
const OLD_VERSIONS_DAYS: u32 = 30;
const ANY: &str = "0.0.0.0/0";
/// Stands where the name of the bucket or the role comes into a script.
const MARK: &str = "@@";

/// A template: the stack's resources, whose names are labels that become the template's own.
pub(crate) struct Template {
    pub(crate) stack: Stack,
}

impl Template {
    /// The document; `head` is its description.
    pub(crate) fn document(&self, head: &str) -> Value {
        let resources: Map<String, Value> = self
            .stack
            .resources
            .iter()
            .map(|resource| (resource.name.clone(), resource.body.clone()))
            .collect();
        json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": head,
            "Parameters": self.stack.variables,
            // The script once, and not in each machine: a template has a size that it must not exceed.
            "Mappings": { "Boot": { "Script": self.stack.locals } },
            "Resources": resources,
            "Outputs": self.stack.outputs,
        })
    }
}

pub(crate) fn stack(layout: &Layout<'_>) -> Template {
    let mut stack = Stack::default();
    parameters(layout, &mut stack);
    stack.locals.insert("Text".to_owned(), json!(boot::common()));
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
    let told = |about: &str, value: Value| json!({ "Description": about, "Value": value });
    stack
        .outputs
        .insert("ReleaseBucket".to_owned(), told("what machines fetch at their start", reference("Release")));
    if layout.entry.is_some() {
        let name = attribute("Entry", "DNSName");
        stack.outputs.insert("Entry".to_owned(), told("the name that your domain's CNAME points to", name));
    }
    stack.upload = boot::upload(
        layout,
        "aws cloudformation describe-stacks --stack-name \"$STACK\" --output text \
         --query \"Stacks[0].Outputs[?OutputKey=='ReleaseBucket'].OutputValue\"",
        "aws s3 cp --only-show-errors - \"s3://$bucket/$1\"",
    );
    Template { stack }
}

fn reference(name: &str) -> Value {
    json!({ "Ref": name })
}

fn attribute(name: &str, attribute: &str) -> Value {
    json!({ "Fn::GetAtt": [name, attribute] })
}

fn parameters(layout: &Layout<'_>, stack: &mut Stack) {
    let mut parameter = |name: &str, about: &str, kind: &str, pattern: Option<&str>| {
        let mut body = json!({ "Type": kind, "Description": about });
        if let Some(pattern) = pattern {
            body["AllowedPattern"] = json!(pattern);
        }
        stack.variables.insert(name.to_owned(), body);
    };
    let image = "the machines' image, Debian 12 for x86-64 (/aws/service/debian/release/12/latest/amd64)";
    parameter("Image", image, "AWS::EC2::Image::Id", None);
    parameter("BucketSuffix", aws::SUFFIX, "String", Some("^[a-z0-9]{4,16}$"));
    if layout.entry.as_ref().is_some_and(|entry| entry.layer == Layer::Application) {
        let about = "ARN of the certificate (ACM, of this region) that the entry shows to clients";
        parameter("Certificate", about, "String", Some("^arn:aws[a-z-]*:acm:.*$"));
    }
}

/// Adds a resource; what it costs is told by `origin`.
fn add(sheet: &mut Sheet<'_>, name: &str, kind: &'static str, origin: Origin, properties: Value) {
    sheet.add(kind, name, origin, json!({ "Type": kind, "Properties": properties }));
}

fn free(sheet: &mut Sheet<'_>, name: &str, kind: &'static str, properties: Value) {
    add(sheet, name, kind, Origin::Free, properties);
}

fn named(layout: &Layout<'_>, part: &str) -> Value {
    let app = layout.plan.app.as_str();
    json!([{ "Key": "Name", "Value": legal(&[app, part], AWS) }, { "Key": "evenkeel-app", "Value": app }])
}

/// `HostsA` of `hosts` and `a`.
fn of_zone(part: &str, letter: char) -> String {
    camel(&format!("{part}_{letter}"))
}

fn subnet(layout: &Layout<'_>, part: &str, index: usize, sheet: &mut Sheet<'_>) {
    let zone = &layout.zones[index];
    let block = if part == "edge" { &zone.edge } else { &zone.hosts };
    free(
        sheet,
        &of_zone(part, zone.letter),
        "AWS::EC2::Subnet",
        json!({
            "VpcId": reference("Vpc"),
            "AvailabilityZone": zone.id,
            "CidrBlock": block,
            "MapPublicIpOnLaunch": false,
            "Tags": named(layout, &format!("{part}-{}", zone.letter)),
        }),
    );
}

fn network(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("network");
    free(
        &mut sheet,
        "Vpc",
        "AWS::EC2::VPC",
        json!({ "CidrBlock": "10.0.0.0/16", "EnableDnsSupport": true, "EnableDnsHostnames": true, "Tags": named(layout, "") }),
    );
    for (index, zone) in layout.zones.iter().enumerate() {
        subnet(layout, "hosts", index, &mut sheet);
        let table = of_zone("hosts_table", zone.letter);
        free(
            &mut sheet,
            &table,
            "AWS::EC2::RouteTable",
            json!({ "VpcId": reference("Vpc"), "Tags": named(layout, &format!("hosts-{}", zone.letter)) }),
        );
        free(
            &mut sheet,
            &of_zone("hosts_association", zone.letter),
            "AWS::EC2::SubnetRouteTableAssociation",
            json!({ "SubnetId": reference(&of_zone("hosts", zone.letter)), "RouteTableId": reference(&table) }),
        );
    }
    let tables = layout.zones.iter().map(|zone| reference(&of_zone("hosts_table", zone.letter)));
    free(
        &mut sheet,
        "Storage",
        "AWS::EC2::VPCEndpoint",
        json!({
            "VpcId": reference("Vpc"),
            "ServiceName": format!("com.amazonaws.{}.s3", layout.plan.region),
            "VpcEndpointType": "Gateway",
            "RouteTableIds": tables.collect::<Vec<_>>(),
        }),
    );
}

fn ways_out(layout: &Layout<'_>, stack: &mut Stack) {
    if layout.entry.is_none() && !layout.needs_nat() {
        return;
    }
    let mut sheet = stack.sheet("network");
    free(&mut sheet, "Gateway", "AWS::EC2::InternetGateway", json!({ "Tags": named(layout, "") }));
    free(
        &mut sheet,
        "GatewayAttachment",
        "AWS::EC2::VPCGatewayAttachment",
        json!({ "VpcId": reference("Vpc"), "InternetGatewayId": reference("Gateway") }),
    );
    free(
        &mut sheet,
        "EdgeTable",
        "AWS::EC2::RouteTable",
        json!({ "VpcId": reference("Vpc"), "Tags": named(layout, "edge") }),
    );
    after_gateway(
        &mut sheet,
        "EdgeRoute",
        "AWS::EC2::Route",
        Origin::Free,
        json!({ "RouteTableId": reference("EdgeTable"), "DestinationCidrBlock": ANY, "GatewayId": reference("Gateway") }),
    );
    for (index, zone) in layout.zones.iter().enumerate() {
        subnet(layout, "edge", index, &mut sheet);
        free(
            &mut sheet,
            &of_zone("edge_association", zone.letter),
            "AWS::EC2::SubnetRouteTableAssociation",
            json!({ "SubnetId": reference(&of_zone("edge", zone.letter)), "RouteTableId": reference("EdgeTable") }),
        );
        if layout.needs_nat() {
            nat(layout, zone.letter, &mut sheet);
        }
    }
}

/// Cannot be made before the network has its way out, which no reference says.
fn after_gateway(sheet: &mut Sheet<'_>, name: &str, kind: &'static str, origin: Origin, properties: Value) {
    let body = json!({ "Type": kind, "Properties": properties, "DependsOn": "GatewayAttachment" });
    sheet.add(kind, name, origin, body);
}

fn nat(layout: &Layout<'_>, letter: char, sheet: &mut Sheet<'_>) {
    let tags = named(layout, &format!("nat-{letter}"));
    let (address, nat) = (of_zone("nat_address", letter), of_zone("nat", letter));
    after_gateway(
        sheet,
        &address,
        "AWS::EC2::EIP",
        layout.paid(&Item::Addresses, "a public address for the NAT"),
        json!({ "Domain": "vpc", "Tags": tags }),
    );
    add(
        sheet,
        &nat,
        "AWS::EC2::NatGateway",
        layout.paid(
            &Item::Nat,
            "a NAT gateway, so that machines without an address of their own can install packages",
        ),
        json!({
            "AllocationId": attribute(&address, "AllocationId"),
            "SubnetId": reference(&of_zone("edge", letter)),
            "Tags": tags,
        }),
    );
    free(
        sheet,
        &of_zone("nat_route", letter),
        "AWS::EC2::Route",
        json!({
            "RouteTableId": reference(&of_zone("hosts_table", letter)),
            "DestinationCidrBlock": ANY,
            "NatGatewayId": reference(&nat),
        }),
    );
}

/// The template's name of a group.
fn group_name(group: &str) -> String {
    camel(&format!("{group}_group"))
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
        free(
            &mut sheet,
            &group_name(group),
            "AWS::EC2::SecurityGroup",
            json!({
                "GroupName": legal(&[layout.plan.app.as_str(), group], AWS),
                "GroupDescription": about,
                "VpcId": reference("Vpc"),
                // One that leads nowhere: left out, CloudFormation lets everything out.
                "SecurityGroupEgress": [{
                    "IpProtocol": "icmp", "FromPort": 252, "ToPort": 86, "CidrIp": "255.255.255.255/32",
                    "Description": "nothing but the rules beside this one",
                }],
                "Tags": named(layout, group),
            }),
        );
    }
    for flow in &layout.flows {
        rules(flow, &mut sheet);
    }
    world(layout, &mut sheet);
}

fn rules(flow: &Flow, sheet: &mut Sheet<'_>) {
    let (from, to) = (group(flow.from), group(flow.to));
    let id = |group: &str| attribute(&group_name(group), "GroupId");
    let name = match flow.from {
        Side::Entry => format!("{}_{}", flow.name, flow.ports.0),
        _ => flow.name.to_owned(),
    };
    let rule = json!({ "IpProtocol": "tcp", "FromPort": flow.ports.0, "ToPort": flow.ports.1, "Description": flow.why });
    let mut into = rule.clone();
    into["GroupId"] = id(to);
    into["SourceSecurityGroupId"] = id(from);
    free(sheet, &camel(&format!("in_{name}")), "AWS::EC2::SecurityGroupIngress", into);
    let mut out = rule;
    out["GroupId"] = id(from);
    out["DestinationSecurityGroupId"] = id(to);
    free(sheet, &camel(&format!("out_{name}")), "AWS::EC2::SecurityGroupEgress", out);
}

fn world(layout: &Layout<'_>, sheet: &mut Sheet<'_>) {
    for port in layout.entry.iter().flat_map(open_ports) {
        free(
            sheet,
            &format!("World{port}"),
            "AWS::EC2::SecurityGroupIngress",
            json!({
                "GroupId": attribute("EntryGroup", "GroupId"),
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "CidrIp": ANY,
                "Description": "clients",
            }),
        );
    }
    // The gateway endpoint's list of addresses has no reference here, so the way to the bucket is that of TLS.
    let ports = if layout.needs_nat() { vec![PLAIN_PORT, TLS_PORT] } else { vec![TLS_PORT] };
    for port in ports {
        free(
            sheet,
            &format!("Out{port}"),
            "AWS::EC2::SecurityGroupEgress",
            json!({
                "GroupId": attribute("HostsGroup", "GroupId"),
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "CidrIp": ANY,
                "Description": "packages, the private bucket, and services that the application calls",
            }),
        );
    }
}

fn storage(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("storage");
    for (bucket, about) in buckets(layout) {
        let name = legal(&[layout.plan.app.as_str(), bucket], BUCKET);
        let id = camel(bucket);
        let properties = json!({
            "BucketName": { "Fn::Sub": format!("{name}-${{BucketSuffix}}") },
            "VersioningConfiguration": { "Status": "Enabled" },
            "BucketEncryption": { "ServerSideEncryptionConfiguration": [{
                "BucketKeyEnabled": true,
                "ServerSideEncryptionByDefault": { "SSEAlgorithm": "aws:kms" },
            }] },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
            },
            "LifecycleConfiguration": { "Rules": [{
                "Id": "old-versions",
                "Status": "Enabled",
                "NoncurrentVersionExpiration": { "NoncurrentDays": OLD_VERSIONS_DAYS },
                "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 },
            }] },
        });
        kept(&mut sheet, &id, "AWS::S3::Bucket", Origin::Extra(about.to_owned()), properties);
        let arn = |end: &str| json!({ "Fn::Sub": format!("${{{id}.Arn}}{end}") });
        free(
            &mut sheet,
            &format!("{id}Policy"),
            "AWS::S3::BucketPolicy",
            json!({ "Bucket": reference(&id), "PolicyDocument": tls_only(arn) }),
        );
    }
}

/// What outlives the stack, since data is in it.
fn kept(sheet: &mut Sheet<'_>, name: &str, kind: &'static str, origin: Origin, properties: Value) {
    let body = json!({
        "Type": kind, "Properties": properties, "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
    });
    sheet.add(kind, name, origin, body);
}

fn role(layout: &Layout<'_>, stack: &mut Stack) {
    let mut sheet = stack.sheet("machines");
    let arn = |end: &str| json!({ "Fn::Sub": format!("${{Release.Arn}}{end}") });
    free(
        &mut sheet,
        "HostRole",
        "AWS::IAM::Role",
        json!({
            "RoleName": legal(&[layout.plan.app.as_str(), "host"], AWS),
            "AssumeRolePolicyDocument": machines_trust(),
            "Policies": [{ "PolicyName": "fetch", "PolicyDocument": may_fetch(arn) }],
        }),
    );
    free(&mut sheet, "HostProfile", "AWS::IAM::InstanceProfile", json!({ "Roles": [reference("HostRole")] }));
    free(
        &mut sheet,
        "HostTemplate",
        "AWS::EC2::LaunchTemplate",
        json!({ "LaunchTemplateData": { "MetadataOptions": {
            "HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1,
        } } }),
    );
}

/// A machine's script: its own head, with the names that CloudFormation fills in, and what all have alike.
fn script(layout: &Layout<'_>, machine: &Machine) -> Value {
    let head = boot::head(layout, machine, &format!("{MARK}Release{MARK}"), &format!("{MARK}HostRole{MARK}"));
    let mut parts: Vec<Value> = Vec::new();
    for (index, part) in head.split(MARK).enumerate() {
        parts.push(if index % 2 == 1 { reference(part) } else { json!(part) });
    }
    parts.push(json!({ "Fn::FindInMap": ["Boot", "Script", "Text"] }));
    json!({ "Fn::Base64": { "Fn::Join": ["", parts] } })
}

fn machine(layout: &Layout<'_>, machine: &Machine, stack: &mut Stack) {
    let zone = &layout.zones[machine.zone];
    let groups = machine_groups(machine).into_iter().map(|group| attribute(&group_name(group), "GroupId"));
    let name = format!("Host{}", camel(&machine.label));
    let root = json!({ "Encrypted": true, "VolumeType": DISK, "VolumeSize": machine.root_gb });
    let mut sheet = stack.sheet("machines");
    add(
        &mut sheet,
        &name,
        "AWS::EC2::Instance",
        Origin::Line(machine.line),
        json!({
            "LaunchTemplate": {
                "LaunchTemplateId": reference("HostTemplate"),
                "Version": attribute("HostTemplate", "LatestVersionNumber"),
            },
            "ImageId": reference("Image"),
            "InstanceType": machine.kind,
            "SubnetId": reference(&of_zone("hosts", zone.letter)),
            "PrivateIpAddress": machine.address.to_string(),
            "SecurityGroupIds": groups.collect::<Vec<_>>(),
            "IamInstanceProfile": reference("HostProfile"),
            "EbsOptimized": true,
            "Monitoring": true,
            "BlockDeviceMappings": [{ "DeviceName": "/dev/xvda", "Ebs": root }],
            "UserData": script(layout, machine),
            "Tags": named(layout, &machine.name),
        }),
    );
    let Some(gb) = machine.data_gb else { return };
    let origin = machine.disk_line.map_or(Origin::Extra("a disk for databases".to_owned()), Origin::Line);
    let volume = format!("Disk{}", camel(&machine.label));
    let disk = json!({
        "AvailabilityZone": zone.id, "Encrypted": true, "VolumeType": DISK, "Size": gb, "Tags": named(layout, &machine.name),
    });
    kept(&mut sheet, &volume, "AWS::EC2::Volume", origin, disk);
    free(
        &mut sheet,
        &format!("Attachment{}", camel(&machine.label)),
        "AWS::EC2::VolumeAttachment",
        json!({ "Device": "/dev/sdf", "VolumeId": reference(&volume), "InstanceId": reference(&name) }),
    );
}

fn entry(layout: &Layout<'_>, entry: &Entry, stack: &mut Stack) {
    let is_application = entry.layer == Layer::Application;
    let edges = layout.zones.iter().map(|zone| reference(&of_zone("edge", zone.letter)));
    let mut settings =
        vec![("deletion_protection.enabled", "true"), ("load_balancing.cross_zone.enabled", "true")];
    if is_application {
        settings.push(("routing.http.drop_invalid_header_fields.enabled", "true"));
        settings.push(("routing.http.desync_mitigation_mode", "strictest"));
    }
    let settings = settings.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    let mut sheet = stack.sheet("entry");
    after_gateway(
        &mut sheet,
        "Entry",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        Origin::Line(entry.line),
        json!({
            "Name": legal(&[layout.plan.app.as_str(), "entry"], AWS_BALANCER),
            "Type": if is_application { "application" } else { "network" },
            "Scheme": "internet-facing",
            "Subnets": edges.collect::<Vec<_>>(),
            "SecurityGroups": [attribute("EntryGroup", "GroupId")],
            "LoadBalancerAttributes": settings.collect::<Vec<_>>(),
            "Tags": named(layout, "entry"),
        }),
    );
    for door in &entry.doors {
        let target = format!("Front{}", door.front);
        free(
            &mut sheet,
            &target,
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            target_group(layout, door, is_application),
        );
        let mut listener = json!({
            "LoadBalancerArn": reference("Entry"),
            "Port": door.listen,
            "Protocol": if is_application { "HTTPS" } else { "TCP" },
            "DefaultActions": [{ "Type": "forward", "TargetGroupArn": reference(&target) }],
        });
        if is_application {
            listener["Certificates"] = json!([{ "CertificateArn": reference("Certificate") }]);
            listener["SslPolicy"] = json!(aws::TLS_POLICY);
        }
        free(&mut sheet, &format!("Door{}", door.listen), "AWS::ElasticLoadBalancingV2::Listener", listener);
    }
    if is_application {
        let redirect = json!({ "Port": TLS_PORT.to_string(), "Protocol": "HTTPS", "StatusCode": "HTTP_301" });
        free(
            &mut sheet,
            &format!("Door{PLAIN_PORT}"),
            "AWS::ElasticLoadBalancingV2::Listener",
            json!({
                "LoadBalancerArn": reference("Entry"),
                "Port": PLAIN_PORT,
                "Protocol": "HTTP",
                "DefaultActions": [{ "Type": "redirect", "RedirectConfig": redirect }],
            }),
        );
    }
}

fn target_group(layout: &Layout<'_>, door: &crate::layout::Door, is_application: bool) -> Value {
    let targets = layout
        .hosts()
        .map(|host| json!({ "Id": reference(&format!("Host{}", camel(&host.label))), "Port": door.front }));
    json!({
        "Name": legal(&[layout.plan.app.as_str(), &door.front.to_string()], AWS_BALANCER),
        "Port": door.front,
        "Protocol": if is_application { "HTTP" } else { "TCP" },
        "TargetType": "instance",
        "VpcId": reference("Vpc"),
        "Targets": targets.collect::<Vec<_>>(),
        "TargetGroupAttributes": [{ "Key": "deregistration_delay.timeout_seconds", "Value": "30" }],
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPath": door.check.path,
        "HealthCheckPort": "traffic-port",
        "Matcher": { "HttpCode": matcher(&door.check) },
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
    })
}
