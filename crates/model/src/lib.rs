//! The nouns every part of evenkeel shares.
//!
//! Promise: plain data, no input or output, no clock, no hash order. A type that lives here is one that at
//! least two crates of the same layer must agree on; everything else stays with its part.
//!
//! Deliberately absent: behaviour of the parts (their `decide`), the reader of the user's file (`spec`),
//! and wire formats of other programs.
//!
//! Entry points: [`App`] is what the user asked for, [`Plan`] what evenkeel decided, [`UnitRecord`] and
//! [`UnitState`] what one process should be and is, [`FrontSnapshot`] what a front needs to serve.

mod app;
mod cache;
mod cluster;
mod database;
mod front;
mod lsn;
mod name;
mod plan;
mod quantity;
mod replication;
mod status;
mod template;
mod time;
mod verdict;
mod warning;

pub use app::{
    App, Deploy, Healthcheck, Ingress, Latency, Load, Objectives, PerScope, Placement, Probe, Region,
    Resources, Run, Scale, Scope, Seen, Service, Sharing, Users,
};
pub use cache::{Cache, CacheLoss};
pub use cluster::{
    AgentRecord, DataFrontRecord, FaultOrder, FaultReport, FaultState, FrontRecord, LeaderRecord, Phase,
    Rollout, RolloutPhase, UnitRecord, UnitState, Want, ZoneAddress, keys,
};
pub use database::{Database, DatabaseUrl, Managed, Mode, PlannedDatabase, PlannedNode, WhenAlone};
pub use front::{Endpoint, FrontReport, FrontSnapshot, Listener, Pool, RetryPolicy, Route, ServiceCounters};
pub use lsn::{BadLsn, Lsn};
pub use name::{AppName, BadName, CacheName, DatabaseName, ServiceName, UnitName, ZoneName};
pub use plan::{
    Buys, Cause, Certificate, DataLoss, Layout, Outages, Plan, PlanLine, PlanNumber, PlannedService,
    Rejected, Risk, RoundTrip,
};
pub use quantity::{Availability, BadQuantity, Bytes, Duration, MilliCpu, Money, Rate};
pub use replication::{
    Holding, Lease, NODES_MAX, NodeDoc, NodeId, Nodes, Position, Quorum, Record, Reign, ReignPhase, Term,
};
pub use status::{DatabaseStatus, ObjectiveStatus, Status, UnitStatus, ZoneStatus};
pub use template::{BadTemplate, NoUrl, Piece, Template, Values, Variable};
pub use time::Moment;
pub use verdict::{Fault, FaultKind, FaultTarget, Verdict};
pub use warning::{Warning, WarningKind};
