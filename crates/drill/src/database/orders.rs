//! The orders of an application that keeps them in a PostgreSQL database: the same evidence as its journals.
//!
//! The table is `orders`, with `id text PRIMARY KEY` and `times integer`, how often it was carried out (that of
//! `examples/shop`).

use std::time::Duration;

use tokio::time::Instant;

use super::error::WorkloadError;
use super::session::{Link, Target};
use super::workload::{again, all};
use crate::journal::Executions;

/// How often each order was carried out whose id starts with `prefix` (those of one run), in one snapshot, from a
/// server that is not in recovery: a standby may lag, and what it does not have yet would count as lost. Tries for
/// `within`.
///
/// Go the way the application goes, as a primary that was cut off looks like any other; and call it once the load has
/// ended. A row whose `times` is no positive number is damage, not an execution.
///
/// # Errors
/// When no primary gave the table until the time was up. That includes a database without the table (`42P01`): it is
/// more likely the wrong one than one that lost all.
pub async fn read_orders(
    target: &Target,
    prefix: &str,
    within: Duration,
) -> Result<Executions, WorkloadError> {
    let deadline = Instant::now() + within;
    let statements = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
        "SELECT pg_is_in_recovery()".to_owned(),
        // No backslash is special in it, whatever the database's settings are.
        "SET LOCAL standard_conforming_strings = on".to_owned(),
        format!("SELECT id, times FROM orders WHERE starts_with(id, '{}')", prefix.replace('\'', "''")),
        "COMMIT".to_owned(),
    ];
    let mut link = Link::new(target.clone(), 0);
    loop {
        let error = match all(&mut link, &statements, deadline).await {
            Ok(answers) if answers[1].first().and_then(|row| row.first()?.as_deref()) == Some("f") => {
                return Ok(executions(&answers[3]));
            }
            Ok(_) => {
                link.leave();
                let why = "a standby answered".to_owned();
                WorkloadError::Unreachable { addresses: target.addresses.clone(), why }
            }
            Err(error) => error,
        };
        again(error, deadline).await?;
    }
}

fn executions(rows: &[Vec<Option<String>>]) -> Executions {
    let mut found = Executions::default();
    for row in rows {
        match row.as_slice() {
            [Some(id), Some(times)] => found.count(id.clone(), times.parse().unwrap_or(0)),
            _ => found.damaged += 1,
        }
    }
    found
}
