//! Train labels that look wrong: images whose neighbours agree on another label.

use std::collections::HashMap;
use std::hash::Hash;

use crate::error::{Error, Result};

/// Added to both labels' shares before they are compared: neighbours that agree on nothing are weak evidence.
const DOUBT: f64 = 0.05;

/// Number of other images that give a label half of its full vote: with m of them it gives m / (m + this). Krichevsky and
/// Trofimov's half observation.
const HALF_VOICE: f64 = 0.5;

/// The share of what the given label could not say that counts for it.
const UNSAID: f64 = 0.5;

/// The contribution of neighbours of further labels to the claim: they agree on no label, but not on the given one either.
const REST: f64 = 0.1;

/// The weight of a neighbour that does not have the image among its own neighbours.
const ONE_SIDED: f64 = 0.5;

/// The share of a neighbour's crowding that is subtracted from its cosine: the mean cosine of its nearest images, as far as it
/// differs from the usual one.
const CROWD: f64 = 0.5;

/// Number of nearest images of a neighbour that are its crowd.
const CROWD_IMAGES: usize = 10;

/// A train image near another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its row number.
    pub image: usize,
    /// Cosine of the two descriptors.
    pub similarity: f32,
    /// Inliers of the comparison of local features; `None` if they were not compared.
    pub inliers: Option<u32>,
}

/// The weights of neighbours. The defaults are one choice for every set in docs/MEASURED.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighing {
    /// Number of neighbours that count, 1 or more. Default 20.
    pub k: usize,
    /// The exponent of a neighbour's cosine, after its crowd is subtracted; negative values weigh nothing. Default 6.
    pub exponent: u32,
    /// A neighbour with at least this many inliers certainly shows the same thing, and weighs 1. Default 31, as for
    /// [`super::Rule`]. Not part of the measured figures.
    pub min_inliers: u32,
}

impl Default for Weighing {
    fn default() -> Self {
        Self { k: 20, exponent: 6, min_inliers: 31 }
    }
}

/// The support of one label of an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Support {
    /// The label's share of all neighbours' weights, 0..=1, each divided by the square root of the number of images with its
    /// label: large labels have more neighbours everywhere.
    pub share: f64,
    /// The neighbours with this label, nearest first.
    pub images: Vec<usize>,
    /// Number of those that local features verify.
    pub verified: usize,
}

/// A train image whose label looks wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect<L> {
    /// Its row number.
    pub image: usize,
    /// Its label.
    pub label: L,
    /// The other label with the largest support among its neighbours.
    pub proposed: L,
    /// In 0..1: the claim of the proposed label divided by the sum of that claim, the given label's share, what the given label
    /// could not say, and 0.05 of doubt ([`suspects`]). Near 0 the given label is right, and at 0.5 the evidence is undecided. It
    /// ranks; it is not a probability.
    pub evidence: f64,
    /// The support of the given label.
    pub given: Support,
    /// The support of the proposed one.
    pub other: Support,
}

/// Train images with any neighbour of another label, best evidence against their own label first, then by row.
///
/// `labels` has one label for each train image, `neighbours` for each its nearest train images in rank order, of which the first
/// [`Weighing::k`] count, without the image itself. If labels tie, the one met first wins.
///
/// The weight of a neighbour is a power of its cosine, divided by the square root of the number of its label's images (Tan 2005,
/// neighbour-weighted k-NN: large labels have more neighbours everywhere). Half of the neighbour's crowd is subtracted from the
/// cosine: the excess of its nearest images' cosine over the usual one (Conneau et al. 2018: some images are near to everything).
/// A neighbour that does not have the image among its own weighs half. With the share g of the given label, which m other images
/// have, the share o of the best other one, which c neighbours have, and the rest r = 1 - g - o,
///
/// ```text
/// claim    = o c / (c + 1/2) + r / 10
/// unsaid   = 1/2 (1 - m / (m + 1/2))
/// evidence = claim / (g + claim + unsaid + 0.05)
/// ```
///
/// A label of m other images can be expected to give m / (m + 1/2) of its votes, so its silence means little if m is small. The
/// only image of a label gets at most 0.65, which is undecided; one of a pair gets 0.8 if all but a few neighbours agree.
/// Measured figures are in docs/MEASURED.md.
///
/// # Errors
/// `Invalid` if the two lists differ in length, a neighbour does not exist, a similarity is not finite, or `k` is zero.
///
/// Cost: `O(n k (k + l))` for l different labels among an image's neighbours.
pub fn suspects<L: Copy + Eq + Hash>(
    labels: &[L],
    neighbours: &[Vec<Neighbour>],
    how: &Weighing,
) -> Result<Vec<Suspect<L>>> {
    check(labels.len(), neighbours, how)?;
    let mut sizes: HashMap<L, f64> = HashMap::new();
    labels.iter().for_each(|label| *sizes.entry(*label).or_default() += 1.0);
    let around = Around { labels, neighbours, how, sizes, crowd: crowds(neighbours) };
    let mut found: Vec<Suspect<L>> = (0..labels.len()).filter_map(|image| around.suspect(image)).collect();
    found.sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then(a.image.cmp(&b.image)));
    Ok(found)
}

