//! What `status` and the console show of databases: each, and each of its nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use database::keeper::{KeeperStatus, ServerState, node_of};
use model::{
    DatabaseStatus, NodeId, Phase, PlannedDatabase, PlannedNode, Record, ReignPhase, ServiceName, UnitName,
    UnitStatus, Warning, keys,
};

use super::database::{front_address, places, planned};
use super::mirror::{DatabaseDocs, Mirror};

/// Every database of the plan.
pub fn databases(mirror: &Mirror) -> Vec<DatabaseStatus> {
    planned(mirror).map(|(slot, planned)| database(mirror, planned, slot)).collect()
}

/// Every node of every database of the plan.
pub fn units(mirror: &Mirror) -> Vec<UnitStatus> {
    let mut units = Vec::new();
    for (slot, planned) in planned(mirror) {
        let places = places(planned, slot, &mirror.zones).unwrap_or_default();
        for node in &planned.nodes {
            let server = node_of(&node.name).and_then(|id| places.get(&id)).map(|place| place.server);
            units.extend(unit(mirror, planned, node, server));
        }
    }
    units
}

/// The unit of a node: `db-2`.
pub fn unit_of(planned: &PlannedDatabase, node: NodeId) -> Option<UnitName> {
    planned.nodes.iter().map(|unit| &unit.name).find(|name| node_of(name) == Some(node)).cloned()
}

fn docs<'a>(mirror: &'a Mirror, planned: &PlannedDatabase) -> Option<&'a DatabaseDocs> {
    mirror.databases.get(&planned.database.name)
}

fn record<'a>(mirror: &'a Mirror, planned: &PlannedDatabase) -> Option<&'a Record> {
    docs(mirror, planned)?.record.as_ref().map(|(record, _)| record)
}

/// What the keeper of a node says, as long as its zone answers: what a silent one said last is not what is.
fn heard<'a>(mirror: &'a Mirror, planned: &PlannedDatabase, node: NodeId) -> Option<&'a KeeperStatus> {
    let unit = planned.nodes.iter().find(|unit| node_of(&unit.name) == Some(node))?;
    mirror.agents.get(&unit.zone)?;
    docs(mirror, planned)?.statuses.get(&node)
}

/// The data fronts that listen for the database in `slot`.
fn entries(mirror: &Mirror, slot: u8) -> Vec<SocketAddr> {
    let fronts = mirror.data_fronts.values().filter(|front| mirror.agents.contains_key(&front.zone));
    let listens = fronts.filter_map(|front| {
        let entry = front_address(*mirror.zones.get(&front.zone)?, slot);
        front.listen.contains(&entry).then_some(entry)
    });
    listens.collect()
}

fn database(mirror: &Mirror, planned: &PlannedDatabase, slot: u8) -> DatabaseStatus {
    let record = record(mirror, planned);
    let quorum = record.and_then(Record::current);
    let name = &planned.database.name;
    let unread = mirror.unread.contains_key(&format!("{}{name}/record", keys::DATABASES));
    let phase = match record.map(|record| record.phase) {
        None if unread => "unknown",
        None => "starting",
        Some(ReignPhase::Electing { .. }) => "electing",
        Some(ReignPhase::Promoting { .. }) => "promoting",
        Some(ReignPhase::Serving { handover: None, .. }) => "serving",
        Some(ReignPhase::Serving { handover: Some(_), .. }) => "handing over",
    };
    let members = quorum.map(|quorum| quorum.members).unwrap_or_default();
    let primary = record.and_then(Record::primary);
    let is = |node, state| heard(mirror, planned, node).is_some_and(|status| status.server == state);
    let receiving = members.iter().filter(|node| is(*node, ServerState::Streaming)).count();
    let need = quorum.map_or(0, |quorum| quorum.need);
    let serving = matches!(record.map(|record| record.phase), Some(ReignPhase::Serving { .. }));
    DatabaseStatus {
        name: name.clone(),
        entries: entries(mirror, slot),
        mode: planned.mode,
        term: record.map_or(0, |record| record.term),
        phase: phase.to_owned(),
        primary: primary.and_then(|node| unit_of(planned, node)),
        members: members.iter().filter_map(|node| unit_of(planned, node)).collect(),
        need,
        rto_ms: planned.mode.rto_ms().filter(|_| !members.is_empty()),
        rpo_ms: planned.mode.rpo_ms().filter(|_| !members.is_empty()),
        only_here_bytes: primary.and_then(|node| heard(mirror, planned, node)?.only_here_bytes),
        healthy: serving
            && primary.is_some_and(|node| is(node, ServerState::Open))
            && u32::try_from(receiving).is_ok_and(|receiving| receiving >= need),
    }
}

