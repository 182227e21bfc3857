//! `cairn eval --submission`: the answers of sort + insert as a file that competitions take.

use std::collections::HashMap;
use std::io::{BufWriter, ErrorKind, Write as _};

use cairn::eval::Recognised;
use cairn::reports::Asked;
use cairndb_ingest::answers::{write_lists, write_predictions};

use super::recognition::Rule;
use crate::comparison::query_id;
use crate::failure::{Failure, Result};
use crate::output::Target;

/// Writes the lists of queries with an id, `id,images`.
///
/// # Errors
/// When a key has a space or an id comes twice, or the file cannot be written.
pub(super) fn lists(target: Target, lists: &[(String, Vec<String>)]) -> Result<()> {
    written(target, |out| write_lists(out, lists.iter().map(|(query, list)| (query.as_str(), list.as_slice()))))
}

/// Writes what a rule predicts for each query with an id, `id,landmarks`.
///
/// # Errors
/// As [`lists`].
pub(super) fn predictions(target: Target, asked: &[Asked], (_, found): &Rule) -> Result<()> {
    let by_query: HashMap<&str, &Recognised> = found.iter().map(|found| (found.query.as_str(), found)).collect();
    let of = |query| by_query.get(query).map(|found| (found.label.as_str(), found.score));
    let all = asked.iter().filter_map(query_id).map(|query| (query, of(query)));
    written(target, |out| write_predictions(out, all))
}

fn written(target: Target, write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Result<()> {
    let path = target.path().to_owned();
    let mut draft = target.begin()?;
    let mut out = BufWriter::new(&mut draft);
    let done = write(&mut out).and_then(|()| out.flush());
    drop(out);
    match done {
        Ok(()) => draft.finish(),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(Failure::new(format!("{}: {error}", path.display()))
                .help("queries need ids of their own, and the keys of images no spaces, to be written as a submission"))
        }
        Err(error) => Err(Failure::io(&path, error)),
    }
}
