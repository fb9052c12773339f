//! The output of units: written by them straight into a file, so that it survives the agent and nothing is lost or
//! blocked while there is none.
//!
//! The file is therefore kept small from outside, by copying and cutting: what a unit writes between the last look
//! of the copy and the cut, some microseconds, is lost. Handing the output through the agent instead would lose all
//! of it with the agent, and end units that write into the closed pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Size at which a log is turned, in bytes.
pub const LOG_MAX: u64 = 8 * 1024 * 1024;
/// Old logs kept: `log.1` (the newest) to `log.3`.
pub const LOGS_KEPT: u32 = 3;
/// Looks after what was written during the copy, before the cut.
const LOOKS: u32 = 3;

/// Opens a log for a unit to append to, mode 0600.
///
/// # Errors
/// Whatever the file system says.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    path.with_file_name(format!("log.{number}"))
}

/// Removes a log and the old ones of it; what cannot be removed stays.
pub fn remove(path: &Path) {
    let old = (1..=LOGS_KEPT).map(|number| numbered(path, number));
    for path in old.chain([path.with_file_name("log.new"), path.to_owned()]) {
        let _ = fs::remove_file(path);
    }
}

/// Turns the log when it is larger than `max` bytes; of one that grew far beyond that, the newest `max` bytes are
/// kept. Says whether it was turned.
///
/// # Errors
/// Whatever the file system says; then nothing is cut.
pub fn rotate(path: &Path, max: u64) -> io::Result<bool> {
    let mut live = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let size = live.metadata()?.len();
    if size <= max {
        return Ok(false);
    }
    let fresh = path.with_file_name("log.new");
    let mut copy = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    let mut at = live.seek(SeekFrom::Start(size - max))?;
    for _ in 0..LOOKS {
        let end = live.metadata()?.len();
        let copied = io::copy(&mut (&live).take(end.saturating_sub(at)), &mut copy)?;
        at += copied;
        if copied == 0 {
            break;
        }
    }
    copy.flush()?;
    for number in (1..LOGS_KEPT).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&fresh, numbered(path, 1))?;
    live.set_len(0)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chatty_unit_fills_neither_the_disk_nor_loses_its_newest_lines() {
        let folder = std::env::temp_dir().join(format!("ek-log-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        let mut unit = open(&path).unwrap();
        for round in 0..6 {
            unit.write_all(format!("begin {round} {} end {round}\n", "x".repeat(100)).as_bytes()).unwrap();
            assert!(rotate(&path, 50).unwrap());
            assert!(!rotate(&path, 50).unwrap(), "an empty log is not turned");
            // The unit's own descriptor goes on at the start of the cut file, as it appends.
            assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        }
        unit.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        for (number, round) in [(1, 5), (2, 4), (3, 3)] {
            let text = fs::read_to_string(numbered(&path, number)).unwrap();
            assert_eq!(text.len(), 50);
            assert!(text.ends_with(&format!("end {round}\n")), "{text}");
        }
        assert!(!numbered(&path, 4).exists());
        assert!(!rotate(&folder.join("none"), 50).unwrap());
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(numbered(&path, 1)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&folder).unwrap();
    }
}
