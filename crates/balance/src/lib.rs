//! The front of a zone: takes requests in and gives each to a replica that answers.
//!
//! Promise: a request that can be saved when a replica, a zone or a connection dies is saved; a request that may
//! have been carried out is never sent twice; whatever is ambiguous in the protocol is refused.
//!
//! Deliberately absent: TLS, HTTP/2 and plain TCP (a later part), and any knowledge of the store: a front serves
//! from its last [`model::FrontSnapshot`] for as long as it runs.
//!
//! Entry points: [`Front::start`], [`Front::report`], [`Front::stop`].

use std::path::PathBuf;
use std::sync::Arc;

use model::{FrontReport, FrontSnapshot};
use tokio::sync::watch;

/// What the operator chooses for one front.
#[derive(Clone, Debug, Default)]
pub struct FrontOptions {
    /// Worker threads; 0 is one for each CPU.
    pub threads: usize,
    /// Where access log lines go; `None` writes none.
    pub access_log: Option<PathBuf>,
}

/// A running front.
pub struct Front {
    _snapshots: watch::Receiver<Arc<FrontSnapshot>>,
}

impl Front {
    /// Starts the front's own threads; serves from every snapshot that arrives, never from an older one.
    #[must_use]
    pub fn start(_options: FrontOptions, snapshots: watch::Receiver<Arc<FrontSnapshot>>) -> Front {
        Front { _snapshots: snapshots }
    }

    /// What the front tells its agent; cheap enough for every 100 ms.
    #[must_use]
    pub fn report(&self) -> FrontReport {
        FrontReport::default()
    }

    /// Numbers in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        String::new()
    }

    /// Stops accepting, finishes open requests with `Connection: close`, and ends after at most `drain_ms`.
    pub async fn stop(self, _drain_ms: u64) {}
}
