//! Handing a database over: who may take it, and what came of it. Pure; `evenkeel failover` asks and waits.

use std::collections::BTreeMap;

use database::keeper::node_of;
use database::{UNREST_MAX, is_spent};
use model::{NodeId, PlannedDatabase, Record, ReignPhase, Term};

use super::mirror::{DatabaseDocs, Mirror};
use super::picture_data::unit_of;

/// A handover that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The primary.
    pub from: NodeId,
    /// Who takes over.
    pub to: NodeId,
    /// The term that ends with it.
    pub term: Term,
    /// The record that asks for it.
    pub record: Record,
}

/// Why there is nothing to ask for: what is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: String,
    pub hint: String,
}

fn refused<T>(why: impl Into<String>, hint: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { why: why.into(), hint: hint.into() })
}

fn named(planned: &PlannedDatabase, node: NodeId) -> String {
    unit_of(planned, node).map_or_else(|| format!("node {node}"), |unit| unit.to_string())
}

/// The database called `name` in the plan.
pub fn database<'a>(mirror: &'a Mirror, name: &str) -> Result<&'a PlannedDatabase, Refused> {
    let plan = super::database::plan(mirror);
    let all = plan.map(|plan| plan.databases.as_slice()).unwrap_or_default();
    if let Some(found) = all.iter().find(|planned| planned.database.name.as_str() == name) {
        return Ok(found);
    }
    let names: Vec<&str> = all.iter().map(|planned| planned.database.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => "the plan in force has no databases; `databases:` in the file, then `evenkeel up`".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    refused(format!("there is no database `{name}`"), hint)
}

/// The handover of `planned` to `to`, a zone or a node; left out: to the standby that counts and is the least behind.
pub fn order(planned: &PlannedDatabase, docs: &DatabaseDocs, to: Option<&str>) -> Result<Order, Refused> {
    let name = &planned.database.name;
    let Some((record, _)) = &docs.record else {
        return refused(
            format!("`{name}` has no primary yet"),
            "it is being started; `evenkeel status` shows how far it is",
        );
    };
    let from = match record.phase {
        ReignPhase::Serving { primary, handover: None } => primary,
        ReignPhase::Serving { handover: Some(node), .. } => {
            let why = format!("`{name}` is being handed over to `{}` already", named(planned, node));
            return refused(why, "wait for it: it is done or called off within seconds");
        }
        // It failed while it was promoted, and nothing goes on unasked.
        ReignPhase::Promoting { primary } if is_spent(record, UNREST_MAX) => {
            let (from, to, term) = (primary, nearest(planned, docs, record)?, record.term);
            return Ok(Order { from, to, term, record: forgiven(record, record.phase) });
        }
        ReignPhase::Electing { .. } | ReignPhase::Promoting { .. } => {
            let hint = "it gets one without being asked; `evenkeel status` shows how far it is";
            return refused(format!("`{name}` has no primary now"), hint);
        }
    };
    let to = match to {
        Some(to) => asked(planned, record, from, to)?,
        None => nearest(planned, docs, record)?,
    };
    let phase = ReignPhase::Serving { primary: from, handover: Some(to) };
    Ok(Order { from, to, term: record.term, record: forgiven(record, phase) })
}

/// The record in `phase`, with all unrest forgiven: a person has looked at it.
fn forgiven(record: &Record, phase: ReignPhase) -> Record {
    Record { phase, unrest: BTreeMap::new(), ..record.clone() }
}

/// The nodes with data that count now beside the primary, lowest number first.
fn counting(planned: &PlannedDatabase, record: &Record) -> impl Iterator<Item = NodeId> {
    let witness = planned.database.witness_number().map(NodeId);
    let members = record.current().map(|quorum| quorum.members).unwrap_or_default();
    witness.map_or(members, |witness| members.without(witness)).iter()
}

fn asked(planned: &PlannedDatabase, record: &Record, from: NodeId, to: &str) -> Result<NodeId, Refused> {
    let here = |unit: &&model::PlannedNode| unit.name.as_str() == to || unit.zone.as_str() == to;
    let found: Vec<NodeId> = planned.nodes.iter().filter(here).filter_map(|u| node_of(&u.name)).collect();
    let name = &planned.database.name;
    let others: Vec<String> = counting(planned, record).map(|node| named(planned, node)).collect();
    let hint = match others.as_slice() {
        [] => "no standby counts now; `evenkeel status` says why".to_owned(),
        others => format!("it can go to: {}", others.join(", ")),
    };
    if found.is_empty() {
        return refused(format!("`{name}` has no node `{to}`, and none in a zone `{to}`"), hint);
    }
    if let Some(node) = counting(planned, record).find(|node| found.contains(node)) {
        return Ok(node);
    }
    if let Some(witness) = planned.database.witness_number().map(NodeId).filter(|node| found.contains(node)) {
        let text = format!("`{}` is the witness: it holds the log and no data", named(planned, witness));
        return refused(text, hint);
    }
    if found.contains(&from) {
        return refused(format!("`{}` is the primary already", named(planned, from)), hint);
    }
    let units: Vec<String> = found.iter().map(|node| named(planned, *node)).collect();
    let text = format!(
        "`{}` does not count: it may lack writes that were acknowledged, so it cannot take over",
        units.join("`, `")
    );
    refused(text, hint)
}

fn nearest(planned: &PlannedDatabase, docs: &DatabaseDocs, record: &Record) -> Result<NodeId, Refused> {
    let primary = record.primary().and_then(|primary| docs.statuses.get(&primary));
    let lag = |node: NodeId| {
        let standings = primary.map(|status| status.standbys.as_slice()).unwrap_or_default();
        // One that the primary says nothing of is further away than any that it knows.
        standings.iter().find(|standing| standing.node == node).map_or(u64::MAX, |known| known.lag_bytes)
    };
    counting(planned, record).min_by_key(|node| (lag(*node), *node)).map_or_else(
        || {
            let name = &planned.database.name;
            refused(
                format!("`{name}` has no standby that could take over"),
                "`evenkeel status` shows its nodes; one that has caught up counts by itself",
            )
        },
        Ok,
    )
}

/// What the record says of an ordered handover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It goes on; a line for whoever waits.
    Under(String),
    /// Over: this node serves, in this term.
    Done(NodeId, Term),
    /// The primary goes on: the other one did not catch up or answer in time.
    CalledOff,
}

/// What became of `order`, going by the record as it is now.
pub fn news(planned: &PlannedDatabase, order: &Order, record: &Record) -> News {
    let term = record.term;
    match record.phase {
        ReignPhase::Serving { primary, handover } if term == order.term && primary == order.from => {
            match handover {
                Some(_) if record.is_closing() => {
                    News::Under(format!("`{}` ends its sessions", named(planned, primary)))
                }
                Some(heir) => News::Under(format!("writes wait for `{}` alone", named(planned, heir))),
                None => News::CalledOff,
            }
        }
        ReignPhase::Serving { primary, .. } => News::Done(primary, term),
        ReignPhase::Electing { .. } => {
            News::Under(format!("term {term}: every node reports how far its log reaches"))
        }
        ReignPhase::Promoting { primary } => {
            News::Under(format!("term {term}: `{}` is being promoted", named(planned, primary)))
        }
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
