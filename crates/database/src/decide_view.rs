//! What a keeper sees and what it may do: every action is one effect.

use std::collections::BTreeMap;

use model::{Lease, Lsn, Mode, NodeDoc, NodeId, Nodes, Position, Quorum, Record, Term};

/// A document of the store with the revision of its last change; 0: it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept<T> {
    /// The document.
    pub value: T,
    /// Its last change.
    pub revision: u64,
}

/// The documents of all nodes that have written one.
pub type Docs = BTreeMap<NodeId, Kept<NodeDoc>>;

/// What a keeper keeps on its own disk, synced before anything rests on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Durable {
    /// It follows no primary of an older term and acknowledges nothing to one.
    pub promised: Term,
    /// The newest term whose primary's log this node was allowed to receive or to write.
    pub lineage: Term,
    /// The newest term in which this node was told to promote its server; 0: none since the data was made.
    pub reign: Term,
}

/// What happens to writes when no standby is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alone {
    /// They wait for one.
    Block,
    /// They go on, on one disk.
    Degrade,
}

/// Whom a server receives from, and under which term's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// The primary.
    pub node: NodeId,
    /// Its term.
    pub term: Term,
}

/// One standby as the primary's server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// The term in the name it streams under.
    pub term: Term,
    /// What it has on disk.
    pub flush: Lsn,
}

/// What the local server is, as observed just now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// There is no data.
    Empty,
    /// A copy or a rewind broke off: the data is nothing that may ever be started.
    Half,
    /// Something long is under way (copy, rewind, start, promotion): ask again.
    Busy,
    /// It does not run.
    Stopped {
        /// Its settings name this upstream.
        upstream: Option<Upstream>,
        /// Copied or rewound from the primary of this term and not started since.
        fresh: Option<Term>,
    },
    /// It replays.
    Standby {
        /// Its settings, as loaded by the server.
        upstream: Option<Upstream>,
        /// A receiver is connected or may be.
        receiving: bool,
        /// Where its log ends, once that is certain: nothing is being received and everything found was replayed.
        end: Option<Lsn>,
        /// The quorum it would wait for as a primary.
        sync: Sync,
    },
    /// It writes.
    Primary {
        /// The quorum it waits for.
        sync: Sync,
        /// Applications may connect.
        open: bool,
        /// What is on its own disk; whatever it has acknowledged lies before.
        flush: Lsn,
        /// Where its timeline left the one before.
        fork: Lsn,
        /// Those that stream from it.
        senders: BTreeMap<NodeId, Sender>,
        /// It has made a checkpoint on its own timeline.
        checkpointed: bool,
    },
}

/// The quorum a server waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sync {
    /// As its settings say; `None`: never set.
    pub set: Option<Quorum>,
    /// Every process of the server is known to go by it.
    pub in_force: bool,
    /// A primary's end of log on its disk when that was known: what other quorums have acknowledged lies before. `None`: it
    /// is not known, or the server is none.
    pub from: Option<Lsn>,
    /// A record with another quorum may have been written that is not seen yet: it was sent and nothing was heard, or the keeper
    /// has just started.
    pub unsure: bool,
}

/// All a keeper goes by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    /// Its own node.
    pub me: NodeId,
    /// Every node of the plan.
    pub nodes: Nodes,
    /// Those of them that hold a log and no data, and can never be primary.
    pub witnesses: Nodes,
    /// Where this node's own log begins; zero of one with data. See [`NodeDoc::from`].
    pub from: Lsn,
    /// What the file says about the last standby's loss.
    pub alone: Alone,
    /// How commits are kept: by a quorum, or under a lease.
    pub mode: Mode,
    /// So many points of [`Record::unrest`], and no failover is made unasked.
    pub unrest_max: u32,
    /// The shared record; `None`: there is none.
    pub record: Option<Kept<Record>>,
    /// What the keepers have told.
    pub docs: Docs,
    /// What this keeper keeps on its own disk.
    pub durable: Durable,
    /// The local server.
    pub server: Server,
    /// The primary of the newest term has no longer the log that this node's server needs next.
    pub stranded: bool,
    /// A copy from a witness has just come to nothing: its end is told meanwhile.
    pub unfetched: bool,
}

