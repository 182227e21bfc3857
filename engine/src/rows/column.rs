//! A growing array that is cheap to clone: clones share pages, and a change copies a shared page.

use std::sync::Arc;

/// Entries of a page: a write copies at most this many entries of each column it touches.
const PAGE: usize = 1024;

/// An array of which every clone keeps what it saw.
#[derive(Debug, Clone)]
pub(crate) struct Column<T> {
    pages: Vec<Arc<Vec<T>>>,
    length: usize,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), length: 0 }
    }
}

impl<T: Clone> Column<T> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The entry at `at`, if there is one.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, value: T) {
        if self.length.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::new()));
        }
        if let Some(page) = self.pages.last_mut() {
            Arc::make_mut(page).push(value);
            self.length += 1;
        }
    }

    /// Replaces the entry at `at`; without effect past the end.
    pub(crate) fn set(&mut self, at: usize, value: T) {
        if let Some(entry) = self.pages.get_mut(at / PAGE).and_then(|page| Arc::make_mut(page).get_mut(at % PAGE)) {
            *entry = value;
        }
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

impl<T: Clone> std::ops::Index<usize> for Column<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.pages[at / PAGE][at % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut column = Column::default();
        for i in 0..3 * PAGE {
            column.push(i);
        }
        let before = column.clone();
        column.set(PAGE + 1, 7);
        column.push(8);
        assert_eq!((before[PAGE + 1], before.len(), before.get(3 * PAGE)), (PAGE + 1, 3 * PAGE, None));
        assert_eq!((column[PAGE + 1], column.len(), column[3 * PAGE]), (7, 3 * PAGE + 1, 8));
        assert!(column.iter().copied().take(PAGE).eq(0..PAGE));
    }
}
