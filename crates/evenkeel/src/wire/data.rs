//! What an agent does for its zone's data front and for whoever looks at its data nodes: hands out what to serve, and
//! writes to the store what is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::database::keeper::ServerState;
use ::database::path::{DataReport, DataSnapshot};
use model::{Moment, ZoneName};
use store::{Store, Txn};
use tokio::sync::watch;
use world::{Clock, Stop};

use super::database::DataNode;
use super::keepers::Board;
use super::mirror::Mirror;
use super::publish::Link;
use super::{database, report};

/// The longest time between two looks.
const LOOK_MS: u64 = 1_000;
/// Between two writes of what data nodes are, unless a server has become another thing: the fronts of other zones hold
/// clients until the primary is open.
const WRITE_MS: u64 = 500;
/// After a write its change is waited for this long in the own picture before the next one is judged.
const SEEN_MS: u64 = 1_000;

/// What the agent knows of its data nodes.
#[derive(Clone)]
pub struct Data {
    pub zone: ZoneName,
    pub address: IpAddr,
    pub mirror: watch::Receiver<Arc<Mirror>>,
    pub board: watch::Receiver<Board>,
}

impl Data {
    /// Waits until anything changes; `false` when it is time to stop.
    async fn changed(&mut self, stop: &Stop) -> bool {
        tokio::select! {
            biased;
            () = stop.requested() => false,
            changed = self.board.changed() => changed.is_ok(),
            changed = self.mirror.changed() => changed.is_ok(),
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => true,
        }
    }

    fn snapshot(&mut self) -> Option<DataSnapshot> {
        let mirror = self.mirror.borrow_and_update().clone();
        let board = self.board.borrow_and_update();
        database::served(&mirror, &board, &self.zone, self.address)
    }
}

/// Makes what the data front serves from, at once when a keeper of the zone or the store says something new: a client
/// that waits for a primary waits for this.
pub async fn snapshots(mut data: Data, out: watch::Sender<Arc<DataSnapshot>>, stop: Stop) {
    loop {
        if let Some(next) = data.snapshot() {
            out.send_if_modified(|last| {
                let newer = **last != next;
                *last = Arc::new(next);
                newer
            });
        }
        if !data.changed(&stop).await {
            return;
        }
    }
}

/// Keeps the store's picture of this zone's address, data front and data nodes equal to what they are.
pub async fn write(
    mut data: Data,
    link: watch::Receiver<Link<DataReport>>,
    store: Store,
    clock: Clock,
    stop: Stop,
) {
    let mut seen = 0;
    let mut written = Moment::default();
    while data.changed(&stop).await {
        let mirror = data.mirror.borrow_and_update().clone();
        let now = clock.now();
        if mirror.revision == 0 || (mirror.revision < seen && now.ms_since(written) < SEEN_MS) {
            continue;
        }
        let board = data.board.borrow_and_update().clone();
        let then = report::data(&mirror, (&data.zone, data.address), &board, &link.borrow());
        if then.is_empty() {
            continue;
        }
        if let Ok(reply) = store.txn(Txn { compare: Vec::new(), then }).await {
            seen = reply.revision;
            written = now;
        }
        let told = servers(&board);
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = async { let _ = data.board.wait_for(|board| servers(board) != told).await; } => {}
            () = tokio::time::sleep(Duration::from_millis(WRITE_MS)) => {}
        }
        data.board.mark_changed();
    }
}

fn servers(board: &Board) -> Vec<(DataNode, ServerState)> {
    board.iter().map(|(node, status)| (node.clone(), status.server)).collect()
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
