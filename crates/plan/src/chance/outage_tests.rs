use super::super::Outage;
use super::super::part::{Common, Fleet, Group, Takeover};
use super::super::whole::tests::golden;
use super::*;

#[track_caller]
fn close(value: f64, expected: f64, relative: f64) {
    let error = (value / expected - 1.0).abs();
    assert!(error <= relative, "{value:e} is not {expected:e} (relative error {error:e})");
}

fn seconds(seconds: f64) -> f64 {
    seconds / 3_600.0
}

/// Phase-type tails by matrix exponential elsewhere.
#[test]
fn outages_and_their_lengths_are_the_golden_ones() {
    let mut app = golden(3, 2, 2, &[], 0);
    let shared = std::mem::take(&mut app.shared);
    let outages = Outages::new(&app).unwrap();
    assert_eq!(outages.counting, Counting::Exact { states: 256 });
    close(outages.per_year(), 8.414_14, 5e-7);
    let minute = outages.longer(seconds(60.0)).unwrap();
    close(minute.share, 0.097_06, 5e-5);
    close(minute.per_year, 0.816_7, 5e-5);
    close(minute.in_a_year, 0.558, 5e-4);
    close(outages.longer(seconds(120.0)).unwrap().per_year, 0.134, 5e-3);
    close(outages.longer(seconds(300.0)).unwrap().per_year, 0.003_5, 2e-2);
    // With all causes: 4.536 a year last longer than a minute.
    app.shared = shared;
    close(Outages::new(&app).unwrap().longer(seconds(60.0)).unwrap().per_year, 4.536, 5e-4);
    // With the web machines in the chain.
    let mut app = golden(3, 2, 2, &[2, 2, 2], 4);
    app.shared.clear();
    close(Outages::new(&app).unwrap().per_year(), 8.427_6, 6e-6);
}

/// What is down is as long as it is often: frequency times mean length is the unavailability.
#[test]
fn the_lengths_add_up_to_the_downtime() {
    let mut app = golden(2, 2, 1, &[1, 2], 2);
    app.shared.clear();
    app.zone.hours = 0.5;
    app.groups[0].takeover = Some(Takeover { seconds: 300.0, stages: 3 });
    let outages = Outages::new(&app).unwrap();
    // Integral of the tail, by Simpson's rule in pieces that widen.
    let mut total = 0.0;
    let (mut from, mut width) = (0.0, seconds(2.0));
    let tail = |hours| outages.longer(hours).unwrap().per_year;
    while from < 12.0 {
        total += width / 6.0 * (tail(from) + 4.0 * tail(from + width / 2.0) + tail(from + width));
        from += width;
        width = (width * 1.1).min(0.25);
    }
    close(total / HOURS_YEAR, app.availability().unwrap().application.get(), 1e-5);
}

#[test]
fn regular_takeovers_break_an_objective_seldom_that_is_well_above_their_mean() {
    let app = |stages| {
        let mut app = golden(3, 2, 2, &[], 0);
        app.shared.clear();
        app.groups.truncate(1);
        app.groups[0].takeover = Some(Takeover { seconds: 35.0, stages });
        Outages::new(&app).unwrap()
    };
    let longer = |stages| app(stages).longer(seconds(60.0)).unwrap().per_year;
    let by_stages: Vec<f64> = [1, 3, 10, 64].into_iter().map(longer).collect();
    assert!(by_stages.is_sorted_by(|a, b| a > b), "{by_stages:?}");
    assert!(by_stages[0] > 30.0 * by_stages[3], "{by_stages:?}");
    // Well below the mean it is the other way round.
    assert!(app(64).longer(seconds(20.0)).unwrap().share > app(1).longer(seconds(20.0)).unwrap().share);
}

#[test]
fn counting_apart_is_never_below_the_joint_count() {
    let mut app = golden(3, 2, 2, &[2, 2, 2], 4);
    app.shared.clear();
    let joint = Outages::new(&app).unwrap();
    // A third group makes the joint chain too large; one that never fails changes nothing else.
    let never = Outage { per_year: 0.0, hours: 0.0 };
    let takeover = Takeover { seconds: 10.0, stages: 1 };
    app.groups.push(Group::quorum("queue", 7, 0, never, takeover));
    app.fleets.push(Fleet::spread("mail", 2, &[1, 1, 1], Outage { per_year: 1.0, hours: 0.1 }));
    app.fleets[1].machine = never;
    let apart = Outages::new(&app).unwrap();
    assert!(matches!(apart.counting, Counting::Apart { .. }), "{:?}", apart.counting);
    for hours in [0.0, seconds(60.0), 1.0] {
        let (apart, joint) = (apart.longer(hours).unwrap().per_year, joint.longer(hours).unwrap().per_year);
        assert!(apart >= joint * (1.0 - 1e-9), "{apart} {joint}");
        // What takes down both groups is counted for each.
        assert!(apart <= joint * 2.0, "{apart} {joint}");
    }
}

#[test]
fn outages_are_told_apart_by_what_they_begin_with() {
    let mut app = golden(3, 2, 2, &[2, 2, 2], 5);
    app.shared.push(Common { name: "human error".into(), outage: Outage { per_year: 0.15, hours: 2.0 } });
    let outages = Outages::new(&app).unwrap();
    let after = |trigger| outages.longer_after(|t| t == trigger, 0.0).unwrap().per_year;
    // Five of six: each lost zone is an outage; a first lost machine is none.
    close(after(Trigger::Zone), 0.6, 1e-2);
    close(after(Trigger::Shared(0)), 4.0, 1e-2);
    close(after(Trigger::Shared(2)), 0.15, 1e-2);
    let sum: f64 = [Trigger::Node, Trigger::Zone].map(after).iter().sum::<f64>();
    close(sum + (0..3).map(|i| after(Trigger::Shared(i))).sum::<f64>(), outages.per_year(), 1e-12);
    // The primary of two nodes is lost 4.26 times a year; some are back before another takes over.
    let taken = outages.takeovers_per_year(0);
    assert!(taken > 4.1 && taken < 4.26, "{taken}");
    assert!(outages.longer(f64::NAN).is_err() && outages.longer(-1.0).is_err());
}
