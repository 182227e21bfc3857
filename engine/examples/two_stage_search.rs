//! How does a photo find others of its place that look nothing alike? Both views of a place are labelled once; what is searched
//! has no labels. Run: `cargo run -p cairndb --example two_stage_search`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Operation, Options, Put, Query, Rerank, SearchRequest};

fn image(key: &str, label: Option<&str>, vector: [f32; 3]) -> Operation {
    let label = label.map(str::to_owned);
    Operation::Put(Put { key: key.into(), label, vector: vector.into(), source: None, content: None, photo: None })
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(&folder.path().join("places.db"), Options::for_vectors(3))?;
    database.write(vec![
        image("train: tower from the square", Some("church"), [1.0, 0.1, 0.0]),
        image("train: tower from the park", Some("church"), [0.9, 0.2, 0.1]),
        image("train: nave", Some("church"), [0.0, 1.0, 0.1]),
        image("train: nave and organ", Some("church"), [0.1, 0.9, 0.0]),
        image("train: bridge", Some("bridge"), [0.6, 0.0, 0.9]),
        image("tower at night", None, [0.9, 0.0, 0.2]),
        image("nave at noon", None, [0.05, 1.0, 0.0]),
        image("bridge in fog", None, [0.7, 0.0, 0.8]),
    ])?;
    let query = [Query { vector: vec![1.0, 0.05, 0.1], without: None }];
    let snapshot = database.snapshot();
    for (name, rerank) in [("by similarity", None), ("re-ranked", Some(Rerank { k: 2, sort: true, insert: Some(0.6) }))]
    {
        let request = SearchRequest { depth: 2, limit: 2, rerank, ..SearchRequest::default() };
        println!("{name}:");
        for row in &snapshot.search(&request, &query)?[0].rows {
            let stage = row.stage.map_or("", cairn::Stage::word);
            println!("  {:<16} similarity {:.2}  {stage}", row.id, row.similarity);
        }
    }
    Ok(())
}
