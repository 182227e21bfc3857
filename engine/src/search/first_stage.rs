//! The first stage: candidates by similarity, and the query's own vote.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairndb_query::Scope;

use super::filter::Filter;
use super::verification::Inliers;
use crate::answer::SearchRequest;
use crate::error::Result;
use crate::id::{ImageId, LabelId};
use crate::operation::Role;
use crate::ports::CountInliers;
use crate::process::pool;
use crate::progress::Interrupt;
use crate::rows::{MOST_SKETCHED_ROWS, RowSet};
use crate::state::{AugmentedTrain, Published, Revote};
use crate::vector::Hit;
use crate::vote::Ballot;

/// From this many train images on, a search with EF votes approximately too, through their sketches: an exact scan of fewer takes no
/// longer.
const SKETCH_VOTE_FROM_ROWS: usize = 1_024;
/// From this many components on the signs of a rotation tell what their theory says; fewer are scored fast.
const SKETCH_VOTE_FROM_DIMENSION: usize = 32;
/// Least breadth of a vote through the graph: a vote hangs on three rows, so missing one weighs more than in a list of a hundred.
const VOTE_EF: usize = 256;
/// From this many train images on, the vote of a query that is alone is looked for on another processor: handing over the search of
/// fewer takes longer than it.
const VOTE_ASIDE_FROM_ROWS: usize = 32_768;
/// A row of either role and what the first stage orders it by: its similarity to what was searched for, unless a method has a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) role: Role,
    pub(super) row: usize,
    pub(super) score: f32,
}

/// A query made ready.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) vector: Vec<f32>,
    /// The stored image that must not answer or vote for itself.
    pub(super) without: Option<ImageId>,
}

/// What the second stage begins with.
pub(super) struct FirstStage {
    pub(super) retrieved: Vec<Found>,
    /// Inliers with the query, of the images that were verified.
    pub(super) inliers: Inliers,
    /// The query's own; none where nothing is re-ranked or nobody votes.
    pub(super) vote: Option<Ballot<LabelId>>,
}

/// What a search needs from the snapshot, fetched once for all its queries.
pub(super) struct Context<'a> {
    pub(super) state: &'a Arc<Published>,
    pub(super) request: &'a SearchRequest,
    pub(super) filter: Filter<'a>,
    pub(super) lag: u64,
    pub(super) interrupt: &'a Interrupt<'a>,
    /// Votes that are not the stored predictions.
    pub(super) revote: Option<Arc<Revote>>,
    /// The train images that vote by other descriptors than their own.
    pub(super) augmented: Option<Arc<AugmentedTrain>>,
}

/// Searches that are being answered in this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of them.
pub(super) struct Running;

