//! One PostgreSQL server on this host, as an object.
//!
//! Promise: each call is one effect, done as a whole or reported ([`InstanceError::class`] says whether it may have
//! happened); a data folder has one keeper, one server and one identity; what is half made never starts; what is
//! written is on the disk before the call returns, but for settings, which are written again before each start.
//!
//! Deliberately absent: every decision (when to start, revoke, promote, rewind: the keeper's), retries, archiving and
//! backups, and the application's way in (the router's).
//!
//! Entry points: [`Instance::open`]; then [`Instance::init`] or [`Instance::clone_from`], [`Instance::configure`],
//! [`Instance::start`] or [`Instance::adopt`], [`Instance::observe`].
//!
//! The folder:
//! ```text
//! lock         held while a keeper lives            node.json   whose it is, and of which cluster
//! half         a clone or rewind is under way       log         what the server says
//! conf/        evenkeel.conf, pg_hba.conf, pg_ident.conf, passfile, TLS files. Outside of the data, because a base
//!              backup and a rewind bring the other side's
//! data/        PostgreSQL's                         run/        its Unix socket
//! wal/         of a witness, in place of data/: what it has received
//! ```
//! Run by root, only `data`, `run` and the files with secrets belong to the system user that PostgreSQL runs as; the
//! rest it can read at most, so that root never writes where another user may have put a link.
//!
//! What rests on PostgreSQL and is not ours to mend: whoever holds the secret of replication (and, with TLS, a key
//! signed by our authority) can connect under any standby's name and acknowledge what it does not keep; a superuser,
//! who exists only on this host, can do anything.

mod client;
mod configure;
mod control;
mod copy;
pub(crate) mod decide_log;
mod demand;
mod error;
mod files;
mod log;
mod name;
mod observe;
mod proc;
mod program;
mod receive;
mod server;
mod settings;
mod statements;
mod wal;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};

use model::{AppName, UnitName};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

pub use configure::Applied;
pub use control::{Control, DbState, Fork, WalEnd};
pub use copy::Rewound;
pub use decide_log::{HISTORY_BYTES_MAX, LogFile, Received, SEGMENT_BYTES, log_file};
pub use demand::Demands;
pub use error::{Class, InstanceError};
pub use files::User;
pub(crate) use files::aside;
pub use log::LogFiles;
pub use model::{BadLsn, Lsn};
pub use name::{BadName, Secret, SlotName, StandbyName};
pub use observe::{Audit, LoweredCommit, Observation, Receiver, Sender, Slot, SyncCheck};
pub use program::find_bin;
pub use receive::end_of_files;
pub use server::{Exit, Running, StopHow};
pub use settings::{Acks, Role, Settings, Tuning, Upstream};

use program::Run;
use settings::Facts;

/// The superuser. It has no password and comes in by the Unix socket alone, as the keeper's system user.
pub const KEEPER: &str = "evenkeel";
/// The role of standbys: `REPLICATION`, nothing else.
pub const REPLICATION: &str = "evenkeel_replication";
/// The role of `pg_rewind`: four functions that read files of the server.
pub const REWIND: &str = "evenkeel_rewind";

/// Its presence makes a server start as a standby.
const STANDBY_SIGNAL: &str = "standby.signal";
/// The longest path of a Unix socket, with its closing zero not counted (unix(7)).
const SOCKET_PATH_MAX: usize = 107;
/// What PostgreSQL calls its socket, at most.
const SOCKET_NAME: &str = "/.s.PGSQL.65535";

/// Certificates of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, PEM.
    pub cert: PathBuf,
    /// The key of it, PEM.
    pub key: PathBuf,
    /// The authority that signs all nodes, PEM.
    pub ca: PathBuf,
    /// Applications must come with TLS too. Without it they may also come in clear, which is for a run whose zones are
    /// all on one machine.
    pub applications: bool,
}

/// The passwords of the roles that have one; the same on all nodes, as roles are replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Of [`REPLICATION`].
    pub replication: Secret,
    /// Of [`REWIND`].
    pub rewind: Secret,
    /// Of the application's role.
    pub application: Secret,
}

