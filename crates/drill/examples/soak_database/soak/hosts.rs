//! The database on three hosts: on each a member of etcd and `evenkeel agent`, which runs PostgreSQL and a data front.
//! This process and its clients are beside them, on a side of the switch that is never cut.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use database::keeper::{KeeperStatus, ServerState};
use drill::database::Target;
use identity::Secrets;
use model::{AgentRecord, NodeId, Record, ReignPhase, Rollout, keys};
use rustix::process::Signal;
use store::{Compare, EtcdOptions, Op, Store, Txn};
use tokio::sync::watch;
use world::Tasks;

use super::etcd::{self, Gateway};
use super::ground::Where;
use super::lab::{Lab, Program};
use super::process::Process;
use super::site;

/// The hosts, which are the plan's zones.
pub const HOSTS: [&str; 3] = ["a", "b", "c"];
/// etcd's own ports: for clients, and between members.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// As `wire::database` of the product has them, for the first database of a plan.
const FRONT_PORT: u16 = 6432;
const SERVER_PORT: u16 = 15432;
/// Ports of servers and keepers, of all nodes.
pub const DATA_PORTS: &str = "15432-16999";
/// Time between two looks at the store.
const LOOK: Duration = Duration::from_millis(20);
/// A lease is renewed twice a second; one that was not for so long may yet run out.
const RENEWED: Duration = Duration::from_millis(1_500);
/// So many points of unrest are forgiven at once.
const UNREST: u32 = database::UNREST_MAX / 2;
/// A switch is asked for so many times, as a person would who is told to try again.
const SWITCHES: u32 = 3;
/// Everything serves by then, also on a machine that is busy.
const UP: Duration = Duration::from_secs(120);
const FILE: &str = "\
name: shop
placement: { zones: 3 }
services:
  idle: { command: [sleep, infinity] }
databases:
  db: { engine: postgres:15, standbys: 2 }
";
/// Two copies, and a node that holds the log alone.
const WITNESS_FILE: &str = "\
name: shop
placement: { zones: 3 }
services:
  idle: { command: [sleep, infinity] }
databases:
  db: { engine: postgres:15, standbys: 1, witness: true }
";
/// Two nodes, and that they may lose something; else such a file is refused.
const LEASE_FILE: &str = "\
name: shop
objectives: { rto: { node: 60s, zone: 60s }, rpo: { node: 8s } }
placement: { zones: 3 }
services:
  idle: { command: [sleep, infinity] }
databases:
  db: { engine: postgres:15, standbys: 1 }
";

/// What the store says.
#[derive(Clone, Debug, Default)]
struct Picture {
    record: Option<Record>,
    /// Of the record.
    revision: store::Revision,
    statuses: BTreeMap<NodeId, KeeperStatus>,
    /// The lease, where there is one: its last change, and when that was seen.
    lease: Option<(store::Revision, Instant)>,
}

/// The hosts and what runs on them. Dropped, nothing of it is left.
pub struct Hosts {
    /// For faults.
    pub lab: Lab,
    program: PathBuf,
    addresses: BTreeMap<&'static str, IpAddr>,
    /// Each node's host.
    places: BTreeMap<NodeId, &'static str>,
    /// The node that is one.
    witness: Option<NodeId>,
    /// A way to each node's server that no cut closes.
    ways_in: BTreeMap<NodeId, SocketAddr>,
    members: BTreeMap<&'static str, u32>,
    agents: BTreeMap<&'static str, u32>,
    password: String,
    picture: watch::Receiver<Arc<Picture>>,
    tasks: Tasks,
}

/// What is missing to run on hosts; `None`: nothing.
pub fn missing() -> Option<String> {
    let own = || match program() {
        Ok(_) => None,
        Err(error) => Some(format!("{error:#}")),
    };
    let etcd = || (!etcd::installed()).then(|| "etcd is not installed".to_owned());
    super::lab::missing()
        .or_else(|| site::system().err().map(|error| format!("{error:#}")))
        .or_else(etcd)
        .or_else(own)
}

/// The product that was built beside this program.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let built = own.parent().and_then(Path::parent).context("no folder")?.join("evenkeel");
    ensure!(built.is_file(), "`{}` is not built (`cargo build -p evenkeel`)", built.display());
    Ok(built)
}

