//! Whole drills. What is planted must turn the verdict red; what can be saved must be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use drill::{DrillError, Options, Paths, Report, Stage, exit_code, run_report};
use model::{Phase, ServiceName, Status, UnitName, UnitStatus, ZoneName};
use tokio::sync::watch;
use world::Stop;

use crate::fake::{FakeFault, Fakes, How, Wrong};

fn options(fakes: &Fakes) -> Options {
    let (stopper, stop) = Stop::pair();
    // Kept for the whole test: a dropped stopper is a request to stop.
    std::mem::forget(stopper);
    Options {
        rate_rps: 200.0,
        calm_ms: 500,
        event_ms: 1_000,
        settle_ms: 200,
        // Shorter than in earnest, as each drill waits for its last slow page.
        paths: Paths { slow: "/slow?ms=300".to_owned(), ..Paths::default() },
        journals: vec![fakes.folder.clone()],
        ..Options::new(fakes.addresses(), stop)
    }
}

fn drilled(
    name: &str,
    how: How,
    edit: impl FnOnce(&mut Options, &mut FakeFault),
) -> Result<Report, DrillError> {
    let fakes = Fakes::start(name, 3);
    let mut options = options(&fakes);
    let mut fault = FakeFault::new(fakes, how);
    edit(&mut options, &mut fault);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run_report(options, fault, |_| {}))
}

fn wrong(fault: &FakeFault) -> Arc<Wrong> {
    fault.fakes.lock().unwrap().wrong.clone()
}

#[test]
fn a_front_that_dies_costs_only_the_writes_it_held() {
    let report = drilled("dies", How::Kill(&[1]), |options, fault| {
        (options.write_share, options.slow_share) = (0.5, 0.1);
        options.paths = Paths::default();
        wrong(fault).write_ms.store(250, Ordering::Relaxed);
    })
    .unwrap();
    let verdict = &report.verdict;
    assert_eq!(verdict.objectives_met, Some(true), "{:#?}", report.failures);
    assert_eq!(verdict.failed, verdict.unsavable);
    assert!(verdict.unsavable > Some(0), "no write was in flight: the test shows nothing");
    assert_eq!(verdict.unsavable_ids.len() as u64, verdict.unsavable.unwrap());
    assert_eq!((verdict.double_effects, verdict.lost_writes), (Some(0), Some(0)));
    // Slow pages were in flight too, and every one was saved.
    assert!(report.second_front > 0);
    assert_eq!(exit_code(verdict), 0);
    assert!(verdict.acked_writes > Some(100), "{verdict:?}");
}

#[test]
fn a_front_that_freezes_costs_only_the_writes_it_held_and_doubles_none_when_it_thaws() {
    let report = drilled("freezes", How::Freeze(&[1]), |options, fault| {
        options.write_share = 0.5;
        (options.event_ms, options.settle_ms) = (4_000, 1_000);
        wrong(fault).write_ms.store(250, Ordering::Relaxed);
    })
    .unwrap();
    let verdict = &report.verdict;
    assert_eq!(verdict.objectives_met, Some(true), "{:#?}", report.failures);
    assert!(verdict.unsavable > Some(0) && verdict.failed == verdict.unsavable);
    assert_eq!(verdict.double_effects, Some(0));
    // Thawed, it carried out what it held: effects nobody was told of, and no harm.
    assert!(report.passed_over > 0);
}

#[test]
fn a_write_carried_out_twice_or_acknowledged_and_lost_turns_it_red() {
    let doubled = || {
        let report = drilled("double", How::Nothing, |_, fault| {
            fault.after = Some(Box::new(|wrong| wrong.double_every.store(7, Ordering::Relaxed)));
        })
        .unwrap();
        assert!(report.verdict.double_effects > Some(0) && !report.doubled_ids.is_empty());
        assert_eq!((report.verdict.failed, report.verdict.objectives_met), (Some(0), Some(false)));
        assert_eq!(exit_code(&report.verdict), 4);
    };
    let lost = || {
        let report = drilled("lost", How::Nothing, |_, fault| {
            fault.after = Some(Box::new(|wrong| wrong.forget_every.store(7, Ordering::Relaxed)));
        })
        .unwrap();
        assert!(report.verdict.lost_writes > Some(0) && !report.lost_ids.is_empty());
        assert_eq!(exit_code(&report.verdict), 4);
    };
    std::thread::scope(|scope| {
        scope.spawn(doubled);
        scope.spawn(lost);
    });
}