/// What an instance is made of; it does not change while it lives.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node.
    pub node: UnitName,
    /// PostgreSQL's programs: [`find_bin`].
    pub bin: PathBuf,
    /// Its folder; made when it is not there.
    pub dir: PathBuf,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// As whom PostgreSQL runs. Needed by root, [`system_user`] finds one; otherwise `None`.
    pub user: Option<User>,
    /// With these, TCP is TLS, and nodes show certificates to each other.
    pub tls: Option<TlsFiles>,
    /// The name of the application's role and database.
    pub application: AppName,
    /// The passwords.
    pub secrets: Secrets,
    /// Sizes.
    pub tuning: Tuning,
}

/// What was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// A base backup.
    Clone,
    /// A `pg_rewind`.
    Rewind,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Half::Clone => "clone",
            Half::Rewind => "rewind",
        })
    }
}

/// `node.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    node: UnitName,
    system_identifier: Option<u64>,
}

/// One PostgreSQL server, running or not; see the [module](self). Dropping it leaves the server running.
#[derive(Debug)]
pub struct Instance {
    options: Options,
    /// The keeper's system user.
    os_user: String,
    dir: PathBuf,
    data: PathBuf,
    data_text: String,
    conf_text: String,
    sockets: PathBuf,
    session: tokio::sync::Mutex<Option<client::Session>>,
    /// The server that this keeper has started last.
    child: Mutex<Option<Arc<Mutex<Child>>>>,
    /// Open and locked for as long as this lives.
    _lock: File,
}

/// A system user by name, from `/etc/passwd`.
#[must_use]
pub fn system_user(name: &str) -> Option<User> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// The name of a system user. `getent` knows those that `/etc/passwd` does not.
fn user_name(uid: u32) -> Option<String> {
    let named = |text: &str| {
        let number = uid.to_string();
        let line = text.lines().find(|line| line.split(':').nth(2) == Some(&number))?;
        line.split(':').next().map(str::to_owned)
    };
    fs::read_to_string("/etc/passwd").ok().and_then(|text| named(&text)).or_else(|| {
        let output = std::process::Command::new("getent").args(["passwd", &uid.to_string()]).output().ok()?;
        named(&String::from_utf8_lossy(&output.stdout))
    })
}

fn unable(what: impl Into<String>, hint: &'static str) -> InstanceError {
    InstanceError::Unable { what: what.into(), hint }
}

impl Instance {
    /// Takes the folder of an instance, or makes it; ends programs that a dead keeper left working on its data, but
    /// not a server ([`Instance::adopt`]). Blocks for some milliseconds. Needs a runtime around it.
    ///
    /// # Errors
    /// [`InstanceError::Busy`] while another keeper holds it; [`InstanceError::Foreign`] when it is another node's or
    /// another user's; [`InstanceError::Unable`] when PostgreSQL could not run there; [`InstanceError::File`].
    pub fn open(options: Options) -> Result<Instance, InstanceError> {
        let os_user = check_user(&options)?;
        reserved(&options.application)?;
        let owner = options.user.map(|(_, gid)| (0, gid));
        let mode = if owner.is_some() { 0o750 } else { 0o700 };
        if let Some(parent) = options.dir.parent() {
            fs::create_dir_all(parent).map_err(InstanceError::file("create", parent))?;
        }
        let file = InstanceError::file("create", &options.dir);
        files::folder(&options.dir, mode, owner).map_err(file)?;
        let dir = fs::canonicalize(&options.dir).map_err(InstanceError::file("read", &options.dir))?;
        owned_by(&dir, rustix::process::geteuid().as_raw())?;
        if let Some(barred) = options.user.and_then(|user| files::barred(&dir, user)) {
            return Err(unable(
                format!("PostgreSQL's system user may not pass through `{}`", barred.display()),
                "give the folder mode 711, or put the state elsewhere",
            ));
        }
        let lock = lock(&dir)?;
        identify(&dir, &options.node)?;
        let conf = dir.join("conf");
        files::folder(&conf, mode, owner).map_err(InstanceError::file("create", &conf))?;
        let sockets = sockets(&dir, options.user)?;
        let text = |path: &Path| match path.to_str() {
            Some(text) if !text.contains(['\n', ',', '"']) => Ok(text.to_owned()),
            _ => Err(unable(
                format!("the path `{}` holds letters that PostgreSQL's settings cannot", path.display()),
                "use a folder with a plain name",
            )),
        };
        let data = dir.join("data");
        let (data_text, conf_text) = (text(&data)?, text(&conf)?);
        text(&sockets)?;
        let session = tokio::sync::Mutex::new(None);
        let child = Mutex::new(None);
        let instance = Instance {
            options,
            os_user,
            dir,
            data,
            data_text,
            conf_text,
            sockets,
            session,
            child,
            _lock: lock,
        };
        instance.end_leftovers();
        Ok(instance)
    }

