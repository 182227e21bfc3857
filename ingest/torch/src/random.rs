//! Reproducible random numbers: every draw is a function of the numbers that a generator was made from, so that a training can
//! resume without a stored generator state.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), started from several numbers.
pub(crate) struct Mix(SplitMix64);

/// What SplitMix64 adds to its state before each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The first number of the stream that begins with a state.
fn first(state: u64) -> u64 {
    SplitMix64::seed_from_u64(state).next_u64()
}

impl Mix {
    /// The generator of these words, for example seed, purpose, epoch.
    pub(crate) fn new(words: &[u64]) -> Self {
        let fold = |state: u64, &word: &u64| first((state.wrapping_add(STEP) ^ first(word)).wrapping_sub(STEP));
        Self(SplitMix64::seed_from_u64(words.iter().fold(0, fold)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 0 to 1, 1 left out; 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// 0 to `end` - 1; 0 where `end` is 0. The bias of the multiplication is below end / 2^64.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// A standard normal number (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// In random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// (rows, columns) numbers of Xavier's uniform distribution, +- sqrt(6 / (rows + columns)) (Glorot and Bengio, 2010).
pub(crate) fn xavier_uniform(mix: &mut Mix, rows: usize, columns: usize) -> Vec<f32> {
    let limit = (6.0 / (rows + columns).max(1) as f64).sqrt();
    (0..rows * columns).map(|_| mix.between(-limit, limit) as f32).collect()
}

/// (rows, columns) numbers of Xavier's normal distribution, deviation sqrt(2 / (rows + columns)).
pub(crate) fn xavier_normal(mix: &mut Mix, rows: usize, columns: usize) -> Vec<f32> {
    let deviation = (2.0 / (rows + columns).max(1) as f64).sqrt();
    (0..rows * columns).map(|_| (deviation * mix.normal()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decide_and_their_order_does() {
        let first = |words: &[u64]| Mix::new(words).next();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[0]), first(&[0, 0]));
        // Trainings of earlier builds resume with the same draws.
        assert_eq!(first(&[1, 2]), 0x5d56_4ce2_71f0_99b7);
    }

    #[test]
    fn draws_have_the_distributions_they_promise() {
        let mut mix = Mix::new(&[3]);
        let normal: Vec<f64> = (0..20_000).map(|_| mix.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut seen = [0; 7];
        (0..7_000).for_each(|_| seen[mix.below(7)] += 1);
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(mix.below(0), 0);
        let mut order: Vec<u32> = (0..100).collect();
        mix.shuffle(&mut order);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
    }
}
