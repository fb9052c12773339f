//! What the answers of a peer's two ports mean, and when to ask them again. Pure.

use model::Moment;

/// Refusals of one port must be this far apart to count, in milliseconds: one alone may be a process that is just being
/// replaced.
pub const APART_MS: u64 = 50;
/// Refusals further apart than this are not one answer: this process stood still between them, or something else was
/// answered. Nor does one count that is older. In milliseconds, as long as a keeper may stand still unnoticed.
pub const FRESH_MS: u64 = 350;
/// A port is asked this often at first, in milliseconds.
pub const QUICK_MS: u64 = 25;
/// For so long, in milliseconds, after a link was lost or the answer changed.
pub const QUICK_FOR_MS: u64 = 500;
/// And this often from then on, in milliseconds.
pub const SLOW_MS: u64 = 100;

/// What came of a connection to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel there took it. A frozen process does as well.
    Accepted,
    /// The kernel there says that nobody listens.
    Refused,
    /// Nothing that tells anything: a timeout, no way there, a reset.
    Nothing,
}

/// One port of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The last answer.
    answer: Option<Answer>,
    /// First and last of the refusals since anything else.
    refusals: Option<(Moment, Moment)>,
    /// Since when it is asked quickly.
    quick: Moment,
}

impl Door {
    /// It answered at `now`.
    pub fn answered(&mut self, answer: Answer, now: Moment) {
        if self.answer != Some(answer) {
            self.answer = Some(answer);
            self.quick = now;
        }
        self.refusals = match (answer, self.refusals) {
            (Answer::Refused, Some((first, last))) if now.ms_since(last) <= FRESH_MS => Some((first, now)),
            (Answer::Refused, _) => Some((now, now)),
            _ => None,
        };
    }

    /// Whoever is behind it was heard by another way: what it refused before counts no more.
    pub fn heard(&mut self) {
        self.refusals = None;
    }

    /// It is to be asked quickly from `now` on.
    pub fn hurry(&mut self, now: Moment) {
        self.quick = now;
    }

    /// Whether it says, now and not only once, that nobody is there.
    #[must_use]
    pub fn refuses(&self, now: Moment) -> bool {
        self.refusals
            .is_some_and(|(first, last)| last.ms_since(first) >= APART_MS && now.ms_since(last) <= FRESH_MS)
    }

    /// When to ask again what was last asked at `began`. Counted from there and never made up for, so that an asker that
    /// stood still does not ask twice.
    #[must_use]
    pub fn next(&self, began: Moment, now: Moment) -> Moment {
        began.plus(if now.ms_since(self.quick) < QUICK_FOR_MS { QUICK_MS } else { SLOW_MS })
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
