//! One client connection: requests one after another, until one side has enough.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::answer::{self, Answer};
use super::{After, exchange};
use crate::alarm::SlotGuard;
use crate::decide_retry::{is_idempotent, is_safe};
use crate::filter::{HeadView, Judgement};
use crate::h1::body::Body;
use crate::h1::buffer::Buffer;
use crate::h1::parse::{self, Refusal, no_fields, refuse};
use crate::h1::{framing, rewrite};
use crate::limits::{LINGER_BYTES_MAX, LINGER_MS};
use crate::worker::{View, Worker};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub stream: TcpStream,
    pub input: Buffer,
    pub slot: SlotGuard,
    pub peer: IpAddr,
    pub peer_text: String,
    pub listener: SocketAddr,
}

/// A request whose head was read and found good. Its body is next in the client's input.
pub(crate) struct Request {
    /// What goes to the endpoint; the same for every attempt.
    pub head: Vec<u8>,
    pub places: rewrite::Places,
    pub body: Body,
    pub minor: u8,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub upgrade: bool,
    pub idempotent: bool,
    /// It only reads.
    pub safe: bool,
    pub to_head: bool,
    /// The snapshot it began with.
    pub view: Rc<View>,
    pub goes: Goes,
    pub began_us: u64,
}

/// Where a request goes.
pub(crate) enum Goes {
    /// To this pool of its view.
    Pool(usize),
    /// Nowhere: the front answers.
    Answered { status: u16, text: String, why: &'static str },
}

enum Next {
    Request(Request),
    Refused(Refusal),
    Gone,
}

/// Serves a connection to its end.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, listener: SocketAddr) {
    let peer = peer.ip().to_canonical();
    let slot = worker.alarms.slot();
    let peer_text = peer.to_string();
    let mut client = Client { stream, input: Buffer::default(), slot, peer, peer_text, listener };
    let mut after = After::KeepAlive;
    while after == After::KeepAlive {
        after = match next(worker, &mut client).await {
            Next::Request(request) => exchange::run(worker, &mut client, request).await,
            Next::Refused(refusal) => {
                worker.shared.totals.refused.fetch_add(1, Relaxed);
                exchange::log_refusal(worker, &client, refusal);
                let answer = Answer { status: refusal.status, text: refusal.why, fate: None };
                answer::send(worker, &mut client, None, &answer, false).await
            }
            Next::Gone => After::Close,
        };
    }
    match after {
        After::Linger => linger(worker, &mut client).await,
        After::Abort => {
            // The client must not take a cut answer for a whole one.
            let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        }
        After::KeepAlive | After::Close => {}
    }
    client.input.consume(usize::MAX / 2);
    client.input.rest(&worker.buffers);
}

async fn next(worker: &Worker, client: &mut Client) -> Next {
    let limits = &worker.shared.tuning.limits;
    let begun = worker.coarse_now();
    client.slot.set_deadline(begun.plus(limits.idle_ms));
    let mut waiting = true;
    loop {
        if !client.input.is_empty() {
            let began_us = worker.now_us();
            worker.settle().await;
            match read_head(worker, client, began_us) {
                Ok(Some(request)) => {
                    client.slot.set_idle(false);
                    return Next::Request(request);
                }
                Ok(None) => {}
                Err(refusal) => return Next::Refused(refusal),
            }
            if waiting {
                waiting = false;
                client.slot.set_deadline(worker.coarse_now().plus(limits.head_ms));
            }
        }
        client.slot.set_idle(true);
        let more = poll_fn(|context| {
            client.slot.wake_me(context);
            match client.input.poll_fill(&mut client.stream, &worker.buffers, context) {
                Poll::Ready(read) => Poll::Ready(read.ok().filter(|count| *count > 0).ok_or(false)),
                Poll::Pending if worker.shared.drain.is_over() => Poll::Ready(Err(false)),
                Poll::Pending if client.input.is_empty() && worker.shared.drain.has_begun() => {
                    Poll::Ready(Err(false))
                }
                Poll::Pending if client.slot.is_late(worker.coarse_now()) => {
                    Poll::Ready(Err(!client.input.is_empty()))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match more {
            Ok(_) => {}
            Err(true) => return Next::Refused(refuse(408, "the request head took too long")),
            Err(false) => return Next::Gone,
        }
    }
}

/// Reads the head that waits; `None` when it is not whole yet.
fn read_head(worker: &Worker, client: &mut Client, began_us: u64) -> Result<Option<Request>, Refusal> {
    let mut fields = no_fields();
    let Some(head) = parse::request(client.input.filled(), &mut fields)? else { return Ok(None) };
    let meaning = framing::request(&head)?;
    if matches!(meaning.body, Body::Length(length) if length > worker.shared.tuning.limits.body_bytes) {
        return Err(refuse(413, "request body too large"));
    }
    let view = worker.view();
    let seen =
        HeadView::new(head.method, meaning.target, meaning.host, client.peer, head.bytes.len(), head.headers);
    let goes = goes(worker, client, &view, &seen);
    let mut out = worker.buffers.head();
    let id = u128::from(worker.random()) << 64 | u128::from(worker.random());
    let added = rewrite::Added { peer: &client.peer_text, host: "localhost", id };
    let places = rewrite::request(&head, &meaning, &added, &mut out);
    let request = Request {
        places,
        minor: head.minor,
        keep_alive: meaning.keep_alive,
        expects_continue: meaning.expects_continue,
        upgrade: meaning.upgrade,
        idempotent: is_idempotent(head.method),
        safe: is_safe(head.method),
        to_head: head.method == "HEAD",
        body: meaning.body,
        head: out,
        view,
        goes,
        began_us,
    };
    let used = head.skipped + head.bytes.len();
    client.input.consume(used);
    Ok(Some(request))
}

fn goes(worker: &Worker, client: &Client, view: &View, head: &HeadView<'_>) -> Goes {
    for filter in &worker.shared.tuning.filters {
        if let Judgement::Answer { status, text } = filter.judge(head) {
            return Goes::Answered { status: status.clamp(400, 599), text, why: filter.name() };
        }
    }
    match view.compiled.route(client.listener, head.host).map(|route| route.pool) {
        Some(Some(pool)) => Goes::Pool(pool),
        Some(None) => {
            Goes::Answered { status: 503, text: "no such service now".to_owned(), why: "no_service" }
        }
        None => Goes::Answered {
            status: 404,
            text: "no service answers to this host".to_owned(),
            why: "no_route",
        },
    }
}

/// Half-closes and reads on for a while: a socket closed with unread bytes sends a reset, which would destroy the
/// answer on its way (RFC 9112 9.6).
async fn linger(worker: &Worker, client: &mut Client) {
    let _ = poll_fn(|context| Pin::new(&mut client.stream).poll_shutdown(context)).await;
    let end = worker.coarse_now().plus(LINGER_MS);
    client.slot.set_deadline(end);
    client.slot.set_idle(false);
    let mut thrown = client.input.len();
    client.input.consume(thrown);
    poll_fn(|context| {
        client.slot.wake_me(context);
        loop {
            if client.slot.is_late(worker.coarse_now()) || worker.shared.drain.is_over() {
                return Poll::Ready(());
            }
            match client.input.poll_fill(&mut client.stream, &worker.buffers, context) {
                Poll::Ready(Ok(count)) if count > 0 && thrown < LINGER_BYTES_MAX => {
                    thrown += count;
                    client.input.consume(count);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
