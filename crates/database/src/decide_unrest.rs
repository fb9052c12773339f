//! A limit on failovers that nobody asked for: a primary that fails right after it opened, on one node after the other, is
//! a fault that no further switch mends, and each switch costs every client its session.
//!
//! Failovers cost points, in the record that all keepers share, so that the limit outlives any of them. One that ends a
//! reign in which every node had come to count costs little: that reign was of use. One that ends an earlier reign costs
//! much: that is flapping. Points are forgiven one by one with time.

use std::cmp::Reverse;

use crate::decide_flaw::Flaw;
use crate::decide_scene::Scene;
use crate::decide_view::Action;
use model::{NodeId, Nodes, Record, ReignPhase};

/// With so many points no failover is made unasked: 10 in a row of reigns of no use, 60 of others.
pub const UNREST_MAX: u32 = 60;
/// What it costs to end a reign before every node counted in it.
pub const FLAP_POINTS: u32 = 6;
/// What it costs to end any other.
pub const FAULT_POINTS: u32 = 1;
/// A point is forgiven after so long without a failover: at most 20 in any hour when every one is a flap, and 10 for
/// long.
pub const FORGIVE_MS: u64 = 60_000;
/// With so many points of its own a node becomes primary only when nobody else can.
pub(crate) const SHY_POINTS: u32 = 2 * FLAP_POINTS;

/// Whether no more failovers are made unasked.
#[must_use]
pub fn is_spent(record: &Record, max: u32) -> bool {
    record.unrest() >= max
}

/// The next term, which nobody asked for; `None`: there were too many.
pub(crate) fn unasked(scene: &Scene<'_>) -> Option<Record> {
    let record = scene.record()?;
    if is_spent(record, scene.view.unrest_max) {
        return None;
    }
    let mut next = scene.next_term(None)?;
    let own = record.primary() == Some(scene.me());
    if let Some(primary) = record.primary().filter(|_| !(own && scene.has(Flaw::UncountedFailover))) {
        let others = scene.view.nodes.without(primary);
        // For a wanted switch only the heir is left to count, of those that did.
        let switching = matches!(record.phase, ReignPhase::Serving { handover: Some(_), .. });
        let all = record.current().is_some_and(|quorum| others == quorum.members);
        let whole = scene.serving() && (all || switching);
        let points = next.unrest.entry(primary).or_default();
        *points = points.saturating_add(if whole { FAULT_POINTS } else { FLAP_POINTS });
    }
    Some(next)
}

/// As [`unasked`], written.
pub(crate) fn unasked_election(scene: &Scene<'_>) -> Option<Action> {
    scene.write(unasked(scene)?, Nodes::NONE)
}

/// One point less, of the node that has most.
pub(crate) fn forgive(scene: &Scene<'_>) -> Option<Action> {
    let record = scene.record()?;
    if !scene.judgement.rested || scene.has(Flaw::NeverForgive) {
        return None;
    }
    let (node, points) = record.unrest.iter().max_by_key(|(node, points)| (**points, Reverse(**node)))?;
    let mut next = record.clone();
    if *points > 1 {
        next.unrest.insert(*node, points - 1);
    } else {
        next.unrest.remove(node);
    }
    scene.write(next, Nodes::NONE)
}

/// Whether `node` failed so often as a primary that anybody else is better.
pub(crate) fn is_shy(record: &Record, node: NodeId) -> bool {
    record.unrest.get(&node).is_some_and(|points| *points >= SHY_POINTS)
}

#[cfg(test)]
#[path = "decide_unrest_tests.rs"]
mod tests;
