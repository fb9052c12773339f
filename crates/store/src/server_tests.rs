use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::AsyncReadExt;

use super::*;
use crate::conformance::{self, Factory};
use crate::opening::{Asked, OPENING_BYTES, REFUSED};
use crate::{Class, ClientOptions, Op, Store, Txn};

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evenkeel-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("store.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    token: Token,
    tasks: Tasks,
    ended: oneshot::Receiver<Result<(), StoreError>>,
}

const FREE: &str = "127.0.0.1:0";

async fn start(path: &Path, token: &Token, listen: &str) -> Result<Running, StoreError> {
    let mut options = ServeOptions::new(listen.parse().unwrap(), path.to_owned(), token.clone());
    options.history = History { events: 64, ..History::default() };
    let (bound, is_bound) = oneshot::channel();
    options.bound = Some(bound);
    let tasks = Tasks::new();
    let stop = tasks.stop();
    let (outcome, mut ended) = oneshot::channel();
    tasks.spawn("server", async move {
        let _ = outcome.send(serve(options, stop).await);
    });
    match is_bound.await {
        Ok(address) => Ok(Running { address, token: token.clone(), tasks, ended }),
        Err(_) => Err((&mut ended).await.unwrap().unwrap_err()),
    }
}

async fn fresh() -> (Folder, Running) {
    let folder = Folder::new();
    let token = Token::create(&folder.0.join("token")).unwrap();
    let running = start(&folder.file(), &token, FREE).await.unwrap();
    (folder, running)
}

/// Patient, as several test threads share two cores with real syncs.
const PATIENT: ClientOptions = ClientOptions { timeout_ms: 5_000 };

impl Running {
    fn client(&self) -> Store {
        Store::connect_with(self.address, self.token.clone(), PATIENT)
    }

    async fn end(self) {
        assert_eq!(self.tasks.shutdown(Limits { grace_ms: 5_000, abort_ms: 100 }).await, [""; 0]);
        self.ended.await.unwrap().unwrap();
    }
}

/// Carries bytes between a client and the server, or loses them.
#[derive(Default)]
struct Wire {
    lose_requests: AtomicBool,
    lose_replies: AtomicBool,
    /// Connections so far, and those of them that will never carry a byte again.
    connections: AtomicU32,
    dead: AtomicU32,
}

impl Wire {
    fn loses(&self, number: u32, direction: &AtomicBool) -> bool {
        number < self.dead.load(Ordering::SeqCst) || direction.load(Ordering::SeqCst)
    }
}

async fn relay(to: SocketAddr, wire: Arc<Wire>, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind(FREE).await.unwrap();
    let address = listener.local_addr().unwrap();
    let spawner = tasks.spawner();
    tasks.spawn("relay", async move {
        while let Ok((client, _)) = listener.accept().await {
            let (wire, from) = (wire.clone(), client);
            let number = wire.connections.fetch_add(1, Ordering::SeqCst);
            spawner.spawn("relay/connection", async move {
                let server = TcpStream::connect(to).await.unwrap();
                let ((mut there_in, mut back_out), (mut back_in, mut there_out)) =
                    (from.into_split(), server.into_split());
                tokio::join!(
                    pump(&mut there_in, &mut there_out, OPENING_BYTES.0, || {
                        wire.loses(number, &wire.lose_requests)
                    }),
                    pump(&mut back_in, &mut back_out, OPENING_BYTES.1, || {
                        wire.loses(number, &wire.lose_replies)
                    })
                );
            });
        }
    });
    address
}

