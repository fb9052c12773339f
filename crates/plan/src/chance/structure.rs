//! General structures: what fails when, as a formula over basic events, and its exact probability.
//!
//! For what the hierarchy of zones and nodes cannot say: a queue or an identity provider that several services share. The
//! formula becomes a binary decision diagram (Bryant, "Graph-based algorithms for Boolean function manipulation", IEEE
//! Trans. Computers 35(8), 1986), so that an event that occurs in several places counts once.
//!
//! Own and small: libraries for this bring threads, caches and reordering that formulas of a hundred events do not need,
//! and need newer compilers or more to build than the rest of this crate.

use std::collections::BTreeMap;

use super::ChanceError;

/// Most nodes of a diagram: some 100 MB and a second.
const NODES_MAX: usize = 1_000_000;

/// Deepest formula, so that no input ends in a full stack.
const DEPTH_MAX: usize = 200;

/// A basic event, by its place in the list of probabilities.
pub type Event = usize;

/// A formula over basic events. Events are failures as a rule, and then the formula is, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// The event happens.
    Event(Event),
    /// All happen; of none: certainly.
    All(Vec<Formula>),
    /// At least one happens; of none: never.
    Any(Vec<Formula>),
    /// At least so many of them happen.
    AtLeast(usize, Vec<Formula>),
    /// It does not happen.
    Not(Box<Formula>),
}

impl Formula {
    /// Depth, unless it is beyond `left`.
    fn depth_within(&self, left: usize) -> bool {
        let below = |parts: &[Formula]| left > 0 && parts.iter().all(|part| part.depth_within(left - 1));
        match self {
            Formula::Event(_) => true,
            Formula::All(parts) | Formula::Any(parts) | Formula::AtLeast(_, parts) => below(parts),
            Formula::Not(part) => below(std::slice::from_ref(part)),
        }
    }
}

/// A place in the diagram; [`NEVER`] and [`ALWAYS`] are its ends.
type Node = u32;
const NEVER: Node = 0;
const ALWAYS: Node = 1;

/// A formula as a diagram, ordered by the numbers of the events.
#[derive(Clone, Debug)]
pub struct Diagram {
    /// Event, and where to go when it does not happen and when it does. The ends have an event beyond all.
    nodes: Vec<(Event, Node, Node)>,
    unique: BTreeMap<(Event, Node, Node), Node>,
    /// Results of if-then-else.
    known: BTreeMap<(Node, Node, Node), Node>,
    top: Node,
}

impl Diagram {
    /// The diagram of `formula`.
    ///
    /// # Errors
    /// [`ChanceError::TooLarge`] for a formula that is too deep, or too entangled in the order of its events.
    pub fn new(formula: &Formula) -> Result<Diagram, ChanceError> {
        if !formula.depth_within(DEPTH_MAX) {
            return Err(ChanceError::TooLarge {
                what: "a formula".to_owned(),
                limit: format!("{DEPTH_MAX} levels"),
                way_out: "flatten it",
            });
        }
        let ends = vec![(usize::MAX, NEVER, NEVER), (usize::MAX, ALWAYS, ALWAYS)];
        let mut diagram =
            Diagram { nodes: ends, unique: BTreeMap::new(), known: BTreeMap::new(), top: NEVER };
        diagram.top = diagram.build(formula)?;
        Ok(diagram)
    }

    /// How many nodes the formula needs, its ends not counted.
    #[must_use]
    pub fn size(&self) -> usize {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = vec![self.top];
        let mut size = 0;
        while let Some(node) = open.pop() {
            if node > ALWAYS && !std::mem::replace(&mut reached[node as usize], true) {
                size += 1;
                let (_, no, yes) = self.nodes[node as usize];
                open.extend([no, yes]);
            }
        }
        size
    }

    /// Probability of the formula; `probability` has one entry for each event. Only adds and multiplies, so that small
    /// probabilities stay exact.
    ///
    /// # Errors
    /// [`ChanceError::Absurd`] for an event without a probability, or one outside 0..=1.
    pub fn probability(&self, probability: &[f64]) -> Result<f64, ChanceError> {
        self.given(probability, None)
    }

