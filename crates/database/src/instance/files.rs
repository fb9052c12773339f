//! Files that are there as a whole or not at all, and stay when the power goes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A system user: its number and its group's.
pub type User = (u32, u32);

/// Does what may take as long as the disk beside everything else: the keepers of a zone, their beats and leases share a
/// thread. It goes on when nobody waits for it any more.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and whoever waits here with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Makes what `folder` names durable: creations, renames and removals in it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes all that was written to the file system of `path` durable, in one call: a data folder has more than a
/// thousand files. Linux reports an error of any of them since 5.8.
pub(super) fn sync_file_system(path: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(path)?).map_err(io::Error::from)
}

/// Writes `path` as a whole, on the disk when this returns. A file with the same content is synced too: it may be what a
/// crash left between a rename and the sync of its folder. Says whether it differed.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32, owner: Option<User>) -> io::Result<bool> {
    let differed = exchange(path, bytes, mode, owner, true)?;
    if !differed {
        File::open(path)?.sync_all()?;
    }
    sync_folder(path.parent().unwrap_or(Path::new("/")))?;
    Ok(differed)
}

/// Writes `path` as a whole for whoever reads it now, but does not sync it: for what is written again before anybody
/// reads it after the power went. Says whether it differed.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32, owner: Option<User>) -> io::Result<bool> {
    exchange(path, bytes, mode, owner, false)
}

fn exchange(path: &Path, bytes: &[u8], mode: u32, owner: Option<User>, sync: bool) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if let Ok(about) = fs::symlink_metadata(path)
        && about.is_file()
        && about.permissions().mode() & 0o7777 == mode
        && owner.is_none_or(|(uid, gid)| about.uid() == uid && about.gid() == gid)
        && fs::read(path)? == bytes
    {
        return Ok(false);
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let draft = folder.join(name);
    unlink(&draft)?;
    // `create_new` follows no link that somebody else put there.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&draft, path)?;
    Ok(true)
}

/// Removes a file; says whether there was one.
fn unlink(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

/// Removes a file durably; that there is none is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if unlink(path)? {
        sync_folder(path.parent().unwrap_or(Path::new("/")))?;
    }
    Ok(())
}

/// Removes a folder and all in it; that there is none is no error.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a folder with this mode and owner, or gives them to the one that is there.
pub(super) fn folder(path: &Path, mode: u32, owner: Option<User>) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let opened = File::open(path)?;
    let about = opened.metadata()?;
    if !about.is_dir() {
        return Err(io::Error::from(ErrorKind::NotADirectory));
    }
    if let Some((uid, gid)) = owner
        && (about.uid(), about.gid()) != (uid, gid)
    {
        fchown(&opened, Some(uid), Some(gid))?;
    }
    if about.permissions().mode() & 0o7777 != mode {
        opened.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The first folder on the way to `path` that `user` may not pass through.
pub(super) fn barred(path: &Path, (uid, gid): User) -> Option<PathBuf> {
    let may = |folder: &&Path| {
        fs::metadata(folder).is_ok_and(|about| {
            let mode = about.permissions().mode();
            match (about.uid() == uid, about.gid() == gid) {
                (true, _) => mode & 0o100 != 0,
                (false, true) => mode & 0o010 != 0,
                (false, false) => mode & 0o001 != 0,
            }
        })
    };
    path.ancestors().skip(1).find(|folder| !may(folder)).map(Path::to_owned)
}

/// Bytes that an ordinary user may still write on the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Bytes of all files below `path`, as far as they can be seen.
pub(super) fn tree_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some(if about.is_dir() { tree_bytes(&entry.path()) } else { about.len() })
    });
    bytes.sum()
}

/// Bytes of the whole file system of `path`.
pub(super) fn total_bytes(path: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    Some(about.f_blocks.saturating_mul(about.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_link_in_the_way_is_not_followed() {
        let place = std::env::temp_dir().join(format!("ek-files-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (path, victim) = (place.join("conf"), place.join("victim"));
        fs::write(&victim, "theirs").unwrap();
        std::os::unix::fs::symlink(&victim, place.join(".conf.new")).unwrap();
        assert!(replace(&path, b"one", 0o600, None).unwrap());
        assert!(!replace(&path, b"one", 0o600, None).unwrap());
        assert!(!put(&path, b"one", 0o600, None).unwrap());
        assert!(replace(&path, b"one", 0o640, None).unwrap(), "a wrong mode is mended");
        assert!(replace(&path, b"two", 0o640, None).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read(&victim).unwrap(), b"theirs");
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn the_folder_that_bars_the_way_is_named() {
        let place = std::env::temp_dir().join(format!("ek-barred-{}", std::process::id()));
        fs::create_dir_all(place.join("in/side")).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        let nobody = (4_000_000, 4_000_000);
        assert_eq!(barred(&place.join("in/side"), nobody), Some(place.clone()));
        fs::set_permissions(&place, fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(barred(&place.join("in/side"), nobody), None);
        fs::remove_dir_all(&place).unwrap();
    }
}
