use super::*;

#[track_caller]
fn check(need: (Option<u32>, u32, u32), zones: u32, survive: Survive, expected: (u32, u32, u32)) {
    let (peak, min, max) = need;
    let size = Need { peak, min, max }.size(zones, 0, survive, 1);
    assert_eq!((size.needed, size.replicas, size.base), expected);
}

#[test]
fn what_is_needed_at_peak_remains_after_the_fullest_zone_is_lost() {
    check((Some(3), 1, 99), 3, Survive::Zone, (3, 5, 5));
    check((Some(4), 1, 99), 3, Survive::Zone, (4, 6, 6));
    check((Some(4), 1, 99), 2, Survive::Zone, (4, 8, 8));
    check((Some(1), 1, 99), 3, Survive::Zone, (1, 2, 2));
    check((Some(3), 1, 99), 3, Survive::Node, (3, 4, 4));
    check((Some(3), 6, 99), 3, Survive::Zone, (3, 6, 6));
    check((Some(3), 1, 99), 3, Survive::Nothing, (3, 3, 3));
    for (peak, zones) in (1..40).flat_map(|peak| (2..=9).map(move |zones| (peak, zones))) {
        let size = Need { peak: Some(peak), min: 1, max: 1_000 }.size(zones, 0, Survive::Zone, 1);
        let left = |replicas: u32| replicas - replicas.div_ceil(zones);
        assert!(left(size.replicas) >= peak && left(size.replicas - 1) < peak, "{peak} over {zones}");
    }
}

#[test]
fn scale_max_is_kept_and_what_it_forbids_is_known() {
    check((Some(4), 1, 5), 3, Survive::Zone, (4, 5, 6));
}

#[test]
fn without_a_load_the_smallest_scale_is_taken_to_include_the_reserve() {
    check((None, 3, 9), 3, Survive::Zone, (2, 3, 3));
    check((None, 1, 9), 3, Survive::Zone, (1, 2, 2));
    check((None, 3, 9), 3, Survive::Nothing, (3, 3, 3));
    check((None, 2, 9), 1, Survive::Zone, (2, 2, 2));
}
