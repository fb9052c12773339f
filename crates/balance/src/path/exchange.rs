//! One request from its head to the end of its answer: choose, attempt, try again when that is safe, relay.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use net::decide_health::Standing;
use net::decide_pick::{Candidate, choose};
use net::{Endpoint, Use};

use super::answer::{self, Answer, Fate};
use super::attempt::{Attempt, Begun, Failure, Stop};
use super::connection::{Client, Goes, Request};
use super::download::{Cut, Download, Upstream};
use super::upload::{Upload, UploadError};
use super::{After, tunnel};
use crate::decide_retry::{Failed, Next, Waiting, decide, may_leave};
use crate::h1::body::Body;
use crate::h1::parse::Refusal;
use crate::limits::ATTEMPTS_MAX;
use crate::log::Line;
use crate::snapshot::CompiledPool;
use crate::worker::{LocalPool, Target, Worker};

/// Endpoints that may fail to prove their life before a request goes without proof.
const PROOFS_MAX: u32 = 3;

/// What is known about a request when it is over.
#[derive(Default)]
struct Record {
    status: u16,
    bytes: u64,
    attempts: u32,
    target: Option<Rc<Target>>,
    why: &'static str,
    /// The endpoint cut the response off.
    cut: bool,
}

/// Answers a request, whatever happens.
pub(crate) async fn run(worker: &Worker, client: &mut Client, request: Request) -> After {
    let mut record = Record::default();
    let after = match &request.goes {
        Goes::Pool(pool) => proxy(worker, client, &request, *pool, &mut record).await,
        Goes::Answered { status, text, why } => {
            worker.shared.totals.refused.fetch_add(1, Relaxed);
            record.status = *status;
            record.why = why;
            let fate = (*status == 503).then_some(Fate { unit: "-", sent: false, reason: why });
            let answer = Answer { status: *status, text, fate };
            answer::send(worker, client, Some(&request), &answer, request.body.is_done()).await
        }
    };
    finish(worker, client, &request, &record);
    worker.buffers.give_head(request.head);
    after
}

/// The endpoints a request has been at.
#[derive(Default)]
struct Tried {
    places: [usize; ATTEMPTS_MAX as usize + PROOFS_MAX as usize],
    count: usize,
}

impl Tried {
    fn add(&mut self, place: usize) {
        if let Some(free) = self.places.get_mut(self.count) {
            *free = place;
            self.count += 1;
        }
    }

    fn has(&self, place: usize) -> bool {
        self.places[..self.count].contains(&place)
    }

    /// Whether one that is well is left besides `chosen`.
    fn leaves_well(&self, local: &LocalPool, chosen: usize) -> bool {
        let well = |endpoint: &Endpoint| !endpoint.is_draining() && endpoint.standing() == Standing::Well;
        let mut targets = local.targets.iter().enumerate();
        targets.any(|(place, (target, _))| place != chosen && !self.has(place) && well(&target.endpoint))
    }
}

fn pick(worker: &Worker, wants_life: bool, local: &LocalPool, tried: &Tried) -> Option<usize> {
    let now = worker.coarse_now();
    let candidate = |place: usize| {
        let (target, own_zone) = &local.targets[place];
        let endpoint = &target.endpoint;
        (!endpoint.is_draining() && !tried.has(place)).then(|| Candidate {
            own_zone: *own_zone,
            standing: endpoint.standing(),
            in_flight: endpoint.in_flight(),
            latency_us: endpoint.latency_us(now),
            fresh: endpoint.is_fresh(now),
        })
    };
    choose(local.targets.len(), candidate, wants_life, || worker.random())
}

/// What earlier attempts at a request have shown.
struct Course {
    tried: Tried,
    /// Endpoints that did not prove their life.
    unproven: u32,
    /// It has left one that was silent.
    has_left: bool,
    /// At least one byte may have reached an endpoint.
    sent: bool,
    last: Failure,
}

impl Course {
    fn new() -> Course {
        let last = Failure { status: 503, reason: "no_endpoint", begun: false };
        Course { tried: Tried::default(), unproven: 0, has_left: false, sent: false, last }
    }

    /// With everybody tried once, one that failed may be well again; only the refused stay out.
    fn pick(&self, worker: &Worker, careful: bool, local: &LocalPool) -> Option<usize> {
        let again = || pick(worker, careful, local, &Tried::default());
        pick(worker, careful, local, &self.tried).or_else(again)
    }

    /// A request at an endpoint that has fallen silent.
    fn waiting(&self, request: &Request, upload: &Upload, waited_ms: u64) -> Waiting {
        let (sent, whole) = (upload.is_sent(), upload.can_rewind());
        Waiting { waited_ms, sent, whole, safe: request.safe, has_left: self.has_left }
    }

    /// The endpoint at `place` was left, for `failure` if it had the request.
    fn left(&mut self, place: usize, upload: &Upload, failure: Failure) {
        self.tried.add(place);
        self.sent |= upload.is_sent();
        self.last = failure;
    }
}

