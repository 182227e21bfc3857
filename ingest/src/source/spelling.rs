//! Labels as lists spell them and as the database keeps them; it reports which spellings were joined.

use std::collections::{BTreeMap, BTreeSet};

use cairn::language::plain_label;
use cairn::language::spelt;

/// The spellings of labels that were read.
#[derive(Debug, Default)]
pub struct Spellings {
    /// By the label that is kept.
    labels: BTreeMap<String, Spelling>,
}

#[derive(Debug, Default)]
struct Spelling {
    /// Whether it was read in the spelling that is kept.
    plain: bool,
    /// Its other spellings.
    others: BTreeSet<String>,
}

/// The largest number of spellings of one label that are remembered; more of them are still the same label.
const MOST_SPELLINGS: usize = 16;

impl Spellings {
    /// The label that the database keeps ([`plain_label`]); notes the spelling.
    pub fn plain(&mut self, label: &str) -> String {
        let plain = plain_label(label);
        if plain.is_empty() {
            return String::new();
        }
        let spelling = match self.labels.get_mut(&*plain) {
            Some(known) => known,
            None => self.labels.entry(plain.clone().into_owned()).or_default(),
        };
        if plain == label {
            spelling.plain = true;
        } else if spelling.others.len() < MOST_SPELLINGS {
            spelling.others.insert(label.to_owned());
        }
        plain.into_owned()
    }

    /// A line for each spelling that is not kept, in the order of the labels: the label that it was joined with, or, if no other
    /// spelling of the label was read, the label that is kept.
    pub fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (plain, Spelling { plain: is_plain, others }) in &self.labels {
            let joined = *is_plain || others.len() > 1;
            for other in others {
                lines.push(match joined {
                    true => format!("joined '{}' with '{}'", spelt(other), spelt(plain)),
                    false => format!("read '{}' as '{}'", spelt(other), spelt(plain)),
                });
            }
        }
        lines
    }
}
