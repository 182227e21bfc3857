//! Photos that came in though they are there already, under another key: the same bytes, or the same vector.
//!
//! They go in all the same, since two keys may be meant; but each of them answers beside the other, and votes beside it.

use std::collections::HashMap;

use cairn::lists::Listed;
use cairn::{Result, Snapshot};

use super::Word;

/// Pairs of keys that are named.
const NAMED: usize = 5;

/// The added photos that are also stored under another key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Twins {
    /// How many of the added.
    pub count: usize,
    /// The key of some of them, and another key of the same photo.
    pub pairs: Vec<(String, String)>,
}

/// The added photos: of each the first bytes of its BLAKE3, and how often. Two photos that agree in 64 bits of it count as one
/// here, where only a remark depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Added {
    photos: HashMap<u64, u32>,
}

fn short(content: &[u8; 32]) -> u64 {
    content.first_chunk().map_or(0, |&first| u64::from_le_bytes(first))
}

impl Added {
    /// Notes an image that was written, if it was not there before.
    pub(super) fn note(&mut self, word: &Word, listed: &Listed) {
        if let (true, Some(content)) = (word.is_new(), &listed.content) {
            *self.photos.entry(short(content)).or_default() += 1;
        }
    }

    /// Which of the added are other keys of stored photos. Of several keys that came together one counts as the first.
    ///
    /// Complexity: reads every record once, and again where something is to be named; none where nothing was added.
    pub(super) fn twins(&self, snapshot: &Snapshot) -> Result<Twins> {
        if self.photos.is_empty() {
            return Ok(Twins::default());
        }
        let mut stored: HashMap<u64, u32> = HashMap::with_capacity(self.photos.len());
        snapshot.each_content(&mut |_, content| {
            let short = short(content);
            if self.photos.contains_key(&short) {
                *stored.entry(short).or_default() += 1;
            }
        })?;
        stored.retain(|_, keys| *keys > 1);
        let twins = |(short, keys): (&u64, &u32)| (keys - 1).min(self.photos.get(short).copied().unwrap_or(0)) as usize;
        let count = stored.iter().map(twins).sum();
        let mut named: HashMap<u64, Vec<String>> = HashMap::new();
        if count > 0 {
            snapshot.each_content(&mut |key, content| {
                let short = short(content);
                if stored.contains_key(&short) && (named.len() < NAMED || named.contains_key(&short)) {
                    let keys = named.entry(short).or_default();
                    if keys.len() < 2 {
                        keys.push(key.to_owned());
                    }
                }
            })?;
        }
        let pair = |keys: Vec<String>| <[String; 2]>::try_from(keys).ok().map(|[first, second]| (second, first));
        let mut pairs: Vec<_> = named.into_values().filter_map(pair).collect();
        pairs.sort_unstable();
        Ok(Twins { count, pairs })
    }
}
