//! The words of which a statement takes one: each kind with all its words, their names, and the values that depend on them.

use crate::limits::{DEFAULT_DIMENSION, DEFAULT_MARGIN, DEFAULT_SCALE};

/// The images that a search covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Index images (the default).
    #[default]
    Index,
    /// Train images.
    Train,
    /// Both; a train image has its own label, with score 1.0.
    All,
}

/// The role of an image: train images have a label and vote, index images are found by searches and get a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Role {
    /// Has a label and votes.
    Train,
    /// Is found by searches and gets a prediction.
    #[default]
    Index,
}

/// A field that WHERE can test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The given label. Index images have none: with it, only searches of train images or of all find anything.
    Label,
    /// The predicted instance (a train image's is its label); what one asks of index images.
    Instance,
    /// `train` or `index`.
    Split,
    /// The file or address that the image came from.
    Path,
    /// The external key.
    Id,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// 0-based row number of the query.
    Query,
    /// 1-based rank.
    Rank,
    /// External key.
    Id,
    /// Cosine to the query.
    Similarity,
    /// Predicted instance.
    Instance,
    /// Score of that prediction.
    InstanceScore,
    /// `positive`, `inserted`, `negative`; empty without RERANK.
    Stage,
    /// Given label.
    Label,
    /// `train` or `index`.
    Split,
    /// The file or address that the image came from.
    Path,
    /// What the first stage ordered the image by: with a method its score, otherwise the cosine; empty for inserted rows.
    Score,
    /// Number of other rows that COLLAPSE counts as copies of this one.
    Copies,
    /// Inliers with the query, of rows that VERIFY compared.
    Inliers,
}

/// The training loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Loss {
    /// Regularised discriminants in closed form, appended to the original descriptor (the default); no loss in steps.
    #[default]
    Discriminant,
    /// Additive angular margin.
    ArcFace,
    /// Additive cosine margin.
    CosFace,
    /// An angular loss that finds its own scale.
    AdaCos,
    /// Cross-entropy of a linear classifier.
    Softmax,
    /// Distances of an anchor to an image of its label and to one of another label.
    Triplet,
    /// Average precision of a batch.
    AveragePrecision,
}

/// Augmentation of the training photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Augment {
    /// None.
    None,
    /// Scale and brightness, as in the paper (the default).
    #[default]
    Soft,
    /// The scale of each side, shear, brightness and contrast.
    Hard,
}

/// Whether the exponent of the generalised mean is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gem {
    /// It is fixed: the paper's 3 (the default).
    #[default]
    Fixed,
    /// It is trained with the network.
    Learnt,
}

/// Which train images a cleaning finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// Those with too few verified pairs, and then the last image of a label that is left with one (the default).
    #[default]
    Paper,
    /// The most suspect ones.
    Suspects,
}

/// What a cleaning does with the images that its rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// `KEEP VOTERS`: it marks them; they still vote, but training skips them (the default: the paper votes with the whole, noisy
    /// train set, docs/ALGORITHMS.md).
    #[default]
    KeepVoters,
    /// `UNLABEL`: it removes their labels, so they become index images.
    Unlabel,
    /// `RELABEL`: it gives them the labels that are proposed for them. The last image of a label keeps it.
    Relabel,
    /// `RELABEL EMPTY`: the same, even for the last image of a label, so labels may disappear.
    RelabelEmpty,
}

/// Whether a trained model becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flip {
    /// If it is better on the held-out images, or if nothing was held out. This is the meaning of TRAIN without one of the
    /// clauses; it has no words.
    #[default]
    UnlessWorse,
    /// `FORCE`: even if it is not better.
    Always,
    /// `DRY RUN`: never; TRAIN only trains and measures it.
    Never,
}

impl Column {
    /// Every column, in the order of their description.
    pub const ALL: [Self; 13] = [
        Self::Query,
        Self::Rank,
        Self::Id,
        Self::Similarity,
        Self::Instance,
        Self::InstanceScore,
        Self::Stage,
        Self::Label,
        Self::Split,
        Self::Path,
        Self::Score,
        Self::Copies,
        Self::Inliers,
    ];

