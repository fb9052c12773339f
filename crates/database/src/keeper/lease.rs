//! Lease mode, as far as it is the keeper's: asks the store for the lease, has a watchdog count it, and tells the rules.

use std::path::PathBuf;
use std::time::Duration;

use engine::ProcessId;
use model::{Lease, Mode, Moment, Record};
use store::{Compare, Revision, Store};
use tracing::{info, warn};

use super::error::KeeperError;
use super::local::Local;
use super::shared::{self, Keys};
use super::watchdog::{Watchdog, boot_time, watchdogs};
use crate::decide_lease::{Relief, relief};
use crate::{Flaw, LEASE_FENCE_MS, LeaseMemory, Tenure, View};

/// Renewals, two a second, for which a new watchdog looks for others of its server.
const LOOKS: u32 = 20;

/// A watchdog whose keeper ended before it had said until when ends within this: it looks every 50 ms.
const TOLD_NOTHING: Duration = Duration::from_millis(100);

/// Watchdogs of `server` that go on.
async fn lasting(server: ProcessId) -> Vec<ProcessId> {
    let mut left = watchdogs(server);
    if !left.is_empty() {
        tokio::time::sleep(TOLD_NOTHING).await;
        left.retain(|watchdog| watchdog.alive());
    }
    left
}

/// The right of this node's server to acknowledge.
#[derive(Debug)]
pub(super) struct Tenancy {
    mode: Mode,
    program: PathBuf,
    memory: LeaseMemory,
    watchdog: Option<Watchdog>,
    /// Renewals since it was started.
    renewals: u32,
    /// Of a server that an earlier keeper ran under a lease, and that is under none any more.
    inherited: Vec<ProcessId>,
}

impl Tenancy {
    pub fn new(mode: Mode, program: PathBuf) -> Tenancy {
        Tenancy {
            mode,
            program,
            memory: LeaseMemory::default(),
            watchdog: None,
            renewals: 0,
            inherited: Vec::new(),
        }
    }

    /// As the rules know it: one node is a quorum of its own.
    pub fn mode(&self) -> Mode {
        if self.mode == Mode::Lease { Mode::Lease } else { Mode::Quorum }
    }

    /// What an earlier keeper has left. A primary that was open under a lease and that nobody watches may have outlived it:
    /// it is ended.
    pub async fn adopt(&mut self, local: &mut Local) {
        let Some(server) = local.running.as_ref().map(crate::instance::Running::process) else { return };
        let left = lasting(server).await;
        let nobody_watches = left.is_empty();
        if self.mode != Mode::Lease {
            self.inherited = left;
        }
        // In a quorum's mode one that awaits nobody may never have been under a lease: `when_alone: degrade`.
        let awaits_nobody = local.own.quorum.is_some_and(|quorum| quorum.need == 0);
        let leased = local.own.leased || self.mode == Mode::Lease && awaits_nobody;
        if !nobody_watches || !local.own.open || !leased {
            return;
        }
        warn!(node = %local.options.unit(), "a primary under a lease that nobody watches; ending it");
        if let Err(error) = local.end().await {
            warn!(node = %local.options.unit(), error = &error as &dyn std::error::Error, "it does not end");
        }
    }

    /// What the clock says of `view`, for which the server was looked at from `looked` on, with the lease's document at
    /// `revision`.
    pub fn judge(&mut self, view: &View, revision: Revision, looked: Moment) -> Tenure {
        if self.mode == Mode::Lease {
            return self.memory.judge_look(view, revision, (looked, boot_time()), Flaw::None);
        }
        Tenure::default()
    }

    /// Whether the watchdogs of an earlier keeper may go, as they may once nobody takes over by a lease. Also where they are gone
    /// and the node's file still says that it is `leased`: that could not be written, and a next keeper would go by it.
    pub fn relieve(&self, view: &View, leased: bool) -> Relief {
        let nothing_left = self.inherited.is_empty() && (self.mode == Mode::Lease || !leased);
        if nothing_left { Relief::Stays } else { relief(view) }
    }

    /// Lets them go.
    pub fn let_go(&mut self) {
        self.inherited.drain(..).for_each(|watchdog| watchdog.signal(rustix::process::Signal::KILL));
    }

    /// Writes the lease, if the record is still at `record`. It counts from before the look that it rests on, and so from
    /// before it was sent, and when the watchdog of `server` knows of it. Whether it was written.
    pub async fn renew(
        &mut self,
        (store, keys): (&Store, &Keys),
        (lease, record): (&Lease, Revision),
        looked: Moment,
        server: Option<ProcessId>,
    ) -> Result<bool, KeeperError> {
        self.memory.asks(looked);
        let Some(server) = server else { return Ok(false) };
        let compare = vec![Compare::Modified { key: keys.record(), revision: record }];
        // An answer that comes later is of no use.
        let until = looked.plus(LEASE_FENCE_MS);
        let left = Duration::from_millis(until.ms_since(boot_time()));
        let written = tokio::time::timeout(left, shared::put(store, keys.lease(), lease, compare)).await;
        let late = || KeeperError::NotNow("the store does not answer before the lease is over".to_owned());
        if written.map_err(|_| late())??.is_none() {
            return Ok(false);
        }
        self.watch(server, until).await?;
        self.memory.has(lease.term, looked);
        Ok(true)
    }

