//! Which train labels can be trusted: the paper's cleaning rule, and a ranking of the labels that look wrong. Pure functions of
//! row numbers, labels and numbers.

mod emptied;
mod rule;
mod suspects;

pub use emptied::would_empty;
pub use rule::{LEAST_IMAGES, Pair, Rule, Verdict, clean};
pub use suspects::{Neighbour, Support, Suspect, Weighing, suspects};
