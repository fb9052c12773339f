//! When a draining unit may end: no front that lives sends to it any more, and none waits for it.

use std::collections::BTreeSet;

use model::{UnitName, Want, ZoneName};

use super::mirror::Mirror;

/// The draining units of `zone` that every living front has let go.
///
/// A front lives while its zone's agent holds its lease. A front that has not yet served from a picture at
/// least as new as the drain may still send, so its unit is not let go.
pub fn released(mirror: &Mirror, zone: &ZoneName) -> BTreeSet<UnitName> {
    let draining = mirror.units.values().filter(|(unit, _)| unit.zone == *zone && unit.want == Want::Drain);
    let let_go = draining.filter(|(unit, since)| {
        mirror.agents.keys().all(|alive| match mirror.fronts.get(alive) {
            Some(front) => front.applied >= *since && !front.busy.contains_key(&unit.name),
            // Its front has not reported since the zone came up: it has not sent anything either.
            None => true,
        })
    });
    let_go.map(|(unit, _)| unit.name.clone()).collect()
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
