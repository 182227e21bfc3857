//! The parameters of the fusion, chosen on the train images alone (docs/ALGORITHMS.md, fusion): how certain a label is at which
//! similarity, and how much labels weigh. It examines no query and no index image.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::fusion::{NEAREST, PREDICTED, Rows, VOTERS, widths};
use super::rows::{mean_of, row_of, weight};
use crate::error::Result;
use crate::id::LabelId;
use crate::progress::{Interrupt, Progress};
use crate::state::{Calibration, Neighbourhood, Published, Shares, Sparse};
use crate::vector::{Hit, Random, dot};

/// Train images that are examined; of more, whole labels are drawn until there are so many.
const SAMPLED: usize = 4_000;
/// Nearest train images among which one of another label is found.
const NEAREST_OTHERS: usize = 32;
/// Fewer images with another one of their label say nothing.
const LEAST_PAIRS: usize = 20;
/// Fewer pseudo queries do not choose.
const LEAST_QUERIES: usize = 40;
/// Pseudo queries in all.
const QUERIES: usize = 400;
/// Parts of the train images; each is the pseudo queries of one round, in which as large a part of the labels is absent.
const FOLDS: usize = 4;
/// From this many train images on one round is enough.
const ONE_ROUND_FROM: usize = 2_000;
/// Prior that a label is absent from the train images.
const ABSENT: f64 = 0.2;
/// Weights of the evidence of labels among which the pseudo queries choose; the first one needs no reason.
const CHOICES: [f64; 3] = [0.5, 0.7, 1.0];
/// The weight with too few pseudo queries.
const FEW: f64 = 0.25;
/// The weight where labels say nothing.
const NOTHING: f64 = 0.125;
/// Depth of the average precision.
const DEPTH: usize = 100;

/// Where labels say nothing.
const NONE: Calibration = Calibration { gate: None, labels: NOTHING };

impl Published {
    /// The parameters for these train images.
    ///
    /// Complexity: on first use similarities of up to 4,000 train images with all, and rankings of 400 of them; then nothing until a
    /// train image changes.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub(crate) fn calibration(&self, interrupt: &Interrupt<'_>) -> Result<Calibration> {
        if let Some(known) = self.learnt.lock().fusion {
            return Ok(known);
        }
        let found = Sample::of(self, interrupt)?.map_or(Ok(NONE), |sample| sample.calibrated(interrupt))?;
        self.learnt.lock().fusion = Some(found);
        Ok(found)
    }
}

/// Train images in the order of their keys.
struct Sample {
    vectors: Vec<Vec<f32>>,
    labels: Vec<LabelId>,
    /// Their nearest other train images: labels and cosines.
    nearest: Vec<Vec<(LabelId, f32)>>,
    /// Numbers of keys and of labels that order them as by chance, whatever came first.
    drawn: Vec<u64>,
    drawn_labels: HashMap<LabelId, u64>,
    /// Train images of each label, and all.
    counts: HashMap<LabelId, usize>,
    all: usize,
}

fn drawn(text: &str) -> u64 {
    Random::new(u64::from(crc32fast::hash(text.as_bytes()))).next()
}

impl Sample {
    fn of(state: &Published, interrupt: &Interrupt<'_>) -> Result<Option<Self>> {
        let train = &state.train;
        let mut rows: Vec<(usize, LabelId)> =
            train.live().filter_map(|row| Some((row, train.instances[row]?.label))).collect();
        let mut counts: HashMap<LabelId, usize> = HashMap::new();
        rows.iter().for_each(|(_, label)| *counts.entry(*label).or_default() += 1);
        let all = rows.len();
        let paired = rows.iter().filter(|(_, label)| counts[label] > 1).count();
        if counts.len() < 2 || paired < LEAST_PAIRS {
            return Ok(None);
        }
        let mut drawn_labels = HashMap::new();
        for &label in counts.keys() {
            drawn_labels.insert(label, drawn(state.label(label)?));
        }
        if all > SAMPLED {
            let mut order: Vec<LabelId> = counts.keys().copied().collect();
            order.sort_by_key(|label| (drawn_labels[label], *label));
            let mut taken = 0;
            let kept: BTreeSet<u32> = order
                .into_iter()
                .take_while(|label| {
                    let goes_on = taken < SAMPLED;
                    taken += counts[label];
                    goes_on
                })
                .map(|label| label.0)
                .collect();
            rows.retain(|(_, label)| kept.contains(&label.0));
        }
        rows.sort_by(|a, b| train.key(a.0).cmp(train.key(b.0)));
        let (mut vectors, mut nearest) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for part in rows.chunks(1_024) {
            interrupt.at(Progress::ROWS, vectors.len(), rows.len())?;
            let numbers: Vec<usize> = part.iter().map(|(row, _)| *row).collect();
            let queries = train.gathered(&numbers)?;
            let best = train.best_of_many(&queries, NEAREST_OTHERS, |query, row| row != numbers[query], interrupt)?;
            let labelled = |hit: &Hit| Some((train.instances[hit.row as usize]?.label, hit.similarity));
            nearest.extend(best.iter().map(|hits| hits.iter().filter_map(labelled).collect()));
            vectors.extend(queries.chunks_exact(train.dimension()).map(<[f32]>::to_vec));
        }
        let drawn = rows.iter().map(|(row, _)| drawn(train.key(*row))).collect();
        let labels = rows.into_iter().map(|(_, label)| label).collect();
        Ok(Some(Self { vectors, labels, nearest, drawn, drawn_labels, counts, all }))
    }

