//! What a trained model was worth when it was trained: kept with it, so that a training by another recipe does not displace a
//! better one unasked.

use cairn::language::TrainPlan;
use cairn::{Database, Error, Result};

/// A model's figure on images that it was not trained on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    /// What was trained, with which loss.
    recipe: String,
    /// mAP@100 of sort + insert, 0 to 1: images held out ask for each other.
    reranked: f64,
}

fn name(fingerprint: &str) -> String {
    format!("judged {fingerprint}")
}

impl Judgement {
    pub(super) fn new(plan: &TrainPlan, reranked: f64) -> Self {
        let what = if plan.trunk.is_some() { "network" } else { "map" };
        Self { recipe: format!("{what} {}", plan.loss.name()), reranked }
    }

    /// Keeps it for a model.
    pub(super) fn keep(&self, database: &Database, fingerprint: &str) -> Result<()> {
        database.put_file(&name(fingerprint), format!("{}\n{}", self.recipe, self.reranked).as_bytes())
    }

    /// That of a model; `None`: it was never judged.
    pub(super) fn of(database: &Database, fingerprint: &str) -> Result<Option<Self>> {
        let Some(bytes) = database.file(&name(fingerprint))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let parts = text.split_once('\n').and_then(|(recipe, figure)| Some((recipe, figure.parse().ok()?)));
        let (recipe, reranked) = parts.ok_or_else(|| {
            Error::corrupt(format!("what is kept of the judgement of model {fingerprint} is no figure"))
        })?;
        Ok(Some(Self { recipe: recipe.to_owned(), reranked }))
    }

    /// Forgets that of a model.
    pub(super) fn forget(database: &Database, fingerprint: &str) -> Result<()> {
        database.remove_files(&name(fingerprint))
    }

    /// Why a model of this judgement should not displace one of `other`'s; `None`: nothing speaks against it. The same recipe on
    /// other images may come out a little lower and still be better for them, so it is not compared.
    pub(super) fn why_worse_than(&self, other: &Judgement) -> Option<String> {
        let (old, new) = (other.reranked, self.reranked);
        (self.recipe != other.recipe && new < old).then(|| {
            format!(
                "it had sort + insert mAP@100 {old:.4} on images held out when it was trained, the new one has {new:.4}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cairn::Options;

    #[test]
    fn another_recipe_must_not_be_worse() {
        let judged = |recipe: &str, reranked| Judgement { recipe: recipe.to_owned(), reranked };
        let old = judged("map lda", 0.85);
        let why = judged("map arcface", 0.8).why_worse_than(&old).unwrap();
        assert!(why.contains("0.8500") && why.contains("0.8000"), "{why}");
        assert_eq!(judged("map arcface", 0.86).why_worse_than(&old), None);
        assert_eq!(judged("map lda", 0.8).why_worse_than(&old), None);
        let home = tempfile::tempdir().unwrap();
        let database = Database::create(&home.path().join("db"), Options::for_vectors(2)).unwrap();
        assert_eq!(Judgement::of(&database, "f").unwrap(), None);
        old.keep(&database, "f").unwrap();
        assert_eq!(Judgement::of(&database, "f").unwrap(), Some(old));
    }
}
