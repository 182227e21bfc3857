//! The training losses: the six of the comparison in Table 5 of the paper.
//!
//! Four classify (ArcFace, CosFace, AdaCos, softmax) and learn one weight vector per class; two compare the rows of a batch with
//! each other (triplet, AP) and need batches with several images of a label.

mod adacos;
mod ap;
mod arcface;
mod cosface;
mod softmax;
mod triplet;

use std::str::FromStr;

use cairn::{Error, Result};
use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::parameter::{Parameter, learning};

/// Shortest length by which a row is divided.
const SHORTEST: f64 = 1e-12;

/// The losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// Angular margin, scale 30, margin 0.3 (Deng et al., CVPR 2019); the default, as in the paper.
    #[default]
    ArcFace,
    /// Margin on the cosine, scale 30, margin 0.3 (Wang et al., CVPR 2018).
    CosFace,
    /// Scale by the angles of the batch (Zhang et al., CVPR 2019), no margin; the released code has 0.3.
    AdaCos,
    /// A linear classifier without margin.
    Softmax,
    /// Squared distances of unit rows (Radenovic et al., TPAMI 2019, whose margin is 0.1), margin 0.2 (Schroff et al., CVPR 2015).
    Triplet,
    /// Average precision over a soft histogram (Revaud et al., ICCV 2019).
    Ap,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 6] = [Loss::ArcFace, Loss::CosFace, Loss::AdaCos, Loss::Softmax, Loss::Triplet, Loss::Ap];

    /// The name people type.
    pub fn word(self) -> &'static str {
        match self {
            Loss::ArcFace => "arcface",
            Loss::CosFace => "cosface",
            Loss::AdaCos => "adacos",
            Loss::Softmax => "softmax",
            Loss::Triplet => "triplet",
            Loss::Ap => "ap",
        }
    }

    /// True where each class has a weight vector; false where the rows of a batch are compared with each other.
    pub fn classifies(self) -> bool {
        !matches!(self, Loss::Triplet | Loss::Ap)
    }

    /// Dimension of the descriptor in Table 5: 512 for the classifying losses, 2,048 for triplet and AP.
    pub fn dimension(self) -> usize {
        if self.classifies() { 512 } else { 2048 }
    }

    /// The margin that TRAIN takes by default; 0 where there is none.
    pub fn margin(self) -> f64 {
        let typed = cairn::language::Loss::ALL.into_iter().find(|typed| typed.name() == self.word());
        typed.and_then(cairn::language::Loss::default_margin).unwrap_or(0.0)
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|loss| loss.word() == word).ok_or_else(|| {
            Error::invalid(format!("there is no loss '{word}'"))
                .help(format!("losses are {}", Self::ALL.map(Loss::word).join(", ")))
        })
    }
}

/// A loss with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossOptions {
    /// Which one; [`Loss::ArcFace`] by default.
    pub loss: Loss,
    /// s, the factor of the cosines of ArcFace and CosFace; 30 by default.
    pub scale: f64,
    /// m: radians for ArcFace and AdaCos, cosine for CosFace, squared distance for triplet; [`Loss::margin`] by default.
    pub margin: f64,
    /// Label smoothing of ArcFace, 0 (the default) to 1.
    pub smoothing: f64,
    /// AdaCos' theta0 in radians: pi/4 by default; the released configuration has 1.25.
    pub theta0: f64,
}

impl LossOptions {
    /// That loss with its defaults.
    pub fn new(loss: Loss) -> Self {
        Self { loss, scale: 30.0, margin: loss.margin(), smoothing: 0.0, theta0: std::f64::consts::FRAC_PI_4 }
    }

    /// # Errors
    /// When a number cannot be used; the message says which, and its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("scale", self.scale, 1e-3, 1e4),
            ("margin", self.margin, 0.0, 1.5),
            ("label smoothing", self.smoothing, 0.0, 0.999),
            ("theta0", self.theta0, 0.0, 1.5),
        ];
        match ranges.into_iter().find(|(_, value, low, high)| !(*low..=*high).contains(value)) {
            Some((name, value, low, high)) => {
                Err(Error::invalid(format!("the {name} of the loss is {value}; it lies between {low} and {high}")))
            }
            None => Ok(()),
        }
    }
}

impl Default for LossOptions {
    fn default() -> Self {
        Self::new(Loss::default())
    }
}

/// A loss at work: its options, the weights that it learns, and AdaCos' scale.
pub(crate) struct Objective {
    options: LossOptions,
    /// Class weights (classes, d), and for softmax their biases (classes); empty for triplet and AP.
    pub(crate) weights: Vec<Tensor>,
    /// AdaCos' scale; part of the state of a training.
    pub(crate) scale: f64,
}

