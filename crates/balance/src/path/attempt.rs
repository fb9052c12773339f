//! One attempt: a connection to one endpoint, the request on it, and the first bytes of the response.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use model::{Moment, Probe};
use net::{Endpoint, Wait};
use tokio::net::{TcpSocket, TcpStream};

use super::answer::write_all;
use super::connection::{Client, Request};
use super::download::Upstream;
use super::poll_write_two;
use super::upload::{Upload, UploadError, nonzero};
use crate::h1::body::Body;
use crate::h1::buffer::Buffer;
use crate::h1::framing;
use crate::h1::parse::{self, Refusal, no_fields, refuse};
use crate::h1::rewrite::{self, ToClient};
use crate::limits::{PROOF_MS, REPLAY_BYTES_MAX};
use crate::snapshot::CompiledPool;
use crate::worker::{Target, Worker};

/// `1xx` heads before a response; more are an attack or a loop.
const INTERIM_MAX: u32 = 16;

/// A response whose head was read.
pub(crate) struct Begun {
    pub upstream: Upstream,
    /// What goes to the client.
    pub head: Vec<u8>,
    pub body: Body,
    pub status: u16,
    /// The endpoint keeps its connection open.
    pub upstream_keeps: bool,
    /// The client was told that its connection stays open.
    pub client_keeps: bool,
    /// Both sides agreed to become a WebSocket.
    pub upgrade: bool,
}

/// Why an attempt gave no response.
pub(crate) enum Stop {
    /// The endpoint failed; another may do better.
    Failed(Failure),
    /// The endpoint did not prove its life in time; nothing of the request was sent.
    Unproven,
    /// The endpoint became a suspect while the request waited for it; it goes elsewhere, see [`Attempt::elsewhere`].
    Doubted,
    /// The client went away.
    ClientGone,
    /// The client's body cannot be sent on.
    Refused(Refusal),
}

/// How an endpoint failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub status: u16,
    /// One word for the header and the log.
    pub reason: &'static str,
    /// A response had begun, so that trying again is out of the question.
    pub begun: bool,
}

const fn failed(status: u16, reason: &'static str) -> Stop {
    Stop::Failed(Failure { status, reason, begun: false })
}

const fn failed_late(reason: &'static str) -> Stop {
    Stop::Failed(Failure { status: 502, reason, begun: true })
}

/// Everything an attempt needs; borrowed for its time.
pub(crate) struct Attempt<'a> {
    pub worker: &'a Worker,
    pub client: &'a mut Client,
    pub request: &'a Request,
    pub upload: &'a mut Upload,
    pub pool: &'a CompiledPool,
    pub target: &'a Rc<Target>,
    /// `100 Continue` was sent in an earlier attempt.
    pub continued: &'a mut bool,
    /// The endpoint must prove its life before it gets the request.
    pub wants_proof: bool,
    /// Whether the request goes to another endpoint, as this one is doubted. A yes has been paid for out of the budget.
    /// The number: how long it has waited for this one, in milliseconds.
    pub elsewhere: &'a dyn Fn(&Upload, u64) -> bool,
    /// The request was ready to be sent.
    pub since: Moment,
}

