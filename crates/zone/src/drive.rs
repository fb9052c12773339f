//! One leader at a time carries out what [`decide`](crate::decide) says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{LeaderRecord, Moment, UnitName, UnitRecord, Want, ZoneName, keys};
use store::{Class, Compare, LeaseId, Op, Revision, Store, StoreError, Txn, Watch};
use tokio::sync::watch;
use tracing::{debug, info, warn};
use world::{Clock, Stop};

use crate::mirror::Mirror;
use crate::{Action, Memory, View, decide, guards};

/// The leader's lease, as an agent's: a leader that is gone is replaced after this.
pub const TTL_MS: u64 = 1_500;

/// Time between two renewals: three fit into a lease.
pub const RENEW_MS: u64 = 400;

/// On its own clock a leader stops acting so long before its lease can end. It covers clocks that run at slightly
/// different speeds; what slips through is refused by the store, which compares the leader's record.
pub const MARGIN_MS: u64 = 300;

/// Time alone can change a decision (a zone has settled, a start is late), so one is made at least this often.
pub const TICK_MS: u64 = 250;

/// Wait after an error before the next try.
const RETRY_MS: u64 = 100;

/// Who competes.
#[derive(Clone, Debug)]
pub struct LeadOptions {
    /// The agent's zone.
    pub zone: ZoneName,
    /// Its process, for people.
    pub pid: u32,
}

/// What [`lead`] publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// This agent leads, as far as its own clock allows it to say so.
    pub leading: bool,
    /// Actions this agent has carried out since it started.
    pub actions: u64,
    /// How long the last decision took, in microseconds.
    pub decided_us: u64,
}

/// Why a term ended.
enum End {
    Stopped,
    Deposed,
}

/// Competes for the lead until `stop`, and while it leads, decides on each change and each [`TICK_MS`].
///
/// Every write is one transaction that compares the leader's record, so that what an old leader still sends is
/// refused. Errors of the store are waited out; they never end this. On `stop` the lead is handed back at once.
pub async fn lead(
    options: LeadOptions,
    store: Store,
    clock: Clock,
    stop: Stop,
    standing: watch::Sender<Standing>,
) {
    while !stop.is_requested() {
        let term = tokio::select! {
            biased;
            () = stop.requested() => return,
            term = campaign(&options, &store, &clock) => term,
        };
        let term = match term {
            Ok(term) => term,
            Err(error) => {
                debug!(zone = %options.zone, %error, "cannot compete for the lead now");
                pause(&clock, &stop).await;
                continue;
            }
        };
        info!(zone = %options.zone, token = term.token, "leads");
        standing.send_modify(|standing| standing.leading = true);
        let end = term.serve(&store, &clock, &stop, &standing).await;
        standing.send_modify(|standing| standing.leading = false);
        if let End::Stopped = end {
            // Best effort: without it the next leader waits for the lease to end.
            let _ = store.revoke(term.lease).await;
            return;
        }
        info!(zone = %options.zone, "leads no more");
    }
}

async fn pause(clock: &Clock, stop: &Stop) {
    tokio::select! {
        biased;
        () = stop.requested() => {}
        () = clock.sleep_ms(RETRY_MS) => {}
    }
}

/// Waits until nobody leads, then becomes the leader.
async fn campaign(options: &LeadOptions, store: &Store, clock: &Clock) -> Result<Term, StoreError> {
    loop {
        let (entries, revision) = store.range(keys::LEADER).await?;
        if entries.iter().any(|entry| entry.key == keys::LEADER) {
            store.watch(keys::LEADER, revision + 1).await?.next().await?;
            continue;
        }
        let asked = clock.now();
        let lease = store.grant(TTL_MS).await?;
        let record = LeaderRecord { zone: options.zone.clone(), pid: options.pid };
        let put = Op::Put { key: keys::LEADER.to_owned(), value: json(&record), lease: Some(lease) };
        let compare = vec![Compare::Modified { key: keys::LEADER.to_owned(), revision: 0 }];
        // When the answer is lost the lease may hold the lead without anybody acting; it ends by itself.
        let reply = store.txn(Txn { compare, then: vec![put] }).await?;
        if reply.done {
            let until = AtomicU64::new(asked.plus(TTL_MS - MARGIN_MS).0);
            return Ok(Term { lease, token: reply.revision, until });
        }
        store.revoke(lease).await?;
    }
}

fn json<T: serde::Serialize>(document: &T) -> Vec<u8> {
    // The model's documents have string keys and no failing serialisers.
    serde_json::to_vec(document).unwrap_or_default()
}

struct Term {
    lease: LeaseId,
    /// Revision of the leader's record: the fencing token.
    token: Revision,
    /// On the own clock: acting is allowed before this, in milliseconds.
    until: AtomicU64,
}

impl Term {
    fn holds(&self, clock: &Clock) -> bool {
        clock.now().0 < self.until.load(Ordering::Relaxed)
    }

