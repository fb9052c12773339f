//! The real rules and the real memory of keepers in virtual time: what machines that fail once in months cost, over
//! thousands of years.
//!
//! Nothing happens between two failures, so time jumps. After one, every keeper looks whenever something has changed and
//! whenever time alone may change its mind; an action is done after the time that it takes on real servers ([`Pace`]).
//! Machines fail silently and as a whole, keeper and server, or can reach nothing but the store; that is always there; nobody
//! writes, so an old primary has nothing that others lack.

use std::collections::BTreeMap;

use model::{Moment, NodeId, ReignPhase, Term};
use world::Chance;

use super::world::{Budget, Keeper, Move, World};
use crate::{
    Action, Alone, BEAT_MS, FORGIVE_MS, Flaw, MISSING_MS, Memory, PATIENCE_MS, Peer, STEADY_MS, STUCK_MS,
    SUSPECT_MS, choose,
};

/// Between two steps of a keeper that has nothing to do: less than what counts as a stall of its own.
const STEP_MS: u64 = 300;
/// So long has a keeper been awake when something happens: longer than anything that it waits for while there is trouble,
/// [`STUCK_MS`] the most, so that no time that was jumped over counts as a stall of its own.
const AWAKE_MS: u64 = 20_000;
/// Each promotion leaves a record; with so many the world is exchanged for a new one that looks the same to keepers.
const LOG_MAX: usize = 32;
/// A new cluster has formed by then.
const FORMED_MS: u64 = 600_000;
/// Rounds at one moment. More is a mistake of the rules.
const ROUNDS_MAX: u32 = 1_000;

/// How long an action takes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A file of the keeper, synced, or settings that are read again.
    pub file: u64,
    /// A write to the store, until everybody sees it.
    pub store: u64,
    /// A quorum in all processes of the server.
    pub confirm: u64,
    /// A promotion.
    pub promote: u64,
    /// A server's start, an orderly end, or a checkpoint.
    pub start: u64,
    /// A rewind.
    pub rewind: u64,
    /// A copy of the data.
    pub copy: u64,
}

impl Default for Pace {
    /// Medians of a soak on two shared cores (2026-11-29); a copy is of a small database.
    fn default() -> Pace {
        Pace { file: 15, store: 40, confirm: 25, promote: 85, start: 300, rewind: 1_500, copy: 5_000 }
    }
}

impl Pace {
    fn of(&self, action: &Action) -> u64 {
        match action {
            Action::Persist(_)
            | Action::Point(_)
            | Action::SetSync(_)
            | Action::Open
            | Action::Close
            | Action::Fence => self.file,
            Action::Write { .. } | Action::TakeOver { .. } | Action::Renew { .. } | Action::Report { .. } => {
                self.store
            }
            Action::ConfirmSync => self.confirm,
            Action::Promote => self.promote,
            Action::Start | Action::Forget(_) | Action::Checkpoint | Action::Init => self.start,
            Action::Rewind(_) | Action::Fetch { .. } | Action::Anew(_) => self.rewind,
            Action::Clone(_) => self.copy,
        }
    }
}

/// Time in which no write could be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it began, in milliseconds since the start.
    pub from_ms: u64,
    /// How long it was, in milliseconds.
    pub ms: u64,
    /// Another node was primary afterwards.
    pub moved: bool,
    /// A node came back meanwhile: it may have been waited for.
    pub helped: bool,
}

/// One that is not over.
#[derive(Clone, Copy, Debug)]
struct Open {
    from_ms: u64,
    last: Option<NodeId>,
    helped: bool,
}

/// One node's process, as far as time goes.
#[derive(Clone, Debug, Default)]
struct Process {
    memory: Memory,
    /// When what it has decided is done.
    done: Option<u64>,
    /// The term whose primary it takes for dead, and what the others know of that.
    suspects: Option<Term>,
    told: Option<Term>,
    /// When it was last heard, if it is down.
    silent_since: Option<u64>,
    /// When it was last heard, if it is apart from all others and not from the store.
    apart_since: Option<u64>,
}

