use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::{Stop, Stopper};

/// Why a restarted task ended; anything with a message.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Named tasks with one owner. Dropped without [`Tasks::shutdown`], it aborts them.
#[derive(Debug)]
pub struct Tasks {
    spawner: Spawner,
}

/// Starts tasks for a [`Tasks`] it does not own; what is started after the shutdown began is dropped unrun.
#[derive(Clone, Debug)]
pub struct Spawner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stopper: Stopper,
    roll: Mutex<Roll>,
    /// How many tasks run; what the shutdown waits on.
    running: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Roll {
    next: u64,
    /// Without a handle for the moment between a task's entry and its start.
    tasks: BTreeMap<u64, (String, Option<AbortHandle>)>,
    crashes: u64,
    closed: bool,
    aborted: bool,
}

/// How a crashed task is started again. The same crashes give the same waits: no jitter, as a process holds one
/// of each task and there is no herd to spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// This many crashes in a row are answered at once.
    pub at_once: u32,
    /// Wait after the next one, in milliseconds; it doubles with each further crash.
    pub first_ms: u64,
    /// The longest wait in milliseconds.
    pub cap_ms: u64,
    /// A run this long, in milliseconds, was a good one: the count starts afresh.
    pub good_run_ms: u64,
}

impl Default for Restart {
    /// Twice at once, then 100 ms doubling up to 5 s; a run of 10 s was a good one.
    fn default() -> Restart {
        Restart { at_once: 2, first_ms: 100, cap_ms: 5_000, good_run_ms: 10_000 }
    }
}

impl Restart {
    /// The wait in milliseconds before the start that follows `crashes` crashes in a row (from 1).
    #[must_use]
    pub fn wait_ms(&self, crashes: u32) -> u64 {
        let Some(doublings) = crashes.checked_sub(self.at_once.saturating_add(1)) else { return 0 };
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.first_ms.saturating_mul(factor).min(self.cap_ms)
    }
}

/// How long each step of a shutdown may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For tasks to end when asked, in milliseconds.
    pub grace_ms: u64,
    /// For aborted tasks to be gone, in milliseconds; one that blocks its thread cannot be aborted.
    pub abort_ms: u64,
}

impl Default for Limits {
    /// 5 s to end, 500 ms to be gone.
    fn default() -> Limits {
        Limits { grace_ms: 5_000, abort_ms: 500 }
    }
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks::new()
    }
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Tasks {
        let (stopper, _) = Stop::pair();
        let shared = Shared { stopper, roll: Mutex::default(), running: watch::Sender::new(0) };
        Tasks { spawner: Spawner { shared: Arc::new(shared) } }
    }

    /// The stop these tasks are asked with.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.spawner.stop()
    }

    /// A handle for parts that start tasks while they run.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// See [`Spawner::spawn`].
    pub fn spawn(&self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(name, work);
    }

    /// See [`Spawner::spawn_restarting`].
    pub fn spawn_restarting<F, Fut>(&self, name: impl Into<String>, restart: Restart, start: F)
    where
        F: FnMut(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.spawner.spawn_restarting(name, restart, start);
    }

    /// How often a task has panicked or, being restarted, failed.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.spawner.shared.roll().crashes
    }

    /// The names of the tasks that run now, in the order they were started.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.spawner.shared.roll().names()
    }

    /// Asks every task to stop, waits, aborts those that still run, and answers with the names of those: they did
    /// not stop when asked. Never takes longer than both limits together.
    pub async fn shutdown(self, limits: Limits) -> Vec<String> {
        let shared = &self.spawner.shared;
        shared.roll().closed = true;
        shared.stopper.request();
        if shared.all_gone(limits.grace_ms).await {
            return Vec::new();
        }
        let late = shared.abort();
        let gone = shared.all_gone(limits.abort_ms).await;
        if gone {
            warn!(tasks = ?late, grace_ms = limits.grace_ms, "tasks did not stop when asked; aborted");
        } else {
            let stuck = shared.roll().names();
            error!(tasks = ?late, ?stuck, grace_ms = limits.grace_ms, "tasks did not stop even when aborted");
        }
        late
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.spawner.shared.roll().closed = true;
        self.spawner.shared.stopper.request();
        self.spawner.shared.abort();
    }
}

