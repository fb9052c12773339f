//! Whether standbys still answer. A connection to one that stands still, or that is cut off, looks like any other until
//! PostgreSQL gives it up after `wal_sender_timeout` (5 s): by then somebody should have been told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::instance::Sender;

/// A standby answers once a second at least (`wal_receiver_status_interval`). One that has not for so long is away.
const SILENT: Duration = Duration::from_millis(2_500);
/// Looks further apart than this say that this process stood still, and the server with it, perhaps: nobody is silent yet.
const STALL: Duration = Duration::from_millis(600);

/// The last answer of each connection: what it said of its time, and when that was seen first.
#[derive(Debug, Default)]
pub(super) struct Replies {
    looked: Option<Instant>,
    last: BTreeMap<u32, (Option<i64>, Instant)>,
}

impl Replies {
    /// Takes note of a look at `now`.
    pub fn look(&mut self, senders: &[Sender], now: Instant) {
        let stood_still = self.looked.is_none_or(|looked| now.duration_since(looked) > STALL);
        self.looked = Some(now);
        let known = std::mem::take(&mut self.last);
        for sender in senders {
            // Its own clock's time: compared with nothing but what it said before.
            let same =
                known.get(&sender.pid).filter(|(said, _)| !stood_still && *said == sender.replied_unix_us);
            let at = same.map_or(now, |(_, at)| *at);
            self.last.insert(sender.pid, (sender.replied_unix_us, at));
        }
    }

    /// Whether `sender` answers, as of the last look.
    pub fn answers(&self, sender: &Sender) -> bool {
        let (Some(looked), Some((_, at))) = (self.looked, self.last.get(&sender.pid)) else { return true };
        looked.duration_since(*at) < SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(replied_unix_us: i64) -> Sender {
        Sender { pid: 7, replied_unix_us: Some(replied_unix_us), ..Sender::default() }
    }

    /// What is known after looks at these milliseconds, each with the answer that it found.
    fn answers(looks: &[(u64, i64)]) -> bool {
        let (mut replies, begin) = (Replies::default(), Instant::now());
        for (ms, said) in looks {
            replies.look(&[sender(*said)], begin + Duration::from_millis(*ms));
        }
        replies.answers(&sender(0))
    }

    fn every_half_second(until_ms: u64, said: impl Fn(u64) -> i64) -> Vec<(u64, i64)> {
        (0..=until_ms / 500).map(|step| (step * 500, said(step * 500))).collect()
    }

    #[test]
    fn one_that_says_nothing_new_is_away_before_postgresql_gives_it_up() {
        assert!(answers(&every_half_second(2_000, |_| 5)));
        assert!(!answers(&every_half_second(2_500, |_| 5)));
        assert!(answers(&every_half_second(20_000, |ms| (ms / 1_000) as i64)));
        // Its clock was set back: that is news, too.
        assert!(answers(&every_half_second(20_000, |ms| -((ms / 1_000) as i64))));
    }

    #[test]
    fn who_stood_still_itself_counts_anew() {
        let mut looks = every_half_second(2_000, |_| 5);
        looks.push((9_000, 5));
        assert!(answers(&looks));
        looks.extend((1..=5).map(|step| (9_000 + step * 500, 5)));
        assert!(!answers(&looks));
    }
}
