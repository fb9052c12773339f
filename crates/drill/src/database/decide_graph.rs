//! Cycles among transactions: strongly connected parts by Tarjan ("Depth-first search and linear graph algorithms",
//! 1972), without recursion, then a short cycle inside each.

use std::collections::{BTreeMap, VecDeque};

/// Why one transaction comes before another (Adya, "Weak consistency", 1999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It wrote the version that the other one's write follows.
    WriteWrite,
    /// The other one read what it wrote.
    WriteRead,
    /// The other one wrote what comes after what it read.
    ReadWrite,
    /// It ended before the other one began, in the same session.
    Session,
}

impl Why {
    /// One bit each, for sets of kinds.
    #[must_use]
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The transaction that comes before.
    pub from: u32,
    /// The one that comes after.
    pub to: u32,
    /// Why.
    pub why: Why,
    /// The list, and the later value (of [`Why::WriteRead`]: the value read); 0 for [`Why::Session`].
    pub key: i64,
    /// See `key`.
    pub value: i64,
}

/// Steps that the search for cycles with exactly one read-write edge may take; beyond it, a cycle may be called G2
/// that is a G-single. A sound history needs none of them.
const STEPS_MAX: u64 = 20_000_000;

/// Transactions and the reasons between them.
#[derive(Debug)]
pub struct Graph {
    edges: Vec<Edge>,
    /// Where each node's edges start; one more than there are nodes.
    starts: Vec<usize>,
}

const NONE: u32 = u32::MAX;

impl Graph {
    /// A graph of `nodes` transactions; edges from one to itself are no reasons and are dropped.
    #[must_use]
    pub fn new(nodes: usize, mut edges: Vec<Edge>) -> Graph {
        edges.retain(|edge| edge.from != edge.to);
        edges.sort_by_key(|edge| (edge.from, edge.to, edge.why));
        let starts =
            (0..=nodes).map(|node| edges.partition_point(|edge| (edge.from as usize) < node)).collect();
        Graph { edges, starts }
    }

    fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    fn out(&self, node: u32) -> &[Edge] {
        &self.edges[self.starts[node as usize]..self.starts[node as usize + 1]]
    }

