//! Throw-away PostgreSQL 15 servers and replicas of the shop: own folder, free ports, ended and removed at the end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Whatever is waited for comes long before; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// As it stands in addresses; the server knows it as `p@ss/word`.
pub const PASSWORD: &str = "p%40ss%2Fword";
const PLAIN_PASSWORD: &str = "p@ss/word";

/// Whether PostgreSQL is here; says so when it is not.
pub fn present(test: &str) -> bool {
    if Path::new(BIN).join("postgres").exists() && (!is_root() || postgres_ids().is_some()) {
        return true;
    }
    let why = format!("PostgreSQL 15 is not in {BIN}, or there is no user `postgres` to run it as");
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test}: {why}");
    eprintln!("SKIPPED {test}: {why}");
    false
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// User and group `postgres`, from the system's list.
fn postgres_ids() -> Option<(u32, u32)> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = text.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
}

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}

fn folder(kind: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("shop-{kind}-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(BIN).join(name));
    command.stdin(Stdio::null()).current_dir("/").env("LC_ALL", "C").env("PGPASSWORD", PLAIN_PASSWORD);
    if let Some((user, group)) = postgres_ids().filter(|_| is_root()) {
        command.uid(user).gid(group);
    }
    command
}

/// One server with the user `shop`, who has a password, and the database `db`, which is the user's.
pub struct Server {
    pub port: u16,
    postmaster: Option<Child>,
    folder: PathBuf,
}

impl Server {
    pub fn new() -> Server {
        let folder = folder("pg");
        if let Some((user, group)) = postgres_ids().filter(|_| is_root()) {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let word = folder.join("word");
        fs::write(&word, PLAIN_PASSWORD).unwrap();
        let mut init = program("initdb");
        init.arg("-D").arg(folder.join("data")).args([
            "-U",
            "shop",
            "-A",
            "scram-sha-256",
            "-N",
            "-E",
            "UTF8",
        ]);
        let output = init.arg("--pwfile").arg(word).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = folder.join("data/postgresql.auto.conf");
        let settings =
            "listen_addresses = '127.0.0.1'\nfsync = off\nshared_buffers = 16MB\nautovacuum = off\n";
        fs::write(file, settings).unwrap();
        let mut server = Server { port: free_port(), postmaster: None, folder };
        server.start();
        server.sql_in("postgres", "CREATE DATABASE db");
        server
    }

    pub fn start(&mut self) {
        let log = File::create(self.folder.join("log")).unwrap();
        let sockets = format!("unix_socket_directories={}", self.folder.display());
        let port = self.port.to_string();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut command = program("postgres");
            command.arg("-D").arg(self.folder.join("data")).args(["-c", &sockets, "-p", &port]);
            command.stdout(Stdio::null()).stderr(log.try_clone().unwrap());
            let child = self.postmaster.insert(command.spawn().unwrap());
            // It ends at once while children of a killed predecessor still hold its memory.
            while child.try_wait().unwrap().is_none() && Instant::now() < end {
                let mut ready = program("pg_isready");
                if ready.args(["-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
        }
        panic!("the server does not start: {:?}", fs::read_to_string(self.folder.join("log")));
    }

    /// The postmaster and every child of it at once, as when the machine dies, but for what the kernel has.
    pub fn kill_all(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        let id = postmaster.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let ids = [id.to_string()].into_iter().chain(children.split_whitespace().map(str::to_owned));
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
        let _ = postmaster.wait();
    }

    /// One statement behind the shop's back; its rows, columns parted by `|`.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("db", statement)
    }

    /// Ends the shop's sessions, of which there must be some, and waits until they are gone: one that still ends may take
    /// an order with it.
    pub fn end_sessions(&self) {
        let ended = self.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'shop'",
        );
        assert_ne!(ended, "0");
        until("they are gone", || {
            self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop'") == "0"
        });
    }

    fn sql_in(&self, database: &str, statement: &str) -> String {
        let port = self.port.to_string();
        let mut psql = program("psql");
        psql.args(["-XtA", "-h", "127.0.0.1", "-p", &port, "-U", "shop", "-d", database, "-c", statement]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// As `${db.url}` is.
    pub fn url(&self) -> String {
        url(&format!("127.0.0.1:{}", self.port), PASSWORD)
    }
}

pub fn url(hosts: &str, password: &str) -> String {
    format!("postgres://shop:{password}@{hosts}/db?target_session_attrs=any&connect_timeout=2")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_all();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One replica.
pub struct Shop {
    child: Child,
    address: String,
    folder: PathBuf,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// What the answer says about the effect of a failed order.
    pub fn outcome(&self) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix("x-order-outcome: ")).unwrap_or("-")
    }
}

impl Shop {
    pub fn start(unit: &str, url: &str) -> Shop {
        let folder = folder("replica");
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop"))
            .args(["--port", "0", "--unit", unit])
            .env("DATABASE_URL", url)
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("said")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Shop { child, address, folder }
    }

    /// Everything it has told people.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("said")).unwrap()
    }

    pub fn arguments(&self) -> String {
        fs::read_to_string(format!("/proc/{}/cmdline", self.child.id())).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub fn order(&self, id: &str) -> Answer {
        self.ask("POST", "/orders", &format!(r#"{{"id":"{id}","item":"mug"}}"#))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
