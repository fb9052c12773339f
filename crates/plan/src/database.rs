//! Databases of a plan: where their nodes stand, what their machines cost, what their loss means.
//!
//! How many nodes there are is the file's to say. Which machine holds them changes nothing but the price, so the cheapest
//! that is large enough is part of every cheapest plan.

use model::{
    App, Database, Duration, Layout, Managed, Mode, Money, PlannedDatabase, PlannedNode, Scope, UnitName,
    WhenAlone, ZoneName,
};

use crate::PlanError;
use crate::cache;
use crate::catalog::{HOURS_MONTH, Machine, Price, RegionOffer, Unit};
use crate::chance::{Assumptions, Level};
use crate::missed;
use crate::search::{DISK_GB, Market};
use crate::search_space::{MANAGED_VCPUS_MAX, REFERENCE_COREMARK};
use crate::size::{Request, shares};
use crate::standbys::{AUTO_MAX, choices};
use crate::version::database_version;

/// Most databases of one application.
const DATABASES_MAX: usize = 20;

/// Writing transactions that one CPU of a primary carries in a second. Low on purpose: what a transaction does is not
/// known, and each waits for the disks of two machines.
const WRITES_PER_CPU: f64 = 500.0;

/// CPUs of a node at least: one for the clients, one for the replication and the cleaning up.
const CPUS_MIN: f64 = 2.0;

/// Memory of a node for each CPU, in GiB: the shape of the general-purpose types of every provider.
const GIB_PER_CPU: f64 = 4.0;

/// Over how many zones nodes are spread, and whether what shares a zone shares its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spread {
    pub(crate) zones: u32,
    pub(crate) layout: Layout,
}

impl Spread {
    /// Nodes of `database` that are gone with a scope, in the zone that has most of them.
    fn lost(self, database: &Database, scope: Scope) -> u32 {
        let most = || per_zone(database.nodes(), self.zones).into_iter().max().unwrap_or(0);
        match (scope, self.layout) {
            // A provider's is on no machine of the plan.
            (Scope::Node, _) if database.mode() == Mode::Managed => 1,
            (Scope::Node, Layout::Apart) => 1,
            // The machine of a zone is lost with all nodes of the zone.
            (Scope::Node, Layout::Together) | (Scope::Zone, _) => most(),
            (Scope::Region, _) => u32::from(database.nodes()),
        }
    }
}

/// Disk of one node in GB as providers count them, which is GiB: its data, and what every machine has.
pub(crate) fn disk_gb(database: &Database) -> f64 {
    data_gb(database) + DISK_GB
}

/// The data of one node in GB as providers count them.
pub(crate) fn data_gb(database: &Database) -> f64 {
    database.storage.0 as f64 / f64::from(1u32 << 30)
}

/// What a provider takes for a database that it runs: vCPUs, GiB of memory and GB of disk, of both of its nodes.
pub(crate) fn managed_amounts(database: &Database) -> [(Unit, f64); 3] {
    let (nodes, cpus) = (f64::from(database.nodes()), cpus(database));
    [
        (Unit::DatabaseVcpuHour, nodes * cpus),
        (Unit::DatabaseGibMonth, nodes * cpus * GIB_PER_CPU),
        (Unit::DatabaseDiskGbMonth, nodes * data_gb(database)),
    ]
}

/// What one of them costs a month; `None`: it is not sold there.
pub(crate) fn managed_price(offer: &RegionOffer, unit: Unit) -> Option<(f64, &Price)> {
    let price = offer.unit(unit)?;
    let hours = if unit == Unit::DatabaseVcpuHour { HOURS_MONTH } else { 1.0 };
    Some((price.usd * hours, price))
}

/// What a provider takes for all of it; `None`: nobody runs it there, or not that large. Each line of the bill is rounded as it is printed.
pub(crate) fn managed_month(database: &Database, market: Market<'_>) -> Option<Money> {
    let Market::Cloud(offer) = market else { return None };
    if cpus(database) > MANAGED_VCPUS_MAX {
        return None;
    }
    let line = |(unit, amount): (Unit, f64)| Some(Money::from_usd(managed_price(offer, unit)?.0 * amount));
    managed_amounts(database).into_iter().map(line).sum()
}

