//! Exports as the clouds' own tools would read them.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod fixture;
mod open;
mod program;
mod readme;
mod refused;
mod schema;
mod scripts;
mod template;
mod whole;
