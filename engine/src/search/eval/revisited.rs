//! Metrics of the revisited Oxford and Paris datasets (F. Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018), as their authors'
//! code computes them.

use std::collections::{HashMap, HashSet};

/// What one query should find, by difficulty. No id stands in two lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revisited {
    /// Ids of images that show the same instance clearly.
    pub easy: Vec<String>,
    /// Ids of images that show it in another light, from another side, or in part.
    pub hard: Vec<String>,
    /// Ids of images that count neither way; the metrics remove them from the list.
    pub junk: Vec<String>,
}

/// A query's id and what it should find.
pub type RevisitedTruth = (String, Revisited);

/// Which images a query should find; the others of its instance are junk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difficulty {
    /// The easy ones.
    Easy,
    /// The easy and the hard ones.
    Medium,
    /// The hard ones.
    Hard,
}

/// Means over all queries that have something to find, each in 0..1; more is better.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisitedMetrics {
    /// Queries counted.
    pub queries: usize,
    /// Mean average precision.
    pub map: f64,
    /// Mean precision at each of the depths that were asked for.
    pub precision: Vec<f64>,
}

impl Revisited {
    /// The ids to find and the ids that count neither way.
    fn of(&self, difficulty: Difficulty) -> (HashSet<&str>, HashSet<&str>) {
        fn set<'a>(parts: &[&'a Vec<String>]) -> HashSet<&'a str> {
            parts.iter().flat_map(|part| part.iter().map(String::as_str)).collect()
        }
        match difficulty {
            Difficulty::Easy => (set(&[&self.easy]), set(&[&self.junk, &self.hard])),
            Difficulty::Medium => (set(&[&self.easy, &self.hard]), set(&[&self.junk])),
            Difficulty::Hard => (set(&[&self.hard]), set(&[&self.junk, &self.easy])),
        }
    }
}

/// Places of the ids to find in the list without junk, from 0 on.
fn places(ranked: &[String], ok: &HashSet<&str>, junk: &HashSet<&str>) -> Vec<usize> {
    let mut met = HashSet::new();
    let counted = ranked.iter().map(String::as_str).filter(|id| !junk.contains(id));
    counted.enumerate().filter(|(_, id)| ok.contains(id) && met.insert(*id)).map(|(place, _)| place).collect()
}

/// Average precision by the trapezoid rule: of the j-th found image at place r (both from 0 on), the mean of the precision before it,
/// j / r (1 at the first place), and behind it, (j + 1) / (r + 1); the sum divided by the number of images to find, ranked or not.
///
/// `None`: the query has nothing to find at this difficulty.
pub fn revisited_average_precision(ranked: &[String], truth: &Revisited, difficulty: Difficulty) -> Option<f64> {
    let (ok, junk) = truth.of(difficulty);
    if ok.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    for (found, place) in places(ranked, &ok, &junk).into_iter().enumerate() {
        let before = if place == 0 { 1.0 } else { found as f64 / place as f64 };
        sum += (before + (found + 1) as f64 / (place + 1) as f64) / 2.0;
    }
    Some(sum / ok.len() as f64)
}

/// Hits within the first `depth` images without junk, divided by `depth`, or by the place of the last of the `wanted` images to find if
/// that is smaller. An image that the list does not have has no place, and ends nothing (the authors' code ranks the whole collection
/// and never sees that).
fn precision_at(places: &[usize], wanted: usize, depth: usize) -> f64 {
    let depth = match places.last() {
        Some(last) if places.len() == wanted => depth.min(last + 1),
        _ => depth,
    };
    places.iter().filter(|&&place| place < depth).count() as f64 / depth.max(1) as f64
}

/// The metrics of ranked lists by query id, at one difficulty. A query without a list counts as an empty one. Lists should rank the
/// whole collection: what is not ranked counts as not found.
pub fn revisited(
    truth: &[RevisitedTruth],
    ranked: &HashMap<String, Vec<String>>,
    difficulty: Difficulty,
    depths: &[usize],
) -> RevisitedMetrics {
    let mut metrics = RevisitedMetrics { queries: 0, map: 0.0, precision: vec![0.0; depths.len()] };
    for (query, truth) in truth {
        let list = ranked.get(query).map_or(&[][..], Vec::as_slice);
        let Some(average) = revisited_average_precision(list, truth, difficulty) else { continue };
        metrics.queries += 1;
        metrics.map += average;
        let (ok, junk) = truth.of(difficulty);
        let places = places(list, &ok, &junk);
        for (sum, &depth) in metrics.precision.iter_mut().zip(depths) {
            *sum += precision_at(&places, ok.len(), depth);
        }
    }
    let count = metrics.queries.max(1) as f64;
    metrics.map /= count;
    metrics.precision.iter_mut().for_each(|sum| *sum /= count);
    metrics
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn ids(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// It catches: junk that keeps its place, hard images counted as easy, the rectangle rule.
    #[test]
    fn average_precision_by_hand() {
        let truth = Revisited { easy: ids("a b"), hard: ids("c"), junk: ids("j") };
        let list = ids("j a x c b");
        let of = |difficulty| revisited_average_precision(&list, &truth, difficulty).unwrap();
        // Without junk and hard: a x b, places 0 and 2.
        assert_eq!(of(Difficulty::Easy), (1.0 + (0.5 + 2.0 / 3.0) / 2.0) / 2.0);
        // Without junk: a x c b.
        assert_eq!(of(Difficulty::Medium), (1.0 + (0.5 + 2.0 / 3.0) / 2.0 + (2.0 / 3.0 + 3.0 / 4.0) / 2.0) / 3.0);
        // Without junk and easy: x c.
        assert_eq!(of(Difficulty::Hard), (0.0 + 0.5) / 2.0);
        assert_eq!(revisited_average_precision(&list, &Revisited::default(), Difficulty::Easy), None);
    }

    #[test]
    fn the_divisor_of_precision_ends_at_the_last_image_to_find() {
        assert_eq!(precision_at(&[0, 2], 2, 10), 2.0 / 3.0);
        assert_eq!(precision_at(&[0, 2], 2, 2), 0.5);
        assert_eq!(precision_at(&[], 1, 5), 0.0);
        // One image to find is not ranked, so it comes behind every depth.
        assert_eq!(precision_at(&[0, 2], 3, 10), 0.2);
    }
}
