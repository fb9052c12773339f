//! What `status` and the console show. Built from the store by `evenkeel/src/wire`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{DatabaseName, Mode, Phase, PlanNumber, ServiceName, Term, UnitName, Verdict, Warning, ZoneName};

/// The whole picture at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The application; empty while none is applied.
    pub app: String,
    /// The plan in force.
    pub plan: PlanNumber,
    /// `rolling`, `reached`, `rolling back: why`, `rolled back: why`.
    pub rollout: String,
    /// The zone whose agent leads; `None`: nobody now.
    pub leader: Option<ZoneName>,
    /// Addresses one can send requests to.
    pub entries: Vec<SocketAddr>,
    /// The zones in order.
    pub zones: Vec<ZoneStatus>,
    /// Every unit, fronts included.
    pub units: Vec<UnitStatus>,
    /// Every database of the plan. Absent in pictures of versions that ran none.
    #[serde(default)]
    pub databases: Vec<DatabaseStatus>,
    /// What a person must know now, the oldest first. Absent in pictures of versions that had none.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What is wrong with the store although it answers, with the way out. Absent in pictures of versions that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What was promised and what is.
    pub objectives: ObjectiveStatus,
    /// The newest drills, newest first.
    pub drills: Vec<Verdict>,
    /// Unix time of this picture in milliseconds.
    pub at_ms: u64,
    /// `false` for a run on one machine, which survives no loss of that machine.
    pub highly_available: bool,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// Its name.
    pub zone: ZoneName,
    /// Its agent renews its lease.
    pub alive: bool,
    /// Its front, as far as known.
    pub front: Option<SocketAddr>,
}

/// One unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Its name.
    pub name: UnitName,
    /// Its zone.
    pub zone: ZoneName,
    /// Its service or database; `edge` and `data` for fronts.
    pub service: ServiceName,
    /// Where it is in its life.
    pub state: Phase,
    /// `replica` or `front`; of a database's node `primary` or `standby`.
    pub role: String,
    /// Ready to get requests; a standby: it receives what the primary writes.
    pub healthy: bool,
    /// Starts after an unasked end.
    pub restarts: u32,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Its process.
    pub pid: Option<u32>,
    /// The last thing worth telling.
    pub detail: String,
}

/// One database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Its name in the file.
    pub name: DatabaseName,
    /// Where applications reach it: the data front of each zone that answers.
    #[serde(default)]
    pub entries: Vec<SocketAddr>,
    /// How it keeps what it has acknowledged.
    pub mode: Mode,
    /// Counts its primaries; 0: there was none yet.
    pub term: Term,
    /// `starting`, `electing`, `promoting`, `serving`, `handing over`; `unknown` when the store says nothing readable.
    pub phase: String,
    /// The primary; `None`: there is none now.
    pub primary: Option<UnitName>,
    /// The standbys whose acknowledgement counts.
    pub members: Vec<UnitName>,
    /// How many of `members` must have a write on disk before it is acknowledged; 0: the primary's disk is enough.
    pub need: u32,
    /// Log that the primary alone has while it goes on without a standby, in bytes: lost with its disk. `None`: somebody
    /// else has all of it, or writes wait.
    #[serde(default)]
    pub only_here_bytes: Option<u64>,
    /// [`Mode::rto_ms`]; `None` too while nobody could take over.
    #[serde(default)]
    pub rto_ms: Option<u64>,
    /// [`Mode::rpo_ms`]; `None` too while nobody could take over.
    #[serde(default)]
    pub rpo_ms: Option<u64>,
    /// It takes and acknowledges writes, as far as its primary's keeper says.
    pub healthy: bool,
}

/// Objectives beside what is measured. What was not measured is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    /// Asked for, in percent.
    pub availability_percent: Option<f64>,
    /// Share of requests answered well since the start, in percent.
    pub measured_percent: Option<f64>,
    /// Requests behind `measured_percent`.
    pub requests: u64,
    /// Of which went wrong.
    pub errors: u64,
    /// Endpoints that fronts took out, each time counted by each front.
    #[serde(default)]
    pub ejections: u64,
    /// Requests in a second, now.
    pub rps: Option<f64>,
    /// Asked for.
    pub rto_zone_ms: Option<u64>,
    /// The longest time without success that a zone drill has measured.
    pub measured_rto_zone_ms: Option<u64>,
    /// Asked for.
    pub budget_usd_month: Option<f64>,
    /// What the plan costs.
    pub planned_usd_month: Option<f64>,
}
