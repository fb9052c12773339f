//! What a plan takes for granted: every prior with its band and source, and every default.

use crate::bill;
use crate::cache;
use crate::catalog::RegionOffer;
use crate::chance::{Assumptions, Exactness, Prior};
use crate::database;
use crate::near;
use crate::search::{Candidate, Market, Space, speed};
use crate::search_space::REFERENCE_COREMARK;
use crate::terms::Terms;
use model::{App, Layout, Mode};

/// Providers sell types of so many vCPUs.
const SMALL_VCPU: u32 = 2;

/// Every prior and every default.
pub(crate) fn assumed(space: &Space<'_>, chosen: &Candidate<'_>, terms: &Terms) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(today) = &terms.pessimistic {
        all.push(format!(
            "robust: every assumption is taken at its bad end, and every price that is older than 12 months on {today}, \
             or assumed, at the upper end of its band"
        ));
    }
    if terms.unreserved {
        all.push("no reserve is kept for the loss of a zone unless `survive` asks for it".to_owned());
    }
    all.extend(space.request.assumed.clone());
    let assumptions = &space.assumptions;
    for kind in ["zone_outage", "machine_failure", "deploy_failures", "region_outage", "human_error"] {
        all.extend(outage(assumptions, kind));
    }
    let databases = &space.app.databases;
    if !databases.is_empty() {
        all.extend(outage(assumptions, "database_node"));
        all.extend(outage(assumptions, "disk_loss"));
        all.push(
            "of losses of data those of disks and of writes that no copy has are counted; what a person, a program or a fire \
             destroys is not"
                .to_owned(),
        );
        for (mode, name) in [
            (Mode::Quorum, "takeover_quorum.seconds"),
            (Mode::Lease, "takeover_lease.seconds"),
            (Mode::Managed, "takeover_managed.seconds"),
        ] {
            let used = databases.iter().any(|database| database.mode() == mode);
            let prior = assumptions.get(name).ok().filter(|_| used);
            all.extend(
                prior.map(|prior| {
                    format!("{} {}", prior.what, banded(prior, " s", |value| value.to_string()))
                }),
            );
        }
    }
    all.extend(exactness(space.odds(chosen.spread()).exactness()));
    all.extend(cached(space.app, assumptions));
    all.push("no automatic replacement of machines is counted".to_owned());
    all.push("a year has 8,766 h, a month on a bill 730 h".to_owned());
    let is_local = matches!(chosen.market, Market::Local);
    all.extend(database::assumed(space.app, is_local));
    all.extend(cache::assumed(space.app, is_local));
    match chosen.market {
        Market::Local => {
            all.push(
                "availability is that of the same layout with each zone a data centre and each replica a machine; \
                 this run on one machine is not highly available"
                    .to_owned(),
            );
        }
        Market::Cloud(offer) => {
            all.extend(bill::assumed(space.app, chosen, terms));
            all.extend(bought(space.app, chosen, offer, assumptions));
            all.extend(distances(space.app, assumptions));
        }
    }
    all.extend(unplanned(space.app, is_local));
    all
}

/// How often what a needed cache stands on fails, and how long another copy takes.
fn cached(app: &App, assumptions: &Assumptions) -> Vec<String> {
    if !app.caches.iter().any(model::Cache::is_needed) {
        return Vec::new();
    }
    let takeover = assumptions.get("takeover_cache.seconds").ok();
    let takeover =
        takeover.map(|prior| format!("{} {}", prior.what, banded(prior, " s", |value| value.to_string())));
    outage(assumptions, "cache_node").into_iter().chain(takeover).collect()
}

/// `a zone is lost 0.2/year (0.05 to 0.5; assumed), for 4 h (1 to 24; assumed)`.
fn outage(assumptions: &Assumptions, kind: &str) -> Option<String> {
    let rate = assumptions.get(&format!("{kind}.per_year")).ok()?;
    let length = assumptions.get(&format!("{kind}.hours")).ok()?;
    let length = match length.mid {
        hours if hours < 1.0 => banded(length, " min", |hours| format!("{:.0}", hours * 60.0)),
        _ => banded(length, " h", |hours| hours.to_string()),
    };
    Some(format!("{} {}, for {length}", rate.what, banded(rate, "/year", |rate| rate.to_string())))
}

/// The value, and behind it the band and where it comes from.
fn banded(prior: &Prior, unit: &str, number: impl Fn(f64) -> String) -> String {
    let value = format!("{}{unit}", number(prior.mid));
    if prior.low == prior.high {
        return format!("{value} ({})", prior.source);
    }
    format!("{value} ({} to {}; {})", number(prior.low), number(prior.high), prior.source)
}

fn exactness(exactness: Exactness) -> Option<String> {
    match exactness {
        Exactness::Exact { .. } => None,
        Exactness::SafeBound { .. } => Some(
            "availability is a bound that is never too high: given which zones live, databases and caches are taken to \
             fail independently of each other (one chain of all of them would be too large)"
                .to_owned(),
        ),
    }
}

