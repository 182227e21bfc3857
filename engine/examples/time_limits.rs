//! How does one stop a search, or limit its time? With a token that the search checks; clones of it share one flag. Run:
//! `cargo run --workspace --example time_limits`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use std::time::Duration;

use cairn::{Database, ErrorKind, Options, Put, Query, SearchRequest, Stop};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2))?;
    database.write((0..2_000u16).map(|n| Put::new(format!("{n}"), [1.0, f32::from(n)]).into()))?;
    let queries: Vec<Query> = (0..50_000u16).map(|n| Query::new([f32::from(n), 1.0])).collect();
    let request = SearchRequest::new().depth(100);

    // A limit: the clock runs from the call of `after`.
    let hurried = database.snapshot().with_stop(&Stop::new().after(Duration::from_millis(20)));
    let error = hurried.search(&request, &queries).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    println!("{error}");

    // A button: another thread presses it.
    let stop = Stop::new();
    let stopped = database.snapshot().with_stop(&stop);
    let pressed = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        stop.stop();
    });
    let error = stopped.search(&request, &queries).unwrap_err();
    println!("{error}");
    pressed.join().unwrap();

    // The same token ends any other long call, as its watch.
    let error = database.check_watched(true, &Stop::new().after(Duration::ZERO)).unwrap_err();
    println!("{error}");
    Ok(())
}
