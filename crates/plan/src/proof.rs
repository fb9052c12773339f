//! The certificate of optimality: for every topology of the space why nothing in it is cheaper, in a form that
//! [`crate::verify`] checks by itself.

use std::collections::BTreeSet;

use model::Layout;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::chance::{Application, Assumptions, Prior};
use crate::terms::Terms;

/// Version of the space of plans, `docs/reference/plan-space.md`.
pub const SPACE: u32 = 8;

/// Everything that must be true for a plan to be the cheapest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The space that was searched: its version in `docs/reference/plan-space.md`.
    pub space: u32,
    /// The catalogue it was searched in: [`fingerprint`].
    pub catalogue: String,
    /// On which terms it was searched.
    pub terms: Terms,
    /// Every assumption with the value that was computed with.
    pub assumptions: Vec<Stated>,
    /// Most unavailability that was allowed, in 0..1; `None`: any.
    pub asked: Option<f64>,
    /// The cheapest plan; `None`: nothing keeps every objective.
    pub incumbent: Option<Incumbent>,
    /// What the plan's availability was computed from, so that others can compute and play it; absent when a service has fewer
    /// replicas than carry its peak, and in plans that were stored before it was kept.
    #[serde(default)]
    pub model: Option<Application>,
    /// What the plan made of each database whose `standbys` or `run_by` are `auto`, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<Counted>,
    /// Every topology of the space, by provider, region and zones.
    pub topologies: Vec<Topology>,
    /// Every other way to have these databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
}

/// What one database is where the file leaves that to the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Counted {
    /// Its name.
    pub database: String,
    /// Nodes beside the primary.
    pub standbys: u8,
    /// A provider runs it, with one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub managed: bool,
}

/// The space of a file with other numbers of standbys than the plan has, and why nothing in it is cheaper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Other {
    /// As [`Proof::standbys`].
    pub standbys: Vec<Counted>,
    /// As [`Proof::topologies`].
    pub topologies: Vec<Topology>,
}

/// One assumption of a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stated {
    /// Its name, such as `zone_outage.per_year`.
    pub name: String,
    /// What was computed with, in the unit of its name.
    pub value: f64,
}

impl Stated {
    pub(crate) fn all(assumptions: &Assumptions) -> Vec<Stated> {
        let state = |prior: &Prior| Stated { name: prior.name.to_owned(), value: prior.mid };
        assumptions.all().iter().map(state).collect()
    }
}

/// What the proof says is cheapest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incumbent {
    /// `aws`, or `local`.
    pub provider: String,
    /// The provider's region.
    pub region: String,
    /// How many zones.
    pub zones: u32,
    /// Whether its services and databases share machines; absent in certificates of spaces before version 4.
    #[serde(default, skip_serializing_if = "Layout::is_apart")]
    pub layout: Layout,
    /// Millionths of a dollar a month; on this machine replicas.
    pub micro_usd: i64,
    /// Computed unavailability, in 0..1.
    pub unavailability: f64,
    /// Machine type and replicas of each service, in the order of the file.
    pub services: Vec<(Option<String>, u32)>,
    /// Machine type of each database, in the order of the file.
    pub databases: Vec<Option<String>>,
    /// Machine type of each cache, in the order of the file; absent in certificates of spaces before version 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Option<String>>,
}

/// How NAT gateways are paid for: a topology is searched once for each way that the catalogue has prices for, as a plan pays
/// whichever is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// By the gateway, whatever is behind it.
    #[default]
    Gateway,
    /// By the machine behind it.
    Machine,
}

/// One region, number of zones and layout, with one way to pay for its NAT gateways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// `aws`, or `local`.
    pub provider: String,
    /// The provider's region.
    pub region: String,
    /// How many zones.
    pub zones: u32,
    /// Whether services and databases share machines; absent in certificates of spaces before version 4.
    #[serde(default, skip_serializing_if = "Layout::is_apart")]
    pub layout: Layout,
    /// How its NAT gateways are paid for; absent in certificates of spaces before version 3.
    #[serde(default)]
    pub nat: Nat,
    /// Why nothing in it is cheaper than the plan.
    #[serde(flatten)]
    pub closed: Closed,
}

/// Why nothing in a topology is cheaper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "closed", rename_all = "snake_case")]
pub enum Closed {
    /// So many zones do not keep what was asked of the loss of one.
    Zones,
    /// It sells no machine that holds a part.
    NoMachine {
        /// The service or database.
        part: String,
    },
    /// So few machines are behind its NAT gateway, or so many, that whatever is chosen the other way to pay costs no more: what is
    /// cheapest is found there.
    OtherWay,
    /// `scale.max` forbids every size that carries the peak with its reserve.
    ScaleMax {
        /// The service.
        service: String,
    },
    /// Of the types of its one machine a zone those that would be cheaper than the plan do not hold everything, or are down more than
    /// was asked however many spare replicas they hold.
    Types {
        /// So many types would be cheaper; without a plan so many there are.
        tried: u32,
    },
    /// Even its safest choices are down more than was asked.
    Unavailable {
        /// No choice has less than this unavailability.
        best: f64,
    },
    /// Whatever is chosen costs at least this.
    Bound {
        /// US dollars a month; on this machine millionths are replicas.
        usd_month: f64,
        /// Price of a share of time, in millionths of a dollar a month, that shows it.
        multiplier: f64,
    },
    /// It was searched.
    Searched {
        /// The price of a share of time by which branches were bounded.
        multiplier: f64,
        /// Services in the order in which they were chosen for.
        order: Vec<String>,
        /// The branches; `None`: more than are written down.
        tree: Option<Vec<Step>>,
    },
}

/// One step through the branches of a topology. A split is followed by its picks, a pick by what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// So many choices of the next service follow. Of every other one the bounds show that nothing cheaper is below it, or
    /// it is dearer and no safer than another.
    Split(u32),
    /// A machine type and so many replicas.
    Pick(Option<String>, u32),
    /// A branch that ends here.
    Leaf(Leaf),
}

/// How a branch ends that is neither split nor closed by a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaf {
    /// Nobody looked: the search ran out of time.
    Open,
}

impl Proof {
    /// Regions and numbers of zones, each once whatever its layouts are and its NAT gateways are paid by.
    pub(crate) fn places(&self) -> usize {
        let places = self.topologies.iter().map(|one| (&one.provider, &one.region, one.zones));
        places.collect::<BTreeSet<_>>().len()
    }
}

impl Topology {
    /// For sorting and finding.
    pub(crate) fn place(&self) -> (&str, &str, u32, Layout, Nat) {
        (&self.provider, &self.region, self.zones, self.layout, self.nat)
    }
}

/// A number that changes with every machine and price of the catalogue (FNV-1a of what a plan is made from).
#[must_use]
pub fn fingerprint(catalog: &Catalog) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for offer in &catalog.regions {
        add(offer.provider.as_bytes());
        add(offer.region.as_bytes());
        add(&[offer.zones]);
        for machine in &offer.machines {
            add(machine.name.as_bytes());
            for figure in
                [machine.price.usd, machine.performance.low, machine.mem_gib, f64::from(machine.vcpu)]
            {
                add(&figure.to_bits().to_le_bytes());
            }
        }
        for (unit, price) in &offer.units {
            add(unit.name().as_bytes());
            add(&price.usd.to_bits().to_le_bytes());
        }
    }
    format!("{hash:016x}")
}
