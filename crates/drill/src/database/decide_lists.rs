//! The lists that only grow, in the manner of Elle (Kingsbury and Alvaro, "Elle: inferring isolation anomalies from
//! experimental observations", 2020): the longest read of a list tells the order of all writes before it, and with the
//! order come reasons why one transaction precedes another; a cycle of reasons is an anomaly.

use std::collections::{BTreeMap, BTreeSet};

use super::decide_graph::{Edge, Graph, Why};
use super::decide_history::{Action, FinalState, History, Isolation, LISTED_MAX, Operation, Step};

/// What is wrong with what the transactions saw. The `G` names are Adya's ("Weak consistency", 1999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// An acknowledged append that the surviving list does not hold.
    LostAppend,
    /// Two reads of one list of which neither is the beginning of the other: history has forked.
    IncompatibleOrder,
    /// A value that is in a list twice.
    Duplicate,
    /// A value that nobody tried to append.
    FromNowhere,
    /// G0: transactions wrote over each other in both orders.
    G0,
    /// G1a: a value of a transaction that surely failed.
    G1a,
    /// G1b: a state inside another transaction.
    G1b,
    /// G1c: transactions that each saw the other, or came after it.
    G1c,
    /// A transaction that does not see its own append.
    Internal,
    /// A transaction that reads one list twice and differently, without having appended to it.
    Fuzzy,
    /// A cycle with one read-write edge (read skew, lost update, a stale read).
    GSingle,
    /// A cycle with several (write skew).
    G2,
}

impl AnomalyKind {
    /// Whether `isolation` promises that it never happens.
    #[must_use]
    pub fn is_forbidden(self, isolation: Isolation) -> bool {
        match self {
            AnomalyKind::GSingle | AnomalyKind::Fuzzy => isolation != Isolation::ReadCommitted,
            AnomalyKind::G2 => isolation == Isolation::Serializable,
            _ => true,
        }
    }
}

/// One anomaly, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Anomaly {
    /// Which.
    pub kind: AnomalyKind,
    /// The isolation level of the history promises that it never happens.
    pub is_forbidden: bool,
    /// What was seen, and why it cannot be; a cycle has one line for each reason.
    pub explanation: String,
}

/// The judgement of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ListReport {
    /// Transactions tried.
    pub transactions: u64,
    /// Acknowledged ones.
    pub acked: u64,
    /// Those that surely failed (serialization failures among them).
    pub failed: u64,
    /// Those nobody knows about.
    pub unknown: u64,
    /// Acknowledged appends.
    pub appends_acked: u64,
    /// Of these, how many the surviving lists do not hold.
    pub appends_lost: u64,
    /// How many anomalies of each kind.
    pub counts: BTreeMap<AnomalyKind, u64>,
    /// At most [`LISTED_MAX`] of each kind.
    pub anomalies: Vec<Anomaly>,
}

impl ListReport {
    /// How many anomalies the isolation level forbids.
    #[must_use]
    pub fn forbidden(&self, isolation: Isolation) -> u64 {
        self.counts.iter().filter(|(kind, _)| kind.is_forbidden(isolation)).map(|(_, count)| count).sum()
    }

    fn add(&mut self, kind: AnomalyKind, isolation: Isolation, explanation: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= LISTED_MAX as u64 {
            let is_forbidden = kind.is_forbidden(isolation);
            self.anomalies.push(Anomaly { kind, is_forbidden, explanation: explanation() });
        }
    }
}

/// Judges every transaction, with the surviving lists as one more reader; `None` when the history has none.
#[must_use]
pub fn check_lists(history: &History, survived: &FinalState) -> Option<ListReport> {
    let is_list = |o: &&Operation| matches!(o.action, Action::Transaction { .. });
    let transactions: Vec<&Operation> = history.operations.iter().filter(is_list).collect();
    if transactions.is_empty() {
        return None;
    }
    let mut checker = Checker {
        isolation: history.isolation,
        transactions,
        writers: BTreeMap::new(),
        reads: BTreeMap::new(),
        orders: BTreeMap::new(),
        report: ListReport::default(),
    };
    checker.collect(survived);
    checker.find_orders();
    checker.judge_reads();
    checker.find_losses(survived);
    checker.find_cycles();
    Some(checker.report)
}

