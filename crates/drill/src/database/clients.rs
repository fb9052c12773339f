//! The clients: each is one session that carries out one operation after another, at the times its schedule names.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use world::{Chance, Stop};

use super::decide_history::{Action, Isolation, Operation, Outcome, Step, Via};
use super::decide_outcome::Stage;
use super::journal::{Journal, Line, still_open};
use super::session::{Answer, Link};

/// Lists that are appended to at the same time: few, so that transactions meet.
const LISTS_AT_ONCE: i64 = 6;
/// Appends to a list on the mean before the next lists take over: a read stays below a kilobyte.
const LIST_LENGTH: i64 = 64;
/// A client that is behind its schedule by more than this passes over what it missed, and counts it: after a long
/// outage it would otherwise measure its own backlog.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// The share of bank operations that read.
const BANK_READS: f64 = 0.25;

/// What all clients of a workload share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) zero: Instant,
    /// The next value: unique over registers and lists.
    pub(super) next_value: AtomicI64,
    pub(super) missed_slots: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) journal: Journal,
    /// In the order of their starts; an operation's place is its number in the journal.
    pub(super) operations: Vec<Operation>,
    pub(super) fault_at_us: Option<u64>,
    pub(super) glance: Glance,
}

/// A glance at a running workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Operations acknowledged so far.
    pub acked: u64,
    /// Those that surely failed.
    pub failed: u64,
    /// Those nobody knows about.
    pub unknown: u64,
    /// Of these, those that were acknowledged beside a warning.
    pub false_acks: u64,
    /// Those that run now.
    pub open: u64,
    /// When the last register write on the applications' way was acknowledged, in microseconds since the start.
    pub last_ack_us: Option<u64>,
}

