//! Deferred transactions: which ones, and the keys of the database once they are applied.

use std::collections::{HashMap, VecDeque};

use super::resolve::{Transaction, check_operation};
use crate::catalog::Waiting;
use crate::error::Result;
use crate::operation::{Listed, Operation, Put, Role};
use crate::state::snapshot::Published;

/// Index images that one transaction may touch before it is deferred by itself.
const DEFERRED_FROM_IMAGES: usize = 50_000;
/// Waiting operations from which a writer carries them out before its own is taken: they are held in memory.
const MOST_WAITING_OPERATIONS: usize = 65_536;
/// The same of their bytes, photos most of all.
const MOST_WAITING_BYTES: usize = 256 << 20;
/// Largest number of operations that one batch of a drain applies.
const DRAINED_OPERATIONS: usize = 8192;
/// The same of their bytes: a batch holds them twice more.
const DRAINED_BYTES: usize = 64 << 20;

/// Whether a write may be acknowledged before its predictions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Deferral {
    /// Only one that would change very many predictions, or that comes behind a waiting one (the default).
    #[default]
    Automatic,
    /// Never: a write returns when its predictions are stored.
    Never,
    /// Always: a write returns when it is in the log; a worker carries it out.
    Always,
}

/// The queue of waiting transactions.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    operations: usize,
    bytes: usize,
    /// Keys that they name.
    keys: HashMap<String, Named>,
}

/// What waiting transactions make of a key.
#[derive(Debug, Clone, Copy)]
struct Named {
    /// Whether there will be an image.
    exists: bool,
    /// The last transaction that names it; once that is applied, the catalog knows.
    last: u64,
}

impl Queue {
    /// The transactions that a database was closed with.
    pub(crate) fn of(waiting: Vec<Waiting>) -> Self {
        let mut queue = Self::default();
        for waiting in waiting {
            queue.push(waiting);
        }
        queue
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether so much is deferred that writers should wait until some is applied.
    pub(crate) fn is_full(&self) -> bool {
        self.operations >= MOST_WAITING_OPERATIONS || self.bytes >= MOST_WAITING_BYTES
    }

    /// Whether one batch applies everything that is deferred.
    pub(crate) fn is_short(&self) -> bool {
        self.operations <= DRAINED_OPERATIONS && self.bytes <= DRAINED_BYTES
    }

    /// Number of transactions, and of the operations in them.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.waiting.len(), self.operations)
    }

    /// Number of the last transaction.
    pub(crate) fn last(&self) -> Option<u64> {
        self.waiting.back().map(|waiting| waiting.sequence)
    }

    /// Whether these operations are valid after all deferred ones; `exists` tells which images exist before them.
    ///
    /// # Errors
    /// What [`resolve`](super::resolve::resolve) would say then.
    pub(crate) fn check(
        &self,
        operations: &[Operation],
        dimension: usize,
        exists: impl Fn(&str) -> Result<bool>,
    ) -> Result<()> {
        let mut inside: HashMap<&str, bool> = HashMap::new();
        for operation in operations {
            let exists = |key: &str| {
                let known = inside.get(key).copied().or_else(|| Some(self.keys.get(key)?.exists));
                known.map_or_else(|| exists(key), Ok)
            };
            check_operation(operation, &exists, dimension)?;
            inside.extend(names_of(operation));
        }
        Ok(())
    }

    /// Appends a transaction.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        for (key, exists) in waiting.operations.iter().flat_map(names_of) {
            self.keys.insert(key.to_owned(), Named { exists, last: waiting.sequence });
        }
        self.operations += waiting.operations.len();
        self.bytes += bytes_of(&waiting.operations);
        self.waiting.push_back(waiting);
    }

    /// Whether a transaction that waits names this key.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The next transactions to apply together.
    pub(crate) fn next(&self) -> Vec<Transaction> {
        let (mut next, mut operations, mut bytes) = (Vec::new(), 0, 0);
        for Waiting { sequence, operations: more } in &self.waiting {
            operations += more.len();
            bytes += bytes_of(more);
            if (operations > DRAINED_OPERATIONS || bytes > DRAINED_BYTES) && !next.is_empty() {
                break;
            }
            next.push(Transaction { sequence: *sequence, operations: more.clone() });
        }
        next
    }

    /// The first `count` transactions were applied.
    pub(crate) fn done(&mut self, count: usize) {
        for done in self.waiting.drain(..count) {
            self.operations -= done.operations.len();
            self.bytes -= bytes_of(&done.operations);
            for (key, _) in done.operations.iter().flat_map(names_of) {
                if self.keys.get(key).is_some_and(|named| named.last == done.sequence) {
                    self.keys.remove(key);
                }
            }
        }
        if self.waiting.is_empty() {
            // What one large transaction took is given back.
            self.keys = HashMap::new();
        }
    }
}

