use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Revision;

/// What the caller may conclude from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It was surely not carried out; trying again is safe and may help.
    Transient,
    /// It may have been carried out: read before trying again.
    Unknown,
    /// It was not carried out, and the same request will not be.
    Permanent,
}

/// Why the store did not carry out a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The history a watch asked for is gone: range again, then watch from the revision of that answer plus one.
    #[error("changes before revision {oldest} are gone")]
    Compacted {
        /// The oldest revision a watch can start from.
        oldest: Revision,
    },
    /// A put names a lease that has expired or never was.
    #[error("lease {lease} does not exist")]
    NoLease {
        /// The lease.
        lease: u64,
    },
    /// A transaction changes one key twice.
    #[error("`{key}` is changed twice in one transaction")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A bound of this store was passed.
    #[error("{what} is {value}; it must be from {least} to {most}")]
    Bounds {
        /// What was measured, with its unit.
        what: String,
        /// What was asked for.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// The answer does not fit the request: the peer speaks another version.
    #[error("the answer does not fit the request")]
    Garbled,
    /// More requests wait than the store takes.
    #[error("the store is busy")]
    Busy,
}

impl Refusal {
    /// May the caller try again? Nothing that was refused was carried out.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Refusal::Busy => Class::Transient,
            _ => Class::Permanent,
        }
    }
}

/// Everything that can go wrong with a store, on either side.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store answered, and said no.
    #[error("the store refused: {0}")]
    Refused(Refusal),
    /// No connection to the store, so the request was not sent.
    #[error("cannot reach the store at {address}: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// The last thing that went wrong.
        why: String,
    },
    /// The request was sent and no answer came.
    #[error("no answer from the store at {address}: {why}")]
    NoAnswer {
        /// Where it was sent.
        address: String,
        /// A time-out, or a lost connection.
        why: String,
        /// [`Class::Transient`] for a read, which changes nothing; else [`Class::Unknown`].
        class: Class,
    },
    /// Who listens there cannot show that it holds our token, so the request was not sent. Transient: a program that
    /// took the port while the store was away goes again, and nothing it says may end more than this request.
    #[error(
        "something else listens at {address}: it does not hold our token\nhint: another program took the port, or the store was started with another token file"
    )]
    NotOurStore {
        /// Where.
        address: String,
    },
    /// etcd answered, and did not do it.
    #[error("etcd at {address} declined: {why}")]
    Declined {
        /// The member.
        address: String,
        /// etcd's words.
        why: String,
        /// [`Class::Permanent`] for a missing permission or a bound of etcd's; [`Class::Transient`] for what passes,
        /// a full database among it.
        class: Class,
    },
    /// What should say where a store is does not.
    #[error("`{address}` is no address of a store: {why}")]
    Address {
        /// As it was written; without a password.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate or key for TLS to etcd is missing, damaged, or a key that others may read.
    #[error("cannot use `{path}` for TLS to etcd: {why}")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The token file is missing, unreadable, readable by others or not of 32 bytes.
    #[error("cannot use token file `{path}`: {why}")]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another server holds the file.
    #[error(
        "store file `{path}` is in use by another process\nhint: stop that one first, `fuser {path}` names it"
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The file was not made by this program, or by a newer version of it.
    #[error(
        "`{path}` is not a store file: {why}\nhint: move it away to start with an empty store, or name another path"
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// How it was noticed.
        why: String,
    },
    /// The file was damaged; nothing in it is trusted.
    #[error(
        "store file `{path}` is damaged: {why}\nhint: move it away to start with an empty store; units run on, plans must be applied again"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How it was noticed.
        why: String,
    },
    /// The file cannot be opened or created.
    #[error("cannot open store file `{path}`: {why}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A write or a sync failed. Nothing was acknowledged since and nothing will be: what is on the disk is not
    /// known until the file is opened again.
    #[error("cannot write to store file `{path}`: {why}\nhint: check the disk, then start the store again")]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Our bug: a part of the server ended that must not.
    #[error("the store's `{part}` ended unasked")]
    Internal {
        /// Which.
        part: &'static str,
    },
}

impl StoreError {
    /// What the caller may conclude.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            StoreError::Refused(refusal) => refusal.class(),
            StoreError::Unreachable { .. } | StoreError::NotOurStore { .. } | StoreError::InUse { .. } => {
                Class::Transient
            }
            StoreError::NoAnswer { class, .. } | StoreError::Declined { class, .. } => *class,
            StoreError::Disk { .. } | StoreError::Internal { .. } => Class::Unknown,
            _ => Class::Permanent,
        }
    }

    /// Whether a watch has lost its place: range again and watch from there.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        matches!(self, StoreError::Refused(Refusal::Compacted { .. }))
    }
}
