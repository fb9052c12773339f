//! The finished plan: from the candidate that was chosen to everything that is printed and stored.

use model::{App, Availability, Cause, Certificate, Money, Plan, PlanLine, PlanNumber, Rejected, ZoneName};

use crate::availability::{Downtime, Outage, Priors};
use crate::catalog::{Price, Unit};
use crate::database;
use crate::search::{Candidate, DISK_GB, Effort, Limits, Market, Space, balancer_units, machine_month};
use crate::size::{Request, Survive};
use crate::{Options, PlanError};

/// Relative slack when an availability is compared with what was asked: rounding must not decide.
const SLACK: f64 = 1e-9;

/// A plan counts as safer when it spares at least this share of the downtime.
const SAFER: f64 = 1e-3;

/// Chooses where the app may go: this machine, or regions of the catalogue.
///
/// # Errors
/// An unknown provider or region, or a service that no machine type holds.
pub(crate) fn markets<'a>(app: &App, options: &'a Options) -> Result<Vec<Market<'a>>, PlanError> {
    let asked: Vec<&str> = match &options.provider {
        Some(only) => vec![only],
        None => app.placement.providers.iter().map(String::as_str).collect(),
    };
    if asked.is_empty() || asked == ["local"] {
        return Ok(vec![Market::Local]);
    }
    let known = options.catalog.providers();
    if let Some(name) = asked.iter().find(|name| !known.contains(name)) {
        let known = format!("local {}", known.join(" "));
        return Err(PlanError::UnknownProvider { name: (*name).to_owned(), known });
    }
    let offers = options.catalog.regions.iter().filter(|offer| asked.contains(&offer.provider.as_str()));
    let home = app.placement.regions.first();
    let here: Vec<Market<'a>> = offers
        .clone()
        .filter(|offer| home.map_or(offer.closed.is_none(), |home| offer.is(home)))
        .map(Market::Cloud)
        .collect();
    match (here.is_empty(), home) {
        (true, Some(home)) => {
            let mut places: Vec<&str> = offers.map(|offer| offer.place.as_str()).collect();
            places.sort_unstable();
            places.dedup();
            Err(PlanError::UnknownRegion { region: home.0.clone(), known: places.join(" ") })
        }
        _ => Ok(here),
    }
}

/// The best plan in `markets`.
///
/// # Errors
/// [`PlanError::TooLarge`] when no machine holds a replica.
pub(crate) fn best(app: &App, request: &Request, markets: Vec<Market<'_>>) -> Result<Plan, PlanError> {
    let space = Space { app, request, markets, priors: Priors::default() };
    let survive = match (request.survive_zone, request.survive_node) {
        (true, _) => Survive::Zone,
        (false, true) => Survive::Node,
        (false, false) => Survive::Nothing,
    };
    let asked = app.objectives.availability.map(|asked| asked.unavailability * (1.0 + SLACK));
    let limits = Limits { down: asked, survive, forbidden: false };
    let mut effort = Effort::default();
    let chosen = match space.cheapest(limits, &mut effort) {
        Some(chosen) => chosen,
        None => nearest(&space, limits, &mut effort).ok_or_else(|| too_large(&space))?,
    };
    let gap = effort
        .open
        .filter(|_| chosen.cost.0 > 0)
        .map_or(0.0, |open| ((chosen.cost.0 - open.0) as f64 / chosen.cost.0 as f64).max(0.0));
    let certificate = Certificate { gap, evaluated: effort.evaluated, pruned: effort.pruned };
    let mut plan = compose(&space, &chosen, certificate);
    plan.missed = missed(&space, &chosen, survive, plan.usd_month);
    plan.feasible = plan.missed.is_empty();
    plan.rejected = rejected(&space, &chosen, limits);
    plan.why = why(&space, &chosen, &plan);
    Ok(plan)
}

