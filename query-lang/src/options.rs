//! The option tables of TRAIN and CLEAN ([`methods`](crate::methods) has those of SEARCH): each option and clause with its values, its default and its effect.
//!
//! They feed the parser, its diagnostics, the planner's defaults, completion, `.schema`, `cairn maintain --help` and the tables of
//! docs/QUERY.md. A new option is a row here and a field of the plan.

use std::ops::Bound::{Excluded, Included};

use crate::limits::{
    DEFAULT_BATCH, DEFAULT_EPOCHS, DEFAULT_EVIDENCE, DEFAULT_FREQ, DEFAULT_INLIERS, DEFAULT_NEIGHBOURS, DEFAULT_NN,
    DEFAULT_RATE, DEFAULT_SCALEUP, DEFAULT_SEED, DEFAULT_SUSPECTS, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE,
    DEFAULT_VALIDATION, MAX_BATCH, MAX_COUNT, MAX_DIMENSION, MAX_EPOCHS, MAX_FREQ, MAX_INLIERS, MAX_MARGIN,
    MAX_NEIGHBOURS, MAX_NN, MAX_RATE, MAX_SCALE, MAX_VALIDATION, MIN_BATCH, MIN_DIMENSION, MIN_INLIERS,
};
use crate::terms::{Augment, Gem, Loss};
use crate::value::{Interval, Setting};

/// An option or a clause of a statement.
#[derive(Debug)]
pub struct Part {
    /// The words that it starts with: `epochs`, `DRY RUN`.
    pub name: &'static str,
    /// Its syntax and its values.
    pub form: Form,
    /// Its default.
    pub usual: Usual,
    /// Where it applies; elsewhere the parser refuses it.
    pub only: Only,
    /// Its effect, for the reference and for help.
    pub means: &'static str,
}

/// Two parts are equal if their names are; no two parts with values share a name.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The syntax of a part.
#[derive(Debug)]
pub enum Form {
    /// `epochs=30`: a whole number.
    Whole {
        /// The smallest one.
        least: u64,
        /// The largest one.
        most: u64,
    },
    /// `rate=0.02`: a finite number of this interval.
    Number(Interval),
    /// `augment=soft`: one of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// `BALANCE`: the word alone.
    Flag,
    /// A clause with its own syntax, which this text shows.
    Clause(&'static str),
}

/// The default of a part.
#[derive(Debug)]
pub enum Usual {
    /// A value.
    Is(Setting),
    /// A value that depends on TRUNK.
    OfTrunk {
        /// Without TRUNK.
        head: Setting,
        /// With it.
        trunk: Setting,
    },
    /// A value that depends on the loss; a loss without a value refuses the option.
    OfLoss(fn(Loss) -> Option<Setting>),
    /// Another part decides.
    Other {
        /// Which one, in words.
        said: &'static str,
        /// A value that shows how the option is written.
        example: Setting,
    },
    /// Anything else, in words.
    Said(&'static str),
}

/// Where a part applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Everywhere.
    Anywhere,
    /// With TRUNK.
    Trunk,
    /// With a loss that is trained in steps.
    Steps,
    /// With RULE paper.
    Paper,
    /// With RULE suspects.
    Suspects,
}

impl Part {
    /// Its default for this loss, with or without TRUNK; `None` if it has none.
    pub fn usual(&self, loss: Loss, trunk: bool) -> Option<Setting> {
        match self.usual {
            Usual::Is(setting) => Some(setting),
            Usual::OfTrunk { head, trunk: other } => Some(if trunk { other } else { head }),
            Usual::OfLoss(of) => of(loss),
            Usual::Other { .. } | Usual::Said(_) => None,
        }
    }

    /// A value that shows how it is written: its default, or its first word if it takes words.
    pub fn example(&self) -> Option<Setting> {
        match (&self.form, &self.usual) {
            (Form::OneOf(words), _) => words().first().copied().map(Setting::Word),
            (_, Usual::Other { example, .. }) => Some(*example),
            // The paper's loss takes every option that depends on the loss.
            _ => self.usual(Loss::ArcFace, false),
        }
    }

    /// Whether a loss takes it.
    pub fn suits(&self, loss: Loss) -> bool {
        match (self.only, &self.usual) {
            (Only::Steps, _) => loss.has_steps(),
            (_, Usual::OfLoss(of)) => of(loss).is_some(),
            _ => true,
        }
    }

