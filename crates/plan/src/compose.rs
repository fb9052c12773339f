//! The finished plan: from the candidate that was chosen to everything that is printed and stored.

use model::{
    App, Availability, Cause, Certificate, Money, Plan, PlanNumber, Rejected, RoundTrip, Sharing, ZoneName,
};

use crate::assumed::assumed;
use crate::bill::lines;
use crate::cache;
use crate::catalog::{Catalog, Machine};
use crate::certain::Certain;
use crate::chance::{Answer, Application};
use crate::database;
use crate::ground::Ground;
use crate::missed;
use crate::near;
use crate::odds::{Odds, SHARED};
use crate::proof::{Incumbent, Proof, SPACE, Stated, fingerprint};
use crate::render::{cents, minutes};
use crate::risk::{Risks, risks};
use crate::search::{Candidate, Effort, Limits, Market, Space};
use crate::search_space::{TOGETHER_SERVICES_MAX, TOGETHER_ZONES_MAX};
use crate::size::Survive;
use crate::standbys::Beside;
use crate::{PlanError, Planned, Terms};

/// Relative slack when an availability is compared with what was asked: rounding must not decide.
pub(crate) const SLACK: f64 = 1e-9;

/// Names of zones of this machine.
pub(crate) const LOCAL_LETTERS: &str = "abcdefghi";

/// A plan counts as safer when it spares at least this share of the downtime.
const SAFER: f64 = 1e-3;

/// The best plan of `space`.
pub(crate) struct Best<'a> {
    /// It as it was found.
    pub(crate) chosen: Candidate<'a>,
    /// What it had to keep.
    pub(crate) limits: Limits,
    /// It with its bill and its proof.
    pub(crate) planned: Planned,
}

/// What a plan for `app` must keep.
pub(crate) fn limits(ground: &Ground<'_>) -> Limits {
    let asked = ground.app.objectives.availability;
    let down = asked.map(|asked| asked.unavailability * (1.0 + SLACK));
    Limits { down, survive: ground.request.survive(), forbidden: false }
}

/// The best plan, with the proof that nothing is cheaper. `catalog`: as it was given, before the terms raised its prices; `beside`:
/// what was searched to count standbys.
///
/// # Errors
/// [`PlanError::TooLarge`] when no machine holds a replica; [`PlanError::Model`] when the model cannot be computed.
pub(crate) fn best<'a>(
    ground: &'a Ground<'_>,
    space: &Space<'a>,
    catalog: &Catalog,
    beside: Beside,
) -> Result<Best<'a>, PlanError> {
    let (app, limits) = (ground.app, limits(ground));
    let mut effort = Effort::default();
    let found = space.cheapest(limits, &mut effort);
    effort = effort.joined(beside.effort);
    let mut proof = Proof {
        space: SPACE,
        catalogue: fingerprint(catalog),
        terms: ground.terms.clone(),
        assumptions: Stated::all(&ground.assumptions),
        asked: app.objectives.availability.map(|asked| asked.unavailability),
        incumbent: found.best.as_ref().map(incumbent),
        model: None,
        standbys: beside.counted,
        topologies: found.topologies,
        others: beside.others,
    };
    let apart = found.apart;
    let chosen = match found.best {
        Some(chosen) => chosen,
        None => nearest(space, limits, &mut effort).ok_or_else(|| too_large(space))?,
    };
    let gap = effort
        .open
        .filter(|_| chosen.cost.0 > 0)
        .map_or(0.0, |open| ((chosen.cost.0 - open.0) as f64 / chosen.cost.0 as f64).max(0.0));
    let certificate = Certificate { gap, evaluated: effort.evaluated, pruned: effort.pruned };
    proof.model = modelled(app, space.odds(chosen.spread()), &chosen);
    let mut plan = compose(space, &chosen, (&ground.terms, proof.model.as_ref()), certificate)?;
    plan.missed = missed(space, &chosen, &plan, limits.survive);
    plan.feasible = plan.missed.is_empty();
    plan.rejected = rejected(ground, space, &chosen, limits)?;
    plan.why = why(space, &chosen, &plan);
    plan.why.extend(beside.why);
    plan.why.extend(shared(app, &chosen, apart));
    plan.certain = Certain {
        found: proof.incumbent.is_some(),
        // Without a plan there is no price that a gap could be a share of.
        gap: if proof.incumbent.is_some() { gap } else { f64::from(u8::from(effort.open.is_some())) },
        catalog: (!is_local(&chosen)).then_some((catalog, &proof.catalogue)),
        terms: &proof.terms,
        assumptions: proof.assumptions.len(),
    }
    .sentence();
    if let Some(list) =
        resold(&chosen, catalog).filter(|list| ground.terms.pessimistic.is_some() && !is_local(list))
    {
        plan.why.push(format!("at list prices as they were read it costs {} USD/month", bill(app, &list)));
    }
    if let Some(date) = catalog.updated.as_ref().filter(|_| !is_local(&chosen)) {
        plan.assumed.push(format!("prices are those of this version with an update of {date} over them"));
    }
    Ok(Best { chosen, limits, planned: Planned { plan, proof } })
}

