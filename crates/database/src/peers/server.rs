//! Asks the PostgreSQL of a peer whether it lives, while its keeper does not say so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;
use world::Stop;

use super::ANSWER_MS;
use super::board::{Board, Port};
use super::dial::connect;

/// A server that takes connections is asked this often at most, in milliseconds: each time it forks a process.
const SERVER_MS: u64 = 200;
/// Asks whether the server speaks TLS (PostgreSQL 15, 55.7 "Message Formats", SSLRequest). The postmaster forks a process
/// before it reads this, and that process answers with one byte, needs no login and logs nothing when we then leave.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks the server of `peer` while its keeper is silent or not linked.
pub(super) async fn run(board: Arc<Board>, peer: NodeId, at: SocketAddr, stop: Stop) {
    let Some(mut link) = board.link(peer) else { return };
    loop {
        link.mark_unchanged();
        let wanted = board.server_wanted(peer);
        if wanted > board.clock.now() {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                // The sender lives on the board.
                _ = link.changed() => {}
                () = board.clock.sleep_until(wanted) => {}
            }
            continue;
        }
        let began = board.clock.now();
        let asked = tokio::select! {
            biased;
            () = stop.requested() => return,
            asked = ask(&board, peer, at) => asked,
        };
        if let Err(error) = &asked.answer {
            debug!(%peer, %at, %error, "the server of a silent peer gives no sign of life");
        }
        let next = board.next(peer, Port::Server, began);
        let next = if asked.accepted { next.max(began.plus(SERVER_MS)) } else { next };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = board.clock.sleep_until(next) => {}
        }
    }
}

struct Asked {
    /// The kernel there took the connection.
    accepted: bool,
    answer: io::Result<()>,
}

async fn ask(board: &Board, peer: NodeId, at: SocketAddr) -> Asked {
    let mut stream = match connect(board, peer, Port::Server, at).await {
        Ok(stream) => stream,
        Err(error) => return Asked { accepted: false, answer: Err(error) },
    };
    let speak = async {
        stream.write_all(&SSL_REQUEST).await?;
        match stream.read_u8().await? {
            b'S' | b'N' => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "that is no PostgreSQL")),
        }
    };
    let answer = match timeout(Duration::from_millis(ANSWER_MS), speak).await {
        Ok(answer) => answer,
        Err(late) => Err(late.into()),
    };
    if answer.is_ok() {
        board.server_heard(peer);
    }
    Asked { accepted: true, answer }
}
