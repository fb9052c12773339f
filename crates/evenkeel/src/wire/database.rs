//! From the plan to the nodes of its databases: who is where, at which ports, and what their fronts lead to. Nothing
//! here looks or acts; `keepers` does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use database::keeper::{NodePlace, ServerState, node_of};
use database::path::{DataSnapshot, Served};
use model::{
    AppName, DatabaseName, DatabaseUrl, NodeId, Plan, PlannedDatabase, Record, ReignPhase, Term, ZoneName,
};
use store::Revision;

use super::keepers::Board;
use super::mirror::Mirror;

/// The port of the data front for the database in slot 0, on the zone's address; the next slot has the next one.
pub const FRONT_PORT: u16 = 6432;
/// PostgreSQL of node 0 of the database in slot 0, which is never given: `db-1` has the next port. Below the ports of units
/// (20000 and on) and of the kernel's own choice (32768 and on).
pub const SERVER_PORT: u16 = 15432;
/// As [`SERVER_PORT`], where the node's keeper listens for the others.
pub const KEEPER_PORT: u16 = 16432;
/// From one slot's ports to the next one's. More than there are nodes.
pub const PORTS_EACH: u16 = 100;
/// So many slots there are: the ports of one more would be the keepers' of the first.
pub const SLOTS: u8 = ((KEEPER_PORT - SERVER_PORT) / PORTS_EACH) as u8;

/// One node of one database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataNode {
    /// Whose.
    pub database: DatabaseName,
    /// Which.
    pub node: NodeId,
}

impl std::fmt::Display for DataNode {
    /// Its unit: `db-2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.database, self.node)
    }
}

/// A node as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its database as planned.
    pub database: PlannedDatabase,
    /// The application, after which role and database inside PostgreSQL are called.
    pub application: AppName,
    /// Every node of the database.
    pub places: BTreeMap<NodeId, NodePlace>,
}

/// What a keeper must do to become another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is that already, as far as a keeper looks.
    Nothing,
    /// Another keeper takes over the server that runs.
    Keeper,
    /// The server listens elsewhere or is of another version: it is stopped first.
    Server,
}

impl Wanted {
    /// What becoming `next` takes for the keeper of `node`.
    pub fn change(&self, next: &Wanted, node: NodeId) -> Change {
        let (old, new) = (&self.database.database, &next.database.database);
        let place = |wanted: &Wanted| wanted.places.get(&node).map(|place| place.server);
        let witness = |database: &model::Database| database.witness_number() == Some(node.0);
        if witness(old) != witness(new)
            || old.postgres != new.postgres
            || self.application != next.application
            || place(self) != place(next)
        {
            return Change::Server;
        }
        let same = self.places == next.places
            && old.when_alone == new.when_alone
            && old.witness == new.witness
            && self.database.mode == next.database.mode;
        if same { Change::Nothing } else { Change::Keeper }
    }
}

/// The slot of the database `name` at `index` of the plan: what was chosen for it (`slots`), or its place.
pub fn slot(mirror: &Mirror, index: usize, name: &DatabaseName) -> u8 {
    mirror.slots.get(name).copied().unwrap_or_else(|| u8::try_from(index).unwrap_or(u8::MAX))
}

/// `port` of the database in `slot`, for `node`. Fits for every slot below [`SLOTS`].
fn port(first: u16, slot: u8, node: NodeId) -> u16 {
    first.saturating_add(u16::from(slot).saturating_mul(PORTS_EACH)).saturating_add(u16::from(node.0))
}

/// Where the data front of a zone with this address listens for the database in `slot`.
pub fn front_address(address: IpAddr, slot: u8) -> SocketAddr {
    SocketAddr::new(address, FRONT_PORT.saturating_add(u16::from(slot)))
}

/// Every database of the plan in force with its slot.
pub fn planned(mirror: &Mirror) -> impl Iterator<Item = (u8, &PlannedDatabase)> {
    let planned = plan(mirror).map(|plan| plan.databases.as_slice()).unwrap_or_default();
    planned.iter().enumerate().map(|(index, one)| (slot(mirror, index, &one.database.name), one))
}

/// The plan in force.
pub fn plan(mirror: &Mirror) -> Option<&Plan> {
    mirror.rollout.as_ref().map(|(rollout, _)| &rollout.plan)
}

/// Every node of a database in `slot`; `None` until the address of each of their zones is known.
pub fn places(
    planned: &PlannedDatabase,
    slot: u8,
    zones: &BTreeMap<ZoneName, IpAddr>,
) -> Option<BTreeMap<NodeId, NodePlace>> {
    let place = |unit: &model::PlannedNode| {
        let (node, address) = (node_of(&unit.name)?, *zones.get(&unit.zone)?);
        let at = |first| SocketAddr::new(address, port(first, slot, node));
        let (server, keeper) = (at(SERVER_PORT), at(KEEPER_PORT));
        Some((node, NodePlace { unit: unit.name.clone(), zone: unit.zone.clone(), server, keeper }))
    };
    planned.nodes.iter().map(place).collect()
}

