//! What an application is made of, as far as its availability goes.

use serde::{Deserialize, Serialize};

use super::{Assumptions, ChanceError, Level, Outage, Rates};

/// Most zones.
pub(crate) const ZONES_MAX: u8 = crate::ZONES_MAX;
/// Most nodes of a group: with each in a zone of its own a chain of 2^14 sets and seven primaries.
pub(crate) const NODES_MAX: u8 = 7;
/// Most stages of a takeover. 64 stages vary by an eighth of the mean, which is as good as a fixed time.
pub(crate) const STAGES_MAX: u8 = 64;
/// Longest mean takeover, in seconds: a week.
const TAKEOVER_MAX: f64 = 7.0 * 86_400.0;
/// Most groups and most fleets.
const PARTS_MAX: usize = 64;
/// Most zones with a machine each that holds everything there: every set of zones and machines is looked at, 2^12 of them.
const HOSTED_ZONES_MAX: u8 = 6;
/// Most replicas of a fleet.
const REPLICAS_MAX: u64 = 10_000;
/// Most spot pools: every set of them is looked at.
const POOLS_MAX: usize = 10;
/// Most causes that take the whole down at once.
const SHARED_MAX: usize = 16;

/// How another node becomes primary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// Mean seconds from the loss of the primary until another node serves.
    pub seconds: f64,
    /// How regular it is: 1 is exponential (a tail far longer than the mean), 3 is a fit for probes and elections,
    /// 64 is nearly always the same. The time is a sum of so many equal exponential stages (Erlang).
    pub stages: u8,
}

/// Nodes with one primary among them: a database, a cache. Node `i` is in zone `i % zones`, and the parts of one state
/// are: which nodes are up, which of them is primary, how far a takeover is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// For people.
    pub name: String,
    /// All nodes, witnesses among them.
    pub nodes: u8,
    /// How many of them, the last ones, count and never become primary.
    pub witnesses: u8,
    /// Nodes that must be up to serve, the primary among them: a majority for a quorum, 1 for a lease.
    pub needed: u8,
    /// One node.
    pub node: Outage,
    /// `None`: no other node becomes primary; its repair is waited for.
    pub takeover: Option<Takeover>,
}

/// Machines that are alike: same zone, same load, same pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machines {
    /// Their zone, from 0.
    pub zone: u8,
    /// How many.
    pub count: u32,
    /// Replicas on each.
    pub carries: u32,
    /// The spot pool they come from, by its place in [`Application::pools`].
    pub pool: Option<usize>,
}

/// Replicas without state, of which enough must be up: `k` of `n`, on machines that fail by themselves, with their zone
/// and with their pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// For people.
    pub name: String,
    /// Replicas that carry the peak load.
    pub needed: u32,
    /// Where they are.
    pub machines: Vec<Machines>,
    /// One machine.
    pub machine: Outage,
}

/// Something that fails as one: a spot pool (a machine type in a zone), or a cause that takes the whole down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// For people, such as `bad deploys`.
    pub name: String,
    /// How often, how long.
    pub outage: Outage,
}

/// An application: every group and every fleet must be up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Zones, alike and independent.
    pub zones: u8,
    /// One zone.
    pub zone: Outage,
    /// The one machine of each zone that holds everything there: with it every node and replica of its zone is gone, whatever else
    /// may happen to them. `None`: nodes and replicas have machines of their own. Absent in models that were stored before there
    /// were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Outage>,
    /// Parts with state.
    pub groups: Vec<Group>,
    /// Parts without.
    pub fleets: Vec<Fleet>,
    /// Spot pools, each independent.
    pub pools: Vec<Common>,
    /// What takes the whole down: bad deploys, the region's control plane, human error; each independent.
    pub shared: Vec<Common>,
}

impl Group {
    /// Nodes that may become primary.
    pub(crate) fn heirs(&self) -> u8 {
        self.nodes - self.witnesses
    }

    /// One node and nobody beside it.
    #[must_use]
    pub fn single(name: &str, node: Outage) -> Group {
        Group { name: name.to_owned(), nodes: 1, witnesses: 0, needed: 1, node, takeover: None }
    }

