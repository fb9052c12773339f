//! The order table: `id`, what was ordered, who carried it out, and how often.
//!
//! An order is one statement outside a transaction, so its commit is what the server's answer confirms. From the
//! moment it is handed to the connection until that answer nobody can know whether it was carried out, and then the
//! caller is told so. It is sent again only when it surely had no effect.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::address::Address;
use crate::pool::{Lease, Pool, describe};
use crate::tls::Tls;

/// Longest time for one order or one look-up, waiting for a connection and a second try in it. It is kept here and not
/// by `statement_timeout`: the server's limit does not end a commit that waits for its standbys. Below the 10 s that callers
/// often wait, so that they hear what became of it.
const WITHIN: Duration = Duration::from_secs(9);
/// Longest time for `/readyz`.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// Between two tries to make the table when the server refuses.
const PREPARE_AGAIN: Duration = Duration::from_secs(1);

const EXISTS: &str = "SELECT to_regclass('orders') IS NOT NULL";
/// Both in one transaction. `IF NOT EXISTS` alone is no guard against another replica that does the same at the same
/// time: both find nothing, and one meets the other's entry in the catalogue. The number is any that others do not use.
const CREATE: &str = "SELECT pg_advisory_xact_lock(7236837203); \
    CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, item text, unit text, \
    at timestamptz DEFAULT now(), times integer DEFAULT 1)";
/// A repeated id is carried out again, as in the journal, and can be seen.
const ADD: &str = "INSERT INTO orders (id, item, unit) VALUES ($1, $2, $3) \
    ON CONFLICT (id) DO UPDATE SET times = orders.times + 1";
const FIND: &str = "SELECT item, unit, times FROM orders WHERE id = $1";
const COUNT: &str = "SELECT count(*), coalesce(sum(times), 0)::bigint FROM orders";

/// SQLSTATE classes and codes of errors after which the statement surely had no effect, and whether the same again may
/// succeed (PostgreSQL 15, appendix A). What is not here is unknown, above all 08 (connection), 57P01 and 57P02 (they
/// may come between a commit and its answer).
const NO_EFFECT: &[(&str, bool)] = &[
    ("22", false),
    ("23", false),
    ("25", true),
    ("28", false),
    ("3D", false),
    ("40001", true),
    ("40P01", true),
    ("42", false),
    ("53", true),
    ("54", false),
    ("55", true),
    ("57014", false),
    ("57P03", true),
];

/// The orders in the database.
#[derive(Debug)]
pub(crate) struct Database {
    pool: Pool,
    /// The table is known to be there.
    has_table: AtomicBool,
}

/// Why something was not done, for the caller.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) effect: Effect,
    again: bool,
}

/// What the caller of a failed order may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It was not carried out.
    None,
    /// It was sent, and its answer did not come.
    Unknown,
}

