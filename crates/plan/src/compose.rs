//! The finished plan: from the candidate that was chosen to everything that is printed and stored.

use model::{App, Availability, Cause, Certificate, Money, Plan, PlanLine, PlanNumber, Rejected, ZoneName};

use crate::assumed::assumed;
use crate::catalog::{Catalog, Price, Unit};
use crate::chance::{Answer, Application};
use crate::database;
use crate::odds::assumptions;
use crate::proof::{Incumbent, Proof, SPACE, fingerprint};
use crate::risk::risks;
use crate::search::{Candidate, DISK_GB, Effort, Limits, Market, Space, balancer_units, machine_month};
use crate::size::{Request, Survive};
use crate::{Options, PlanError, Planned};

/// Relative slack when an availability is compared with what was asked: rounding must not decide.
pub(crate) const SLACK: f64 = 1e-9;

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

/// The best plan in `markets`, with the proof that nothing is cheaper.
///
/// # Errors
/// [`PlanError::TooLarge`] when no machine holds a replica; [`PlanError::Model`] when the model cannot be computed.
pub(crate) fn best(
    app: &App,
    request: &Request,
    markets: Vec<Market<'_>>,
    catalog: &Catalog,
) -> Result<Planned, PlanError> {
    let space = Space::new(app, request, markets, assumptions(app)?)?;
    let survive = request.survive();
    let asked = app.objectives.availability.map(|asked| asked.unavailability * (1.0 + SLACK));
    let limits = Limits { down: asked, survive, forbidden: false };
    let mut effort = Effort::default();
    let found = space.cheapest(limits, &mut effort);
    let mut proof = Proof {
        space: SPACE,
        catalogue: fingerprint(catalog),
        asked: app.objectives.availability.map(|asked| asked.unavailability),
        incumbent: found.best.as_ref().map(incumbent),
        model: None,
        topologies: found.topologies,
    };
    let chosen = match found.best {
        Some(chosen) => chosen,
        None => nearest(&space, limits, &mut effort).ok_or_else(|| too_large(&space))?,
    };
    let gap = effort
        .open
        .filter(|_| chosen.cost.0 > 0)
        .map_or(0.0, |open| ((chosen.cost.0 - open.0) as f64 / chosen.cost.0 as f64).max(0.0));
    let certificate = Certificate { gap, evaluated: effort.evaluated, pruned: effort.pruned };
    proof.model = modelled(&space, &chosen);
    let mut plan = compose(&space, &chosen, proof.model.as_ref(), certificate)?;
    plan.missed = missed(&space, &chosen, &plan, survive);
    plan.feasible = plan.missed.is_empty();
    plan.rejected = rejected(&space, &chosen, limits);
    plan.why = why(&space, &chosen, &plan);
    Ok(Planned { plan, proof })
}