    fn has_pair(&self, at: usize) -> bool {
        self.counts[&self.labels[at]] > 1
    }

    fn calibrated(&self, interrupt: &Interrupt<'_>) -> Result<Calibration> {
        let Some(gate) = self.gate() else { return Ok(NONE) };
        let calibration = Calibration { gate: Some(gate), labels: FEW };
        let precisions = self.emulated(&calibration, interrupt)?;
        if precisions.len() < LEAST_QUERIES {
            return Ok(calibration);
        }
        let mean = |of: &dyn Fn(&[f64; CHOICES.len()]) -> f64| {
            precisions.iter().map(of).sum::<f64>() / precisions.len() as f64
        };
        let means: Vec<f64> = (0..CHOICES.len()).map(|at| mean(&|one| one[at])).collect();
        // Of equal means the first.
        let best = (0..means.len()).fold(0, |best, at| if means[at] > means[best] { at } else { best });
        let gain = means[best] - means[0];
        let variance = mean(&|one| (one[best] - one[0] - gain).powi(2));
        let error = (variance / precisions.len() as f64).sqrt();
        Ok(Calibration { labels: if gain > error { CHOICES[best] } else { CHOICES[0] }, ..calibration })
    }

    /// Slope and offset of the certainty; `None`: labels say nothing of images.
    fn gate(&self) -> Option<(f64, f64)> {
        let paired: Vec<usize> = (0..self.labels.len()).filter(|&at| self.has_pair(at)).collect();
        // Of an image without its own vote: the share of its label against the label's frequency.
        let excess: Vec<f64> = paired
            .iter()
            .map(|&at| {
                let share = Shares::of(self.nearest[at].iter().copied()).share(self.labels[at]);
                share - (self.counts[&self.labels[at]] - 1) as f64 / (self.all - 1) as f64
            })
            .collect();
        let mean = excess.iter().sum::<f64>() / excess.len().max(1) as f64;
        let variance = excess.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / excess.len().max(1) as f64;
        if excess.len() < LEAST_PAIRS || mean < 2.0 * (variance / excess.len() as f64).sqrt() {
            return None;
        }
        let first = |at: usize| self.nearest[at].first().map(|(_, cosine)| f64::from(*cosine));
        let present: Vec<f64> = paired.iter().filter_map(|&at| first(at)).collect();
        let of_others = |at: usize| {
            let other = self.nearest[at].iter().find(|(label, _)| *label != self.labels[at]);
            other.or(self.nearest[at].last()).map(|(_, cosine)| f64::from(*cosine))
        };
        let absent: Vec<f64> = (0..self.labels.len()).filter_map(of_others).collect();
        let all = (present.len() + absent.len()) as f64;
        let weighed = |values: &[f64], target: f64, share: f64| -> Vec<(f64, f64, f64)> {
            values.iter().map(|&x| (x, target, all * share / values.len() as f64)).collect()
        };
        let points = [weighed(&present, 1.0, 1.0 - ABSENT), weighed(&absent, 0.0, ABSENT)].concat();
        logistic(&points).filter(|(slope, _)| *slope > 0.0)
    }

