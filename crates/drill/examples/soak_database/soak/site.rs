//! The database that is broken: three keepers with real servers, a data front beside each, and a store.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use database::instance::{Secret, Secrets, User, find_bin, system_user};
use database::keeper::{self, KeeperHandle, KeeperOptions, KeeperStatus, Keys, NodePlace, ServerState};
use database::path::{DataFront, DataSnapshot, Limits, Served};
use drill::database::Target;
use model::{
    AppName, Bytes, Database, DatabaseName, Mode, NodeId, PlannedDatabase, PlannedNode, Record, ReignPhase,
    UnitName, WhenAlone, ZoneName,
};
use rustix::process::Signal;
use store::{Compare, Op, Store, Txn};
use tokio::sync::watch;
use world::{Clock, Tasks};

use super::backing::{Backing, Which};
use super::nemesis_disk::Disks;
use super::process::Process;

/// All nodes, where nobody asked for more.
pub const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// What has to hold for so long before it counts as calm: a dead server is noticed within a fraction of it.
const CALM_FOR: Duration = Duration::from_millis(400);
/// A keeper that was dropped lets go of its folder and its address within this.
const LET_GO: Duration = Duration::from_secs(10);
/// What the folder of a site begins with, so that those of dead runs are found.
const FOLDER: &str = "evenkeel-soak-";
const NAME: &str = "shop";
const PASSWORD: &str = "soak application";

/// Who can run PostgreSQL here; the error says what is missing.
pub fn system() -> Result<Option<User>> {
    find_bin(15).context("PostgreSQL 15 is not here")?;
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    system_user("postgres").map(Some).context("root needs a system user `postgres` to run PostgreSQL as")
}

/// The database. Dropped, nothing of it is left but, where asked for, its folder.
pub struct Site {
    folder: PathBuf,
    keep: bool,
    user: Option<User>,
    places: BTreeMap<NodeId, NodePlace>,
    keepers: BTreeMap<NodeId, KeeperHandle>,
    fronts: BTreeMap<NodeId, Front>,
    /// The store, to be taken away.
    pub backing: Backing,
    store: Store,
    planned: PlannedDatabase,
    tasks: Tasks,
    /// Unmounted last, once nothing runs on them.
    disks: Option<Disks>,
}

struct Front {
    address: SocketAddr,
    agent: watch::Sender<Arc<DataSnapshot>>,
    running: Option<DataFront>,
}

