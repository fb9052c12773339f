//! A workload from its start to its history.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use world::{Chance, Limits, Tasks};

use super::clients::{BANK_SQL, Client, Glance, Pace, SESSION_SQL, Shared, Work, numbers, parse_list};
use super::decide_history::{FinalState, History, Isolation, Outcome, Via};
use super::error::WorkloadError;
use super::journal::{Journal, Line};
use super::session::{Answer, Link, Target};

/// What every account holds at first.
const BALANCE_FIRST: i64 = 1_000;
/// Between two tries of [`Workload::prepare`] and [`read_final`].
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Beyond its deadline an operation may take this long to put away its connection, on a machine out of breath.
const STOP_GRACE: Duration = Duration::from_millis(1_500);

/// So many clients, sending so much together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Clients, each with a connection of its own; 0: this part of the workload is left out.
    pub clients: u32,
    /// Operations a second, of all of them together. The schedule does not wait for answers; a client does, so there
    /// must be enough of them: `rate_per_s` x longest answer time.
    pub rate_per_s: f64,
}

impl Load {
    /// Nothing.
    pub const NONE: Load = Load { clients: 0, rate_per_s: 0.0 };
}

/// What a workload does. Start from [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The way applications go.
    pub target: Target,
    /// Where the sessions read; `None`: where they write.
    pub read_target: Option<Target>,
    /// Clients begin at different addresses of [`Options::target`], one after another; else all at the first.
    pub spread: bool,
    /// Writers of unique ids, one statement each.
    pub registers: Load,
    /// Transactions over lists that grow.
    pub lists: Load,
    /// Transfers, and reads of all accounts.
    pub bank: Load,
    /// Sessions that write and read back; as many rows as clients.
    pub sessions: Load,
    /// Accounts of the bank, at least 2.
    pub accounts: u32,
    /// What the transactions of lists and bank ask for.
    pub isolation: Isolation,
    /// Longest time one operation may take, from 1 ms to 10 min; afterwards it is given up, and unknown if it had been
    /// sent. A client that waits sends nothing else: where a server may freeze, and nobody between answers for it, this
    /// is the shortest time without writes that can be measured.
    pub deadline: Duration,
    /// The same seed makes the same choices (the server decides about the rest).
    pub seed: u64,
    /// Where the history is written while it happens; `None`: nowhere.
    pub journal: Option<PathBuf>,
}

impl Options {
    /// All four workloads, light enough for a small machine: 100 writes, 40 transactions, 40 transfers and 80 session
    /// operations a second; serializable; a deadline of 5 s.
    #[must_use]
    pub fn new(target: Target) -> Options {
        Options {
            target,
            read_target: None,
            spread: false,
            registers: Load { clients: 8, rate_per_s: 100.0 },
            lists: Load { clients: 4, rate_per_s: 40.0 },
            bank: Load { clients: 2, rate_per_s: 40.0 },
            sessions: Load { clients: 4, rate_per_s: 80.0 },
            accounts: 20,
            isolation: Isolation::Serializable,
            deadline: Duration::from_secs(5),
            seed: 1,
            journal: None,
        }
    }

    fn check(&self) -> Result<(), WorkloadError> {
        let wrong = |text: &str| Err(WorkloadError::Options(text.to_owned()));
        let loads = [self.registers, self.lists, self.bank, self.sessions];
        if loads.iter().any(|load| load.clients > 0 && !(load.rate_per_s > 0.0 && load.rate_per_s <= 1e6)) {
            return wrong("a rate must be above 0 and at most 1,000,000 a second");
        }
        if self.accounts < 2 {
            return wrong("a bank needs at least 2 accounts");
        }
        if self.deadline < Duration::from_millis(1) || self.deadline > Duration::from_secs(600) {
            return wrong("a deadline must be from 1 ms to 10 min");
        }
        let targets = self.read_target.iter().chain([&self.target]);
        if targets.into_iter().any(|target| target.addresses.is_empty()) {
            return wrong("a target needs an address");
        }
        Ok(())
    }

