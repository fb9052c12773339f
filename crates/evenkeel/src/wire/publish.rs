//! The agent's side of its fronts, whatever they serve: hands out snapshots, collects reports, and sees when a front
//! is frozen.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::Moment;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use world::{Clock, Stop};

use super::lines::Lines;

/// A front that has not reported for this long is frozen. Longer than the random pauses of 500 ms that a busy
/// machine may bring, short enough to have it replaced within a second.
pub const SILENCE_MS: u64 = 700;

/// Most bytes of a front's report: hundreds of times what one of a large application takes.
const REPORT_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a snapshot: more than the store that it is made from can describe.
pub const SNAPSHOT_BYTES_MAX: usize = 16 << 20;
/// Wait after a connection could not be taken: out of descriptors or the like, which passes and must not spin.
const ACCEPT_AGAIN_MS: u64 = 50;

/// What is known of a front that reports `R`.
#[derive(Clone, Debug, Default)]
pub struct Link<R> {
    /// Its last report; empty before the first.
    pub report: R,
    /// When it came. `None`: not connected now.
    pub heard: Option<Moment>,
}

/// Binds the socket, readable by this user alone.
///
/// # Errors
/// When the path cannot be had.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    // Left behind by an agent that was killed; its run is over, since this agent holds the zone's lock.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace `{}`", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves one front at a time until `stop`; a new connection replaces the old one. Snapshots `S` go out as soon as they
/// change, reports `R` come in.
pub async fn serve<S, R>(
    listener: UnixListener,
    snapshots: watch::Receiver<Arc<S>>,
    link: watch::Sender<Link<R>>,
    clock: Clock,
    stop: Stop,
) where
    S: Serialize,
    R: DeserializeOwned,
{
    loop {
        let Some(first) = accept(&listener, &stop).await else { return };
        let mut current = first;
        // The link lives on while a connection cannot be taken: without it a healthy front would look frozen.
        loop {
            let next = {
                let served = talk(current, snapshots.clone(), &link, &clock);
                tokio::pin!(served);
                tokio::select! {
                    biased;
                    next = accept(&listener, &stop) => next.ok_or(()).map(Some),
                    () = &mut served => Ok(None),
                }
            };
            match next {
                Ok(Some(stream)) => current = stream,
                Ok(None) => break,
                Err(()) => return,
            }
        }
        link.send_modify(|link| link.heard = None);
    }
}

/// The next connection, however often it takes; `None` when it is time to stop.
async fn accept(listener: &UnixListener, stop: &Stop) -> Option<UnixStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.requested() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await,
        }
    }
}

async fn talk<S, R>(
    stream: UnixStream,
    mut snapshots: watch::Receiver<Arc<S>>,
    link: &watch::Sender<Link<R>>,
    clock: &Clock,
) where
    S: Serialize,
    R: DeserializeOwned,
{
    let (read, mut write) = stream.into_split();
    let mut lines = Lines::new(read, REPORT_BYTES_MAX);
    snapshots.mark_changed();
    loop {
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            changed = snapshots.changed() => {
                let snapshot = snapshots.borrow_and_update().clone();
                let Ok(mut text) = serde_json::to_vec(snapshot.as_ref()) else { return };
                text.push(b'\n');
                // A frozen front stops reading; giving up here lets its silence be seen.
                let sent = tokio::time::timeout(Duration::from_millis(SILENCE_MS), write.write_all(&text)).await;
                if changed.is_err() || !matches!(sent, Ok(Ok(()))) {
                    return;
                }
                continue;
            }
        };
        let Some(line) = line else { return };
        let Ok(report) = serde_json::from_slice::<R>(&line) else { return };
        link.send_replace(Link { report, heard: Some(clock.now()) });
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
