//! The names of what failed among many.

use super::escape::visible;
use crate::terminal::note;

/// Failures that are named; the others are counted.
const NAMED: usize = 20;

/// Names the first failures on standard error, each with its reason.
pub(crate) fn name_failed<'f>(failed: impl ExactSizeIterator<Item = (&'f str, &'f str)>) {
    let all = failed.len();
    for (key, reason) in failed.take(NAMED) {
        note(&format!("  {}: {}", visible(key), visible(&reason.replace('\n', " "))));
    }
    if all > NAMED {
        note(&format!("  and {} more", all - NAMED));
    }
}