    fn bank_total(&self) -> i64 {
        i64::from(self.accounts) * BALANCE_FIRST
    }
}

/// The clients, before they run.
#[derive(Clone, Copy, Debug)]
pub struct Workload;

impl Workload {
    /// Makes the tables afresh: `drill_register`, `drill_list`, `drill_bank`, `drill_session` of an earlier run are
    /// dropped. Tries for `within`.
    ///
    /// # Errors
    /// When no server took us in, or it refused, until the time was up; or an option is out of its range.
    pub async fn prepare(options: &Options, within: Duration) -> Result<(), WorkloadError> {
        options.check()?;
        let deadline = Instant::now() + within;
        let last_account = options.accounts - 1;
        let sessions = options.sessions.clients;
        let statements = [
            "BEGIN".to_owned(),
            "DROP TABLE IF EXISTS drill_register, drill_list, drill_bank, drill_session".to_owned(),
            "CREATE TABLE drill_register (id bigint PRIMARY KEY, client integer NOT NULL, at timestamptz NOT NULL \
             DEFAULT now())"
                .to_owned(),
            "CREATE TABLE drill_list (key bigint PRIMARY KEY, v bigint[] NOT NULL)".to_owned(),
            "CREATE TABLE drill_bank (account bigint PRIMARY KEY, balance bigint NOT NULL)".to_owned(),
            "CREATE TABLE drill_session (session integer PRIMARY KEY, version bigint NOT NULL)".to_owned(),
            format!("INSERT INTO drill_bank SELECT n, {BALANCE_FIRST} FROM generate_series(0, {last_account}) n"),
            format!("INSERT INTO drill_session SELECT n - 1, 0 FROM generate_series(1, {sessions}) n"),
            "COMMIT".to_owned(),
        ];
        let mut link = Link::new(options.target.clone(), 0);
        loop {
            match all(&mut link, &statements, deadline).await {
                Ok(_) => return Ok(()),
                Err(error) => again(error, deadline).await?,
            }
        }
    }

    /// Removes the tables again. Tries for `within`.
    ///
    /// # Errors
    /// As [`Workload::prepare`].
    pub async fn remove(options: &Options, within: Duration) -> Result<(), WorkloadError> {
        let deadline = Instant::now() + within;
        let drop = "DROP TABLE IF EXISTS drill_register, drill_list, drill_bank, drill_session".to_owned();
        let mut link = Link::new(options.target.clone(), 0);
        loop {
            match all(&mut link, std::slice::from_ref(&drop), deadline).await {
                Ok(_) => return Ok(()),
                Err(error) => again(error, deadline).await?,
            }
        }
    }

    /// Starts every client, in the runtime of the caller. The tables must be there: [`Workload::prepare`].
    ///
    /// # Errors
    /// When an option is out of its range, or the journal cannot be made.
    pub fn start(options: Options) -> Result<Handle, WorkloadError> {
        options.check()?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = History {
            started_unix_ms: since_epoch.as_millis() as u64,
            isolation: options.isolation,
            bank_total: options.bank_total(),
            ..History::default()
        };
        let journal = Journal::create(options.journal.as_deref(), &header)?;
        let handle = Handle {
            shared: Arc::new(Shared::new(journal)),
            tasks: Tasks::new(),
            chance: std::sync::Mutex::new(Chance::from_seed(options.seed)),
            clients: AtomicU32::new(0),
            directs: AtomicU32::new(0),
            header,
            options,
        };
        let Options { registers, lists, bank, sessions, accounts, deadline, .. } = handle.options;
        let target = &handle.options.target;
        handle.add(registers, Via::Front, target, deadline, |_| Work::Registers);
        handle.add(lists, Via::Front, target, deadline, |_| Work::Lists);
        handle.add(bank, Via::Front, target, deadline, |_| Work::Bank { accounts });
        handle.add(sessions, Via::Front, target, deadline, |session| Work::Session { session, version: 0 });
        Ok(handle)
    }
}