pub(crate) fn incumbent(chosen: &Candidate<'_>) -> Incumbent {
    let name = |machine: Option<&crate::Machine>| machine.map(|machine| machine.name.to_string());
    let services = chosen.choices.iter().map(|choice| (name(choice.machine), choice.size.replicas));
    Incumbent {
        provider: chosen.market.provider().to_owned(),
        region: chosen.market.region().to_owned(),
        zones: chosen.zones,
        layout: chosen.layout,
        micro_usd: chosen.cost.0,
        unavailability: chosen.down,
        services: services.collect(),
        databases: chosen.databases.iter().map(|&machine| name(machine)).collect(),
        caches: chosen.caches.iter().map(|&machine| name(machine)).collect(),
    }
}

/// Nothing keeps every objective: the safest within the budget, else the cheapest.
pub(crate) fn nearest<'a>(space: &Space<'a>, limits: Limits, effort: &mut Effort) -> Option<Candidate<'a>> {
    let mut corners = space.corners(Limits { forbidden: false, ..limits }, effort);
    if corners.is_empty() {
        corners = space.corners(Limits { forbidden: true, ..limits }, effort);
    }
    let budget = space.app.objectives.budget;
    let affordable =
        |candidate: &&Candidate<'a>| budget.is_none_or(|budget| bill(space.app, candidate) <= budget);
    let by_down =
        |a: &&Candidate<'a>, b: &&Candidate<'a>| a.down.total_cmp(&b.down).then(a.cost.cmp(&b.cost));
    let safest = corners.iter().filter(affordable).min_by(by_down);
    safest.or_else(|| corners.iter().min_by_key(|candidate| candidate.cost)).cloned()
}

fn too_large(space: &Space<'_>) -> PlanError {
    let (app, markets) = (space.app, &space.markets);
    let held = |database: &model::Database| {
        markets.iter().any(|&market| database::is_held(database, market, database::machine(database, market)))
    };
    if let Some(database) = app.databases.iter().find(|&database| !held(database)) {
        if database.own_nodes() == 0 {
            return PlanError::NotManaged { database: database.name.to_string() };
        }
        let writes = database.writes.map_or_else(|| "no rate".to_owned(), |writes| writes.to_string());
        return PlanError::DatabaseTooLarge { database: database.name.to_string(), writes };
    }
    let cached = |one: &model::Cache| {
        markets.iter().any(|&market| cache::is_held(market, cache::machine(one, market)))
    };
    if let Some(one) = app.caches.iter().find(|&one| !cached(one)) {
        return PlanError::CacheTooLarge { cache: one.name.to_string(), memory: one.memory.to_string() };
    }
    let fits = |service: &model::Service| {
        markets.iter().any(|market| match market {
            Market::Local => true,
            Market::Cloud(offer) => offer.usable().any(|kind| crate::search::slots(service, kind) > 0),
        })
    };
    let service = app.services.iter().find(|service| !fits(service));
    if app.sharing() == Sharing::Together && service.is_none() {
        let why = "no machine type holds everything of a zone";
        return PlanError::Together { why: why.to_owned() };
    }
    let service = service.unwrap_or(&app.services[0]);
    PlanError::TooLarge {
        service: service.name.to_string(),
        cpus: service.resources.cpus.to_string(),
        memory: service.resources.memory.to_string(),
    }
}

pub(crate) fn is_local(candidate: &Candidate<'_>) -> bool {
    matches!(candidate.market, Market::Local)
}

