use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Moment;

/// The start of one process's monotonic clock; copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    start: Instant,
    unix_ms: u64,
}

/// Moments start here, not at 0, so that 0 can mean "never" and subtracting a limit never underflows.
const FIRST_MS: u64 = 1_000_000;

impl Origin {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Origin {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Origin { start: Instant::now(), unix_ms: unix.as_millis() as u64 }
    }

    /// Microseconds on this clock.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        FIRST_MS * 1000 + self.start.elapsed().as_micros() as u64
    }

    /// This moment in milliseconds.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.now_us() / 1000)
    }

    /// Unix time in milliseconds of `moment`; a step of the wall clock since the start is not seen.
    #[must_use]
    pub fn unix_ms(&self, moment: Moment) -> u64 {
        self.unix_ms + moment.0.saturating_sub(FIRST_MS)
    }
}

impl Default for Origin {
    fn default() -> Self {
        Origin::new()
    }
}

/// A small fast generator for load spreading (xorshift64*, Vigna 2016); never for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Same seed, same numbers.
    #[must_use]
    pub fn from_seed(seed: u64) -> Random {
        // Mixed once (splitmix64), so that seeds 1, 2, 3 do not give similar streams; 0 would stay 0 for ever.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((z ^ (z >> 31)) | 1)
    }

    /// A seed from the operating system.
    #[must_use]
    pub fn from_os() -> Random {
        Random::from_seed(RandomState::new().build_hasher().finish())
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
