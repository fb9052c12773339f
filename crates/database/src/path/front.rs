use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use world::{Stop, Stopper};

use super::control::{Applied, Control, lock};
use super::limits::Limits;
use super::snapshot::{DataReport, DataSnapshot};
use super::worker::{END_TIME, Shared, Worker};

/// Time between two looks at what is still open while it ends.
const LOOK: Duration = Duration::from_millis(5);

/// A running data front. Dropping it cuts everything at once; [`DataFront::stop`] is the polite way.
#[derive(Debug)]
pub struct DataFront {
    shared: Arc<Shared>,
    applied: Arc<Mutex<Applied>>,
    drain: Stopper,
    cut: Stopper,
    threads: Vec<JoinHandle<()>>,
}

impl DataFront {
    /// Starts the front's own threads, `threads` for sessions (0: one for each CPU) and one that applies snapshots;
    /// serves from every snapshot that arrives, never from an older one.
    ///
    /// # Errors
    /// When the system allows no thread or no runtime; nothing is then left running.
    pub fn start(
        threads: usize,
        limits: Limits,
        snapshots: watch::Receiver<Arc<DataSnapshot>>,
    ) -> io::Result<DataFront> {
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if threads == 0 { cpus() } else { threads };
        let (drain, draining) = Stop::pair();
        let (cut, cutting) = Stop::pair();
        let shared = Arc::new(Shared { limits, ..Shared::default() });
        let mut front = DataFront { shared, applied: Arc::default(), drain, cut, threads: Vec::new() };
        let mut workers = Vec::new();
        for index in 0..count {
            let (worker, thread) = Worker::start(index, &front.shared, cutting.clone())?;
            workers.push(worker);
            front.threads.push(thread);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let control = Control::new(workers, Arc::clone(&front.applied));
        let run = move || control.run(&runtime, snapshots, &draining, &cutting);
        front.threads.push(std::thread::Builder::new().name("data-control".to_owned()).spawn(run)?);
        Ok(front)
    }

    /// What the front tells its agent; cheap enough for every 100 ms.
    #[must_use]
    pub fn report(&self) -> DataReport {
        let applied = lock(&self.applied).clone();
        DataReport {
            applied: applied.revision,
            listen: applied.listen,
            refused: applied.refused.into_iter().collect(),
            connections: self.shared.connections.load(Relaxed) as u64,
            held: self.shared.held.load(Relaxed) as u64,
            ended_by_switch: self.shared.ended_by_switch.load(Relaxed),
        }
    }

    /// Stops accepting, lets sessions end by themselves for `drain_ms` at the most, and then resets those that are
    /// left: nobody can tell from outside whether an encrypted session is in a transaction.
    pub async fn stop(mut self, drain_ms: u64) {
        self.drain.request();
        let end = Instant::now() + Duration::from_millis(drain_ms);
        while Instant::now() < end && self.shared.connections.load(Relaxed) > 0 {
            tokio::time::sleep(LOOK).await;
        }
        self.cut.request();
        let end = Instant::now() + END_TIME;
        while Instant::now() < end && !self.threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(LOOK).await;
        }
        for thread in self.threads.drain(..).filter(|thread| !thread.is_finished()) {
            tracing::error!(thread = thread.thread().name().unwrap_or_default(), "did not end in time");
        }
    }
}
