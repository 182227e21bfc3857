//! What happens to stored predictions when a label changes? They change in the same transaction, and an earlier snapshot keeps
//! its state. Run: `cargo run --workspace --example stream_and_relabel`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Operation, Options, Put, Snapshot};

fn show(when: &str, snapshot: &Snapshot) -> cairn::Result<()> {
    println!("{when} (sequence {}):", snapshot.sequence());
    for key in snapshot.keys(Some(cairn::Role::Index))? {
        match snapshot.prediction(&key)? {
            Some(vote) => println!("  {key} shows {} ({:.2})", vote.instance, vote.score),
            None => println!("  {key}: nobody votes yet"),
        }
    }
    Ok(())
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::for_vectors(2).vote_k(1);
    let database = Database::create(folder.path().join("stream.db"), options)?;
    // Photos come in as a stream; labels come later, and are put right later still.
    for (number, vector) in [[1.0, 0.1], [0.9, 0.2], [0.1, 1.0]].into_iter().enumerate() {
        database.write(vec![Put::new(format!("photo {number}"), vector).into()])?;
    }
    show("before any label", &database.snapshot())?;
    database.write(vec![
        Put::new("left", [1.0, 0.0]).label("bridge").into(),
        Put::new("right", [0.0, 1.0]).label("tower").into(),
    ])?;
    let before = database.snapshot();
    show("two train images", &before)?;
    let receipt = database.write(vec![Operation::Label { key: "left".into(), label: "aqueduct".into() }])?;
    show("the left one relabelled", &database.snapshot())?;
    println!("{} image and {} predictions changed in that write", receipt.images_changed, receipt.predictions_changed);
    show("the snapshot of before", &before)
}
