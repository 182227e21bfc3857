//! The insert-step: adds items that similarity did not find, because of their predictions.

/// Whether an item may be inserted: dropped only when the sum of both prediction scores is lower than `tau` (paper section 3.3;
/// the released code drops equality too). Scores are those of eq. 3, so the sum lies in [-2, 2].
pub fn gate(query_score: f32, item_score: f32, tau: f64) -> bool {
    f64::from(query_score) + f64::from(item_score) >= tau
}

/// Puts `candidates`, which come by descending score, into `list` at `place` and cuts the whole to `depth` (paper, section 3.3): what falls
/// off is the end of the list first, then the weakest candidates.
///
/// `candidates` is read no further than can be shown.
pub fn insert_step<T>(mut list: Vec<T>, place: usize, candidates: impl IntoIterator<Item = T>, depth: usize) -> Vec<T> {
    let tail = list.split_off(place.min(list.len()));
    list.truncate(depth);
    let room = depth - list.len();
    list.extend(candidates.into_iter().take(room));
    let room = depth - list.len();
    list.extend(tail.into_iter().take(room));
    list
}
