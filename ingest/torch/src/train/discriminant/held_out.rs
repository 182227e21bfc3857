//! Measures a training on the labelled images alone: it holds some out and repeats the training without them.

use std::collections::{BTreeMap, BTreeSet};

use cairn::{Result, Watch};
use tch::Tensor;

use super::evidence::Given;
use super::options::DiscriminantOptions;
use super::{Material, Ticker, balanced, parts, solve, spread};
use crate::device::torch_error;
use crate::model::adapter::unit;
use crate::random::Mix;
use crate::train::judge::{Comparison, Labelled, judge_among};
use crate::train::nearest::{numbers, select, tensor};
use crate::train::samples::{LABEL_SHARE, Samples};
use crate::train::validate::Descriptors;

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0x4e1d;
/// Most images that are judged with; of more, as many of each label as that allows.
const MOST_IMAGES: usize = 10_000;

/// Descriptors before and after, on images held out: each asks for the others that were held out, the images that were learnt from
/// predict. Labels are taken as they are given. Means over the repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// Images of labels that were learnt.
    pub images: Comparison,
    /// The same, and all images of a fifth of the labels, which were not: photos of what is not in the training set. `None` where
    /// there are fewer than three labels.
    pub classes: Option<Comparison>,
    /// How often images were held out.
    pub repeats: usize,
}

impl HeldOut {
    /// Whether the adapted descriptors should be used: the re-ranked lists of learnt labels are better, and the nearest images are no
    /// worse when a part of the labels is unknown.
    pub fn is_better(&self) -> bool {
        let known = self.images.after.reranked > self.images.before.reranked;
        known && self.classes.is_none_or(|classes| classes.after.knn >= classes.before.knn)
    }
}

/// `None` where the options hold nothing out, or too little is left.
pub(super) fn validate(given: Given, options: &DiscriminantOptions, ticker: &mut Ticker) -> Result<Option<HeldOut>> {
    let (_, x, classes) = judged(&given, options)?;
    let given = Given { x: &x, classes: &classes, ..given };
    let mut tables = [Vec::new(), Vec::new()];
    for (table, split) in draws(&given, options) {
        match split {
            Some(split) => tables[table]
                .push(compare(given, &split, &mut |given, split| learnt_without(given, None, split, options, ticker))?),
            // The caller's count goes on.
            None => (0..parts(options)).try_for_each(|_| ticker.tick("judging"))?,
        }
    }
    Ok(held_out(tables))
}

/// How good such a training is that learns from `more`, too, in the questions by which a training on `samples` alone is judged.
///
/// # Errors
/// As [`super::train_discriminant`].
pub(crate) fn judge_with_more(
    samples: &Samples,
    more: &Samples,
    options: &DiscriminantOptions,
    watch: &dyn Watch,
) -> Result<Option<HeldOut>> {
    let _native = cairn::runtime::native();
    let Material { images, classes, x, count } = Material::of(samples, options)?;
    // Labels that only the others have become classes behind those that there are; not every one of these has images here.
    let mut numbers: BTreeMap<u32, i64> =
        images.iter().zip(&classes).map(|(&image, &class)| (samples.labels[image as usize], class)).collect();
    let (side, known, mut rows, mut more_classes) = (samples.dimension, numbers.len(), Vec::new(), Vec::new());
    for at in spread(more.labels.len(), MOST_IMAGES) {
        let next = (count + numbers.len() - known) as i64;
        let Some(row) = unit(&more.vectors[at * side..(at + 1) * side]) else { continue };
        rows.extend(row);
        more_classes.push(*numbers.entry(more.labels[at]).or_insert(next));
    }
    let more_x = tensor(&rows, side).map_err(torch_error)?;
    let others = Given { x: &more_x, classes: &more_classes, count: count + numbers.len() - known };
    let given = Given { x: &x, classes: &classes, count };
    let (_, x, classes) = judged(&given, options)?;
    let given = Given { x: &x, classes: &classes, count };
    let draws = draws(&given, options);
    let mut ticker = Ticker { watch, done: 0, total: draws.len() * parts(options) };
    compared(given, draws, &mut |given, split| learnt_without(given, Some(&others), split, options, &mut ticker))
}

