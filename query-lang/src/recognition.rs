//! A request of recognition with everything decided: the planner makes it, and the engine runs it.

use crate::limits::DEFAULT_NEAR;

/// Which label do the nearest train images elect, and when is it no answer? Made by the planner or by a program.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RecognizeRequest {
    /// Number of nearest train images that elect the label; 1 to [`MAX_VOTERS`](crate::MAX_VOTERS), default 3.
    pub n: usize,
    /// A label with a smaller score is no answer; from [`MIN_TERM`](crate::MIN_TERM) to [`MAX_TERM`](crate::MAX_TERM) times `n`.
    /// `None` (the default): the threshold is learnt from the train images.
    pub least: Option<f64>,
    /// A label that is elected for more queries than this is a distractor's and no answer; default `None`: any number.
    pub distractors: Option<usize>,
}

impl Default for RecognizeRequest {
    fn default() -> Self {
        Self { n: DEFAULT_NEAR, least: None, distractors: None }
    }
}

impl RecognizeRequest {
    /// Three train images, and a threshold that is learnt.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`RecognizeRequest::n`].
    #[must_use]
    pub fn n(self, n: usize) -> Self {
        Self { n, ..self }
    }

    /// Sets [`RecognizeRequest::least`].
    #[must_use]
    pub fn least(self, least: impl Into<Option<f64>>) -> Self {
        Self { least: least.into(), ..self }
    }

    /// Sets [`RecognizeRequest::distractors`].
    #[must_use]
    pub fn distractors(self, distractors: impl Into<Option<usize>>) -> Self {
        Self { distractors: distractors.into(), ..self }
    }
}
