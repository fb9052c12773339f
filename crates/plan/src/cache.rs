//! Caches of a plan: what their nodes take, which machines hold them, what their loss means.
//!
//! As with a database, how many nodes there are is the file's to say, and the cheapest machine that is large enough is part of
//! every cheapest plan. This version runs none: everything bought for one is marked.

use std::collections::BTreeSet;

use model::{App, Cache, Duration, Layout, Scope};

use crate::PlanError;
use crate::catalog::Machine;
use crate::chance::{Assumptions, ChanceError, Group, Level, Takeover};
use crate::database::Spread;
use crate::search::Market;
use crate::search_space::{CACHE_CPUS, CACHE_FILL, CACHE_SHARDS_MAX};

/// Most caches of one application.
const CACHES_MAX: usize = 20;

/// What a node takes of a machine: vCPUs, and GiB of memory.
pub(crate) fn takes_of(cache: &Cache) -> (f64, f64) {
    (CACHE_CPUS, cache.memory.0 as f64 / f64::from(1u32 << 30) / CACHE_FILL)
}

/// The cheapest kind of machine that holds a node. The first by name of equally cheap ones.
pub(crate) fn machine<'a>(cache: &Cache, market: Market<'a>) -> Option<&'a Machine> {
    let Market::Cloud(offer) = market else { return None };
    let (cpus, gib) = takes_of(cache);
    let holds = |kind: &&Machine| f64::from(kind.vcpu) >= cpus && kind.mem_gib >= gib * (1.0 - 1e-12);
    offer.usable().filter(holds).min_by(|a, b| a.price.usd.total_cmp(&b.price.usd))
}

/// Whether a cache can be had in a market, on machines of this kind.
pub(crate) fn is_held(market: Market<'_>, machine: Option<&Machine>) -> bool {
    machine.is_some() || matches!(market, Market::Local)
}

/// Nodes in the zone that has most: node `i` of each shard is in zone `i` modulo the number of zones.
pub(crate) fn in_fullest_zone(cache: &Cache, zones: u32) -> u32 {
    u32::from(cache.shards) * u32::from(cache.copies()).div_ceil(zones)
}

/// What the availability hangs on: a group a shard, of the caches without which the application is down.
///
/// # Errors
/// [`ChanceError`] when the assumptions lack one of a cache.
pub(crate) fn groups(app: &App, assumptions: &Assumptions, level: Level) -> Result<Vec<Group>, ChanceError> {
    let mut all = Vec::new();
    for cache in app.caches.iter().filter(|cache| cache.is_needed()) {
        let node = assumptions.outage("cache_node", level)?;
        let takeover = Takeover { seconds: assumptions.at("takeover_cache.seconds", level)?, stages: 3 };
        for shard in 1..=cache.shards {
            let name = match cache.shards {
                1 => cache.name.to_string(),
                _ => format!("{} shard {shard}", cache.name),
            };
            all.push(match cache.copies() {
                1 => Group::single(&name, node),
                copies => Group::copies(&name, copies, node, takeover),
            });
        }
    }
    Ok(all)
}

/// Whether a copy of each shard is left when `scope` is lost.
fn goes_on(cache: &Cache, scope: Scope, spread: Spread) -> bool {
    let copies = u32::from(cache.copies());
    let lost = match (scope, spread.layout) {
        (Scope::Node, Layout::Apart) => 1,
        // The machine of a zone is lost with all nodes of the zone.
        (Scope::Node, Layout::Together) | (Scope::Zone, _) => copies.div_ceil(spread.zones),
        (Scope::Region, _) => copies,
    };
    lost < copies
}

/// How long until it serves again, in seconds: a takeover, where a copy is left, else a repair.
fn recovers_s(goes_on: bool, scope: Scope, layout: Layout, assumptions: &Assumptions) -> f64 {
    // The names are those of the table, which a test reads.
    let at = |name: &str| assumptions.at(name, Level::Mid).unwrap_or(0.0);
    if goes_on {
        return at("takeover_cache.seconds");
    }
    let hours = match (scope, layout) {
        (Scope::Node, Layout::Apart) => at("cache_node.hours"),
        (Scope::Node, Layout::Together) => at("cache_node.hours").max(at("machine_failure.hours")),
        (Scope::Zone | Scope::Region, _) => at("zone_outage.hours"),
    };
    hours * 3_600.0
}

/// How long the application may be without a cache that it needs when a node or a zone is lost.
pub(crate) fn recoveries(app: &App, scope: Scope, assumptions: &Assumptions) -> Vec<Duration> {
    let needed = app.caches.iter().filter(|cache| cache.is_needed());
    let of = |_| [true, false].map(|goes_on| recovers_s(goes_on, scope, Layout::Apart, assumptions));
    needed.flat_map(of).map(|seconds| Duration((seconds * 1e3).ceil() as u64)).collect()
}

