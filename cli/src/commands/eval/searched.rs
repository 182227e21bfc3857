//! The lists that searches give for an evaluation: one query after the other, or all at once for methods that compare queries.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use cairn::limits::MAX_SEARCH_DEPTH;
use cairn::methods::Order;
use cairn::reports::Asked;
use cairn::{Answer, Query, Rerank, Result, SearchRequest, Snapshot};

use super::judge::Judge;

/// Lists of keys, best first: one for each second stage.
pub(super) type Lists = Vec<Vec<String>>;

/// Searches of one first stage with some second stages, and the time that they took.
pub(super) struct Searches<'a> {
    snapshot: &'a Snapshot,
    first: SearchRequest,
    second: Vec<Option<Rerank>>,
    queries: Vec<Query>,
    /// The lists rank the whole collection.
    whole: bool,
    /// The lists of each query, of a first stage that needs all queries at once.
    lists: Option<Vec<Lists>>,
    /// By second stage.
    spent: Vec<Duration>,
    count: u32,
    /// Time and number of the searches before those.
    before: (Duration, u32),
}

impl<'a> Searches<'a> {
    /// Searches that have not begun, or those of a transductive method, which are done here. What is computed once for an index is computed
    /// here too, and is no part of a query's time.
    ///
    /// # Errors
    /// When a search fails.
    pub(super) fn begin(
        snapshot: &'a Snapshot,
        asked: &[Asked],
        judge: &Judge<'_>,
        (first, second): (SearchRequest, Vec<Option<Rerank>>),
    ) -> Result<Self> {
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let whole = matches!(judge, Judge::Revisited(_));
        let (together, spent) = (is_transductive(&first), vec![Duration::ZERO; second.len()]);
        let before = (Duration::ZERO, 0);
        let mut searches = Self { snapshot, first, second, queries, whole, lists: None, spent, count: 0, before };
        if together {
            searches.lists = Some(searches.run(0..asked.len())?);
        } else {
            searches.compute_once()?;
        }
        Ok(searches)
    }

    /// Searches for the first query; for all, if the method keeps what it computes of the images near each.
    fn compute_once(&mut self) -> Result<()> {
        let keeps = keeps_rows(&self.first);
        let count = if keeps { self.queries.len() } else { 1 };
        let (request, begin) = (self.first.clone().rerank(None), Instant::now());
        let first: Vec<&Query> = self.queries.iter().take(count).collect();
        for query in &first {
            self.snapshot.search_one(&request, query)?;
        }
        if keeps || request.augment.is_some() {
            self.before = (begin.elapsed(), first.len() as u32);
        }
        // The predictions of another k are computed once, too.
        for rerank in self.second.iter().flatten() {
            if let Some(query) = self.queries.first() {
                self.snapshot.search_one(&self.first.clone().rerank(*rerank), query)?;
            }
        }
        Ok(())
    }

    /// Seconds of what was computed once: what the searches before took beyond as many timed ones of the first second stage, which must
    /// be none. 0 of a method that keeps nothing.
    pub(super) fn seconds_once(&self) -> f64 {
        let (spent, count) = self.before;
        (spent.as_secs_f64() - f64::from(count) * self.milliseconds(0) / 1e3).max(0.0)
    }

    /// Mean milliseconds of a query that was alone, with the second stage of this number; of a transductive method its share of the time
    /// of all queries.
    pub(super) fn milliseconds(&self, second: usize) -> f64 {
        self.spent[second].as_secs_f64() * 1e3 / f64::from(self.count.max(1))
    }

    /// The lists of a query as the known answers need them: of the request's depth, or of the whole collection.
    ///
    /// # Errors
    /// When a search fails.
    pub(super) fn lists(&mut self, query: usize) -> Result<Lists> {
        match &self.lists {
            Some(lists) => Ok(lists[query].clone()),
            None => Ok(self.run(query..query + 1)?.pop().unwrap_or_default()),
        }
    }

