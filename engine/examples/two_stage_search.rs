//! How does a photo find others of its place that look nothing alike? Both views of a place are labelled once; the images to
//! search have no labels. Run: `cargo run -p cairndb --example two_stage_search`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Options, Put, Query, Rerank, SearchRequest};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(3))?;
    database.write(vec![
        Put::new("train: tower from the square", [1.0, 0.1, 0.0]).label("church").into(),
        Put::new("train: tower from the park", [0.9, 0.2, 0.1]).label("church").into(),
        Put::new("train: nave", [0.0, 1.0, 0.1]).label("church").into(),
        Put::new("train: nave and organ", [0.1, 0.9, 0.0]).label("church").into(),
        Put::new("train: bridge", [0.6, 0.0, 0.9]).label("bridge").into(),
        Put::new("tower at night", [0.9, 0.0, 0.2]).into(),
        Put::new("nave at noon", [0.05, 1.0, 0.0]).into(),
        Put::new("bridge in fog", [0.7, 0.0, 0.8]).into(),
    ])?;
    let query = [Query::new([1.0, 0.05, 0.1])];
    let snapshot = database.snapshot();
    let plain = SearchRequest::new().depth(2);
    let reranked = plain.clone().rerank(Rerank::new().k(2));
    for (name, request) in [("by similarity", plain), ("re-ranked", reranked)] {
        println!("{name}:");
        for row in &snapshot.search(&request, &query)?[0].rows {
            let stage = row.stage.map_or("", cairn::Stage::word);
            println!("  {:<16} similarity {:.2}  {stage}", row.id, row.similarity);
        }
    }
    Ok(())
}