/// A database with a quorum, served by keepers that decide as the product's do.
#[derive(Clone, Debug)]
pub struct Timed {
    world: World,
    fresh: World,
    pace: Pace,
    chance: Chance,
    processes: Vec<Process>,
    now: u64,
    /// Something was done, or failed, or came back.
    changed: u64,
    gap: Option<Open>,
    gaps: Vec<Gap>,
    looks: u64,
}

impl Timed {
    /// `nodes` nodes that have formed a cluster and have nothing to do, at 0 ms. The last one of them is a `witness` or is
    /// not.
    #[must_use]
    pub fn new(nodes: u8, witness: bool, pace: Pace, seed: u64) -> Timed {
        let world = World::new(nodes, Alone::Block, Budget::NOTHING, Flaw::None);
        let world = if witness { world.with_witness() } else { world };
        let mut timed = Timed {
            fresh: world.clone(),
            world,
            pace,
            chance: Chance::from_seed(seed),
            processes: vec![Process::default(); usize::from(nodes)],
            now: 0,
            changed: 0,
            gap: None,
            gaps: Vec::new(),
            looks: 0,
        };
        timed.advance(FORMED_MS);
        timed.processes = vec![Process::default(); usize::from(nodes)];
        let world = timed.world;
        let mut timed =
            Timed { fresh: world.clone(), world, now: 0, changed: 0, gap: None, gaps: Vec::new(), ..timed };
        timed.count();
        timed
    }

    /// What has been noticed since it was last asked.
    pub fn gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// The one that is not over: in a cluster that is stuck for good it would never be among [`Timed::gaps`].
    #[must_use]
    pub fn unfinished(&self) -> Option<Gap> {
        let open = self.gap?;
        Some(Gap { from_ms: open.from_ms, ms: self.now - open.from_ms, moved: false, helped: open.helped })
    }

    /// Looks of keepers so far, each a run through the rules.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Who may acknowledge now.
    #[must_use]
    pub fn primary(&self) -> Option<NodeId> {
        let record = self.world.record.as_ref()?;
        let ReignPhase::Serving { primary, .. } = record.phase else { return None };
        let node = self.world.node(primary);
        let run = node.run.as_ref().filter(|run| run.primary && node.disk.open)?;
        let streams = |member: &NodeId| {
            let there = self.world.node(*member).run.as_ref().and_then(|run| run.receiving);
            let term = run.told.get(member).map(|(term, _)| *term);
            let linked = !self.apart(primary, *member);
            linked && there.is_some_and(|from| from.node == primary && Some(from.term) == term)
        };
        let enough = |quorum: model::Quorum| {
            quorum.members.iter().filter(streams).count() as u64 >= u64::from(quorum.need)
        };
        node.disk.sync.is_none_or(enough).then_some(primary)
    }

    /// The machine of `node` is gone, keeper, server and all. Its disk is not.
    pub fn fail(&mut self, node: NodeId) {
        let beat = self.chance.below(BEAT_MS);
        let Some(process) = self.process(node) else { return };
        if process.silent_since.is_some() {
            return;
        }
        let heard = self.now.saturating_sub(beat);
        if let Some(process) = self.process(node) {
            *process = Process { silent_since: Some(heard), ..Process::default() };
        }
        self.world.node_mut(node).keeper = Keeper::default();
        self.world.end(node);
        self.note();
    }

    /// It is there again, with an empty memory.
    pub fn repair(&mut self, node: NodeId) {
        if let Some(process) = self.process(node).filter(|process| process.silent_since.is_some()) {
            *process = Process::default();
            if let Some(gap) = &mut self.gap {
                gap.helped = true;
            }
            self.note();
        }
    }