/// Who appended a value.
#[derive(Clone, Copy)]
struct Writer {
    /// Place in [`Checker::transactions`].
    by: u32,
    /// No later append of the same transaction to the same list.
    is_last: bool,
}

/// One list as one reader saw it.
struct Read<'a> {
    /// Place in [`Checker::transactions`]; `None`: the surviving database.
    by: Option<u32>,
    list: &'a [i64],
    /// How much of the list is there without the reader's own appends.
    foreign: usize,
}

struct Checker<'a> {
    isolation: Isolation,
    transactions: Vec<&'a Operation>,
    writers: BTreeMap<(i64, i64), Writer>,
    reads: BTreeMap<i64, Vec<Read<'a>>>,
    /// The longest read of each list, with each value's writer.
    orders: BTreeMap<i64, Vec<(i64, Option<Writer>)>>,
    report: ListReport,
}

fn steps_of(operation: &Operation) -> &[Step] {
    match &operation.action {
        Action::Transaction { steps } => steps,
        _ => &[],
    }
}

impl<'a> Checker<'a> {
    fn collect(&mut self, survived: &'a FinalState) {
        for (by, operation) in self.transactions.clone().into_iter().enumerate() {
            let (by, steps) = (by as u32, steps_of(operation));
            self.report.transactions += 1;
            let counted = match (operation.is_ok(), operation.is_failed()) {
                (true, _) => &mut self.report.acked,
                (_, true) => &mut self.report.failed,
                _ => &mut self.report.unknown,
            };
            *counted += 1;
            for (at, step) in steps.iter().enumerate() {
                let Step::Append { key, value } = step else { continue };
                let again = |later: &Step| matches!(later, Step::Append { key: other, .. } if other == key);
                let is_last = !steps[at + 1..].iter().any(again);
                self.writers.insert((*key, *value), Writer { by, is_last });
                self.report.appends_acked += u64::from(operation.is_ok());
            }
            if operation.is_ok() {
                self.collect_reads(by, steps);
            }
        }
        for (key, list) in &survived.lists {
            let read = Read { by: None, list, foreign: list.len() };
            self.reads.entry(*key).or_default().push(read);
        }
    }

