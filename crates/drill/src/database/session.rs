//! One connection to a server, driven by the task that uses it: warnings are read in their place before the answer,
//! and a connection that ended while it was idle is known before the next statement is sent.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, SimpleQueryMessage};

use super::decide_history::Outcome;
use super::decide_outcome::{Saw, Stage, Warned, conclude};
use super::tls::{Secured, Trust, Way};

/// How long a connection may take until the server is ready for the first statement.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The first wait after all addresses failed; it doubles ...
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// ... up to this: what is measured is the database, so a client is back within a twentieth of a second.
const BACKOFF_CAP: Duration = Duration::from_millis(50);

/// Where a client connects.
#[derive(Clone)]
pub struct Target {
    /// Tried in turn until one takes us in; after an error that says `not a primary` the next one is used.
    pub addresses: Vec<SocketAddr>,
    /// The role.
    pub user: String,
    /// Its password, where the server asks for one. In no log and in no journal.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// Connections are secured, and these servers believed; `None`: they are not secured.
    pub trust: Option<Trust>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "(secret)");
        f.debug_struct("Target")
            .field("addresses", &self.addresses)
            .field("user", &self.user)
            .field("password", &password)
            .field("database", &self.database)
            .field("secured", &self.trust.is_some())
            .finish()
    }
}

/// What came back for one statement.
pub(super) enum Answer {
    /// Success: rows of text, how many rows the command says it touched, and warnings.
    Done { rows: Vec<Vec<Option<String>>>, touched: u64, warned: Warned },
    /// An error of the server; the connection may go on.
    Error(String),
    /// The connection is of no use any more.
    Broken,
    /// The deadline passed; the connection is of no use any more.
    Late,
}

impl Answer {
    /// What an operation that writes may conclude.
    pub(super) fn conclude(&self, stage: Stage) -> Outcome {
        conclude(stage, self.saw())
    }

    fn saw(&self) -> Saw<'_> {
        match self {
            Answer::Done { warned, .. } => Saw::Done(*warned),
            Answer::Error(code) => Saw::Error(code),
            Answer::Broken => Saw::Broken,
            Answer::Late => Saw::Late,
        }
    }
}

struct Session {
    client: Client,
    /// `None` once it ended: only then do waiting answers learn of it.
    connection: Option<Wire>,
}

/// A way to a server that is opened when it is needed and opened again after it broke.
pub(super) struct Link {
    target: Target,
    /// Index of the address that is tried first, as `${db.url}` has the own zone's front first: clients that stayed where
    /// they once fled to would all be at one front after some faults.
    first: usize,
    /// Index of the address in use.
    at: usize,
    session: Option<Session>,
    backoff: Duration,
    not_before: Option<Instant>,
}

impl Link {
    /// Opens nothing yet. `first` spreads clients over the addresses.
    pub(super) fn new(target: Target, first: usize) -> Link {
        let first = first % target.addresses.len().max(1);
        Link { target, first, at: first, session: None, backoff: BACKOFF_FIRST, not_before: None }
    }