/// A candidate as another catalogue sells it, for its bill; `None`: it does not sell all of it.
pub(crate) fn resold<'b>(candidate: &Candidate<'_>, catalog: &'b Catalog) -> Option<Candidate<'b>> {
    let market = match candidate.market {
        Market::Local => Market::Local,
        Market::Cloud(own) => {
            let is = |offer: &&crate::RegionOffer| {
                (&offer.provider, &offer.region) == (&own.provider, &own.region)
            };
            Market::Cloud(catalog.regions.iter().find(is)?)
        }
    };
    let find = |machine: Option<&Machine>| match (market, machine) {
        (Market::Cloud(offer), Some(own)) => {
            offer.machines.iter().find(|machine| machine.name == own.name).map(Some)
        }
        _ => Some(None),
    };
    let choices = candidate.choices.iter().map(|choice| Some(choice.on(find(choice.machine)?)));
    Some(Candidate {
        market,
        zones: candidate.zones,
        layout: candidate.layout,
        choices: choices.collect::<Option<_>>()?,
        databases: candidate.databases.iter().map(|&machine| find(machine)).collect::<Option<_>>()?,
        caches: candidate.caches.iter().map(|&machine| find(machine)).collect::<Option<_>>()?,
        machines: candidate.machines,
        uses: candidate.uses.clone(),
        cost: candidate.cost,
        down: candidate.down,
    })
}

/// What is really paid: on this machine the cost of a candidate only counts replicas.
pub(crate) fn bill(app: &App, candidate: &Candidate<'_>) -> Money {
    lines(app, candidate, &Terms::default()).iter().map(|line| line.usd_month).sum()
}

/// The chosen plan for the availability model; `None` when a service has fewer replicas than carry its peak, so that it is
/// never up.
pub(crate) fn modelled(app: &App, odds: &Odds, chosen: &Candidate<'_>) -> Option<Application> {
    let sized = chosen.choices.iter().all(|choice| choice.size.needed <= choice.size.replicas);
    let fleets = chosen.choices.iter().zip(&app.services);
    let fleets = fleets.map(|(choice, service)| choice.fleet(service, chosen.zones, odds.machine));
    sized.then(|| odds.with(fleets.collect()))
}

/// How far its users are from a plan; of this machine it is not known.
fn round_trips(space: &Space<'_>, chosen: &Candidate<'_>) -> Vec<RoundTrip> {
    match chosen.market {
        Market::Local => Vec::new(),
        Market::Cloud(offer) => near::round_trips(space.app, offer, &space.assumptions),
    }
}

fn availability(down: f64) -> Availability {
    Availability { unavailability: down }
}

fn compose(
    space: &Space<'_>,
    chosen: &Candidate<'_>,
    (terms, model): (&Terms, Option<&Application>),
    certificate: Certificate,
) -> Result<Plan, PlanError> {
    let app = space.app;
    let (provider, region) = (chosen.market.provider().to_owned(), chosen.market.region().to_owned());
    let lines = lines(app, chosen, terms);
    let letters = match chosen.market {
        Market::Local => LOCAL_LETTERS,
        Market::Cloud(offer) => &offer.letters,
    };
    let zones = zone_names(&provider, &region, letters, chosen.zones);
    let databases = app.databases.iter().map(|database| database::planned(database, &zones)).collect();
    let services = chosen.choices.iter().zip(&app.services).map(|(choice, service)| choice.planned(service));
    let (down, causes, risks) = match model {
        Some(whole) => {
            let answer = space.odds(chosen.spread()).answer(whole)?;
            let risks = risks(app, whole, &space.assumptions)?;
            (answer.total.get(), causes(whole, &answer), risks)
        }
        None => {
            let name = "fewer replicas than carry the peak".to_owned();
            let min_year = availability(1.0).downtime_min_year();
            let none = Risks { missed: Vec::new(), outages: Vec::new(), losses: Vec::new() };
            (1.0, vec![Cause { name, min_year }], none)
        }
    };
    Ok(Plan {
        number: PlanNumber(0),
        parent: None,
        app: app.name.clone(),
        objectives: app.objectives.clone(),
        zones,
        layout: chosen.layout,
        provider,
        region,
        services: services.collect(),
        databases,
        caches: app.caches.clone(),
        round_trips: round_trips(space, chosen),
        ingress: app.ingress.clone(),
        usd_month: lines.iter().map(|line| line.usd_month).sum(),
        lines,
        availability: availability(down),
        causes,
        risks: risks.missed,
        outages: risks.outages,
        losses: risks.losses,
        feasible: true,
        missed: Vec::new(),
        why: Vec::new(),
        rejected: Vec::new(),
        assumed: assumed(space, chosen, terms),
        certain: String::new(),
        certificate,
    })
}

