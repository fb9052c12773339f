use std::io;
use std::path::PathBuf;

/// Why the engine cannot start, or an emulated zone cannot be made or broken.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file or folder of the state.
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
    /// Another engine runs the units of this zone; a second one would start a second copy of each.
    #[error("another agent already runs the units in `{}`", path.display())]
    Busy {
        /// The lock both want.
        path: PathBuf,
    },
    /// A program of the system failed or is missing.
    #[error("`{command}` failed: {says}")]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        says: String,
    },
    /// What was asked for cannot be done here; `hint` is the way out.
    #[error("{what}\nhint: {hint}")]
    Unable {
        /// What cannot be done, and why.
        what: String,
        /// The way out.
        hint: String,
    },
}

/// May the caller try again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Yes: the cause may go away by itself.
    Transient,
    /// No: somebody has to change something.
    Permanent,
}

impl EngineError {
    /// May the caller simply try again?
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            EngineError::Busy { .. } => Class::Transient,
            EngineError::File { .. } | EngineError::Command { .. } | EngineError::Unable { .. } => {
                Class::Permanent
            }
        }
    }

    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> EngineError {
        let path = path.into();
        move |cause| EngineError::File { what, path, cause }
    }
}
