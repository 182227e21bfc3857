//! Known answers of every kind that `cairn eval` takes, and the names that they need.

use std::path::Path;

use cairn::eval::RecognitionTruth;
use cairn::limits::MAX_KEY_BYTES;
use cairndb_ingest::answers::{KnownAnswers, RevisitedAnswers};
use cairndb_ingest::source::MAX_LIST_BYTES;

use crate::failure::{Failure, Result};
use crate::lists::text;
use crate::solution::Solution;

/// The known answers of queries.
pub(crate) enum Known {
    /// The images that each query should find.
    Retrieval(Solution),
    /// The labels that each query shows.
    Recognition(RecognitionTruth),
    /// The images that each query should find, by difficulty.
    Revisited(RevisitedAnswers),
}

impl Known {
    /// Reads a file; `images`: a file with the names that the numbers of a JSON file mean, one per line.
    ///
    /// # Errors
    /// When a file cannot be read or is invalid, a JSON file has no names and `images` is absent, or `images` is given for another file.
    pub(crate) fn read(path: &Path, images: Option<&Path>) -> Result<Self> {
        let known = KnownAnswers::read(text(path)?)?;
        let known = match (known, images) {
            (KnownAnswers::Revisited(answers), Some(images)) => {
                let source = images.display().to_string();
                KnownAnswers::Revisited(answers.with_images(&source, names(images)?)?)
            }
            (_, Some(images)) => {
                let what = format!("{} has its ids itself, so --truth-images has no use", path.display());
                return Err(Failure::usage(what).help(format!("leave out --truth-images {}", images.display())));
            }
            (known, None) => known,
        };
        Ok(match known {
            KnownAnswers::Retrieval(truths) => Self::Retrieval(Solution::new(truths)),
            KnownAnswers::Recognition(truth) => Self::Recognition(truth),
            KnownAnswers::Revisited(answers) if answers.images().is_none() => {
                return Err(Failure::new(format!("{} has numbers of images, but not their names", path.display()))
                    .help(
                        "give the names with --truth-images FILE, one per line, in the order of the numbers from 0 on",
                    ));
            }
            KnownAnswers::Revisited(answers) => Self::Revisited(answers),
        })
    }
}

/// The names of a file, one per line; empty lines at its end do not count.
fn names(path: &Path) -> Result<Vec<String>> {
    let (mut names, mut empty) = (Vec::new(), None);
    text(path)?.lines(MAX_KEY_BYTES, MAX_LIST_BYTES, |line, name| {
        match (name.trim(), empty) {
            ("", _) => empty = empty.or(Some(line)),
            (_, Some(empty)) => {
                return Err(cairn::Error::new(
                    cairn::ErrorKind::Invalid,
                    format!("{}: line {empty} is empty", path.display()),
                ));
            }
            (name, None) => names.push(name.to_owned()),
        }
        Ok(())
    })?;
    Ok(names)
}
