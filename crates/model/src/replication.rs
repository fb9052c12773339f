//! The nouns of a replicated database: terms, positions in the log, quorums, the record that all keepers share.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Lsn;

/// Counts the reigns of primaries, from 1; 0 is "none yet". Only the store hands out a new one, by compare-and-set.
pub type Term = u64;

/// A data node of one database: `NodeId(2)` is the unit `db-2`. Small and ordered, so that a state of the whole cluster
/// can be compared and hashed millions of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u8);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Most data nodes of one database; their numbers go from 1 to this.
pub const NODES_MAX: u8 = 15;

/// A set of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<NodeId>", into = "Vec<NodeId>")]
pub struct Nodes(u16);

impl Nodes {
    /// Nobody.
    pub const NONE: Nodes = Nodes(0);

    /// With `node` in it. A number above [`NODES_MAX`] is nobody's and adds nothing.
    #[must_use]
    pub fn with(self, node: NodeId) -> Nodes {
        if node.0 > NODES_MAX { self } else { Nodes(self.0 | 1 << node.0) }
    }

    /// Without `node`.
    #[must_use]
    pub fn without(self, node: NodeId) -> Nodes {
        if node.0 > NODES_MAX { self } else { Nodes(self.0 & !(1 << node.0)) }
    }

    /// Whether `node` is in it.
    #[must_use]
    pub fn has(self, node: NodeId) -> bool {
        node.0 <= NODES_MAX && self.0 & (1 << node.0) != 0
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn minus(self, other: Nodes) -> Nodes {
        Nodes(self.0 & !other.0)
    }

    /// How many.
    #[must_use]
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether it is nobody.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..=NODES_MAX).map(NodeId).filter(move |node| self.has(*node))
    }
}

impl FromIterator<NodeId> for Nodes {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Nodes {
        nodes.into_iter().fold(Nodes::NONE, Nodes::with)
    }
}

impl From<Vec<NodeId>> for Nodes {
    fn from(nodes: Vec<NodeId>) -> Nodes {
        nodes.into_iter().collect()
    }
}

impl From<Nodes> for Vec<NodeId> {
    fn from(nodes: Nodes) -> Vec<NodeId> {
        nodes.iter().collect()
    }
}

/// How far a node's log reaches. Ordered: of two nodes, the one with the newer term has everything that was ever
/// acknowledged in an older one (`docs/decisions/`), and within a term there is one log, of its one primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The term whose primary wrote the last of it.
    pub term: Term,
    /// Where it ends.
    pub lsn: Lsn,
}

/// One primary's time: who, from which log it grew, and where it left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reign {
    /// Its term.
    pub term: Term,
    /// Its primary.
    pub node: NodeId,
    /// The term whose log it continues; 0 for the first.
    pub base: Term,
    /// Up to here its log is that of `base`. An upper bound until it serves, then exact.
    pub fork: Lsn,
    /// It came to serve: a quorum held its first record, and clients were let in.
    pub served: bool,
}

/// Who may acknowledge commits of one primary: any `need` of `members`, beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quorum {
    /// Whose.
    pub primary: NodeId,
    /// In which term. Standbys stream under a name that holds it, so that an acknowledgement counts in one term only.
    pub term: Term,
    /// The standbys that count.
    pub members: Nodes,
    /// How many of them must have a commit on disk; 0: none, a commit is the primary's alone.
    pub need: u32,
}

impl Quorum {
    /// Whether `heard` must hold, among them, everything this quorum has acknowledged and can prevent it from
    /// acknowledging more: the primary itself has all; else too few standbys are left to make up `need`.
    #[must_use]
    pub fn is_settled_by(&self, heard: Nodes) -> bool {
        heard.has(self.primary) || self.members.minus(heard).len() < self.need
    }
}

/// What a node's data directory is good for, as its keeper tells the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// Nothing: never filled.
    #[default]
    Empty,
    /// About to be thrown away and made again, or being so.
    Remaking,
    /// A log that counts.
    Log,
}

