//! Which standbys must acknowledge, and how that changes without a moment in which the record claims less than the server
//! does.
//!
//! The record must at every moment name a quorum whose settling ([`Quorum::is_settled_by`]) implies that of the one the
//! server really goes by. So a change that asks *more* of an election is written to the record first and given to the
//! server then. One that asks *less* is given to the server first, and written only when it is in force everywhere and
//! everything acknowledged until then is held by the new quorum.

use crate::decide_view::Alone;
use model::{Lsn, NodeId, Nodes, Quorum, Term};

/// The first quorum of a new reign: those that can follow it; where nobody is known to, everybody else, and writes wait for
/// whoever comes first.
#[must_use]
pub fn first(primary: NodeId, term: Term, followers: Nodes, others: Nodes) -> Quorum {
    let (members, need) = match followers.is_empty() {
        true => (others, others.len().min(1)),
        false => (followers, majority(followers)),
    };
    Quorum { primary, term, members, need }
}

/// With 2 standbys 1, with 3 or 4 standbys 2: as many may be lost without writes waiting as without an election failing.
fn majority(members: Nodes) -> u32 {
    members.len().div_ceil(2)
}

/// One step of the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it becomes.
    pub to: Quorum,
    /// An election must meet more under `to` than before: the record goes first.
    pub record_first: bool,
}

/// The next step from `now` towards the members `wanted`; `None`: nothing to change. One member or one of `need` at a time, but to
/// and from nobody at all.
#[must_use]
pub fn step(now: &Quorum, wanted: Nodes, alone: Alone) -> Option<Step> {
    // Nobody is named while nobody is awaited: in a lease's record those who are may stand in for the primary.
    let nobody = Quorum { members: Nodes::NONE, need: 0, ..*now };
    if now.need == 0 && *now != nobody {
        return Some(Step { to: nobody, record_first: true });
    }
    // Blocked writes wait for those that count now; whoever comes back first may be one of them.
    if wanted.is_empty() && alone == Alone::Block {
        return None;
    }
    let need = majority(wanted);
    let surplus = now.members.minus(wanted).iter().next();
    let lacking = wanted.minus(now.members).iter().next();
    let with = |members, need| Quorum { members, need, ..*now };
    if now.need == 0 {
        return (!wanted.is_empty()).then(|| Step { to: with(wanted, 1), record_first: false });
    }
    if now.members.minus(now.members.minus(wanted)).len() < now.need {
        // Too few of those that count are left: no smaller set of them would ever hold what was acknowledged.
        let to = match lacking {
            Some(node) => with(now.members.with(node), now.need),
            None if now.need == 1 => nobody,
            None => with(now.members, now.need - 1),
        };
        return Some(Step { to, record_first: true });
    }
    if let Some(node) = surplus.filter(|_| now.members.len() > now.need) {
        return Some(Step { to: with(now.members.without(node), now.need), record_first: false });
    }
    if let Some(node) = lacking {
        return Some(Step { to: with(now.members.with(node), now.need), record_first: true });
    }
    if now.need < need {
        return Some(Step { to: with(now.members, now.need + 1), record_first: false });
    }
    if now.need > need {
        return Some(Step { to: with(now.members, now.need - 1), record_first: true });
    }
    None
}

/// Whether enough members of `quorum` have everything up to `lsn` on disk.
#[must_use]
pub fn holds(quorum: &Quorum, lsn: Lsn, flushed: impl Fn(NodeId) -> Option<Lsn>) -> bool {
    let count = quorum.members.iter().filter(|node| flushed(*node).is_some_and(|flush| flush >= lsn)).count();
    count as u64 >= u64::from(quorum.need)
}