/// What a node takes of a machine whose vCPUs have this speed beside the reference: vCPUs, and GiB of memory.
pub(crate) fn takes_of(database: &Database, speed: f64) -> (f64, f64) {
    let writes = database.writes.map_or(0.0, |writes| writes.0);
    ((writes / WRITES_PER_CPU / speed).max(CPUS_MIN), cpus(database) * GIB_PER_CPU)
}

fn cpus(database: &Database) -> f64 {
    let writes = database.writes.map_or(0.0, |writes| writes.0);
    (writes / WRITES_PER_CPU * (1.0 - 1e-12)).ceil().max(CPUS_MIN)
}

/// The cheapest kind of machine that holds a node: its memory, and CPUs that are as fast together as those of the
/// reference. The first by name of equally cheap ones.
pub(crate) fn machine<'a>(database: &Database, market: Market<'a>) -> Option<&'a Machine> {
    let Market::Cloud(offer) = market else { return None };
    if database.mode() == Mode::Managed {
        return None;
    }
    let cpus = cpus(database);
    let writes = database.writes.map_or(0.0, |writes| writes.0);
    let coremark = writes / WRITES_PER_CPU * REFERENCE_COREMARK;
    let holds = |kind: &&Machine| {
        f64::from(kind.vcpu) >= CPUS_MIN
            && kind.performance.low >= coremark
            && kind.mem_gib >= cpus * GIB_PER_CPU * (1.0 - 1e-12)
    };
    offer.usable().filter(holds).min_by(|a, b| a.price.usd.total_cmp(&b.price.usd))
}

/// Whether a database can be had in a market, on machines of this kind.
pub(crate) fn is_held(database: &Database, market: Market<'_>, machine: Option<&Machine>) -> bool {
    match database.mode() {
        Mode::Managed => managed_month(database, market).is_some(),
        _ => machine.is_some() || matches!(market, Market::Local),
    }
}

/// Nodes in each zone: node `i` stands in zone `i % zones`, so that more or fewer standbys move none that stays.
fn per_zone(nodes: u8, zones: u32) -> Vec<u32> {
    shares(u32::from(nodes), zones).collect()
}

/// Nodes that must be up for writes.
fn needed(database: &Database) -> u32 {
    match database.mode() {
        Mode::Quorum => u32::from(database.nodes()) / 2 + 1,
        Mode::Lease | Mode::Managed | Mode::Single => 1,
    }
}

/// Seconds until another node takes over; `None`: none does.
fn failover_s(database: &Database, assumptions: &Assumptions) -> Option<f64> {
    let prior = match database.mode() {
        Mode::Quorum => "takeover_quorum.seconds",
        Mode::Lease => "takeover_lease.seconds",
        Mode::Managed => "takeover_managed.seconds",
        Mode::Single => return None,
    };
    assumptions.at(prior, Level::Mid).ok()
}

/// How long a node or a zone is gone that nothing takes over for, in seconds. A node is gone with its machine, where that holds all of
/// its zone, for as long as another machine takes.
fn repair_s(scope: Scope, layout: Layout, assumptions: &Assumptions) -> f64 {
    // The names are those of the table, which a test reads.
    let names: &[&str] = match (scope, layout) {
        (Scope::Node, Layout::Apart) => &["database_node.hours"],
        (Scope::Node, Layout::Together) => &["database_node.hours", "machine_failure.hours"],
        (Scope::Zone | Scope::Region, _) => &["zone_outage.hours"],
    };
    let hours = names.iter().map(|name| assumptions.at(name, Level::Mid).unwrap_or(0.0));
    hours.fold(0.0, f64::max) * 3_600.0
}

/// How long databases and caches may be without service when a node or a zone is lost: of each the takeover and the repair.
pub(crate) fn recoveries(app: &App, scope: Scope, assumptions: &Assumptions) -> Vec<Duration> {
    let each = app.databases.iter().flat_map(choices);
    let taken_over = each.filter_map(|database| failover_s(&database, assumptions));
    let repaired = app.databases.iter().map(|_| repair_s(scope, Layout::Apart, assumptions));
    let caches = cache::recoveries(app, scope, assumptions);
    let own = taken_over.chain(repaired).map(|seconds| Duration((seconds * 1e3).ceil() as u64));
    own.chain(caches).collect()
}

/// How much of what was written databases may lose and still keep an `rpo`: of each what its mode promises.
pub(crate) fn losses(app: &App) -> Vec<Duration> {
    let each = app.databases.iter().flat_map(choices);
    each.filter_map(|database| database.mode().rpo_ms()).map(Duration).collect()
}

