//! The tables of what TRAIN and CLEAN take: each option and clause with its values, its default, and what it does.
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
    /// The words it begins with: `epochs`, `DRY RUN`.
    pub name: &'static str,
    /// How it is written, and which values it takes.
    pub form: Form,
    /// What holds without it.
    pub usual: Usual,
    /// Where it means something; elsewhere it is refused.
    pub only: Only,
    /// What it does, for the reference and for help.
    pub means: &'static str,
}

/// A part is known by its name; no name stands for two parts with values.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// How a part is written.
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
    /// A clause with a form of its own, which this shows.
    Clause(&'static str),
}

/// What holds without a part.
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
    /// A value that depends on the loss; a loss that has none does not take the option.
    OfLoss(fn(Loss) -> Option<Setting>),
    /// Another part decides, in words.
    Other {
        /// In words.
        said: &'static str,
        /// A value to show how the option is written.
        example: Setting,
    },
    /// Something else, in words.
    Said(&'static str),
}

/// Where a part means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Everywhere.
    Anywhere,
    /// With TRUNK.
    Trunk,
    /// With a loss that is learnt step by step.
    Steps,
    /// With RULE paper.
    Paper,
    /// With RULE suspects.
    Suspects,
}

impl Part {
    /// Its default for this loss, with or without TRUNK; `None` where it has none.
    pub fn usual(&self, loss: Loss, trunk: bool) -> Option<Setting> {
        match self.usual {
            Usual::Is(setting) => Some(setting),
            Usual::OfTrunk { head, trunk: other } => Some(if trunk { other } else { head }),
            Usual::OfLoss(of) => of(loss),
            Usual::Other { .. } | Usual::Said(_) => None,
        }
    }

    /// A value to show how it is written: its default, of its first word where it takes one of some words.
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

    /// Whether it is kept among the options of a statement, rather than in a field of its own.
    pub fn is_option(&self) -> bool {
        !matches!(self.form, Form::Clause(_))
    }
}

/// The words that the parts of a table begin with, each once.
pub(crate) fn names(table: &[&'static Part]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.iter().map(|part| part.name).collect();
    names.dedup();
    names
}

/// The option of this name, in any case; a program that builds a statement gives it a value ([`Options::set`](crate::Options::set)).
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
    means: "with `lda`, the dimension of the new descriptors at most; with another loss, the dimension of the head, which stands \
            beside the descriptor as it was",
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
    means: "images of one step; `triplet` and `ap` compare them with each other and need 4",
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
    means: "margin of the loss: radians of `arcface`, a cosine of `cosface`, `adacos` and `triplet`",
};

pub(crate) static SCALE: Part = Part {
    name: "scale",
    form: Form::Number((Excluded(0.0), Included(MAX_SCALE))),
    usual: Usual::OfLoss(|loss| loss.default_scale().map(Setting::Number)),
    only: Only::Anywhere,
    means: "factor of the cosines",
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
    means: "share of the train images that is held out (TRUNK also holds a fifth of the labels out); with 0 the new model is not \
            judged and goes in force",
};

pub(crate) static BALANCE: Part = Part {
    name: "BALANCE",
    form: Form::Flag,
    usual: Usual::Said("images are drawn equally often"),
    only: Only::Anywhere,
    means: "labels are drawn equally often, however many images they have; `triplet` and `ap` see several images of each together",
};

pub(crate) static TRUNK: Part = Part {
    name: "TRUNK",
    form: Form::Flag,
    usual: Usual::Said("the network stays, and a map behind it is trained"),
    only: Only::Anywhere,
    means: "the whole network is trained from the photos, which must all be there; they are embedded again then",
};

pub(crate) static AUGMENT: Part = Part {
    name: "augment",
    form: Form::OneOf(|| Augment::ALL.map(Augment::name).to_vec()),
    usual: Usual::Is(Setting::Word(Augment::Soft.name())),
    only: Only::Trunk,
    means: "how a view differs from its photo: `soft` by scale and brightness, `hard` by the scale of each side, shear, brightness \
            and contrast",
};

pub(crate) static SCALEUP: Part = Part {
    name: "scaleup",
    form: Form::Whole { least: 0, most: MAX_EPOCHS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_SCALEUP as u64)),
    only: Only::Trunk,
    means: "epochs at the end with larger photos and frozen batch normalisations, at most all of them",
};