/// Nothing keeps every objective: the safest within the budget, else the cheapest.
fn nearest<'a>(space: &Space<'a>, limits: Limits, effort: &mut Effort) -> Option<Candidate<'a>> {
    let mut corners = space.corners(Limits { forbidden: false, ..limits }, effort);
    if corners.is_empty() {
        corners = space.corners(Limits { forbidden: true, ..limits }, effort);
    }
    let budget = space.app.objectives.budget;
    let affordable =
        |candidate: &&Candidate<'a>| budget.is_none_or(|budget| bill(space, candidate) <= budget);
    let by_down = |a: &&Candidate<'a>, b: &&Candidate<'a>| {
        a.down.total().total_cmp(&b.down.total()).then(a.cost.cmp(&b.cost))
    };
    let safest = corners.iter().filter(affordable).min_by(by_down);
    safest.or_else(|| corners.iter().min_by_key(|candidate| candidate.cost)).cloned()
}

fn too_large(space: &Space<'_>) -> PlanError {
    let (app, markets) = (space.app, &space.markets);
    let held = |database: &model::Database| {
        markets
            .iter()
            .any(|&market| matches!(market, Market::Local) || database::machine(database, market).is_some())
    };
    if let Some(database) = app.databases.iter().find(|&database| !held(database)) {
        let writes = database.writes.map_or_else(|| "no rate".to_owned(), |writes| writes.to_string());
        return PlanError::DatabaseTooLarge { database: database.name.to_string(), writes };
    }
    let fits = |service: &model::Service| {
        markets.iter().any(|market| match market {
            Market::Local => true,
            Market::Cloud(offer) => offer.usable().any(|kind| crate::search::slots(service, kind) > 0),
        })
    };
    let service = app.services.iter().find(|service| !fits(service)).unwrap_or(&app.services[0]);
    PlanError::TooLarge {
        service: service.name.to_string(),
        cpus: service.resources.cpus.to_string(),
        memory: service.resources.memory.to_string(),
    }
}

fn is_local(candidate: &Candidate<'_>) -> bool {
    matches!(candidate.market, Market::Local)
}

/// What is really paid: on this machine the cost of a candidate only counts replicas.
fn bill(space: &Space<'_>, candidate: &Candidate<'_>) -> Money {
    lines(space, candidate).iter().map(|line| line.usd_month).sum()
}

fn availability(down: &Downtime) -> Availability {
    Availability { unavailability: down.total() }
}

fn compose(space: &Space<'_>, chosen: &Candidate<'_>, certificate: Certificate) -> Plan {
    let app = space.app;
    let (provider, region) = match chosen.market {
        Market::Local => ("local".to_owned(), "local".to_owned()),
        Market::Cloud(offer) => (offer.provider.clone(), offer.region.clone()),
    };
    let lines = lines(space, chosen);
    let letters = match chosen.market {
        Market::Local => "abcdefghi",
        Market::Cloud(offer) => &offer.letters,
    };
    let zones = zone_names(&provider, &region, letters, chosen.zones);
    let databases = app.databases.iter().map(|database| database::planned(database, &zones)).collect();
    let services = chosen.choices.iter().zip(&app.services).map(|(choice, service)| choice.planned(service));
    Plan {
        number: PlanNumber(0),
        parent: None,
        app: app.name.clone(),
        objectives: app.objectives.clone(),
        zones,
        provider,
        region,
        services: services.collect(),
        databases,
        ingress: app.ingress.clone(),
        usd_month: lines.iter().map(|line| line.usd_month).sum(),
        lines,
        availability: availability(&chosen.down),
        causes: causes(&chosen.down),
        feasible: true,
        missed: Vec::new(),
        why: Vec::new(),
        rejected: Vec::new(),
        assumed: assumed(space, chosen),
        certificate,
    }
}

/// `a b c` on this machine; `eu-central-1a` or `europe-west3-a` in a cloud.
fn zone_names(provider: &str, region: &str, letters: &str, zones: u32) -> Vec<ZoneName> {
    let letters = letters.chars().take(zones as usize);
    let name = |letter: char| match provider {
        "local" => letter.to_string(),
        "gcp" => format!("{region}-{letter}"),
        _ => format!("{region}{letter}"),
    };
    letters.filter_map(|letter| ZoneName::new(&name(letter)).ok()).collect()
}

