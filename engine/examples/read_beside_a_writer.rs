//! How does one program read a database that another one writes? It opens it read-only, sees what was durable at that moment, and
//! refreshes for later writes. Run: `cargo run --workspace --example read_beside_a_writer`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Deferral, ErrorKind, Options, Put, Query, SearchRequest};

fn nearest(name: &str, database: &Database) -> cairn::Result<()> {
    let request = SearchRequest::new().depth(1);
    let answer = &database.snapshot().search(&request, &[Query::new([1.0, 0.0])])?[0];
    let id = answer.rows.first().map_or("nothing", |row| &row.id);
    println!("{name} finds {id}: as of sequence {}, {} behind", answer.as_of_sequence, answer.lag);
    Ok(())
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let writer = Database::create(&path, Options::for_vectors(2))?;
    writer.write(vec![Put::new("far", [0.5, 0.9]).into(), Put::new("train", [1.0, 0.0]).label("bridge").into()])?;

    // A second writer is refused; readers are not.
    let refused = Database::open(&path).err().map(|error| error.kind());
    println!("a second writer: {refused:?}");
    assert_eq!(refused, Some(ErrorKind::Locked));
    let reader = Database::open_read_only(&path)?;
    nearest("the reader", &reader)?;

    // The reader's state stays as it is while the writer writes.
    writer.write(vec![Put::new("near", [1.0, 0.1]).into()])?;
    nearest("the writer", &writer)?;
    nearest("the reader", &reader)?;
    reader.refresh()?;
    nearest("the reader, refreshed,", &reader)?;

    // A write that need not be seen at once returns when it is in the log; `wait_for` waits until it is seen.
    writer.set_deferral(Deferral::Always);
    let receipt = writer.write(vec![Put::new("nearest", [1.0, 0.0]).into()])?;
    writer.wait_for(receipt.sequence)?;
    nearest("the writer, once it reached that write,", &writer)
}
