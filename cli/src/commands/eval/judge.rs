//! Lists of images against known answers: one value for each query and figure, so that a list need not stay in memory.

use std::collections::HashMap;

use cairn::eval::{Difficulty, MeanRange, RevisitedTruth, evaluate, mean_range, revisited};
use cairn::reports::Asked;
use cairndb_ingest::answers::RevisitedAnswers;

use super::searched::Lists;
use crate::comparison::query_id;
use crate::failure::{Failure, Result};
use crate::solution::Solution;

/// The difficulties of revisited Oxford and Paris, by their names.
pub(super) const DIFFICULTIES: [(&str, Difficulty); 3] =
    [("Easy", Difficulty::Easy), ("Medium", Difficulty::Medium), ("Hard", Difficulty::Hard)];
/// Depths of their precision.
pub(super) const DEPTHS: [usize; 3] = [1, 5, 10];
/// Draws of a range, and their seed.
pub(super) const DRAWS: usize = 1_000;
/// The seed of the draws.
pub(super) const SEED: u64 = 0;

/// At most one list, by its query.
type Ranked = HashMap<String, Vec<String>>;
/// Adds a query to figures.
type Counting<'a> = &'a dyn Fn(&Ranked, &mut [Figure]);

/// What a table says about its ranges.
pub(super) fn about_ranges() -> String {
    format!("ranges: 95 % of the means of {DRAWS} draws of as many queries with replacement, seed {SEED}")
}

/// A figure: its name, and its value for each query that counts.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
    /// 100 for shares, which are shown in percent; 1 for ranks.
    pub(super) times: f64,
}

impl Figure {
    fn new(name: String, times: f64) -> Self {
        Self { name, values: Vec::new(), times }
    }

    /// The mean as it is shown; 0 if no query counts.
    pub(super) fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len().max(1) as f64 * self.times
    }

    /// The mean and its range as they are shown.
    pub(super) fn range(&self) -> Option<MeanRange> {
        let times = self.times;
        mean_range(&self.values, DRAWS, SEED).map(|MeanRange { mean, least, most, count }| MeanRange {
            mean: mean * times,
            least: least * times,
            most: most * times,
            count,
        })
    }
}

/// Known answers that lists are compared with.
#[derive(Clone, Copy)]
pub(super) enum Judge<'a> {
    /// Lists are measured to a depth.
    Landmarks(&'a Solution, usize),
    /// Lists rank the whole collection.
    Revisited(&'a RevisitedAnswers),
}

impl Judge<'_> {
    /// Number of figures that are mean average precisions; they come first.
    pub(super) fn precisions(&self) -> usize {
        match self {
            Self::Landmarks(..) => 1,
            Self::Revisited(_) => DIFFICULTIES.len(),
        }
    }

    /// The figures that a table of many methods shows: all, but of the precisions of revisited Oxford and Paris only the deepest.
    pub(super) fn shown(&self) -> Vec<usize> {
        match self {
            Self::Landmarks(..) => (0..self.figures().len()).collect(),
            Self::Revisited(_) => {
                let deepest = (1..=DIFFICULTIES.len()).map(|number| self.precisions() + number * DEPTHS.len() - 1);
                (0..self.precisions()).chain(deepest).collect()
            }
        }
    }

    /// The figures without values.
    pub(super) fn figures(&self) -> Vec<Figure> {
        match self {
            Self::Landmarks(_, depth) => vec![
                Figure::new(format!("mAP@{depth}"), 100.0),
                Figure::new("P@10".to_owned(), 100.0),
                Figure::new("MeanPos".to_owned(), 1.0),
            ],
            Self::Revisited(_) => {
                let letters = DIFFICULTIES.map(|(name, _)| &name[..1]);
                let precisions = letters.iter().map(|letter| format!("{letter} mAP"));
                let at = letters.iter().flat_map(|letter| DEPTHS.map(|depth| format!("{letter} mP@{depth}")));
                precisions.chain(at).map(|name| Figure::new(name, 100.0)).collect()
            }
        }
    }

    /// The figures of as many methods as `methods`: `lists` gives the lists of a query by its number among `places`' values, best first,
    /// one for each method. A query of the known answers without a place counts as a miss.
    ///
    /// # Errors
    /// Those of `lists`.
    pub(super) fn judge(
        &self,
        places: &HashMap<String, usize>,
        methods: usize,
        mut lists: impl FnMut(usize) -> Result<Lists>,
    ) -> Result<Vec<Vec<Figure>>> {
        let mut figures: Vec<Vec<Figure>> = (0..methods).map(|_| self.figures()).collect();
        let mut each = |query: &str, count: Counting<'_>| -> Result<()> {
            let mut of_query =
                places.get(query).map(|&place| lists(place)).transpose()?.unwrap_or_default().into_iter();
            for figures in &mut figures {
                let list = of_query.next().map(|list| (query.to_owned(), list));
                count(&list.into_iter().collect(), figures);
            }
            Ok(())
        };
        match self {
            Self::Landmarks(solution, depth) => {
                for truth in solution.truths().iter().filter(|truth| !truth.relevant.is_empty()) {
                    each(&truth.query, &|list, figures| {
                        let metrics = evaluate(std::slice::from_ref(truth), list, *depth);
                        let values = [metrics.map, metrics.precision_at_10, metrics.mean_position];
                        figures.iter_mut().zip(values).for_each(|(figure, value)| figure.values.push(value));
                    })?;
                }
            }
            Self::Revisited(answers) => {
                for number in 0..answers.count() {
                    let query = query_of(answers, number);
                    let truth: [RevisitedTruth; 1] = [(query.clone(), answers.of(number))];
                    each(&query, &|list, figures| count_revisited(&truth, list, figures))?;
                }
            }
        }
        Ok(figures)
    }
}

