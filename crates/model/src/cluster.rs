//! What the store holds: one document a key, JSON, each with one writer at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{FaultKind, Plan, PlanNumber, Service, ServiceCounters, ServiceName, UnitName, ZoneName};

/// The store's keys. A prefix ends with `/`.
pub mod keys {
    /// [`crate::Rollout`]; written by whoever applies a plan and by the leader.
    pub const ROLLOUT: &str = "rollout";
    /// [`crate::LeaderRecord`]; under the leader's lease.
    pub const LEADER: &str = "leader";
    /// + zone: [`crate::AgentRecord`]; under the agent's lease.
    pub const AGENTS: &str = "agents/";
    /// + unit: [`crate::UnitRecord`]; written by the leader.
    pub const UNITS: &str = "units/";
    /// + zone + `/` + unit: [`crate::UnitState`]; written by the zone's agent.
    pub const STATES: &str = "states/";
    /// + zone: [`crate::FrontRecord`]; written by the zone's agent.
    pub const FRONTS: &str = "fronts/";
    /// + number: [`crate::Verdict`]; written by the drill.
    pub const VERDICTS: &str = "verdicts/";
    /// The next unit number of a service, + service; written by the leader together with the unit.
    pub const COUNTERS: &str = "counters/";
    /// + number: [`crate::Plan`]; every plan ever applied, immutable.
    pub const PLANS: &str = "plans/";
    /// + zone: [`crate::ZoneAddress`]; written by the zone's agent at its start and kept when it is away.
    pub const ZONES: &str = "zones/";
    /// + zone: [`crate::DataFrontRecord`]; written by the zone's agent.
    pub const DATA_FRONTS: &str = "data-fronts/";
    /// Of each database: `NAME/record` is [`crate::Record`], written by its keepers and by `failover`; `NAME/nodes/N` is
    /// [`crate::NodeDoc`], written by the node's keeper; `NAME/status/N` is what the keeper says of its node, for people,
    /// written by its agent.
    pub const DATABASES: &str = "databases/";
    /// + database: a number that its ports follow from; written once, by `up` on one machine, before the database's plan.
    pub const PORTS: &str = "ports/";
    /// + zone: [`crate::FaultOrder`]; written by a drill over hosts, under its lease.
    pub const FAULTS: &str = "faults/";
    /// + zone: [`crate::FaultReport`]; written by the zone's agent.
    pub const FAULT_REPORTS: &str = "fault-reports/";
}

/// Where the application stands between two plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The plan to be reached.
    pub plan: Plan,
    /// The last plan that was reached whole: what a rollback goes back to.
    pub good: Option<Plan>,
    /// How far it is.
    pub phase: RolloutPhase,
}

/// How far a [`Rollout`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum RolloutPhase {
    /// Units of the new plan are being started, those of the old one ended.
    Rolling,
    /// Every unit is of this plan and well.
    Reached,
    /// Going back to `good`, because of `why`.
    RollingBack {
        /// The number of the plan that failed.
        failed: PlanNumber,
        /// Which unit of it failed, and how.
        why: String,
    },
    /// Back at `good`.
    RolledBack {
        /// The number of the plan that failed.
        failed: PlanNumber,
        /// Which unit of it failed, and how.
        why: String,
    },
}

/// Who decides. The record's modification revision is the fencing token of everything the leader writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The zone whose agent leads.
    pub zone: ZoneName,
    /// Its process, for people.
    pub pid: u32,
}

/// An agent says that its zone lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its zone.
    pub zone: ZoneName,
    /// Its process, for people.
    pub pid: u32,
    /// Differs for each start of an agent.
    pub incarnation: u64,
    /// Where units of this zone listen.
    pub address: IpAddr,
    /// The console of this agent.
    pub console: Option<SocketAddr>,
}

/// What a unit should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Run and get requests.
    Run,
    /// Get no new requests, finish the open ones, then stop.
    Drain,
}

/// What one unit should be; the agent of its zone carries it out. A deleted record ends the unit at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Its name, never used again for another unit.
    pub name: UnitName,
    /// The zone that runs it.
    pub zone: ZoneName,
    /// Everything needed to start it.
    pub service: Service,
    /// Equal for units that were made from the same description of the service.
    pub version: u64,
    /// What it should do.
    pub want: Want,
}

/// Where one unit is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Started, not yet healthy once.
    Starting,
    /// Healthy: may get requests.
    Ready,
    /// Was healthy, is not now.
    Unready,
    /// Crashed; waits before the next start.
    Backoff,
    /// Gets no new requests and finishes the open ones.
    Draining,
    /// Asked to end.
    Stopping,
    /// Ended as asked; nothing of it runs.
    Stopped,
    /// Did not become healthy within its start timeout or crashed too often to be worth waiting for.
    Failed,
}

/// What one unit is, as its agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Its name.
    pub name: UnitName,
    /// Its zone.
    pub zone: ZoneName,
    /// Its service.
    pub service: ServiceName,
    /// See [`UnitRecord::version`].
    pub version: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Where it listens; `None` when it has no port.
    pub address: Option<SocketAddr>,
    /// Its process, when one runs.
    pub pid: Option<u32>,
    /// How often it was started again after ending unasked.
    pub restarts: u32,
    /// The last thing worth telling a person: an exit status, a failed probe.
    pub detail: String,
}

/// What a zone's front does, as its agent sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontRecord {
    /// The zone.
    pub zone: ZoneName,
    /// Addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// Addresses it should listen on and cannot, with the reason.
    #[serde(default)]
    pub refused: Vec<(SocketAddr, String)>,
    /// Store revision of the newest snapshot the front serves from.
    pub applied: u64,
    /// Draining units that still hold requests of this front, and how many. Absent: none.
    pub busy: BTreeMap<UnitName, u32>,
    /// Requests so far, by service.
    pub counters: BTreeMap<ServiceName, ServiceCounters>,
}

/// What a zone's data front does, as its agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFrontRecord {
    /// The zone.
    pub zone: ZoneName,
    /// Addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// Addresses it should listen on and cannot, with the reason.
    pub refused: Vec<(SocketAddr, String)>,
}

/// A drill asks the agent of a zone to break the primary of a database. The fault is undone after its time, or sooner when
/// the order is gone and the agent learns of that, as it does not in a cut: the order is under a lease that the drill renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultOrder {
    /// Another for each order.
    pub number: u64,
    /// The node.
    pub unit: UnitName,
    /// [`FaultKind::Cut`] takes the zone's host off from the other zones and the store.
    pub kind: FaultKind,
    /// Broken for so long, in milliseconds.
    pub held_ms: u64,
}

/// What became of a [`FaultOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// The order's.
    pub number: u64,
    /// How far it is. [`FaultState::Broken`] of a cut is written right before it, since nothing can be after; when it then
    /// comes to nothing, [`FaultState::Refused`] follows.
    pub state: FaultState,
}

/// See [`FaultReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FaultState {
    /// It was not broken.
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// It is broken.
    Broken,
    /// Nothing is broken any more.
    Mended {
        /// So long after it was broken, in milliseconds.
        after_ms: u64,
    },
}

/// The address of a zone on this machine or network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneAddress {
    /// The zone.
    pub zone: ZoneName,
    /// Fronts and units of the zone listen here.
    pub address: IpAddr,
}
