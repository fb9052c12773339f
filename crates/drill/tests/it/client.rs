//! What the client sends, as its fronts see it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use drill::{Options, Paths, run_report};
use world::Stop;

use crate::fake::{FakeFault, Fakes, How};

#[test]
fn no_body_is_ever_sent_twice_whatever_dies() {
    let fakes = Fakes::start("bodies", 3);
    let bodies: Vec<_> = fakes.fronts.iter().map(|front| front.bodies.clone()).collect();
    fakes.wrong.write_ms.store(250, Ordering::Relaxed);
    let (_stopper, stop) = Stop::pair();
    let options = Options {
        rate_rps: 200.0,
        write_share: 0.6,
        calm_ms: 600,
        event_ms: 4_000,
        settle_ms: 600,
        paths: Paths { slow: "/slow?ms=300".to_owned(), ..Paths::default() },
        journals: vec![fakes.folder.clone()],
        ..Options::new(fakes.addresses(), stop)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report =
        runtime.block_on(run_report(options, FakeFault::new(fakes, How::Freeze(&[0])), |_| {})).unwrap();
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for body in bodies.iter().flat_map(|bodies| bodies.lock().unwrap().clone()) {
        *times.entry(body).or_default() += 1;
    }
    assert!(times.len() > 100);
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(report.verdict.failed > Some(0), "the frozen front held no write: the test shows nothing");
}

#[test]
fn a_front_that_never_asks_for_the_body_gets_none_and_the_failure_is_savable() {
    let fakes = Fakes::start("no-continue", 3);
    let bodies: Vec<_> = fakes.fronts.iter().map(|front| front.bodies.clone()).collect();
    let (_stopper, stop) = Stop::pair();
    let options = Options {
        rate_rps: 50.0,
        calm_ms: 500,
        event_ms: 1_000,
        settle_ms: 0,
        paths: Paths { slow: "/slow?ms=300".to_owned(), ..Paths::default() },
        journals: vec![fakes.folder.clone()],
        ..Options::new(fakes.addresses(), stop)
    };
    let mut fault = FakeFault::new(fakes, How::Nothing);
    let count = {
        let bodies = bodies.clone();
        move || bodies.iter().map(|b| b.lock().unwrap().len()).sum::<usize>()
    };
    let at_fault = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (noted, counted) = (at_fault.clone(), count.clone());
    fault.after = Some(Box::new(move |wrong| {
        wrong.no_continue.store(true, Ordering::Relaxed);
        noted.store(counted(), Ordering::Relaxed);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(run_report(options, fault, |_| {})).unwrap();
    let calm_bodies = at_fault.load(Ordering::Relaxed);
    // One that had been asked for may still have been on its way.
    assert!(count() <= calm_bodies + 2, "{} after {calm_bodies}", count());
    assert!(report.verdict.failed > Some(0));
    assert_eq!(report.verdict.unsavable, Some(0));
    assert!(report.failures.iter().all(|f| f.why.starts_with("no `100 Continue`")), "{:?}", report.failures);
}
