use serde::{Deserialize, Serialize};

use crate::{
    AppName, Availability, Cache, DatabaseName, Ingress, Money, Objectives, PlannedDatabase, Service,
    ServiceName, ZoneName,
};

/// Counts the plans of one application, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanNumber(pub u64);

/// Which machines hold what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Each service and each database has machines of its own.
    #[default]
    Apart,
    /// One machine in each zone, all of one type, holds every replica and node of its zone.
    Together,
}

impl Layout {
    /// Whether it is [`Layout::Apart`].
    #[must_use]
    pub fn is_apart(&self) -> bool {
        *self == Layout::Apart
    }
}

/// What evenkeel decided: immutable, with every choice in it, so that an engine needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its number; 0 until it is applied.
    pub number: PlanNumber,
    /// The plan it replaces.
    pub parent: Option<PlanNumber>,
    /// The application.
    pub app: AppName,
    /// The objectives it was made for.
    pub objectives: Objectives,
    /// `local`, `aws`, `gcp` or `alicloud`.
    pub provider: String,
    /// The provider's region; `local` on this machine.
    pub region: String,
    /// The zones that are used, in order.
    pub zones: Vec<ZoneName>,
    /// Which machines hold what. Absent in plans that were stored before there was a choice.
    #[serde(default)]
    pub layout: Layout,
    /// What runs.
    pub services: Vec<PlannedService>,
    /// Databases that run. Absent in plans that were stored before there were any.
    #[serde(default)]
    pub databases: Vec<PlannedDatabase>,
    /// Caches that are planned and not run by this version. Absent in plans that were stored before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// How far users are from the region; empty when the file does not say where they are. Absent in plans that were stored before
    /// it was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<RoundTrip>,
    /// Where requests come in.
    pub ingress: Vec<Ingress>,
    /// The bill, line by line.
    pub lines: Vec<PlanLine>,
    /// The sum of `lines`.
    pub usd_month: Money,
    /// Computed availability of the whole.
    pub availability: Availability,
    /// Where the downtime comes from, largest first.
    pub causes: Vec<Cause>,
    /// How likely each recovery objective is missed. Absent in plans that were stored before it was computed.
    #[serde(default)]
    pub risks: Vec<Risk>,
    /// How often it goes down for longer than some times; empty when no `rto` is asked. Absent in plans that were stored before
    /// it was told, as is `losses`.
    #[serde(default)]
    pub outages: Vec<Outages>,
    /// Each way to lose data that was acknowledged, asked for or not.
    #[serde(default)]
    pub losses: Vec<DataLoss>,
    /// Whether every objective is met.
    pub feasible: bool,
    /// Objectives that are not met, one sentence each; empty when `feasible`.
    pub missed: Vec<String>,
    /// Why this and nothing cheaper, one sentence each.
    pub why: Vec<String>,
    /// What was not taken: the next cheaper and the next safer.
    pub rejected: Vec<Rejected>,
    /// Every default the plan rests on, with its reason.
    pub assumed: Vec<String>,
    /// How certain it is, in one sentence: over which catalogue, assumptions and space it is the cheapest. Absent in plans that
    /// were stored before it was said.
    #[serde(default)]
    pub certain: String,
    /// How much of the space of plans was looked at.
    #[serde(default)]
    pub certificate: Certificate,
}

/// Shows that nothing cheaper was overlooked in the space that was searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// How much cheaper an unseen plan could be at most, as a share of the price; 0: none is cheaper.
    pub gap: f64,
    /// Candidates whose availability was computed.
    pub evaluated: u64,
    /// Candidates ruled out by a bound, without computing it.
    pub pruned: u64,
}

/// One service of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedService {
    /// The service as described; `scale.min` and `scale.max` as in the file.
    pub service: Service,
    /// How many replicas run.
    pub replicas: u32,
    /// Equal for equal descriptions; a change starts new units.
    pub version: u64,
    /// How many replicas carry the peak load; the rest is the reserve for what must be survived.
    pub needed_at_peak: u32,
}

