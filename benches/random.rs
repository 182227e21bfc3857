//! The benches' only random generator: the same seed gives the same numbers everywhere.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Random(SplitMix64);

impl Random {
    /// The stream that begins with this state.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}