/// An order in the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) item: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) times: Option<i32>,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Database {
    pub(crate) fn new(address: Address, tls: Tls) -> Database {
        Database { pool: Pool::new(address, tls), has_table: AtomicBool::new(false) }
    }

    /// Makes the table if it is missing, trying until that is done. Orders that come earlier do it themselves.
    pub(crate) async fn prepare(&self) {
        let mut told = None;
        while !self.has_table.load(Ordering::Relaxed) {
            let deadline = Instant::now() + WITHIN;
            let done = match self.pool.take(deadline).await {
                Ok(lease) => self.make_table(&lease, deadline).await.map(|()| lease.give_back()),
                // The pool has told it.
                Err(_) => {
                    sleep(PREPARE_AGAIN).await;
                    continue;
                }
            };
            if let Err(failure) = done {
                if told.as_ref() != Some(&failure.why) {
                    eprintln!("error: the table of orders cannot be made: {}; trying again", failure.why);
                }
                told = Some(failure.why);
                sleep(PREPARE_AGAIN).await;
            }
        }
    }

    /// Carries out an order; `Ok` after its commit.
    pub(crate) async fn add(&self, id: &str, item: &str, unit: &str) -> Result<(), Failure> {
        let parameters: [Parameter<'_>; 3] = [(&id, Type::TEXT), (&item, Type::TEXT), (&unit, Type::TEXT)];
        let done =
            self.ask(ADD, &parameters, |failure| failure.again && failure.effect == Effect::None).await;
        done.map(|_| ())
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Found>, Failure> {
        // Reading twice does no harm.
        let rows = self.ask(FIND, &[(&id, Type::TEXT)], |failure| failure.again).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let found = || Ok(Found { item: row.try_get(0)?, unit: row.try_get(1)?, times: row.try_get(2)? });
        found().map(Some).map_err(|error| Failure::sure(describe(&error), false))
    }

    /// Different ids, and how often they were carried out together.
    pub(crate) async fn count(&self) -> Result<(i64, i64), Failure> {
        let rows = self.ask(COUNT, &[], |failure| failure.again).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let row = rows.first().ok_or_else(|| Failure::sure("the count has no row".to_owned(), false))?;
        read(row).map_err(|error: tokio_postgres::Error| Failure::sure(describe(&error), false))
    }

    /// Whether a server answers a statement now.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        self.attempt("SELECT 1", &[], Instant::now() + READY_WITHIN).await.map(|_| ())
    }

    /// One statement, and once more when `may_repeat`.
    async fn ask(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        may_repeat: impl Fn(&Failure) -> bool,
    ) -> Result<Vec<Row>, Failure> {
        let deadline = Instant::now() + WITHIN;
        match self.attempt(statement, parameters, deadline).await {
            Err(failure) if may_repeat(&failure) => self.attempt(statement, parameters, deadline).await,
            done => done,
        }
    }

    async fn attempt(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        let lease = self.pool.take(deadline).await.map_err(|none| Failure::sure(none.0, false))?;
        if !self.has_table.load(Ordering::Relaxed) {
            self.make_table(&lease, deadline).await?;
        }
        // Nothing is awaited between this look and the hand-over.
        if lease.client().is_closed() {
            return Err(Failure::sure("the connection had ended".to_owned(), true));
        }
        match timeout_at(deadline, lease.client().query_typed(statement, parameters)).await {
            Ok(Ok(rows)) => {
                lease.give_back();
                Ok(rows)
            }
            Ok(Err(error)) => Err(self.failed(lease, &error)),
            Err(_) => {
                self.pool.distrust();
                let why = format!("no answer within {} s", WITHIN.as_secs());
                Err(Failure { why, effect: Effect::Unknown, again: false })
            }
        }
    }

    fn failed(&self, lease: Lease<'_>, error: &tokio_postgres::Error) -> Failure {
        let why = describe(error);
        let code = error.code().map(|code| code.code());
        let known = code.and_then(|code| NO_EFFECT.iter().find(|(known, _)| code.starts_with(known)));
        match (code, known) {
            (Some("25006"), _) => self.pool.leave(),
            (Some(_), Some(_)) => lease.give_back(),
            _ => self.pool.distrust(),
        }
        match known {
            Some((_, again)) => Failure::sure(why, *again),
            None => Failure { why, effect: Effect::Unknown, again: true },
        }
    }

    /// Whatever happens here, no order was sent.
    async fn make_table(&self, lease: &Lease<'_>, deadline: Instant) -> Result<(), Failure> {
        let make = async {
            let rows = lease.client().query_typed(EXISTS, &[]).await?;
            let exists = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
            // Only when it is missing: making it takes a right that a role may not have later.
            if exists { Ok(()) } else { lease.client().batch_execute(CREATE).await }
        };
        match timeout_at(deadline, make).await {
            Ok(Ok(())) => {
                self.has_table.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => Err(Failure::sure(describe(&error), true)),
            Err(_) => Err(Failure::sure("making the table took too long".to_owned(), false)),
        }
    }
}

impl Failure {
    fn sure(why: String, again: bool) -> Failure {
        Failure { why, effect: Effect::None, again }
    }
}
