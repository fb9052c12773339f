use super::*;

/// Plays a pool against replicas whose behaviour is a function of time, and writes down every change.
struct Play {
    guard: Guard,
    seen: Vec<Seen>,
    pending: Vec<(usize, u64, Moment)>,
    log: Vec<String>,
    /// When, and of which.
    doubts: Vec<(u64, usize)>,
}

/// How a replica behaves at a moment.
#[derive(Clone, Copy, PartialEq)]
enum Be {
    Fine,
    Frozen,
    Dead,
    /// Its health check waits in a queue for ever while requests are answered.
    Saturated,
    Sick,
}

const SETTINGS: Settings = Settings { interval_ms: 1000, timeout_ms: 500, retries: 2 };

impl Play {
    fn new(count: usize) -> Play {
        let mut guard = Guard::new(SETTINGS);
        let units: Vec<_> =
            (0..count).map(|n| (UnitName::new(&format!("web-{n}")).unwrap(), false)).collect();
        guard.set_members(&units, Moment(0));
        Play {
            guard,
            seen: vec![Seen::default(); count],
            pending: Vec::new(),
            log: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// From `from` to `to`; each replica gets a request every 20 ms while it is not ejected.
    fn run(&mut self, from: u64, to: u64, be: impl Fn(usize, u64) -> Be) -> &mut Self {
        let mut at = from;
        while at < to {
            self.step(at, &be);
            at += 10;
        }
        self
    }

    fn step(&mut self, at: u64, be: &impl Fn(usize, u64) -> Be) {
        let now = Moment(at);
        for index in 0..self.seen.len() {
            let asked = at.is_multiple_of(20) && !self.guard.members[index].standing.is_ejected();
            self.request(index, now, be(index, at), asked);
        }
        // As the watcher does it: a late tick drops suspicions before it hears of timeouts from the same stall.
        let actions = self.guard.tick(&self.seen.clone(), now);
        self.carry_out(&actions, at);
        let ended: Vec<_> = self
            .pending
            .iter()
            .filter_map(|&(index, number, since)| {
                let life = matches!(be(index, at), Be::Fine | Be::Sick);
                let outcome = match be(index, at) {
                    Be::Fine => Outcome::Well,
                    Be::Sick => Outcome::Unwell,
                    Be::Dead => Outcome::Refused,
                    Be::Frozen | Be::Saturated => Outcome::Silent,
                };
                let over = outcome != Outcome::Silent || now.ms_since(since) >= SETTINGS.timeout_ms;
                over.then_some((index, number, outcome, life))
            })
            .collect();
        for (index, number, outcome, life) in ended {
            self.pending.retain(|probe| probe.1 != number);
            if life {
                self.seen[index].last_life = now;
            }
            let actions = self.guard.probed(index, number, outcome, now);
            self.carry_out(&actions, at);
        }
    }

    fn request(&mut self, index: usize, now: Moment, be: Be, asked: bool) {
        let seen = &mut self.seen[index];
        match be {
            Be::Fine | Be::Saturated | Be::Sick => {
                if asked || seen.waiting > 0 {
                    seen.last_life = now;
                }
                seen.waiting = 0;
            }
            Be::Frozen if asked => {
                if seen.waiting == 0 {
                    seen.waiting_since = now;
                }
                seen.waiting += 1;
            }
            Be::Dead => {
                seen.breaks += u64::from(seen.waiting > 0);
                seen.waiting = 0;
                seen.refusals += u64::from(asked);
            }
            Be::Frozen => {}
        }
    }

    fn carry_out(&mut self, actions: &[Action], at: u64) {
        for action in actions {
            match *action {
                Action::Probe { member, number } => self.pending.push((member, number, Moment(at))),
                Action::Stand { member, standing, .. } if standing != Standing::Suspect => {
                    self.log.push(format!("{at} {member} {standing:?}"));
                }
                Action::Stand { .. } => {}
                Action::Doubt { member } => self.doubts.push((at, member)),
            }
        }
    }

    fn ejections(&self) -> Vec<&String> {
        self.log.iter().filter(|line| !line.ends_with("Well")).collect()
    }
}

#[test]
fn a_killed_replica_is_out_within_two_ticks() {
    let mut play = Play::new(3);
    play.run(0, 5_000, |index, at| if index == 1 && at >= 3_000 { Be::Dead } else { Be::Fine });
    assert_eq!(play.log.len(), 1, "{:?}", play.log);
    let at: u64 = play.log[0].split(' ').next().unwrap().parse().unwrap();
    assert!((3_000..=3_020).contains(&at), "{:?}", play.log);
    assert!(play.log[0].ends_with("1 Refused"));
}

#[test]
fn a_frozen_replica_is_out_in_about_two_timeouts_and_back_with_one_good_probe() {
    let mut play = Play::new(3);
    play.run(
        0,
        9_000,
        |index, at| {
            if index == 0 && (3_000..6_000).contains(&at) { Be::Frozen } else { Be::Fine }
        },
    );
    let at: Vec<u64> = play.log.iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    let out = play.log.iter().position(|line| line.ends_with("0 Silent")).unwrap();
    assert!((4_000..=4_150).contains(&at[out]), "{:?}", play.log);
    let back = play.log.iter().rposition(|line| line.ends_with("0 Well")).unwrap();
    assert!((6_000..=6_720).contains(&at[back]), "{:?}", play.log);
    assert_eq!(play.ejections().len(), 1);
}

#[test]
fn a_silence_is_told_of_and_later_where_answers_take_long() {
    for (latency_us, from, to) in [(0, 150, 170), (20_000, 150, 170), (150_000, 600, 620)] {
        let mut play = Play::new(3);
        play.seen[0].latency_us = latency_us;
        let frozen = |at: u64| (3_000..3_900).contains(&at) || (7_000..7_900).contains(&at);
        play.run(0, 10_000, |index, at| if index == 0 && frozen(at) { Be::Frozen } else { Be::Fine });
        assert!(play.doubts.iter().all(|doubt| doubt.1 == 0), "{:?}", play.doubts);
        for began in [3_000, 7_000] {
            let of = play.doubts.iter().map(|doubt| doubt.0).filter(|at| (began..began + 1_000).contains(at));
            let times: Vec<u64> = of.collect();
            assert!((began + from..=began + to + 20).contains(&times[0]), "{latency_us} us: {times:?}");
            // Again for those that have come since.
            let apart = times.windows(2).all(|pair| pair[1] - pair[0] == SILENCE_MS + SUSPECT_MS);
            assert!(apart && times.len() as u64 == (900 - (times[0] - began) - 1) / 150 + 1, "{times:?}");
        }
    }
    // A bad health check, or one that waits behind requests that are answered, is no silence.
    for be in [Be::Sick, Be::Saturated, Be::Dead] {
        let mut play = Play::new(3);
        play.run(0, 10_000, |index, at| if index == 2 && at >= 2_000 { be } else { Be::Fine });
        assert_eq!(play.doubts, []);
    }
}

#[test]
fn a_replica_that_pauses_for_300_ms_is_never_ejected() {
    // Every start of the pause relative to the calm probes is tried, in ten simulated minutes.
    let mut play = Play::new(3);
    play.run(0, 600_000, |index, at| {
        let period = 1_310 + 70 * index as u64;
        if at % period < 300 { Be::Frozen } else { Be::Fine }
    });
    assert_eq!(play.ejections(), Vec::<&String>::new());
}

#[test]
fn a_guard_that_ejects_on_the_first_silence_is_caught_by_the_pause_test() {
    // The planted bug: probes that give up after 200 ms. The pauses above must then show as ejections.
    let mut play = Play::new(3);
    play.guard.set_settings(Settings { retries: 1, ..SETTINGS });
    play.run(0, 20_000, |_, at| if at % 2_000 < 700 { Be::Frozen } else { Be::Fine });
    assert!(!play.ejections().is_empty());
}

#[test]
fn a_saturated_replica_that_still_answers_is_never_ejected() {
    let mut play = Play::new(2);
    play.run(0, 60_000, |index, _| if index == 0 { Be::Saturated } else { Be::Fine });
    assert_eq!(play.ejections(), Vec::<&String>::new());
}

#[test]
fn a_replica_whose_health_check_fails_is_out_after_its_retries() {
    let mut play = Play::new(3);
    play.run(0, 10_000, |index, at| if index == 2 && at >= 2_000 { Be::Sick } else { Be::Fine });
    assert_eq!(play.ejections().len(), 1);
    assert!(play.ejections()[0].ends_with("2 Silent"));
}

#[test]
fn a_front_without_file_descriptors_ejects_nobody() {
    let mut play = Play::new(3);
    let mut now = 0;
    for _ in 0..100 {
        now += 10;
        for action in play.guard.tick(&play.seen.clone(), Moment(now)) {
            if let Action::Probe { member, number } = action {
                let actions = play.guard.probed(member, number, Outcome::NotAsked, Moment(now));
                play.carry_out(&actions, now);
            }
        }
    }
    assert_eq!(play.log, Vec::<String>::new());
}

#[test]
fn our_own_stall_is_not_held_against_the_replicas() {
    // One failed probe is enough here, and one runs when we stop ourselves for two seconds.
    let play = |stall_ms: u64| {
        let mut play = Play::new(3);
        play.guard.set_settings(Settings { retries: 1, ..SETTINGS });
        play.run(0, 3_000, |_, _| Be::Fine).run(3_000, 3_450, |_, _| Be::Frozen);
        let back = 3_450 + stall_ms;
        play.run(back, back + 20, |_, _| Be::Frozen).run(back + 20, back + 3_000, |_, _| Be::Fine);
        play.ejections().len()
    };
    assert_eq!(play(2_000), 0);
    assert_eq!(play(0), 0, "the probe is well within its time");
    // The same silence while we were awake is their fault.
    let mut truly = Play::new(3);
    truly.guard.set_settings(Settings { retries: 1, ..SETTINGS });
    truly.run(0, 3_000, |_, _| Be::Fine).run(3_000, 5_470, |_, _| Be::Frozen);
    assert!(!truly.ejections().is_empty());
}

#[test]
fn at_most_half_are_ejected_for_silence_but_all_that_refuse() {
    let mut play = Play::new(5);
    play.run(0, 3_000, |_, _| Be::Fine).run(3_000, 20_000, |_, _| Be::Frozen);
    assert_eq!(play.ejections().len(), 3, "half of five, rounded up: {:?}", play.log);
    let mut play = Play::new(5);
    play.run(0, 3_000, |_, _| Be::Fine).run(3_000, 9_000, |_, _| Be::Dead);
    assert_eq!(play.ejections().len(), 5);
}

#[test]
fn a_flapping_replica_stays_out_longer_each_time() {
    let mut play = Play::new(3);
    // Dead in the second half of each second.
    play.run(0, 60_000, |index, at| if index == 1 && at % 1_000 >= 500 { Be::Dead } else { Be::Fine });
    assert!((3..=12).contains(&play.ejections().len()), "{:?}", play.log);
}

#[test]
fn a_silent_one_that_then_refuses_gets_no_requests_even_in_panic() {
    let mut play = Play::new(1);
    play.run(0, 2_000, |_, _| Be::Fine)
        .run(2_000, 6_000, |_, _| Be::Frozen)
        .run(6_000, 8_000, |_, _| Be::Dead);
    let last: Vec<&str> = play.log.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(last, ["Silent", "Refused"]);
}

#[test]
fn what_is_known_survives_a_change_of_the_list_and_a_new_process_starts_clean() {
    let mut play = Play::new(2);
    play.run(0, 2_000, |_, _| Be::Fine).run(
        2_000,
        3_000,
        |index, _| if index == 0 { Be::Dead } else { Be::Fine },
    );
    let name = |n: u32| UnitName::new(&format!("web-{n}")).unwrap();
    play.guard.set_members(&[(name(1), false), (name(0), false)], Moment(3_000));
    assert_eq!(play.guard.members[1].standing, Standing::Refused);
    play.guard.set_members(&[(name(1), false), (name(0), true)], Moment(3_000));
    assert_eq!(play.guard.members[1].standing, Standing::Well);
}