    /// Programs that a dead keeper had started would go on writing beside ours.
    fn end_leftovers(&self) {
        for folder in [&self.data, &self.dir.join("data.new")] {
            let workers = proc::workers(folder);
            if workers.postmaster.is_none() {
                workers.all.iter().for_each(|process| process.signal(Signal::KILL));
            }
        }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Other sizes than it was opened with; the next [`Instance::configure`] writes them.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.options.tuning = tuning;
    }

    /// Bytes still free for the data.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        files::free_bytes(&self.dir)
    }

    /// Bytes of the whole file system of the data.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        files::total_bytes(&self.dir)
    }

    /// A clone or rewind that has not come to its end; then the data never starts.
    ///
    /// # Errors
    /// [`InstanceError::File`] when the mark cannot be read.
    pub fn half(&self) -> Result<Option<Half>, InstanceError> {
        let path = self.dir.join("half");
        match fs::read(&path) {
            // A mark that is not understood is still a mark.
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or(Half::Rewind))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(InstanceError::file("read", path)(cause)),
        }
    }

    fn data_text(&self) -> &str {
        &self.data_text
    }

    fn program(&self) -> Run<'_> {
        let Secrets { replication, rewind, application } = &self.options.secrets;
        Run {
            bin: &self.options.bin,
            user: self.options.user,
            folder: &self.dir,
            secrets: vec![replication.expose(), rewind.expose(), application.expose()],
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            node: self.options.node.as_str(),
            listen: self.options.listen,
            // cannot fail: `open` has checked that it is text
            sockets: self.sockets.to_str().expect("text"),
            conf: &self.conf_text,
            tls: self.options.tls.is_some(),
            tls_applications: self.options.tls.as_ref().is_some_and(|tls| tls.applications),
            database: self.options.application.as_str(),
            application: self.options.application.as_str(),
            os_user: &self.os_user,
            tuning: self.options.tuning,
        }
    }

    /// The identity on the disk must be the data's; the first data gives it.
    fn check_identity(&self, found: u64) -> Result<(), InstanceError> {
        let identity = identify(&self.dir, &self.options.node)?;
        match identity.system_identifier {
            Some(known) if known != found => Err(InstanceError::Foreign {
                path: self.data.clone(),
                found: format!("cluster {found}"),
                wanted: format!("cluster {known}"),
            }),
            Some(_) => Ok(()),
            None => write_identity(&self.dir, &Identity { system_identifier: Some(found), ..identity }),
        }
    }

    fn must_be_stopped(&self, data: &Path) -> Result<(), InstanceError> {
        match proc::workers(data).all.first() {
            Some(one) => Err(InstanceError::StillRuns { path: data.to_owned(), pid: one.pid }),
            None => Ok(()),
        }
    }
}

/// The keeper's system user, and whether PostgreSQL can run as wanted.
fn check_user(options: &Options) -> Result<String, InstanceError> {
    let own = rustix::process::geteuid().as_raw();
    match options.user {
        None if own == 0 => {
            return Err(unable(
                "PostgreSQL does not run as root",
                "name a system user for it; Debian's package makes `postgres`",
            ));
        }
        Some((uid, _)) if own != 0 || uid == 0 => {
            return Err(unable(
                format!("PostgreSQL cannot run as system user {uid} here"),
                "as root name another user, otherwise none",
            ));
        }
        _ => {}
    }
    user_name(own).ok_or_else(|| {
        unable(format!("system user {own} has no name"), "PostgreSQL knows users by name: give it one")
    })
}

