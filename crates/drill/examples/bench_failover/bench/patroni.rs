//! The peer: Patroni on three hosts with a member of etcd each, and HAProxy where the clients are.
//!
//! Set up as Patroni's own samples do it (`postgres0.yml`, `haproxy.cfg`, and the dynamic settings of its documentation);
//! what is not named here is its default. Nothing of it is made slower; three things are better than in the samples: a
//! base backup begins with a checkpoint at once, HAProxy takes more clients, and it stands on a host that is never broken.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use database::instance::system_user;
use drill::database::Target;
use rustix::process::Signal;
use serde::Deserialize;
use tokio_postgres::NoTls;

use super::plan::{HOSTS, System};
use super::{etcd, python, rest};
use crate::soak::lab::{Lab, Program};
use crate::soak::process::Process;

/// Where PostgreSQL's programs are.
const BIN: &str = "/usr/lib/postgresql/15/bin";
const SERVER_PORT: u16 = 5432;
const REST_PORT: u16 = 8008;
const PROXY_PORT: u16 = 5000;
/// Whoever lives answers by then.
const ANSWER: Duration = Duration::from_millis(1_500);
/// A switch that was asked for is done by then, or refused.
const SWITCH: Duration = Duration::from_secs(60);
/// A cluster is up by then, on a busy machine.
const UP: Duration = Duration::from_secs(180);
/// A server that is asked to end at once is gone by then.
const LET_GO: Duration = Duration::from_secs(3);
/// Where HAProxy runs: a host of its own, to which nothing is done.
const PROXY: &str = "proxy";
const LOOK_EVERY: Duration = Duration::from_millis(200);
const NAME: &str = "shop";
const PASSWORD: &str = "bench application";
const SUPERUSER_PASSWORD: &str = "bench superuser";

/// The timers of a setting.
struct Timers {
    ttl: u32,
    loop_wait: u32,
    retry_timeout: u32,
    /// `None`: Patroni's own, 300 s.
    primary_start_timeout: Option<u32>,
    checks: &'static str,
}

impl Timers {
    fn of(system: System) -> Timers {
        match system {
            // Whoever looks for a primary in HAProxy's list meets these figures in Patroni's samples.
            System::PatroniDefault | System::Evenkeel => Timers {
                ttl: 30,
                loop_wait: 10,
                retry_timeout: 10,
                primary_start_timeout: None,
                checks: "inter 3s fall 3 rise 2",
            },
            // The least that Patroni takes (`validator.py`): 20, 1 and 3. A dead server is not started again but left.
            System::PatroniAggressive => Timers {
                ttl: 20,
                loop_wait: 1,
                retry_timeout: 3,
                primary_start_timeout: Some(0),
                checks: "inter 500ms fall 1 rise 1",
            },
        }
    }
}

/// One cluster. Dropped, nothing of it is left.
pub struct Cluster {
    /// For faults.
    pub lab: Lab,
    sync: bool,
    /// By host: a way to its server from within it.
    ways_in: Vec<SocketAddr>,
    members: Vec<u32>,
}

/// What a member says of itself (`GET /patroni`).
#[derive(Clone, Debug, Deserialize)]
struct Member {
    state: String,
    role: String,
    timeline: Option<u64>,
    replication_state: Option<String>,
    #[serde(default)]
    sync_standby: bool,
    #[serde(default)]
    replication: Vec<Stream>,
}

#[derive(Clone, Debug, Deserialize)]
struct Stream {
    state: String,
}

impl Cluster {
    /// Three members, of which one serves and two are told to stream.
    pub async fn start(system: System, sync: bool) -> Result<Cluster> {
        let venv = tokio::task::block_in_place(python::ensure_patroni)?;
        let lab = Lab::make(&[HOSTS[0], HOSTS[1], HOSTS[2], PROXY])?;
        let mut cluster = Cluster { lab, sync, ways_in: Vec::new(), members: Vec::new() };
        etcd::start(&cluster.lab).await?;
        let timers = Timers::of(system);
        for host in HOSTS {
            let server = SocketAddr::new(cluster.lab.address(host)?, SERVER_PORT);
            cluster.ways_in.push(cluster.lab.way_in(host, server)?);
            cluster.start_member(&venv, host, &timers)?;
            if host == HOSTS[0] {
                cluster.first().await?;
            }
        }
        let file = cluster.lab.home(PROXY).join("haproxy.cfg");
        fs::write(&file, proxy(&cluster.lab, &timers)?)?;
        let words: [OsString; 3] = ["haproxy".into(), "-f".into(), file.into()];
        cluster.lab.spawn(PROXY, &Program::new("haproxy", words))?;
        cluster.make_application().await?;
        Ok(cluster)
    }