    /// From now on `node` hears no other node and is heard by none; it reaches the store.
    pub fn cut(&mut self, node: NodeId) {
        let heard = self.now.saturating_sub(self.chance.below(BEAT_MS));
        if let Some(process) = self.process(node) {
            process.apart_since = Some(heard);
            self.note();
        }
    }

    /// It reaches all others again.
    pub fn heal(&mut self, node: NodeId) {
        if let Some(process) = self.process(node) {
            process.apart_since = None;
            self.note();
        }
    }

    /// Whether one of the two is apart from the other.
    fn apart(&self, one: NodeId, other: NodeId) -> bool {
        let cut = |node: NodeId| self.processes[usize::from(node.0) - 1].apart_since.is_some();
        one != other && (cut(one) || cut(other))
    }

    fn process(&mut self, node: NodeId) -> Option<&mut Process> {
        self.processes.get_mut(usize::from(node.0).checked_sub(1)?)
    }

    fn note(&mut self) {
        self.changed = self.now;
        self.count();
    }

    /// Plays until `to`, in milliseconds since the start.
    pub fn advance(&mut self, to: u64) {
        self.settle();
        while let Some(next) = self.next().filter(|next| *next < to) {
            self.wake(next);
            self.now = next;
            self.finish();
            self.settle();
        }
        self.exchange();
        self.wake(to);
        self.now = self.now.max(to);
    }

    /// The next moment at which something is done, or at which time alone may change somebody's mind.
    fn next(&self) -> Option<u64> {
        let done = self.processes.iter().filter_map(|process| process.done);
        let silent =
            self.processes.iter().flat_map(|process| [process.silent_since, process.apart_since]).flatten();
        let forgives = self.world.record.as_ref().is_some_and(|record| record.unrest() > 0);
        let waits = [STEADY_MS, PATIENCE_MS, MISSING_MS, STUCK_MS, SUSPECT_MS].into_iter();
        let waits = waits.chain(forgives.then_some(FORGIVE_MS)).map(|wait| self.changed + wait);
        let untold = self.processes.iter().any(|process| process.suspects != process.told);
        let tells = untold.then_some(self.now + BEAT_MS / 2);
        let all = done.chain(silent.map(|since| since + SUSPECT_MS)).chain(waits).chain(tells);
        all.filter(|at| *at > self.now).min()
    }

    /// Every process has been running up to `to`.
    fn wake(&mut self, to: u64) {
        let from = self.now.max(to.saturating_sub(AWAKE_MS));
        for process in self.processes.iter_mut().filter(|process| process.silent_since.is_none()) {
            let steps = (from..to).step_by(STEP_MS as usize);
            steps.for_each(|at| process.memory.runs(Moment(at)));
        }
    }

    /// Whatever is due by now.
    fn finish(&mut self) {
        for id in self.world.ids().iter() {
            let now = self.now;
            let Some(process) = self.process(id) else { continue };
            process.told = process.suspects;
            if process.done.is_some_and(|at| at <= now) {
                process.done = None;
                self.changed = now;
                if self.reaches(id) {
                    self.world.apply(Move::Do(id));
                } else {
                    self.world.node_mut(id).keeper = Keeper::default();
                }
            }
        }
    }

