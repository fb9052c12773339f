//! What is to be made, before it is said in any provider's words: machines with their addresses, the entry, who speaks to whom.

use std::net::Ipv4Addr;

use model::{Ingress, Layout as Held, Plan, Probe};

use crate::bill::{self, Item, Layer};
use crate::error::ExportError;
use crate::firewall::{self, Flow, Ports, Side};
use crate::name::label;
use crate::stack::Origin;

/// Most machines of one plan: CloudFormation takes 500 resources a template, and one more than this is a mistake in the file.
const MACHINES_MAX: usize = 400;
/// Most zones, as in the file.
const ZONES_MAX: usize = 9;
/// A root disk at least: Debian's images are 8 to 20 GB.
const ROOT_GB_MIN: u32 = 20;
/// The first address of machines in a zone; what is below belongs to the provider (AWS takes 4, Alibaba Cloud 3 and 1).
const FIRST_HOST: u32 = 10;
/// Where balancers of a website listen: with TLS, and to send whoever came without to it.
pub(crate) const TLS_PORT: u16 = 443;
pub(crate) const PLAIN_PORT: u16 = 80;

/// What is exported beside the plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where evenkeel's processes listen.
    pub ports: Ports,
    /// The machines' image has etcd, PostgreSQL and openssl in it: nothing is installed, and no NAT is bought.
    pub prepared_image: bool,
    /// Name of the user's file in its folder, `evenkeel.yaml`.
    pub file: String,
    /// Where the state folder is as seen from the folder of the files, `../.evenkeel`: its secrets are uploaded.
    pub state: String,
    /// The version that exports, for the files' heads.
    pub version: String,
}

/// A zone of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// Its agent's name, `a`.
    pub(crate) letter: char,
    /// The provider's name, `eu-central-1a`.
    pub(crate) id: String,
    /// Addresses of machines.
    pub(crate) hosts: String,
    /// Addresses of the balancer and the NAT.
    pub(crate) edge: String,
}

/// A machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// `web-a1`, within the application.
    pub(crate) name: String,
    /// Its name in references, `web_a1`.
    pub(crate) label: String,
    /// Place in [`Layout::zones`].
    pub(crate) zone: usize,
    /// The provider's type.
    pub(crate) kind: String,
    pub(crate) root_gb: u32,
    /// A disk of its own for databases.
    pub(crate) data_gb: Option<u32>,
    pub(crate) address: Ipv4Addr,
    /// Whether an agent runs there: one a zone.
    pub(crate) agent: bool,
    /// Whether a member of the store runs there.
    pub(crate) store: bool,
    /// Services and databases it was bought for.
    pub(crate) parts: Vec<String>,
    /// The line of the bill.
    pub(crate) line: usize,
    /// The line of its disk.
    pub(crate) disk_line: Option<usize>,
}

/// How a balancer knows that a front is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    /// A replica answers to this path; else any answer shows that the front is there.
    pub(crate) whole: bool,
}

/// One port of the balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// Where clients come to.
    pub(crate) listen: u16,
    /// Where the fronts listen.
    pub(crate) front: u16,
    pub(crate) check: Check,
}

/// The balancer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) layer: Layer,
    pub(crate) doors: Vec<Door>,
    /// The line of the bill.
    pub(crate) line: usize,
}

/// Everything that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Layout<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) options: &'p Options,
    pub(crate) zones: Vec<Zone>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) entry: Option<Entry>,
    pub(crate) flows: Vec<Flow>,
    /// What each line buys, in the order of the bill.
    pub(crate) items: Vec<Item>,
    /// What is made otherwise than one would think, for people.
    pub(crate) notes: Vec<String>,
}

