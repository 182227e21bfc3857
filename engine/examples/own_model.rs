//! How does one ingest photos with one's own model, without torch? The application embeds; the database records which model its
//! descriptors come from, and refuses those of another one. Run: `cargo run --workspace --example own_model`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use std::sync::Arc;

use cairn::embed::{Embed, Embedded};
use cairn::model::ModelInfo;
use cairn::{Argument, Arguments, Database, ErrorKind, Expect, Options, Outcome, Photo, Ports, Put};

/// A model that sees how bright a photo is, and how much it changes.
struct Brightness;

const FINGERPRINT: &str = "brightness 1";

impl Embed for Brightness {
    fn fingerprint(&self) -> Option<String> {
        Some(FINGERPRINT.to_owned())
    }

    fn embed(&self, photo: &Photo) -> cairn::Result<Embedded> {
        let bytes = match photo {
            Photo::Bytes(bytes) => bytes.clone(),
            Photo::File(path) => std::fs::read(path).map_err(|error| cairn::Error::io(path, error))?,
        };
        let mean = bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() / bytes.len().max(1) as f32;
        let change = bytes.windows(2).map(|pair| f32::from(pair[0].abs_diff(pair[1]))).sum::<f32>();
        Ok(Embedded::of_photo([mean + 1.0, change / bytes.len().max(1) as f32], &bytes))
    }
}

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let model = ModelInfo::new("brightness", FINGERPRINT);
    let options = Options::for_vectors(2).model(model);
    let database = Database::create(folder.path().join("photos.db"), options)?;
    let photos = [("dark", vec![10u8; 64]), ("light", vec![240; 64]), ("stripes", [0u8, 255].repeat(32))];
    for (name, bytes) in &photos {
        let vector = Brightness.embed(&Photo::Bytes(bytes.clone()))?.vector;
        database.write_if([Expect::model(FINGERPRINT)], [Put::new(*name, vector).into()])?;
    }
    let ports = Ports::default().embed(Arc::new(Brightness));
    let query = Arguments::of([Argument::Photo(Photo::Bytes(vec![200, 20, 220, 10, 250, 5]))]);
    if let Some(Outcome::Answers(found)) = database.query("SEARCH $1 K 3", &query, &ports)?.pop() {
        let keys: Vec<&str> = found.answers[0].rows.iter().map(|row| row.id.as_str()).collect();
        println!("most alike first: {}", keys.join(", "));
    }
    let refused = database.write_if([Expect::model("another model")], [Put::new("x", [1.0, 1.0]).into()]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Mismatch);
    println!("refused: {}", refused.message());
    Ok(())
}
