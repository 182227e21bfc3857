//! Selects the rows that may be among the best, by intervals: a coded score is known within a bound, so a row whose upper end is
//! below enough lower ends is out, and only the others need the canonical similarity.

/// A row and the interval in which its similarity lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) lower: f32,
    pub(super) upper: f32,
    pub(super) row: u32,
}

/// Keeps every row that may be among the best `count` of those it is shown.
///
/// The buffer is cut by selection when it has doubled: `O(1)` amortised a row.
pub(super) struct Sieve {
    count: usize,
    /// No row whose upper end is below this can be among the best.
    floor: f32,
    kept: Vec<Interval>,
    /// Length at which the buffer is cut.
    full: usize,
}

impl Sieve {
    /// For the best `count` rows.
    pub(super) fn new(count: usize) -> Self {
        let floor = if count == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { count, floor, kept: Vec::new(), full: Self::room(count) }
    }

    fn room(kept: usize) -> usize {
        kept.saturating_mul(2).max(64)
    }

    /// Whether a row with that upper end may be among the best.
    pub(super) fn wants(&self, upper: f32) -> bool {
        upper >= self.floor
    }

    /// No row whose upper end is below this can be among the best; minus infinity until enough have been seen.
    pub(super) fn floor(&self) -> f32 {
        self.floor
    }

    /// Shows it a row.
    pub(super) fn push(&mut self, interval: Interval) {
        if self.wants(interval.upper) {
            self.kept.push(interval);
            if self.kept.len() >= self.full {
                self.cut();
                self.full = Self::room(self.kept.len());
            }
        }
    }

    fn cut(&mut self) {
        if self.count > 0 && self.kept.len() >= self.count {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.count - 1, |a, b| b.lower.total_cmp(&a.lower));
            self.floor = self.floor.max(last.lower);
            let floor = self.floor;
            self.kept.retain(|interval| interval.upper >= floor);
        }
    }

    /// How many rows may be among the best now; afterwards the floor is what follows from all that was shown.
    pub(super) fn settled(&mut self) -> usize {
        self.cut();
        self.kept.len()
    }

    /// The rows that may be among the best, in no order.
    pub(super) fn into_kept(mut self) -> Vec<Interval> {
        self.cut();
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the intervals, no row is lost that some choice of similarities inside them puts among the best.
        #[test]
        fn nothing_that_may_be_among_the_best_is_lost(
            rows in prop::collection::vec((-20i8..20, 0u8..4, 0u8..5), 0..400), count in 0usize..60
        ) {
            let mut sieve = Sieve::new(count);
            let mut exact: Vec<(i32, u32)> = Vec::new();
            for (row, &(value, below, above)) in (0u32..).zip(&rows) {
                let value = i32::from(value);
                exact.push((-value, row));
                sieve.push(Interval {
                    lower: (value - i32::from(below)) as f32,
                    upper: (value + i32::from(above)) as f32,
                    row,
                });
            }
            exact.sort_unstable();
            let kept: Vec<u32> = sieve.into_kept().iter().map(|interval| interval.row).collect();
            if let Some(&(worst, _)) = exact.get(count.wrapping_sub(1)).or(exact.last()).filter(|_| count > 0) {
                for &(value, row) in exact.iter().filter(|&&(value, _)| value <= worst) {
                    prop_assert!(kept.contains(&row), "row {row} of {value} is lost");
                }
            }
        }
    }
}