    /// Whether the syntax tree keeps it among a statement's options, not in its own field.
    pub fn is_option(&self) -> bool {
        !matches!(self.form, Form::Clause(_))
    }
}

/// The first words of the parts of a table, without repetitions.
pub(crate) fn names(table: &[&'static Part]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.iter().map(|part| part.name).collect();
    names.dedup();
    names
}

/// The option of this name, in any case; a program that builds a statement gives it a value with
/// [`Options::set`](crate::Options::set).
///
/// ```
/// use cairndb_query::{Setting, Span, Spanned, Train, options};
/// let mut train = Train::default();
/// let epochs = options::named(&options::TRAIN, "epochs").unwrap();
/// train.options.set(epochs, Spanned { node: Setting::Whole(5).into(), span: Span::default() });
/// assert_eq!(train.to_string(), "TRAIN epochs=5");
/// ```
pub fn named(table: &[&'static Part], word: &str) -> Option<&'static Part> {
    table.iter().copied().find(|part| part.is_option() && part.name.eq_ignore_ascii_case(word))
}

/// The parts of TRAIN, in the order in which they are printed.
pub static TRAIN: [&Part; 18] = [
    &LOSS,
    &DIM,
    &EPOCHS,
    &BATCH,
    &RATE,
    &MARGIN,
    &SCALE,
    &SEED,
    &VALIDATION,
    &BALANCE,
    &TRUNK,
    &AUGMENT,
    &SCALEUP,
    &GEM,
    &FROM_FILE,
    &FROM_MODEL,
    &FORCE,
    &TRAIN_DRY_RUN,
];

/// The parts of CLEAN.
pub static CLEAN: [&Part; 15] = [
    &NN,
    &NEIGHBOURS,
    &INLIERS,
    &FREQ,
    &RULE_PAPER,
    &RULE_SUSPECTS,
    &TOP,
    &EVIDENCE,
    &RELABEL,
    &RELABEL_EMPTY,
    &UNLABEL,
    &KEEP_VOTERS,
    &THUMBNAILS,
    &CLEAN_DRY_RUN,
    &INTO,
];

pub(crate) static LOSS: Part = Part {
    name: "loss",
    form: Form::OneOf(|| Loss::ALL.map(Loss::name).to_vec()),
    usual: Usual::OfTrunk {
        head: Setting::Word(Loss::of_training(false).name()),
        trunk: Setting::Word(Loss::of_training(true).name()),
    },
    only: Only::Anywhere,
    means: "training loss; `lda` solves discriminants in closed form, `ap` is average precision",
};

pub(crate) static DIM: Part = Part {
    name: "dim",
    form: Form::Whole { least: MIN_DIMENSION as u64, most: MAX_DIMENSION as u64 },
    usual: Usual::OfLoss(|loss| Some(Setting::Whole(loss.default_dimension() as u64))),
    only: Only::Anywhere,
    means: "with `lda`, the largest dimension of the new descriptors; with another loss, the dimension of the head, whose output \
            is appended to the original descriptor",
};

pub(crate) static EPOCHS: Part = Part {
    name: "epochs",
    form: Form::Whole { least: 1, most: MAX_EPOCHS as u64 },
    usual: Usual::OfTrunk {
        head: Setting::Whole(DEFAULT_EPOCHS as u64),
        trunk: Setting::Whole(DEFAULT_TRUNK_EPOCHS as u64),
    },
    only: Only::Steps,
    means: "passes over the train images",
};

pub(crate) static BATCH: Part = Part {
    name: "batch",
    form: Form::Whole { least: MIN_BATCH as u64, most: MAX_BATCH as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_BATCH as u64)),
    only: Only::Steps,
    means: "images per step; `triplet` and `ap` compare them with each other and need at least 4",
};

pub(crate) static RATE: Part = Part {
    name: "rate",
    form: Form::Number((Excluded(0.0), Included(MAX_RATE))),
    usual: Usual::OfTrunk { head: Setting::Number(DEFAULT_RATE), trunk: Setting::Number(DEFAULT_TRUNK_RATE) },
    only: Only::Steps,
    means: "learning rate of the first step",
};

pub(crate) static MARGIN: Part = Part {
    name: "margin",
    form: Form::Number((Included(0.0), Included(MAX_MARGIN))),
    usual: Usual::OfLoss(|loss| loss.default_margin().map(Setting::Number)),
    only: Only::Anywhere,
    means: "margin of the loss: in radians for `arcface`, a cosine for `cosface`, `adacos` and `triplet`",
};

pub(crate) static SCALE: Part = Part {
    name: "scale",
    form: Form::Number((Excluded(0.0), Included(MAX_SCALE))),
    usual: Usual::OfLoss(|loss| loss.default_scale().map(Setting::Number)),
    only: Only::Anywhere,
    means: "factor that multiplies the cosines",
};

pub(crate) static SEED: Part = Part {
    name: "seed",
    form: Form::Whole { least: 0, most: u64::MAX },
    usual: Usual::Is(Setting::Whole(DEFAULT_SEED)),
    only: Only::Anywhere,
    means: "random seed",
};

pub(crate) static VALIDATION: Part = Part {
    name: "validation",
    form: Form::Number((Included(0.0), Included(MAX_VALIDATION))),
    usual: Usual::Is(Setting::Number(DEFAULT_VALIDATION)),
    only: Only::Anywhere,
    means: "share of the train images that is held out (TRUNK also holds a fifth of the labels out); with 0 the new model becomes \
            active without a comparison",
};

pub(crate) static BALANCE: Part = Part {
    name: "BALANCE",
    form: Form::Flag,
    usual: Usual::Said("training samples images equally often"),
    only: Only::Anywhere,
    means: "training samples labels equally often, however many images they have; `triplet` and `ap` see several images of each together",
};

pub(crate) static TRUNK: Part = Part {
    name: "TRUNK",
    form: Form::Flag,
    usual: Usual::Said("the network stays as it is; a map of its descriptors is trained"),
    only: Only::Anywhere,
    means: "trains the whole network from the photos, which must all be readable, and then embeds them again",
};

pub(crate) static AUGMENT: Part = Part {
    name: "augment",
    form: Form::OneOf(|| Augment::ALL.map(Augment::name).to_vec()),
    usual: Usual::Is(Setting::Word(Augment::Soft.name())),
    only: Only::Trunk,
    means: "augmentation of the training photos: `soft` varies scale and brightness; `hard` varies the scale of each side, shear, \
            brightness and contrast",
};

pub(crate) static SCALEUP: Part = Part {
    name: "scaleup",
    form: Form::Whole { least: 0, most: MAX_EPOCHS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_SCALEUP as u64)),
    only: Only::Trunk,
    means: "number of last epochs with larger photos and frozen batch normalisation, at most `epochs`",
};

pub(crate) static GEM: Part = Part {
    name: "gem",
    form: Form::OneOf(|| Gem::ALL.map(Gem::name).to_vec()),
    usual: Usual::Is(Setting::Word(Gem::Fixed.name())),
    only: Only::Trunk,
    means: "whether the exponent of the generalised mean is fixed or trained with the network",
};

static FROM_FILE: Part = Part {
    name: "FROM",
    form: Form::Clause("FROM 'file'"),
    usual: Usual::Said("the network of the active model"),
    only: Only::Anywhere,
    means: "starts from these weights, of the active model's architecture; photos without a stored descriptor of this network are embedded",
};

static FROM_MODEL: Part = Part {
    name: "FROM",
    form: Form::Clause("FROM MODEL n"),
    usual: Usual::Said("the network of the active model"),
    only: Only::Anywhere,
    means: "starts from the network of model n (SHOW MODELS)",
};

static FORCE: Part = Part {
    name: "FORCE",
    form: Form::Clause("FORCE"),
    usual: Usual::Said("the new model becomes active if it is better"),
    only: Only::Anywhere,
    means: "the new model becomes active even if it is not better on the images held out",
};

static TRAIN_DRY_RUN: Part = Part {
    name: "DRY RUN",
    form: Form::Clause("DRY RUN"),
    usual: Usual::Said("the new model becomes active if it is better"),
    only: Only::Anywhere,
    means: "trains and reports; the active model stays",
};

pub(crate) static NN: Part = Part {
    name: "nn",
    form: Form::Whole { least: 1, most: MAX_NN as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_NN as u64)),
    only: Only::Paper,
    means: "number of nearest train images that are examined for each train image",
};

pub(crate) static NEIGHBOURS: Part = Part {
    name: "neighbours",
    form: Form::Whole { least: 1, most: MAX_NEIGHBOURS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_NEIGHBOURS as u64)),
    only: Only::Paper,
    means: "largest number of those with the same label that the image is compared with; the image itself counts",
};