/// `a b c` on this machine; `eu-central-1a` or `europe-west3-a` in a cloud.
pub(crate) fn zone_names(provider: &str, region: &str, letters: &str, zones: u32) -> Vec<ZoneName> {
    let letters = letters.chars().take(zones as usize);
    let name = |letter: char| match provider {
        "local" => letter.to_string(),
        "gcp" => format!("{region}-{letter}"),
        // `cn-hongkong-b`, but `ap-southeast-1b` (Alibaba Cloud, "Regions and zones").
        "alicloud" if !region.ends_with(|last: char| last.is_ascii_digit()) => format!("{region}-{letter}"),
        _ => format!("{region}{letter}"),
    };
    letters.filter_map(|letter| ZoneName::new(&name(letter)).ok()).collect()
}

fn causes(whole: &Application, answer: &Answer) -> Vec<Cause> {
    let cause = |(cause, share): &(_, crate::chance::Unavailability)| {
        let name = whole.cause(cause);
        Cause { name, min_year: share.min_year() }
    };
    answer.causes.iter().map(cause).collect()
}

/// Why no more than `may_min` minutes a year cannot be had, as far as causes tell it.
fn short(causes: &[Cause], may_min: f64) -> String {
    let fixed = |cause: &&Cause| SHARED.iter().any(|(_, name)| *name == cause.name);
    let fixed_min: f64 = causes.iter().filter(fixed).map(|cause| cause.min_year).sum();
    let Some(most) = causes.first() else { return format!("{may_min:.1} minutes a year may be lost") };
    if fixed_min <= may_min {
        let (name, min) = (&most.name, most.min_year);
        return format!("{name} alone cost {min:.1} minutes a year, and {may_min:.1} may be lost");
    }
    let all: Vec<String> =
        causes.iter().filter(fixed).map(|cause| format!("{} ({:.1})", cause.name, cause.min_year)).collect();
    format!(
        "{} take {fixed_min:.1} minutes a year whatever is bought, and {may_min:.1} may be lost; where yours are known to be \
         rarer or shorter, `assume:` says so",
        all.join(", ")
    )
}

/// Every objective that is not met, one sentence each.
fn missed(space: &Space<'_>, chosen: &Candidate<'_>, plan: &Plan, survive: Survive) -> Vec<String> {
    let objectives = &space.app.objectives;
    let mut missed = Vec::new();
    if let Some(asked) = objectives.availability
        && plan.availability.unavailability > asked.unavailability * (1.0 + SLACK)
    {
        let why = short(&plan.causes, asked.downtime_min_year());
        missed.push(format!("availability {asked} was asked, {} is reached: {why}", plan.availability));
    }
    missed.extend(missed::by_zones(space.app, survive == Survive::Zone, chosen.zones));
    for (choice, service) in chosen.choices.iter().zip(&space.app.services) {
        let size = choice.size;
        if size.base > size.replicas {
            missed.push(format!(
                "`{}` needs {} replicas, {} of them at peak and the rest in reserve, and `scale.max` is {}",
                service.name, size.base, size.needed, service.scale.max
            ));
        }
    }
    missed.extend(missed::by_losses(space.app, chosen.spread(), &space.assumptions));
    missed.extend(missed::by_price(space.app, plan.usd_month));
    if space.app.sharing() == Sharing::Together && !is_local(chosen) && chosen.layout.is_apart() {
        let meant = match space.app.placement.machines {
            Some(_) => "`machines: together` was asked",
            None => "`machines` was left out, which means `together`",
        };
        missed.push(format!("{meant}, and nothing that keeps everything else stands on one machine a zone"));
    }
    missed
}