    /// Average precision of pseudo queries at each weight.
    fn emulated(&self, calibration: &Calibration, interrupt: &Interrupt<'_>) -> Result<Vec<[f64; CHOICES.len()]>> {
        let fold = folds(&self.drawn);
        let mut labels: Vec<LabelId> = self.labels.clone();
        labels.sort_unstable_by_key(|label| (self.drawn_labels[label], *label));
        labels.dedup();
        let fold_of: HashMap<LabelId, usize> =
            labels.iter().enumerate().map(|(at, label)| (*label, at % FOLDS)).collect();
        let rounds = if self.labels.len() <= ONE_ROUND_FROM { FOLDS } else { 1 };
        let mut precisions = Vec::new();
        for round in 0..rounds {
            interrupt.at(Progress::QUERIES, round, rounds)?;
            let index: Vec<usize> = (0..self.labels.len()).filter(|&at| fold[at] != round).collect();
            let mut asked: Vec<usize> = (0..self.labels.len()).filter(|&at| fold[at] == round).collect();
            asked.sort_by_key(|&at| (self.drawn[at], at));
            asked.truncate(QUERIES / rounds);
            let known: BTreeSet<u32> = index.iter().map(|&at| self.labels[at].0).collect();
            asked.retain(|&at| known.contains(&self.labels[at].0));
            let votes: Vec<bool> = index.iter().map(|&at| fold_of[&self.labels[at]] != round).collect();
            if asked.is_empty() || votes.iter().filter(|votes| **votes).count() <= VOTERS {
                continue;
            }
            let world = World::of(self, &index, &votes, interrupt)?;
            for query in asked {
                interrupt.look()?;
                precisions.push(world.precisions(query, calibration)?);
            }
        }
        Ok(precisions)
    }
}

/// The fold of each, by the rank of its number.
fn folds(numbers: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by_key(|&at| (numbers[at], at));
    let mut folds = vec![0; numbers.len()];
    order.into_iter().enumerate().for_each(|(rank, at)| folds[at] = rank % FOLDS);
    folds
}

/// The train images of one round as an index.
struct World<'s> {
    sample: &'s Sample,
    /// Places in the sample.
    index: &'s [usize],
    votes: &'s [bool],
    graph: Neighbourhood,
    rows: Vec<Sparse>,
    means: Vec<Sparse>,
    shares: Vec<Shares>,
}

impl<'s> World<'s> {
    fn of(sample: &'s Sample, index: &'s [usize], votes: &'s [bool], interrupt: &Interrupt<'_>) -> Result<Self> {
        let cosine = |a: usize, b: usize| dot(&sample.vectors[index[a]], &sample.vectors[index[b]]);
        let (k1, k2) = widths(index.len());
        let (mut lists, mut shares) = (Vec::with_capacity(index.len()), Vec::with_capacity(index.len()));
        for row in 0..index.len() {
            interrupt.look()?;
            let others = (0..index.len()).filter(|&other| other != row);
            let all: Vec<(usize, f32)> = others.map(|other| (other, cosine(row, other))).collect();
            let labelled = |(other, cosine): (usize, f32)| (sample.labels[index[other]], cosine);
            let voters = best(all.iter().copied().filter(|(other, _)| votes[*other]).collect(), VOTERS);
            shares.push(Shares::of(voters.into_iter().map(labelled)));
            lists.push(best(all, k1));
        }
        let graph = Neighbourhood::of_lists(k1, &lists);
        let make = |row: usize| {
            row_of(&graph, row, k1, |other| Ok(weight(if other == row { 1.0 } else { cosine(row, other) })))
        };
        let rows = (0..index.len()).map(make).collect::<Result<Vec<_>>>()?;
        let mean = |row: usize| -> Result<Sparse> {
            let mean = mean_of(&graph, row, k2, |_| true, |row| Ok(Arc::clone(&rows[row])))?;
            Ok(mean.into_iter().map(|(row, weight)| (row, weight as f32)).collect())
        };
        let means = (0..index.len()).map(mean).collect::<Result<Vec<_>>>()?;
        Ok(Self { sample, index, votes, graph, rows, means, shares })
    }