    /// One cycle for each strongly connected part, the worst first: of writes alone, then of what was read, then with
    /// one read-write edge, then any. Parts that touch a reported one are passed over: it explains them.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<Edge>> {
        let (ww, wr, rw, session) =
            (Why::WriteWrite.bit(), Why::WriteRead.bit(), Why::ReadWrite.bit(), Why::Session.bit());
        let all = ww | wr | rw | session;
        // The common case, for one walk instead of seven.
        if members(&self.parts(all)).is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut told = vec![false; self.nodes()];
        for kinds in [ww, ww | wr, ww | wr | session] {
            self.pass(kinds, &mut told, &mut found, |part, parts| self.shortest(part, parts, kinds));
        }
        let mut steps = 0;
        for kinds in [ww | wr, ww | wr | session] {
            self.pass(kinds | rw, &mut told, &mut found, |part, parts| {
                self.with_one_read_write(part, parts, kinds, &mut steps)
            });
        }
        for kinds in [ww | wr | rw, all] {
            self.pass(kinds, &mut told, &mut found, |part, parts| self.shortest(part, parts, kinds));
        }
        found
    }

    fn pass(
        &self,
        kinds: u8,
        told: &mut [bool],
        found: &mut Vec<Vec<Edge>>,
        mut search: impl FnMut(&[u32], &[u32]) -> Option<Vec<Edge>>,
    ) {
        let parts = self.parts(kinds);
        for part in members(&parts) {
            if part.iter().any(|node| told[*node as usize]) {
                continue;
            }
            if let Some(cycle) = search(&part, &parts) {
                part.iter().for_each(|node| told[*node as usize] = true);
                found.push(cycle);
            }
        }
    }

    /// The number of each node's strongly connected part, over edges of `kinds`.
    fn parts(&self, kinds: u8) -> Vec<u32> {
        let nodes = self.nodes();
        let mut part = vec![NONE; nodes];
        let (mut index, mut low) = (vec![NONE; nodes], vec![NONE; nodes]);
        let (mut next, mut parts) = (0, 0);
        // The nodes seen and not yet given a part; and the way down, each node with its next edge.
        let (mut stack, mut walk) = (Vec::new(), Vec::<(u32, usize)>::new());
        for root in 0..nodes as u32 {
            if index[root as usize] == NONE {
                walk.push((root, 0));
            }
            while let Some((node, at)) = walk.last_mut() {
                let (node, n) = (*node, *node as usize);
                if index[n] == NONE {
                    (index[n], low[n]) = (next, next);
                    next += 1;
                    stack.push(node);
                }
                if let Some(edge) = self.out(node).get(*at) {
                    *at += 1;
                    let to = edge.to as usize;
                    if edge.why.bit() & kinds == 0 {
                        continue;
                    } else if index[to] == NONE {
                        walk.push((edge.to, 0));
                    } else if part[to] == NONE {
                        low[n] = low[n].min(index[to]);
                    }
                    continue;
                }
                walk.pop();
                if let Some((parent, _)) = walk.last() {
                    low[*parent as usize] = low[*parent as usize].min(low[n]);
                }
                if low[n] == index[n] {
                    while let Some(top) = stack.pop() {
                        part[top as usize] = parts;
                        if top == node {
                            break;
                        }
                    }
                    parts += 1;
                }
            }
        }
        part
    }

    /// The shortest cycle through the first node of `part`.
    fn shortest(&self, part: &[u32], parts: &[u32], kinds: u8) -> Option<Vec<Edge>> {
        let start = *part.first()?;
        let first = self.out(start).iter().filter(|edge| self.inside(edge, parts, kinds));
        let ways = first.filter_map(|edge| {
            let mut way = vec![*edge];
            way.extend(self.way(edge.to, start, parts, kinds, &mut 0)?);
            Some(way)
        });
        ways.min_by_key(Vec::len)
    }

    /// A cycle with exactly one read-write edge, the rest of `kinds`, anywhere in `part`.
    fn with_one_read_write(
        &self,
        part: &[u32],
        parts: &[u32],
        kinds: u8,
        steps: &mut u64,
    ) -> Option<Vec<Edge>> {
        for node in part {
            for edge in self.out(*node).iter().filter(|edge| self.inside(edge, parts, Why::ReadWrite.bit())) {
                if *steps > STEPS_MAX {
                    return None;
                }
                if let Some(rest) = self.way(edge.to, *node, parts, kinds, steps) {
                    let mut cycle = vec![*edge];
                    cycle.extend(rest);
                    return Some(cycle);
                }
            }
        }
        None
    }

    fn inside(&self, edge: &Edge, parts: &[u32], kinds: u8) -> bool {
        edge.why.bit() & kinds != 0 && parts[edge.from as usize] == parts[edge.to as usize]
    }

    /// The shortest way from one node to another over edges of `kinds` inside their part.
    fn way(&self, from: u32, to: u32, parts: &[u32], kinds: u8, steps: &mut u64) -> Option<Vec<Edge>> {
        let mut came = BTreeMap::from([(from, None::<Edge>)]);
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                let mut way = Vec::new();
                let mut at = to;
                while let Some(Some(edge)) = came.get(&at) {
                    way.push(*edge);
                    at = edge.from;
                }
                way.reverse();
                return Some(way);
            }
            for edge in self.out(node).iter().filter(|edge| self.inside(edge, parts, kinds)) {
                *steps += 1;
                came.entry(edge.to).or_insert_with(|| {
                    queue.push_back(edge.to);
                    Some(*edge)
                });
            }
        }
        None
    }
}

