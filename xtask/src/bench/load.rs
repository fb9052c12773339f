//! An open-loop load over all fronts, with plain threads and blocking sockets: each request has its time, and is
//! sent at that time however slow the answers are. No request is ever sent twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::report::quantile;

/// Requests that can be open at once. At 400 requests/s with a twentieth of 1.2 s, about 30 are.
const WORKERS: usize = 160;
/// Stack of a worker in bytes.
const STACK: usize = 256 * 1024;
/// A connection that is not open by then has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A socket that is silent for this long has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const BODY_MAX: u64 = 1 << 20;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    /// Requests a second over all fronts.
    pub(super) rate: f64,
    /// Of 20 requests, this many write.
    pub(super) writes: u64,
    /// Of 20 requests, this many take 1.2 s.
    pub(super) slow: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Slow,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// When it was due, after the load's start.
    pub(super) due: Duration,
    /// From due to the end of the answer: a client that comes late adds its lateness, never hides it.
    took: Duration,
    /// How late it was sent.
    late: Duration,
    kind: Kind,
    id: String,
    /// Anything but the expected answer.
    pub(super) failure: Option<String>,
}

/// A running load.
pub(super) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    start: Instant,
    mix: Mix,
    prefix: String,
    fronts: Vec<Front>,
    next: AtomicU64,
    stop: AtomicBool,
    records: Mutex<Vec<Record>>,
}

struct Front {
    address: SocketAddr,
    /// Newest last, which is the one that is used next.
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Starts now.
    pub(super) fn start(fronts: &[SocketAddr], mix: Mix) -> Result<Load> {
        let fronts = fronts.iter().map(|address| Front { address: *address, idle: Mutex::default() });
        let shared = Arc::new(Shared {
            start: Instant::now(),
            mix,
            prefix: format!("bench-{}-{}", std::process::id(), unix_ms()),
            fronts: fronts.collect(),
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            records: Mutex::default(),
        });
        let mut load = Load { shared, workers: Vec::new() };
        for number in 0..WORKERS {
            let shared = load.shared.clone();
            let worker = std::thread::Builder::new().name(format!("load/{number}")).stack_size(STACK);
            load.workers.push(worker.spawn(move || shared.work()).context("cannot start a thread")?);
        }
        Ok(load)
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    /// Waits for what is open, and gives everything.
    pub(super) fn finish(mut self) -> Seen {
        self.end();
        Seen { records: std::mem::take(&mut *lock(&self.shared.records)) }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_secs_f64(number as f64 / self.mix.rate);
            std::thread::sleep(due.saturating_sub(self.start.elapsed()));
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let late = self.start.elapsed().saturating_sub(due);
            let kind = self.mix.kind(number);
            let id = format!("{}-{number}", self.prefix);
            let front = &self.fronts[number as usize % self.fronts.len()];
            let outcome = front.ask(kind, &id);
            let took = self.start.elapsed().saturating_sub(due);
            let failure = outcome.err().map(|why| format!("{kind:?} through {}: {why}", front.address));
            lock(&self.records).push(Record { due, took, late, kind, id, failure });
        }
    }
}

impl Mix {
    /// Spread over the fronts too: 7 and 20 have no common divisor, and neither has 3 with them.
    fn kind(&self, number: u64) -> Kind {
        let turn = number * 7 % 20;
        if turn < self.writes {
            Kind::Write
        } else if turn < self.writes + self.slow {
            Kind::Slow
        } else {
            Kind::Read
        }
    }
}

impl Front {
    fn ask(&self, kind: Kind, id: &str) -> Result<(), String> {
        let mut connection = match self.pooled() {
            Some(connection) => connection,
            None => self.connect().map_err(|error| format!("connect: {error}"))?,
        };
        let host = self.address;
        let (line, body) = match kind {
            Kind::Read => ("GET /products", String::new()),
            Kind::Slow => ("GET /slow?ms=1200", String::new()),
            Kind::Write => ("POST /orders", format!("{{\"id\":\"{id}\",\"item\":\"mug\"}}")),
        };
        let mut request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n");
        if kind == Kind::Write {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += &format!("\r\n{body}");
        connection.get_mut().write_all(request.as_bytes()).map_err(|error| format!("send: {error}"))?;
        let answer = read_answer(&mut connection)?;
        let wanted = if kind == Kind::Write { 201 } else { 200 };
        if answer.status != wanted {
            return Err(format!("status {}: {}", answer.status, answer.text().trim_end()));
        }
        if answer.body.is_empty() || (kind == Kind::Write && !answer.text().contains(id)) {
            return Err(format!("status {} with a wrong body", answer.status));
        }
        if answer.keep {
            lock(&self.idle).push(connection);
        }
        Ok(())
    }

    fn connect(&self) -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        stream.set_write_timeout(Some(SILENCE_LIMIT))?;
        Ok(BufReader::new(stream))
    }

