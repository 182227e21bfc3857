//! What happens to stored predictions when a label changes? They follow in the same transaction, and a snapshot taken before keeps
//! what it saw. Run: `cargo run --workspace --example stream_and_relabel`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Operation, Options, Put, Snapshot};

fn image(key: &str, label: Option<&str>, vector: [f32; 2]) -> Operation {
    let label = label.map(str::to_owned);
    Operation::Put(Put { key: key.into(), label, vector: vector.into(), source: None, content: None, photo: None })
}

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
    let options = Options { vote_k: 1, ..Options::for_vectors(2) };
    let database = Database::create(&folder.path().join("stream.db"), options)?;
    // Photos come in as a stream; labels come later, and are put right later still.
    for (number, vector) in [[1.0, 0.1], [0.9, 0.2], [0.1, 1.0]].into_iter().enumerate() {
        database.write(vec![image(&format!("photo {number}"), None, vector)])?;
    }
    show("before any label", &database.snapshot())?;
    database.write(vec![image("left", Some("bridge"), [1.0, 0.0]), image("right", Some("tower"), [0.0, 1.0])])?;
    let before = database.snapshot();
    show("two train images", &before)?;
    let receipt = database.write(vec![Operation::Label { key: "left".into(), label: "aqueduct".into() }])?;
    show("the left one relabelled", &database.snapshot())?;
    println!("{} image and {} predictions changed in that write", receipt.images_changed, receipt.predictions_changed);
    show("the snapshot of before", &before)
}
