//! What may be given, and what may be taken. Pure.

use model::{Lsn, Term};

use crate::instance::decide_log::{HISTORY_BYTES_MAX, LogFile, Received, SEGMENT_BYTES, log_file};

/// What a witness gives, while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The term in which it is cut off.
    pub term: Term,
    /// Its log.
    pub log: Received,
}

/// One file of a log, or the part of it that is given.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileNote {
    /// Its name, as PostgreSQL's.
    pub name: String,
    /// So many bytes come.
    pub bytes: u64,
}

/// Histories of one log: one for each promotion, and 64 reigns are remembered.
const HISTORIES_MAX: usize = 1_024;

/// The numbers of the segments that hold what lies between `from` and `upto`.
#[must_use]
pub fn segments(from: Lsn, upto: Lsn) -> std::ops::RangeInclusive<u64> {
    from.0 / SEGMENT_BYTES..=upto.0.saturating_sub(1) / SEGMENT_BYTES
}

/// The bytes of segment `number` that lie before `upto`.
#[must_use]
pub fn bytes_of(number: u64, upto: Lsn) -> u64 {
    upto.0.saturating_sub(number.saturating_mul(SEGMENT_BYTES)).min(SEGMENT_BYTES)
}

/// Why a witness that offers `offer` gives nothing to who asks in `term` for what lies between `from` and `upto`; `None`:
/// it gives.
#[must_use]
pub fn refusal(offer: Option<&Offer>, term: u64, from: Lsn, upto: Lsn) -> Option<String> {
    let Some(offer) = offer else { return Some("it is not cut off".to_owned()) };
    if offer.term != term {
        return Some(format!("it is cut off in term {}, not in term {term}", offer.term));
    }
    if offer.log.end != upto {
        return Some(format!("its log ends at {}, not at {upto}", offer.log.end));
    }
    if from >= upto {
        return Some(format!("nothing lies between {from} and {upto}"));
    }
    (from < offer.log.from).then(|| format!("its log begins at {}, behind {from}", offer.log.from))
}

/// Why `files` are not what lies between `from` and `upto`; `None`: they are.
#[must_use]
pub fn unfit(files: &[FileNote], from: Lsn, upto: Lsn) -> Option<String> {
    let mut wanted = segments(from, upto);
    let (mut histories, mut timeline) = (0, 0);
    for file in files {
        // A name that holds anything but digits and letters is none of these, so it stays in its folder.
        match log_file(&file.name) {
            None => return Some(format!("`{}` is no file of a log", shown(&file.name))),
            Some(_) if file.name.contains('.') && !file.name.ends_with(".history") => {
                return Some(format!("`{}` is no whole name", shown(&file.name)));
            }
            Some(LogFile::History { .. }) => {
                histories += 1;
                if file.bytes > HISTORY_BYTES_MAX || histories > HISTORIES_MAX {
                    return Some(format!("`{}` is more history than there can be", file.name));
                }
            }
            Some(LogFile::Segment { timeline: of, number }) => {
                if wanted.next() != Some(number) || of < timeline {
                    return Some(format!("`{}` is not the segment that comes next", file.name));
                }
                timeline = of;
                let bytes = bytes_of(number, upto);
                if file.bytes != bytes {
                    return Some(format!("of `{}` come {} bytes, not {bytes}", file.name, file.bytes));
                }
            }
        }
    }
    wanted.next().map(|number| format!("segment {number} is missing"))
}

/// The beginning of a name that somebody else chose.
fn shown(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_default).collect()
}
