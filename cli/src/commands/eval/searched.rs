//! The lists that searches give for an evaluation: one query at a time, or all at once for methods that compare queries.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use cairn::limits::MAX_SEARCH_DEPTH;
use cairn::methods::Order;
use cairn::reports::Asked;
use cairn::{Query, Result, SearchRequest, Snapshot};

use super::judge::Judge;

/// Searches of one request, and the time that they took.
pub(super) struct Searches<'a> {
    snapshot: &'a Snapshot,
    request: SearchRequest,
    queries: Vec<Query>,
    /// The lists rank the whole collection.
    whole: bool,
    /// The lists of a request that needs all queries at once.
    lists: Option<Vec<Vec<String>>>,
    spent: Duration,
    count: u32,
}

impl<'a> Searches<'a> {
    /// Searches that have not begun, or those of a transductive method, which are done here. The first query is searched once: what is
    /// computed once for all queries is no part of a query's time.
    ///
    /// # Errors
    /// When a search fails.
    pub(super) fn begin(
        snapshot: &'a Snapshot,
        asked: &[Asked],
        judge: &Judge<'_>,
        request: SearchRequest,
    ) -> Result<Self> {
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let whole = matches!(judge, Judge::Revisited(_));
        let together = is_transductive(&request);
        let mut searches = Self { snapshot, request, queries, whole, lists: None, spent: Duration::ZERO, count: 0 };
        if together {
            searches.lists = Some(searches.run(0..asked.len())?);
        } else if let Some(first) = searches.queries.first() {
            snapshot.search_one(&searches.request, first)?;
        }
        Ok(searches)
    }

    /// Mean milliseconds of a query that was alone, or its share of the time of all queries of a transductive method.
    pub(super) fn milliseconds(&self) -> f64 {
        self.spent.as_secs_f64() * 1e3 / f64::from(self.count.max(1))
    }

    /// The list of a query as the known answers need it: of the request's depth, or of the whole collection.
    ///
    /// # Errors
    /// When a search fails.
    pub(super) fn list(&mut self, query: usize) -> Result<Vec<String>> {
        match &self.lists {
            Some(lists) => Ok(lists[query].clone()),
            None => Ok(self.run(query..query + 1)?.pop().unwrap_or_default()),
        }
    }

    /// The lists of some queries, searched in one call.
    fn run(&mut self, queries: Range<usize>) -> Result<Vec<Vec<String>>> {
        let begin = Instant::now();
        let answers = self.snapshot.search(&self.request, &self.queries[queries.clone()])?;
        self.spent += begin.elapsed();
        self.count += queries.len() as u32;
        let lists = answers.into_iter().map(|answer| answer.rows.into_iter().map(|row| row.id).collect()).collect();
        if self.whole { self.completed(queries, lists) } else { Ok(lists) }
    }

    /// The whole rankings of a request: what its second stage gave, if it has one, and then the rest as the first stage ranks it; last
    /// come images that only similarity ranks. An answer of a hundred images says nothing about the others, and the metrics of
    /// revisited Oxford and Paris look at all.
    fn completed(&self, queries: Range<usize>, mut lists: Vec<Vec<String>>) -> Result<Vec<Vec<String>>> {
        let all = self.snapshot.counts().index.clamp(1, MAX_SEARCH_DEPTH);
        if self.request.rerank.is_none() {
            lists.iter_mut().for_each(Vec::clear);
        }
        let first = self.request.clone().rerank(None).depth(all).limit(all);
        let by_similarity = SearchRequest::new().depth(all).limit(all);
        for request in [first, by_similarity] {
            if lists.iter().all(|list| list.len() >= all) {
                break;
            }
            for (list, answer) in lists.iter_mut().zip(self.snapshot.search(&request, &self.queries[queries.clone()])?)
            {
                let known: HashSet<String> = list.iter().cloned().collect();
                list.extend(answer.rows.into_iter().map(|row| row.id).filter(|id| !known.contains(id)));
            }
        }
        Ok(lists)
    }
}

/// Whether an answer depends on the other queries of its call.
pub(super) fn is_transductive(request: &SearchRequest) -> bool {
    match request.order {
        Some(Order::Diffusion(method)) => method.transductive,
        Some(Order::Reciprocal(method)) => method.transductive,
        _ => false,
    }
}
