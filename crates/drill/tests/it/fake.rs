//! Fake fronts with the application inside: each on a runtime of its own, so that one can be killed or frozen whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drill::{Break, BreakError, Injected};
use model::{Fault, FaultKind, FaultTarget, UnitName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is wrong with the application or its fronts. Plain: nothing.
#[derive(Debug, Default)]
pub struct Wrong {
    /// Every write with a sequence number that this divides is carried out twice. 0: none.
    pub double_every: AtomicU64,
    /// Every write with a sequence number that this divides is acknowledged and forgotten. 0: none.
    pub forget_every: AtomicU64,
    /// Writes answered with 502 that blame `web-2`, of those that come while it is above 0.
    pub refuse: AtomicU32,
    /// Writes that are carried out and answered with 503 and an unknown outcome, of those that come while it is above 0.
    pub forget_the_answer: AtomicU32,
    /// Answers writes with another id.
    pub other_id: AtomicBool,
    /// Does not say `100 Continue`.
    pub no_continue: AtomicBool,
    /// Answers every page with 500.
    pub broken: AtomicBool,
    /// A write takes this long, in milliseconds.
    pub write_ms: AtomicU64,
}

/// Every front of one fake application.
pub struct Fakes {
    pub fronts: Vec<Fake>,
    pub wrong: Arc<Wrong>,
    pub folder: PathBuf,
}

/// One front.
pub struct Fake {
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    frozen: watch::Sender<bool>,
    /// Bodies of writes that came in, by id.
    pub bodies: Arc<Mutex<Vec<String>>>,
}

impl Fakes {
    pub fn start(name: &str, count: usize) -> Fakes {
        let folder = std::env::temp_dir().join(format!("drill-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let wrong = Arc::new(Wrong::default());
        let fronts = (0..count).map(|_| Fake::start(&wrong, &folder)).collect();
        Fakes { fronts, wrong, folder }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.fronts.iter().map(|front| front.address).collect()
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        for front in &mut self.fronts {
            front.kill();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Fake {
    fn start(wrong: &Arc<Wrong>, folder: &std::path::Path) -> Fake {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let frozen = watch::Sender::new(false);
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let server = Server {
            wrong: wrong.clone(),
            journal: folder.join("orders.journal"),
            frozen: frozen.subscribe(),
            bodies: bodies.clone(),
        };
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                server.thawed().await;
                let (stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        Fake { address, runtime: Some(runtime), frozen, bodies }
    }

    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

#[derive(Clone)]
struct Server {
    wrong: Arc<Wrong>,
    journal: PathBuf,
    frozen: watch::Receiver<bool>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn thawed(&self) {
        let mut frozen = self.frozen.clone();
        let _ = frozen.wait_for(|frozen| !*frozen).await;
    }

    /// Serves requests of the drill's client, and of nobody else: it does not parse, it looks.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut input = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = input.windows(4).position(|w| w == b"\r\n\r\n") {
                    break end + 4;
                }
                self.read(&mut stream, &mut input).await?;
            };
            let head = String::from_utf8(input.drain(..end).collect()).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if head.starts_with("POST ") {
                self.write_order(&head, &mut stream, &mut input).await?;
            } else if self.wrong.broken.load(Ordering::Relaxed) && path != "/healthz" {
                self.say(&mut stream, "500 Internal Server Error", "", "broken").await?;
            } else {
                if let Some((_, ms)) = path.split_once("ms=") {
                    tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
                }
                self.say(&mut stream, "200 OK", "", "page").await?;
            }
        }
    }

    async fn write_order(&self, head: &str, stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
        let length: usize = head.split("content-length: ").nth(1)?.split('\r').next()?.parse().unwrap();
        assert!(head.contains("expect: 100-continue"), "a body came unasked");
        if self.wrong.no_continue.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        while input.len() < length {
            self.read(stream, input).await?;
        }
        let body: Vec<u8> = input.drain(..length).collect();
        let id = String::from_utf8(body).unwrap().split('"').nth(3).unwrap().to_owned();
        self.bodies.lock().unwrap().push(id.clone());
        tokio::time::sleep(Duration::from_millis(self.wrong.write_ms.load(Ordering::Relaxed))).await;
        self.thawed().await;
        let take = |n: u32| n.checked_sub(1);
        if self.wrong.refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let blame = "x-evenkeel-error: unit=web-2; sent=1\r\n";
            return self.say(stream, "502 Bad Gateway", blame, "").await;
        }
        let unknown = &self.wrong.forget_the_answer;
        let unknown = unknown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        let seq: u64 = id.rsplit('-').next().unwrap().parse().unwrap();
        let hits = |every: &AtomicU64| match every.load(Ordering::Relaxed) {
            0 => false,
            every => seq.is_multiple_of(every),
        };
        let times =
            if hits(&self.wrong.forget_every) { 0 } else { 1 + usize::from(hits(&self.wrong.double_every)) };
        let mut journal = std::fs::File::options().create(true).append(true).open(&self.journal).unwrap();
        std::io::Write::write_all(&mut journal, format!("{{\"id\":\"{id}\"}}\n").repeat(times).as_bytes())
            .unwrap();
        if unknown {
            return self.say(stream, "503 Service Unavailable", "x-order-outcome: unknown\r\n", "{}").await;
        }
        let id = if self.wrong.other_id.load(Ordering::Relaxed) { "somebody-else" } else { &id };
        self.say(stream, "201 Created", "", &format!("{{\"id\":\"{id}\"}}")).await
    }

    async fn read(&self, stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
        let read = stream.read_buf(input).await.ok().filter(|n| *n > 0);
        self.thawed().await;
        read.map(|_| ())
    }

    async fn say(&self, stream: &mut TcpStream, status: &str, more: &str, body: &str) -> Option<()> {
        self.thawed().await;
        let answer = format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok()
    }
}

/// What the fake fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The fronts of these numbers end.
    Kill(&'static [usize]),
    /// They stop; their sockets stay open.
    Freeze(&'static [usize]),
    /// They stop for this many milliseconds.
    Stall(&'static [usize], u64),
    /// Nothing happens, but something is reported as hit.
    Nothing,
    /// It fails half-way.
    Fail,
}

/// Something to go wrong from the fault on.
pub type Plant = Box<dyn FnOnce(&Wrong) + Send>;

/// A fault of the fakes, with the record of what the drill did with it.
pub struct FakeFault {
    pub fakes: Arc<Mutex<Fakes>>,
    pub how: How,
    /// Run right after the fault.
    pub after: Option<Plant>,
    /// It says that it hit a database's primary.
    pub primary: bool,
    pub heal_fails: u32,
    pub impossible: Option<String>,
    pub log: Arc<Mutex<Vec<&'static str>>>,
}

impl FakeFault {
    pub fn new(fakes: Fakes, how: How) -> FakeFault {
        FakeFault {
            fakes: Arc::new(Mutex::new(fakes)),
            how,
            after: None,
            primary: false,
            heal_fails: 0,
            impossible: None,
            log: Arc::default(),
        }
    }
}

impl Break for FakeFault {
    fn fault(&self) -> Fault {
        Fault { target: FaultTarget::Front, kind: FaultKind::Kill }
    }

    fn target(&self) -> String {
        "edge-b".to_owned()
    }

    fn impossible(&self) -> Option<String> {
        self.impossible.clone()
    }

    async fn inject(&mut self) -> Result<Injected, BreakError> {
        self.log.lock().unwrap().push("inject");
        let mut fakes = self.fakes.lock().unwrap();
        let at = Instant::now();
        let hit: &[usize] = match self.how {
            How::Kill(hit) => {
                hit.iter().for_each(|n| fakes.fronts[*n].kill());
                hit
            }
            How::Freeze(hit) => {
                hit.iter().for_each(|n| fakes.fronts[*n].freeze(true));
                hit
            }
            How::Stall(hit, ms) => {
                hit.iter().for_each(|n| fakes.fronts[*n].freeze(true));
                let fakes = self.fakes.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(ms));
                    hit.iter().for_each(|n| fakes.lock().unwrap().fronts[*n].freeze(false));
                });
                hit
            }
            How::Nothing => &[],
            How::Fail => return Err(BreakError::new("cannot freeze zone b")),
        };
        if let Some(after) = self.after.take() {
            after(&fakes.wrong);
        }
        let fronts = hit.iter().map(|n| fakes.fronts[*n].address).collect();
        let units = vec![UnitName::new("web-2").unwrap()];
        Ok(Injected { units, primary: self.primary, fronts, at })
    }

    async fn heal(&mut self) -> Result<(), BreakError> {
        self.log.lock().unwrap().push("heal");
        if self.heal_fails > 0 {
            self.heal_fails -= 1;
            return Err(BreakError::new("cannot thaw zone b"));
        }
        let fakes = self.fakes.lock().unwrap();
        fakes.fronts.iter().for_each(|front| front.freeze(false));
        Ok(())
    }
}