impl Attempt<'_> {
    /// Makes the attempt.
    pub async fn make(mut self) -> Result<Begun, Stop> {
        let target = Rc::clone(self.target);
        self.client.slot.watch(&target);
        let result = self.talk(&target.endpoint).await;
        self.client.slot.release();
        result
    }

    async fn talk(&mut self, endpoint: &Endpoint) -> Result<Begun, Stop> {
        // A small body is read first, so that a slow client holds no connection and a proof of life is a moment old
        // when the request follows. Whoever waits for `100 Continue` gets it when somebody is there to read the body.
        let waits = self.request.expects_continue;
        if !waits {
            self.ready_body().await?;
        }
        let mut upstream = self.connection(endpoint).await?;
        if waits {
            self.ready_body().await?;
        }
        let began_us = self.worker.now_us();
        self.since = self.worker.coarse_now();
        let wait = Wait::new(endpoint, self.since);
        self.renew_deadline();
        // It may have fallen silent while a body was read.
        if self.client.slot.is_doubted() && (self.elsewhere)(self.upload, 0) {
            return Err(Stop::Doubted);
        }
        self.client.slot.trust();
        let mut wait = Some(wait);
        let mut interims = 0;
        loop {
            match self.more(&mut upstream, wait.is_some()).await {
                More::Bytes => {}
                More::Ended if wait.is_some() => {
                    endpoint.broke();
                    return Err(failed(502, "closed"));
                }
                More::Ejected if wait.is_some() => return Err(failed(502, "ejected")),
                More::Late if wait.is_some() => return Err(failed(504, "timeout")),
                More::Ended | More::Ejected | More::Late => return Err(failed_late("closed")),
                More::Doubted => {
                    // It takes as long at least, and that is learnt.
                    let now_us = self.worker.now_us();
                    endpoint.sample(now_us.saturating_sub(began_us), self.worker.coarse_now());
                    return Err(Stop::Doubted);
                }
                More::Stop(stop) => return Err(stop),
            }
            if wait.take().is_some() {
                let now_us = self.worker.now_us();
                endpoint.lives(self.worker.coarse_now());
                endpoint.sample(now_us.saturating_sub(began_us), self.worker.coarse_now());
            }
            while let Some(read) = self.read_head(&mut upstream)? {
                match read {
                    Read::Interim(head) => {
                        interims += 1;
                        if interims > INTERIM_MAX {
                            return Err(failed_late("bad_response"));
                        }
                        if !write_all(self.worker, self.client, &head).await {
                            return Err(Stop::ClientGone);
                        }
                        self.renew_deadline();
                    }
                    Read::Final(head) => return Ok(head.with(upstream)),
                }
            }
        }
    }

    fn renew_deadline(&self) {
        let limit = if self.upload.waits_for_client {
            self.worker.shared.tuning.limits.body_idle_ms
        } else {
            self.pool.retry.attempt_timeout.0.max(1)
        };
        self.client.slot.set_deadline(self.worker.coarse_now().plus(limit));
    }

    /// A connection that is ready for the request; for a request that must not be repeated, one whose other end
    /// has just shown life.
    async fn connection(&mut self, endpoint: &Endpoint) -> Result<Upstream, Stop> {
        let now = self.worker.coarse_now();
        let generation = endpoint.generation();
        let mut idle = loop {
            let idle = self.target.idle.borrow_mut().take(generation, now);
            match idle {
                // What epoll has reported is known already; for a request that cannot be repeated the kernel is
                // asked once more, because an end may have arrived since.
                Some(stream) if !self.request.idempotent && has_ended(&stream) => {}
                other => break other,
            }
        };
        // The exact time, as the coarse one may be as old as the proof.
        let mut proven = !self.wants_proof || endpoint.is_proven(self.worker.now());
        loop {
            let reused = idle.is_some();
            let stream = match idle.take() {
                Some(stream) => stream,
                None => self.connect(endpoint).await?,
            };
            let upstream = Upstream { stream, input: Buffer::default() };
            let Probe::Http(path) = &self.pool.probe else { return Ok(upstream) };
            if proven {
                return Ok(upstream);
            }
            match self.prove(upstream, path, endpoint).await {
                Proof::Usable(upstream) if reused => return Ok(upstream),
                // Some servers close after each answer and do not say so: only one that stayed open after an answer before
                // this one is trusted with what cannot be sent again.
                Proof::Usable(upstream) => {
                    proven = true;
                    self.target.idle.borrow_mut().put(upstream.stream, generation, self.worker.coarse_now());
                }
                Proof::Closed => proven = true,
                Proof::Silent if reused => {}
                Proof::Silent => return Err(Stop::Unproven),
                Proof::Ejected => return Err(failed(503, "ejected")),
            }
        }
    }

    async fn connect(&mut self, endpoint: &Endpoint) -> Result<TcpStream, Stop> {
        let worker = self.worker;
        let _wait = Wait::new(endpoint, worker.coarse_now());
        self.client.slot.set_deadline(worker.coarse_now().plus(self.pool.connect_ms));
        let (slot, upload) = (&self.client.slot, &*self.upload);
        let mut connecting = pin!(open(endpoint.address()));
        poll_fn(|context| {
            slot.wake_me(context);
            if let Poll::Ready(opened) = connecting.as_mut().poll(context) {
                return Poll::Ready(opened.map_err(|error| not_open(endpoint, &error)));
            }
            if slot.is_abandoned() {
                return Poll::Ready(Err(failed(503, "ejected")));
            }
            if slot.is_doubted() && (self.elsewhere)(upload, 0) {
                return Poll::Ready(Err(Stop::Doubted));
            }
            if slot.is_late(worker.coarse_now()) {
                return Poll::Ready(Err(failed(504, "connect_timeout")));
            }
            if worker.shared.drain.is_over() { Poll::Ready(Err(Stop::ClientGone)) } else { Poll::Pending }
        })
        .await
    }

    /// Asks for the health check on the very connection that the request will use.
    async fn prove(&mut self, mut upstream: Upstream, path: &str, endpoint: &Endpoint) -> Proof {
        let worker = self.worker;
        let _wait = Wait::new(endpoint, worker.coarse_now());
        let slot = &self.client.slot;
        slot.set_deadline(worker.coarse_now().plus(PROOF_MS));
        let mut ask = worker.buffers.head();
        for part in ["GET ", path, " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: evenkeel-probe\r\n\r\n"] {
            ask.extend_from_slice(part.as_bytes());
        }
        let mut asked = 0;
        let mut body: Option<(Body, bool)> = None;
        let proof = poll_fn(|context| {
            slot.wake_me(context);
            while asked < ask.len() {
                match poll_write_two(&mut upstream.stream, context, &ask[asked..], &[]) {
                    Poll::Ready(written) => match written.and_then(nonzero) {
                        Ok(count) => asked += count,
                        Err(_) => return Poll::Ready(Some(false)),
                    },
                    Poll::Pending => break,
                }
            }
            loop {
                if let Some(usable) = follow_proof(&mut upstream, &mut body) {
                    return Poll::Ready(Some(usable));
                }
                match upstream.input.poll_fill(&mut upstream.stream, &worker.buffers, context) {
                    Poll::Ready(Ok(count)) if count > 0 => endpoint.lives(worker.coarse_now()),
                    Poll::Ready(_) => return Poll::Ready(Some(false)),
                    Poll::Pending => break,
                }
            }
            let over = slot.is_late(worker.coarse_now()) || slot.is_abandoned();
            if over { Poll::Ready(None) } else { Poll::Pending }
        })
        .await;
        worker.buffers.give_head(ask);
        match proof {
            Some(true) => Proof::Usable(upstream),
            _ if slot.is_abandoned() => Proof::Ejected,
            Some(false) if body.is_some() => Proof::Closed,
            _ => Proof::Silent,
        }
    }

    /// Lets the client send its body, and reads a small one whole, so that it can be sent again.
    async fn ready_body(&mut self) -> Result<(), Stop> {
        if self.upload.is_whole() || !self.upload.can_rewind() {
            return Ok(());
        }
        self.client
            .slot
            .set_deadline(self.worker.coarse_now().plus(self.worker.shared.tuning.limits.body_idle_ms));
        if self.request.expects_continue && self.client.input.is_empty() && !*self.continued {
            *self.continued = true;
            if !write_all(self.worker, self.client, b"HTTP/1.1 100 Continue\r\n\r\n").await {
                return Err(Stop::ClientGone);
            }
        }
        let length = match self.upload.body() {
            Body::Length(length) if *length <= REPLAY_BYTES_MAX => *length as usize,
            Body::Chunked(_) => {
                let mut body = self.upload.body().clone();
                let waiting = self.client.input.filled();
                let used = body.take(waiting).map_err(|_| Stop::Refused(refuse(400, "malformed chunk")))?;
                if body.is_done() {
                    self.upload.set_whole(used);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.client.input.len() < length {
            self.client.input.grow_to(length, &self.worker.buffers);
            self.read_whole(length).await?;
        }
        self.upload.set_whole(length);
        Ok(())
    }

    async fn read_whole(&mut self, length: usize) -> Result<(), Stop> {
        let (worker, client) = (self.worker, &mut *self.client);
        let limit = worker.shared.tuning.limits.body_idle_ms;
        poll_fn(|context| {
            client.slot.wake_me(context);
            while client.input.len() < length {
                match client.input.poll_fill(&mut client.stream, &worker.buffers, context) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        client.slot.set_deadline(worker.coarse_now().plus(limit));
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(Stop::ClientGone)),
                    Poll::Pending if client.slot.is_late(worker.coarse_now()) => {
                        return Poll::Ready(Err(Stop::Refused(refuse(408, "the body took too long"))));
                    }
                    Poll::Pending if client.slot.is_abandoned() => {
                        return Poll::Ready(Err(failed(503, "ejected")));
                    }
                    Poll::Pending if worker.shared.drain.is_over() => {
                        return Poll::Ready(Err(Stop::ClientGone));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends on what can be sent and waits for bytes of the response, the `first` ones or more.
    async fn more(&mut self, upstream: &mut Upstream, first: bool) -> More {
        let this = &mut *self;
        poll_fn(|context| {
            this.client.slot.wake_me(context);
            if !this.upload.done && !this.upload.broken {
                let waited = this.upload.waits_for_client;
                let mut moved = false;
                let polled = this.upload.poll(
                    &this.request.head,
                    this.client,
                    &mut upstream.stream,
                    &this.worker.buffers,
                    context,
                    &mut moved,
                );
                match polled {
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                    // What it had to say may lie in our socket.
                    Poll::Ready(Err(UploadError::Endpoint)) => this.upload.broken = true,
                    Poll::Ready(Err(UploadError::ClientGone)) => {
                        return Poll::Ready(More::Stop(Stop::ClientGone));
                    }
                    Poll::Ready(Err(UploadError::Refused(refusal))) => {
                        return Poll::Ready(More::Stop(Stop::Refused(refusal)));
                    }
                }
                if moved || waited != this.upload.waits_for_client {
                    this.renew_deadline();
                }
            }
            match upstream.input.poll_fill(&mut upstream.stream, &this.worker.buffers, context) {
                Poll::Ready(Ok(count)) if count > 0 => return Poll::Ready(More::Bytes),
                Poll::Ready(_) => return Poll::Ready(More::Ended),
                Poll::Pending => {}
            }
            if this.worker.shared.drain.is_over() {
                return Poll::Ready(More::Stop(Stop::ClientGone));
            }
            if this.client.slot.is_abandoned() {
                return Poll::Ready(More::Ejected);
            }
            let waited = this.worker.coarse_now().ms_since(this.since);
            if first && this.client.slot.is_doubted() && (this.elsewhere)(this.upload, waited) {
                return Poll::Ready(More::Doubted);
            }
            match (this.client.slot.is_late(this.worker.coarse_now()), this.upload.waits_for_client) {
                (false, _) => Poll::Pending,
                (true, false) => Poll::Ready(More::Late),
                (true, true) => {
                    let refusal = refuse(408, "the body took too long");
                    Poll::Ready(More::Stop(Stop::Refused(refusal)))
                }
            }
        })
        .await
    }

    fn read_head(&mut self, upstream: &mut Upstream) -> Result<Option<Read>, Stop> {
        let bad = |_| failed_late("bad_response");
        let mut fields = no_fields();
        let Some(head) = parse::response(upstream.input.filled(), &mut fields).map_err(bad)? else {
            return Ok(None);
        };
        let meaning = framing::response(&head, self.request.to_head).map_err(bad)?;
        let length = head.bytes.len();
        if head.status < 200 && head.status != 101 {
            // Its own 100 was asked for by nobody: ours went out already, and an HTTP/1.0 client knows none.
            let mut out = Vec::new();
            if self.request.minor == 1 && head.status != 100 {
                let to = ToClient { minor: 1, keep_alive: true, unit: None };
                rewrite::response(&head, &meaning, &to, &mut out);
            }
            upstream.input.consume(length);
            return Ok(Some(Read::Interim(out)));
        }
        if head.status == 101 && !(self.request.upgrade && meaning.upgrade) {
            return Err(failed_late("bad_response"));
        }
        let chunks_to_old = matches!(meaning.body, Body::Chunked(_)) && self.request.minor == 0;
        let client_keeps = self.request.keep_alive
            && (self.upload.done || self.upload.is_whole())
            && meaning.body != Body::UntilClose
            && !chunks_to_old
            && !self.worker.shared.drain.has_begun();
        let unit = self.worker.shared.tuning.mark_unit.then(|| self.target.endpoint.unit().as_str());
        let to = ToClient { minor: self.request.minor, keep_alive: client_keeps, unit };
        let mut out = self.worker.buffers.head();
        rewrite::response(&head, &meaning, &to, &mut out);
        let read = FinalHead {
            head: out,
            status: head.status,
            upstream_keeps: meaning.keep_alive,
            upgrade: meaning.upgrade,
            body: meaning.body,
            client_keeps,
        };
        upstream.input.consume(length);
        Ok(Some(Read::Final(read)))
    }
}

enum More {
    Bytes,
    Ended,
    Ejected,
    Doubted,
    Late,
    Stop(Stop),
}

enum Read {
    /// To be sent to the client; may be empty.
    Interim(Vec<u8>),
    Final(FinalHead),
}

struct FinalHead {
    head: Vec<u8>,
    body: Body,
    status: u16,
    upstream_keeps: bool,
    client_keeps: bool,
    upgrade: bool,
}

impl FinalHead {
    fn with(self, upstream: Upstream) -> Begun {
        Begun {
            upstream,
            head: self.head,
            body: self.body,
            status: self.status,
            upstream_keeps: self.upstream_keeps,
            client_keeps: self.client_keeps,
            upgrade: self.upgrade,
        }
    }
}

enum Proof {
    /// Alive, and the connection is clean.
    Usable(Upstream),
    /// Alive, but this connection is over.
    Closed,
    /// No answer.
    Silent,
    /// Ejected while asked.
    Ejected,
}

/// Follows the answer to a proof: `Some(true)` when it is over and the connection clean.
fn follow_proof(upstream: &mut Upstream, body: &mut Option<(Body, bool)>) -> Option<bool> {
    if body.is_none() {
        let mut fields = no_fields();
        let head = match parse::response(upstream.input.filled(), &mut fields) {
            Ok(head) => head?,
            Err(_) => return Some(false),
        };
        let Ok(meaning) = framing::response(&head, false) else { return Some(false) };
        let length = head.bytes.len();
        *body = Some((meaning.body, meaning.keep_alive));
        upstream.input.consume(length);
    }
    let (rest, keeps) = body.as_mut()?;
    let used = rest.take(upstream.input.filled()).ok();
    upstream.input.consume(used.unwrap_or(0));
    match (used, rest.is_done()) {
        (None, _) => Some(false),
        (Some(_), true) => Some(*keeps && upstream.input.is_empty()),
        (Some(_), false) => None,
    }
}

async fn open(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

fn not_open(endpoint: &Endpoint, error: &io::Error) -> Stop {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => {
            endpoint.was_refused();
            failed(503, "refused")
        }
        ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => {
            endpoint.broke();
            failed(503, "unreachable")
        }
        // No file descriptor or no free port is our own trouble and says nothing about the endpoint.
        _ => {
            tracing::warn!(unit = %endpoint.unit(), error = error as &dyn std::error::Error, "cannot connect");
            failed(503, "not_connected")
        }
    }
}

/// Whether the other end has closed, by the kernel's own word.
fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match socket2::SockRef::from(stream).peek(&mut byte) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
