//! A front between real sockets: clients that misbehave on one side, replicas that die on the other.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod failures;
mod http;
mod lifecycle;
mod support;
