//! `cairn eval --table` and `--grid`: every method on one collection, as the tables 2 to 4 of the paper compare them.

use std::io::Write;
use std::time::Instant;

use cairn::eval::{Metrics, evaluate};
use cairn::methods::{Diffusion, Expand, Exploration, Fusion, Reciprocal, SuperGlobal};
use cairn::reports::Asked;
use cairn::{Answer, Rerank, SearchRequest, Snapshot};

use crate::comparison::ranked;
use crate::failure::Result;
use crate::output::{Cell, Format, Printer};
use crate::solution::Solution;
use crate::terminal::note;

/// The k of the grid (table 4 of the paper).
const GRID_K: [usize; 4] = [1, 3, 5, 10];
/// Its tau.
const GRID_TAU: [f64; 5] = [0.0, 0.3, 0.6, 0.9, 1.2];

/// The first stages, by the words that a statement has for them.
fn first_stages() -> Vec<(&'static str, SearchRequest)> {
    let new = SearchRequest::new;
    vec![
        ("kNN", new()),
        ("EXPAND AQE", new().expand(Expand::mean())),
        ("EXPAND ALPHA", new().expand(Expand::alpha())),
        ("EXPAND ALPHA AUGMENT", new().expand(Expand::alpha()).augment(Expand::alpha())),
        ("AUGMENT", new().augment(Expand::alpha())),
        ("SUPERGLOBAL", new().order(SuperGlobal::new())),
        ("DIFFUSE", new().order(Diffusion::new())),
        ("DIFFUSE FULL", new().order(Diffusion::new().cut(None))),
        ("EXPLORE", new().order(Exploration::new())),
        ("RECIPROCAL", new().order(Reciprocal::new())),
        ("RECIPROCAL TRANSDUCTIVE", new().order(Reciprocal::new().transductive())),
        ("DIFFUSE TRANSDUCTIVE", new().order(Diffusion::new().transductive())),
        ("FUSE", new().order(Fusion::new())),
        ("EXPAND ALPHA RECIPROCAL", new().expand(Expand::alpha()).order(Reciprocal::new())),
    ]
}

/// The second stages.
fn second_stages(k: usize, tau: f64) -> [(&'static str, Option<Rerank>); 4] {
    let both = Rerank::new().k(k).tau(tau);
    let mut insert = both;
    insert.sort = false;
    [("none", None), ("sort", Some(both.sort_only())), ("insert", Some(insert)), ("sort + insert", Some(both))]
}

/// Queries, their known answers, and the state that they are put to.
pub(super) struct Measured<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) asked: &'a [Asked],
    pub(super) truth: &'a Solution,
    pub(super) format: Format,
}

impl Measured<'_> {
    /// Every method with every second stage.
    ///
    /// # Errors
    /// When a search fails or the output cannot be written.
    pub(super) fn table(&self, out: &mut dyn Write, k: usize, tau: f64) -> Result<()> {
        let depth = SearchRequest::new().depth;
        let map = format!("mAP@{depth}");
        let columns = ["first stage", "second stage", &map, "P@10", "MeanPos", "ms a query", "queries"];
        let mut printer = Printer::begin(out, self.format, &columns)?;
        for (first, request) in first_stages() {
            for (second, rerank) in second_stages(k, tau) {
                let (metrics, milliseconds) = self.run(&request.clone().rerank(rerank))?;
                printer.row(vec![
                    Cell::Text(first.to_owned()),
                    Cell::Text(second.to_owned()),
                    Cell::Fixed(metrics.map * 100.0, 2),
                    Cell::Fixed(metrics.precision_at_10 * 100.0, 2),
                    Cell::Fixed(metrics.mean_position, 2),
                    Cell::Fixed(milliseconds, 3),
                    Cell::Whole(metrics.queries as u64),
                ])?;
            }
        }
        printer.end()?;
        self.told();
        Ok(())
    }

    /// Sort + insert by k and tau.
    ///
    /// # Errors
    /// As [`Measured::table`].
    pub(super) fn grid(&self, out: &mut dyn Write) -> Result<()> {
        let taus: Vec<String> = GRID_TAU.iter().map(|tau| format!("tau {tau}")).collect();
        let columns: Vec<&str> = std::iter::once("k").chain(taus.iter().map(String::as_str)).collect();
        let mut printer = Printer::begin(out, self.format, &columns)?;
        for k in GRID_K {
            let mut cells = vec![Cell::Whole(k as u64)];
            for tau in GRID_TAU {
                let (metrics, _) = self.run(&SearchRequest::new().rerank(Rerank::new().k(k).tau(tau)))?;
                cells.push(Cell::Fixed(metrics.map * 100.0, 2));
            }
            printer.row(cells)?;
        }
        printer.end()?;
        note(&format!("mAP@{} of sort + insert in percent, {} queries", SearchRequest::new().depth, self.asked.len()));
        Ok(())
    }

    /// The metrics of a request, and the time of a query that is alone.
    fn run(&self, request: &SearchRequest) -> Result<(Metrics, f64)> {
        let mut answers: Vec<Answer> = Vec::with_capacity(self.asked.len());
        let ask = |asked: &Asked| self.snapshot.search_one(request, &asked.query);
        // What is computed once for all queries is no part of a query's time.
        if let Some(first) = self.asked.first() {
            ask(first)?;
        }
        let begin = Instant::now();
        for asked in self.asked {
            answers.push(ask(asked)?);
        }
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3 / self.asked.len().max(1) as f64;
        Ok((evaluate(self.truth.truths(), &ranked(self.asked, &answers), request.depth), milliseconds))
    }

    fn told(&self) {
        let counts = self.snapshot.counts();
        note(&format!(
            "{} index and {} train images; exact searches, one after the other, with the methods' default parameters; what is \
             computed once for an index is not in the times",
            counts.index, counts.train
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a first stage that is compared with itself under another name.
    #[test]
    fn no_two_rows_run_the_same_request() {
        let first = first_stages();
        let second = second_stages(3, 0.6);
        for (at, (name, request)) in first.iter().enumerate() {
            assert!(first[at + 1..].iter().all(|(other, same)| other != name && same != request), "{name}");
        }
        for (at, (name, rerank)) in second.iter().enumerate() {
            assert!(second[at + 1..].iter().all(|(other, same)| other != name && same != rerank), "{name}");
        }
    }
}
