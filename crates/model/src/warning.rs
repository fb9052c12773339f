//! What a person must know of a database now, with the way out.

use serde::{Deserialize, Serialize};

use crate::DatabaseName;

/// What is wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// There is no primary, and that is more than a switch takes.
    NoPrimary,
    /// No standby is left, and writes wait for one.
    NoStandby,
    /// No standby is left, and writes go on: they are on one disk alone.
    Unprotected,
    /// So many failovers came one after the other that no more are made unasked.
    Restless,
}

/// One warning. It stands as long as what it tells of lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What is wrong, for programs.
    pub kind: WarningKind,
    /// Of which database.
    pub database: DatabaseName,
    /// Since when, as Unix time in milliseconds by the clock of the node that noticed.
    pub since_ms: u64,
    /// What is wrong.
    pub what: String,
    /// What it means for writes and for what has been acknowledged.
    pub means: String,
    /// What to do.
    pub hint: String,
}
