//! Making data: from nothing, from another node, or by taking back what another history does not have.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::decide_log::SEGMENT_BYTES;
use super::files;
use super::program::{last_words, unreachable};
use super::settings::{self, Upstream};
use super::{Half, Instance, InstanceError, KEEPER, REPLICATION, REWIND, Secret, control};

/// `initdb` and the first statements, on a slow disk.
const INIT_WITHIN: Duration = Duration::from_secs(120);
/// The passwords for a program that connects; there while it runs.
const PASSFILE: &str = "passfile.tool";

/// How a rewind ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewound {
    /// The data is a standby's of the source.
    Done,
    /// It cannot be rewound, or was left half way: clone it. Why, in PostgreSQL's words.
    NeedsClone(String),
    /// It was a standby that did not stop cleanly, which `pg_rewind` cannot recover. Nothing was touched. Start it
    /// without an upstream, stop it fast, and try again.
    NeedsCleanStop,
}

fn literal(secret: &Secret) -> String {
    format!("'{}'", secret.expose().replace('\'', "''"))
}

impl Instance {
    /// Makes a new cluster: checksums, UTF-8, the roles, the application's database, the table of terms. No server
    /// listens meanwhile, and no password is on a command line or in a file. It is there as a whole or not at all.
    ///
    /// # Errors
    /// [`InstanceError::Unable`] when there is data; [`InstanceError::Program`]; [`InstanceError::File`].
    pub async fn init(&self) -> Result<(), InstanceError> {
        if self.data().exists() {
            return Err(InstanceError::Unable {
                what: format!("`{}` exists", self.data().display()),
                hint: "a new cluster is made where there is none; move it away first",
            });
        }
        let draft = self.fresh_draft().await?;
        let superuser = format!("--username={KEEPER}");
        let segments = format!("--wal-segsize={}", SEGMENT_BYTES >> 20);
        let arguments = [
            "-D",
            draft.as_str(),
            &superuser,
            "--data-checksums",
            &segments,
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            // The superuser has no password: nobody can be it over TCP, whatever pg_hba.conf says.
            "--auth-local=peer",
            "--auth-host=reject",
            "--no-instructions",
        ];
        self.program().run("initdb", &arguments, None, INIT_WITHIN).await?;
        // The control file keeps this number, and a standby with a lower one does not start.
        let connections = format!("max_connections={}", self.options().tuning.connections);
        let settings = ["exit_on_error=on", "log_min_error_statement=panic", &connections];
        let mut arguments = vec!["--single", "-D", &draft];
        settings.iter().for_each(|setting| arguments.extend(["-c", *setting]));
        arguments.push("postgres");
        self.program().run("postgres", &arguments, Some(&self.first_statements()), INIT_WITHIN).await?;
        let identifier = control::system_identifier(draft.as_ref())?;
        self.check_identity(identifier)?;
        fs::rename(&draft, self.data()).map_err(InstanceError::file("rename", &draft))?;
        files::sync_folder(&self.dir).map_err(InstanceError::file("sync", &self.dir))
    }

    /// One statement a line, as single-user mode reads them.
    fn first_statements(&self) -> String {
        let options = self.options();
        let (secrets, application) = (&options.secrets, options.application.as_str());
        [
            format!("CREATE ROLE {REPLICATION} REPLICATION LOGIN PASSWORD {}", literal(&secrets.replication)),
            format!("CREATE ROLE {REWIND} LOGIN PASSWORD {}", literal(&secrets.rewind)),
            // What pg_rewind calls on its source (documentation, pg_rewind, Notes). It needs no more: it refuses to
            // write there, and since version 14 makes no temporary table.
            format!("GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO {REWIND}"),
            format!("GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO {REWIND}"),
            format!("GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO {REWIND}"),
            format!(
                "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO {REWIND}"
            ),
            format!("CREATE ROLE \"{application}\" LOGIN PASSWORD {}", literal(&secrets.application)),
            format!("CREATE DATABASE \"{application}\" OWNER \"{application}\""),
            "REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC".to_owned(),
            format!("GRANT CONNECT ON DATABASE postgres TO {REWIND}"),
        ]
        .map(|statement| format!("{statement};\n"))
        .concat()
    }

    /// An empty `data.new`, for PostgreSQL to fill.
    async fn fresh_draft(&self) -> Result<String, InstanceError> {
        let draft = self.dir.join("data.new");
        self.must_be_stopped(&draft)?;
        remove(&draft).await?;
        files::folder(&draft, 0o700, self.options().user).map_err(InstanceError::file("create", &draft))?;
        Ok(format!("{}/data.new", self.dir.display()))
    }

    /// Says, durably, that the data is a mixture from now on; `None`: that it is whole again.
    fn mark(&self, half: Option<Half>) -> Result<(), InstanceError> {
        let path = self.dir.join("half");
        let done = match half {
            Some(half) => {
                let bytes = serde_json::to_vec(&half).unwrap_or_default();
                files::replace(&path, &bytes, 0o600, None).map(drop)
            }
            None => files::remove(&path),
        };
        done.map_err(InstanceError::file("write", path))
    }

    /// Writes the password and gives the connection string.
    fn to(&self, source: &Upstream, database: &str, user: &str) -> Result<String, InstanceError> {
        let secrets = &self.options().secrets;
        let secret = if user == REWIND { &secrets.rewind } else { &secrets.replication };
        let line = settings::passline(source.address, database, user, secret.expose());
        self.write_private(PASSFILE, line.as_bytes())?;
        Ok(settings::connection(&self.facts(), source.address, user, PASSFILE))
    }

