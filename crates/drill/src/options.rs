use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Objectives, Status};
use tokio::sync::watch;
use world::Stop;

use crate::error::DrillError;

/// Most requests of one run: their records are kept whole, about 100 bytes each.
const REQUESTS_MAX: f64 = 2_000_000.0;
/// Most requests per second: above it the client would cost more than what it measures.
const RATE_MAX_RPS: f64 = 10_000.0;
/// Longest event in milliseconds: 1 h.
const EVENT_MAX_MS: u64 = 3_600_000;

/// What is asked of the application. The defaults are those of `examples/shop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// A short page: `GET`, expected 200 with a body.
    pub read: String,
    /// A page that takes longer than a second: `GET`, expected 200 with a body.
    pub slow: String,
    /// Where orders go: `POST` of `{"id": .., "item": ..}`, expected 201 with the same `id`.
    pub write: String,
    /// What the entry's health checks ask: `GET`, expected 2xx or 3xx.
    pub probe: String,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            read: "/products".to_owned(),
            slow: "/slow?ms=1200".to_owned(),
            write: "/orders".to_owned(),
            probe: "/healthz".to_owned(),
        }
    }
}

/// How a drill is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every front, as a caller reaches it.
    pub fronts: Vec<SocketAddr>,
    /// `Host` of the requests; `None`: the front's own address.
    pub host: Option<String>,
    /// Requests per second over all fronts together.
    pub rate_rps: f64,
    /// Share of requests that write, in 0..=1.
    pub write_share: f64,
    /// Share of requests that take longer than a second, in 0..=1.
    pub slow_share: f64,
    /// What is asked.
    pub paths: Paths,
    /// Of the schedule's jitter and of the order of requests.
    pub seed: u64,
    /// Load before the fault, in milliseconds.
    pub calm_ms: u64,
    /// From the fault to healing, in milliseconds.
    pub event_ms: u64,
    /// Load after healing, in milliseconds: what was frozen wakes up under load, which is where double effects
    /// come from.
    pub settle_ms: u64,
    /// The drill stops and heals when more than this share fails, in 0..=1.
    pub abort_share: f64,
    /// Folders with order journals: the state folder of a local run, or a folder that holds `orders.journal`
    /// itself. Empty: effects are not counted, and the verdict has not passed.
    pub journals: Vec<PathBuf>,
    /// The database in which the application keeps its orders, instead of journals: as the application reaches it.
    pub orders: Option<crate::database::Target>,
    /// What the user promised.
    pub objectives: Objectives,
    /// The cluster's status as it changes, to see when the full count is back. `None`: that is not measured.
    pub status: Option<watch::Receiver<Arc<Status>>>,
    /// Asks the drill to heal and stop (Ctrl-C).
    pub stop: Stop,
}

impl Options {
    /// The defaults: 400 requests/s, a fifth of them writes and a twentieth slow; 5 s calm, 15 s event, 3 s
    /// settling; stops when more than 20 % fail.
    #[must_use]
    pub fn new(fronts: Vec<SocketAddr>, stop: Stop) -> Options {
        Options {
            fronts,
            host: None,
            rate_rps: 400.0,
            write_share: 0.20,
            slow_share: 0.05,
            paths: Paths::default(),
            seed: 1,
            calm_ms: 5_000,
            event_ms: 15_000,
            settle_ms: 3_000,
            abort_share: 0.20,
            journals: Vec::new(),
            orders: None,
            objectives: Objectives::default(),
            status: None,
            stop,
        }
    }

    pub(crate) fn check(&self) -> Result<(), DrillError> {
        let bad = |text: String| Err(DrillError::Options(text));
        if self.fronts.is_empty() {
            return bad("no front to send requests to; is the application running?".to_owned());
        }
        if !(self.rate_rps >= 1.0 && self.rate_rps <= RATE_MAX_RPS) {
            return bad(format!("{} requests/s; it must be from 1 to {RATE_MAX_RPS}", self.rate_rps));
        }
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if !share(self.write_share) || !share(self.slow_share) || !share(self.write_share + self.slow_share) {
            return bad("the shares of writes and slow requests must be from 0 to 1 together".to_owned());
        }
        if !(self.abort_share > 0.0 && self.abort_share <= 1.0) {
            return bad(format!("the abort limit is {}; it must be above 0 and at most 1", self.abort_share));
        }
        if self.calm_ms < 500 || self.event_ms < 500 {
            return bad("calm and event must each last at least 500 ms".to_owned());
        }
        let longest = self.calm_ms.max(self.event_ms).max(self.settle_ms);
        let seconds = (self.calm_ms as f64 + self.event_ms as f64 + self.settle_ms as f64) / 1000.0;
        if longest > EVENT_MAX_MS || seconds * self.rate_rps > REQUESTS_MAX {
            return bad(format!("a drill may last 1 h a phase and send {REQUESTS_MAX} requests"));
        }
        let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let paths = [&self.paths.read, &self.paths.slow, &self.paths.write, &self.paths.probe];
        if paths.iter().any(|p| !p.starts_with('/') || !visible(p))
            || !self.host.as_deref().is_none_or(visible)
        {
            return bad("paths start with `/`, and neither paths nor the host hold spaces".to_owned());
        }
        Ok(())
    }
}
