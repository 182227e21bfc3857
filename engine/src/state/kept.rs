//! What a state computes on demand and keeps up to a number, under keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;

/// The value of a key; `make` computes it without a lock, so two readers who ask at once do it twice. With `most` values all others go
/// before the next one comes.
///
/// # Errors
/// Those of `make`.
pub(crate) fn kept<K: Eq + Hash, V: ?Sized>(
    values: &Mutex<HashMap<K, Arc<V>>>,
    most: usize,
    key: K,
    make: impl FnOnce() -> Result<Arc<V>>,
) -> Result<Arc<V>> {
    if let Some(known) = values.lock().get(&key) {
        return Ok(Arc::clone(known));
    }
    let made = make()?;
    let mut values = values.lock();
    if values.len() >= most {
        values.clear();
    }
    Ok(Arc::clone(values.entry(key).or_insert(made)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::error::Error;

    /// It catches: a value that is computed again, a store that grows without a bound, an error that is kept.
    #[test]
    fn values_are_computed_once_and_are_no_more_than_so_many() {
        let values = Mutex::default();
        let of = |key: u32| kept(&values, 3, key, || Ok(Arc::new(key * 2)));
        assert!(kept(&values, 3, 0, || Err(Error::invalid("not now"))).is_err());
        assert_eq!([0, 1, 2].map(|key| *of(key).unwrap()), [0, 2, 4]);
        assert_eq!(*kept(&values, 3, 2, || Err(Error::invalid("it is there"))).unwrap(), 4);
        assert_eq!((*of(3).unwrap(), values.lock().len()), (6, 1));
    }
}
