//! A simulated cluster in virtual time: the same [`decide`](crate::decide) that runs in production, under faults
//! drawn from a seed.
//!
//! Zones die, freeze with their processes alive, and lose the store; the store goes away; the leader changes
//! between any two actions; replies get lost after the action was done or not done; units crash, start slowly, or
//! have a version that never becomes well; meanwhile somebody applies new plans. The oracle looks at what
//! really runs, never at what the leader believes. Then all faults end and everything must come to rest.
//!
//! The same seed gives the same [`Report::trace`].

mod cluster;
mod oracle;
mod plans;
mod store;
#[cfg(test)]
mod tests;
mod timed;

use model::Moment;
use world::Chance;

use crate::{Action, Memory, View};

use cluster::Cluster;

pub use timed::{Gap, Pace, Timed};

/// Length of one step; nothing in the simulation is finer.
pub const STEP_MS: u64 = 100;

/// What decides: [`crate::decide`], or a broken copy of it in a test of the oracle.
pub type Decide<'a> = dyn FnMut(&View, &mut Memory, Moment) -> Vec<Action> + 'a;

/// How long the phases of a run are, in virtual milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Faults and new plans happen this long.
    pub faults_ms: u64,
    /// After the last fault everything must be in place within this time. The longest honest way: a bad version
    /// is given up (20 s), nine replicas are rolled back one by one (4 s each), zones settle (10 s) and are
    /// filled again one replica at a time (4 s each).
    pub heal_ms: u64,
    /// In place, nothing may be done for this long.
    pub calm_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { faults_ms: 60_000, heal_ms: 150_000, calm_ms: 25_000 }
    }
}

#[cfg(test)]
pub(crate) fn first_plan(zones: &[model::ZoneName], chance: &mut Chance) -> model::Plan {
    plans::first(zones, chance).unwrap()
}

/// What a run that kept every promise looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened, in order.
    pub trace: u64,
    /// Actions that were carried out.
    pub actions: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Rollouts that were reached.
    pub reached: u64,
    /// Rollouts that were taken back.
    pub rolled_back: u64,
    /// From the end of the faults, or the return of the last zone, until everything was in place, in virtual milliseconds.
    pub healed_ms: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The seed that shows it.
    pub seed: u64,
    /// When, in virtual time.
    pub at: Moment,
    /// Which promise, and how.
    pub what: String,
    /// The last things that happened before, oldest first.
    pub before: Vec<String>,
}

/// Plays one seed.
///
/// # Errors
/// [`Broken`] for the first promise that is not kept.
pub fn run(seed: u64, options: &Options, decide: &mut Decide<'_>) -> Result<Report, Broken> {
    let mut cluster = Cluster::new(Chance::from_seed(seed));
    let broken = |cluster: &Cluster, what: String| Broken {
        seed,
        at: cluster.now,
        what,
        before: cluster.log.iter().cloned().collect(),
    };
    while cluster.now.0 < options.faults_ms {
        cluster.disturb();
        cluster.step(decide).map_err(|what| broken(&cluster, what))?;
    }
    cluster.heal();
    let mut healed_ms = come_to_rest(&mut cluster, options, decide).map_err(|what| broken(&cluster, what))?;
    if cluster.revive() {
        let again = come_to_rest(&mut cluster, options, decide).map_err(|what| broken(&cluster, what))?;
        healed_ms = healed_ms.max(again);
    }
    Ok(Report { healed_ms, ..cluster.report() })
}

/// Goes on without faults until everything is in place and stays so; how long that took, in milliseconds.
fn come_to_rest(cluster: &mut Cluster, options: &Options, decide: &mut Decide<'_>) -> Result<u64, String> {
    let healed = cluster.now;
    let mut rested: Option<Moment> = None;
    loop {
        cluster.step(decide)?;
        if cluster.acted_at.is_some_and(|at| rested.is_some_and(|since| at >= since)) {
            return Err("everything was in place, and still something was done".to_owned());
        }
        match (cluster.unfinished(), rested) {
            (None, None) => rested = Some(cluster.now.plus(STEP_MS)),
            (None, Some(since)) if cluster.now.ms_since(since) >= options.calm_ms => {
                return Ok(since.ms_since(healed));
            }
            (Some(what), Some(_)) => return Err(format!("the calm did not last: {what}")),
            (Some(what), None) if cluster.now.ms_since(healed) > options.heal_ms => {
                return Err(format!("not in place {} ms after the last fault: {what}", options.heal_ms));
            }
            _ => {}
        }
    }
}
