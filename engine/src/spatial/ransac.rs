//! The largest set of matches that one affine map explains, by sampling (RANSAC, Fischler and Bolles 1981).

use crate::error::{Error, Result};
use crate::spatial::affine::Affine;
use crate::vector::Random;

/// Matches that fix an affine map.
const SAMPLE: usize = 3;
/// Three matches agree with some map whatever they are; more are needed to say anything.
const LEAST_MATCHES: usize = SAMPLE + 1;

/// How a map is looked for. Defaults are the released code's (`matching_localfeatures.py:317-341`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ransac {
    /// A match agrees with a map that leads nearer than this to its second end, in pixels of the second image. Default 20.
    pub residual: f64,
    /// Samples tried at most, 1 or more. Default 1,000. When there are no more triples of matches than that (up to 19 matches),
    /// each is tried once.
    pub trials: usize,
    /// Where the random samples start; the same seed gives the same answer on every machine.
    pub seed: u64,
}

impl Default for Ransac {
    fn default() -> Self {
        Self { residual: 20.0, trials: 1_000, seed: 0 }
    }
}

impl Ransac {
    /// # Errors
    /// Invalid when a parameter is out of range.
    fn check(&self) -> Result<()> {
        if !(self.residual > 0.0 && self.residual.is_finite()) {
            return Err(Error::invalid(format!("a residual of {} pixels", self.residual))
                .help("give a positive number of pixels; the default is 20"));
        }
        if self.trials == 0 {
            return Err(Error::invalid("no trials").help("1000 is the default"));
        }
        Ok(())
    }
}

/// A map and the matches that agree with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The least-squares map of the inliers.
    pub model: Affine,
    /// Numbers of the matches that agree with the best *sample's* map, rising. Their count is the score.
    pub inliers: Vec<usize>,
}

/// The best map of any sample of three matches: most inliers; among equals the least sum of squared residuals over all matches, and
/// among those the first tried. `pairs` are the two ends of each match, in pixels.
///
/// Samples whose first ends lie on one line are skipped. `None` for fewer than four matches (three agree with some map always), and
/// when every sample is skipped. Ends that are not finite agree with nothing.
///
/// It stops early only if no later sample could change the result: all matches agree. Likewise it skips a sample's remaining
/// matches once the sample cannot reach the best. So the result is that of `trials` full trials.
///
/// # Errors
/// Invalid when a parameter is out of range.
///
/// Cost: at most `trials` times the number of matches.
pub fn ransac(pairs: &[[[f32; 2]; 2]], how: &Ransac) -> Result<Option<Fit>> {
    how.check()?;
    if pairs.len() < LEAST_MATCHES {
        return Ok(None);
    }
    let matches = Matches::new(pairs);
    let limit = how.residual * how.residual;
    let mut best: Option<(Agreement, Affine)> = None;
    for sample in Samples::new(pairs.len(), how) {
        let end = |side: usize| sample.map(|at| pairs[at][side].map(f64::from));
        let Some(model) = Affine::through(end(0), end(1)) else { continue };
        let least = best.as_ref().map_or(0, |(agreement, _)| agreement.inliers);
        let Some(agreement) = matches.agreement(&model, limit, least) else { continue };
        if best.as_ref().is_none_or(|(best, _)| agreement.is_better_than(best)) {
            best = Some((agreement, model));
            if agreement.inliers == pairs.len() {
                break;
            }
        }
    }
    Ok(best.filter(|(agreement, _)| agreement.inliers > 0).map(|(_, model)| {
        let inliers = matches.inliers(&model, limit);
        let refined = Affine::best(inliers.iter().map(|&at| pairs[at].map(|end| end.map(f64::from))));
        Fit { model: refined.unwrap_or(model), inliers }
    }))
}

/// How well a map explains the matches.
#[derive(Debug, Clone, Copy)]
struct Agreement {
    inliers: usize,
    /// Sum of squared residuals of all matches.
    squares: f64,
}

impl Agreement {
    fn is_better_than(&self, other: &Self) -> bool {
        self.inliers > other.inliers || (self.inliers == other.inliers && self.squares < other.squares)
    }
}

/// Matches that are added up side by side; the order of the sum is fixed, so that it is the same everywhere.
const LANES: usize = 8;
/// A block of the coordinates of matches: x, y, x', y'.
type Block = [[f64; LANES]; 4];

/// The ends of all matches, laid out so that a block is computed at once.
struct Matches {
    blocks: Vec<Block>,
    count: usize,
}

