//! How fast a vCPU of each CPU is: from what was measured, or from the nearest CPU that was.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::facts::Hand;
use super::tables::CoreMark;

/// Shares of the measured types below low, mid and high. Not the extremes: single runs are up to a third too low.
const SHARES: [f64; 3] = [0.1, 0.5, 0.9];

/// CoreMark per vCPU of every CPU. Burstable types are left out (they were measured in a burst), and bare metal, which
/// has no hypervisor.
pub(super) fn bands(coremark: &CoreMark, hand: &Hand) -> Result<String> {
    let mut measured: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (kind, run) in &coremark.types {
        let Some((cpus, class)) = hand.family("aws", kind) else { continue };
        if let [cpu] = &cpus[..]
            && class != "burstable"
            && !kind.contains("metal")
        {
            measured.entry(cpu).or_default().push(run.iterations_s / f64::from(run.threads));
        }
    }
    let mut known: BTreeMap<&str, ([f64; 3], usize)> = BTreeMap::new();
    for (cpu, mut all) in measured {
        all.sort_by(f64::total_cmp);
        // Nearest rank.
        let at = |share: f64| all[((share * all.len() as f64).ceil() as usize).clamp(1, all.len()) - 1];
        known.insert(cpu, (SHARES.map(at), all.len()));
    }
    let mut text = String::from(
        "# Made by `cargo xtask catalog`. CoreMark iterations per second of one vCPU: 10th, 50th and 90th percentile over the\n\
         # measured AWS types with this CPU (`types` of them; 0: the factors of cpus.csv), without burstable and metal ones.\n\
         [performance]\ncpu,low,mid,high,types\n",
    );
    for cpu in &hand.cpus {
        let (band, types) = match &cpu.like {
            None => match known.get(cpu.id.as_str()) {
                Some(band) => *band,
                None => bail!("cpus.csv: no type with `{}` was measured, and `like` is empty", cpu.id),
            },
            Some((like, factors)) => match known.get(like.as_str()) {
                Some((band, _)) => ([0, 1, 2].map(|i| band[i] * factors[i]), 0),
                None => bail!("cpus.csv: `{}` is like `{like}`, which was not measured either", cpu.id),
            },
        };
        let [low, mid, high] = band;
        text.push_str(&format!("{},{low:.0},{mid:.0},{high:.0},{types}\n", cpu.id));
    }
    Ok(text)
}