fn check(images: usize, neighbours: &[Vec<Neighbour>], how: &Weighing) -> Result<()> {
    if neighbours.len() != images {
        return Err(Error::invalid(format!("{images} labels, but neighbours of {} images", neighbours.len()))
            .help("each train image needs a label and a list of neighbours, which may be empty"));
    }
    if how.k == 0 {
        return Err(Error::invalid("suspects by 0 neighbours").help("ask for 1 or more; the default is 20"));
    }
    match neighbours.iter().flatten().find(|near| near.image >= images || !near.similarity.is_finite()) {
        Some(near) => Err(Error::invalid(format!(
            "image {} is not a valid neighbour with cosine {}",
            near.image, near.similarity
        ))
        .help(format!("there are {images} train images, counted from 0, and cosines are finite"))),
        None => Ok(()),
    }
}

/// The first `most` neighbours of an image, without itself.
fn others(image: usize, near: &[Neighbour], most: usize) -> impl Iterator<Item = &Neighbour> {
    near.iter().filter(move |neighbour| neighbour.image != image).take(most)
}

/// For each image, the excess of its nearest images' cosine over the mean of all images; 0 if it has no neighbours.
fn crowds(neighbours: &[Vec<Neighbour>]) -> Vec<f64> {
    let mean = |(image, near): (usize, &Vec<Neighbour>)| {
        let (sum, count) = others(image, near, CROWD_IMAGES)
            .fold((0.0, 0.0), |(sum, count), near| (sum + f64::from(near.similarity), count + 1.0));
        (count > 0.0).then(|| sum / count)
    };
    let means: Vec<Option<f64>> = neighbours.iter().enumerate().map(mean).collect();
    let (sum, count) = means.iter().flatten().fold((0.0, 0.0), |(sum, count), mean| (sum + mean, count + 1.0));
    means.into_iter().map(|mean| mean.map_or(0.0, |mean| mean - sum / count)).collect()
}

/// The facts about all images, for the evaluation of each.
struct Around<'a, L> {
    labels: &'a [L],
    neighbours: &'a [Vec<Neighbour>],
    how: &'a Weighing,
    /// Number of images of each label.
    sizes: HashMap<L, f64>,
    crowd: Vec<f64>,
}

