//! Measures descriptors by the database's results: the first-stage list and the re-ranked one.

use std::collections::{HashMap, HashSet};

use cairn::eval::{Truth, evaluate};
use cairn::limits::DEFAULT_VOTE_K;
use cairn::rerank::{gate, rerank};
use cairn::{Ballot, soft_vote};
use tch::{TchError, Tensor};

use super::nearest::{nearest, select};

/// Length of a list: mAP@100.
const DEPTH: usize = 100;
/// Most queries; of more images, that many evenly spread ones ask.
const MOST_QUERIES: usize = 1000;
/// Least sum of two scores that inserts (the paper's tau).
const TAU: f64 = 0.6;

/// Mean average precision at 100, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Of the nearest images.
    pub knn: f64,
    /// Of the list after the sort-step and the insert-step (k = 3, tau = 0.6).
    pub reranked: f64,
}

/// The same questions to descriptors as they were and to adapted ones.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// With the descriptors as they were.
    pub before: Quality,
    /// With the adapted ones.
    pub after: Quality,
}

/// Unit rows (n, d), f32 on the CPU, and the label of each.
#[derive(Clone, Copy)]
pub(crate) struct Labelled<'a> {
    pub(crate) rows: &'a Tensor,
    pub(crate) labels: &'a [u32],
}

/// Each of `items` (evenly spread ones, at most 1,000) asks for the others of its label; `voters` predict. Items of a label that no
/// other has are not counted. O(items (voters + queries) d).
pub(crate) fn judge_among(voters: Labelled, items: Labelled) -> Result<Quality, TchError> {
    let step = items.labels.len().div_ceil(MOST_QUERIES).max(1);
    let selves: Vec<usize> = (0..items.labels.len()).step_by(step).collect();
    let labels: Vec<u32> = selves.iter().map(|&item| items.labels[item]).collect();
    judge(voters, items, Labelled { rows: &select(items.rows, &selves)?, labels: &labels }, Some(&selves))
}