impl Matches {
    fn new(pairs: &[[[f32; 2]; 2]]) -> Self {
        let block = |pairs: &[[[f32; 2]; 2]]| {
            let mut block = [[0.0; LANES]; 4];
            for (lane, [from, to]) in pairs.iter().enumerate() {
                let ends = [from[0], from[1], to[0], to[1]];
                block.iter_mut().zip(ends).for_each(|(row, coordinate)| row[lane] = f64::from(coordinate));
            }
            block
        };
        Self { blocks: pairs.chunks(LANES).map(block).collect(), count: pairs.len() }
    }

    /// Matches in a block; only the last is not full.
    fn used(&self, block: usize) -> usize {
        LANES.min(self.count - block * LANES)
    }

    /// `None`: fewer than `least` inliers.
    fn agreement(&self, model: &Affine, limit: f64, least: usize) -> Option<Agreement> {
        let (mut inliers, mut squares) = (0, [0.0; LANES]);
        for (at, block) in self.blocks.iter().enumerate() {
            let used = self.used(at);
            let residuals = squared_residuals(model, block);
            for (sum, residual) in squares[..used].iter_mut().zip(residuals) {
                *sum += residual;
            }
            inliers += residuals[..used].iter().filter(|residual| **residual < limit).count();
            let rest = self.count - (at * LANES + used);
            if inliers + rest < least {
                return None;
            }
        }
        Some(Agreement { inliers, squares: squares.iter().sum() })
    }

    /// Numbers of the inliers, rising.
    fn inliers(&self, model: &Affine, limit: f64) -> Vec<usize> {
        let mut inliers = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            let residuals = squared_residuals(model, block);
            let near = residuals[..self.used(at)].iter().enumerate().filter(|(_, residual)| **residual < limit);
            inliers.extend(near.map(|(lane, _)| at * LANES + lane));
        }
        inliers
    }
}

/// Squared distances between where a map leads and the second ends.
fn squared_residuals(Affine { m }: &Affine, [x, y, to_x, to_y]: &Block) -> [f64; LANES] {
    std::array::from_fn(|lane| {
        let dx = m[0] * x[lane] + m[1] * y[lane] + m[2] - to_x[lane];
        let dy = m[3] * x[lane] + m[4] * y[lane] + m[5] - to_y[lane];
        dx * dx + dy * dy
    })
}

/// Triples of matches to try: all of them if they are no more than the trials, else random ones.
struct Samples {
    count: usize,
    left: usize,
    /// The triple that comes next when all are tried.
    next: Option<[usize; SAMPLE]>,
    random: Random,
}

impl Samples {
    fn new(count: usize, how: &Ransac) -> Self {
        // Saturating: a product that does not fit is more than any number of trials.
        let triples = count.saturating_mul(count - 1).saturating_mul(count - 2) / 6;
        let next = (triples <= how.trials).then_some([0, 1, 2]);
        Self { count, left: how.trials.min(triples), next, random: Random::new(how.seed) }
    }

    /// The triple behind `[a, b, c]` in the order of a < b < c.
    fn following(&self, [a, b, c]: [usize; SAMPLE]) -> [usize; SAMPLE] {
        if c + 1 < self.count {
            [a, b, c + 1]
        } else if b + 2 < self.count {
            [a, b + 1, b + 2]
        } else {
            [a + 1, a + 2, a + 3]
        }
    }
}

impl Iterator for Samples {
    type Item = [usize; SAMPLE];

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if let Some(triple) = self.next {
            self.next = Some(self.following(triple));
            return Some(triple);
        }
        let a = self.random.below(self.count);
        // Each of the others is drawn from those that are left: numbers at or above one that is taken move up by one.
        let mut b = self.random.below(self.count - 1);
        b += usize::from(b >= a);
        let mut c = self.random.below(self.count - 2);
        c += usize::from(c >= a.min(b));
        c += usize::from(c >= a.max(b));
        Some([a, b, c])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Matches of which the first `good` follow a map, in order, and the rest lead anywhere.
    fn planted(good: usize, bad: usize) -> Vec<[[f32; 2]; 2]> {
        let mut random = Random::new(7);
        let mut place = || [random.below(700) as f32, random.below(700) as f32];
        let mut pairs = Vec::new();
        for at in 0..good + bad {
            let [x, y] = place();
            pairs
                .push([[x, y], if at < good { [0.9 * x - 0.3 * y + 50.0, 0.2 * x + 1.1 * y - 20.0] } else { place() }]);
        }
        pairs
    }

