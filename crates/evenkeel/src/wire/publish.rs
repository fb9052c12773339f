//! The agent's side of its front: hands out snapshots, collects reports, and sees when the front is frozen.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::{FrontReport, FrontSnapshot, Moment};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use world::{Clock, Stop};

/// A front that has not reported for this long is frozen. Longer than the random pauses of 500 ms that a busy
/// machine may bring, short enough to have it replaced within a second.
pub const SILENCE_MS: u64 = 700;

/// What is known of the front.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its last report; empty before the first.
    pub report: FrontReport,
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

/// Serves one front at a time until `stop`; a new connection replaces the old one.
pub async fn serve(
    listener: UnixListener,
    snapshots: watch::Receiver<Arc<FrontSnapshot>>,
    link: watch::Sender<Link>,
    clock: Clock,
    stop: Stop,
) {
    let mut current: Option<UnixStream> = None;
    loop {
        let served = async {
            match current.take() {
                Some(stream) => talk(stream, snapshots.clone(), &link, &clock).await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            biased;
            () = stop.requested() => return,
            accepted = listener.accept() => accepted,
            () = served => {
                link.send_modify(|link| link.heard = None);
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => current = Some(stream),
            // Out of descriptors or the like: passes, and must not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn talk(
    stream: UnixStream,
    mut snapshots: watch::Receiver<Arc<FrontSnapshot>>,
    link: &watch::Sender<Link>,
    clock: &Clock,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    snapshots.mark_changed();
    loop {
        let line = tokio::select! {
            biased;
            line = lines.next_line() => line,
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
        let Ok(Some(line)) = line else { return };
        let Ok(report) = serde_json::from_str::<FrontReport>(&line) else { return };
        link.send_replace(Link { report, heard: Some(clock.now()) });
    }
}
