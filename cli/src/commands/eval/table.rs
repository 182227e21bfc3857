//! `cairn eval --table` and `--grid`: every method on one collection, as the tables 2 to 4 of the paper compare them.

use std::collections::HashMap;
use std::io::Write;

use cairn::methods::{Diffusion, Expand, Exploration, Fusion, Reciprocal, SuperGlobal};
use cairn::reports::Asked;
use cairn::{Rerank, SearchRequest, Snapshot};

use super::judge::{Figure, Judge};
use super::searched::Searches;
use super::show;
use crate::failure::Result;
use crate::output::{Cell, Format, Printer};
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
    /// The number of each query among them by its id in the known answers.
    pub(super) places: &'a HashMap<String, usize>,
    pub(super) judge: Judge<'a>,
    pub(super) format: Format,
}

impl Measured<'_> {
    /// Every method with every second stage.
    ///
    /// # Errors
    /// When a search fails or the output cannot be written.
    pub(super) fn table(&self, out: &mut dyn Write, k: usize, tau: f64) -> Result<()> {
        let names = self.judge.figures();
        let mut columns = vec!["first stage", "second stage"];
        columns.extend(names.iter().map(|figure| figure.name.as_str()));
        columns.extend(["ms a query", "queries"]);
        let mut printer = Printer::begin(out, self.format, &columns)?;
        for (first, request) in first_stages() {
            for (second, rerank) in second_stages(k, tau) {
                let (figures, milliseconds) = self.run(&request.clone().rerank(rerank))?;
                let mut cells = vec![Cell::Text(first.to_owned()), Cell::Text(second.to_owned())];
                cells.extend(figures.iter().map(show::mean));
                cells.extend([Cell::Fixed(milliseconds, 3), self.queries(&figures)]);
                printer.row(cells)?;
            }
        }
        printer.end()?;
        self.told();
        Ok(())
    }

    /// Sort + insert by k and tau: the first mean average precision.
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
                let (figures, _) = self.run(&SearchRequest::new().rerank(Rerank::new().k(k).tau(tau)))?;
                cells.push(show::mean(&figures[self.main()]));
            }
            printer.row(cells)?;
        }
        printer.end()?;
        let name = &self.judge.figures()[self.main()].name;
        note(&format!("{name} of sort + insert in percent, {} queries", self.asked.len()));
        Ok(())
    }

    /// The figure that stands for all in a grid: mAP@100, or the mAP of Medium.
    fn main(&self) -> usize {
        self.judge.precisions() / 2
    }

    /// Number of queries of each mean average precision.
    fn queries(&self, figures: &[Figure]) -> Cell {
        match &figures[..self.judge.precisions()] {
            [one] => Cell::Whole(one.values.len() as u64),
            many => {
                Cell::Text(many.iter().map(|figure| figure.values.len().to_string()).collect::<Vec<_>>().join(" / "))
            }
        }
    }

    /// The figures of a request, and the time of a query that is alone.
    fn run(&self, request: &SearchRequest) -> Result<(Vec<Figure>, f64)> {
        let mut searches = Searches::begin(self.snapshot, self.asked, request.clone())?;
        let figures = self.judge.judge(self.places, |query| searches.list(&self.judge, query))?;
        Ok((figures, searches.milliseconds()))
    }

    fn told(&self) {
        let counts = self.snapshot.counts();
        note(&format!(
            "{} index and {} train images; exact searches, one after the other, with the methods' default parameters; what is \
             computed once for an index is not in the times",
            counts.index, counts.train
        ));
        if let Judge::Revisited(_) = self.judge {
            note(&format!(
                "the second stage is given the first {} images; behind them stands the rest of the first stage's ranking, which \
                 is not in the times",
                SearchRequest::new().depth
            ));
        }
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
