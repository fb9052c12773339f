//! The client's side of the connection: one task owns it; callers wait with a time-out of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use world::{Stop, Tasks};

use crate::kv::{Reply, Request};
use crate::opening::{self, Asked};
use crate::wire::{self, FrameReader, ReplyFrame, RequestFrame, WireError};
use crate::{Class, ClientOptions, Entry, StoreError, Token};

/// Calls that wait to be sent; beyond, callers wait for room within their time-out.
const QUEUE_MAX: usize = 256;
/// Opening a connection takes no longer than this, in milliseconds.
const CONNECT_MS: u64 = 400;
/// Waits between two tries to connect, in milliseconds: first and longest. Short, as a healed cut must be noticed
/// within an agent's lease.
const RECONNECT_MS: (u64, u64) = (10, 200);
/// A silent connection says that it is alive this often, in milliseconds; the server drops one that does not.
const PING_MS: u64 = 10_000;
/// The id of pings; their answers are for nobody.
const PING_ID: u64 = 0;

/// A call's way: it waits, then either its caller gives up or it is sent on a connection, numbered from 0.
const WAITING: u64 = 0;
const GIVEN_UP: u64 = 1;
const SENT: u64 = 2;

pub(crate) struct Client {
    calls: mpsc::Sender<Call>,
    shared: Arc<Shared>,
    timeout: Duration,
    /// Ends the connection with the last handle.
    _tasks: Tasks,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

struct Shared {
    address: SocketAddr,
    next_id: AtomicU64,
    pending: Mutex<BTreeMap<u64, Pending>>,
    /// Frames received so far: whether anything was heard since a request was sent.
    heard: AtomicU64,
    /// The connection that has to go because it is silent.
    silent: watch::Sender<Option<u64>>,
    /// Why there is no connection.
    trouble: Mutex<Trouble>,
}

#[derive(Clone, Debug)]
enum Trouble {
    No(String),
    NotOurStore,
}

struct Pending {
    reply: oneshot::Sender<Reply>,
    entries: Vec<Arc<Entry>>,
}

struct Call {
    id: u64,
    request: Request,
    way: Arc<Way>,
    reply: oneshot::Sender<Reply>,
}

struct Way {
    step: AtomicU64,
    heard_before: AtomicU64,
}

/// Forgets a call whose caller no longer waits.
struct Waiting<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.pending().remove(&self.id);
    }
}

