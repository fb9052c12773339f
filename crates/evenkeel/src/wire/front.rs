//! The front process: serves from its last snapshot, whatever became of its agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use balance::{Front, FrontOptions};
use model::FrontSnapshot;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Time between two reports. The agent takes a front that is silent for several of them for frozen.
pub const REPORT_MS: u64 = 100;
/// Wait before the agent's socket is tried again.
const RECONNECT_MS: u64 = 100;
/// A front that is asked to end lets open requests finish this long.
const DRAIN_MS: u64 = 5_000;

/// Runs the front until SIGTERM.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn run(socket: &Path, options: FrontOptions) -> anyhow::Result<()> {
    let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
    let front = Front::start(options, latest);
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            () = link(socket, &snapshots, &front) => {}
        }
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(RECONNECT_MS)) => {}
        }
    }
    front.stop(DRAIN_MS).await;
    Ok(())
}

/// One connection to the agent; returns when it ends. What was received stays in force.
async fn link(socket: &Path, snapshots: &watch::Sender<Arc<FrontSnapshot>>, front: &Front) {
    let Ok(stream) = UnixStream::connect(socket).await else { return };
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut tick = tokio::time::interval(Duration::from_millis(REPORT_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        // Both branches are cancel-safe: `next_line` keeps what it has read, a tick is not lost.
        let line = tokio::select! {
            biased;
            line = lines.next_line() => line,
            _ = tick.tick() => {
                let Ok(mut report) = serde_json::to_vec(&front.report()) else { return };
                report.push(b'\n');
                if write.write_all(&report).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Ok(Some(line)) = line else { return };
        match serde_json::from_str::<FrontSnapshot>(&line) {
            // An agent that was away may hand out an older picture first.
            Ok(next) if next.revision >= snapshots.borrow().revision => {
                snapshots.send_replace(Arc::new(next));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "snapshot cannot be read; keeping the last one"),
        }
    }
}
