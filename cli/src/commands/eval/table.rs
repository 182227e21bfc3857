//! `cairn eval --table`, `--ablation` and `--grid`: methods on one collection, as the tables 2 to 4 of the paper compare them.

use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use cairn::eval::mean_range;
use cairn::methods::{Diffusion, Expand, Exploration, Fusion, Reciprocal, SuperGlobal};
use cairn::reports::Asked;
use cairn::{ErrorKind, Rerank, SearchRequest, Snapshot};

use super::judge::{DRAWS, Figure, Judge, SEED, about_ranges};
use super::searched::{Searches, is_transductive};
use super::sheet::Recorder;
use super::show;
use crate::failure::Result;
use crate::output::{Cell, Format};
use crate::report::Sheet;
use crate::terminal::note;

/// The k of the grid (table 4 of the paper).
const GRID_K: [usize; 4] = [1, 3, 5, 10];
/// Its tau.
const GRID_TAU: [f64; 5] = [0.0, 0.3, 0.6, 0.9, 1.2];

/// First stages of which each step of the second is measured alone.
const ABLATED: [&str; 3] = ["kNN", "EXPAND ALPHA", "FUSE"];
/// Least seconds of what is computed once that a table names.
const SHOWN_SECONDS: f64 = 0.005;
/// Changes in percent that are no change: sums in another order.
const SAME: f64 = 1e-7;

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
        ("EXPLORE DIRECTED", new().order(Exploration::new().directed())),
        ("RECIPROCAL", new().order(Reciprocal::new())),
        ("RECIPROCAL TRANSDUCTIVE", new().order(Reciprocal::new().transductive())),
        ("DIFFUSE TRANSDUCTIVE", new().order(Diffusion::new().transductive())),
        ("FUSE", new().order(Fusion::new())),
        ("EXPAND ALPHA RECIPROCAL", new().expand(Expand::alpha()).order(Reciprocal::new())),
    ]
}

