//! One connection to the server over its Unix socket, without a task of its own: it is driven while a statement is
//! under way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, Error, NoTls, SimpleQueryMessage, Socket};

use super::server::millis;
use super::{Class, Instance, InstanceError, KEEPER};

/// A connection.
pub(super) struct Session {
    client: Client,
    connection: Connection<Socket, NoTlsStream>,
    over: bool,
    /// It has not answered in time, and may yet.
    late: bool,
    /// Statements that it has planned.
    planned: Vec<&'static str>,
}

/// What is asked on the kept connection.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    /// Statements, as they are.
    Text(&'a str),
    /// One that is asked again and again: parsed and planned once a connection, under its name.
    Planned { name: &'static str, sql: &'a str },
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("over", &self.over).finish_non_exhaustive()
    }
}

/// Lets the connection read and write what it can.
fn drive(
    connection: &mut Connection<Socket, NoTlsStream>,
    over: &mut bool,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    while !*over {
        match connection.poll_message(context) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => {
                *over = true;
                return Err(error);
            }
            Poll::Ready(None) => *over = true,
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// The rows of an answer, as text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Session {
    /// Whether the other side has not ended it meanwhile, as far as that has arrived.
    async fn lives(&mut self) -> bool {
        let Session { connection, over, .. } = self;
        poll_fn(|context| Poll::Ready(drive(connection, over, context).is_ok() && !*over)).await
    }

    fn has_planned(&self, question: Question<'_>) -> bool {
        matches!(question, Question::Planned { name, .. } if self.planned.contains(&name))
    }

    async fn answer(&mut self, question: Question<'_>) -> Result<Rows, Error> {
        let (name, sql) = match question {
            Question::Text(sql) => return self.ask(sql).await,
            Question::Planned { name, sql } => (name, sql),
        };
        if !self.planned.contains(&name) {
            self.ask(&format!("PREPARE {name} AS {sql}")).await?;
            self.planned.push(name);
        }
        self.ask(&format!("EXECUTE {name}")).await
    }

    /// Runs statements; returns the rows.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Rows, Error> {
        let Session { client, connection, over, .. } = self;
        let mut query = pin!(client.simple_query(sql));
        let answer = poll_fn(|context| {
            // Polled first, so that the request is in the queue before the connection looks.
            if let Poll::Ready(done) = query.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            match drive(connection, over, context) {
                Ok(()) => query.as_mut().poll(context),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        let mut rows = Vec::new();
        for message in answer.await? {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }
}

/// What a failed statement may have done. An error that the server reported has undone it; without a report, or with
/// the session ended under it, nobody knows.
pub(super) fn class_of(cause: &Error, writes: bool) -> Class {
    let undone = cause.as_db_error().is_some_and(|error| {
        ![&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN, &SqlState::QUERY_CANCELED]
            .contains(&error.code())
    });
    match (writes, undone) {
        (true, false) => Class::Unknown,
        (true, true) => Class::Permanent,
        (false, _) => Class::Transient,
    }
}

impl Instance {
    /// A new connection. As it is the postmaster's newest child, it shows the settings that the postmaster has.
    pub(super) async fn connect(&self, name: &str) -> Result<Session, InstanceError> {
        let mut config = Config::new();
        config
            .host_path(self.sockets())
            .port(self.options().listen.port())
            .user(KEEPER)
            .dbname("postgres")
            .application_name(name)
            // Beats what a role or database may carry.
            .options("-c synchronous_commit=on -c statement_timeout=0 -c lock_timeout=0");
        let socket = self.sockets().to_owned();
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|cause| InstanceError::Connect { socket, cause })?;
        Ok(Session { client, connection, over: false, late: false, planned: Vec::new() })
    }

    /// Runs statements on the kept connection, or on a new one when that has ended.
    pub(super) async fn kept(
        &self,
        what: &'static str,
        sql: &str,
        writes: bool,
        within: Duration,
    ) -> Result<Rows, InstanceError> {
        self.kept_question(what, Question::Text(sql), writes, within).await
    }

    /// As [`Instance::kept`], of one question. Whatever interrupts it, the next call gets no answer of this one: each question
    /// has a channel of its own for its answers.
    ///
    /// A connection whose planned question was not answered in time is asked again, beside a new one: a session that stood
    /// still with its server answers as soon as that goes on, while a new one needs a process, which takes the better part of a
    /// second on a busy machine. Two primaries that had paused for less than half a second were ended for that (soak `--calm`).
    pub(super) async fn kept_question(
        &self,
        what: &'static str,
        question: Question<'_>,
        writes: bool,
        within: Duration,
    ) -> Result<Rows, InstanceError> {
        let class = if writes { Class::Unknown } else { Class::Transient };
        let late = || InstanceError::Late { what, within_ms: millis(within), class };
        let until = Instant::now() + within;
        let mut kept = timeout_at(until, self.session.lock()).await.map_err(|_| late())?;
        let mut old = kept.take();
        if let Some(session) = &mut old
            && !session.lives().await
        {
            old = None;
        }
        // What is under way there may hold up anything else.
        old = old.filter(|session| !session.late || session.has_planned(question));
        let asked = timeout_at(until, self.asked(what, question, writes, &mut old)).await;
        match asked {
            Ok(Ok((rows, session))) => {
                *kept = Some(session);
                Ok(rows)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                *kept = old.filter(|session| session.has_planned(question));
                kept.iter_mut().for_each(|session| session.late = true);
                Err(late())
            }
        }
    }

    /// Asks over `old`, and over a new connection when that has ended or is late. `old` stays where it is until there is an
    /// answer.
    async fn asked(
        &self,
        what: &'static str,
        question: Question<'_>,
        writes: bool,
        old: &mut Option<Session>,
    ) -> Result<(Rows, Session), InstanceError> {
        let anew = self.asked_anew(what, question, writes);
        let Some(session) = old else { return anew.await };
        let is_late = session.late;
        let (mut anew, mut failed) = (pin!(anew), None);
        let answer = {
            let mut answer = pin!(session.answer(question));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer,
                    fresh = &mut anew, if is_late && failed.is_none() => match fresh {
                        // The late one is closed.
                        Ok(fresh) => return Ok(fresh),
                        Err(error) => failed = Some(error),
                    },
                }
            }
        };
        let session = old.take();
        match (answer, session) {
            (Ok(rows), Some(session)) => Ok((rows, Session { late: false, ..session })),
            // Ended while nobody asked, so the statement was not carried out.
            (Err(cause), _) if writes || cause.as_db_error().is_some() => {
                let class = class_of(&cause, writes);
                Err(InstanceError::Sql { what, cause, class })
            }
            _ => match failed {
                Some(error) => Err(error),
                None => anew.await,
            },
        }
    }

    async fn asked_anew(
        &self,
        what: &'static str,
        question: Question<'_>,
        writes: bool,
    ) -> Result<(Rows, Session), InstanceError> {
        let mut session = self.connect("evenkeel-keeper").await?;
        match session.answer(question).await {
            Ok(rows) => Ok((rows, session)),
            Err(cause) => {
                let class = class_of(&cause, writes);
                Err(InstanceError::Sql { what, cause, class })
            }
        }
    }
}