/// Adds a query to the figures of each difficulty at which it has something to find.
fn count_revisited(truth: &[RevisitedTruth; 1], list: &Ranked, figures: &mut [Figure]) {
    for (at, (_, difficulty)) in DIFFICULTIES.into_iter().enumerate() {
        let metrics = revisited(truth, list, difficulty, &DEPTHS);
        if metrics.queries == 0 {
            continue;
        }
        figures[at].values.push(metrics.map);
        let first = DIFFICULTIES.len() + at * DEPTHS.len();
        let figures = &mut figures[first..first + DEPTHS.len()];
        figures.iter_mut().zip(metrics.precision).for_each(|(figure, value)| figure.values.push(value));
    }
}

/// The id of a query of revisited Oxford or Paris: its name, or its number where the file has no names.
pub(super) fn query_of(answers: &RevisitedAnswers, number: usize) -> String {
    answers.queries().map_or_else(|| number.to_string(), |names| names[number].clone())
}

/// The number of each query among `asked` by its id in the known answers; of two with one id the last.
///
/// # Errors
/// The known answers have no names of queries, and another number of them than the file of queries.
pub(super) fn places(judge: &Judge<'_>, asked: &[Asked], in_file: usize) -> Result<HashMap<String, usize>> {
    match judge {
        Judge::Revisited(answers) if answers.queries().is_none() => {
            if answers.count() != in_file {
                let what = format!(
                    "the known answers have {} queries without names, and there are {in_file}",
                    answers.count()
                );
                return Err(Failure::new(what).help("the file of queries must have the same queries in the same order"));
            }
            Ok(asked.iter().enumerate().map(|(at, asked)| (asked.number.to_string(), at)).collect())
        }
        _ => Ok(asked.iter().enumerate().filter_map(|(at, asked)| Some((query_id(asked)?.to_owned(), at))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use cairn::eval::Truth;

    use super::*;

    /// It catches: queries of the known answers without a list that are left out of the mean, another order of the figures.
    #[test]
    fn each_query_counts_once() {
        let ids = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let truth = |query: &str, relevant: &str| Truth { query: query.to_owned(), relevant: ids(relevant) };
        let solution = Solution::new(vec![truth("q", "a"), truth("r", "b"), truth("nothing to find", "")]);
        let places = HashMap::from([("q".to_owned(), 4), ("nothing to find".to_owned(), 5)]);
        let figures = Judge::Landmarks(&solution, 100)
            .judge(&places, 2, |place| {
                assert_eq!(place, 4);
                Ok(vec![ids("x a"), ids("a x")])
            })
            .unwrap();
        assert_eq!(figures[1].iter().map(Figure::mean).collect::<Vec<_>>(), [50.0, 5.0, (1.0 + 101.0) / 2.0]);
        let figures = &figures[0];
        let shown: Vec<_> = figures.iter().map(|figure| (figure.name.as_str(), figure.mean())).collect();
        assert_eq!(shown, [("mAP@100", 25.0), ("P@10", 5.0), ("MeanPos", (2.0 + 101.0) / 2.0)]);
        let range = figures[0].range().unwrap();
        assert_eq!((range.least, range.mean, range.most, range.count), (0.0, 25.0, 50.0, 2));
    }
}
