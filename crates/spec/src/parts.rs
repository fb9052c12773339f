//! Which parts of evenkeel this version runs. Notes, refusals, reference page and schema follow this one list.

/// A part of the file that is read, checked and planned before `up` can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `databases`.
    Databases,
}

/// The parts that a version runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `databases`: `up` starts PostgreSQL and gives each service its `${NAME.url}`.
    pub databases: bool,
}

impl Parts {
    /// Those of this version.
    pub const BUILT: Parts = Parts { databases: true };
}
