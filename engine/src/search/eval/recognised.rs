//! Metrics of recognition as the Google Landmarks Dataset defines them.

use std::collections::HashMap;

/// The prediction of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognised {
    /// Id of the query.
    pub query: String,
    /// The predicted label.
    pub label: String,
    /// How certain it is; predictions of all queries are compared by it.
    pub score: f64,
}

/// The labels that each query shows, by the query's id; none: it shows no known instance, and every prediction for it is wrong.
pub type RecognitionTruth = HashMap<String, Vec<String>>;

/// Whether a prediction names a label of its query.
fn is_right(prediction: &Recognised, truth: &RecognitionTruth) -> bool {
    truth.get(&prediction.query).is_some_and(|labels| labels.contains(&prediction.label))
}

/// Number of queries that show something.
fn labelled(truth: &RecognitionTruth) -> usize {
    truth.values().filter(|labels| !labels.is_empty()).count()
}

/// GAP, the global average precision (micro-AP): all predictions in one list by falling score (then by query id, then by label); at
/// each right one the share of right ones up to there; the sum divided by the number of queries that have a label. Predictions of
/// queries without a label are wrong ones.
///
/// `truth` has the label of each query that has one. 0 without any.
pub fn global_average_precision(predictions: &[Recognised], truth: &RecognitionTruth) -> f64 {
    let mut sorted: Vec<&Recognised> = predictions.iter().collect();
    sorted.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| a.query.cmp(&b.query)).then_with(|| a.label.cmp(&b.label))
    });
    let (mut right, mut sum) = (0usize, 0.0);
    for (place, prediction) in sorted.iter().enumerate() {
        if is_right(prediction, truth) {
            right += 1;
            sum += right as f64 / (place + 1) as f64;
        }
    }
    sum / labelled(truth).max(1) as f64
}

/// Share of the queries with a label that are predicted right.
pub fn top_1(predictions: &[Recognised], truth: &RecognitionTruth) -> f64 {
    let right = predictions.iter().filter(|found| is_right(found, truth)).count();
    right as f64 / labelled(truth).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, label: &str, score: f64) -> Recognised {
        Recognised { query: query.to_owned(), label: label.to_owned(), score }
    }

    /// It catches: a prediction of a query without a label left out, ties in the order of the input, a divisor of predictions, a second
    /// label of a query that counts as wrong.
    #[test]
    fn by_hand() {
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>();
        let truth: RecognitionTruth = [("a", &["x"][..]), ("b", &["w", "y"]), ("c", &[]), ("d", &["z"])]
            .map(|(query, shown)| (query.to_owned(), labels(shown)))
            .into();
        // In order: a right, c without a label, b right, d wrong.
        let predictions = [of("d", "x", 0.1), of("b", "y", 0.5), of("c", "x", 0.7), of("a", "x", 0.7)];
        assert_eq!(global_average_precision(&predictions, &truth), (1.0 + 2.0 / 3.0) / 3.0);
        assert_eq!(top_1(&predictions, &truth), 2.0 / 3.0);
        assert_eq!(global_average_precision(&[], &HashMap::new()), 0.0);
    }
}