async fn proxy(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    place: usize,
    record: &mut Record,
) -> After {
    let (pool, local) = (&request.view.compiled.pools[place], &request.view.pools[place]);
    local.memory.budget.borrow_mut().request(worker.coarse_now());
    // Where everything is retried (see `RetryPolicy::retry_unsafe`), nothing is sent with care either.
    let careful = !request.idempotent && !pool.retry.retry_unsafe;
    let mut upload = Upload::new(request.body.clone(), worker.shared.tuning.limits.body_bytes);
    let (mut course, mut continued) = (Course::new(), false);
    while let Some(chosen) = course.pick(worker, careful, local) {
        let target = Rc::clone(&local.targets[chosen].0);
        let usage = Use::new(&target.endpoint);
        record.target = Some(Rc::clone(&target));
        record.attempts += 1;
        // Who was left has not failed.
        let attempts = record.attempts - u32::from(course.has_left);
        let may_repeat =
            |upload: &Upload, begun| repeat(worker, pool, local, request, upload, begun, attempts);
        let elsewhere = |upload: &Upload, waited_ms| {
            may_leave(&course.waiting(request, upload, waited_ms))
                && leaves(worker, pool, (local, chosen), &course.tried)
        };
        let attempt = Attempt {
            worker,
            client: &mut *client,
            request,
            upload: &mut upload,
            pool,
            target: &target,
            continued: &mut continued,
            wants_proof: careful && course.unproven < PROOFS_MAX,
            elsewhere: &elsewhere,
            since: worker.coarse_now(),
        };
        match attempt.make().await {
            Ok(begun) => {
                return respond(worker, client, request, &mut upload, begun, usage, local, chosen, record)
                    .await;
            }
            Err(Stop::ClientGone) => {
                record.why = "client_gone";
                return After::Abort;
            }
            Err(Stop::Refused(refusal)) => return refused(worker, client, request, refusal, record).await,
            Err(Stop::Unproven) => {
                course.unproven += 1;
                record.attempts -= 1;
                course.tried.add(chosen);
                continue;
            }
            Err(Stop::Doubted) => {
                course.has_left = true;
                course.left(chosen, &upload, Failure { status: 503, reason: "silent", begun: false });
            }
            Err(Stop::Failed(failure)) => {
                course.left(chosen, &upload, failure);
                if may_repeat(&upload, failure.begun) != Repeat::Goes {
                    break;
                }
            }
        }
        upload.rewind();
    }
    give_up(worker, client, request, &upload, &course, record).await
}

/// Whether a request is sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// It must not be.
    No,
    /// It could be, but too many were.
    Denied,
    Goes,
}

/// Whether a request that may leave `chosen` goes, and pays for it: from one that is a suspect now, to one that is well, and never for
/// an error.
fn leaves(worker: &Worker, pool: &CompiledPool, (local, chosen): (&LocalPool, usize), tried: &Tried) -> bool {
    let suspect = local.targets[chosen].0.endpoint.standing() == Standing::Suspect;
    if !suspect || !tried.leaves_well(local, chosen) {
        return false;
    }
    let goes = local.memory.budget.borrow_mut().leave(pool.retry.budget, worker.coarse_now());
    if goes {
        pool.stats.of_thread(worker.index).retries.fetch_add(1, Relaxed);
    }
    goes
}

/// Asks for another attempt, and pays for it.
fn repeat(
    worker: &Worker,
    pool: &CompiledPool,
    local: &LocalPool,
    request: &Request,
    upload: &Upload,
    begun: bool,
    attempts: u32,
) -> Repeat {
    let counters = pool.stats.of_thread(worker.index);
    let next = decide(&Failed {
        sent: upload.is_sent(),
        whole: upload.can_rewind() && !begun,
        idempotent: request.idempotent,
        attempts,
        attempts_max: pool.retry.attempts.clamp(1, ATTEMPTS_MAX),
        retry_unsafe: pool.retry.retry_unsafe,
    });
    let goes_on = match next {
        Next::GiveUp => return Repeat::No,
        Next::Again => true,
        Next::AgainFromBudget => {
            local.memory.budget.borrow_mut().take(pool.retry.budget, worker.coarse_now())
        }
    };
    let (counter, repeat) =
        if goes_on { (&counters.retries, Repeat::Goes) } else { (&counters.denied, Repeat::Denied) };
    counter.fetch_add(1, Relaxed);
    repeat
}

/// The client's body cannot be sent on.
async fn refused(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    refusal: Refusal,
    record: &mut Record,
) -> After {
    (record.status, record.why) = (refusal.status, refusal.why);
    let answer = Answer { status: refusal.status, text: refusal.why, fate: None };
    answer::send(worker, client, Some(request), &answer, false).await
}

async fn give_up(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    upload: &Upload,
    course: &Course,
    record: &mut Record,
) -> After {
    let (failure, sent) = (course.last, course.sent);
    record.status = failure.status;
    record.why = failure.reason;
    let unit = record.target.as_ref().map_or("-", |target| target.endpoint.unit().as_str());
    let fate = Some(Fate { unit, sent, reason: failure.reason });
    let answer = Answer { status: failure.status, text: "no replica answered this request", fate };
    let after = answer::send(worker, client, Some(request), &answer, upload.is_whole()).await;
    client.input.consume(upload.unconsumed());
    after
}

