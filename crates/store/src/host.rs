//! State and disk together, and the one thread they live on.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use model::Moment;
use tokio::sync::mpsc::OwnedPermit;
use tracing::{error, warn};
use world::Clock;

use crate::disk::Disk;
use crate::kv::{History, Kept, Kv, Reply, Request, Write};
use crate::{Refusal, Revision, StoreError};

/// Requests that share one sync at most. At 256 the sync is no longer what costs most.
const BATCH_MAX: usize = 256;
/// The thread looks at its leases at least this often, in milliseconds.
const TURN_MS: u64 = 100;
/// A turn that took this much longer than it should means that the whole process stood still (a frozen zone, a slow
/// disk): nobody could be heard, so nobody is declared dead for it. In milliseconds.
const STALL_MS: u64 = 400;
/// Watches that wait for a change, of all connections together.
const PARKED_MAX: usize = 4096;

/// What is answered to a request, and the place kept for the answer.
pub(crate) type Answer = (u64, Reply);

/// Where a reply goes: a place in the connection's queue that was kept when the request was taken, so that sending
/// never waits and a reader that does not read holds only itself up.
pub(crate) struct Sink {
    pub(crate) id: u64,
    pub(crate) place: OwnedPermit<Answer>,
}

impl Sink {
    pub(crate) fn send(self, reply: Reply) {
        self.place.send((self.id, reply));
    }
}

/// A request on its way to the state.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) sink: Sink,
}

/// The state, its file and the rule that binds them: a reply is given only for what is on the disk.
pub(crate) struct Host {
    kv: Kv,
    disk: Disk,
}

impl Host {
    pub(crate) fn open(path: &Path, history: History, now: Moment) -> Result<Host, StoreError> {
        let (disk, kept) = Disk::open(path)?;
        Host::with_disk(disk, kept, path, history, now)
    }

    pub(crate) fn with_disk(
        disk: Disk,
        kept: Kept,
        path: &Path,
        history: History,
        now: Moment,
    ) -> Result<Host, StoreError> {
        let kv =
            Kv::new(kept, history, now).map_err(|why| StoreError::Damaged { path: path.to_owned(), why })?;
        Ok(Host { kv, disk })
    }

    pub(crate) fn revision(&self) -> Revision {
        self.kv.revision()
    }

    /// Carries out `requests` in order, ends leases, and makes all of it durable with one sync.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; then this host must not be used again: its memory is ahead of its disk.
    pub(crate) fn step<'a>(
        &mut self,
        requests: impl Iterator<Item = &'a Request>,
        now: Moment,
    ) -> Result<Vec<Reply>, StoreError> {
        let mut writes: Vec<Write> = Vec::new();
        let mut replies = Vec::new();
        for request in requests {
            let (reply, its_writes) = self.kv.apply(request, now);
            replies.push(reply);
            writes.extend(its_writes);
        }
        // After the requests: a keep-alive that waited in the queue still counts.
        writes.extend(self.kv.expire(now));
        if !writes.is_empty() {
            self.disk.commit(&writes, self.kv.revision(), self.kv.next_lease())?;
        }
        Ok(replies)
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> Kept {
        self.kv.kept()
    }
}

/// A watch that waits for a change.
struct Parked {
    request: Request,
    until: Moment,
    sink: Sink,
}

/// The thread's work: ends with `Ok` when all senders are gone, with an error when the disk fails.
pub(crate) struct Turns {
    host: Host,
    clock: Clock,
    parked: Vec<Parked>,
    last: Moment,
    /// How long the last wait was meant to be.
    meant_ms: u64,
}

impl Turns {
    pub(crate) fn new(host: Host, clock: Clock) -> Turns {
        let last = clock.now();
        Turns { host, clock, parked: Vec::new(), last, meant_ms: 0 }
    }

    pub(crate) fn run(mut self, jobs: &Receiver<Job>) -> Result<(), StoreError> {
        loop {
            let mut batch = Vec::new();
            self.meant_ms = self.wait_ms();
            match jobs.recv_timeout(Duration::from_millis(self.meant_ms)) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while batch.len() < BATCH_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                batch.push(job);
            }
            if let Err(error) = self.turn(batch) {
                error!(%error, "the store stops: nothing more will be acknowledged");
                return Err(error);
            }
        }
    }

    fn wait_ms(&self) -> u64 {
        let now = self.clock.now();
        let lease = self.host.kv.next_deadline().map_or(TURN_MS, |deadline| deadline.ms_since(now));
        let watch = self.parked.iter().map(|parked| parked.until.ms_since(now)).min().unwrap_or(TURN_MS);
        lease.min(watch).clamp(1, TURN_MS)
    }

    fn turn(&mut self, batch: Vec<Job>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let late_ms = now.ms_since(self.last).saturating_sub(self.meant_ms);
        if late_ms >= STALL_MS {
            warn!(late_ms, "the store stood still; leases live that much longer");
            self.host.kv.postpone(late_ms);
        }
        let before = self.host.revision();
        // On an error the batch is dropped here, unanswered: its outcome is unknown.
        let replies = self.host.step(batch.iter().map(|job| &job.request), now)?;
        // A slow disk is no stall: the keep-alives that came meanwhile wait in the queue and go first.
        self.last = self.clock.now();
        for (job, reply) in batch.into_iter().zip(replies) {
            match (&job.request, reply) {
                (Request::Poll { prefix, wait_ms, .. }, Reply::Events { events, next })
                    if events.is_empty() && *wait_ms > 0 =>
                {
                    // From `next`, as "from now on" was meant at the time of asking.
                    let request = Request::Poll { prefix: prefix.clone(), from: next, wait_ms: *wait_ms };
                    self.park(Parked { until: now.plus(*wait_ms), request, sink: job.sink });
                }
                (_, reply) => job.sink.send(reply),
            }
        }
        self.wake(self.last, self.host.revision() != before);
        Ok(())
    }

    fn park(&mut self, parked: Parked) {
        if self.parked.len() < PARKED_MAX {
            self.parked.push(parked);
        } else {
            parked.sink.send(Reply::Refused(Refusal::Busy));
        }
    }

    /// Answers the watches that have something to tell or have waited long enough.
    fn wake(&mut self, now: Moment, changed: bool) {
        let parked = std::mem::take(&mut self.parked);
        for waiting in parked {
            if !changed && waiting.until > now {
                self.parked.push(waiting);
                continue;
            }
            let (reply, _) = self.host.kv.apply(&waiting.request, now);
            let nothing = matches!(&reply, Reply::Events { events, .. } if events.is_empty());
            if nothing && waiting.until > now {
                self.parked.push(waiting);
            } else {
                waiting.sink.send(reply);
            }
        }
    }
}

#[cfg(test)]
#[path = "power_loss_tests.rs"]
mod power_loss;
