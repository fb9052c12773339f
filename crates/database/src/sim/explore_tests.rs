//! Every schedule of a small world, by stateright's breadth-first search.

use stateright::{Checker, Model, Property};

use super::random::calm;
use super::world::{Budget, Move, World};
use crate::{Alone, Flaw};
use model::ReignPhase as Phase;

struct Small(World);

impl Model for Small {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![self.0.clone()]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Move>) {
        actions.extend(state.moves());
    }

    fn next_state(&self, state: &World, action: Move) -> Option<World> {
        let mut next = state.clone();
        next.apply(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is broken", |_: &Small, state: &World| state.broken().is_none()),
            Property::sometimes("a second reign serves", |model: &Small, state: &World| {
                let record = state.record.as_ref();
                let first = model.0.record.as_ref().map_or(0, |record| record.term);
                record.is_some_and(|record| {
                    record.term > first && matches!(record.phase, Phase::Serving { .. })
                })
            }),
            Property::sometimes("a write is acknowledged", |_: &Small, state: &World| {
                !state.acked.is_empty()
            }),
        ]
    }

    fn within_boundary(&self, state: &World) -> bool {
        state.record.as_ref().is_none_or(|record| record.term <= state.budget.terms)
    }
}

/// Explores all that `budget` allows to happen to a calm cluster; its terms count from there.
fn explore(nodes: u8, budget: Budget) {
    explore_from(World::new(nodes, Alone::Block, Budget::NOTHING, Flaw::None), budget);
}

fn explore_from(start: World, budget: Budget) {
    let mut start = calm(start);
    let nodes = start.nodes.len();
    let term = start.record.as_ref().unwrap().term;
    start.budget = Budget { terms: term + budget.terms, ..budget };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = std::time::Instant::now();
    let checker = Small(start).checker().threads(threads).spawn_bfs().join();
    println!(
        "{nodes} nodes: {} states, depth {}, {:?}",
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed()
    );
    checker.assert_properties();
}

#[test]
fn three_nodes_one_write_one_suspicion() {
    explore(3, Budget { writes: 1, terms: 1, ..Budget::NOTHING });
}

#[test]
#[ignore = "minutes"]
fn three_nodes_one_kill() {
    explore(3, Budget { writes: 1, kills: 1, terms: 1, ..Budget::NOTHING });
}

#[test]
#[ignore = "minutes"]
fn three_nodes_one_delay() {
    explore(3, Budget { writes: 1, delays: 1, terms: 1, ..Budget::NOTHING });
}

#[test]
#[ignore = "minutes"]
fn three_nodes_one_membership_change() {
    explore(3, Budget { writes: 1, misses: 1, terms: 1, ..Budget::NOTHING });
}

fn explore_with_witness(budget: Budget) {
    explore_from(World::new(3, Alone::Block, Budget::NOTHING, Flaw::None).with_witness(), budget);
}

#[test]
fn two_nodes_and_a_witness_one_write_one_suspicion() {
    explore_with_witness(Budget { writes: 1, terms: 1, ..Budget::NOTHING });
}

#[test]
#[ignore = "minutes"]
fn two_nodes_and_a_witness_one_kill() {
    explore_with_witness(Budget { writes: 1, kills: 1, terms: 1, ..Budget::NOTHING });
}

#[test]
#[ignore = "minutes"]
fn two_nodes_and_a_witness_one_delay() {
    explore_with_witness(Budget { writes: 1, delays: 1, terms: 1, ..Budget::NOTHING });
}