impl Running {
    pub(super) fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Whether there are two processors for each of them.
    pub(super) fn leave_processors() -> bool {
        2 * RUNNING.load(Ordering::Relaxed) <= pool::threads()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Published {
    /// The train images that vote for a query.
    pub(super) fn voters(&self, query: &Ready, k: usize, interrupt: &Interrupt<'_>) -> Result<Vec<Hit>> {
        let queries = std::slice::from_ref(query);
        Ok(exact_voters(&self.train, queries, k, interrupt)?.pop().unwrap_or_default())
    }

    /// Those that are found through sketches or the graph.
    pub(super) fn near_voters(
        &self,
        query: &Ready,
        k: usize,
        ef: usize,
        interrupt: &Interrupt<'_>,
    ) -> Result<Vec<Hit>> {
        interrupt.look()?;
        let train = &self.train;
        let itself = itself(train, query);
        let admit = |row| Some(row) != itself;
        let by_sketch = train.len() < MOST_SKETCHED_ROWS;
        let sketched = if by_sketch { train.near_by_sketch(&query.vector, k, admit)? } else { None };
        let hits = match sketched {
            Some(hits) => hits,
            None => train.near(&query.vector, k, breadth(ef.max(VOTE_EF), k), admit)?,
        };
        if hits.len() >= k.min(others(train, query)) { Ok(hits) } else { self.voters(query, k, interrupt) }
    }

    pub(super) fn ballot_of(&self, hits: &[Hit], k: usize) -> Option<Ballot<LabelId>> {
        self.ballot_among(&self.train, hits, k)
    }

    /// The vote of these rows of a set of train images.
    fn ballot_among(&self, train: &RowSet, hits: &[Hit], k: usize) -> Option<Ballot<LabelId>> {
        self.ballot(hits.iter().map(|hit| (train.id(hit.row as usize), hit.similarity)), k)
    }
}

/// The train images of a set that vote for each query, by exact search.
fn exact_voters(train: &RowSet, queries: &[Ready], k: usize, interrupt: &Interrupt<'_>) -> Result<Vec<Vec<Hit>>> {
    let itself: Vec<Option<usize>> = queries.iter().map(|query| itself(train, query)).collect();
    let admit = |query: usize, row| Some(row) != itself[query];
    match queries {
        [query] => Ok(vec![train.best(&query.vector, k, |row| admit(0, row), interrupt)?]),
        _ => train.best_of_many(&joined(queries), k, admit, interrupt),
    }
}

/// Breadth of a graph search that must give `count` rows besides the query itself.
pub(super) fn breadth(ef: usize, count: usize) -> usize {
    ef.max(count).saturating_add(1)
}

/// The row that this query leaves out.
pub(super) fn itself(set: &RowSet, query: &Ready) -> Option<usize> {
    query.without.and_then(|id| set.row_of(id))
}

/// Live rows that may answer this query.
pub(super) fn others(set: &RowSet, query: &Ready) -> usize {
    set.live_rows() - usize::from(itself(set, query).is_some_and(|row| set.live[row]))
}

/// The descriptors of queries, row-major.
pub(super) fn joined(queries: &[Ready]) -> Vec<f32> {
    queries.iter().flat_map(|query| &query.vector).copied().collect()
}

/// Searches for each query, on all processors when there are several.
pub(super) fn each<T: Send>(
    queries: &[Ready],
    one: impl Fn((usize, &Ready)) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    match queries {
        [query] => Ok(vec![one((0, query))?]),
        _ => pool::try_each(queries.len(), |at| one((at, &queries[at]))),
    }
}

impl Context<'_> {
    pub(super) fn roles(&self) -> &'static [Role] {
        match self.request.scope {
            Scope::Index => &[Role::Index],
            Scope::Train => &[Role::Train],
            Scope::All => &[Role::Index, Role::Train],
        }
    }

    /// The prediction of a row for the k of this search.
    pub(super) fn instance(&self, role: Role, row: usize) -> Option<Ballot<LabelId>> {
        match (role, &self.revote) {
            (Role::Index, Some(revote)) => revote.ballots[row],
            _ => self.state.rows(role).instances[row],
        }
    }

    /// The first-stage list of each query, best first: by the methods of the request.
    pub(super) fn retrieve(&self, queries: &[Ready]) -> Result<Vec<Vec<Found>>> {
        let expanded = match self.request.expand {
            Some(expand) => Some(self.expanded(queries, expand)?),
            None => None,
        };
        let searched = expanded.as_deref().unwrap_or(queries);
        match (self.request.order, self.request.augment) {
            (Some(order), _) => self.ordered(searched, queries, order),
            (None, Some(by)) => self.nearest_augmented(searched, self.request.depth, true, by),
            (None, None) => self.nearest(searched, self.request.depth, true),
        }
    }

