//! Replicas over zones: placed, watched, replaced, rolled.
//!
//! Promise: a service keeps its replicas evenly over the living zones; a lost zone's replicas are started
//! again in the others at once; a change goes through one replica at a time without losing capacity, and a
//! version that does not become well is taken back without anybody asking.
//!
//! Deliberately absent: starting processes (`engine`), fronts (each agent owns its own), detection of a dead
//! zone (the agent's lease in the store is the detector), and choosing how many replicas (`plan`).
//!
//! Entry points: [`decide`] is the whole brain, pure; [`lead`] elects one leader and carries out what it
//! decides; [`sim`] plays thousands of disasters against the same `decide` in virtual time.

mod decide;
mod decide_service;
mod decide_view;
mod drive;
mod mirror;
pub mod sim;

pub use decide::{GATHER_MS, Memory, PATIENCE, SETTLE_MS, decide};
pub use decide_view::{Action, Guard, Kept, View, ZoneView, guards};
pub use drive::{LeadOptions, MARGIN_MS, RENEW_MS, Standing, TICK_MS, TTL_MS, lead};
