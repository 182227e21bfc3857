//! The names of the failures among many items.

use super::escape::visible;
use crate::terminal::note;

/// Number of failures that are listed; the others are counted.
const NAMED: usize = 20;

/// Lists the first failures on standard error, each with its reason.
pub(crate) fn name_failed<'f>(failed: impl ExactSizeIterator<Item = (&'f str, &'f str)>) {
    let all = failed.len();
    for (key, reason) in failed.take(NAMED) {
        note(&format!("  {}: {}", visible(key), visible(&reason.replace('\n', " "))));
    }
    if all > NAMED {
        note(&format!("  and {} more", all - NAMED));
    }
}
