//! A real etcd of three members on loopback.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::Process;

/// Members.
const MEMBERS: usize = 3;
/// A cluster is up by then, also on a machine that is busy.
const UP: Duration = Duration::from_secs(30);
/// A member answers by then.
const ANSWER: Duration = Duration::from_millis(1_000);

/// Whether etcd is here.
pub fn installed() -> bool {
    Command::new("etcd")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A member, with the timers of the promised figures (50/500 ms). `urls` are for clients and for other members.
pub fn words(name: &str, data: &Path, urls: (&str, &str), all: &str) -> Vec<OsString> {
    let (client, peer) = urls;
    let mut words: Vec<OsString> =
        ["etcd", "--pre-vote", "--logger", "zap", "--log-outputs", "stderr"].map(Into::into).to_vec();
    words.extend(["--name".into(), name.into(), "--data-dir".into(), data.as_os_str().to_owned()]);
    words.extend(["--heartbeat-interval", "50", "--election-timeout", "500"].map(Into::into));
    words.extend(["--listen-client-urls", client, "--advertise-client-urls", client].map(Into::into));
    words.extend(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer].map(Into::into));
    words.extend(["--initial-cluster", all, "--initial-cluster-state", "new"].map(Into::into));
    words
}

/// Three members, ended with it.
pub struct Etcd {
    folder: PathBuf,
    clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    members: Vec<Child>,
}

impl Etcd {
    /// Starts three members in `folder`, on free ports of `ip`, and waits until they agree.
    pub async fn start(folder: &Path, ip: IpAddr) -> Result<Etcd> {
        let held: Vec<TcpListener> =
            (0..MEMBERS * 2).map(|_| TcpListener::bind((ip, 0))).collect::<Result<_, _>>()?;
        let at: Vec<SocketAddr> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(held);
        let (clients, peers) = at.split_at(MEMBERS);
        let (clients, peers) = (clients.to_vec(), peers.to_vec());
        let mut etcd = Etcd { folder: folder.to_path_buf(), clients, peers, members: Vec::new() };
        etcd.start_members()?;
        etcd.until_up().await?;
        Ok(etcd)
    }

    /// Starts all members, on what they have. None may run.
    pub fn start_members(&mut self) -> Result<()> {
        let Etcd { folder, clients, peers, members } = self;
        let all: Vec<String> = peers.iter().enumerate().map(|(n, at)| format!("m{n}=http://{at}")).collect();
        for member in 0..MEMBERS {
            let place: PathBuf = folder.join(format!("etcd-{member}"));
            fs::create_dir_all(&place)?;
            let log = File::options().append(true).create(true).open(place.join("log"))?;
            let (client, peer) = (format!("http://{}", clients[member]), format!("http://{}", peers[member]));
            // Ended with the thread that started it, also when that could not say good-bye. In a group of its own: a
            // Ctrl-C, or the end of a `timeout`, is for the soak, which still needs its store.
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL"])
                .args(words(&format!("m{member}"), &place.join("data"), (&client, &peer), &all.join(",")))
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(0)
                .spawn()
                .context("cannot start etcd")?;
            members.push(child);
        }
        Ok(())
    }

    /// kill -9 of all members.
    pub fn kill(&mut self) {
        for mut member in self.members.drain(..) {
            // SIGKILL also ends what is frozen.
            let _ = member.kill();
            let _ = member.wait();
        }
    }

    /// Waits until each member answers and knows a leader.
    pub async fn until_up(&self) -> Result<()> {
        let end = Instant::now() + UP;
        for client in &self.clients {
            let gateway = Gateway(*client);
            while !tokio::task::block_in_place(|| gateway.is_up()) {
                ensure!(Instant::now() < end, "etcd does not come up, see {}", self.folder.display());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// For `Store::etcd`.
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.clients.iter().map(SocketAddr::to_string).collect();
        format!("etcd://{}/soak", hosts.join(","))
    }

    /// The leader's process; `None`: nobody says that it is.
    pub fn leader(&self) -> Option<Process> {
        let leader = self.clients.iter().position(|address| Gateway(*address).leads())?;
        Process::of(self.members[leader].id() as i32)
    }

    /// All members' processes.
    pub fn processes(&self) -> Vec<Process> {
        self.members.iter().filter_map(|member| Process::of(member.id() as i32)).collect()
    }
}

/// The gateway of one member.
#[derive(Clone, Copy, Debug)]
pub struct Gateway(pub SocketAddr);

impl Gateway {
    /// It answers, and has a leader.
    pub fn is_up(self) -> bool {
        self.ask("GET /health", "").is_ok_and(|answer| answer.contains("\"true\""))
    }

    /// It is the leader.
    pub fn leads(self) -> bool {
        let Some(answer) = self.status() else { return false };
        field(&answer, "leader").is_some_and(|leader| field(&answer, "member_id") == Some(leader))
    }

    /// Its number.
    pub fn id(self) -> Option<String> {
        self.status().and_then(|answer| field(&answer, "member_id").map(str::to_owned))
    }

    fn status(self) -> Option<String> {
        self.ask("POST /v3/maintenance/status", "{}").ok()
    }

    /// The leader makes the member of this number the next one.
    pub fn hand_over(self, to: &str) -> Result<()> {
        let answer =
            self.ask("POST /v3/maintenance/transfer-leadership", &format!("{{\"targetID\":\"{to}\"}}"))?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "etcd's leader stays where it is: {answer}");
        Ok(())
    }

    fn ask(self, request: &str, body: &str) -> std::io::Result<String> {
        let address = self.0;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let length = body.len();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The string behind `"name":` in JSON.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
