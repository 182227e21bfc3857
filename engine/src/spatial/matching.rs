//! Matches the similar local descriptors of two images.

use crate::error::{Error, ErrorKind, Result};
use crate::spatial::features::Features;
use crate::vector::{CodedQuery, products, row_residual, stride};

/// A feature of each image whose descriptors match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Feature of the first image, from 0.
    pub first: u32,
    /// Feature of the second image, from 0.
    pub second: u32,
}

/// When two descriptors match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matching {
    /// Descriptors match that are nearer than this: L2 distance of unit vectors, in (0, 2]. The default, 0.8, is the released code's
    /// for DELF (`matching_localfeatures.py:317`); [`Matching::xfeat`] has another.
    pub max_distance: f32,
    /// Whether each must be the other's nearest. Default: no; several features of the second image may then share one of the first.
    pub mutual: bool,
}

impl Default for Matching {
    fn default() -> Self {
        Self { max_distance: 0.8, mutual: false }
    }
}

impl Matching {
    /// For the 64-dimensional descriptors of XFeat (Potje et al., CVPR 2024), whose code takes mutual nearest neighbours of cosine
    /// 0.82 or more: an L2 distance of sqrt(2 - 2 x 0.82) = 0.6.
    pub const fn xfeat() -> Self {
        Self { max_distance: 0.6, mutual: true }
    }
}

/// The putative matches of two images, by rising feature of `second`: for each of its features the nearest of `first` if it is
/// nearer than `max_distance`; equally near ones go to the lower number. No ratio test.
///
/// Exact: distances that decide are summed in f64 over the full descriptors. Codes of 8 bits, whose error has a proven bound, only
/// say which pairs cannot decide.
///
/// # Errors
/// Mismatch when the descriptors differ in dimension, invalid when `max_distance` is not in (0, 2].
///
/// Cost: `O(n m d)` products of 8 bits (twice when `mutual`), and few of f64.
pub fn matches(first: &Features, second: &Features, how: &Matching) -> Result<Vec<Match>> {
    if first.dimension() != second.dimension() {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("local descriptors of {} and of {} dimensions", first.dimension(), second.dimension()),
        )
        .help("both images need features of one extractor"));
    }
    if !(how.max_distance > 0.0 && how.max_distance <= 2.0) {
        return Err(Error::invalid(format!("a largest descriptor distance of {}", how.max_distance))
            .help("unit vectors are at most 2 apart; DELF uses 0.8, XFeat 0.6"));
    }
    let limit = f64::from(how.max_distance);
    let found = nearest(first, second, limit);
    let back = if how.mutual { nearest(second, first, limit) } else { Vec::new() };
    let pairs = found.iter().enumerate().filter_map(|(second, first)| Some((second as u32, (*first)?)));
    let is_wanted = |&(second, first): &(u32, u32)| !how.mutual || back[first as usize] == Some(second);
    Ok(pairs.filter(is_wanted).map(|(second, first)| Match { first, second }).collect())
}

/// For each feature of `of` its nearest in `among`, if that is nearer than `limit`.
fn nearest(among: &Features, of: &Features, limit: f64) -> Vec<Option<u32>> {
    /// Features of `of` whose scores are computed together: their scores with 1,000 others take 256 kB.
    const TOGETHER: usize = 64;
    /// Above what lengths within 1e-6 of 1 (squared) change of a cosine that is computed from a distance, and f64 rounding.
    const UNIT_SLACK: f64 = 4e-6;
    if among.is_empty() {
        return vec![None; of.len()];
    }
    let stride = stride(of.dimension());
    let largest_residual = among.codes().chunks_exact(stride).map(row_residual).fold(0.0f32, f32::max);
    let least_cosine = 1.0 - limit * limit / 2.0;
    let mut scores = vec![0.0f32; TOGETHER * among.len()];
    let mut found = Vec::with_capacity(of.len());
    for rows in of.codes().chunks(TOGETHER * stride) {
        let queries: Vec<CodedQuery> =
            rows.chunks_exact(stride).map(|row| CodedQuery::of_row(row, of.dimension())).collect();
        let scores = &mut scores[..queries.len() * among.len()];
        products(&queries, among.codes(), scores);
        for (query, scores) in queries.iter().zip(scores.chunks_exact(among.len())) {
            let off = f64::from(query.bound(largest_residual)) + UNIT_SLACK;
            let best = scores.iter().fold(f32::NEG_INFINITY, |best, &score| best.max(score));
            // Neither below the best by more than both errors, nor too far whatever its error.
            let least = (f64::from(best) - 2.0 * off).max(least_cosine - off) as f32;
            let descriptor = of.descriptor(found.len());
            let mut nearest: Option<(f64, u32)> = None;
            // `next_down`: the rounding of `least` to f32 must not exclude anything.
            for (at, _) in scores.iter().enumerate().filter(|(_, score)| **score >= least.next_down()) {
                let distance = squared_distance(among.descriptor(at), descriptor);
                if nearest.is_none_or(|(least, _)| distance < least) {
                    nearest = Some((distance, at as u32));
                }
            }
            found.push(nearest.filter(|(distance, _)| distance.sqrt() < limit).map(|(_, at)| at));
        }
    }
    found
}

