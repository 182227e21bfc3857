//! The least score of a known instance, chosen on the train images alone: on images whose label is there, and on the same images with
//! their label held out (docs/ALGORITHMS.md, recognition). It examines no query and no index image.

use crate::error::Result;
use crate::id::LabelId;
use crate::progress::{Interrupt, Progress};
use crate::state::Published;
use crate::vector::{Hit, Random};
use crate::vote::recognition::{Elected, Near, recognise};

/// Train images that are recognised.
const SAMPLED: usize = 400;
/// Fewer right or wrong labels teach nothing.
const LEAST_LABELS: usize = 20;

impl Published {
    /// The threshold of the similarity term of `n` train images; `None`: the train images are too few.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub(super) fn least_score(&self, n: usize, interrupt: &Interrupt<'_>) -> Result<Option<f64>> {
        if let Some(known) = self.learnt.lock().least_scores.get(&n) {
            return Ok(*known);
        }
        let found = separating(&self.trials(n, interrupt)?);
        self.learnt.lock().least_scores.insert(n, found);
        Ok(found)
    }

    /// Scores of the labels that train images elect for one of them, and whether they are right.
    fn trials(&self, n: usize, interrupt: &Interrupt<'_>) -> Result<Vec<(f64, bool)>> {
        let train = &self.train;
        let mut rows: Vec<usize> = train.live().filter(|&row| train.instances[row].is_some()).collect();
        // By chance, and the same ones whatever came first.
        rows.sort_by_cached_key(|&row| {
            let key = train.key(row);
            (Random::new(u64::from(crc32fast::hash(key.as_bytes()))).next(), key.to_owned())
        });
        rows.truncate(SAMPLED);
        if rows.len() < LEAST_LABELS {
            return Ok(Vec::new());
        }
        let queries = train.gathered(&rows)?;
        let label = |row: usize| train.instances[row].map(|own| own.label);
        let elected = |hits: &[Hit]| -> Option<Elected<LabelId>> {
            let near = |hit: &Hit| {
                Some(Near { label: label(hit.row as usize)?, similarity: f64::from(hit.similarity), inliers: None })
            };
            recognise(hits.iter().filter_map(near))
        };
        let mut trials = Vec::with_capacity(2 * rows.len());
        interrupt.at(Progress::ROWS, 0, 2 * rows.len())?;
        let present = train.best_of_many(&queries, n, |query, row| row != rows[query], interrupt)?;
        interrupt.at(Progress::ROWS, rows.len(), 2 * rows.len())?;
        let held_out = train.best_of_many(&queries, n, |query, row| label(row) != label(rows[query]), interrupt)?;
        for (hits, &row) in present.iter().zip(&rows) {
            trials.extend(elected(hits).map(|elected| (elected.score, Some(elected.label) == label(row))));
        }
        trials.extend(held_out.iter().filter_map(|hits| Some((elected(hits)?.score, false))));
        Ok(trials)
    }
}

/// The score with the largest difference between the share of right labels and the share of wrong ones at or above it (Youden's J),
/// halfway to the next smaller score; of equal ones the smallest. `None`: too few right or wrong labels, or no score separates them.
fn separating(trials: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = trials.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let right = sorted.iter().filter(|trial| trial.1).count();
    let wrong = sorted.len() - right;
    if right.min(wrong) < LEAST_LABELS {
        return None;
    }
    let (mut right_above, mut wrong_above, mut best) = (0, 0, (0.0, None));
    for (at, &(score, is_right)) in sorted.iter().enumerate() {
        if is_right {
            right_above += 1;
        } else {
            wrong_above += 1;
        }
        // Equal scores stand on one side of a threshold.
        let Some(next) = sorted.get(at + 1).map(|next| next.0).filter(|next| *next < score) else { continue };
        let difference = right_above as f64 / right as f64 - wrong_above as f64 / wrong as f64;
        if difference > 0.0 && difference >= best.0 {
            best = (difference, Some((score + next) / 2.0));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a threshold between equal scores, counts instead of shares, the largest of equal thresholds.
    #[test]
    fn the_threshold_separates_right_from_wrong() {
        let of = |right: &[f64], wrong: &[f64]| {
            let trials = right.iter().map(|&score| (score, true)).chain(wrong.iter().map(|&score| (score, false)));
            separating(&trials.collect::<Vec<_>>())
        };
        let scores = |count: usize, score: f64| vec![score; count];
        assert_eq!(of(&scores(30, 2.0), &scores(30, 1.0)), Some(1.5));
        assert_eq!(of(&scores(30, 2.0), &scores(300, 1.0)), Some(1.5));
        assert_eq!(of(&scores(19, 2.0), &scores(300, 1.0)), None, "too few right ones");
        assert_eq!(of(&scores(30, 2.0), &scores(19, 1.0)), None, "too few wrong ones");
        assert_eq!(of(&scores(30, 1.0), &scores(30, 1.0)), None, "no score separates them");
        assert_eq!(of(&scores(30, 1.0), &scores(30, 2.0)), None, "wrong ones have the larger scores");
        // Half of the right ones are above all wrong ones, the others are above half of them: equal differences.
        let (right, wrong) = ([scores(20, 4.0), scores(20, 2.0)].concat(), [scores(20, 3.0), scores(20, 1.0)].concat());
        assert_eq!(of(&right, &wrong), Some(1.5));
    }
}
