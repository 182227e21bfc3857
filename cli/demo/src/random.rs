//! The demo's only source of chance: a splitmix64 stream named by numbers, so the same seed gives the same photos everywhere.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Random(SplitMix64);

impl Random {
    /// The stream that belongs to these numbers (a seed, a place, a view, a photo), in this order.
    pub fn of(name: &[u64]) -> Self {
        let fold = |state: u64, part: &u64| {
            let part = part.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1319_8a2e_0370_7344);
            SplitMix64::seed_from_u64(state ^ part).next_u64()
        };
        Self(SplitMix64::seed_from_u64(name.iter().fold(0x243f_6a88_85a3_08d3, fold)))
    }

    /// The next 64 bits (splitmix64, Steele, Lea and Flood 2014).
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// A number in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A whole number in [low, high].
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        let span = (high.saturating_sub(low) + 1) as u64;
        low + (self.bits() % span) as usize
    }

    /// True this often.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Puts a list into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.whole(0, last);
            list.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_each_number_of_its_name_and_on_nothing_else() {
        let draw = |name: &[u64]| Random::of(name).bits();
        assert_eq!(draw(&[7, 1, 2]), draw(&[7, 1, 2]));
        assert_ne!(draw(&[7, 1, 2]), draw(&[7, 2, 1]));
        assert_ne!(draw(&[7, 1]), draw(&[8, 1]));
        // The photos of a seed are those of earlier builds.
        assert_eq!(draw(&[7, 1, 2]), 0x51ca_6e2b_67ee_1b6f);
    }

    #[test]
    fn numbers_stay_in_their_ranges() {
        let mut random = Random::of(&[1]);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&random.unit()));
            assert!((3..=5).contains(&random.whole(3, 5)));
        }
        let mut list: Vec<u32> = (0..20).collect();
        random.shuffle(&mut list);
        assert_ne!(list, (0..20).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<_>>());
    }
}
