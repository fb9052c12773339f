use model::{AgentRecord, Phase, Rollout, RolloutPhase, UnitState};
use store::{Faults, SimulatedStore};
use world::{Chance, Stopper};

use super::*;

/// Time is paused: everything below happens in virtual time.
struct Bench {
    clock: Clock,
    simulated: SimulatedStore,
    store: Store,
    stoppers: Vec<Stopper>,
    standings: Vec<watch::Receiver<Standing>>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

impl Bench {
    fn new() -> Bench {
        let clock = Clock::real();
        let (store, simulated) = Store::simulated(7, clock.clone(), Faults::default());
        Bench { clock, simulated, store, stoppers: vec![], standings: vec![], running: vec![] }
    }

    fn candidate(&mut self, name: &str, faults: Faults) {
        let (stopper, stop) = Stop::pair();
        let (standing, seen) = watch::channel(Standing::default());
        let options = LeadOptions { zone: zone(name), pid: 1 };
        let link = self.simulated.link(faults);
        self.stoppers.push(stopper);
        self.standings.push(seen);
        self.running.push(tokio::spawn(lead(options, link, self.clock.clone(), stop, standing)));
    }

    async fn agent(&self, name: &str) {
        let address = "127.0.0.1".parse().unwrap();
        let record = AgentRecord { zone: zone(name), pid: 1, incarnation: 1, address, console: None };
        self.store.put(format!("{}{name}", keys::AGENTS), json(&record)).await.unwrap();
    }

    async fn apply(&self, replicas: u32) {
        let zones = [zone("a"), zone("b"), zone("c")];
        let mut plan = crate::sim::first_plan(&zones, &mut Chance::from_seed(1));
        plan.services.truncate(1);
        plan.services[0].replicas = replicas;
        let rollout = Rollout { plan, good: None, phase: RolloutPhase::Rolling };
        self.store.put(keys::ROLLOUT, json(&rollout)).await.unwrap();
    }

    async fn units(&self) -> Vec<UnitRecord> {
        let (entries, _) = self.store.range(keys::UNITS).await.unwrap();
        entries.iter().map(|entry| serde_json::from_slice(&entry.value).unwrap()).collect()
    }

    /// Says for every unit that it is ready, as its agent would.
    async fn all_ready(&self) {
        for unit in self.units().await {
            let state = UnitState {
                name: unit.name.clone(),
                zone: unit.zone.clone(),
                service: unit.service.name.clone(),
                version: unit.version,
                phase: Phase::Ready,
                address: None,
                pid: None,
                restarts: 0,
                detail: String::new(),
            };
            self.store
                .put(format!("{}{}/{}", keys::STATES, unit.zone, unit.name), json(&state))
                .await
                .unwrap();
        }
    }

    fn leaders(&self) -> usize {
        self.standings.iter().filter(|seen| seen.borrow().leading).count()
    }

