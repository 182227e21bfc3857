//! Sets with planted wrong labels: exact neighbours, labels that are flipped, long tails, and how well the ranking of suspects finds them.

use std::collections::{BTreeMap, BTreeSet};

use cairn::clean::{Neighbour, Weighing, suspects};
use cairn::language::DEFAULT_EVIDENCE;

/// Neighbours among which a confused label is chosen.
const CONFUSED: usize = 20;

/// Train images with the labels that they carry and those that they should carry.
#[derive(Debug, Clone, Default)]
pub struct Labelled {
    /// One descriptor an image, of length 1.
    pub rows: Vec<Vec<f32>>,
    /// The label that each carries.
    pub given: Vec<i64>,
    /// The label that each should carry.
    pub truth: Vec<i64>,
}

/// How well the wrong labels of a set were found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Average precision of the suspects, from 0 to 1.
    pub precision: f64,
    /// That of the share of other labels among the 10 nearest.
    pub by_share: f64,
    /// Suspects from the evidence on at which CLEAN acts.
    pub acted: usize,
    /// Those of them whose label is wrong.
    pub acted_rightly: usize,
    /// Those of them whose label no other image carries.
    pub acted_on_singles: usize,
}

/// A small generator of numbers (splitmix64): the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n`, which is 1 or more.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as usize % n
    }

    /// The numbers below `n` in any order.
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).rev().for_each(|at| order.swap(at, self.below(at + 1)));
        order
    }
}

