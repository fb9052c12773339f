//! The entry: what stands between a caller and the fronts. It plays what a real deployment has there, DNS with
//! several addresses or the cloud's network balancer, by rules that `docs/drills.md` states:
//!
//! - every front is probed each [`PROBE_EVERY`] with a new connection and a cheap `GET`; [`PROBE_MISSES`] misses in
//!   a row take it out, [`PROBE_HITS`] hits in a row bring it back, each begun when the one before was answered: what
//!   a front that was frozen answers all at once when it wakes is one hit;
//! - requests go round robin over the fronts that are in; when none is in, over all of them, as a balancer that
//!   closed its last door would make a fault of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use world::Stop;

use crate::http::{Conn, ConnectError};

/// Time between two probes of one front.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(100);
/// A probe without a good answer by then is a miss.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(250);
/// Misses in a row that take a front out.
pub(crate) const PROBE_MISSES: u32 = 3;
/// Hits in a row that bring it back. The clouds' balancers ask for 2 to 5, and HAProxy for 2 where nothing else is said.
pub(crate) const PROBE_HITS: u32 = 2;
/// Probers of one front, each at every third turn, so that a silent probe does not delay the next: a front that
/// freezes is out after 550 ms at most, one that pauses for 300 ms stays in. `PROBERS * PROBE_EVERY` is longer than
/// [`PROBE_TIMEOUT`].
const PROBERS: u32 = 3;
/// A prober that runs this late was itself stopped or starved, and what it then misses says nothing about a front.
const OWN_STALL: Duration = Duration::from_millis(60);
/// A connection that is not open by then is given up; nothing was sent.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// Idle connections kept for one front.
const IDLE_MAX: usize = 64;

/// The fronts and the turn of the next request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) fronts: Vec<Front>,
    turn: AtomicUsize,
}

/// One front as its callers see it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// The value of `Host`.
    pub(crate) host: String,
    probe: Vec<u8>,
    out: watch::Sender<bool>,
    misses: Mutex<Misses>,
    idle: Mutex<Vec<Conn>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Misses {
    count: u32,
    /// When the newest probe with a good answer was started: an older probe that misses later says nothing.
    hit: Option<Instant>,
    /// Hits since the last miss, and when the last of them was answered.
    hits: u32,
    answered: Option<Instant>,
}

impl Misses {
    /// Counts a probe that was begun at `started` and ended just now; `true`: the front is out.
    fn note(&mut self, started: Instant, good: bool, out: bool) -> bool {
        if good {
            self.count = 0;
            self.hit = Some(started.max(self.hit.unwrap_or(started)));
            if self.hits == 0 || self.answered.is_none_or(|answered| answered <= started) {
                (self.hits, self.answered) = (self.hits.saturating_add(1), Some(Instant::now()));
            }
        } else if self.hit.is_none_or(|hit| hit < started) {
            (self.count, self.hits) = (self.count.saturating_add(1), 0);
        }
        if out { self.hits < PROBE_HITS } else { self.count >= PROBE_MISSES }
    }
}

/// Fronts that one request has been sent to or tried already.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<usize>);

impl Tried {
    pub(crate) fn add(&mut self, front: usize) {
        self.0.push(front);
    }

    fn times(&self, front: usize) -> usize {
        self.0.iter().filter(|tried| **tried == front).count()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    pub(crate) fn new(fronts: &[SocketAddr], host: Option<&str>, probe_path: &str) -> Entry {
        let front = |address: &SocketAddr| {
            let host = host.map_or_else(|| address.to_string(), str::to_owned);
            let probe = format!(
                "GET {probe_path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: evenkeel-drill\r\nconnection: close\r\n\r\n"
            );
            Front {
                address: *address,
                host,
                probe: probe.into_bytes(),
                out: watch::Sender::new(false),
                misses: Mutex::default(),
                idle: Mutex::default(),
            }
        };
        Entry { fronts: fronts.iter().map(front).collect(), turn: AtomicUsize::new(0) }
    }

    /// The front of the next attempt: one that is in and was not tried yet, in turn; else any that was not tried;
    /// else one tried once. `None` when each was tried twice: two rounds, as a front may come back meanwhile.
    pub(crate) fn pick(&self, tried: &Tried) -> Option<usize> {
        let count = self.fronts.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..count).map(|step| turn.wrapping_add(step) % count);
        in_turn()
            .find(|front| tried.times(*front) == 0 && !self.fronts[*front].is_out())
            .or_else(|| in_turn().find(|front| tried.times(*front) == 0))
            .or_else(|| in_turn().find(|front| tried.times(*front) == 1))
    }
}

impl Front {
    pub(crate) fn is_out(&self) -> bool {
        *self.out.borrow()
    }

    /// Waits until the front goes out. One that is out already, and is used because all are, must first come in.
    pub(crate) fn goes_out(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut out = self.out.subscribe();
        let was_out = *out.borrow_and_update();
        async move {
            // The sender lives as long as the entry; should it be gone, so is the reason to wait.
            if was_out && out.wait_for(|out| !*out).await.is_err() {
                return;
            }
            let _ = out.wait_for(|out| *out).await;
        }
    }

    /// An idle connection that is still good, or a new one.
    pub(crate) async fn connection(&self, fresh: bool) -> Result<Conn, ConnectError> {
        if !fresh {
            while let Some(conn) = self.pooled() {
                if conn.is_idle() {
                    return Ok(conn);
                }
            }
        }
        Conn::open(self.address, CONNECT_TIMEOUT).await
    }

