//! Replicas without state: how likely too few of them are up, given which zones live.
//!
//! Everything is computed as unavailability, as sums of positive terms, so that no digit of a small number
//! is lost to `1 - big`.

/// The machines of one service: in each zone, how many replicas each machine carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Outer: zones in order. Inner: replicas on each machine.
    pub zones: Vec<Vec<u32>>,
    /// Replicas that must be up.
    pub needed: u32,
}

/// Unavailability of parts that are all needed and fail independently.
#[must_use]
pub fn series(parts: &[f64]) -> f64 {
    parts.iter().fold(0.0, |sum, part| sum + part - sum * part)
}

/// Probability that fewer than `needed` of `count` parts are up, each down with probability `down`.
#[must_use]
pub fn too_few(needed: u32, count: u32, down: f64) -> f64 {
    below(&spread(&vec![1; count as usize], down), needed)
}

/// Distribution of the replicas that are up, given that the zone is: index = replicas.
fn spread(machines: &[u32], down: f64) -> Vec<f64> {
    let mut up = vec![1.0];
    for carried in machines.iter().map(|&carried| carried as usize) {
        let mut next = vec![0.0; up.len() + carried];
        for (replicas, probability) in up.iter().enumerate() {
            next[replicas] += probability * down;
            next[replicas + carried] += probability * (1.0 - down);
        }
        up = next;
    }
    up
}

fn below(up: &[f64], needed: u32) -> f64 {
    up.iter().take(needed as usize).sum()
}

fn convolve(left: &[f64], right: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; left.len() + right.len() - 1];
    for (i, a) in left.iter().enumerate() {
        for (j, b) in right.iter().enumerate() {
            sum[i + j] += a * b;
        }
    }
    sum
}

/// For one service: the probability of too few replicas, for each set of living zones.
#[derive(Clone, Debug)]
pub struct Together {
    /// Index: bit `i` set = zone `i` lives.
    pub(crate) fails: Vec<f64>,
}

/// Prepares one service. Zones with equal machines are exchangeable, so only the number of living zones of
/// each kind matters: of the 512 sets of nine zones at most 30 are computed.
#[must_use]
pub fn together(tier: &Tier, node_down: f64) -> Together {
    let mut kinds: Vec<&Vec<u32>> = Vec::new();
    let mut kind_of = Vec::new();
    for zone in &tier.zones {
        let kind = kinds.iter().position(|known| *known == zone).unwrap_or(kinds.len());
        if kind == kinds.len() {
            kinds.push(zone);
        }
        kind_of.push(kind);
    }
    let zone_up: Vec<Vec<f64>> = kinds.iter().map(|machines| spread(machines, node_down)).collect();
    let mut known: std::collections::BTreeMap<Vec<usize>, f64> = std::collections::BTreeMap::new();
    let fails = (0..1usize << tier.zones.len()).map(|mask| {
        let mut living = vec![0; kinds.len()];
        for (zone, kind) in kind_of.iter().enumerate() {
            living[*kind] += mask >> zone & 1;
        }
        *known.entry(living).or_insert_with_key(|living| {
            let mut up = vec![1.0];
            for (kind, times) in living.iter().enumerate() {
                for _ in 0..*times {
                    up = convolve(&up, &zone_up[kind]);
                }
            }
            below(&up, tier.needed)
        })
    });
    Together { fails: fails.collect() }
}

#[cfg(test)]
#[path = "tier_tests.rs"]
mod tests;
