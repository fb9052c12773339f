//! Writes the files of settings.

use std::fs;
use std::path::Path;

use super::files::{self, User};
use super::settings::{self, Role, Settings};
use super::{Instance, InstanceError, REPLICATION, STANDBY_SIGNAL, proc};

/// What a server was started with, of what only a restart changes.
const STARTED: &str = "started";

/// What [`Instance::configure`] has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// A file differs; a running server wants [`Running::reload`](super::Running::reload).
    pub changed: bool,
    /// The running server goes on with something that only a restart changes.
    pub restart: bool,
}

impl Instance {
    /// Writes the files of settings, each as a whole, the fence first. A running server does not know of it before
    /// [`Running::reload`](super::Running::reload).
    ///
    /// Not synced: a failover writes them three times, and a dozen waits for the disk each time were a tenth of a second
    /// of it. After the power went no server runs that could read them, and they are written again before the next
    /// [`Instance::start`] by a keeper whose own file is synced.
    ///
    /// Of a revoked standby the password is taken away too, so that a WAL receiver which started on the old setting
    /// in the last moment is refused by the old primary.
    ///
    /// A [`Role::Standby`] of a running primary takes effect when it is written again before the next start: a running
    /// server is never marked as what it is not, or it would be taken for a standby by who knows it by its mark alone. A
    /// standby becomes a primary by [`Instance::promote`] alone: the mark that it is one is never taken away here, as
    /// without it a restart would write on in the timeline of the old primary.
    ///
    /// # Errors
    /// [`InstanceError::File`]; what was written until then stays, and writing again is safe.
    pub fn configure(&self, settings: &Settings) -> Result<Applied, InstanceError> {
        let facts = self.facts();
        let mut changed = self.write("pg_hba.conf", &settings::hba(&facts, settings))?;
        let upstream = match &settings.role {
            Role::Standby { upstream } => upstream.as_ref(),
            Role::Primary => None,
        };
        let password = upstream.map_or_else(String::new, |upstream| {
            let secret = self.options().secrets.replication.expose();
            settings::passline(upstream.address, "replication", REPLICATION, secret)
        });
        self.write_private("passfile", password.as_bytes())?;
        changed |= self.write("pg_ident.conf", &settings::ident(&facts))?;
        changed |= self.write_tls()?;
        changed |= self.write("evenkeel.conf", &settings::conf(&facts, settings))?;
        changed |= self.clear_auto_conf(self.data())?;

        let running = proc::workers(self.data()).postmaster.is_some();
        let mut restart = running && self.started_with() != settings::fixed_part(&facts);
        if matches!(settings.role, Role::Standby { .. }) && self.data().is_dir() {
            if running {
                restart |= !self.is_standby();
            } else {
                changed |= self.mark_standby(self.data())?;
            }
        }
        Ok(Applied { changed, restart })
    }

    fn started_with(&self) -> String {
        fs::read_to_string(self.conf(STARTED)).unwrap_or_default()
    }

    /// Whether a keeper has ever started a server on the data that is there, or a receiver of a witness.
    #[must_use]
    pub fn was_started(&self) -> bool {
        let server = self.conf(STARTED).exists() && self.data().join("PG_VERSION").exists();
        server || self.shelf().exists()
    }

    /// Notes what a server is started with.
    pub(super) fn note_start(&self) -> Result<(), InstanceError> {
        self.write(STARTED, &settings::fixed_part(&self.facts())).map(drop)
    }

    pub(super) fn conf(&self, name: &str) -> std::path::PathBuf {
        self.dir.join("conf").join(name)
    }

    /// What PostgreSQL may read; as root, not write.
    fn write(&self, name: &str, text: &str) -> Result<bool, InstanceError> {
        let (mode, owner) = match self.options().user {
            Some((_, gid)) => (0o640, Some((0, gid))),
            None => (0o600, None),
        };
        self.write_as(name, text.as_bytes(), mode, owner)
    }

    /// Secrets: PostgreSQL wants them to be its own and nobody else's.
    pub(super) fn write_private(&self, name: &str, bytes: &[u8]) -> Result<bool, InstanceError> {
        self.write_as(name, bytes, 0o600, self.options().user)
    }

    fn write_as(
        &self,
        name: &str,
        bytes: &[u8],
        mode: u32,
        owner: Option<User>,
    ) -> Result<bool, InstanceError> {
        let path = self.conf(name);
        files::put(&path, bytes, mode, owner).map_err(InstanceError::file("write", path))
    }

    pub(super) fn write_tls(&self) -> Result<bool, InstanceError> {
        let Some(tls) = &self.options().tls else { return Ok(false) };
        let mut changed = false;
        for (from, name) in [(&tls.ca, "ca.crt"), (&tls.cert, "server.crt"), (&tls.key, "server.key")] {
            let bytes = fs::read(from).map_err(InstanceError::file("read", from))?;
            changed |= self.write_private(name, &bytes)?;
        }
        Ok(changed)
    }

    /// Takes out of `postgresql.auto.conf` what is ours to set.
    pub(super) fn clear_auto_conf(&self, data: &Path) -> Result<bool, InstanceError> {
        let path = data.join("postgresql.auto.conf");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(false) };
        let left = settings::without_ours(&text);
        if left == text {
            return Ok(false);
        }
        files::put(&path, left.as_bytes(), 0o600, self.options().user)
            .map_err(InstanceError::file("write", path))
    }

    /// Makes `data` a standby's; says whether it was not.
    pub(super) fn mark_standby(&self, data: &Path) -> Result<bool, InstanceError> {
        let path = data.join(STANDBY_SIGNAL);
        files::put(&path, b"", 0o600, self.options().user).map_err(InstanceError::file("write", path))
    }
}
