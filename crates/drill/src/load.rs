//! The load: an open loop. Requests are sent when the schedule says so, whether or not earlier ones have been
//! answered, so that a system that stalls meets the load it would meet in earnest, and answer times count from the
//! schedule.
//!
//! It runs on a thread with a runtime of its own: neither a fault that blocks its caller nor a busy terminal delays
//! it, and its CPU time can be told apart from everything else.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use world::{Chance, Limits, Stop, Stopper, Tasks};

use crate::client::{Client, REQUEST_TIMEOUT};
use crate::decide_measure::failing_share;
use crate::decide_record::{Kind, Outcome, Record};
use crate::entry::{Entry, watch_fronts};
use crate::error::DrillError;
use crate::options::Options;

/// A request is moved by up to half this share of the distance between two, either way, so that the load does not
/// beat in step with timers of the system under test.
const JITTER: f64 = 0.5;
/// Descriptors the client asks for: at 400 requests/s with everything frozen, 4,000 requests are open at once.
const DESCRIPTORS_WANTED: u64 = 16_384;

/// The load while it runs. Dropped, it stops sending.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    zero: Instant,
    stopper: Stopper,
    ended: oneshot::Receiver<Result<Ended, std::io::Error>>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order of their ends.
    records: Vec<Record>,
    /// Open requests by their place in the schedule.
    open: BTreeMap<u64, (u64, Kind)>,
    failed: u64,
}

#[derive(Debug, Default)]
struct Ended {
    second_front: u64,
    passed_over: u64,
    cpu_us: Option<u64>,
    late_us: Vec<u64>,
}

/// Everything the load saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) records: Vec<Record>,
    pub(crate) second_front: u64,
    pub(crate) passed_over: u64,
    /// CPU time of the load's thread.
    pub(crate) cpu_us: Option<u64>,
    /// How late requests were sent, ascending: the load's own precision.
    pub(crate) late_us: Vec<u64>,
}

/// A glance at the running load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Glance {
    pub(crate) ended: u64,
    pub(crate) failed: u64,
    pub(crate) open: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Starts sending at once.
    pub(crate) fn start(options: &Options, prefix: &str) -> Result<Load, DrillError> {
        raise_descriptor_limit();
        let (stopper, stop) = Stop::pair();
        let (report, ended) = oneshot::channel();
        let (shared, zero) = (Arc::new(Shared::default()), Instant::now());
        let entry = Arc::new(Entry::new(&options.fronts, options.host.as_deref(), &options.paths.probe));
        let client = Client::new(entry, options.paths.clone(), prefix.to_owned(), zero);
        let (schedule, theirs) = (Schedule::new(options), shared.clone());
        let thread = std::thread::Builder::new()
            .name("drill-load".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let result =
                    runtime.map(|rt| rt.block_on(run(Arc::new(client), schedule, theirs, zero, stop)));
                // Whoever waited is gone: then nobody wants the report.
                let _ = report.send(result);
            })
            .map_err(DrillError::Load)?;
        Ok(Load { shared, zero, stopper, ended, thread })
    }

    /// Microseconds since the load started.
    pub(crate) fn now_us(&self) -> u64 {
        self.us_of(Instant::now())
    }

    /// `at` in microseconds since the load started.
    pub(crate) fn us_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.zero).as_micros() as u64
    }

    pub(crate) fn glance(&self) -> Glance {
        let inner = self.shared.lock();
        Glance { ended: inner.records.len() as u64, failed: inner.failed, open: inner.open.len() as u64 }
    }

    /// What the first failed request saw.
    pub(crate) fn first_failure(&self) -> Option<String> {
        let inner = self.shared.lock();
        inner.records.iter().find_map(|r| r.failure()).map(|failure| failure.why.clone())
    }

    /// See [`failing_share`].
    pub(crate) fn failing_share(&self) -> Option<f64> {
        let now = self.now_us();
        let inner = self.shared.lock();
        failing_share(&inner.records, inner.open.values().copied(), now)
    }

    /// Stops sending, waits for what is open, and hands everything over.
    pub(crate) async fn finish(self) -> Result<Seen, DrillError> {
        self.stopper.request();
        let gone = |_| std::io::Error::other("the load's thread ended without a report");
        let ended = self.ended.await.map_err(gone).and_then(|ended| ended).map_err(DrillError::Load)?;
        // It has sent its report as its last act.
        let _ = self.thread.join();
        let Inner { records, open, .. } = std::mem::take(&mut *self.shared.lock());
        if !open.is_empty() {
            return Err(DrillError::Client(format!("{} requests never ended", open.len())));
        }
        if let Some(own) = records.iter().filter_map(Record::failure).find(|f| f.own_fault) {
            return Err(DrillError::Client(own.why.clone()));
        }
        let Ended { second_front, passed_over, cpu_us, mut late_us } = ended;
        late_us.sort_unstable();
        Ok(Seen { records, second_front, passed_over, cpu_us, late_us })
    }
}

