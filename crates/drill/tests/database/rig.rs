//! Throw-away PostgreSQL 15 servers: own folder, own port, killed and removed at the end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use drill::database::{
    FinalState, Glance, Handle, Judgement, Load, Options, Target, Workload, judge, read_final,
};
use rustix::process::{Pid, Signal, kill_process};

const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Whatever is waited for comes long before; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
    rustix::process::geteuid().is_root()
}

/// User and group `postgres`, from the system's list.
fn postgres_ids() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = text.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
}

/// A folder that the servers may write to, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("drill-pg-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        if let Some((user, group)) = postgres_ids().filter(|_| is_root()) {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        }
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One server.
pub struct Server {
    pub address: SocketAddr,
    postmaster: Option<Child>,
    folder: Folder,
}

fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(BIN).join(name));
    command.stdin(Stdio::null()).current_dir("/").env("LC_ALL", "C");
    if let Some((user, group)) = postgres_ids().filter(|_| is_root()) {
        command.uid(user).gid(group);
    }
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    /// A primary that runs, with these settings on top.
    pub fn primary(settings: &[&str]) -> Server {
        let folder = Folder::new();
        let data = folder.0.join("data");
        run(program("initdb").arg("-D").arg(&data).args(["-U", "drill", "-A", "trust", "-N", "-E", "UTF8"]));
        let mut server = Server { address: free_address(), postmaster: None, folder };
        let mut text = String::from(
            "listen_addresses = '127.0.0.1'\nfsync = off\nshared_buffers = 16MB\nmax_connections = 100\n\
             wal_level = replica\nhot_standby = on\nmax_wal_senders = 4\nautovacuum = off\nlog_min_messages = fatal\n",
        );
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        let file = data.join("postgresql.auto.conf");
        let old = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, old + &text).unwrap();
        server.start();
        server
    }

    /// An asynchronous standby of `self`, following it.
    pub fn standby(&self) -> Server {
        let folder = Folder::new();
        let data = folder.0.join("data");
        let port = self.address.port().to_string();
        run(program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "drill", "-p", &port, "-R", "-c", "fast", "-D"])
            .arg(&data));
        let mut server = Server { address: free_address(), postmaster: None, folder };
        server.start();
        server
    }

    pub fn start(&mut self) {
        let log = std::fs::File::create(self.folder.0.join("log")).unwrap();
        let sockets = format!("unix_socket_directories={}", self.folder.0.display());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let mut command = program("postgres");
            command.arg("-D").arg(self.folder.0.join("data")).args(["-c", &sockets]);
            command.args(["-p", &self.address.port().to_string()]);
            command.stdout(Stdio::null()).stderr(log.try_clone().unwrap());
            let child = self.postmaster.insert(command.spawn().unwrap());
            // It ends at once while children of a killed predecessor still hold its memory.
            while child.try_wait().unwrap().is_none() && Instant::now() < until {
                let port = self.address.port().to_string();
                let mut ready = program("pg_isready");
                if ready.args(["-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let log = std::fs::read_to_string(self.folder.0.join("log"));
        panic!("the server at {} does not start: {log:?}", self.address);
    }

    /// The postmaster and every child of it at once, as when the machine dies, but for what the kernel has.
    pub fn kill_all(&mut self) {
        self.signal_all(Signal::KILL);
        if let Some(mut postmaster) = self.postmaster.take() {
            let _ = postmaster.wait();
        }
    }

    /// To the postmaster and every child of it.
    pub fn signal_all(&self, signal: Signal) {
        let Some(id) = self.postmaster.as_ref().map(Child::id) else { return };
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let ids =
            std::iter::once(id as i32).chain(children.split_whitespace().filter_map(|id| id.parse().ok()));
        for pid in ids.filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Replaces who may connect how.
    pub async fn let_in(&self, rules: &str) {
        std::fs::write(self.folder.0.join("data/pg_hba.conf"), rules).unwrap();
        self.sql("SELECT pg_reload_conf()").await;
        self.until("SELECT count(*) = 2 FROM pg_hba_file_rules").await;
    }

    pub fn target(&self) -> Target {
        target(&[self.address])
    }

    /// One statement behind the checker's back; the first column.
    pub async fn sql(&self, statement: &str) -> Vec<String> {
        let text = format!("host=127.0.0.1 port={} user=drill dbname=postgres", self.address.port());
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let messages = client.simple_query(statement).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        rows.collect()
    }

    /// Waits until the statement answers `t`.
    pub async fn until(&self, statement: &str) {
        let until = Instant::now() + PATIENCE;
        while self.sql(statement).await != ["t"] {
            assert!(Instant::now() < until, "never true: {statement}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn judge(&self, history: &drill::database::History) -> (Judgement, FinalState) {
        let survived = read_final(&self.target(), PATIENCE).await.unwrap();
        (judge(history, &survived), survived)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_all(Signal::CONT);
        let Some(mut postmaster) = self.postmaster.take() else { return };
        if let Some(pid) = Pid::from_raw(postmaster.id() as i32) {
            // Immediate shutdown: it takes its children with it.
            let _ = kill_process(pid, Signal::QUIT);
        }
        let until = Instant::now() + Duration::from_secs(10);
        while postmaster.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > until {
                self.postmaster = Some(postmaster);
                self.kill_all();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub fn target(addresses: &[SocketAddr]) -> Target {
    Target {
        addresses: addresses.to_vec(),
        user: "drill".into(),
        password: None,
        database: "postgres".into(),
        trust: None,
    }
}

/// Register writes only.
pub fn writers_only(target: Target) -> Options {
    let registers = Load { clients: 8, rate_per_s: 400.0 };
    Options { registers, lists: Load::NONE, bank: Load::NONE, sessions: Load::NONE, ..Options::new(target) }
}

pub async fn start(options: Options) -> Handle {
    Workload::prepare(&options, PATIENCE).await.unwrap();
    Workload::start(options).unwrap()
}

/// Waits for `count` more acknowledgements.
pub async fn acked(handle: &Handle, count: u64) {
    let wanted = handle.glance().acked + count;
    seen(handle, |glance| glance.acked >= wanted).await;
}

/// Waits until the workload has come so far.
pub async fn seen(handle: &Handle, enough: impl Fn(&Glance) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !enough(&handle.glance()) {
        assert!(Instant::now() < until, "it does not come: {:?}", handle.glance());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
