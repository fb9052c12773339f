use super::*;

#[track_caller]
fn check(need: (Option<u32>, u32, u32), zones: u32, survive: Survive, expected: (u32, u32, u32)) {
    let (peak, min, max) = need;
    let peak = peak.map_or(Peak::Unsaid, Peak::Replicas);
    let size = Need { load: None, min, max }.size(peak, zones, 0, survive, 1);
    assert_eq!((size.needed, size.replicas, size.base), expected);
}

fn sized(peak: u32, zones: u32, spare: u32, survive: Survive, slots: u32) -> Size {
    Need { load: None, min: 1, max: 1_000 }.size(Peak::Replicas(peak), zones, spare, survive, slots)
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
        let size = sized(peak, zones, 0, Survive::Zone, 1);
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

#[test]
fn the_fullest_machine_is_what_a_loss_takes_and_spare_replicas_keep_the_reserve() {
    // Four on one machine of four would all be gone with it; five are three and two.
    assert_eq!(sized(3, 1, 0, Survive::Node, 4).replicas, 6);
    assert_eq!(sized(3, 2, 0, Survive::Node, 4).replicas, 6);
    assert_eq!(sized(3, 2, 0, Survive::Zone, 64).replicas, 6, "a machine is in one zone");
    for (peak, zones, slots) in
        (1..20).flat_map(|p| (1..=4).flat_map(move |z| (1..9).map(move |s| (p, z, s))))
    {
        for spare in 0..=4 {
            let size = sized(peak, zones, spare, Survive::Node, slots);
            let left = size.replicas - fullest_machine(size.replicas, zones, slots);
            assert!(left >= peak, "{size:?} over {zones} zones, {slots} a machine");
        }
    }
}

#[test]
fn a_slower_cpu_needs_more_replicas_and_a_target_is_never_more() {
    let peak = |speed, is_target| {
        let load = Some(Carried { peak: 400.0, each: 100.0, is_target });
        Need { load, min: 1, max: 99 }.peak(speed)
    };
    assert_eq!(peak(1.0, false), Some(Peak::Replicas(4)));
    assert_eq!(peak(0.9, false), Some(Peak::Replicas(5)));
    assert_eq!((peak(2.0, false), peak(2.0, true)), (Some(Peak::Replicas(2)), Some(Peak::Replicas(4))));
    assert_eq!(peak(0.9, true), Some(Peak::Replicas(5)));
    assert_eq!(peak(0.001, false), None);
}