/// The nodes that `zone` should run. `None` for a node: where the others of its database are is not known yet, and what
/// runs of it goes on. `None` for all: nothing is known yet.
pub fn wanted(mirror: &Mirror, zone: &ZoneName) -> Option<BTreeMap<DataNode, Option<Wanted>>> {
    if mirror.revision == 0 || mirror.unread.contains_key(model::keys::ROLLOUT) {
        return None;
    }
    let mut wanted = BTreeMap::new();
    let Some(plan) = plan(mirror) else { return Some(wanted) };
    for (slot, planned) in self::planned(mirror) {
        let places = places(planned, slot, &mirror.zones);
        for node in planned.nodes.iter().filter(|node| node.zone == *zone).filter_map(|n| node_of(&n.name)) {
            let one = places.clone().map(|places| Wanted {
                database: planned.clone(),
                application: plan.app.clone(),
                places,
            });
            wanted.insert(DataNode { database: planned.database.name.clone(), node }, one);
        }
    }
    Some(wanted)
}

/// The newest record that is known here: a keeper of this zone may have it before the mirror does.
fn newest<'a>(mirror: &'a Mirror, board: &'a Board, name: &DatabaseName) -> Option<(&'a Record, Revision)> {
    let kept = mirror.databases.get(name).and_then(|kept| kept.record.as_ref());
    let own = board.iter().filter(|(node, _)| node.database == *name);
    let own = own.filter_map(|(_, status)| Some((status.record.as_ref()?, status.revision)));
    own.chain(kept.map(|(record, revision)| (record, *revision))).max_by_key(|(_, revision)| *revision)
}

/// Whether the keeper of the primary says that clients may not come in yet: between the first record that names it and its
/// opening lie two writes to a disk, and PostgreSQL refuses for good whoever comes earlier. One that has said nothing since
/// it started holds nobody up.
fn is_closed(mirror: &Mirror, board: &Board, primary: &DataNode, term: Term) -> bool {
    let told = mirror.databases.get(&primary.database).and_then(|kept| kept.statuses.get(&primary.node));
    let status = board.get(primary).map(|status| &**status).or(told);
    status.is_some_and(|status| {
        status.promised > 0 && (status.promised < term || status.server != ServerState::Open)
    })
}

/// What the data front of `zone` serves from; `None` while nothing is known, so that a front keeps what it has.
///
/// Its revision is the newest of the plan's and all records': whichever changes, the store has given it a higher one
/// than anything before.
pub fn served(mirror: &Mirror, board: &Board, zone: &ZoneName, address: IpAddr) -> Option<DataSnapshot> {
    let (_, revision) = mirror.rollout.as_ref()?;
    let mut snapshot =
        DataSnapshot { revision: *revision, zone: Some(zone.clone()), ..DataSnapshot::default() };
    for (slot, planned) in planned(mirror) {
        let name = &planned.database.name;
        let record = newest(mirror, board, name);
        snapshot.revision = snapshot.revision.max(record.map_or(0, |(_, revision)| revision));
        let record = record.map(|(record, _)| record);
        let primary = match record.map(|record| record.phase) {
            Some(ReignPhase::Serving { primary, .. }) => Some(primary),
            Some(ReignPhase::Electing { .. } | ReignPhase::Promoting { .. }) | None => None,
        };
        let hold = record.is_some_and(Record::is_closing);
        let term = record.map_or(0, |record| record.term);
        let closed = |node| is_closed(mirror, board, &DataNode { database: name.clone(), node }, term);
        let places = places(planned, slot, &mirror.zones).unwrap_or_default();
        snapshot.databases.push(Served {
            name: name.to_string(),
            listen: front_address(address, slot),
            primary: primary.and_then(|node| places.get(&node)).map(|place| place.server),
            term,
            hold: hold || primary.is_some_and(closed),
        });
    }
    Some(snapshot)
}

/// What each `${db.url}` becomes in `zone`: its own front first, another zone's second. `None`: no other zone is known
/// yet, and `patient` says to wait for one; or a password is missing. `tls`: the databases take no connection without it.
pub fn urls(
    mirror: &Mirror,
    (zone, address): (&ZoneName, IpAddr),
    (patient, tls): (bool, bool),
    password: impl Fn(&DatabaseName) -> Option<String>,
) -> Option<BTreeMap<DatabaseName, DatabaseUrl>> {
    let Some(plan) = plan(mirror) else { return Some(BTreeMap::new()) };
    // The next zone in the plan's order, so that not all zones lean on the same one.
    let own = plan.zones.iter().position(|known| known == zone).unwrap_or(0);
    let around = plan.zones.iter().cycle().skip(own + 1).take(plan.zones.len());
    let other = around.filter(|known| *known != zone).find_map(|known| mirror.zones.get(known)).copied();
    if patient && other.is_none() && plan.zones.len() > 1 && !plan.databases.is_empty() {
        return None;
    }
    // The application's name is a name of ours too, and that of its database inside PostgreSQL.
    let inside = DatabaseName::new(plan.app.as_str()).ok()?;
    let url = |(slot, planned): (u8, &PlannedDatabase)| {
        let name = &planned.database.name;
        let (own, other) = (front_address(address, slot), other.map(|address| front_address(address, slot)));
        let url = DatabaseUrl::new(plan.app.as_str(), &password(name)?, own, other, &inside, tls);
        Some((name.clone(), url))
    };
    planned(mirror).map(url).collect()
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
