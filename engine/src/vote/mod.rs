//! The soft vote of eq. 3 and the neighbour lists that it reads: pure, no files, no locks.

mod list;
pub mod recognition;

pub(crate) use list::{Candidate, List};

/// A vote's outcome before its label is spelt out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ballot<L> {
    /// The label with the largest tally.
    pub label: L,
    /// Its tally divided by k.
    pub score: f32,
}

/// The soft vote (Yokoo et al. 2020, eq. 3).
///
/// `neighbours` come in rank order: descending similarity. Of the first `k`, each adds its cosine as it is (negative ones too) to
/// the tally of its label; the largest tally wins, ties go to the label met first; the score is that tally divided by `k`, also
/// when fewer than `k` neighbours exist. Tallies are accumulated in f64 in rank order and rounded to f32 once.
///
/// `None` without any neighbour. Cost: `O(k^2)` comparisons of labels in the worst case; k is small.
pub fn soft_vote<L: Copy + PartialEq>(neighbours: impl IntoIterator<Item = (L, f32)>, k: usize) -> Option<Ballot<L>> {
    let mut tallies: Vec<(L, f64)> = Vec::with_capacity(k.min(16));
    for (label, similarity) in neighbours.into_iter().take(k) {
        match tallies.iter_mut().find(|(met, _)| *met == label) {
            Some((_, tally)) => *tally += f64::from(similarity),
            None => tallies.push((label, f64::from(similarity))),
        }
    }
    let mut tallies = tallies.into_iter();
    let first = tallies.next()?;
    let (label, tally) = tallies.fold(first, |best, next| if next.1 > best.1 { next } else { best });
    Some(Ballot { label, score: (tally / k as f64) as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_goes_to_the_label_met_first() {
        let ballot = soft_vote([(5, 0.5), (6, 0.5), (7, 0.25)], 3).unwrap();
        assert_eq!((ballot.label, ballot.score), (5, (0.5 / 3.0) as f32));
    }

    #[test]
    fn two_weak_votes_beat_a_strong_one() {
        let ballot = soft_vote([(5, 0.5), (6, 0.375), (6, 0.25)], 3).unwrap();
        assert_eq!((ballot.label, ballot.score), (6, (0.625 / 3.0) as f32));
    }

    #[test]
    fn negative_cosines_count_as_they_are() {
        assert_eq!(soft_vote([(1, -0.5), (2, -0.25)], 2).unwrap().label, 2);
    }

    #[test]
    fn the_divisor_is_k_however_few_vote() {
        assert_eq!(soft_vote([(1, 0.5)], 5).unwrap().score, 0.1);
        assert_eq!(soft_vote(std::iter::empty::<(u8, f32)>(), 3), None);
    }
}
