//! A small shop: a catalogue, a cart, and orders whose effects can be counted.
//!
//! It is an application as evenkeel finds it, and knows nothing of evenkeel. Each order it carries out is one line
//! in its journal, written before the answer, also when the same id comes twice: it hides nothing, so a drill can
//! count lost and double effects. With `DATABASE_URL` in its environment orders are rows of a PostgreSQL table
//! instead, committed before the answer, and a repeated id counts up.

mod address;
mod app;
mod database;
mod journal;
mod orders;
mod pool;
mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::app::{Capacity, Shop};
use crate::database::Database;
use crate::journal::Journal;
use crate::orders::{Book, Kept};
use crate::tls::Tls;

/// Open requests may take this long after a stop was asked for.
const FINISH_WITHIN: Duration = Duration::from_secs(30);

/// Where the database is. In the environment, as it holds a password and every user can read arguments.
const DATABASE_URL: &str = "DATABASE_URL";

/// A small web shop that keeps a journal of its orders, or keeps them in the database of DATABASE_URL.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// File that each carried-out order is appended to; not used with DATABASE_URL
    #[arg(long, value_name = "PATH", required = std::env::var_os(DATABASE_URL).is_none())]
    journal: Option<PathBuf>,
    /// Name of this replica in the journal and on the page
    #[arg(long, default_value = "shop")]
    unit: String,
    /// Requests served at once; others wait for their turn
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// Work of each request, for which it holds its slot: `5ms`, `1.5s`
    #[arg(long, value_name = "T", default_value = "0ms", value_parser = duration)]
    service_time: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration of at most 60 s, as `5ms` or `1.5s`".to_owned();
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = number * factor;
    if !(0.0..=60.0).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// One thread is enough: a request is a line of JSON and a sleep, and six replicas share the machine.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    // Its tasks end with this function.
    let mut background = JoinSet::new();
    let book = match (std::env::var_os(DATABASE_URL), &args.journal) {
        (Some(address), _) => {
            let database = Arc::new(Database::new(Address::parse(&address)?, Tls::new()?));
            let theirs = database.clone();
            background.spawn(async move { theirs.prepare().await });
            Book::Database(database)
        }
        (None, Some(journal)) => Book::Journal(Journal::open(journal)?, Mutex::new(Kept::default())),
        (None, None) => anyhow::bail!("neither `--journal` nor `{DATABASE_URL}` says where orders are kept"),
    };
    let listener = TcpListener::bind((args.address, args.port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", args.address, args.port))?;
    // Asked for before the first request, so that a stop right after the start is not a kill.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    println!("listening on http://{}", listener.local_addr().context("no local address")?);

    let capacity = Capacity { slots: args.slots as usize, service_time: args.service_time };
    let router = app::router(Shop::new(book, args.unit, capacity));
    let (asked, mut was_asked) = tokio::sync::watch::channel(false);
    let stop = async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.send_replace(true);
    };
    let finish = async move {
        // An error says that the server ended first; then there is nothing to limit.
        if was_asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(FINISH_WITHIN).await;
    };
    tokio::select! {
        biased;
        () = finish => anyhow::bail!("requests were still open {} s after the stop", FINISH_WITHIN.as_secs()),
        served = axum::serve(listener, router).with_graceful_shutdown(stop) => served.context("cannot serve"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        assert_eq!(duration("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        for bad in ["", "5", "ms", "-1s", "NaNs", "infs", "61s", "5 minutes"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
