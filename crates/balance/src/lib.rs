//! The front of a zone: takes requests in and gives each to a replica that answers.
//!
//! Promise: a request that can be saved when a replica, a zone or a connection dies is saved; a request that may
//! have been carried out is never sent twice; whatever is ambiguous in the protocol is refused.
//!
//! Deliberately absent: TLS, HTTP/2 and plain TCP (a later part), and any knowledge of the store: a front serves
//! from its last [`model::FrontSnapshot`] for as long as it runs.
//!
//! Entry points: [`Front::start`], [`Front::report`], [`Front::stop`]; [`filter::Filter`] for whatever judges
//! requests before they are routed.

mod alarm;
mod control;
pub mod decide_retry;
pub mod filter;
pub mod h1;
pub mod limits;
mod log;
mod metrics;
mod path;
mod shared;
mod snapshot;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{FrontReport, FrontSnapshot};
use tokio::sync::watch;

use crate::control::State;
use crate::filter::{Filter, HeadLimits};
use crate::limits::Limits;
use crate::shared::{Shared, lock};

/// What the operator chooses for one front.
#[derive(Clone, Debug, Default)]
pub struct FrontOptions {
    /// Worker threads; 0 is one for each CPU.
    pub threads: usize,
    /// Where access log lines go; `None` writes none.
    pub access_log: Option<PathBuf>,
}

/// What few need to choose.
#[derive(Clone)]
pub struct Tuning {
    /// Bounds on time and size.
    pub limits: Limits,
    /// Asked in order, before routing.
    pub filters: Vec<Arc<dyn Filter>>,
    /// Responses say in `x-evenkeel-unit` which unit they come from.
    pub mark_unit: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { limits: Limits::default(), filters: vec![Arc::new(HeadLimits::default())], mark_unit: false }
    }
}

/// Time after the end of a drain in which the threads must end.
const CUT_MS: u64 = 1_000;

/// A running front. Dropping it cuts everything at once; [`Front::stop`] is the polite way.
pub struct Front {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
    threads: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    log: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts the front's own threads; serves from every snapshot that arrives, never from an older one.
    ///
    /// A thread that the system does not allow is logged and left out; with none at all the report stays empty.
    #[must_use]
    pub fn start(options: FrontOptions, snapshots: watch::Receiver<Arc<FrontSnapshot>>) -> Front {
        Front::start_with(options, Tuning::default(), snapshots)
    }

    /// [`Front::start`] with everything else chosen too.
    #[must_use]
    pub fn start_with(
        options: FrontOptions,
        tuning: Tuning,
        snapshots: watch::Receiver<Arc<FrontSnapshot>>,
    ) -> Front {
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if options.threads == 0 { cpus() } else { options.threads };
        let shared = Arc::new(Shared::new(count, tuning));
        let state = Arc::new(Mutex::new(State::default()));
        let (logs, log) = log::open(options.access_log, count, &shared.totals).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "no access log");
            log::none(count, &shared.totals)
        });
        let mut threads = Vec::new();
        for (index, log) in logs.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            threads.extend(thread(format!("front-{index}"), move || worker::run(index, shared, log)));
        }
        let control = {
            let (shared, state) = (Arc::clone(&shared), Arc::clone(&state));
            thread("front-control".to_owned(), move || control::run(&shared, &state, snapshots))
        };
        Front { shared, state, threads, control, log }
    }

    /// What the front tells its agent; cheap enough for every 100 ms.
    #[must_use]
    pub fn report(&self) -> FrontReport {
        lock(&self.state).report(&self.shared)
    }

    /// Numbers in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        lock(&self.state).metrics(&self.shared)
    }

    /// Stops accepting, finishes open requests with `Connection: close`, and ends after at most `drain_ms` and a
    /// second for what is then cut.
    pub async fn stop(mut self, drain_ms: u64) {
        self.shared.drain.begin();
        self.wait_for_threads(drain_ms).await;
        self.shared.drain.cut();
        self.wait_for_threads(CUT_MS).await;
        for thread in self.threads.drain(..).chain(self.control.take()).chain(self.log.take()) {
            if !finished(&thread, CUT_MS).await {
                tracing::error!(thread = thread.thread().name().unwrap_or_default(), "did not end in time");
            }
        }
    }

    async fn wait_for_threads(&self, limit_ms: u64) {
        let end = Instant::now() + Duration::from_millis(limit_ms);
        while Instant::now() < end && !self.threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.drain.cut();
    }
}

async fn finished(thread: &JoinHandle<()>, limit_ms: u64) -> bool {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    while !thread.is_finished() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    thread.is_finished()
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(|error| tracing::error!(error = &error as &dyn std::error::Error, "no thread for the front"))
        .ok()
}
