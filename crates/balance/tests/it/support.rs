//! Replicas that can be told to fail, and a client that sees every byte.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use balance::{Front, FrontOptions, Tuning};
use model::{FrontSnapshot, Probe, RetryPolicy, ServiceName, UnitName, ZoneName};
use tokio::sync::watch;

/// How a replica behaves from now on.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
pub enum Mode {
    Fine,
    /// Connections stand, nothing is read, nothing is answered.
    Frozen,
    /// Requests have their effect, then the connection ends without an answer.
    DiesAfterEffect,
    /// Answers 500 to everything but its health check.
    Failing,
    /// Every answer takes 150 ms, the health check for ever.
    Saturated,
}

/// A replica in this process.
pub struct Replica {
    pub unit: String,
    pub address: SocketAddr,
    state: Arc<ReplicaState>,
}

struct ReplicaState {
    unit: String,
    mode: AtomicU8,
    effects: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Replica {
    pub fn start(unit: &str) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(ReplicaState {
            unit: unit.to_owned(),
            mode: AtomicU8::new(Mode::Fine as u8),
            effects: AtomicUsize::new(0),
            heads: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Replica { unit: unit.to_owned(), address, state }
    }

    /// A replica whose process is gone: nobody listens.
    pub fn dead(unit: &str) -> Replica {
        let mut replica = Replica::start(unit);
        replica.address = free_address();
        replica
    }

    pub fn be(&self, mode: Mode) {
        self.state.mode.store(mode as u8, SeqCst);
    }

    /// Requests that were carried out, health checks apart.
    pub fn effects(&self) -> usize {
        self.state.effects.load(SeqCst)
    }

    /// Request heads it has seen, health checks apart.
    pub fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }
}

impl ReplicaState {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(SeqCst) == mode as u8
    }

    fn wait_while_frozen(&self) {
        while self.is(Mode::Frozen) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(mut stream: TcpStream, state: &ReplicaState) {
    let mut input = Vec::new();
    stream.set_nodelay(true).unwrap();
    while let Some(head) = read_head(&mut stream, &mut input, state) {
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if target == "/healthz" {
            while state.is(Mode::Saturated) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            continue;
        }
        state.heads.lock().unwrap().push(head.clone());
        if !answer(&mut stream, &mut input, &head, &target, state) {
            return;
        }
    }
}

fn read_head(stream: &mut TcpStream, input: &mut Vec<u8>, state: &ReplicaState) -> Option<String> {
    loop {
        state.wait_while_frozen();
        if let Some(end) = find(input, b"\r\n\r\n") {
            let head = String::from_utf8(input.drain(..end + 4).collect()).unwrap();
            return Some(head);
        }
        fill(stream, input)?;
    }
}

fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut more = [0; 65536];
    match stream.read(&mut more) {
        Ok(count) if count > 0 => {
            input.extend_from_slice(&more[..count]);
            Some(())
        }
        _ => None,
    }
}

/// `false`: the connection is over.
fn answer(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    head: &str,
    target: &str,
    state: &ReplicaState,
) -> bool {
    if target == "/refuse-early" {
        let _ = stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return false;
    }
    if target == "/echo-stream" {
        return echo_stream(stream, input, head);
    }
    let Some(body) = read_body(stream, input, head) else { return false };
    state.effects.fetch_add(1, SeqCst);
    if state.is(Mode::DiesAfterEffect) {
        return false;
    }
    state.wait_while_frozen();
    if state.is(Mode::Failing) {
        return stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").is_ok();
    }
    if state.is(Mode::Saturated) {
        std::thread::sleep(Duration::from_millis(150));
    }
    if target == "/raw?extra-later" {
        let first = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\ncontent-le";
        let _ = stream.write_all(first);
        std::thread::sleep(Duration::from_millis(80));
        return stream.write_all(b"ngth: 6\r\n\r\npoison").is_ok();
    }
    let (path, argument) = target.split_once('?').unwrap_or((target, ""));
    let number = || argument.parse::<usize>().unwrap();
    let out = match path {
        "/echo" => ok(&body),
        "/big" => {
            let text = vec![b'x'; number()];
            ok(&text)
        }
        "/chunked" => chunked(&vec![b'y'; number()]),
        "/until-close" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nthe end is the end");
            return false;
        }
        "/cut" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            return false;
        }
        "/slow" => {
            std::thread::sleep(Duration::from_millis(number() as u64));
            ok(state.unit.as_bytes())
        }
        "/early-hints" => [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec(), ok(b"late")].concat(),
        "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/not-modified" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n".to_vec(),
        "/raw" => raw(argument),
        "/ws" => return websocket(stream),
        _ => ok(state.unit.as_bytes()),
    };
    // A head to a HEAD request says how long the body would have been.
    let out =
        if head.starts_with("HEAD ") { out[..find(&out, b"\r\n\r\n").unwrap() + 4].to_vec() } else { out };
    stream.write_all(&out).is_ok()
}

