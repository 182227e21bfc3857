//! The engine's only random generator: the same seed gives the same numbers on every machine.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one addition and three mixings a number, from any seed.
pub(crate) struct Random(SplitMix64);

impl Random {
    /// The stream that begins with this state.
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `count`; the most likely is more likely than the least by `count` in 2^64.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// About normal with deviation 1: the sum of twelve uniform numbers, centred.
    #[cfg(test)]
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0
    }
}