fn incumbent(chosen: &Candidate<'_>) -> Incumbent {
    let name = |machine: Option<&crate::Machine>| machine.map(|machine| machine.name.to_string());
    let services = chosen.choices.iter().map(|choice| (name(choice.machine), choice.size.replicas));
    Incumbent {
        provider: chosen.market.provider().to_owned(),
        region: chosen.market.region().to_owned(),
        zones: chosen.zones,
        micro_usd: chosen.cost.0,
        unavailability: chosen.down,
        services: services.collect(),
        databases: chosen.databases.iter().map(|&machine| name(machine)).collect(),
    }
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
    let by_down =
        |a: &&Candidate<'a>, b: &&Candidate<'a>| a.down.total_cmp(&b.down).then(a.cost.cmp(&b.cost));
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

/// The chosen plan for the availability model; `None` when a service has fewer replicas than carry its peak, so that it is
/// never up.
fn modelled(space: &Space<'_>, chosen: &Candidate<'_>) -> Option<Application> {
    let odds = space.odds(chosen.zones);
    let sized = chosen.choices.iter().all(|choice| choice.size.needed <= choice.size.replicas);
    let fleets = chosen.choices.iter().zip(&space.app.services);
    let fleets = fleets.map(|(choice, service)| choice.fleet(service, chosen.zones, odds.machine));
    sized.then(|| odds.with(fleets.collect()))
}

fn availability(down: f64) -> Availability {
    Availability { unavailability: down }
}

fn compose(
    space: &Space<'_>,
    chosen: &Candidate<'_>,
    model: Option<&Application>,
    certificate: Certificate,
) -> Result<Plan, PlanError> {
    let app = space.app;
    let (provider, region) = (chosen.market.provider().to_owned(), chosen.market.region().to_owned());
    let lines = lines(space, chosen);
    let letters = match chosen.market {
        Market::Local => "abcdefghi",
        Market::Cloud(offer) => &offer.letters,
    };
    let zones = zone_names(&provider, &region, letters, chosen.zones);
    let databases = app.databases.iter().map(|database| database::planned(database, &zones)).collect();
    let services = chosen.choices.iter().zip(&app.services).map(|(choice, service)| choice.planned(service));
    let (down, causes, risks) = match model {
        Some(whole) => {
            let answer = space.odds(chosen.zones).answer(whole)?;
            let risks = risks(app, whole, &space.assumptions)?;
            (answer.total.get(), causes(whole, &answer), risks)
        }
        None => {
            let name = "fewer replicas than carry the peak".to_owned();
            let min_year = availability(1.0).downtime_min_year();
            (1.0, vec![Cause { name, min_year }], Vec::new())
        }
    };
    Ok(Plan {
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
        availability: availability(down),
        causes,
        risks,
        feasible: true,
        missed: Vec::new(),
        why: Vec::new(),
        rejected: Vec::new(),
        assumed: assumed(space, chosen),
        certificate,
    })
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
    for (&holding, database) in chosen.databases.iter().zip(databases) {
        let nodes = f64::from(database.nodes());
        lines.push(match holding {
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

fn causes(whole: &Application, answer: &Answer) -> Vec<Cause> {
    let cause = |(cause, share): &(_, crate::chance::Unavailability)| {
        let name = whole.cause(cause);
        Cause { name, min_year: share.min_year() }
    };
    answer.causes.iter().map(cause).collect()
}

/// Every objective that is not met, one sentence each.
fn missed(space: &Space<'_>, chosen: &Candidate<'_>, plan: &Plan, survive: Survive) -> Vec<String> {
    let objectives = &space.app.objectives;
    let mut missed = Vec::new();
    if let Some(asked) = objectives.availability
        && plan.availability.unavailability > asked.unavailability * (1.0 + SLACK)
    {
        let most = &plan.causes[0];
        missed.push(format!(
            "availability {asked} was asked, {} is reached: {} alone cost {:.1} minutes a year, and {:.1} may be lost",
            plan.availability,
            most.name,
            most.min_year,
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
    missed.extend(database::missed(space.app, chosen.zones, &space.assumptions));
    let usd = plan.usd_month;
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
        let on = holding.map(|kind| format!(" on {} {}", database.nodes(), kind.price.item));
        format!("{} x{}{}", database.name, database.nodes(), on.unwrap_or_default())
    });
    let services = services.chain(databases);
    let zones = if candidate.zones == 1 { "1 zone".to_owned() } else { format!("{} zones", candidate.zones) };
    format!("{place}, {zones}: {}", services.collect::<Vec<_>>().join(", "))
}

/// The next cheaper plan and what it breaks; the next safer one and what it costs.
fn rejected(space: &Space<'_>, chosen: &Candidate<'_>, limits: Limits) -> Vec<Rejected> {
    let mut found = Vec::new();
    let nothing = Limits { survive: Survive::Nothing, ..limits };
    let relaxed = [Limits { down: None, ..limits }, nothing, Limits { down: None, ..nothing }];
    let cheaper = relaxed.into_iter().filter_map(|relaxed| {
        let candidate = space.cheapest(relaxed, &mut Effort::aside()).best;
        candidate
            .filter(|candidate| candidate.cost < chosen.cost)
            .map(|candidate| (candidate, relaxed.survive))
    });
    if let Some((candidate, survive)) = cheaper.max_by_key(|(candidate, _)| candidate.cost) {
        let mut broken = Vec::new();
        if limits.down.is_some_and(|limit| candidate.down > limit) {
            broken.push("availability");
        }
        if survive != limits.survive {
            broken.push("the reserve for a loss");
        }
        let less = if is_local(&candidate) { "smaller" } else { "cheaper" };
        found.push(reject(space, &candidate, format!("next {less}: it breaks {}", broken.join(" and "))));
    }
    let safer = Limits { down: Some(chosen.down * (1.0 - SAFER)), ..limits };
    if let Some(candidate) = space.cheapest(safer, &mut Effort::aside()).best {
        let saved =
            availability(chosen.down).downtime_min_year() - availability(candidate.down).downtime_min_year();
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
        availability: availability(candidate.down),
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
