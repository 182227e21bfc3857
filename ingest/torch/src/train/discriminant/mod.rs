//! Training in closed form: a discriminant analysis of cached descriptors that leaves out wrong labels and also learns from
//! images without labels. A few hundred images take seconds.
//!
//! A descriptor x becomes [x; L2(W(x - m) V); L2(W(x - m))] and then its 256 principal numbers. W whitens what differs inside the
//! labels, with a ridge (Friedman's regularised discriminant analysis, 1989); V are Fisher's discriminants (Rao
//! 1948) in the whitened space. An image stays out of the fit when its neighbours, in descriptors that were made without it, do not know its label (Wilson's
//! editing, 1972, across folds); an index image is taken in when its neighbours agree on a label (self-training).

mod evidence;
mod fit;
mod held_out;
mod options;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use cairn::runtime::pool;
use cairn::{Error, ErrorKind, Progress, Result, Watch};
use tch::Tensor;

use self::evidence::{Given, adopted, believed};
use self::fit::{Fit, principal};
pub use self::held_out::HeldOut;
pub(crate) use self::held_out::{judge_discriminant, judge_with_more};
pub use self::options::DiscriminantOptions;
use super::nearest::{select, tensor};
use super::samples::{HoldOut, Prepared, Samples, Singles};
use crate::device::{one_thread, torch_error};
use crate::model::adapter::Adapter;
use crate::model::adapter::unit;
use crate::random::Mix;

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0xd15c;
/// Most training images that are learnt from; of more, as many of each label as that allows.
pub const MOST_TRAIN_IMAGES: usize = 50_000;
/// Most index images that are learnt from; of more, evenly spread ones.
pub const MOST_INDEX_IMAGES: usize = 20_000;
/// Largest number of images that the compression uses; of more, evenly spaced ones.
const MOST_COMPRESSED: usize = 20_000;

/// What [`train_discriminant`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedDiscriminant {
    /// The map.
    pub adapter: Adapter,
    /// Images (places in [`Samples::labels`], ascending) that were left out of the fit because nothing around them has their label. A
    /// label with one image is always among them.
    pub left_out: Vec<u32>,
    /// Images without labels that were learnt from.
    pub added: usize,
    /// How good such a training is on images held out; `None` where none were, or nothing could be.
    pub validation: Option<HeldOut>,
}

/// Trains on the plain view (first row) of each labelled image and on `index`, rows of the same length without labels, which may
/// be empty: their surest neighbours' labels are learnt (unless `options.transductive` is false), and the compression keeps
/// what tells them apart.
///
/// The same samples, index and options give the same bits on the same machine. `progress` gets the name of the finished part, the
/// number of finished parts, and their total.
///
/// Of more than [`MOST_TRAIN_IMAGES`] and [`MOST_INDEX_IMAGES`] only that many are used. With n <= 50,000 of the first, i <=
/// 20,000 of the second, and D numbers: O(folds (n D min(n, D) + D^3) + n (n + i) D), the validation (at most 10,000 of the
/// images) 2 `repeats` times as much; memory: about 20 n D bytes, with fewer than 10,000 images that for each thread.
///
/// # Errors
/// `Invalid` for samples that cannot be learnt from (none, one label, no label with two images), for rows that do not fit or
/// are zero or not finite, and for options out of range; `Cancelled` when `watch` answers `Break`.
pub fn train_discriminant(
    samples: &Samples,
    index: &[f32],
    options: &DiscriminantOptions,
    watch: &dyn Watch,
) -> Result<TrainedDiscriminant> {
    let _native = cairn::runtime::native();
    one_thread();
    let Material { images, classes, x, count } = Material::of(samples, options)?;
    let side = samples.dimension;
    let index = tensor(&index_rows(index, side)?, side).map_err(torch_error)?;
    let given = Given { x: &x, classes: &classes, count };
    let trainings = if options.validation > 0.0 { 1 + 2 * options.repeats } else { 1 };
    let mut ticker = Ticker { watch, done: 0, total: trainings * parts(options) };
    let solved = solve(given, &index, options, &mut ticker)?;
    let validation = held_out::validate(given, options, &mut ticker)?;
    let left_out = images.iter().zip(&solved.stays).filter(|(_, stays)| !**stays).map(|(&image, _)| image).collect();
    Ok(TrainedDiscriminant { adapter: solved.adapter, left_out, added: solved.added, validation })
}

/// What is learnt from.
struct Material {
    /// Places in the samples.
    images: Vec<u32>,
    /// The class of each, 0 to `count` - 1.
    classes: Vec<i64>,
    /// Their unit rows (n, D).
    x: Tensor,
    count: usize,
}

impl Material {
    fn of(samples: &Samples, options: &DiscriminantOptions) -> Result<Self> {
        let prepared = Prepared::new(samples, Singles::Keep, HoldOut::images(0.0), options.seed)?;
        options.check(samples.dimension)?;
        let classes: Vec<i64> = prepared.classes.iter().map(|&class| i64::from(class)).collect();
        let mut sizes = vec![0; prepared.class_count];
        prepared.classes.iter().for_each(|&class| sizes[class as usize] += 1);
        if sizes.iter().all(|&size| size < 2) {
            return Err(Error::invalid(
                "no label has two images, so there is nothing to learn about images of one label",
            )
            .help("add more images of the existing labels"));
        }
        let chosen = balanced(&classes, prepared.class_count, MOST_TRAIN_IMAGES, options.seed);
        let images: Vec<u32> = chosen.iter().map(|&place| prepared.train[place]).collect();
        let classes: Vec<i64> = chosen.iter().map(|&place| classes[place]).collect();
        let rows: Vec<Vec<f32>> = pool::map(&images, |&image| prepared.plain(image));
        let x = tensor(&rows.concat(), samples.dimension).map_err(torch_error)?;
        Ok(Self { images, classes, x, count: prepared.class_count })
    }
}