/// What one keeper tells all others. Written by it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeDoc {
    /// What the node's keeper has promised as of this report.
    pub promised: Term,
    /// Where its log ended when it had cut itself off for `promised`; it receives nothing more in older terms. `None`:
    /// not cut off yet, or there is no log.
    pub end: Option<Position>,
    /// The state of its data.
    pub holding: Holding,
    /// The term in which its server is a primary that others can copy; 0: it is none.
    pub primary_of: Term,
    /// The primary has made a checkpoint in that term, so `pg_rewind` sees the new timeline.
    pub rewindable: bool,
    /// Where its log begins: of a witness, which has no data that holds what came before; the highest place while it has
    /// received nothing. Zero of a node with data.
    #[serde(default)]
    pub from: Lsn,
}

/// Where the cluster stands between two primaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum ReignPhase {
    /// Everybody cuts itself off from older primaries and reports its log.
    Electing {
        /// Who should win if it can: a switch somebody asked for.
        preferred: Option<NodeId>,
    },
    /// The winner promotes its server; nobody may use it yet.
    Promoting {
        /// The winner.
        primary: NodeId,
    },
    /// Clients are served.
    Serving {
        /// The primary.
        primary: NodeId,
        /// Hand over to this node: fronts hold new connections, the primary ends the open ones.
        handover: Option<NodeId>,
    },
}

/// The right of one primary to serve for a while: a document of the store beside the record, in lease mode alone. Each
/// renewal is a new revision of it; what is in it is for people and for the loss that can be stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// In which term.
    pub term: Term,
    /// Whose.
    pub node: NodeId,
    /// Where its log ended when it renewed.
    pub flush: Lsn,
}

/// What all keepers share: one document of the store, changed by compare-and-set alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The newest term.
    pub term: Term,
    /// How far it is.
    #[serde(flatten)]
    pub phase: ReignPhase,
    /// Every quorum that may have acknowledged something the next primary must have. One while serving; an election
    /// must settle all of them.
    pub quorums: Vec<Quorum>,
    /// Every reign that may still have left traces on a disk, oldest first.
    pub history: Vec<Reign>,
    /// How restless it was lately: points for failovers that nobody asked for, by the node whose reign each of them
    /// ended. They are forgiven one by one with time, and all at once by whoever asks for a failover.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unrest: BTreeMap<NodeId, u32>,
}

impl Record {
    /// The primary, also one that is still being promoted.
    #[must_use]
    pub fn primary(&self) -> Option<NodeId> {
        match self.phase {
            ReignPhase::Electing { .. } => None,
            ReignPhase::Promoting { primary } | ReignPhase::Serving { primary, .. } => Some(primary),
        }
    }

    /// Whether the primary is about to let nobody in, or does already, because somebody else is wanted: the heir alone counts
    /// by then, where anybody is awaited.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        let ReignPhase::Serving { handover: Some(heir), .. } = self.phase else { return false };
        let heir = Nodes::NONE.with(heir);
        self.current().is_none_or(|quorum| quorum.need == 0 || quorum.members == heir)
    }

    /// The quorum of the primary's own term.
    #[must_use]
    pub fn current(&self) -> Option<&Quorum> {
        self.quorums.last().filter(|quorum| quorum.term == self.term)
    }

    /// All points of [`Record::unrest`].
    #[must_use]
    pub fn unrest(&self) -> u32 {
        self.unrest.values().fold(0, |sum, points| sum.saturating_add(*points))
    }

    /// Whether `node` counts in any quorum: then its log must not be thrown away.
    #[must_use]
    pub fn counts(&self, node: NodeId) -> bool {
        self.quorums.iter().any(|quorum| quorum.primary == node || quorum.members.has(node))
    }

    /// The reign of `term`.
    #[must_use]
    pub fn reign(&self, term: Term) -> Option<&Reign> {
        self.history.iter().find(|reign| reign.term == term)
    }
}
