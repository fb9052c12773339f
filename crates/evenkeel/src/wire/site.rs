//! The folder of a run on this machine: who is there, and where what is.
//!
//! ```text
//! .evenkeel/lock           held by the supervisor, whose process it names
//!           run.json       what the supervisor started
//!           store.token    0600            console.token  0600
//!           store/         the store's data, log and lock, which names its process
//!           identity/      0700: this run's authority and secrets
//!           hosts.json     agents on other hosts: which store they meet in (`hosts`)
//!           catalog.csv    prices laid over those of the binary (`prices`)
//!           data.id        run by root: the name of its folder below /var/lib/evenkeel
//!           zones/a/       the agent of zone a: its lock, log, front.sock, data.sock, units/, node/ (its certificate),
//!                          databases/ (not when run by root)
//!           down/a         a drill holds zone a down
//!           ending         while the supervisor ends all zones
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::local::ProcessId;
use model::{ZoneAddress, ZoneName};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::exit::hinted;

/// What a supervisor started; written once everything has an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The supervisor's process.
    pub pid: u32,
    /// Each zone has a network namespace of its own.
    pub isolate: bool,
    /// The zones.
    pub zones: Vec<ZoneAddress>,
    /// The store.
    pub store: SocketAddr,
    /// Folder of the user's file.
    pub base: PathBuf,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Site {
    root: PathBuf,
}

