use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AppName, Availability, Bytes, Cache, Database, Duration, MilliCpu, Money, Rate, ServiceName, Template,
};

/// What the user asked for: the whole file, checked, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// `name`.
    pub name: AppName,
    /// `objectives`.
    pub objectives: Objectives,
    /// `placement`.
    pub placement: Placement,
    /// `services`, in the order of the file. Never empty.
    pub services: Vec<Service>,
    /// `databases`, in the order of the file.
    pub databases: Vec<Database>,
    /// `caches`, in the order of the file. Absent in what was stored before they were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// `ingress`. Left out: one entry for the first service that can be reached, on 8080.
    pub ingress: Vec<Ingress>,
    /// `assume`: priors of the plan by name, such as `zone_outage.hours`, each in its unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assume: BTreeMap<String, f64>,
    /// What drills have shown of these priors, by name. Not of the file: whoever plans gives the verdicts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Seen>,
}

/// What was seen of a prior of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// How often.
    pub count: u32,
    /// How long it took altogether, in the unit of the prior; of a rate, in how many years.
    pub exposure: f64,
}

/// `objectives`: what the deployment must keep. `None` is "not asked for".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// Share of the year in which the application must answer.
    pub availability: Option<Availability>,
    /// How fast one service must answer, at which load.
    pub latency: Option<Latency>,
    /// What may be lost at peak load without scaling out.
    pub survive: Vec<Scope>,
    /// `survive: []`: nothing, not even what an availability asks for when `survive` is left out. Absent in what was stored
    /// before it could be said.
    #[serde(default)]
    pub survive_nothing: bool,
    /// Longest time without service after losing one scope.
    pub rto: PerScope,
    /// Newest data that may be lost with one scope.
    pub rpo: PerScope,
    /// Most that may be spent in a month.
    pub budget: Option<Money>,
}

/// `objectives.latency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The service measured.
    pub service: ServiceName,
    /// 99th percentile of the answer time.
    pub p99: Duration,
    /// Load at which it must hold.
    pub load: Option<Rate>,
}

/// What can be lost at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One machine.
    Node,
    /// One zone: a data centre.
    Zone,
    /// One region.
    Region,
}

/// A duration for each [`Scope`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerScope {
    /// For one machine.
    pub node: Option<Duration>,
    /// For one zone.
    pub zone: Option<Duration>,
    /// For one region.
    pub region: Option<Duration>,
}

/// `placement`: where it may run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Allowed providers, `aws gcp alicloud`. Empty: this machine.
    pub providers: Vec<String>,
    /// Allowed regions; the first is home, the second recovery. Empty: any.
    pub regions: Vec<Region>,
    /// How many zones to spread over, 1 to 9.
    pub zones: u8,
    /// `machines`: what may share a machine. `None`: it is left out; [`App::sharing`] has what that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<Sharing>,
    /// Whose law data may be kept under, as ISO 3166 codes of countries, or `EU`. Empty: anyone's. Absent in what was stored
    /// before it was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residency: Vec<String>,
    /// Where the users are. Empty: nobody said. Absent in what was stored before it was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<Users>,
}

/// `placement.machines`: what may share a machine in a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Whatever is cheapest.
    Any,
    /// Each service and each database has machines of its own.
    Apart,
    /// One machine in each zone holds everything there.
    Together,
}

impl Sharing {
    /// Most services of a file whose services and databases may share one machine a zone. That is for small applications: the plan
    /// weighs every number of spare replicas of each service beside every one of the others.
    pub const SERVICES_MAX: usize = 4;

    /// Most zones with one machine each: the availability of one more takes eight times as long to compute.
    pub const ZONES_MAX: u8 = 3;
}

impl App {
    /// What may share a machine in a cloud: what is asked, or what a file means that leaves it out. That is what this version runs,
    /// where it can be planned: for few services, and where not one machine in one zone is to be survived.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        let alone = self.placement.zones == 1 && self.objectives.survive.contains(&Scope::Node);
        let small = self.services.len() <= Sharing::SERVICES_MAX && !alone;
        self.placement.machines.unwrap_or(if small { Sharing::Together } else { Sharing::Any })
    }
}

/// One of `placement.users`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// The place, as in the file.
    pub place: String,
    /// Degrees north, -90 to 90.
    pub north: f64,
    /// Degrees east, -180 to 180.
    pub east: f64,
    /// Share of all users, above 0 and at most 1.
    pub share: f64,
}

/// A geographic name (`eu-central`) or a provider's own region id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub String);

/// One of `services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its key in the file.
    pub name: ServiceName,
    /// What is started.
    pub run: Run,
    /// Environment variables, in the order of their names.
    pub environment: BTreeMap<String, Template>,
    /// How it is known to be well.
    pub healthcheck: Healthcheck,
    /// What one replica may use.
    pub resources: Resources,
    /// How many replicas.
    pub scale: Scale,
    /// What the plan sizes for. `None`: nobody said.
    pub load: Option<Load>,
    /// Requests per second one CPU answers. `None`: the plan assumes a value and says so.
    pub rps_per_cpu: Option<f64>,
    /// How a new version replaces the old one.
    pub deploy: Deploy,
}

/// What a service starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// A program and its arguments; the program is looked up from the file's folder when it holds a `/`.
    Command(Vec<Template>),
    /// A container image; checked and planned for, not started by a local run.
    Image(String),
}

/// `healthcheck`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// What is asked.
    pub probe: Probe,
    /// Time between two probes.
    pub interval: Duration,
    /// A probe without an answer by then has failed.
    pub timeout: Duration,
    /// This many failures in a row, each a `timeout` long, make a replica unhealthy. At least 1.
    pub retries: u32,
    /// A replica that has not been healthy once by then has failed to start.
    pub start_timeout: Duration,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// `GET` this path; any status from 200 to 399 is well.
    Http(String),
    /// A TCP connection can be opened.
    Tcp,
    /// Nothing is asked: the service listens on nothing, and running is well.
    Running,
}

/// `resources` of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU limit.
    pub cpus: MilliCpu,
    /// Memory limit.
    pub memory: Bytes,
}

/// `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Fewest replicas, from 1.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// Load one replica is meant to carry. `None`: learnt later.
    pub target: Option<Rate>,
}

/// `load` of a service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What must be carried.
    pub peak: Rate,
    /// The average, for traffic costs. `None`: a third of the peak, and the plan says so.
    pub mean: Option<Rate>,
    /// Size of an answer, for traffic costs. `None`: the plan assumes one and says so.
    #[serde(default)]
    pub response: Option<Bytes>,
}

/// `deploy` of a service: always rolling, one zone at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// How many replicas may be missing during a change.
    pub max_unavailable: u32,
    /// How long a replica may take to finish its requests.
    pub drain: Duration,
}

/// One of `ingress`: where requests come in and which service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Port each zone's front listens on. 0 is never used.
    pub port: u16,
    /// Listen on every address of the zone (`0.0.0.0`), not on the zone's own alone.
    pub any_address: bool,
    /// `Host` this entry answers to, in lower case; `None`: every host no other entry names.
    pub host: Option<String>,
    /// The service that answers.
    pub to: ServiceName,
}
