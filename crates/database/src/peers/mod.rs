//! How the keepers of one database hear each other, and how they find out quickly that nobody is there any more.
//!
//! Promise: what [`Peers::seen`] says was heard was said by a holder of the key, to this node, on a connection that both
//! opened with fresh random numbers: a beat that was recorded, sent back, or taken from another connection counts for
//! nothing. When something was heard is told by this node's own clock. A peer that is frozen or cut off is silent, never
//! [`Peer::refused`]; and nothing a peer or a stranger does holds up another link.
//!
//! How: each keeper dials every other, and says on the connection that it dialled that it lives and whom it suspects:
//!
//! ```text
//! dialler    evkpeers01, its node, the node it wants, its nonce
//! listener   its nonce, HMAC-SHA256(key, "evkpeers01 listens", both nodes, both nonces)
//! dialler    every 100 ms: what it says, HMAC-SHA256(key, "evkpeers01 beats  ", both nodes, both nonces, count, what it says)
//! ```
//!
//! Each part has a fixed size, so that there is no length to lie about. The count is kept by both and never sent. The key
//! does not go over the wire. What is said is authenticated and **not encrypted**: whoever can read the wire learns that
//! the keepers live, which they can see from the beats' coming anyhow, and the number of a term, which is no secret.
//! Whoever can stop the wire can make a keeper silent, as with any protocol.
//!
//! A link that is lost is dialled again at once. While a peer is silent or its link is lost, its PostgreSQL is asked too:
//! a postmaster that answers an `SSLRequest` has forked a process, so it lives, whatever became of its keeper. When both
//! ports refuse connections, again and again for 50 ms, the host lives and says that neither process is there: nobody
//! needs to wait for silence to grow long. See [`decide::Door`].
//!
//! Deliberately absent: deciding anything (`Memory::judge` does), finding out where the peers are, more than one listening
//! address, changing peers or key while it runs (start it anew), and a way to send anything but beats.
//!
//! Entry points: [`start`], [`Peers::say`], [`Peers::seen`], [`Peers::changed`].

mod board;
pub mod decide;
mod dial;
mod error;
mod listen;
mod opening;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{NODES_MAX, NodeId, Term};
use tokio::sync::watch;
use world::{Clock, Spawner};

use crate::Peer;
use board::Board;
use opening::Key;

pub use error::PeersError;

/// The least bytes of a key: as many as its proofs have, so that guessing it is not easier than guessing them.
pub const KEY_BYTES_MIN: usize = 32;
/// A connection or an opening that takes longer has failed, in milliseconds. Above what a process that pauses for 350 ms
/// takes, and short enough to find a host that is back soon.
const ANSWER_MS: u64 = 500;

/// Where a peer is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its keeper listens for other keepers here.
    pub keeper: SocketAddr,
    /// Its PostgreSQL listens here.
    pub server: SocketAddr,
}

/// Who is to hear whom.
#[derive(Clone)]
pub struct PeersOptions {
    /// This node.
    pub me: NodeId,
    /// Where the others find this keeper.
    pub listen: SocketAddr,
    /// Every other node of the database.
    pub others: BTreeMap<NodeId, PeerAddress>,
    /// What all keepers of this database hold and nobody else: [`KEY_BYTES_MIN`] random bytes or more.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for PeersOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeersOptions")
            .field("me", &self.me)
            .field("listen", &self.listen)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

/// The other keepers, as this one hears them. Dropping it ends nothing: its tasks end with their owner.
#[derive(Debug)]
pub struct Peers {
    board: Arc<Board>,
    news: watch::Receiver<u64>,
}

/// Listens at `options.listen`, dials every other keeper and goes on until `tasks` are asked to stop. Must be called
/// within a tokio runtime.
///
/// An address that is not there yet, or still held by a predecessor, is tried again every 250 ms; the others are dialled
/// meanwhile.
///
/// # Errors
/// [`PeersError::Key`], [`PeersError::Nodes`] for options that cannot work; [`PeersError::Listen`] when the system does
/// not let this process listen there, whenever it tries.
pub fn start(options: PeersOptions, tasks: &Spawner, clock: Clock) -> Result<Peers, PeersError> {
    let PeersOptions { me, listen, others, key } = options;
    if key.len() < KEY_BYTES_MIN {
        return Err(PeersError::Key { bytes: key.len() });
    }
    let strange = |node: &NodeId| node.0 == 0 || node.0 > NODES_MAX;
    if strange(&me) || others.contains_key(&me) || others.keys().any(strange) {
        return Err(PeersError::Nodes { me, others: others.keys().copied().collect() });
    }
    let key = Key::new(&key);
    let board = Arc::new(Board::new(me, others.keys().copied(), clock));
    let listener = listen::bind(listen).map_err(|cause| PeersError::Listen { address: listen, cause })?;
    tasks.spawn("peers/listen", listen::run(listen, listener, board.clone(), key.clone(), tasks.clone()));
    for (node, at) in others {
        let (dials, asks) = (tasks.stop(), tasks.stop());
        tasks.spawn(
            format!("peers/dial/{node}"),
            dial::run(board.clone(), node, at.keeper, key.clone(), dials),
        );
        tasks.spawn(format!("peers/server/{node}"), server::run(board.clone(), node, at.server, asks));
    }
    let news = board.news();
    Ok(Peers { board, news })
}

impl Peers {
    /// Says to every other keeper whose primary this one takes for dead: at once when that has changed, and with every
    /// beat from then on.
    pub fn say(&self, suspects: Option<Term>) {
        self.board.say(suspects);
    }

    /// What is known of every other node now.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<NodeId, Peer> {
        self.board.seen()
    }

    /// Waits until there is news since the last call: a peer says something else of the primary, is refused or no longer,
    /// or a link was lost or found. Beats alone are none. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            // cannot happen: the board holds the sender, and is held here.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
