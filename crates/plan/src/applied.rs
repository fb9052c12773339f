//! Which lines of the bill nothing of evenkeel starts: not `evenkeel up` on this machine, and not the files of
//! `evenkeel export` in a cloud. Such a line is marked `not applied by evenkeel`, with the reason.
//!
//! [`TABLE`] has every kind of line there is; a test of the exports holds each mark against what the files really make.

use model::App;

use crate::search::{Candidate, Market};

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replicas or nodes on this machine.
    Here,
    /// Machines of a service, by its place in the file.
    Service(usize),
    /// Machines of a database, by its place in the file.
    Database(usize),
    /// Machines of a cache, or nodes of one on this machine.
    Cache,
    /// The one machine of each zone.
    Shared,
    /// What a provider takes for a database that it runs.
    Managed,
    /// Disks of machines.
    Disks,
    /// The balancer at the entry.
    Balancer,
    /// What is paid for its use.
    BalancerUse,
    /// NAT gateways and public addresses.
    WaysOut,
    /// What goes over the network.
    Traffic,
}

/// The kind, what starts it, when it is not started, and why not then.
#[cfg(test)]
pub(crate) const TABLE: &[(Kind, &str, &str, &str)] = &[
    (Kind::Here, "`up`", "never", ""),
    (Kind::Service(0), "`export`", "another machine of its zone has the agent", IDLE),
    (Kind::Database(0), "`export`", "another machine of its zone has the agent", IDLE),
    (Kind::Cache, "nothing", "always", CACHE),
    (Kind::Shared, "`export`", "a cache is on it", CACHE),
    (Kind::Managed, "nothing", "always", MANAGED),
    (Kind::Disks, "`export`, with their machines", "they are a cache's", CACHE),
    (Kind::Balancer, "`export`", "the file has no `ingress`", NO_INGRESS),
    (Kind::Balancer, "`export`", "on Alibaba Cloud there is one zone", ONE_ZONE),
    (Kind::Balancer, "`export`", "on Google Cloud `ingress` has no address", OWN_ADDRESS),
    (Kind::WaysOut, "`export`, unless the image is prepared", "never", ""),
    (Kind::Traffic, "the load itself", "never", ""),
    (Kind::BalancerUse, "`export`, with the balancer", "the file has no `ingress`", NO_INGRESS),
];

pub(crate) const IDLE: &str = "this version runs one agent a zone, on the machine with the first database's disk or the first machine, and all of \
     the zone with it";
pub(crate) const MANAGED: &str = "this version makes no database that a provider runs: `up` and `export` refuse `run_by: provider`, and with `auto` run their own";
pub(crate) const CACHE: &str = "this version plans caches and does not run them";
pub(crate) const NO_INGRESS: &str = "nothing comes in from outside, so that `export` makes no entry";
pub(crate) const OWN_ADDRESS: &str = "connections of Google Cloud's balancer go to an address that is not the machine's own: write \
     `listen: \"0.0.0.0:8080\"`, or so, in `ingress`, as `export` refuses this";
pub(crate) const ONE_ZONE: &str =
    "the balancer of Alibaba Cloud needs two zones, so that `export` refuses a plan with one";

/// Why a line of `chosen` is not applied by evenkeel, or a part of it is not; `None`: all of it is.
pub(crate) fn not_applied(kind: Kind, app: &App, chosen: &Candidate<'_>) -> Option<String> {
    let said = |text: &str| Some(text.to_owned());
    match kind {
        Kind::Shared if !app.caches.is_empty() => said(CACHE),
        Kind::Cache => said(CACHE),
        Kind::Here | Kind::Shared | Kind::Disks | Kind::WaysOut | Kind::Traffic => None,
        Kind::Managed => said(MANAGED),
        Kind::Service(_) | Kind::Database(_) => idle(kind, app, chosen),
        Kind::Balancer | Kind::BalancerUse if app.ingress.is_empty() => said(NO_INGRESS),
        Kind::Balancer if chosen.market.provider() == "alicloud" && chosen.zones == 1 => said(ONE_ZONE),
        Kind::Balancer if chosen.market.provider() == "gcp" && has_own_address(app) => said(OWN_ADDRESS),
        Kind::Balancer | Kind::BalancerUse => None,
    }
}

/// Whether a front is to listen on the address of its machine alone.
fn has_own_address(app: &App) -> bool {
    app.ingress.iter().any(|entry| !entry.any_address)
}

