//! The sort-step: positives to the front.

/// A stable partition: all items for which `is_positive` holds, in their order, then all others in theirs (paper, section 3.3).
///
/// No score and no threshold is involved, however uncertain the query's prediction is.
pub fn sort_step<T>(list: impl IntoIterator<Item = T>, is_positive: impl Fn(&T) -> bool) -> Vec<T> {
    let (mut positives, negatives): (Vec<T>, Vec<T>) = list.into_iter().partition(is_positive);
    positives.extend(negatives);
    positives
}