    /// Makes sure that a server has taken us in; `Err` is why not, and then nothing was sent.
    pub(super) async fn ready(&mut self, deadline: Instant) -> Result<(), Outcome> {
        if self.session.as_mut().is_some_and(Session::is_alive) {
            return Ok(());
        }
        if self.session.take().is_some() {
            self.at = self.first;
        }
        if let Some(at) = self.not_before.take() {
            tokio::time::sleep_until(at.min(deadline)).await;
        }
        let mut last = conclude(Stage::Connecting, Saw::Late);
        for _ in 0..self.target.addresses.len() {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let opening = Session::open(&self.target, self.target.addresses[self.at]);
            last = match timeout_at(deadline.min(now + CONNECT_TIMEOUT), opening).await {
                Ok(Ok(session)) => {
                    self.session = Some(session);
                    self.backoff = BACKOFF_FIRST;
                    return Ok(());
                }
                Ok(Err(code)) => conclude(Stage::Connecting, code.as_deref().map_or(Saw::Broken, Saw::Error)),
                Err(_) => conclude(Stage::Connecting, Saw::Late),
            };
            self.next_address();
        }
        self.not_before = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_CAP);
        Err(last)
    }

    /// Sends one statement over the open connection. Whatever makes the connection useless closes it.
    pub(super) async fn run(&mut self, statement: &str, deadline: Instant) -> Answer {
        let Some(session) = &mut self.session else { return Answer::Broken };
        let answer = match timeout_at(deadline, session.run(statement)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Late,
        };
        match &answer {
            Answer::Broken | Answer::Late => self.close(),
            // The server goes down, or whoever stands between: the next statement would meet a dead connection.
            Answer::Error(code) if code.starts_with("57P") || code.starts_with("08") => self.close(),
            // A standby: the primary is elsewhere, or will be.
            Answer::Error(code) if code == "25006" => self.leave(),
            _ => {}
        }
        answer
    }

    /// Ends the transaction that an error left open.
    pub(super) async fn roll_back(&mut self, deadline: Instant) {
        if self.session.is_some() && !matches!(self.run("ROLLBACK", deadline).await, Answer::Done { .. }) {
            self.session = None;
        }
    }

    /// The next one is tried at the first address again.
    fn close(&mut self) {
        self.session = None;
        self.at = self.first;
    }

    /// Goes on to the next address.
    pub(super) fn leave(&mut self) {
        self.session = None;
        self.next_address();
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.target.addresses
    }

    fn next_address(&mut self) {
        self.at = (self.at + 1) % self.target.addresses.len().max(1);
    }
}

impl Session {
    /// `Err` is the SQLSTATE, if a server said one.
    async fn open(target: &Target, address: SocketAddr) -> Result<Session, Option<String>> {
        let stream = TcpStream::connect(address).await.map_err(|_| None)?;
        // A statement is one small packet: waiting for more of them is latency for nothing. Failing changes no result.
        let _ = stream.set_nodelay(true);
        let mut config = Config::new();
        config
            .user(&target.user)
            .dbname(&target.database)
            .application_name("drill")
            .ssl_mode(if target.trust.is_some() { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &target.password {
            config.password(password);
        }
        let opened = config.connect_raw(stream, Way(target.trust.clone())).await;
        let (client, connection) = opened.map_err(|error| error.code().map(|code| code.code().to_owned()))?;
        Ok(Session { client, connection: Some(connection) })
    }

    /// Looks, without waiting, whether the server has ended the connection.
    fn is_alive(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        drive(&mut self.connection, &mut context, &mut Warned::default());
        self.connection.is_some()
    }

    async fn run(&mut self, statement: &str) -> Answer {
        let mut warned = Warned::default();
        let result = {
            let Session { client, connection } = self;
            let mut query = pin!(client.simple_query(statement));
            poll_fn(|context| {
                // The query first: it hands the statement over on its first turn. Then the connection, until it has
                // nothing more, and the query again, which may have its answer by now.
                if let Poll::Ready(result) = query.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                drive(connection, context, &mut warned);
                query.as_mut().poll(context)
            })
            .await
        };
        match result {
            Ok(messages) => done(messages, warned),
            Err(error) => match error.code() {
                Some(code) => Answer::Error(code.code().to_owned()),
                None => Answer::Broken,
            },
        }
    }
}

type Wire = Connection<TcpStream, Secured>;

/// Moves bytes both ways until there is nothing to move.
fn drive(connection: &mut Option<Wire>, context: &mut Context<'_>, warned: &mut Warned) {
    while let Some(open) = connection {
        match open.poll_message(context) {
            Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => note(warned, &notice),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_)) | None) => *connection = None,
            Poll::Pending => return,
        }
    }
}

/// The function of PostgreSQL that warns is named in the notice, the same in every language; a pooler that leaves it
/// out leaves the English text.
fn note(warned: &mut Warned, notice: &DbError) {
    let text = notice.detail().unwrap_or_else(|| notice.message());
    warned.not_replicated |=
        notice.routine() == Some("SyncRepWaitForLSN") || text.contains("might not have been replicated");
    warned.no_transaction |= notice.code().code() == "25P01";
}

fn done(messages: Vec<SimpleQueryMessage>, warned: Warned) -> Answer {
    let (mut rows, mut touched) = (Vec::new(), 0);
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(count) => touched = count,
            _ => {}
        }
    }
    Answer::Done { rows, touched, warned }
}
