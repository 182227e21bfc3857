//! How does a database switch to another model while it is used? Descriptors of all images are computed beside the active ones,
//! then one key flips; switching back works the same way. Run: `cargo run --workspace --example model_change`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::model::{ModelInfo, Reembed, Target, Wanted};
use cairn::{Database, ErrorKind, Expect, Options, Progress, Put, Query, SearchRequest};

/// Makes descriptors of three components from those of two.
struct Lifted;

impl Reembed for Lifted {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        Ok(images.iter().map(|image| Ok(vec![image.vector[0], image.vector[1], 0.5])).collect())
    }
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2))?;
    database.write((0..100).map(|n| {
        let put = Put::new(format!("photo {n:03}"), [1.0, n as f32 / 100.0]);
        if n % 10 == 0 { put.label(format!("place {}", n / 50)).into() } else { put.into() }
    }))?;
    let before = database.snapshot();
    let model = ModelInfo::new("lifted", "lifted 1");
    let steps = AtomicUsize::new(0);
    // `Break` would stop it; what is embedded by then is kept.
    let watch = |at: Progress<'_>| {
        if at.what == Progress::DESCRIPTORS {
            steps.fetch_add(1, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    // A writer that embeds itself names the model of its vectors: after the switch those of the earlier one are refused.
    let own = || database.write_if([Expect::Model(None)], [Put::new("late", [0.3, 0.7]).into()]);
    own()?;
    let number = database.change_model(Target::new(model, 3), &Lifted, Some(&watch))?;
    println!("model {number} is active after {} steps of embedding", steps.into_inner());
    println!(
        "descriptors have {} components; the snapshot of before sees {}",
        database.snapshot().dimension(),
        before.dimension()
    );
    assert_eq!(own().unwrap_err().kind(), ErrorKind::Mismatch);
    let fingerprint = Some("lifted 1");
    let query = [Query::new([1.0, 0.0, 0.5])];
    let found = database.snapshot().search_of_model(fingerprint, &SearchRequest::new().depth(1), &query)?;
    println!("nearest: {}", found[0].rows[0].id);
    for model in database.models()? {
        let name = model.model.map_or("the caller's own".to_owned(), |model| model.name);
        println!("model {}: {name}, active: {}", model.number, model.active);
    }
    Ok(())
}
