//! How is a search restricted to some of the images? By conditions on the predicted instance, the role or the path, which apply
//! in both stages. Run: `cargo run --workspace --example filters`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Condition, Database, Field, Options, Put, Query, Rerank, Scope, SearchRequest};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2).vote_k(1))?;
    let towers =
        (0..3).map(|n| Put::new(format!("t{n}"), [1.0, 0.1 * n as f32]).source(format!("2024/t{n}.jpg")).into());
    let domes =
        (0..3).map(|n| Put::new(format!("d{n}"), [0.1 * n as f32, 1.0]).source(format!("2023/d{n}.jpg")).into());
    database.write(towers.chain(domes))?;
    database.write([
        Put::new("a tower", [1.0, 0.0]).label("tower").into(),
        Put::new("a dome", [0.0, 1.0]).label("dome").into(),
    ])?;
    let snapshot = database.snapshot();
    let is = |field, value: &str, like| Condition { field, value: value.to_owned(), like };
    let show = |what: &str, request: SearchRequest| {
        let answer = snapshot.search_one(&request, &Query::new([1.0, 1.0]))?;
        let keys: Vec<&str> = answer.rows.iter().map(|row| row.id.as_str()).collect();
        println!("{what}: {}", keys.join(" "));
        cairn::Result::Ok(())
    };
    show("all index images", SearchRequest::new())?;
    show("predicted to be the dome", SearchRequest::new().filter(is(Field::Instance, "dome", false)))?;
    show("of 2024", SearchRequest::new().filter(is(Field::Path, "2024/%", true)))?;
    show("train images too", SearchRequest::new().scope(Scope::All))?;
    show("of 2023, re-ranked", SearchRequest::new().filter(is(Field::Path, "2023/%", true)).rerank(Rerank::new()))
}