/// A workload while it runs. Dropped, its clients are gone at once.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    tasks: Tasks,
    chance: std::sync::Mutex<Chance>,
    clients: AtomicU32,
    directs: AtomicU32,
    header: History,
    options: Options,
}

impl Handle {
    /// Adds writers of unique ids that go straight to `node`, past every router, from now on: they see what a revived
    /// or isolated primary acknowledges. Their [`Via`] is the answer.
    ///
    /// # Errors
    /// When the rate is out of its range or `node` has no address.
    pub fn write_directly(&self, node: &Target, load: Load) -> Result<Via, WorkloadError> {
        self.write_patiently(node, load, self.options.deadline)
    }

    /// The same with a deadline of their own: a session that is to outlast a fault waits longer for an answer than an
    /// application would.
    ///
    /// # Errors
    /// As [`Handle::write_directly`], or when the deadline is out of its range.
    pub fn write_patiently(
        &self,
        node: &Target,
        load: Load,
        deadline: Duration,
    ) -> Result<Via, WorkloadError> {
        Options { registers: load, deadline, ..Options::new(node.clone()) }.check()?;
        let via = Via::Direct(self.directs.fetch_add(1, Ordering::Relaxed));
        self.add(load, via, node, deadline, |_| Work::Registers);
        Ok(via)
    }

    /// Says that a fault is made now: call it immediately before the first effect. The answer is the time in
    /// microseconds since the start; of several the first counts.
    pub fn mark_fault(&self) -> u64 {
        let at_us = self.shared.now_us();
        let mut inner = self.shared.lock();
        if inner.fault_at_us.is_none() {
            inner.fault_at_us = Some(at_us);
            inner.journal.add(&Line::Fault { at_us });
        }
        at_us
    }

    /// Microseconds since the workload started.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.shared.now_us()
    }

    /// How it goes.
    #[must_use]
    pub fn glance(&self) -> Glance {
        self.shared.lock().glance
    }

    /// Asks every client to stop, waits for what is open (at most the deadline and a little), and hands over the
    /// history. What is open even then is unknown.
    pub async fn stop(self) -> History {
        let ended_us = self.shared.now_us();
        let grace = self.options.deadline + STOP_GRACE;
        self.tasks.shutdown(Limits { grace_ms: grace.as_millis() as u64, ..Limits::default() }).await;
        let missed_slots = self.shared.missed_slots.load(Ordering::Relaxed);
        let mut inner = self.shared.lock();
        inner.journal.add(&Line::Stop { at_us: ended_us, missed_slots });
        let operations = std::mem::take(&mut inner.operations);
        History { fault_at_us: inner.fault_at_us, ended_us, missed_slots, operations, ..self.header }
    }

    fn add(&self, load: Load, via: Via, target: &Target, deadline: Duration, work: impl Fn(u32) -> Work) {
        let gap_us = 1_000_000.0 * f64::from(load.clients) / load.rate_per_s;
        let now_us = self.shared.now_us() as f64;
        for index in 0..load.clients {
            let number = self.clients.fetch_add(1, Ordering::Relaxed);
            let chance = self.chance.lock().unwrap_or_else(std::sync::PoisonError::into_inner).split();
            let reads = self.options.read_target.as_ref();
            let work = work(index);
            let client = Client {
                number,
                via,
                work,
                link: Link::new(target.clone(), if self.options.spread { number as usize } else { 0 }),
                reads: reads
                    .filter(|_| matches!(work, Work::Session { .. }))
                    .map(|reads| Link::new(reads.clone(), number as usize)),
                isolation: self.options.isolation,
                deadline,
                chance,
                shared: self.shared.clone(),
            };
            // Spread over one gap, so that all clients together send evenly.
            let first_us = now_us + gap_us * f64::from(index) / f64::from(load.clients);
            let pace = Pace { first_us, gap_us, slot: 0 };
            self.tasks.spawn(format!("drill/database/{number}"), client.run(pace, self.tasks.stop()));
        }
    }
}

