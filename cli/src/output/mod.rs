//! Answers as text: one writer for every format, fed row by row.

mod cell;
mod cleaning;
mod labelled;
mod outcome;
mod printer;

pub(crate) use cell::{Cell, visible};
pub(crate) use cleaning::{print_cleaning, summary};
pub(crate) use outcome::{counted, print_outcome, print_predictions};
pub(crate) use printer::{Format, Printer};