    /// An idle connection that the front has not closed: whoever sends on a closed one has nobody to blame.
    fn pooled(&self) -> Option<BufReader<TcpStream>> {
        loop {
            let connection = lock(&self.idle).pop()?;
            if is_idle(connection.get_ref()) {
                return Some(connection);
            }
        }
    }
}

fn is_idle(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut byte));
    let blocking = stream.set_nonblocking(false).is_ok();
    blocking && matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    keep: bool,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

fn read_line(from: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    match from.take(8 * 1024).read_line(&mut line) {
        Ok(0) => Err("the connection ended without an answer".to_owned()),
        Ok(_) if line.ends_with('\n') => Ok(line.trim_end().to_owned()),
        Ok(_) => Err("the connection ended within the head".to_owned()),
        Err(error) => Err(format!("receive: {error}")),
    }
}

fn read_answer(from: &mut impl BufRead) -> Result<Answer, String> {
    let first = read_line(from)?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no answer: `{first}`"))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        let line = read_line(from)?.to_ascii_lowercase();
        let Some((name, value)) = line.split_once(':') else { break };
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse::<u64>().ok(),
            ("transfer-encoding", value) => chunked = value.contains("chunked"),
            ("connection", value) => keep = !value.contains("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = read_line(from)?;
            let size = size.split(';').next().and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
            let size = size.ok_or("a chunk without a size")?;
            read_body(from, size, &mut body)?;
            read_line(from)?;
            if size == 0 {
                break;
            }
        }
    } else {
        read_body(from, length.ok_or("an answer without a length")?, &mut body)?;
    }
    Ok(Answer { status, body, keep })
}

fn read_body(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<(), String> {
    if length > BODY_MAX {
        return Err(format!("a body of {length} bytes"));
    }
    let had = body.len() as u64;
    from.take(length).read_to_end(body).map_err(|error| format!("receive: {error}"))?;
    if body.len() as u64 - had < length {
        Err("the connection ended within the body".to_owned())
    } else {
        Ok(())
    }
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) records: Vec<Record>,
}

/// Figures of one stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) failed: usize,
    /// Of the short requests, in milliseconds.
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
    /// How late the client itself was, 99th percentile in milliseconds.
    pub(super) late_ms: Option<f64>,
}

impl Seen {
    /// Of the requests that were due in this stretch.
    pub(super) fn figures(&self, from: Duration, to: Duration) -> Figures {
        let within: Vec<&Record> = self.records.iter().filter(|r| (from..to).contains(&r.due)).collect();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let short = within.iter().filter(|r| r.kind != Kind::Slow && r.failure.is_none());
        let mut took: Vec<f64> = short.map(|r| ms(r.took)).collect();
        let mut late: Vec<f64> = within.iter().map(|r| ms(r.late)).collect();
        Figures {
            requests: within.len(),
            failed: within.iter().filter(|r| r.failure.is_some()).count(),
            p50_ms: quantile(&mut took, 0.5),
            p99_ms: quantile(&mut took, 0.99),
            max_ms: quantile(&mut took, 1.0),
            late_ms: quantile(&mut late, 0.99),
        }
    }

