//! How is a database backed up while it is in use, and is the copy sound? A backup is one moment of the database; it can be verified
//! without opening it, and restored elsewhere. Run: `cargo run --workspace --example backup_and_restore`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::{Database, Operation, Options, Put};

fn images(from: usize, to: usize) -> Vec<Operation> {
    let put = |number: usize| {
        let put = Put::new(format!("photo {number}"), [number as f32, 100.0 - number as f32, 1.0]);
        if number.is_multiple_of(10) { put.label(format!("place {}", number % 7)).into() } else { put.into() }
    };
    (from..to).map(put).collect()
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("photos.db"), folder.path().join("monday"));
    let restored = folder.path().join("restored.db");
    let database = Database::create(&path, Options::for_vectors(3))?;
    database.write(images(0, 100))?;
    database.flush()?;
    println!("backed up:  {}", database.backup(&backup)?);
    database.write(images(100, 150))?;

    println!("verified:   {}", Database::verify_backup(&backup)?);
    println!("restored:   {}", Database::restore_backup(&backup, &restored)?);
    let copy = Database::open(&restored)?;
    let report = copy.check(true)?;
    println!("checked:    {:?}, problems: {:?}", report.checked, report.problems);
    for (name, database) in [("database", &database), ("restored", &copy)] {
        let counts = database.snapshot().counts();
        println!("{name}:   {} train and {} index images", counts.train, counts.index);
    }

    // A backup whose bytes changed is refused as a whole.
    let current = backup.join("catalog/CURRENT");
    // Hard links share bytes with the database, so the damaged file is a new one.
    std::fs::remove_file(&current).unwrap();
    std::fs::write(&current, "MANIFEST-999999\n").unwrap();
    println!("damaged:    {}", Database::verify_backup(&backup).unwrap_err().message());
    Ok(())
}
