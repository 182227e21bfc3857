//! The best train neighbours of an index image, and the floor down to which the list is complete.
//!
//! Invariant B: the list holds exactly the train images ranked at or above the floor; a list that was never full has no floor and
//! holds all of them. So an insertion below the floor can be ignored, and a deletion needs a refill only when too few are left.

use std::cmp::Ordering;
use std::sync::Arc;

/// A train image as a list ranks it: by similarity descending, then by external key ascending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Cosine by the canonical kernel.
    pub(crate) similarity: f32,
    /// External key of the train image.
    pub(crate) key: Arc<str>,
    /// Its id.
    pub(crate) id: u64,
}

/// Rank order: `Less` is the better one.
fn rank(a: (f32, &str), b: (f32, &str)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1))
}

/// The kept neighbours of one index image, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct List {
    /// Best first.
    pub(crate) entries: Vec<Candidate>,
    /// Similarity and key of the last entry of the list when it was last cut; `None`: never cut, everything is in it.
    pub(crate) floor: Option<(f32, Arc<str>)>,
}

impl List {
    /// The list of a fresh exact scan: `best` is the head of the ranking of `train_images` images.
    pub(crate) fn from_scan(best: Vec<Candidate>, train_images: usize) -> Self {
        let floor = match best.last() {
            Some(last) if best.len() < train_images => Some((last.similarity, Arc::clone(&last.key))),
            _ => None,
        };
        Self { entries: best, floor }
    }

    /// Similarity below which an insertion cannot change the list.
    pub(crate) fn floor_similarity(&self) -> f32 {
        self.floor.as_ref().map_or(f32::NEG_INFINITY, |floor| floor.0)
    }

    /// A new train image; `true`: entries or floor changed. A list longer than `keep` is cut, and its floor rises to its new last
    /// entry.
    pub(crate) fn insert(&mut self, candidate: Candidate, keep: usize) -> bool {
        let place = (candidate.similarity, &*candidate.key);
        if let Some((similarity, key)) = &self.floor
            && rank(place, (*similarity, key)) == Ordering::Greater
        {
            return false;
        }
        let at = self.entries.partition_point(|entry| rank((entry.similarity, &entry.key), place) == Ordering::Less);
        self.entries.insert(at, candidate);
        if self.entries.len() > keep {
            self.entries.truncate(keep);
            self.floor = self.entries.last().map(|last| (last.similarity, Arc::clone(&last.key)));
        }
        true
    }

    /// A train image is gone; `true`: it was in the list. The floor stays.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != id);
        self.entries.len() < before
    }

    /// Forgets the floor of a list that holds all `train_images` there are.
    ///
    /// Deletions can leave so few train images that a list below `vote_k` entries is complete. Its old floor would then make it
    /// ignore the next train image that ranks below it, although the vote has room for it.
    pub(crate) fn settle(&mut self, train_images: usize) {
        if self.entries.len() == train_images {
            self.floor = None;
        }
    }

    /// Whether the first `wanted` neighbours among `train_images` can be read from the list.
    pub(crate) fn knows(&self, wanted: usize, train_images: usize) -> bool {
        self.floor.is_none() || self.entries.len() >= wanted.min(train_images)
    }

    /// Whether its entries are the first of a ranking, to the bit, and at most `keep`.
    pub(crate) fn is_head_of(&self, ranking: &[Candidate], keep: usize) -> bool {
        let same = |(entry, ranked): (&Candidate, &Candidate)| {
            (entry.id, entry.similarity.to_bits()) == (ranked.id, ranked.similarity.to_bits())
        };
        self.entries.len() <= keep.min(ranking.len()) && self.entries.iter().zip(ranking).all(same)
    }

    /// Whether the floor is where invariant B wants it, for a list that is the head of a ranking: at or below its last entry and above
    /// the next one of the ranking, which is longer than the list where there is a next one. A higher floor would pass over later
    /// train images that belong into the list. A list too short for `wanted` votes must have none.
    pub(crate) fn has_floor_below(&self, ranking: &[Candidate], wanted: usize) -> bool {
        let next = ranking.get(self.entries.len());
        let Some((similarity, key)) = &self.floor else { return next.is_none() };
        let is_above =
            |entry: &Candidate| rank((entry.similarity, &entry.key), (*similarity, key)) != Ordering::Greater;
        let parts = self.entries.last().is_none_or(is_above) && !next.is_some_and(is_above);
        parts && self.entries.len() >= wanted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(id: u64, level: u8) -> Candidate {
        // Few levels, so that ties are common; keys do not follow ids.
        Candidate { similarity: f32::from(level) / 8.0, key: format!("{:03}", (id * 37) % 101).into(), id }
    }

    proptest! {
        /// Random insertions and removals against the ranking of all: whatever the list claims to know is right.
        #[test]
        fn the_list_is_the_head_of_the_ranking(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u8..6), 1..120), keep in 1usize..6
        ) {
            let mut list = List::default();
            let mut all: Vec<Candidate> = Vec::new();
            for (insert, id, level) in steps {
                let present = all.iter().position(|entry| entry.id == id);
                match (insert, present) {
                    (true, None) => {
                        all.push(candidate(id, level));
                        list.insert(candidate(id, level), keep);
                    }
                    (false, Some(at)) => {
                        all.remove(at);
                        list.remove(id);
                        list.settle(all.len());
                    }
                    _ => {}
                }
                // With no refill a list may only be short while it has a floor: nothing it could have kept is lost.
                prop_assert!(list.floor.is_some() || list.entries.len() == all.len());
                all.sort_by(|a, b| rank((a.similarity, &a.key), (b.similarity, &b.key)));
                prop_assert!(list.entries.len() <= keep);
                prop_assert_eq!(&list.entries[..], &all[..list.entries.len()]);
                match &list.floor {
                    None => prop_assert_eq!(list.entries.len(), all.len()),
                    Some((similarity, key)) => {
                        let above = all.iter().filter(|e| rank((e.similarity, &e.key), (*similarity, key)) != Ordering::Greater);
                        prop_assert_eq!(above.count(), list.entries.len());
                    }
                }
            }
        }
    }
}
