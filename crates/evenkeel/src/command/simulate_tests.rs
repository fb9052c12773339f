use plan::Outage;
use plan::chance::{Group, Takeover};

use super::*;

fn app(per_year: f64) -> Application {
    let node = Outage { per_year, hours: 0.5 };
    Application {
        zones: 3,
        zone: Outage { per_year: 0.2, hours: 4.0 },
        host: None,
        groups: vec![Group::quorum("db", 3, 0, node, Takeover { seconds: 2.0, stages: 3 })],
        fleets: Vec::new(),
        pools: Vec::new(),
        shared: Vec::new(),
    }
}

#[track_caller]
fn check(asked: Option<u32>, per_year: f64, years: (u32, u32)) {
    let app = app(per_year);
    assert_eq!(how_many(asked, &app, &years::cases(&app).0, &[]), years);
}

#[test]
fn as_many_years_as_are_asked_and_else_as_many_as_one_waits_for() {
    check(None, 4.0, (100_000, 10_000));
    check(None, 4_000.0, (1_000, 10));
    check(None, 0.0, (100_000, 100_000));
    check(Some(1), 4.0, (1, 1));
    check(Some(500), 4.0, (500, 500));
    check(Some(5_000), 4.0, (5_000, 1_000));
    check(Some(100_000), 4.0, (100_000, 10_000));
    check(Some(10_000_000), 4.0, (10_000_000, 1_000_000));
    check(Some(10_000_000), 4_000.0, (10_000_000, 2_000));
}

#[test]
fn round_numbers_of_years() {
    for (years, rounded) in
        [(0.0, 1), (1.9, 1), (2.0, 2), (49.0, 20), (99_999.0, 50_000), (f64::INFINITY, 1_000_000_000)]
    {
        assert_eq!(round(years), rounded, "{years}");
    }
}
