//! What the clients of a database leave behind: plain data, from which every judgement is made and can be made again.

use std::collections::BTreeMap;

/// Everything the clients did and saw. Times are microseconds since the workload started.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct History {
    /// Unix time of the start in milliseconds.
    pub started_unix_ms: u64,
    /// What the transactions of the workload asked for.
    pub isolation: Isolation,
    /// What all accounts together hold at every moment.
    pub bank_total: i64,
    /// When the fault was made; `None` when there was none, or nobody said so.
    pub fault_at_us: Option<u64>,
    /// When the clients were asked to stop; of a rebuilt history the last moment its journal knows.
    pub ended_us: u64,
    /// Places in the schedule that no client came to, because it still waited for an earlier answer.
    pub missed_slots: u64,
    /// Journal lines that could not be read back (0 for a history that never was a journal).
    pub damaged_lines: u64,
    /// Every operation, in the order of its start.
    pub operations: Vec<Operation>,
}

/// The isolation levels a workload can ask for, with PostgreSQL's meaning of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// Each transaction reads one snapshot (snapshot isolation).
    RepeatableRead,
    /// As if one after another.
    #[default]
    Serializable,
}

impl Isolation {
    /// As SQL spells it.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        }
    }
}

/// One operation of one client, from its place in the schedule to what its caller knew.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Operation {
    /// The client: operations of one client follow each other, so it is a session.
    pub client: u32,
    /// Which way it went.
    pub via: Via,
    /// When it was to start. Answer times count from here, so that a client that waits cannot hide the wait.
    pub due_us: u64,
    /// When it started.
    pub invoked_us: u64,
    /// When its caller knew; `None` when it was still open at the end, or its process died with it.
    pub ended_us: Option<u64>,
    /// What it was to do, and what a successful one read.
    pub action: Action,
    /// What its caller may conclude.
    pub outcome: Outcome,
}

/// Which way an operation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The way applications go. Availability and latency are measured here alone.
    Front,
    /// Past every router to one node, the index in the order they were added: shows what a revived or isolated
    /// primary acknowledges.
    Direct(u32),
}

/// What an operation does. Values are unique over the whole history, so that every value read has one writer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Adds an id to a set that nothing is ever taken from.
    Register {
        /// The id.
        id: i64,
    },
    /// One transaction over lists that only grow.
    Transaction {
        /// In their order.
        steps: Vec<Step>,
    },
    /// Moves money between two accounts in one transaction.
    Transfer {
        /// Account it comes from.
        from: i64,
        /// Account it goes to.
        to: i64,
        /// How much.
        amount: i64,
    },
    /// Reads every account in one statement.
    Bank {
        /// By account; `None` when nothing was read.
        balances: Option<Vec<i64>>,
    },
    /// A session raises its own version.
    SessionWrite {
        /// The session's row.
        session: u32,
        /// The new version, one above the session's last try.
        version: i64,
    },
    /// A session reads every session's version.
    SessionRead {
        /// The session that reads.
        session: u32,
        /// By session; `None` when nothing was read.
        versions: Option<Vec<i64>>,
    },
}

/// A step of a [`Action::Transaction`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Appends one value.
    Append {
        /// The list.
        key: i64,
        /// The value.
        value: i64,
    },
    /// Reads the whole list.
    Read {
        /// The list.
        key: i64,
        /// What it held; `None` when nothing was read.
        list: Option<Vec<i64>>,
    },
}

/// What the caller of an operation may conclude.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged: it must be there for ever.
    Ok,
    /// Surely not carried out: it must never be seen.
    Failed {
        /// SQLSTATE, or a clause.
        why: String,
    },
    /// Carried out or not; nobody knows.
    Unknown {
        /// SQLSTATE, or a clause.
        why: String,
        /// The server did answer with success, beside a warning that it waited for no standby: most clients take
        /// that for an acknowledgement.
        false_ack: bool,
    },
}

impl Operation {
    /// Acknowledged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Surely not carried out.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }

    /// Acknowledged only for clients that do not read warnings.
    #[must_use]
    pub fn is_false_ack(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown { false_ack: true, .. })
    }
}

/// What the surviving database holds once the clients have stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FinalState {
    /// Ids of the append-only set.
    pub registers: Vec<i64>,
    /// Every list by key.
    pub lists: BTreeMap<i64, Vec<i64>>,
    /// Balances by account.
    pub balances: Vec<i64>,
    /// Versions by session.
    pub versions: Vec<i64>,
}

/// How many ids or explanations a report lists; the counts beside them are whole.
pub const LISTED_MAX: usize = 20;

/// A count, and the first few of what was counted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Listed<T> {
    /// How many there are.
    pub count: u64,
    /// At most [`LISTED_MAX`] of them.
    pub first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Listed<T> {
        Listed { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    /// Counts one more; `item` is made only where it is kept.
    pub fn add(&mut self, item: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < LISTED_MAX {
            self.first.push(item());
        }
    }

    /// None was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
