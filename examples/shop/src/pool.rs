//! A few connections to the database, opened when they are needed and opened again after they broke.

use std::error::Error as _;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_tokio_postgres::MakeRustlsConnect;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use crate::address::Address;
use crate::tls::Tls;

/// Connections of one replica. At 20 orders/s and 10 ms each one would do; nine replicas hold 36, and PostgreSQL takes
/// 100 in its default.
const CONNECTIONS_MAX: usize = 4;
/// The first pause after no host took us in; it doubles ...
const BACKOFF_FIRST: Duration = Duration::from_millis(25);
/// ... up to this: orders wait meanwhile, and a failover takes about a second.
const BACKOFF_MAX: Duration = Duration::from_millis(400);
/// After so long away from the first host of the address, which is the nearest, one order tries it again. Once it takes that in,
/// connections over another are not kept: nothing tells us when that other one's zone stands still, and orders over it
/// would wait in vain.
const AWAY_MAX: Duration = Duration::from_secs(5);
/// Longest such try; a host of the own zone answers in a few milliseconds.
const HOME_WITHIN: Duration = Duration::from_millis(500);
/// What was sent and is not confirmed by the other side's kernel for so long breaks the connection: a network that was
/// cut says nothing.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(3);

/// The connections of one replica.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Address,
    tls: Tls,
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    idle: Vec<Connection>,
    /// The host that is tried first: the one that took us in last ...
    host: usize,
    /// ... and when that was first another than the nearest, or the nearest was last tried.
    away_since: Option<Instant>,
    backoff: Duration,
    not_before: Instant,
    /// What was said about the last failure, so that it is said once.
    told: Option<String>,
}

struct Connection {
    client: Client,
    /// Through another host than the nearest.
    away: bool,
    /// Moves the bytes. Aborted with the connection, whatever it waits for: the socket is closed then.
    _driver: JoinSet<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// A connection in use. Dropped, it is closed, as nobody knows what still comes over it; see [`Lease::give_back`].
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    _permit: SemaphorePermit<'a>,
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug)]
pub(crate) struct NoConnection(pub(crate) String);

impl Pool {
    /// Opens nothing yet.
    pub(crate) fn new(address: Address, tls: Tls) -> Pool {
        let state = State {
            idle: Vec::new(),
            host: 0,
            away_since: None,
            backoff: BACKOFF_FIRST,
            not_before: Instant::now(),
            told: None,
        };
        Pool { address, tls, permits: Semaphore::new(CONNECTIONS_MAX), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is open as far as anybody can know. While no host takes us in, it tries on until `deadline`;
    /// a server that answers and refuses us (a wrong password, no such database) is believed at once.
    pub(crate) async fn take(&self, deadline: Instant) -> Result<Lease<'_>, NoConnection> {
        let busy = || NoConnection("all connections to the database are busy".to_owned());
        let permit = match timeout_at(deadline, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(busy()),
        };
        loop {
            // The runtime looks at its sockets meanwhile, so that a connection that the server ended while nobody used
            // it is known before an order is sent over it and its outcome lost.
            tokio::task::yield_now().await;
            if let Some(connection) = self.home(deadline).await.or_else(|| self.idle()) {
                return Ok(Lease { pool: self, connection, _permit: permit });
            }
            let not_before = self.state().not_before;
            if not_before > Instant::now() {
                sleep_until(not_before.min(deadline)).await;
                if Instant::now() < deadline {
                    continue;
                }
            }
            match self.open(deadline).await {
                Ok(connection) => return Ok(Lease { pool: self, connection, _permit: permit }),
                Err((why, refused)) if refused || Instant::now() >= deadline => {
                    return Err(NoConnection(why));
                }
                Err(_) => {}
            }
        }
    }

    fn idle(&self) -> Option<Connection> {
        let mut state = self.state();
        // The newest first: it has been idle for the shortest time.
        std::iter::from_fn(|| state.idle.pop()).find(|one| !one.client.is_closed())
    }

    /// Looks whether the nearest host is back, when it is time: one order does, while the others go on where they are.
    async fn home(&self, deadline: Instant) -> Option<Connection> {
        {
            let mut state = self.state();
            if state.away_since.is_none_or(|since| since.elapsed() <= AWAY_MAX) {
                return None;
            }
            state.away_since = Some(Instant::now());
        }
        let connection = self.open_at(0, deadline.min(Instant::now() + HOME_WITHIN)).await.ok()?;
        self.state().idle.retain(|one| !one.away);
        Some(connection)
    }

    /// Tries every host once. An error carries whether a server refused us.
    async fn open(&self, deadline: Instant) -> Result<Connection, (String, bool)> {
        let hosts = &self.address.hosts;
        let first = self.state().host;
        let mut last = ("no time was left to connect to the database".to_owned(), false);
        for index in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let (why, refused) = match self.open_at(index, deadline).await {
                Ok(connection) => return Ok(connection),
                Err(failed) => failed,
            };
            // Of several hosts, one that answers says more than one that is gone.
            if refused || !last.1 {
                last = (format!("the database at {}: {why}", hosts[index].name), refused);
            }
        }
        self.failed(&last.0);
        Err(last)
    }

