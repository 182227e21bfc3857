//! The limits and the defaults of the language. They are below every module, so that lexer, parser, diagnostics and planner can
//! use them without importing each other.

use std::time::Duration;

/// Longest text to parse, in bytes. A literal VECTOR of 2048 values takes some 20 KiB of it.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Largest K, LIMIT, EF and k.
pub const MAX_COUNT: usize = 1_000_000;
/// Largest k of RERANK and PREDICT, and `n` of RECOGNIZE.
pub const MAX_VOTERS: usize = 1_000;
/// Least that one train image adds to a score of RECOGNIZE: twice the least cosine, minus 1.
pub const MIN_TERM: f64 = -3.0;
/// Most that one train image adds to a score of RECOGNIZE: twice the greatest cosine, minus 1, and 1 for its inliers.
pub const MAX_TERM: f64 = 2.0;
/// Most conditions of WHERE. A search tests each one on each row; more than a few are seldom useful.
pub const MAX_CONDITIONS: usize = 100;
/// Smallest tau: the least sum of two cosines.
pub const MIN_TAU: f64 = -2.0;
/// Largest tau: the greatest sum of two cosines.
pub const MAX_TAU: f64 = 2.0;
/// Longest lag that STALE takes: 1 hour. The shortest is 1 ms.
pub const MAX_LAG: Duration = Duration::from_secs(60 * 60);

/// Largest `n` of EXPAND and SUPERGLOBAL: an average of more images than an instance has is of other instances.
pub const MAX_EXPANDED: usize = 1000;
/// Largest `alpha` of EXPAND ALPHA; the smallest is 0, which weighs all images alike.
pub const MAX_ALPHA: f64 = 100.0;
/// Largest `m` of SUPERGLOBAL: it compares each of so many images with every other.
pub const MAX_REFINED: usize = 10_000;
/// Largest `beta` of SUPERGLOBAL; the smallest is 0, which refines nothing.
pub const MAX_BETA: f64 = 100.0;
/// Largest `degree` of DIFFUSE and EXPLORE, `k1` and `k2` of RECIPROCAL, and `sources` of DIFFUSE.
pub const MAX_DEGREE: usize = 1000;
/// Largest `labels` of FUSE; the smallest is 0, which looks at no label.
pub const MAX_LABELS: f64 = 10.0;
/// Largest `cut` of DIFFUSE: it solves a system of so many equations for each source.
pub const MAX_CUT: usize = 10_000;
/// Largest K of a search with COLLAPSE, which compares each row with those before it.
pub const MAX_COLLAPSED: usize = 10_000;

/// Smallest `dim` of TRAIN.
pub const MIN_DIMENSION: usize = 2;
/// Largest `dim` of TRAIN.
pub const MAX_DIMENSION: usize = 4096;
/// Largest `epochs` of TRAIN.
pub const MAX_EPOCHS: usize = 10_000;
/// Smallest `batch` of TRAIN: a single image has nothing to be compared with.
pub const MIN_BATCH: usize = 2;
/// Largest `batch` of TRAIN.
pub const MAX_BATCH: usize = 4096;
/// Largest `rate` of TRAIN; the smallest is any number above 0.
pub const MAX_RATE: f64 = 10.0;
/// Largest `margin` of TRAIN, below a right angle; the smallest is 0.
pub const MAX_MARGIN: f64 = 1.5;
/// Largest `scale` of TRAIN; the smallest is any number above 0.
pub const MAX_SCALE: f64 = 1000.0;
/// Largest `validation` of TRAIN: some images must be left to train on. The smallest is 0.
pub const MAX_VALIDATION: f64 = 0.9;
/// Largest `nn` of CLEAN.
pub const MAX_NN: usize = 10_000;
/// Largest `neighbours` of CLEAN.
pub const MAX_NEIGHBOURS: usize = 1000;
/// Smallest `inliers` of CLEAN: the matches that define an affine map always fit it.
pub const MIN_INLIERS: usize = 3;
/// Largest `inliers` of CLEAN: an image has at most 1000 local features (docs/ALGORITHMS.md).
pub const MAX_INLIERS: usize = 1000;
/// Largest `freq` of CLEAN.
pub const MAX_FREQ: usize = 1000;

