//! The methods of a search, and the tables of their options.

use std::ops::Bound::Included;

use crate::limits::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_CUT, DEFAULT_DEGREE, DEFAULT_EXPANDED, DEFAULT_OF_LABEL, DEFAULT_RECIPROCAL,
    DEFAULT_REFINED, DEFAULT_SOURCES, MAX_ALPHA, MAX_BETA, MAX_CUT, MAX_DEGREE, MAX_EXPANDED, MAX_LABELS, MAX_REFINED,
};
use crate::options::{Form, Only, Part, Usual};
use crate::value::Setting;

/// What a method of a search changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What is searched for.
    Query,
    /// What it is compared with.
    Index,
    /// The order of the images that were found.
    Order,
    /// The train images that vote in the second stage.
    Voters,
}

/// A method of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Average query expansion (Chum et al. 2007): the query and its nearest images, averaged.
    ExpandMean,
    /// Alpha query expansion (Radenovic et al. 2018): each of them weighs its similarity to a power.
    ExpandAlpha,
    /// Database-side augmentation (Radenovic et al. 2018): each index image is expanded by its nearest ones.
    Augment,
    /// The same of train images before they vote, each by its nearest ones of its label (Yokoo et al. in the landmark competition of 2019).
    AugmentTrain,
    /// SuperGlobal re-ranking (Shao et al. 2023): descriptors refined by their nearest ones among the first.
    SuperGlobal,
    /// Offline diffusion (Yang et al. 2019): similarities that spread over the neighbour graph, each source's within its own
    /// neighbourhood.
    Diffuse,
    /// Diffusion (Iscen et al. 2017) over the whole neighbour graph.
    DiffuseFull,
    /// Offline diffusion over one graph of the index images and of all queries of the statement.
    DiffuseTransductive,
    /// Explore-exploit graph traversal (Chang et al. 2019).
    Explore,
    /// The same along the edges of the graph as they are directed, as Yokoo et al. have it.
    ExploreDirected,
    /// k-reciprocal re-ranking (Zhong et al. 2017) of one query against the neighbour graph.
    Reciprocal,
    /// k-reciprocal re-ranking as published: of all queries of the statement and the index images together.
    ReciprocalTransductive,
    /// Label-aware fusion: reciprocal neighbourhoods and the evidence of labels in one score.
    Fuse,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 13] = [
        Self::ExpandMean,
        Self::ExpandAlpha,
        Self::Augment,
        Self::AugmentTrain,
        Self::SuperGlobal,
        Self::Diffuse,
        Self::DiffuseFull,
        Self::DiffuseTransductive,
        Self::Explore,
        Self::ExploreDirected,
        Self::Reciprocal,
        Self::ReciprocalTransductive,
        Self::Fuse,
    ];

    /// The words of its clause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExpandMean => "EXPAND AQE",
            Self::ExpandAlpha => "EXPAND ALPHA",
            Self::Augment => "AUGMENT",
            Self::AugmentTrain => "AUGMENT TRAIN",
            Self::SuperGlobal => "SUPERGLOBAL",
            Self::Diffuse => "DIFFUSE",
            Self::DiffuseFull => "DIFFUSE FULL",
            Self::DiffuseTransductive => "DIFFUSE TRANSDUCTIVE",
            Self::Explore => "EXPLORE",
            Self::ExploreDirected => "EXPLORE DIRECTED",
            Self::Reciprocal => "RECIPROCAL",
            Self::ReciprocalTransductive => "RECIPROCAL TRANSDUCTIVE",
            Self::Fuse => "FUSE",
        }
    }

    /// What it changes.
    pub const fn place(self) -> Place {
        match self {
            Self::ExpandMean | Self::ExpandAlpha => Place::Query,
            Self::Augment => Place::Index,
            Self::AugmentTrain => Place::Voters,
            _ => Place::Order,
        }
    }

    /// Whether it reads the neighbour graph of the index images.
    pub const fn needs_graph(self) -> bool {
        !matches!(self, Self::ExpandMean | Self::ExpandAlpha | Self::AugmentTrain | Self::SuperGlobal)
    }

    /// Its options.
    pub fn parts(self) -> &'static [&'static Part] {
        match self {
            Self::ExpandMean => &EXPAND_AQE,
            Self::ExpandAlpha => &EXPAND_ALPHA,
            Self::Augment => &AUGMENT,
            Self::AugmentTrain => &AUGMENT_TRAIN,
            Self::SuperGlobal => &SUPERGLOBAL,
            Self::Diffuse => &DIFFUSE,
            Self::DiffuseFull => &DIFFUSE_FULL,
            Self::DiffuseTransductive => &DIFFUSE_TRANSDUCTIVE,
            Self::Explore | Self::ExploreDirected => &EXPLORE,
            Self::Reciprocal | Self::ReciprocalTransductive => &RECIPROCAL,
            Self::Fuse => &FUSE,
        }
    }
}

/// The parts of EXPAND AQE.
pub static EXPAND_AQE: [&Part; 1] = [&N];

/// The parts of EXPAND ALPHA.
pub static EXPAND_ALPHA: [&Part; 2] = [&N, &ALPHA];

/// The parts of AUGMENT.
pub static AUGMENT: [&Part; 2] = [&N, &ALPHA];

/// The parts of AUGMENT TRAIN.
pub static AUGMENT_TRAIN: [&Part; 2] = [&N_OF_LABEL, &ALPHA];

/// The parts of SUPERGLOBAL.
pub static SUPERGLOBAL: [&Part; 3] = [&N, &M, &BETA];

