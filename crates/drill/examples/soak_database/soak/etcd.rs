//! A real etcd of three members on loopback.

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

/// Three members, ended with it.
pub struct Etcd {
    clients: Vec<SocketAddr>,
    members: Vec<Child>,
}

impl Etcd {
    /// Starts three members in `folder`, on free ports of `ip`, with the timers of the promised figures (50/500 ms),
    /// and waits until they agree.
    pub async fn start(folder: &Path, ip: IpAddr) -> Result<Etcd> {
        let held: Vec<TcpListener> =
            (0..MEMBERS * 2).map(|_| TcpListener::bind((ip, 0))).collect::<Result<_, _>>()?;
        let at: Vec<SocketAddr> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(held);
        let (clients, peers) = at.split_at(MEMBERS);
        let all: Vec<String> = peers.iter().enumerate().map(|(n, at)| format!("m{n}=http://{at}")).collect();
        let mut etcd = Etcd { clients: clients.to_vec(), members: Vec::new() };
        for member in 0..MEMBERS {
            let place: PathBuf = folder.join(format!("etcd-{member}"));
            fs::create_dir_all(&place)?;
            let log = File::create(place.join("log"))?;
            let (client, peer) = (format!("http://{}", clients[member]), format!("http://{}", peers[member]));
            // Ended with the thread that started it, also when that could not say good-bye. In a group of its own: a
            // Ctrl-C, or the end of a `timeout`, is for the soak, which still needs its store.
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "etcd", "--pre-vote", "--logger", "zap"])
                .args(["--log-outputs", "stderr", "--name", &format!("m{member}"), "--data-dir"])
                .arg(place.join("data"))
                .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(0)
                .spawn()
                .context("cannot start etcd")?;
            etcd.members.push(child);
        }
        let end = Instant::now() + UP;
        for member in 0..MEMBERS {
            let up = || etcd.ask(member, "GET /health", "").is_ok_and(|answer| answer.contains("\"true\""));
            while !tokio::task::block_in_place(up) {
                ensure!(Instant::now() < end, "etcd does not come up, see {}", folder.display());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(etcd)
    }

    /// For `Store::etcd`.
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.clients.iter().map(SocketAddr::to_string).collect();
        format!("etcd://{}/soak", hosts.join(","))
    }

    /// The leader's process; `None`: nobody says that it is.
    pub fn leader(&self) -> Option<Process> {
        let leads = |member: &usize| {
            let answer = self.ask(*member, "POST /v3/maintenance/status", "{}").ok()?;
            let (id, leader) = (field(&answer, "member_id")?, field(&answer, "leader")?);
            (id == leader).then_some(())
        };
        let leader = (0..MEMBERS).find(|member| leads(member).is_some())?;
        Process::of(self.members[leader].id() as i32)
    }

    fn ask(&self, member: usize, request: &str, body: &str) -> std::io::Result<String> {
        let address = self.clients[member];
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
        for member in &mut self.members {
            // SIGKILL also ends what is frozen.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// The string behind `"name":` in JSON.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