impl Site {
    /// The folder at `root`, as an absolute path; it need not exist.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn at(root: &Path) -> anyhow::Result<Site> {
        let root =
            std::path::absolute(root).with_context(|| format!("cannot resolve `{}`", root.display()))?;
        Ok(Site { root })
    }

    /// Makes the folder, for this user alone: it holds tokens and what units print.
    ///
    /// # Errors
    /// When it cannot be made, or as [`Site::guard`].
    pub fn create(&self) -> anyhow::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.root)
            .with_context(|| format!("cannot make the state folder `{}`", self.root.display()))?;
        self.guard()?;
        for folder in [self.store_dir(), self.zones_dir()] {
            let made = builder.create(&folder).and_then(|()| {
                // One that an earlier version made may be open to others.
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            });
            made.with_context(|| format!("cannot make `{}` for this user alone", folder.display()))?;
        }
        Ok(())
    }

    /// Refuses a folder in which somebody else can put files: what is in it names programs to run, processes to end
    /// and control groups to remove. That of whoever called `sudo` is no stranger's.
    ///
    /// # Errors
    /// When it belongs to another user or everybody may write to it.
    fn guard(&self) -> anyhow::Result<()> {
        let about = std::fs::metadata(&self.root)
            .with_context(|| format!("cannot look at the state folder `{}`", self.root.display()))?;
        let own = rustix::process::geteuid();
        let caller = std::env::var("SUDO_UID").ok().filter(|_| own.is_root()).and_then(|id| id.parse().ok());
        self.guard_as(&about, own.as_raw(), caller)
    }

    fn guard_as(&self, about: &std::fs::Metadata, own: u32, caller: Option<u32>) -> anyhow::Result<()> {
        let folder = self.root.display();
        if about.uid() != own && Some(about.uid()) != caller {
            let text =
                format!("the state folder `{folder}` belongs to another user (number {})", about.uid());
            return Err(hinted(text, "name one of your own with `--state DIR`"));
        }
        if about.mode() & 0o002 != 0 {
            let text = format!("everybody may write to the state folder `{folder}`");
            return Err(hinted(
                text,
                format!("`chmod o-w {folder}`, or name another one with `--state DIR`"),
            ));
        }
        Ok(())
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn store_dir(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn store_token(&self) -> PathBuf {
        self.root.join("store.token")
    }

    pub fn console_token(&self) -> PathBuf {
        self.root.join("console.token")
    }

    /// Makes the console's token anew.
    ///
    /// # Errors
    /// When there is no randomness, or the folder cannot be written.
    pub fn make_console_token(&self) -> anyhow::Result<()> {
        write_whole(&self.console_token(), random_token()?.as_bytes())
    }

    /// Who is who in this run: see `identity`.
    pub fn identity_dir(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// See `hosts`.
    pub fn hosts_path(&self) -> PathBuf {
        self.root.join("hosts.json")
    }

    /// See `prices`.
    pub fn catalog_path(&self) -> PathBuf {
        self.root.join("catalog.csv")
    }

    /// See `place`.
    pub fn data_id(&self) -> PathBuf {
        self.root.join("data.id")
    }

    pub fn supervisor_log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }

    pub fn zones_dir(&self) -> PathBuf {
        self.root.join("zones")
    }

    pub fn zone_dir(&self, zone: &ZoneName) -> PathBuf {
        self.zones_dir().join(zone.as_str())
    }

    /// There while the supervisor ends all zones of the run in `root`: see `keepers`.
    pub fn ending_in(root: &Path) -> PathBuf {
        root.join("ending")
    }

    fn run_path(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_run(&self, record: &RunRecord) -> anyhow::Result<()> {
        write_whole(&self.run_path(), &serde_json::to_vec_pretty(record)?)
    }

    /// What runs here; `None` when nothing was started or what was has been cleared away.
    ///
    /// # Errors
    /// When `run.json` is there but cannot be read.
    pub fn read_run(&self) -> anyhow::Result<Option<RunRecord>> {
        let path = self.run_path();
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        let record = serde_json::from_slice(&text).map_err(|error| {
            hinted(
                format!("`{}` is damaged: {error}", path.display()),
                "`evenkeel down`, then `evenkeel up` starts afresh; data stays",
            )
        })?;
        Ok(Some(record))
    }

    pub fn remove_run(&self) {
        let _ = std::fs::remove_file(self.run_path());
    }

    /// Removes the store's token.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove_token(&self) -> anyhow::Result<()> {
        let path = self.store_token();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot replace `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The process that holds the folder; `None` when it has not signed yet.
    pub fn supervisor(&self) -> Option<ProcessId> {
        super::signed_by(&self.lock_path())
    }

    /// The store of the run that this folder belongs to, also when its supervisor was killed.
    pub fn store_process(&self) -> Option<ProcessId> {
        super::signed_by(&Site::store_lock(&self.store_dir()))
    }

    /// What a store that uses the folder `dir` holds.
    pub fn store_lock(dir: &Path) -> PathBuf {
        dir.join("lock")
    }

    /// Takes the folder's lock; `None` when a supervisor has it.
    ///
    /// # Errors
    /// When the lock file cannot be opened, or as [`Site::guard`].
    pub fn hold(&self) -> anyhow::Result<Option<File>> {
        self.guard()?;
        super::lock(&self.lock_path())
    }

    /// The zone of an agent that runs from this folder now.
    ///
    /// # Errors
    /// When its lock file cannot be opened.
    pub fn agent(&self) -> anyhow::Result<Option<String>> {
        let Ok(zones) = std::fs::read_dir(self.zones_dir()) else { return Ok(None) };
        for zone in zones.flatten() {
            let lock = zone.path().join("lock");
            if lock.exists() && super::is_locked(&lock)? {
                return Ok(Some(zone.file_name().to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// Whether a supervisor holds the folder now.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn is_running(&self) -> anyhow::Result<bool> {
        if !self.lock_path().exists() {
            return Ok(false);
        }
        super::is_locked(&self.lock_path())
    }

    /// What runs here and a connection to its store.
    ///
    /// # Errors
    /// When nothing runs here.
    pub fn connect(&self) -> anyhow::Result<(RunRecord, Store)> {
        let nothing = || {
            hinted(
                format!("nothing runs from `{}`", self.root.display()),
                "start it with `evenkeel up`, or name its folder with `--state DIR`",
            )
        };
        if !self.is_running()? {
            return Err(match self.read_run() {
                Ok(None) | Err(_) => nothing(),
                Ok(Some(_)) => hinted(
                    format!(
                        "what ran from `{}` was not stopped, but nobody looks after it",
                        self.root.display()
                    ),
                    "`evenkeel up` takes over what is left of it, `evenkeel down` ends it",
                ),
            });
        }
        let record = self.read_run()?.ok_or_else(nothing)?;
        let token = store::Token::load(&self.store_token()).context("cannot read the store's token")?;
        let store = Store::connect(record.store, token);
        Ok((record, store))
    }
}

/// Replaces `path` by a file with these bytes, readable by this user alone; a reader sees the old or the new. What is
/// no file, such as `/dev/stdout`, is written to and stays what it is.
///
/// # Errors
/// When it cannot be written; then what was there is there still.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let told = || format!("cannot write `{}`", path.display());
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return File::options()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(told);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_private(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(told)
}

/// 32 bytes of the kernel's randomness in hexadecimal.
fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
