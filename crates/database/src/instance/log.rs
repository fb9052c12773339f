//! How much log lies in the data, and keeping it from growing with every switch.
//!
//! A promotion begins a timeline, and a timeline has a file of its own for the segment it begins in: all of it for each
//! switch, however little was written. PostgreSQL removes segments by their place in the log and not by their timeline, so
//! that these files stay until the log has moved on by `wal_keep_size` and a checkpoint was made. A rewind copies all that
//! its source has.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::decide_log::{self, SEGMENT_BYTES as SEGMENT};
use super::{Instance, InstanceError};

/// More log than this, and the newest segment in more than one timeline: the log moves on.
const MANY: u64 = 10 * SEGMENT;

/// What lies in `pg_wal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFiles {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u32,
    /// Timelines that have a file of the segment in which the newest timeline began.
    pub timelines: u32,
}

/// `000000040000000000000007`: timeline 4, segment 7. Not one that is only a part.
fn segment(name: &str) -> Option<(u32, u64)> {
    decide_log::segment(name).filter(|_| !name.ends_with(".partial"))
}

impl LogFiles {
    /// Of the names in the folder.
    fn of(names: impl Iterator<Item = String>) -> LogFiles {
        let mut first_of = BTreeMap::<u32, u64>::new();
        let all: Vec<(u32, u64)> = names.filter_map(|name| segment(&name)).collect();
        for (timeline, number) in &all {
            let first = first_of.entry(*timeline).or_insert(*number);
            *first = (*first).min(*number);
        }
        let newest = first_of.last_key_value().map(|(_, first)| *first);
        let timelines = all.iter().filter(|(_, number)| Some(*number) == newest).count();
        let segments = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let timelines = u32::try_from(timelines).unwrap_or(u32::MAX);
        LogFiles { bytes: u64::from(segments) * SEGMENT, segments, timelines }
    }
}

impl Instance {
    /// Looks into `pg_wal`; one folder, whether or not the server runs.
    ///
    /// # Errors
    /// [`InstanceError::File`].
    pub fn log_files(&self) -> Result<LogFiles, InstanceError> {
        let folder = self.data().join("pg_wal");
        let entries = fs::read_dir(&folder).map_err(InstanceError::file("read", &folder))?;
        Ok(LogFiles::of(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok())))
    }

    /// Whether the log's files are as long as this version takes them to be.
    ///
    /// # Errors
    /// [`InstanceError::Unable`] when they are not; [`InstanceError::File`].
    pub(super) fn check_segments(&self) -> Result<(), InstanceError> {
        let folder = self.data().join("pg_wal");
        let entries = fs::read_dir(&folder).map_err(InstanceError::file("read", &folder))?;
        let one = entries.flatten().find(|entry| entry.file_name().to_str().and_then(segment).is_some());
        let bytes = one.and_then(|entry| entry.metadata().ok()).map_or(SEGMENT, |found| found.len());
        if bytes == SEGMENT {
            return Ok(());
        }
        Err(InstanceError::Unable {
            what: format!(
                "the log in `{}` is in segments of {bytes} bytes instead of {SEGMENT}",
                folder.display()
            ),
            hint: "an earlier version has made this data: dump the database with that version, remove its data and \
                   restore the dump",
        })
    }

    /// Of a primary that has just been promoted and made a checkpoint: when switch after switch began in the same segment,
    /// the log goes on in the next one, so that the files of the timelines before can go. That sends standbys the rest of
    /// a segment, which is why it is not done at every switch.
    ///
    /// # Errors
    /// As [`Instance::checkpoint`].
    pub async fn trim_log(&self, within: Duration) -> Result<(), InstanceError> {
        let files = self.log_files()?;
        if files.timelines < 2 || files.bytes <= MANY {
            return Ok(());
        }
        const SQL: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_switch_wal() END";
        self.aside("go on in the next segment of the log", SQL, within).await?;
        self.checkpoint(within).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timelines_that_began_in_one_segment_are_counted() {
        let of = |names: &[&str]| LogFiles::of(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(of(&["archive_status", "00000002.history"]), LogFiles::default());
        let files = of(&[
            "000000010000000000000006",
            "000000010000000000000007",
            "000000020000000000000007",
            "000000030000000000000007",
            "000000030000000000000008",
            "00000003.history",
            "000000030000000000000007.partial",
        ]);
        assert_eq!(files, LogFiles { bytes: 5 * SEGMENT, segments: 5, timelines: 3 });
    }
}
