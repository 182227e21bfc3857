//! The options of discriminant training, with their defaults and ranges.

use cairn::limits::MAX_DIMENSION;
use cairn::{Error, Result};

/// Most numbers of a descriptor that it takes: its matrices are square.
const MOST_NUMBERS: usize = 8192;

/// How [`super::train_discriminant`] works. The defaults come from trials on the shared landmarks and groceries, whose queries
/// were examined during the trials: on other photos expect less, and trust [`super::HeldOut`].
#[derive(Debug, Clone, PartialEq)]
pub struct DiscriminantOptions {
    /// How much the whitening is held back: this many times the mean eigenvalue is added to every eigenvalue. 2.
    pub ridge: f64,
    /// Parts into which the training images are dealt to find wrong labels; 5.
    pub folds: usize,
    /// Neighbours among which an image's own label must be found; 10.
    pub neighbours: usize,
    /// Numbers of the adapted descriptor; 256. `None`: as many as it has by itself, twice those of the descriptor and one for
    /// each label but the first.
    pub compress: Option<usize>,
    /// Learn from the index images, which have no labels, what their surest neighbours say they are; true.
    pub transductive: bool,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Share of the images of a label that is held out to measure a separate training; 0.34. 0: no measurement.
    pub validation: f64,
    /// How often that is done, with other images; 3. Each costs two more trainings.
    pub repeats: usize,
}

impl Default for DiscriminantOptions {
    fn default() -> Self {
        Self {
            ridge: 2.0,
            folds: 5,
            neighbours: 10,
            compress: Some(256),
            transductive: true,
            seed: 1,
            validation: 0.34,
            repeats: 3,
        }
    }
}

impl DiscriminantOptions {
    /// # Errors
    /// When a number cannot be used with descriptors of `input` numbers; the message says which, and its range.
    pub(super) fn check(&self, input: usize) -> Result<()> {
        let whole = |x: usize| x as f64;
        let ranges = [
            ("ridge", self.ridge, 1e-6, 1e6),
            ("number of folds", whole(self.folds), 2.0, 100.0),
            ("number of neighbours", whole(self.neighbours), 1.0, 1000.0),
            ("dimension", whole(self.compress.unwrap_or(1)), 1.0, whole(MAX_DIMENSION)),
            ("share held out", self.validation, 0.0, 0.9),
            ("number of repeats", whole(self.repeats), 0.0, 100.0),
            ("length of the descriptors", whole(input), 1.0, whole(MOST_NUMBERS)),
        ];
        match ranges.into_iter().find(|(_, x, low, high)| !(*low..=*high).contains(x)) {
            Some((name, value, low, high)) => {
                Err(Error::invalid(format!("the {name} is {value}; it must be {low} to {high}")))
            }
            None => Ok(()),
        }
    }
}