/// What only time can tell; made by [`crate::Memory`] from the same view and a clock. Nothing that is lost when one of
/// these is wrong is data: a wrong suspicion costs a short switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Judgement {
    /// This keeper takes the primary for dead.
    pub suspects: bool,
    /// Nodes whose keepers answer and take the primary for dead too, this one included.
    pub agree: Nodes,
    /// Better winners had time to come forward: an old primary may be taken again.
    pub patience_over: bool,
    /// A handover takes too long.
    pub handover_late: bool,
    /// Standbys that have been streaming steadily.
    pub steady: Nodes,
    /// Standbys that have been missing long enough to go on without them.
    pub missing: Nodes,
    /// No failover has happened for so long that a point of unrest is forgiven.
    pub rested: bool,
    /// What time says of the lease. Without meaning but in lease mode.
    pub lease: Tenure,
}

/// What this node's own clock says of the lease. Safety rests on it in lease mode, and there alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenure {
    /// This node has the lease in the record's term, and still has time under it.
    pub held: bool,
    /// It had it, or may have, and its time is over.
    pub lost: bool,
    /// It is time to renew it, or to ask for it.
    pub due: bool,
    /// On a primary: standbys that have all that it had a moment ago.
    pub close: Nodes,
    /// On a primary: other nodes that lack what it had some time ago.
    pub behind: Nodes,
    /// Another one has it, and nothing was seen of it for so long that it is over, if its document is still at this
    /// revision; 0: there never was one.
    pub over: Option<u64>,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Make the first data directory.
    Init,
    /// Write the keeper's own file and sync it. Whoever promises another term names no upstream any more, by the same
    /// write, and then has the server load that.
    Persist(Durable),
    /// Write the shared record if it is still at `revision`, and `unchanged` are too.
    Write {
        /// What it becomes.
        record: Box<Record>,
        /// Its revision now.
        revision: u64,
        /// Revisions of documents it rests on.
        unchanged: BTreeMap<NodeId, u64>,
    },
    /// In lease mode: write the record as [`Action::Write`] does, if the lease is still at `lease` too.
    TakeOver {
        /// What it becomes.
        record: Box<Record>,
        /// Its revision now.
        revision: u64,
        /// The revision of the lease that ran out.
        lease: u64,
    },
    /// In lease mode: write the lease, if the record is still at `record`. It counts from before this was sent.
    Renew {
        /// What it becomes.
        lease: Lease,
        /// The record's revision now.
        record: u64,
    },
    /// Write the own document, if the record is still at `record` and the document at `own`.
    Report {
        /// What it becomes.
        doc: NodeDoc,
        /// The record's revision now.
        record: u64,
        /// The document's revision now.
        own: u64,
    },
    /// End the server at once, with all its processes.
    Fence,
    /// Start the server; it always starts as a standby.
    Start,
    /// Name the upstream in the settings, synced, and have the server load them. With an upstream, first drop every
    /// replication slot and end who streams through it: nobody may be fed by a node that is fed in another term.
    Point(Option<Upstream>),
    /// End the server, remove the timelines its log has not reached, and then write the keeper's own file. Broken off
    /// anywhere, it is decided again.
    Forget(Durable),
    /// End the server and replace the data by a copy of that primary's.
    Clone(Upstream),
    /// End the server and bring the data to that primary's timeline.
    Rewind(Upstream),
    /// End the server and copy what a witness, which has promised `term`, holds beyond the own log, up to `upto` and
    /// nothing behind it. What arrived of it when it breaks off is a part of the same log.
    Fetch {
        /// The witness.
        node: NodeId,
        /// The election's term.
        term: Term,
        /// Where the witness's log ends.
        upto: Position,
    },
    /// Of a witness: throw the log away and begin at that primary's current position.
    Anew(Upstream),
    /// Make the replication slots of its term, drop those of other terms, name the quorum in the settings and have the
    /// server load them. A slot's name holds its term, so that a standby streams from the primary of that term or from
    /// nobody.
    SetSync(Quorum),
    /// Make sure that every process of the server goes by the quorum in the settings.
    ConfirmSync,
    /// Make the server a primary.
    Promote,
    /// Let applications connect.
    Open,
    /// Let no application connect, and end the open connections.
    Close,
    /// Make a checkpoint.
    Checkpoint,
}
