//! Measures descriptors: images held out are the queries, the train images are searched.

use std::collections::HashMap;

use cairn::Result;
use cairn::eval::{Metrics, Truth, evaluate};
use cairn::runtime::pool;

use super::judge::{Comparison, Labelled, Quality, judge_among};
use super::nearest::tensor;
use super::samples::Prepared;
use crate::device::torch_error;

/// Length of a list: mAP@100.
const DEPTH: usize = 100;
/// Most queries; of more held-out images, that many evenly spread ones ask.
const MOST_QUERIES: usize = 1000;

/// Metrics of the same queries with the descriptors as they were and with the new ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// With the descriptors as they were.
    pub before: Metrics,
    /// With the new ones.
    pub after: Metrics,
    /// The images that were held out, each asking for the others of its label among them, while the images that were learnt
    /// from predict; as [`super::HeldOut`] judges.
    pub among: Comparison,
    /// The same with all images of the labels that were held out among them; `None` where none were.
    pub unknown: Option<Comparison>,
}

/// The new descriptors of some images, by number.
pub(crate) type Descriptors<'a> = &'a dyn Fn(&[u32]) -> Result<Vec<Vec<f32>>>;

/// mAP@100 and its companions before and after: each held-out image is a query against all images that were learnt from, those
/// of its given label are relevant. `None` where nothing was held out. O(queries x images x dimension).
pub(crate) fn validate(prepared: &Prepared, adapt: Descriptors<'_>) -> Result<Option<Validation>> {
    if prepared.held_out.is_empty() {
        return Ok(None);
    }
    let every = prepared.held_out.len().div_ceil(MOST_QUERIES);
    let queries: Vec<u32> = prepared.held_out.iter().copied().step_by(every).collect();
    let plain = |images: &[u32]| -> Vec<Vec<f32>> { pool::map(images, |&image| prepared.plain(image)) };
    let label = |images: &[u32]| images.iter().map(|&image| prepared.label(image)).collect::<Vec<u32>>();
    let (labels, query_labels) = (label(&prepared.train), label(&queries));
    let (rows, query_rows) = (plain(&prepared.train), plain(&queries));
    let before = retrieval(&rows, &labels, &query_rows, &query_labels);
    let items = plain(&prepared.held_out);
    let among = |voters: &[Vec<f32>], items: &[Vec<f32>], item_labels: &[u32]| -> Result<Quality> {
        let _native = cairn::runtime::native();
        let rows = |rows: &[Vec<f32>]| tensor(&rows.concat(), rows.first().map_or(1, Vec::len)).map_err(torch_error);
        let voters = Labelled { rows: &rows(voters)?, labels: &labels };
        judge_among(voters, Labelled { rows: &rows(items)?, labels: item_labels }).map_err(torch_error)
    };
    let (adapted, adapted_items) = (adapt(&prepared.train)?, adapt(&prepared.held_out)?);
    let adapted_queries: Vec<Vec<f32>> = adapted_items.iter().step_by(every).cloned().collect();
    let after = retrieval(&adapted, &labels, &adapted_queries, &query_labels);
    let compare = |images: &[u32], items: &[Vec<f32>], adapted_items: &[Vec<f32>]| -> Result<Comparison> {
        let labels = label(images);
        Ok(Comparison { before: among(&rows, items, &labels)?, after: among(&adapted, adapted_items, &labels)? })
    };
    let known = compare(&prepared.held_out, &items, &adapted_items)?;
    let unknown = if prepared.unknown.is_empty() {
        None
    } else {
        let all = [prepared.held_out.as_slice(), &prepared.unknown].concat();
        let items = [items, plain(&prepared.unknown)].concat();
        Some(compare(&all, &items, &[adapted_items, adapt(&prepared.unknown)?].concat())?)
    };
    Ok(Some(Validation { before, after, among: known, unknown }))
}

/// Metrics at 100 of unit rows: an answer is relevant to a query of its label. Equal similarities are ordered by row.
pub(crate) fn retrieval(rows: &[Vec<f32>], labels: &[u32], queries: &[Vec<f32>], query_labels: &[u32]) -> Metrics {
    let names: Vec<String> = (0..rows.len()).map(|row| row.to_string()).collect();
    let name = |row: usize| names[row].clone();
    let ranked = |query: &Vec<f32>| -> Vec<String> {
        let mut scores: Vec<(f32, usize)> = rows.iter().zip(0..).map(|(row, at)| (dot(query, row), at)).collect();
        let best_first = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if scores.len() > DEPTH {
            scores.select_nth_unstable_by(DEPTH, best_first);
            scores.truncate(DEPTH);
        }
        scores.sort_unstable_by(best_first);
        scores.into_iter().map(|(_, row)| name(row)).collect()
    };
    let lists: Vec<Vec<String>> = pool::map(queries, ranked);
    let truth: Vec<Truth> = (0..queries.len())
        .map(|query| {
            let same = labels.iter().enumerate().filter(|(_, label)| **label == query_labels[query]);
            Truth { query: query.to_string(), relevant: same.map(|(row, _)| name(row)).collect() }
        })
        .collect();
    let lists: HashMap<String, Vec<String>> =
        lists.into_iter().zip(0..).map(|(list, at): (_, usize)| (at.to_string(), list)).collect();
    evaluate(&truth, &lists, DEPTH)
}

/// Summed in eight parts whose order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (part, (a, b)) in parts.iter_mut().zip(a.iter().zip(b)) {
            *part += a * b;
        }
    }
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrieval_by_hand() {
        let rows = [vec![1.0, 0.0], vec![0.8, 0.6], vec![0.0, 1.0]];
        let metrics = retrieval(&rows, &[1, 2, 1], &[vec![1.0, 0.0]], &[1]);
        // Hits at ranks 1 and 3.
        assert_eq!((metrics.queries, metrics.map), (1, (1.0 + 2.0 / 3.0) / 2.0));
    }
}