    /// `nodes` copies of which any one may serve alone: a lease, or a cache with replicas.
    #[must_use]
    pub fn copies(name: &str, nodes: u8, node: Outage, takeover: Takeover) -> Group {
        Group { name: name.to_owned(), nodes, witnesses: 0, needed: 1, node, takeover: Some(takeover) }
    }

    /// `nodes` of which a majority must be up, the last `witnesses` of them without data.
    #[must_use]
    pub fn quorum(name: &str, nodes: u8, witnesses: u8, node: Outage, takeover: Takeover) -> Group {
        let needed = nodes / 2 + 1;
        Group { name: name.to_owned(), nodes, witnesses, needed, node, takeover: Some(takeover) }
    }

    /// A database as evenkeel runs it, each node failing as `node`: a quorum and a lease take over in the time that their
    /// mode states, in three stages (the look that notices, the election, the promotion); a single node is repaired.
    #[must_use]
    pub fn of(database: &model::Database, node: Outage) -> Group {
        Group::taking(database, node, database.mode().rto_ms().map(|ms| ms as f64 / 1e3))
    }

    /// A database as evenkeel runs it, with how often its nodes fail and how long takeovers take at `level`.
    ///
    /// # Errors
    /// [`ChanceError`] when the assumptions lack one of these.
    pub fn assumed(
        database: &model::Database,
        assumptions: &Assumptions,
        level: Level,
    ) -> Result<Group, ChanceError> {
        let seconds = match database.mode() {
            model::Mode::Quorum => Some(assumptions.at("takeover_quorum.seconds", level)?),
            model::Mode::Lease => Some(assumptions.at("takeover_lease.seconds", level)?),
            model::Mode::Managed => Some(assumptions.at("takeover_managed.seconds", level)?),
            model::Mode::Single => None,
        };
        Ok(Group::taking(database, assumptions.outage("database_node", level)?, seconds))
    }

    fn taking(database: &model::Database, node: Outage, seconds: Option<f64>) -> Group {
        let (name, nodes) = (database.name.as_str(), database.nodes());
        match (database.mode(), seconds.map(|seconds| Takeover { seconds, stages: 3 })) {
            (model::Mode::Quorum, Some(takeover)) => {
                Group::quorum(name, nodes, u8::from(database.witness), node, takeover)
            }
            (_, Some(takeover)) => Group::copies(name, nodes, node, takeover),
            (_, None) => Group { nodes, ..Group::single(name, node) },
        }
    }

    fn check(&self) -> Result<(), ChanceError> {
        let (name, nodes) = (&self.name, self.nodes);
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(ChanceError::absurd(format!("the nodes of `{name}`"), nodes, "from 1 to 7"));
        }
        if self.witnesses >= nodes {
            let what = format!("the witnesses of `{name}`");
            return Err(ChanceError::absurd(what, self.witnesses, "fewer than its nodes"));
        }
        if !(1..=nodes).contains(&self.needed) {
            let what = format!("the nodes that `{name}` needs");
            return Err(ChanceError::absurd(what, self.needed, "from 1 to as many as it has"));
        }
        if let Some(takeover) = self.takeover {
            if !(takeover.seconds > 0.0 && takeover.seconds <= TAKEOVER_MAX) {
                let (what, value) = (format!("the takeover of `{name}`"), format!("{} s", takeover.seconds));
                return Err(ChanceError::absurd(what, value, "more than 0 and at most a week"));
            }
            if !(1..=STAGES_MAX).contains(&takeover.stages) {
                let what = format!("the stages of a takeover of `{name}`");
                return Err(ChanceError::absurd(what, takeover.stages, "from 1 to 64"));
            }
        }
        Rates::of(self.node, &format!("a node of `{name}`")).map(drop)
    }
}

impl Fleet {
    /// `counts[zone]` machines with one replica each.
    #[must_use]
    pub fn spread(name: &str, needed: u32, counts: &[u32], machine: Outage) -> Fleet {
        let machines =
            (0..).zip(counts).map(|(zone, &count)| Machines { zone, count, carries: 1, pool: None });
        Fleet { name: name.to_owned(), needed, machines: machines.collect(), machine }
    }