    /// The nearest images of each query in the scope, best first; `filtered`: of those that meet the conditions.
    pub(super) fn nearest(&self, queries: &[Ready], depth: usize, filtered: bool) -> Result<Vec<Vec<Found>>> {
        let mut lists: Vec<Vec<Found>> = queries.iter().map(|_| Vec::new()).collect();
        for &role in self.roles() {
            for (list, hits) in lists.iter_mut().zip(self.nearest_in(role, queries, depth, filtered)?) {
                list.extend(hits.iter().map(|hit| Found { role, row: hit.row as usize, score: hit.similarity }));
            }
        }
        if self.roles().len() > 1 {
            for list in &mut lists {
                list.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| self.key(a).cmp(self.key(b))));
                list.truncate(depth);
            }
        }
        Ok(lists)
    }

    /// Which rows meet the conditions; `None`: all. Decided once a row, not once a query: a path condition reads the catalog.
    pub(super) fn admitted(&self, role: Role, filtered: bool) -> Result<Option<Vec<bool>>> {
        if !filtered || self.filter.is_open() {
            return Ok(None);
        }
        let set = self.state.rows(role);
        let admit = |row| {
            self.interrupt.look_at(row)?;
            Ok(set.live[row] && self.filter.admits(role, row, self.instance(role, row))?)
        };
        (0..set.len()).map(admit).collect::<Result<_>>().map(Some)
    }

    fn nearest_in(&self, role: Role, queries: &[Ready], depth: usize, filtered: bool) -> Result<Vec<Vec<Hit>>> {
        let set = self.state.rows(role);
        let admitted = self.admitted(role, filtered)?;
        let itself: Vec<Option<usize>> = queries.iter().map(|query| itself(set, query)).collect();
        let admit = |query: usize, row: usize| {
            Some(row) != itself[query] && admitted.as_ref().is_none_or(|admitted| admitted[row])
        };
        if let (Some(ef), None) = (self.request.ef, &admitted) {
            let one = |(at, query): (usize, &Ready)| {
                self.interrupt.look()?;
                let hits = set.near(&query.vector, depth, breadth(ef, depth), |row| admit(at, row))?;
                // The graphs may reach too few rows; what was asked for is min(K, rows).
                let enough = depth.min(others(set, query));
                if hits.len() >= enough {
                    Ok(hits)
                } else {
                    set.best(&query.vector, depth, |row| admit(at, row), self.interrupt)
                }
            };
            return each(queries, one);
        }
        match queries {
            [query] => Ok(vec![set.best(&query.vector, depth, |row| admit(0, row), self.interrupt)?]),
            _ => set.best_of_many(&joined(queries), depth, admit, self.interrupt),
        }
    }

    /// The first-stage list of each query and its vote.
    ///
    /// `first` is the number of the first of these queries in the call; the caller counts inliers where the request verifies.
    pub(super) fn first_stage(
        &self,
        queries: &[Ready],
        first: usize,
        inliers: Option<&dyn CountInliers>,
    ) -> Result<Vec<FirstStage>> {
        let mut stages = self.by_similarity(queries)?;
        if let (Some(images), Some(inliers)) = (self.request.verify, inliers) {
            self.verify(&mut stages, first, images, inliers)?;
        }
        Ok(stages)
    }

    /// The lists as similarities and methods order them, and the votes.
    fn by_similarity(&self, queries: &[Ready]) -> Result<Vec<FirstStage>> {
        let Some(asked) = &self.request.rerank else {
            let unranked = |retrieved| FirstStage { retrieved, inliers: Inliers::new(), vote: None };
            return Ok(self.retrieve(queries)?.into_iter().map(unranked).collect());
        };
        let k = asked.k;
        let staged = |(retrieved, vote)| FirstStage { retrieved, inliers: Inliers::new(), vote };
        if let Some(augmented) = &self.augmented {
            // Only their rows are searched: neither sketches nor graphs have these descriptors.
            let voters = exact_voters(&augmented.rows, queries, k, self.interrupt)?;
            let votes = voters.iter().map(|voters| self.state.ballot_among(&augmented.rows, voters, k));
            return Ok(self.retrieve(queries)?.into_iter().zip(votes).map(staged).collect());
        }
        let aside = match (self.voting_breadth(), queries) {
            (Some(ef), [query])
                if self.state.train.len() >= VOTE_ASIDE_FROM_ROWS && Running::leave_processors() && pool::is_free() =>
            {
                Some((ef, query))
            }
            _ => None,
        };
        let (retrieved, voters) = match aside {
            Some((ef, query)) => {
                let votes = || self.state.near_voters(query, k, ef, self.interrupt);
                let (retrieved, voters) = pool::join(|| self.retrieve(queries), votes);
                (retrieved?, vec![voters?])
            }
            None => (self.retrieve(queries)?, self.voters(queries, k)?),
        };
        let votes = voters.iter().map(|voters| self.state.ballot_of(voters, k));
        Ok(retrieved.into_iter().zip(votes).map(staged).collect())
    }

    /// EF, when votes need not be exact.
    pub(super) fn voting_breadth(&self) -> Option<usize> {
        let train = &self.state.train;
        let many = train.live_rows() >= SKETCH_VOTE_FROM_ROWS && train.dimension() >= SKETCH_VOTE_FROM_DIMENSION;
        self.request.ef.filter(|_| many)
    }

    /// The train images that vote for each query: with EF as [`Published::near_voters`] finds them, otherwise exact.
    pub(super) fn voters(&self, queries: &[Ready], k: usize) -> Result<Vec<Vec<Hit>>> {
        let train = &self.state.train;
        match self.voting_breadth() {
            Some(ef) => {
                if queries.len() > 1 && train.len() < MOST_SKETCHED_ROWS {
                    train.make_sketches();
                }
                each(queries, |(_, query)| self.state.near_voters(query, k, ef, self.interrupt))
            }
            None => exact_voters(train, queries, k, self.interrupt),
        }
    }

    pub(super) fn key(&self, found: &Found) -> &str {
        self.state.rows(found.role).key(found.row)
    }
}