/// The parts of DIFFUSE.
pub static DIFFUSE: [&Part; 3] = [&DEGREE, &SOURCES, &CUT];

/// The parts of DIFFUSE FULL.
pub static DIFFUSE_FULL: [&Part; 2] = [&DEGREE, &SOURCES];

/// The parts of DIFFUSE TRANSDUCTIVE.
pub static DIFFUSE_TRANSDUCTIVE: [&Part; 2] = [&DEGREE, &CUT];

/// The parts of EXPLORE.
pub static EXPLORE: [&Part; 2] = [&DEGREE, &T];

/// The parts of RECIPROCAL.
pub static RECIPROCAL: [&Part; 3] = [&K1, &K2, &LAMBDA];

/// The parts of FUSE.
pub static FUSE: [&Part; 1] = [&LABELS];

pub(crate) static LABELS: Part = Part {
    name: "labels",
    form: Form::Number((Included(0.0), Included(MAX_LABELS))),
    usual: Usual::Other { said: "chosen on the train images", example: Setting::Number(0.5) },
    only: Only::Anywhere,
    means: "weight of the evidence of labels beside the neighbourhoods",
};

pub(crate) static DEGREE: Part = Part {
    name: "degree",
    form: Form::Whole { least: 2, most: MAX_DEGREE as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_DEGREE as u64)),
    only: Only::Anywhere,
    means: "number of nearest images that each image has in the neighbour graph; DIFFUSE and EXPLORE DIRECTED count the image itself",
};

pub(crate) static SOURCES: Part = Part {
    name: "sources",
    form: Form::Whole { least: 1, most: MAX_DEGREE as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_SOURCES as u64)),
    only: Only::Anywhere,
    means: "number of the query's nearest images from which similarities spread",
};

pub(crate) static CUT: Part = Part {
    name: "cut",
    form: Form::Whole { least: 2, most: MAX_CUT as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_CUT as u64)),
    only: Only::Anywhere,
    means: "number of nearest images over which a source's similarity spreads, the source included",
};

pub(crate) static T: Part = Part {
    name: "t",
    form: Form::Number((Included(-1.0), Included(1.0))),
    usual: Usual::Other { said: "one image a round", example: Setting::Number(0.4) },
    only: Only::Anywhere,
    means: "each round takes all images whose best edge is more similar than this, and at least one",
};

pub(crate) static K1: Part = Part {
    name: "k1",
    form: Form::Whole { least: 1, most: MAX_DEGREE as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_RECIPROCAL.0 as u64)),
    only: Only::Anywhere,
    means: "two images are reciprocal if each is among the other's k1 nearest",
};

pub(crate) static K2: Part = Part {
    name: "k2",
    form: Form::Whole { least: 1, most: MAX_DEGREE as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_RECIPROCAL.1 as u64)),
    only: Only::Anywhere,
    means: "the reciprocal neighbourhoods of so many images are averaged, the image itself included; at most k1 + 1",
};

pub(crate) static LAMBDA: Part = Part {
    name: "lambda",
    form: Form::Number((Included(0.0), Included(1.0))),
    usual: Usual::Is(Setting::Number(DEFAULT_RECIPROCAL.2)),
    only: Only::Anywhere,
    means: "weight of the plain distance beside that of the neighbourhoods",
};

pub(crate) static N: Part = averaged(DEFAULT_EXPANDED);

/// [`N`] of AUGMENT TRAIN.
pub(crate) static N_OF_LABEL: Part = averaged(DEFAULT_OF_LABEL);

const fn averaged(usual: usize) -> Part {
    Part {
        name: "n",
        form: Form::Whole { least: 2, most: MAX_EXPANDED as u64 },
        usual: Usual::Is(Setting::Whole(usual as u64)),
        only: Only::Anywhere,
        means: "number of descriptors that are averaged: the image's own and those of its nearest images",
    }
}

pub(crate) static ALPHA: Part = Part {
    name: "alpha",
    form: Form::Number((Included(0.0), Included(MAX_ALPHA))),
    usual: Usual::Is(Setting::Number(DEFAULT_ALPHA)),
    only: Only::Anywhere,
    means: "each nearest image weighs its similarity to this power; negative similarities weigh nothing",
};

pub(crate) static M: Part = Part {
    name: "m",
    form: Form::Whole { least: 2, most: MAX_REFINED as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_REFINED as u64)),
    only: Only::Anywhere,
    means: "number of first-stage images whose descriptors are refined; those behind them keep their order",
};

pub(crate) static BETA: Part = Part {
    name: "beta",
    form: Form::Number((Included(0.0), Included(MAX_BETA))),
    usual: Usual::Is(Setting::Number(DEFAULT_BETA)),
    only: Only::Anywhere,
    means: "weight of a nearest image beside the image itself, times their similarity",
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::RangeBounds as _;

    /// It catches: a default that the option does not take; one name for options of two meanings.
    #[test]
    fn every_default_is_a_value_that_the_option_takes() {
        let parts: Vec<&Part> = Method::ALL.into_iter().flat_map(|method| method.parts().iter().copied()).collect();
        for part in &parts {
            let fits = match (&part.form, &part.usual) {
                (Form::Whole { least, most }, Usual::Is(Setting::Whole(number))) => (*least..=*most).contains(number),
                (Form::Number(range), Usual::Is(Setting::Number(number))) => range.contains(number),
                (Form::Number(range), Usual::Other { example: Setting::Number(number), .. }) => range.contains(number),
                _ => false,
            };
            assert!(fits, "{}", part.name);
            assert!(parts.iter().all(|other| other != part || other.means == part.means), "{}", part.name);
        }
    }
}