/// Average precision of a ranking of images; what it leaves out counts as never found.
pub fn average_precision(ranked: &[usize], is_wrong: &[bool]) -> f64 {
    let (mut hits, mut sum) = (0.0, 0.0);
    for (rank, _) in ranked.iter().enumerate().filter(|(_, image)| is_wrong[**image]) {
        hits += 1.0;
        sum += hits / (rank + 1) as f64;
    }
    sum / is_wrong.iter().filter(|wrong| **wrong).count() as f64
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

impl Labelled {
    /// A set of rows that get length 1.
    pub fn new(mut rows: Vec<Vec<f32>>, given: Vec<i64>, truth: Vec<i64>) -> Self {
        assert_eq!((rows.len(), rows.len()), (given.len(), truth.len()));
        for row in &mut rows {
            let length = cosine(row, row).sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
        Self { rows, given, truth }
    }

    /// Exact neighbours, as many as the ranking looks at.
    pub fn neighbours(&self) -> Vec<Vec<Neighbour>> {
        let nearest = |image: usize| {
            let all = self.rows.iter().enumerate().filter(|(other, _)| *other != image);
            let mut all: Vec<Neighbour> = all
                .map(|(other, row)| Neighbour {
                    image: other,
                    similarity: cosine(row, &self.rows[image]),
                    inliers: None,
                })
                .collect();
            let k = Weighing::default().k.min(all.len());
            let order =
                |a: &Neighbour, b: &Neighbour| b.similarity.total_cmp(&a.similarity).then(a.image.cmp(&b.image));
            if k < all.len() {
                all.select_nth_unstable_by(k, order);
                all.truncate(k);
            }
            all.sort_by(order);
            all
        };
        (0..self.rows.len()).map(nearest).collect()
    }

    fn only(&self, kept: &[usize]) -> Self {
        let of = |labels: &[i64]| kept.iter().map(|&at| labels[at]).collect();
        Self {
            rows: kept.iter().map(|&at| self.rows[at].clone()).collect(),
            given: of(&self.given),
            truth: of(&self.truth),
        }
    }

    /// The set with half of its labels cut to 1, 2 or 3 of the images that carry them.
    pub fn with_a_long_tail(&self, dice: &mut Dice) -> Self {
        let mut by_label: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        self.given.iter().enumerate().for_each(|(image, label)| by_label.entry(*label).or_default().push(image));
        let cut: BTreeSet<usize> = dice.order(by_label.len()).into_iter().take(by_label.len() / 2).collect();
        let mut kept = Vec::new();
        for (at, images) in by_label.into_values().enumerate() {
            let most = if cut.contains(&at) { 1 + dice.below(3) } else { images.len() };
            kept.extend(dice.order(images.len()).into_iter().take(most).map(|of| images[of]));
        }
        kept.sort_unstable();
        self.only(&kept)
    }

    /// The true labels with every tenth image's changed: to any other one, or to one that images near it have.
    pub fn flipped(&self, confused: bool, dice: &mut Dice) -> Self {
        let mut set = Self { given: self.truth.clone(), ..self.clone() };
        let labels: Vec<i64> = self.truth.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let near = set.neighbours();
        for image in dice.order(set.rows.len()).into_iter().take(set.rows.len() / 10) {
            let right = set.truth[image];
            let others: Vec<i64> = if confused {
                near[image].iter().map(|near| set.truth[near.image]).filter(|label| *label != right).collect()
            } else {
                Vec::new()
            };
            let others: Vec<i64> = others.into_iter().take(CONFUSED).collect();
            set.given[image] = loop {
                let from = if others.is_empty() { &labels } else { &others };
                let label = from[dice.below(from.len())];
                if label != right {
                    break label;
                }
            };
        }
        set
    }

    /// The set without some labels' own names: every seventh label is absent, and what is left of its images carries other labels.
    pub fn with_absent_labels(&self, dice: &mut Dice) -> Self {
        let labels: Vec<i64> = self.truth.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let order = dice.order(labels.len());
        let absent: BTreeSet<i64> = order.iter().take(labels.len().div_ceil(7)).map(|&at| labels[at]).collect();
        let present: Vec<i64> = labels.into_iter().filter(|label| !absent.contains(label)).collect();
        let (gone, mut kept): (Vec<usize>, Vec<usize>) =
            (0..self.rows.len()).partition(|&image| absent.contains(&self.truth[image]));
        let strays = kept.len() / 10;
        kept.extend(dice.order(gone.len()).into_iter().take(strays).map(|at| gone[at]));
        kept.sort_unstable();
        let mut set = self.only(&kept);
        set.given = set
            .truth
            .iter()
            .map(|label| if absent.contains(label) { present[dice.below(present.len())] } else { *label })
            .collect();
        set
    }

    /// Ranks the suspects, and compares with what is wrong.
    pub fn found(&self) -> Found {
        let neighbours = self.neighbours();
        let is_wrong: Vec<bool> = self.given.iter().zip(&self.truth).map(|(given, right)| given != right).collect();
        let ranked = suspects(&self.given, &neighbours, &Weighing::default()).unwrap();
        let acted: Vec<usize> = ranked
            .iter()
            .take_while(|suspect| suspect.evidence >= DEFAULT_EVIDENCE)
            .map(|suspect| suspect.image)
            .collect();
        let alike = |image: &usize| {
            let nearest = neighbours[*image].iter().take(10);
            nearest.filter(|near| self.given[near.image] == self.given[*image]).count()
        };
        let mut by_share: Vec<usize> = (0..self.rows.len()).collect();
        by_share.sort_by_key(alike);
        let is_single = |image: &usize| self.given.iter().filter(|label| **label == self.given[*image]).count() == 1;
        Found {
            precision: average_precision(&ranked.iter().map(|suspect| suspect.image).collect::<Vec<_>>(), &is_wrong),
            by_share: average_precision(&by_share, &is_wrong),
            acted: acted.len(),
            acted_rightly: acted.iter().filter(|image| is_wrong[**image]).count(),
            acted_on_singles: acted.iter().filter(|image| is_single(image)).count(),
        }
    }
}

/// A set with another draw for each seed; prints a line of means, and gives back all that was found.
pub fn over_seeds(name: &str, seeds: u64, draw: impl Fn(&mut Dice) -> Labelled) -> Vec<Found> {
    let found: Vec<Found> = (0..seeds).map(|seed| draw(&mut Dice(seed)).found()).collect();
    let spread = |of: fn(&Found) -> f64| {
        let values = found.iter().map(of);
        let (least, most) = (values.clone().fold(f64::MAX, f64::min), values.clone().fold(0.0, f64::max));
        format!("{:.3} ({least:.3} to {most:.3})", values.sum::<f64>() / seeds as f64)
    };
    let sum = |of: fn(&Found) -> usize| found.iter().map(of).sum::<usize>();
    println!(
        "{name}: average precision {}, by shares {}; from the default evidence on {} of {} wrong, {} alone in their label",
        spread(|found| found.precision),
        spread(|found| found.by_share),
        sum(|found| found.acted_rightly),
        sum(|found| found.acted),
        sum(|found| found.acted_on_singles),
    );
    found
}

/// The mean average precision, and the part of what is acted on whose label is wrong.
pub fn mean(found: &[Found]) -> (f64, f64) {
    let sum = |of: fn(&Found) -> f64| found.iter().map(of).sum::<f64>();
    let acted = sum(|found| found.acted as f64).max(1.0);
    (sum(|found| found.precision) / found.len() as f64, sum(|found| found.acted_rightly as f64) / acted)
}

/// The mean average precision of counting neighbours of other labels.
pub fn mean_by_share(found: &[Found]) -> f64 {
    found.iter().map(|found| found.by_share).sum::<f64>() / found.len() as f64
}