    /// Servers do what they do by themselves, and keepers look, until there is nothing new at this moment.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.feed() && !self.look() {
                break;
            }
        }
        self.count();
    }

    /// Whether the node that what `id` has decided takes something from can be reached.
    fn reaches(&self, id: NodeId) -> bool {
        match self.world.node(id).keeper.pending {
            Some(Action::Clone(from) | Action::Rewind(from) | Action::Anew(from)) => {
                !self.apart(id, from.node)
            }
            Some(Action::Fetch { node, .. }) => !self.apart(id, node),
            _ => true,
        }
    }

    fn feed(&mut self) -> bool {
        let mut moves = Vec::new();
        for id in self.world.ids().iter() {
            self.world.moves_of_server(id, &mut moves);
        }
        moves.retain(|change| match change {
            Move::Feed(id) => {
                let node = self.world.node(*id);
                let from = node.run.as_ref().and_then(|run| run.receiving).or(node.disk.upstream);
                from.is_none_or(|from| !self.apart(*id, from.node))
            }
            Move::Hear(id, other) => !self.apart(*id, *other),
            _ => true,
        });
        for change in &moves {
            self.world.apply(*change);
        }
        !moves.is_empty()
    }

    fn look(&mut self) -> bool {
        let mut acted = false;
        for (index, id) in self.world.ids().iter().enumerate() {
            let process = &self.processes[index];
            if process.done.is_some() || process.silent_since.is_some() {
                continue;
            }
            let peers: BTreeMap<NodeId, Peer> = self.peers(id);
            let view = self.world.view_of(id);
            let now = self.now;
            let process = &mut self.processes[index];
            let judgement = process.memory.judge(&view, &peers, Moment(now));
            let term = view.record.as_ref().map(|kept| kept.value.term);
            process.suspects = term.filter(|_| judgement.suspects);
            self.looks += 1;
            if let Some((_, action)) = choose(&view, &judgement) {
                process.done = Some(now + self.pace.of(&action));
                let pending = Some(action);
                self.world.node_mut(id).keeper = Keeper { pending, ..Keeper::default() };
                acted = true;
            }
        }
        acted
    }

    fn peers(&self, me: NodeId) -> BTreeMap<NodeId, Peer> {
        let others = self.world.ids().without(me);
        let peer = |id: NodeId| {
            let process = self.processes.get(usize::from(id.0) - 1)?;
            let own = self.processes.get(usize::from(me.0) - 1)?;
            let gone = [process.silent_since, process.apart_since, own.apart_since];
            let heard = gone.into_iter().flatten().min();
            let suspects = process.told.filter(|_| heard.is_none());
            Some((id, Peer { heard: Some(Moment(heard.unwrap_or(self.now))), suspects, ..Peer::default() }))
        };
        others.iter().filter_map(peer).collect()
    }

    fn count(&mut self) {
        match (self.primary(), self.gap) {
            (None, None) => {
                let last = self.world.record.as_ref().and_then(model::Record::primary);
                self.gap = Some(Open { from_ms: self.now, last, helped: false });
            }
            (Some(primary), Some(Open { from_ms, last, helped })) => {
                let (ms, moved) = (self.now - from_ms, last != Some(primary));
                self.gaps.push(Gap { from_ms, ms, moved, helped });
                self.gap = None;
            }
            _ => {}
        }
    }

    /// A calm world whose logs have grown is exchanged for a new one with the same primary.
    fn exchange(&mut self) {
        let long = self.world.nodes.iter().any(|node| node.disk.log.len() > LOG_MAX);
        let first = self.fresh.ids().iter().next();
        let up =
            self.processes.iter().all(|process| process.silent_since.is_none() && process.done.is_none());
        if long && up && self.world.is_calm() && self.primary() == first {
            let unrest = self.world.record.take().map(|record| record.unrest).unwrap_or_default();
            self.world = self.fresh.clone();
            if let Some(record) = &mut self.world.record {
                record.unrest = unrest;
            }
            self.processes.iter_mut().for_each(|process| *process = Process::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn three() -> Timed {
        Timed::new(3, false, Pace::default(), 1)
    }

    #[test]
    fn a_lost_primary_is_followed_after_the_time_that_its_silence_takes() {
        let mut timed = three();
        timed.advance(HOUR);
        timed.fail(NodeId(1));
        timed.advance(HOUR + 60_000);
        let gaps = timed.gaps();
        assert_eq!((gaps.len(), gaps[0].from_ms, gaps[0].moved), (1, HOUR, true), "{gaps:?}");
        let least = SUSPECT_MS - BEAT_MS + Pace::default().promote;
        // Suspected when due: by keepers that were awake all the time.
        assert!((least..SUSPECT_MS + 500).contains(&gaps[0].ms), "{gaps:?}");
        timed.repair(NodeId(1));
        timed.advance(2 * HOUR);
        assert!(timed.world.is_calm() && timed.gaps().is_empty());
    }

    #[test]
    fn a_lost_standby_is_not_noticed_and_two_are_waited_for() {
        let mut timed = three();
        timed.advance(HOUR);
        timed.fail(NodeId(3));
        timed.advance(2 * HOUR);
        assert_eq!(timed.gaps(), []);
        timed.fail(NodeId(2));
        timed.advance(3 * HOUR);
        let open = timed.unfinished().map(|gap| (gap.from_ms, gap.ms, gap.moved, gap.helped));
        assert_eq!((open, timed.gaps()), (Some((2 * HOUR, HOUR, false, false)), vec![]));
        timed.repair(NodeId(2));
        timed.advance(4 * HOUR);
        assert_eq!(timed.unfinished(), None);
        let gaps = timed.gaps();
        assert_eq!((gaps.len(), gaps[0].from_ms, gaps[0].moved), (1, 2 * HOUR, false), "{gaps:?}");
        assert!((HOUR..HOUR + 5_000).contains(&gaps[0].ms), "{gaps:?}");
    }

    /// The old primary hears of each follower through the store, hears nothing from it, and has all that was acknowledged: it
    /// would end one follower after the other.
    #[test]
    fn a_primary_that_only_the_store_reaches_lets_its_follower_serve() {
        for (witness, slow) in [(false, 1), (true, 1), (false, 8), (true, 8), (false, 30), (true, 30)] {
            let pace = Pace::default();
            let pace = Pace { file: pace.file * slow, promote: pace.promote * slow, start: 50, ..pace };
            // Slower than the patience with the first winner, so that some come to nothing.
            let most = if slow > 8 { 60_000 } else { SUSPECT_MS + 700 * slow };
            for seed in 1..100 {
                let mut timed = Timed::new(3, witness, pace, seed);
                timed.advance(HOUR);
                let first = timed.primary().unwrap();
                let term = |timed: &Timed| timed.world.record.as_ref().unwrap().term;
                let before = term(&timed);
                timed.cut(first);
                timed.advance(HOUR + 60_000);
                let gaps = timed.gaps();
                assert!(
                    gaps.len() == 1 && gaps[0].moved && gaps[0].ms < most,
                    "witness {witness}, {slow} times slower, seed {seed}: {gaps:?}, {:?}",
                    timed.unfinished()
                );
                let terms = term(&timed) - before;
                assert!(
                    terms == 1 || slow > 8,
                    "witness {witness}, {slow} times slower, seed {seed}: {terms}"
                );
                timed.heal(first);
                timed.advance(2 * HOUR);
                assert!(timed.world.is_calm() && timed.gaps().is_empty(), "{:?}", timed.world);
            }
        }
    }

    #[test]
    fn the_same_seed_plays_the_same_and_a_long_life_leaves_no_long_log() {
        let play = |seed| {
            let mut timed = Timed::new(3, true, Pace::default(), seed);
            let mut chance = Chance::from_seed(seed);
            for day in 1..2_000 {
                let node = NodeId(1 + chance.below(3) as u8);
                timed.advance(day * 24 * HOUR);
                timed.fail(node);
                timed.advance(day * 24 * HOUR + HOUR);
                timed.repair(node);
            }
            timed.advance(3_000 * 24 * HOUR);
            assert!(timed.world.is_calm(), "{:?}", timed.world);
            let log = timed.world.nodes.iter().map(|node| node.disk.log.len()).max();
            assert!(log < Some(3 * LOG_MAX), "{log:?}");
            timed.gaps()
        };
        let gaps = play(7);
        assert!(gaps.len() > 400 && gaps.iter().all(|gap| gap.moved && gap.ms < 3_000), "{gaps:?}");
        assert_eq!(gaps, play(7));
        assert_ne!(gaps, play(8));
    }
}
