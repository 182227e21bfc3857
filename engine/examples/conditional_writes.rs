//! How do several threads insert a key once, or change what they read, without their own lock? By conditional writes.
//! Run: `cargo run --workspace --example conditional_writes`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "an example stops at the first surprise")]

use cairn::{Database, ErrorKind, Expect, Options, Put};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open_or_create(folder.path().join("places.db"), Options::for_vectors(2))?;
    // Four threads see the same photo; one of them stores it.
    let stored = std::thread::scope(|scope| {
        let one = || {
            let put = Put::new("photo", [0.6, 0.8]).into();
            match database.write_if([Expect::absent("photo")], [put]) {
                Ok(_) => 1,
                Err(error) if error.kind() == ErrorKind::Conflict => 0,
                Err(error) => panic!("{error}"),
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    println!("{stored} of 4 threads stored the photo");
    // A change of what was read: it is done only if nobody changed it meanwhile.
    loop {
        let seen = database.snapshot().record("photo")?.unwrap();
        let next = Put::new("photo", [0.6, 0.8]).source("camera 2").into();
        match database.write_if([Expect::version("photo", seen.version)], [next]) {
            Ok(receipt) => break println!("changed by write {}", receipt.sequence),
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
