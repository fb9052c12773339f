//! What a person should know about a node that works, or tries to.

use std::fmt;

use model::Bytes;
use serde::{Deserialize, Serialize};

use crate::instance::LoweredCommit;

/// Less free than this, and PostgreSQL cannot make its next segment of log: one segment.
const FULL: u64 = 16 * 1024 * 1024;
/// A node receives nothing before this much is free: else it would fill up and end within seconds, again and again, and
/// hold up commits each time. Three segments of log.
pub(super) const ROOM: u64 = 3 * FULL;
/// A slot whose standby is away for so long is told of, in milliseconds: longer than a restart or a rewind takes.
pub(super) const AWAY_MS: u64 = 60_000;

/// Something that is not broken yet, or that heals when somebody makes room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Nothing can be written any more, or in a moment.
    DiskFull {
        /// Bytes still free.
        free_bytes: u64,
    },
    /// Less than a tenth is free.
    DiskLow {
        /// Bytes still free.
        free_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// Nothing that is written reaches the disk, and nothing fails either.
    DiskHangs {
        /// For so long, in seconds, in steps of ten.
        seconds: u64,
    },
    /// A standby's log is kept for it, and it does not come for it.
    SlotAway {
        /// The slot.
        slot: String,
        /// Nobody uses it for so long, in milliseconds, in steps of ten seconds.
        away_ms: u64,
        /// Bytes of log that are kept for it, in whole segments.
        kept_bytes: u64,
    },
    /// Log that a standby needs was given up, so that it does not fill the disk: the standby must be copied anew.
    SlotLost {
        /// The slot.
        slot: String,
    },
    /// Commits of a role or in a database do not wait for a standby, as somebody has set.
    Lowered {
        /// Whose.
        whose: String,
        /// The value of `synchronous_commit`.
        value: String,
    },
}

impl Note {
    /// Of a setting that was found.
    pub(super) fn lowered(found: &LoweredCommit) -> Note {
        let LoweredCommit { database, role, value } = found;
        let role = role.as_ref().map(|role| format!("role `{role}`"));
        let database = database.as_ref().map(|database| format!("database `{database}`"));
        let whose = role.into_iter().chain(database).collect::<Vec<_>>().join(" in ");
        Note::Lowered { whose, value: value.clone() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::DiskFull { free_bytes } => {
                write!(f, "its disk is full ({} free): make room, it goes on by itself", Bytes(*free_bytes))
            }
            Note::DiskLow { free_bytes, total_bytes } => {
                write!(f, "its disk is almost full ({} of {} free)", Bytes(*free_bytes), Bytes(*total_bytes))
            }
            Note::DiskHangs { seconds } => {
                write!(
                    f,
                    "its disk takes nothing since {seconds} s: the node does nothing until it does again"
                )
            }
            Note::SlotAway { slot, away_ms, kept_bytes } => write!(
                f,
                "nobody comes for slot `{slot}` since {} s; {} of log are kept for it",
                away_ms / 1_000,
                Bytes(*kept_bytes)
            ),
            Note::Lowered { whose, value } => write!(
                f,
                "commits of {whose} do not wait for a standby (`synchronous_commit` is `{value}`) and can be lost in a \
                 failover: `ALTER ... RESET synchronous_commit`"
            ),
            Note::SlotLost { slot } => {
                write!(f, "slot `{slot}` is lost: its standby was away for too much log and is copied anew")
            }
        }
    }
}

/// What is to be said of a disk.
pub(super) fn of_disk(free_bytes: u64, total_bytes: u64) -> Option<Note> {
    if free_bytes < FULL {
        return Some(Note::DiskFull { free_bytes: free_bytes / FULL * FULL });
    }
    // In steps, so that not every row that is written is news.
    let step = (total_bytes / 100).max(1);
    let free_bytes = free_bytes / step * step;
    (free_bytes < total_bytes / 10).then_some(Note::DiskLow { free_bytes, total_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_of_before_it_is_full_and_not_with_every_row() {
        const MIB: u64 = 1 << 20;
        assert_eq!(of_disk(200 * MIB, 1_000 * MIB), None);
        let low = of_disk(95 * MIB, 1_000 * MIB);
        assert_eq!(low, Some(Note::DiskLow { free_bytes: 90 * MIB, total_bytes: 1_000 * MIB }));
        assert_eq!(low, of_disk(91 * MIB, 1_000 * MIB));
        let full = of_disk(15 * MIB, 1_000 * MIB).unwrap();
        assert_eq!(full.to_string(), "its disk is full (0B free): make room, it goes on by itself");
    }
}