/// Reads what survived, in one snapshot, from a server that is not in recovery: standbys are passed over. Tries for
/// `within`. Call it once the clients have stopped.
///
/// # Errors
/// When no primary gave all four tables until the time was up.
pub async fn read_final(target: &Target, within: Duration) -> Result<FinalState, WorkloadError> {
    let deadline = Instant::now() + within;
    let statements = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SELECT pg_is_in_recovery()",
        "SELECT id FROM drill_register ORDER BY id",
        "SELECT key, v FROM drill_list",
        BANK_SQL,
        SESSION_SQL,
        "COMMIT",
    ]
    .map(str::to_owned);
    let mut link = Link::new(target.clone(), 0);
    loop {
        let result = match all(&mut link, &statements, deadline).await {
            Ok(answers) => final_state(&answers, &statements),
            Err(error) => Err(error),
        };
        match result {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => {
                link.leave();
                let why = "a standby answered".to_owned();
                again(WorkloadError::Unreachable { addresses: target.addresses.clone(), why }, deadline)
                    .await?;
            }
            Err(error) => again(error, deadline).await?,
        }
    }
}

type Rows = Vec<Vec<Option<String>>>;

/// `None`: these are the answers of a standby.
fn final_state(answers: &[Rows], statements: &[String]) -> Result<Option<FinalState>, WorkloadError> {
    let garbled = |at: usize| WorkloadError::Garbled { statement: statements[at].clone() };
    let recovery = answers[1].first().and_then(|row| row.first()?.as_deref());
    if recovery != Some("f") {
        return Ok(None);
    }
    let list = |row: &Vec<Option<String>>| {
        let [Some(key), Some(values)] = row.as_slice() else { return None };
        Some((key.parse().ok()?, parse_list(values)?))
    };
    Ok(Some(FinalState {
        registers: numbers(&answers[2]).ok_or_else(|| garbled(2))?,
        lists: answers[3].iter().map(list).collect::<Option<_>>().ok_or_else(|| garbled(3))?,
        balances: numbers(&answers[4]).ok_or_else(|| garbled(4))?,
        versions: numbers(&answers[5]).ok_or_else(|| garbled(5))?,
    }))
}

/// Runs every statement; the rows of each.
pub(super) async fn all(
    link: &mut Link,
    statements: &[String],
    deadline: Instant,
) -> Result<Vec<Rows>, WorkloadError> {
    if let Err(outcome) = link.ready(deadline).await {
        let why = match outcome {
            Outcome::Failed { why } | Outcome::Unknown { why, .. } => why,
            Outcome::Ok => String::new(),
        };
        return Err(WorkloadError::Unreachable { addresses: link.addresses().to_vec(), why });
    }
    let mut answers = Vec::new();
    for statement in statements {
        let why = match link.run(statement, deadline).await {
            Answer::Done { rows, .. } => {
                answers.push(rows);
                continue;
            }
            Answer::Error(code) => code,
            Answer::Broken => "connection broken".to_owned(),
            Answer::Late => "no answer in time".to_owned(),
        };
        link.roll_back(deadline).await;
        return Err(WorkloadError::Refused { statement: statement.clone(), why });
    }
    Ok(answers)
}

/// Waits a little before the next try, or gives the error back when the time is up.
pub(super) async fn again(error: WorkloadError, deadline: Instant) -> Result<(), WorkloadError> {
    if Instant::now() + AGAIN_AFTER >= deadline {
        return Err(error);
    }
    tokio::time::sleep(AGAIN_AFTER).await;
    Ok(())
}