pub(crate) static GEM: Part = Part {
    name: "gem",
    form: Form::OneOf(|| Gem::ALL.map(Gem::name).to_vec()),
    usual: Usual::Is(Setting::Word(Gem::Fixed.name())),
    only: Only::Trunk,
    means: "whether the exponent of the generalised mean stays or is trained with the network",
};

static FROM_FILE: Part = Part {
    name: "FROM",
    form: Form::Clause("FROM 'file'"),
    usual: Usual::Said("the network of the model in force"),
    only: Only::Anywhere,
    means: "weights of the network, of the architecture in force; what is not stored is embedded from the photos",
};

static FROM_MODEL: Part = Part {
    name: "FROM",
    form: Form::Clause("FROM MODEL n"),
    usual: Usual::Said("the network of the model in force"),
    only: Only::Anywhere,
    means: "the network of model n (SHOW MODELS)",
};

static FORCE: Part = Part {
    name: "FORCE",
    form: Form::Clause("FORCE"),
    usual: Usual::Said("if it is better"),
    only: Only::Anywhere,
    means: "the database goes over to the new model even if it is not better on the images held out",
};

static TRAIN_DRY_RUN: Part = Part {
    name: "DRY RUN",
    form: Form::Clause("DRY RUN"),
    usual: Usual::Said("if it is better"),
    only: Only::Anywhere,
    means: "trains and reports; the model in force stays",
};

pub(crate) static NN: Part = Part {
    name: "nn",
    form: Form::Whole { least: 1, most: MAX_NN as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_NN as u64)),
    only: Only::Paper,
    means: "nearest train images that are looked at, of each train image",
};

pub(crate) static NEIGHBOURS: Part = Part {
    name: "neighbours",
    form: Form::Whole { least: 1, most: MAX_NEIGHBOURS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_NEIGHBOURS as u64)),
    only: Only::Paper,
    means: "those of them with its label that it is compared with, at most; the image itself is one",
};

pub(crate) static INLIERS: Part = Part {
    name: "inliers",
    form: Form::Whole { least: MIN_INLIERS as u64, most: MAX_INLIERS as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_INLIERS as u64)),
    only: Only::Paper,
    means: "fitting features from which on a pair is verified (the paper has \"more than 30\")",
};

pub(crate) static FREQ: Part = Part {
    name: "freq",
    form: Form::Whole { least: 1, most: MAX_FREQ as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_FREQ as u64)),
    only: Only::Paper,
    means: "verified pairs that are enough for an image",
};

static RULE_PAPER: Part = Part {
    name: "RULE",
    form: Form::Clause("RULE paper"),
    usual: Usual::Said("`RULE paper`"),
    only: Only::Anywhere,
    means: "finds images with fewer verified pairs, then the last image of a label that has one left",
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
    means: "what was found gets the label that is proposed for it; of each label one image that has it stays",
};

static RELABEL_EMPTY: Part = Part {
    name: "RELABEL EMPTY",
    form: Form::Clause("RELABEL EMPTY"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Suspects,
    means: "the same, and a label may lose its last image and disappear",
};

static UNLABEL: Part = Part {
    name: "UNLABEL",
    form: Form::Clause("UNLABEL"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Anywhere,
    means: "the label of what was found is taken away: it becomes an index image",
};

static KEEP_VOTERS: Part = Part {
    name: "KEEP VOTERS",
    form: Form::Clause("KEEP VOTERS"),
    usual: Usual::Said("`KEEP VOTERS`"),
    only: Only::Anywhere,
    means: "what was found is marked and votes as before; training passes it over. What has a mark is not marked again",
};

pub(crate) static THUMBNAILS: Part = Part {
    name: "THUMBNAILS",
    form: Form::Flag,
    usual: Usual::Said("CLEAN refuses then, unless it is a dry run"),
    only: Only::Paper,
    means: "goes by thumbnails also where they stand for more than a tenth of the photos (`THUMBNAILS_FROM_SHARE`)",
};

static CLEAN_DRY_RUN: Part = Part {
    name: "DRY RUN",
    form: Form::Clause("DRY RUN"),
    usual: Usual::Said("it is done"),
    only: Only::Anywhere,
    means: "reports what would be done and changes nothing",
};

static INTO: Part = Part {
    name: "INTO",
    form: Form::Clause("INTO 'file'"),
    usual: Usual::Said("none"),
    only: Only::Anywhere,
    means: "a page with the photos is written to this file, each beside the one that decided most; people get it instead of the rows",
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::RangeBounds as _;

    /// It catches: a row whose default is of another kind than its values, or out of its range; two rows of one name with values.
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
