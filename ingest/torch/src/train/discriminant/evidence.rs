//! The neighbours' evidence about a label: which training images to leave out of a fit, which unlabelled images to add.

use cairn::runtime::pool;
use tch::{TchError, Tensor};

use super::fit::Fit;
use super::options::DiscriminantOptions;
use crate::device::one_thread;
use crate::random::Mix;
use crate::train::nearest::{nearest, select};

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0xf01d;
/// Least share of the neighbours' weight that must speak for an image's own label.
const OWN: f64 = 0.05;
/// Least share that gives an unlabelled image a label.
const SURE: f64 = 0.7;
/// Neighbours that speak for an unlabelled image.
const SPEAKERS: usize = 5;
/// From this many rows the folds are computed one after the other: each needs memory for all descriptors.
const ONE_BY_ONE: usize = 10_000;

/// Unit rows (n, D), f32 on the CPU, with their classes, 0 to `count` - 1.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) x: &'a Tensor,
    pub(super) classes: &'a [i64],
    pub(super) count: usize,
}

impl Given<'_> {
    /// The fit of some of the rows.
    pub(super) fn fit(&self, places: &[usize], ridge: f64) -> Result<Fit, TchError> {
        let classes: Vec<i64> = places.iter().map(|&place| self.classes[place]).collect();
        Fit::new(&select(self.x, places)?, &classes, self.count, ridge)
    }
}

/// Label and weight of what each neighbour says: its similarity cubed. The weights sum to one, or there are none.
fn shares(neighbours: &[(u32, f32)], classes: &[i64]) -> Vec<(i64, f64)> {
    let mut tallies: Vec<(i64, f64)> = Vec::new();
    for &(at, similarity) in neighbours {
        let (class, weight) = (classes[at as usize], f64::from(similarity.max(0.0)).powi(3));
        match tallies.iter_mut().find(|(of, _)| *of == class) {
            Some((_, tally)) => *tally += weight,
            None => tallies.push((class, weight)),
        }
    }
    let sum: f64 = tallies.iter().map(|(_, tally)| tally).sum();
    if sum == 0.0 {
        return Vec::new();
    }
    tallies.iter_mut().for_each(|(_, tally)| *tally /= sum);
    tallies
}

/// Whether each row stays in the fit. The rows are dealt into folds; what a fold's rows find among the rows of the others, in the
/// descriptors that the others make, must speak for their labels at least a little. All stay where fewer than two labels
/// would.
///
/// O(folds fits + n^2 D). `tick` is called after every fold.
pub(super) fn believed<E: From<TchError>>(
    given: Given,
    options: &DiscriminantOptions,
    mut tick: impl FnMut() -> Result<(), E>,
) -> Result<Vec<bool>, E> {
    let rows = given.classes.len();
    let mut order: Vec<usize> = (0..rows).collect();
    Mix::new(&[options.seed, PURPOSE]).shuffle(&mut order);
    let together = if rows < ONE_BY_ONE { pool::threads() } else { 1 };
    let mut stays = vec![true; rows];
    for first in (0..options.folds).step_by(together) {
        // A tensor may go to another thread, but not be seen from two.
        let folds: Vec<(usize, Tensor)> =
            (first..options.folds.min(first + together)).map(|fold| (fold, given.x.shallow_clone())).collect();
        let (classes, count, order) = (given.classes, given.count, &order);
        let doubted = pool::try_map_owned(folds, |(fold, x)| {
            one_thread();
            doubted(Given { x: &x, classes, count }, order, fold, options)
        });
        for places in doubted? {
            places.into_iter().for_each(|place| stays[place] = false);
            tick()?;
        }
    }
    let mut left = (0..rows).filter(|&place| stays[place]).map(|place| given.classes[place]);
    let first = left.next();
    if !left.any(|class| Some(class) != first) {
        stays.fill(true);
    }
    Ok(stays)
}

/// The rows of one fold for whose labels nothing speaks.
fn doubted(given: Given, order: &[usize], fold: usize, options: &DiscriminantOptions) -> Result<Vec<usize>, TchError> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for (at, &place) in order.iter().enumerate() {
        if at % options.folds == fold { inside.push(place) } else { outside.push(place) }
    }
    // In their own order, so that equal similarities are decided as they are anywhere else.
    inside.sort_unstable();
    outside.sort_unstable();
    let fit = given.fit(&outside, options.ridge)?;
    let asked = fit.embed(&select(given.x, &inside)?)?;
    let answers = fit.embed(&select(given.x, &outside)?)?;
    let classes: Vec<i64> = outside.iter().map(|&place| given.classes[place]).collect();
    let found = nearest(&asked, &answers, options.neighbours, None)?;
    let speaks = |place: usize, neighbours: &[(u32, f32)]| {
        shares(neighbours, &classes).iter().any(|(class, share)| *class == given.classes[place] && *share >= OWN)
    };
    Ok(inside.into_iter().zip(found).filter(|(place, list)| !speaks(*place, list)).map(|(place, _)| place).collect())
}

/// The rows of `index` (n, D) whose nearest training rows agree on a label, and that label.
pub(super) fn adopted(given: Given, index: &Tensor, fit: &Fit) -> Result<(Vec<usize>, Vec<i64>), TchError> {
    let found = nearest(&fit.embed(index)?, &fit.embed(given.x)?, SPEAKERS, None)?;
    let sure = |list: &Vec<(u32, f32)>| shares(list, given.classes).into_iter().find(|(_, share)| *share >= SURE);
    let sure = found.iter().enumerate().filter_map(|(row, list)| Some((row, sure(list)?.0)));
    Ok(sure.unzip())
}
