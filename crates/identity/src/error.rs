use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use time::OffsetDateTime;

/// What the caller may conclude from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Trying again is safe and may help: the disk was full, another process was writing.
    Transient,
    /// The same call will fail again until somebody changes a file, the clock or the request.
    Permanent,
}

/// Everything that can go wrong with keys, certificates and secrets. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Others can read or change a file or folder on whose secrecy everything rests; or it belongs to another user.
    #[error("`{path}` is not safe: {why}\nhint: {hint}")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Who could do what.
        why: String,
        /// The way out.
        hint: String,
    },
    /// There is an authority already; it is not replaced.
    #[error("`{path}` is there already\nhint: open it, or move it away to start with a new authority")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A file that should be there is not.
    #[error("`{path}` is missing")]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A file was cut short or changed by something else; nothing in it is used.
    #[error(
        "`{path}` is damaged: {why}\nhint: restore it from a backup, or move it away and have a new one made"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How it was noticed.
        why: String,
    },
    /// A key and a certificate side by side are not of each other: writing them was cut short between the two.
    #[error("key and certificate in `{dir}` do not belong together\nhint: issue a new pair")]
    Mismatch {
        /// The folder.
        dir: PathBuf,
    },
    /// A text is no certificate that can be read.
    #[error("this is not a certificate: {why}")]
    NotACertificate {
        /// How it was noticed.
        why: String,
    },
    /// The clock cannot be right: it is before this program was written, or past what dates can say.
    #[error("this machine's clock says {now}, which cannot be\nhint: set the clock, then try again")]
    Clock {
        /// What the clock says.
        now: When,
    },
    /// Now is before the certificate's life: the clock was set back, or was ahead when it was issued.
    #[error(
        "the certificate of `{name}` is valid from {from}, and this machine's clock says {now}\nhint: set the clock; if it was wrong when the certificate was issued, have a new one issued"
    )]
    NotYetValid {
        /// Whose.
        name: String,
        /// Start of its life.
        from: When,
        /// What the clock says.
        now: When,
    },
    /// Now is past the certificate's life, or the clock was set forward.
    #[error(
        "the certificate of `{name}` was valid until {until}, and this machine's clock says {now}\nhint: have a new one issued, unless the clock is ahead"
    )]
    Expired {
        /// Whose.
        name: String,
        /// End of its life.
        until: When,
        /// What the clock says.
        now: When,
    },
    /// What was asked for cannot be issued or kept.
    #[error("{what}: {why}")]
    Request {
        /// What of the request, with its value.
        what: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Another process holds the file's lock. It takes a writer some milliseconds.
    #[error("`{path}` is being written by another process\nhint: `fuser {path}` names it")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} `{path}`")]
    File {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: io::Error,
    },
    /// The cryptographic library or the kernel's random numbers failed.
    #[error("cannot make {what}: {why}")]
    Crypto {
        /// What was to be made.
        what: &'static str,
        /// What was said.
        why: String,
    },
}

impl IdentityError {
    /// What the caller may conclude.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            IdentityError::Busy { .. } => Class::Transient,
            IdentityError::File { cause, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::ReadOnlyFilesystem => Class::Permanent,
                _ => Class::Transient,
            },
            _ => Class::Permanent,
        }
    }
}

/// A point in time as people read it, in UTC, to the minute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub SystemTime);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from(self.0);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", at.hour(), at.minute())
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
