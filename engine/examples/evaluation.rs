//! How good are the answers? Known answers are compared with ranked lists, by the metrics of the Google Landmarks Dataset.
//! Run: `cargo run --workspace --example evaluation`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use std::collections::HashMap;

use cairn::eval::{Truth, evaluate};
use cairn::{Database, Options, Put, Query, Rerank, SearchRequest};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(3).vote_k(1))?;
    // The tower is photographed from outside and from inside; the two look nothing alike, and both are labelled.
    database.write([
        Put::new("train outside", [1.0, 0.0, 0.1]).label("tower").into(),
        Put::new("train inside", [0.0, 1.0, 0.1]).label("tower").into(),
        Put::new("train dome", [0.6, 0.0, 0.8]).label("dome").into(),
        Put::new("outside", [0.95, 0.05, 0.2]).into(),
        Put::new("inside", [0.05, 0.95, 0.0]).into(),
        Put::new("dome", [0.55, 0.1, 0.75]).into(),
    ])?;
    let truth = [Truth { query: "q".to_owned(), relevant: vec!["outside".to_owned(), "inside".to_owned()] }];
    for (name, rerank) in [("similarity alone", None), ("re-ranked", Some(Rerank::new()))] {
        let request = SearchRequest::new().depth(2).rerank(rerank);
        let answer = database.snapshot().search_one(&request, &Query::new([1.0, 0.1, 0.15]))?;
        let ranked = answer.rows.iter().map(|row| row.id.clone()).collect();
        let metrics = evaluate(&truth, &HashMap::from([("q".to_owned(), ranked)]), 2);
        println!("{name}: mAP@2 {:.3}", metrics.map);
    }
    Ok(())
}
