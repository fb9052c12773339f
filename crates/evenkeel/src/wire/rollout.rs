//! Makes a plan the wanted one: numbered, with its parent, kept beside the last ones.

use anyhow::Context;
use model::{Plan, PlanNumber, Rollout, RolloutPhase, keys};
use store::{Compare, Op, Store, Txn};

use super::kept;
use super::mirror::Mirror;

/// What became of an application.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// The same plan is in force already.
    Same(PlanNumber),
    /// This one is now the wanted one.
    New(PlanNumber),
}

/// Writes `plan` as the wanted one, unless it says what the wanted one says already.
///
/// # Errors
/// When the store does not answer, or another plan was applied in the same moment.
pub async fn apply(store: &Store, mut plan: Plan) -> anyhow::Result<Applied> {
    let mirror = Mirror::once(store).await.context("the store does not answer")?;
    let (old, revision) = match mirror.rollout {
        Some((rollout, revision)) => (Some(rollout), revision),
        None => (None, 0),
    };
    if let Some(old) = &old
        && !matches!(old.phase, RolloutPhase::RollingBack { .. })
        && same(&old.plan, &plan)
    {
        return Ok(Applied::Same(old.plan.number));
    }
    plan.parent = old.as_ref().map(|old| old.plan.number);
    // Above every number ever given: a rolled back plan keeps its own.
    let highest = old.as_ref().map_or(0, highest);
    plan.number = PlanNumber(highest + 1);
    let good = old.and_then(|old| match old.phase {
        RolloutPhase::Reached | RolloutPhase::RolledBack { .. } => Some(old.plan),
        RolloutPhase::Rolling | RolloutPhase::RollingBack { .. } => old.good,
    });
    let number = plan.number;
    let needed: Vec<PlanNumber> = good.iter().map(|good| good.number).chain([number]).collect();
    let plan_text = serde_json::to_vec(&plan)?;
    let rollout = serde_json::to_vec(&Rollout { plan, good, phase: RolloutPhase::Rolling })?;
    let reply = store
        .txn(Txn {
            compare: vec![Compare::Modified { key: keys::ROLLOUT.to_owned(), revision }],
            then: vec![
                Op::Put { key: keys::ROLLOUT.to_owned(), value: rollout, lease: None },
                Op::Put { key: format!("{}{}", keys::PLANS, number.0), value: plan_text, lease: None },
            ],
        })
        .await
        .context("the plan was not written")?;
    anyhow::ensure!(reply.done, "another plan was applied in the same moment; try again");
    let needed: Vec<String> = needed.iter().map(|number| format!("{}{}", keys::PLANS, number.0)).collect();
    kept::prune(store, keys::PLANS, kept::PLANS, &needed).await;
    Ok(Applied::New(number))
}

/// Whether two plans want the same to run; what they cost or were called is not looked at.
pub fn same(old: &Plan, new: &Plan) -> bool {
    let wanted = |plan: &Plan| {
        let places = (plan.provider.clone(), plan.region.clone(), plan.zones.clone());
        let parts = (plan.services.clone(), plan.databases.clone(), plan.ingress.clone());
        (plan.app.clone(), places, parts, plan.objectives.clone())
    };
    wanted(old) == wanted(new)
}

fn highest(rollout: &Rollout) -> u64 {
    let failed = match &rollout.phase {
        RolloutPhase::RollingBack { failed, .. } | RolloutPhase::RolledBack { failed, .. } => failed.0,
        RolloutPhase::Rolling | RolloutPhase::Reached => 0,
    };
    let good = rollout.good.as_ref().map_or(0, |plan| plan.number.0);
    rollout.plan.number.0.max(failed).max(good)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