    async fn wait(&self, ms: u64) {
        self.clock.sleep_ms(ms).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_three_leads_and_places_every_replica() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.agent(name).await;
        bench.candidate(name, Faults::default());
    }
    bench.apply(5).await;
    bench.wait(600).await;
    assert_eq!(bench.leaders(), 1);
    let units = bench.units().await;
    let placed: Vec<String> = units.iter().map(|unit| format!("{} in {}", unit.name, unit.zone)).collect();
    assert_eq!(placed, ["web-1 in a", "web-2 in b", "web-3 in c", "web-4 in a", "web-5 in b"]);
    bench.all_ready().await;
    bench.wait(600).await;
    let rollout = bench.store.get(keys::ROLLOUT).await.unwrap().unwrap();
    let rollout: Rollout = serde_json::from_slice(&rollout.value).unwrap();
    assert_eq!(rollout.phase, RolloutPhase::Reached);
    let calm = bench.simulated.revision();
    bench.wait(5_000).await;
    assert_eq!(bench.simulated.revision(), calm, "nothing is written in calm");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_loses_the_store_steps_down_before_another_leads() {
    let mut bench = Bench::new();
    let now = bench.clock.now();
    let away = Faults { unavailable: vec![(now.plus(3_000), now.plus(9_000))], ..Faults::default() };
    bench.candidate("a", away);
    bench.wait(500).await;
    bench.candidate("b", Faults::default());
    let mut led = (false, false);
    for _ in 0..1_200 {
        bench.wait(10).await;
        let (a, b) = (bench.standings[0].borrow().leading, bench.standings[1].borrow().leading);
        assert!(!(a && b), "two lead");
        led = (led.0 || a, led.1 || b);
        if bench.clock.now() < now.plus(3_000) && bench.clock.now() > now.plus(600) {
            assert!(a);
        }
        if bench.clock.now() > now.plus(3_000 + TTL_MS + 500) {
            assert!(b, "the other one must lead one lease later");
        }
    }
    assert_eq!(led, (true, true));
}

#[tokio::test(start_paused = true)]
async fn what_an_old_leader_still_sends_is_refused() {
    let mut bench = Bench::new();
    bench.agent("a").await;
    bench.apply(1).await;
    bench.candidate("a", Faults::default());
    bench.wait(600).await;
    let old = bench.store.get(keys::LEADER).await.unwrap().unwrap().modified;
    let (entries, _) = bench.store.range("").await.unwrap();
    let view = Mirror::new(entries).view();
    bench.stoppers[0].request();
    bench.candidate("b", Faults::default());
    bench.wait(600).await;
    assert!(bench.standings[1].borrow().leading, "the lead is handed over at once");
    let drain = Action::Drain { unit: view.units[0].value.name.clone() };
    let stale = Batch { token: old, written: BTreeMap::new() }.txn(&drain, &view).unwrap();
    assert!(!bench.store.txn(stale).await.unwrap().done);
    let new = bench.store.get(keys::LEADER).await.unwrap().unwrap().modified;
    let fresh = Batch { token: new, written: BTreeMap::new() }.txn(&drain, &view).unwrap();
    assert!(bench.store.txn(fresh).await.unwrap().done, "only the token was wrong");
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_replies_neither_double_nor_lose_a_replica() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.agent(name).await;
        bench.candidate(
            name,
            Faults { lost_request: 0.1, lost_reply: 0.2, delay_ms: (1, 30), unavailable: vec![] },
        );
    }
    bench.apply(7).await;
    bench.wait(60_000).await;
    let units = bench.units().await;
    assert_eq!(units.len(), 7);
    for name in ["a", "b", "c"] {
        assert!(units.iter().filter(|unit| unit.zone == zone(name)).count() >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_nobody_can_read_is_left_alone() {
    let mut bench = Bench::new();
    bench.agent("a").await;
    bench.store.put(format!("{}web-9", keys::UNITS), "not json").await.unwrap();
    bench.store.put(format!("{}A/b", keys::AGENTS), "{}").await.unwrap();
    bench.store.put(format!("{}web", keys::COUNTERS), "-1").await.unwrap();
    bench.apply(2).await;
    bench.candidate("a", Faults::default());
    bench.wait(1_000).await;
    assert_eq!(bench.leaders(), 1);
    assert!(bench.store.get(&format!("{}web-9", keys::UNITS)).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_state_of_the_loop() {
    let mut bench = Bench::new();
    bench.candidate("a", Faults::default());
    bench.wait(300).await;
    bench.candidate("b", Faults::default());
    bench.wait(300).await;
    bench.simulated.cut(true);
    bench.candidate("c", Faults::default());
    bench.wait(100).await;
    for stopper in &bench.stoppers {
        stopper.request();
    }
    let mut ended = 0;
    for running in std::mem::take(&mut bench.running) {
        assert!(tokio::time::timeout(std::time::Duration::from_secs(2), running).await.is_ok());
        ended += 1;
    }
    assert_eq!(ended, 3);
}