/// Default of K, the depth that a search retrieves and re-ranks (the paper's 100).
pub const DEFAULT_DEPTH: usize = 100;
/// Default of tau, the threshold of the insert-step (paper section 5.3).
pub const DEFAULT_TAU: f64 = 0.6;
/// Default of `n` of RECOGNIZE: the nearest train images that elect a label (docs/ALGORITHMS.md).
pub const DEFAULT_NEAR: usize = 3;
/// The number of DISTRACTORS in examples: that of the paper's competition (docs/ALGORITHMS.md).
pub(crate) const EXAMPLE_DISTRACTORS: usize = 30;
/// Default of `n` of EXPAND and SUPERGLOBAL: the query and its 9 nearest images (docs/ALGORITHMS.md).
pub const DEFAULT_EXPANDED: usize = 10;
/// Default of `n` of AUGMENT TRAIN: the image and its 2 nearest ones, as in the competition (docs/ALGORITHMS.md).
pub const DEFAULT_OF_LABEL: usize = 3;
/// Default of `alpha` of EXPAND ALPHA (docs/ALGORITHMS.md).
pub const DEFAULT_ALPHA: f64 = 3.0;
/// Default of `m` of SUPERGLOBAL (docs/ALGORITHMS.md).
pub const DEFAULT_REFINED: usize = 400;
/// Default of `beta` of SUPERGLOBAL (docs/ALGORITHMS.md).
pub const DEFAULT_BETA: f64 = 0.15;
/// Default of `degree` of DIFFUSE and EXPLORE (docs/ALGORITHMS.md).
pub const DEFAULT_DEGREE: usize = 50;
/// Default of `sources` of DIFFUSE (docs/ALGORITHMS.md).
pub const DEFAULT_SOURCES: usize = 10;
/// Default of `cut` of DIFFUSE (docs/ALGORITHMS.md).
pub const DEFAULT_CUT: usize = 1000;
/// Defaults of `k1`, `k2` and `lambda` of RECIPROCAL (docs/ALGORITHMS.md).
pub const DEFAULT_RECIPROCAL: (usize, usize, f64) = (20, 6, 0.3);
/// The similarity of COLLAPSE NEAR in examples: re-encoded and resized copies of a photo are nearer.
pub(crate) const EXAMPLE_NEAR: f64 = 0.98;

/// Default of `dim`: the dimension of the paper's descriptors (docs/ALGORITHMS.md).
pub const DEFAULT_DIMENSION: usize = 512;
/// Default of `epochs`: a head on cached descriptors sees a small train set; the paper's 5 are for a trunk and 1.6 million photos.
pub const DEFAULT_EPOCHS: usize = 30;
/// Default of `batch` (docs/ALGORITHMS.md).
pub const DEFAULT_BATCH: usize = 32;
/// Default of `rate`: it trains a new head; the paper's 0.001 trains a pretrained trunk.
pub const DEFAULT_RATE: f64 = 0.02;
/// Default of `epochs` of a whole network (docs/ALGORITHMS.md).
pub const DEFAULT_TRUNK_EPOCHS: usize = 5;
/// Default of `rate` of a pretrained whole network (docs/ALGORITHMS.md).
pub const DEFAULT_TRUNK_RATE: f64 = 0.001;
/// Default of `scaleup`: the last epoch sees larger photos (paper section 5.1).
pub const DEFAULT_SCALEUP: usize = 1;
/// Default of `margin` for ArcFace and CosFace (docs/ALGORITHMS.md); [`Loss::default_margin`](crate::Loss::default_margin) has
/// the others.
pub const DEFAULT_MARGIN: f64 = 0.3;
/// Default of `scale` for ArcFace and CosFace (docs/ALGORITHMS.md).
pub const DEFAULT_SCALE: f64 = 30.0;
/// Default of `seed`; the same seed gives the same model again.
pub const DEFAULT_SEED: u64 = 0;
/// Default of `validation`: a third of the train images judges the new model; a fifth of a few hundred images left the judgement
/// to chance.
pub const DEFAULT_VALIDATION: f64 = 0.34;
/// Default of `nn`: number of nearest train images that are examined (docs/ALGORITHMS.md).
pub const DEFAULT_NN: usize = 1000;
/// Default of `neighbours`: number of those that are compared, including the image itself (docs/ALGORITHMS.md).
pub const DEFAULT_NEIGHBOURS: usize = 100;
/// Default of `inliers`, inclusive: the paper's "greater than 30" (docs/ALGORITHMS.md; the released code has 30).
pub const DEFAULT_INLIERS: usize = 31;
/// Default of `freq`: tau_freq, the number of verified pairs from which an image is kept (docs/ALGORITHMS.md).
pub const DEFAULT_FREQ: usize = 3;
/// Default of LIMIT in SHOW SUSPECTS: about as many images as a person looks at before acting.
pub const DEFAULT_SUSPECTS: usize = 20;
/// Default of `evidence`: at 0.8 or more, 22 of 23 suspects of one measured photo set and 46 of 47 of the other had wrong labels
/// (`cairn::clean::suspects`). A fixed number of images would include weak evidence in a set with few wrong labels.
pub const DEFAULT_EVIDENCE: f64 = 0.8;
/// The default breadth of a graph search is this many times K.
pub const DEFAULT_EF_PER_K: usize = 2;