fn line(item: String, quantity: f64, unit_usd: f64, price: (&str, &str)) -> PlanLine {
    let usd_month = Money::from_usd(quantity * unit_usd);
    PlanLine { item, quantity, unit_usd, usd_month, source: price.0.to_owned(), date: price.1.to_owned() }
}

/// Where and when a price was read.
fn read(price: &Price) -> (&str, &str) {
    (&price.source.document, &price.source.date)
}

fn lines(space: &Space<'_>, chosen: &Candidate<'_>) -> Vec<PlanLine> {
    let mut lines = Vec::new();
    let services = &space.app.services;
    for (choice, service) in chosen.choices.iter().zip(services) {
        match choice.machine {
            Some(kind) => {
                let item = format!("{} for {}", kind.price.item, service.name);
                let price = read(&kind.price);
                lines.push(line(item, f64::from(choice.machines), machine_month(kind), price));
            }
            None => {
                let item = format!("replica of {} on this machine", service.name);
                let price = ("this machine is not billed", "");
                lines.push(line(item, f64::from(choice.size.replicas), 0.0, price));
            }
        }
    }
    let databases = &space.app.databases;
    for (holding, database) in chosen.databases.iter().zip(databases) {
        let nodes = f64::from(database.nodes());
        lines.push(match holding.machine {
            Some(kind) => {
                let item = format!("{} for {}", kind.price.item, database.name);
                line(item, nodes, machine_month(kind), read(&kind.price))
            }
            None => {
                let item = format!("node of {} on this machine", database.name);
                line(item, nodes, 0.0, ("this machine is not billed", ""))
            }
        });
    }
    let Market::Cloud(offer) = chosen.market else { return lines };
    if let Some(disk) = offer.unit(Unit::DiskGbMonth) {
        for (choice, service) in chosen.choices.iter().zip(services) {
            let item = format!("GB of {} for {}", disk.item, service.name);
            let price = read(disk);
            lines.push(line(item, DISK_GB * f64::from(choice.machines), disk.usd, price));
        }
        for database in databases {
            let item = format!("GB of {} for {}", disk.item, database.name);
            let price = read(disk);
            lines.push(line(
                item,
                database::disk_gb(database) * f64::from(database.nodes()),
                disk.usd,
                price,
            ));
        }
    }
    let units = balancer_units(space.app);
    for (unit, quantity) in [(Unit::BalancerMonth, 1.0), (Unit::BalancerUnitMonth, units)] {
        if let Some(price) = offer.unit(unit) {
            lines.push(line(price.item.to_string(), quantity, price.usd, read(price)));
        }
    }
    lines
}

fn causes(down: &Downtime) -> Vec<Cause> {
    let minutes = |share: f64| Availability { unavailability: share }.downtime_min_year();
    let mut causes = vec![
        Cause { name: "bad deploys".to_owned(), min_year: minutes(down.deploys) },
        Cause { name: "loss of the region".to_owned(), min_year: minutes(down.region) },
        Cause { name: "loss of zones".to_owned(), min_year: minutes(down.zones) },
        Cause { name: "loss of machines".to_owned(), min_year: minutes(down.machines) },
    ];
    if down.failovers > 0.0 {
        causes.push(Cause { name: "failovers of databases".to_owned(), min_year: minutes(down.failovers) });
    }
    causes.sort_by(|a, b| b.min_year.total_cmp(&a.min_year));
    causes
}

