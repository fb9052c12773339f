//! What one keeper does next. Pure: the same view and judgement give the same action.
//!
//! Every keeper runs the same rules over the same shared record; there is no coordinator. The first rule that has
//! something to do does it, and whatever it does is seen in the next view, so an action whose outcome is unknown is decided
//! again. Why this loses nothing is in `docs/decisions/0005-failover.md`.

use crate::decide_flaw::Flaw;
use crate::decide_scene::Scene;
use crate::decide_view::{Action, Judgement, View};
use crate::{
    decide_elect as elect, decide_follow as follow, decide_lease as lease, decide_reign as reign,
    decide_unrest as unrest, decide_witness as witness,
};

/// One row of the table: when `acts` has an answer, nothing below it is asked.
pub struct Rule {
    /// Its name, as logs and the page of decisions have it.
    pub name: &'static str,
    /// Why it is there.
    pub why: &'static str,
    acts: fn(&Scene<'_>) -> Option<Action>,
}

const fn rule(name: &'static str, why: &'static str, acts: fn(&Scene<'_>) -> Option<Action>) -> Rule {
    Rule { name, why, acts }
}

/// The whole state machine, in the order in which it is asked.
pub const RULES: &[Rule] = &[
    rule("found", "without a record the first node makes the data, then the record", reign::found),
    rule("fence", "a primary of an older term ends before anything else happens", reign::fence),
    rule("let go", "lease mode: a server without a lease acknowledges nothing more", lease::let_go),
    rule("promise", "a new term is on the own disk before anything is done for it", elect::promise),
    rule("renew", "lease mode: the lease is renewed before anything that may take long", lease::renew),
    rule("cut off", "nothing more is received in older terms", elect::cut_off),
    rule("replay", "a log must be replayed to say where it ends", elect::replay),
    rule("elect", "the log that must have everything wins", elect::elect),
    rule("fetch", "what only a witness has is copied before anybody is promoted", witness::fetch),
    rule("tell the end", "only a log that cannot grow any more counts", elect::tell_the_end),
    rule("suspect", "a primary that is gone, and enough others say so too", elect::suspect),
    rule("take over", "lease mode: a lease is over, and this log was close behind", lease::take_over),
    rule("take the term", "a winner writes down that it is one before it promotes", reign::take_the_term),
    rule("rise", "the quorum is in force before the first write", reign::rise),
    rule("go alone", "a winner that nobody follows serves alone where the file says so", reign::go_alone),
    rule("serve", "everything before is held by the new quorum", reign::serve),
    rule("give up", "a primary without a server is none", reign::give_up),
    rule("hand over", "the wanted winner has everything before the term ends", reign::hand_over),
    rule("quorum", "who acknowledges follows who is there", reign::quorum),
    rule("open", "clients come in when all of this is done", reign::open),
    rule("show", "others can copy from a primary", reign::show),
    rule("checkpoint", "a rewind reads the timeline from the last checkpoint", reign::checkpoint),
    rule("leave the old", "a standby of an older primary lets go of it", follow::leave),
    rule("anew", "a witness that cannot go on begins anew, when nobody counts on it", witness::anew),
    rule("join", "a log that is a beginning of the primary's goes on from there", follow::join),
    rule("forget", "no trace of a reign that never served", follow::forget),
    rule("remake", "a log that went its own way is made again, when nobody counts on it", follow::remake),
    rule("fill", "an empty node copies the primary", follow::fill),
    rule("tell", "the others know what this node holds", follow::tell),
    rule("forgive", "a failover counts against the next one for a while only", unrest::forgive),
];

/// What to do now, and by which rule.
#[must_use]
pub fn choose(view: &View, judgement: &Judgement) -> Option<(&'static str, Action)> {
    choose_with(view, judgement, Flaw::None)
}

/// As [`choose`], with one belief broken: so that the simulation can show that it would notice.
#[must_use]
pub fn choose_with(view: &View, judgement: &Judgement, flaw: Flaw) -> Option<(&'static str, Action)> {
    let scene = Scene::new(view, judgement, flaw);
    // A record older than what this node has promised is from the past: a store restored from a backup, a stale read. So
    // is none at all: a store that was emptied ends no primary.
    if scene.term() < view.durable.promised {
        return None;
    }
    RULES.iter().find_map(|rule| (rule.acts)(&scene).map(|action| (rule.name, action)))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(crate) mod tests;