#[allow(clippy::too_many_arguments)] // One caller; a struct would only give the same nine things another name.
async fn respond(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    upload: &mut Upload,
    begun: Begun,
    usage: Use<'_>,
    local: &LocalPool,
    chosen: usize,
    record: &mut Record,
) -> After {
    record.status = begun.status;
    if begun.upgrade {
        record.why = "tunnel";
        record.bytes = tunnel::run(worker, client, begun.upstream, begun.head).await;
        return After::Close;
    }
    let mut upstream = begun.upstream;
    let content_only = request.minor == 0 && matches!(begun.body, Body::Chunked(_));
    let mut download = Download::new(begun.head, begun.body, content_only);
    let cut = relay(worker, client, request, upload, &mut upstream, &mut download).await;
    record.bytes = download.bytes;
    worker.buffers.give_head(download.head);
    client.input.consume(upload.unconsumed());
    match cut {
        Err(Cut::Client) => {
            record.why = "client_gone";
            return After::Abort;
        }
        Err(Cut::Endpoint) => {
            record.why = "cut";
            record.cut = true;
            return After::Abort;
        }
        Ok(()) => {}
    }
    let endpoint = usage.endpoint();
    endpoint.lives(worker.coarse_now());
    // Bytes beyond the response would be taken for the next one.
    if begun.upstream_keeps && upload.done && upstream.input.is_empty() && !endpoint.is_draining() {
        upstream.input.rest(&worker.buffers);
        let idle = &local.targets[chosen].0.idle;
        idle.borrow_mut().put(upstream.stream, endpoint.generation(), worker.coarse_now());
    }
    match (begun.client_keeps, upload.is_whole() && client.input.is_empty()) {
        (true, _) => After::KeepAlive,
        (false, true) => After::Close,
        (false, false) => After::Linger,
    }
}

/// Sends the response on, and what is left of the request as well.
async fn relay(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    upload: &mut Upload,
    upstream: &mut Upstream,
    download: &mut Download,
) -> Result<(), Cut> {
    let limit = worker.shared.tuning.limits.body_idle_ms;
    client.slot.set_deadline(worker.coarse_now().plus(limit));
    poll_fn(|context| {
        client.slot.wake_me(context);
        let mut moved = false;
        if !upload.done && !upload.broken {
            let to = &mut upstream.stream;
            match upload.poll(&request.head, client, to, &worker.buffers, context, &mut moved) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(UploadError::ClientGone)) => return Poll::Ready(Err(Cut::Client)),
                Poll::Ready(Err(UploadError::Endpoint | UploadError::Refused(_))) => upload.broken = true,
            }
        }
        let polled = download.poll(upstream, &mut client.stream, &worker.buffers, context, &mut moved);
        if polled.is_ready() {
            return polled;
        }
        if moved {
            client.slot.set_deadline(worker.coarse_now().plus(limit));
        } else if client.slot.is_late(worker.coarse_now()) || worker.shared.drain.is_over() {
            return Poll::Ready(Err(Cut::Endpoint));
        }
        Poll::Pending
    })
    .await
}

fn finish(worker: &Worker, client: &Client, request: &Request, record: &Record) {
    let now_us = worker.now_us();
    let took_us = now_us.saturating_sub(request.began_us);
    let pool = match request.goes {
        Goes::Pool(place) => request.view.compiled.pools.get(place),
        Goes::Answered { .. } => None,
    };
    if let Some(pool) = pool {
        pool.stats.of_thread(worker.index).answered(took_us, record.cut || record.status >= 500);
    }
    let mut log = worker.log.borrow_mut();
    if !log.is_on() {
        return;
    }
    let now = worker.coarse_now();
    let line = Line {
        unix_ms: worker.shared.origin.unix_ms(now),
        peer: &client.peer_text,
        service: pool.map_or("", |pool| pool.service.as_str()),
        unit: record.target.as_ref().map_or("", |target| target.endpoint.unit().as_str()),
        method: &request.head[request.places.method.clone()],
        target: &request.head[request.places.target.clone()],
        host: &request.head[request.places.host.clone()],
        id: &request.head[request.places.id.clone()],
        status: record.status,
        took_us,
        bytes: record.bytes,
        attempts: record.attempts,
        why: record.why,
    };
    log.add(&line, now);
}

/// A request that never became one is logged too.
pub(crate) fn log_refusal(worker: &Worker, client: &Client, refusal: Refusal) {
    let mut log = worker.log.borrow_mut();
    if !log.is_on() {
        return;
    }
    let now = worker.coarse_now();
    let line = Line {
        unix_ms: worker.shared.origin.unix_ms(now),
        peer: &client.peer_text,
        service: "",
        unit: "",
        method: b"",
        target: b"",
        host: b"",
        id: b"",
        status: refusal.status,
        took_us: 0,
        bytes: 0,
        attempts: 0,
        why: refusal.why,
    };
    log.add(&line, now);
}
