//! How does one iterate over everything that is stored, in bounded memory? With a snapshot's iterators, which read a page at a
//! time.
//! Run: `cargo run --workspace --example export_rows`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Options, Put, Role};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2).vote_k(1))?;
    database.write([
        Put::new("2023/a", [1.0, 0.0]).label("tower").into(),
        Put::new("2024/a", [0.9, 0.1]).into(),
        Put::new("2024/b", [0.8, 0.3]).into(),
    ])?;
    let snapshot = database.snapshot();
    println!("key,role,label,predicted,score,descriptor");
    for record in snapshot.images() {
        let record = record?;
        let vote = snapshot.prediction(&record.key)?;
        let (instance, score) = vote.map_or((String::new(), 0.0), |vote| (vote.instance, vote.score));
        let vector = snapshot.vector(&record.key)?.unwrap_or_default();
        let label = record.label.unwrap_or_default();
        println!("{},{:?},{label},{instance},{score:.3},{vector:?}", record.key, record.role);
    }
    let of_2024: Vec<String> = snapshot.images().prefix("2024/").keys().collect::<cairn::Result<_>>()?;
    println!("of 2024: {}", of_2024.join(" "));
    for found in snapshot.of_instance("tower", Role::Index) {
        let (key, vote) = found?;
        println!("{key} shows the tower, by {:.3}", vote.score);
    }
    Ok(())
}