impl Shared {
    pub(super) fn new(journal: Journal) -> Shared {
        let inner = Inner { journal, operations: Vec::new(), fault_at_us: None, glance: Glance::default() };
        Shared {
            zero: Instant::now(),
            next_value: AtomicI64::new(1),
            missed_slots: AtomicU64::new(0),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        self.zero.elapsed().as_micros() as u64
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; were it so, what it holds would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before anything is sent.
    fn begin(&self, client: u32, via: Via, due_us: u64, action: Action) -> usize {
        let mut inner = self.lock();
        let (seq, at_us) = (inner.operations.len(), self.now_us());
        let line = Line::Invoked { seq: seq as u64, client, via, due_us, at_us, action: action.clone() };
        inner.journal.add(&line);
        let outcome = still_open();
        inner.operations.push(Operation {
            client,
            via,
            due_us,
            invoked_us: at_us,
            ended_us: None,
            action,
            outcome,
        });
        inner.glance.open += 1;
        seq
    }

    /// Once the caller knows.
    fn end(&self, seq: usize, action: Action, outcome: Outcome) {
        let at_us = self.now_us();
        let line = Line::Ended { seq: seq as u64, at_us, action, outcome };
        let mut inner = self.lock();
        inner.journal.add(&line);
        let Line::Ended { action, outcome, .. } = line else { return };
        let operation = &mut inner.operations[seq];
        (operation.ended_us, operation.action, operation.outcome) = (Some(at_us), action, outcome);
        let (ok, failed, false_ack) = (operation.is_ok(), operation.is_failed(), operation.is_false_ack());
        let write = operation.via == Via::Front && matches!(operation.action, Action::Register { .. });
        let glance = &mut inner.glance;
        glance.open -= 1;
        glance.acked += u64::from(ok);
        glance.failed += u64::from(failed);
        glance.unknown += u64::from(!ok && !failed);
        glance.false_acks += u64::from(false_ack);
        if ok && write {
            glance.last_ack_us = Some(at_us);
        }
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Registers,
    Lists,
    Bank { accounts: u32 },
    Session { session: u32, version: i64 },
}

/// One client.
pub(super) struct Client {
    pub(super) number: u32,
    pub(super) via: Via,
    pub(super) work: Work,
    pub(super) link: Link,
    /// Where a session reads; `None`: where it writes.
    pub(super) reads: Option<Link>,
    pub(super) isolation: Isolation,
    pub(super) deadline: Duration,
    pub(super) chance: Chance,
    pub(super) shared: Arc<Shared>,
}

/// The times of one client's operations, in microseconds since the workload started.
pub(super) struct Pace {
    pub(super) first_us: f64,
    pub(super) gap_us: f64,
    pub(super) slot: u64,
}

impl Pace {
    /// The next time, and how many were passed over to come to one that is not too long ago.
    fn next(&mut self, now_us: u64) -> (u64, u64) {
        let due = |slot: u64| (self.first_us + slot as f64 * self.gap_us) as u64;
        let first = self.slot;
        while due(self.slot) + (BEHIND_MAX.as_micros() as u64) < now_us {
            self.slot += 1;
        }
        let next = (due(self.slot), self.slot - first);
        self.slot += 1;
        next
    }
}

impl Client {
    pub(super) async fn run(mut self, mut pace: Pace, stop: Stop) {
        loop {
            let (due_us, missed) = pace.next(self.shared.now_us());
            self.shared.missed_slots.fetch_add(missed, Ordering::Relaxed);
            let due = self.shared.zero + Duration::from_micros(due_us);
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            let action = self.next_action();
            let seq = self.shared.begin(self.number, self.via, due_us, action.clone());
            let (action, outcome) = self.carry_out(action, Instant::now() + self.deadline).await;
            self.shared.end(seq, action, outcome);
        }
    }

    fn next_action(&mut self) -> Action {
        let value = || self.shared.next_value.fetch_add(1, Ordering::Relaxed);
        match &mut self.work {
            Work::Registers => Action::Register { id: value() },
            Work::Lists => {
                let mut steps: Vec<Step> = (0..=self.chance.below(3))
                    .map(|_| {
                        let value = value();
                        let base = value / (LISTS_AT_ONCE * LIST_LENGTH) * LISTS_AT_ONCE;
                        let key = base + self.chance.below(LISTS_AT_ONCE as u64) as i64;
                        match self.chance.chance(0.5) {
                            true => Step::Append { key, value },
                            false => Step::Read { key, list: None },
                        }
                    })
                    .collect();
                // In one order for all, so that transactions wait for each other and do not deadlock.
                steps.sort_by_key(|step| match step {
                    Step::Append { key, .. } | Step::Read { key, .. } => *key,
                });
                Action::Transaction { steps }
            }
            Work::Bank { accounts } => {
                if self.chance.chance(BANK_READS) {
                    return Action::Bank { balances: None };
                }
                let accounts = u64::from(*accounts);
                let from = self.chance.below(accounts);
                let to = (from + 1 + self.chance.below(accounts - 1)) % accounts;
                Action::Transfer {
                    from: from as i64,
                    to: to as i64,
                    amount: self.chance.below(10) as i64 + 1,
                }
            }
            Work::Session { session, version } => {
                if self.chance.chance(0.5) {
                    *version += 1;
                    return Action::SessionWrite { session: *session, version: *version };
                }
                Action::SessionRead { session: *session, versions: None }
            }
        }
    }

    async fn carry_out(&mut self, action: Action, deadline: Instant) -> (Action, Outcome) {
        match action {
            Action::Register { id } => {
                let client = self.number;
                let sql = format!("INSERT INTO drill_register (id, client) VALUES ({id}, {client})");
                (Action::Register { id }, write(&mut self.link, &sql, deadline).await)
            }
            Action::SessionWrite { session, version } => {
                // The greater one stays: a write that was given up and comes late must not undo its successor.
                let sql = format!(
                    "INSERT INTO drill_session AS old (session, version) VALUES ({session}, {version}) ON CONFLICT \
                     (session) DO UPDATE SET version = greatest(old.version, excluded.version)"
                );
                let outcome = write(&mut self.link, &sql, deadline).await;
                (Action::SessionWrite { session, version }, outcome)
            }
            Action::Transfer { from, to, amount } => {
                // In one order for all, as above.
                let mut moves = [(from, -amount), (to, amount)];
                moves.sort_unstable();
                let update = |(account, by): (i64, i64)| {
                    format!("UPDATE drill_bank SET balance = balance + ({by}) WHERE account = {account}")
                };
                let statements = moves.map(|one| (update(one), Touch::One));
                let (_, outcome) = transaction(&mut self.link, self.isolation, &statements, deadline).await;
                (Action::Transfer { from, to, amount }, outcome)
            }
            Action::Bank { .. } => {
                let (balances, outcome) = read(&mut self.link, BANK_SQL, deadline).await;
                (Action::Bank { balances }, outcome)
            }
            Action::SessionRead { session, .. } => {
                let link = self.reads.as_mut().unwrap_or(&mut self.link);
                let (versions, outcome) = read(link, SESSION_SQL, deadline).await;
                (Action::SessionRead { session, versions }, outcome)
            }
            Action::Transaction { steps } => self.lists(steps, deadline).await,
        }
    }

    async fn lists(&mut self, mut steps: Vec<Step>, deadline: Instant) -> (Action, Outcome) {
        let statement = |step: &Step| match step {
            Step::Append { key, value } => (
                format!(
                    "INSERT INTO drill_list AS old (key, v) VALUES ({key}, ARRAY[{value}]::bigint[]) ON CONFLICT (key) \
                     DO UPDATE SET v = old.v || excluded.v"
                ),
                Touch::One,
            ),
            Step::Read { key, .. } => (format!("SELECT v FROM drill_list WHERE key = {key}"), Touch::Any),
        };
        let statements: Vec<_> = steps.iter().map(statement).collect();
        let (answers, outcome) = transaction(&mut self.link, self.isolation, &statements, deadline).await;
        if outcome == Outcome::Ok {
            for (step, rows) in steps.iter_mut().zip(answers) {
                let Step::Read { list, .. } = step else { continue };
                // A list that is not there yet is empty; one that cannot be read was not read.
                *list = match rows.first().and_then(|row| row.first()) {
                    None => Some(Vec::new()),
                    Some(text) => text.as_deref().and_then(parse_list),
                };
            }
        }
        (Action::Transaction { steps }, outcome)
    }
}

pub(super) const BANK_SQL: &str = "SELECT balance FROM drill_bank ORDER BY account";
pub(super) const SESSION_SQL: &str = "SELECT version FROM drill_session ORDER BY session";

/// How many rows a statement must touch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Any,
    One,
}

type Rows = Vec<Vec<Option<String>>>;

/// One statement outside a transaction that writes one row.
async fn write(link: &mut Link, statement: &str, deadline: Instant) -> Outcome {
    if let Err(outcome) = link.ready(deadline).await {
        return outcome;
    }
    let answer = link.run(statement, deadline).await;
    match (&answer, answer.conclude(Stage::Deciding)) {
        // Success of what was not asked for: whoever answered, it was not our statement.
        (Answer::Done { touched, .. }, Outcome::Ok) if *touched != 1 => {
            Outcome::Unknown { why: format!("{touched} rows touched"), false_ack: false }
        }
        (_, outcome) => outcome,
    }
}

/// One statement that reads a column of numbers. It has no effect, so whatever goes wrong it surely failed.
async fn read(link: &mut Link, statement: &str, deadline: Instant) -> (Option<Vec<i64>>, Outcome) {
    if let Err(outcome) = link.ready(deadline).await {
        return (None, outcome);
    }
    let answer = link.run(statement, deadline).await;
    if let Answer::Done { rows, .. } = &answer {
        return match numbers(rows) {
            Some(all) => (Some(all), Outcome::Ok),
            None => (None, Outcome::Failed { why: "garbled answer".to_owned() }),
        };
    }
    (None, answer.conclude(Stage::Open))
}

/// Several statements, whole or not at all, and the rows of each.
async fn transaction(
    link: &mut Link,
    isolation: Isolation,
    statements: &[(String, Touch)],
    deadline: Instant,
) -> (Vec<Rows>, Outcome) {
    if let Err(outcome) = link.ready(deadline).await {
        return (Vec::new(), outcome);
    }
    let begin = (format!("BEGIN ISOLATION LEVEL {}", isolation.sql()), Touch::Any);
    let mut all = Vec::new();
    for (at, (statement, touch)) in std::iter::once(&begin).chain(statements).enumerate() {
        match link.run(statement, deadline).await {
            Answer::Done { touched, .. } if *touch == Touch::One && touched != 1 => {
                link.roll_back(deadline).await;
                return (Vec::new(), Outcome::Failed { why: format!("{touched} rows touched") });
            }
            Answer::Done { rows, .. } if at > 0 => all.push(rows),
            Answer::Done { .. } => {}
            answer => {
                link.roll_back(deadline).await;
                return (Vec::new(), answer.conclude(Stage::Open));
            }
        }
    }
    let outcome = link.run("COMMIT", deadline).await.conclude(Stage::Deciding);
    (all, outcome)
}

/// The first column of every row.
pub(super) fn numbers(rows: &[Vec<Option<String>>]) -> Option<Vec<i64>> {
    rows.iter().map(|row| row.first()?.as_deref()?.parse().ok()).collect()
}

/// PostgreSQL's text of an array of numbers: `{1,2}`.
pub(super) fn parse_list(text: &str) -> Option<Vec<i64>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    if inside.is_empty() {
        return Some(Vec::new());
    }
    inside.split(',').map(|value| value.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_whole_or_not_at_all() {
        assert_eq!(parse_list("{}"), Some(vec![]));
        assert_eq!(parse_list("{1,-2,3}"), Some(vec![1, -2, 3]));
        for bad in ["", "{", "1,2", "{1,}", "{NULL}", "{1,2"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_client_that_is_far_behind_passes_over_what_it_missed_and_counts_it() {
        let mut pace = Pace { first_us: 5_000.0, gap_us: 10_000.0, slot: 0 };
        assert_eq!(
            [pace.next(0), pace.next(0), pace.next(1_000_000)],
            [(5_000, 0), (15_000, 0), (25_000, 0)]
        );
        let (due_us, missed) = pace.next(9_000_000);
        assert!((7_000_000..7_010_000).contains(&due_us), "{due_us}");
        assert_eq!(missed, 697);
    }
}
