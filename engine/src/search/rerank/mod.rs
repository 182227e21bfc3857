//! The second stage: sort-step and insert-step (Yokoo et al. 2020, section 3.3), as functions of plain lists.

mod insert_step;
mod sort_step;

pub use insert_step::{gate, insert_step};
pub use sort_step::sort_step;

use crate::answer::Stage;

/// Both steps or either, on one list.
///
/// `retrieved` is the first-stage list, best first, of which the first `depth` count; `is_positive` says whether an item's prediction equals the query's;
/// `candidates` are the items predicted to be the query's instance that were not retrieved and that pass the [`gate`], by
/// descending score; `depth` cuts the result. Without the sort-step the list keeps its order and insertions go behind its last
/// positive item.
pub fn rerank<T>(
    retrieved: Vec<T>,
    is_positive: impl Fn(&T) -> bool,
    sort: bool,
    candidates: impl IntoIterator<Item = T>,
    depth: usize,
) -> Vec<(T, Stage)> {
    let staged = retrieved.into_iter().take(depth).map(|item| {
        let stage = if is_positive(&item) { Stage::Positive } else { Stage::Negative };
        (item, stage)
    });
    let list: Vec<(T, Stage)> =
        if sort { sort_step(staged, |(_, stage)| *stage == Stage::Positive) } else { staged.collect() };
    let place = list.iter().rposition(|(_, stage)| *stage == Stage::Positive).map_or(0, |last| last + 1);
    insert_step(list, place, candidates.into_iter().map(|item| (item, Stage::Inserted)), depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(retrieved: &[u32], positive: &[u32], sort: bool, candidates: &[u32], depth: usize) -> Vec<(u32, Stage)> {
        rerank(retrieved.to_vec(), |item| positive.contains(item), sort, candidates.to_vec(), depth)
    }

    #[test]
    fn positives_then_inserted_then_negatives() {
        let got = run(&[5, 6, 7], &[6, 7], true, &[8, 9], 4);
        let stages = [(6, Stage::Positive), (7, Stage::Positive), (8, Stage::Inserted), (9, Stage::Inserted)];
        assert_eq!(got, stages);
    }

    #[test]
    fn a_short_list_grows_up_to_the_depth() {
        assert_eq!(run(&[5], &[], true, &[8, 9], 10).len(), 3);
    }

    #[test]
    fn without_sorting_insertions_follow_the_last_positive() {
        let ids = |list: Vec<(u32, Stage)>| list.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(run(&[5, 6, 7, 4], &[6], false, &[8], 10)), [5, 6, 8, 7, 4]);
        assert_eq!(ids(run(&[5, 7], &[], false, &[8], 10)), [8, 5, 7]);
    }
}