impl<'p> Layout<'p> {
    pub(crate) fn new(plan: &'p Plan, options: &'p Options) -> Result<Layout<'p>, ExportError> {
        if plan.provider == "local" {
            return Err(ExportError::NoCloud { provider: plan.provider.clone() });
        }
        if !plan.feasible {
            return Err(ExportError::Infeasible { missed: plan.missed.clone() });
        }
        if plan.zones.is_empty() {
            return Err(ExportError::NoZone);
        }
        let zones = zones(plan)?;
        let items: Vec<Item> = plan.lines.iter().map(|line| bill::read(plan, line)).collect();
        let mut notes = Vec::new();
        let mut machines = machines(plan, &items)?;
        give_agents(plan, &mut machines, &mut notes);
        notes.extend(plan.caches.iter().map(|cache| unkept(plan, cache)));
        let entry = entry(plan, &items, &mut notes)?;
        let nodes: Vec<u8> = plan.databases.iter().map(|planned| planned.database.own_nodes()).collect();
        let mut flows = firewall::inside(options.ports, &nodes);
        for door in entry.iter().flat_map(|entry| &entry.doors) {
            let ports = (door.front, door.front);
            flows.push(Flow {
                name: "front",
                from: Side::Entry,
                to: Side::Hosts,
                ports,
                why: "the balancer to fronts",
            });
        }
        Ok(Layout { plan, options, zones, machines, entry, flows, items, notes })
    }

    /// Machines on which an agent, and so a front, runs.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.agent)
    }

    /// Those of them with a member of the store.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.store)
    }

    /// What clients of the store are told, the member in `machine`'s zone first.
    pub(crate) fn store_url(&self, machine: &Machine) -> String {
        let (own, others): (Vec<_>, Vec<_>) = self.members().partition(|member| member.zone == machine.zone);
        let at = |member: &&Machine| format!("{}:{}", member.address, firewall::STORE_CLIENT);
        format!("etcds://{}", own.iter().chain(&others).map(at).collect::<Vec<_>>().join(","))
    }

    /// Who pays for `item`: its line of the bill, or nobody in a plan that was made before there was one.
    pub(crate) fn paid(&self, item: &Item, extra: &str) -> Origin {
        let line = self.items.iter().position(|known| known == item);
        line.map_or_else(|| Origin::Extra(extra.to_owned()), Origin::Line)
    }

    /// Whether machines fetch anything from the internet when they start.
    pub(crate) fn needs_nat(&self) -> bool {
        !self.options.prepared_image
    }

    /// Debian's packages that a machine with an agent needs.
    pub(crate) fn packages(&self) -> String {
        if self.options.prepared_image {
            return String::new();
        }
        let mut packages = vec!["ca-certificates".to_owned(), "etcd-server".to_owned(), "openssl".to_owned()];
        let mut versions: Vec<u16> =
            self.plan.databases.iter().map(|planned| planned.database.postgres).collect();
        versions.sort_unstable();
        versions.dedup();
        packages.extend(versions.iter().map(|version| format!("postgresql-{version}")));
        packages.join(" ")
    }
}

fn zones(plan: &Plan) -> Result<Vec<Zone>, ExportError> {
    if plan.zones.len() > ZONES_MAX {
        return Err(ExportError::TooMany { what: "zones", count: plan.zones.len(), most: ZONES_MAX });
    }
    let zone = |(index, name): (usize, &model::ZoneName)| {
        let id = name.as_str();
        if !id.starts_with(&plan.region) {
            return Err(ExportError::Zone { zone: id.to_owned(), region: plan.region.clone() });
        }
        Ok(Zone {
            letter: char::from(b'a' + index as u8),
            id: id.to_owned(),
            hosts: format!("10.0.{}.0/20", index * 16),
            edge: format!("10.0.{}.0/24", 200 + index),
        })
    };
    plan.zones.iter().enumerate().map(zone).collect()
}

/// In which zones the `count` machines of one line stand: those of a database's nodes with their nodes, others spread, the
/// first zones fuller, as the plan counts replicas.
fn placed(plan: &Plan, parts: &[String], count: u32) -> Vec<usize> {
    let of = |part: &String| plan.databases.iter().find(|planned| planned.database.name.as_str() == part);
    let nodes = parts.iter().filter_map(of).find(|planned| planned.nodes.len() == count as usize);
    if let Some(planned) = nodes {
        let at = |node: &model::PlannedNode| plan.zones.iter().position(|zone| *zone == node.zone);
        return planned.nodes.iter().map(|node| at(node).unwrap_or(0)).collect();
    }
    let zones = plan.zones.len().max(1);
    let mut all: Vec<usize> = (0..count as usize).map(|index| index % zones).collect();
    all.sort_unstable();
    all
}

