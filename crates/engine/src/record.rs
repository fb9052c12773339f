//! What is written down about a unit's process, durably and before it may run: so that whoever comes after a crash
//! of the agent finds every process there is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{UnitName, UnitRecord};
use serde::{Deserialize, Serialize};

use crate::process::{ProcessId, boot_id};

/// Raised when the meaning of a field changes.
pub const RECORD_FORMAT: u32 = 1;
/// Most bytes of a record that are read.
const RECORD_MAX: u64 = 4 * 1024 * 1024;

/// One unit's process as written to `<state>/units/<unit>/record.json`, mode 0600: environments hold secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The process.
    pub process: ProcessId,
    /// The boot of the machine it belongs to.
    pub boot: String,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// What it was started from.
    pub unit: UnitRecord,
    /// It has been healthy: a new agent takes it for ready until its own probes say otherwise, as an agent's end
    /// must not take replicas out of service.
    pub ready: bool,
}

/// The folder of one unit below the zone's state folder.
#[must_use]
pub fn unit_folder(state: &Path, unit: &UnitName) -> PathBuf {
    state.join("units").join(unit.as_str())
}

fn record_path(state: &Path, unit: &UnitName) -> PathBuf {
    unit_folder(state, unit).join("record.json")
}

impl ProcessRecord {
    /// Whether the recorded process still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.boot == boot_id() && self.process.alive()
    }

    /// Writes it so that it survives a crash right after the return: a new file, synced, renamed, folder synced.
    ///
    /// # Errors
    /// Whatever the file system says; then the old record is still whole.
    pub fn write(&self, state: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        replace(&record_path(state, &self.unit.name), &bytes)
    }

    /// As [`ProcessRecord::write`], surviving a crash of this process but not one of the machine, which ends the
    /// recorded process anyway.
    ///
    /// # Errors
    /// Whatever the file system says; then the old record is still whole.
    pub fn write_quick(&self, state: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        put(&record_path(state, &self.unit.name), &bytes, false)
    }
}

/// Replaces the file at `path` durably, mode 0600.
///
/// # Errors
/// Whatever the file system says; then the old file is still whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes, true)
}

fn put(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)?;
    if sync { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes the record of a unit of which nothing runs.
///
/// # Errors
/// Whatever the file system says; that it is not there is none.
pub fn remove(state: &Path, unit: &UnitName) -> io::Result<()> {
    let path = record_path(state, unit);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(unit_folder(state, unit))?.sync_all(),
    }
}

/// A record that cannot be understood, by its path, with the reason.
pub type Unreadable = (PathBuf, String);

/// Every record below the zone's state folder, and those that cannot be read.
///
/// # Errors
/// When the folder itself cannot be read; that it is not there is none.
pub fn read_all(state: &Path) -> io::Result<(Vec<ProcessRecord>, Vec<Unreadable>)> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(state.join("units")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((good, bad)),
        entries => entries?,
    };
    for entry in entries {
        let folder = entry?.path();
        let path = folder.join("record.json");
        match read_one(&path) {
            Ok(record) if folder.file_name().is_some_and(|name| name == record.unit.name.as_str()) => {
                good.push(record);
            }
            Ok(record) => bad.push((path, format!("it describes another unit, `{}`", record.unit.name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => bad.push((path, error.to_string())),
        }
    }
    good.sort_by(|a, b| a.unit.name.cmp(&b.unit.name));
    Ok((good, bad))
}

fn read_one(path: &Path) -> io::Result<ProcessRecord> {
    let mut bytes = Vec::new();
    File::open(path)?.take(RECORD_MAX).read_to_end(&mut bytes)?;
    let record: ProcessRecord = serde_json::from_slice(&bytes)?;
    if record.format != RECORD_FORMAT {
        return Err(io::Error::other(format!("its format is {}, not {RECORD_FORMAT}", record.format)));
    }
    Ok(record)
}