impl Spawner {
    /// The stop these tasks are asked with.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.shared.stopper.stop()
    }

    /// Starts `work` under `name`. A panic in it is logged and ends this task alone. Must be called within a tokio
    /// runtime.
    pub fn spawn(&self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let shared = self.shared.clone();
        let label = name.clone();
        self.start(name, async move {
            if let Err(panic) = Caught(Box::pin(work)).await {
                shared.roll().crashes += 1;
                error!(task = %label, panic = %panic, "task panicked");
            }
        });
    }

    /// Runs what `start` makes, and again after each failure or panic, with the waits of `restart`. It ends for good
    /// with `Ok` or when the stop is requested; what is running then gets the [`Stop`] to end by itself.
    pub fn spawn_restarting<F, Fut>(&self, name: impl Into<String>, restart: Restart, mut start: F)
    where
        F: FnMut(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let name = name.into();
        let (shared, stop, label) = (self.shared.clone(), self.stop(), name.clone());
        self.start(name, async move {
            let mut crashes = 0_u32;
            while !stop.is_requested() {
                let began = Instant::now();
                // `start` itself may panic too, so it is called inside.
                let run = async { start(stop.clone()).await };
                let why = match Caught(Box::pin(run)).await {
                    Ok(Ok(())) => return,
                    Ok(Err(failure)) => with_causes(failure.as_ref()),
                    Err(panic) => format!("panic: {panic}"),
                };
                shared.roll().crashes += 1;
                let good = began.elapsed() >= Duration::from_millis(restart.good_run_ms);
                crashes = if good { 1 } else { crashes.saturating_add(1) };
                let wait_ms = restart.wait_ms(crashes);
                warn!(task = %label, crashes, wait_ms, error = %why, "task crashed; starting it again");
                tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                }
            }
        });
    }

    fn start(&self, name: String, work: impl Future<Output = ()> + Send + 'static) {
        let Some(entry) = self.shared.enter(&name) else {
            debug!(task = %name, "not started: shutting down");
            return;
        };
        let id = entry.id;
        let task = tokio::spawn(async move {
            // Dropped when the work ends, and also when it is aborted or never polled.
            let _entry = entry;
            work.await;
        });
        self.shared.started(id, task.abort_handle());
    }
}

impl Shared {
    fn roll(&self) -> MutexGuard<'_, Roll> {
        // Nothing panics while it is held; were it so, the roll would still be whole.
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, name: &str) -> Option<OnRoll> {
        let mut roll = self.roll();
        if roll.closed {
            return None;
        }
        let id = roll.next;
        roll.next += 1;
        roll.tasks.insert(id, (name.to_owned(), None));
        self.running.send_replace(roll.tasks.len());
        Some(OnRoll { id, shared: self.clone() })
    }

    fn started(&self, id: u64, handle: AbortHandle) {
        let mut roll = self.roll();
        if roll.aborted {
            handle.abort();
        } else if let Some((_, slot)) = roll.tasks.get_mut(&id) {
            *slot = Some(handle);
        }
    }

    fn abort(&self) -> Vec<String> {
        let (names, handles) = {
            let mut roll = self.roll();
            roll.aborted = true;
            let handles: Vec<_> = roll.tasks.values().filter_map(|(_, handle)| handle.clone()).collect();
            (roll.names(), handles)
        };
        // Outside the lock: an idle task is dropped right here and takes itself off the roll.
        handles.iter().for_each(AbortHandle::abort);
        names
    }

    async fn all_gone(&self, within_ms: u64) -> bool {
        let mut running = self.running.subscribe();
        let gone = running.wait_for(|count| *count == 0);
        tokio::time::timeout(Duration::from_millis(within_ms), gone).await.is_ok()
    }
}

impl Roll {
    fn names(&self) -> Vec<String> {
        self.tasks.values().map(|(name, _)| name.clone()).collect()
    }
}

struct OnRoll {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for OnRoll {
    fn drop(&mut self) {
        let mut roll = self.shared.roll();
        if let Some((name, _)) = roll.tasks.remove(&self.id) {
            debug!(task = %name, "task ended");
        }
        self.shared.running.send_replace(roll.tasks.len());
    }
}

/// Turns a panic of the inner future into an error with the panic's text.
struct Caught<'a, T>(Pin<Box<dyn Future<Output = T> + Send + 'a>>);

impl<T> Future for Caught<'_, T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic the future is never polled again, so nobody sees it half changed.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(text_of(panic.as_ref()))),
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn with_causes(failure: &(dyn Error + 'static)) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
