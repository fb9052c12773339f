//! The rules of the space, written anew: what must be survived, how many replicas that takes, and what databases miss.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use model::{App, CacheLoss, Database, Layout, Mode, Money, Scope, Service};

use super::{ROUNDING, Refused, refuse};
use crate::catalog::Machine;
use crate::chance::{
    Application, Assumptions, ChanceError, Common, Fleet, Group, Level, Machines, Outage, Stateful, Takeover,
};
use crate::database::Spread;
use crate::missed;
use crate::proof::{Proof, Stated};
use crate::search_space::{REFERENCE_COREMARK, RPS_PER_CPU, SPARE_MAX};

/// What the file asks for, as the space understands it.
pub(super) struct Rules<'a> {
    pub(super) app: &'a App,
    assumptions: Assumptions,
    pub(super) zone: bool,
    node: bool,
    /// Sizes that were found already.
    sizes: RefCell<BTreeMap<Asked, Sizes>>,
}

/// Replicas at peak, least and most replicas, zones, room of a machine.
type Asked = (Option<u32>, u32, u32, u32, u32);

/// Ways to run a service, each with how many machines it takes.
pub(super) type Sizes = Rc<[(Size, u32)]>;

/// A way to run a service: replicas, of which so many must be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    pub(super) replicas: u32,
    pub(super) needed: u32,
}