pub(crate) static INLIERS: Part = Part {
    name: "inliers",
    form: Form::Whole { least: MIN_INLIERS as u64, most: MAX_INLIERS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_INLIERS as u64)),
    only: Only::Paper,
    means: "number of matching features from which a pair is verified (the paper: \"more than 30\")",
};

pub(crate) static FREQ: Part = Part {
    name: "freq",
    form: Form::Whole { least: 1, most: MAX_FREQ as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_FREQ as u64)),
    only: Only::Paper,
    means: "number of verified pairs that an image needs",
};

static RULE_PAPER: Part = Part {
    name: "RULE",
    form: Form::Clause("RULE paper"),
    usual: Usual::Said("`RULE paper`"),
    only: Only::Anywhere,
    means: "finds images with fewer verified pairs, and then the last image of any label that is left with one",
};

static RULE_SUSPECTS: Part = Part {
    name: "RULE",
    form: Form::Clause("RULE suspects"),
    usual: Usual::Said("`RULE paper`"),
    only: Only::Anywhere,
    means: "finds images whose neighbours agree on another label, in the order of `SHOW SUSPECTS`",
};

pub(crate) static TOP: Part = Part {
    name: "top",
    form: Form::Whole { least: 1, most: MAX_COUNT as u64 },
    usual: Usual::Other { said: "`evidence` decides", example: Setting::Whole(DEFAULT_SUSPECTS as u64) },
    only: Only::Suspects,
    means: "this many of the most suspect images, however weak the evidence",
};

