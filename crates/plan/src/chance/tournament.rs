//! Which of many things comes first: a binary tree of the earlier of two.

/// Moments of many things. Each is an `f64` whose last bits hold the number of its thing, so that the earlier of two is
/// one comparison without a branch, and the winner says who it is. That costs at most 14 of 52 bits of a moment.
pub(crate) struct Tournament {
    /// `key[1]` is the first of all; `key[i]` the earlier of `key[2 * i]` and `key[2 * i + 1]`.
    key: Vec<f64>,
    leaves: usize,
}

impl Tournament {
    /// `first`: the moment of each; infinity for never.
    pub(crate) fn new(first: &[f64]) -> Tournament {
        let leaves = first.len().next_power_of_two().max(2);
        let mut all = Tournament { key: vec![f64::INFINITY; 2 * leaves], leaves };
        for (index, &at) in first.iter().enumerate() {
            all.set(index, at);
        }
        all
    }

    fn mask(&self) -> u64 {
        self.leaves as u64 - 1
    }

    /// The first moment and whose it is. Never after all others when nothing comes.
    #[inline]
    pub(crate) fn first(&self) -> (f64, usize) {
        (self.key[1], (self.key[1].to_bits() & self.mask()) as usize)
    }

    /// Gives `index` another moment; infinity for never.
    #[inline]
    pub(crate) fn set(&mut self, index: usize, at: f64) {
        // Infinity with other last bits would be no number.
        let mut key = if at < f64::MAX {
            f64::from_bits(at.to_bits() & !self.mask() | index as u64)
        } else {
            f64::INFINITY
        };
        let mut place = (self.leaves + index) & (self.key.len() - 1);
        while place > 1 {
            self.key[place] = key;
            let other = self.key[place ^ 1];
            key = if key < other { key } else { other };
            place /= 2;
        }
        self.key[1] = key;
    }

    /// Sets the clock back by `hours`; all moments must be later.
    pub(crate) fn back(&mut self, hours: f64) {
        for index in 0..self.leaves {
            let key = self.key[self.leaves + index];
            self.set(index, if key < f64::MAX { (key - hours).max(0.0) } else { key });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dice;
    use super::*;

    #[test]
    fn the_first_is_always_the_first() {
        for count in [1, 2, 3, 17, 100] {
            let mut dice = Dice::from_seed(count as u64);
            let mut times: Vec<f64> = (0..count).map(|_| dice.unit() * 1e5).collect();
            let mut all = Tournament::new(&times);
            for _ in 0..1_000 {
                let (at, who) = all.first();
                let least = times.iter().copied().fold(f64::INFINITY, f64::min);
                assert!((at / least - 1.0).abs() < 1e-9, "{at} {least}");
                assert!(times[who] / least - 1.0 < 1e-9);
                times[who] = if dice.below(10) == 0 && count > 1 { 1e9 } else { at + dice.unit() * 1e4 };
                all.set(who, times[who]);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_the_order() {
        let mut all = Tournament::new(&[50.0, f64::INFINITY, 12.0]);
        all.back(10.0);
        assert_eq!(all.first().1, 2);
        assert!((all.first().0 - 2.0).abs() < 1e-9);
        all.set(2, f64::INFINITY);
        all.set(0, f64::INFINITY);
        assert_eq!(all.first().0, f64::INFINITY);
    }
}