/// The way between some of the users and the region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Where the users are, as in the file.
    pub place: String,
    /// Their share of all users, in 0..1.
    pub share: f64,
    /// There and back, in milliseconds: light in glass on the great circle, times the detour that is assumed.
    pub ms: f64,
}

/// One line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanLine {
    /// What is paid for, for people.
    pub item: String,
    /// The same for programs.
    #[serde(default)]
    pub buys: Buys,
    /// How many.
    pub quantity: f64,
    /// Price of one in a month of 730 h.
    pub unit_usd: f64,
    /// `quantity * unit_usd`.
    pub usd_month: Money,
    /// Where the price comes from.
    pub source: String,
    /// Date of the price, `2025-01-14`.
    pub date: String,
    /// Why nothing of evenkeel starts what is paid for, or a part of it. `None`: `up` does, or the files of `export` do, or the plan
    /// was stored before it was told.
    #[serde(default)]
    pub not_applied: Option<String>,
}

/// What a line of the bill buys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Buys {
    /// It was stored before this was told.
    #[default]
    Unknown,
    /// Replicas of a service or nodes of a database or cache on this machine, which nobody bills.
    Here {
        /// The service, database or cache.
        part: String,
    },
    /// Machines of one type.
    Machines {
        /// The provider's type.
        kind: String,
        /// The services, databases and caches that they hold.
        parts: Vec<String>,
    },
    /// Disks of all these machines together, in GB.
    Disks {
        /// The services, databases and caches that their machines hold.
        parts: Vec<String>,
    },
    /// What a provider takes for a database that it runs.
    Managed {
        /// The database.
        part: String,
    },
    /// A balancer of connections at the entry.
    NetworkBalancer,
    /// A balancer of requests at the entry.
    ApplicationBalancer,
    /// What is paid for the use of the balancer.
    BalancerUse,
    /// NAT gateways, paid by the piece or by the machine behind them.
    Nat,
    /// Public addresses: of NAT gateways, and of the balancer where they cost.
    Addresses,
    /// GB of answers to the internet, which go through the entry.
    Answers,
    /// GB between zones, which nothing of its own makes.
    Between,
}

/// One cause of downtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The cause, for people.
    pub name: String,
    /// Expected minutes a year.
    pub min_year: f64,
}

/// How often a recovery objective is missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// What is asked, such as `rto: { zone: 60s }`.
    pub objective: String,
    /// Expected times a year that it is missed.
    pub per_year: f64,
    /// Probability of at least once in a year.
    pub in_a_year: f64,
    /// The figures are never too low, and may be too high; else they are those of the model.
    pub bound: bool,
}

/// Outages that last longer than some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outages {
    /// Seconds; 0: all of them.
    pub longer_than_s: f64,
    /// Expected number in a year.
    pub per_year: f64,
    /// Probability of at least one in a year.
    pub in_a_year: f64,
    /// The figures are never too low, and may be too high; else they are those of the model.
    pub bound: bool,
}

/// A way to lose data that was acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataLoss {
    /// Of which database.
    pub database: DatabaseName,
    /// What is lost, and with what, for people.
    pub what: String,
    /// Expected times a year.
    pub per_year: f64,
    /// Probability of at least once in a year.
    pub in_a_year: f64,
}

/// A plan that was not taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// What it is.
    pub name: String,
    /// Its price.
    pub usd_month: Money,
    /// Its availability.
    pub availability: Availability,
    /// Of one that is safer: what each minute of downtime that it avoids costs, in USD: twelve times what it costs more a month
    /// over the minutes it is down less a year. `None`: it is not safer, nothing is paid, or it was stored before this was told.
    #[serde(default)]
    pub usd_per_avoided_min: Option<f64>,
    /// Why it was not taken.
    pub reason: String,
}

impl Plan {
    /// The planned service of that name.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&PlannedService> {
        self.services.iter().find(|planned| planned.service.name == *name)
    }

    /// The planned database of that name.
    #[must_use]
    pub fn database(&self, name: &DatabaseName) -> Option<&PlannedDatabase> {
        self.databases.iter().find(|planned| planned.database.name == *name)
    }
}