/// Every objective that is not met, one sentence each.
fn missed(space: &Space<'_>, chosen: &Candidate<'_>, survive: Survive, usd: Money) -> Vec<String> {
    let objectives = &space.app.objectives;
    let mut missed = Vec::new();
    if let Some(asked) = objectives.availability
        && chosen.down.total() > asked.unavailability * (1.0 + SLACK)
    {
        let causes = causes(&chosen.down);
        missed.push(format!(
            "availability {asked} was asked, {} is reached: {} alone cost {:.1} minutes a year, and {:.1} may be lost",
            availability(&chosen.down),
            causes[0].name,
            causes[0].min_year,
            asked.downtime_min_year(),
        ));
    }
    if survive == Survive::Zone && chosen.zones == 1 {
        missed.push("`survive: [zone]` was asked, and there is one zone".to_owned());
    }
    if objectives.survive.contains(&model::Scope::Region) {
        missed.push("`survive: [region]` was asked, and this version plans one region".to_owned());
    }
    for (choice, service) in chosen.choices.iter().zip(&space.app.services) {
        let size = choice.size;
        if size.base > size.replicas {
            missed.push(format!(
                "`{}` needs {} replicas, {} of them at peak and the rest in reserve, and `scale.max` is {}",
                service.name, size.base, size.needed, service.scale.max
            ));
        }
    }
    missed.extend(database::missed(space.app, chosen.zones, &space.priors));
    if let Some(budget) = objectives.budget.filter(|budget| usd > *budget) {
        let over = Money(usd.0 - budget.0);
        missed.push(format!("the budget is {budget} USD/month, and this costs {usd}, {over} more"));
    }
    missed
}

fn name(space: &Space<'_>, candidate: &Candidate<'_>) -> String {
    let place = match candidate.market {
        Market::Local => "this machine".to_owned(),
        Market::Cloud(offer) => format!("{} {}", offer.provider, offer.region),
    };
    let services = candidate.choices.iter().zip(&space.app.services).map(|(choice, service)| {
        let on = choice.machine.map(|kind| format!(" on {} {}", choice.machines, kind.price.item));
        format!("{} x{}{}", service.name, choice.size.replicas, on.unwrap_or_default())
    });
    let databases = candidate.databases.iter().zip(&space.app.databases).map(|(holding, database)| {
        let on = holding.machine.map(|kind| format!(" on {} {}", database.nodes(), kind.price.item));
        format!("{} x{}{}", database.name, database.nodes(), on.unwrap_or_default())
    });
    let services = services.chain(databases);
    let zones = if candidate.zones == 1 { "1 zone".to_owned() } else { format!("{} zones", candidate.zones) };
    format!("{place}, {zones}: {}", services.collect::<Vec<_>>().join(", "))
}

/// The next cheaper plan and what it breaks; the next safer one and what it costs.
fn rejected(space: &Space<'_>, chosen: &Candidate<'_>, limits: Limits) -> Vec<Rejected> {
    let mut effort = Effort::default();
    let mut found = Vec::new();
    let nothing = Limits { survive: Survive::Nothing, ..limits };
    let relaxed = [Limits { down: None, ..limits }, nothing, Limits { down: None, ..nothing }];
    let cheaper = relaxed.into_iter().filter_map(|relaxed| {
        let candidate = space.cheapest(relaxed, &mut effort);
        candidate
            .filter(|candidate| candidate.cost < chosen.cost)
            .map(|candidate| (candidate, relaxed.survive))
    });
    if let Some((candidate, survive)) = cheaper.max_by_key(|(candidate, _)| candidate.cost) {
        let mut broken = Vec::new();
        if limits.down.is_some_and(|limit| candidate.down.total() > limit) {
            broken.push("availability");
        }
        if survive != limits.survive {
            broken.push("the reserve for a loss");
        }
        let less = if is_local(&candidate) { "smaller" } else { "cheaper" };
        found.push(reject(space, &candidate, format!("next {less}: it breaks {}", broken.join(" and "))));
    }
    let safer = Limits { down: Some(chosen.down.total() * (1.0 - SAFER)), ..limits };
    if let Some(candidate) = space.cheapest(safer, &mut effort) {
        let saved = availability(&chosen.down).downtime_min_year()
            - availability(&candidate.down).downtime_min_year();
        let more = bill(space, &candidate).0 - bill(space, chosen).0;
        let price = if is_local(&candidate) {
            let replicas = candidate.cost.0 - chosen.cost.0;
            format!("{replicas} more {}", if replicas == 1 { "replica" } else { "replicas" })
        } else {
            format!("{} USD/month more", Money(more))
        };
        found.push(reject(
            space,
            &candidate,
            format!("next safer: {saved:.1} minutes a year less for {price}"),
        ));
    }
    found
}

