//! What a training is worth, from the labelled images alone: some are held out, and the training is made again without them.

use cairn::Result;

use super::evidence::Given;
use super::options::DiscriminantOptions;
use super::{Ticker, balanced, parts, solve};
use crate::device::torch_error;
use crate::train::judge::{Comparison, Labelled, judge_among};
use crate::train::nearest::{numbers, select, tensor};
use crate::train::random::Mix;
use crate::train::samples::LABEL_SHARE;

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
    if options.validation == 0.0 || options.repeats == 0 {
        return Ok(None);
    }
    let chosen = balanced(given.classes, given.count, MOST_IMAGES, options.seed ^ PURPOSE);
    let x = select(given.x, &chosen).map_err(torch_error)?;
    let classes: Vec<i64> = chosen.iter().map(|&place| given.classes[place]).collect();
    let given = Given { x: &x, classes: &classes, ..given };
    let mut tables = [Vec::new(), Vec::new()];
    for repeat in 0..options.repeats {
        for (table, share) in tables.iter_mut().zip([0.0, LABEL_SHARE]) {
            match split(&given, options, share, repeat) {
                Some((train, held_out)) => table.push(compare(given, &train, &held_out, options, ticker)?),
                // The caller's count goes on.
                None => (0..parts(options)).try_for_each(|_| ticker.tick("judging"))?,
            }
        }
    }
    let [images, classes] = tables.map(|table| mean(&table));
    Ok(images.map(|images| HeldOut { images, classes, repeats: options.repeats }))
}

/// Places to learn from and places held out: `options.validation` of each class, all of a `share` of the classes.
fn split(given: &Given, options: &DiscriminantOptions, share: f64, repeat: usize) -> Option<(Vec<usize>, Vec<usize>)> {
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
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (at, mut places) in members.into_iter().enumerate() {
        mix.shuffle(&mut places);
        let out = if at < unknown { places.len() } else { (places.len() as f64 * options.validation).round() as usize };
        held_out.extend(&places[..out]);
        train.extend(&places[out..]);
    }
    train.sort_unstable();
    held_out.sort_unstable();
    (!train.is_empty() && !held_out.is_empty()).then_some((train, held_out))
}

/// A training on `train`, judged on `held_out`, which it sees without their labels.
fn compare(
    given: Given,
    train: &[usize],
    held_out: &[usize],
    options: &DiscriminantOptions,
    ticker: &mut Ticker,
) -> Result<Comparison> {
    let pick = |places: &[usize]| select(given.x, places).map_err(torch_error);
    let labels = |places: &[usize]| places.iter().map(|&place| given.classes[place] as u32).collect::<Vec<u32>>();
    let (voters, items) = (pick(train)?, pick(held_out)?);
    let (voter_labels, item_labels) = (labels(train), labels(held_out));
    let classes: Vec<i64> = train.iter().map(|&place| given.classes[place]).collect();
    let solved = solve(Given { x: &voters, classes: &classes, ..given }, &items, options, ticker)?;
    let judged = |voters: &tch::Tensor, items: &tch::Tensor| {
        let voters = Labelled { rows: voters, labels: &voter_labels };
        judge_among(voters, Labelled { rows: items, labels: &item_labels }).map_err(torch_error)
    };
    let adapt = |rows: &tch::Tensor| -> Result<tch::Tensor> {
        let adapted = solved.adapter.apply_many(&numbers(rows).map_err(torch_error)?)?;
        tensor(&adapted, solved.adapter.dimension()).map_err(torch_error)
    };
    Ok(Comparison { before: judged(&voters, &items)?, after: judged(&adapt(&voters)?, &adapt(&items)?)? })
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
