//! The data for training a head: cached descriptors of labelled images, checked, and split into images to train on and images
//! held out.

use crate::model::adapter::unit;
use std::collections::{BTreeMap, HashMap};

use cairn::{Error, Result};

use crate::random::Mix;

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0x5a3b;
const LABELS: u64 = 0x1abe;
/// An image is held out only of a label that has this many or more, so that two are left to learn from.
const HOLD_OUT_FROM: usize = 3;

/// Share of the labels that are held out with all their images, where labels are.
pub(crate) const LABEL_SHARE: f64 = 0.2;
/// Fewest labels that are held out, if any: of one, chance would judge.
const FEWEST_LABELS_OUT: usize = 2;
/// Labels are held out if there are this many, so that more are learnt than held out.
const HOLD_LABELS_FROM: usize = 5;

/// Descriptors of labelled images. A row is one view of an image; an image may have several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    /// Length of a row.
    pub dimension: usize,
    /// The rows, one behind the other. A row is brought to unit length before it is used.
    pub vectors: Vec<f32>,
    /// The image of each row. The first row of an image is its plain view, by which it is judged.
    pub image: Vec<u32>,
    /// The label of each image; any numbers.
    pub labels: Vec<u32>,
}

impl Samples {
    /// BLAKE3 of everything in it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { dimension, vectors, image, labels } = self;
        let mut hasher = blake3::Hasher::new();
        for length in [*dimension, vectors.len(), image.len(), labels.len()] {
            hasher.update(&(length as u64).to_le_bytes());
        }
        for row in vectors.chunks((*dimension).max(1)) {
            hasher.update(&row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
        for number in image.iter().chain(labels) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize().into()
    }
}

/// What happens to a label that has only one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Singles {
    /// The training does not begin (the default).
    #[default]
    Refuse,
    /// Its image is left out.
    LeaveOut,
    /// It stays a separate class; the losses that compare rows only push others away from it.
    Keep,
}

/// Checked samples.
pub(crate) struct Prepared<'a> {
    samples: &'a Samples,
    /// Rows of each image.
    views: Vec<Vec<u32>>,
    /// Images to learn from.
    pub(crate) train: Vec<u32>,
    /// Class of each of them, 0 to `class_count` - 1 in the order of the labels' numbers.
    pub(crate) classes: Vec<u32>,
    pub(crate) class_count: usize,
    /// Images held out, of labels that are learnt.
    pub(crate) held_out: Vec<u32>,
    /// All images of the labels that are held out.
    pub(crate) unknown: Vec<u32>,
}

/// What is held out to judge by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HoldOut {
    /// Share of the images of labels that are learnt.
    pub(crate) images: f64,
    /// Share of the labels, with all their images: what a training does to photos of what it does not know. At least
    /// [`FEWEST_LABELS_OUT`] of them, where [`HOLD_LABELS_FROM`] are there.
    pub(crate) labels: f64,
}

impl HoldOut {
    /// A share of the images, and no label.
    pub(crate) fn images(images: f64) -> Self {
        Self { images, labels: 0.0 }
    }
}

impl<'a> Prepared<'a> {
    /// Checks the samples and holds out images, drawn by `seed` from labels with three or more, and labels.
    ///
    /// # Errors
    /// When there is nothing to learn from: no labelled image, one label only, a label with one image (as `singles` says), or
    /// rows that do not fit or are not finite.
    pub(crate) fn new(samples: &'a Samples, singles: Singles, share: HoldOut, seed: u64) -> Result<Self> {
        let views = check(samples)?;
        let mut by_label: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        (0..).zip(&samples.labels).for_each(|(image, &label)| by_label.entry(label).or_default().push(image));
        let single = by_label.values().filter(|images| images.len() == 1).count();
        match singles {
            Singles::Refuse if single > 0 => {
                return Err(Error::invalid(format!(
                    "{single} of {} labels have only one image, which teaches nothing about what its label has in common",
                    by_label.len()
                ))
                .help("add images of these labels, or choose to leave such images out or to keep them"));
            }
            Singles::LeaveOut => by_label.retain(|_, images| images.len() > 1),
            _ => {}
        }
        if by_label.len() < 2 {
            let count = by_label.len();
            return Err(Error::invalid(format!("there are images of {count} label(s) to learn from"))
                .help("a training needs two or more labels, with two or more images each"));
        }
        let unknown = hold_labels(&mut by_label, share.labels, seed);
        let held_out = hold_out(&by_label, share.images, seed);
        let kept_back: std::collections::HashSet<u32> = held_out.iter().copied().collect();
        let class_of: HashMap<u32, u32> = by_label.keys().copied().zip(0..).collect();
        let mut train: Vec<u32> =
            by_label.values().flatten().copied().filter(|image| !kept_back.contains(image)).collect();
        train.sort_unstable();
        let label = |&image: &u32| class_of.get(&samples.labels[image as usize]).copied().unwrap_or(0);
        let classes = train.iter().map(label).collect();
        Ok(Self { samples, views, train, classes, class_count: class_of.len(), held_out, unknown })
    }

