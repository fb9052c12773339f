use model::{Ingress, Money, RolloutPhase};
use store::{Faults, SimulatedStore};
use world::Clock;

use super::super::fixture;
use super::*;

/// A store and what it says of the rollout.
struct Site {
    store: Store,
    simulated: SimulatedStore,
}

impl Site {
    fn new() -> Site {
        let (store, simulated) = Store::simulated(1, Clock::real(), Faults::default());
        Site { store, simulated }
    }

    async fn rollout(&self) -> Rollout {
        Mirror::once(&self.store).await.unwrap().rollout.unwrap().0
    }

    /// The leader got so far.
    async fn phase(&self, phase: RolloutPhase) {
        let mut rollout = self.rollout().await;
        rollout.phase = phase;
        self.store.put(keys::ROLLOUT, serde_json::to_vec(&rollout).unwrap()).await.unwrap();
    }

    /// The leader goes back to `good`, as it does when plan `failed` does not become healthy.
    async fn back(&self, failed: u64, done: bool) {
        let mut rollout = self.rollout().await;
        let (failed, why) = (PlanNumber(failed), "crashed".to_owned());
        rollout.plan = rollout.good.clone().unwrap();
        rollout.phase = match done {
            true => RolloutPhase::RolledBack { failed, why },
            false => RolloutPhase::RollingBack { failed, why },
        };
        self.store.put(keys::ROLLOUT, serde_json::to_vec(&rollout).unwrap()).await.unwrap();
    }

    /// Applies a plan that listens on `port`; the outcome, and number, parent and good plan in one line.
    async fn apply(&self, port: u16) -> String {
        let applied = apply(&self.store, listening_on(port)).await.unwrap();
        let Rollout { plan, good, phase } = self.rollout().await;
        let number = |plan: Option<PlanNumber>| plan.map_or("-".to_owned(), |number| number.0.to_string());
        let outcome = match applied {
            Applied::Same(number) => format!("same {}", number.0),
            Applied::New(number) => {
                assert_eq!((number, &phase), (plan.number, &RolloutPhase::Rolling));
                let kept = self.store.get(&format!("{}{}", keys::PLANS, number.0)).await.unwrap().unwrap();
                assert_eq!(serde_json::from_slice::<Plan>(&kept.value).unwrap(), plan, "kept for good");
                format!("new {}", number.0)
            }
        };
        let good = good.map(|plan| plan.number);
        format!(
            "{outcome}, parent {}, good {}, port {}",
            number(plan.parent),
            number(good),
            plan.ingress[0].port
        )
    }
}

fn listening_on(port: u16) -> Plan {
    Plan { ingress: vec![fixture::ingress(port, None, "web")], ..fixture::plan(0) }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work);
}

#[test]
fn up_twice_is_harmless() {
    block_on(async {
        let site = Site::new();
        assert_eq!(site.apply(80).await, "new 1, parent -, good -, port 80");
        assert_eq!(site.apply(80).await, "same 1, parent -, good -, port 80");
        let before = site.simulated.revision();
        site.apply(80).await;
        assert_eq!(site.simulated.revision(), before, "nothing is written");
    });
}

#[test]
fn a_change_goes_back_to_the_last_plan_that_was_reached_whole() {
    block_on(async {
        let site = Site::new();
        site.apply(80).await;
        site.phase(RolloutPhase::Reached).await;
        assert_eq!(site.apply(81).await, "new 2, parent 1, good 1, port 81");
        // Plan 2 was never reached, so it is nothing to go back to.
        assert_eq!(site.apply(82).await, "new 3, parent 2, good 1, port 82");
        site.phase(RolloutPhase::Reached).await;
        assert_eq!(site.apply(83).await, "new 4, parent 3, good 3, port 83");
    });
}

#[test]
fn a_plan_that_failed_keeps_its_number() {
    block_on(async {
        let site = Site::new();
        site.apply(80).await;
        site.phase(RolloutPhase::Reached).await;
        site.apply(81).await;
        site.back(2, true).await;
        assert_eq!(site.apply(82).await, "new 3, parent 1, good 1, port 82");
    });
}

