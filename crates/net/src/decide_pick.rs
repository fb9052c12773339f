//! Decides which endpoint gets a request: power of two choices by load, own zone first.
//!
//! Two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).

use crate::decide_health::Standing;

/// Most requests one front keeps open at one endpoint. Beyond it the endpoint has no room.
pub const ROOM: u32 = 1024;
/// A request may leave its zone for load only when the better own endpoint has this many open requests.
pub const SPILL_IN_FLIGHT: u32 = 16;
/// And when its load is this many times the load of the better endpoint elsewhere.
pub const SPILL_TIMES: u64 = 4;
/// Differences of latency below this are noise. Microseconds.
const LATENCY_FLOOR_US: u64 = 1_000;

/// What is known of one endpoint at the moment of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// It is in the front's own zone.
    pub own_zone: bool,
    /// What its health says.
    pub standing: Standing,
    /// Requests of this front it holds.
    pub in_flight: u32,
    /// Average time to the first byte; 0: unknown.
    pub latency_us: u64,
    /// It has shown a sign of life just now.
    pub fresh: bool,
}

/// Up to two of the endpoints of a class, each pair as likely as any other.
#[derive(Clone, Copy, Default)]
struct Pair {
    count: u64,
    kept: [usize; 2],
}

impl Pair {
    fn offer(&mut self, index: usize, random: u64) {
        let slot = if self.count < 2 { self.count } else { random % (self.count + 1) };
        if let Some(place) = self.kept.get_mut(slot as usize) {
            *place = index;
        }
        self.count += 1;
    }
}

const OWN_FRESH: usize = 0;
const OWN: usize = 1;
const ELSEWHERE: usize = 2;
const ELSEWHERE_OWING: usize = 3;
const SUSPECT: usize = 4;
const SILENT: usize = 5;

/// Chooses among `count` endpoints; `candidate` gives `None` for one that may not be taken (draining, tried).
///
/// 1. Well endpoints of the own zone; of those, when `wants_life`, the fresh ones first.
/// 2. Well endpoints elsewhere: when the own zone has none, or when the better own one holds at least
///    [`SPILL_IN_FLIGHT`] requests and its load is more than [`SPILL_TIMES`] the load of the better one elsewhere.
///    One elsewhere that has shown no life just now gets a single request on trial: the burst that makes a zone
///    spill often comes from the loss of another, whose endpoints look idle and well until they owe an answer.
/// 3. Suspects: silent, not yet proven dead.
/// 4. Panic: the ejected ones, all of them, because an attempt is better than an error. Never the refused ones:
///    nobody listens there.
///
/// Load is `(open requests + 1) * average latency`; an unknown latency counts as that of the one compared with.
/// `random` gives a new number each time.
pub fn choose(
    count: usize,
    candidate: impl Fn(usize) -> Option<Candidate>,
    wants_life: bool,
    mut random: impl FnMut() -> u64,
) -> Option<usize> {
    let mut classes = [Pair::default(); 6];
    for index in 0..count {
        let Some(one) = candidate(index).filter(|one| one.in_flight < ROOM) else { continue };
        let class = match one.standing {
            Standing::Well if one.own_zone => OWN,
            Standing::Well if one.fresh || one.in_flight == 0 => ELSEWHERE,
            Standing::Well => ELSEWHERE_OWING,
            Standing::Suspect => SUSPECT,
            Standing::Silent => SILENT,
            Standing::Refused => continue,
        };
        classes[class].offer(index, random());
        if class == OWN && wants_life && one.fresh {
            classes[OWN_FRESH].offer(index, random());
        }
    }
    let coin = random() >> 63 == 1;
    let better = |pair: Pair| match (pair.count, coin) {
        (0, _) => None,
        (1, _) => Some(pair.kept[0]),
        // Either may come first, so that equals are taken equally often.
        (_, false) => Some(lighter(pair.kept[0], pair.kept[1], &candidate)),
        (_, true) => Some(lighter(pair.kept[1], pair.kept[0], &candidate)),
    };
    let own = better(classes[OWN_FRESH]).or_else(|| better(classes[OWN]));
    let elsewhere = better(classes[ELSEWHERE]);
    match (own, elsewhere) {
        (Some(own), Some(elsewhere)) if spills(own, elsewhere, &candidate) => Some(elsewhere),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => {
            [ELSEWHERE_OWING, SUSPECT, SILENT].into_iter().find_map(|class| better(classes[class]))
        }
    }
}

fn load(one: &Candidate, other: &Candidate) -> u64 {
    let latency = if one.latency_us == 0 { other.latency_us } else { one.latency_us };
    u64::from(one.in_flight + 1).saturating_mul(latency.max(LATENCY_FLOOR_US))
}