    /// The rows of an image.
    pub(crate) fn views(&self, image: u32) -> &[u32] {
        self.views.get(image as usize).map_or(&[], Vec::as_slice)
    }

    /// The label of an image.
    pub(crate) fn label(&self, image: u32) -> u32 {
        self.samples.labels[image as usize]
    }

    /// A row at unit length.
    pub(crate) fn unit_row(&self, row: u32) -> Vec<f32> {
        let start = row as usize * self.samples.dimension;
        let values = &self.samples.vectors[start..start + self.samples.dimension];
        unit(values).unwrap_or_else(|| values.to_vec())
    }

    /// The plain view of an image at unit length.
    pub(crate) fn plain(&self, image: u32) -> Vec<f32> {
        self.views(image).first().map_or_else(Vec::new, |&row| self.unit_row(row))
    }
}

/// The rows of each image.
fn check(samples: &Samples) -> Result<Vec<Vec<u32>>> {
    let Samples { dimension, vectors, image, labels } = samples;
    if labels.is_empty() || image.is_empty() {
        return Err(Error::invalid("there are no labelled images to learn from")
            .help("ingest images with labels first: a folder for each label, or a list with a label column"));
    }
    if *dimension == 0 || image.len().checked_mul(*dimension) != Some(vectors.len()) {
        let (numbers, rows) = (vectors.len(), image.len());
        return Err(Error::invalid(format!("{numbers} numbers are not {rows} rows of {dimension}")));
    }
    if u32::try_from(image.len()).is_err() {
        return Err(Error::invalid(format!("{} rows are more than a training takes (2^32)", image.len())));
    }
    let mut views = vec![Vec::new(); labels.len()];
    for (row, (&of, values)) in (0u32..).zip(image.iter().zip(vectors.chunks_exact(*dimension))) {
        if unit(values).is_none() {
            return Err(Error::invalid(format!("row {row} cannot be learnt from: it is zero, or not finite")));
        }
        match views.get_mut(of as usize) {
            Some(rows) => rows.push(row),
            None => return Err(Error::invalid(format!("row {row} is of image {of}, which has no label"))),
        }
    }
    match views.iter().position(Vec::is_empty) {
        Some(image) => Err(Error::invalid(format!("image {image} has a label but no row"))),
        None => Ok(views),
    }
}

/// Takes about `share` of the labels away; their images.
fn hold_labels(by_label: &mut BTreeMap<u32, Vec<u32>>, share: f64, seed: u64) -> Vec<u32> {
    if share <= 0.0 || by_label.len() < HOLD_LABELS_FROM {
        return Vec::new();
    }
    let mut labels: Vec<u32> = by_label.keys().copied().collect();
    Mix::new(&[seed, LABELS]).shuffle(&mut labels);
    labels.truncate(((labels.len() as f64 * share).round() as usize).max(FEWEST_LABELS_OUT));
    let mut images: Vec<u32> = labels.iter().filter_map(|label| by_label.remove(label)).flatten().collect();
    images.sort_unstable();
    images
}

