//! What is written down about a unit's process, durably and before it may run: so that whoever comes after a crash
//! of the agent finds every process there is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{UnitName, UnitRecord};
use serde::{Deserialize, Serialize};

use crate::log;
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

/// Units of which nothing runs and whose logs are kept all the same, in a zone: the newest ones. Each deployment leaves some, and
/// each may have 32 MB of logs.
pub const ENDED_MAX: usize = 50;

/// Removes logs and folders of the units that ended longest ago, so that `most` of these are left. A data folder with
/// something in it stays, with its unit's folder: that is the application's.
///
/// # Errors
/// When the folder of all units cannot be read.
pub fn prune(state: &Path, lives: impl Fn(&str) -> bool, most: usize) -> io::Result<()> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(state.join("units"))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A unit that was never started has no log.
        let Ok(log) = fs::metadata(folder.join("log")) else { continue };
        if !lives(name) && !folder.join("record.json").exists() {
            ended.push((log.modified()?, folder));
        }
    }
    ended.sort();
    let spare = ended.len().saturating_sub(most);
    for (_, folder) in ended.into_iter().take(spare) {
        log::remove(&folder.join("log"));
        // Neither goes while something is in it.
        let _ = fs::remove_dir(folder.join("data"));
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn logs_of_units_that_ended_long_ago_go_and_data_stays() {
        let state = std::env::temp_dir().join(format!("evenkeel-pruned-{}", std::process::id()));
        let units = state.join("units");
        let began = SystemTime::now() - Duration::from_secs(3_600);
        // From the one that ended first to the one that ended last.
        let all = ["lives", "kept", "data", "first", "second", "third"];
        for (age, name) in (0..).zip(all) {
            fs::create_dir_all(units.join(name).join("data")).unwrap();
            fs::write(units.join(name).join("log.1"), "older").unwrap();
            let log = File::create(units.join(name).join("log")).unwrap();
            log.set_modified(began + Duration::from_secs(age)).unwrap();
        }
        fs::write(units.join("kept/record.json"), "of a process").unwrap();
        fs::write(units.join("data/data/journal"), "the application's").unwrap();
        fs::create_dir_all(units.join("never-started")).unwrap();
        prune(&state, |name| name == "lives", 1).unwrap();
        let mut left: Vec<String> = fs::read_dir(&units)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["data", "kept", "lives", "never-started", "third"]);
        assert!(units.join("data/data/journal").exists() && !units.join("data/log.1").exists());
        assert!(units.join("third/log").exists() && units.join("kept/log.1").exists());
        assert!(prune(&state.join("none"), |_| false, 1).is_err());
        fs::remove_dir_all(&state).unwrap();
    }
}
