//! What must hold at every step, judged by what really runs.

use std::collections::{BTreeMap, BTreeSet};

use model::{Moment, RolloutPhase, ServiceName, UnitName, Want};

use crate::Action;

use super::cluster::Cluster;
use super::plans;
use super::store::TTL_MS;

/// For so long after a fault a leader may honestly believe what is no longer true: one lease, and what an agent
/// needs to renew it and to write its states.
const BELIEF_MS: u64 = TTL_MS + 700;

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Ready replicas each service has had and no fault has taken, at most what was promised.
    held: BTreeMap<ServiceName, usize>,
    /// The last fault that touched each service.
    touched: BTreeMap<ServiceName, Moment>,
    /// The last fault that touched everything: a zone, the store.
    touched_all: Moment,
    /// Every unit name there ever was.
    names: BTreeSet<UnitName>,
    /// Versions of which a unit has really failed to start.
    pub(super) guilty: BTreeSet<u64>,
    /// The last time a zone's lease came back.
    pub(super) returned: Moment,
}

impl Oracle {
    /// A fault hit one service, or all: what it took is no longer owed.
    pub(super) fn fault(
        &mut self,
        cluster_serving: &BTreeMap<ServiceName, usize>,
        hit: Option<&ServiceName>,
        now: Moment,
    ) {
        match hit {
            Some(service) => {
                self.touched.insert(service.clone(), now);
            }
            None => self.touched_all = now,
        }
        self.forgive(cluster_serving, hit);
    }

    fn forgive(&mut self, serving: &BTreeMap<ServiceName, usize>, hit: Option<&ServiceName>) {
        for (service, held) in &mut self.held {
            if hit.is_none_or(|hit| hit == service) {
                *held = (*held).min(serving.get(service).copied().unwrap_or(0));
            }
        }
    }

    /// After every change: capacity that was there and that no fault took must still be there.
    pub(super) fn capacity(
        &mut self,
        promised: &BTreeMap<ServiceName, usize>,
        serving: &BTreeMap<ServiceName, usize>,
        seen_at: Moment,
    ) -> Result<(), String> {
        self.held.retain(|service, _| promised.contains_key(service));
        for (service, floor) in promised {
            let now = serving.get(service).copied().unwrap_or(0);
            let held = self.held.entry(service.clone()).or_default();
            *held = (*held).min(*floor);
            let touched = self.touched.get(service).copied().unwrap_or_default().max(self.touched_all);
            if now < *held {
                if seen_at.0 >= touched.plus(BELIEF_MS).0 {
                    return Err(format!(
                        "{service} had {held} ready replicas and was taken down to {now} by hand"
                    ));
                }
                *held = now;
            }
            *held = (*held).max(now.min(*floor));
        }
        Ok(())
    }

    /// Before and after an action was done: names, surplus, and honest reasons.
    pub(super) fn action(
        &mut self,
        cluster: &Cluster,
        action: &Action,
        seen_at: Moment,
    ) -> Result<(), String> {
        match action {
            Action::Assign { unit, .. } => {
                if !self.names.insert(unit.name.clone()) {
                    return Err(format!("the name {} was used twice", unit.name));
                }
                let living = |zone| cluster.store.agents.contains_key(zone);
                let service = &unit.service.name;
                let run = cluster.store.units.values().map(|kept| &kept.value).filter(|record| {
                    record.service.name == *service && record.want == Want::Run && living(&record.zone)
                });
                let run = run.count();
                let plan = cluster.store.rollout.as_ref().and_then(|kept| kept.value.plan.service(service));
                let most = plan.map_or(0, |planned| planned.replicas as usize) + 1;
                if run > most && self.returned < seen_at {
                    return Err(format!(
                        "{run} units of {service} were wanted at once; at most {most} are allowed"
                    ));
                }
            }
            Action::SetRollout { rollout } => match &rollout.phase {
                RolloutPhase::RollingBack { failed, why } if self.guilty.is_empty() => {
                    return Err(format!("plan {} was taken back without a failure: {why}", failed.0));
                }
                RolloutPhase::Reached
                    if rollout.plan.services.iter().any(|planned| plans::bad(planned.version)) =>
                {
                    return Err("a version that never starts counts as reached".to_owned());
                }
                _ => {}
            },
            Action::Drain { .. } | Action::Remove { .. } => {}
        }
        Ok(())
    }
}
