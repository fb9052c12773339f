//! A database of three nodes in one process: a store in memory, three keepers, three real servers.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use database::instance::{Secret, Secrets, User, find_bin, system_user};
use database::keeper::{self, KeeperHandle, KeeperOptions, KeeperStatus, Keys, NodePlace, ServerState};
use model::{
    AppName, Bytes, Database, DatabaseName, Mode, NodeDoc, NodeId, PlannedDatabase, PlannedNode, Record,
    ReignPhase, UnitName, WarningKind, WhenAlone, ZoneName,
};
use rustix::process::{Pid, Signal, kill_process};
use store::{Compare, Faults, Op, SimulatedStore, Store, Txn};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls};
use world::Clock;

/// Longest wait for anything that must happen; far beyond what it takes, as the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "application secret";

/// The node of [`Site::witnessed`] that has no data.
pub const WITNESS: NodeId = NodeId(3);

/// PostgreSQL's system user; `None`, said loudly, when PostgreSQL is not here.
fn postgres(test: &str) -> Option<Option<User>> {
    let found = find_bin(15).ok().and_then(|_| match rustix::process::geteuid().is_root() {
        true => system_user("postgres").map(Some),
        false => Some(None),
    });
    if found.is_none() {
        assert_ne!(
            std::env::var("EVENKEEL_REQUIRE").as_deref(),
            Ok("all"),
            "PostgreSQL 15 is required: {test}"
        );
        eprintln!("SKIPPED {test}: PostgreSQL 15, or as root its system user `postgres`, is not here");
    }
    found
}

/// The cluster; whatever a test does, nothing of it is left.
pub struct Site {
    folder: PathBuf,
    user: Option<User>,
    places: BTreeMap<NodeId, NodePlace>,
    keepers: BTreeMap<NodeId, KeeperHandle>,
    /// Keepers with a thread of their own, which can stand still.
    threads: BTreeMap<NodeId, (Runtime, Arc<AtomicBool>)>,
    store: Store,
    pub simulated: SimulatedStore,
    planned: PlannedDatabase,
    /// A node that is not planned yet.
    spare: Option<(NodeId, NodePlace)>,
}

impl Site {
    /// Three nodes that serve, with both standbys streaming.
    pub async fn three(test: &str) -> Option<Site> {
        Site::three_that(test, WhenAlone::Block).await
    }

    /// Two nodes with data and a witness, [`WITNESS`].
    pub async fn witnessed(test: &str) -> Option<Site> {
        Site::made(test, |site| (site.planned.database.standbys, site.planned.database.witness) = (1, true))
            .await
    }

    /// The same with the file's `when_alone`.
    pub async fn three_that(test: &str, when_alone: WhenAlone) -> Option<Site> {
        Site::made(test, |site| site.planned.database.when_alone = when_alone).await
    }

    /// Three nodes whose keepers have a thread each, so that one can stand still.
    pub async fn three_apart(test: &str) -> Option<Site> {
        Site::made(test, Site::part).await
    }

    /// Gives each keeper a thread of its own.
    fn part(&mut self) {
        for node in self.places.keys() {
            let thread = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            self.threads.insert(*node, (thread, Arc::default()));
        }
    }

    async fn made(test: &str, change: impl FnOnce(&mut Site)) -> Option<Site> {
        // With `RUST_LOG=database=info` each action of each keeper is told.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .try_init();
        let user = postgres(test)?;
        let mut site = Site::new(user, 3);
        change(&mut site);
        for node in 1..=3 {
            site.start(NodeId(node));
        }
        site.calm().await;
        Some(site)
    }

    /// Two nodes under a lease: one serves, the other is close behind.
    pub async fn two(test: &str) -> Option<Site> {
        let user = postgres(test)?;
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .try_init();
        let mut site = Site::new(user, 3);
        site.spare = site.places.pop_last();
        site.plan(Mode::Lease);
        site.part();
        for node in 1..=2 {
            site.start(NodeId(node));
        }
        site.calm().await;
        Some(site)
    }

    fn plan(&mut self, mode: Mode) {
        let node = |place: &NodePlace| PlannedNode { name: place.unit.clone(), zone: place.zone.clone() };
        self.planned.nodes = self.places.values().map(node).collect();
        self.planned.database.standbys = self.places.len() as u8 - 1;
        self.planned.mode = mode;
    }

    /// A third node is planned: each keeper is followed by one that knows of it.
    pub fn grow(&mut self) {
        self.places.extend(self.spare.take());
        self.plan(Mode::Quorum);
        for node in self.others(NodeId(0)) {
            self.crash_keeper(node);
            self.start(node);
        }
    }

