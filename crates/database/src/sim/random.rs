//! One schedule of a seed: disasters first, then peace, in which the cluster must come back by itself.

use std::fmt;

use world::Chance;

use super::world::{Budget, Move, Plan, World, breaks_off};
use crate::{Alone, Flaw};
use model::{NodeId, Nodes, Record, ReignPhase as Phase};

/// Moves of the first part.
const MOVES: u32 = 400;
/// After so many moves it is drawn anew who is frozen and who is cut off.
const MOOD_MOVES: u32 = 25;
/// Rounds of peace, each of which lets every node do all it can, before a cluster counts as stuck.
const ROUNDS: u32 = 300;
/// Rounds in one promotion before everybody gives it up, as [`crate::STUCK_MS`] does, and in one wanted switch before it is
/// called off, as [`crate::HANDOVER_MS`] does.
const STUCK_ROUNDS: u32 = 30;

/// What a schedule showed when nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Acknowledged writes.
    pub acked: usize,
    /// The last term.
    pub term: u64,
    /// A disk was lost, and the cluster waits for a decision of its owner.
    pub stuck: bool,
    /// Moves in all.
    pub moves: usize,
}

/// What was wrong, and how it came to that.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that shows it again.
    pub seed: u64,
    /// What does not hold.
    pub what: &'static str,
    /// The world at the start.
    pub start: World,
    /// What happened since.
    pub trace: Vec<Move>,
}

const STUCK: &str = "the cluster does not come back";

/// How much of a schedule is told.
const TOLD_MOVES: usize = 90;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        let mut world = self.start.clone();
        for (number, change) in self.trace.iter().enumerate() {
            let told = match change {
                Move::Act(id)
                | Move::Suspect(id)
                | Move::Rest(id)
                | Move::Look(id)
                | Move::Send(id)
                | Move::Break(id) => world.decide(*id, true, &world.judgement(*id)),
                Move::Do(id) | Move::Drop(id) => world.nodes[usize::from(id.0) - 1].keeper.pending.clone(),
                Move::Land(id) => {
                    let flight = &world.nodes[usize::from(id.0) - 1].keeper.flight;
                    flight.as_ref().map(|flight| flight.action.clone())
                }
                _ => None,
            };
            let idle = matches!(change, Move::Act(_)) && told.is_none();
            if number + TOLD_MOVES > self.trace.len() && !idle {
                writeln!(f, "  {change:?} {}", told.map(|action| format!("{action:?}")).unwrap_or_default())?;
            }
            world.apply(*change);
        }
        writeln!(f, "record {:?}\ndocs {:?}\nacked {:?}", world.record, world.docs, world.acked)?;
        world.nodes.iter().try_for_each(|node| writeln!(f, "{node:?}"))
    }
}

struct Player {
    chance: Chance,
    world: World,
    seed: u64,
    start: World,
    trace: Vec<Move>,
    frozen_keepers: Nodes,
    frozen_servers: Nodes,
    cut: Nodes,
    /// Clients write much now.
    busy: bool,
    /// How often suspicions and kills are, in thousandths of all moves.
    roughness: u64,
}

/// Plays the schedule of `seed` on `nodes` nodes.
///
/// # Errors
/// The first thing that does not hold.
pub fn random(seed: u64, nodes: u8, flaw: Flaw) -> Result<Outcome, Box<Failure>> {
    play(seed, |alone, budget| World::new(nodes, alone, budget, flaw))
}

/// As [`random`], with a witness as the last of the nodes.
///
/// # Errors
/// The first thing that does not hold.
pub fn random_with_witness(seed: u64, nodes: u8, flaw: Flaw) -> Result<Outcome, Box<Failure>> {
    play(seed, |alone, budget| World::new(nodes, alone, budget, flaw).with_witness())
}

/// Most nodes of a plan that changes.
const MOST: u8 = 5;

/// Plans that follow each other, the usual ones more often: two and four standbys, three, one and a witness, none.
const PLANS: &[(u8, bool)] =
    &[(3, false), (5, false), (3, false), (5, false), (4, false), (2, true), (1, false)];

/// As [`random`], while nodes come into the plan, leave it, or turn into witnesses and back. Keepers read of it one by one.
///
/// # Errors
/// The first thing that does not hold.
pub fn random_replanned(seed: u64, flaw: Flaw) -> Result<Outcome, Box<Failure>> {
    let first = if seed.is_multiple_of(2) { 3 } else { MOST };
    play(seed, |alone, budget| {
        let budget = Budget { plans: 6, losses: 0, ..budget };
        World::new(MOST, alone, budget, flaw).planned(Plan::of(first, false))
    })
}

