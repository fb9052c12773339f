//! Files that hold secrets: written whole or not at all, read only when nobody else could have read or made them.
//!
//! ```text
//! write a new file under a name nobody can foretell, O_EXCL, 0600   a planted link is not followed
//! fsync it                                                          its bytes are there before its name is
//! link (new) or rename (replace) it to its name                     one step: readers see old or new
//! fsync the folder                                                  the name survives a power loss
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::IdentityError;

/// Most bytes of a file of ours: 1 000 secrets or 100 certificates. More is somebody else's file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner, mode 0600.
    Owner,
    /// Everybody, mode 0644.
    All,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Access::Owner => 0o600,
            Access::All => 0o644,
        }
    }
}

/// Bytes nobody can foretell, from the kernel.
pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], IdentityError> {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())
            .map_err(|why| IdentityError::Crypto { what: "random bytes", why: why.to_string() })?;
    }
    Ok(bytes)
}

pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> IdentityError + 'a {
    move |cause| IdentityError::File { doing, path: path.to_owned(), cause }
}

/// Whom a file of ours may belong to: this user, and who called `sudo`.
fn is_own(uid: u32) -> bool {
    let own = rustix::process::geteuid();
    let caller = std::env::var("SUDO_UID").ok().filter(|_| own.is_root()).and_then(|id| id.parse().ok());
    uid == own.as_raw() || Some(uid) == caller
}

/// Makes `dir` for `owner` alone (left out: this user) when it is not there, then as [`guard`].
pub(crate) fn make_dir(dir: &Path, owner: Option<(u32, u32)>) -> Result<(), IdentityError> {
    if !dir.exists() {
        // Under another name until it is its owner's: after a crash in between, nobody could use it.
        let temporary = beside(dir)?;
        DirBuilder::new().mode(0o700).create(&temporary).map_err(failed("make", dir))?;
        let made = match owner {
            Some((uid, gid)) => std::os::unix::fs::chown(&temporary, Some(uid), Some(gid)),
            None => Ok(()),
        };
        let made = made.and_then(|()| fs::rename(&temporary, dir));
        if let Err(why) = made {
            let _ = fs::remove_dir(&temporary);
            // Another process has made it, and put something into it.
            if why.kind() != ErrorKind::DirectoryNotEmpty {
                return Err(failed("make", dir)(why));
            }
        }
        sync_dir(folder(dir))?;
    }
    guard(dir, owner.map(|(uid, _)| uid))
}

/// A name beside `path` that nobody can foretell.
fn beside(path: &Path) -> Result<PathBuf, IdentityError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(random()?)));
    Ok(path.with_file_name(name))
}

/// Refuses a folder in which others can put files: they would choose the key. `also` may own it too.
pub(crate) fn guard(dir: &Path, also: Option<u32>) -> Result<(), IdentityError> {
    let about = match fs::metadata(dir) {
        Err(why) if why.kind() == ErrorKind::NotFound => {
            return Err(IdentityError::Missing { path: dir.to_owned() });
        }
        other => other.map_err(failed("look at", dir))?,
    };
    let exposed = |why: String, hint: String| Err(IdentityError::Exposed { path: dir.to_owned(), why, hint });
    if !is_own(about.uid()) && Some(about.uid()) != also {
        let why = format!("it belongs to another user (number {})", about.uid());
        return exposed(why, "name a folder of your own".to_owned());
    }
    if about.mode() & 0o022 != 0 {
        let why = format!("others may write to it (mode {:o})", about.mode() & 0o7777);
        return exposed(why, format!("chmod go-w {}", dir.display()));
    }
    Ok(())
}

/// Reads a file that must be secret. The bytes are wiped when dropped.
pub(crate) fn read_private(path: &Path, also: Option<u32>) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let file = open(path)?;
    let about = file.metadata().map_err(failed("read", path))?;
    let exposed =
        |why: String, hint: String| Err(IdentityError::Exposed { path: path.to_owned(), why, hint });
    if !is_own(about.uid()) && Some(about.uid()) != also {
        let why = format!("it belongs to another user (number {})", about.uid());
        return exposed(why, "move it away and have a new one made".to_owned());
    }
    if about.mode() & 0o077 != 0 {
        let why = format!("others may read it (mode {:o})", about.mode() & 0o7777);
        let path = path.display();
        return exposed(why, format!("chmod 600 {path}; if others have been here, replace what it holds"));
    }
    bytes_of(file, path)
}

/// Reads a file that anybody may see.
pub(crate) fn read_public(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    bytes_of(open(path)?, path)
}

/// A link is not followed: the mode that is checked must be that of the name that was asked for.
fn open(path: &Path) -> Result<File, IdentityError> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits();
    let options = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    match options {
        Err(why) if why.kind() == ErrorKind::NotFound => {
            Err(IdentityError::Missing { path: path.to_owned() })
        }
        other => other.map_err(failed("read", path)),
    }
}

fn bytes_of(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    // Room from the start: a vector that grows leaves copies behind that nobody wipes.
    let expected = file.metadata().map_err(failed("read", path))?.len().min(FILE_BYTES_MAX) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(expected).unwrap_or(0)));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it holds more than {FILE_BYTES_MAX} bytes");
        return Err(IdentityError::Damaged { path: path.to_owned(), why });
    }
    Ok(bytes)
}

/// Writes `path`, which must not be there yet.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let temporary = Temporary::write(path, bytes, Access::Owner, None)?;
    // A link, for it fails where a rename would replace.
    match fs::hard_link(&temporary.path, path) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            return Err(IdentityError::Exists { path: path.to_owned() });
        }
        other => other.map_err(failed("write", path))?,
    }
    drop(temporary);
    sync_dir(folder(path))
}

/// Replaces `path`, or makes it.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    access: Access,
    owner: Option<(u32, u32)>,
) -> Result<(), IdentityError> {
    let temporary = Temporary::write(path, bytes, access, owner)?;
    fs::rename(&temporary.path, path).map_err(failed("write", path))?;
    sync_dir(folder(path))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts the names in `dir` on the disk, whoever has made them.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), IdentityError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("write", dir))
}

/// A file on its way to its name; removed when it does not get there.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn write(
        path: &Path,
        bytes: &[u8],
        access: Access,
        owner: Option<(u32, u32)>,
    ) -> Result<Temporary, IdentityError> {
        let temporary = Temporary { path: beside(path)? };
        temporary.fill(bytes, access, owner).map_err(failed("write", path))?;
        Ok(temporary)
    }

    fn fill(&self, bytes: &[u8], access: Access, owner: Option<(u32, u32)>) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(bytes)?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        // Set, not only asked for at creation: there the umask has its say.
        file.set_permissions(fs::Permissions::from_mode(access.mode()))?;
        file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}