impl<L: Copy + Eq + Hash> Around<'_, L> {
    fn size(&self, label: L) -> f64 {
        self.sizes.get(&label).copied().unwrap_or(1.0)
    }

    /// The weight of a neighbour before its label is considered.
    fn weight(&self, image: usize, neighbour: &Neighbour, is_verified: bool) -> f64 {
        if is_verified {
            return 1.0;
        }
        let cosine = f64::from(neighbour.similarity) - CROWD * self.crowd[neighbour.image];
        let mut back = others(neighbour.image, &self.neighbours[neighbour.image], self.how.k);
        let sides = if back.any(|near| near.image == image) { 1.0 } else { ONE_SIDED };
        sides * power(cosine.clamp(0.0, 1.0), self.how.exponent)
    }

    /// The suspicion from the neighbours of one image; `None`: none of them has a weight, or none has another label.
    fn suspect(&self, image: usize) -> Option<Suspect<L>> {
        let label = self.labels[image];
        // The given label comes first, so that it is there even if no neighbour has it.
        let mut tallies = vec![(label, Support::default())];
        let mut total = 0.0;
        for neighbour in others(image, &self.neighbours[image], self.how.k) {
            let voted = self.labels[neighbour.image];
            let is_verified = neighbour.inliers.is_some_and(|inliers| inliers >= self.how.min_inliers);
            let weight = self.weight(image, neighbour, is_verified) / self.size(voted).sqrt();
            let at = tallies.iter().position(|(met, _)| *met == voted).unwrap_or_else(|| {
                tallies.push((voted, Support::default()));
                tallies.len() - 1
            });
            let support = &mut tallies[at].1;
            support.share += weight;
            support.images.push(neighbour.image);
            support.verified += usize::from(is_verified);
            total += weight;
        }
        if total <= 0.0 {
            return None;
        }
        tallies.iter_mut().for_each(|(_, support)| support.share /= total);
        let mut tallies = tallies.into_iter();
        let (_, given) = tallies.next()?;
        let first = tallies.next()?;
        let (proposed, other) = tallies.fold(first, |best, next| if next.1.share > best.1.share { next } else { best });
        let rest = (1.0 - given.share - other.share).max(0.0);
        let claim = other.share * voice(other.images.len() as f64) + REST * rest;
        let unsaid = UNSAID * (1.0 - voice(self.size(label) - 1.0));
        let evidence = claim / (given.share + claim + unsaid + DOUBT);
        Some(Suspect { image, label, proposed, evidence, given, other })
    }
}

/// The share of its full vote that a label with this many images can give.
fn voice(images: f64) -> f64 {
    images / (images + HALF_VOICE)
}

