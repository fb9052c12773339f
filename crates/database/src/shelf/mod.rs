//! How a node with data gets from a witness what only that one has.
//!
//! Promise: a log is given to a holder of the keepers' key alone, sealed on the way, and only while the witness is cut off
//! in the very term that was asked for; what is taken lies in a folder of its own, whole, until all of it is there and its
//! records reach as far as the witness had told. What came over a wire that broke is gone on with at the next try.
//!
//! ```text
//! dialler    evkshelf01, its node, the node it wants, a public key made for this connection
//! listener   a public key made for this connection, HMAC-SHA256(key, "evkshelf01 gives ", both nodes, both public keys)
//! dialler    HMAC-SHA256(key, "evkshelf01 takes ", the same)
//! from here  frames: length, AES-256-GCM under a key of each direction, from both public keys (X25519) and the keepers' key
//! dialler    the term, where its log ends, where the witness's does    listener  the files, or why not
//! dialler    the number of one of them, again and again                listener  its bytes
//! ```
//!
//! A connection's keys are gone with it: whoever comes by the keepers' key later reads nothing of what was recorded. Names
//! come from the listener and are checked; the dialler asks by number, so no path goes that way.
//!
//! Deliberately absent: deciding whether to take (the rules do), and laying in ([`crate::instance::Instance::lay_in`]).
//!
//! Entry points: [`serve`], [`take`].

mod channel;
pub mod decide;
mod error;
mod give;
mod taking;

use std::net::SocketAddr;

use model::{Lsn, NodeId, Term};
use serde::{Deserialize, Serialize};

pub use decide::{FileNote, Offer};
pub use error::ShelfError;
pub use give::{Giver, serve};
pub use taking::take;

/// A connection that neither gives nor takes a part for this long is over, in milliseconds: a disk may be slow, and the
/// election waits.
const IDLE_MS: u64 = 5_000;

/// What a node with data lacks.
#[derive(Clone, Debug)]
pub struct Lack {
    /// This node.
    pub me: NodeId,
    /// The witness.
    pub node: NodeId,
    /// Where it gives.
    pub at: SocketAddr,
    /// The election's term.
    pub term: Term,
    /// Where the own log ends.
    pub from: Lsn,
    /// Where the witness's does.
    pub upto: Lsn,
}

/// What the dialler says first.
#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    term: Term,
    from: Lsn,
    upto: Lsn,
}

/// What the listener answers to [`Ask`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Files(Vec<FileNote>),
    Refused(String),
}

#[cfg(test)]
mod tests;
