//! The limits and the defaults of the language. They stand below every module, so that what reads, words and plans a statement
//! can name them without importing each other.

use std::time::Duration;

/// Longest text that is parsed, in bytes. A literal VECTOR of 2048 values takes some 20 KiB of it.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Largest K, LIMIT, EF and k.
pub const MAX_COUNT: usize = 1_000_000;
/// Smallest tau: the least sum of two cosines.
pub const MIN_TAU: f64 = -2.0;
/// Largest tau: the greatest sum of two cosines.
pub const MAX_TAU: f64 = 2.0;
/// Longest lag that STALE takes: 1 hour. The shortest is 1 ms.
pub const MAX_LAG: Duration = Duration::from_secs(60 * 60);

/// Default of K, the depth that is searched and re-ranked (the paper's 100).
pub const DEFAULT_DEPTH: usize = 100;
/// Default of tau, the gate of the insert-step (paper section 5.3).
pub const DEFAULT_TAU: f64 = 0.6;
/// Default breadth of a graph search is this many times K.
pub const DEFAULT_EF_PER_K: usize = 2;