/// A power by multiplications in a fixed order: the library's may differ between machines.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(list: &[(usize, f32)]) -> Vec<Neighbour> {
        list.iter().map(|&(image, similarity)| Neighbour { image, similarity, inliers: None }).collect()
    }

    /// Rows 0..4 have label 1 and are near each other, 4..8 label 2; row 3 is among label 2.
    fn planted() -> (Vec<u32>, Vec<Vec<Neighbour>>) {
        let labels = vec![1, 1, 1, 1, 2, 2, 2, 2];
        let all = |own: &[usize], others: &[usize]| {
            near(&own.iter().map(|&at| (at, 0.9)).chain(others.iter().map(|&at| (at, 0.6))).collect::<Vec<_>>())
        };
        let neighbours = (0..8)
            .map(|image| if image < 3 { all(&[0, 1, 2], &[3, 4]) } else { all(&[3, 4, 5, 6, 7], &[0]) })
            .collect();
        (labels, neighbours)
    }

    #[test]
    fn the_wrong_label_comes_first_with_what_speaks_for_it() {
        let (labels, neighbours) = planted();
        let found = suspects(&labels, &neighbours, &Weighing::default()).unwrap();
        let first = &found[0];
        assert_eq!((first.image, first.label, first.proposed), (3, 1, 2));
        assert_eq!(first.other.images, [4, 5, 6, 7]);
        assert_eq!((first.given.images.as_slice(), first.given.verified), (&[0][..], 0));
        assert!(first.evidence > 0.75 && found[1].evidence < 0.5, "{} and {}", first.evidence, found[1].evidence);
        assert!((first.given.share + first.other.share - 1.0).abs() < 1e-12);
        assert!(found.windows(2).all(|pair| pair[0].evidence >= pair[1].evidence));
    }

    #[test]
    fn evidence_by_hand() {
        // One neighbour of either label, which have 2 and 3 images, both one-sided and without a crowd: 0.5^2 against 1.
        let mut lists = vec![near(&[(1, 0.5), (2, 1.0)]), vec![], vec![], vec![], vec![]];
        let how = Weighing { k: 2, exponent: 2, min_inliers: 31 };
        let evidence = |lists: &[Vec<Neighbour>]| suspects(&[1, 1, 2, 2, 2], lists, &how).unwrap()[0].evidence;
        let expected = |own: f64, other: f64| {
            let (own, other) = (own / 2.0_f64.sqrt(), other / 3.0_f64.sqrt());
            let (given, claim) = (own / (own + other), other / (own + other) / 1.5);
            claim / (given + claim + 0.5 * (1.0 - 1.0 / 1.5) + 0.05)
        };
        assert!((evidence(&lists) - expected(0.25, 1.0)).abs() < 1e-12);
        // The neighbour of the given label has the image among its own, and a crowd: the mean of all is 0.725, its own 0.7.
        lists[1] = near(&[(0, 0.5), (3, 0.9)]);
        let got = evidence(&lists);
        assert!((got - expected((0.5_f64 + 0.5 * 0.025).powi(2), 0.5)).abs() < 1e-6, "{got}");
    }

    #[test]
    fn neighbours_of_further_labels_speak_a_little_against_the_given_one() {
        let lists = vec![near(&[(2, 1.0), (4, 0.5)]), vec![], vec![], vec![], vec![]];
        let how = Weighing { k: 2, exponent: 2, min_inliers: 31 };
        let found = suspects(&[1, 1, 2, 2, 3], &lists, &how).unwrap();
        let (best, rest) = (1.0 / 2.0_f64.sqrt(), 0.25);
        let claim = (best / 1.5 + 0.1 * rest) / (best + rest);
        assert_eq!(found[0].proposed, 2);
        assert!((found[0].evidence - claim / (claim + 0.5 * (1.0 - 1.0 / 1.5) + 0.05)).abs() < 1e-12);
    }

    /// The greatest evidence against an image whose label this many other images have: all its neighbours agree on another label.
    fn unanimous(others_of_label: usize) -> f64 {
        let voters = 40;
        let labels: Vec<u32> = (0..=others_of_label).map(|_| 1).chain((0..voters).map(|_| 2)).collect();
        let first = others_of_label + 1;
        let all: Vec<(usize, f32)> = (first..first + voters).map(|at| (at, 0.9)).collect();
        let mut lists = vec![Vec::new(); labels.len()];
        lists[0] = near(&all);
        suspects(&labels, &lists, &Weighing::default()).unwrap()[0].evidence
    }

    #[test]
    fn evidence_knows_what_the_label_could_have_said() {
        let acts_from = cairndb_query::DEFAULT_EVIDENCE;
        assert!(unanimous(0) < 0.65, "nothing can be told of a label's only image: {}", unanimous(0));
        assert!(unanimous(1) > acts_from && unanimous(1) < 0.83, "a pair: {}", unanimous(1));
        assert!((1..30).all(|others| unanimous(others) > unanimous(others - 1)));
        assert!(unanimous(30) > 0.93);
    }

    #[test]
    fn only_k_others_count_and_ties_go_to_the_label_met_first() {
        let lists = vec![near(&[(0, 1.0), (2, 0.5), (1, 0.5), (3, 0.9)]), vec![], vec![], vec![]];
        let found = suspects(&[1, 2, 3, 2], &lists, &Weighing { k: 1, ..Weighing::default() }).unwrap();
        assert_eq!((found[0].proposed, found[0].other.images.as_slice()), (3, &[2][..]));
        let lists = vec![near(&[(2, 0.5), (1, 0.5)]), vec![], vec![]];
        assert_eq!(suspects(&[1, 2, 3], &lists, &Weighing::default()).unwrap()[0].proposed, 3);
    }

    #[test]
    fn verified_neighbours_weigh_fully() {
        let mut lists = vec![near(&[(1, 0.9), (2, 0.5)]), vec![], vec![]];
        let evidence = |lists: &[Vec<Neighbour>]| {
            let found = suspects(&[1, 1, 2], lists, &Weighing::default()).unwrap();
            (found[0].evidence, found[0].other.verified)
        };
        assert!(evidence(&lists).0 < 0.1);
        lists[0][1].inliers = Some(30);
        assert_eq!(evidence(&lists).1, 0);
        lists[0][1].inliers = Some(31);
        assert!(evidence(&lists).0 > 0.5 && evidence(&lists).1 == 1);
    }

    #[test]
    fn no_other_label_no_suspicion() {
        let lists = vec![near(&[(1, 0.9)]), vec![], near(&[(0, -0.5)])];
        assert!(suspects(&[1, 1, 2], &lists, &Weighing::default()).unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let how = Weighing::default();
        assert!(suspects(&[1], &[], &how).is_err());
        assert!(suspects(&[1], &[near(&[(1, 0.5)])], &how).is_err());
        assert!(suspects(&[1, 1], &[near(&[(1, f32::NAN)]), vec![]], &how).is_err());
        assert!(suspects(&[1], &[vec![]], &Weighing { k: 0, ..how }).is_err());
    }
}
