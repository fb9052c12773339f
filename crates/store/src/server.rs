//! The embedded store on TCP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use world::{Clock, Limits, Stop, Tasks};

use crate::host::{Answer, Host, Job, Sink, Turns};
use crate::kv::{History, Reply, Request};
use crate::opening;
use crate::wire::{self, FrameReader, RequestFrame, WireError};
use crate::{Refusal, StoreError, Token};

/// Connections of peers that have shown that they hold the token: three zones, the supervisor and the commands take ten.
const CONNECTIONS_MAX: usize = 64;
/// Connections that have not yet. One more shows the oldest of them out, so that strangers who only sit there cannot
/// keep an agent from showing that it holds the token.
const STRANGERS_MAX: usize = 32;
/// A stranger must show that it holds the token within this time, in milliseconds.
const HELLO_MS: u64 = 2_000;
/// Strangers that were shown out are logged at most this often, in milliseconds: they must not fill a disk.
const STRANGERS_LOG_MS: u64 = 1_000;
/// A peer that sends nothing for this long is gone, in milliseconds; ours sends a ping every 10 s.
const SILENT_MS: u64 = 30_000;
/// A peer that does not take its answers for this long is gone, in milliseconds.
const WRITE_MS: u64 = 5_000;
/// Requests of one connection that are being answered; then no more are read from it.
const OPEN_MAX: usize = 512;
/// Requests of all connections that wait for the state; beyond, they are answered "busy".
const QUEUE_MAX: usize = 2_048;
/// After a failed accept (no more file descriptors), in milliseconds.
const ACCEPT_RETRY_MS: u64 = 100;
/// For connections to end at a stop.
const SHUTDOWN: Limits = Limits { grace_ms: 1_000, abort_ms: 500 };

/// Where and with what a store is served.
#[derive(Debug)]
pub struct ServeOptions {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The file; made when it is missing.
    pub path: PathBuf,
    /// What clients must hold.
    pub token: Token,
    /// Told the bound address as soon as clients may connect.
    pub bound: Option<oneshot::Sender<SocketAddr>>,
    /// Times leases; a test may hold it.
    pub clock: Clock,
    pub(crate) history: History,
}

impl ServeOptions {
    /// Served at `listen` from the file at `path`, on the machine's clock.
    #[must_use]
    pub fn new(listen: SocketAddr, path: PathBuf, token: Token) -> ServeOptions {
        ServeOptions { listen, path, token, bound: None, clock: Clock::real(), history: History::default() }
    }
}

/// Serves a store until `stop` is requested.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Foreign`], [`StoreError::Damaged`], [`StoreError::Open`] and
/// [`StoreError::Listen`] at the start; [`StoreError::Disk`] when a write fails: then nothing was acknowledged since,
/// every connection is closed, and the process should end and be started again.
pub async fn serve(options: ServeOptions, stop: Stop) -> Result<(), StoreError> {
    let ServeOptions { listen, path, token, bound, clock, history } = options;
    let (jobs, queue) = sync_channel(QUEUE_MAX);
    let (opened, is_open) = oneshot::channel();
    let (ended, mut has_ended) = oneshot::channel();
    // A thread of its own: a sync may take long, and no connection should wait for it on its runtime thread.
    let thread = std::thread::Builder::new().name("store-disk".to_owned());
    let work = move || match Host::open(&path, history, clock.now()) {
        Ok(host) => {
            let _ = opened.send(Ok(host.revision()));
            // The receiver is there as long as anybody cares.
            let _ = ended.send(Turns::new(host, clock).run(&queue));
        }
        Err(error) => {
            let _ = opened.send(Err(error));
        }
    };
    let internal = |part| StoreError::Internal { part };
    thread.spawn(work).map_err(|_| internal("disk thread"))?;
    let revision = is_open.await.map_err(|_| internal("disk thread"))??;
    let cannot = |cause| StoreError::Listen { address: listen, cause };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    info!(%address, revision, "store serves");
    if let Some(bound) = bound {
        // Whoever asked may have gone.
        let _ = bound.send(address);
    }
    let tasks = Tasks::new();
    let strangers = Arc::new(Strangers::default());
    let (tally, over) = (strangers.clone(), tasks.stop());
    tasks.spawn("store/strangers", async move {
        tokio::select! {
            biased;
            () = over.requested() => {}
            never = tally.tell(log_strangers) => match never {},
        }
    });
    let door = Door { token, jobs, connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), strangers };
    let outcome = tokio::select! {
        biased;
        () = stop.requested() => None,
        ended = &mut has_ended => Some(ended),
        never = accept(&listener, door, &tasks) => match never {},
    };
    drop(listener);
    tasks.shutdown(SHUTDOWN).await;
    // With the last connection the last sender is gone, so the thread finishes what it holds and ends.
    let ended = match outcome {
        Some(ended) => ended,
        None => has_ended.await,
    };
    ended.unwrap_or_else(|_| Err(internal("disk thread")))
}

/// What a connection needs; its end lets the disk thread end.
#[derive(Clone)]
struct Door {
    token: Token,
    jobs: SyncSender<Job>,
    connections: Arc<Semaphore>,
    strangers: Arc<Strangers>,
}

