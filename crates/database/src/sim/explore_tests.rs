//! Every schedule of small worlds: by [`Explorer`], and of the smallest ones by stateright as well, which knows nothing of
//! what the other takes for one.

use std::collections::HashSet;
use std::sync::Mutex;

use stateright::{Checker, Model, Property};

use super::explore::{Explored, Explorer};
use super::random::{calm, heals};
use super::world::{Budget, Move, World};
use crate::{Alone, FLAWS, Flaw};

/// So many worlds of each exploration are asked whether the cluster comes back from there.
const HEALED: usize = 5_000;

/// A calm cluster to which `budget` may happen; its terms count from there.
fn start(nodes: u8, budget: Budget, flaw: Flaw) -> World {
    start_from(World::new(nodes, Alone::Block, Budget::NOTHING, Flaw::None), budget, flaw)
}

/// The same of two nodes and a witness.
fn start_with_witness(budget: Budget, flaw: Flaw) -> World {
    start_from(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None).with_witness(), budget, flaw)
}

fn start_from(start: World, budget: Budget, flaw: Flaw) -> World {
    let mut start = calm(start);
    let term = start.record.as_ref().unwrap().term;
    start.budget = Budget { terms: term + budget.terms, ..budget };
    World { flaw, ..start }
}

/// Explores all that `budget` allows to happen to a calm cluster.
#[track_caller]
fn explore(nodes: u8, budget: Budget) {
    explore_from(&start(nodes, budget, Flaw::None));
}

#[track_caller]
fn explore_from(start: &World) {
    let (nodes, budget) = (start.nodes.len(), start.budget);
    let started = std::time::Instant::now();
    let most = std::env::var("EVENKEEL_STATES").ok().and_then(|text| text.parse().ok());
    let mut explorer = Explorer::new(start, true);
    let explored = explorer.run(most.unwrap_or(usize::MAX));
    let Explored { states, moves, depth, cut_short, .. } = explored;
    let unfinished = if cut_short { " (not all)" } else { "" };
    let elapsed = started.elapsed();
    println!(
        "{nodes} nodes, {budget:?}: {states} states{unfinished}, {moves} moves, depth {depth}, {elapsed:?}"
    );
    println!("  made of {}", explorer.made_of());
    if let Some((what, way)) = explored.broken {
        panic!("{what}:\n  {}", way.join("\n  "));
    }
    assert!(cut_short || explored.succeeded && explored.acknowledged, "nothing happened");
    heal_some(&explorer, states);
}

/// From wherever it is, a cluster to which nothing happens any more comes back. `EVENKEEL_HEALED` worlds are asked, spread over
/// all.
#[track_caller]
fn heal_some(explorer: &Explorer, states: usize) {
    let most = std::env::var("EVENKEEL_HEALED").ok().and_then(|text| text.parse().ok());
    let (started, mut healed) = (std::time::Instant::now(), 0);
    for world in explorer.some_worlds(states.div_ceil(most.unwrap_or(HEALED))) {
        if let Err(failure) = heals(world) {
            panic!("{failure}");
        }
        healed += 1;
    }
    println!("  {healed} of them came back, {:?}", started.elapsed());
}

struct Small {
    start: World,
    /// What was seen, in canonical form and with the whole budget.
    settled: Mutex<HashSet<World>>,
}

impl Model for Small {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![self.start.clone()]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Move>) {
        let mut settled = World { budget: self.start.budget, ..state.clone() };
        settled.settle();
        self.settled.lock().unwrap().insert(settled);
        actions.extend(state.moves());
    }

    fn next_state(&self, state: &World, action: Move) -> Option<World> {
        let mut next = state.clone();
        next.apply(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("nothing is broken", |_: &Small, state: &World| state.broken().is_none())]
    }

    fn within_boundary(&self, state: &World) -> bool {
        state.record.as_ref().is_none_or(|record| record.term <= state.budget.terms)
    }
}

/// Both explorations see the same worlds.
#[track_caller]
fn compare(nodes: u8, budget: Budget) {
    compare_from(&start(nodes, budget, Flaw::None));
}

#[track_caller]
fn compare_from(start: &World) {
    let (nodes, budget) = (start.nodes.len(), start.budget);
    let model = Small { start: start.clone(), settled: Mutex::default() };
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let settled = checker.model().settled.lock().unwrap();
    let mut explorer = Explorer::new(start, false);
    assert!(explorer.run(usize::MAX).broken.is_none());
    let found: HashSet<World> = explorer.worlds().collect();
    let missed = settled.difference(&found).next();
    assert!(missed.is_none(), "never found: {missed:#?}");
    let invented = found.difference(&settled).next();
    assert!(invented.is_none(), "cannot happen: {invented:#?}");
    let mut explorer = Explorer::new(start, true);
    let alike = explorer.run(usize::MAX);
    assert!(alike.broken.is_none());
    let missed = settled.iter().find(|world| !explorer.has_seen(world));
    assert!(missed.is_none(), "never found with nodes taken for alike: {missed:#?}");
    let whole = checker.unique_state_count();
    println!("{nodes} nodes, {budget:?}: {whole} whole, {} settled, {} alike", settled.len(), alike.states);
}

const ONE: Budget = Budget { writes: 1, terms: 1, ..Budget::NOTHING };

#[test]
fn two_explorations_see_the_same_worlds() {
    compare(2, Budget { writes: 2, kills: 1, misses: 1, ..ONE });
    compare(2, Budget { wants: 1, delays: 1, ..ONE });
    compare(2, Budget { kills: 1, flights: 1, ..ONE });
    compare(3, Budget { writes: 0, ..ONE });
}