fn seconds(ms: Option<u64>) -> Option<f64> {
    ms.map(|ms| ms as f64 / 1e3)
}

/// Whether enough nodes are left for writes when `scope` is lost.
fn goes_on(database: &Database, scope: Scope, spread: Spread) -> bool {
    u32::from(database.nodes()) - spread.lost(database, scope) >= needed(database)
}

/// Whether every database that has a majority keeps it when any zone is lost.
fn outlives_zone(databases: &[Database], spread: Spread) -> bool {
    databases.iter().all(|database| database.mode() != Mode::Quorum || goes_on(database, Scope::Zone, spread))
}

/// How many objectives databases and caches miss over so many zones, the reserve for a zone by default among them: places where more
/// are missed are not planned while there are others.
pub(crate) fn misses(app: &App, request: &Request, spread: Spread, assumptions: &Assumptions) -> usize {
    let by_default = request.survive_zone && !outlives_zone(&app.databases, spread);
    // Of the sentences about one zone none is about a database.
    let one_zone = spread.zones == 1 && app.objectives.survive.contains(&Scope::Zone);
    let with_it = if one_zone { app.databases.len() } else { 0 };
    missed::by_losses(app, spread, assumptions).len() + with_it + usize::from(by_default)
}

/// Whether every acknowledged write is on a node that is left when `scope` is lost: it is on a majority, and what is
/// lost is none.
fn loses_nothing(database: &Database, scope: Scope, spread: Spread) -> bool {
    match database.mode() {
        Mode::Quorum => spread.lost(database, scope) < needed(database),
        // Both of its nodes have each write.
        Mode::Managed => goes_on(database, scope, spread),
        Mode::Lease | Mode::Single => false,
    }
}

/// Whether at most the last `asked` of writes are lost with `scope`.
fn keeps(database: &Database, scope: Scope, spread: Spread, asked: Duration) -> bool {
    match database.mode() {
        Mode::Lease => {
            let bound = database.mode().rpo_ms().is_some_and(|lost| lost <= asked.0);
            bound && goes_on(database, scope, spread)
        }
        Mode::Quorum | Mode::Managed | Mode::Single => loses_nothing(database, scope, spread),
    }
}

/// How long a takeover takes in a quorum, in seconds.
fn quorum_s() -> f64 {
    seconds(Mode::Quorum.rto_ms()).unwrap_or(0.0)
}

/// How long a takeover takes in `mode`, for people.
fn takes(mode: Mode) -> Duration {
    Duration(mode.rto_ms().unwrap_or(0))
}

/// What a lease may lose, for people.
fn lost_writes() -> Duration {
    Duration(Mode::Lease.rpo_ms().unwrap_or(0))
}

/// Refuses databases that no plan can be made from.
pub(crate) fn check(app: &App) -> Result<(), PlanError> {
    let absurd = |what: String, rule| Err(PlanError::Absurd { what, rule });
    if app.databases.len() > DATABASES_MAX {
        return absurd(format!("the app has {} databases", app.databases.len()), "it may have 20");
    }
    let open = app.databases.iter().filter(|database| is_open(database)).count();
    if open > AUTO_MAX {
        return absurd(
            format!("{open} databases have `standbys: auto` or `run_by: auto`"),
            "a plan leaves that open for at most 3; write what the others have",
        );
    }
    let mut names = std::collections::BTreeSet::new();
    for database in &app.databases {
        let name = database.name.as_str();
        if !names.insert(name) || app.services.iter().any(|service| service.name.as_str() == name) {
            return absurd(format!("`{name}` is there twice"), "names of services and databases must differ");
        }
        if node_name(database, database.nodes()).is_none() {
            return absurd(format!("the name of database `{name}` is too long"), "it may have 61 letters");
        }
        if database.witness && (database.standbys != 1 || database.auto) {
            return absurd(
                format!("`{name}` has a witness beside {} standbys", database.standbys),
                "a witness is the third vote of two copies: `standbys: 1`",
            );
        }
        if database.standbys > Database::STANDBYS_MAX {
            return absurd(
                format!("`standbys` of `{name}` is {}", database.standbys),
                "at most 4 are planned",
            );
        }
        if let Some(writes) = database.writes.filter(|writes| !(writes.0.is_finite() && writes.0 >= 0.0)) {
            return absurd(format!("`writes` of `{name}` is {writes}"), "it must be a finite rate from 0");
        }
    }
    Ok(())
}

