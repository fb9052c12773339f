//! PostgreSQL over zones: one primary, standbys, and a switch in about a second that loses no acknowledged write.
//!
//! Promise: a commit that was acknowledged is in every later primary; at most one node can acknowledge in a term; when
//! faults stop, the database comes back without anybody's help as long as enough nodes are left. None of this rests on a
//! clock: a wrong suspicion costs a short switch, never data.
//!
//! Deliberately absent: consensus (the store's work), replication and recovery (PostgreSQL's), clocks in any argument
//! about safety, and promotion of a standby in another region.
//!
//! Entry points: [`choose`] is the whole brain of one keeper, pure, as a table of [`RULES`]; [`Memory`] makes time into
//! the [`Judgement`] it needs; [`sim`] plays disasters against it. Why it is safe: `docs/decisions/0005-failover.md`.

mod decide;
mod decide_alarm;
mod decide_elect;
mod decide_flaw;
mod decide_follow;
mod decide_lease;
mod decide_lease_memory;
mod decide_memory;
mod decide_position;
mod decide_quorum;
mod decide_reign;
mod decide_scene;
mod decide_unrest;
mod decide_view;
mod decide_witness;
pub mod instance;
pub mod keeper;
pub mod path;
pub mod peers;
pub mod shelf;
pub mod sim;

pub use decide::{RULES, Rule, choose, choose_with};
pub use decide_alarm::{Alarms, NO_PRIMARY_MS, awaited};
pub use decide_flaw::{FLAWS, Flaw, LEASE_FLAWS};
pub use decide_lease_memory::{
    LEASE_BEHIND_MS, LEASE_CLOSE_MS, LEASE_DRIFT_PERCENT, LEASE_FENCE_MS, LEASE_LOSS_MS, LEASE_RENEW_MS,
    LEASE_RTO_MS, LEASE_STALL_MS, LEASE_TAKE_OVER_MS, LEASE_TTL_MS, LeaseMemory,
};
pub use decide_memory::{
    BEAT_MS, HANDOVER_MS, MISSING_MS, Memory, PATIENCE_MS, Peer, STEADY_MS, STUCK_MS, SUSPECT_MS,
};
pub use decide_position::{Kinship, kinship, position};
pub use decide_quorum::{Step, first, holds, step};
pub use decide_unrest::{FAULT_POINTS, FLAP_POINTS, FORGIVE_MS, UNREST_MAX, is_spent};
pub use decide_view::{
    Action, Alone, Docs, Durable, Judgement, Kept, Sender, Server, Sync, Tenure, Upstream, View,
};
