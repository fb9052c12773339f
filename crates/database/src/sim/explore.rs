//! Every schedule of a small world, compactly.
//!
//! stateright keeps every world whole, in dozens of maps and lists, and works out for each of them anew what its nodes may
//! do. Here a world is a few numbers, one for each distinct record, set of documents and node that ever occurred, and what
//! a node may do is worked out once for all worlds in which it decides by the same. A world that was seen with more left
//! to happen is not looked at again with less: whatever may happen with less may happen with more. All worlds are kept
//! exactly; none is taken for seen because of a hash.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use super::disk::Entry;
use super::relabel::Labels;
use super::world::{Budget, Move, Node, World};
use crate::Action;
use model::{NodeDoc, NodeId, Nodes, Record, ReignPhase as Phase, Term};

/// Most nodes of an exploration.
const NODES: usize = 4;
/// A world: record, documents, the rest, then the nodes.
pub type Packed = [u32; 3 + NODES];
const RECORD: usize = 0;
const DOCS: usize = 1;
const REST: usize = 2;
const FIRST: usize = 3;

/// What a world has beside record, documents and nodes.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Rest {
    missing: Nodes,
    unasked: u32,
    acked: BTreeSet<Entry>,
    ackers: BTreeSet<(Term, NodeId)>,
    fault: Option<&'static str>,
}

/// Multiplies and folds: the keys are small numbers.
#[derive(Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        let wide = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

type Folded<K, V> = HashMap<K, V, BuildHasherDefault<Fold>>;

/// Every distinct value once, with a number.
struct Pool<T> {
    all: Vec<Rc<T>>,
    numbers: Folded<Rc<T>, u32>,
}

impl<T: Clone + Eq + Hash> Pool<T> {
    fn new() -> Pool<T> {
        Pool { all: Vec::new(), numbers: Folded::default() }
    }

    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.all.len() as u32;
        let value = Rc::new(value.clone());
        self.all.push(Rc::clone(&value));
        self.numbers.insert(value, number);
        number
    }

    fn get(&self, number: u32) -> &T {
        &self.all[number as usize]
    }
}

/// What one node may do next.
#[derive(Clone, Copy)]
struct Step {
    change: Move,
    /// With which other numbers for the nodes it is decided.
    labels: usize,
    /// Which part of the budget it takes; [`FREE`]: none.
    spends: usize,
    /// What becomes of record, documents, rest and the node; `None`: it depends on more than these.
    own: Option<[u32; 4]>,
    /// What other nodes notice of it.
    touch: Touch,
}

/// What a node notices of what another one does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Touch {
    Nothing,
    /// The server of that node ended its connections.
    Gone(NodeId),
    /// That node has told something.
    Told(NodeId),
    /// The record was written.
    Written,
}

/// After so many worlds each time a line says how far it is.
const TOLD: usize = 2_000_000;
const FREE: usize = usize::MAX;
/// Parts of the budget.
const PARTS: usize = 8;

/// What is left of a budget, as a number, and which of them are at least as much.
struct Left {
    most: [u16; PARTS],
    above: Vec<u32>,
}

impl Left {
    fn new(budget: &Budget) -> Left {
        let Budget {
            writes,
            kills,
            delays,
            stale_looks,
            breaks,
            misses,
            losses,
            tears,
            wants,
            flights,
            plans,
            terms: _,
        } = *budget;
        assert_eq!((stale_looks, tears, plans), (0, 0, 0), "not explored exhaustively");
        let most = [writes, kills, delays, misses, losses, breaks, wants, flights];
        let mut left = Left { most, above: Vec::new() };
        let count = left.full() + 1;
        assert!(count <= 32, "one bit each");
        left.above = (0..count)
            .map(|one| {
                let at_least =
                    |other: &usize| (0..PARTS).all(|part| left.part(*other, part) >= left.part(one, part));
                (0..count).filter(at_least).fold(0, |mask, other| mask | 1 << other)
            })
            .collect();
        left
    }