/// Responses no client should get to see.
fn raw(which: &str) -> Vec<u8> {
    match which {
        "two-lengths" => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy".to_vec(),
        "both" => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nx".to_vec(),
        "bare-lf" => b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx".to_vec(),
        "fold" => b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "gzip" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n".to_vec(),
        "switch" => {
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_vec()
        }
        "extra" => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison".to_vec(),
        "junk" => b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
        "hop" => b"HTTP/1.1 200 OK\r\nconnection: x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n".to_vec(),
        other => panic!("{other}"),
    }
}

fn websocket(stream: &mut TcpStream) -> bool {
    let accepted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(accepted).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(count) = stream.read(&mut bytes) {
        if count == 0 || stream.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    false
}

/// Sends each piece of the body back while the next is still on its way.
fn echo_stream(stream: &mut TcpStream, input: &mut Vec<u8>, head: &str) -> bool {
    let length = content_length(head).unwrap();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").unwrap();
    let mut left = length;
    while left > 0 {
        if input.is_empty() && fill(stream, input).is_none() {
            return false;
        }
        let piece: Vec<u8> = input.drain(..input.len().min(left)).collect();
        left -= piece.len();
        if stream.write_all(&piece).is_err() {
            return false;
        }
    }
    true
}

fn content_length(head: &str) -> Option<usize> {
    field(head, "content-length").map(|value| value.parse().unwrap())
}

/// The first value of a field of a head.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn read_body(stream: &mut TcpStream, input: &mut Vec<u8>, head: &str) -> Option<Vec<u8>> {
    if field(head, "transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let size = loop {
                if let Some(end) = find(input, b"\r\n") {
                    let line: Vec<u8> = input.drain(..end + 2).collect();
                    let text = String::from_utf8(line).unwrap();
                    let digits = text.trim().split(';').next().unwrap().to_owned();
                    break usize::from_str_radix(&digits, 16).unwrap();
                }
                fill(stream, input)?;
            };
            if size == 0 {
                while !input.starts_with(b"\r\n") {
                    match find(input, b"\r\n") {
                        Some(end) => drop(input.drain(..end + 2)),
                        None => fill(stream, input)?,
                    }
                }
                input.drain(..2);
                return Some(body);
            }
            while input.len() < size + 2 {
                fill(stream, input)?;
            }
            body.extend(input.drain(..size));
            input.drain(..2);
        }
    }
    let length = content_length(head).unwrap_or(0);
    while input.len() < length {
        fill(stream, input)?;
    }
    Some(input.drain(..length).collect())
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(7000) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// An address nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A front with its agent's end of the snapshot channel.
pub struct Stand {
    pub front: Option<Front>,
    pub address: SocketAddr,
    pub snapshots: watch::Sender<Arc<FrontSnapshot>>,
}

pub const POLICY: RetryPolicy =
    RetryPolicy { attempts: 3, budget: 0.2, attempt_timeout: model::Duration(5_000), retry_unsafe: false };