pub(crate) static EVIDENCE: Part = Part {
    name: "evidence",
    form: Form::Number((Included(0.0), Included(1.0))),
    usual: Usual::Is(Setting::Number(DEFAULT_EVIDENCE)),
    only: Only::Suspects,
    means: "images with at least this evidence against their label",
};

static RELABEL: Part = Part {
    name: "RELABEL",
    form: Form::Clause("RELABEL"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Suspects,
    means: "gives each image that is found its proposed label; each label keeps at least one image",
};

static RELABEL_EMPTY: Part = Part {
    name: "RELABEL EMPTY",
    form: Form::Clause("RELABEL EMPTY"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Suspects,
    means: "the same, but a label may lose its last image and disappear",
};

static UNLABEL: Part = Part {
    name: "UNLABEL",
    form: Form::Clause("UNLABEL"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Anywhere,
    means: "removes the labels of the images that are found: they become index images",
};

static KEEP_VOTERS: Part = Part {
    name: "KEEP VOTERS",
    form: Form::Clause("KEEP VOTERS"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Anywhere,
    means: "marks the images that are found: they still vote, but training skips them. Images that have a mark are not marked again",
};

pub(crate) static THUMBNAILS: Part = Part {
    name: "THUMBNAILS",
    form: Form::Flag,
    usual: Usual::Said("CLEAN refuses, unless it is a dry run"),
    only: Only::Paper,
    means: "accepts thumbnails even for more than a tenth of the photos (`THUMBNAILS_FROM_SHARE`)",
};

static CLEAN_DRY_RUN: Part = Part {
    name: "DRY RUN",
    form: Form::Clause("DRY RUN"),
    usual: Usual::Said("CLEAN changes the database"),
    only: Only::Anywhere,
    means: "reports what would change, and changes nothing",
};

static INTO: Part = Part {
    name: "INTO",
    form: Form::Clause("INTO 'file'"),
    usual: Usual::Said("none"),
    only: Only::Anywhere,
    means: "writes a page to this file: each photo beside the one that contributed most to its being found; the table format then lists no rows",
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::RangeBounds as _;

    /// It catches: a default that the option does not take; two options of one name.
    #[test]
    fn every_default_is_a_value_that_the_option_takes() {
        for table in [&TRAIN[..], &CLEAN[..]] {
            for (at, part) in table.iter().enumerate() {
                let usual = Loss::ALL.into_iter().flat_map(|loss| [part.usual(loss, false), part.usual(loss, true)]);
                for setting in usual.flatten().chain(part.example()) {
                    let fits = match (&part.form, setting) {
                        (Form::Whole { least, most }, Setting::Whole(number)) => (*least..=*most).contains(&number),
                        (Form::Number(range), Setting::Number(number)) => range.contains(&number),
                        (Form::OneOf(words), Setting::Word(word)) => words().contains(&word),
                        _ => false,
                    };
                    assert!(fits, "{}: {setting:?}", part.name);
                }
                let again = table[at + 1..].iter().any(|other| part.is_option() && other.is_option() && other == part);
                assert!(!again, "two options are called {}", part.name);
            }
        }
    }
}
