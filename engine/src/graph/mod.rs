//! The approximate index: an HNSW graph in flat arrays, searched where they lie, in memory or in a mapped file.
//!
//! Base links are `rows x BASE_DEGREE` row numbers; unused slots at the end of a node's block are [`NONE`]. Nodes of level 1 and
//! above are *slots*, sorted by level descending, then row ascending, so that the nodes of level `l` and above are the first
//! `upper_counts[l - 1]`. Their links are slot numbers, `UPPER_DEGREE` a node: all of level 1, then all of level 2, ... A search
//! enters at slot 0, or at row 0 where there are no upper levels.
//!
//! It proposes rows; exact similarity, liveness and order are the caller's. Nothing here reads a file, a clock or random numbers.

mod build;
mod insert;
mod merge;
mod parallel;
mod prune;
mod repair;
mod search;

pub(crate) use build::fresh;
pub(crate) use merge::merged;
#[cfg(test)]
pub(crate) use repair::unreachable;
pub(crate) use search::{Scratch, search};

use std::sync::atomic::{AtomicBool, Ordering};

use crate::vector::stride;

/// Links of a node in the base.
pub(crate) const BASE_DEGREE: usize = 32;
/// Links of a node in each upper level.
pub(crate) const UPPER_DEGREE: usize = 16;
/// Levels above the base at most; each holds about a 16th of the one below.
pub(crate) const LEVELS: usize = 15;
/// An unused link.
pub(crate) const NONE: u32 = u32::MAX;
/// Rows of a graph at most: a search packs a row number and a bit into 32.
pub(crate) const MAX_ROWS: usize = 1 << 31;

/// Whether one of the flags that end the making of a graph is set.
fn is_any_set(flags: &[&AtomicBool]) -> bool {
    flags.iter().any(|flag| flag.load(Ordering::Relaxed))
}

/// A graph over borrowed arrays, laid out as the module says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Graph<'a> {
    /// Nodes of the base.
    pub(crate) rows: usize,
    /// `rows x BASE_DEGREE` row numbers.
    pub(crate) base: &'a [u32],
    /// Nodes of each upper level, level 1 first.
    pub(crate) upper_counts: &'a [u32],
    /// Row of each slot.
    pub(crate) upper_rows: &'a [u32],
    /// `UPPER_DEGREE` slot numbers for each node of each upper level, level 1 first.
    pub(crate) upper_links: &'a [u32],
}

/// A graph that owns its arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedGraph {
    /// See [`Graph`].
    pub(crate) rows: usize,
    /// See [`Graph`].
    pub(crate) base: Vec<u32>,
    /// See [`Graph`].
    pub(crate) upper_counts: Vec<u32>,
    /// See [`Graph`].
    pub(crate) upper_rows: Vec<u32>,
    /// See [`Graph`].
    pub(crate) upper_links: Vec<u32>,
}

impl OwnedGraph {
    /// The graph over these arrays.
    pub(crate) fn view(&self) -> Graph<'_> {
        Graph {
            rows: self.rows,
            base: &self.base,
            upper_counts: &self.upper_counts,
            upper_rows: &self.upper_rows,
            upper_links: &self.upper_links,
        }
    }
}

impl<'a> Graph<'a> {
    /// The row a search enters at; of no meaning in an empty graph.
    pub(crate) fn entry(&self) -> u32 {
        self.upper_rows.first().copied().unwrap_or(0)
    }

    /// Links of a node of the base, up to the first unused one.
    pub(crate) fn links(&self, row: u32) -> impl Iterator<Item = u32> + use<'a> {
        used(&self.base[row as usize * BASE_DEGREE..][..BASE_DEGREE])
    }

    /// Links of each upper level, the topmost first.
    pub(crate) fn levels_from_top(&self) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let (counts, links) = (self.upper_counts, self.upper_links);
        let mut end = links.len();
        counts.iter().rev().map(move |&count| {
            let start = end - count as usize * UPPER_DEGREE;
            let level = &links[start..end];
            end = start;
            level
        })
    }

    /// Whether the arrays are a graph, so that no search of it reads out of bounds; `O(links)`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.rows > MAX_ROWS {
            return Err(format!("{} rows are more than a graph holds", self.rows));
        }
        if self.base.len() != self.rows * BASE_DEGREE {
            return Err(format!("{} base links for {} rows", self.base.len(), self.rows));
        }
        if self.upper_counts.len() > LEVELS {
            return Err(format!("{} upper levels", self.upper_counts.len()));
        }
        let slots = self.upper_counts.first().map_or(0, |&count| count as usize);
        if self.upper_rows.len() != slots {
            return Err(format!("{} slots, but rows for {}", slots, self.upper_rows.len()));
        }
        let nodes: usize = self.upper_counts.iter().map(|&count| count as usize).sum();
        if self.upper_links.len() != nodes * UPPER_DEGREE {
            return Err(format!("{} upper links for {nodes} nodes", self.upper_links.len()));
        }
        if self.upper_counts.contains(&0) || !self.upper_counts.is_sorted_by(|below, above| below >= above) {
            return Err("an upper level is empty or larger than the one below".into());
        }
        self.check_slots()?;
        check_links(self.base, BASE_DEGREE, self.rows)?;
        for level in self.levels_from_top() {
            check_links(level, UPPER_DEGREE, level.len() / UPPER_DEGREE)?;
        }
        Ok(())
    }

    /// Slots are distinct rows, ascending among those of one level.
    fn check_slots(&self) -> Result<(), String> {
        let mut is_slot = vec![false; self.rows];
        for &row in self.upper_rows {
            match is_slot.get_mut(row as usize) {
                Some(taken) if !*taken => *taken = true,
                _ => return Err(format!("row {row} as a slot is out of range or there twice")),
            }
        }
        let mut start = 0;
        for &count in self.upper_counts.iter().rev() {
            let end = count as usize;
            if !self.upper_rows[start..end].is_sorted() {
                return Err("slots of a level are out of order".into());
            }
            start = end;
        }
        Ok(())
    }
}

/// Every link is a node other than its own, and unused ones come last.
fn check_links(links: &[u32], degree: usize, nodes: usize) -> Result<(), String> {
    for (node, links) in links.chunks_exact(degree).enumerate() {
        let count = used(links).count();
        if links[count..].iter().any(|&link| link != NONE) {
            return Err(format!("node {node} has a link behind an unused one"));
        }
        if links[..count].iter().any(|&link| link as usize >= nodes || link as usize == node) {
            return Err(format!("node {node} links to itself or out of range"));
        }
    }
    Ok(())
}

/// The links of a block before the first unused one.
fn used(links: &[u32]) -> impl Iterator<Item = u32> {
    links.iter().copied().take_while(|&link| link != NONE)
}

/// Coded rows of one dimension that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes<'a> {
    /// `rows x stride(dimension)` bytes.
    pub(crate) bytes: &'a [u8],
    /// Components of a vector.
    pub(crate) dimension: usize,
}

impl<'a> Codes<'a> {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.bytes.len() / stride(self.dimension)
    }

    /// Row `row`.
    #[inline]
    pub(crate) fn row(&self, row: u32) -> &'a [u8] {
        let stride = stride(self.dimension);
        &self.bytes[row as usize * stride..][..stride]
    }
}

#[cfg(test)]
mod tests;