#[test]
fn blaming_the_victim_excuses_what_was_in_flight_and_not_what_fails_two_seconds_later() {
    let held = || {
        let report = drilled("held", How::Nothing, |options, fault| {
            options.write_share = 0.5;
            wrong(fault).write_ms.store(250, Ordering::Relaxed);
            // The next writes to be answered were all in flight at the fault.
            fault.after = Some(Box::new(|wrong| wrong.refuse.store(3, Ordering::Relaxed)));
        })
        .unwrap();
        let verdict = &report.verdict;
        assert_eq!((verdict.failed, verdict.unsavable), (Some(3), Some(3)), "{:#?}", report.failures);
        assert_eq!(verdict.objectives_met, Some(true));
    };
    let late = || {
        let report = drilled("late", How::Nothing, |options, fault| {
            let wrong = wrong(fault);
            options.event_ms = 2_500;
            fault.after = Some(Box::new(move |_| {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(2));
                    wrong.refuse.store(1, Ordering::Relaxed);
                });
            }));
        })
        .unwrap();
        let verdict = &report.verdict;
        assert_eq!((verdict.failed, verdict.unsavable), (Some(1), Some(0)), "{:#?}", report.failures);
        assert_eq!(verdict.objectives_met, Some(false));
        assert!(verdict.failed_after_ms > Some(1_900.0));
        let missed = "1 request that could have been saved failed: an order due 2";
        assert!(verdict.missed[0].starts_with(missed), "{:?}", verdict.missed);
    };
    std::thread::scope(|scope| {
        scope.spawn(held);
        scope.spawn(late);
    });
}

#[test]
fn an_order_of_unknown_outcome_is_excused_at_the_primarys_loss_alone_and_looked_up_in_any_case() {
    let drilled = |name: &str, primary: bool, double: bool| {
        drilled(name, How::Nothing, |options, fault| {
            options.write_share = 0.5;
            fault.primary = primary;
            wrong(fault).write_ms.store(250, Ordering::Relaxed);
            // The next writes to be answered were all in flight at the fault.
            fault.after = Some(Box::new(move |wrong| {
                wrong.forget_the_answer.store(3, Ordering::Relaxed);
                wrong.double_every.store(u64::from(double), Ordering::Relaxed);
            }));
        })
        .unwrap()
    };
    let lost = || {
        let report = drilled("unknown", true, false);
        let verdict = &report.verdict;
        assert_eq!((verdict.failed, verdict.unsavable), (Some(3), Some(3)), "{:#?}", report.failures);
        assert_eq!((report.unknown.orders, report.unknown.done), (3, 3));
        assert_eq!(verdict.objectives_met, Some(true), "{:?}", verdict.missed);
    };
    let kept = || {
        let report = drilled("unknown-kept", false, false);
        assert_eq!((report.verdict.failed, report.verdict.unsavable), (Some(3), Some(0)));
        let missed = &report.verdict.missed;
        assert!(
            missed[0].starts_with("3 requests that could have been saved failed: an order due"),
            "{missed:?}"
        );
    };
    let twice = || {
        let report = drilled("unknown-twice", true, true);
        assert_eq!(report.verdict.unsavable, Some(3));
        assert!(report.verdict.double_effects > Some(3), "those of unknown outcome are counted too");
        assert_eq!(report.verdict.objectives_met, Some(false));
    };
    std::thread::scope(|scope| {
        scope.spawn(lost);
        scope.spawn(kept);
        scope.spawn(twice);
    });
}