fn bought(app: &App, chosen: &Candidate<'_>, offer: &RegionOffer, assumptions: &Assumptions) -> Vec<String> {
    let mut all = vec![
        format!(
            "this plan uses {}: `placement.zones` allows {}, and {} {} has {} ({})",
            counted(chosen.zones),
            app.placement.zones,
            offer.provider,
            offer.region,
            offer.zones,
            offer.zones_source.document
        ),
        machines(app, chosen),
    ];
    let loads = chosen.choices.iter().zip(&app.services).filter(|(_, service)| service.load.is_some());
    let mut speeds: Vec<String> = loads
        .filter_map(|(choice, _)| choice.machine)
        .map(|kind| {
            let how = if kind.performance.measured { "measured" } else { "the low figure of its CPU" };
            format!("{} {:.2} ({how})", kind.name, speed(kind))
        })
        .collect();
    speeds.sort_unstable();
    speeds.dedup();
    if !speeds.is_empty() {
        all.push(format!(
            "`capacity` is taken as that of a vCPU with {REFERENCE_COREMARK} CoreMark iterations/s (Intel Ice Lake); \
             as fast as that is a vCPU of {}",
            speeds.join(", ")
        ));
    }
    all.extend(traffic(app, assumptions));
    all.push("the provider's load balancer is taken as never down".to_owned());
    all
}

/// Which machines hold what.
fn machines(app: &App, chosen: &Candidate<'_>) -> String {
    let held = match chosen.layout {
        Layout::Apart if !app.caches.is_empty() => {
            "each service, each database and each cache has machines of its own"
        }
        Layout::Apart if app.databases.is_empty() => "each service has machines of its own",
        Layout::Apart => "each service and each database has machines of its own",
        Layout::Together if app.databases.iter().any(|database| database.own_nodes() == 0) => {
            "one machine a zone holds everything there but what the provider runs, and with it all of that is gone at once; what a node \
             of a database or cache does alone is counted on top"
        }
        Layout::Together => {
            "one machine a zone holds everything there, and with it all of that is gone at once; what a node of a database or \
             cache does alone is counted on top"
        }
    };
    let least = match chosen.market {
        Market::Cloud(offer) => offer.usable().map(|kind| kind.vcpu).min().unwrap_or_default(),
        Market::Local => 0,
    };
    // Where even the smallest has room for several replicas, it is the catalogue that is at an end.
    let small = match least > SMALL_VCPU {
        true => format!(
            "; the catalogue has none with fewer than {least} vCPUs there, and smaller ones may be cheaper"
        ),
        false => String::new(),
    };
    format!("{held}; only x86-64 types without burst credits are used{small}")
}

/// What the ways of the users rest on.
fn distances(app: &App, assumptions: &Assumptions) -> Vec<String> {
    let Ok(detour) = assumptions.get(near::DETOUR) else { return Vec::new() };
    let mut all = vec![format!("{} {}", detour.what, banded(detour, " times", |times| times.to_string()))];
    let latency = app.objectives.latency.as_ref();
    if let Some(latency) = latency.filter(|_| near::asked_ms(app).is_none()) {
        all.push(format!(
            "`latency` leaves out no region for its distance: users reach services of `ingress` alone, and `{}` is none of them",
            latency.service
        ));
    }
    if near::asked_ms(app).is_some() {
        all.push(
            "regions from which one round trip alone takes longer than `p99` for more than 1% of the users are left out"
                .to_owned(),
        );
    }
    all
}

/// What the amounts of traffic rest on.
fn traffic(app: &App, assumptions: &Assumptions) -> Vec<String> {
    let mut all = Vec::new();
    let size = |name: &str| {
        let prior = assumptions.get(name).ok()?;
        Some(format!("{} {}", prior.what, banded(prior, " kB", |size| size.to_string())))
    };
    let unsaid = |service: &&model::Service| service.load.is_some_and(|load| load.response.is_none());
    let names: Vec<String> =
        app.services.iter().filter(unsaid).map(|service| format!("`{}`", service.name)).collect();
    if !names.is_empty() {
        let of = names.join(", ");
        all.extend(
            size("response.kilobytes").map(|text| format!("{text}, as `load.response` of {of} was left out")),
        );
    }
    if app.databases.iter().any(|database| database.own_nodes() > 1 && database.writes.is_some()) {
        all.extend(size("write.kilobytes"));
    }
    all.push(
        "traffic is that of answers to the internet, of as much again between each service and each database and cache, of which the \
         share crosses zones that is not in the primary's, and of a database's log to nodes in other zones; what machines fetch through \
         a NAT, logs and backups are not counted"
            .to_owned(),
    );
    all
}

fn counted(zones: u32) -> String {
    if zones == 1 { "1 zone".to_owned() } else { format!("{zones} zones") }
}

/// What the file asks for and this version does not look at.
fn unplanned(app: &App, is_local: bool) -> Vec<String> {
    let mut all = Vec::new();
    let objectives = &app.objectives;
    if objectives.latency.is_some() {
        all.push(
            "`latency` is not computed by this version; a drill judges it for the service of the first entry"
                .to_owned(),
        );
    }
    if objectives.rpo.region.is_some() {
        all.push("`rpo` of a region is not computed by this version: there is no copy in another".to_owned());
    }
    if objectives.rpo != model::PerScope::default() && app.databases.is_empty() {
        all.push("`rpo` is computed for databases alone".to_owned());
    }
    if !app.placement.residency.is_empty() && is_local {
        all.push(
            "`residency` is not looked at on this machine: in which country it is, is not known".to_owned(),
        );
    }
    if !app.placement.users.is_empty() && is_local {
        all.push(
            "`users` are not looked at on this machine: how far they are from it, is not known".to_owned(),
        );
    }
    if app.placement.regions.len() > 1 && !is_local {
        all.push("only the first of `placement.regions` is planned by this version".to_owned());
    }
    all
}
