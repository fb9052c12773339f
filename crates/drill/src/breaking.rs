//! What a drill needs from whoever can break things.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Instant;

use model::{Fault, UnitName};

/// A fault that can be carried out and undone. The faults of a local run are made by `engine::local`; tests
/// bring fakes.
pub trait Break: Send {
    /// What it breaks and how.
    fn fault(&self) -> Fault;

    /// Which one, as people say it: `b`, `web-2`, `edge-a`.
    fn target(&self) -> String;

    /// Why it cannot be carried out here (a `cut` without root); asked before any load is made.
    fn impossible(&self) -> Option<String> {
        None
    }

    /// Breaks it, within a few milliseconds. Must not block for longer than that: status is watched meanwhile.
    ///
    /// # Errors
    /// [`BreakError`] when it was not broken, or only partly; [`Break::heal`] is called then too.
    fn inject(&mut self) -> impl Future<Output = Result<Injected, BreakError>> + Send;

    /// Undoes it. Doing it twice, or without [`Break::inject`] before, does no harm: it is called again when it
    /// failed, and after a half-done `inject`.
    ///
    /// # Errors
    /// [`BreakError`] when something is still broken.
    fn heal(&mut self) -> impl Future<Output = Result<(), BreakError>> + Send;
}

/// What a fault hit.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Replicas, not fronts.
    pub units: Vec<UnitName>,
    /// The primary of the database that keeps the application's orders was among what it hit.
    pub primary: bool,
    /// Addresses that clients reach the fronts at, as given to the drill.
    pub fronts: Vec<SocketAddr>,
    /// Taken immediately before the first effect. What a client sent later than
    /// [`SLACK_US`](crate::SLACK_US) after it is never excused.
    pub at: Instant,
}

/// Why something could not be broken or healed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct BreakError {
    /// What was tried, as a clause: `cannot freeze zone b`.
    pub what: String,
    /// Why it failed.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BreakError {
    /// An error without a cause below it.
    #[must_use]
    pub fn new(what: impl Into<String>) -> BreakError {
        BreakError { what: what.into(), cause: None }
    }
}