#[test]
#[ignore = "minutes"]
fn two_explorations_see_the_same_larger_worlds() {
    compare(2, Budget { writes: 2, kills: 1, delays: 1, misses: 1, ..ONE });
    compare(3, ONE);
    compare(3, Budget { writes: 0, kills: 1, ..ONE });
    compare(3, Budget { writes: 0, delays: 1, ..ONE });
    compare(3, Budget { writes: 0, misses: 1, ..ONE });
    compare(3, Budget { writes: 0, wants: 1, ..ONE });
}

#[test]
fn three_nodes_one_write_one_suspicion() {
    explore(3, ONE);
}

/// Somebody wants another primary, and the term may end by that or by a suspicion; in the last two worlds by both, one after
/// the other.
#[test]
#[ignore = "minutes"]
fn explore_three_nodes_one_switch() {
    explore(3, Budget { wants: 1, ..ONE });
    explore(3, Budget { wants: 1, kills: 1, ..ONE });
    explore(3, Budget { wants: 1, delays: 1, ..ONE });
    explore(3, Budget { wants: 1, misses: 1, ..ONE });
    explore(3, Budget { wants: 1, writes: 0, terms: 2, ..ONE });
    explore(2, Budget { wants: 1, terms: 2, kills: 1, ..ONE });
}

/// A keeper gives up a write and goes on; it arrives all the same.
#[test]
#[ignore = "minutes"]
fn explore_three_nodes_one_late_write() {
    explore(3, Budget { flights: 1, ..ONE });
    explore(3, Budget { flights: 1, kills: 1, ..ONE });
    explore(3, Budget { flights: 1, misses: 1, ..ONE });
    explore(3, Budget { flights: 1, wants: 1, ..ONE });
    explore_from(&start_with_witness(Budget { flights: 1, ..ONE }, Flaw::None));
}

#[test]
#[ignore = "minutes"]
fn explore_three_nodes_one_fault() {
    explore(3, Budget { kills: 1, ..ONE });
    explore(3, Budget { delays: 1, ..ONE });
    explore(3, Budget { misses: 1, ..ONE });
}

#[test]
#[ignore = "an hour"]
fn explore_three_nodes() {
    explore(3, Budget { kills: 1, delays: 1, misses: 1, ..ONE });
}

#[test]
#[ignore = "minutes"]
fn explore_four_nodes_one_write_one_suspicion() {
    explore(4, ONE);
}

#[test]
#[ignore = "an hour"]
fn explore_four_nodes_one_fault() {
    explore(4, Budget { kills: 1, ..ONE });
    explore(4, Budget { delays: 1, ..ONE });
}

#[test]
#[ignore = "hours, and more memory than 10 GB"]
fn explore_four_nodes() {
    explore(4, Budget { kills: 1, delays: 1, misses: 1, ..ONE });
}

#[test]
fn two_nodes_and_a_witness_one_write_one_suspicion() {
    explore_from(&start_with_witness(ONE, Flaw::None));
}

#[test]
#[ignore = "minutes"]
fn explore_two_nodes_and_a_witness() {
    explore_from(&start_with_witness(Budget { kills: 1, ..ONE }, Flaw::None));
    explore_from(&start_with_witness(Budget { delays: 1, ..ONE }, Flaw::None));
    explore_from(&start_with_witness(Budget { misses: 1, ..ONE }, Flaw::None));
    explore_from(&start_with_witness(Budget { wants: 1, ..ONE }, Flaw::None));
}

#[test]
#[ignore = "minutes"]
fn two_explorations_see_the_same_worlds_with_a_witness() {
    compare_from(&start_with_witness(Budget { writes: 0, ..ONE }, Flaw::None));
    compare_from(&start_with_witness(ONE, Flaw::None));
}

/// Worlds in which wrong beliefs are looked for, the smallest first: with a witness or without one.
const WORLDS: &[(bool, Budget)] = &[
    (false, ONE),
    (true, ONE),
    (false, Budget { misses: 1, ..ONE }),
    (false, Budget { delays: 1, ..ONE }),
    (false, Budget { losses: 1, ..ONE }),
    (false, Budget { kills: 1, ..ONE }),
    (true, Budget { misses: 1, ..ONE }),
    (false, Budget { terms: 2, ..ONE }),
    (true, Budget { terms: 2, ..ONE }),
    (false, Budget { kills: 1, misses: 1, ..ONE }),
    (false, Budget { flights: 1, ..ONE }),
    (false, Budget { flights: 1, misses: 1, ..ONE }),
    (false, Budget { flights: 1, misses: 2, ..ONE }),
    (true, Budget { flights: 1, ..ONE }),
];

/// What is broken by `flaw` in that world, and in how many moves.
fn notice(flaw: Flaw, (witness, budget): (bool, Budget), most: usize) -> Option<(&'static str, usize)> {
    let start = if witness { start_with_witness(budget, flaw) } else { start(3, budget, flaw) };
    let explored = Explorer::new(&start, true).run(most);
    explored.broken.map(|(what, way)| (what, way.len()))
}

/// Finds the smallest world of each wrong belief.
#[test]
#[ignore = "minutes"]
fn explore_wrong_beliefs() {
    let mut left = FLAWS.to_vec();
    for world in WORLDS {
        left.retain(|flaw| match notice(*flaw, *world, 400_000) {
            Some((what, moves)) => {
                println!("{flaw:?} in {world:?}: {what}, {moves} moves");
                false
            }
            None => true,
        });
        println!("after {world:?} not noticed: {left:?}");
    }
}