fn play(seed: u64, world: impl FnOnce(Alone, Budget) -> World) -> Result<Outcome, Box<Failure>> {
    let mut chance = Chance::from_seed(seed);
    let alone = if chance.chance(0.3) { Alone::Degrade } else { Alone::Block };
    let losses = u16::from(chance.chance(0.2));
    let budget = Budget {
        writes: 90,
        kills: 12,
        delays: 60,
        stale_looks: 20,
        breaks: 4,
        misses: 12,
        losses,
        tears: 20,
        wants: 6,
        flights: 20,
        plans: 0,
        terms: u64::MAX,
    };
    let mut world = world(alone, budget);
    let losses = world.budget.losses;
    if chance.chance(0.3) {
        world.unrest_max = 1 + chance.below(10) as u32;
    }
    let mut player = Player::new(chance.next_u64(), world);
    player.seed = seed;
    player.peace()?;
    player.disasters()?;
    let back = player.peace().or_else(|failure| player.given_back(failure));
    // What a node held before it turned counts no more, as if its disk were lost.
    let lost_disk = player.world.budget.losses < losses || !player.world.turned.is_empty();
    // With a disk gone for good, waiting for somebody to decide is a legal end; serving without a write is not.
    match back {
        Err(failure) if !(lost_disk && failure.what == STUCK) => return Err(failure),
        _ => {}
    }
    let term = player.world.record.as_ref().map_or(0, |record| record.term);
    let stuck = !player.world.is_calm();
    Ok(Outcome { stuck, acked: player.world.acked.len(), term, moves: player.trace.len() })
}

/// Nothing fails any more in `world`: it comes back, or this is how it does not.
///
/// # Errors
/// What does not hold, or that it does not come back.
#[cfg(test)]
pub(crate) fn heals(world: World) -> Result<(), Box<Failure>> {
    Player::new(0, world).peace()
}

/// The cluster that comes of `start`: it serves, with nothing left to do.
///
/// # Panics
/// When it does not come to that, which the random schedules would show.
#[cfg(test)]
pub(crate) fn calm(start: World) -> World {
    let mut player = Player::new(0, start);
    player.peace().expect("a cluster to begin with");
    let ids = player.world.ids();
    for id in ids.iter() {
        player.round(id, false).expect("a cluster to begin with");
    }
    for node in &mut player.world.nodes {
        node.keeper.seen = None;
    }
    player.world.past = None;
    player.world
}

impl Player {
    fn new(seed: u64, world: World) -> Player {
        let mut chance = Chance::from_seed(seed);
        let roughness = [2, 6, 20][chance.below(3) as usize];
        let none = Nodes::NONE;
        let (start, trace) = (world.clone(), Vec::new());
        Player {
            chance,
            world,
            seed,
            start,
            trace,
            frozen_keepers: none,
            frozen_servers: none,
            cut: none,
            busy: false,
            roughness,
        }
    }

    fn fail(&self, what: &'static str) -> Box<Failure> {
        Box::new(Failure { seed: self.seed, what, start: self.start.clone(), trace: self.trace.clone() })
    }

    fn apply(&mut self, change: Move) -> Result<(), Box<Failure>> {
        self.world.apply(change);
        self.trace.push(change);
        self.world.broken().map_or(Ok(()), |what| Err(self.fail(what)))
    }

    fn disasters(&mut self) -> Result<(), Box<Failure>> {
        for step in 0..MOVES {
            if step % MOOD_MOVES == 0 {
                self.mood();
            }
            let id = NodeId(self.chance.below(self.world.nodes.len() as u64) as u8 + 1);
            if let Some(change) = self.draw(id).filter(|change| self.may(*change)) {
                self.apply(change)?;
            }
        }
        Ok(())
    }

    /// Draws who stands still and who is alone.
    fn mood(&mut self) {
        let ids = self.world.ids();
        let mut some = |p: f64| ids.iter().filter(|_| self.chance.chance(p)).collect();
        (self.frozen_keepers, self.frozen_servers, self.cut) = (some(0.12), some(0.1), some(0.12));
        self.busy = self.chance.chance(0.3);
    }

    /// Those that the plan left may have to wait for one that is gone by it, and for nobody else: when it is back, all is well.
    fn given_back(&mut self, stuck: Box<Failure>) -> Result<(), Box<Failure>> {
        let all = Plan::of(MOST, false);
        let waits = self.world.awaits_absent() || !self.world.turned.is_empty();
        if stuck.what != STUCK || self.world.ids() != all.nodes || self.world.plan == all || !waits {
            return Err(stuck);
        }
        self.apply(Move::Plan(all))?;
        self.peace()
    }

