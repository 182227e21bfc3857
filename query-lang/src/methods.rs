//! The methods of the first stage of a search, and the tables of their options.

use std::ops::Bound::Included;

use crate::limits::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_EXPANDED, DEFAULT_REFINED, MAX_ALPHA, MAX_BETA, MAX_EXPANDED, MAX_REFINED,
};
use crate::options::{Form, Only, Part, Usual};
use crate::value::Setting;

/// A method of the first stage of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Average query expansion (Chum et al. 2007): the query and its nearest images, averaged.
    ExpandMean,
    /// Alpha query expansion (Radenovic et al. 2018): each of them weighs its similarity to a power.
    ExpandAlpha,
    /// SuperGlobal re-ranking (Shao et al. 2023): descriptors refined by their nearest ones among the first.
    SuperGlobal,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::ExpandMean, Self::ExpandAlpha, Self::SuperGlobal];

    /// The words of its clause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExpandMean => "EXPAND AQE",
            Self::ExpandAlpha => "EXPAND ALPHA",
            Self::SuperGlobal => "SUPERGLOBAL",
        }
    }

    /// Whether it changes what is searched; the others order what was found.
    pub const fn expands(self) -> bool {
        matches!(self, Self::ExpandMean | Self::ExpandAlpha)
    }

    /// Its options.
    pub fn parts(self) -> &'static [&'static Part] {
        match self {
            Self::ExpandMean => &EXPAND_AQE,
            Self::ExpandAlpha => &EXPAND_ALPHA,
            Self::SuperGlobal => &SUPERGLOBAL,
        }
    }
}

/// The parts of EXPAND AQE.
pub static EXPAND_AQE: [&Part; 1] = [&N];

/// The parts of EXPAND ALPHA.
pub static EXPAND_ALPHA: [&Part; 2] = [&N, &ALPHA];

/// The parts of SUPERGLOBAL.
pub static SUPERGLOBAL: [&Part; 3] = [&N, &M, &BETA];

pub(crate) static N: Part = Part {
    name: "n",
    form: Form::Whole { least: 2, most: MAX_EXPANDED as u64 },
    usual: Usual::Is(Setting::Whole(DEFAULT_EXPANDED as u64)),
    only: Only::Anywhere,
    means: "number of descriptors that are averaged: the image's own and those of its nearest images",
};

pub(crate) static ALPHA: Part = Part {
    name: "alpha",
    form: Form::Number((Included(0.0), Included(MAX_ALPHA))),
    usual: Usual::Is(Setting::Number(DEFAULT_ALPHA)),
    only: Only::Anywhere,
    means: "each nearest image weighs its similarity to the query to this power; negative similarities weigh nothing",
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

    /// It catches: a default that the option does not take; one name for two options.
    #[test]
    fn every_default_is_a_value_that_the_option_takes() {
        let parts: Vec<&Part> = Method::ALL.into_iter().flat_map(|method| method.parts().iter().copied()).collect();
        for part in &parts {
            let fits = match (&part.form, &part.usual) {
                (Form::Whole { least, most }, Usual::Is(Setting::Whole(number))) => (*least..=*most).contains(number),
                (Form::Number(range), Usual::Is(Setting::Number(number))) => range.contains(number),
                _ => false,
            };
            assert!(fits, "{}", part.name);
            assert!(parts.iter().all(|other| other != part || std::ptr::eq(*other, *part)), "{}", part.name);
        }
    }
}
