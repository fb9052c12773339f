/// A stream of numbers that a seed repeats exactly: xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom
/// number generators", 2021), seeded through splitmix64 as its authors advise.
///
/// Own lines: `plan` stands beside `world` and may not use it, and a crate would change how ranges and floats are
/// derived between its versions, and with them every figure a seed is quoted with.
#[derive(Clone, Debug)]
pub struct Dice {
    state: [u64; 4],
}

impl Dice {
    /// The stream of `seed`; every seed is as good as any other.
    #[must_use]
    pub fn from_seed(seed: u64) -> Dice {
        let mut x = seed;
        let mut splitmix = || {
            x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Dice { state: [splitmix(), splitmix(), splitmix(), splitmix()] }
    }

    /// The next 64 bits.
    #[inline]
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

    /// A number from 0 up to but not including 1, in steps of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number from 0 up to but not including `n`; 0 when `n` is 0. Uneven by less than one part in 2^64 / `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }
}

/// Layers of the ziggurat.
const LAYERS: usize = 256;
/// Where its tail begins, and the area of each layer; of the exponential distribution in 256 layers.
const TAIL: f64 = 7.697_117_470_131_05;
const AREA: f64 = 0.003_949_659_822_581_557;

/// Draws of the exponential distribution with mean 1 by the ziggurat method (Marsaglia and Tsang, "The ziggurat method for
/// generating random variables", 2000): in 99 of 100 cases one multiplication, where a logarithm costs five times that.
#[derive(Clone, Debug)]
pub struct Exponential {
    /// Right edges of the layers, from the widest; and the density there.
    edge: [f64; LAYERS + 1],
    density: [f64; LAYERS + 1],
}

impl Default for Exponential {
    fn default() -> Exponential {
        Exponential::new()
    }
}

impl Exponential {
    /// Prepares the layers.
    #[must_use]
    pub fn new() -> Exponential {
        let (mut edge, mut density) = ([0.0; LAYERS + 1], [1.0; LAYERS + 1]);
        (edge[0], edge[1]) = (AREA / (-TAIL).exp(), TAIL);
        for layer in 1..LAYERS - 1 {
            let height: f64 = (-edge[layer]).exp() + AREA / edge[layer];
            edge[layer + 1] = -height.ln();
        }
        for layer in 0..=LAYERS {
            density[layer] = (-edge[layer]).exp();
        }
        Exponential { edge, density }
    }

    /// The next draw.
    #[inline]
    pub fn draw(&self, dice: &mut Dice) -> f64 {
        let bits = dice.next_u64();
        let layer = (bits & 0xFF) as usize;
        let x = (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64) * self.edge[layer];
        if x < self.edge[layer + 1] { x } else { self.edge_case(dice, layer, x) }
    }

    #[cold]
    fn edge_case(&self, dice: &mut Dice, layer: usize, x: f64) -> f64 {
        if layer == 0 {
            // Beyond the tail it is itself again.
            return TAIL - (1.0 - dice.unit()).ln();
        }
        let (low, high) = (self.density[layer], self.density[layer + 1]);
        if low + dice.unit() * (high - low) < (-x).exp() { x } else { self.draw(dice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_draws_have_its_moments_and_its_tail() {
        let (mut dice, exponential) = (Dice::from_seed(7), Exponential::new());
        let count = 4_000_000;
        let draws: Vec<f64> = (0..count).map(|_| exponential.draw(&mut dice)).collect();
        let n = f64::from(count);
        let mean = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / n;
        // Four deviations of each mean: the variance of x^k is (2k)! - k!^2.
        for (power, moment, variance) in [(1, 1.0, 1.0), (2, 2.0, 20.0), (3, 6.0, 684.0), (4, 24.0, 39_744.0)]
        {
            let deviation = f64::sqrt(variance / n);
            assert!((mean(power) - moment).abs() < 4.0 * deviation, "moment {power}: {}", mean(power));
        }
        for x in [0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 7.6, 7.8, 9.0, 12.0] {
            let expected = n * f64::exp(-x);
            let beyond = draws.iter().filter(|draw| **draw > x).count() as f64;
            assert!(
                (beyond - expected).abs() < 4.0 * expected.sqrt() + 1.0,
                "{beyond} of {expected} beyond {x}"
            );
        }
    }

    #[test]
    fn a_seed_repeats() {
        let draws = |seed| {
            let mut dice = Dice::from_seed(seed);
            (0..5).map(|_| dice.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draws(3), draws(3));
        assert_ne!(draws(3), draws(4));
    }
}