/// How good other descriptors of the same images are, in the questions by which such a training is judged: they stand in
/// [`Comparison::after`]. `None` where it asks none. `descriptors` gives unit rows of images by number.
///
/// # Errors
/// As [`super::train_discriminant`], and as `descriptors`.
pub(crate) fn judge_discriminant(
    samples: &Samples,
    options: &DiscriminantOptions,
    descriptors: Descriptors<'_>,
) -> Result<Option<HeldOut>> {
    let mut native = cairn::runtime::native();
    let Material { images, classes, x, count } = Material::of(samples, options)?;
    let given = Given { x: &x, classes: &classes, count };
    let (chosen, x, classes) = judged(&given, options)?;
    let numbers: Vec<u32> = chosen.iter().map(|&place| images[place]).collect();
    let others = native.outside(|| descriptors(&numbers))?;
    let others = tensor(&others.concat(), others.first().map_or(1, Vec::len)).map_err(torch_error)?;
    let given = Given { x: &x, classes: &classes, ..given };
    let pick = |places: &[usize]| select(&others, places).map_err(torch_error);
    compared(given, draws(&given, options), &mut |_, split| Ok((pick(&split.train)?, pick(&split.held_out)?)))
}

/// The means over the splits that there are.
fn compared(given: Given, draws: Vec<(usize, Option<Split>)>, adapted: Adapted<'_>) -> Result<Option<HeldOut>> {
    let mut tables = [Vec::new(), Vec::new()];
    for (table, split) in draws {
        let Some(split) = split else { continue };
        tables[table].push(compare(given, &split, adapted)?);
    }
    Ok(held_out(tables))
}

/// Places that are judged with, their rows and their classes.
fn judged(given: &Given, options: &DiscriminantOptions) -> Result<(Vec<usize>, Tensor, Vec<i64>)> {
    let chosen = balanced(given.classes, given.count, MOST_IMAGES, options.seed ^ PURPOSE);
    let x = select(given.x, &chosen).map_err(torch_error)?;
    let classes = chosen.iter().map(|&place| given.classes[place]).collect();
    Ok((chosen, x, classes))
}

/// Places to learn from and places held out.
struct Split {
    train: Vec<usize>,
    held_out: Vec<usize>,
}

/// The splits, in order: each with the number of the table that it belongs to, 0 where every label is known. `None`: too little is left.
fn draws(given: &Given, options: &DiscriminantOptions) -> Vec<(usize, Option<Split>)> {
    let repeats = if options.validation == 0.0 { 0 } else { options.repeats };
    let of = |repeat| [0.0, LABEL_SHARE].map(|share| split(given, options, share, repeat));
    (0..repeats).flat_map(|repeat| (0..).zip(of(repeat))).collect()
}

fn held_out(tables: [Vec<Comparison>; 2]) -> Option<HeldOut> {
    let repeats = tables[0].len();
    let [images, classes] = tables.map(|table| mean(&table));
    images.map(|images| HeldOut { images, classes, repeats })
}

/// `options.validation` of each class is held out, and all of a `share` of the classes. An image that is held out alone of its class
/// has nothing to find: where the share of a class is one image, two are held out of every other such class of three or more.
/// `None`: too little is left to learn from or to ask for.
fn split(given: &Given, options: &DiscriminantOptions, share: f64, repeat: usize) -> Option<Split> {
    let mut members = vec![Vec::new(); given.count];
    for (place, &class) in given.classes.iter().enumerate() {
        members[class as usize].push(place);
    }
    members.retain(|places| !places.is_empty());
    let mut mix = Mix::new(&[options.seed, PURPOSE, repeat as u64, share.to_bits()]);
    mix.shuffle(&mut members);
    let unknown = match share {
        0.0 => 0,
        _ => ((members.len() as f64 * share).round() as usize).max(1),
    };
    if members.len() < unknown + 2 {
        return None;
    }
    let (mut train, mut held_out, mut asked, mut alone) = (Vec::new(), Vec::new(), 0, 0);
    for (at, mut places) in members.into_iter().enumerate() {
        mix.shuffle(&mut places);
        let out = match (places.len() as f64 * options.validation).round() as usize {
            _ if at < unknown => places.len(),
            1 => {
                alone += usize::from(places.len() > 2);
                if places.len() > 2 && alone % 2 == 1 { 2 } else { 0 }
            }
            out => out,
        };
        asked += usize::from(out > 1);
        held_out.extend(&places[..out]);
        train.extend(&places[out..]);
    }
    train.sort_unstable();
    held_out.sort_unstable();
    (!train.is_empty() && asked > 0).then_some(Split { train, held_out })
}