    /// The reads of one transaction, and what they say about the transaction alone.
    fn collect_reads(&mut self, by: u32, steps: &'a [Step]) {
        let mut own: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut before: BTreeMap<i64, &[i64]> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append { key, value } => own.entry(*key).or_default().push(*value),
                Step::Read { key, list: Some(list) } => {
                    let appended = own.get(key).map(Vec::as_slice).unwrap_or_default();
                    let foreign = list.len().saturating_sub(appended.len());
                    if !list.ends_with(appended) {
                        let who = self.name(by);
                        self.report.add(AnomalyKind::Internal, self.isolation, || {
                            format!("{who} appended {appended:?} to list {key} and then read {}", shown(list))
                        });
                        continue;
                    }
                    let earlier = before.insert(*key, &list[..foreign]);
                    if let Some(earlier) = earlier.filter(|earlier| **earlier != list[..foreign]) {
                        let (who, later) = (self.name(by), shown(&list[..foreign]));
                        self.report.add(AnomalyKind::Fuzzy, self.isolation, || {
                            format!("{who} read list {key} as {} and then as {later}", shown(earlier))
                        });
                    }
                    self.reads.entry(*key).or_default().push(Read { by: Some(by), list, foreign });
                }
                Step::Read { list: None, .. } => {}
            }
        }
    }

    fn find_orders(&mut self) {
        for (key, reads) in &self.reads {
            let longest =
                reads.iter().map(|read| read.list).max_by_key(|list| list.len()).unwrap_or_default();
            let order = longest.iter().map(|value| (*value, self.writers.get(&(*key, *value)).copied()));
            self.orders.insert(*key, order.collect());
        }
    }

    /// What single reads say, against the order of their list.
    fn judge_reads(&mut self) {
        let reads = std::mem::take(&mut self.reads);
        for (key, reads) in &reads {
            let order: Vec<i64> = self.orders[key].iter().map(|(value, _)| *value).collect();
            let mut told = BTreeSet::new();
            self.judge_values(*key, &order, &mut told);
            for read in reads {
                if !order.starts_with(read.list) {
                    let who = self.reader(read.by);
                    self.report.add(AnomalyKind::IncompatibleOrder, self.isolation, || {
                        format!(
                            "{who} read list {key} as {}; another read is {}",
                            shown(read.list),
                            shown(&order)
                        )
                    });
                    self.judge_values(*key, read.list, &mut told);
                }
                self.judge_last(*key, read);
            }
        }
        self.reads = reads;
    }

    /// Values that must not be in any list; each is told once.
    fn judge_values(&mut self, key: i64, list: &[i64], told: &mut BTreeSet<i64>) {
        let mut once = BTreeSet::new();
        for value in list {
            if !once.insert(*value) && told.insert(*value) {
                let what = || format!("value {value} is twice in list {key}: {}", shown(list));
                self.report.add(AnomalyKind::Duplicate, self.isolation, what);
            }
            match self.writers.get(&(key, *value)) {
                None if told.insert(*value) => {
                    let what = || format!("value {value} is in list {key}, and nobody tried to append it");
                    self.report.add(AnomalyKind::FromNowhere, self.isolation, what);
                }
                Some(writer) if self.transactions[writer.by as usize].is_failed() && told.insert(*value) => {
                    let who = self.name(writer.by);
                    self.report.add(AnomalyKind::G1a, self.isolation, || {
                        format!("value {value} is in list {key}, and {who}, which appended it, surely failed")
                    });
                }
                _ => {}
            }
        }
    }

    fn judge_last(&mut self, key: i64, read: &Read<'_>) {
        let Some(value) = read.list[..read.foreign].last() else { return };
        let Some(writer) = self.writers.get(&(key, *value)).filter(|writer| !writer.is_last) else { return };
        if Some(writer.by) != read.by {
            let (who, whose) = (self.reader(read.by), self.name(writer.by));
            self.report.add(AnomalyKind::G1b, self.isolation, || {
                format!("{who} read list {key} up to {value}, from the middle of {whose}")
            });
        }
    }

    fn find_losses(&mut self, survived: &FinalState) {
        let sorted = |list: &Vec<i64>| list.iter().copied().collect::<BTreeSet<i64>>();
        let held: BTreeMap<i64, BTreeSet<i64>> =
            survived.lists.iter().map(|(key, list)| (*key, sorted(list))).collect();
        for ((key, value), writer) in &self.writers {
            let by = self.transactions[writer.by as usize];
            if !by.is_ok() || held.get(key).is_some_and(|held| held.contains(value)) {
                continue;
            }
            self.report.appends_lost += 1;
            self.report.add(AnomalyKind::LostAppend, self.isolation, || {
                let who = name_of(writer.by, by);
                format!(
                    "{who} appended {value} to list {key} and was acknowledged; the list does not hold it"
                )
            });
        }
    }

    fn find_cycles(&mut self) {
        let graph = Graph::new(self.transactions.len(), self.edges());
        for cycle in graph.cycles() {
            let has = |why| cycle.iter().filter(|edge| edge.why == why).count();
            let kind = match (has(Why::ReadWrite), has(Why::WriteRead) + has(Why::Session)) {
                (0, 0) => AnomalyKind::G0,
                (0, _) => AnomalyKind::G1c,
                (1, _) => AnomalyKind::GSingle,
                _ => AnomalyKind::G2,
            };
            let explanation = self.explain(&cycle);
            self.report.add(kind, self.isolation, || explanation);
        }
    }

    fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        // What surely failed has no place in the order of what was committed.
        let node = |writer: &Option<Writer>| {
            writer.map(|w| w.by).filter(|by| !self.transactions[*by as usize].is_failed())
        };
        for (key, order) in &self.orders {
            for pair in order.windows(2) {
                if let (Some(from), Some(to)) = (node(&pair[0].1), node(&pair[1].1)) {
                    edges.push(Edge { from, to, why: Why::WriteWrite, key: *key, value: pair[1].0 });
                }
            }
            for read in self.reads.get(key).into_iter().flatten() {
                let seen = &read.list[..read.foreign];
                let fits =
                    seen.len() <= order.len() && seen.iter().eq(order[..seen.len()].iter().map(|(v, _)| v));
                let (Some(reader), true) = (read.by, fits) else { continue };
                if let Some((value, Some(from))) = order[..seen.len()].last().map(|(v, w)| (*v, node(w))) {
                    edges.push(Edge { from, to: reader, why: Why::WriteRead, key: *key, value });
                }
                if let Some((value, Some(to))) = order.get(seen.len()).map(|(v, w)| (*v, node(w))) {
                    edges.push(Edge { from: reader, to, why: Why::ReadWrite, key: *key, value });
                }
            }
        }
        self.session_edges(&mut edges);
        edges
    }

    /// A transaction comes after the last acknowledged one of its session. One that nobody knows about precedes
    /// nothing: it may take effect late.
    fn session_edges(&self, edges: &mut Vec<Edge>) {
        let mut ordered: Vec<u32> = (0..self.transactions.len() as u32).collect();
        ordered.retain(|by| !self.transactions[*by as usize].is_failed());
        ordered.sort_by_key(|by| {
            let operation = self.transactions[*by as usize];
            (operation.client, operation.invoked_us, *by)
        });
        let mut last: Option<u32> = None;
        for to in ordered {
            let now = self.transactions[to as usize];
            if let Some(from) = last {
                let before = self.transactions[from as usize];
                if before.client == now.client && before.ended_us.is_some_and(|end| end <= now.invoked_us) {
                    edges.push(Edge { from, to, why: Why::Session, key: 0, value: 0 });
                }
            }
            if now.is_ok() {
                last = Some(to);
            }
        }
    }

    /// Each transaction once, then each reason; a cycle longer than what is listed is cut.
    fn explain(&self, cycle: &[Edge]) -> String {
        let mut lines = Vec::new();
        for edge in cycle.iter().take(LISTED_MAX) {
            let (by, what) = (edge.from, self.transactions[edge.from as usize]);
            lines.push(format!("{}: {}", self.name(by), steps_shown(what)));
        }
        for edge in cycle.iter().take(LISTED_MAX) {
            let (from, to, Edge { key, value, .. }) = (edge.from, edge.to, edge);
            lines.push(match edge.why {
                Why::WriteWrite => {
                    format!("  T{from} before T{to}: T{to} appended {value} to list {key} after it (ww)")
                }
                Why::WriteRead => {
                    format!("  T{from} before T{to}: T{to} read its {value} in list {key} (wr)")
                }
                Why::ReadWrite => {
                    format!("  T{from} before T{to}: T{from} read list {key} without T{to}'s {value} (rw)")
                }
                Why::Session => format!("  T{from} before T{to}: it had ended, in the same session"),
            });
        }
        if cycle.len() > LISTED_MAX {
            lines.push(format!("  .. and {} more", cycle.len() - LISTED_MAX));
        }
        lines.join("\n")
    }

    fn name(&self, by: u32) -> String {
        name_of(by, self.transactions[by as usize])
    }

    fn reader(&self, by: Option<u32>) -> String {
        by.map_or_else(|| "the surviving database".to_owned(), |by| self.name(by))
    }
}

fn name_of(by: u32, operation: &Operation) -> String {
    format!("T{by} (client {}, {:.3} s)", operation.client, operation.invoked_us as f64 / 1e6)
}

fn steps_shown(operation: &Operation) -> String {
    let step = |step: &Step| match step {
        Step::Append { key, value } => format!("{key} << {value}"),
        Step::Read { key, list: Some(list) } => format!("{key} = {}", shown(list)),
        Step::Read { key, list: None } => format!("{key} = ?"),
    };
    steps_of(operation).iter().map(step).collect::<Vec<_>>().join(", ")
}

/// A list for people: of a long one its end, where the news is.
fn shown(list: &[i64]) -> String {
    const SHOWN_MAX: usize = 12;
    match list.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => format!("{list:?}"),
        Some(hidden) => {
            let end: Vec<String> = list[hidden..].iter().map(i64::to_string).collect();
            format!("[.. {hidden} more, {}]", end.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