/// The nodes of each part of two or more.
fn members(parts: &[u32]) -> Vec<Vec<u32>> {
    let mut nodes: Vec<u32> = (0..parts.len() as u32).collect();
    nodes.sort_by_key(|node| parts[*node as usize]);
    let same = nodes.chunk_by(|a, b| parts[*a as usize] == parts[*b as usize]);
    same.filter(|part| part.len() > 1).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0ww1` edges, separated by blanks.
    fn cycles(text: &str) -> Vec<String> {
        let edge = |word: &str| Edge {
            from: word[..1].parse().unwrap(),
            to: word[3..].parse().unwrap(),
            why: match &word[1..3] {
                "ww" => Why::WriteWrite,
                "wr" => Why::WriteRead,
                "rw" => Why::ReadWrite,
                _ => Why::Session,
            },
            key: 0,
            value: 0,
        };
        let graph = Graph::new(10, text.split(' ').map(edge).collect());
        let name = |edge: &Edge| format!("{}{:?}{}", edge.from, edge.why, edge.to);
        graph.cycles().iter().map(|cycle| cycle.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn the_worst_cycle_of_each_part_is_found_and_a_chain_is_none() {
        assert_eq!(cycles("0ww1 1wr2 2rw3 0rw3 3ss4"), Vec::<String>::new());
        assert_eq!(cycles("0ww1 1ww0 1rw2 2rw0"), ["0WriteWrite1 1WriteWrite0"]);
        assert_eq!(cycles("0ww1 1wr2 2ww0"), ["0WriteWrite1 1WriteRead2 2WriteWrite0"]);
        assert_eq!(cycles("0rw1 1ww2 2wr3 3wr0"), ["0ReadWrite1 1WriteWrite2 2WriteRead3 3WriteRead0"]);
        assert_eq!(cycles("0rw1 1rw0"), ["0ReadWrite1 1ReadWrite0"]);
        assert_eq!(cycles("0rw1 1ss0"), ["0ReadWrite1 1Session0"]);
        assert_eq!(
            cycles("0rw1 1rw2 2rw0 2ww1"),
            ["1ReadWrite2 2WriteWrite1"],
            "one read-write edge is worse"
        );
        assert_eq!(cycles("0wr1 1wr0 2rw3 3rw2 1rw2").len(), 2, "two parts, two cycles");
        assert_eq!(cycles("4ww4"), Vec::<String>::new());
    }

    /// Whether each node reaches each other over edges of `kinds`, by brute force.
    fn reach(edges: &[Edge], kinds: u8) -> [[bool; 8]; 8] {
        let mut way = [[false; 8]; 8];
        for edge in edges.iter().filter(|edge| edge.why.bit() & kinds != 0) {
            way[edge.from as usize][edge.to as usize] = true;
        }
        for via in 0..8 {
            for from in 0..8 {
                for to in 0..8 {
                    way[from][to] |= way[from][via] && way[via][to];
                }
            }
        }
        way
    }

    #[test]
    fn what_brute_force_finds_is_found_and_nothing_else() {
        let kinds = [Why::WriteWrite, Why::WriteRead, Why::ReadWrite, Why::Session];
        let [ww, wr, rw, session] = kinds.map(Why::bit);
        let has = |way: [[bool; 8]; 8]| (0..8).any(|node| way[node][node]);
        let mut seen = [0_u32; 5];
        for seed in 0..5_000 {
            let mut chance = world::Chance::from_seed(seed);
            let count = 4 + chance.below(10);
            let edge = |_| {
                let (from, to) = (chance.below(8) as u32, chance.below(8) as u32);
                Edge { from, to, why: kinds[chance.below(4) as usize], key: 0, value: 0 }
            };
            let mut edges: Vec<Edge> = (0..count).map(edge).collect();
            edges.retain(|edge| edge.from != edge.to);
            let found = Graph::new(8, edges.clone()).cycles();
            for cycle in &found {
                let closed = cycle.iter().zip(cycle.iter().cycle().skip(1)).all(|(a, b)| a.to == b.from);
                assert!(closed && cycle.iter().all(|edge| edges.contains(edge)), "seed {seed}: {cycle:?}");
            }
            let rest = reach(&edges, ww | wr | session);
            let single = edges.iter().any(|e| e.why.bit() == rw && rest[e.to as usize][e.from as usize]);
            let of = |kinds: u8, most_rw: usize| {
                let rws = |cycle: &[Edge]| cycle.iter().filter(|edge| edge.why.bit() == rw).count();
                let fits = |cycle: &[Edge]| cycle.iter().all(|edge| edge.why.bit() & (kinds | rw) != 0);
                found.iter().any(|cycle| fits(cycle) && rws(cycle) <= most_rw)
            };
            let (worst, is_told) = if has(reach(&edges, ww)) {
                (0, of(ww, 0))
            } else if has(rest) {
                (1, of(ww | wr | session, 0))
            } else if single {
                (2, of(ww | wr | session, 1))
            } else if has(reach(&edges, ww | wr | rw | session)) {
                (3, !found.is_empty())
            } else {
                (4, found.is_empty())
            };
            assert!(is_told, "seed {seed}, {worst}: {edges:?} {found:?}");
            seen[worst] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    }

    #[test]
    fn a_cycle_as_long_as_the_history_overflows_no_stack() {
        let nodes = 200_000_u32;
        let edge = |from| Edge { from, to: (from + 1) % nodes, why: Why::WriteWrite, key: 0, value: 0 };
        let graph = Graph::new(nodes as usize, (0..nodes).map(edge).collect());
        assert_eq!(graph.cycles()[0].len(), nodes as usize);
    }
}
