//! A primary's slots, while it reigns.

use model::{Nodes, Term};

use super::carry::QUICK;
use super::error::KeeperError;
use super::local::Local;

impl Local {
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
