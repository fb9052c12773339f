//! A PostgreSQL server of a test's own.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};

use crate::support::{PATIENCE, free_address};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// Whether PostgreSQL is there; says loudly when not, and fails where everything is required.
pub fn there(test: &str) -> bool {
    if Path::new(PROGRAMS).join("postgres").exists() {
        return true;
    }
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test} needs PostgreSQL 15");
    eprintln!("SKIPPED {test}: `{PROGRAMS}/postgres` is missing");
    false
}

/// A program of PostgreSQL, which refuses to be run by root.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(PROGRAMS).join(name));
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("postgres:")).expect("no user `postgres`");
        let ids: Vec<u32> = user.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
        command.uid(ids[0]).gid(ids[1]);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// A folder that the servers' user may write to.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ek-path-{}-{name}", std::process::id()));
    let mut make = Command::new("mkdir");
    if rustix::process::geteuid().is_root() {
        make = Command::new("install");
        make.args(["-d", "-o", "postgres", "-m", "700"]);
    }
    assert!(make.arg(&path).status().unwrap().success());
    path
}

pub struct Server {
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Server {
    pub async fn start(name: &str) -> Server {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = folder(&format!("{number}-{name}"));
        let data = folder.join("data");
        let mut make = program("initdb");
        make.args(["-U", "app", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C", "-D"]).arg(&data);
        assert!(make.stdout(Stdio::null()).status().unwrap().success(), "initdb failed");
        let address = free_address();
        let mut command = program("postgres");
        command.arg("-D").arg(&data).args(["-p", &address.port().to_string(), "-k"]).arg(&folder);
        let fast = ["fsync=off", "max_connections=60", "shared_buffers=8MB", "listen_addresses=127.0.0.1"];
        for setting in fast {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.join("log"));
        let child = command.stderr(log.unwrap()).stdout(Stdio::null()).spawn().unwrap();
        let server = Server { address, child, folder };
        let begin = Instant::now();
        while connect(address).await.is_err() {
            assert!(begin.elapsed() < PATIENCE, "the server does not start");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        server
    }

    /// The postmaster and all it started.
    fn processes(&self) -> Vec<Pid> {
        let own = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        std::iter::once(own.cast_signed()).chain(children).filter_map(Pid::from_raw).collect()
    }

    pub fn signal(&self, signal: Signal) {
        for process in self.processes() {
            let _ = kill_process(process, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A session with whatever is at `address`.
pub async fn connect(address: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let words = format!("host={} port={} user=app dbname=postgres", address.ip(), address.port());
    let (client, connection) = tokio_postgres::connect(&words, NoTls).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The port of the server that a session has reached.
pub async fn reached(client: &Client) -> Result<u16, tokio_postgres::Error> {
    let row = client.query_one("SELECT current_setting('port')", &[]).await?;
    Ok(row.get::<_, &str>(0).parse().unwrap())
}

/// What `psql` says on standard output and standard error.
pub fn psql(words: &str, sql: &str) -> (bool, String) {
    let words = format!("user=app dbname=postgres connect_timeout=15 {words}");
    let output = program("psql").args(["-XAtc", sql, &words]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}
