//! The connection this node dials to a peer, and its own beats on it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::NodeId;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use world::Stop;

use super::ANSWER_MS;
use super::board::{Board, Port};
use super::decide::{Answer, QUICK_FOR_MS};
use super::opening::{self, Beats, Key, Said};
use crate::BEAT_MS;

/// The kernel may repeat a beat that nobody acknowledges for this long, in milliseconds (`TCP_USER_TIMEOUT`, tcp(7)).
/// Without it the pauses between repetitions grow with the outage, and after a cut of a minute the peer would hear
/// nothing for another; what waited would then come all at once, as if it had just been said.
const UNACKNOWLEDGED_MS: u64 = 500;
/// A connection that is not answered by then, in milliseconds, is asked for once more beside the first: the kernel repeats a
/// lost SYN only after a second, and a short cut would outlast its end by that. Still far above a zone's round trip.
const ASKED_AGAIN_MS: u64 = 200;

/// Dials `peer` whenever the connection is not there, and beats while it is.
pub(super) async fn run(board: Arc<Board>, peer: NodeId, at: SocketAddr, key: Key, stop: Stop) {
    tokio::select! {
        biased;
        () = stop.requested() => {}
        never = keep(&board, peer, at, &key) => match never {},
    }
}

async fn keep(board: &Board, peer: NodeId, at: SocketAddr, key: &Key) -> std::convert::Infallible {
    // Said once until it is linked: whoever waits for a peer asks ten times a second.
    let mut warned = false;
    let mut steady = true;
    loop {
        let began = board.clock.now();
        match open(board, peer, at, key).await {
            Ok(Some((stream, beats))) => {
                if steady {
                    info!(%peer, %at, "linked to the keeper of a peer");
                }
                warned = false;
                board.linked(peer, true);
                let error = speak(board, stream, beats).await;
                // One that ends as soon as it is there, over and over, is worth neither a hurry nor a line each time.
                steady = board.clock.now().ms_since(began) >= QUICK_FOR_MS;
                if steady {
                    board.hurry(peer);
                    info!(%peer, %at, %error, "link to the keeper of a peer lost");
                }
                board.linked(peer, false);
            }
            Ok(None) => {
                if !std::mem::replace(&mut warned, true) {
                    warn!(%peer, %at, "who answers there does not hold the keepers' key, or is another node");
                }
            }
            Err(error) => debug!(%peer, %at, %error, "no link to the keeper of a peer"),
        }
        board.clock.sleep_until(board.next(peer, Port::Keeper, began)).await;
    }
}

/// Connects; says to the board how the port answered as soon as that is known.
async fn open(
    board: &Board,
    peer: NodeId,
    at: SocketAddr,
    key: &Key,
) -> io::Result<Option<(TcpStream, Beats)>> {
    let limit = Duration::from_millis(ANSWER_MS);
    let mut stream = connect(board, peer, Port::Keeper, at).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_millis(UNACKNOWLEDGED_MS)))?;
    let beats = timeout(limit, opening::dial(&mut stream, key, board.me, peer)).await??;
    Ok(beats.map(|beats| (stream, beats)))
}

/// A connection to one of the ports of `peer`.
pub(super) async fn connect(
    board: &Board,
    peer: NodeId,
    port: Port,
    at: SocketAddr,
) -> io::Result<TcpStream> {
    let limit = Duration::from_millis(ANSWER_MS);
    let connected = match timeout(limit, ask(at)).await {
        Ok(Ok(stream)) if is_itself(&stream) => Err(io::ErrorKind::ConnectionRefused.into()),
        Ok(connected) => connected,
        Err(late) => Err(late.into()),
    };
    let answer = match &connected {
        Ok(_) => Answer::Accepted,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Answer::Refused,
        Err(_) => Answer::Nothing,
    };
    board.answered(peer, port, answer);
    connected
}

/// The first answer of two connections, the second of which is asked for a moment later.
async fn ask(at: SocketAddr) -> io::Result<TcpStream> {
    let again = async {
        tokio::time::sleep(Duration::from_millis(ASKED_AGAIN_MS)).await;
        TcpStream::connect(at).await
    };
    tokio::select! {
        biased;
        first = TcpStream::connect(at) => first,
        second = again => second,
    }
}

/// On one machine the kernel may give a connection the very port it dials as its own; TCP then connects it to itself
/// (RFC 9293, 3.5, simultaneous open), which says that nobody listens there.
fn is_itself(stream: &TcpStream) -> bool {
    stream.local_addr().is_ok_and(|own| stream.peer_addr().is_ok_and(|peer| own == peer))
}

/// Beats until the connection ends; why it did.
async fn speak(board: &Board, mut stream: TcpStream, mut beats: Beats) -> io::Error {
    let (mut reader, mut writer) = stream.split();
    let mut said = board.said();
    let mut unasked = [0; 1];
    let gone = reader.read(&mut unasked);
    tokio::pin!(gone);
    loop {
        let suspects = Said(*said.borrow_and_update());
        let beat = beats.write(suspects);
        // A frozen peer's buffers are full one day.
        match timeout(Duration::from_millis(ANSWER_MS), writer.write_all(&beat)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(late) => return late.into(),
        }
        // Counted from now: beats that came late are not made up for.
        let next = board.clock.sleep_ms(BEAT_MS);
        tokio::select! {
            biased;
            ended = &mut gone => return match ended {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "it spoke on a connection it only hears"),
                Err(error) => error,
            },
            // The sender lives on the board.
            _ = said.changed() => {}
            () = next => {}
        }
    }
}