/// Whether a part of a plan is a cache.
pub(crate) fn is_cache(plan: &Plan, part: &str) -> bool {
    plan.caches.iter().any(|cache| cache.name.as_str() == part)
}

/// Whether caches alone would be on these machines: nothing would run there.
fn is_for_caches(plan: &Plan, item: &Item) -> bool {
    matches!(item, Item::Machines { parts, .. } if parts.iter().all(|part| is_cache(plan, part)))
}

/// What becomes of a cache, for people.
fn unkept(plan: &Plan, cache: &model::Cache) -> String {
    let room = match plan.layout {
        Held::Apart => "no machine is made for it, and the bill has its machines",
        Held::Together => "the machines have room for it",
    };
    format!("cache `{}` is planned and not run by this version: {room}; run it beside", cache.name)
}

fn machines(plan: &Plan, items: &[Item]) -> Result<Vec<Machine>, ExportError> {
    let wanted: usize = items
        .iter()
        .filter(|item| !is_for_caches(plan, item))
        .map(|item| if let Item::Machines { count, .. } = item { *count as usize } else { 0 })
        .sum();
    if wanted > MACHINES_MAX {
        return Err(ExportError::TooMany { what: "machines", count: wanted, most: MACHINES_MAX });
    }
    let mut machines: Vec<Machine> = Vec::new();
    let mut hosts = vec![FIRST_HOST; plan.zones.len().max(1)];
    for (line, item) in items.iter().enumerate() {
        let Item::Machines { kind, parts, count } = item else { continue };
        if is_for_caches(plan, item) {
            continue;
        }
        let disk = items.iter().position(|item| matches!(item, Item::Disk { parts: of, .. } if of == parts));
        let each = match disk.map(|disk| &items[disk]) {
            Some(Item::Disk { gb, .. }) => gb / count,
            _ => ROOT_GB_MIN,
        };
        let data_gb = data_gb(plan, parts);
        let root_gb = match plan.layout {
            Held::Apart => each.saturating_sub(data_gb.unwrap_or(0)).max(ROOT_GB_MIN),
            // Its zones hold unequal numbers of nodes; what is left beside these is the same everywhere.
            Held::Together => ROOT_GB_MIN,
        };
        let mut seen = vec![0u32; plan.zones.len().max(1)];
        for zone in placed(plan, parts, *count) {
            seen[zone] += 1;
            let letter = char::from(b'a' + zone as u8);
            let name = format!("{}-{letter}{}", parts.join("-"), seen[zone]);
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, (zone * 16) as u8, 0)) + hosts[zone]);
            hosts[zone] += 1;
            machines.push(Machine {
                label: label(&name),
                name,
                zone,
                kind: kind.clone(),
                root_gb,
                data_gb: match plan.layout {
                    Held::Apart => data_gb,
                    Held::Together => data_gb_in(plan, zone),
                },
                address,
                agent: false,
                store: false,
                parts: parts.clone(),
                line,
                disk_line: disk,
            });
        }
    }
    if machines.is_empty() { Err(ExportError::NoMachine) } else { Ok(machines) }
}

/// Room for the data of the databases among `parts`, in GB as providers count them, which is GiB.
fn data_gb(plan: &Plan, parts: &[String]) -> Option<u32> {
    let mine = plan
        .databases
        .iter()
        .filter(|planned| parts.iter().any(|part| part == planned.database.name.as_str()));
    let gib = mine.map(|planned| planned.database.storage.0.div_ceil(1 << 30)).sum::<u64>();
    u32::try_from(gib).ok().filter(|gib| *gib > 0)
}

/// Room for the data of every node in a zone, in GB as providers count them.
fn data_gb_in(plan: &Plan, zone: usize) -> Option<u32> {
    let here = |node: &&model::PlannedNode| plan.zones.get(zone) == Some(&node.zone);
    let nodes = |planned: &model::PlannedDatabase| planned.nodes.iter().filter(here).count() as u64;
    let bytes =
        plan.databases.iter().map(|planned| planned.database.storage.0.saturating_mul(nodes(planned)));
    u32::try_from(bytes.sum::<u64>().div_ceil(1 << 30)).ok().filter(|gib| *gib > 0)
}