    fn weight(&self, part: usize) -> usize {
        self.most[..part].iter().map(|most| usize::from(*most) + 1).product()
    }

    fn full(&self) -> usize {
        (0..PARTS).map(|part| usize::from(self.most[part]) * self.weight(part)).sum()
    }

    fn part(&self, left: usize, part: usize) -> usize {
        left / self.weight(part) % (usize::from(self.most[part]) + 1)
    }

    /// What is left after one of `part` is spent.
    fn spend(&self, left: usize, part: usize) -> Option<usize> {
        if part == FREE {
            return Some(left);
        }
        (self.part(left, part) > 0).then(|| left - self.weight(part))
    }

    fn sum(&self, left: usize) -> usize {
        (0..PARTS).map(|part| self.part(left, part)).sum()
    }
}

/// Worlds seen, each once, with their number.
struct Seen {
    all: Vec<Packed>,
    /// By which world each was found first.
    parents: Vec<u32>,
    depths: Vec<u16>,
    /// With what left each was reached.
    left: Vec<u32>,
    /// Open addressing; `u32::MAX`: free.
    table: Vec<u32>,
}

impl Seen {
    fn new() -> Seen {
        Seen { all: vec![], parents: vec![], depths: vec![], left: vec![], table: vec![u32::MAX; 1 << 12] }
    }

    fn place(&self, world: &Packed) -> usize {
        let mut hasher = Fold::default();
        world.hash(&mut hasher);
        let mask = self.table.len() - 1;
        let mut place = hasher.finish() as usize & mask;
        while self.table[place] != u32::MAX && self.all[self.table[place] as usize] != *world {
            place = (place + 1) & mask;
        }
        place
    }

    /// The number of `world`, and whether it is new.
    fn number(&mut self, world: &Packed, parent: u32) -> (u32, bool) {
        let place = self.place(world);
        if self.table[place] != u32::MAX {
            return (self.table[place], false);
        }
        let number = self.all.len() as u32;
        self.table[place] = number;
        let depth = self.depths.get(parent as usize).map_or(0, |depth| depth + 1);
        self.all.push(*world);
        self.parents.push(parent);
        self.depths.push(depth);
        self.left.push(0);
        if self.all.len() * 4 > self.table.len() * 3 {
            self.table = vec![u32::MAX; self.table.len() * 2];
            for number in 0..self.all.len() {
                let place = self.place(&self.all[number]);
                self.table[place] = number as u32;
            }
        }
        (number, true)
    }
}