/// New descriptors of a split: of the images to learn from, and of those held out.
type Adapted<'a> = &'a mut dyn FnMut(Given<'_>, &Split) -> Result<(Tensor, Tensor)>;

/// What is held out asks for each other, before and after.
fn compare(given: Given, split: &Split, adapted: Adapted<'_>) -> Result<Comparison> {
    let pick = |places: &[usize]| select(given.x, places).map_err(torch_error);
    let labels = |places: &[usize]| places.iter().map(|&place| given.classes[place] as u32).collect::<Vec<u32>>();
    let (voter_labels, item_labels) = (labels(&split.train), labels(&split.held_out));
    let judged = |(voters, items): (Tensor, Tensor)| {
        let voters = Labelled { rows: &voters, labels: &voter_labels };
        judge_among(voters, Labelled { rows: &items, labels: &item_labels }).map_err(torch_error)
    };
    let after = judged(adapted(given, split)?)?;
    Ok(Comparison { before: judged((pick(&split.train)?, pick(&split.held_out)?))?, after })
}

/// A training that sees what is held out without its labels. It learns from `more`, too, but for classes that are held out whole.
fn learnt_without(
    given: Given,
    more: Option<&Given>,
    split: &Split,
    options: &DiscriminantOptions,
    ticker: &mut Ticker,
) -> Result<(Tensor, Tensor)> {
    let pick = |places: &[usize]| select(given.x, places).map_err(torch_error);
    let (voters, items) = (pick(&split.train)?, pick(&split.held_out)?);
    let mut classes: Vec<i64> = split.train.iter().map(|&place| given.classes[place]).collect();
    let mut learnt = voters.shallow_clone();
    let mut count = given.count;
    if let Some(more) = more {
        let mut unknown: BTreeSet<i64> = split.held_out.iter().map(|&place| given.classes[place]).collect();
        classes.iter().for_each(|class| {
            unknown.remove(class);
        });
        let taken: Vec<usize> =
            (0..more.classes.len()).filter(|&place| !unknown.contains(&more.classes[place])).collect();
        let rows = select(more.x, &taken).map_err(torch_error)?;
        learnt = Tensor::f_cat(&[learnt, rows], 0).map_err(torch_error)?;
        classes.extend(taken.iter().map(|&place| more.classes[place]));
        count = more.count;
    }
    let solved = solve(Given { x: &learnt, classes: &classes, count }, &items, options, ticker)?;
    let adapt = |rows: &Tensor| -> Result<Tensor> {
        let adapted = solved.adapter.apply_many(&numbers(rows).map_err(torch_error)?)?;
        tensor(&adapted, solved.adapter.dimension()).map_err(torch_error)
    };
    Ok((adapt(&voters)?, adapt(&items)?))
}

fn mean(table: &[Comparison]) -> Option<Comparison> {
    let of = |number: fn(&Comparison) -> f64| table.iter().map(number).sum::<f64>() / table.len() as f64;
    let mut mean = Comparison::default();
    mean.before.knn = of(|c| c.before.knn);
    mean.before.reranked = of(|c| c.before.reranked);
    mean.after.knn = of(|c| c.after.knn);
    mean.after.reranked = of(|c| c.after.reranked);
    (!table.is_empty()).then_some(mean)
}
