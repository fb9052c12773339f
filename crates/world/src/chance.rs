use std::hash::{BuildHasher, Hasher, RandomState};

/// A stream of numbers that a seed repeats exactly: xoshiro256++ (Blackman and Vigna, "Scrambled linear
/// pseudorandom number generators", 2021), seeded through splitmix64 as its authors advise.
///
/// Own lines and no dependency: traces of a seed must stay the same over years, and the crates that offer this
/// change how they derive ranges and floats between major versions. Not for secrets.
#[derive(Clone, Debug)]
pub struct Chance {
    state: [u64; 4],
}

impl Chance {
    /// The stream of `seed`; every seed is as good as any other.
    #[must_use]
    pub fn from_seed(seed: u64) -> Chance {
        let mut x = seed;
        let mut splitmix = || {
            x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Chance { state: [splitmix(), splitmix(), splitmix(), splitmix()] }
    }

    /// A stream nobody can foresee without effort; good for spreading load, not for secrets.
    #[must_use]
    pub fn from_os() -> Chance {
        // The standard library keys each hasher from the operating system's random source.
        Chance::from_seed(RandomState::new().build_hasher().finish())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from 0 up to but not including `n`, each equally likely; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Lemire, "Fast random integer generation in an interval", 2019: reject the uneven rest.
        let uneven = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            let (high, low) = ((wide >> 64) as u64, wide as u64);
            if low >= uneven {
                return high;
            }
        }
    }

    /// A number from 0 up to but not including 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are all a double holds.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `true` with probability `p`: never for 0 (and NaN), always for 1.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A stream of its own, so that one part's draws do not move another's.
    pub fn split(&mut self) -> Chance {
        Chance::from_seed(self.next_u64())
    }

    /// Puts `items` in random order, each order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' C code, state 1 2 3 4.
    #[test]
    fn the_stream_is_the_published_one() {
        let mut chance = Chance { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..5).map(|_| chance.next_u64()).collect();
        assert_eq!(
            drawn,
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386, 9_228_616_714_210_784_205]
        );
    }

    #[test]
    fn a_seed_repeats_and_a_split_does_not_move_its_parent_further() {
        let (mut one, mut two) = (Chance::from_seed(7), Chance::from_seed(7));
        let mut child = one.split();
        two.split();
        for _ in 0..100 {
            child.next_u64();
        }
        assert_eq!(one.next_u64(), two.next_u64());
        assert_ne!(Chance::from_seed(7).next_u64(), Chance::from_seed(8).next_u64());
        assert_ne!(Chance::from_os().next_u64(), Chance::from_os().next_u64());
    }

    #[test]
    fn ranges_are_even_and_edges_hold() {
        let mut chance = Chance::from_seed(1);
        let mut seen = [0_u32; 6];
        for _ in 0..60_000 {
            seen[chance.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
        assert_eq!((chance.below(0), chance.below(1)), (0, 0));
        assert!((0..1000).all(|_| chance.chance(1.0) && !chance.chance(0.0) && !chance.chance(f64::NAN)));
        let mut items: Vec<u32> = (0..50).collect();
        chance.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
