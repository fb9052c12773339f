use std::io;
use std::path::PathBuf;

use crate::instance::InstanceError;

/// Why a keeper does not start, or why one of its effects did not happen.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// Its own file cannot be read or written.
    #[error("the keeper's file `{path}` cannot be {what}")]
    File {
        /// `read`, `written`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// PostgreSQL, or its folder.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The store refuses, or does not answer.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// The others cannot be heard.
    #[error(transparent)]
    Peers(#[from] crate::peers::PeersError),
    /// A witness does not give what this node lacks.
    #[error(transparent)]
    Shelf(#[from] crate::shelf::ShelfError),
    /// The plan does not say where this node or another one is.
    #[error("node {0} has no place in the plan")]
    NoPlace(model::NodeId),
    /// A name does not fit what PostgreSQL takes.
    #[error("`{0}` cannot be the name of a standby or a slot")]
    Name(String),
    /// Something is not as it must be for this effect; the next look says what is to be done.
    #[error("{0}")]
    NotNow(String),
}