    /// All replicas.
    pub(crate) fn replicas(&self) -> u64 {
        // Saturating: a stored one may say anything.
        let on = |kind: &Machines| u64::from(kind.count) * u64::from(kind.carries);
        self.machines.iter().fold(0, |all, kind| all.saturating_add(on(kind)))
    }

    fn check(&self, app: &Application) -> Result<(), ChanceError> {
        let (name, replicas) = (&self.name, self.replicas());
        if self.needed == 0 {
            return Err(ChanceError::absurd(format!("what `{name}` needs"), 0, "at least one replica"));
        }
        if u64::from(self.needed) > replicas {
            let value = format!("{} of {replicas} replicas", self.needed);
            return Err(ChanceError::absurd(format!("what `{name}` needs"), value, "no more than there are"));
        }
        let machines: u64 = self.machines.iter().map(|kind| u64::from(kind.count)).sum();
        if replicas > REPLICAS_MAX || machines > REPLICAS_MAX {
            let size = replicas.max(machines);
            return Err(ChanceError::absurd(format!("the size of `{name}`"), size, "at most 10,000"));
        }
        for kind in &self.machines {
            if kind.zone >= app.zones {
                let what = format!("a zone of `{name}`");
                return Err(ChanceError::absurd(what, kind.zone, "less than the number of zones"));
            }
            if let Some(pool) = kind.pool.filter(|&pool| pool >= app.pools.len()) {
                let what = format!("a pool of `{name}`");
                return Err(ChanceError::absurd(what, pool, "less than the number of pools"));
            }
        }
        Rates::of(self.machine, &format!("a machine of `{name}`")).map(drop)
    }
}

impl Application {
    /// The rates of the one machine of a zone, if there is one.
    pub(crate) fn host_rates(&self) -> Result<Option<Rates>, ChanceError> {
        self.host.map(|host| Rates::of(host, "the machine of a zone")).transpose()
    }

    /// Bits that a set of what lives has for each zone: one for the zone, and one above it for its one machine if it has one.
    pub(crate) fn width(&self) -> u32 {
        if self.host.is_some() { 2 } else { 1 }
    }

    /// The zones of such a set in which something can run, a bit each: with one machine a zone where that lives, too.
    pub(crate) fn reached(&self, set: usize) -> usize {
        let width = self.width();
        let all = (1 << width) - 1;
        let runs = |zone: &u32| set >> (zone * width) & all == all;
        (0..u32::from(self.zones)).filter(runs).fold(0, |zones, zone| zones | 1 << zone)
    }

    /// Whether every zone lives in such a set, its machine or not.
    pub(crate) fn all_zones(&self, set: usize) -> bool {
        (0..u32::from(self.zones)).all(|zone| set >> (zone * self.width()) & 1 == 1)
    }

    /// Refuses what no answer can be given for.
    ///
    /// # Errors
    /// [`ChanceError::Absurd`] with the place and what would be right.
    pub fn check(&self) -> Result<(), ChanceError> {
        if !(1..=ZONES_MAX).contains(&self.zones) {
            return Err(ChanceError::absurd("the number of zones", self.zones, "from 1 to 9"));
        }
        Rates::of(self.zone, "a zone")?;
        self.host_rates()?;
        if self.host.is_some() && self.zones > HOSTED_ZONES_MAX {
            return Err(ChanceError::absurd(
                "the number of zones with one machine each",
                self.zones,
                "from 1 to 6",
            ));
        }
        let sizes = [
            ("groups", self.groups.len(), PARTS_MAX, "at most 64"),
            ("fleets", self.fleets.len(), PARTS_MAX, "at most 64"),
            ("spot pools", self.pools.len(), POOLS_MAX, "at most 10"),
            ("common causes", self.shared.len(), SHARED_MAX, "at most 16"),
        ];
        for (what, size, most, rule) in sizes {
            if size > most {
                return Err(ChanceError::absurd(format!("the number of {what}"), size, rule));
            }
        }
        self.groups.iter().try_for_each(Group::check)?;
        self.fleets.iter().try_for_each(|fleet| fleet.check(self))?;
        let mut common = self.pools.iter().chain(&self.shared);
        common.try_for_each(|common| Rates::of(common.outage, &format!("`{}`", common.name)).map(drop))
    }
}