    /// The lists of some queries, searched in one call.
    fn run(&mut self, queries: Range<usize>) -> Result<Vec<Lists>> {
        let mut lists: Vec<Lists> = vec![Vec::new(); queries.len()];
        for (rerank, spent) in self.second.iter().zip(&mut self.spent) {
            let request = self.first.clone().rerank(*rerank);
            let begin = Instant::now();
            let answers = self.snapshot.search(&request, &self.queries[queries.clone()])?;
            *spent += begin.elapsed();
            lists.iter_mut().zip(answers).for_each(|(lists, answer)| lists.push(keys(answer).collect()));
        }
        self.count += queries.len() as u32;
        if self.whole {
            self.complete(queries, &mut lists)?;
        }
        Ok(lists)
    }

    /// Makes whole rankings of lists: what the second stage gave, if there is one, and then the rest as the first stage ranks it; last
    /// come images that only similarity ranks. An answer of a hundred images says nothing about the others, and the metrics of
    /// revisited Oxford and Paris look at all.
    fn complete(&self, queries: Range<usize>, lists: &mut [Lists]) -> Result<()> {
        let all = self.snapshot.counts().index.clamp(1, MAX_SEARCH_DEPTH);
        let mut rankings = vec![Vec::new(); lists.len()];
        for first in [self.first.clone(), SearchRequest::new()] {
            if rankings.iter().all(|ranking| ranking.len() >= all) {
                break;
            }
            let request = first.rerank(None).depth(all).limit(all);
            let answers = self.snapshot.search(&request, &self.queries[queries.clone()])?;
            rankings.iter_mut().zip(answers).for_each(|(ranking, answer)| add(ranking, keys(answer)));
        }
        for (lists, ranking) in lists.iter_mut().zip(rankings) {
            for (list, rerank) in lists.iter_mut().zip(&self.second) {
                if rerank.is_none() {
                    list.clear();
                }
                add(list, ranking.iter().cloned());
            }
        }
        Ok(())
    }
}

fn keys(answer: Answer) -> impl Iterator<Item = String> {
    answer.rows.into_iter().map(|row| row.id)
}

/// Adds those that are not in the list.
fn add(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    let known: HashSet<String> = list.iter().cloned().collect();
    list.extend(more.filter(|key| !known.contains(key)));
}

/// Whether a method keeps what it computes of an index image, for all later queries.
fn keeps_rows(request: &SearchRequest) -> bool {
    matches!(request.order, Some(Order::Diffusion(_) | Order::Reciprocal(_) | Order::Fusion(_)))
}

/// Whether an answer depends on the other queries of its call.
pub(super) fn is_transductive(request: &SearchRequest) -> bool {
    match request.order {
        Some(Order::Diffusion(method)) => method.transductive,
        Some(Order::Reciprocal(method)) => method.transductive,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use cairn::methods::{Diffusion, Expand};
    use cairn::{Database, Operation, Options, Put};

    use super::*;
    use crate::solution::Solution;

    /// It catches: a first row that pays for what later rows share; seconds of a method that keeps nothing.
    #[test]
    fn what_is_computed_once_is_computed_before_the_timed_searches() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = |n: u8| Operation::from(Put::new(format!("{n}"), [1.0, f32::from(n)]));
        database.write((0..20).map(put).collect::<Vec<_>>()).unwrap();
        let snapshot = database.snapshot();
        let asked = |n: u8| Asked::new(format!("q{n}"), usize::from(n), Query::new(vec![1.0, f32::from(n) + 0.5]));
        let (asked, solution): (Vec<Asked>, _) = ((0..5).map(asked).collect(), Solution::default());
        let judge = Judge::Landmarks(&solution, 10);
        let begun = |request: SearchRequest| {
            let searches =
                Searches::begin(&snapshot, &asked, &judge, (request, vec![None, Some(Rerank::new())])).unwrap();
            (searches.before.1, searches.count, searches.seconds_once() > 0.0)
        };
        let new = SearchRequest::new;
        assert_eq!(begun(new()), (0, 0, false));
        assert_eq!(begun(new().order(Diffusion::new())), (5, 0, true));
        assert_eq!(begun(new().augment(Expand::alpha())), (1, 0, true));
        assert_eq!(begun(new().order(Diffusion::new().transductive())), (0, 5, false));
    }
}