    #[test]
    fn it_finds_what_was_planted() {
        for (good, bad) in [(4, 0), (10, 3), (60, 40), (200, 300), (1000, 0)] {
            let fit = ransac(&planted(good, bad), &Ransac { residual: 2.0, ..Ransac::default() }).unwrap().unwrap();
            let found: Vec<usize> = fit.inliers.iter().copied().filter(|&at| at < good).collect();
            assert_eq!(found, (0..good).collect::<Vec<_>>(), "{good} planted, {bad} others");
            assert!(fit.inliers.len() <= good + 3);
        }
    }

    #[test]
    fn the_map_is_the_one_that_was_planted() {
        let fit = ransac(&planted(40, 5), &Ransac { residual: 1.0, ..Ransac::default() }).unwrap().unwrap();
        for (found, planted) in fit.model.m.iter().zip([0.9, -0.3, 50.0, 0.2, 1.1, -20.0]) {
            assert!((found - planted).abs() < 1e-3, "{found} for {planted}");
        }
    }

    #[test]
    fn one_seed_gives_one_answer() {
        let pairs = planted(8, 120);
        let with = |seed| ransac(&pairs, &Ransac { seed, ..Ransac::default() }).unwrap();
        assert_eq!(with(1), with(1));
        // Written down, because it must be the same on every machine.
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn too_few_or_flat_matches_have_no_map() {
        let none = |pairs: &[[[f32; 2]; 2]]| ransac(pairs, &Ransac::default()).unwrap().is_none();
        assert!(none(&[]));
        assert!(none(&planted(3, 0)));
        assert!(!none(&planted(4, 0)));
        let line: Vec<[[f32; 2]; 2]> = (0..50).map(|at| [[at as f32, 2.0 * at as f32], [at as f32, 0.0]]).collect();
        assert!(none(&line));
        assert!(none(&[[[f32::NAN; 2]; 2]; 9]));
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for (residual, trials) in [(0.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (20.0, 0)] {
            assert!(ransac(&[], &Ransac { residual, trials, seed: 0 }).is_err());
        }
    }

    #[test]
    fn few_matches_are_tried_in_every_triple_once() {
        for count in 4..=19 {
            let how = Ransac::default();
            let all: Vec<[usize; 3]> = Samples::new(count, &how).collect();
            let different: HashSet<[usize; 3]> = all.iter().copied().collect();
            assert_eq!((all.len(), different.len()), (count * (count - 1) * (count - 2) / 6, all.len()));
            assert!(all.iter().all(|[a, b, c]| a < b && b < c && *c < count));
        }
    }

    #[test]
    fn random_samples_are_three_different_and_even() {
        let mut drawn = [0; 20];
        for sample in Samples::new(20, &Ransac::default()) {
            assert!(sample[0] != sample[1] && sample[0] != sample[2] && sample[1] != sample[2]);
            sample.iter().for_each(|&at| drawn[at] += 1);
        }
        // 3,000 draws of 20 numbers: 150 each, with a deviation of 12.
        assert!(drawn.iter().all(|&times| (100..200).contains(&times)), "{drawn:?}");
    }

    proptest! {
        /// The answer by its definition: every sample in full, no early end.
        #[test]
        fn leaving_early_changes_nothing(
            pairs in prop::collection::vec(
                ([0i8..30, 0i8..30], [-1i8..2, -1i8..2], prop::bool::weighted(0.3), [0i8..30, 0i8..30]), 4..40),
            residual in 1.0f64..6.0,
        ) {
            let pairs: Vec<[[f32; 2]; 2]> = pairs.into_iter().map(|(from, off, is_bad, other)| {
                let near = [from[0] + off[0], from[1] + off[1]];
                [from.map(f32::from), if is_bad { other } else { near }.map(f32::from)]
            }).collect();
            let how = Ransac { residual, trials: 200, seed: 3 };
            let matches = Matches::new(&pairs);
            let mut best: Option<(Agreement, Affine)> = None;
            for sample in Samples::new(pairs.len(), &how) {
                let end = |side: usize| sample.map(|at| pairs[at][side].map(f64::from));
                let Some(model) = Affine::through(end(0), end(1)) else { continue };
                let agreement = matches.agreement(&model, residual * residual, 0).unwrap();
                if best.as_ref().is_none_or(|(best, _)| agreement.is_better_than(best)) {
                    best = Some((agreement, model));
                }
            }
            let expected = best.map(|(_, model)| matches.inliers(&model, residual * residual));
            prop_assert_eq!(ransac(&pairs, &how).unwrap().map(|fit| fit.inliers), expected);
        }
    }
}
