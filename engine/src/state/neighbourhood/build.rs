//! Computes the neighbour graph: of all rows, or of what changed since another one was computed.

use super::Neighbourhood;
use crate::error::Result;
use crate::progress::{Interrupt, Progress};
use crate::rows::RowSet;
use crate::vector::Hit;

/// Images whose nearest ones are computed in one pass over the rows.
const ROWS_AT_ONCE: usize = 1_024;
/// A graph of which more than this part must be searched for is computed from the start: changes cost a second pass over the rows.
const MOST_CHANGED: usize = 4;

impl Neighbourhood {
    /// The graph of all live rows, with so many edges a row.
    ///
    /// # Errors
    /// `Cancelled`; those of [`RowSet::best_of_many`].
    pub(crate) fn of(index: &RowSet, others: usize, interrupt: &Interrupt<'_>) -> Result<Self> {
        let mut lists = vec![None; index.len()];
        let live: Vec<usize> = index.live().collect();
        search(index, &live, others, &mut lists, interrupt)?;
        Ok(Self::of_rows(index, others, lists))
    }

    /// The graph of these rows, by one of other rows of the same model: Cairn searches for the images that came and for those that had a
    /// gone one among their nearest; the others compare the least similar of their nearest ones with what came.
    ///
    /// # Errors
    /// Those of [`Neighbourhood::of`].
    pub(crate) fn moved_to(&self, index: &RowSet, interrupt: &Interrupt<'_>) -> Result<Self> {
        let moved = self.moved(index);
        if moved.wanted.len() > index.live_rows() / MOST_CHANGED {
            return Self::of(index, self.others, interrupt);
        }
        moved.completed(index, interrupt)
    }

    /// The descriptor of an image id never changes, so an edge between two images that stayed is as it was.
    fn moved(&self, index: &RowSet) -> Moved {
        let mut now: Vec<Option<usize>> = vec![None; self.rows()];
        for &(row, id) in &self.images {
            now[row] = index.row_of(id).filter(|&row| index.live[row]);
        }
        let mut stayed = vec![false; index.len()];
        let mut lists: Vec<Option<Vec<Hit>>> = vec![None; index.len()];
        for (before, row) in now.iter().enumerate() {
            let Some(row) = *row else { continue };
            stayed[row] = true;
            let edges = self.nearest(before, self.others);
            let still = |edge: &Hit| Some(Hit { row: now[edge.row as usize]? as u32, ..*edge });
            let kept: Vec<Hit> = edges.iter().filter_map(still).collect();
            // A list that was not full had every other row, and without the gone ones it has still every one that stayed.
            if kept.len() == edges.len() || edges.len() < self.others {
                lists[row] = Some(kept);
            }
        }
        let wanted = index.live().filter(|&row| lists[row].is_none()).collect();
        let came = index.live().filter(|&row| !stayed[row]).collect();
        Moved { others: self.others, lists, came, wanted }
    }

    fn of_rows(index: &RowSet, others: usize, lists: Vec<Option<Vec<Hit>>>) -> Self {
        let (mut starts, mut edges) = (Vec::with_capacity(index.len() + 1), Vec::new());
        starts.push(0);
        for list in lists {
            edges.extend(list.into_iter().flatten());
            starts.push(edges.len());
        }
        let images = index.live().map(|row| (row, index.id(row))).collect();
        Self { others, starts, edges, images }
    }
}

/// What a graph of other rows says of these.
struct Moved {
    others: usize,
    /// Of each row its nearest ones among those that stayed, if the graph knows them.
    lists: Vec<Option<Vec<Hit>>>,
    /// Live rows that the graph does not have.
    came: Vec<usize>,
    /// Live rows without a list.
    wanted: Vec<usize>,
}

impl Moved {
    /// Complexity: a pass over the rows for each group of 64 images that came, and one for each group of rows without a list.
    fn completed(self, index: &RowSet, interrupt: &Interrupt<'_>) -> Result<Neighbourhood> {
        let Self { others, mut lists, came, wanted } = self;
        let floor = |row: usize| match &lists[row] {
            Some(list) if list.len() < others => f32::NEG_INFINITY,
            Some(list) => list.last().map_or(f32::INFINITY, |edge| edge.similarity),
            // It is searched for.
            None => f32::INFINITY,
        };
        let key = |number: u32| index.key(came[number as usize]);
        let reached = index.reached(index.len(), &index.gathered(&came)?, floor, others, key, interrupt)?;
        for (row, hits) in reached {
            let mut top = index.top(others);
            lists[row].take().into_iter().flatten().for_each(|edge| top.push(edge));
            hits.into_iter().for_each(|hit| top.push(Hit { row: came[hit.row as usize] as u32, ..hit }));
            lists[row] = Some(top.into_sorted());
        }
        search(index, &wanted, others, &mut lists, interrupt)?;
        Ok(Neighbourhood::of_rows(index, others, lists))
    }
}

