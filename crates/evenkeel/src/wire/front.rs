//! The front processes, edge and data: each serves from its last snapshot, whatever became of its agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use balance::limits::Limits;
use balance::{Front, FrontOptions, Tuning};
use database::path::{DataFront, DataSnapshot};
use model::FrontSnapshot;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;
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
/// The data front does not wait as long: a session of a pool never ends by itself, and its client connects again.
const DATA_DRAIN_MS: u64 = 1_000;
/// Descriptors for each client's connection: its own, one to a replica, and room for idle ones.
const DESCRIPTORS_EACH: u64 = 3;
/// Connections of a front whatever the limit of descriptors is.
const CONNECTIONS_MIN: u64 = 64;

/// What a front serves from.
trait Document: DeserializeOwned {
    /// An older one never replaces a newer one.
    fn revision(&self) -> u64;
}

impl Document for FrontSnapshot {
    fn revision(&self) -> u64 {
        self.revision
    }
}

impl Document for DataSnapshot {
    fn revision(&self) -> u64 {
        self.revision
    }
}

/// Runs an edge front until SIGTERM.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn run(socket: &Path, options: FrontOptions) -> anyhow::Result<()> {
    let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
    let limits = Limits::default();
    let limits = Limits { connections: connections(limits.connections), ..limits };
    let front = Front::start_with(options, Tuning { limits, ..Tuning::default() }, latest);
    until_told(follow(socket, &snapshots, || front.report())).await?;
    front.stop(DRAIN_MS).await;
    Ok(())
}

/// Runs a data front until SIGTERM.
///
/// # Errors
/// When signals cannot be listened for, or the system allows no thread.
pub async fn run_data(socket: &Path, threads: usize) -> anyhow::Result<()> {
    let (snapshots, latest) = watch::channel(Arc::new(DataSnapshot::default()));
    let limits = database::path::Limits::default();
    let connections = connections(limits.connections);
    let limits = database::path::Limits { connections, ..limits };
    let front = DataFront::start(threads, limits, latest).context("the data front cannot start")?;
    until_told(follow(socket, &snapshots, || front.report())).await?;
    front.stop(DATA_DRAIN_MS).await;
    Ok(())
}

async fn until_told(work: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        () = work => {}
    }
    Ok(())
}

/// Follows the agent for ever, through as many connections as it takes.
async fn follow<S: Document, R: Serialize>(
    socket: &Path,
    snapshots: &watch::Sender<Arc<S>>,
    report: impl Fn() -> R,
) {
    loop {
        link(socket, snapshots, &report).await;
        tokio::time::sleep(Duration::from_millis(RECONNECT_MS)).await;
    }
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
async fn link<S: Document, R: Serialize>(
    socket: &Path,
    snapshots: &watch::Sender<Arc<S>>,
    report: &impl Fn() -> R,
) {
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
                let Ok(mut report) = serde_json::to_vec(&report()) else { return };
                report.push(b'\n');
                if write.write_all(&report).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(line) = line else { return };
        match serde_json::from_slice::<S>(&line) {
            // An agent that was away may hand out an older picture first.
            Ok(next) if next.revision() >= snapshots.borrow().revision() => {
                snapshots.send_replace(Arc::new(next));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "snapshot cannot be read; keeping the last one"),
        }
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
