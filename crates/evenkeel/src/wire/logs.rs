//! Logs of our own processes: readable by this user alone, and bounded.
//!
//! A process writes to its log through a descriptor that it was started with, so a log that grew too large is copied
//! and cut off in place; since it is open for appending, the next line goes to its new beginning. What is written
//! between the two is lost, as `copytruncate` of logrotate does.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Most bytes of a log before it is turned; as much again is kept of what was before.
pub const BYTES_MAX: u64 = 16 << 20;

/// Opens a log for appending, and makes its folder.
///
/// # Errors
/// When it cannot be had.
pub fn open(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    turn(path);
    let told = || format!("cannot open `{}`", path.display());
    let file = File::options().create(true).append(true).mode(0o600).open(path).with_context(told)?;
    // One that an earlier version made may be readable by others.
    file.set_permissions(Permissions::from_mode(0o600)).with_context(told)?;
    Ok(file)
}

/// Turns a log that has grown too large. It is cut off also when no copy can be made: a full disk is the worst
/// moment to let it grow.
pub fn turn(path: &Path) {
    if !std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() > BYTES_MAX) {
        return;
    }
    let old = old(path);
    // The copy gets the rights of what it is made of, and only what is made anew gets them before its bytes.
    let _ = std::fs::remove_file(&old);
    if std::fs::copy(path, &old).is_err() {
        let _ = std::fs::remove_file(&old);
    }
    let cut = File::options().write(true).open(path).and_then(|file| file.set_len(0));
    if let Err(error) = cut {
        tracing::debug!(log = %path.display(), %error, "cannot be cut off");
    }
}

/// What is kept of before.
fn old(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".1");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_is_written_to_is_bounded_and_nobody_else_reads_it() {
        let folder = std::env::temp_dir().join(format!("ek-logs-{}", std::process::id()));
        let path = folder.join("store").join("log");
        std::fs::create_dir_all(&folder).unwrap();
        let mut writer = open(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        writer.set_len(BYTES_MAX).unwrap();
        turn(&path);
        assert!(!old(&path).exists(), "it is not too large yet");
        writer.write_all(b"last\n").unwrap();
        turn(&path);
        writer.write_all(b"first\n").unwrap();
        let kept = std::fs::read(old(&path)).unwrap();
        let (now, modes) = (std::fs::read(&path).unwrap(), [mode(&path), mode(&old(&path))]);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        open(&path).unwrap();
        let mended = mode(&path);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(kept.ends_with(b"last\n") && kept.len() as u64 == BYTES_MAX + 5);
        assert_eq!((now.as_slice(), modes, mended), (b"first\n".as_slice(), [0o600; 2], 0o600));
    }
}