/// About `share` of the images, of labels with three or more only; every such label keeps two or more.
fn hold_out(by_label: &BTreeMap<u32, Vec<u32>>, share: f64, seed: u64) -> Vec<u32> {
    let mut mix = Mix::new(&[seed, PURPOSE]);
    let total: usize = by_label.values().map(Vec::len).sum();
    let wanted = (total as f64 * share).round() as usize;
    let mut candidates: Vec<u32> = Vec::new();
    for images in by_label.values().filter(|images| images.len() >= HOLD_OUT_FROM) {
        let mut images = images.clone();
        mix.shuffle(&mut images);
        candidates.extend(&images[HOLD_OUT_FROM - 1..]);
    }
    mix.shuffle(&mut candidates);
    candidates.truncate(wanted);
    candidates.sort_unstable();
    candidates
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// One row an image, the label's number in the first place.
    fn samples(labels: &[u32]) -> Samples {
        let vectors = (0..labels.len()).flat_map(|i| [labels[i] as f32 + 1.0, i as f32]).collect();
        Samples { dimension: 2, vectors, image: (0..labels.len() as u32).collect(), labels: labels.to_vec() }
    }

    fn refusal(samples: &Samples, singles: Singles) -> String {
        Prepared::new(samples, singles, HoldOut::images(0.0), 1).err().unwrap().to_string()
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused_with_a_reason() {
        assert!(refusal(&Samples::default(), Singles::Refuse).contains("no labelled images"));
        assert!(refusal(&samples(&[7, 7, 7]), Singles::Refuse).contains("1 label(s)"));
        assert!(refusal(&samples(&[7, 7, 8]), Singles::Refuse).contains("1 of 2 labels have only one image"));
        assert!(refusal(&samples(&[7, 7, 8]), Singles::LeaveOut).contains("1 label(s)"));
        let nan = Samples { vectors: vec![1.0, f32::NAN, 1.0, 1.0], ..samples(&[7, 7]) };
        assert!(refusal(&nan, Singles::Refuse).contains("row 0"));
        let zero = Samples { vectors: vec![1.0, 1.0, 0.0, 0.0], ..samples(&[7, 7]) };
        assert!(refusal(&zero, Singles::Refuse).contains("row 1"));
        assert!(refusal(&Samples { image: vec![0, 9], ..samples(&[7, 7]) }, Singles::Refuse).contains("image 9"));
        assert!(refusal(&Samples { image: vec![0, 0], ..samples(&[7, 7]) }, Singles::Refuse).contains("image 1 has"));
        assert!(refusal(&Samples { dimension: 3, ..samples(&[7, 7]) }, Singles::Refuse).contains("rows of 3"));
    }

    #[test]
    fn classes_are_dense_and_singles_stay_or_go() {
        let samples = samples(&[900, 5, 900, 5, 70]);
        let kept = Prepared::new(&samples, Singles::Keep, HoldOut::images(0.0), 1).unwrap();
        assert_eq!((kept.class_count, kept.classes.as_slice()), (3, &[2, 0, 2, 0, 1][..]));
        let left = Prepared::new(&samples, Singles::LeaveOut, HoldOut::images(0.0), 1).unwrap();
        assert_eq!((left.class_count, left.train.as_slice()), (2, &[0, 1, 2, 3][..]));
    }

    #[test]
    fn labels_that_are_held_out_are_not_learnt() {
        let labels: Vec<u32> = (0..60).map(|i| i % 10).collect();
        let samples = samples(&labels);
        let both = HoldOut { images: 0.34, labels: 0.2 };
        let prepared = Prepared::new(&samples, Singles::Refuse, both, 1).unwrap();
        let of = |images: &[u32]| {
            images.iter().map(|&image| prepared.label(image)).collect::<std::collections::BTreeSet<_>>()
        };
        let unknown = of(&prepared.unknown);
        assert_eq!((unknown.len(), prepared.unknown.len(), prepared.class_count), (2, 12, 8));
        assert!(unknown.is_disjoint(&of(&prepared.train)) && unknown.is_disjoint(&of(&prepared.held_out)));
        assert_eq!(prepared.train.len() + prepared.held_out.len() + prepared.unknown.len(), 60);
        let few = self::samples(&[1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert!(Prepared::new(&few, Singles::Refuse, both, 1).unwrap().unknown.is_empty());
        assert!(Prepared::new(&samples, Singles::Refuse, HoldOut::images(0.34), 1).unwrap().unknown.is_empty());
    }

    #[test]
    fn held_out_images_leave_two_of_their_label() {
        let labels: Vec<u32> = (0..60).map(|i| if i < 2 { 1 } else { 2 + i % 4 }).collect();
        let samples = samples(&labels);
        let prepared = Prepared::new(&samples, Singles::Refuse, HoldOut::images(0.2), 1).unwrap();
        assert_eq!(prepared.held_out.len(), 12);
        assert_eq!(prepared.held_out.len() + prepared.train.len(), 60);
        assert!(prepared.held_out.iter().all(|image| prepared.label(*image) != 1 && !prepared.train.contains(image)));
        let other = Prepared::new(&samples, Singles::Refuse, HoldOut::images(0.2), 2).unwrap();
        assert_ne!(other.held_out, prepared.held_out);
        let all = Prepared::new(&samples, Singles::Refuse, HoldOut::images(1.0), 1).unwrap();
        for label in 1..6 {
            assert!(all.train.iter().filter(|&&image| all.label(image) == label).count() >= 2);
        }
    }
}
