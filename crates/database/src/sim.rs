//! Disasters for the real rules, without a clock: whatever may happen next, may happen at any moment.
//!
//! A [`World`] is a store, servers with their logs and timelines, and keepers that run [`crate::choose_with`]. A [`Move`] is
//! one thing that happens: a keeper looks and acts, acts late on what it saw long ago, bytes arrive, an answer arrives, a
//! server dies. Freezing and cutting off need no moves of their own: they are the schedules in which nothing of a node
//! happens for long. After every move [`World::broken`] checks what must always hold:
//!
//! - whatever was acknowledged is in the log of the primary that serves, and of every later one;
//! - in a term at most one node acknowledges;
//! - no server streams from one whose log does not begin with its own.
//!
//! [`random`] plays one schedule of a seed and then checks that the cluster heals; the tests explore small worlds
//! exhaustively, and show that every [`crate::Flaw`] is noticed. [`Timed`] plays the same rules in virtual time.

mod act;
mod disk;
mod lease;
mod random;
#[cfg(test)]
pub(crate) use random::calm;
pub use random::{Failure, Outcome, random, random_replanned, random_with_witness};
mod timed;
mod world;

pub use lease::{ASSUMED, Assumed, LeaseFailure, LeaseOutcome, lease};

pub use disk::{Disk, Entry, State};

pub use timed::{Gap, Pace, Timed};

pub use world::{Budget, Flight, Keeper, Move, Node, Plan, Run, World};

#[cfg(test)]
mod canonical;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod explore_tests;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod relabel;