/// The second stages.
fn second_stages(k: usize, tau: f64) -> [(&'static str, Option<Rerank>); 5] {
    let both = Rerank::new().k(k).tau(tau);
    let mut insert = both;
    insert.sort = false;
    [
        ("none", None),
        ("sort", Some(both.sort_only())),
        ("insert", Some(insert)),
        ("sort + insert", Some(both)),
        ("sort + insert, AUGMENT TRAIN", Some(both.augment(Expand::of_label()))),
    ]
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
    pub(super) fn table(&self, out: &mut dyn Write, k: usize, tau: f64) -> Result<Sheet> {
        let shown = self.judge.shown();
        let precisions = self.judge.precisions();
        let mut columns = vec!["first stage".to_owned(), "second stage".to_owned()];
        for (at, figure) in self.judge.figures().into_iter().enumerate().filter(|(at, _)| shown.contains(at)) {
            let range = (at < precisions).then(|| format!("{} range", figure.name));
            columns.extend([Some(figure.name), range].into_iter().flatten());
        }
        columns.extend(["ms a query", "queries"].map(str::to_owned));
        let mut recorder = self.recorder(out, columns)?;
        let mut once = vec![("the neighbour graph", self.seconds_of_graph()?)];
        let mut left_out = Vec::new();
        let mut second = second_stages(k, tau).to_vec();
        if self.snapshot.counts().train == 0 {
            second.truncate(1);
        }
        for (first, request) in first_stages() {
            let together = is_transductive(&request);
            let mut searches = match self.searches(request, &second) {
                Ok(searches) => searches,
                // So many queries at once do not fit into its bounds; each alone would be another method.
                Err(error) if together && error.kind() == ErrorKind::Invalid => {
                    left_out.push(format!("{first} is left out: {error}"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let measured = self.measured(&mut searches, second.len())?;
            once.push((first, searches.seconds_once()));
            for ((second, _), (figures, milliseconds)) in second.iter().zip(measured) {
                let mut cells = [first, second].map(|name| Cell::Text(name.to_owned())).to_vec();
                for (at, figure) in figures.iter().enumerate().filter(|(at, _)| shown.contains(at)) {
                    cells.push(show::mean(figure));
                    cells.extend((at < precisions).then(|| show::range(figure)));
                }
                cells.extend([Cell::Fixed(milliseconds, 3), self.queries(&figures)]);
                recorder.row(cells)?;
                recorder.mark(first, second, &figures[..precisions]);
            }
        }
        left_out.into_iter().for_each(|note| recorder.note(note));
        let once = once.iter().filter(|(_, seconds)| *seconds >= SHOWN_SECONDS);
        let once: Vec<String> = once.map(|(what, seconds)| format!("{what} {seconds:.2} s")).collect();
        if !once.is_empty() {
            recorder.note(format!("computed once, before the timed searches: {}", once.join(", ")));
        }
        self.end(
            recorder,
            "; a transductive method is given all queries at once, and its time is divided by their number",
        )
    }

    /// What each step of the second stage adds, with the range of the change.
    ///
    /// # Errors
    /// As [`Measured::table`].
    pub(super) fn ablation(&self, out: &mut dyn Write, k: usize, tau: f64) -> Result<Sheet> {
        let columns = [
            "first stage",
            "second stage",
            "measure",
            "mean",
            "range",
            "change",
            "change range",
            "better",
            "worse",
            "queries",
        ];
        let mut recorder = self.recorder(out, columns.map(str::to_owned).into())?;
        let precisions = self.judge.precisions();
        for (first, request) in first_stages().into_iter().filter(|(name, _)| ABLATED.contains(name)) {
            let second = second_stages(k, tau);
            let all = self.measured(&mut self.searches(request, &second)?, second.len())?;
            for ((second, rerank), (figures, _)) in second.iter().zip(&all) {
                for (at, figure) in figures[..precisions].iter().enumerate() {
                    let mut cells = [first, second, &figure.name].map(|name| Cell::Text(name.to_owned())).to_vec();
                    cells.extend([show::mean(figure), show::range(figure)]);
                    cells.extend(changes(figure, rerank.and(all.first()).map(|(without, _)| &without[at])));
                    cells.push(Cell::Whole(figure.values.len() as u64));
                    recorder.row(cells)?;
                }
                recorder.mark(first, second, &figures[..precisions]);
            }
        }
        recorder.note(format!(
            "change: from the same first stage with the second stage none, query by query; k = {k}, tau = {tau}"
        ));
        self.end(recorder, "")
    }

    /// Sort + insert by k and tau: the first mean average precision.
    ///
    /// # Errors
    /// As [`Measured::table`].
    pub(super) fn grid(&self, out: &mut dyn Write) -> Result<Sheet> {
        let taus = GRID_TAU.map(|tau| format!("tau {tau}"));
        let mut columns = vec!["k".to_owned()];
        columns.extend(taus.iter().flat_map(|tau| [tau.clone(), format!("{tau} range")]));
        columns.push("queries".to_owned());
        let mut recorder = self.recorder(out, columns)?;
        let main = self.main();
        for k in GRID_K {
            let second = GRID_TAU.map(|tau| ("", Some(Rerank::new().k(k).tau(tau))));
            let all = self.measured(&mut self.searches(SearchRequest::new(), &second)?, second.len())?;
            let (mut cells, mut queries) = (vec![Cell::Whole(k as u64)], 0);
            for ((figures, _), name) in all.iter().zip(&taus) {
                let figure = &figures[main];
                cells.extend([show::mean(figure), show::range(figure)]);
                queries = figure.values.len();
                recorder.mark(&format!("k = {k}"), name, std::slice::from_ref(figure));
            }
            cells.push(Cell::Whole(queries as u64));
            recorder.row(cells)?;
        }
        let name = &self.judge.figures()[main].name;
        recorder.note(format!("{name} of sort + insert in percent"));
        self.end(recorder, "")
    }

    fn recorder<'o>(&self, out: &'o mut dyn Write, columns: Vec<String>) -> Result<Recorder<'o>> {
        Recorder::begin(out, self.format, columns)
    }

    /// Ends a table with what holds for all of its figures; `more` belongs to the searches.
    fn end(&self, mut recorder: Recorder<'_>, more: &str) -> Result<Sheet> {
        let counts = self.snapshot.counts();
        recorder.note(format!(
            "{} index and {} train images; exact searches, one after the other, with the methods' default parameters; what is \
             computed once for an index is not in the times{more}",
            counts.index, counts.train
        ));
        if counts.train == 0 {
            recorder.note(
                "no image has a prediction without train images, and the second stage changes nothing".to_owned(),
            );
        }
        if let Judge::Revisited(_) = self.judge {
            recorder.note(format!(
                "the second stage is given the first {} images; behind them stands the rest of the first stage's ranking, which \
                 is not in the times",
                SearchRequest::new().depth
            ));
        }
        recorder.note(about_ranges());
        let sheet = recorder.end()?;
        sheet.notes.iter().for_each(|line| note(line));
        Ok(sheet)
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

    /// Seconds of the neighbour graph: of a search by a method that needs nothing else of the index.
    fn seconds_of_graph(&self) -> Result<f64> {
        let begin = Instant::now();
        if let Some(first) = self.asked.first() {
            self.snapshot.search_one(&SearchRequest::new().order(Exploration::new()), &first.query)?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    fn searches(&self, first: SearchRequest, second: &[(&str, Option<Rerank>)]) -> cairn::Result<Searches<'_>> {
        let second = second.iter().map(|(_, rerank)| *rerank).collect();
        Searches::begin(self.snapshot, self.asked, &self.judge, (first, second))
    }

    /// The figures of searches with so many second stages, and the time of a query, by second stage.
    fn measured(&self, searches: &mut Searches<'_>, stages: usize) -> Result<Vec<(Vec<Figure>, f64)>> {
        let figures = self.judge.judge(self.places, stages, |query| Ok(searches.lists(query)?))?;
        Ok(figures.into_iter().enumerate().map(|(at, figures)| (figures, searches.milliseconds(at))).collect())
    }
}

/// The mean change from other values of the same queries, its range, and how many queries became better and worse.
fn changes(figure: &Figure, without: Option<&Figure>) -> [Cell; 4] {
    let Some(without) = without else { return [Cell::Nothing, Cell::Nothing, Cell::Nothing, Cell::Nothing] };
    let changes: Vec<f64> =
        figure.values.iter().zip(&without.values).map(|(now, was)| (now - was) * figure.times).collect();
    let Some(range) = mean_range(&changes, DRAWS, SEED) else {
        return [Cell::Nothing, Cell::Nothing, Cell::Whole(0), Cell::Whole(0)];
    };
    let count = |is_it: fn(f64) -> bool| Cell::Whole(changes.iter().filter(|&&change| is_it(change)).count() as u64);
    [
        Cell::Fixed(range.mean, 2),
        Cell::Text(format!("{:.2} to {:.2}", range.least, range.most)),
        count(|change| change > SAME),
        count(|change| change < -SAME),
    ]
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

    /// It catches: a first stage of the ablation that has no row, changes against the mean instead of query by query.
    #[test]
    fn changes_are_those_of_each_query() {
        assert!(ABLATED.iter().all(|name| first_stages().iter().any(|(first, _)| first == name)));
        let figure = |values: &[f64]| Figure { name: String::new(), values: values.to_vec(), times: 100.0 };
        let got = changes(&figure(&[0.5, 0.5, 0.25, 0.25]), Some(&figure(&[0.0, 0.5, 0.5, 0.0])));
        assert_eq!(got[0], Cell::Fixed(12.5, 2));
        assert_eq!(got[2..], [Cell::Whole(2), Cell::Whole(1)]);
        let Cell::Text(range) = &got[1] else { panic!("{got:?}") };
        let (least, most) = range.split_once(" to ").unwrap();
        assert!(least.parse::<f64>().unwrap() < 0.0 && most.parse::<f64>().unwrap() > 25.0, "{range}");
    }
}
