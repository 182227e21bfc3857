//! The options of a head-only training, with their defaults and ranges.

use std::fmt::Write;

use cairn::language::DEFAULT_VALIDATION;
use cairn::limits::MAX_DIMENSION;
use cairn::{Error, Result};

use super::batches::Sampling;
use super::init::Init;
use super::loss::{Loss, LossOptions};
use super::samples::Singles;

/// Fewest images of a mini-batch whose rows are compared: two labels with two images each.
const SMALLEST_COMPARED: usize = 4;

/// How a head is trained on cached descriptors. The parts of the recipe are independent of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadOptions {
    /// The loss with its margin and scale; ArcFace, m = 0.3, s = 30.
    pub loss: LossOptions,
    /// Numbers of the adapted descriptor; 512, and 2,048 for triplet and AP, as in Table 5. Every start but
    /// [`Init::Xavier`] allows at most the dimension of the samples.
    pub dimension: usize,
    /// What the head starts from; [`Init::Xavier`].
    pub init: Init,
    /// True: the weight of each class starts as the mean of its images' first descriptors; false (the default): it is drawn from
    /// Xavier's uniform distribution, as released.
    pub centres: bool,
    /// Weight of the descriptor as it was, which then stands before the adapted one; 0 (the default) leaves it out.
    pub concatenation: f32,
    /// Times that the images are gone through; 30. The paper's 5 are for a million images.
    pub epochs: u64,
    /// How many of them, at the end, keep the statistics of the batch normalisation and its two parameters as they are; 1.
    pub frozen_epochs: u64,
    /// Images of a mini-batch; 32. Fewer images than that make one batch.
    pub batch: usize,
    /// How an epoch goes through the images.
    pub sampling: Sampling,
    /// Learning rate of the first step; 0.02. The paper's 1e-3 moves a trunk that has learnt before; a new head on a few hundred
    /// images would hardly leave its place with it.
    pub rate: f64,
    /// Learning rate at the end of the cosine; 3e-6, as released.
    pub last_rate: f64,
    /// Momentum; 0.9.
    pub momentum: f64,
    /// Weight decay on every parameter; 1e-5.
    pub weight_decay: f64,
    /// Share of a descriptor's numbers that are set to zero while learning; 0.
    pub dropout: f64,
    /// Length of the Gaussian noise added to a descriptor of length 1 while learning; 0.
    pub noise: f64,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Share of the images held out to judge by, which are not learnt from; `DEFAULT_VALIDATION` of TRAIN.
    pub validation: f64,
    /// What happens to labels with one image.
    pub singles: Singles,
}

impl HeadOptions {
    /// The defaults for a loss.
    pub fn new(loss: Loss) -> Self {
        let sampling = if loss.classifies() { Sampling::Shuffled } else { Sampling::Grouped { images: 4 } };
        Self {
            loss: LossOptions::new(loss),
            dimension: loss.dimension(),
            init: Init::Xavier,
            centres: false,
            concatenation: 0.0,
            epochs: 30,
            frozen_epochs: 1,
            batch: 32,
            sampling,
            rate: 0.02,
            last_rate: 3e-6,
            momentum: 0.9,
            weight_decay: 1e-5,
            dropout: 0.0,
            noise: 0.0,
            seed: 1,
            validation: DEFAULT_VALIDATION,
            singles: Singles::default(),
        }
    }

