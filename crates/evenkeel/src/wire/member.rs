//! An agent says that its zone lives: a record under a lease that it renews.

use std::sync::Arc;
use std::time::Duration;

use model::{AgentRecord, keys};
use store::{Class, LeaseId, Op, Store, Txn};
use world::Stop;

/// A zone counts as lost this long after its agent's last renewal. Three renewals fit in, so one lost packet does
/// not take a zone out; with starting and probing replacements it leaves the full count back within 5 s.
pub const LEASE_TTL_MS: u64 = 1_500;
/// Time between two renewals.
pub const RENEW_MS: u64 = 400;

/// Keeps `record` in the store until `stop`, then gives the lease back so that nobody has to wait for it to end.
pub async fn stay(store: Store, record: Arc<AgentRecord>, stop: Stop) {
    let mut lease: Option<LeaseId> = None;
    while !stop.is_requested() {
        lease = match lease {
            Some(id) => match store.keep_alive(id).await {
                Ok(true) => Some(id),
                Ok(false) => None,
                Err(error) if error.class() == Class::Permanent => None,
                // The lease may well live on; only the store can say that it ended.
                Err(_) => Some(id),
            },
            None => join(&store, &record).await,
        };
        // A lost lease is taken anew at once: each moment without it counts as a lost zone.
        let wait = if lease.is_some() { RENEW_MS } else { RENEW_MS / 4 };
        tokio::select! {
            biased;
            () = stop.requested() => break,
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
        }
    }
    if let Some(id) = lease {
        // Nothing to do about a failure: the lease ends by itself.
        let _ = store.revoke(id).await;
    }
}

async fn join(store: &Store, record: &AgentRecord) -> Option<LeaseId> {
    let lease = store.grant(LEASE_TTL_MS).await.ok()?;
    let value = serde_json::to_vec(record).ok()?;
    let key = format!("{}{}", keys::AGENTS, record.zone);
    let put = Op::Put { key, value, lease: Some(lease) };
    let reply = store.txn(Txn { compare: Vec::new(), then: vec![put] }).await.ok()?;
    reply.done.then_some(lease)
}