    async fn serve(
        &self,
        store: &Store,
        clock: &Clock,
        stop: &Stop,
        standing: &watch::Sender<Standing>,
    ) -> End {
        let work = async {
            let mut memory = Memory::default();
            while self.holds(clock) {
                match self.work(store, clock, &mut memory, standing).await {
                    Ok(()) => return,
                    Err(error) if error.is_compacted() || error.class() != Class::Permanent => {
                        debug!(%error, "reading the store anew");
                    }
                    Err(error) => warn!(%error, "the store refuses; trying again"),
                }
                clock.sleep_ms(RETRY_MS).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.requested() => End::Stopped,
            () = self.renew(store, clock) => End::Deposed,
            () = work => End::Deposed,
        }
    }

    /// Renews the lease until it is lost, or until the own clock says that it may be.
    async fn renew(&self, store: &Store, clock: &Clock) {
        loop {
            clock.sleep_ms(RENEW_MS).await;
            // Counted from before the request: the store starts the new term later than that.
            let asked = clock.now();
            let deadline = Moment(self.until.load(Ordering::Relaxed));
            let renewed = tokio::select! {
                biased;
                () = clock.sleep_until(deadline) => return,
                renewed = store.keep_alive(self.lease) => renewed,
            };
            match renewed {
                Ok(true) => self.until.store(asked.plus(TTL_MS - MARGIN_MS).0, Ordering::Relaxed),
                Ok(false) => return,
                Err(error) => debug!(%error, "renewal failed; the lease may still hold"),
            }
        }
    }

    /// Watches, decides and acts until another leads (`Ok`) or the store must be read anew.
    async fn work(
        &self,
        store: &Store,
        clock: &Clock,
        memory: &mut Memory,
        standing: &watch::Sender<Standing>,
    ) -> Result<(), StoreError> {
        let (entries, revision) = store.range("").await?;
        let mut mirror = Mirror::new(entries);
        let mut watch = store.watch("", revision + 1).await?;
        while self.holds(clock) && mirror.leader == self.token {
            let view = mirror.view();
            let began = clock.now();
            let started = std::time::Instant::now();
            let actions = decide(&view, memory, began);
            let decided_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            standing.send_modify(|standing| standing.decided_us = decided_us);
            let written = self.carry_out(store, clock, &view, actions, standing).await?;
            // What this leader wrote must be seen before the next decision, else it would be decided again.
            let mut matters = false;
            while watch.position() <= written {
                matters |= mirror.apply(&watch.next().await?);
            }
            let tick = began.plus(TICK_MS);
            while !matters && clock.now() < tick {
                matters = self.changes(clock, tick, &mut watch, &mut mirror).await?;
            }
        }
        Ok(())
    }

    async fn changes(
        &self,
        clock: &Clock,
        tick: Moment,
        watch: &mut Watch,
        mirror: &mut Mirror,
    ) -> Result<bool, StoreError> {
        tokio::select! {
            biased;
            events = watch.next() => Ok(mirror.apply(&events?)),
            () = clock.sleep_until(tick) => Ok(false),
        }
    }

    /// Carries out a batch, and stops at the first action that is refused; the newest revision that was met.
    async fn carry_out(
        &self,
        store: &Store,
        clock: &Clock,
        view: &View,
        actions: Vec<Action>,
        standing: &watch::Sender<Standing>,
    ) -> Result<Revision, StoreError> {
        let mut batch = Batch { token: self.token, written: BTreeMap::new() };
        let mut newest = 0;
        for action in actions {
            if !self.holds(clock) {
                break;
            }
            let Some(txn) = batch.txn(&action, view) else { continue };
            let keys: Vec<String> = txn.then.iter().map(key_of).collect();
            let reply = store.txn(txn).await?;
            newest = reply.revision;
            if !reply.done {
                debug!(?action, "refused: something changed meanwhile");
                break;
            }
            describe(&action);
            standing.send_modify(|standing| standing.actions += 1);
            batch.written.extend(keys.into_iter().map(|key| (key, reply.revision)));
        }
        Ok(newest)
    }
}

fn key_of(op: &Op) -> String {
    match op {
        Op::Put { key, .. } | Op::Delete { key } => key.clone(),
    }
}

fn describe(action: &Action) {
    match action {
        Action::Assign { unit, .. } => info!(unit = %unit.name, zone = %unit.zone, "unit wanted"),
        Action::Drain { unit } => info!(%unit, "unit draining"),
        Action::Remove { unit } => info!(%unit, "unit removed"),
        Action::SetRollout { rollout } => {
            info!(plan = rollout.plan.number.0, phase = ?rollout.phase, "rollout")
        }
    }
}

/// The transactions of one decision.
pub(crate) struct Batch {
    /// The leader's fencing token.
    pub(crate) token: Revision,
    /// Keys this batch has written, with their new revisions: the view does not know them yet.
    pub(crate) written: BTreeMap<String, Revision>,
}

impl Batch {
    /// The one transaction of `action`; `None` when its unit is not in the view.
    pub(crate) fn txn(&self, action: &Action, view: &View) -> Option<Txn> {
        let mut compare = vec![Compare::Modified { key: keys::LEADER.to_owned(), revision: self.token }];
        for guard in guards(action, view) {
            let revision = self.written.get(&guard.key).copied().unwrap_or(guard.revision);
            compare.push(Compare::Modified { key: guard.key, revision });
        }
        let put = |key: String, value| Op::Put { key, value, lease: None };
        let unit_key = |unit: &UnitName| format!("{}{unit}", keys::UNITS);
        let then = match action {
            Action::Assign { unit, counter } => vec![
                put(unit_key(&unit.name), json(&**unit)),
                put(format!("{}{}", keys::COUNTERS, unit.service.name), json(counter)),
            ],
            Action::Drain { unit } => {
                let known = view.units.iter().find(|kept| kept.value.name == *unit)?;
                let drained = UnitRecord { want: Want::Drain, ..known.value.clone() };
                vec![put(unit_key(unit), json(&drained))]
            }
            Action::Remove { unit } => vec![Op::Delete { key: unit_key(unit) }],
            Action::SetRollout { rollout } => vec![put(keys::ROLLOUT.to_owned(), json(&**rollout))],
        };
        Some(Txn { compare, then })
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
