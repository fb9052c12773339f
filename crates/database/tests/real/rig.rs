//! Nodes with real servers, each in a folder of its own and on a loopback address of its own.

use std::fs;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use database::instance::{
    Acks, Instance, KEEPER, Observation, Options, Role, Running, Secret, Secrets, Settings, StandbyName,
    StopHow, Tuning, Upstream, User, find_bin, system_user,
};
use model::{AppName, UnitName};
use tokio_postgres::{Client, NoTls};

/// Longest wait for anything that must happen; far beyond what it takes, as the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a write is watched that must not be acknowledged. Acknowledged ones take milliseconds here.
pub const WATCHED: Duration = Duration::from_millis(700);
pub const REPLICATION_PASSWORD: &str = "replication: 'secret'\\";
pub const APPLICATION_PASSWORD: &str = "application secret";

/// PostgreSQL's programs and system user; `None`, said loudly, when they are not here.
pub fn postgres(test: &str) -> Option<(PathBuf, Option<User>)> {
    let found = find_bin(15).ok().and_then(|bin| match rustix::process::geteuid().is_root() {
        true => system_user("postgres").map(|user| (bin, Some(user))),
        false => Some((bin, None)),
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

/// A folder of its own that is gone at the end, whatever happens.
pub struct Place {
    pub folder: PathBuf,
    pub bin: PathBuf,
    pub user: Option<User>,
    network: String,
    next: AtomicU32,
}

impl Place {
    pub fn new(test: &str) -> Option<Arc<Place>> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let (bin, user) = postgres(test)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ek-pg-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let network = format!("127.{}.{number}", 100 + std::process::id() % 150);
        Some(Arc::new(Place { folder, bin, user, network, next: AtomicU32::new(1) }))
    }

    pub fn options(&self, node: &str) -> Options {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ip: IpAddr = format!("{}.{number}", self.network).parse().unwrap();
        let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let secret = |text: &str| Secret::new(text.to_owned()).unwrap();
        Options {
            node: UnitName::new(node).unwrap(),
            bin: self.bin.clone(),
            dir: self.folder.join(node),
            listen: SocketAddr::new(ip, port),
            user: self.user,
            tls: None,
            application: AppName::new("shop").unwrap(),
            secrets: Secrets {
                replication: secret(REPLICATION_PASSWORD),
                rewind: secret("rewind secret"),
                application: secret(APPLICATION_PASSWORD),
            },
            tuning: Tuning { shared_buffers_mib: 16, connections: 30, ..Tuning::default() },
        }
    }

    /// A node without data.
    pub fn empty(self: &Arc<Place>, node: &str) -> Node {
        Node { instance: Arc::new(Instance::open(self.options(node)).unwrap()), _place: self.clone() }
    }

    /// A node with a copy of the one cluster that this run has made.
    pub fn node(self: &Arc<Place>, node: &str) -> Node {
        let made = self.empty(node);
        copy(template(self), made.data());
        made
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Made once a run: `initdb` takes longer than all else. A shell removes it when this process is gone.
fn template(place: &Place) -> &'static Path {
    static TEMPLATE: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (path, _) = TEMPLATE.get_or_init(|| {
        let mut options = place.options("template");
        let folder = std::env::temp_dir().join(format!("ek-pg-{}-template", std::process::id()));
        options.dir = folder.clone();
        let remover = Command::new("sh")
            .args(["-c", "cat > /dev/null; rm -rf \"$0\""])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        own_runtime(async move { Instance::open(options).unwrap().init().await.unwrap() });
        (folder.join("data"), remover)
    });
    path
}

/// Runs to the end on a thread and runtime of its own, from wherever it is called.
fn own_runtime(work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work);
        };
        scope.spawn(run).join().unwrap();
    });
}

/// An instance that is gone at the end, with all its processes.
pub struct Node {
    pub instance: Arc<Instance>,
    pub _place: Arc<Place>,
}

impl std::ops::Deref for Node {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.options().dir.join("log")).unwrap_or_default();
            let from = log.len().saturating_sub(3_000);
            eprintln!("--- log of {}:\n{}", self.options().node, log.get(from..).unwrap_or_default());
        }
        let instance = self.instance.clone();
        own_runtime(async move { instance.kill().await.unwrap() });
        remove_shared_memory(self.data());
    }
}

/// A killed server leaves its piece of shared memory to its next start, which never comes here.
fn remove_shared_memory(data: &Path) {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
        let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
    }
}

pub fn name(text: &str) -> StandbyName {
    StandbyName::new(text).unwrap()
}

pub fn any_one(names: &[&str]) -> Acks {
    Acks::AnyOf { need: 1, names: names.iter().map(|text| name(text)).collect() }
}

pub fn primary(acks: Acks, open: bool) -> Settings {
    Settings { role: Role::Primary, acks, open }
}

