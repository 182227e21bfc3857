//! A proposer's result, used only as far as it can be verified: it affects speed, and must affect nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ports::{Propose, VectorChunks};
use crate::process::callback::Called;

/// A proposer and the database that calls it.
#[derive(Clone, Copy)]
pub(crate) struct Proposer<'a> {
    pub(crate) propose: &'a dyn Propose,
    /// [`Catalog::handle_number`](crate::catalog::Catalog::handle_number).
    pub(crate) database: usize,
}

impl Proposer<'_> {
    /// For each query the numbers of live rows, each once, among which its `count` best are; `None`: every row has to be scored. A
    /// proposer that fails or panics costs speed, and so does one that names rows which are not there, or fewer than were asked for.
    pub(crate) fn rows(
        self,
        rows: &VectorChunks,
        live: &[bool],
        queries: &[f32],
        count: usize,
    ) -> Option<Vec<Option<Vec<usize>>>> {
        let proposed = {
            let _called = Called::by(self.database, "a Propose");
            // Its panic was printed where it happened; nothing of the write is in its hands.
            catch_unwind(AssertUnwindSafe(|| self.propose.propose(rows, live, queries, count))).ok()?.ok()?
        };
        if proposed.len() != queries.len() / rows.dimension.max(1) {
            return None;
        }
        let enough = count.min(live.iter().filter(|&&live| live).count());
        Some(proposed.into_iter().map(|rows| checked(rows?, live, enough)).collect())
    }
}

/// The live rows among these, each once, if all are there and at least `enough` live.
fn checked(rows: Vec<u32>, live: &[bool], enough: usize) -> Option<Vec<usize>> {
    let mut rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
    rows.sort_unstable();
    rows.dedup();
    if rows.last().is_some_and(|&last| last >= live.len()) {
        return None;
    }
    rows.retain(|&row| live[row]);
    (rows.len() >= enough).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: rows that are counted twice, dead ones that count, rows that are not there.
    #[test]
    fn what_cannot_hold_the_best_rows_is_not_believed() {
        let live = [true, false, true, true];
        let of = |rows: &[u32], enough| checked(rows.to_vec(), &live, enough);
        assert_eq!(of(&[3, 0, 1, 3], 2), Some(vec![0, 3]));
        for (rows, enough) in [(&[3, 3][..], 2), (&[0, 1], 2), (&[0, 2, 4], 2), (&[u32::MAX, 0, 2, 3], 2), (&[], 1)] {
            assert_eq!(of(rows, enough), None, "{rows:?}");
        }
        assert_eq!(of(&[], 0), Some(Vec::new()));
    }
}
