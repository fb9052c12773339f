//! The connections that other keepers dialled, and their beats.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::Moment;
use net::listener::AcceptErrors;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};
use world::Spawner;

use super::board::Board;
use super::opening::{self, BEAT_BYTES, Key};

/// An address that could not be had is tried again after this long, in milliseconds.
const LISTEN_AGAIN_MS: u64 = 250;
/// Connections that have not shown that they hold the key. One more shows the oldest of them out, so that strangers who
/// only sit there cannot keep a peer from being heard: that takes as many new ones within one round trip, again and again,
/// and then ends with the flood. Those that have are as many as there are peers.
pub(super) const STRANGERS_MAX: usize = 32;
/// A stranger must show that it holds the key within this time, in milliseconds: more than the dialler gives us.
const HELLO_MS: u64 = 2_000;
/// Strangers that were shown out are logged at most this often, in milliseconds: they must not fill a disk.
const STRANGERS_LOG_MS: u64 = 1_000;

/// Listens at `address`; `None` when it may come yet: the address is not there, or still held.
pub(super) fn bind(address: SocketAddr) -> io::Result<Option<TcpListener>> {
    match net::listener::open(address, 1) {
        Ok(mut listeners) => listeners.pop().map(TcpListener::from_std).transpose(),
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Hears everybody who dials, until the owner of `tasks` asks to stop.
pub(super) async fn run(
    address: SocketAddr,
    listener: Option<TcpListener>,
    board: Arc<Board>,
    key: Key,
    tasks: Spawner,
) {
    let stop = tasks.stop();
    let serve = async {
        let listener = match listener {
            Some(listener) => listener,
            None => wait_for(address).await,
        };
        accept(&listener, board, key, &tasks).await
    };
    tokio::select! {
        biased;
        () = stop.requested() => {}
        never = serve => match never {},
    }
}

async fn wait_for(address: SocketAddr) -> TcpListener {
    warn!(%address, "cannot listen for other keepers yet; trying again");
    loop {
        sleep(Duration::from_millis(LISTEN_AGAIN_MS)).await;
        match bind(address) {
            Ok(Some(listener)) => return listener,
            Ok(None) => {}
            Err(error) => debug!(%address, %error, "cannot listen for other keepers"),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    board: Arc<Board>,
    key: Key,
    tasks: &Spawner,
) -> std::convert::Infallible {
    let mut errors = AcceptErrors::default();
    // Each stranger's leave to stay; taking it away shows it out.
    let mut strangers: VecDeque<oneshot::Sender<()>> = VecDeque::with_capacity(STRANGERS_MAX);
    let (mut shown_out, mut told) = (0_u64, None::<Moment>);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection of another keeper");
                sleep(errors.pause(&error)).await;
                continue;
            }
        };
        errors.accepted();
        strangers.retain(|stranger| !stranger.is_closed());
        if strangers.len() >= STRANGERS_MAX {
            strangers.pop_front();
            shown_out += 1;
            let now = board.clock.now();
            if told.is_none_or(|told| now.ms_since(told) >= STRANGERS_LOG_MS) {
                warn!(shown_out, last_peer = %peer, "too many strangers where keepers listen");
                told = Some(now);
            }
        }
        let (leave, left) = oneshot::channel();
        strangers.push_back(leave);
        let (board, key, stop) = (board.clone(), key.clone(), tasks.stop());
        tasks.spawn(format!("peers/hear/{peer}"), async move {
            tokio::select! {
                biased;
                () = stop.requested() => {}
                () = hear(stream, peer, &board, &key, left) => {}
            }
        });
    }
}

/// One connection from its opening to its end.
async fn hear(
    mut stream: TcpStream,
    at: SocketAddr,
    board: &Board,
    key: &Key,
    shown_out: oneshot::Receiver<()>,
) {
    // Accepted sockets inherit `TCP_NODELAY`.
    let opening = opening::listen(&mut stream, key, board.me, |node| board.knows(node));
    let opened = tokio::select! {
        biased;
        _ = shown_out => return debug!(%at, "stranger shown out: too many of them"),
        opened = timeout(Duration::from_millis(HELLO_MS), opening) => opened,
    };
    let (peer, mut beats, said) = match opened {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return debug!(%at, "stranger shown out: it does not hold the key, or wants another"),
        Ok(Err(error)) => return debug!(%at, %error, "connection ended before its opening did"),
        Err(_) => return debug!(%at, "stranger shown out: too slow"),
    };
    let ear = board.heard_first(peer, said);
    let mut beat = [0; BEAT_BYTES];
    let why = loop {
        tokio::select! {
            biased;
            () = ear.over.requested() => break "a newer one took its place",
            read = stream.read_exact(&mut beat) => match read.map(|_| beats.read(&beat)) {
                Ok(Some(said)) if board.heard(&ear, said) => {}
                Ok(Some(_)) => break "a newer one took its place",
                Ok(None) => break "what came was no beat",
                Err(_) => break "the peer closed it",
            },
        }
    };
    board.unheard(&ear);
    debug!(%peer, %at, why, "connection of a peer ended");
}
