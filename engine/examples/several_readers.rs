//! What do readers see beside a writer? Each holds a snapshot, which is one state for as long as it is held, and never waits for
//! a write.
//! Run: `cargo run --workspace --example several_readers`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use std::sync::atomic::{AtomicBool, Ordering};

use cairn::{Database, Options, Put, Query, SearchRequest};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2))?;
    let first = database.snapshot();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (database, is_done) = (&database, &is_done);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut last = 0;
                    while !is_done.load(Ordering::Relaxed) {
                        let snapshot = database.snapshot();
                        let answer =
                            snapshot.search_one(&SearchRequest::new().depth(5), &Query::new([1.0, 1.0])).unwrap();
                        // What an answer holds is of one write, and later snapshots are of later ones.
                        assert!(answer.as_of_sequence == snapshot.sequence() && snapshot.sequence() >= last);
                        last = snapshot.sequence();
                    }
                    last
                })
            })
            .collect();
        for n in 0..200 {
            database.write([Put::new(format!("photo {n:03}"), [1.0, n as f32 / 200.0]).into()]).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        let seen: Vec<u64> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        println!("the readers saw up to writes {seen:?} of 200");
    });
    println!("the first snapshot still has {} images", first.counts().index);
    Ok(())
}
