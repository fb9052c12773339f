use std::net::SocketAddr;
use std::path::PathBuf;

use crate::breaking::BreakError;
use crate::database::WorkloadError;

/// Why a drill has no verdict. None of these says anything about the application; whatever had been broken was
/// healed, except for [`DrillError::NotHealed`].
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// An option is out of its range.
    #[error("{0}")]
    Options(String),
    /// A front gave no good answer before anything was broken.
    #[error("front {front} does not answer `GET {path}`: {why}")]
    FrontSilent {
        /// Its address.
        front: SocketAddr,
        /// What was asked.
        path: String,
        /// What came instead.
        why: String,
    },
    /// Requests failed before anything was broken; nothing was broken then.
    #[error(
        "the application is not calm: {failed} of {requests} requests failed before anything was broken; the first: {first}"
    )]
    NotCalm {
        /// How many failed.
        failed: u64,
        /// Of how many.
        requests: u64,
        /// What the first one saw.
        first: String,
    },
    /// The fault could not be carried out.
    #[error("the fault could not be carried out")]
    Break(#[source] BreakError),
    /// Something is still broken. A person must look.
    #[error("what the drill broke could not be healed")]
    NotHealed(#[source] BreakError),
    /// Somebody asked it to stop; it healed and stopped.
    #[error("stopped before the end; what was broken is healed")]
    Interrupted,
    /// The client ran out of its own means, so that what it saw says nothing about the application.
    #[error("the load generator could not go on: {0}")]
    Client(String),
    /// A journal could not be read, so that effects could not be counted.
    #[error("cannot read the journal `{}`", path.display())]
    Journal {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The load on a database could not be made, or what survived could not be read.
    #[error(transparent)]
    Database(#[from] crate::database::WorkloadError),
    /// The orders in a database could not be read, so that effects could not be counted.
    #[error("cannot read the orders in the database")]
    Orders(#[source] WorkloadError),
    /// The load generator could not start or did not end.
    #[error("cannot run the load generator")]
    Load(#[source] std::io::Error),
}
