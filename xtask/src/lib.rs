//! The tasks of this repository: `cargo xtask help` lists them.
//!
//! Promise: builds in seconds, needs nothing but a Rust toolchain, and says what it is about to do to the machine
//! before it does it.

pub mod tidy;
