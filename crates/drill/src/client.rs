//! One request of the load, from its place in the schedule to what its caller saw.
//!
//! The rules, with their sources:
//! - a front that refuses or does not open a connection got nothing: the next front is asked;
//! - nothing is ever repeated on the connection it was sent on;
//! - an idempotent request whose front went out, or whose connection ended before the first byte of the answer, is
//!   sent once more, on a new connection to another front (RFC 9110 9.2.2);
//! - a `POST` is sent with `Expect: 100-continue`, and its body leaves after the front's `100 Continue` alone. Without
//!   it, nothing was carried out and another front is asked (RFC 9110 10.1.1). Once the body has left, this client
//!   never sends it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::decide_record::{Blamed, Failure, Kind, Outcome};
use crate::entry::{Entry, Front, Tried};
use crate::http::{Answer, Broken, Conn, ConnectError, Leave};
use crate::options::Paths;

/// A caller waits this long for everything together.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A front that has not asked for the body by then is passed over.
const CONTINUE_TIMEOUT: Duration = Duration::from_millis(300);
/// Once its front is out, an answer that only this front can give is waited for this long.
const GRACE: Duration = Duration::from_secs(2);

/// Sends requests through an [`Entry`].
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) entry: Arc<Entry>,
    paths: Paths,
    /// First part of every id of this run.
    prefix: String,
    /// Times in the records count from here.
    zero: Instant,
    /// Idempotent requests that were sent to a second front.
    pub(crate) second_front: AtomicU64,
    /// Times a front was passed over with nothing carried out: no connection, or no `100 Continue`.
    pub(crate) passed_over: AtomicU64,
}

/// What an attempt came to.
enum Attempt {
    Done(Answer),
    /// Nothing was carried out, or nothing that may not be carried out again: another front may be asked.
    Elsewhere,
    /// Over; the evidence says why.
    Over,
}

impl Client {
    pub(crate) fn new(entry: Arc<Entry>, paths: Paths, prefix: String, zero: Instant) -> Client {
        Client { entry, paths, prefix, zero, second_front: AtomicU64::new(0), passed_over: AtomicU64::new(0) }
    }

    fn now_us(&self) -> u64 {
        self.zero.elapsed().as_micros() as u64
    }

    /// Sends one request and sees it to its end, within [`REQUEST_TIMEOUT`].
    pub(crate) async fn request(&self, kind: Kind, seq: u64) -> Outcome {
        let mut seen = Failure::default();
        let all = async {
            match kind {
                Kind::Read => self.get(&self.paths.read, &mut seen).await,
                Kind::Slow => self.get(&self.paths.slow, &mut seen).await,
                Kind::Write => self.post(seq, &mut seen).await,
            }
        };
        let answer = match timeout(REQUEST_TIMEOUT, all).await {
            Ok(answer) => answer,
            Err(_) => {
                seen.why = format!("no answer within {} s", REQUEST_TIMEOUT.as_secs());
                // Whatever was still open then had fallen silent.
                seen.connection_held = seen.sent_us.is_some();
                None
            }
        };
        let Some(answer) = answer else { return Outcome::Failed(seen) };
        match self.unexpected(kind, seq, &answer) {
            None => Outcome::Expected,
            Some(why) => {
                seen.outcome_unknown = answer.status == 503 && answer.outcome_unknown;
                seen.blamed = answer.blame.as_deref().and_then(Blamed::parse);
                seen.why = why;
                Outcome::Failed(seen)
            }
        }
    }

    fn unexpected(&self, kind: Kind, seq: u64, answer: &Answer) -> Option<String> {
        let expected = if kind == Kind::Write { 201 } else { 200 };
        if answer.status != expected {
            let blame = answer.blame.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
            return Some(format!("status {} instead of {expected}{blame}", answer.status));
        }
        if kind == Kind::Write {
            let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
            let id = self.id(seq);
            let same = body.as_ref().and_then(|b| b.get("id")).and_then(|v| v.as_str()) == Some(id.as_str());
            return (!same).then(|| format!("the answer does not name the order `{id}`"));
        }
        answer.body.is_empty().then(|| "an empty page".to_owned())
    }

    /// The unique id of the write at this place of the schedule.
    pub(crate) fn id(&self, seq: u64) -> String {
        id(&self.prefix, seq)
    }

    async fn get(&self, path: &str, seen: &mut Failure) -> Option<Answer> {
        let mut tried = Tried::default();
        let mut second = false;
        while let Some(index) = self.entry.pick(&tried) {
            tried.add(index);
            let front = &self.entry.fronts[index];
            let Some(mut conn) = self.connect(front, index, second, seen).await else {
                if seen.own_fault {
                    return None;
                }
                continue;
            };
            match self.get_once(path, front, &mut conn, seen).await {
                Attempt::Done(answer) => {
                    self.release(front, conn, &answer);
                    return Some(answer);
                }
                Attempt::Elsewhere if !second => {
                    second = true;
                    self.second_front.fetch_add(1, Ordering::Relaxed);
                }
                Attempt::Elsewhere | Attempt::Over => return None,
            }
        }
        None
    }

