use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::conformance::{self, Broken, Factory};
use crate::{Op, Txn};

struct Simulation {
    clock: Clock,
    seed: AtomicU64,
    faults: Faults,
    /// A planted bug: time does not reach the leases, and history is not dropped.
    stands_still: bool,
}

impl Simulation {
    fn new(faults: Faults) -> Simulation {
        Simulation { clock: Clock::real(), seed: AtomicU64::new(1), faults, stands_still: false }
    }
}

impl Factory for Simulation {
    async fn open(&self) -> Store {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let history = History { events: 64, ..History::default() };
        SimulatedStore::with_history(seed, self.clock.clone(), history).link(self.faults.clone())
    }

    async fn pass_ms(&self, ms: u64) {
        if !self.stands_still {
            self.clock.sleep_ms(ms).await;
        }
    }

    async fn forget(&self, store: &Store) {
        for _ in 0..if self.stands_still { 0 } else { 70 } {
            store.put("k", "again").await.unwrap();
        }
    }

    async fn open_lossy(&self) -> Option<(Store, Store)> {
        let (sound, simulated) = Store::simulated(1, self.clock.clone(), Faults::default());
        Some((sound, simulated.link(Faults { lost_reply: 1.0, ..Faults::default() })))
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_store_conforms_at_any_speed_of_its_link() {
    for delay_ms in [(0, 0), (1, 20)] {
        for (name, outcome) in
            conformance::all(&Simulation::new(Faults { delay_ms, ..Faults::default() })).await
        {
            assert_eq!(outcome, Some(Ok(())), "{name}, delay {delay_ms:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_suite_notices_a_store_that_does_not_conform() {
    let broken = |outcome: Result<(), Broken>| outcome.unwrap_err().rule;
    let slow = Simulation { stands_still: true, ..Simulation::new(Faults::default()) };
    assert_eq!(
        broken(conformance::watch_compacted(&slow).await),
        "a watch from a forgotten revision is refused"
    );
    assert_eq!(broken(conformance::lease_keep_alive(&slow).await), "a lease left alone ends");
    let deaf = Simulation::new(Faults { lost_request: 1.0, ..Faults::default() });
    assert_eq!(broken(conformance::put_get_delete(&deaf).await), "a sound store answers");
}

fn put(key: &str, value: &str) -> Txn {
    let value = value.as_bytes().to_vec();
    Txn { compare: vec![], then: vec![Op::Put { key: key.to_owned(), value, lease: None }] }
}

/// What one run of three unlucky clients does, in words.
async fn trace(seed: u64) -> Vec<String> {
    let clock = Clock::real();
    let start = clock.now();
    let (_, simulated) = Store::simulated(seed, clock.clone(), Faults::default());
    let faults = Faults { lost_request: 0.2, lost_reply: 0.2, delay_ms: (0, 30), unavailable: vec![] };
    let clients: Vec<Store> = (0..3).map(|_| simulated.link(faults.clone())).collect();
    let mut trace = Vec::new();
    for round in 0..30 {
        let client = &clients[round % 3];
        let outcome = client.txn(put(&format!("k{}", round % 5), "v")).await;
        let said = match outcome {
            Ok(reply) => format!("{}", reply.revision),
            Err(error) => format!("{:?}", error.class()),
        };
        trace.push(format!("{} {said}", clock.now().ms_since(start)));
    }
    trace
}

#[tokio::test(start_paused = true)]
async fn a_seed_tells_the_same_story_twice() {
    let first = trace(5).await;
    assert_eq!(first, trace(5).await);
    assert_ne!(first, trace(6).await);
    assert!(first.iter().any(|line| line.ends_with("Unknown")), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_was_after_the_store_was_cut_off_and_loses_nothing() {
    let (store, simulated) = Store::simulated(3, Clock::real(), Faults::default());
    let mut watch = store.watch("", 0).await.unwrap();
    let first = store.put("k", "1").await.unwrap();
    assert_eq!(watch.next().await.unwrap()[0].revision(), first);
    simulated.cut(true);
    let (events, ()) = tokio::join!(watch.next(), async {
        let lost = store.txn(put("k", "2")).await.unwrap_err();
        assert_eq!(lost.class(), Class::Unknown);
        simulated.cut(false);
        store.put("k", "3").await.unwrap();
    });
    assert_eq!(events.unwrap()[0].revision(), first + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_known_not_to_have_done_it() {
    let clock = Clock::real();
    let now = clock.now();
    let faults = Faults { unavailable: vec![(now, now.plus(1_000))], ..Faults::default() };
    let (store, simulated) = Store::simulated(3, clock.clone(), faults);
    assert_eq!(store.put("k", "").await.unwrap_err().class(), Class::Transient);
    clock.sleep_ms(1_000).await;
    assert_eq!(store.put("k", "").await.unwrap(), 2);
    assert_eq!(simulated.revision(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_agent_can_be_cut_off_while_the_others_are_not() {
    let (one, simulated) = Store::simulated(3, Clock::real(), Faults::default());
    let two = simulated.link(Faults::default());
    assert!(simulated.set_faults(&one, Faults { lost_request: 1.0, ..Faults::default() }));
    assert_eq!(one.clone().put("k", "1").await.unwrap_err().class(), Class::Unknown);
    assert_eq!(two.put("k", "2").await.unwrap(), 2);
    assert!(simulated.set_faults(&one, Faults::default()));
    assert_eq!(one.put("k", "3").await.unwrap(), 3);
}
