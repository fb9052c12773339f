//! Tests of the whole with the real programs, each in a state folder of its own on addresses of its own.
//!
//! They run the built `evenkeel` and `shop`: `cargo xtask test` builds both first. The runs share the loopback
//! addresses of the zones, so one runs at a time.

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod changes;
mod database;
mod drills;
mod etcd;
mod hosts;
mod inside;
mod lasting;
mod promises;
mod red;
mod site;
mod turn;
mod up;
