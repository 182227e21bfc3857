//! What the train images say of their labels: the parameters of methods that weigh the evidence of labels.

use std::collections::HashMap;

use crate::id::LabelId;

/// Certainty of a label where it cannot be learnt.
const UNLEARNT: f64 = 0.75;

/// What was learnt of the train images.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// The parameters of the fusion.
    pub(crate) fusion: Option<Calibration>,
    /// The least score of recognition by the number of train images that elect; `None`: they teach none.
    pub(crate) least_scores: HashMap<usize, Option<f64>>,
}

/// Label shares of an image: for each label of its voters its part of their weights, and the best voter's cosine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shares {
    pub(crate) parts: Vec<(LabelId, f64)>,
    /// `None`: nobody votes.
    pub(crate) best: Option<f32>,
}

/// How the evidence of labels counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Calibration {
    /// Slope and offset of a label's log-odds by the best voter's cosine; `None`: not learnt.
    pub(crate) gate: Option<(f64, f64)>,
    /// Weight of the evidence of labels.
    pub(crate) labels: f64,
}

impl Calibration {
    /// The probability that the label of an image is among the train images at all, by its best voter's cosine.
    pub(crate) fn certainty(&self, cosine: f32) -> f64 {
        self.gate.map_or(UNLEARNT, |(slope, offset)| 1.0 / (1.0 + (-(slope * f64::from(cosine) + offset)).exp()))
    }
}