impl<'a> Rules<'a> {
    /// The rules for `app` on the terms of the certificate, whose assumptions must be those of this version and the file.
    pub(super) fn new(app: &'a App, proof: &Proof) -> Result<Rules<'a>, Refused> {
        let terms = &proof.terms;
        let mut assumptions = Assumptions::of(app).map_err(|error| refuse("the file", error.to_string()))?;
        let level = if terms.pessimistic.is_some() { Level::High } else { Level::Mid };
        stated(&assumptions, level, &proof.assumptions)?;
        if level == Level::High {
            assumptions = assumptions.pessimistic();
        }
        let survive = &app.objectives.survive;
        let left_out = survive.is_empty() && !app.objectives.survive_nothing;
        // 99.9 % or more over several zones keeps a reserve for one of them unless the file says what to survive.
        let strict =
            app.objectives.availability.is_some_and(|asked| asked.unavailability <= 1e-3 * (1.0 + 1e-9));
        let by_default = strict && left_out && app.placement.zones > 1 && !terms.unreserved;
        let (zone, node) = (by_default || survive.contains(&Scope::Zone), survive.contains(&Scope::Node));
        Ok(Rules { app, assumptions, zone, node, sizes: RefCell::default() })
    }

    /// Whether the loss of a machine or a zone is asked to be survived.
    pub(super) fn survives(&self, scope: Scope) -> bool {
        if scope == Scope::Zone { self.zone } else { self.node }
    }

    /// What is assumed as `name`, in its unit.
    pub(super) fn assumed(&self, name: &str) -> f64 {
        self.assumptions.at(name, Level::Mid).unwrap_or(0.0)
    }

    /// Replicas of `service` that carry its peak on `machine`; `None`: more than are planned. Without a load, what
    /// `scale.min` leaves after the loss of the fullest of `layout`.
    pub(super) fn peak(&self, service: &Service, machine: Option<&Machine>) -> Option<Option<u32>> {
        let Some(load) = service.load else { return Some(None) };
        let speed = machine
            .map_or(1.0, |kind| kind.performance.low / f64::from(kind.vcpu.max(1)) / REFERENCE_COREMARK);
        let cpus = f64::from(service.resources.cpus.0) / 1000.0;
        let each = match service.scale.target {
            Some(target) => target.0 * speed.min(1.0),
            None => service.rps_per_cpu.unwrap_or(RPS_PER_CPU) * cpus * speed,
        };
        let count = (load.peak.0 / each * (1.0 - 1e-12)).ceil().max(1.0);
        (count <= 1_000.0).then_some(Some(count as u32))
    }

    /// Most replicas that one loss takes.
    fn lost(&self, replicas: u32, zones: u32, room: u32) -> u32 {
        let layout = layout(replicas, zones, room);
        let of_zone = layout.iter().map(|zone| zone.iter().sum()).max().unwrap_or(0);
        let of_machine = layout.iter().flatten().copied().max().unwrap_or(0);
        match (self.zone, self.node) {
            (true, _) => of_zone,
            (false, true) => of_machine,
            (false, false) => 0,
        }
    }

    /// Every size of `service` on machines with so much room, over so many zones, that the space allows.
    pub(super) fn sizes(&self, service: &Service, machine: Option<&Machine>, zones: u32, room: u32) -> Sizes {
        let Some(peak) = self.peak(service, machine).filter(|_| room > 0) else { return Rc::default() };
        let asked = (peak, service.scale.min, service.scale.max.min(1_000), zones, room.min(1_000));
        let mut known = self.sizes.borrow_mut();
        Rc::clone(known.entry(asked).or_insert_with(|| self.sized(asked)))
    }

    fn sized(&self, (peak, min, max, zones, room): Asked) -> Sizes {
        let survivable = zones > 1 || !self.zone;
        let lost = |replicas: u32| if survivable { self.lost(replicas, zones, room) } else { 0 };
        let needed = peak.unwrap_or_else(|| (min - lost(min)).max(1));
        let mut base = needed.max(min);
        while base <= max && base - lost(base) < needed {
            base += 1;
        }
        if base > max {
            return Rc::default();
        }
        let mut sizes: Vec<Size> =
            (0..=SPARE_MAX).map(|spare| Size { replicas: (base + spare).min(max), needed }).collect();
        sizes.dedup();
        let machines =
            |size: &Size| layout(size.replicas, zones, room).iter().map(Vec::len).sum::<usize>() as u32;
        sizes.into_iter().map(|size| (size, machines(&size))).collect()
    }

    /// Whether a load can be carried on `machine` at all.
    pub(super) fn carries(&self, service: &Service, machine: Option<&Machine>) -> bool {
        self.peak(service, machine).is_some()
    }

    /// How many objectives the databases miss over so many zones, the reserve for a zone by default among them.
    pub(super) fn misses(&self, zones: u32, layout: Layout) -> usize {
        let falls = |database: &Database| {
            let lost = nodes_lost(database, Scope::Zone, zones, layout);
            database.mode() == Mode::Quorum && u32::from(database.nodes()) - lost < majority(database)
        };
        let by_default = self.zone && self.app.databases.iter().any(falls);
        let one_zone = zones == 1 && self.app.objectives.survive.contains(&Scope::Zone);
        let with_it = if one_zone { self.app.databases.len() } else { 0 };
        self.misses_asked(zones, layout) + with_it + usize::from(by_default)
    }

    /// How many objectives of the file the caches miss that the application does not do without.
    fn misses_of_caches(&self, zones: u32, layout: Layout) -> usize {
        let objectives = &self.app.objectives;
        let assumed = |name| self.assumptions.at(name, Level::Mid).unwrap_or(0.0);
        let mut misses = 0;
        for cache in self.app.caches.iter().filter(|cache| cache.loss == CacheLoss::Outage) {
            let copies = u32::from(cache.replicas) + 1;
            // Copies stand in the zones in turn, so that the first has most.
            let in_first = (0..copies).filter(|copy| copy % zones == 0).count() as u32;
            for (scope, rto) in [(Scope::Node, objectives.rto.node), (Scope::Zone, objectives.rto.zone)] {
                let node = scope == Scope::Node;
                let left = copies > if node && layout.is_apart() { 1 } else { in_first };
                misses += usize::from(objectives.survive.contains(&scope) && !left && (node || zones > 1));
                let hours = match (node, layout.is_apart()) {
                    (true, true) => assumed("cache_node.hours"),
                    (true, false) => assumed("cache_node.hours").max(assumed("machine_failure.hours")),
                    (false, _) => assumed("zone_outage.hours"),
                };
                let ms = if left { assumed("takeover_cache.seconds") * 1e3 } else { hours * 3_600e3 };
                misses += usize::from(rto.is_some_and(|asked| ms > asked.0 as f64));
            }
        }
        misses
    }

    /// What a plan over so many zones at this price must say that it misses.
    pub(super) fn missed(&self, zones: u32, layout: Layout, usd: Money) -> Vec<String> {
        let mut missed = missed::by_zones(self.app, self.zone, zones);
        missed.extend(missed::by_losses(self.app, Spread { zones, layout }, &self.assumptions));
        missed.extend(missed::by_price(self.app, usd));
        missed
    }

    /// How many objectives of the file the databases and caches miss over so many zones.
    pub(super) fn misses_asked(&self, zones: u32, layout: Layout) -> usize {
        let objectives = &self.app.objectives;
        let assumed = |name| self.assumptions.at(name, Level::Mid).unwrap_or(0.0);
        let mut misses = self.misses_of_caches(zones, layout);
        for database in &self.app.databases {
            // A provider spreads it over two zones.
            misses += usize::from(database.mode() == Mode::Managed && zones == 1);
            for scope in [Scope::Node, Scope::Zone] {
                let (node, lost) = (scope == Scope::Node, nodes_lost(database, scope, zones, layout));
                let goes_on = u32::from(database.nodes()) - lost >= majority(database);
                misses += usize::from(objectives.survive.contains(&scope) && !goes_on && (node || zones > 1));
                let (rto, rpo) = match node {
                    true => (objectives.rto.node, objectives.rpo.node),
                    false => (objectives.rto.zone, objectives.rpo.zone),
                };
                let hours = match (node, layout) {
                    (true, Layout::Apart) => assumed("database_node.hours"),
                    // Its machine is everybody's, and is lost with it.
                    (true, Layout::Together) => {
                        assumed("database_node.hours").max(assumed("machine_failure.hours"))
                    }
                    (false, _) => assumed("zone_outage.hours"),
                };
                let repair = hours * 3_600e3;
                let takeover = match database.mode() {
                    Mode::Quorum => Some(assumed("takeover_quorum.seconds") * 1e3),
                    Mode::Lease => Some(assumed("takeover_lease.seconds") * 1e3),
                    Mode::Managed => Some(assumed("takeover_managed.seconds") * 1e3),
                    Mode::Single => None,
                };
                let takes = takeover.filter(|_| goes_on).unwrap_or(repair);
                misses += usize::from(rto.is_some_and(|asked| takes > asked.0 as f64));
                let keeps = |asked: u64| match database.mode() {
                    Mode::Lease => goes_on && Mode::Lease.rpo_ms().is_some_and(|lost| lost <= asked),
                    Mode::Quorum => lost < majority(database),
                    Mode::Managed => goes_on,
                    Mode::Single => false,
                };
                misses += usize::from(rpo.is_some_and(|asked| !keeps(asked.0)));
            }
        }
        misses
    }

    /// The application over so many zones, without its services.
    pub(super) fn bare(&self, zones: u32, layout: Layout) -> Result<Application, ChanceError> {
        let level = Level::Mid;
        let mut app = Application {
            zones: u8::try_from(zones).unwrap_or(u8::MAX),
            zone: self.assumptions.outage("zone_outage", level)?,
            host: if layout.is_apart() { None } else { Some(self.machine()?) },
            groups: Vec::new(),
            fleets: Vec::new(),
            pools: Vec::new(),
            shared: Vec::new(),
        };
        for kind in ["deploy_failures", "region_outage", "human_error"] {
            app.shared.push(Common { name: kind.to_owned(), outage: self.assumptions.outage(kind, level)? });
        }
        for database in &self.app.databases {
            app.groups.push(Group::assumed(database, &self.assumptions, level)?);
        }
        for cache in self.app.caches.iter().filter(|cache| cache.loss == CacheLoss::Outage) {
            let node = self.assumptions.outage("cache_node", level)?;
            let seconds = self.assumptions.at("takeover_cache.seconds", level)?;
            let takeover = (cache.replicas > 0).then_some(Takeover { seconds, stages: 3 });
            let nodes = cache.replicas + 1;
            // Each shard has keys that no other has.
            let shard = |_| {
                let name = cache.name.to_string();
                Group { name, nodes, witnesses: 0, needed: 1, node, takeover }
            };
            app.groups.extend((0..cache.shards).map(shard));
        }
        Ok(app)
    }

    /// The chain of the databases.
    pub(super) fn stateful(&self, zones: u32, layout: Layout) -> Result<Stateful, ChanceError> {
        Stateful::quick(&self.bare(zones, layout)?)
    }

    /// One machine of a service.
    pub(super) fn machine(&self) -> Result<Outage, ChanceError> {
        self.assumptions.outage("machine_failure", Level::Mid)
    }

    /// A service for the availability model, on machines that fail like this by themselves.
    pub(super) fn fleet(
        &self,
        service: &Service,
        size: Size,
        (zones, room): (u32, u32),
        machine: Outage,
    ) -> Fleet {
        let machines = (0..).zip(layout(size.replicas, zones, room)).flat_map(|(zone, on)| {
            on.into_iter().map(move |carries| Machines { zone, count: 1, carries, pool: None })
        });
        let (name, machines) = (service.name.to_string(), machines.collect());
        Fleet { name, needed: size.needed, machines, machine }
    }
}

/// That a certificate states every assumption at this end of its band, and no other.
fn stated(assumptions: &Assumptions, level: Level, stated: &[Stated]) -> Result<(), Refused> {
    let place = |name: &str| format!("the assumption `{name}`");
    for prior in assumptions.all() {
        let own = match level {
            Level::Low => prior.low,
            Level::Mid => prior.mid,
            Level::High => prior.high,
        };
        let mut claims = stated.iter().filter(|claim| claim.name == prior.name);
        match (claims.next(), claims.next()) {
            (Some(claim), None) if (claim.value - own).abs() <= ROUNDING * own => {}
            (Some(claim), None) => {
                return Err(refuse(place(prior.name), format!("{} is stated, and {own} holds", claim.value)));
            }
            (None, _) => return Err(refuse(place(prior.name), "it is not stated")),
            (Some(_), Some(_)) => return Err(refuse(place(prior.name), "it is stated twice")),
        }
    }
    match stated.iter().find(|claim| assumptions.get(&claim.name).is_err()) {
        Some(claim) => Err(refuse(place(&claim.name), "there is none of that name")),
        None => Ok(()),
    }
}

/// Nodes that must be up for writes.
fn majority(database: &Database) -> u32 {
    if database.mode() == Mode::Quorum { u32::from(database.nodes()) / 2 + 1 } else { 1 }
}

/// Nodes that are gone with a scope, a machine that holds all of a zone as with the zone; the first zones have more.
fn nodes_lost(database: &Database, scope: Scope, zones: u32, layout: Layout) -> u32 {
    let alone = layout.is_apart() || database.mode() == Mode::Managed;
    if scope == Scope::Node && alone { 1 } else { u32::from(database.nodes()).div_ceil(zones) }
}

/// Replicas on each machine of each zone: one after the other into the zones in turn, then each zone's share into as few
/// machines as have room for it, one after the other in turn.
pub(super) fn layout(replicas: u32, zones: u32, room: u32) -> Vec<Vec<u32>> {
    let mut shares = vec![0_u32; zones as usize];
    for replica in 0..replicas {
        shares[(replica % zones) as usize] += 1;
    }
    let machines = |share: &u32| {
        let mut on = vec![0; share.div_ceil(room.max(1)) as usize];
        for replica in 0..*share {
            let machine = replica as usize % on.len();
            on[machine] += 1;
        }
        on
    };
    shares.iter().map(machines).collect()
}