impl Site {
    /// Nodes that serve, with all standbys streaming.
    ///
    /// With `small_disks` each node's data is on a small disk of its own.
    /// So many nodes; with `witness` the last one is one.
    pub async fn start(which: Which, small_disks: bool, count: u8, witness: bool) -> Result<Site> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        clean();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let folder = std::env::temp_dir().join(format!("{FOLDER}{process}-{number}"));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let user = system()?;
        let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let disks = small_disks.then(|| Disks::mount(&folder, &nodes)).transpose()?;
        // Addresses that other programs' own connections do not start from.
        let network = format!("127.{}.{number}", 100 + process % 150);
        let free = |host: u8| -> Result<SocketAddr> {
            let ip: IpAddr = format!("{network}.{host}").parse()?;
            Ok(TcpListener::bind((ip, 0))?.local_addr()?)
        };
        let (mut places, mut fronts) = (BTreeMap::new(), BTreeMap::new());
        for node in nodes.iter().copied() {
            let zone = ZoneName::new(&char::from(b'a' + node.0 - 1).to_string()).context("a zone")?;
            let unit = UnitName::new(&format!("db-{node}")).context("a unit")?;
            places.insert(node, NodePlace { unit, zone, server: free(node.0)?, keeper: free(node.0)? });
            let agent = watch::Sender::new(Arc::new(DataSnapshot::default()));
            fronts.insert(node, Front { address: free(node.0)?, agent, running: None });
        }
        let backing = Backing::start(which, &folder, format!("{network}.20").parse()?).await?;
        let store = backing.client()?;
        let planned = planned(&places, witness)?;
        let (keepers, tasks) = (BTreeMap::new(), Tasks::new());
        let mut site = Site {
            folder,
            keep: false,
            user,
            places,
            keepers,
            fronts,
            backing,
            store,
            planned,
            tasks,
            disks,
        };
        for node in nodes {
            site.start_node(node).await?;
        }
        ensure!(
            site.calm(Duration::from_secs(60)).await.is_some(),
            "it never came to serve\n{}",
            site.tell()
        );
        Ok(site)
    }

    /// Leaves the folder behind, with the servers' logs.
    pub fn keep(&mut self) -> &Path {
        self.keep = true;
        if self.disks.is_some() {
            // What is on the small disks goes with them.
            for node in self.nodes() {
                let _ = fs::copy(self.dir(node).join("log"), self.folder.join(format!("log-{node}")));
            }
        }
        &self.folder
    }

    /// Starts keeper and front of a node, on what it has.
    pub async fn start_node(&mut self, node: NodeId) -> Result<()> {
        self.start_front(node)?;
        self.start_keeper(node).await
    }

    fn start_front(&mut self, node: NodeId) -> Result<()> {
        let front = self.fronts.get_mut(&node).context("no such node")?;
        if front.running.is_none() {
            front.running = Some(DataFront::start(1, Limits::default(), front.agent.subscribe())?);
        }
        Ok(())
    }

    /// Starts a keeper, which takes over a server that runs, and feeds the node's front from it.
    pub async fn start_keeper(&mut self, node: NodeId) -> Result<()> {
        let began = Instant::now();
        let keeper = loop {
            match keeper::start(self.options(node)?, self.store.clone(), Clock::real()) {
                Ok(keeper) => break keeper,
                Err(error) if began.elapsed() > LET_GO => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let front = self.fronts.get(&node).context("no such node")?;
        let (agent, listen) = (front.agent.clone(), front.address);
        let servers = self.places.iter().map(|(node, place)| (*node, place.server)).collect();
        self.tasks.spawn(format!("feed {node}"), feed(keeper.status(), agent, listen, servers));
        self.keepers.insert(node, keeper);
        Ok(())
    }

    fn options(&self, node: NodeId) -> Result<KeeperOptions> {
        let secret = |text: &str| Secret::new(text.to_owned()).map_err(anyhow::Error::msg);
        Ok(KeeperOptions {
            database: self.planned.clone(),
            application: AppName::new(NAME).context("a name")?,
            node,
            places: self.places.clone(),
            dir: self.dir(node),
            user: self.user,
            tls: None,
            secrets: Secrets {
                replication: secret("soak replication")?,
                rewind: secret("soak rewind")?,
                application: secret(PASSWORD)?,
            },
            peers_key: vec![7; 32],
            watchdog: std::env::current_exe()?,
            // A fault every few seconds for hours is what a soak is.
            unrest_max: u32::MAX,
        })
    }

    /// All of its nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.places.keys().copied().collect()
    }

    /// The folder of a node.
    pub fn dir(&self, node: NodeId) -> PathBuf {
        self.folder.join(format!("db-{node}"))
    }

    /// All that a node had is gone. What was killed a moment ago may still have to end.
    pub async fn lose_disk(&self, node: NodeId) -> Result<()> {
        let began = Instant::now();
        while let Err(error) = self.clear(node) {
            ensure!(began.elapsed() < LET_GO, "the disk of node {node} cannot be emptied: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn clear(&self, node: NodeId) -> std::io::Result<()> {
        for entry in fs::read_dir(self.dir(node))?.filter_map(Result::ok) {
            // The folder itself may be a disk.
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    /// Bytes of log of the node that has most of it.
    pub fn log_bytes(&self) -> u64 {
        self.nodes().iter().map(|node| log_of(&self.dir(*node))).max().unwrap_or_default()
    }

    /// Runs a statement as the keeper's own role.
    pub async fn superuser(&self, node: NodeId, sql: &str) -> Result<()> {
        let place = self.places.get(&node).context("no such node")?;
        let mut command = tokio::process::Command::new(find_bin(15)?.join("psql"));
        command.arg("-h").arg(self.dir(node).join("run")).arg("-p").arg(place.server.port().to_string());
        command.args(["-X", "-q", "-U", "evenkeel", "-d", "postgres", "-c", sql]).kill_on_drop(true);
        let output = command.stdin(std::process::Stdio::null()).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// A keeper is gone, at once; its server runs on.
    pub fn crash_keeper(&mut self, node: NodeId) {
        drop(self.keepers.remove(&node));
    }

    /// A front is gone, at once, and what it knew.
    pub fn crash_front(&mut self, node: NodeId) {
        if let Some(front) = self.fronts.get_mut(&node) {
            drop(front.running.take());
            front.agent.send_replace(Arc::default());
        }
    }

    /// The first process of a node's server, whether or not its keeper lives.
    pub fn server(&self, node: NodeId) -> Option<Process> {
        if self.witness() == Some(node) {
            let status = self.keepers.get(&node)?.status().borrow().clone();
            return Process::of(status.server_pid? as i32);
        }
        server_in(&self.dir(node))
    }

    /// The newest record that a keeper which lives knows.
    pub fn record(&self) -> Option<Record> {
        let pictures = self.keepers.values().map(|keeper| keeper.status().borrow().clone());
        pictures.filter_map(|status| status.record.clone()).max_by_key(|record| record.term)
    }

    /// The primary that serves, and its term.
    pub fn primary(&self) -> Option<(NodeId, u64)> {
        let record = self.record()?;
        match record.phase {
            ReignPhase::Serving { primary, .. } => Some((primary, record.term)),
            _ => None,
        }
    }

    /// Served, nothing asked for, and everybody streams and counts, with a first process that lives.
    fn is_whole(&self) -> bool {
        let Some(record) = self.record() else { return false };
        let (ReignPhase::Serving { primary, handover: None }, Some(quorum)) =
            (record.phase, record.current())
        else {
            return false;
        };
        self.nodes().iter().all(|node| {
            let Some(keeper) = self.keepers.get(node) else { return false };
            let status: Arc<KeeperStatus> = keeper.status().borrow().clone();
            let right = if *node == primary { ServerState::Open } else { ServerState::Streaming };
            let known = status.record.as_ref().is_some_and(|known| known.term == record.term);
            let lives = status.server_pid.is_some_and(|pid| Process::of(pid as i32).is_some());
            let counts = *node == primary || quorum.members.has(*node);
            status.server == right && known && lives && counts
        })
    }

    /// Waits until it is whole and stays so; the answer is since when it is. `None`: not within `bound`.
    pub async fn calm(&self, bound: Duration) -> Option<Instant> {
        calm(bound, || self.is_whole()).await
    }

    /// Waits for another primary than `old`, at most `bound`.
    pub async fn successor(&self, old: NodeId, bound: Duration) -> Option<NodeId> {
        let began = Instant::now();
        while began.elapsed() < bound {
            if let Some((primary, _)) = self.primary()
                && primary != old
            {
                return Some(primary);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    /// Where applications go: the front of each zone.
    pub fn target(&self) -> Target {
        target(self.fronts.values().map(|front| front.address).collect())
    }

    /// Straight to a node.
    pub fn straight(&self, node: NodeId) -> Target {
        target(self.places.get(&node).map(|place| place.server).into_iter().collect())
    }

    /// Straight to all nodes.
    pub fn servers(&self) -> Target {
        let data = self.places.iter().filter(|(node, _)| self.witness() != Some(**node));
        target(data.map(|(_, place)| place.server).collect())
    }

    /// The node that has no server and no data.
    pub fn witness(&self) -> Option<NodeId> {
        self.planned.database.witness_number().map(NodeId)
    }

    /// Asks for a switch, as `evenkeel failover` does.
    pub async fn hand_over(&self, to: NodeId) -> Result<()> {
        let mut why = anyhow::anyhow!("somebody else always was faster");
        for _ in 0..20 {
            match self.ask_for(to).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A person would ask again too.
                Err(error) if error.is::<store::StoreError>() => {
                    why = error;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    async fn ask_for(&self, to: NodeId) -> Result<bool> {
        let key = Keys::new(&self.planned.database.name).record();
        let entry = self.store.get(&key).await?.context("there is no record")?;
        let mut record: Record = serde_json::from_slice(&entry.value)?;
        let ReignPhase::Serving { primary, .. } = record.phase else { bail!("nobody serves") };
        record.phase = ReignPhase::Serving { primary, handover: Some(to) };
        let value = serde_json::to_vec(&record)?;
        let compare = vec![Compare::Modified { key: key.clone(), revision: entry.modified }];
        let then = vec![Op::Put { key, value, lease: None }];
        Ok(self.store.txn(Txn { compare, then }).await?.done)
    }

    /// Breaks the product: the application waits for no standby.
    pub fn break_sync(&self, primary: NodeId) -> Result<()> {
        break_sync(&self.dir(primary))
    }

    /// What every keeper says, for a person.
    pub fn tell(&self) -> String {
        let mut text = String::new();
        for (node, keeper) in &self.keepers {
            text.push_str(&format!("{node}: {:?}\n", keeper.status().borrow()));
        }
        text
    }

    /// Ends everything, in order.
    pub async fn end(mut self) {
        for front in self.fronts.values_mut() {
            if let Some(front) = front.running.take() {
                front.stop(0).await;
            }
        }
        for (_, keeper) in std::mem::take(&mut self.keepers) {
            keeper.stop().await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A receiver is known by its keeper alone.
        let receiver = self.witness().and_then(|witness| self.server(witness));
        self.keepers.clear();
        for server in self.nodes().into_iter().filter_map(|node| self.server(node)).chain(receiver) {
            drop(server.signal_all(Signal::KILL));
        }
        drop(self.disks.take());
        if !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Waits until `whole` holds and goes on to; the answer is since when it does. `None`: not within `bound`.
pub async fn calm(bound: Duration, whole: impl Fn() -> bool) -> Option<Instant> {
    let began = Instant::now();
    let mut since = None;
    while began.elapsed() < bound {
        match (whole(), since) {
            (false, _) => since = None,
            (true, None) => since = Some(Instant::now()),
            (true, Some(at)) if at.elapsed() >= CALM_FOR => return since,
            (true, Some(_)) => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

/// The first process of the server in a node's folder.
fn server_in(folder: &Path) -> Option<Process> {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    Process::of(text.lines().next()?.parse().ok()?)
}

/// Ends servers that a run left which was killed, and removes its folder. What was kept on purpose has no server.
fn clean() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name =
            folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(FOLDER));
        let owner = name.and_then(|rest| rest.split_once('-')).and_then(|(owner, _)| owner.parse().ok());
        if owner.is_none_or(|owner| Process::of(owner).is_some()) {
            continue;
        }
        let nodes = fs::read_dir(&folder).into_iter().flatten().flatten();
        // The number may be somebody else's by now.
        let own = |server: &Process| server.title().contains(&*folder.to_string_lossy());
        let servers: Vec<Process> = nodes.filter_map(|node| server_in(&node.path())).filter(own).collect();
        if !servers.is_empty() {
            servers.iter().for_each(|server| drop(server.signal_all(Signal::KILL)));
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// Bytes of log in a node's folder.
pub fn log_of(folder: &Path) -> u64 {
    let files = fs::read_dir(folder.join("data/pg_wal")).into_iter().flatten();
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

/// The application's role is told to wait for no standby, and its sessions are ended, so that all are of that kind. Its keeper
/// notes that, and leaves it to who has set it; whom commits wait for it would set right again.
pub fn break_sync(folder: &Path) -> Result<()> {
    let about = fs::read_to_string(folder.join("data/postmaster.pid")).context("the primary does not run")?;
    let (port, socket) =
        about.lines().nth(3).zip(about.lines().nth(4)).context("no port in `postmaster.pid`")?;
    let sql = [
        format!("ALTER ROLE {NAME} SET synchronous_commit = off"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{NAME}'"),
    ];
    let mut psql = std::process::Command::new(find_bin(15)?.join("psql"));
    psql.args(["-XAtq", "-U", "evenkeel", "-d", "postgres", "-h", socket, "-p", port]);
    let done = psql.args(sql.iter().flat_map(|sql| ["-c", sql])).output()?;
    ensure!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

fn planned(places: &BTreeMap<NodeId, NodePlace>, witness: bool) -> Result<PlannedDatabase> {
    let database = Database {
        name: DatabaseName::new("db").context("a name")?,
        postgres: 15,
        storage: Bytes(1 << 30),
        standbys: u8::try_from(places.len())?.saturating_sub(if witness { 2 } else { 1 }),
        auto: false,
        managed: model::Managed::No,
        writes: None,
        witness,
        when_alone: WhenAlone::Block,
    };
    let node = |place: &NodePlace| PlannedNode { name: place.unit.clone(), zone: place.zone.clone() };
    Ok(PlannedDatabase {
        database,
        nodes: places.values().map(node).collect(),
        mode: Mode::Quorum,
        version: 1,
    })
}

fn target(addresses: Vec<SocketAddr>) -> Target {
    Target {
        addresses,
        user: NAME.to_owned(),
        password: Some(PASSWORD.to_owned()),
        database: NAME.to_owned(),
        trust: None,
    }
}

/// Makes a front's snapshots of what its node's keeper says, until the keeper is gone; the last one then stays.
async fn feed(
    mut status: watch::Receiver<Arc<KeeperStatus>>,
    agent: watch::Sender<Arc<DataSnapshot>>,
    listen: SocketAddr,
    servers: BTreeMap<NodeId, SocketAddr>,
) {
    loop {
        let record = status.borrow_and_update().record.clone();
        if let Some(record) = record {
            let (primary, hold) = match record.phase {
                ReignPhase::Serving { primary, .. } => (servers.get(&primary), record.is_closing()),
                _ => (None, true),
            };
            let served =
                Served { name: NAME.to_owned(), listen, primary: primary.copied(), term: record.term, hold };
            agent.send_if_modified(|last| {
                let databases = vec![served];
                let newer = last.databases != databases;
                if newer {
                    *last = Arc::new(DataSnapshot { revision: last.revision + 1, zone: None, databases });
                }
                newer
            });
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
