//! A primary's slots, before and while it reigns.

use std::time::Duration;

use model::{Nodes, Term, UnitName};
use tokio::sync::oneshot;
use tokio::time::timeout;
use world::Spawner;

use super::carry::QUICK;
use super::error::KeeperError;
use super::local::Local;
use crate::instance::SlotName;

/// What was made for a reign that went to another node is kept so long: dropping it costs syncs, too, and right after an
/// election the first writes wait for the same disk.
const UNUSED: Duration = Duration::from_secs(10);

/// Slots that are being made, or were. Those of one such reign may lie about, no more: a server has room for sixteen, and
/// one that is full of them could not become primary.
#[derive(Debug)]
pub(super) struct Prepared {
    term: Term,
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
        let again = self.prepared.as_ref().is_some_and(|prepared| prepared.term == term);
        if again || self.running.is_none() || !standby || self.own.slots != 0 || self.witness.is_some() {
            return Ok(());
        }
        // Elections on elections: what the ones before have left is dropped in calm, and no more is made until then.
        if self.stale(term).len() > self.others().len() {
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
        self.prepared = Some(Prepared { term, done });
        Ok(())
    }

    /// Drops slots of reigns that this node did not win, or they would hold log for nobody. Those of older reigns than the
    /// newest one at once; those of that one after [`UNUSED`].
    pub async fn drop_unused(&mut self) -> Result<(), KeeperError> {
        let newest = self.prepared.as_ref().map_or(0, |prepared| prepared.term);
        let recent = |name: &SlotName| {
            let since = self.slots_away.get(name.as_str());
            since.is_none_or(|since| since.elapsed() < UNUSED)
        };
        let (mut unused, kept) = (self.stale(self.own.slots), self.names(newest));
        if self.own.slots == 0 {
            unused.retain(|name| !kept.contains(name) || !recent(name));
        } else {
            // A primary's first writes wait for its disk.
            unused.retain(|name| !recent(name));
        }
        for name in unused {
            self.instance.drop_slot(&name, QUICK).await?;
            // The same term may yet come: a wanted switch that was called off.
            if self.own.slots == 0 && kept.contains(&name) {
                self.prepared = None;
            }
        }
        Ok(())
    }

    /// Drops all of them but those of `reign`, whoever wants them later: without room for these nothing goes on.
    pub async fn make_room(&mut self, reign: Term) -> Result<(), KeeperError> {
        for name in self.stale(reign) {
            self.instance.drop_slot(&name, QUICK).await?;
        }
        Ok(())
    }

    /// Slots that keepers make, that nobody uses now, and that are not of `reign`.
    fn stale(&self, reign: Term) -> Vec<SlotName> {
        let kept = self.names(reign);
        let seen = self.last.iter().flat_map(|seen| &seen.slots);
        let free = seen.filter(|slot| !slot.active && self.is_ours(&slot.name));
        let names = free.filter_map(|slot| SlotName::new(&slot.name).ok());
        names.filter(|name| !kept.contains(name)).collect()
    }

    /// Those of `reign`.
    fn names(&self, reign: Term) -> Vec<SlotName> {
        self.others().into_iter().filter_map(|node| self.slot_name(node, reign).ok()).collect()
    }

    /// See [`is_made_by_keepers`].
    fn is_ours(&self, slot: &str) -> bool {
        self.place(self.options.node).is_ok_and(|own| is_made_by_keepers(slot, &own.unit))
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

/// Whether a slot is one that keepers make, for a node of `unit`'s database and a term. The node may have left the plan: its
/// slot would hold log for ever.
fn is_made_by_keepers(slot: &str, unit: &UnitName) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unit = unit.as_str().replace('-', "_");
    let Some((database, _)) = unit.rsplit_once('_') else { return false };
    let rest = slot.strip_prefix(database).and_then(|rest| rest.strip_prefix('_'));
    rest.and_then(|rest| rest.split_once("_t")).is_some_and(|(node, term)| number(node) && number(term))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_keepers_are_those_of_a_node_and_a_term_of_their_database() {
        let unit = UnitName::new("my-db-1").unwrap();
        for ours in ["my_db_1_t5", "my_db_3_t12", "my_db_9_t1"] {
            assert!(is_made_by_keepers(ours, &unit), "{ours}");
        }
        for other in [
            "",
            "my_db",
            "my_db_1",
            "my_db_1_t",
            "my_db__t5",
            "my_db_x_t5",
            "my_db_1_t5_copy",
            "db_1_t5",
            "my_db_1_2_t5",
        ] {
            assert!(!is_made_by_keepers(other, &unit), "{other}");
        }
    }
}
