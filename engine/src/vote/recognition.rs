//! Recognition: which instance a query shows, by similarity and spatial verification (slides, page 18; docs/ALGORITHMS.md).

use std::collections::HashMap;
use std::hash::Hash;

/// Inliers from which the inlier term is 1.
pub const MOST_INLIERS: u32 = 70;
/// A label that is predicted for more queries than this is a distractor's, in the paper's competition.
pub const DISTRACTOR_FROM: usize = 30;

/// A near train image of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near<L> {
    /// Its label.
    pub label: L,
    /// Its cosine to the query.
    pub similarity: f64,
    /// Inliers of the query and it; `None`: they were not compared.
    pub inliers: Option<u32>,
}

/// The label that the near train images elect, and how certain it is: each adds 2 cos - 1, and if it was compared the smaller of its
/// inliers and [`MOST_INLIERS`] divided by that number. The largest sum wins; ties go to the label met first. Unlike the score of the
/// soft vote the sum is not divided: it lies in -3 .. 2 for each of the images.
///
/// The images come in rank order; the paper takes three. `None` without any.
pub fn recognise<L: Copy + PartialEq>(near: impl IntoIterator<Item = Near<L>>) -> Option<(L, f64)> {
    let mut tallies: Vec<(L, f64)> = Vec::new();
    for Near { label, similarity, inliers } in near {
        let verified = inliers.map_or(0.0, |inliers| f64::from(inliers.min(MOST_INLIERS)) / f64::from(MOST_INLIERS));
        let weight = 2.0 * similarity - 1.0 + verified;
        match tallies.iter_mut().find(|(met, _)| *met == label) {
            Some((_, tally)) => *tally += weight,
            None => tallies.push((label, weight)),
        }
    }
    tallies.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Sinks the predictions of labels that are predicted for more than `most` of the queries: each keeps its label and gets minus the
/// number of its predictions as its score, so that it goes behind all others in a list by score.
///
/// A label that so many different photos seem to show is one of "a street" or "a person", not of an instance.
pub fn sink_distractors<L: Copy + Eq + Hash>(predictions: &mut [(L, f64)], most: usize) {
    let mut counts: HashMap<L, usize> = HashMap::new();
    predictions.iter().for_each(|(label, _)| *counts.entry(*label).or_default() += 1);
    for (label, score) in predictions {
        let count = counts[label];
        if count > most {
            *score = -(count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(label: u32, similarity: f64, inliers: Option<u32>) -> Near<u32> {
        Near { label, similarity, inliers }
    }

    /// It catches: inliers without a limit, a division by the number of images, a tie to the label met last.
    #[test]
    fn similarity_and_inliers_add_up() {
        assert_eq!(recognise([near(1, 1.0, Some(700)), near(2, 1.0, Some(70))]), Some((1, 2.0)));
        assert_eq!(recognise([near(1, 0.9, None), near(2, 0.75, Some(35)), near(2, 0.75, None)]), Some((2, 1.5)));
        assert_eq!(recognise(std::iter::empty::<Near<u8>>()), None);
    }

    #[test]
    fn labels_of_too_many_queries_go_to_the_end() {
        let mut predictions = [(1, 1.9), (2, 0.3), (1, 1.2), (3, -0.5)];
        sink_distractors(&mut predictions, 1);
        assert_eq!(predictions, [(1, -2.0), (2, 0.3), (1, -2.0), (3, -0.5)]);
    }
}