async fn run(
    client: Arc<Client>,
    mut schedule: Schedule,
    shared: Arc<Shared>,
    zero: Instant,
    stop: Stop,
) -> Ended {
    let (probes, requests) = (Tasks::new(), Tasks::new());
    watch_fronts(&client.entry, &probes);
    let mut late_us = Vec::new();
    loop {
        let next = schedule.next();
        let due = zero + Duration::from_micros(next.due_us);
        if Instant::now() < due {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
        if stop.is_requested() {
            break;
        }
        late_us.push(zero.elapsed().as_micros() as u64 - next.due_us);
        shared.lock().open.insert(next.seq, (next.due_us, next.kind));
        let (client, shared) = (client.clone(), shared.clone());
        requests.spawn("drill/request", async move {
            let outcome = client.request(next.kind, next.seq).await;
            let end_us = zero.elapsed().as_micros() as u64;
            let mut inner = shared.lock();
            inner.open.remove(&next.seq);
            inner.failed += u64::from(outcome != Outcome::Expected);
            inner.records.push(Record {
                seq: next.seq,
                kind: next.kind,
                due_us: next.due_us,
                end_us,
                outcome,
            });
        });
    }
    // Every request ends by itself within its own limit; a second more is for a machine out of breath.
    let grace_ms = REQUEST_TIMEOUT.as_millis() as u64 + 1_000;
    requests.shutdown(Limits { grace_ms, ..Limits::default() }).await;
    probes.shutdown(Limits::default()).await;
    Ended {
        second_front: client.second_front.load(Ordering::Relaxed),
        passed_over: client.passed_over.load(Ordering::Relaxed),
        cpu_us: thread_cpu_us(),
        late_us,
    }
}

/// When what is sent: a function of the options and the seed.
#[derive(Debug)]
struct Schedule {
    chance: Chance,
    gap_us: f64,
    write_share: f64,
    slow_share: f64,
    seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Next {
    seq: u64,
    kind: Kind,
    due_us: u64,
}

impl Schedule {
    fn new(options: &Options) -> Schedule {
        Schedule {
            chance: Chance::from_seed(options.seed),
            gap_us: 1_000_000.0 / options.rate_rps,
            write_share: options.write_share,
            slow_share: options.slow_share,
            seq: 0,
        }
    }

    /// The next request. The jitter is around the request's own place and does not add up, so the rate is exact;
    /// being less than half a gap, it keeps the order.
    fn next(&mut self) -> Next {
        let seq = self.seq;
        self.seq += 1;
        let unit = |chance: &mut Chance| (chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let jitter = (unit(&mut self.chance) - 0.5) * JITTER;
        let due_us = ((seq as f64 + 0.5 + jitter) * self.gap_us) as u64;
        let what = unit(&mut self.chance);
        let kind = if what < self.write_share {
            Kind::Write
        } else if what < self.write_share + self.slow_share {
            Kind::Slow
        } else {
            Kind::Read
        };
        Next { seq, kind, due_us }
    }
}

/// CPU time of the calling thread; `None` where the kernel does not tell.
fn thread_cpu_us() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(ns / 1000)
}

/// Raises the soft limit of open descriptors of this process as far as the hard one allows. Where that is not
/// enough, the drill says so when it runs out: see [`DrillError::Client`].
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |hard| hard.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|soft| soft < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64) -> Vec<Next> {
        let (_stopper, stop) = Stop::pair();
        let mut schedule = Schedule::new(&Options { seed, ..Options::new(Vec::new(), stop) });
        (0..20_000).map(|_| schedule.next()).collect()
    }

    #[test]
    fn the_load_is_what_was_promised() {
        let all = schedule(7);
        assert!(all.windows(2).all(|pair| pair[0].due_us <= pair[1].due_us), "the order is lost");
        assert_eq!(all.iter().filter(|next| next.due_us < 10_000_000).count(), 4_000);
        let share = |kind| all.iter().filter(|next| next.kind == kind).count() as f64 / all.len() as f64;
        assert!((share(Kind::Write) - 0.20).abs() < 0.01, "{}", share(Kind::Write));
        assert!((share(Kind::Slow) - 0.05).abs() < 0.005, "{}", share(Kind::Slow));
    }

    #[test]
    fn a_seed_gives_the_same_load_again() {
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }
}