/// What an exploration saw.
#[derive(Debug, Default)]
pub struct Explored {
    /// Distinct worlds.
    pub states: usize,
    /// Moves looked at.
    pub moves: u64,
    /// Moves on the longest way on which a world was found first.
    pub depth: u16,
    /// What is broken, and how it comes to that.
    pub broken: Option<(&'static str, Vec<String>)>,
    /// A reign after the first came to serve.
    pub succeeded: bool,
    /// A write was acknowledged.
    pub acknowledged: bool,
    /// Not all worlds were looked at.
    pub cut_short: bool,
}

/// A node with its state, what it decides by, and the number of the next record of its reign.
type OwnKey = (u8, u32, [u32; 3], u16);
/// A node with its state, what it notices, and what it decides by then.
type TouchKey = (u8, u32, Touch, [u32; 3]);

/// What is broken, whether a later reign serves, and whether a write was acknowledged.
type Judged = (Option<&'static str>, bool, bool);

/// An exploration under way.
pub struct Explorer {
    start: World,
    left: Left,
    /// Other numbers for the nodes, with the way back and what becomes of each component, once it was asked for.
    labels: Vec<(Labels, Labels, [Vec<u32>; 4])>,
    nodes: Pool<Node>,
    records: Pool<Option<Record>>,
    docs: Pool<BTreeMap<NodeId, NodeDoc>>,
    rests: Pool<Rest>,
    own: Folded<OwnKey, Rc<[Step]>>,
    touched: Folded<TouchKey, u32>,
    /// Of a node and a rest: the highest number of a record of each reign.
    numbers: [Vec<Vec<(Term, u16)>>; 2],
    /// Of the feeding of one node by another in a term: what becomes of both.
    fed: Folded<(u8, u32, u32, Term), Option<[u32; 2]>>,
    /// Of a record, a rest and a primary's node: what is broken, and whether a later reign serves.
    judged: Folded<(u32, u32, u32), Judged>,
    seen: Seen,
    wide: u64,
}

impl Explorer {
    /// Explores what may happen to `start` within its budget. `alike`: the nodes after the first are taken for alike, but not a
    /// witness and one with data.
    ///
    /// Their numbers matter to one thing alone: who is taken where the rules have no preference. Then every choice is
    /// explored that the rules would make if the nodes had other numbers, so that worlds that differ in nothing but
    /// those are one. These are more schedules than there are, never fewer.
    pub fn new(start: &World, alike: bool) -> Explorer {
        let mut labels = Labels::of_standbys(start.nodes.len() as u8, start.witnesses);
        labels.truncate(if alike { labels.len() } else { 1 });
        for labels in &labels {
            assert_eq!(labels.world(start), *start, "the nodes are not alike");
        }
        let with_back = |labels: Labels| (labels.clone(), labels.back(), [const { Vec::new() }; 4]);
        Explorer {
            start: start.clone(),
            left: Left::new(&start.budget),
            labels: labels.into_iter().map(with_back).collect(),
            nodes: Pool::new(),
            records: Pool::new(),
            docs: Pool::new(),
            rests: Pool::new(),
            own: Folded::default(),
            touched: Folded::default(),
            numbers: [Vec::new(), Vec::new()],
            fed: Folded::default(),
            judged: Folded::default(),
            seen: Seen::new(),
            wide: 0,
        }
    }

    /// A world as numbers. It must be settled.
    fn pack(&mut self, world: &World) -> Packed {
        let mut packed = [0; 3 + NODES];
        let World { missing, unasked, acked, ackers, fault, .. } = world;
        let (acked, ackers) = (acked.clone(), ackers.clone());
        let rest = Rest { missing: *missing, unasked: *unasked, acked, ackers, fault: *fault };
        packed[RECORD] = self.records.number(&world.record);
        packed[DOCS] = self.docs.number(&world.docs);
        packed[REST] = self.rests.number(&rest);
        for (place, node) in world.nodes.iter().enumerate() {
            packed[FIRST + place] = self.nodes.number(node);
        }
        packed
    }

    /// The world of `packed`, with the whole budget.
    pub fn unpack(&self, packed: &Packed) -> World {
        let rest = self.rests.get(packed[REST]).clone();
        let count = self.start.nodes.len();
        World {
            record: self.records.get(packed[RECORD]).clone(),
            past: None,
            missing: rest.missing,
            docs: self.docs.get(packed[DOCS]).clone(),
            nodes: packed[FIRST..FIRST + count].iter().map(|node| self.nodes.get(*node).clone()).collect(),
            witnesses: self.start.witnesses,
            plan: self.start.plan,
            turned: self.start.turned,
            left: self.start.left.clone(),
            acked: rest.acked,
            ackers: rest.ackers,
            budget: self.start.budget,
            alone: self.start.alone,
            mode: self.start.mode,
            unrest_max: self.start.unrest_max,
            unasked: rest.unasked,
            flaw: self.start.flaw,
            fault: rest.fault,
        }
    }

    /// The world after `change` as the nodes would decide it under other numbers.
    fn after(&mut self, packed: &Packed, change: Move, labels: usize) -> Packed {
        let world = self.unpack(packed);
        let (there, back, _) = &self.labels[labels];
        let mut world = if labels == 0 { world } else { there.world(&world) };
        world.apply(if labels == 0 { change } else { there.change(change) });
        let mut world = if labels == 0 { world } else { back.world(&world) };
        world.settle();
        self.pack(&world)
    }

    /// The one of all worlds that differ from `packed` only in the numbers of nodes.
    fn one_of_all(&mut self, packed: &Packed) -> Packed {
        let mut least = *packed;
        for labels in 1..self.labels.len() {
            let other = self.relabel(packed, labels);
            least = least.min(other);
        }
        least
    }

    fn relabel(&mut self, packed: &Packed, number: usize) -> Packed {
        let mut relabelled = *packed;
        for part in [RECORD, DOCS, REST] {
            relabelled[part] = self.component(part, packed[part], number);
        }
        for place in 0..self.start.nodes.len() {
            let to = usize::from(self.labels[number].0.0[place]) - 1;
            relabelled[FIRST + to] = self.component(FIRST, packed[FIRST + place], number);
        }
        relabelled
    }

    fn component(&mut self, part: usize, value: u32, number: usize) -> u32 {
        let known = self.labels[number].2[part].get(value as usize).copied().unwrap_or(u32::MAX);
        if known != u32::MAX {
            return known;
        }
        let labels = &self.labels[number].0;
        let new = match part {
            RECORD => {
                let record = self.records.get(value).as_ref().map(|record| labels.record(record));
                self.records.number(&record)
            }
            DOCS => {
                let docs = self.docs.get(value).iter().map(|(id, doc)| (labels.id(*id), *doc)).collect();
                self.docs.number(&docs)
            }
            REST => {
                let mut rest = self.rests.get(value).clone();
                rest.missing = labels.ids(rest.missing);
                rest.ackers = rest.ackers.iter().map(|(term, id)| (*term, labels.id(*id))).collect();
                self.rests.number(&rest)
            }
            _ => {
                let node = labels.node(self.nodes.get(value));
                self.nodes.number(&node)
            }
        };
        let known = &mut self.labels[number].2[part];
        known.resize(known.len().max(value as usize + 1), u32::MAX);
        known[value as usize] = new;
        new
    }

    fn term(&self, packed: &Packed) -> Term {
        self.records.get(packed[RECORD]).as_ref().map_or(0, |record| record.term)
    }

    /// The number of the next record of the reign of `id`, as [`World::next_number`] has it.
    fn next_number(&mut self, packed: &Packed, id: NodeId) -> u16 {
        let of = |entries: &mut dyn Iterator<Item = Entry>| {
            let mut highest: BTreeMap<Term, u16> = BTreeMap::new();
            for Entry { term, number } in entries {
                let place = highest.entry(term).or_default();
                *place = number.max(*place);
            }
            highest.into_iter().collect::<Vec<_>>()
        };
        let [nodes, rests] = &mut self.numbers;
        for node in &self.nodes.all[nodes.len()..] {
            let waiting = node.run.iter().flat_map(|run| run.waiting.iter());
            nodes.push(of(&mut node.disk.log.iter().chain(waiting).copied()));
        }
        for rest in &self.rests.all[rests.len()..] {
            rests.push(of(&mut rest.acked.iter().copied()));
        }
        let (nodes, rests) = (&*nodes, &*rests);
        let place = FIRST - 1 + usize::from(id.0);
        let reign = self.nodes.get(packed[place]).durable.reign;
        let all = packed[FIRST..FIRST + self.start.nodes.len()].iter().map(|node| &nodes[*node as usize]);
        let all = all.chain([&rests[packed[REST] as usize]]).flatten();
        all.filter(|(term, _)| *term == reign).map(|(_, number)| *number).max().unwrap_or(0) + 1
    }

    /// What the node `id` may do by itself.
    fn steps(&mut self, packed: &Packed, id: NodeId) -> Rc<[Step]> {
        let place = FIRST - 1 + usize::from(id.0);
        let number = self.next_number(packed, id);
        let key = (id.0, packed[place], [packed[RECORD], packed[DOCS], packed[REST]], number);
        if let Some(steps) = self.own.get(&key) {
            return Rc::clone(steps);
        }
        let world = self.unpack(packed);
        let mut moves = Vec::new();
        world.moves_of_keeper(id, &mut moves);
        world.moves_of_server(id, &mut moves);
        // A keeper that crashes before it acts, or whose message is lost, has done nothing: what may happen then may
        // also happen when it has not looked. But a primary's is unsure afterwards what it has written.
        let primary = world.record.as_ref().and_then(Record::primary) == Some(id);
        moves.retain(|change| match change {
            Move::Feed(_) => false,
            Move::Drop(_) => primary && !world.comes_to_nothing(id),
            _ => true,
        });
        let mut steps = Vec::with_capacity(moves.len());
        for change in moves {
            let mut outcomes = Vec::new();
            for labels in 0..self.labels.len() {
                let touch = match labels {
                    0 => touches(&world, change),
                    _ => {
                        let there = &self.labels[labels].0;
                        // What it does, as it decides under those numbers; whom others notice has the same number here.
                        touches(&there.world(&world), there.change(change)).map(|touch| match touch {
                            Touch::Gone(_) => Touch::Gone(id),
                            Touch::Told(_) => Touch::Told(id),
                            touch => touch,
                        })
                    }
                };
                let after = self.after(packed, change, labels);
                if outcomes.contains(&after) {
                    continue;
                }
                outcomes.push(after);
                let own = touch.map(|_| [RECORD, DOCS, REST, place].map(|part| after[part]));
                let touch = touch.unwrap_or(Touch::Nothing);
                steps.push(Step { change, labels, spends: spends(&world, change), own, touch });
            }
        }
        let steps: Rc<[Step]> = steps.into();
        self.own.insert(key, Rc::clone(&steps));
        steps
    }

    /// The world after `step` of `id`.
    fn step(&mut self, packed: &Packed, id: NodeId, step: &Step) -> Packed {
        let Some([record, docs, rest, node]) = step.own else {
            self.wide += 1;
            return self.after(packed, step.change, step.labels);
        };
        let mut after = *packed;
        let place = FIRST - 1 + usize::from(id.0);
        (after[RECORD], after[DOCS], after[REST], after[place]) = (record, docs, rest, node);
        if step.touch == Touch::Nothing {
            return after;
        }
        for other in self.start.ids().without(id).iter() {
            let place = FIRST - 1 + usize::from(other.0);
            let key = (other.0, packed[place], step.touch, [record, docs, rest]);
            after[place] = match self.touched.get(&key) {
                Some(node) => *node,
                None => {
                    let node = self.after(packed, step.change, step.labels)[place];
                    self.touched.insert(key, node);
                    node
                }
            };
        }
        after
    }

    /// The world after something arrives at `id`, if it may.
    fn feed(&mut self, packed: &Packed, id: NodeId) -> Option<Packed> {
        let place = |id: NodeId| FIRST - 1 + usize::from(id.0);
        let node = self.nodes.get(packed[place(id)]);
        let from = node.run.as_ref()?.receiving.or(node.disk.upstream)?.node;
        let key = (id.0, packed[place(id)], packed[place(from)], self.term(packed));
        let fed = match self.fed.get(&key) {
            Some(fed) => *fed,
            None => {
                let world = self.unpack(packed);
                let after = world.feeds(id).then(|| self.after(packed, Move::Feed(id), 0));
                if let Some(after) = after.filter(|after| after[REST] != packed[REST]) {
                    return Some(after);
                }
                let fed = after.map(|after| [after[place(id)], after[place(from)]]);
                self.fed.insert(key, fed);
                fed
            }
        };
        fed.map(|[node, source]| {
            let mut after = *packed;
            (after[place(id)], after[place(from)]) = (node, source);
            after
        })
    }

    /// All worlds that may be next, with what they take of the budget.
    fn next(&mut self, packed: &Packed, next: &mut Vec<(Move, usize, Packed)>) {
        for id in self.start.ids().iter() {
            for step in self.steps(packed, id).iter() {
                let after = self.step(packed, id, step);
                next.push((step.change, step.spends, after));
            }
            if let Some(after) = self.feed(packed, id) {
                next.push((Move::Feed(id), FREE, after));
            }
        }
    }

    /// What is broken in a world, whether a later reign serves, and whether something was acknowledged.
    fn judge(&mut self, packed: &Packed) -> Judged {
        let record = self.records.get(packed[RECORD]).as_ref();
        let primary = record.and_then(Record::primary);
        let node = primary.map_or(u32::MAX, |id| packed[FIRST - 1 + usize::from(id.0)]);
        let key = (packed[RECORD], packed[REST], node);
        if let Some(judged) = self.judged.get(&key) {
            return *judged;
        }
        let first = self.start.record.as_ref().map_or(0, |record| record.term);
        let later = record.is_some_and(|now| now.term > first && matches!(now.phase, Phase::Serving { .. }));
        let world = self.unpack(packed);
        let judged = (world.broken(), later, !world.acked.is_empty());
        self.judged.insert(key, judged);
        judged
    }

    /// Explores all, or until something is broken, or until there are `most` worlds.
    pub fn run(&mut self, most: usize) -> Explored {
        let mut start = self.start.clone();
        start.settle();
        let start = self.pack(&start);
        let start = self.one_of_all(&start);
        let full = self.left.full();
        let mut explored = Explored::default();
        // Those with more left first: then fewer are found again with more.
        let mut levels = vec![VecDeque::new(); self.left.sum(full) + 1];
        self.seen.number(&start, u32::MAX);
        self.seen.left[0] = 1 << full;
        levels[self.left.sum(full)].push_back((0_u32, full));
        let mut next = Vec::new();
        let (started, mut told) = (std::time::Instant::now(), TOLD);
        while let Some(level) = levels.iter().rposition(|level| !level.is_empty()) {
            let Some((number, left)) = levels[level].pop_front() else { continue };
            let more = self.left.above[left] & !(1 << left);
            if self.seen.left[number as usize] & more != 0 {
                continue;
            }
            let packed = self.seen.all[number as usize];
            next.clear();
            self.next(&packed, &mut next);
            for (_, part, after) in &next {
                explored.moves += 1;
                let Some(left) = self.left.spend(left, *part) else { continue };
                if self.term(after) > self.start.budget.terms {
                    continue;
                }
                let after = &self.one_of_all(after);
                let (found, new) = self.seen.number(after, number);
                if new {
                    let (broken, later, acknowledged) = self.judge(after);
                    explored.succeeded |= later;
                    explored.acknowledged |= acknowledged;
                    if let Some(what) = broken {
                        explored.broken = Some((what, self.way(found)));
                        return self.end(explored);
                    }
                }
                let mask = &mut self.seen.left[found as usize];
                if *mask & self.left.above[left] == 0 {
                    *mask |= 1 << left;
                    levels[self.left.sum(left)].push_back((found, left));
                }
            }
            if self.seen.all.len() > told {
                told += TOLD;
                let waiting: Vec<usize> = levels.iter().map(VecDeque::len).collect();
                let states = self.seen.all.len();
                println!(
                    "  {states} states, {} moves, {waiting:?} to do, {:?}",
                    explored.moves,
                    started.elapsed()
                );
            }
            if self.seen.all.len() > most {
                explored.cut_short = true;
                break;
            }
        }
        self.end(explored)
    }

    fn end(&self, explored: Explored) -> Explored {
        let depth = self.seen.depths.iter().max().copied().unwrap_or(0);
        Explored { states: self.seen.all.len(), depth, ..explored }
    }

    /// How it came to the world `number`, a line for each move. With nodes taken for alike, each line has its own numbers.
    fn way(&mut self, number: u32) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = number;
        while self.seen.parents[at as usize] != u32::MAX {
            let (parent, after) = (self.seen.parents[at as usize], self.seen.all[at as usize]);
            let packed = self.seen.all[parent as usize];
            let mut next = Vec::new();
            self.next(&packed, &mut next);
            if let Some((change, ..)) = next.iter().find(|(.., other)| self.one_of_all(other) == after) {
                let told = tell(&self.unpack(&packed), *change);
                way.push(format!(
                    "{change:?} {}",
                    told.map(|action| format!("{action:?}")).unwrap_or_default()
                ));
            }
            at = parent;
        }
        way.reverse();
        way
    }

    /// Whether `world`, or one that differs only in the numbers of nodes, was seen. It must be settled.
    pub fn has_seen(&mut self, world: &World) -> bool {
        let packed = self.pack(world);
        let packed = self.one_of_all(&packed);
        self.seen.table[self.seen.place(&packed)] != u32::MAX
    }

    /// Every world seen.
    pub fn worlds(&self) -> impl Iterator<Item = World> {
        self.seen.all.iter().map(|packed| self.unpack(packed))
    }

    /// Every `step`th of them.
    pub fn some_worlds(&self, step: usize) -> impl Iterator<Item = World> {
        self.seen.all.iter().step_by(step).map(|packed| self.unpack(packed))
    }

    /// What an exploration is made of, for people.
    pub fn made_of(&self) -> String {
        format!(
            "{} nodes, {} records, {} documents, {} rests, {} steps, {} touched, {} feeds, {} wide",
            self.nodes.all.len(),
            self.records.all.len(),
            self.docs.all.len(),
            self.rests.all.len(),
            self.own.len(),
            self.touched.len(),
            self.fed.len(),
            self.wide
        )
    }
}

/// What others notice of `change`, if it depends on the record, the documents and its own node alone; else `None`.
fn touches(world: &World, change: Move) -> Option<Touch> {
    let id = match change {
        Move::Quit(_)
        | Move::Hear(..)
        | Move::Miss(_)
        | Move::Look(_)
        | Move::Drop(_)
        | Move::Send(_)
        | Move::Write(_) => return Some(Touch::Nothing),
        Move::Kill(id) | Move::Lose(id) => return Some(Touch::Gone(id)),
        Move::Want(_) => return Some(Touch::Written),
        Move::Act(id) | Move::Suspect(id) | Move::CallOff(id) | Move::Do(id) | Move::Land(id) => id,
        _ => return None,
    };
    match tell(world, change) {
        None
        | Some(
            Action::Persist(_)
            | Action::Start
            | Action::Point(None)
            | Action::SetSync(_)
            | Action::ConfirmSync
            | Action::Promote
            | Action::Open
            | Action::Close
            | Action::Checkpoint
            | Action::Renew { .. },
        ) => Some(Touch::Nothing),
        // A new term makes everybody promise, and any write makes what others are about to write a stale one.
        Some(Action::Write { .. } | Action::TakeOver { .. }) => Some(Touch::Written),
        Some(Action::Report { .. }) => Some(Touch::Told(id)),
        Some(Action::Fence | Action::Point(Some(_)) | Action::Forget(_)) => Some(Touch::Gone(id)),
        Some(
            Action::Init | Action::Clone(_) | Action::Rewind(_) | Action::Fetch { .. } | Action::Anew(_),
        ) => None,
    }
}

/// What a keeper does in `change`.
fn tell(world: &World, change: Move) -> Option<Action> {
    match change {
        Move::Act(id)
        | Move::Suspect(id)
        | Move::CallOff(id)
        | Move::Look(id)
        | Move::Send(id)
        | Move::Break(id) => world.decide(id, true, &world.judged(change, id)),
        Move::Do(id) => world.node(id).keeper.pending.clone(),
        Move::Land(id) => world.node(id).keeper.flight.as_ref().map(|flight| flight.action.clone()),
        _ => None,
    }
}

/// The part of the budget that `change` takes.
fn spends(world: &World, change: Move) -> usize {
    match change {
        Move::Write(_) => 0,
        Move::Kill(_) => 1,
        Move::Look(_) => 2,
        Move::Miss(id) if !world.missing.has(id) => 3,
        Move::Lose(_) => 4,
        Move::Break(_) => 5,
        Move::Want(_) => 6,
        Move::Send(_) => 7,
        _ => FREE,
    }
}