    fn pooled(&self) -> Option<Conn> {
        lock(&self.idle).pop()
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, conn: Conn) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX && !self.is_out() {
            idle.push(conn);
        }
    }

    /// Probes once: a new connection and a `GET`; 2xx and 3xx are good.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let ask = async {
            let mut conn = match Conn::open(self.address, PROBE_TIMEOUT).await {
                Ok(conn) => conn,
                Err(ConnectError::Refused(why) | ConnectError::Own(why)) => return Err(why),
            };
            conn.send(&self.probe).await.map_err(|broken| broken.why)?;
            let answer = conn.answer().await.map_err(|broken| broken.why)?;
            match answer.status {
                200..=399 => Ok(()),
                status => Err(format!("status {status}")),
            }
        };
        let silent = |_| Err(format!("no answer within {} ms", PROBE_TIMEOUT.as_millis()));
        timeout(PROBE_TIMEOUT, ask).await.unwrap_or_else(silent)
    }

    fn note(&self, started: Instant, good: bool) {
        let out = lock(&self.misses).note(started, good, self.is_out());
        let changed = self.out.send_if_modified(|now| std::mem::replace(now, out) != out);
        if changed && out {
            // A balancer that takes a target out ends the connections to it as well.
            lock(&self.idle).clear();
        }
    }

    /// One of the [`PROBERS`] of this front, until asked to stop.
    async fn prober(&self, number: u32, stop: &Stop) {
        let mut next = Instant::now() + PROBE_EVERY * number;
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = sleep_until(next) => {}
            }
            let started = Instant::now();
            let good = self.probe().await.is_ok();
            let late = started > next + OWN_STALL || started.elapsed() > PROBE_TIMEOUT + OWN_STALL;
            if good || !late {
                self.note(started, good);
            }
            next = (next + PROBE_EVERY * PROBERS).max(Instant::now());
        }
    }
}

/// Starts the probers of every front.
pub(crate) fn watch_fronts(entry: &std::sync::Arc<Entry>, tasks: &world::Tasks) {
    for (index, front) in entry.fronts.iter().enumerate() {
        for number in 0..PROBERS {
            let (entry, stop) = (entry.clone(), tasks.stop());
            tasks.spawn(format!("drill/probe/{}/{number}", front.address), async move {
                entry.fronts[index].prober(number, &stop).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let fronts: Vec<SocketAddr> = (1..=3).map(|n| SocketAddr::from(([127, 0, n, 1], 8080))).collect();
        Entry::new(&fronts, None, "/healthz")
    }

    fn miss(front: &Front, times: u32) {
        for _ in 0..times {
            front.note(Instant::now(), false);
        }
    }

    #[test]
    fn misses_in_a_row_take_a_front_out_and_hits_in_a_row_bring_it_back() {
        let entry = entry();
        miss(&entry.fronts[1], PROBE_MISSES - 1);
        assert!(!entry.fronts[1].is_out());
        miss(&entry.fronts[1], 1);
        assert!(entry.fronts[1].is_out());
        entry.fronts[1].note(Instant::now(), true);
        assert!(entry.fronts[1].is_out());
        miss(&entry.fronts[1], 1);
        entry.fronts[1].note(Instant::now(), true);
        assert!(entry.fronts[1].is_out(), "not in a row");
        entry.fronts[1].note(Instant::now(), true);
        assert!(!entry.fronts[1].is_out());
    }

    #[test]
    fn what_a_frozen_front_answers_when_it_wakes_is_one_hit() {
        let entry = entry();
        let front = &entry.fronts[0];
        let stuck = Instant::now();
        miss(front, PROBE_MISSES);
        std::thread::sleep(Duration::from_millis(2));
        for ago in [2, 1, 0] {
            front.note(stuck + Duration::from_millis(1) - Duration::from_millis(ago), true);
        }
        assert!(front.is_out());
        front.note(Instant::now(), true);
        assert!(!front.is_out());
    }

    #[test]
    fn a_probe_that_was_lost_before_the_last_good_one_says_nothing() {
        let entry = entry();
        let early = Instant::now();
        entry.fronts[0].note(early + Duration::from_millis(100), true);
        entry.fronts[0].note(early, false);
        entry.fronts[0].note(early, false);
        assert!(!entry.fronts[0].is_out());
    }

    #[test]
    fn requests_go_round_the_fronts_that_are_in() {
        let entry = entry();
        miss(&entry.fronts[1], PROBE_MISSES);
        let mut seen = [0; 3];
        for _ in 0..30 {
            seen[entry.pick(&Tried::default()).unwrap()] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[0] >= 10 && seen[2] >= 10, "{seen:?}");
    }

    #[test]
    fn with_every_front_out_all_of_them_are_tried_and_then_it_ends() {
        let entry = entry();
        for front in &entry.fronts {
            miss(front, PROBE_MISSES);
            miss(front, PROBE_MISSES);
        }
        let mut tried = Tried::default();
        let mut picked = Vec::new();
        while let Some(front) = entry.pick(&tried) {
            tried.add(front);
            picked.push(front);
        }
        picked[..3].sort_unstable();
        picked[3..].sort_unstable();
        assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_uses_a_front_that_is_out_is_not_told_at_once_that_it_went_out() {
        let entry = entry();
        let front = &entry.fronts[0];
        miss(front, PROBE_MISSES);
        let wait = front.goes_out();
        assert!(timeout(Duration::from_secs(5), wait).await.is_err());
        for _ in 0..PROBE_HITS {
            tokio::time::advance(Duration::from_millis(1)).await;
            front.note(Instant::now(), true);
        }
        let wait = front.goes_out();
        for _ in 0..PROBE_MISSES {
            tokio::time::advance(Duration::from_millis(1)).await;
            miss(front, PROBE_MISSES);
        }
        assert!(timeout(Duration::from_secs(5), wait).await.is_ok());
    }
}
