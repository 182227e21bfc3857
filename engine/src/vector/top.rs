//! The best `count` hits under a total order: similarity descending, then external key ascending in byte order.

use std::cmp::Ordering;

/// A row and its similarity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    /// Cosine.
    pub(crate) similarity: f32,
    /// Row number; what it is a row of is the caller's business.
    pub(crate) row: u32,
}

/// Keeps the best `count` of the hits it is shown.
///
/// Hits are buffered and the buffer is cut by selection when it is twice as long as needed: `O(1)` amortised a hit, and most
/// hits fall to one comparison with the worst that is kept. Ties are resolved by key wherever they matter, so the result does not
/// depend on the order of the hits.
pub(crate) struct Top<F> {
    count: usize,
    key_of: F,
    hits: Vec<Hit>,
    /// No hit below this similarity can be among the best.
    floor: f32,
}

impl<'a, F: Fn(u32) -> &'a str> Top<F> {
    /// Room for `count` hits; `key_of` gives the external key of a row.
    pub(crate) fn new(count: usize, key_of: F) -> Self {
        Self { count, key_of, hits: Vec::new(), floor: f32::NEG_INFINITY }
    }

    /// Whether a hit of that similarity could be among the best.
    pub(crate) fn wants(&self, similarity: f32) -> bool {
        self.count > 0 && similarity >= self.floor
    }

    /// Shows it a hit.
    pub(crate) fn push(&mut self, hit: Hit) {
        if !self.wants(hit.similarity) {
            return;
        }
        self.hits.push(hit);
        if self.hits.len() >= self.count.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    fn order(&self, a: &Hit, b: &Hit) -> Ordering {
        b.similarity.total_cmp(&a.similarity).then_with(|| (self.key_of)(a.row).cmp((self.key_of)(b.row)))
    }

    fn cut(&mut self) {
        if self.hits.len() > self.count {
            let mut hits = std::mem::take(&mut self.hits);
            let (_, worst, _) = hits.select_nth_unstable_by(self.count - 1, |a, b| self.order(a, b));
            self.floor = worst.similarity;
            hits.truncate(self.count);
            self.hits = hits;
        }
    }

    /// The best, in order.
    pub(crate) fn into_sorted(mut self) -> Vec<Hit> {
        self.cut();
        let mut hits = std::mem::take(&mut self.hits);
        hits.sort_unstable_by(|a, b| self.order(a, b));
        hits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_equals_a_full_sort(similarities in prop::collection::vec(-4i8..4, 0..400), count in 0usize..90) {
            let keys: Vec<String> = (0..similarities.len()).map(|row| format!("{:03}", (row * 7919) % 1000)).collect();
            let mut expected: Vec<(f32, &str)> =
                similarities.iter().zip(&keys).map(|(&s, key)| (f32::from(s), key.as_str())).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            expected.truncate(count);
            let mut top = Top::new(count, |row| keys[row as usize].as_str());
            for (row, &similarity) in similarities.iter().enumerate() {
                top.push(Hit { similarity: f32::from(similarity), row: row as u32 });
            }
            let got: Vec<(f32, &str)> =
                top.into_sorted().iter().map(|hit| (hit.similarity, keys[hit.row as usize].as_str())).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
