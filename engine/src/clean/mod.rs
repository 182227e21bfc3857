//! CLEAN: which train labels can be trusted, and what to do about the others (paper, section 3.1).
//!
//! The rules ([`clean`], [`suspects`]) are pure functions of row numbers, labels and numbers. A run searches neighbours, compares
//! photos, and writes one transaction with an entry in the log, which an undo reverts.

mod emptied;
mod log;
mod rule;
mod run;
mod suspects;

pub use emptied::would_empty;
pub use log::{Cleaned, CleaningEntry, Marked, Standing, Undone};
pub(crate) use log::{cleaned, cleanings, marked, undo_cleaning};
pub use rule::{LEAST_IMAGES, Pair, Rule, Verdict, clean};
pub use run::{Cleaning, Judged, Judgement, Witness};
pub(crate) use run::{check_cleaning, run};
pub use suspects::{Neighbour, Support, Suspect, Weighing, suspects};

pub use crate::verify::{Readings, Sight, Sights};