#[test]
fn an_answer_to_another_order_is_a_failure_and_effects_that_nobody_counted_have_not_passed() {
    let other = || {
        let report = drilled("other", How::Nothing, |_, fault| {
            fault.after = Some(Box::new(|wrong| wrong.other_id.store(true, Ordering::Relaxed)));
        })
        .unwrap();
        assert!(report.verdict.failed > Some(10));
        assert_eq!(report.verdict.unsavable, Some(0));
    };
    let uncounted = || {
        let report = drilled("uncounted", How::Nothing, |options, _| options.journals.clear()).unwrap();
        assert_eq!((report.verdict.failed, report.verdict.double_effects), (Some(0), None));
        assert_eq!(report.verdict.objectives_met, None);
    };
    std::thread::scope(|scope| {
        scope.spawn(other);
        scope.spawn(uncounted);
    });
}

#[test]
fn a_second_of_standstill_shows_in_the_answer_times_of_all_who_came_meanwhile() {
    let report =
        drilled("stall", How::Stall(&[0, 1, 2], 1_000), |options, _| options.event_ms = 2_500).unwrap();
    let verdict = &report.verdict;
    // A closed loop would have seen three slow requests of hundreds. The open one sees 200, up to a second each.
    assert!(verdict.p99_ms > Some(600.0), "{verdict:?}");
    assert!(verdict.max_ms > Some(900.0), "{verdict:?}");
    assert!(verdict.rto_ms > Some(900.0) && verdict.rto_ms < Some(2_000.0), "{verdict:?}");
    assert!(verdict.calm_p99_ms < Some(400.0), "{verdict:?}");
}

#[test]
fn an_application_that_fails_before_the_fault_is_left_alone() {
    let mut log = None;
    let error = drilled("sick", How::Kill(&[1]), |_, fault| {
        wrong(fault).broken.store(true, Ordering::Relaxed);
        log = Some(fault.log.clone());
    })
    .unwrap_err();
    assert!(matches!(error, DrillError::NotCalm { .. }), "{error}");
    assert!(log.unwrap().lock().unwrap().is_empty(), "something was broken");
}

#[test]
fn a_front_that_is_down_already_is_not_the_drills_finding() {
    let mut log = None;
    let error = drilled("down", How::Kill(&[1]), |_, fault| {
        fault.fakes.lock().unwrap().fronts[2].kill();
        log = Some(fault.log.clone());
    })
    .unwrap_err();
    assert!(matches!(error, DrillError::FrontSilent { .. }), "{error}");
    assert!(log.unwrap().lock().unwrap().is_empty(), "something was broken");
}

#[track_caller]
fn check_safety_limit(name: &str, how: How) {
    let mut log = None;
    let report = drilled(name, how, |options, fault| {
        options.event_ms = 30_000;
        log = Some(fault.log.clone());
    })
    .unwrap();
    assert!(report.verdict.aborted.is_some(), "{name}");
    assert_eq!(report.verdict.objectives_met, Some(false));
    assert_eq!(exit_code(&report.verdict), 5);
    assert_eq!(*log.unwrap().lock().unwrap(), ["inject", "heal"]);
}

#[test]
fn with_everything_down_the_safety_limit_stops_and_heals() {
    std::thread::scope(|scope| {
        scope.spawn(|| check_safety_limit("abort", How::Kill(&[0, 1, 2])));
        // Nothing fails here for ten seconds, as nothing ends: requests that hang count too.
        scope.spawn(|| check_safety_limit("abort-hang", How::Freeze(&[0, 1, 2])));
    });
}

#[test]
fn one_zone_alone_cannot_pass() {
    let fakes = Fakes::start("alone", 1);
    let options = options(&fakes);
    let fault = FakeFault::new(fakes, How::Kill(&[0]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verdict = runtime.block_on(drill::run(options, fault, |_| {})).unwrap();
    assert!(verdict.failed > verdict.unsavable);
    assert_eq!(exit_code(&verdict), 4);
    assert!(
        verdict.missed.iter().any(|m| m.starts_with("no request succeeded any more")),
        "{:?}",
        verdict.missed
    );
}

#[test]
fn whoever_interrupts_a_drill_gets_a_healed_application() {
    let (stopper, stop) = Stop::pair();
    let fakes = Fakes::start("interrupt", 3);
    let options = Options { stop, ..options(&fakes) };
    let fault = FakeFault::new(fakes, How::Freeze(&[1]));
    let log = fault.log.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let progress = |now: drill::Progress| {
        if now.stage == Stage::Event {
            stopper.request();
        }
    };
    let error = runtime.block_on(run_report(options, fault, progress)).unwrap_err();
    assert!(matches!(error, DrillError::Interrupted), "{error}");
    assert_eq!(*log.lock().unwrap(), ["inject", "heal"]);
}

#[test]
fn healing_is_tried_again_and_its_failure_is_said() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let report = drilled("heals", How::Freeze(&[1]), |_, fault| fault.heal_fails = 2).unwrap();
            assert_eq!(report.verdict.objectives_met, Some(true));
        });
        scope.spawn(|| {
            let error = drilled("heals-not", How::Freeze(&[1]), |_, fault| fault.heal_fails = 9).unwrap_err();
            assert!(matches!(error, DrillError::NotHealed(_)), "{error}");
        });
    });
}