impl Client {
    pub(crate) fn start(address: SocketAddr, token: Token, options: ClientOptions) -> Client {
        let (sender, calls) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            address,
            next_id: AtomicU64::new(PING_ID + 1),
            pending: Mutex::default(),
            heard: AtomicU64::new(0),
            silent: watch::Sender::new(None),
            trouble: Mutex::new(Trouble::No("not connected yet".to_owned())),
        });
        let tasks = Tasks::new();
        let work = Connection { shared: shared.clone(), token, stop: tasks.stop() };
        tasks.spawn("store/client", work.run(calls));
        let timeout = Duration::from_millis(options.timeout_ms);
        Client { calls: sender, shared, timeout, _tasks: tasks }
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let read = request.is_read();
        let limit = match &request {
            Request::Poll { wait_ms, .. } => self.timeout + Duration::from_millis(*wait_ms),
            _ => self.timeout,
        };
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let way = Arc::new(Way { step: AtomicU64::new(WAITING), heard_before: AtomicU64::new(0) });
        let (reply, answer) = oneshot::channel();
        let call = Call { id, request, way: way.clone(), reply };
        let _waiting = Waiting { id, shared: &self.shared };
        let exchange = async {
            // An error drops the call, which the answer shows.
            let _ = self.calls.send(call).await;
            answer.await
        };
        let why = match timeout(limit, exchange).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(_)) => "the connection was lost".to_owned(),
            Err(_) => format!("nothing within {} ms", limit.as_millis()),
        };
        let step = way.step.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        let Err(sent @ SENT..) = step else { return Err(self.shared.unreachable()) };
        if self.shared.heard.load(Ordering::Acquire) == way.heard_before.load(Ordering::Acquire) {
            // Not one byte since: after a cut the old connection would stay silent for many seconds more.
            self.shared.silent.send_replace(Some(sent - SENT));
        }
        let class = if read { Class::Transient } else { Class::Unknown };
        Err(StoreError::NoAnswer { address: self.shared.address.to_string(), why, class })
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreachable(&self) -> StoreError {
        let address = self.address.to_string();
        match self.trouble().clone() {
            Trouble::No(why) => StoreError::Unreachable { address, why },
            Trouble::NotOurStore => StoreError::NotOurStore { address },
        }
    }

    fn answered(&self, frame: ReplyFrame) {
        let mut pending = self.pending();
        let ReplyFrame { id, more, reply } = frame;
        match reply {
            Reply::Entries { entries, .. } if more => {
                if let Some(waiting) = pending.get_mut(&id) {
                    waiting.entries.extend(entries);
                }
            }
            reply => {
                let Some(mut waiting) = pending.remove(&id) else { return };
                let whole = match reply {
                    Reply::Entries { entries, revision } => {
                        wire::join(&mut waiting.entries, entries, revision)
                    }
                    reply => reply,
                };
                // The caller may have given up just now.
                let _ = waiting.reply.send(whole);
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    token: Token,
    stop: Stop,
}

impl Connection {
    async fn run(self, mut calls: mpsc::Receiver<Call>) {
        let mut wait_ms = RECONNECT_MS.0;
        let mut number = 0;
        loop {
            let opened = tokio::select! {
                biased;
                () = self.stop.requested() => return,
                opened = timeout(Duration::from_millis(CONNECT_MS), self.open()) => opened,
            };
            match opened.unwrap_or_else(|_| Err(Trouble::No(format!("nothing within {CONNECT_MS} ms")))) {
                Ok((reader, writer)) => {
                    wait_ms = RECONNECT_MS.0;
                    number += 1;
                    let why = self.exchange(number, reader, writer, &mut calls).await;
                    self.shared.pending().clear();
                    if self.stop.is_requested() {
                        return;
                    }
                    info!(address = %self.shared.address, why, "connection to the store lost");
                    *self.shared.trouble() = Trouble::No(why);
                }
                Err(trouble) => {
                    debug!(address = %self.shared.address, ?trouble, "cannot connect to the store");
                    let other = matches!(trouble, Trouble::NotOurStore);
                    let before = std::mem::replace(&mut *self.shared.trouble(), trouble);
                    // Once, not at every try. Calls wait on: the store may be back within their time.
                    if other && !matches!(before, Trouble::NotOurStore) {
                        warn!(address = %self.shared.address, "something else listens where the store should");
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.stop.requested() => return,
                () = sleep(Duration::from_millis(wait_ms)) => {}
            }
            wait_ms = (wait_ms * 2).min(RECONNECT_MS.1);
        }
    }

    async fn open(&self) -> Result<(OwnedReadHalf, OwnedWriteHalf), Trouble> {
        let no = |why: std::io::Error| Trouble::No(why.to_string());
        let mut stream = TcpStream::connect(self.shared.address).await.map_err(no)?;
        stream.set_nodelay(true).map_err(no)?;
        match opening::ask(&mut stream, &self.token).await.map_err(no)? {
            Asked::Welcome => Ok(stream.into_split()),
            Asked::NotOurStore => Err(Trouble::NotOurStore),
            Asked::Refused => Err(Trouble::No("it refused our proof of the token".to_owned())),
        }
    }

    async fn exchange(
        &self,
        number: u64,
        reader: OwnedReadHalf,
        writer: OwnedWriteHalf,
        calls: &mut mpsc::Receiver<Call>,
    ) -> String {
        let mut silent = self.shared.silent.subscribe();
        // Reading and writing go on beside each other: were one to wait for the other, two full socket buffers
        // would hold both ends for ever.
        tokio::select! {
            biased;
            () = self.stop.requested() => "stopped".to_owned(),
            _ = silent.wait_for(|silent| *silent == Some(number)) => "it is silent".to_owned(),
            error = self.read(reader) => error.to_string(),
            error = self.write(number, writer, calls) => error.to_string(),
        }
    }

    async fn read(&self, reader: OwnedReadHalf) -> WireError {
        let mut frames = FrameReader::new(reader);
        loop {
            match frames.next().await {
                Ok(frame) => {
                    self.shared.heard.fetch_add(1, Ordering::AcqRel);
                    self.shared.answered(frame);
                }
                Err(error) => return error,
            }
        }
    }

    async fn write(
        &self,
        number: u64,
        mut writer: OwnedWriteHalf,
        calls: &mut mpsc::Receiver<Call>,
    ) -> WireError {
        loop {
            let frame = match timeout(Duration::from_millis(PING_MS), calls.recv()).await {
                Ok(None) => return WireError::Closed,
                Ok(Some(call)) => match self.sending(number, call) {
                    Some(frame) => frame,
                    None => continue,
                },
                Err(_) => RequestFrame { id: PING_ID, request: Request::Ping },
            };
            let bytes = match wire::frame(&frame) {
                Ok(bytes) => bytes,
                Err(error) => return error,
            };
            if let Err(error) = writer.write_all(&bytes).await {
                return error.into();
            }
        }
    }

    /// From here on the request counts as sent, unless its caller gave up before.
    fn sending(&self, number: u64, call: Call) -> Option<RequestFrame> {
        let Call { id, request, way, reply } = call;
        way.heard_before.store(self.shared.heard.load(Ordering::Acquire), Ordering::Release);
        let step = way.step.compare_exchange(WAITING, SENT + number, Ordering::AcqRel, Ordering::Acquire);
        if step.is_err() || reply.is_closed() {
            return None;
        }
        self.shared.pending().insert(id, Pending { reply, entries: Vec::new() });
        Some(RequestFrame { id, request })
    }
}
