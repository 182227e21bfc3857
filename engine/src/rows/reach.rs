//! Finds which of some new descriptors come close to which rows: each row has a floor, and what is below it is of no interest.

use std::collections::BTreeMap;

use super::scan::Run;
use super::set::RowSet;
use crate::error::Result;
use crate::process::pool;
use crate::progress::Interrupt;
use crate::vector::{CodedQuery, Hit, Top, dot, products, row_residual, stride};

/// Rows of one task at most.
const TASK_ROWS: usize = 4096;
/// Pairs of one task: of 512 components about 10 milliseconds, after which a helper may turn to a search.
const TASK_PAIRS: usize = 1 << 20;
/// Rows whose coded scores are computed at once.
const BLOCK_ROWS: usize = 256;
/// Descriptors that share a block of rows.
const GROUP: usize = 64;

impl RowSet {
    /// For each row below `until` the descriptors (row-major) at or above its floor, best first, ties by `key` of their number: at most
    /// `most` of them. A row without any is left out; hits have the descriptor's number.
    ///
    /// Complexity: `O(until * descriptors * dimension)` 8-bit products in parallel over the rows, and a canonical product for each pair
    /// that comes close to a floor.
    ///
    /// # Errors
    /// `Cancelled`; those of [`RowSet::vector`].
    pub(crate) fn reached<'k>(
        &self,
        until: usize,
        descriptors: &[f32],
        floor: impl Fn(usize) -> f32 + Sync,
        most: usize,
        key: impl Fn(u32) -> &'k str + Sync,
        interrupt: &Interrupt<'_>,
    ) -> Result<Vec<(usize, Vec<Hit>)>> {
        let dimension = self.dimension();
        let coded: Vec<CodedQuery> = descriptors.chunks_exact(dimension).map(CodedQuery::new).collect();
        if coded.is_empty() {
            return Ok(Vec::new());
        }
        let task = |run: Run<'_>| -> Result<Vec<(usize, Vec<Hit>)>> {
            let width = stride(dimension);
            let mut scores = vec![0.0; GROUP * BLOCK_ROWS];
            let mut found = Vec::new();
            for block in run.blocks(BLOCK_ROWS) {
                interrupt.look()?;
                let codes = block.codes(dimension);
                // A dead row has a floor that nothing reaches.
                let floor = |row: usize| if self.live[row] { floor(row) } else { f32::INFINITY };
                let floors: Vec<f32> = (block.start..block.start + block.rows).map(floor).collect();
                let mut tops: BTreeMap<usize, Top<_>> = BTreeMap::new();
                for (group, coded) in coded.chunks(GROUP).enumerate() {
                    let scores = &mut scores[..coded.len() * block.rows];
                    products(coded, codes, scores);
                    for (at, &floor) in floors.iter().enumerate() {
                        let residual = row_residual(&codes[at * width..(at + 1) * width]);
                        for (number, query) in coded.iter().enumerate() {
                            // No code is so wrong that a row above its floor could be passed over.
                            if scores[number * block.rows + at] + query.bound(residual) < floor {
                                continue;
                            }
                            let new = group * GROUP + number;
                            let descriptor = &descriptors[new * dimension..(new + 1) * dimension];
                            let similarity = dot(descriptor, &block.part.vector(block.first + at)?);
                            if similarity >= floor {
                                let top = tops.entry(at).or_insert_with(|| Top::new(most, &key));
                                top.push(Hit { similarity, row: new as u32 });
                            }
                        }
                    }
                }
                found.extend(tops.into_iter().map(|(at, top)| (block.start + at, top.into_sorted())));
            }
            Ok(found)
        };
        let runs = self.runs(until, (TASK_PAIRS / coded.len()).clamp(BLOCK_ROWS, TASK_ROWS));
        let lists: Vec<Vec<(usize, Vec<Hit>)>> = pool::try_map(&runs, |&run| task(run))?;
        Ok(lists.into_iter().flatten().collect())
    }
}
