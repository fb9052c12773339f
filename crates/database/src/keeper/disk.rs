//! Whether the node's disk still takes what is written. One that hangs answers every question of a keeper: looks are
//! answered from memory, beats go out, and nothing is ever committed again. So a thread of its own writes and syncs a few
//! bytes once a second, and how long it has been at that is what is asked. A thread that hangs holds up nobody; it is
//! never joined, since a call into a disk that hangs cannot be ended.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A try that takes this long hangs. A disk that is busy with a checkpoint may hold up a sync for seconds; it is no reason
/// to take another primary.
const HANGS: Duration = Duration::from_secs(10);
/// The thread calls the kernel and nothing else.
const STACK_BYTES: usize = 64 * 1024;
/// What is written, in the node's folder.
const PROBE: &str = "disk.probe";

/// The tries, for as long as it is there.
#[derive(Debug)]
pub(super) struct Disk {
    /// When the try under way began.
    began: Arc<Mutex<Option<Instant>>>,
}

impl Disk {
    /// Begins to try. Without a thread it never hangs, which is said.
    pub fn watch(folder: &Path) -> Disk {
        let disk = Disk { began: Arc::default() };
        let (began, probe) = (Arc::downgrade(&disk.began), folder.join(PROBE));
        let thread = std::thread::Builder::new().name("disk".to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(move || try_again_and_again(&began, &probe)) {
            tracing::warn!(%error, "no thread to watch the disk with: one that hangs is not noticed");
        }
        disk
    }

    /// For how long it has taken nothing; `None`: it is not known to hang.
    pub fn hangs(&self) -> Option<Duration> {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.map(|began| began.elapsed()).filter(|elapsed| *elapsed >= HANGS)
    }
}

fn try_again_and_again(began: &Weak<Mutex<Option<Instant>>>, probe: &PathBuf) {
    let note = |at| {
        let began = began.upgrade()?;
        *began.lock().unwrap_or_else(PoisonError::into_inner) = at;
        Some(())
    };
    while note(Some(Instant::now())).is_some() {
        // One that is full, or that fails, says so at once; others tell of that.
        if let Err(error) = write(probe) {
            tracing::debug!(probe = %probe.display(), %error, "cannot be written");
        }
        if note(None).is_none() {
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

    #[test]
    fn a_try_hangs_after_a_while_and_one_that_is_over_does_not() {
        let disk = Disk { began: Arc::default() };
        assert_eq!(disk.hangs(), None);
        let long_ago = Instant::now().checked_sub(HANGS).unwrap();
        *disk.began.lock().unwrap() = Some(long_ago + PAUSE);
        assert_eq!(disk.hangs(), None);
        *disk.began.lock().unwrap() = Some(long_ago);
        assert!(disk.hangs().is_some());
        *disk.began.lock().unwrap() = None;
        assert_eq!(disk.hangs(), None);
    }
}
