//! The learning rate of a step: cosine annealing (Loshchilov and Hutter, ICLR 2017), reduced a little every step.

/// The rate of step `step` (from 0) of `steps`: last + (first - last) * (1 + cos(pi step / steps)) / 2. From step `steps` on it is
/// `last`.
pub fn cosine_rate(step: u64, steps: u64, first: f64, last: f64) -> f64 {
    let done = step as f64 / steps.max(1) as f64;
    last + (first - last) * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_rate_equals_the_golden_file() {
        let Some(path) = crate::testing::shared("golden/model/cosine_lr_T1000.json") else { return };
        let text = std::fs::read_to_string(path).unwrap();
        let numbers: Vec<f64> = text.split(['[', ']', ',', ' ']).filter_map(|word| word.trim().parse().ok()).collect();
        assert_eq!(numbers.len(), 16);
        for pair in numbers.chunks(2) {
            let rate = cosine_rate(pair[0] as u64, 1000, 1e-3, 3e-6);
            assert!((rate / pair[1] - 1.0).abs() < 1e-9, "step {}: {rate} is not {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn no_steps_and_steps_beyond_the_end_are_the_last_rate() {
        assert_eq!(cosine_rate(5, 0, 1.0, 0.5), 0.5);
        assert_eq!(cosine_rate(2000, 1000, 1.0, 0.5), 0.5);
    }
}
