use world::Chance;

use super::*;

fn three() -> (Timed, Chance) {
    (Timed::new(&[vec![2], vec![2], vec![2]], 6, 4, Pace::default()).unwrap(), Chance::from_seed(1))
}

#[test]
fn a_lost_zone_costs_nothing_with_a_reserve_and_its_replicas_come_home() {
    let (mut timed, mut chance) = three();
    assert_eq!(timed.serving(), 6);
    timed.advance(100_000);
    assert!(timed.fail_zone(0, &mut chance) && !timed.fail_zone(0, &mut chance));
    assert_eq!(timed.serving(), 4);
    timed.advance(200_000);
    assert_eq!(timed.view.units.len(), 6, "they were replaced");
    assert_eq!(timed.serving(), 4, "but two machines have no room for six");
    assert!(timed.repair_zone(0) && !timed.repair_zone(0));
    timed.advance(300_000);
    assert_eq!(timed.serving(), 6);
    assert_eq!(timed.gaps(), []);
}

#[test]
fn an_outage_lasts_until_enough_replicas_are_ready_and_its_late_part_is_told() {
    let (mut timed, mut chance) = three();
    timed.fail_zone(0, &mut chance);
    timed.advance(100_000);
    timed.fail_zone(1, &mut chance);
    timed.advance(400_000);
    timed.repair_zone(1);
    timed.advance(500_000);
    let [gap] = timed.gaps()[..] else { panic!("one gap") };
    assert_eq!(gap.from_ms, 100_000);
    assert_eq!(gap.ms, 300_000 + gap.late_ms);
    // The zone settles, and two replicas move one after the other.
    assert!((SETTLE_MS..20_000).contains(&gap.late_ms), "{gap:?}");
    assert_eq!(timed.unfinished(), None);
    timed.fail_zone(2, &mut chance);
    timed.advance(600_000);
    let open = timed.unfinished().unwrap();
    assert_eq!((open.from_ms, open.ms), (500_000, 100_000));
}

#[test]
fn a_short_loss_is_over_when_the_replicas_have_started_again() {
    let (mut timed, mut chance) = three();
    timed.fail_zone(2, &mut chance);
    timed.advance(500);
    timed.repair_zone(2);
    timed.advance(60_000);
    assert_eq!((timed.serving(), timed.gaps()), (6, Vec::new()));
}

#[test]
fn a_machine_that_comes_back_has_its_replicas_again() {
    let mut timed = Timed::new(&[vec![2, 2]], 4, 3, Pace::default()).unwrap();
    timed.advance(1_000);
    assert!(timed.fail_machine(1) && !timed.fail_machine(1) && !timed.fail_machine(2));
    timed.advance(61_000);
    assert!(timed.repair_machine(1));
    timed.advance(120_000);
    assert_eq!(timed.gaps(), [Gap { from_ms: 1_000, ms: 62_000, late_ms: 2_000 }]);
}

#[test]
fn everything_lost_comes_back() {
    let (mut timed, mut chance) = three();
    for zone in 0..3 {
        timed.advance(10_000 * (zone as u64 + 1));
        timed.fail_zone(zone, &mut chance);
    }
    timed.advance(1_000_000);
    for zone in 0..3 {
        timed.repair_zone(zone);
        timed.advance(1_100_000 + 100_000 * zone as u64);
    }
    assert_eq!(timed.serving(), 6);
    let [gap] = timed.gaps()[..] else { panic!("one gap") };
    assert_eq!(gap.from_ms, 20_000);
    assert!(gap.late_ms < 20_000, "{gap:?}");
}

/// Of eight over three zones one has two, and room for one of the others' three.
#[test]
fn room_that_is_left_in_a_zone_is_used() {
    let mut timed = Timed::new(&[vec![3], vec![3], vec![3]], 8, 6, Pace::default()).unwrap();
    timed.fail_zone(0, &mut Chance::from_seed(1));
    assert_eq!(timed.serving(), 5);
    timed.advance(60_000);
    assert_eq!(timed.serving(), 6);
    let [gap] = timed.gaps()[..] else { panic!("one gap") };
    assert!((2_000..=2_000 + TTL_MS).contains(&gap.ms) && gap.late_ms == gap.ms, "{gap:?}");
}

/// What comes back goes unused by rules that never move a replica home: after the next loss there are too few.
#[test]
fn rules_that_bring_nothing_home_are_seen() {
    fn broken(view: &View, memory: &mut Memory, now: Moment) -> Vec<Action> {
        let surplus = |action: &Action| matches!(action, Action::Assign { .. }) && view.units.len() >= 6;
        decide(view, memory, now).into_iter().filter(|action| !surplus(action)).collect()
    }
    let late = |rules: Rules| {
        let (mut timed, mut chance) = three();
        timed.rules = rules;
        timed.fail_zone(0, &mut chance);
        timed.advance(100_000);
        timed.repair_zone(0);
        timed.advance(200_000);
        timed.fail_zone(1, &mut chance);
        timed.advance(300_000);
        timed.gaps().into_iter().chain(timed.unfinished()).map(|gap| gap.late_ms).sum::<u64>()
    };
    assert_eq!(late(decide), 0);
    assert!(late(broken) > 1_000, "{}", late(broken));
}

/// What a lost machine held may be drained meanwhile; what came in its place is there when the machine is.
#[test]
fn a_machine_that_comes_back_holds_what_had_no_room() {
    let mut timed = Timed::new(&[vec![1, 1], vec![1, 1]], 4, 3, Pace::default()).unwrap();
    timed.fail_machine(1);
    timed.advance(60_000);
    timed.fail_zone(1, &mut Chance::from_seed(1));
    timed.advance(120_000);
    timed.repair_zone(1);
    timed.advance(240_000);
    assert_eq!(timed.serving(), 3, "one machine is lost");
    timed.repair_machine(1);
    timed.advance(300_000);
    assert_eq!(timed.serving(), 4);
}