/// A connection may be made even while all else is lost: the first `opening` bytes always pass.
async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, opening: usize, lose: impl Fn() -> bool) {
    let mut bytes = [0; 4096];
    let mut seen = 0;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        seen += read;
        if (!lose() || seen <= opening) && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[derive(Default)]
struct Embedded {
    servers: Mutex<Vec<(Folder, Running)>>,
    relays: Tasks,
}

impl Factory for Embedded {
    async fn open(&self) -> Store {
        let server = fresh().await;
        let store = server.1.client();
        self.servers.lock().unwrap().push(server);
        store
    }

    async fn pass_ms(&self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
    }

    async fn forget(&self, store: &Store) {
        for _ in 0..70 {
            store.put("k", "again").await.unwrap();
        }
    }

    async fn open_lossy(&self) -> Option<(Store, Store)> {
        let (folder, running) = fresh().await;
        let wire = Arc::new(Wire { lose_replies: AtomicBool::new(true), ..Wire::default() });
        let address = relay(running.address, wire, &self.relays).await;
        let sound = running.client();
        let lossy = Store::connect(address, running.token.clone());
        self.servers.lock().unwrap().push((folder, running));
        Some((sound, lossy))
    }
}

#[tokio::test]
async fn the_embedded_store_conforms() {
    let factory = Embedded::default();
    for (name, outcome) in conformance::all(&factory).await {
        assert_eq!(outcome, Some(Ok(())), "{name}");
    }
    let servers = std::mem::take(&mut *factory.servers.lock().unwrap());
    for (_folder, running) in servers {
        running.end().await;
    }
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart_and_a_watch_goes_on() {
    let (folder, running) = fresh().await;
    let store = running.client();
    let lease = store.grant(60_000).await.unwrap();
    let under = Op::Put { key: "b".to_owned(), value: vec![0xff], lease: Some(lease) };
    store.txn(Txn { compare: vec![], then: vec![under] }).await.unwrap();
    let mut watch = store.watch("", 0).await.unwrap();
    let last = store.put("a", "1").await.unwrap();
    assert_eq!(watch.next().await.unwrap()[0].revision(), last);
    let before = store.range("").await.unwrap();
    let (address, token) = (running.address, running.token.clone());
    running.end().await;
    let (woken, again) = tokio::join!(watch.next(), async {
        let again = start(&folder.file(), &token, &address.to_string()).await.unwrap();
        assert_eq!(store.range("").await.unwrap(), before);
        assert!(store.keep_alive(lease).await.unwrap());
        store.put("c", "2").await.unwrap();
        again
    });
    assert_eq!(woken.unwrap()[0].revision(), last + 1);
    // What happened before the restart is not remembered as history.
    assert!(store.watch("", last).await.unwrap_err().is_compacted());
    again.end().await;
}

#[tokio::test]
async fn a_client_recovers_by_itself_when_a_cut_heals() {
    let (_folder, running) = fresh().await;
    let wire = Arc::new(Wire::default());
    let relays = Tasks::new();
    let address = relay(running.address, wire.clone(), &relays).await;
    let store = Store::connect(address, running.token.clone());
    let mut watch = store.watch("", 0).await.unwrap();
    store.put("k", "1").await.unwrap();
    watch.next().await.unwrap();
    wire.lose_requests.store(true, Ordering::SeqCst);
    wire.lose_replies.store(true, Ordering::SeqCst);
    assert_eq!(store.put("k", "2").await.unwrap_err().class(), Class::Unknown);
    assert_eq!(store.get("k").await.unwrap_err().class(), Class::Transient);
    let direct = running.client();
    let missed = direct.put("k", "3").await.unwrap();
    wire.lose_requests.store(false, Ordering::SeqCst);
    wire.lose_replies.store(false, Ordering::SeqCst);
    let events = watch.next().await.unwrap();
    assert_eq!(events.last().unwrap().revision(), missed);
    let mut tries = 0;
    while store.get("k").await.is_err() {
        tries += 1;
        assert!(tries < 20);
    }
    running.end().await;
}

/// After a long cut TCP itself tries again only after many seconds.
#[tokio::test]
async fn a_connection_that_went_silent_is_given_up_for_a_new_one() {
    let (_folder, running) = fresh().await;
    let wire = Arc::new(Wire::default());
    let relays = Tasks::new();
    let address = relay(running.address, wire.clone(), &relays).await;
    let store = Store::connect(address, running.token.clone());
    store.put("k", "1").await.unwrap();
    wire.dead.store(wire.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    assert_eq!(store.put("k", "2").await.unwrap_err().class(), Class::Unknown);
    let mut tries = 0;
    while store.get("k").await.is_err() {
        tries += 1;
        assert!(tries < 10, "stays with the dead connection");
    }
    assert_eq!(wire.connections.load(Ordering::SeqCst), 2);
    running.end().await;
}

#[tokio::test]
async fn a_store_that_is_not_there_is_surely_not_written_to() {
    let folder = Folder::new();
    let token = Token::create(&folder.0.join("token")).unwrap();
    let free = TcpListener::bind(FREE).await.unwrap().local_addr().unwrap();
    let store = Store::connect(free, token);
    let error = store.put("k", "1").await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(error.to_string().starts_with(&format!("cannot reach the store at {free}: ")), "{error}");
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused_and_the_first_goes_on() {
    let (folder, running) = fresh().await;
    let store = running.client();
    store.put("k", "1").await.unwrap();
    let error = start(&folder.file(), &running.token, FREE).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("is in use by another process\nhint: "), "{error}");
    store.put("k", "2").await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn a_wrong_token_opens_nothing_and_a_right_one_still_works() {
    let (folder, running) = fresh().await;
    let wrong = Token::create(&folder.0.join("other")).unwrap();
    let error = Store::connect(running.address, wrong).put("k", "1").await.unwrap_err();
    assert!(matches!(error, StoreError::NotOurStore { .. }), "{error}");
    assert!(
        error.to_string().starts_with(&format!("something else listens at {}: ", running.address)),
        "{error}"
    );
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(running.client().get("k").await.unwrap(), None);
    running.end().await;
}

/// Reads until the server closes; what it said before.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.expect("not closed");
    said
}

async fn authenticated(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(opening::ask(&mut stream, &running.token).await.unwrap(), Asked::Welcome);
    stream
}

#[tokio::test]
async fn strangers_who_say_nothing_or_nonsense_are_shown_out_and_agents_get_in() {
    let (_folder, running) = fresh().await;
    let mut silent = Vec::new();
    for _ in 0..3 * STRANGERS_MAX {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut rude = TcpStream::connect(running.address).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nmore than forty bytes").await.unwrap();
    assert_eq!(until_closed(&mut rude).await, [REFUSED]);
    // At the very moment all places of strangers are taken.
    let agent = Store::connect(running.address, running.token.clone());
    agent.put("k", "1").await.unwrap();
    for stream in &mut silent {
        assert_eq!(until_closed(stream).await, [0; 0]);
    }
    running.end().await;
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_dropped_and_no_other_feels_it() {
    let (_folder, running) = fresh().await;
    let agent = running.client();
    let long = [0xff, 0xff, 0xff, 0xff];
    let garbled = [0, 0, 0, 2, b'{', b'{'];
    for bytes in [&long[..], &garbled[..]] {
        let mut stream = authenticated(&running).await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(until_closed(&mut stream).await, [0; 0]);
        agent.put("k", "1").await.unwrap();
    }
    // What the client library would not send is refused by the server, too.
    let mut stream = authenticated(&running).await;
    let key = "k".repeat(crate::KEY_BYTES_MAX + 1);
    let request =
        Request::Txn(Txn { compare: vec![], then: vec![Op::Put { key, value: vec![], lease: None }] });
    stream.write_all(&wire::frame(&RequestFrame { id: 1, request }).unwrap()).await.unwrap();
    let reply: wire::ReplyFrame = FrameReader::new(&mut stream).next().await.unwrap();
    assert!(matches!(reply.reply, Reply::Refused(Refusal::Bounds { .. })), "{reply:?}");
    running.end().await;
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_holds_up_only_itself() {
    let (_folder, running) = fresh().await;
    let agent = running.client();
    agent.put("big", "x".repeat(200_000)).await.unwrap();
    let mut greedy = authenticated(&running).await;
    let ask =
        wire::frame(&RequestFrame { id: 1, request: Request::Range { prefix: String::new() } }).unwrap();
    // Until neither end's buffers take more.
    let mut asked = 0;
    while timeout(Duration::from_millis(300), greedy.write_all(&ask)).await.is_ok_and(|sent| sent.is_ok()) {
        asked += 1;
        assert!(asked < 1_000_000);
    }
    assert!(asked > OPEN_MAX);
    for _ in 0..20 {
        agent.put("k", "1").await.unwrap();
    }
    drop(greedy);
    running.end().await;
}

#[tokio::test]
async fn a_hundred_writes_at_once_share_their_syncs_and_all_arrive() {
    let (_folder, running) = fresh().await;
    let store = running.client();
    let tasks = Tasks::new();
    let (done, mut all_done) = mpsc::channel(100);
    for n in 0..100 {
        let (store, done) = (store.clone(), done.clone());
        tasks.spawn("writer", async move {
            let revision = store.put(format!("k{n}"), "v").await.unwrap();
            done.send(revision).await.unwrap();
        });
    }
    drop(done);
    let mut revisions = Vec::new();
    while let Some(revision) = all_done.recv().await {
        revisions.push(revision);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..102).collect::<Vec<_>>());
    assert_eq!(store.range("k").await.unwrap().0.len(), 100);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_strangers_is_logged_once_a_second_and_none_is_left_out() {
    let strangers = Strangers::default();
    let begin = tokio::time::Instant::now();
    let told = Mutex::new(Vec::new());
    let flood = async {
        for port in 0..1_000 {
            strangers.shown_out(SocketAddr::from(([127, 0, 0, 1], port)), "too slow");
            sleep(Duration::from_millis(3)).await;
        }
        sleep(Duration::from_millis(2 * STRANGERS_LOG_MS)).await;
    };
    tokio::select! {
        biased;
        () = flood => {}
        never = strangers.tell(|all| told.lock().unwrap().push((begin.elapsed().as_millis() as u64, all))) => {
            match never {}
        }
    }
    let told = told.into_inner().unwrap();
    assert_eq!((told[0].0, told[0].1.count), (0, 1), "the first is told at once");
    assert!(told.len() > 2 && told.windows(2).all(|two| two[1].0 - two[0].0 >= STRANGERS_LOG_MS), "{told:?}");
    assert_eq!(told.iter().map(|(_, all)| all.count).sum::<u64>(), 1_000);
}

async fn refused(path: &Path) -> StoreError {
    let folder = Folder::new();
    let token = Token::create(&folder.0.join("token")).unwrap();
    start(path, &token, FREE).await.err().unwrap()
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_named_with_the_way_out_and_left_as_it_is() {
    let folder = Folder::new();
    let text = folder.0.join("notes.txt");
    fs::write(&text, "remember the milk\n".repeat(1_000)).unwrap();
    let empty = folder.0.join("empty.db");
    fs::write(&empty, "").unwrap();
    let foreign = folder.0.join("foreign.db");
    {
        let database = redb::Database::create(&foreign).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(redb::TableDefinition::<u64, u64>::new("things")).unwrap().insert(1, 2).unwrap();
        writing.commit().unwrap();
    }
    for path in [&text, &empty, &foreign, &folder.0] {
        let before = fs::metadata(path).unwrap().len();
        let error = refused(path).await;
        assert!(matches!(error, StoreError::Foreign { .. }), "{path:?}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(&path.display().to_string()) && said.contains("hint: move it away"), "{said}");
        assert_eq!(fs::metadata(path).unwrap().len(), before);
    }
    let nowhere = refused(&folder.0.join("no/such/folder/store.db")).await;
    assert!(matches!(nowhere, StoreError::Open { .. }), "{nowhere}");
}

#[tokio::test]
async fn a_half_made_file_of_an_earlier_start_is_replaced() {
    let folder = Folder::new();
    fs::write(folder.0.join("store.db.new"), "half").unwrap();
    let token = Token::create(&folder.0.join("token")).unwrap();
    let running = start(&folder.file(), &token, FREE).await.unwrap();
    running.client().put("k", "1").await.unwrap();
    running.end().await;
    assert!(!folder.0.join("store.db.new").exists());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_read_right_and_never_panics() {
    let (folder, running) = fresh().await;
    let store = running.client();
    for n in 0..50 {
        store.put(format!("k{n}"), format!("value {n} ").repeat(20)).await.unwrap();
    }
    let want = store.range("").await.unwrap();
    running.end().await;
    let sound = fs::read(folder.file()).unwrap();
    let mut chance = world::Chance::from_seed(1);
    let mut refusals = 0;
    for round in 0..60 {
        let mut bytes = sound.clone();
        match round % 3 {
            0 => bytes.truncate(chance.below(sound.len() as u64) as usize + 1),
            1 => {
                let start = chance.below(sound.len() as u64) as usize;
                let end = (start + 4096).min(bytes.len());
                bytes[start..end].iter_mut().for_each(|byte| *byte = chance.next_u64() as u8);
            }
            _ => {
                let at = chance.below(8192.min(sound.len() as u64)) as usize;
                bytes[at] ^= 1 << chance.below(8);
            }
        }
        let path = folder.0.join("damaged.db");
        fs::write(&path, &bytes).unwrap();
        match Host::open(&path, History::default(), model::Moment(0)) {
            Ok(host) => {
                let kept = host.kept();
                assert_eq!((kept.entries, kept.revision), want, "round {round}");
            }
            Err(error) => {
                refusals += 1;
                let named = matches!(error, StoreError::Damaged { .. } | StoreError::Foreign { .. });
                assert!(named, "round {round}: {error:?}");
                assert!(error.to_string().contains("damaged.db") && error.to_string().contains("hint: "));
            }
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[test]
fn a_token_file_is_private_whole_and_never_overwritten() {
    let folder = Folder::new();
    let path = folder.0.join("token");
    let token = Token::load_or_create(&path).unwrap();
    assert_eq!(Token::load_or_create(&path).unwrap().bytes(), token.bytes());
    assert!(Token::create(&path).is_err());
    assert_eq!(format!("{token:?}"), "Token(..)");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let said = Token::load(&path).unwrap_err().to_string();
    assert!(said.contains("others may read it (mode 640)") && said.contains("hint: chmod 600"), "{said}");
    for length in [0, 31, 33, 5_000_000] {
        let path = folder.0.join(format!("token-{length}"));
        fs::write(&path, vec![7; length]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::load(&path).unwrap_err().to_string().contains("not 32"));
    }
    assert!(matches!(Token::load(&folder.0.join("none")), Err(StoreError::TokenFile { .. })));
}
