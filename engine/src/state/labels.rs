//! Label texts and their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::LabelId;
use crate::rows::Column;

/// Texts by number, shared by snapshots; a text is never renumbered and never dropped.
pub(crate) type Labels = Column<Arc<str>>;

/// Numbers by text: the writer's side.
#[derive(Debug, Default)]
pub(crate) struct LabelNumbers {
    numbers: HashMap<Arc<str>, LabelId>,
}

impl LabelNumbers {
    /// The numbers of all texts.
    pub(crate) fn of(labels: &Labels) -> Self {
        let numbers = labels.iter().enumerate().map(|(at, text)| (Arc::clone(text), LabelId(at as u32))).collect();
        Self { numbers }
    }

    /// The number of a text; a new one is appended to `labels` and reported by `true`.
    pub(crate) fn number(&mut self, text: &str, labels: &mut Labels) -> (LabelId, bool) {
        if let Some(&id) = self.numbers.get(text) {
            return (id, false);
        }
        let id = LabelId(labels.len() as u32);
        let text: Arc<str> = text.into();
        labels.push(Arc::clone(&text));
        self.numbers.insert(text, id);
        (id, true)
    }
}
