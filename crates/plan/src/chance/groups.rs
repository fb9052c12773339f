//! Common-cause groups: parts that look independent and sometimes fail together (the same firmware, the same rack).
//!
//! A group of `n` members that each fail with probability `q` is replaced by one basic event for each set of members that
//! fails together. The factors are those of NUREG/CR-4780 (1988) and NUREG/CR-5485 (1998).

use super::ChanceError;
use super::structure::{Event, Formula};

/// Most members: each doubles the events.
const MEMBERS_MAX: usize = 10;

/// How the failures of a member are shared out over the sets it fails with.
#[derive(Clone, Debug, PartialEq)]
pub enum Sharing {
    /// A share of the failures takes all members; the others are alone.
    Beta(f64),
    /// Multiple Greek letters: the share of a member's failures that takes at least one more, of those that take at least
    /// two more, and so on; one fewer than there are members.
    Greek(Vec<f64>),
    /// Of all failures, those that take one, two, .. members: as many weights as members, with the sum 1.
    Alpha(Vec<f64>),
}

/// A group, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Expanded {
    /// For each member, the formula that it fails.
    pub members: Vec<Formula>,
    /// Probabilities of the new events, which are numbered from `first` on.
    pub probability: Vec<f64>,
}

/// Takes a group of `members` apart, each of which fails with probability `q`; new events are numbered from `first` on.
///
/// # Errors
/// [`ChanceError::Absurd`] for fewer than 2 or more than 10 members, and for shares that are none.
pub fn expand(members: usize, q: f64, sharing: &Sharing, first: Event) -> Result<Expanded, ChanceError> {
    if !(2..=MEMBERS_MAX).contains(&members) {
        return Err(ChanceError::absurd("the size of a common-cause group", members, "from 2 to 10"));
    }
    if !(0.0..=1.0).contains(&q) {
        return Err(ChanceError::absurd("the probability of a member", q, "from 0 to 1"));
    }
    let by_size = sharing.by_size(members, q)?;
    let mut expanded = Expanded { members: Vec::new(), probability: Vec::new() };
    let mut parts = vec![Vec::new(); members];
    for set in 1_usize..1 << members {
        let probability = by_size[set.count_ones() as usize - 1];
        if probability == 0.0 {
            continue;
        }
        let event = first + expanded.probability.len();
        expanded.probability.push(probability);
        for (member, part) in parts.iter_mut().enumerate() {
            if set >> member & 1 == 1 {
                part.push(Formula::Event(event));
            }
        }
    }
    expanded.members = parts.into_iter().map(Formula::Any).collect();
    Ok(expanded)
}

impl Sharing {
    /// Probability of each particular set, by how many members it has.
    fn by_size(&self, members: usize, q: f64) -> Result<Vec<f64>, ChanceError> {
        self.check(members)?;
        // How many sets of a size hold one given member.
        let holding = |size: usize| choose(members - 1, size - 1);
        let each = |size: usize| match self {
            Sharing::Beta(beta) if size == 1 => (1.0 - beta) * q,
            Sharing::Beta(beta) if size == members => beta * q,
            Sharing::Beta(_) => 0.0,
            Sharing::Greek(letters) => {
                let reaches: f64 = letters[..size - 1].iter().product();
                let stops = letters.get(size - 1).map_or(1.0, |goes_on| 1.0 - goes_on);
                reaches * stops * q / holding(size)
            }
            Sharing::Alpha(weights) => {
                let mean: f64 = weights.iter().enumerate().map(|(i, weight)| (i + 1) as f64 * weight).sum();
                size as f64 * weights[size - 1] / mean * q / holding(size)
            }
        };
        Ok((1..=members).map(each).collect())
    }

    fn check(&self, members: usize) -> Result<(), ChanceError> {
        let (factors, wanted, rule): (&[f64], usize, _) = match self {
            Sharing::Beta(beta) => (std::slice::from_ref(beta), 1, "one factor"),
            Sharing::Greek(letters) => (letters, members - 1, "one fewer than there are members"),
            Sharing::Alpha(weights) => (weights, members, "one for each number of members"),
        };
        if factors.len() != wanted {
            return Err(ChanceError::absurd("the number of factors", factors.len(), rule));
        }
        if let Some(bad) = factors.iter().find(|factor| !(0.0..=1.0).contains(*factor)) {
            return Err(ChanceError::absurd("a common-cause factor", bad, "from 0 to 1"));
        }
        let sum: f64 = factors.iter().sum();
        if matches!(self, Sharing::Alpha(_)) && (sum - 1.0).abs() > 1e-9 {
            return Err(ChanceError::absurd("the sum of the alpha factors", sum, "1"));
        }
        Ok(())
    }
}

fn choose(of: usize, take: usize) -> f64 {
    (0..take).fold(1.0, |ways, step| ways * (of - step) as f64 / (step + 1) as f64)
}
