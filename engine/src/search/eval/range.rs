//! How far a mean over queries can be trusted: its bootstrap range.

use crate::vector::Random;

/// A mean and the range in which 95 % of the resampled means lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanRange {
    /// The mean.
    pub mean: f64,
    /// The 2.5th percentile of the resampled means.
    pub least: f64,
    /// The 97.5th percentile.
    pub most: f64,
    /// Number of values.
    pub count: usize,
}

/// The percentile bootstrap (B. Efron, "Bootstrap methods: another look at the jackknife", 1979): `draws` times as many values as there
/// are drawn with replacement, and averaged. The same seed gives the same range on every machine. `None` without values.
///
/// Complexity: O(draws x values).
pub fn mean_range(values: &[f64], draws: usize, seed: u64) -> Option<MeanRange> {
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut random = Random::new(seed);
    let mut means: Vec<f64> = (0..draws.max(1))
        .map(|_| (0..count).map(|_| values[random.below(count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let percentile = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    Some(MeanRange { mean, least: percentile(0.025), most: percentile(0.975), count })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: a range of the values instead of their mean, another width, a range that the seed does not fix.
    #[test]
    fn the_range_is_that_of_the_mean() {
        let values: Vec<f64> = (0..100).map(|at| f64::from(at % 2)).collect();
        let range = mean_range(&values, 1_000, 0).unwrap();
        assert_eq!((range.mean, range.count), (0.5, 100));
        // The standard error is 0.05, and 95 % lie within 1.96 of it.
        assert!((range.least - 0.402).abs() < 0.02 && (range.most - 0.598).abs() < 0.02, "{range:?}");
        assert_eq!(mean_range(&values, 1_000, 0).unwrap(), range);
        assert_ne!(mean_range(&values, 1_000, 1).unwrap(), range);
        assert_eq!(mean_range(&[0.25], 10, 0).unwrap(), MeanRange { mean: 0.25, least: 0.25, most: 0.25, count: 1 });
        assert!(mean_range(&[], 10, 0).is_none());
    }
}
