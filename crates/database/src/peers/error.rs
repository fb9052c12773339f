use std::io;
use std::net::SocketAddr;

use model::NodeId;
use store::Class;

use super::KEY_BYTES_MIN;

/// Why keepers cannot hear each other.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The key is too short to keep anybody out.
    #[error("the keepers' key has {bytes} bytes; it must have at least {KEY_BYTES_MIN}")]
    Key {
        /// How many it has.
        bytes: usize,
    },
    /// A node is its own peer, or a number is nobody's.
    #[error("node {me} cannot have the peers {others:?}: numbers go from 1 to {most}, each once", most = model::NODES_MAX)]
    Nodes {
        /// This node.
        me: NodeId,
        /// Its peers.
        others: Vec<NodeId>,
    },
    /// The system does not let this process listen there.
    #[error("cannot listen for other keepers at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

impl PeersError {
    /// May the caller try again? An address that may still come is tried again without asking, so what is left stays as
    /// it is until somebody changes it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            PeersError::Key { .. } | PeersError::Nodes { .. } | PeersError::Listen { .. } => Class::Permanent,
        }
    }
}