    fn start_member(&mut self, venv: &Path, host: &str, timers: &Timers) -> Result<()> {
        let place = self.place(host);
        fs::create_dir_all(&place)?;
        let file = place.join("patroni.yml");
        fs::write(&file, settings(&self.lab, &place, host, timers, self.sync)?)?;
        let (user, group) = system_user("postgres").context("there is no system user `postgres`")?;
        for (path, mode) in [(&place, 0o700), (&file, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            chown(path, Some(user), Some(group))?;
        }
        let python = venv.join("bin/python");
        let words: [OsString; 4] = [python.into(), "-m".into(), "patroni".into(), file.into()];
        let program = Program::new("patroni", words).user("postgres").folder(&place);
        self.members.push(self.lab.spawn(host, &program.variable("LC_ALL", "C.UTF-8"))?);
        Ok(())
    }

    fn place(&self, host: &str) -> PathBuf {
        self.lab.home(host).join("patroni")
    }

    /// The first one makes the cluster: of three that race for it two would wait for a while.
    async fn first(&self) -> Result<()> {
        let began = Instant::now();
        let serves = |member: Member| member.role == "primary" && member.state == "running";
        while !self.member(HOSTS[0]).await.is_some_and(serves) {
            ensure!(began.elapsed() < UP, "Patroni makes no cluster, see {}", self.lab.folder().display());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn make_application(&self) -> Result<()> {
        let text = format!(
            "host={} port={SERVER_PORT} user=postgres password='{SUPERUSER_PASSWORD}' dbname=postgres",
            self.lab.address(HOSTS[0])?
        );
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
        let work = async {
            client.batch_execute(&format!("CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'")).await?;
            client.batch_execute(&format!("CREATE DATABASE {NAME} OWNER {NAME}")).await
        };
        tokio::select! {
            biased;
            done = work => done?,
            broken = connection => bail!("the connection to the new cluster broke: {broken:?}"),
        }
        Ok(())
    }

    async fn member(&self, host: &str) -> Option<Member> {
        let address = SocketAddr::new(self.lab.address(host).ok()?, REST_PORT);
        let (_, text) = rest::ask(address, "GET /patroni", "", ANSWER).await.ok()?;
        serde_json::from_str(&text).ok()
    }

    async fn members(&self) -> [Option<Member>; 3] {
        let [a, b, c] = HOSTS;
        tokio::join!(self.member(a), self.member(b), self.member(c)).into()
    }

    /// The host of the primary, when it serves and both others stream from it, and in synchronous mode one of them would
    /// be taken for a primary.
    pub async fn whole(&self) -> Option<&'static str> {
        let members: Vec<Member> = self.members().await.into_iter().collect::<Option<_>>()?;
        let serves = |member: &Member| member.role == "primary" && member.state == "running";
        let at = members.iter().position(serves)?;
        let primary = &members[at];
        let streams = |member: &&Member| {
            member.role == "replica"
                && member.timeline == primary.timeline
                && member.replication_state.as_deref() == Some("streaming")
        };
        let others = members.iter().filter(streams).count();
        let fed = primary.replication.iter().filter(|one| one.state == "streaming").count();
        let safe = !self.sync || members.iter().any(|member| member.sync_standby);
        (others == 2 && fed == 2 && safe).then_some(HOSTS[at])
    }

    /// What every member says, for a person.
    pub async fn tell(&self) -> String {
        let members = self.members().await;
        HOSTS.iter().zip(members).map(|(host, member)| format!("{host}: {member:?}\n")).collect()
    }

    /// Where applications go.
    pub fn target(&self) -> Result<Target> {
        Ok(target(SocketAddr::new(self.lab.address(PROXY)?, PROXY_PORT)))
    }

    /// Straight to the server of a host, from within it.
    pub fn straight(&self, host: &str) -> Result<Target> {
        let at = HOSTS.iter().position(|one| *one == host).context("no such host")?;
        Ok(target(*self.ways_in.get(at).context("no way in")?))
    }

    /// The first process of a host's server.
    pub fn server(&self, host: &str) -> Option<Process> {
        let text = fs::read_to_string(self.place(host).join("data/postmaster.pid")).ok()?;
        Process::of(text.lines().next()?.trim().parse().ok()?)
    }

    /// Asks for a switch, as `patronictl switchover` does; to whom is left to Patroni.
    pub async fn switch(&self, primary: &str) -> Result<()> {
        let address = SocketAddr::new(self.lab.address(primary)?, REST_PORT);
        let body = format!("{{\"leader\":\"{primary}\"}}");
        let (status, text) = rest::ask(address, "POST /switchover", &body, SWITCH).await?;
        ensure!(status == 200, "Patroni refuses the switch: {status} {text}");
        Ok(())
    }
}

impl Drop for Cluster {
    /// Servers are asked to end: one that is killed leaves a piece of shared memory behind on the machine.
    fn drop(&mut self) {
        self.members.iter().for_each(|number| self.lab.signal(*number, Signal::KILL));
        let servers: Vec<Process> = HOSTS.iter().filter_map(|host| self.server(host)).collect();
        for server in &servers {
            server.signal(Signal::QUIT);
            server.signal(Signal::CONT);
        }
        let began = Instant::now();
        while servers.iter().any(|server| server.lives()) && began.elapsed() < LET_GO {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

fn target(address: SocketAddr) -> Target {
    Target {
        addresses: vec![address],
        user: NAME.to_owned(),
        password: Some(PASSWORD.to_owned()),
        database: NAME.to_owned(),
        trust: None,
    }
}

/// `patroni.yml` of a host.
fn settings(lab: &Lab, place: &Path, host: &str, timers: &Timers, sync: bool) -> Result<String> {
    let (ip, place, network) = (lab.address(host)?, place.display(), network(lab)?);
    let stores: Vec<String> = etcd::clients(lab)?.iter().map(|at| format!("\"{at}\"")).collect();
    let stores = stores.join(", ");
    let Timers { ttl, loop_wait, retry_timeout, primary_start_timeout, .. } = timers;
    let start =
        primary_start_timeout.map_or_else(String::new, |s| format!("    primary_start_timeout: {s}\n"));
    let sync = if sync { "    synchronous_mode: true\n" } else { "" };
    Ok(format!(
        "scope: bench
name: {host}
restapi:
  listen: {ip}:{REST_PORT}
  connect_address: {ip}:{REST_PORT}
etcd3:
  hosts: [{stores}]
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop_wait}
    retry_timeout: {retry_timeout}
    maximum_lag_on_failover: 1048576
{start}{sync}    postgresql:
      use_pg_rewind: true
  initdb:
  - encoding: UTF8
  - data-checksums
postgresql:
  listen: {ip}:{SERVER_PORT}
  connect_address: {ip}:{SERVER_PORT}
  data_dir: {place}/data
  bin_dir: {BIN}
  pgpass: {place}/pgpass
  authentication:
    superuser: {{username: postgres, password: {SUPERUSER_PASSWORD}}}
    replication: {{username: replicator, password: bench replication}}
    rewind: {{username: rewind_user, password: bench rewind}}
  pg_hba:
  - local all all trust
  - host replication replicator {network} scram-sha-256
  - host all all {network} scram-sha-256
  basebackup:
  - checkpoint: fast
  parameters:
    unix_socket_directories: {place}
"
    ))
}

/// All hosts and this machine, as `pg_hba.conf` writes it.
fn network(lab: &Lab) -> Result<String> {
    let IpAddr::V4(outside) = lab.outside() else { bail!("hosts have addresses of version 4") };
    let [a, b, ..] = outside.octets();
    Ok(format!("{a}.{b}.0.0/16"))
}

/// `haproxy.cfg`, from Patroni's sample. Only its limit of 100 clients is raised: those that give up after a second leave
/// their connections to a frozen server behind, and a proxy that is full of them lets nobody in to the next primary
/// (122 s without a write, where the next primary had been there after 23).
fn proxy(lab: &Lab, timers: &Timers) -> Result<String> {
    let mut text = format!(
        "global
    maxconn 2000
defaults
    log global
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen primary
    bind {}:{PROXY_PORT}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server {} on-marked-down shutdown-sessions
",
        lab.address(PROXY)?,
        timers.checks
    );
    for host in HOSTS {
        let at = lab.address(host)?;
        text.push_str(&format!("    server {host} {at}:{SERVER_PORT} maxconn 100 check port {REST_PORT}\n"));
    }
    Ok(text)
}
