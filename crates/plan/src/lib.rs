//! From what was asked to what should run: zones, machines, replicas, price and availability, with reasons.
//!
//! Promise: of the plans in the space that is searched (`docs/reference/plan-space.md`), the cheapest one that meets every
//! objective, with a proof that others can check; the same file and catalogue always give the same plan; every number
//! rests on a printed source or a printed assumption. Pure: no clock, no file, no network. The prices are part of the
//! binary.
//!
//! Deliberately absent in this version: a second region, and latency beyond one round trip of the users.
//! A plan says so under `assumed` instead of leaving it out silently.
//!
//! Entry points: [`plan`], [`render`] and [`diff`] for people, [`to_json`] for programs; [`Playable`] is what is left of a
//! plan for [`chance::simulate`].

mod allowed;
mod applied;
mod assumed;
mod bill;
mod cache;
mod catalog;
mod certain;
pub mod chance;
mod change;
mod compose;
mod database;
mod explain;
mod ground;
mod html;
mod json;
mod missed;
mod near;
mod odds;
mod proof;
mod render;
mod risk;
mod search;
mod search_space;
mod size;
mod standbys;
mod stored;
mod terms;
mod verify;
mod version;

use model::{App, Plan};

pub use catalog::{
    Architecture, Band, Catalog, CatalogError, CatalogErrors, Class, Coordinates, Machine, MachineType,
    Performance, Place, Price, RegionOffer, Source, Spot, TEXT_BYTES_MAX, Unit, age_band, places,
    round_trip_min_ms,
};
pub use chance::{Outage, Tier, Together, series, together, too_few};
pub use change::{Change, ChangeError, FORMS, FindPlace, changes};
pub use explain::{
    Cheapest, End, Explained, Frontier, Given, Made, Part, Placed, Reasons, Relaxation, Relaxed, Rung,
    Sensitivity, Speed, Worth, explain, faster, reasons, relaxed, with_speeds, would_do,
};
pub use html::html;
pub use json::to_json;
pub use proof::{Closed, Counted, Incumbent, Leaf, Other, Proof, Stated, Step, Topology};
pub use render::{diff, render};
pub use search::{Rivals, rivals};
pub use stored::{Playable, StoredError};
pub use terms::Terms;
pub use verify::{Refused, Verified, verify};
pub use version::{database_version, version};

/// Most replicas of one service. More than that on one machine or in one region is a mistake in the file.
pub const REPLICAS_MAX: u32 = 1_000;

/// Most zones that are planned for, as in the file.
pub const ZONES_MAX: u8 = 9;

/// Most services of one application, so that no file can make a plan take seconds.
pub const SERVICES_MAX: usize = 64;

/// What a plan is made from beside the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Prices, machine types, regions.
    pub catalog: Catalog,
    /// Only this provider: `local`, `aws`, `gcp` or `alicloud`. `None`: those of `placement.providers`.
    pub provider: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { catalog: Catalog::shipped(), provider: None }
    }
}