impl Hosts {
    /// Three hosts that serve, with all standbys streaming.
    pub async fn start(place: Where) -> Result<Hosts> {
        if let Some(missing) = missing() {
            bail!(missing);
        }
        let lab = Lab::make(&HOSTS)?;
        let addresses =
            HOSTS.iter().map(|host| Ok((*host, lab.address(host)?))).collect::<Result<BTreeMap<_, _>>>()?;
        let (_, picture) = watch::channel(Arc::default());
        let mut hosts = Hosts {
            lab,
            program: program()?,
            addresses,
            places: BTreeMap::new(),
            witness: None,
            ways_in: BTreeMap::new(),
            members: BTreeMap::new(),
            agents: BTreeMap::new(),
            password: String::new(),
            picture,
            tasks: Tasks::new(),
        };
        HOSTS.into_iter().try_for_each(|host| hosts.start_member(host))?;
        hosts.members_agree().await?;
        hosts.put_up(match place {
            Where::Lease => LEASE_FILE,
            Where::HostsWitness => WITNESS_FILE,
            _ => FILE,
        })?;
        HOSTS.into_iter().try_for_each(|host| hosts.start_agent(host))?;
        hosts.look_around().await?;
        if hosts.calm(UP).await.is_none() {
            hosts.lab.keep();
            bail!("it never came to serve\n{}the logs are in {}", hosts.tell(), hosts.lab.folder().display());
        }
        Ok(hosts)
    }

    /// `own` first.
    fn store(&self, own: &str) -> String {
        let mut all: Vec<&str> = HOSTS.to_vec();
        all.sort_by_key(|host| *host != own);
        let all: Vec<String> = all
            .iter()
            .filter_map(|host| Some(format!("{}:{CLIENT_PORT}", self.addresses.get(host)?)))
            .collect();
        format!("etcd://{}/soak", all.join(","))
    }

    fn start_member(&mut self, host: &'static str) -> Result<()> {
        let url = |host: &str, port: u16| {
            Ok::<_, anyhow::Error>(format!("http://{}:{port}", self.lab.address(host)?))
        };
        let (client, peer) = (url(host, CLIENT_PORT)?, url(host, PEER_PORT)?);
        let all = HOSTS
            .iter()
            .map(|host| Ok(format!("{host}={}", url(host, PEER_PORT)?)))
            .collect::<Result<Vec<_>>>()?;
        let data = self.lab.home(host).join("etcd");
        let words = etcd::words(host, &data, (&client, &peer), &all.join(","));
        let number = self.lab.spawn(host, &Program::new("etcd", words))?;
        self.members.insert(host, number);
        Ok(())
    }

