//! What an agent writes about its zone: unit states and the front's record. Both are differences against the
//! store's own picture, so a lost write is made good by the next look, and a zone that returns cleans up after
//! itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use database::keeper::KeeperStatus;
use database::path::DataReport;
use model::{
    DataFrontRecord, FrontRecord, FrontReport, UnitName, UnitState, Want, ZoneAddress, ZoneName, keys,
};
use serde::Serialize;
use store::{Op, Revision};

use super::database::{DataNode, plan};
use super::keepers::Board;
use super::mirror::Mirror;
use super::publish::Link;

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

/// The key of what the keeper of `node` says.
fn status_key(node: &DataNode) -> String {
    format!("{}{}/status/{}", keys::DATABASES, node.database, node.node)
}

fn put(key: String, document: &impl Serialize) -> Option<Op> {
    Some(Op::Put { key, value: serde_json::to_vec(document).ok()?, lease: None })
}

/// What makes the store's picture of the zone's address, its data front and its data nodes true: their keepers say it
/// on the `board`, the front over its `link`.
pub fn data(
    mirror: &Mirror,
    (zone, address): (&ZoneName, IpAddr),
    board: &Board,
    link: &Link<DataReport>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    if mirror.zones.get(zone) != Some(&address) {
        let place = ZoneAddress { zone: zone.clone(), address };
        ops.extend(put(format!("{}{zone}", keys::ZONES), &place));
    }
    let (listen, refused) = (link.report.listen.clone(), link.report.refused.clone());
    let front = DataFrontRecord { zone: zone.clone(), listen, refused };
    if link.heard.is_some() && mirror.data_fronts.get(zone) != Some(&front) {
        ops.extend(put(format!("{}{zone}", keys::DATA_FRONTS), &front));
    }
    for (node, status) in board {
        // The record is in the store already.
        let status = KeeperStatus { record: None, ..KeeperStatus::clone(status) };
        let known = mirror.databases.get(&node.database).and_then(|known| known.statuses.get(&node.node));
        if known != Some(&status) {
            ops.extend(put(status_key(node), &status));
        }
    }
    ops.extend(forgotten(mirror).map(|node| Op::Delete { key: status_key(&node) }));
    ops.truncate(OPS_MAX);
    ops
}

/// Nodes that are told about and that no plan wants. Several agents may remove one; that does no harm.
fn forgotten(mirror: &Mirror) -> impl Iterator<Item = DataNode> {
    let planned = |node: &DataNode| {
        let databases = plan(mirror).map(|plan| plan.databases.as_slice()).unwrap_or_default();
        let nodes = databases.iter().flat_map(|planned| &planned.nodes);
        // Nothing is known of a plan that cannot be read.
        mirror.rollout.is_none() || nodes.map(|unit| unit.name.as_str()).any(|name| name == node.to_string())
    };
    let told = mirror.databases.iter().flat_map(|(database, known)| {
        known.statuses.keys().map(|node| DataNode { database: database.clone(), node: *node })
    });
    told.filter(move |node| !planned(node))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
