//! The bill of a stored plan, made anew: what must stand on it, line by line, and nothing else.

use model::{App, Buys, Layout};
use serde_json::{Value, json};

use super::network::{network, way_out};
use super::plan::{Best, ROUNDED_USD, near};
use super::rules::Rules;
use super::space::{DISK_GB, GIB, counted};
use super::{Refused, refuse, together};
use crate::Terms;
use crate::applied::{CACHE, IDLE, MANAGED, NO_INGRESS, ONE_ZONE, OWN_ADDRESS};
use crate::bill::{everything, managed_item};
use crate::catalog::{Machine, Price, Unit};

/// A line: its words, what these stand for, how many, USD for one, whose price that is, and why nothing of evenkeel starts it.
pub(super) struct Line {
    pub(super) item: String,
    pub(super) buys: Buys,
    pub(super) quantity: f64,
    pub(super) usd: f64,
    pub(super) price: Option<Price>,
    pub(super) not_applied: Option<String>,
}

impl Line {
    pub(super) fn new((item, buys): (String, Buys), quantity: f64, usd: f64, price: &Price) -> Line {
        Line { item, buys, quantity, usd, price: Some(price.clone()), not_applied: None }
    }
}

/// The bill: it has the lines that follow from the certificate, with the catalogue's prices, and they add up to `usd`.
pub(super) fn billed(
    (rules, terms): (&Rules<'_>, &Terms),
    best: &Best<'_>,
    stored: &Value,
    usd: f64,
) -> Result<(), Refused> {
    let lines = stored["lines"].as_array().cloned().unwrap_or_default();
    let mut sum = 0.0;
    for line in &lines {
        let place = format!("the line `{}`", line["item"].as_str().unwrap_or_default());
        let (quantity, unit) = (line["quantity"].as_f64(), line["unit_usd"].as_f64());
        let (Some(quantity), Some(unit)) = (quantity, unit) else {
            return Err(refuse(place, "it has no price"));
        };
        near(&place, line["usd_month"].as_f64(), quantity * unit, ROUNDED_USD)?;
        sum += quantity * unit;
    }
    near("the bill", Some(sum), usd, ROUNDED_USD * (lines.len() + 1) as f64)?;
    let own = lines_of(rules, best);
    for own in &own {
        let mut named = lines.iter().filter(|line| line["item"].as_str() == Some(&own.item));
        let line = named.next().ok_or_else(|| refuse("the bill", format!("`{}` is missing", own.item)))?;
        if named.next().is_some() {
            return Err(refuse("the bill", format!("`{}` is there twice", own.item)));
        }
        own.is_told(line, terms)?;
    }
    let other = lines.iter().find(|line| own.iter().all(|own| line["item"].as_str() != Some(&own.item)));
    match other {
        Some(line) => Err(refuse("the bill", format!("nothing in the plan costs {}", line["item"]))),
        None => Ok(()),
    }
}

impl Line {
    /// Whether `line` says the same.
    fn is_told(&self, line: &Value, terms: &Terms) -> Result<(), Refused> {
        let place = format!("the line `{}`", self.item);
        near(&place, line["quantity"].as_f64(), self.quantity, ROUNDED_USD)?;
        near(&place, line["unit_usd"].as_f64(), self.usd, ROUNDED_USD)?;
        let (source, date) = match &self.price {
            Some(Price { source, .. }) => {
                let raised = terms.raised(source).map(|how| format!(" ({how})")).unwrap_or_default();
                (format!("{}{raised}", source.document), source.date.as_str())
            }
            None => ("this machine is not billed".to_owned(), ""),
        };
        let buys = json!(self.buys);
        if line["buys"] != buys {
            let why = format!("what it buys is {}, and {buys} is what follows", line["buys"]);
            return Err(refuse(place, why));
        }
        let not_applied = self.not_applied.as_deref();
        for (field, own) in [("source", Some(&*source)), ("date", Some(date)), ("not_applied", not_applied)] {
            if line[field].as_str() != own || line[field].is_null() != own.is_none() {
                let own = own.map_or_else(|| "null".to_owned(), |own| format!("{own:?}"));
                let why = format!("its `{field}` is {}, and {own} is what follows", line[field]);
                return Err(refuse(place, why));
            }
        }
        Ok(())
    }
}

/// Everything that is paid for, in no order.
fn lines_of(rules: &Rules<'_>, best: &Best<'_>) -> Vec<Line> {
    let (mut lines, behind) = machines(rules, best);
    let Some(offer) = best.offer() else { return lines };
    let app = rules.app;
    if let Some(disk) = offer.unit(Unit::DiskGbMonth) {
        let disks = |whom: &str, parts: Vec<String>, gb: f64| {
            let told = (format!("GB of {} for {whom}", disk.item), Buys::Disks { parts });
            Line::new(told, gb, disk.usd, disk)
        };
        match best.layout() {
            Layout::Together => {
                lines.push(disks(&everything(app), parts(app), together::disk_gb(app, best.zones())));
            }
            Layout::Apart => {
                for (way, service) in best.services().iter().zip(&app.services) {
                    let name = service.name.as_str();
                    lines.push(disks(name, vec![name.to_owned()], DISK_GB * f64::from(way.machines)));
                }
                for database in app.databases.iter().filter(|database| database.own_nodes() > 0) {
                    let (name, gb) = (database.name.as_str(), database.storage.0 as f64 / GIB + DISK_GB);
                    lines.push(disks(name, vec![name.to_owned()], gb * f64::from(database.nodes())));
                }
                for cache in &app.caches {
                    let nodes = f64::from(cache.shards) * (f64::from(cache.replicas) + 1.0);
                    let line = disks(cache.name.as_str(), vec![cache.name.to_string()], DISK_GB * nodes);
                    lines.push(Line { not_applied: Some(CACHE.to_owned()), ..line });
                }
            }
        }
    }
    for database in app.databases.iter().filter(|database| database.own_nodes() == 0) {
        for (unit, amount, usd, price) in counted(offer, database).into_iter().flatten() {
            let part = database.name.to_string();
            let item = format!("{} for {part}", managed_item(unit, price));
            let line = Line::new((item, Buys::Managed { part }), amount, usd, price);
            lines.push(Line { not_applied: Some(MANAGED.to_owned()), ..line });
        }
    }
    lines.extend(way_out(rules, offer, best.zones(), behind));
    let mut network = network(rules, best.place());
    for line in &mut network {
        let is = |unit: Unit| offer.unit(unit).is_some_and(|price| line.price.as_ref() == Some(price));
        let balancer = is(Unit::BalancerMonth);
        if (balancer || is(Unit::BalancerUnitMonth) || is(Unit::BalancerGb)) && app.ingress.is_empty() {
            line.not_applied = Some(NO_INGRESS.to_owned());
        } else if balancer && offer.provider == "alicloud" && best.zones() == 1 {
            line.not_applied = Some(ONE_ZONE.to_owned());
        } else if balancer && offer.provider == "gcp" && app.ingress.iter().any(|entry| !entry.any_address) {
            line.not_applied = Some(OWN_ADDRESS.to_owned());
        }
    }
    lines.extend(network);
    lines
}

/// Every service, then every database, then every cache.
fn parts(app: &App) -> Vec<String> {
    let mut parts: Vec<String> = app.services.iter().map(|service| service.name.to_string()).collect();
    let own = app.databases.iter().filter(|database| database.own_nodes() > 0);
    parts.extend(own.map(|database| database.name.to_string()));
    parts.extend(app.caches.iter().map(|cache| cache.name.to_string()));
    parts
}

/// Machines, or what stands for them on this one; and how many there are.
fn machines(rules: &Rules<'_>, best: &Best<'_>) -> (Vec<Line>, u32) {
    let (app, zones) = (rules.app, best.zones());
    let month = |machine: &Machine, whom: &str, parts: Vec<String>, count: u32| {
        let (item, kind) = (format!("{} for {whom}", machine.price.item), machine.name.to_string());
        let told = (item, Buys::Machines { kind, parts });
        Line::new(told, f64::from(count), machine.price.usd * 730.0, &machine.price)
    };
    if let Some(machine) = best.shared() {
        let line = month(machine, &everything(app), parts(app), zones);
        let not_applied = (!app.caches.is_empty()).then(|| CACHE.to_owned());
        return (vec![Line { not_applied, ..line }], zones);
    }
    let own = |machine: &Machine, name: &str, count: u32| month(machine, name, vec![name.to_owned()], count);
    let here = |what: &str, name: &str, count: u32| {
        let (item, buys) =
            (format!("{what} of {name} on this machine"), Buys::Here { part: name.to_owned() });
        Line { item, buys, quantity: f64::from(count), usd: 0.0, price: None, not_applied: None }
    };
    let (mut lines, mut count) = (Vec::new(), 0);
    for (at, (way, service)) in best.services().iter().zip(&app.services).enumerate() {
        let name = service.name.as_str();
        lines.push(match way.machine {
            Some(machine) => {
                count += way.machines;
                let line = own(machine, name, way.machines);
                Line { not_applied: idle(rules, best, Whose::Service(at)), ..line }
            }
            None => here("replica", name, way.size.replicas),
        });
    }
    let databases = best.databases().iter().zip(&app.databases).enumerate();
    for (at, (machine, database)) in databases.filter(|(_, (_, database))| database.own_nodes() > 0) {
        let (name, nodes) = (database.name.as_str(), u32::from(database.nodes()));
        lines.push(match machine {
            Some(machine) => {
                count += nodes;
                let line = own(machine, name, nodes);
                Line { not_applied: idle(rules, best, Whose::Database(at)), ..line }
            }
            None => here("node", name, nodes),
        });
    }
    for (machine, cache) in best.caches().iter().zip(&app.caches) {
        let (name, nodes) = (cache.name.as_str(), u32::from(cache.shards) * (u32::from(cache.replicas) + 1));
        count += if machine.is_some() { nodes } else { 0 };
        let line = machine.map_or_else(|| here("node", name, nodes), |machine| own(machine, name, nodes));
        lines.push(Line { not_applied: Some(CACHE.to_owned()), ..line });
    }
    (lines, count)
}

/// Who has machines of its own, by its place in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Service(usize),
    Database(usize),
}

/// That some of these machines are not the one in their zone with the agent: that is one of the first database there is, or
/// of the first service.
fn idle(rules: &Rules<'_>, best: &Best<'_>, whose: Whose) -> Option<String> {
    let zones = best.zones();
    let share = |all: u32, zone: u32| all / zones + u32::from(zone < all % zones);
    let of = |whose: Whose, zone: u32| match whose {
        Whose::Database(at) => share(u32::from(rules.app.databases[at].own_nodes()), zone),
        Whose::Service(at) => {
            let way = &best.services()[at];
            share(way.size.replicas, zone).div_ceil(way.room.max(1))
        }
    };
    let databases = (0..rules.app.databases.len()).map(Whose::Database);
    let all: Vec<Whose> = databases.chain((0..rules.app.services.len()).map(Whose::Service)).collect();
    let (mut machines, mut agents) = (0, 0);
    for zone in 0..zones {
        machines += of(whose, zone);
        let first = all.iter().find(|other| of(**other, zone) > 0);
        agents += u32::from(first == Some(&whose));
    }
    (agents < machines).then(|| format!("{} of {machines} run nothing: {IDLE}", machines - agents))
}
