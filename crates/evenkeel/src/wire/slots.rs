//! Which ports a database has on one machine: chosen free once, written down in the store, and the same from then on.
//!
//! A database has a slot, a number below [`SLOTS`]; all its ports follow from it (`database`). Slots are not the places of
//! databases in the file, so that one written above another moves nobody, and not the same in every run, so that two runs on
//! one machine do not meet. On many hosts nobody chooses: a database without a slot has its place in the plan.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use model::{DatabaseName, Plan, ZoneAddress, ZoneName, keys};
use store::{Compare, Op, Store, Txn};

use crate::exit::hinted;

use super::database::{self, SLOTS};
use super::mirror::Mirror;

/// Where the run is, as far as ports go.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The zones and their addresses.
    pub zones: &'a [ZoneAddress],
    /// They share this machine's ports with everybody. Isolated ones have a network of their own each.
    pub shared: bool,
    /// Nothing of this run listens yet: whoever does is somebody else.
    pub fresh: bool,
}

/// Gives each database of `plan` a slot, unless it has one, and writes that down.
///
/// # Errors
/// When the store does not answer; when no slot is free; when nothing of this run listens yet and somebody else has a port
/// that is remembered.
pub async fn settle(store: &Store, plan: &Plan, ground: Ground<'_>) -> anyhow::Result<()> {
    let mirror = Mirror::once(store).await.context("the store does not answer")?;
    let taken = |plan: &Plan, name: &DatabaseName, slot: u8| {
        let ports = if ground.shared { ports(plan, name, slot, ground.zones) } else { Vec::new() };
        ports.into_iter().find(|port| is_taken(*port))
    };
    let mut slots = known(&mirror);
    let mut then = Vec::new();
    let mut compare = Vec::new();
    for name in plan.databases.iter().map(|planned| &planned.database.name) {
        let key = format!("{}{name}", keys::PORTS);
        let slot = match slots.get(name).copied() {
            Some(slot) => {
                if let Some(port) = taken(plan, name, slot).filter(|_| ground.fresh) {
                    return Err(refused(name, port));
                }
                slot
            }
            None => choose(&slots, |slot| taken(plan, name, slot).is_none()).ok_or_else(|| full(name))?,
        };
        slots.insert(name.clone(), slot);
        if !mirror.slots.contains_key(name) {
            compare.push(Compare::Modified { key: key.clone(), revision: 0 });
            then.push(Op::Put { key, value: serde_json::to_vec(&slot)?, lease: None });
        }
    }
    if then.is_empty() {
        return Ok(());
    }
    let reply = store.txn(Txn { compare, then }).await.context("ports were not written down")?;
    anyhow::ensure!(reply.done, "another plan was applied in the same moment; try again");
    Ok(())
}

/// The slots that are in use: those written down, also of databases that the file has no more, and those that a plan in
/// force goes by without.
fn known(mirror: &Mirror) -> BTreeMap<DatabaseName, u8> {
    let planned = database::plan(mirror).map(|plan| plan.databases.as_slice()).unwrap_or_default();
    let names = planned.iter().map(|planned| planned.database.name.clone());
    let used = names.enumerate().map(|(index, name)| (name.clone(), database::slot(mirror, index, &name)));
    used.chain(mirror.slots.clone()).collect()
}

/// The lowest slot that no other database has and that is `free`.
fn choose(slots: &BTreeMap<DatabaseName, u8>, free: impl Fn(u8) -> bool) -> Option<u8> {
    (0..SLOTS).find(|slot| !slots.values().any(|used| used == slot) && free(*slot))
}

/// Every port of a database in `slot`: its front's in each zone, its nodes' in theirs.
fn ports(plan: &Plan, name: &DatabaseName, slot: u8, zones: &[ZoneAddress]) -> Vec<SocketAddr> {
    let fronts = zones.iter().map(|zone| database::front_address(zone.address, slot));
    let addresses: BTreeMap<ZoneName, _> =
        zones.iter().map(|zone| (zone.zone.clone(), zone.address)).collect();
    let planned = plan.databases.iter().find(|planned| planned.database.name == *name);
    let places = planned.and_then(|planned| database::places(planned, slot, &addresses)).unwrap_or_default();
    let nodes = places.values().flat_map(|place| [place.server, place.keeper]);
    fronts.chain(nodes).collect()
}

/// Whether somebody listens there, on this address or on all. An address that is not there yet is free.
fn is_taken(port: SocketAddr) -> bool {
    TcpListener::bind(port).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

fn refused(name: &DatabaseName, port: SocketAddr) -> anyhow::Error {
    let text = format!(
        "database `{name}` was given {port} at its first start, and another program listens there now"
    );
    let number = port.port();
    hinted(
        text,
        format!("`ss -ltnp 'sport = :{number}'` shows which; end it, as addresses that were given out stay"),
    )
}

fn full(name: &DatabaseName) -> anyhow::Error {
    let text = format!("database `{name}`: all ports for databases of this machine are taken");
    let hint = format!(
        "there are ports for {SLOTS}, over all runs; `evenkeel down` where one is not needed, or `--isolate` as root"
    );
    hinted(text, hint)
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