pub(crate) fn name(app: &App, candidate: &Candidate<'_>) -> String {
    let place = match candidate.market {
        Market::Local => "this machine".to_owned(),
        Market::Cloud(offer) => format!("{} {}", offer.provider, offer.region),
    };
    let shared = candidate.shared();
    let own = |machine: Option<&Machine>| shared.is_none() && machine.is_some();
    let services = candidate.choices.iter().zip(&app.services).map(|(choice, service)| {
        let on = choice
            .machine
            .filter(|_| own(choice.machine))
            .map(|kind| format!(" on {} {}", choice.machines, kind.price.item));
        format!("{} x{}{}", service.name, choice.size.replicas, on.unwrap_or_default())
    });
    let databases = candidate.databases.iter().zip(&app.databases).map(|(holding, database)| {
        if database.own_nodes() == 0 {
            return format!("{} run by the provider", database.name);
        }
        let on = holding
            .filter(|_| own(*holding))
            .map(|kind| format!(" on {} {}", database.nodes(), kind.price.item));
        format!("{} x{}{}", database.name, database.nodes(), on.unwrap_or_default())
    });
    let caches = candidate.caches.iter().zip(&app.caches).map(|(holding, one)| {
        let on = holding.filter(|_| own(*holding));
        let on = on.map(|kind| format!(" on {} {}", one.nodes(), kind.price.item));
        format!("{} x{}{}", one.name, one.nodes(), on.unwrap_or_default())
    });
    let services = services.chain(databases).chain(caches);
    let zones = if candidate.zones == 1 { "1 zone".to_owned() } else { format!("{} zones", candidate.zones) };
    let on = shared.map(|kind| format!(", {} {}, one a zone", candidate.machines, kind.price.item));
    let on = on.unwrap_or_default();
    format!("{place}, {zones}{on}: {}", services.collect::<Vec<_>>().join(", "))
}