/// Names that are the server's or ours.
fn reserved(application: &AppName) -> Result<(), InstanceError> {
    let name = application.as_str();
    let taken =
        ["postgres", "template0", "template1", "public", "all", "replication", "sameuser", "samerole"];
    if taken.contains(&name) || name.starts_with("evenkeel") || name.starts_with("pg-") {
        return Err(unable(
            format!("`{name}` cannot be the name of a role and a database"),
            "give the application another name",
        ));
    }
    Ok(())
}

fn owned_by(path: &Path, uid: u32) -> Result<(), InstanceError> {
    let about = fs::symlink_metadata(path).map_err(InstanceError::file("read", path))?;
    if about.is_dir() && about.uid() == uid {
        return Ok(());
    }
    let found = format!("system user {}", about.uid());
    Err(InstanceError::Foreign { path: path.to_owned(), found, wanted: format!("system user {uid}") })
}

fn lock(dir: &Path) -> Result<File, InstanceError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(InstanceError::file("open", &path))?;
    // Children do not inherit it: descriptors close on `exec`.
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(InstanceError::Busy { path }),
        Err(error) => Err(InstanceError::file("lock", path)(error.into())),
    }
}

/// Reads `node.json`, or writes it for a new folder.
fn identify(dir: &Path, node: &UnitName) -> Result<Identity, InstanceError> {
    let path = dir.join("node.json");
    let identity = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Identity>(&bytes)
            .map_err(|error| InstanceError::Garbled { what: "`node.json`", why: error.to_string() })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let fresh = Identity { node: node.clone(), system_identifier: None };
            write_identity(dir, &fresh)?;
            fresh
        }
        Err(cause) => return Err(InstanceError::file("read", path)(cause)),
    };
    if identity.node == *node {
        return Ok(identity);
    }
    let (found, wanted) = (format!("node `{}`", identity.node), format!("node `{node}`"));
    Err(InstanceError::Foreign { path: dir.to_owned(), found, wanted })
}

fn write_identity(dir: &Path, identity: &Identity) -> Result<(), InstanceError> {
    let path = dir.join("node.json");
    let bytes = serde_json::to_vec(identity).unwrap_or_default();
    files::replace(&path, &bytes, 0o600, None).map(drop).map_err(InstanceError::file("write", path))
}

/// The folder of the Unix socket: `run`, or one under `/run` or `/tmp` when its path would be too long.
fn sockets(dir: &Path, user: Option<User>) -> Result<PathBuf, InstanceError> {
    let mut folder = dir.join("run");
    let own = rustix::process::geteuid().as_raw();
    if folder.as_os_str().len() + SOCKET_NAME.len() > SOCKET_PATH_MAX {
        let base = if own == 0 { "/run" } else { "/tmp" };
        folder = PathBuf::from(format!("{base}/evenkeel-{own}-{:016x}", fingerprint(dir)));
        if fs::symlink_metadata(&folder).is_ok() {
            // In `/tmp` anybody may have been faster. Theirs is not used; a link is not followed.
            owned_by(&folder, user.map_or(own, |(uid, _)| uid))?;
        }
    }
    files::folder(&folder, 0o700, user).map_err(InstanceError::file("create", &folder))?;
    let about = fs::symlink_metadata(&folder).map_err(InstanceError::file("read", &folder))?;
    owned_by(&folder, user.map_or(own, |(uid, _)| uid))?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(InstanceError::Foreign {
            path: folder,
            found: "everybody".to_owned(),
            wanted: "PostgreSQL's system user alone".to_owned(),
        });
    }
    Ok(folder)
}

/// FNV-1a: one folder, one name; nothing rests on it being hard to find another.
fn fingerprint(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}
