//! Decides whether a failed attempt is made again, and how many such attempts a pool may see.

use model::Moment;

/// A request that has waited for so long takes long: it stays with a silent endpoint until that is ejected. Milliseconds.
pub const YOUNG_MS: u64 = 1_000;

/// A request whose attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// At least one byte of it may have reached an endpoint.
    pub sent: bool,
    /// The front still has all of it.
    pub whole: bool,
    /// Doing it twice is the same as doing it once (RFC 9110 9.2.2).
    pub idempotent: bool,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Most attempts.
    pub attempts_max: u32,
    /// The drill's planted bug, see `RetryPolicy::retry_unsafe`.
    pub retry_unsafe: bool,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Again, on another endpoint; costs nothing, because no endpoint has had work from it.
    Again,
    /// Again, on another endpoint, if the budget allows.
    AgainFromBudget,
    /// The client hears of the failure.
    GiveUp,
}

/// The rule. A request that may have been carried out is sent again only when that cannot be seen.
#[must_use]
pub fn decide(failed: &Failed) -> Next {
    if failed.attempts >= failed.attempts_max || !failed.whole {
        return Next::GiveUp;
    }
    match failed.sent {
        false => Next::Again,
        true if failed.idempotent || failed.retry_unsafe => Next::AgainFromBudget,
        true => Next::GiveUp,
    }
}

/// A request at an endpoint that has fallen silent.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// How long it has waited, in milliseconds.
    pub waited_ms: u64,
    /// At least one byte of it may have reached the endpoint.
    pub sent: bool,
    /// The front still has all of it.
    pub whole: bool,
    /// It only reads.
    pub safe: bool,
    /// It has left another one before.
    pub has_left: bool,
}

/// Whether it may go to another endpoint before this one is ejected. A silent one may only be slow, and carry out what it has:
/// so only what reads leaves after it was sent, once, and not when it takes long anyway.
#[must_use]
pub fn may_leave(waiting: &Waiting) -> bool {
    let harmless = waiting.safe || !waiting.sent;
    waiting.whole && harmless && !waiting.has_left && waiting.waited_ms < YOUNG_MS
}

/// Whether a method is idempotent (RFC 9110 9.2.2). Unknown ones are not.
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// Whether a method only reads (RFC 9110 9.2.1), so that it may be carried out beside itself. Unknown ones do not.
#[must_use]
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Seconds the budget looks back.
pub const WINDOW_S: usize = 10;
/// Retries a second that are always allowed, per thread, so that small loads can retry at all.
pub const RETRIES_MIN_PER_S: u64 = 3;

/// Counts requests and retries of one pool on one thread over the last [`WINDOW_S`] seconds. Retries may be a
/// share of the requests, plus [`RETRIES_MIN_PER_S`]: when every attempt fails, the load grows by that share and no more.
/// So may requests that leave a silent endpoint, counted apart: what a slow one takes is not missing when others fail.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    slots: [Second; WINDOW_S],
    /// The second that is being counted.
    second: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    requests: u64,
    retries: u64,
    leaves: u64,
}

impl Budget {
    /// A request arrived.
    pub fn request(&mut self, now: Moment) {
        self.turn(now).requests += 1;
    }

    /// Takes one retry out of the budget, if there is one; `share` in 0..1.
    pub fn take(&mut self, share: f64, now: Moment) -> bool {
        self.take_one(share, now, |second| &mut second.retries)
    }

    /// Takes one request that leaves a silent endpoint out of the budget, if there is one; `share` in 0..1.
    pub fn leave(&mut self, share: f64, now: Moment) -> bool {
        self.take_one(share, now, |second| &mut second.leaves)
    }

    fn take_one(&mut self, share: f64, now: Moment, kind: fn(&mut Second) -> &mut u64) -> bool {
        self.turn(now);
        let requests: u64 = self.slots.iter().map(|second| second.requests).sum();
        let taken: u64 = self.slots.iter_mut().map(|second| *kind(second)).sum();
        let allowed = (requests as f64 * share.clamp(0.0, 1.0)) as u64 + RETRIES_MIN_PER_S * WINDOW_S as u64;
        let may = taken < allowed;
        if may {
            *kind(self.turn(now)) += 1;
        }
        may
    }

