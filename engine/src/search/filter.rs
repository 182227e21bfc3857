//! WHERE: the rows that may be in an answer.

use cairndb_query::{Condition, Field, Role, plain_label};

use crate::error::Result;
use crate::id::LabelId;
use crate::state::Published;
use crate::vote::Ballot;

/// The conditions of a search over one snapshot.
pub(crate) struct Filter<'a> {
    state: &'a Published,
    conditions: &'a [Condition],
    /// By condition: the label that its text means, where that is spelt otherwise.
    labels: Vec<Option<String>>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(state: &'a Published, conditions: &'a [Condition]) -> Self {
        let label = |condition: &Condition| {
            let is_label = !condition.like && matches!(condition.field, Field::Label | Field::Instance);
            let plain = plain_label(&condition.value);
            (is_label && plain != condition.value).then(|| plain.into_owned())
        };
        Self { state, conditions, labels: conditions.iter().map(label).collect() }
    }

    /// Whether every row passes.
    pub(crate) fn is_open(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether a row of that role passes. `instance` is its prediction for the k of the search.
    pub(crate) fn admits(&self, role: Role, row: usize, instance: Option<Ballot<LabelId>>) -> Result<bool> {
        let mut source = None;
        for (condition, spelt_so) in self.conditions.iter().zip(&self.labels) {
            // Programs may have stored a label as it is written here, or as lists and statements spell it.
            let given = |label: LabelId| {
                self.state.label(label).map(|text| matches(condition, text) || spelt_so.as_deref() == Some(text))
            };
            let passes = match condition.field {
                Field::Split => matches(condition, split(role)),
                Field::Id => matches(condition, self.state.rows(role).key(row)),
                Field::Instance => instance.map_or(Ok(false), |ballot| given(ballot.label))?,
                Field::Label => match role {
                    Role::Train => self.state.train.instances[row].map_or(Ok(false), |own| given(own.label))?,
                    Role::Index => false,
                },
                Field::Path => {
                    // Read once a row, however many conditions speak of it.
                    if source.is_none() {
                        let record = self.state.pinned.record(self.state.rows(role).id(row))?;
                        source = Some(record.and_then(|record| record.source));
                    }
                    source.as_ref().and_then(Option::as_ref).is_some_and(|source| matches(condition, source))
                }
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The word of a role.
fn split(role: Role) -> &'static str {
    match role {
        Role::Train => "train",
        Role::Index => "index",
    }
}

fn matches(condition: &Condition, text: &str) -> bool {
    if condition.like { like(&condition.value, text) } else { condition.value == text }
}

/// SQL's LIKE: `%` stands for any run of characters, `_` for one. Complexity: `O(pattern * text)`.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `%`, with one more character eaten by it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(&wanted) if wanted == '_' || wanted == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, eaten)) => {
                    p = after;
                    t = eaten + 1;
                    retry = Some((after, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&rest| rest == '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|eaten| oracle(rest, &text[eaten..])),
            Some((&wanted, rest)) => {
                text.split_first().is_some_and(|(&c, more)| (wanted == '_' || wanted == c) && oracle(rest, more))
            }
        }
    }

    proptest! {
        #[test]
        fn like_equals_its_definition(pattern in "[ab%_]{0,8}", text in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(like(&pattern, &text), oracle(&chars(&pattern), &chars(&text)));
        }
    }
}