/// Tells the caller how far the work is.
struct Ticker<'a> {
    watch: &'a dyn Watch,
    done: usize,
    total: usize,
}

impl Ticker<'_> {
    /// One part is done.
    fn tick(&mut self, what: &str) -> Result<()> {
        // A process that ends does not wait for the next one.
        cairn::runtime::may_end();
        self.done += 1;
        match self.watch.progress(Progress::new(what, self.done, self.total)) {
            ControlFlow::Break(()) if self.done < self.total => {
                let (done, total) = (self.done, self.total);
                Err(Error::new(ErrorKind::Cancelled, format!("stopped after part {done} of {total}")))
            }
            _ => Ok(()),
        }
    }
}

/// Parts of one training: the folds, two fits, the compression.
fn parts(options: &DiscriminantOptions) -> usize {
    options.folds + 3
}

struct Solved {
    adapter: Adapter,
    /// Whether each training row was learnt from.
    stays: Vec<bool>,
    added: usize,
}

/// An error of torch, or the caller's word to stop.
struct Failure(Error);

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        Self(torch_error(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// One training with all its steps. `index` are unit rows (i, D).
fn solve(given: Given, index: &Tensor, options: &DiscriminantOptions, ticker: &mut Ticker) -> Result<Solved> {
    steps(given, index, options, ticker).map_err(|Failure(error)| error)
}

fn steps(given: Given, index: &Tensor, options: &DiscriminantOptions, ticker: &mut Ticker) -> Result<Solved, Failure> {
    let stays = believed::<Failure>(given, options, || Ok(ticker.tick("looking for wrong labels")?))?;
    let kept: Vec<usize> = (0..stays.len()).filter(|&place| stays[place]).collect();
    let mut fit = given.fit(&kept, options.ridge)?;
    ticker.tick("fitting")?;
    let mut added = 0;
    if options.transductive && index.numel() > 0 {
        let (places, more) = adopted(given, index, &fit)?;
        added = places.len();
        let x = Tensor::f_cat(&[select(given.x, &kept)?, select(index, &places)?], 0)?;
        let classes: Vec<i64> = kept.iter().map(|&place| given.classes[place]).chain(more).collect();
        fit = Fit::new(&x, &classes, given.count, options.ridge)?;
    }
    ticker.tick("learning from images without labels")?;
    let all = Tensor::f_cat(&[given.x, index], 0)?;
    let projection = match options.compress {
        Some(dimension) if dimension < fit.width()? => {
            let places = spread(all.size2()?.0 as usize, MOST_COMPRESSED);
            Some(principal(&fit.embed(&select(&all, &places)?)?, dimension)?)
        }
        _ => None,
    };
    let adapter = fit.adapter(projection.as_ref())?;
    ticker.tick("compressing")?;
    Ok(Solved { adapter, stays, added })
}

/// Unit rows of the index, evenly spread where there are many.
fn index_rows(index: &[f32], side: usize) -> Result<Vec<f32>> {
    if !index.len().is_multiple_of(side) {
        let numbers = index.len();
        return Err(Error::invalid(format!("{numbers} numbers of index images do not form rows of {side}")));
    }
    let places = spread(index.len() / side, MOST_INDEX_IMAGES);
    let row = |&at: &usize| {
        let unusable =
            || Error::invalid(format!("index row {at} cannot be used for training: it is zero, or not finite"));
        unit(&index[at * side..(at + 1) * side]).ok_or_else(unusable)
    };
    Ok(pool::try_map(&places, row)?.concat())
}

/// At most `most` of 0..`count`, evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let taken = count.min(most);
    (0..taken).map(|at| (at as u128 * count as u128 / taken as u128) as usize).collect()
}

/// At most `most` places, ascending: as many of each class as the same limit for all of them allows, two or more; where even two are
/// too many, of fewer classes. Drawn by the seed.
fn balanced(classes: &[i64], class_count: usize, most: usize, seed: u64) -> Vec<usize> {
    if classes.len() <= most {
        return (0..classes.len()).collect();
    }
    let mut members = vec![Vec::new(); class_count];
    for (place, &class) in classes.iter().enumerate() {
        members[class as usize].push(place);
    }
    let mut mix = Mix::new(&[seed, PURPOSE]);
    members.iter_mut().for_each(|places| mix.shuffle(places));
    mix.shuffle(&mut members);
    let total = |limit: usize| members.iter().map(|places| places.len().min(limit)).sum::<usize>();
    let (mut low, mut high) = (2, classes.len());
    while low < high {
        let middle = (low + high).div_ceil(2);
        if total(middle) <= most { low = middle } else { high = middle - 1 }
    }
    let mut chosen: Vec<usize> = Vec::with_capacity(most);
    for places in members {
        let places = &places[..places.len().min(low)];
        if chosen.len() + places.len() <= most {
            chosen.extend(places);
        }
    }
    chosen.sort_unstable();
    chosen
}