    /// # Errors
    /// When a number cannot be used with samples of `input` numbers; the message says which, and its range.
    pub(crate) fn check(&self, input: usize) -> Result<()> {
        self.loss.check()?;
        if !self.loss.loss.classifies() && self.batch < SMALLEST_COMPARED {
            return Err(Error::invalid(format!(
                "the loss {} compares the images of a mini-batch: it needs two of one label and two of another, and {} are too few",
                self.loss.loss.word(),
                self.batch
            ))
            .help(format!("take batch={SMALLEST_COMPARED} or more")));
        }
        let whole = |x: usize| x as f64;
        let widest = match self.init {
            Init::Xavier => MAX_DIMENSION,
            _ => input.min(MAX_DIMENSION),
        };
        let images = match self.sampling {
            Sampling::Grouped { images } => images,
            _ => 2,
        };
        let shrinkage = match self.init {
            Init::Whitened { shrinkage } => shrinkage,
            _ => 0.0,
        };
        let ranges = [
            ("dimension", whole(self.dimension), 1.0, whole(widest)),
            ("weight of the concatenation", f64::from(self.concatenation), 0.0, 1e6),
            ("number of epochs", self.epochs as f64, 1.0, 1e6),
            ("number of frozen epochs", self.frozen_epochs as f64, 0.0, self.epochs as f64),
            ("mini-batch", whole(self.batch), 2.0, 65_536.0),
            ("number of images that stand together", whole(images), 2.0, whole((self.batch / 2).max(2))),
            ("shrinkage", shrinkage, 0.0, 1.0),
            ("learning rate", self.rate, 0.0, 1e3),
            ("last learning rate", self.last_rate, 0.0, 1e3),
            ("momentum", self.momentum, 0.0, 0.9999),
            ("weight decay", self.weight_decay, 0.0, 1.0),
            ("dropout", self.dropout, 0.0, 0.95),
            ("noise", self.noise, 0.0, 10.0),
            ("share held out", self.validation, 0.0, 0.9),
        ];
        if let Some((name, value, low, high)) = ranges.into_iter().find(|(_, x, low, high)| !(*low..=*high).contains(x))
        {
            let error = Error::invalid(format!("the {name} is {value}; it lies between {low} and {high}"));
            return Err(match name {
                "dimension" if high < whole(MAX_DIMENSION) => error.help(format!(
                    "the samples have {input} numbers; more than that can only be begun by chance (xavier)"
                )),
                _ => error,
            });
        }
        match self.init {
            Init::Identity if self.dimension != input => Err(Error::invalid(format!(
                "a head that begins as the identity has {input} dimensions, not {}",
                self.dimension
            ))),
            _ => Ok(()),
        }
    }

    /// Everything that decides the result, as lines `name = value`.
    pub(crate) fn text(&self) -> String {
        let Self { loss, dimension, centres, concatenation, epochs, frozen_epochs, batch, sampling, .. } = self;
        let Self { rate, last_rate, momentum, weight_decay, dropout, noise, seed, validation, singles, .. } = self;
        let LossOptions { loss, scale, margin, smoothing, theta0 } = loss;
        let mut text = String::new();
        let lines: [(&str, &dyn std::fmt::Display); 20] = [
            ("training", &"head only 1"),
            ("loss", &loss.word()),
            ("scale", scale),
            ("margin", margin),
            ("smoothing", smoothing),
            ("theta0", theta0),
            ("dimension", dimension),
            ("init", &self.init.text()),
            ("centres", centres),
            ("concatenation", concatenation),
            ("epochs", epochs),
            ("frozen epochs", frozen_epochs),
            ("batch", batch),
            ("rate", rate),
            ("last rate", last_rate),
            ("momentum", momentum),
            ("weight decay", weight_decay),
            ("dropout", dropout),
            ("noise", noise),
            ("seed", seed),
        ];
        for (name, value) in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = {value}");
        }
        let _ = writeln!(text, "sampling = {sampling:?}\nvalidation = {validation}\nsingles = {singles:?}");
        text
    }
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self::new(Loss::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        let check = |change: &dyn Fn(&mut HeadOptions)| {
            let mut options = HeadOptions::default();
            change(&mut options);
            options.check(1280).map_err(|error| error.to_string())
        };
        assert_eq!(check(&|_| ()), Ok(()));
        assert!(check(&|o| (o.init, o.dimension) = (Init::Pca, 2048)).unwrap_err().contains("1280 numbers"));
        assert!(check(&|o| o.init = Init::Identity).unwrap_err().contains("1280 dimensions"));
        assert!(check(&|o| o.epochs = 0).unwrap_err().contains("epochs"));
        assert!(check(&|o| o.batch = 1).unwrap_err().contains("mini-batch"));
        assert!(check(&|o| o.rate = f64::NAN).unwrap_err().contains("learning rate"));
        assert!(check(&|o| o.loss.margin = -1.0).unwrap_err().contains("margin"));
        for loss in Loss::ALL {
            assert!(HeadOptions::new(loss).check(1280).is_ok());
        }
        for (loss, batch, is_enough) in [(Loss::Triplet, 3, false), (Loss::Ap, 2, false), (Loss::Softmax, 2, true)] {
            let sampling = Sampling::Grouped { images: 2 };
            let checked = HeadOptions { batch, sampling, ..HeadOptions::new(loss) }.check(1280);
            assert_eq!(checked.is_ok(), is_enough, "{checked:?}");
            assert!(is_enough || checked.unwrap_err().to_string().contains("two of one label and two of another"));
        }
        assert!(
            check(&|o| (o.batch, o.sampling) = (6, Sampling::Grouped { images: 4 })).unwrap_err().contains("stand")
        );
    }

    #[test]
    fn every_option_is_part_of_the_identity() {
        let text = HeadOptions::default().text();
        // Loss has five, the others one each; one line says what is trained.
        assert_eq!(text.lines().count(), 5 + 17 + 1, "{text}");
    }
}