/// Whether the file leaves it to the plan what a database is.
pub(crate) fn is_open(database: &Database) -> bool {
    database.managed == Managed::Auto || (database.auto && database.managed == Managed::No)
}

/// Numbers count from 1.
fn node_name(database: &Database, number: u8) -> Option<UnitName> {
    UnitName::new(&format!("{}-{number}", database.name)).ok()
}

/// What the keeper is told.
pub(crate) fn planned(database: &Database, zones: &[ZoneName]) -> PlannedDatabase {
    // `check` has seen to it that each node has a name.
    let named = (1..=database.own_nodes()).zip(zones.iter().cycle()).filter_map(|(number, zone)| {
        Some(PlannedNode { name: node_name(database, number)?, zone: zone.clone() })
    });
    PlannedDatabase {
        database: database.clone(),
        nodes: named.collect(),
        mode: database.mode(),
        version: database_version(database),
    }
}

/// Why it is as it is, and what that means, one sentence.
pub(crate) fn why(database: &Database, spread: Spread) -> String {
    let (why, nodes) = (means(database, spread), database.own_nodes());
    if nodes < 2 || spread.zones > 1 || spread.layout.is_apart() {
        return why;
    }
    format!(
        "{why}; here all {nodes} are on the one machine, and are lost with it: with `standbys: 0` nothing more is, and zones of their \
         own, `zones: 3` with `survive: [zone]`, are what makes them worth it"
    )
}

fn means(database: &Database, spread: Spread) -> String {
    let name = &database.name;
    match database.mode() {
        Mode::Quorum if database.witness => {
            let zone = match goes_on(database, Scope::Zone, spread) {
                true => "",
                false => ", and so does losing the zone with two of them",
            };
            format!(
                "`{name}` acknowledges a write when 2 of its 3 nodes have it, two copies of the data and a witness, which \
                 holds the log alone and never becomes primary: losing any 1 loses nothing, and losing the primary stops \
                 writes for about {} s; losing 2 stops them{zone}",
                quorum_s()
            )
        }
        Mode::Quorum => {
            let (nodes, needed) = (database.nodes(), needed(database));
            let lost = u32::from(nodes) - needed;
            let zone = match goes_on(database, Scope::Zone, spread) {
                true => "",
                false => ", and so does losing the zone with most of them",
            };
            format!(
                "`{name}` acknowledges a write when {needed} of its {nodes} nodes have it: losing any {lost} loses \
                 nothing and stops writes for about {} s, losing {} stops them{zone}",
                quorum_s(),
                lost + 1
            )
        }
        Mode::Lease => format!(
            "`{name}` has one standby, which follows behind: when the machine of its primary is lost, the standby takes \
             over within {} and at most the last {} of writes are lost (RPO > 0); `witness: true` or `standbys: 2` loses \
             nothing and takes over in about {} s",
            takes(Mode::Lease),
            lost_writes(),
            quorum_s()
        ),
        Mode::Managed if takes_more_zones(database, spread) => {
            format!("a provider runs `{name}` over two zones, and there is one")
        }
        Mode::Managed => format!(
            "`{name}` is run by the provider, in two zones: its copy there has each write before it is acknowledged, and takes over \
             within about {}; this version makes no such database, and `run_by: evenkeel` is one of its own",
            takes(Mode::Managed)
        ),
        Mode::Single => format!(
            "`{name}` has one node: nothing takes over, and what is lost with its disk is lost; `standbys: 2` goes on"
        ),
    }
}

