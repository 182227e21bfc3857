//! When the tail becomes a segment and which segments are merged: pure decisions.

use std::ops::Range;

/// Rows of the tail, both roles together, from which it is made into segments.
///
/// A tail is searched by its codes, about 10 ns a row: this many cost less than one search of a graph.
pub(crate) const FLUSH_ROWS: usize = 16_384;
/// Rows of the tail at which writers wait for the segments to be made.
pub(crate) const HOLD_BACK_ROWS: usize = 4 * FLUSH_ROWS;
/// Segments of one role at which writers wait for them to be merged.
pub(crate) const HOLD_BACK_SEGMENTS: usize = 32;
/// Neighbouring segments of about one size that are merged into one. Each row is rewritten once for each power of this that the
/// database grows by.
const FANOUT: usize = 4;
/// Number of neighbours that are merged whatever their sizes: searching this many costs more than rewriting them.
const CROWD: usize = 3 * FANOUT;
/// One row in this many may be dead before a segment is rewritten: the share of useless search and disk space.
const DEAD_SHARE: usize = 4;

/// What the policy knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows, dead ones included.
    pub(crate) rows: usize,
    /// Rows that answer.
    pub(crate) live: usize,
    /// Its file is missing or damaged.
    pub(crate) damaged: bool,
}

/// The class of a size: each holds sizes up to [`FANOUT`] times those of the one below.
fn tier(live: usize) -> u32 {
    live.max(1).ilog(FANOUT)
}

/// The neighbouring segments of one role to be made into one, if any: damaged ones first, then those with many dead rows, then runs
/// of similar size, the smallest first.
pub(crate) fn choose(segments: &[Size]) -> Option<Range<usize>> {
    let alone = |wanted: &dyn Fn(&Size) -> bool| segments.iter().position(wanted).map(|at| at..at + 1);
    alone(&|size| size.damaged).or_else(|| alone(&|size| (size.rows - size.live) * DEAD_SHARE > size.rows)).or_else(
        || {
            let largest = segments.iter().map(|size| tier(size.live)).max()?;
            (0..=largest).find_map(|most| run_of(segments, most))
        },
    )
}

/// The first run of neighbours of at most this tier in which there are enough of it, or enough of all.
fn run_of(segments: &[Size], most: u32) -> Option<Range<usize>> {
    let mut start = 0;
    for at in 0..=segments.len() {
        if at < segments.len() && tier(segments[at].live) <= most {
            continue;
        }
        let of_this_tier = segments[start..at].iter().filter(|size| tier(size.live) == most).count();
        if of_this_tier >= FANOUT || at - start >= CROWD {
            return Some(start..at);
        }
        start = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sound(live: usize) -> Size {
        Size { rows: live, live, damaged: false }
    }

    #[test]
    fn small_neighbours_are_merged_before_large_ones() {
        let sizes = [400_000, 17_000, 17_000, 16_500, 16_400, 100].map(sound);
        assert_eq!(choose(&sizes), Some(1..6));
        assert_eq!(choose(&sizes[..4]), None);
        assert_eq!(choose(&[70_000, 70_000, 16_000, 70_000, 70_000].map(sound)), Some(0..5));
        assert_eq!(choose(&[16, 64, 256].map(sound).repeat(4)), Some(0..12));
    }

    #[test]
    fn damage_and_death_come_first() {
        let mut sizes = [16_000, 16_000, 16_000, 16_000, 16_000].map(sound);
        sizes[3].live = 10_000;
        assert_eq!(choose(&sizes), Some(3..4));
        sizes[4].damaged = true;
        assert_eq!(choose(&sizes), Some(4..5));
    }

    proptest! {
        /// Flush by flush, the number of segments stays logarithmic and every row is rewritten a logarithmic number of times.
        #[test]
        fn the_number_of_segments_stays_small(flushes in 1usize..600, rows in 1usize..40_000) {
            let mut sizes: Vec<Size> = Vec::new();
            let mut rewritten = 0;
            for _ in 0..flushes {
                sizes.push(sound(rows));
                while let Some(range) = choose(&sizes) {
                    prop_assert!(range.len() > 1);
                    let live = sizes[range.clone()].iter().map(|size| size.live).sum();
                    rewritten += live;
                    sizes.splice(range, [sound(live)]);
                }
            }
            let tiers = (tier(flushes * rows) - tier(rows)) as usize;
            prop_assert!(sizes.len() < FANOUT * (tiers + 1), "{} segments in {tiers} tiers", sizes.len());
            // Every merge lifts its rows by a tier; one of a crowd lifts most of them.
            prop_assert!(rewritten <= flushes * rows * (tiers + 1), "{rewritten}");
        }
    }
}