/// Why there is no plan at all. A plan that misses an objective is no error: see [`Plan::feasible`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A number in the file makes no sense.
    #[error("{what}; {rule}")]
    Absurd {
        /// Which value, and what it is.
        what: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A provider this version does not know.
    #[error("no provider `{name}`; known are {known}")]
    UnknownProvider {
        /// The name that was given.
        name: String,
        /// The names that would be right.
        known: String,
    },
    /// A price in the catalogue makes no sense.
    #[error("the price of `{item}` in {place} is {usd} USD; it must be a finite number from 0")]
    Price {
        /// What is sold.
        item: String,
        /// The provider and its region.
        place: String,
        /// The price.
        usd: f64,
    },
    /// Nobody runs a database where it is planned for.
    #[error(
        "`{database}` has `run_by: provider`, and no provider runs it where it is planned for, or none so large"
    )]
    NotManaged {
        /// The database.
        database: String,
    },
    /// There is nothing to choose from.
    #[error("the catalogue has no machines: nothing can be bought")]
    EmptyCatalogue,
    /// None of the allowed providers has the region.
    #[error("no prices for region `{region}`; the catalogue has {known}")]
    UnknownRegion {
        /// The region that was given.
        region: String,
        /// The regions that would be right.
        known: String,
        /// Providers that are not asked and have it, with spaces between them.
        elsewhere: String,
    },
    /// `placement.residency` leaves out every region that may be planned.
    #[error(
        "`placement.residency: [{residency}]` leaves out every region of {asked} that may be planned; there the law is that of {laws}"
    )]
    Residency {
        /// Codes of the file, with commas between them.
        residency: String,
        /// The providers that are asked, with commas between them.
        asked: String,
        /// Whose law their regions are under, with commas between them.
        laws: String,
        /// Other providers with such a region, with commas between them.
        others: String,
        /// Such regions that must be named to be planned, with commas between them.
        closed: String,
    },
    /// One round trip to any region alone takes longer than `latency.p99`.
    #[error(
        "from every region of {asked} that may be planned, one round trip alone takes longer than `p99: {p99}` for more than 1% of \
         the users"
    )]
    TooFar {
        /// The providers that are asked, with commas between them.
        asked: String,
        /// What the file asks.
        p99: String,
        /// The nearest of these regions.
        nearest: String,
        /// What would do there.
        needed: String,
    },
    /// More replicas than are planned would carry the load.
    #[error(
        "`load.peak` of `{service}` is {peak}, and a replica carries {each:.3}/s; at most {REPLICAS_MAX} are planned"
    )]
    TooMuch {
        /// The service.
        service: String,
        /// Its load at peak.
        peak: String,
        /// Requests a second of one replica.
        each: f64,
    },
    /// No machine type is large enough for one replica.
    #[error(
        "no machine type in the catalogue holds one replica of `{service}` (cpus: {cpus}, memory: {memory})"
    )]
    TooLarge {
        /// The service.
        service: String,
        /// CPUs of one replica.
        cpus: String,
        /// Memory of one replica.
        memory: String,
    },
    /// `placement.machines: together` cannot be had.
    #[error("`machines: together` in `placement`: {why}")]
    Together {
        /// Why not.
        why: String,
    },
    /// An assumption, or the application itself, is more than the availability model computes with.
    #[error(transparent)]
    Model(#[from] chance::ChanceError),
    /// No machine type is large enough for one node of a cache.
    #[error("no machine type in the catalogue holds a node of cache `{cache}` with `memory: {memory}`")]
    CacheTooLarge {
        /// The cache.
        cache: String,
        /// Memory of one shard.
        memory: String,
    },
    /// No machine type is large enough for one node of a database.
    #[error("no machine type in the catalogue holds a node of database `{database}` with {writes} of writes")]
    DatabaseTooLarge {
        /// The database.
        database: String,
        /// Its writing transactions.
        writes: String,
    },
}

/// What would let a region in that the residency leaves out.
fn residency_hint(laws: &str, others: &str, closed: &str) -> String {
    match (others, closed) {
        ("", "") => format!(
            "add one of {laws} to `residency`, or allow other regions or providers; `evenkeel catalog list` shows where the \
             regions are"
        ),
        ("", _) => format!("a region there is planned only when `placement.regions` names its id: {closed}"),
        (_, _) => format!("{others} would do: add it to `providers`; or add one of {laws} to `residency`"),
    }
}

impl PlanError {
    /// Whether it says that nothing fits, and not that something is wrong: what the file asks for leaves out every region.
    #[must_use]
    pub fn is_infeasible(&self) -> bool {
        matches!(self, PlanError::Residency { .. } | PlanError::TooFar { .. })
    }