    /// A node is planned no more: it ends, in order, and each other keeper is followed by one that knows of it no longer.
    pub async fn shrink(&mut self, node: NodeId) {
        self.stop(node).await;
        self.places.remove(&node);
        self.plan(Mode::Lease);
        for node in self.others(NodeId(0)) {
            self.crash_keeper(node);
            self.start(node);
        }
    }

    fn new(user: Option<User>, nodes: u8) -> Site {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ek-keeper-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let network = format!("127.{}.{number}", 100 + std::process::id() % 150);
        let free = |ip: IpAddr| TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let place = |node: u8| {
            let ip: IpAddr = format!("{network}.{node}").parse().unwrap();
            let zone = ZoneName::new(&char::from(b'a' + node - 1).to_string()).unwrap();
            let unit = UnitName::new(&format!("db-{node}")).unwrap();
            (NodeId(node), NodePlace { unit, zone, server: free(ip), keeper: free(ip) })
        };
        let places: BTreeMap<NodeId, NodePlace> = (1..=nodes).map(place).collect();
        let database = Database {
            name: DatabaseName::new("db").unwrap(),
            postgres: 15,
            storage: Bytes(1 << 30),
            standbys: nodes - 1,
            auto: false,
            managed: model::Managed::No,
            witness: false,
            writes: None,
            when_alone: WhenAlone::Block,
        };
        let node = |place: &NodePlace| PlannedNode { name: place.unit.clone(), zone: place.zone.clone() };
        let planned = PlannedDatabase {
            database,
            nodes: places.values().map(node).collect(),
            mode: Mode::Quorum,
            version: 1,
        };
        let (store, simulated) = Store::simulated(1, Clock::real(), Faults::default());
        Site {
            folder,
            user,
            places,
            keepers: BTreeMap::new(),
            threads: BTreeMap::new(),
            spare: None,
            store,
            simulated,
            planned,
        }
    }

