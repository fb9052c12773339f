//! The names of a log's files, and what there is of a log. Pure.

use model::Lsn;

/// Bytes of a segment, a file of the log, as `initdb` makes it. A promotion copies the one in which the log ended and syncs
/// it before anybody can write, and each such file stays for a while and is copied by rewinds. With PostgreSQL's own 16 MiB
/// a node had 480 MiB of log after 16 switches in two minutes, with 4 MiB 92.
pub const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Most bytes of a history: a line for each time that a standby was promoted.
pub const HISTORY_BYTES_MAX: u64 = 1024 * 1024;

/// What a witness holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whole segments from here.
    pub from: Lsn,
    /// Up to here, the end of a record.
    pub end: Lsn,
    /// The timeline of the newest file.
    pub timeline: u32,
}

/// What a name in a log's folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// A segment.
    Segment {
        /// Its timeline.
        timeline: u32,
        /// Its number: it begins at so many times [`SEGMENT_BYTES`].
        number: u64,
    },
    /// How a timeline came to be.
    History {
        /// That timeline.
        timeline: u32,
    },
}

/// What `name` stands for; `None`: it is no file of a log.
#[must_use]
pub fn log_file(name: &str) -> Option<LogFile> {
    let segment = segment(name).map(|(timeline, number)| LogFile::Segment { timeline, number });
    segment.or_else(|| history(name).map(|timeline| LogFile::History { timeline }))
}

/// `000000020000000000000004.partial`: timeline 2, segment 4 (documentation, 30.6 "WAL Internals").
pub(super) fn segment(name: &str) -> Option<(u32, u64)> {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let plain = name.len() == 24 && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    let part = |from: usize| u32::from_str_radix(name.get(from..from + 8)?, 16).ok();
    let (timeline, high, low) = (part(0)?, part(8)?, u64::from(part(16)?));
    // More of them in 4 GiB there cannot be: no place in a log has such a number.
    const IN_4_GIB: u64 = 0x1_0000_0000 / SEGMENT_BYTES;
    (plain && low < IN_4_GIB).then(|| (timeline, u64::from(high) * IN_4_GIB + low))
}

/// `00000002.history`: how timeline 2 came to be.
pub(super) fn history(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".history")?;
    let plain = number.len() == 8 && number.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    u32::from_str_radix(number, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::{SEGMENT_BYTES, segment};

    #[test]
    fn names_of_files_are_timelines_and_segments() {
        assert_eq!(segment("000000020000000000000004.partial"), Some((2, 4)));
        assert_eq!(segment("0000000A00000002000000FF"), Some((10, 2303)));
        let last = segment("0000000AFFFFFFFF000003FF").unwrap().1;
        assert_eq!(last * SEGMENT_BYTES, u64::MAX - SEGMENT_BYTES + 1);
        for other in [
            "00000002.history",
            "000000020000000000000004.backup",
            "junk",
            "00000002000000000000000g",
            "000000020000000000000400",
            "00000002FFFFFFFFFFFFFFFF",
        ] {
            assert_eq!(segment(other), None, "{other}");
        }
    }
}
