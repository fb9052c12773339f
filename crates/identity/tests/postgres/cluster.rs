//! A PostgreSQL of a test's own: a new cluster, a free port, certificates of its own authority, stopped at the end.

use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use identity::{Node, Owner};

/// Where Debian puts the server's programs.
const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Who may connect how. What is not here is refused.
const HBA: &str = "\
local   all all                     trust
hostssl all replicator 127.0.0.1/32 cert
hostssl all all        127.0.0.1/32 scram-sha-256
";
/// Another program may take the free port between our look and the server's start.
const STARTS: usize = 5;

pub struct Cluster {
    /// The test's folder; only this user and the server's enter.
    pub folder: PathBuf,
    pub port: u16,
    pub owner: Option<Owner>,
}

impl Cluster {
    /// `None`, said loudly, when there is no PostgreSQL here.
    pub fn prepare(test: &str) -> Option<Cluster> {
        let owner = if is_root() { user("postgres") } else { None };
        let missing = if !Path::new(BIN).join("postgres").exists() {
            "PostgreSQL 15 is not installed"
        } else if is_root() && owner.is_none() {
            "PostgreSQL does not run as root, and there is no user `postgres`"
        } else {
            ""
        };
        if !missing.is_empty() {
            let required = std::env::var("EVENKEEL_REQUIRE").unwrap_or_default();
            assert!(required != "all", "{test}: {missing}, and EVENKEEL_REQUIRE=all");
            eprintln!("SKIPPED {test}: {missing}");
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ek-identity-pg-{}-{number}", std::process::id()));
        // Others may pass through, to what is theirs, and look at nothing.
        std::fs::DirBuilder::new().mode(0o711).create(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).unwrap();
        let cluster = Cluster { folder, port: 0, owner };
        std::fs::DirBuilder::new().mode(0o700).create(cluster.data()).unwrap();
        if let Some(owner) = owner {
            std::os::unix::fs::chown(cluster.data(), Some(owner.uid), Some(owner.gid)).unwrap();
        }
        let mut initdb = cluster.server_command("initdb");
        initdb.args(["-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "reject", "-D"]);
        success(initdb.arg(cluster.data()).output().unwrap(), "initdb");
        Some(cluster)
    }

    /// Starts it with this certificate.
    pub fn start(&mut self, node: &Node) {
        node.write(&self.node_dir(), self.owner).unwrap();
        std::fs::write(self.data().join("pg_hba.conf"), HBA).unwrap();
        let (node, data) = (self.node_dir(), self.data());
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nssl = on\nfsync = off\n\
             ssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\nlog_statement = all\n",
            data.display(),
            node.join("cert.pem").display(),
            node.join("key.pem").display(),
            node.join("ca.pem").display(),
        );
        std::fs::write(data.join("postgresql.conf"), settings).unwrap();
        for attempt in 1..=STARTS {
            self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut start = self.server_command("pg_ctl");
            // Its output stays open in the server, so a pipe would never end.
            start.args(["-w", "-t", "60", "-o", &format!("-p {}", self.port), "-D"]).arg(&data);
            let status =
                start.arg("-l").arg(self.log()).arg("start").stdout(std::process::Stdio::null()).status();
            if status.unwrap().success() {
                return;
            }
            assert!(attempt < STARTS, "it does not start: {}", self.log_text());
        }
    }

    fn server_command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(BIN).join(program));
        command.current_dir("/").env("LC_ALL", "C");
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn node_dir(&self) -> PathBuf {
        self.folder.join("node")
    }

    fn log(&self) -> PathBuf {
        self.data().join("server.log")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// SQL of the administrator, over the socket in the server's own folder.
    #[track_caller]
    pub fn admin(&self, sql: &str) -> String {
        let host = format!("host={} user=postgres", self.data().display());
        success(self.psql(&host, None, sql), sql)
    }

    /// `psql` with these words of a connection string, each of which may also be one that is here already.
    pub fn psql(&self, words: &str, password: Option<&str>, sql: &str) -> Output {
        let connection = format!("port={} dbname=postgres connect_timeout=20 {words}", self.port);
        let mut command = Command::new(Path::new(BIN).join("psql"));
        command.args(["-X", "-w", "-At", "-v", "ON_ERROR_STOP=1", "-d", &connection, "-c", sql]);
        // Nothing of whoever runs the test: no `~/.postgresql`, no `PGHOST`.
        command.env_clear().env("HOME", &self.folder).env("LC_ALL", "C");
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        command.output().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            let mut stop = self.server_command("pg_ctl");
            let _ = stop.args(["-w", "-m", "immediate", "stop", "-D"]).arg(self.data()).output();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What it printed.
#[track_caller]
pub fn success(output: Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// It was refused, and said so with these words.
#[track_caller]
pub fn refused(output: Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "this must not work; {words:?} was expected");
    assert!(said.contains(words), "{words:?} is not in: {said}");
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn user(name: &str) -> Option<Owner> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some(Owner { uid: fields[2].parse().unwrap(), gid: fields[3].parse().unwrap() })
}