#[test]
fn what_is_being_rolled_back_to_can_be_asked_for_anew() {
    block_on(async {
        let site = Site::new();
        site.apply(80).await;
        site.phase(RolloutPhase::Reached).await;
        site.apply(81).await;
        site.back(2, false).await;
        // The file says 80 again while the way back to it is not over: it must end as reached, not as rolled back.
        assert_eq!(site.apply(80).await, "new 3, parent 1, good 1, port 80");
    });
}

#[test]
fn after_a_rollback_the_corrected_file_that_equals_the_good_plan_changes_nothing() {
    block_on(async {
        let site = Site::new();
        site.apply(80).await;
        site.phase(RolloutPhase::Reached).await;
        site.apply(81).await;
        site.back(2, true).await;
        assert_eq!(site.apply(80).await, "same 1, parent -, good 1, port 80");
        // The one that failed may be tried again: what it needed may be there now.
        assert_eq!(site.apply(81).await, "new 3, parent 1, good 1, port 81");
    });
}

#[test]
fn of_two_people_who_apply_in_the_same_moment_one_is_told_to_try_again() {
    block_on(async {
        let site = Site::new();
        // Both read before either has written.
        let far = Faults { delay_ms: (20, 20), ..Faults::default() };
        let (first, second) = (site.simulated.link(far.clone()), site.simulated.link(far));
        let (one, other) = tokio::join!(apply(&first, listening_on(80)), apply(&second, listening_on(81)));
        let told = [&one, &other].map(|outcome| outcome.as_ref().map_err(ToString::to_string).cloned());
        let lost = told.iter().filter_map(|outcome| outcome.as_ref().err()).collect::<Vec<_>>();
        assert_eq!(lost, ["another plan was applied in the same moment; try again"], "{told:?}");
        assert_eq!(site.rollout().await.plan.number, PlanNumber(1));
    });
}

#[test]
fn a_store_that_is_away_is_said_to_be_and_nothing_is_applied() {
    block_on(async {
        let site = Site::new();
        site.simulated.cut(true);
        let error = apply(&site.store, listening_on(80)).await.unwrap_err();
        assert_eq!(error.to_string(), "the store does not answer");
        site.simulated.cut(false);
        assert!(Mirror::once(&site.store).await.unwrap().rollout.is_none());
    });
}

#[test]
fn a_new_price_or_name_restarts_nobody_and_a_new_program_does() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Plan), is_same: bool) {
        let (old, mut new) = (fixture::plan(7), fixture::plan(0));
        change(&mut new);
        assert_eq!(same(&old, &new), is_same);
    }
    check(|_| {}, true);
    check(|plan| plan.usd_month = Money(1), true);
    check(|plan| plan.why = vec!["because".to_owned()], true);
    check(|plan| plan.services[0].version = 2, false);
    check(|plan| plan.services[0].replicas = 3, false);
    check(|plan| plan.ingress[0] = Ingress { any_address: true, ..plan.ingress[0].clone() }, false);
    check(|plan| plan.zones.truncate(2), false);
    check(|plan| plan.region = "other".to_owned(), false);
    check(|plan| plan.objectives.rto.zone = Some(model::Duration(1)), false);
}

#[tokio::test]
async fn plans_do_not_pile_up_and_the_good_one_stays() {
    let site = Site::new();
    site.apply(1).await;
    site.phase(RolloutPhase::Reached).await;
    for port in 2..=60 {
        site.apply(port).await;
    }
    assert_eq!(site.rollout().await.good.unwrap().number, PlanNumber(1));
    let plans = site.store.range(keys::PLANS).await.unwrap().0;
    let has = |number: u64| plans.iter().any(|plan| plan.key == format!("{}{number}", keys::PLANS));
    assert_eq!(plans.len(), kept::PLANS + 1);
    assert!(has(1) && !has(10) && has(11) && has(60));
}

#[test]
fn another_database_is_another_plan() {
    let old = fixture::plan(1);
    let mut new = old.clone();
    let database = model::Database {
        name: model::DatabaseName::new("db").unwrap(),
        postgres: 15,
        storage: model::Bytes(1 << 30),
        standbys: 2,
        auto: false,
        managed: model::Managed::No,
        writes: None,
        witness: false,
        when_alone: model::WhenAlone::Block,
    };
    let (nodes, mode) = (Vec::new(), database.mode());
    new.databases.push(model::PlannedDatabase { database, nodes, mode, version: 1 });
    assert!(!same(&old, &new) && same(&new, &new.clone()));
}