    /// Tries one host. An error says why, and whether a server refused us.
    async fn open_at(&self, index: usize, deadline: Instant) -> Result<Connection, (String, bool)> {
        let now = Instant::now();
        let mut config = self.address.hosts[index].config.clone();
        // Both again here: the library limits only the TCP handshake, and a frozen server still shakes hands.
        config.connect_timeout(self.address.connect_timeout).tcp_user_timeout(UNCONFIRMED_MAX);
        let until = deadline.min(now + self.address.connect_timeout);
        match timeout_at(until, connect(&config, &self.tls.0)).await {
            Ok(Ok(mut connection)) => {
                connection.away = index > 0;
                self.connected(index);
                Ok(connection)
            }
            Ok(Err(error)) => Err((describe(&error), is_refusal(&error))),
            Err(_) => Err((format!("no answer within {} ms", (until - now).as_millis()), false)),
        }
    }

    fn connected(&self, host: usize) {
        let mut state = self.state();
        (state.host, state.backoff) = (host, BACKOFF_FIRST);
        state.away_since = state.away_since.or_else(|| Some(Instant::now())).filter(|_| host > 0);
        if state.told.take().is_some() {
            eprintln!("the database answers at {}", self.address.hosts[host].name);
        }
    }

    fn failed(&self, why: &str) {
        let mut state = self.state();
        state.not_before = Instant::now() + state.backoff;
        state.backoff = (state.backoff * 2).min(BACKOFF_MAX);
        if state.told.is_none() {
            eprintln!("error: {why}; trying again");
        }
        state.told = Some(why.to_owned());
    }

    /// A connection broke in use: whatever broke it has most likely broken the idle ones, some without a sign.
    pub(crate) fn distrust(&self) {
        self.state().idle.clear();
    }

    /// The server in use takes no writes; the next connection goes to the next host.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.idle.clear();
        state.host = (state.host + 1) % self.address.hosts.len();
        state.away_since = Some(Instant::now());
    }
}

/// With `sslmode=require` the address asks for TLS.
async fn connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Connection, tokio_postgres::Error> {
    let mut driver = JoinSet::new();
    // The error of a connection is also that of the statement that waits for it.
    let client = if config.get_ssl_mode() == SslMode::Require {
        let mut config = config.clone();
        let (client, wire) = config.channel_binding(ChannelBinding::Require).connect(tls.clone()).await?;
        driver.spawn(async move { drop(wire.await) });
        client
    } else {
        let (client, wire) = config.connect(NoTls).await?;
        driver.spawn(async move { drop(wire.await) });
        client
    };
    Ok(Connection { client, away: false, _driver: driver })
}

impl Lease<'_> {
    pub(crate) fn client(&self) -> &Client {
        &self.connection.client
    }

    /// Nothing is open on it: others may use it.
    pub(crate) fn give_back(self) {
        let mut state = self.pool.state();
        let is_left = self.connection.away && state.host == 0;
        if !self.connection.client.is_closed() && !is_left {
            state.idle.push(self.connection);
        }
    }
}

/// A server answered that it will not have us, and will say so again: a wrong name or password (28P01), or no such database
/// (3D). Not 28000: a primary that has just taken over answers so to whoever comes before it has opened.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "28P01" || code.code().starts_with("3D"))
}

/// The server's own words with their code, or the chain of causes.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
