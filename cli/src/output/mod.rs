//! Answers as text: one writer for every format, fed row by row.

mod cell;
mod cleaning;
mod door;
mod escape;
mod failed;
mod labelled;
mod outcome;
mod printer;
mod receipt;
mod recognised;
mod words;

pub(crate) use cell::Cell;
pub(crate) use cleaning::{WOULD_EMPTY, print_cleaning, summary};
pub(crate) use door::{Draft, Replace, Target, must_be_outside};
pub(crate) use escape::{Shielded, visible, visible_lines};
pub(crate) use failed::name_failed;
pub(crate) use outcome::{print_outcome, print_predictions};
pub(crate) use printer::{Format, Printer};
pub(crate) use recognised::{notices, print_recognitions, sentence};
pub(crate) use words::counted;