/// Puts the nearest other rows of each of `rows` into its place in `lists`.
fn search(
    index: &RowSet,
    rows: &[usize],
    others: usize,
    lists: &mut [Option<Vec<Hit>>],
    interrupt: &Interrupt<'_>,
) -> Result<()> {
    for (part, some) in rows.chunks(ROWS_AT_ONCE).enumerate() {
        interrupt.at(Progress::ROWS, part * ROWS_AT_ONCE, rows.len())?;
        let queries = index.gathered(some)?;
        let found = index.best_of_many(&queries, others, |query, row| row != some[query], interrupt)?;
        some.iter().zip(found).for_each(|(&row, list)| lists[row] = Some(list));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::ImageId;
    use crate::progress::UNINTERRUPTED;
    use crate::rows::NewRow;
    use crate::vector::unit;

    fn set_of(rows: &[(u64, Vec<f32>)]) -> RowSet {
        let mut set = RowSet::new(rows[0].1.len());
        for (id, vector) in rows {
            let key = format!("k{:04}", (id * 7919) % 10_000).into();
            set.append(vec![NewRow { id: ImageId(*id), key, instance: None, floor: 0.0 }], vector.clone());
        }
        set
    }

    /// Few directions, so that ties are common.
    fn vectors() -> impl Strategy<Value = Vec<Vec<f32>>> {
        let component = (-2i8..3).prop_map(f32::from);
        let vector = prop::collection::vec(component, 4).prop_filter_map("no direction", |vector| unit(&vector).ok());
        prop::collection::vec(vector, 12..60)
    }

    fn lists(graph: &Neighbourhood) -> Vec<Vec<Hit>> {
        (0..graph.rows()).map(|row| graph.nearest(row, usize::MAX).to_vec()).collect()
    }

    proptest! {
        /// It catches: a list that a gone image made short, an image that came and is in no list, ties in the order of arrival, rows that
        /// were renumbered; it goes back in time, too.
        #[test]
        fn a_graph_that_moved_is_the_computed_one(
            vectors in vectors(),
            dead in prop::collection::vec(0u8..4, 60),
            others in 1usize..9,
            from in 3usize..12,
        ) {
            let all: Vec<(u64, Vec<f32>)> = vectors.into_iter().enumerate().map(|(at, vector)| (3 * at as u64, vector)).collect();
            let earlier = {
                let mut set = set_of(&all[..all.len() - from]);
                (0..set.len()).filter(|&row| dead[row] == 1).for_each(|row| set.kill(row));
                set
            };
            // Later: what was dead has gone, other rows died, and more came.
            let later = {
                let kept: Vec<_> = all.iter().enumerate().filter(|(row, _)| dead[*row] != 1).map(|(_, row)| row.clone()).collect();
                let mut set = set_of(&kept);
                (0..set.len()).filter(|row| row % 7 == 3).for_each(|row| set.kill(row));
                set
            };
            let of = |set: &RowSet| Neighbourhood::of(set, others, &UNINTERRUPTED).unwrap();
            for (before, after) in [(&earlier, &later), (&later, &earlier), (&later, &later)] {
                let moved = of(before).moved(after).completed(after, &UNINTERRUPTED).unwrap();
                prop_assert_eq!(lists(&moved), lists(&of(after)));
                prop_assert_eq!(moved.images, of(after).images);
            }
        }
    }

    /// It catches: a graph that is computed again for every write.
    #[test]
    fn an_image_that_came_or_went_touches_few_others() {
        const OTHERS: usize = 5;
        let direction =
            |at: usize| unit(&[(at as f32).cos(), (at as f32).sin(), 1.0, (at as f32 * 0.37).cos()]).unwrap();
        let all: Vec<(u64, Vec<f32>)> = (0..400).map(|at| (at as u64, direction(at))).collect();
        let mut set = set_of(&all[..399]);
        let graph = Neighbourhood::of(&set, OTHERS, &UNINTERRUPTED).unwrap();
        let more = graph.moved(&set_of(&all));
        assert_eq!((more.came, more.wanted), (vec![399], vec![399]));
        set.kill(7);
        let fewer = graph.moved(&set);
        let had_it: Vec<usize> = set.live().filter(|&row| graph.has(row, 7, OTHERS)).collect();
        assert!(!had_it.is_empty() && had_it.len() < 4 * OTHERS, "{had_it:?}");
        assert_eq!((fewer.came, fewer.wanted), (vec![], had_it));
    }
}