    /// The way out, when there is one that the error does not say itself.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let said = |text: &str| Some(text.to_owned());
        match self {
            PlanError::Absurd { .. } => said("docs/reference/file.md says what each key of the file may be"),
            PlanError::UnknownProvider { .. } => said(
                "name one of these with `--provider`; without the flag `placement.providers` of the file holds",
            ),
            PlanError::Price { .. } => {
                said("`evenkeel catalog update --from FILE` lays a right one over it, with its source")
            }
            PlanError::NotManaged { database } => Some(format!(
                "name a cloud in `placement.providers`, or fewer `writes`; or write `run_by: auto` for `{database}`, which is evenkeel's own where nobody runs it"
            )),
            PlanError::EmptyCatalogue => said("`evenkeel catalog update --from FILE` lays prices over it"),
            PlanError::UnknownRegion { elsewhere, .. } if elsewhere.is_empty() => said(
                "`evenkeel catalog list` has every region with its prices, and the places that stand for several",
            ),
            PlanError::UnknownRegion { elsewhere, .. } => {
                let first = elsewhere.split(' ').next().unwrap_or_default();
                Some(format!(
                    "`--provider {first}` has it; or write a place that several providers share in `placement.regions`, \
                     such as `eu-central`"
                ))
            }
            PlanError::Residency { laws, others, closed, .. } => Some(residency_hint(laws, others, closed)),
            PlanError::TooFar { nearest, needed, .. } => Some(format!(
                "nearest is {nearest}, for which `p99: {needed}` would do; or allow other regions, or say under `assume:` what \
                 `detour` the way really makes"
            )),
            PlanError::TooMuch { .. } => said(
                "raise `capacity: { rps_per_cpu: .. }` to what a load test showed, or `resources.cpus` of a replica; or is \
                 the load written in the wrong unit?",
            ),
            PlanError::TooLarge { service, .. } => Some(format!(
                "ask for less in `resources` of `{service}`, or allow more in `placement`; `evenkeel catalog list --region R` \
                 has every machine type"
            )),
            PlanError::DatabaseTooLarge { database, .. } => Some(format!(
                "lower `writes` of `{database}`, or allow more in `placement`; `evenkeel catalog list --region R` has every \
                 machine type"
            )),
            PlanError::CacheTooLarge { cache, .. } => Some(format!(
                "split `{cache}` into more `shards` with less `memory` each, or allow more in `placement`"
            )),
            PlanError::Together { .. } => said(
                "with `machines: any` services and databases have machines of their own where they need them; this version starts one of \
                 them a zone",
            ),
            // What is too large or out of its range says so itself.
            PlanError::Model(_) => None,
        }
    }
}

/// The cheapest plan that meets every objective of `app`, or the nearest to it with `feasible = false` and
/// every missed objective in `missed`.
///
/// Without `placement.providers` the plan is for this machine: one unit is one replica, it costs nothing,
/// and its availability is what the same layout would have if each zone were a data centre of its own.
///
/// # Errors
/// [`PlanError`] when a number is not finite, out of range, or nothing in the catalogue fits.
pub fn plan(app: &App, options: &Options) -> Result<Plan, PlanError> {
    certified(app, options).map(|planned| planned.plan)
}

/// A plan and why nothing is cheaper.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// For each part of the space, why nothing in it is cheaper.
    pub proof: Proof,
}

/// As [`plan()`], with the proof.
///
/// # Errors
/// As [`plan()`].
pub fn certified(app: &App, options: &Options) -> Result<Planned, PlanError> {
    certified_on(app, options, &Terms::default())
}

/// As [`certified`], on other terms.
///
/// # Errors
/// As [`plan()`].
pub fn certified_on(app: &App, options: &Options, terms: &Terms) -> Result<Planned, PlanError> {
    let standbys::Settled { app, beside } = standbys::settle(app, options, terms)?;
    let ground = ground::Ground::new(&app, options, terms)?;
    Ok(compose::best(&ground, &ground.space()?, &options.catalog, beside)?.planned)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
