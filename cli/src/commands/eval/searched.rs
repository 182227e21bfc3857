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
        (first, second): (SearchRequest, Vec<Option<Rerank>>),
    ) -> Result<Self> {
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let whole = matches!(judge, Judge::Revisited(_));
        let (together, spent) = (is_transductive(&first), vec![Duration::ZERO; second.len()]);
        let mut searches = Self { snapshot, first, second, queries, whole, lists: None, spent, count: 0 };
        if together {
            searches.lists = Some(searches.run(0..asked.len())?);
        } else if let Some(query) = searches.queries.first() {
            for rerank in &searches.second {
                snapshot.search_one(&searches.first.clone().rerank(*rerank), query)?;
            }
        }
        Ok(searches)
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

/// Whether an answer depends on the other queries of its call.
pub(super) fn is_transductive(request: &SearchRequest) -> bool {
    match request.order {
        Some(Order::Diffusion(method)) => method.transductive,
        Some(Order::Reciprocal(method)) => method.transductive,
        _ => false,
    }
}