    /// The failures, alike ones counted once, when the first of them was due.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut found: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
        for record in &self.records {
            let Some(why) = &record.failure else { continue };
            let entry = found.entry(why).or_insert((0, record.due));
            *entry = (entry.0 + 1, entry.1.min(record.due));
        }
        found
            .iter()
            .map(|(why, (count, at))| format!("{count} x {why} (first at {:.1} s)", at.as_secs_f64()))
            .collect()
    }

    /// Acknowledged writes that are in no journal below `folder`, and orders of this load that were carried out
    /// more than once.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub(super) fn effects(&self, folder: &Path) -> Result<(usize, usize)> {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(path) = open.pop() {
            for entry in
                std::fs::read_dir(&path).with_context(|| format!("cannot read `{}`", path.display()))?
            {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else if entry.file_name() == "orders.journal" {
                    for line in std::fs::read_to_string(entry.path())?.lines() {
                        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                        *times.entry(value["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                    }
                }
            }
        }
        let writes = || self.records.iter().filter(|record| record.kind == Kind::Write);
        let lost = writes().filter(|r| r.failure.is_none() && !times.contains_key(&r.id)).count();
        let double = writes().filter(|r| times.get(&r.id).is_some_and(|times| *times > 1)).count();
        Ok((lost, double))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves `answers` one a request, closing the connection after each that is empty.
    fn serve(answers: &'static [&'static str]) -> (SocketAddr, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::thread::spawn(move || {
            let mut connections = 0;
            let mut answers = answers.iter();
            'connection: while answers.len() > 0 {
                let (stream, _) = listener.accept().unwrap();
                connections += 1;
                let mut stream = BufReader::new(stream);
                loop {
                    loop {
                        match read_line(&mut stream) {
                            Ok(line) if line.is_empty() => break,
                            Ok(_) => {}
                            Err(_) => continue 'connection,
                        }
                    }
                    let answer = answers.next().unwrap();
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                    if answers.len() == 0 || answer.ends_with("bye") {
                        continue 'connection;
                    }
                }
            }
            connections
        });
        (address, served)
    }

    fn front(address: SocketAddr) -> Front {
        Front { address, idle: Mutex::default() }
    }

    #[test]
    fn a_connection_that_was_closed_between_requests_fails_nobody() {
        let (address, served) = serve(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbye",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ]);
        let front = front(address);
        front.ask(Kind::Read, "1").unwrap();
        front.ask(Kind::Read, "2").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        front.ask(Kind::Read, "3").unwrap();
        assert_eq!(served.join().unwrap(), 2, "the first two requests shared a connection");
    }

    #[test]
    fn everything_but_the_expected_answer_is_a_failure() {
        for (answer, wanted) in [
            ("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull", "status 503: full"),
            ("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "status 204: "),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "status 200 with a wrong body"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the connection ended within the body"),
            ("HTTP/1.1 200 OK\r\nConte", "the connection ended within the head"),
            ("", "the connection ended without an answer"),
        ] {
            let text: &'static [&'static str] = Box::leak(Box::new([answer]));
            let (address, served) = serve(text);
            assert_eq!(front(address).ask(Kind::Read, "1").unwrap_err(), wanted);
            served.join().unwrap();
        }
        let (address, served) = serve(&["HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\nother"]);
        assert_eq!(front(address).ask(Kind::Write, "id-1").unwrap_err(), "status 201 with a wrong body");
        drop(served);
    }

    #[test]
    fn shares_are_kept_on_each_front() {
        let mix = Mix { rate: 1.0, writes: 4, slow: 1 };
        for front in 0..3 {
            let kinds: Vec<Kind> = (0..60).filter(|n| n % 3 == front).map(|n| mix.kind(n)).collect();
            let count = |kind| kinds.iter().filter(|one| **one == kind).count();
            assert_eq!((count(Kind::Write), count(Kind::Slow), count(Kind::Read)), (4, 1, 15));
        }
    }

    #[test]
    fn lost_and_double_orders_are_counted() {
        let folder = std::env::temp_dir().join(format!("evenkeel-effects-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("web-1")).unwrap();
        std::fs::write(
            folder.join("web-1/orders.journal"),
            "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"b\"}\n",
        )
        .unwrap();
        let record = |id: &str, failure: Option<&str>| Record {
            due: Duration::ZERO,
            took: Duration::ZERO,
            late: Duration::ZERO,
            kind: Kind::Write,
            id: id.to_owned(),
            failure: failure.map(str::to_owned),
        };
        let records =
            vec![record("a", None), record("b", Some("x")), record("c", None), record("d", Some("x"))];
        assert_eq!(Seen { records }.effects(&folder).unwrap(), (1, 1));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