    async fn get_once(&self, path: &str, front: &Front, conn: &mut Conn, seen: &mut Failure) -> Attempt {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: evenkeel-drill\r\n\r\n", front.host);
        let gone = front.goes_out();
        seen.sent_us = Some(self.now_us());
        let exchange = async {
            conn.send(head.as_bytes()).await?;
            conn.answer().await
        };
        tokio::select! {
            biased;
            answer = exchange => match answer {
                Ok(answer) => Attempt::Done(answer),
                Err(broken) => held(seen, broken),
            },
            () = gone => {
                seen.why = "its front fell silent".to_owned();
                seen.connection_held = true;
                Attempt::Elsewhere
            }
        }
    }

    async fn post(&self, seq: u64, seen: &mut Failure) -> Option<Answer> {
        let body = format!("{{\"id\":\"{}\",\"item\":\"kettle\"}}", self.id(seq));
        let mut tried = Tried::default();
        while let Some(index) = self.entry.pick(&tried) {
            tried.add(index);
            let front = &self.entry.fronts[index];
            let Some(mut conn) = self.connect(front, index, false, seen).await else {
                if seen.own_fault {
                    return None;
                }
                continue;
            };
            match self.post_once(&body, front, &mut conn, seen).await {
                Attempt::Done(answer) => {
                    self.release(front, conn, &answer);
                    return Some(answer);
                }
                Attempt::Elsewhere => {
                    self.passed_over.fetch_add(1, Ordering::Relaxed);
                }
                Attempt::Over => return None,
            }
        }
        None
    }

    async fn post_once(&self, body: &str, front: &Front, conn: &mut Conn, seen: &mut Failure) -> Attempt {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: evenkeel-drill\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            self.paths.write,
            front.host,
            body.len()
        );
        let gone = front.goes_out();
        let ask = async {
            conn.send(head.as_bytes()).await?;
            conn.leave().await
        };
        let leave = tokio::select! {
            biased;
            leave = timeout(CONTINUE_TIMEOUT, ask) => leave,
            () = gone => {
                seen.why = "its front fell silent before it asked for the body".to_owned();
                return Attempt::Elsewhere;
            }
        };
        match leave {
            Ok(Ok(Leave::Continue)) => {}
            Ok(Ok(Leave::Final(answer))) => return Attempt::Done(answer),
            Ok(Err(broken)) => {
                seen.why = broken.why;
                return Attempt::Elsewhere;
            }
            Err(_) => {
                seen.why = format!("no `100 Continue` within {} ms", CONTINUE_TIMEOUT.as_millis());
                return Attempt::Elsewhere;
            }
        }
        self.post_body(body, front, conn, seen).await
    }

    /// From here on only the application knows whether it was carried out: whatever happens, it is not sent again.
    async fn post_body(&self, body: &str, front: &Front, conn: &mut Conn, seen: &mut Failure) -> Attempt {
        let gone = front.goes_out();
        seen.sent_us = Some(self.now_us());
        seen.body_sent = true;
        let exchange = async {
            conn.send(body.as_bytes()).await?;
            conn.answer().await
        };
        let patience = async {
            gone.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            answer = exchange => match answer {
                Ok(answer) => Attempt::Done(answer),
                Err(broken) => {
                    held(seen, broken);
                    Attempt::Over
                }
            },
            () = patience => {
                seen.why = "its front fell silent with the body".to_owned();
                seen.connection_held = true;
                Attempt::Over
            }
        }
    }

    /// A connection to a front, and the evidence starts afresh with it.
    async fn connect(&self, front: &Front, index: usize, fresh: bool, seen: &mut Failure) -> Option<Conn> {
        *seen = Failure { front: Some(index), ..Failure::default() };
        match front.connection(fresh).await {
            Ok(conn) => return Some(conn),
            Err(ConnectError::Refused(why)) => {
                seen.why = why;
                self.passed_over.fetch_add(1, Ordering::Relaxed);
            }
            Err(ConnectError::Own(why)) => {
                seen.why = why;
                seen.own_fault = true;
            }
        }
        None
    }

    fn release(&self, front: &Front, conn: Conn, answer: &Answer) {
        if answer.reusable {
            front.keep(conn);
        }
    }
}

/// The unique id of the write at `seq` of the run with this prefix.
pub(crate) fn id(prefix: &str, seq: u64) -> String {
    format!("{prefix}-{seq}")
}

fn held(seen: &mut Failure, broken: Broken) -> Attempt {
    seen.why = broken.why;
    seen.connection_held = true;
    if broken.before_first_byte { Attempt::Elsewhere } else { Attempt::Over }
}