/// Each query asks for the items of its label; `selves` are the queries' own places among the items, where they have any.
pub(crate) fn judge(
    voters: Labelled,
    items: Labelled,
    queries: Labelled,
    selves: Option<&[usize]>,
) -> Result<Quality, TchError> {
    let lists = nearest(queries.rows, items.rows, DEPTH, selves)?;
    let vote = |rows: &Tensor| -> Result<Vec<Option<Ballot<u32>>>, TchError> {
        let label = |list: Vec<(u32, f32)>| {
            soft_vote(list.into_iter().map(|(at, similarity)| (voters.labels[at as usize], similarity)), DEFAULT_VOTE_K)
        };
        Ok(nearest(rows, voters.rows, DEFAULT_VOTE_K, None)?.into_iter().map(label).collect())
    };
    let (item_votes, query_votes) = (vote(items.rows)?, vote(queries.rows)?);
    let mut predicted: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
    for (item, ballot) in (0u32..).zip(&item_votes) {
        if let Some(ballot) = ballot {
            predicted.entry(ballot.label).or_default().push((item, ballot.score));
        }
    }
    predicted.values_mut().for_each(|list| list.sort_by(|a, b| b.1.total_cmp(&a.1)));
    let (mut plain, mut ranked, mut truth) = (HashMap::new(), HashMap::new(), Vec::new());
    let own = |query: usize| selves.and_then(|selves| selves.get(query)).copied();
    for (query, list) in lists.into_iter().enumerate() {
        let list: Vec<u32> = list.into_iter().map(|(item, _)| item).collect();
        let better = match &query_votes[query] {
            None => list.clone(),
            Some(ballot) => {
                let retrieved: HashSet<u32> = list.iter().copied().collect();
                let positive =
                    |item: &u32| item_votes[*item as usize].as_ref().is_some_and(|of| of.label == ballot.label);
                let candidates = predicted.get(&ballot.label).into_iter().flatten().filter(|(item, score)| {
                    let new = !retrieved.contains(item) && own(query) != Some(*item as usize);
                    new && gate(ballot.score, *score, TAU)
                });
                let candidates = candidates.map(|(item, _)| *item);
                let staged = rerank(list.clone(), positive, true, candidates, DEPTH);
                staged.into_iter().map(|(item, _)| item).collect()
            }
        };
        let name = query.to_string();
        plain.insert(name.clone(), list.iter().map(u32::to_string).collect());
        ranked.insert(name.clone(), better.iter().map(u32::to_string).collect());
        let same = |item: &usize| items.labels[*item] == queries.labels[query] && own(query) != Some(*item);
        let relevant = (0..items.labels.len()).filter(same).map(|item| item.to_string()).collect();
        truth.push(Truth { query: name, relevant });
    }
    let map = |lists: &HashMap<String, Vec<String>>| evaluate(&truth, lists, DEPTH).map;
    Ok(Quality { knn: map(&plain), reranked: map(&ranked) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::nearest::tensor;
    use super::*;

    #[test]
    fn both_lists_by_hand() {
        // Items 0, 2 of label 7 and 1 of label 8; the voters sit on the items, so that every prediction is right.
        let rows = tensor(&[1.0, 0.0, 0.8, 0.6, 0.0, 1.0], 2).unwrap();
        let items = Labelled { rows: &rows, labels: &[7, 8, 7] };
        let query = tensor(&[1.0, 0.0], 2).unwrap();
        let quality = judge(items, items, Labelled { rows: &query, labels: &[7] }, None).unwrap();
        // k = 3 lets all three vote: 7 has 1 + 0 against 0.8 for item 0 and the query; item 1: 0.8 + 0.6 against 1; item 2: 1.
        assert_eq!(quality, Quality { knn: (1.0 + 2.0 / 3.0) / 2.0, reranked: (1.0 + 2.0 / 3.0) / 2.0 });
        // Three voters on each item: predictions are right, and item 1 moves behind.
        let votes = tensor(&[[1.0, 0.0].repeat(3), [0.8, 0.6].repeat(3), [0.0, 1.0].repeat(3)].concat(), 2).unwrap();
        let voters = Labelled { rows: &votes, labels: &[7, 7, 7, 8, 8, 8, 7, 7, 7] };
        let quality = judge(voters, items, Labelled { rows: &query, labels: &[7] }, None).unwrap();
        assert_eq!(quality, Quality { knn: (1.0 + 2.0 / 3.0) / 2.0, reranked: 1.0 });
    }

    #[test]
    fn an_image_does_not_find_itself() {
        let rows = tensor(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.6, 0.8], 2).unwrap();
        let items = Labelled { rows: &rows, labels: &[1, 1, 2, 2, 3] };
        // Four queries with a partner, found first; the fifth has none and is not counted.
        assert_eq!(judge_among(items, items).unwrap(), Quality { knn: 1.0, reranked: 1.0 });
        // The partner is predicted to be something else; the query itself must not be inserted before it.
        let pair = tensor(&[1.0, 0.0, 0.8, 0.6], 2).unwrap();
        let votes = tensor(&[[1.0, 0.0].repeat(3), [0.8, 0.6].repeat(3)].concat(), 2).unwrap();
        let voters = Labelled { rows: &votes, labels: &[1, 1, 1, 2, 2, 2] };
        let pair = Labelled { rows: &pair, labels: &[1, 1] };
        assert_eq!(judge_among(voters, pair).unwrap(), Quality { knn: 1.0, reranked: 1.0 });
        let nobody = Labelled { rows: &rows.narrow(0, 0, 0), labels: &[] };
        assert_eq!(judge_among(nobody, items).unwrap(), Quality { knn: 1.0, reranked: 1.0 });
        assert_eq!(judge_among(items, nobody).unwrap(), Quality { knn: 0.0, reranked: 0.0 });
    }
}