    /// Its name in RETURN and in the header of an answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Rank => "rank",
            Self::Id => "id",
            Self::Similarity => "similarity",
            Self::Instance => "instance",
            Self::InstanceScore => "instance_score",
            Self::Stage => "stage",
            Self::Label => "label",
            Self::Split => "split",
            Self::Path => "path",
            Self::Score => "score",
            Self::Copies => "copies",
            Self::Inliers => "inliers",
        }
    }
}

impl Field {
    /// Every field of WHERE.
    pub const ALL: [Self; 5] = [Self::Label, Self::Instance, Self::Split, Self::Path, Self::Id];

    /// Its name in WHERE.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Instance => "instance",
            Self::Split => "split",
            Self::Path => "path",
            Self::Id => "id",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Index, Self::Train, Self::All];

    /// Its name after IN.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Train => "train",
            Self::All => "all",
        }
    }
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Train, Self::Index];

    /// Its name after AS and in the column and field `split`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Index => "index",
        }
    }

    /// The role of this name, in any case.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(word))
    }
}

impl Loss {
    /// Every loss.
    pub const ALL: [Self; 7] = [
        Self::Discriminant,
        Self::ArcFace,
        Self::CosFace,
        Self::AdaCos,
        Self::Softmax,
        Self::Triplet,
        Self::AveragePrecision,
    ];

    /// Its name after `loss=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discriminant => "lda",
            Self::ArcFace => "arcface",
            Self::CosFace => "cosface",
            Self::AdaCos => "adacos",
            Self::Softmax => "softmax",
            Self::Triplet => "triplet",
            Self::AveragePrecision => "ap",
        }
    }

    /// The loss of this name, in any case.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(word))
    }
}

impl Augment {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Soft, Self::Hard];

    /// Its name after `augment=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }

    /// The augmentation of this name, in any case.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(word))
    }
}

impl Gem {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Fixed, Self::Learnt];

    /// Its name after `gem=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Learnt => "learnt",
        }
    }

    /// The exponent's kind of this name, in any case.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(word))
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::KeepVoters, Self::Unlabel, Self::Relabel, Self::RelabelEmpty];

    /// Its words in a statement.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepVoters => "KEEP VOTERS",
            Self::Unlabel => "UNLABEL",
            Self::Relabel => "RELABEL",
            Self::RelabelEmpty => "RELABEL EMPTY",
        }
    }

    /// Whether images get their proposed labels: only suspects have one.
    pub const fn relabels(self) -> bool {
        matches!(self, Self::Relabel | Self::RelabelEmpty)
    }
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 2] = [Self::Paper, Self::Suspects];

    /// Its name after RULE.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Suspects => "suspects",
        }
    }
}

impl Loss {
    /// The loss if TRAIN names none: the discriminants, but the paper's loss for a whole network, which no closed form trains.
    pub const fn of_training(trunk: bool) -> Self {
        if trunk { Self::ArcFace } else { Self::Discriminant }
    }

    /// The default dimension of the trained descriptor: that of the paper's Table 5, but 256 for the discriminants, which lose
    /// nothing by it.
    pub const fn default_dimension(self) -> usize {
        match self {
            Self::Discriminant => 256,
            Self::Triplet | Self::AveragePrecision => 2048,
            _ => DEFAULT_DIMENSION,
        }
    }

    /// Whether it is trained in steps: only then do epochs, batch, rate and BALANCE apply.
    pub const fn has_steps(self) -> bool {
        !matches!(self, Self::Discriminant)
    }

    /// Its default margin; `None`: it has no margin.
    ///
    /// ArcFace and CosFace: docs/ALGORITHMS.md. AdaCos: its paper has no margin, the released code adds one. Triplet:
    /// Schroff et al., FaceNet, CVPR 2015.
    pub const fn default_margin(self) -> Option<f64> {
        match self {
            Self::ArcFace | Self::CosFace => Some(DEFAULT_MARGIN),
            Self::AdaCos => Some(0.0),
            Self::Triplet => Some(0.2),
            Self::Discriminant | Self::Softmax | Self::AveragePrecision => None,
        }
    }

    /// The default factor of its cosines (docs/ALGORITHMS.md); `None`: it takes no scale.
    pub const fn default_scale(self) -> Option<f64> {
        match self {
            Self::ArcFace | Self::CosFace => Some(DEFAULT_SCALE),
            Self::Discriminant | Self::AdaCos | Self::Softmax | Self::Triplet | Self::AveragePrecision => None,
        }
    }
}
