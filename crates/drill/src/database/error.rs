use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the caller may conclude from a [`WorkloadError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Trying again may help.
    Transient,
    /// The same again will fail again.
    Permanent,
}

/// Why a workload, or the reading of what survived, could not go on. None of these says anything about the
/// operations: what a client sees is in the history, never an error.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// An option is out of its range.
    #[error("{0}")]
    Options(String),
    /// The journal could not be written or read.
    #[error("cannot use the journal `{}`", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is no journal of a workload, or one of another version.
    #[error("`{}` does not begin as a journal of this version", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// No address took us in.
    #[error("no server of {addresses:?} answers: {why}")]
    Unreachable {
        /// All that were tried.
        addresses: Vec<SocketAddr>,
        /// What the last one said.
        why: String,
    },
    /// The server refused a statement of ours.
    #[error("the database refused `{statement}`: {why}")]
    Refused {
        /// The statement.
        statement: String,
        /// SQLSTATE, or a clause.
        why: String,
    },
    /// The server answered something that is not what was asked for.
    #[error("the answer to `{statement}` does not fit it")]
    Garbled {
        /// The statement.
        statement: String,
    },
}

impl WorkloadError {
    /// May the caller simply try again?
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            WorkloadError::Unreachable { .. } | WorkloadError::Refused { .. } => Class::Transient,
            WorkloadError::Options(_)
            | WorkloadError::Journal { .. }
            | WorkloadError::NotAJournal { .. }
            | WorkloadError::Garbled { .. } => Class::Permanent,
        }
    }
}
