use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Moment;
use tokio::sync::watch;
use tokio::time::Instant;

/// Tells the time: the machine's, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Moments count from the first use in this process, so that all real clocks of a process agree.
    Real {
        start: Instant,
    },
    Manual {
        time: Arc<watch::Sender<Time>>,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Time {
    now: Moment,
    unix_ms: u64,
}

impl Clock {
    /// The machine's clock. It stands still when tokio's time is paused by a test.
    #[must_use]
    pub fn real() -> Clock {
        // Taken from the standard library: tokio's paused time may be ahead of it, never behind, so that no test that
        // moves time on can make the clock of another stand still.
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let start = *START.get_or_init(std::time::Instant::now);
        Clock { source: Source::Real { start: Instant::from_std(start) } }
    }

    /// A clock that stands at 0 until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual() -> (Clock, ManualClock) {
        let time = Arc::new(watch::Sender::new(Time::default()));
        (Clock { source: Source::Manual { time: time.clone() } }, ManualClock { time })
    }

    /// Monotonic time. Moments of different processes have nothing to do with each other.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.source {
            Source::Real { start } => Moment(in_ms(start.elapsed())),
            Source::Manual { time } => time.borrow().now,
        }
    }

    /// Wall time in milliseconds since 1970, for people and records; it may jump. 0 when the machine's clock stands
    /// before 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        match &self.source {
            Source::Real { .. } => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, in_ms),
            Source::Manual { time } => time.borrow().unix_ms,
        }
    }

    /// Waits until [`Clock::now`] has reached `moment`. A manual clock whose [`ManualClock`]s are all gone never
    /// gets there.
    pub async fn sleep_until(&self, moment: Moment) {
        match &self.source {
            Source::Real { start } => {
                tokio::time::sleep_until(*start + Duration::from_millis(moment.0)).await;
            }
            Source::Manual { time } => {
                // The sender is held here, so the channel cannot close.
                let _ = time.subscribe().wait_for(|time| time.now >= moment).await;
            }
        }
    }

    /// Waits `ms` milliseconds of this clock, counted from this call and not from the first poll.
    pub fn sleep_ms(&self, ms: u64) -> impl Future<Output = ()> + Send + '_ {
        self.sleep_until(self.now().plus(ms))
    }
}

/// Moves a manual [`Clock`].
#[derive(Clone, Debug)]
pub struct ManualClock {
    time: Arc<watch::Sender<Time>>,
}

impl ManualClock {
    /// Moves both the monotonic and the wall time `ms` on and wakes those who slept until then.
    pub fn advance_ms(&self, ms: u64) {
        self.time.send_modify(|time| {
            time.now = time.now.plus(ms);
            time.unix_ms = time.unix_ms.saturating_add(ms);
        });
    }

    /// Sets the wall time alone, as an operator or a time service would.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        self.time.send_modify(|time| time.unix_ms = unix_ms);
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_moment_comes_and_not_before() {
        let (clock, hand) = Clock::manual();
        let sleeper = clock.sleep_ms(100);
        tokio::pin!(sleeper);
        hand.advance_ms(99);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut sleeper).await.is_err());
        hand.advance_ms(1);
        sleeper.await;
        assert_eq!((clock.now(), clock.unix_ms()), (Moment(100), 100));
        hand.set_unix_ms(7);
        assert_eq!((clock.now(), clock.unix_ms()), (Moment(100), 7));
    }

    #[tokio::test(start_paused = true)]
    async fn real_clocks_of_one_process_agree_and_move_on() {
        let (one, two) = (Clock::real(), Clock::real());
        assert_eq!(one.now(), two.now());
        let before = one.now();
        one.sleep_ms(250).await;
        assert!(two.now().ms_since(before) >= 250);
        assert!(one.unix_ms() > 1_600_000_000_000);
    }
}
