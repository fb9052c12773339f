//! Which log a node holds, and whether it is a beginning of another one.

use crate::decide_view::Durable;
use model::{Lsn, Position, Record, Term};

/// What stands between a node's log and that of the primary it should follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kinship {
    /// Its log is a beginning of the primary's: it can stream from there.
    Prefix,
    /// So it is, but it was allowed to receive from a reign that never came to serve and left no log here: traces of
    /// that reign's timeline must go first, because another primary may use the same timeline number.
    PrefixOfOrphan,
    /// It holds records that the primary has not; the reigns on both sides served, so that timeline numbers tell them
    /// apart and `pg_rewind` can be trusted.
    Diverged,
    /// It may hold records under a timeline number that the primary uses for others: only a fresh copy is safe.
    Foreign,
}

/// The terms of whose logs the log of `term` is made, newest first.
fn chain(record: &Record, term: Term) -> impl Iterator<Item = &model::Reign> {
    // `base` always falls, so this ends.
    std::iter::successors(record.reign(term), |reign| {
        record.reign(reign.base).filter(|b| b.term < reign.term)
    })
}

/// Where a log that ends at `end` and was last fed by the reign `lineage` stands: what lies before that reign's fork was
/// written by the reign it continues, and so on. `None`: the reign is so old that nobody knows it any more.
#[must_use]
pub fn position(record: &Record, lineage: Term, end: Lsn) -> Option<Position> {
    if lineage == 0 {
        return Some(Position { term: 0, lsn: end });
    }
    let reign = chain(record, lineage).find(|reign| end > reign.fork);
    let first = chain(record, lineage).last()?;
    Some(Position { term: reign.map_or(first.base, |reign| reign.term), lsn: end })
}

/// Whether a log that ends at `one` is a beginning of the log that ends at `other`, by what both have told.
#[must_use]
pub fn is_prefix(record: &Record, one: Position, other: Position) -> bool {
    if one.term == other.term {
        return one.lsn <= other.lsn;
    }
    let next = chain(record, other.term).find(|reign| reign.base == one.term);
    next.is_some_and(|reign| one.lsn <= reign.fork)
}

/// How the log of a node with `durable` that ends at `end` relates to that of the primary of the record's term.
#[must_use]
pub fn kinship(record: &Record, durable: &Durable, end: Lsn) -> Kinship {
    kinship_to(record, durable, end, record.term)
}

/// The same for the log of the reign `to`.
pub(crate) fn kinship_to(record: &Record, durable: &Durable, end: Lsn, to: Term) -> Kinship {
    let lineage = durable.lineage;
    if lineage == to {
        return Kinship::Prefix;
    }
    let fork_after = |term: Term| {
        let next = chain(record, to).find(|reign| reign.base == term);
        next.map(|reign| reign.fork)
    };
    if let Some(fork) = fork_after(lineage) {
        return if end <= fork { Kinship::Prefix } else { Kinship::Diverged };
    }
    let Some(own) = record.reign(lineage) else { return Kinship::Foreign };
    // The reign of `lineage` is not among the ancestors of the primary's. That of `to` may be the one it continued.
    let common = if own.base == to { Some(Lsn(u64::MAX)) } else { fork_after(own.base) };
    match common {
        Some(fork) if !own.served && durable.reign != lineage && end <= own.fork.min(fork) => {
            Kinship::PrefixOfOrphan
        }
        _ => Kinship::Foreign,
    }
}