    fn precisions(&self, query: usize, calibration: &Calibration) -> Result<[f64; CHOICES.len()]> {
        let Sample { vectors, labels, .. } = self.sample;
        let cosines: Vec<f32> = self.index.iter().map(|&at| dot(&vectors[query], &vectors[at])).collect();
        let all = || cosines.iter().copied().enumerate();
        let near = best(all().collect(), NEAREST);
        // One more than vote: no image votes for the query that ranks it.
        let voters = best(all().filter(|(row, _)| self.votes[*row]).collect(), VOTERS + 1);
        let label = |row: usize| labels[self.index[row]];
        let without = |row: Option<usize>| {
            let others = voters.iter().filter(|(voter, _)| Some(*voter) != row);
            Shares::of(others.map(|&(voter, cosine)| (label(voter), cosine)))
        };
        let (whole, own): (Shares, HashMap<usize, Shares>) =
            (without(None), voters.iter().map(|&(row, _)| (row, without(Some(row)))).collect());
        let evidence = |row: usize| own.get(&row).unwrap_or(&whole).evidence(&self.shares[row], calibration);
        let rows = Rows {
            graph: &self.graph,
            widths: widths(self.index.len()),
            row: &|row| Ok(Arc::clone(&self.rows[row])),
            mean: &|row| Ok(Arc::clone(&self.means[row])),
            cosine: &|row| Ok(cosines[row]),
            evidence: &|row| Ok(evidence(row)),
            ties: &|a, b| a.cmp(&b),
        };
        let mut candidates = rows.around(&near);
        candidates.extend(
            best((0..self.index.len()).map(|row| (row, evidence(row) as f32)).collect(), PREDICTED)
                .into_iter()
                .map(|(row, _)| row),
        );
        let candidates: Vec<usize> = candidates.into_iter().collect();
        let relevant = (0..self.index.len()).filter(|&row| label(row) == labels[query]).count();
        let mut precisions = [0.0; CHOICES.len()];
        for (precision, weight) in precisions.iter_mut().zip(CHOICES) {
            let ranked = rows.ranked(&near, &candidates, weight)?;
            let (mut hits, mut sum) = (0usize, 0.0);
            for (place, (row, _)) in ranked.iter().take(DEPTH).enumerate() {
                if label(*row) == labels[query] {
                    hits += 1;
                    sum += hits as f64 / (place + 1) as f64;
                }
            }
            *precision = sum / relevant.clamp(1, DEPTH) as f64;
        }
        Ok(precisions)
    }
}

/// The best of these, of equal ones the first.
fn best(mut all: Vec<(usize, f32)>, count: usize) -> Vec<(usize, f32)> {
    let order = |a: &(usize, f32), b: &(usize, f32)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
    if all.len() > count && count > 0 {
        all.select_nth_unstable_by(count - 1, order);
        all.truncate(count);
    }
    all.sort_by(order);
    all.truncate(count);
    all
}

/// Logistic regression of one feature: slope and offset of the log-odds of points of a value, a target of 0 or 1, and a weight; with a
/// ridge of 1 on the slope of the standardised feature, in 30 Newton steps.
fn logistic(points: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = points.iter().map(|(x, ..)| x).sum::<f64>() / count;
    let deviation = (points.iter().map(|(x, ..)| (x - mean).powi(2)).sum::<f64>() / count).sqrt() + 1e-9;
    let (mut slope, mut offset) = (0.0, 0.0);
    for _ in 0..30 {
        let (mut aa, mut ab, mut bb) = (1.0, 0.0, 1e-6);
        let (mut ga, mut gb) = (slope, 0.0);
        for &(x, target, weight) in points {
            let x = (x - mean) / deviation;
            let odds = 1.0 / (1.0 + (-(slope * x + offset)).exp());
            let curve = weight * odds * (1.0 - odds);
            (aa, ab, bb) = (aa + curve * x * x, ab + curve * x, bb + curve);
            (ga, gb) = (ga + weight * (odds - target) * x, gb + weight * (odds - target));
        }
        let determinant = aa * bb - ab * ab;
        slope -= (bb * ga - ab * gb) / determinant;
        offset -= (aa * gb - ab * ga) / determinant;
    }
    let found = (slope / deviation, offset - slope * mean / deviation);
    (found.0.is_finite() && found.1.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: a sign, a step without the ridge, an offset of the standardised feature.
    #[test]
    fn the_odds_of_two_groups_cross_between_them() {
        let points: Vec<(f64, f64, f64)> =
            (0..100).map(|n| (f64::from(n) / 100.0, f64::from(u8::from(n >= 60)), 1.0)).collect();
        let (slope, offset) = logistic(&points).unwrap();
        assert!(slope > 1.0 && (-offset / slope - 0.595).abs() < 0.02, "{slope} {offset}");
        assert_eq!(logistic(&[]), None);
    }

    #[test]
    fn folds_are_even_and_hang_on_the_numbers_alone() {
        let found = folds(&[9, 1, 5, 3, 7, 2, 8, 6]);
        assert_eq!(
            (0..FOLDS).map(|fold| found.iter().filter(|of| **of == fold).count()).collect::<Vec<_>>(),
            [2; FOLDS]
        );
        assert_eq!(folds(&[6, 8, 2, 7, 3, 5, 1, 9]), found.into_iter().rev().collect::<Vec<_>>());
    }
}