/// Every objective that a database misses, one sentence each.
pub(crate) fn missed(app: &App, spread: Spread, assumptions: &Assumptions) -> Vec<String> {
    let zones = spread.zones;
    let mut missed = Vec::new();
    let objectives = &app.objectives;
    for database in &app.databases {
        let name = &database.name;
        if takes_more_zones(database, spread) {
            missed.push(format!("`run_by` of `{name}` takes two zones, and there is one"));
        }
        for (scope, word) in [(Scope::Node, "node"), (Scope::Zone, "zone")] {
            let goes_on = goes_on(database, scope, spread);
            // With one zone this is said of the whole.
            if objectives.survive.contains(&scope) && !goes_on && (scope == Scope::Node || zones > 1) {
                missed.push(format!(
                    "`survive: [{word}]` was asked, and {}",
                    stopped_by(database, scope, zones)
                ));
            }
            let of = |per: &model::PerScope| if scope == Scope::Node { per.node } else { per.zone };
            if let Some(asked) = of(&objectives.rto) {
                let seconds = failover_s(database, assumptions).filter(|_| goes_on);
                let seconds = seconds.unwrap_or_else(|| repair_s(scope, spread.layout, assumptions));
                if seconds * 1e3 > asked.0 as f64 {
                    let takes = Duration((seconds * 1e3) as u64);
                    let how =
                        if goes_on { "another node takes over in about" } else { "it is repaired in about" };
                    missed.push(format!(
                        "`rto: {{ {word}: {asked} }}` was asked, and for `{name}` {how} {takes}"
                    ));
                }
            }
            if let Some(asked) = of(&objectives.rpo).filter(|asked| !keeps(database, scope, spread, *asked)) {
                let why = match database.mode() {
                    Mode::Quorum if scope == Scope::Node => {
                        "a majority of its nodes is on one machine".to_owned()
                    }
                    Mode::Quorum => "a majority of its nodes is in one zone".to_owned(),
                    Mode::Managed => "both of its nodes are in one zone".to_owned(),
                    Mode::Lease if !goes_on && scope == Scope::Node => {
                        "both of its nodes are on one machine".to_owned()
                    }
                    Mode::Lease if !goes_on => "both of its nodes are in one zone".to_owned(),
                    Mode::Lease => format!(
                        "no write waits for its one standby, so up to {} of them are lost with the primary (write \
                         `standbys: 2`)",
                        lost_writes()
                    ),
                    Mode::Single => "it has one node and no copy".to_owned(),
                };
                missed.push(format!(
                    "`rpo: {{ {word}: {asked} }}` was asked, and `{name}` may lose more: {why}"
                ));
            }
        }
    }
    missed
}

fn stopped_by(database: &Database, scope: Scope, zones: u32) -> String {
    let name = &database.name;
    match (database.mode(), scope) {
        (Mode::Single, _) => format!("`{name}` has one node: nothing takes over (write `standbys: 2`)"),
        (_, Scope::Zone) => format!(
            "too many of the {} nodes of `{name}` are in one of {zones} zones (write `standbys: 2` and `zones: 3`)",
            database.nodes()
        ),
        _ => format!("`{name}` stops with it"),
    }
}

/// Whether a provider would not run it over so few zones.
fn takes_more_zones(database: &Database, spread: Spread) -> bool {
    database.mode() == Mode::Managed && spread.zones < 2
}

/// What is taken for granted about databases, beside the priors.
pub(crate) fn assumed(app: &App, is_local: bool) -> Vec<String> {
    let mut all = Vec::new();
    if app.databases.is_empty() {
        return all;
    }
    all.push("every request is taken to need every database".to_owned());
    if app.databases.iter().any(|database| database.mode() == Mode::Lease) {
        all.push(format!(
            "that no more than the last {} of writes are lost with the primary of a lease holds while the standby is there, \
             when clocks differ in speed by at most 1 % and no machine stands still for more than 2 s and goes on \
             (`docs/decisions/0007-lease-mode.md`)",
            lost_writes()
        ));
    }
    for database in &app.databases {
        let name = &database.name;
        if database.mode() == Mode::Quorum && database.when_alone == WhenAlone::Degrade {
            all.push(format!(
                "`when_alone: degrade` of `{name}` is counted like `block`: whether the node that is left may go on \
                 depends on which one it is; what it acknowledges alone is lost with it"
            ));
        }
        if database.witness && !is_local {
            all.push(format!(
                "the witness of `{name}` is paid for like a node with data; it needs a disk for some of the log, and little \
                 else"
            ));
        }
        if database.mode() == Mode::Managed {
            all.push(format!(
                "a provider charges nothing for what it copies between the two zones of `{name}`; there, a node of it fails as often as \
                 one of evenkeel's"
            ));
        }
        if !is_local {
            let writes = match database.writes {
                Some(writes) => {
                    format!("and the speed for {writes} of writes, {WRITES_PER_CPU}/s for each CPU")
                }
                None => "as `writes` was left out".to_owned(),
            };
            all.push(format!(
                "a node of `{name}` has at least {} vCPUs and {} GiB of memory, {writes}",
                cpus(database),
                cpus(database) * GIB_PER_CPU
            ));
        }
    }
    all
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