/// Squared L2 distance, summed in f64 in the order of the components.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let difference = |(a, b): (&f32, &f32)| f64::from(*a) - f64::from(*b);
    a.iter().zip(b).map(difference).map(|d| d * d).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(dimension: usize, descriptors: &[f32]) -> Features {
        Features::new(dimension, vec![[0.0; 2]; descriptors.len() / dimension], descriptors).unwrap()
    }

    fn pairs(list: &[Match]) -> Vec<(u32, u32)> {
        list.iter().map(|pair| (pair.first, pair.second)).collect()
    }

    /// Matches by the definition, without codes.
    fn plain(first: &Features, second: &Features, how: &Matching) -> Vec<(u32, u32)> {
        let nearest = |among: &Features, descriptor: &[f32]| {
            (0..among.len()).map(|at| (squared_distance(among.descriptor(at), descriptor), at)).min_by(|a, b| {
                let order = a.0.total_cmp(&b.0);
                order.then(a.1.cmp(&b.1))
            })
        };
        let mut found = Vec::new();
        for at in 0..second.len() {
            let Some((distance, target)) = nearest(first, second.descriptor(at)) else { continue };
            let back = || nearest(second, first.descriptor(target)).is_some_and(|(_, back)| back == at);
            if distance.sqrt() < f64::from(how.max_distance) && (!how.mutual || back()) {
                found.push((target as u32, at as u32));
            }
        }
        found
    }

    /// Few directions with small changes, so that many distances are nearly equal.
    fn descriptors(dimension: usize) -> impl Strategy<Value = Vec<f32>> {
        let row = (0usize..6, prop::collection::vec(prop_oneof![Just(0.0f32), -0.01f32..0.01], dimension)).prop_map(
            move |(direction, mut row)| {
                row.iter_mut().enumerate().for_each(|(at, x)| *x += ((at * (direction + 2)) % 7) as f32 - 2.9);
                row
            },
        );
        prop::collection::vec(row, 0..70).prop_map(|rows| rows.concat())
    }

    proptest! {
        #[test]
        fn codes_lose_no_match(
            (dimension, a, b) in (1usize..70).prop_flat_map(|d| (Just(d), descriptors(d), descriptors(d))),
            max_distance in prop_oneof![Just(0.05f32), Just(0.8), Just(2.0)],
            mutual: bool,
        ) {
            let (first, second) = (of(dimension, &a), of(dimension, &b));
            let how = Matching { max_distance, mutual };
            prop_assert_eq!(pairs(&matches(&first, &second, &how).unwrap()), plain(&first, &second, &how));
        }
    }

    #[test]
    fn several_may_share_a_target_unless_mutual() {
        let first = of(2, &[1.0, 0.0, 0.0, 1.0]);
        let second = of(2, &[0.9, 0.1, 1.0, 0.01, -1.0, -1.0]);
        let found = matches(&first, &second, &Matching::default()).unwrap();
        assert_eq!(pairs(&found), [(0, 0), (0, 1)]);
        assert_eq!(pairs(&matches(&first, &second, &Matching::xfeat()).unwrap()), [(0, 1)]);
    }

    #[test]
    fn the_limit_itself_is_too_far() {
        let (first, second) = (of(2, &[1.0, 0.0]), of(2, &[-1.0, 0.0]));
        let at = |max_distance| matches(&first, &second, &Matching { max_distance, mutual: false });
        assert!(at(2.0).unwrap().is_empty());
        for bad in [0.0, -1.0, 2.5, f32::NAN] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_features_no_matches_and_other_extractors_are_refused() {
        let (none, one) = (of(2, &[]), of(2, &[1.0, 0.0]));
        for (a, b) in [(&none, &one), (&one, &none), (&none, &none)] {
            assert!(matches(a, b, &Matching::xfeat()).unwrap().is_empty());
        }
        assert_eq!(matches(&one, &of(3, &[]), &Matching::default()).unwrap_err().kind(), ErrorKind::Mismatch);
    }
}
