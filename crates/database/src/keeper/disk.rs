//! Whether the node's disk still takes what is written. One that hangs answers every question of a keeper: looks are
//! answered from memory, beats go out, and nothing is ever committed again. So a thread of its own writes and syncs a few
//! bytes once a second, and how long it has been at that is what is asked. A thread that hangs holds up nobody; it is
//! never joined, since a call into a disk that hangs cannot be ended.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A try that takes this long hangs. A disk that is busy with a checkpoint may hold up a sync for seconds; it is no reason
/// to take another primary.
pub(super) const HANGS: Duration = Duration::from_secs(10);
/// The thread calls the kernel and nothing else.
const STACK_BYTES: usize = 64 * 1024;
/// What is written, in the node's folder.
const PROBE: &str = "disk.probe";

/// Between two looks no more than this counts: a process that stood still, disk and all, learns nothing about the disk.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The tries, for as long as it is there.
#[derive(Debug)]
pub(super) struct Disk {
    /// How often one began or ended: odd while one is under way.
    steps: Arc<AtomicU64>,
    /// The same, when last looked at.
    seen: u64,
    looked: Instant,
    /// For how long the try under way was watched.
    waits: Duration,
}

impl Disk {
    /// Begins to try. Without a thread it never hangs, which is said.
    pub fn watch(folder: &Path) -> Disk {
        let disk = Disk::new(Instant::now());
        let (steps, probe) = (Arc::downgrade(&disk.steps), folder.join(PROBE));
        let thread = std::thread::Builder::new().name("disk".to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(move || try_again_and_again(&steps, &probe)) {
            tracing::warn!(%error, "no thread to watch the disk with: one that hangs is not noticed");
        }
        disk
    }

    /// One whose try under way was watched for so long.
    #[cfg(test)]
    pub fn under_way(waits: Duration) -> Disk {
        let disk = Disk { seen: 1, waits, ..Disk::new(Instant::now()) };
        disk.steps.store(1, Ordering::Relaxed);
        disk
    }

    fn new(now: Instant) -> Disk {
        Disk { steps: Arc::default(), seen: 0, looked: now, waits: Duration::ZERO }
    }

    /// Looks whether the try goes on; once a round.
    pub fn look(&mut self, now: Instant) {
        let steps = self.steps.load(Ordering::Relaxed);
        let since = now.saturating_duration_since(self.looked).min(LOOK_MAX);
        self.waits = if steps == self.seen && steps % 2 == 1 { self.waits + since } else { Duration::ZERO };
        (self.seen, self.looked) = (steps, now);
    }

    /// For how long the try under way was watched.
    pub fn waits(&self) -> Duration {
        self.waits
    }

    /// For how long it has taken nothing; `None`: it is not known to hang.
    pub fn hangs(&self) -> Option<Duration> {
        (self.waits >= HANGS).then_some(self.waits)
    }
}

fn try_again_and_again(steps: &Weak<AtomicU64>, probe: &PathBuf) {
    let step = || steps.upgrade().map(|steps| steps.fetch_add(1, Ordering::Relaxed));
    while step().is_some() {
        // One that is full, or that fails, says so at once; others tell of that.
        if let Err(error) = write(probe) {
            tracing::debug!(probe = %probe.display(), %error, "cannot be written");
        }
        if step().is_none() {
            return;
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Over what was written before: a full disk has room for it.
fn write(probe: &PathBuf) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(probe)?;
    file.write_all(b"evenkeel\n")?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(100);

    fn looks(disk: &mut Disk, now: &mut Instant, rounds: u32) {
        for _ in 0..rounds {
            *now += ROUND;
            disk.look(*now);
        }
    }

    #[test]
    fn a_try_hangs_after_a_while_and_one_that_is_over_does_not() {
        let mut now = Instant::now();
        let mut disk = Disk::new(now);
        looks(&mut disk, &mut now, 200);
        assert_eq!(disk.hangs(), None, "none is under way");
        disk.steps.fetch_add(1, Ordering::Relaxed);
        looks(&mut disk, &mut now, 100);
        assert_eq!(disk.hangs(), None);
        looks(&mut disk, &mut now, 1);
        assert_eq!(disk.hangs(), Some(HANGS));
        disk.steps.fetch_add(2, Ordering::Relaxed);
        looks(&mut disk, &mut now, 100);
        assert_eq!(disk.hangs(), None, "another try, not the same");
        looks(&mut disk, &mut now, 1);
        assert_eq!(disk.hangs(), Some(HANGS));
        disk.steps.fetch_add(1, Ordering::Relaxed);
        looks(&mut disk, &mut now, 1);
        assert_eq!(disk.hangs(), None);
    }

    #[test]
    fn a_keeper_that_stood_still_in_the_midst_of_a_try_does_not_take_its_disk_for_dead() {
        let mut now = Instant::now();
        let mut disk = Disk::new(now);
        disk.steps.fetch_add(1, Ordering::Relaxed);
        disk.look(now);
        now += 6 * HANGS;
        disk.look(now);
        assert_eq!(disk.hangs(), None);
    }
}
