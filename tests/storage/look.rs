//! Checks a database through its public interface: whether it equals the model, whether its predictions equal a recompute; and
//! computes a digest that is the same for equal databases.

use cairn::{Database, Query, Rerank, Scope, SearchRequest, Snapshot};

use crate::stream::{Model, Random, near_centre};

/// A value of `status`.
///
/// # Panics
/// When there is no such line.
pub fn status(database: &Database, name: &str) -> String {
    let lines = database.status().lines();
    lines.into_iter().find(|line| line.0 == name).unwrap_or_else(|| panic!("no line '{name}'")).1
}

/// Whether the status says so.
pub fn healthy(database: &Database) -> bool {
    database.status().health.is_ok()
}

/// The whole database is what the model says (contents, laws P and R); deferred writes are applied first.
///
/// # Panics
/// When it is not.
pub fn sound(database: &Database, model: &Model, story: &str) {
    let snapshot = database.apply_pending().unwrap_or_else(|error| panic!("{story}: {error}"));
    holds(&snapshot, model, story);
    let report = database.check(true).unwrap_or_else(|error| panic!("{story}: {error}"));
    assert!(report.problems.is_empty(), "{story}: {:?}", report.problems);
    votes_near_f64(&snapshot, model, story);
}

/// Keys, labels and descriptors are the model's; each stored prediction equals, bit for bit, the vote of an exact search.
fn holds(snapshot: &Snapshot, model: &Model, story: &str) {
    assert_eq!(snapshot.keys(None).unwrap(), model.keys().cloned().collect::<Vec<_>>(), "{story}: keys");
    for (key, (label, vector)) in model {
        let record = snapshot.record(key).unwrap().unwrap_or_else(|| panic!("{story}: '{key}' has no record"));
        assert_eq!(record.label, *label, "{story}: the label of '{key}'");
        assert_eq!(snapshot.vector(key).unwrap().as_ref(), Some(vector), "{story}: the descriptor of '{key}'");
        let stored = snapshot.prediction(key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()));
        let wanted = match label {
            Some(label) => Some((label.clone(), 1f32.to_bits())),
            None => {
                let seen = snapshot.predict(&Query::new(vector.clone()), 3).unwrap();
                assert_eq!(seen.as_of_sequence, snapshot.sequence(), "{story}");
                seen.vote.map(|vote| (vote.instance, vote.score.to_bits()))
            }
        };
        assert_eq!(stored, wanted, "{story}: the prediction of '{key}'");
    }
}

/// Stored predictions equal a recompute in f64 that shares no code with the engine's search; images whose outcome hangs on less than
/// rounding are left out. Returns how many were compared.
///
/// # Panics
/// When one differs.
pub fn votes_near_f64(snapshot: &Snapshot, model: &Model, story: &str) -> usize {
    const CLOSE: f64 = 1e-5;
    const K: usize = 3;
    let train: Vec<(&str, &Vec<f32>)> =
        model.values().filter_map(|(label, vector)| Some((label.as_deref()?, vector))).collect();
    let mut compared = 0;
    for (key, (_, vector)) in model.iter().filter(|(_, (label, _))| label.is_none()) {
        let product =
            |other: &[f32]| -> f64 { vector.iter().zip(other).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
        let mut best: Vec<(f64, &str)> = train.iter().map(|&(label, other)| (product(other), label)).collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        if best.get(K).is_some_and(|next| best[K - 1].0 - next.0 < CLOSE) {
            continue;
        }
        best.truncate(K);
        let mut tallies: Vec<(f64, &str)> = Vec::new();
        for &(similarity, label) in &best {
            match tallies.iter_mut().find(|tally| tally.1 == label) {
                Some(tally) => tally.0 += similarity,
                None => tallies.push((similarity, label)),
            }
        }
        tallies.sort_by(|a, b| b.0.total_cmp(&a.0));
        if tallies.get(1).is_some_and(|second| tallies[0].0 - second.0 < CLOSE) {
            continue;
        }
        let stored = snapshot.prediction(key).unwrap();
        match (tallies.first(), stored) {
            (None, None) => {}
            (Some(&(tally, label)), Some(vote)) => {
                assert_eq!(vote.instance, label, "{story}: '{key}' by f64");
                assert!((f64::from(vote.score) - tally / K as f64).abs() < CLOSE, "{story}: '{key}' scores {vote:?}");
            }
            (wanted, stored) => panic!("{story}: '{key}' is {stored:?} and by f64 {wanted:?}"),
        }
        compared += 1;
    }
    compared
}

/// Everything law D speaks of, in external keys and label texts only: two databases of the same rows share it.
///
/// # Panics
/// When something cannot be read.
pub fn digest(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for key in snapshot.keys(None).unwrap() {
        let record = snapshot.record(&key).unwrap().unwrap();
        let vector = snapshot.vector(&key).unwrap().unwrap();
        let bits: Vec<u32> = vector.iter().map(|value| value.to_bits()).collect();
        let prediction = snapshot.prediction(&key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()));
        lines.push(format!("{key} {:?} {prediction:?} {bits:x?}", record.label));
    }
    lines.push(format!("{:?}", snapshot.labels().unwrap()));
    lines.extend(answers(snapshot));
    lines
}

/// Answers to fixed questions, second stage included: inserted rows show the postings.
///
/// # Panics
/// When a search fails.
fn answers(snapshot: &Snapshot) -> Vec<String> {
    let Some(key) = snapshot.keys(None).unwrap().into_iter().next() else { return Vec::new() };
    let dimension = snapshot.vector(&key).unwrap().unwrap().len();
    let mut random = Random::new(7);
    let queries: Vec<Query> =
        (0..12).map(|label| Query::new(near_centre(label, dimension, 0.2, &mut random))).collect();
    let mut lines = Vec::new();
    for scope in [Scope::Index, Scope::All] {
        for rerank in [None, Some(Rerank::new().k(3).tau(-2.0)), Some(Rerank::new().k(5).sort_only())] {
            let request = SearchRequest::new().scope(scope).depth(40).limit(80).rerank(rerank);
            for answer in snapshot.search(&request, &queries).unwrap() {
                let rows: Vec<String> = answer
                    .rows
                    .iter()
                    .map(|row| {
                        let vote = row.prediction.as_ref().map(|vote| (vote.instance.as_str(), vote.score.to_bits()));
                        format!("{} {:x} {vote:?} {:?}", row.id, row.similarity.to_bits(), row.stage)
                    })
                    .collect();
                lines.push(format!(
                    "{:?} {}",
                    answer.prediction.map(|vote| (vote.instance, vote.score.to_bits())),
                    rows.join("; ")
                ));
            }
        }
    }
    lines
}