    /// Starts a keeper, on what its node has.
    pub fn start(&mut self, node: NodeId) {
        let started = Instant::now();
        // The one before holds the folder until its tasks have ended.
        while let Err(error) = self.try_start(node) {
            assert!(started.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same, at once.
    pub fn try_start(&mut self, node: NodeId) -> Result<(), keeper::KeeperError> {
        let secret = |text: &str| Secret::new(text.to_owned()).unwrap();
        let options = KeeperOptions {
            database: self.planned.clone(),
            application: AppName::new("shop").unwrap(),
            node,
            places: self.places.clone(),
            dir: self.folder.join(self.places[&node].unit.as_str()),
            user: self.user,
            tls: None,
            secrets: Secrets {
                replication: secret("replication secret"),
                rewind: secret("rewind secret"),
                application: secret(PASSWORD),
            },
            peers_key: vec![7; 32],
            unrest_max: database::UNREST_MAX,
            watchdog: env!("CARGO_BIN_EXE_database-watchdog").into(),
        };
        let _inside = self.threads.get(&node).map(|(thread, _)| thread.enter());
        let keeper = keeper::start(options, self.store.clone(), Clock::real())?;
        self.keepers.insert(node, keeper);
        Ok(())
    }

    /// The keeper does nothing any more, as if it had been stopped.
    pub fn freeze_keeper(&self, node: NodeId) {
        let (thread, frozen) = &self.threads[&node];
        frozen.store(true, Ordering::SeqCst);
        let frozen = frozen.clone();
        drop(thread.spawn(async move {
            while frozen.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
    }

    /// Undoes [`Site::freeze_keeper`].
    pub fn thaw_keeper(&self, node: NodeId) {
        self.threads[&node].1.store(false, Ordering::SeqCst);
    }

    /// The keeper crashes; its server runs on.
    pub fn crash_keeper(&mut self, node: NodeId) {
        drop(self.keepers.remove(&node));
    }

    pub fn status(&self, node: NodeId) -> Arc<KeeperStatus> {
        self.keepers[&node].status().borrow().clone()
    }

    /// Waits until `wanted` of some keeper's picture.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Site) -> bool) -> Duration {
        let started = Instant::now();
        while !wanted(self) {
            if started.elapsed() > PATIENCE {
                for (node, keeper) in &self.keepers {
                    eprintln!("{node}: {:#?}", keeper.status().borrow());
                    let log = self.folder.join(self.places[node].unit.as_str()).join("log");
                    let text = fs::read_to_string(log).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().collect();
                    eprintln!("{}", lines[lines.len().saturating_sub(25)..].join("\n"));
                }
                panic!("not within {PATIENCE:?}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started.elapsed()
    }

    /// The primary that serves, as the keepers that live know it.
    pub fn primary(&self) -> Option<(NodeId, Record)> {
        let pictures = self.keepers.values().map(|keeper| keeper.status().borrow().clone());
        let record = pictures.filter_map(|status| status.record.clone()).max_by_key(|record| record.term)?;
        match record.phase {
            ReignPhase::Serving { primary, .. } => Some((primary, record)),
            _ => None,
        }
    }

    /// Served, and everybody streams and counts.
    pub async fn calm(&self) -> Duration {
        self.until("a calm cluster", Site::is_calm).await
    }

    /// See [`Site::calm`].
    pub fn is_calm(&self) -> bool {
        let Some((primary, record)) = self.primary() else { return false };
        let quorum = record.current().unwrap();
        self.keepers.keys().all(|node| {
            let server = self.status(*node).server;
            let right = if *node == primary { ServerState::Open } else { ServerState::Streaming };
            server == right && (*node == primary || quorum.members.has(*node))
        })
    }

    /// A session of the application.
    pub async fn client(&self, node: NodeId) -> Result<Client, tokio_postgres::Error> {
        let address: SocketAddr = self.places[&node].server;
        let mut config = Config::new();
        config
            .host(address.ip().to_string())
            .port(address.port())
            .user("shop")
            .password(PASSWORD)
            .dbname("shop");
        config.connect_timeout(Duration::from_secs(2));
        let (client, connection) = config.connect(NoTls).await?;
        drop(tokio::spawn(connection));
        Ok(client)
    }

    /// A session at whoever serves, as soon as one can be had.
    pub async fn client_soon(&self) -> Client {
        let started = Instant::now();
        loop {
            if let Some((primary, _)) = self.primary()
                && let Ok(client) = self.client(primary).await
            {
                return client;
            }
            assert!(started.elapsed() < PATIENCE, "nobody lets a client in");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The first process of a node's server.
    pub fn server_pid(&self, node: NodeId) -> i32 {
        self.status(node).server_pid.unwrap() as i32
    }

    /// The same, if there is a keeper and a server.
    pub fn running(&self, node: NodeId) -> Option<i32> {
        self.keepers.get(&node)?.status().borrow().server_pid.map(|pid| pid as i32)
    }

    /// Signals the first process of a server.
    pub fn signal_server(&self, node: NodeId, signal: Signal) {
        let _ = kill_process(Pid::from_raw(self.server_pid(node)).unwrap(), signal);
    }

    /// Stops every process of a server where it is.
    pub fn freeze_server(&self, node: NodeId) {
        self.signal_family(node, Signal::STOP);
    }

    fn signal_family(&self, node: NodeId, signal: Signal) {
        let first = self.server_pid(node);
        self.signal_server(node, signal);
        let parent = |pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<i32>().ok()
        };
        let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in numbers.filter(|pid| parent(*pid) == Some(first)) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// Undoes [`Site::freeze_server`].
    pub fn thaw_server(&self, node: NodeId) {
        self.signal_family(node, Signal::CONT);
    }

    /// The keeper ends in order, and its server.
    pub async fn stop(&mut self, node: NodeId) {
        self.keepers.remove(&node).unwrap().stop().await;
    }

    /// A node is gone at once: its keeper, and its server by a signal that asks nobody.
    pub fn kill(&mut self, node: NodeId) {
        let server = Pid::from_raw(self.server_pid(node)).unwrap();
        self.crash_keeper(node);
        let _ = kill_process(server, Signal::KILL);
    }

    /// The other nodes.
    pub fn others(&self, node: NodeId) -> Vec<NodeId> {
        self.places.keys().copied().filter(|other| *other != node).collect()
    }

    /// What a person is told of `node`.
    pub fn warnings(&self, node: NodeId) -> Vec<WarningKind> {
        self.status(node).warnings.iter().map(|warning| warning.kind).collect()
    }

    /// Changes the keeper's own file, as it would be when its keeper had crashed at another moment.
    pub fn change_file(&self, node: NodeId, change: impl FnOnce(&mut serde_json::Value)) {
        let path = self.folder.join(self.places[&node].unit.as_str()).join("keeper.json");
        let mut file = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut file);
        fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    }

    /// A node's folder.
    pub fn folder(&self, node: NodeId) -> PathBuf {
        self.folder.join(self.places[&node].unit.as_str())
    }

    /// What a node's keeper has told the others.
    pub async fn doc(&self, node: NodeId) -> NodeDoc {
        let key = Keys::new(&self.planned.database.name).node(node);
        let entry = self.store.get(&key).await.unwrap().unwrap();
        serde_json::from_slice(&entry.value).unwrap()
    }

    /// Runs a statement as the keeper's own role.
    pub async fn superuser(&self, node: NodeId, sql: &str) {
        self.privileged(node).await.batch_execute(sql).await.unwrap();
    }

    /// The one value that a statement of the keeper's own role gives.
    pub async fn ask(&self, node: NodeId, sql: &str) -> String {
        self.privileged(node).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn privileged(&self, node: NodeId) -> Client {
        self.try_privileged(node).await.unwrap()
    }

    /// A session as the keeper has it.
    pub async fn try_privileged(&self, node: NodeId) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host_path(self.folder(node).join("run")).port(self.places[&node].server.port());
        let (client, connection) = config.user("evenkeel").dbname("postgres").connect(NoTls).await?;
        drop(tokio::spawn(connection));
        Ok(client)
    }

    /// Slots of `term` that a node has, or of any.
    pub fn slots(&self, node: NodeId, term: Option<u64>) -> usize {
        let slots = fs::read_dir(self.folder(node).join("data/pg_replslot")).unwrap().flatten();
        let end = term.map_or(String::new(), |term| format!("_t{term}"));
        slots.filter(|slot| slot.file_name().to_string_lossy().ends_with(&end)).count()
    }

    /// Segments of log that a node has.
    pub fn segments(&self, node: NodeId) -> usize {
        let files = fs::read_dir(self.folder(node).join("data/pg_wal")).unwrap().flatten();
        files.filter(|file| file.file_name().len() == 24).count()
    }

    /// All that a node had is gone.
    pub fn lose_disk(&self, node: NodeId) {
        fs::remove_dir_all(self.folder.join(self.places[&node].unit.as_str())).unwrap();
    }

    /// The store answers nobody.
    pub fn store_away(&self, away: bool) {
        self.simulated.cut(away);
    }

    /// The shared record as it is in the store.
    pub async fn saved_record(&self) -> Vec<u8> {
        let key = Keys::new(&self.planned.database.name).record();
        self.store.get(&key).await.unwrap().unwrap().value
    }

    /// Somebody puts `value` in its place, whatever is there.
    pub async fn restore_record(&self, value: Vec<u8>) {
        let key = Keys::new(&self.planned.database.name).record();
        let then = vec![Op::Put { key, value, lease: None }];
        assert!(self.store.txn(Txn { compare: vec![], then }).await.unwrap().done);
    }

    /// Asks for a switch, as `evenkeel failover` does.
    pub async fn hand_over(&self, to: NodeId) {
        let key = Keys::new(&self.planned.database.name).record();
        let entry = self.store.get(&key).await.unwrap().unwrap();
        let mut record: Record = serde_json::from_slice(&entry.value).unwrap();
        let ReignPhase::Serving { primary, .. } = record.phase else { panic!("nobody serves") };
        record.phase = ReignPhase::Serving { primary, handover: Some(to) };
        let value = serde_json::to_vec(&record).unwrap();
        let compare = vec![Compare::Modified { key: key.clone(), revision: entry.modified }];
        let reply =
            self.store.txn(Txn { compare, then: vec![Op::Put { key, value, lease: None }] }).await.unwrap();
        assert!(reply.done);
    }

    /// All nodes end together, as with `evenkeel down`.
    pub async fn stop_all(&mut self) {
        let mut ends = tokio::task::JoinSet::new();
        for (_, keeper) in std::mem::take(&mut self.keepers) {
            ends.spawn(keeper.stop_after_primary(10_000));
        }
        ends.join_all().await;
    }

    /// Ends everything, and sees that nothing is left that works in the cluster's folder.
    pub async fn end_clean(mut self) {
        self.stop_all().await;
        let folder = self.folder.to_string_lossy().into_owned();
        let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let left = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let left: Vec<String> = left.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
        let left: Vec<&String> = left.iter().filter(|line| line.contains(&folder)).collect();
        assert!(left.is_empty(), "still there: {left:?}");
    }

    /// Ends everything.
    pub async fn end(mut self) {
        for (_, keeper) in std::mem::take(&mut self.keepers) {
            keeper.stop().await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // After a failed test servers may run; each folder's lock names its own. A receiver has none.
        let receiver = self.keepers.get(&WITNESS).filter(|_| self.planned.database.witness);
        let receiver = receiver.and_then(|keeper| keeper.status().borrow().server_pid);
        self.keepers.clear();
        if let Some(pid) = receiver.and_then(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        for (thread, frozen) in std::mem::take(&mut self.threads).into_values() {
            frozen.store(false, Ordering::SeqCst);
            thread.shutdown_background();
        }
        for place in self.places.values() {
            let pid = fs::read_to_string(self.folder.join(place.unit.as_str()).join("data/postmaster.pid"));
            let pid = pid.ok().and_then(|text| text.lines().next()?.parse().ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