/// One agent a zone, on the machine with the database's disk if there is one; a member of the store beside it, on an odd
/// number of them.
fn give_agents(plan: &Plan, machines: &mut [Machine], notes: &mut Vec<String>) {
    let mut hosts = Vec::new();
    for zone in 0..plan.zones.len() {
        let mine = || machines.iter().enumerate().filter(|(_, machine)| machine.zone == zone);
        let with_data = mine().find(|(_, machine)| machine.data_gb.is_some());
        match with_data.or_else(|| mine().next()) {
            Some((index, _)) => hosts.push(index),
            None => notes.push(format!("zone {} has no machine in this plan", plan.zones[zone])),
        }
    }
    // Two members outlive the loss of neither; three are enough for any plan.
    let members = match hosts.len() {
        0..=2 => 1,
        _ => 3,
    };
    if members == 1 && hosts.len() > 1 {
        notes.push(
            "with two zones there is one member of the store: while its machine is away nothing is decided (no failover, no \
             replacement), and what runs goes on; `zones: 3` has a majority left"
                .to_owned(),
        );
    }
    for (place, &index) in hosts.iter().enumerate() {
        machines[index].agent = true;
        machines[index].store = place < members;
    }
}

/// The machines that are made and not used, as this version runs one agent a zone.
pub(crate) fn idle(layout: &Layout<'_>, line: usize) -> Option<String> {
    let mine: Vec<&Machine> = layout.machines.iter().filter(|machine| machine.line == line).collect();
    let idle: Vec<&str> =
        mine.iter().filter(|machine| !machine.agent).map(|machine| machine.name.as_str()).collect();
    if idle.is_empty() {
        return None;
    }
    Some(format!(
        "{} of {} run nothing ({}): this version runs one agent a zone, on the machine with the database's disk or the first; \
         the zone's replicas run there too",
        idle.len(),
        mine.len(),
        idle.join(", ")
    ))
}

fn entry(plan: &Plan, items: &[Item], notes: &mut Vec<String>) -> Result<Option<Entry>, ExportError> {
    let line = items.iter().position(|item| matches!(item, Item::Entry(_)));
    let Some(line) = line else { return Ok(None) };
    let Item::Entry(mut layer) = items[line] else { return Ok(None) };
    if plan.ingress.is_empty() {
        return Ok(None);
    }
    let too_few = layer == Layer::Application && plan.zones.len() < 2;
    if too_few && plan.provider == "alicloud" {
        return Err(ExportError::OneZone);
    }
    if too_few && plan.provider == "aws" {
        layer = Layer::Network;
        notes.push(
            "an application load balancer needs two zones: a network load balancer of about the same price stands in, which \
             carries no TLS"
                .to_owned(),
        );
    }
    let mut doors: Vec<Door> = Vec::new();
    for ingress in &plan.ingress {
        if doors.iter().any(|door| door.front == ingress.port) {
            continue;
        }
        if plan.provider == "gcp" && !ingress.any_address {
            return Err(ExportError::OwnAddress { port: ingress.port });
        }
        let listen = match layer {
            Layer::Application if doors.is_empty() => TLS_PORT,
            _ => ingress.port,
        };
        let taken = doors.iter().any(|door| door.listen == listen);
        if taken || (layer == Layer::Application && listen == PLAIN_PORT) {
            return Err(ExportError::PortTwice { port: listen });
        }
        doors.push(Door { listen, front: ingress.port, check: check(plan, ingress.port) });
    }
    Ok(Some(Entry { layer, doors, line }))
}

/// The first service on `port` that can be asked by HTTP; else any answer will do.
fn check(plan: &Plan, port: u16) -> Check {
    let asked = |ingress: &&Ingress| -> Option<Check> {
        let service = &plan.service(&ingress.to)?.service;
        let Probe::Http(path) = &service.healthcheck.probe else { return None };
        Some(Check { path: path.clone(), host: ingress.host.clone(), whole: true })
    };
    let mine = plan.ingress.iter().filter(|ingress| ingress.port == port);
    // One that answers to every host is asked most simply.
    let (any, named): (Vec<_>, Vec<_>) = mine.partition(|ingress| ingress.host.is_none());
    let found = any.iter().chain(&named).find_map(asked);
    found.unwrap_or_else(|| Check { path: "/".to_owned(), host: None, whole: false })
}
