//! Randomness that a seed repeats. Every part that draws has dice of its own, so that what one
//! draws does not move what another does.

/// SplitMix64: small, and good enough to choose faults.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice number `index` under `seed`.
    #[must_use]
    pub const fn new(seed: u64, index: u64) -> Self {
        let mut dice = Self(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        let _ = dice.draw();
        dice
    }

    const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.draw() % n).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included; `low` if `high` is less.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.draw() % span
    }

    /// Whether something that happens `n` times of 1,000 happens now.
    pub const fn per_mille(&mut self, n: u16) -> bool {
        self.draw() % 1_000 < n as u64
    }

    /// One of them.
    pub fn pick<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_repeat_and_others_differ() {
        let draw = |seed, index| {
            let mut dice = Dice::new(seed, index);
            (0..8).map(|_| dice.between(0, u64::MAX - 1)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        let mut dice = Dice::new(1, 1);
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
        assert!((0..1_000).all(|_| !dice.per_mille(0) && dice.per_mille(1_000)));
        assert_eq!(dice.between(5, 3), 5);
    }
}