    fn turn(&mut self, now: Moment) -> &mut Second {
        let second = now.0 / 1000;
        let passed = second.saturating_sub(self.second).min(WINDOW_S as u64);
        for step in 0..passed {
            self.slots[((second - step) % WINDOW_S as u64) as usize] = Second::default();
        }
        self.second = self.second.max(second);
        &mut self.slots[(self.second % WINDOW_S as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sent whole idempotent attempt unsafe`, each a letter or `-`.
    #[track_caller]
    fn check(text: &str, expected: Next) {
        let has = |letter: char| text.contains(letter);
        let failed = Failed {
            sent: has('s'),
            whole: has('w'),
            idempotent: has('i'),
            attempts: if has('3') { 3 } else { 1 },
            attempts_max: 3,
            retry_unsafe: has('u'),
        };
        assert_eq!(decide(&failed), expected, "{text}");
    }

    #[test]
    fn an_order_that_may_have_been_taken_is_never_placed_twice() {
        check("s w", Next::GiveUp);
        check("s w u", Next::AgainFromBudget);
        check("s i", Next::GiveUp);
        check("s u", Next::GiveUp);
    }

    #[test]
    fn what_was_not_sent_or_may_be_repeated_is_tried_again() {
        check("w", Next::Again);
        check("w i", Next::Again);
        check("s w i", Next::AgainFromBudget);
        check("w 3", Next::GiveUp);
        check("s w i 3", Next::GiveUp);
        check("", Next::GiveUp);
    }

    #[test]
    fn only_what_does_no_harm_twice_leaves_a_silent_endpoint() {
        let get = Waiting { waited_ms: 150, sent: true, whole: true, safe: true, has_left: false };
        assert!(may_leave(&get));
        assert!(may_leave(&Waiting { safe: false, sent: false, ..get }), "an order that was not sent");
        for stays in [
            Waiting { safe: false, ..get },
            Waiting { whole: false, ..get },
            Waiting { has_left: true, ..get },
            Waiting { waited_ms: YOUNG_MS, ..get },
        ] {
            assert!(!may_leave(&stays), "{stays:?}");
        }
    }

    #[test]
    fn when_everything_fails_the_load_grows_by_the_share_and_no_more() {
        let mut budget = Budget::default();
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for ms in 1_000_000..1_060_000 {
            budget.request(Moment(ms));
            requests += 1;
            for _ in 0..3 {
                retries += u64::from(budget.take(0.2, Moment(ms)));
            }
        }
        let bound = requests / 5 + RETRIES_MIN_PER_S * 60 + RETRIES_MIN_PER_S * WINDOW_S as u64 + 2_000;
        assert!(retries <= bound && retries > requests / 10, "{retries} of {requests}");
    }

    #[test]
    fn a_small_load_can_retry_and_an_old_one_is_forgotten() {
        let mut budget = Budget::default();
        budget.request(Moment(1_000_000));
        let at_once = (0..100).filter(|_| budget.take(0.2, Moment(1_000_000))).count();
        assert_eq!(at_once as u64, RETRIES_MIN_PER_S * WINDOW_S as u64);
        let leaves = (0..100).filter(|_| budget.leave(0.2, Moment(1_000_000))).count();
        assert_eq!(leaves, at_once, "of a budget of their own");
        assert!(!budget.take(0.2, Moment(1_005_000)));
        assert!(budget.take(0.2, Moment(1_010_000)));
    }

    #[test]
    fn only_the_methods_of_the_standard_are_idempotent() {
        let all = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "get", "PURGE"];
        let expected = [true, true, true, true, true, false, false, false, false];
        assert_eq!(all.map(is_idempotent), expected);
    }
}
