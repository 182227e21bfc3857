//! The queries of an evaluation: photos or vectors, with their ids in the known answers.

use std::collections::HashSet;
use std::path::Path;

use cairn::embed::{FailedQuery, NamedQuery, QueryFile};
use cairn::reports::Asked;
use cairn::{Photo, Query};
use cairndb_ingest::source::read_ids;

use super::Asking;
use crate::failure::{Failure, Result};
use crate::lists::text;
use crate::session::Session;

/// The queries that can run, and those that cannot.
///
/// # Errors
/// When a file cannot be read, no query can run, or `needs_ids` and none has an id.
pub(super) fn read(session: &Session, asking: &Asking<'_>, needs_ids: bool) -> Result<(Vec<Asked>, Vec<FailedQuery>)> {
    let reader = session.ports.queries.as_ref().ok_or_else(|| Failure::new("this program cannot read queries"))?;
    let QueryFile { queries, mut failed, .. } = reader.read(asking.queries)?;
    let ids = asking.ids.map(|path| read_query_ids(path, queries.len() + failed.len())).transpose()?;
    for failed in &mut failed {
        failed.id = ids.as_ref().map(|ids| ids[failed.number].clone()).or(failed.id.take());
    }
    if let (true, Some(first)) = (queries.is_empty(), failed.first()) {
        let what = format!("{}: none of its queries can run; {}", asking.queries.display(), first.name());
        return Err(Failure::new(format!("{what}: {}", first.reason)));
    }
    // Known answers without names mean queries by their numbers.
    if needs_ids && ids.is_none() && queries.iter().all(|query| query.id.is_none()) {
        return Err(Failure::new(format!("the queries of {} have no ids", asking.queries.display()))
            .help("give them with --query-ids FILE, one per line, in the order of the vectors"));
    }
    let asked = |query: NamedQuery| {
        let id = ids.as_ref().map(|ids| ids[query.number].clone()).or(query.id);
        let name = match (&query.photo, &id) {
            (Some(Photo::File(path)), None) => path.display().to_string(),
            (_, Some(id)) => id.clone(),
            _ => format!("query {}", query.number),
        };
        let (vector, photo, number) = (query.vector, query.photo, query.number);
        Asked::new(name, number, Query::new(vector)).id(id).photo(photo)
    };
    Ok((queries.into_iter().map(asked).collect(), failed))
}

/// The ids of this many queries, one per line, without white space around them.
fn read_query_ids(path: &Path, queries: usize) -> Result<Vec<String>> {
    let ids = read_ids(text(path)?, queries)?;
    let ids: Vec<String> = ids.into_iter().map(|id| id.trim().to_owned()).collect();
    let mut seen = HashSet::new();
    match ids.iter().enumerate().find(|(_, id)| id.is_empty() || !seen.insert(id.as_str())) {
        None => Ok(ids),
        Some((line, id)) => {
            Err(Failure::new(format!("{}: line {} is empty or repeats the id '{id}'", path.display(), line + 1)))
        }
    }
}
