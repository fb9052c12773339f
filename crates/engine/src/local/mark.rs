//! Down-marks: a drill tells the supervisor to leave a zone dead for a while. A mark ends by its deadline, and with
//! the drill that made it, so that a crashed drill never keeps a zone down.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::ZoneName;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::{EngineError, record};

/// The longest time a zone may be held down, in milliseconds: an hour.
pub const DOWN_MAX_MS: u64 = 3_600_000;

/// Why and until when a zone is not to be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownMark {
    /// Unix time in milliseconds.
    pub until_ms: u64,
    /// The drill.
    pub drill: ProcessId,
}

fn path(state: &Path, zone: &ZoneName) -> PathBuf {
    state.join("down").join(zone.as_str())
}

/// Marks a zone as held down by this process for `for_ms` milliseconds, at most [`DOWN_MAX_MS`].
///
/// # Errors
/// [`EngineError::File`] when it cannot be written.
pub fn mark_down(state: &Path, zone: &ZoneName, unix_ms: u64, for_ms: u64) -> Result<(), EngineError> {
    let path = path(state, zone);
    let Some(drill) = ProcessId::own() else { return Ok(()) };
    let folder = state.join("down");
    fs::create_dir_all(&folder).map_err(EngineError::file("create", folder))?;
    let mark = DownMark { until_ms: unix_ms.saturating_add(for_ms.min(DOWN_MAX_MS)), drill };
    let bytes = serde_json::to_vec(&mark).unwrap_or_default();
    record::replace(&path, &bytes).map_err(EngineError::file("write", path))
}

/// The mark of a zone that is in force at `unix_ms`; one that cannot be read, or reaches further than a mark may
/// (the wall clock was set back), is in force no longer.
#[must_use]
pub fn down(state: &Path, zone: &ZoneName, unix_ms: u64) -> Option<DownMark> {
    let mark: DownMark = serde_json::from_slice(&fs::read(path(state, zone)).ok()?).ok()?;
    let left_ms = mark.until_ms.saturating_sub(unix_ms);
    (left_ms > 0 && left_ms <= DOWN_MAX_MS && mark.drill.alive()).then_some(mark)
}

/// Removes the mark of a zone.
///
/// # Errors
/// [`EngineError::File`] when it cannot be removed; that there is none is no error.
pub fn clear_down(state: &Path, zone: &ZoneName) -> Result<(), EngineError> {
    let path = path(state, zone);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::File { what: "remove", path, cause: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_held_down_no_longer_than_the_drill_lives_or_said() {
        let state = std::env::temp_dir().join(format!("ek-mark-{}", std::process::id()));
        let zone = ZoneName::new("b").unwrap();
        let now = 1_700_000_000_000;
        assert_eq!(down(&state, &zone, now), None);
        mark_down(&state, &zone, now, 5_000).unwrap();
        assert!(down(&state, &zone, now + 4_999).is_some());
        assert_eq!(down(&state, &zone, now + 5_000), None);
        assert_eq!(down(&state, &zone, now - 2 * DOWN_MAX_MS), None, "the wall clock was set back");

        let own = ProcessId::own().unwrap();
        let gone = DownMark { until_ms: now + 5_000, drill: ProcessId { started: own.started + 1, ..own } };
        fs::write(path(&state, &zone), serde_json::to_vec(&gone).unwrap()).unwrap();
        assert_eq!(down(&state, &zone, now), None, "the drill crashed");
        fs::write(path(&state, &zone), b"{").unwrap();
        assert_eq!(down(&state, &zone, now), None, "half a mark");
        clear_down(&state, &zone).unwrap();
        clear_down(&state, &zone).unwrap();
        fs::remove_dir_all(&state).unwrap();
    }
}