/// Every objective that a cache misses without which the application is down, one sentence each.
pub(crate) fn missed(app: &App, spread: Spread, assumptions: &Assumptions) -> Vec<String> {
    let mut missed = Vec::new();
    let objectives = &app.objectives;
    for cache in app.caches.iter().filter(|cache| cache.is_needed()) {
        let name = &cache.name;
        for (scope, word) in [(Scope::Node, "node"), (Scope::Zone, "zone")] {
            let goes_on = goes_on(cache, scope, spread);
            // With one zone this is said of the whole.
            if objectives.survive.contains(&scope) && !goes_on && (scope == Scope::Node || spread.zones > 1) {
                let why = match cache.replicas {
                    0 => format!("`{name}` has one copy: nothing takes over"),
                    _ => format!("all copies of `{name}` are lost with it"),
                };
                missed.push(format!(
                    "`survive: [{word}]` was asked, and {why} (write `replicas: 1`, or `loss: tolerated` if the application goes on \
                     without it)"
                ));
            }
            let rto = if scope == Scope::Node { objectives.rto.node } else { objectives.rto.zone };
            let seconds = recovers_s(goes_on, scope, spread.layout, assumptions);
            if let Some(asked) = rto.filter(|asked| seconds * 1e3 > asked.0 as f64) {
                let takes = Duration((seconds * 1e3) as u64);
                let how = if goes_on { "a replica takes over in about" } else { "it is repaired in about" };
                missed
                    .push(format!("`rto: {{ {word}: {asked} }}` was asked, and for `{name}` {how} {takes}"));
            }
        }
    }
    missed
}

/// Refuses caches that no plan can be made from.
pub(crate) fn check(app: &App) -> Result<(), PlanError> {
    let absurd = |what: String, rule| Err(PlanError::Absurd { what, rule });
    if app.caches.len() > CACHES_MAX {
        return absurd(format!("the app has {} caches", app.caches.len()), "it may have 20");
    }
    let services = app.services.iter().map(|service| service.name.as_str());
    let databases = app.databases.iter().map(|database| database.name.as_str());
    let mut names: BTreeSet<&str> = services.chain(databases).collect();
    for cache in &app.caches {
        let name = cache.name.as_str();
        if !names.insert(name) {
            return absurd(
                format!("`{name}` is there twice"),
                "names of services, databases and caches must differ",
            );
        }
        if cache.shards == 0 {
            return absurd(format!("`shards` of `{name}` is 0"), "it must be at least 1");
        }
        if cache.replicas > Cache::REPLICAS_MAX {
            return absurd(format!("`replicas` of `{name}` is {}", cache.replicas), "at most 5 are planned");
        }
        if cache.memory.0 == 0 {
            return absurd(format!("`memory` of `{name}` is 0"), "it must be above 0");
        }
    }
    let shards: u32 = app.caches.iter().map(|cache| u32::from(cache.shards)).sum();
    if shards > CACHE_SHARDS_MAX {
        return absurd(format!("the caches have {shards} shards"), "at most 40 are planned for all of them");
    }
    Ok(())
}

/// Why it is as it is, and what that means, one sentence.
pub(crate) fn why(cache: &Cache, spread: Spread) -> String {
    let name = &cache.name;
    let each = if cache.shards == 1 { "" } else { " of each shard" };
    let copies = match cache.replicas {
        0 => format!(
            "`{name}` has one copy{each}: nothing takes over, and what is in it is lost with its machine"
        ),
        _ => {
            let gone = match goes_on(cache, Scope::Zone, spread) {
                true => "",
                false => ", all of them in one zone",
            };
            format!(
                "`{name}` has {} copies{each}{gone}: when the primary is lost, another takes over",
                cache.copies()
            )
        }
    };
    let loss = match cache.is_needed() {
        true => "without it the application is down",
        false => "without it the application goes on (`loss: tolerated`), so that it counts for no downtime",
    };
    format!("{copies}; {loss}; this version plans caches and does not run them")
}

/// What is taken for granted about caches, beside the priors.
pub(crate) fn assumed(app: &App, is_local: bool) -> Vec<String> {
    let mut all = Vec::new();
    if app.caches.is_empty() {
        return all;
    }
    if app.caches.iter().any(Cache::is_needed) {
        all.push(
            "every request is taken to need every cache that does not say `loss: tolerated`, and each of its shards"
                .to_owned(),
        );
    }
    if app.caches.iter().any(|cache| !cache.is_needed()) {
        all.push(
            "while a cache with `loss: tolerated` is lost, databases and services are taken to carry its load, which is added to \
             neither"
                .to_owned(),
        );
    }
    if !is_local {
        all.push(format!(
            "a node of a cache takes {CACHE_CPUS} vCPU, as it carries out commands one after the other, and its `memory` over {CACHE_FILL}: \
             the rest is for copying it to a replica and for what is not keys; how many commands it carries is not computed"
        ));
        all.push("what a cache copies to replicas in other zones is not known and not counted".to_owned());
    }
    all
}

#[cfg(test)]
#[path = "cache_tests.rs"]
pub(crate) mod tests;
