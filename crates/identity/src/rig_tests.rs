//! What this crate's tests share: a folder of one's own, and a clock that stands.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::IdentityError;

/// A folder that goes with its test.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ek-identity-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        chmod(&path, 0o700);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The names in a folder, in order.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// 2026-06-01 12:00 UTC and some days.
pub(crate) fn day(days: i64) -> SystemTime {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_315_200);
    let far = Duration::from_secs(days.unsigned_abs() * 86_400);
    if days < 0 { noon - far } else { noon + far }
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, IdentityError>, text: &str) {
    let error = result.expect_err(text);
    let said = error.to_string();
    assert!(said.contains(text), "{text:?} is not in: {said}");
}
