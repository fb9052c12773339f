//! A real etcd of three members on loopback, for tests and measurements: each member can be killed, frozen and started
//! again. Only the standard library, so that other crates can take it in by `#[path]`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Members of the cluster.
pub const MEMBERS: usize = 3;
/// Time without a heartbeat after which members elect, in milliseconds; heartbeats go each tenth of it.
pub const ELECTION_MS: u64 = 500;
/// A cluster is up by then, in milliseconds, also on a machine that is busy.
const UP_MS: u64 = 30_000;
/// An answer of a member takes no longer, in milliseconds.
const ANSWER_MS: u64 = 3_000;

/// Whether etcd is here; says so when it is not, and fails when it has to be.
pub fn installed(test: &str) -> bool {
    if Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return true;
    }
    eprintln!("SKIPPED {test}: etcd is not installed\nhint: apt-get install etcd-server");
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test}: etcd is not installed");
    false
}

/// Three members, ended with it.
pub struct Cluster {
    folder: PathBuf,
    /// With `ca.pem`, `cert.pem` and `key.pem`: members and clients speak TLS, and show a certificate of that authority.
    tls: Option<PathBuf>,
    members: Vec<Member>,
}

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
}

impl Cluster {
    /// Starts a cluster and waits until it serves.
    pub fn start() -> Cluster {
        let cluster = Cluster::begin(|_, _| None);
        cluster.wait_up();
        cluster
    }

    /// Starts one with TLS, whose files `certify` makes in a folder for an address; does not wait for it.
    #[allow(dead_code, reason = "not every user of this file has certificates")]
    pub fn start_with_tls(certify: impl FnOnce(&Path, Ipv4Addr)) -> Cluster {
        Cluster::begin(|folder, address| {
            let tls = folder.join("tls");
            fs::create_dir(&tls).unwrap();
            certify(&tls, address);
            Some(tls)
        })
    }

    fn begin(certify: impl FnOnce(&Path, Ipv4Addr) -> Option<PathBuf>) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let folder = std::env::temp_dir().join(format!("evenkeel-etcd-{process}-{count}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // An address that other programs' own connections do not start from: they cannot take a port between our
        // choice of it and etcd's start, nor while a member is away.
        let [_, high, middle, low] = process.to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | (high & 63), middle, low);
        let free: Vec<TcpListener> =
            (0..MEMBERS * 2).map(|_| TcpListener::bind((address, 0)).unwrap()).collect();
        let at: Vec<SocketAddr> = free.iter().map(|listener| listener.local_addr().unwrap()).collect();
        drop(free);
        let members = (0..MEMBERS).map(|n| Member {
            name: format!("m{n}"),
            client: at[n],
            peer: at[MEMBERS + n],
            process: None,
        });
        let tls = certify(&folder, address);
        let mut cluster = Cluster { folder, tls, members: members.collect() };
        (0..MEMBERS).for_each(|index| cluster.run(index));
        cluster
    }

    /// Starts a member that was killed; does not wait for it.
    pub fn run(&mut self, index: usize) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = |address: SocketAddr| format!("{scheme}://{address}");
        let mut secure: Vec<String> = Vec::new();
        for (side, dir) in ["", "peer-"].iter().flat_map(|side| self.tls.iter().map(move |dir| (side, dir))) {
            for (option, file) in [("trusted-ca", "ca"), ("cert", "cert"), ("key", "key")] {
                secure.push(format!("--{side}{option}-file={}/{file}.pem", dir.display()));
            }
            secure.push(format!("--{side}client-cert-auth"));
        }
        let all: Vec<String> =
            self.members.iter().map(|member| format!("{}={}", member.name, url(member.peer))).collect();
        let member = &self.members[index];
        let log = self.folder.join(format!("{}.log", member.name));
        let log = File::options().create(true).append(true).open(log).unwrap();
        // Ended with the thread that started it, also when that could not say good-bye.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--pre-vote", "--logger", "zap", "--log-outputs", "stderr"])
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.folder.join(&member.name))
            .args(["--heartbeat-interval", &(ELECTION_MS / 10).to_string()])
            .args(["--election-timeout", &ELECTION_MS.to_string()])
            .args(["--listen-client-urls", &url(member.client), "--listen-peer-urls", &url(member.peer)])
            .args(["--advertise-client-urls", &url(member.client)])
            .args(["--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(secure)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].process = Some(child);
    }

    /// Waits until every member knows a leader and carries out a write.
    pub fn wait_up(&self) {
        let end = Instant::now() + Duration::from_millis(UP_MS);
        for index in 0..MEMBERS {
            // `/health` asks for the agreement of most members.
            while !self.ask(index, "GET", "/health", "").is_ok_and(|answer| answer.contains("\"true\"")) {
                assert!(Instant::now() < end, "etcd does not come up, see {}", self.folder.display());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Where a member serves clients.
    pub fn client(&self, index: usize) -> SocketAddr {
        self.members[index].client
    }

    /// The leader's place among the members, waited for.
    pub fn leader(&self) -> usize {
        let end = Instant::now() + Duration::from_millis(UP_MS);
        loop {
            for index in (0..MEMBERS).filter(|index| self.is_running(*index)) {
                let Ok(answer) = self.ask(index, "POST", "/v3/maintenance/status", "{}") else { continue };
                let (id, leader) = (field(&answer, "member_id"), field(&answer, "leader"));
                if id.is_some() && id == leader {
                    return index;
                }
            }
            assert!(Instant::now() < end, "no leader, see {}", self.folder.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A member that is not the leader.
    pub fn follower(&self) -> usize {
        (self.leader() + 1) % MEMBERS
    }

    fn is_running(&self, index: usize) -> bool {
        self.members[index].process.as_ref().is_some_and(|child| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z']))
        })
    }

    /// kill -9.
    pub fn kill(&mut self, index: usize) {
        let mut child = self.members[index].process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self, index: usize) {
        self.signal(index, "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self, index: usize) {
        self.signal(index, "CONT");
    }

    fn signal(&self, index: usize, signal: &str) {
        let id = self.members[index].process.as_ref().unwrap().id();
        let done = Command::new("kill").args([format!("-{signal}"), id.to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// One request to one member; its answer's head and body.
    pub fn ask(&self, index: usize, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let address = self.members[index].client;
        let limit = Duration::from_millis(ANSWER_MS);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Forgets the history before the newest revision, and answers with that.
    pub fn compact(&self) -> u64 {
        let index = self.leader();
        let range = self.ask(index, "POST", "/v3/kv/range", r#"{"key":"AA=="}"#).unwrap();
        let revision = field(&range, "revision").unwrap();
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        let answer = self.ask(index, "POST", "/v3/kv/compaction", &body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        revision.parse().unwrap()
    }

    /// Where the logs are, for a failed test's message.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            // SIGKILL also ends what is frozen.
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The string behind `"name":` in JSON.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
