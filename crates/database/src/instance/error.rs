use std::io;
use std::path::PathBuf;

pub use store::Class;

use super::Half;

/// Why something with a PostgreSQL server did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// A file or folder of the instance.
    #[error("cannot {what} `{}`", path.display())]
    File {
        /// What was tried: `create`, `read`, `write`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The programs of this version of PostgreSQL are not installed.
    #[error(
        "PostgreSQL {major} is not found in `/usr/lib/postgresql/{major}/bin` nor in the `PATH`\nhint: install `postgresql-{major}`"
    )]
    NotInstalled {
        /// The wanted major version.
        major: u32,
    },
    /// A version with a known hole in what safety rests on.
    #[error(
        "PostgreSQL {found} may acknowledge a commit too early after a start\nhint: install {least} or newer"
    )]
    TooOld {
        /// What is installed.
        found: String,
        /// The first version without it.
        least: String,
    },
    /// Another keeper holds the folder.
    #[error("another keeper already runs the instance in `{}`", path.display())]
    Busy {
        /// The lock both want.
        path: PathBuf,
    },
    /// The folder, or what is in it, belongs to somebody else.
    #[error("`{}` belongs to {found}, not to {wanted}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// What was asked for cannot be done here; `hint` is the way out.
    #[error("{what}\nhint: {hint}")]
    Unable {
        /// What cannot be done, and why.
        what: String,
        /// The way out.
        hint: &'static str,
    },
    /// A clone or a rewind has not come to its end; the data folder is a mixture that must never run.
    #[error("the data in `{}` is half made: a {half} did not come to its end\nhint: clone it again", path.display())]
    HalfMade {
        /// The folder of the instance.
        path: PathBuf,
        /// What was interrupted.
        half: Half,
    },
    /// It wants a stopped server, and processes of one are there.
    #[error("PostgreSQL still runs in `{}`: process {pid}", path.display())]
    StillRuns {
        /// The data folder.
        path: PathBuf,
        /// One of its processes.
        pid: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("`{program}` {how}: {says}")]
    Program {
        /// Which.
        program: &'static str,
        /// How it ended.
        how: String,
        /// The end of what it said, without secrets.
        says: String,
        /// Transient when it was the other side that could not be reached.
        class: Class,
    },
    /// No connection to the server over its Unix socket: it is down, starting, or full.
    #[error("cannot connect to PostgreSQL at `{}`", socket.display())]
    Connect {
        /// The folder of the socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        cause: tokio_postgres::Error,
    },
    /// A statement failed.
    #[error("cannot {what}")]
    Sql {
        /// What it was for.
        what: &'static str,
        /// The cause.
        #[source]
        cause: tokio_postgres::Error,
        /// Unknown when the statement may have had its effect.
        class: Class,
    },
    /// It took too long.
    #[error("cannot {what} within {within_ms} ms")]
    Late {
        /// What.
        what: &'static str,
        /// The limit, in milliseconds.
        within_ms: u64,
        /// Unknown when it may yet come to pass.
        class: Class,
    },
    /// An answer that is not understood.
    #[error("cannot understand {what}: {why}")]
    Garbled {
        /// Whose answer.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl InstanceError {
    /// What the caller may conclude. `Permanent` here means: not by trying again as it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            InstanceError::Busy { .. } | InstanceError::Connect { .. } | InstanceError::StillRuns { .. } => {
                Class::Transient
            }
            InstanceError::Program { class, .. }
            | InstanceError::Sql { class, .. }
            | InstanceError::Late { class, .. } => *class,
            // A full disk is emptied, a descriptor comes back; but whether a write is on the disk is not known.
            InstanceError::File { what: "write" | "sync" | "rename", .. } => Class::Unknown,
            _ => Class::Permanent,
        }
    }

    /// The server takes no more connections (53300, `too_many_connections`): it lives, and its first process says so.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let InstanceError::Connect { cause, .. } = self else { return false };
        cause.code() == Some(&tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS)
    }

    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> InstanceError {
        let path = path.into();
        move |cause| InstanceError::File { what, path, cause }
    }
}