fn reject(space: &Space<'_>, candidate: &Candidate<'_>, reason: String) -> Rejected {
    Rejected {
        name: name(space, candidate),
        usd_month: bill(space, candidate),
        availability: availability(&candidate.down),
        reason,
    }
}

fn why(space: &Space<'_>, chosen: &Candidate<'_>, plan: &Plan) -> Vec<String> {
    let mut why = Vec::new();
    for (choice, service) in chosen.choices.iter().zip(&space.app.services) {
        let size = choice.size;
        why.push(format!(
            "{} of the {} replicas of `{}` carry the peak; the rest is reserve",
            size.needed, size.replicas, service.name
        ));
    }
    why.extend(space.app.databases.iter().map(|database| database::why(database, chosen.zones)));
    if let Some(first) = plan.causes.first() {
        let all = plan.availability.downtime_min_year();
        why.push(format!(
            "most downtime comes from {}: {:.1} of {all:.1} minutes a year",
            first.name, first.min_year
        ));
        if first.name == "bad deploys" {
            why.push("no machine or zone buys that off; fewer or shorter bad deploys do".to_owned());
        }
    }
    if !is_local(chosen) && plan.feasible {
        why.push(match plan.certificate.gap {
            0.0 => "nothing cheaper in the catalogue meets every objective".to_owned(),
            gap => format!("the search was cut short: something up to {:.1}% cheaper may exist", gap * 100.0),
        });
    }
    why
}

/// Every prior and every default.
fn assumed(space: &Space<'_>, chosen: &Candidate<'_>) -> Vec<String> {
    let mut all = space.request.assumed.clone();
    let Priors { zone, node, deploy, region } = space.priors;
    let rate = |outage: Outage| {
        let length = if outage.hours < 1.0 {
            format!("{:.0} min", outage.hours * 60.0)
        } else {
            format!("{} h", outage.hours)
        };
        format!("{}/year of {length}", outage.per_year)
    };
    all.push(format!(
        "a zone fails {}; prior from published outages, to be replaced by what is measured",
        rate(zone)
    ));
    all.push(format!(
        "a machine fails {} (rate: Dean 2008, 1,000 failures in 1,800 server-years); no automatic replacement is counted",
        rate(node)
    ));
    all.push(format!("a deploy breaks every replica {}; prior", rate(deploy)));
    all.push(format!("the region fails {}; prior from outages of large regions 2021 to 2025", rate(region)));
    all.push("a year has 8,766 h, a month on a bill 730 h".to_owned());
    all.extend(database::assumed(space.app, is_local(chosen)));
    match chosen.market {
        Market::Local => {
            all.push(
                "availability is that of the same layout with each zone a data centre and each replica a machine; \
                 this run on one machine is not highly available"
                    .to_owned(),
            );
        }
        Market::Cloud(offer) => {
            all.push(format!(
                "{} {} has {} zones ({})",
                offer.provider, offer.region, offer.zones, offer.zones_source.document
            ));
            all.push(
                "each service has machines of its own; only x86-64 types without burst credits are used"
                    .to_owned(),
            );
            all.push("one vCPU of any type is taken as one CPU of `capacity.rps_per_cpu`".to_owned());
            all.push("traffic is not counted: how large answers are is not known".to_owned());
            all.push("the provider's load balancer is taken as never down".to_owned());
        }
    }
    let objectives = &space.app.objectives;
    if objectives.latency.is_some() {
        all.push("`latency` is not computed by this version; a drill measures it".to_owned());
    }
    if objectives.rto != model::PerScope::default() || objectives.rpo != model::PerScope::default() {
        all.push(match space.app.databases.is_empty() {
            true => "`rto` and `rpo` are not computed by this version; a drill measures them".to_owned(),
            false => "`rto` and `rpo` of a node and a zone are computed for databases alone, of a region not at all; a \
                      drill measures them"
                .to_owned(),
        });
    }
    if space.app.placement.regions.len() > 1 && !is_local(chosen) {
        all.push("only the first of `placement.regions` is planned by this version".to_owned());
    }
    all
}
