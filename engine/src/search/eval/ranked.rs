//! Metrics of ranked lists as the Google Landmarks Dataset defines them (docs/ALGORITHMS.md, Metrics).

use std::collections::{HashMap, HashSet};

/// What one query should find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Id of the query.
    pub query: String,
    /// Ids of everything of the same instance; a query without any is left out of the means.
    pub relevant: Vec<String>,
}

/// Means over all queries that have something to find. `map` and `precision_at_10` lie in 0..1, more is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Queries counted.
    pub queries: usize,
    /// Mean average precision at the depth.
    pub map: f64,
    /// Share of relevant items among the first 10; a shorter list counts its missing places as misses.
    pub precision_at_10: f64,
    /// Mean 1-based position of the first relevant item, depth + 1 where there is none; less is better.
    pub mean_position: f64,
}

/// Average precision at `depth`: the sum over ranks `i` with a new relevant item of `hits so far / i`, divided by
/// `min(relevant, depth)`. An id that comes again keeps its place in the list but counts once.
pub fn average_precision(ranked: &[String], relevant: &[String], depth: usize) -> f64 {
    let relevant: HashSet<&str> = relevant.iter().map(String::as_str).collect();
    if relevant.is_empty() || depth == 0 {
        return 0.0;
    }
    let (mut met, mut hits, mut sum) = (HashSet::new(), 0usize, 0.0);
    for (at, id) in ranked.iter().take(depth).enumerate() {
        if relevant.contains(id.as_str()) && met.insert(id.as_str()) {
            hits += 1;
            sum += hits as f64 / (at + 1) as f64;
        }
    }
    sum / relevant.len().min(depth) as f64
}

/// P@r: relevant items among the first `r`, divided by `r`; a shorter list counts its missing places as misses, and an id that comes
/// again counts once.
pub fn precision(ranked: &[String], relevant: &[String], r: usize) -> f64 {
    let wanted: HashSet<&str> = relevant.iter().map(String::as_str).collect();
    let hits: HashSet<&str> = ranked.iter().take(r).map(String::as_str).filter(|id| wanted.contains(id)).collect();
    hits.len() as f64 / r.max(1) as f64
}

/// All metrics of ranked lists by query id. A query of the truth without a list counts as an empty one.
pub fn evaluate(truth: &[Truth], ranked: &HashMap<String, Vec<String>>, depth: usize) -> Metrics {
    /// The r of P@r.
    const PRECISION_DEPTH: usize = 10;
    let mut metrics = Metrics { queries: 0, map: 0.0, precision_at_10: 0.0, mean_position: 0.0 };
    for Truth { query, relevant } in truth.iter().filter(|truth| !truth.relevant.is_empty()) {
        let list = ranked.get(query).map_or(&[][..], Vec::as_slice);
        let wanted: HashSet<&str> = relevant.iter().map(String::as_str).collect();
        let is_hit = |id: &&String| wanted.contains(id.as_str());
        metrics.queries += 1;
        metrics.map += average_precision(list, relevant, depth);
        metrics.precision_at_10 += precision(list, relevant, PRECISION_DEPTH);
        let first = list.iter().take(depth).position(|id| is_hit(&id));
        metrics.mean_position += first.unwrap_or(depth) as f64 + 1.0;
    }
    let count = metrics.queries.max(1) as f64;
    metrics.map /= count;
    metrics.precision_at_10 /= count;
    metrics.mean_position /= count;
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn average_precision_by_hand() {
        // Hits at ranks 1 and 3 of three relevant items: (1/1 + 2/3) / 3.
        assert_eq!(average_precision(&ids("a x b y"), &ids("a b c"), 100), (1.0 + 2.0 / 3.0) / 3.0);
        assert_eq!(average_precision(&ids("a x b y"), &ids("a b c"), 2), 0.5);
    }

    #[test]
    fn a_repeated_id_keeps_its_place_and_counts_once() {
        assert_eq!(average_precision(&ids("a a b"), &ids("a b"), 100), (1.0 + 2.0 / 3.0) / 2.0);
    }

    #[test]
    fn a_missing_query_counts_as_a_miss() {
        let truth = [
            Truth { query: "q".into(), relevant: ids("a") },
            Truth { query: "missing".into(), relevant: ids("a") },
            Truth { query: "nothing to find".into(), relevant: vec![] },
        ];
        let ranked = HashMap::from([("q".to_owned(), ids("x a"))]);
        let metrics = evaluate(&truth, &ranked, 100);
        assert_eq!(
            metrics,
            Metrics { queries: 2, map: 0.25, precision_at_10: 0.05, mean_position: (2.0 + 101.0) / 2.0 }
        );
    }
}
