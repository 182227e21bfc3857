//! Reads the catalog a page at a time, for iterations in bounded memory.

use super::{Family, Pinned, codec};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::vote::Ballot;

/// An image among those that are predicted to be one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Posting {
    pub(crate) score: f32,
    pub(crate) key: String,
}

impl Pinned {
    /// At most `most` external keys with that prefix behind `last`, in byte order, and the images that they lead to.
    pub(crate) fn keys_behind(&self, prefix: &str, last: Option<&str>, most: usize) -> Result<Vec<(String, ImageId)>> {
        let mut page = Vec::new();
        let from = last.unwrap_or(prefix);
        self.scan_from(Family::Keys, prefix.as_bytes(), from.as_bytes(), |key, value| {
            let key = std::str::from_utf8(key).map_err(|_| Error::corrupt("a stored key is not UTF-8"))?;
            if Some(key) != last {
                page.push((key.to_owned(), ImageId(codec::number_of(value)?)));
            }
            Ok(page.len() < most)
        })?;
        Ok(page)
    }

    /// At most `most` postings of a space, k, role and label behind `last`, best score first, equal scores by key.
    pub(crate) fn postings_behind(
        &self,
        (space, k, role, label): (SpaceId, usize, Role, LabelId),
        last: Option<&Posting>,
        most: usize,
    ) -> Result<Vec<Posting>> {
        let prefix = codec::posting_prefix(space, k, role, label);
        let from = match last {
            Some(Posting { score, key }) => codec::posting_key(space, k, role, Ballot { label, score: *score }, key),
            None => prefix.clone(),
        };
        let mut page = Vec::new();
        self.scan_from(Family::ByInstance, &prefix, &from, |posting, _| {
            if last.is_none() || posting != from {
                let (score, key) = codec::posting_of(posting, prefix.len())?;
                page.push(Posting { score, key: key.to_owned() });
            }
            Ok(page.len() < most)
        })?;
        Ok(page)
    }
}
