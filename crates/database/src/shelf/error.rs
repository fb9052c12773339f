use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use store::Class;

/// Why nothing was taken from a witness.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The witness cannot be reached, or the connection broke; what is whole is kept for the next try.
    #[error("the witness at {at} does not give its log")]
    Broken {
        /// Where.
        at: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Who answers does not hold the keepers' key, or is another node.
    #[error("who answers at {at} does not hold the keepers' key, or is another node")]
    Stranger {
        /// Where.
        at: SocketAddr,
    },
    /// The witness does not give it.
    #[error("the witness at {at} does not give its log: {why}")]
    Refused {
        /// Where.
        at: SocketAddr,
        /// Its reason.
        why: String,
    },
    /// What it offers, or has given, is not what it told of. Nothing of it is used.
    #[error("what the witness at {at} gives is not used: {why}")]
    Unfit {
        /// Where.
        at: SocketAddr,
        /// Why.
        why: String,
    },
    /// The own disk.
    #[error("`{path}` cannot be {what}")]
    Disk {
        /// `written`, `removed`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl ShelfError {
    /// May the caller try again?
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            ShelfError::Broken { .. } | ShelfError::Refused { .. } | ShelfError::Disk { .. } => {
                Class::Transient
            }
            ShelfError::Stranger { .. } | ShelfError::Unfit { .. } => Class::Permanent,
        }
    }
}
