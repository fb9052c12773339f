//! How often the whole is up, exactly: conditioned on which zones live, machines independent given that.
//!
//! Everything is computed as unavailability, as sums of positive terms, so that no digit of a small number
//! is lost to `1 - big`.

/// Hours of the year all figures refer to: 365.25 days.
pub(crate) const HOURS_YEAR: f64 = 8_766.0;

/// Something that fails now and then and is repaired.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// Failures in a year of operation.
    pub per_year: f64,
    /// Mean hours until it is well again.
    pub hours: f64,
}

impl Outage {
    /// Long-run share of time it is down, in 0..1: `r / (1 + r)` with `r` = failure rate times repair time.
    #[must_use]
    pub fn unavailability(self) -> f64 {
        let ratio = self.per_year / HOURS_YEAR * self.hours;
        ratio / (1.0 + ratio)
    }
}

/// What the model assumes about the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priors {
    /// One zone: power, cooling, network of a data centre.
    pub zone: Outage,
    /// One machine.
    pub node: Outage,
    /// A change that breaks every replica at once.
    pub deploy: Outage,
    /// The region with all its zones.
    pub region: Outage,
}

impl Default for Priors {
    fn default() -> Priors {
        Priors {
            zone: Outage { per_year: 0.2, hours: 4.0 },
            node: Outage { per_year: 0.56, hours: 4.0 },
            deploy: Outage { per_year: 4.0, hours: 1.0 / 6.0 },
            region: Outage { per_year: 0.1, hours: 5.0 },
        }
    }
}

/// The machines of one service: in each zone, how many replicas each machine carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Outer: zones in order. Inner: replicas on each machine.
    pub zones: Vec<Vec<u32>>,
    /// Replicas that must be up.
    pub needed: u32,
}

/// Unavailability by cause; the parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Downtime {
    /// Bad deploys.
    pub deploys: f64,
    /// Loss of the region.
    pub region: f64,
    /// At least one zone is down, and what is left is too little.
    pub zones: f64,
    /// All zones are up, but too many machines are down.
    pub machines: f64,
    /// A database is being taken over by another of its nodes.
    pub failovers: f64,
}

impl Downtime {
    /// All causes together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.deploys + self.region + self.zones + self.machines + self.failovers
    }
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

/// The whole: every service and database must have what it needs. They stand on machines of their own, so given the
/// living zones they are independent; through the zones they are not, and that is counted exactly. `failovers`: share
/// of the time in which a database is being taken over, added as if it never met another cause.
pub(crate) fn downtime<'a>(
    services: impl Iterator<Item = &'a Together> + Clone,
    zones: usize,
    priors: &Priors,
    failovers: f64,
) -> Downtime {
    let zone_down = priors.zone.unavailability();
    let all = (1usize << zones) - 1;
    let (mut by_zones, mut by_machines) = (0.0, 0.0);
    for mask in 0..=all {
        let up = mask.count_ones() as i32;
        let weight = zone_down.powi(zones as i32 - up) * (1.0 - zone_down).powi(up);
        let fails = services.clone().fold(0.0, |sum, service| {
            let part = service.fails[mask];
            sum + part - sum * part
        });
        if mask == all { by_machines += weight * fails } else { by_zones += weight * fails }
    }
    let deploys = priors.deploy.unavailability();
    let region = priors.region.unavailability() * (1.0 - deploys);
    let rest = (1.0 - deploys) * (1.0 - priors.region.unavailability());
    Downtime {
        deploys,
        region,
        zones: rest * by_zones,
        machines: rest * by_machines,
        failovers: rest * failovers,
    }
}

#[cfg(test)]
#[path = "availability_tests.rs"]
mod tests;