/// Those who were shown out since it was last told.
#[derive(Default)]
struct Strangers {
    shown_out: Mutex<ShownOut>,
    news: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ShownOut {
    count: u64,
    /// One of them stands for all.
    last: Option<(SocketAddr, &'static str)>,
}

impl Strangers {
    fn shown_out(&self, peer: SocketAddr, why: &'static str) {
        let mut shown_out = self.shown_out.lock().unwrap_or_else(PoisonError::into_inner);
        shown_out.count += 1;
        shown_out.last = Some((peer, why));
        drop(shown_out);
        self.news.notify_one();
    }

    /// The first at once; those who come after it together, so that none is left out.
    async fn tell(&self, mut say: impl FnMut(ShownOut)) -> std::convert::Infallible {
        loop {
            self.news.notified().await;
            say(std::mem::take(&mut *self.shown_out.lock().unwrap_or_else(PoisonError::into_inner)));
            sleep(Duration::from_millis(STRANGERS_LOG_MS)).await;
        }
    }
}

fn log_strangers(ShownOut { count, last }: ShownOut) {
    if let Some((peer, why)) = last {
        warn!(count, last_peer = %peer, last_why = why, "strangers shown out");
    }
}

async fn accept(listener: &TcpListener, door: Door, tasks: &Tasks) -> std::convert::Infallible {
    // Each stranger's leave to stay; taking it away shows it out.
    let mut strangers: VecDeque<oneshot::Sender<()>> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                continue;
            }
        };
        strangers.retain(|stranger| !stranger.is_closed());
        if strangers.len() >= STRANGERS_MAX {
            strangers.pop_front();
        }
        let (leave, shown_out) = oneshot::channel();
        strangers.push_back(leave);
        let (door, stop) = (door.clone(), tasks.stop());
        tasks.spawn(format!("store/peer/{peer}"), async move {
            tokio::select! {
                biased;
                () = stop.requested() => {}
                () = receive(stream, peer, door, shown_out) => {}
            }
        });
    }
}

/// One connection from its opening to its end.
async fn receive(mut stream: TcpStream, peer: SocketAddr, door: Door, shown_out: oneshot::Receiver<()>) {
    let greeted = tokio::select! {
        biased;
        _ = shown_out => return door.strangers.shown_out(peer, "too many strangers"),
        greeted = timeout(Duration::from_millis(HELLO_MS), greet(&mut stream, &door.token)) => greeted,
    };
    match greeted {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return door.strangers.shown_out(peer, "does not hold the token"),
        Ok(Err(error)) => return debug!(%peer, %error, "connection ended before its opening did"),
        Err(_) => return door.strangers.shown_out(peer, "too slow"),
    }
    let Ok(_place) = door.connections.clone().try_acquire_owned() else {
        return warn!(%peer, most = CONNECTIONS_MAX, "too many connections; closed");
    };
    let error = converse(stream, door.jobs).await;
    debug!(%peer, %error, "connection ended");
}

/// Reads the opening; `false`: it is not ours to talk to.
async fn greet(stream: &mut TcpStream, token: &Token) -> Result<bool, std::io::Error> {
    stream.set_nodelay(true)?;
    opening::answer(stream, token).await
}

async fn converse(stream: TcpStream, jobs: SyncSender<Job>) -> WireError {
    let (reader, writer) = stream.into_split();
    let (answers, outgoing) = mpsc::channel(OPEN_MAX);
    tokio::select! {
        biased;
        error = listen(reader, &jobs, answers) => error,
        error = answer(writer, outgoing) => error,
    }
}

async fn listen(reader: OwnedReadHalf, jobs: &SyncSender<Job>, answers: mpsc::Sender<Answer>) -> WireError {
    let mut frames = FrameReader::new(reader);
    loop {
        // Without a place for the answer the request is left in the socket, so the peer feels it.
        let Ok(place) = answers.clone().reserve_owned().await else { return WireError::Closed };
        let next = timeout(Duration::from_millis(SILENT_MS), frames.next::<RequestFrame>()).await;
        let RequestFrame { id, request } = match next {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error,
            Err(_) => return WireError::Closed,
        };
        let sink = Sink { id, place };
        match request {
            Request::Ping => sink.send(Reply::Pong),
            // Watches hold their place for seconds; the other half is for requests that are answered at once.
            Request::Poll { wait_ms, .. } if wait_ms > 0 && answers.capacity() < OPEN_MAX / 2 => {
                sink.send(Reply::Refused(Refusal::Busy));
            }
            request => match jobs.try_send(Job { request, sink }) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => job.sink.send(Reply::Refused(Refusal::Busy)),
                Err(TrySendError::Disconnected(_)) => return WireError::Closed,
            },
        }
    }
}

async fn answer(mut writer: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Answer>) -> WireError {
    while let Some((id, reply)) = outgoing.recv().await {
        for part in wire::parts(id, reply) {
            let bytes = match wire::frame(&part) {
                Ok(bytes) => bytes,
                Err(error) => return error,
            };
            match timeout(Duration::from_millis(WRITE_MS), writer.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return WireError::Closed,
            }
        }
    }
    WireError::Closed
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
