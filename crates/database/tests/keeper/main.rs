//! Three keepers with real servers, on loopback addresses.

// Helpers of tests, where an error is the test's.
#![allow(clippy::unwrap_used)]

mod alone;
mod failover;
mod lease;
mod room;
mod site;
mod wanted;
mod witness;