/// Machines that are made and run nothing.
fn idle(kind: Kind, app: &App, chosen: &Candidate<'_>) -> Option<String> {
    if matches!(chosen.market, Market::Local) {
        return None;
    }
    let (mut machines, mut agents) = (0, 0);
    for zone in 0..chosen.zones as usize {
        // Node `i` of a database stands in zone `i` modulo the number of zones.
        let nodes = |database: usize| {
            let nodes = usize::from(app.databases[database].own_nodes());
            (nodes + chosen.zones as usize - 1 - zone) / chosen.zones as usize
        };
        let services: Vec<usize> =
            chosen.choices.iter().map(|choice| choice.spread(chosen.zones)[zone].len()).collect();
        let first = (0..app.databases.len()).find(|&database| nodes(database) > 0).map(Kind::Database);
        let first = first.or_else(|| services.iter().position(|&count| count > 0).map(Kind::Service));
        machines += match kind {
            Kind::Database(database) => nodes(database),
            Kind::Service(service) => services[service],
            Kind::Here | Kind::Cache | Kind::Shared | Kind::Managed | Kind::Disks => 0,
            Kind::Balancer | Kind::BalancerUse | Kind::WaysOut | Kind::Traffic => 0,
        };
        agents += usize::from(first == Some(kind));
    }
    (agents < machines).then(|| format!("{} of {machines} run nothing: {IDLE}", machines - agents))
}

#[cfg(test)]
mod tests {
    use model::Sharing;

    use super::*;
    use crate::change::tests::shop_with_a_database;
    use crate::tests::{cloud, made, shop};
    use crate::{Relaxed, Terms, explain, html, render, to_json};

    /// Every mark has a row with its reason, and every row with a reason is seen on a bill.
    #[test]
    fn every_line_that_nothing_starts_is_marked_with_the_reason_of_the_table() {
        let mut idle = shop_with_a_database();
        idle.objectives.budget = None;
        let mut shut = cloud();
        shut.ingress.clear();
        let mut one = cloud();
        one.placement.providers = vec!["alicloud".into()];
        one.placement.zones = 1;
        one.objectives.availability = None;
        let mut seen = Vec::new();
        let mut own = cloud();
        own.placement.providers = vec!["gcp".into()];
        own.ingress[0].any_address = false;
        let mut theirs = shop_with_a_database();
        theirs.databases[0].managed = model::Managed::Yes;
        let [mut cached, mut sharing] = [cloud(), cloud()];
        for (app, machines) in [(&mut cached, Sharing::Apart), (&mut sharing, Sharing::Together)] {
            app.caches = vec![crate::cache::tests::cache("1G", 1, 1)];
            app.placement.machines = Some(machines);
        }
        for app in [shop(), cloud(), idle, shut, one, own, theirs, cached, sharing] {
            let plan = made(&app);
            for line in &plan.lines {
                let Some(why) = &line.not_applied else { continue };
                let row = TABLE.iter().find(|row| !row.3.is_empty() && why.ends_with(row.3));
                seen.push(row.unwrap_or_else(|| panic!("{}: {why}", line.item)).3);
            }
        }
        for row in TABLE {
            assert_eq!(row.3.is_empty(), row.2 == "never", "{row:?}");
            assert!(row.3.is_empty() || seen.contains(&row.3), "{row:?}");
        }
        assert!(made(&shop()).lines.iter().all(|line| line.not_applied.is_none()), "`up` starts all of it");
    }

    #[test]
    fn the_mark_stands_on_the_terminal_on_the_page_and_in_json() {
        let app = shop_with_a_database();
        let explained = explain(&app, &crate::tests::options(), &Terms::default(), "2026-11-29").unwrap();
        let plan = &explained.planned.plan;
        let marked = plan.lines.iter().filter(|line| line.not_applied.is_some()).count();
        assert!(marked > 0);
        let mark = "not applied by evenkeel: ";
        assert_eq!(render(plan, &Relaxed::default(), 300, false).matches(mark).count(), marked);
        assert_eq!(html(&explained, "2026-11-29").matches(mark).count(), marked);
        let json = to_json(plan, None, 0.0);
        let told = json["lines"].as_array().unwrap().iter().filter(|line| line["not_applied"].is_string());
        assert_eq!(told.count(), marked);
    }
}