    async fn members_agree(&self) -> Result<()> {
        let end = Instant::now() + UP;
        for host in HOSTS {
            while !self.member(host).is_some_and(|member| tokio::task::block_in_place(|| member.is_up())) {
                ensure!(Instant::now() < end, "etcd does not come up, see {}", self.lab.folder().display());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn member(&self, host: &str) -> Option<Gateway> {
        Some(Gateway(SocketAddr::new(*self.addresses.get(host)?, CLIENT_PORT)))
    }

    /// `evenkeel up --store`: the plan and what hosts share, and a copy of that for each.
    fn put_up(&mut self, text: &str) -> Result<()> {
        let state = self.lab.folder().join("owner");
        let file = self.lab.folder().join("evenkeel.yaml");
        fs::write(&file, text)?;
        let put = Command::new(&self.program)
            .arg("--state")
            .arg(&state)
            .args(["up", "--store", &self.store(HOSTS[0])])
            .arg(&file)
            .output()?;
        ensure!(put.status.success(), "up: {}", String::from_utf8_lossy(&put.stderr).trim());
        for host in HOSTS {
            let own = self.state(host);
            fs::create_dir_all(&own)?;
            fs::set_permissions(&own, fs::Permissions::from_mode(0o700))?;
            let copied = Command::new("cp").arg("-rp").arg(state.join("identity")).arg(&own).status()?;
            ensure!(copied.success(), "the identity is not copied");
            // PostgreSQL's user has to pass through.
            fs::create_dir_all(self.databases(host))?;
            fs::set_permissions(self.databases(host), fs::Permissions::from_mode(0o711))?;
        }
        let secret = Secrets::open(&state.join("identity"))?.get("db.application")?.context("no password")?;
        self.password = secret.expose().to_string();
        Ok(())
    }

    fn state(&self, host: &str) -> PathBuf {
        self.lab.home(host).join("state")
    }

    fn databases(&self, host: &str) -> PathBuf {
        self.lab.home(host).join("databases")
    }

    /// kill -9 of the host's agent, and of nothing that it runs.
    pub fn kill_agent(&self, host: &str) -> Result<()> {
        let number = *self.agents.get(host).context("the host has no agent")?;
        ensure!(self.lab.lives(number), "the agent of host {host} does not run");
        self.lab.signal(number, Signal::KILL);
        Ok(())
    }

    /// Waits until the host's agent says that it is there: until then the store has what the one before said.
    pub async fn agent_is_heard(&self, host: &str) -> Result<()> {
        let number = *self.agents.get(host).context("the host has no agent")?;
        let (store, began) = (Store::etcd(EtcdOptions::parse(&self.store(host))?)?, Instant::now());
        let key = format!("{}{host}", keys::AGENTS);
        loop {
            let entry = store.get(&key).await.ok().flatten();
            let record = entry.and_then(|entry| serde_json::from_slice::<AgentRecord>(&entry.value).ok());
            if record.is_some_and(|record| record.pid == number) {
                return Ok(());
            }
            ensure!(began.elapsed() < UP, "the agent of host {host} does not come up");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts the host's agent, which takes over what runs there.
    pub fn start_agent(&mut self, host: &'static str) -> Result<()> {
        let mut words =
            vec![self.program.clone().into_os_string(), "--state".into(), self.state(host).into()];
        words.extend(
            ["agent", "--zone", host, "--store", &self.store(host), "--trusted-network"].map(Into::into),
        );
        words.extend(["--databases".into(), self.databases(host).into()]);
        let log = std::env::var("EVENKEEL_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
        let program = Program::new("agent", words).folder(self.lab.home(host)).variable("EVENKEEL_LOG", log);
        let number = self.lab.spawn(host, &program)?;
        self.agents.insert(host, number);
        Ok(())
    }

    /// What a database takes on the hosts beside servers of PostgreSQL: members of etcd, agents, and fronts of its own.
    pub fn programs(&self) -> Vec<Process> {
        let process = |number: &u32| Process::of(*number as i32);
        let servers: Vec<Process> = self.nodes().into_iter().filter_map(|node| self.server(node)).collect();
        let agents: Vec<Process> = self.agents.values().filter_map(process).collect();
        let below = agents.iter().flat_map(|agent| agent.children());
        let is_its = |child: &Process| !servers.contains(child) && child.title().contains("--data");
        let below = below.filter(is_its).collect::<Vec<_>>();
        self.members.values().filter_map(process).chain(agents.iter().copied()).chain(below).collect()
    }

    /// A host that was killed comes back with what its disk has.
    pub fn start_host(&mut self, host: &'static str) -> Result<()> {
        self.start_member(host)?;
        self.start_agent(host)
    }

    /// Learns from the store where the nodes are, and goes on looking at it.
    async fn look_around(&mut self) -> Result<()> {
        let store = Store::etcd(EtcdOptions::parse(&self.store(HOSTS[0]))?)?;
        let rollout = store.get(keys::ROLLOUT).await?.context("there is no plan")?;
        let rollout: Rollout = serde_json::from_slice(&rollout.value)?;
        let planned = rollout.plan.databases.first().context("the plan has no database")?;
        self.witness = planned.database.witness_number().map(NodeId);
        for node in &planned.nodes {
            let number = database::keeper::node_of(&node.name).context("a node's name")?;
            let host = HOSTS.into_iter().find(|host| *host == node.zone.as_str()).context("a zone")?;
            self.places.insert(number, host);
            let way = self.lab.way_in(host, self.server_address(number)?)?;
            self.ways_in.insert(number, way);
        }
        let (out, picture) = watch::channel(Arc::default());
        self.picture = picture;
        let stop = self.tasks.stop();
        self.tasks.spawn("picture", async move {
            while !stop.is_requested() {
                if let Ok((entries, _)) = store.range("databases/db/").await {
                    let lease = out.borrow().lease;
                    out.send_replace(Arc::new(Picture::of(&entries, lease)));
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(())
    }

    /// Forgives what failovers have cost, as one that somebody asks for does: the limit on those that nobody asks for ends a
    /// soak else. Between faults alone, so that within one it holds.
    pub async fn forgive(&self) -> Result<()> {
        let picture = self.picture.borrow().clone();
        let Some(record) = picture.record.as_ref().filter(|record| record.unrest() >= UNREST) else {
            return Ok(());
        };
        let value = serde_json::to_vec(&Record { unrest: BTreeMap::new(), ..record.clone() })?;
        let key = "databases/db/record".to_owned();
        let compare = vec![Compare::Modified { key: key.clone(), revision: picture.revision }];
        let store = Store::etcd(EtcdOptions::parse(&self.store(HOSTS[0]))?)?;
        // Where somebody else wrote first it is done before the next fault.
        store.txn(Txn { compare, then: vec![Op::Put { key, value, lease: None }] }).await?;
        Ok(())
    }

    fn server_address(&self, node: NodeId) -> Result<SocketAddr> {
        let address = self.addresses.get(self.host(node)?).context("an address")?;
        Ok(SocketAddr::new(*address, SERVER_PORT + u16::from(node.0)))
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.places.keys().copied().collect()
    }

    /// Nodes with data beside `primary`, of which any may follow it.
    pub fn heirs(&self, primary: NodeId) -> Vec<NodeId> {
        let may = |node: &NodeId| *node != primary && self.witness != Some(*node);
        self.nodes().into_iter().filter(may).collect()
    }

    /// The host of a node.
    pub fn host(&self, node: NodeId) -> Result<&'static str> {
        self.places.get(&node).copied().context("no such node")
    }

    /// The newest record.
    pub fn record(&self) -> Option<Record> {
        self.picture.borrow().record.clone()
    }

    /// The first process of a node's server, or of what receives a witness's log.
    pub fn server(&self, node: NodeId) -> Option<Process> {
        if self.witness == Some(node) {
            return Process::of(self.picture.borrow().statuses.get(&node)?.server_pid? as i32);
        }
        let folder =
            self.databases(self.host(node).ok()?).join(format!("db-{node}")).join("data/postmaster.pid");
        Process::of(fs::read_to_string(folder).ok()?.lines().next()?.parse().ok()?)
    }

    /// Bytes of log of the node that has most of it.
    pub fn log_bytes(&self) -> u64 {
        let folder = |node: &NodeId| Some(self.databases(self.host(*node).ok()?).join(format!("db-{node}")));
        self.places.keys().filter_map(folder).map(|folder| site::log_of(&folder)).max().unwrap_or_default()
    }

    /// As [`site::Site`] has it, by what keepers told the store.
    fn is_whole(&self) -> bool {
        let picture = self.picture.borrow().clone();
        let Some(record) = &picture.record else { return false };
        let (ReignPhase::Serving { primary, handover: None }, Some(quorum)) =
            (record.phase, record.current())
        else {
            return false;
        };
        if picture.lease.is_some_and(|(_, seen)| seen.elapsed() >= RENEWED) {
            return false;
        }
        self.places.keys().all(|node| {
            let Some(status) = picture.statuses.get(node) else { return false };
            let right = if *node == primary { ServerState::Open } else { ServerState::Streaming };
            // One that does not know the record yet tells of before.
            let known = status.revision >= picture.revision;
            // Nor does one that tells of a server that has ended, whether or not another runs already.
            let told = status.server_pid.and_then(|pid| Process::of(pid as i32));
            let lives = told.is_some() && told == self.server(*node);
            status.server == right && known && lives && (*node == primary || quorum.members.has(*node))
        })
    }

    /// Waits until it is whole and stays so; the answer is since when it is. `None`: not within `bound`.
    pub async fn calm(&self, bound: Duration) -> Option<Instant> {
        site::calm(bound, || self.is_whole()).await
    }

    /// Where applications go: the front of each host.
    pub fn target(&self) -> Target {
        self.way(self.addresses.values().map(|address| SocketAddr::new(*address, FRONT_PORT)).collect())
    }

    /// Straight to a node, from inside of its host.
    pub fn straight(&self, node: NodeId) -> Target {
        self.way(self.ways_in.get(&node).copied().into_iter().collect())
    }

    /// Straight to all nodes with data.
    pub fn servers(&self) -> Target {
        let data = self.places.keys().filter(|node| self.witness != Some(**node));
        self.way(data.filter_map(|node| self.server_address(*node).ok()).collect())
    }

    fn way(&self, addresses: Vec<SocketAddr>) -> Target {
        let name = "shop".to_owned();
        let password = Some(self.password.clone());
        Target { addresses, user: name.clone(), password, database: name, trust: None }
    }

    /// The host of etcd's leader.
    pub fn leader(&self) -> Option<&'static str> {
        HOSTS.into_iter().find(|host| self.member(host).is_some_and(|member| member.leads()))
    }

    /// Asks etcd's leader, if there is one just now, to make the member on `host` the leader; what came of it is for
    /// [`Hosts::leader`] to say.
    pub fn lead(&self, host: &str) -> Result<()> {
        let Some(leader) = self.leader().filter(|leader| *leader != host) else { return Ok(()) };
        let to =
            self.member(host).and_then(|member| member.id()).context("a member does not say who it is")?;
        self.member(leader).context("a leader")?.hand_over(&to)
    }

    /// Signals every member of etcd.
    pub fn signal_store(&self, signal: Signal) {
        self.members.values().for_each(|number| self.lab.signal(*number, signal));
    }

    /// `evenkeel failover`, from the owner's state folder.
    pub async fn hand_over(&self, to: NodeId) -> Result<()> {
        let (program, state) = (self.program.clone(), self.lab.folder().join("owner"));
        let run = || {
            Command::new(&program)
                .arg("--state")
                .arg(&state)
                .args(["failover", "db", "--to", &format!("db-{to}")])
                .output()
        };
        for left in (0..SWITCHES).rev() {
            let done = tokio::task::block_in_place(run)?;
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            // Under a lease the old primary may have written a record more than the heir has, and goes on itself.
            // After a short cut it may lack some of it for a moment more.
            let passes =
                ["; try again once", "no standby counts now"].iter().any(|words| told.contains(words));
            let again = left > 0 && passes;
            ensure!(done.status.success() || again, "failover: {}", told.trim());
            if done.status.success() {
                break;
            }
            eprintln!("      {}", told.trim());
            self.calm(UP).await;
        }
        Ok(())
    }

    /// As `Site::break_sync`.
    pub fn break_sync(&self, primary: NodeId) -> Result<()> {
        let folder = self.databases(self.host(primary)?).join(format!("db-{primary}"));
        site::break_sync(&folder)
    }

    /// What every keeper says, for a person.
    pub fn tell(&self) -> String {
        let picture = self.picture.borrow().clone();
        let mut text = format!("leader of etcd: {:?}\n{:?}\n", self.leader(), picture.record);
        for (node, status) in &picture.statuses {
            text.push_str(&format!("{node}: {status:?}\n"));
        }
        text
    }
}

impl Picture {
    /// What `entries` say; `lease` is the one that was seen last.
    fn of(entries: &[store::Entry], lease: Option<(store::Revision, Instant)>) -> Picture {
        let mut picture = Picture::default();
        for entry in entries {
            let Some(rest) = entry.key.strip_prefix("databases/db/") else { continue };
            if rest == "record" {
                picture.record = serde_json::from_slice(&entry.value).ok();
                picture.revision = entry.modified;
            } else if rest == "lease" {
                let same = lease.filter(|(revision, _)| *revision == entry.modified);
                picture.lease = same.or_else(|| Some((entry.modified, Instant::now())));
            } else if let Some(node) = rest.strip_prefix("status/").and_then(|number| number.parse().ok()) {
                let status = serde_json::from_slice(&entry.value).ok();
                picture.statuses.extend(status.map(|status| (NodeId(node), status)));
            }
        }
        picture
    }
}
