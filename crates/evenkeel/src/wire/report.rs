//! What an agent writes about its zone: unit states and the front's record. Both are differences against the
//! store's own picture, so a lost write is made good by the next look, and a zone that returns cleans up after
//! itself.

use std::collections::BTreeMap;

use model::{FrontRecord, FrontReport, UnitName, UnitState, Want, ZoneName, keys};
use store::{Op, Revision};

use super::mirror::Mirror;

/// Writes in one transaction. Etcd takes 128 by default; half of it leaves room.
const OPS_MAX: usize = 64;
/// Time between two writes of counters alone.
pub const COUNTERS_MS: u64 = 1_000;

/// What makes the store's `states/` of `zone` equal to `states`.
pub fn states(mirror: &Mirror, zone: &ZoneName, states: &[UnitState]) -> Vec<Op> {
    let wanted: BTreeMap<&UnitName, &UnitState> = states.iter().map(|state| (&state.name, state)).collect();
    let key = |unit: &UnitName| format!("{}{zone}/{unit}", keys::STATES);
    let changed = wanted.values().filter(|state| mirror.states.get(&state.name) != Some(state));
    let puts = changed.filter_map(|state| {
        let value = serde_json::to_vec(state).ok()?;
        Some(Op::Put { key: key(&state.name), value, lease: None })
    });
    let gone =
        mirror.states.values().filter(|state| state.zone == *zone && !wanted.contains_key(&state.name));
    let deletes = gone.map(|state| Op::Delete { key: key(&state.name) });
    puts.chain(deletes).take(OPS_MAX).collect()
}

/// The front's record as it is now.
pub fn front(zone: &ZoneName, report: &FrontReport) -> FrontRecord {
    FrontRecord {
        zone: zone.clone(),
        listen: report.listen.clone(),
        refused: report.refused.clone(),
        applied: report.applied,
        busy: report.busy.clone(),
        counters: report.counters.clone(),
    }
}

/// Whether `now` must be written, with `written_ms_ago` since the last write. Counters wait for their time; what a
/// drain waits for does not. The applied revision alone is no reason: each write makes a new one.
pub fn front_due(mirror: &Mirror, now: &FrontRecord, written_ms_ago: u64) -> bool {
    let Some(written) = mirror.fronts.get(&now.zone) else { return true };
    if written.listen != now.listen || written.refused != now.refused || written.busy != now.busy {
        return true;
    }
    // Any drain, not the newest alone: with several one after the other, the first need not wait for the last.
    let news = |since: Revision| written.applied < since && now.applied >= since;
    if mirror.units.values().any(|(unit, since)| unit.want == Want::Drain && news(*since)) {
        return true;
    }
    written.counters != now.counters && written_ms_ago >= COUNTERS_MS
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