    fn forget_password(&self) -> Result<(), InstanceError> {
        let path = self.conf(PASSFILE);
        files::remove(&path).map_err(InstanceError::file("remove", path))
    }

    /// Brings a base backup of `source` with the WAL to start it, as a standby; the settings' files must have been
    /// written by [`Instance::configure`] once. The new data takes the old one's place as a whole; until then the
    /// old is untouched where the disk has room for both, afterwards it is `data.old`, or gone. `source.name` is not used: a base backup must not be
    /// taken for a standby that acknowledges.
    ///
    /// Between its begin and its end the data counts as half made and does not start.
    ///
    /// # Errors
    /// [`InstanceError::Program`], transient when `source` cannot be reached; [`InstanceError::Foreign`] when it is
    /// of another cluster; [`InstanceError::StillRuns`]; [`InstanceError::File`].
    pub async fn clone_from(
        &self,
        source: &Upstream,
        keep_old: bool,
        within: Duration,
    ) -> Result<(), InstanceError> {
        self.must_be_stopped(self.data())?;
        self.mark(Some(Half::Clone))?;
        let draft = self.fresh_draft().await?;
        // About as much is about to come. What is half made by the mark will never run again, so it goes first then: else a
        // database that takes more than half of its disk could never be copied anew.
        if self.free_bytes().is_some_and(|free| free < files::tree_bytes(self.data())) {
            remove(self.data()).await?;
        }
        let connection = self.to(source, "replication", REPLICATION)?;
        let mut arguments =
            vec!["-D", draft.as_str(), "-X", "stream", "-c", "fast", "-w", "-N", "-d", connection.as_str()];
        if let Some(slot) = &source.slot {
            arguments.extend(["-S", slot.as_str()]);
        }
        let done = self.program().run("pg_basebackup", &arguments, None, within).await;
        self.forget_password()?;
        done?;

        let fresh = self.dir.join("data.new");
        self.check_identity(control::system_identifier(&fresh)?)?;
        self.clear_auto_conf(&fresh)?;
        self.mark_standby(&fresh)?;
        sync(&fresh).await?;
        let old = self.dir.join("data.old");
        if self.data().exists() {
            remove(&old).await?;
            fs::rename(self.data(), &old).map_err(InstanceError::file("rename", self.data()))?;
        }
        fs::rename(&fresh, self.data()).map_err(InstanceError::file("rename", &fresh))?;
        files::sync_folder(&self.dir).map_err(InstanceError::file("sync", &self.dir))?;
        self.mark(None)?;
        if !keep_old {
            remove(&old).await?;
        }
        Ok(())
    }

    /// Removes what a copy has replaced, where a crash has left it: as much as a whole database.
    ///
    /// # Errors
    /// [`InstanceError::File`].
    pub async fn clear_replaced(&self) -> Result<(), InstanceError> {
        let old = self.dir.join("data.old");
        if self.half()?.is_some() || !old.exists() {
            return Ok(());
        }
        remove(&old).await
    }

    /// Takes back what the data has and `source` does not, and makes it a standby's. `source` must be a primary that
    /// has written a checkpoint since its promotion. A primary that crashed is recovered first, by `pg_rewind` in
    /// single-user mode, which serves nobody.
    ///
    /// # Errors
    /// [`InstanceError::Program`] (transient) when `source` could not be reached, so that nothing was touched;
    /// [`InstanceError::HalfMade`], [`InstanceError::StillRuns`], [`InstanceError::File`]. What `pg_rewind` itself
    /// cannot do is no error but [`Rewound::NeedsClone`], and the mark stays.
    pub async fn rewind(&self, source: &Upstream, within: Duration) -> Result<Rewound, InstanceError> {
        if let Some(half) = self.half()? {
            return Err(InstanceError::HalfMade { path: self.dir.clone(), half });
        }
        self.must_be_stopped(self.data())?;
        self.bury()?;
        let control = self.control().await?;
        // "standby mode is not supported by single-user servers" (`readRecoverySignalFile`).
        if control.standby && !control.clean() {
            return Ok(Rewound::NeedsCleanStop);
        }
        self.clear_auto_conf(self.data())?;
        let connection = self.to(source, "postgres", REWIND)?;
        self.mark(Some(Half::Rewind))?;
        let target = format!("--target-pgdata={}", self.data_text());
        let server = format!("--source-server={connection} dbname=postgres");
        let config = format!("--config-file={}/evenkeel.conf", self.conf_text);
        let program = self.program();
        let done = program.output("pg_rewind", &[&target, &server, &config, "--no-sync"], None, within).await;
        self.forget_password()?;
        // Late: it was killed in the middle.
        let output = match done {
            Err(InstanceError::Program { how, says, .. }) => {
                return Ok(Rewound::NeedsClone(format!("`pg_rewind` {how}: {says}")));
            }
            done => done?,
        };
        if !output.status.success() {
            let says = last_words(&output.stderr, &program.secrets);
            if unreachable(&says) {
                self.mark(None)?;
                return Err(program.failed("pg_rewind", &output));
            }
            return Ok(Rewound::NeedsClone(says));
        }
        // It has brought the source's files of settings.
        self.clear_auto_conf(self.data())?;
        self.mark_standby(self.data())?;
        sync(self.data()).await?;
        self.mark(None)?;
        Ok(Rewound::Done)
    }
}

async fn remove(folder: &Path) -> Result<(), InstanceError> {
    let path = folder.to_owned();
    files::aside(move || files::remove_tree(&path)).await.map_err(InstanceError::file("remove", folder))
}

async fn sync(folder: &Path) -> Result<(), InstanceError> {
    let path = folder.to_owned();
    files::aside(move || files::sync_file_system(&path)).await.map_err(InstanceError::file("sync", folder))
}
