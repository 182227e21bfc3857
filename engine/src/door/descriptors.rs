//! Descriptors of an inactive model, kept beside the active ones, so that they need not be computed again.

use super::database::Database;
use crate::error::Result;
use crate::state::Snapshot;

impl Database {
    /// Keeps descriptors of an inactive model of the database, by the keys of the images that `seen` shows; the database
    /// normalises them. It skips an image that already has a descriptor of the model, that was deleted since, or that has another
    /// photo. If the model is active or gone, or another model is becoming active, it keeps none. Returns the number of
    /// descriptors that it kept.
    ///
    /// # Errors
    /// `ReadOnly`; `Mismatch`: a descriptor is of another length; `Io`.
    pub fn keep_descriptors(&self, seen: &Snapshot, number: u32, rows: Vec<(String, Vec<f32>)>) -> Result<usize> {
        let (_no_flip, _) = self.shared.enter()?;
        // Whoever changes the model counts on what it found; whoever drops it leaves nothing of it.
        let Some(_no_change) = self.shared.epochs.try_lock() else { return Ok(0) };
        let core = self.shared.core();
        core.refuse_when_read_only()?;
        let is_it = |space: &crate::catalog::Space| space.id.0 == number && space.id != core.catalog().space();
        let Some(space) = core.spaces()?.into_iter().find(is_it) else { return Ok(0) };
        let pinned = core.catalog().pin();
        let mut bare = Vec::with_capacity(rows.len());
        for (key, vector) in rows {
            if let Some(id) = seen.state.pinned.image(&key)?
                && !pinned.has_vector(space.id, id)?
            {
                bare.push((id, vector));
            }
        }
        if bare.is_empty() { Ok(0) } else { core.put_descriptors(&space, bare) }
    }
}

#[cfg(test)]
mod tests {
    use crate::background::Target;
    use crate::door::Database;
    use crate::error::{ErrorKind, Result};
    use crate::operation::{Operation, Put};
    use crate::options::{ModelInfo, Options};
    use crate::ports::{Reembed, Wanted};
    use crate::write::Expect;

    fn model(name: &str) -> ModelInfo {
        ModelInfo { name: name.to_owned(), fingerprint: name.to_owned(), settings: String::new() }
    }

    /// Gives every image the same descriptor.
    struct Same(Vec<f32>);

    impl Reembed for Same {
        fn reembed(&self, images: &[Wanted]) -> Result<Vec<Result<Vec<f32>>>> {
            Ok(images.iter().map(|_| Ok(self.0.clone())).collect())
        }
    }

    /// It catches: a descriptor that is kept for an image that has another photo since; one that replaces one that votes; a kept
    /// one that is missing when its model becomes active.
    #[test]
    fn what_was_made_for_a_model_out_of_force_is_kept_for_the_photo_that_it_was_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_model(model("first"), 2)).unwrap();
        let put = |key: &str| -> Operation { Put::new(key, vec![1.0, 0.0]).into() };
        database.write(vec![put("old")]).unwrap();
        let second = Target::new(model("second"), 3);
        database.change_model(second, &Same(vec![0.0, 0.0, 1.0]), None).unwrap();
        let put = |key: &str| -> Operation { Put::new(key, vec![0.0, 1.0, 0.0]).into() };
        let named = [Expect::model(model("second").fingerprint)];
        database.write_if(named.clone(), [put("kept"), put("replaced"), put("deleted")]).unwrap();
        let seen = database.snapshot();
        let another = Put::new("replaced", vec![1.0, 0.0, 0.0]).into();
        database.write_if(named, [another, Operation::delete("deleted")]).unwrap();
        let rows = || ["old", "kept", "replaced", "deleted"].map(|key| (key.to_owned(), vec![0.0, 2.0])).to_vec();
        assert_eq!(database.keep_descriptors(&seen, 1, rows()).unwrap(), 0, "the active model has its own");
        assert_eq!(database.keep_descriptors(&seen, 7, rows()).unwrap(), 0, "there is no such model");
        let short = database.keep_descriptors(&seen, 0, vec![("kept".to_owned(), vec![1.0])]).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Mismatch);
        assert_eq!(database.keep_descriptors(&seen, 0, rows()).unwrap(), 1);
        let keys = ["old", "kept", "replaced"].map(str::to_owned);
        let there = database.snapshot().descriptors(0, &keys).unwrap();
        assert_eq!(there, [Some(vec![1.0, 0.0]), Some(vec![0.0, 1.0]), None]);
        let back = Target { number: Some(0), ..Target::new(model("first"), 2) };
        database.change_model(back, &Same(vec![-1.0, 0.0]), None).unwrap();
        assert_eq!(database.snapshot().vector("kept").unwrap(), Some(vec![0.0, 1.0]));
        assert_eq!(database.snapshot().vector("replaced").unwrap(), Some(vec![-1.0, 0.0]));
        assert!(database.check(true).unwrap().problems.is_empty());
    }
}
