//! The front process: serves from its last snapshot, whatever became of its agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use balance::limits::Limits;
use balance::{Front, FrontOptions, Tuning};
use model::FrontSnapshot;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::lines::Lines;
use super::publish::SNAPSHOT_BYTES_MAX;

/// Time between two reports. The agent takes a front that is silent for several of them for frozen.
pub const REPORT_MS: u64 = 100;
/// Wait before the agent's socket is tried again.
const RECONNECT_MS: u64 = 100;
/// A front that is asked to end lets open requests finish this long.
const DRAIN_MS: u64 = 5_000;
/// Descriptors for each client's connection: its own, one to a replica, and room for idle ones.
const DESCRIPTORS_EACH: u64 = 3;
/// Connections of a front whatever the limit of descriptors is.
const CONNECTIONS_MIN: u64 = 64;

/// Runs the front until SIGTERM.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn run(socket: &Path, options: FrontOptions) -> anyhow::Result<()> {
    let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
    let limits = Limits::default();
    let limits = Limits { connections: connections(limits.connections), ..limits };
    let front = Front::start_with(options, Tuning { limits, ..Tuning::default() }, latest);
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

/// How many client connections of `wanted` this process may hold, after its soft limit of descriptors was raised as far
/// as needed and allowed. Taking more would leave none for the way to the replicas: a thousand idle clients could
/// otherwise make every other one see errors where the soft limit is the usual 1024.
fn connections(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_mul(DESCRIPTORS_EACH);
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.map_or(needed, |hard| hard.min(needed));
    if limit.current.is_some_and(|soft| soft < may) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(may), maximum: limit.maximum });
    }
    let have = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let fit = (have / DESCRIPTORS_EACH).max(CONNECTIONS_MIN);
    if fit < wanted as u64 {
        tracing::warn!(
            descriptors = have,
            connections = fit,
            "the limit of descriptors (`ulimit -n`) is low"
        );
    }
    wanted.min(usize::try_from(fit).unwrap_or(usize::MAX))
}

/// One connection to the agent; returns when it ends. What was received stays in force.
async fn link(socket: &Path, snapshots: &watch::Sender<Arc<FrontSnapshot>>, front: &Front) {
    let Ok(stream) = UnixStream::connect(socket).await else { return };
    let (read, mut write) = stream.into_split();
    let mut lines = Lines::new(read, SNAPSHOT_BYTES_MAX);
    let mut tick = tokio::time::interval(Duration::from_millis(REPORT_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        // Both branches are cancel-safe: `next` keeps what it has read, a tick is not lost.
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            _ = tick.tick() => {
                let Ok(mut report) = serde_json::to_vec(&front.report()) else { return };
                report.push(b'\n');
                if write.write_all(&report).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(line) = line else { return };
        match serde_json::from_slice::<FrontSnapshot>(&line) {
            // An agent that was away may hand out an older picture first.
            Ok(next) if next.revision >= snapshots.borrow().revision => {
                snapshots.send_replace(Arc::new(next));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "snapshot cannot be read; keeping the last one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_clients_leave_descriptors_for_the_way_to_the_replicas() {
        let before = getrlimit(Resource::Nofile);
        let lowered = Rlimit { current: Some(1_024), maximum: before.maximum };
        setrlimit(Resource::Nofile, lowered).unwrap();
        let taken = connections(10_000) as u64;
        let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let hard = before.maximum.unwrap_or(u64::MAX);
        setrlimit(Resource::Nofile, before).unwrap();
        assert!(have >= hard.min(30_000), "the soft limit was raised as far as allowed");
        assert_eq!(taken, 10_000.min(have / 3));
        assert_eq!(connections(100), 100);
    }
}