/// What a person must know now, the oldest first; what several nodes say of one database is said once.
pub fn warnings(mirror: &Mirror) -> Vec<Warning> {
    let mut all: BTreeMap<_, Warning> = BTreeMap::new();
    for (_, planned) in planned(mirror) {
        let nodes = planned.nodes.iter().filter_map(|unit| node_of(&unit.name));
        let told = nodes.filter_map(|node| heard(mirror, planned, node)).flat_map(|status| &status.warnings);
        for warning in told {
            let known =
                all.entry((warning.database.clone(), warning.kind)).or_insert_with(|| warning.clone());
            known.since_ms = known.since_ms.min(warning.since_ms);
        }
    }
    let mut all: Vec<Warning> = all.into_values().collect();
    all.sort_by_key(|warning| warning.since_ms);
    all
}

fn unit(
    mirror: &Mirror,
    planned: &PlannedDatabase,
    unit: &PlannedNode,
    address: Option<SocketAddr>,
) -> Option<UnitStatus> {
    let node = node_of(&unit.name)?;
    let alive = mirror.agents.contains_key(&unit.zone);
    let record = record(mirror, planned);
    let primary = record.and_then(Record::primary) == Some(node);
    let known = docs(mirror, planned).and_then(|docs| docs.statuses.get(&node));
    let server = known.map(|status| status.server).unwrap_or_default();
    let well = if primary { ServerState::Open } else { ServerState::Streaming };
    let detail = match (alive, known) {
        (false, _) => "its zone does not answer".to_owned(),
        (true, None) => "its keeper has not said anything yet".to_owned(),
        (true, Some(status)) => detail(mirror, planned, node, status),
    };
    Some(UnitStatus {
        name: unit.name.clone(),
        zone: unit.zone.clone(),
        service: ServiceName::new(planned.database.name.as_str()).ok()?,
        state: if server == ServerState::Open && !primary { Phase::Unready } else { phase(server) },
        role: role(planned, node, primary).to_owned(),
        healthy: alive && server == well,
        restarts: 0,
        address,
        pid: known.and_then(|status| status.server_pid),
        detail,
    })
}

/// What a node is to whoever looks.
fn role(planned: &PlannedDatabase, node: NodeId, primary: bool) -> &'static str {
    match primary {
        true => "primary",
        false if planned.database.witness_number() == Some(node.0) => "witness",
        false => "standby",
    }
}

fn phase(server: ServerState) -> Phase {
    match server {
        ServerState::Empty | ServerState::Making | ServerState::Starting => Phase::Starting,
        ServerState::Stopped => Phase::Stopped,
        ServerState::Standby | ServerState::Fenced => Phase::Unready,
        ServerState::Streaming | ServerState::Open => Phase::Ready,
    }
}

/// `term 4, votes, lag 0B`, then what its keeper wants to be known.
fn detail(mirror: &Mirror, planned: &PlannedDatabase, node: NodeId, status: &KeeperStatus) -> String {
    let mut parts = vec![format!("term {}", status.promised)];
    let record = record(mirror, planned);
    let primary = record.and_then(Record::primary);
    if let Some(primary) = primary.filter(|primary| *primary != node) {
        let votes = record.and_then(Record::current).is_some_and(|quorum| quorum.members.has(node));
        parts.push(if votes { "votes" } else { "does not vote" }.to_owned());
        let standbys = heard(mirror, planned, primary).map(|status| status.standbys.as_slice());
        let standing = standbys.unwrap_or_default().iter().find(|standing| standing.node == node);
        parts.extend(standing.map(|standing| format!("lag {}", model::Bytes(standing.lag_bytes))));
    }
    match status.server {
        ServerState::Empty if planned.database.witness_number() == Some(node.0) => {
            parts.push("no log yet".to_owned());
        }
        ServerState::Empty => parts.push("no data yet".to_owned()),
        ServerState::Making => parts.push("its data is being made".to_owned()),
        ServerState::Standby => parts.push("receives nothing".to_owned()),
        ServerState::Fenced => parts.push("clients may not come in".to_owned()),
        ServerState::Open if primary != Some(node) => parts.push("primary no more".to_owned()),
        ServerState::Stopped | ServerState::Starting | ServerState::Streaming | ServerState::Open => {}
    }
    if !status.detail.is_empty() {
        parts.push(status.detail.clone());
    }
    parts.extend(status.notes.iter().map(ToString::to_string));
    parts.join(", ")
}

#[cfg(test)]
#[path = "picture_data_tests.rs"]
mod tests;
