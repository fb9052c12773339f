use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, Access};
use crate::{IdentityError, Secret};

/// Name of the file in its folder.
const FILE: &str = "secrets.json";
/// Held by whoever writes. A file of its own, because the other one is replaced, and its lock with it.
const LOCK: &str = "secrets.lock";
/// Version of the file's form.
const FORMAT: u32 = 1;
/// Longest name in bytes: a name of ours (63), a dot and a word.
const NAME_BYTES_MAX: usize = 80;

/// The named secrets of one run, in one file that its owner alone can read. Every call reads the file, so several
/// processes may use it at once and all see the same secret under one name.
#[derive(Debug)]
pub struct Secrets {
    dir: PathBuf,
}

/// The file.
#[derive(Deserialize)]
struct Kept {
    format_version: u32,
    secrets: BTreeMap<String, Word>,
}

/// A secret on its way out of the file.
struct Word(Secret);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
        // Borrowed: no copy is left behind in memory.
        let text = <&str>::deserialize(from)?;
        Secret::parse(text).map(Word).ok_or_else(|| serde::de::Error::custom("a value is no secret"))
    }
}

/// The file, on its way out. The other type cannot be written, so that no secret is written by accident.
#[derive(Serialize)]
struct Written<'a> {
    format_version: u32,
    secrets: BTreeMap<&'a str, &'a str>,
}

impl Secrets {
    /// The secrets kept in the folder `dir`, which is made for this user alone when it is not there.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] when others may write to the folder, [`IdentityError::File`] when it cannot be made.
    pub fn open(dir: &Path) -> Result<Secrets, IdentityError> {
        files::make_dir(dir, None)?;
        Ok(Secrets { dir: dir.to_owned() })
    }

    /// The secret called `name`; `None` when there is none.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] when others may read the file, [`IdentityError::Damaged`] when it is not ours,
    /// [`IdentityError::File`] when it cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<Secret>, IdentityError> {
        Ok(self.read()?.remove(name))
    }

    /// The secret called `name`, made now when there is none; it is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Secrets::get`]; [`IdentityError::Busy`] when it has to be made and another process is writing,
    /// which takes it as long as two fsyncs: try again then; [`IdentityError::Request`] for a name that is not 1 to 80 of `a-z 0-9 . _ - /`.
    pub fn get_or_create(&self, name: &str) -> Result<Secret, IdentityError> {
        checked(name)?;
        if let Some(secret) = self.get(name)? {
            // Who wrote it may not have come to that yet.
            files::sync_dir(&self.dir)?;
            return Ok(secret);
        }
        let _lock = self.lock()?;
        let mut all = self.read()?;
        // Another process may have made it since.
        if let Some(secret) = all.remove(name) {
            return Ok(secret);
        }
        let secret = Secret::random()?;
        all.insert(name.to_owned(), secret.clone());
        self.write(&all)?;
        Ok(secret)
    }

    /// The names, in order.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub fn names(&self) -> Result<Vec<String>, IdentityError> {
        Ok(self.read()?.into_keys().collect())
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn read(&self) -> Result<BTreeMap<String, Secret>, IdentityError> {
        let path = self.path();
        let bytes = match files::read_private(&path, None) {
            Err(IdentityError::Missing { .. }) => return Ok(BTreeMap::new()),
            other => other?,
        };
        let damaged = |why: String| IdentityError::Damaged { path: path.clone(), why };
        // Where, and no more: the reader's own message quotes what it has found.
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|why| {
            damaged(format!("line {}, column {} is not what was written", why.line(), why.column()))
        })?;
        if kept.format_version != FORMAT {
            return Err(damaged(format!("its form is {}, this program knows {FORMAT}", kept.format_version)));
        }
        Ok(kept.secrets.into_iter().map(|(name, word)| (name, word.0)).collect())
    }

    fn write(&self, all: &BTreeMap<String, Secret>) -> Result<(), IdentityError> {
        let texts: Vec<(&str, Zeroizing<String>)> =
            all.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let secrets = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let path = self.path();
        let bytes = serde_json::to_vec_pretty(&Written { format_version: FORMAT, secrets })
            .map_err(|why| files::failed("write", &path)(why.into()))?;
        files::replace(&path, &Zeroizing::new(bytes), Access::Owner, None)
    }

    /// Takes the writers' lock; it is given back when the file is dropped, also by a crash. It does not wait: a writer
    /// may be frozen, and who waits here could not be stopped.
    fn lock(&self) -> Result<File, IdentityError> {
        let path = self.dir.join(LOCK);
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options.map_err(files::failed("lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(IdentityError::Busy { path }),
            Err(TryLockError::Error(why)) => Err(files::failed("lock", &path)(why)),
        }
    }
}

fn checked(name: &str) -> Result<(), IdentityError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let text: String = name.chars().take(NAME_BYTES_MAX).collect();
        return Err(IdentityError::Request {
            what: format!("`{}` cannot name a secret", text.escape_debug()),
            why: "1 to 80 of lower-case letters, digits and `. _ - /` are allowed",
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
