//! The record that a database keeps of a model's training.
//!
//! For discriminants: the final ones have learnt from every image, so that no image is held out from them. To compare them with
//! other discriminants of the network, the training repeats them from the recorded images.
//!
//! For a trained network: the statement and the photos of the training. A training of an adapter does not change its network, so
//! repeating it gives the same model. The training of a network starts from the active one; if it were repeated, for example
//! after a kill just before its report, it would continue from its own result.

use bytes::Bytes;
use cairn::model::ModelInfo;
use cairn::{Error, Result, Snapshot};

use crate::model::base_of;

/// How discriminants were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recipe {
    /// How many dimensions they were to have.
    pub(super) dimension: usize,
    /// The last cleaning then; what later ones marked was learnt from. 0: there was none.
    pub(super) cleaning: u64,
}

/// The name of the file that says how discriminants were made.
pub(super) fn name(fingerprint: &str) -> String {
    format!("discriminants {fingerprint}")
}

/// The file that says that a model is made of discriminants, and how.
pub(super) fn file(fingerprint: &str, recipe: Recipe) -> (String, Bytes) {
    (name(fingerprint), recipe.text().into())
}

/// How a model of discriminants behind the network `base` was made; `None`: it is made otherwise.
///
/// # Errors
/// A damaged catalog.
pub(super) fn of(snapshot: &Snapshot, model: &ModelInfo, base: &ModelInfo) -> Result<Option<Recipe>> {
    if base_of(model)?.fingerprint != base.fingerprint {
        return Ok(None);
    }
    let Some(bytes) = snapshot.model_file(&name(&model.fingerprint))? else { return Ok(None) };
    let recipe = std::str::from_utf8(&bytes).ok().and_then(Recipe::parse);
    let lost = || Error::corrupt(format!("the record of the training of model {} cannot be read", model.fingerprint));
    recipe.map(Some).ok_or_else(lost)
}

/// What a trained network came of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// A digest of the statement, photos and labels.
    pub(super) asked: String,
    /// The name of the file that held the state of the training.
    pub(super) checkpoint: String,
}

/// The name of the file that says what a network came of.
pub(super) fn training(fingerprint: &str) -> String {
    format!("training of {fingerprint}")
}

/// The file that says what a trained network comes of.
pub(super) fn origin_file(fingerprint: &str, origin: &Origin) -> (String, Bytes) {
    (training(fingerprint), format!("{} {}", origin.asked, origin.checkpoint).into())
}

/// What a network came of; `None`: it was not trained here.
///
/// # Errors
/// A damaged catalog.
pub(super) fn origin(snapshot: &Snapshot, fingerprint: &str) -> Result<Option<Origin>> {
    let kept = snapshot.model_file(&training(fingerprint))?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(kept
        .as_deref()
        .and_then(|kept| kept.split_once(' '))
        .map(|(asked, checkpoint)| Origin { asked: asked.to_owned(), checkpoint: checkpoint.to_owned() }))
}

impl Recipe {
    fn text(self) -> String {
        format!("{} {}", self.dimension, self.cleaning)
    }

    /// A recipe without a cleaning was written before there was that number.
    fn parse(text: &str) -> Option<Self> {
        let (dimension, cleaning) = text.split_once(' ').unwrap_or((text, "0"));
        Some(Self { dimension: dimension.parse().ok()?, cleaning: cleaning.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_what_was_kept() {
        let recipe = Recipe { dimension: 256, cleaning: 3 };
        assert_eq!(Recipe::parse(&recipe.text()), Some(recipe));
        assert_eq!(Recipe::parse("128"), Some(Recipe { dimension: 128, cleaning: 0 }));
        for text in ["", "a", "256 ", "256 3 1", " 3"] {
            assert_eq!(Recipe::parse(text), None, "{text}");
        }
    }
}