    /// Draws a new plan, or that a keeper reads of it.
    fn replan(&mut self, id: NodeId) -> Option<Move> {
        let world = &self.world;
        let reads = world.nodes[usize::from(id.0) - 1].plan != world.plan;
        if reads && self.chance.chance(0.03) {
            return Some(Move::Reread(id));
        }
        if self.world.budget.plans == 0 || !self.chance.chance(0.015) {
            return None;
        }
        let (copies, witness) = PLANS[self.chance.below(PLANS.len() as u64) as usize];
        Some(Move::Plan(Plan::of(copies, witness)))
    }

    fn draw(&mut self, id: NodeId) -> Option<Move> {
        if let Some(change) = self.replan(id) {
            return Some(change);
        }
        let node = &self.world.nodes[usize::from(id.0) - 1];
        let other = NodeId(self.chance.below(self.world.nodes.len() as u64) as u8 + 1);
        let led = self.world.record.as_ref().and_then(Record::primary);
        if node.keeper.pending.is_some() && self.chance.chance(0.3) {
            return Some(if self.chance.chance(0.7) { Move::Do(id) } else { Move::Drop(id) });
        }
        if node.keeper.flight.is_some() && self.chance.chance(0.1) {
            return Some(Move::Land(id));
        }
        if self.busy && self.chance.chance(0.4) {
            return led.map(Move::Write);
        }
        if self.chance.below(1000) < self.roughness {
            return match self.chance.below(3) {
                0 => Some(Move::Kill(id)),
                _ => (led.is_some() && led != Some(id)).then_some(Move::Suspect(id)),
            };
        }
        Some(match self.chance.below(1000) {
            0..270 => Move::Act(id),
            270..350 => Move::Hurry(id),
            350..358 => Move::Miss(id),
            358..360 => Move::Rest(id),
            360..390 => Move::Look(id),
            390..400 => Move::Send(id),
            400..410 => Move::LookBack(id),
            410..650 => Move::Feed(id),
            650..700 => Move::Quit(id),
            700..890 => Move::Hear(id, other),
            890..970 => Move::Write(id),
            970..990 => Move::Tear(id),
            990..994 => Move::Break(id),
            994..996 => Move::Want(id),
            996 => Move::CallOff(id),
            997.. => Move::Lose(id),
        })
    }

    /// Whether `change` can happen now, with who is frozen and cut off.
    fn may(&self, change: Move) -> bool {
        let world = &self.world;
        let of = |id: NodeId| &world.nodes[usize::from(id.0) - 1];
        let linked = |one: NodeId, other: NodeId| one == other || !(self.cut.has(one) || self.cut.has(other));
        let idle =
            |id: NodeId| of(id).keeper.pending.is_none() && !self.frozen_keepers.has(id) && world.is_here(id);
        match change {
            Move::Act(id) | Move::Suspect(id) | Move::Hurry(id) | Move::Rest(id) => {
                idle(id) && !self.cut.has(id)
            }
            Move::Want(id) => world.may_want(id),
            Move::CallOff(id) => world.may_call_off(id) && idle(id) && !self.cut.has(id),
            Move::Miss(id) => world.budget.misses > 0 || world.missing.has(id),
            Move::Look(id) => idle(id) && !self.cut.has(id) && world.budget.delays > 0,
            Move::LookBack(id) => idle(id) && world.budget.stale_looks > 0,
            Move::Break(id) => {
                let judgement = world.judgement(id);
                let able = idle(id) && !self.cut.has(id) && world.budget.breaks > 0;
                able && world.decide(id, true, &judgement).is_some_and(|action| breaks_off(&action))
            }
            Move::Send(id) => {
                let action = world.decide(id, true, &world.judgement(id));
                idle(id) && !self.cut.has(id) && action.is_some_and(|action| world.may_send(id, &action))
            }
            Move::Land(id) => of(id).keeper.flight.is_some(),
            // What was sent to the store arrives, even from one that is cut off now.
            Move::Do(id) | Move::Drop(id) => of(id).keeper.pending.is_some() && !self.frozen_keepers.has(id),
            Move::Feed(id) => {
                let from = of(id).run.as_ref().and_then(|run| run.receiving).or(of(id).disk.upstream);
                let still = |from: NodeId| self.frozen_servers.has(id) || self.frozen_servers.has(from);
                world.feeds(id) && from.is_some_and(|from| linked(id, from.node) && !still(from.node))
            }
            Move::Tear(id) => world.tears(id) && self.may(Move::Feed(id)),
            Move::Quit(id) => {
                let ends =
                    |run: &super::Run| run.receiving.is_some() && run.receiving != of(id).disk.upstream;
                !self.frozen_servers.has(id) && of(id).run.as_ref().is_some_and(ends)
            }
            Move::Hear(id, other) => {
                let told = |run: &super::Run| run.underway.get(&other) != run.told.get(&other);
                !self.frozen_servers.has(id) && of(id).run.as_ref().is_some_and(told)
            }
            Move::Write(id) => {
                let writes = of(id).run.as_ref().is_some_and(|run| run.primary) && of(id).disk.open;
                writes && !self.frozen_servers.has(id) && world.budget.writes > 0
            }
            Move::Lose(_) => world.budget.losses > 0,
            Move::Kill(id) => of(id).run.is_some() && world.budget.kills > 0,
            Move::Plan(plan) => plan != world.plan,
            Move::Reread(id) => of(id).plan != world.plan && !self.cut.has(id),
        }
    }

