//! Where the parts meet: one file a part. Nothing here decides; it carries `model` types from one part to the next.

pub mod agent;
pub mod breaks;
pub mod console;
pub mod coordination;
pub mod data;
pub mod database;
pub mod exported;
pub mod fault;
#[cfg(test)]
pub mod fixture;
pub mod front;
pub mod fronts;
pub mod handover;
pub mod hosts;
pub mod identity;
pub mod keepers;
pub mod kept;
pub mod lines;
pub mod logs;
pub mod member;
pub mod mirror;
pub mod picture;
pub mod picture_data;
pub mod place;
pub mod placements;
pub mod prices;
pub mod primary;
pub mod publish;
pub mod release;
pub mod remote;
pub mod report;
pub mod rollout;
pub mod site;
pub mod slots;
pub mod snapshot;
pub mod supervise;
pub mod years;

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use engine::local::ProcessId;

/// Takes the lock at `path` for as long as the file is held; `None` when another process has it.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    lock_as(path, rustix::fs::FlockOperation::NonBlockingLockExclusive)
}

/// Whether a process holds the lock at `path`. Any number may look at once; only [`lock`] is in the way of a look,
/// and a look for a moment of [`lock`].
///
/// # Errors
/// As [`lock`].
pub fn is_locked(path: &Path) -> anyhow::Result<bool> {
    Ok(lock_as(path, rustix::fs::FlockOperation::NonBlockingLockShared)?.is_none())
}

fn lock_as(path: &Path, how: rustix::fs::FlockOperation) -> anyhow::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot open `{}`", path.display()))?;
    match rustix::fs::flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// Names this process in the `lock` that it holds, so that it can be found whatever else is missing or damaged.
///
/// # Errors
/// When the file cannot be written.
pub fn sign(lock: &File) -> anyhow::Result<()> {
    let own = ProcessId::own().context("this process is not found in `/proc`")?;
    lock.set_len(0)?;
    lock.write_all_at(&serde_json::to_vec(&own)?, 0)?;
    Ok(())
}

/// Who signed the lock at `path`. One that has ended is never named, even if its number was given to another.
pub fn signed_by(path: &Path) -> Option<ProcessId> {
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice::<ProcessId>(&text).ok().filter(|process| process.alive())
}
