//! What a keeper says of its node, for its agent, the data front and people.

use model::{Lsn, NodeId, Record, Term, Warning};
use serde::{Deserialize, Serialize};

use super::note::Note;

/// What the server is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// No data yet.
    #[default]
    Empty,
    /// Being made or made again: a copy, a rewind.
    Making,
    /// It does not run.
    Stopped,
    /// It starts, or does not answer.
    Starting,
    /// It replays, cut off or not yet connected.
    Standby,
    /// It replays and receives from the primary of the newest term.
    Streaming,
    /// It writes; clients may not come in.
    Fenced,
    /// It writes and clients may come in.
    Open,
}

/// One standby as its primary sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The standby.
    pub node: NodeId,
    /// How far it is behind, in bytes of log not yet on its disk.
    pub lag_bytes: u64,
    /// Its acknowledgement counts.
    pub counts: bool,
}

/// A picture of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperStatus {
    /// The newest record this keeper knows; `None` before there is one. The data front serves from it.
    pub record: Option<Record>,
    /// Store revision of `record`.
    pub revision: u64,
    /// The term this node has promised.
    pub promised: Term,
    /// The server.
    pub server: ServerState,
    /// Where its log ends, as far as known.
    pub end: Option<Lsn>,
    /// On a primary: its standbys.
    pub standbys: Vec<Standing>,
    /// The rule that acted last.
    pub rule: String,
    /// The last thing worth telling a person: what failed, what is being waited for. Empty: nothing.
    pub detail: String,
    /// The first process of the server.
    pub server_pid: Option<u32>,
    /// What a person must know now, the oldest first.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// On a primary whose writes go on without a standby: log that it alone has, in bytes.
    #[serde(default)]
    pub only_here_bytes: Option<u64>,
    /// What somebody should see to on this node before it breaks something.
    #[serde(default)]
    pub notes: Vec<Note>,
}