impl Node {
    pub fn upstream(&self, as_name: &str) -> Upstream {
        Upstream { address: self.options().listen, name: name(as_name), slot: None }
    }

    /// Starts as what the data is, with these settings.
    pub async fn start_with(&self, settings: Settings) -> Running {
        self.configure(&settings).unwrap();
        let running = self.start().unwrap();
        self.until("it answers", |_| true).await;
        running
    }

    pub async fn start_primary(&self, acks: Acks) -> Running {
        self.start_with(primary(acks, true)).await
    }

    /// Starts as a standby of `from` and waits until it receives.
    pub async fn follow(&self, from: &Node, as_name: &str) -> Running {
        let upstream = Some(from.upstream(as_name));
        let role = Role::Standby { upstream };
        let running = self.start_with(Settings { role, acks: Acks::Never, open: true }).await;
        let streaming = |seen: &Observation| {
            seen.receiver.as_ref().is_some_and(|receiver| receiver.status == "streaming")
        };
        self.until("it receives", streaming).await;
        running
    }

    pub fn change(&self, running: &Running, settings: &Settings) {
        self.configure(settings).unwrap();
        running.reload();
    }

    /// Takes the upstream away and waits until the receiver is gone.
    pub async fn revoke(&self, running: &Running) -> Observation {
        let role = Role::Standby { upstream: None };
        self.change(running, &Settings { role, acks: Acks::Never, open: true });
        self.until("its receiver is gone and all is replayed", |seen| {
            seen.receiver.is_none() && seen.replay_waits
        })
        .await
    }

    /// Observes until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Observation) -> bool) -> Observation {
        let begin = Instant::now();
        loop {
            let seen = self.observe(Duration::from_secs(2)).await;
            match seen {
                Ok(seen) if so(&seen) => return seen,
                seen => assert!(begin.elapsed() < PATIENCE, "never: {what}: {seen:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until commits wait for `acks` and nobody else counts.
    pub async fn until_acks(&self, acks: &Acks) {
        let begin = Instant::now();
        loop {
            let check = self.confirm_sync(acks, Duration::from_secs(2)).await.unwrap();
            if check.confirmed() {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "never: {check:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// `psql` as the superuser on the Unix socket.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.options().bin.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", KEEPER, "-d", database, "-c", sql, "-h"])
            .arg(self.sockets())
            .args(["-p", &self.options().listen.port().to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `psql` over TCP with a connection string's further words.
    pub fn over_tcp(&self, words: &str, password: &str, sql: &str) -> Output {
        let address = self.options().listen;
        Command::new(self.options().bin.join("psql"))
            .args(["-XAtqw", "-d"])
            .arg(format!("host={} port={} connect_timeout=5 {words}", address.ip(), address.port()))
            .args(["-c", sql])
            .env("PGPASSWORD", password)
            .output()
            .unwrap()
    }

    /// The application, over TCP.
    pub async fn try_client(&self) -> Result<Client, tokio_postgres::Error> {
        let address = self.options().listen;
        let mut config = tokio_postgres::Config::new();
        config.host(address.ip().to_string()).port(address.port()).user("shop").dbname("shop");
        let (client, connection) = config.password(APPLICATION_PASSWORD).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn client(&self) -> Client {
        self.try_client().await.unwrap()
    }

    /// A table for orders, as the application makes it.
    pub async fn shop(&self) -> Client {
        let client = self.client().await;
        client.batch_execute("CREATE TABLE orders (id int PRIMARY KEY)").await.unwrap();
        client
    }

    pub fn orders(&self) -> String {
        self.sql("shop", "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM orders")
    }
}

pub async fn order(client: &Client, id: u32) -> Result<u64, tokio_postgres::Error> {
    client.execute(&format!("INSERT INTO orders VALUES ({id})"), &[]).await
}

/// An insert that is under way; its end says whether it was acknowledged.
pub type Pending = tokio::task::JoinHandle<Result<u64, tokio_postgres::Error>>;

/// Begins an insert on a connection of its own, and waits until its commit waits for standbys.
pub async fn pending(node: &Node, id: u32) -> (Pending, tokio_postgres::CancelToken) {
    let client = node.client().await;
    let cancel = client.cancel_token();
    let insert = tokio::spawn(async move { order(&client, id).await });
    let begin = Instant::now();
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%VALUES ({id})%'"
    );
    while node.sql("postgres", &waits) != "1" {
        assert!(!insert.is_finished(), "order {id} was acknowledged");
        assert!(begin.elapsed() < PATIENCE, "order {id} does not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (insert, cancel)
}

/// Watches for a while that it is not acknowledged.
pub async fn not_acknowledged(insert: &mut Pending) {
    let early = tokio::time::timeout(WATCHED, insert).await;
    assert!(early.is_err(), "acknowledged: {early:?}");
}

pub async fn stop_fast(running: &Running) {
    running.stop(StopHow::Fast, PATIENCE).await.unwrap();
}