fn lighter(a: usize, b: usize, candidate: &impl Fn(usize) -> Option<Candidate>) -> usize {
    match (candidate(a), candidate(b)) {
        (Some(one), Some(other)) if load(&one, &other) > load(&other, &one) => b,
        _ => a,
    }
}

fn spills(own: usize, elsewhere: usize, candidate: &impl Fn(usize) -> Option<Candidate>) -> bool {
    let (Some(own), Some(elsewhere)) = (candidate(own), candidate(elsewhere)) else { return false };
    own.in_flight >= SPILL_IN_FLIGHT
        && load(&own, &elsewhere) > load(&elsewhere, &own).saturating_mul(SPILL_TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints as `zone standing in_flight latency_ms [fresh]`; zone `o` is the own one.
    #[track_caller]
    fn check(endpoints: &str, wants_life: bool, expected: &[usize]) {
        let all: Vec<Candidate> = endpoints.split(", ").filter(|text| !text.is_empty()).map(read).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut state = 7_u64;
        for _ in 0..400 {
            let random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.rotate_left(31)
            };
            seen.extend(choose(all.len(), |index| Some(all[index]), wants_life, random));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected, "{endpoints}");
    }

    fn read(text: &str) -> Candidate {
        let words: Vec<&str> = text.split_whitespace().collect();
        let standing = match words[1] {
            "well" => Standing::Well,
            "suspect" => Standing::Suspect,
            "silent" => Standing::Silent,
            _ => Standing::Refused,
        };
        Candidate {
            own_zone: words[0] == "o",
            standing,
            in_flight: words[2].parse().unwrap(),
            latency_us: words[3].parse::<u64>().unwrap() * 1000,
            fresh: words.get(4).is_some(),
        }
    }

    #[test]
    fn a_request_stays_in_its_zone_while_one_endpoint_there_is_well() {
        check("o well 9 20, x well 0 1, x well 0 1", false, &[0]);
        check("o suspect 0 1, x well 0 9, o silent 0 1", false, &[1]);
    }

    #[test]
    fn a_zone_that_is_overloaded_spills() {
        check("o well 15 20, x well 0 0", false, &[0]);
        check("o well 16 20, x well 0 0", false, &[1]);
        check("o well 16 20, x well 4 20 fresh", false, &[0]);
        check("o well 16 200, x well 16 20 fresh", false, &[1]);
        check("o well 1024 1, x well 900 50 fresh", false, &[1]);
    }

    #[test]
    fn a_burst_does_not_spill_into_a_zone_that_may_be_frozen() {
        check("o well 30 20, x well 0 1", false, &[1]);
        check("o well 30 20, x well 1 1", false, &[0]);
        check("o well 30 20, x well 1 1, x well 2 1 fresh", false, &[2]);
        check("o silent 0 1, x well 3 1, x suspect 0 1", false, &[1]);
    }

    #[test]
    fn the_heavier_of_two_is_not_taken() {
        check("o well 3 10, o well 1 10", false, &[1]);
        check("o well 1 100, o well 1 10", false, &[1]);
        check("o well 2 10, o well 2 10, o well 2 10", false, &[0, 1, 2]);
        // Of three, the heaviest loses against each of the others.
        check("o well 2 10, o well 2 10, o well 9 10", false, &[0, 1]);
        // A new endpoint has no latency yet and is neither flooded nor starved.
        check("o well 0 0, o well 1 50", false, &[0]);
        check("o well 3 0, o well 1 50", false, &[1]);
    }

    #[test]
    fn a_post_prefers_an_endpoint_that_has_just_shown_life() {
        check("o well 0 1, o well 9 1 fresh, x well 0 1 fresh", true, &[1]);
        check("o well 0 1, o well 9 1 fresh", false, &[0]);
        check("o well 0 1, x well 0 1 fresh", true, &[0]);
    }

    #[test]
    fn with_nobody_well_suspects_are_asked_then_everybody_but_the_refused() {
        check("o silent 0 1, x suspect 5 9", false, &[1]);
        check("o silent 0 1, x silent 0 1, x refused 0 1", false, &[0, 1]);
        check("o refused 0 1, x refused 0 1", false, &[]);
        check("", false, &[]);
    }

    #[test]
    fn two_of_many_are_chosen_evenly() {
        let mut hits = [0_u32; 7];
        let mut random = crate::Random::from_seed(3);
        let one =
            Candidate { own_zone: true, standing: Standing::Well, in_flight: 0, latency_us: 1, fresh: false };
        for _ in 0..70_000 {
            hits[choose(7, |_| Some(one), false, || random.next_u64()).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&h| (9_000..11_000).contains(&h)), "{hits:?}");
    }
}
