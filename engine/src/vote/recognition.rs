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

/// The label that near train images elect, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elected<L> {
    /// The label with the largest score.
    pub label: L,
    /// Sum of both terms: in -3 .. 2 for each of the images.
    pub score: f64,
    /// The similarity term: sum of 2 cos - 1.
    pub similarity: f64,
    /// The inlier term: sum of the inliers, at most [`MOST_INLIERS`] an image, divided by that number. `None`: no image of the label was
    /// compared.
    pub inliers: Option<f64>,
}

/// The label that the near train images elect, and how certain it is: each adds 2 cos - 1, and if it was compared the smaller of its
/// inliers and [`MOST_INLIERS`] divided by that number. The largest sum wins; ties go to the label met first. Unlike the score of the
/// soft vote the sum is not divided: it lies in -3 .. 2 for each of the images.
///
/// The images come in rank order; the paper takes three. `None` without any.
pub fn recognise<L: Copy + PartialEq>(near: impl IntoIterator<Item = Near<L>>) -> Option<Elected<L>> {
    let mut tallies: Vec<Elected<L>> = Vec::new();
    for Near { label, similarity, inliers } in near {
        let similar = 2.0 * similarity - 1.0;
        let verified = inliers.map(|inliers| f64::from(inliers.min(MOST_INLIERS)) / f64::from(MOST_INLIERS));
        let weight = similar + verified.unwrap_or_default();
        match tallies.iter_mut().find(|met| met.label == label) {
            Some(tally) => {
                tally.score += weight;
                tally.similarity += similar;
                tally.inliers = match (tally.inliers, verified) {
                    (None, None) => None,
                    (sum, more) => Some(sum.unwrap_or_default() + more.unwrap_or_default()),
                };
            }
            None => tallies.push(Elected { label, score: weight, similarity: similar, inliers: verified }),
        }
    }
    tallies.into_iter().reduce(|best, next| if next.score > best.score { next } else { best })
}

/// The scores of distractors: a label that is predicted for more than `most` of the queries gets minus the number of its predictions,
/// so that it goes behind all others in a list by score.
///
/// A label that so many different photos seem to show is one of "a street" or "a person", not of an instance.
pub fn distractors<L: Copy + Eq + Hash>(predicted: impl IntoIterator<Item = L>, most: usize) -> HashMap<L, f64> {
    let mut counts: HashMap<L, usize> = HashMap::new();
    predicted.into_iter().for_each(|label| *counts.entry(label).or_default() += 1);
    counts.into_iter().filter(|&(_, count)| count > most).map(|(label, count)| (label, -(count as f64))).collect()
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
        let elected = |label, similarity, inliers| {
            Some(Elected { label, score: similarity + inliers, similarity, inliers: Some(inliers) })
        };
        assert_eq!(recognise([near(1, 1.0, Some(700)), near(2, 1.0, Some(70))]), elected(1, 1.0, 1.0));
        assert_eq!(recognise([near(1, 0.9, None), near(2, 0.75, Some(35)), near(2, 0.75, None)]), elected(2, 1.0, 0.5));
        assert_eq!(recognise([near(1, 0.75, None)]).unwrap().inliers, None, "nothing was compared");
        assert_eq!(recognise(std::iter::empty::<Near<u8>>()), None);
    }

    #[test]
    fn labels_of_too_many_queries_go_to_the_end() {
        assert_eq!(distractors([1, 2, 1, 3], 1), HashMap::from([(1, -2.0)]));
        assert_eq!(distractors([1, 2, 1, 3], 2), HashMap::new());
    }
}