/// The keys that an operation names, and whether an image has each of them afterwards.
fn names_of(operation: &Operation) -> impl Iterator<Item = (&str, bool)> {
    let (first, second) = match operation {
        Operation::Delete { key } => ((key, false), None),
        Operation::Rename { key, to, .. } => ((key, false), Some((to, true))),
        Operation::Put(Put { key, .. })
        | Operation::Label { key, .. }
        | Operation::Unlabel { key }
        | Operation::Describe { key, .. }
        | Operation::Listed(Listed { key, .. }) => ((key, true), None),
    };
    std::iter::once(first).chain(second).map(|(key, exists)| (key.as_str(), exists))
}

/// About what operations take in memory.
fn bytes_of(operations: &[Operation]) -> usize {
    let of = |operation: &Operation| match operation {
        Operation::Put(put) | Operation::Listed(Listed { photo: Some(put), .. }) => {
            put.photo.as_ref().map_or(0, Vec::len) + size_of_val(&*put.vector)
        }
        _ => 0,
    };
    operations.iter().map(of).sum::<usize>() + size_of_val(operations)
}

/// Whether a transaction would change so many predictions that it should be deferred.
///
/// Of `index` images with `kept` neighbours each, a new train image among `train` touches about `kept / train` of all, and no two
/// new ones more than all.
pub(crate) fn is_far_reaching(state: &Published, operations: &[Operation]) -> bool {
    let (index, train) = (state.index.live_rows(), state.train.live_rows());
    if index < DEFERRED_FROM_IMAGES {
        return false;
    }
    let is_in = |key: &str, role: Role| {
        let found = state.pinned.image(key).ok().flatten();
        found.is_some_and(|id| state.rows(role).row_of(id).is_some())
    };
    let becomes_train = |operation: &&Operation| match operation {
        Operation::Put(put) => put.label.is_some(),
        Operation::Listed(listed) => listed.label.is_some(),
        Operation::Label { key, .. } => is_in(key, Role::Index),
        Operation::Rename { key, to, .. } => key != to && is_in(key, Role::Train),
        Operation::Delete { .. } | Operation::Unlabel { .. } | Operation::Describe { .. } => false,
    };
    let added = operations.iter().filter(becomes_train).count();
    let share = (added * state.options.kept_neighbours) as f64 / (train + added).max(1) as f64;
    share.min(1.0) * index as f64 > DEFERRED_FROM_IMAGES as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: keys that stay while anything is deferred, however long ago the write that named them was applied; a key that
    /// is removed although a later transaction still names it.
    #[test]
    fn keys_go_with_the_last_transaction_that_names_them() {
        let put = |key: &str| Operation::from(Put::new(key, [1.0, 0.0]));
        let delete = |key: &str| Operation::Delete { key: key.to_owned() };
        let mut queue = Queue::of(vec![Waiting { sequence: 1, operations: vec![put("both"), put("first")] }]);
        for sequence in 2..1000 {
            let operations = vec![put("both"), put(&format!("only {sequence}")), delete("both")];
            queue.push(Waiting { sequence, operations });
            queue.done(1);
            assert_eq!((queue.keys.len(), queue.len()), (2, (1, 3)), "after {sequence}");
        }
        // The queue knows the deferred writes; only the catalog knows the rest.
        let asked = std::cell::RefCell::new(Vec::new());
        let exists = |key: &str| {
            asked.borrow_mut().push(key.to_owned());
            Ok(true)
        };
        assert!(queue.check(&[delete("both")], 2, exists).is_err());
        queue.check(&[delete("only 999"), delete("only 998")], 2, exists).unwrap();
        assert_eq!(*asked.borrow(), ["only 998"]);
        queue.done(1);
        assert!(queue.is_empty() && queue.keys.is_empty());
    }

    /// It catches: photos that are deferred without end, or applied all at once, because they are few.
    #[test]
    fn large_photos_fill_the_queue_before_many_small_ones_do() {
        let photo = || Operation::from(Put::new("a", [1.0, 0.0]).photo(vec![0; DRAINED_BYTES / 2]));
        let mut queue = Queue::default();
        let fills = (1..).find(|&sequence| {
            queue.push(Waiting { sequence, operations: vec![photo()] });
            queue.is_full()
        });
        assert_eq!(fills, Some((2 * MOST_WAITING_BYTES / DRAINED_BYTES) as u64));
        assert_eq!(queue.next().len(), 1, "two of them and their vectors are more than one batch takes");
        queue.done(1);
        assert!(!queue.is_full());
        queue.done(queue.len().0);
        assert_eq!((queue.bytes, queue.operations), (0, 0));
    }
}
