//! The lists that searches give for an evaluation, one query at a time.

use std::time::{Duration, Instant};

use cairn::limits::MAX_SEARCH_DEPTH;
use cairn::reports::Asked;
use cairn::{Answer, SearchRequest, Snapshot};

use super::judge::Judge;
use crate::failure::Result;

/// Searches of one request, and the time that they took.
pub(super) struct Searches<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) asked: &'a [Asked],
    pub(super) request: SearchRequest,
    spent: Duration,
    count: u32,
}

impl<'a> Searches<'a> {
    /// Searches that have not begun. The first query is searched once: what is computed once for all queries is no part of a
    /// query's time.
    ///
    /// # Errors
    /// When the search fails.
    pub(super) fn begin(snapshot: &'a Snapshot, asked: &'a [Asked], request: SearchRequest) -> Result<Self> {
        if let Some(first) = asked.first() {
            snapshot.search_one(&request, &first.query)?;
        }
        Ok(Self { snapshot, asked, request, spent: Duration::ZERO, count: 0 })
    }

    /// Mean milliseconds of a query that was alone.
    pub(super) fn milliseconds(&self) -> f64 {
        self.spent.as_secs_f64() * 1e3 / f64::from(self.count.max(1))
    }

    /// The list of a query as the known answers need it: of the request's depth, or of the whole collection.
    ///
    /// # Errors
    /// When a search fails.
    pub(super) fn list(&mut self, judge: &Judge<'_>, query: usize) -> Result<Vec<String>> {
        let begin = Instant::now();
        let answer = self.snapshot.search_one(&self.request, &self.asked[query].query)?;
        self.spent += begin.elapsed();
        self.count += 1;
        match judge {
            Judge::Landmarks(..) => Ok(ids(answer)),
            Judge::Revisited(_) => self.whole(query, answer),
        }
    }

    /// The whole ranking of a request: what its second stage gave, if it has one, and then the rest as the first stage ranks it; last
    /// come images that only similarity ranks. An answer of a hundred images says nothing about the others, and the metrics of
    /// revisited Oxford and Paris look at all.
    fn whole(&self, query: usize, answer: Answer) -> Result<Vec<String>> {
        let all = self.snapshot.counts().index.clamp(1, MAX_SEARCH_DEPTH);
        let query = &self.asked[query].query;
        let mut first = self.request.clone().rerank(None).depth(all).limit(all);
        let mut list = if self.request.rerank.is_some() { ids(answer) } else { Vec::new() };
        add(&mut list, ids(self.snapshot.search_one(&first, query)?));
        if list.len() < all && (first.order.is_some() || first.expand.is_some()) {
            (first.order, first.expand) = (None, None);
            add(&mut list, ids(self.snapshot.search_one(&first, query)?));
        }
        Ok(list)
    }
}

/// Adds those that are not in the list.
fn add(list: &mut Vec<String>, more: Vec<String>) {
    let known: std::collections::HashSet<String> = list.iter().cloned().collect();
    list.extend(more.into_iter().filter(|id| !known.contains(id)));
}

fn ids(answer: Answer) -> Vec<String> {
    answer.rows.into_iter().map(|row| row.id).collect()
}