    /// Nothing fails any more, until all is calm.
    fn peace(&mut self) -> Result<(), Box<Failure>> {
        (self.frozen_keepers, self.frozen_servers, self.cut) = (Nodes::NONE, Nodes::NONE, Nodes::NONE);
        let ids = self.world.ids();
        // What is still on its way arrives sooner or later.
        let lands = self.chance.below(u64::from(ROUNDS) / 10) as u32;
        let mut promoting = 0;
        for round in 0..ROUNDS {
            for id in ids.iter().filter(|_| round == lands) {
                if self.may(Move::Land(id)) {
                    self.apply(Move::Land(id))?;
                }
            }
            let stuck = promoting >= STUCK_ROUNDS;
            promoting = match self.world.record.as_ref().map(|record| record.phase) {
                Some(Phase::Promoting { .. } | Phase::Serving { handover: Some(_), .. }) if !stuck => {
                    promoting + 1
                }
                _ => 0,
            };
            for id in ids.iter() {
                self.round(id, stuck)?;
            }
            if self.world.is_calm() {
                return Ok(());
            }
        }
        Err(self.fail(STUCK))
    }

    /// Whether a member of the quorum of the primary `id` does not stream from it; `None`: `id` is none.
    fn missing(&self, id: NodeId) -> Option<Option<NodeId>> {
        let record = self.world.record.as_ref().filter(|record| record.primary() == Some(id))?;
        let told = &self.world.nodes[usize::from(id.0) - 1].run.as_ref()?.told;
        let streams = |member: &NodeId| told.get(member).is_some_and(|(term, _)| *term == record.term);
        Some(record.current()?.members.iter().find(|member| !streams(member)))
    }

    /// A primary that is gone by the plan is taken for dead.
    fn replace_absent(&mut self, id: NodeId) -> Result<(), Box<Failure>> {
        let primary = self.world.record.as_ref().and_then(Record::primary);
        if primary.is_some_and(|primary| !self.world.is_here(primary)) && self.may(Move::Suspect(id)) {
            self.apply(Move::Suspect(id))?;
        }
        Ok(())
    }

    fn round(&mut self, id: NodeId, stuck: bool) -> Result<(), Box<Failure>> {
        let ids = self.world.ids();
        if self.may(Move::Reread(id)) {
            self.apply(Move::Reread(id))?;
        }
        self.replace_absent(id)?;
        let serves = self.world.record.as_ref().is_some_and(|r| matches!(r.phase, Phase::Serving { .. }));
        let change = if serves { Move::CallOff(id) } else { Move::Suspect(id) };
        if stuck && self.world.is_here(id) && (!serves || self.may(change)) {
            self.apply(change)?;
        }
        // Peace is long: what was too much is forgiven, bit by bit.
        let spent = |record: &Record| crate::is_spent(record, self.world.unrest_max);
        if self.world.record.as_ref().is_some_and(spent) && self.may(Move::Rest(id)) {
            self.apply(Move::Rest(id))?;
        }
        for change in [Move::Do(id), Move::Act(id), Move::Quit(id)] {
            if self.may(change) {
                self.apply(change)?;
            }
        }
        // In peace who is missing is known.
        let gone = self.missing(id);
        for other in ids.iter().filter(|_| gone.is_some()) {
            if self.world.missing.has(other) != (gone == Some(Some(other))) {
                self.apply(Move::Miss(other))?;
            }
        }
        while self.may(Move::Feed(id)) {
            self.apply(Move::Feed(id))?;
        }
        for other in ids.iter() {
            if self.may(Move::Hear(id, other)) {
                self.apply(Move::Hear(id, other))?;
            }
        }
        Ok(())
    }
}