impl Objective {
    /// `class_weight`: (classes, d), drawn by the caller, Xavier uniform as released.
    pub(crate) fn new(options: LossOptions, class_weight: Tensor) -> Result<Self, TchError> {
        let (classes, _) = class_weight.size2()?;
        let scale = match options.loss {
            Loss::AdaCos => adacos::first_scale(usize::try_from(classes).unwrap_or(0), options.theta0),
            _ => options.scale,
        };
        let weights = match options.loss {
            Loss::Triplet | Loss::Ap => Vec::new(),
            Loss::Softmax => {
                let bias = Tensor::f_zeros([classes], (class_weight.f_kind()?, class_weight.device()))?;
                vec![class_weight, bias]
            }
            _ => vec![class_weight],
        };
        Ok(Self { options, weights, scale })
    }

    /// The same loss on a device, ready to learn.
    pub(crate) fn learning(mut self, device: Device) -> Result<Self, TchError> {
        self.weights = self.weights.iter().map(|weight| learning(weight, device)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// What it learns, by name.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let named = self.names().iter().zip(&self.weights);
        named.map(|(name, tensor)| Parameter::new(name, tensor, false)).collect()
    }

    /// What an optimiser needs to know of a tensor's role, in the order of `weights`.
    fn names(&self) -> &'static [&'static str] {
        &["loss.weight", "loss.bias"][..self.weights.len()]
    }

    /// Brings AdaCos' scale up to this batch; to be called once a step, before [`Objective::value`].
    pub(crate) fn adapt(&mut self, x: &Tensor, targets: &Tensor) -> Result<(), TchError> {
        if let (Loss::AdaCos, [weight, ..]) = (self.options.loss, self.weights.as_slice()) {
            let cosine = tch::no_grad(|| cosines(x, weight))?;
            self.scale = adacos::next_scale(&cosine, targets, self.scale, self.options.theta0)?;
        }
        Ok(())
    }

    /// The logits of a classifying loss, with its margin; `None` for triplet and AP.
    fn logits(&self, x: &Tensor, targets: &Tensor) -> Result<Option<Tensor>, TchError> {
        let LossOptions { loss, margin, smoothing, .. } = self.options;
        let logits = match (loss, self.weights.as_slice()) {
            (Loss::Softmax, [weight, bias]) => softmax::logits(x, weight, bias)?,
            (Loss::ArcFace, [weight]) => arcface::logits(&cosines(x, weight)?, targets, self.scale, margin, smoothing)?,
            (Loss::CosFace, [weight]) => cosface::logits(&cosines(x, weight)?, targets, self.scale, margin)?,
            (Loss::AdaCos, [weight]) => adacos::logits(&cosines(x, weight)?, targets, self.scale, margin)?,
            _ => return Ok(None),
        };
        Ok(Some(logits))
    }

    /// (n, d) raw descriptors, (n) classes i64 -> the loss of the batch, a scalar with a graph.
    pub(crate) fn value(&self, x: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
        match self.logits(x, targets)? {
            Some(logits) => logits.f_cross_entropy_loss::<Tensor>(targets, None, Reduction::Mean, -100, 0.0),
            None if self.options.loss == Loss::Triplet => triplet::loss(&unit(x)?, targets, self.options.margin),
            None => ap::loss(&unit(x)?, targets),
        }
    }

    /// The share of rows whose best class, without a margin, is theirs; for triplet and AP, of rows whose nearest other row has
    /// their label.
    pub(crate) fn accuracy(&self, x: &Tensor, targets: &Tensor) -> Result<f64, TchError> {
        tch::no_grad(|| {
            let right = match (self.options.loss, self.weights.as_slice()) {
                (Loss::Softmax, [weight, bias]) => softmax::logits(x, weight, bias)?.f_argmax(1, false)?,
                (_, [weight, ..]) => cosines(x, weight)?.f_argmax(1, false)?,
                (_, []) => {
                    let x = unit(x)?;
                    let near = x.f_mm(&x.f_tr()?)?.f_masked_fill(&distinct_pairs(targets)?.f_logical_not()?, -2.0)?;
                    targets.f_index_select(0, &near.f_argmax(1, false)?)?
                }
            };
            right.f_eq_tensor(targets)?.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_double_value(&[])
        })
    }
}

/// Rows of unit length.
fn unit(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_div(&x.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?.f_clamp_min(SHORTEST)?)
}

/// (n, d), (classes, d) -> (n, classes) cosines.
fn cosines(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    unit(x)?.f_mm(&unit(weight)?.f_tr()?)
}

/// (n) classes -> (n, classes) of ones and zeros, in kind and shape of `like`.
fn one_hot(targets: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    let (_, classes) = like.size2()?;
    targets.f_one_hot(classes)?.f_to_kind(like.f_kind()?)
}

/// (n, n): true where two rows have one label.
fn same_label(targets: &Tensor) -> Result<Tensor, TchError> {
    targets.f_unsqueeze(0)?.f_eq_tensor(&targets.f_unsqueeze(1)?)
}

/// (n, n): true off the diagonal.
fn distinct_pairs(targets: &Tensor) -> Result<Tensor, TchError> {
    let rows = Tensor::f_arange(targets.size1()?, (Kind::Int64, targets.device()))?;
    same_label(&rows)?.f_logical_not()
}

#[cfg(test)]
mod tests;