    /// By how much the probability of the formula rises when `event` is certain instead of impossible (Birnbaum's
    /// importance): what halving its probability saves is half its probability times this.
    ///
    /// # Errors
    /// As [`Diagram::probability`].
    pub fn importance(&self, probability: &[f64], event: Event) -> Result<f64, ChanceError> {
        Ok(self.given(probability, Some((event, 1.0)))? - self.given(probability, Some((event, 0.0)))?)
    }

    fn given(&self, probability: &[f64], fixed: Option<(Event, f64)>) -> Result<f64, ChanceError> {
        if let Some(bad) = probability.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(ChanceError::absurd("the probability of an event", bad, "from 0 to 1"));
        }
        let mut found = vec![0.0, 1.0];
        // A node is made after those it leads to, so that they are known.
        for &(event, no, yes) in &self.nodes[2..] {
            let Some(&own) = probability.get(event) else {
                return Err(ChanceError::absurd("an event", event, "one of those with a probability"));
            };
            let own = fixed.filter(|(fixed, _)| *fixed == event).map_or(own, |(_, value)| value);
            found.push(own * found[yes as usize] + (1.0 - own) * found[no as usize]);
        }
        Ok(found[self.top as usize])
    }

    fn build(&mut self, formula: &Formula) -> Result<Node, ChanceError> {
        match formula {
            Formula::Event(event) => self.node(*event, NEVER, ALWAYS),
            Formula::All(parts) => parts.iter().try_fold(ALWAYS, |all, part| {
                let part = self.build(part)?;
                self.choose(part, all, NEVER)
            }),
            Formula::Any(parts) => parts.iter().try_fold(NEVER, |any, part| {
                let part = self.build(part)?;
                self.choose(part, ALWAYS, any)
            }),
            Formula::AtLeast(least, parts) => self.at_least(*least, parts),
            Formula::Not(part) => {
                let part = self.build(part)?;
                self.choose(part, NEVER, ALWAYS)
            }
        }
    }

    fn at_least(&mut self, least: usize, parts: &[Formula]) -> Result<Node, ChanceError> {
        if least > parts.len() {
            return Ok(NEVER);
        }
        // `have[k]`: at least k of those so far.
        let mut have = vec![NEVER; least + 1];
        have[0] = ALWAYS;
        for part in parts {
            let part = self.build(part)?;
            for count in (1..=least).rev() {
                have[count] = self.choose(part, have[count - 1], have[count])?;
            }
        }
        Ok(have[least])
    }

    fn node(&mut self, event: Event, no: Node, yes: Node) -> Result<Node, ChanceError> {
        if no == yes {
            return Ok(no);
        }
        if let Some(&known) = self.unique.get(&(event, no, yes)) {
            return Ok(known);
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(ChanceError::TooLarge {
                what: "the diagram of a formula".to_owned(),
                limit: format!("{NODES_MAX} nodes"),
                way_out: "number events that belong together one after the other, or leave some out",
            });
        }
        let node = self.nodes.len() as Node;
        self.nodes.push((event, no, yes));
        self.unique.insert((event, no, yes), node);
        Ok(node)
    }

    /// If `test` then `yes` else `no`.
    fn choose(&mut self, test: Node, yes: Node, no: Node) -> Result<Node, ChanceError> {
        match test {
            ALWAYS => return Ok(yes),
            NEVER => return Ok(no),
            _ if yes == no => return Ok(yes),
            _ if (yes, no) == (ALWAYS, NEVER) => return Ok(test),
            _ => {}
        }
        if let Some(&known) = self.known.get(&(test, yes, no)) {
            return Ok(known);
        }
        let first = [test, yes, no].map(|node| self.nodes[node as usize].0).into_iter().min().unwrap_or(0);
        let side = |node: Node, happens: bool| match self.nodes[node as usize] {
            (event, no, yes) if event == first => {
                if happens {
                    yes
                } else {
                    no
                }
            }
            _ => node,
        };
        let with = [test, yes, no].map(|node| side(node, true));
        let without = [test, yes, no].map(|node| side(node, false));
        // No deeper than there are events, as each call goes on behind `first`.
        let with = self.choose(with[0], with[1], with[2])?;
        let without = self.choose(without[0], without[1], without[2])?;
        let found = self.node(first, without, with)?;
        self.known.insert((test, yes, no), found);
        Ok(found)
    }
}

#[cfg(test)]
#[path = "structure_tests.rs"]
mod tests;