/// A snapshot with one listener, one service and these replicas; own zone is `a`.
pub fn snapshot(address: SocketAddr, replicas: &[&Replica], retry: RetryPolicy) -> FrontSnapshot {
    let service = ServiceName::new("web").unwrap();
    FrontSnapshot {
        revision: 1,
        zone: Some(ZoneName::new("a").unwrap()),
        listeners: vec![model::Listener {
            address,
            routes: vec![model::Route { host: None, to: service.clone() }],
        }],
        pools: vec![model::Pool {
            service,
            endpoints: replicas
                .iter()
                .map(|replica| model::Endpoint {
                    unit: UnitName::new(&replica.unit).unwrap(),
                    zone: ZoneName::new("a").unwrap(),
                    address: replica.address,
                    draining: false,
                })
                .collect(),
            probe: Probe::Http("/healthz".to_owned()),
            interval: model::Duration(1_000),
            timeout: model::Duration(500),
            retries: 2,
            retry,
        }],
    }
}

impl Stand {
    pub fn new(replicas: &[&Replica]) -> Stand {
        Stand::with(replicas, POLICY, Tuning::default())
    }

    pub fn with(replicas: &[&Replica], retry: RetryPolicy, tuning: Tuning) -> Stand {
        Stand::with_options(replicas, retry, tuning, FrontOptions { threads: 2, access_log: None })
    }

    pub fn with_options(
        replicas: &[&Replica],
        retry: RetryPolicy,
        tuning: Tuning,
        options: FrontOptions,
    ) -> Stand {
        let address = free_address();
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot(address, replicas, retry)));
        let front = Front::start_with(options, tuning, receiver);
        let stand = Stand { front: Some(front), address, snapshots };
        stand.wait("listening", |report| report.listen == [address] && report.applied == 1);
        // The threads take their sockets at their next tick.
        std::thread::sleep(Duration::from_millis(30));
        stand
    }

    pub fn report(&self) -> model::FrontReport {
        self.front.as_ref().unwrap().report()
    }

    #[track_caller]
    pub fn wait(&self, what: &str, is: impl Fn(&model::FrontReport) -> bool) -> Duration {
        let start = Instant::now();
        while !is(&self.report()) {
            assert!(start.elapsed() < Duration::from_secs(10), "not {what}: {:?}", self.report());
            std::thread::sleep(Duration::from_millis(2));
        }
        start.elapsed()
    }

    pub fn ejected(&self) -> Vec<String> {
        self.report().ejected.iter().map(ToString::to_string).collect()
    }

    pub fn counters(&self) -> model::ServiceCounters {
        self.report().counters[&ServiceName::new("web").unwrap()]
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.connect().ask(&format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    pub fn post(&self, target: &str, body: &str) -> Answer {
        let length = body.len();
        self.connect().ask(&format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub fn stop(&mut self, drain_ms: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.front.take().unwrap().stop(drain_ms));
    }
}

/// A client that sees every byte.
pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

/// A response as it came over the wire.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub fn fate(&self) -> &str {
        self.field("x-evenkeel-error").unwrap_or_default()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        Client { stream, input: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub fn ask(&mut self, request: &str) -> Answer {
        let to_head = request.starts_with("HEAD ");
        self.send(request);
        self.answer(to_head).expect("an answer")
    }

    /// The next response; `None` when the connection ended before it was whole.
    pub fn answer(&mut self, to_head: bool) -> Option<Answer> {
        let end = loop {
            match find(&self.input, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => fill(&mut self.stream, &mut self.input)?,
            }
        };
        let head = String::from_utf8(self.input.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let fields: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let without = to_head || status < 200 || status == 204 || status == 304;
        let sized = fields.contains_key("content-length") || fields.contains_key("transfer-encoding");
        let body = if without {
            Vec::new()
        } else if sized {
            read_body(&mut self.stream, &mut self.input, &head)?
        } else {
            while fill(&mut self.stream, &mut self.input).is_some() {}
            std::mem::take(&mut self.input)
        };
        Some(Answer { status, fields, body })
    }

    /// Whether the front closes the connection, and what came before.
    pub fn rest(&mut self) -> Vec<u8> {
        while fill(&mut self.stream, &mut self.input).is_some() {}
        std::mem::take(&mut self.input)
    }

    pub fn read_some(&mut self) -> Vec<u8> {
        if self.input.is_empty() {
            let _ = fill(&mut self.stream, &mut self.input);
        }
        std::mem::take(&mut self.input)
    }
}
