//! A primary's slots, before and while it reigns.

use std::time::Duration;

use model::{Nodes, Term};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use world::Spawner;

use super::carry::QUICK;
use super::error::KeeperError;
use super::local::Local;
use crate::instance::SlotName;

/// What was made for a reign that went to another node is kept so long: dropping it costs syncs, too, and right after an
/// election the first writes wait for the same disk.
const UNUSED: Duration = Duration::from_secs(10);

/// Slots that are being made, or were.
#[derive(Debug)]
pub(super) struct Prepared {
    term: Term,
    since: Instant,
    done: oneshot::Receiver<()>,
}

impl Prepared {
    /// Waits until they are there, when they are for `term`.
    pub async fn wait(self, term: Term) {
        if self.term == term {
            // Whatever is missing then is made by whoever needs it.
            let _ = timeout(QUICK, self.done).await;
        }
    }
}

impl Local {
    /// Begins to make the slots of a reign that this standby may win: ten syncs each, which take longer than the rest of the
    /// election. Who does not win it is nobody's upstream in that term, so nobody comes to them ([`Local::drop_unused`]).
    pub fn prepare_slots(&mut self, term: Term, spawner: &Spawner) -> Result<(), KeeperError> {
        let standby = self.last.as_ref().is_some_and(|seen| seen.in_recovery);
        if self.running.is_none() || !standby || self.own.slots != 0 || self.witness.is_some() {
            return Ok(());
        }
        let slots: Result<Vec<_>, _> =
            self.others().into_iter().map(|node| self.slot_name(node, term)).collect();
        let (slots, (out, done)) = (slots?, oneshot::channel());
        let (instance, unit) = (self.instance.clone(), self.options.unit().to_string());
        spawner.spawn(format!("slots of {unit}"), async move {
            if let Err(error) = instance.create_slots_aside(&slots, QUICK).await {
                tracing::debug!(node = %unit, term, error = &error as &dyn std::error::Error, "slots were not made ahead");
            }
            // Who waited may have ended.
            let _ = out.send(());
        });
        self.prepared = Some(Prepared { term, since: Instant::now(), done });
        Ok(())
    }

    /// Drops slots of reigns that this standby did not win, or they would hold log for nobody.
    pub async fn drop_unused(&mut self) -> Result<(), KeeperError> {
        let Some(seen) = self.last.as_ref().filter(|seen| seen.in_recovery) else { return Ok(()) };
        if self.own.slots != 0 || self.prepared.as_ref().is_some_and(|some| some.since.elapsed() < UNUSED) {
            return Ok(());
        }
        self.prepared = None;
        for slot in &seen.slots {
            if let Ok(name) = SlotName::new(&slot.name)
                && self.is_ours(&slot.name)
            {
                self.instance.drop_slot(&name, QUICK).await?;
            }
        }
        Ok(())
    }

    /// Whether a slot is one that keepers make.
    fn is_ours(&self, slot: &str) -> bool {
        let prefix =
            |node| self.slot_name(node, 0).map(|name| name.as_str().trim_end_matches('0').to_owned());
        self.others().into_iter().filter_map(|node| prefix(node).ok()).any(|prefix| slot.starts_with(&prefix))
    }

    /// Makes the slots that are missing, of nodes that came into the plan in the middle of a reign. And makes anew those that
    /// hold nothing any more, of nodes that are there again: what they come for is gone, and through such a slot they can get
    /// nothing else either. That of a node that is away stays lost, and keeps no log.
    ///
    /// Only a primary does it, in its own reign: a slot's name holds the term, and by that a node knows whose log it gets.
    pub async fn mend_slots(&self, there: Nodes, reign: Term) -> Result<(), KeeperError> {
        let Some(seen) = self.last.as_ref().filter(|seen| !seen.in_recovery) else { return Ok(()) };
        if self.own.slots == 0 || self.own.slots != reign {
            return Ok(());
        }
        for node in self.others() {
            let name = self.slot_name(node, reign)?;
            let known = seen.slots.iter().find(|slot| slot.name == name.as_str());
            if known.is_some_and(|slot| slot.active || !slot.lost || !there.has(node)) {
                continue;
            }
            if known.is_some() {
                tracing::info!(node = %self.options.unit(), slot = %name, "a slot that holds nothing is made anew");
                self.instance.drop_slot(&name, QUICK).await?;
            }
            self.instance.create_slot(&name, QUICK).await?;
        }
        Ok(())
    }
}
