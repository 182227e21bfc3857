//! How does another program read a database that one is writing? It opens it read-only, sees what was durable at that moment, and
//! opens it again for what came later. Run: `cargo run --workspace --example read_beside_a_writer`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Deferral, ErrorKind, Operation, Options, Put, Query, SearchRequest};

fn image(key: &str, label: Option<&str>, vector: [f32; 2]) -> Operation {
    let label = label.map(str::to_owned);
    Operation::Put(Put { key: key.into(), label, vector: vector.into(), source: None, content: None, photo: None })
}

fn nearest(name: &str, database: &Database) -> cairn::Result<()> {
    let request = SearchRequest { depth: 1, limit: 1, ..SearchRequest::default() };
    let answer = &database.snapshot().search(&request, &[Query { vector: vec![1.0, 0.0], without: None }])?[0];
    let id = answer.rows.first().map_or("nothing", |row| &row.id);
    println!("{name} finds {id}: as of sequence {}, {} behind", answer.as_of_sequence, answer.lag);
    Ok(())
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let writer = Database::create(&path, Options::for_vectors(2))?;
    writer.write(vec![image("far", None, [0.5, 0.9]), image("train", Some("bridge"), [1.0, 0.0])])?;

    // A second writer is refused; readers are not.
    let refused = Database::open(&path).err().map(|error| error.kind());
    println!("a second writer: {refused:?}");
    assert_eq!(refused, Some(ErrorKind::Locked));
    let reader = Database::open_read_only(&path)?;
    nearest("the reader", &reader)?;

    // The reader's world stands still while the writer goes on.
    writer.write(vec![image("near", None, [1.0, 0.1])])?;
    nearest("the writer", &writer)?;
    nearest("the reader", &reader)?;
    nearest("the reader, opened again,", &Database::open_read_only(&path)?)?;

    // A write that need not be seen at once returns when it is in the log; `reach` waits until it is seen.
    writer.set_deferral(Deferral::Always);
    let receipt = writer.write(vec![image("nearest", None, [1.0, 0.0])])?;
    writer.reach(receipt.sequence)?;
    nearest("the writer, once it reached that write,", &writer)
}