/// The next cheaper plan and what it breaks; the next safer one and what it costs.
fn rejected(
    ground: &Ground<'_>,
    space: &Space<'_>,
    chosen: &Candidate<'_>,
    limits: Limits,
) -> Result<Vec<Rejected>, PlanError> {
    let mut found = Vec::new();
    let nothing = Limits { survive: Survive::Nothing, ..limits };
    // Without a reserve for a zone fewer zones may do.
    let bare_app = without_reserve(ground.app);
    let bare_ground = ground.asking(&bare_app, &ground.terms)?;
    let bare = space.asking(&bare_app, &bare_ground.request).map_or_else(|| bare_ground.space(), Ok)?;
    let relaxed = [
        (space, Limits { down: None, ..limits }),
        (&bare, nothing),
        (&bare, Limits { down: None, ..nothing }),
    ];
    let cheaper = relaxed.into_iter().filter_map(|(space, relaxed)| {
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
        let reason = format!("next {less}: it breaks {}", broken.join(" and "));
        found.push(reject(space, &candidate, None, reason));
    }
    let safer = Limits { down: Some(chosen.down * (1.0 - SAFER)), ..limits };
    found.extend(
        space
            .cheapest(safer, &mut Effort::aside())
            .best
            .map(|candidate| safer_one(space, chosen, &candidate)),
    );
    Ok(found)
}

/// The same file, which keeps nothing in reserve.
pub(crate) fn without_reserve(app: &App) -> App {
    let mut bare = app.clone();
    bare.objectives.survive.clear();
    bare.objectives.survive_nothing = true;
    bare
}

/// The next safer plan, with what a minute that it avoids costs.
fn safer_one(space: &Space<'_>, chosen: &Candidate<'_>, candidate: &Candidate<'_>) -> Rejected {
    let saved =
        availability(chosen.down).downtime_min_year() - availability(candidate.down).downtime_min_year();
    let more = bill(space.app, candidate).0 - bill(space.app, chosen).0;
    let each = match is_local(candidate) {
        true => None,
        false => usd_per_avoided_min(Money(more).usd(), saved),
    };
    let price = match (is_local(candidate), more, each) {
        (true, ..) => {
            let replicas = candidate.cost.0 - chosen.cost.0;
            format!("{replicas} more {}", if replicas == 1 { "replica" } else { "replicas" })
        }
        (false, 0, _) => "the same price".to_owned(),
        (false, more, Some(each)) => {
            let more = cents(Money(more).usd());
            format!("{more} USD/month more, {} USD for each minute avoided (over a year)", cents(each))
        }
        (false, more, None) => format!("{} USD/month more", cents(Money(more).usd())),
    };
    let reason = format!("next safer: {} minutes a year less for {price}", minutes(saved));
    reject(space, candidate, each, reason)
}

/// What a minute of downtime that is avoided costs: twelve months of what is paid more over the minutes a year.
pub(crate) fn usd_per_avoided_min(more_usd_month: f64, avoided_min_year: f64) -> Option<f64> {
    (avoided_min_year > 0.0).then(|| more_usd_month * 12.0 / avoided_min_year)
}

fn reject(
    space: &Space<'_>,
    candidate: &Candidate<'_>,
    usd_per_avoided_min: Option<f64>,
    reason: String,
) -> Rejected {
    Rejected {
        name: name(space.app, candidate),
        usd_month: bill(space.app, candidate),
        availability: availability(candidate.down),
        usd_per_avoided_min,
        reason,
    }
}

/// Why one machine a zone holds everything, and what `apart` costs, the cheapest that does not.
fn shared(app: &App, chosen: &Candidate<'_>, apart: Option<Money>) -> Option<String> {
    let kind = chosen.shared()?;
    let apart = match apart {
        _ if app.sharing() == Sharing::Together => {
            let why = match app.placement.machines {
                Some(_) => "`machines: together` in `placement` asks for that",
                None => {
                    "that is what this version starts, and what is meant when `placement` leaves `machines` out"
                }
            };
            format!(
                "{why}; `--what-if \"machines any\"` tells what machines of their own would cost, of which it starts one a zone"
            )
        }
        Some(cost) => format!(
            "the cheapest with machines of their own for each costs {cost} USD/month (`machines: apart` in `placement` asks for that)"
        ),
        None => "nothing with machines of their own for each keeps every objective".to_owned(),
    };
    Some(format!(
        "one machine a zone, {} x {}, holds all replicas{} of its zone: {apart}",
        chosen.machines,
        kind.price.item,
        if app.caches.is_empty() && app.databases.iter().all(|one| one.own_nodes() == 0) {
            ""
        } else {
            " and nodes"
        }
    ))
}

/// That it was not looked at whether one machine a zone may hold everything, and why not.
fn unshared(app: &App, chosen: &Candidate<'_>) -> Option<String> {
    let (services, zones) = (app.services.len(), chosen.zones);
    let beyond = services > TOGETHER_SERVICES_MAX || zones > TOGETHER_ZONES_MAX;
    let asked = matches!(chosen.market, Market::Cloud(_)) && app.sharing() == Sharing::Any;
    (asked && beyond).then(|| {
        format!(
            "one machine a zone for everything was not looked at: that is for at most {TOGETHER_SERVICES_MAX} services and \
             {TOGETHER_ZONES_MAX} zones, and this has {services} and {zones}"
        )
    })
}

fn why(space: &Space<'_>, chosen: &Candidate<'_>, plan: &Plan) -> Vec<String> {
    let mut why = Vec::new();
    for (choice, service) in chosen.choices.iter().zip(&space.app.services) {
        let size = choice.size;
        why.push(if size.replicas == 1 {
            format!("the one replica of `{}` is needed at peak: there is no reserve", service.name)
        } else if size.needed == size.replicas {
            format!(
                "all {} replicas of `{}` are needed at peak: there is no reserve",
                size.replicas, service.name
            )
        } else {
            format!(
                "{} of the {} replicas of `{}` carry the peak; the rest is reserve",
                size.needed, size.replicas, service.name
            )
        });
    }
    why.extend(space.app.databases.iter().map(|database| database::why(database, chosen.spread())));
    why.extend(space.app.caches.iter().map(|one| cache::why(one, chosen.spread())));
    if let Some(first) = plan.causes.first() {
        let all = plan.availability.downtime_min_year();
        why.push(format!(
            "most downtime comes from {}: {} of {} minutes a year",
            first.name,
            minutes(first.min_year),
            minutes(all)
        ));
        if first.name == "bad deploys" {
            why.push("no machine or zone buys that off; fewer or shorter bad deploys do".to_owned());
        }
    }
    why.extend(unshared(space.app, chosen));
    why
}