#[test]
fn a_fault_that_fails_half_way_is_healed_and_reported() {
    let mut log = None;
    let error = drilled("half", How::Fail, |_, fault| log = Some(fault.log.clone())).unwrap_err();
    assert!(matches!(error, DrillError::Break(_)), "{error}");
    assert_eq!(*log.unwrap().lock().unwrap(), ["inject", "heal"]);
}

#[test]
fn what_cannot_be_done_here_is_not_run_and_not_passed() {
    let report = drilled("impossible", How::Kill(&[1]), |_, fault| {
        fault.impossible = Some("a cut needs root".to_owned());
    })
    .unwrap();
    assert_eq!(report.verdict.not_run.as_deref(), Some("a cut needs root"));
    assert_eq!((report.verdict.failed, report.verdict.objectives_met), (None, None));
    assert_eq!(exit_code(&report.verdict), 1);
}

#[test]
fn the_full_count_is_timed_from_the_fault_to_the_replacement() {
    let unit = |name: &str, pid: u32| UnitStatus {
        name: UnitName::new(name).unwrap(),
        zone: ZoneName::new("a").unwrap(),
        service: ServiceName::new("web").unwrap(),
        state: Phase::Ready,
        role: "replica".to_owned(),
        healthy: true,
        restarts: 0,
        address: None,
        pid: Some(pid),
        detail: String::new(),
    };
    let status = |units: Vec<UnitStatus>| Arc::new(Status { units, ..Status::default() });
    let (sender, receiver) = watch::channel(status(vec![unit("web-1", 1), unit("web-2", 2)]));
    let replaced = status(vec![unit("web-1", 1), unit("web-3", 3)]);
    let report = drilled("count", How::Nothing, |options, fault| {
        options.status = Some(receiver);
        fault.after = Some(Box::new(move |_| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(600));
                sender.send_replace(replaced);
                // Kept, as a status that ends is not what this is about.
                std::mem::forget(sender);
            });
        }));
    })
    .unwrap();
    let full = report.verdict.full_count_ms.unwrap();
    assert!((550.0..1_500.0).contains(&full), "{full}");
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_sent() {
    let edits: &[fn(&mut Options)] = &[
        |o| o.fronts.clear(),
        |o| o.rate_rps = 0.0,
        |o| o.rate_rps = f64::NAN,
        |o| o.rate_rps = 1e9,
        |o| o.write_share = 1.1,
        |o| (o.write_share, o.slow_share) = (0.6, 0.6),
        |o| o.abort_share = 0.0,
        |o| o.event_ms = 0,
        |o| o.event_ms = u64::MAX,
        |o| o.paths.read = "/a b".to_owned(),
        |o| o.paths.write = "orders".to_owned(),
        |o| o.host = Some("x\r\ny: z".to_owned()),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let name = format!("options-{number}");
        let error = drilled(&name, How::Kill(&[0]), |options, _| edit(options)).unwrap_err();
        assert!(matches!(error, DrillError::Options(_)), "{number}: {error}");
    }
}

#[test]
fn the_future_of_a_drill_can_move_between_threads() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let fakes = Fakes::start("send", 1);
    let options = options(&fakes);
    drop(send(run_report(options, FakeFault::new(fakes, How::Nothing), |_| {})));
}
