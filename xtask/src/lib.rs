//! The tasks of this repository: `cargo xtask help` lists them.
//!
//! Promise: builds in seconds, needs nothing but a Rust toolchain, and says what it is about to do to the machine
//! before it does it.

pub mod bench;
pub mod catalog;
pub mod clouds;
pub mod demo;
pub mod install;
pub mod run;
pub mod schemas;
pub mod soak;
pub mod test;
pub mod tidy;
pub mod timings;

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