    async fn watch(&mut self, server: ProcessId, until: Moment) -> Result<(), KeeperError> {
        let known = self.watchdog.take().filter(|watchdog| watchdog.server() == server);
        let mut watchdog = match known {
            Some(watchdog) => watchdog,
            None => {
                self.renewals = 0;
                Watchdog::start(&self.program, server)?
            }
        };
        // One that does not answer is not kept: another is started at the next renewal. It still ends the server then.
        watchdog.extend(until).await?;
        // Not once: one that was started by mistake, or too slowly to be seen, would end the server by what it was told.
        if self.renewals < LOOKS {
            let own = watchdog.pid();
            for other in watchdogs(server).into_iter().filter(|other| Some(other.pid) != own) {
                info!(pid = other.pid, "an earlier watchdog is not needed any more");
                other.signal(rustix::process::Signal::KILL);
            }
        }
        self.renewals = self.renewals.saturating_add(1);
        self.watchdog = Some(watchdog);
        Ok(())
    }

    /// The server has been stopped: nothing is left to watch.
    pub async fn end(self) {
        if let Some(watchdog) = self.watchdog {
            watchdog.dismiss().await;
        }
    }
}

/// Writes `record` if it is still at `revision` and the lease at `lease`; the revision it got.
pub(super) async fn take_over(
    (store, keys): (&Store, &Keys),
    record: &Record,
    (revision, lease): (Revision, Revision),
) -> Result<Option<Revision>, store::StoreError> {
    let compare = vec![
        Compare::Modified { key: keys.record(), revision },
        Compare::Modified { key: keys.lease(), revision: lease },
    ];
    shared::put(store, keys.record(), record, compare).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The watchdogs went, and the disk was full when that was to be written down.
    #[test]
    fn a_file_that_still_says_leased_is_written_once_nobody_takes_over_by_a_lease() {
        let tenancy = Tenancy::new(Mode::Quorum, PathBuf::new());
        let view = crate::decide::tests::relieved();
        assert_eq!(tenancy.relieve(&view, true), Relief::Goes);
        assert_eq!(tenancy.relieve(&view, false), Relief::Stays);
        assert_eq!(Tenancy::new(Mode::Lease, PathBuf::new()).relieve(&view, true), Relief::Stays);
    }

    /// As a watchdog of `server` is seen: by its arguments. It goes on until its input ends.
    fn one_of(server: ProcessId) -> (tokio::process::Child, PathBuf) {
        let folder =
            std::env::temp_dir().join(format!("ek-lasting-{}-{}", std::process::id(), server.started));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(crate::keeper::WATCHDOG), "read line").unwrap();
        let mut command = tokio::process::Command::new("/bin/sh");
        command
            .arg(crate::keeper::WATCHDOG)
            .args([server.pid.to_string(), server.started.to_string()])
            .current_dir(&folder)
            .stdin(std::process::Stdio::piped());
        (command.spawn().unwrap(), folder)
    }

    async fn seen(server: ProcessId) {
        while watchdogs(server).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its keeper ended before it had said until when. Taken for one that watches, it would leave a server to nobody.
    #[tokio::test]
    async fn a_watchdog_that_was_told_nothing_does_not_count() {
        // Of this process, which it does not touch.
        let server = |started| ProcessId { pid: std::process::id(), started };
        let (mut ends, first) = one_of(server(1));
        seen(server(1)).await;
        let end = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop(ends.stdin.take());
            ends.wait().await.unwrap();
        };
        let (left, ()) = tokio::join!(lasting(server(1)), end);
        assert!(left.is_empty(), "{left:?}");
        let (mut stays, second) = one_of(server(2));
        seen(server(2)).await;
        assert_eq!(lasting(server(2)).await.len(), 1);
        stays.kill().await.unwrap();
        for folder in [first, second] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    /// What the server said is as old as the look, however long this process stood still after it.
    #[tokio::test]
    async fn a_renewal_counts_from_before_the_look_that_it_rests_on() {
        let folder = std::env::temp_dir().join(format!("ek-renew-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // It answers what it is told. Written by another process, so that none that is started meanwhile holds it open.
        let program = folder.join("watchdog");
        let text = "printf '#!/bin/sh\nexec /bin/cat\n' > \"$0\" && chmod 700 \"$0\"";
        let written = tokio::process::Command::new("/bin/sh").arg("-c").arg(text).arg(&program).status();
        assert!(written.await.unwrap().success());
        let (store, _) = Store::simulated(1, world::Clock::real(), store::Faults::default());
        let keys = Keys::new(&model::DatabaseName::new("db").unwrap());
        let mut tenancy = Tenancy::new(Mode::Lease, program);
        let lease = Lease { term: 4, node: model::NodeId(1), flush: model::Lsn(7) };
        let server = ProcessId { pid: std::process::id(), started: 3 };
        let looked = boot_time();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let renewed = tenancy.renew((&store, &keys), (&lease, 0), looked, Some(server)).await;
        assert!(renewed.unwrap());
        assert_eq!(tenancy.memory.has(4, Moment(0)), looked.plus(LEASE_FENCE_MS));
        tenancy.end().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}
